//! `Debug` of any object: set fields only, and no secrets.

use std::fmt;

use super::{DataObject, Value, format_date_time};

/// Prints the object's type and its set fields. The value of a secret field is not shown.
///
/// # Errors
/// Those of the formatter.
pub fn debug(object: &dyn DataObject, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let info = object.info();
    let mut out = f.debug_struct(info.name());
    for (index, field) in info.fields().iter().enumerate() {
        let value = object.get(index);
        if value.is_unset() {
            continue;
        }
        if field.secret {
            out.field(field.name, &format_args!("<secret>"));
        } else {
            out.field(field.name, &value);
        }
    }
    out.finish()
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unset => f.write_str("unset"),
            Self::Boolean(v) => v.fmt(f),
            Self::Byte(v) => v.fmt(f),
            Self::Short(v) => v.fmt(f),
            Self::Int(v) => v.fmt(f),
            Self::Long(v) => v.fmt(f),
            Self::Float(v) => v.fmt(f),
            Self::Double(v) => v.fmt(f),
            Self::String(v) => v.fmt(f),
            Self::DateTime(v) => f.write_str(&format_date_time(v)),
            Self::Binary(v) => v.fmt(f),
            Self::Ref(v) => v.fmt(f),
            Self::Enum(_, v) => f.write_str(v),
            Self::Data(v) => debug(v, f),
            Self::Poly(v) => v.fmt(f),
            Self::Any(v) => v.fmt(f),
            Self::List(v) => f.debug_list().entries((0..v.count()).map(|index| v.at(index))).finish(),
        }
    }
}

impl fmt::Debug for dyn DataObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(self, f)
    }
}
