//! Stock govc against the simulated server: power, snapshots, Tools, consoles, questions.

use std::time::{Duration, Instant};

use crate::support::Lab;
use peers::{govc, govc_run};
use serde_json::Value;
use vsphere_sim::{Model, Size};

async fn lab(pace: f64) -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() }).pace(pace)).await
}

/// What `vm.info` says of a machine.
async fn info(url: &str, name: &str) -> Value {
    let answer = govc(url, &["vm.info", name]).await.unwrap();
    answer["virtualMachines"][0].clone()
}

async fn power_state(url: &str, name: &str) -> String {
    info(url, name).await["runtime"]["powerState"].as_str().unwrap().to_owned()
}

/// What a command says when it fails.
async fn refusal(url: &str, args: &[&str]) -> String {
    format!("{:#}", govc_run(url, args).await.unwrap_err())
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_vm_power_in_all_its_forms() {
    let lab = lab(0.0).await;
    let url = &lab.govc_url();
    lab.machine_with_tools("web-1").await;
    lab.machine_with_tools("web-2").await;
    lab.machine("blank", &[]).await;
    let power = async |args: &[&str]| govc_run(url, &[&["vm.power"], args].concat()).await.unwrap();

    power(&["-on", "web-1"]).await;
    assert_eq!(power_state(url, "web-1").await, "poweredOn");
    let words = refusal(url, &["vm.power", "-on", "web-1"]).await;
    assert!(words.contains("cannot be performed in the current state (Powered on)"), "{words}");
    power(&["-on", "-force", "web-1"]).await;
    power(&["-reset", "web-1"]).await;
    power(&["-r", "web-1"]).await;
    assert_eq!(power_state(url, "web-1").await, "poweredOn");
    power(&["-suspend", "web-1"]).await;
    assert_eq!(power_state(url, "web-1").await, "suspended");
    power(&["-on", "web-1"]).await;
    power(&["-standby", "web-1"]).await;
    assert_eq!(power_state(url, "web-1").await, "suspended");
    power(&["-on", "web-1"]).await;
    power(&["-s", "web-1"]).await;
    assert_eq!(power_state(url, "web-1").await, "poweredOff");
    power(&["-off", "-force", "web-1"]).await;

    // Several with one call, of which one runs already.
    power(&["-on", "web-1"]).await;
    power(&["-on", "-M", "-force", "web-1", "web-2", "blank"]).await;
    for name in ["web-1", "web-2", "blank"] {
        assert_eq!(power_state(url, name).await, "poweredOn", "{name}");
    }
    // Without Tools a guest can't be asked, but may be forced.
    let words = refusal(url, &["vm.power", "-s", "blank"]).await;
    assert!(words.contains("VMware Tools is not running"), "{words}");
    power(&["-s", "-force", "blank"]).await;
    assert_eq!(power_state(url, "blank").await, "poweredOff");
    power(&["-off", "web-1", "web-2"]).await;
    assert_eq!(power_state(url, "web-2").await, "poweredOff");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_vm_ip_waits_for_the_address() {
    // A fifth of a real server's pace: the address comes 1.6 s after the power-on.
    let lab = lab(0.2).await;
    let url = &lab.govc_url();
    lab.machine_with_tools("web-1").await;
    govc_run(url, &["vm.power", "-on", "web-1"]).await.unwrap();
    assert_eq!(info(url, "web-1").await["guest"]["ipAddress"].as_str().unwrap_or_default(), "");
    let start = Instant::now();
    govc_run(url, &["vm.ip", "web-1"]).await.unwrap();
    assert!(start.elapsed() > Duration::from_millis(300), "{:?}", start.elapsed());
    govc_run(url, &["vm.ip", "-a", "-v4", "-wait", "10s", "web-1"]).await.unwrap();
    let info = info(url, "web-1").await;
    let guest = &info["guest"];
    assert!(guest["ipAddress"].as_str().unwrap().starts_with("10."), "{guest}");
    assert_eq!(guest["net"][0]["ipConfig"]["ipAddress"][0]["ipAddress"], guest["ipAddress"]);
    assert_eq!(guest["toolsStatus"], "toolsOk");
    assert_eq!(info["summary"]["guest"]["hostName"], "web-1");
    assert!(info["summary"]["quickStats"]["overallCpuUsage"].as_i64().unwrap() > 0, "{}", info["summary"]);
    govc_run(url, &["vm.info", "-r", "-t", "-e", "web-1"]).await.unwrap();
}

/// The tree of snapshots in one line, with `*` after the current one: `a(b*,c)`.
async fn tree(url: &str, name: &str) -> String {
    fn line(trees: &Value) -> String {
        let node = |tree: &Value| {
            let mark = if tree["current"] == true { "*" } else { "" };
            let children = line(&tree["childSnapshotList"]);
            let children = if children.is_empty() { children } else { format!("({children})") };
            format!("{}{mark}{children}", tree["name"].as_str().unwrap())
        };
        trees.as_array().into_iter().flatten().map(node).collect::<Vec<_>>().join(",")
    }
    line(&govc(url, &["snapshot.tree", "-vm", name]).await.unwrap())
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_snapshots_as_a_tree() {
    let lab = lab(0.0).await;
    let url = &lab.govc_url();
    lab.machine_with_tools("web-1").await;
    govc_run(url, &["vm.power", "-on", "web-1"]).await.unwrap();
    let run = async |args: &[&str]| govc_run(url, &[&[args[0], "-vm", "web-1"], &args[1..]].concat()).await.unwrap();
    run(&["snapshot.create", "-d", "why", "root"]).await;
    run(&["snapshot.create", "-m=false", "-q", "left"]).await;
    run(&["snapshot.revert", "root"]).await;
    assert_eq!(power_state(url, "web-1").await, "poweredOn");
    run(&["snapshot.create", "-m=false", "right"]).await;
    assert_eq!(tree(url, "web-1").await, "root(left,right*)");
    run(&["snapshot.tree", "-D", "-i", "-d", "-s", "-f"]).await;
    run(&["snapshot.revert", "root/left"]).await;
    assert_eq!(power_state(url, "web-1").await, "poweredOff");
    run(&["snapshot.revert"]).await;
    assert_eq!(tree(url, "web-1").await, "root(left*,right)");
    run(&["snapshot.remove", "-r=false", "right"]).await;
    run(&["snapshot.remove", "-c=false", "left"]).await;
    assert_eq!(tree(url, "web-1").await, "root*");
    assert_eq!(info(url, "web-1").await["runtime"]["consolidationNeeded"], true);
    run(&["snapshot.remove", "*"]).await;
    assert_eq!(info(url, "web-1").await["snapshot"], Value::Null);
    let words = refusal(url, &["snapshot.revert", "-vm", "web-1"]).await;
    assert!(words.contains("no current snapshot"), "{words}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_tools_hardware_keys_and_questions() {
    let lab = lab(0.0).await;
    let url = &lab.govc_url();
    let site = lab.site().await;
    let old = [("guestinfo.sim.hostname", "old"), ("guestinfo.sim.tools", "old")];
    lab.machine_of(&site, "old", &old, |spec| spec.version = Some("vmx-15".to_owned())).await;
    govc_run(url, &["vm.upgrade", "-vm", "old", "-version", "19"]).await.unwrap();
    assert_eq!(info(url, "old").await["config"]["version"], "vmx-19");
    // govc takes AlreadyUpgraded for success.
    govc_run(url, &["vm.upgrade", "-vm", "old", "-version", "19"]).await.unwrap();
    govc_run(url, &["vm.upgrade", "-vm", "old"]).await.unwrap();
    assert_eq!(info(url, "old").await["config"]["version"], "vmx-22");

    govc_run(url, &["vm.power", "-on", "old"]).await.unwrap();
    assert_eq!(info(url, "old").await["guest"]["toolsStatus"], "toolsOld");
    govc_run(url, &["vm.guest.tools", "-mount", "old"]).await.unwrap();
    assert_eq!(info(url, "old").await["runtime"]["toolsInstallerMounted"], true);
    govc_run(url, &["vm.guest.tools", "-unmount", "old"]).await.unwrap();
    govc_run(url, &["vm.guest.tools", "-upgrade", "old"]).await.unwrap();
    assert_eq!(info(url, "old").await["guest"]["toolsStatus"], "toolsOk");
    govc_run(url, &["vm.keystrokes", "-vm", "old", "-s", "root"]).await.unwrap();
    govc_run(url, &["vm.keystrokes", "-vm", "old", "-c", "0x4c", "-la=true", "-lc=true"]).await.unwrap();
    govc_run(url, &["vm.console", "-wss", "old"]).await.unwrap();

    let moved = [("uuid.location", "56 4d 00 00 00 00 00 00-00 00 00 00 00 00 00 00")];
    lab.machine("moved", &moved).await;
    govc_run(url, &["vm.question", "-vm", "moved"]).await.unwrap();
    let start = async { govc_run(url, &["vm.power", "-on", "moved"]).await.unwrap() };
    let answer = async {
        while info(url, "moved").await["runtime"]["question"].is_null() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        govc_run(url, &["vm.question", "-vm", "moved"]).await.unwrap();
        govc_run(url, &["vm.question", "-vm", "moved", "-answer", "1"]).await.unwrap();
    };
    tokio::join!(start, answer);
    assert_eq!(power_state(url, "moved").await, "poweredOn");
}
