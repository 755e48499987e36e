//! The way of a user through a login: a client sends them here, they agree, the provider says who they are, and the client gets a
//! code.
//!
//! A login belongs to one browser from the page that asks for consent to the provider's answer. All that is known of it meanwhile
//! is sealed text in that browser.

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE},
};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Access, Login, OAuth,
    client::{self, Client},
    identity::{Expected, NoUser, User},
    pages::{self, Page},
    params::Params,
    provider::{Grant, NoGrant},
    redirect::{Place, place},
    seal::{Kind, NoRandomness, Unsealed},
    vcenter,
};

/// How long a user may take for a login, in seconds.
pub(super) const PATIENCE: u64 = 600;

/// How long a code is good for, in seconds.
pub(super) const CODE_LIFE: u64 = 60;

/// The most bytes of what a client wants back with the answer.
const LONGEST_STATE: usize = 1024;

/// The most bytes of what the provider sends back.
const LONGEST_SEALED: usize = 1900;

/// The most bytes of a client's id.
const LONGEST_ID: usize = 6 << 10;

/// What a client asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Asked {
    /// A digest of the client's id, and its name.
    #[serde(rename = "c")]
    client: String,
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "r")]
    redirect: String,
    #[serde(rename = "s")]
    state: Option<String>,
    #[serde(rename = "p")]
    challenge: String,
}

/// A login, as the browser of the user keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pending {
    #[serde(rename = "i")]
    number: String,
    /// A digest of the browser's cookie.
    #[serde(rename = "b")]
    browser: String,
    #[serde(rename = "a")]
    asked: Asked,
}

/// A login that is at the provider. What its client asked for is kept here where it is long: providers cut long addresses.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Away {
    #[serde(rename = "i")]
    number: String,
    #[serde(rename = "b")]
    browser: String,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    asked: Option<Asked>,
}

/// What a code stands for.
#[derive(Clone)]
pub(super) enum Code {
    Fresh(Box<Granted>),
    /// It was used; whoever has it a second time has stolen it, or was stolen from.
    Used {
        family: String,
    },
}

/// A login that has succeeded.
#[derive(Clone)]
pub(super) struct Granted {
    /// A digest of the client's id.
    pub(super) client: String,
    pub(super) redirect: String,
    pub(super) challenge: String,
    pub(super) access: Access,
    /// The provider's refresh token, and in how many seconds it ends where that is known.
    pub(super) upstream: Option<(String, Option<u64>)>,
}

pub(super) fn routes(oauth: &OAuth) -> Router {
    Router::new()
        .route("/authorize", get(authorize))
        .route("/consent", post(consent))
        .route("/auth/callback", get(callback))
        .layer(DefaultBodyLimit::max(64 << 10))
        .with_state(oauth.clone())
}

/// A digest by which a text is known again.
pub(super) fn known_as(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

pub(super) fn broken(_: NoRandomness) -> Response {
    Page::problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "This server cannot log anyone in",
        "The system gives no random numbers.",
    )
    .into_response()
}

fn bad_request(text: &str) -> Response {
    let hint = format!(
        "{text}. The client sent you here with a request that cannot be answered; its user can do nothing but try again or tell its maker."
    );
    Page::problem(StatusCode::BAD_REQUEST, "This login request is not valid", &hint).into_response()
}

/// What is wrong is a clause, which becomes a sentence.
fn unknown_client(problem: &str) -> Response {
    let mut text = problem.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text.push('.');
    Page::problem(StatusCode::BAD_REQUEST, "This client is not known", &text).into_response()
}

/// Asks the user whether a client may act for them.
async fn authorize(State(oauth): State<OAuth>, headers: HeaderMap, uri: Uri) -> Response {
    let Some(login) = &oauth.inner.login else { return StatusCode::NOT_FOUND.into_response() };
    let params = match Params::read(uri.query().unwrap_or_default().as_bytes()) {
        Ok(params) => params,
        Err(problem) => return bad_request(problem),
    };
    let Some(id) = params.get("client_id").filter(|id| id.len() <= LONGEST_ID) else {
        return bad_request("The request has no client_id");
    };
    let client = match client::find(&login.seal, &login.documents, oauth.now(), id).await {
        Ok(client) => client,
        Err(error) => return unknown_client(&error.problem),
    };
    let redirect = match params.get("redirect_uri") {
        Some(redirect) if client.allows(redirect) => redirect,
        Some(_) => return bad_request("The client has not registered the redirect_uri that it wants the answer at"),
        None => return bad_request("The request has no redirect_uri"),
    };
    // From here on the client is told what is wrong.
    let refuse = |error, text| oauth.answer(redirect, params.get("state"), Err((error, text)));
    if params.get("state").is_some_and(|state| state.len() > LONGEST_STATE) {
        return oauth.answer(redirect, None, Err(("invalid_request", "state is too long")));
    }
    if params.get("response_type") != Some("code") {
        return refuse("unsupported_response_type", "response_type must be code");
    }
    let challenge = match (params.get("code_challenge"), params.get("code_challenge_method")) {
        (Some(challenge), Some("S256")) if is_digest(challenge) => challenge,
        _ => return refuse("invalid_request", "PKCE is needed: a code_challenge, with the code_challenge_method S256"),
    };
    if !params.all("resource").all(|resource| oauth.is_here(resource)) {
        return refuse("invalid_target", "the resource is not this server");
    }
    let asked = Asked {
        client: known_as(id),
        name: client.name.clone(),
        redirect: redirect.to_owned(),
        state: params.get("state").map(str::to_owned),
        challenge: challenge.to_owned(),
    };
    ask(&oauth, login, &headers, &client, asked).unwrap_or_else(broken)
}

/// The page that asks for consent. It is shown each time: a consent that is remembered can be abused.
fn ask(
    oauth: &OAuth,
    login: &Login,
    headers: &HeaderMap,
    client: &Client,
    asked: Asked,
) -> Result<Response, NoRandomness> {
    let browser = match cookie(oauth, headers) {
        Some(browser) => browser,
        None => login.seal.random()?,
    };
    let place = asked.redirect.clone();
    let pending = Pending { number: login.seal.random()?, browser: known_as(&browser), asked };
    let request = login.seal.seal(Kind::Request, oauth.now() + PATIENCE, &pending)?;
    let response = pages::consent(client, &place, oauth.base(), &request).into_response();
    Ok(with_cookie(oauth, response, &browser))
}

/// The answer with the cookie by which the browser is known again.
pub(super) fn with_cookie(oauth: &OAuth, mut response: Response, browser: &str) -> Response {
    let secure = if oauth.base().starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!("{}={browser}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax{secure}", cookie_name(oauth));
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Whether a form comes from a page of this server, as far as the browser says from where it comes.
pub(super) fn is_from_own_page(oauth: &OAuth, headers: &HeaderMap) -> bool {
    let is_own = |origin: &HeaderValue| origin.as_bytes() == oauth.base().as_bytes();
    headers.get_all(ORIGIN).iter().all(is_own) && headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin")
}

/// What the user has decided.
async fn consent(State(oauth): State<OAuth>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(login) = &oauth.inner.login else { return StatusCode::NOT_FOUND.into_response() };
    let forbidden = || {
        let text = "Your decision did not come from the page of this server in this browser. Start the login again in the client.";
        Page::problem(StatusCode::FORBIDDEN, "This decision does not count", text).into_response()
    };
    if !is_from_own_page(&oauth, &headers) {
        return forbidden();
    }
    let Ok(params) = Params::read(&body) else { return forbidden() };
    // The text on the page is good in the browser for which the page was made: no other page can know it.
    let pending: Pending = match login.seal.open(Kind::Request, oauth.now(), params.get("request").unwrap_or_default())
    {
        Ok(pending) => pending,
        Err(Unsealed::Expired) => return too_late(),
        Err(Unsealed::Foreign) => return forbidden(),
    };
    if !is_browser_of(&oauth, &headers, &pending.browser) {
        return forbidden();
    }
    let asked = &pending.asked;
    if params.get("decision") != Some("allow") {
        oauth.note("login_refused", None, "the user did not agree");
        return oauth.answer(&asked.redirect, asked.state.as_deref(), Err(("access_denied", "the user did not agree")));
    }
    match away(login, oauth.now(), &pending) {
        Ok(state) => to_provider(&oauth, login, &pending.number, &state).await,
        Err(error) => broken(error),
    }
}

/// What the provider sends back with its answer to a login.
fn away(login: &Login, now: u64, pending: &Pending) -> Result<String, NoRandomness> {
    let mut away =
        Away { number: pending.number.clone(), browser: pending.browser.clone(), asked: Some(pending.asked.clone()) };
    let state = login.seal.seal(Kind::State, now + PATIENCE, &away)?;
    if state.len() <= LONGEST_SEALED {
        return Ok(state);
    }
    login.asked.insert(now, &pending.number, pending.asked.clone());
    away.asked = None;
    login.seal.seal(Kind::State, now + PATIENCE, &away)
}

/// Sends the browser to the provider, for the login of this number.
pub(super) async fn to_provider(oauth: &OAuth, login: &Login, number: &str, state: &str) -> Response {
    let Ok(discovery) = oauth.inner.provider.discovery().await else { return provider_down() };
    let challenge = known_as(&login.seal.derive("verifier", number));
    let Ok(mut url) = Url::parse(&discovery.authorization) else { return provider_down() };
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &login.client_id)
        .append_pair("redirect_uri", &oauth.callback())
        .append_pair("scope", &oauth.scopes_upstream(&discovery.scopes))
        .append_pair("state", state)
        .append_pair("nonce", &login.seal.derive("nonce", number))
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    see_other(url.as_str())
}

/// What the provider says of a login.
async fn callback(State(oauth): State<OAuth>, headers: HeaderMap, uri: Uri) -> Response {
    let Some(login) = &oauth.inner.login else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(params) = Params::read(uri.query().unwrap_or_default().as_bytes()) else {
        return bad_request("The provider's answer cannot be read");
    };
    let state = params.get("state").unwrap_or_default();
    // It is one redirect URI for all that the provider is asked for.
    if state.starts_with(Kind::Visit.prefix()) {
        return vcenter::callback(&oauth, login, &headers, &params).await;
    }
    let unknown = || {
        let text = "This server has not begun this login, or was started again or given another signing key meanwhile. Start again in \
                    the client.";
        Page::problem(StatusCode::BAD_REQUEST, "This login is not known", text).into_response()
    };
    let Away { number, browser, asked } = match login.seal.open(Kind::State, oauth.now(), state) {
        Ok(away) => away,
        Err(Unsealed::Expired) => return too_late(),
        Err(Unsealed::Foreign) => return unknown(),
    };
    if !is_browser_of(&oauth, &headers, &browser) {
        return other_browser();
    }
    let Some(asked) = asked.or_else(|| login.asked.get(oauth.now(), &number)) else { return unknown() };
    let pending = Pending { number, browser, asked };
    let asked = &pending.asked;
    let (user, grant) = match oauth.answered(login, &params, &pending.number, "login_refused").await {
        Ok(answered) => answered,
        Err(NotIn::Page(page)) => return *page,
        Err(NotIn::Refused(error, text)) => {
            return oauth.answer(&asked.redirect, asked.state.as_deref(), Err((error, text)));
        }
        Err(NotIn::NoUser(why)) => {
            let access = |user| access(user, &pending);
            let (page, is_told) = no_user(&oauth, "login_refused", access, why);
            let back = oauth.address(
                &asked.redirect,
                asked.state.as_deref(),
                Err(("access_denied", "no group of the user gives a permission")),
            );
            return if is_told { page.with_way_back(back) } else { page }.into_response();
        }
    };
    let access = access(user, &pending);
    oauth.note("login", Some(&access), "ok");
    if grant.refresh_token.is_none() {
        tracing::info!(
            "the provider gave no refresh token, so that logins last an hour: it may need the scope offline_access"
        );
    }
    let Ok(code) = login.seal.random() else { return broken(NoRandomness) };
    let granted = Granted {
        client: asked.client.clone(),
        redirect: asked.redirect.clone(),
        challenge: asked.challenge.clone(),
        access,
        upstream: grant.refresh_token.map(|token| (token, grant.refresh_ends)),
    };
    login.codes.insert(oauth.now(), &code, Code::Fresh(Box::new(granted)));
    oauth.answer(&asked.redirect, asked.state.as_deref(), Ok(&code))
}

/// Why the provider's answer logs nobody in.
pub(super) enum NotIn {
    /// For a reason that is the user's to see.
    Page(Box<Response>),
    /// An error as clients are told it, and its text.
    Refused(&'static str, &'static str),
    NoUser(NoUser),
}

impl OAuth {
    /// The user who logged in at the provider, from its answer to the login with this number.
    ///
    /// # Errors
    /// Nobody has; an audit line says so.
    pub(super) async fn answered(
        &self,
        login: &Login,
        params: &Params,
        number: &str,
        event: &'static str,
    ) -> Result<(User, Grant), NotIn> {
        let page = |page: Page| NotIn::Page(Box::new(page.into_response()));
        let down = || NotIn::Page(Box::new(provider_down()));
        if !login.answered.insert_new(self.now(), number, ()) {
            let text = "Its answer was used once already. If the client is not logged in, start again there.";
            return Err(page(Page::problem(StatusCode::BAD_REQUEST, "This login is over", text)));
        }
        let discovery = self.inner.provider.discovery().await.map_err(|_| down())?;
        // An answer from another provider does not belong to this login.
        if params.get("iss").map_or(discovery.names_itself, |issuer| issuer != discovery.issuer) {
            self.note(event, None, "the answer is of another provider");
            let text = "The answer to it is of another provider of identities than the one that you were sent to. Do not go on.";
            let title = "This login was answered by somebody else";
            return Err(page(Page::problem(StatusCode::BAD_REQUEST, title, text)));
        }
        let Some(code) = params.get("code") else {
            let denied = matches!(
                params.get("error"),
                Some("access_denied" | "login_required" | "consent_required" | "interaction_required")
            );
            tracing::warn!(
                error = crate::text::one_line(params.get("error").unwrap_or("none")),
                "the provider refused a login"
            );
            self.note(event, None, "the provider refused it");
            return Err(match denied {
                true => NotIn::Refused("access_denied", "the provider of identities did not log the user in"),
                false => NotIn::Refused("server_error", "the provider of identities answered with an error"),
            });
        };
        let verifier = login.seal.derive("verifier", number);
        let callback = self.callback();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", callback.as_str()),
            ("code_verifier", verifier.as_str()),
        ];
        let grant = match self.inner.provider.grant(&form, &login.client_id, &login.client_secret).await {
            Ok(grant) => grant,
            Err(NoGrant::Refused) => {
                self.note(event, None, "the provider did not take its own code");
                return Err(NotIn::Refused("access_denied", "the provider of identities did not confirm the login"));
            }
            Err(NoGrant::Down(cause)) => {
                tracing::error!(down = %cause, "a login failed at the provider");
                self.note(event, None, "the provider gave no tokens");
                return Err(down());
            }
        };
        let nonce = login.seal.derive("nonce", number);
        let user = self.user(&login.client_id, &grant, Expected::Nonce(&nonce)).await.map_err(NotIn::NoUser)?;
        Ok((user, grant))
    }
}

fn access(user: User, pending: &Pending) -> Access {
    Access {
        issuer: user.issuer,
        subject: user.subject,
        name: user.name,
        groups: user.groups,
        client: pending.asked.name.clone(),
        family: pending.number.clone(),
    }
}

/// What a user sees who may do nothing, and whether that is for the client to know, too.
pub(super) fn no_user(
    oauth: &OAuth,
    event: &'static str,
    audited: impl FnOnce(User) -> Access,
    why: NoUser,
) -> (Page, bool) {
    match why {
        NoUser::NoLevel(user) => {
            let text = format!(
                "You are logged in as {}, but you may do nothing here. Ask an administrator to add you to {}.",
                user.name,
                oauth.groups().wanted()
            );
            oauth.note(event, Some(&audited(user)), "no group gives a level");
            (Page::problem(StatusCode::FORBIDDEN, "You have no permission here", &text), true)
        }
        NoUser::TooManyGroups(user) => {
            let text = "You are in so many groups that the provider does not list them. An administrator has to send app roles \
                        instead (OAUTH_GROUPS_CLAIM=roles), or only the groups assigned to the application.";
            oauth.note(event, Some(&audited(user)), "the groups are too many to be listed");
            (Page::problem(StatusCode::FORBIDDEN, "Your groups are not known", text), true)
        }
        NoUser::Wrong(fault) => {
            tracing::error!(%fault, "what the provider gave for a login does not hold");
            oauth.note(event, None, "what the provider gave does not hold");
            let text = format!(
                "What the provider of identities gave for your login does not hold: {fault}. An administrator finds more in the log of this server."
            );
            (Page::problem(StatusCode::BAD_GATEWAY, "The login failed", &text), false)
        }
        NoUser::Down(down) => {
            tracing::error!(%down, "a login failed at the provider");
            oauth.note(event, None, "the provider does not answer");
            (down_page(), false)
        }
    }
}

impl OAuth {
    /// Where the provider sends users back to.
    pub(super) fn callback(&self) -> String {
        format!("{}/auth/callback", self.base())
    }

    /// What the provider is asked for: the scopes of the settings, and a refresh token where it offers one by scope.
    fn scopes_upstream(&self, offered: &[String]) -> String {
        let mut scopes: Vec<&str> = self.inner.settings.scopes.iter().map(String::as_str).collect();
        let is_offered = self.inner.settings.offline_access && offered.iter().any(|scope| scope == "offline_access");
        if is_offered && !scopes.contains(&"offline_access") {
            scopes.push("offline_access");
        }
        scopes.join(" ")
    }

    /// The address at which a client gets a code, or an error and its text.
    fn address(&self, redirect: &str, state: Option<&str>, answer: Result<&str, (&str, &str)>) -> String {
        let Ok(mut url) = Url::parse(redirect) else { return String::new() };
        {
            let mut query = url.query_pairs_mut();
            match answer {
                Ok(code) => drop(query.append_pair("code", code)),
                Err((error, text)) => drop(query.append_pair("error", error).append_pair("error_description", text)),
            }
            if let Some(state) = state {
                query.append_pair("state", state);
            }
            query.append_pair("iss", self.base());
        }
        url.into()
    }

    /// Sends the browser there.
    fn answer(&self, redirect: &str, state: Option<&str>, answer: Result<&str, (&str, &str)>) -> Response {
        let address = self.address(redirect, state, answer);
        match place(redirect) {
            Some(Place::Application) => pages::to_application(&address, answer.is_ok()).into_response(),
            Some(Place::Web | Place::Loopback) => see_other(&address),
            None => bad_request("The answer cannot be sent where the client wants it"),
        }
    }
}

pub(super) fn see_other(address: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(address) else {
        return bad_request("The address of the answer is not valid");
    };
    pages::safe((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response())
}

fn too_late() -> Response {
    let text = "It has taken longer than ten minutes. Start again in the client.";
    Page::problem(StatusCode::BAD_REQUEST, "This login has expired", text).into_response()
}

pub(super) fn other_browser() -> Response {
    let text = "It was begun in another browser, or cookies are off. If you did not begin it, somebody may have sent you a link \
                to log in for them: do not go on. Otherwise start again in the client, in one browser.";
    Page::problem(StatusCode::FORBIDDEN, "This login belongs to another browser", text).into_response()
}

fn down_page() -> Page {
    let text = "The provider of identities does not answer as it should. Try again in a moment; an administrator finds the cause in \
                the log of this server, and by `mcvsphere doctor --oauth`.";
    Page::problem(StatusCode::SERVICE_UNAVAILABLE, "Nobody can log in at present", text)
}

fn provider_down() -> Response {
    down_page().into_response()
}

/// With this name a browser takes the cookie from this very host by https alone.
fn cookie_name(oauth: &OAuth) -> &'static str {
    if oauth.base().starts_with("https://") { "__Host-mcvsphere-login" } else { "mcvsphere-login" }
}

/// The browser, by its cookie.
pub(super) fn cookie(oauth: &OAuth, headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let mut own = all.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == cookie_name(oauth));
    let value = own.next().map(|(_, value)| value)?;
    (own.next().is_none() && is_digest(value)).then(|| value.to_owned())
}

/// Whether it is the browser of this digest.
pub(super) fn is_browser_of(oauth: &OAuth, headers: &HeaderMap, browser: &str) -> bool {
    cookie(oauth, headers).is_some_and(|own| known_as(&own) == browser)
}

/// Whether a text is one of 256 bits, in the form that all of them have here.
fn is_digest(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
