//! The devices of a VM: read once, chosen by label or key, changed by one task.
//!
//! A label is in the language of the server and may be chosen freely, so that nothing here knows one by heart: what a
//! device is, its type says. A bare number is a key and never the number in a label, which some count from nought.

mod handle;
mod seen;

use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{
    ParaVirtualSCSIController, Poly, VirtualController, VirtualDevice, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecOperation, VirtualIDEController, VirtualMachineConfigInfo, VirtualMachineConfigSpec,
    VirtualMachinePowerState, VirtualMachineSnapshotInfo, VirtualNVMEController, VirtualSATAController,
    VirtualSCSIController,
};
use vsphere_soap::object::DataType;

use crate::error::{Candidate, Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::task::{self, BUSY, Task};

pub use handle::Device;
pub(crate) use seen::{Contents, DeviceChange, Seen};

/// The unit of its own bus that a SCSI controller takes where it does not say.
const SCSI_OWN_UNIT: i32 = 7;

/// The keys of what is new in a specification, which the server replaces by its own.
pub(crate) const NEW_CONTROLLER: i32 = -101;
pub(crate) const NEW_DEVICE: i32 = -102;

/// How many controllers of a kind a VM may have.
const MOST_CONTROLLERS: i32 = 4;

/// A VM's devices as they were at one moment, and what else decides how they may be changed.
#[derive(Debug, Clone)]
pub(crate) struct Devices {
    pub(crate) config: Box<VirtualMachineConfigInfo>,
    pub(crate) power_state: VirtualMachinePowerState,
    pub(crate) snapshot: Option<VirtualMachineSnapshotInfo>,
}

impl Devices {
    /// Reads them in one request.
    ///
    /// # Errors
    /// `permission` if the configuration can't be read, as on a host that is disconnected, and server errors.
    pub(crate) async fn read(machine: &Mo<VirtualMachine>) -> Result<Self> {
        let (config, power_state, snapshot) = machine.read((vm::CONFIG, vm::POWER_STATE, vm::SNAPSHOT)).await?;
        let config = config.ok_or_else(|| {
            let text = "its configuration can't be read: the VM is inaccessible, or the user may not";
            Error::new("read", ErrorKind::Unreadable(text.to_owned())).on(machine.label())
        })?;
        Ok(Self { config: Box::new(config), power_state, snapshot })
    }

    /// All of them.
    pub(crate) fn list(&self) -> &[Poly<VirtualDevice>] {
        &self.config.hardware.device
    }

    /// Those of a type of the API, or of one that extends it.
    pub(crate) fn of<T: DataType>(&self) -> impl Iterator<Item = (&Poly<VirtualDevice>, &T)> {
        self.list().iter().filter_map(|device| Some((device, device.downcast_ref::<T>()?)))
    }

    /// The device with this key.
    pub(crate) fn by_key(&self, key: i32) -> Option<&Poly<VirtualDevice>> {
        self.list().iter().find(|device| device.key == key)
    }

    /// The one device of a type that a user means by its label, in whatever case, or its key. `noun` is what it is
    /// called in messages, such as `disk`.
    ///
    /// # Errors
    /// `not_found` with what there is, or `ambiguous` if two have one label.
    pub(crate) fn choose<T: DataType>(&self, noun: &str, what: &str) -> Result<(&Poly<VirtualDevice>, &T)> {
        self.choose_where(noun, what, |_| true)
    }

    /// As [`choose`](Self::choose), among those of the type that are in question.
    pub(crate) fn choose_where<T: DataType>(
        &self,
        noun: &str,
        what: &str,
        in_question: impl Fn(&Poly<VirtualDevice>) -> bool,
    ) -> Result<(&Poly<VirtualDevice>, &T)> {
        let all: Vec<_> = self.of::<T>().filter(|(device, _)| in_question(device)).collect();
        let what = what.trim();
        let number: Option<i32> = what.parse().ok();
        let means = |device: &VirtualDevice| match number {
            Some(key) if device.key == key => true,
            _ => label(device).trim().to_lowercase() == what.to_lowercase(),
        };
        let mut fitting: Vec<_> = all.iter().copied().filter(|(device, _)| means(device)).collect();
        match (fitting.pop(), fitting.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                fitting.push(last);
                let candidate = |device: &VirtualDevice| Candidate { path: label(device), id: device.key.to_string() };
                let candidates = fitting.iter().map(|(device, _)| candidate(device)).collect();
                Err(Error::new("choose", ErrorKind::Ambiguous(candidates)))
            }
            (None, _) => {
                let there: Vec<String> =
                    all.iter().map(|(device, _)| format!("{:?} (key {})", label(device), device.key)).collect();
                Err(Error::new("choose", ErrorKind::NotFound(none(noun, what, &there))))
            }
        }
    }

    /// The lowest unit that is free on a controller; `None` where the bus is full.
    pub(crate) fn free_unit(&self, controller: &Poly<VirtualDevice>) -> Option<i32> {
        let scsi = controller.downcast_ref::<VirtualSCSIController>();
        let own = scsi.map(|scsi| scsi.scsi_ctlr_unit_number.unwrap_or(SCSI_OWN_UNIT));
        let taken = |unit: i32| {
            let on_it = |device: &&Poly<VirtualDevice>| device.controller_key == Some(controller.key);
            own == Some(unit) || self.list().iter().filter(on_it).any(|device| device.unit_number == Some(unit))
        };
        (0..self.units(controller)).find(|unit| !taken(*unit))
    }

    /// How many units the bus of a controller has.
    fn units(&self, controller: &Poly<VirtualDevice>) -> i32 {
        let hardware = self.config.version.strip_prefix("vmx-").and_then(|number| number.parse().ok()).unwrap_or(0);
        match controller {
            _ if controller.is::<ParaVirtualSCSIController>() && hardware >= 14 => 65,
            _ if controller.is::<VirtualSCSIController>() => 16,
            _ if controller.is::<VirtualIDEController>() => 2,
            _ if controller.is::<VirtualSATAController>() => 30,
            _ if controller.is::<VirtualNVMEController>() && hardware >= 21 => 64,
            _ if controller.is::<VirtualNVMEController>() => 15,
            _ => 256,
        }
    }

    /// A controller on the first bus that those of its kind leave free; `None` where there are as many as there may be.
    pub(crate) fn new_controller(&self, kind: impl Fn(&Poly<VirtualDevice>) -> bool) -> Option<VirtualController> {
        let same = self.of::<VirtualController>().filter(|(device, _)| kind(device));
        let taken: Vec<i32> = same.map(|(_, controller)| controller.bus_number).collect();
        let bus_number = (0..MOST_CONTROLLERS).find(|bus| !taken.contains(bus))?;
        let base = VirtualDevice { key: NEW_CONTROLLER, ..Default::default() };
        Some(VirtualController { base, bus_number, device: Vec::new() })
    }

    /// Whether the VM runs: some devices do not come or go then.
    pub(crate) fn is_running(&self) -> bool {
        self.power_state == VirtualMachinePowerState::PoweredOn
    }
}

fn none(noun: &str, what: &str, there: &[String]) -> String {
    if there.is_empty() {
        return format!("the VM has no {noun}");
    }
    format!("the VM has no {noun} {what:?}; give the label or the key of one of these: {}", there.join(", "))
}

/// What a reconfiguration has led to.
#[derive(Debug)]
pub(crate) struct Reconfigured {
    pub(crate) before: Devices,
    pub(crate) after: Devices,
    /// Whether there was anything to change.
    pub(crate) changed: bool,
}

impl Reconfigured {
    /// The device of a type that was not there before.
    pub(crate) fn added<T: DataType>(&self) -> Option<(&Poly<VirtualDevice>, &T)> {
        self.after.of::<T>().find(|(device, _)| self.before.by_key(device.key).is_none())
    }
}

/// Adds devices to a VM by one task, and reads them again. `plan` says what goes where, or that nothing has to change.
///
/// A VM that is busy is waited for. The plan holds for the devices that were read alone: where somebody else changes them
/// meanwhile, they are read again, and `plan` is asked again. So it is for what can be placed elsewhere, and never for a
/// device that a user has chosen: that is changed by a [`DeviceChange`].
///
/// # Errors
/// Those of `plan`, and the faults of the server with what helps against them.
pub(crate) async fn reconfigure<P>(machine: &Mo<VirtualMachine>, operation: &str, plan: P) -> Result<Reconfigured>
where
    P: Fn(&Devices) -> Result<Vec<VirtualDeviceConfigSpec>>,
{
    let plan = &plan;
    let change = machine.client().retry_while_busy(BUSY, || async move {
        let before = Devices::read(machine).await?;
        let changes = plan(&before)?;
        if changes.is_empty() {
            return Ok((before, false));
        }
        let spec = VirtualMachineConfigSpec {
            change_version: Some(before.config.change_version.clone()).filter(|version| !version.is_empty()),
            device_change: changes.into_iter().map(Poly::new).collect(),
            ..Default::default()
        };
        let task: Task<()> = task::start(machine, operation, machine.reconfig_vm_task(&spec)).await?;
        task.await?;
        Ok((before, true))
    });
    let named = |error: Error| error.in_operation(operation).on(machine.label());
    let (before, changed) = change.await.map_err(named)?;
    let after = if changed { Devices::read(machine).await.map_err(named)? } else { before.clone() };
    Ok(Reconfigured { before, after, changed })
}

/// Adds a device.
pub(crate) fn add(device: Poly<VirtualDevice>) -> VirtualDeviceConfigSpec {
    change(VirtualDeviceConfigSpecOperation::Add, device)
}

/// Makes a device that is there like this one, which has its key.
pub(crate) fn edit(device: Poly<VirtualDevice>) -> VirtualDeviceConfigSpec {
    change(VirtualDeviceConfigSpecOperation::Edit, device)
}

/// Takes a device out. What is behind it stays.
pub(crate) fn remove(device: Poly<VirtualDevice>) -> VirtualDeviceConfigSpec {
    change(VirtualDeviceConfigSpecOperation::Remove, device)
}

fn change(operation: VirtualDeviceConfigSpecOperation, device: Poly<VirtualDevice>) -> VirtualDeviceConfigSpec {
    VirtualDeviceConfigSpec { operation: Some(operation), device, ..Default::default() }
}

/// What a device is called.
pub(crate) fn label(device: &VirtualDevice) -> String {
    device.device_info.as_ref().map(|info| info.label.clone()).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use vsphere_model::types::{
        Description, VirtualDisk, VirtualHardware, VirtualLsiLogicController, VirtualSerialPort,
    };
    use vsphere_soap::object::Extends;

    use super::*;

    /// A device with a key, a label, and its controller and unit.
    pub(crate) fn device<T>(device: T, key: i32, label: &str, place: Option<(i32, i32)>) -> Poly<VirtualDevice>
    where
        T: Extends<VirtualDevice>,
    {
        let mut device = Poly::<VirtualDevice>::new(device);
        device.key = key;
        device.device_info = Some(Poly::new(Description { label: label.to_owned(), summary: String::new() }));
        device.controller_key = place.map(|(controller, _)| controller);
        device.unit_number = place.map(|(_, unit)| unit);
        device
    }

    /// The devices of a VM that is off.
    pub(crate) fn devices(version: &str, device: Vec<Poly<VirtualDevice>>) -> Devices {
        let hardware = VirtualHardware { device, ..Default::default() };
        let config = VirtualMachineConfigInfo { hardware, version: version.to_owned(), ..Default::default() };
        Devices { config: Box::new(config), power_state: VirtualMachinePowerState::PoweredOff, snapshot: None }
    }

    fn disk(key: i32, label: &str, unit: i32) -> Poly<VirtualDevice> {
        device(VirtualDisk::default(), key, label, Some((1000, unit)))
    }

    #[test]
    fn a_device_is_chosen_by_label_or_key() {
        let serial = device(VirtualSerialPort::default(), 9000, "Hard disk 7", None);
        let all = devices("vmx-21", vec![disk(2000, "Hard disk 1", 0), disk(2001, "Festplatte 2", 1), serial]);
        let key = |what: &str| all.choose::<VirtualDisk>("disk", what).map(|(device, _)| device.key);
        assert_eq!(key("hard DISK 1").unwrap(), 2000);
        assert_eq!(key(" festplatte 2 ").unwrap(), 2001);
        assert_eq!(key("2001").unwrap(), 2001);
        // Neither the number in a label, nor a device of another kind.
        for what in ["1", "Hard disk 7", "9000", "Hard disk", ""] {
            let error = key(what).unwrap_err();
            assert!(error.is_not_found(), "{what}");
            let text = error.to_string();
            assert!(text.contains("\"Hard disk 1\" (key 2000), \"Festplatte 2\" (key 2001)"), "{text}");
        }
    }

    #[test]
    fn pitfall_13_two_devices_with_one_label_are_not_guessed_among() {
        let all = devices("vmx-21", vec![disk(2000, "data", 0), disk(2001, "Data", 1)]);
        let error = all.choose::<VirtualDisk>("disk", "data").unwrap_err();
        let ids: Vec<&str> = error.candidates().iter().map(|candidate| candidate.id.as_str()).collect();
        assert_eq!((error.code(), ids), ("ambiguous", vec!["2000", "2001"]));
        let all = devices("vmx-21", vec![disk(2000, "data", 0), disk(2001, "2000", 1)]);
        let error = all.choose::<VirtualDisk>("disk", "2000").unwrap_err();
        assert_eq!((error.code(), error.candidates().len()), ("ambiguous", 2), "a label that is another one's key");
        assert_eq!(all.choose::<VirtualDisk>("disk", "2001").unwrap().0.key, 2001);
        assert_eq!(all.choose::<VirtualDisk>("disk", "data").unwrap().0.key, 2000);
    }

    #[test]
    fn the_controllers_own_unit_is_never_free() {
        let disks =
            |units: std::ops::Range<i32>| units.filter(|unit| *unit != 7).map(|unit| disk(2000 + unit, "", unit));
        let free = |version: &str, controller: Poly<VirtualDevice>, taken: std::ops::Range<i32>| {
            let all = devices(version, disks(taken).chain([controller]).collect());
            all.free_unit(all.by_key(1000).unwrap())
        };
        let lsi = || device(VirtualLsiLogicController::default(), 1000, "SCSI controller 0", None);
        let pvscsi = || device(ParaVirtualSCSIController::default(), 1000, "SCSI controller 0", None);
        assert_eq!(free("vmx-21", lsi(), 0..0), Some(0));
        assert_eq!(free("vmx-21", lsi(), 0..7), Some(8));
        assert_eq!(free("vmx-21", lsi(), 1..16), Some(0));
        assert_eq!(free("vmx-21", lsi(), 0..16), None);
        assert_eq!(free("vmx-21", pvscsi(), 0..16), Some(16));
        assert_eq!(free("vmx-13", pvscsi(), 0..16), None);
        assert_eq!(free("vmx-21", pvscsi(), 0..65), None);
        let mut moved = VirtualLsiLogicController::default();
        moved.scsi_ctlr_unit_number = Some(3);
        assert_eq!(free("vmx-21", device(moved, 1000, "", None), 0..3), Some(4));
    }
}
