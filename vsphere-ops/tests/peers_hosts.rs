//! Hosts, with govc and pyVmomi as witnesses of each effect on the simulated vCenter, and with vcsim, which was written by
//! others.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::time::Duration;

use peers::{Vcsim, govc, govc_run};
use serde_json::{Value, json};
use vsphere_ops::host::{Down, Maintenance, NewNtp, ServicePolicy};
use vsphere_ops::managed::{HostSystem, VirtualMachine};
use vsphere_ops::{Client, Config, ListQuery, Mo};
use vsphere_sim::{Model, Sim};

const HOST: &str = "esx-01.corp.example";
const MINUTE: Duration = Duration::from_secs(60);

async fn demo() -> (Sim, Client, String) {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
    let url = format!("https://{}:{}@{}/sdk", Model::USER, Model::PASSWORD, sim.address());
    (sim, client, url)
}

/// What pyVmomi sees of a host.
async fn seen(sim: &Sim, host: &str) -> Value {
    let address = sim.address().to_string();
    peers::pyvmomi_with("hosts.py", &address, Model::USER, Model::PASSWORD, &[("HOST", host)]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs govc and pyVmomi: cargo xtask peers"]
async fn peers_facts_of_a_host_are_those_of_govc_and_pyvmomi() {
    let (sim, client, url) = demo().await;
    let host: Mo<HostSystem> = client.get(HOST).await.unwrap();
    let theirs = seen(&sim, HOST).await;
    let net = host.networking().await.unwrap();
    let names = net.standard_switches.iter().map(|switch| &switch.name);
    let names: Vec<&String> = names.chain(net.distributed_switches.iter().map(|switch| &switch.name)).collect();
    assert_eq!(json!(names), theirs["switches"]);
    assert_eq!(json!(net.physical_nics.iter().map(|nic| nic.link_mbps).collect::<Vec<_>>()), theirs["links"]);
    let adapters = &net.vmkernel_adapters;
    assert_eq!(json!(adapters.iter().map(|nic| nic.ip.as_deref()).collect::<Vec<_>>()), theirs["addresses"]);
    assert_eq!(json!(adapters.iter().map(|nic| &nic.ipv6[0].address).collect::<Vec<_>>()), theirs["ipv6"]);
    let hardware = host.hardware().await.unwrap();
    assert_eq!(json!(hardware.serial_number), theirs["serial"]);
    let info = host.info().await.unwrap();
    assert_eq!(info.vms, theirs["vms"].as_array().unwrap().len());

    let govc_info = govc(&url, &["host.info", "-host", HOST]).await.unwrap();
    let summary = &govc_info["hostSystems"][0]["summary"];
    assert_eq!(json!(info.version), summary["config"]["product"]["version"]);
    assert_eq!(json!(info.memory.map(|memory| memory.bytes())), summary["hardware"]["memorySize"]);
    assert_eq!(
        (json!(hardware.uuid), json!(hardware.cpu_cores)),
        (summary["hardware"]["uuid"].clone(), summary["hardware"]["numCpuCores"].clone(),)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs govc and pyVmomi: cargo xtask peers"]
async fn peers_services_and_time_servers_are_seen_by_govc_and_pyvmomi() {
    let (sim, client, url) = demo().await;
    let host: Mo<HostSystem> = client.get(HOST).await.unwrap();
    let theirs = seen(&sim, HOST).await;
    for service in host.list_services(&ListQuery::first(100)).await.unwrap().items {
        assert_eq!(theirs["services"][&service.key], json!([service.running, service.policy]), "{}", service.key);
    }
    let ssh = host.service("TSM-SSH").await.unwrap();
    ssh.start().await.unwrap();
    ssh.set_policy(ServicePolicy::On).await.unwrap();
    let listed = govc(&url, &["host.service.ls", "-host", HOST]).await.unwrap();
    let listed = listed["service"].as_array().unwrap_or_else(|| listed.as_array().unwrap()).clone();
    let ours = listed.iter().find(|service| service["key"] == "TSM-SSH").unwrap();
    assert_eq!((&ours["running"], &ours["policy"]), (&json!(true), &json!("on")));
    ssh.stop().await.unwrap();
    let plan = host.ntp_change(&NewNtp::of(["ntp.corp.example", "ntp2.corp.example"])).await.unwrap();
    plan.carry_out().await.unwrap();
    let theirs = seen(&sim, HOST).await;
    assert_eq!(theirs["services"]["TSM-SSH"], json!([false, "on"]));
    assert_eq!(
        (&theirs["ntp"], &theirs["protocol"]),
        (&json!(["ntp.corp.example", "ntp2.corp.example"]), &json!("ntp"))
    );
    let date = govc(&url, &["host.date.info", "-host", HOST]).await.unwrap();
    assert_eq!(date["ntpConfig"]["server"], theirs["ntp"], "{date}");
    // What govc has set, we read.
    govc_run(&url, &["host.date.change", "-host", HOST, "-server", "other.corp.example"]).await.unwrap();
    assert_eq!(host.ntp().await.unwrap().ntp_servers, ["other.corp.example"]);
    govc_run(&url, &["host.service", "-host", HOST, "stop", "ntpd"]).await.unwrap();
    assert_eq!(host.ntp().await.unwrap().service_running, Some(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs govc and pyVmomi: cargo xtask peers"]
async fn peers_maintenance_mode_and_restarts_are_seen_by_govc_and_pyvmomi() {
    let (sim, client, url) = demo().await;
    let host: Mo<HostSystem> = client.get(HOST).await.unwrap();
    let plan = host.maintenance(&Maintenance::default()).await.unwrap();
    let moving: Vec<String> = plan.moved_by_drs.iter().map(|vm| vm.name.clone()).collect();
    assert!(!moving.is_empty() && plan.blockers.is_empty());
    let done = plan.carry_out(MINUTE).await.unwrap();
    let theirs = seen(&sim, HOST).await;
    assert_eq!((&theirs["maintenance"], theirs["vms"].as_array().unwrap().len()), (&json!(true), done.vms));
    assert!(done.left.iter().all(|vm| moving.contains(&vm.name)));
    let info = govc(&url, &["vm.info", &moving[0]]).await.unwrap();
    assert_ne!(info["virtualMachines"][0]["runtime"]["host"]["value"], json!(host.id()));
    govc_run(&url, &["host.maintenance.exit", HOST]).await.unwrap();
    assert!(!host.exit_maintenance(MINUTE).await.unwrap().changed);
    govc_run(&url, &["host.maintenance.enter", HOST]).await.unwrap();
    assert!(host.maintenance(&Maintenance::default()).await.unwrap().maintenance_mode);
    let down = host.going_down(Down::Shutdown, false).await.unwrap();
    assert!(down.carry_out().await.unwrap().changed);
    let theirs = seen(&sim, HOST).await;
    assert_eq!((&theirs["connection"], &theirs["power"]), (&json!("notResponding"), &json!("poweredOff")));

    // A host whose VMs DRS does not move: what we name is what is still there for others.
    let host: Mo<HostSystem> = client.get("esx-05.corp.example").await.unwrap();
    let plan = host.maintenance(&Maintenance::default().evacuate_powered_off(false)).await.unwrap();
    let mut blocked: Vec<String> = plan.blockers.iter().map(|vm| vm.vm.clone()).collect();
    assert!(!blocked.is_empty());
    let error = plan.carry_out(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.code(), "timeout");
    let theirs = seen(&sim, "esx-05.corp.example").await;
    assert_eq!(theirs["maintenance"], json!(false));
    blocked.sort();
    let there = theirs["vms"].as_array().unwrap();
    assert!(blocked.iter().all(|name| there.contains(&json!(name))), "{blocked:?} {there:?}");
    for name in &blocked {
        let vm: Mo<VirtualMachine> = client.get(name).await.unwrap();
        vm.power_off().await.unwrap().await.unwrap();
    }
    let plan = host.maintenance(&Maintenance::default().evacuate_powered_off(false)).await.unwrap();
    plan.carry_out(MINUTE).await.unwrap();
    assert_eq!(seen(&sim, "esx-05.corp.example").await["maintenance"], json!(true));
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_a_host_of_vcsim_is_read_and_put_into_maintenance_mode() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let url = vcsim.govc_url();
    let client = Client::connect(Config::new(vcsim.url()).user("user").password("pass")).await.unwrap();
    let host: Mo<HostSystem> = client.get("DC0_H0").await.unwrap();
    let info = host.info().await.unwrap();
    let theirs = govc(&url, &["host.info", "-host", "DC0_H0"]).await.unwrap();
    let summary = &theirs["hostSystems"][0]["summary"];
    assert_eq!(json!(info.memory.map(|memory| memory.bytes())), summary["hardware"]["memorySize"], "{theirs:#}");
    assert_eq!((info.cluster.as_deref(), info.running_vms), (None, Some(info.vms)));
    assert_eq!(json!(host.hardware().await.unwrap().uuid), summary["hardware"]["uuid"]);
    let net = host.networking().await.unwrap();
    assert!(!net.standard_switches.is_empty() && !net.vmkernel_adapters.is_empty(), "{net:?}");
    // By itself it has no DRS: each VM that runs is named.
    let plan = host.maintenance(&Maintenance::default()).await.unwrap();
    assert_eq!(plan.blockers.len(), info.vms);
    for blocker in &plan.blockers {
        let vm: Mo<VirtualMachine> = client.get(&blocker.id).await.unwrap();
        vm.power_off().await.unwrap().await.unwrap();
    }
    assert!(plan.carry_out(MINUTE).await.unwrap().maintenance_mode);
    let theirs = govc(&url, &["host.info", "-host", "DC0_H0"]).await.unwrap();
    assert_eq!(theirs["hostSystems"][0]["summary"]["runtime"]["inMaintenanceMode"], true);
    assert!(host.exit_maintenance(MINUTE).await.unwrap().changed);
}
