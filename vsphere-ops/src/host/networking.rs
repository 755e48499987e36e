//! How a host is connected: switches, port groups, its own adapters, and the links of its NICs.

use std::collections::HashMap;

use serde::Serialize;
use vsphere_model::managed::{
    DistributedVirtualPortgroup, HostSystem, distributed_virtual_portgroup as dvpg, host_system as host,
};
use vsphere_model::types::{
    DVPortgroupConfigInfo, HostIpConfig, HostNetworkInfo, HostPortGroup, HostProxySwitch, HostVirtualNic,
    HostVirtualNicManagerInfo, HostVirtualSwitch, ManagedObjectReference, PhysicalNic,
};
use vsphere_soap::object::{ManagedType as _, Property};

use super::info::{NIC_MANAGER, is_selected};
use crate::client::Client;
use crate::error::Result;
use crate::find::{self, label};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::name;
use crate::network::Vlan;
use crate::read::Values;
use crate::vm::optional;

/// How a host is connected.
///
/// ```
/// use vsphere_ops::host::HostNetworking;
///
/// fn without_link(host: &HostNetworking) -> Vec<&str> {
///     let down = host.physical_nics.iter().filter(|nic| nic.link_mbps.is_none());
///     down.map(|nic| nic.device.as_str()).collect()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostNetworking {
    /// The host's name.
    pub host: String,
    /// Its managed object id.
    pub id: String,
    /// What it calls itself, with its domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// Name servers.
    pub dns_servers: Vec<String>,
    /// Domains that names are looked for in.
    pub search_domains: Vec<String>,
    /// Whether it has these from DHCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_by_dhcp: Option<bool>,
    /// The way to other networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The same for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_gateway: Option<String>,
    /// Whether it speaks IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_enabled: Option<bool>,
    /// Its own switches.
    pub standard_switches: Vec<StandardSwitch>,
    /// Distributed switches that it is a member of.
    pub distributed_switches: Vec<DistributedSwitch>,
    /// The names of switches of another product, such as NSX.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub opaque_switches: Vec<String>,
    /// The adapters of the host itself.
    pub vmkernel_adapters: Vec<VmkernelAdapter>,
    /// Its physical adapters.
    pub physical_nics: Vec<PhysicalAdapter>,
    /// What is not known of it, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// A standard switch of a host.
///
/// ```
/// use vsphere_ops::host::StandardSwitch;
///
/// fn is_redundant(switch: &StandardSwitch) -> bool {
///     switch.physical_nics.len() > 1
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StandardSwitch {
    /// The name.
    pub name: String,
    /// The largest frame, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
    /// The physical adapters (`vmnic0`) that are its uplinks.
    pub physical_nics: Vec<String>,
    /// Its port groups.
    pub port_groups: Vec<PortGroup>,
}

/// A distributed switch, as one host has it.
///
/// ```
/// use vsphere_ops::host::DistributedSwitch;
///
/// fn has_jumbo_frames(switch: &DistributedSwitch) -> bool {
///     switch.mtu.is_some_and(|mtu| mtu >= 9000)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DistributedSwitch {
    /// The name.
    pub name: String,
    /// The UUID, which is the same on all hosts.
    pub uuid: String,
    /// The largest frame, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
    /// The physical adapters (`vmnic2`) of this host that are its uplinks.
    pub physical_nics: Vec<String>,
    /// Its port groups on this host, where the server is a vCenter.
    pub port_groups: Vec<PortGroup>,
}

/// A port group.
///
/// ```
/// use vsphere_ops::host::PortGroup;
/// use vsphere_ops::network::Vlan;
///
/// fn is_tagged(group: &PortGroup) -> bool {
///     group.vlan.as_ref().is_some_and(|vlan| *vlan != Vlan::Untagged)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PortGroup {
    /// The name.
    pub name: String,
    /// The VLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
}

/// An adapter of the host itself.
///
/// ```
/// use vsphere_ops::host::VmkernelAdapter;
///
/// fn is_for_vmotion(adapter: &VmkernelAdapter) -> bool {
///     adapter.services.iter().any(|service| service == "vmotion")
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmkernelAdapter {
    /// The name (`vmk0`).
    pub device: String,
    /// What it is used for (`management`, `vmotion`).
    pub services: Vec<String>,
    /// The name of its port group; its id where that is all that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_group: Option<String>,
    /// The UUID of its switch, where that is a distributed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distributed_switch: Option<String>,
    /// The MAC address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The largest packet, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
    /// Whether it has its IPv4 address from DHCP.
    pub dhcp: bool,
    /// The IPv4 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Its subnet mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netmask: Option<String>,
    /// The IPv6 addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6: Vec<Ipv6Address>,
    /// The TCP/IP stack that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}

/// An IPv6 address of a host.
///
/// ```
/// use vsphere_ops::host::Ipv6Address;
///
/// fn is_link_local(address: &Ipv6Address) -> bool {
///     address.address.to_ascii_lowercase().starts_with("fe80:")
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ipv6Address {
    /// The address.
    pub address: String,
    /// How many bits of it name the network.
    pub prefix_length: i32,
    /// Where it comes from: `manual`, `dhcp`, `linklayer`, `random` or `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// A physical adapter of a host.
///
/// ```
/// use vsphere_ops::host::PhysicalAdapter;
///
/// fn line(nic: &PhysicalAdapter) -> String {
///     match nic.link_mbps {
///         Some(speed) => format!("{} has a link of {speed} Mbit/s", nic.device),
///         None => format!("{} has no link", nic.device),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PhysicalAdapter {
    /// The name (`vmnic0`).
    pub device: String,
    /// The MAC address.
    pub mac: String,
    /// The speed of its link in Mbit/s; none where there is no link.
    pub link_mbps: Option<i32>,
    /// Whether the link works both ways at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_duplex: Option<bool>,
    /// The driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The version of its firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Its place on the PCI bus.
    pub pci: String,
}

const NETWORK: Property<HostSystem, Option<HostNetworkInfo>> = Property::new("config.network");

/// A distributed port group: the switch's id, the key that adapters know it by, and what it is.
struct Distributed {
    key: String,
    switch: Option<String>,
    group: PortGroup,
}

impl Mo<HostSystem> {
    /// Reads how the host is connected.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?.networking().await?;
    /// for adapter in &host.vmkernel_adapters {
    ///     println!("{} {:?} for {}", adapter.device, adapter.ip, adapter.services.join(", "));
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, such as a host that is gone.
    pub async fn networking(&self) -> Result<HostNetworking> {
        let ((network, services, networks), mut gaps) = self.read_known((NETWORK, NIC_MANAGER, host::NETWORK)).await?;
        if network.is_none() && gaps.is_empty() {
            gaps.lacks("the network configuration", "vCenter has none of this host, as of one that is disconnected");
        }
        let network = network.unwrap_or_default();
        let distributed = gaps.part("distributed port groups", distributed(self.client(), &networks).await);
        let dns = network.dns_config.as_ref();
        let route = network.ip_route_config.as_ref();
        Ok(HostNetworking {
            host: self.label().to_owned(),
            id: self.id().to_owned(),
            host_name: dns.map(|dns| match dns.domain_name.as_str() {
                "" => dns.host_name.clone(),
                domain => format!("{}.{domain}", dns.host_name),
            }),
            dns_servers: dns.map(|dns| dns.address.clone()).unwrap_or_default(),
            search_domains: dns.map(|dns| dns.search_domain.clone()).unwrap_or_default(),
            dns_by_dhcp: dns.map(|dns| dns.dhcp),
            gateway: route.and_then(|route| route.default_gateway.clone()),
            ipv6_gateway: route.and_then(|route| route.ip_v6_default_gateway.clone()),
            ipv6_enabled: network.ip_v6_enabled,
            standard_switches: network.vswitch.iter().map(|switch| standard(switch, &network)).collect(),
            distributed_switches: network
                .proxy_switch
                .iter()
                .map(|switch| proxy(switch, &network, &distributed))
                .collect(),
            opaque_switches: network
                .opaque_switch
                .iter()
                .map(|switch| switch.name.clone().unwrap_or_else(|| switch.key.clone()))
                .collect(),
            vmkernel_adapters: network.vnic.iter().map(|nic| vmkernel(nic, services.as_ref(), &distributed)).collect(),
            physical_nics: physical(&network.pnic),
            gaps,
        })
    }
}

/// What vCenter knows of the distributed port groups among these networks.
async fn distributed(client: &Client, networks: &[ManagedObjectReference]) -> Result<Vec<Distributed>> {
    let groups = networks.iter().filter(|network| network.type_ == DistributedVirtualPortgroup::INFO.name);
    let contents = find::details(client, groups.cloned(), &["name", dvpg::CONFIG.path()]).await?;
    let mut switches = HashMap::new();
    let mut found: Vec<(Option<ManagedObjectReference>, Distributed)> = Vec::new();
    for content in contents {
        let name = label(&content);
        let id = content.obj.value.clone();
        let mut values = Values::new(content.prop_set, content.missing_set);
        let config: Option<DVPortgroupConfigInfo> = optional(&mut values, dvpg::CONFIG.path());
        let vlan = config.as_ref().and_then(|config| Vlan::of_ports(config.default_port_config.as_ref()?));
        let switch = config.as_ref().and_then(|config| config.distributed_virtual_switch.clone());
        let key = config.map_or(id, |config| config.key);
        found.push((switch, Distributed { key, switch: None, group: PortGroup { name, vlan } }));
    }
    for content in find::details(client, found.iter().filter_map(|(switch, _)| switch.clone()), &["uuid"]).await? {
        let mut values = Values::new(content.prop_set, content.missing_set);
        if let Some(uuid) = optional::<String>(&mut values, "uuid") {
            switches.insert(content.obj.value, uuid);
        }
    }
    Ok(found
        .into_iter()
        .map(|(switch, group)| Distributed { switch: switch.and_then(|it| switches.get(&it.value).cloned()), ..group })
        .collect())
}

fn standard(switch: &HostVirtualSwitch, network: &HostNetworkInfo) -> StandardSwitch {
    let own = network.portgroup.iter().filter(|group| group.spec.vswitch_name == switch.name);
    let group = |group: &HostPortGroup| PortGroup {
        name: name::decode(&group.spec.name),
        vlan: Some(Vlan::of_id(group.spec.vlan_id)),
    };
    StandardSwitch {
        name: name::decode(&switch.name),
        mtu: switch.mtu,
        physical_nics: devices(&switch.pnic, &network.pnic),
        port_groups: own.map(group).collect(),
    }
}

fn proxy(switch: &HostProxySwitch, network: &HostNetworkInfo, groups: &[Distributed]) -> DistributedSwitch {
    let own = groups.iter().filter(|group| group.switch.as_deref() == Some(switch.dvs_uuid.as_str()));
    DistributedSwitch {
        name: name::decode(&switch.dvs_name),
        uuid: switch.dvs_uuid.clone(),
        mtu: switch.mtu,
        physical_nics: devices(&switch.pnic, &network.pnic),
        port_groups: own.map(|group| group.group.clone()).collect(),
    }
}

/// The names of the physical adapters with these keys.
fn devices(keys: &[String], nics: &[PhysicalNic]) -> Vec<String> {
    let device = |key: &String| {
        let nic = nics.iter().find(|nic| nic.key.as_ref() == Some(key));
        nic.map_or_else(|| key.clone(), |nic| nic.device.clone())
    };
    keys.iter().map(device).collect()
}

fn vmkernel(
    nic: &HostVirtualNic,
    services: Option<&HostVirtualNicManagerInfo>,
    groups: &[Distributed],
) -> VmkernelAdapter {
    let port = nic.spec.distributed_virtual_port.as_ref();
    let group_of = |key: &String| {
        let known = groups.iter().find(|group| group.key == *key);
        known.map_or_else(|| key.clone(), |known| known.group.name.clone())
    };
    let own = Some(&nic.portgroup).filter(|name| !name.is_empty());
    let standard = own.or(nic.spec.portgroup.as_ref()).map(|group| name::decode(group));
    let used_for = services.into_iter().flat_map(|services| &services.net_config).filter(|config| {
        let candidates = config.candidate_vnic.iter().filter(|candidate| candidate.device == nic.device);
        candidates.map(|candidate| &candidate.key).any(|key| is_selected(&config.selected_vnic, key))
    });
    let ip = nic.spec.ip.as_deref();
    VmkernelAdapter {
        device: nic.device.clone(),
        services: used_for.map(|config| config.nic_type.clone()).collect(),
        port_group: port.and_then(|port| port.portgroup_key.as_ref()).map(group_of).or(standard),
        distributed_switch: port.map(|port| port.switch_uuid.clone()),
        mac: nic.spec.mac.clone(),
        mtu: nic.spec.mtu,
        dhcp: ip.is_some_and(|ip| ip.dhcp),
        ip: ip.and_then(|ip| ip.ip_address.clone()),
        netmask: ip.and_then(|ip| ip.subnet_mask.clone()),
        ipv6: ip.map(ipv6).unwrap_or_default(),
        stack: nic.spec.net_stack_instance_key.clone(),
    }
}

fn ipv6(ip: &HostIpConfig) -> Vec<Ipv6Address> {
    let addresses = ip.ip_v6_config.iter().flat_map(|config| &config.ip_v6_address);
    addresses
        .map(|address| Ipv6Address {
            address: address.ip_address.clone(),
            prefix_length: address.prefix_length,
            origin: address.origin.clone(),
        })
        .collect()
}

pub(super) fn physical(nics: &[PhysicalNic]) -> Vec<PhysicalAdapter> {
    let adapter = |nic: &PhysicalNic| PhysicalAdapter {
        device: nic.device.clone(),
        mac: nic.mac.clone(),
        // The server leaves it out where the link is down.
        link_mbps: nic.link_speed.as_ref().map(|link| link.speed_mb),
        full_duplex: nic.link_speed.as_ref().map(|link| link.duplex),
        driver: nic.driver.clone(),
        firmware: nic.firmware_version.clone(),
        pci: nic.pci.clone(),
    };
    nics.iter().map(adapter).collect()
}
