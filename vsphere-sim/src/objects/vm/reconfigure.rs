//! `VirtualMachine.ReconfigVM_Task`, and what follows from a change of a configuration.

use std::time::Duration;

use vsphere_model::types::{
    Any, ChangesInfoEventArgument, EntityEventArgument, VirtualEthernetCard, VirtualMachineConfigInfo,
    VirtualMachineConfigSpec, VmEventArgument, VmReconfiguredEvent, VmStaticMacConflictEvent,
};

use super::draft::Draft;
use super::{Vm, config, question, room};
use crate::call::{Call, Reply};
use crate::fault::Outcome;
use crate::objects::entity::check_rename;
use crate::world::{Moref, World};

pub(super) fn task(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: VirtualMachineConfigSpec = call.arg("spec")?;
    let vm = call.target.clone();
    let user = call.user(world);
    let question = question::before_reconfigure(world.get::<Vm>(&vm)?, &spec.device_change);
    if let Some(question) = question.filter(|_| world.busy_with(&vm).is_none()) {
        let task = call.task().alone_with(&vm).hold(world)?;
        question::ask(world, &vm, question, &task, move |world, vm, answer| {
            question::open(answer)?;
            reconfigure(world, vm, &spec, &user)?;
            Ok(Any::Unset)
        })?;
        return Ok(Reply::of(task));
    }
    call.task().alone_with(&vm).takes(Duration::from_millis(800)).start(world, move |world| {
        reconfigure(world, &vm, &spec, &user)?;
        Ok(Any::Unset)
    })
}

/// Changes a machine as the specification says, all of it or nothing, and says so in an event.
///
/// # Errors
/// As `VirtualMachine.ReconfigVM_Task`.
pub(super) fn reconfigure(world: &mut World, vm: &Moref, spec: &VirtualMachineConfigSpec, user: &str) -> Outcome<()> {
    if let Some(host) = world.host_of(vm) {
        room::must_be_connected(world, &host)?;
    }
    let name = spec.name.as_ref().filter(|name| !name.is_empty());
    if let Some(name) = name {
        check_rename(world, vm, name)?;
    }
    let mut draft = Draft::of(world, vm)?;
    config::apply(world, &mut draft, spec, "spec")?;
    let changes = differences(&world.get::<Vm>(vm)?.config, &draft.config);
    draft.commit(world, vm)?;
    if let Some(name) = name {
        world.rename(vm, name, user)?;
    }
    let event = VmReconfiguredEvent {
        config_spec: spec.clone(),
        config_changes: Some(Box::new(changes)),
        ..Default::default()
    };
    let message = format!("Reconfigured {} on {}", world.name_of(vm), host_name(world, vm));
    world.post(vm, user, event, message);
    tell_conflicts(world, vm, spec, user)
}

pub(super) fn host_name(world: &World, vm: &Moref) -> String {
    world.host_of(vm).map(|host| world.name_of(&host)).unwrap_or_default()
}

/// What is different, as the event lists it.
fn differences(old: &VirtualMachineConfigInfo, new: &VirtualMachineConfigInfo) -> ChangesInfoEventArgument {
    let mut changes = ChangesInfoEventArgument::default();
    let mut modified = Vec::new();
    let (was, is) = (&old.hardware, &new.hardware);
    if was.num_cpu != is.num_cpu {
        modified.push(format!("config.hardware.numCPU: {} -> {};", was.num_cpu, is.num_cpu));
    }
    if was.memory_mb != is.memory_mb {
        modified.push(format!("config.hardware.memoryMB: {} -> {};", was.memory_mb, is.memory_mb));
    }
    if old.name != new.name {
        modified.push(format!("config.name: \"{}\" -> \"{}\";", old.name, new.name));
    }
    if old.annotation != new.annotation {
        modified.push("config.annotation;".to_owned());
    }
    let has = |devices: &VirtualMachineConfigInfo, key| devices.hardware.device.iter().any(|device| device.key == key);
    let named = |config: &VirtualMachineConfigInfo, other: &VirtualMachineConfigInfo| {
        let only = config.hardware.device.iter().filter(|device| !has(other, device.key));
        let keys: Vec<String> = only.map(|device| format!("config.hardware.device({})", device.key)).collect();
        (!keys.is_empty()).then(|| keys.join("; "))
    };
    changes.modified = (!modified.is_empty()).then(|| modified.join(" "));
    changes.added = named(new, old);
    changes.deleted = named(old, new);
    changes
}

/// Two adapters with one address are allowed, but somebody should know.
fn tell_conflicts(world: &mut World, vm: &Moref, spec: &VirtualMachineConfigSpec, user: &str) -> Outcome<()> {
    let chosen = spec.device_change.iter().filter_map(|change| change.device.downcast_ref::<VirtualEthernetCard>());
    let manual = chosen.filter(|card| card.address_type.as_deref() == Some("manual"));
    let addresses: Vec<String> = manual.filter_map(|card| card.mac_address.clone()).collect();
    for address in addresses {
        let has_it = |other: &Vm| {
            let cards = other.config.hardware.device.iter().filter_map(|device| device.downcast_ref());
            cards.filter_map(|card: &VirtualEthernetCard| card.mac_address.as_deref()).any(|mac| mac == address)
        };
        let others = world.all::<Vm>();
        let other = others.into_iter().find(|(reference, other)| *reference != vm && has_it(other));
        let Some((other, name)) = other.map(|(other, machine)| (other.clone(), machine.entity.name.clone())) else {
            continue;
        };
        let message = format!("The static MAC address ({address}) of {} conflicts with {name}", world.name_of(vm));
        let base = EntityEventArgument { name, ..Default::default() };
        let conflicted_vm = VmEventArgument { base, vm: other };
        world.post(vm, user, VmStaticMacConflictEvent { conflicted_vm, mac: address, ..Default::default() }, message);
    }
    Ok(())
}
