//! The life of virtual machines on vcsim: each tool's effect is seen by govc.

use peers::{Vcsim, govc, govc_run};
use serde_json::{Value, json};

use crate::{call, command, power_state};

/// The pool of vcsim's cluster; there is a host outside of it, too.
const POOL: &str = "pool=/DC0/host/DC0_C0/Resources";

fn arguments(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

/// Calls a tool that must succeed.
async fn done(vcsim: &Vcsim, tool: &str, given: &[&str]) -> Value {
    call(&vcsim.url(), tool, &arguments(given)).await
}

/// Calls a tool that must fail: its error.
async fn refused(vcsim: &Vcsim, tool: &str, given: &[&str]) -> Value {
    let output = command(&vcsim.url(), tool, &arguments(given)).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What govc knows of a machine; nothing where there is none.
async fn seen(vcsim: &Vcsim, vm: &str) -> Value {
    govc(&vcsim.govc_url(), &["vm.info", vm]).await.unwrap()["virtualMachines"][0].clone()
}

/// A machine's devices of this type.
async fn devices(vcsim: &Vcsim, vm: &str, type_: &str) -> Vec<Value> {
    let found = govc(&vcsim.govc_url(), &["device.info", "-vm", vm]).await.unwrap();
    let devices = found["devices"].as_array().unwrap().iter();
    devices.filter(|device| device["type"] == type_).cloned().collect()
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_lifecycle_a_machine_is_created() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let error = refused(&vcsim, "create_vm", &["name=web-1"]).await;
    assert_eq!(error["code"], "ambiguous", "{error:#}");
    assert_eq!(error["candidates"].as_array().unwrap().len(), 2, "{error:#}");

    let made = done(&vcsim, "create_vm", &["name=web-1", POOL, "cpu=4", "disk_gb=30", "guest_id=rhel9_64Guest"]).await;
    assert_eq!(made["path"], "/DC0/vm/web-1", "{made:#}");
    let vm = seen(&vcsim, "web-1").await;
    assert_eq!(vm["self"]["value"], made["id"]);
    let (hardware, guest) = (&vm["config"]["hardware"], &vm["config"]["guestId"]);
    assert_eq!((&hardware["numCPU"], &hardware["memoryMB"], guest), (&json!(4), &json!(4096), &json!("rhel9_64Guest")));
    assert_eq!(devices(&vcsim, "web-1", "ParaVirtualSCSIController").await.len(), 1);
    let disks = devices(&vcsim, "web-1", "VirtualDisk").await;
    assert_eq!((disks.len(), &disks[0]["capacityInKB"]), (1, &json!(30 << 20)));
    assert_eq!(disks[0]["backing"]["thinProvisioned"], true);
    let nics = devices(&vcsim, "web-1", "VirtualVmxnet3").await;
    assert_eq!((nics.len(), &nics[0]["backing"]["deviceName"]), (1, &json!("VM Network")));

    let made = done(&vcsim, "create_vm", &["name=web-2", POOL, "network=DC0_DVPG0", "firmware=efi"]).await;
    assert_eq!(made["networks"], json!(["DC0_DVPG0"]), "{made:#}");
    let vm = seen(&vcsim, "web-2").await;
    let nics = devices(&vcsim, "web-2", "VirtualVmxnet3").await;
    assert!(nics[0]["backing"]["port"]["portgroupKey"].as_str().unwrap().starts_with("dvportgroup-"), "{nics:#?}");
    assert_eq!(vm["config"]["firmware"], "efi");
    done(&vcsim, "power_on_vm", &["vm=web-2"]).await;
    assert_eq!(power_state(&vcsim, "web-2").await, "poweredOn");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_lifecycle_a_machine_is_changed_renamed_and_deleted() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let vm = "DC0_H0_VM0";
    let given = ["vm=DC0_H0_VM0", "cpu=2", "memory_mb=1024", "annotation=shop"];
    let report = done(&vcsim, "reconfigure_vm", &given).await;
    assert_eq!(report["changed"], true, "{report:#}");
    let config = seen(&vcsim, vm).await["config"].clone();
    assert_eq!((&config["hardware"]["numCPU"], &config["hardware"]["memoryMB"]), (&json!(2), &json!(1024)));
    assert_eq!(config["annotation"], "shop");
    let again = done(&vcsim, "reconfigure_vm", &given).await;
    assert_eq!((&again["changed"], &again["changes"]), (&json!(false), &json!([])));

    let renamed = done(&vcsim, "rename_vm", &["vm=DC0_H0_VM0", "new_name=web/1"]).await;
    assert_eq!((&renamed["old_name"], &renamed["changed"]), (&json!(vm), &json!(true)));
    let id = renamed["id"].as_str().unwrap();
    let found = govc(&vcsim.govc_url(), &["object.collect", &format!("VirtualMachine:{id}"), "name"]).await.unwrap();
    assert!(found.to_string().contains("web%2f1"), "{found}");

    let gone = done(&vcsim, "delete_vm", &["vm=web%2f1"]).await;
    assert_eq!((&gone["changed"], &gone["powered_off"], &gone["id"]), (&json!(true), &json!(true), &json!(id)));
    let left = govc(&vcsim.govc_url(), &["find", "/", "-type", "m"]).await.unwrap();
    assert!(!left.to_string().contains("web") && !left.to_string().contains(vm), "{left}");
    assert_eq!(refused(&vcsim, "delete_vm", &[&format!("vm={id}")]).await["code"], "not_found");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_lifecycle_templates_and_clones() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let vm = "DC0_C0_RP0_VM0";
    let error = refused(&vcsim, "deploy_from_template", &["template=DC0_C0_RP0_VM0", "new_name=x"]).await;
    assert_eq!(error["code"], "invalid_argument", "{error:#}");
    let copy = done(&vcsim, "clone_vm", &["template=DC0_C0_RP0_VM0", "new_name=copy"]).await;
    assert_eq!(copy["changed"], true, "{copy:#}");
    assert_eq!(power_state(&vcsim, "copy").await, "poweredOff");
    let given = ["template=copy", "new_name=custom", "customization=vcsim-linux", "power_on=true"];
    done(&vcsim, "clone_vm", &given).await;
    assert_eq!(power_state(&vcsim, "custom").await, "poweredOn");

    let error = refused(&vcsim, "clone_vm", &["template=copy", "new_name=x", "linked=true"]).await;
    assert!(error["message"].as_str().unwrap().contains("create_snapshot"), "{error:#}");
    govc_run(&vcsim.govc_url(), &["snapshot.create", "-vm", "copy", "installed"]).await.unwrap();
    let given = ["template=copy", "new_name=linked", "linked=true", "snapshot=installed"];
    done(&vcsim, "clone_vm", &given).await;
    assert_eq!(seen(&vcsim, "linked").await["name"], "linked");

    done(&vcsim, "power_off_vm", &["vm=DC0_C0_RP0_VM0"]).await;
    let template = done(&vcsim, "convert_to_template", &["vm=DC0_C0_RP0_VM0"]).await;
    assert_eq!((&template["template"], &template["changed"]), (&json!(true), &json!(true)), "{template:#}");
    assert_eq!(seen(&vcsim, vm).await["config"]["template"], true);
    let listed = done(&vcsim, "list_templates", &[]).await;
    assert_eq!((&listed["total"], &listed["items"][0]["name"]), (&json!(1), &json!(vm)), "{listed:#}");

    let made =
        done(&vcsim, "deploy_from_template", &["template=DC0_C0_RP0_VM0", "new_name=web", "power_on=true"]).await;
    assert_eq!((&made["template"], &made["path"]), (&json!(false), &json!("/DC0/vm/web")), "{made:#}");
    assert_eq!(power_state(&vcsim, "web").await, "poweredOn");

    let back = done(&vcsim, "convert_to_vm", &["template=DC0_C0_RP0_VM0"]).await;
    assert_eq!((&back["template"], &back["changed"]), (&json!(false), &json!(true)), "{back:#}");
    let vm = seen(&vcsim, vm).await;
    assert_ne!(vm["config"]["template"], true);
    assert!(vm["resourcePool"]["value"].is_string(), "{vm:#}");
}
