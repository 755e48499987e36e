//! Where a machine can run: the host it is on, the one that DRS chooses, and whether there is room.

use vsphere_model::types::{
    HostNotConnected, HostSystemConnectionState, InsufficientMemoryResourcesFault, NoActiveHostInCluster,
    NotEnoughCpus, NotEnoughLogicalCpus,
};

use super::Vm;
use super::create::usable;
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::host::Host;
use crate::objects::resource_pool::ResourcePool;
use crate::world::{Moref, World};

/// The host that a machine would run on if it were powered on now. DRS chooses one, unless it is asked for.
///
/// # Errors
/// `InvalidState` and `HostNotConnected` where the host isn't ready, `NoActiveHostInCluster` where none is,
/// `InsufficientResourcesFault` where the reservation can't be met, `InvalidArgument` where the host is not of the
/// machine's cluster.
pub(super) fn choose(world: &World, vm: &Moref, asked: Option<&Moref>) -> Outcome<Moref> {
    let machine = world.get::<Vm>(vm)?;
    let compute = compute_of(world, machine);
    pool_has_room(world, vm, machine)?;
    let current = machine.runtime.host.as_ref();
    if let Some(asked) = asked {
        let in_compute = compute.as_ref().is_some_and(|(_, compute)| compute.hosts.contains(asked));
        if !in_compute && current != Some(asked) {
            return Err(Fault::invalid_argument("host"));
        }
        return host_has_room(world, vm, machine, asked);
    }
    let balanced = compute.as_ref().filter(|(_, compute)| balances(compute));
    let Some((cluster, compute)) = balanced else {
        let host = current.cloned().or_else(|| compute.and_then(|(_, compute)| compute.hosts.first().cloned()));
        return host_has_room(world, vm, machine, &host.ok_or_else(|| Fault::invalid_argument("host"))?);
    };
    least_loaded(world, vm, machine, cluster, compute)
}

/// The host of the cluster that HA would start a machine on, whose own host is gone.
///
/// # Errors
/// `NoActiveHostInCluster` where none is there, `InsufficientResourcesFault` where the reservation can't be met.
pub(crate) fn elsewhere(world: &World, vm: &Moref) -> Outcome<Moref> {
    let machine = world.get::<Vm>(vm)?;
    let (cluster, compute) = compute_of(world, machine).ok_or_else(|| Fault::not_found(vm))?;
    least_loaded(world, vm, machine, &cluster, compute)
}

/// Of the hosts that are ready and have room for the machine, the one with the least to do.
fn least_loaded(world: &World, vm: &Moref, machine: &Vm, cluster: &Moref, compute: &Compute) -> Outcome<Moref> {
    let current = machine.runtime.host.as_ref();
    let active: Vec<&Moref> = compute
        .hosts
        .iter()
        .filter(|host| world.get::<Host>(host).is_ok_and(Host::is_usable) && reaches(world, machine, host))
        .collect();
    if active.is_empty() {
        let fault = NoActiveHostInCluster { compute_resource: cluster.clone(), ..Default::default() };
        return Err(Fault::new(fault, "No host of the cluster is available to run the virtual machine."));
    }
    let mut refused = None;
    let mut best: Option<(&Moref, f64)> = None;
    for host in active {
        match host_has_room(world, vm, machine, host) {
            Ok(_) => {
                let load = memory_load(world, host, vm);
                // The machine stays where it is, unless another host has clearly less to do.
                let load = if Some(host) == current { load - 0.1 } else { load };
                if best.is_none_or(|(_, least)| load < least) {
                    best = Some((host, load));
                }
            }
            Err(fault) => refused = Some(fault),
        }
    }
    match (best, refused) {
        (Some((host, _)), _) => Ok(host.clone()),
        (None, refused) => Err(refused.unwrap_or_else(|| Fault::invalid_argument("host"))),
    }
}

/// The compute resource that a machine's pool divides.
fn compute_of<'a>(world: &'a World, machine: &Vm) -> Option<(Moref, &'a Compute)> {
    let owner = match &machine.pool {
        Some(pool) => world.get::<ResourcePool>(pool).ok()?.owner.clone(),
        None => world.entity(machine.runtime.host.as_ref()?).ok()?.parent.clone()?,
    };
    let compute = world.get::<Compute>(&owner).ok()?;
    Some((owner, compute))
}

fn balances(compute: &Compute) -> bool {
    compute.cluster.as_ref().is_some_and(|cluster| cluster.drs_config.enabled == Some(true))
}

/// Whether DRS looks after the machine.
pub(super) fn is_balanced(world: &World, vm: &Moref) -> bool {
    let compute = world.get::<Vm>(vm).ok().and_then(|machine| compute_of(world, machine));
    compute.is_some_and(|(_, compute)| balances(compute))
}

/// Whether HA restarts the machine elsewhere when its host fails.
pub(super) fn is_protected(world: &World, vm: &Moref) -> bool {
    let compute = world.get::<Vm>(vm).ok().and_then(|machine| compute_of(world, machine));
    let cluster = compute.and_then(|(_, compute)| compute.cluster.as_ref());
    cluster.is_some_and(|cluster| cluster.das_config.enabled == Some(true))
}

/// Whether the host sees the machine's datastores and networks.
fn reaches(world: &World, machine: &Vm, host: &Moref) -> bool {
    world.get::<Host>(host).is_ok_and(|host| {
        machine.datastores.iter().all(|datastore| host.datastores.contains(datastore))
            && machine.networks.iter().all(|network| host.networks.contains(network))
    })
}

/// # Errors
/// `HostNotConnected`.
pub(super) fn must_be_connected(world: &World, host: &Moref) -> Outcome<()> {
    if world.get::<Host>(host)?.runtime.connection_state == HostSystemConnectionState::Connected {
        return Ok(());
    }
    let message = "Unable to communicate with the remote host, since it is disconnected.";
    Err(Fault::new(HostNotConnected::default(), message))
}

/// Whether the machine could run on this host: the host is ready, has the processors, and can keep the reservation.
pub(super) fn host_has_room(world: &World, vm: &Moref, machine: &Vm, at: &Moref) -> Outcome<Moref> {
    usable(world, at)?;
    let host = world.get::<Host>(at)?;
    let threads = i32::from(host.hardware.num_cpu_threads);
    let wanted = machine.config.hardware.num_cpu;
    if wanted > threads {
        let cpus = NotEnoughCpus { num_cpu_dest: threads, num_cpu_vm: wanted, ..Default::default() };
        let fault = NotEnoughLogicalCpus { base: cpus, host: Some(at.clone()) };
        let message = format!("The virtual machine needs {wanted} logical processors, and the host has {threads}.");
        return Err(Fault::new(fault, message));
    }
    let reserved = reserved_by(world, &host.vms, vm);
    if must_keep(host.hardware.memory_size, reserved, reservation(machine)) {
        return Ok(at.clone());
    }
    Err(no_memory(host.hardware.memory_size - reserved, reservation(machine)))
}

/// Whether the pool can keep the reservation, where it may not take more than it has itself.
fn pool_has_room(world: &World, vm: &Moref, machine: &Vm) -> Outcome<()> {
    let Some(pool) = machine.pool.as_ref().and_then(|pool| world.get::<ResourcePool>(pool).ok()) else { return Ok(()) };
    let memory = &pool.config.memory_allocation;
    if memory.expandable_reservation != Some(false) {
        return Ok(());
    }
    let has = memory.reservation.unwrap_or(0) << 20;
    let reserved = reserved_by(world, &pool.vms, vm);
    if must_keep(has, reserved, reservation(machine)) {
        Ok(())
    } else {
        Err(no_memory(has - reserved, reservation(machine)))
    }
}

/// Whether a reservation fits beside the others; one of nothing always does.
fn must_keep(has: i64, reserved: i64, wanted: i64) -> bool {
    wanted == 0 || reserved.saturating_add(wanted) <= has
}

fn no_memory(unreserved: i64, requested: i64) -> Fault {
    let fault = InsufficientMemoryResourcesFault { unreserved, requested, ..Default::default() };
    let message = "The host does not have sufficient memory resources to satisfy the reservation.";
    Fault::new(fault, message)
}

/// The memory that a machine has for itself, in bytes.
pub(super) fn reservation(machine: &Vm) -> i64 {
    let in_config = machine.config.memory_allocation.as_ref().and_then(|memory| memory.reservation);
    let reservation = in_config.or(machine.resource_config.memory_allocation.reservation).unwrap_or(0);
    if machine.config.memory_reservation_locked_to_max == Some(true) {
        return i64::from(machine.config.hardware.memory_mb) << 20;
    }
    reservation << 20
}

/// What these machines have for themselves while they run, without this one.
fn reserved_by(world: &World, vms: &[Moref], but: &Moref) -> i64 {
    let others = vms.iter().filter(|vm| *vm != but).filter_map(|vm| world.get::<Vm>(vm).ok());
    others.filter(|machine| machine.is_on()).map(reservation).sum()
}

/// Which share of a host's memory its running machines are configured with.
fn memory_load(world: &World, at: &Moref, but: &Moref) -> f64 {
    let Ok(host) = world.get::<Host>(at) else { return f64::MAX };
    let others = host.vms.iter().filter(|vm| *vm != but).filter_map(|vm| world.get::<Vm>(vm).ok());
    let used: i32 = others.filter(|machine| machine.is_on()).map(|machine| machine.config.hardware.memory_mb).sum();
    let size = i32::try_from(host.hardware.memory_size >> 20).unwrap_or(i32::MAX).max(1);
    f64::from(used) / f64::from(size)
}

/// Registers the machine with this host instead of the one it was on.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn assign(world: &mut World, vm: &Moref, host: &Moref) -> Outcome<()> {
    let before = world.get::<Vm>(vm)?.runtime.host.clone();
    if before.as_ref() == Some(host) {
        return Ok(());
    }
    if let Some(before) = before.filter(|before| world.get::<Host>(before).is_ok()) {
        world.edit::<Host>(&before)?.vms.retain(|other| other != vm);
    }
    world.edit::<Host>(host)?.vms.push(vm.clone());
    world.edit::<Vm>(vm)?.runtime.host = Some(host.clone());
    Ok(())
}
