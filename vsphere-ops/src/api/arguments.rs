//! Arguments as JSON: checked against the model, completed, shown.

use serde_json::{Map, Value as Json, json};
use vsphere_model::types::ManagedObjectReference;
use vsphere_soap::json::{AsJson, JsonError, Reader, Redact, TYPE_NAME};
use vsphere_soap::object::{Any, FieldInfo, Registry, Type, TypeInfo, Value};
use vsphere_soap::request::Method;

use super::describe::{type_of as type_of_field, typed};
use crate::error::{Error, Result, invalid};

/// How deep arguments are looked into. Nothing that a method takes nests so deep.
const DEEPEST: usize = 64;

/// Arguments of a method, a value for each of its parameters.
pub(super) struct Arguments {
    pub(super) values: Vec<Any>,
}

impl Arguments {
    /// Reads what was given, by the names of the parameters.
    ///
    /// # Errors
    /// `invalid_argument`, with the path of what does not fit and what would.
    pub(super) fn read(method: &'static Method, given: &Json) -> Result<Self> {
        let failed = |path: &str, why: &str| bad(method, path, why);
        let none = Map::new();
        let given = match given {
            Json::Object(given) => given,
            Json::Null => &none,
            other => return Err(failed("", &format!("expected an object with the parameters, found {}", kind(other)))),
        };
        if let Some(unknown) = given.keys().find(|key| !method.params.iter().any(|param| param.name == **key)) {
            let all: Vec<String> = method.params.iter().map(typed).collect();
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            return Err(failed(unknown, &format!("there is no parameter of this name; there are: {all}")));
        }
        let values = method.params.iter().map(|param| {
            let meant = completed(given.get(param.name).unwrap_or(&Json::Null), param, param.name, 0);
            let meant = meant.map_err(|(path, why)| failed(&path, &why))?;
            value(&meant, param).map_err(|error| failed(&error.0, &error.1))
        });
        Ok(Self { values: values.collect::<Result<_>>()? })
    }

    /// The arguments as they may be shown.
    pub(super) fn shown(&self, method: &Method) -> Result<Json> {
        let mut shown = Map::new();
        for (param, value) in method.params.iter().zip(&self.values) {
            if matches!(value, Any::Unset) {
                continue;
            }
            shown.insert(param.name.to_owned(), redacted(param, value)?);
        }
        Ok(Json::Object(shown))
    }

    /// The values as they are written into a request.
    pub(super) fn values(&self) -> Vec<Value<'_>> {
        self.values.iter().map(Any::as_value).collect()
    }
}

/// A value as JSON, its secrets left out.
pub(super) fn redacted(field: &FieldInfo, value: &Any) -> Result<Json> {
    if field.secret && !matches!(value, Any::Unset) {
        return Ok(json!("<secret>"));
    }
    let shown = |value: &Any| serde_json::to_value(AsJson::new(value.as_value()).redact(Redact::Secrets));
    let shown = match value {
        // Its items have the type that is declared.
        Any::Array(array) => array.items.iter().map(shown).collect::<std::result::Result<Json, _>>(),
        value => shown(value),
    };
    shown.map_err(|error| invalid("show", error.to_string()))
}

fn bad(method: &Method, path: &str, why: &str) -> Error {
    let text = if path.is_empty() { why.to_owned() } else { format!("{path}: {why}") };
    invalid("call", text).on(method.name)
}

/// Reads a value of a parameter.
fn value(json: &Json, param: &FieldInfo) -> Result<Any, (String, String)> {
    let reader = Reader::new(vsphere_model::registry()).strict();
    let failed = |at: &str, error: JsonError| {
        let path = error.path();
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        (format!("{at}{dot}{path}"), error.message().to_owned())
    };
    match json {
        Json::Null => Ok(Any::Unset),
        Json::Array(items) if param.array => {
            let read = |(index, item): (usize, &Json)| {
                reader.value(item, param.ty).map_err(|error| failed(&format!("{}[{index}]", param.name), error))
            };
            let items = items.iter().enumerate().map(read).collect::<Result<_, _>>()?;
            Ok(Any::Array(vsphere_soap::object::Array { item: param.ty.item_name(), items }))
        }
        json => reader.value(json, param.ty).map_err(|error| failed(param.name, error)),
    }
}

/// What was given for a field, with references in the form that the reader wants.
///
/// # Errors
/// Where, and why: what has to be given is not there. The reader does not look for it, because a server leaves out much of what it
/// declares.
fn completed(json: &Json, field: &FieldInfo, path: &str, depth: usize) -> Result<Json, (String, String)> {
    if depth > DEEPEST {
        return Err((path.to_owned(), format!("it nests deeper than {DEEPEST} levels")));
    }
    match json {
        Json::Null if field.optional => Ok(Json::Null),
        Json::Null => Err((path.to_owned(), format!("{} is needed", type_of_field(field)))),
        Json::Array(items) if field.array => {
            let item = |(index, item): (usize, &Json)| one(item, field.ty, &format!("{path}[{index}]"), depth);
            items.iter().enumerate().map(item).collect()
        }
        _ if field.array => Err((path.to_owned(), format!("expected a list of {}", field.ty.name()))),
        json => one(json, field.ty, path, depth),
    }
}

fn one(json: &Json, ty: Type, path: &str, depth: usize) -> Result<Json, (String, String)> {
    match (json, ty) {
        (Json::String(text), Type::Ref) => match reference(text) {
            Some(reference) => Ok(json!({ "type": reference.type_, "value": reference.value })),
            None => Err((path.to_owned(), "expected a reference, such as \"VirtualMachine:vm-42\"".to_owned())),
        },
        (Json::Object(given), Type::Data(declared)) => {
            let info = type_of(given, declared, vsphere_model::registry());
            let mut object = given.clone();
            for field in info.fields() {
                let within = format!("{path}.{}", field.name);
                let meant = completed(given.get(field.name).unwrap_or(&Json::Null), field, &within, depth + 1)?;
                if !meant.is_null() {
                    object.insert(field.name.to_owned(), meant);
                }
            }
            Ok(Json::Object(object))
        }
        (json, _) => Ok(json.clone()),
    }
}

/// The type that an object says it has. What is wrong with it the reader says.
fn type_of(given: &Map<String, Json>, declared: &'static TypeInfo, registry: &Registry) -> &'static TypeInfo {
    let named = given.get(TYPE_NAME).and_then(Json::as_str).and_then(|name| registry.data(name));
    named.filter(|info| info.is_a(declared)).unwrap_or(declared)
}

/// `VirtualMachine:vm-42`, of any type of managed object.
pub(super) fn reference(text: &str) -> Option<ManagedObjectReference> {
    let (type_, value) = text.split_once(':')?;
    let known = vsphere_model::registry().managed(type_).is_some();
    (known && !value.is_empty() && !value.contains(char::is_whitespace))
        .then(|| ManagedObjectReference::new(type_, value))
}

/// Arguments that a method would take: what is needed, with a value of its type, and nothing else.
pub(super) fn example(method: &Method) -> Json {
    let needed = method.params.iter().filter(|param| !param.optional);
    needed.map(|param| (param.name.to_owned(), example_of(param, 0))).collect::<Map<_, _>>().into()
}

fn example_of(field: &FieldInfo, depth: usize) -> Json {
    let value = match field.ty {
        Type::Boolean => json!(false),
        Type::Byte | Type::Short | Type::Int | Type::Long => json!(1),
        Type::Float | Type::Double => json!(1.5),
        Type::String => json!("text"),
        Type::Any => json!({ TYPE_NAME: "string", "_value": "text" }),
        Type::Uri => json!("https://example.com/"),
        Type::DateTime => json!("2026-01-31T12:00:00Z"),
        Type::Binary => json!("AAEC"),
        Type::Ref => json!({ "type": "ManagedEntity", "value": "id" }),
        Type::Enum(info) => json!(info.values.first().copied().unwrap_or_default()),
        // A type may need one of its own kind.
        Type::Data(_) if depth >= 8 => json!({}),
        Type::Data(info) => {
            let needed = info.fields().iter().filter(|field| !field.optional);
            let fields = needed.map(|field| (field.name.to_owned(), example_of(field, depth + 1)));
            std::iter::once((TYPE_NAME.to_owned(), json!(info.name()))).chain(fields).collect::<Map<_, _>>().into()
        }
    };
    if field.array { json!([value]) } else { value }
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "nothing",
        Json::Bool(_) => "a truth value",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    fn method(name: &str) -> &'static Method {
        vsphere_model::registry().method(name).unwrap()
    }

    fn error(name: &str, given: Json) -> String {
        Arguments::read(method(name), &given).err().unwrap().to_string()
    }

    #[test]
    fn an_error_says_where_and_what_would_do() {
        for (name, given, expected) in [
            ("Rename_Task", json!({}), "call \"Rename_Task\": newName: string is needed"),
            ("Rename_Task", json!("web"), "call \"Rename_Task\": expected an object with the parameters, found text"),
            (
                "Rename_Task",
                json!({ "name": "web" }),
                "call \"Rename_Task\": name: there is no parameter of this name; there are: newName: string",
            ),
            ("Rename_Task", json!({ "newName": 7 }), "call \"Rename_Task\": newName: expected string, found number"),
            (
                "ReconfigVM_Task",
                json!({ "spec": { "memoryMb": 1 } }),
                "call \"ReconfigVM_Task\": spec.memoryMb: VirtualMachineConfigSpec has no field of this name; did you mean memoryMB?",
            ),
            (
                "ReconfigVM_Task",
                json!({ "spec": { "deviceChange": [{ "operation": "add" }] } }),
                "call \"ReconfigVM_Task\": spec.deviceChange[0].device: VirtualDevice is needed",
            ),
            (
                "ReconfigVM_Task",
                json!({ "spec": { "deviceChange": [{ "device": { "_typeName": "VirtualDisk", "key": -1 } }] } }),
                "call \"ReconfigVM_Task\": spec.deviceChange[0].device.capacityInKB: long is needed",
            ),
            (
                "ReconfigVM_Task",
                json!({ "spec": { "deviceChange": {} } }),
                "call \"ReconfigVM_Task\": spec.deviceChange: expected a list of VirtualDeviceConfigSpec",
            ),
            (
                "MoveIntoFolder_Task",
                json!({ "list": ["web-1"] }),
                "call \"MoveIntoFolder_Task\": list[0]: expected a reference, such as \"VirtualMachine:vm-42\"",
            ),
        ] {
            assert_eq!(error(name, given), expected);
        }
    }

    #[test]
    fn a_reference_may_be_written_short() {
        let read =
            Arguments::read(method("MoveIntoFolder_Task"), &json!({ "list": ["VirtualMachine:vm-42"] })).unwrap();
        let expected =
            json!({ "list": [{ "_typeName": "ManagedObjectReference", "type": "VirtualMachine", "value": "vm-42" }] });
        assert_eq!(read.shown(method("MoveIntoFolder_Task")).unwrap(), expected);
    }

    #[test]
    fn no_secret_is_shown() {
        let create = method("CreateUser");
        let given = json!({ "user": { "_typeName": "HostAccountSpec", "id": "ann", "password": "hunter2hunter2" } });
        let shown = Arguments::read(create, &given).unwrap().shown(create).unwrap();
        assert_eq!(shown["user"]["password"], "<secret>");
        assert_eq!(shown["user"]["id"], "ann");
        let change = method("ChangePassword");
        let given = json!({ "user": "ann", "oldPassword": "hunter1", "newPassword": "hunter2" });
        let shown = Arguments::read(change, &given).unwrap().shown(change).unwrap();
        assert!(!shown.to_string().contains("hunter"), "{shown}");
        let set = method("UpdateOptions");
        let option = |key: &str| json!({ "_typeName": "OptionValue", "key": key, "value": { "_typeName": "string", "_value": "hunter2" } });
        let given = json!({ "changedValue": [option("mail.smtp.password"), option("mail.sender")] });
        let shown = Arguments::read(set, &given).unwrap().shown(set).unwrap();
        assert_eq!(shown["changedValue"][0]["value"], "<secret>");
        assert_eq!(shown["changedValue"][1]["value"]["_value"], "hunter2");
        // Nor in what is wrong with them.
        let wrong = error("ChangePassword", json!({ "user": "ann", "oldPassword": ["hunter2"] }));
        assert!(!wrong.contains("hunter2"), "{wrong}");
    }

    #[test]
    fn every_example_is_taken() {
        for method in vsphere_model::registry().methods() {
            let read = Arguments::read(method, &example(method));
            assert!(read.is_ok(), "{}: {:?}", method.name, read.err());
        }
    }
}
