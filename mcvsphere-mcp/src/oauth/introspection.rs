//! Whose an opaque token is: it says nothing by itself, so that the provider is asked (RFC 7662).

use super::{
    OAuth,
    bounded::Bounded,
    groups::{Claims, Said},
    identity,
    jwt::{Fault, LEEWAY, text},
    login::known_as,
    provider::Down,
};
use crate::{Caller, http::authenticate::Refused};

/// For how many seconds an answer is used again, and with it a token that was revoked meanwhile.
const LIFE: u64 = 30;

/// How this server asks the provider whose a token is, and what was answered.
pub(super) struct Introspection {
    client_id: String,
    client_secret: String,
    answers: Bounded<Answer>,
}

/// What was found out about a token.
#[derive(Clone)]
enum Answer {
    /// Whose it is, and until when, in seconds since 1970.
    Counts {
        caller: Caller,
        ends: Option<u64>,
    },
    DoesNot(Fault),
}

impl Introspection {
    pub(super) fn new(client_id: &str, client_secret: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            answers: Bounded::new(10_000, LIFE),
        }
    }
}

impl OAuth {
    /// The caller whose opaque token the provider has issued for this server.
    pub(super) async fn introspected(&self, introspection: &Introspection, bearer: &str) -> Result<Caller, Refused> {
        let token = known_as(bearer);
        let answer = match introspection.answers.get(self.now(), &token) {
            Some(answer) => answer,
            None => {
                let answer = self.ask(introspection, bearer).await.map_err(|down| {
                    tracing::warn!(%down, "the provider cannot be asked whose a token is");
                    Refused::Unavailable("the provider of identities does not answer".to_owned())
                })?;
                introspection.answers.insert(self.now(), &token, answer.clone());
                answer
            }
        };
        match answer {
            Answer::Counts { ends: Some(ends), .. } if ends <= self.now() => {
                Err(Refused::Invalid("the token has expired".to_owned()))
            }
            Answer::Counts { caller, .. } => Ok(caller),
            Answer::DoesNot(fault) => Err(Refused::Invalid(fault.to_string())),
        }
    }

    async fn ask(&self, introspection: &Introspection, bearer: &str) -> Result<Answer, Down> {
        let provider = &self.inner.provider;
        let issuer = provider.discovery().await?.issuer.clone();
        let Introspection { client_id, client_secret, .. } = introspection;
        let Some(claims) = provider.introspect(bearer, client_id, client_secret).await? else {
            return Ok(Answer::DoesNot(Fault::new("the provider does not know the token, or not any longer")));
        };
        let (subject, ends) = match self.check_introspected(&claims, &issuer) {
            Ok(checked) => checked,
            Err(fault) => return Ok(Answer::DoesNot(fault)),
        };
        let (mut said, mut name) = (self.groups().said(&claims), identity::name(&claims));
        // Some providers tell of groups and names at the endpoint for users alone.
        if said == Said::Nothing
            && let Some(user) = provider.user(bearer).await?
            && text(&user, "sub") == Some(subject)
        {
            (said, name) = (self.groups().said(&user), identity::name(&user));
        }
        let caller = self.caller_of(&issuer, subject, &name, said.groups());
        Ok(Answer::Counts { caller, ends })
    }

    /// The subject of an active token, and when it ends, where this server may take it.
    fn check_introspected<'c>(&self, claims: &'c Claims, issuer: &str) -> Result<(&'c str, Option<u64>), Fault> {
        if text(claims, "iss").is_some_and(|named| named != issuer) {
            return Err(Fault::new("the token is of another issuer"));
        }
        // Refresh tokens are active as well.
        if text(claims, "token_use").is_some_and(|usage| usage != "access_token") {
            return Err(Fault::new("the token is no access token"));
        }
        self.check_access(claims)?;
        let ends = match claims.get("exp") {
            None => None,
            Some(ends) => {
                let ends = ends.as_u64().ok_or_else(|| Fault::new("the token does not say when it expires"))?;
                Some(ends.saturating_add(LEEWAY.into()))
            }
        };
        Ok((text(claims, "sub").ok_or_else(|| Fault::new("the token names no subject"))?, ends))
    }
}
