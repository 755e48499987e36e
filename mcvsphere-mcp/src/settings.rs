//! Settings: from the command line, else from the environment, else from a file. Each is checked at start; an error names
//! the setting.

mod command_line;
mod file;
mod guests;
pub(crate) mod keyring;
mod kinds;
mod oauth;
mod placeholder;
mod policy;
mod replicas;
mod sources;
mod table;
#[cfg(test)]
mod tests;
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
    answer::Structured,
    audit::{Place, Target},
    backends::LoginMode,
    confirm::{Mode, MostObjects},
    credentials::GuestCredentials,
    files::LocalFiles,
    http::tokens::Token,
    oauth::Mode as OAuthMode,
    offer::Offer,
    policy::Policy,
};
pub use command_line::SettingArgs;
pub(crate) use kinds::Kind;
use kinds::{AuditPlace, Fingerprint, Megabytes, PresentDirectory, PresentFile, Secret, unknown, value};
use oauth::{GroupMap, Minutes, Scopes};
pub(crate) use replicas::ClaimsPlace;
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
    /// File that holds the user's password
    VCENTER_PASSWORD_FILE <FILE> password_file: PresentFile;
    /// Entry of your keyring that holds the user's password: SERVICE/USER, as `mcvsphere setup` makes it (Linux with secret-tool, macOS)
    VCENTER_PASSWORD_KEYRING <ENTRY> password_keyring: String;
    /// As whom callers are logged in to vCenter: service, the account above; or user, where each logs in on a page of this server, so that their own permissions hold
    VCENTER_LOGIN <WHO> login: LoginMode = "service";
    /// Seconds without a call after which a user's session with vCenter ends
    VCENTER_LOGIN_IDLE <SECONDS> login_idle: Duration = "1800";
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
    /// The most objects that one call may change or lose with something: a call that destroys more is refused, and says how many there are
    MCP_MAX_OBJECTS <NUMBER> max_objects: MostObjects = "20";
    /// Include output schemas in `tools/list`, for programs that check answers
    MCP_OUTPUT_SCHEMAS <BOOL> output_schemas: bool = "false";
    /// Whether answers have structured content beside their text: always, never, or auto, where those clients get none whose model would read it too
    MCP_STRUCTURED_CONTENT <MODE> structured_content: Structured = "auto";
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
    /// Where there are neither tokens nor OAUTH_ENABLED, make a token at each start over HTTP, and print it once on standard error
    MCP_MAKE_TOKEN <BOOL> make_token: bool = "false";
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
    /// Scopes that the provider is asked for; offline_access is added where it offers that, unless `-offline_access` stands here
    OAUTH_SCOPES <SCOPES> oauth_scopes: Scopes = "openid profile email";
    /// The claim that names a user's groups: its name, or a JSON pointer such as `/realm_access/roles`
    OAUTH_GROUPS_CLAIM <CLAIM> oauth_groups_claim: String = "groups";
    /// Levels by group, which replace the defaults: `cloud-admins=full_admin,helpdesk=power_ops`
    OAUTH_GROUP_MAP <MAP> oauth_group_map: GroupMap;
    /// Users must be in one of these groups as well
    OAUTH_REQUIRED_GROUPS <NAMES> oauth_required_groups: BTreeSet<String>;
    /// Audiences of the provider's tokens that count beside this server's URL, where clients get their tokens from the provider
    OAUTH_AUDIENCE <NAMES> oauth_audience: BTreeSet<String>;
    /// Ask the provider whose a token is that cannot be read here (RFC 7662). Needs OAUTH_MODE=direct and a client id and secret
    OAUTH_INTROSPECTION <BOOL> oauth_introspection: bool = "false";
    /// proxy: clients get their tokens here; direct: from the provider. By default proxy where there is a secret
    OAUTH_MODE <MODE> oauth_mode: OAuthMode;
    /// Random text of 24 characters or more, the same for all processes of one server: logins, confirmation tokens and cursors are sealed with it. By default logins are with OAUTH_CLIENT_SECRET, the others with a key of the process
    MCP_SIGNING_KEY <KEY> signing_key: Secret;
    /// The signing key before: what it has sealed stays valid
    MCP_SIGNING_KEY_PREVIOUS <KEY> previous_signing_key: Secret;
    /// Another name of MCP_SIGNING_KEY
    OAUTH_SIGNING_KEY <KEY> oauth_signing_key: Secret;
    /// Minutes for which an access token is good, 5 to 60: the groups of a user are read again after that
    OAUTH_TOKEN_MINUTES <MINUTES> oauth_token_minutes: Minutes = "30";
    /// Where several processes note which confirmation tokens are used, so that each takes those of the others: a directory on a volume that they share, or `redis://HOST:PORT/DB` (`rediss://` by TLS)
    MCP_CLAIMS <WHERE> claims: ClaimsPlace;
    /// The password of the Redis of MCP_CLAIMS
    MCP_CLAIMS_PASSWORD <PASSWORD> claims_password: Secret;
    /// File that holds the password of the Redis of MCP_CLAIMS
    MCP_CLAIMS_PASSWORD_FILE <FILE> claims_password_file: PresentFile;
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
        settings.check_password()?;
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
            name::VCENTER_PASSWORD_FILE,
            name::VCENTER_PASSWORD_KEYRING,
            name::VCENTER_INSECURE,
            name::VCENTER_THUMBPRINT,
            name::VCENTER_CA_FILE,
        ];
        Self {
            host: Some(sim.url()),
            user: Some(Model::USER.to_owned()),
            password: Some(Secret::new(Model::PASSWORD)),
            password_file: None,
            password_keyring: None,
            insecure: false,
            thumbprint: sim.thumbprint().map(|thumbprint| Fingerprint::new(thumbprint.to_string())),
            ca_file: None,
            in_force: self.in_force.into_iter().filter(|it| !replaced.contains(&it.name)).collect(),
            ..self
        }
    }

    /// The same settings for a server on standard input and output.
    #[must_use]
    pub(crate) fn over_stdio(self) -> Self {
        let in_force = self.in_force.into_iter().filter(|it| it.name != name::MCP_TRANSPORT).collect();
        Self { transport: TransportKind::Stdio, in_force, ..self }
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
        // What is set of an account is not used then.
        if self.login() == LoginMode::User {
            return Ok(self.way_to(host));
        }
        let not_set = |name| SettingsError::new(name, "is not set");
        let config = self
            .way_to(host)
            .user(self.user().ok_or_else(|| not_set(name::VCENTER_USER))?)
            .password(self.vsphere_password()?.ok_or_else(|| not_set(name::VCENTER_PASSWORD))?);
        Ok(config)
    }

    /// The password of the user, from where it is kept.
    ///
    /// # Errors
    /// The file cannot be read, or the keyring has no such entry.
    pub(crate) fn vsphere_password(&self) -> Result<Option<String>, SettingsError> {
        if let Some(entry) = self.password_keyring() {
            let problem = |text| SettingsError::new(name::VCENTER_PASSWORD_KEYRING, format!("cannot be used: {text}"));
            return keyring::password(entry, &|name| std::env::var_os(name)).map(Some).map_err(problem);
        }
        let Some(path) = self.password_file() else {
            return Ok(self.password().map(str::to_owned));
        };
        let problem = |text| format!("names the file {}: {text}", path.display());
        let password = guests::password_in(path).map_err(problem);
        password.map(Some).map_err(|problem| SettingsError::new(name::VCENTER_PASSWORD_FILE, problem))
    }

    /// A password is kept in one place.
    fn check_password(&self) -> Result<(), SettingsError> {
        let kept = [
            (name::VCENTER_PASSWORD, self.password().is_some()),
            (name::VCENTER_PASSWORD_FILE, self.password_file().is_some()),
            (name::VCENTER_PASSWORD_KEYRING, self.password_keyring().is_some()),
        ];
        let mut set = kept.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name);
        match (set.next(), set.next()) {
            (Some(first), Some(second)) => {
                Err(SettingsError::new(second, format!("contradicts {first}: set one of the two")))
            }
            _ => Ok(()),
        }
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
        let unused =
            [name::VCENTER_USER, name::VCENTER_PASSWORD, name::VCENTER_PASSWORD_FILE, name::VCENTER_PASSWORD_KEYRING];
        if self.login() == LoginMode::User
            && let Some(account) = self.in_force.iter().find(|it| unused.contains(&it.name))
        {
            warnings
                .push((account.name, "is not used: with VCENTER_LOGIN=user each user logs in themselves".to_owned()));
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
            max_objects: self.max_objects(),
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

    /// The bearer tokens that this settings file has now.
    ///
    /// # Errors
    /// The file cannot be read, or an entry is wrong.
    pub(crate) fn tokens_in(path: &Path) -> Result<Vec<Token>, SettingsError> {
        tokens::read(&file::read(path)?.tokens)
    }

    /// Who may use which tools on which objects.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
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

/// The key of the rules on tools and objects, which a file alone can have.
const POLICY: &str = "POLICY";

/// A secret that is set itself, or by the file that holds it.
///
/// # Errors
/// Both are set, or the file cannot be read.
fn secret(
    (name, value): (&'static str, Option<&str>),
    (file_name, file): (&'static str, Option<&Path>),
) -> Result<Option<String>, SettingsError> {
    match (value, file) {
        (Some(_), Some(_)) => Err(SettingsError::new(file_name, format!("contradicts {name}: set one of the two"))),
        (value, None) => Ok(value.map(str::to_owned)),
        (None, Some(path)) => {
            let problem = |error| SettingsError::new(file_name, format!("cannot be read: {error}"));
            Ok(Some(std::fs::read_to_string(path).map_err(problem)?.trim().to_owned()))
        }
    }
}

/// A setting that does not make sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    setting: &'static str,
    problem: String,
}

impl SettingsError {
    pub(crate) fn new(setting: &'static str, problem: impl Into<String>) -> Self {
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
