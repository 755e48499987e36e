//! What a cluster says when it is asked: recommendations, places for machines, the state of HA.

use vsphere_model::types::{
    Any, ClusterAction, ClusterDasAdvancedRuntimeInfo, ClusterDasFailoverLevelAdvancedRuntimeInfo,
    ClusterDasFailoverLevelAdvancedRuntimeInfoHostSlots, ClusterDasFailoverLevelAdvancedRuntimeInfoSlotInfo,
    ClusterFailoverLevelAdmissionControlPolicy, ClusterHostRecommendation, ClusterRecommendation,
    DasHeartbeatDatastoreInfo, NotFound, PlacementAction, PlacementResult, PlacementSpec, Poly,
    VirtualMachinePowerState, VirtualMachineRelocateSpec,
};

use super::summary::count;
use super::{Compute, drs};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::datastore::Datastore;
use crate::objects::host::Host;
use crate::objects::vm::Vm;
use crate::world::{Moref, World};

pub(crate) const METHODS: Methods = &[
    ("ClusterComputeResource", "RefreshRecommendation", Handler::Write(refresh)),
    ("ClusterComputeResource", "ApplyRecommendation", Handler::Write(apply)),
    ("ClusterComputeResource", "CancelRecommendation", Handler::Write(cancel)),
    ("ClusterComputeResource", "RecommendHostsForVm", Handler::Read(recommend_hosts)),
    ("ClusterComputeResource", "PlaceVm", Handler::Read(place)),
    ("ClusterComputeResource", "RetrieveDasAdvancedRuntimeInfo", Handler::Read(das_info)),
    ("ClusterComputeResource", "GetResourceUsage", Handler::Read(usage)),
];

fn refresh(world: &mut World, call: &Call) -> Outcome<Reply> {
    let user = call.user(world);
    drs::refresh(world, &call.target, &user)?;
    Ok(Reply::NONE)
}

/// Takes the recommendation that the call names off the list.
fn taken(world: &mut World, call: &Call) -> Outcome<ClusterRecommendation> {
    let key: String = call.arg("key")?;
    let list = &mut world.edit::<Compute>(&call.target)?.recommendations;
    let at = list.iter().position(|one| one.key == key).ok_or_else(|| Fault::invalid_argument("key"))?;
    Ok(list.remove(at))
}

fn apply(world: &mut World, call: &Call) -> Outcome<Reply> {
    let user = call.user(world);
    let recommendation = taken(world, call)?;
    let moves = drs::migrations(&recommendation);
    let plan = call.task().takes(std::time::Duration::from_secs(4));
    // It answers nothing: the move is a task of its own.
    plan.start(world, move |world| {
        for migration in moves {
            let fits = world.get::<Host>(&migration.destination)?.is_usable();
            if !fits {
                return Err(Fault::new(NotFound::default(), "The host of the recommendation takes no machines now."));
            }
            drs::migrate(world, &migration.vm, &migration.destination, &user)?;
        }
        Ok(Any::Unset)
    })?;
    Ok(Reply::NONE)
}

fn cancel(world: &mut World, call: &Call) -> Outcome<Reply> {
    taken(world, call)?;
    Ok(Reply::NONE)
}

fn recommend_hosts(world: &World, call: &Call) -> Outcome<Reply> {
    let vm: Moref = call.arg("vm")?;
    world.get::<Vm>(&vm)?;
    let compute: &Compute = world.get(&call.target)?;
    let hosts = drs::candidates(world, compute, &vm).into_iter().enumerate();
    let rated = hosts.map(|(position, host)| ClusterHostRecommendation { host, rating: drs::rating(position) });
    Ok(Reply::list(rated.collect()))
}

/// The hosts that could take a machine that is not there yet, the one with the fewest machines first.
fn hosts_for_new(world: &World, compute: &Compute) -> Vec<Moref> {
    let usable = compute.hosts.iter().filter(|host| world.get::<Host>(host).is_ok_and(Host::is_usable));
    let mut hosts: Vec<Moref> = usable.cloned().collect();
    hosts.sort_by_key(|host| world.get::<Host>(host).map_or(usize::MAX, |host| host.vms.len()));
    hosts
}

fn place(world: &World, call: &Call) -> Outcome<Reply> {
    let spec: PlacementSpec = call.arg("placementSpec")?;
    let compute: &Compute = world.get(&call.target)?;
    let kind = spec.placement_type.as_deref().unwrap_or("relocate");
    let existing = ["relocate", "reconfigure", "clone"].contains(&kind);
    let mut hosts = match (&spec.vm, kind) {
        (None, "relocate" | "reconfigure" | "clone") => return Err(Fault::invalid_argument("placementSpec.vm")),
        (Some(vm), "relocate" | "reconfigure")
            if world.host_of(vm).is_some_and(|host| compute.hosts.contains(&host)) =>
        {
            world.get::<Vm>(vm)?;
            drs::candidates(world, compute, vm)
        }
        (vm, _) => {
            if let Some(vm) = vm.as_ref().filter(|_| existing) {
                world.get::<Vm>(vm)?;
            }
            if kind == "create" && spec.config_spec.is_none() {
                return Err(Fault::invalid_argument("placementSpec.configSpec"));
            }
            hosts_for_new(world, compute)
        }
    };
    if !spec.hosts.is_empty() {
        hosts.retain(|host| spec.hosts.contains(host));
    }
    let placed = hosts.iter().find_map(|host| Some((host.clone(), best_datastore(world, host, &spec.datastores)?)));
    let Some((host, datastore)) = placed else { return Ok(Reply::of(PlacementResult::default())) };
    let relocate = VirtualMachineRelocateSpec {
        datastore: Some(datastore),
        host: Some(host.clone()),
        pool: spec.relocate_spec.as_ref().and_then(|spec| spec.pool.clone()).or_else(|| Some(compute.pool.clone())),
        ..Default::default()
    };
    let action = PlacementAction {
        base: ClusterAction { type_: "PlacementV1".to_owned(), target: Some(call.target.clone()) },
        vm: spec.vm.clone(),
        target_host: Some(host),
        relocate_spec: Some(Box::new(relocate)),
    };
    let recommendation = ClusterRecommendation {
        key: "1".to_owned(),
        type_: "V1".to_owned(),
        time: world.now(),
        rating: 1,
        reason: "xvmotionPlacement".to_owned(),
        reason_text: "Place a virtual machine".to_owned(),
        action: vec![Poly::new(action)],
        target: Some(call.target.clone()),
        ..Default::default()
    };
    Ok(Reply::of(PlacementResult { recommendations: vec![recommendation], ..Default::default() }))
}

/// The datastore of a host with the most space, among these where some are given.
fn best_datastore(world: &World, host: &Moref, among: &[Moref]) -> Option<Moref> {
    let seen = world.get::<Host>(host).ok()?.datastores.iter();
    let allowed = seen.filter(|datastore| among.is_empty() || among.contains(datastore));
    allowed.max_by_key(|datastore| world.get::<Datastore>(datastore).map_or(0, Datastore::free)).cloned()
}

/// MHz and MB of a slot where no machine reserves more.
const SLOT: (i32, i32) = (32, 0);

/// Slots as HA counts them: the largest reservation of a running machine makes the size of a slot.
fn das_info(world: &World, call: &Call) -> Outcome<Reply> {
    let compute: &Compute = world.get(&call.target)?;
    if !compute.has_ha() {
        return Ok(Reply::NONE);
    }
    let heartbeats = compute
        .datastores
        .iter()
        .take(2)
        .map(|datastore| DasHeartbeatDatastoreInfo { datastore: datastore.clone(), hosts: compute.hosts.clone() });
    let base = ClusterDasAdvancedRuntimeInfo { heartbeat_datastore_info: heartbeats.collect(), ..Default::default() };
    let policy = compute.cluster.as_ref().and_then(|cluster| cluster.das_config.admission_control_policy.as_ref());
    if !policy.is_some_and(|policy| policy.is::<ClusterFailoverLevelAdmissionControlPolicy>()) {
        return Ok(Reply::of(base));
    }
    let vms = compute.vms(world);
    let found = vms.iter().filter_map(|vm| world.get::<Vm>(vm).ok());
    let running: Vec<&Vm> = found.filter(|vm| vm.runtime.power_state == VirtualMachinePowerState::PoweredOn).collect();
    let largest = |reservation: fn(&Vm) -> Option<i64>, least: i32| {
        let most = running.iter().filter_map(|vm| reservation(vm)).max().unwrap_or_default();
        i32::try_from(most).unwrap_or(i32::MAX).max(least)
    };
    let cpu = largest(|vm| vm.resource_config.cpu_allocation.reservation, SLOT.0);
    // Each machine needs some memory beside its own.
    let memory = largest(|vm| vm.resource_config.memory_allocation.reservation, SLOT.1) + 100;
    let good: Vec<&Moref> =
        compute.hosts.iter().filter(|host| world.get::<Host>(host).is_ok_and(Host::is_usable)).collect();
    let slots = good.iter().map(|host| {
        let slots = world.get::<Host>(host).map_or(0, |host| {
            let by_memory = i32::try_from((host.hardware.memory_size >> 20) / i64::from(memory)).unwrap_or(i32::MAX);
            (host.cpu_mhz_total() / cpu).min(by_memory)
        });
        ClusterDasFailoverLevelAdvancedRuntimeInfoHostSlots { host: (*host).clone(), slots }
    });
    let host_slots: Vec<_> = slots.collect();
    let total: i32 = host_slots.iter().map(|host| host.slots).sum();
    let reserve = host_slots.iter().map(|host| host.slots).max().unwrap_or_default();
    Ok(Reply::of(ClusterDasFailoverLevelAdvancedRuntimeInfo {
        base,
        slot_info: ClusterDasFailoverLevelAdvancedRuntimeInfoSlotInfo {
            num_vcpus: 1,
            cpu_m_hz: cpu,
            memory_mb: memory,
        },
        total_slots: total,
        used_slots: count(running.len()),
        unreserved_slots: (total - reserve - count(running.len())).max(0),
        total_vms: count(vms.len()),
        total_hosts: count(compute.hosts.len()),
        total_good_hosts: count(good.len()),
        host_slots,
        ..Default::default()
    }))
}

fn usage(world: &World, call: &Call) -> Outcome<Reply> {
    Ok(Reply::of(world.get::<Compute>(&call.target)?.resource_usage(world)))
}
