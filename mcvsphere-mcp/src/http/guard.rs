//! What keeps foreign web pages away: the host that a request is for, and the page that it comes from.
//!
//! A page in the browser of a user whose computer runs this server can reach it under a name that the page chose (DNS
//! rebinding), and can send requests to it from its own origin.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::{
    Settings,
    settings::{Authority, PublicUrl, WebOrigin, name},
};

/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What this server is known as, and which pages may call it.
pub(super) struct Guard {
    hosts: Vec<Authority>,
    origins: Vec<WebOrigin>,
}

impl Guard {
    pub(super) fn new(settings: &Settings, listens_at: SocketAddr) -> Self {
        let mut hosts: Vec<Authority> = settings.allowed_hosts().into_iter().flatten().cloned().collect();
        let mut origins: Vec<WebOrigin> = settings.allowed_origins().into_iter().flatten().cloned().collect();
        if let Some(url) = settings.known_as() {
            hosts.extend(PublicUrl::authority(url));
            origins.extend(PublicUrl::origin(url));
        }
        if !listens_at.ip().is_unspecified() {
            hosts.extend(Authority::read(&listens_at.to_string()));
        }
        Self { hosts, origins }
    }

    fn knows_host(&self, host: &Authority) -> bool {
        host.is_loopback() || self.hosts.iter().any(|known| known.covers(host))
    }

    fn knows_origin(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().ok().and_then(WebOrigin::read);
        origin.is_some_and(|origin| {
            let is_web = matches!(origin.scheme.as_str(), "http" | "https");
            (is_web && origin.authority.is_loopback()) || self.origins.contains(&origin)
        })
    }

    /// What lets the pages that may call this server do so, and read its answers.
    pub(super) fn cors(self: &Arc<Self>) -> CorsLayer {
        let guard = Arc::clone(self);
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| guard.knows_origin(origin)))
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            // The headers of arguments have names of their own. None of them does harm from a page that is known.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([
                WWW_AUTHENTICATE,
                RETRY_AFTER,
                HeaderName::from_static("mcp-session-id"),
                HeaderName::from_static("mcp-protocol-version"),
            ])
            .max_age(REMEMBERED)
    }
}

/// Refuses a request for a host that this server is not known as.
pub(super) async fn check_host(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match hosts(&request) {
        Some(hosts) if hosts.iter().all(|host| guard.knows_host(host)) => next.run(request).await,
        Some(_) => forbidden(&format!(
            "this server is not known as the host of this request: set {} or {}",
            name::MCP_PUBLIC_URL,
            name::MCP_ALLOWED_HOSTS
        )),
        None => (StatusCode::BAD_REQUEST, "Bad Request: there must be one Host header").into_response(),
    }
}

/// The hosts that a request names, by its header and by its target where that is a whole URL.
fn hosts(request: &Request) -> Option<Vec<Authority>> {
    let mut headers = request.headers().get_all(HOST).iter();
    let (header, None) = (headers.next()?, headers.next()) else {
        return None;
    };
    let mut hosts = vec![Authority::read(header.to_str().ok()?)?];
    if let Some(target) = request.uri().authority() {
        hosts.push(Authority::read(target.as_str())?);
    }
    Some(hosts)
}

/// Refuses a request of a page that may not call this server. A request without an origin is no page's.
pub(super) async fn check_origin(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if request.headers().get_all(ORIGIN).iter().all(|origin| guard.knows_origin(origin)) {
        return next.run(request).await;
    }
    forbidden(&format!("pages of this origin may not call this server: set {}", name::MCP_ALLOWED_ORIGINS))
}

fn forbidden(why: &str) -> Response {
    (StatusCode::FORBIDDEN, format!("Forbidden: {why}")).into_response()
}

/// Headers that all answers have: no proxy may hold streams back, and no answer is kept or taken for something else.
pub(super) async fn safe_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    if is_stream(headers) {
        headers.entry("x-accel-buffering").or_insert(HeaderValue::from_static("no"));
    } else {
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}
