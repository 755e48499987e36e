//! What an assistant is asked in ordinary words, as one conversation through an official client, and what govc sees of it.

use std::path::Path;

use peers::{Language, Lifecycle, McpClient, govc};
use serde_json::{Value, json};
use vsphere_sim::{Model, Sim};

use crate::{MCVSPHERE, good};

/// What govc says of VMs.
async fn machines(sim: &Sim, names: &[&str]) -> Vec<Value> {
    let (user, password) = (Model::USER.replace('@', "%40"), Model::PASSWORD.replace('!', "%21"));
    let url = sim.url().replace("://", &format!("://{user}:{password}@"));
    let found = govc(&url, &[&["vm.info", "-r"], names].concat()).await.unwrap();
    found["virtualMachines"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official MCP client and govc: cargo xtask peers"]
async fn peers_conversations_of_a_day_are_done_as_they_are_asked() {
    let sim = Sim::start(Model::demo().pace(0.02)).await.unwrap();
    let client = McpClient::new(Lifecycle::Older)
        .written_in(Language::JavaScript)
        .setting("VCENTER_HOST", &sim.url())
        .setting("VCENTER_USER", Model::USER)
        .setting("VCENTER_PASSWORD", Model::PASSWORD)
        .setting("VCENTER_THUMBPRINT", &sim.thumbprint().unwrap().to_string())
        .setting("LOG_LEVEL", "error");
    let call = |name: &str, arguments: Value| json!({ "name": name, "arguments": arguments });
    // The user is asked, and agrees.
    let agreed = |name: &str, arguments: Value| json!({ "name": name, "arguments": arguments, "answer": "accept" });
    let pool = "/fra1/host/prod-cluster/Resources";
    let three = ["shop-a", "shop-b", "shop-c"];
    let twelve: Vec<String> = (1..=12).map(|number| format!("load-{number:02}")).collect();
    let steps = json!([
        // "Create a VM with 4 CPUs, 8 GB and 100 GB, clone it twice, and take a snapshot of all three."
        call(
            "create_vm",
            json!({ "name": "shop-a", "cpu": 4, "memory_mb": 8192, "disk_gb": 100, "network": "VM Network", "pool": pool })
        ),
        call("clone_vm", json!({ "template": "shop-a", "names": ["shop-b", "shop-c"] })),
        call("create_snapshot", json!({ "vms": three, "snapshot_name": "fresh", "memory": false })),
        // "Give it a serial console that I can reach by telnet."
        agreed("setup_serial_port", json!({ "vm": "shop-a", "protocol": "telnet", "port": 2055 })),
        call("get_serial_port", json!({ "vm": "shop-a" })),
        // "Start it, and show me what is on its screen."
        call("power_on_vm", json!({ "vm": "shop-a" })),
        call("vm_screenshot", json!({ "vm": "shop-a" })),
        // "How long has web-01 been up? I have no SSH."
        agreed(
            "run_command_in_guest",
            json!({ "vm": "web-01", "username": "root", "password": "Guest1!", "command": "uptime" })
        ),
        // "Twelve machines for the load test, and a snapshot of each before it begins."
        call("clone_vm", json!({ "template": "shop-b", "new_name": "load", "count": 12, "disks": "thin" })),
        call("create_snapshot", json!({ "vms": twelve, "snapshot_name": "before the test", "memory": false })),
    ]);
    let report = client.run(Path::new(MCVSPHERE), &steps).await.unwrap();
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 10, "a call for each sentence and a half, and none for each machine");
    for at in [1, 2, 8, 9] {
        assert_eq!(good(&results[at])["failed"], 0, "{:#}", results[at]);
    }

    let made = machines(&sim, &three).await;
    assert_eq!(made.len(), 3);
    for machine in &made {
        let hardware = &machine["config"]["hardware"];
        assert_eq!((&hardware["numCPU"], &hardware["memoryMB"]), (&json!(4), &json!(8192)));
        assert_eq!(machine["snapshot"]["rootSnapshotList"][0]["name"], "fresh");
    }

    let port = good(&results[4]);
    let host = made.iter().find(|machine| machine["name"] == "shop-a").unwrap();
    assert!(port.to_string().contains("telnet://") && port.to_string().contains("2055"), "{port:#}");
    let devices = host["config"]["hardware"]["device"].as_array().unwrap();
    let uri = devices.iter().find_map(|device| device["backing"]["serviceURI"].as_str()).unwrap();
    assert!(uri.starts_with("telnet://") && uri.ends_with(":2055"), "{uri}");

    assert_eq!(host["runtime"]["powerState"], "poweredOn");
    let picture = &results[6]["content"][0];
    assert_eq!((&picture["type"], &picture["mimeType"]), (&json!("image"), &json!("image/png")));
    assert!(picture["data"].as_str().unwrap().starts_with("iVBORw0KGgo"), "the signature of a PNG");

    let uptime = good(&results[7]);
    assert_eq!((&uptime["completed"], &uptime["exit_code"]), (&json!(true), &json!(0)), "{uptime:#}");
    assert!(uptime["stdout"]["text"]["untrusted"].as_str().unwrap().contains("up"), "{uptime:#}");

    let names: Vec<&str> = twelve.iter().map(String::as_str).collect();
    let loads = machines(&sim, &names).await;
    assert_eq!(loads.len(), 12);
    for machine in &loads {
        assert_eq!(machine["snapshot"]["rootSnapshotList"][0]["name"], "before the test");
    }
}
