//! What happens to a datastore as a whole: its name, its maintenance, its end.

use std::time::Duration;

use vsphere_model::types::{
    Any, DatastoreDestroyedEvent, InvalidState, ResourceInUse, StoragePlacementResult, VirtualDeviceFileBackingInfo,
    VirtualMachinePowerState,
};

use super::{Datastore, Maintenance, path};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::datacenter::Datacenter;
use crate::objects::entity::check_rename;
use crate::objects::host::Host;
use crate::objects::vm::Vm;
use crate::world::{Moref, World};

pub(crate) const METHODS: Methods = &[
    ("Datastore", "RefreshDatastore", Handler::Read(refresh)),
    ("Datastore", "RefreshDatastoreStorageInfo", Handler::Read(refresh)),
    ("Datastore", "RenameDatastore", Handler::Write(rename)),
    ("Datastore", "DestroyDatastore", Handler::Write(destroy)),
    ("Datastore", "DatastoreEnterMaintenanceMode", Handler::Write(enter_maintenance)),
    ("Datastore", "DatastoreExitMaintenanceMode_Task", Handler::Write(exit_maintenance)),
    ("Datastore", "IsClusteredVmdkEnabled", Handler::Read(is_clustered)),
];

/// What a host would find out anew, the simulator knows always.
fn refresh(world: &World, call: &Call) -> Outcome<Reply> {
    world.get::<Datastore>(&call.target)?;
    Ok(Reply::NONE)
}

fn is_clustered(world: &World, call: &Call) -> Outcome<Reply> {
    world.get::<Datastore>(&call.target)?;
    Ok(Reply::of(false))
}

fn rename(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("newName")?;
    let user = call.user(world);
    check_rename(world, &call.target, &name)?;
    world.rename(&call.target, &name, &user)?;
    Ok(Reply::NONE)
}

/// Writes the new name of a datastore into the disks, wherever they are, that depend on one there.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn renamed(world: &mut World, old: &str, new: &str) -> Outcome<()> {
    let (old, new) = (format!("[{old}] "), format!("[{new}] "));
    let all: Vec<Moref> = world.all::<Datastore>().into_iter().map(|(reference, _)| reference.clone()).collect();
    for datastore in all {
        world.quietly_edit::<Datastore>(&datastore)?.files.rename_parents(&old, &new);
    }
    Ok(())
}

fn destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    let datastore = world.get::<Datastore>(&call.target)?;
    if !datastore.vms.is_empty() {
        return Err(in_use(datastore));
    }
    let user = call.user(world);
    remove(world, &call.target, &user)?;
    Ok(Reply::NONE)
}

/// Takes a datastore out of the inventory, with its files.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn remove(world: &mut World, datastore: &Moref, user: &str) -> Outcome<()> {
    let found = world.get::<Datastore>(datastore)?;
    let (name, browser, mounts) = (found.entity.name.clone(), found.browser.clone(), found.mounts.clone());
    let message = format!("Removed datastore {name}");
    world.post(datastore, user, DatastoreDestroyedEvent::default(), message);
    let others = |list: &mut Vec<Moref>| list.retain(|other| other != datastore);
    for mount in mounts {
        if let Some(compute) = world.nearest::<Compute>(&mount.key).map(|(reference, _)| reference) {
            others(&mut world.edit::<Compute>(&compute)?.datastores);
        }
        others(&mut world.edit::<Host>(&mount.key)?.datastores);
    }
    if let Some(datacenter) = world.nearest::<Datacenter>(datastore).map(|(reference, _)| reference) {
        others(&mut world.edit::<Datacenter>(&datacenter)?.datastores);
    }
    world.unhang(datastore)?;
    world.remove(&browser);
    world.remove(datastore);
    Ok(())
}

fn enter_maintenance(world: &mut World, call: &Call) -> Outcome<Reply> {
    check_maintenance(world, &call.target, Maintenance::Normal)?;
    let itself = call.target.clone();
    let plan = call.task().alone_with(&itself).takes(Duration::from_secs(2)).cancelable();
    let started = plan.start(world, move |world| {
        check_maintenance(world, &itself, Maintenance::Normal)?;
        let datastore = world.edit::<Datastore>(&itself)?;
        if !datastore.vms.is_empty() {
            return Err(in_use(datastore));
        }
        datastore.maintenance = Maintenance::In;
        Ok(Any::Unset)
    })?;
    let Reply::Value(Any::Ref(task)) = started else { return Ok(started) };
    Ok(Reply::of(StoragePlacementResult { task: Some(task), ..Default::default() }))
}

fn exit_maintenance(world: &mut World, call: &Call) -> Outcome<Reply> {
    check_maintenance(world, &call.target, Maintenance::In)?;
    let itself = call.target.clone();
    call.task().alone_with(&itself).takes(Duration::from_secs(1)).start(world, move |world| {
        check_maintenance(world, &itself, Maintenance::In)?;
        world.edit::<Datastore>(&itself)?.maintenance = Maintenance::Normal;
        Ok(Any::Unset)
    })
}

fn check_maintenance(world: &World, datastore: &Moref, wanted: Maintenance) -> Outcome<()> {
    if world.get::<Datastore>(datastore)?.maintenance == wanted {
        return Ok(());
    }
    Err(Fault::new(InvalidState::default(), "The operation is not allowed in the current state of the datastore."))
}

fn in_use(datastore: &Datastore) -> Fault {
    let name = datastore.entity.name.clone();
    let message = format!("The resource '{name}' is in use: there are virtual machines on it.");
    Fault::new(ResourceInUse { type_: Some("Datastore".to_owned()), name: Some(name), ..Default::default() }, message)
}

impl World {
    /// The paths in a datastore that powered-on machines have open: of their configurations, of their disks, and of what
    /// these are differences to.
    pub(crate) fn open_files(&self, datastore: &Moref) -> Vec<String> {
        let Ok(found) = self.get::<Datastore>(datastore) else { return Vec::new() };
        let mut open = Vec::new();
        for vm in found.vms.iter().filter_map(|vm| self.get::<Vm>(vm).ok()).filter(|vm| is_powered_on(vm)) {
            let backings = vm.config.hardware.device.iter().filter_map(|device| device.backing.as_ref());
            let files = backings.filter_map(|backing| backing.downcast_ref::<VirtualDeviceFileBackingInfo>());
            let paths = files.map(|backing| backing.file_name.as_str());
            for path in paths.chain(vm.config.files.vm_path_name.as_deref()) {
                let Some(path) = found.own(path) else { continue };
                found.open_chain(path, &mut open);
            }
        }
        open
    }
}

fn is_powered_on(vm: &Vm) -> bool {
    vm.runtime.power_state == VirtualMachinePowerState::PoweredOn
}

impl Datastore {
    /// The path in this datastore that a full path means; `None` where it is in another one.
    pub(crate) fn own(&self, full: &str) -> Option<String> {
        let parsed = path::DatastorePath::parse(full).ok()?;
        (parsed.datastore == self.entity.name).then_some(parsed.path)
    }

    /// Adds a file, and where it is a disk its extent and the disks that it depends on.
    fn open_chain(&self, path: String, open: &mut Vec<String>) {
        let mut next = Some(path);
        while let Some(path) = next.take().filter(|path| !open.contains(path)) {
            let disk = self.find(&path).and_then(|file| file.disk());
            open.extend(disk.and_then(|disk| disk.extent(&path)));
            next = disk.and_then(|disk| disk.parent.as_deref()).and_then(|parent| self.own(parent));
            open.push(path);
        }
    }
}
