//! What adapters are plugged into: found by a user's word for it, and recognised in an adapter.

use std::collections::HashMap;

use vsphere_model::managed::{
    DistributedVirtualPortgroup, DistributedVirtualSwitch, HostSystem, Network, OpaqueNetwork, VirtualMachine,
    distributed_virtual_portgroup as portgroup, distributed_virtual_switch as switch, host_system as host,
    opaque_network, virtual_machine as vm,
};
use vsphere_model::types::{
    DistributedVirtualSwitchPortConnection, ManagedObjectReference, NetworkSummary, ObjectContent,
    OpaqueNetworkSummary, Poly, VirtualDevice, VirtualDeviceBackingInfo,
    VirtualEthernetCardDistributedVirtualPortBackingInfo, VirtualEthernetCardNetworkBackingInfo,
    VirtualEthernetCardOpaqueNetworkBackingInfo,
};

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::find::{self, label};
use crate::mo::Mo;
use crate::name::decode;
use crate::network::NetworkKind;
use crate::read::Values;
use crate::vm::optional;

/// The tag of the port groups that the uplinks of a switch are in; servers before 6.0 say it no other way.
const UPLINKS_TAG: &str = "SYSTEM/DVS.UPLINKPG";

/// How many networks an error lists.
const MOST_LISTED: usize = 12;

/// A network that an adapter can be plugged into.
#[derive(Debug, Clone)]
pub(crate) struct Outlet {
    /// What an adapter has to say, by the kind of the network: one of a standard switch goes by its name, a distributed
    /// port group by its key and its switch, an opaque one by the id that another product gave it. Told as another kind,
    /// the server takes it, and the adapter stays without a link.
    pub(crate) backing: Poly<VirtualDeviceBackingInfo>,
}

impl Outlet {
    /// This network.
    ///
    /// # Errors
    /// `invalid_argument` for uplinks.
    pub(crate) async fn of(network: &Mo<Network>) -> Result<Self> {
        let outlet = Self::new(network.client(), network.reference(), network.label()).await;
        outlet.map_err(|error| error.in_operation("find network").on(network.label()))
    }

    async fn new(client: &Client, reference: &ManagedObjectReference, name: &str) -> Result<Self> {
        let backing = match reference.type_.as_str() {
            "DistributedVirtualPortgroup" => distributed(client, reference, name).await?,
            "OpaqueNetwork" => opaque(client, reference, name).await?,
            _ => standard(reference, name),
        };
        Ok(Self { backing })
    }

    /// Whether an adapter is plugged into it.
    pub(crate) fn has(&self, device: &VirtualDevice) -> bool {
        match (device.backing.as_ref().and_then(Plug::of), Plug::of(&self.backing)) {
            (Some(is), Some(wanted)) => is.is_same(wanted),
            _ => false,
        }
    }
}

/// The one network of the VM's host that a user means: one of another host or datacenter may have the same name, and is of no
/// use to the VM.
///
/// # Errors
/// `not_found` with the networks of the host, `ambiguous` if several of them have the name, `invalid_argument` for one
/// that the host does not have.
pub(super) async fn seen(machine: &Mo<VirtualMachine>, what: &str) -> Result<Mo<Network>> {
    let (reference, name) = reference(machine, what).await?;
    Ok(Mo::new(machine.client(), &reference, Some(name)))
}

async fn reference(machine: &Mo<VirtualMachine>, what: &str) -> Result<(ManagedObjectReference, String)> {
    let client = machine.client();
    let at = machine.read(vm::HOST).await?.ok_or_else(|| {
        Error::new("find network", ErrorKind::Unreadable("the VM's host can't be read by this user".to_owned()))
    })?;
    let at: Mo<HostSystem> = Mo::new(client, &at, None);
    let (host_name, networks) = at.read((host::NAME, host::NETWORK)).await?;
    let contents = find::details(client, networks, &["name"]).await?;
    let networks: Vec<_> = contents.iter().map(|content| (content.obj.clone(), label(content))).collect();
    let mut fitting = find::named(&networks, what);
    match (fitting.pop(), fitting.is_empty()) {
        (Some(only), true) => return Ok(only.clone()),
        (Some(last), false) => {
            fitting.push(last);
            let fitting: Vec<_> = fitting.into_iter().map(|(network, _)| network.clone()).collect();
            return Err(find::ambiguous(client, &fitting).await?);
        }
        (None, _) => {}
    }
    let there = || {
        let mut names: Vec<&str> = networks.iter().map(|(_, name)| name.as_str()).collect();
        names.sort_unstable();
        let more = names.len().checked_sub(MOST_LISTED).filter(|more| *more > 0);
        names.truncate(MOST_LISTED);
        let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
        format!("the VM's host {host_name} has {}{more}", names.join(", "))
    };
    // By its path, by a reference, or one of another host.
    match client.get::<Network>(what).await {
        Ok(found) => {
            let own = networks.iter().find(|(network, _)| network == found.reference());
            own.cloned().ok_or_else(|| {
                invalid("find network", format!("{} ({}) is not there: {}", found.label(), found.id(), there()))
            })
        }
        // Several elsewhere are of no use either.
        Err(error) if matches!(error.code(), "not_found" | "ambiguous") => {
            Err(Error::new("find network", ErrorKind::NotFound(format!("no network of this name or id: {}", there()))))
        }
        Err(error) => Err(error),
    }
}

fn standard(network: &ManagedObjectReference, name: &str) -> Poly<VirtualDeviceBackingInfo> {
    let mut backing = VirtualEthernetCardNetworkBackingInfo { network: Some(network.clone()), ..Default::default() };
    backing.device_name = name.to_owned();
    Poly::new(backing)
}

async fn distributed(
    client: &Client,
    reference: &ManagedObjectReference,
    name: &str,
) -> Result<Poly<VirtualDeviceBackingInfo>> {
    let group: Mo<DistributedVirtualPortgroup> = Mo::new(client, reference, Some(name.to_owned()));
    let (config, tags) = group.read((portgroup::CONFIG, portgroup::TAG)).await?;
    if config.uplink == Some(true) || tags.iter().any(|tag| tag.key == UPLINKS_TAG) {
        let text = "it holds the uplinks of a switch, and no VM can be plugged into it; choose another port group";
        return Err(invalid("find network", text));
    }
    let of = config.distributed_virtual_switch.ok_or_else(|| {
        let text = "the switch of this port group can't be read by this user".to_owned();
        Error::new("find network", ErrorKind::Unreadable(text))
    })?;
    let of: Mo<DistributedVirtualSwitch> = Mo::new(client, &of, None);
    let port = DistributedVirtualSwitchPortConnection {
        switch_uuid: of.read(switch::UUID).await?,
        portgroup_key: Some(config.key),
        ..Default::default()
    };
    Ok(Poly::new(VirtualEthernetCardDistributedVirtualPortBackingInfo { port, ..Default::default() }))
}

async fn opaque(
    client: &Client,
    reference: &ManagedObjectReference,
    name: &str,
) -> Result<Poly<VirtualDeviceBackingInfo>> {
    let network: Mo<OpaqueNetwork> = Mo::new(client, reference, Some(name.to_owned()));
    let summary = network.read(opaque_network::SUMMARY).await?;
    let summary: &OpaqueNetworkSummary = summary.downcast_ref().ok_or_else(|| {
        let text = "the server does not say by which id this opaque network goes".to_owned();
        Error::new("find network", ErrorKind::Unsupported(text))
    })?;
    Ok(Poly::new(VirtualEthernetCardOpaqueNetworkBackingInfo {
        opaque_network_id: summary.opaque_network_id.clone(),
        opaque_network_type: summary.opaque_network_type.clone(),
        ..Default::default()
    }))
}

/// The port of a distributed switch that an adapter is plugged into.
pub(super) fn port(backing: &Poly<VirtualDeviceBackingInfo>) -> Option<&DistributedVirtualSwitchPortConnection> {
    Some(&backing.downcast_ref::<VirtualEthernetCardDistributedVirtualPortBackingInfo>()?.port)
}

/// What an adapter says of its network, without what the server adds to it.
#[derive(Debug, Clone, Copy)]
enum Plug<'a> {
    /// A network of standard switches: its object, where that is known, and its name.
    Standard(Option<&'a str>, &'a str),
    /// A distributed port group, by its key.
    Distributed(&'a str),
    /// A network of another product, by the id that this gave it.
    Opaque(&'a str),
}

impl<'a> Plug<'a> {
    fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Standard(Some(one), _), Self::Standard(Some(other), _)) => one == other,
            (Self::Standard(_, one), Self::Standard(_, other)) => decode(one) == decode(other),
            (Self::Distributed(one), Self::Distributed(other)) | (Self::Opaque(one), Self::Opaque(other)) => {
                one == other
            }
            _ => false,
        }
    }

    fn of(backing: &'a Poly<VirtualDeviceBackingInfo>) -> Option<Self> {
        if let Some(standard) = backing.downcast_ref::<VirtualEthernetCardNetworkBackingInfo>() {
            let network = standard.network.as_ref().map(|network| network.value.as_str());
            return Some(Self::Standard(network, &standard.device_name));
        }
        if let Some(opaque) = backing.downcast_ref::<VirtualEthernetCardOpaqueNetworkBackingInfo>() {
            return Some(Self::Opaque(&opaque.opaque_network_id));
        }
        Some(Self::Distributed(port(backing)?.portgroup_key.as_deref()?))
    }
}

/// The networks of a VM as the server knows them, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<String, Seen>);

#[derive(Debug)]
struct Seen {
    name: String,
    /// Whether a host still has it.
    accessible: bool,
    opaque_id: Option<String>,
}

/// What an adapter is plugged into, for people.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plugged {
    pub(crate) name: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) kind: Option<NetworkKind>,
    pub(crate) problem: Option<&'static str>,
}

const GONE: &str = "its network is gone, or this user may not see it";
const NOWHERE: &str = "no host has its network any longer";

impl Known {
    /// Reads what these networks are called, in one request.
    ///
    /// # Errors
    /// Server errors.
    pub(crate) async fn read(client: &Client, networks: Vec<ManagedObjectReference>) -> Result<Self> {
        Ok(Self::of(find::details(client, networks, &["name", "summary"]).await?))
    }

    /// Networks that were read with their names and summaries.
    pub(crate) fn of(contents: Vec<ObjectContent>) -> Self {
        let seen = contents.into_iter().map(|content| {
            let name = label(&content);
            let id = content.obj.value;
            let summary: Option<Poly<NetworkSummary>> =
                optional(&mut Values::new(content.prop_set, content.missing_set), "summary");
            let opaque = summary.as_ref().and_then(|summary| summary.downcast_ref::<OpaqueNetworkSummary>());
            let opaque_id = opaque.map(|opaque| opaque.opaque_network_id.clone());
            (id, Seen { name, accessible: summary.is_none_or(|summary| summary.accessible), opaque_id })
        });
        Self(seen.collect())
    }

    /// What an adapter is plugged into.
    pub(crate) fn plugged(&self, device: &VirtualDevice) -> Plugged {
        let Some(plug) = device.backing.as_ref().and_then(Plug::of) else { return Plugged::default() };
        let (kind, found, fallback) = match plug {
            Plug::Standard(id, name) => (NetworkKind::Standard, id.and_then(|id| self.0.get_key_value(id)), name),
            Plug::Distributed(key) => (NetworkKind::Distributed, self.0.get_key_value(key), key),
            Plug::Opaque(id) => {
                let found = self.0.iter().find(|(_, seen)| seen.opaque_id.as_deref() == Some(id));
                (NetworkKind::Opaque, found, id)
            }
        };
        Plugged {
            name: Some(found.map_or_else(|| decode(fallback), |(_, seen)| seen.name.clone())),
            id: found.map(|(id, _)| id.clone()),
            kind: Some(kind),
            problem: match found {
                None => Some(GONE),
                Some((_, seen)) if !seen.accessible => Some(NOWHERE),
                Some(_) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use vsphere_model::types::VirtualVmxnet3;

    use super::*;

    fn in_standard(id: Option<&str>, name: &str) -> Poly<VirtualDevice> {
        let network = id.map(|id| ManagedObjectReference::new("Network", id));
        let mut backing = VirtualEthernetCardNetworkBackingInfo { network, ..Default::default() };
        backing.device_name = name.to_owned();
        plugged_into(Poly::new(backing))
    }

    fn plugged_into(backing: Poly<VirtualDeviceBackingInfo>) -> Poly<VirtualDevice> {
        let mut card = Poly::<VirtualDevice>::new(VirtualVmxnet3::default());
        card.backing = Some(backing);
        card
    }

    fn in_portgroup(key: &str) -> Poly<VirtualDevice> {
        let port = DistributedVirtualSwitchPortConnection { portgroup_key: Some(key.to_owned()), ..Default::default() };
        plugged_into(Poly::new(VirtualEthernetCardDistributedVirtualPortBackingInfo { port, ..Default::default() }))
    }

    #[test]
    fn a_network_that_vanished_is_told_by_what_the_adapter_remembers() {
        let seen = |name: &str, accessible| Seen { name: name.to_owned(), accessible, opaque_id: None };
        let known = Known(HashMap::from([
            ("network-1".to_owned(), seen("VM Network", true)),
            ("network-2".to_owned(), seen("old lab", false)),
            ("dvportgroup-3".to_owned(), seen("prod", true)),
        ]));
        let is = |device: &Poly<VirtualDevice>| {
            let plugged = known.plugged(device);
            (plugged.name.unwrap_or_default(), plugged.id.unwrap_or_default(), plugged.problem)
        };
        let text = str::to_owned;
        assert_eq!(is(&in_standard(Some("network-1"), "x")), (text("VM Network"), text("network-1"), None));
        assert_eq!(is(&in_standard(Some("network-2"), "x")), (text("old lab"), text("network-2"), Some(NOWHERE)));
        assert_eq!(is(&in_standard(Some("network-9"), "a%2fb")), (text("a/b"), text(""), Some(GONE)));
        assert_eq!(is(&in_standard(None, "VM Network")), (text("VM Network"), text(""), Some(GONE)));
        assert_eq!(is(&in_portgroup("dvportgroup-3")), (text("prod"), text("dvportgroup-3"), None));
        assert_eq!(is(&in_portgroup("dvportgroup-8")), (text("dvportgroup-8"), text(""), Some(GONE)));
        assert_eq!(known.plugged(&Poly::<VirtualDevice>::new(VirtualVmxnet3::default())), Plugged::default());
    }

    #[test]
    fn an_adapter_is_in_a_network_whatever_port_it_has() {
        let outlet = Outlet { backing: in_portgroup("dvportgroup-3").backing.clone().unwrap_or_default() };
        let mut there = in_portgroup("dvportgroup-3");
        let backing = there.backing.as_mut().and_then(|backing| backing.downcast_mut());
        let backing: Option<&mut VirtualEthernetCardDistributedVirtualPortBackingInfo> = backing;
        if let Some(backing) = backing {
            backing.port.port_key = Some("17".to_owned());
        }
        assert!(outlet.has(&there));
        assert!(!outlet.has(&in_portgroup("dvportgroup-4")));
        assert!(!outlet.has(&in_standard(Some("dvportgroup-3"), "prod")));
        let outlet = Outlet { backing: in_standard(Some("network-1"), "a/b").backing.clone().unwrap_or_default() };
        assert!(outlet.has(&in_standard(None, "a%2fb")) && outlet.has(&in_standard(Some("network-1"), "renamed")));
        assert!(!outlet.has(&in_standard(Some("network-2"), "a/b")));
    }
}
