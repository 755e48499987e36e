//! The server: connections, TLS, and which path goes where.

pub(crate) mod folder;
mod guest_file;
mod json_rpc;
mod listing;
mod nfc;
mod patience;
mod rest;
mod screen;
mod soap;
mod tls;
mod versions;
mod visitor;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use patience::Patient;
pub(crate) use tls::Identity;

use crate::call::Peer;
use crate::core::Core;

/// How often the server looks for sessions that have been idle for too long.
const SWEEP: Duration = Duration::from_secs(1);

/// How long a client may take nothing of an answer. The answer is kept for it as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many bytes are read from a connection at once.
const READ: usize = 64 << 10;

/// What is answered: a text that is there, or a stream.
pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// A server that listens until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl Server {
    /// Listens on this address; with TLS where there is an identity.
    ///
    /// # Errors
    /// The address can't be had.
    pub(crate) async fn start(core: Arc<Core>, address: SocketAddr, identity: Option<&Identity>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let acceptor = identity.map(Identity::acceptor).transpose()?;
        let accepting = tokio::spawn(async move {
            // The connections go with the task that accepts them.
            let mut connections = JoinSet::new();
            let mut sweep = tokio::time::interval(SWEEP);
            sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, peer)) = accepted else { continue };
                        let (core, acceptor) = (Arc::clone(&core), acceptor.clone());
                        connections.spawn(async move {
                            let _ = stream.set_nodelay(true);
                            let stream = Patient::new(stream, PATIENCE);
                            match acceptor {
                                None => serve(core, stream, peer, false).await,
                                // TLS would ask for 4 KiB at a time.
                                Some(acceptor) => match acceptor.accept(BufReader::with_capacity(READ, stream)).await {
                                    Ok(stream) => serve(core, stream, peer, true).await,
                                    Err(error) => tracing::debug!(%peer, %error, "no TLS"),
                                },
                            }
                        });
                    }
                    Some(_) = connections.join_next() => {}
                    _ = sweep.tick() => {
                        let any = core.read().has_idle_sessions();
                        if any {
                            core.write().end_idle_sessions();
                        }
                    }
                }
            }
        })
        .abort_handle();
        Ok(Self { address, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

/// Serves the requests of a connection.
async fn serve<S>(core: Arc<Core>, stream: S, peer: SocketAddr, secure: bool)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let core = Arc::clone(&core);
        async move {
            let fate = core.troubles.fate();
            tokio::time::sleep(fate.latency).await;
            if fate.busy {
                return Ok(text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "The server is busy.\n"));
            }
            if fate.session_lost
                && let Some(key) = soap::session_of(&request)
            {
                core.write().end_session(&key);
            }
            // A bug in one handler must not take the connection's other requests with it.
            let answer = std::panic::AssertUnwindSafe(route(core, request, peer, secure)).catch_unwind().await;
            if fate.dropped {
                return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
            }
            Ok(answer.unwrap_or_else(|_| failed()))
        }
    });
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

async fn route(core: Arc<Core>, request: Request<Incoming>, address: SocketAddr, secure: bool) -> Response<Body> {
    let header =
        |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let peer = Peer { address: address.ip().to_string(), user_agent: header(USER_AGENT), host: header(HOST), secure };
    let path = request.uri().path().trim_end_matches('/').to_owned();
    match (request.method(), path.as_str()) {
        (&Method::POST, "/sdk" | "/sdk/vimService") => soap::answer(core, request, peer).await,
        (&Method::GET, "/sdk/vimServiceVersions.xml") => {
            let document = versions::document(&core.read().content.about.api_version);
            text(StatusCode::OK, "text/xml", document)
        }
        (_, path) if path == "/folder" || path.starts_with("/folder/") => folder::answer(core, request, peer).await,
        (_, path) if path.starts_with("/nfc/") || path.starts_with("/ha-nfc/") => nfc::answer(core, request).await,
        (_, "/screen") => screen::answer(core, request, peer).await,
        (_, "/guestFile") => guest_file::answer(core, request).await,
        (&Method::POST, "/api") => json_rpc::answer(core, request).await,
        (_, path) if path.starts_with("/api/") || path.starts_with("/rest/") => rest::answer(core, request).await,
        (&Method::GET, "") => text(StatusCode::OK, "text/plain", "A simulated vCenter. Its API is at /sdk.\n"),
        _ => text(StatusCode::NOT_FOUND, "text/plain", "There is nothing at this path.\n"),
    }
}

/// The answer to a request at which a handler has panicked.
fn failed() -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "The simulator has failed at this request.\n")
}

/// A whole answer.
pub(crate) fn text(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}
