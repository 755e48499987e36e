//! The kinds of devices: what keys they get, where they are plugged in, how many there may be, what they are called.

use vsphere_model::types::{
    ParaVirtualSCSIController, Poly, VirtualCdrom, VirtualController, VirtualDevice, VirtualDisk, VirtualEthernetCard,
    VirtualFloppy, VirtualIDEController, VirtualKeyboard, VirtualMachineVMCIDevice, VirtualMachineVideoCard,
    VirtualNVDIMM, VirtualNVDIMMController, VirtualNVMEController, VirtualPCIController, VirtualPCIPassthrough,
    VirtualPS2Controller, VirtualParallelPort, VirtualPointingDevice, VirtualPrecisionClock, VirtualSATAController,
    VirtualSCSIController, VirtualSCSIPassthrough, VirtualSIOController, VirtualSerialPort, VirtualSoundCard,
    VirtualTPM, VirtualUSB, VirtualUSBController, VirtualUSBXHCIController, VirtualWDT,
};

/// The keys of the controllers that every machine has.
pub(super) const PCI: i32 = 100;
pub(super) const IDE: i32 = 200;
pub(super) const PS2: i32 = 300;
pub(super) const SIO: i32 = 400;

/// The unit that a SCSI controller takes on its own bus.
pub(super) const SCSI_OWN_UNIT: i32 = 7;

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pci,
    Ide,
    Ps2,
    Sio,
    Scsi,
    Sata,
    Nvme,
    NvdimmController,
    Usb,
    Xhci,
    Video,
    Keyboard,
    Pointing,
    Disk,
    Cdrom,
    Floppy,
    Nic,
    Serial,
    Parallel,
    Sound,
    Vmci,
    Tpm,
    PciPassthrough,
    ScsiPassthrough,
    UsbDevice,
    Nvdimm,
    Watchdog,
    Clock,
    Other,
}

/// A row of the table of kinds.
struct Traits {
    first_key: i32,
    /// How many a machine may have.
    limit: usize,
    /// The controller that they are always plugged into, and the unit of the first.
    bus: Option<(i32, i32)>,
    /// What is written before the number in the label, and the number of the first; no number where there is only one.
    label: (&'static str, Option<i32>),
    /// Whether they come and go while the machine runs.
    hot: bool,
}

impl Kind {
    pub(crate) fn of(device: &Poly<VirtualDevice>) -> Self {
        if device.is::<VirtualDisk>() {
            Self::Disk
        } else if device.is::<VirtualEthernetCard>() {
            Self::Nic
        } else if device.is::<VirtualCdrom>() {
            Self::Cdrom
        } else if device.is::<VirtualController>() {
            Self::of_controller(device)
        } else {
            Self::of_other(device)
        }
    }

    fn of_controller(device: &Poly<VirtualDevice>) -> Self {
        match device {
            _ if device.is::<VirtualSCSIController>() => Self::Scsi,
            _ if device.is::<VirtualIDEController>() => Self::Ide,
            _ if device.is::<VirtualSATAController>() => Self::Sata,
            _ if device.is::<VirtualNVMEController>() => Self::Nvme,
            _ if device.is::<VirtualPCIController>() => Self::Pci,
            _ if device.is::<VirtualPS2Controller>() => Self::Ps2,
            _ if device.is::<VirtualSIOController>() => Self::Sio,
            _ if device.is::<VirtualUSBController>() => Self::Usb,
            _ if device.is::<VirtualUSBXHCIController>() => Self::Xhci,
            _ if device.is::<VirtualNVDIMMController>() => Self::NvdimmController,
            _ => Self::Other,
        }
    }

    fn of_other(device: &Poly<VirtualDevice>) -> Self {
        match device {
            _ if device.is::<VirtualSerialPort>() => Self::Serial,
            _ if device.is::<VirtualFloppy>() => Self::Floppy,
            _ if device.is::<VirtualParallelPort>() => Self::Parallel,
            _ if device.is::<VirtualMachineVideoCard>() => Self::Video,
            _ if device.is::<VirtualKeyboard>() => Self::Keyboard,
            _ if device.is::<VirtualPointingDevice>() => Self::Pointing,
            _ if device.is::<VirtualMachineVMCIDevice>() => Self::Vmci,
            _ if device.is::<VirtualSoundCard>() => Self::Sound,
            _ if device.is::<VirtualTPM>() => Self::Tpm,
            _ if device.is::<VirtualPCIPassthrough>() => Self::PciPassthrough,
            _ if device.is::<VirtualSCSIPassthrough>() => Self::ScsiPassthrough,
            _ if device.is::<VirtualUSB>() => Self::UsbDevice,
            _ if device.is::<VirtualNVDIMM>() => Self::Nvdimm,
            _ if device.is::<VirtualWDT>() => Self::Watchdog,
            _ if device.is::<VirtualPrecisionClock>() => Self::Clock,
            _ => Self::Other,
        }
    }

    fn traits(self) -> Traits {
        let row =
            |first_key, limit, bus, label, first, hot| Traits { first_key, limit, bus, label: (label, first), hot };
        match self {
            Self::Pci => row(PCI, 1, None, "PCI controller ", Some(0), false),
            Self::Ide => row(IDE, 2, None, "IDE ", Some(0), false),
            Self::Ps2 => row(PS2, 1, None, "PS2 controller ", Some(0), false),
            Self::Sio => row(SIO, 1, None, "SIO controller ", Some(0), false),
            Self::Video => row(500, 1, Some((PCI, 0)), "Video card ", None, false),
            Self::Keyboard => row(600, 1, Some((PS2, 0)), "Keyboard ", None, false),
            Self::Pointing => row(700, 1, Some((PS2, 1)), "Pointing device", None, false),
            Self::Scsi => row(1000, 4, Some((PCI, 3)), "SCSI controller ", Some(0), true),
            Self::Disk => row(2000, 256, None, "Hard disk ", Some(1), true),
            Self::Cdrom => row(3000, 64, None, "CD/DVD drive ", Some(1), true),
            Self::Nic => row(4000, 10, Some((PCI, 7)), "Network adapter ", Some(1), true),
            Self::Sound => row(5000, 1, Some((PCI, 1)), "Sound card ", None, false),
            Self::UsbDevice => row(6000, 20, None, "USB ", Some(1), true),
            Self::Usb => row(7000, 1, Some((PCI, 22)), "USB controller ", None, true),
            Self::Floppy => row(8000, 2, Some((SIO, 0)), "Floppy drive ", Some(1), false),
            Self::Serial => row(9000, 32, Some((SIO, 0)), "Serial port ", Some(1), false),
            Self::Parallel => row(10000, 3, Some((SIO, 0)), "Parallel port ", Some(1), false),
            Self::Tpm => row(11000, 1, None, "Virtual TPM", None, false),
            Self::Vmci => row(12000, 1, Some((PCI, 17)), "VMCI device", None, false),
            Self::PciPassthrough => row(13000, 16, Some((PCI, 18)), "PCI device ", Some(0), false),
            Self::Xhci => row(14000, 1, Some((PCI, 23)), "USB xHCI controller ", None, true),
            Self::Sata => row(15000, 4, Some((PCI, 24)), "SATA controller ", Some(0), true),
            Self::ScsiPassthrough => row(17000, 64, None, "SCSI device ", Some(1), true),
            Self::Watchdog => row(18000, 1, None, "Virtual watchdog timer", None, false),
            Self::Clock => row(19000, 1, None, "Precision clock", None, false),
            Self::NvdimmController => row(29000, 1, None, "NVDIMM controller ", Some(0), false),
            Self::Nvdimm => row(30000, 64, None, "NVDIMM ", Some(1), false),
            Self::Nvme => row(31000, 4, Some((PCI, 30)), "NVME controller ", Some(0), true),
            Self::Other => row(50000, 64, None, "Device ", Some(1), false),
        }
    }

    /// The key of the first of its kind. Disks and CD drives take theirs from their controller, see [`key_at`].
    pub(super) fn first_key(self) -> i32 {
        self.traits().first_key
    }

    /// How many a machine may have.
    pub(super) fn limit(self) -> usize {
        self.traits().limit
    }

    /// The controller that they are always plugged into, and the unit of the first.
    pub(super) fn bus(self) -> Option<(i32, i32)> {
        self.traits().bus
    }

    /// What is written before the number in the label, and the number of the first.
    pub(super) fn label(self) -> (&'static str, Option<i32>) {
        self.traits().label
    }

    /// Whether they come and go while the machine runs. What hangs on an IDE controller never does.
    pub(super) fn is_hot(self) -> bool {
        self.traits().hot
    }

    pub(super) fn is_controller(self) -> bool {
        matches!(
            self,
            Self::Pci
                | Self::Ide
                | Self::Ps2
                | Self::Sio
                | Self::Scsi
                | Self::Sata
                | Self::Nvme
                | Self::NvdimmController
                | Self::Usb
                | Self::Xhci
        )
    }

    /// Whether it is plugged into a controller of the client's choice.
    pub(super) fn needs_controller(self) -> bool {
        matches!(self, Self::Disk | Self::Cdrom | Self::ScsiPassthrough | Self::UsbDevice | Self::Nvdimm)
    }

    /// Whether every machine has it, so that it can't be removed.
    pub(super) fn is_built_in(self) -> bool {
        matches!(self, Self::Pci | Self::Ps2 | Self::Sio | Self::Video | Self::Keyboard | Self::Pointing | Self::Vmci)
    }

    /// Whether it can be unplugged inside, and so has `connectable`.
    pub(super) fn is_connectable(self) -> bool {
        matches!(self, Self::Nic | Self::Cdrom | Self::Floppy | Self::Serial | Self::Parallel | Self::Sound)
    }

    /// The kinds of controllers that it can be plugged into, where it has no bus of its own.
    pub(super) fn fits(self, controller: Self) -> bool {
        match self {
            Self::Disk => matches!(controller, Self::Scsi | Self::Ide | Self::Sata | Self::Nvme),
            Self::Cdrom => matches!(controller, Self::Ide | Self::Sata | Self::Scsi),
            Self::ScsiPassthrough => controller == Self::Scsi,
            Self::UsbDevice => matches!(controller, Self::Usb | Self::Xhci),
            Self::Nvdimm => controller == Self::NvdimmController,
            _ => controller.is_controller(),
        }
    }
}

/// How many units a controller's bus has. `hardware` is the number in the machine's version (`vmx-21`).
pub(super) fn units(controller: &Poly<VirtualDevice>, hardware: u32) -> i32 {
    match Kind::of(controller) {
        Kind::Scsi if hardware >= 14 && controller.is::<ParaVirtualSCSIController>() => 65,
        Kind::Scsi => 16,
        Kind::Ide => 2,
        Kind::Sata => 30,
        Kind::Nvme if hardware >= 21 => 64,
        Kind::Nvme => 15,
        _ => 256,
    }
}

/// The unit that the controller itself takes.
pub(super) fn own_unit(controller: Kind) -> Option<i32> {
    (controller == Kind::Scsi).then_some(SCSI_OWN_UNIT)
}

/// The key that a server gives a device on this bus and unit. It need not be free.
pub(super) fn key_at(controller: Kind, bus: i32, unit: i32) -> i32 {
    match controller {
        Kind::Scsi => 2000 + bus * 16 + unit,
        Kind::Ide => 3000 + bus * 2 + unit,
        Kind::Sata => 16000 + bus * 30 + unit,
        Kind::Nvme => 32000 + bus * 64 + unit,
        _ => Kind::Other.first_key(),
    }
}
