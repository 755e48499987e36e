//! What programs ask for without a browser: to be registered, tokens for a code or a refresh token, and the end of a login.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::post,
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, RETRY_AFTER},
};
use serde_json::{Map, Value, json};

use super::{
    Access, Login, OAuth,
    client::{self, NoClient},
    login::{Code, known_as},
    metadata::open_to_pages,
    params::Params,
    redirect::matches,
    refresh::{NoTokens, Refresh},
    seal::{Kind, Unsealed},
    unavailable,
};

pub(super) fn routes(oauth: &OAuth) -> Router {
    Router::new()
        .route("/register", post(register))
        .route("/token", post(token))
        .route("/revoke", post(revoke))
        .layer(DefaultBodyLimit::max(64 << 10))
        .layer(from_fn(open_to_pages))
        .with_state(oauth.clone())
}

/// An answer that nobody may keep.
fn answer(status: StatusCode, body: Value) -> Response {
    (status, [(CACHE_CONTROL, "no-store"), (http::header::PRAGMA, "no-cache")], Json(body)).into_response()
}

fn refused(status: StatusCode, error: &str, text: &str) -> Response {
    answer(status, json!({ "error": error, "error_description": text }))
}

fn bad(error: &str, text: &str) -> Response {
    refused(StatusCode::BAD_REQUEST, error, text)
}

fn later() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "10"), (CACHE_CONTROL, "no-store")], Json(unavailable()))
        .into_response()
}

async fn register(State(oauth): State<OAuth>, body: Bytes) -> Response {
    let Some(login) = &oauth.inner.login else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(asked) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return bad("invalid_client_metadata", "the body is no JSON object");
    };
    match client::register(&login.seal, oauth.now(), &asked) {
        Ok(client) => answer(StatusCode::CREATED, client),
        Err(NoClient { code, problem }) => bad(code, &problem),
    }
}

async fn token(State(oauth): State<OAuth>, body: Bytes) -> Response {
    let Some(login) = &oauth.inner.login else { return StatusCode::NOT_FOUND.into_response() };
    let params = match Params::read(&body) {
        Ok(params) => params,
        Err(problem) => return bad("invalid_request", problem),
    };
    let Some(id) = params.get("client_id") else {
        return bad("invalid_request", "the request has no client_id: clients have no secrets here");
    };
    if let Err(NoClient { problem, .. }) = client::check(&login.seal, oauth.now(), id) {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client", &problem);
    }
    if !params.all("resource").all(|resource| oauth.is_here(resource)) {
        return bad("invalid_target", "the resource is not this server");
    }
    match params.get("grant_type") {
        Some("authorization_code") => redeem(&oauth, login, &params, id),
        Some("refresh_token") => refresh(&oauth, login, &params, id).await,
        _ => bad("unsupported_grant_type", "grant_type must be authorization_code or refresh_token"),
    }
}

/// The tokens that a code stands for.
fn redeem(oauth: &OAuth, login: &Login, params: &Params, id: &str) -> Response {
    let invalid = |text: &str| bad("invalid_grant", text);
    let (Some(code), Some(verifier)) = (params.get("code"), params.get("code_verifier")) else {
        return bad("invalid_request", "code and code_verifier are needed");
    };
    let now = oauth.now();
    let granted = match login.codes.take(now, code) {
        Some(Code::Fresh(granted)) => *granted,
        Some(Code::Used { family }) => {
            // Whoever was first may have stolen it: nobody stays logged in by it.
            login.revoked.insert(now, &family, ());
            oauth.note("login_revoked", None, "a code was used twice");
            return invalid("the code was used before: the login is revoked");
        }
        None => return invalid("the code is not known, or has expired"),
    };
    login.codes.insert(now, code, Code::Used { family: granted.access.family.clone() });
    if granted.client != known_as(id) {
        return invalid("the code was given to another client");
    }
    if params.get("redirect_uri").is_some_and(|redirect| !matches(&granted.redirect, redirect)) {
        return invalid("the redirect_uri is not the one that the code was sent to");
    }
    let is_verifier = (43..=128).contains(&verifier.len());
    if !is_verifier || known_as(verifier) != granted.challenge {
        return invalid("the code_verifier does not fit");
    }
    match oauth.first_tokens(login, &granted.access, granted.client, granted.upstream) {
        Ok(tokens) => answer(StatusCode::OK, tokens),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the system gives no random numbers"),
    }
}

async fn refresh(oauth: &OAuth, login: &Login, params: &Params, id: &str) -> Response {
    let Some(token) = params.get("refresh_token") else {
        return bad("invalid_request", "refresh_token is needed");
    };
    let refresh: Refresh = match login.seal.open(Kind::Refresh, oauth.now(), token) {
        Ok(refresh) => refresh,
        Err(Unsealed::Expired) => return bad("invalid_grant", "the login has ended: log in again"),
        Err(Unsealed::Foreign) => {
            return bad(
                "invalid_grant",
                "the refresh token was not issued by this server, or before its key was replaced: log in again",
            );
        }
    };
    if refresh.client != known_as(id) {
        return bad("invalid_grant", "the refresh token was given to another client");
    }
    match oauth.refreshed(refresh).await {
        Ok(tokens) => answer(StatusCode::OK, tokens),
        Err(NoTokens::Over(why)) => bad("invalid_grant", &why),
        Err(NoTokens::Down) => later(),
    }
}

/// Ends a login, here and at the provider. Whether there was one is not told (RFC 7009).
async fn revoke(State(oauth): State<OAuth>, body: Bytes) -> Response {
    let Some(login) = &oauth.inner.login else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(params) = Params::read(&body) else { return bad("invalid_request", "the parameters cannot be read") };
    let (Some(token), Some(id)) = (params.get("token"), params.get("client_id")) else {
        return bad("invalid_request", "token and client_id are needed");
    };
    let now = oauth.now();
    if let Ok(refresh) = login.seal.open::<Refresh>(Kind::Refresh, now, token) {
        if refresh.client == known_as(id) {
            end(&oauth, login, &refresh.access);
            let revoked = oauth.inner.provider.revoke(&refresh.upstream, &login.client_id, &login.client_secret).await;
            if let Err(down) = revoked {
                tracing::warn!(%down, "the provider was not told that a login is over");
            }
        }
    } else if let Ok(access) = login.seal.open::<Access>(Kind::Access, now, token) {
        // Who holds an access token may give it up, whichever client they are.
        end(&oauth, login, &access);
    }
    answer(StatusCode::OK, json!({}))
}

fn end(oauth: &OAuth, login: &Login, access: &Access) {
    login.revoked.insert(oauth.now(), &access.family, ());
    oauth.note("login_revoked", Some(access), "ok");
}
