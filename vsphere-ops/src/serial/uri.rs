//! The URIs of serial ports: `telnet://:20042`.

use serde::Deserialize;

/// How a line is spoken.
///
/// ```
/// use vsphere_ops::serial::Protocol;
///
/// assert_eq!(Protocol::TcpSsl.name(), "tcp+ssl");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Protocol {
    /// Telnet, which any terminal program speaks.
    #[default]
    #[serde(rename = "telnet")]
    Telnet,
    /// Telnet over TLS.
    #[serde(rename = "telnets")]
    Telnets,
    /// The bytes alone.
    #[serde(rename = "tcp")]
    Tcp,
    /// The bytes alone, over TLS.
    #[serde(rename = "tcp+ssl")]
    TcpSsl,
    /// The bytes alone, over IPv4.
    #[serde(rename = "tcp4")]
    Tcp4,
    /// The bytes alone, over IPv6.
    #[serde(rename = "tcp6")]
    Tcp6,
}

impl Protocol {
    /// What it is called in URIs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Telnet => "telnet",
            Self::Telnets => "telnets",
            Self::Tcp => "tcp",
            Self::TcpSsl => "tcp+ssl",
            Self::Tcp4 => "tcp4",
            Self::Tcp6 => "tcp6",
        }
    }
}

/// The parts of a URI.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) protocol: String,
    /// Empty for all addresses of a server; without the brackets of IPv6.
    pub(super) address: String,
    pub(super) port: Option<u16>,
}

impl Uri {
    /// Takes a URI apart that people may have written, too: what is not there is empty.
    pub(super) fn parse(text: &str) -> Self {
        let (protocol, rest) = text.split_once("://").unwrap_or(("", text));
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // The port is behind the last colon, unless that is one of an address in brackets.
        let (address, port) = match rest.rsplit_once(':') {
            Some((address, port)) if !port.contains(']') => (address, port.parse().ok()),
            _ => (rest, None),
        };
        let address = address.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(address);
        Self { protocol: protocol.to_ascii_lowercase(), address: address.to_owned(), port }
    }
}

/// Writes a URI; an IPv6 address is put in brackets.
pub(super) fn write(protocol: &str, address: &str, port: u16) -> String {
    if address.contains(':') {
        return format!("{protocol}://[{address}]:{port}");
    }
    format!("{protocol}://{address}:{port}")
}

/// Whether a text can stand for a host in a URI.
pub(super) fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
        || (!text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(protocol: &str, address: &str, port: Option<u16>) -> Uri {
        Uri { protocol: protocol.to_owned(), address: address.to_owned(), port }
    }

    #[test]
    fn uris_are_taken_apart() {
        assert_eq!(Uri::parse("telnet://:20042"), uri("telnet", "", Some(20042)));
        assert_eq!(Uri::parse("TCP+SSL://console.example:2001/x"), uri("tcp+ssl", "console.example", Some(2001)));
        assert_eq!(Uri::parse("tcp6://[2001:db8::1]:23"), uri("tcp6", "2001:db8::1", Some(23)));
        assert_eq!(Uri::parse("tcp6://[2001:db8::1]"), uri("tcp6", "2001:db8::1", None));
        assert_eq!(Uri::parse("telnet://esx:99999"), uri("telnet", "esx", None));
        assert_eq!(Uri::parse("console"), uri("", "console", None));
        assert_eq!(Uri::parse(""), uri("", "", None));
    }

    #[test]
    fn uris_are_put_together() {
        assert_eq!(write("telnet", "", 23), "telnet://:23");
        assert_eq!(write("tcp6", "2001:db8::1", 23), "tcp6://[2001:db8::1]:23");
        for (protocol, address) in [("telnet", ""), ("tcp", "esx-01.example"), ("tcp6", "fe80::1")] {
            assert_eq!(Uri::parse(&write(protocol, address, 2001)), uri(protocol, address, Some(2001)));
        }
    }

    #[test]
    fn only_names_and_addresses_can_be_called() {
        for good in ["console", "esx-01.example", "192.0.2.7", "2001:db8::1", "a_b"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["", "a b", "telnet://x", "x:23", "x/y", "ä", "a\n"] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
