//! Hosts.

pub(super) mod account;
pub(super) mod auto_start;
pub(super) mod certificate;
mod config;
pub(super) mod connection;
pub(super) mod datastore_system;
pub(crate) mod failure;
pub(super) mod firewall;
mod hardware;
pub(crate) mod health;
pub(crate) mod load;
pub(super) mod maintenance;
pub(super) mod network;
mod option;
mod part;
pub(super) mod power;
pub(super) mod service;
pub(crate) mod storage;
pub(super) mod summary;
pub(crate) mod supply;
pub(super) mod time;
pub(super) mod vnic;

use std::collections::{BTreeMap, BTreeSet};

use vsphere_model::managed;
use vsphere_model::types::{
    Any, DateTime, HostAutoStartManagerConfig, HostHardwareSummary, HostLockdownMode, HostRuntimeInfo,
    HostSystemConnectionState, HostSystemPowerState,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

pub(crate) use config::most_memory;
pub(super) use connection::datacenter_of;
pub(crate) use hardware::Profile;
pub(crate) use maintenance::running;
pub(crate) use network::NetworkState;
pub(super) use option::{edit_options_of, options_of};

use super::compute::Compute;
use super::datastore::{self, Datastore};
use super::network::Network;
use crate::fault::Outcome;
use crate::world::{Entity, Look, Managed, Moref, Prop, World, uuid};

/// The managed object `HostSystem`.
///
/// It keeps what may differ from host to host. All that follows from that, and what is the same everywhere, is made when
/// it is read: a host's `config` is large, and there may be a thousand of them.
pub(crate) struct Host {
    entity: Entity,
    pub(crate) runtime: HostRuntimeInfo,
    pub(crate) hardware: HostHardwareSummary,
    pub(crate) vms: Vec<Moref>,
    pub(crate) datastores: Vec<Moref>,
    pub(crate) networks: Vec<Moref>,
    browser: Moref,
    /// The number in its id: addresses and serial numbers follow from it.
    pub(crate) number: u64,
    pub(super) services: service::Services,
    pub(super) clock: time::Clock,
    pub(crate) net: NetworkState,
    pub(super) firewall: firewall::Firewall,
    /// Advanced options that differ from their defaults.
    pub(super) options: BTreeMap<String, Any>,
    pub(super) auto_start: HostAutoStartManagerConfig,
    pub(super) accounts: Vec<account::Account>,
    pub(super) lockdown: HostLockdownMode,
    pub(super) lockdown_exceptions: Vec<String>,
    pub(super) disks: Vec<storage::Disk>,
    /// What does not work as it should.
    pub(crate) ailments: Ailments,
}

/// What of a host does not work as it should.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ailments {
    /// Sensors that are not green, with their colour.
    pub(crate) sensors: BTreeMap<String, &'static str>,
    /// Physical NICs without a cable.
    pub(crate) unplugged: BTreeSet<String>,
    /// Storage adapters all of whose paths are dead.
    pub(crate) dead_adapters: BTreeSet<String>,
    /// When its certificate ends, where that is not five years after the host came in.
    pub(crate) certificate_ends: Option<DateTime>,
}

impl Managed for Host {
    fn info(&self) -> &'static ManagedInfo {
        managed::HostSystem::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "runtime" => Prop::made(self.runtime_info(look)),
            "summary" => Prop::made(self.summary(look)),
            "hardware" => Prop::made(self.hardware_info()),
            "config" => Prop::made(self.config(look)),
            "configManager" => Prop::made(part::config_manager(self)),
            "capability" => Prop::made(config::capability()),
            "vm" => Prop::list(&self.vms),
            "datastore" => Prop::list(&self.datastores),
            "network" => Prop::list(&self.networks),
            "datastoreBrowser" => Prop::kept(&self.browser),
            "systemResources" => Prop::made(config::system_resources()),
            "licensableResource" => Prop::made(self.licensable_resource()),
            _ => self.entity.read(look, property),
        }
    }

    fn entity(&self) -> Option<&Entity> {
        Some(&self.entity)
    }

    fn entity_mut(&mut self) -> Option<&mut Entity> {
        Some(&mut self.entity)
    }

    fn children(&self) -> Vec<Moref> {
        self.vms.clone()
    }
}

impl Host {
    /// All its cores together, in MHz.
    pub(crate) fn cpu_mhz_total(&self) -> i32 {
        self.hardware.cpu_mhz * i32::from(self.hardware.num_cpu_cores)
    }

    /// Whether virtual machines can run on it now.
    pub(crate) fn is_usable(&self) -> bool {
        self.is_up() && !self.runtime.in_maintenance_mode
    }

    /// Whether it is on and vCenter reaches it.
    pub(crate) fn is_up(&self) -> bool {
        self.runtime.connection_state == HostSystemConnectionState::Connected
            && self.runtime.power_state == HostSystemPowerState::PoweredOn
    }

    /// A service stops.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn stop_service(&mut self, key: &str) -> Outcome<()> {
        self.services.set_running(key, false)
    }

    /// Whether it sees all these datastores.
    pub(crate) fn sees(&self, datastores: &[Moref]) -> bool {
        datastores.iter().all(|datastore| self.datastores.contains(datastore))
    }

    /// The address of its management network.
    pub(crate) fn address(&self) -> String {
        network::address(network::MANAGEMENT, self.number)
    }
}

/// Adds a host to a compute resource. It sees what the others there see.
///
/// # Errors
/// `ManagedObjectNotFound` for the compute resource.
pub(crate) fn add(world: &mut World, name: &str, compute: &Moref) -> Outcome<Moref> {
    add_with(world, name, compute, &Profile::R760)
}

/// Adds a host with this hardware to a compute resource. It sees what the others there see.
///
/// # Errors
/// `ManagedObjectNotFound` for the compute resource.
pub(crate) fn add_with(world: &mut World, name: &str, compute: &Moref, profile: &Profile) -> Outcome<Moref> {
    world.get::<Compute>(compute)?;
    let id = world.new_id("host-");
    let number = id.trim_start_matches("host-").parse().unwrap_or_default();
    let browser = datastore::add_browser(world, &Moref::new("HostSystem", &id));
    let host = Host {
        entity: Entity::new(name, Some(compute)),
        runtime: HostRuntimeInfo {
            connection_state: HostSystemConnectionState::Connected,
            power_state: HostSystemPowerState::PoweredOn,
            standby_mode: Some("none".to_owned()),
            in_quarantine_mode: Some(false),
            boot_time: Some(world.now()),
            host_max_virtual_disk_capacity: Some(62 << 40),
            crypto_state: Some("incapable".to_owned()),
            ..Default::default()
        },
        hardware: profile.summary(&uuid(fastrand::u128(..))),
        vms: Vec::new(),
        datastores: Vec::new(),
        networks: Vec::new(),
        browser,
        number,
        services: service::Services::default(),
        clock: time::Clock::default(),
        net: NetworkState::new(name, number),
        firewall: firewall::Firewall::default(),
        options: BTreeMap::new(),
        auto_start: auto_start::default(),
        accounts: account::defaults(),
        lockdown: HostLockdownMode::LockdownDisabled,
        lockdown_exceptions: Vec::new(),
        disks: storage::local_disks(number),
        ailments: Ailments::default(),
    };
    let host = world.add_as(&id, host);
    part::add_all(world, &host, number);
    attach(world, &host, compute)?;
    Ok(host)
}

/// Puts a host into a compute resource: it sees what the others there see, and they what it sees.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(super) fn attach(world: &mut World, host: &Moref, compute: &Moref) -> Outcome<()> {
    let (datastores, networks) = {
        let compute = world.edit::<Compute>(compute)?;
        compute.hosts.push(host.clone());
        (compute.datastores.clone(), compute.networks.clone())
    };
    world.edit_entity(host)?.parent = Some(compute.clone());
    for datastore in datastores {
        if world.get::<Host>(host)?.datastores.contains(&datastore) {
            continue;
        }
        world.edit::<Host>(host)?.datastores.push(datastore.clone());
        world.edit::<Datastore>(&datastore)?.mount(host);
    }
    for network in networks {
        // Distributed port groups come with the membership in their switch, not with the cluster.
        if world.get::<Network>(&network)?.is_standard() {
            world.connect_network(&network, host)?;
        }
    }
    Ok(())
}
