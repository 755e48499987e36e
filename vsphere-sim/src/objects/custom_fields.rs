//! Custom attributes: fields that people give to entities, and the values in them.

use vsphere_model::managed;
use vsphere_model::types::{
    CustomFieldDef, CustomFieldDefAddedEvent, CustomFieldDefEvent, CustomFieldDefRemovedEvent,
    CustomFieldDefRenamedEvent, CustomFieldStringValue, CustomFieldValue, CustomFieldValueChangedEvent, DuplicateName,
    InvalidName, Poly, PrivilegePolicyDef,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("CustomFieldsManager", "AddCustomFieldDef", Handler::Write(add)),
    ("CustomFieldsManager", "RemoveCustomFieldDef", Handler::Write(remove)),
    ("CustomFieldsManager", "RenameCustomFieldDef", Handler::Write(rename)),
    ("CustomFieldsManager", "SetField", Handler::Write(set)),
    ("ExtensibleManagedObject", "setCustomValue", Handler::Write(set_by_name)),
];

/// The managed object `CustomFieldsManager`.
struct CustomFieldsManager {
    fields: Vec<CustomFieldDef>,
    last_key: i32,
}

impl Managed for CustomFieldsManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::CustomFieldsManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "field" => Prop::list(&self.fields),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    // Lower keys are the server's own.
    let manager = CustomFieldsManager { fields: Vec::new(), last_key: 100 };
    world.content.custom_fields_manager = Some(world.add_as("CustomFieldsManager", manager));
}

impl World {
    /// The custom attributes that an object can have.
    pub(crate) fn available_fields(&self, object: &Moref) -> Vec<CustomFieldDef> {
        let manager = self.content.custom_fields_manager.as_ref();
        let manager = manager.and_then(|manager| self.get::<CustomFieldsManager>(manager).ok());
        let fields = manager.map_or(&[][..], |manager| &manager.fields);
        fields.iter().filter(|field| is_for(field, object)).cloned().collect()
    }
}

fn is_for(field: &CustomFieldDef, object: &Moref) -> bool {
    let named = |type_: &str| vsphere_model::registry().managed(&object.type_).is_some_and(|info| info.is_named(type_));
    field.managed_object_type.as_deref().is_none_or(named)
}

fn fields<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut Vec<CustomFieldDef>> {
    Ok(&mut world.edit::<CustomFieldsManager>(&call.target)?.fields)
}

fn check_name(world: &World, call: &Call, name: &str) -> Outcome<()> {
    if name.trim().is_empty() {
        return Err(Fault::new(InvalidName { name: name.to_owned(), ..Default::default() }, "The name is empty."));
    }
    let fields = &world.get::<CustomFieldsManager>(&call.target)?.fields;
    if fields.iter().any(|field| field.name == name) {
        let detail = DuplicateName { name: name.to_owned(), object: call.target.clone(), ..Default::default() };
        return Err(Fault::new(detail, format!("The name '{name}' already exists.")));
    }
    Ok(())
}

fn add(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("name")?;
    let managed_object_type: Option<String> = call.opt("moType")?;
    let managed_object_type = managed_object_type.filter(|type_| !type_.is_empty());
    let known = |type_: &String| vsphere_model::registry().managed(type_).is_some();
    if !managed_object_type.as_ref().is_none_or(known) {
        return Err(Fault::invalid_argument("moType"));
    }
    check_name(world, call, &name)?;
    let policy = |change: &str| PrivilegePolicyDef {
        create_privilege: change.to_owned(),
        read_privilege: "System.View".to_owned(),
        update_privilege: change.to_owned(),
        delete_privilege: change.to_owned(),
    };
    let of_definition: Option<PrivilegePolicyDef> = call.opt("fieldDefPolicy")?;
    let of_value: Option<PrivilegePolicyDef> = call.opt("fieldPolicy")?;
    let manager = world.edit::<CustomFieldsManager>(&call.target)?;
    manager.last_key += 1;
    let field = CustomFieldDef {
        key: manager.last_key,
        name: name.clone(),
        type_: "string".to_owned(),
        managed_object_type,
        field_def_privileges: Some(Box::new(of_definition.unwrap_or_else(|| policy("Global.ManageCustomFields")))),
        field_instance_privileges: Some(Box::new(of_value.unwrap_or_else(|| policy("Global.SetCustomField")))),
    };
    manager.fields.push(field.clone());
    let event = CustomFieldDefAddedEvent { base: about(&field) };
    tell(world, call, event, format!("Created new custom field definition {name}"));
    Ok(Reply::of(field))
}

fn about(field: &CustomFieldDef) -> CustomFieldDefEvent {
    CustomFieldDefEvent { field_key: field.key, name: field.name.clone(), ..Default::default() }
}

fn tell<E: vsphere_soap::object::Extends<vsphere_model::types::Event>>(
    world: &mut World,
    call: &Call,
    event: E,
    message: String,
) {
    let (root, user) = (world.content.root_folder.clone(), call.user(world));
    world.post(&root, &user, event, message);
}

fn remove(world: &mut World, call: &Call) -> Outcome<Reply> {
    let key: i32 = call.arg("key")?;
    let fields = fields(world, call)?;
    let position = fields.iter().position(|field| field.key == key);
    let field = fields.remove(position.ok_or_else(|| Fault::invalid_argument("key"))?);
    let has = |at: &&Moref| world.entity(at).is_ok_and(|one| one.custom_values.iter().any(|value| value.key == key));
    for entity in world.references().filter(has).cloned().collect::<Vec<_>>() {
        world.edit_entity(&entity)?.custom_values.retain(|value| value.key != key);
    }
    let event = CustomFieldDefRemovedEvent { base: about(&field) };
    tell(world, call, event, format!("Removed field definition {}", field.name));
    Ok(Reply::NONE)
}

fn rename(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (key, name): (i32, String) = (call.arg("key")?, call.arg("name")?);
    check_name(world, call, &name)?;
    let field = fields(world, call)?.iter_mut().find(|field| field.key == key);
    let field = field.ok_or_else(|| Fault::invalid_argument("key"))?;
    let event = CustomFieldDefRenamedEvent { base: about(field), new_name: name.clone() };
    let message = format!("Renamed field definition from {} to {name}", field.name);
    field.name = name;
    tell(world, call, event, message);
    Ok(Reply::NONE)
}

fn set(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (entity, key): (Moref, i32) = (call.arg("entity")?, call.arg("key")?);
    let found = world.reference(&entity).cloned().ok_or_else(|| Fault::not_found(&entity))?;
    let field = world.available_fields(&found).into_iter().find(|field| field.key == key);
    put(world, call, &found, &field.ok_or_else(|| Fault::invalid_argument("key"))?)
}

fn set_by_name(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("key")?;
    let field = world.available_fields(&call.target).into_iter().find(|field| field.name == name);
    put(world, call, &call.target, &field.ok_or_else(|| Fault::invalid_argument("key"))?)
}

/// Puts the call's value into a field of an entity.
fn put(world: &mut World, call: &Call, entity: &Moref, field: &CustomFieldDef) -> Outcome<Reply> {
    let value: String = call.arg("value")?;
    let privilege = field.field_instance_privileges.as_ref().map(|policy| policy.update_privilege.clone());
    world.demand(call, entity, privilege.as_deref().unwrap_or("Global.SetCustomField"))?;
    let values = &mut world.edit_entity(entity)?.custom_values;
    let before = values.iter().position(|known| known.key == field.key).map(|position| values.remove(position));
    let prev_state =
        before.and_then(|before| before.downcast_ref::<CustomFieldStringValue>().map(|it| it.value.clone()));
    values.push(Poly::new(CustomFieldStringValue { base: CustomFieldValue { key: field.key }, value: value.clone() }));
    values.sort_by_key(|value| value.key);
    let user = call.user(world);
    let event = CustomFieldValueChangedEvent {
        entity: world.argument(entity),
        field_key: field.key,
        name: field.name.clone(),
        value: value.clone(),
        prev_state,
        ..Default::default()
    };
    let message = format!("Changed custom field {} on {} to {value}", field.name, event.entity.name);
    world.post(entity, &user, event, message);
    Ok(Reply::NONE)
}
