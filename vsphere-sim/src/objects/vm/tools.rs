//! VMware Tools of a machine, and the upgrade of its virtual hardware.

use std::time::Duration;

use vsphere_model::types::VirtualMachinePowerState::{PoweredOff, PoweredOn};
use vsphere_model::types::{
    AlreadyUpgraded, Any, GenericVmConfigFault, Poly, VirtualCdrom, VirtualCdromIsoBackingInfo,
    VirtualCdromRemotePassthroughBackingInfo, VirtualDevice, VirtualDeviceConnectInfo, VirtualDeviceFileBackingInfo,
    VmUpgradeCompleteEvent, VmUpgradingEvent,
};

use super::Vm;
use super::guest::{Tools, is_windows};
use super::power::place;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Moref, World};

pub(crate) const METHODS: Methods = &[
    ("VirtualMachine", "MountToolsInstaller", Handler::Write(mount)),
    ("VirtualMachine", "UnmountToolsInstaller", Handler::Write(unmount)),
    ("VirtualMachine", "UpgradeTools_Task", Handler::Write(upgrade_tools)),
    ("VirtualMachine", "UpgradeVM_Task", Handler::Write(upgrade_hardware)),
    ("VirtualMachine", "ResetGuestInformation", Handler::Write(reset_guest_information)),
];

/// How long each takes on a real server.
const UPGRADE_TOOLS: Duration = Duration::from_secs(20);
const UPGRADE_HARDWARE: Duration = Duration::from_millis(500);

fn mount(world: &mut World, call: &Call) -> Outcome<Reply> {
    let machine = running(world, &call.target)?;
    let image = if is_windows(&machine.config.guest_id) { "windows.iso" } else { "linux.iso" };
    let image = format!("[] /vmimages/tools-isoimages/{image}");
    let machine = world.edit::<Vm>(&call.target)?;
    let Some(drive) = drives(machine).next() else {
        let reason = "The virtual machine has no CD-ROM drive to put the Tools installer in.".to_owned();
        return Err(Fault::new(GenericVmConfigFault { reason: reason.clone(), ..Default::default() }, reason));
    };
    let file = VirtualDeviceFileBackingInfo { file_name: image, ..Default::default() };
    drive.backing = Some(Poly::new(VirtualCdromIsoBackingInfo { base: file }));
    plug(drive, true);
    machine.runtime.tools_installer_mounted = true;
    Ok(Reply::NONE)
}

fn unmount(world: &mut World, call: &Call) -> Outcome<Reply> {
    running(world, &call.target)?;
    let machine = world.edit::<Vm>(&call.target)?;
    if !machine.runtime.tools_installer_mounted {
        return Ok(Reply::NONE);
    }
    machine.runtime.tools_installer_mounted = false;
    let is_installer = |drive: &VirtualDevice| {
        let image = drive.backing.as_ref().and_then(|backing| backing.downcast_ref::<VirtualCdromIsoBackingInfo>());
        image.is_some_and(|image| image.file_name.starts_with("[] /vmimages/"))
    };
    if let Some(drive) = drives(machine).find(|drive| is_installer(drive)) {
        drive.backing = Some(Poly::new(VirtualCdromRemotePassthroughBackingInfo::default()));
        plug(drive, false);
    }
    Ok(Reply::NONE)
}

fn drives(machine: &mut Vm) -> impl Iterator<Item = &mut VirtualDevice> {
    let devices = machine.config.hardware.device.iter_mut();
    devices.filter(|device| device.is::<VirtualCdrom>()).map(|device| &mut **device)
}

fn plug(drive: &mut VirtualDevice, connected: bool) {
    let connectable = drive
        .connectable
        .get_or_insert_with(|| Box::new(VirtualDeviceConnectInfo { allow_guest_control: true, ..Default::default() }));
    connectable.connected = connected;
    connectable.status = Some("ok".to_owned());
}

/// The machine, which must be running.
fn running<'a>(world: &'a World, vm: &Moref) -> Outcome<&'a Vm> {
    let machine = world.get::<Vm>(vm)?;
    machine.must_be(&[PoweredOn], Some(PoweredOn))?;
    Ok(machine)
}

fn upgrade_tools(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let checked = running(world, &vm).and_then(Vm::must_have_tools);
    let takes = if checked.is_ok() { UPGRADE_TOOLS } else { Duration::ZERO };
    call.task().alone_with(&vm).takes(takes).start(world, move |world| {
        running(world, &vm)?.must_have_tools()?;
        let machine = world.edit::<Vm>(&vm)?;
        // The Tools of a distribution are its own business.
        if machine.guest_plan.as_ref().is_some_and(|plan| plan.tools == Tools::Open) {
            return Err(Fault::not_supported("upgrade of the Tools that the guest's distribution manages"));
        }
        machine.install_tools(Tools::Current);
        machine.runtime.tools_installer_mounted = false;
        Ok(Any::Unset)
    })
}

/// The newest virtual hardware that this version of the server makes.
pub(crate) fn newest_hardware(world: &World) -> u32 {
    let version: Vec<u32> = world.settings.version.split('.').map_while(|part| part.parse().ok()).collect();
    match version[..] {
        [major, ..] if major >= 9 => 22,
        [8, 0, 0 | 1, ..] => 20,
        [8, ..] => 21,
        [7, 0, 0, ..] => 17,
        [7, 0, 1, ..] => 18,
        [7, ..] => 19,
        [6, 7, ..] => 14,
        [6, 5, ..] => 13,
        _ => 11,
    }
}

/// The number in `vmx-22`.
fn hardware_number(version: &str) -> Option<u32> {
    version.strip_prefix("vmx-")?.parse().ok()
}

fn upgrade_hardware(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let asked: Option<String> = call.opt("version")?;
    let user = call.user(world);
    let newest = newest_hardware(world);
    let to = match &asked {
        Some(version) => hardware_number(version).ok_or_else(|| Fault::invalid_argument("version"))?,
        None => newest,
    };
    if to > newest {
        return Err(Fault::not_supported(&format!("virtual hardware vmx-{to}, for vmx-{newest} is the newest here")));
    }
    let checked = may_upgrade(world, &vm, to);
    let takes = if checked.is_ok() { UPGRADE_HARDWARE } else { Duration::ZERO };
    call.task().alone_with(&vm).takes(takes).start(world, move |world| {
        may_upgrade(world, &vm, to)?;
        let version = format!("vmx-{to:02}");
        let place = place(world, &vm);
        let upgrading = VmUpgradingEvent { version: version.clone(), ..Default::default() };
        world.post(&vm, &user, upgrading, format!("Upgrading virtual hardware on {place} to {version}"));
        let now = world.now();
        let machine = world.edit::<Vm>(&vm)?;
        machine.config.version.clone_from(&version);
        machine.guest.hw_version = Some(version.clone());
        machine.config.modified = now;
        let complete = VmUpgradeCompleteEvent { version: version.clone(), ..Default::default() };
        world.post(&vm, &user, complete, format!("Virtual machine compatibility for {place} upgraded to {version}"));
        Ok(Any::Unset)
    })
}

fn may_upgrade(world: &World, vm: &Moref, to: u32) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    machine.must_be(&[PoweredOff], Some(PoweredOff))?;
    if hardware_number(&machine.config.version).is_some_and(|now| now >= to) {
        let message = "Virtual machine has already been upgraded to this version of the virtual hardware.";
        return Err(Fault::new(AlreadyUpgraded::default(), message));
    }
    Ok(())
}

/// Forgets what is known of a guest that doesn't run; it is asked anew at its next start.
fn reset_guest_information(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.get::<Vm>(&call.target)?.must_be(&[PoweredOff], Some(PoweredOff))?;
    let machine = world.edit::<Vm>(&call.target)?;
    machine.guest = vsphere_model::types::GuestInfo::default();
    machine.guest_stops();
    Ok(Reply::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_version_has_a_number() {
        assert_eq!(hardware_number("vmx-09"), Some(9));
        assert_eq!(hardware_number("vmx-x"), None);
    }
}
