//! Virtual disks of a machine: their files, their sizes, what is behind them.

use vsphere_model::types::{
    Poly, SharesInfo, SharesLevel, StorageIOAllocationInfo, VirtualBusLogicController, VirtualDevice,
    VirtualDeviceConfigSpec, VirtualDeviceConfigSpecFileOperation, VirtualDisk, VirtualDiskFlatVer2BackingInfo,
    VirtualDiskRawDiskMappingVer1BackingInfo,
};

use super::super::config::only_when_off;
use super::super::draft::{Draft, FileChange};
use super::super::files::Place;
use super::apply::At;
use super::kind::Kind;
use crate::fault::{Fault, Outcome};
use crate::objects::datastore::Datastore;
use crate::objects::datastore::disk::{Adapter, Disk, Format};
use crate::world::World;

/// The largest disk that there may be, in bytes.
const LARGEST: i64 = 62 << 40;

const MODES: [&str; 6] =
    ["persistent", "nonpersistent", "undoable", "independent_persistent", "independent_nonpersistent", "append"];

/// A new disk: its file is made, or is one that is there.
pub(super) fn add(
    world: &World,
    draft: &mut Draft,
    device: &mut Poly<VirtualDevice>,
    change: &VirtualDeviceConfigSpec,
    at: At<'_>,
) -> Outcome<()> {
    let adapter = adapter(draft, device);
    let Some(disk) = device.downcast_mut::<VirtualDisk>() else { return Err(at.invalid("key")) };
    let asked = match disk.capacity_in_bytes {
        Some(bytes) if bytes > 0 => bytes,
        _ => disk.capacity_in_kb.saturating_mul(1024),
    };
    let backing = disk.backing.as_mut().ok_or_else(|| at.invalid_backing())?;
    if backing.is::<VirtualDiskRawDiskMappingVer1BackingInfo>() {
        return Err(Fault::not_supported("raw device mappings"));
    }
    let flat = backing.downcast_mut::<VirtualDiskFlatVer2BackingInfo>().ok_or_else(|| at.invalid_backing())?;
    check_mode(flat, at)?;
    let (place, file) = match change.file_operation {
        None => existing(world, draft, flat, at)?,
        Some(VirtualDeviceConfigSpecFileOperation::Create | VirtualDeviceConfigSpecFileOperation::Replace) => {
            let place = new_place(world, draft, flat, at)?;
            if draft.has_file(world, &place) {
                if change.file_operation == Some(VirtualDeviceConfigSpecFileOperation::Create) {
                    return Err(world.get::<Datastore>(&place.datastore)?.already_exists(&place.path));
                }
                draft.files.push(FileChange::Clear(place.clone()));
            }
            let file = match &flat.parent {
                Some(parent) => {
                    let parent = world.place_among(&draft.datastores, &parent.file_name)?;
                    draft.disk(world, &parent)?.delta(&world.place_text(&parent))
                }
                None if (1..=LARGEST).contains(&asked) => Disk { adapter, ..Disk::new(asked, format(flat)) },
                None => return Err(at.invalid("capacityInKB")),
            };
            draft.files.push(FileChange::Disk(place.clone(), file.clone(), 0));
            (place, file)
        }
        Some(_) => return Err(at.invalid_operation(change)),
    };
    flat.datastore = Some(place.datastore.clone());
    flat.file_name = world.place_text(&place);
    fill_backing(flat, &file);
    fill(disk, file.capacity);
    Ok(())
}

/// What a server says of a disk with this file, beside its place.
pub(in super::super) fn fill_backing(flat: &mut VirtualDiskFlatVer2BackingInfo, file: &Disk) {
    flat.uuid = Some(file.uuid());
    flat.content_id = Some(format!("{:032x}", fastrand::u128(..)));
    flat.thin_provisioned = Some(matches!(file.format, Format::Thin | Format::Delta));
    flat.eagerly_scrub = Some(file.format == Format::EagerZeroed);
    flat.split = Some(false);
    flat.write_through = Some(flat.write_through.unwrap_or(false));
    flat.digest_enabled = Some(false);
    flat.sharing.get_or_insert_with(|| "sharingNone".to_owned());
    if file.format == Format::Delta {
        flat.delta_disk_format = Some("seSparseFormat".to_owned());
    }
}

fn fill(disk: &mut VirtualDisk, capacity: i64) {
    disk.capacity_in_kb = capacity / 1024;
    disk.capacity_in_bytes = Some(capacity);
    let normal = || Some(Box::new(SharesInfo { shares: 1000, level: SharesLevel::Normal }));
    if disk.shares.is_none() {
        disk.shares = normal();
    }
    disk.storage_io_allocation.get_or_insert_with(|| {
        Box::new(StorageIOAllocationInfo { limit: Some(-1), shares: normal(), reservation: Some(0) })
    });
    disk.native_unmanaged_linked_clone = Some(false);
}

fn format(flat: &VirtualDiskFlatVer2BackingInfo) -> Format {
    match (flat.thin_provisioned, flat.eagerly_scrub) {
        (Some(true), _) => Format::Thin,
        (_, Some(true)) => Format::EagerZeroed,
        _ => Format::LazyZeroed,
    }
}

fn check_mode(flat: &mut VirtualDiskFlatVer2BackingInfo, at: At<'_>) -> Outcome<()> {
    if flat.disk_mode.is_empty() {
        flat.disk_mode = "persistent".to_owned();
    }
    if MODES.contains(&flat.disk_mode.as_str()) { Ok(()) } else { Err(at.invalid("backing.diskMode")) }
}

fn adapter(draft: &Draft, device: &VirtualDevice) -> Adapter {
    let controller = draft.config.hardware.device.iter().find(|other| Some(other.key) == device.controller_key);
    match controller {
        Some(controller) if controller.is::<VirtualBusLogicController>() => Adapter::BusLogic,
        Some(controller) if Kind::of(controller) == Kind::Ide => Adapter::Ide,
        _ => Adapter::LsiLogic,
    }
}

/// A disk whose file is there already.
fn existing(world: &World, draft: &Draft, flat: &VirtualDiskFlatVer2BackingInfo, at: At<'_>) -> Outcome<(Place, Disk)> {
    if flat.file_name.is_empty() {
        return Err(at.invalid_backing());
    }
    let place = world.place_among(&draft.datastores, &flat.file_name)?;
    let text = world.place_text(&place);
    let mut used = draft.config.hardware.device.iter().filter_map(|device| super::file_of(device));
    if used.any(|file| file.file_name == text) {
        return Err(at.invalid_backing());
    }
    let disk = draft.disk(world, &place)?;
    Ok((place, disk))
}

/// Where the file of a new disk goes: where the client says, or beside the machine's other files.
fn new_place(world: &World, draft: &mut Draft, flat: &VirtualDiskFlatVer2BackingInfo, at: At<'_>) -> Outcome<Place> {
    let asked = if flat.file_name.is_empty() {
        let datastore = flat.datastore.clone().unwrap_or_else(|| draft.vmx.datastore.clone());
        if !draft.datastores.contains(&datastore) {
            return Err(at.invalid_backing());
        }
        Place { datastore, path: String::new() }
    } else {
        world.place_among(&draft.datastores, &flat.file_name)?
    };
    if !asked.path.is_empty() {
        return if asked.path.ends_with(".vmdk") { Ok(asked) } else { Err(at.invalid_backing()) };
    }
    let folder = draft.vmx.folder().to_owned();
    if asked.datastore != draft.vmx.datastore {
        draft.files.push(FileChange::Folder(Place { datastore: asked.datastore.clone(), path: folder.clone() }));
    }
    Ok(free_disk_name(world, draft, &Place { datastore: asked.datastore, path: format!("{folder}/") }))
}

/// The first name for a disk of this machine that is free in a folder: `web-1.vmdk`, `web-1_1.vmdk`…
pub(in super::super) fn free_disk_name(world: &World, draft: &Draft, folder: &Place) -> Place {
    let stem = draft.vmx.stem();
    let first = folder.beside(&format!("{stem}.vmdk"));
    if !draft.has_file(world, &first) {
        return first;
    }
    let others = (1_u32..=9999).map(|number| folder.beside(&format!("{stem}_{number}.vmdk")));
    others.into_iter().find(|place| !draft.has_file(world, place)).unwrap_or(first)
}

/// A change of a disk: its size, its mode, its shares.
pub(super) fn edit(
    world: &World,
    draft: &mut Draft,
    device: &mut Poly<VirtualDevice>,
    old: &Poly<VirtualDevice>,
    change: &VirtualDeviceConfigSpec,
    at: At<'_>,
) -> Outcome<()> {
    let (Some(disk), Some(old)) = (device.downcast_mut::<VirtualDisk>(), old.downcast_ref::<VirtualDisk>()) else {
        return Err(at.invalid("key"));
    };
    if change.file_operation.is_some() {
        return Err(at.invalid_operation(change));
    }
    let old_flat = old.backing.as_ref().and_then(|backing| backing.downcast_ref::<VirtualDiskFlatVer2BackingInfo>());
    let new_flat = disk.backing.as_mut().and_then(|backing| backing.downcast_mut::<VirtualDiskFlatVer2BackingInfo>());
    let (Some(flat), Some(old_flat)) = (new_flat, old_flat) else { return Err(at.invalid_backing()) };
    check_mode(flat, at)?;
    if flat.disk_mode != old_flat.disk_mode {
        only_when_off(draft.running)?;
    }
    let (mode, sharing) = (flat.disk_mode.clone(), flat.sharing.clone().or_else(|| old_flat.sharing.clone()));
    let moved = !flat.file_name.is_empty() && flat.file_name != old_flat.file_name;
    let old_bytes = old.capacity_in_bytes.unwrap_or(old.capacity_in_kb * 1024);
    if moved {
        // Another file takes its place; nothing becomes of the old one.
        only_when_off(draft.running)?;
        let (place, file) = existing(world, draft, flat, at)?;
        flat.datastore = Some(place.datastore.clone());
        flat.file_name = world.place_text(&place);
        fill_backing(flat, &file);
        fill(disk, file.capacity);
        return Ok(());
    }
    *flat = VirtualDiskFlatVer2BackingInfo { disk_mode: mode, sharing, ..old_flat.clone() };
    let is_child = old_flat.parent.is_some();
    let bytes = match disk.capacity_in_bytes {
        Some(bytes) if bytes != old_bytes && bytes > 0 => bytes,
        _ if disk.capacity_in_kb > 0 && disk.capacity_in_kb != old.capacity_in_kb => {
            disk.capacity_in_kb.saturating_mul(1024)
        }
        _ => old_bytes,
    };
    if bytes != old_bytes {
        // A disk never shrinks, and one that keeps the differences to another is as large as that.
        if bytes < old_bytes || is_child || draft.has_snapshots || bytes > LARGEST {
            return Err(at.invalid_operation(change));
        }
        let on_ide = old.controller_key.is_some_and(|key| (200..=201).contains(&key));
        only_when_off(draft.running && on_ide)?;
        let place = world.place_among(&draft.datastores, &old_flat.file_name)?;
        draft.files.push(FileChange::Grow(place, bytes));
    }
    if disk.shares.is_none() {
        disk.shares.clone_from(&old.shares);
    }
    if disk.storage_io_allocation.is_none() {
        disk.storage_io_allocation.clone_from(&old.storage_io_allocation);
    }
    disk.v_disk_id.clone_from(&old.v_disk_id);
    disk.disk_object_id.clone_from(&old.disk_object_id);
    fill(disk, bytes);
    Ok(())
}

/// The places of a disk's descriptors: its own, and those that it keeps the differences to.
pub(in super::super) fn chain(flat: &VirtualDiskFlatVer2BackingInfo) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(flat), |flat| flat.parent.as_deref()).map(|flat| flat.file_name.as_str())
}
