//! What the generated accessors look at a field with.
//!
//! Each type of field that is frequent has a function without type parameters: a call of it is checked with no trait to
//! look for, which halves the time that the compiler spends on the accessors of 3,000 types.

use super::{DataType, Item, ManagedObjectReference, Value};

/// A value.
pub fn leaf<T: Item>(item: &T) -> Value<'_> {
    item.value()
}

/// A value that may be unset.
pub fn optional<T: Item>(item: &Option<T>) -> Value<'_> {
    match item {
        Some(item) => item.value(),
        None => Value::Unset,
    }
}

/// An object that may be unset.
pub fn boxed<T: DataType>(data: &Option<Box<T>>) -> Value<'_> {
    match data {
        Some(data) => Value::Data(&**data),
        None => Value::Unset,
    }
}

/// Functions for types that are frequent.
macro_rules! looks {
    ($($(#[$doc:meta])* $name:ident($rust:ty) = $look:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(item: &$rust) -> Value<'_> {
            $look(item)
        }
    )*};
}

looks! {
    /// A text.
    text(String) = leaf;
    /// A text that may be unset.
    optional_text(Option<String>) = optional;
    /// A reference.
    reference(ManagedObjectReference) = leaf;
    /// A reference that may be unset.
    optional_reference(Option<ManagedObjectReference>) = optional;
    /// A boolean that may be unset.
    optional_boolean(Option<bool>) = optional;
    /// A number that may be unset.
    optional_int(Option<i32>) = optional;
    /// A long number that may be unset.
    optional_long(Option<i64>) = optional;
}

/// Several texts.
pub fn texts(items: &Vec<String>) -> Value<'_> {
    Value::List(items)
}
