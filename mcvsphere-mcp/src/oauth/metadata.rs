//! What this server says of itself as a resource server (RFC 9728) and as an authorization server (RFC 8414).
//!
//! Every address comes from OAUTH_BASE_URL: nothing that a request says of host or scheme makes one.

use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, RETRY_AFTER,
    },
};
use serde_json::json;

use super::{OAuth, RESOURCE, unavailable};
use crate::http::authenticate::Refused;

const PROTECTED: &str = "/.well-known/oauth-protected-resource";
const SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

pub(super) fn routes(oauth: &OAuth) -> Router {
    // Clients look at the root, and below the path of the endpoint.
    let both = |router: Router<OAuth>, path: &str, handler: axum::routing::MethodRouter<OAuth>| {
        router.route(path, handler.clone()).route(&format!("{path}{RESOURCE}"), handler)
    };
    let mut router = both(Router::new(), PROTECTED, get(protected));
    if oauth.inner.login.is_some() {
        router = both(router, SERVER, get(server));
        router = both(router, OPENID, get(server));
    }
    router.layer(from_fn(open_to_pages)).with_state(oauth.clone())
}

/// Lets web pages of other origins read the answer: it has nothing that a cookie would give.
pub(super) async fn open_to_pages(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if preflight {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
        let allowed = HeaderValue::from_static("authorization, content-type, mcp-protocol-version");
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    }
    response
}

async fn protected(State(oauth): State<OAuth>) -> Response {
    // Clients compare letter by letter, so that the provider is called what it calls itself.
    let server = match oauth.inner.login {
        Some(_) => oauth.base().to_owned(),
        None => match oauth.inner.provider.discovery().await {
            Ok(discovery) => discovery.issuer.clone(),
            Err(_) => {
                return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "10")], Json(unavailable())).into_response();
            }
        },
    };
    cached(json!({
        "resource": oauth.inner.resource,
        "authorization_servers": [server],
        "scopes_supported": oauth.scopes().collect::<Vec<_>>(),
        "bearer_methods_supported": ["header"],
        "resource_name": "mcvsphere",
    }))
}

async fn server(State(oauth): State<OAuth>) -> Response {
    let base = oauth.base();
    cached(json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "registration_endpoint": format!("{base}/register"),
        "revocation_endpoint": format!("{base}/revoke"),
        "scopes_supported": oauth.scopes().collect::<Vec<_>>(),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
    }))
}

fn cached(body: serde_json::Value) -> Response {
    ([(CACHE_CONTROL, "public, max-age=300")], Json(body)).into_response()
}

/// How to get a token, and what is wrong with the one that was given.
pub(super) fn challenge(oauth: &OAuth, refused: Option<&Refused>) -> HeaderValue {
    let mut text = format!("Bearer resource_metadata=\"{}{PROTECTED}{RESOURCE}\"", oauth.base());
    let scopes: Vec<&str> = oauth.scopes().collect();
    if !scopes.is_empty() {
        text.push_str(&format!(", scope=\"{}\"", scopes.join(" ")));
    }
    if let Some(refused) = refused {
        let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { ' ' };
        let reason: String = refused.reason().chars().map(plain).collect();
        text.push_str(&format!(", error=\"invalid_token\", error_description=\"{reason}\""));
    }
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
}
