//! The customization of a guest: what is to be different in it, from its next start on.

use std::net::Ipv4Addr;
use std::time::Duration;

use vsphere_model::types::{
    Any, CustomizationFixedIp, CustomizationFixedName, CustomizationLinuxPrep, CustomizationPending,
    CustomizationPrefixName, CustomizationSpec, CustomizationStartedEvent, CustomizationSucceeded,
    CustomizationSysprep, CustomizationVirtualMachineName, NicSettingMismatch, Poly, VirtualDevice,
    VirtualEthernetCard, VirtualMachineConfigInfo, VirtualMachinePowerState,
};

use super::create::usable;
use super::{Vm, config};
use crate::call::{Call, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Moref, World};

pub(super) fn task(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: CustomizationSpec = call.arg("spec")?;
    let vm = call.target.clone();
    check(world, &vm, &spec)?;
    call.task().alone_with(&vm).takes(Duration::from_millis(500)).start(world, move |world| {
        check(world, &vm, &spec)?;
        let machine = world.edit::<Vm>(&vm)?;
        record(&mut machine.config);
        machine.customization = Some(Box::new(spec));
        Ok(Any::Unset)
    })
}

/// Whether a machine can be customized now.
fn check(world: &World, vm: &Moref, spec: &CustomizationSpec) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    machine.must_not_be_template("customization")?;
    machine.must_be(&[VirtualMachinePowerState::PoweredOff], Some(VirtualMachinePowerState::PoweredOff))?;
    if let Some(host) = &machine.runtime.host {
        usable(world, host)?;
    }
    if machine.config.tools.as_ref().is_some_and(|tools| tools.pending_customization.is_some()) {
        let message = "A customization operation is already pending for the virtual machine.";
        return Err(Fault::new(CustomizationPending::default(), message));
    }
    check_adapters(spec, &machine.config.hardware.device)
}

/// Whether a customization has settings for each adapter, where it has any.
///
/// # Errors
/// `NicSettingMismatch`, as the API's reference says of `nicSettingMap`.
pub(super) fn check_adapters(spec: &CustomizationSpec, devices: &[Poly<VirtualDevice>]) -> Outcome<()> {
    let (told, has) =
        (spec.nic_setting_map.len(), devices.iter().filter(|device| device.is::<VirtualEthernetCard>()).count());
    if told == 0 || told == has {
        return Ok(());
    }
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let fault = NicSettingMismatch {
        number_of_nics_in_spec: number(told),
        number_of_nics_in_vm: number(has),
        ..Default::default()
    };
    Err(Fault::new(fault, "The number of network adapters in the specification is not that of the virtual machine."))
}

/// The option that has the path of what the guest's Tools are to carry out.
const PACKAGE: &str = "tools.deployPkg.fileName";

/// The customization waits for the next power-on, and the guest's Tools carry it out.
pub(super) fn record(config: &mut VirtualMachineConfigInfo) {
    let folder = config.files.log_directory.clone().unwrap_or_default();
    let package = format!("{folder}imcf-{:06x}", fastrand::u32(..1 << 24));
    config.tools.get_or_insert_default().pending_customization = Some(package.clone());
    config.extra_config.retain(|option| option.key != PACKAGE);
    config.extra_config.push(config::option(PACKAGE, &package));
}

/// The host name that a customization gives to a machine of this name; none where an application makes it up.
pub(super) fn host_name(spec: &CustomizationSpec, machine: &str) -> Option<String> {
    let name = if let Some(linux) = spec.identity.downcast_ref::<CustomizationLinuxPrep>() {
        &linux.host_name
    } else {
        &spec.identity.downcast_ref::<CustomizationSysprep>()?.user_data.computer_name
    };
    if name.is::<CustomizationVirtualMachineName>() {
        return Some(machine.to_owned());
    }
    if let Some(prefix) = name.downcast_ref::<CustomizationPrefixName>() {
        return Some(format!("{}-1", prefix.base_));
    }
    Some(name.downcast_ref::<CustomizationFixedName>()?.name.clone())
}

/// The guest starts, and its Tools carry out what waits: name and fixed addresses.
pub(super) fn carry_out(world: &mut World, vm: &Moref) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    let runs = machine.guest_plan.as_ref().is_some_and(|plan| plan.has_tools());
    let Some(spec) = machine.customization.clone().filter(|_| runs) else { return Ok(()) };
    let name = machine.entity.name.clone();
    let host_name = host_name(&spec, &name);
    let addresses = addresses(&spec, machine);
    let networks: Vec<Option<Moref>> = super::guest::networks(world, machine);
    let machine = world.edit::<Vm>(vm)?;
    machine.customization = None;
    if let Some(tools) = &mut machine.config.tools {
        tools.pending_customization = None;
    }
    machine.config.extra_config.retain(|option| option.key != PACKAGE);
    if let Some(plan) = &mut machine.guest_plan {
        if let Some(host_name) = host_name {
            plan.rename(&host_name);
        }
        for ((card, address), network) in addresses.into_iter().zip(networks) {
            if let (Some(address), Some(network)) = (address, network) {
                plan.lease(card, &network, address);
            }
        }
    }
    world.post(vm, "", CustomizationStartedEvent::default(), format!("Started customization of VM {name}"));
    world.post(vm, "", CustomizationSucceeded::default(), format!("Customization of VM {name} succeeded"));
    Ok(())
}

/// The keys of the adapters, each with the fixed address that it is to have.
fn addresses(spec: &CustomizationSpec, machine: &Vm) -> Vec<(i32, Option<Ipv4Addr>)> {
    let devices = machine.config.hardware.device.iter();
    let cards = devices.filter_map(|device| device.downcast_ref::<VirtualEthernetCard>());
    let of_card = |(at, card): (usize, &VirtualEthernetCard)| {
        let same = |mac: &String| card.mac_address.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(mac));
        let by_address = spec.nic_setting_map.iter().find(|setting| setting.mac_address.as_ref().is_some_and(same));
        let by_place = spec.nic_setting_map.get(at).filter(|setting| setting.mac_address.is_none());
        let fixed = by_address.or(by_place)?.adapter.ip.downcast_ref::<CustomizationFixedIp>()?;
        fixed.ip_address.parse().ok()
    };
    cards.enumerate().map(|(at, card)| (card.key, of_card((at, card)))).collect()
}
