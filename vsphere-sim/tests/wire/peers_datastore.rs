//! Stock govc against the simulated server: datastores, their files, disks, tasks, and search.

use std::path::PathBuf;

use crate::support::Lab;
use peers::{govc, govc_run};
use serde_json::Value;
use vsphere_sim::{Model, Size};

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { datastores: 1, vms: 2, ..Size::default() })).await
}

/// What a command says when it fails.
async fn refusal(url: &str, args: &[&str]) -> String {
    format!("{:#}", govc_run(url, args).await.unwrap_err())
}

/// The names that `datastore.ls` shows in a folder.
async fn names(url: &str, folder: &str) -> Vec<String> {
    let answer = govc(url, &["datastore.ls", folder]).await.unwrap();
    let files = answer[0]["file"].as_array().cloned().unwrap_or_default();
    files.iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
}

/// A file on this machine, gone with the value.
struct Local(PathBuf);

impl Local {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("peers-datastore-{}-{name}", std::process::id())))
    }

    fn with(name: &str, content: &[u8]) -> Self {
        let file = Self::new(name);
        std::fs::write(&file.0, content).unwrap();
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_datastore_info_and_maintenance() {
    let lab = lab().await;
    let url = &lab.govc_url();
    let info = async || govc(url, &["datastore.info", "DC0_DS0"]).await.unwrap()["datastores"][0].clone();
    let store = info().await;
    assert_eq!(store["summary"]["type"], "VMFS");
    assert_eq!(store["info"]["vmfs"]["name"], "DC0_DS0");
    assert_eq!(store["summary"]["capacity"], 64_u64 << 40);
    govc_run(url, &["datastore.maintenance.exit", "DC0_DS0"]).await.unwrap_err();
    let words = refusal(url, &["datastore.maintenance.enter", "DC0_DS0"]).await;
    assert!(words.contains("there are virtual machines on it"), "{words}");
    let words = refusal(url, &["datastore.remove", "DC0_DS0"]).await;
    assert!(!words.is_empty());
    govc_run(url, &["vm.destroy", "DC0_C0_VM0", "DC0_C0_VM1"]).await.unwrap();
    govc_run(url, &["datastore.maintenance.enter", "DC0_DS0"]).await.unwrap();
    assert_eq!(info().await["summary"]["maintenanceMode"], "inMaintenance");
    govc_run(url, &["datastore.maintenance.exit", "DC0_DS0"]).await.unwrap();
    assert_eq!(info().await["summary"]["maintenanceMode"], "normal");
    govc_run(url, &["object.rename", "/DC0/datastore/DC0_DS0", "renamed"]).await.unwrap();
    let found = govc(url, &["find", "/", "-type", "s"]).await.unwrap();
    assert_eq!(found, serde_json::json!(["/DC0/datastore/renamed"]));
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_datastore_files() {
    let lab = lab().await;
    let url = &lab.govc_url();
    let run = async |args: &[&str]| govc_run(url, args).await.unwrap();
    let words = refusal(url, &["datastore.mkdir", "iso/linux"]).await;
    assert!(words.contains("[DC0_DS0] iso was not found"), "{words}");
    run(&["datastore.mkdir", "-p", "iso/linux"]).await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sent = Local::with("sent", &content);
    run(&["datastore.upload", sent.path(), "iso/linux/a b.iso"]).await;
    // A folder that is missing is made.
    run(&["datastore.upload", sent.path(), "nowhere/a.iso"]).await;
    run(&["datastore.rm", "nowhere"]).await;
    let received = Local::new("received");
    run(&["datastore.download", "iso/linux/a b.iso", received.path()]).await;
    assert!(std::fs::read(&received.0).unwrap() == content);
    let words = refusal(url, &["datastore.download", "ghost.iso", received.path()]).await;
    assert!(words.contains("404"), "{words}");

    let long = govc(url, &["datastore.ls", "-l", "-R", "iso"]).await.unwrap();
    let folders: Vec<&Value> = long.as_array().unwrap().iter().map(|found| &found["folderPath"]).collect();
    assert_eq!(folders, ["[DC0_DS0] iso/", "[DC0_DS0] iso/linux/"]);
    let file = &long[1]["file"][0];
    assert_eq!(
        (&file["path"], &file["fileSize"], &file["owner"]),
        (&"a b.iso".into(), &3_000_000.into(), &"root".into())
    );

    run(&["datastore.cp", "iso/linux/a b.iso", "iso/b.iso"]).await;
    let words = refusal(url, &["datastore.cp", "iso/linux/a b.iso", "iso/b.iso"]).await;
    assert!(words.contains("already exists"), "{words}");
    run(&["datastore.cp", "-f", "iso/linux/a b.iso", "iso/b.iso"]).await;
    run(&["datastore.mv", "iso/b.iso", "iso/linux/c.iso"]).await;
    assert_eq!(names(url, "iso/linux").await, ["a b.iso", "c.iso"]);
    assert_eq!(names(url, "iso/linux/a*").await, ["a b.iso"]);
    let text = Local::with("text", b"one\ntwo\nthree\n");
    run(&["datastore.upload", text.path(), "a.log"]).await;
    run(&["datastore.tail", "-n", "2", "a.log"]).await;
    run(&["datastore.rm", "iso"]).await;
    assert!(!names(url, "").await.contains(&"iso".to_owned()));
    let words = refusal(url, &["datastore.rm", "iso"]).await;
    assert!(words.contains("not found"), "{words}");
    run(&["datastore.rm", "-f", "iso"]).await;
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_datastore_disks() {
    let lab = lab().await;
    let url = &lab.govc_url();
    let run = async |args: &[&str]| govc_run(url, args).await.unwrap();
    run(&["datastore.mkdir", "disks"]).await;
    run(&["datastore.disk.create", "-size", "2G", "disks/a.vmdk"]).await;
    let kind = async |path: &str| {
        let answer = govc(url, &["datastore.disk.info", path]).await.unwrap();
        answer[0]["DiskType"].as_str().unwrap().to_owned()
    };
    assert_eq!(kind("disks/a.vmdk").await, "thin");
    run(&["datastore.disk.shrink", "disks/a.vmdk"]).await;
    run(&["datastore.disk.inflate", "disks/a.vmdk"]).await;
    assert_eq!(kind("disks/a.vmdk").await, "eagerZeroedThick");
    run(&["datastore.disk.extend", "-size", "3G", "disks/a.vmdk"]).await;
    run(&["datastore.cp", "disks/a.vmdk", "disks/b.vmdk"]).await;
    run(&["datastore.mv", "disks/b.vmdk", "disks/c.vmdk"]).await;
    assert_eq!(names(url, "disks").await, ["a.vmdk", "c.vmdk"]);
    let long = govc(url, &["datastore.ls", "-l", "disks"]).await.unwrap();
    assert_eq!(long[0]["file"][1]["fileSize"], 3_u64 << 30);
    // The extent is there by its name: govc downloads it.
    let descriptor = Local::new("descriptor");
    run(&["datastore.download", "disks/c.vmdk", descriptor.path()]).await;
    let text = std::fs::read_to_string(&descriptor.0).unwrap();
    assert!(text.contains("RW 6291456 VMFS \"c-flat.vmdk\""), "{text}");
    run(&["datastore.rm", "disks/c.vmdk"]).await;
    assert_eq!(names(url, "disks").await, ["a.vmdk"]);
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_first_class_disks() {
    let lab = lab().await;
    let url = &lab.govc_url();
    govc_run(url, &["disk.create", "-size", "64M", "data"]).await.unwrap();
    let list = async || govc(url, &["disk.ls"]).await.unwrap()["objects"].as_array().cloned().unwrap_or_default();
    let disks = list().await;
    assert_eq!(
        (disks.len(), &disks[0]["config"]["name"], &disks[0]["config"]["capacityInMB"]),
        (1, &"data".into(), &64.into())
    );
    govc_run(url, &["disk.rm", disks[0]["config"]["id"]["id"].as_str().unwrap()]).await.unwrap();
    assert_eq!(list().await.len(), 0);
    let words = refusal(url, &["disk.rm", "none"]).await;
    assert!(words.contains("could not be found"), "{words}");
    govc_run(url, &["datastore.disk.create", "-size", "1G", "old.vmdk"]).await.unwrap();
    govc_run(url, &["disk.register", "old.vmdk", "old"]).await.unwrap();
    assert_eq!(list().await[0]["config"]["name"], "old");
    govc_run(url, &["datastore.rm", "old.vmdk"]).await.unwrap();
    let words = refusal(url, &["disk.ls"]).await;
    assert!(words.contains("reconcile"), "{words}");
    govc_run(url, &["disk.ls", "-R"]).await.unwrap();
    assert_eq!(list().await.len(), 0);
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_tasks_and_search() {
    let lab = lab().await;
    let url = &lab.govc_url();
    govc_run(url, &["datastore.disk.create", "-size", "1G", "a.vmdk"]).await.unwrap();
    let words = refusal(url, &["datastore.disk.create", "-size", "1G", "none/a.vmdk"]).await;
    assert!(words.contains("was not found"), "{words}");
    let tasks = govc(url, &["tasks"]).await.unwrap();
    let created = tasks["tasks"].as_array().unwrap().iter().filter(|task| task["name"] == "CreateVirtualDisk_Task");
    let states: Vec<&Value> = created.map(|task| &task["state"]).collect();
    assert_eq!(states, ["success", "error"]);
    let failed = govc(url, &["tasks", "-s", "error", "-r", "/DC0"]).await.unwrap();
    assert_eq!(failed["tasks"].as_array().map(Vec::len), Some(1), "{failed}");
    let words = refusal(url, &["task.cancel", tasks["tasks"][0]["key"].as_str().unwrap()]).await;
    assert!(!words.is_empty());
    let history = govc(url, &["object.collect", "-json", "TaskManager:TaskManager", "recentTask"]).await.unwrap();
    assert!(!history[0]["val"]["_value"].as_array().unwrap().is_empty(), "{history}");

    let vm = govc(url, &["vm.info", "DC0_C0_VM0"]).await.unwrap()["virtualMachines"][0].clone();
    let uuid = vm["config"]["uuid"].as_str().unwrap();
    let by_uuid = govc(url, &["vm.info", "-vm.uuid", uuid]).await.unwrap();
    assert_eq!(by_uuid["virtualMachines"][0]["name"], "DC0_C0_VM0");
    let path = vm["config"]["files"]["vmPathName"].as_str().unwrap();
    let by_path = govc(url, &["vm.info", "-vm.path", path]).await.unwrap();
    assert_eq!(by_path["virtualMachines"][0]["name"], "DC0_C0_VM0");
    let by_path = govc(url, &["vm.info", "-vm.ipath", "/DC0/vm/DC0_C0_VM1"]).await.unwrap();
    assert_eq!(by_path["virtualMachines"][0]["name"], "DC0_C0_VM1");
    let address = vm["guest"]["ipAddress"].as_str().unwrap();
    let by_address = govc(url, &["vm.info", "-vm.ip", address]).await.unwrap();
    assert_eq!(by_address["virtualMachines"][0]["name"], "DC0_C0_VM0");
    // What a machine's folder has.
    let folder = path.split("] ").nth(1).and_then(|path| path.split('/').next()).unwrap();
    let files = names(url, folder).await;
    assert!(
        files.iter().any(|file| file.ends_with(".vmx")) && files.iter().any(|file| file.ends_with(".vmdk")),
        "{files:?}"
    );
    let vmx = Local::new("vmx");
    govc_run(url, &["datastore.download", path.split("] ").nth(1).unwrap(), vmx.path()]).await.unwrap();
    let text = std::fs::read_to_string(&vmx.0).unwrap();
    assert!(text.contains("displayName = \"DC0_C0_VM0\""), "{text}");
}
