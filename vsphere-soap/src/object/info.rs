//! Static descriptions: types, fields, enumerations, and the registry that finds them by name.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

use super::{DataObject, DataType};
use crate::request::Method;

/// What is known of a data object type.
pub struct TypeInfo {
    name: &'static str,
    base: Option<&'static TypeInfo>,
    own: &'static [Own],
    new: fn() -> Box<dyn DataObject>,
    /// All fields, inherited ones first. Made at the first use: the flattened tables of all types are twice the size of
    /// the own ones, and a program touches few.
    fields: OnceLock<Box<[FieldInfo]>>,
}

impl TypeInfo {
    /// Describes a type. Called by generated code.
    pub const fn new(
        name: &'static str,
        base: Option<&'static TypeInfo>,
        own: &'static [Own],
        new: fn() -> Box<dyn DataObject>,
    ) -> Self {
        Self { name, base, own, new, fields: OnceLock::new() }
    }

    /// The name on the wire.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The type that it extends.
    pub fn base(&self) -> Option<&'static TypeInfo> {
        self.base
    }

    /// All fields, inherited ones first: position is field index.
    pub fn fields(&self) -> &[FieldInfo] {
        self.fields.get_or_init(|| {
            let inherited = self.base.map_or(&[][..], TypeInfo::fields);
            inherited.iter().copied().chain(self.own.iter().map(Own::info)).collect()
        })
    }

    /// The index of the field with this wire name.
    pub fn index_of(&self, field: &str) -> Option<usize> {
        self.fields().iter().position(|f| f.name == field)
    }

    /// Whether the type is `other` or extends it, directly or not.
    pub fn is_a(&self, other: &TypeInfo) -> bool {
        self.lineage().any(|info| std::ptr::eq(info, other))
    }

    /// The type itself and what it extends, nearest first.
    pub fn lineage(&self) -> impl Iterator<Item = &TypeInfo> {
        std::iter::successors(Some(self), |info| info.base)
    }

    /// A new object of the type with nothing set.
    pub fn instance(&self) -> Box<dyn DataObject> {
        (self.new)()
    }
}

/// A new `T` with nothing set. Named by generated code, where a closure per type would cost more.
pub fn instance<T: DataType>() -> Box<dyn DataObject> {
    Box::new(T::default())
}

impl fmt::Debug for TypeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypeInfo({})", self.name)
    }
}

/// What is known of a field of a data object, a parameter or a result.
#[derive(Debug, Clone, Copy)]
pub struct FieldInfo {
    /// The name on the wire.
    pub name: &'static str,
    /// The declared type of the value, or of each value of an array.
    pub ty: Type,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it repeats.
    pub array: bool,
    /// Whether its value is a secret that no log may show.
    pub secret: bool,
}

impl FieldInfo {
    /// A field that must be there once. The short names keep the generated tables readable.
    pub const fn req(name: &'static str, ty: Type) -> Self {
        Self { name, ty, optional: false, array: false, secret: false }
    }

    /// A field that may be left out.
    pub const fn opt(name: &'static str, ty: Type) -> Self {
        Self { name, ty, optional: true, array: false, secret: false }
    }

    /// A field that repeats.
    pub const fn list(name: &'static str, ty: Type) -> Self {
        Self { name, ty, optional: true, array: true, secret: false }
    }

    /// A field that repeats, at least once.
    pub const fn list_req(name: &'static str, ty: Type) -> Self {
        Self { name, ty, optional: false, array: true, secret: false }
    }

    /// The same field, as a secret.
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// A field as the generated tables hold it: its name, its type, and how often it occurs. (A call of a constant function
/// per field would be a second of compile time.)
pub struct Own(pub &'static str, pub Type, pub Occurs);

/// How often a field occurs, and whether its value is a secret.
#[derive(Clone, Copy, PartialEq)]
pub enum Occurs {
    /// Once.
    Req,
    /// Once or not at all.
    Opt,
    /// Any number of times.
    List,
    /// At least once.
    ListReq,
    /// Once, a secret.
    ReqSecret,
    /// Once or not at all, a secret.
    OptSecret,
    /// Any number of times, each a secret.
    ListSecret,
    /// At least once, each a secret.
    ListReqSecret,
}

impl Own {
    fn info(&self) -> FieldInfo {
        let Self(name, ty, occurs) = *self;
        match occurs {
            Occurs::Req => FieldInfo::req(name, ty),
            Occurs::Opt => FieldInfo::opt(name, ty),
            Occurs::List => FieldInfo::list(name, ty),
            Occurs::ListReq => FieldInfo::list_req(name, ty),
            Occurs::ReqSecret => FieldInfo::req(name, ty).secret(),
            Occurs::OptSecret => FieldInfo::opt(name, ty).secret(),
            Occurs::ListSecret => FieldInfo::list(name, ty).secret(),
            Occurs::ListReqSecret => FieldInfo::list_req(name, ty).secret(),
        }
    }
}

/// The declared type of a value.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// `xsd:boolean`.
    Boolean,
    /// `xsd:byte`, signed.
    Byte,
    /// `xsd:short`.
    Short,
    /// `xsd:int`.
    Int,
    /// `xsd:long`.
    Long,
    /// `xsd:float`.
    Float,
    /// `xsd:double`.
    Double,
    /// `xsd:string`.
    String,
    /// `xsd:anyURI`, held as text.
    Uri,
    /// `xsd:dateTime`.
    DateTime,
    /// `xsd:base64Binary`.
    Binary,
    /// `xsd:anyType`.
    Any,
    /// `ManagedObjectReference`.
    Ref,
    /// An enumeration.
    Enum(&'static EnumInfo),
    /// A data object.
    Data(&'static TypeInfo),
}

impl Type {
    /// The local name of the type on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Byte => "byte",
            Self::Short => "short",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::String => "string",
            Self::Uri => "anyURI",
            Self::DateTime => "dateTime",
            Self::Binary => "base64Binary",
            Self::Any => "anyType",
            Self::Ref => "ManagedObjectReference",
            Self::Enum(info) => info.name,
            Self::Data(info) => info.name(),
        }
    }

    /// The `X` of the `ArrayOfX` that holds values of this type.
    pub fn item_name(self) -> String {
        let name = self.name();
        match self {
            Self::Enum(_) | Self::Data(_) => name.to_owned(),
            _ => {
                let (first, rest) = name.split_at_checked(1).unwrap_or_default();
                first.to_ascii_uppercase() + rest
            }
        }
    }

    /// The built-in type of this local name.
    pub(crate) fn built_in(name: &str) -> Option<Self> {
        Some(match name {
            "boolean" => Self::Boolean,
            "byte" => Self::Byte,
            "short" => Self::Short,
            "int" | "integer" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "string" => Self::String,
            "anyURI" => Self::Uri,
            "dateTime" => Self::DateTime,
            "base64Binary" => Self::Binary,
            "anyType" => Self::Any,
            "ManagedObjectReference" => Self::Ref,
            _ => return None,
        })
    }

    /// The built-in type of the items of `ArrayOf{item}`: `String` stands for `string`.
    pub(crate) fn built_in_item(item: &str) -> Option<Self> {
        let mut name = item.to_owned();
        name.get_mut(..1)?.make_ascii_lowercase();
        Self::built_in(&name).or_else(|| Self::built_in(item)).or(if name == "uri" { Some(Self::Uri) } else { None })
    }
}

/// What is known of an enumeration.
#[derive(Debug)]
pub struct EnumInfo {
    /// The name on the wire.
    pub name: &'static str,
    /// Its values on the wire.
    pub values: &'static [&'static str],
}

/// What is known of a managed object type.
#[derive(Debug)]
pub struct ManagedInfo {
    /// The name on the wire.
    pub name: &'static str,
    /// The type that it extends.
    pub base: Option<&'static ManagedInfo>,
    /// The properties that the type itself declares.
    pub own_properties: &'static [FieldInfo],
}

impl ManagedInfo {
    /// Whether the type has this name, or extends one that does, directly or not.
    pub fn is_named(&self, name: &str) -> bool {
        self.lineage().any(|info| info.name == name)
    }

    /// The type itself and what it extends, nearest first.
    pub fn lineage(&self) -> impl Iterator<Item = &ManagedInfo> {
        std::iter::successors(Some(self), |info| info.base)
    }

    /// All properties, those of the type itself first.
    pub fn properties(&self) -> impl Iterator<Item = &FieldInfo> {
        self.lineage().flat_map(|info| info.own_properties)
    }

    /// The property of this name, its own or an inherited one.
    pub fn property(&self, name: &str) -> Option<&FieldInfo> {
        self.properties().find(|property| property.name == name)
    }
}

/// Finds the types of an API by their wire names.
pub struct Registry {
    types: &'static [&'static TypeInfo],
    enums: &'static [&'static EnumInfo],
    methods: &'static [&'static Method],
    managed: &'static [&'static ManagedInfo],
    by_name: OnceLock<HashMap<&'static str, Type, BuildHasherDefault<NameHasher>>>,
}

impl Registry {
    /// A registry of these types, enumerations, methods and managed objects; the last two are sorted by name.
    pub const fn new(
        types: &'static [&'static TypeInfo],
        enums: &'static [&'static EnumInfo],
        methods: &'static [&'static Method],
        managed: &'static [&'static ManagedInfo],
    ) -> Self {
        Self { types, enums, methods, managed, by_name: OnceLock::new() }
    }

    /// The type of this wire name, built-in ones included.
    pub fn find(&self, name: &str) -> Option<Type> {
        let by_name = self.by_name.get_or_init(|| {
            let types = self.types.iter().map(|t| (t.name(), Type::Data(t)));
            let enums = self.enums.iter().map(|e| (e.name, Type::Enum(e)));
            types.chain(enums).collect()
        });
        by_name.get(name).copied().or_else(|| Type::built_in(name))
    }

    /// The data object type of this wire name.
    pub fn data(&self, name: &str) -> Option<&'static TypeInfo> {
        match self.find(name) {
            Some(Type::Data(info)) => Some(info),
            _ => None,
        }
    }

    /// The method of this wire name.
    pub fn method(&self, name: &str) -> Option<&'static Method> {
        let index = self.methods.binary_search_by_key(&name, |method| method.name).ok()?;
        self.methods.get(index).copied()
    }

    /// The managed object type of this wire name.
    pub fn managed(&self, name: &str) -> Option<&'static ManagedInfo> {
        let index = self.managed.binary_search_by_key(&name, |info| info.name).ok()?;
        self.managed.get(index).copied()
    }

    /// All methods, sorted by name.
    pub fn methods(&self) -> &'static [&'static Method] {
        self.methods
    }

    /// All managed object types, sorted by name.
    pub fn managed_objects(&self) -> &'static [&'static ManagedInfo] {
        self.managed
    }

    /// All data object types.
    pub fn types(&self) -> &'static [&'static TypeInfo] {
        self.types
    }

    /// All enumerations.
    pub fn enums(&self) -> &'static [&'static EnumInfo] {
        self.enums
    }
}

/// A quick hash for a table that is fixed: nobody can fill it with names of one hash, which the standard hash guards against.
#[derive(Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for word in words.iter().chain([&last]) {
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    fn finish(&self) -> u64 {
        // The table takes its index from the low bits, which a product mixes least.
        self.0.rotate_left(26)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({} types, {} enums)", self.types.len(), self.enums.len())
    }
}
