//! What a server writes beside a device: its label and its summary.

use vsphere_model::types::{
    Description, ParaVirtualSCSIController, Poly, VirtualBusLogicController, VirtualController, VirtualDevice,
    VirtualDeviceDeviceBackingInfo, VirtualDevicePipeBackingInfo, VirtualDeviceRemoteDeviceBackingInfo,
    VirtualDeviceURIBackingInfo, VirtualDisk, VirtualEthernetCardDistributedVirtualPortBackingInfo,
    VirtualEthernetCardOpaqueNetworkBackingInfo, VirtualHdAudioCard, VirtualLsiLogicSASController,
    VirtualUSBController,
};

use super::file_of;
use super::kind::Kind;
use crate::world::World;

/// Writes the label and the summary of a device. A label that it has stays.
pub(super) fn describe(world: &World, others: &[Poly<VirtualDevice>], device: &mut Poly<VirtualDevice>, kind: Kind) {
    let own = others.iter().find(|other| other.key == device.key).and_then(|known| known.device_info.as_ref());
    let label = own.map_or_else(|| label(others, device, kind), |info| info.label.clone());
    let summary = summary(world, device, kind, &label);
    device.device_info = Some(Poly::new(Description { label, summary }));
}

/// The first label of its kind that no other device has.
fn label(others: &[Poly<VirtualDevice>], device: &Poly<VirtualDevice>, kind: Kind) -> String {
    let (name, first) = kind.label();
    let Some(first) = first else { return name.to_owned() };
    if let Some(controller) = device.downcast_ref::<VirtualController>() {
        return format!("{name}{}", controller.bus_number);
    }
    let taken =
        |label: &str| others.iter().any(|other| other.device_info.as_ref().is_some_and(|info| info.label == label));
    let labels = (first..).map(|number| format!("{name}{number}"));
    labels.take(others.len() + 1).find(|label| !taken(label)).unwrap_or_else(|| name.to_owned())
}

fn summary(world: &World, device: &Poly<VirtualDevice>, kind: Kind, label: &str) -> String {
    match kind {
        Kind::Disk => {
            let kilobytes = device.downcast_ref::<VirtualDisk>().map_or(0, |disk| disk.capacity_in_kb);
            format!("{} KB", grouped(kilobytes))
        }
        Kind::Nic => network(world, device),
        Kind::Scsi if device.is::<ParaVirtualSCSIController>() => "VMware paravirtual SCSI".to_owned(),
        Kind::Scsi if device.is::<VirtualLsiLogicSASController>() => "LSI Logic SAS".to_owned(),
        Kind::Scsi if device.is::<VirtualBusLogicController>() => "BusLogic".to_owned(),
        Kind::Scsi => "LSI Logic".to_owned(),
        Kind::Sata => "AHCI".to_owned(),
        Kind::Usb => {
            let usb = device.downcast_ref::<VirtualUSBController>();
            let auto = usb.is_some_and(|usb| usb.auto_connect_devices == Some(true));
            format!("Auto connect {}", if auto { "Enabled" } else { "Disabled" })
        }
        Kind::Sound if device.is::<VirtualHdAudioCard>() => "HD Audio".to_owned(),
        Kind::Tpm => "Trusted Platform Module".to_owned(),
        Kind::Cdrom | Kind::Floppy | Kind::Serial | Kind::Parallel | Kind::Sound | Kind::PciPassthrough => {
            backing(device, kind).unwrap_or_else(|| label.trim().to_owned())
        }
        _ => label.trim().to_owned(),
    }
}

/// What a drive or a port shows of what is behind it.
fn backing(device: &VirtualDevice, kind: Kind) -> Option<String> {
    if let Some(file) = file_of(device) {
        let what = match kind {
            Kind::Cdrom => "ISO",
            Kind::Floppy => "Image",
            _ => "File",
        };
        return Some(format!("{what} {}", file.file_name));
    }
    let backing = device.backing.as_ref()?;
    if let Some(uri) = backing.downcast_ref::<VirtualDeviceURIBackingInfo>() {
        return Some(format!("Remote {}", uri.service_uri));
    }
    if let Some(pipe) = backing.downcast_ref::<VirtualDevicePipeBackingInfo>() {
        return Some(format!("Pipe {}", pipe.pipe_name));
    }
    if let Some(remote) = backing.downcast_ref::<VirtualDeviceRemoteDeviceBackingInfo>() {
        let what = if backing.type_name().contains("Atapi") { "Remote ATAPI" } else { "Remote device" };
        return Some(format!("{what} {}", remote.device_name).trim_end().to_owned());
    }
    let host = backing.downcast_ref::<VirtualDeviceDeviceBackingInfo>()?;
    let what = if backing.type_name().contains("Atapi") { "ATAPI " } else { "" };
    Some(format!("{what}{}", host.device_name).trim_end().to_owned()).filter(|text| !text.is_empty())
}

fn network(world: &World, device: &VirtualDevice) -> String {
    let Some(backing) = device.backing.as_ref() else { return String::new() };
    if let Some(distributed) = backing.downcast_ref::<VirtualEthernetCardDistributedVirtualPortBackingInfo>() {
        return format!("DVSwitch: {}", distributed.port.switch_uuid);
    }
    if let Some(opaque) = backing.downcast_ref::<VirtualEthernetCardOpaqueNetworkBackingInfo>() {
        return format!("{}: {}", opaque.opaque_network_type, opaque.opaque_network_id);
    }
    let standard = backing.downcast_ref::<vsphere_model::types::VirtualEthernetCardNetworkBackingInfo>();
    let named = standard.and_then(|standard| world.entity(standard.network.as_ref()?).ok());
    let name = named.map(|entity| entity.name.clone());
    name.or_else(|| standard.map(|standard| standard.device_name.clone())).unwrap_or_default()
}

/// A number with commas between the thousands.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1024, "1,024"), (41_943_040, "41,943,040")] {
            assert_eq!(grouped(number), text);
        }
    }
}
