//! `/guestFile`: the files of guests, `/guestFile?id=1&token=…`. The token is all the leave that it takes.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use super::{Body, text};
use crate::core::Core;
use crate::objects::guest_operations::transfer;

/// The largest file that is taken, in bytes.
const MOST: usize = 512 << 20;

pub(super) async fn answer(core: Arc<Core>, request: Request<Incoming>) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default();
    let field = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value).unwrap_or_default()
    };
    let Some(transfer) = transfer::take(&mut core.write(), field("id"), field("token")) else {
        return text(StatusCode::NOT_FOUND, "text/plain", "");
    };
    let failed = |why: &str| text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", format!("{why}\n"));
    match (request.method(), transfer.expected()) {
        (&Method::GET, None) => match transfer.content(&core.read()) {
            Ok(bytes) => text(StatusCode::OK, "application/octet-stream", bytes),
            Err(fault) => failed(fault.message()),
        },
        (&Method::PUT, Some(expected)) => {
            let body = Limited::new(request.into_body(), MOST).collect().await;
            let bytes = match body {
                Ok(body) => body.to_bytes(),
                Err(error) => return text(StatusCode::BAD_REQUEST, "text/plain", format!("{error}\n")),
            };
            // Servers fail at an empty file, too.
            if bytes.is_empty() || bytes.len() as u64 != expected {
                return failed("The length of the file is not as announced.");
            }
            match transfer.keep(&mut core.write(), bytes.to_vec()) {
                Ok(()) => text(StatusCode::OK, "text/plain", ""),
                Err(fault) => failed(fault.message()),
            }
        }
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", ""),
    }
}
