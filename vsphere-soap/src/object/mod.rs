//! The object protocol: how one loop can read, write, copy, compare and print 3,000 types.
//!
//! A data object of the API is a plain Rust struct. Beside the struct, the generator emits a static [`TypeInfo`] (its
//! name, base and fields) and two accessors by field index: [`DataObject::get`] gives a [`Value`] to look at,
//! [`DataObject::slot`] a [`Slot`] that a value can be put into. XML, JSON, `Debug`, comparison and copying are written
//! once over these, so that a type costs little to compile.
//!
//! Field indices count the inherited fields first, in the order of the schema.

mod any;
mod copy;
mod debug;
mod info;
mod leaf;
pub mod look;
pub mod path;
pub mod place;
mod poly;
mod property;
mod slot;
mod value;

use std::any::Any as StdAny;

pub use any::{Any, Array, EnumValue, FromAny, Mismatch, any_from_enum, enum_text};
pub use copy::{copied, copy, equal};
pub use debug::debug;
pub use info::{EnumInfo, FieldInfo, ManagedInfo, Occurs, Own, Registry, Type, TypeInfo, instance};
pub use leaf::{BadText, Binary, DateTime, Leaf, ManagedObjectReference, Text, format_date_time};
pub use look::{leaf, optional};
pub use poly::{Element, Extends, Object, Poly, Unknown};
pub use property::{Fields, Property};
pub use slot::{AnySlot, DataList, PolySlot, Scalar, Slot};
pub use value::{Item, List, Value};

/// A data object of the API, seen without its type.
pub trait DataObject: StdAny + Send + Sync {
    /// The static description of the object's type.
    fn info(&self) -> &'static TypeInfo;

    /// The value of field `index`; [`Value::Unset`] where it is not set or there is no such field.
    fn get(&self, index: usize) -> Value<'_>;

    /// The place of field `index`. Asking for the slot of an unset object field creates it.
    fn slot(&mut self, index: usize) -> Slot<'_>;
}

/// The index of what an object inherits, as one value: [`Value::Data`] or [`Slot::Data`] of the part that belongs to the
/// type it extends, where that has fields. (Accessors of its own for it would be 6,000 more functions to compile.)
pub const BASE: usize = usize::MAX;

/// A data object type: what is known of it at compile time.
pub trait DataType: DataObject + Default + Clone {
    /// The static description of the type.
    const INFO: &'static TypeInfo;
}

/// An enumeration of the API. An unknown value is kept as text.
pub trait EnumType: Leaf {
    /// The static description of the enumeration.
    const INFO: &'static EnumInfo;
}

/// A kind of managed object: a marker that types references, properties and requests.
pub trait ManagedType {
    /// The static description of the type.
    const INFO: &'static ManagedInfo;
    /// The name of the type on the wire (`VirtualMachine`).
    const NAME: &'static str = Self::INFO.name;
}

/// The part of `object` that is a `T`: itself, or what it inherits.
pub fn view<T: DataType>(object: &dyn DataObject) -> Option<&T> {
    let mut part = object;
    loop {
        let any: &dyn StdAny = part;
        match any.downcast_ref::<T>() {
            Some(found) => return Some(found),
            None => match part.get(BASE) {
                Value::Data(base) => part = base,
                _ => return None,
            },
        }
    }
}

/// The part of `object` that is a `T`, to change it.
pub fn view_mut<T: DataType>(object: &mut dyn DataObject) -> Option<&mut T> {
    let mut part = object;
    loop {
        let any: &dyn StdAny = &*part;
        if any.is::<T>() {
            let any: &mut dyn StdAny = part;
            return any.downcast_mut::<T>();
        }
        match part.slot(BASE) {
            Slot::Data(base) => part = base,
            _ => return None,
        }
    }
}
