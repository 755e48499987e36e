//! VMs that go to other hosts, clusters and datastores.

use std::time::Duration;

use serde_json::{Value, json};
use vsphere_ops::{
    Mo,
    managed::{HostSystem, VirtualMachine, virtual_machine as vm},
    types::{VirtualDisk, VirtualDiskFlatVer2BackingInfo},
};
use vsphere_sim::{Model, Role, Size, Trouble};

use crate::{
    confirm::older,
    disks::{Mcp, call, devices, mcp, refused},
    lab::{Lab, is_on},
};

/// Two datacenters with a cluster of two hosts and two datastores each.
async fn lab() -> Lab {
    Lab::of(model()).await
}

fn model() -> Model {
    Model::sized(Size { vms: 2, hosts: 4, datacenters: 2, clusters: 1, datastores: 2 })
}

async fn done(client: &Mcp, tool: &'static str, arguments: Value) -> Value {
    call(client, tool, arguments.clone()).await.unwrap_or_else(|error| panic!("{arguments}: {error:#}"))
}

async fn host_of(lab: &Lab, vm: &Mo<VirtualMachine>) -> String {
    let host = vm.read(vm::HOST).await.unwrap().unwrap();
    let host: Mo<HostSystem> = lab.client.get(&host.value).await.unwrap();
    host.label().to_owned()
}

async fn flat(vm: &Mo<VirtualMachine>) -> VirtualDiskFlatVer2BackingInfo {
    let devices = devices(vm).await;
    let disk: &VirtualDisk = devices.iter().find_map(|device| device.downcast_ref()).unwrap();
    disk.backing.as_ref().unwrap().downcast_ref::<VirtualDiskFlatVer2BackingInfo>().unwrap().clone()
}

/// The host of the cluster that the VM is not on.
pub(crate) async fn other_host(lab: &Lab, vm: &Mo<VirtualMachine>) -> String {
    match host_of(lab, vm).await.as_str() {
        "DC0_C0_H0" => "DC0_C0_H1".to_owned(),
        _ => "DC0_C0_H0".to_owned(),
    }
}

#[tokio::test]
async fn a_running_vm_goes_to_another_host() {
    let lab = lab().await;
    let web: Mo<VirtualMachine> = lab.client.get("DC0_C0_VM0").await.unwrap();
    let client = mcp(&lab).await;
    let there = other_host(&lab, &web).await;
    let arguments = json!({ "vm": "DC0_C0_VM0", "host": there, "priority": "high" });
    let mut check = arguments.clone();
    check["check_only"] = json!(true);
    let report = done(&client, "migrate_vm", check).await;
    assert_eq!(
        (&report["changed"], &report["moves"], &report["possible"]),
        (&json!(false), &json!(true), &json!(true))
    );
    assert_eq!((&report["to"]["host"], &report["checked"]), (&json!(there), &json!(true)), "{report:#}");
    assert_ne!(host_of(&lab, &web).await, there);

    let report = done(&client, "migrate_vm", arguments.clone()).await;
    assert_eq!((&report["changed"], &report["to"]["host"]), (&json!(true), &json!(there)), "{report:#}");
    assert_eq!((&report["vm"], &report["power_state"]), (&json!("DC0_C0_VM0"), &json!("powered_on")));
    assert!(host_of(&lab, &web).await == there && is_on(&web).await);
    let again = done(&client, "migrate_vm", arguments).await;
    assert_eq!((&again["changed"], &again["moves"]), (&json!(false), &json!(false)), "{again:#}");
    assert_eq!(lab.sim.calls("RelocateVM_Task"), 1);
}

#[tokio::test]
async fn a_vmotion_to_an_incompatible_host_is_explained() {
    let lab = Lab::of(Model::demo()).await;
    let client = mcp(&lab).await;
    let arguments = json!({ "vm": "web-01", "host": "esx-05.corp.example" });
    let mut check = arguments.clone();
    check["check_only"] = json!(true);
    let report = done(&client, "migrate_vm", check).await;
    assert_eq!((&report["possible"], &report["changed"]), (&json!(false), &json!(false)));
    let finding = &report["findings"][0];
    assert_eq!((&finding["severity"], &finding["about"]), (&json!("error"), &json!("cpu")), "{report:#}");
    assert_eq!(
        (&finding["host"], &finding["fault"]),
        (&json!("esx-05.corp.example"), &json!("FeatureRequirementsNotMet"))
    );
    for said in ["same CPU generation", "EVC", "while it is off"] {
        assert!(finding["explanation"].as_str().unwrap().contains(said), "{finding:#}");
    }
    // The same as the error of a call that would move it, with what to do next.
    let (code, message) = refused(&client, "migrate_vm", arguments).await;
    assert_eq!(code, "invalid_state");
    for said in [
        "migrate \"web-01\": nothing was moved",
        "cpuid.amx_tile",
        "esx-05.corp.example",
        "enable EVC",
        "check_only tries another place",
        "list_hosts",
    ] {
        assert!(message.contains(said), "{said}: {message}");
    }
    assert_eq!(lab.sim.calls("RelocateVM_Task"), 0);
}

#[tokio::test]
async fn a_task_that_cannot_be_cancelled_goes_on_and_the_answer_says_so() {
    // The move takes some three seconds, and the call may take one.
    let lab = Lab::of(model().pace(0.6)).await;
    let web: Mo<VirtualMachine> = lab.client.get("DC0_C0_VM0").await.unwrap();
    let there = other_host(&lab, &web).await;
    let settings = [("MCP_CONFIRM", "never"), ("MCP_CALL_TIMEOUT", "1")];
    let client = older(lab.server(&settings), ()).await;
    lab.sim.trouble(Trouble::none().fail("CancelTask", "NotSupported", 1));
    let (code, message) = refused(&client, "migrate_vm", json!({ "vm": web.id(), "host": there })).await;
    assert_eq!(code, "deadline", "{message}");
    for said in [
        "\"migrate\" of DC0_C0_VM0 (task-",
        "goes on, since vSphere can't cancel it at this point",
        "it was done all the same before it could be cancelled",
    ] {
        assert!(message.contains(said), "{said}: {message}");
    }
    assert_eq!(host_of(&lab, &web).await, there);

    // One that can be cancelled is, and the VM is where it was.
    lab.sim.trouble(Trouble::none());
    let back = other_host(&lab, &web).await;
    let (code, message) = refused(&client, "migrate_vm", json!({ "vm": web.id(), "host": back })).await;
    assert_eq!(code, "deadline", "{message}");
    assert!(message.contains("was told to cancel; all have ended"), "{message}");
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(host_of(&lab, &web).await, there);
}

#[tokio::test]
async fn a_vm_goes_to_another_datacenter_with_its_networks() {
    let lab = lab().await;
    let web: Mo<VirtualMachine> = lab.client.get("DC0_C0_VM0").await.unwrap();
    let client = mcp(&lab).await;
    let there = json!({ "vm": "DC0_C0_VM0", "cluster": "DC1_C0", "datastore": "DC1_DS1", "folder": "/DC1/vm",
        "networks": ["VM Network=VM Network"] });
    let report = done(&client, "migrate_vm", there).await;
    assert_eq!(report["to"]["datacenter"], "DC1", "{report:#}");
    assert_eq!(report["nics"][0]["to"], "VM Network");
    assert_eq!(report["placement"], json!([{ "what": "pool", "name": "Resources", "why": "follows_from_asked" }]));
    assert_eq!(web.path().await.unwrap(), "/DC1/vm/DC0_C0_VM0");
    assert!(flat(&web).await.file_name.starts_with("[DC1_DS1] "));
    // Without a word about files and networks both are found, and told.
    let report = done(&client, "migrate_vm", json!({ "vm": "DC0_C0_VM0", "host": "DC0_C0_H1" })).await;
    let whys: Vec<&str> =
        report["placement"].as_array().unwrap().iter().map(|choice| choice["why"].as_str().unwrap()).collect();
    assert_eq!(whys, ["follows_from_asked", "usual", "most_space", "same_name"], "{report:#}");
    assert_eq!(host_of(&lab, &web).await, "DC0_C0_H1");
}

#[tokio::test]
async fn storage_vmotion_moves_all_files_in_the_format_that_is_asked_for() {
    let lab = lab().await;
    let web: Mo<VirtualMachine> = lab.client.get("DC0_C0_VM0").await.unwrap();
    let client = mcp(&lab).await;
    let there = json!({ "vm": "DC0_C0_VM0", "target_datastore": "DC0_DS1", "provisioning": "eager" });
    let report = done(&client, "storage_vmotion", there.clone()).await;
    let files = json!([
        { "label": "configuration", "from": "DC0_DS0", "to": "DC0_DS1" },
        { "label": "Hard disk 1", "from": "DC0_DS0", "to": "DC0_DS1", "provisioning": "eager" },
    ]);
    assert_eq!((&report["changed"], &report["files"]), (&json!(true), &files), "{report:#}");
    let disk = flat(&web).await;
    assert_eq!((disk.thin_provisioned, disk.eagerly_scrub), (Some(false), Some(true)));
    assert!(disk.file_name.starts_with("[DC0_DS1] "), "{}", disk.file_name);
    assert_eq!(web.read(vm::DATASTORE).await.unwrap().len(), 1);
    let again = done(&client, "storage_vmotion", there).await;
    assert_eq!((&again["changed"], &again["files"]), (&json!(false), &Value::Null), "{again:#}");
    // As the release before was called.
    let older = json!({ "vm_name": "DC0_C0_VM0", "target_datastore": "DC0_DS0", "thin_provision": true });
    done(&client, "storage_vmotion", older).await;
    assert_eq!(flat(&web).await.thin_provisioned, Some(true));
    let older = json!({ "vm_name": "DC0_C0_VM0", "target_datastore": "DC0_DS1", "thin_provision": false });
    done(&client, "storage_vmotion", older).await;
    assert_eq!(flat(&web).await.thin_provisioned, Some(false));
    let wrong = json!({ "vm": "DC0_C0_VM0", "target_datastore": "DC0_DS0", "provisioning": "sparse" });
    let (code, message) = refused(&client, "storage_vmotion", wrong).await;
    assert!(code == "invalid_argument" && message.contains("eager"), "{message}");

    lab.sim.fill_datastore("DC0_DS0", 1 << 20).unwrap();
    let full = json!({ "vm": "DC0_C0_VM0", "target_datastore": "DC0_DS0" });
    let (code, message) = refused(&client, "storage_vmotion", full).await;
    assert_eq!(code, "invalid_state", "{message}");
    assert!(message.contains("too little free space") && message.contains("get_datastore_info"), "{message}");
}

#[tokio::test]
async fn a_migration_that_makes_no_sense_says_why() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    for (arguments, expected, says) in [
        (json!({ "vm": "DC0_C0_VM0" }), "invalid_argument", "where to?"),
        (json!({ "vm": "DC0_C0_VM0", "networks": ["prod"] }), "invalid_argument", "name=value"),
        (json!({ "vm": "DC0_C0_VM0", "networks": ["prod=lab"] }), "invalid_argument", "VM Network (Network adapter 1)"),
        (json!({ "vm": "nope", "host": "DC0_C0_H0" }), "not_found", "nope"),
        (json!({ "vm": "DC0_C0_VM0", "host": "nope" }), "not_found", "nope"),
        (json!({ "vm": "DC0_C0_VM0", "folder": "vm" }), "ambiguous", "/DC1/vm"),
        (json!({ "vm": "DC0_C0_VM0", "host": "DC1_C0_H0", "cluster": "DC0_C0" }), "invalid_argument", "DC1_C0"),
        (json!({ "vm": "DC0_C0_VM0", "datastore": "DC1_DS0" }), "not_found", "DC1_DS0"),
        (json!({ "vm": "DC0_C0_VM0", "host": "DC0_C0_H1", "priority": "urgent" }), "invalid_argument", "high"),
    ] {
        let (code, message) = refused(&client, "migrate_vm", arguments.clone()).await;
        assert_eq!(code, expected, "{arguments}: {message}");
        assert!(message.contains(says), "{arguments}: {message}");
    }
    assert_eq!(lab.sim.calls("RelocateVM_Task"), 0);
}

#[tokio::test]
async fn rights_levels_and_a_host_without_vcenter_stand_in_the_way() {
    let lab = Lab::of(model().user("reader@vsphere.local", "secret", Role::ReadOnly)).await;
    let thumbprint = lab.sim.thumbprint().unwrap().to_string();
    let server = mcvsphere_mcp::Server::new(&crate::settings_with(&[
        ("VCENTER_HOST", &lab.sim.url()),
        ("VCENTER_USER", "reader@vsphere.local"),
        ("VCENTER_PASSWORD", "secret"),
        ("VCENTER_THUMBPRINT", &thumbprint),
        ("MCP_CONFIRM", "never"),
    ]))
    .unwrap();
    let reader = older(server, ()).await;
    let there = json!({ "vm": "DC0_C0_VM0", "datastore": "DC0_DS1" });
    let (code, message) = refused(&reader, "migrate_vm", there.clone()).await;
    assert_eq!(code, "permission");
    assert!(message.contains("Resource.ColdMigrate"), "{message}");

    let operator = older(lab.server(&[("MCP_PERMISSION", "power_ops")]), ()).await;
    assert_eq!(refused(&operator, "migrate_vm", there).await.0, "permission");

    let host = Lab::of(Model::esxi()).await;
    let client = mcp(&host).await;
    let page = call(&client, "list_vms", json!({})).await.unwrap();
    let arguments = json!({ "vm": page["items"][0]["id"], "datastore": "datastore1" });
    let (code, message) = refused(&client, "migrate_vm", arguments).await;
    assert!(code == "unsupported" && message.contains("vCenter"), "{message}");
}
