//! Resource pools.

use vsphere_model::managed;
use vsphere_model::types::{ResourceAllocationInfo, ResourceConfigSpec, SharesInfo, SharesLevel};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::call::Methods;
use crate::world::{Entity, Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[];

/// The managed object `ResourcePool`.
pub(crate) struct ResourcePool {
    entity: Entity,
    /// The compute resource that it divides.
    pub(crate) owner: Moref,
    pub(crate) pools: Vec<Moref>,
    pub(crate) vms: Vec<Moref>,
    pub(crate) config: ResourceConfigSpec,
}

impl Managed for ResourcePool {
    fn info(&self) -> &'static ManagedInfo {
        managed::ResourcePool::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "owner" => Prop::kept(&self.owner),
            "resourcePool" => Prop::list(&self.pools),
            "vm" => Prop::list(&self.vms),
            "config" => Prop::kept(&self.config),
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
        self.pools.iter().chain(&self.vms).cloned().collect()
    }
}

/// Adds a resource pool that divides `owner`. Its parent must be told by the caller.
pub(crate) fn add(world: &mut World, name: &str, parent: &Moref, owner: &Moref) -> Moref {
    let unlimited = ResourceAllocationInfo {
        reservation: Some(0),
        expandable_reservation: Some(true),
        limit: Some(-1),
        shares: Some(Box::new(SharesInfo { shares: 4000, level: SharesLevel::Normal })),
        ..Default::default()
    };
    let config =
        ResourceConfigSpec { cpu_allocation: unlimited.clone(), memory_allocation: unlimited, ..Default::default() };
    let pool = ResourcePool {
        entity: Entity::new(name, Some(parent)),
        owner: owner.clone(),
        pools: Vec::new(),
        vms: Vec::new(),
        config,
    };
    world.add("resgroup-", pool)
}
