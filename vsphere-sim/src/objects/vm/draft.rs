//! A machine's configuration while it is changed: nothing shows, and no file is touched, before all of it is found right.

use vsphere_model::types::{VirtualMachineConfigInfo, VirtualMachinePowerState};

use super::Vm;
use super::files::Place;
use super::{guest, hardware};
use crate::fault::Outcome;
use crate::objects::datastore::Datastore;
use crate::objects::datastore::disk::{Disk, Format};
use crate::objects::datastore::files::File;
use crate::objects::host::Host;
use crate::objects::network::Network;
use crate::world::{Moref, World};

/// A machine's configuration while it is changed.
pub(super) struct Draft {
    pub(super) config: VirtualMachineConfigInfo,
    pub(super) host: Moref,
    /// Those that the host sees.
    pub(super) datastores: Vec<Moref>,
    /// Its configuration file.
    pub(super) vmx: Place,
    pub(super) running: bool,
    pub(super) has_snapshots: bool,
    /// The machine is about to be made.
    pub(super) is_new: bool,
    /// What is to be done to files, in this order.
    pub(super) files: Vec<FileChange>,
}

/// Something that is to be done to files.
#[derive(Debug, Clone)]
pub(super) enum FileChange {
    /// Makes a folder, with those above it; nothing where it is there.
    Folder(Place),
    /// Writes a file of so many bytes.
    File(Place, i64),
    /// Makes a virtual disk, of which so many bytes are written.
    Disk(Place, Disk, i64),
    /// Makes a virtual disk so many bytes large.
    Grow(Place, i64),
    /// Deletes a virtual disk, after everything else.
    Remove(Place),
    /// Deletes a virtual disk whose place another one gets.
    Clear(Place),
}

impl Draft {
    /// The configuration of a machine that is there.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`, and `InvalidDatastorePath` where its datastore is gone.
    pub(super) fn of(world: &World, vm: &Moref) -> Outcome<Self> {
        let vmx = world.vmx_of(vm)?;
        let machine = world.get::<Vm>(vm)?;
        let host = machine.runtime.host.clone().unwrap_or_default();
        let datastores =
            world.get::<Host>(&host).map_or_else(|_| machine.datastores.clone(), |host| host.datastores.clone());
        Ok(Self {
            config: machine.config.clone(),
            host,
            datastores,
            vmx,
            running: machine.runtime.power_state == VirtualMachinePowerState::PoweredOn,
            has_snapshots: machine.snapshot.is_some(),
            is_new: false,
            files: Vec::new(),
        })
    }

    /// The number in the machine's version: 21 in `vmx-21`.
    pub(super) fn hardware_version(&self) -> u32 {
        self.config.version.strip_prefix("vmx-").and_then(|number| number.parse().ok()).unwrap_or(21)
    }

    /// Whether a file is there, or will be.
    pub(super) fn has_file(&self, world: &World, place: &Place) -> bool {
        let planned = self.files.iter().any(|change| match change {
            FileChange::File(at, _) | FileChange::Disk(at, ..) => at == place,
            _ => false,
        });
        planned || world.get::<Datastore>(&place.datastore).is_ok_and(|datastore| datastore.find(&place.path).is_some())
    }

    /// The disk at a place, there or to come.
    pub(super) fn disk(&self, world: &World, place: &Place) -> Outcome<Disk> {
        let planned = self.files.iter().find_map(|change| match change {
            FileChange::Disk(at, disk, _) if at == place => Some(disk.clone()),
            _ => None,
        });
        match planned {
            Some(disk) => Ok(disk),
            None => world.get::<Datastore>(&place.datastore)?.disk(&place.path).cloned(),
        }
    }

    /// Does to the files what is planned, and makes the configuration the machine's own.
    ///
    /// # Errors
    /// The faults of the files, with nothing changed.
    pub(super) fn commit(self, world: &mut World, vm: &Moref) -> Outcome<()> {
        carry_out(world, &self.files)?;
        let machine = world.edit::<Vm>(vm)?;
        machine.config = self.config;
        if let Some(shares) = machine.config.cpu_allocation.as_deref() {
            machine.resource_config.cpu_allocation = shares.clone();
        }
        if let Some(shares) = machine.config.memory_allocation.as_deref() {
            machine.resource_config.memory_allocation = shares.clone();
        }
        world.relate(vm, &self.vmx.datastore)?;
        guest::report(world, vm);
        Ok(())
    }
}

/// Does to the files what is planned, all or nothing.
///
/// # Errors
/// `NoDiskSpace`, `FileAlreadyExists`, `FileNotFound`, `ManagedObjectNotFound`.
pub(super) fn carry_out(world: &mut World, plan: &[FileChange]) -> Outcome<()> {
    let mut done: Vec<(Place, bool)> = Vec::new();
    // What is deleted can't be brought back, and so comes when nothing can go wrong any more.
    let (deletions, others): (Vec<_>, Vec<_>) = plan.iter().partition(|change| matches!(change, FileChange::Remove(_)));
    for change in others {
        if let Err(fault) = carry_out_one(world, change, &mut done) {
            for (place, is_disk) in done.into_iter().rev() {
                let datastore = world.datastore_of(&place)?;
                let _ = if is_disk { datastore.remove_disk(&place.path) } else { datastore.remove_tree(&place.path) };
            }
            return Err(fault);
        }
    }
    for change in deletions {
        if let FileChange::Remove(place) = change {
            // Somebody may have deleted it behind the machine's back: then it is gone, as was wanted.
            let _ = world.datastore_of(place)?.remove_disk(&place.path);
        }
    }
    Ok(())
}

/// `done` gets what must be deleted again when a later change fails, and whether it is a disk.
fn carry_out_one(world: &mut World, change: &FileChange, done: &mut Vec<(Place, bool)>) -> Outcome<()> {
    match change {
        FileChange::Folder(place) => {
            let datastore = world.datastore_of(place)?;
            if datastore.find(&place.path).is_none() {
                datastore.make_folder(&place.path, true)?;
                done.push((place.clone(), false));
            }
        }
        FileChange::File(place, size) => {
            let datastore = world.datastore_of(place)?;
            let is_new = datastore.find(&place.path).is_none();
            datastore.put_file(&place.path, File::made(*size))?;
            if is_new {
                done.push((place.clone(), false));
            }
        }
        FileChange::Disk(place, disk, written) => {
            world.datastore_of(place)?.put_disk(&place.path, disk.clone(), *written)?;
            done.push((place.clone(), true));
        }
        FileChange::Grow(place, capacity) => grow(world.datastore_of(place)?, &place.path, *capacity)?,
        FileChange::Clear(place) => world.datastore_of(place)?.remove_disk(&place.path)?,
        FileChange::Remove(_) => {}
    }
    Ok(())
}

/// Makes a disk so many bytes large. (Growing is not undone when a later change fails: it is the last of its plan.)
fn grow(datastore: &mut Datastore, path: &str, capacity: i64) -> Outcome<()> {
    let mut disk = datastore.disk(path)?.clone();
    let extent = disk.extent(path).unwrap_or_else(|| path.to_owned());
    let growth = if disk.format == Format::Thin { 0 } else { capacity - disk.capacity };
    if growth > datastore.free() {
        return Err(datastore.no_space(path));
    }
    disk.capacity = capacity;
    datastore.change_file(&extent, |data| {
        data.size = capacity;
        data.used += growth;
    })?;
    datastore.put_descriptor(path, disk)
}

/// A mark that no configuration had before.
pub(super) fn change_version(world: &World) -> String {
    world.now().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

impl World {
    /// Puts a machine's datastores and networks in step with its devices, in both directions. `home` has its
    /// configuration file.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub(super) fn relate(&mut self, vm: &Moref, home: &Moref) -> Outcome<()> {
        let machine = self.get::<Vm>(vm)?;
        let host = machine.runtime.host.clone().unwrap_or_default();
        let mut datastores = vec![home.clone()];
        for datastore in hardware::datastores(&machine.config.hardware.device) {
            if !datastores.contains(datastore) {
                datastores.push(datastore.clone());
            }
        }
        let networks = hardware::networks(self, &host, &machine.config.hardware.device);
        let urls = datastores.iter().filter_map(|datastore| self.get::<Datastore>(datastore).ok());
        let urls = urls.map(Datastore::url_pair).collect();
        let machine = self.edit::<Vm>(vm)?;
        machine.config.datastore_url = urls;
        let old_datastores = std::mem::replace(&mut machine.datastores, datastores.clone());
        let old_networks = std::mem::replace(&mut machine.networks, networks.clone());
        for gone in old_datastores.iter().filter(|old| !datastores.contains(old)) {
            if let Ok(datastore) = self.edit::<Datastore>(gone) {
                datastore.vms.retain(|other| other != vm);
            }
        }
        for new in datastores.iter().filter(|new| !old_datastores.contains(new)) {
            self.edit::<Datastore>(new)?.vms.push(vm.clone());
        }
        for gone in old_networks.iter().filter(|old| !networks.contains(old)) {
            if let Ok(network) = self.edit::<Network>(gone) {
                network.vms.retain(|other| other != vm);
            }
        }
        for new in networks.iter().filter(|new| !old_networks.contains(new)) {
            self.edit::<Network>(new)?.vms.push(vm.clone());
        }
        Ok(())
    }
}
