//! Sealed text: what only this server can have written, and only it can read. So it is kept by clients and browsers instead of here.
//!
//! AES-256-GCM with a key for each kind of content, so that none passes for another. The text begins with its kind, and names the
//! key that it was sealed with: while a key is replaced, what the one before has sealed is still read.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::keys::Root;

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The registration of a client.
    Client,
    /// A request for a login, on the page that asks for consent.
    Request,
    /// A login, while the user is at the provider.
    State,
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
    /// A link by which a user logs in to vCenter.
    Link,
    /// A user who followed such a link and is now at the provider.
    Visit,
    /// The form of the login at vCenter.
    Form,
}

impl Kind {
    pub(super) const ALL: [Self; 8] =
        [Self::Client, Self::Request, Self::State, Self::Access, Self::Refresh, Self::Link, Self::Visit, Self::Form];

    /// How its text begins.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Client => "mcv_client_",
            Self::Request => "mcv_request_",
            Self::State => "mcv_state_",
            Self::Access => "mcv_access_",
            Self::Refresh => "mcv_refresh_",
            Self::Link => "mcv_link_",
            Self::Visit => "mcv_visit_",
            Self::Form => "mcv_form_",
        }
    }
}

/// Why a text cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsealed {
    /// It is not of this kind, was changed, or was sealed with a key that is not known here.
    Foreign,
    /// Its time is over.
    Expired,
}

/// The system gives no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gives no random numbers")
    }
}

/// Seals and opens.
pub(super) struct Sealer {
    current: Keys,
    previous: Option<Keys>,
    /// What the sealed text is good for, besides its kind: the public URL and the provider.
    context: String,
    random: SystemRandom,
}

/// The keys that are derived from one secret.
struct Keys {
    id: [u8; ID],
    by_kind: [LessSafeKey; Kind::ALL.len()],
    digests: hmac::Key,
}

/// The length of a key's name in bytes.
const ID: usize = 4;

#[derive(Serialize, Deserialize)]
struct Content<T> {
    #[serde(rename = "e")]
    ends: u64,
    #[serde(rename = "c")]
    content: T,
}

impl Sealer {
    /// # Errors
    /// The keys cannot be derived, which does not happen.
    pub(super) fn new(key: &str, previous: Option<&str>, context: String) -> Result<Self, NoRandomness> {
        let previous = previous.map(Keys::new).transpose()?;
        Ok(Self { current: Keys::new(key)?, previous, context, random: SystemRandom::new() })
    }

    /// Seals this content until then.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(super) fn seal<T: Serialize>(&self, kind: Kind, ends: u64, content: T) -> Result<String, NoRandomness> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| NoRandomness)?;
        let mut text = serde_json::to_vec(&Content { ends, content }).map_err(|_| NoRandomness)?;
        let keys = &self.current;
        let aad = Aad::from(self.context_of(kind));
        let sealed =
            keys.by_kind[kind as usize].seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text);
        sealed.map_err(|_| NoRandomness)?;
        let all = [&keys.id[..], &nonce, &text].concat();
        Ok(format!("{}{}", kind.prefix(), BASE64_URL_SAFE_NO_PAD.encode(all)))
    }

    /// What was sealed as this kind.
    ///
    /// # Errors
    /// It was not sealed here as this kind, or its time is over.
    pub(super) fn open<T: DeserializeOwned>(&self, kind: Kind, now: u64, text: &str) -> Result<T, Unsealed> {
        let text = text.strip_prefix(kind.prefix()).ok_or(Unsealed::Foreign)?;
        let mut all = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| Unsealed::Foreign)?;
        let (id, rest) = all.split_at_mut_checked(ID).ok_or(Unsealed::Foreign)?;
        let (nonce, sealed) = rest.split_at_mut_checked(NONCE_LEN).ok_or(Unsealed::Foreign)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealed::Foreign)?;
        let mut known = [Some(&self.current), self.previous.as_ref()].into_iter().flatten();
        let keys = known.find(|keys| keys.id == *id).ok_or(Unsealed::Foreign)?;
        let aad = Aad::from(self.context_of(kind));
        let opened = keys.by_kind[kind as usize].open_in_place(nonce, aad, sealed).map_err(|_| Unsealed::Foreign)?;
        let content: Content<T> = serde_json::from_slice(opened).map_err(|_| Unsealed::Foreign)?;
        if content.ends <= now {
            return Err(Unsealed::Expired);
        }
        Ok(content.content)
    }

    /// A text that only this server can derive from this one, such as the verifier of a login from its number.
    pub(super) fn derive(&self, purpose: &str, from: &str) -> String {
        let digest = hmac::sign(&self.current.digests, format!("{purpose}\n{from}").as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(digest)
    }

    /// A text that nobody can guess.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(super) fn random(&self) -> Result<String, NoRandomness> {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// A client may stay registered where the provider changes; whoever logged in there may not stay.
    fn context_of(&self, kind: Kind) -> String {
        match kind {
            Kind::Client => kind.prefix().to_owned(),
            _ => format!("{}\n{}", kind.prefix(), self.context),
        }
    }
}

impl Keys {
    fn new(secret: &str) -> Result<Self, NoRandomness> {
        let root = Root::new("mcvsphere oauth 1", secret);
        let derive = |purpose: &str| root.key(purpose).map_err(|_| NoRandomness);
        let key = |kind: Kind| -> Result<LessSafeKey, NoRandomness> {
            let key = UnboundKey::new(&AES_256_GCM, &derive(kind.prefix())?).map_err(|_| NoRandomness)?;
            Ok(LessSafeKey::new(key))
        };
        let [client, request, state, access, refresh, link, visit, form] = Kind::ALL;
        let [a, b, c, d, ..] = derive("id")?;
        Ok(Self {
            id: [a, b, c, d],
            by_kind: [
                key(client)?,
                key(request)?,
                key(state)?,
                key(access)?,
                key(refresh)?,
                key(link)?,
                key(visit)?,
                key(form)?,
            ],
            digests: hmac::Key::new(hmac::HMAC_SHA256, &derive("digests")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(key: &str, previous: Option<&str>) -> Sealer {
        Sealer::new(key, previous, "https://mcp.example https://idp.example".to_owned()).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_as_its_kind_alone_until_it_ends() {
        let seal = sealer("a", None);
        for kind in Kind::ALL {
            let text = seal.seal(kind, 100, "content").unwrap();
            for other in Kind::ALL {
                let renamed = text.replace(kind.prefix(), other.prefix());
                let wanted = if other == kind { Ok("content".to_owned()) } else { Err(Unsealed::Foreign) };
                assert_eq!(seal.open::<String>(other, 99, &renamed), wanted);
            }
            assert_eq!(seal.open::<String>(kind, 100, &text), Err(Unsealed::Expired));
        }
    }

    #[test]
    fn a_text_that_was_changed_anywhere_is_not_opened() {
        let seal = sealer("a", None);
        let text = seal.seal(Kind::Access, 100, "content").unwrap();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(seal.open::<String>(Kind::Access, 0, &changed), Err(Unsealed::Foreign), "{changed}");
            assert_eq!(seal.open::<String>(Kind::Access, 0, &text[..at]), Err(Unsealed::Foreign));
        }
    }

    /// Threat 20: the signing key is replaced, or the client secret is another.
    #[test]
    fn threat_20_the_key_before_still_opens_and_another_does_not() {
        let text = sealer("old", None).seal(Kind::Refresh, 100, 1).unwrap();
        assert_eq!(sealer("new", Some("old")).open::<u8>(Kind::Refresh, 0, &text), Ok(1));
        assert_eq!(sealer("new", None).open::<u8>(Kind::Refresh, 0, &text), Err(Unsealed::Foreign));
        let newer = sealer("new", Some("old")).seal(Kind::Refresh, 100, 1).unwrap();
        assert_eq!(sealer("new", None).open::<u8>(Kind::Refresh, 0, &newer), Ok(1));
    }

    #[test]
    fn another_provider_or_public_url_opens_registrations_alone() {
        let (here, there) = (sealer("a", None), Sealer::new("a", None, "elsewhere".to_owned()).unwrap());
        for kind in Kind::ALL {
            let text = here.seal(kind, 100, 1).unwrap();
            let wanted = if kind == Kind::Client { Ok(1) } else { Err(Unsealed::Foreign) };
            assert_eq!(there.open::<u8>(kind, 0, &text), wanted);
        }
    }
}
