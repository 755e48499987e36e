//! Reading: one loop for all types, as for XML.

use serde_json::{Map, Value as Json};

use super::{BINARY, JsonError, REFERENCE, REFERENCE_TYPE, TYPE_NAME, VALUE};
use crate::codec::MAX_DEPTH;
use crate::object::{
    Any, Array, Binary, DataObject, DateTime, Element, EnumValue, FieldInfo, Leaf, ManagedObjectReference, Object,
    Registry, Slot, Text, Type, TypeInfo, Unknown,
};

/// Reads values from JSON.
///
/// By itself it is as tolerant as the XML decoder: keys without a field are skipped, types that the model does not know
/// are kept as the declared base. [`strict`](Self::strict) is for what people and assistants write.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    registry: &'static Registry,
    strict: bool,
}

impl Reader {
    /// A reader that knows the types of `registry`.
    pub fn new(registry: &'static Registry) -> Self {
        Self { registry, strict: false }
    }

    /// The same reader, refusing what it does not know, with the nearest name that it does know.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// An object of the type `expected` or one that extends it.
    ///
    /// # Errors
    /// A value does not fit its field; or, when strict, a name is unknown.
    pub fn object(&self, json: &Json, expected: &'static TypeInfo) -> Result<Object, JsonError> {
        self.read_object(json, expected, 0)
    }

    /// A value of any type.
    ///
    /// # Errors
    /// A value does not fit its field; or, when strict, a name is unknown or a type is missing.
    pub fn any(&self, json: &Json) -> Result<Any, JsonError> {
        self.read_any(json, "value", 0)
    }

    /// A value of the type `expected`: an object, a number, text.
    ///
    /// # Errors
    /// A value does not fit; or, when strict, a name is unknown.
    pub fn value(&self, json: &Json, expected: Type) -> Result<Any, JsonError> {
        self.read_typed(json, expected, "value", 0)
    }

    /// Sets the fields of `object` that `json` has.
    ///
    /// # Errors
    /// A value does not fit its field; or, when strict, a name is unknown. What came before it is set.
    pub fn fill(&self, json: &Json, object: &mut dyn DataObject) -> Result<(), JsonError> {
        let map = as_map(json, object.info().name())?;
        self.own_type(map, object.info())?;
        self.fields(map, object, None, 0)
    }

    fn read_object(&self, json: &Json, base: &'static TypeInfo, depth: usize) -> Result<Object, JsonError> {
        let map = as_map(json, base.name())?;
        let name = type_name(map)?.filter(|name| *name != base.name());
        let known = name.map(|name| (name, self.registry.data(name)));
        match known {
            None => self.instance(map, base, depth),
            Some((_, Some(info))) if info.is_a(base) => self.instance(map, info, depth),
            Some((name, _)) if self.strict => {
                let fitting = self.registry.types().iter().filter(|info| info.is_a(base)).map(|info| info.name());
                let what = if self.registry.data(name).is_some() { "which is none" } else { "which is unknown" };
                let message = format!("expected {} or a type that extends it, found {name}, {what}", base.name());
                Err(JsonError::new(message + &hint(name, fitting)).in_field(TYPE_NAME))
            }
            // A type of another family can't stand here; what the declared type has is still read.
            Some((_, Some(_))) => self.instance(map, base, depth),
            Some((name, None)) => {
                let mut data = base.instance();
                let mut elements = Vec::new();
                self.fields(map, &mut *data, Some(&mut elements), depth)?;
                Ok(Object::with_unknown(data, Some(Unknown { type_name: name.to_owned(), elements })))
            }
        }
    }

    fn instance(&self, map: &Map<String, Json>, info: &TypeInfo, depth: usize) -> Result<Object, JsonError> {
        let mut data = info.instance();
        self.fields(map, &mut *data, None, depth)?;
        Ok(Object::with_unknown(data, None))
    }

    /// Where only one type can stand, another name is a slip.
    fn own_type(&self, map: &Map<String, Json>, info: &TypeInfo) -> Result<(), JsonError> {
        match type_name(map)? {
            Some(name) if self.strict && name != info.name() => {
                Err(JsonError::new(format!("expected {}, found {name}", info.name())).in_field(TYPE_NAME))
            }
            _ => Ok(()),
        }
    }

    fn fields(
        &self,
        map: &Map<String, Json>,
        object: &mut dyn DataObject,
        mut unknown: Option<&mut Vec<Element>>,
        depth: usize,
    ) -> Result<(), JsonError> {
        bounded(depth)?;
        let info = object.info();
        for (key, json) in map {
            if key == TYPE_NAME {
                continue;
            }
            match (info.fields().iter().enumerate().find(|(_, field)| field.name == key), &mut unknown) {
                (Some((index, field)), _) => {
                    self.field(json, object, index, field, depth + 1).map_err(|error| error.in_field(key))?;
                }
                (None, Some(unknown)) => {
                    read_elements(key, json, unknown, depth + 1).map_err(|error| error.in_field(key))?;
                }
                (None, None) if self.strict => {
                    let names = info.fields().iter().map(|field| field.name);
                    let message = format!("{} has no field of this name{}", info.name(), hint(key, names));
                    return Err(JsonError::new(message).in_field(key));
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn field(
        &self,
        json: &Json,
        object: &mut dyn DataObject,
        index: usize,
        field: &FieldInfo,
        depth: usize,
    ) -> Result<(), JsonError> {
        match json {
            Json::Null => Ok(()),
            Json::Array(items) if field.array => {
                for (at, item) in items.iter().enumerate().filter(|(_, item)| !item.is_null()) {
                    self.put(item, object.slot(index), field, depth).map_err(|error| error.at(at))?;
                }
                Ok(())
            }
            json if field.array && self.strict => {
                Err(JsonError::new(format!("expected an array of {}, found {}", field.ty.name(), kind(json))))
            }
            json => self.put(json, object.slot(index), field, depth),
        }
    }

    fn put(&self, json: &Json, slot: Slot<'_>, field: &FieldInfo, depth: usize) -> Result<(), JsonError> {
        let ty = field.ty;
        match slot {
            Slot::None => Ok(()),
            Slot::Scalar(scalar) => {
                let value = self.read_typed(json, ty, field.name, depth)?;
                if matches!(value, Any::Unset) || scalar.put_value(value.as_value()) {
                    Ok(())
                } else {
                    Err(expected(ty, json))
                }
            }
            Slot::Data(data) => self.data(json, data, depth),
            Slot::List(list) => {
                as_map(json, ty.name())?;
                self.data(json, list.push_new(), depth)
            }
            Slot::Poly(poly) => {
                let object = self.read_object(json, poly.base(), depth)?;
                // The object is of the base type or extends it, so that the slot takes it.
                drop(poly.put(object));
                Ok(())
            }
            Slot::Any(any) => {
                any.put(self.read_typed(json, ty, field.name, depth)?);
                Ok(())
            }
        }
    }

    fn data(&self, json: &Json, data: &mut dyn DataObject, depth: usize) -> Result<(), JsonError> {
        let map = as_map(json, data.info().name())?;
        self.own_type(map, data.info())?;
        self.fields(map, data, None, depth)
    }

    /// A value whose type is declared. A box around it is taken off.
    fn read_typed(&self, json: &Json, ty: Type, name: &str, depth: usize) -> Result<Any, JsonError> {
        bounded(depth)?;
        let json = match (json, ty) {
            (Json::Null, _) => return Ok(Any::Unset),
            (_, Type::Any) => return self.read_any(json, name, depth),
            (_, Type::Data(info)) => return self.read_object(json, info, depth).map(Any::Object),
            (Json::Object(map), Type::Ref) => return self.reference(map).map(Any::Ref),
            (Json::Object(map), _) => map.get(VALUE).ok_or_else(|| expected(ty, json))?,
            (json, _) => json,
        };
        let bad = || expected(ty, json);
        let text = || json.as_str().ok_or_else(bad);
        Ok(match ty {
            Type::Boolean => Any::Boolean(json.as_bool().ok_or_else(bad)?),
            Type::Byte => Any::Byte(integer(json, ty)?),
            Type::Short => Any::Short(integer(json, ty)?),
            Type::Int => Any::Int(integer(json, ty)?),
            Type::Long => Any::Long(integer(json, ty)?),
            // Rounding to the width of the field is what a float is for.
            #[allow(clippy::cast_possible_truncation, reason = "a float field holds the nearest float")]
            Type::Float => Any::Float(float(json, ty)? as f32),
            Type::Double => Any::Double(float(json, ty)?),
            Type::String => Any::String(text()?.to_owned()),
            Type::Uri => Any::Uri(text()?.to_owned()),
            Type::DateTime => parsed::<DateTime>(text()?, ty)?,
            Type::Binary => parsed::<Binary>(text()?, ty)?,
            Type::Enum(info) => {
                let value = text()?;
                if self.strict && !info.values.contains(&value) {
                    let message = format!("{} has no value {value:?}", info.name);
                    return Err(JsonError::new(message + &hint(value, info.values.iter().copied())));
                }
                Any::Enum(EnumValue { info, value: value.to_owned() })
            }
            Type::Ref | Type::Any | Type::Data(_) => return Err(bad()),
        })
    }

    fn reference(&self, map: &Map<String, Json>) -> Result<ManagedObjectReference, JsonError> {
        let part = |key: &str| match map.get(key) {
            Some(Json::String(text)) => Ok(text.clone()),
            Some(other) => Err(JsonError::new(format!("expected string, found {}", kind(other))).in_field(key)),
            None => Err(JsonError::new(format!("expected {REFERENCE}, found an object without \"{key}\""))),
        };
        match type_name(map)? {
            Some(name) if self.strict && name != REFERENCE => {
                Err(JsonError::new(format!("expected {REFERENCE}, found {name}")).in_field(TYPE_NAME))
            }
            _ => Ok(ManagedObjectReference::new(part("type")?, part("value")?)),
        }
    }

    /// A value that says its own type; the types that JSON has by itself need not be named.
    fn read_any(&self, json: &Json, name: &str, depth: usize) -> Result<Any, JsonError> {
        bounded(depth)?;
        let map = match json {
            Json::Null => return Ok(Any::Unset),
            Json::Bool(v) => return Ok(Any::Boolean(*v)),
            Json::String(v) => return Ok(Any::String(v.clone())),
            Json::Number(_) => {
                return match json.as_i64() {
                    Some(v) => Ok(i32::try_from(v).map_or(Any::Long(v), Any::Int)),
                    None => float(json, Type::Double).map(Any::Double),
                };
            }
            Json::Array(items) => return self.items("AnyType", items, depth),
            Json::Object(map) => map,
        };
        let Some(type_name) = type_name(map)? else {
            if self.strict {
                return Err(JsonError::new(format!("an object here must name its type by {TYPE_NAME:?}")));
            }
            return read_element(name, json, depth).map(|element| Any::Unknown(Box::new(element)));
        };
        let ty = if type_name == BINARY { Some(Type::Binary) } else { self.registry.find(type_name) };
        match (ty, type_name.strip_prefix("ArrayOf"), map.get(VALUE)) {
            (Some(Type::Any), ..) => self.read_any(map.get(VALUE).unwrap_or(&Json::Null), name, depth + 1),
            (Some(ty), ..) => self.read_typed(json, ty, name, depth),
            (None, Some(item), Some(Json::Array(items))) => {
                self.items(item, items, depth).map_err(|error| error.in_field(VALUE))
            }
            (None, Some(item), None) if map.len() == 1 => self.items(item, &[], depth),
            _ if self.strict => {
                let names = self.registry.types().iter().map(|info| info.name());
                let message = format!("{type_name} is not a known type{}", hint(type_name, names));
                Err(JsonError::new(message).in_field(TYPE_NAME))
            }
            _ => read_element(name, json, depth).map(|element| Any::Unknown(Box::new(element))),
        }
    }

    fn items(&self, item: &str, items: &[Json], depth: usize) -> Result<Any, JsonError> {
        let declared = item_type(self.registry, item);
        let read = |(at, json): (usize, &Json)| {
            let value = match declared {
                // An item that names another type than the array does has that type.
                Some(Type::Data(_)) | None => {
                    self.read_any(json, item, depth + 1).and_then(|any| match (any, declared) {
                        (Any::Unknown(_), Some(declared)) => self.read_typed(json, declared, item, depth + 1),
                        (any, _) => Ok(any),
                    })
                }
                Some(ty) => match json {
                    Json::Object(map) if map.contains_key(VALUE) => self.read_any(json, item, depth + 1),
                    json => self.read_typed(json, ty, item, depth + 1),
                },
            };
            value.map_err(|error| error.at(at))
        };
        let items = items.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Any::Array(Array { item: item.to_owned(), items }))
    }
}

/// The type of the items of `ArrayOf{item}`: `String` is `xsd:string`, `VirtualDevice` a type of the API.
fn item_type(registry: &Registry, item: &str) -> Option<Type> {
    registry.find(item).or_else(|| Type::built_in_item(item))
}

/// The elements that a key of an unknown type stands for.
fn read_elements(name: &str, json: &Json, out: &mut Vec<Element>, depth: usize) -> Result<(), JsonError> {
    match json {
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                out.push(read_element(name, item, depth).map_err(|error| error.at(at))?);
            }
        }
        json => out.push(read_element(name, json, depth)?),
    }
    Ok(())
}

fn read_element(name: &str, json: &Json, depth: usize) -> Result<Element, JsonError> {
    bounded(depth)?;
    let mut element = Element { name: name.to_owned(), ..Element::default() };
    match json {
        Json::Null => {}
        Json::String(text) => element.text.clone_from(text),
        Json::Bool(_) | Json::Number(_) => element.text = json.to_string(),
        Json::Array(_) => return Err(JsonError::new("an array in an array has no counterpart on the wire")),
        Json::Object(map) => {
            element.type_name = type_name(map)?.map(str::to_owned);
            let reference = element.type_name.as_deref() == Some(REFERENCE);
            for (key, json) in map {
                match (key.as_str(), json) {
                    (TYPE_NAME, _) => {}
                    (REFERENCE_TYPE, Json::String(text)) => element.reference_type = Some(text.clone()),
                    ("type", Json::String(text)) if reference => element.reference_type = Some(text.clone()),
                    (VALUE, Json::String(text)) => element.text.clone_from(text),
                    ("value", Json::String(text)) if reference => element.text.clone_from(text),
                    (VALUE, Json::Bool(_) | Json::Number(_)) => element.text = json.to_string(),
                    (VALUE, Json::Array(_)) => read_elements("item", json, &mut element.children, depth + 1)?,
                    (key, json) => read_elements(key, json, &mut element.children, depth + 1)
                        .map_err(|error| error.in_field(key))?,
                }
            }
        }
    }
    Ok(element)
}

fn bounded(depth: usize) -> Result<(), JsonError> {
    if depth > MAX_DEPTH {
        return Err(JsonError::new(format!("it nests deeper than {MAX_DEPTH} levels")));
    }
    Ok(())
}

fn as_map<'a>(json: &'a Json, expected: &str) -> Result<&'a Map<String, Json>, JsonError> {
    json.as_object().ok_or_else(|| JsonError::new(format!("expected {expected}, found {}", kind(json))))
}

fn type_name(map: &Map<String, Json>) -> Result<Option<&str>, JsonError> {
    match map.get(TYPE_NAME) {
        None => Ok(None),
        Some(Json::String(name)) => Ok(Some(name)),
        Some(other) => Err(JsonError::new(format!("expected string, found {}", kind(other))).in_field(TYPE_NAME)),
    }
}

fn integer<N: TryFrom<i64>>(json: &Json, ty: Type) -> Result<N, JsonError> {
    let number = json.as_i64().ok_or_else(|| expected(ty, json))?;
    number
        .try_into()
        .map_err(|_| JsonError::new(format!("expected {}, found {number}, which is out of range", ty.name())))
}

fn float(json: &Json, ty: Type) -> Result<f64, JsonError> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => f64::parse(Text::new(text.as_str())).ok().flatten().filter(|v| !v.is_finite()),
        _ => None,
    }
    .ok_or_else(|| expected(ty, json))
}

fn parsed<T: Leaf + Into<Any>>(text: &str, ty: Type) -> Result<Any, JsonError> {
    match T::parse(Text::new(text)) {
        Ok(value) => Ok(value.map_or(Any::Unset, Into::into)),
        Err(_) => Err(JsonError::new(format!("expected {}, found {:?}", ty.name(), shortened(text)))),
    }
}

fn expected(ty: Type, json: &Json) -> JsonError {
    JsonError::new(format!("expected {}, found {}", ty.name(), kind(json)))
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "a number with a fraction",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn shortened(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(end, _)| &text[..end])
}

/// The name that was meant, most likely.
fn hint<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> String {
    let lower = found.to_lowercase();
    let near = |name: &&str| strsim::normalized_damerau_levenshtein(&lower, &name.to_lowercase());
    let best = names.map(|name| (near(&name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score > 0.6).map(|(_, name)| format!("; did you mean {name}?")).unwrap_or_default()
}
