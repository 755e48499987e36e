//! Checksums of files, computed while these go by.

use std::fmt;
use std::io;
use std::str::FromStr;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512};

use crate::error::{Error, ErrorKind, Result, invalid};

/// A way to compute a checksum.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::Datastore;
/// use vsphere_ops::transfer::Algorithm;
///
/// let store = client.get::<Datastore>("nvme-01").await?;
/// let old = store.download("ova/disk.vmdk").algorithm(Algorithm::Sha1); // as older manifests have it
/// println!("{:?}", old.to_file("disk.vmdk").await?.checksum);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-1, as older OVF manifests have it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    fn context(self) -> Context {
        Context::new(match self {
            Self::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &SHA256,
            Self::Sha512 => &SHA512,
        })
    }
}

/// The checksum of a file.
///
/// Parsed from hexadecimal digits: 128 are SHA-512, 64 are SHA-256, 40 are SHA-1.
///
/// ```
/// use vsphere_ops::transfer::{Algorithm, Checksum};
///
/// let sum: Checksum = "a9993e364706816aba3e25717850c26c9cd0d89d".parse()?;
/// assert_eq!(sum.algorithm(), Algorithm::Sha1);
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum(Sum);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Sum {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

impl Checksum {
    /// How it is computed.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Sum::Sha1(_) => Algorithm::Sha1,
            Sum::Sha256(_) => Algorithm::Sha256,
            Sum::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Its bytes.
    ///
    /// ```
    /// use vsphere_ops::transfer::Checksum;
    ///
    /// let sum: Checksum = "a9993e364706816aba3e25717850c26c9cd0d89d".parse()?;
    /// assert_eq!(sum.as_bytes()[..2], [0xa9, 0x99]);
    /// # Ok::<(), vsphere_ops::Error>(())
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Sum::Sha1(bytes) => bytes,
            Sum::Sha256(bytes) => bytes,
            Sum::Sha512(bytes) => bytes,
        }
    }
}

impl Checksum {
    /// The checksum of a content.
    pub(crate) fn of_bytes(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut context = algorithm.context();
        context.update(content);
        Self::of(context.finish().as_ref()).unwrap_or(Self(Sum::Sha1([0; 20])))
    }

    /// The checksum of nothing.
    pub(crate) fn of_nothing(algorithm: Algorithm) -> Self {
        Self::of_bytes(algorithm, &[])
    }

    /// The checksum with these bytes, whose number says how it was computed.
    fn of(bytes: &[u8]) -> Option<Self> {
        let sum = if let Ok(bytes) = bytes.try_into() {
            Sum::Sha1(bytes)
        } else if let Ok(bytes) = bytes.try_into() {
            Sum::Sha256(bytes)
        } else {
            Sum::Sha512(bytes.try_into().ok()?)
        };
        Some(Self(sum))
    }
}

impl FromStr for Checksum {
    type Err = Error;

    /// # Errors
    /// `invalid_argument` if the text is not 128, 64 or 40 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let refused =
            || invalid("read the checksum", "it is not 128 (SHA-512), 64 (SHA-256) or 40 (SHA-1) hexadecimal digits");
        let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        let digits = digits.ok_or_else(refused)?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        if digits.len() % 2 != 0 {
            return Err(refused());
        }
        Self::of(&bytes).ok_or_else(refused)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.algorithm())
    }
}

/// What is to be computed of a file, and what it must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    algorithm: Option<Algorithm>,
    expected: Option<Checksum>,
}

impl Check {
    pub(crate) const NONE: Self = Self { algorithm: None, expected: None };

    pub(crate) fn by(algorithm: Algorithm) -> Self {
        Self { algorithm: Some(algorithm), expected: None }
    }

    pub(crate) fn against(checksum: Checksum) -> Self {
        Self { algorithm: Some(checksum.algorithm()), expected: Some(checksum) }
    }

    /// What the file must have.
    pub(crate) fn expected(self) -> Option<Checksum> {
        self.expected
    }

    pub(crate) fn hasher(self) -> Hasher {
        Hasher { context: self.algorithm.map(Algorithm::context), expected: self.expected }
    }
}

impl Default for Check {
    fn default() -> Self {
        Self::by(Algorithm::Sha256)
    }
}

/// Computes what a [`Check`] asks for.
pub(crate) struct Hasher {
    context: Option<Context>,
    expected: Option<Checksum>,
}

impl Hasher {
    /// Whether there is anything to compute.
    pub(super) fn computes(&self) -> bool {
        self.context.is_some()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(context) = &mut self.context {
            context.update(bytes);
        }
    }

    /// The checksum of all that went by, where it is what was expected.
    pub(crate) fn finish(self) -> Result<Option<Checksum>, Mismatch> {
        let Some(context) = self.context else { return Ok(None) };
        let Some(sum) = Checksum::of(context.finish().as_ref()) else { return Ok(None) };
        match self.expected {
            Some(expected) if expected != sum => {
                Err(Mismatch { expected: expected.into(), found: sum.into(), file: None })
            }
            _ => Ok(Some(sum)),
        }
    }
}

/// A file is not the one that was expected.
#[derive(Debug, Clone)]
pub(crate) struct Mismatch {
    expected: Box<Checksum>,
    found: Box<Checksum>,
    /// Which file, where the operation does not tell.
    file: Option<String>,
}

impl Mismatch {
    /// Names the file.
    pub(crate) fn of(mut self, file: &str) -> Self {
        self.file = Some(file.to_owned());
        self
    }
}

/// Names the file, where the error is that its checksum is not the expected one.
pub(crate) fn mismatch_of(error: io::Error, file: &str) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Mismatch>()) {
        Some(mismatch) => io::Error::other(mismatch.clone().of(file)),
        None => error,
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.file.as_ref().map(|file| format!(" of {file:?}")).unwrap_or_default();
        write!(f, "the checksum{of} is {}, and not {} as expected", self.found, self.expected)
    }
}

impl std::error::Error for Mismatch {}

impl From<Mismatch> for ErrorKind {
    fn from(mismatch: Mismatch) -> Self {
        Self::Corrupt(mismatch.to_string())
    }
}

/// The kind of an error of a local file, or of what was found wrong with what it holds.
pub(crate) fn local(error: io::Error) -> ErrorKind {
    if let Some(mismatch) = error.get_ref().and_then(|inner| inner.downcast_ref::<Mismatch>()) {
        return ErrorKind::Corrupt(mismatch.to_string());
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<super::vmdk::Unfit>()) {
        Some(unfit) => ErrorKind::InvalidArgument(unfit.to_string()),
        None => ErrorKind::File(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Digests of the three letters "abc", as FIPS 180 gives them.
    const SHA_1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
    const SHA_256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    const SHA_512: &str = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                           2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn checksums_are_read_computed_and_compared() {
        for (text, algorithm) in [(SHA_1, Algorithm::Sha1), (SHA_256, Algorithm::Sha256), (SHA_512, Algorithm::Sha512)]
        {
            let expected: Checksum = text.to_uppercase().parse().unwrap();
            assert_eq!((expected.to_string().as_str(), expected.algorithm()), (text, algorithm));
            let check = Check::against(expected);
            let mut hasher = check.hasher();
            hasher.update(b"a");
            hasher.update(b"bc");
            assert_eq!(hasher.finish().unwrap(), Some(expected));
            let error = check.hasher().finish().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        assert!(Check::NONE.hasher().finish().unwrap().is_none());
        for bad in ["", "abc", &SHA_1[1..], &format!("{SHA_256}0"), "xyz"] {
            assert!(bad.parse::<Checksum>().is_err());
        }
    }
}
