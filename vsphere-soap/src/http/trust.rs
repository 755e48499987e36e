//! Which server certificates are trusted.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ring::digest;

use crate::error::{Error, ErrorKind};

/// Which server certificates are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Those that the operating system trusts, for the name in the address.
    #[default]
    System,
    /// Those signed by a CA in this PEM file, or that are in the file themselves, for the name in the address.
    ///
    /// The second is for ESXi, whose own certificate is signed by a CA that nobody can get.
    CaFile(PathBuf),
    /// As [`CaFile`](Self::CaFile), with the PEM text itself.
    CaPem(Vec<u8>),
    /// Exactly the certificate with this thumbprint, whatever its name, issuer and dates.
    Thumbprint(Thumbprint),
    /// Any. An attacker on the network can then read and change everything, including the password.
    Insecure,
}

/// The digest that names a certificate, as vSphere shows it: SHA-256, or SHA-1 for older servers.
///
/// Parsed from hexadecimal digits in any case, with or without colons or spaces between them.
///
/// ```
/// use vsphere_soap::http::Thumbprint;
///
/// let pin: Thumbprint = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".parse()?;
/// assert!(pin.matches(b"test"));
/// assert!(pin.to_string().starts_with("9F:86:D0:81:"));
/// # Ok::<(), vsphere_soap::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint(Digest);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Digest {
    Sha256([u8; 32]),
    Sha1([u8; 20]),
}

impl Thumbprint {
    /// The SHA-256 thumbprint of a certificate in DER.
    pub fn sha256_of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
        Self(Digest::Sha256(bytes))
    }

    /// The SHA-1 thumbprint of a certificate in DER.
    pub fn sha1_of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate).as_ref());
        Self(Digest::Sha1(bytes))
    }

    /// Whether this is the thumbprint of the certificate, given in DER.
    pub fn matches(&self, certificate: &[u8]) -> bool {
        match self.0 {
            Digest::Sha256(_) => *self == Self::sha256_of(certificate),
            Digest::Sha1(_) => *self == Self::sha1_of(certificate),
        }
    }

    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Digest::Sha256(bytes) => bytes,
            Digest::Sha1(bytes) => bytes,
        }
    }
}

impl FromStr for Thumbprint {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Config`] when the text has other characters or another length than SHA-256 and SHA-1 have.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut digits = Vec::with_capacity(64);
        for c in text.chars().filter(|c| *c != ':' && !c.is_whitespace()) {
            let Some(digit) = c.to_digit(16) else {
                return Err(invalid(format!(
                    "the thumbprint has the character {c:?}, which is not a hexadecimal digit"
                )));
            };
            digits.push(digit as u8);
        }
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        match (digits.len(), <[u8; 32]>::try_from(&bytes[..]), <[u8; 20]>::try_from(&bytes[..])) {
            (64, Ok(bytes), _) => Ok(Self(Digest::Sha256(bytes))),
            (40, _, Ok(bytes)) => Ok(Self(Digest::Sha1(bytes))),
            (count, ..) => {
                Err(invalid(format!("the thumbprint has {count} hexadecimal digits; SHA-256 has 64 and SHA-1 has 40")))
            }
        }
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.bytes().iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

fn invalid(message: String) -> Error {
    Error::new("connect", ErrorKind::Config(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Digests of the three letters "abc", as FIPS 180 gives them.
    const SHA1: &str = "A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D";
    const SHA256: &str =
        "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";

    #[test]
    fn every_usual_spelling_is_the_same() {
        for full in [SHA1, SHA256] {
            let expected: Thumbprint = full.parse().unwrap();
            assert_eq!(expected.to_string(), full);
            assert!(expected.matches(b"abc") && !expected.matches(b"abd"));
            for spelling in [full.to_lowercase(), full.replace(':', ""), full.replace(':', " "), format!(" {full}\n")] {
                assert_eq!(spelling.parse::<Thumbprint>().unwrap(), expected, "{spelling}");
            }
        }
        assert_eq!(Thumbprint::sha1_of(b"abc").to_string(), SHA1);
        assert_eq!(Thumbprint::sha256_of(b"abc").to_string(), SHA256);
    }

    #[test]
    fn what_is_no_thumbprint_is_refused() {
        for (given, word) in [("", "0 hexa"), ("abc", "3 hexa"), (&SHA1[3..], "38 hexa"), ("é", "'é'"), ("0x12", "'x'")]
        {
            let error = given.parse::<Thumbprint>().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(format!("{SHA256}0").parse::<Thumbprint>().is_err());
        assert!(format!("{SHA1}0").parse::<Thumbprint>().is_err());
    }
}
