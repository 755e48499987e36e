//! The cookie that is the session.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use crate::error::{Error, ErrorKind};

/// The value of the cookie `vmware_soap_session`: it is all that is needed to use the session.
///
/// `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionCookie(String);

impl SessionCookie {
    /// The name of the cookie.
    pub const NAME: &'static str = "vmware_soap_session";

    /// A cookie kept from an earlier session, with or without quotes around it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when it is empty or has a character that no cookie may have.
    pub fn new(value: impl Into<String>) -> Result<Self, Error> {
        let value = value.into();
        let legal = |c: char| c.is_ascii_graphic() && !matches!(c, ';' | ',');
        if value.trim_matches('"').is_empty() || !value.chars().all(legal) {
            let message = "the session cookie is empty or has a character that a cookie can't have";
            return Err(Error::new("connect", ErrorKind::Config(message.to_owned())));
        }
        Ok(Self(value))
    }

    /// The value itself, a secret.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCookie(..)")
    }
}

/// What an answer says of the session.
#[derive(Debug, PartialEq)]
pub(super) enum SetSession {
    Keep(SessionCookie),
    Forget,
}

impl SetSession {
    /// Reads the values of an answer's `Set-Cookie` headers.
    pub(super) fn from_headers<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Self> {
        let mut found = None;
        for header in headers {
            let Some((name, value)) = header.split(';').next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            if name.trim() == SessionCookie::NAME {
                // An empty value is how a server takes a cookie back.
                found = Some(SessionCookie::new(value.trim()).map_or(Self::Forget, Self::Keep));
            }
        }
        found
    }
}

/// The session that requests are sent with.
#[derive(Default)]
pub(super) struct SessionSlot(RwLock<Option<SessionCookie>>);

impl SessionSlot {
    pub(super) fn get(&self) -> Option<SessionCookie> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn put(&self, cookie: Option<SessionCookie>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = cookie;
    }

    /// Takes over what the answer to a request sent with `sent_with` says.
    ///
    /// A server gives every request without a live session a new, anonymous one. An answer that arrives late must
    /// not put such a one in the place of a session that was opened meanwhile, so it counts only if the session is
    /// still the one that the request was sent with.
    pub(super) fn adopt(&self, said: SetSession, sent_with: Option<&SessionCookie>) {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if now.as_ref() == sent_with {
            *now = match said {
                SetSession::Keep(cookie) => Some(cookie),
                SetSession::Forget => None,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(value: &str) -> SetSession {
        SetSession::Keep(SessionCookie::new(value).unwrap())
    }

    #[test]
    fn set_cookie_headers() {
        for (headers, expected) in [
            (vec![], None),
            (vec!["JSESSIONID=1; Path=/ui"], None),
            (vec!["vmware_soap_session"], None),
            (vec![r#"vmware_soap_session="5a1b"; Path=/; HttpOnly; Secure; "#], Some(keep(r#""5a1b""#))),
            (vec!["a=b", " vmware_soap_session = 5a1b"], Some(keep("5a1b"))),
            (vec!["vmware_soap_session=; Max-Age=0"], Some(SetSession::Forget)),
            (vec![r#"vmware_soap_session="""#], Some(SetSession::Forget)),
        ] {
            assert_eq!(SetSession::from_headers(headers.iter().copied()), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_late_answer_does_not_replace_a_session() {
        let slot = SessionSlot::default();
        let live = SessionCookie::new("live").unwrap();
        slot.put(Some(live.clone()));
        slot.adopt(keep("anonymous"), None);
        slot.adopt(SetSession::Forget, Some(&SessionCookie::new("older").unwrap()));
        assert_eq!(slot.get(), Some(live.clone()));
        slot.adopt(keep("renewed"), Some(&live));
        assert_eq!(slot.get().unwrap().as_str(), "renewed");
    }

    #[test]
    fn the_value_is_a_secret_and_cannot_smuggle_headers() {
        assert_eq!(format!("{:?}", SessionCookie::new("5a1b").unwrap()), "SessionCookie(..)");
        for value in ["", "\"\"", "a;b", "a\r\nX: y", "a b", "é"] {
            assert!(SessionCookie::new(value).is_err(), "{value:?}");
        }
    }
}
