//! Properties of managed objects: a path with the types of its owner and its value.

use std::fmt;
use std::marker::PhantomData;

use super::path::{self, PathError};
use super::{
    Any, Array, Binary, DataType, EnumValue, FieldInfo, FromAny, ManagedObjectReference, Object, Type, TypeInfo,
};

/// A property of the managed object `M` whose value is a `T`.
///
/// The generated constants (`virtual_machine::NAME`) make a wrong path or a wrong type a compile error.
pub struct Property<M, T> {
    path: &'static str,
    types: PhantomData<fn() -> (M, T)>,
}

impl<M, T> Property<M, T> {
    /// A property by its path. Prefer the generated constants: nothing checks this path or its type.
    pub const fn new(path: &'static str) -> Self {
        Self { path, types: PhantomData }
    }

    /// The path on the wire (`runtime.powerState`).
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// The same property as one that may have no value, such as for users who may not read it.
    pub const fn optional(self) -> Property<M, Option<T>> {
        Property::new(self.path)
    }
}

impl<M, T: Fields> Property<M, T> {
    /// A property inside of this one, by its whole path: `vm::CONFIG.nested::<i32>("config.hardware.numCPU")`. Path and
    /// type are checked against the tables of the API. What is inside of a value may be unset with it.
    ///
    /// # Errors
    /// The path is not inside of this property, a type on it has no such field, or its value is not a `U`.
    pub fn nested<U: FromAny>(self, path: &'static str) -> Result<Property<M, Option<U>>, PathError> {
        let inside = path.strip_prefix(self.path).and_then(|rest| rest.strip_prefix('.'));
        let inside = inside.ok_or_else(|| PathError::new(format!("{path} is not inside of {}", self.path)))?;
        let field = path::check_path(T::INFO, inside)
            .map_err(|error| PathError::new(format!("there is no property {path}: {error}")))?;
        // The types have no common description at compile time; whether a value of the declared type is taken tells.
        match U::from_any(sample(field)) {
            Ok(_) => Ok(Property::new(path)),
            Err(mismatch) => {
                let array = if field.array { "an array of " } else { "" };
                let text = format!("{path} is {array}{}, not {}", field.ty.name(), mismatch.expected);
                Err(PathError::new(text))
            }
        }
    }
}

/// A type with fields, or an optional one: what nested properties are inside of.
pub trait Fields {
    /// The static description of the type.
    const INFO: &'static TypeInfo;
}

impl<T: DataType> Fields for T {
    const INFO: &'static TypeInfo = T::INFO;
}

impl<T: DataType> Fields for Option<T> {
    const INFO: &'static TypeInfo = T::INFO;
}

/// A value of the declared type of a field.
fn sample(field: FieldInfo) -> Any {
    let one = match field.ty {
        Type::Boolean => Any::Boolean(false),
        Type::Byte => Any::Byte(0),
        Type::Short => Any::Short(0),
        Type::Int => Any::Int(0),
        Type::Long => Any::Long(0),
        Type::Float => Any::Float(0.0),
        Type::Double => Any::Double(0.0),
        Type::String | Type::Any => Any::String(String::new()),
        Type::Uri => Any::Uri(String::new()),
        Type::DateTime => Any::DateTime(chrono::DateTime::UNIX_EPOCH.fixed_offset()),
        Type::Binary => Any::Binary(Binary::default()),
        Type::Ref => Any::Ref(ManagedObjectReference::default()),
        Type::Enum(info) => {
            Any::Enum(EnumValue { info, value: info.values.first().copied().unwrap_or_default().to_owned() })
        }
        Type::Data(info) => Any::Object(Object::with_unknown(info.instance(), None)),
    };
    if field.array { Any::Array(Array { item: field.ty.name().to_owned(), items: vec![one] }) } else { one }
}

impl<M, T> Clone for Property<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for Property<M, T> {}

impl<M, T> fmt::Debug for Property<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Property({})", self.path)
    }
}
