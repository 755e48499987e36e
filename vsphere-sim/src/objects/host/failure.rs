//! A host that fails, as by a loss of power, and comes back; and what HA makes of it.

use std::time::Duration;

use vsphere_model::types::{
    DasHostFailedEvent, HostEventArgument, HostSystemConnectionState, HostSystemPowerState, LocalizedMethodFault,
    VirtualMachineConnectionState, VirtualMachinePowerState, VmFailoverFailed, VmRestartedOnAlternateHostEvent,
};

use super::{Host, connection, maintenance, power};
use crate::fault::Outcome;
use crate::objects::compute::Compute;
use crate::objects::vm::{self, Vm};
use crate::world::{Moref, World};

/// How long HA looks at a silent host before it restarts the machines elsewhere.
const DECLARED_DEAD: Duration = Duration::from_secs(30);

/// The host is gone without a word. Of its machines vCenter knows only what it knew last, until HA restarts them elsewhere,
/// or the host is back.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn fail(world: &mut World, host: &Moref) -> Outcome<()> {
    if world.get::<Host>(host)?.runtime.power_state == HostSystemPowerState::Unknown {
        return Ok(());
    }
    power::fall_silent(world, host, HostSystemPowerState::Unknown)?;
    let Some((cluster, _)) = world.nearest::<Compute>(host).filter(|(_, compute)| compute.has_ha()) else {
        return Ok(());
    };
    let failed = host.clone();
    world.later(DECLARED_DEAD, move |world| fail_over(world, &cluster, &failed));
    Ok(())
}

/// Somebody has disconnected the host.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn disconnect(world: &mut World, host: &Moref) -> Outcome<()> {
    connection::set_connection(world, host, HostSystemConnectionState::Disconnected)
}

/// The cluster of the host counts again what it has.
pub(crate) fn noticed(world: &mut World, host: &Moref) {
    connection::touch_compute(world, host);
}

/// The host has power again, and starts.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn recover(world: &mut World, host: &Moref) -> Outcome<()> {
    if world.get::<Host>(host)?.runtime.power_state != HostSystemPowerState::Unknown {
        return Ok(());
    }
    // What nobody has restarted elsewhere has lost its power with the host.
    for vm in maintenance::running(world, host) {
        vm::power::stop(world, &vm, VirtualMachinePowerState::PoweredOff, Some(false))?;
    }
    power::come_up(world, host);
    Ok(())
}

/// HA restarts the machines of a host that is still gone.
fn fail_over(world: &mut World, cluster: &Moref, host: &Moref) {
    let gone = |found: &Host| found.runtime.connection_state == HostSystemConnectionState::NotResponding;
    if !world.get::<Host>(host).is_ok_and(gone) {
        return;
    }
    let name = world.name_of(host);
    let mut failed_host = HostEventArgument { host: host.clone(), ..Default::default() };
    failed_host.name.clone_from(&name);
    let event = DasHostFailedEvent { failed_host: failed_host.clone(), ..Default::default() };
    world.post(cluster, "", event, format!("vSphere HA detected that host {name} failed"));
    for vm in maintenance::running(world, host) {
        match restart(world, &vm) {
            Ok(to) => {
                let to = world.name_of(&to);
                let message = format!("vSphere HA restarted {} on host {to}, from host {name}", world.name_of(&vm));
                let event = VmRestartedOnAlternateHostEvent { source_host: failed_host.clone(), ..Default::default() };
                world.post(&vm, "", event, message);
            }
            Err(fault) => {
                let reason: LocalizedMethodFault = fault.localized();
                let event = VmFailoverFailed { reason: Some(Box::new(reason)), ..Default::default() };
                world.post(&vm, "", event, format!("vSphere HA could not restart {}", world.name_of(&vm)));
            }
        }
    }
}

/// Starts a machine on another host of its cluster; answers which. Where there is none, it stays as it is.
fn restart(world: &mut World, vm: &Moref) -> Outcome<Moref> {
    let to = vm::elsewhere(world, vm)?;
    vm::power::stop(world, vm, VirtualMachinePowerState::PoweredOff, Some(false))?;
    world.edit::<Vm>(vm)?.runtime.connection_state = VirtualMachineConnectionState::Connected;
    vm::power::boot(world, vm, &to)?;
    Ok(to)
}
