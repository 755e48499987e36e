//! The clock of a host: time, time zone, and the servers that it asks.

use chrono::{Duration, SubsecRound as _};
use vsphere_model::types::{
    DateTime, HostDateTimeConfig, HostDateTimeInfo, HostDateTimeSystemServiceTestResult, HostDateTimeSystemTimeZone,
    HostNtpConfig,
};

use super::part;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::dvs::numbers;
use crate::world::World;

pub(crate) const METHODS: Methods = &[
    ("HostDateTimeSystem", "QueryDateTime", Handler::Read(query)),
    ("HostDateTimeSystem", "UpdateDateTime", Handler::Write(update)),
    ("HostDateTimeSystem", "UpdateDateTimeConfig", Handler::Write(update_config)),
    ("HostDateTimeSystem", "RefreshDateTimeSystem", Handler::Read(refresh)),
    ("HostDateTimeSystem", "QueryAvailableTimeZones", Handler::Read(zones)),
    ("HostDateTimeSystem", "TestTimeService", Handler::Read(test)),
];

/// The time zones that a host offers, with what people call them. A host's clock shows UTC by default.
const ZONES: &[&str] = &[
    "UTC",
    "GMT",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Paris",
    "Europe/Zurich",
];

/// The clock of a host.
pub(in crate::objects) struct Clock {
    /// How far it is ahead of the simulator's own.
    ahead: Duration,
    zone: String,
    protocol: String,
    servers: Vec<String>,
    enabled: bool,
    events_disabled: bool,
    fallback_disabled: bool,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            ahead: Duration::zero(),
            zone: "UTC".to_owned(),
            protocol: "ntp".to_owned(),
            servers: vec!["0.pool.ntp.org".to_owned(), "1.pool.ntp.org".to_owned()],
            enabled: true,
            events_disabled: false,
            fallback_disabled: true,
        }
    }
}

impl Clock {
    /// What is told of it. It follows its servers where the service that asks them runs.
    pub(super) fn info(&self, world: &World, asks: bool) -> HostDateTimeInfo {
        let follows = asks && self.is_synchronized();
        let ntp_config =
            Some(Box::new(HostNtpConfig { server: self.servers.clone(), config_file: self.config_file() }));
        if !knows_protocols(world) {
            return HostDateTimeInfo { time_zone: zone(&self.zone), ntp_config, ..Default::default() };
        }
        HostDateTimeInfo {
            time_zone: zone(&self.zone),
            ntp_config,
            system_clock_protocol: Some(self.protocol.clone()),
            enabled: Some(self.enabled),
            disable_events: Some(self.events_disabled),
            disable_fallback: Some(self.fallback_disabled),
            in_fallback_state: Some(false),
            service_sync: Some(follows),
            remote_ntp_server: self.servers.first().filter(|_| follows).cloned(),
            ..Default::default()
        }
    }

    /// The lines of `ntp.conf`.
    fn config_file(&self) -> Vec<String> {
        let fixed = ["restrict default nomodify notrap nopeer noquery", "restrict 127.0.0.1"].map(str::to_owned);
        let servers = self.servers.iter().map(|server| format!("server {server}"));
        fixed.into_iter().chain(servers).chain(["driftfile /etc/ntp.drift".to_owned()]).collect()
    }

    fn is_synchronized(&self) -> bool {
        self.enabled && !self.servers.is_empty()
    }

    fn configure(&mut self, config: &HostDateTimeConfig) -> Outcome<()> {
        if let Some(zone) = &config.time_zone {
            if !ZONES.contains(&zone.as_str()) {
                return Err(Fault::invalid_argument("config.timeZone"));
            }
            self.zone.clone_from(zone);
        }
        if let Some(protocol) = &config.protocol {
            if !["ntp", "ptp"].contains(&protocol.as_str()) {
                return Err(Fault::invalid_argument("config.protocol"));
            }
            self.protocol.clone_from(protocol);
        }
        if let Some(ntp) = &config.ntp_config {
            let name_of = |line: &String| line.strip_prefix("server ").map(|name| name.trim().to_owned());
            let from_file: Vec<String> = ntp.config_file.iter().filter_map(name_of).collect();
            // A configuration file brings its own servers, and the list of servers stands for no file.
            self.servers = if from_file.is_empty() { ntp.server.clone() } else { from_file };
        }
        self.enabled = config.enabled.unwrap_or(self.enabled);
        self.events_disabled = config.disable_events.unwrap_or(self.events_disabled);
        self.fallback_disabled = config.disable_fallback.unwrap_or(self.fallback_disabled);
        Ok(())
    }
}

/// Whether hosts know more of the clock than its servers and its zone, as those since 7.0.3 do.
fn knows_protocols(world: &World) -> bool {
    numbers(&world.content.about.version) >= vec![7, 0, 3]
}

fn zone(key: &str) -> HostDateTimeSystemTimeZone {
    HostDateTimeSystemTimeZone {
        key: key.to_owned(),
        name: key.to_owned(),
        description: key.replace('_', " "),
        gmt_offset: 0,
    }
}

fn query(world: &World, call: &Call) -> Outcome<Reply> {
    let host = part::host(world, call)?;
    let now: DateTime = world.now() + host.clock.ahead;
    Ok(Reply::of(now.trunc_subsecs(3)))
}

fn update(world: &mut World, call: &Call) -> Outcome<Reply> {
    let time: DateTime = call.arg("dateTime")?;
    let ahead = time - world.now();
    part::edit_host(world, call)?.clock.ahead = ahead;
    Ok(Reply::NONE)
}

fn update_config(world: &mut World, call: &Call) -> Outcome<Reply> {
    let config: HostDateTimeConfig = call.arg("config")?;
    let newer = config.protocol.is_some()
        || config.enabled.is_some()
        || config.ptp_config.is_some()
        || config.disable_events.is_some()
        || config.disable_fallback.is_some()
        || config.reset_to_factory_defaults.is_some();
    if newer && !knows_protocols(world) {
        return Err(Fault::invalid_argument("config"));
    }
    let clock = &mut part::edit_host(world, call)?.clock;
    clock.configure(&config)?;
    // The first answer of a server sets the clock right.
    if clock.is_synchronized() {
        clock.ahead = Duration::zero();
    }
    Ok(Reply::NONE)
}

fn refresh(world: &World, call: &Call) -> Outcome<Reply> {
    part::host_of(world, call)?;
    Ok(Reply::NONE)
}

fn zones(world: &World, call: &Call) -> Outcome<Reply> {
    part::host_of(world, call)?;
    Ok(Reply::list(ZONES.iter().map(|key| zone(key)).collect()))
}

fn test(world: &World, call: &Call) -> Outcome<Reply> {
    let clock = &part::host(world, call)?.clock;
    let server = clock.servers.first().filter(|_| clock.enabled);
    let report = server.map_or_else(
        || "No time server is configured.".to_owned(),
        |server| format!("The clock follows {server}, offset 0.4 ms."),
    );
    Ok(Reply::of(HostDateTimeSystemServiceTestResult { working_normally: server.is_some(), report: vec![report] }))
}
