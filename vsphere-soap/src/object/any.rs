//! `xsd:anyType`: a value whose type stands beside it.

use super::{
    Binary, DataObject, DataType, DateTime, Element, EnumInfo, Item, ManagedObjectReference, Object, Poly, Value,
};

/// A value of any type.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Any {
    /// No value.
    #[default]
    Unset,
    /// `xsd:boolean`.
    Boolean(bool),
    /// `xsd:byte`, signed.
    Byte(i8),
    /// `xsd:short`.
    Short(i16),
    /// `xsd:int`.
    Int(i32),
    /// `xsd:long`.
    Long(i64),
    /// `xsd:float`.
    Float(f32),
    /// `xsd:double`.
    Double(f64),
    /// `xsd:string`.
    String(String),
    /// `xsd:anyURI`.
    Uri(String),
    /// `xsd:dateTime`.
    DateTime(DateTime),
    /// `xsd:base64Binary`.
    Binary(Binary),
    /// A reference to a managed object.
    Ref(ManagedObjectReference),
    /// A value of an enumeration.
    Enum(EnumValue),
    /// A data object.
    Object(Object),
    /// Several values (`ArrayOf…`).
    Array(Array),
    /// A value of a type that the model does not know.
    Unknown(Box<Element>),
}

/// A value of an enumeration that is known by name only.
#[derive(Debug, Clone)]
pub struct EnumValue {
    /// The enumeration.
    pub info: &'static EnumInfo,
    /// The value on the wire, which may be newer than the model.
    pub value: String,
}

impl PartialEq for EnumValue {
    fn eq(&self, other: &Self) -> bool {
        self.info.name == other.info.name && self.value == other.value
    }
}

/// Several values of one type.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Array {
    /// The wire name of the item type, as in `ArrayOfString` without the `ArrayOf`: `String`, `VirtualDevice`.
    pub item: String,
    /// The values.
    pub items: Vec<Any>,
}

impl Any {
    /// The local name of the value's type on the wire.
    pub fn type_name(&self) -> String {
        match self {
            Self::Unset => String::new(),
            Self::Boolean(_) => "boolean".to_owned(),
            Self::Byte(_) => "byte".to_owned(),
            Self::Short(_) => "short".to_owned(),
            Self::Int(_) => "int".to_owned(),
            Self::Long(_) => "long".to_owned(),
            Self::Float(_) => "float".to_owned(),
            Self::Double(_) => "double".to_owned(),
            Self::String(_) => "string".to_owned(),
            Self::Uri(_) => "anyURI".to_owned(),
            Self::DateTime(_) => "dateTime".to_owned(),
            Self::Binary(_) => "base64Binary".to_owned(),
            Self::Ref(_) => "ManagedObjectReference".to_owned(),
            Self::Enum(value) => value.info.name.to_owned(),
            Self::Object(object) => object.type_name().to_owned(),
            Self::Array(array) => format!("ArrayOf{}", array.item),
            Self::Unknown(element) => element.type_name.clone().unwrap_or_default(),
        }
    }

    /// A look at the value.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Unset => Value::Unset,
            Self::Boolean(v) => Value::Boolean(*v),
            Self::Byte(v) => Value::Byte(*v),
            Self::Short(v) => Value::Short(*v),
            Self::Int(v) => Value::Int(*v),
            Self::Long(v) => Value::Long(*v),
            Self::Float(v) => Value::Float(*v),
            Self::Double(v) => Value::Double(*v),
            Self::String(v) | Self::Uri(v) => Value::String(v),
            Self::DateTime(v) => Value::DateTime(v),
            Self::Binary(v) => Value::Binary(v),
            Self::Ref(v) => Value::Ref(v),
            Self::Enum(v) => Value::Enum(v.info.name, &v.value),
            Self::Object(v) => Value::Poly(v),
            Self::Array(v) => Value::List(&v.items),
            Self::Unknown(_) => Value::Any(self),
        }
    }

    /// The number, whatever its width.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Byte(v) => Some(v.into()),
            Self::Short(v) => Some(v.into()),
            Self::Int(v) => Some(v.into()),
            Self::Long(v) => Some(v),
            _ => None,
        }
    }

    /// The text of a string, a URI or an enumeration.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(v) | Self::Uri(v) => Some(v),
            Self::Enum(v) => Some(&v.value),
            _ => None,
        }
    }

    /// Takes the value as a `T`.
    ///
    /// # Errors
    /// The value is of another type; it is given back.
    pub fn take<T: FromAny>(self) -> Result<T, Mismatch> {
        T::from_any(self)
    }
}

impl Item for Any {
    fn value(&self) -> Value<'_> {
        Value::Any(self)
    }
}

/// A value that is not of the expected type.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// The expected type.
    pub expected: &'static str,
    /// The value.
    pub found: Box<Any>,
}

impl Mismatch {
    /// `found` is not an `expected`.
    pub fn new(expected: &'static str, found: Any) -> Self {
        Self { expected, found: Box::new(found) }
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.found {
            Any::Unset => write!(f, "expected {}, found no value", self.expected),
            found => write!(f, "expected {}, found {}", self.expected, found.type_name()),
        }
    }
}

impl std::error::Error for Mismatch {}

/// A Rust type that an `xsd:anyType` can be taken as.
pub trait FromAny: Sized {
    /// Takes the value.
    ///
    /// # Errors
    /// The value is of another type.
    fn from_any(any: Any) -> Result<Self, Mismatch>;
}

impl FromAny for Any {
    fn from_any(any: Any) -> Result<Self, Mismatch> {
        Ok(any)
    }
}

impl FromAny for () {
    fn from_any(_: Any) -> Result<Self, Mismatch> {
        Ok(())
    }
}

/// Leaf types, each with its own variant.
macro_rules! leaf {
    ($($rust:ty, $name:literal, $($variant:ident)|+;)*) => {$(
        impl FromAny for $rust {
            fn from_any(any: Any) -> Result<Self, Mismatch> {
                match any {
                    $(Any::$variant(value) => Ok(value),)+
                    other => Err(Mismatch::new($name, other)),
                }
            }
        }

        impl From<$rust> for Any {
            fn from(value: $rust) -> Self {
                leaf!(@first value, $($variant)|+)
            }
        }
    )*};
    (@first $value:ident, $first:ident $(| $rest:ident)*) => { Any::$first($value) };
}

leaf! {
    bool, "boolean", Boolean;
    i8, "byte", Byte;
    i16, "short", Short;
    f32, "float", Float;
    f64, "double", Double;
    DateTime, "dateTime", DateTime;
    Binary, "base64Binary", Binary;
    ManagedObjectReference, "ManagedObjectReference", Ref;
    Object, "data object", Object;
}

/// Versions differ in the width of a number: what fits is taken.
macro_rules! integer {
    ($($rust:ty, $name:literal, $variant:ident;)*) => {$(
        impl FromAny for $rust {
            fn from_any(any: Any) -> Result<Self, Mismatch> {
                any.as_i64().and_then(|v| v.try_into().ok()).ok_or_else(|| Mismatch::new($name, any))
            }
        }

        impl From<$rust> for Any {
            fn from(value: $rust) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}

integer! {
    i32, "int", Int;
    i64, "long", Long;
}

impl FromAny for String {
    fn from_any(any: Any) -> Result<Self, Mismatch> {
        match any {
            Any::String(value) | Any::Uri(value) => Ok(value),
            // A field that is a string in one version is an enumeration in another.
            Any::Enum(value) => Ok(value.value),
            other => Err(Mismatch::new("string", other)),
        }
    }
}

impl From<String> for Any {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<&str> for Any {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl<B: DataType> FromAny for Poly<B> {
    fn from_any(any: Any) -> Result<Self, Mismatch> {
        match any {
            Any::Object(object) => {
                object.try_into().map_err(|object| Mismatch::new(B::INFO.name(), Any::Object(object)))
            }
            other => Err(Mismatch::new(B::INFO.name(), other)),
        }
    }
}

impl<B> From<Poly<B>> for Any
where
    B: DataType,
{
    fn from(value: Poly<B>) -> Self {
        Self::Object(value.into_object())
    }
}

impl<T: DataType> FromAny for T {
    fn from_any(any: Any) -> Result<Self, Mismatch> {
        match any {
            Any::Object(object) => {
                object.downcast().map_err(|object| Mismatch::new(T::INFO.name(), Any::Object(object)))
            }
            other => Err(Mismatch::new(T::INFO.name(), other)),
        }
    }
}

impl<T: FromAny> FromAny for Option<T> {
    fn from_any(any: Any) -> Result<Self, Mismatch> {
        match any {
            Any::Unset => Ok(None),
            any => T::from_any(any).map(Some),
        }
    }
}

impl<T: FromAny> FromAny for Vec<T> {
    fn from_any(any: Any) -> Result<Self, Mismatch> {
        match any {
            Any::Unset => Ok(Vec::new()),
            Any::Array(array) => array.items.into_iter().map(T::from_any).collect(),
            other => Err(Mismatch::new("array", other)),
        }
    }
}

/// Takes the text of a value of an enumeration. Called by generated code, because a blanket implementation would forbid
/// the others; without a type parameter, because there are 446 enumerations to compile.
///
/// # Errors
/// The value is neither an enumeration's nor text.
pub fn enum_text(any: Any, info: &'static EnumInfo) -> Result<String, Mismatch> {
    match any {
        Any::Enum(EnumValue { value, .. }) | Any::String(value) => Ok(value),
        other => Err(Mismatch::new(info.name, other)),
    }
}

/// Wraps an owned copy of a borrowed value; a data object is copied by the object protocol.
impl From<&dyn DataObject> for Any {
    fn from(data: &dyn DataObject) -> Self {
        let mut owned = data.info().instance();
        super::copy(data, &mut *owned);
        Self::Object(Object::with_unknown(owned, None))
    }
}

/// Wraps a value of an enumeration.
pub fn any_from_enum(info: &'static EnumInfo, value: &str) -> Any {
    Any::Enum(EnumValue { info, value: value.to_owned() })
}

impl<T: DataType> From<T> for Any {
    fn from(value: T) -> Self {
        Self::Object(Object::new(value))
    }
}
