//! Bearer tokens without a provider: the settings file has the digest of each, a name, a level and an end.
//!
//! A token is 256 random bits, so that its plain SHA-256 tells nobody what it is.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use http::{HeaderValue, request::Parts};
use ring::{
    digest::{SHA256, digest},
    rand::{self, SystemRandom},
};
use subtle::ConstantTimeEq;
use tokio::time::sleep;

use super::authenticate::{Authenticator, Refused, plain_challenge};
use crate::{Caller, Permission, Settings};

/// By whom the tokens of the settings file are known.
pub(crate) const ISSUER: &str = "mcvsphere:tokens";

/// What a token begins with, so that those who find one know what it is.
pub(crate) const PREFIX: &str = "mcv_";

/// An entry of `tokens`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) level: Permission,
    pub(crate) digest: Digest,
    /// When it ends to count.
    pub(crate) expires: Option<DateTime<Utc>>,
}

impl Token {
    /// Whether a token can have this name.
    ///
    /// # Errors
    /// It cannot: the rest of a sentence that begins with the entry.
    pub(crate) fn check_name(name: &str) -> Result<(), String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        match (1..=64).contains(&name.len()) && name.chars().all(fits) {
            true => Ok(()),
            false => Err("must have a name of at most 64 letters, digits, dots, dashes, underscores and @".to_owned()),
        }
    }

    /// The entry of a token that no file has: its level is that of `MCP_PERMISSION`, which bounds every caller.
    pub(super) fn made_at_start(token: &str) -> Self {
        Self {
            name: "made-at-start".to_owned(),
            level: Permission::FullAdmin,
            digest: Digest::of(token),
            expires: None,
        }
    }

    fn caller(&self) -> Caller {
        let by = format!("its entry `{}` of `tokens` in the settings file", self.name);
        Caller::remote(ISSUER, self.name.as_str()).with_level_by(self.level, by)
    }
}

/// The SHA-256 of a token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// The digest of this token.
    pub(crate) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Reads 64 hex digits.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// A new token.
///
/// # Errors
/// The system gives no random numbers.
pub(crate) fn new_token() -> Result<String, &'static str> {
    let number: rand::Random<[u8; 32]> =
        rand::generate(&SystemRandom::new()).map_err(|_| "the system gives no random numbers")?;
    Ok(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(number.expose())))
}

/// How long the file is not looked at again, and how often it is asked whether a token still counts whose stream is open.
const PAUSE: Duration = Duration::from_secs(1);

/// The tokens of the settings file, read again when it changes.
#[derive(Clone)]
pub(super) struct Tokens {
    path: Option<PathBuf>,
    now: Arc<Mutex<Loaded>>,
}

struct Loaded {
    tokens: Arc<[Token]>,
    /// The file as it was when it was last read, well or not.
    seen: Option<(SystemTime, u64)>,
    looked: Instant,
}

impl Tokens {
    /// These tokens, which were read from this file.
    pub(super) fn new(tokens: Vec<Token>, path: Option<&Path>) -> Self {
        let path = path.map(Path::to_owned);
        let seen = path.as_deref().and_then(stamp);
        let now = Loaded { tokens: tokens.into(), seen, looked: Instant::now() };
        Self { path, now: Arc::new(Mutex::new(now)) }
    }

    /// The tokens as they are now, or as they last were good.
    fn current(&self) -> Arc<[Token]> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path
            && now.looked.elapsed() >= PAUSE
        {
            now.looked = Instant::now();
            let seen = stamp(path);
            if seen != now.seen {
                now.seen = seen;
                match Settings::tokens_in(path) {
                    // Some programs empty a file before they write it.
                    _ if seen.is_some_and(|(_, size)| size == 0) => {}
                    Ok(tokens) => {
                        now.tokens = tokens.into();
                        tracing::info!(file = %path.display(), tokens = now.tokens.len(), "the tokens were read again");
                    }
                    // An editor may not have written all of it yet.
                    Err(error) => {
                        tracing::error!(%error, "the settings file has changed, and the tokens before stay in use")
                    }
                }
            }
        }
        Arc::clone(&now.tokens)
    }

    fn caller_at(&self, bearer: &str, now: DateTime<Utc>) -> Result<Caller, Refused> {
        let given = Digest::of(bearer);
        let tokens = self.current();
        // All are compared, each in the same time, whichever it is.
        let found = tokens.iter().fold(None, |found, token| match token.digest.0.ct_eq(&given.0).into() {
            true => Some(token),
            false => found,
        });
        match found {
            None => Err(Refused::Unknown),
            Some(Token { name, expires: Some(end), .. }) if *end <= now => Err(Refused::Invalid(format!(
                "the token `{name}` expired at {}; make another with `mcvsphere token new`",
                end.format("%Y-%m-%dT%H:%M:%SZ")
            ))),
            Some(token) => Ok(token.caller()),
        }
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn caller(&self, bearer: &str, _request: &Parts) -> Result<Caller, Refused> {
        self.caller_at(bearer, Utc::now())
    }

    fn challenge(&self, refused: Option<&Refused>) -> HeaderValue {
        plain_challenge(refused)
    }

    fn end(&self, bearer: &str) -> Option<BoxFuture<'static, ()>> {
        self.caller_at(bearer, Utc::now()).ok()?;
        let (tokens, bearer) = (self.clone(), bearer.to_owned());
        Some(Box::pin(async move {
            while tokens.caller_at(&bearer, Utc::now()).is_ok() {
                sleep(PAUSE).await;
            }
        }))
    }
}

/// When a file was last written, and how large it is.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_token_counts_until_its_end_and_no_other_does() {
        let (first, second) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(first, second);
        assert_eq!(first.len(), PREFIX.len() + 43);
        let now = Utc::now();
        let entry = |name: &str, token: &str, expires| Token {
            name: name.to_owned(),
            level: Permission::PowerOps,
            digest: Digest::of(token),
            expires,
        };
        let tokens = Tokens::new(
            vec![entry("ci", &first, Some(now + TimeDelta::seconds(1))), entry("lab", &second, None)],
            None,
        );
        let caller = tokens.caller_at(&first, now).unwrap();
        assert_eq!((caller.name(), caller.level()), ("ci", Some(Permission::PowerOps)));
        assert_eq!(tokens.caller_at(&second, now).unwrap().name(), "lab");
        assert_ne!(caller.identity(), tokens.caller_at(&second, now).unwrap().identity());
        let later = now + TimeDelta::seconds(1);
        let Err(Refused::Invalid(reason)) = tokens.caller_at(&first, later) else { panic!("it still counts") };
        assert!(reason.contains("`ci` expired") && !reason.contains(&first), "{reason}");
        for other in ["", "mcv_", &first[1..], &format!("{first}x"), &Digest::of(&first).to_string()] {
            assert_eq!(tokens.caller_at(other, now), Err(Refused::Unknown), "{other:?}");
        }
    }

    #[tokio::test]
    async fn the_file_is_read_again_when_it_changes_and_stays_in_use_while_it_is_wrong() {
        let path = std::env::temp_dir().join(format!("mcvsphere-tokens-{:016x}.yaml", fastrand::u64(..)));
        let entry = |name: &str| {
            format!("  {name}:\n    level: read_only\n    sha256: {}\n    expires: never\n", Digest::of(name))
        };
        fs::write(&path, format!("tokens:\n{}", entry("ci"))).unwrap();
        let tokens = Tokens::new(Settings::tokens_in(&path).unwrap(), Some(&path));
        let later = || tokens.now.lock().unwrap().looked -= PAUSE;
        let is_good = |name: &str| tokens.caller_at(name, Utc::now()).is_ok();
        assert!(is_good("ci") && !is_good("laboratory"));
        let ended = tokens.end("ci").unwrap();
        assert!(tokens.end("laboratory").is_none());
        fs::write(&path, format!("tokens:\n{}{}", entry("ci"), entry("laboratory"))).unwrap();
        later();
        assert!(is_good("ci") && is_good("laboratory"));
        for wrong in ["tokens:\n  ci:\n    level: king\n", "tokens: [", "", "mcp_port: 8000\n"] {
            fs::write(&path, wrong).unwrap();
            later();
            // A file without tokens has none; one that cannot be read, or is empty, says nothing.
            assert_eq!(is_good("laboratory"), !wrong.starts_with("mcp_port"), "{wrong:?}");
        }
        tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_digest_reads_what_it_writes() {
        let digest = Digest::of("abc");
        let text = digest.to_string();
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::read(&text), Some(digest.clone()));
        assert_eq!(Digest::read(&text.to_uppercase()), Some(digest));
        for wrong in ["", "ba", &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
            assert_eq!(Digest::read(wrong), None, "{wrong}");
        }
    }
}
