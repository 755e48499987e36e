//! Settings: from the command line, else from the environment, else from a file. Each is checked at start; an error names
//! the setting.

mod command_line;
mod file;
mod guests;
mod keyring;
mod kinds;
mod oauth;
mod placeholder;
mod sources;
mod table;
mod tokens;
mod web;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

use vsphere_ops::{Config, placement::Defaults, transfer::WebHosts};
#[cfg(feature = "sim")]
use vsphere_sim::{Model, Sim};

use crate::{
    Permission, Toolset,
    audit::{Place, Target},
    confirm::Mode,
    credentials::GuestCredentials,
    files::LocalFiles,
    http::tokens::Token,
    oauth::Mode as OAuthMode,
    offer::Offer,
};
pub use command_line::SettingArgs;
pub(crate) use kinds::Kind;
use kinds::{AuditPlace, Fingerprint, Megabytes, PresentDirectory, PresentFile, Secret, unknown, value};
use oauth::{GroupMap, Scopes};
use sources::Sources;
pub(crate) use sources::{InForce, Origin};
use table::{Setting, settings};
pub(crate) use web::{Authority, Consent, Origin as WebOrigin, PublicUrl, TransportKind};

settings! {
    /// Read settings from this YAML file: names as below, such as `vcenter_host: vc.example`
    MCVSPHERE_CONFIG <FILE> config: PathBuf;
    /// vCenter Server or ESXi host: a name, name:port or URL
    VCENTER_HOST <HOST> host: String;
    /// User to log in as
    VCENTER_USER <USER> user: String;
    /// The user's password: only from the environment or the file, since every user of a computer sees its command lines
    VCENTER_PASSWORD <PASSWORD> password: Secret;
    /// Accept any certificate: true or false
    VCENTER_INSECURE <BOOL> insecure: bool = "false";
    /// Accept only the certificate with this SHA-256 or SHA-1 fingerprint
    VCENTER_THUMBPRINT <HEX> thumbprint: Fingerprint;
    /// Trust the certificate authorities in this PEM file
    VCENTER_CA_FILE <FILE> ca_file: PresentFile;
    /// Proxy for `https://` servers, both vCenter and hosts: only from the environment or the file, since it may hold a password
    HTTPS_PROXY <URL> https_proxy: Secret;
    /// Proxy for `http://` servers: only from the environment or the file
    HTTP_PROXY <URL> http_proxy: Secret;
    /// Proxy for servers that neither of the two above applies to: only from the environment or the file
    ALL_PROXY <URL> all_proxy: Secret;
    /// Servers to connect to without a proxy: names (with their subdomains), addresses, networks such as `10.0.0.0/8`, or `*`
    NO_PROXY <NAMES> no_proxy: String;
    /// Largest answer of vSphere in MiB
    VCENTER_MAX_ANSWER_MB <MIB> max_answer: Megabytes = "256";
    /// Datacenter to use if a call names none
    VCENTER_DATACENTER <NAME> datacenter: String;
    /// Cluster to use if a call names none
    VCENTER_CLUSTER <NAME> cluster: String;
    /// Datastore to use if a call names none; by default the source's own, or the one with most free space that all hosts see
    VCENTER_DATASTORE <NAME> datastore: String;
    /// Network to use if a call names none
    VCENTER_NETWORK <NAME> network: String;
    /// Offer only these toolsets, such as `vm,power`; all by default, but for `api`, as in `all,api`
    MCP_TOOLSETS <NAMES> toolsets: BTreeSet<Toolset>;
    /// Offer these tools in addition to those of `MCP_TOOLSETS`
    MCP_TOOLS <NAMES> tools: BTreeSet<String>;
    /// Do not offer these tools
    MCP_EXCLUDE_TOOLS <NAMES> exclude_tools: BTreeSet<String>;
    /// Offer only tools that change nothing, whatever else is set
    MCP_READ_ONLY <BOOL> read_only: bool = "false";
    /// What callers may do at most: read_only, power_ops, vm_lifecycle, host_admin or full_admin
    MCP_PERMISSION <LEVEL> permission: Permission = "full_admin";
    /// When to ask before a change: always, ask (before a loss) or never
    MCP_CONFIRM <MODE> confirm: Mode = "ask";
    /// Do not ask before these tools act, unless `MCP_CONFIRM` is always
    MCP_CONFIRM_ALLOW <NAMES> confirm_allow: BTreeSet<String>;
    /// Include output schemas in `tools/list`, for programs that check answers
    MCP_OUTPUT_SCHEMAS <BOOL> output_schemas: bool = "false";
    /// Let tools read and write files in this directory, and nowhere else; without it they touch none, but for `mcvsphere tools call`, which uses the current directory
    MCP_FILES <DIR> files: PresentDirectory;
    /// Let tools fetch files from these web servers by https: names, `*.example.com`, networks such as `10.0.0.0/8`; `http://` before one allows plain http. A name alone reaches public addresses only
    MCP_URLS <HOSTS> urls: WebHosts;
    /// Time limit of a tool call in seconds; a time-out among its arguments may be longer
    MCP_CALL_TIMEOUT <SECONDS> call_timeout: Duration = "900";
    /// Seconds after which a call that takes long is answered as pending, where the client shows no progress
    MCP_PENDING_AFTER <SECONDS> pending_after: Duration = "50";
    /// How clients reach this server: stdio, or streamable-http for many users at MCP_HOST and MCP_PORT
    MCP_TRANSPORT <NAME> transport: TransportKind = "stdio";
    /// Address to listen on over HTTP; any but a loopback address needs tokens
    MCP_HOST <ADDRESS> listen_address: IpAddr = "127.0.0.1";
    /// Port to listen on over HTTP
    MCP_PORT <PORT> port: u16 = "8000";
    /// URL by which clients reach this server over HTTP, where it is not that of MCP_HOST and MCP_PORT: `https://mcp.example.com`
    MCP_PUBLIC_URL <URL> public_url: PublicUrl;
    /// Accept requests for these hosts too: names, each with or without a port. Loopback names and the host of MCP_PUBLIC_URL are always accepted
    MCP_ALLOWED_HOSTS <NAMES> allowed_hosts: BTreeSet<Authority>;
    /// Accept requests of web pages from these origins too, such as `https://inspector.example.com`
    MCP_ALLOWED_ORIGINS <URLS> allowed_origins: BTreeSet<WebOrigin>;
    /// Reverse proxies whose `X-Forwarded-For` is believed: addresses and networks
    MCP_TRUSTED_PROXIES <NETWORKS> trusted_proxies: BTreeSet<IpNet>;
    /// PEM file with the certificate for HTTPS, and those between it and its authority; read again when it changes
    MCP_TLS_CERT <FILE> tls_cert: PresentFile;
    /// PEM file with the key of MCP_TLS_CERT
    MCP_TLS_KEY <FILE> tls_key: PresentFile;
    /// Serve everyone who reaches the port over HTTP, without a token: yes-anyone-may-control-vsphere
    MCP_ALLOW_UNAUTHENTICATED <CONSENT> allow_unauthenticated: Consent;
    /// Users log in at a provider of identities (OIDC), and their groups give their levels: needs MCP_TRANSPORT=streamable-http
    OAUTH_ENABLED <BOOL> oauth_enabled: bool = "false";
    /// The provider, as its metadata names it: `https://login.example.com/realms/main`
    OAUTH_ISSUER_URL <URL> oauth_issuer_url: String;
    /// This server's client id at the provider
    OAUTH_CLIENT_ID <ID> oauth_client_id: String;
    /// The secret of OAUTH_CLIENT_ID; with one, clients log in through this server
    OAUTH_CLIENT_SECRET <SECRET> oauth_client_secret: Secret;
    /// File that holds the secret of OAUTH_CLIENT_ID
    OAUTH_CLIENT_SECRET_FILE <FILE> oauth_client_secret_file: PresentFile;
    /// The https URL by which clients know this server, without a path; MCP_PUBLIC_URL where that is set
    OAUTH_BASE_URL <URL> oauth_base_url: PublicUrl;
    /// Scopes that the provider is asked for; offline_access is added where it offers that
    OAUTH_SCOPES <SCOPES> oauth_scopes: Scopes = "openid profile email";
    /// The claim that names a user's groups: its name, or a JSON pointer such as `/realm_access/roles`
    OAUTH_GROUPS_CLAIM <CLAIM> oauth_groups_claim: String = "groups";
    /// Levels of groups, in the place of the usual: `cloud-admins=full_admin,helpdesk=power_ops`
    OAUTH_GROUP_MAP <MAP> oauth_group_map: GroupMap;
    /// Users must be in one of these groups as well
    OAUTH_REQUIRED_GROUPS <NAMES> oauth_required_groups: BTreeSet<String>;
    /// Audiences of the provider's tokens that count beside this server's URL, where clients get their tokens from the provider
    OAUTH_AUDIENCE <NAMES> oauth_audience: BTreeSet<String>;
    /// proxy: clients get their tokens here; direct: from the provider. By default proxy where there is a secret
    OAUTH_MODE <MODE> oauth_mode: OAuthMode;
    /// Random text of 24 characters or more with which tokens are sealed; by default they are with OAUTH_CLIENT_SECRET
    MCP_SIGNING_KEY <KEY> signing_key: Secret;
    /// The signing key before: what it has sealed stays valid
    MCP_SIGNING_KEY_PREVIOUS <KEY> previous_signing_key: Secret;
    /// Seconds for which calls that run may go on after a signal to stop, over HTTP
    MCP_STOP_TIMEOUT <SECONDS> stop_timeout: Duration = "8";
    /// Where the audit goes besides standard error: a file, syslog, or stderr for nowhere else
    MCP_AUDIT <WHERE> audit: AuditPlace;
    /// Append one line for each tool call to this file: the same as MCP_AUDIT with a file
    MCP_AUDIT_FILE <FILE> audit_file: PathBuf;
    /// Largest audit file in MiB, before it is renamed and another begins; five of those are kept
    MCP_AUDIT_MAX_MB <MIB> audit_max: Megabytes;
    /// Least severe log lines on standard error: error, warning, info, debug or trace
    LOG_LEVEL <LEVEL> log_level: tracing::Level;
}

impl Settings {
    /// Reads the settings: `environment` answers what a variable holds. An empty variable is as one that is not set.
    ///
    /// # Errors
    /// [`SettingsError`] when a value is not one that the setting can have, is no UTF-8 text, or is a placeholder such as
    /// `${VCENTER_PASSWORD}` that nothing has replaced; and when two settings contradict each other.
    pub fn new<T: Into<OsString>>(
        arguments: &SettingArgs,
        environment: impl Fn(&str) -> Option<T>,
    ) -> Result<Self, SettingsError> {
        let environment = |name: &str| environment(name).map(Into::into);
        let settings = Self::read(&Sources::new(arguments, &environment)?)?;
        settings.check_trust()?;
        settings.check_tls()?;
        if settings.audit.is_some() && settings.audit_file.is_some() {
            return Err(SettingsError::new(name::MCP_AUDIT, "contradicts MCP_AUDIT_FILE: set one of the two"));
        }
        if let Some(host) = settings.host() {
            let problem = |error: vsphere_ops::Error| SettingsError::new(name::VCENTER_HOST, error.to_string());
            settings.way_to(host).check().map_err(problem)?;
        }
        Ok(settings)
    }

    /// The same settings for a simulated vCenter, whatever they said of a real one.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn simulated(self, sim: &Sim) -> Self {
        let replaced = [
            name::VCENTER_HOST,
            name::VCENTER_USER,
            name::VCENTER_PASSWORD,
            name::VCENTER_INSECURE,
            name::VCENTER_THUMBPRINT,
            name::VCENTER_CA_FILE,
        ];
        Self {
            host: Some(sim.url()),
            user: Some(Model::USER.to_owned()),
            password: Some(Secret::new(Model::PASSWORD)),
            insecure: false,
            thumbprint: sim.thumbprint().map(|thumbprint| Fingerprint::new(thumbprint.to_string())),
            ca_file: None,
            in_force: self.in_force.into_iter().filter(|it| !replaced.contains(&it.name)).collect(),
            ..self
        }
    }

    /// The same settings for a user at a terminal, who works in this directory where none is set.
    #[must_use]
    pub(crate) fn at_work_in(self, directory: PathBuf) -> Self {
        Self { files: self.files.or(Some(PresentDirectory(directory))), ..self }
    }

    /// The files of this computer that tools may touch, if any.
    ///
    /// # Errors
    /// [`SettingsError`] when the directory cannot be read.
    pub(crate) fn local_files(&self) -> Result<Option<LocalFiles>, SettingsError> {
        let opened = self.files().map(|directory| {
            let problem = |error| SettingsError::new(name::MCP_FILES, format!("{}: {error}", directory.display()));
            LocalFiles::new(directory).map_err(problem)
        });
        opened.transpose()
    }

    /// How to reach vSphere.
    ///
    /// # Errors
    /// [`SettingsError`] when host, user or password is not set. Only calls that need vSphere fail by that, so that a
    /// client can list the tools of a server that is not yet set up.
    pub(crate) fn vsphere(&self) -> Result<Config, SettingsError> {
        let Some(host) = self.host() else {
            let problem = "is not set: set it to your vCenter or ESXi host, with VCENTER_USER and VCENTER_PASSWORD, or \
                           start mcvsphere with --sim to use a simulated one";
            return Err(SettingsError::new(name::VCENTER_HOST, problem));
        };
        let not_set = |name| SettingsError::new(name, "is not set");
        let config = self
            .way_to(host)
            .user(self.user().ok_or_else(|| not_set(name::VCENTER_USER))?)
            .password(self.password().ok_or_else(|| not_set(name::VCENTER_PASSWORD))?);
        Ok(config)
    }

    /// How to reach a server, without a user.
    fn way_to(&self, host: &str) -> Config {
        let config = Config::new(host).max_answer(self.max_answer().bytes());
        let config = config.proxies(|variable| self.proxy_variable(variable));
        match (self.insecure(), self.thumbprint(), self.ca_file()) {
            (true, ..) => config.insecure(true),
            (_, Some(thumbprint), _) => config.thumbprint(thumbprint),
            (_, _, Some(path)) => config.ca_file(path),
            _ => config,
        }
    }

    /// What a variable that names proxies holds.
    fn proxy_variable(&self, variable: &str) -> Option<String> {
        let address = match variable {
            name::HTTPS_PROXY => self.https_proxy(),
            name::HTTP_PROXY => self.http_proxy(),
            name::ALL_PROXY => self.all_proxy(),
            name::NO_PROXY => self.no_proxy(),
            _ => None,
        };
        address.map(str::to_owned)
    }

    /// The proxy by which vSphere is reached, without its password.
    pub(crate) fn proxy_in_use(&self) -> Option<String> {
        self.way_to(self.host()?).proxy_in_use().ok().flatten()
    }

    /// Which certificates are accepted, in words, and whether that is weaker than it should be.
    pub(crate) fn trust_in_words(&self) -> (bool, String) {
        if self.host().is_some_and(|host| Config::new(host).is_plain_http()) {
            let clear = "none: VCENTER_HOST is plain http://, so that the password and all else is sent in clear";
            return (true, clear.to_owned());
        }
        match (self.insecure(), self.thumbprint(), self.ca_file()) {
            (true, ..) => {
                let pin = "any is accepted (VCENTER_INSECURE): pin it with VCENTER_THUMBPRINT instead";
                (true, pin.to_owned())
            }
            (_, Some(thumbprint), _) => (false, format!("pinned to {thumbprint} (VCENTER_THUMBPRINT)")),
            (_, _, Some(path)) => {
                (false, format!("trusted by the authorities in {} (VCENTER_CA_FILE)", path.display()))
            }
            _ => (false, "trusted by the authorities of this machine".to_owned()),
        }
    }

    /// What makes this server less safe than it could be: each a setting, and what it means.
    pub(crate) fn warnings(&self) -> Vec<(&'static str, String)> {
        let mut warnings = Vec::new();
        if let (true, trust) = self.trust_in_words() {
            warnings.push(("trust", trust));
        }
        if self.confirm() == Mode::Never && !self.read_only() && self.permission() != Permission::ReadOnly {
            let unasked = format!(
                "never: tools act without a question, also where data is lost, up to the permission {}",
                self.permission().name()
            );
            warnings.push((name::MCP_CONFIRM, unasked));
        }
        if self.transport() == TransportKind::StreamableHttp && !self.listen_address().is_loopback() {
            let is_encrypted = self.known_as().is_some_and(|url| url.starts_with("https://"));
            if self.tls_cert().is_none() && !is_encrypted {
                let clear = "not set: tokens and all else are sent in clear, unless a reverse proxy encrypts";
                warnings.push((name::MCP_TLS_CERT, clear.to_owned()));
            }
            let is_open = self.bearer_tokens().is_empty() && !self.oauth_enabled();
            if self.allow_unauthenticated().is_some() && is_open {
                let anyone = "everyone who reaches the port is served without a token".to_owned();
                warnings.push((name::MCP_ALLOW_UNAUTHENTICATED, anyone));
            }
        }
        warnings
    }

    /// The settings that were given, and where.
    pub(crate) fn in_force(&self) -> &[InForce] {
        &self.in_force
    }

    /// The objects that tools use where a call names none.
    pub fn defaults(&self) -> Defaults {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        Defaults {
            datacenter: owned(self.datacenter()),
            cluster: owned(self.cluster()),
            datastore: owned(self.datastore()),
            network: owned(self.network()),
        }
    }

    /// Which of the tools are offered.
    pub(crate) fn offer(&self) -> Offer {
        let owned = |names: Option<&BTreeSet<String>>| names.cloned().unwrap_or_default();
        Offer {
            toolsets: self.toolsets().cloned().unwrap_or_default(),
            tools: owned(self.tools()),
            excluded: owned(self.exclude_tools()),
            read_only: self.read_only(),
            confirm: self.confirm(),
            unasked: owned(self.confirm_allow()),
        }
    }

    /// Where the audit goes besides the log.
    pub(crate) fn audit_target(&self) -> Option<Target> {
        let most = self.audit_max().map(Megabytes::bytes);
        let file = |path: &Path| Place::File { path: path.to_owned(), most };
        match (self.audit(), self.audit_file()) {
            (Some(AuditPlace::Stderr), _) | (None, None) => None,
            (Some(AuditPlace::Syslog), _) => Some(Target { place: Place::Syslog, setting: name::MCP_AUDIT }),
            (Some(AuditPlace::File(path)), _) => Some(Target { place: file(path), setting: name::MCP_AUDIT }),
            (None, Some(path)) => Some(Target { place: file(path), setting: name::MCP_AUDIT_FILE }),
        }
    }

    /// The bearer tokens of callers over HTTP.
    pub(crate) fn bearer_tokens(&self) -> &[Token] {
        &self.bearer_tokens
    }

    /// The stored credentials of guests.
    pub(crate) fn guest_credentials(&self) -> &GuestCredentials {
        &self.guest_credentials
    }

    fn check_tls(&self) -> Result<(), SettingsError> {
        match (self.tls_cert(), self.tls_key()) {
            (Some(_), None) => Err(SettingsError::new(name::MCP_TLS_KEY, "is not set, and MCP_TLS_CERT is")),
            (None, Some(_)) => Err(SettingsError::new(name::MCP_TLS_CERT, "is not set, and MCP_TLS_KEY is")),
            _ => Ok(()),
        }
    }

    fn check_trust(&self) -> Result<(), SettingsError> {
        let error = |name, problem| Err(SettingsError::new(name, problem));
        match (self.insecure(), self.thumbprint(), self.ca_file()) {
            (true, None, None) | (false, _, None) | (false, None, _) => Ok(()),
            (true, ..) => {
                let problem = "contradicts VCENTER_THUMBPRINT and VCENTER_CA_FILE: set one of the three";
                error(name::VCENTER_INSECURE, problem)
            }
            _ => error(name::VCENTER_THUMBPRINT, "contradicts VCENTER_CA_FILE: set one of the two"),
        }
    }
}

/// The key of the stored credentials of guests, which a file alone can have.
const GUEST_CREDENTIALS: &str = "GUEST_CREDENTIALS";

/// The key of the bearer tokens, which a file alone can have.
const TOKENS: &str = "TOKENS";

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

    /// A setting that names something that does not exist.
    pub(crate) fn unknown(setting: &'static str, what: &str, name: &str, nearest: Option<&str>) -> Self {
        Self::new(setting, unknown(what, name, nearest))
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.problem)
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn read(environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        read_with(&SettingArgs::default(), environment)
    }

    fn read_with(arguments: &SettingArgs, environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::new(arguments, |name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const BASE: &[(&str, &str)] = &[("VCENTER_HOST", "vc"), ("VCENTER_USER", "u"), ("VCENTER_PASSWORD", "p")];

    /// The settings on a command line.
    fn arguments(options: &[&str]) -> SettingArgs {
        try_arguments(options).unwrap()
    }

    fn try_arguments(options: &[&str]) -> Result<SettingArgs, clap::Error> {
        let command = SettingArgs::augment_args(clap::Command::new("mcvsphere"));
        let matches = command.try_get_matches_from(["mcvsphere"].iter().chain(options))?;
        SettingArgs::from_arg_matches(&matches)
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let arguments = arguments(&["--vcenter-host", "b"]);
        let settings = read_with(&arguments, &[("VCENTER_HOST", "a"), ("VCENTER_USER", "u")]);
        let settings = settings.unwrap();
        assert_eq!(settings.host(), Some("b"));
        assert_eq!(settings.user(), Some("u"));
    }

    #[test]
    fn an_error_names_the_setting() {
        for (setting, value) in [
            ("VCENTER_INSECURE", "maybe"),
            ("VCENTER_THUMBPRINT", "12:34"),
            ("VCENTER_CA_FILE", "/no/such/file"),
            ("MCP_FILES", "/no/such/directory"),
            ("MCP_URLS", "images.example, a/b"),
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
        assert_eq!(settings.host(), Some("b"));
        assert_eq!(settings.password(), Some("p"));
        assert_eq!(settings.offer().toolsets, [Toolset::Vm, Toolset::Power].into());
        assert_eq!(settings.defaults().datastore.as_deref(), Some("nvme"));
    }

    #[test]
    fn an_unknown_toolset_is_named_with_the_nearest() {
        let error = read(&[("MCP_TOOLSETS", "vm,snapshot")]).unwrap_err().to_string();
        assert_eq!(error, "MCP_TOOLSETS names the unknown toolset `snapshot`, did you mean `snapshots`?");
        let all = read(&[("MCP_TOOLSETS", "all")]).unwrap();
        assert_eq!(all.offer().toolsets.len(), Toolset::ALL.len() - 1);
        let with_api = read(&[("MCP_TOOLSETS", "all,api")]).unwrap();
        assert_eq!(with_api.offer().toolsets.len(), Toolset::ALL.len());
    }

    #[test]
    fn empty_is_not_set() {
        let settings = read(&[("VCENTER_HOST", ""), ("VCENTER_INSECURE", " ")]).unwrap();
        assert_eq!((settings.host(), settings.insecure()), (None, false));
    }

    #[test]
    fn a_placeholder_is_refused_by_name_and_a_password_never_shown() {
        for (setting, value) in [
            ("VCENTER_PASSWORD", "${VCENTER_PASSWORD}"),
            ("VCENTER_PASSWORD", "$VCENTER_PASSWORD"),
            ("VCENTER_PASSWORD", "${input:password}"),
            ("VCENTER_HOST", "<host>"),
            ("VCENTER_USER", "%VCENTER_USER%"),
            ("MCVSPHERE_CONFIG", "${HOME}/mcvsphere.yaml"),
            ("MCP_READ_ONLY", "${READ_ONLY}"),
        ] {
            let error = read(&[(setting, value)]).unwrap_err().to_string();
            assert!(error.starts_with(setting), "{error}");
            assert_eq!(error.contains(value), setting != "VCENTER_PASSWORD", "{error}");
        }
        let settings = read(&[("VCENTER_PASSWORD", "pa$$word${x}")]).unwrap();
        assert_eq!(settings.password(), Some("pa$$word${x}"));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_utf_8_is_refused_by_name_wherever_it_comes_from() {
        use std::os::unix::ffi::OsStringExt as _;

        let odd = || OsString::from_vec(b"tru\xffe".to_vec());
        for setting in ALL {
            let error = Settings::new(&SettingArgs::default(), |name| (name == setting.name).then(odd)).unwrap_err();
            assert!(error.to_string().starts_with(setting.name), "{error}");
        }
        let mut option = OsString::from("--read-only=");
        option.push(odd());
        let command = SettingArgs::augment_args(clap::Command::new("mcvsphere"));
        let matches = command.try_get_matches_from(["mcvsphere".into(), option]).unwrap();
        let arguments = SettingArgs::from_arg_matches(&matches).unwrap();
        let error = read_with(&arguments, &[]).unwrap_err().to_string();
        assert!(error.starts_with("MCP_READ_ONLY has bytes that are no UTF-8"), "{error}");
    }

    #[test]
    fn what_would_send_the_password_in_clear_is_refused_and_names_the_setting() {
        let pin = "a".repeat(64);
        let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (host, more) in [
            ("http://vc", vec![]),
            ("http://127.0.0.1:8989", vec![("VCENTER_THUMBPRINT", pin.as_str())]),
            ("http://127.0.0.1:8989", vec![("VCENTER_CA_FILE", ca)]),
            ("ftp://vc", vec![]),
        ] {
            let error = read(&[&[("VCENTER_HOST", host)], &more[..]].concat()).unwrap_err().to_string();
            assert!(error.starts_with("VCENTER_HOST ") && error.contains("https"), "{error}");
        }
        read(&[("VCENTER_HOST", "http://127.0.0.1:8989")]).unwrap();
        read(&[("VCENTER_HOST", "http://vcsim:8989"), ("VCENTER_INSECURE", "true")]).unwrap();
    }

    #[test]
    fn what_is_less_safe_than_it_could_be_is_said() {
        let warned = |environment: &[(&str, &str)]| {
            let warnings = read(environment).unwrap().warnings();
            warnings.into_iter().map(|(setting, text)| format!("{setting}: {text}")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(warned(&[("VCENTER_HOST", "vc")]), "");
        assert!(warned(&[("VCENTER_INSECURE", "true")]).contains("VCENTER_INSECURE"));
        assert!(warned(&[("VCENTER_HOST", "http://127.0.0.1")]).contains("in clear"));
        assert!(warned(&[("MCP_CONFIRM", "never")]).contains("MCP_CONFIRM: never: tools act without a question"));
        assert_eq!(warned(&[("MCP_CONFIRM", "never"), ("MCP_READ_ONLY", "1")]), "");
        assert_eq!(warned(&[("MCP_CONFIRM", "never"), ("MCP_PERMISSION", "read_only")]), "");
        let exposed = [("MCP_TRANSPORT", "http"), ("MCP_HOST", "0.0.0.0")];
        assert_eq!(warned(&[("MCP_TRANSPORT", "http")]), "");
        assert!(warned(&exposed).contains("MCP_TLS_CERT: not set"));
        assert_eq!(warned(&[exposed[0], exposed[1], ("MCP_PUBLIC_URL", "https://mcp.example")]), "");
        let anyone = ("MCP_ALLOW_UNAUTHENTICATED", "yes-anyone-may-control-vsphere");
        assert!(warned(&[exposed[0], exposed[1], anyone]).contains("without a token"));
    }

    #[test]
    fn the_proxy_comes_from_the_usual_variables_or_the_file_and_its_password_is_not_shown() {
        let proxy = |environment: &[(&str, &str)]| read(environment).unwrap().proxy_in_use();
        let host = ("VCENTER_HOST", "vc.example.com");
        assert_eq!(proxy(&[host]), None);
        let secret = ("https_proxy", "http://ann:hunter2@proxy:3128");
        assert_eq!(proxy(&[host, secret]).as_deref(), Some("http://proxy:3128"));
        assert_eq!(proxy(&[host, secret, ("NO_PROXY", ".example.com")]), None);
        assert_eq!(proxy(&[("VCENTER_HOST", "localhost"), secret]), None);
        let settings = read(&[host, secret]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let error = read(&[host, ("ALL_PROXY", "socks5://ann:hunter2@proxy")]).unwrap_err().to_string();
        assert!(error.contains("ALL_PROXY") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn an_answer_has_at_most_256_mib_or_what_is_set() {
        let most = |environment: &[(&str, &str)]| {
            let settings = read(&[BASE, environment].concat()).unwrap();
            format!("{:?}", settings.vsphere().unwrap())
        };
        assert!(most(&[]).contains("max_answer: 268435456"), "{}", most(&[]));
        assert!(most(&[("VCENTER_MAX_ANSWER_MB", "1")]).contains("max_answer: 1048576"));
        for wrong in ["0", "-1", "1.5", "much"] {
            let error = read(&[("VCENTER_MAX_ANSWER_MB", wrong)]).unwrap_err().to_string();
            assert!(error.starts_with("VCENTER_MAX_ANSWER_MB must be a number of MiB"), "{error}");
        }
    }

    #[test]
    fn the_settings_in_force_say_where_they_come_from_and_no_secret() {
        let settings = read_with(
            &arguments(&["--vcenter-host", "vc"]),
            &[("VCENTER_HOST", "other"), ("VCENTER_PASSWORD", "hunter2"), ("VCENTER_USER", "")],
        );
        let settings = settings.unwrap();
        let shown: Vec<_> = settings.in_force().iter().map(|it| (it.name, it.value.as_str(), it.origin)).collect();
        let expected = [("VCENTER_HOST", "vc", Origin::CommandLine), ("VCENTER_PASSWORD", "***", Origin::Environment)];
        assert_eq!(shown, expected);
    }

    #[test]
    fn debug_shows_no_secret() {
        let settings = read(&[("VCENTER_PASSWORD", "hunter2")]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn every_setting_but_a_secret_has_an_option_by_its_short_and_its_full_name() {
        for setting in ALL {
            let full = format!("--{}=x", setting.name.to_lowercase().replace('_', "-"));
            let given = try_arguments(&[&full]);
            match setting.option() {
                Some(short) => {
                    assert_eq!(given.unwrap().get(setting.name), Some("x".as_ref()), "{full}");
                    assert_eq!(arguments(&[&format!("--{short}=x")]).get(setting.name), Some("x".as_ref()), "{short}");
                }
                None => assert!(setting.secret && given.is_err(), "{full}"),
            }
        }
        let switches = arguments(&["--read-only", "--yes"]);
        assert_eq!(
            (switches.get("MCP_READ_ONLY"), switches.get("MCP_CONFIRM")),
            (Some("true".as_ref()), Some("never".as_ref()))
        );
        assert!(try_arguments(&["--yes", "--confirm", "ask"]).is_err());
    }

    #[test]
    fn help_has_every_setting_with_its_variable_and_its_default() {
        let help = SettingArgs::augment_args(clap::Command::new("mcvsphere")).render_help().to_string();
        for setting in ALL.iter().filter(|setting| !setting.secret) {
            let line = help.lines().find(|line| line.contains(&format!("[env: {}]", setting.name))).unwrap();
            let default = setting.default.map(|default| format!("[default: {default}]"));
            assert!(line.contains(setting.help()), "{line}");
            assert!(default.is_none_or(|default| line.ends_with(&default)), "{line}");
        }
    }

    /// README's table stands between these lines.
    const START: &str = "<!-- The settings: UPDATE_README=1 cargo test -p mcvsphere-mcp --lib settings -->\n";
    const END: &str = "<!-- The end of the settings -->\n";

    #[test]
    fn the_table_of_settings_in_readme_is_this_one() {
        let mut table = "\n| setting | option | what it is | default |\n|---|---|---|---|\n".to_owned();
        let code = |text: Option<String>| text.map(|text| format!("`{text}`")).unwrap_or_default();
        for setting in ALL {
            let option = code(setting.option().map(|option| format!("--{option}")));
            let default = code(setting.default.map(str::to_owned));
            table.push_str(&format!("| `{}` | {option} | {} | {default} |\n", setting.name, setting.help()));
        }
        table.push('\n');
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (before, rest) = readme.split_once(START).unwrap();
        let (committed, after) = rest.split_once(END).unwrap();
        if std::env::var_os("UPDATE_README").is_some() {
            std::fs::write(path, format!("{before}{START}{table}{END}{after}")).unwrap();
            return;
        }
        assert!(
            committed == table,
            "README's table of settings is old: UPDATE_README=1 writes this in its place\n{table}"
        );
    }
}
