//! Writing: fields in the order of the schema, what is not set left out, `xsi:type` exactly where it is needed.

use std::fmt::Write as _;

use crate::object::{Any, DataObject, Element, FieldInfo, Object, Type, Value, format_date_time};
use crate::secrets::Secrets;

/// Whether XML can carry a character. It has no way to write most control characters, not even as references.
pub fn is_writable(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// A value that XML can't carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError {
    field: String,
    character: char,
}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} contains the character U+{:04X}, which XML can't carry", self.field, u32::from(self.character))
    }
}

impl std::error::Error for EncodeError {}

/// Writes values as XML elements. The prefixes `xsi` and `xsd` are bound by the document around them.
#[derive(Debug, Default)]
pub struct Encoder {
    out: String,
    bad: Option<EncodeError>,
    secrets: Secrets,
}

impl Encoder {
    /// An empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    ///
    /// # Errors
    /// A text had a character that XML can't carry; the first one is named.
    pub fn finish(self) -> Result<String, EncodeError> {
        match self.bad {
            Some(bad) => Err(bad),
            None => Ok(self.out),
        }
    }

    /// The values of the secret fields that were written.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Appends markup as it is.
    pub fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    /// Appends what another encoder wrote.
    pub fn append(&mut self, other: Self) {
        self.out.push_str(&other.out);
        self.bad = self.bad.take().or(other.bad);
        self.secrets.add_all(&other.secrets);
    }

    /// How much was written so far.
    pub fn mark(&self) -> usize {
        self.out.len()
    }

    /// What was written since a mark.
    pub fn since(&self, mark: usize) -> &str {
        self.out.get(mark..).unwrap_or_default()
    }

    /// Takes back what was written since a mark.
    pub fn rewind(&mut self, mark: usize) {
        self.out.truncate(mark);
    }

    /// Writes a value as the element or elements that `field` declares; nothing where it is not set.
    pub fn field(&mut self, field: &FieldInfo, value: Value<'_>) {
        if field.secret {
            self.remember(value);
        }
        match value {
            Value::List(list) => {
                for index in 0..list.count() {
                    self.one(field.name, field.ty.name(), list.at(index));
                }
            }
            value => self.one(field.name, field.ty.name(), value),
        }
    }

    /// Remembers the text of a secret.
    #[cold]
    fn remember(&mut self, value: Value<'_>) {
        match value {
            Value::String(text) => self.secrets.add(text),
            Value::Binary(bytes) => self.secrets.add(&bytes.to_base64()),
            Value::Any(any) => {
                if let Some(text) = any.as_str() {
                    self.secrets.add(text);
                }
            }
            Value::List(list) => (0..list.count()).for_each(|index| self.remember(list.at(index))),
            _ => {}
        }
    }

    /// Writes the fields of an object, without an element around them.
    pub fn fields(&mut self, object: &dyn DataObject) {
        for (index, field) in object.info().fields().iter().enumerate() {
            self.field(field, object.get(index));
        }
    }

    fn one(&mut self, name: &str, declared: &str, value: Value<'_>) {
        if value.is_unset() {
            return;
        }
        match value {
            Value::Unset | Value::List(_) => {}
            Value::Data(data) => {
                self.open(name, None, None);
                self.fields(data);
                self.close(name);
            }
            Value::Poly(object) => {
                let type_name = Some(object.type_name()).filter(|own| *own != declared);
                self.object(name, type_name, object);
            }
            Value::Any(any) => self.any(name, any),
            Value::Ref(reference) => {
                self.open(name, None, Some(&reference.type_));
                self.text(name, &reference.value);
                self.close(name);
            }
            scalar => {
                self.open(name, None, None);
                self.scalar(name, scalar);
                self.close(name);
            }
        }
    }

    /// Writes a value with its type.
    pub fn any(&mut self, name: &str, any: &Any) {
        let type_name = any.type_name();
        let prefix = match any {
            Any::Unset => return,
            Any::Ref(_) | Any::Enum(_) | Any::Object(_) | Any::Array(_) => "",
            Any::Unknown(element) => return self.element(name, element),
            _ => "xsd:",
        };
        let reference_type = if let Any::Ref(reference) = any { Some(&*reference.type_) } else { None };
        self.open(name, Some((prefix, &type_name)), reference_type);
        match any {
            Any::Array(array) => self.items(&array.item, &array.items),
            Any::Object(object) => self.content(object),
            any => self.scalar(name, any.as_value()),
        }
        self.close(name);
    }

    /// Writes the value of `field` as an `xsd:anyType` that says its type, as a server writes property values: `name` is the
    /// element's. Nothing is written where it is not set, but for a list, which may be empty.
    pub fn typed(&mut self, name: &str, field: &FieldInfo, value: Value<'_>) {
        // What is inside of an `xsd:anyType` brings its own type.
        let declared = if let Type::Any = field.ty { type_of(value) } else { field.ty.name() };
        let prefix = prefix_of(declared);
        match value {
            Value::List(list) => {
                self.open(name, Some(("", &format!("ArrayOf{}", field.ty.item_name()))), None);
                for index in 0..list.count() {
                    self.one(declared, declared, list.at(index));
                }
                self.close(name);
            }
            value if value.is_unset() => {}
            Value::Any(any) => self.any(name, any),
            Value::Poly(object) => self.object(name, Some(object.type_name()), object),
            Value::Data(data) => {
                self.open(name, Some(("", data.info().name())), None);
                self.fields(data);
                self.close(name);
            }
            Value::Ref(reference) => {
                self.open(name, Some((prefix, declared)), Some(&reference.type_));
                self.text(name, &reference.value);
                self.close(name);
            }
            scalar => {
                self.open(name, Some((prefix, declared)), None);
                self.scalar(name, scalar);
                self.close(name);
            }
        }
    }

    /// Writes the items of an `ArrayOf{item}`. Those of a built-in type are named by it (`<string>`), others by the item
    /// type (`<VirtualDevice>`).
    fn items(&mut self, item: &str, items: &[Any]) {
        let built_in = Type::built_in_item(item);
        let name: &str = match built_in {
            Some(built_in) => built_in.name(),
            None => item,
        };
        for any in items {
            match any {
                Any::Object(object) if object.data().info().lineage().any(|info| info.name() == item) => {
                    self.one(item, item, Value::Poly(object));
                }
                // Not of the item's family. In an array of faults, the name of a localized one tells; elsewhere the type is
                // said too, since a reader need not know the item.
                Any::Object(object) => {
                    let own = object.data().info().name();
                    let told = item == "MethodFault" && object.type_name() == own;
                    self.object(own, (!told).then_some(object.type_name()), object);
                }
                Any::Enum(value) if value.info.name == item => self.one(name, item, any.as_value()),
                Any::Unknown(element) => self.element(&element.name, element),
                any if any.type_name() == name && built_in.is_some() => self.one(name, name, any.as_value()),
                any => self.any(name, any),
            }
        }
    }

    fn object(&mut self, name: &str, type_name: Option<&str>, object: &Object) {
        self.open(name, type_name.map(|own| ("", own)), None);
        self.content(object);
        self.close(name);
    }

    /// Writes the fields of an object and what was kept of a type that the model does not know.
    fn content(&mut self, object: &Object) {
        self.fields(object.data());
        for element in object.unknown().iter().flat_map(|unknown| &unknown.elements) {
            self.element(&element.name, element);
        }
    }

    /// Writes an element that no type describes.
    pub fn element(&mut self, name: &str, element: &Element) {
        self.open(
            name,
            element.type_name.as_deref().map(|own| (prefix_of(own), own)),
            element.reference_type.as_deref(),
        );
        self.text(name, &element.text);
        for child in &element.children {
            self.element(&child.name, child);
        }
        self.close(name);
    }

    fn open(&mut self, name: &str, type_name: Option<(&str, &str)>, reference_type: Option<&str>) {
        self.out.push('<');
        self.out.push_str(name);
        if let Some(reference_type) = reference_type {
            self.out.push_str(" type=\"");
            self.text(name, reference_type);
            self.out.push('"');
        }
        if let Some((prefix, type_name)) = type_name {
            self.out.push_str(" xsi:type=\"");
            self.out.push_str(prefix);
            self.text(name, type_name);
            self.out.push('"');
        }
        self.out.push('>');
    }

    fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    fn scalar(&mut self, name: &str, value: Value<'_>) {
        // Writing to a String can't fail.
        let _ = match value {
            Value::Boolean(v) => write!(self.out, "{v}"),
            Value::Byte(v) => write!(self.out, "{v}"),
            Value::Short(v) => write!(self.out, "{v}"),
            Value::Int(v) => write!(self.out, "{v}"),
            Value::Long(v) => write!(self.out, "{v}"),
            Value::Float(v) => self.float(f64::from(v), format_args!("{v}")),
            Value::Double(v) => self.float(v, format_args!("{v}")),
            Value::DateTime(v) => self.out.write_str(&format_date_time(v)),
            Value::Binary(v) => self.out.write_str(&v.to_base64()),
            Value::String(v) | Value::Enum(_, v) => {
                self.text(name, v);
                Ok(())
            }
            Value::Ref(v) => {
                self.text(name, &v.value);
                Ok(())
            }
            // Not text.
            Value::Unset | Value::Data(_) | Value::Poly(_) | Value::Any(_) | Value::List(_) => Ok(()),
        };
    }

    fn float(&mut self, value: f64, digits: std::fmt::Arguments<'_>) -> std::fmt::Result {
        if value.is_infinite() {
            self.out.write_str(if value > 0.0 { "INF" } else { "-INF" })
        } else {
            self.out.write_fmt(digits)
        }
    }

    fn text(&mut self, field: &str, text: &str) {
        let mut from = 0;
        for (at, byte) in text.bytes().enumerate() {
            let escaped = match byte {
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'&' => "&amp;",
                b'"' => "&quot;",
                b'\r' => "&#13;",
                // Attribute values lose these by normalization, and a reader may trim them.
                b'\t' => "&#9;",
                b'\n' => "&#10;",
                0..=8 | 11 | 12 | 14..=31 => {
                    self.bad.get_or_insert(EncodeError { field: field.to_owned(), character: byte.into() });
                    ""
                }
                _ => continue,
            };
            self.out.push_str(&text[from..at]);
            self.out.push_str(escaped);
            from = at + 1;
        }
        self.out.push_str(&text[from..]);
        if let Some(character) = text.chars().find(|c| matches!(c, '\u{FFFE}' | '\u{FFFF}')) {
            self.bad.get_or_insert(EncodeError { field: field.to_owned(), character });
        }
    }
}

/// The type of a value that stands for itself.
fn type_of(value: Value<'_>) -> &str {
    match value {
        Value::Boolean(_) => "boolean",
        Value::Byte(_) => "byte",
        Value::Short(_) => "short",
        Value::Int(_) => "int",
        Value::Long(_) => "long",
        Value::Float(_) => "float",
        Value::Double(_) => "double",
        Value::String(_) => "string",
        Value::DateTime(_) => "dateTime",
        Value::Binary(_) => "base64Binary",
        Value::Ref(_) => "ManagedObjectReference",
        Value::Enum(name, _) => name,
        Value::Data(data) => data.info().name(),
        Value::Unset | Value::Poly(_) | Value::Any(_) | Value::List(_) => "anyType",
    }
}

/// The prefix of a type that is known by its local name only.
fn prefix_of(type_name: &str) -> &'static str {
    match Type::built_in(type_name) {
        Some(Type::Ref) | None => "",
        Some(_) => "xsd:",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_writable_is_what_is_written() {
        let field = FieldInfo::req("name", Type::String);
        let (plain, borders) = ('\0'..='\u{3000}', '\u{D700}'..='\u{10010}');
        for character in plain.chain(borders).chain([char::MAX]) {
            let mut out = Encoder::new();
            out.field(&field, Value::String(&character.to_string()));
            assert_eq!(out.finish().is_ok(), is_writable(character), "U+{:04X}", u32::from(character));
        }
    }
}
