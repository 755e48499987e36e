//! What can be done with every managed entity: renaming, and moving from folder to folder.

use std::time::Duration;

use vsphere_model::types::{Any, DatacenterRenamedEvent, DatastoreRenamedEvent, InvalidFolder, VmRenamedEvent};

use super::datastore;
use super::folder::{Folder, check_name};
use super::resource_pool::ResourcePool;
use super::vm;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Moref, World, escaped};

pub(crate) const METHODS: Methods = &[
    ("ManagedEntity", "Rename_Task", Handler::Write(rename)),
    ("ManagedEntity", "Reload", Handler::Write(reload)),
    ("Folder", "MoveIntoFolder_Task", Handler::Write(move_into_folder)),
];

fn rename(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (entity, name) = (call.target.clone(), call.arg::<String>("newName")?);
    let user = call.user(world);
    check_rename(world, &entity, &name)?;
    call.task().alone_with(&entity).takes(Duration::from_millis(200)).start(world, move |world| {
        check_rename(world, &entity, &name)?;
        world.rename(&entity, &name, &user)?;
        Ok(Any::Unset)
    })
}

/// Whether the entity may have this name.
///
/// # Errors
/// `InvalidName`, `DuplicateName`, and `NotSupported` for a host, which is called as it is reached.
pub(crate) fn check_rename(world: &World, entity: &Moref, name: &str) -> Outcome<()> {
    if entity.type_ == "HostSystem" {
        return Err(Fault::not_supported("renaming of a host"));
    }
    check_name(name, Some(entity))?;
    let parent = world.entity(entity)?.parent.clone().ok_or_else(|| Fault::not_supported("renaming of the root"))?;
    let same = if world.get::<Folder>(&parent).is_ok() {
        world.child_named(&parent, name)
    } else if let Ok(pool) = world.get::<ResourcePool>(&parent) {
        let name = escaped(name);
        pool.pools.iter().find(|sibling| world.entity(sibling).is_ok_and(|found| found.name == name)).cloned()
    } else {
        None
    };
    match same.filter(|same| same != entity) {
        Some(same) => Err(super::folder::duplicate(name, &same)),
        None => Ok(()),
    }
}

impl World {
    /// Gives an entity another name, which must be free, and says so in an event.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub(crate) fn rename(&mut self, entity: &Moref, name: &str, user: &str) -> Outcome<()> {
        let old_name = std::mem::replace(&mut self.edit_entity(entity)?.name, escaped(name));
        let new_name = escaped(name);
        if old_name == new_name {
            return Ok(());
        }
        if let Some(parent) = self.entity(entity)?.parent.clone()
            && let Ok(folder) = self.edit::<Folder>(&parent)
        {
            folder.child_renamed(entity, &old_name, &new_name);
        }
        let message = format!("Renamed {} from {old_name} to {new_name}", entity.value);
        match entity.type_.as_str() {
            "VirtualMachine" => {
                self.edit::<vm::Vm>(entity)?.config.name.clone_from(&new_name);
                self.post(entity, user, VmRenamedEvent { old_name, new_name, ..Default::default() }, message);
            }
            "Datacenter" => {
                self.post(entity, user, DatacenterRenamedEvent { old_name, new_name, ..Default::default() }, message);
            }
            "Datastore" => {
                vm::datastore_renamed(self, entity, &old_name, &new_name)?;
                datastore::renamed(self, &old_name, &new_name)?;
                self.post(entity, user, DatastoreRenamedEvent { old_name, new_name, ..Default::default() }, message);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Everything is current already.
fn reload(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.touch(&call.target);
    Ok(Reply::NONE)
}

fn move_into_folder(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (folder, list): (Moref, Vec<Moref>) = (call.target.clone(), call.arg("list")?);
    for (child, object) in list.iter().flat_map(|child| [(child, child), (child, &folder)]) {
        let privilege = match child.type_.as_str() {
            "VirtualMachine" => "VirtualMachine.Inventory.Move",
            "Folder" => "Folder.Move",
            _ => continue,
        };
        if !world.may(object, call.session.as_deref(), privilege) {
            return Err(Fault::no_permission(object, privilege));
        }
    }
    check_move(world, &folder, &list)?;
    call.task().takes(Duration::from_millis(300)).start(world, move |world| {
        check_move(world, &folder, &list)?;
        for child in &list {
            world.unhang(child)?;
            world.hang(child, &folder)?;
        }
        Ok(Any::Unset)
    })
}

/// Whether the folder takes all of these.
fn check_move(world: &World, folder: &Moref, list: &[Moref]) -> Outcome<()> {
    let above = world.ancestors(folder);
    let datacenter = |of: &[Moref]| of.iter().find(|at| at.type_ == "Datacenter").cloned();
    for child in list {
        let entity = world.entity(child)?;
        if above.contains(child) {
            let fault = InvalidFolder { target: folder.clone(), ..Default::default() };
            return Err(Fault::new(fault, format!("'{}' can't be moved below itself.", entity.name)));
        }
        if entity.parent.as_ref().is_none_or(|parent| world.get::<Folder>(parent).is_err()) {
            return Err(Fault::invalid_argument("list"));
        }
        if child.type_ == "VirtualMachine" && datacenter(&world.ancestors(child)) != datacenter(&above) {
            return Err(Fault::invalid_argument("list"));
        }
        if entity.parent.as_ref() != Some(folder) {
            world.check_new_child(folder, &entity.name, &child.type_)?;
        }
    }
    Ok(())
}
