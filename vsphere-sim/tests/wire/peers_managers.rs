//! Stock govc against the simulated server: events, alarms, metrics, attributes, roles, sessions, licences, logs.

use crate::support::Lab;
use peers::{govc_run, govc_text};
use vsphere_model::types::UserSession;
use vsphere_sim::{Model, Role, Size};

const VM: &str = "/DC0/vm/DC0_C0_VM0";
const HOST: &str = "/DC0/host/DC0_C0/DC0_C0_H0";
const ALICE: &str = "alice@vsphere.local";

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 2, ..Size::default() }).user(ALICE, "secret", Role::ReadOnly)).await
}

/// What a command says when it fails.
async fn refusal(url: &str, args: &[&str]) -> String {
    format!("{:#}", govc_run(url, args).await.unwrap_err())
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_events_of_an_object_and_of_a_type() {
    let lab = lab().await;
    let url = &lab.govc_url();
    govc_run(url, &["vm.power", "-off", VM]).await.unwrap();
    let off = govc_text(url, &["events", "-type", "VmPoweredOffEvent", VM]).await.unwrap();
    assert_eq!(off.lines().count(), 1, "{off}");
    assert!(off.contains("DC0_C0_VM0 on DC0_C0_H"), "{off}");
    assert_eq!(
        govc_text(url, &["events", "-type", "VmPoweredOffEvent", HOST.rsplit_once('/').unwrap().0]).await.unwrap(),
        off
    );
    let logins = govc_text(url, &["events", "-n", "2", "-type", "UserLoginSessionEvent"]).await.unwrap();
    assert_eq!(logins.lines().filter(|line| line.contains("logged in as govc")).count(), 2, "{logins}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_alarms_are_shown_and_acknowledged() {
    let lab = Lab::new(Model::demo()).await;
    let url = &lab.govc_url();
    let alarms = govc_text(url, &["alarms"]).await.unwrap();
    assert!(alarms.contains("Datastore usage on disk"), "{alarms}");
    let acknowledged = govc_text(url, &["alarms", "-ack"]).await.unwrap();
    assert!(acknowledged.contains("VSPHERE.LOCAL\\Administrator"), "{acknowledged}");
    let declared = govc_text(url, &["alarms", "-d"]).await.unwrap();
    assert!(declared.lines().count() > 20, "{declared}");
    let info = govc_text(url, &["alarm.info", "-n", "Host CPU usage"]).await.unwrap();
    assert!(info.contains("alarm.HostCPUUsageAlarm"), "{info}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_metrics() {
    let lab = lab().await;
    let url = &lab.govc_url();
    let metrics = govc_text(url, &["metric.ls", VM]).await.unwrap();
    assert!(metrics.lines().any(|line| line == "cpu.usage.average"), "{metrics}");
    let info = govc_text(url, &["metric.info", HOST, "net.usage.average"]).await.unwrap();
    assert!(info.contains("KBps") && info.contains("vmnic0"), "{info}");
    let sample =
        govc_text(url, &["metric.sample", "-n", "5", "-instance", "-", VM, "cpu.usage.average"]).await.unwrap();
    assert!(sample.starts_with("DC0_C0_VM0") && sample.matches(',').count() == 4, "{sample}");
    let history = govc_text(url, &["metric.sample", "-i", "300", HOST, "mem.usage.average"]).await.unwrap();
    assert!(history.matches(',').count() > 3, "{history}");
    let intervals = govc_text(url, &["metric.interval.info"]).await.unwrap();
    assert_eq!(intervals.matches("Interval:").count(), 4, "{intervals}");
    govc_run(url, &["metric.interval.change", "-i", "300", "-level", "2"]).await.unwrap();
    govc_run(url, &["metric.change", "-level", "2", "net.bytesRx.average"]).await.unwrap();
    govc_run(url, &["metric.reset", "net.bytesRx.average"]).await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_custom_attributes() {
    let lab = lab().await;
    let url = &lab.govc_url();
    govc_run(url, &["fields.add", "owner"]).await.unwrap();
    govc_run(url, &["fields.add", "-type", "VirtualMachine", "backup"]).await.unwrap();
    govc_run(url, &["fields.set", "owner", "alice", VM]).await.unwrap();
    let info = govc_text(url, &["fields.info", VM]).await.unwrap();
    assert!(info.contains("owner") && info.contains("alice"), "{info}");
    govc_run(url, &["fields.rename", "owner", "keeper"]).await.unwrap();
    govc_run(url, &["fields.rm", "backup"]).await.unwrap();
    let fields = govc_text(url, &["fields.ls"]).await.unwrap();
    assert!(fields.contains("keeper") && !fields.contains("backup"), "{fields}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_roles_and_permissions() {
    let lab = lab().await;
    let url = &lab.govc_url();
    govc_run(url, &["role.create", "ops", "VirtualMachine.Interact.PowerOn"]).await.unwrap();
    govc_run(url, &["role.update", "-a", "ops", "VirtualMachine.Interact.PowerOff"]).await.unwrap();
    govc_run(url, &["role.update", "-name", "operators", "ops"]).await.unwrap();
    let privileges = govc_text(url, &["role.ls", "operators"]).await.unwrap();
    assert!(privileges.contains("PowerOn") && privileges.contains("PowerOff"), "{privileges}");
    let as_alice = url.replace("administrator", "alice").replace("VMware1%21", "secret");
    let denied = refusal(&as_alice, &["vm.power", "-off", VM]).await;
    assert!(denied.contains("Permission to perform this operation was denied"), "{denied}");
    govc_run(url, &["permissions.set", "-principal", ALICE, "-role", "operators", "/DC0"]).await.unwrap();
    govc_run(&as_alice, &["vm.power", "-off", VM]).await.unwrap();
    let usage = govc_text(url, &["role.usage", "operators"]).await.unwrap();
    assert!(usage.contains("/DC0") && usage.contains("VSPHERE.LOCAL\\alice"), "{usage}");
    let permissions = govc_text(url, &["permissions.ls", VM]).await.unwrap();
    assert!(permissions.contains("operators"), "{permissions}");
    let in_use = refusal(url, &["role.remove", "operators"]).await;
    assert!(in_use.contains("in use"), "{in_use}");
    govc_run(url, &["permissions.remove", "-principal", ALICE, "/DC0"]).await.unwrap();
    govc_run(url, &["role.remove", "operators"]).await.unwrap();
    let unknown = refusal(url, &["permissions.set", "-principal", "nobody@vsphere.local", "-role", "Admin", "/"]).await;
    assert!(unknown.contains("does not exist"), "{unknown}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_sessions_licences_extensions_and_logs() {
    const KEY: &str = "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE";
    let lab = lab().await;
    let url = &lab.govc_url();
    let sessions = lab.content.session_manager.as_ref().unwrap();
    let current = lab.read(sessions, "currentSession").await.unwrap();
    let current: UserSession = current.take().unwrap();
    let current = current.key;
    let list = govc_text(url, &["session.ls"]).await.unwrap();
    assert!(list.contains(&current) && list.contains("VSPHERE.LOCAL\\Administrator"), "{list}");
    govc_run(url, &["session.rm", &current]).await.unwrap();
    assert!(lab.read(&lab.content.root_folder, "name").await.is_err(), "govc has ended the session of this test");

    govc_run(url, &["license.add", KEY]).await.unwrap();
    govc_run(url, &["license.label.set", KEY, "team", "web"]).await.unwrap();
    govc_run(url, &["license.assign", "-host", HOST, KEY]).await.unwrap();
    let assigned = govc_text(url, &["license.assigned.ls"]).await.unwrap();
    assert!(assigned.contains(KEY) && assigned.contains("DC0_C0_H0"), "{assigned}");
    let licenses = govc_text(url, &["license.ls"]).await.unwrap();
    assert!(licenses.contains(KEY), "{licenses}");

    let extensions = govc_text(url, &["extension.info"]).await.unwrap();
    assert!(extensions.contains("com.vmware.vim.eam"), "{extensions}");
    govc_run(url, &["extension.unregister", "com.vmware.vim.eam"]).await.unwrap();
    let logs = govc_text(url, &["logs", "-n", "5"]).await.unwrap();
    assert!(logs.contains("logged in as govc"), "{logs}");
    let keys = govc_text(url, &["logs.ls", "-host", HOST]).await.unwrap();
    assert!(keys.contains("hostd") && keys.contains("vmkernel"), "{keys}");
    let manager = govc_text(url, &["object.collect", "-s", "EventManager:EventManager", "maxCollector"]).await.unwrap();
    assert_eq!(manager.trim(), "32");
    let about = govc_text(url, &["about"]).await.unwrap();
    assert!(about.contains("VirtualCenter"), "{about}");
}
