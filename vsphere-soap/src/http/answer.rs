//! What an answer is, by its head and its first bytes.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::Sent;
use crate::secrets::Secrets;

/// What a content type promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    Xml,
    Nothing,
    Other,
}

impl Promise {
    pub(super) fn of(content_type: Option<&str>) -> Self {
        let Some(full) = content_type else {
            return Self::Nothing;
        };
        let kind = full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "" => Self::Nothing,
            "application/xhtml+xml" => Self::Other,
            "text/xml" | "application/xml" => Self::Xml,
            other if other.ends_with("+xml") => Self::Xml,
            _ => Self::Other,
        }
    }
}

/// Whether a body without a content type is an envelope by its look: an XML declaration, or `<…:Envelope`.
pub(super) fn looks_like_envelope(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii_start();
    if body.starts_with(b"<?xml") {
        return true;
    }
    let Some(tag) = body.strip_prefix(b"<") else {
        return false;
    };
    let end = tag.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/')).unwrap_or(tag.len());
    tag[..end].rsplit(|b| *b == b':').next() == Some(b"Envelope".as_slice())
}

/// Whether a server that answered 503 may have seen the request all the same, where the status alone says no.
///
/// vCenter's front proxy answers so as well when the service died on it with the request in its hands.
pub(super) fn sent_before(status: u16, snippet: &str) -> Option<Sent> {
    let died_midway = ["connection termination", "remote reset", "protocol error"];
    (status == 503 && died_midway.iter().any(|reason| snippet.contains(reason))).then_some(Sent::Maybe)
}

/// The longest wait that is believed.
const DAY: Duration = Duration::from_secs(86_400);

/// The value of a `Retry-After` header: seconds, or a date; at most a day.
pub(super) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds).min(DAY));
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    // A date that has passed means: now.
    Some((date.with_timezone(&Utc) - now).to_std().unwrap_or_default().min(DAY))
}

/// The longest snippet, in characters.
const SNIPPET: usize = 160;

/// The start of a body for an error message: one line of text, without markup, control characters and `secrets`.
pub(super) fn snippet(body: &[u8], secrets: &Secrets) -> String {
    // Before anything is cut: half a secret is not found. The body itself may be cut.
    let text = String::from_utf8_lossy(body);
    let text = without_markup(&secrets.strike_cut(&text));
    let text = ["&nbsp;", "&quot;", "&#39;", "&lt;", "&gt;", "&amp;"]
        .iter()
        .zip([" ", "\"", "'", "<", ">", "&"])
        .fold(text, |text, (entity, plain)| text.replace(entity, plain));
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().filter(|c| !is_invisible(*c)));
        if line.len() > SNIPPET * 8 {
            break;
        }
    }
    // Once more, for what was escaped twice or has a tag inside.
    let line = secrets.strike_cut(&line);
    match line.char_indices().nth(SNIPPET) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.trim_end().to_owned(),
    }
}

/// Characters that change how the text around them is shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFFD}')
}

/// The text between tags. Comments, scripts and styles are no text; an unclosed tag ends it.
fn without_markup(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let (before, tag) = rest.split_at(start);
        text.push_str(before);
        let is_tag = tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        if !is_tag {
            text.push('<');
            rest = &tag[1..];
            continue;
        }
        text.push(' ');
        let end = [("<!--", "-->"), ("<script", "</script>"), ("<style", "</style>")]
            .iter()
            .find(|(start, _)| {
                tag.as_bytes().get(..start.len()).is_some_and(|t| t.eq_ignore_ascii_case(start.as_bytes()))
            })
            .map_or(">", |(_, end)| end);
        rest = match find_ignoring_case(tag, end) {
            Some(at) => &tag[at + end.len()..],
            None => "",
        };
    }
    text.push_str(rest);
    text
}

fn find_ignoring_case(text: &str, needle: &str) -> Option<usize> {
    text.as_bytes().windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone as _;

    #[test]
    fn content_types() {
        for (given, promise) in [
            (None, Promise::Nothing),
            (Some(""), Promise::Nothing),
            (Some("text/xml; charset=utf-8"), Promise::Xml),
            (Some("TEXT/XML"), Promise::Xml),
            (Some("application/soap+xml;action=x"), Promise::Xml),
            (Some("application/xml"), Promise::Xml),
            (Some("application/xhtml+xml"), Promise::Other),
            (Some("text/html"), Promise::Other),
            (Some("application/json"), Promise::Other),
        ] {
            assert_eq!(Promise::of(given), promise, "{given:?}");
        }
    }

    #[test]
    fn envelopes_by_their_look() {
        for yes in [
            "<?xml version='1.0'?><x/>",
            "\u{FEFF}\r\n <soapenv:Envelope xmlns:soapenv='x'>",
            "<Envelope>",
            "<S:Envelope/>",
        ] {
            assert!(looks_like_envelope(yes.as_bytes()), "{yes}");
        }
        for no in ["", "<", "<html>", "<!DOCTYPE html>", "<Envelopes>", "<Envelope:x>", "Envelope", "{}", "\0"] {
            assert!(!looks_like_envelope(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn snippets_are_one_line_of_text() {
        for (body, expected) in [
            ("", ""),
            ("Service  Unavailable\r\n", "Service Unavailable"),
            (
                "<html><head><title>503 Service Unavailable</title></head><body><h1>Busy</h1></body></html>",
                "503 Service Unavailable Busy",
            ),
            ("<STYLE>b{x:y}</Style>a<script>if (a<b) {}</script>b<!-- c > d -->e", "a b e"),
            ("1 < 2 &amp;&nbsp;3 &gt; 2 &amp;lt;", "1 < 2 & 3 > 2 &lt;"),
            ("a<b unclosed", "a"),
            ("a\u{1b}[31mb\0c\u{202E}d", "a [31mb cd"),
            ("<", "<"),
            ("<é>", "<é>"),
            ("<ééééé", "<ééééé"),
        ] {
            assert_eq!(snippet(body.as_bytes(), &Secrets::new()), expected, "{body:?}");
        }
        assert_eq!(snippet(b"ok \xFF\xFE", &Secrets::new()), "ok");
        let long = snippet("né ".repeat(10_000).as_bytes(), &Secrets::new());
        assert!(long.ends_with('…') && long.chars().count() <= SNIPPET + 1, "{long}");
    }

    #[test]
    fn no_snippet_shows_a_secret_nor_the_half_of_one() {
        let mut secrets = Secrets::new();
        secrets.add("Pa<ss>  word&1");
        for body in [
            "<b>bad request</b> <password>Pa&lt;ss&gt;  word&amp;1</password>",
            "<pre>bad request &amp;lt;password&amp;gt;Pa&amp;lt;ss&amp;gt; word&amp;amp;1</pre>",
            "bad request password=Pa%3Css%3E++word%261&x=y",
        ] {
            let shown = snippet(body.as_bytes(), &secrets);
            assert!(shown.starts_with("bad request") && shown.contains("***"), "{shown}");
            assert!(!shown.contains("word&1") && !shown.contains("Pa"), "{shown}");
        }
        for length in 130..SNIPPET {
            let body = format!("{} Pa&lt;ss&gt;  word&amp;1 and so on and on and on", "x".repeat(length));
            let shown = snippet(body.as_bytes(), &secrets);
            assert!(!shown.contains("Pa"), "{shown}");
        }
    }

    #[test]
    fn retry_after_in_both_forms() {
        let now = Utc.with_ymd_and_hms(2025, 10, 21, 7, 28, 0).unwrap();
        for (value, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Tue, 21 Oct 2025 07:28:30 GMT", Some(30)),
            ("Tue, 21 Oct 2025 07:00:00 GMT", Some(0)),
            ("18446744073709551615", Some(86_400)),
            ("-5", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn a_proxy_that_lost_its_upstream_midway() {
        let envoy = "upstream connect error or disconnect/reset before headers. reset reason: ";
        assert_eq!(sent_before(503, &format!("{envoy}connection failure")), None);
        assert_eq!(sent_before(503, &format!("{envoy}connection termination")), Some(Sent::Maybe));
        assert_eq!(sent_before(404, "connection termination"), None);
    }
}
