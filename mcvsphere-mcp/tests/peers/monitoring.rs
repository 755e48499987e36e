//! Monitoring, datastores, networks and pools on vcsim; what govc says of the same objects is what must be told.

use peers::{Vcsim, govc, govc_run};
use serde_json::{Value, json};

use crate::{call, command};

async fn asked(vcsim: &Vcsim, arguments: &[&str]) -> Value {
    govc(&vcsim.govc_url(), arguments).await.unwrap()
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_statistics_of_a_machine_and_a_host() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let vm = call(&vcsim.url(), "get_vm_stats", &["vm=DC0_H0_VM0".to_owned()]).await;
    let info = asked(&vcsim, &["vm.info", "DC0_H0_VM0"]).await;
    let summary = &info["virtualMachines"][0]["summary"];
    assert_eq!((&vm["power_state"], &vm["memory_mb"]), (&json!("powered_on"), &summary["config"]["memorySizeMB"]));
    assert_eq!(vm["cpu"], summary["config"]["numCpu"], "{vm:#}");
    let has = |stats: &Value, name: &str| {
        let counters = stats["realtime"]["counters"].as_array().unwrap();
        counters.iter().any(|counter| counter["name"] == name)
    };
    for name in ["cpu_usage_percent", "cpu_ready_ms", "cpu_ready_percent", "memory_active_mb"] {
        assert!(has(&vm, name), "{name}: {vm:#}");
    }

    let host = call(&vcsim.url(), "get_host_stats", &["host=DC0_H0".to_owned()]).await;
    let info = asked(&vcsim, &["host.info", "DC0_H0"]).await;
    let summary = &info["hostSystems"][0]["summary"];
    assert_eq!(host["cpu_cores"], summary["hardware"]["numCpuCores"], "{host:#}");
    assert_eq!(host["memory_usage_mb"], summary["quickStats"]["overallMemoryUsage"], "{host:#}");
    assert!(has(&host, "cpu_usage_percent"), "{host:#}");
    // Four hosts: none is guessed.
    let several = command(&vcsim.url(), "get_host_stats", &[]).await;
    let error: Value = serde_json::from_slice(&several.stdout).unwrap();
    assert_eq!((&error["code"], error["candidates"].as_array().unwrap().len()), (&json!("ambiguous"), 4), "{error:#}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_tools_are_told_and_waited_for() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let status = call(&vcsim.url(), "get_vm_tools_status", &["vm=DC0_H0_VM0".to_owned()]).await;
    let info = asked(&vcsim, &["vm.info", "DC0_H0_VM0"]).await;
    let guest = &info["virtualMachines"][0]["guest"];
    assert_eq!(status["running_status"], guest["toolsRunningStatus"], "{status:#}");
    // vcsim's guests have no Tools: the wait ends in time, and with what was seen.
    let output =
        command(&vcsim.url(), "wait_for_vm_tools", &["vm=DC0_H0_VM0".to_owned(), "timeout=1".to_owned()]).await;
    let ended: Value = serde_json::from_slice(&output.stdout).unwrap();
    match guest["toolsRunningStatus"].as_str() {
        Some("guestToolsRunning") => assert_eq!(ended["running_status"], "guestToolsRunning"),
        _ => assert_eq!(ended["code"], "timeout", "{ended:#}"),
    }
    govc_run(&vcsim.govc_url(), &["vm.power", "-off", "DC0_H0_VM0"]).await.unwrap();
    let output = command(&vcsim.url(), "wait_for_vm_tools", &["vm=DC0_H0_VM0".to_owned()]).await;
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["code"], "invalid_state", "{error:#}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_alarms_and_events() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    // An alarm of vcsim's own that looks at the power state.
    govc_run(&vcsim.govc_url(), &["vm.power", "-off", "DC0_H0_VM0"]).await.unwrap();
    let alarms = call(&vcsim.url(), "get_alarms", &[]).await;
    assert_eq!(alarms["returned"], json!(alarms["items"].as_array().unwrap().len()), "{alarms:#}");
    let of_one = call(&vcsim.url(), "get_alarms", &["entity=DC0_H0_VM0".to_owned()]).await;
    assert!(of_one["total"].as_u64() <= alarms["total"].as_u64(), "{of_one:#}");

    let events = call(&vcsim.url(), "get_recent_events", &["count=10".to_owned()]).await;
    let items = events["items"].as_array().unwrap();
    assert_eq!((items.len(), &events["truncated"]), (10, &json!(true)), "{events:#}");
    assert!(items.windows(2).all(|pair| pair[0]["key"].as_i64() > pair[1]["key"].as_i64()), "{events:#}");
    let off = items.iter().find(|event| event["type"] == "VmPoweredOffEvent").unwrap();
    assert_eq!(off["entity"], "DC0_H0_VM0", "{off:#}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_datastore_network_and_pool() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let datastore = call(&vcsim.url(), "get_datastore_info", &["datastore=LocalDS_0".to_owned()]).await;
    let info = asked(&vcsim, &["datastore.info", "LocalDS_0"]).await;
    let summary = &info["datastores"][0]["summary"];
    let gib = |bytes: &Value| (bytes.as_f64().unwrap() / 1_073_741_824.0 * 100.0).round() / 100.0;
    assert_eq!(datastore["capacity_gb"], json!(gib(&summary["capacity"])), "{datastore:#}");
    assert_eq!(datastore["free_gb"], json!(gib(&summary["freeSpace"])), "{datastore:#}");
    assert_eq!(datastore["vm_count"], json!(info["datastores"][0]["vm"].as_array().unwrap().len()), "{datastore:#}");

    let network = call(&vcsim.url(), "get_network_info", &["network=VM Network".to_owned()]).await;
    assert_eq!(network["kind"], "standard", "{network:#}");
    // vcsim's standard network knows no hosts, and none of its networks knows its machines.
    assert_eq!(network["vm_count"], 0, "{network:#}");
    govc_run(&vcsim.govc_url(), &["dvs.portgroup.change", "-vlan", "42", "DC0_DVPG0"]).await.unwrap();
    let group = call(&vcsim.url(), "get_network_info", &["network=DC0_DVPG0".to_owned()]).await;
    assert_eq!((&group["kind"], &group["switch"]), (&json!("distributed"), &json!("DVS0")), "{group:#}");
    assert_eq!(group["vlan"], json!({ "type": "id", "id": 42 }), "{group:#}");
    assert_eq!(group["host_count"], 4, "{group:#}");

    let path = "/DC0/host/DC0_C0/Resources";
    govc_run(&vcsim.govc_url(), &["pool.change", "-cpu.limit", "4000", "-mem.shares", "high", path]).await.unwrap();
    let pool = call(&vcsim.url(), "get_resource_pool_info", &[format!("pool={path}")]).await;
    assert_eq!((&pool["cluster"], &pool["root"]), (&json!("DC0_C0"), &json!(true)), "{pool:#}");
    assert_eq!(
        (&pool["cpu"]["limit_mhz"], &pool["memory"]["shares_level"]),
        (&json!(4000), &json!("high")),
        "{pool:#}"
    );
    assert_eq!(pool["vm_count"], 2, "{pool:#}");
}
