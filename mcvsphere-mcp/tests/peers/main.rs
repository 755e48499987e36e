//! mcvsphere against vcsim: the tools through the official MCP clients, their effects seen by govc.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

mod conformance;
mod conversations;
mod deploy;
mod disks;
mod http;
mod lifecycle;
mod logins;
mod migration;
mod monitoring;
mod nics;
mod power_and_snapshots;
mod readme;
mod serial_ports;
mod story;

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use peers::{CountingProxy, Lifecycle, McpClient, Vcsim, govc};
use serde_json::{Value, json};

/// The program under test.
const MCVSPHERE: &str = env!("CARGO_BIN_EXE_mcvsphere");

fn client(lifecycle: Lifecycle, url: &str) -> McpClient {
    McpClient::new(lifecycle)
        .setting("VCENTER_HOST", url)
        .setting("VCENTER_USER", "user")
        .setting("VCENTER_PASSWORD", "pass")
        .setting("MCP_CONFIRM", "never")
}

/// The power state that vSphere itself knows.
async fn power_state(vcsim: &Vcsim, vm: &str) -> String {
    let info = govc(&vcsim.govc_url(), &["vm.info", vm]).await.unwrap();
    info["virtualMachines"][0]["runtime"]["powerState"].as_str().unwrap().to_owned()
}

/// The structured content of an answer, which must be good.
fn good(result: &Value) -> &Value {
    assert_ne!(result["isError"], true, "{result:#}");
    &result["structuredContent"]
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_six_tools_through_the_client_of_the_older_lifecycle() {
    six_tools(Lifecycle::Older, "2025-11-25").await;
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_six_tools_through_the_client_of_the_stateless_lifecycle() {
    six_tools(Lifecycle::Stateless, "2026-07-28").await;
}

async fn six_tools(lifecycle: Lifecycle, protocol: &str) {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let vm = "DC0_H0_VM0";
    let calls = json!([
        { "name": "get_vcenter_info", "arguments": {} },
        { "name": "list_hosts", "arguments": {} },
        { "name": "list_vms", "arguments": { "limit": 3, "power_state": "powered_on" } },
        { "name": "power_off_vm", "arguments": { "vm": vm } },
        { "name": "power_off_vm", "arguments": { "vm": format!("/DC0/vm/{vm}") } },
        { "name": "get_vm_info", "arguments": { "vm": vm } },
        { "name": "power_off_vm", "arguments": { "vms": ["DC0_H0_VM1", "no-such-vm"] } },
        { "name": "get_vm_info", "arguments": { "vm": "no-such-vm" } },
    ]);
    let report = client(lifecycle, &vcsim.url()).run(Path::new(MCVSPHERE), &calls).await.unwrap();
    assert_eq!(report["protocol"], protocol);
    assert_eq!(report["server"]["name"], "mcvsphere");
    let tools = report["tools"].as_array().unwrap();
    for call in calls.as_array().unwrap() {
        assert!(tools.iter().any(|tool| tool["name"] == call["name"]), "{}", call["name"]);
    }
    let results = report["results"].as_array().unwrap();

    let vcenter = good(&results[0]);
    assert_eq!(vcenter["api_type"], "VirtualCenter", "{vcenter:#}");

    // vcsim's own model: one standalone host and a cluster of three; two machines on each of both pools.
    let hosts = good(&results[1]);
    assert_eq!(hosts["total"], 4, "{hosts:#}");
    let page = good(&results[2]);
    assert_eq!((&page["returned"], &page["total"]), (&json!(3), &json!(4)), "{page:#}");
    assert_eq!(page["truncated"], true);
    assert!(page["next_cursor"].is_string());
    // A client that passes on text alone misses nothing.
    let text = results[2]["content"][0]["text"].as_str().unwrap();
    for item in page["items"].as_array().unwrap() {
        assert!(text.contains(item["id"].as_str().unwrap()), "{text}");
    }

    let first = &good(&results[3])["results"][0];
    assert_eq!((&first["changed"], &first["power_state"]), (&json!(true), &json!("powered_off")));
    let again = &good(&results[4])["results"][0];
    assert_eq!((&again["changed"], &again["id"]), (&json!(false), &first["id"]));
    let info = good(&results[5]);
    assert_eq!(info["power_state"], "powered_off", "{info:#}");
    assert_eq!(power_state(&vcsim, vm).await, "poweredOff");

    let several = good(&results[6]);
    assert_eq!(several["failed"], 1, "{several:#}");
    assert_eq!(several["results"][0]["changed"], true);
    assert_eq!(power_state(&vcsim, "DC0_H0_VM1").await, "poweredOff");

    assert_eq!(results[7]["isError"], true);
    assert_eq!(results[7]["structuredContent"]["code"], "not_found");
    assert!(!report["progress"].as_array().unwrap().is_empty(), "the power tools report progress");

    // A second server: it finds what the first one left, and undoes it.
    let calls = json!([{ "name": "power_on_vm", "arguments": { "vms": [vm, "DC0_H0_VM1"] } }]);
    let report = client(lifecycle, &vcsim.url()).run(Path::new(MCVSPHERE), &calls).await.unwrap();
    assert_eq!(good(&report["results"][0])["failed"], 0);
    assert_eq!(power_state(&vcsim, vm).await, "poweredOn");
    assert_eq!(power_state(&vcsim, "DC0_H0_VM1").await, "poweredOn");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pages_of_list_vms_hold_each_machine_once() {
    let vcsim = Vcsim::start(&["-vm", "60"]).await.unwrap();
    let mut names = Vec::new();
    let mut cursor = None;
    loop {
        let mut arguments = vec!["limit=50".to_owned(), "fields=name".to_owned()];
        arguments.extend(cursor.map(|cursor| format!("cursor={cursor}")));
        let page = call(&vcsim.url(), "list_vms", &arguments).await;
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    let mut unique: Vec<_> = names.iter().map(|name| name.as_str().unwrap()).collect();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!((names.len(), unique.len()), (120, 120));
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_list_vms_on_1000_machines_sends_3_requests() {
    let vcsim = Vcsim::start(&["-vm", "500"]).await.unwrap();
    let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
    // All fields of 1,000 machines would be more than an answer holds.
    let arguments = ["limit=1000".to_owned(), "fields=name,power_state".to_owned()];
    let page = call(&proxy.url(), "list_vms", &arguments).await;
    assert_eq!((&page["returned"], &page["total"]), (&json!(1000), &json!(1000)));
    let requests = after_the_only_login(&proxy);
    // The view, the names of all, and the details of the page.
    assert_eq!(requests, ["CreateContainerView", "RetrieveProperties", "RetrieveProperties"]);
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_waiting_2_seconds_for_a_power_off_sends_at_most_8_requests() {
    // vcsim delays the answer to the method by the first, and the task that it starts by the second.
    for delay in ["PowerOffVM_Task:2000", "PowerOff:2000,LockHandoff:0"] {
        let vcsim = Vcsim::start(&["-method-delay", delay]).await.unwrap();
        let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
        let started = Instant::now();
        let answer = call(&proxy.url(), "power_off_vm", &["vm=DC0_H0_VM0".to_owned()]).await;
        assert!(started.elapsed() >= Duration::from_secs(2), "{delay} delayed nothing");
        assert_eq!(answer["results"][0]["changed"], true);
        assert_eq!(power_state(&vcsim, "DC0_H0_VM0").await, "poweredOff");
        let requests = after_the_only_login(&proxy);
        assert!((1..=8).contains(&requests.len()), "{delay}: {requests:?}");
    }
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_the_session_is_ended_with_the_server() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
    let calls = json!([{ "name": "get_vcenter_info", "arguments": {} }]);
    let client = client(Lifecycle::Older, &proxy.url());
    good(&client.run(Path::new(MCVSPHERE), &calls).await.unwrap()["results"][0]);
    let requests = proxy.requests();
    assert_eq!(requests.last().map(String::as_str), Some("Logout"), "{requests:?}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_a_wrong_password_names_the_settings() {
    let vcsim = Vcsim::start(&["-username", "user", "-password", "right"]).await.unwrap();
    let output = command(&vcsim.url(), "get_vcenter_info", &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["code"], "auth", "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("VCENTER_PASSWORD"), "{error:#}");
}

/// What was sent between login and logout, of which there must be one.
fn after_the_only_login(proxy: &CountingProxy) -> Vec<String> {
    let all = proxy.requests();
    assert_eq!(all.iter().filter(|request| *request == "Login").count(), 1, "{all:?}");
    proxy.requests_after_login()
}

/// The answer of a call from the command line.
async fn call(url: &str, tool: &str, arguments: &[String]) -> Value {
    let output = command(url, tool, arguments).await;
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn command(url: &str, tool: &str, arguments: &[String]) -> std::process::Output {
    tokio::process::Command::new(MCVSPHERE)
        .args(["tools", "call", tool, "--json", "--yes"])
        .args(arguments)
        .env("VCENTER_HOST", url)
        .env("VCENTER_USER", "user")
        .env("VCENTER_PASSWORD", "pass")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}
