//! Network adapters: what they are plugged into, and their addresses.

use vsphere_model::types::{
    DistributedVirtualSwitchPortConnection, Poly, SharesInfo, SharesLevel, VirtualDevice, VirtualEthernetCard,
    VirtualEthernetCardDistributedVirtualPortBackingInfo, VirtualEthernetCardNetworkBackingInfo,
    VirtualEthernetCardOpaqueNetworkBackingInfo, VirtualEthernetCardResourceAllocation, VirtualSriovEthernetCard,
};

use super::super::config::only_when_off;
use super::super::draft::Draft;
use super::apply::At;
use super::{BROKEN, opaque_network, portgroup};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::objects::dvs::{self, Dvs};
use crate::objects::host::Host;
use crate::objects::network::Network;
use crate::world::{Moref, World, escaped};

/// A new adapter.
pub(super) fn add(world: &mut World, draft: &Draft, device: &mut Poly<VirtualDevice>, at: At<'_>) -> Outcome<()> {
    plug(world, draft, device, at)?;
    let Some(card) = device.downcast_mut::<VirtualEthernetCard>() else { return Err(at.invalid("key")) };
    card.wake_on_lan_enabled.get_or_insert(true);
    card.upt_compatibility_enabled.get_or_insert(false);
    card.resource_allocation.get_or_insert_with(usual_allocation);
    match card.address_type.as_deref() {
        Some("manual") => {
            card.mac_address = Some(manual_address(card.mac_address.as_deref(), at)?);
        }
        Some("generated" | "assigned" | "") | None => {
            let (kind, address) = new_address(world);
            card.address_type = Some(kind.to_owned());
            card.mac_address = Some(address);
        }
        Some(_) => return Err(at.invalid("addressType")),
    }
    Ok(())
}

/// What an adapter gets of the bandwidth that nobody has reserved.
fn usual_allocation() -> Box<VirtualEthernetCardResourceAllocation> {
    let share = SharesInfo { shares: 50, level: SharesLevel::Normal };
    Box::new(VirtualEthernetCardResourceAllocation { reservation: Some(0), share, limit: Some(-1) })
}

/// A change of an adapter: what it is plugged into, its address, whether it is connected.
pub(super) fn edit(
    world: &mut World,
    draft: &Draft,
    device: &mut Poly<VirtualDevice>,
    old: &Poly<VirtualDevice>,
    at: At<'_>,
) -> Outcome<()> {
    if device.backing != old.backing {
        plug(world, draft, device, at)?;
    }
    let (Some(card), Some(old)) =
        (device.downcast_mut::<VirtualEthernetCard>(), old.downcast_ref::<VirtualEthernetCard>())
    else {
        return Err(at.invalid("key"));
    };
    card.wake_on_lan_enabled = card.wake_on_lan_enabled.or(old.wake_on_lan_enabled);
    card.upt_compatibility_enabled = card.upt_compatibility_enabled.or(old.upt_compatibility_enabled);
    if card.resource_allocation.is_none() {
        card.resource_allocation.clone_from(&old.resource_allocation);
    }
    if card.external_id.is_none() {
        card.external_id.clone_from(&old.external_id);
    }
    let same_address = card.mac_address.is_none() || card.mac_address == old.mac_address;
    match card.address_type.as_deref() {
        Some("manual") => {
            let wanted = card.mac_address.clone().or_else(|| old.mac_address.clone());
            if !same_address {
                only_when_off(draft.running)?;
            }
            card.mac_address = Some(manual_address(wanted.as_deref(), at)?);
        }
        // An address of the server's own choice stays, unless it was the client's until now.
        Some("generated" | "assigned" | "") | None => {
            let was_manual = old.address_type.as_deref() == Some("manual");
            if was_manual && card.address_type.is_some() {
                only_when_off(draft.running)?;
                let (kind, address) = new_address(world);
                card.address_type = Some(kind.to_owned());
                card.mac_address = Some(address);
            } else if same_address {
                card.address_type.clone_from(&old.address_type);
                card.mac_address.clone_from(&old.mac_address);
            } else {
                return Err(at.invalid("macAddress"));
            }
        }
        Some(_) => return Err(at.invalid("addressType")),
    }
    Ok(())
}

/// Finds what the adapter is plugged into, and completes what the client said of it.
fn plug(world: &mut World, draft: &Draft, device: &mut Poly<VirtualDevice>, at: At<'_>) -> Outcome<()> {
    let mut broken = false;
    let Some(backing) = device.backing.as_mut() else {
        // One that passes a host's device through has its place in a field of its own.
        return if device.is::<VirtualSriovEthernetCard>() { Ok(()) } else { Err(at.invalid_backing()) };
    };
    if let Some(standard) = backing.downcast_mut::<VirtualEthernetCardNetworkBackingInfo>() {
        let network = named(world, &draft.host, standard.network.as_ref(), &standard.device_name);
        let network = network.ok_or_else(|| at.invalid_backing())?;
        let (name, distributed) =
            world.get::<Network>(&network).map(|found| (name_of(world, &network), found.portgroup.is_some()))?;
        standard.device_name = name;
        standard.use_auto_detect = Some(false);
        // A distributed port group is no network of a standard switch: the adapter exists, but is plugged into nothing.
        standard.network = (!distributed).then_some(network);
        broken = distributed;
    } else if let Some(distributed) = backing.downcast_mut::<VirtualEthernetCardDistributedVirtualPortBackingInfo>() {
        let port = &mut distributed.port;
        let key = port.portgroup_key.clone().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Fault::invalid_argument(&at.property("backing.port.portgroupKey")))?;
        // The host must be a member of the switch, or it does not have the port group.
        let refused = || Fault::invalid_argument(&at.property("backing.port.switchUuid"));
        let group = portgroup(world, &draft.host, &key).ok_or_else(refused)?;
        if switch_of(world, &group).is_some_and(|switch| switch != port.switch_uuid) {
            return Err(refused());
        }
        if port.port_key.as_ref().is_none_or(String::is_empty) {
            take_port(world, &draft.config.hardware.device, port, &group)?;
        }
    } else if let Some(opaque) = backing.downcast_ref::<VirtualEthernetCardOpaqueNetworkBackingInfo>() {
        opaque_network(world, &draft.host, &opaque.opaque_network_id).ok_or_else(|| at.invalid_backing())?;
    } else {
        return Err(at.invalid_backing());
    }
    let status = device.connectable.as_mut().map(|info| &mut info.status);
    match (status, broken) {
        (Some(status), true) => *status = Some(BROKEN.to_owned()),
        (Some(status), false) => *status = None,
        (None, true) => {
            device.connectable = Some(Box::new(vsphere_model::types::VirtualDeviceConnectInfo {
                start_connected: true,
                allow_guest_control: true,
                status: Some(BROKEN.to_owned()),
                ..Default::default()
            }));
        }
        (None, false) => {}
    }
    Ok(())
}

/// The UUID of the switch that a distributed port group is of.
fn switch_of<'a>(world: &'a World, group: &Moref) -> Option<&'a str> {
    let switch = world.get::<Network>(group).ok()?.portgroup.as_ref()?.distributed_virtual_switch.as_ref()?;
    world.get::<Dvs>(switch).ok().map(Dvs::uuid)
}

/// Connects to a port that nothing is connected to: no other machine, and no other of these devices.
///
/// # Errors
/// `ResourceInUse` where all are taken and there can be no more.
pub(in super::super) fn take_port(
    world: &mut World,
    devices: &[Poly<VirtualDevice>],
    port: &mut DistributedVirtualSwitchPortConnection,
    group: &Moref,
) -> Outcome<()> {
    let own = devices.iter().filter_map(|device| {
        let backing = device.backing.as_ref()?;
        backing.downcast_ref::<VirtualEthernetCardDistributedVirtualPortBackingInfo>()?.port.port_key.as_ref()
    });
    let own: Vec<&String> = own.collect();
    let free = |world: &World| dvs::free_ports(world, group).into_iter().find(|key| !own.contains(&key));
    let mut found = free(world);
    if found.is_none() {
        dvs::grow(world, group)?;
        found = free(world);
    }
    port.port_key = found;
    port.connection_cookie = Some(fastrand::i32(1..));
    Ok(())
}

fn name_of(world: &World, network: &Moref) -> String {
    world.entity(network).map(|entity| entity.name.clone()).unwrap_or_default()
}

/// The host's network with this reference, or this name.
fn named(world: &World, host: &Moref, reference: Option<&Moref>, name: &str) -> Option<Moref> {
    let networks = &world.get::<Host>(host).ok()?.networks;
    if let Some(reference) = reference.filter(|reference| !reference.value.is_empty()) {
        return networks.iter().find(|network| *network == reference).cloned();
    }
    let name = escaped(name);
    networks.iter().find(|network| world.entity(network).is_ok_and(|entity| entity.name == name)).cloned()
}

/// An address that a client chose: six bytes, not of a group, and not zero.
fn manual_address(text: Option<&str>, at: At<'_>) -> Outcome<String> {
    let refused = || at.invalid("macAddress");
    let text = text.ok_or_else(refused)?.to_ascii_lowercase().replace('-', ":");
    let bytes: Vec<u8> =
        text.split(':').filter(|byte| byte.len() == 2).map_while(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let all = text.split(':').count();
    match bytes.as_slice() {
        [first, .., last] if bytes.len() == 6 && all == 6 && first & 1 == 0 && (*first, *last) != (0, 0) => Ok(text),
        _ => Err(refused()),
    }
}

/// An address that no other adapter has, and what it is called: a vCenter assigns them from a range of its own.
pub(in super::super) fn new_address(world: &mut World) -> (&'static str, String) {
    let number: u32 = world.new_id("").parse().unwrap_or_default();
    let [_, high, middle, low] = number.to_be_bytes();
    match world.settings.kind {
        ServerKind::VCenter => ("assigned", format!("00:50:56:{:02x}:{middle:02x}:{low:02x}", 0x80 | high & 0x3f)),
        ServerKind::Esxi => ("generated", format!("00:0c:29:{high:02x}:{middle:02x}:{low:02x}")),
    }
}
