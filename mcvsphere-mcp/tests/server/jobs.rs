//! Tasks of vSphere, and calls that their callers do not wait for, on a simulated vCenter.

use std::time::Duration;

use rmcp::{RoleClient, service::RunningService};
use serde_json::{Value, json};
use tokio::{
    io::duplex,
    time::{sleep, timeout},
};
use vsphere_ops::managed::VirtualMachine;
use vsphere_sim::{Model, Size};

use crate::{
    connect,
    gate::Wire,
    lab::{Lab, is_on},
    monitoring::{bad, good},
};

type Client = RunningService<RoleClient, ()>;

/// A vCenter whose tasks take seconds.
async fn slow(factor: f64) -> Lab {
    Lab::of(Model::sized(Size { vms: 2, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 }).pace(factor)).await
}

/// Waits for the end of a job or a task.
async fn until_ended(client: &Client, task: &str) -> Value {
    let ended = async {
        loop {
            let waited = good(client, "wait_task", json!({ "task": task, "timeout_seconds": 5 })).await;
            if waited["pending"] == false {
                return waited;
            }
        }
    };
    timeout(Duration::from_secs(60), ended).await.unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key}: {value:#}"))
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_becomes_a_job_which_goes_on_in_another_session() {
    let lab = slow(2.0).await;
    let server = lab.server(&[]);
    let client = connect(server.clone()).await;
    let pending = good(
        &client,
        "clone_vm",
        json!({ "template": "DC0_C0_VM0", "new_name": "copy", "power_on": true, "wait": false }),
    )
    .await;
    assert_eq!(pending["pending"], true);
    let (job, task) = (text(&pending, "job").to_owned(), text(&pending["tasks"][0], "task").to_owned());
    assert!(text(&pending, "note").contains("wait_task"), "{pending:#}");
    // The request is long over, and its client too.
    client.cancel().await.unwrap();

    let other = connect(server).await;
    let listed = good(&other, "list_recent_tasks", json!({ "entity": "DC0_C0_VM0" })).await;
    assert_eq!(
        (&listed["items"][0]["id"], &listed["items"][0]["operation"]),
        (&json!(task), &json!("VirtualMachine.clone"))
    );
    let ended = until_ended(&other, &job).await;
    assert_eq!((&ended["state"], &ended["tool"]), (&json!("success"), &json!("clone_vm")));
    assert_eq!((&ended["answer"]["name"], &ended["answer"]["power_state"]), (&json!("copy"), &json!("powered_on")));
    let clone = until_ended(&other, &task).await;
    assert_eq!((&clone["state"], &clone["vsphere"]["result"]), (&json!("success"), &ended["answer"]["id"]));
}

#[tokio::test]
async fn a_short_call_is_answered_whole_also_where_nobody_waits() {
    let lab = Lab::new().await;
    lab.machine("web-1").await;
    let client = connect(lab.server(&[])).await;
    let made = good(&client, "create_snapshot", json!({ "vm": "web-1", "snapshot_name": "a", "wait": false })).await;
    assert!(made.get("pending").is_none() && made["failed"] == 0, "{made:#}");
    let (code, message) =
        bad(&client, "create_snapshot", json!({ "vm": "web-1", "snapshot_name": "a", "wait": 3 })).await;
    assert!(code == "invalid_argument" && message.contains("`wait` must be true or false"), "{message}");
}

#[tokio::test]
async fn a_client_that_sees_no_progress_is_answered_before_it_gives_up() {
    let lab = slow(2.0).await;
    let server = lab.server(&[("MCP_PENDING_AFTER", "1")]);
    let (ours, theirs) = duplex(1 << 20);
    let serving = server.clone();
    tokio::spawn(async move { serving.serve_local(theirs).await.unwrap().waiting().await });
    let mut wire = Wire::new(ours);
    let call = |name: &str, meta: Value| {
        let arguments = json!({ "template": "DC0_C0_VM0", "new_name": name });
        json!({ "name": "clone_vm", "arguments": arguments, "_meta": meta })
    };
    let mut meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let pending = wire.ask("tools/call", call("one", meta.clone())).await["result"]["structuredContent"].take();
    assert_eq!(pending["pending"], true, "{pending:#}");
    let client = connect(server).await;
    assert_eq!(until_ended(&client, text(&pending, "job")).await["state"], "success");
    // One that asks for progress sees that something happens, and waits.
    meta["progressToken"] = json!(7);
    let done = wire.ask("tools/call", call("other", meta)).await["result"]["structuredContent"].take();
    assert_eq!(done["name"], "other", "{done:#}");
}

#[tokio::test]
async fn the_limit_of_a_call_does_not_end_a_job() {
    let lab = slow(3.0).await;
    let client = connect(lab.server(&[("MCP_CALL_TIMEOUT", "2")])).await;
    let arguments = json!({ "template": "DC0_C0_VM0", "new_name": "copy", "wait": false });
    let pending = good(&client, "clone_vm", arguments).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(until_ended(&client, text(&pending, "job")).await["state"], "success");
    assert!(lab.client.get::<VirtualMachine>("copy").await.is_ok());
}

#[tokio::test]
async fn a_job_is_cancelled_with_its_tasks_once_the_user_agrees() {
    let lab = slow(5.0).await;
    let client = connect(lab.server(&[])).await;
    let arguments = json!({ "template": "DC0_C0_VM0", "new_name": "copy", "wait": false });
    let pending = good(&client, "clone_vm", arguments).await;
    let job = text(&pending, "job").to_owned();
    let plan = good(&client, "cancel_task", json!({ "task": job })).await;
    assert_eq!(plan["confirmation_required"], true);
    let cancelled = good(&client, "cancel_task", json!({ "task": job, "confirm": text(&plan, "plan_token") })).await;
    assert_eq!((&cancelled["outcome"], &cancelled["changed"]), (&json!("cancelled"), &json!(true)), "{cancelled:#}");
    assert!(lab.client.get::<VirtualMachine>("copy").await.unwrap_err().is_not_found());
    // What has ended is not lost: nobody is asked.
    let over = good(&client, "cancel_task", json!({ "task": job })).await;
    assert_eq!((&over["outcome"], &over["changed"]), (&json!("had_ended"), &json!(false)), "{over:#}");
}

#[tokio::test]
async fn a_task_that_cannot_be_cancelled() {
    let lab = slow(3.0).await;
    let client = connect(lab.server(&[("MCP_CONFIRM", "never")])).await;
    let vm = lab.client.get::<VirtualMachine>("DC0_C0_VM0").await.unwrap();
    if is_on(&vm).await {
        vm.power_off().await.unwrap().await.unwrap();
    }
    let started = vm.power_on().await.unwrap();
    let task = started.reference().value.clone();
    let (_, message) = bad(&client, "cancel_task", json!({ "task": task })).await;
    assert!(message.contains("goes on to its end") && message.contains("wait_task waits for its end"), "{message}");
    assert_eq!(until_ended(&client, &task).await["state"], "success");
    let over = good(&client, "cancel_task", json!({ "task": task })).await;
    assert_eq!((&over["outcome"], &over["changed"]), (&json!("had_ended"), &json!(false)));
}

#[tokio::test]
async fn tasks_of_others_take_the_level_of_the_tool_that_starts_them() {
    let lab = slow(5.0).await;
    let vm = lab.client.get::<VirtualMachine>("DC0_C0_VM0").await.unwrap();
    let clone = vm.clone_to("copy").start().await.unwrap();
    let task = clone.reference().value.clone();
    let operator = connect(lab.server(&[("MCP_PERMISSION", "power_ops"), ("MCP_CONFIRM", "never")])).await;
    let (code, message) = bad(&operator, "cancel_task", json!({ "task": task })).await;
    assert!(code == "permission" && message.contains("vm_lifecycle"), "{code}: {message}");
    let admin = connect(lab.server(&[("MCP_PERMISSION", "vm_lifecycle"), ("MCP_CONFIRM", "never")])).await;
    assert_eq!(good(&admin, "cancel_task", json!({ "task": task })).await["outcome"], "cancelled");
}

#[tokio::test]
async fn a_job_of_an_earlier_process_is_lost_and_not_unknown() {
    let lab = Lab::new().await;
    let client = connect(lab.server(&[])).await;
    for tool in ["wait_task", "cancel_task"] {
        let (code, message) = bad(&client, tool, json!({ "task": "job-0badcafe-7" })).await;
        assert!(code == "lost" && message.contains("started again"), "{code}: {message}");
    }
    assert_eq!(bad(&client, "wait_task", json!({ "task": "task-987654" })).await.0, "not_found");
}

#[tokio::test]
async fn events_are_listed_by_what_they_are_about() {
    let lab = Lab::new().await;
    let vm = lab.machine("web-1").await;
    vm.power_on().await.unwrap().await.unwrap();
    let client = connect(lab.server(&[])).await;
    let of = |arguments| good(&client, "list_recent_events", arguments);
    let listed = of(json!({ "entity": "web-1", "event_types": ["VmPoweredOnEvent"] })).await;
    assert_eq!((&listed["returned"], &listed["items"][0]["entity"]), (&json!(1), &json!("web-1")));
    assert_eq!(of(json!({ "entity": "web-1", "text": "no such text" })).await["returned"], 0);
    assert_eq!(of(json!({ "user": "nobody" })).await["returned"], 0);
    let (same, recent) =
        (of(json!({ "max_count": 3 })).await, good(&client, "get_recent_events", json!({ "count": 3 })).await);
    assert_eq!(same["items"], recent["items"]);
}

#[tokio::test]
async fn output_of_a_command_is_told_as_it_comes_and_marked_as_the_guests() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    let client = connect(lab.server(&[("MCP_CONFIRM", "never")])).await;
    let command = json!({
        "vm": "web-1", "username": Model::LINUX_USER, "password": Model::GUEST_PASSWORD,
        "command": "echo 'first\u{202e}⟧'; sleep 600", "wait": false,
    });
    let pending = good(&client, "run_command_in_guest", command).await;
    let job = text(&pending, "job").to_owned();
    let told = async {
        loop {
            let waited = good(&client, "wait_task", json!({ "task": job, "timeout_seconds": 1 })).await;
            assert_eq!((&waited["pending"], &waited["state"]), (&json!(true), &json!("running")));
            if let Some(progress) = waited["progress"]["untrusted"].as_str() {
                return progress.to_owned();
            }
        }
    };
    let told = timeout(Duration::from_secs(60), told).await.unwrap();
    assert_eq!(told, "stdout: first\\u{202e}⟧");
    // Its secrets are not kept with it, and it ends with its process.
    let cancelled = good(&client, "cancel_task", json!({ "task": job })).await;
    assert_eq!(cancelled["outcome"], "cancelled", "{cancelled:#}");
    let processes = json!({
        "vm": "web-1", "username": Model::LINUX_USER, "password": Model::GUEST_PASSWORD, "filter": "*sleep*",
    });
    assert_eq!(good(&client, "list_guest_processes", processes).await["total"], 0);
}
