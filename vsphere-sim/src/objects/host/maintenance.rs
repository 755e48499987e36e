//! Maintenance mode: no machine runs on the host, and none comes.

use std::time::Duration;

use vsphere_model::types::{
    Any, EnteredMaintenanceModeEvent, EnteringMaintenanceModeEvent, ExitMaintenanceModeEvent, InvalidState, Timedout,
    VirtualMachinePowerState,
};

use super::{Host, connection};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::drs;
use crate::objects::vm::Vm;
use crate::world::{Moref, World};

pub(crate) const METHODS: Methods = &[
    ("HostSystem", "EnterMaintenanceMode_Task", Handler::Write(enter)),
    ("HostSystem", "ExitMaintenanceMode_Task", Handler::Write(exit)),
];

/// The machines that run on the host.
pub(crate) fn running(world: &World, host: &Moref) -> Vec<Moref> {
    machines(world, host, runs)
}

/// The machines that keep the host from entering: those that run, and where the client wants all to go the others too, but for
/// templates.
fn in_the_way(world: &World, host: &Moref, others: bool) -> usize {
    let left = machines(world, host, |vm| runs(vm) || (others && vm.pool.is_some())).len();
    world.settings.rules.in_the_way(left)
}

fn runs(vm: &Vm) -> bool {
    vm.runtime.power_state == VirtualMachinePowerState::PoweredOn
}

/// The machines on the host that fit.
fn machines(world: &World, host: &Moref, fits: impl Fn(&Vm) -> bool) -> Vec<Moref> {
    let fitting = |vm: &&Moref| world.get::<Vm>(vm).is_ok_and(&fits);
    world.get::<Host>(host).map(|host| host.vms.iter().filter(fitting).cloned().collect()).unwrap_or_default()
}

fn invalid_state(message: &str) -> Fault {
    Fault::new(InvalidState::default(), message)
}

fn enter(world: &mut World, call: &Call) -> Outcome<Reply> {
    let seconds: i32 = call.arg("timeout")?;
    let evacuate_others: bool = call.opt("evacuatePoweredOffVms")?.unwrap_or_default();
    let (host, user) = (call.target.clone(), call.user(world));
    connection::check_reachable(world, &host)?;
    if world.get::<Host>(&host)?.runtime.in_maintenance_mode {
        return Err(invalid_state("The host is in maintenance mode already."));
    }
    let message = format!("Host {} has started to enter maintenance mode", world.entity(&host)?.name);
    let task = call.task().alone_with(&host).cancelable().hold(world)?;
    world.post(&host, &user, EnteringMaintenanceModeEvent::default(), message);
    let limit = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let reference = task.clone();
    // vMotion takes its time; what is left then must be moved or powered off by a client.
    world.later(Duration::from_secs(4), move |world| {
        drs::evacuate(world, &host, evacuate_others, &user);
        let before = in_the_way(world, &host, evacuate_others);
        let (waited_for, entered) = (host.clone(), host);
        let progress = move |world: &World| percent(before, in_the_way(world, &waited_for, evacuate_others));
        let work = Box::new(move |world: &mut World| finish_entering(world, &entered, evacuate_others, &user));
        world.finish_when(&reference, limit, progress, work);
    });
    Ok(Reply::of(task))
}

/// How far the host is when so many of the machines are left.
fn percent(before: usize, left: usize) -> i32 {
    let gone = before.saturating_sub(left);
    if left == 0 { 100 } else { i32::try_from(20 + 70 * gone / before.max(1)).unwrap_or(20) }
}

fn finish_entering(world: &mut World, host: &Moref, evacuate_others: bool, user: &str) -> Outcome<Any> {
    connection::check_reachable(world, host)?;
    if in_the_way(world, host, evacuate_others) > 0 {
        return Err(Fault::new(
            Timedout::default(),
            "The operation timed out: virtual machines are still on the host.",
        ));
    }
    world.edit::<Host>(host)?.runtime.in_maintenance_mode = true;
    connection::touch_compute(world, host);
    let message = format!("Host {} has entered maintenance mode", world.entity(host)?.name);
    world.post(host, user, EnteredMaintenanceModeEvent::default(), message);
    Ok(Any::Unset)
}

fn exit(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (host, user) = (call.target.clone(), call.user(world));
    connection::check_reachable(world, &host)?;
    let plan = call.task().alone_with(&host).takes(Duration::from_secs(1)).cancelable();
    plan.start(world, move |world| {
        connection::check_reachable(world, &host)?;
        let runtime = &mut world.edit::<Host>(&host)?.runtime;
        if !runtime.in_maintenance_mode {
            return Err(invalid_state("The host is not in maintenance mode."));
        }
        runtime.in_maintenance_mode = false;
        connection::touch_compute(world, &host);
        let message = format!("Host {} has exited maintenance mode", world.entity(&host)?.name);
        world.post(&host, &user, ExitMaintenanceModeEvent::default(), message);
        Ok(Any::Unset)
    })
}
