//! What a user would do in an afternoon, through the official clients over stdio, seen by govc.

use std::path::Path;

use peers::{Language, Lifecycle, McpClient, govc};
use serde_json::{Value, json};
use vsphere_sim::{Model, Sim};

use crate::{MCVSPHERE, good};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official MCP clients: cargo xtask peers"]
async fn peers_story_of_javascript_in_the_older_lifecycle() {
    story(Language::JavaScript, Lifecycle::Older).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official MCP clients: cargo xtask peers"]
async fn peers_story_of_javascript_in_the_stateless_lifecycle() {
    story(Language::JavaScript, Lifecycle::Stateless).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official MCP clients: cargo xtask peers"]
async fn peers_story_of_python_in_the_older_lifecycle() {
    story(Language::Python, Lifecycle::Older).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official MCP clients: cargo xtask peers"]
async fn peers_story_of_python_in_the_stateless_lifecycle() {
    story(Language::Python, Lifecycle::Stateless).await;
}

async fn story(language: Language, lifecycle: Lifecycle) {
    // Tasks take a moment, so that there is progress to tell of.
    let sim = Sim::start(Model::demo().pace(0.05)).await.unwrap();
    let client = McpClient::new(lifecycle)
        .written_in(language)
        .setting("VCENTER_HOST", &sim.url())
        .setting("VCENTER_USER", Model::USER)
        .setting("VCENTER_PASSWORD", Model::PASSWORD)
        .setting("VCENTER_THUMBPRINT", &sim.thumbprint().unwrap().to_string())
        .setting("LOG_LEVEL", "error");
    let three = ["story-1", "story-2", "story-3"];
    let call = |name: &str, arguments: Value| json!({ "name": name, "arguments": arguments });
    let answered =
        |name: &str, arguments: Value, answer: &str| json!({ "name": name, "arguments": arguments, "answer": answer });

    let pool = "/fra1/host/prod-cluster/Resources";
    let steps = json!([
        call(
            "create_vm",
            json!({ "name": "story-1", "cpu": 2, "memory_mb": 2048, "disk_gb": 10, "network": "VM Network", "pool": pool })
        ),
        call("create_vm", json!({ "name": "story-2", "cpu": 1, "memory_mb": 1024, "disk_gb": 5, "pool": pool })),
        call("clone_vm", json!({ "template": "story-1", "new_name": "story-3" })),
        call("add_disk", json!({ "vm": "story-3", "size_gb": 3 })),
        call("add_nic", json!({ "vm": "story-3", "network": "VM Network" })),
        call("create_snapshot", json!({ "vms": three, "snapshot_name": "before", "memory": false })),
    ]);
    let report = client.run(Path::new(MCVSPHERE), &steps).await.unwrap();
    let protocol = if lifecycle == Lifecycle::Older { "2025-11-25" } else { "2026-07-28" };
    assert_eq!((&report["protocol"], &report["server"]["name"]), (&json!(protocol), &json!("mcvsphere")));
    let results = report["results"].as_array().unwrap();
    for done in results {
        good(done);
    }
    assert_eq!(good(&results[5])["failed"], 0, "{:#}", results[5]);
    assert!(!report["progress"].as_array().unwrap().is_empty());
    let first = machine(&sim, "story-1").await.unwrap();
    let hardware = &first["config"]["hardware"];
    assert_eq!((&hardware["numCPU"], &hardware["memoryMB"]), (&json!(2), &json!(2048)));
    let third = machine(&sim, "story-3").await.unwrap();
    assert_eq!((sizes_gb(&first), sizes_gb(&third)), (vec![10], vec![10, 3]));
    assert_eq!((cards(&first), cards(&third)), (1, 2));

    let steps = json!([
        { "watch": "esxi://vms" },
        call("power_on_vm", json!({ "vms": three })),
        { "told": "esxi://vms" },
        { "read": "esxi://vms" },
        answered("delete_vm", json!({ "vm": "story-3" }), "decline"),
    ]);
    let report = client.run(Path::new(MCVSPHERE), &steps).await.unwrap();
    let results = report["results"].as_array().unwrap();
    assert_eq!(good(&results[1])["failed"], 0, "{:#}", results[1]);
    let vms: Value = serde_json::from_str(results[3]["contents"][0]["text"].as_str().unwrap()).unwrap();
    for name in three {
        let listed = vms["items"].as_array().unwrap().iter().find(|vm| vm["name"] == name).unwrap();
        assert_eq!(listed["power_state"], "powered_on", "{listed:#}");
        let seen = machine(&sim, name).await.unwrap();
        assert_eq!(seen["runtime"]["powerState"], "poweredOn", "{name}");
        assert_eq!(seen["snapshot"]["rootSnapshotList"][0]["name"], "before", "{name}");
    }

    // The user was shown what would be lost, and said no.
    assert_eq!(results[4]["structuredContent"]["code"], "declined", "{:#}", results[4]);
    let questions = report["questions"].as_array().unwrap();
    assert!(questions.len() == 1 && questions[0].as_str().unwrap().contains("story-3"), "{questions:?}");

    // Now he agrees. A client that can't ask goes by the plan that it was given.
    let agreed = json!([answered("delete_vm", json!({ "vm": "story-3" }), "accept")]);
    good(&client.run(Path::new(MCVSPHERE), &agreed).await.unwrap()["results"][0]);
    assert!(machine(&sim, "story-3").await.is_none());
    let arguments = json!({ "vm": "story-2" });
    let planned = json!([
        call("delete_vm", arguments.clone()),
        { "name": "delete_vm", "arguments": arguments, "confirm": true },
    ]);
    let report = client.run(Path::new(MCVSPHERE), &planned).await.unwrap();
    let plan = good(&report["results"][0]);
    assert_eq!(plan["confirmation_required"], true, "{plan:#}");
    good(&report["results"][1]);
    assert!(machine(&sim, "story-2").await.is_none());
    assert!(machine(&sim, "story-1").await.is_some());
}

/// A machine as govc sees it, where there is one.
async fn machine(sim: &Sim, name: &str) -> Option<Value> {
    let (user, password) = (Model::USER.replace('@', "%40"), Model::PASSWORD.replace('!', "%21"));
    let url = sim.url().replace("://", &format!("://{user}:{password}@"));
    let found = govc(&url, &["vm.info", "-r", name]).await.unwrap();
    found["virtualMachines"].as_array()?.first().cloned()
}

fn devices(machine: &Value) -> impl Iterator<Item = &Value> {
    machine["config"]["hardware"]["device"].as_array().unwrap().iter()
}

fn sizes_gb(machine: &Value) -> Vec<u64> {
    devices(machine).filter_map(|device| device["capacityInKB"].as_u64()).map(|kb| kb >> 20).collect()
}

fn cards(machine: &Value) -> usize {
    devices(machine).filter(|device| device["macAddress"].is_string()).count()
}
