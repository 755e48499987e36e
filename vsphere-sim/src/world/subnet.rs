//! The addresses of guests: each network is a subnet of its own, and hands out its addresses in order.

use std::collections::HashMap;
use std::net::Ipv4Addr;

/// The subnets of all networks.
#[derive(Debug, Default)]
pub(crate) struct Subnets {
    /// By the id of the network: the number of its subnet, and how many addresses are taken.
    networks: HashMap<String, (u8, u16)>,
}

/// How long the prefix of each subnet is.
pub(crate) const PREFIX_LENGTH: i32 = 16;

/// The lowest last byte of a guest's address, and how many follow: an administrator leaves room for routers and the like.
const FIRST: u8 = 10;
const PER_BLOCK: u16 = 240;

impl Subnets {
    /// The next free address in the network with this id.
    pub(crate) fn take(&mut self, network: &str) -> Ipv4Addr {
        // More than 256 networks share subnets, as behind routers that translate addresses.
        let next = u8::try_from(self.networks.len() % 256).unwrap_or_default();
        let (subnet, taken) = self.networks.entry(network.to_owned()).or_insert((next, 0));
        let [block, last] = [*taken / PER_BLOCK, *taken % PER_BLOCK].map(|byte| u8::try_from(byte).unwrap_or_default());
        *taken = (*taken + 1) % (PER_BLOCK * 256);
        Ipv4Addr::new(10, *subnet, block, FIRST + last)
    }
}

/// The router of the subnet that this address is in.
pub(crate) fn router_of(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, _, _] = address.octets();
    Ipv4Addr::new(a, b, 0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_is_a_subnet_and_no_address_is_given_twice() {
        let mut subnets = Subnets::default();
        let first = subnets.take("network-1");
        assert_eq!(first, Ipv4Addr::new(10, 0, 0, 10));
        assert_eq!(subnets.take("network-2"), Ipv4Addr::new(10, 1, 0, 10));
        let mut seen = std::collections::HashSet::from([first]);
        for _ in 1..20_000 {
            assert!(seen.insert(subnets.take("network-1")));
        }
        assert!(seen.contains(&Ipv4Addr::new(10, 0, 1, 10)));
        assert_eq!(router_of(Ipv4Addr::new(10, 0, 1, 10)), Ipv4Addr::new(10, 0, 0, 1));
    }
}
