//! What is wrong with hosts.

use std::collections::{BTreeSet, HashMap};

use vsphere_model::types::{
    DateTime, ElementDescription, HealthSystemRuntime, HostCertificateManagerCertificateInfo, HostDateTimeInfo,
    HostMultipathInfoLogicalUnit, HostMultipathStateInfoPath, HostProxySwitch, HostService, HostSystemConnectionState,
    HostSystemPowerState, HostVirtualSwitch, ManagedObjectReference, PhysicalNic,
};
use vsphere_soap::object::format_date_time;

use super::seen::{Seen, Unseen};
use super::{Finding, Problem, Sensor, Severity, Subject, ends_soon, limits, whole_days};
use crate::client::Client;
use crate::find;
use crate::gaps::Gaps;
use crate::read::Values;

pub(super) const PATHS: &[&str] =
    &["runtime.connectionState", "runtime.powerState", "runtime.inMaintenanceMode", "runtime.inQuarantineMode"];

/// What is told at length: some 200 KB a host. The states of paths are read by name, which is short; which device a path leads
/// to is read of the hosts that have dead ones.
const INSIDE: &[&str] = &[HEALTH, NICS, SWITCHES, PROXY_SWITCHES, STORAGE, SERVICES, CLOCK, CERTIFICATES];

/// How many hosts are read at a time, so that no answer gets too large.
const PORTION: usize = 100;

const HEALTH: &str = "runtime.healthSystemRuntime";
const NICS: &str = "config.network.pnic";
const SWITCHES: &str = "config.network.vswitch";
const PROXY_SWITCHES: &str = "config.network.proxySwitch";
const STORAGE: &str = "config.multipathState.path";
const SERVICES: &str = "config.service.service";
const CLOCK: &str = "config.dateTimeInfo";
const CERTIFICATES: &str = "configManager.certificateManager";
const DEVICES: &str = "config.storageDevice.multipathInfo.lun";
const CERTIFICATE: &str = "certificateInfo";

/// How many sensors a finding names.
const SENSORS: usize = 10;

/// A host as it was seen.
pub(super) struct Host {
    pub(super) reference: ManagedObjectReference,
    pub(super) subject: Subject,
    state: Option<HostSystemConnectionState>,
    maintenance: bool,
    quarantine: bool,
    is_standby: bool,
    /// Dead paths and all paths, with the adapters of the dead.
    paths: Option<(usize, usize, BTreeSet<String>)>,
    certificates: Option<ManagedObjectReference>,
    /// What its configuration and its sensors say.
    found: Vec<(Severity, Problem)>,
}

impl Host {
    pub(super) fn new(mut seen: Seen) -> Self {
        let state: Option<HostSystemConnectionState> = seen.take("runtime.connectionState");
        let is_standby = seen.take::<HostSystemPowerState>("runtime.powerState") == Some(HostSystemPowerState::StandBy);
        Self {
            maintenance: seen.take("runtime.inMaintenanceMode").unwrap_or(false),
            quarantine: seen.take("runtime.inQuarantineMode").unwrap_or(false),
            is_standby,
            paths: None,
            certificates: None,
            found: Vec::new(),
            state,
            subject: seen.subject,
            reference: seen.reference,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        // One whose state can't be read is in the gaps, and what it does tell is looked at.
        !self.is_standby && self.state.as_ref().is_none_or(|state| *state == HostSystemConnectionState::Connected)
    }

    fn look_inside(&mut self, seen: &mut Seen, unseen: &mut Unseen) {
        const NOT_TOLD: &str = "the server does not tell it";
        let mut lacks = |seen: &Seen, path: &str, what| {
            // What was refused is in the gaps by its property.
            if !seen.is_refused(path) {
                unseen.note(what, NOT_TOLD);
            }
        };
        match seen.take::<HealthSystemRuntime>(HEALTH) {
            Some(health) => self.found.extend(hardware(&health)),
            None => lacks(seen, HEALTH, "hardware sensors of hosts"),
        }
        match seen.take::<Vec<PhysicalNic>>(NICS) {
            Some(nics) => {
                let switches = seen.take::<Vec<HostVirtualSwitch>>(SWITCHES).unwrap_or_default();
                let proxies = seen.take::<Vec<HostProxySwitch>>(PROXY_SWITCHES).unwrap_or_default();
                let standard = switches.iter().map(|switch| (switch.name.as_str(), &switch.pnic));
                let distributed = proxies.iter().map(|switch| (switch.dvs_name.as_str(), &switch.pnic));
                self.found.extend(standard.chain(distributed).filter_map(|(name, used)| uplinks(name, used, &nics)));
            }
            None => lacks(seen, NICS, "network uplinks of hosts"),
        }
        match seen.take::<Vec<HostMultipathStateInfoPath>>(STORAGE) {
            Some(paths) => {
                let dead = paths.iter().filter(|path| is_dead(&path.path_state));
                let adapters = dead.clone().filter_map(|path| path.name.split(':').next()).map(str::to_owned);
                self.paths = Some((dead.clone().count(), paths.len(), adapters.collect()));
            }
            None => lacks(seen, STORAGE, "storage paths of hosts"),
        }
        match (seen.take::<HostDateTimeInfo>(CLOCK), seen.take::<Vec<HostService>>(SERVICES)) {
            (Some(clock), Some(services)) => self.found.extend(self::clock(&clock, &services)),
            (None, _) => lacks(seen, CLOCK, "clocks of hosts"),
            (_, None) => lacks(seen, SERVICES, "clocks of hosts"),
        }
        self.certificates = seen.take(CERTIFICATES);
        if self.certificates.is_none() {
            lacks(seen, CERTIFICATES, "certificates of hosts");
        }
    }

    /// What is wrong with it, but for what takes further requests.
    pub(super) fn findings(&self, running_vms: usize) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut add = |severity, problem| findings.push(Finding::new(severity, self.subject.clone(), problem));
        if let Some(state) = self.state.as_ref().filter(|_| !self.is_standby && !self.is_connected()) {
            let severity = match state {
                // A user did that.
                HostSystemConnectionState::Disconnected => Severity::Warning,
                _ => Severity::Critical,
            };
            add(severity, Problem::HostUnreachable { state: state.clone(), running_vms });
        }
        if self.is_connected() && running_vms > 0 {
            if self.maintenance {
                add(Severity::Warning, Problem::Maintenance { running_vms });
            }
            if self.quarantine {
                add(Severity::Warning, Problem::Quarantine { running_vms });
            }
        }
        for (severity, problem) in &self.found {
            add(*severity, problem.clone());
        }
        findings
    }
}

/// Looks inside of the hosts that vCenter reaches: at their hardware, network, storage and clocks.
pub(super) async fn look_inside(client: &Client, hosts: &mut [Host], unseen: &mut Unseen, gaps: &mut Gaps) {
    const ALL: &str = "hardware, network, storage, clock and certificate of hosts";
    let (connected, lost): (Vec<&mut Host>, Vec<&mut Host>) = hosts.iter_mut().partition(|host| host.is_connected());
    for host in lost {
        // What vCenter may have of it is what it knew last.
        unseen.note(ALL, if host.is_standby { "they are in standby" } else { "vCenter does not reach them" });
    }
    let mut connected: HashMap<String, &mut Host> =
        connected.into_iter().map(|host| (host.reference.value.clone(), host)).collect();
    let references: Vec<ManagedObjectReference> = connected.values().map(|host| host.reference.clone()).collect();
    for some in references.chunks(PORTION) {
        match find::details(client, some.iter().cloned(), INSIDE).await {
            Ok(contents) => {
                gaps.append(Gaps::of(&contents));
                for content in contents {
                    let mut seen = Seen::new(content);
                    if let Some(host) = connected.get_mut(&seen.reference.value) {
                        host.look_inside(&mut seen, unseen);
                    }
                }
            }
            Err(error) => gaps.lacks(&format!("{ALL} ({})", some.len()), error.to_string()),
        }
    }
}

/// Sensors and parts that are yellow or red. Those that are unknown say nothing.
fn hardware(health: &HealthSystemRuntime) -> Option<(Severity, Problem)> {
    let bad = |name: &str, status: &ElementDescription| {
        let status = status.key.to_ascii_lowercase();
        matches!(status.as_str(), "red" | "yellow").then(|| Sensor { status, name: name.to_owned() })
    };
    let measured = health.system_health_info.iter().flat_map(|info| &info.numeric_sensor_info);
    let mut sensors: Vec<Sensor> =
        measured.filter_map(|sensor| bad(&sensor.name, sensor.health_state.as_deref()?)).collect();
    if let Some(parts) = &health.hardware_status_info {
        let elements = parts.memory_status_info.iter().chain(&parts.cpu_status_info).map(|part| &**part);
        let storage = parts.storage_status_info.iter().map(|part| &part.base);
        sensors.extend(elements.chain(storage).filter_map(|part| bad(&part.name, &part.status)));
    }
    sensors.sort();
    sensors.dedup();
    let severity = if sensors.first()?.status == "red" { Severity::Critical } else { Severity::Warning };
    let count = sensors.len();
    sensors.truncate(SENSORS);
    Some((severity, Problem::Hardware { sensors, count }))
}

/// What a switch has lost, where an adapter that it uses has no link.
fn uplinks(switch: &str, used: &[String], nics: &[PhysicalNic]) -> Option<(Severity, Problem)> {
    let named = |key: &&String| nics.iter().find(|nic| nic.key.as_ref() == Some(key));
    let (up, down): (Vec<&PhysicalNic>, Vec<&PhysicalNic>) =
        used.iter().filter_map(|key| named(&key)).partition(|nic| nic.link_speed.is_some());
    let severity = match (down.len(), up.len()) {
        (0, _) => return None,
        (_, 0) => Severity::Critical,
        // The default alarms "Network uplink redundancy lost" and "degraded" tell these apart, too.
        (_, 1) => Severity::Warning,
        _ => Severity::Notice,
    };
    let names = |nics: Vec<&PhysicalNic>| nics.into_iter().map(|nic| nic.device.clone()).collect();
    Some((severity, Problem::Uplinks { switch: switch.to_owned(), down: names(down), up: names(up) }))
}

fn is_dead(state: &str) -> bool {
    state == "dead"
}

/// How far the clock itself is off, only a request to each host would tell.
fn clock(clock: &HostDateTimeInfo, services: &[HostService]) -> Option<(Severity, Problem)> {
    let ptp = clock.system_clock_protocol.as_deref() == Some("ptp");
    let servers = clock.ntp_config.as_ref().map(|config| config.server.clone()).unwrap_or_default();
    if ptp || servers.is_empty() {
        return None;
    }
    let service_running = services.iter().any(|service| service.key == "ntpd" && service.running);
    let synchronized = clock.service_sync;
    let well = service_running && synchronized != Some(false);
    (!well).then_some((Severity::Warning, Problem::Clock { servers, service_running, synchronized }))
}

/// The hosts with dead paths, by which devices these lead to.
pub(super) async fn storage(client: &Client, hosts: &[Host], gaps: &mut Gaps) -> Vec<Finding> {
    let hit = |host: &&Host| host.paths.as_ref().is_some_and(|(dead, ..)| *dead > 0);
    let hit: Vec<&Host> = hosts.iter().filter(hit).collect();
    let mut devices: HashMap<String, Vec<HostMultipathInfoLogicalUnit>> = HashMap::new();
    for some in hit.chunks(PORTION) {
        let references = some.iter().map(|host| host.reference.clone());
        let contents = find::details(client, references, &[DEVICES]).await;
        for content in gaps.part("the devices of dead storage paths", contents) {
            let mut values = Values::new(content.prop_set, content.missing_set);
            values.refused().into_iter().for_each(|missing| gaps.note(missing));
            if let Some(units) = values.take::<Option<_>>(DEVICES).ok().flatten() {
                devices.insert(content.obj.value, units);
            }
        }
    }
    let finding = |host: &Host| {
        let (dead, paths, adapters) = host.paths.clone()?;
        let units = devices.get(&host.reference.value);
        // Of the devices that lost a path, those that have so many living ones.
        let left = |living: usize| {
            let count = |unit: &&HostMultipathInfoLogicalUnit| {
                let lost = unit.path.iter().any(|path| is_dead(&path.path_state));
                let lives = |state: &str| matches!(state, "active" | "standby");
                lost && unit.path.iter().filter(|path| lives(&path.path_state)).count() == living
            };
            units.map(|units| units.iter().filter(count).count())
        };
        let (devices_lost, devices_without_redundancy) = (left(0), left(1));
        let severity = match (devices_lost, devices_without_redundancy) {
            (Some(1..), _) => Severity::Critical,
            (Some(0), Some(0)) => Severity::Notice,
            _ => Severity::Warning,
        };
        let adapters = adapters.into_iter().collect();
        let problem = Problem::StoragePaths { dead, paths, adapters, devices_lost, devices_without_redundancy };
        Some(Finding::new(severity, host.subject.clone(), problem))
    };
    hit.into_iter().filter_map(finding).collect()
}

/// The hosts whose certificates expire, in a request for all of them.
pub(super) async fn certificates(client: &Client, hosts: &[Host], now: DateTime, gaps: &mut Gaps) -> Vec<Finding> {
    let of: HashMap<&str, &Host> =
        hosts.iter().filter_map(|host| Some((host.certificates.as_ref()?.value.as_str(), host))).collect();
    let references = hosts.iter().filter_map(|host| host.certificates.clone());
    let contents = match find::details(client, references, &[CERTIFICATE]).await {
        Ok(contents) => contents,
        Err(error) => {
            gaps.lacks("certificates of hosts", error.to_string());
            return Vec::new();
        }
    };
    let mut known = 0;
    let mut findings = Vec::new();
    for content in contents {
        let Some(host) = of.get(content.obj.value.as_str()) else { continue };
        let mut values = Values::new(content.prop_set, content.missing_set);
        let refused = values.refused();
        let info = values.take::<Option<HostCertificateManagerCertificateInfo>>(CERTIFICATE).ok().flatten();
        let expires = info.and_then(|info| info.not_after);
        known += usize::from(expires.is_some() || !refused.is_empty());
        refused.into_iter().for_each(|missing| gaps.note(missing));
        let Some(expires) = expires else { continue };
        let days_left = whole_days(expires - now);
        let (critical, warning) = (limits::CERTIFICATE_CRITICAL_DAYS, limits::CERTIFICATE_WARNING_DAYS);
        let Some(severity) = ends_soon(days_left, critical, warning) else { continue };
        let problem = Problem::Certificate { expires: format_date_time(&expires), days_left };
        findings.push(Finding::new(severity, host.subject.clone(), problem));
    }
    let unknown = of.len().saturating_sub(known);
    if unknown > 0 {
        gaps.lacks(&format!("certificates of hosts ({unknown})"), "the server does not tell when they expire");
    }
    findings
}
