//! The network of a host: physical NICs, standard switches, port groups, and the host's own adapters.

mod methods;

use vsphere_model::types::{
    DistributedVirtualSwitchPortConnection, HostDnsConfig, HostIpConfig, HostIpConfigIpV6Address,
    HostIpConfigIpV6AddressConfiguration, HostIpRouteConfig, HostIpRouteEntry, HostIpRouteTableInfo,
    HostNetOffloadCapabilities, HostNetStackInstance, HostNetworkConfig, HostNetworkInfo, HostNetworkPolicy,
    HostNetworkSecurityPolicy, HostNetworkTrafficShapingPolicy, HostNicFailureCriteria, HostNicOrderPolicy,
    HostNicTeamingPolicy, HostPortGroup, HostPortGroupConfig, HostPortGroupSpec, HostVirtualNic, HostVirtualNicConfig,
    HostVirtualNicSpec, HostVirtualSwitch, HostVirtualSwitchBondBridge, HostVirtualSwitchConfig, HostVirtualSwitchSpec,
    LinkDiscoveryProtocolConfig, PhysicalNic, PhysicalNicLinkInfo, PhysicalNicSpec, Poly,
};

pub(crate) use methods::METHODS;

use super::Host;
use super::vnic::NicType;
use crate::objects::dvs;
use crate::world::World;

/// The second number of addresses of the management network.
pub(super) const MANAGEMENT: u8 = 20;

/// The second number of addresses of the vMotion network.
const VMOTION: u8 = 21;

/// How many ports a standard switch has.
const PORTS: i32 = 5632;

/// An address in one of the networks of hosts, by the host's number.
pub(super) fn address(network: u8, number: u64) -> String {
    let number = number % 62_500;
    format!("10.{network}.{}.{}", number / 250, number % 250 + 2)
}

/// The MAC address of a NIC or an adapter. The prefixes are those of Broadcom and of VMware.
fn mac(prefix: &str, number: u64, index: u64) -> String {
    format!("{prefix}:{:02x}:{:02x}:{:02x}", number >> 8 & 0xff, number & 0xff, index & 0xff)
}

/// What may differ from host to host in its network.
pub(crate) struct NetworkState {
    pub(super) switches: Vec<Switch>,
    pub(crate) port_groups: Vec<PortGroup>,
    pub(super) vnics: Vec<Vnic>,
    pub(super) dns: Poly<HostDnsConfig>,
    pub(super) route: Poly<HostIpRouteConfig>,
}

/// A standard switch.
pub(super) struct Switch {
    pub(super) name: String,
    pub(super) mtu: i32,
    pub(super) nics: Vec<String>,
    /// Where it differs from the default.
    policy: Option<Box<HostNetworkPolicy>>,
}

/// A port group of a standard switch.
pub(crate) struct PortGroup {
    pub(crate) name: String,
    pub(super) switch: String,
    pub(crate) vlan: i32,
    policy: Option<Box<HostNetworkPolicy>>,
}

/// An adapter of the host itself.
pub(super) struct Vnic {
    pub(super) device: String,
    pub(super) spec: HostVirtualNicSpec,
    /// What it is used for.
    pub(super) types: Vec<NicType>,
}

/// The IPv6 address that an adapter gives itself.
fn link_local(number: u64, index: u8) -> HostIpConfigIpV6AddressConfiguration {
    HostIpConfigIpV6AddressConfiguration {
        ip_v6_address: vec![HostIpConfigIpV6Address {
            ip_address: format!("fe80::250:56ff:fe{:02x}:{:02x}{index:02x}", number >> 8 & 0xff, number & 0xff),
            prefix_length: 64,
            origin: Some("other".to_owned()),
            dad_state: Some("preferred".to_owned()),
            ..Default::default()
        }],
        auto_configuration_enabled: Some(false),
        dhcp_v6_enabled: Some(false),
    }
}

impl NetworkState {
    /// That of a fresh host: a switch with two NICs, the management network, and one for vMotion.
    pub(super) fn new(host_name: &str, number: u64) -> Self {
        let (name, domain) = match host_name.split_once('.') {
            // An address is no name with a domain.
            Some((name, domain)) if name.parse::<u8>().is_err() => (name, domain),
            _ => (host_name, ""),
        };
        let port_group =
            |name: &str, vlan| PortGroup { name: name.to_owned(), switch: "vSwitch0".to_owned(), vlan, policy: None };
        let vnic = |index: u8, port_group: &str, network, types| Vnic {
            device: format!("vmk{index}"),
            spec: HostVirtualNicSpec {
                ip: Some(Box::new(HostIpConfig {
                    dhcp: false,
                    ip_address: Some(address(network, number)),
                    subnet_mask: Some("255.255.0.0".to_owned()),
                    ip_v6_config: Some(Box::new(link_local(number, index))),
                })),
                mac: Some(mac("00:50:56", number, u64::from(index))),
                portgroup: Some(port_group.to_owned()),
                mtu: Some(1500),
                tso_enabled: Some(true),
                net_stack_instance_key: Some("defaultTcpipStack".to_owned()),
                ..Default::default()
            },
            types,
        };
        Self {
            switches: vec![Switch {
                name: "vSwitch0".to_owned(),
                mtu: 1500,
                nics: vec!["vmnic0".to_owned(), "vmnic1".to_owned()],
                policy: None,
            }],
            port_groups: vec![port_group("Management Network", 0), port_group("vMotion", 21)],
            vnics: vec![
                vnic(0, "Management Network", MANAGEMENT, vec![NicType::Management]),
                vnic(1, "vMotion", VMOTION, vec![NicType::VMotion]),
            ],
            dns: Poly::new(HostDnsConfig {
                dhcp: false,
                host_name: name.to_owned(),
                domain_name: domain.to_owned(),
                address: vec!["10.20.0.1".to_owned()],
                search_domain: Some(domain)
                    .filter(|domain| !domain.is_empty())
                    .map(str::to_owned)
                    .into_iter()
                    .collect(),
                ..Default::default()
            }),
            route: Poly::new(HostIpRouteConfig { default_gateway: Some("10.20.0.1".to_owned()), ..Default::default() }),
        }
    }

    /// The host's name with its domain.
    pub(super) fn host_name(&self) -> String {
        match self.dns.domain_name.as_str() {
            "" => self.dns.host_name.clone(),
            domain => format!("{}.{domain}", self.dns.host_name),
        }
    }

    /// The port group of this name.
    pub(crate) fn port_group(&self, name: &str) -> Option<&PortGroup> {
        self.port_groups.iter().find(|group| group.name == name)
    }

    /// Gives the host a port group on its first switch, unless it has one of this name.
    pub(crate) fn ensure_port_group(&mut self, name: &str) {
        if let Some(switch) = self.switches.first().filter(|_| self.port_group(name).is_none()) {
            let group = PortGroup { name: name.to_owned(), switch: switch.name.clone(), vlan: 0, policy: None };
            self.port_groups.push(group);
        }
    }

    /// The adapters in a port group.
    fn vnics_in<'a>(&'a self, port_group: &'a str) -> impl Iterator<Item = &'a Vnic> {
        self.vnics.iter().filter(move |vnic| vnic.spec.portgroup.as_deref() == Some(port_group))
    }

    /// Whether a standard switch has this NIC.
    pub(crate) fn uses_nic(&self, nic: &str) -> bool {
        self.switches.iter().any(|switch| switch.nics.iter().any(|other| other == nic))
    }

    /// The host's own adapters that are in distributed port groups: name, port and MAC address.
    pub(crate) fn distributed_vnics(
        &self,
    ) -> impl Iterator<Item = (&str, &DistributedVirtualSwitchPortConnection, Option<&str>)> {
        self.vnics.iter().filter_map(|vnic| {
            let port = vnic.spec.distributed_virtual_port.as_deref()?;
            Some((vnic.device.as_str(), port, vnic.spec.mac.as_deref()))
        })
    }

    /// Whether the port group is for the host's own adapters, and not for machines.
    pub(super) fn is_for_host(&self, port_group: &str) -> bool {
        self.vnics_in(port_group).next().is_some()
    }
}

impl Vnic {
    pub(super) fn describe(&self) -> HostVirtualNic {
        HostVirtualNic {
            device: self.device.clone(),
            key: format!("key-vim.host.VirtualNic-{}", self.device),
            portgroup: self.spec.portgroup.clone().unwrap_or_default(),
            spec: self.spec.clone(),
            port: self.spec.portgroup.as_ref().map(|_| format!("key-vim.host.PortGroup.Port-{}", self.device)),
            owner: None,
        }
    }
}

impl Host {
    pub(super) fn network_info(&self, world: &World) -> HostNetworkInfo {
        let net = &self.net;
        let proxy_switch = dvs::proxy_switches(world, self);
        let in_use = |nic: &str| {
            let key = format!("key-vim.host.PhysicalNic-{nic}");
            net.uses_nic(nic) || proxy_switch.iter().any(|switch| switch.pnic.contains(&key))
        };
        HostNetworkInfo {
            pnic: self.physical_nics(in_use),
            vswitch: net.switches.iter().map(|switch| self.describe_switch(switch)).collect(),
            proxy_switch,
            portgroup: net.port_groups.iter().map(|group| self.describe_port_group(group)).collect(),
            vnic: net.vnics.iter().map(Vnic::describe).collect(),
            dns_config: Some(net.dns.clone()),
            ip_route_config: Some(net.route.clone()),
            route_table_info: Some(Box::new(self.routes())),
            ip_v6_enabled: Some(true),
            at_boot_ip_v6_enabled: Some(true),
            net_stack_instance: vec![HostNetStackInstance {
                key: Some("defaultTcpipStack".to_owned()),
                name: Some("defaultTcpipStack".to_owned()),
                dns_config: Some(net.dns.clone()),
                ip_route_config: Some(net.route.clone()),
                requested_max_number_of_connections: Some(11_000),
                congestion_control_algorithm: Some("newreno".to_owned()),
                ip_v6_enabled: Some(true),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn routes(&self) -> HostIpRouteTableInfo {
        let route = |network: String, prefix_length, gateway: &str, device: &str| HostIpRouteEntry {
            network,
            prefix_length,
            gateway: gateway.to_owned(),
            device_name: Some(device.to_owned()),
        };
        let default =
            self.net.route.default_gateway.as_deref().map(|gateway| route("0.0.0.0".into(), 0, gateway, "vmk0"));
        let local = self.net.vnics.iter().filter_map(|vnic| {
            let address = vnic.spec.ip.as_ref()?.ip_address.as_deref()?;
            let network: Vec<&str> = address.split('.').take(2).collect();
            Some(route(format!("{}.0.0", network.join(".")), 16, "0.0.0.0", &vnic.device))
        });
        HostIpRouteTableInfo { ip_route: default.into_iter().chain(local).collect(), ..Default::default() }
    }

    /// The NICs of the machine by name: `vmnic0`.
    pub(crate) fn nic_names(&self) -> Vec<String> {
        (0..self.hardware.num_nics).map(|index| format!("vmnic{index}")).collect()
    }

    fn physical_nics(&self, in_use: impl Fn(&str) -> bool) -> Vec<PhysicalNic> {
        let full_duplex = |speed_mb| PhysicalNicLinkInfo { speed_mb, duplex: true };
        // The last of four has no cable until a switch uses it; a machine with two needs both.
        let has_cable =
            |index: u64, device: &str| (index < 3 || in_use(device)) && !self.ailments.unplugged.contains(device);
        let nic = |(index, device): (u64, String)| PhysicalNic {
            key: Some(format!("key-vim.host.PhysicalNic-{device}")),
            pci: format!("0000:{:02x}:00.{}", 0x19 + index / 2, index % 2),
            link_speed: has_cable(index, &device).then(|| Box::new(full_duplex(25_000))),
            device,
            driver: Some("bnxtnet".to_owned()),
            driver_version: Some("226.0.145.4".to_owned()),
            firmware_version: Some("226.1.107.1".to_owned()),
            valid_link_specification: vec![full_duplex(10_000), full_duplex(25_000)],
            spec: PhysicalNicSpec {
                // Its addresses are those of virtual adapters.
                ip: Some(Box::new(HostIpConfig {
                    ip_address: Some(String::new()),
                    subnet_mask: Some(String::new()),
                    ..Default::default()
                })),
                link_speed: Some(Box::new(full_duplex(25_000))),
                enable_enhanced_networking_stack: Some(false),
                ..Default::default()
            },
            wake_on_lan_supported: true,
            mac: mac("84:16:0c", self.number, index),
            resource_pool_scheduler_allowed: Some(true),
            auto_negotiate_supported: Some(true),
            enhanced_networking_stack_supported: Some(true),
            ..Default::default()
        };
        (0..).zip(self.nic_names()).map(nic).collect()
    }

    fn describe_switch(&self, switch: &Switch) -> HostVirtualSwitch {
        let groups = self.net.port_groups.iter().filter(|group| group.switch == switch.name);
        HostVirtualSwitch {
            name: switch.name.clone(),
            key: format!("key-vim.host.VirtualSwitch-{}", switch.name),
            num_ports: PORTS,
            num_ports_available: PORTS - i32::try_from(self.net.vnics.len() + self.vms.len()).unwrap_or(PORTS),
            mtu: Some(switch.mtu),
            portgroup: groups.map(|group| group_key(&group.name)).collect(),
            pnic: switch.nics.iter().map(|nic| format!("key-vim.host.PhysicalNic-{nic}")).collect(),
            spec: switch.spec(),
        }
    }

    fn describe_port_group(&self, group: &PortGroup) -> HostPortGroup {
        let switch = self.net.switches.iter().find(|switch| switch.name == group.switch);
        let of_switch = switch.map(Switch::policy).unwrap_or_default();
        HostPortGroup {
            key: Some(group_key(&group.name)),
            port: Vec::new(),
            vswitch: Some(format!("key-vim.host.VirtualSwitch-{}", group.switch)),
            computed_policy: match &group.policy {
                Some(own) => over(own, &of_switch),
                None => of_switch,
            },
            spec: group.spec(),
        }
    }

    pub(super) fn network_config(&self) -> HostNetworkConfig {
        let net = &self.net;
        HostNetworkConfig {
            vswitch: net
                .switches
                .iter()
                .map(|switch| HostVirtualSwitchConfig {
                    change_operation: None,
                    name: switch.name.clone(),
                    spec: Some(Box::new(switch.spec())),
                })
                .collect(),
            portgroup: net
                .port_groups
                .iter()
                .map(|group| HostPortGroupConfig { change_operation: None, spec: Some(Box::new(group.spec())) })
                .collect(),
            vnic: net
                .vnics
                .iter()
                .map(|vnic| HostVirtualNicConfig {
                    change_operation: None,
                    device: Some(vnic.device.clone()),
                    portgroup: vnic.spec.portgroup.clone().unwrap_or_default(),
                    spec: Some(Box::new(vnic.spec.clone())),
                })
                .collect(),
            dns_config: Some(net.dns.clone()),
            ip_route_config: Some(net.route.clone()),
            ..Default::default()
        }
    }
}

fn group_key(name: &str) -> String {
    format!("key-vim.host.PortGroup-{name}")
}

impl Switch {
    fn policy(&self) -> HostNetworkPolicy {
        let default = default_policy(&self.nics);
        self.policy.as_ref().map_or(default.clone(), |own| over(own, &default))
    }

    fn spec(&self) -> HostVirtualSwitchSpec {
        let bridge = HostVirtualSwitchBondBridge {
            nic_device: self.nics.clone(),
            link_discovery_protocol_config: Some(Box::new(LinkDiscoveryProtocolConfig {
                protocol: "cdp".to_owned(),
                operation: "listen".to_owned(),
            })),
            ..Default::default()
        };
        HostVirtualSwitchSpec {
            num_ports: 128,
            bridge: (!self.nics.is_empty()).then(|| Poly::new(bridge)),
            policy: Some(Box::new(self.policy())),
            mtu: Some(self.mtu),
        }
    }
}

impl PortGroup {
    fn spec(&self) -> HostPortGroupSpec {
        HostPortGroupSpec {
            name: self.name.clone(),
            vlan_id: self.vlan,
            vswitch_name: self.switch.clone(),
            policy: self.policy.as_deref().cloned().unwrap_or_default(),
        }
    }
}

/// The policy of a switch that nobody has changed.
fn default_policy(nics: &[String]) -> HostNetworkPolicy {
    HostNetworkPolicy {
        security: Some(Box::new(HostNetworkSecurityPolicy {
            allow_promiscuous: Some(false),
            mac_changes: Some(false),
            forged_transmits: Some(false),
        })),
        nic_teaming: Some(Box::new(HostNicTeamingPolicy {
            policy: Some("loadbalance_srcid".to_owned()),
            reverse_policy: Some(true),
            notify_switches: Some(true),
            rolling_order: Some(false),
            failure_criteria: Some(Box::new(HostNicFailureCriteria {
                check_speed: Some("minimum".to_owned()),
                speed: Some(10),
                check_duplex: Some(false),
                full_duplex: Some(false),
                check_error_percent: Some(false),
                percentage: Some(0),
                check_beacon: Some(false),
            })),
            nic_order: Some(Box::new(HostNicOrderPolicy { active_nic: nics.to_vec(), ..Default::default() })),
        })),
        offload_policy: Some(Box::new(offload())),
        shaping_policy: Some(Box::new(HostNetworkTrafficShapingPolicy { enabled: Some(false), ..Default::default() })),
    }
}

pub(super) fn offload() -> HostNetOffloadCapabilities {
    HostNetOffloadCapabilities { csum_offload: Some(true), tcp_segmentation: Some(true), zero_copy_xmit: Some(true) }
}

/// A policy whose unset parts are those of what it stands in.
fn over(own: &HostNetworkPolicy, outer: &HostNetworkPolicy) -> HostNetworkPolicy {
    let security = match (&own.security, &outer.security) {
        (Some(own), Some(outer)) => Some(Box::new(HostNetworkSecurityPolicy {
            allow_promiscuous: own.allow_promiscuous.or(outer.allow_promiscuous),
            mac_changes: own.mac_changes.or(outer.mac_changes),
            forged_transmits: own.forged_transmits.or(outer.forged_transmits),
        })),
        (own, outer) => own.clone().or_else(|| outer.clone()),
    };
    let teaming = match (&own.nic_teaming, &outer.nic_teaming) {
        (Some(own), Some(outer)) => Some(Box::new(HostNicTeamingPolicy {
            policy: own.policy.clone().or_else(|| outer.policy.clone()),
            reverse_policy: own.reverse_policy.or(outer.reverse_policy),
            notify_switches: own.notify_switches.or(outer.notify_switches),
            rolling_order: own.rolling_order.or(outer.rolling_order),
            failure_criteria: own.failure_criteria.clone().or_else(|| outer.failure_criteria.clone()),
            nic_order: own.nic_order.clone().or_else(|| outer.nic_order.clone()),
        })),
        (own, outer) => own.clone().or_else(|| outer.clone()),
    };
    HostNetworkPolicy {
        security,
        nic_teaming: teaming,
        offload_policy: own.offload_policy.clone().or_else(|| outer.offload_policy.clone()),
        shaping_policy: own.shaping_policy.clone().or_else(|| outer.shaping_policy.clone()),
    }
}
