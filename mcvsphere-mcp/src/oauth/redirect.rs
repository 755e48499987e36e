//! Where an answer to a login may be sent.

use url::{Host, Url};

/// The most bytes of an address.
const LONGEST: usize = 1000;

/// Schemes that lead into a browser or to a file and not to an application.
const NO_APPLICATIONS: [&str; 19] = [
    "javascript",
    "data",
    "file",
    "vbscript",
    "blob",
    "about",
    "view-source",
    "filesystem",
    "ws",
    "wss",
    "ftp",
    "mailto",
    "tel",
    "sms",
    "chrome",
    "resource",
    "intent",
    "jar",
    "ms-appx",
];

/// Where answers are sent, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A web server, by https.
    Web,
    /// A program that listens on the user's own computer.
    Loopback,
    /// A program that has registered a scheme on the user's computer.
    Application,
}

/// What kind of place an address leads to, if answers may be sent there at all.
pub(super) fn place(uri: &str) -> Option<Place> {
    let is_plain =
        uri.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'#' | b'`'));
    if uri.len() > LONGEST || !is_plain || has_odd_segments(uri) {
        return None;
    }
    let url = Url::parse(uri).ok()?;
    // It is what it looks like: `http://0x7f.1/` and `HTTPS://…` are not.
    let as_read = url.as_str();
    if as_read != uri && as_read.strip_suffix('/') != Some(uri) {
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() || uri.contains("@") {
        return None;
    }
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => Some(Place::Web),
        ("http", Some(host)) => is_loopback(&host).then_some(Place::Loopback),
        ("http" | "https", None) => None,
        (scheme, _) if NO_APPLICATIONS.contains(&scheme) => None,
        _ => Some(Place::Application),
    }
}

/// Whether an address that is asked for is one that was registered. The port of a program on the user's own computer is another
/// each time.
pub(super) fn matches(registered: &str, asked: &str) -> bool {
    if registered == asked {
        return place(asked).is_some();
    }
    if place(registered) != Some(Place::Loopback) || place(asked) != Some(Place::Loopback) {
        return false;
    }
    let parts = |uri: &str| {
        let url = Url::parse(uri).ok()?;
        Some((url.host_str()?.to_owned(), url.path().to_owned(), url.query().map(str::to_owned)))
    };
    parts(registered).is_some_and(|registered| Some(registered) == parts(asked))
}

/// The host of an address, as people are told of it.
pub(super) fn shown(uri: &str) -> String {
    match (place(uri), Url::parse(uri)) {
        (Some(Place::Application), Ok(url)) => format!("an application on your computer ({}:)", url.scheme()),
        (Some(Place::Loopback), Ok(_)) => "a program on your computer".to_owned(),
        (_, Ok(url)) => url.host_str().unwrap_or_default().to_owned(),
        (_, Err(_)) => String::new(),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.octets() == [127, 0, 0, 1],
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Segments by which a path leads elsewhere than it seems to, also where they are encoded.
fn has_odd_segments(uri: &str) -> bool {
    let path = uri.split('?').next().unwrap_or_default().to_ascii_lowercase();
    let decoded = path.replace("%2e", ".");
    let after_scheme = decoded.split_once(':').map_or("", |(_, rest)| rest);
    ["%2f", "%5c", "%00", "%25"].iter().any(|code| path.contains(code))
        || after_scheme.split('/').any(|segment| segment == "." || segment == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_11_answers_are_sent_to_web_servers_loopback_and_applications_alone() {
        for (uri, wanted) in [
            ("https://claude.ai/api/mcp/auth_callback", Place::Web),
            ("https://vscode.dev/redirect", Place::Web),
            ("http://127.0.0.1:33418/callback", Place::Loopback),
            ("http://127.0.0.1", Place::Loopback),
            ("http://localhost:8080/oauth/callback", Place::Loopback),
            ("http://[::1]:9/cb?a=b", Place::Loopback),
            ("cursor://anysphere.cursor-retrieval/oauth/user-mcp/callback", Place::Application),
            ("com.example.app:/oauth", Place::Application),
        ] {
            assert_eq!(place(uri), Some(wanted), "{uri}");
        }
        for uri in [
            "http://example.com/cb",
            "http://127.0.0.1.evil.com/cb",
            "http://localhost.evil.com/cb",
            "http://127.0.0.2/cb",
            "http://0x7f.1/cb",
            "http://2130706433/cb",
            "http://[::ffff:127.0.0.1]/cb",
            "https://user@example.com/cb",
            "https://user:pw@example.com/cb",
            "https://example.com@evil.com/",
            "http://127.0.0.1@evil.com/",
            "https://example.com/cb#f",
            "https://example.com/a/../cb",
            "https://example.com/./cb",
            "https://example.com/%2e%2e/cb",
            "https://example.com/a%2Fb",
            "https://example.com/a%5cb",
            "https://example.com/%252e%252e/cb",
            "https://example.com\\@evil.com/",
            "HTTPS://example.com/cb",
            "https:///cb",
            "https:example.com",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "vbscript:x",
            "blob:https://example.com/x",
            "view-source:https://example.com",
            "https://example.com/ cb",
            "https://example.com/\ncb",
            "https://example.com/\u{e9}",
            "/cb",
            "",
        ] {
            assert_eq!(place(uri), None, "{uri}");
        }
        assert_eq!(place(&format!("https://example.com/{}", "a".repeat(1000))), None);
    }

    #[test]
    fn threat_11_only_the_port_of_a_loopback_address_may_be_another() {
        assert!(matches("http://127.0.0.1/cb", "http://127.0.0.1:4711/cb"));
        assert!(matches("http://localhost:1/cb", "http://localhost:2/cb"));
        assert!(matches("http://[::1]/cb", "http://[::1]:2/cb"));
        assert!(matches("cursor://a/cb", "cursor://a/cb"));
        for (registered, asked) in [
            ("http://127.0.0.1/cb", "http://localhost/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb2"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb?x=1"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb/"),
            ("http://127.0.0.1/cb", "https://127.0.0.1:1/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1.evil.com/cb"),
            ("https://example.com/cb", "https://example.com:8443/cb"),
            ("https://example.com/cb", "https://example.com/cb?x=1"),
            ("https://example.com/cb", "https://evil.com/cb"),
            ("https://example.com/cb", "https://EXAMPLE.com/cb"),
            ("cursor://a/cb", "cursor://a/cb/x"),
            ("javascript:alert(1)", "javascript:alert(1)"),
        ] {
            assert!(!matches(registered, asked), "{registered} {asked}");
        }
    }
}
