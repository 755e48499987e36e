//! Stock govc against the simulated server: hosts, clusters, resource pools, switches.

use crate::support::Lab;
use peers::{govc, govc_run};
use serde_json::Value;
use vsphere_sim::{Model, Size};

const HOST: &str = "DC0_C0_H0";

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

/// What a command says when it fails.
async fn refusal(url: &str, args: &[&str]) -> String {
    format!("{:#}", govc_run(url, args).await.unwrap_err())
}

async fn run(url: &str, args: &[&str]) {
    govc_run(url, args).await.unwrap();
}

async fn ask(url: &str, args: &[&str]) -> Value {
    govc(url, args).await.unwrap()
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_host_services_time_and_options() {
    let lab = lab().await;
    let url = &lab.govc_url();
    let running = async |key: &str| {
        let all = ask(url, &["host.service.ls", "-host", HOST]).await;
        let all = all["service"].as_array().unwrap_or_else(|| all.as_array().unwrap()).clone();
        all.into_iter().find(|service| service["key"] == key).unwrap()["running"].as_bool().unwrap()
    };
    assert!(!running("TSM-SSH").await);
    run(url, &["host.service", "-host", HOST, "start", "TSM-SSH"]).await;
    assert!(running("TSM-SSH").await);
    run(url, &["host.service", "-host", HOST, "start", "TSM-SSH"]).await;
    assert!(running("TSM-SSH").await);
    run(url, &["host.service", "-host", HOST, "enable", "TSM-SSH"]).await;
    run(url, &["host.service", "-host", HOST, "restart", "TSM-SSH"]).await;
    run(url, &["host.service", "-host", HOST, "stop", "TSM-SSH"]).await;
    assert!(!running("TSM-SSH").await);

    run(url, &["host.date.change", "-host", HOST, "-server", "ntp.example.com", "-tz", "Europe/Berlin"]).await;
    let date = ask(url, &["host.date.info", "-host", HOST]).await;
    assert_eq!(date["ntpConfig"]["server"][0], "ntp.example.com", "{date}");
    assert_eq!(date["timeZone"]["key"], "Europe/Berlin");

    run(url, &["host.option.set", "-host", HOST, "Net.TcpipHeapMax", "512"]).await;
    assert_eq!(ask(url, &["host.option.ls", "-host", HOST, "Net.TcpipHeapMax"]).await[0]["value"], 512);
    run(url, &["option.set", "event.maxAge", "60"]).await;
    assert_eq!(ask(url, &["option.ls", "event.maxAge"]).await[0]["value"], 60);
    let words = refusal(url, &["option.ls", "no.such"]).await;
    assert!(words.contains("There is no option 'no.such'"), "{words}");

    run(url, &["host.account.create", "-host", HOST, "-id", "ops", "-password", "Secret1!"]).await;
    run(url, &["host.account.update", "-host", HOST, "-id", "ops", "-password", "Secret2!"]).await;
    run(url, &["host.account.remove", "-host", HOST, "-id", "ops"]).await;
    let cert = ask(url, &["host.cert.info", "-host", HOST]).await;
    assert_eq!(cert["status"], "good", "{cert}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_host_network_and_storage() {
    let lab = lab().await;
    let url = &lab.govc_url();
    run(url, &["host.vswitch.add", "-host", HOST, "-nic", "vmnic2", "-mtu", "9000", "vSwitch1"]).await;
    let switches = ask(url, &["host.vswitch.info", "-host", HOST]).await;
    let switches = switches["vswitch"].as_array().unwrap_or_else(|| switches.as_array().unwrap());
    assert_eq!((switches[1]["name"].as_str(), switches[1]["mtu"].as_i64()), (Some("vSwitch1"), Some(9000)));
    run(url, &["host.portgroup.add", "-host", HOST, "-vswitch", "vSwitch1", "-vlan", "30", "web"]).await;
    run(url, &["host.portgroup.change", "-host", HOST, "-vlan-id", "31", "web"]).await;
    let networks = async || {
        let found = ask(url, &["find", "/", "-type", "n"]).await;
        found.as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(networks().await, ["/DC0/network/VM Network", "/DC0/network/web"]);
    run(url, &["host.portgroup.remove", "-host", HOST, "web"]).await;
    run(url, &["host.vswitch.remove", "-host", HOST, "vSwitch1"]).await;
    assert_eq!(networks().await, ["/DC0/network/VM Network"]);
    run(url, &["host.vnic.service", "-host", HOST, "-enable", "vSphereProvisioning", "vmk0"]).await;
    let nics = ask(url, &["host.vnic.info", "-host", HOST]).await;
    assert!(nics.to_string().contains("vSphereProvisioning"), "{nics}");
    ask(url, &["host.vnic.hint", "-host", HOST]).await;

    let disks = ask(url, &["host.storage.info", "-host", HOST, "-t", "lun"]).await.to_string();
    assert!(disks.contains("/vmfs/devices/disks/naa."), "{disks}");
    ask(url, &["host.storage.info", "-host", HOST, "-rescan", "-t", "hba"]).await;
    let free = "naa.5002538f";
    let names = disks.split('"').filter(|word| word.starts_with(free) && !word.ends_with('0'));
    let disk = names.min().unwrap().to_owned();
    run(url, &["datastore.create", "-type", "vmfs", "-name", "local", "-disk", &disk, HOST]).await;
    run(
        url,
        &["datastore.create", "-type", "nfs", "-name", "share", "-remote-host", "nas", "-remote-path", "/vol", HOST],
    )
    .await;
    run(url, &["datastore.info", "local", "share"]).await;
    run(url, &["datastore.remove", "-ds", "local", HOST]).await;
    run(url, &["datastore.remove", "-ds", "share", HOST]).await;
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_host_maintenance_connection_and_power() {
    let lab = lab().await;
    let url = &lab.govc_url();
    let runtime =
        async || ask(url, &["host.info", "-host", HOST]).await["hostSystems"][0]["summary"]["runtime"].clone();
    run(url, &["host.maintenance.enter", HOST]).await;
    assert_eq!(runtime().await["inMaintenanceMode"], true);
    run(url, &["host.maintenance.exit", HOST]).await;
    assert_eq!(runtime().await["inMaintenanceMode"], false);
    run(url, &["host.disconnect", HOST]).await;
    assert_eq!(runtime().await["connectionState"], "disconnected");
    run(url, &["host.reconnect", HOST]).await;
    let words = refusal(url, &["host.shutdown", HOST]).await;
    assert!(words.contains("maintenance mode"), "{words}");
    run(url, &["host.shutdown", "-f", "-r", HOST]).await;
    assert_eq!(runtime().await["connectionState"], "connected");
    run(url, &["host.autostart.configure", "-host", HOST, "-enabled", "true"]).await;
    lab.machine("web-1", &[]).await;
    let on = ask(url, &["vm.info", "web-1"]).await["virtualMachines"][0]["runtime"]["host"]["value"].clone();
    let itself = ask(url, &["host.info", "-host", HOST]).await["hostSystems"][0]["self"]["value"].clone();
    if on == itself {
        run(url, &["host.autostart.add", "-host", HOST, "web-1"]).await;
        run(url, &["host.autostart.info", "-host", HOST]).await;
        run(url, &["host.autostart.remove", "-host", HOST, "web-1"]).await;
    }
    run(url, &["host.add", "-hostname", "lone.example.com", "-username", "root", "-password", "x"]).await;
    run(url, &["host.remove", "lone.example.com"]).await;
    run(url, &["host.maintenance.enter", "DC0_C0_H2"]).await;
    run(url, &["host.remove", "DC0_C0_H2"]).await;
    let hosts = ask(url, &["find", "/", "-type", "h"]).await;
    assert_eq!(hosts.as_array().unwrap().len(), 2);
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_cluster_rules_groups_and_overrides() {
    let lab = lab().await;
    let url = &lab.govc_url();
    for name in ["a", "b"] {
        lab.machine(name, &[]).await;
    }
    run(url, &["cluster.create", "new"]).await;
    run(url, &["cluster.change", "-drs-enabled", "-drs-mode", "manual", "-ha-enabled", "/DC0/host/new"]).await;
    run(url, &["cluster.add", "-cluster", "new", "-hostname", "esx-1", "-username", "root", "-password", "x"]).await;
    run(url, &["cluster.usage", "DC0_C0"]).await;
    let cluster = "DC0_C0";
    run(url, &["cluster.rule.create", "-cluster", cluster, "-name", "apart", "-enable", "-anti-affinity", "a", "b"])
        .await;
    run(url, &["cluster.rule.change", "-cluster", cluster, "-name", "apart", "-enable=false"]).await;
    let rules = ask(url, &["cluster.rule.ls", "-cluster", cluster]).await.to_string();
    assert!(rules.contains("apart"), "{rules}");
    let members = ask(url, &["cluster.rule.info", "-cluster", cluster, "-name", "apart"]).await.to_string();
    assert!(members.contains("apart"), "{members}");
    run(url, &["cluster.rule.remove", "-cluster", cluster, "-name", "apart"]).await;
    run(url, &["cluster.group.create", "-cluster", cluster, "-name", "vms", "-vm", "a"]).await;
    run(url, &["cluster.group.create", "-cluster", cluster, "-name", "hosts", "-host", HOST]).await;
    run(url, &["cluster.group.change", "-cluster", cluster, "-name", "vms", "a", "b"]).await;
    run(
        url,
        &[
            "cluster.rule.create",
            "-cluster",
            cluster,
            "-name",
            "must",
            "-enable",
            "-mandatory",
            "-vm-host",
            "-vm-group",
            "vms",
            "-host-affine-group",
            "hosts",
        ],
    )
    .await;
    run(url, &["cluster.group.ls", "-cluster", cluster, "-name", "vms"]).await;
    run(url, &["cluster.rule.remove", "-cluster", cluster, "-name", "must"]).await;
    run(url, &["cluster.group.remove", "-cluster", cluster, "-name", "vms"]).await;
    run(
        url,
        &[
            "cluster.override.change",
            "-cluster",
            cluster,
            "-vm",
            "a",
            "-drs-enabled=false",
            "-ha-restart-priority",
            "high",
        ],
    )
    .await;
    let overrides = ask(url, &["cluster.override.info", "-cluster", cluster]).await.to_string();
    assert!(overrides.contains("high"), "{overrides}");
    run(url, &["cluster.override.remove", "-cluster", cluster, "-vm", "a"]).await;
    run(url, &["host.maintenance.enter", "DC0_C0_H1"]).await;
    run(url, &["cluster.mv", "-cluster", "new", "DC0_C0_H1"]).await;
    let hosts = ask(url, &["find", "/DC0/host/new", "-type", "h"]).await;
    assert_eq!(hosts.as_array().unwrap().len(), 2);
    run(url, &["tree", "/DC0/host"]).await;
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_pools() {
    let lab = lab().await;
    let url = &lab.govc_url();
    let root = "/DC0/host/DC0_C0/Resources";
    let pool = &format!("{root}/prod");
    run(url, &["pool.create", "-cpu.reservation", "1000", "-cpu.limit", "9000", "-mem.shares", "high", pool]).await;
    run(url, &["pool.create", &format!("{pool}/web")]).await;
    run(url, &["pool.change", "-cpu.reservation", "2000", "-name", "production", pool]).await;
    let pool = &format!("{root}/production");
    let info = ask(url, &["pool.info", pool]).await;
    let config = &info["resourcePools"][0]["config"];
    assert_eq!(config["cpuAllocation"]["reservation"], 2000, "{info}");
    assert_eq!(config["cpuAllocation"]["limit"], 9000);
    assert_eq!(config["memoryAllocation"]["shares"]["shares"], 327_680);
    let words = refusal(url, &["pool.create", "-cpu.reservation", "99999999", &format!("{root}/big")]).await;
    assert!(words.contains("insufficient"), "{words}");
    run(url, &["pool.destroy", "-children", pool]).await;
    run(url, &["pool.destroy", pool]).await;
    let left = ask(url, &["find", "/", "-type", "p"]).await;
    assert_eq!(left.as_array().unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_distributed_switches() {
    let lab = lab().await;
    let url = &lab.govc_url();
    run(url, &["dvs.create", "-mtu", "9000", "-discovery-protocol", "lldp", "dvs"]).await;
    run(url, &["dvs.change", "-mtu", "1600", "dvs"]).await;
    run(url, &["dvs.add", "-dvs", "dvs", "-pnic", "vmnic2", HOST]).await;
    run(url, &["dvs.portgroup.add", "-dvs", "dvs", "-vlan", "30", "-nports", "16", "web"]).await;
    run(url, &["dvs.portgroup.change", "-vlan", "31", "web"]).await;
    let ports = ask(url, &["dvs.portgroup.info", "-pg", "web", "dvs"]).await;
    assert_eq!(ports["port"].as_array().map(Vec::len), Some(16), "{ports}");
    assert!(ports.to_string().contains("\"vlanId\":31"), "{ports}");
    run(url, &["ls", "-l", "/DC0/network"]).await;
    run(url, &["vm.create", "-net", "web", "-ds", "DC0_DS0", "-host", HOST, "-on=false", "web-1"]).await;
    let ports = ask(url, &["dvs.portgroup.info", "-pg", "web", "-connected", "dvs"]).await;
    assert_eq!(ports["port"].as_array().map(Vec::len), Some(1), "{ports}");
    let words = refusal(url, &["object.destroy", "/DC0/network/web"]).await;
    assert!(words.contains("in use"), "{words}");
    run(url, &["vm.destroy", "web-1"]).await;
    run(url, &["object.destroy", "/DC0/network/web"]).await;
    run(url, &["object.destroy", "/DC0/network/dvs"]).await;
}
