//! OAuth 2.1: whose a bearer token is, where a provider of identities (OIDC) knows the users.
//!
//! In **direct** mode clients get their tokens from the provider, and this server checks them: it is a resource server. As a
//! **login proxy** this server is the authorization server that clients see, and the one client that the provider knows: it sends
//! users there, reads who they are and in which groups, and issues its own tokens. These are sealed text (`seal`), so that nothing is
//! stored here, and clients stay logged in when the server starts again.
//!
//! Either way groups give the level ([`groups`]), and whoever is in none of them may do nothing.

mod bounded;
mod client;
mod examine;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
pub(crate) mod groups;
mod identity;
mod introspection;
mod jwt;
mod login;
mod metadata;
mod pages;
mod params;
mod provider;
mod redirect;
mod refresh;
mod seal;
#[cfg(test)]
mod tests;
mod token;
pub(crate) mod vcenter;
mod web;

use std::{
    collections::BTreeSet,
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
};
use http::{HeaderValue, request::Parts};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vsphere_soap::http::{Proxies, is_public};

use crate::{
    Caller,
    audit::Audit,
    http::{
        Remote,
        authenticate::{Authenticator, Refused},
        tokens::PREFIX,
    },
    keys,
};
use bounded::Bounded;
use client::Documents;
pub(crate) use examine::Finding;
use groups::{Claims, Groups};
use introspection::Introspection;
use jwt::{Fault, Jwt, audiences, text};
use provider::{NoClaims, Provider};
use refresh::Families;
use seal::{Kind, Sealer, Unsealed};
pub(crate) use vcenter::Vcenter;
use web::{Web, is_safe};

/// The path of the endpoint that tokens are for.
const RESOURCE: &str = "/mcp";

/// How a login is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Clients get their tokens from the provider.
    Direct,
    /// Clients get their tokens here.
    Proxy,
}

/// What is set for OAuth.
#[derive(Clone)]
pub(crate) struct OAuthSettings {
    pub(crate) issuer: String,
    /// The URL of this server without a path, as clients know it.
    pub(crate) base_url: String,
    /// By default the login proxy where there are a client and its secret, and direct where not.
    pub(crate) mode: Option<Mode>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<String>,
    pub(crate) signing_key: Option<String>,
    pub(crate) previous_key: Option<String>,
    /// How long an access token is good for, in seconds: groups are read again after that.
    pub(crate) access_life: u64,
    pub(crate) scopes: Vec<String>,
    /// Whether the scope `offline_access` is asked for where the provider offers it.
    pub(crate) offline_access: bool,
    pub(crate) groups: Groups,
    /// Whether the provider is asked whose an opaque token is.
    pub(crate) introspection: bool,
    /// Audiences that count beside the URL of this server.
    pub(crate) audiences: BTreeSet<String>,
    pub(crate) proxies: Proxies,
}

impl OAuthSettings {
    fn mode(&self) -> Mode {
        self.mode.unwrap_or(match self.client_secret {
            Some(_) => Mode::Proxy,
            None => Mode::Direct,
        })
    }

    /// Whether clients get their tokens here.
    pub(crate) fn is_proxy(&self) -> bool {
        self.mode() == Mode::Proxy
    }
}

/// What is wrong with the settings: the name of one, and the rest of a sentence that begins with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OAuthError {
    pub(crate) setting: &'static str,
    pub(crate) problem: String,
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.problem)
    }
}

impl std::error::Error for OAuthError {}

/// Tells the time, in seconds since 1970.
type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Knows whose a token is, and serves logins.
#[derive(Clone)]
pub(crate) struct OAuth {
    inner: Arc<Inner>,
}

struct Inner {
    settings: OAuthSettings,
    /// The URL that tokens are for.
    resource: String,
    provider: Provider,
    login: Option<Login>,
    /// Where clients get opaque tokens from the provider.
    introspection: Option<Introspection>,
    audit: Audit,
    clock: Clock,
}

/// What the login proxy has beside the provider.
struct Login {
    client_id: String,
    client_secret: String,
    seal: Sealer,
    documents: Documents,
    /// Logins whose answer has come: each comes once.
    answered: Bounded<()>,
    codes: Bounded<login::Code>,
    /// What clients asked for in logins that are at the provider, where it is long.
    asked: Bounded<login::Asked>,
    families: Families,
    /// The logins that were revoked.
    revoked: Bounded<()>,
    /// Where users log in to vCenter themselves.
    vcenter: Option<Vcenter>,
}

/// What an access token says. It ends by itself, and is of the login `family`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Access {
    #[serde(rename = "i")]
    issuer: String,
    #[serde(rename = "s")]
    subject: String,
    #[serde(rename = "n")]
    name: String,
    /// Those groups alone that give or take something here.
    #[serde(rename = "g")]
    groups: Vec<String>,
    #[serde(rename = "c")]
    client: String,
    #[serde(rename = "f")]
    family: String,
}

impl OAuth {
    /// # Errors
    /// A setting is missing, or cannot be used.
    pub(crate) fn new(settings: &OAuthSettings, audit: Audit, vcenter: Option<Vcenter>) -> Result<Self, OAuthError> {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
        Self::with(settings, audit, vcenter, Arc::new(now), Documents::new(is_public))
    }

    fn with(
        settings: &OAuthSettings,
        audit: Audit,
        vcenter: Option<Vcenter>,
        clock: Clock,
        documents: Documents,
    ) -> Result<Self, OAuthError> {
        let error = |setting, problem: &str| Err(OAuthError { setting, problem: problem.to_owned() });
        if !is_safe(&settings.issuer) {
            return error("OAUTH_ISSUER_URL", "must be an https URL, as the provider's metadata names it");
        }
        if !is_safe(&settings.base_url) || settings.base_url.matches('/').count() != 2 {
            let problem =
                "must be the https URL of this server as clients know it, without a path: https://mcp.example.com";
            return error("OAUTH_BASE_URL", problem);
        }
        if settings
            .scopes
            .iter()
            .any(|scope| !scope.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')))
        {
            return error("OAUTH_SCOPES", "names a scope with a character that no scope has");
        }
        let login = match (settings.mode(), &settings.client_id, &settings.client_secret) {
            (Mode::Direct, ..) => None,
            (Mode::Proxy, None, _) => return error("OAUTH_CLIENT_ID", "is not set, and the login proxy needs it"),
            (Mode::Proxy, _, None) => return error("OAUTH_CLIENT_SECRET", "is not set, and the login proxy needs it"),
            (Mode::Proxy, Some(id), Some(secret)) => {
                let (setting, key) = match &settings.signing_key {
                    Some(key) => ("MCP_SIGNING_KEY", key),
                    None => ("OAUTH_CLIENT_SECRET", secret),
                };
                keys::check(key).map_err(|problem| OAuthError { setting, problem })?;
                let context = format!("{}\n{}\n{id}", settings.base_url, settings.issuer);
                let seal = Sealer::new(key, settings.previous_key.as_deref(), context);
                let seal = seal.map_err(|_| OAuthError { setting, problem: "gives no keys".to_owned() })?;
                Some(Login {
                    client_id: id.clone(),
                    client_secret: secret.clone(),
                    seal,
                    documents,
                    answered: Bounded::new(20_000, login::PATIENCE),
                    codes: Bounded::new(10_000, login::CODE_LIFE),
                    asked: Bounded::new(5_000, login::PATIENCE),
                    families: Families::new(),
                    revoked: Bounded::new(20_000, refresh::LIFE),
                    vcenter,
                })
            }
        };
        let introspection = match (settings.introspection, &settings.client_id, &settings.client_secret) {
            (false, ..) => None,
            (true, ..) if login.is_some() => {
                return error("OAUTH_INTROSPECTION", "is for tokens of the provider itself: set OAUTH_MODE=direct");
            }
            (true, Some(id), Some(secret)) => Some(Introspection::new(id, secret)),
            (true, ..) => {
                return error(
                    "OAUTH_INTROSPECTION",
                    "needs OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET to ask the provider",
                );
            }
        };
        let provider = Provider::new(&settings.issuer, Web::new(settings.proxies.clone()));
        let resource = format!("{}{RESOURCE}", settings.base_url);
        let inner = Inner { settings: settings.clone(), resource, provider, login, introspection, audit, clock };
        let oauth = Self { inner: Arc::new(inner) };
        vcenter::make_links(&oauth);
        Ok(oauth)
    }

    fn now(&self) -> u64 {
        (self.inner.clock)()
    }

    /// The URL of this server.
    fn base(&self) -> &str {
        &self.inner.settings.base_url
    }

    fn groups(&self) -> &Groups {
        &self.inner.settings.groups
    }

    /// Whether a `resource` that a client asks for is this one. Some write a slash at its end.
    fn is_here(&self, resource: &str) -> bool {
        resource.strip_suffix('/').unwrap_or(resource) == self.inner.resource
    }

    /// The scopes that clients are told of. None of them gives a level: groups do.
    fn scopes(&self) -> impl Iterator<Item = &str> {
        self.inner.settings.scopes.iter().map(String::as_str).filter(|scope| *scope != "offline_access")
    }

    /// Writes an audit line about a login.
    fn note(&self, event: &'static str, user: Option<&Access>, outcome: &str) {
        let mut fields = match user {
            Some(user) => json!({
                "who": user.name,
                "issuer": user.issuer,
                "subject": user.subject,
                "groups": user.groups,
                "level": self.groups().level(&user.groups).map(|(level, _)| level.name()),
                "client": user.client,
                "login": user.family,
                "outcome": outcome,
            }),
            None => json!({ "outcome": outcome }),
        };
        fields["remote"] = remote();
        self.inner.audit.note(event, fields);
    }

    fn caller_of(&self, issuer: &str, subject: &str, name: &str, groups: &[String]) -> Caller {
        let caller = Caller::remote(issuer, subject).named(name).in_groups(self.groups().known(groups));
        match self.groups().level(groups) {
            Some((level, group)) => caller.with_level_by(level, format!("the group {group}")),
            None => caller,
        }
    }

    /// The caller whose token the login proxy has issued.
    fn issued(&self, login: &Login, bearer: &str) -> Result<Caller, Refused> {
        let access: Access = login.seal.open(Kind::Access, self.now(), bearer).map_err(|why| {
            Refused::Invalid(match why {
                Unsealed::Expired => "the access token has expired".to_owned(),
                Unsealed::Foreign => {
                    "the access token was not issued by this server, or before its key was replaced: log in again"
                        .to_owned()
                }
            })
        })?;
        if login.revoked.get(self.now(), &access.family).is_some() {
            return Err(Refused::Invalid("the access token was revoked".to_owned()));
        }
        Ok(self.caller_of(&access.issuer, &access.subject, &access.name, &access.groups))
    }

    /// The caller whose token the provider has issued for this server.
    async fn signed(&self, bearer: &str) -> Result<Caller, Refused> {
        let invalid = |fault: Fault| Refused::Invalid(fault.to_string());
        let jwt = Jwt::read(bearer).map_err(invalid)?;
        if !matches!(jwt.kind.as_deref(), None | Some("jwt" | "at+jwt")) {
            return Err(Refused::Invalid("the token is of a kind that is no access token".to_owned()));
        }
        let claims = self.inner.provider.claims(jwt, self.now()).await.map_err(|why| match why {
            NoClaims::Fault(fault) => invalid(fault),
            NoClaims::Down(_) => Refused::Unavailable("the provider of identities does not answer".to_owned()),
        })?;
        self.check_access(&claims).map_err(invalid)?;
        let subject = text(&claims, "sub").ok_or_else(|| invalid(Fault::new("the token names no subject")))?;
        let issuer = text(&claims, "iss").unwrap_or_default();
        Ok(self.caller_of(issuer, subject, &identity::name(&claims), self.groups().said(&claims).groups()))
    }

    /// Whether claims are those of an access token for this server, which any bearer may use.
    fn check_access(&self, claims: &Claims) -> Result<(), Fault> {
        let is_id_token = ["nonce", "at_hash", "c_hash"].iter().any(|name| claims.contains_key(*name));
        if is_id_token || text(claims, "typ").is_some_and(|typ| matches!(typ, "ID" | "Refresh" | "Offline" | "Logout"))
        {
            return Err(Fault::new("the token is no access token"));
        }
        if claims.contains_key("cnf") {
            return Err(Fault::new("the token is bound to a key, so that nobody may use it as a bearer"));
        }
        let is_meant = |audience: &&str| self.is_here(audience) || self.inner.settings.audiences.contains(*audience);
        match audiences(claims).iter().any(is_meant) {
            true => Ok(()),
            false => Err(Fault::new(format!(
                "the token is not for this server: its audience must be {} or one of OAUTH_AUDIENCE",
                self.inner.resource
            ))),
        }
    }
}

#[async_trait]
impl Authenticator for OAuth {
    async fn caller(&self, bearer: &str, _request: &Parts) -> Result<Caller, Refused> {
        match &self.inner.login {
            Some(login) if bearer.starts_with(PREFIX) || Jwt::looks_like_one(bearer) => self.issued(login, bearer),
            None if Jwt::looks_like_one(bearer) => self.signed(bearer).await,
            _ if !bearer.starts_with(PREFIX)
                && let Some(introspection) = &self.inner.introspection =>
            {
                self.introspected(introspection, bearer).await
            }
            _ => Err(Refused::Unknown),
        }
    }

    fn challenge(&self, refused: Option<&Refused>) -> HeaderValue {
        metadata::challenge(self, refused)
    }

    fn routes(&self) -> Option<Router> {
        let metadata = metadata::routes(self);
        Some(match self.inner.login {
            Some(_) => metadata.merge(login::routes(self)).merge(token::routes(self)).merge(vcenter::routes(self)),
            None => metadata,
        })
        .map(|routes| routes.layer(from_fn(with_remote)))
    }
}

tokio::task_local! {
    /// Where the request comes from that is answered. Audit lines are written in many places, which are not all given the request.
    static REMOTE: IpAddr;
}

async fn with_remote(request: Request, next: Next) -> Response {
    match request.extensions().get::<Remote>().map(|remote| remote.address) {
        Some(address) => REMOTE.scope(address, next.run(request)).await,
        None => next.run(request).await,
    }
}

/// Where the request comes from that is answered, for an audit line.
fn remote() -> Value {
    REMOTE.try_with(|address| json!(address.to_string())).unwrap_or_default()
}

/// What a program is told where the provider does not answer: the cause is for the log.
fn unavailable() -> Value {
    json!({
        "error": "temporarily_unavailable",
        "error_description": "the provider of identities does not answer: try again in a moment",
    })
}
