//! The services of a host: SSH, NTP and the others.

use vsphere_model::types::{HostService, HostServiceInfo, HostServiceSourcePackage, NotFound};

use super::part;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::World;

pub(crate) const METHODS: Methods = &[
    ("HostServiceSystem", "StartService", Handler::Write(start)),
    ("HostServiceSystem", "StopService", Handler::Write(stop)),
    ("HostServiceSystem", "RestartService", Handler::Write(restart)),
    ("HostServiceSystem", "UpdateServicePolicy", Handler::Write(update_policy)),
    ("HostServiceSystem", "RefreshServices", Handler::Read(refresh)),
];

/// A service that every host has.
struct Kind {
    key: &'static str,
    label: &'static str,
    /// Whether it runs on a fresh host.
    running: bool,
    policy: &'static str,
    rulesets: &'static [&'static str],
}

const fn kind(
    key: &'static str,
    label: &'static str,
    running: bool,
    policy: &'static str,
    rulesets: &'static [&'static str],
) -> Kind {
    Kind { key, label, running, policy, rulesets }
}

const KINDS: &[Kind] = &[
    kind("DCUI", "Direct Console UI", true, "on", &[]),
    kind("TSM", "ESXi Shell", false, "off", &[]),
    kind("TSM-SSH", "SSH", false, "off", &["sshServer"]),
    kind("attestd", "attestd", false, "off", &[]),
    kind("dpd", "dpd", false, "off", &[]),
    kind("entropyd", "entropyd", true, "on", &[]),
    kind("kmxd", "kmxd", false, "off", &[]),
    kind("lbtd", "Load-Based Teaming Daemon", true, "on", &[]),
    kind("lwsmd", "Active Directory Service", false, "off", &["activeDirectoryAll"]),
    kind("ntpd", "NTP Daemon", true, "on", &["ntpClient"]),
    kind("pcscd", "PC/SC Smart Card Daemon", false, "off", &[]),
    kind("ptpd", "PTP Daemon", false, "off", &["ptpd"]),
    kind("sfcbd-watchdog", "CIM Server", false, "on", &["CIMHttpServer", "CIMHttpsServer"]),
    kind("slpd", "slpd", false, "off", &["CIMSLP"]),
    kind("snmpd", "SNMP Server", false, "on", &["snmp"]),
    kind("vltd", "VCDR LWD Delta Service", false, "on", &[]),
    kind("vpxa", "VMware vCenter Agent", true, "on", &["vpxHeartbeats"]),
    kind("xorg", "X.Org Server", false, "on", &[]),
];

/// The services of a host: of each kind whether it runs, and when it starts.
pub(in crate::objects) struct Services(Vec<Service>);

struct Service {
    running: bool,
    policy: Policy,
}

/// When a service starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// With the host.
    On,
    /// By hand.
    Off,
    /// When its ports are open in the firewall.
    Automatic,
}

impl Policy {
    fn parse(name: &str) -> Option<Self> {
        [Self::On, Self::Off, Self::Automatic].into_iter().find(|policy| policy.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Automatic => "automatic",
        }
    }
}

impl Default for Services {
    fn default() -> Self {
        let fresh =
            |kind: &Kind| Service { running: kind.running, policy: Policy::parse(kind.policy).unwrap_or(Policy::Off) };
        Self(KINDS.iter().map(fresh).collect())
    }
}

impl Services {
    pub(super) fn info(&self) -> HostServiceInfo {
        let describe = |(kind, service): (&Kind, &Service)| HostService {
            key: kind.key.to_owned(),
            label: kind.label.to_owned(),
            required: false,
            uninstallable: false,
            running: service.running,
            ruleset: kind.rulesets.iter().map(|&ruleset| ruleset.to_owned()).collect(),
            policy: service.policy.name().to_owned(),
            source_package: Some(Box::new(HostServiceSourcePackage {
                source_package_name: "esx-base".to_owned(),
                description: "This VIB contains all of the base functionality of vSphere ESXi.".to_owned(),
            })),
        };
        HostServiceInfo { service: KINDS.iter().zip(&self.0).map(describe).collect() }
    }

    /// After a reboot: what starts with the host runs, and nothing else.
    pub(super) fn boot(&mut self) {
        for service in &mut self.0 {
            service.running = service.policy == Policy::On && service.running;
        }
    }

    pub(super) fn set_running(&mut self, key: &str, running: bool) -> Outcome<()> {
        self.named(key)?.running = running;
        Ok(())
    }

    /// Whether a service runs.
    pub(super) fn runs(&self, key: &str) -> bool {
        KINDS.iter().zip(&self.0).any(|(kind, service)| kind.key == key && service.running)
    }

    fn named(&mut self, key: &str) -> Outcome<&mut Service> {
        let position = KINDS.iter().position(|kind| kind.key == key);
        position
            .and_then(|position| self.0.get_mut(position))
            .ok_or_else(|| Fault::new(NotFound::default(), format!("The host has no service '{key}'.")))
    }
}

/// The service that the call names, to change it.
fn service<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut Service> {
    let key: String = call.arg("id")?;
    part::edit_host(world, call)?.services.named(&key)
}

// Hosts since ESXi 5 answer without a fault where the service is in the state already.
fn start(world: &mut World, call: &Call) -> Outcome<Reply> {
    service(world, call)?.running = true;
    Ok(Reply::NONE)
}

fn stop(world: &mut World, call: &Call) -> Outcome<Reply> {
    service(world, call)?.running = false;
    Ok(Reply::NONE)
}

fn restart(world: &mut World, call: &Call) -> Outcome<Reply> {
    start(world, call)
}

fn update_policy(world: &mut World, call: &Call) -> Outcome<Reply> {
    let policy: String = call.arg("policy")?;
    let policy = Policy::parse(&policy).ok_or_else(|| Fault::invalid_argument("policy"))?;
    service(world, call)?.policy = policy;
    Ok(Reply::NONE)
}

/// The services are always fresh here.
fn refresh(world: &World, call: &Call) -> Outcome<Reply> {
    part::host_of(world, call)?;
    Ok(Reply::NONE)
}
