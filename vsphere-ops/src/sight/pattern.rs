//! Globs on inventory paths, whose plain names become ids.

use std::fmt;

use crate::name::{self, Glob};

/// A glob on inventory paths: `/fra1/vm/prod/**`.
///
/// `*` stays within a name, `**` stands for any number of names, none included: `prod/**` is `prod` and all below it. `/**` is
/// everything. Case does not matter, and a slash in a name is written `%2f`.
///
/// ```
/// use vsphere_ops::sight::ObjectPattern;
///
/// let hosts = ObjectPattern::parse("/fra1/host/*/esx-0?")?;
/// assert_eq!(hosts.to_string(), "/fra1/host/*/esx-0?");
/// assert!(ObjectPattern::parse("prod/*").is_err());
/// # Ok::<(), vsphere_ops::sight::BadPattern>(())
/// ```
#[derive(Debug, Clone)]
pub struct ObjectPattern {
    text: String,
    /// The plain names in front, folded.
    prefix: Vec<String>,
    rest: Vec<Segment>,
}

#[derive(Debug, Clone)]
enum Segment {
    /// Any number of names.
    Any,
    One(Glob),
}

/// A text that is no glob on inventory paths.
///
/// ```
/// use vsphere_ops::sight::ObjectPattern;
///
/// let bad = ObjectPattern::parse("fra1/vm").unwrap_err();
/// assert_eq!(bad.to_string(), "fra1/vm is no inventory path: it begins with a slash, as /fra1/vm does");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPattern(String);

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadPattern {}

impl ObjectPattern {
    /// Reads a glob.
    ///
    /// # Errors
    /// It does not begin with a slash, or has an empty name, a `.`, a `..` or a `**` that is only part of a name.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let text = text.trim();
        let bad = |why: String| Err(BadPattern(format!("{text} is no inventory path: {why}")));
        let Some(path) = text.strip_prefix('/') else {
            return bad(format!("it begins with a slash, as /{} does", text.trim_start_matches(['/', '.'])));
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return bad("it names nothing; /** is everything".to_owned());
        }
        let mut segments = Vec::new();
        let mut prefix = Vec::new();
        for part in path.split('/') {
            match part {
                "" => return bad("it has two slashes in a row".to_owned()),
                "." | ".." => return bad(format!("it has the step {part}")),
                "**" => segments.push(Segment::Any),
                part if part.contains("**") => return bad(format!("** stands for whole names, and not in {part}")),
                part if segments.is_empty() && is_plain(part) => prefix.push(fold(&name::decode(part))),
                part => segments.push(Segment::One(Glob::new(&name::decode(part)))),
            }
        }
        Ok(Self { text: text.to_owned(), prefix, rest: segments })
    }

    /// The plain names in front.
    pub(super) fn prefix(&self) -> &[String] {
        &self.prefix
    }

    /// Whether the names that follow the plain ones fit.
    pub(super) fn fits_after(&self, names: &[&str]) -> bool {
        fits(&self.rest, names)
    }

    /// Whether a whole path fits by its names.
    pub(super) fn fits(&self, names: &[&str]) -> bool {
        let Some((front, rest)) = names.split_at_checked(self.prefix.len()) else { return false };
        front.iter().zip(&self.prefix).all(|(name, plain)| fold(name) == *plain) && self.fits_after(rest)
    }
}

impl fmt::Display for ObjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_plain(part: &str) -> bool {
    !part.contains(['*', '?', '[', '{'])
}

/// Without case, as the server compares names.
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase()
}

fn fits(segments: &[Segment], names: &[&str]) -> bool {
    match (segments.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((Segment::Any, rest)), _) => {
            fits(rest, names) || names.split_first().is_some_and(|(_, more)| fits(segments, more))
        }
        (Some((Segment::One(glob), rest)), Some((name, more))) => glob.fits(name) && fits(rest, more),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    fn fitting(pattern: &str, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        ObjectPattern::parse(pattern).unwrap().fits(&names)
    }

    #[test]
    fn a_star_stays_in_a_name_and_two_go_over_names() {
        for (pattern, path, expected) in [
            ("/fra1/vm/prod/**", "/fra1/vm/prod", true),
            ("/fra1/vm/prod/**", "/fra1/vm/prod/web/web-01", true),
            ("/fra1/vm/prod/**", "/fra1/vm/production", false),
            ("/fra1/vm/prod/*", "/fra1/vm/prod/web", true),
            ("/fra1/vm/prod/*", "/fra1/vm/prod", false),
            ("/fra1/vm/prod/*", "/fra1/vm/prod/web/web-01", false),
            ("/*/vm/**/web-*", "/fra1/vm/a/b/web-01", true),
            ("/*/vm/**/web-*", "/fra1/vm/web-01", true),
            ("/*/vm/**/web-*", "/fra1/host/web-01", false),
            ("/FRA1/VM/Prod", "/fra1/vm/prod", true),
            ("/fra1/vm/prod", "/fra1/vm/prod/web", false),
            ("/**", "/fra1", true),
        ] {
            assert_eq!(fitting(pattern, path), expected, "{pattern} {path}");
        }
        assert!(ObjectPattern::parse("/**").unwrap().fits(&[]));
        assert!(ObjectPattern::parse("/a/x%2fy").unwrap().fits(&["a", "x/y"]));
    }

    #[test]
    fn what_is_no_path_is_refused_with_the_reason() {
        for (text, why) in [
            ("prod/*", "begins with a slash, as /prod/*"),
            ("/", "/** is everything"),
            ("/a//b", "two slashes"),
            ("/a/../b", "the step .."),
            ("/a/web**", "whole names"),
        ] {
            let bad = ObjectPattern::parse(text).unwrap_err().to_string();
            assert!(bad.contains(why), "{bad}");
        }
    }
}
