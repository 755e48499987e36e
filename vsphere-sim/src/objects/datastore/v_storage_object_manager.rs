//! The manager of first class disks: disks with a name and an identity of their own, whether a machine has them or not.

use std::collections::BTreeMap;
use std::time::Duration;

use vsphere_model::managed;
use vsphere_model::types::{
    AlreadyExists, Any, BaseConfigInfoDiskFileBackingInfo, BaseConfigInfoFileBackingInfo, ID, InvalidState, NotFound,
    Poly, VStorageObject, VStorageObjectConfigInfo, VStorageObjectSnapshotInfoVStorageObjectSnapshot,
    VStorageObjectStateInfo, VslmCloneSpec, VslmCreateSpec, VslmCreateSpecBackingSpec,
    VslmCreateSpecDiskFileBackingSpec,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::disk::{Disk, Format};
use super::file_manager::{self, check_unlocked, time_to_write};
use super::files::File;
use super::{Datastore, path, require};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::server::folder;
use crate::world::{Look, Managed, Moref, Prop, World, uuid};

pub(crate) const METHODS: Methods = &[
    ("VcenterVStorageObjectManager", "CreateDisk_Task", Handler::Write(create)),
    ("VcenterVStorageObjectManager", "RegisterDisk", Handler::Write(register)),
    ("VcenterVStorageObjectManager", "CloneVStorageObject_Task", Handler::Write(clone)),
    ("VcenterVStorageObjectManager", "DeleteVStorageObject_Task", Handler::Write(delete)),
    ("VcenterVStorageObjectManager", "DeleteVStorageObjectEx_Task", Handler::Write(delete)),
    ("VcenterVStorageObjectManager", "ExtendDisk_Task", Handler::Write(extend)),
    ("VcenterVStorageObjectManager", "InflateDisk_Task", Handler::Write(inflate)),
    ("VcenterVStorageObjectManager", "RenameVStorageObject", Handler::Write(rename)),
    ("VcenterVStorageObjectManager", "ListVStorageObject", Handler::Read(list)),
    ("VcenterVStorageObjectManager", "RetrieveVStorageObject", Handler::Read(retrieve)),
    ("VcenterVStorageObjectManager", "RetrieveVStorageObjectState", Handler::Read(state)),
    ("VcenterVStorageObjectManager", "ReconcileDatastoreInventory_Task", Handler::Write(reconcile)),
];

/// The managed object `VcenterVStorageObjectManager`.
#[derive(Default)]
pub(super) struct DiskManager {
    /// By their ids.
    pub(super) disks: BTreeMap<String, Kept>,
}

/// A first class disk.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) datastore: Moref,
    path: String,
    pub(super) config: VStorageObjectConfigInfo,
    pub(super) snapshots: Vec<VStorageObjectSnapshotInfoVStorageObjectSnapshot>,
}

impl Managed for DiskManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::VcenterVStorageObjectManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

pub(super) fn install(world: &mut World) {
    if world.settings.kind == ServerKind::VCenter {
        let manager = world.add_as("VStorageObjectManager", DiskManager::default());
        world.content.v_storage_object_manager = Some(manager);
    }
}

/// The folder of disks whose maker named none.
const FOLDER: &str = "fcd";

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: VslmCreateSpec = call.arg("spec")?;
    let (datastore, format) = backing(&spec.backing_spec)?;
    require(world, call, &datastore, file_manager::MANAGE)?;
    let capacity = capacity(spec.capacity_in_mb).ok_or_else(|| Fault::invalid_argument("spec.capacityInMB"))?;
    let id = spec.id.as_ref().map_or_else(|| uuid(fastrand::u128(..)), |id| id.id.clone());
    let manager = call.target.clone();
    let disk = Disk::new(capacity, format);
    let time = time_to_write(if format == Format::EagerZeroed { capacity } else { 0 });
    call.task().about(&datastore).takes(time).start(world, move |world| {
        check_free(world, &manager, &id)?;
        let path = make_place(world, &datastore, spec.backing_spec.path.as_deref(), &id)?;
        world.edit::<Datastore>(&datastore)?.put_disk(&path, disk, 0)?;
        let mut kept = keep(world, &datastore, &path, &id, &spec.name)?;
        kept.config.keep_after_delete_vm = spec.keep_after_delete_vm;
        kept.config.metadata = spec.metadata;
        add(world, &manager, kept)
    })
}

/// The datastore and the format that a specification of a backing asks for.
fn backing(spec: &Poly<VslmCreateSpecBackingSpec>) -> Outcome<(Moref, Format)> {
    let Some(file) = spec.downcast_ref::<VslmCreateSpecDiskFileBackingSpec>() else {
        return Err(Fault::not_supported("a disk that is mapped to a device"));
    };
    let format = match file.provisioning_type.as_deref() {
        None | Some("thin") => Format::Thin,
        Some("lazyZeroedThick") => Format::LazyZeroed,
        Some("eagerZeroedThick") => Format::EagerZeroed,
        Some(_) => return Err(Fault::invalid_argument("spec.backingSpec.provisioningType")),
    };
    Ok((spec.datastore.clone(), format))
}

/// In bytes; `None` where no disk can have it.
fn capacity(mb: i64) -> Option<i64> {
    mb.checked_mul(1 << 20).filter(|bytes| (1..=super::LARGEST).contains(bytes))
}

/// The path of a new disk, in a folder that is there.
fn make_place(world: &mut World, datastore: &Moref, folder: Option<&str>, id: &str) -> Outcome<String> {
    let given = folder.filter(|folder| !folder.is_empty());
    let folder = match given {
        None => FOLDER.to_owned(),
        Some(folder) => path::clean(folder).ok_or_else(|| path::invalid(folder))?,
    };
    let datastore = world.edit::<Datastore>(datastore)?;
    if given.is_none() && !datastore.files().is_folder(&folder) {
        datastore.make_folder(&folder, false)?;
    }
    Ok(path::join(&folder, &format!("{}.vmdk", id.replace('-', ""))))
}

/// The record of a disk that is there.
fn keep(world: &World, datastore: &Moref, path: &str, id: &str, name: &str) -> Outcome<Kept> {
    let found = world.get::<Datastore>(datastore)?;
    let disk = found.disk(path)?;
    let mut file = BaseConfigInfoFileBackingInfo { file_path: found.path(path), ..Default::default() };
    file.datastore = datastore.clone();
    file.backing_object_id = Some(String::new());
    let provisioning_type = match disk.format {
        Format::LazyZeroed => "lazyZeroedThick",
        Format::EagerZeroed => "eagerZeroedThick",
        Format::Thin | Format::Delta | Format::Stream => "thin",
    };
    let mut config = VStorageObjectConfigInfo {
        capacity_in_mb: disk.capacity >> 20,
        consumption_type: vec!["disk".to_owned()],
        ..Default::default()
    };
    config.id = ID { id: id.to_owned() };
    config.name = name.to_owned();
    config.create_time = world.now();
    config.backing =
        Poly::new(BaseConfigInfoDiskFileBackingInfo { base: file, provisioning_type: provisioning_type.to_owned() });
    Ok(Kept { datastore: datastore.clone(), path: path.to_owned(), config, snapshots: Vec::new() })
}

fn add(world: &mut World, manager: &Moref, kept: Kept) -> Outcome<Any> {
    let object = VStorageObject { config: kept.config.clone() };
    world.edit::<DiskManager>(manager)?.disks.insert(kept.config.id.id.clone(), kept);
    Ok(Any::from(object))
}

fn check_free(world: &World, manager: &Moref, id: &str) -> Outcome<()> {
    if world.get::<DiskManager>(manager)?.disks.contains_key(id) {
        let fault = AlreadyExists { name: Some(id.to_owned()), ..Default::default() };
        return Err(Fault::new(fault, format!("The specified key, name, or identifier '{id}' already exists.")));
    }
    Ok(())
}

fn register(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (url, name): (String, Option<String>) = (call.arg("path")?, call.opt("name")?);
    let wanted = url.parse::<hyper::Uri>().ok().and_then(|url| folder::locate(world, &url));
    let (datastore, path) = wanted.ok_or_else(|| Fault::invalid_argument("path"))?;
    require(world, call, &datastore, file_manager::MANAGE)?;
    let manager = world.get::<DiskManager>(&call.target)?;
    if let Some(known) = manager.disks.values().find(|kept| (&kept.datastore, &kept.path) == (&datastore, &path)) {
        let fault = AlreadyExists { name: Some(known.config.id.id.clone()), ..Default::default() };
        return Err(Fault::new(fault, format!("The disk {url} is registered already.")));
    }
    let id: Option<ID> = call.opt("id")?;
    let id = id.map_or_else(|| uuid(fastrand::u128(..)), |id| id.id);
    check_free(world, &call.target, &id)?;
    let (_, file) = path::split(&path);
    let kept = keep(world, &datastore, &path, &id, name.as_deref().unwrap_or(file))?;
    add(world, &call.target, kept).map(Reply::Value)
}

/// The disk that the arguments `id` and `datastore` name.
pub(super) fn asked(world: &World, call: &Call) -> Outcome<Kept> {
    let (id, datastore): (ID, Moref) = (call.arg("id")?, call.arg("datastore")?);
    find(world, &call.target, &id.id, &datastore)
}

pub(super) fn find(world: &World, manager: &Moref, id: &str, datastore: &Moref) -> Outcome<Kept> {
    let found = world.get::<Datastore>(datastore)?;
    let kept = world.get::<DiskManager>(manager)?.disks.get(id);
    // One whose file is gone is not there, though it may still be listed.
    let kept = kept.filter(|kept| kept.datastore == *datastore && found.disk(&kept.path).is_ok());
    let not_found = || Fault::new(NotFound::default(), format!("The object or item '{id}' could not be found."));
    kept.cloned().ok_or_else(not_found)
}

fn list(world: &World, call: &Call) -> Outcome<Reply> {
    let datastore: Moref = call.arg("datastore")?;
    world.get::<Datastore>(&datastore)?;
    let disks = world.get::<DiskManager>(&call.target)?.disks.values();
    Ok(Reply::list(disks.filter(|kept| kept.datastore == datastore).map(|kept| kept.config.id.clone()).collect()))
}

fn retrieve(world: &World, call: &Call) -> Outcome<Reply> {
    asked(world, call).map(|kept| Reply::of(VStorageObject { config: kept.config }))
}

fn state(world: &World, call: &Call) -> Outcome<Reply> {
    asked(world, call)?;
    Ok(Reply::of(VStorageObjectStateInfo { tentative: Some(false) }))
}

fn rename(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (kept, name): (Kept, String) = (asked(world, call)?, call.arg("name")?);
    if name.trim().is_empty() {
        return Err(Fault::invalid_argument("name"));
    }
    if let Some(kept) = world.edit::<DiskManager>(&call.target)?.disks.get_mut(&kept.config.id.id) {
        kept.config.name = name;
    }
    Ok(Reply::NONE)
}

/// Starts a task about the disk of the call, which no powered-on machine may have.
pub(super) fn change(
    world: &mut World,
    call: &Call,
    time: Duration,
    change: impl FnOnce(&mut World, &Moref, Kept) -> Outcome<Any> + Send + 'static,
) -> Outcome<Reply> {
    let kept = asked(world, call)?;
    require(world, call, &kept.datastore, file_manager::MANAGE)?;
    let manager = call.target.clone();
    call.task().about(&kept.datastore.clone()).takes(time).start(world, move |world| {
        let kept = find(world, &manager, &kept.config.id.id, &kept.datastore)?;
        check_unlocked(world, &kept.datastore, &kept.path)?;
        change(world, &manager, kept)
    })
}

fn delete(world: &mut World, call: &Call) -> Outcome<Reply> {
    change(world, call, Duration::from_millis(500), |world, manager, kept| {
        if !kept.config.consumer_id.is_empty() {
            return Err(Fault::new(InvalidState::default(), "The disk is attached to a virtual machine."));
        }
        world.edit::<Datastore>(&kept.datastore)?.remove_disk(&kept.path)?;
        world.edit::<DiskManager>(manager)?.disks.remove(&kept.config.id.id);
        Ok(Any::Unset)
    })
}

fn extend(world: &mut World, call: &Call) -> Outcome<Reply> {
    let mb: i64 = call.arg("newCapacityInMB")?;
    let capacity = capacity(mb).ok_or_else(|| Fault::invalid_argument("newCapacityInMB"))?;
    change(world, call, Duration::from_millis(500), move |world, manager, kept| {
        let old = world.get::<Datastore>(&kept.datastore)?.disk(&kept.path)?.clone();
        if capacity <= old.capacity {
            return Err(Fault::invalid_argument("newCapacityInMB"));
        }
        rewrite(world, manager, &kept, Disk { capacity, ..old })
    })
}

fn inflate(world: &mut World, call: &Call) -> Outcome<Reply> {
    change(world, call, Duration::from_secs(2), |world, manager, kept| {
        let old = world.get::<Datastore>(&kept.datastore)?.disk(&kept.path)?.clone();
        rewrite(world, manager, &kept, Disk { format: Format::EagerZeroed, ..old })
    })
}

/// Writes what a disk is now, in its files and in its record.
fn rewrite(world: &mut World, manager: &Moref, kept: &Kept, disk: Disk) -> Outcome<Any> {
    world.edit::<Datastore>(&kept.datastore)?.rewrite(&kept.path, disk)?;
    let fresh = keep(world, &kept.datastore, &kept.path, &kept.config.id.id, &kept.config.name)?.config;
    if let Some(kept) = world.edit::<DiskManager>(manager)?.disks.get_mut(&kept.config.id.id) {
        kept.config.capacity_in_mb = fresh.capacity_in_mb;
        kept.config.backing = fresh.backing.clone();
    }
    Ok(Any::Unset)
}

fn clone(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: VslmCloneSpec = call.arg("spec")?;
    let (datastore, format) = backing(&spec.backing_spec)?;
    require(world, call, &datastore, file_manager::MANAGE)?;
    change(world, call, Duration::from_secs(2), move |world, manager, kept| {
        let source = world.get::<Datastore>(&kept.datastore)?;
        let original = source.disk(&kept.path)?;
        let disk = Disk::new(original.capacity, format);
        let extent = original.extent(&kept.path);
        let data = source.file(extent.as_deref().unwrap_or(&kept.path))?.clone();
        let id = uuid(fastrand::u128(..));
        let path = make_place(world, &datastore, spec.backing_spec.path.as_deref(), &id)?;
        let target = world.edit::<Datastore>(&datastore)?;
        target.put_disk(&path, disk.clone(), data.used)?;
        if let Some(extent) = disk.extent(&path) {
            let used = disk.takes(data.used);
            target.put_file(&extent, File { size: disk.capacity, used, ..data })?;
        }
        let mut kept = keep(world, &datastore, &path, &id, &spec.name)?;
        kept.config.keep_after_delete_vm = spec.keep_after_delete_vm;
        kept.config.metadata = spec.metadata;
        add(world, manager, kept)
    })
}

/// Forgets the disks whose files are gone.
fn reconcile(world: &mut World, call: &Call) -> Outcome<Reply> {
    let datastore: Moref = call.arg("datastore")?;
    let manager = call.target.clone();
    call.task().about(&datastore).takes(Duration::from_secs(1)).start(world, move |world| {
        let found = world.get::<Datastore>(&datastore)?;
        let disks = &world.get::<DiskManager>(&manager)?.disks;
        let gone = disks.iter().filter(|(_, kept)| kept.datastore == datastore && found.disk(&kept.path).is_err());
        let gone: Vec<String> = gone.map(|(id, _)| id.clone()).collect();
        let disks = &mut world.edit::<DiskManager>(&manager)?.disks;
        disks.retain(|id, _| !gone.contains(id));
        Ok(Any::Unset)
    })
}
