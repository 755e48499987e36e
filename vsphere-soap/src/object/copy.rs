//! Copying and comparing objects without their types.

use super::{Any, DataObject, DataType, Slot, Value};

/// Copies every set field of `from` into the fields of `to` that have the same index. Both are of one type.
pub fn copy(from: &dyn DataObject, to: &mut dyn DataObject) {
    for index in 0..from.info().fields().len() {
        let value = from.get(index);
        if !matches!(value, Value::Unset) {
            put(value, to.slot(index));
        }
    }
}

/// A copy of an object.
pub fn copied<T: DataType>(from: &T) -> T {
    let mut to = T::default();
    copy(from, &mut to);
    to
}

fn put(value: Value<'_>, slot: Slot<'_>) {
    match (value, slot) {
        (Value::List(list), Slot::Scalar(scalar)) => {
            for index in 0..list.count() {
                scalar.put_value(list.at(index));
            }
        }
        (value, Slot::Scalar(scalar)) => {
            scalar.put_value(value);
        }
        (Value::Data(from), Slot::Data(to)) => copy(from, to),
        (Value::List(list), Slot::List(to)) => {
            for index in 0..list.count() {
                if let Value::Data(from) = list.at(index) {
                    copy(from, to.push_new());
                }
            }
        }
        (Value::Poly(object), Slot::Poly(to)) => drop(to.put(object.clone())),
        (Value::List(list), Slot::Poly(to)) => {
            for index in 0..list.count() {
                if let Value::Poly(object) = list.at(index) {
                    drop(to.put(object.clone()));
                }
            }
        }
        (Value::Any(any), Slot::Any(to)) => to.put(any.clone()),
        (Value::List(list), Slot::Any(to)) => {
            for index in 0..list.count() {
                if let Value::Any(any) = list.at(index) {
                    to.put(any.clone());
                }
            }
        }
        // `get` and `slot` of a field are of one kind by construction.
        _ => {}
    }
}

/// Whether two objects are of one type and equal in every field.
pub fn equal(a: &dyn DataObject, b: &dyn DataObject) -> bool {
    std::ptr::eq(a.info(), b.info())
        && (0..a.info().fields().len()).all(|index| equal_values(a.get(index), b.get(index)))
}

fn equal_values(a: Value<'_>, b: Value<'_>) -> bool {
    match (a, b) {
        // An optional value of any type that is set to no value is written, and copied, as one that is not set.
        (Value::Unset | Value::Any(Any::Unset), Value::Unset | Value::Any(Any::Unset)) => true,
        (Value::Boolean(a), Value::Boolean(b)) => a == b,
        (Value::Byte(a), Value::Byte(b)) => a == b,
        (Value::Short(a), Value::Short(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Long(a), Value::Long(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Double(a), Value::Double(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::DateTime(a), Value::DateTime(b)) => a == b,
        (Value::Binary(a), Value::Binary(b)) => a == b,
        (Value::Ref(a), Value::Ref(b)) => a == b,
        (Value::Enum(_, a), Value::Enum(_, b)) => a == b,
        (Value::Data(a), Value::Data(b)) => equal(a, b),
        (Value::Poly(a), Value::Poly(b)) => a == b,
        (Value::Any(a), Value::Any(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            a.count() == b.count() && (0..a.count()).all(|index| equal_values(a.at(index), b.at(index)))
        }
        _ => false,
    }
}
