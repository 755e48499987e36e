//! The inventory as files and in answers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mcvsphere_mcp::Permission;
use serde_json::{Value, json};
use vsphere_ops::{disk::NewDisk, snapshot::NewSnapshot};
use vsphere_sim::{Model, Size};

use crate::{
    confirm::older,
    disks::{Mcp, call, mcp, refused},
    lab::Lab,
};

/// The directory of `MCP_FILES`.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("export-{:016x}", fastrand::u64(..)));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    async fn client(&self, lab: &Lab, more: &[(&str, &str)]) -> Mcp {
        let files = ("MCP_FILES", self.0.to_str().unwrap());
        older(lab.server(&[&[("MCP_CONFIRM", "never"), files], more].concat()), ()).await
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// All files, by their names.
    fn names(&self) -> Vec<String> {
        let of = |folder: &Path| {
            let entries = fs::read_dir(folder).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
        };
        let (folders, mut all): (Vec<_>, Vec<_>) = of(&self.0).into_iter().partition(|path| path.is_dir());
        all.extend(folders.iter().flat_map(|folder| of(folder)));
        let mut names: Vec<_> =
            all.iter().map(|path| path.strip_prefix(&self.0).unwrap().display().to_string()).collect();
        names.sort();
        names
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Three VMs: one with a disk of 3 GiB, one with a snapshot, and one whose name is a formula.
async fn lab() -> Lab {
    let lab = Lab::new().await;
    lab.machine("db").await.add_disk(&NewDisk::of_bytes(3 << 30)).await.unwrap();
    let web = lab.running("web").await;
    web.create_snapshot(&NewSnapshot::new("before").description("ask Ann")).await.unwrap().await.unwrap();
    lab.machine("=1+1").await;
    lab
}

fn rows(answer: &Value) -> Vec<(&str, u64)> {
    let sheets = answer["sheets"].as_array().unwrap().iter();
    sheets.map(|sheet| (sheet["sheet"].as_str().unwrap(), sheet["rows"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn a_directory_gets_a_file_for_each_sheet_as_rvtools_calls_them() {
    let (lab, files) = (lab().await, Files::new());
    let client = files.client(&lab, &[]).await;
    let answer = call(&client, "export_inventory", json!({ "path": "inventory" })).await.unwrap();
    let expected = [
        ("vInfo", 3),
        ("vCPU", 3),
        ("vMemory", 3),
        ("vDisk", 1),
        ("vPartition", 0),
        ("vNetwork", 0),
        ("vSnapshot", 1),
        ("vHost", 2),
        ("vDatastore", 1),
    ];
    assert_eq!(rows(&answer), expected);
    assert_eq!(answer["sheets"][0]["saved_to"], "inventory/RVTools_tabvInfo.csv");
    assert!(answer.get("missing").is_none() && answer["sheets"][0].get("content").is_none(), "{answer:#}");
    let mut names = expected.map(|(sheet, _)| format!("inventory/RVTools_tab{sheet}.csv"));
    names.sort();
    assert_eq!(files.names(), names);
    let info = files.text("inventory/RVTools_tabvInfo.csv");
    let begins: Vec<&str> = info.lines().map(|line| line.split("\",").next().unwrap()).collect();
    assert_eq!(begins, ["\"VM", "\"db", "\"web", "\"'=1+1"], "{info}");
    let disks = files.text("inventory/RVTools_tabvDisk.csv");
    assert!(disks.contains("\r\n\"db\",\"poweredOff\",\"False\",\"False\",\"Hard disk 1\","), "{disks}");
    assert!(disks.contains(",\"3072\","), "{disks}");

    // What is there stays, and nothing is half done.
    let (code, text) = refused(&client, "export_inventory", json!({ "path": "inventory" })).await;
    assert!(code == "already_exists" && text.contains("RVTools_tabvInfo.csv"), "{code}: {text}");
    assert_eq!((files.names(), files.text("inventory/RVTools_tabvInfo.csv")), (names.to_vec(), info));
}

#[tokio::test]
async fn one_sheet_is_one_file_and_nothing_leads_out() {
    let (lab, files) = (lab().await, Files::new());
    let client = files.client(&lab, &[]).await;
    let one = json!({ "path": "snapshots.json", "sheets": ["vSnapshot"], "format": "json" });
    let answer = call(&client, "export_inventory", one).await.unwrap();
    assert_eq!(rows(&answer), [("vSnapshot", 1)]);
    let written: Value = serde_json::from_str(&files.text("snapshots.json")).unwrap();
    assert_eq!((&written[0]["VM"], &written[0]["Name"]), (&json!("web"), &json!("before")));
    assert_eq!((&written[0]["Description"], &written[0]["Quiesced"]), (&json!("ask Ann"), &json!(false)));
    for (arguments, code) in [
        (json!({ "path": "all.csv" }), "invalid_argument"),
        (json!({ "path": "../out" }), "invalid_argument"),
        (json!({ "path": ".hidden" }), "invalid_argument"),
        (json!({ "path": "a/b", "sheets": ["vHost"] }), "not_found"),
        (json!({ "sheets": ["vLicense"] }), "invalid_argument"),
    ] {
        let (refusal, text) = refused(&client, "export_inventory", arguments.clone()).await;
        assert_eq!(refusal, code, "{arguments}: {text}");
    }
    assert_eq!(files.names(), ["snapshots.json"]);
    // Where no file may be touched, the answer says which setting allows it.
    let (code, text) = refused(&mcp(&lab).await, "export_inventory", json!({ "path": "a" })).await;
    assert!(code == "config" && text.contains("MCP_FILES"), "{text}");
}

#[tokio::test]
async fn what_is_small_is_in_the_answer_and_what_is_not_needs_a_path() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    let small = json!({ "sheets": ["vHost", "vSnapshot"] });
    let answer = call(&client, "export_inventory", small).await.unwrap();
    assert_eq!(rows(&answer), [("vSnapshot", 1), ("vHost", 2)]);
    // People have written it.
    let content = answer["sheets"][0]["content"]["untrusted"].as_str().unwrap();
    assert!(content.starts_with("\"VM\",\"Powerstate\",\"Name\",") && content.contains("\"ask Ann\""), "{content}");
    assert_eq!(content.matches("\r\n").count(), 2);

    let many = Lab::of(Model::sized(Size { vms: 300, hosts: 4, ..Size::default() })).await;
    let (code, text) = refused(&mcp(&many).await, "export_inventory", json!({})).await;
    assert!(code == "invalid_argument" && text.contains("`path`") && text.contains("`sheets`"), "{text}");
}

#[tokio::test]
async fn who_only_reads_may_have_the_answer_and_write_no_file() {
    let (lab, files) = (lab().await, Files::new());
    for settings in [&[("MCP_READ_ONLY", "true")][..], &[("MCP_PERMISSION", Permission::ReadOnly.name())]] {
        let client = files.client(&lab, settings).await;
        let small = json!({ "sheets": ["vSnapshot"] });
        assert_eq!(rows(&call(&client, "export_inventory", small).await.unwrap()), [("vSnapshot", 1)]);
        let (code, _) = refused(&client, "export_inventory", json!({ "path": "a" })).await;
        assert!(matches!(code.as_str(), "not_offered" | "permission"), "{settings:?}: {code}");
        assert_eq!(files.names(), [""; 0]);
    }
}
