//! The list of machines from memory: the same as the server's, never older than what this server changed, and not used
//! where it does not follow.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rmcp::{RoleClient, model::CallToolRequestParams, service::RunningService};
use serde_json::{Value, json};
use vsphere_ops::{
    ListQuery,
    managed::VirtualMachine,
    types::VirtualMachinePowerState,
    vm::{self, VmQuery},
};
use vsphere_sim::{Model, Size, Trouble};

use crate::{connect, lab::Lab};

type Client = RunningService<RoleClient, ()>;

async fn call(client: &Client, tool: &str, arguments: Value) -> Value {
    let arguments = arguments.as_object().unwrap().clone();
    let result = client.call_tool(CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments)).await.unwrap();
    assert_ne!(result.is_error, Some(true), "{tool}: {result:?}");
    result.structured_content.unwrap()
}

async fn list(client: &Client, arguments: Value) -> Value {
    call(client, "list_vms", arguments).await
}

/// How often properties were read, by whatever method.
fn reads(lab: &Lab) -> u64 {
    let methods = ["RetrieveProperties", "RetrievePropertiesEx", "ContinueRetrievePropertiesEx"];
    methods.iter().map(|method| lab.sim.calls(method)).sum()
}

/// Lists until it takes no request.
async fn warm_up(lab: &Lab, client: &Client) {
    let started = Instant::now();
    loop {
        let before = reads(lab);
        list(client, json!({ "limit": 1 })).await;
        if reads(lab) == before {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "the mirror does not become warm");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_machine_is_found_by_name_with_all_names_in_one_request_and_in_memory_with_none() {
    let lab = crowd().await;
    let client = connect(lab.server(&[])).await;
    call(&client, "get_vcenter_info", json!({})).await;
    let requests = || reads(&lab) + lab.sim.calls("CreateContainerView");
    let before = requests();
    let info = call(&client, "get_vm_info", json!({ "vm": "DC0_C0_VM129" })).await;
    assert_eq!(info["path"], "/DC0/vm/DC0_C0_VM129");
    assert!(requests() - before <= 4, "{} requests", requests() - before);
    warm_up(&lab, &client).await;
    for what in [&info["name"], &info["id"], &info["instance_uuid"], &info["uuid"]] {
        let before = requests();
        assert_eq!(call(&client, "get_vm_info", json!({ "vm": what })).await["id"], info["id"]);
        assert!(requests() - before <= 2, "{} requests for {what}", requests() - before);
    }
}

#[tokio::test]
async fn lookups_by_name_start_the_mirror_too() {
    let lab = crowd().await;
    let client = connect(lab.server(&[])).await;
    let started = Instant::now();
    loop {
        let before = reads(&lab);
        call(&client, "get_vm_info", json!({ "vm": "DC0_C0_VM7" })).await;
        if reads(&lab) - before <= 2 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "the mirror does not become warm");
    }
}

#[tokio::test]
async fn the_machines_of_hosts_are_counted_in_memory_as_on_the_server() {
    let lab = crowd().await;
    let client = connect(lab.server(&[])).await;
    let theirs = call(&client, "list_hosts", json!({})).await["items"].clone();
    assert_eq!(theirs.as_array().unwrap().iter().map(|host| host["vms"].as_u64().unwrap()).sum::<u64>(), 130);
    warm_up(&lab, &client).await;
    assert_eq!(call(&client, "list_hosts", json!({})).await["items"], theirs);
    let named = call(&client, "list_hosts", json!({ "fields": ["name"] })).await["items"][0].clone();
    assert_eq!(named.as_object().unwrap().len(), 1, "{named}");
}

/// 130 machines: more than a page of the simulated vCenter's property collector.
async fn crowd() -> Lab {
    Lab::of(Model::sized(Size { vms: 130, hosts: 3, datacenters: 1, clusters: 1, datastores: 1 })).await
}

#[tokio::test]
async fn the_first_page_takes_the_names_of_all_and_the_details_of_its_own() {
    let lab = crowd().await;
    // Without its collector the mirror never comes, and all lists are the server's.
    lab.sim.trouble(Trouble::none().fail("CreatePropertyCollector", "RuntimeFault", u32::MAX));
    let client = connect(lab.server(&[])).await;
    call(&client, "get_vcenter_info", json!({})).await;
    let count = || (reads(&lab), lab.sim.calls("CreateContainerView"));
    let before = count();
    let page = list(&client, json!({})).await;
    assert_eq!((&page["returned"], &page["total"]), (&json!(50), &json!(130)));
    assert!(page["items"][0]["host"].as_str().unwrap().starts_with("DC0_C0_H"), "a name: {}", page["items"][0]);
    assert_eq!(count(), (before.0 + 2, before.1 + 1));
    // The view is there.
    let second = list(&client, json!({ "cursor": page["next_cursor"] })).await;
    assert_eq!(second["returned"], 50);
    assert_eq!(count(), (before.0 + 4, before.1 + 1));
}

#[tokio::test]
async fn the_mirror_answers_as_the_server_does_and_without_a_request() {
    let lab = crowd().await;
    let machine = lab.client.get::<VirtualMachine>(&list_names(&lab).await[7]).await.unwrap();
    machine.power_off().await.unwrap().await.unwrap();
    let client = connect(lab.server(&[])).await;
    warm_up(&lab, &client).await;
    let host = list(&client, json!({ "limit": 1 })).await["items"][0]["host"].clone();
    for (arguments, query) in [
        (json!({}), VmQuery { page: ListQuery::first(50), ..VmQuery::default() }),
        (json!({ "limit": 1000 }), VmQuery { page: ListQuery::first(1000), ..VmQuery::default() }),
        (
            json!({ "filter": "*_VM1*" }),
            VmQuery { page: ListQuery::first(50).matching("*_VM1*"), ..VmQuery::default() },
        ),
        (
            json!({ "power_state": "powered_off" }),
            VmQuery {
                power_state: Some(VirtualMachinePowerState::PoweredOff),
                page: ListQuery::first(50),
                ..VmQuery::default()
            },
        ),
        (
            json!({ "host": host, "limit": 1000 }),
            VmQuery { host: host.as_str().map(str::to_owned), page: ListQuery::first(1000), ..VmQuery::default() },
        ),
    ] {
        let theirs = json!(vm::list(&lab.client, &query).await.unwrap());
        assert!(theirs["total"].as_u64().unwrap() > 0, "{arguments}");
        let before = reads(&lab);
        let mut ours = list(&client, arguments.clone()).await;
        assert_eq!(reads(&lab), before, "{arguments} took a request");
        let page = ours.as_object_mut().unwrap();
        let (live, age) = (page.remove("live"), page.remove("age_seconds"));
        assert_eq!(live, Some(json!(true)), "an answer from memory says that it is current");
        assert!(age.unwrap().as_f64().unwrap() < 15.0, "and how old it is");
        assert_eq!(ours, theirs, "{arguments}");
    }
    // All pages, each machine once.
    let (before, mut names, mut cursor) = (reads(&lab), BTreeMap::new(), Value::Null);
    loop {
        let arguments = if cursor.is_null() { json!({}) } else { json!({ "cursor": cursor }) };
        let page = list(&client, arguments).await;
        for item in page["items"].as_array().unwrap() {
            *names.entry(item["id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(reads(&lab), before);
    assert!(names.len() == 130 && names.values().all(|count| *count == 1), "{names:?}");
    // What it does not hold is the server's to answer, as are its errors.
    assert_eq!(list(&client, json!({ "cluster": "DC0_C0", "limit": 1 })).await["total"], 130);
    assert_eq!(list(&client, json!({ "folder": "/DC0/vm", "limit": 1 })).await["total"], 130);
    assert!(reads(&lab) > before);
    let wrong =
        CallToolRequestParams::new("list_vms").with_arguments(json!({ "host": "no" }).as_object().unwrap().clone());
    let error = client.call_tool(wrong).await.unwrap();
    assert_eq!(error.structured_content.unwrap()["code"], "not_found");
}

async fn list_names(lab: &Lab) -> Vec<String> {
    let page = vm::list(&lab.client, &VmQuery { page: ListQuery::first(1000), ..VmQuery::default() }).await.unwrap();
    page.items.into_iter().map(|vm| vm.name).collect()
}

#[tokio::test]
async fn what_this_server_changed_is_in_the_next_list() {
    let lab = Lab::new().await;
    for name in ["web-1", "web-2", "web-3"] {
        lab.machine(name).await;
    }
    let client = connect(lab.server(&[("MCP_CONFIRM", "never")])).await;
    warm_up(&lab, &client).await;
    let mut from_memory = 0;
    for turn in 0..30 {
        let (tool, state) = if turn % 2 == 0 { ("power_on_vm", "powered_on") } else { ("power_off_vm", "powered_off") };
        call(&client, tool, json!({ "vms": ["web-1", "web-2", "web-3"] })).await;
        let before = reads(&lab);
        let page = list(&client, json!({ "power_state": state, "fields": ["name"] })).await;
        assert_eq!(page["total"], 3, "turn {turn}: {page}");
        from_memory += u32::from(reads(&lab) == before);
    }
    assert!(from_memory >= 25, "only {from_memory} of 30 lists were the mirror's");
}

#[tokio::test]
async fn what_others_change_is_seen_within_a_second() {
    let lab = Lab::new().await;
    let machine = lab.machine("web-1").await;
    let client = connect(lab.server(&[])).await;
    warm_up(&lab, &client).await;
    machine.power_on().await.unwrap().await.unwrap();
    lab.machine("web-2").await;
    let started = Instant::now();
    loop {
        let page = list(&client, json!({})).await;
        if page["total"] == 2 && page["items"][0]["power_state"] == "powered_on" {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(1), "{page}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_mirror_that_lost_its_server_is_not_used() {
    let lab = Lab::new().await;
    let machine = lab.machine("web-1").await;
    let client = connect(lab.server(&[])).await;
    warm_up(&lab, &client).await;
    // Its next question fails, and so does each after that.
    lab.sim.trouble(Trouble::none().fail("WaitForUpdatesEx", "RuntimeFault", u32::MAX));
    machine.rename_task("web-9").await.unwrap();
    let started = Instant::now();
    loop {
        let before = reads(&lab);
        let page = list(&client, json!({})).await;
        if reads(&lab) > before {
            assert_eq!(page["items"][0]["name"], "web-9", "{page}");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "lists come from a mirror that sees nothing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A session that is lost is mended, and the mirror with it.
    lab.sim.trouble(Trouble::none());
    lab.sim.end_sessions();
    assert_eq!(list(&client, json!({})).await["items"][0]["name"], "web-9");
}
