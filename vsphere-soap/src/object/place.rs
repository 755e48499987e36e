//! What the generated accessors give the place of a field with; see [`look`](super::look) for why they are so many.

use super::{Binary, DataType, ManagedObjectReference, Slot};

/// A place with nothing in it, as a constant: a call of `default` would be a function per type, and code to clean up
/// should it panic.
pub trait Unset {
    /// Nothing.
    const UNSET: Self;
}

impl Unset for String {
    const UNSET: Self = Self::new();
}

impl<T> Unset for Vec<T> {
    const UNSET: Self = Self::new();
}

impl Unset for Binary {
    const UNSET: Self = Self(Vec::new());
}

impl Unset for ManagedObjectReference {
    const UNSET: Self = Self { type_: String::new(), value: String::new() };
}

/// The place of an optional object: it is created when it is asked for.
#[expect(clippy::redundant_pattern_matching, reason = "`is_none` would be one more function for each of 400 types")]
pub fn boxed<T: DataType>(place: &mut Option<Box<T>>) -> Slot<'_> {
    if let None = place {
        *place = Some(Box::new(T::default()));
    }
    match place {
        Some(data) => Slot::Data(&mut **data),
        None => Slot::None,
    }
}

/// Functions for types whose values are text on the wire.
macro_rules! places {
    ($($(#[$doc:meta])* $name:ident($rust:ty);)*) => {$(
        $(#[$doc])*
        pub fn $name(place: &mut $rust) -> Slot<'_> {
            Slot::Scalar(place)
        }
    )*};
}

places! {
    /// A text.
    text(String);
    /// A text that may be unset.
    optional_text(Option<String>);
    /// Several texts.
    texts(Vec<String>);
    /// A reference.
    reference(ManagedObjectReference);
    /// A reference that may be unset.
    optional_reference(Option<ManagedObjectReference>);
    /// A boolean.
    boolean(bool);
    /// A boolean that may be unset.
    optional_boolean(Option<bool>);
    /// A number.
    int(i32);
    /// A number that may be unset.
    optional_int(Option<i32>);
    /// A long number.
    long(i64);
    /// A long number that may be unset.
    optional_long(Option<i64>);
}
