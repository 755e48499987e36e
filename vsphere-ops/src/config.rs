//! How to reach a vCenter or an ESXi host.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use vsphere_soap::http::{Endpoint, TransportOptions, Trust};

use crate::error::{Result, invalid};

/// How to reach a vCenter or an ESXi host, and as whom.
///
/// ```
/// use std::time::Duration;
/// use vsphere_ops::Config;
///
/// let config = Config::new("vcenter.example.com")
///     .user("administrator@vsphere.local")
///     .password("hunter2")
///     .thumbprint("5C:86:4D:…") // or .ca_file("ca.pem"), or .insecure(true) in a lab
///     .connect_timeout(Duration::from_secs(10))
///     .request_timeout(Duration::from_secs(60))
///     .keepalive(Duration::from_secs(300))
///     .attempts(2);
/// assert!(!format!("{config:?}").contains("hunter2")); // secrets are not shown
/// ```
#[derive(Clone)]
pub struct Config {
    host: String,
    user: String,
    password: Secret,
    trust: TrustSetting,
    connect_timeout: Duration,
    request_timeout: Duration,
    keepalive: Duration,
    attempts: u32,
}

/// Kept as it was given, so that what is wrong is said when it is used.
#[derive(Debug, Clone)]
enum TrustSetting {
    System,
    Insecure,
    Thumbprint(String),
    CaFile(PathBuf),
}

/// Text that `Debug` does not show.
#[derive(Clone)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("host", &self.host)
            .field("user", &self.user)
            .field("password", &self.password)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// The server at `host`: a name, `host:port` or a URL.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            user: String::new(),
            password: Secret(String::new()),
            trust: TrustSetting::System,
            connect_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(5 * 60),
            keepalive: Duration::from_secs(10 * 60),
            attempts: 4,
        }
    }

    /// The settings in the environment: `VCENTER_HOST`, `VCENTER_USER`, `VCENTER_PASSWORD`, and at most one of
    /// `VCENTER_INSECURE=true`, `VCENTER_THUMBPRINT` and `VCENTER_CA_FILE`.
    ///
    /// # Errors
    /// A setting is missing or makes no sense; the text names it.
    pub fn from_env() -> Result<Self> {
        Self::from_lookup(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let needed =
            |name: &str| lookup(name).ok_or_else(|| invalid("read the settings", format!("{name} is not set")));
        let config =
            Self::new(needed("VCENTER_HOST")?).user(needed("VCENTER_USER")?).password(needed("VCENTER_PASSWORD")?);
        let insecure = match lookup("VCENTER_INSECURE").map(|value| value.to_ascii_lowercase()).as_deref() {
            None | Some("false" | "0" | "no") => false,
            Some("true" | "1" | "yes") => true,
            Some(other) => {
                let text = format!("VCENTER_INSECURE is {other:?}, and can be true or false");
                return Err(invalid("read the settings", text));
            }
        };
        match (insecure, lookup("VCENTER_THUMBPRINT"), lookup("VCENTER_CA_FILE")) {
            (false, None, None) => Ok(config),
            (true, None, None) => Ok(config.insecure(true)),
            (false, Some(thumbprint), None) => Ok(config.thumbprint(&thumbprint)),
            (false, None, Some(path)) => Ok(config.ca_file(path)),
            _ => Err(invalid(
                "read the settings",
                "VCENTER_INSECURE, VCENTER_THUMBPRINT and VCENTER_CA_FILE exclude each other",
            )),
        }
    }

    /// The user to log in as.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// The user's password.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Secret(password.into());
        self
    }

    /// Accepts any certificate. Whoever stands between can read and change everything, the password included.
    #[must_use]
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.trust = if insecure { TrustSetting::Insecure } else { TrustSetting::System };
        self
    }

    /// Accepts exactly the certificate with this SHA-256 or SHA-1 thumbprint.
    #[must_use]
    pub fn thumbprint(mut self, thumbprint: &str) -> Self {
        self.trust = TrustSetting::Thumbprint(thumbprint.to_owned());
        self
    }

    /// Accepts certificates signed by a CA in this PEM file.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.trust = TrustSetting::CaFile(path.into());
        self
    }

    /// How long a connection may take; 30 s without it.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long a request may take in all; 5 minutes without it.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// How often an idle session is kept alive; 10 minutes without it, never with zero. Servers end sessions that idle for 30 minutes.
    #[must_use]
    pub fn keepalive(mut self, period: Duration) -> Self {
        self.keepalive = period;
        self
    }

    /// How often a request is sent at most, where sending it again is safe; 4 times without it. 1 is never again.
    #[must_use]
    pub fn attempts(mut self, most: u32) -> Self {
        self.attempts = most;
        self
    }

    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        Ok(self.host.parse::<Endpoint>()?)
    }

    pub(crate) fn transport_options(&self) -> Result<TransportOptions> {
        let trust = match &self.trust {
            TrustSetting::System => Trust::System,
            TrustSetting::Insecure => Trust::Insecure,
            TrustSetting::Thumbprint(text) => Trust::Thumbprint(text.parse()?),
            TrustSetting::CaFile(path) => Trust::CaFile(path.clone()),
        };
        Ok(TransportOptions::new()
            .trust(trust)
            .connect_timeout(self.connect_timeout)
            .request_timeout(self.request_timeout)
            .user_agent(concat!("vsphere-ops/", env!("CARGO_PKG_VERSION"))))
    }

    pub(crate) fn credentials(&self) -> (&str, &str) {
        (&self.user, &self.password.0)
    }

    pub(crate) fn request_limit(&self) -> Duration {
        self.request_timeout
    }

    pub(crate) fn most_attempts(&self) -> u32 {
        self.attempts
    }

    /// The language of the server's messages: always the same, so that logs can be searched.
    pub(crate) fn login_locale(&self) -> Option<&'static str> {
        Some("en_US")
    }

    pub(crate) fn keepalive_period(&self) -> Duration {
        self.keepalive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(settings: &[(&str, &str)]) -> Result<Config> {
        Config::from_lookup(|name| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    const BASE: [(&str, &str); 3] = [("VCENTER_HOST", "vc"), ("VCENTER_USER", "u"), ("VCENTER_PASSWORD", "hunter2")];

    #[test]
    fn a_missing_setting_is_named() {
        let error = from(&BASE[..2]).unwrap_err();
        assert_eq!(error.to_string(), "read the settings: VCENTER_PASSWORD is not set");
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        for bad in [("VCENTER_INSECURE", "perhaps"), ("VCENTER_THUMBPRINT", "xyz")] {
            let config = from(&[&BASE[..], &[bad]].concat());
            let error = config.and_then(|config| config.transport_options().map(drop)).unwrap_err();
            assert!(error.to_string().contains(bad.0) || error.to_string().contains("thumbprint"), "{error}");
        }
        let both = from(&[&BASE[..], &[("VCENTER_INSECURE", "true"), ("VCENTER_CA_FILE", "ca.pem")]].concat());
        assert!(both.unwrap_err().to_string().contains("exclude each other"));
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let text = format!("{:?}", from(&BASE).unwrap());
        assert!(text.contains("vc") && !text.contains("hunter2"), "{text}");
    }
}
