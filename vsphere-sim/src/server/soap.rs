//! `/sdk`: reads a request, finds who carries it out, writes the answer.

use std::io::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, COOKIE, HeaderValue, SET_COOKIE};
use hyper::{Request, Response, StatusCode};
use tokio::task::spawn_blocking;
use vsphere_model::registry;
use vsphere_soap::codec::{EncodeError, Encoder};
use vsphere_soap::envelope::{self, Received};
use vsphere_soap::fault::SoapFault;
use vsphere_soap::object::{Any, Item as _};
use vsphere_soap::request::Method;

use super::{Body, failed, text};
use crate::call::{Call, Handler, Peer, Reply};
use crate::collector;
use crate::core::Core;
use crate::fault::{Fault, Outcome};
use crate::methods;
use crate::rights;
use crate::session::Pending;
use crate::world::World;

/// The largest request that is read, in bytes.
const MAX_REQUEST: usize = 64 << 20;

/// How many bytes of a request are read at once, while others wait: some milliseconds' worth.
const LONG: usize = 256 << 10;

/// The name of the session's cookie.
pub(crate) const SESSION_COOKIE: &str = "vmware_soap_session";

pub(super) async fn answer(core: Arc<Core>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
    let session = session_of(&request);
    let takes_gzip = takes_gzip(&request);
    let body = match Limited::new(request.into_body(), MAX_REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return text(StatusCode::BAD_REQUEST, "text/plain", format!("{error}\n")),
    };
    // Others must not wait while a long request is read.
    let received = match body.len() > LONG {
        true => spawn_blocking(move || read(&body)).await,
        false => Ok(read(&body)),
    };
    let Received { method, target, arguments } = match received {
        Ok(Ok(received)) => received,
        Ok(Err(error)) => return fault(error),
        Err(_) => return failed(),
    };
    let session = session.filter(|key| is_alive(&core, key));
    let call = Call { core: Arc::clone(&core), session, peer, method, target, arguments };
    match carry_out(call).await {
        Ok(Reply::Unavailable(why)) => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{why}\n")),
        Ok(reply) => success(&core, method, reply, takes_gzip),
        Err(error) => fault(error),
    }
}

/// Reads a request, and sees to it that it asks for no more than what a server answers.
fn read(body: &[u8]) -> Outcome<Received> {
    let received = envelope::read_request(body, registry(), methods::described)
        .map_err(|error| Fault::invalid_request(format!("Unable to read the request: {error}.")))?;
    collector::check_size(received.method, &received.arguments)?;
    Ok(received)
}

async fn carry_out(call: Call) -> Outcome<Reply> {
    call.core.troubles.call(call.method.name)?;
    let handler = {
        let world = call.core.read();
        allowed(&world, &call)?;
        let Some(found) = world.find(&call.target).filter(|_| world.visible(&call.target, call.session.as_deref()))
        else {
            return Err(Fault::not_found(&call.target));
        };
        let unknown = || Fault::not_supported(&format!("{} of {}", call.method.name, found.info().name));
        methods::find(found.info(), call.method.name).ok_or_else(unknown)?
    };
    match handler {
        Handler::Read(read) => read(&call.core.read(), &call),
        Handler::Write(write) => write(&mut call.core.write(), &call),
        Handler::Wait(wait) => {
            let _pending = call.session.as_deref().map(|session| Pending::of(&call.core, session));
            wait(Arc::new(call)).await
        }
    }
}

/// Whether the caller may make this call at all.
fn allowed(world: &World, call: &Call) -> Outcome<()> {
    let type_ = world.reference(&call.target).map_or("", |target| &target.type_);
    let privilege = rights::to_call(call.method, type_);
    if privilege == rights::ANONYMOUS {
        return Ok(());
    }
    let Some(session) = call.session.as_deref().and_then(|key| world.sessions.get(key)) else {
        return Err(Fault::not_authenticated(&call.target, privilege));
    };
    session.used(world.now());
    if world.may(&call.target, call.session.as_deref(), privilege) {
        Ok(())
    } else {
        Err(Fault::no_permission(&call.target, privilege))
    }
}

/// Whether there is such a session, and it has not been idle for too long. One that was ends now.
pub(super) fn is_alive(core: &Core, key: &str) -> bool {
    let is_idle = {
        let world = core.read();
        let Some(session) = world.sessions.get(key) else { return false };
        session.is_idle(world.now(), world.settings.idle_limit)
    };
    if is_idle {
        core.write().end_session(key);
    }
    !is_idle
}

/// The key in the session's cookie.
pub(super) fn session_of(request: &Request<Incoming>) -> Option<String> {
    cookie(request, SESSION_COOKIE)
}

/// The value of a cookie.
pub(super) fn cookie(request: &Request<Incoming>, wanted: &str) -> Option<String> {
    let cookies = request.headers().get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == wanted)?;
    Some(value.trim_matches('"').to_owned())
}

/// Smaller answers gain nothing by it.
const WORTH_COMPRESSING: usize = 8 << 10;

/// Whether the client takes compressed answers.
fn takes_gzip(request: &Request<Incoming>) -> bool {
    let accepted = request.headers().get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

fn gzip(document: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(document.len() / 8), Compression::fast());
    encoder.write_all(document)?;
    encoder.finish()
}

fn success(core: &Core, method: &'static Method, reply: Reply, takes_gzip: bool) -> Response<Body> {
    let cookie = if let Reply::Session(session) = &reply { Some(session.key.clone()) } else { None };
    let document = envelope::write_answer(method, |out| write(method, reply, out));
    let mut response = match document {
        Ok(document) => {
            let packed =
                if takes_gzip && document.len() > WORTH_COMPRESSING { gzip(document.as_ref()).ok() } else { None };
            let compressed = packed.is_some();
            let body = packed.map_or_else(|| Bytes::from(document), Bytes::from);
            let mut response = text(StatusCode::OK, "text/xml; charset=utf-8", body);
            if compressed {
                response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        }
        Err(error) => return unwritable(&error),
    };
    // The quotation marks are as vCenter writes them.
    let cookie = cookie.and_then(|key| {
        HeaderValue::from_str(&format!("{SESSION_COOKIE}=\"{key}\"; Path=/; HttpOnly{}", secure(core))).ok()
    });
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// What a cookie says of the connections that it is for. Clients would not send it back over plain HTTP if it asked for TLS.
pub(super) fn secure(core: &Core) -> &'static str {
    if core.read().thumbprint.is_some() { "; Secure" } else { "" }
}

fn write(method: &Method, reply: Reply, out: &mut Encoder) {
    let Some(result) = &method.result else { return };
    match reply {
        Reply::Unavailable(_) => {}
        Reply::Xml(content) => out.append(content),
        Reply::Session(session) => out.field(result, session.value()),
        Reply::Value(Any::Array(array)) => array.items.iter().for_each(|item| out.field(result, item.as_value())),
        Reply::Value(value @ (Any::Unset | Any::Object(_) | Any::Ref(_))) => out.field(result, value.as_value()),
        Reply::Value(value) => match result.ty {
            vsphere_soap::object::Type::Any => out.any(result.name, &value),
            _ => out.field(result, value.as_value()),
        },
    }
}

fn fault(fault: Fault) -> Response<Body> {
    soap_fault(&fault.into_soap())
}

fn soap_fault(fault: &SoapFault) -> Response<Body> {
    match envelope::write_fault(fault) {
        Ok(document) => text(StatusCode::INTERNAL_SERVER_ERROR, "text/xml; charset=utf-8", document),
        Err(error) => unwritable(&error),
    }
}

/// What a client put into the inventory can't be written as XML.
fn unwritable(error: &EncodeError) -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", format!("The answer can't be written: {error}.\n"))
}
