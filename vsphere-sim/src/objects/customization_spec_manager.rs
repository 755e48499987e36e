//! Customization specifications: how guests are made different after a clone, kept under names.

use vsphere_model::managed;
use vsphere_model::types::{
    AlreadyExists, ConcurrentAccess, CustomizationSpec, CustomizationSpecInfo, CustomizationSpecItem,
    CustomizationSysprep, InvalidName, NotFound,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("CustomizationSpecManager", "DoesCustomizationSpecExist", Handler::Read(exists)),
    ("CustomizationSpecManager", "GetCustomizationSpec", Handler::Read(get)),
    ("CustomizationSpecManager", "CreateCustomizationSpec", Handler::Write(create)),
    ("CustomizationSpecManager", "OverwriteCustomizationSpec", Handler::Write(overwrite)),
    ("CustomizationSpecManager", "DeleteCustomizationSpec", Handler::Write(delete)),
    ("CustomizationSpecManager", "DuplicateCustomizationSpec", Handler::Write(duplicate)),
    ("CustomizationSpecManager", "RenameCustomizationSpec", Handler::Write(rename)),
];

/// The managed object `CustomizationSpecManager`.
struct CustomizationSpecManager {
    /// Sorted by name.
    items: Vec<CustomizationSpecItem>,
}

impl Managed for CustomizationSpecManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::CustomizationSpecManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "info" => Prop::made_list(self.items.iter().map(|item| item.info.clone()).collect()),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    let manager = CustomizationSpecManager { items: Vec::new() };
    world.content.customization_spec_manager = Some(world.add_as("CustomizationSpecManager", manager));
}

/// Keeps a specification from the start on.
///
/// # Errors
/// `AlreadyExists`, `InvalidName`, and `ManagedObjectNotFound` on a host.
pub(crate) fn provide(world: &mut World, name: &str, description: &str, spec: CustomizationSpec) -> Outcome<()> {
    let type_ = if spec.identity.is::<CustomizationSysprep>() { "Windows" } else { "Linux" };
    let info = CustomizationSpecInfo {
        name: name.to_owned(),
        description: description.to_owned(),
        type_: type_.to_owned(),
        ..Default::default()
    };
    let item = CustomizationSpecItem { info: stamped(world, info, world.now().timestamp()), spec };
    let manager = world.content.customization_spec_manager.clone().unwrap_or_default();
    world.edit::<CustomizationSpecManager>(&manager)?.add(item)
}

impl CustomizationSpecManager {
    fn position(&self, name: &str) -> Outcome<usize> {
        let position = self.items.iter().position(|item| item.info.name == name);
        let missing = || Fault::new(NotFound::default(), format!("There is no customization specification '{name}'."));
        position.ok_or_else(missing)
    }

    /// Adds an item under a name that is free.
    fn add(&mut self, item: CustomizationSpecItem) -> Outcome<()> {
        let name = &item.info.name;
        if name.trim().is_empty() {
            let detail = InvalidName { name: name.clone(), ..Default::default() };
            return Err(Fault::new(detail, "A customization specification needs a name."));
        }
        if self.position(name).is_ok() {
            let detail = AlreadyExists { name: Some(name.clone()), ..Default::default() };
            return Err(Fault::new(detail, format!("The customization specification '{name}' already exists.")));
        }
        self.items.push(item);
        self.items.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        Ok(())
    }
}

fn edit<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut CustomizationSpecManager> {
    world.edit(&call.target)
}

/// The same information, as of now.
fn stamped(world: &World, info: CustomizationSpecInfo, version: i64) -> CustomizationSpecInfo {
    CustomizationSpecInfo { change_version: Some(version.to_string()), last_update_time: Some(world.now()), ..info }
}

fn version_of(item: &CustomizationSpecItem) -> i64 {
    item.info.change_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

fn exists(world: &World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("name")?;
    Ok(Reply::of(world.get::<CustomizationSpecManager>(&call.target)?.position(&name).is_ok()))
}

fn get(world: &World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("name")?;
    let manager = world.get::<CustomizationSpecManager>(&call.target)?;
    let position = manager.position(&name)?;
    Ok(manager.items.get(position).map_or(Reply::NONE, |item| Reply::of(item.clone())))
}

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let mut item: CustomizationSpecItem = call.arg("item")?;
    item.info = stamped(world, item.info, world.now().timestamp());
    edit(world, call)?.add(item)?;
    Ok(Reply::NONE)
}

fn overwrite(world: &mut World, call: &Call) -> Outcome<Reply> {
    let mut item: CustomizationSpecItem = call.arg("item")?;
    let manager = world.get::<CustomizationSpecManager>(&call.target)?;
    let position = manager.position(&item.info.name)?;
    let Some(before) = manager.items.get(position) else { return Ok(Reply::NONE) };
    if item.info.change_version.is_some() && item.info.change_version != before.info.change_version {
        let message = format!("The customization specification '{}' has changed since it was read.", item.info.name);
        return Err(Fault::new(ConcurrentAccess::default(), message));
    }
    item.info = stamped(world, item.info, version_of(before) + 1);
    if let Some(kept) = edit(world, call)?.items.get_mut(position) {
        *kept = item;
    }
    Ok(Reply::NONE)
}

fn delete(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("name")?;
    let manager = edit(world, call)?;
    manager.items.remove(manager.position(&name)?);
    Ok(Reply::NONE)
}

fn duplicate(world: &mut World, call: &Call) -> Outcome<Reply> {
    copy(world, call).map(|_| Reply::NONE)
}

fn rename(world: &mut World, call: &Call) -> Outcome<Reply> {
    let old = copy(world, call)?;
    let manager = edit(world, call)?;
    manager.items.remove(manager.position(&old)?);
    Ok(Reply::NONE)
}

/// Adds a copy under the call's new name; the old name.
fn copy(world: &mut World, call: &Call) -> Outcome<String> {
    let (name, new): (String, String) = (call.arg("name")?, call.arg("newName")?);
    let manager = world.get::<CustomizationSpecManager>(&call.target)?;
    let item = manager.items.get(manager.position(&name)?).cloned();
    if let Some(mut item) = item {
        item.info = stamped(world, CustomizationSpecInfo { name: new, ..item.info.clone() }, version_of(&item) + 1);
        edit(world, call)?.add(item)?;
    }
    Ok(name)
}
