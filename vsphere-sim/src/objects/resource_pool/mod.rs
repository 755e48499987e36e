//! Resource pools: how a compute resource is divided.

pub(super) mod methods;
mod usage;

use vsphere_model::managed;
use vsphere_model::types::{
    InvalidArgument, ResourceAllocationInfo, ResourceConfigSpec, SharesInfo, SharesLevel, VAppConfigInfo,
    VirtualAppSummary, VirtualAppVAppState,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::vm::Vm;
use crate::fault::{Fault, Outcome};
use crate::world::{Entity, Look, Managed, Moref, Prop, World, uuid};

pub(super) use usage::Resource;

/// The managed objects `ResourcePool` and `VirtualApp`.
pub(crate) struct ResourcePool {
    entity: Entity,
    /// What makes it a vApp.
    app: Option<Box<VAppConfigInfo>>,
    /// The compute resource that it divides.
    pub(crate) owner: Moref,
    pub(crate) pools: Vec<Moref>,
    pub(crate) vms: Vec<Moref>,
    pub(crate) config: ResourceConfigSpec,
}

impl Managed for ResourcePool {
    fn info(&self) -> &'static ManagedInfo {
        if self.app.is_some() { managed::VirtualApp::INFO } else { managed::ResourcePool::INFO }
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "owner" => Prop::kept(&self.owner),
            "resourcePool" => Prop::list(&self.pools),
            "vm" => Prop::list(&self.vms),
            "config" => Prop::made(self.shown_config(look)),
            "summary" if self.app.is_some() => Prop::made(self.app_summary(look)),
            "summary" => Prop::made(self.summary(look)),
            "vAppConfig" => Prop::made_optional(self.app.as_deref().cloned()),
            "datastore" if self.app.is_some() => Prop::made_list(self.of_vms(look.world, |vm| &vm.datastores)),
            "network" if self.app.is_some() => Prop::made_list(self.of_vms(look.world, |vm| &vm.networks)),
            "runtime" => Prop::made(self.runtime(look.world)),
            "childConfiguration" => Prop::made_list(self.child_configuration(look.world)),
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

impl ResourcePool {
    /// Whether it is the one that all others of its compute resource stand in.
    pub(crate) fn is_root(&self) -> bool {
        self.entity.parent.as_ref() == Some(&self.owner)
    }

    fn app_summary(&self, look: &Look<'_>) -> VirtualAppSummary {
        let runs = self.vms.iter().any(|vm| look.world.get::<Vm>(vm).is_ok_and(Vm::is_on));
        VirtualAppSummary {
            base: self.summary(look),
            product: self.app.as_ref().and_then(|app| app.product.first().cloned()).map(Box::new),
            v_app_state: Some(if runs { VirtualAppVAppState::Started } else { VirtualAppVAppState::Stopped }),
            suspended: Some(false),
            install_boot_required: Some(false),
            instance_uuid: self.app.as_ref().and_then(|app| app.instance_uuid.clone()),
        }
    }

    /// What its machines have, each once.
    fn of_vms(&self, world: &World, part: impl Fn(&Vm) -> &[Moref]) -> Vec<Moref> {
        let mut all = Vec::new();
        for one in self.vms.iter().filter_map(|vm| world.get::<Vm>(vm).ok()).flat_map(part) {
            if !all.contains(one) {
                all.push(one.clone());
            }
        }
        all
    }

    fn child_configuration(&self, world: &World) -> Vec<ResourceConfigSpec> {
        let of_pool = |pool: &Moref| {
            let found: &Self = world.get(pool).ok()?;
            Some(ResourceConfigSpec { entity: Some(pool.clone()), ..found.config.clone() })
        };
        let of_vm = |vm: &Moref| {
            let found: &Vm = world.get(vm).ok()?;
            Some(ResourceConfigSpec { entity: Some(vm.clone()), ..found.resource_config.clone() })
        };
        self.pools.iter().filter_map(of_pool).chain(self.vms.iter().filter_map(of_vm)).collect()
    }
}

/// Adds a resource pool that divides `owner`. Its parent must be told by the caller.
pub(crate) fn add(world: &mut World, name: &str, parent: &Moref, owner: &Moref) -> Moref {
    world.add("resgroup-", unlimited(name, parent, owner, None))
}

/// Adds an empty vApp to a pool.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn add_app(world: &mut World, name: &str, parent: &Moref) -> Outcome<Moref> {
    let owner = world.get::<ResourcePool>(parent)?.owner.clone();
    let app = VAppConfigInfo { instance_uuid: Some(uuid(fastrand::u128(..))), ..Default::default() };
    let app = world.add("resgroup-v", unlimited(name, parent, &owner, Some(Box::new(app))));
    world.edit::<ResourcePool>(parent)?.pools.push(app.clone());
    touch_tree(world, parent);
    Ok(app)
}

/// A pool with shares as most have them, and no limits.
fn unlimited(name: &str, parent: &Moref, owner: &Moref, app: Option<Box<VAppConfigInfo>>) -> ResourcePool {
    let unlimited = |resource| ResourceAllocationInfo {
        reservation: Some(0),
        expandable_reservation: Some(true),
        limit: Some(-1),
        shares: Some(Box::new(shares(resource, SharesLevel::Normal))),
        ..Default::default()
    };
    let config = ResourceConfigSpec {
        cpu_allocation: unlimited(Resource::Cpu),
        memory_allocation: unlimited(Resource::Memory),
        scale_descendants_shares: Some("disabled".to_owned()),
        ..Default::default()
    };
    ResourcePool {
        entity: Entity::new(name, Some(parent)),
        app,
        owner: owner.clone(),
        pools: Vec::new(),
        vms: Vec::new(),
        config,
    }
}

/// Adds a resource pool to another one, which it divides further.
///
/// # Errors
/// `ManagedObjectNotFound`, and what [`check`] finds.
pub(crate) fn add_child(world: &mut World, name: &str, parent: &Moref, spec: &ResourceConfigSpec) -> Outcome<Moref> {
    check(spec)?;
    let owner = world.get::<ResourcePool>(parent)?.owner.clone();
    usage::check_available(world, parent, spec)?;
    let pool = add(world, name, parent, &owner);
    let mut config = spec.clone();
    config.entity = None;
    config.last_modified = Some(world.now());
    config.change_version = Some(world.version().to_string());
    merge(&mut world.edit::<ResourcePool>(&pool)?.config, &config);
    world.edit::<ResourcePool>(parent)?.pools.push(pool.clone());
    touch_tree(world, parent);
    Ok(pool)
}

/// How many shares a level is for a pool.
fn shares(resource: Resource, level: SharesLevel) -> SharesInfo {
    let normal = match resource {
        Resource::Cpu => 4000,
        Resource::Memory => 163_840,
    };
    let shares = match level {
        SharesLevel::Low => normal / 2,
        SharesLevel::High => normal * 2,
        _ => normal,
    };
    SharesInfo { shares, level }
}

/// Whether the numbers of an allocation make sense.
///
/// # Errors
/// `InvalidArgument`.
fn check(spec: &ResourceConfigSpec) -> Outcome<()> {
    for (allocation, name) in [(&spec.cpu_allocation, "cpuAllocation"), (&spec.memory_allocation, "memoryAllocation")] {
        let wrong = |field: &str| {
            let property = format!("spec.{name}.{field}");
            let fault = InvalidArgument { invalid_property: Some(property.clone()), ..Default::default() };
            Err(Fault::new(fault, format!("A specified parameter was not correct: {property}")))
        };
        let (reservation, limit) = (allocation.reservation.unwrap_or(0), allocation.limit.unwrap_or(-1));
        if reservation < 0 {
            return wrong("reservation");
        }
        if limit < -1 || (limit >= 0 && limit < reservation) {
            return wrong("limit");
        }
        let custom = allocation.shares.as_ref().filter(|shares| shares.level == SharesLevel::Custom);
        if custom.is_some_and(|shares| !(0..=4_000_000).contains(&shares.shares)) {
            return wrong("shares");
        }
    }
    Ok(())
}

/// Takes over what a specification sets.
fn merge(kept: &mut ResourceConfigSpec, new: &ResourceConfigSpec) {
    let take = |kept: &mut ResourceAllocationInfo, new: &ResourceAllocationInfo, resource: Resource| {
        kept.reservation = new.reservation.or(kept.reservation);
        kept.expandable_reservation = new.expandable_reservation.or(kept.expandable_reservation);
        kept.limit = new.limit.or(kept.limit);
        if let Some(new) = &new.shares {
            // Levels bring their own number; what was sent beside them does not count.
            let level = new.level.clone();
            let info = if level == SharesLevel::Custom { (**new).clone() } else { shares(resource, level) };
            kept.shares = Some(Box::new(info));
        }
    };
    take(&mut kept.cpu_allocation, &new.cpu_allocation, Resource::Cpu);
    take(&mut kept.memory_allocation, &new.memory_allocation, Resource::Memory);
    if new.scale_descendants_shares.is_some() {
        kept.scale_descendants_shares.clone_from(&new.scale_descendants_shares);
    }
    kept.last_modified = new.last_modified.or(kept.last_modified);
    if new.change_version.is_some() {
        kept.change_version.clone_from(&new.change_version);
    }
}

/// Marks a pool and all that it stands in as changed: what is reserved in it shows in all of them.
pub(super) fn touch_tree(world: &mut World, pool: &Moref) {
    for above in
        world.ancestors(pool).into_iter().filter(|above| world.get::<ResourcePool>(above).is_ok()).collect::<Vec<_>>()
    {
        world.touch(&above);
    }
}

/// Removes a pool with all below it; its machines are gone already.
pub(super) fn forget(world: &mut World, pool: &Moref) -> Outcome<()> {
    for child in world.get::<ResourcePool>(pool)?.pools.clone() {
        forget(world, &child)?;
    }
    world.remove(pool);
    Ok(())
}
