//! The entries of `tokens`:
//!
//! ```yaml
//! tokens:
//!   ci:
//!     level: power_ops
//!     sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//!     expires: 2027-03-01                  # the first moment at which it no longer counts, or never
//! ```
//!
//! `mcvsphere token new` writes them.

use std::collections::BTreeMap;

use vsphere_ops::moment;

use super::{SettingsError, TOKENS, file::Entry, kinds::Kind as _};
use crate::{
    Permission,
    http::tokens::{Digest, Token},
};

/// Checks the entries.
///
/// # Errors
/// An entry lacks something, has a field that is not known, or is the same token as another.
pub(super) fn read(entries: &BTreeMap<String, Entry>) -> Result<Vec<Token>, SettingsError> {
    let mut tokens: Vec<Token> = Vec::new();
    for (name, entry) in entries {
        let problem = |text: String| SettingsError::new(TOKENS, format!("has the entry `{name}`, which {text}"));
        let token = token(name, entry).map_err(problem)?;
        if let Some(other) = tokens.iter().find(|other| other.digest == token.digest) {
            return Err(problem(format!("has the same sha256 as `{}`", other.name)));
        }
        tokens.push(token);
    }
    Ok(tokens)
}

fn token(name: &str, entry: &Entry) -> Result<Token, String> {
    const FIELDS: [&str; 3] = ["level", "sha256", "expires"];
    if let Some(other) = entry.keys().find(|field| !FIELDS.contains(&field.as_str())) {
        return Err(format!("has the unknown field `{other}`: there are {}", FIELDS.join(", ")));
    }
    let one = |field: &str| match entry.get(field).map(Vec::as_slice) {
        Some([text]) if !text.is_empty() => Ok(text.as_str()),
        Some(_) => Err(format!("must have one value for `{field}`")),
        None => Err(format!("lacks `{field}`")),
    };
    Token::check_name(name)?;
    let level = Permission::read(one("level")?).map_err(|problem| format!("has a `level` that {problem}"))?;
    let digest = Digest::read(one("sha256")?).ok_or("must have 64 hex digits for `sha256`")?;
    let expires = match one("expires") {
        Ok("never") => None,
        Ok(text) => Some(moment(text).ok_or("must have a date for `expires`, such as 2027-03-01, or never")?),
        Err(problem) => return Err(format!("{problem}: a date such as 2027-03-01, or never")),
    };
    Ok(Token { name: name.to_owned(), level, digest, expires })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[(&str, &str)]) -> Entry {
        fields.iter().map(|(field, value)| ((*field).to_owned(), vec![(*value).to_owned()])).collect()
    }

    #[test]
    fn an_entry_has_a_level_a_digest_and_an_end() {
        let digest = "a1".repeat(32);
        let digest = ("sha256", digest.as_str());
        let level = ("level", "power_ops");
        let read = |name: &str, fields: &[(&str, &str)]| token(name, &entry(fields));
        let full = read("ci", &[level, digest, ("expires", "2027-03-01")]).unwrap();
        assert_eq!((full.level, full.expires), (Permission::PowerOps, moment("2027-03-01T00:00:00Z")));
        assert_eq!(read("ci", &[level, digest, ("expires", "never")]).unwrap().expires, None);
        assert!(read("ci", &[level, digest, ("expires", "2027-03-01T10:00:00+02:00")]).unwrap().expires.is_some());
        for (name, fields, part) in [
            ("ci", &[digest, ("expires", "never")][..], "lacks `level`"),
            ("ci", &[("level", "king"), digest, ("expires", "never")], "`level`"),
            ("ci", &[level, ("expires", "never")], "lacks `sha256`"),
            ("ci", &[level, ("sha256", "hunter2"), ("expires", "never")], "64 hex digits"),
            ("ci", &[level, digest], "lacks `expires`: a date"),
            ("ci", &[level, digest, ("expires", "soon")], "a date for `expires`"),
            ("ci", &[level, digest, ("expires", "never"), ("user", "x")], "unknown field `user`"),
            ("c i", &[level, digest, ("expires", "never")], "name"),
        ] {
            let problem = read(name, fields).unwrap_err();
            assert!(problem.contains(part) && !problem.contains("hunter2"), "{problem}");
        }
        let same = entry(&[level, digest, ("expires", "never")]);
        let twice = [("a".to_owned(), same.clone()), ("b".to_owned(), same)].into();
        assert!(read_all(&twice).contains("the same sha256 as `a`"));
    }

    fn read_all(entries: &BTreeMap<String, Entry>) -> String {
        read(entries).unwrap_err().to_string()
    }
}
