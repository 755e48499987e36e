//! The sessions of the vSphere Automation (REST) API, under its present and its older path.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::{Body, text};
use crate::call::Peer;
use crate::core::Core;
use crate::world::World;

/// The header that carries a session's key.
const SESSION_HEADER: &str = "vmware-api-session-id";

pub(super) async fn answer(core: Arc<Core>, request: Request<Incoming>, _peer: Peer) -> Response<Body> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let key = header(SESSION_HEADER).map(str::to_owned);
    let credentials = header(AUTHORIZATION.as_str()).and_then(basic);
    // The older path wraps each answer in an object.
    let older = request.uri().path().starts_with("/rest/");
    let wrap = |value: Value| if older { json!({ "value": value }) } else { value };
    let asks = request.method() == Method::GET && !older
        || request.method() == Method::POST && older && request.uri().query() == Some("~action=get");
    match (request.method(), request.uri().path()) {
        (_, "/api/session" | "/rest/com/vmware/cis/session") if asks => match user_of(&core.read(), key.as_deref()) {
            Some(user) => json_answer(StatusCode::OK, &wrap(json!({ "user": user }))),
            None => refused(older),
        },
        (&Method::POST, "/api/session" | "/rest/com/vmware/cis/session") => {
            let mut world = core.write();
            let user = credentials.and_then(|(user, password)| world.settings.user(&user, &password).cloned());
            let Some(user) = user else { return refused(older) };
            let key = world.open_rest_session(&user.principal);
            let status = if older { StatusCode::OK } else { StatusCode::CREATED };
            json_answer(status, &wrap(json!(key)))
        }
        (&Method::DELETE, "/api/session" | "/rest/com/vmware/cis/session") => {
            let ended = key.is_some_and(|key| core.write().close_rest_session(&key));
            if ended { text(StatusCode::NO_CONTENT, "application/json", "") } else { refused(older) }
        }
        _ => match user_of(&core.read(), key.as_deref()) {
            Some(_) => error(older, StatusCode::NOT_FOUND, "NOT_FOUND", "The simulator has nothing at this path."),
            None => refused(older),
        },
    }
}

/// The user of a session.
fn user_of(world: &World, key: Option<&str>) -> Option<String> {
    world.rest_user(key?).map(str::to_owned)
}

/// The user and the password of an `Authorization: Basic` header.
pub(super) fn basic(header: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn refused(older: bool) -> Response<Body> {
    error(older, StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "Authentication required.")
}

/// An error, which below the older path is named by its type.
fn error(older: bool, status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    let messages = json!([{ "id": "vsphere.sim", "default_message": message, "args": [] }]);
    let error = json!({ "error_type": kind, "messages": messages });
    let type_ = format!("com.vmware.vapi.std.errors.{}", kind.to_lowercase());
    json_answer(status, &if older { json!({ "type": type_, "value": error }) } else { error })
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    text(status, "application/json", value.to_string())
}
