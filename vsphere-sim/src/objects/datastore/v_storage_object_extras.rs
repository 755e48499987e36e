//! Snapshots and tags of first class disks.

use std::time::Duration;

use vsphere_model::types::{
    Any, ID, NotFound, VStorageObjectSnapshotInfo, VStorageObjectSnapshotInfoVStorageObjectSnapshot, VslmTagEntry,
};

use super::v_storage_object_manager::{DiskManager, asked, change, find};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Moref, World, uuid};

pub(crate) const METHODS: Methods = &[
    ("VcenterVStorageObjectManager", "VStorageObjectCreateSnapshot_Task", Handler::Write(create_snapshot)),
    ("VcenterVStorageObjectManager", "DeleteSnapshot_Task", Handler::Write(delete_snapshot)),
    ("VcenterVStorageObjectManager", "RetrieveSnapshotInfo", Handler::Read(snapshots)),
    ("VcenterVStorageObjectManager", "AttachTagToVStorageObject", Handler::Write(attach)),
    ("VcenterVStorageObjectManager", "DetachTagFromVStorageObject", Handler::Write(detach)),
    ("VcenterVStorageObjectManager", "ListVStorageObjectsAttachedToTag", Handler::Read(tagged)),
    ("VcenterVStorageObjectManager", "ListTagsAttachedToVStorageObject", Handler::Read(tags)),
];

fn create_snapshot(world: &mut World, call: &Call) -> Outcome<Reply> {
    let description: String = call.arg("description")?;
    change(world, call, Duration::from_millis(500), move |world, manager, kept| {
        let id = ID { id: uuid(fastrand::u128(..)) };
        let snapshot = VStorageObjectSnapshotInfoVStorageObjectSnapshot {
            id: Some(Box::new(id.clone())),
            backing_object_id: Some(String::new()),
            create_time: world.now(),
            description,
        };
        if let Some(kept) = world.edit::<DiskManager>(manager)?.disks.get_mut(&kept.config.id.id) {
            kept.snapshots.push(snapshot);
        }
        Ok(Any::from(id))
    })
}

fn delete_snapshot(world: &mut World, call: &Call) -> Outcome<Reply> {
    let snapshot: ID = call.arg("snapshotId")?;
    change(world, call, Duration::from_millis(500), move |world, manager, kept| {
        let missing = || not_found(&snapshot.id);
        let kept = world.edit::<DiskManager>(manager)?.disks.get_mut(&kept.config.id.id).ok_or_else(missing)?;
        let is_it = |other: &VStorageObjectSnapshotInfoVStorageObjectSnapshot| {
            other.id.as_ref().is_some_and(|id| id.id == snapshot.id)
        };
        let at = kept.snapshots.iter().position(is_it).ok_or_else(missing)?;
        kept.snapshots.remove(at);
        Ok(Any::Unset)
    })
}

fn snapshots(world: &World, call: &Call) -> Outcome<Reply> {
    Ok(Reply::of(VStorageObjectSnapshotInfo { snapshots: asked(world, call)?.snapshots }))
}

fn not_found(what: &str) -> Fault {
    Fault::new(NotFound::default(), format!("The object or item '{what}' could not be found."))
}

/// A first class disk as tags know it: it is no managed object.
fn as_tagged(id: &str) -> Moref {
    Moref::new("VStorageObject", id)
}

/// The id of the tag that the call names with its category.
fn tag(world: &World, call: &Call) -> Outcome<String> {
    let (category, tag): (String, String) = (call.arg("category")?, call.arg("tag")?);
    let found = world.tagging.tags.iter().find(|(_, known)| {
        let of = world.tagging.categories.get(&known.category);
        known.name == tag && of.is_some_and(|of| of.name == category)
    });
    found.map(|(id, _)| id.clone()).ok_or_else(|| not_found(&format!("{category}:{tag}")))
}

/// The disk that the argument `id` names, on whatever datastore.
fn disk(world: &World, call: &Call) -> Outcome<String> {
    let id: ID = call.arg("id")?;
    let datastore = world.get::<DiskManager>(&call.target)?.disks.get(&id.id).map(|kept| kept.datastore.clone());
    let datastore = datastore.ok_or_else(|| not_found(&id.id))?;
    find(world, &call.target, &id.id, &datastore)?;
    Ok(id.id)
}

fn attach(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (disk, tag) = (disk(world, call)?, tag(world, call)?);
    // What is refused is the tag: it is for other objects, or the second of its category.
    world.tagging.attach(&tag, &as_tagged(&disk)).map_err(|_| Fault::invalid_argument("tag"))?;
    Ok(Reply::NONE)
}

fn detach(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (disk, tag) = (disk(world, call)?, tag(world, call)?);
    match world.tagging.detach(&tag, &as_tagged(&disk)) {
        Ok(true) => Ok(Reply::NONE),
        _ => Err(not_found(&tag)),
    }
}

fn tagged(world: &World, call: &Call) -> Outcome<Reply> {
    let tag = tag(world, call)?;
    let disks = world.get::<DiskManager>(&call.target)?.disks.keys();
    let has = |id: &&String| world.tagging.attached.get(*id).is_some_and(|tags| tags.contains(&tag));
    Ok(Reply::list(disks.filter(has).map(|id| ID { id: id.clone() }).collect()))
}

fn tags(world: &World, call: &Call) -> Outcome<Reply> {
    let disk = disk(world, call)?;
    let tagging = &world.tagging;
    let known = tagging.attached.get(&disk).into_iter().flatten().filter_map(|id| tagging.tags.get(id));
    let entries = known.filter_map(|tag| {
        let category = tagging.categories.get(&tag.category)?;
        Some(VslmTagEntry { tag_name: tag.name.clone(), parent_category_name: category.name.clone() })
    });
    Ok(Reply::list(entries.collect()))
}
