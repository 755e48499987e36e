//! Names: how vSphere escapes them, and globs on them.

/// Decodes a name for people: the server escapes `/`, `\` and `%` as `%2f`, `%5c` and `%25`.
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
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in decode(name).chars() {
        match c {
            '/' => out.push_str("%2f"),
            '\\' => out.push_str("%5c"),
            '%' => out.push_str("%25"),
            c => out.push(c),
        }
    }
    out
}

/// A glob on a name: `*`, `?`, `[a-z]`, `{a,b}`. Case does not matter, as in vSphere.
#[derive(Debug, Clone)]
pub struct Glob(String);

impl Glob {
    /// A glob.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_lowercase())
    }

    /// Whether the whole name fits.
    pub fn fits(&self, name: &str) -> bool {
        // A slash in a name is a letter like any other, not a separator.
        fast_glob::glob_match(self.0.replace('/', "\u{2215}"), name.to_lowercase().replace('/', "\u{2215}"))
    }
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
    }

    #[test]
    fn globs_fit_whole_names_and_any_case() {
        assert!(Glob::new("web-*").fits("WEB-1"));
        assert!(Glob::new("*").fits("a/b"));
        assert!(Glob::new("w?b").fits("wéb"));
        assert!(!Glob::new("web").fits("web-1"));
        assert!(Glob::new("[ab]-1").fits("b-1"));
    }
}
