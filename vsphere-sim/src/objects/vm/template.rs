//! Templates: machines that are there to be cloned, and never run.

use vsphere_model::types::{InvalidState, VirtualMachinePowerState};

use super::create::choose_host;
use super::{Vm, power};
use crate::call::{Call, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::host::Host;
use crate::objects::resource_pool::ResourcePool;
use crate::world::{Moref, World};

pub(super) fn mark_as_template(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = &call.target;
    power::must_be_idle(world, vm)?;
    let machine = world.get::<Vm>(vm)?;
    if machine.config.template {
        return Err(Fault::new(InvalidState::default(), "The virtual machine is a template already."));
    }
    machine.must_be(&[VirtualMachinePowerState::PoweredOff], None)?;
    to_template(world, vm)?;
    Ok(Reply::NONE)
}

/// A machine becomes a template: it leaves its pool, and its configuration file gets another ending.
///
/// # Errors
/// `ManagedObjectNotFound`, and the faults of files.
pub(crate) fn to_template(world: &mut World, vm: &Moref) -> Outcome<()> {
    rename_file(world, vm, "vmtx")?;
    let machine = world.edit::<Vm>(vm)?;
    machine.config.template = true;
    if let Some(pool) = machine.pool.take() {
        world.edit::<ResourcePool>(&pool)?.vms.retain(|other| other != vm);
    }
    Ok(())
}

pub(super) fn mark_as_machine(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = &call.target;
    let (pool, host): (Moref, Option<Moref>) = (call.arg("pool")?, call.opt("host")?);
    power::must_be_idle(world, vm)?;
    let machine = world.get::<Vm>(vm)?;
    if !machine.config.template {
        return Err(Fault::new(InvalidState::default(), "The virtual machine is not a template."));
    }
    let current = machine.runtime.host.clone();
    // It stays where it is registered, where that is in the pool's reach.
    let owner = world.get::<ResourcePool>(&pool)?.owner.clone();
    let stays =
        current.clone().filter(|host| world.entity(host).is_ok_and(|host| host.parent.as_ref() == Some(&owner)));
    let home = world.vmx_of(vm)?.datastore;
    let host = choose_host(world, &pool, host.or(stays).as_ref(), &[home])?;
    rename_file(world, vm, "vmx")?;
    let machine = world.edit::<Vm>(vm)?;
    machine.config.template = false;
    machine.pool = Some(pool.clone());
    machine.runtime.host = Some(host.clone());
    world.edit::<ResourcePool>(&pool)?.vms.push(vm.clone());
    if current.as_ref() != Some(&host) {
        if let Some(old) = current.and_then(|old| world.edit::<Host>(&old).ok()) {
            old.vms.retain(|other| other != vm);
        }
        world.edit::<Host>(&host)?.vms.push(vm.clone());
    }
    Ok(Reply::NONE)
}

/// Gives the configuration file another ending.
fn rename_file(world: &mut World, vm: &Moref, ending: &str) -> Outcome<()> {
    let old = world.vmx_of(vm)?;
    let new = old.beside(&format!("{}.{ending}", old.stem()));
    if new != old {
        world.datastore_of(&old)?.rename(&old.path, &new.path)?;
        let text = world.place_text(&new);
        world.edit::<Vm>(vm)?.config.files.vm_path_name = Some(text);
    }
    Ok(())
}
