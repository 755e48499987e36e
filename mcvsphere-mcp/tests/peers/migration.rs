//! Moves and custom attributes on a simulated vCenter, seen by stock govc, which moves machines too.

use std::process::Stdio;

use peers::{Vcsim, govc, govc_run, govc_text};
use serde_json::{Value, json};
use vsphere_sim::{Model, Sim, Size};

use super::MCVSPHERE;

struct Lab(Sim);

impl Lab {
    async fn new() -> Self {
        let size = Size { vms: 2, hosts: 4, datacenters: 2, clusters: 1, datastores: 2 };
        Self(Sim::start(Model::sized(size)).await.unwrap())
    }

    fn govc_url(&self) -> String {
        let user = Model::USER.replace('@', "%40");
        self.0.url().replace("://", &format!("://{user}:{}@", Model::PASSWORD.replace('!', "%21")))
    }

    /// The answer of a call from the command line.
    async fn call(&self, tool: &str, arguments: &[&str]) -> Value {
        let output = tokio::process::Command::new(MCVSPHERE)
            .args(["tools", "call", tool, "--json", "--yes"])
            .args(arguments)
            .env("VCENTER_HOST", self.0.url())
            .env("VCENTER_USER", Model::USER)
            .env("VCENTER_PASSWORD", Model::PASSWORD)
            .env("VCENTER_THUMBPRINT", self.0.thumbprint().unwrap().to_string())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What govc says of the machine.
    async fn seen(&self, vm: &str) -> Value {
        govc(&self.govc_url(), &["vm.info", vm]).await.unwrap()["virtualMachines"][0].clone()
    }

    /// The name of an object that govc has told the reference of.
    async fn name(&self, reference: &Value) -> String {
        let object = format!("{}:{}", reference["type"].as_str().unwrap(), reference["value"].as_str().unwrap());
        let name = govc_text(&self.govc_url(), &["object.collect", "-s", &object, "name"]).await.unwrap();
        name.trim().to_owned()
    }
}

const VM: &str = "vm=DC0_C0_VM0";
const PATH: &str = "/DC0/vm/DC0_C0_VM0";

#[tokio::test]
#[ignore = "needs govc: cargo xtask peers"]
async fn peers_migration_govc_sees_where_a_machine_went() {
    let lab = Lab::new().await;
    let before = lab.name(&lab.seen(PATH).await["runtime"]["host"]).await;
    let there = if before == "DC0_C0_H0" { "DC0_C0_H1" } else { "DC0_C0_H0" };
    let report = lab.call("migrate_vm", &[VM, &format!("host={there}")]).await;
    assert_eq!(report["changed"], true, "{report:#}");
    assert_eq!(lab.name(&lab.seen(PATH).await["runtime"]["host"]).await, there);
    // govc brings it back, with its files elsewhere.
    let host = format!("/DC0/host/DC0_C0/{before}");
    let back = ["vm.migrate", "-host", &host, "-ds", "/DC0/datastore/DC0_DS1", PATH];
    govc_run(&lab.govc_url(), &back).await.unwrap();
    let report = lab.call("migrate_vm", &[VM, &format!("host={before}"), "datastore=DC0_DS1"]).await;
    assert_eq!((&report["changed"], &report["moves"]), (&json!(false), &json!(false)), "{report:#}");

    let report = lab.call("storage_vmotion", &[VM, "target_datastore=DC0_DS0", "provisioning=thick"]).await;
    assert_eq!(report["changed"], true, "{report:#}");
    let disks = govc(&lab.govc_url(), &["device.info", "-vm", PATH, "disk-*"]).await.unwrap();
    let backing = &disks["devices"][0]["backing"];
    assert!(backing["fileName"].as_str().unwrap().starts_with("[DC0_DS0] "), "{disks:#}");
    assert_ne!(backing["thinProvisioned"], true, "{disks:#}");

    let report = lab.call("migrate_vm", &[VM, "cluster=DC1_C0"]).await;
    assert_eq!(report["to"]["datacenter"], "DC1", "{report:#}");
    let found = govc_text(&lab.govc_url(), &["find", "/DC1/vm", "-type", "m", "-name", "DC0_C0_VM0"]).await.unwrap();
    assert!(found.contains("/DC1/vm/DC0_C0_VM0"), "{found}");
    let info = govc(&lab.govc_url(), &["vm.info", "/DC1/vm/DC0_C0_VM0"]).await.unwrap();
    let info = &info["virtualMachines"][0];
    assert!(lab.name(&info["runtime"]["host"]).await.starts_with("DC1_C0_"), "{info:#}");
    assert_eq!(info["runtime"]["powerState"], "poweredOn");
}

#[tokio::test]
#[ignore = "needs govc: cargo xtask peers"]
async fn peers_migration_govc_sees_custom_attributes_and_the_other_way_round() {
    let lab = Lab::new().await;
    let url = &lab.govc_url();
    let done = lab.call("set_custom_attribute", &[VM, "name=owner", "value=team web"]).await;
    assert_eq!(done["results"][0]["created"], true, "{done:#}");
    let fields = govc_text(url, &["fields.ls", "-type", "VirtualMachine"]).await.unwrap();
    assert!(fields.contains("owner"), "{fields}");
    let info = govc_text(url, &["fields.info", "-n", "owner", "/DC0/vm/DC0_C0_VM0"]).await.unwrap();
    assert!(info.contains("team web"), "{info}");
    govc_run(url, &["fields.set", "owner", "Ann", "/DC0/vm/DC0_C0_VM0"]).await.unwrap();
    let info = lab.call("get_vm_info", &[VM]).await;
    assert_eq!(info["custom_attributes"], json!({ "owner": { "untrusted": "Ann" } }), "{info:#}");
}

/// vcsim is another server than the simulator whose client this is.
#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_migration_vcsim_takes_the_specification() {
    let vcsim = Vcsim::start(&["-ds", "2"]).await.unwrap();
    let name = "vm=DC0_C0_RP0_VM0".to_owned();
    let report = super::call(&vcsim.url(), "migrate_vm", &[name.clone(), "host=DC0_C0_H1".to_owned()]).await;
    assert_eq!(report["to"]["host"], "DC0_C0_H1", "{report:#}");
    let seen = govc(&vcsim.govc_url(), &["vm.info", "DC0_C0_RP0_VM0"]).await.unwrap();
    let host = seen["virtualMachines"][0]["runtime"]["host"]["value"].as_str().unwrap().to_owned();
    let is = govc_text(&vcsim.govc_url(), &["object.collect", "-s", &format!("HostSystem:{host}"), "name"]).await;
    assert_eq!(is.unwrap().trim(), "DC0_C0_H1");
    let again = super::call(&vcsim.url(), "migrate_vm", &[name, "host=DC0_C0_H1".to_owned()]).await;
    assert_eq!(again["changed"], false, "{again:#}");
}
