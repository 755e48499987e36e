//! Files of web servers, such as a package that is to be deployed, from servers that were allowed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use vsphere_soap::http::{Endpoint, FileLocation, Transport, TransportOptions, Trust, is_public};

use super::download::Download;
use super::route::Place;
use crate::client::Client;
use crate::error::{Error, Result, invalid};

const OPERATION: &str = "find the file";

/// The web servers that files may be fetched from.
///
/// Written as a list with commas: names such as `images.example.com`, `*.example.com` for all below, addresses, and networks
/// such as `10.0.0.0/8`. Only https is used, but where the entry begins with `http://`.
///
/// A name is no leave to reach what it happens to resolve to: a server in a private network, on this computer, or at a
/// link-local address is connected to only where a network or an address of the list holds it. Redirects are not followed.
///
/// ```
/// use vsphere_ops::transfer::WebHosts;
///
/// let hosts: WebHosts = "cloud.debian.org, *.corp.example, 10.20.0.0/16".parse()?;
/// assert!(hosts.check("https://cloud.debian.org/images/cloud/trixie.ova").is_ok());
/// assert!(hosts.check("https://10.20.0.7/a.ova").is_ok());
/// assert!(hosts.check("https://example.org/a.ova").is_err());
/// assert!(hosts.check("http://cloud.debian.org/a.ova").is_err());
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebHosts {
    names: Vec<Host>,
    networks: Vec<(IpNet, bool)>,
}

/// A name that files may be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    name: String,
    /// Whether all below it are meant, and not it.
    below: bool,
    /// Whether plain http is allowed, too.
    plain: bool,
}

impl WebHosts {
    /// Whether there is no server at all.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.networks.is_empty()
    }

    /// Checks whether a URL leads to one of the servers, as far as that can be said before its name is resolved.
    ///
    /// # Errors
    /// `invalid_argument` where the text is no URL of a web server, holds a user name or password, or leads elsewhere.
    pub fn check(&self, url: &str) -> Result<()> {
        self.location(url).map(drop)
    }

    fn location(&self, url: &str) -> Result<FileLocation> {
        if !["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(invalid(OPERATION, "it is no URL that begins with https:// or http://"));
        }
        // No server is meant by `*` here.
        let nowhere: Endpoint = "https://invalid.invalid".parse()?;
        let location = FileLocation::parse(url, &nowhere).map_err(|error| invalid(OPERATION, error.to_string()))?;
        let host = location.endpoint.host();
        let plain = !location.endpoint.is_https();
        let allowed = match address(host) {
            Some(address) => {
                self.networks.iter().any(|(network, http)| network.contains(&address) && (*http || !plain))
            }
            None => self.names.iter().any(|entry| entry.is(host) && (entry.plain || !plain)),
        };
        match allowed {
            true => Ok(location),
            false => {
                let scheme = if plain { "plain http " } else { "" };
                Err(invalid(OPERATION, format!("{scheme}{host} is not among the web servers that may be used")))
            }
        }
    }

    /// Whether this address may be connected to.
    fn reaches(&self, address: IpAddr) -> bool {
        is_public(address) || self.networks.iter().any(|(network, _)| network.contains(&address))
    }
}

impl FromStr for WebHosts {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut hosts = Self::default();
        for entry in text.split([',', ' ', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
            let (plain, rest) = match (entry.strip_prefix("http://"), entry.strip_prefix("https://")) {
                (Some(rest), _) => (true, rest),
                (_, Some(rest)) => (false, rest),
                _ => (false, entry),
            };
            if let Ok(network) = rest.parse::<IpNet>() {
                hosts.networks.push((network, plain));
            } else if let Some(address) = address(rest) {
                hosts.networks.push((address.into(), plain));
            } else {
                let (below, name) = rest.strip_prefix("*.").map_or((false, rest), |name| (true, name));
                let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
                if name.is_empty() || !name.chars().all(is_name) {
                    let problem = format!("{entry:?} is no name, address or network of web servers");
                    return Err(invalid("read the list of web servers", problem));
                }
                hosts.names.push(Host { name: name.to_lowercase(), below, plain });
            }
        }
        Ok(hosts)
    }
}

impl Host {
    fn is(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_lowercase();
        match self.below {
            true => host.strip_suffix(self.name.as_str()).is_some_and(|rest| rest.ends_with('.')),
            false => host == self.name,
        }
    }
}

/// A host that is written as an address.
fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// A file on a web server.
///
/// ```
/// use vsphere_ops::transfer::WebFile;
///
/// async fn size(file: &WebFile) -> vsphere_ops::Result<Option<u64>> {
///     Ok(file.download().without_checksum().stream().await?.length())
/// }
/// ```
#[derive(Clone)]
pub struct WebFile {
    client: Client,
    location: FileLocation,
    hosts: WebHosts,
}

impl WebFile {
    /// Fetches the file.
    pub fn download(&self) -> Download {
        Download::new(Place::Web(self.clone()), None)
    }

    /// What it is called in messages: a query may hold a token.
    pub(super) fn label(&self) -> String {
        let path = self.location.path.split('?').next().unwrap_or_default();
        format!("{}{path}", self.location.endpoint)
    }

    /// The URL for another computer, which resolves names by itself. It must come to the very server that was seen here,
    /// which only a certificate shows, or a host that is written as an address.
    pub(super) fn for_others(&self, has_certificate: bool) -> Option<String> {
        let endpoint = &self.location.endpoint;
        let is_sure = match endpoint.is_https() {
            true => has_certificate,
            false => address(endpoint.host()).is_some(),
        };
        is_sure.then(|| endpoint.url(&self.location.path).to_string())
    }

    /// The way to it, and the path there.
    pub(super) fn route(&self) -> Result<(Transport, String)> {
        let hosts = self.hosts.clone();
        let own = self.client.transport().options();
        let options = TransportOptions::clone(own).trust(Trust::System).reach(move |address| hosts.reaches(address));
        Ok((Transport::new(self.location.endpoint.clone(), options)?, self.location.path.clone()))
    }
}

impl fmt::Debug for WebFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

impl Client {
    /// A file on a web server.
    ///
    /// The server has nothing to do with vSphere: it is sent no session, must have a certificate that this computer trusts,
    /// and is reached through the proxies that the client uses.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let hosts = "cloud.debian.org".parse()?;
    /// let image = client.web_file("https://cloud.debian.org/images/cloud/trixie/latest/debian-13.qcow2", &hosts)?;
    /// image.download().to_file("debian-13.qcow2").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` where the URL does not lead to one of these servers.
    pub fn web_file(&self, url: &str, hosts: &WebHosts) -> Result<WebFile> {
        Ok(WebFile { client: self.clone(), location: hosts.location(url)?, hosts: hosts.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> WebHosts {
        text.parse().unwrap()
    }

    #[test]
    fn a_url_leads_to_a_server_of_the_list_and_nowhere_else() {
        let hosts = hosts("images.example, *.corp.example http://mirror.example,10.1.0.0/16, http://192.168.7.9");
        for url in [
            "https://images.example/a.ova",
            "https://IMAGES.example.:8443/a.ova?token=1",
            "https://a.b.corp.example/",
            "http://mirror.example/a",
            "https://mirror.example/a",
            "https://10.1.2.3/a",
            "http://192.168.7.9:8080/a",
        ] {
            assert!(hosts.check(url).is_ok(), "{url}");
        }
        for url in [
            "http://images.example/a.ova",
            "https://corp.example/",
            "https://evilcorp.example/",
            "https://images.example.evil.org/",
            "https://user:secret@images.example/",
            "https://images.example@evil.org/",
            "https://10.2.0.1/",
            "http://10.1.2.3/",
            "https://0x0a010203.evil/",
            "https://*/a",
            "file:///etc/passwd",
            "ftp://images.example/",
            "images.example/a",
            "",
        ] {
            let error = hosts.check(url).unwrap_err();
            assert_eq!(error.code(), "invalid_argument", "{url}");
            assert!(!error.to_string().contains("secret"));
        }
        assert!(WebHosts::default().check("https://images.example/").is_err());
        assert!("a/b".parse::<WebHosts>().is_err() && "https://".parse::<WebHosts>().is_err());
    }

    #[test]
    fn an_address_that_is_written_in_an_odd_way_is_the_address_that_it_is() {
        // As a URL is read, each of these is 10.1.2.3.
        for url in ["https://0x0a010203/", "https://167838211/", "https://012.1.2.3/", "https://10.66051/"] {
            assert!(hosts("10.1.2.3").check(url).is_ok(), "{url}");
            assert!(hosts("10.9.0.0/16").check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn private_addresses_are_reached_only_where_a_network_says_so() {
        assert!(hosts("10.0.0.0/8").reaches("10.3.4.5".parse().unwrap()));
        assert!(!hosts("mirror.example").reaches("10.3.4.5".parse().unwrap()));
    }
}
