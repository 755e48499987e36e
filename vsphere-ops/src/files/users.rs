//! Which files VMs use, as they say themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use vsphere_model::managed::{datastore as ds, virtual_machine as vm};
use vsphere_model::types::{
    ManagedObjectReference, ObjectContent, Poly, VirtualDevice, VirtualDeviceFileBackingInfo,
    VirtualDiskFlatVer2BackingInfo, VirtualDiskSeSparseBackingInfo, VirtualMachineConfigInfo,
    VirtualMachineFileLayoutEx, VirtualMachineSnapshotInfo, VirtualMachineSnapshotTree,
};

use super::descriptor_of;
use super::store::Store;
use crate::client::Client;
use crate::datastore_path::DatastorePath;
use crate::error::{Error, ErrorKind, Result};
use crate::find;
use crate::read::Values;
use crate::vm::optional;

/// A VM that uses files.
///
/// ```
/// use vsphere_ops::files::FileUser;
///
/// fn names(users: &[FileUser]) -> Vec<&str> {
///     users.iter().map(|user| user.vm.as_str()).collect()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileUser {
    /// The VM's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// How many of the files it uses.
    pub files: usize,
}

/// The files of a datastore that VMs use.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// The VMs by id, with their names and the paths below the datastore.
    vms: BTreeMap<String, (String, BTreeSet<String>)>,
    /// All of these paths.
    used: BTreeSet<String>,
    /// The folders in which the files of VMs are.
    homes: BTreeSet<String>,
    /// Why not all is known.
    unknown: Option<String>,
}

impl Users {
    /// Reads what the VMs and templates use that have files in a datastore.
    ///
    /// # Errors
    /// Server errors; VMs that cannot be read are none.
    pub(super) async fn of(store: &Store) -> Result<Self> {
        let client = store.client();
        let (on_it, with_snapshots) = futures::try_join!(store.mo.read(ds::VM), with_snapshots(client))?;
        let mut vms: Vec<ManagedObjectReference> = on_it;
        vms.extend(with_snapshots);
        vms.sort_by(|a, b| a.value.cmp(&b.value));
        vms.dedup();
        let paths = [vm::NAME.path(), vm::CONFIG.path(), vm::LAYOUT_EX.path(), vm::SNAPSHOT.path()];
        let contents = find::details(client, vms.iter().cloned(), &paths).await?;
        let mut users = Self::default();
        let mut unread: BTreeSet<String> = vms.iter().map(|vm| vm.value.clone()).collect();
        let mut snapshots = BTreeMap::new();
        for content in contents {
            let (id, name) = (content.obj.value.clone(), find::label(&content));
            let mut values = Values::new(content.prop_set, content.missing_set);
            let config: Option<VirtualMachineConfigInfo> = optional(&mut values, vm::CONFIG.path());
            let layout: Option<VirtualMachineFileLayoutEx> = optional(&mut values, vm::LAYOUT_EX.path());
            let snapshot: Option<VirtualMachineSnapshotInfo> = optional(&mut values, vm::SNAPSHOT.path());
            let hidden = values.into_gaps().into_iter().next().is_some();
            if let (Some(config), Some(layout), false) = (&config, &layout, hidden) {
                unread.remove(&id);
                users.add(store, &id, &name, layout.file.iter().map(|file| file.name.as_str()));
                users.add_config(store, &id, &name, config);
            }
            for tree in snapshot.iter().flat_map(|snapshot| &snapshot.root_snapshot_list) {
                gather(tree, &mut |snapshot| {
                    snapshots.insert(snapshot.value.clone(), (snapshot.clone(), id.clone(), name.clone()));
                });
            }
        }
        // What is in a drive when a snapshot is taken is in it again after a revert.
        let references: Vec<_> = snapshots.values().map(|(reference, _, _)| reference.clone()).collect();
        for content in find::details(client, references, &[SNAPSHOT_DEVICES]).await? {
            let Some((_, id, name)) = snapshots.remove(&content.obj.value) else { continue };
            let mut values = Values::new(content.prop_set, content.missing_set);
            let devices: Option<Vec<Poly<VirtualDevice>>> = optional(&mut values, SNAPSHOT_DEVICES);
            match devices {
                Some(devices) => users.add(store, &id, &name, files_of(&devices)),
                None => drop(unread.insert(id)),
            }
        }
        unread.extend(snapshots.into_values().map(|(_, id, _)| id));
        if !unread.is_empty() {
            let ids = unread.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let more = if unread.len() > NAMED { " and others" } else { "" };
            users.unknown =
                Some(format!("what {} of {} VMs use cannot be read ({ids}{more})", unread.len(), vms.len()));
        }
        Ok(users)
    }

    fn add_config(&mut self, store: &Store, id: &str, name: &str, config: &VirtualMachineConfigInfo) {
        let files = &config.files;
        self.add(store, id, name, files.vm_path_name.as_deref());
        self.add(store, id, name, files_of(&config.hardware.device));
        let folders = [&files.snapshot_directory, &files.suspend_directory, &files.log_directory];
        let folders = folders.into_iter().flatten().filter_map(|folder| path_in(store, folder));
        let home = files.vm_path_name.as_deref().and_then(|file| path_in(store, file)?.parent());
        self.homes.extend(folders.chain(home).map(|folder| folder.path().to_owned()).filter(|home| !home.is_empty()));
    }

    fn add<'a>(&mut self, store: &Store, id: &str, name: &str, files: impl IntoIterator<Item = &'a str>) {
        for file in files {
            let Some(path) = path_in(store, file) else { continue };
            let its = self.vms.entry(id.to_owned()).or_insert_with(|| (name.to_owned(), BTreeSet::new()));
            its.1.insert(path.path().to_owned());
            self.used.insert(path.path().to_owned());
        }
    }

    /// The same, where the files of all VMs are known.
    ///
    /// # Errors
    /// `permission` where they are not: anything could be used.
    pub(super) fn all_known(self) -> Result<Self> {
        match &self.unknown {
            None => Ok(self),
            Some(why) => {
                let text = format!("{why}, so that any file may be in use");
                Err(Error::new("look for unused files", ErrorKind::Unreadable(text)))
            }
        }
    }

    /// Why not all is known, if so.
    pub(super) fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// Whether a VM needs the file at this path below the datastore.
    pub(super) fn need(&self, path: &str) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let beside = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        self.used.contains(path)
            || descriptor_of(name).is_some_and(|descriptor| self.used.contains(&beside(&descriptor)))
            || (self.homes.contains(folder) && !name.ends_with(".vmdk"))
    }

    /// The VMs that use a file, or files below a folder.
    pub(super) fn of_tree(&self, path: &DatastorePath) -> Vec<FileUser> {
        let (path, below) = (path.path(), format!("{}/", path.path()));
        let counts = self.vms.iter().map(|(id, (vm, files))| FileUser {
            vm: vm.clone(),
            id: id.clone(),
            files: files.iter().filter(|file| *file == path || file.starts_with(&below)).count(),
        });
        counts.filter(|user| user.files > 0).collect()
    }
}

/// The VMs that have snapshots: a datastore does not name those that come back to it with one.
async fn with_snapshots(client: &Client) -> Result<Vec<ManagedObjectReference>> {
    let all = find::scan(client, None, &[("VirtualMachine", &[vm::SNAPSHOT.path()])]).await?;
    let has = |content: &ObjectContent| !content.prop_set.is_empty() || !content.missing_set.is_empty();
    Ok(all.into_iter().filter(has).map(|content| content.obj).collect())
}

const SNAPSHOT_DEVICES: &str = "config.hardware.device";

/// How many VMs are named at most that cannot be read.
const NAMED: usize = 5;

/// The path, where it is one in this datastore.
fn path_in(store: &Store, text: &str) -> Option<DatastorePath> {
    text.parse::<DatastorePath>().ok().filter(|path| path.datastore() == store.name())
}

fn gather(tree: &VirtualMachineSnapshotTree, add: &mut impl FnMut(&ManagedObjectReference)) {
    add(&tree.snapshot);
    tree.child_snapshot_list.iter().for_each(|child| gather(child, add));
}

/// The files behind devices, with those that these stand on.
fn files_of(devices: &[Poly<VirtualDevice>]) -> Vec<&str> {
    let mut files = Vec::new();
    for backing in devices.iter().filter_map(|device| device.backing.as_ref()) {
        files.extend(backing.downcast_ref::<VirtualDeviceFileBackingInfo>().map(|file| file.file_name.as_str()));
        let mut flat = backing.downcast_ref::<VirtualDiskFlatVer2BackingInfo>().and_then(|disk| disk.parent.as_deref());
        while let Some(parent) = flat {
            files.push(parent.file_name.as_str());
            flat = parent.parent.as_deref();
        }
        let mut sparse =
            backing.downcast_ref::<VirtualDiskSeSparseBackingInfo>().and_then(|disk| disk.parent.as_deref());
        while let Some(parent) = sparse {
            files.push(parent.file_name.as_str());
            sparse = parent.parent.as_deref();
        }
    }
    files
}

/// Why a folder holds what is not for VMs to say whether it is used.
pub(super) fn is_kept_by_vsphere(folder: &DatastorePath) -> Option<&'static str> {
    let name = folder.path();
    if name.contains('/') {
        return None;
    }
    match name {
        "fcd" | "catalog" => Some("first class disks may be used without a VM"),
        "vmkdump" | "osdata" => Some("hosts keep it"),
        _ if name.starts_with("contentlib-") => Some("a content library keeps it"),
        _ if name.starts_with('.') => Some("vSphere keeps it"),
        _ => None,
    }
}
