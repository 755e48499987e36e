//! What keeps a VM on its host.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Serialize;
use vsphere_model::managed::{ClusterComputeResource, HostSystem, cluster_compute_resource as cluster};
use vsphere_model::managed::{host_system as host, virtual_machine as vm};
use vsphere_model::types::{
    ClusterAntiAffinityRuleSpec, ClusterConfigInfoEx, ClusterHostGroup, ClusterVmGroup, ClusterVmHostRuleInfo,
    ComputeResourceConfigInfo, DrsBehavior, HostSystemConnectionState, HostSystemPowerState, ManagedByInfo,
    ManagedObjectReference, Poly, VirtualDevice, VirtualDeviceDeviceBackingInfo, VirtualDeviceRemoteDeviceBackingInfo,
    VirtualEthernetCard, VirtualMachinePowerState, VirtualPCIPassthrough, VirtualSCSIController,
    VirtualSCSIPassthrough, VirtualSCSISharing, VirtualSoundCard, VirtualSriovEthernetCard, VirtualUSB,
};
use vsphere_soap::object::{DataType, ManagedType as _};

use crate::client::Client;
use crate::device;
use crate::error::Result;
use crate::find::{self, label};
use crate::mo::Mo;
use crate::read::Values;
use crate::vm::optional;

/// How far DRS moves VMs by itself.
///
/// ```
/// use vsphere_ops::host::Drs;
///
/// assert_eq!(serde_json::to_string(&Drs::Recommends).unwrap(), r#""recommends""#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Drs {
    /// Not at all: it is off, or the host is in no cluster.
    Off,
    /// It recommends moves, which somebody has to apply.
    Recommends,
    /// It moves them.
    Moves,
}

/// What keeps a VM on its host.
///
/// ```
/// use vsphere_ops::host::Obstacle;
///
/// let local = Obstacle::Datastore { name: "datastore1".into() };
/// assert_eq!(local.to_string(), "no other host that can take it has the datastore datastore1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Obstacle {
    /// Nothing moves it by itself: DRS is off, or the host is in no cluster.
    NoDrs,
    /// DRS recommends its move, and somebody has to apply that.
    DrsOnlyRecommends,
    /// DRS is off for this VM.
    DrsOffForVm,
    /// No other host of the cluster is connected, on, and out of maintenance mode.
    NoOtherHost,
    /// The host, or each one that could take it, is not set up for vMotion.
    NoVmotion,
    /// A device of the host is passed through to it.
    PassthroughDevice {
        /// The device's label.
        name: String,
    },
    /// A device is connected to one of the host or of somebody's computer.
    ConnectedDevice {
        /// The device's label.
        name: String,
    },
    /// It shares a SCSI bus with another VM.
    SharedBus {
        /// The controller's label.
        name: String,
    },
    /// Files of it are in a datastore that no other host has.
    Datastore {
        /// The datastore's name.
        name: String,
    },
    /// It is in a network that no other host has.
    Network {
        /// The network's name.
        name: String,
    },
    /// A rule of DRS keeps it off all other hosts.
    Rule {
        /// The rule's name.
        name: String,
    },
    /// No single other host has all that it needs.
    NoSuitableHost,
    /// Nothing that is known of: DRS had not moved it when the time was up.
    NotMovedInTime,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDrs => f.write_str("no DRS moves it"),
            Self::DrsOnlyRecommends => f.write_str("DRS only recommends its move"),
            Self::DrsOffForVm => f.write_str("DRS is off for it"),
            Self::NoOtherHost => f.write_str("no other host of the cluster can take it"),
            Self::NoVmotion => f.write_str("vMotion is not set up between its host and another one"),
            Self::PassthroughDevice { name } => write!(f, "{name} of the host is passed through to it"),
            Self::ConnectedDevice { name } => write!(f, "{name} is connected to a device of the host or of a client"),
            Self::SharedBus { name } => write!(f, "{name} shares its bus with other VMs"),
            Self::Datastore { name } => write!(f, "no other host that can take it has the datastore {name}"),
            Self::Network { name } => write!(f, "no other host that can take it has the network {name}"),
            Self::Rule { name } => write!(f, "the DRS rule {name} keeps it there"),
            Self::NoSuitableHost => f.write_str("no single other host has all that it needs"),
            Self::NotMovedInTime => f.write_str("DRS has not moved it in time"),
        }
    }
}

/// A VM on a host, as far as its move is concerned.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) power_state: VirtualMachinePowerState,
    pub(super) template: bool,
    /// An agent, such as those of vSphere Cluster Services, which its manager takes away by itself.
    pub(super) agent: bool,
    datastores: Vec<ManagedObjectReference>,
    networks: Vec<ManagedObjectReference>,
    devices: Vec<Obstacle>,
}

impl Machine {
    pub(super) fn runs(&self) -> bool {
        self.power_state == VirtualMachinePowerState::PoweredOn
    }
}

/// Another host of the cluster that can take VMs.
struct Candidate {
    id: ManagedObjectReference,
    vmotion: bool,
    datastores: HashSet<ManagedObjectReference>,
    networks: HashSet<ManagedObjectReference>,
}

/// What surrounds a host, as far as it decides where its VMs can go.
pub(super) struct Surroundings {
    pub(super) maintenance: bool,
    /// The name of its cluster.
    pub(super) cluster: Option<String>,
    pub(super) drs: Drs,
    vmotion: bool,
    config: Option<ClusterConfigInfoEx>,
    candidates: Vec<Candidate>,
    pub(super) machines: Vec<Machine>,
    /// The names of datastores and networks.
    names: HashMap<String, String>,
    /// Where the VMs of anti-affinity rules are.
    places: HashMap<String, ManagedObjectReference>,
}

const MACHINE: [&str; 7] = [
    "name",
    vm::POWER_STATE.path(),
    "config.template",
    "config.managedBy",
    vm::DATASTORE.path(),
    vm::NETWORK.path(),
    vm::DEVICES.path(),
];

const OTHER: [&str; 6] = [
    host::CONNECTION_STATE.path(),
    host::POWER_STATE.path(),
    host::IN_MAINTENANCE_MODE.path(),
    "summary.config.vmotionEnabled",
    host::DATASTORE.path(),
    host::NETWORK.path(),
];

impl Surroundings {
    /// Reads them in a handful of requests, however many VMs there are.
    pub(super) async fn of(target: &Mo<HostSystem>) -> Result<Self> {
        let client = target.client();
        let (maintenance, summary, parent, vms) =
            target.read((host::IN_MAINTENANCE_MODE, host::SUMMARY, host::PARENT, host::VM)).await?;
        let machines: Vec<Machine> = find::details(client, vms, &MACHINE).await?.into_iter().map(machine).collect();
        let in_cluster = parent.filter(|parent| parent.type_ == ClusterComputeResource::INFO.name);
        let mut surroundings = Self {
            maintenance,
            cluster: None,
            drs: Drs::Off,
            vmotion: summary.config.vmotion_enabled,
            config: None,
            candidates: Vec::new(),
            machines,
            names: HashMap::new(),
            places: HashMap::new(),
        };
        if let Some(cluster) = in_cluster {
            surroundings.look_at_cluster(client, &cluster, target.reference()).await?;
        }
        let needed = surroundings.machines.iter().flat_map(|vm| vm.datastores.iter().chain(&vm.networks)).cloned();
        surroundings.names = find::names(client, needed.collect::<HashSet<_>>()).await?;
        Ok(surroundings)
    }

    async fn look_at_cluster(
        &mut self,
        client: &Client,
        cluster: &ManagedObjectReference,
        itself: &ManagedObjectReference,
    ) -> Result<()> {
        let paths = ["name", cluster::CONFIGURATION_EX.path(), cluster::HOST.path()];
        let Some(content) = find::details(client, [cluster.clone()], &paths).await?.pop() else { return Ok(()) };
        self.cluster = Some(label(&content));
        let mut values = Values::new(content.prop_set, content.missing_set);
        let config: Option<Poly<ComputeResourceConfigInfo>> = optional(&mut values, cluster::CONFIGURATION_EX.path());
        self.config = config.and_then(|config| config.downcast_ref::<ClusterConfigInfoEx>().cloned());
        self.drs = self.config.as_ref().map_or(Drs::Off, drs);
        let hosts: Vec<ManagedObjectReference> = optional(&mut values, cluster::HOST.path()).unwrap_or_default();
        let others = hosts.into_iter().filter(|host| host != itself);
        for content in find::details(client, others, &OTHER).await? {
            let id = content.obj.clone();
            let mut values = Values::new(content.prop_set, content.missing_set);
            self.candidates.extend(candidate(id, &mut values));
        }
        let apart = self.config.iter().flat_map(|config| &config.rule).filter(|rule| rule.enabled == Some(true));
        let apart = apart.filter_map(|rule| rule.downcast_ref::<ClusterAntiAffinityRuleSpec>());
        let others: HashSet<ManagedObjectReference> = apart.flat_map(|rule| rule.vm.iter().cloned()).collect();
        for content in find::details(client, others, &[vm::HOST.path()]).await? {
            let mut values = Values::new(content.prop_set, content.missing_set);
            if let Some(host) = optional(&mut values, vm::HOST.path()) {
                self.places.insert(content.obj.value, host);
            }
        }
        Ok(())
    }

    /// What keeps the VM from leaving by itself; nothing where DRS moves it.
    pub(super) fn obstacles(&self, machine: &Machine) -> Vec<Obstacle> {
        let mut found: Vec<Obstacle> = self.by_itself(machine).into_iter().collect();
        if machine.runs() {
            found.extend(machine.devices.iter().cloned());
            let able = self.vmotion && (self.candidates.is_empty() || self.candidates.iter().any(|host| host.vmotion));
            if !able {
                found.push(Obstacle::NoVmotion);
            }
        }
        if self.cluster.is_some() {
            found.extend(self.no_place(machine));
        }
        found
    }

    /// Why DRS does not move it without being told.
    fn by_itself(&self, machine: &Machine) -> Option<Obstacle> {
        let config = self.config.as_ref().filter(|_| self.drs != Drs::Off);
        let Some(config) = config else { return Some(Obstacle::NoDrs) };
        let overrides = config.drs_config.enable_vm_behavior_overrides != Some(false);
        let own = config.drs_vm_config.iter().find(|own| own.key.value == machine.id).filter(|_| overrides);
        if own.is_some_and(|own| own.enabled == Some(false)) {
            return Some(Obstacle::DrsOffForVm);
        }
        let moves = match own.and_then(|own| own.behavior.as_ref()) {
            Some(behavior) => *behavior == DrsBehavior::FullyAutomated,
            None => self.drs == Drs::Moves,
        };
        (!moves).then_some(Obstacle::DrsOnlyRecommends)
    }

    /// Why no other host of the cluster can take it.
    fn no_place(&self, machine: &Machine) -> Vec<Obstacle> {
        if self.candidates.is_empty() {
            return vec![Obstacle::NoOtherHost];
        }
        let name = |object: &ManagedObjectReference| {
            self.names.get(&object.value).cloned().unwrap_or_else(|| object.value.clone())
        };
        let nowhere = |needed: &[ManagedObjectReference], has: fn(&Candidate) -> &HashSet<ManagedObjectReference>| {
            let missing = needed.iter().filter(|one| !self.candidates.iter().any(|host| has(host).contains(*one)));
            missing.map(name).collect::<Vec<String>>()
        };
        let mut found = Vec::new();
        let datastores = nowhere(&machine.datastores, |host| &host.datastores);
        found.extend(datastores.into_iter().map(|name| Obstacle::Datastore { name }));
        let networks = nowhere(&machine.networks, |host| &host.networks);
        found.extend(networks.into_iter().map(|name| Obstacle::Network { name }));
        let barring = self.rules(machine);
        let barred = |host: &Candidate| barring.iter().any(|(_, hosts)| hosts.contains(&host.id));
        if self.candidates.iter().all(barred) {
            found.extend(barring.into_iter().map(|(name, _)| Obstacle::Rule { name }));
        } else if found.is_empty() {
            let takes = |host: &Candidate| {
                machine.datastores.iter().all(|one| host.datastores.contains(one))
                    && machine.networks.iter().all(|one| host.networks.contains(one))
                    && !barred(host)
            };
            if !self.candidates.iter().any(takes) {
                found.push(Obstacle::NoSuitableHost);
            }
        }
        found
    }

    /// The rules that keep the VM off some candidates, and off which.
    fn rules(&self, machine: &Machine) -> Vec<(String, HashSet<ManagedObjectReference>)> {
        let Some(config) = &self.config else { return Vec::new() };
        let is_it = |other: &ManagedObjectReference| other.value == machine.id;
        let hosts_of = |name: &str| {
            let group: Option<&ClusterHostGroup> = group(config, name);
            group.map(|group| group.host.clone()).unwrap_or_default()
        };
        let has_it = |name: &str| {
            let group: Option<&ClusterVmGroup> = group(config, name);
            group.is_some_and(|group| group.vm.iter().any(is_it))
        };
        let mut found = Vec::new();
        for rule in config.rule.iter().filter(|rule| rule.enabled == Some(true)) {
            let mut barred = HashSet::new();
            if let Some(apart) = rule.downcast_ref::<ClusterAntiAffinityRuleSpec>()
                && apart.vm.iter().any(is_it)
            {
                let others = apart.vm.iter().filter(|other| !is_it(other));
                barred.extend(others.filter_map(|other| self.places.get(&other.value).cloned()));
            }
            if let Some(place) = rule.downcast_ref::<ClusterVmHostRuleInfo>()
                && rule.mandatory == Some(true)
                && place.vm_group_name.as_deref().is_some_and(has_it)
            {
                if let Some(group) = &place.affine_host_group_name {
                    let allowed = hosts_of(group);
                    let others = self.candidates.iter().map(|host| &host.id).filter(|host| !allowed.contains(host));
                    barred.extend(others.cloned());
                }
                if let Some(group) = &place.anti_affine_host_group_name {
                    barred.extend(hosts_of(group));
                }
            }
            if self.candidates.iter().any(|host| barred.contains(&host.id)) {
                found.push((rule.name.clone().unwrap_or_default(), barred));
            }
        }
        found
    }
}

/// The group of this name.
fn group<'a, T: DataType>(config: &'a ClusterConfigInfoEx, name: &str) -> Option<&'a T> {
    config.group.iter().find(|group| group.name == name)?.downcast_ref()
}

fn drs(config: &ClusterConfigInfoEx) -> Drs {
    match (config.drs_config.enabled, &config.drs_config.default_vm_behavior) {
        (Some(true), Some(DrsBehavior::FullyAutomated)) => Drs::Moves,
        (Some(true), _) => Drs::Recommends,
        _ => Drs::Off,
    }
}

/// The host, if VMs can run on it.
fn candidate(id: ManagedObjectReference, values: &mut Values) -> Option<Candidate> {
    let connection: Option<HostSystemConnectionState> = optional(values, host::CONNECTION_STATE.path());
    let power: Option<HostSystemPowerState> = optional(values, host::POWER_STATE.path());
    let maintenance: bool = optional(values, host::IN_MAINTENANCE_MODE.path()).unwrap_or(false);
    let is_on = !matches!(power, Some(HostSystemPowerState::PoweredOff | HostSystemPowerState::StandBy));
    if connection != Some(HostSystemConnectionState::Connected) || !is_on || maintenance {
        return None;
    }
    let objects = |values: &mut Values, path| {
        optional::<Vec<ManagedObjectReference>>(values, path).unwrap_or_default().into_iter().collect()
    };
    Some(Candidate {
        id,
        vmotion: optional(values, "summary.config.vmotionEnabled").unwrap_or(true),
        datastores: objects(values, host::DATASTORE.path()),
        networks: objects(values, host::NETWORK.path()),
    })
}

fn machine(content: vsphere_model::types::ObjectContent) -> Machine {
    /// What manages agents, such as those of vSphere Cluster Services.
    const AGENT_MANAGER: &str = "com.vmware.vim.eam";
    let name = label(&content);
    let id = content.obj.value.clone();
    let mut values = Values::new(content.prop_set, content.missing_set);
    let manager: Option<ManagedByInfo> = optional(&mut values, "config.managedBy");
    let devices: Vec<Poly<VirtualDevice>> = optional(&mut values, vm::DEVICES.path()).unwrap_or_default();
    Machine {
        name,
        id,
        // One whose state may not be read may run.
        power_state: optional(&mut values, vm::POWER_STATE.path()).unwrap_or(VirtualMachinePowerState::PoweredOn),
        template: optional(&mut values, "config.template").unwrap_or(false),
        agent: manager.is_some_and(|manager| manager.extension_key == AGENT_MANAGER),
        datastores: optional(&mut values, vm::DATASTORE.path()).unwrap_or_default(),
        networks: optional(&mut values, vm::NETWORK.path()).unwrap_or_default(),
        devices: devices.iter().filter_map(ties).collect(),
    }
}

/// How a device ties its VM to the host while the VM runs.
fn ties(device: &Poly<VirtualDevice>) -> Option<Obstacle> {
    let name = device::label(device);
    if device.is::<VirtualPCIPassthrough>() || device.is::<VirtualSriovEthernetCard>() {
        return Some(Obstacle::PassthroughDevice { name });
    }
    if device.is::<VirtualSCSIPassthrough>() {
        return Some(Obstacle::PassthroughDevice { name });
    }
    if let Some(controller) = device.downcast_ref::<VirtualSCSIController>() {
        // A physical bus can be shared across hosts, and its VMs can move.
        return (controller.shared_bus == VirtualSCSISharing::VirtualSharing).then_some(Obstacle::SharedBus { name });
    }
    let usb = device.downcast_ref::<VirtualUSB>().is_some_and(|usb| usb.connected);
    let connected = usb || device.connectable.as_ref().is_some_and(|it| it.connected);
    // Adapters are decided by their networks, and a sound card is no reason.
    let other = device.is::<VirtualEthernetCard>() || device.is::<VirtualSoundCard>();
    let backing = device.backing.as_ref().filter(|_| connected && !other)?;
    let of_a_computer = backing.downcast_ref::<VirtualDeviceDeviceBackingInfo>().is_some()
        || backing.downcast_ref::<VirtualDeviceRemoteDeviceBackingInfo>().is_some();
    of_a_computer.then_some(Obstacle::ConnectedDevice { name })
}
