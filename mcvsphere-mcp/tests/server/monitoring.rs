//! Statistics, VMware Tools, alarms and events, on a simulated vCenter.

use std::time::{Duration, Instant};

use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, CallToolResult},
    service::RunningService,
};
use serde_json::{Value, json};
use vsphere_ops::{
    Mo,
    managed::{AlarmManager, EventManager, HostSystem, VirtualMachine, host_system, virtual_machine as vm},
    types::{EventEx, ManagedObjectReference, Poly},
};
use vsphere_sim::{Model, Size};

use crate::{connect, lab::Lab};

/// The structured content of a call's answer, which must be good.
pub(crate) async fn good(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> Value {
    let result = call(client, tool, arguments).await;
    assert_ne!(result.is_error, Some(true), "{result:?}");
    result.structured_content.unwrap()
}

/// Code and message of a call that must fail.
pub(crate) async fn bad(
    client: &RunningService<RoleClient, ()>,
    tool: &'static str,
    arguments: Value,
) -> (String, String) {
    let result = call(client, tool, arguments).await;
    assert_eq!(result.is_error, Some(true), "{result:?}");
    let content = result.structured_content.unwrap();
    let text = |key: &str| content[key].as_str().unwrap().to_owned();
    (text("code"), text("message"))
}

async fn call(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> CallToolResult {
    let arguments = arguments.as_object().unwrap().clone();
    client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await.unwrap()
}

/// The measured values by their names.
fn measured(stats: &Value) -> Vec<(&str, f64)> {
    let rows = stats["realtime"]["counters"].as_array().unwrap();
    rows.iter().map(|row| (row["name"].as_str().unwrap(), row["latest"].as_f64().unwrap())).collect()
}

#[tokio::test]
async fn the_statistics_of_a_machine_are_those_of_its_host_and_its_own() {
    let lab = Lab::of(Model::demo()).await;
    let client = connect(lab.server(&[])).await;
    let running = running(&lab).await;
    let stats = good(&client, "get_vm_stats", json!({ "vm": running.label() })).await;
    let quick = running.read(vm::QUICK_STATS).await.unwrap();
    assert_eq!(stats["power_state"], "powered_on");
    assert_eq!(stats["cpu"], json!(running.read(vm::NUM_CPU).await.unwrap()));
    assert!(stats["uptime_seconds"].as_i64().unwrap() >= i64::from(quick.uptime_seconds.unwrap()) - 60, "{stats:#}");
    let host = running.read(vm::HOST).await.unwrap().unwrap();
    let hosts = lab.client.get::<HostSystem>(&host.value).await.unwrap();
    assert_eq!(stats["host"], hosts.label());
    let counters = measured(&stats);
    for name in [
        "cpu_ready_percent",
        "cpu_ready_ms",
        "memory_active_mb",
        "memory_ballooned_mb",
        "memory_swapped_mb",
        "disk_latency_ms",
        "disk_read_latency_ms",
        "net_received_kb_per_s",
    ] {
        assert!(counters.iter().any(|(known, _)| *known == name), "{name}: {counters:?}");
    }
    let value = |name: &str| counters.iter().find(|(known, _)| *known == name).unwrap().1;
    let cpus = stats["cpu"].as_f64().unwrap();
    assert!((value("cpu_ready_percent") - value("cpu_ready_ms") / 200.0 / cpus).abs() < 0.01, "{counters:?}");
    // What the server itself says of the newest sample.
    let report = lab.client.performance().query(["mem.active.average"]).entity(running.reference()).samples(2);
    let active: Vec<f64> =
        report.await.unwrap().series[0].values().filter_map(|(_, value)| value).map(|kib| kib / 1024.0).collect();
    assert!(active.iter().any(|mib| (mib - value("memory_active_mb")).abs() < 0.01), "{active:?} {counters:?}");
}

#[tokio::test]
async fn a_machine_that_is_off_has_no_measurements_and_says_so() {
    let lab = Lab::new().await;
    lab.machine("web-1").await;
    let client = connect(lab.server(&[])).await;
    let stats = good(&client, "get_vm_stats", json!({ "vm": "web-1" })).await;
    assert_eq!((&stats["power_state"], &stats["memory_mb"]), (&json!("powered_off"), &json!(1024)));
    assert!(stats["note"].as_str().unwrap().contains("powered_off"), "{stats:#}");
    for absent in ["realtime", "cpu_usage_mhz", "uptime_seconds", "memory_active_mb"] {
        assert!(stats.get(absent).is_none(), "{absent}: {stats:#}");
    }
    assert_eq!(bad(&client, "get_vm_stats", json!({ "vm": "nobody" })).await.0, "not_found");
}

#[tokio::test]
async fn the_statistics_of_a_host_need_its_name_only_where_there_are_several() {
    let lab = Lab::new().await;
    let client = connect(lab.server(&[])).await;
    let (code, message) = bad(&client, "get_host_stats", json!({})).await;
    assert_eq!(code, "ambiguous");
    for candidate in ["/DC0/host/DC0_C0/DC0_C0_H0 (host-", "DC0_C0_H1 (host-"] {
        assert!(message.contains(candidate), "{message}");
    }
    let stats = good(&client, "get_host_stats", json!({ "host": "DC0_C0_H1" })).await;
    let host = lab.client.get::<HostSystem>("DC0_C0_H1").await.unwrap();
    let hardware = host.read(host_system::SUMMARY_HARDWARE).await.unwrap().unwrap();
    assert_eq!((&stats["id"], &stats["cpu_cores"]), (&json!(host.id()), &json!(hardware.num_cpu_cores)));
    assert_eq!(stats["memory_mb"], json!(hardware.memory_size >> 20));
    let share = stats["memory_usage_mb"].as_f64().unwrap() / stats["memory_mb"].as_f64().unwrap() * 100.0;
    assert!((stats["memory_usage_percent"].as_f64().unwrap() - share).abs() < 0.01, "{stats:#}");
    let counters = measured(&stats);
    for name in ["cpu_usage_percent", "cpu_ready_percent", "memory_swapped_mb", "disk_latency_ms"] {
        assert!(counters.iter().any(|(known, _)| *known == name), "{name}: {counters:?}");
    }

    let lab = Lab::of(Model::esxi()).await;
    let client = connect(lab.server(&[])).await;
    let stats = good(&client, "get_host_stats", json!({})).await;
    assert_eq!(stats["connection_state"], "connected");
    assert!(!measured(&stats).is_empty());
}

#[tokio::test]
async fn a_host_that_is_away_says_so_instead_of_zeros() {
    let lab = Lab::new().await;
    let host = lab.client.get::<HostSystem>("DC0_C0_H0").await.unwrap();
    let task = host.disconnect_host_task().await.unwrap();
    vsphere_ops::Task::<()>::new(&lab.client, task, "disconnect", "host").await.unwrap();
    let client = connect(lab.server(&[])).await;
    let stats = good(&client, "get_host_stats", json!({ "host": "DC0_C0_H0" })).await;
    assert_eq!(stats["connection_state"], "disconnected");
    assert!(stats["note"].as_str().unwrap().contains("disconnected"), "{stats:#}");
    assert!(stats.get("realtime").is_none() && stats.get("cpu_usage_mhz").is_none(), "{stats:#}");
}

#[tokio::test]
async fn tools_are_waited_for_without_polling() {
    let size = Size { vms: 0, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 };
    let lab = Lab::of(Model::sized(size).pace(0.3)).await;
    let machine = lab.machine("web-1").await;
    let client = connect(lab.server(&[])).await;
    let (code, message) = bad(&client, "wait_for_vm_tools", json!({ "vm": "web-1" })).await;
    assert_eq!(code, "invalid_state");
    assert!(message.contains("powered_off") && message.contains("power_on_vm"), "{message}");

    machine.power_on().await.unwrap().await.unwrap();
    let started = Instant::now();
    let ready = good(&client, "wait_for_vm_tools", json!({ "vm": "web-1", "timeout": 60 })).await;
    assert_eq!(ready["running_status"], "guestToolsRunning", "{ready:#}");
    // 6 s of a start at this pace.
    let waited = ready["waited_seconds"].as_f64().unwrap();
    assert!(waited >= 1.0 && waited <= started.elapsed().as_secs_f64() + 0.1, "{waited}");
    assert!(
        ready["version"].is_string() && ready["ip"].is_string() || ready["guest_host_name"]["untrusted"] == "web-1",
        "{ready:#}"
    );
    let running = machine.read(vm::TOOLS_RUNNING_STATUS).await.unwrap();
    assert_eq!(running.as_deref(), Some("guestToolsRunning"));

    let again = good(&client, "wait_for_vm_tools", json!({ "vm": "web-1" })).await;
    assert!(again["waited_seconds"].as_f64().unwrap() < 1.0, "{again:#}");
    assert_eq!(bad(&client, "wait_for_vm_tools", json!({ "vm": "web-1", "timeout": 0 })).await.0, "invalid_argument");
}

#[tokio::test]
async fn the_wait_for_tools_ends_with_what_was_seen_and_with_the_machine() {
    let size = Size { vms: 0, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 };
    let lab = Lab::of(Model::sized(size).pace(1.0)).await;
    let machine = lab.running("web-1").await;
    let client = connect(lab.server(&[])).await;
    let (code, message) = bad(&client, "wait_for_vm_tools", json!({ "vm": "web-1", "timeout": 1 })).await;
    assert_eq!(code, "timeout");
    assert!(message.contains("after 1 s they are guestToolsNotRunning"), "{message}");

    let waiting = good_or_bad(&client, "web-1");
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        machine.power_off().await.unwrap().await.unwrap();
    };
    let (ended, ()) = tokio::join!(waiting, stopping);
    assert_eq!(ended["code"], "invalid_state", "{ended:#}");
}

async fn good_or_bad(client: &RunningService<RoleClient, ()>, vm: &str) -> Value {
    call(client, "wait_for_vm_tools", json!({ "vm": vm })).await.structured_content.unwrap()
}

#[tokio::test]
async fn the_state_of_tools_is_told_of_machines_that_run_and_of_those_that_do_not() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    lab.machine("db-1").await;
    let client = connect(lab.server(&[])).await;
    let status = good(&client, "get_vm_tools_status", json!({ "vm": "web-1" })).await;
    let guest = machine.read(vm::GUEST).await.unwrap().unwrap();
    assert_eq!(status["running_status"], json!(guest.tools_running_status));
    assert_eq!(status["version_status"], json!(guest.tools_version_status2));
    assert_eq!(status["guest_operations_ready"], json!(guest.guest_operations_ready));
    assert_eq!(status["guest_host_name"]["untrusted"], json!(guest.host_name));
    assert_eq!(status["installer_mounted"], false);
    let off = good(&client, "get_vm_tools_status", json!({ "vm": "db-1" })).await;
    assert_eq!((&off["power_state"], &off["running_status"]), (&json!("powered_off"), &json!("guestToolsNotRunning")));
    assert_eq!(bad(&client, "get_vm_tools_status", json!({ "vm": "nobody" })).await.0, "not_found");
}

/// An event that triggers a default alarm on a machine.
async fn trigger(lab: &Lab, machine: &ManagedObjectReference) {
    let event = EventEx {
        event_type_id: "com.vmware.vc.VmDiskConsolidationNeeded".to_owned(),
        object_id: Some(machine.value.clone()),
        object_type: Some(machine.type_.clone()),
        ..Default::default()
    };
    let manager: EventManager = lab.client.raw(lab.client.content().event_manager.as_ref().unwrap());
    manager.post_event(&Poly::new(event), None).await.unwrap();
}

#[tokio::test]
async fn triggered_alarms_are_listed_for_all_and_for_one_object() {
    let lab = Lab::new().await;
    let (web, db) = (lab.running("web-1").await, lab.running("db-1").await);
    let client = connect(lab.server(&[])).await;
    let none = good(&client, "get_alarms", json!({})).await;
    assert_eq!((&none["total"], &none["truncated"]), (&json!(0), &json!(false)), "{none:#}");
    trigger(&lab, web.reference()).await;
    trigger(&lab, db.reference()).await;

    let all = good(&client, "get_alarms", json!({})).await;
    assert_eq!((&all["returned"], &all["total"]), (&json!(2), &json!(2)), "{all:#}");
    assert_eq!(all["items"][0]["acknowledged"], false);
    assert_eq!(all["items"][0]["entity_type"], "VirtualMachine");
    let alarm = all["items"][0]["alarm_id"].as_str().unwrap();
    let manager: AlarmManager = lab.client.raw(lab.client.content().alarm_manager.as_ref().unwrap());
    let alarm = ManagedObjectReference::new("Alarm", alarm);
    manager.acknowledge_alarm(&alarm, web.reference()).await.unwrap();

    // By name, by id, by path, and of what is above them.
    for entity in ["web-1", web.id(), "/DC0/vm/web-1"] {
        let of_one = good(&client, "get_alarms", json!({ "entity": entity })).await;
        assert_eq!(of_one["total"], 1, "{entity}: {of_one:#}");
        let item = &of_one["items"][0];
        assert_eq!((&item["entity"], &item["acknowledged"]), (&json!("web-1"), &json!(true)));
        assert!(item["acknowledged_by"].as_str().unwrap().contains("Administrator"), "{item:#}");
    }
    assert_eq!(good(&client, "get_alarms", json!({ "entity": "DC0_C0" })).await["total"], 2);
    assert_eq!(good(&client, "get_alarms", json!({ "entity": "DC0_DS0" })).await["total"], 0);
    assert_eq!(bad(&client, "get_alarms", json!({ "entity": "nowhere" })).await.0, "not_found");

    // Page by page, each once.
    let first = good(&client, "get_alarms", json!({ "limit": 1, "fields": ["entity"] })).await;
    assert_eq!((&first["returned"], &first["truncated"]), (&json!(1), &json!(true)));
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = good(&client, "get_alarms", json!({ "limit": 1, "cursor": cursor, "fields": ["entity"] })).await;
    let mut entities = [&first["items"][0], &second["items"][0]].map(ToString::to_string);
    entities.sort();
    assert_eq!(entities, [r#"{"entity":"db-1"}"#, r#"{"entity":"web-1"}"#]);
    assert!(second.get("next_cursor").is_none());
    let name = all["items"][0]["alarm"].as_str().unwrap();
    let filtered = good(&client, "get_alarms", json!({ "filter": name })).await;
    assert_eq!(filtered["total"], 2);
    assert_eq!(good(&client, "get_alarms", json!({ "filter": "no-such-*" })).await["total"], 0);
}

#[tokio::test]
async fn a_field_is_known_by_its_list_and_not_by_its_rows() {
    let lab = Lab::new().await;
    lab.machine("web-1").await;
    let client = connect(lab.server(&[])).await;
    // A machine that is off has no address, and a list without rows no fields at all.
    let page = good(&client, "list_vms", json!({ "fields": ["name", "ip"] })).await;
    assert_eq!(page["items"], json!([{ "name": "web-1", "ip": null }]));
    assert_eq!(good(&client, "get_alarms", json!({ "fields": ["acknowledged_by"] })).await["items"], json!([]));
    for tool in ["list_vms", "list_hosts", "get_alarms"] {
        let (code, message) = bad(&client, tool, json!({ "fields": ["size"] })).await;
        assert_eq!(code, "invalid_argument");
        assert!(
            message.contains("`fields`: unknown field `size`: there are name, ")
                || message.contains("there are alarm, "),
            "{message}"
        );
    }
    // Each field that a row has can be chosen.
    let hosts = good(&client, "list_hosts", json!({})).await;
    let fields: Vec<&String> = hosts["items"][0].as_object().unwrap().keys().collect();
    assert_eq!(good(&client, "list_hosts", json!({ "fields": fields })).await["items"], hosts["items"]);
    trigger(&lab, lab.running("db-1").await.reference()).await;
    let alarms = good(&client, "get_alarms", json!({})).await;
    let fields: Vec<&String> = alarms["items"][0].as_object().unwrap().keys().collect();
    assert_eq!(good(&client, "get_alarms", json!({ "fields": fields })).await["items"], alarms["items"]);
}

#[tokio::test]
async fn recent_events_come_newest_first_and_say_whether_there_are_more() {
    let lab = Lab::new().await;
    let web = lab.running("web-1").await;
    web.power_off().await.unwrap().await.unwrap();
    let client = connect(lab.server(&[])).await;
    let events = good(&client, "get_recent_events", json!({ "hours": 1 })).await;
    let items = events["items"].as_array().unwrap();
    let known = lab.client.events().last(Duration::from_secs(3600)).latest(1000).await.unwrap();
    assert!(items.len() <= known.len() && items.len() > 4, "{events:#}");
    assert!(items.windows(2).all(|pair| pair[0]["key"].as_i64() > pair[1]["key"].as_i64()), "{events:#}");
    let off = items.iter().find(|event| event["type"] == "VmPoweredOffEvent").unwrap();
    assert_eq!((&off["entity"], &off["entity_id"]), (&json!("web-1"), &json!(web.id())));
    assert!(off["user"].as_str().unwrap().contains("Administrator"), "{off:#}");
    assert!(off["message"]["untrusted"].as_str().unwrap().contains("web-1"), "{off:#}");

    let two = good(&client, "get_recent_events", json!({ "count": 2 })).await;
    assert_eq!((&two["returned"], &two["truncated"]), (&json!(2), &json!(true)));
    assert!(two.get("total").is_none(), "how many there are was not counted: {two:#}");
    assert_eq!(bad(&client, "get_recent_events", json!({ "count": 1001 })).await.0, "invalid_argument");
    assert_eq!(bad(&client, "get_recent_events", json!({ "hours": 9000 })).await.0, "invalid_argument");
}

/// A machine of the demo that runs.
async fn running(lab: &Lab) -> Mo<VirtualMachine> {
    let all = lab.client.all::<VirtualMachine>().select((vm::NAME, vm::POWER_STATE)).await.unwrap();
    let (found, (name, _)) = all.into_iter().find(|(_, (_, state))| state.as_str() == "poweredOn").unwrap();
    lab.client.get(&name).await.unwrap_or(found)
}
