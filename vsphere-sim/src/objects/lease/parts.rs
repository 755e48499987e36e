//! The files of a machine that a lease gives: its disks, its firmware's variables, its images.

use vsphere_model::types::{
    Poly, VirtualCdromIsoBackingInfo, VirtualController, VirtualDevice, VirtualMachineConfigInfo,
};

use crate::objects::vm::hardware::Kind;
use crate::objects::vm::{Place, Vm};
use crate::world::{Moref, World};

/// A file of a machine that can be sent or fetched.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// What the server knows it by: `/vm-42/ParaVirtualSCSIController0:0`.
    pub(crate) key: String,
    /// The last step of its URL.
    pub(crate) name: String,
    /// The device that it is behind; none for the firmware's variables.
    pub(crate) device: Option<i32>,
    pub(crate) is_disk: bool,
    pub(crate) is_image: bool,
    pub(crate) place: Place,
    /// In bytes, of a disk.
    pub(crate) capacity: i64,
}

impl Part {
    /// What a descriptor that is imported knows it by.
    pub(crate) fn import_key(&self, machine: &str) -> String {
        let rest = self.key.trim_start_matches('/').split_once('/').map_or("", |(_, rest)| rest);
        format!("/{machine}/{rest}")
    }
}

/// The files of a machine in this configuration, its present one or that of a snapshot.
pub(crate) fn parts(world: &World, vm: &Moref, config: &VirtualMachineConfigInfo) -> Vec<Part> {
    let Ok(machine) = world.get::<Vm>(vm) else { return Vec::new() };
    let devices = &config.hardware.device;
    let mut parts = Vec::new();
    for (kind, prefix, ending) in [(Kind::Disk, "disk", "vmdk"), (Kind::Cdrom, "image", "iso")] {
        for device in devices.iter().filter(|device| Kind::of(device) == kind) {
            let is_image = kind == Kind::Cdrom;
            let backing = device.backing.as_ref();
            if is_image && !backing.is_some_and(|backing| backing.is::<VirtualCdromIsoBackingInfo>()) {
                continue;
            }
            let file = backing
                .and_then(|backing| backing.downcast_ref::<vsphere_model::types::VirtualDeviceFileBackingInfo>());
            let place = file.and_then(|file| world.place_among(&machine.datastores, &file.file_name).ok());
            let (Some(place), Some(socket)) = (place, socket(devices, device)) else { continue };
            let number = parts.iter().filter(|part: &&Part| part.is_image == is_image).count();
            let disk = device.downcast_ref::<vsphere_model::types::VirtualDisk>();
            parts.push(Part {
                key: format!("/{}/{socket}", vm.value),
                name: format!("{prefix}-{number}.{ending}"),
                device: Some(device.key),
                is_disk: !is_image,
                is_image,
                place,
                capacity: disk.map_or(0, |disk| disk.capacity_in_kb.saturating_mul(1024)),
            });
        }
    }
    if let Ok(vmx) = world.vmx_of(vm) {
        let place = vmx.beside(&format!("{}.nvram", vmx.stem()));
        let name = format!("file-{}.nvram", parts.len());
        let key = format!("/{}/nvram", vm.value);
        parts.push(Part { key, name, device: None, is_disk: false, is_image: false, place, capacity: 0 });
    }
    parts
}

/// The controller and unit that a device is plugged into: `ParaVirtualSCSIController0:0`.
fn socket(devices: &[Poly<VirtualDevice>], device: &VirtualDevice) -> Option<String> {
    let controller = devices.iter().find(|other| Some(other.key) == device.controller_key)?;
    let bus = controller.downcast_ref::<VirtualController>()?.bus_number;
    Some(format!("{}{bus}:{}", controller.type_name(), device.unit_number.unwrap_or_default()))
}
