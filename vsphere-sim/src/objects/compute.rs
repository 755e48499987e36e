//! Compute resources: what hosts bring together. A cluster, or the one that a lone host stands in.

use vsphere_model::managed;
use vsphere_model::types::{
    ClusterConfigInfoEx, ComputeResourceConfigInfo, ComputeResourceSummary, ManagedEntityStatus, Poly,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::host::Host;
use super::resource_pool;
use crate::call::Methods;
use crate::fault::Outcome;
use crate::world::{Entity, Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[];

/// The managed objects `ComputeResource` and `ClusterComputeResource`.
pub(crate) struct Compute {
    entity: Entity,
    /// What makes it a cluster; a lone host's has none.
    pub(crate) cluster: Option<ClusterConfigInfoEx>,
    pub(crate) pool: Moref,
    pub(crate) hosts: Vec<Moref>,
    pub(crate) datastores: Vec<Moref>,
    pub(crate) networks: Vec<Moref>,
}

impl Managed for Compute {
    fn info(&self) -> &'static ManagedInfo {
        if self.cluster.is_some() { managed::ClusterComputeResource::INFO } else { managed::ComputeResource::INFO }
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "resourcePool" => Prop::kept(&self.pool),
            "host" => Prop::list(&self.hosts),
            "datastore" => Prop::list(&self.datastores),
            "network" => Prop::list(&self.networks),
            "summary" => Prop::made(self.summary(look.world)),
            "configurationEx" => match &self.cluster {
                Some(configuration) => Prop::kept(configuration),
                None => Prop::made(Poly::new(ComputeResourceConfigInfo {
                    vm_swap_placement: "vmDirectory".to_owned(),
                    ..Default::default()
                })),
            },
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
        self.hosts.iter().chain([&self.pool]).cloned().collect()
    }
}

impl Compute {
    fn summary(&self, world: &World) -> ComputeResourceSummary {
        let mut summary = ComputeResourceSummary {
            num_hosts: count(self.hosts.len()),
            overall_status: ManagedEntityStatus::from(self.entity.status),
            ..Default::default()
        };
        for host in self.hosts.iter().filter_map(|host| world.get::<Host>(host).ok()) {
            summary.total_cpu += host.cpu_mhz_total();
            summary.total_memory += host.hardware.memory_size;
            summary.num_cpu_cores += host.hardware.num_cpu_cores;
            summary.num_cpu_threads += host.hardware.num_cpu_threads;
            if host.is_usable() {
                summary.num_effective_hosts += 1;
                summary.effective_cpu += host.cpu_mhz_total();
                summary.effective_memory += host.hardware.memory_size >> 20;
            }
        }
        summary
    }
}

fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// Adds a compute resource with its root resource pool to a folder; a cluster where a configuration is given.
///
/// # Errors
/// `ManagedObjectNotFound` for the folder.
pub(crate) fn add(
    world: &mut World,
    name: &str,
    folder: &Moref,
    cluster: Option<ClusterConfigInfoEx>,
) -> Outcome<Moref> {
    let (kind, type_) =
        if cluster.is_some() { ("domain-c", "ClusterComputeResource") } else { ("domain-s", "ComputeResource") };
    let id = world.new_id(kind);
    let itself = Moref::new(type_, &id);
    let pool = resource_pool::add(world, "Resources", &itself, &itself);
    let compute = Compute {
        entity: Entity::new(name, Some(folder)),
        cluster,
        pool,
        hosts: Vec::new(),
        datastores: Vec::new(),
        networks: Vec::new(),
    };
    world.add_as(&id, compute);
    world.hang(&itself, folder)?;
    Ok(itself)
}
