//! Names: how vSphere escapes them, and globs on them.
//!
//! ```
//! use vsphere_ops::name::{self, Glob};
//!
//! let wire = "web%2fblue";                          // what the server holds and sends
//! assert_eq!(name::decode(wire), "web/blue");       // what people see
//! assert_eq!(name::encode("web/blue"), wire);       // what stands in an inventory path
//! assert!(Glob::new("web/*").fits("Web/blue"));     // a slash in a name is a letter
//! ```
//!
//! The server writes `/`, `\` and `%` in names as `%2f`, `%5c` and `%25`. This crate decodes names for people and takes
//! both forms where it is given one; in a path a slash of a name has to be `%2f`, as the other ones part its steps.

/// Decodes a name for people: the server escapes `/`, `\` and `%` as `%2f`, `%5c` and `%25`.
///
/// ```
/// assert_eq!(vsphere_ops::name::decode("50%25 of a%2fb, c%5Cd, 100%"), "50% of a/b, c\\d, 100%");
/// ```
pub fn decode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let escape = after.get(..2).map(str::to_ascii_lowercase);
        let decoded = match escape.as_deref() {
            Some("2f") => Some('/'),
            Some("5c") => Some('\\'),
            Some("25") => Some('%'),
            _ => None,
        };
        out.push(decoded.unwrap_or('%'));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    out + rest
}

/// Encodes a name as a part of an inventory path. A name that the server has escaped already stays as it is.
///
/// ```
/// use vsphere_ops::name::encode;
///
/// let path = format!("/DC0/vm/{}", encode("web/blue"));
/// assert_eq!(path, "/DC0/vm/web%2fblue");
/// assert_eq!(encode("web%2fblue"), "web%2fblue");
/// ```
pub fn encode(name: &str) -> String {
    escape(&decode(name))
}

/// Encodes a name as it is shown: `a%2fb` is a name of five letters, whose path is not that of `a/b`.
pub(crate) fn escape(shown: &str) -> String {
    let mut out = String::with_capacity(shown.len());
    for c in shown.chars() {
        match c {
            '/' => out.push_str("%2f"),
            '\\' => out.push_str("%5c"),
            '%' => out.push_str("%25"),
            c => out.push(c),
        }
    }
    out
}

/// A glob on a name: `*`, `?`, `[a-z]`, `{a,b}`. Case does not matter, as in vSphere. A name that is the same as the
/// pattern fits, whatever brackets are in it. Slash and backslash are letters like any other, also written `%2f` and `%5c`.
///
/// ```
/// use vsphere_ops::name::Glob;
///
/// assert!(Glob::new("{web,db}-[0-9]?").fits("DB-01"));
/// assert!(!Glob::new("web").fits("web-01")); // the whole name has to fit
/// assert!(Glob::new("web[1]").fits("web[1]"));
/// ```
#[derive(Debug, Clone)]
pub struct Glob {
    text: String,
    /// The pattern where it is not written as names are shown.
    decoded: Option<String>,
    literal: bool,
}

impl Glob {
    /// A glob.
    pub fn new(pattern: &str) -> Self {
        let (text, decoded) = (fold(pattern), fold(&decode(pattern)));
        Self { decoded: Some(decoded).filter(|decoded| *decoded != text), text, literal: false }
    }

    /// A pattern that only this name fits.
    pub(crate) fn literal(name: &str) -> Self {
        Self { text: fold(name), decoded: None, literal: true }
    }

    /// Whether the whole name fits.
    pub fn fits(&self, name: &str) -> bool {
        let name = fold(name);
        if self.literal {
            return self.text == name;
        }
        std::iter::once(&self.text).chain(&self.decoded).any(|pattern| {
            if *pattern == name {
                return true;
            }
            let (pattern, name) = one_byte_each(pattern, &name);
            fast_glob::glob_match(pattern, name)
        })
    }
}

/// Both texts with one byte for each letter, in the order of the letters: the matcher counts in bytes. Texts of more
/// than 128 different letters beyond ASCII are left as they are.
fn one_byte_each(pattern: &str, name: &str) -> (Vec<u8>, Vec<u8>) {
    let mut letters: Vec<char> = pattern.chars().chain(name.chars()).filter(|c| !c.is_ascii()).collect();
    letters.sort_unstable();
    letters.dedup();
    let byte = |c: char| match u8::try_from(c) {
        Ok(ascii) if ascii.is_ascii() => Some(ascii),
        _ => letters.binary_search(&c).ok().and_then(|at| u8::try_from(at + 0x80).ok()),
    };
    let bytes = |text: &str| text.chars().map(byte).collect::<Option<Vec<u8>>>();
    match (bytes(pattern), bytes(name)) {
        (Some(pattern), Some(name)) => (pattern, name),
        _ => (pattern.into(), name.into()),
    }
}

/// Without case; with a slash as a letter like any other, not a separator, and a backslash as one, not an escape.
fn fold(text: &str) -> String {
    text.to_lowercase().replace('/', "\u{2215}").replace('\\', "\u{2216}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_for_people_and_encoded_for_paths() {
        for (wire, shown) in [("a%2fb", "a/b"), ("50%25", "50%"), ("c%5Cd", "c\\d"), ("100%", "100%"), ("ü%2", "ü%2")]
        {
            assert_eq!(decode(wire), shown);
        }
        assert_eq!(encode("a/b"), "a%2fb");
        assert_eq!(encode("a%2fb"), "a%2fb");
        assert_eq!(encode("100%"), "100%25");
        // A name that reads like an escaped one is another one than what it reads like.
        assert_eq!((decode("a%252fb").as_str(), escape("a%2fb").as_str()), ("a%2fb", "a%252fb"));
    }

    #[test]
    fn every_name_that_is_shown_fits_itself_and_leads_back_to_its_wire_form() {
        let letters =
            ['a', 'B', '/', '\\', '%', '2', 'f', '5', 'c', '*', '?', '[', ']', '{', '}', '!', ',', ' ', 'ü', '…', '∕'];
        for _ in 0..5_000 {
            let shown: String = (0..fastrand::usize(1..8)).map(|_| letters[fastrand::usize(..letters.len())]).collect();
            let wire = escape(&shown);
            assert!(!wire.contains(['/', '\\']), "{wire:?}");
            assert_eq!(decode(&wire), shown, "{wire:?}");
            // As a part of a path, which is how it is shown there.
            assert_eq!(encode(&wire), wire, "{shown:?}");
            assert!(Glob::new(&shown).fits(&shown) && Glob::literal(&shown).fits(&shown), "{shown:?}");
        }
    }

    #[test]
    fn globs_fit_whole_names_and_any_case() {
        assert!(Glob::new("web-*").fits("WEB-1"));
        assert!(Glob::new("*").fits("a/b"));
        for pattern in ["a/b*", "a%2fb*", "a%2Fb*"] {
            assert!(Glob::new(pattern).fits("A/b-1"), "{pattern}");
        }
        assert!(Glob::new("a\\b*").fits("a\\b-1") && Glob::new("a%5cb*").fits("a\\b-1"));
        assert!(Glob::new("100%*").fits("100% done"));
        assert!(Glob::new("w?b").fits("wéb") && Glob::new("w[à-ê]b").fits("wéb") && !Glob::new("w[ê-ü]b").fits("wéb"));
        assert!(!Glob::new("web").fits("web-1"));
        assert!(Glob::new("[ab]-1").fits("b-1"));
        assert!(Glob::new("web[1]").fits("web[1]") && Glob::new("web[1]").fits("web1"));
        assert!(Glob::literal("a*").fits("A*") && !Glob::literal("a*").fits("ab"));
    }
}
