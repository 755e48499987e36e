//! The devices that every machine has.

use vsphere_model::types::{
    Description, Poly, VirtualController, VirtualDevice, VirtualDeviceDeviceBackingInfo, VirtualIDEController,
    VirtualKeyboard, VirtualMachineVMCIDevice, VirtualMachineVideoCard, VirtualPCIController, VirtualPS2Controller,
    VirtualPointingDevice, VirtualPointingDeviceDeviceBackingInfo, VirtualSIOController,
};

use super::kind::{IDE, PCI, PS2, SIO};

/// The devices that every machine has, as a server lists them.
pub(crate) fn devices() -> Vec<Poly<VirtualDevice>> {
    let controller = |key, bus_number, label: &str, device: &[i32]| VirtualController {
        base: device_of(key, label, label),
        bus_number,
        device: device.to_vec(),
    };
    vec![
        Poly::new(VirtualIDEController { base: controller(IDE, 0, "IDE 0", &[]) }),
        Poly::new(VirtualIDEController { base: controller(IDE + 1, 1, "IDE 1", &[]) }),
        Poly::new(VirtualPS2Controller { base: controller(PS2, 0, "PS2 controller 0", &[600, 700]) }),
        Poly::new(VirtualPCIController { base: controller(PCI, 0, "PCI controller 0", &[500, 12000]) }),
        Poly::new(VirtualSIOController { base: controller(SIO, 0, "SIO controller 0", &[]) }),
        Poly::new(VirtualKeyboard { base: plugged(device_of(600, "Keyboard ", "Keyboard"), PS2, 0) }),
        Poly::new(VirtualPointingDevice { base: plugged(pointing(), PS2, 1) }),
        Poly::new(VirtualMachineVideoCard {
            base: plugged(device_of(500, "Video card ", "Video card"), PCI, 0),
            video_ram_size_in_kb: Some(8192),
            num_displays: Some(1),
            use_auto_detect: Some(false),
            enable3_d_support: Some(false),
            use3d_renderer: Some("automatic".to_owned()),
            graphics_memory_size_in_kb: Some(262_144),
        }),
        Poly::new(VirtualMachineVMCIDevice {
            base: plugged(device_of(12000, "VMCI device", VMCI), PCI, 17),
            id: Some(-1),
            allow_unrestricted_communication: Some(false),
            filter_enable: Some(true),
            filter_info: None,
        }),
    ]
}

const VMCI: &str = "Device on the virtual machine PCI bus that provides support for the virtual machine communication \
                    interface";

fn device_of(key: i32, label: &str, summary: &str) -> VirtualDevice {
    let info = Description { label: label.to_owned(), summary: summary.to_owned() };
    VirtualDevice { key, device_info: Some(Poly::new(info)), ..Default::default() }
}

fn plugged(device: VirtualDevice, controller: i32, unit: i32) -> VirtualDevice {
    VirtualDevice { controller_key: Some(controller), unit_number: Some(unit), ..device }
}

fn pointing() -> VirtualDevice {
    let device = device_of(700, "Pointing device", "Pointing device; Device");
    let backing = VirtualPointingDeviceDeviceBackingInfo {
        base: VirtualDeviceDeviceBackingInfo { use_auto_detect: Some(false), ..Default::default() },
        host_pointing_device: "autodetect".to_owned(),
    };
    VirtualDevice { backing: Some(Poly::new(backing)), ..device }
}
