//! Writing: any serde serializer gets the values one by one, so that a large answer needs no tree of JSON beside it.

use std::collections::HashSet;

use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use super::{BINARY, REFERENCE, REFERENCE_TYPE, TYPE_NAME, VALUE};
use crate::codec::MAX_DEPTH;
use crate::object::{Any, DataObject, Element, Object, Value, format_date_time};

/// What is written of the values of secret fields (passwords, tickets, keys).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redact {
    /// All: the JSON is data.
    Nothing,
    /// A placeholder: the JSON goes to a log or to a reader.
    Secrets,
}

/// A value that serializes as JSON.
#[derive(Debug, Clone, Copy)]
pub struct AsJson<'a> {
    value: Value<'a>,
    redact: Redact,
    depth: usize,
}

impl<'a> AsJson<'a> {
    /// A data object, or any other look at a value.
    pub fn new(value: Value<'a>) -> Self {
        Self { value, redact: Redact::Nothing, depth: 0 }
    }

    /// A data object.
    pub fn object(object: &'a dyn DataObject) -> Self {
        Self::new(Value::Data(object))
    }

    /// A value of any type, which says its type where JSON does not.
    pub fn any(any: &'a Any) -> Self {
        Self::new(Value::Any(any))
    }

    /// The same, with another treatment of secrets.
    pub fn redact(mut self, redact: Redact) -> Self {
        self.redact = redact;
        self
    }

    fn inner<'b>(&self, value: Value<'b>) -> AsJson<'b> {
        AsJson { value, redact: self.redact, depth: self.depth + 1 }
    }

    fn data<S: Serializer>(
        &self,
        out: S,
        type_name: &str,
        data: &dyn DataObject,
        unknown: &[Element],
    ) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        map.serialize_entry(TYPE_NAME, type_name)?;
        let hides = self.redact == Redact::Secrets;
        let hides_value = hides && has_secret_key(data);
        for (index, field) in data.info().fields().iter().enumerate() {
            let value = data.get(index);
            if value.is_unset() {
                continue;
            }
            if hides && field.secret || hides_value && field.name == "value" {
                map.serialize_entry(field.name, "<secret>")?;
            } else {
                map.serialize_entry(field.name, &self.inner(value))?;
            }
        }
        elements(&mut map, unknown, self.depth)?;
        map.end()
    }

    fn object_of<S: Serializer>(&self, out: S, object: &Object) -> Result<S::Ok, S::Error> {
        let unknown = object.unknown().map_or(&[][..], |unknown| &unknown.elements);
        self.data(out, object.type_name(), object.data(), unknown)
    }

    fn boxed<S: Serializer>(&self, out: S, any: &Any) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(2))?;
        match any {
            Any::Array(array) => {
                map.serialize_entry(TYPE_NAME, &any.type_name())?;
                let items = Items { item: &array.item, items: &array.items, like: *self };
                map.serialize_entry(VALUE, &items)?;
            }
            Any::Binary(_) => {
                map.serialize_entry(TYPE_NAME, BINARY)?;
                map.serialize_entry(VALUE, &self.inner(any.as_value()))?;
            }
            _ => {
                map.serialize_entry(TYPE_NAME, &any.type_name())?;
                map.serialize_entry(VALUE, &self.inner(any.as_value()))?;
            }
        }
        map.end()
    }
}

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        if self.depth > MAX_DEPTH {
            return Err(S::Error::custom(format_args!("the value nests deeper than {MAX_DEPTH} levels")));
        }
        match self.value {
            Value::Unset | Value::Any(Any::Unset) => out.serialize_unit(),
            Value::Boolean(v) => out.serialize_bool(v),
            Value::Byte(v) => out.serialize_i8(v),
            Value::Short(v) => out.serialize_i16(v),
            Value::Int(v) => out.serialize_i32(v),
            Value::Long(v) => out.serialize_i64(v),
            Value::Float(v) if v.is_finite() => out.serialize_f32(v),
            Value::Float(v) => out.serialize_str(not_finite(f64::from(v))),
            Value::Double(v) if v.is_finite() => out.serialize_f64(v),
            Value::Double(v) => out.serialize_str(not_finite(v)),
            Value::String(v) | Value::Enum(_, v) => out.serialize_str(v),
            Value::DateTime(v) => out.serialize_str(&format_date_time(v)),
            Value::Binary(v) => out.serialize_str(&v.to_base64()),
            Value::Ref(v) => {
                let mut map = out.serialize_map(Some(3))?;
                map.serialize_entry(TYPE_NAME, REFERENCE)?;
                map.serialize_entry("type", &v.type_)?;
                map.serialize_entry("value", &v.value)?;
                map.end()
            }
            Value::Data(v) => self.data(out, v.info().name(), v, &[]),
            Value::Poly(v) => self.object_of(out, v),
            Value::Any(Any::Object(v)) => self.object_of(out, v),
            Value::Any(any @ Any::Ref(_)) => self.inner(any.as_value()).serialize(out),
            Value::Any(Any::Unknown(element)) => Part { element, depth: self.depth }.serialize(out),
            Value::Any(any) => self.boxed(out, any),
            Value::List(list) => {
                let mut seq = out.serialize_seq(None)?;
                for value in (0..list.count()).map(|index| list.at(index)).filter(|value| !value.is_unset()) {
                    seq.serialize_element(&self.inner(value))?;
                }
                seq.end()
            }
        }
    }
}

/// Whether an object is a key with a value, such as an `OptionValue`, whose key says that the value is a secret. The model can't
/// say it: one type serves all keys.
fn has_secret_key(data: &dyn DataObject) -> bool {
    const WORDS: [&str; 6] = ["password", "passwd", "passphrase", "secret", "token", "privatekey"];
    /// What cloud-init and OVF hand to a guest, passwords among it.
    const WHOLE: [&str; 5] =
        ["guestinfo.userdata", "guestinfo.vendordata", "guestinfo.metadata", "guestinfo.ovfenv", "guestinfo.ignition"];
    let key = data.info().index_of("key").map(|index| data.get(index));
    let Some(Value::String(key)) = key else { return false };
    let key = key.to_ascii_lowercase();
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    WORDS.iter().any(|word| plain.contains(word)) || WHOLE.iter().any(|whole| key.starts_with(whole))
}

fn not_finite(value: f64) -> &'static str {
    match value {
        f64::INFINITY => "INF",
        f64::NEG_INFINITY => "-INF",
        _ => "NaN",
    }
}

/// The items of an array in a place of any type. The array says their type; only an item of another type is boxed.
struct Items<'a> {
    item: &'a str,
    items: &'a [Any],
    like: AsJson<'a>,
}

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut seq = out.serialize_seq(None)?;
        for any in self.items {
            let plain = match any {
                Any::Unset => continue,
                Any::Object(_) | Any::Ref(_) | Any::Unknown(_) => false,
                Any::Uri(_) => matches!(self.item, "AnyURI" | "Uri"),
                // An enumeration that the model does not know is text.
                Any::String(_) => !self.item.eq_ignore_ascii_case("anyType"),
                any => self.item.eq_ignore_ascii_case(&any.type_name()),
            };
            seq.serialize_element(&self.like.inner(if plain { any.as_value() } else { Value::Any(any) }))?;
        }
        seq.end()
    }
}

/// An element that no type describes.
struct Part<'a> {
    element: &'a Element,
    depth: usize,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Element { type_name, reference_type, text, children, .. } = self.element;
        if self.depth > MAX_DEPTH {
            return Err(S::Error::custom(format_args!("the value nests deeper than {MAX_DEPTH} levels")));
        }
        if children.is_empty() && type_name.is_none() && reference_type.is_none() {
            return out.serialize_str(text);
        }
        let mut map = out.serialize_map(None)?;
        if let Some(type_name) = type_name {
            map.serialize_entry(TYPE_NAME, type_name)?;
        }
        if let (Some(REFERENCE), Some(reference_type), true) =
            (type_name.as_deref(), reference_type, children.is_empty())
        {
            map.serialize_entry("type", reference_type)?;
            map.serialize_entry("value", text)?;
            return map.end();
        }
        if let Some(reference_type) = reference_type {
            map.serialize_entry(REFERENCE_TYPE, reference_type)?;
        }
        if children.is_empty() || !text.is_empty() {
            map.serialize_entry(VALUE, text)?;
        }
        elements(&mut map, children, self.depth)?;
        map.end()
    }
}

/// Writes elements by their names; those of one name become an array.
fn elements<M: serde::ser::SerializeMap>(map: &mut M, elements: &[Element], depth: usize) -> Result<(), M::Error> {
    let mut written = HashSet::new();
    for (index, element) in elements.iter().enumerate() {
        if !written.insert(element.name.as_str()) {
            continue;
        }
        let same = || elements[index..].iter().filter(|other| other.name == element.name);
        if same().nth(1).is_none() {
            map.serialize_entry(&element.name, &Part { element, depth: depth + 1 })?;
        } else {
            let parts: Vec<_> = same().map(|element| Part { element, depth: depth + 1 }).collect();
            map.serialize_entry(&element.name, &parts)?;
        }
    }
    Ok(())
}
