//! What the HTTP client's errors mean.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::tls;
use crate::cause::{OutOfReach, ProxyRefused, Unresolved};
use crate::error::{ErrorKind, WaitingFor};

/// Whom a transport connects to.
#[derive(Debug)]
pub(super) struct Peer {
    /// The server as messages name it, with the proxy on the way to it.
    pub(super) name: String,
    pub(super) proxied: bool,
}

/// The kind of an error that came before an answer's head.
pub(super) fn before_answer(error: &reqwest::Error, peer: &Peer, connect_timeout: Duration) -> ErrorKind {
    let to = peer.name.as_str();
    if let Some(tls) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        ErrorKind::Tls(tls::failure(to.to_owned(), tls))
    } else if error.is_connect() && error.is_timeout() {
        ErrorKind::Timeout { after: connect_timeout, waiting_for: WaitingFor::Connection }
    } else if error.is_connect() {
        ErrorKind::Connect { to: to.to_owned(), proxied: peer.proxied, source: connection(error) }
    } else if error.is_builder() {
        ErrorKind::Config(format!("the request cannot be made: {}", root_cause(error)))
    } else if causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse) {
        ErrorKind::NotSoap {
            host: to.to_owned(),
            content_type: None,
            snippet: format!("not even HTTP: {}", root_cause(error)),
        }
    } else {
        ErrorKind::Interrupted { received: 0, source: root_cause(error) }
    }
}

/// Why there is no connection.
fn connection(error: &reqwest::Error) -> io::Error {
    if let Some(refused) = causes(error).find_map(|cause| cause.downcast_ref::<OutOfReach>()) {
        return io::Error::other(refused.clone());
    }
    let root = root_cause(error);
    // Neither of the two has a type that is not private to its crate.
    for layer in causes(error).map(ToString::to_string) {
        if layer == "dns error" {
            return io::Error::other(Unresolved::new(&root.to_string()));
        }
        if let Some(why) = layer.strip_prefix("tunnel error: ")
            && why != "failed to create underlying connection"
        {
            return io::Error::other(ProxyRefused { wants_login: why.contains("authorization") });
        }
    }
    root
}

/// The lowest cause, as an error of its own.
///
/// The layers above it only say that a request failed, some with its URL; and they are not part of our API.
pub(super) fn root_cause(error: &reqwest::Error) -> io::Error {
    let Some(root) = causes(error).last() else {
        return io::Error::other("unknown cause");
    };
    match root.downcast_ref::<io::Error>() {
        Some(io) => match io.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(io.kind(), io.to_string()),
        },
        None => io::Error::other(root.to_string()),
    }
}

/// The causes of an error, itself left out, downwards.
fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    // `io::Error::source` skips the error that it wraps.
    let below =
        |error: &'e (dyn StdError + 'static)| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &'e (dyn StdError + 'static)),
            None => error.source(),
        };
    std::iter::successors(below(error), move |error| below(*error))
}
