//! The tools for the life of virtual machines. Effects are read from the simulated vCenter beside the tools.

use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, CallToolResult},
    service::RunningService,
};
use serde_json::{Value, json};
use vsphere_ops::managed::{Folder, VirtualMachine, virtual_machine as vm};

use crate::{confirm::older, lab::Lab, lab::is_on};

/// Calls a tool, which must succeed.
async fn call(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> Value {
    let result = raw(client, tool, arguments).await;
    assert_ne!(result.is_error, Some(true), "{tool}: {result:?}");
    result.structured_content.unwrap()
}

/// Calls a tool, which must fail: its code and its message.
async fn refused(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> (String, String) {
    let result = raw(client, tool, arguments).await;
    assert_eq!(result.is_error, Some(true), "{tool}: {result:?}");
    let content = result.structured_content.unwrap();
    let text = |key: &str| content[key].as_str().unwrap().to_owned();
    (text("code"), format!("{} {}", text("message"), content["candidates"]))
}

async fn raw(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> CallToolResult {
    let arguments = arguments.as_object().unwrap().clone();
    client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await.unwrap()
}

/// A client whose user need not be asked.
async fn trusted(lab: &Lab) -> RunningService<RoleClient, ()> {
    older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await
}

async fn exists(lab: &Lab, name: &str) -> bool {
    lab.client.get::<VirtualMachine>(name).await.is_ok()
}

#[tokio::test]
async fn rename_gives_a_name_that_people_read_and_paths_find() {
    let lab = Lab::new().await;
    let (web, _db) = (lab.machine("web-1").await, lab.machine("db-1").await);
    let client = trusted(&lab).await;
    let done = call(&client, "rename_vm", json!({ "vm": "web-1", "new_name": "web/blue 100%" })).await;
    assert_eq!(done["changed"], true);
    assert_eq!((&done["name"], &done["old_name"]), (&json!("web/blue 100%"), &json!("web-1")), "{done:#}");
    assert_eq!(web.read(vm::NAME).await.unwrap(), "web%2fblue 100%25");
    assert_eq!(done["path"], "/DC0/vm/web%2fblue 100%25");

    let again = call(&client, "rename_vm", json!({ "vm": web.id(), "new_name": "web%2fblue 100%25" })).await;
    assert_eq!(again["changed"], false, "{again:#}");

    let (code, message) = refused(&client, "rename_vm", json!({ "vm": "db-1", "new_name": "web/blue 100%" })).await;
    assert_eq!(code, "fault");
    assert!(message.contains("already exists") && message.contains(web.id()), "{message}");
    for name in ["", " ", &"x".repeat(81)] {
        let (code, message) = refused(&client, "rename_vm", json!({ "vm": "db-1", "new_name": name })).await;
        assert_eq!(code, "invalid_argument", "{message}");
    }
    assert_eq!(refused(&client, "rename_vm", json!({ "vm": "nope", "new_name": "x" })).await.0, "not_found");
    assert!(exists(&lab, "db-1").await);
}

#[tokio::test]
async fn reconfigure_says_what_was_before_and_after() {
    let lab = Lab::new().await;
    let machine = lab.machine("web-1").await;
    let client = trusted(&lab).await;
    let arguments = json!({ "vm": "web-1", "cpu": 4, "cores_per_socket": 2, "memory_mb": 2048, "annotation": "shop",
                            "cpu_hot_add": true });
    let done = call(&client, "reconfigure_vm", arguments.clone()).await;
    let changes = |done: &Value| {
        let changes = done["changes"].as_array().unwrap();
        changes.iter().map(|change| (change["setting"].clone(), change["after"].clone())).collect::<Vec<_>>()
    };
    let expected = [
        ("cpu", json!(4)),
        ("cores_per_socket", json!(2)),
        ("memory_mb", json!(2048)),
        ("annotation", json!("shop")),
        ("cpu_hot_add", json!(true)),
    ];
    assert_eq!(changes(&done), expected.map(|(setting, after)| (json!(setting), after)));
    assert_eq!(done["changes"][2]["before"], 1024);
    let config = machine.read(vm::CONFIG).await.unwrap().unwrap();
    assert_eq!((config.hardware.num_cpu, config.hardware.num_cores_per_socket), (4, Some(2)));
    assert_eq!((config.hardware.memory_mb, config.annotation.as_deref()), (2048, Some("shop")));
    assert_eq!(config.cpu_hot_add_enabled, Some(true));

    let again = call(&client, "reconfigure_vm", arguments).await;
    assert_eq!((&again["changed"], &again["changes"]), (&json!(false), &json!([])), "{again:#}");
    let version = machine.read(vm::CHANGE_VERSION).await.unwrap();
    assert_eq!(version, Some(config.change_version.clone()), "nothing was sent");

    for (arguments, says) in [
        (json!({ "vm": "web-1" }), "nothing is given"),
        (json!({ "vm": "web-1", "memory_mb": 1023 }), "multiple of 4"),
        (json!({ "vm": "web-1", "cpu": 0 }), "cpu is more"),
        (json!({ "vm": "web-1", "cores_per_socket": 3 }), "must divide cpu"),
    ] {
        let (code, message) = refused(&client, "reconfigure_vm", arguments).await;
        assert_eq!(code, "invalid_argument", "{message}");
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn a_running_machine_grows_only_with_hot_add() {
    let lab = Lab::new().await;
    let machine = lab.machine("web-1").await;
    let client = trusted(&lab).await;
    call(&client, "reconfigure_vm", json!({ "vm": "web-1", "cpu_hot_add": true })).await;
    machine.power_on().await.unwrap().await.unwrap();
    let done = call(&client, "reconfigure_vm", json!({ "vm": "web-1", "cpu": 2 })).await;
    assert_eq!((&done["changed"], &done["power_state"]), (&json!(true), &json!("powered_on")), "{done:#}");
    assert_eq!(machine.read(vm::NUM_CPU).await.unwrap(), Some(2));

    for (arguments, says) in [
        (json!({ "vm": "web-1", "memory_mb": 2048 }), "memory_hot_add"),
        (json!({ "vm": "web-1", "cpu": 1 }), "cpu_hot_add"),
        (json!({ "vm": "web-1", "memory_hot_add": true }), "power_off_vm"),
    ] {
        let (code, message) = refused(&client, "reconfigure_vm", arguments).await;
        assert_eq!(code, "fault", "{message}");
        assert!(message.contains(says) && message.contains("reconfigure \"web-1\""), "{message}");
    }
    assert_eq!(machine.read(vm::MEMORY_SIZE_MB).await.unwrap(), Some(1024));
}

#[tokio::test]
async fn delete_shows_what_is_lost_and_powers_off_first() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    machine.create_snapshot_task("before", None, false, false).await.unwrap();
    lab.machine("db-1").await;
    let asked = older(lab.server(&[]), ()).await;
    let plan = call(&asked, "delete_vm", json!({ "vm": "web-1" })).await;
    assert_eq!(plan["confirmation_required"], true, "{plan:#}");
    let shown = &plan["objects"][0];
    assert_eq!((&shown["power_state"], &shown["snapshots"]), (&json!("powered_on"), &json!(1)), "{plan:#}");
    assert!(shown["uptime_seconds"].is_number() && plan["notes"][0].as_str().unwrap().contains("powered off"));
    assert!(is_on(&machine).await);

    // Another state is another question.
    machine.power_off().await.unwrap().await.unwrap();
    let token = plan["plan_token"].as_str().unwrap();
    let void = call(&asked, "delete_vm", json!({ "vm": "web-1", "confirm": token })).await;
    assert!(void["void"].is_string() && exists(&lab, "web-1").await, "{void:#}");
    machine.power_on().await.unwrap().await.unwrap();

    let plan = call(&asked, "delete_vm", json!({ "vm": "web-1" })).await;
    let token = plan["plan_token"].as_str().unwrap();
    let done = call(&asked, "delete_vm", json!({ "vm": "web-1", "confirm": token })).await;
    assert_eq!((&done["changed"], &done["powered_off"]), (&json!(true), &json!(true)), "{done:#}");
    assert_eq!(done["path"], "/DC0/vm/web-1");
    assert!(!exists(&lab, "web-1").await && exists(&lab, "db-1").await);

    let gone = json!({ "vm": machine.id() });
    assert_eq!(refused(&asked, "delete_vm", gone).await.0, "not_found");
    let client = trusted(&lab).await;
    let off = call(&client, "delete_vm", json!({ "vm": "db-1" })).await;
    assert_eq!(off["powered_off"], false);
    assert!(!exists(&lab, "db-1").await);
}

#[tokio::test]
async fn several_of_one_name_are_not_deleted_but_listed() {
    let lab = Lab::new().await;
    let first = lab.machine("web-1").await;
    let root = lab.client.get::<Folder>("/DC0/vm").await.unwrap();
    let other = root.create_folder("other").await.unwrap();
    let second = lab.machine("web-2").await;
    lab.client.raw::<Folder>(&other).move_into_folder_task(&[second.reference().clone()]).await.unwrap();
    second.rename("web-1").await.unwrap().await.unwrap();
    let client = trusted(&lab).await;
    let (code, message) = refused(&client, "delete_vm", json!({ "vm": "web-1" })).await;
    assert_eq!(code, "ambiguous", "{message}");
    assert!(message.contains("/DC0/vm/other/web-1") && message.contains(first.id()), "{message}");
    call(&client, "delete_vm", json!({ "vm": "/DC0/vm/other/web-1" })).await;
    assert!(second.read(vm::NAME).await.unwrap_err().is_not_found());
    assert_eq!(first.read(vm::NAME).await.unwrap(), "web-1");
}

#[tokio::test]
async fn a_machine_that_is_off_becomes_a_template() {
    let lab = Lab::new().await;
    let (golden, web) = (lab.machine("golden").await, lab.running("web-1").await);
    let asked = older(lab.server(&[]), ()).await;
    let plan = call(&asked, "convert_to_template", json!({ "vm": "golden" })).await;
    assert!(plan["question"].as_str().unwrap().contains("/DC0/vm/golden"), "{plan:#}");
    assert!(!golden.read(vm::IS_TEMPLATE).await.unwrap());
    let token = plan["plan_token"].as_str().unwrap();
    let done = call(&asked, "convert_to_template", json!({ "vm": "golden", "confirm": token })).await;
    assert_eq!((&done["changed"], &done["template"]), (&json!(true), &json!(true)), "{done:#}");
    assert!(golden.read(vm::IS_TEMPLATE).await.unwrap());
    assert_eq!(golden.read(vm::RESOURCE_POOL).await.unwrap(), None);

    // It is one already: there is nothing to ask.
    let again = call(&asked, "convert_to_template", json!({ "vm": "golden" })).await;
    assert_eq!((&again["changed"], &again["id"]), (&json!(false), &json!(golden.id())), "{again:#}");

    let (code, message) = refused(&asked, "convert_to_template", json!({ "vm": "web-1" })).await;
    assert_eq!(code, "fault", "{message}");
    assert!(message.contains("power_off_vm") && is_on(&web).await, "{message}");
}

#[tokio::test]
async fn templates_are_listed_and_machines_are_not() {
    let lab = Lab::new().await;
    for name in ["ubuntu-22", "ubuntu-24", "windows"] {
        lab.machine(name).await.convert_to_template().await.unwrap();
    }
    lab.machine("ubuntu-vm").await;
    let client = trusted(&lab).await;
    let all = call(&client, "list_templates", json!({})).await;
    assert_eq!((&all["total"], &all["truncated"]), (&json!(3), &json!(false)), "{all:#}");
    assert_eq!(all["items"][0]["path"], "/DC0/vm/ubuntu-22");
    assert!(all["items"][0]["host"].is_string() && all["items"][0]["guest_os"].is_string(), "{all:#}");
    let first = call(&client, "list_templates", json!({ "filter": "ubuntu-*", "limit": 1, "fields": ["name"] })).await;
    assert_eq!((&first["items"], &first["total"]), (&json!([{ "name": "ubuntu-22" }]), &json!(2)));
    let next = json!({ "filter": "ubuntu-*", "limit": 1, "cursor": first["next_cursor"] });
    assert_eq!(call(&client, "list_templates", next).await["items"][0]["name"], "ubuntu-24");
}
