//! Values as JSON, in the style of VMware's Virtual Infrastructure JSON API.
//!
//! | value | JSON |
//! |---|---|
//! | data object | `{"_typeName": "VirtualDisk", "key": 2000, …}`, names as on the wire, unset fields left out |
//! | reference | `{"_typeName": "ManagedObjectReference", "type": "VirtualMachine", "value": "vm-42"}` |
//! | enumeration, date, URI | a string; dates as RFC 3339 |
//! | binary | a string, base64; an array of bytes is an array of numbers |
//! | number | a number; the floats that JSON lacks are the strings `NaN`, `INF`, `-INF` |
//! | `xsd:anyType` | objects and references as above, all else boxed: `{"_typeName": "long", "_value": 7}` |
//! | array in `xsd:anyType` | `{"_typeName": "ArrayOfString", "_value": ["a", "b"]}` |
//! | what the model does not know | its own `_typeName`, its elements as strings and objects |
//!
//! [`AsJson`] writes; [`Reader`] reads, as tolerant as the XML decoder, or strict for input that people and assistants
//! write.

mod read;
mod write;

use std::fmt;

use serde::Deserialize as _;

pub use read::Reader;
pub use write::{AsJson, Redact};

use crate::codec::MAX_DEPTH;
use crate::object::{Any, DataObject};

/// The key that names the type of an object.
pub const TYPE_NAME: &str = "_typeName";

/// The key of a value that is boxed because its place may hold any type.
pub const VALUE: &str = "_value";

/// The key of an unknown element's attribute `type`.
const REFERENCE_TYPE: &str = "_type";

/// The type name of binary values; on the wire of SOAP they are `base64Binary`.
const BINARY: &str = "binary";

/// The type name of references.
const REFERENCE: &str = "ManagedObjectReference";

/// A data object as a JSON value, secrets included.
///
/// # Errors
/// The object nests deeper than [`MAX_DEPTH`].
pub fn to_value(object: &dyn DataObject) -> Result<serde_json::Value, JsonError> {
    Ok(serde_json::to_value(AsJson::object(object))?)
}

/// A data object as JSON text, secrets included.
///
/// # Errors
/// The object nests deeper than [`MAX_DEPTH`].
pub fn to_string(object: &dyn DataObject) -> Result<String, JsonError> {
    Ok(serde_json::to_string(&AsJson::object(object))?)
}

/// A data object as indented JSON text, secrets included.
///
/// # Errors
/// The object nests deeper than [`MAX_DEPTH`].
pub fn to_string_pretty(object: &dyn DataObject) -> Result<String, JsonError> {
    Ok(serde_json::to_string_pretty(&AsJson::object(object))?)
}

/// A value of any type as a JSON value, secrets included.
///
/// # Errors
/// The value nests deeper than [`MAX_DEPTH`].
pub fn any_to_value(any: &Any) -> Result<serde_json::Value, JsonError> {
    Ok(serde_json::to_value(AsJson::any(any))?)
}

/// Parses JSON text. Chains of delta disks nest deeper than serde_json goes by itself, so the limit is that of the XML
/// decoder, [`MAX_DEPTH`].
///
/// # Errors
/// The text is not JSON, or nests deeper than the limit.
pub fn parse(text: &str) -> Result<serde_json::Value, JsonError> {
    if depth(text) > MAX_DEPTH {
        return Err(JsonError::new(format!("it nests deeper than {MAX_DEPTH} levels")));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.disable_recursion_limit();
    let value = serde_json::Value::deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// How deep brackets nest, those in strings left out. Of malformed text any answer will do that bounds its parser.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// JSON that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// Where, as a property path; its parts are collected innermost first.
    path: Vec<String>,
    message: String,
}

impl JsonError {
    fn new(message: impl Into<String>) -> Self {
        Self { path: Vec::new(), message: message.into() }
    }

    fn in_field(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }

    fn at(mut self, index: usize) -> Self {
        self.path.push(format!("[{index}]"));
        self
    }

    /// Where it is wrong: `config.hardware.device[3].capacityInKB`; empty at the top.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for part in self.path.iter().rev() {
            if !path.is_empty() && !part.starts_with('[') {
                path.push('.');
            }
            path.push_str(part);
        }
        path
    }

    /// What is wrong there.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path(), self.message) }
    }
}

impl std::error::Error for JsonError {}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_ignores_brackets_in_strings() {
        assert_eq!(depth(r#"{"a[[[": ["\"[[", "\\"]}"#), 2);
        assert_eq!(depth("]]]"), 0);
    }

    #[test]
    fn text_nests_as_deep_as_the_limit_and_no_deeper() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        let error = parse(&nested(1_000_000)).unwrap_err();
        assert_eq!(error.to_string(), "it nests deeper than 512 levels");
        assert!(parse(&"[".repeat(400)).is_err());
        assert!(parse("{} {}").is_err());
    }

    #[test]
    fn an_error_names_its_path() {
        let error =
            JsonError::new("expected long").in_field("capacityInKB").at(3).in_field("device").in_field("hardware");
        assert_eq!(error.to_string(), "hardware.device[3].capacityInKB: expected long");
    }
}
