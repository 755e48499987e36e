//! The provider of identities: what it says of itself, and its keys.
//!
//! Nothing is read before it is needed, so that the server starts while the provider is down. What was read once stays in use while
//! the provider does not answer.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::{
    groups::Claims,
    jwt::{Fault, Jwt, Key},
    web::{Client, Said, Web, WebError, is_safe},
};

/// For how long what was read is taken as it is.
const FRESH: Duration = Duration::from_secs(3600);

/// How long to wait before a provider that did not answer is asked again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// How long to wait before the keys are read again because a token names one that is not among them.
const PAUSE_OF_KEYS: Duration = Duration::from_secs(30);

/// The most keys of a set that are looked at.
const MOST_KEYS: usize = 64;

/// What a provider says of itself.
#[derive(Debug, Clone)]
pub(super) struct Discovery {
    /// Its name, letter by letter.
    pub(super) issuer: String,
    pub(super) authorization: String,
    token: String,
    userinfo: Option<String>,
    revocation: Option<String>,
    pub(super) introspection: Option<String>,
    keys: String,
    pub(super) scopes: Vec<String>,
    pub(super) claims: Vec<String>,
    /// Whether its answers to a login name it.
    pub(super) names_itself: bool,
    in_body: bool,
}

/// The provider cannot be asked.
#[derive(Debug, Clone)]
pub(super) struct Down(String);

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<WebError> for Down {
    fn from(error: WebError) -> Self {
        Self(error.to_string())
    }
}

/// Why there are no claims.
#[derive(Debug, Clone)]
pub(super) enum NoClaims {
    Fault(Fault),
    Down(Down),
}

impl From<Fault> for NoClaims {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Down> for NoClaims {
    fn from(down: Down) -> Self {
        Self::Down(down)
    }
}

impl fmt::Display for NoClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Down(down) => down.fmt(f),
        }
    }
}

/// What a provider gives for a code or a refresh token.
pub(super) struct Grant {
    pub(super) id_token: Option<String>,
    pub(super) access_token: Option<String>,
    pub(super) refresh_token: Option<String>,
    /// In how many seconds the refresh token ends, where that is known.
    pub(super) refresh_ends: Option<u64>,
}

/// Why a provider gives nothing.
#[derive(Debug)]
pub(super) enum NoGrant {
    /// It says so: the login is over.
    Refused,
    Down(Down),
}

pub(super) struct Provider {
    issuer: String,
    web: Web,
    discovery: RwLock<Option<Read<Discovery>>>,
    keys: RwLock<Option<Read<Vec<Key>>>>,
    /// The one flight of a request for the metadata, and how the last failed.
    asking: Mutex<Option<(Down, Instant)>>,
    /// The one flight of a request for the keys.
    reading: Mutex<Reading>,
}

/// What was read, and when.
struct Read<T> {
    value: Arc<T>,
    at: Instant,
}

impl<T> Read<T> {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH
    }
}

/// When keys were last asked for, and when because one was not known.
#[derive(Default)]
struct Reading {
    tried: Option<Instant>,
    searched: Option<Instant>,
}

impl Provider {
    pub(super) fn new(issuer: &str, web: Web) -> Self {
        Self {
            issuer: issuer.to_owned(),
            web,
            discovery: RwLock::default(),
            keys: RwLock::default(),
            asking: Mutex::default(),
            reading: Mutex::default(),
        }
    }

    /// What the provider says of itself.
    ///
    /// # Errors
    /// It does not answer, and never has; or it says to be somebody else.
    pub(super) async fn discovery(&self) -> Result<Arc<Discovery>, Down> {
        let known = present(&self.discovery);
        if let Some(known) = known.as_ref().filter(|known| known.is_fresh()) {
            return Ok(Arc::clone(&known.value));
        }
        // What is known is good enough while another asks.
        let mut failed = match (&known, self.asking.try_lock()) {
            (_, Ok(failed)) => failed,
            (Some(known), Err(_)) => return Ok(Arc::clone(&known.value)),
            (None, Err(_)) => self.asking.lock().await,
        };
        let known = present(&self.discovery);
        if let Some(known) = known.as_ref().filter(|known| known.is_fresh()) {
            return Ok(Arc::clone(&known.value));
        }
        let pause = if known.is_some() { PAUSE_OF_KEYS } else { PAUSE_AFTER_FAILURE };
        let down = match &*failed {
            Some((down, at)) if at.elapsed() < pause => down.clone(),
            _ => match self.discover().await {
                Ok(found) => {
                    *failed = None;
                    return Ok(keep(&self.discovery, found));
                }
                Err(down) => {
                    tracing::warn!(issuer = self.issuer, %down, "the provider of identities cannot be asked");
                    *failed = Some((down.clone(), Instant::now()));
                    down
                }
            },
        };
        known.map(|known| known.value).ok_or(down)
    }

    async fn discover(&self) -> Result<Discovery, Down> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let object = object(self.web.get("read the provider's metadata", &url, None).await?, &url)?;
        let lacks = |name: &str| Down(format!("{url} names no {name} that can be used"));
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        let list = |name: &str| -> Option<Vec<String>> {
            let all = object.get(name)?.as_array()?.iter().filter_map(Value::as_str);
            Some(all.map(str::to_owned).collect())
        };
        let issuer = text("issuer").ok_or_else(|| lacks("issuer"))?;
        // By the slash at the end alone they may differ: what the provider says counts.
        if issuer.trim_end_matches('/') != self.issuer.trim_end_matches('/') {
            let wanted = &self.issuer;
            return Err(Down(format!(
                "{url} is of the issuer {issuer}, and OAUTH_ISSUER_URL is {wanted}: set it to what is right"
            )));
        }
        let address = |name: &str| text(name).filter(|url| is_safe(url)).map(str::to_owned);
        let methods = list("token_endpoint_auth_methods_supported");
        let in_body = methods.is_some_and(|all| {
            let has = |name: &str| all.iter().any(|method| method == name);
            !has("client_secret_basic") && has("client_secret_post")
        });
        Ok(Discovery {
            issuer: issuer.to_owned(),
            authorization: address("authorization_endpoint").ok_or_else(|| lacks("authorization_endpoint"))?,
            token: address("token_endpoint").ok_or_else(|| lacks("token_endpoint"))?,
            keys: address("jwks_uri").ok_or_else(|| lacks("jwks_uri"))?,
            userinfo: address("userinfo_endpoint"),
            revocation: address("revocation_endpoint"),
            introspection: address("introspection_endpoint"),
            scopes: list("scopes_supported").unwrap_or_default(),
            claims: list("claims_supported").unwrap_or_default(),
            names_itself: object.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
            in_body,
        })
    }

    /// The claims of a token of this provider whose signature, issuer and times are right.
    ///
    /// # Errors
    /// They are not, or cannot be checked as the provider does not answer.
    pub(super) async fn claims(&self, jwt: Jwt<'_>, now: u64) -> Result<Claims, NoClaims> {
        let discovery = self.discovery().await?;
        let keys = self.keys_for(&jwt, &discovery).await?;
        Ok(jwt.check(&keys, &discovery.issuer, now)?)
    }

    /// The keys, read again where they are old or this token's is not among them.
    async fn keys_for(&self, jwt: &Jwt<'_>, discovery: &Discovery) -> Result<Arc<Vec<Key>>, Down> {
        let known = present(&self.keys);
        let has_key = |known: &Option<Read<Vec<Key>>>| known.as_ref().is_some_and(|known| jwt.has_key_in(&known.value));
        let mut reading = match (&known, self.reading.try_lock()) {
            (Some(known), _) if known.is_fresh() && jwt.has_key_in(&known.value) => {
                return Ok(Arc::clone(&known.value));
            }
            (_, Ok(reading)) => reading,
            (Some(known), Err(_)) if jwt.has_key_in(&known.value) => return Ok(Arc::clone(&known.value)),
            (_, Err(_)) => self.reading.lock().await,
        };
        // Another may have read them while this one waited.
        let known = present(&self.keys);
        let is_past = |at: Option<Instant>, pause: Duration| at.is_none_or(|at| at.elapsed() >= pause);
        let wanted = match &known {
            None => is_past(reading.tried, PAUSE_AFTER_FAILURE),
            Some(read) if has_key(&known) => !read.is_fresh() && is_past(reading.tried, PAUSE_OF_KEYS),
            Some(_) => is_past(reading.searched, PAUSE_OF_KEYS),
        };
        if wanted {
            reading.tried = Some(Instant::now());
            if known.is_some() && !has_key(&known) {
                reading.searched = reading.tried;
            }
            match self.read_keys(&discovery.keys).await {
                Ok(keys) => return Ok(keep(&self.keys, keys)),
                Err(down) => {
                    tracing::warn!(issuer = self.issuer, %down, "the keys of the provider cannot be read");
                }
            }
        }
        known.map(|known| known.value).ok_or_else(|| Down("the keys of the provider cannot be read".to_owned()))
    }

    async fn read_keys(&self, url: &str) -> Result<Vec<Key>, Down> {
        let object = object(self.web.get("read the provider's keys", url, None).await?, url)?;
        let all = object.get("keys").and_then(Value::as_array).ok_or_else(|| Down(format!("{url} has no keys")))?;
        // One that is odd, or for something else, spoils nothing.
        let keys: Vec<Key> = all.iter().take(MOST_KEYS).filter_map(Key::of).collect();
        match keys.is_empty() {
            true => Err(Down(format!("{url} has no key that checks signatures"))),
            false => Ok(keys),
        }
    }

    /// How many keys there are to check signatures with.
    ///
    /// # Errors
    /// The provider does not answer, or has none.
    pub(super) async fn number_of_keys(&self) -> Result<usize, Down> {
        let discovery = self.discovery().await?;
        Ok(self.read_keys(&discovery.keys).await?.len())
    }

    /// Asks for tokens.
    ///
    /// # Errors
    /// The provider gives none.
    pub(super) async fn grant(&self, form: &[(&str, &str)], id: &str, secret: &str) -> Result<Grant, NoGrant> {
        let discovery = self.discovery().await.map_err(NoGrant::Down)?;
        let client = Client { id, secret, in_body: discovery.in_body };
        let said = self.web.post("ask the provider for tokens", &discovery.token, form, &client).await;
        let said = said.map_err(|error| NoGrant::Down(error.into()))?;
        let object = said.object.unwrap_or_default();
        let text =
            |name: &str| object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        match (said.status, text("error").as_deref()) {
            (200, None) if object.contains_key("access_token") => Ok(Grant {
                id_token: text("id_token"),
                access_token: text("access_token"),
                refresh_token: text("refresh_token"),
                refresh_ends: object.get("refresh_expires_in").and_then(Value::as_u64).filter(|seconds| *seconds > 0),
            }),
            (400 | 401, Some("invalid_grant")) => Err(NoGrant::Refused),
            (401, _) | (_, Some("invalid_client" | "unauthorized_client")) => Err(NoGrant::Down(Down(
                "the provider does not accept OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET".to_owned(),
            ))),
            (_, Some(error @ ("not_allowed" | "invalid_scope"))) => Err(NoGrant::Down(Down(format!(
                "the provider does not grant the scopes of OAUTH_SCOPES ({error}): if it is offline_access that the user may not \
                 have, add -offline_access there"
            )))),
            (status, error) => {
                let error = error.unwrap_or("no error that is known").to_owned();
                Err(NoGrant::Down(WebError::new(format!("the provider answered {status}: {error}")).into()))
            }
        }
    }

    /// What the provider says of the user whose token this is, if it says anything.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) async fn user(&self, access_token: &str) -> Result<Option<Claims>, Down> {
        let discovery = self.discovery().await?;
        let Some(url) = &discovery.userinfo else { return Ok(None) };
        let said = self.web.get("ask the provider who the user is", url, Some(access_token)).await?;
        match said {
            Said { status: 200, object, .. } => Ok(object),
            // It says nothing of users by this token.
            Said { status: 400..=404, .. } => Ok(None),
            Said { status, .. } => Err(Down(format!("{url} answered {status}"))),
        }
    }

    /// The claims of an access token that only the provider can read, where it is active.
    ///
    /// # Errors
    /// The provider does not answer, or not this client.
    pub(super) async fn introspect(&self, token: &str, id: &str, secret: &str) -> Result<Option<Claims>, Down> {
        let discovery = self.discovery().await?;
        let url = discovery.introspection.as_ref().ok_or_else(|| {
            Down("the provider's metadata names no introspection_endpoint, and OAUTH_INTROSPECTION needs it".to_owned())
        })?;
        let client = Client { id, secret, in_body: discovery.in_body };
        let form = [("token", token), ("token_type_hint", "access_token")];
        let said = self.web.post("ask the provider whose a token is", url, &form, &client).await?;
        if matches!(said.status, 401 | 403) {
            return Err(Down(format!(
                "{url} refuses OAUTH_CLIENT_ID with OAUTH_CLIENT_SECRET: allow this client to introspect tokens there"
            )));
        }
        let claims = object(said, url)?;
        Ok(Some(claims).filter(|claims| claims.get("active") == Some(&Value::Bool(true))))
    }

    /// Tells the provider that a refresh token is not needed any longer.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) async fn revoke(&self, token: &str, id: &str, secret: &str) -> Result<(), Down> {
        let discovery = self.discovery().await?;
        let Some(url) = &discovery.revocation else { return Ok(()) };
        let client = Client { id, secret, in_body: discovery.in_body };
        let form = [("token", token), ("token_type_hint", "refresh_token")];
        let said = self.web.post("revoke a token", url, &form, &client).await?;
        match said.status {
            200..=299 => Ok(()),
            status => Err(Down(format!("{url} answered {status}"))),
        }
    }
}

fn object(said: Said, url: &str) -> Result<Map<String, Value>, Down> {
    match said {
        Said { status: 200, object: Some(object), .. } => Ok(object),
        Said { status: 200, object: None, .. } => Err(Down(format!("{url} answered no JSON object"))),
        Said { status, .. } => Err(Down(format!("{url} answered {status}"))),
    }
}

fn present<T>(read: &RwLock<Option<Read<T>>>) -> Option<Read<T>> {
    let read = read.read().unwrap_or_else(PoisonError::into_inner);
    read.as_ref().map(|read| Read { value: Arc::clone(&read.value), at: read.at })
}

fn keep<T>(read: &RwLock<Option<Read<T>>>, value: T) -> Arc<T> {
    let value = Arc::new(value);
    *read.write().unwrap_or_else(PoisonError::into_inner) =
        Some(Read { value: Arc::clone(&value), at: Instant::now() });
    value
}
