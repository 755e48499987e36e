//! Proxies: which one leads to a server, as the usual environment variables say it.

use std::fmt;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::{Host, Url};

use super::endpoint::Endpoint;
use super::trust::Trust;
use crate::error::{Error, ErrorKind, Result};

/// Which proxies lead to which servers.
///
/// Addresses of proxies often hold a password: `Debug` does not show them.
///
/// ```
/// use vsphere_soap::http::Proxies;
///
/// let environment = [("HTTPS_PROXY", "http://user:hunter2@proxy.example.com:3128"), ("NO_PROXY", ".lab.example.com")];
/// let proxies = Proxies::from_variables(|name| {
///     environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
/// });
/// let proxy = proxies.for_server(&"vc.example.com".parse()?)?.expect("a proxy");
/// assert_eq!(proxy.to_string(), "http://proxy.example.com:3128");
/// assert!(proxies.for_server(&"esx1.lab.example.com".parse()?)?.is_none());
/// # Ok::<(), vsphere_soap::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Named>,
    https: Option<Named>,
    bypass: String,
    /// Whether this machine itself is reached by the proxy, too.
    loopback: bool,
}

/// The address of a proxy, and the variable that has it.
#[derive(Clone)]
struct Named {
    from: &'static str,
    address: String,
}

/// A proxy that is used. Neither `Display` nor `Debug` shows the user name and password that its address may have.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Url,
}

impl Proxies {
    /// The variables that [`from_variables`](Self::from_variables) asks for.
    pub const VARIABLES: [&'static str; 4] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];

    /// The proxies that the usual variables name; `lookup` answers what one holds, by its name in capitals.
    ///
    /// `NO_PROXY` has names (with all below them), addresses and networks such as `10.0.0.0/8` with commas between them, each
    /// with a port where only that one is meant, or `*`. This machine itself is never reached by a proxy of these.
    #[must_use]
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let named = |from: &'static str| {
            let address = lookup(from).map(|address| address.trim().to_owned());
            address.filter(|address| !address.is_empty()).map(|address| Named { from, address })
        };
        Self {
            https: named("HTTPS_PROXY").or_else(|| named("ALL_PROXY")),
            http: named("HTTP_PROXY").or_else(|| named("ALL_PROXY")),
            bypass: lookup("NO_PROXY").unwrap_or_default(),
            loopback: false,
        }
    }

    /// One proxy for all servers, this machine itself included.
    #[must_use]
    pub fn all(address: impl Into<String>) -> Self {
        let named = Named { from: "the proxy address", address: address.into() };
        Self { http: Some(named.clone()), https: Some(named), bypass: String::new(), loopback: true }
    }

    /// The proxy that leads to a server, if one does.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the address of that proxy is not one of an http or https proxy. It names the variable, and
    /// does not show what it holds.
    pub fn for_server(&self, server: &Endpoint) -> Result<Option<Proxy>> {
        let named = if server.is_https() { &self.https } else { &self.http };
        let Some(named) = named else {
            return Ok(None);
        };
        if (server.is_loopback() && !self.loopback) || self.bypasses(server) {
            return Ok(None);
        }
        Proxy::parse(&named.address).map(Some).map_err(|why| {
            let message = format!("{} {why}", named.from);
            Error::new("connect", ErrorKind::Config(message))
        })
    }

    fn bypasses(&self, server: &Endpoint) -> bool {
        let port = server.port().to_string();
        let entries = self.bypass.split([',', ' ', '\t']).filter_map(|entry| {
            let entry = match entry.rsplit_once(':') {
                // An IPv6 address without brackets has no port.
                Some((host, only)) if !host.contains(':') || host.ends_with(']') => {
                    if only != port {
                        return None;
                    }
                    host
                }
                _ => entry,
            };
            let entry = entry.trim_start_matches('[').trim_end_matches(']');
            Some(entry.strip_prefix("*.").unwrap_or(entry))
        });
        let entries = entries.collect::<Vec<_>>().join(",");
        let matcher = Matcher::builder().all("http://proxy").no(entries).build();
        let uri = server.sdk().as_str().parse::<Uri>();
        uri.is_ok_and(|uri| matcher.intercept(&uri).is_none())
    }
}

impl Proxy {
    /// Reads an address; without a scheme it is http. What is wrong is said as the rest of a sentence.
    fn parse(address: &str) -> Result<Self, &'static str> {
        let with_scheme = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let url = Url::parse(&with_scheme).ok().filter(Url::has_host).ok_or("is not the URL of a proxy")?;
        match url.scheme() {
            "http" | "https" => Ok(Self { url }),
            _ => Err("names a proxy of a kind that is not supported: only http:// and https:// are"),
        }
    }

    /// Its password as it stands in the address, to be struck out of what servers answer.
    pub(super) fn password(&self) -> Option<&str> {
        self.url.password()
    }

    /// Sets it up for a server whose certificate is to be trusted as `trust` says.
    pub(super) fn set_up(&self, trust: &Trust) -> Result<reqwest::Proxy> {
        let config = |message: String| Error::new("connect", ErrorKind::Config(message));
        // The check of the server's certificate would be made of the proxy's, too.
        if self.url.scheme() == "https" && !matches!(trust, Trust::System) {
            let message = format!(
                "the proxy {self} has a certificate of its own, which is checked only where the system's authorities are \
                 trusted: name it as http://, where it listens so"
            );
            return Err(config(message));
        }
        reqwest::Proxy::all(self.url.as_str()).map_err(|_| config(format!("the proxy {self} cannot be used")))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), self.url.host_str().unwrap_or_default())?;
        match self.url.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = |named: &Option<Named>| named.as_ref().map(|named| named.from);
        f.debug_struct("Proxies")
            .field("https", &from(&self.https))
            .field("http", &from(&self.http))
            .field("bypass", &self.bypass)
            .finish()
    }
}

/// Whether a host is this machine by its very name.
pub(super) fn is_loopback(host: Option<Host<&str>>) -> bool {
    match host {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)], server: &str) -> Option<String> {
        let found = variables_of(variables).for_server(&server.parse().unwrap()).unwrap();
        found.map(|proxy| proxy.to_string())
    }

    fn variables_of(variables: &[(&str, &str)]) -> Proxies {
        Proxies::from_variables(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_scheme_of_the_server_chooses_the_proxy() {
        let both = [("HTTPS_PROXY", "http://a:3128"), ("HTTP_PROXY", "b:80"), ("ALL_PROXY", "http://c")];
        assert_eq!(proxy(&both, "vc").as_deref(), Some("http://a:3128"));
        assert_eq!(proxy(&both, "http://vc").as_deref(), Some("http://b"));
        assert_eq!(proxy(&both[2..], "vc").as_deref(), Some("http://c"));
        assert_eq!(proxy(&both[2..], "http://vc").as_deref(), Some("http://c"));
        assert_eq!(proxy(&both[1..2], "vc"), None);
        assert_eq!(proxy(&[("HTTPS_PROXY", " ")], "vc"), None);
    }

    #[test]
    fn no_proxy_has_names_addresses_networks_and_ports() {
        for (bypass, server, bypassed) in [
            ("example.com", "vc.example.com", true),
            (".example.com", "vc.example.com", true),
            ("*.example.com", "vc.example.com", true),
            ("a, vc.example.com ,b", "VC.example.com", true),
            ("vc.example.com b", "vc.example.com", true),
            ("ample.com", "vc.example.com", false),
            ("vc.example.com:443", "vc.example.com", true),
            ("vc.example.com:8443", "vc.example.com", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.1.2.3:443", "10.1.2.3", true),
            ("fd00::/8", "[fd00::1]", true),
            ("fd00::1", "[fd00::1]:443", true),
            ("[fd00::1]:443", "[fd00::1]", true),
            ("[fd00::1]:8443", "[fd00::1]", false),
            ("*", "vc.example.com", true),
            ("", "vc.example.com", false),
            (",", "vc.example.com", false),
        ] {
            let found = proxy(&[("HTTPS_PROXY", "http://proxy"), ("NO_PROXY", bypass)], server);
            assert_eq!(found.is_none(), bypassed, "{bypass} {server}");
        }
    }

    #[test]
    fn this_machine_is_reached_by_a_proxy_only_where_that_is_asked_for() {
        for server in [
            "localhost",
            "127.0.0.1:8989",
            "127.8.9.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "a.localhost",
            "http://localhost.",
        ] {
            assert_eq!(proxy(&[("ALL_PROXY", "http://proxy")], server), None, "{server}");
            assert!(Proxies::all("proxy:3128").for_server(&server.parse().unwrap()).unwrap().is_some(), "{server}");
        }
        for server in ["localhost.example.com", "notlocalhost", "128.0.0.1", "[::2]"] {
            assert!(proxy(&[("ALL_PROXY", "http://proxy")], server).is_some(), "{server}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_named_by_its_variable_and_not_shown() {
        for address in
            ["socks5://root:hunter2@proxy", "ftp://hunter2", "http://", "http://root:hunter2@", "hunter2:port", "a b"]
        {
            let proxies = variables_of(&[("HTTPS_PROXY", address), ("NO_PROXY", "near")]);
            let error = proxies.for_server(&"vc".parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("HTTPS_PROXY "), "{error}");
            assert!(!format!("{error} {error:?} {proxies:?}").contains("hunter2"), "{error}");
            // What is not used need not be right.
            assert_eq!(proxies.for_server(&"near".parse().unwrap()).unwrap(), None);
        }
    }

    #[test]
    fn the_password_of_a_proxy_is_not_shown() {
        let proxies = Proxies::all("http://root:hunter2@proxy:3128/path?hunter2");
        let proxy = proxies.for_server(&"vc".parse().unwrap()).unwrap().unwrap();
        assert_eq!(proxy.to_string(), "http://proxy:3128");
        assert!(!format!("{proxy:?} {proxies:?}").contains("hunter2"));
    }
}
