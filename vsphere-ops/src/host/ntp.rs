//! The clock of a host: which time servers it asks, and whether it does.

use serde::Serialize;
use vsphere_model::managed::{HostDateTimeSystem, HostSystem, host_date_time_system as clock, host_system as host};
use vsphere_model::types::{HostDateTimeConfig, HostDateTimeInfo, HostNtpConfig, HostSystemConnectionState};
use vsphere_soap::object::format_date_time;

use super::named;
use super::service::{Service, ServicePolicy};
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::gaps::Gaps;
use crate::mo::Mo;

/// The key of the service that asks the time servers.
const DAEMON: &str = "ntpd";

/// The first version of hosts that know a protocol of the clock, and whether that is enabled.
const WITH_PROTOCOL: [u32; 3] = [7, 0, 3];

/// How a host keeps its time.
///
/// ```
/// use vsphere_ops::host::NtpConfig;
///
/// fn is_kept(host: &NtpConfig) -> bool {
///     !host.ntp_servers.is_empty() && host.service_running == Some(true)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NtpConfig {
    /// The host's name.
    pub host: String,
    /// Its managed object id.
    pub id: String,
    /// The time servers, some with options behind the name.
    pub ntp_servers: Vec<String>,
    /// What the clock is kept by: `ntp` or `ptp`, where the host says (7.0.3 and newer).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Whether that is enabled, where the host says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether the NTP service runs; nothing is asked while it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_running: Option<bool>,
    /// When the NTP service starts: `on` (with the host), `off` (by hand) or `automatic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_policy: Option<String>,
    /// Whether the clock is synchronized, where the host says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synchronized: Option<bool>,
    /// The server that it follows, where the host says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub following: Option<String>,
    /// When it was synchronized last, RFC 3339, where the host says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_synchronized: Option<String>,
    /// What its clock shows, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_time: Option<String>,
    /// The time zone.
    pub time_zone: String,
    /// What is not known of it, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// How a host is to keep its time.
///
/// ```
/// use vsphere_ops::host::{NewNtp, ServicePolicy};
///
/// let new = NewNtp::of(["ntp1.example.com", "ntp2.example.com iburst"]).policy(ServicePolicy::On);
/// ```
#[derive(Debug, Clone)]
pub struct NewNtp {
    servers: Vec<String>,
    start: bool,
    policy: Option<ServicePolicy>,
}

impl NewNtp {
    /// These servers and no others; each may have options of `ntp.conf` behind its name. The NTP service is started, or
    /// restarted where it runs.
    pub fn of<S: Into<String>>(servers: impl IntoIterator<Item = S>) -> Self {
        Self { servers: servers.into_iter().map(Into::into).collect(), start: true, policy: None }
    }

    /// The NTP service is left as it is.
    ///
    /// ```
    /// let new = vsphere_ops::host::NewNtp::of(["ntp.example.com"]).without_start();
    /// ```
    #[must_use]
    pub fn without_start(self) -> Self {
        Self { start: false, ..self }
    }

    /// When the NTP service starts; as before by default.
    #[must_use]
    pub fn policy(self, policy: ServicePolicy) -> Self {
        Self { policy: Some(policy), ..self }
    }
}

/// A plan to replace the time servers of a host, with what is there now.
///
/// ```
/// use vsphere_ops::host::NtpPlan;
///
/// fn is_a_loss(plan: &NtpPlan) -> bool {
///     !plan.removed.is_empty()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is changed before it is carried out"]
pub struct NtpPlan {
    /// The host's name.
    pub host: String,
    /// Its managed object id.
    pub id: String,
    /// The time servers that it has.
    pub servers_now: Vec<String>,
    /// Those that it is to have.
    pub servers_then: Vec<String>,
    /// Those that it would lose.
    pub removed: Vec<String>,
    /// The protocol that its clock is kept by now, where that is another one than NTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_protocol: Option<String>,
    /// Whether the NTP service would be started, or restarted.
    pub starts_service: bool,
    /// When the service starts now.
    pub policy_now: String,
    /// When it is to start.
    pub policy_then: String,
    #[serde(skip)]
    clock: Clock,
    #[serde(skip)]
    daemon: Service,
    #[serde(skip)]
    config: Option<HostDateTimeConfig>,
    #[serde(skip)]
    policy: Option<ServicePolicy>,
}

/// What a change of a host's time servers has led to.
///
/// ```
/// use vsphere_ops::host::NtpChange;
///
/// fn line(change: &NtpChange) -> String {
///     format!("{:?} instead of {:?}", change.now.ntp_servers, change.previous_servers)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NtpChange {
    /// Whether anything had to be changed.
    pub changed: bool,
    /// The time servers before.
    pub previous_servers: Vec<String>,
    /// How it is now.
    #[serde(flatten)]
    pub now: NtpConfig,
}

/// The clock of a host, as it was seen.
#[derive(Debug, Clone)]
struct Clock {
    host: Mo<HostSystem>,
    system: Mo<HostDateTimeSystem>,
    seen: HostDateTimeInfo,
}

impl Clock {
    async fn read(host: &Mo<HostSystem>, operation: &str) -> Result<Self> {
        let managers = host.read(host::CONFIG_MANAGER).await.map_err(named(host, operation))?;
        let Some(system) = managers.date_time_system else {
            let text = "the server offers no clock of it";
            return Err(Error::new(operation, ErrorKind::Unsupported(text.to_owned())).on(host.label()));
        };
        let system: Mo<HostDateTimeSystem> = Mo::new(host.client(), &system, Some(host.label().to_owned()));
        let seen = system.read(clock::DATE_TIME_INFO).await.map_err(named(host, operation))?;
        Ok(Self { host: host.clone(), system, seen })
    }

    fn servers(&self) -> &[String] {
        self.seen.ntp_config.as_ref().map(|config| config.server.as_slice()).unwrap_or_default()
    }
}

impl Mo<HostSystem> {
    /// Reads how the host keeps its time. It asks the host to look at nothing anew, which would take more than a right to read.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let clock = client.get::<HostSystem>("esx-01.corp.example").await?.ntp().await?;
    /// println!("{:?}; runs: {:?}, {:?}", clock.ntp_servers, clock.service_running, clock.current_time);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` where the host has no clock, and server errors.
    pub async fn ntp(&self) -> Result<NtpConfig> {
        const OPERATION: &str = "read the clock of";
        let clock = Clock::read(self, OPERATION).await?;
        let mut gaps = Gaps::default();
        let daemon = gaps.part("the NTP service", self.service(DAEMON).await.map(Some));
        let now = match self.read(host::CONNECTION_STATE).await.map_err(named(self, OPERATION))? {
            HostSystemConnectionState::Connected => {
                let now = clock.system.query_date_time().await.map_err(Error::from).map(Some);
                gaps.part("what its clock shows", now)
            }
            _ => None,
        };
        Ok(NtpConfig {
            host: self.label().to_owned(),
            id: self.id().to_owned(),
            ntp_servers: clock.servers().to_vec(),
            service_running: daemon.as_ref().map(|daemon| daemon.running),
            service_policy: daemon.as_ref().map(|daemon| daemon.policy.clone()),
            protocol: clock.seen.system_clock_protocol,
            enabled: clock.seen.enabled,
            synchronized: clock.seen.service_sync,
            following: clock.seen.remote_ntp_server,
            last_synchronized: clock.seen.last_sync_time.as_ref().map(format_date_time),
            current_time: now.as_ref().map(format_date_time),
            time_zone: clock.seen.time_zone.key,
            gaps,
        })
    }

    /// Plans to replace the time servers of the host.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::host::{NewNtp, ServicePolicy};
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
    /// let plan = host.ntp_change(&NewNtp::of(["ntp.corp.example"]).policy(ServicePolicy::On)).await?;
    /// println!("{} instead of {:?}", plan.servers_then.join(", "), plan.servers_now);
    /// assert!(plan.changes());
    /// let done = plan.carry_out().await?;
    /// assert_eq!((done.changed, done.now.service_running), (true, Some(true)));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` without a server, or with one that is no line of a configuration file; and those of
    /// [`ntp`](Self::ntp).
    pub async fn ntp_change(&self, new: &NewNtp) -> Result<NtpPlan> {
        let servers = checked(&new.servers).map_err(|error| error.on(self.label()))?;
        let clock = Clock::read(self, CHANGE).await?;
        let daemon = self.service(DAEMON).await?;
        let product = self.read(host::SUMMARY_PRODUCT).await.map_err(named(self, CHANGE))?;
        let version = product.map(|product| product.version).unwrap_or_default();
        let config = config(&clock.seen, &servers, new.start, has_protocol(&version));
        let policy = new.policy.filter(|policy| policy.to_string() != daemon.policy);
        let other = |protocol: &&String| protocol.as_str() != "ntp";
        Ok(NtpPlan {
            host: self.label().to_owned(),
            id: self.id().to_owned(),
            servers_now: clock.servers().to_vec(),
            removed: clock.servers().iter().filter(|server| !servers.contains(server)).cloned().collect(),
            servers_then: servers,
            replaced_protocol: clock.seen.system_clock_protocol.as_ref().filter(other).cloned(),
            starts_service: new.start && (!daemon.running || config.is_some()),
            policy_now: daemon.policy.clone(),
            policy_then: policy.map_or_else(|| daemon.policy.clone(), |policy| policy.to_string()),
            clock,
            daemon,
            config,
            policy,
        })
    }
}

const CHANGE: &str = "set the time servers of";

impl NtpPlan {
    /// Whether it changes anything.
    pub fn changes(&self) -> bool {
        self.config.is_some() || self.policy.is_some() || self.starts_service
    }

    /// Replaces the list, sets when the service starts, and starts it, as far as that is planned. Takes the privileges
    /// `Host.Config.DateTime` and `Host.Config.NetService`.
    ///
    /// # Errors
    /// `changed` if the host has other servers now than when this was planned, and server errors.
    pub async fn carry_out(self) -> Result<NtpChange> {
        let host = self.clock.host.clone();
        let failed = named(&host, CHANGE);
        if let Some(config) = &self.config {
            let now = Clock::read(&host, CHANGE).await?;
            if now.servers() != self.servers_now
                || now.seen.system_clock_protocol != self.clock.seen.system_clock_protocol
            {
                let text = "its time servers have changed since this was planned, so nothing was done";
                return Err(Error::new(CHANGE, ErrorKind::Changed(text.to_owned())).on(host.label()));
            }
            self.clock.system.update_date_time_config(config).await.map_err(Error::from).map_err(&failed)?;
        }
        if let Some(policy) = self.policy {
            self.daemon.set_policy(policy).await?;
        }
        if self.starts_service {
            match self.daemon.running {
                true => self.daemon.restart().await?,
                false => self.daemon.start().await?,
            };
        }
        Ok(NtpChange { changed: self.changes(), previous_servers: self.servers_now, now: host.ntp().await? })
    }
}

/// The servers without blanks around them, each once.
fn checked(given: &[String]) -> Result<Vec<String>> {
    let mut servers: Vec<String> = Vec::new();
    for server in given {
        let server = server.trim();
        if server.is_empty() || server.starts_with('#') || server.chars().any(char::is_control) {
            let text =
                format!("{server:?} is no time server: give a name or an address, with options behind it if any");
            return Err(invalid(CHANGE, text));
        }
        if !servers.iter().any(|known| known == server) {
            servers.push(server.to_owned());
        }
    }
    // An empty list would take away all that are there.
    match servers.is_empty() {
        true => Err(invalid(CHANGE, "no time server is given")),
        false => Ok(servers),
    }
}

/// What the clock has to be told; `None` where it is so. A host that knows no protocol is told of none.
fn config(seen: &HostDateTimeInfo, servers: &[String], start: bool, has_protocol: bool) -> Option<HostDateTimeConfig> {
    let same = seen.ntp_config.as_ref().is_some_and(|config| config.server == servers);
    let protocol = (has_protocol && seen.system_clock_protocol.as_deref() != Some("ntp")).then(|| "ntp".to_owned());
    let enabled = (has_protocol && start && seen.enabled == Some(false)).then_some(true);
    if same && protocol.is_none() && enabled.is_none() {
        return None;
    }
    let ntp_config = HostNtpConfig { server: servers.to_vec(), ..Default::default() };
    Some(HostDateTimeConfig { ntp_config: Some(Box::new(ntp_config)), protocol, enabled, ..Default::default() })
}

/// Whether a host of this version (`7.0.3`) knows a protocol of the clock. It is the host's version that counts, whatever
/// that of its vCenter is.
fn has_protocol(version: &str) -> bool {
    let numbers: Vec<u32> = version.split('.').map_while(|number| number.parse().ok()).collect();
    numbers.as_slice() >= WITH_PROTOCOL.as_slice()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    #[test]
    fn the_version_of_the_host_says_whether_there_is_a_protocol() {
        for (version, expected) in [
            ("7.0.3", true),
            ("8.0.0", true),
            ("9.0", true),
            ("7.0.2", false),
            ("7.0", false),
            ("6.7.0", false),
            ("", false),
        ] {
            assert_eq!(has_protocol(version), expected, "{version}");
        }
    }

    #[test]
    fn a_host_is_told_only_what_it_knows_and_what_is_new() {
        let seen = |server: &str, protocol: Option<&str>, enabled| HostDateTimeInfo {
            ntp_config: Some(Box::new(HostNtpConfig { server: vec![server.to_owned()], ..Default::default() })),
            system_clock_protocol: protocol.map(str::to_owned),
            enabled,
            ..Default::default()
        };
        let wanted = ["a".to_owned()];
        assert_eq!(config(&seen("a", Some("ntp"), Some(true)), &wanted, true, true), None);
        assert_eq!(config(&seen("a", None, None), &wanted, true, false), None);
        let told = config(&seen("b", None, None), &wanted, true, false).unwrap();
        assert_eq!((told.ntp_config.unwrap().server, told.protocol, told.enabled), (wanted.to_vec(), None, None));
        let told = config(&seen("a", Some("ptp"), Some(false)), &wanted, true, true).unwrap();
        assert_eq!((told.protocol.as_deref(), told.enabled), (Some("ntp"), Some(true)));
        // The list goes with it: one that is left out would be taken for an empty one.
        assert_eq!(told.ntp_config.unwrap().server, wanted);
        assert_eq!(config(&seen("a", Some("ptp"), Some(false)), &wanted, false, true).unwrap().enabled, None);
    }

    #[test]
    fn a_list_of_servers_is_never_empty_nor_more_than_lines() {
        let given = |servers: &[&str]| checked(&servers.iter().map(|&server| server.to_owned()).collect::<Vec<_>>());
        assert_eq!(given(&[" a ", "b iburst", "a"]).unwrap(), ["a", "b iburst"]);
        for wrong in [&[][..], &[""], &["a", " "], &["a\nrestrict default"], &["# a"]] {
            assert_eq!(given(wrong).unwrap_err().code(), "invalid_argument", "{wrong:?}");
        }
    }
}
