//! The power tools: their effect is read from the machines and from what vSphere says that it did.

use futures::TryStreamExt;
use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, CallToolResult},
    service::RunningService,
};
use serde_json::{Value, json};
use vsphere_ops::{
    Change, Mo, Select,
    managed::{VirtualMachine, virtual_machine as vm},
    snapshot::NewSnapshot,
    types::{
        Any, OptionValue, Poly, VirtualMachineConfigSpec, VirtualMachinePowerState as State,
        VirtualMachineToolsRunningStatus as Tools,
    },
};
use vsphere_sim::{Model, Size};

use crate::{confirm::older, lab::Lab};

const SMALL: Size = Size { vms: 0, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 };

type Assistant = RunningService<RoleClient, ()>;

/// An assistant that is never asked.
pub(crate) async fn assistant(lab: &Lab) -> Assistant {
    older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await
}

pub(crate) async fn call(client: &Assistant, tool: &'static str, arguments: Value) -> CallToolResult {
    let arguments = arguments.as_object().unwrap().clone();
    client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await.unwrap()
}

/// The data of an answer that must be good.
pub(crate) async fn good(client: &Assistant, tool: &'static str, arguments: Value) -> Value {
    let result = call(client, tool, arguments).await;
    assert_ne!(result.is_error, Some(true), "{result:?}");
    result.structured_content.unwrap()
}

/// The error of a call that must fail.
pub(crate) async fn bad(client: &Assistant, tool: &'static str, arguments: Value) -> Value {
    let result = call(client, tool, arguments).await;
    assert_eq!(result.is_error, Some(true), "{result:?}");
    result.structured_content.unwrap()
}

/// The only report of several.
async fn one(client: &Assistant, tool: &'static str, name: &str) -> Value {
    good(client, tool, json!({ "vm": name })).await["results"][0].clone()
}

async fn state(machine: &Mo<VirtualMachine>) -> State {
    machine.read(vm::POWER_STATE).await.unwrap()
}

/// Sets an option of a machine.
pub(crate) async fn set_option(machine: &Mo<VirtualMachine>, key: &str, value: &str) {
    let option = OptionValue { key: key.to_owned(), value: Some(Any::from(value.to_owned())) };
    let spec = VirtualMachineConfigSpec { extra_config: vec![Poly::new(option)], ..Default::default() };
    let task = machine.reconfig_vm_task(&spec).await.unwrap();
    vsphere_ops::Task::<()>::new(machine.client(), task, "reconfigure", machine.label()).await.unwrap();
}

/// A machine that runs, in whose guest there are no VMware Tools.
pub(crate) async fn without_tools(lab: &Lab, name: &str) -> Mo<VirtualMachine> {
    let machine = lab.machine(name).await;
    set_option(&machine, "guestinfo.sim.tools", "none").await;
    machine.power_on().await.unwrap().await.unwrap();
    machine
}

/// Waits until a property of a machine is so.
async fn until<S>(machine: &Mo<VirtualMachine>, property: S, wanted: S::Row)
where
    S: Select<VirtualMachine> + Unpin,
    S::Row: PartialEq + Unpin,
{
    let mut changes = machine.watch(property);
    while let Some(change) = changes.try_next().await.unwrap() {
        if let Change::Entered { row, .. } | Change::Changed { row, .. } = change
            && row == wanted
        {
            return;
        }
    }
}

/// What vSphere was told to do with machines, and did.
async fn done(lab: &Lab, description: &str) -> usize {
    let tasks = lab.client.recent_tasks().await.unwrap();
    tasks.iter().filter(|task| task.description_id == description && task.error.is_none()).count()
}

#[tokio::test]
async fn pitfall_27_a_suspended_machine_is_suspended() {
    let lab = Lab::new().await;
    let (web, db) = (lab.running("web-1").await, lab.running("db-1").await);
    lab.machine("off-1").await;
    let client = assistant(&lab).await;
    let answer = good(&client, "suspend_vm", json!({ "vms": ["web-1", "db-1", "off-1", "none-1"] })).await;
    assert_eq!(answer["failed"], 2, "{answer:#}");
    for (machine, report) in [(&web, &answer["results"][0]), (&db, &answer["results"][1])] {
        assert_eq!(state(machine).await, State::Suspended);
        assert_eq!((&report["power_state"], &report["changed"]), (&json!("suspended"), &json!(true)), "{report:#}");
        assert_eq!(report["id"], machine.id());
    }
    let refused = answer["results"][2]["error"]["message"].as_str().unwrap();
    assert!(refused.contains("suspend \"off-1\"") && refused.contains("power_on_vm"), "{refused}");
    assert_eq!(answer["results"][3]["error"]["code"], "not_found");
    assert_eq!(one(&client, "suspend_vm", "web-1").await["changed"], false);
    assert_eq!(one(&client, "power_on_vm", "web-1").await["changed"], true);
    assert_eq!(state(&web).await, State::PoweredOn);
}

#[tokio::test]
async fn a_reset_needs_a_machine_that_runs() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    lab.machine("off-1").await;
    let client = assistant(&lab).await;
    let report = one(&client, "reset_vm", "web-1").await;
    assert_eq!((&report["changed"], &report["power_state"]), (&json!(true), &json!("powered_on")));
    assert_eq!(done(&lab, "VirtualMachine.reset").await, 1);
    assert_eq!(state(&machine).await, State::PoweredOn);
    let error = bad(&client, "reset_vm", json!({ "vm": "off-1" })).await;
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("reset \"off-1\"") && message.contains("power_on_vm"), "{message}");
}

#[tokio::test]
async fn a_shutdown_is_waited_for() {
    // Guests need their time, a twentieth of what they would really take.
    let lab = Lab::of(Model::sized(SMALL).pace(0.05)).await;
    let client = assistant(&lab).await;
    let machine = lab.running("web-1").await;
    until(&machine, vm::TOOLS_RUNNING_STATUS, Some(Tools::GuestToolsRunning.as_str().to_owned())).await;
    let report = one(&client, "shutdown_guest", "web-1").await;
    assert_eq!((&report["changed"], &report["power_state"]), (&json!(true), &json!("powered_off")), "{report:#}");
    assert_eq!(report["pending"], Value::Null);
    assert_eq!(state(&machine).await, State::PoweredOff);
    assert_eq!((lab.sim.calls("ShutdownGuest"), lab.sim.calls("PowerOffVM_Task")), (1, 0));
    let again = one(&client, "shutdown_guest", "web-1").await;
    assert_eq!((&again["changed"], &again["power_state"]), (&json!(false), &json!("powered_off")));

    let error = bad(&client, "shutdown_guest", json!({ "vm": "web-1", "timeout_seconds": 3601 })).await;
    assert_eq!(error["code"], "invalid_argument");
}

#[tokio::test]
async fn a_shutdown_out_of_time_is_pending() {
    let lab = Lab::of(Model::sized(SMALL).pace(0.5)).await;
    let client = assistant(&lab).await;
    let machine = lab.running("web-1").await;
    until(&machine, vm::TOOLS_RUNNING_STATUS, Some(Tools::GuestToolsRunning.as_str().to_owned())).await;
    let answer = good(&client, "shutdown_guest", json!({ "vm": "web-1", "timeout_seconds": 0 })).await;
    let report = &answer["results"][0];
    assert_eq!((&report["changed"], &report["pending"]), (&json!(true), &json!(true)), "{report:#}");
    assert_eq!(report["power_state"], "powered_on");
    until(&machine, vm::POWER_STATE, State::PoweredOff).await;
}

#[tokio::test]
async fn a_guest_without_tools_is_not_asked() {
    let lab = Lab::new().await;
    let machine = without_tools(&lab, "old-1").await;
    let off = lab.machine("off-1").await;
    let client = assistant(&lab).await;
    for tool in ["shutdown_guest", "reboot_guest", "standby_guest"] {
        let error = bad(&client, tool, json!({ "vm": "old-1" })).await;
        let message = error["message"].as_str().unwrap();
        for said in ["\"old-1\"", "VMware Tools", "wait_for_vm_tools", "power_off_vm"] {
            assert!(message.contains(said), "{tool}: {said}: {message}");
        }
        assert_eq!(state(&machine).await, State::PoweredOn, "{tool}");
    }
    for tool in ["reboot_guest", "standby_guest"] {
        let error = bad(&client, tool, json!({ "vm": "off-1" })).await;
        assert!(error["message"].as_str().unwrap().contains("power_on_vm"), "{tool}: {error:#}");
    }
    assert_eq!(state(&off).await, State::PoweredOff);
}

#[tokio::test]
async fn guests_are_restarted_and_put_to_sleep() {
    let lab = Lab::new().await;
    let (web, db) = (lab.running("web-1").await, lab.running("db-1").await);
    let client = assistant(&lab).await;
    let answer = good(&client, "reboot_guest", json!({ "vms": ["web-1", "db-1"] })).await;
    assert_eq!(answer["failed"], 0);
    for report in answer["results"].as_array().unwrap() {
        assert_eq!((&report["changed"], &report["pending"]), (&json!(true), &json!(true)), "{report:#}");
    }
    assert_eq!(lab.sim.calls("RebootGuest"), 2);
    assert_eq!((state(&web).await, state(&db).await), (State::PoweredOn, State::PoweredOn));

    let report = one(&client, "standby_guest", "web-1").await;
    assert_eq!((&report["changed"], &report["power_state"]), (&json!(true), &json!("suspended")), "{report:#}");
    assert_eq!(state(&web).await, State::Suspended);
    assert_eq!(one(&client, "standby_guest", "web-1").await["changed"], false);
}

#[tokio::test]
async fn pitfall_28_a_machine_that_is_busy_is_waited_for() {
    let lab = Lab::of(Model::sized(SMALL).pace(0.2)).await;
    let client = assistant(&lab).await;
    let machine = lab.running("web-1").await;
    let snapshot = machine.create_snapshot(&NewSnapshot::new("busy")).await.unwrap();
    assert_eq!(one(&client, "suspend_vm", "web-1").await["changed"], true);
    assert_eq!(state(&machine).await, State::Suspended);
    snapshot.await.unwrap();
    assert!(lab.sim.calls("SuspendVM_Task") > 1, "it was not busy");
}

#[tokio::test]
async fn a_machine_that_is_named_twice_is_worked_on_once() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    let client = assistant(&lab).await;
    let answer = good(&client, "reset_vm", json!({ "vms": ["web-1", "/DC0/vm/web-1", machine.id()] })).await;
    assert_eq!(answer["results"].as_array().unwrap().len(), 1);
    assert_eq!(lab.sim.calls("ResetVM_Task"), 1);
}

#[tokio::test]
async fn pitfall_35_only_what_would_end_is_asked_about() {
    let lab = Lab::new().await;
    let web = lab.running("web-1").await;
    without_tools(&lab, "old-1").await;
    lab.machine("off-1").await;
    let client = older(lab.server(&[]), ()).await;
    let vms = json!({ "vms": ["web-1", "old-1", "off-1"] });
    for (tool, question, objects) in [
        ("shutdown_guest", "Shut down the guest OS of \"web-1\"?", 1),
        ("reboot_guest", "Restart the guest OS of \"web-1\"?", 1),
        ("reset_vm", "Reset 2 virtual machines, like the button on a case?", 2),
        ("power_off_vm", "Power off 2 virtual machines, like pulling the plug?", 2),
    ] {
        let plan = good(&client, tool, vms.clone()).await;
        assert_eq!((&plan["question"], &plan["total"]), (&json!(question), &json!(objects)), "{plan:#}");
    }
    let plan = good(&client, "reset_vm", json!({ "vm": "web-1" })).await;
    assert_eq!(plan["notes"][0], "VMware Tools run in it: it could restart cleanly instead.");
    assert_eq!(lab.sim.calls("ResetVM_Task"), 0);
    assert_eq!(state(&web).await, State::PoweredOn);
    let plan = good(&client, "shutdown_guest", json!({ "vm": "web-1" })).await;
    let arguments = json!({ "vm": "web-1", "confirm": plan["plan_token"] });
    assert_eq!(good(&client, "shutdown_guest", arguments).await["results"][0]["changed"], true);
    assert_eq!(state(&web).await, State::PoweredOff);
}
