//! The storage resource manager: how datastore clusters are kept in balance, and which of their datastores suits something new.

use std::collections::HashMap;
use std::time::Duration;

use vsphere_model::managed;
use vsphere_model::types::{
    Any, ArrayUpdateOperation, ClusterAction, ClusterRecommendation, Poly, StorageDrsConfigInfo, StorageDrsConfigSpec,
    StorageDrsPodConfigInfo, StorageDrsPodConfigSpec, StorageDrsVmConfigInfo, StoragePlacementAction,
    StoragePlacementResult, StoragePlacementSpec, VirtualDeviceConfigSpecFileOperation,
    VirtualDeviceConfigSpecOperation, VirtualDisk, VirtualMachineRelocateSpec,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::{Datastore, Maintenance};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::folder::Folder;
use crate::objects::host::Host;
use crate::objects::resource_pool::ResourcePool;
use crate::objects::vm::Vm;
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("StorageResourceManager", "ConfigureStorageDrsForPod_Task", Handler::Write(configure)),
    ("StorageResourceManager", "RecommendDatastores", Handler::Read(recommend)),
];

/// The managed object `StorageResourceManager`.
#[derive(Default)]
struct StorageResourceManager {
    /// The settings of datastore clusters that somebody has changed, by their ids.
    pods: HashMap<String, StorageDrsConfigInfo>,
}

impl Managed for StorageResourceManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::StorageResourceManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

pub(crate) fn install(world: &mut World) {
    let manager = world.add_as("StorageResourceManager", StorageResourceManager::default());
    world.content.storage_resource_manager = Some(manager);
}

/// How a datastore cluster is kept in balance.
pub(super) fn config(world: &World, pod: &Moref) -> StorageDrsConfigInfo {
    let manager = world.content.storage_resource_manager.as_ref();
    let manager = manager.and_then(|manager| world.get::<StorageResourceManager>(manager).ok());
    manager.and_then(|manager| manager.pods.get(&pod.value)).cloned().unwrap_or_else(at_first)
}

/// As a new cluster is: storage DRS is off.
fn at_first() -> StorageDrsConfigInfo {
    StorageDrsConfigInfo {
        pod_config: StorageDrsPodConfigInfo {
            enabled: false,
            io_load_balance_enabled: false,
            default_vm_behavior: "manual".to_owned(),
            load_balance_interval: Some(480),
            default_intra_vm_affinity: Some(true),
            ..Default::default()
        },
        ..Default::default()
    }
}

/// The longest time between two looks at the balance, in minutes.
const LONGEST: i32 = 43_200;

fn configure(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (pod, spec): (Moref, StorageDrsConfigSpec) = (call.arg("pod")?, call.arg("spec")?);
    let modify: bool = call.arg("modify")?;
    is_pod(world, &pod, "pod")?;
    world.demand(call, &pod, "StoragePod.Config")?;
    let mut next = if modify { config(world, &pod) } else { at_first() };
    if let Some(spec) = &spec.pod_config_spec {
        change(&mut next.pod_config, spec)?;
    }
    for change in &spec.vm_config_spec {
        let removed = || change.base.remove_key.clone().and_then(|key| key.take::<Moref>().ok());
        let key = change.info.as_ref().and_then(|info| info.vm.clone()).or_else(removed);
        let key = key.ok_or_else(|| Fault::invalid_argument("spec.vmConfigSpec.info.vm"))?;
        next.vm_config.retain(|info: &StorageDrsVmConfigInfo| info.vm.as_ref() != Some(&key));
        if change.base.operation != ArrayUpdateOperation::Remove {
            world.get::<Vm>(&key)?;
            next.vm_config.extend(change.info.as_deref().cloned());
        }
    }
    let manager = call.target.clone();
    call.task().about(&pod).takes(Duration::from_millis(300)).start(world, move |world| {
        world.edit::<StorageResourceManager>(&manager)?.pods.insert(pod.value.clone(), next);
        world.touch(&pod);
        Ok(Any::Unset)
    })
}

fn change(config: &mut StorageDrsPodConfigInfo, spec: &StorageDrsPodConfigSpec) -> Outcome<()> {
    if let Some(behavior) = &spec.default_vm_behavior {
        if !["automated", "manual"].contains(&behavior.as_str()) {
            return Err(Fault::invalid_argument("spec.podConfigSpec.defaultVmBehavior"));
        }
        config.default_vm_behavior.clone_from(behavior);
    }
    if let Some(interval) = spec.load_balance_interval {
        if !(60..=LONGEST).contains(&interval) {
            return Err(Fault::invalid_argument("spec.podConfigSpec.loadBalanceInterval"));
        }
        config.load_balance_interval = Some(interval);
    }
    config.enabled = spec.enabled.unwrap_or(config.enabled);
    config.io_load_balance_enabled = spec.io_load_balance_enabled.unwrap_or(config.io_load_balance_enabled);
    config.default_intra_vm_affinity = spec.default_intra_vm_affinity.or(config.default_intra_vm_affinity);
    if spec.space_load_balance_config.is_some() {
        config.space_load_balance_config.clone_from(&spec.space_load_balance_config);
    }
    if spec.io_load_balance_config.is_some() {
        config.io_load_balance_config.clone_from(&spec.io_load_balance_config);
    }
    if spec.automation_overrides.is_some() {
        config.automation_overrides.clone_from(&spec.automation_overrides);
    }
    for change in &spec.option {
        let Some(option) = &change.option else { continue };
        config.option.retain(|old| old.key != option.key);
        if change.base.operation != ArrayUpdateOperation::Remove {
            config.option.push(option.clone());
        }
    }
    Ok(())
}

/// Whether the object is a datastore cluster.
///
/// # Errors
/// `InvalidArgument`.
fn is_pod(world: &World, object: &Moref, property: &str) -> Outcome<()> {
    let found = world.get::<Folder>(object)?;
    if found.info().name == managed::StoragePod::INFO.name { Ok(()) } else { Err(Fault::invalid_argument(property)) }
}

fn recommend(world: &World, call: &Call) -> Outcome<Reply> {
    let spec: StoragePlacementSpec = call.arg("storageSpec")?;
    let selection = &spec.pod_selection_spec;
    let pod = selection.storage_pod.as_ref();
    let pod = pod.or_else(|| selection.initial_vm_config.first().map(|config| &config.storage_pod));
    let pod = pod.ok_or_else(|| Fault::invalid_argument("storageSpec.podSelectionSpec.storagePod"))?;
    is_pod(world, pod, "storageSpec.podSelectionSpec.storagePod")?;
    let need = needed(world, &spec)?;
    let hosts = hosts(world, &spec)?;
    let mut suitable: Vec<(&Moref, &Datastore)> = Vec::new();
    for reference in &world.get::<Folder>(pod)?.children {
        let datastore = world.get::<Datastore>(reference)?;
        let seen = hosts.is_empty()
            || hosts.iter().any(|host| world.get::<Host>(host).is_ok_and(|host| host.datastores.contains(reference)));
        if seen && datastore.is_accessible() && datastore.maintenance == Maintenance::Normal && datastore.free() >= need
        {
            suitable.push((reference, datastore));
        }
    }
    suitable.sort_by_key(|(_, datastore)| std::cmp::Reverse(datastore.free()));
    let recommendations = suitable.into_iter().zip(1..);
    let recommendations = recommendations
        .map(|((reference, datastore), number)| recommendation(world, &spec, pod, reference, datastore, need, number));
    Ok(Reply::of(StoragePlacementResult { recommendations: recommendations.collect(), ..Default::default() }))
}

/// The bytes that the new disks will have.
///
/// # Errors
/// `InvalidArgument` where the specification lacks what its type needs.
fn needed(world: &World, spec: &StoragePlacementSpec) -> Outcome<i64> {
    let missing = |property: &str| Fault::invalid_argument(&format!("storageSpec.{property}"));
    let of_vm = || {
        let vm = world.get::<Vm>(spec.vm.as_ref().ok_or_else(|| missing("vm"))?)?;
        let disks = vm.config.hardware.device.iter().filter_map(|device| device.downcast_ref::<VirtualDisk>());
        Ok::<i64, Fault>(disks.map(|disk| disk.capacity_in_kb.saturating_mul(1024)).fold(0, i64::saturating_add))
    };
    match spec.type_.as_str() {
        "create" | "reconfigure" => {
            let config = spec.config_spec.as_ref().ok_or_else(|| missing("configSpec"))?;
            if spec.type_ == "create" && spec.resource_pool.is_none() {
                return Err(missing("resourcePool"));
            }
            let new = config.device_change.iter().filter(|change| {
                change.operation == Some(VirtualDeviceConfigSpecOperation::Add)
                    && change.file_operation == Some(VirtualDeviceConfigSpecFileOperation::Create)
            });
            let disks = new.filter_map(|change| change.device.downcast_ref::<VirtualDisk>());
            Ok(disks.map(|disk| disk.capacity_in_kb.saturating_mul(1024)).fold(0, i64::saturating_add))
        }
        "clone" => {
            spec.clone_name.as_ref().ok_or_else(|| missing("cloneName"))?;
            spec.clone_spec.as_ref().ok_or_else(|| missing("cloneSpec"))?;
            of_vm()
        }
        "relocate" => of_vm(),
        _ => Err(missing("type")),
    }
}

/// The hosts that something of the specification may run on; empty where it says nothing of them.
fn hosts(world: &World, spec: &StoragePlacementSpec) -> Outcome<Vec<Moref>> {
    if let Some(host) = &spec.host {
        world.get::<Host>(host)?;
        return Ok(vec![host.clone()]);
    }
    match &spec.resource_pool {
        Some(pool) => Ok(world.get::<Compute>(&world.get::<ResourcePool>(pool)?.owner)?.hosts.clone()),
        None => Ok(Vec::new()),
    }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the API has percents as floats")]
fn recommendation(
    world: &World,
    spec: &StoragePlacementSpec,
    pod: &Moref,
    reference: &Moref,
    datastore: &Datastore,
    need: i64,
    number: i32,
) -> ClusterRecommendation {
    let percent = |used: i64| (used as f64 * 100.0 / datastore.capacity.max(1) as f64) as f32;
    let used = datastore.capacity - datastore.free();
    let action = StoragePlacementAction {
        base: ClusterAction { type_: "StoragePlacementV1".to_owned(), target: None },
        vm: spec.vm.clone(),
        relocate_spec: VirtualMachineRelocateSpec { datastore: Some(reference.clone()), ..Default::default() },
        destination: reference.clone(),
        space_util_before: Some(percent(used)),
        space_demand_before: Some(percent(used)),
        space_util_after: Some(percent(used.saturating_add(need))),
        space_demand_after: Some(percent(used.saturating_add(need))),
        io_latency_before: Some(0.0),
    };
    ClusterRecommendation {
        key: number.to_string(),
        type_: "V1".to_owned(),
        time: world.now(),
        rating: (6 - number).max(1),
        reason: "storagePlacement".to_owned(),
        reason_text: "Satisfy storage initial placement requests".to_owned(),
        action: vec![Poly::new(action)],
        target: Some(pod.clone()),
        ..Default::default()
    }
}
