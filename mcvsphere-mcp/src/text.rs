//! Text that comes from vSphere, from people and from guests, made fit to stand in a sentence of ours.
//!
//! A name or a note can hold line breaks, quotes and characters that turn, hide or end what stands around them. Escaped,
//! it stays one piece on one line, and a reader sees every character that is there.

use std::fmt::Write as _;

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

/// The text on one line, with each character visible: `\n`, `\t`, and `\u{202e}` for the rest of what would hide.
pub(crate) fn one_line(text: &str) -> String {
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
    fn quotes_cannot_be_closed_from_inside() {
        assert_eq!(quoted(r#"a" and "b"#), r#""a\" and \"b""#);
        assert_eq!(quoted(r#"a\"#), r#""a\\""#);
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
    }
}
