//! Logins that go on: which refresh token of a login is the latest, and what it was answered with.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    Access, Login, OAuth,
    bounded::Bounded,
    identity::{Expected, NoUser},
    provider::NoGrant,
    seal::{Kind, NoRandomness},
};

/// For how long a login goes on at most, in seconds.
pub(super) const LIFE: u64 = 30 * 86_400;

/// For how long a refresh token that was used is answered with the same successor, in seconds: answers are lost, and clients that
/// run twice use one token twice.
const GRACE: u64 = 60;

/// How long an access token is good for where there is no refresh token, in seconds.
const ACCESS_LIFE_ALONE: u64 = 60 * 60;

/// What a refresh token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Refresh {
    #[serde(rename = "a")]
    pub(super) access: Access,
    /// A digest of the client's id.
    #[serde(rename = "k")]
    pub(super) client: String,
    /// How many were before it in this login.
    #[serde(rename = "g")]
    generation: u32,
    /// When the token ends, and when the login does.
    #[serde(rename = "e")]
    ends: u64,
    #[serde(rename = "l")]
    login_ends: u64,
    /// The provider's own refresh token.
    #[serde(rename = "u")]
    pub(super) upstream: String,
}

/// Why there are no new tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoTokens {
    /// The login is over, for this reason.
    Over(String),
    /// The provider does not answer.
    Down,
}

/// The logins that were refreshed in this process.
pub(super) struct Families(Bounded<Arc<Mutex<Family>>>);

#[derive(Default)]
struct Family {
    /// The generation that is to come next.
    next: u32,
    /// When the one before was used, and what it was answered with.
    last: Option<(u64, Value)>,
    /// The provider's refresh token, where it has given another and the refresh then failed.
    upstream: Option<String>,
}

impl Families {
    pub(super) fn new() -> Self {
        Self(Bounded::new(20_000, LIFE))
    }
}

impl OAuth {
    /// The first tokens of a login.
    pub(super) fn first_tokens(
        &self,
        login: &Login,
        access: &Access,
        client: String,
        upstream: Option<(String, Option<u64>)>,
    ) -> Result<Value, NoRandomness> {
        let refresh = upstream.map(|(upstream, ends)| Refresh {
            access: access.clone(),
            client,
            generation: 0,
            ends: self.now() + ends.map_or(LIFE, |ends| ends.min(LIFE)),
            login_ends: self.now() + LIFE,
            upstream,
        });
        self.tokens(login, access, refresh.as_ref())
    }

    fn tokens(&self, login: &Login, access: &Access, refresh: Option<&Refresh>) -> Result<Value, NoRandomness> {
        let now = self.now();
        let life = match refresh {
            // It ends before the refresh token, which a client uses no sooner.
            Some(refresh) => self.inner.settings.access_life.min(refresh.ends.saturating_sub(now) * 2 / 3),
            None => ACCESS_LIFE_ALONE,
        };
        let mut answer = serde_json::json!({
            "access_token": login.seal.seal(Kind::Access, now + life, access)?,
            "token_type": "Bearer",
            "expires_in": life,
            "scope": self.scopes().collect::<Vec<_>>().join(" "),
        });
        if let (Some(refresh), Value::Object(answer)) = (refresh, &mut answer) {
            let token = login.seal.seal(Kind::Refresh, refresh.ends, refresh)?;
            answer.insert("refresh_token".to_owned(), token.into());
        }
        Ok(answer)
    }

    /// New tokens for a refresh token. What was begun goes on where the client goes away, since the provider may take its own token
    /// once only.
    ///
    /// # Errors
    /// The login is over, or the provider does not answer.
    pub(super) async fn refreshed(&self, refresh: Refresh) -> Result<Value, NoTokens> {
        let oauth = self.clone();
        let work = tokio::spawn(async move { oauth.refresh(refresh).await });
        work.await.unwrap_or(Err(NoTokens::Down))
    }

    async fn refresh(&self, refresh: Refresh) -> Result<Value, NoTokens> {
        let Some(login) = &self.inner.login else { return Err(NoTokens::Down) };
        let family = login.families.0.get_or_insert(self.now(), &refresh.access.family, Arc::default);
        // One flight for each login.
        let mut family = family.lock().await;
        let now = self.now();
        if login.revoked.get(now, &refresh.access.family).is_some() {
            return Err(NoTokens::Over("the login was revoked".to_owned()));
        }
        if refresh.generation < family.next {
            return match &family.last {
                Some((at, answer)) if refresh.generation + 1 == family.next && now <= at + GRACE => Ok(answer.clone()),
                _ => {
                    self.note("refresh_refused", Some(&refresh.access), "the refresh token was used before");
                    Err(NoTokens::Over("the refresh token was used before".to_owned()))
                }
            };
        }
        let upstream = family.upstream.clone().unwrap_or_else(|| refresh.upstream.clone());
        let form = [("grant_type", "refresh_token"), ("refresh_token", upstream.as_str())];
        let grant = match self.inner.provider.grant(&form, &login.client_id, &login.client_secret).await {
            Ok(grant) => grant,
            Err(NoGrant::Refused) => {
                self.note("refresh_refused", Some(&refresh.access), "the provider has ended the login");
                return Err(NoTokens::Over("the provider of identities has ended the login".to_owned()));
            }
            Err(NoGrant::Down(down)) => {
                tracing::error!(%down, "a login cannot be refreshed at the provider");
                return Err(NoTokens::Down);
            }
        };
        // The provider may not take the one before again, whatever becomes of this refresh.
        let upstream = grant.refresh_token.clone().unwrap_or(upstream);
        family.upstream = Some(upstream.clone());
        let (access, over) = match self.user(&login.client_id, &grant, Expected::Subject(&refresh.access.subject)).await
        {
            Ok(user) => (Access { name: user.name, groups: user.groups, ..refresh.access.clone() }, None),
            Err(NoUser::NoLevel(_) | NoUser::TooManyGroups(_)) => {
                (refresh.access.clone(), Some("no group gives a level any longer"))
            }
            Err(NoUser::Wrong(fault)) => {
                tracing::error!(%fault, "what the provider gave for a refresh does not hold");
                (refresh.access.clone(), Some("what the provider gave does not hold"))
            }
            Err(NoUser::Down(down)) => {
                tracing::error!(%down, "the groups of a user cannot be read again");
                return Err(NoTokens::Down);
            }
        };
        if let Some(why) = over {
            self.note("refresh_refused", Some(&refresh.access), why);
            return Err(NoTokens::Over(why.to_owned()));
        }
        let next = Refresh {
            access: access.clone(),
            generation: refresh.generation + 1,
            ends: grant.refresh_ends.map_or(refresh.login_ends, |ends| refresh.login_ends.min(now + ends)),
            upstream,
            ..refresh
        };
        let answer = self.tokens(login, &access, Some(&next)).map_err(|_| NoTokens::Down)?;
        *family = Family { next: next.generation, last: Some((now, answer.clone())), upstream: None };
        self.note("token_refreshed", Some(&access), "ok");
        Ok(answer)
    }
}
