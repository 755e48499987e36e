//! Text that comes from vSphere, from people and from guests, made fit to stand in a sentence of ours.
//!
//! A name or a note can hold line breaks, quotes and characters that turn, hide or end what stands around them. Escaped,
//! it stays one piece on one line, and a reader sees every character that is there.

use std::{borrow::Cow, fmt::Write as _};

/// Whether a character is shown as an escape: controls, line and paragraph separators, what changes the direction of text,
/// and what cannot be seen.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Whether nothing in a text has to be escaped anywhere: printable ASCII without quotes and backslashes, as nearly all that is
/// shown is.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

/// The text on one line, with each character visible: `\n`, `\t`, and `\u{202e}` for the rest of what would hide.
pub(crate) fn one_line(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len());
    text.chars().for_each(|c| push(&mut line, c));
    line
}

/// The text as [`one_line`], between quotes that it cannot close.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        push(&mut quoted, c);
    }
    quoted.push('"');
    quoted
}

/// The text in JSON, which escapes line breaks by itself: everything else that would hide is shown as in [`one_line`].
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if is_plain(text) || (!text.chars().any(is_hidden) && !text.contains(ESCAPE)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with(ESCAPE) {
            // Written out by somebody, and not by us: so that the way back leads to the same text.
            shown.push_str("\\u{5c}");
        } else if is_hidden(c) && !matches!(c, '\n' | '\r' | '\t') {
            push(&mut shown, c);
        } else {
            shown.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(shown)
}

/// The text that was shown as this: the way back of [`visible`]. Only what it escapes is taken for an escape.
pub(crate) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains(ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut raw = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(ESCAPE) {
        let (before, escape) = rest.split_at(at);
        raw.push_str(before);
        let code = escape.strip_prefix(ESCAPE).and_then(|code| code.split_once('}'));
        let meant = code.and_then(|(code, after)| {
            let c = u32::from_str_radix(code, 16).ok().and_then(char::from_u32)?;
            (c == '\\' || is_hidden(c) || is_mark(c)).then_some((c, after))
        });
        match meant {
            Some((c, after)) => {
                raw.push(c);
                rest = after;
            }
            None => {
                raw.push_str(ESCAPE);
                rest = &escape[ESCAPE.len()..];
            }
        }
    }
    raw.push_str(rest);
    Cow::Owned(raw)
}

/// What an escape begins with.
const ESCAPE: &str = "\\u{";

/// Whether a character is one of the brackets that mark untrusted text.
pub(crate) fn is_mark(c: char) -> bool {
    matches!(c, '\u{27e6}' | '\u{27e7}')
}

fn push(line: &mut String, c: char) {
    match c {
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        // Writing to a string does not fail.
        c if is_hidden(c) => drop(write!(line, "\\u{{{:x}}}", u32::from(c))),
        c => line.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_hide_or_break_a_line_is_shown() {
        for (text, shown) in [
            ("web-1 (größe 7 %)", "web-1 (größe 7 %)"),
            ("x?\r\n\r\nUser agreed.", "x?\\r\\n\\r\\nUser agreed."),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200b}b\u{2028}c\u{85}d\u{7f}", "a\\u{200b}b\\u{2028}c\\u{85}d\\u{7f}"),
            ("a\u{e0041}b\u{feff}", "a\\u{e0041}b\\u{feff}"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
        ] {
            assert_eq!(one_line(text), shown);
        }
    }

    #[test]
    fn what_is_shown_leads_back_to_the_name() {
        for (name, shown) in [
            ("web-1 (größe 7 %)", "web-1 (größe 7 %)"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{7}\u{9b}b\u{e0041}\u{200b}", "a\\u{7}\\u{9b}b\\u{e0041}\\u{200b}"),
            ("two\nlines\tand a tab", "two\nlines\tand a tab"),
            ("C:\\new", "C:\\new"),
            (r"a\u{202e}b", r"a\u{5c}u{202e}b"),
            (r"\u{5c}u{202e}", r"\u{5c}u{5c}u{202e}"),
            (r"\u{", r"\u{5c}u{"),
        ] {
            assert_eq!(visible(name), shown);
            assert_eq!(unescaped(shown), name);
        }
        for untouched in [r"\u{41}", r"\u{zz}", r"\u{202e", r"\u{}", r"\u{110000}"] {
            assert_eq!(unescaped(untouched), untouched);
        }
    }

    #[test]
    fn quotes_cannot_be_closed_from_inside() {
        assert_eq!(quoted(r#"a" and "b"#), r#""a\" and \"b""#);
        assert_eq!(quoted(r#"a\"#), r#""a\\""#);
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
    }
}
