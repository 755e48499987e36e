//! Where the files of a virtual machine are: its folder, and its disks wherever they are.

use vsphere_model::types::{VirtualDeviceFileBackingInfo, VirtualDiskFlatVer2BackingInfo, VirtualMachineConfigInfo};

use super::Vm;
use super::snapshot::Snapshot;
use crate::fault::Outcome;
use crate::objects::datastore::Datastore;
use crate::objects::datastore::path::{DatastorePath, invalid, join, split};
use crate::world::{Moref, World};

/// A place in a datastore.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) datastore: Moref,
    /// Below the datastore: `web-1/web-1.vmx`.
    pub(crate) path: String,
}

impl Place {
    /// Another file in the same folder.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self { datastore: self.datastore.clone(), path: join(split(&self.path).0, name) }
    }

    /// The folder that it is in, below the datastore.
    pub(crate) fn folder(&self) -> &str {
        split(&self.path).0
    }

    /// The name of the file without its ending.
    pub(crate) fn stem(&self) -> &str {
        let name = split(&self.path).1;
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }
}

impl World {
    /// The place of a datastore path among these datastores.
    ///
    /// # Errors
    /// `InvalidDatastorePath`, also for a datastore that is not among them.
    pub(crate) fn place_among(&self, datastores: &[Moref], text: &str) -> Outcome<Place> {
        let DatastorePath { datastore, path } = DatastorePath::parse(text)?;
        let has_name = |reference: &&Moref| self.entity(reference).is_ok_and(|entity| entity.name == datastore);
        let datastore = datastores.iter().find(has_name).cloned().ok_or_else(|| invalid(text))?;
        Ok(Place { datastore, path })
    }

    /// The configuration file of a machine (`web-1.vmx`); the others are beside it.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`, and `InvalidDatastorePath` where its datastore is gone.
    pub(crate) fn vmx_of(&self, vm: &Moref) -> Outcome<Place> {
        let vm = self.get::<Vm>(vm)?;
        let path = vm.config.files.vm_path_name.as_deref().unwrap_or_default();
        self.place_among(&vm.datastores, path)
    }

    /// As the API writes a place.
    pub(crate) fn place_text(&self, place: &Place) -> String {
        self.datastore_path(&place.datastore, &place.path)
    }

    /// The datastore of a place, to change its files.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub(crate) fn datastore_of(&mut self, place: &Place) -> Outcome<&mut Datastore> {
        self.edit::<Datastore>(&place.datastore)
    }
}

/// A datastore has another name: the paths of its machines' files say so.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn datastore_renamed(world: &mut World, datastore: &Moref, old: &str, new: &str) -> Outcome<()> {
    for vm in world.get::<Datastore>(datastore)?.vms.clone() {
        rename_in(&mut world.edit::<Vm>(&vm)?.config, old, new);
        for snapshot in world.get::<Vm>(&vm)?.snapshots() {
            rename_in(&mut world.edit::<Snapshot>(&snapshot)?.config, old, new);
        }
    }
    Ok(())
}

fn rename_in(config: &mut VirtualMachineConfigInfo, old: &str, new: &str) {
    for pair in config.datastore_url.iter_mut().filter(|pair| pair.name == old) {
        new.clone_into(&mut pair.name);
    }
    let (old, new) = (format!("[{old}] "), format!("[{new}] "));
    let rename = |path: &mut String| {
        if let Some(rest) = path.strip_prefix(&old) {
            *path = format!("{new}{rest}");
        }
    };
    let files = &mut config.files;
    let places = [
        &mut files.vm_path_name,
        &mut files.snapshot_directory,
        &mut files.suspend_directory,
        &mut files.log_directory,
    ];
    places.into_iter().flatten().for_each(rename);
    for backing in config.hardware.device.iter_mut().filter_map(|device| device.backing.as_mut()) {
        if let Some(file) = backing.downcast_mut::<VirtualDeviceFileBackingInfo>() {
            rename(&mut file.file_name);
        }
        let mut layer = backing.downcast_mut::<VirtualDiskFlatVer2BackingInfo>();
        while let Some(parent) = layer.and_then(|layer| layer.parent.as_deref_mut()) {
            rename(&mut parent.file_name);
            layer = Some(parent);
        }
    }
}
