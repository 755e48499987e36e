//! Identifies the caller of an HTTP request by the bearer token in its `Authorization` header, and by nothing else.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::{StreamExt, future::BoxFuture};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use serde_json::json;
use tokio::time::timeout;

use super::{
    Remote,
    limits::{Limits, too_many},
    sessions::Sessions,
};
use crate::{Caller, Permission, Server};

/// The most bytes of a token.
const LONGEST: usize = 16 << 10;

/// How much of the body of a refused request is read, and for how long it may come.
const DRAINED: usize = 16 << 10;
const DRAINED_WITHIN: Duration = Duration::from_secs(1);

/// Something that knows whose a token is.
#[async_trait]
pub(crate) trait Authenticator: Send + Sync + 'static {
    /// The caller whose token this is.
    async fn caller(&self, bearer: &str, request: &Parts) -> Result<Caller, Refused>;

    /// The `WWW-Authenticate` header for a request without a token, or with one that was refused.
    fn challenge(&self, refused: Option<&Refused>) -> HeaderValue;

    /// Waits until the token does not count any more, where it is one of this authenticator's: streams that were opened with it end
    /// then.
    fn end(&self, _bearer: &str) -> Option<BoxFuture<'static, ()>> {
        None
    }

    /// What it serves by itself, such as its metadata: to everyone, for the hosts that the guard knows.
    fn routes(&self) -> Option<Router> {
        None
    }
}

/// Why a token does not count. No text holds any part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// This authenticator does not know it; another may.
    Unknown,
    /// It is one of this authenticator's, and does not count for this reason.
    Invalid(String),
    /// Nobody can tell at present, for this reason.
    Unavailable(String),
}

impl Refused {
    /// The reason, as a client may know it.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Unknown => "the token is not known",
            Self::Invalid(reason) | Self::Unavailable(reason) => reason,
        }
    }
}

/// The challenge of an authenticator that has nothing to tell but that a token is needed.
pub(crate) fn plain_challenge(refused: Option<&Refused>) -> HeaderValue {
    let text = match refused {
        None => "Bearer".to_owned(),
        Some(refused) => {
            let reason = refused.reason().replace(['"', '\\'], "'");
            format!("Bearer error=\"invalid_token\", error_description=\"{reason}\"")
        }
    };
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Bearer error=\"invalid_token\""))
}

/// Authenticates each request.
pub(crate) struct Door {
    pub(crate) authenticators: Vec<Arc<dyn Authenticator>>,
    /// What the authenticators serve.
    pub(crate) routes: Vec<Router>,
    /// Who calls where there is no authenticator.
    pub(crate) anyone: Option<Caller>,
    /// The most that any caller may do.
    pub(crate) most: Permission,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) limits: Limits,
    pub(crate) server: Server,
}

/// Puts the caller into the request, or answers in the place of the server.
pub(super) async fn authenticate(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = match door.caller(&parts).await {
        Ok(caller) => caller,
        Err(response) => return refused(body, response).await,
    };
    if !door.sessions.admits(&parts.headers, caller.identity()) {
        // The words of a session that never was.
        let response = (StatusCode::NOT_FOUND, "Not Found: Session not found").into_response();
        return refused(body, response).await;
    }
    let end = bearer(&parts.headers).ok().flatten().and_then(|bearer| door.end(bearer));
    // It has done its work: nothing behind can pass it on or log it.
    parts.headers.remove(AUTHORIZATION);
    parts.extensions.insert(caller);
    let response = next.run(Request::from_parts(parts, body)).await;
    match end {
        Some(end) if is_stream(&response) => {
            response.map(|body| Body::from_stream(body.into_data_stream().take_until(end)))
        }
        _ => response,
    }
}

/// Refuses a request once its body has come, where that is small and comes soon: a body that nobody reads costs the connection,
/// which the client may be about to use again.
async fn refused(body: Body, response: Response) -> Response {
    let _ = timeout(DRAINED_WITHIN, to_bytes(body, DRAINED)).await;
    response
}

/// Whether the answer may go on for as long as its client likes.
fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"))
}

impl Door {
    async fn caller(&self, request: &Parts) -> Result<Caller, Response> {
        if let Some(anyone) = &self.anyone {
            return Ok(anyone.clone());
        }
        let Some(bearer) = bearer(&request.headers).map_err(malformed)? else {
            return Err(self.unauthorized(None));
        };
        let mut refusal = Refused::Unknown;
        for authenticator in &self.authenticators {
            match authenticator.caller(bearer, request).await {
                Ok(caller) => return Ok(caller.at_most(self.most)),
                Err(Refused::Unknown) => {}
                Err(refused) => refusal = refused,
            }
        }
        // Nothing is wrong with the token: it is no attempt that is counted.
        if let Refused::Unavailable(reason) = &refusal {
            let body = json!({ "error": "temporarily_unavailable", "error_description": reason });
            return Err((StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "10")], Json(body)).into_response());
        }
        let remote = request.extensions.get::<Remote>().map(|remote| remote.address);
        if let Some(wait) = remote.and_then(|address| self.limits.refused(address)) {
            return Err(too_many(wait));
        }
        self.server.audit().refused(remote, refusal.reason());
        Err(self.unauthorized(Some(&refusal)))
    }

    /// When the streams end that are opened with this token.
    fn end(&self, bearer: &str) -> Option<BoxFuture<'static, ()>> {
        self.authenticators.iter().find_map(|authenticator| authenticator.end(bearer))
    }

    fn unauthorized(&self, refused: Option<&Refused>) -> Response {
        let challenge = match self.authenticators.last() {
            Some(last) => last.challenge(refused),
            None => plain_challenge(refused),
        };
        let body = match refused {
            Some(refused) => json!({ "error": "invalid_token", "error_description": refused.reason() }),
            None => json!({ "error": "unauthorized", "error_description": "this server needs a bearer token" }),
        };
        let headers = [(WWW_AUTHENTICATE, challenge), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        (StatusCode::UNAUTHORIZED, headers, Json(body)).into_response()
    }
}

/// The token of a request. Another scheme than `Bearer` is as no token.
///
/// # Errors
/// There are several `Authorization` headers, or one that is no text.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), rest) = (all.next(), all.next()) else {
        return Ok(None);
    };
    if rest.is_some() {
        return Err("there are several Authorization headers");
    }
    let text = header.to_str().map_err(|_| "the Authorization header is no ASCII text")?;
    let Some((scheme, token)) = text.trim().split_once(' ') else {
        return Ok(None);
    };
    let token = token.trim();
    match scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        true if token.len() > LONGEST => Err("the bearer token is too long"),
        true => Ok(Some(token)),
        false => Ok(None),
    }
}

fn malformed(problem: &'static str) -> Response {
    let body = json!({ "error": "invalid_request", "error_description": problem });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}
