//! Folders: the tree that everything else hangs in.

use vsphere_model::managed;
use vsphere_model::types::{DuplicateName, InvalidName};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::datacenter;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Entity, Look, Managed, Moref, Prop, World, escaped};

pub(crate) const METHODS: Methods = &[
    ("Folder", "CreateFolder", Handler::Write(create_folder)),
    ("Folder", "CreateDatacenter", Handler::Write(create_datacenter)),
];

/// The managed object `Folder`.
pub(crate) struct Folder {
    entity: Entity,
    pub(crate) child_types: Vec<String>,
    pub(crate) children: Vec<Moref>,
}

impl Managed for Folder {
    fn info(&self) -> &'static ManagedInfo {
        managed::Folder::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "childType" => Prop::list(&self.child_types),
            "childEntity" => Prop::list(&self.children),
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
    };
    world.content.root_folder = world.add("group-d", root);
}

/// Adds a folder for children of these types; see [`World::hang`]. `kind` is the letter in its id, which tells them:
/// `group-v3` is for virtual machines.
pub(crate) fn add(world: &mut World, name: &str, parent: &Moref, kind: char, child_types: &[&str]) -> Moref {
    let folder =
        Folder { entity: Entity::new(name, Some(parent)), child_types: types(child_types), children: Vec::new() };
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
        self.edit::<Folder>(folder)?.children.push(child.clone());
        self.edit_entity(child)?.parent = Some(folder.clone());
        Ok(())
    }

    /// The child of the folder that has this name.
    pub(crate) fn child_named(&self, folder: &Moref, name: &str) -> Option<Moref> {
        let name = escaped(name);
        let children = &self.get::<Folder>(folder).ok()?.children;
        children.iter().find(|child| self.entity(child).is_ok_and(|entity| entity.name == name)).cloned()
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
            Some(object) => {
                let message = format!("The name '{name}' already exists.");
                Err(Fault::new(DuplicateName { name: name.to_owned(), object, ..Default::default() }, message))
            }
            None => Ok(()),
        }
    }
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
    world.check_new_child(&call.target, &name, "Folder")?;
    let child_types = world.get::<Folder>(&call.target)?.child_types.clone();
    // The new folder is for what its parent is for, and so is the letter in its id.
    let kind = call.target.value.strip_prefix("group-").and_then(|rest| rest.chars().next()).unwrap_or('v');
    let child_types: Vec<&str> = child_types.iter().map(String::as_str).collect();
    let folder = add(world, &name, &call.target, kind, &child_types);
    world.hang(&folder, &call.target)?;
    Ok(Reply::of(folder))
}

fn create_datacenter(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("name")?;
    world.check_new_child(&call.target, &name, "Datacenter")?;
    datacenter::add(world, &name, &call.target).map(Reply::of)
}
