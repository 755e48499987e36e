//! The manifest of a package: a checksum for each file.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::transfer::{Algorithm, Checksum};

/// The checksums of the files of a package, by their names.
#[derive(Debug, Default, Clone)]
pub(super) struct Manifest {
    sums: HashMap<String, Checksum>,
}

impl Manifest {
    /// Reads the lines of a manifest: `SHA256(web-disk1.vmdk)= 9f86…`.
    ///
    /// # Errors
    /// The line that is none of a manifest, and why.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut sums = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let refused = |why: &str| format!("line {} of the manifest {why}", number + 1);
            let (algorithm, rest) = line.split_once('(').ok_or_else(|| refused("names no file"))?;
            // A name may have brackets and signs of equality in it: the checksum follows the last bracket.
            let (name, sum) = rest.rsplit_once(')').ok_or_else(|| refused("names no file"))?;
            let algorithm = match algorithm.trim().to_ascii_uppercase().as_str() {
                "SHA1" => Algorithm::Sha1,
                "SHA256" => Algorithm::Sha256,
                "SHA512" => Algorithm::Sha512,
                _ => return Err(refused("is neither SHA1, nor SHA256, nor SHA512")),
            };
            let sum = sum.trim_start().strip_prefix('=').ok_or_else(|| refused("has no checksum"))?;
            let sum: Checksum = sum.trim().parse().map_err(|_| refused("has no whole checksum"))?;
            if sum.algorithm() != algorithm {
                return Err(refused("has the checksum of another kind than it says"));
            }
            if sums.insert(name.to_owned(), sum).is_some_and(|other| other != sum) {
                return Err(refused("gives a file a second checksum"));
            }
        }
        Ok(Self { sums })
    }

    pub(super) fn get(&self, name: &str) -> Option<Checksum> {
        self.sums.get(name).copied()
    }

    /// The manifest of these files, in their order.
    pub(super) fn write<'a>(files: impl IntoIterator<Item = (&'a str, Checksum)>) -> String {
        let mut text = String::new();
        for (name, sum) in files {
            let _ = writeln!(text, "{}({name})= {sum}", name_of(sum.algorithm()));
        }
        text
    }
}

fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sha1 => "SHA1",
        Algorithm::Sha256 => "SHA256",
        Algorithm::Sha512 => "SHA512",
    }
}

/// Reads any bytes as a manifest, and finds in it again what it writes. For fuzzing.
pub(super) fn fuzz(data: &[u8]) {
    if let Ok(manifest) = Manifest::read(&String::from_utf8_lossy(data)) {
        for (name, sum) in &manifest.sums {
            let written = Manifest::write([(name.as_str(), *sum)]);
            assert_eq!(Manifest::read(&written).ok().and_then(|read| read.get(name)), Some(*sum));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA_1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
    const SHA_256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn names_may_look_like_a_manifest() {
        for (line, name) in [
            (format!("SHA256(a.vmdk)= {SHA_256}"), "a.vmdk"),
            (format!("SHA256 (a (1).vmdk) = {SHA_256}\r"), "a (1).vmdk"),
            (format!("SHA1(SHA256(x)= y)={SHA_1}"), "SHA256(x)= y"),
            (format!("sha1( a b )= {}", SHA_1.to_uppercase()), " a b "),
        ] {
            let manifest = Manifest::read(&format!("\n{line}\n\n")).unwrap();
            assert!(manifest.get(name).is_some(), "{line}");
        }
        let written = Manifest::write([("a)= b", SHA_1.parse().unwrap()), ("b", SHA_256.parse().unwrap())]);
        assert_eq!(written, format!("SHA1(a)= b)= {SHA_1}\nSHA256(b)= {SHA_256}\n"));
        assert_eq!(Manifest::read(&written).unwrap().get("a)= b").unwrap().to_string(), SHA_1);
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_its_line() {
        for (text, says) in [
            ("hello", "line 1 of the manifest names no file"),
            ("SHA1(a)= 12", "no whole checksum"),
            (&format!("\nMD5(a)= {SHA_1}"), "line 2 of the manifest is neither"),
            (&format!("SHA1(a)= {SHA_256}"), "another kind"),
            (&format!("SHA1(a) {SHA_1}"), "no checksum"),
            (&format!("SHA1(a)= {SHA_1}\nSHA256(a)= {SHA_256}"), "second checksum"),
        ] {
            let error = Manifest::read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
