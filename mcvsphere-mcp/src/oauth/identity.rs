//! Who a user is and in which groups, by what the provider gave for a login or a refresh.

use super::{
    OAuth,
    groups::{Claims, Said},
    jwt::{Fault, Jwt, audiences, text},
    provider::{Down, Grant, NoClaims},
};

/// The most characters of a name.
const LONGEST_NAME: usize = 100;

/// A user whom the provider knows.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) name: String,
    /// Those groups alone that matter here.
    pub(super) groups: Vec<String>,
}

/// Why there is no user who may do something.
#[derive(Debug, Clone)]
pub(super) enum NoUser {
    /// No group of theirs gives a level.
    NoLevel(User),
    /// The provider does not list their groups, as they are too many.
    TooManyGroups(User),
    /// What the provider gave does not hold.
    Wrong(Fault),
    Down(Down),
}

impl From<NoClaims> for NoUser {
    fn from(why: NoClaims) -> Self {
        match why {
            NoClaims::Fault(fault) => Self::Wrong(fault),
            NoClaims::Down(down) => Self::Down(down),
        }
    }
}

impl From<Fault> for NoUser {
    fn from(fault: Fault) -> Self {
        Self::Wrong(fault)
    }
}

/// What a login or a refresh must agree with.
pub(super) enum Expected<'a> {
    /// The login for which this was sent to the provider.
    Nonce(&'a str),
    /// The user who logged in.
    Subject(&'a str),
}

impl OAuth {
    /// The user whose login or refresh this is.
    ///
    /// # Errors
    /// There is none who may do something.
    pub(super) async fn user(&self, client_id: &str, grant: &Grant, expected: Expected<'_>) -> Result<User, NoUser> {
        let id_token = match (&grant.id_token, &expected) {
            (Some(token), _) => Some(self.id_token(client_id, token, &expected).await?),
            (None, Expected::Nonce(_)) => {
                return Err(Fault::new("the provider gave no id_token: OAUTH_SCOPES must hold openid").into());
            }
            (None, Expected::Subject(_)) => None,
        };
        let subject = match (&id_token, &expected) {
            (Some(claims), _) => text(claims, "sub").unwrap_or_default().to_owned(),
            (None, Expected::Subject(subject) | Expected::Nonce(subject)) => (*subject).to_owned(),
        };
        let mut named = id_token.as_ref().map(name);
        let mut said = id_token.as_ref().map_or(Said::Nothing, |claims| self.groups().said(claims));
        let access = grant.access_token.as_deref();
        if said == Said::Nothing
            && let Some(token) = access.filter(|token| Jwt::looks_like_one(token))
            && let Some(claims) = self.access_claims(token).await?
            && text(&claims, "sub") == Some(&subject)
        {
            said = self.groups().said(&claims);
        }
        if said == Said::Nothing
            && let Some(token) = access
            && let Some(claims) = self.inner.provider.user(token).await.map_err(NoUser::Down)?
            && text(&claims, "sub") == Some(&subject)
        {
            named.get_or_insert_with(|| name(&claims));
            said = self.groups().said(&claims);
        }
        let issuer = self.inner.provider.discovery().await.map_err(NoUser::Down)?.issuer.clone();
        let user = |groups| User { issuer, name: named.unwrap_or_else(|| subject.clone()), subject, groups };
        match said {
            Said::In(groups) if self.groups().level(&groups).is_some() => {
                Ok(user(self.groups().known(&groups).into_iter().cloned().collect()))
            }
            Said::TooMany => Err(NoUser::TooManyGroups(user(Vec::new()))),
            Said::In(_) | Said::Nothing => Err(NoUser::NoLevel(user(Vec::new()))),
        }
    }

    /// The claims of an id_token that is for this server, and for this login.
    async fn id_token(&self, client_id: &str, token: &str, expected: &Expected<'_>) -> Result<Claims, NoUser> {
        let claims = self.inner.provider.claims(Jwt::read(token)?, self.now()).await?;
        let audiences = audiences(&claims);
        if !audiences.contains(&client_id) {
            return Err(Fault::new("the id_token is not for OAUTH_CLIENT_ID").into());
        }
        match text(&claims, "azp") {
            Some(party) if party != client_id => {
                return Err(Fault::new("the id_token was issued to another client").into());
            }
            None if audiences.len() > 1 => {
                return Err(Fault::new("the id_token is for several, and does not say who asked").into());
            }
            _ => {}
        }
        match expected {
            Expected::Nonce(nonce) if text(&claims, "nonce") != Some(nonce) => {
                Err(Fault::new("the id_token is of another login").into())
            }
            Expected::Subject(subject) if text(&claims, "sub") != Some(subject) => {
                Err(Fault::new("the id_token is of another user").into())
            }
            _ if text(&claims, "sub").is_none() => Err(Fault::new("the id_token names no subject").into()),
            _ => Ok(claims),
        }
    }

    /// The claims of the access token, where it is one that can be read here.
    async fn access_claims(&self, token: &str) -> Result<Option<Claims>, NoUser> {
        let Ok(jwt) = Jwt::read(token) else { return Ok(None) };
        match self.inner.provider.claims(jwt, self.now()).await {
            Ok(claims) => Ok(Some(claims)),
            Err(NoClaims::Fault(_)) => Ok(None),
            Err(NoClaims::Down(down)) => Err(NoUser::Down(down)),
        }
    }
}

/// The name that a user is shown by. It identifies nobody.
pub(super) fn name(claims: &Claims) -> String {
    let given = ["preferred_username", "email", "sub"].iter().find_map(|name| text(claims, name)).unwrap_or_default();
    given.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}
