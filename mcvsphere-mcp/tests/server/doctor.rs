//! `mcvsphere doctor` before a simulated vCenter whose user may not do everything.

use std::process::Stdio;

use serde_json::Value;
use vsphere_sim::{Model, Role, Size};

use crate::lab::Lab;

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
    for said in
        ["VirtualMachine.Interact.PowerOff (for power_off_vm)", "VirtualMachine.Interact.PowerOn", "root folder"]
    {
        assert!(found.contains(said), "{said}: {found}");
    }
    assert_eq!(of(&reader, "rights: monitoring").0, "ok");
    let operator = checks(&lab, "operator").await;
    assert_eq!(of(&operator, "rights: power").0, "ok", "{operator:?}");

    let (verdict, found) = of(&reader, "certificate");
    assert_eq!(verdict, "ok", "{found}");
    let thumbprint = lab.sim.thumbprint().unwrap().to_string();
    for said in ["signed by itself", "localhost", "127.0.0.1", "days left", thumbprint.as_str()] {
        assert!(found.contains(said), "{said}: {found}");
    }
}
