//! `VirtualMachine.RelocateVM_Task` and `MigrateVM_Task`: a machine goes to another host, pool, folder, or its files to
//! another datastore.

use std::collections::HashMap;
use std::time::Duration;

use vsphere_model::types::{
    Any, EntityEventArgument, HostEventArgument, VirtualDisk, VirtualDiskFlatVer2BackingInfo, VirtualMachineConfigInfo,
    VirtualMachinePowerState, VirtualMachineRelocateSpec, VmBeingHotMigratedEvent, VmBeingMigratedEvent,
    VmBeingRelocatedEvent, VmMigratedEvent, VmRelocatedEvent,
};

use super::clone::{asked_format, check_locators};
use super::create::{choose_host, chooses, least_busy};
use super::draft::Draft;
use super::files::Place;
use super::hardware;
use super::obstacles;
use super::snapshot::Snapshot;
use super::{Vm, chain};
use crate::call::{Call, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::objects::datacenter::Datacenter;
use crate::objects::datastore::Datastore;
use crate::objects::datastore::disk::Format;
use crate::objects::datastore::files::Content;
use crate::objects::datastore::path::split;
use crate::objects::host::Host;
use crate::objects::resource_pool::ResourcePool;
use crate::world::{Moref, World};

/// How long it takes to move a running machine's memory, and a gigabyte of files.
const MIGRATION: Duration = Duration::from_secs(5);
const GIGABYTE: Duration = Duration::from_millis(300);

pub(super) fn relocate_task(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: VirtualMachineRelocateSpec = call.arg("spec")?;
    start(world, call, spec)
}

pub(super) fn migrate_task(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (pool, host): (Option<Moref>, Option<Moref>) = (call.opt("pool")?, call.opt("host")?);
    if pool.is_none() && host.is_none() {
        return Err(Fault::invalid_argument("host"));
    }
    let state: Option<VirtualMachinePowerState> = call.opt("state")?;
    if let Some(state) = state {
        world.get::<Vm>(&call.target)?.must_be(&[state], None)?;
    }
    start(world, call, VirtualMachineRelocateSpec { pool, host, ..Default::default() })
}

fn start(world: &mut World, call: &Call, spec: VirtualMachineRelocateSpec) -> Outcome<Reply> {
    if world.settings.kind == ServerKind::Esxi {
        return Err(Fault::not_supported("migration without a vCenter"));
    }
    let vm = call.target.clone();
    demand_rights(world, call, &vm, &spec)?;
    let user = call.user(world);
    let moves_files = spec.datastore.is_some() || !spec.disk.is_empty();
    let committed: i64 = if moves_files {
        world.get::<Vm>(&vm)?.storage(world).per_datastore_usage.iter().map(|usage| usage.committed).sum()
    } else {
        0
    };
    let takes = MIGRATION + GIGABYTE.mul_f64((committed >> 30) as f64);
    call.task().alone_with(&vm).takes(takes).cancelable().start(world, move |world| {
        relocate(world, &vm, &spec, &user)?;
        Ok(Any::Unset)
    })
}

/// Whether the caller may do all that the specification says.
///
/// # Errors
/// `NoPermission`.
fn demand_rights(world: &World, call: &Call, vm: &Moref, spec: &VirtualMachineRelocateSpec) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    let runs = machine.runtime.power_state == VirtualMachinePowerState::PoweredOn;
    let goes = spec.host.as_ref().is_some_and(|host| machine.runtime.host.as_ref() != Some(host));
    if runs && goes {
        world.demand(call, vm, "Resource.HotMigrate")?;
    }
    if let Some(pool) = spec.pool.as_ref().filter(|pool| machine.pool.as_ref() != Some(pool)) {
        world.demand(call, pool, "Resource.AssignVMToPool")?;
    }
    for datastore in spec.datastore.iter().chain(spec.disk.iter().map(|locator| &locator.datastore)) {
        world.demand(call, datastore, "Datastore.AllocateSpace")?;
    }
    Ok(())
}

/// Moves a machine as the specification says.
///
/// # Errors
/// As `VirtualMachine.RelocateVM_Task`; nothing has moved then.
pub(crate) fn relocate(world: &mut World, vm: &Moref, spec: &VirtualMachineRelocateSpec, user: &str) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    let old_host = machine.runtime.host.clone().unwrap_or_default();
    let old_datastore = world.vmx_of(vm)?.datastore;
    let pool = spec.pool.clone().or_else(|| machine.pool.clone());
    let host = new_host(world, machine, spec, pool.as_ref())?;
    let folder = spec.folder.clone().or_else(|| folder_elsewhere(world, vm, &host));
    if let Some(folder) = &folder
        && world.entity(vm)?.parent.as_ref() != Some(folder)
    {
        world.check_new_child(folder, &world.name_of(vm), "VirtualMachine")?;
    }
    check_locators(spec, &machine.config.hardware.device, "spec")?;
    let mut draft = Draft::of(world, vm)?;
    draft.host.clone_from(&host);
    draft.datastores.clone_from(&world.get::<Host>(&host)?.datastores);
    hardware::change(world, &mut draft, &spec.device_change, "spec")?;
    let found = obstacles::to_host(world, vm, &draft.config.hardware.device, spec, &host)?;
    if let Some(obstacle) = found.into_iter().find(|obstacle| !obstacle.is_warning) {
        return Err(obstacle.fault);
    }
    let moves = plan_moves(world, vm, &draft, spec)?;
    announce(world, vm, spec, &host, user);
    carry(world, &moves)?;
    rewrite(world, vm, &mut draft, &moves)?;
    let config = std::mem::take(&mut draft.config);
    super::draft::carry_out(world, &draft.files)?;
    let machine = world.edit::<Vm>(vm)?;
    machine.config = config;
    machine.runtime.host = Some(host.clone());
    if !machine.config.template {
        machine.pool.clone_from(&pool);
    }
    settle(world, vm, &old_host, &host)?;
    let home = moves.home.as_ref().map_or(&draft.vmx.datastore, |home| &home.datastore);
    world.relate(vm, home)?;
    if let Some(folder) = &folder {
        world.unhang(vm)?;
        world.hang(vm, folder)?;
    }
    report(world, vm, (&old_host, &old_datastore), (&host, home), user);
    Ok(())
}

/// The folder for machines of the host's datacenter, where the machine comes from another one.
fn folder_elsewhere(world: &World, vm: &Moref, host: &Moref) -> Option<Moref> {
    let (own, _) = world.nearest::<Datacenter>(vm)?;
    let (new, datacenter) = world.nearest::<Datacenter>(host)?;
    (own != new).then(|| datacenter.vm_folder.clone())
}

/// The host that the machine goes to.
fn new_host(world: &World, machine: &Vm, spec: &VirtualMachineRelocateSpec, pool: Option<&Moref>) -> Outcome<Moref> {
    let current = machine.runtime.host.clone().unwrap_or_default();
    let asked = spec.host.as_ref();
    let Some(pool) = pool else {
        // A template has no pool, and may be registered with any host.
        let host = asked.unwrap_or(&current);
        return super::create::usable(world, host).map(|()| host.clone());
    };
    let owner = &world.get::<ResourcePool>(pool)?.owner;
    let stays = world.entity(&current).is_ok_and(|host| host.parent.as_ref() == Some(owner));
    if asked.is_none() && stays {
        return Ok(current);
    }
    if asked.is_none() && !chooses(world, owner) {
        // Nothing picks the host of a machine that runs; for one that does not, any will do.
        return match machine.runtime.power_state {
            VirtualMachinePowerState::PoweredOff => least_busy(world, owner, &targets(spec)),
            _ => Err(Fault::invalid_argument("spec.pool")),
        };
    }
    choose_host(world, pool, asked, &targets(spec)).map_err(|fault| {
        let elsewhere =
            asked.is_some_and(|host| world.entity(host).is_ok_and(|host| host.parent.as_ref() != Some(owner)));
        // A host of another cluster is possible, but only together with a pool that is there.
        if elsewhere && spec.pool.is_none() { Fault::invalid_argument("spec.pool") } else { fault }
    })
}

/// The datastores that a specification names.
pub(super) fn targets(spec: &VirtualMachineRelocateSpec) -> Vec<Moref> {
    spec.datastore.iter().chain(spec.disk.iter().map(|locator| &locator.datastore)).cloned().collect()
}

/// Which files go where.
#[derive(Default)]
pub(super) struct Moves {
    /// The new place of the configuration file, where it moves.
    home: Option<Place>,
    files: Vec<(Place, Place)>,
    /// The disks among them whose blocks are to be had in another way.
    formats: HashMap<String, Format>,
}

/// # Errors
/// `InvalidArgument` for a datastore that the host does not see, `NoDiskSpace`.
pub(super) fn plan_moves(
    world: &World,
    vm: &Moref,
    draft: &Draft,
    spec: &VirtualMachineRelocateSpec,
) -> Outcome<Moves> {
    let machine = world.get::<Vm>(vm)?;
    let mut moves = Moves::default();
    let home = spec.datastore.as_ref().filter(|target| **target != draft.vmx.datastore);
    let folder_on = |target: &Moref| -> Outcome<String> {
        Ok(world.get::<Datastore>(target)?.free_folder_name(split(draft.vmx.folder()).1))
    };
    if targets(spec).iter().any(|target| !draft.datastores.contains(target)) {
        return Err(Fault::invalid_argument("spec.datastore"));
    }
    let mut folders: HashMap<Moref, String> = HashMap::new();
    if let Some(target) = home {
        let folder = folder_on(target)?;
        let to = |from: &Place| Place { datastore: target.clone(), path: format!("{folder}/{}", split(&from.path).1) };
        moves.home = Some(to(&draft.vmx));
        moves.files.extend(machine.plain_files(world).into_iter().map(|from| (from.clone(), to(&from))));
        folders.insert(target.clone(), folder);
    } else if !draft.datastores.contains(&draft.vmx.datastore) {
        return Err(obstacles::unseen_home(world, vm));
    }
    for disk in chain::disks(&machine.config) {
        let locator = spec.disk.iter().find(|locator| locator.disk_id == disk.key);
        let Some(target) = locator.map(|locator| &locator.datastore).or(spec.datastore.as_ref()) else { continue };
        let format = asked_format(spec, locator);
        // All that belongs to the disk goes with it: also what only snapshots need.
        for file in disk_files(world, vm, disk) {
            let from = world.place_among(&machine.datastores, &file)?;
            if from.datastore == *target || moves.files.iter().any(|(other, _)| *other == from) {
                continue;
            }
            let folder = match folders.get(target) {
                Some(folder) => folder.clone(),
                None => {
                    let name = split(draft.vmx.folder()).1.to_owned();
                    folders.insert(target.clone(), name.clone());
                    name
                }
            };
            let mut to = Place { datastore: target.clone(), path: format!("{folder}/{}", split(&from.path).1) };
            let held = world.get::<Datastore>(target)?;
            let taken = |to: &Place| held.find(&to.path).is_some() || moves.files.iter().any(|(_, other)| other == to);
            for number in 1.. {
                if !taken(&to) {
                    break;
                }
                to = to.beside(&format!("{}_{number}.vmdk", from.stem()));
            }
            if let Some(format) = format {
                moves.formats.insert(world.place_text(&to), format);
            }
            moves.files.push((from, to));
        }
    }
    check_space(world, &moves)?;
    Ok(moves)
}

/// The descriptors of a disk's chain, and of what snapshots keep of the same disk. What it stands on in another machine's
/// folder stays where it is.
fn disk_files(world: &World, vm: &Moref, disk: &VirtualDisk) -> Vec<String> {
    let mut files = chain::files(disk);
    for snapshot in world.get::<Vm>(vm).map(Vm::snapshots).unwrap_or_default() {
        let Ok(snapshot) = world.get::<Snapshot>(&snapshot) else { continue };
        let same = chain::disks(&snapshot.config).filter(|other| other.key == disk.key);
        files.extend(same.flat_map(chain::files));
    }
    let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let home = files.first().and_then(|top| folder(top));
    files.retain(|file| folder(file) == home);
    files.sort();
    files.dedup();
    files
}

/// # Errors
/// `NoDiskSpace`.
fn check_space(world: &World, moves: &Moves) -> Outcome<()> {
    let mut wanted: HashMap<&Moref, i64> = HashMap::new();
    for (from, to) in &moves.files {
        let held = world.get::<Datastore>(&from.datastore)?;
        let written = held.written(&from.path);
        let capacity = held.disk(&from.path).map_or(0, |disk| disk.capacity);
        let format = moves.formats.get(&world.place_text(to));
        let thick = format.is_some_and(|format| matches!(format, Format::LazyZeroed | Format::EagerZeroed));
        *wanted.entry(&to.datastore).or_default() += if thick { capacity } else { written };
    }
    for (datastore, bytes) in wanted {
        let held = world.get::<Datastore>(datastore)?;
        if bytes > held.free() {
            return Err(held.no_space(&held.path("")));
        }
    }
    Ok(())
}

/// Moves the files; there is room, and nothing in the way.
fn carry(world: &mut World, moves: &Moves) -> Outcome<()> {
    for (from, to) in &moves.files {
        let format = moves.formats.get(&world.place_text(to)).copied();
        let held = world.datastore_of(from)?;
        let extent = held.disk(&from.path).ok().and_then(|disk| disk.extent(&from.path));
        let tree = held.take_tree(&from.path)?;
        let data = extent.as_ref().and_then(|extent| held.take_tree(extent).ok());
        if !from.folder().is_empty() && held.files().children(from.folder()).next().is_none() {
            let _ = held.remove_tree(from.folder());
        }
        let target = world.datastore_of(to)?;
        if !to.folder().is_empty() && target.find(to.folder()).is_none() {
            target.make_folder(to.folder(), true)?;
        }
        target.graft_tree(&to.path, tree)?;
        let Some(data) = data else { continue };
        let mut disk = target.disk(&to.path)?.clone();
        let at = disk.extent(&to.path).unwrap_or_else(|| to.path.clone());
        target.graft_tree(&at, data)?;
        if let Some(format) = format.filter(|_| disk.format != Format::Delta) {
            let written = target.written(&to.path);
            disk.format = format;
            let takes = disk.takes(written);
            target.put_descriptor(&to.path, disk)?;
            target.change_file(&at, |file| file.used = takes)?;
        }
    }
    Ok(())
}

/// Writes the new places of the files wherever the old ones stand: in the configuration, in the snapshots, in the
/// descriptors of disks.
fn rewrite(world: &mut World, vm: &Moref, draft: &mut Draft, moves: &Moves) -> Outcome<()> {
    if moves.files.is_empty() {
        return Ok(());
    }
    let texts: HashMap<String, (String, Moref)> = moves
        .files
        .iter()
        .map(|(from, to)| (world.place_text(from), (world.place_text(to), to.datastore.clone())))
        .collect();
    for (_, to) in &moves.files {
        let datastore = world.datastore_of(to)?;
        datastore.change_file(&to.path, |file| {
            if let Content::Disk(disk) = &mut file.content
                && let Some(parent) = disk.parent.as_deref().and_then(|parent| texts.get(parent))
            {
                disk.parent = Some(parent.0.as_str().into());
            }
        })?;
    }
    let home = moves.home.as_ref().map(|home| world.place_text(home));
    rewrite_config(&mut draft.config, &texts, home.as_deref(), moves);
    for snapshot in world.get::<Vm>(vm)?.snapshots() {
        let snapshot = world.edit::<Snapshot>(&snapshot)?;
        rewrite_config(&mut snapshot.config, &texts, home.as_deref(), moves);
        for place in std::iter::once(&mut snapshot.data).chain(&mut snapshot.memory) {
            if let Some((_, to)) = moves.files.iter().find(|(from, _)| from == place) {
                place.clone_from(to);
            }
        }
    }
    Ok(())
}

fn rewrite_config(
    config: &mut VirtualMachineConfigInfo,
    texts: &HashMap<String, (String, Moref)>,
    home: Option<&str>,
    moves: &Moves,
) {
    fn of_layer(flat: &mut VirtualDiskFlatVer2BackingInfo, texts: &HashMap<String, (String, Moref)>) {
        if let Some((text, datastore)) = texts.get(&flat.file_name) {
            flat.file_name.clone_from(text);
            flat.datastore = Some(datastore.clone());
        }
        if let Some(parent) = &mut flat.parent {
            of_layer(parent, texts);
        }
    }
    for device in &mut config.hardware.device {
        let disk = device.downcast_mut::<VirtualDisk>().and_then(|disk| disk.backing.as_mut());
        if let Some(flat) = disk.and_then(|backing| backing.downcast_mut::<VirtualDiskFlatVer2BackingInfo>()) {
            of_layer(flat, texts);
            if let Some(format) = moves.formats.get(&flat.file_name).filter(|_| flat.parent.is_none()) {
                flat.thin_provisioned = Some(*format == Format::Thin);
                flat.eagerly_scrub = Some(*format == Format::EagerZeroed);
            }
        }
    }
    if let Some(home) = home {
        config.files = super::config::files_at(home);
    }
}

/// Puts the machine into the lists of its new host and pool.
fn settle(world: &mut World, vm: &Moref, old_host: &Moref, host: &Moref) -> Outcome<()> {
    if old_host != host {
        if let Ok(old) = world.edit::<Host>(old_host) {
            old.vms.retain(|other| other != vm);
        }
        world.edit::<Host>(host)?.vms.push(vm.clone());
    }
    let pool = world.get::<Vm>(vm)?.pool.clone();
    let holders = world.all::<ResourcePool>().into_iter().filter(|(_, pool)| pool.vms.contains(vm));
    let holders: Vec<Moref> = holders.map(|(holder, _)| holder.clone()).collect();
    for old in holders.iter().filter(|old| Some(*old) != pool.as_ref()) {
        world.edit::<ResourcePool>(old)?.vms.retain(|other| other != vm);
    }
    if let Some(pool) = pool.filter(|pool| !holders.contains(pool)) {
        world.edit::<ResourcePool>(&pool)?.vms.push(vm.clone());
    }
    Ok(())
}

fn host_argument(world: &World, host: &Moref) -> HostEventArgument {
    let base = EntityEventArgument { name: world.name_of(host), ..Default::default() };
    HostEventArgument { base, host: host.clone() }
}

fn announce(world: &mut World, vm: &Moref, spec: &VirtualMachineRelocateSpec, host: &Moref, user: &str) {
    let dest_host = host_argument(world, host);
    let name = world.name_of(vm);
    let moves_files = spec.datastore.is_some() || !spec.disk.is_empty();
    if moves_files {
        let message = format!("Relocating {name} to {}", dest_host.name);
        world.post(vm, user, VmBeingRelocatedEvent { dest_host, ..Default::default() }, message);
    } else if world.get::<Vm>(vm).is_ok_and(Vm::is_on) {
        let message = format!("Hot migrating {name} to {}", dest_host.name);
        world.post(vm, user, VmBeingHotMigratedEvent { dest_host, ..Default::default() }, message);
    } else {
        let message = format!("Migrating {name} to {}", dest_host.name);
        world.post(vm, user, VmBeingMigratedEvent { dest_host, ..Default::default() }, message);
    }
}

/// `from` and `to` are the host and the datastore.
fn report(world: &mut World, vm: &Moref, from: (&Moref, &Moref), to: (&Moref, &Moref), user: &str) {
    let source_host = host_argument(world, from.0);
    let name = world.name_of(vm);
    if from.1 != to.1 {
        let message =
            format!("Completed the relocation of {name} from {} to {}", world.name_of(from.1), world.name_of(to.1));
        world.post(vm, user, VmRelocatedEvent { source_host, ..Default::default() }, message);
    } else if from.0 != to.0 {
        let message = format!(
            "Migration of virtual machine {name} from {}, {} to {}, {} completed",
            source_host.name,
            world.name_of(from.1),
            world.name_of(to.0),
            world.name_of(to.1)
        );
        world.post(vm, user, VmMigratedEvent { source_host, ..Default::default() }, message);
    }
}
