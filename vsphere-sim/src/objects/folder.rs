//! Folders: the tree that everything else hangs in.

use std::collections::HashMap;
use std::time::Duration;

use vsphere_model::managed;
use vsphere_model::types::{Any, DuplicateName, InvalidName, ResourceInUse};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::{datacenter, datastore, vm};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::world::{Entity, Look, Managed, Moref, Prop, World, escaped};

pub(crate) const METHODS: Methods = &[
    ("Folder", "CreateFolder", Handler::Write(create_folder)),
    ("Folder", "CreateDatacenter", Handler::Write(create_datacenter)),
    ("Folder", "CreateStoragePod", Handler::Write(create_storage_pod)),
    ("Folder", "Destroy_Task", Handler::Write(destroy)),
    ("Folder", "UnregisterAndDestroy_Task", Handler::Write(unregister_and_destroy)),
];

/// The managed objects `Folder` and `StoragePod`.
pub(crate) struct Folder {
    entity: Entity,
    pub(crate) child_types: Vec<String>,
    pub(crate) children: Vec<Moref>,
    /// The children by their names: thousands may be made in one folder.
    names: HashMap<String, Moref>,
}

impl Managed for Folder {
    fn info(&self) -> &'static ManagedInfo {
        if self.is_pod() { managed::StoragePod::INFO } else { managed::Folder::INFO }
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "childType" => Prop::list(&self.child_types),
            "childEntity" => Prop::list(&self.children),
            "summary" | "podStorageDrsEntry" if self.is_pod() => datastore::pod::read(self, look, property),
            _ => self.entity.read(look, property),
        }
    }

    fn entity(&self) -> Option<&Entity> {
        Some(&self.entity)
    }

    fn entity_mut(&mut self) -> Option<&mut Entity> {
        Some(&mut self.entity)
    }

    fn children(&self) -> Vec<Moref> {
        self.children.clone()
    }
}

pub(super) fn install(world: &mut World) {
    let root = Folder {
        entity: Entity::new("Datacenters", None),
        child_types: types(&["Folder", "Datacenter"]),
        children: Vec::new(),
        names: HashMap::new(),
    };
    world.content.root_folder = world.add("group-d", root);
}

/// Adds a folder for children of these types; see [`World::hang`]. `kind` is the letter in its id, which tells them:
/// `group-v3` is for virtual machines.
pub(crate) fn add(world: &mut World, name: &str, parent: &Moref, kind: char, child_types: &[&str]) -> Moref {
    let folder = Folder {
        entity: Entity::new(name, Some(parent)),
        child_types: types(child_types),
        children: Vec::new(),
        names: HashMap::new(),
    };
    world.add(&format!("group-{kind}"), folder)
}

fn types(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl World {
    /// Hangs an entity into a folder.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub(crate) fn hang(&mut self, child: &Moref, folder: &Moref) -> Outcome<()> {
        let name = self.entity(child)?.name.clone();
        let held = self.edit::<Folder>(folder)?;
        held.children.push(child.clone());
        held.names.insert(name, child.clone());
        self.edit_entity(child)?.parent = Some(folder.clone());
        Ok(())
    }

    /// Takes an entity out of its folder. It must be removed, or hung into another, next.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub(crate) fn unhang(&mut self, child: &Moref) -> Outcome<()> {
        let entity = self.entity(child)?;
        let (name, parent) = (entity.name.clone(), entity.parent.clone().unwrap_or_default());
        let folder = self.edit::<Folder>(&parent)?;
        folder.children.retain(|other| other != child);
        if folder.names.get(&name) == Some(child) {
            folder.names.remove(&name);
        }
        Ok(())
    }

    /// The child of the folder that has this name.
    pub(crate) fn child_named(&self, folder: &Moref, name: &str) -> Option<Moref> {
        let name = escaped(name);
        let child = self.get::<Folder>(folder).ok()?.names.get(&name)?;
        // Who removes a child without a word leaves its name behind.
        let entity = self.entity(child).ok()?;
        (entity.name == name && entity.parent.as_ref() == Some(folder)).then(|| child.clone())
    }

    /// Whether a new child of the folder may have this name and this type.
    ///
    /// # Errors
    /// `InvalidName`, `DuplicateName`, and `NotSupported` where the folder is for other types.
    pub(crate) fn check_new_child(&self, folder: &Moref, name: &str, type_: &str) -> Outcome<()> {
        check_name(name, Some(folder))?;
        if !self.get::<Folder>(folder)?.child_types.iter().any(|child| child == type_) {
            return Err(Fault::not_supported(&format!("a {type_} in this folder")));
        }
        match self.child_named(folder, name) {
            Some(object) => Err(duplicate(name, &object)),
            None => Ok(()),
        }
    }
}

impl Folder {
    /// Whether it is a datastore cluster: these are for datastores alone.
    fn is_pod(&self) -> bool {
        self.child_types == ["Datastore"]
    }

    /// Keeps the index of names.
    pub(super) fn child_renamed(&mut self, child: &Moref, old: &str, new: &str) {
        if self.names.get(old) == Some(child) {
            self.names.remove(old);
        }
        self.names.insert(new.to_owned(), child.clone());
    }
}

/// Another object has the name.
pub(crate) fn duplicate(name: &str, object: &Moref) -> Fault {
    let fault = DuplicateName { name: name.to_owned(), object: object.clone(), ..Default::default() };
    Fault::new(fault, format!("The name '{name}' already exists."))
}

/// Whether this may be the name of an entity: not empty, and at most 80 characters.
///
/// # Errors
/// `InvalidName`.
pub(crate) fn check_name(name: &str, entity: Option<&Moref>) -> Outcome<()> {
    if name.trim().is_empty() || name.chars().count() > 80 {
        let fault = InvalidName { name: name.to_owned(), entity: entity.cloned(), ..Default::default() };
        return Err(Fault::new(fault, format!("The name '{name}' is not valid.")));
    }
    Ok(())
}

fn create_folder(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("name")?;
    add_below(world, &name, &call.target).map(Reply::of)
}

/// Makes a folder in another one.
///
/// # Errors
/// Those of [`World::check_new_child`].
pub(crate) fn add_below(world: &mut World, name: &str, parent: &Moref) -> Outcome<Moref> {
    world.check_new_child(parent, name, "Folder")?;
    let child_types = world.get::<Folder>(parent)?.child_types.clone();
    // The new folder is for what its parent is for, and so is the letter in its id.
    let kind = parent.value.strip_prefix("group-").and_then(|rest| rest.chars().next()).unwrap_or('v');
    let child_types: Vec<&str> = child_types.iter().map(String::as_str).collect();
    let folder = add(world, name, parent, kind, &child_types);
    world.hang(&folder, parent)?;
    Ok(folder)
}

fn create_storage_pod(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("name")?;
    add_pod(world, &name, &call.target).map(Reply::of)
}

/// Makes a datastore cluster in a folder.
///
/// # Errors
/// Those of [`World::check_new_child`].
pub(crate) fn add_pod(world: &mut World, name: &str, parent: &Moref) -> Outcome<Moref> {
    world.check_new_child(parent, name, "StoragePod")?;
    let pod = add(world, name, parent, 'p', &["Datastore"]);
    world.hang(&pod, parent)?;
    Ok(pod)
}

fn create_datacenter(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("name")?;
    if world.settings.kind == ServerKind::Esxi {
        return Err(Fault::not_supported("a datacenter of a host"));
    }
    world.check_new_child(&call.target, &name, "Datacenter")?;
    datacenter::add(world, &name, &call.target).map(Reply::of)
}

/// Destroys all below the folder one by one, and stops at the first that can't go: what went before is lost all the same.
fn destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    let folder = call.target.clone();
    check_end(world, &folder)?;
    end(world, call, vm::destroy)
}

/// Unregisters the machines, for which all of them must be off; there are none in folders of other kinds.
fn unregister_and_destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    let folder = call.target.clone();
    check_end(world, &folder)?;
    if !world.get::<Folder>(&folder)?.child_types.iter().any(|child| child == "VirtualMachine") {
        return Err(Fault::not_supported("UnregisterAndDestroy_Task on a folder that is not for virtual machines"));
    }
    check_machines(world, &folder)?;
    end(world, call, vm::unregister)
}

/// Removes the folder with all below it. `remove` is what becomes of the machines.
fn end(world: &mut World, call: &Call, remove: fn(&mut World, &Moref, &str) -> Outcome<()>) -> Outcome<Reply> {
    let (folder, user) = (call.target.clone(), call.user(world));
    call.task().alone_with(&folder).takes(Duration::from_millis(500)).start(world, move |world| {
        check_end(world, &folder)?;
        remove_below(world, &folder, remove, &user)?;
        Ok(Any::Unset)
    })
}

fn remove_below(
    world: &mut World,
    folder: &Moref,
    remove: fn(&mut World, &Moref, &str) -> Outcome<()>,
    user: &str,
) -> Outcome<()> {
    for child in world.get::<Folder>(folder)?.children.clone() {
        if child.type_ == "VirtualMachine" {
            vm::check_removal(world, &child)?;
            remove(world, &child, user)?;
        } else {
            remove_below(world, &child, remove, user)?;
        }
    }
    world.unhang(folder)?;
    world.remove(folder);
    Ok(())
}

/// Whether the folder can be removed with all below it: it is not one of those that every datacenter has, and what is no
/// machine in it can be removed only by itself.
fn check_end(world: &World, folder: &Moref) -> Outcome<()> {
    let entity = world.entity(folder)?;
    if entity.parent.as_ref().is_none_or(|parent| parent.type_ != "Folder") {
        return Err(Fault::not_supported("removal of a folder that is always there"));
    }
    for child in &world.get::<Folder>(folder)?.children {
        match child.type_.as_str() {
            "VirtualMachine" => {}
            "Folder" => check_end(world, child)?,
            _ => return Err(in_use(world, folder)),
        }
    }
    Ok(())
}

/// Whether all machines below the folder are off.
fn check_machines(world: &World, folder: &Moref) -> Outcome<()> {
    for child in &world.get::<Folder>(folder)?.children {
        match child.type_.as_str() {
            "VirtualMachine" => vm::check_removal(world, child)?,
            _ => check_machines(world, child)?,
        }
    }
    Ok(())
}

/// The object can't go while something is in it.
pub(super) fn in_use(world: &World, object: &Moref) -> Fault {
    let name = world.name_of(object);
    let message = format!("The resource '{name}' is in use.");
    let fault = ResourceInUse { type_: Some(object.type_.clone()), name: Some(name), ..Default::default() };
    Fault::new(fault, message)
}
