//! Property paths: `config.hardware.device[4000].backing.fileName`, followed through values and through types.
//!
//! A path names a field at each step. An element of a list is named by its key in brackets, as the property collector
//! writes it: `device[4000]` is the element whose field `key` is 4000, `extraConfig["guestinfo.ip"]` the one whose key is
//! that text. Elements without a field `key` are named by their position, leaf values by themselves.

use std::fmt;

use super::{Any, DataObject, FieldInfo, TypeInfo, Value};

/// Follows `path` from `object` to a value.
///
/// What is not set on the way, or has no such element, ends in [`Value::Unset`]. The fields of an object's own type are
/// found, also where only a base of it is declared.
///
/// ```
/// use vsphere_soap::object::{Type, TypeInfo, Value, path};
/// # use vsphere_soap::object::{DataObject, Occurs, Own, Slot, leaf};
/// # #[derive(Default)]
/// # struct Hardware { memory_mb: i32 }
/// # static INFO: TypeInfo = TypeInfo::new("Hardware", None, &[Own("memoryMB", Type::Int, Occurs::Req)], || Box::new(Hardware::default()));
/// # impl DataObject for Hardware {
/// #     fn info(&self) -> &'static TypeInfo { &INFO }
/// #     fn get(&self, _: usize) -> Value<'_> { leaf(&self.memory_mb) }
/// #     fn slot(&mut self, _: usize) -> Slot<'_> { Slot::Scalar(&mut self.memory_mb) }
/// # }
/// let hardware = Hardware { memory_mb: 4096 };
/// assert!(matches!(path::get_path(&hardware, "memoryMB"), Ok(Value::Int(4096))));
/// assert_eq!(path::get_path(&hardware, "memoryGB").unwrap_err().to_string(), "Hardware has no field memoryGB");
/// ```
///
/// # Errors
/// The path is malformed, a type has no such field, or a step goes through something that has no fields.
pub fn get_path<'a>(object: &'a dyn DataObject, path: &str) -> Result<Value<'a>, PathError> {
    Ok(get_field(object, path)?.map_or(Value::Unset, |(_, value)| value))
}

/// The same, with the declaration of the field that the path ends in; `None` where it or something on the way
/// is not set.
///
/// # Errors
/// As [`get_path`].
pub fn get_field<'a>(object: &'a dyn DataObject, path: &str) -> Result<Option<(FieldInfo, Value<'a>)>, PathError> {
    let mut at = Value::Data(object);
    let mut declared = None;
    for step in parse(path)? {
        let data = match data_of(at) {
            Some(data) => data,
            None if at.is_unset() => return Ok(None),
            None => return Err(PathError::new(format!("{} is inside of a value that has no fields", step.field))),
        };
        let info = data.info();
        let index = info.index_of(step.field).ok_or_else(|| no_field(info, step.field))?;
        let mut field = info.fields().get(index).copied().ok_or_else(|| no_field(info, step.field))?;
        at = resolved(data.get(index));
        if let Some(key) = &step.key {
            field.array = false;
            at = match at {
                Value::List(list) => (0..list.count())
                    .map(|index| (index, resolved(list.at(index))))
                    .find(|(index, item)| key.names(*index, *item))
                    .map_or(Value::Unset, |(_, item)| item),
                value if value.is_unset() => Value::Unset,
                _ => return Err(PathError::new(format!("{} is not a list and has no elements", step.field))),
            };
        }
        declared = Some(field);
    }
    // An empty list is a value of its own.
    Ok(declared.map(|field| (field, at)).filter(|(_, value)| matches!(value, Value::List(_)) || !value.is_unset()))
}

/// Follows `path` through the declared types, from `info` to the field that it ends in; the field is not an array where
/// the path names an element.
///
/// # Errors
/// The path is malformed, a type has no such field, or a step goes through a list without naming an element.
pub fn check_path(info: &'static TypeInfo, path: &str) -> Result<FieldInfo, PathError> {
    let mut info = Some(info);
    let mut last = None;
    let mut before = "";
    for step in parse(path)? {
        let Some(owner) = info else {
            return Err(PathError::new(format!("{before} has no fields, {} is not one", step.field)));
        };
        let index = owner.index_of(step.field).ok_or_else(|| no_field(owner, step.field))?;
        let mut field = owner.fields().get(index).copied().ok_or_else(|| no_field(owner, step.field))?;
        if last.is_some_and(|last: FieldInfo| last.array) {
            return Err(PathError::new(format!("{before} is a list: name one of its elements, as in {before}[key]")));
        }
        match (&step.key, field.array) {
            (Some(_), false) => {
                return Err(PathError::new(format!("{} is not a list and has no elements", step.field)));
            }
            (Some(_), true) => field.array = false,
            (None, _) => {}
        }
        info = match field.ty {
            super::Type::Data(info) => Some(info),
            _ => None,
        };
        before = step.field;
        last = Some(field);
    }
    last.ok_or_else(|| PathError::new("the path is empty".to_owned()))
}

/// The names of the fields of a path, without the keys of elements.
///
/// # Errors
/// The path is malformed.
pub fn fields(path: &str) -> Result<Vec<&str>, PathError> {
    Ok(parse(path)?.into_iter().map(|step| step.field).collect())
}

/// A path that can't be followed. Its text says where and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathError {
    text: String,
}

impl PathError {
    pub(crate) fn new(text: String) -> Self {
        Self { text }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for PathError {}

fn no_field(info: &TypeInfo, field: &str) -> PathError {
    PathError::new(format!("{} has no field {field}", info.name()))
}

/// The object in a value.
fn data_of(value: Value<'_>) -> Option<&dyn DataObject> {
    match value {
        Value::Data(data) => Some(data),
        Value::Poly(object) => Some(object.data()),
        _ => None,
    }
}

/// The value in an `xsd:anyType`.
fn resolved(value: Value<'_>) -> Value<'_> {
    match value {
        // What the model does not know stays what it is.
        Value::Any(any @ Any::Unknown(_)) => Value::Any(any),
        Value::Any(any) => any.as_value(),
        value => value,
    }
}

/// A step of a path: a field, and the key of an element where the field is a list.
#[derive(Debug, PartialEq)]
struct Step<'a> {
    field: &'a str,
    key: Option<Key>,
}

#[derive(Debug, PartialEq)]
enum Key {
    Number(i64),
    Text(String),
}

impl Key {
    /// Whether this key names the element `item` at `index`.
    fn names(&self, index: usize, item: Value<'_>) -> bool {
        let Some(data) = data_of(item) else { return self.equals(item) };
        match data.info().index_of("key") {
            Some(field) => self.equals(resolved(data.get(field))),
            None => matches!(self, Self::Number(number) if usize::try_from(*number) == Ok(index)),
        }
    }

    fn equals(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Number(key), Value::Byte(v)) => *key == i64::from(v),
            (Self::Number(key), Value::Short(v)) => *key == i64::from(v),
            (Self::Number(key), Value::Int(v)) => *key == i64::from(v),
            (Self::Number(key), Value::Long(v)) => *key == v,
            (Self::Number(key), Value::String(v)) => key.to_string() == v,
            (Self::Text(key), Value::String(v) | Value::Enum(_, v)) => key == v,
            (Self::Text(key), Value::Ref(v)) => *key == v.value || *key == v.to_string(),
            _ => false,
        }
    }
}

fn parse(path: &str) -> Result<Vec<Step<'_>>, PathError> {
    let malformed = |what: &str| PathError::new(format!("the path {path:?} {what}"));
    let mut steps = Vec::new();
    let mut rest = path;
    loop {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (field, after) = rest.split_at(end);
        if field.is_empty() || !field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(malformed("has a step that is not the name of a field"));
        }
        rest = after;
        let mut key = None;
        if let Some(inside) = rest.strip_prefix('[') {
            let (parsed, after) = parse_key(inside).ok_or_else(|| malformed("has a key that does not end"))?;
            (key, rest) = (Some(parsed), after);
        }
        steps.push(Step { field, key });
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None if rest.is_empty() => return Ok(steps),
            None => return Err(malformed("goes on after a key without a dot")),
        }
    }
}

/// The key before the closing bracket, and what follows that: a number, text, or text in quotes.
fn parse_key(inside: &str) -> Option<(Key, &str)> {
    let Some(quoted) = inside.strip_prefix('"') else {
        let (key, rest) = inside.split_once(']')?;
        return Some((key.parse().map_or_else(|_| Key::Text(key.to_owned()), Key::Number), rest));
    };
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Key::Text(text), quoted.get(at + 1..)?.strip_prefix(']')?)),
            '\\' => text.push(chars.next()?.1),
            c => text.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_fields_with_numbers_and_quoted_texts_as_keys() {
        let steps = parse(r#"config.extraConfig["a.b]\"c"].value"#).unwrap();
        let fields: Vec<&str> = steps.iter().map(|step| step.field).collect();
        assert_eq!(fields, ["config", "extraConfig", "value"]);
        assert_eq!(steps[1].key, Some(Key::Text("a.b]\"c".to_owned())));
        assert_eq!(parse("device[4000]").unwrap()[0].key, Some(Key::Number(4000)));
        assert_eq!(parse("vm[vm-42]").unwrap()[0].key, Some(Key::Text("vm-42".to_owned())));
    }

    #[test]
    fn malformed_paths_are_refused() {
        for bad in ["", ".", "a.", ".a", "a..b", "a[", "a[\"b", "a[\"b\"", "a[1]b", "a b", "[1]", "a[\"\\"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
