//! `/screen`: the screens of machines as pictures, `/screen?id=vm-42&width=400`.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};

use super::visitor::{Unknown, Visitor};
use super::{Body, text};
use crate::call::Peer;
use crate::core::Core;
use crate::fault::Fault;
use crate::objects::vm::Vm;
use crate::objects::vm::screen::Wanted;
use vsphere_model::types::InvalidArgument;

/// The privilege that it takes to see a screen.
const INTERACT: &str = "VirtualMachine.Interact.ConsoleInteract";

pub(super) async fn answer(core: Arc<Core>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
    let refused = |status, why: &str| text(status, "text/plain", format!("{why}\n"));
    if request.method() != Method::GET {
        let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, "A screen is read.");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return answer;
    }
    let visitor = match Visitor::find(&core, &request, &peer) {
        Ok(visitor) => visitor,
        Err(Unknown::Full) => {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "The maximum number of sessions has been exceeded.");
        }
        Err(Unknown::Unauthenticated) => {
            let mut answer = refused(StatusCode::UNAUTHORIZED, "Log in first.");
            let realm = HeaderValue::from_static("Basic realm=\"VMware HTTP server\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, realm);
            return answer;
        }
    };
    let Some((id, wanted)) = read(request.uri().query().unwrap_or_default()) else {
        return refused(StatusCode::BAD_REQUEST, "The parameters are malformed.");
    };
    if let Err(fault) = core.troubles.call("GET /screen") {
        return refused(StatusCode::INTERNAL_SERVER_ERROR, fault.message());
    }
    let picture = {
        let world = core.read();
        let found = world.all::<Vm>().into_iter().map(|(reference, _)| reference).find(|vm| vm.value == id).cloned();
        let Some(vm) = found.filter(|vm| world.visible(vm, Some(&visitor.session))) else {
            return refused(StatusCode::NOT_FOUND, "There is no such virtual machine.");
        };
        if !world.may(&vm, Some(&visitor.session), INTERACT) {
            return refused(StatusCode::FORBIDDEN, &format!("It takes the privilege {INTERACT}."));
        }
        world.screen(&vm)
    };
    // Nothing is locked while it is cut, scaled and packed.
    let png = picture.and_then(|picture| picture.fitted(wanted)).and_then(|picture| {
        picture.png().map_err(|error| Fault::not_supported(&format!("a picture of the screen: {error}")))
    });
    match png {
        Ok(png) => text(StatusCode::OK, "image/png", png),
        Err(fault) if fault.is::<InvalidArgument>() => refused(StatusCode::BAD_REQUEST, fault.message()),
        Err(fault) => refused(StatusCode::INTERNAL_SERVER_ERROR, fault.message()),
    }
}

/// The id of the machine, and which part of its screen is wanted. Parameters that the API does not know do not count.
fn read(query: &str) -> Option<(String, Wanted)> {
    let (mut id, mut wanted) = (None, Wanted::default());
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let side = match name {
            "id" => {
                id = Some(value.to_owned());
                continue;
            }
            "top" => &mut wanted.top,
            "left" => &mut wanted.left,
            "bottom" => &mut wanted.bottom,
            "right" => &mut wanted.right,
            "width" => &mut wanted.width,
            "height" => &mut wanted.height,
            _ => continue,
        };
        *side = Some(value.parse().ok()?);
    }
    Some((id?, wanted))
}
