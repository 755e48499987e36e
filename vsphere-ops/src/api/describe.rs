//! What a method takes and answers, what an object has, what a type is made of.

use serde::Serialize;
use vsphere_soap::object::{FieldInfo, ManagedInfo, Type, TypeInfo};
use vsphere_soap::request::Method;

use super::access::Access;
use super::arguments;
use super::search::Kind;
use crate::error::{Error, ErrorKind, Result};

/// The most types that extend a type, which are listed with it: there are a thousand events.
const MOST_EXTENDING: usize = 60;

/// A method, a managed object, a data object or an enumeration. Fields are written as `name: type`, `name?: type` where they may be
/// left out, `name?: type[]` where they repeat.
///
/// ```
/// let rename = vsphere_ops::api::describe("Rename_Task")?;
/// assert_eq!(rename.parameters.as_deref(), Some(&["newName: string".to_owned()][..]));
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Description {
    /// Its name on the wire.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The managed object that has the method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What a caller has to be allowed for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// Why it is a read, or is not offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The privilege that it takes on the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privilege: Option<String>,
    /// What it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Vec<String>>,
    /// What it answers; the end of a task has another result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Arguments that have all that is needed, to be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    /// What it extends, nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extends: Vec<String>,
    /// What extends it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extended_by: Vec<String>,
    /// How many more extend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub and_more: Option<usize>,
    /// Its properties, or its fields, inherited ones included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Its methods, inherited ones included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Its values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl Description {
    fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            owner: None,
            access: None,
            reason: None,
            privilege: None,
            parameters: None,
            result: None,
            example: None,
            extends: Vec::new(),
            extended_by: Vec::new(),
            and_more: None,
            fields: Vec::new(),
            methods: Vec::new(),
            values: Vec::new(),
        }
    }
}

/// Describes a method (`PowerOnVM_Task`, also `VirtualMachine.PowerOnVM_Task`), a managed object (`VirtualMachine`), a data
/// object (`VirtualDisk`) or an enumeration.
///
/// ```
/// let disk = vsphere_ops::api::describe("VirtualDisk")?;
/// assert!(disk.fields.contains(&"capacityInKB: long".to_owned()));
/// assert_eq!(disk.extends, ["VirtualDevice", "DynamicData"]);
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
///
/// # Errors
/// `not_found` if the API has nothing of this name.
pub fn describe(name: &str) -> Result<Description> {
    let registry = vsphere_model::registry();
    let name = name.trim();
    if let Some(method) = super::method(name) {
        return Ok(of_method(method));
    }
    if let Some(object) = registry.managed(name) {
        return Ok(of_object(object));
    }
    match registry.find(name) {
        Some(Type::Data(info)) => Ok(of_type(info)),
        Some(Type::Enum(info)) => {
            let values = info.values.iter().map(|value| (*value).to_owned()).collect();
            Ok(Description { values, ..Description::new(info.name, Kind::Enumeration) })
        }
        _ => Err(unknown("describe", name)),
    }
}

/// The error for a name that the API does not have.
pub(super) fn unknown(operation: &'static str, name: &str) -> Error {
    let text = "the API has no method, object or type of this name: search for a part of it";
    Error::new(operation, ErrorKind::NotFound(text.to_owned())).on(name)
}

fn of_method(method: &'static Method) -> Description {
    Description {
        owner: Some(method.owner.to_owned()),
        access: Some(Access::of(method)),
        reason: Access::reason(method).map(str::to_owned),
        privilege: method.privilege.map(str::to_owned),
        parameters: Some(method.params.iter().map(typed).collect()),
        result: method.result.as_ref().map(type_of),
        example: Some(arguments::example(method).to_string()),
        ..Description::new(method.name, Kind::Method)
    }
}

fn of_object(object: &'static ManagedInfo) -> Description {
    let registry = vsphere_model::registry();
    let extending =
        registry.managed_objects().iter().filter(|other| other.base.is_some_and(|base| base.name == object.name));
    let methods = registry.methods().iter().filter(|method| object.is_named(method.owner));
    Description {
        extends: object.lineage().skip(1).map(|base| base.name.to_owned()).collect(),
        extended_by: extending.map(|other| other.name.to_owned()).collect(),
        fields: object.properties().map(typed).collect(),
        methods: methods.map(|method| method.name.to_owned()).collect(),
        ..Description::new(object.name, Kind::Object)
    }
}

fn of_type(info: &'static TypeInfo) -> Description {
    let registry = vsphere_model::registry();
    let is_direct = |other: &&&TypeInfo| other.base().is_some_and(|base| std::ptr::eq(base, info));
    let mut extended_by: Vec<String> =
        registry.types().iter().filter(is_direct).map(|other| other.name().to_owned()).collect();
    let more = extended_by.len().saturating_sub(MOST_EXTENDING);
    extended_by.truncate(MOST_EXTENDING);
    Description {
        extends: info.lineage().skip(1).map(|base| base.name().to_owned()).collect(),
        extended_by,
        and_more: (more > 0).then_some(more),
        fields: info.fields().iter().map(typed).collect(),
        ..Description::new(info.name(), Kind::Type)
    }
}

/// A field as `name?: type[]`.
pub(super) fn typed(field: &FieldInfo) -> String {
    format!("{}{}: {}", field.name, if field.optional { "?" } else { "" }, type_of(field))
}

/// The type of a field, as `type[]` where it repeats.
pub(super) fn type_of(field: &FieldInfo) -> String {
    format!("{}{}", field.ty.name(), if field.array { "[]" } else { "" })
}
