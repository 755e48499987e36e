//! The devices of a virtual machine: how a specification changes them, and what they lead to.

mod apply;
mod defaults;
mod describe;
mod disk;
mod kind;
mod media;
mod nic;

use vsphere_model::types::{
    Poly, VirtualDevice, VirtualDeviceFileBackingInfo, VirtualDeviceRemoteDeviceBackingInfo,
    VirtualEthernetCardDistributedVirtualPortBackingInfo, VirtualEthernetCardNetworkBackingInfo,
    VirtualEthernetCardOpaqueNetworkBackingInfo, VirtualMachineBootOptionsBootableDevice,
    VirtualMachineBootOptionsBootableDiskDevice, VirtualMachineBootOptionsBootableEthernetDevice,
};

pub(super) use apply::change;
pub(super) use defaults::devices as default_devices;
pub(super) use disk::{chain, fill_backing, free_disk_name};
pub(crate) use kind::Kind;
pub(super) use nic::{new_address, take_port};

use crate::objects::host::Host;
use crate::objects::network::Network;
use crate::world::{Moref, World};

/// The datastores that the devices have their files in.
pub(super) fn datastores(devices: &[Poly<VirtualDevice>]) -> impl Iterator<Item = &Moref> {
    devices.iter().filter_map(|device| file_of(device)?.datastore.as_ref())
}

/// The file that is behind a device.
pub(super) fn file_of(device: &VirtualDevice) -> Option<&VirtualDeviceFileBackingInfo> {
    device.backing.as_ref()?.downcast_ref::<VirtualDeviceFileBackingInfo>()
}

/// The networks that the adapters are plugged into, each once.
pub(super) fn networks(world: &World, host: &Moref, devices: &[Poly<VirtualDevice>]) -> Vec<Moref> {
    let mut networks = Vec::new();
    for device in devices.iter().filter(|device| Kind::of(device) == Kind::Nic) {
        if let Some(network) = network_of(world, host, device)
            && !networks.contains(&network)
        {
            networks.push(network);
        }
    }
    networks
}

/// The network that an adapter is plugged into.
pub(super) fn network_of(world: &World, host: &Moref, device: &VirtualDevice) -> Option<Moref> {
    let backing = device.backing.as_ref()?;
    if let Some(standard) = backing.downcast_ref::<VirtualEthernetCardNetworkBackingInfo>() {
        return standard.network.clone();
    }
    if let Some(opaque) = backing.downcast_ref::<VirtualEthernetCardOpaqueNetworkBackingInfo>() {
        return opaque_network(world, host, &opaque.opaque_network_id);
    }
    let port = &backing.downcast_ref::<VirtualEthernetCardDistributedVirtualPortBackingInfo>()?.port;
    portgroup(world, host, port.portgroup_key.as_deref()?)
}

/// The network that an adapter is plugged into, wherever it is.
pub(crate) fn network_anywhere(world: &World, device: &VirtualDevice) -> Option<Moref> {
    let backing = device.backing.as_ref()?;
    if let Some(standard) = backing.downcast_ref::<VirtualEthernetCardNetworkBackingInfo>() {
        return standard.network.clone();
    }
    let port = &backing.downcast_ref::<VirtualEthernetCardDistributedVirtualPortBackingInfo>()?.port;
    let key = port.portgroup_key.as_deref()?;
    let networks = world.all::<Network>();
    let has_key = |network: &Network| network.portgroup.as_ref().is_some_and(|portgroup| portgroup.key == key);
    networks.into_iter().find(|(_, network)| has_key(network)).map(|(reference, _)| reference.clone())
}

/// The distributed port group with this key that the host has.
pub(super) fn portgroup(world: &World, host: &Moref, key: &str) -> Option<Moref> {
    let has_key = |network: &&Moref| {
        let portgroup = world.get::<Network>(network).ok().and_then(|network| network.portgroup.as_ref());
        portgroup.is_some_and(|portgroup| portgroup.key == key)
    };
    world.get::<Host>(host).ok()?.networks.iter().find(has_key).cloned()
}

/// The opaque network with this id that the host has.
fn opaque_network(world: &World, host: &Moref, id: &str) -> Option<Moref> {
    let has_id = |network: &&Moref| {
        let opaque = world.get::<Network>(network).ok().and_then(|network| network.opaque.as_ref());
        opaque.is_some_and(|(opaque, _)| opaque == id)
    };
    world.get::<Host>(host).ok()?.networks.iter().find(has_id).cloned()
}

/// Whether the machine can boot from each of these.
pub(super) fn can_boot(
    devices: &[Poly<VirtualDevice>],
    order: &[Poly<VirtualMachineBootOptionsBootableDevice>],
) -> bool {
    order.iter().all(|item| {
        let key = if let Some(disk) = item.downcast_ref::<VirtualMachineBootOptionsBootableDiskDevice>() {
            Some((disk.device_key, Kind::Disk))
        } else {
            let nic = item.downcast_ref::<VirtualMachineBootOptionsBootableEthernetDevice>();
            nic.map(|nic| (nic.device_key, Kind::Nic))
        };
        key.is_none_or(|(key, kind)| devices.iter().any(|device| device.key == key && Kind::of(device) == kind))
    })
}

/// Whether it is the base type alone, which stands for no device.
pub(super) fn is_no_device(item: &Poly<VirtualMachineBootOptionsBootableDevice>) -> bool {
    item.type_name() == "VirtualMachineBootOptionsBootableDevice"
}

/// Whether a device is one of a client's computer. It is connected only while that client has a console open, as none has here.
fn is_of_a_client(device: &VirtualDevice) -> bool {
    let backing = device.backing.as_ref();
    backing.is_some_and(|backing| backing.downcast_ref::<VirtualDeviceRemoteDeviceBackingInfo>().is_some())
}

/// Plugs in what starts connected, or unplugs everything: what happens when the machine is powered on, or off.
pub(crate) fn set_running(devices: &mut [Poly<VirtualDevice>], running: bool) {
    for device in devices {
        let starts = running && !is_of_a_client(device);
        let Some(connectable) = device.connectable.as_mut() else { continue };
        connectable.connected = starts && connectable.start_connected && connectable.status.as_deref() != Some(BROKEN);
        if connectable.status.as_deref() != Some(BROKEN) {
            connectable.status = Some(if connectable.connected { "ok" } else { "untried" }.to_owned());
        }
    }
}

/// The status of a device that can't be plugged in as it is.
const BROKEN: &str = "unrecoverableError";
