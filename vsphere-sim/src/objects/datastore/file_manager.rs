//! The file manager: moves, copies and deletes files and folders, within a datastore and between them.

use std::time::Duration;

use vsphere_model::managed;
use vsphere_model::types::{
    Any, CannotDeleteFile, DatastoreEventArgument, DatastoreFileCopiedEvent, DatastoreFileDeletedEvent,
    DatastoreFileEvent, DatastoreFileMovedEvent,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::files::File;
use super::{Datastore, require};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("FileManager", "MakeDirectory", Handler::Write(make_directory)),
    ("FileManager", "DeleteDatastoreFile_Task", Handler::Write(delete)),
    ("FileManager", "CopyDatastoreFile_Task", Handler::Write(copy)),
    ("FileManager", "MoveDatastoreFile_Task", Handler::Write(relocate)),
    ("FileManager", "ChangeOwner", Handler::Write(change_owner)),
];

/// The privilege that it takes to change files.
pub(super) const MANAGE: &str = "Datastore.FileManagement";

/// The managed object `FileManager`.
struct FileManager;

impl Managed for FileManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::FileManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

pub(super) fn install(world: &mut World) {
    world.content.file_manager = Some(world.add_as("FileManager", FileManager));
}

/// A file or folder, as a call names it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) datastore: Moref,
    pub(super) path: String,
}

/// The file or folder that two arguments of a call name, which the caller may change.
///
/// # Errors
/// As [`World::locate`], and `NoPermission`.
pub(super) fn place(world: &World, call: &Call, name: &str, datacenter: &str) -> Outcome<Place> {
    let text: String = call.arg(name)?;
    let within: Option<Moref> = call.opt(datacenter)?;
    let (datastore, path) = world.locate(&text, within.as_ref(), datacenter)?;
    require(world, call, &datastore, MANAGE)?;
    Ok(Place { datastore, path })
}

/// The source and the destination of a call, where the destination is in the source's datacenter if none is named.
///
/// # Errors
/// As [`place`].
pub(super) fn places(world: &World, call: &Call, source: [&str; 2], destination: [&str; 2]) -> Outcome<(Place, Place)> {
    let [name, datacenter] = source;
    let from = place(world, call, name, datacenter)?;
    let [name, own] = destination;
    let text: String = call.arg(name)?;
    let within: Option<Moref> = match call.opt(own)? {
        Some(given) => Some(given),
        None => call.opt(datacenter)?,
    };
    let (datastore, path) = world.locate(&text, within.as_ref(), own)?;
    require(world, call, &datastore, MANAGE)?;
    Ok((from, Place { datastore, path }))
}

fn make_directory(world: &mut World, call: &Call) -> Outcome<Reply> {
    let place = place(world, call, "name", "datacenter")?;
    let parents: Option<bool> = call.opt("createParentDirectories")?;
    let datastore = world.edit::<Datastore>(&place.datastore)?;
    datastore.check_top(&place.path)?;
    datastore.make_folder(&place.path, parents == Some(true))?;
    Ok(Reply::NONE)
}

fn change_owner(world: &mut World, call: &Call) -> Outcome<Reply> {
    let place = place(world, call, "name", "datacenter")?;
    let owner: String = call.arg("owner")?;
    if owner.trim().is_empty() {
        return Err(Fault::invalid_argument("owner"));
    }
    let datastore = world.edit::<Datastore>(&place.datastore)?;
    datastore.change_file(&place.path, |file| file.owner = Some(owner.into()))?;
    Ok(Reply::NONE)
}

fn delete(world: &mut World, call: &Call) -> Outcome<Reply> {
    let place = place(world, call, "name", "datacenter")?;
    let user = call.user(world);
    call.task().about(&place.datastore).takes(Duration::from_millis(500)).start(world, move |world| {
        check_unlocked(world, &place.datastore, &place.path)?;
        let datastore = world.edit::<Datastore>(&place.datastore)?;
        if place.path.is_empty() {
            let fault = CannotDeleteFile { base: datastore.about("") };
            return Err(Fault::new(fault, "The root folder of a datastore cannot be deleted."));
        }
        datastore.remove_tree(&place.path)?;
        let base = done(datastore.path(&place.path));
        let message = format!("File or directory {} deleted", base.target_file);
        world.post(&place.datastore, &user, DatastoreFileDeletedEvent { base }, message);
        Ok(Any::Unset)
    })
}

fn copy(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (from, to, force) = arguments(world, call)?;
    let time = duration(world, &from);
    let user = call.user(world);
    call.task().about(&from.datastore).takes(time).cancelable().start(world, move |world| {
        let tree = world.get::<Datastore>(&from.datastore)?.copy_tree(&from.path)?;
        // Onto itself, it is there already.
        if from == to {
            return Ok(Any::Unset);
        }
        match is_folder(world, &from)? && is_folder(world, &to)? {
            true => merge(world, &to, tree, force)?,
            false => put(world, &to, tree, force)?,
        }
        let event = DatastoreFileCopiedEvent {
            base: done(world.datastore_path(&to.datastore, &to.path)),
            source_datastore: argument(world, &from),
            source_file: world.datastore_path(&from.datastore, &from.path),
        };
        let message = format!("File or directory {} copied to {}", event.source_file, event.target_file);
        world.post(&to.datastore, &user, event, message);
        Ok(Any::Unset)
    })
}

fn relocate(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (from, to, force) = arguments(world, call)?;
    // Within a datastore, a name is written; between two, all bytes.
    let time = if from.datastore == to.datastore { Duration::from_millis(200) } else { duration(world, &from) };
    let user = call.user(world);
    call.task().about(&from.datastore).takes(time).start(world, move |world| {
        check_unlocked(world, &from.datastore, &from.path)?;
        world.get::<Datastore>(&from.datastore)?.file(&from.path)?;
        if from == to {
            return Ok(Any::Unset);
        }
        // A folder takes the place of nothing, and nothing takes the place of a folder.
        let force = force && !is_folder(world, &from)?;
        let tree = world.edit::<Datastore>(&from.datastore)?.take_tree(&from.path)?;
        if let Err(fault) = put(world, &to, tree.clone(), force) {
            // There was room for it before.
            world.edit::<Datastore>(&from.datastore)?.graft_tree(&from.path, tree)?;
            return Err(fault);
        }
        let event = DatastoreFileMovedEvent {
            base: done(world.datastore_path(&to.datastore, &to.path)),
            source_datastore: argument(world, &from),
            source_file: world.datastore_path(&from.datastore, &from.path),
        };
        let message = format!("File or directory {} moved to {}", event.source_file, event.target_file);
        world.post(&to.datastore, &user, event, message);
        Ok(Any::Unset)
    })
}

fn arguments(world: &World, call: &Call) -> Outcome<(Place, Place, bool)> {
    let source = ["sourceName", "sourceDatacenter"];
    let (from, to) = places(world, call, source, ["destinationName", "destinationDatacenter"])?;
    let force: Option<bool> = call.opt("force")?;
    Ok((from, to, force == Some(true)))
}

fn is_folder(world: &World, place: &Place) -> Outcome<bool> {
    Ok(world.get::<Datastore>(&place.datastore)?.files().is_folder(&place.path))
}

/// Puts the files of a folder into another that is there; with `force` in place of files that have the same path there.
/// As on a real server, what was copied before one that does not fit stays.
fn merge(world: &mut World, to: &Place, tree: Vec<(String, File)>, force: bool) -> Outcome<()> {
    for (below, file) in tree {
        let path = format!("{}{below}", to.path).trim_start_matches('/').to_owned();
        if file.is_folder() {
            let datastore = world.edit::<Datastore>(&to.datastore)?;
            if !datastore.files().is_folder(&path) {
                datastore.make_folder(&path, false)?;
            }
            continue;
        }
        put(world, &Place { datastore: to.datastore.clone(), path }, vec![(String::new(), file)], force)?;
    }
    Ok(())
}

/// Puts a tree of files somewhere; with `force` in place of the file that is there.
fn put(world: &mut World, to: &Place, tree: Vec<(String, File)>, force: bool) -> Outcome<()> {
    let datastore = world.get::<Datastore>(&to.datastore)?;
    datastore.check_top(&to.path)?;
    let there = datastore.find(&to.path).is_some_and(|there| !there.is_folder());
    if !(force && there) {
        return world.edit::<Datastore>(&to.datastore)?.graft_tree(&to.path, tree);
    }
    check_unlocked(world, &to.datastore, &to.path)?;
    let datastore = world.edit::<Datastore>(&to.datastore)?;
    let before = datastore.take_tree(&to.path)?;
    if let Err(fault) = datastore.graft_tree(&to.path, tree) {
        datastore.graft_tree(&to.path, before)?;
        return Err(fault);
    }
    Ok(())
}

/// Whether no powered-on machine has the file open, or a file below the folder.
///
/// # Errors
/// `FileLocked`, and `CannotDeleteFile` for a folder.
pub(super) fn check_unlocked(world: &World, datastore: &Moref, path: &str) -> Outcome<()> {
    let open = world.open_files(datastore);
    let datastore = world.get::<Datastore>(datastore)?;
    let below = if path.is_empty() { String::new() } else { format!("{path}/") };
    if open.iter().any(|file| file == path) {
        return Err(datastore.locked(path));
    }
    match open.iter().find(|file| file.starts_with(&below)) {
        Some(file) => {
            let fault = CannotDeleteFile { base: datastore.about(path) };
            let message = format!("Cannot delete file {}: {} is in use.", fault.file, datastore.path(file));
            Err(Fault::new(fault, message))
        }
        None => Ok(()),
    }
}

/// How long it takes to copy a file or a tree.
fn duration(world: &World, from: &Place) -> Duration {
    let tree = world.get::<Datastore>(&from.datastore).and_then(|datastore| datastore.copy_tree(&from.path));
    time_to_write(tree.unwrap_or_default().iter().map(|(_, file)| file.used).sum())
}

/// How long it takes a host to write so many bytes.
pub(super) fn time_to_write(bytes: i64) -> Duration {
    /// Bytes in a millisecond.
    const PACE: u64 = 500 << 10;
    Duration::from_millis(300 + u64::try_from(bytes).unwrap_or_default() / PACE)
}

/// What an event tells of a file that something was done with.
fn done(target_file: String) -> DatastoreFileEvent {
    DatastoreFileEvent { target_file, succeeded: Some(true), ..Default::default() }
}

fn argument(world: &World, place: &Place) -> DatastoreEventArgument {
    let mut argument = DatastoreEventArgument { datastore: place.datastore.clone(), ..Default::default() };
    argument.name = world.entity(&place.datastore).map(|entity| entity.name.clone()).unwrap_or_default();
    argument
}
