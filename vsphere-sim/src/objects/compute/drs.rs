//! DRS: which host a machine is best on, and what is to be moved.

use std::cmp::Reverse;

use vsphere_model::types::{
    ClusterAction, ClusterAntiAffinityRuleSpec, ClusterDrsMigration, ClusterDrsRecommendation, ClusterHostGroup,
    ClusterMigrationAction, ClusterRecommendation, ClusterVmHostRuleInfo, DrsBehavior, DrsVmMigratedEvent,
    EntityEventArgument, HostEventArgument, Poly, VirtualDeviceDeviceBackingInfo, VirtualDeviceRemoteDeviceBackingInfo,
    VirtualEthernetCard, VirtualMachinePowerState, VirtualPCIPassthrough, VirtualSCSIPassthrough,
    VirtualSriovEthernetCard, VmMigratedEvent,
};

use super::Compute;
use super::config::vms_of_rule;
use super::summary::count;
use crate::fault::Outcome;
use crate::objects::host::{self, Host, load};
use crate::objects::vm::Vm;
use crate::world::{Moref, World};

/// A difference between two hosts, in per mille of their capacity, that is worth a move.
const WORTH: i64 = 60;

/// How many moves are recommended at a time.
const MOVES: usize = 5;

/// How busy a host is: the larger one of its processor's and its memory's share, in per mille.
fn pressure(world: &World, host: &Moref) -> i64 {
    let Ok(found) = world.get::<Host>(host) else { return 0 };
    let load = load::of_all(world, &found.vms);
    let cpu = load.cpu * 1000 / i64::from(found.cpu_mhz_total().max(1));
    let memory = load.host_memory * 1000 / (found.hardware.memory_size >> 20).max(1);
    cpu.max(memory)
}

/// How far the busiest host is from the idlest one, in per mille.
pub(super) fn imbalance(world: &World, compute: &Compute) -> i32 {
    let usable = compute.hosts.iter().filter(|host| world.get::<Host>(host).is_ok_and(Host::is_usable));
    let pressures: Vec<i64> = usable.map(|host| pressure(world, host)).collect();
    let spread = pressures.iter().max().zip(pressures.iter().min()).map_or(0, |(most, least)| most - least);
    i32::try_from(spread).unwrap_or(i32::MAX)
}

/// For each running machine how well its host serves it, in percent.
pub(super) fn scores(world: &World, compute: &Compute) -> Vec<i32> {
    let of_host = |host: &Moref| {
        let score = i32::try_from(100 - (pressure(world, host) - 600).max(0) / 8).unwrap_or(1).clamp(1, 100);
        vec![score; host::running(world, host).len()]
    };
    compute.hosts.iter().flat_map(of_host).collect()
}

/// The hosts of the compute resource that a machine can run on, the best first.
pub(super) fn candidates(world: &World, compute: &Compute, vm: &Moref) -> Vec<Moref> {
    let Ok(found) = world.get::<Vm>(vm) else { return Vec::new() };
    let sees_all = |host: &Host| {
        found.datastores.iter().all(|datastore| host.datastores.contains(datastore))
            && found.networks.iter().all(|network| host.networks.contains(network))
    };
    let fits = |host: &&Moref| {
        let usable = world.get::<Host>(host).is_ok_and(|host| host.is_usable() && sees_all(host));
        usable && !is_forbidden(world, compute, vm, host)
    };
    let mut hosts: Vec<Moref> = compute.hosts.iter().filter(fits).cloned().collect();
    hosts.sort_by_key(|host| pressure(world, host));
    hosts
}

/// Whether a rule keeps the machine off the host.
fn is_forbidden(world: &World, compute: &Compute, vm: &Moref, host: &Moref) -> bool {
    let Some(config) = &compute.cluster else { return false };
    let on_host = |other: &Moref| other != vm && world.host_of(other).as_ref() == Some(host);
    let group = |name: &Option<String>| {
        let found = name.as_ref().and_then(|name| config.group.iter().find(|group| group.name == *name));
        found.and_then(|group| group.downcast_ref::<ClusterHostGroup>()).map(|group| &group.host)
    };
    let enabled = config.rule.iter().filter(|rule| rule.enabled == Some(true));
    let mut about_vm = enabled.filter(|rule| vms_of_rule(config, rule).contains(vm));
    about_vm.any(|rule| {
        if rule.is::<ClusterAntiAffinityRuleSpec>() {
            return vms_of_rule(config, rule).iter().any(on_host);
        }
        rule.downcast_ref::<ClusterVmHostRuleInfo>().filter(|_| rule.mandatory == Some(true)).is_some_and(|hosts| {
            group(&hosts.affine_host_group_name).is_some_and(|allowed| !allowed.contains(host))
                || group(&hosts.anti_affine_host_group_name).is_some_and(|barred| barred.contains(host))
        })
    })
}

/// Whether DRS moves this machine without asking.
fn is_automatic(compute: &Compute, vm: &Moref) -> bool {
    let Some(behavior) = compute.drs() else { return false };
    let overrides = compute.cluster.as_ref().map(|cluster| cluster.drs_vm_config.as_slice()).unwrap_or_default();
    match overrides.iter().find(|one| one.key == *vm) {
        Some(own) => {
            own.enabled != Some(false) && own.behavior.as_ref().unwrap_or(&behavior) == &DrsBehavior::FullyAutomated
        }
        None => behavior == DrsBehavior::FullyAutomated,
    }
}

/// Moves the machines of a host elsewhere, as far as DRS may and other hosts can take them; `others` says whether those
/// that do not run are moved too.
pub(crate) fn evacuate(world: &mut World, host: &Moref, others: bool, user: &str) {
    let Some((cluster, _)) = world.nearest::<Compute>(host) else { return };
    let Ok(vms) = world.get::<Host>(host).map(|host| host.vms.clone()) else { return };
    for vm in vms {
        let Ok(compute) = world.get::<Compute>(&cluster) else { return };
        let runs = world.get::<Vm>(&vm).is_ok_and(|vm| vm.runtime.power_state == VirtualMachinePowerState::PoweredOn);
        let moves = is_automatic(compute, &vm) && (runs || others);
        let to = candidates(world, compute, &vm).into_iter().find(|other| other != host);
        let stays = runs && (is_tied(world, &vm) || !has_vmotion(world, host));
        let takes = |to: &Moref| moves && !stays && (!runs || has_vmotion(world, to));
        if let Some(to) = to.filter(takes) {
            // A machine that went away meanwhile needs no host.
            let _ = migrate(world, &vm, &to, user);
        }
    }
}

fn has_vmotion(world: &World, host: &Moref) -> bool {
    world.get::<Host>(host).is_ok_and(Host::has_vmotion)
}

/// Whether a device ties the machine to its host while it runs: one that is passed through, or one that is connected to a
/// device of the host or of a client.
fn is_tied(world: &World, vm: &Moref) -> bool {
    let Ok(found) = world.get::<Vm>(vm) else { return false };
    found.config.hardware.device.iter().any(|device| {
        let passed_through = device.is::<VirtualPCIPassthrough>()
            || device.is::<VirtualSriovEthernetCard>()
            || device.is::<VirtualSCSIPassthrough>();
        let connected = device.connectable.as_ref().is_some_and(|it| it.connected);
        let of_a_computer = device.backing.as_ref().is_some_and(|backing| {
            backing.downcast_ref::<VirtualDeviceDeviceBackingInfo>().is_some()
                || backing.downcast_ref::<VirtualDeviceRemoteDeviceBackingInfo>().is_some()
        });
        passed_through || (connected && of_a_computer && !device.is::<VirtualEthernetCard>())
    })
}

/// Lets a machine run on another host of its cluster.
pub(super) fn migrate(world: &mut World, vm: &Moref, to: &Moref, user: &str) -> Outcome<()> {
    let from = world.host_of(vm).filter(|from| from != to);
    let Some(from) = from else { return Ok(()) };
    world.edit::<Vm>(vm)?.runtime.host = Some(to.clone());
    world.edit::<Host>(&from)?.vms.retain(|other| other != vm);
    world.edit::<Host>(to)?.vms.push(vm.clone());
    if let Some((cluster, _)) = world.nearest::<Compute>(to) {
        world.edit::<Compute>(&cluster)?.migrations += 1;
    }
    let name = |of: &Moref| world.entity(of).map(|entity| entity.name.clone()).unwrap_or_default();
    let message = format!("DRS migrated {} from {} to {}", name(vm), name(&from), name(to));
    let source_host =
        HostEventArgument { base: EntityEventArgument { name: name(&from), ..Default::default() }, host: from };
    let event = DrsVmMigratedEvent { base: VmMigratedEvent { source_host, ..Default::default() } };
    world.post(vm, user, event, message);
    Ok(())
}

/// Looks for what would balance the cluster. Where DRS is fully automated it moves at once, else it recommends.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn refresh(world: &mut World, cluster: &Moref, user: &str) -> Outcome<()> {
    let compute: &Compute = world.get(cluster)?;
    if compute.drs().is_none() {
        world.edit::<Compute>(cluster)?.recommendations.clear();
        return Ok(());
    }
    let planned = plan(world, compute);
    let (now, later): (Vec<_>, Vec<_>) =
        planned.into_iter().partition(|migration| is_automatic(compute, &migration.vm));
    for migration in now {
        migrate(world, &migration.vm, &migration.destination, user)?;
    }
    let now = world.now();
    let recommendations = later.into_iter().map(|migration| recommendation(cluster, migration, now)).collect();
    world.edit::<Compute>(cluster)?.recommendations = recommendations;
    Ok(())
}

/// Moves from busy hosts to idle ones, the most useful first.
fn plan(world: &World, compute: &Compute) -> Vec<ClusterDrsMigration> {
    let usable = compute.hosts.iter().filter(|host| world.get::<Host>(host).is_ok_and(Host::is_usable));
    let mut hosts: Vec<(i64, &Moref)> = usable.map(|host| (pressure(world, host), host)).collect();
    let mut moves = Vec::new();
    for number in 1..=MOVES {
        hosts.sort_by_key(|(pressure, _)| *pressure);
        let (Some(&(least, to)), Some(&(most, from))) = (hosts.first(), hosts.last()) else { break };
        if most - least < WORTH {
            break;
        }
        let moved = |vm: &Moref| moves.iter().any(|migration: &ClusterDrsMigration| migration.vm == *vm);
        let mut vms: Vec<(i64, Moref)> = host::running(world, from)
            .into_iter()
            .filter(|vm| !moved(vm) && candidates(world, compute, vm).contains(to))
            .map(|vm| (share(world, &vm, to), vm))
            // One that tips the balance to the other side is no gain.
            .filter(|(share, _)| *share > 0 && *share < most - least)
            .collect();
        vms.sort_by_key(|(share, _)| Reverse(*share));
        let Some((share, vm)) = vms.into_iter().next() else { break };
        moves.push(migration(world, number, &vm, from, to));
        for (pressure, host) in &mut hosts {
            if *host == from {
                *pressure -= share;
            } else if *host == to {
                *pressure += share;
            }
        }
    }
    moves
}

/// What a machine adds to the pressure on a host, in per mille.
fn share(world: &World, vm: &Moref, host: &Moref) -> i64 {
    let load = load::of(world, vm);
    let Ok(host) = world.get::<Host>(host) else { return 0 };
    let cpu = load.cpu * 1000 / i64::from(host.cpu_mhz_total().max(1));
    cpu.max(load.host_memory * 1000 / (host.hardware.memory_size >> 20).max(1))
}

fn migration(world: &World, number: usize, vm: &Moref, from: &Moref, to: &Moref) -> ClusterDrsMigration {
    let load = load::of(world, vm);
    let of_host = |host: &Moref| world.get::<Host>(host).map(|host| load::of_all(world, &host.vms)).unwrap_or_default();
    let int = |value: i64| i32::try_from(value).ok();
    ClusterDrsMigration {
        key: number.to_string(),
        time: world.now(),
        vm: vm.clone(),
        cpu_load: int(load.cpu),
        memory_load: Some(load.host_memory),
        source: from.clone(),
        source_cpu_load: int(of_host(from).cpu),
        source_memory_load: Some(of_host(from).host_memory),
        destination: to.clone(),
        destination_cpu_load: int(of_host(to).cpu),
        destination_memory_load: Some(of_host(to).host_memory),
    }
}

fn recommendation(
    cluster: &Moref,
    migration: ClusterDrsMigration,
    now: vsphere_model::types::DateTime,
) -> ClusterRecommendation {
    ClusterRecommendation {
        key: migration.key.clone(),
        type_: "V1".to_owned(),
        time: now,
        rating: 4,
        reason: "fairnessCpuAvg".to_owned(),
        reason_text: "Balance average CPU loads".to_owned(),
        action: vec![Poly::new(ClusterMigrationAction {
            base: ClusterAction { type_: "MigrationV1".to_owned(), target: Some(migration.vm.clone()) },
            drs_migration: Some(Box::new(migration)),
        })],
        target: Some(cluster.clone()),
        ..Default::default()
    }
}

/// The form that `drsRecommendation` has, for clients that know no other.
pub(super) fn in_short(recommendations: &[ClusterRecommendation]) -> Vec<ClusterDrsRecommendation> {
    let short = |one: &ClusterRecommendation| ClusterDrsRecommendation {
        key: one.key.clone(),
        rating: one.rating,
        reason: one.reason.clone(),
        reason_text: one.reason_text.clone(),
        migration_list: migrations(one),
    };
    recommendations.iter().map(short).collect()
}

/// The moves of a recommendation.
pub(super) fn migrations(recommendation: &ClusterRecommendation) -> Vec<ClusterDrsMigration> {
    let actions = recommendation.action.iter().filter_map(|action| action.downcast_ref::<ClusterMigrationAction>());
    actions.filter_map(|action| action.drs_migration.as_deref().cloned()).collect()
}

/// How good a place is in the order of candidates: five stars for the best.
pub(super) fn rating(position: usize) -> i32 {
    (5 - count(position)).max(1)
}
