//! The appliance that vCenter runs in: who may come in by which way, and when it is to go down.

use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};
use vsphere_model::types::DateTime;

use super::{Caller, Failure, Kind, Operation, Outcome, Route, Run, Shape, text};
use crate::world::World;

/// The longest that the appliance's shell may stay open, in seconds.
const LONGEST: u64 = 86_400;

/// The settings of the appliance.
pub(crate) struct Appliance {
    console_cli: bool,
    dcui: bool,
    ssh: bool,
    shell: bool,
    /// Seconds until the shell closes by itself.
    shell_timeout: u64,
    shutdown: Option<Shutdown>,
}

/// What somebody has planned. The simulator goes on all the same when the time has come.
struct Shutdown {
    action: &'static str,
    reason: String,
    at: DateTime,
}

impl Default for Appliance {
    /// As it is after its installation.
    fn default() -> Self {
        Self { console_cli: true, dcui: true, ssh: false, shell: false, shell_timeout: 0, shutdown: None }
    }
}

/// The appliance, for somebody who may change it.
///
/// # Errors
/// The caller is no administrator.
fn edit<'w>(world: &'w mut World, caller: &Caller) -> Outcome<&'w mut Appliance> {
    const PRIVILEGE: &str = "Global.Settings";
    let root = world.content.root_folder.clone();
    if !world.scope_of(&caller.principal).allows(world, &root, PRIVILEGE) {
        return Err(Failure::unauthorized(PRIVILEGE));
    }
    Ok(&mut world.appliance)
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(Kind::InvalidArgument, "com.vmware.appliance.invalid_argument", message)
}

fn enabled(input: &Value) -> Outcome<bool> {
    input["enabled"].as_bool().ok_or_else(|| invalid("The field enabled is missing."))
}

fn get_console_cli(world: &World, _: &Caller, _: &Value) -> Outcome<Value> {
    Ok(json!(world.appliance.console_cli))
}

fn set_console_cli(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    edit(world, caller)?.console_cli = enabled(input)?;
    Ok(Value::Null)
}

fn get_dcui(world: &World, _: &Caller, _: &Value) -> Outcome<Value> {
    Ok(json!(world.appliance.dcui))
}

fn set_dcui(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    edit(world, caller)?.dcui = enabled(input)?;
    Ok(Value::Null)
}

fn get_ssh(world: &World, _: &Caller, _: &Value) -> Outcome<Value> {
    Ok(json!(world.appliance.ssh))
}

fn set_ssh(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    edit(world, caller)?.ssh = enabled(input)?;
    Ok(Value::Null)
}

fn get_shell(world: &World, _: &Caller, _: &Value) -> Outcome<Value> {
    Ok(json!({ "enabled": world.appliance.shell, "timeout": world.appliance.shell_timeout }))
}

fn set_shell(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    let appliance = edit(world, caller)?;
    let wanted = enabled(input)?;
    let timeout = input["timeout"].as_u64().ok_or_else(|| invalid("The field timeout is missing."))?;
    if timeout > LONGEST {
        return Err(invalid(format!("The timeout is {LONGEST} seconds at most.")));
    }
    appliance.shell = wanted;
    appliance.shell_timeout = timeout;
    Ok(Value::Null)
}

fn get_shutdown(world: &World, _: &Caller, _: &Value) -> Outcome<Value> {
    let time = |at: DateTime| at.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true);
    Ok(match &world.appliance.shutdown {
        Some(plan) => json!({ "action": plan.action, "reason": plan.reason, "shutdown_time": time(plan.at) }),
        None => json!({ "action": "", "reason": "" }),
    })
}

fn cancel_shutdown(world: &mut World, caller: &Caller, _: &Value) -> Outcome<Value> {
    edit(world, caller)?.shutdown = None;
    Ok(Value::Null)
}

fn power_off(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    plan(world, caller, input, "poweroff")
}

fn reboot(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    plan(world, caller, input, "reboot")
}

/// Plans it for so many minutes from now. A later plan replaces an earlier one.
fn plan(world: &mut World, caller: &Caller, input: &Value, action: &'static str) -> Outcome<Value> {
    let reason = text(input, "reason")?.to_owned();
    let delay = match &input["delay"] {
        Value::Null => Some(0),
        delay => delay.as_u64(),
    };
    let delay = delay.and_then(|minutes| TimeDelta::try_minutes(i64::try_from(minutes).ok()?));
    let delay = delay.ok_or_else(|| invalid("The delay is a number of minutes."))?;
    let at = world.now().checked_add_signed(delay).ok_or_else(|| invalid("The delay is too long."))?;
    edit(world, caller)?.shutdown = Some(Shutdown { action, reason, at });
    Ok(Value::Null)
}

const SHELL: Shape = Shape::Struct("com.vmware.appliance.access.shell.shell_config", &[]);
const SHUTDOWN: Shape = Shape::Struct(
    "com.vmware.appliance.shutdown.shutdown_config",
    &[("shutdown_time", Shape::Optional(&Shape::Plain))],
);

const fn row(id: &'static str, route: Route, output: Shape, run: Run) -> Operation {
    Operation { id, route, since: (6, 7), output, run }
}

const fn at(verb: &'static str, path: &'static str, action: &'static str) -> Route {
    Route { verb, path, action, body: "" }
}

/// The operations.
pub(super) static OPERATIONS: &[Operation] = &[
    row(
        "com.vmware.appliance.access.consolecli.get",
        at("GET", "appliance/access/consolecli", ""),
        Shape::Plain,
        Run::Read(get_console_cli),
    ),
    row(
        "com.vmware.appliance.access.consolecli.set",
        at("PUT", "appliance/access/consolecli", ""),
        Shape::Plain,
        Run::Write(set_console_cli),
    ),
    row(
        "com.vmware.appliance.access.dcui.get",
        at("GET", "appliance/access/dcui", ""),
        Shape::Plain,
        Run::Read(get_dcui),
    ),
    row(
        "com.vmware.appliance.access.dcui.set",
        at("PUT", "appliance/access/dcui", ""),
        Shape::Plain,
        Run::Write(set_dcui),
    ),
    row("com.vmware.appliance.access.ssh.get", at("GET", "appliance/access/ssh", ""), Shape::Plain, Run::Read(get_ssh)),
    row(
        "com.vmware.appliance.access.ssh.set",
        at("PUT", "appliance/access/ssh", ""),
        Shape::Plain,
        Run::Write(set_ssh),
    ),
    row("com.vmware.appliance.access.shell.get", at("GET", "appliance/access/shell", ""), SHELL, Run::Read(get_shell)),
    row(
        "com.vmware.appliance.access.shell.set",
        at("PUT", "appliance/access/shell", ""),
        Shape::Plain,
        Run::Write(set_shell),
    ),
    row("com.vmware.appliance.shutdown.get", at("GET", "appliance/shutdown", ""), SHUTDOWN, Run::Read(get_shutdown)),
    row(
        "com.vmware.appliance.shutdown.cancel",
        at("POST", "appliance/shutdown", "cancel"),
        Shape::Plain,
        Run::Write(cancel_shutdown),
    ),
    row(
        "com.vmware.appliance.shutdown.poweroff",
        at("POST", "appliance/shutdown", "poweroff"),
        Shape::Plain,
        Run::Write(power_off),
    ),
    row(
        "com.vmware.appliance.shutdown.reboot",
        at("POST", "appliance/shutdown", "reboot"),
        Shape::Plain,
        Run::Write(reboot),
    ),
];
