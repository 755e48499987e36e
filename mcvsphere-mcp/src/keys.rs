//! Keys that are derived from one secret, one for each purpose: what was made with one passes nowhere else.

use std::fmt;

use ring::{error::Unspecified, hkdf};

/// The fewest characters of a secret from which keys are derived.
const SHORTEST: usize = 24;

/// The length of a key in bytes.
const LENGTH: usize = 32;

/// Refuses a secret that could be guessed: everybody who holds something sealed can try.
///
/// # Errors
/// What is wrong with the setting that holds it.
pub(crate) fn check(secret: &str) -> Result<(), String> {
    if secret.chars().count() >= SHORTEST {
        return Ok(());
    }
    Err(format!(
        "has fewer than {SHORTEST} characters, and tokens are sealed with it: set MCP_SIGNING_KEY to a longer random text"
    ))
}

/// The root of the keys of one part of the server.
pub(crate) struct Root(hkdf::Prk);

impl Root {
    /// The root of what is called `part`, from this secret.
    pub(crate) fn new(part: &str, secret: &str) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, part.as_bytes()).extract(secret.as_bytes()))
    }

    /// The key for this purpose.
    ///
    /// # Errors
    /// It cannot be derived, which does not happen.
    pub(crate) fn key(&self, purpose: &str) -> Result<[u8; LENGTH], Unspecified> {
        let mut key = [0; LENGTH];
        self.0.expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)?.fill(&mut key)?;
        Ok(key)
    }
}

/// The secret that all processes of one server share, and the one before.
#[derive(Clone)]
pub(crate) struct SigningKey {
    pub(crate) current: String,
    /// What it has sealed stays valid.
    pub(crate) previous: Option<String>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    #[test]
    fn each_part_purpose_and_secret_has_a_key_of_its_own() {
        let key = |part, secret, purpose| Root::new(part, secret).key(purpose).unwrap();
        let one = key("a", "secret", "p");
        assert_eq!(one, key("a", "secret", "p"));
        for other in [key("b", "secret", "p"), key("a", "other", "p"), key("a", "secret", "q")] {
            assert_ne!(one, other);
        }
    }
}
