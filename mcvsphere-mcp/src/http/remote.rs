//! Where a request comes from.

use std::{collections::BTreeSet, net::IpAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The address of a client. It says nothing about who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) address: IpAddr,
}

/// The reverse proxies that are believed.
#[derive(Debug, Default)]
pub(super) struct Proxies(BTreeSet<IpNet>);

impl Proxies {
    pub(super) fn new(networks: BTreeSet<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether a peer is one of them.
    pub(super) fn are(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// Where a request comes from that this peer has sent: what a believed proxy says, read from its end, where each proxy has
    /// added what it saw. What stands before the first that is not believed may be anything.
    pub(super) fn remote(&self, peer: IpAddr, headers: &HeaderMap) -> Remote {
        let mut address = peer.to_canonical();
        if self.are(address) {
            let values = headers.get_all("x-forwarded-for").iter().rev().filter_map(|value| value.to_str().ok());
            for part in values.flat_map(|value| value.rsplit(',')) {
                let Some(before) = parse(part) else {
                    break;
                };
                address = before;
                if !self.are(address) {
                    break;
                }
            }
        }
        Remote { address }
    }
}

/// An address, with a port or without.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    Some(bare().or_else(with_port)?.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    #[test]
    fn only_a_proxy_that_is_known_says_where_a_request_comes_from() {
        let proxies = Proxies::new(["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()].into());
        let remote = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            proxies.remote(peer.parse().unwrap(), &headers).address.to_string()
        };
        assert_eq!(remote("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(remote("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(remote("::ffff:10.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(remote("10.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
        // The client wrote the first, its proxy the second.
        assert_eq!(remote("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.1.1.1"]), "198.51.100.7");
        assert_eq!(remote("10.0.0.1", &["203.0.113.9", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(remote("10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(remote("10.0.0.1", &[]), "10.0.0.1");
    }
}
