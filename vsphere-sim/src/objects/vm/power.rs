//! The power of virtual machines: on, off, suspended, reset, and what their guests are asked to do.

use std::time::Duration;

use vsphere_model::registry;
use vsphere_model::types::{
    Any, ClusterAttemptedVmInfo, ClusterNotAttemptedVmInfo, ClusterPowerOnVmResult, DateTime, DrsVmPoweredOnEvent,
    InvalidPowerState, TaskInProgress, ToolsUnavailable, VirtualMachineConnectionState, VirtualMachineGuestState,
    VirtualMachinePowerState, VirtualMachineRuntimeInfoDasProtectionState, VmGuestRebootEvent, VmGuestShutdownEvent,
    VmGuestStandbyEvent, VmPoweredOffEvent, VmPoweredOnEvent, VmResettingEvent, VmResumingEvent, VmStartingEvent,
    VmStoppingEvent, VmSuspendedEvent, VmSuspendingEvent,
};

use super::draft::{FileChange, carry_out};
use super::guest::{self, Start};
use super::keys::Press;
use super::{Vm, application, hardware, question, room};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::datacenter::Datacenter;
use crate::objects::host::Host;
use crate::world::{Moref, World};

pub(crate) const METHODS: Methods = &[
    ("VirtualMachine", "PowerOnVM_Task", Handler::Write(power_on)),
    ("VirtualMachine", "PowerOffVM_Task", Handler::Write(power_off)),
    ("VirtualMachine", "SuspendVM_Task", Handler::Write(suspend)),
    ("VirtualMachine", "ResetVM_Task", Handler::Write(reset)),
    ("VirtualMachine", "TerminateVM", Handler::Write(terminate)),
    ("VirtualMachine", "ShutdownGuest", Handler::Write(shutdown_guest)),
    ("VirtualMachine", "RebootGuest", Handler::Write(reboot_guest)),
    ("VirtualMachine", "StandbyGuest", Handler::Write(standby_guest)),
    ("Datacenter", "PowerOnMultiVM_Task", Handler::Write(power_on_several)),
];

/// How long each takes on a real server.
const POWER_ON: Duration = Duration::from_millis(1500);
const POWER_OFF: Duration = Duration::from_millis(700);
const SUSPEND: Duration = Duration::from_secs(3);
const RESET: Duration = Duration::from_secs(1);
const GUEST_STOPS: Duration = Duration::from_secs(3);
const GUEST_RESTARTS: Duration = Duration::from_secs(1);

use VirtualMachinePowerState::{PoweredOff, PoweredOn, Suspended};

/// What is kept of a machine's life besides what clients see.
#[derive(Default)]
pub(crate) struct Life {
    /// Counts the runs: what a guest was about to do in one is dropped when another has begun.
    pub(super) turn: u32,
    /// A power-on that waits for an answer.
    pub(super) asked: Option<question::Asked>,
    /// The id of the last snapshot that was taken.
    pub(super) last_snapshot: i32,
    /// What was typed on its console since it started.
    pub(super) typed: Vec<Press>,
}

impl Life {
    /// Which run of the machine this is.
    pub(crate) fn turn(&self) -> u32 {
        self.turn
    }
}

impl Vm {
    pub(crate) fn is_on(&self) -> bool {
        self.runtime.power_state == PoweredOn
    }

    /// Whether it is in one of these states, as an operation needs it.
    ///
    /// # Errors
    /// `InvalidPowerState`, which says where the operation would have led.
    pub(crate) fn must_be(
        &self,
        states: &[VirtualMachinePowerState],
        requested: Option<VirtualMachinePowerState>,
    ) -> Outcome<()> {
        let existing = &self.runtime.power_state;
        if states.contains(existing) {
            return Ok(());
        }
        let shown = match existing {
            PoweredOn => "Powered on",
            Suspended => "Suspended",
            _ => "Powered off",
        };
        let message = format!("The attempted operation cannot be performed in the current state ({shown}).");
        let fault =
            InvalidPowerState { requested_state: requested, existing_state: existing.clone(), ..Default::default() };
        Err(Fault::new(fault, message))
    }

    /// # Errors
    /// `NotSupported` for a template, which can't run.
    pub(super) fn must_not_be_template(&self, operation: &str) -> Outcome<()> {
        if self.config.template { Err(Fault::not_supported(&format!("{operation} of a template"))) } else { Ok(()) }
    }
}

/// Whether nothing speaks against it that can be known before.
fn check(world: &World, vm: &Moref, from: &[VirtualMachinePowerState], to: VirtualMachinePowerState) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    machine.must_not_be_template("change of the power state")?;
    machine.must_be(from, Some(to))?;
    match &machine.runtime.host {
        Some(host) => room::must_be_connected(world, host),
        None => Ok(()),
    }
}

/// A task takes its time, but one that can't succeed ends at once.
fn unless_refused<T>(checked: &Outcome<T>, takes: Duration) -> Duration {
    if checked.is_ok() { takes } else { Duration::ZERO }
}

fn power_on(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let host: Option<Moref> = call.opt("host")?;
    let user = call.user(world);
    let checked = may_power_on(world, &vm, host.as_ref());
    if checked.is_ok() && world.busy_with(&vm).is_none() {
        announce_power_on(world, &vm, &user);
        if let Some(question) = question::before_power_on(world.get::<Vm>(&vm)?) {
            let task = call.task().alone_with(&vm).hold(world)?;
            question::ask(world, &vm, question, &task, move |world, vm, answer| {
                question::settle(world, vm, answer)?;
                turn_on(world, vm, host.as_ref(), &user)
            })?;
            return Ok(Reply::of(task));
        }
    }
    let takes = unless_refused(&checked, POWER_ON);
    call.task().alone_with(&vm).takes(takes).start(world, move |world| turn_on(world, &vm, host.as_ref(), &user))
}

/// The host that a machine would run on.
fn may_power_on(world: &World, vm: &Moref, host: Option<&Moref>) -> Outcome<Moref> {
    let machine = world.get::<Vm>(vm)?;
    machine.must_not_be_template("power-on")?;
    machine.must_be(&[PoweredOff, Suspended], Some(PoweredOn))?;
    if machine.runtime.power_state == PoweredOff {
        application::check_power_on(&machine.config)?;
    }
    room::choose(world, vm, host)
}

fn announce_power_on(world: &mut World, vm: &Moref, user: &str) {
    let Ok(machine) = world.get::<Vm>(vm) else { return };
    let (suspended, place) = (machine.runtime.power_state == Suspended, place(world, vm));
    if suspended {
        world.post(vm, user, VmResumingEvent::default(), format!("{place} is resumed"));
    } else {
        world.post(vm, user, VmStartingEvent::default(), format!("{place} is starting"));
    }
}

/// As events name a machine: `web-1 on esx-2 in DC0`.
pub(super) fn place(world: &World, vm: &Moref) -> String {
    let host = world.host_of(vm).map(|host| format!(" on {}", world.name_of(&host))).unwrap_or_default();
    let datacenter = world.nearest::<Datacenter>(vm);
    let datacenter = datacenter.map(|(at, _)| format!(" in {}", world.name_of(&at))).unwrap_or_default();
    format!("{}{host}{datacenter}", world.name_of(vm))
}

/// Powers a machine on, or resumes it.
pub(crate) fn turn_on(world: &mut World, vm: &Moref, host: Option<&Moref>, user: &str) -> Outcome<Any> {
    let host = may_power_on(world, vm, host)?;
    let how = if world.get::<Vm>(vm)?.runtime.power_state == Suspended { Start::Wake } else { Start::Boot };
    run(world, vm, &host, how)?;
    let message = format!("{} is powered on", place(world, vm));
    if room::is_balanced(world, vm) {
        world.post(vm, user, DrsVmPoweredOnEvent::default(), message);
    } else {
        world.post(vm, user, VmPoweredOnEvent::default(), message);
    }
    Ok(Any::Unset)
}

/// A machine of a model has run since this time, on the host that it is registered with. No event is posted.
///
/// # Errors
/// `ManagedObjectNotFound`, `NoDiskSpace`.
pub(crate) fn has_run_since(world: &mut World, vm: &Moref, since: DateTime) -> Outcome<()> {
    let host = world.get::<Vm>(vm)?.runtime.host.clone().ok_or_else(|| Fault::not_found(vm))?;
    run(world, vm, &host, Start::Up)?;
    world.edit::<Vm>(vm)?.runtime.boot_time = Some(since);
    Ok(())
}

/// A machine that is off starts on this host. No event is posted.
///
/// # Errors
/// `ManagedObjectNotFound`, `NoDiskSpace`.
pub(crate) fn boot(world: &mut World, vm: &Moref, host: &Moref) -> Outcome<()> {
    run(world, vm, host, Start::Boot)
}

/// The machine runs on this host from now on.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(super) fn run(world: &mut World, vm: &Moref, host: &Moref, how: Start) -> Outcome<()> {
    put_swap_file(world, vm)?;
    drop_files(world, vm, &SUSPEND_FILES);
    room::assign(world, vm, host)?;
    let now = world.now();
    let protected = room::is_protected(world, vm);
    let mhz = world.get::<Host>(host)?.hardware.cpu_mhz;
    let machine = world.edit::<Vm>(vm)?;
    let hardware = &machine.config.hardware;
    let runtime = &mut machine.runtime;
    runtime.power_state = PoweredOn;
    runtime.connection_state = VirtualMachineConnectionState::Connected;
    runtime.boot_time = Some(now);
    runtime.suspend_time = None;
    runtime.suspend_interval = Some(0);
    runtime.clean_power_off = None;
    runtime.online_standby = Some(false);
    runtime.paused = Some(false);
    runtime.max_cpu_usage = Some(mhz.saturating_mul(hardware.num_cpu));
    runtime.max_memory_usage = Some(hardware.memory_mb);
    runtime.das_vm_protection =
        protected.then(|| Box::new(VirtualMachineRuntimeInfoDasProtectionState { das_protected: true }));
    hardware::set_running(&mut machine.config.hardware.device, true);
    machine.life.turn += 1;
    guest::start(world, vm, how);
    touch_around(world, vm);
    Ok(())
}

/// The machine runs no more.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn stop(world: &mut World, vm: &Moref, state: VirtualMachinePowerState, clean: Option<bool>) -> Outcome<()> {
    let now = world.now();
    let machine = world.edit::<Vm>(vm)?;
    if state == PoweredOff {
        hardware::set_running(&mut machine.config.hardware.device, false);
    }
    let runtime = &mut machine.runtime;
    runtime.boot_time = None;
    runtime.suspend_time = (state == Suspended).then_some(now);
    runtime.clean_power_off = clean;
    runtime.online_standby = Some(false);
    runtime.das_vm_protection = None;
    runtime.tools_installer_mounted = runtime.tools_installer_mounted && state == Suspended;
    runtime.power_state = state.clone();
    runtime.question = None;
    machine.life.turn += 1;
    machine.life.typed.clear();
    machine.guest_stops();
    drop_files(world, vm, &["vswp"]);
    if state == PoweredOff {
        drop_files(world, vm, &SUSPEND_FILES);
    }
    touch_around(world, vm);
    Ok(())
}

/// The endings of the files that a suspended machine has: its devices' state, and its memory.
const SUSPEND_FILES: [&str; 2] = ["vmss", "vmem"];

/// A running machine has room on its datastore for all memory that the host has not promised to it.
fn put_swap_file(world: &mut World, vm: &Moref) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    let size = (i64::from(machine.config.hardware.memory_mb) << 20) - room::reservation(machine);
    let vmx = world.vmx_of(vm)?;
    carry_out(world, &[FileChange::File(vmx.beside(&format!("{}.vswp", vmx.stem())), size.max(0))])
}

/// Deletes the files beside the configuration that have these endings, where they are there.
fn drop_files(world: &mut World, vm: &Moref, endings: &[&str]) {
    let Ok(vmx) = world.vmx_of(vm) else { return };
    for ending in endings {
        let file = vmx.beside(&format!("{}.{ending}", vmx.stem()));
        if let Ok(datastore) = world.datastore_of(&file)
            && datastore.find(&file.path).is_some()
        {
            // It was there a moment ago, and nobody came between.
            let _ = datastore.remove_tree(&file.path);
        }
    }
}

/// What a host and a pool say of their load follows from their machines.
fn touch_around(world: &mut World, vm: &Moref) {
    let Ok(machine) = world.get::<Vm>(vm) else { return };
    let around: Vec<Moref> = machine.runtime.host.iter().chain(&machine.pool).cloned().collect();
    around.iter().for_each(|object| world.touch(object));
}

fn power_off(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let user = call.user(world);
    let checked = check(world, &vm, &[PoweredOn, Suspended], PoweredOff);
    if checked.is_ok() && world.busy_with(&vm).is_none() {
        let message = format!("{} is stopping", place(world, &vm));
        world.post(&vm, &user, VmStoppingEvent::default(), message);
    }
    let takes = unless_refused(&checked, POWER_OFF);
    call.task().alone_with(&vm).takes(takes).start(world, move |world| {
        check(world, &vm, &[PoweredOn, Suspended], PoweredOff)?;
        turn_off(world, &vm, true, &user)?;
        Ok(Any::Unset)
    })
}

/// Powers a machine off. `clean` is false where its process was killed.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn turn_off(world: &mut World, vm: &Moref, clean: bool, user: &str) -> Outcome<()> {
    stop(world, vm, PoweredOff, Some(clean))?;
    let message = format!("{} is powered off", place(world, vm));
    world.post(vm, user, VmPoweredOffEvent::default(), message);
    Ok(())
}

fn suspend(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let user = call.user(world);
    let checked = check(world, &vm, &[PoweredOn], Suspended);
    if checked.is_ok() && world.busy_with(&vm).is_none() {
        let message = format!("{} is being suspended", place(world, &vm));
        world.post(&vm, &user, VmSuspendingEvent::default(), message);
    }
    let takes = unless_refused(&checked, SUSPEND);
    call.task().alone_with(&vm).takes(takes).start(world, move |world| {
        check(world, &vm, &[PoweredOn], Suspended)?;
        turn_to_sleep(world, &vm, &user)?;
        Ok(Any::Unset)
    })
}

/// Suspends a machine.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn turn_to_sleep(world: &mut World, vm: &Moref, user: &str) -> Outcome<()> {
    let vmx = world.vmx_of(vm)?;
    let memory = i64::from(world.get::<Vm>(vm)?.config.hardware.memory_mb) << 20;
    let file = |(ending, size)| FileChange::File(vmx.beside(&format!("{}.{ending}", vmx.stem())), size);
    let files: Vec<FileChange> = SUSPEND_FILES.into_iter().zip([1 << 20, memory]).map(file).collect();
    carry_out(world, &files)?;
    stop(world, vm, Suspended, None)?;
    let message = format!("{} is suspended", place(world, vm));
    world.post(vm, user, VmSuspendedEvent::default(), message);
    Ok(())
}

fn reset(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let user = call.user(world);
    let checked = check(world, &vm, &[PoweredOn], PoweredOn);
    let takes = unless_refused(&checked, RESET);
    call.task().alone_with(&vm).takes(takes).start(world, move |world| {
        check(world, &vm, &[PoweredOn], PoweredOn)?;
        let message = format!("{} is reset", place(world, &vm));
        world.post(&vm, &user, VmResettingEvent::default(), message);
        world.edit::<Vm>(&vm)?.life.turn += 1;
        guest::start(world, &vm, Start::Boot);
        Ok(Any::Unset)
    })
}

fn terminate(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = &call.target;
    check(world, vm, &[PoweredOn], PoweredOff)?;
    must_be_idle(world, vm)?;
    turn_off(world, vm, false, &call.user(world))?;
    Ok(Reply::NONE)
}

pub(super) fn must_be_idle(world: &World, vm: &Moref) -> Outcome<()> {
    match world.busy_with(vm) {
        Some(task) => {
            let message = format!("Another task is already in progress: {}.", task.value);
            Err(Fault::new(TaskInProgress { task, ..Default::default() }, message))
        }
        None => Ok(()),
    }
}

/// Whether the guest can be asked to do something, and its turn.
fn ask_guest(world: &World, vm: &Moref, to: VirtualMachinePowerState) -> Outcome<u32> {
    check(world, vm, &[PoweredOn], to)?;
    must_be_idle(world, vm)?;
    let machine = world.get::<Vm>(vm)?;
    if !world.settings.rules.obeys(machine.tools_run()) {
        machine.must_have_tools()?;
    }
    Ok(machine.life.turn)
}

impl Vm {
    /// # Errors
    /// `ToolsUnavailable` where no Tools answer.
    pub(super) fn must_have_tools(&self) -> Outcome<()> {
        if self.tools_run() {
            return Ok(());
        }
        let message = "Cannot complete operation because VMware Tools is not running in this virtual machine.";
        Err(Fault::new(ToolsUnavailable::default(), message))
    }
}

fn guest_is(world: &mut World, vm: &Moref, state: VirtualMachineGuestState) -> Outcome<()> {
    let guest = &mut world.edit::<Vm>(vm)?.guest;
    guest.guest_state = state.into();
    guest.guest_operations_ready = Some(false);
    guest.guest_state_change_supported = Some(false);
    Ok(())
}

fn shutdown_guest(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let turn = ask_guest(world, &vm, PoweredOff)?;
    let message = format!("Guest OS shut down for {}", place(world, &vm));
    world.post(&vm, &call.user(world), VmGuestShutdownEvent::default(), message);
    guest_is(world, &vm, VirtualMachineGuestState::ShuttingDown)?;
    world.later(GUEST_STOPS, move |world| {
        if guest::runs_still(world, &vm, turn) {
            // The machine can't vanish between the check and this, and there is nobody to tell.
            let _ = turn_off(world, &vm, true, "");
        }
    });
    Ok(Reply::NONE)
}

fn reboot_guest(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let turn = ask_guest(world, &vm, PoweredOn)?;
    let message = format!("Guest OS reboot for {}", place(world, &vm));
    world.post(&vm, &call.user(world), VmGuestRebootEvent::default(), message);
    guest_is(world, &vm, VirtualMachineGuestState::Resetting)?;
    world.later(GUEST_RESTARTS, move |world| {
        if guest::runs_still(world, &vm, turn) {
            if let Ok(machine) = world.edit::<Vm>(&vm) {
                machine.life.turn += 1;
            }
            guest::start(world, &vm, Start::Boot);
        }
    });
    Ok(Reply::NONE)
}

fn standby_guest(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let turn = ask_guest(world, &vm, Suspended)?;
    let message = format!("Guest OS standby for {}", place(world, &vm));
    world.post(&vm, &call.user(world), VmGuestStandbyEvent::default(), message);
    guest_is(world, &vm, VirtualMachineGuestState::Standby)?;
    world.later(GUEST_STOPS, move |world| {
        if !guest::runs_still(world, &vm, turn) {
            return;
        }
        let Ok(machine) = world.edit::<Vm>(&vm) else { return };
        // The machine either sleeps with its guest, or is suspended by the host: so it is configured.
        if machine.config.default_power_ops.standby_action.as_deref() == Some("powerOnSuspend") {
            machine.runtime.online_standby = Some(true);
        } else {
            let _ = turn_to_sleep(world, &vm, "");
        }
    });
    Ok(Reply::NONE)
}

/// Each machine gets a task of its own, or a fault in the result: those that can run do.
fn power_on_several(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vms: Vec<Moref> = call.arg("vm")?;
    if vms.is_empty() {
        return Err(Fault::invalid_argument("vm"));
    }
    let method = registry().method("PowerOnVM_Task").ok_or_else(|| Fault::not_supported("PowerOnVM_Task"))?;
    let mut result = ClusterPowerOnVmResult::default();
    for vm in vms {
        let single = Call {
            core: call.core.clone(),
            session: call.session.clone(),
            peer: call.peer.clone(),
            method,
            target: vm.clone(),
            arguments: Vec::new(),
        };
        let started = may_power_on(world, &vm, None).and_then(|_| power_on(world, &single));
        match started {
            Ok(Reply::Value(task)) => {
                let task = task.take().ok();
                result.attempted.push(ClusterAttemptedVmInfo { vm, task });
            }
            Ok(_) => {}
            Err(fault) => result.not_attempted.push(ClusterNotAttemptedVmInfo { vm, fault: fault.localized() }),
        }
    }
    call.task().start(world, move |_| Ok(Any::from(result)))
}
