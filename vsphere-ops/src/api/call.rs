//! Calling a method, and reading properties.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use vsphere_model::types::{Any, ManagedObjectReference, ObjectSpec, PropertyFilterSpec};
use vsphere_soap::json::TYPE_NAME;
use vsphere_soap::object::{FieldInfo, Type, TypeInfo, path};
use vsphere_soap::request::{Handle, Method, Request};

use super::access::Access;
use super::arguments::{Arguments, redacted};
use super::describe::unknown;
use super::made;
use super::target::{Object, is_a};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::gaps::Gaps;
use crate::read::{self, Values, property_spec};
use crate::task::Task;

/// A call that is ready to be made: its method is offered, its arguments fit.
///
/// ```
/// use serde_json::json;
/// use vsphere_ops::api::{Access, Call};
///
/// let call = Call::new("ReconfigVM_Task", &json!({ "spec": { "numCPUs": 4 } }))?;
/// assert_eq!((call.name(), call.owner(), call.access()), ("ReconfigVM_Task", "VirtualMachine", Access::Change));
/// println!("{} takes {:?}", call.shown()?, call.privilege()); // without secrets
/// let error = Call::new("ReconfigVM_Task", &json!({ "spec": { "numCpus": 4 } })).unwrap_err();
/// assert!(error.to_string().contains("spec.numCpus"), "{error}");
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
pub struct Call {
    method: &'static Method,
    arguments: Arguments,
}

/// The arguments may hold secrets: they are not shown.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({})", self.method.name)
    }
}

impl Call {
    /// A call of this method (`PowerOnVM_Task`, also `VirtualMachine.PowerOnVM_Task`) with these arguments, by the names of its
    /// parameters.
    ///
    /// # Errors
    /// `not_found` for a method that the API does not have, `unsupported` for one that is not offered, with the reason,
    /// `invalid_argument` for an argument that does not fit, with its path.
    pub fn new(method: &str, arguments: &Json) -> Result<Self> {
        let method = super::method(method).ok_or_else(|| unknown("call", method.trim()))?;
        if Access::of(method) == Access::Withheld {
            let why = Access::reason(method).unwrap_or_default();
            return Err(Error::new("call", ErrorKind::Unsupported(format!("it is not offered: {why}"))).on(method.name));
        }
        Ok(Self { method, arguments: Arguments::read(method, arguments)? })
    }

    /// The method's name on the wire.
    pub fn name(&self) -> &'static str {
        self.method.name
    }

    /// The managed object that has the method.
    pub fn owner(&self) -> &'static str {
        self.method.owner
    }

    /// What a caller has to be allowed for it.
    pub fn access(&self) -> Access {
        Access::of(self.method)
    }

    /// The privilege that it takes on the object.
    pub fn privilege(&self) -> Option<&'static str> {
        self.method.privilege
    }

    /// The arguments as they may be shown: without secrets.
    ///
    /// # Errors
    /// A value nests too deep.
    pub fn shown(&self) -> Result<Json> {
        self.arguments.shown(self.method)
    }

    /// Makes the call on this object.
    ///
    /// # Errors
    /// `invalid_argument` if the object has no such method; the fault that the server answers.
    pub async fn on(&self, client: &Client, object: &Object) -> Result<Started> {
        let operation = format!("call {}", self.method.name);
        let reference = object.reference();
        if !is_a(&reference.type_, self.method.owner) {
            let text = format!("it is a {}, and only a {} has this method", reference.type_, self.method.owner);
            return Err(invalid("call", text).in_operation(operation).on(object.label()));
        }
        let handle = Handle::new(client.caller(), reference.clone());
        let request: Request<Any> = Request::new(&handle, self.method, &self.arguments.values());
        let failed = |error| Error::from(error).in_operation(operation.clone()).on(object.label());
        let answer = request.await.map_err(failed)?;
        made::keep(client, &answer);
        Ok(Started { client: client.clone(), method: self.method, label: object.label(), answer })
    }
}

/// A call that the server has answered. Where it has started a task, its outcome is that of the task.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use serde_json::json;
/// use vsphere_ops::api::{Call, Object};
///
/// let call = Call::new("PowerOffVM_Task", &json!({}))?;
/// let web = Object::find(&client, call.owner(), Some("web-01")).await?;
/// let started = call.on(&client, &web).await?;
/// println!("{:?}", started.task()); // Some("task-12")
/// started.outcome().await?;         // waits for its end
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug)]
pub struct Started {
    client: Client,
    method: &'static Method,
    label: String,
    answer: Any,
}

impl Started {
    fn task_reference(&self) -> Option<&ManagedObjectReference> {
        match &self.answer {
            Any::Ref(reference) if reference.type_ == "Task" => Some(reference),
            _ => None,
        }
    }

    /// The id of the task that it has started.
    pub fn task(&self) -> Option<&str> {
        self.task_reference().map(|reference| reference.value.as_str())
    }

    /// What it answers, or what its task yields, without secrets; null where there is nothing.
    ///
    /// # Errors
    /// The fault that the task ended with.
    pub async fn outcome(self) -> Result<Json> {
        // What a task yields the model does not declare.
        let of_a_task = FieldInfo::opt("result", Type::Any);
        let (field, value) = match self.task_reference().cloned() {
            Some(task) => {
                let operation = format!("call {}", self.method.name);
                (of_a_task, Task::<Any>::new(&self.client, task, operation, self.label).await?)
            }
            None => (self.method.result.unwrap_or(of_a_task), self.answer),
        };
        redacted(&field, &value)
    }
}

/// Properties that were read.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::api::{Object, read};
///
/// let web = Object::find(&client, "VirtualMachine", Some("web-01")).await?;
/// let read = read(&client, &web, &["runtime.powerState".to_owned(), "config.hardware.numCPU".to_owned()]).await?;
/// assert_eq!(read.values["runtime.powerState"], "poweredOn");
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct Properties {
    /// Their values by their paths, without secrets. What is not set is not there.
    pub values: Map<String, Json>,
    /// What could not be read, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// Reads properties by their paths (`config.hardware.device[4000].backing`).
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::api::{self, Object};
///
/// let options = Object::find(&client, "OptionManager", None).await?;
/// println!("{:?}", api::read(&client, &options, &["setting".to_owned()]).await?.values.keys());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `invalid_argument` for a property that the object does not have; `not_found` if the object is gone.
pub async fn read(client: &Client, object: &Object, paths: &[String]) -> Result<Properties> {
    let reference = object.reference();
    let failed = |error: Error| error.in_operation("read properties").on(object.label());
    if paths.is_empty() {
        return Err(failed(invalid("read", "name at least one property")));
    }
    let wanted: Vec<Wanted> =
        paths.iter().map(|path| Wanted::new(&reference.type_, path)).collect::<Result<_>>().map_err(failed)?;
    let mut asked: Vec<&str> = wanted.iter().map(|wanted| wanted.asked).collect();
    asked.sort_unstable();
    asked.dedup();
    let spec = PropertyFilterSpec {
        prop_set: vec![property_spec(&reference.type_, &asked)],
        object_set: vec![ObjectSpec { obj: reference.clone(), ..Default::default() }],
        ..Default::default()
    };
    let content = read::retrieve(client, spec).await.map_err(failed)?.into_iter().next();
    let gone = || failed(Error::new("read", ErrorKind::NotFound("there is no such object, or no longer".to_owned())));
    let content = content.ok_or_else(gone)?;
    let mut values = Map::new();
    for wanted in &wanted {
        let read = content.prop_set.iter().find(|property| property.name == wanted.asked);
        if let Some(value) = read.map(|property| wanted.shown(&property.val)).transpose().map_err(failed)?.flatten() {
            values.insert(wanted.path.to_owned(), value);
        }
    }
    let gaps = Values::new(Vec::new(), content.missing_set).into_gaps().into_iter().collect();
    Ok(Properties { values, gaps })
}

/// A property that is wanted, and the one that is asked for: what it belongs to tells whether it is a secret.
struct Wanted<'a> {
    path: &'a str,
    asked: &'a str,
    /// The field of what is asked for.
    field: Option<&'a str>,
    /// The property itself, where the path has one step.
    info: Option<FieldInfo>,
}

impl<'a> Wanted<'a> {
    fn new(type_: &str, path: &'a str) -> Result<Self> {
        let path = path.trim();
        let failed = |text: String| invalid("read", format!("{path:?}: {text}"));
        let fields = path::fields(path).map_err(|error| failed(error.to_string()))?;
        let (first, within) = fields.split_first().ok_or_else(|| failed("it is empty".to_owned()))?;
        let managed = vsphere_model::registry().managed(type_);
        let info = managed.and_then(|managed| managed.property(first)).copied();
        if let (Some(managed), None) = (managed, info) {
            let all: Vec<&str> = managed.properties().map(|property| property.name).collect();
            return Err(failed(format!("a {type_} has no property {first:?}; there are {}", all.join(", "))));
        }
        if let Some(info) = info {
            check(info.ty, within).map_err(failed)?;
        }
        // A dot within the key of an element is not one between two steps.
        let last = path.rsplit_once('.').filter(|(_, last)| last.bytes().all(|c| c.is_ascii_alphanumeric()));
        Ok(match last {
            Some((parent, field)) => Self { path, asked: parent, field: Some(field), info: None },
            None => Self { path, asked: path, field: None, info },
        })
    }

    /// What of the value that was asked for is wanted.
    fn shown(&self, value: &Any) -> Result<Option<Json>> {
        let Some(field) = self.field else {
            let info = self.info.unwrap_or(FieldInfo::opt("value", Type::Any));
            return redacted(&info, value).map(Some);
        };
        let whole = redacted(&FieldInfo::opt("value", Type::Any), value)?;
        let Any::Object(object) = value else {
            let text = format!(
                "{}: {} has no fields: read it whole, or one element of it, as in device[4000]",
                self.path, self.asked
            );
            return Err(invalid("read", text));
        };
        path::get_path(object.data(), field).map_err(|error| invalid("read", format!("{}: {error}", self.path)))?;
        Ok(match whole {
            Json::Object(mut fields) => fields.remove(field).filter(|_| field != TYPE_NAME),
            _ => None,
        })
    }
}

/// Whether these fields can be within a value of this type. A type that extends the declared one may have them.
///
/// # Errors
/// Which field there cannot be.
fn check(declared: Type, fields: &[&str]) -> Result<(), String> {
    let mut ty = declared;
    for field in fields {
        ty = match ty {
            // The value itself says what it is.
            Type::Any => return Ok(()),
            Type::Data(info) => {
                let has = |info: &&'static TypeInfo| info.index_of(field).is_some();
                let all = vsphere_model::registry().types();
                let of = Some(info).filter(has).or_else(|| all.iter().copied().filter(|of| of.is_a(info)).find(has));
                let found = of.and_then(|of| of.fields().get(of.index_of(field)?).copied());
                let none = || {
                    let names: Vec<&str> = info.fields().iter().map(|field| field.name).collect();
                    format!("{} has no field {field:?}; there are {}", info.name(), names.join(", "))
                };
                found.ok_or_else(none)?.ty
            }
            other => return Err(format!("{field:?} cannot be within a {}", other.name())),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use serde_json::json;
    use vsphere_model::types::{OptionValue, VAppPropertyInfo};

    use super::*;

    #[test]
    fn what_is_asked_for_tells_whether_a_value_is_a_secret() {
        let shown = |path: &str, value: Any| Wanted::new("VirtualMachine", path).unwrap().shown(&value).unwrap();
        let option =
            |key: &str| Any::from(OptionValue { key: key.to_owned(), value: Some(Any::String("hunter2".to_owned())) });
        let path = "config.extraConfig[\"guestinfo.userdata\"].value";
        assert_eq!(shown(path, option("guestinfo.userdata")), Some(json!("<secret>")));
        let path = "config.extraConfig[\"guestinfo.ip\"].value";
        assert_ne!(shown(path, option("guestinfo.ip")), Some(json!("<secret>")));
        let property = VAppPropertyInfo { value: Some("hunter2".to_owned()), ..Default::default() };
        assert_eq!(shown("config.vAppConfig.property[1].value", Any::from(property)), Some(json!("<secret>")));
        let whole = shown("config.extraConfig[\"guestinfo.userdata\"]", option("guestinfo.userdata")).unwrap();
        assert_eq!(whole["value"], "<secret>");
    }

    #[test]
    fn a_method_that_is_not_offered_says_why() {
        let error = Call::new("SessionManager.AcquireCloneTicket", &json!({})).unwrap_err();
        assert_eq!(error.code(), "unsupported");
        assert!(error.to_string().contains("ticket"), "{error}");
        assert_eq!(Call::new("Frobnicate", &json!({})).unwrap_err().code(), "not_found");
    }
}
