//! The manager of virtual disks that are files: descriptors and extents are made, moved, copied and deleted together.

use std::time::Duration;

use vsphere_model::managed;
use vsphere_model::types::{
    Any, FileBackedVirtualDiskSpec, HostDiskDimensionsChs, InvalidDiskFormat, NotImplemented, Poly, VirtualDiskSpec,
};
use vsphere_soap::object::{Element, FieldInfo, ManagedInfo, ManagedType as _, Type};
use vsphere_soap::request::{Effect, Method};

use super::disk::{Adapter, Disk, Format, parse_uuid};
use super::file_manager::{Place, check_unlocked, place, places, time_to_write};
use super::files::{Content, File};
use super::{Datastore, path};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::world::{Look, Managed, Moref, Prop, World};

/// The disks that a disk consists of. Servers answer it though no WSDL has it; govc shows disks by it.
pub(crate) static QUERY_DISK_INFO: Method = Method {
    name: "QueryVirtualDiskInfo_Task",
    owner: "VirtualDiskManager",
    params: &[
        FieldInfo::req("name", Type::String),
        FieldInfo::opt("datacenter", Type::Ref),
        FieldInfo::req("includeParents", Type::Boolean),
    ],
    result: Some(FieldInfo::req("returnval", Type::Ref)),
    privilege: Some("System.View"),
    effect: Effect::Changes,
};

pub(crate) const METHODS: Methods = &[
    ("VirtualDiskManager", "CreateVirtualDisk_Task", Handler::Write(create)),
    ("VirtualDiskManager", "DeleteVirtualDisk_Task", Handler::Write(delete)),
    ("VirtualDiskManager", "MoveVirtualDisk_Task", Handler::Write(relocate)),
    ("VirtualDiskManager", "CopyVirtualDisk_Task", Handler::Write(copy)),
    ("VirtualDiskManager", "ExtendVirtualDisk_Task", Handler::Write(extend)),
    ("VirtualDiskManager", "InflateVirtualDisk_Task", Handler::Write(inflate)),
    ("VirtualDiskManager", "EagerZeroVirtualDisk_Task", Handler::Write(eager_zero)),
    ("VirtualDiskManager", "ZeroFillVirtualDisk_Task", Handler::Write(zero_fill)),
    ("VirtualDiskManager", "ShrinkVirtualDisk_Task", Handler::Write(shrink)),
    ("VirtualDiskManager", "DefragmentVirtualDisk_Task", Handler::Write(shrink)),
    ("VirtualDiskManager", "QueryVirtualDiskUuid", Handler::Read(uuid)),
    ("VirtualDiskManager", "SetVirtualDiskUuid", Handler::Write(set_uuid)),
    ("VirtualDiskManager", "QueryVirtualDiskGeometry", Handler::Read(geometry)),
    ("VirtualDiskManager", "QueryVirtualDiskFragmentation", Handler::Read(fragmentation)),
    ("VirtualDiskManager", "QueryVirtualDiskInfo_Task", Handler::Write(disk_info)),
];

/// The managed object `VirtualDiskManager`.
struct VirtualDiskManager;

impl Managed for VirtualDiskManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::VirtualDiskManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

pub(super) fn install(world: &mut World) {
    world.content.virtual_disk_manager = Some(world.add_as("virtualDiskManager", VirtualDiskManager));
}

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let place = place(world, call, "name", "datacenter")?;
    let spec: Poly<VirtualDiskSpec> = call.arg("spec")?;
    let (format, adapter) = kind(&spec, "spec")?;
    let Some(spec) = spec.downcast_ref::<FileBackedVirtualDiskSpec>() else {
        return Err(Fault::not_supported("a disk that is mapped to a device"));
    };
    let capacity = bytes(spec.capacity_kb).ok_or_else(|| Fault::invalid_argument("spec.capacityKb"))?;
    let disk = Disk { adapter, ..Disk::new(capacity, format) };
    let time = time_to_write(if format == Format::EagerZeroed { capacity } else { 0 });
    call.task().about(&place.datastore).takes(time).cancelable().start(world, move |world| {
        let datastore = world.edit::<Datastore>(&place.datastore)?;
        datastore.check_top(&place.path)?;
        datastore.put_disk(&place.path, disk, 0)?;
        Ok(Any::from(datastore.path(&place.path)))
    })
}

/// The format and the adapter that a specification names.
fn kind(spec: &VirtualDiskSpec, argument: &str) -> Outcome<(Format, Adapter)> {
    let format = Format::parse(&spec.disk_type);
    let adapter = Adapter::parse(&spec.adapter_type);
    Ok((
        format.ok_or_else(|| Fault::invalid_argument(&format!("{argument}.diskType")))?,
        adapter.ok_or_else(|| Fault::invalid_argument(&format!("{argument}.adapterType")))?,
    ))
}

/// A capacity in bytes, from one in KB; `None` where no disk can have it.
fn bytes(kb: i64) -> Option<i64> {
    kb.checked_mul(1024).filter(|bytes| (1..=super::LARGEST).contains(bytes))
}

fn delete(world: &mut World, call: &Call) -> Outcome<Reply> {
    change(world, call, Duration::from_millis(300), |datastore, path| datastore.remove_disk(path))
}

/// Starts a task that changes the disk of the call, which no powered-on machine may have.
fn change(
    world: &mut World,
    call: &Call,
    time: Duration,
    change: impl FnOnce(&mut Datastore, &str) -> Outcome<()> + Send + 'static,
) -> Outcome<Reply> {
    let place = place(world, call, "name", "datacenter")?;
    call.task().about(&place.datastore).takes(time).cancelable().start(world, move |world| {
        world.get::<Datastore>(&place.datastore)?.disk(&place.path)?;
        check_unlocked(world, &place.datastore, &place.path)?;
        change(world.edit(&place.datastore)?, &place.path)?;
        Ok(Any::Unset)
    })
}

const SOURCE: [&str; 2] = ["sourceName", "sourceDatacenter"];
const DESTINATION: [&str; 2] = ["destName", "destDatacenter"];

fn relocate(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (from, to) = places(world, call, SOURCE, DESTINATION)?;
    let force = call.opt("force")? == Some(true);
    let written = world.get::<Datastore>(&from.datastore)?.written(&from.path);
    let time = time_to_write(if from.datastore == to.datastore { 0 } else { written });
    call.task().about(&from.datastore).takes(time).start(world, move |world| {
        check_unlocked(world, &from.datastore, &from.path)?;
        let source = world.get::<Datastore>(&from.datastore)?;
        let disk = source.disk(&from.path)?.clone();
        let files = Files::of(source, &from.path, &disk)?;
        if from == to {
            return Ok(Any::Unset);
        }
        world.edit::<Datastore>(&from.datastore)?.remove_disk(&from.path)?;
        if let Err(fault) = put(world, &to, &disk, files.clone(), force) {
            // There was room for it before.
            put(world, &from, &disk, files, false)?;
            return Err(fault);
        }
        Ok(Any::Unset)
    })
}

fn copy(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (from, to) = places(world, call, SOURCE, DESTINATION)?;
    let force = call.opt("force")? == Some(true);
    let spec: Option<Poly<VirtualDiskSpec>> = call.opt("destSpec")?;
    if spec.is_some() && world.settings.kind == ServerKind::VCenter {
        let message = "The requested operation is not implemented by the server: destSpec.";
        return Err(Fault::new(NotImplemented::default(), message));
    }
    let wanted = spec.map(|spec| kind(&spec, "destSpec")).transpose()?;
    let time = time_to_write(world.get::<Datastore>(&from.datastore)?.written(&from.path));
    call.task().about(&from.datastore).takes(time).cancelable().start(world, move |world| {
        check_unlocked(world, &from.datastore, &from.path)?;
        let source = world.get::<Datastore>(&from.datastore)?;
        let original = source.disk(&from.path)?;
        if from == to {
            return Ok(Any::Unset);
        }
        let mut files = Files::of(source, &from.path, original)?;
        let mut disk = Disk { uuid: Disk::new(0, Format::Thin).uuid, parent: None, ..original.clone() };
        // What is not a whole disk, or not one that a machine can use, becomes one.
        let as_it_is = match original.format {
            Format::Delta | Format::Stream => Format::Thin,
            format => format,
        };
        (disk.format, disk.adapter) = wanted.unwrap_or((as_it_is, original.adapter));
        if original.format == Format::Stream {
            files.data = File::made(disk.capacity).taking(files.data.used);
        }
        files.data.size = disk.capacity;
        files.data.used = disk.takes(files.data.used);
        put(world, &to, &disk, files, force)?;
        Ok(Any::Unset)
    })
}

/// The file or the two files of a disk.
#[derive(Clone)]
struct Files {
    /// The descriptor that somebody sent, where it is not ours.
    descriptor: Option<File>,
    data: File,
}

impl Files {
    fn of(datastore: &Datastore, path: &str, disk: &Disk) -> Outcome<Self> {
        let descriptor = datastore.file(path)?.clone();
        match disk.extent(path) {
            None => Ok(Self { descriptor: None, data: descriptor }),
            Some(extent) => Ok(Self { descriptor: Some(descriptor), data: datastore.file(&extent)?.clone() }),
        }
    }
}

/// Puts a disk somewhere with the data that it has; with `force` in place of what is there.
fn put(world: &mut World, to: &Place, disk: &Disk, files: Files, force: bool) -> Outcome<()> {
    if force && world.get::<Datastore>(&to.datastore)?.disk(&to.path).is_ok() {
        check_unlocked(world, &to.datastore, &to.path)?;
        world.edit::<Datastore>(&to.datastore)?.remove_disk(&to.path)?;
    }
    let datastore = world.edit::<Datastore>(&to.datastore)?;
    datastore.check_top(&to.path)?;
    if datastore.find(&to.path).is_some() {
        return Err(datastore.already_exists(&to.path));
    }
    let Some(extent) = disk.extent(&to.path) else {
        return datastore.put_file(&to.path, files.data);
    };
    datastore.put_file(&extent, files.data)?;
    let owner = files.descriptor.and_then(|descriptor| descriptor.owner);
    datastore.put_descriptor(&to.path, disk.clone())?;
    datastore.change_file(&to.path, |file| file.owner = owner)
}

fn extend(world: &mut World, call: &Call) -> Outcome<Reply> {
    let kb: i64 = call.arg("newCapacityKb")?;
    let eager = call.opt("eagerZero")? == Some(true);
    let capacity = bytes(kb).ok_or_else(|| Fault::invalid_argument("newCapacityKb"))?;
    change(world, call, Duration::from_millis(500), move |datastore, path| {
        let old = datastore.disk(path)?.clone();
        if capacity <= old.capacity {
            return Err(Fault::invalid_argument("newCapacityKb"));
        }
        let format = if eager { Format::EagerZeroed } else { old.format };
        datastore.rewrite(path, Disk { capacity, format, ..old })
    })
}

fn inflate(world: &mut World, call: &Call) -> Outcome<Reply> {
    change(world, call, Duration::from_secs(2), |datastore, path| {
        let old = datastore.disk(path)?.clone();
        match old.format {
            Format::Thin => datastore.rewrite(path, Disk { format: Format::EagerZeroed, ..old }),
            _ => Err(not_of_this_format(datastore, path)),
        }
    })
}

fn eager_zero(world: &mut World, call: &Call) -> Outcome<Reply> {
    change(world, call, Duration::from_secs(2), |datastore, path| {
        let old = datastore.disk(path)?.clone();
        match old.format {
            Format::LazyZeroed | Format::EagerZeroed => {
                datastore.rewrite(path, Disk { format: Format::EagerZeroed, ..old })
            }
            _ => Err(not_of_this_format(datastore, path)),
        }
    })
}

fn zero_fill(world: &mut World, call: &Call) -> Outcome<Reply> {
    change(world, call, Duration::from_secs(2), |datastore, path| {
        let old = datastore.disk(path)?.clone();
        let Some(extent) = old.extent(path) else { return Err(not_of_this_format(datastore, path)) };
        datastore.change_file(&extent, |data| data.content = Content::Made)?;
        let format = if old.format == Format::Thin { Format::Thin } else { Format::EagerZeroed };
        datastore.rewrite(path, Disk { format, ..old })
    })
}

/// The simulator's disks hold no blocks that could be given back or put in order.
fn shrink(world: &mut World, call: &Call) -> Outcome<Reply> {
    change(world, call, Duration::from_secs(1), |datastore, path| match datastore.disk(path)?.format {
        Format::Thin | Format::Stream => Ok(()),
        _ => Err(not_of_this_format(datastore, path)),
    })
}

fn not_of_this_format(datastore: &Datastore, path: &str) -> Fault {
    let message = format!("The disk format of {} does not allow the operation.", datastore.path(path));
    Fault::new(InvalidDiskFormat::default(), message)
}

impl Datastore {
    /// Writes what a disk is now: its descriptor, and the length and the space of its extent.
    ///
    /// # Errors
    /// `FileNotFound`, `NoDiskSpace`.
    pub(crate) fn rewrite(&mut self, path: &str, disk: Disk) -> Outcome<()> {
        let Some(extent) = disk.extent(path) else { return Err(not_of_this_format(self, path)) };
        let mut data = self.file(&extent)?.clone();
        data.size = disk.capacity;
        data.used = disk.takes(data.used);
        data.modified = chrono::Utc::now().timestamp();
        self.put_file(&extent, data)?;
        self.put_descriptor(path, disk)
    }
}

/// The disk that a call asks about.
fn asked<'w>(world: &'w World, call: &Call) -> Outcome<&'w Disk> {
    let place = place(world, call, "name", "datacenter")?;
    world.get::<Datastore>(&place.datastore)?.disk(&place.path)
}

fn uuid(world: &World, call: &Call) -> Outcome<Reply> {
    Ok(Reply::of(asked(world, call)?.uuid_bytes()))
}

fn set_uuid(world: &mut World, call: &Call) -> Outcome<Reply> {
    let place = place(world, call, "name", "datacenter")?;
    let text: String = call.arg("uuid")?;
    let uuid = parse_uuid(&text).ok_or_else(|| Fault::invalid_argument("uuid"))?;
    check_unlocked(world, &place.datastore, &place.path)?;
    let datastore = world.edit::<Datastore>(&place.datastore)?;
    let disk = Disk { uuid, ..datastore.disk(&place.path)?.clone() };
    datastore.put_descriptor(&place.path, disk)?;
    Ok(Reply::NONE)
}

fn geometry(world: &World, call: &Call) -> Outcome<Reply> {
    let (cylinder, head, sector) = asked(world, call)?.geometry();
    Ok(Reply::of(HostDiskDimensionsChs { cylinder, head, sector }))
}

/// In percent.
fn fragmentation(world: &World, call: &Call) -> Outcome<Reply> {
    asked(world, call)?;
    Ok(Reply::of(0_i32))
}

fn disk_info(world: &mut World, call: &Call) -> Outcome<Reply> {
    let place = place(world, call, "name", "datacenter")?;
    let parents: bool = call.arg("includeParents")?;
    call.task().about(&place.datastore).start(world, move |world| {
        let mut infos = Vec::new();
        let mut next = Some(place);
        while let Some(Place { datastore, path }) = next.take() {
            let found = world.get::<Datastore>(&datastore)?;
            let disk = found.disk(&path)?;
            let parent = disk.parent.as_deref();
            infos.push(info(&found.path(&path), disk.format.name(), parent));
            // A chain that leads to itself ends.
            if parents && infos.len() < LONGEST_CHAIN {
                next = parent.and_then(|parent| parent_of(world, &datastore, parent));
            }
        }
        let type_name = Some("ArrayOfVirtualDiskInfo".to_owned());
        Ok(Any::Unknown(Box::new(Element { type_name, children: infos, ..Element::default() })))
    })
}

/// How many disks a chain has at most.
const LONGEST_CHAIN: usize = 255;

/// Where the disk is that another in this datastore names as its parent.
fn parent_of(world: &World, datastore: &Moref, parent: &str) -> Option<Place> {
    let parsed = path::DatastorePath::parse(parent).ok()?;
    let (datacenter, _) = world.nearest::<crate::objects::datacenter::Datacenter>(datastore)?;
    let datastore = world.datastore_named(&datacenter, &parsed.datastore).ok()?;
    Some(Place { datastore, path: parsed.path })
}

/// A `VirtualDiskInfo`, which no WSDL has.
fn info(name: &str, kind: &str, parent: Option<&str>) -> Element {
    let leaf = |name: &str, text: &str| Element { name: name.to_owned(), text: text.to_owned(), ..Element::default() };
    let node = |name: &str, children| Element { name: name.to_owned(), children, ..Element::default() };
    let mut children = vec![node("unit", vec![leaf("name", name)]), leaf("diskType", kind)];
    children.extend(parent.map(|parent| leaf("parent", parent)));
    node("VirtualDiskInfo", children)
}
