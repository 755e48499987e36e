//! Which addresses are those of the public Internet.

use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::{IpNet, Ipv6Net};

/// What is not the public Internet, by IANA's registries of special-purpose addresses.
static SPECIAL: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    let networks = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    ];
    networks.iter().filter_map(|network| network.parse().ok()).collect()
});

/// Of IPv6 only the global unicast addresses are public, and of these not those that stand for an address of another kind.
static GLOBAL: LazyLock<Option<Ipv6Net>> = LazyLock::new(|| "2000::/3".parse().ok());
static GLOBAL_BUT: LazyLock<Vec<Ipv6Net>> = LazyLock::new(|| {
    let networks = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];
    networks.iter().filter_map(|network| network.parse().ok()).collect()
});

/// Whether an address is one of the public Internet, by IANA's registries of special-purpose addresses, and none that stands for an
/// address of another kind.
///
/// ```
/// use vsphere_soap::http::is_public;
///
/// assert!(is_public("1.1.1.1".parse()?));
/// assert!(!is_public("::ffff:169.254.169.254".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        address @ IpAddr::V4(_) => !SPECIAL.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL.as_ref().is_some_and(|global| global.contains(&address))
                && !GLOBAL_BUT.iter().any(|network| network.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_not_public_in_whatever_form() {
        let public = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450::1", "::ffff:1.1.1.1"];
        let special = [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.168.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001::1",
            "::127.0.0.1",
        ];
        for text in public {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
        for text in special {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }
}
