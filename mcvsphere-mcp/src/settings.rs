//! Settings: from the command line, else from the environment. Each is checked at start; an error names the setting.

use std::{fmt, path::PathBuf, time::Duration};

use vsphere_ops::Config;
use vsphere_sim::{Model, Sim};

/// Settings on the command line; each wins over the environment variable of the same name.
///
/// The password is not among them: every user of a machine sees the command lines of all.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Settings (VCENTER_PASSWORD comes from the environment alone)")]
pub struct SettingArgs {
    /// vCenter Server or ESXi host: a name, name:port or URL [env: VCENTER_HOST]
    #[arg(long, global = true, value_name = "HOST")]
    vcenter_host: Option<String>,
    /// User to log in as [env: VCENTER_USER]
    #[arg(long, global = true, value_name = "USER")]
    vcenter_user: Option<String>,
    /// Accept any certificate: true or false [env: VCENTER_INSECURE] [default: false]
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    vcenter_insecure: Option<String>,
    /// Accept only the certificate with this SHA-256 or SHA-1 fingerprint [env: VCENTER_THUMBPRINT]
    #[arg(long, global = true, value_name = "HEX")]
    vcenter_thumbprint: Option<String>,
    /// Trust the certificate authorities in this PEM file [env: VCENTER_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    vcenter_ca_file: Option<String>,
    /// Seconds that a tool call may take [env: MCP_CALL_TIMEOUT] [default: 900]
    #[arg(long, global = true, value_name = "SECONDS")]
    mcp_call_timeout: Option<String>,
    /// error, warning, info, debug or trace; logs go to standard error [env: LOG_LEVEL]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Settings {
    host: Option<String>,
    user: Option<String>,
    password: Option<Secret>,
    trust: Trust,
    call_timeout: Duration,
    log_level: Option<tracing::Level>,
}

/// Which certificates are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trust {
    System,
    Anything,
    Thumbprint(String),
    CaFile(PathBuf),
}

/// A setting that is never shown.
#[derive(Clone)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

const DEFAULT_CALL_TIMEOUT: u64 = 900;

impl Settings {
    /// Reads the settings: `environment` answers what a variable holds. An empty variable is as one that is not set.
    ///
    /// # Errors
    /// [`SettingsError`] when a value is not one that the setting can have, or when two contradict each other.
    pub fn new(arguments: &SettingArgs, environment: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let get = |argument: &Option<String>, name: &str| {
            argument.clone().or_else(|| environment(name)).filter(|value| !value.trim().is_empty())
        };
        let insecure = match get(&arguments.vcenter_insecure, "VCENTER_INSECURE") {
            Some(value) => boolean("VCENTER_INSECURE", &value)?,
            None => false,
        };
        let call_timeout = match get(&arguments.mcp_call_timeout, "MCP_CALL_TIMEOUT") {
            Some(value) => seconds("MCP_CALL_TIMEOUT", &value)?,
            None => DEFAULT_CALL_TIMEOUT,
        };
        let log_level = match get(&arguments.log_level, "LOG_LEVEL") {
            Some(value) => Some(level("LOG_LEVEL", &value)?),
            None => None,
        };
        Ok(Self {
            host: get(&arguments.vcenter_host, "VCENTER_HOST"),
            user: get(&arguments.vcenter_user, "VCENTER_USER"),
            password: environment("VCENTER_PASSWORD").filter(|text| !text.is_empty()).map(Secret),
            trust: trust(
                insecure,
                get(&arguments.vcenter_thumbprint, "VCENTER_THUMBPRINT"),
                get(&arguments.vcenter_ca_file, "VCENTER_CA_FILE"),
            )?,
            call_timeout: Duration::from_secs(call_timeout),
            log_level,
        })
    }

    /// The same settings for a simulated vCenter, whatever they said of a real one.
    #[must_use]
    pub fn simulated(self, sim: &Sim) -> Self {
        Self {
            host: Some(sim.url()),
            user: Some(Model::USER.to_owned()),
            password: Some(Secret(Model::PASSWORD.to_owned())),
            trust: sim.thumbprint().map_or(Trust::System, |thumbprint| Trust::Thumbprint(thumbprint.to_string())),
            ..self
        }
    }

    /// How to reach vSphere.
    ///
    /// # Errors
    /// [`SettingsError`] when host, user or password is not set. Only calls that need vSphere fail by that, so that a
    /// client can list the tools of a server that is not yet set up.
    pub(crate) fn vsphere(&self) -> Result<Config, SettingsError> {
        let needed = |value: Option<&str>, name: &'static str| match value {
            Some(value) => Ok(value.to_owned()),
            None => Err(SettingsError::new(name, "is not set")),
        };
        let Some(host) = &self.host else {
            let problem = "is not set: set it to your vCenter or ESXi host, with VCENTER_USER and VCENTER_PASSWORD, or \
                           start mcvsphere with --sim to use a simulated one";
            return Err(SettingsError::new("VCENTER_HOST", problem));
        };
        let config = Config::new(host)
            .user(needed(self.user.as_deref(), "VCENTER_USER")?)
            .password(needed(self.password.as_ref().map(|it| it.0.as_str()), "VCENTER_PASSWORD")?);
        Ok(match &self.trust {
            Trust::System => config,
            Trust::Anything => config.insecure(true),
            Trust::Thumbprint(thumbprint) => config.thumbprint(thumbprint),
            Trust::CaFile(path) => config.ca_file(path),
        })
    }

    /// How long a tool call may take.
    pub(crate) fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    /// The log level, where one was chosen.
    pub(crate) fn log_level(&self) -> Option<tracing::Level> {
        self.log_level
    }
}

/// A setting that does not make sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    setting: &'static str,
    problem: String,
}

impl SettingsError {
    fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self { setting, problem: problem.into() }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.problem)
    }
}

impl std::error::Error for SettingsError {}

fn trust(insecure: bool, thumbprint: Option<String>, ca_file: Option<String>) -> Result<Trust, SettingsError> {
    match (insecure, thumbprint, ca_file) {
        (false, None, None) => Ok(Trust::System),
        (true, None, None) => Ok(Trust::Anything),
        (false, Some(text), None) => {
            let digits: String = text.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
            let hex = digits.chars().all(|c| c.is_ascii_hexdigit());
            if !hex || !matches!(digits.len(), 40 | 64) {
                let problem = "must be a SHA-256 (64 hex digits) or SHA-1 (40) fingerprint";
                return Err(SettingsError::new("VCENTER_THUMBPRINT", problem));
            }
            Ok(Trust::Thumbprint(text))
        }
        (false, None, Some(path)) => {
            let path = PathBuf::from(path);
            if !path.is_file() {
                let problem = format!("names no file: {}", path.display());
                return Err(SettingsError::new("VCENTER_CA_FILE", problem));
            }
            Ok(Trust::CaFile(path))
        }
        (true, ..) => Err(SettingsError::new(
            "VCENTER_INSECURE",
            "contradicts VCENTER_THUMBPRINT and VCENTER_CA_FILE: set one of the three",
        )),
        _ => Err(SettingsError::new("VCENTER_THUMBPRINT", "contradicts VCENTER_CA_FILE: set one of the two")),
    }
}

fn boolean(setting: &'static str, value: &str) -> Result<bool, SettingsError> {
    match value.trim().to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(SettingsError::new(setting, format!("must be true or false, not {value:?}"))),
    }
}

fn seconds(setting: &'static str, value: &str) -> Result<u64, SettingsError> {
    value
        .trim()
        .parse()
        .ok()
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| SettingsError::new(setting, format!("must be a number of seconds, not {value:?}")))
}

fn level(setting: &'static str, value: &str) -> Result<tracing::Level, SettingsError> {
    match value.trim().to_lowercase().as_str() {
        "critical" | "error" => Ok(tracing::Level::ERROR),
        "warning" | "warn" => Ok(tracing::Level::WARN),
        "info" => Ok(tracing::Level::INFO),
        "debug" => Ok(tracing::Level::DEBUG),
        "trace" => Ok(tracing::Level::TRACE),
        _ => Err(SettingsError::new(setting, format!("must be error, warning, info, debug or trace, not {value:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        read_with(&SettingArgs::default(), environment)
    }

    fn read_with(arguments: &SettingArgs, environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::new(arguments, |name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let arguments = SettingArgs { vcenter_host: Some("b".to_owned()), ..SettingArgs::default() };
        let settings = read_with(&arguments, &[("VCENTER_HOST", "a"), ("VCENTER_USER", "u")]);
        let settings = settings.unwrap();
        assert_eq!(settings.host.as_deref(), Some("b"));
        assert_eq!(settings.user.as_deref(), Some("u"));
    }

    #[test]
    fn an_error_names_the_setting() {
        for (setting, value) in [
            ("VCENTER_INSECURE", "maybe"),
            ("VCENTER_THUMBPRINT", "12:34"),
            ("VCENTER_CA_FILE", "/no/such/file"),
            ("MCP_CALL_TIMEOUT", "0"),
            ("LOG_LEVEL", "loud"),
        ] {
            let error = read(&[(setting, value)]).unwrap_err().to_string();
            assert!(error.starts_with(setting), "{error}");
        }
        let print = "a".repeat(40);
        let both = read(&[("VCENTER_INSECURE", "1"), ("VCENTER_THUMBPRINT", &print)]);
        assert!(both.unwrap_err().to_string().contains("VCENTER_THUMBPRINT"));
    }

    #[test]
    fn what_is_missing_is_named_when_it_is_needed() {
        let missing =
            |environment: &[(&str, &str)]| read(environment).unwrap().vsphere().err().map(|error| error.to_string());
        let neither = missing(&[]).unwrap();
        assert!(neither.starts_with("VCENTER_HOST is not set") && neither.contains("--sim"), "{neither}");
        let host = ("VCENTER_HOST", "a");
        assert_eq!(missing(&[host]).as_deref(), Some("VCENTER_USER is not set"));
        let user = ("VCENTER_USER", "u");
        assert_eq!(missing(&[host, user]).as_deref(), Some("VCENTER_PASSWORD is not set"));
        assert_eq!(missing(&[host, user, ("VCENTER_PASSWORD", "p")]), None);
    }

    #[test]
    fn empty_is_not_set() {
        let settings = read(&[("VCENTER_HOST", ""), ("VCENTER_INSECURE", " ")]).unwrap();
        assert_eq!((settings.host, settings.trust), (None, Trust::System));
    }

    #[test]
    fn debug_shows_no_secret() {
        let settings = read(&[("VCENTER_PASSWORD", "hunter2")]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
