//! Signed tokens of a provider: read, and checked with its keys.
//!
//! Which algorithm is used follows from the key. The header of a token only has to agree.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::Value;

use super::groups::Claims;

/// By how many seconds clocks may differ.
pub(super) const LEEWAY: u32 = 60;

/// The most bytes of a token.
const LONGEST: usize = 64 << 10;

/// Why a token does not count. It holds no part of the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault(String);

impl Fault {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a token can be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    const ALL: [(&str, Self); 10] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
        ("Ed25519", Self::EdDsa),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(other, _)| *other == name).map(|(_, algorithm)| *algorithm)
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
            Self::Es256 | Self::Es384 | Self::EdDsa => return None,
        })
    }
}

/// A key of a provider with which tokens are checked.
#[derive(Debug, Clone)]
pub(super) struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, where it says so.
    algorithm: Option<Algorithm>,
    public: Public,
}

#[derive(Debug, Clone)]
enum Public {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point, as one byte and two coordinates.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Key {
    /// The key that a JSON Web Key is, if it is one that checks signatures.
    pub(super) fn of(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|use_| use_ != "sig") {
            return None;
        }
        let operations = jwk.get("key_ops").and_then(Value::as_array);
        if operations.is_some_and(|all| !all.iter().any(|operation| operation == "verify")) {
            return None;
        }
        let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let point = |size: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == size && y.len() == size).then(|| [&[4][..], &x, &y].concat())
        };
        let public = match (text("kty")?, text("crv")) {
            ("RSA", _) => Public::Rsa { n: bytes("n")?, e: bytes("e")? },
            ("EC", Some("P-256")) => Public::P256(point(32)?),
            ("EC", Some("P-384")) => Public::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Public::Ed25519(bytes("x")?),
            _ => return None,
        };
        let algorithm = match text("alg") {
            Some(name) => Some(Algorithm::named(name)?),
            None => None,
        };
        Some(Self { id: text("kid").map(str::to_owned), algorithm, public })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let by_kind = match self.public {
            Public::Rsa { .. } => algorithm.rsa().is_some(),
            Public::P256(_) => algorithm == Algorithm::Es256,
            Public::P384(_) => algorithm == Algorithm::Es384,
            Public::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        by_kind && self.algorithm.is_none_or(|own| own == algorithm)
    }

    fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let simple = |how: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(how, key).verify(signed, signature).is_ok()
        };
        match (&self.public, algorithm.rsa()) {
            (Public::Rsa { n, e }, Some(how)) => {
                // Leading zeros are no part of a number here.
                let trimmed = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
                let key = RsaPublicKeyComponents { n: trimmed(n), e: trimmed(e) };
                key.verify(how, signed, signature).is_ok()
            }
            (Public::Rsa { .. }, None) => false,
            (Public::P256(point), _) => simple(&ECDSA_P256_SHA256_FIXED, point),
            (Public::P384(point), _) => simple(&ECDSA_P384_SHA384_FIXED, point),
            (Public::Ed25519(key), _) => simple(&ED25519, key),
        }
    }
}

/// A token that was read, and of which nothing has been checked yet.
pub(super) struct Jwt<'t> {
    algorithm: Algorithm,
    /// The name of the key that it is signed with.
    pub(super) key: Option<String>,
    /// What it says to be, in small letters, without `application/`.
    pub(super) kind: Option<String>,
    claims: Claims,
    signed: &'t str,
    signature: Vec<u8>,
}

impl<'t> Jwt<'t> {
    /// Whether a text looks like a signed token at all.
    pub(super) fn looks_like_one(text: &str) -> bool {
        let parts: Vec<&str> = text.split('.').collect();
        parts.len() == 3 && parts.first().is_some_and(|header| header.starts_with("ey"))
    }

    /// # Errors
    /// It is no token that can be checked.
    pub(super) fn read(token: &'t str) -> Result<Self, Fault> {
        let no_token = || Fault::new("the token is no signed JSON Web Token");
        if token.len() > LONGEST {
            return Err(Fault::new("the token is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(no_token)?;
        let (header, payload) = signed.split_once('.').ok_or_else(no_token)?;
        let object =
            |text: &str| -> Option<Claims> { serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok() };
        let header = object(header).ok_or_else(no_token)?;
        let claims = object(payload).ok_or_else(no_token)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| no_token())?;
        if header.contains_key("crit") {
            return Err(Fault::new("the token has a critical header that is not known"));
        }
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let algorithm = match text("alg") {
            Some(name) if name.starts_with("HS") => {
                return Err(Fault::new(
                    "the token is signed with a shared secret (HS256): choose a signing key for this application in the provider",
                ));
            }
            name => name
                .and_then(Algorithm::named)
                .ok_or_else(|| Fault::new("the token is not signed in a way that is accepted"))?,
        };
        let kind = text("typ").map(|kind| {
            let kind = kind.to_ascii_lowercase();
            kind.strip_prefix("application/").map(str::to_owned).unwrap_or(kind)
        });
        Ok(Self { algorithm, key: text("kid").map(str::to_owned), kind, claims, signed, signature })
    }

    /// Whether one of these keys may have signed it.
    pub(super) fn has_key_in(&self, keys: &[Key]) -> bool {
        self.candidates(keys).next().is_some()
    }

    fn candidates<'k>(&self, keys: &'k [Key]) -> impl Iterator<Item = &'k Key> {
        keys.iter().filter(|key| match (&self.key, &key.id) {
            (Some(wanted), Some(id)) => wanted == id && key.fits(self.algorithm),
            (Some(_), None) | (None, _) => key.fits(self.algorithm),
        })
    }

    /// The claims of a token that one of these keys has signed, that this issuer has issued, and whose time it is.
    ///
    /// # Errors
    /// One of these is not so.
    pub(super) fn check(self, keys: &[Key], issuer: &str, now: u64) -> Result<Claims, Fault> {
        let signed = self.signed.as_bytes();
        if !self.candidates(keys).any(|key| key.verifies(self.algorithm, signed, &self.signature)) {
            return Err(Fault::new("the token is not signed by a key of the provider"));
        }
        let claims = self.claims;
        match claims.get("iss").and_then(Value::as_str) {
            Some(said) if said == issuer => {}
            Some(said) if said.trim_end_matches('/') == issuer.trim_end_matches('/') => {
                return Err(Fault::new(
                    "the issuer of the token differs from that of the provider by a slash at the end",
                ));
            }
            _ => return Err(Fault::new("the token is of another issuer")),
        }
        let now = now as f64;
        let time = |name: &str| claims.get(name).map(|value| value.as_f64());
        match time("exp") {
            Some(Some(ends)) if ends + f64::from(LEEWAY) > now => {}
            Some(Some(_)) => return Err(Fault::new("the token has expired")),
            _ => return Err(Fault::new("the token does not say when it expires")),
        }
        match time("nbf") {
            None => {}
            Some(Some(begins)) if begins - f64::from(LEEWAY) <= now => {}
            _ => return Err(Fault::new("the token is not valid yet")),
        }
        Ok(claims)
    }
}

/// The audiences that a token names.
pub(super) fn audiences(claims: &Claims) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// A claim that is a text and not empty.
pub(super) fn text<'c>(claims: &'c Claims, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}
