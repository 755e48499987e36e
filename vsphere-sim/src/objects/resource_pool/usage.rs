//! What a resource pool has, gives away and uses.

use vsphere_model::types::{
    InsufficientCpuResourcesFault, InsufficientMemoryResourcesFault, ManagedEntityStatus, ResourceAllocationInfo,
    ResourceConfigSpec, ResourcePoolQuickStats, ResourcePoolResourceUsage, ResourcePoolRuntimeInfo,
    ResourcePoolSummary, VirtualMachinePowerState,
};

use super::ResourcePool;
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::host::Host;
use crate::objects::host::load::{self, Load};
use crate::objects::vm::Vm;
use crate::world::{Look, Moref, World};

/// What is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::objects) enum Resource {
    /// In MHz.
    Cpu,
    /// In MB; usage is told in bytes.
    Memory,
}

impl Resource {
    fn of(self, config: &ResourceConfigSpec) -> &ResourceAllocationInfo {
        match self {
            Self::Cpu => &config.cpu_allocation,
            Self::Memory => &config.memory_allocation,
        }
    }
}

impl ResourcePool {
    /// All that its compute resource has, for the root.
    fn capacity(&self, world: &World, resource: Resource) -> i64 {
        let Ok(compute) = world.get::<Compute>(&self.owner) else { return 0 };
        let hosts =
            compute.hosts.iter().filter_map(|host| world.get::<Host>(host).ok()).filter(|host| host.is_usable());
        hosts
            .map(|host| match resource {
                Resource::Cpu => i64::from(host.cpu_mhz_total()),
                Resource::Memory => host.hardware.memory_size >> 20,
            })
            .sum()
    }

    /// What is reserved for it: all that there is, for the root.
    fn reservation(&self, world: &World, resource: Resource) -> i64 {
        if self.is_root() { self.capacity(world, resource) } else { resource.of(&self.config).reservation.unwrap_or(0) }
    }

    /// What its running machines have reserved.
    fn reserved_by_vms(&self, world: &World, resource: Resource) -> i64 {
        let running = self.vms.iter().filter_map(|vm| world.get::<Vm>(vm).ok());
        let running = running.filter(|vm| vm.runtime.power_state == VirtualMachinePowerState::PoweredOn);
        running.map(|vm| resource.of(&vm.resource_config).reservation.unwrap_or(0)).sum()
    }

    /// What is given away of its reservation.
    fn reserved(&self, world: &World, resource: Resource) -> i64 {
        let pools = self.pools.iter().filter_map(|pool| world.get::<Self>(pool).ok());
        // An expandable pool whose machines need more than it has takes it from here.
        let of_pool = |pool: &Self| {
            let own = pool.reservation(world, resource);
            if resource.of(&pool.config).expandable_reservation == Some(true) {
                own.max(pool.reserved(world, resource))
            } else {
                own
            }
        };
        pools.map(of_pool).sum::<i64>() + self.reserved_by_vms(world, resource)
    }

    /// What can still be reserved in it.
    fn unreserved(&self, world: &World, resource: Resource) -> i64 {
        let own = (self.reservation(world, resource) - self.reserved(world, resource)).max(0);
        if self.is_root() || resource.of(&self.config).expandable_reservation != Some(true) {
            return own;
        }
        let parent = self.entity.parent.as_ref().and_then(|parent| world.get::<Self>(parent).ok());
        own + parent.map_or(0, |parent| parent.unreserved(world, resource))
    }

    /// All machines in it and in what stands in it.
    fn all_vms(&self, world: &World) -> Vec<Moref> {
        let below = self.pools.iter().filter_map(|pool| world.get::<Self>(pool).ok());
        self.vms.iter().cloned().chain(below.flat_map(|pool| pool.all_vms(world))).collect()
    }

    fn most(&self, world: &World, resource: Resource) -> i64 {
        let parent = self.entity.parent.as_ref().and_then(|parent| world.get::<Self>(parent).ok());
        let above = parent.map_or_else(|| self.capacity(world, resource), |parent| parent.most(world, resource));
        match resource.of(&self.config).limit {
            Some(limit) if limit >= 0 => limit.min(above),
            _ => above,
        }
    }

    /// Its configuration; the root has all that its hosts have.
    pub(super) fn shown_config(&self, look: &Look<'_>) -> ResourceConfigSpec {
        let mut config = ResourceConfigSpec { entity: Some(look.me.clone()), ..self.config.clone() };
        if self.is_root() {
            for (allocation, resource) in
                [(&mut config.cpu_allocation, Resource::Cpu), (&mut config.memory_allocation, Resource::Memory)]
            {
                let capacity = self.capacity(look.world, resource);
                allocation.reservation = Some(capacity);
                allocation.limit = Some(capacity);
                allocation.expandable_reservation = Some(false);
            }
        }
        config
    }

    pub(super) fn runtime(&self, world: &World) -> ResourcePoolRuntimeInfo {
        let load = load::of_all(world, &self.all_vms(world));
        let usage = |resource: Resource, used: i64, unit: i64| ResourcePoolResourceUsage {
            reservation_used: self.reserved(world, resource) * unit,
            reservation_used_for_vm: self.reserved_by_vms(world, resource) * unit,
            unreserved_for_pool: (self.reservation(world, resource) - self.reserved(world, resource)).max(0) * unit,
            unreserved_for_vm: self.unreserved(world, resource) * unit,
            overall_usage: used * unit,
            max_usage: self.most(world, resource) * unit,
        };
        ResourcePoolRuntimeInfo {
            memory: usage(Resource::Memory, load.host_memory, 1 << 20),
            cpu: usage(Resource::Cpu, load.cpu, 1),
            overall_status: ManagedEntityStatus::from(self.entity.status),
            shares_scalable: Some("none".to_owned()),
        }
    }

    pub(super) fn summary(&self, look: &Look<'_>) -> ResourcePoolSummary {
        let vms = self.all_vms(look.world);
        let Load { cpu, active_memory, host_memory } = load::of_all(look.world, &vms);
        let configured = vms.iter().filter_map(|vm| look.world.get::<Vm>(vm).ok());
        ResourcePoolSummary {
            name: self.entity.name.clone(),
            config: self.shown_config(look),
            runtime: self.runtime(look.world),
            quick_stats: Some(Box::new(ResourcePoolQuickStats {
                overall_cpu_usage: Some(cpu),
                overall_cpu_demand: Some(cpu),
                guest_memory_usage: Some(active_memory),
                host_memory_usage: Some(host_memory),
                distributed_cpu_entitlement: Some(cpu),
                distributed_memory_entitlement: Some(host_memory),
                private_memory: Some(host_memory),
                shared_memory: Some(0),
                swapped_memory: Some(0),
                ballooned_memory: Some(0),
                ..Default::default()
            })),
            configured_memory_mb: i32::try_from(
                configured.map(|vm| i64::from(vm.config.hardware.memory_mb)).sum::<i64>(),
            )
            .ok(),
        }
    }
}

/// Whether a pool has what a new one in it wants reserved.
///
/// # Errors
/// `InsufficientCpuResourcesFault` and `InsufficientMemoryResourcesFault`.
pub(super) fn check_available(world: &World, parent: &Moref, spec: &ResourceConfigSpec) -> Outcome<()> {
    let parent: &ResourcePool = world.get(parent)?;
    let more = |resource: Resource| resource.of(spec).reservation.unwrap_or(0);
    check_more(world, parent, more(Resource::Cpu), more(Resource::Memory))
}

/// Whether a pool has so much more that can be reserved.
///
/// # Errors
/// As [`check_available`].
pub(super) fn check_more(world: &World, pool: &ResourcePool, cpu: i64, memory: i64) -> Outcome<()> {
    let unreserved = pool.unreserved(world, Resource::Cpu);
    if cpu > unreserved {
        let message = "The available CPU resources in the parent resource pool are insufficient for the operation.";
        let fault = InsufficientCpuResourcesFault { unreserved, requested: cpu, ..Default::default() };
        return Err(Fault::new(fault, message));
    }
    let unreserved = pool.unreserved(world, Resource::Memory);
    if memory > unreserved {
        let message = "The available memory resources in the parent resource pool are insufficient for the operation.";
        let fault = InsufficientMemoryResourcesFault {
            unreserved: unreserved << 20,
            requested: memory << 20,
            ..Default::default()
        };
        return Err(Fault::new(fault, message));
    }
    Ok(())
}
