//! Where the server is.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use url::Url;

use super::proxy;
use crate::error::{Error, ErrorKind};

/// The address of a vCenter or ESXi: scheme, host and port.
///
/// Parsed from `host`, `host:port`, `[v6]:port` or an http(s) URL whose path is ignored; without a scheme it
/// is https. Plain http is for simulators and tests.
///
/// ```
/// use vsphere_soap::http::Endpoint;
///
/// let vcenter: Endpoint = "vc.example.com".parse()?;
/// assert_eq!(vcenter.sdk().as_str(), "https://vc.example.com/sdk");
/// # Ok::<(), vsphere_soap::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Always http(s), with a host, path `/`, and no userinfo, query or fragment.
    base: Url,
}

impl Endpoint {
    /// The URL of the SOAP service.
    pub fn sdk(&self) -> Url {
        self.url("/sdk")
    }

    /// The URL of a path on this server, which may carry a query.
    ///
    /// The path can't lead to another host, whatever it holds.
    pub fn url(&self, path_and_query: &str) -> Url {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let mut url = self.base.clone();
        url.set_path(path);
        url.set_query(query);
        url
    }

    /// The host as it stands in a URL: a name, an IPv4 address or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// The port, the scheme's own where none was given.
    pub fn port(&self) -> u16 {
        self.base.port_or_known_default().unwrap_or_default()
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }

    /// Whether this is the machine that the program runs on, by its name or address.
    pub fn is_loopback(&self) -> bool {
        proxy::is_loopback(self.base.host())
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Config`] when the text is not an address, carries a user name or password, or names another
    /// scheme than http and https. The text of the error never shows what stands before an `@`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        // Checked before anything else and not shown: there may be a password in it.
        if text.contains('@') {
            return Err(invalid(
                "the server address must not contain a user name or password (an @); give these as settings of their own",
            ));
        }
        if text.is_empty() {
            return Err(invalid("the server address is empty"));
        }
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else if text.parse::<Ipv6Addr>().is_ok() {
            format!("https://[{text}]")
        } else {
            format!("https://{text}")
        };
        let mut base = Url::parse(&with_scheme)
            .map_err(|cause| invalid(format!("the server address {text:?} is not valid: {cause}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            let scheme = base.scheme();
            return Err(invalid(format!(
                "the server address {text:?} has the scheme {scheme}; only https and http are known"
            )));
        }
        if base.port() == Some(0) {
            return Err(invalid(format!("the server address {text:?} has port 0")));
        }
        base.set_path("/");
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { base })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new("connect", ErrorKind::Config(message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_users_give() {
        for (given, shown, authority) in [
            ("vc.example.com", "https://vc.example.com", "vc.example.com:443"),
            ("  VC.Example.com\n", "https://vc.example.com", "vc.example.com:443"),
            ("vc.example.com:9443", "https://vc.example.com:9443", "vc.example.com:9443"),
            ("vc.example.com/sdk", "https://vc.example.com", "vc.example.com:443"),
            ("localhost:8989", "https://localhost:8989", "localhost:8989"),
            ("192.0.2.7", "https://192.0.2.7", "192.0.2.7:443"),
            ("[2001:db8::1]:443", "https://[2001:db8::1]", "[2001:db8::1]:443"),
            ("2001:db8::1", "https://[2001:db8::1]", "[2001:db8::1]:443"),
            ("https://vc/", "https://vc", "vc:443"),
            ("https://vc:443/sdk/", "https://vc", "vc:443"),
            ("https://vc/ui/?x=1#y", "https://vc", "vc:443"),
            ("http://127.0.0.1:8989/sdk", "http://127.0.0.1:8989", "127.0.0.1:8989"),
            ("http://127.0.0.1", "http://127.0.0.1", "127.0.0.1:80"),
        ] {
            let endpoint: Endpoint = given.parse().unwrap();
            assert_eq!(endpoint.to_string(), shown, "{given}");
            assert_eq!(endpoint.authority(), authority, "{given}");
            assert_eq!(endpoint.sdk().as_str(), format!("{shown}/sdk"), "{given}");
            assert_eq!(endpoint.is_https(), shown.starts_with("https:"), "{given}");
        }
    }

    #[test]
    fn addresses_that_are_refused() {
        for (given, word) in [
            ("", "empty"),
            ("ftp://vc", "scheme ftp"),
            ("https://", "not valid"),
            ("vc:port", "not valid"),
            ("vc:99999", "not valid"),
            ("vc:0", "port 0"),
            ("a b", "not valid"),
            ("https://[::1", "not valid"),
        ] {
            let error = given.parse::<Endpoint>().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Config(_)), "{given}");
            assert!(error.to_string().contains(word), "{given}: {error}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_shown() {
        for given in ["https://root:hunter2@vc/sdk", "root:hunter2@vc", "ftp://root:hunter2@vc", "a b:hunter2@"] {
            let error = given.parse::<Endpoint>().unwrap_err();
            assert!(error.to_string().contains("user name or password"), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn paths_stay_on_the_server() {
        let endpoint: Endpoint = "vc".parse().unwrap();
        for (path, url) in [
            ("/folder/a b.iso?dcPath=DC0&dsName=ds", "https://vc/folder/a%20b.iso?dcPath=DC0&dsName=ds"),
            ("sdk/vimServiceVersions.xml", "https://vc/sdk/vimServiceVersions.xml"),
            ("https://evil/", "https://vc/https://evil/"),
            ("//evil/x", "https://vc//evil/x"),
        ] {
            let made = endpoint.url(path);
            assert_eq!((made.as_str(), made.host_str()), (url, Some("vc")));
        }
    }
}
