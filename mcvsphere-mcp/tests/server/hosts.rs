//! The tools for hosts: what they do is read from vSphere.

use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, ClientRequest, Request},
    service::{PeerRequestOptions, RunningService},
};
use serde_json::{Value, json};
use vsphere_ops::{
    Mo, Task,
    managed::{ClusterComputeResource, HostSystem, VirtualMachine, host_system, virtual_machine as vm},
    types::{ClusterConfigSpecEx, ClusterDrsConfigInfo, DrsBehavior, HostSystemConnectionState, Poly},
};
use vsphere_sim::Model;

use crate::{
    confirm::older,
    disks::{call, mcp, refused},
    lab::{Lab, is_on},
};

const HOST: &str = "DC0_C0_H0";

async fn host(lab: &Lab, name: &str) -> Mo<HostSystem> {
    lab.client.get(name).await.unwrap()
}

/// The name of the host of a VM.
async fn host_of(lab: &Lab, vm: &Mo<VirtualMachine>) -> String {
    let host = vm.read(vm::HOST).await.unwrap().unwrap();
    let host: Mo<HostSystem> = lab.client.get(&host.value).await.unwrap();
    host.label().to_owned()
}

async fn drs(lab: &Lab, enabled: bool, behavior: DrsBehavior) {
    let drs =
        ClusterDrsConfigInfo { enabled: Some(enabled), default_vm_behavior: Some(behavior), ..Default::default() };
    let spec = ClusterConfigSpecEx { drs_config: Some(Box::new(drs)), ..Default::default() };
    let cluster: Mo<ClusterComputeResource> = lab.client.get_or_only(None).await.unwrap();
    let task = cluster.reconfigure_compute_resource_task(&Poly::new(spec), true).await.unwrap();
    Task::<()>::new(&lab.client, task, "change", cluster.label()).await.unwrap();
}

/// The preview of a call, and the outcome of the call with its token.
async fn confirmed(
    client: &RunningService<RoleClient, ()>,
    tool: &'static str,
    arguments: Value,
) -> (Value, Result<Value, Value>) {
    let plan = call(client, tool, arguments.clone()).await.unwrap();
    assert_eq!(plan["confirmation_required"], true, "{plan:#}");
    let mut again = arguments;
    again["confirm"] = plan["plan_token"].clone();
    let done = call(client, tool, again).await;
    (plan, done)
}

#[tokio::test]
async fn a_host_has_to_be_named_where_there_are_several() {
    let lab = Lab::new().await;
    let client = mcp(&lab).await;
    for tool in ["get_host_info", "list_services", "get_ntp_config", "reboot_host", "enter_maintenance_mode"] {
        let (code, text) = refused(&client, tool, json!({})).await;
        assert!(code == "ambiguous" && text.contains("DC0_C0_H0") && text.contains("DC0_C0_H1"), "{tool}: {text}");
    }
    let (code, _) = refused(&client, "get_host_info", json!({ "host": "no-such" })).await;
    assert_eq!(code, "not_found");
    // By its older name, by path and by id.
    let id = host(&lab, HOST).await.id().to_owned();
    for name in [HOST, "/DC0/host/DC0_C0/DC0_C0_H0", id.as_str()] {
        let info = call(&client, "get_host_info", json!({ "host_name": name })).await.unwrap();
        assert_eq!(
            (&info["id"], &info["cluster"], &info["vms"]),
            (&json!(id), &json!("DC0_C0"), &json!(0)),
            "{info:#}"
        );
    }
}

#[tokio::test]
async fn an_esxi_is_its_own_only_host() {
    let lab = Lab::of(Model::esxi()).await;
    let client = mcp(&lab).await;
    let info = call(&client, "get_host_info", json!({})).await.unwrap();
    assert_eq!((&info["running_vms"], &info["maintenance_mode"]), (&json!(3), &json!(false)), "{info:#}");
    let net = call(&client, "get_host_networking", json!({})).await.unwrap();
    assert_eq!(net["vmkernel_adapters"][0]["services"], json!(["management"]));
    assert!(net["standard_switches"][0]["port_groups"].as_array().unwrap().len() > 1);
    let hardware = call(&client, "get_host_hardware", json!({})).await.unwrap();
    assert_eq!((&hardware["vendor"], &hardware["memory_gb"]), (&json!("Lenovo"), &json!(64.0)));
    let changed = call(&client, "start_service", json!({ "service": "TSM-SSH" })).await.unwrap();
    assert_eq!((&changed["changed"], &changed["running"]), (&json!(true), &json!(true)), "{changed:#}");
    // Nothing moves its VMs.
    let (code, text) = refused(&client, "enter_maintenance_mode", json!({ "timeout_seconds": 1 })).await;
    assert!(code == "timeout" && text.contains("nas (no DRS moves it)"), "{text}");
    let (code, text) = refused(&client, "reboot_host", json!({})).await;
    assert!(code == "invalid_state" && text.contains("homeassistant, nas, pfsense run on it"), "{text}");
    let down = call(&client, "reboot_host", json!({ "force": true })).await.unwrap();
    assert_eq!((&down["changed"], &down["action"]), (&json!(true), &json!("reboot")), "{down:#}");
}

#[tokio::test]
async fn a_hosts_links_and_hardware_are_told() {
    let lab = Lab::new().await;
    let client = mcp(&lab).await;
    let net = call(&client, "get_host_networking", json!({ "host": HOST })).await.unwrap();
    let links: Vec<&Value> = net["physical_nics"].as_array().unwrap().iter().map(|nic| &nic["link_mbps"]).collect();
    assert_eq!(links, [&json!(25_000), &json!(25_000), &json!(25_000), &Value::Null], "{net:#}");
    assert!(net["vmkernel_adapters"][0]["ipv6"][0]["address"].as_str().unwrap().starts_with("fe80::"));
    let hardware = call(&client, "get_host_hardware", json!({ "host": HOST })).await.unwrap();
    assert_eq!((&hardware["cpu_cores"], &hardware["numa_nodes"]), (&json!(64), &json!(2)), "{hardware:#}");
}

#[tokio::test]
async fn services_change_as_told_and_ask_before_they_stop() {
    let lab = Lab::new().await;
    let client = older(lab.server(&[]), ()).await;
    let listed = call(&client, "list_services", json!({ "host": HOST, "filter": "*SSH*" })).await.unwrap();
    assert_eq!((&listed["total"], &listed["items"][0]["running"]), (&json!(1), &json!(false)), "{listed:#}");
    let one = json!({ "host": HOST, "service": "TSM-SSH" });
    let status = call(&client, "get_service_status", one.clone()).await.unwrap();
    assert_eq!((&status["host"], &status["policy"]), (&json!(HOST), &json!("off")));
    // Nothing runs that could be lost.
    let stopped = call(&client, "stop_service", one.clone()).await.unwrap();
    assert_eq!((&stopped["changed"], &stopped["running"]), (&json!(false), &json!(false)));
    let started = call(&client, "start_service", json!({ "host": HOST, "service_key": "TSM-SSH" })).await.unwrap();
    assert_eq!((&started["changed"], &started["running"]), (&json!(true), &json!(true)));
    let again = call(&client, "start_service", one.clone()).await.unwrap();
    assert_eq!(again["changed"], false);
    let policy = json!({ "host": HOST, "service": "TSM-SSH", "policy": "on" });
    let policy = call(&client, "set_service_policy", policy).await.unwrap();
    assert_eq!((&policy["policy"], &policy["previous_policy"]), (&json!("on"), &json!("off")));
    let (plan, done) = confirmed(&client, "stop_service", one.clone()).await;
    assert!(plan["question"].as_str().unwrap().contains("Stop \"SSH\" (\"TSM-SSH\")"), "{plan:#}");
    assert_eq!(plan["notes"], json!(["It starts again with the host."]));
    assert_eq!(done.unwrap()["running"], false);
    let agent = json!({ "host": HOST, "service": "vpxa" });
    let (plan, done) = confirmed(&client, "restart_service", agent).await;
    assert!(plan["notes"][0].as_str().unwrap().contains("vCenter reaches the host through this"), "{plan:#}");
    assert_eq!(done.unwrap()["running"], true);
    let (code, text) = refused(&client, "get_service_status", json!({ "host": HOST, "service": "telnetd" })).await;
    assert!(
        code == "not_found" && text.contains("TSM-SSH (SSH)") && text.ends_with("give one of these keys"),
        "{text}"
    );
    let policy = json!({ "host": HOST, "service": "TSM-SSH", "policy": "always" });
    assert_eq!(refused(&client, "set_service_policy", policy).await.0, "invalid_argument");
    // The other host has its own.
    let other =
        call(&client, "get_service_status", json!({ "host": "DC0_C0_H1", "service": "TSM-SSH" })).await.unwrap();
    assert_eq!(other["policy"], "off");
}

#[tokio::test]
async fn levels_keep_services_and_hosts_from_others() {
    let lab = Lab::new().await;
    let admin = older(lab.server(&[("MCP_PERMISSION", "host_admin")]), ()).await;
    for tool in ["start_service", "stop_service", "restart_service"] {
        let (code, _) = refused(&admin, tool, json!({ "host": HOST, "service": "ntpd" })).await;
        assert_eq!(code, "permission", "{tool}");
    }
    let policy = json!({ "host": HOST, "service": "ntpd", "policy": "on" });
    assert_eq!(call(&admin, "set_service_policy", policy).await.unwrap()["changed"], false);
    let operator = older(lab.server(&[("MCP_PERMISSION", "vm_lifecycle")]), ()).await;
    for tool in ["reboot_host", "shutdown_host", "enter_maintenance_mode", "exit_maintenance_mode", "configure_ntp"] {
        let (code, _) = refused(&operator, tool, json!({ "host": HOST, "ntp_servers": ["a"] })).await;
        assert_eq!(code, "permission", "{tool}");
    }
    let reader = older(lab.server(&[("MCP_READ_ONLY", "true")]), ()).await;
    assert!(call(&reader, "get_ntp_config", json!({ "host": HOST })).await.is_ok());
}

#[tokio::test]
async fn time_servers_are_shown_before_they_are_replaced() {
    let lab = Lab::new().await;
    let client = older(lab.server(&[]), ()).await;
    let clock = call(&client, "get_ntp_config", json!({ "host": HOST })).await.unwrap();
    assert_eq!(clock["ntp_servers"], json!(["0.pool.ntp.org", "1.pool.ntp.org"]), "{clock:#}");
    assert_eq!((&clock["service_running"], &clock["time_zone"]), (&json!(true), &json!("UTC")));
    assert!(clock["current_time"].is_string());
    let new = json!({ "host": HOST, "ntp_servers": ["ntp.example.com"], "service_policy": "on" });
    let (plan, done) = confirmed(&client, "configure_ntp", new.clone()).await;
    let shown = &plan["objects"][0];
    assert_eq!(shown["removed"], json!(["0.pool.ntp.org", "1.pool.ntp.org"]), "{plan:#}");
    assert_eq!(shown["servers_then"], json!(["ntp.example.com"]));
    let done = done.unwrap();
    assert_eq!((&done["changed"], &done["ntp_servers"]), (&json!(true), &json!(["ntp.example.com"])), "{done:#}");
    assert_eq!(done["previous_servers"], json!(["0.pool.ntp.org", "1.pool.ntp.org"]));
    // Nothing is lost where it is so already, or where a server is added.
    assert_eq!(call(&client, "configure_ntp", new).await.unwrap()["changed"], false);
    let more = json!({ "host": HOST, "ntp_servers": ["ntp.example.com", "ntp2.example.com"], "start_service": false });
    assert_eq!(call(&client, "configure_ntp", more).await.unwrap()["changed"], true);
    let (code, _) = refused(&client, "configure_ntp", json!({ "host": HOST, "ntp_servers": [] })).await;
    assert_eq!(code, "invalid_argument");
    // Who was shown another list has agreed to something else.
    let plan = call(&client, "configure_ntp", json!({ "host": HOST, "ntp_servers": ["a"] })).await.unwrap();
    let more = json!({ "host": HOST, "ntp_servers": ["ntp.example.com", "ntp2.example.com", "b"] });
    call(&client, "configure_ntp", more).await.unwrap();
    let late = json!({ "host": HOST, "ntp_servers": ["a"], "confirm": plan["plan_token"] });
    let late = call(&client, "configure_ntp", late).await.unwrap();
    assert_eq!(late["void"]["code"], "changed", "{late:#}");
    for method in ["RefreshDateTimeSystem", "RefreshServices"] {
        assert_eq!(lab.sim.calls(method), 0);
    }
}

/// A host with a running VM that nothing moves: the answer names it, says why, and what to do.
#[tokio::test]
async fn maintenance_of_a_host_with_a_running_vm_that_cannot_move() {
    let lab = Lab::new().await;
    let web = lab.running("web-1").await;
    drs(&lab, false, DrsBehavior::Manual).await;
    let on = host_of(&lab, &web).await;
    let client = older(lab.server(&[]), ()).await;
    let enter = json!({ "host": on, "timeout_seconds": 1 });
    let (plan, ended) = confirmed(&client, "enter_maintenance_mode", enter.clone()).await;
    let blocker = &plan["objects"][0]["blockers"][0];
    assert_eq!((&blocker["vm"], &blocker["id"]), (&json!("web-1"), &json!(web.id())), "{plan:#}");
    assert_eq!(blocker["obstacles"], json!([{ "reason": "no_drs" }]));
    assert!(plan["notes"].to_string().contains("Nothing moves web-1 (no DRS moves it)."), "{plan:#}");
    let error = ended.unwrap_err();
    let text = error["message"].as_str().unwrap();
    assert_eq!(error["code"], "timeout", "{error:#}");
    assert!(
        text.contains("in the way: web-1 (no DRS moves it); move these VMs or end them, then call again"),
        "{text}"
    );
    assert!(text.contains("shutdown_guest") && text.contains("power_off_vm"), "{text}");
    assert_eq!(error["blockers"][0]["id"], json!(web.id()));
    assert!(is_on(&web).await && !host(&lab, &on).await.read(host_system::IN_MAINTENANCE_MODE).await.unwrap());
    // What the answer says works.
    web.power_off().await.unwrap().await.unwrap();
    let done = call(&client, "enter_maintenance_mode", enter.clone()).await.unwrap();
    assert_eq!((&done["changed"], &done["maintenance_mode"], &done["vms"]), (&json!(true), &json!(true), &json!(1)));
    assert_eq!(call(&client, "enter_maintenance_mode", enter).await.unwrap()["changed"], false);
}

#[tokio::test]
async fn drs_moves_vms_and_the_older_argument_is_answered_with_what_it_means() {
    let lab = Lab::new().await;
    let web = lab.running("web-1").await;
    let on = host_of(&lab, &web).await;
    let client = mcp(&lab).await;
    let done = call(&client, "enter_maintenance_mode", json!({ "host": on, "evacuate_vms": true })).await.unwrap();
    assert_eq!(done["left"][0]["name"], "web-1", "{done:#}");
    assert!(done["note"].as_str().unwrap().starts_with("running VMs are moved by DRS alone"), "{done:#}");
    assert_ne!(host_of(&lab, &web).await, on);
    let exit = call(&client, "exit_maintenance_mode", json!({ "host": on })).await.unwrap();
    assert_eq!((&exit["changed"], &exit["maintenance_mode"]), (&json!(true), &json!(false)));
    assert_eq!(call(&client, "exit_maintenance_mode", json!({ "host": on })).await.unwrap()["changed"], false);
    drs(&lab, false, DrsBehavior::Manual).await;
    let (code, text) =
        refused(&client, "enter_maintenance_mode", json!({ "host": on, "evacuate_powered_off": true })).await;
    assert!(code == "invalid_argument" && text.contains("only DRS moves VMs that do not run"), "{text}");
    let wrong = json!({ "host": on, "timeout_seconds": 0 });
    assert_eq!(refused(&client, "enter_maintenance_mode", wrong).await.0, "invalid_argument");
    // An empty host loses nothing.
    let asked = older(lab.server(&[]), ()).await;
    assert_eq!(call(&asked, "enter_maintenance_mode", json!({ "host": on })).await.unwrap()["changed"], true);
}

#[tokio::test]
async fn a_call_that_is_cancelled_ends_the_wait_of_the_host() {
    let lab = Lab::new().await;
    let web = lab.running("web-1").await;
    drs(&lab, false, DrsBehavior::Manual).await;
    let on = host_of(&lab, &web).await;
    let client = mcp(&lab).await;
    let arguments = json!({ "host": on }).as_object().unwrap().clone();
    let request = CallToolRequestParams::new("enter_maintenance_mode").with_arguments(arguments);
    let request = ClientRequest::CallToolRequest(Request::new(request));
    let running = client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap();
    while lab.sim.calls("EnterMaintenanceMode_Task") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    running.cancel(Some("enough".to_owned())).await.unwrap();
    while lab.sim.calls("CancelTask") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    web.power_off().await.unwrap().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!host(&lab, &on).await.read(host_system::IN_MAINTENANCE_MODE).await.unwrap(), "nothing waits for it");
}

/// The time of the operation itself counts, and not the shorter one of calls in general.
#[tokio::test]
async fn maintenance_mode_may_take_longer_than_other_calls() {
    let lab = Lab::new().await;
    let web = lab.running("web-1").await;
    drs(&lab, false, DrsBehavior::Manual).await;
    let on = host_of(&lab, &web).await;
    let client = older(lab.server(&[("MCP_CONFIRM", "never"), ("MCP_CALL_TIMEOUT", "1")]), ()).await;
    let (code, text) = refused(&client, "enter_maintenance_mode", json!({ "host": on, "timeout_seconds": 2 })).await;
    assert!(code == "timeout" && text.contains("not within 2 s"), "{text}");
}

#[tokio::test]
async fn a_host_goes_down_only_in_maintenance_mode_or_forced_and_names_who_is_hit() {
    let lab = Lab::new().await;
    let web = lab.running("web-1").await;
    let on = host_of(&lab, &web).await;
    let client = older(lab.server(&[]), ()).await;
    for tool in ["reboot_host", "shutdown_host"] {
        let (code, text) = refused(&client, tool, json!({ "host": on })).await;
        assert!(code == "invalid_state" && text.contains("web-1 run on it; enter_maintenance_mode first"), "{text}");
    }
    assert!(is_on(&web).await);
    let (plan, done) = confirmed(&client, "shutdown_host", json!({ "host": on, "force": true })).await;
    assert_eq!(plan["objects"][0]["running_vms"][0]["name"], "web-1", "{plan:#}");
    assert!(plan["question"].as_str().unwrap().contains("END 1 running VMs"), "{plan:#}");
    let done = done.unwrap();
    assert_eq!((&done["changed"], &done["connection_state"]), (&json!(true), &json!("not_responding")), "{done:#}");
    assert!(!is_on(&web).await);
    let state = host(&lab, &on).await.read(host_system::CONNECTION_STATE).await.unwrap();
    assert_eq!(state, HostSystemConnectionState::NotResponding);
    assert_eq!(call(&client, "shutdown_host", json!({ "host": on })).await.unwrap()["changed"], false);
    // The other one, in maintenance mode.
    let other = if on == HOST { "DC0_C0_H1" } else { HOST };
    call(&client, "enter_maintenance_mode", json!({ "host": other })).await.unwrap();
    let (plan, done) = confirmed(&client, "reboot_host", json!({ "host": other })).await;
    assert_eq!(plan["objects"][0]["running_vms"], json!([]));
    assert_eq!(done.unwrap()["confirmed"], true);
}
