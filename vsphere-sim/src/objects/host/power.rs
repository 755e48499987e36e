//! How a host restarts, goes off, sleeps and wakes.

use std::time::Duration;

use vsphere_model::types::{
    Any, EnteredStandbyModeEvent, EnteringStandbyModeEvent, ExitedStandbyModeEvent, HostConnectedEvent,
    HostConnectionLostEvent, HostRuntimeInfo, HostShutdownEvent, HostSystemConnectionState, HostSystemPowerState,
    InvalidState, Timedout, VirtualMachinePowerState,
};

use super::{Host, connection, maintenance};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::drs;
use crate::objects::vm;
use crate::world::{Moref, World};

pub(crate) const METHODS: Methods = &[
    ("HostSystem", "RebootHost_Task", Handler::Write(reboot)),
    ("HostSystem", "ShutdownHost_Task", Handler::Write(shutdown)),
    ("HostSystem", "PowerDownHostToStandBy_Task", Handler::Write(stand_by)),
    ("HostSystem", "PowerUpHostFromStandBy_Task", Handler::Write(wake)),
];

/// How long a server needs until its hypervisor answers again.
const BOOT: Duration = Duration::from_secs(4 * 60);

/// Whether the machine itself is on.
pub(super) fn is_on(runtime: &HostRuntimeInfo) -> bool {
    runtime.power_state == HostSystemPowerState::PoweredOn
}

fn invalid_state(message: &str) -> Fault {
    Fault::new(InvalidState::default(), message)
}

/// Whether the host may go down: forced, or while no machine can run on it.
fn check(world: &World, host: &Moref, force: bool) -> Outcome<()> {
    connection::check_reachable(world, host)?;
    if !force && !world.get::<Host>(host)?.runtime.in_maintenance_mode {
        let message = "The operation is not allowed in the current state: enter maintenance mode first, or force it.";
        return Err(invalid_state(message));
    }
    Ok(())
}

fn reboot(world: &mut World, call: &Call) -> Outcome<Reply> {
    down(world, call, "reboot", HostSystemPowerState::Unknown)
}

fn shutdown(world: &mut World, call: &Call) -> Outcome<Reply> {
    down(world, call, "shut down", HostSystemPowerState::PoweredOff)
}

/// The task ends when the host has begun to go down. What is then is seen in its state alone.
fn down(world: &mut World, call: &Call, what: &'static str, power: HostSystemPowerState) -> Outcome<Reply> {
    let force: bool = call.arg("force")?;
    let (host, user) = (call.target.clone(), call.user(world));
    check(world, &host, force)?;
    call.task().alone_with(&host).takes(Duration::from_secs(5)).start(world, move |world| {
        check(world, &host, force)?;
        let name = world.entity(&host)?.name.clone();
        let event = HostShutdownEvent { reason: format!("{what} by {user}"), ..Default::default() };
        world.post(&host, &user, event, format!("Shut down of {name}: {what} by {user}"));
        let comes_back = power == HostSystemPowerState::Unknown;
        go_down(world, &host, power)?;
        if comes_back {
            world.later(BOOT, move |world| come_up(world, &host));
        }
        Ok(Any::Unset)
    })
}

/// The host's machines lose their power, and vCenter loses the host.
fn go_down(world: &mut World, host: &Moref, power: HostSystemPowerState) -> Outcome<()> {
    for vm in maintenance::running(world, host) {
        vm::power::stop(world, &vm, VirtualMachinePowerState::PoweredOff, Some(false))?;
    }
    fall_silent(world, host, power)
}

/// vCenter loses the host.
pub(super) fn fall_silent(world: &mut World, host: &Moref, power: HostSystemPowerState) -> Outcome<()> {
    world.edit::<Host>(host)?.runtime.power_state = power;
    connection::set_connection(world, host, HostSystemConnectionState::NotResponding)?;
    let message = format!("Host {} is not responding", world.entity(host)?.name);
    world.post(host, "", HostConnectionLostEvent::default(), message);
    Ok(())
}

/// The host has started again; unless it was removed meanwhile.
pub(super) fn come_up(world: &mut World, host: &Moref) {
    let now = world.now();
    let Ok(found) = world.edit::<Host>(host) else { return };
    found.runtime.power_state = HostSystemPowerState::PoweredOn;
    found.runtime.boot_time = Some(now);
    found.services.boot();
    // One that was disconnected meanwhile is left so.
    if found.runtime.connection_state != HostSystemConnectionState::NotResponding {
        return;
    }
    let name = found.entity.name.clone();
    if connection::set_connection(world, host, HostSystemConnectionState::Connected).is_ok() {
        world.post(host, "", HostConnectedEvent::default(), format!("Established a connection to host {name}"));
    }
}

fn stand_by(world: &mut World, call: &Call) -> Outcome<Reply> {
    let evacuate_others: bool = call.opt("evacuatePoweredOffVms")?.unwrap_or_default();
    let seconds: i32 = call.arg("timeoutSec")?;
    let (host, user) = (call.target.clone(), call.user(world));
    connection::check_reachable(world, &host)?;
    let task = call.task().alone_with(&host).cancelable().hold(world)?;
    let message = format!("Host {} is entering standby mode", world.entity(&host)?.name);
    world.post(&host, &user, EnteringStandbyModeEvent::default(), message);
    let limit = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let reference = task.clone();
    world.later(Duration::from_secs(10), move |world| {
        drs::evacuate(world, &host, evacuate_others, &user);
        let (waited_for, asleep) = (host.clone(), host);
        let progress = move |world: &World| if maintenance::running(world, &waited_for).is_empty() { 100 } else { 20 };
        let work = Box::new(move |world: &mut World| fall_asleep(world, &asleep, &user));
        world.finish_when(&reference, limit, progress, work);
    });
    Ok(Reply::of(task))
}

fn fall_asleep(world: &mut World, host: &Moref, user: &str) -> Outcome<Any> {
    connection::check_reachable(world, host)?;
    if !maintenance::running(world, host).is_empty() {
        world.edit::<Host>(host)?.runtime.standby_mode = Some("none".to_owned());
        return Err(Fault::new(Timedout::default(), "The operation timed out: machines still run on the host."));
    }
    let runtime = &mut world.edit::<Host>(host)?.runtime;
    runtime.power_state = HostSystemPowerState::StandBy;
    runtime.standby_mode = Some("in".to_owned());
    connection::set_connection(world, host, HostSystemConnectionState::NotResponding)?;
    let message = format!("Host {} is in standby mode", world.entity(host)?.name);
    world.post(host, user, EnteredStandbyModeEvent::default(), message);
    Ok(Any::Unset)
}

fn wake(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (host, user) = (call.target.clone(), call.user(world));
    call.task().alone_with(&host).takes(BOOT).cancelable().start(world, move |world| {
        let runtime = &mut world.edit::<Host>(&host)?.runtime;
        if runtime.power_state != HostSystemPowerState::StandBy {
            return Err(invalid_state("The host is not in standby mode."));
        }
        runtime.standby_mode = Some("none".to_owned());
        come_up(world, &host);
        let message = format!("Host {} has exited standby mode", world.entity(&host)?.name);
        world.post(&host, &user, ExitedStandbyModeEvent::default(), message);
        Ok(Any::Unset)
    })
}
