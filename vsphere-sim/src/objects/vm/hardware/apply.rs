//! How the changes of devices in a specification are carried out, one after the other, on a machine's draft.

use std::collections::HashMap;

use vsphere_model::types::{
    InvalidController, InvalidDeviceBacking, InvalidDeviceOperation, InvalidDeviceSpec, InvalidVmConfig,
    MissingController, Poly, TooManyDevices, VirtualController, VirtualDevice, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecFileOperation, VirtualDeviceConfigSpecOperation, VirtualDeviceConnectInfo,
    VirtualNVMEController, VirtualSCSIController, VirtualSCSISharing,
};

use super::super::config::only_when_off;
use super::super::draft::{Draft, FileChange};
use super::describe::describe;
use super::kind::{Kind, SCSI_OWN_UNIT, key_at, own_unit, units};
use super::{disk, file_of, media, nic};
use crate::fault::{Fault, Outcome};
use crate::world::World;

/// Which change of a specification is meant: faults say so.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    /// The specification's own name in the call.
    pub(super) root: &'a str,
    pub(super) index: usize,
}

impl At<'_> {
    fn number(self) -> i32 {
        i32::try_from(self.index).unwrap_or(i32::MAX)
    }

    /// The path of a property of the device.
    pub(super) fn property(self, name: &str) -> String {
        format!("{}.deviceChange[{}].device.{name}", self.root, self.index)
    }

    fn at(self, property: &str) -> InvalidDeviceSpec {
        let property = Some(format!("virtualDeviceSpec.{property}"));
        InvalidDeviceSpec { base: InvalidVmConfig { property, ..Default::default() }, device_index: self.number() }
    }

    /// A property of the device is not possible.
    pub(super) fn invalid(self, property: &str) -> Fault {
        let fault = self.at(&format!("device.{property}"));
        Fault::new(fault, format!("Invalid configuration for device '{}'.", self.index))
    }

    /// What is behind the device is not there, or is of the wrong kind.
    pub(super) fn invalid_backing(self) -> Fault {
        let fault = InvalidDeviceBacking { base: self.at("device.backing") };
        Fault::new(fault, format!("Incompatible device backing specified for device '{}'.", self.index))
    }

    /// A device can't be treated so.
    pub(super) fn invalid_operation(self, change: &VirtualDeviceConfigSpec) -> Fault {
        let fault = InvalidDeviceOperation {
            base: self.at("operation"),
            bad_op: change.operation.clone(),
            bad_file_op: change.file_operation.clone(),
        };
        Fault::new(fault, format!("Invalid operation for device '{}'.", self.index))
    }

    fn invalid_controller(self, key: i32) -> Fault {
        let fault = InvalidController { base: self.at("device.controllerKey"), controller_key: key };
        Fault::new(fault, format!("The device '{}' is referring to a nonexisting controller '{key}'.", self.index))
    }

    fn missing_controller(self) -> Fault {
        let fault = MissingController { base: self.at("device.controllerKey") };
        Fault::new(fault, format!("The device '{}' needs a controller.", self.index))
    }

    fn too_many(self) -> Fault {
        let property = Some(format!("{}.deviceChange[{}].device", self.root, self.index));
        let fault = TooManyDevices { base: InvalidVmConfig { property, ..Default::default() } };
        Fault::new(fault, "The virtual machine has too many devices of this kind.")
    }
}

/// Carries out the changes in their order. `root` is the specification's own name in the call.
///
/// # Errors
/// `InvalidDeviceSpec` and its kin, with the number of the change; the faults of files; `InvalidPowerState`.
pub(in super::super) fn change(
    world: &mut World,
    draft: &mut Draft,
    changes: &[Poly<VirtualDeviceConfigSpec>],
    root: &str,
) -> Outcome<()> {
    // The keys that the client gave to new devices, which later changes refer to.
    let mut keys: HashMap<i32, i32> = HashMap::new();
    let mut removed: Vec<(At<'_>, i32)> = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        let at = At { root, index };
        match change.operation {
            Some(VirtualDeviceConfigSpecOperation::Add) => add(world, draft, change, at, &mut keys)?,
            Some(VirtualDeviceConfigSpecOperation::Edit) => edit(world, draft, change, at, &keys)?,
            Some(VirtualDeviceConfigSpecOperation::Remove) => {
                remove(world, draft, change, at)?;
                removed.push((at, change.device.key));
            }
            _ => return Err(at.invalid_operation(change)),
        }
    }
    // A controller may go before what hangs on it, but not without it.
    for (at, key) in removed {
        if draft.config.hardware.device.iter().any(|device| device.controller_key == Some(key)) {
            return Err(at.invalid("key"));
        }
    }
    Ok(())
}

fn add(
    world: &mut World,
    draft: &mut Draft,
    change: &VirtualDeviceConfigSpec,
    at: At<'_>,
    keys: &mut HashMap<i32, i32>,
) -> Outcome<()> {
    let mut device = change.device.clone();
    let kind = Kind::of(&device);
    if let Some(there) = there_already(draft, &device, kind) {
        keys.insert(device.key, there);
        return Ok(());
    }
    let same = draft.config.hardware.device.iter().filter(|other| Kind::of(other) == kind).count();
    if same >= kind.limit() {
        return Err(at.too_many());
    }
    let asked = device.key;
    place(draft, &mut device, kind, at, keys)?;
    only_when_off(draft.running && !is_hot(draft, &device, kind))?;
    match kind {
        Kind::Disk => disk::add(world, draft, &mut device, change, at)?,
        Kind::Nic => nic::add(world, draft, &mut device, at)?,
        _ => media::check(world, draft, &mut device, kind, at)?,
    }
    if kind.is_connectable() {
        connect(&mut device, draft.running);
    }
    describe(world, &draft.config.hardware.device, &mut device, kind);
    keys.insert(asked, device.key);
    attach(draft, &device);
    draft.config.hardware.device.push(device);
    Ok(())
}

/// The IDE controller that a new machine has anyway, where a specification adds it all the same, as many clients do.
fn there_already(draft: &Draft, device: &Poly<VirtualDevice>, kind: Kind) -> Option<i32> {
    let bus = device.downcast_ref::<VirtualController>().filter(|_| kind == Kind::Ide && draft.is_new)?.bus_number;
    let key = kind.first_key() + bus.max(0);
    draft.config.hardware.device.iter().any(|other| other.key == key).then_some(key)
}

/// Gives a new device its controller, its unit and its key.
fn place(
    draft: &Draft,
    device: &mut Poly<VirtualDevice>,
    kind: Kind,
    at: At<'_>,
    keys: &HashMap<i32, i32>,
) -> Outcome<()> {
    let devices = &draft.config.hardware.device;
    let taken = |key: i32| devices.iter().any(|other| other.key == key);
    if kind.is_controller() {
        place_controller(devices, device, kind, at)?;
    } else if kind.needs_controller() {
        let key = match device.controller_key {
            Some(key) => *keys.get(&key).unwrap_or(&key),
            // A drive that nobody placed goes where there is room, as in the machine's first days.
            None if kind == Kind::Cdrom => free_for(draft, kind).ok_or_else(|| at.missing_controller())?,
            None => return Err(at.missing_controller()),
        };
        device.controller_key = Some(key);
        let unit = check_unit(draft, device, kind, at)?;
        device.unit_number = Some(unit);
        let controller = devices.iter().find(|other| other.key == key).ok_or_else(|| at.invalid_controller(key))?;
        let bus = controller.downcast_ref::<VirtualController>().map_or(0, |controller| controller.bus_number);
        let first = match kind {
            Kind::Disk | Kind::Cdrom => key_at(Kind::of(controller), bus, unit),
            _ => kind.first_key(),
        };
        device.key = (first..).find(|key| !taken(*key)).unwrap_or(first);
        return Ok(());
    } else {
        let first = kind.first_key();
        device.key = (first..).find(|key| !taken(*key)).unwrap_or(first);
    }
    if let Some((controller, unit)) = kind.bus() {
        device.controller_key = Some(controller);
        device.unit_number = Some(unit + device.key - kind.first_key());
    }
    Ok(())
}

/// Gives a new controller its bus and its key.
fn place_controller(
    devices: &[Poly<VirtualDevice>],
    device: &mut Poly<VirtualDevice>,
    kind: Kind,
    at: At<'_>,
) -> Outcome<()> {
    let limit = i32::try_from(kind.limit()).unwrap_or(i32::MAX);
    let taken = |bus: i32| devices.iter().any(|other| other.key == kind.first_key() + bus);
    let Some(controller) = device.downcast_mut::<VirtualController>() else { return Ok(()) };
    controller.device.clear();
    if controller.bus_number < 0 || limit == 1 {
        controller.bus_number = (0..limit).find(|bus| !taken(*bus)).unwrap_or(0);
    }
    let bus = controller.bus_number;
    if bus >= limit || taken(bus) {
        return Err(at.invalid("busNumber"));
    }
    if let Some(scsi) = device.downcast_mut::<VirtualSCSIController>() {
        scsi.scsi_ctlr_unit_number = Some(SCSI_OWN_UNIT);
        scsi.hot_add_remove = Some(true);
        if scsi.shared_bus == VirtualSCSISharing::default() {
            scsi.shared_bus = VirtualSCSISharing::NoSharing;
        }
    } else if let Some(nvme) = device.downcast_mut::<VirtualNVMEController>() {
        nvme.shared_bus.get_or_insert_with(|| "noSharing".to_owned());
    }
    device.key = kind.first_key() + bus;
    Ok(())
}

/// A controller that has room for a device of this kind.
fn free_for(draft: &Draft, kind: Kind) -> Option<i32> {
    let devices = &draft.config.hardware.device;
    let fits = |controller: &&Poly<VirtualDevice>| {
        matches!(Kind::of(controller), Kind::Ide | Kind::Sata) && kind.fits(Kind::of(controller))
    };
    let has_room = |controller: &&Poly<VirtualDevice>| {
        let children = devices.iter().filter(|device| device.controller_key == Some(controller.key)).count();
        i32::try_from(children).is_ok_and(|children| children < units(controller, draft.hardware_version()))
    };
    devices.iter().filter(fits).find(has_room).map(|controller| controller.key)
}

/// The unit that a device gets on its controller: the one that it asks for, or the lowest that is free.
fn check_unit(draft: &Draft, device: &VirtualDevice, kind: Kind, at: At<'_>) -> Outcome<i32> {
    let devices = &draft.config.hardware.device;
    let key = device.controller_key.unwrap_or_default();
    let controller = devices.iter().find(|other| other.key == key && Kind::of(other).is_controller());
    let controller = controller.ok_or_else(|| at.invalid_controller(key))?;
    let of = Kind::of(controller);
    if !kind.fits(of) {
        return Err(at.invalid("controllerKey"));
    }
    let taken = |unit: i32| {
        own_unit(of) == Some(unit)
            || devices.iter().any(|other| {
                other.key != device.key && other.controller_key == Some(key) && other.unit_number == Some(unit)
            })
    };
    let all = 0..units(controller, draft.hardware_version());
    match device.unit_number.filter(|unit| *unit >= 0) {
        Some(unit) if !all.contains(&unit) || taken(unit) => Err(at.invalid("unitNumber")),
        Some(unit) => Ok(unit),
        None => all.clone().find(|unit| !taken(*unit)).ok_or_else(|| at.too_many()),
    }
}

/// Whether the device may come and go while the machine runs.
fn is_hot(draft: &Draft, device: &VirtualDevice, kind: Kind) -> bool {
    let on_ide = draft
        .config
        .hardware
        .device
        .iter()
        .any(|controller| Some(controller.key) == device.controller_key && Kind::of(controller) == Kind::Ide);
    kind.is_hot() && !on_ide
}

fn connect(device: &mut VirtualDevice, running: bool) {
    let running = running && !super::is_of_a_client(device);
    let info = device.connectable.get_or_insert_with(|| {
        Box::new(VirtualDeviceConnectInfo { start_connected: true, allow_guest_control: true, ..Default::default() })
    });
    if info.status.as_deref() == Some(super::BROKEN) {
        return;
    }
    info.connected = running && (info.connected || info.start_connected);
    info.status = Some(if info.connected { "ok" } else { "untried" }.to_owned());
}

/// Tells the controller of a device that it has it.
fn attach(draft: &mut Draft, device: &VirtualDevice) {
    let is_its = |other: &&mut Poly<VirtualDevice>| Some(other.key) == device.controller_key;
    let controller = draft.config.hardware.device.iter_mut().find(is_its);
    if let Some(controller) = controller.and_then(|controller| controller.downcast_mut::<VirtualController>()) {
        controller.device.push(device.key);
    }
}

fn detach(draft: &mut Draft, device: &VirtualDevice) {
    for controller in &mut draft.config.hardware.device {
        if let Some(controller) = controller.downcast_mut::<VirtualController>() {
            controller.device.retain(|key| *key != device.key);
        }
    }
}

fn edit(
    world: &mut World,
    draft: &mut Draft,
    change: &VirtualDeviceConfigSpec,
    at: At<'_>,
    keys: &HashMap<i32, i32>,
) -> Outcome<()> {
    let mut device = change.device.clone();
    device.key = *keys.get(&device.key).unwrap_or(&device.key);
    let position = draft.config.hardware.device.iter().position(|other| other.key == device.key);
    let position = position.ok_or_else(|| at.invalid("key"))?;
    let old = draft.config.hardware.device.get(position).cloned().ok_or_else(|| at.invalid("key"))?;
    let kind = Kind::of(&old);
    // What a device is can't be changed: it is taken out, and another put in.
    if device.type_name() != old.type_name() {
        return Err(at.invalid("key"));
    }
    device.device_info.clone_from(&old.device_info);
    device.slot_info.clone_from(&old.slot_info);
    if device.backing.is_none() {
        device.backing.clone_from(&old.backing);
    }
    if device.connectable.is_none() {
        device.connectable.clone_from(&old.connectable);
    }
    replug(draft, &mut device, &old, kind, at, keys)?;
    match kind {
        Kind::Disk => disk::edit(world, draft, &mut device, &old, change, at)?,
        Kind::Nic => nic::edit(world, draft, &mut device, &old, at)?,
        kind if kind.is_controller() => {
            if let (Some(new), Some(old)) =
                (device.downcast_mut::<VirtualController>(), old.downcast_ref::<VirtualController>())
            {
                new.device.clone_from(&old.device);
                new.bus_number = old.bus_number;
            }
        }
        _ => {
            // Of a serial port that is in use only the line can be cut.
            only_when_off(draft.running && kind == Kind::Serial && !media::is_same_port(&device, &old))?;
            media::check(world, draft, &mut device, kind, at)?;
        }
    }
    if kind.is_connectable()
        && let Some(info) = device.connectable.as_mut()
    {
        info.connected &= draft.running && info.status.as_deref() != Some(super::BROKEN);
        if info.status.as_deref() != Some(super::BROKEN) {
            info.status = Some(if info.connected { "ok" } else { "untried" }.to_owned());
        }
    }
    describe(world, &draft.config.hardware.device, &mut device, kind);
    detach(draft, &old);
    attach(draft, &device);
    if let Some(slot) = draft.config.hardware.device.get_mut(position) {
        *slot = device;
    }
    Ok(())
}

/// Moves a device to the controller and the unit that the client names, where it names others.
fn replug(
    draft: &Draft,
    device: &mut Poly<VirtualDevice>,
    old: &VirtualDevice,
    kind: Kind,
    at: At<'_>,
    keys: &HashMap<i32, i32>,
) -> Outcome<()> {
    let asked = device.controller_key.map(|key| *keys.get(&key).unwrap_or(&key));
    if !kind.needs_controller() {
        (device.controller_key, device.unit_number) = (old.controller_key, old.unit_number);
        return Ok(());
    }
    device.controller_key = asked.or(old.controller_key);
    if device.controller_key == old.controller_key && device.unit_number.is_none_or(|unit| unit < 0) {
        device.unit_number = old.unit_number;
    }
    if (device.controller_key, device.unit_number) != (old.controller_key, old.unit_number) {
        only_when_off(draft.running)?;
        device.unit_number = Some(check_unit(draft, device, kind, at)?);
    }
    Ok(())
}

fn remove(world: &World, draft: &mut Draft, change: &VirtualDeviceConfigSpec, at: At<'_>) -> Outcome<()> {
    let key = change.device.key;
    let position = draft.config.hardware.device.iter().position(|device| device.key == key);
    let position = position.ok_or_else(|| at.invalid("key"))?;
    let device = draft.config.hardware.device.get(position).cloned().ok_or_else(|| at.invalid("key"))?;
    let kind = Kind::of(&device);
    if kind.is_built_in() {
        return Err(at.invalid_operation(change));
    }
    only_when_off(draft.running && !is_hot(draft, &device, kind))?;
    match change.file_operation {
        None => {}
        Some(VirtualDeviceConfigSpecFileOperation::Destroy) if kind == Kind::Disk => {
            if let Some(file) = file_of(&device) {
                let place = world.place_among(&draft.datastores, &file.file_name)?;
                draft.files.push(FileChange::Remove(place));
            }
        }
        Some(_) => return Err(at.invalid_operation(change)),
    }
    detach(draft, &device);
    draft.config.hardware.device.remove(position);
    Ok(())
}
