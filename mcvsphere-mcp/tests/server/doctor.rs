//! `mcvsphere doctor` before a simulated vCenter whose user may not do everything.

use std::{collections::BTreeSet, process::Stdio};

use mcvsphere_mcp::Server;
use rmcp::model::Tool;
use serde_json::{Value, json};
use vsphere_sim::{Model, Role, Size};

use crate::{connect, lab::Lab, settings_with};

/// What the doctor says, check by check.
async fn checks(lab: &Lab, user: &str) -> Vec<(String, String, String)> {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_mcvsphere"))
        .args(["doctor", "--json"])
        .env("VCENTER_HOST", lab.sim.url())
        .env("VCENTER_USER", user)
        .env("VCENTER_PASSWORD", "secret")
        .env("VCENTER_THUMBPRINT", lab.sim.thumbprint().unwrap().to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    checks.iter().map(|check| (text(check, "check"), text(check, "verdict"), text(check, "found"))).collect()
}

#[tokio::test]
async fn the_doctor_says_for_each_toolset_which_rights_are_missing() {
    let model = Model::sized(Size { vms: 1, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 })
        .user("reader", "secret", Role::ReadOnly)
        .user("operator", "secret", Role::VirtualMachineUser);
    let lab = Lab::of(model).await;
    let of = |checks: &[(String, String, String)], name: &str| {
        let (_, verdict, found) = checks.iter().find(|(check, ..)| check == name).unwrap().clone();
        (verdict, found)
    };
    let reader = checks(&lab, "reader").await;
    let (verdict, found) = of(&reader, "rights: power");
    assert_eq!(verdict, "warning");
    for said in [
        "VirtualMachine.Interact.PowerOff (for power_off_vm, shutdown_guest)",
        "VirtualMachine.Interact.PowerOn",
        "root folder",
    ] {
        assert!(found.contains(said), "{said}: {found}");
    }
    assert_eq!(of(&reader, "rights: network").0, "ok");
    assert_eq!(of(&reader, "setting VCENTER_USER").1, "reader (from the environment)");
    assert_eq!(of(&reader, "setting VCENTER_PASSWORD").1, "*** (from the environment)");
    for (toolset, said) in [
        ("vm", "VirtualMachine.Inventory.Delete (for delete_vm)"),
        ("vm", "Resource.AssignVMToPool (for clone_vm, convert_to_vm, create_vm, deploy_from_template)"),
        ("snapshots", "VirtualMachine.State.RemoveSnapshot (for delete_all_snapshots, delete_snapshot)"),
        ("disks", "VirtualMachine.Config.DiskExtend (for resize_disk)"),
        ("disks", "Datastore.Browse (for attach_iso)"),
        ("nics", "Network.Assign (for add_nic, change_nic_network)"),
        ("serial", "VirtualMachine.Interact.DeviceConnection (for clear_serial_port, connect_serial_port)"),
    ] {
        let (verdict, found) = of(&reader, &format!("rights: {toolset}"));
        assert_eq!(verdict, "warning");
        assert!(found.contains(said), "{said}: {found}");
    }
    // Who may only look can't do anything that changes something.
    let tools = connect(Server::new(&settings_with(&[])).unwrap()).await.list_all_tools().await.unwrap();
    // Some that only look show what is for administrators, and need more than to look.
    let read_only = |tool: &Tool| json!(tool)["_meta"]["mcvsphere/permission"] == "read_only";
    let said: String =
        reader.iter().filter(|(check, ..)| check.starts_with("rights")).map(|it| it.2.as_str()).collect();
    let named: BTreeSet<&str> = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let (looking, changing): (Vec<&Tool>, Vec<&Tool>) = tools.iter().partition(|tool| read_only(tool));
    assert!(changing.len() >= 30, "{}", changing.len());
    assert!(changing.iter().all(|tool| named.contains(&*tool.name)), "{said}");
    // What is in the files of a datastore, and in specifications, is not for everyone who may look.
    let more = ["browse_datastore", "list_customization_specs", "list_ovf_networks"];
    assert!(looking.iter().all(|tool| named.contains(&*tool.name) == more.contains(&&*tool.name)), "{said}");
    let operator = checks(&lab, "operator").await;
    assert_eq!(of(&operator, "rights: power").0, "ok", "{operator:?}");

    let (verdict, found) = of(&reader, "certificate");
    assert_eq!(verdict, "ok", "{found}");
    let thumbprint = lab.sim.thumbprint().unwrap().to_string();
    for said in ["signed by itself", "localhost", "127.0.0.1", "days left", thumbprint.as_str()] {
        assert!(found.contains(said), "{said}: {found}");
    }
}
