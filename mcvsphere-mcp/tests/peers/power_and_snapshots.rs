//! Power and snapshot tools on vcsim, their effects seen by govc; the sizes of snapshots as govc counts them.

use peers::{Vcsim, govc, govc_run};
use serde_json::{Value, json};
use vsphere_sim::{Model, Sim};

use crate::{MCVSPHERE, call, command, power_state};

const VM: &str = "DC0_H0_VM0";

fn arguments<const N: usize>(given: [&str; N]) -> Vec<String> {
    std::iter::once(format!("vm={VM}")).chain(given.map(str::to_owned)).collect()
}

/// The error of a call that must fail.
async fn error<const N: usize>(vcsim: &Vcsim, tool: &str, given: [&str; N]) -> Value {
    let output = command(&vcsim.url(), tool, &arguments(given)).await;
    assert!(!output.status.success(), "{tool}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_power_tools_change_what_govc_sees() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let refused = error(&vcsim, "reboot_guest", []).await;
    assert!(refused["message"].as_str().unwrap().contains("wait_for_vm_tools"), "{refused:#}");
    // No Tools run in the guests of vcsim, unless one says so.
    let tools = "SET.guest.toolsRunningStatus=guestToolsRunning";
    govc_run(&vcsim.govc_url(), &["vm.change", "-vm", VM, "-e", tools]).await.unwrap();
    for (tool, before, after, changed) in [
        ("suspend_vm", "poweredOn", "suspended", true),
        ("suspend_vm", "suspended", "suspended", false),
        ("power_on_vm", "suspended", "poweredOn", true),
        ("reset_vm", "poweredOn", "poweredOn", true),
        ("reboot_guest", "poweredOn", "poweredOn", true),
        ("standby_guest", "poweredOn", "suspended", true),
        ("power_on_vm", "suspended", "poweredOn", true),
        ("shutdown_guest", "poweredOn", "poweredOff", true),
        ("shutdown_guest", "poweredOff", "poweredOff", false),
        ("power_on_vm", "poweredOff", "poweredOn", true),
        ("power_off_vm", "poweredOn", "poweredOff", true),
    ] {
        assert_eq!(power_state(&vcsim, VM).await, before, "before {tool}");
        let answer = call(&vcsim.url(), tool, &arguments([])).await;
        assert_eq!(answer["results"][0]["changed"], changed, "{tool}: {answer:#}");
        assert_eq!(power_state(&vcsim, VM).await, after, "after {tool}");
    }
    for tool in ["reset_vm", "suspend_vm", "reboot_guest"] {
        let refused = error(&vcsim, tool, []).await;
        assert!(refused["message"].as_str().unwrap().contains("power_on_vm"), "{tool}: {refused:#}");
    }
}

/// The tree as govc tells it: `[name, is current, children]`.
async fn tree(vcsim: &Vcsim) -> Value {
    fn nodes(trees: &Value, current: &Value) -> Value {
        let trees = trees.as_array().cloned().unwrap_or_default();
        let node = |tree: Value| {
            json!([tree["name"], tree["snapshot"]["value"] == *current, nodes(&tree["childSnapshotList"], current)])
        };
        trees.into_iter().map(node).collect()
    }
    let info = govc(&vcsim.govc_url(), &["vm.info", "-r", VM]).await.unwrap();
    let snapshot = &info["virtualMachines"][0]["snapshot"];
    nodes(&snapshot["rootSnapshotList"], &snapshot["currentSnapshot"]["value"])
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_snapshot_tools_change_what_govc_sees() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let url = vcsim.url();
    let several = vec![format!("vms=[\"{VM}\", \"DC0_H0_VM1\"]"), "snapshot_name=a".to_owned()];
    let answer = call(&url, "create_snapshot", &several).await;
    assert_eq!(answer["failed"], 0, "{answer:#}");
    for name in ["snapshot_name=b", "snapshot_name=c"] {
        let answer = call(&url, "create_snapshot", &arguments([name, "memory=false"])).await;
        assert_eq!(answer["results"][0]["changed"], true, "{answer:#}");
    }
    assert_eq!(tree(&vcsim).await, json!([["a", false, [["b", false, [["c", true, []]]]]]]));
    let page = call(&url, "list_snapshots", &arguments([])).await;
    let paths: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| &item["path"]).collect();
    assert_eq!(json!(paths), json!(["/a", "/a/b", "/a/b/c"]));

    let answer = call(&url, "revert_to_snapshot", &arguments(["snapshot=/a/b"])).await;
    assert_eq!(answer["snapshot"]["path"], "/a/b", "{answer:#}");
    assert_eq!(tree(&vcsim).await, json!([["a", false, [["b", true, [["c", false, []]]]]]]));
    call(&url, "revert_to_current_snapshot", &arguments([])).await;
    assert_eq!(tree(&vcsim).await, json!([["a", false, [["b", true, [["c", false, []]]]]]]));

    let answer = call(&url, "delete_snapshot", &arguments(["snapshot=b", "remove_children=true"])).await;
    assert_eq!(answer["deleted"], json!(["/a/b", "/a/b/c"]));
    assert_eq!(tree(&vcsim).await, json!([["a", true, []]]));
    assert_eq!(error(&vcsim, "delete_snapshot", ["snapshot=b"]).await["code"], "not_found");
    let answer = call(&url, "delete_all_snapshots", &arguments([])).await;
    assert_eq!((&answer["changed"], &answer["remaining"]), (&json!(true), &json!(0)));
    assert_eq!(tree(&vcsim).await, json!([]));
    let other = govc(&vcsim.govc_url(), &["vm.info", "-r", "DC0_H0_VM1"]).await.unwrap();
    assert_eq!(other["virtualMachines"][0]["snapshot"]["rootSnapshotList"][0]["name"], "a");
}

/// vcsim's snapshots take no room, the simulator's do. govc leaves out their memory, so that none is kept here.
#[tokio::test]
#[ignore = "needs govc: cargo xtask peers"]
async fn peers_snapshots_take_what_govc_says() {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let tool = async |tool: &str, arguments: &[&str]| -> Value {
        let mut command = tokio::process::Command::new(MCVSPHERE);
        command.args(["tools", "call", tool, "vm=web-01", "--json", "--yes"]).args(arguments);
        command
            .env("VCENTER_HOST", sim.url())
            .env("VCENTER_USER", Model::USER)
            .env("VCENTER_PASSWORD", Model::PASSWORD);
        let output = command.env("VCENTER_INSECURE", "true").output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    for snapshot in ["snapshot_name=a", "snapshot_name=b", "snapshot_name=c"] {
        tool("create_snapshot", &[snapshot, "memory=false"]).await;
    }
    // Two stand upon the first one then, and the machine writes beside them.
    tool("revert_to_snapshot", &["snapshot=a"]).await;
    tool("create_snapshot", &["snapshot_name=d"]).await;
    tool("revert_to_snapshot", &["snapshot=a"]).await;
    let page = tool("list_snapshots", &[]).await;
    let ours = page["items"].as_array().unwrap().iter().map(|item| (item["name"].clone(), item["size_bytes"].clone()));
    let ours: Vec<_> = ours.collect();

    fn flat(trees: &Value, found: &mut Vec<(Value, Value)>) {
        for tree in trees.as_array().into_iter().flatten() {
            found.push((tree["name"].clone(), tree["size"].clone()));
            flat(&tree["childSnapshotList"], found);
        }
    }
    let user = Model::USER.replace('@', "%40");
    let url = sim.url().replace("://", &format!("://{user}:{}@", Model::PASSWORD.replace('!', "%21")));
    let mut theirs = Vec::new();
    flat(&govc(&url, &["snapshot.tree", "-s", "-vm", "web-01"]).await.unwrap(), &mut theirs);
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 4);
    assert!(ours.iter().all(|(_, size)| size.as_i64().unwrap() > 0), "{ours:?}");
}
