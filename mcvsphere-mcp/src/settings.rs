//! Settings: from the command line, else from the environment, else from a file. Each is checked at start; an error names
//! the setting.

mod sources;

use std::{collections::BTreeSet, fmt, path::PathBuf, time::Duration};

use vsphere_ops::Config;
use vsphere_sim::{Model, Sim};

use crate::{Permission, Toolset, arguments::nearest, confirm::Mode, offer::Offer};
use sources::{CONFIG, Sources};

pub(crate) const TOOLSETS: &str = "MCP_TOOLSETS";
pub(crate) const TOOLS: &str = "MCP_TOOLS";
pub(crate) const EXCLUDE_TOOLS: &str = "MCP_EXCLUDE_TOOLS";
pub(crate) const READ_ONLY: &str = "MCP_READ_ONLY";
pub(crate) const CONFIRM_ALLOW: &str = "MCP_CONFIRM_ALLOW";
const CONFIRM: &str = "MCP_CONFIRM";
const PERMISSION: &str = "MCP_PERMISSION";
const OUTPUT_SCHEMAS: &str = "MCP_OUTPUT_SCHEMAS";
const CALL_TIMEOUT: &str = "MCP_CALL_TIMEOUT";
const LOG_LEVEL: &str = "LOG_LEVEL";
const HOST: &str = "VCENTER_HOST";
const USER: &str = "VCENTER_USER";
const PASSWORD: &str = "VCENTER_PASSWORD";
const INSECURE: &str = "VCENTER_INSECURE";
const THUMBPRINT: &str = "VCENTER_THUMBPRINT";
const CA_FILE: &str = "VCENTER_CA_FILE";
const DATACENTER: &str = "VCENTER_DATACENTER";
const CLUSTER: &str = "VCENTER_CLUSTER";
const DATASTORE: &str = "VCENTER_DATASTORE";
const NETWORK: &str = "VCENTER_NETWORK";

/// All that a file of settings may hold.
const KNOWN: [&str; 20] = [
    HOST,
    USER,
    PASSWORD,
    INSECURE,
    THUMBPRINT,
    CA_FILE,
    DATACENTER,
    CLUSTER,
    DATASTORE,
    NETWORK,
    TOOLSETS,
    TOOLS,
    EXCLUDE_TOOLS,
    READ_ONLY,
    PERMISSION,
    CONFIRM,
    CONFIRM_ALLOW,
    OUTPUT_SCHEMAS,
    CALL_TIMEOUT,
    LOG_LEVEL,
];

/// Settings on the command line; each wins over the environment variable of the same name, and that over the file.
///
/// The password is not among them: every user of a machine sees the command lines of all.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Settings (VCENTER_PASSWORD comes from the environment or the file)")]
pub struct SettingArgs {
    /// Read settings from this YAML file: names as below, such as `vcenter_host: vc.example` [env: MCVSPHERE_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<String>,
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
    /// Datacenter to use where a call names none [env: VCENTER_DATACENTER]
    #[arg(long, global = true, value_name = "NAME")]
    vcenter_datacenter: Option<String>,
    /// Cluster to use where a call names none [env: VCENTER_CLUSTER]
    #[arg(long, global = true, value_name = "NAME")]
    vcenter_cluster: Option<String>,
    /// Datastore to use where a call names none, else the one with most free space [env: VCENTER_DATASTORE]
    #[arg(long, global = true, value_name = "NAME")]
    vcenter_datastore: Option<String>,
    /// Network to use where a call names none [env: VCENTER_NETWORK]
    #[arg(long, global = true, value_name = "NAME")]
    vcenter_network: Option<String>,
    /// Offer only these families of tools, such as vm,power [env: MCP_TOOLSETS] [default: all]
    #[arg(long, global = true, value_name = "NAMES")]
    toolsets: Option<String>,
    /// Offer these tools, besides those of the toolsets that are named [env: MCP_TOOLS]
    #[arg(long, global = true, value_name = "NAMES")]
    tools: Option<String>,
    /// Do not offer these tools [env: MCP_EXCLUDE_TOOLS]
    #[arg(long, global = true, value_name = "NAMES")]
    exclude_tools: Option<String>,
    /// Offer only tools that change nothing, whatever else is set [env: MCP_READ_ONLY] [default: false]
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    read_only: Option<String>,
    /// What the caller may do: read_only, power_ops, vm_lifecycle, host_admin or full_admin [env: MCP_PERMISSION] [default: full_admin]
    #[arg(long, global = true, value_name = "LEVEL")]
    permission: Option<String>,
    /// When to ask before a change: always, ask (before what destroys) or never [env: MCP_CONFIRM] [default: ask]
    #[arg(long, global = true, value_name = "MODE")]
    confirm: Option<String>,
    /// Do not ask before these tools act, unless it is `--confirm always` [env: MCP_CONFIRM_ALLOW]
    #[arg(long, global = true, value_name = "NAMES")]
    confirm_allow: Option<String>,
    /// Never ask: the same as `--confirm never`
    #[arg(long, global = true, conflicts_with = "confirm")]
    yes: bool,
    /// Say in tools/list what the answers look like, too [env: MCP_OUTPUT_SCHEMAS] [default: false]
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    output_schemas: Option<String>,
    /// Seconds that a tool call may take [env: MCP_CALL_TIMEOUT] [default: 900]
    #[arg(long, global = true, value_name = "SECONDS")]
    mcp_call_timeout: Option<String>,
    /// error, warning, info, debug or trace; logs go to standard error [env: LOG_LEVEL]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl SettingArgs {
    /// What was given, by the name of the setting.
    fn given(&self) -> Vec<(&'static str, &str)> {
        let all = [
            (CONFIG, &self.config),
            (HOST, &self.vcenter_host),
            (USER, &self.vcenter_user),
            (INSECURE, &self.vcenter_insecure),
            (THUMBPRINT, &self.vcenter_thumbprint),
            (CA_FILE, &self.vcenter_ca_file),
            (DATACENTER, &self.vcenter_datacenter),
            (CLUSTER, &self.vcenter_cluster),
            (DATASTORE, &self.vcenter_datastore),
            (NETWORK, &self.vcenter_network),
            (TOOLSETS, &self.toolsets),
            (TOOLS, &self.tools),
            (EXCLUDE_TOOLS, &self.exclude_tools),
            (READ_ONLY, &self.read_only),
            (PERMISSION, &self.permission),
            (CONFIRM, &self.confirm),
            (CONFIRM_ALLOW, &self.confirm_allow),
            (OUTPUT_SCHEMAS, &self.output_schemas),
            (CALL_TIMEOUT, &self.mcp_call_timeout),
            (LOG_LEVEL, &self.log_level),
        ];
        let yes = self.yes.then_some((CONFIRM, "never"));
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).chain(yes).collect()
    }
}

/// The objects that tools use where a call names none; each a name, an inventory path or an id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The datacenter.
    pub datacenter: Option<String>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The datastore; without one, that with most free space.
    pub datastore: Option<String>,
    /// The network.
    pub network: Option<String>,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Settings {
    host: Option<String>,
    user: Option<String>,
    password: Option<Secret>,
    trust: Trust,
    defaults: Defaults,
    offer: Offer,
    permission: Permission,
    output_schemas: bool,
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
        let sources = Sources::new(arguments.given(), &environment, &KNOWN)?;
        let get = |name: &'static str| sources.get(name);
        let flag = |name: &'static str| get(name).map_or(Ok(false), |value| boolean(name, &value));
        Ok(Self {
            host: get(HOST),
            user: get(USER),
            password: get(PASSWORD).map(Secret),
            trust: trust(flag(INSECURE)?, get(THUMBPRINT), get(CA_FILE))?,
            defaults: Defaults {
                datacenter: get(DATACENTER),
                cluster: get(CLUSTER),
                datastore: get(DATASTORE),
                network: get(NETWORK),
            },
            offer: Offer {
                toolsets: get(TOOLSETS).map_or_else(|| Ok(BTreeSet::new()), |value| toolsets(&value))?,
                tools: names(get(TOOLS)).collect(),
                excluded: names(get(EXCLUDE_TOOLS)).collect(),
                read_only: flag(READ_ONLY)?,
                confirm: get(CONFIRM).map_or(Ok(Mode::default()), |value| mode(&value))?,
                unasked: names(get(CONFIRM_ALLOW)).collect(),
            },
            permission: get(PERMISSION).map_or(Ok(Permission::FullAdmin), |value| permission(&value))?,
            output_schemas: flag(OUTPUT_SCHEMAS)?,
            call_timeout: get(CALL_TIMEOUT)
                .map_or(Ok(Duration::from_secs(DEFAULT_CALL_TIMEOUT)), |value| seconds(CALL_TIMEOUT, &value))?,
            log_level: get(LOG_LEVEL).map(|value| level(LOG_LEVEL, &value)).transpose()?,
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
            return Err(SettingsError::new(HOST, problem));
        };
        let config = Config::new(host)
            .user(needed(self.user.as_deref(), USER)?)
            .password(needed(self.password.as_ref().map(|it| it.0.as_str()), PASSWORD)?);
        Ok(match &self.trust {
            Trust::System => config,
            Trust::Anything => config.insecure(true),
            Trust::Thumbprint(thumbprint) => config.thumbprint(thumbprint),
            Trust::CaFile(path) => config.ca_file(path),
        })
    }

    /// Which certificates are accepted, in words, and whether that is weaker than it should be.
    pub(crate) fn trust_in_words(&self) -> (bool, String) {
        match &self.trust {
            Trust::System => (false, "trusted by the authorities of this machine".to_owned()),
            Trust::Anything => {
                let pin = "any is accepted (VCENTER_INSECURE): pin it with VCENTER_THUMBPRINT instead";
                (true, pin.to_owned())
            }
            Trust::Thumbprint(thumbprint) => (false, format!("pinned to {thumbprint} (VCENTER_THUMBPRINT)")),
            Trust::CaFile(path) => {
                (false, format!("trusted by the authorities in {} (VCENTER_CA_FILE)", path.display()))
            }
        }
    }

    /// The objects that tools use where a call names none.
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// Which of the tools are offered.
    pub(crate) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// What the local user may do.
    pub(crate) fn permission(&self) -> Permission {
        self.permission
    }

    /// Whether clients are told what the answers look like.
    pub(crate) fn output_schemas(&self) -> bool {
        self.output_schemas
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

    /// A setting that names something which there is not.
    pub(crate) fn unknown(setting: &'static str, what: &str, name: &str, nearest: Option<&str>) -> Self {
        let near = nearest.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
        Self::new(setting, format!("names the unknown {what} `{name}`{near}"))
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
                return Err(SettingsError::new(THUMBPRINT, problem));
            }
            Ok(Trust::Thumbprint(text))
        }
        (false, None, Some(path)) => {
            let path = PathBuf::from(path);
            if !path.is_file() {
                let problem = format!("names no file: {}", path.display());
                return Err(SettingsError::new(CA_FILE, problem));
            }
            Ok(Trust::CaFile(path))
        }
        (true, ..) => Err(SettingsError::new(
            INSECURE,
            "contradicts VCENTER_THUMBPRINT and VCENTER_CA_FILE: set one of the three",
        )),
        _ => Err(SettingsError::new(THUMBPRINT, "contradicts VCENTER_CA_FILE: set one of the two")),
    }
}

fn boolean(setting: &'static str, value: &str) -> Result<bool, SettingsError> {
    match value.trim().to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(SettingsError::new(setting, format!("must be true or false, not {value:?}"))),
    }
}

fn mode(value: &str) -> Result<Mode, SettingsError> {
    match value.trim().to_lowercase().as_str() {
        "always" => Ok(Mode::Always),
        "ask" => Ok(Mode::Ask),
        "never" => Ok(Mode::Never),
        _ => Err(SettingsError::new(CONFIRM, format!("must be always, ask or never, not {value:?}"))),
    }
}

fn seconds(setting: &'static str, value: &str) -> Result<Duration, SettingsError> {
    let seconds = value.trim().parse().ok().filter(|seconds| *seconds > 0);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| SettingsError::new(setting, format!("must be a number of seconds, not {value:?}")))
}

/// The names in a list with commas.
fn names(list: Option<String>) -> impl Iterator<Item = String> {
    let names: Vec<String> = list.iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect();
    names.into_iter().filter(|name| !name.is_empty())
}

fn toolsets(value: &str) -> Result<BTreeSet<Toolset>, SettingsError> {
    let known: Vec<String> = Toolset::ALL.iter().map(|toolset| toolset.name().to_owned()).collect();
    let mut chosen = BTreeSet::new();
    for name in names(Some(value.to_owned())) {
        match Toolset::ALL.iter().find(|toolset| toolset.name() == name) {
            Some(toolset) => drop(chosen.insert(*toolset)),
            None if name == "all" => chosen.extend(Toolset::ALL),
            None => match nearest(&name, &known) {
                Some(near) => return Err(SettingsError::unknown(TOOLSETS, "toolset", &name, Some(near))),
                None => {
                    let problem = format!("names the unknown toolset `{name}`: there are {}", known.join(", "));
                    return Err(SettingsError::new(TOOLSETS, problem));
                }
            },
        }
    }
    Ok(chosen)
}

fn permission(value: &str) -> Result<Permission, SettingsError> {
    let level = Permission::ALL.into_iter().find(|level| level.name() == value.trim().to_lowercase());
    level.ok_or_else(|| {
        let levels = Permission::ALL.map(Permission::name).join(", ");
        SettingsError::new(PERMISSION, format!("must be one of {levels}, not {value:?}"))
    })
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
            ("MCP_TOOLSETS", "vm,pwoer"),
            ("MCP_READ_ONLY", "perhaps"),
            ("MCP_PERMISSION", "admin"),
            ("MCP_CONFIRM", "sometimes"),
            ("MCVSPHERE_CONFIG", "/no/such/file"),
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
    fn the_environment_wins_over_the_file() {
        let path = std::env::temp_dir().join(format!("mcvsphere-settings-{}.yaml", std::process::id()));
        std::fs::write(&path, "vcenter_host: a\nvcenter_password: p\nmcp_toolsets: [vm, power]\nlog_level: loud\n")
            .unwrap();
        let settings = read(&[
            ("MCVSPHERE_CONFIG", path.to_str().unwrap()),
            ("VCENTER_HOST", "b"),
            ("LOG_LEVEL", "info"),
            ("VCENTER_DATASTORE", "nvme"),
        ]);
        std::fs::remove_file(&path).unwrap();
        let settings = settings.unwrap();
        assert_eq!(settings.host.as_deref(), Some("b"));
        assert_eq!(settings.password.as_ref().map(|it| it.0.as_str()), Some("p"));
        assert_eq!(settings.offer().toolsets, [Toolset::Vm, Toolset::Power].into());
        assert_eq!(settings.defaults().datastore.as_deref(), Some("nvme"));
    }

    #[test]
    fn an_unknown_toolset_is_named_with_the_nearest() {
        let error = read(&[("MCP_TOOLSETS", "vm,snapshot")]).unwrap_err().to_string();
        assert_eq!(error, "MCP_TOOLSETS names the unknown toolset `snapshot`, did you mean `snapshots`?");
        let all = read(&[("MCP_TOOLSETS", "all")]).unwrap();
        assert_eq!(all.offer().toolsets.len(), Toolset::ALL.len());
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
