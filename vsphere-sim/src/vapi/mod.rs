//! The vSphere Automation API: what its operations do, whichever door a request comes through.
//!
//! An operation takes and answers plain JSON. The doors translate: REST of both generations (`server/rest.rs`), and the
//! JSON-RPC that the SDKs speak (`server/json_rpc.rs`), which has the name of each structure in it.

pub(crate) mod appliance;
pub(crate) mod bulk;
pub(crate) mod session;
pub(crate) mod tagging;

use serde_json::{Value, json};
use vsphere_soap::codec::is_writable;

use crate::world::World;

/// What an operation comes to.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Who calls.
pub(crate) struct Caller {
    /// As permissions have it.
    pub(crate) principal: String,
}

/// An operation of a service.
pub(crate) struct Operation {
    /// The canonical name: `com.vmware.cis.tagging.tag.get`.
    pub(crate) id: &'static str,
    pub(crate) route: Route,
    /// The version of vCenter that brought it, as `(major, minor)`.
    pub(crate) since: (u32, u32),
    pub(crate) output: Shape,
    pub(crate) run: Run,
}

/// How REST reaches an operation.
pub(crate) struct Route {
    pub(crate) verb: &'static str,
    /// Below `/api/`. `{tag_id}` stands for the field of the input.
    pub(crate) path: &'static str,
    /// The value of `action` in the query; empty without one.
    pub(crate) action: &'static str,
    /// The field of the input that the body is below `/api/`; empty where the body is the input.
    pub(crate) body: &'static str,
}

#[derive(Clone, Copy)]
pub(crate) enum Run {
    Read(fn(&World, &Caller, &Value) -> Outcome<Value>),
    Write(fn(&mut World, &Caller, &Value) -> Outcome<Value>),
}

/// What JSON-RPC has to know of a value that plain JSON does not say.
pub(crate) enum Shape {
    Plain,
    List(&'static Shape),
    Optional(&'static Shape),
    /// A structure of this name, with its fields that are not plain.
    Struct(&'static str, &'static [(&'static str, Shape)]),
}

/// An error of the API.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    AlreadyExists,
    Error,
    InvalidArgument,
    NotFound,
    OperationNotFound,
    ServiceUnavailable,
    Unauthenticated,
    Unauthorized,
}

impl Kind {
    /// As errors have it: `NOT_FOUND`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Error => "ERROR",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::OperationNotFound => "OPERATION_NOT_FOUND",
            Self::ServiceUnavailable => "SERVICE_UNAVAILABLE",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Unauthorized => "UNAUTHORIZED",
        }
    }

    /// The kind of this name; `ERROR` for one that is not known.
    pub(crate) fn named(name: &str) -> Self {
        let all = [
            Self::AlreadyExists,
            Self::InvalidArgument,
            Self::NotFound,
            Self::OperationNotFound,
            Self::ServiceUnavailable,
            Self::Unauthenticated,
            Self::Unauthorized,
        ];
        all.into_iter().find(|kind| kind.name() == name).unwrap_or(Self::Error)
    }

    /// The structure that tells it: `com.vmware.vapi.std.errors.not_found`.
    pub(crate) fn canonical(self) -> String {
        format!("com.vmware.vapi.std.errors.{}", self.name().to_lowercase())
    }

    /// The HTTP status that REST tells it by.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::AlreadyExists | Self::InvalidArgument => 400,
            Self::Unauthenticated => 401,
            Self::Unauthorized => 403,
            Self::NotFound | Self::OperationNotFound => 404,
            Self::Error => 500,
            Self::ServiceUnavailable => 503,
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: Kind, id: &str, message: impl Into<String>) -> Self {
        Self { kind, id: id.to_owned(), message: message.into() }
    }

    /// Nobody is logged in, or no longer.
    pub(crate) fn unauthenticated() -> Self {
        let id = "com.vmware.vapi.endpoint.method.authentication.required";
        Self::new(Kind::Unauthenticated, id, "Authentication required.")
    }

    pub(crate) fn unauthorized(privilege: &str) -> Self {
        let message = format!("Unable to authorize user: {privilege} is missing.");
        Self::new(Kind::Unauthorized, "com.vmware.vapi.endpoint.method.authorization.fail", message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidArgument, "cis.tagging.badRequest.error", message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        let message = format!("The object {what} was not found.");
        Self::new(Kind::NotFound, "cis.tagging.objectNotFound.error", message)
    }

    /// There is no such operation, or not in this version.
    pub(crate) fn no_operation(what: &str) -> Self {
        let message = format!("The simulator has nothing at {what}.");
        Self::new(Kind::OperationNotFound, "vsphere.sim", message)
    }

    /// As the messages of an error have it.
    pub(crate) fn as_message(&self) -> Value {
        json!({ "id": self.id, "default_message": self.message, "args": [] })
    }
}

/// All operations but those of the session.
pub(crate) fn operations() -> impl Iterator<Item = &'static Operation> {
    let tagging = tagging::OPERATIONS.iter().chain(tagging::ASSOCIATION_OPERATIONS).chain(bulk::OPERATIONS);
    tagging.chain(appliance::OPERATIONS)
}

/// Which operations a server of this version has, as `(major, minor, update)`.
pub(crate) fn version(world: &World) -> (u32, u32, u32) {
    let mut numbers = world.settings.version.split('.').map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

/// Whether a server of this version has an operation.
pub(crate) fn has(world: &World, operation: &Operation) -> bool {
    let (major, minor, _) = version(world);
    (major, minor) >= operation.since
}

/// The first character in an input that XML can't carry.
pub(crate) fn unwritable(input: &Value) -> Option<char> {
    match input {
        Value::String(text) => text.chars().find(|character| !is_writable(*character)),
        Value::Array(items) => items.iter().find_map(unwritable),
        Value::Object(fields) => fields.values().find_map(unwritable),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// A field of the input that must be text.
pub(crate) fn text<'a>(input: &'a Value, field: &str) -> Outcome<&'a str> {
    input[field].as_str().ok_or_else(|| Failure::invalid(format!("The field {field} is missing.")))
}

/// A field of the input that must be a list of texts.
pub(crate) fn texts(input: &Value, field: &str) -> Outcome<Vec<String>> {
    let missing = || Failure::invalid(format!("The field {field} is missing."));
    let items = input[field].as_array().ok_or_else(missing)?;
    items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(missing)).collect()
}
