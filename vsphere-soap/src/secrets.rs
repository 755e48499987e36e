//! Our own secrets, struck out of what a server says.
//!
//! A page or a fault may quote the request that it answers: a proxy that shows what it refused, a fault that repeats an
//! argument. What is quoted may be escaped for XML, JSON or a URL, so that each character is looked for in all its forms.

use std::borrow::Cow;
use std::fmt;

use zeroize::Zeroize as _;

/// What stands in the place of a secret.
pub const STRUCK: &str = "***";

/// A shorter secret is struck out only where it is a whole value, as between tags or quotes: it would be found in every
/// other word, and a text full of marks would tell what it is.
const SHORT: usize = 4;

/// How many characters of a secret at the end of a text that was cut count as the secret.
const PART: usize = 4;

/// Texts that no error, log or answer may show. `Debug` shows how many there are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Longest first, so that one that contains another is struck out whole.
    known: Vec<Box<[char]>>,
}

impl Secrets {
    /// No secrets.
    pub const fn new() -> Self {
        Self { known: Vec::new() }
    }

    /// Adds a secret. Empty ones and those that are known are left out.
    pub fn add(&mut self, secret: &str) {
        let mut secret: Vec<char> = secret.chars().collect();
        // Where lines are joined, a run of white space becomes one space.
        secret.dedup_by(|next, before| next.is_whitespace() && before.is_whitespace());
        let secret = secret.into_boxed_slice();
        if !secret.is_empty() && !self.known.contains(&secret) {
            let place = self.known.partition_point(|known| known.len() >= secret.len());
            self.known.insert(place, secret);
        }
    }

    /// Adds all that another list has.
    pub fn add_all(&mut self, others: &Self) {
        others.known.iter().for_each(|other| self.add(&other.iter().collect::<String>()));
    }

    /// Takes a secret out, for one that is no longer sent. What was kept of it is overwritten.
    pub fn forget(&mut self, secret: &str) {
        let mut one = Self::new();
        one.add(secret);
        self.known.extract_if(.., |known| one.known.contains(known)).for_each(|mut known| known.zeroize());
        one.known.iter_mut().for_each(|known| known.zeroize());
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The text with [`STRUCK`] in the place of each secret, also where it is escaped.
    pub fn strike<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.struck(text, false)
    }

    /// The same for a text that was cut: the beginning of a secret at its end is struck out too.
    pub fn strike_cut<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.struck(text, true)
    }

    fn struck<'t>(&self, text: &'t str, is_cut: bool) -> Cow<'t, str> {
        let mut out = String::new();
        let mut kept = 0;
        let mut at = 0;
        while at < text.len() && !self.known.is_empty() {
            match self.known.iter().find_map(|secret| end_of(secret, text, at, is_cut)) {
                Some(end) => {
                    out.push_str(&text[kept..at]);
                    out.push_str(STRUCK);
                    (kept, at) = (end, end);
                }
                None => at += text[at..].chars().next().map_or(1, char::len_utf8),
            }
        }
        if kept == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[kept..]);
        Cow::Owned(out)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.known.len())
    }
}

/// Where the secret ends that begins here.
fn end_of(secret: &[char], text: &str, start: usize, is_cut: bool) -> Option<usize> {
    // Where a character can end in several ways all are followed: `&` may stand for itself or begin `&amp;`.
    let mut ends = vec![start];
    for (count, expected) in secret.iter().enumerate() {
        if is_cut && count >= PART && ends.iter().any(|end| is_cut_off(&text[*end..])) {
            return Some(text.len());
        }
        let mut next = steps(&ends, text, *expected);
        if expected.is_whitespace() {
            let mut at = 0;
            // So much white space is no longer a part of a secret, and a bound keeps a hostile text from taking long.
            while at < next.len() && next.len() < 64 {
                let more = steps(&next[at..=at], text, ' ');
                next.extend(more.into_iter().filter(|end| !next.contains(end)).collect::<Vec<_>>());
                at += 1;
            }
        }
        if next.is_empty() {
            return None;
        }
        ends = next;
    }
    let whole = |end: &usize| secret.len() >= SHORT || is_whole_value(text, start, *end);
    ends.into_iter().filter(whole).max()
}

/// Where the character ends that begins at one of these places.
fn steps(starts: &[usize], text: &str, expected: char) -> Vec<usize> {
    let mut ends = Vec::new();
    for start in starts {
        for length in lengths(&text[*start..], expected).into_iter().flatten() {
            if !ends.contains(&(start + length)) {
                ends.push(start + length);
            }
        }
    }
    ends
}

/// Whether the text ends here, or in the middle of an escaped character.
fn is_cut_off(rest: &str) -> bool {
    rest.is_empty() || (rest.len() < 12 && rest.starts_with(['&', '%', '\\']))
}

/// Whether what stands there is all between two marks of XML, JSON or a form.
fn is_whole_value(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].chars().next_back();
    let after = text[end..].chars().next();
    before.is_none_or(|c| matches!(c, '>' | '"' | '\'' | '='))
        && after.is_none_or(|c| matches!(c, '<' | '"' | '\'' | '&'))
}

/// How long the character is at the start of the text, in each form that it has there.
fn lengths(text: &str, expected: char) -> [Option<usize>; 3] {
    let literal = if expected.is_whitespace() {
        text.chars().next().filter(|c| c.is_whitespace()).map(char::len_utf8)
    } else {
        text.starts_with(expected).then_some(expected.len_utf8())
    };
    let (escaped, more) = match text.as_bytes().first() {
        Some(b'&') => (entity(text, expected), None),
        Some(b'%') => (percent(text, expected), None),
        Some(b'+') => (expected.is_whitespace().then_some(1), None),
        Some(b'\\') => (unicode(text, expected), backslash(text, expected)),
        _ => (None, None),
    };
    [literal, escaped, more]
}

/// `&lt;`, `&#60;`, `&#x3c;`.
fn entity(text: &str, expected: char) -> Option<usize> {
    let length = text.bytes().take(12).position(|byte| byte == b';')?;
    (resolve(&text[1..length])? == expected).then_some(length + 1)
}

/// The character of a predefined entity or a character reference, without `&` and `;`.
pub(crate) fn resolve(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

/// `%3C`, for each byte of the character.
fn percent(text: &str, expected: char) -> Option<usize> {
    let mut bytes = [0; 4];
    let mut rest = text;
    for byte in expected.encode_utf8(&mut bytes).bytes() {
        let digits = rest.strip_prefix('%')?.get(..2)?;
        if u8::from_str_radix(digits, 16) != Ok(byte) {
            return None;
        }
        rest = &rest[3..];
    }
    Some(text.len() - rest.len())
}

/// `\u003c`, twice for what UTF-16 writes as two.
fn unicode(text: &str, expected: char) -> Option<usize> {
    let mut units = [0; 2];
    let mut rest = text;
    for unit in expected.encode_utf16(&mut units) {
        let digits = rest.strip_prefix("\\u")?.get(..4)?;
        if u16::from_str_radix(digits, 16) != Ok(*unit) {
            return None;
        }
        rest = &rest[6..];
    }
    Some(text.len() - rest.len())
}

/// `\"`, `\\`, `\/`, `\n`.
fn backslash(text: &str, expected: char) -> Option<usize> {
    let shown = match text[1..].chars().next()? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        c if c.is_ascii_punctuation() => c,
        _ => return None,
    };
    (shown == expected).then_some(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(secret: &str, text: &str) -> String {
        let mut secrets = Secrets::new();
        secrets.add(secret);
        secrets.strike(text).into_owned()
    }

    #[test]
    fn a_secret_is_struck_out_in_all_its_escaped_forms() {
        let secret = r#"p&<ä "\/😀'x"#;
        for text in [
            secret,
            r#"p&amp;&lt;ä "\/😀'x"#,
            r#"p&amp;&lt;&#228; &quot;\/&#x1F600;&apos;x"#,
            r#"p&#38;&#60;&#xe4; &#34;\/😀&#39;x"#,
            r#"p%26%3C%C3%A4+%22%5C%2F%F0%9F%98%80%27x"#,
            r#"p%26%3c%c3%a4%20%22%5c/%f0%9f%98%80'x"#,
            r#"p&<ä \"\\\/😀'x"#,
            r#"p\u0026\u003c\u00e4 \"\\/\ud83d\ude00'x"#,
            "p&<ä \r\n  \"\\/😀'x",
        ] {
            assert_eq!(struck(secret, &format!("a {text}, {text}")), "a ***, ***", "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in ["", "hunter", "h&unter2", "hunter%2", "%", "%C", "&", "&;", "&#;", "\\", "\\u", "\\u00", "é%é"] {
            assert_eq!(struck("hunter2", text), text);
        }
        assert_eq!(struck("", "text"), "text");
        assert_eq!(Secrets::new().strike("text"), "text");
    }

    #[test]
    fn a_secret_that_was_forgotten_is_none() {
        let mut secrets = Secrets::new();
        secrets.add("hunter2");
        secrets.add("cookie");
        secrets.forget("hunter2");
        secrets.forget("unknown");
        assert_eq!(secrets.strike("hunter2 cookie"), "hunter2 ***");
    }

    #[test]
    fn a_short_secret_is_struck_out_only_where_it_is_a_whole_value() {
        for (text, expected) in [
            ("<password>a</password>", "<password>***</password>"),
            (r#"{"password":"a"}"#, r#"{"password":"***"}"#),
            ("user=x&password=a&b=c", "user=x&password=***&b=c"),
            ("a", "***"),
            ("a bad password at all", "a bad password at all"),
        ] {
            assert_eq!(struck("a", text), expected);
        }
    }

    #[test]
    fn the_longer_of_two_is_struck_out_whole() {
        let mut secrets = Secrets::new();
        for secret in ["pass", "password1", "pass", "52a3-b"] {
            secrets.add(secret);
        }
        assert_eq!(secrets.strike("password1 pass 52a3-b"), "*** *** ***");
        assert_eq!(format!("{secrets:?}"), "Secrets(3)");
    }

    #[test]
    fn the_beginning_of_a_secret_is_struck_out_where_the_text_was_cut() {
        let mut secrets = Secrets::new();
        secrets.add("hunter2&co");
        for (text, expected) in [("with hunte", "with ***"), ("with hunter2&am", "with ***"), ("with hun", "with hun")]
        {
            assert_eq!(secrets.strike_cut(text), expected);
        }
        assert_eq!(secrets.strike("with hunte"), "with hunte");
    }
}
