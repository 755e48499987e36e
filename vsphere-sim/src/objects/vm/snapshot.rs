//! Snapshots of machines: a tree of states to go back to.

use std::collections::BTreeSet;
use std::time::Duration;

use vsphere_model::managed;
use vsphere_model::types::VirtualMachinePowerState::{PoweredOff, PoweredOn, Suspended};
use vsphere_model::types::{
    Any, ApplicationQuiesceFault, DateTime, MemorySnapshotOnIndependentDisk, NotFound, Poly,
    SharedBusControllerNotSupported, SnapshotDisabled, SnapshotIncompatibleDeviceInVm, TaskEvent,
    TooManySnapshotLevels, VirtualDisk, VirtualDiskRawDiskMappingVer1BackingInfo, VirtualMachineConfigInfo,
    VirtualMachineGuestQuiesceSpec, VirtualMachinePowerState, VirtualMachineSnapshotTree, VirtualSCSIController,
    VirtualSCSISharing,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::draft::{FileChange, carry_out};
use super::files::Place;
use super::guest::{Start, extra_config};
use super::{Vm, chain, hardware, power, room};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::datastore::Datastore;
use crate::objects::datastore::disk::Disk;
use crate::objects::folder::check_name;
use crate::world::{Look, Managed, Moref, Prop, Task, World};

pub(crate) const METHODS: Methods = &[
    ("VirtualMachine", "CreateSnapshot_Task", Handler::Write(create)),
    ("VirtualMachine", "CreateSnapshotEx_Task", Handler::Write(create_ex)),
    ("VirtualMachine", "RevertToCurrentSnapshot_Task", Handler::Write(revert_to_current)),
    ("VirtualMachine", "RemoveAllSnapshots_Task", Handler::Write(remove_all)),
    ("VirtualMachine", "ConsolidateVMDisks_Task", Handler::Write(consolidate_disks)),
    ("VirtualMachineSnapshot", "RevertToSnapshot_Task", Handler::Write(revert_to)),
    ("VirtualMachineSnapshot", "RemoveSnapshot_Task", Handler::Write(remove)),
    ("VirtualMachineSnapshot", "RenameSnapshot", Handler::Write(rename)),
];

/// How deep the tree may be.
const MAX_LEVELS: usize = 32;

/// How long each takes on a real server.
const FREEZE: Duration = Duration::from_secs(1);
const SAVE_A_GIGABYTE: Duration = Duration::from_millis(700);
const REVERT: Duration = Duration::from_secs(2);
const REMOVE: Duration = Duration::from_secs(2);

/// The managed object `VirtualMachineSnapshot`. Its name and its place are in its machine's tree.
pub(crate) struct Snapshot {
    pub(crate) vm: Moref,
    /// The machine's configuration as it was, with the disk files that the snapshot keeps.
    pub(crate) config: VirtualMachineConfigInfo,
    /// The state of its devices.
    pub(super) data: Place,
    /// Its memory, where it was kept.
    pub(super) memory: Option<Place>,
}

impl Managed for Snapshot {
    fn info(&self) -> &'static ManagedInfo {
        managed::VirtualMachineSnapshot::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "vm" => Prop::kept(&self.vm),
            "config" => Prop::kept(&self.config),
            "childSnapshot" => {
                let tree = look.world.get::<Vm>(&self.vm).ok().and_then(|machine| machine.snapshot.as_ref());
                let node = tree.and_then(|tree| find(&tree.root_snapshot_list, look.me));
                let children = node.map(|node| node.child_snapshot_list.as_slice()).unwrap_or_default();
                Prop::made_list(children.iter().map(|child| child.snapshot.clone()).collect())
            }
            _ => Prop::UNSET,
        }
    }
}

/// The node of a snapshot in the tree.
fn find<'a>(trees: &'a [VirtualMachineSnapshotTree], snapshot: &Moref) -> Option<&'a VirtualMachineSnapshotTree> {
    trees.iter().find_map(|tree| {
        if tree.snapshot == *snapshot { Some(tree) } else { find(&tree.child_snapshot_list, snapshot) }
    })
}

fn find_mut<'a>(
    trees: &'a mut [VirtualMachineSnapshotTree],
    snapshot: &Moref,
) -> Option<&'a mut VirtualMachineSnapshotTree> {
    trees.iter_mut().find_map(|tree| {
        if tree.snapshot == *snapshot { Some(tree) } else { find_mut(&mut tree.child_snapshot_list, snapshot) }
    })
}

/// The snapshots on the way to one, from the root to itself.
fn path_to(trees: &[VirtualMachineSnapshotTree], snapshot: &Moref) -> Option<Vec<Moref>> {
    trees.iter().find_map(|tree| {
        let mut path = vec![tree.snapshot.clone()];
        if tree.snapshot != *snapshot {
            path.extend(path_to(&tree.child_snapshot_list, snapshot)?);
        }
        Some(path)
    })
}

/// All snapshots of these trees, parents first.
fn all_of(trees: &[VirtualMachineSnapshotTree]) -> Vec<Moref> {
    trees
        .iter()
        .flat_map(|tree| std::iter::once(tree.snapshot.clone()).chain(all_of(&tree.child_snapshot_list)))
        .collect()
}

impl Vm {
    fn snapshot_trees(&self) -> &[VirtualMachineSnapshotTree] {
        self.snapshot.as_ref().map(|info| info.root_snapshot_list.as_slice()).unwrap_or_default()
    }

    /// All its snapshots, parents first.
    pub(crate) fn snapshots(&self) -> Vec<Moref> {
        all_of(self.snapshot_trees())
    }
}

/// What a snapshot is asked to be.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) memory: bool,
    pub(crate) quiesce: bool,
}

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (memory, quiesce) = (call.arg("memory")?, call.arg("quiesce")?);
    take(world, call, memory, quiesce)
}

fn create_ex(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: Option<Poly<VirtualMachineGuestQuiesceSpec>> = call.opt("quiesceSpec")?;
    let memory = call.arg("memory")?;
    take(world, call, memory, spec.is_some())
}

fn take(world: &mut World, call: &Call, memory: bool, quiesce: bool) -> Outcome<Reply> {
    let vm = call.target.clone();
    let name: String = call.arg("name")?;
    let description = call.opt::<String>("description")?.unwrap_or_default();
    check_name(&name, Some(&vm))?;
    let wanted = Wanted { name, description, memory, quiesce };
    let checked = may_take(world, &vm, &wanted);
    let takes = match (&checked, world.get::<Vm>(&vm)?) {
        (Err(_), _) => Duration::ZERO,
        (Ok(()), machine) if memory && machine.is_on() => {
            FREEZE + SAVE_A_GIGABYTE * u32::try_from(machine.config.hardware.memory_mb / 1024).unwrap_or_default()
        }
        (Ok(()), _) => FREEZE,
    };
    let task = call.task().alone_with(&vm).takes(takes);
    let reply = task.start(world, move |world| {
        may_take(world, &vm, &wanted)?;
        let now = world.now();
        freeze(world, &vm, &wanted, now).map(Any::from)
    })?;
    tell(world, call, reply, "Create virtual machine snapshot")
}

/// A vCenter has no events of its own for snapshots, and records that there was a task.
fn tell(world: &mut World, call: &Call, reply: Reply, label: &str) -> Outcome<Reply> {
    let Reply::Value(Any::Ref(task)) = &reply else { return Ok(reply) };
    let info = world.get::<Task>(task)?.info.clone();
    if let Some(about) = info.entity.clone() {
        let user = call.user(world);
        world.post(&about, &user, TaskEvent { info, ..Default::default() }, format!("Task: {label}"));
    }
    Ok(reply)
}

fn may_take(world: &World, vm: &Moref, wanted: &Wanted) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    machine.must_not_be_template("snapshot")?;
    if let Some(host) = &machine.runtime.host {
        room::must_be_connected(world, host)?;
    }
    let limit = extra_config(&machine.config, "snapshot.maxSnapshots").and_then(|limit| limit.parse().ok());
    if limit == Some(0) {
        return Err(Fault::new(SnapshotDisabled::default(), "Snapshots are disabled for this virtual machine."));
    }
    let current = machine.snapshot.as_ref().and_then(|info| info.current_snapshot.as_ref());
    let level = current.and_then(|current| path_to(machine.snapshot_trees(), current)).map_or(0, |path| path.len());
    if level >= MAX_LEVELS.min(limit.unwrap_or(MAX_LEVELS)) {
        let message = format!("The virtual machine has snapshots on {level} levels, which is as many as there may be.");
        return Err(Fault::new(TooManySnapshotLevels::default(), message));
    }
    let disks: Vec<&VirtualDisk> = chain::disks(&machine.config).collect();
    if wanted.memory && machine.is_on() && disks.iter().any(|disk| chain::is_independent(disk)) {
        let message = "A snapshot with memory can't be taken of a virtual machine with independent disks.";
        return Err(Fault::new(MemorySnapshotOnIndependentDisk::default(), message));
    }
    if wanted.quiesce && machine.is_on() && !machine.tools_run() {
        let message = "Cannot quiesce this virtual machine because VMware Tools is not currently available.";
        return Err(Fault::new(ApplicationQuiesceFault::default(), message));
    }
    let is_shared = |controller: &VirtualSCSIController| {
        [VirtualSCSISharing::VirtualSharing, VirtualSCSISharing::PhysicalSharing].contains(&controller.shared_bus)
    };
    let mut controllers = machine.config.hardware.device.iter().filter_map(|device| device.downcast_ref());
    if controllers.any(is_shared) {
        let cause = Fault::new(SharedBusControllerNotSupported::default(), "A SCSI controller shares its bus.");
        return Err(incompatible(&cause));
    }
    if disks.iter().any(|disk| is_physical(disk)) {
        return Err(incompatible(&Fault::not_supported("snapshot of a raw device mapping in physical mode")));
    }
    Ok(())
}

fn incompatible(cause: &Fault) -> Fault {
    let fault = SnapshotIncompatibleDeviceInVm { fault: cause.localized(), ..Default::default() };
    Fault::new(fault, format!("A device of the virtual machine does not allow snapshots. {}", cause.message()))
}

fn is_physical(disk: &VirtualDisk) -> bool {
    let mapping = disk.backing.as_ref().and_then(|backing| backing.downcast_ref());
    mapping.is_some_and(|mapping: &VirtualDiskRawDiskMappingVer1BackingInfo| {
        mapping.compatibility_mode.as_deref() == Some("physicalMode") && !chain::is_independent(disk)
    })
}

/// Takes the snapshot: it keeps the configuration and the disks' files, and the machine writes to their children. One that
/// was taken in the past has had time to grow.
///
/// # Errors
/// `NoDiskSpace`, `FileNotFound`, `ManagedObjectNotFound`.
pub(crate) fn freeze(world: &mut World, vm: &Moref, wanted: &Wanted, create_time: DateTime) -> Outcome<Moref> {
    let machine = world.get::<Vm>(vm)?;
    let config = machine.config.clone();
    let (state, quiesced) = match &machine.runtime.power_state {
        Suspended => (Suspended, false),
        PoweredOn if wanted.memory => (PoweredOn, wanted.quiesce),
        PoweredOn => (PoweredOff, wanted.quiesce),
        _ => (PoweredOff, false),
    };
    let parent = machine.snapshot.as_ref().and_then(|info| info.current_snapshot.clone());
    let id = machine.life.last_snapshot + 1;
    let vmx = world.vmx_of(vm)?;
    let beside = |ending: &str| vmx.beside(&format!("{}-Snapshot{id}.{ending}", vmx.stem()));
    let data = beside("vmsn");
    let memory = (state == PoweredOn || state == Suspended).then(|| beside("vmem"));
    let mut files = vec![FileChange::File(data.clone(), 32 << 10)];
    if let Some(memory) = &memory {
        files.push(FileChange::File(memory.clone(), i64::from(config.hardware.memory_mb) << 20));
    }
    let mut now = config.clone();
    let children = chain::grow(&mut now, &mut taken_names(world, machine));
    files.extend(deltas(world, vm, &children, world.now() - create_time)?);
    carry_out(world, &files)?;

    let snapshot = world.add("snapshot-", Snapshot { vm: vm.clone(), config, data, memory });
    let machine = world.edit::<Vm>(vm)?;
    machine.life.last_snapshot = id;
    machine.config = now;
    let node = VirtualMachineSnapshotTree {
        snapshot: snapshot.clone(),
        vm: vm.clone(),
        name: wanted.name.clone(),
        description: wanted.description.clone(),
        id: Some(id),
        create_time,
        state,
        quiesced,
        replay_supported: Some(false),
        ..Default::default()
    };
    let info = machine.snapshot.get_or_insert_default();
    let siblings = match parent.as_ref().and_then(|parent| find_mut(&mut info.root_snapshot_list, parent)) {
        Some(parent) => &mut parent.child_snapshot_list,
        None => &mut info.root_snapshot_list,
    };
    siblings.push(node);
    info.current_snapshot = Some(snapshot.clone());
    if let Some(parent) = parent {
        world.touch(&parent);
    }
    Ok(snapshot)
}

/// So many bytes were written to the machine's first disk since its last snapshot.
///
/// # Errors
/// `ManagedObjectNotFound`, `FileNotFound`.
pub(crate) fn write(world: &mut World, vm: &Moref, bytes: i64) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    let leaf = chain::disks(&machine.config).next().and_then(|disk| chain::files(disk).into_iter().next());
    let place = world.place_among(&machine.datastores, &leaf.unwrap_or_default())?;
    let datastore = world.edit::<Datastore>(&place.datastore)?;
    let extent = datastore.disk(&place.path)?.extent(&place.path).unwrap_or(place.path);
    datastore.change_file(&extent, |file| file.used = bytes.min(file.size))
}

/// The files of new children of disks, each with its parent. They have had this time to grow.
fn deltas(
    world: &World,
    vm: &Moref,
    children: &[(String, String)],
    age: chrono::TimeDelta,
) -> Outcome<Vec<FileChange>> {
    let datastores = &world.get::<Vm>(vm)?.datastores;
    let delta = |(child, parent): &(String, String)| {
        let below = world.place_among(datastores, parent)?;
        let disk = world.get::<Datastore>(&below.datastore)?.disk(&below.path)?;
        let written = (1 << 20) + age.num_seconds().saturating_mul(WRITTEN_A_SECOND).min(disk.capacity / 3);
        Ok(FileChange::Disk(world.place_among(datastores, child)?, disk.delta(parent), written))
    };
    children.iter().map(delta).collect()
}

/// How many bytes a child of a disk grows by, on a machine that is not busy.
const WRITTEN_A_SECOND: i64 = 20 << 10;

/// The names of all disk files that the machine and its snapshots have.
fn taken_names(world: &World, machine: &Vm) -> BTreeSet<String> {
    let snapshots = machine.snapshots();
    let of_snapshots = snapshots.iter().filter_map(|snapshot| world.get::<Snapshot>(snapshot).ok());
    chain::all_files(of_snapshots.map(|snapshot| &snapshot.config).chain([&machine.config]))
}

/// The machine that a snapshot is of.
fn vm_of(world: &World, snapshot: &Moref) -> Outcome<Moref> {
    world.get::<Snapshot>(snapshot).map(|found| found.vm.clone())
}

fn revert_to(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = vm_of(world, &call.target)?;
    let host = call.opt("host")?;
    start_revert(world, call, vm, Some(call.target.clone()), host)
}

fn revert_to_current(world: &mut World, call: &Call) -> Outcome<Reply> {
    let host = call.opt("host")?;
    start_revert(world, call, call.target.clone(), None, host)
}

fn start_revert(
    world: &mut World,
    call: &Call,
    vm: Moref,
    snapshot: Option<Moref>,
    host: Option<Moref>,
) -> Outcome<Reply> {
    let suppress = call.opt::<bool>("suppressPowerOn")?.unwrap_or(false);
    let user = call.user(world);
    let revert = Revert { vm: vm.clone(), snapshot, host, suppress, user };
    let takes = if revert.check(world).is_ok() { REVERT } else { Duration::ZERO };
    let label = if revert.snapshot.is_some() { "Revert snapshot" } else { "Revert to current snapshot" };
    let task = call.task().about(&vm).alone_with(&vm).takes(takes);
    let reply = task.start(world, move |world| revert.carry_out(world))?;
    tell(world, call, reply, label)
}

/// A way back.
struct Revert {
    vm: Moref,
    /// The current one, where none is named.
    snapshot: Option<Moref>,
    /// Where a machine that was running runs on.
    host: Option<Moref>,
    /// Whether it stays off even so.
    suppress: bool,
    user: String,
}

impl Revert {
    /// The snapshot, the state that it leads to, and the host that the machine then runs on.
    fn check(&self, world: &World) -> Outcome<(Moref, VirtualMachinePowerState, Option<Moref>)> {
        let machine = world.get::<Vm>(&self.vm)?;
        let current = machine.snapshot.as_ref().and_then(|info| info.current_snapshot.as_ref());
        let Some(snapshot) = self.snapshot.as_ref().or(current) else {
            let message = "The virtual machine has no current snapshot.";
            return Err(Fault::new(NotFound::default(), message));
        };
        let node = find(machine.snapshot_trees(), snapshot).ok_or_else(|| Fault::not_found(snapshot))?;
        if let Some(host) = &machine.runtime.host {
            room::must_be_connected(world, host)?;
        }
        let state = if self.suppress && node.state == PoweredOn { PoweredOff } else { node.state.clone() };
        let host = match state {
            PoweredOn => Some(room::choose(world, &self.vm, self.host.as_ref())?),
            _ => None,
        };
        Ok((snapshot.clone(), state, host))
    }

    fn carry_out(&self, world: &mut World) -> Outcome<Any> {
        let (snapshot, state, host) = self.check(world)?;
        let vm = &self.vm;
        let mut config = world.get::<Snapshot>(&snapshot)?.config.clone();
        let machine = world.get::<Vm>(vm)?;
        let was = machine.runtime.power_state.clone();
        // The disks stand on the files that the snapshot keeps, each with a new child. What was written since it was taken
        // is gone, unless another snapshot keeps it.
        let before = taken_names(world, machine);
        let children = chain::grow(&mut config, &mut before.clone());
        carry_out(world, &deltas(world, vm, &children, chrono::TimeDelta::zero())?)?;
        let now = world.now();
        let machine = world.edit::<Vm>(vm)?;
        let replaced = std::mem::replace(&mut machine.config, config);
        // Who the machine is doesn't follow its hardware back.
        machine.config.name = replaced.name;
        machine.config.uuid = replaced.uuid;
        machine.config.instance_uuid = replaced.instance_uuid;
        machine.config.files = replaced.files;
        machine.config.modified = now;
        machine.config.change_version = now.to_rfc3339();
        if let Some(info) = &mut machine.snapshot {
            info.current_snapshot = Some(snapshot);
        }
        hardware::set_running(&mut machine.config.hardware.device, state == PoweredOn);
        let home = world.vmx_of(vm)?.datastore;
        world.relate(vm, &home)?;
        drop_unneeded(world, vm, &before)?;
        match (was, state) {
            (_, PoweredOn) => {
                if let Some(host) = host {
                    power::run(world, vm, &host, Start::Wake)?;
                }
            }
            (PoweredOff, PoweredOff) => {}
            (_, PoweredOff) => power::turn_off(world, vm, true, &self.user)?,
            (_, _) => power::turn_to_sleep(world, vm, &self.user)?,
        }
        Ok(Any::Unset)
    }
}

fn remove(world: &mut World, call: &Call) -> Outcome<Reply> {
    let snapshot = call.target.clone();
    let vm = vm_of(world, &snapshot)?;
    let children: bool = call.arg("removeChildren")?;
    let consolidate = call.opt::<bool>("consolidate")?.unwrap_or(true);
    let reply = call.task().about(&vm).alone_with(&vm).takes(REMOVE).start(world, move |world| {
        take_out(world, &vm, &snapshot, children)?;
        settle_disks(world, &vm, consolidate)
    })?;
    tell(world, call, reply, "Remove snapshot")
}

fn remove_all(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let consolidate = call.opt::<bool>("consolidate")?.unwrap_or(true);
    let takes = if world.get::<Vm>(&vm)?.snapshot.is_some() { REMOVE } else { Duration::ZERO };
    let reply = call.task().alone_with(&vm).takes(takes).start(world, move |world| {
        for root in world.get::<Vm>(&vm)?.snapshot_trees().iter().map(|tree| tree.snapshot.clone()).collect::<Vec<_>>()
        {
            take_out(world, &vm, &root, true)?;
        }
        settle_disks(world, &vm, consolidate)
    })?;
    tell(world, call, reply, "Remove all snapshots")
}

fn consolidate_disks(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let needed = world.get::<Vm>(&vm)?.runtime.consolidation_needed == Some(true);
    let takes = if needed { REMOVE } else { Duration::ZERO };
    let task = call.task().alone_with(&vm).takes(takes);
    let reply = task.start(world, move |world| settle_disks(world, &vm, true))?;
    tell(world, call, reply, "Consolidate virtual machine disk files")
}

/// Takes a snapshot out of the tree. Its children go with it, or to its parent.
fn take_out(world: &mut World, vm: &Moref, snapshot: &Moref, children: bool) -> Outcome<()> {
    let not_found = || Fault::not_found(snapshot);
    let machine = world.get::<Vm>(vm)?;
    let path = path_to(machine.snapshot_trees(), snapshot).ok_or_else(not_found)?;
    let parent = path.iter().rev().nth(1).cloned();
    let before = taken_names(world, machine);
    let machine = world.edit::<Vm>(vm)?;
    let info = machine.snapshot.as_mut().ok_or_else(not_found)?;
    let siblings = match parent.as_ref().and_then(|parent| find_mut(&mut info.root_snapshot_list, parent)) {
        Some(parent) => &mut parent.child_snapshot_list,
        None => &mut info.root_snapshot_list,
    };
    let at = siblings.iter().position(|tree| tree.snapshot == *snapshot).ok_or_else(not_found)?;
    let mut node = siblings.remove(at);
    let mut gone = vec![snapshot.clone()];
    if children {
        gone.extend(all_of(&node.child_snapshot_list));
    } else {
        siblings.splice(at..at, node.child_snapshot_list.drain(..));
    }
    if info.current_snapshot.as_ref().is_some_and(|current| gone.contains(current)) {
        info.current_snapshot.clone_from(&parent);
    }
    if info.root_snapshot_list.is_empty() {
        machine.snapshot = None;
    }
    for snapshot in &gone {
        let files = world.get::<Snapshot>(snapshot).map(|gone| [Some(gone.data.clone()), gone.memory.clone()]);
        for file in files.into_iter().flatten().flatten() {
            // A file that somebody else has deleted is as good as gone.
            let _ = world.datastore_of(&file)?.remove_tree(&file.path);
        }
        world.remove(snapshot);
    }
    if let Some(parent) = parent {
        world.touch(&parent);
    }
    drop_unneeded(world, vm, &before)
}

/// Deletes the children of disks that were there before, and that nobody stands on any more.
fn drop_unneeded(world: &mut World, vm: &Moref, before: &BTreeSet<String>) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    let needed = taken_names(world, machine);
    let datastores = machine.datastores.clone();
    for file in before.difference(&needed) {
        let Ok(place) = world.place_among(&datastores, file) else { continue };
        let datastore = world.datastore_of(&place)?;
        // A whole disk stays, as one that was added after the snapshot that the machine goes back to.
        if datastore.disk(&place.path).is_ok_and(|disk| disk.parent.is_some()) {
            datastore.remove_disk(&place.path)?;
        }
    }
    Ok(())
}

/// Folds the chains of the machine's disks as far as nobody needs their parts, or says that it should be done.
fn settle_disks(world: &mut World, vm: &Moref, consolidate: bool) -> Outcome<Any> {
    let snapshots = world.get::<Vm>(vm)?.snapshots();
    while let Some(merge) = foldable(world, vm, &snapshots)? {
        if !consolidate {
            world.edit::<Vm>(vm)?.runtime.consolidation_needed = Some(true);
            return Ok(Any::Unset);
        }
        chain::fold(&mut world.edit::<Vm>(vm)?.config, &merge);
        for snapshot in &snapshots {
            chain::fold(&mut world.edit::<Snapshot>(snapshot)?.config, &merge);
        }
        merge_files(world, vm, &merge)?;
    }
    world.edit::<Vm>(vm)?.runtime.consolidation_needed = Some(false);
    Ok(Any::Unset)
}

/// Writes a disk's file into its parent.
fn merge_files(world: &mut World, vm: &Moref, merge: &chain::Merge) -> Outcome<()> {
    let datastores = world.get::<Vm>(vm)?.datastores.clone();
    let child = world.place_among(&datastores, &merge.child)?;
    let parent = world.place_among(&datastores, &merge.parent)?;
    let datastore = world.datastore_of(&child)?;
    let written = datastore.written(&child.path);
    datastore.remove_disk(&child.path)?;
    let datastore = world.datastore_of(&parent)?;
    let disk = datastore.disk(&parent.path)?;
    if let Some(extent) = disk.extent(&parent.path) {
        let takes = disk.takes(datastore.written(&parent.path).saturating_add(written));
        datastore.change_file(&extent, |file| file.used = takes)?;
    }
    for above in &merge.above {
        let above = world.place_among(&datastores, above)?;
        let datastore = world.datastore_of(&above)?;
        let disk = Disk { parent: Some(merge.parent.as_str().into()), ..datastore.disk(&above.path)?.clone() };
        datastore.put_descriptor(&above.path, disk)?;
    }
    Ok(())
}

fn foldable(world: &World, vm: &Moref, snapshots: &[Moref]) -> Outcome<Option<chain::Merge>> {
    let of_snapshots = snapshots.iter().filter_map(|snapshot| world.get::<Snapshot>(snapshot).ok());
    let configs: Vec<&VirtualMachineConfigInfo> =
        of_snapshots.map(|snapshot| &snapshot.config).chain([&world.get::<Vm>(vm)?.config]).collect();
    Ok(chain::foldable(&configs))
}

/// Changes the name, the description, or both.
fn rename(world: &mut World, call: &Call) -> Outcome<Reply> {
    let snapshot = &call.target;
    let vm = vm_of(world, snapshot)?;
    let name: Option<String> = call.opt("name")?;
    let description: Option<String> = call.opt("description")?;
    if let Some(name) = &name {
        check_name(name, Some(&vm))?;
    }
    let info = world.edit::<Vm>(&vm)?.snapshot.as_mut();
    let node = info.and_then(|info| find_mut(&mut info.root_snapshot_list, snapshot));
    let node = node.ok_or_else(|| Fault::not_found(snapshot))?;
    node.name = name.unwrap_or_else(|| std::mem::take(&mut node.name));
    node.description = description.unwrap_or_else(|| std::mem::take(&mut node.description));
    Ok(Reply::NONE)
}

/// Forgets the snapshots of a machine that is about to go.
pub(crate) fn forget(world: &mut World, vm: &Moref) {
    let snapshots = world.get::<Vm>(vm).map(Vm::snapshots).unwrap_or_default();
    snapshots.iter().for_each(|snapshot| world.remove(snapshot));
}
