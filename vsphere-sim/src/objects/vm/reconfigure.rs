//! `VirtualMachine.ReconfigVM_Task`, and what follows from a change of a configuration.

use std::time::Duration;

use vsphere_model::types::{
    Any, ChangesInfoEventArgument, EntityEventArgument, VirtualEthernetCard, VirtualMachineConfigInfo,
    VirtualMachineConfigSpec, VmEventArgument, VmReconfiguredEvent, VmStaticMacConflictEvent,
};

use super::draft::Draft;
use super::{Vm, config, question, room};
use crate::call::{Call, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::entity::check_rename;
use crate::world::{Moref, World};

pub(super) fn task(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: VirtualMachineConfigSpec = call.arg("spec")?;
    let vm = call.target.clone();
    check_template(world.get::<Vm>(&vm)?, &spec)?;
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

/// Of a template only the name and the notes can be changed.
fn check_template(machine: &Vm, spec: &VirtualMachineConfigSpec) -> Outcome<()> {
    let allowed = VirtualMachineConfigSpec {
        change_version: spec.change_version.clone(),
        name: spec.name.clone(),
        annotation: spec.annotation.clone(),
        ..Default::default()
    };
    if machine.config.template && *spec != allowed {
        return Err(Fault::not_supported("change of a template but of its name and notes"));
    }
    Ok(())
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
    let listed = |text: &Option<String>| text.clone().unwrap_or_default();
    let message = format!(
        "Reconfigured {} on {}.  \n \nModified:  \n \n{} \n \n Added:  \n \n{} \n \n Deleted:  \n \n{}",
        world.name_of(vm),
        host_name(world, vm),
        listed(&changes.modified),
        listed(&changes.added),
        listed(&changes.deleted)
    );
    let event = VmReconfiguredEvent {
        config_spec: spec.clone(),
        config_changes: Some(Box::new(changes)),
        ..Default::default()
    };
    world.post(vm, user, event, message);
    tell_conflicts(world, vm, spec, user)
}

pub(super) fn host_name(world: &World, vm: &Moref) -> String {
    world.host_of(vm).map(|host| world.name_of(&host)).unwrap_or_default()
}

/// What is different, as the event lists it: a path and the values of each change.
fn differences(old: &VirtualMachineConfigInfo, new: &VirtualMachineConfigInfo) -> ChangesInfoEventArgument {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let known = |config: &VirtualMachineConfigInfo| {
        let hot_add = |is_on: Option<bool>| is_on.map_or("<unset>".to_owned(), |is_on| is_on.to_string());
        [
            ("config.hardware.numCPU", config.hardware.num_cpu.to_string()),
            ("config.hardware.memoryMB", config.hardware.memory_mb.to_string()),
            ("config.name", quoted(&config.name)),
            ("config.annotation", quoted(config.annotation.as_deref().unwrap_or_default())),
            ("config.cpuHotAddEnabled", hot_add(config.cpu_hot_add_enabled)),
            ("config.memoryHotAddEnabled", hot_add(config.memory_hot_add_enabled)),
        ]
    };
    let both = known(old).into_iter().zip(known(new));
    let modified = both.filter(|((_, was), (_, is))| was != is);
    let modified: Vec<String> = modified.map(|((path, was), (_, is))| format!("{path}: {was} -> {is}; ")).collect();
    let has = |config: &VirtualMachineConfigInfo, key| config.hardware.device.iter().any(|device| device.key == key);
    let only = |config: &VirtualMachineConfigInfo, other: &VirtualMachineConfigInfo| {
        let only = config.hardware.device.iter().filter(|device| !has(other, device.key));
        let told = only.map(|device| {
            let info = device.device_info.as_ref();
            let (label, summary) = info.map_or(("", ""), |info| (info.label.as_str(), info.summary.as_str()));
            let info = format!("(label = {}, summary = {})", quoted(label), quoted(summary));
            format!("config.hardware.device({0}): (key = {0}, deviceInfo = {info}); ", device.key)
        });
        lines(&told.collect::<Vec<_>>())
    };
    ChangesInfoEventArgument { modified: lines(&modified), added: only(new, old), deleted: only(old, new) }
}

fn lines(entries: &[String]) -> Option<String> {
    (!entries.is_empty()).then(|| entries.join("\n\n"))
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
