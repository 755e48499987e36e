//! The making of a virtual machine, and the place that it gets.

use std::time::Duration;

use vsphere_model::types::{
    Any, GuestInfo, HostNotConnected, HostSystemConnectionState, InvalidHostState, InvalidVmConfig,
    NoActiveHostInCluster, ResourceConfigSpec, VirtualMachineConfigInfo, VirtualMachineConfigSpec,
    VirtualMachineConnectionState, VirtualMachineFaultToleranceState, VirtualMachinePowerState,
    VirtualMachineRecordReplayState, VirtualMachineRuntimeInfo, VirtualMachineToolsStatus, VmBeingCreatedEvent,
    VmCreatedEvent,
};

use super::draft::{Draft, FileChange, carry_out};
use super::files::Place;
use super::{Life, Strain, Vm, config, environment};
use crate::call::{Call, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::datastore::Datastore;
use crate::objects::host::Host;
use crate::objects::resource_pool::ResourcePool;
use crate::world::{Entity, Moref, World};

/// Where a machine is put. What is not given is chosen.
#[derive(Debug, Clone)]
pub(crate) struct Placement {
    pub(crate) folder: Moref,
    pub(crate) pool: Moref,
    pub(crate) host: Option<Moref>,
    /// For its files, where the specification names none.
    pub(crate) datastore: Option<Moref>,
}

impl Placement {
    /// The host of a machine with this specification.
    fn host(&self, world: &World, spec: &VirtualMachineConfigSpec) -> Outcome<Moref> {
        let owner = &world.get::<ResourcePool>(&self.pool)?.owner;
        let asked = spec.files.as_ref().and_then(|files| files.vm_path_name.as_deref()).unwrap_or_default();
        let named = world.place_among(&world.get::<Compute>(owner)?.datastores, asked).ok();
        let datastore = named.map(|place| place.datastore).or_else(|| self.datastore.clone());
        choose_host(world, &self.pool, self.host.as_ref(), datastore.as_slice())
    }
}

/// `Folder.CreateVM_Task`.
pub(super) fn create_task(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: VirtualMachineConfigSpec = call.arg("config")?;
    let placement =
        Placement { folder: call.target.clone(), pool: call.arg("pool")?, host: call.opt("host")?, datastore: None };
    let user = call.user(world);
    call.task().takes(Duration::from_secs(2)).start(world, move |world| {
        let name = spec.name.clone().unwrap_or_default();
        let host = placement.host(world, &spec)?;
        let being = VmBeingCreatedEvent { config_spec: Some(Box::new(spec.clone())), ..Default::default() };
        let message = format!("Creating {name} on {}", world.name_of(&host));
        // The machine has its id before it is made, and so the event is about it.
        let made = create(world, &spec, &placement);
        world.post(made.as_ref().unwrap_or(&host), &user, being, message);
        let vm = made?;
        world.post(&vm, &user, VmCreatedEvent::default(), format!("Created virtual machine {name}"));
        Ok(Any::from(vm))
    })
}

/// Makes a machine, powered off, with its files. No event is posted: that is for who tells the user.
///
/// # Errors
/// As `Folder.CreateVM_Task`: the name, the place, the configuration or the space do not allow it.
pub(crate) fn create(world: &mut World, spec: &VirtualMachineConfigSpec, at: &Placement) -> Outcome<Moref> {
    let name = spec.name.clone().unwrap_or_default();
    world.check_new_child(&at.folder, &name, "VirtualMachine")?;
    let host = at.host(world, spec)?;
    let datastores = world.get::<Host>(&host)?.datastores.clone();
    let asked = spec.files.as_ref().and_then(|files| files.vm_path_name.as_deref()).unwrap_or_default();
    let vmx = choose_vmx(world, asked, at.datastore.as_ref(), &datastores, &name)?;
    let config = config::blank(world, &crate::world::escaped(&name), &world.place_text(&vmx));
    let mut draft =
        Draft { files: home(&vmx), config, host, datastores, vmx, running: false, has_snapshots: false, is_new: true };
    // Whoever makes a machine has not seen it before, and can't be late.
    let change_version = None;
    config::apply(world, &mut draft, &VirtualMachineConfigSpec { change_version, ..spec.clone() }, "configSpec")?;
    carry_out(world, &draft.files)?;
    add(world, draft.config, &draft.vmx.datastore, &draft.host, Some(&at.pool), &at.folder)
}

/// Adds a machine whose files are there to the inventory.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(super) fn add(
    world: &mut World,
    config: VirtualMachineConfigInfo,
    datastore: &Moref,
    host: &Moref,
    pool: Option<&Moref>,
    folder: &Moref,
) -> Outcome<Moref> {
    let id = world.new_id("vm-");
    let itself = Moref::new("VirtualMachine", &id);
    let vm = Vm {
        entity: Entity::new(&config.name, Some(folder)),
        runtime: runtime(host),
        guest: guest_info(),
        pool: pool.cloned(),
        resource_config: ResourceConfigSpec {
            entity: Some(itself.clone()),
            change_version: Some(config.change_version.clone()),
            last_modified: Some(config.modified),
            cpu_allocation: config.cpu_allocation.as_deref().cloned().unwrap_or_default(),
            memory_allocation: config.memory_allocation.as_deref().cloned().unwrap_or_default(),
            scale_descendants_shares: None,
        },
        datastores: Vec::new(),
        networks: Vec::new(),
        snapshot: None,
        guest_plan: None,
        guest_system: None,
        customization: None,
        life: Life::default(),
        strain: Strain::default(),
        config,
    };
    world.add_as(&id, vm);
    environment::add(world, &itself);
    world.hang(&itself, folder)?;
    world.edit::<Host>(host)?.vms.push(itself.clone());
    if let Some(pool) = pool {
        world.edit::<ResourcePool>(pool)?.vms.push(itself.clone());
    }
    world.relate(&itself, datastore)?;
    Ok(itself)
}

fn runtime(host: &Moref) -> VirtualMachineRuntimeInfo {
    VirtualMachineRuntimeInfo {
        host: Some(host.clone()),
        connection_state: VirtualMachineConnectionState::Connected,
        power_state: VirtualMachinePowerState::PoweredOff,
        fault_tolerance_state: Some(VirtualMachineFaultToleranceState::NotConfigured),
        record_replay_state: Some(VirtualMachineRecordReplayState::Inactive),
        clean_power_off: Some(true),
        online_standby: Some(false),
        consolidation_needed: Some(false),
        snapshot_in_background: Some(false),
        v_flash_cache_allocation: Some(0),
        quiesced_fork_parent: Some(false),
        instant_clone_frozen: Some(false),
        ..Default::default()
    }
}

/// What is known of a guest that has never run.
fn guest_info() -> GuestInfo {
    let text = |text: &str| Some(text.to_owned());
    GuestInfo {
        tools_status: Some(VirtualMachineToolsStatus::ToolsNotInstalled),
        tools_version_status: text("guestToolsNotInstalled"),
        tools_version_status2: text("guestToolsNotInstalled"),
        tools_running_status: text("guestToolsNotRunning"),
        tools_version: text("0"),
        guest_state: "notRunning".to_owned(),
        guest_operations_ready: Some(false),
        interactive_guest_operations_ready: Some(false),
        guest_state_change_supported: Some(false),
        ..Default::default()
    }
}

/// The host that a machine of a pool gets: the one that is asked for, or the least loaded that can run it and sees these
/// datastores.
///
/// # Errors
/// `InvalidArgument` where the host is not of the pool's compute resource, or must be named since nobody chooses one;
/// `HostNotConnected`, `InvalidHostState`, `NoActiveHostInCluster`.
pub(super) fn choose_host(world: &World, pool: &Moref, host: Option<&Moref>, datastores: &[Moref]) -> Outcome<Moref> {
    let owner = world.get::<ResourcePool>(pool)?.owner.clone();
    if let Some(host) = host {
        let compute = world.get::<Compute>(&owner)?;
        if !compute.hosts.contains(host) {
            return Err(Fault::invalid_argument("host"));
        }
        return usable(world, host).map(|()| host.clone());
    }
    if !chooses(world, &owner) {
        return Err(Fault::invalid_argument("host"));
    }
    least_busy(world, &owner, datastores)
}

/// The host of a compute resource that has the fewest machines, among those that see these datastores where there is any.
///
/// # Errors
/// `NoActiveHostInCluster`.
pub(super) fn least_busy(world: &World, owner: &Moref, datastores: &[Moref]) -> Outcome<Moref> {
    let compute = world.get::<Compute>(owner)?;
    let hosts = compute.hosts.iter().filter_map(|host| Some((host, world.get::<Host>(host).ok()?)));
    let able = hosts.filter(|(_, host)| host.is_usable());
    let least = able.min_by_key(|(_, host)| (!host.sees(datastores), host.vms.len()));
    least.map(|(host, _)| host.clone()).ok_or_else(|| {
        let fault = NoActiveHostInCluster { compute_resource: owner.clone(), ..Default::default() };
        Fault::new(fault, format!("No host in '{}' can run virtual machines now.", world.name_of(owner)))
    })
}

/// Whether a machine of this compute resource needs no host to be named: there is but one, or it is chosen.
pub(super) fn chooses(world: &World, compute: &Moref) -> bool {
    world.get::<Compute>(compute).is_ok_and(|compute| {
        let drs = compute.cluster.as_ref().is_none_or(|cluster| cluster.drs_config.enabled == Some(true));
        world.settings.rules.finds_host(compute.hosts.len() == 1, drs)
    })
}

/// Whether virtual machines can be put on the host now.
///
/// # Errors
/// `HostNotConnected`, `InvalidHostState`, `ManagedObjectNotFound`.
pub(super) fn usable(world: &World, reference: &Moref) -> Outcome<()> {
    let host = world.get::<Host>(reference)?;
    if host.runtime.connection_state != HostSystemConnectionState::Connected {
        let message =
            format!("Unable to communicate with the host '{}', since it is disconnected.", world.name_of(reference));
        return Err(Fault::new(HostNotConnected::default(), message));
    }
    if !host.is_usable() {
        let fault = InvalidHostState { host: Some(reference.clone()), ..Default::default() };
        let message = "The operation is not allowed in the current state of the host.";
        return Err(Fault::new(fault, message));
    }
    Ok(())
}

/// The place of the configuration file: `asked` is a datastore alone, a path in it, or nothing.
///
/// # Errors
/// `InvalidVmConfig` where nobody names a datastore, `InvalidDatastorePath`, `FileAlreadyExists`.
pub(super) fn choose_vmx(
    world: &World,
    asked: &str,
    datastore: Option<&Moref>,
    datastores: &[Moref],
    name: &str,
) -> Outcome<Place> {
    let mut place = match (asked.is_empty(), datastore) {
        (false, _) => world.place_among(datastores, asked)?,
        (true, Some(datastore)) if datastores.contains(datastore) => {
            Place { datastore: datastore.clone(), path: String::new() }
        }
        (true, _) => {
            let fault =
                InvalidVmConfig { property: Some("configSpec.files.vmPathName".to_owned()), ..Default::default() };
            return Err(Fault::new(fault, "Invalid virtual machine configuration: no datastore is named."));
        }
    };
    let held = world.get::<Datastore>(&place.datastore)?;
    if place.path.ends_with(".vmx") {
        if held.find(&place.path).is_some() {
            return Err(held.already_exists(&place.path));
        }
        return Ok(place);
    }
    // A name that no file system takes as it is is written in its percent codes.
    let file = crate::world::escaped(name);
    let folder = if place.path.is_empty() { held.free_folder_name(&file) } else { std::mem::take(&mut place.path) };
    place.path = format!("{folder}/{file}.vmx");
    if held.find(&place.path).is_some() {
        return Err(held.already_exists(&place.path));
    }
    Ok(place)
}

/// The files that every machine has, from the first moment on.
pub(super) fn home(vmx: &Place) -> Vec<FileChange> {
    let beside = |ending: &str| vmx.beside(&format!("{}.{ending}", vmx.stem()));
    let folder = Place { datastore: vmx.datastore.clone(), path: vmx.folder().to_owned() };
    let mut plan = if folder.path.is_empty() { Vec::new() } else { vec![FileChange::Folder(folder)] };
    plan.extend([
        FileChange::File(vmx.clone(), 3 << 10),
        FileChange::File(beside("nvram"), 265 << 10),
        FileChange::File(beside("vmsd"), 0),
        FileChange::File(beside("vmxf"), 1 << 10),
    ]);
    plan
}
