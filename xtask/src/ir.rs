//! The intermediate form: what the WSDL and its companions say of an API, free of XML.
//!
//! Names are the wire's own; turning them into Rust is the emitters' work.

mod lineage;

use self::lineage::Lineage;

/// A whole API version.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Api {
    /// The version in the binding's `soapAction` (`urn:vim25/9.1.1.0`), where the WSDL names one.
    pub version: Option<String>,
    /// The public versions up to this one, oldest first (from the companions; may be empty).
    pub versions: Vec<String>,
    /// Data types without `ArrayOf…` and `…RequestType`, in the order of the schema.
    pub types: Vec<DataType>,
    /// Enums, in the order of the schema.
    pub enums: Vec<EnumType>,
    /// Managed objects, sorted by name (from the companions).
    pub managed: Vec<ManagedObject>,
    /// Operations that no companion assigns to a managed object, sorted by name.
    pub loose: Vec<Method>,
    /// What could not be known because a companion is missing or silent: one sentence each, for people.
    pub costs: Vec<String>,
    /// Who descends from whom, found at the first question: ask when the types are complete.
    pub lineage: Lineage,
}

/// A data type (`complexType`).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DataType {
    pub name: String,
    /// The type that it extends; `None` for roots such as `DynamicData` and `MethodFault`.
    pub base: Option<String>,
    /// The API version that brought it.
    pub since: Option<String>,
    /// Its own fields, without the inherited ones.
    pub fields: Vec<Field>,
}

/// A field of a data type, a parameter or a result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub name: String,
    pub ty: Ty,
    /// `minOccurs="0"`.
    pub optional: bool,
    /// `maxOccurs="unbounded"`.
    pub array: bool,
    /// The version that brought it, where it is younger than its owner.
    pub since: Option<String>,
    /// The managed object type (`ref`) or linked type (`link`) that its value names.
    pub target: Option<String>,
    /// The fault type that a `LocalizedMethodFault` carries.
    pub fault: Option<String>,
    /// A secret: never shown in logs.
    pub secret: bool,
    /// The privilege that a parameter or a property needs.
    pub privilege: Option<String>,
}

impl Field {
    /// A required single value of which only the schema speaks.
    pub(crate) fn new(name: &str, ty: Ty) -> Field {
        Field {
            name: name.to_owned(),
            ty,
            optional: false,
            array: false,
            since: None,
            target: None,
            fault: None,
            secret: false,
            privilege: None,
        }
    }

    /// The same field, optional or not.
    pub(crate) fn optional(self, optional: bool) -> Field {
        Field { optional, ..self }
    }

    /// The same field, repeated or not.
    pub(crate) fn array(self, array: bool) -> Field {
        Field { array, ..self }
    }
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Ty {
    Boolean,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    String,
    Uri,
    DateTime,
    Binary,
    /// `xsd:anyType`.
    Any,
    /// `ManagedObjectReference`.
    Ref,
    /// An enum of the API, by name.
    Enum(String),
    /// A data type of the API, by name.
    Data(String),
}

impl Ty {
    /// The type of this name in XML Schema, where the API uses it.
    pub(crate) fn builtin(name: &str) -> Option<Ty> {
        Some(match name {
            "boolean" => Ty::Boolean,
            "byte" => Ty::Byte,
            "short" => Ty::Short,
            "int" => Ty::Int,
            "long" => Ty::Long,
            "float" => Ty::Float,
            "double" => Ty::Double,
            "string" => Ty::String,
            "anyURI" => Ty::Uri,
            "dateTime" => Ty::DateTime,
            "base64Binary" => Ty::Binary,
            "anyType" => Ty::Any,
            _ => return None,
        })
    }
}

/// An enum (`simpleType` with enumeration).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EnumType {
    pub name: String,
    pub since: Option<String>,
    pub values: Vec<String>,
}

/// A managed object type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ManagedObject {
    pub name: String,
    pub base: Option<String>,
    pub since: Option<String>,
    /// Its own properties, without the inherited ones.
    pub properties: Vec<Field>,
    /// Its own methods.
    pub methods: Vec<Method>,
}

/// A method (operation).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Method {
    /// The operation's name on the wire (`PowerOnVM_Task`).
    pub name: String,
    /// The API version that brought it.
    pub since: Option<String>,
    /// Parameters after `_this`, in order.
    pub params: Vec<Field>,
    /// `returnval`, where there is one.
    pub result: Option<Field>,
    /// What the task yields in `info.result`, for a method that returns a task.
    pub task_result: Option<Field>,
    pub privilege: Option<String>,
    pub effect: Effect,
    /// Declared faults besides `RuntimeFault`, in the order of the WSDL.
    pub faults: Vec<String>,
}

/// What carrying out a method does to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    Session,
    Changes,
}

impl Method {
    /// A method without parameters, result and faults.
    pub(crate) fn new(name: &str) -> Method {
        Method {
            name: name.to_owned(),
            since: None,
            params: Vec::new(),
            result: None,
            task_result: None,
            privilege: None,
            effect: Effect::Changes,
            faults: Vec::new(),
        }
    }
}
