//! Plugging in and unplugging a device that stays in the VM: an adapter's cable, a port's line.

use vsphere_model::types::{Poly, VirtualDevice, VirtualDeviceConfigSpec, VirtualDeviceConnectInfo};

use crate::device::{Devices, edit};

/// Whether a device is to have a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    Down,
}

impl Link {
    /// The change that brings a device there; none where it is so.
    ///
    /// In a VM that is off nothing is connected, and the server refuses to connect it: what can be changed is
    /// whether the device will be connected when the VM is powered on. In one that runs, that is left as it is.
    pub(crate) fn change(self, devices: &Devices, device: &Poly<VirtualDevice>) -> Vec<VirtualDeviceConfigSpec> {
        let wanted = self == Self::Up;
        let mut device = device.clone();
        let info = device.connectable.get_or_insert_with(|| {
            Box::new(VirtualDeviceConnectInfo { allow_guest_control: true, ..Default::default() })
        });
        let is = if devices.is_running() { &mut info.connected } else { &mut info.start_connected };
        if *is == wanted {
            return Vec::new();
        }
        *is = wanted;
        vec![edit(device)]
    }

    /// What somebody should know who sees only that it has been done.
    pub(crate) fn note(self, devices: &Devices, device: &VirtualDevice) -> Option<String> {
        let info = device.connectable.as_ref()?;
        let wanted = self == Self::Up;
        let so = |connected: bool| if connected { "connected" } else { "disconnected" };
        if !devices.is_running() {
            let text = "the VM does not run: this is how it will be from the next power on";
            return Some(text.to_owned());
        }
        if info.connected != wanted {
            let status = info.status.as_deref().unwrap_or("unknown");
            let text = format!("the server took the change, but it is {} still (status {status})", so(info.connected));
            return Some(text);
        }
        (info.start_connected != wanted)
            .then(|| format!("at the next power on it will be {} again", so(info.start_connected)))
    }
}
