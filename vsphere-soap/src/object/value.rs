//! A value as one looks at it.

use super::{Any, Binary, DataObject, DateTime, ManagedObjectReference, Object};

/// A borrowed look at the value of a field.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// Not set.
    Unset,
    /// `xsd:boolean`.
    Boolean(bool),
    /// `xsd:byte`.
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
    /// `xsd:string` or `xsd:anyURI`.
    String(&'a str),
    /// `xsd:dateTime`.
    DateTime(&'a DateTime),
    /// `xsd:base64Binary`.
    Binary(&'a Binary),
    /// A reference to a managed object.
    Ref(&'a ManagedObjectReference),
    /// A value of the named enumeration.
    Enum(&'a str, &'a str),
    /// A data object of exactly the declared type.
    Data(&'a dyn DataObject),
    /// A data object of the declared type or one that extends it.
    Poly(&'a Object),
    /// The value of an `xsd:anyType`.
    Any(&'a Any),
    /// Several values.
    List(&'a dyn List),
}

impl Value<'_> {
    /// Whether there is nothing to write: not set, an empty list, an enumeration or a reference without a value.
    pub fn is_unset(&self) -> bool {
        match self {
            Self::Unset | Self::Any(Any::Unset) | Self::Enum(_, "") => true,
            Self::List(list) => list.count() == 0,
            Self::Ref(reference) => reference.value.is_empty(),
            _ => false,
        }
    }
}

/// Something that can stand in a list.
pub trait Item: Sync {
    /// A look at it.
    fn value(&self) -> Value<'_>;
}

impl<T: DataObject> Item for T {
    fn value(&self) -> Value<'_> {
        Value::Data(self)
    }
}

/// Several values, without their type.
pub trait List: Sync {
    /// How many.
    fn count(&self) -> usize;
    /// The value at `index`; [`Value::Unset`] beyond the end.
    fn at(&self, index: usize) -> Value<'_>;
}

impl<T: Item> List for Vec<T> {
    fn count(&self) -> usize {
        let items: &[T] = self;
        items.len()
    }

    // Not `get`: the compiler knows how to index a slice, and need not make two more functions for each of 600 types.
    fn at(&self, index: usize) -> Value<'_> {
        let items: &[T] = self;
        if index < items.len() { items[index].value() } else { Value::Unset }
    }
}

impl<T: Item> List for &[T] {
    fn count(&self) -> usize {
        self.len()
    }

    fn at(&self, index: usize) -> Value<'_> {
        if index < self.len() { self[index].value() } else { Value::Unset }
    }
}
