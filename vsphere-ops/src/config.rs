//! The settings of a connection.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use vsphere_soap::http::{Endpoint, Proxies, TransportOptions, Trust};
use vsphere_soap::{Error as WireError, ErrorKind as WireKind};
use zeroize::Zeroizing;

use crate::error::{Result, invalid};

/// The address of a vCenter or an ESXi host, the credentials, and how to connect.
///
/// ```
/// use std::time::Duration;
/// use vsphere_ops::Config;
///
/// let config = Config::new("vcenter.example.com")
///     .user("administrator@vsphere.local")
///     .password("hunter2")
///     .thumbprint(&"5C:".repeat(32)) // or .ca_file("ca.pem"), or .insecure(true) in a lab
///     .connect_timeout(Duration::from_secs(10))
///     .request_timeout(Duration::from_secs(60))
///     .keepalive(Duration::from_secs(300))
///     .attempts(2)
///     .max_answer(64 << 20) // bytes
///     .proxies(|name| std::env::var(name).ok()); // or .proxy("http://proxy:3128")
/// config.check()?; // and Client::connect does
/// assert!(!config.is_plain_http());
/// println!("by the proxy {:?}", config.proxy_in_use()?);
/// assert!(!format!("{config:?}").contains("hunter2")); // secrets are not shown
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Clone)]
pub struct Config {
    host: String,
    credentials: Credentials,
    logs_in_once: bool,
    trust: TrustSetting,
    connect_timeout: Duration,
    request_timeout: Duration,
    keepalive: Duration,
    attempts: u32,
    max_answer: u64,
    proxies: Proxies,
}

/// The default limit of an answer, in bytes.
const MAX_ANSWER: u64 = 256 << 20;

/// Kept as given: an error in it is reported when it is used.
#[derive(Debug, Clone)]
enum TrustSetting {
    System,
    Insecure,
    Thumbprint(String),
    CaFile(PathBuf),
}

/// A user's name and password.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Secret,
}

/// Text that `Debug` does not show, and that is overwritten in memory when it goes.
#[derive(Clone, Default)]
pub(crate) struct Secret(Zeroizing<String>);

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("host", &self.host)
            .field("user", &self.credentials.user)
            .field("password", &self.credentials.password)
            .field("trust", &self.trust)
            .field("max_answer", &self.max_answer)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Settings for the server at `host`: a name, `host:port` or a URL.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            credentials: Credentials::default(),
            logs_in_once: false,
            trust: TrustSetting::System,
            connect_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(5 * 60),
            keepalive: Duration::from_secs(10 * 60),
            attempts: 4,
            max_answer: MAX_ANSWER,
            proxies: Proxies::default(),
        }
    }

    /// The settings in the environment: `VCENTER_HOST`, `VCENTER_USER`, `VCENTER_PASSWORD`, and at most one of
    /// `VCENTER_INSECURE=true`, `VCENTER_THUMBPRINT` and `VCENTER_CA_FILE`; and the proxies of `HTTPS_PROXY`, `HTTP_PROXY`,
    /// `ALL_PROXY` and `NO_PROXY`, in upper or lower case.
    ///
    /// # Errors
    /// `invalid_argument` if a setting is missing, not UTF-8, or invalid; the text names it.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let mut values = HashMap::new();
        let names = [
            "VCENTER_HOST",
            "VCENTER_USER",
            "VCENTER_PASSWORD",
            "VCENTER_INSECURE",
            "VCENTER_THUMBPRINT",
            "VCENTER_CA_FILE",
        ];
        for name in names.into_iter().chain(Proxies::VARIABLES) {
            let filled = |name: &str| variable(name).filter(|value| !value.is_empty());
            let small = || Proxies::VARIABLES.contains(&name).then(|| filled(&name.to_lowercase())).flatten();
            if let Some(value) = filled(name).or_else(small) {
                let no_text = |_| invalid("read the settings", format!("{name} has bytes that are no UTF-8 text"));
                values.insert(name, value.into_string().map_err(no_text)?);
            }
        }
        Self::from_lookup(|name| values.get(name).cloned())
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let needed =
            |name: &str| lookup(name).ok_or_else(|| invalid("read the settings", format!("{name} is not set")));
        let config =
            Self::new(needed("VCENTER_HOST")?).user(needed("VCENTER_USER")?).password(needed("VCENTER_PASSWORD")?);
        let config = config.proxies(&lookup);
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
        self.credentials.user = user.into();
        self
    }

    /// The user's password.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.credentials.password = Secret(Zeroizing::new(password.into()));
        self
    }

    /// Uses user name and password for one login, and keeps them no longer: for a program that logs others in.
    ///
    /// A session that has ended is not renewed then. What is asked in it fails with the code `auth`, and the client
    /// [is logged out](crate::Client::is_logged_out). The session of the Automation API, which takes the password too, is opened
    /// with the login; where that fails, the login counts all the same, and later requests there say why.
    ///
    /// ```no_run
    /// # async fn run(user: &str, password: String) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::{Client, Config};
    ///
    /// let config = Config::new("vcenter.example.com").user(user).password(password).log_in_once();
    /// let client = Client::connect(config).await?; // from here on nothing holds the password
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn log_in_once(mut self) -> Self {
        self.logs_in_once = true;
        self
    }

    /// Accepts any certificate. An attacker on the network can then read and change everything, including the password.
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

    /// Time limit for a connection; 30 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Time limit for a whole request; 5 minutes by default.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// Interval at which an idle session is kept alive; 10 minutes by default, never with zero. Servers end sessions that are
    /// idle for 30 minutes.
    #[must_use]
    pub fn keepalive(mut self, period: Duration) -> Self {
        self.keepalive = period;
        self
    }

    /// How often a request is sent at most, if sending it again is safe; 4 by default. With 1 it is never sent again.
    #[must_use]
    pub fn attempts(mut self, most: u32) -> Self {
        self.attempts = most;
        self
    }

    /// Largest answer in bytes, both compressed and decompressed; 256 MiB by default. Bytes are counted as they arrive, and
    /// no more than this is held.
    #[must_use]
    pub fn max_answer(mut self, bytes: u64) -> Self {
        self.max_answer = bytes;
        self
    }

    /// The HTTP proxy for all servers: vCenter, and the hosts of file transfers.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxies = Proxies::all(url);
        self
    }

    /// The proxies of the usual variables: `lookup` returns the values of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY`. Connections to the same computer never use them.
    #[must_use]
    pub fn proxies(mut self, lookup: impl Fn(&str) -> Option<String>) -> Self {
        self.proxies = Proxies::from_variables(lookup);
        self
    }

    /// The proxy for the server, such as `http://proxy:3128`, without its user name and password.
    ///
    /// # Errors
    /// `config` if the address of the server or of that proxy is invalid.
    pub fn proxy_in_use(&self) -> Result<Option<String>> {
        let proxy = self.proxies.for_server(&self.endpoint()?)?;
        Ok(proxy.map(|proxy| proxy.to_string()))
    }

    /// Whether the connection is not encrypted, because the address is an `http://` one.
    pub fn is_plain_http(&self) -> bool {
        self.endpoint().is_ok_and(|endpoint| !endpoint.is_https())
    }

    /// Checks, before a connection, the address, the trust and the proxy, and that they fit together.
    ///
    /// # Errors
    /// `config`, for instance if the password would be sent unencrypted: over `http://` to another computer without
    /// [`insecure`](Self::insecure), or with a certificate to check, which plain HTTP does not have.
    pub fn check(&self) -> Result<()> {
        let endpoint = self.endpoint()?;
        self.transport_options()?.check(&endpoint)?;
        let insecure = matches!(self.trust, TrustSetting::Insecure);
        if endpoint.is_https() || endpoint.is_loopback() || insecure {
            return Ok(());
        }
        let text = format!(
            "{endpoint} is plain http, and the password would be sent in clear: use https://, or allow an insecure connection \
             to a simulator on another machine"
        );
        Err(WireError::new("connect", WireKind::Config(text)).into())
    }

    /// Reaches the server without a login: connects, and asks what it is.
    ///
    /// ```no_run
    /// # async fn run() -> vsphere_ops::Result<()> {
    /// vsphere_ops::Config::new("vcenter.example.com").reach().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::connect`](crate::Client::connect), but for those of the login.
    pub async fn reach(&self) -> Result<()> {
        crate::connection::reach(self).await
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
            .max_body(self.max_answer)
            .proxies(self.proxies.clone())
            .user_agent(concat!("vsphere-ops/", env!("CARGO_PKG_VERSION"))))
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Whether they are for one login.
    pub(crate) fn logs_in_once(&self) -> bool {
        self.logs_in_once
    }

    /// Those for the login, which do not stay here where they are for one.
    pub(crate) fn credentials_for_login(&mut self) -> Credentials {
        match self.logs_in_once {
            true => mem::take(&mut self.credentials),
            false => self.credentials.clone(),
        }
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
    fn plain_http_needs_loopback_or_leave_and_has_no_certificate_to_check() {
        let config = |host: &str| Config::new(host).user("u").password("hunter2");
        for host in ["http://127.0.0.1:8989", "http://localhost", "http://[::1]:80", "https://vc", "vc"] {
            config(host).check().unwrap();
        }
        config("http://vcsim:8989").insecure(true).check().unwrap();
        let error = config("http://vcsim:8989").check().unwrap_err();
        assert!(error.code() == "config" && error.to_string().contains("in clear: use https://"), "{error}");
        let pin = "a".repeat(64);
        for host in ["http://vc", "http://127.0.0.1:8989"] {
            for error in [config(host).thumbprint(&pin).check(), config(host).ca_file("ca.pem").check()] {
                assert!(error.unwrap_err().to_string().contains("use https://"), "{host}");
            }
        }
        assert_eq!((config("http://vc").is_plain_http(), config("vc").is_plain_http()), (true, false));
    }

    #[test]
    fn the_limit_of_an_answer_is_that_of_the_transport() {
        let config = Config::new("vc").max_answer(7_000);
        assert!(format!("{:?}", config.transport_options().unwrap()).contains("max_body: 7000,"));
    }

    #[test]
    fn the_environment_names_the_proxies_in_capitals_or_small_letters() {
        let of = |more: &[(&str, &str)]| {
            let all = [&BASE[..], more].concat();
            let variable =
                |name: &str| all.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
            Config::from_variables(variable).unwrap().proxy_in_use()
        };
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[("https_proxy", "http://a:b@proxy:3128")]).unwrap().as_deref(), Some("http://proxy:3128"));
        assert_eq!(of(&[("ALL_PROXY", "proxy"), ("no_proxy", "vc")]).unwrap(), None);
        let error = of(&[("HTTPS_PROXY", "socks5://a:b@proxy")]).unwrap_err();
        assert!(error.code() == "config" && error.to_string().contains("HTTPS_PROXY"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_utf_8_is_named() {
        use std::os::unix::ffi::OsStringExt as _;

        let odd = |name: &str| (name == "VCENTER_INSECURE").then(|| OsString::from_vec(vec![0xff]));
        let error = Config::from_variables(odd).unwrap_err();
        assert!(error.to_string().contains("VCENTER_INSECURE has bytes that are no UTF-8"), "{error}");
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let text = format!("{:?}", from(&BASE).unwrap());
        assert!(text.contains("vc") && !text.contains("hunter2"), "{text}");
    }
}
