//! What the settings of the HTTP transport hold.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use http::{Uri, uri};
use ipnet::IpNet;

use super::kinds::{Kind, names, seen_as, seen_by_value};

/// How clients reach this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransportKind {
    Stdio,
    StreamableHttp,
}

impl Kind for TransportKind {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        match text.trim().to_lowercase().as_str() {
            "stdio" => Ok(Self::Stdio),
            // The last is the name of an older transport, in whose place this one is.
            "streamable-http" | "streamable_http" | "http" | "sse" => Ok(Self::StreamableHttp),
            _ => Err(format!("must be stdio or streamable-http, not {text:?}")),
        }
    }
}

impl Kind for IpAddr {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_start_matches('[').trim_end_matches(']');
        match text {
            "localhost" => Ok(Self::from([127, 0, 0, 1])),
            _ => text.parse().map_err(|_| format!("must be an address such as 127.0.0.1 or 0.0.0.0, not {text:?}")),
        }
    }
}

impl Kind for u16 {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("must be a port, not {text:?}"))
    }
}

/// The words by which everyone who reaches the port is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Consent;

impl Consent {
    /// What must be written.
    pub(crate) const WORDS: &str = "yes-anyone-may-control-vsphere";
}

impl Kind for Consent {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        match text.trim() == Self::WORDS {
            true => Ok(Self),
            false => Err(format!("must be {} or not set, not {text:?}", Self::WORDS)),
        }
    }
}

/// A host, with a port where one is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Authority {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl Authority {
    /// Reads what a `Host` header holds.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let authority: uri::Authority = text.parse().ok()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let port = authority.port_u16();
        // A port that is none is an error, and no absent one.
        let is_whole = port.is_some() || authority.host().len() == authority.as_str().len();
        let host = authority.host().trim_end_matches('.').to_lowercase();
        (is_whole && !host.is_empty()).then_some(Self { host, port })
    }

    /// Whether a request for this host is meant.
    pub(crate) fn covers(&self, asked: &Self) -> bool {
        self.host == asked.host && (self.port.is_none() || self.port == asked.port)
    }

    /// Whether the host is this computer.
    pub(crate) fn is_loopback(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

impl Kind for BTreeSet<Authority> {
    const LIST: bool = true;

    type Seen<'a> = &'a Self;

    fn seen(&self) -> &Self {
        self
    }

    fn read(text: &str) -> Result<Self, String> {
        let read = |name: &str| Authority::read(name).ok_or_else(|| format!("has {name:?}, which is no host"));
        names(text).map(read).collect()
    }
}

/// The origin of a web page: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) scheme: String,
    pub(crate) authority: Authority,
}

impl Origin {
    /// Reads what an `Origin` header holds. `null` is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_lowercase();
        let usual = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let Authority { host, port } = Authority::read(uri.authority()?.as_str())?;
        // A browser sends no path, and the parser puts one slash there.
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        bare.then(|| Self { scheme, authority: Authority { host, port: port.or(usual) } })
    }
}

impl Kind for BTreeSet<Origin> {
    const LIST: bool = true;

    type Seen<'a> = &'a Self;

    fn seen(&self) -> &Self {
        self
    }

    fn read(text: &str) -> Result<Self, String> {
        let problem = |name: &str| format!("has {name:?}, which is no origin such as https://inspector.example.com");
        names(text).map(|name| Origin::read(name).ok_or_else(|| problem(name))).collect()
    }
}

impl Kind for BTreeSet<IpNet> {
    const LIST: bool = true;

    type Seen<'a> = &'a Self;

    fn seen(&self) -> &Self {
        self
    }

    fn read(text: &str) -> Result<Self, String> {
        let network = |name: &str| {
            let address = || name.parse::<IpAddr>().ok().map(IpNet::from);
            name.parse().ok().or_else(address).ok_or_else(|| format!("has {name:?}, which is no address or network"))
        };
        names(text).map(network).collect()
    }
}

/// A URL by which clients reach this server: scheme and host in small letters, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicUrl(String);

impl PublicUrl {
    /// The host, with the port where the URL has one.
    pub(crate) fn authority(text: &str) -> Option<Authority> {
        Authority::read(text.parse::<Uri>().ok()?.authority()?.as_str())
    }

    /// The origin of pages that this server would give.
    pub(crate) fn origin(text: &str) -> Option<Origin> {
        let uri: Uri = text.parse().ok()?;
        Origin::read(&format!("{}://{}", uri.scheme_str()?, uri.authority()?))
    }
}

impl AsRef<str> for PublicUrl {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Kind for PublicUrl {
    seen_as!(&str);

    fn read(text: &str) -> Result<Self, String> {
        let problem = || format!("must be a URL such as https://mcp.example.com, not {text:?}");
        let uri: Uri = text.trim().parse().map_err(|_| problem())?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https")).ok_or_else(problem)?;
        let authority = uri.authority().map(uri::Authority::as_str).ok_or_else(problem)?;
        if uri.query().is_some() || text.contains('#') || Authority::read(authority).is_none() {
            return Err(problem());
        }
        let path = uri.path().trim_end_matches('/');
        Ok(Self(format!("{scheme}://{}{path}", authority.to_lowercase())))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_in_small_letters_and_by_its_port_where_one_is_set() {
        let read = |text: &str| Authority::read(text);
        assert_eq!(read("LocalHost:8000"), read("localhost:8000"));
        assert_eq!(read("a.example."), read("a.example"));
        for none in ["", "a@b", "a:b", "a:99999", "a b", "a/b"] {
            assert_eq!(read(none), None, "{none:?}");
        }
        assert!(read("a").unwrap().covers(&read("A:8000").unwrap()));
        assert!(!read("a:1").unwrap().covers(&read("a:2").unwrap()));
        assert!(!read("a").unwrap().covers(&read("a.evil").unwrap()));
        for own in ["localhost", "127.0.0.1:1", "127.9.9.9", "[::1]:8000"] {
            assert!(read(own).unwrap().is_loopback(), "{own}");
        }
        for other in ["127.0.0.1.evil", "localhost.evil", "10.0.0.1", "[::2]"] {
            assert!(!read(other).unwrap().is_loopback(), "{other}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let read = |text: &str| Origin::read(text);
        assert_eq!(read("https://A.example"), read("https://a.example:443"));
        assert_ne!(read("http://a.example"), read("https://a.example"));
        assert_ne!(read("http://a.example:81"), read("http://a.example"));
        for none in ["null", "", "a.example", "https://a.example/path", "https://u@a.example", "https://a?b"] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_public_url_has_one_form() {
        let read = |text: &str| PublicUrl::read(text).map(|url| url.0);
        assert_eq!(read("HTTPS://Mcp.Example.com/").unwrap(), "https://mcp.example.com");
        assert_eq!(read("http://a:81/vsphere/").unwrap(), "http://a:81/vsphere");
        for none in ["mcp.example.com", "ftp://a", "https://a?b", "https://a#b", "https://u:p@a", "/x"] {
            assert!(read(none).is_err(), "{none}");
        }
    }
}
