//! Hosts.

use vsphere_model::managed;
use vsphere_model::types::{
    HostHardwareSummary, HostListSummary, HostRuntimeInfo, HostSystemConnectionState, HostSystemPowerState,
    ManagedEntityStatus,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::compute::Compute;
use super::datastore::{self, Datastore};
use super::network::Network;
use crate::call::Methods;
use crate::fault::Outcome;
use crate::world::{Entity, Look, Managed, Moref, Prop, World, uuid};

pub(crate) const METHODS: Methods = &[];

/// The managed object `HostSystem`.
pub(crate) struct Host {
    entity: Entity,
    pub(crate) runtime: HostRuntimeInfo,
    pub(crate) hardware: HostHardwareSummary,
    pub(crate) vms: Vec<Moref>,
    pub(crate) datastores: Vec<Moref>,
    pub(crate) networks: Vec<Moref>,
    browser: Moref,
}

impl Managed for Host {
    fn info(&self) -> &'static ManagedInfo {
        managed::HostSystem::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "runtime" => Prop::kept(&self.runtime),
            "summary" => Prop::made(self.summary(look.me)),
            "vm" => Prop::list(&self.vms),
            "datastore" => Prop::list(&self.datastores),
            "network" => Prop::list(&self.networks),
            "datastoreBrowser" => Prop::kept(&self.browser),
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
        self.runtime.connection_state == HostSystemConnectionState::Connected
            && self.runtime.power_state == HostSystemPowerState::PoweredOn
            && !self.runtime.in_maintenance_mode
    }

    fn summary(&self, me: &Moref) -> HostListSummary {
        HostListSummary {
            host: Some(me.clone()),
            hardware: Some(Box::new(self.hardware.clone())),
            runtime: Some(Box::new(self.runtime.clone())),
            overall_status: ManagedEntityStatus::from(self.entity.status),
            ..Default::default()
        }
    }
}

/// Adds a host to a compute resource. It sees what the others there see.
///
/// # Errors
/// `ManagedObjectNotFound` for the compute resource.
pub(crate) fn add(world: &mut World, name: &str, compute: &Moref) -> Outcome<Moref> {
    let (datastores, networks) = {
        let compute = world.get::<Compute>(compute)?;
        (compute.datastores.clone(), compute.networks.clone())
    };
    let id = world.new_id("host-");
    let browser = datastore::add_browser(world, &Moref::new("HostSystem", &id));
    let host = Host {
        entity: Entity::new(name, Some(compute)),
        runtime: HostRuntimeInfo {
            connection_state: HostSystemConnectionState::Connected,
            power_state: HostSystemPowerState::PoweredOn,
            boot_time: Some(world.now()),
            ..Default::default()
        },
        hardware: HostHardwareSummary {
            vendor: "Dell Inc.".to_owned(),
            model: "PowerEdge R760".to_owned(),
            uuid: uuid(fastrand::u128(..)),
            memory_size: 512 << 30,
            cpu_model: "Intel(R) Xeon(R) Gold 6438Y+".to_owned(),
            cpu_mhz: 2000,
            num_cpu_pkgs: 2,
            num_cpu_cores: 64,
            num_cpu_threads: 128,
            num_nics: 4,
            num_hbas: 2,
            ..Default::default()
        },
        vms: Vec::new(),
        datastores: datastores.clone(),
        networks: networks.clone(),
        browser,
    };
    let host = world.add_as(&id, host);
    world.edit::<Compute>(compute)?.hosts.push(host.clone());
    for datastore in &datastores {
        world.edit::<Datastore>(datastore)?.mount(&host);
    }
    for network in &networks {
        world.edit::<Network>(network)?.hosts.push(host.clone());
    }
    Ok(host)
}
