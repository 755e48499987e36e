//! govc and the vSphere Automation SDK for Python manage tags of the simulated server.

use peers::{automation_sdk, govc, govc_run, govc_text};
use serde_json::{Value, json};
use vsphere_sim::Model;

use crate::support::Lab;

async fn refusal(url: &str, args: &[&str]) -> String {
    format!("{:#}", govc_run(url, args).await.unwrap_err())
}

async fn lines(url: &str, args: &[&str]) -> Vec<String> {
    // Beside a tag stands its category.
    let first = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let mut lines: Vec<String> = govc_text(url, args).await.unwrap().lines().map(first).collect();
    lines.sort();
    lines
}

#[tokio::test]
#[ignore = "needs govc: cargo xtask peers"]
async fn peers_govc_manages_tags() {
    let lab = Lab::new(Model::demo()).await;
    let url = &lab.govc_url();
    let run = async |args: &[&str]| govc_run(url, args).await.unwrap();
    assert_eq!(lines(url, &["tags.category.ls"]).await, ["Backup", "Compliance", "Environment"]);
    run(&["tags.category.create", "-d", "How much it matters", "-t", "VirtualMachine", "Tier"]).await;
    run(&["tags.create", "-c", "Tier", "gold"]).await;
    run(&["tags.create", "-c", "Tier", "-d", "less", "silver"]).await;
    assert_eq!(lines(url, &["tags.ls", "-c", "Tier"]).await, ["gold", "silver"]);
    let info = govc(url, &["tags.category.info", "Tier"]).await.unwrap();
    assert_eq!(info[0]["cardinality"], "SINGLE");
    assert_eq!(info[0]["associable_types"], json!(["VirtualMachine"]));
    let info = govc(url, &["tags.info", "-c", "Tier", "silver"]).await.unwrap();
    assert_eq!(info[0]["description"], "less");

    let (web, app) = ("/fra1/vm/prod/web/web-01", "/fra1/vm/prod/app/app-01");
    run(&["tags.attach", "-c", "Tier", "gold", web]).await;
    run(&["tags.attach", "-c", "Tier", "gold", web]).await;
    run(&["tags.attach", "-c", "Tier", "gold", app]).await;
    let words = refusal(url, &["tags.attach", "-c", "Tier", "silver", web]).await;
    assert!(words.contains("400") && words.contains("invalid_argument"), "{words}");
    let words = refusal(url, &["tags.attach", "-c", "Tier", "gold", "/fra1/datastore/nvme-01"]).await;
    assert!(words.contains("400"), "{words}");
    assert_eq!(lines(url, &["tags.attached.ls", "-r", web]).await, ["gold", "prod", "weekly"]);
    let objects = lines(url, &["tags.attached.ls", "-l", "gold"]).await;
    assert_eq!(objects.len(), 2, "{objects:?}");
    run(&["tags.detach", "-c", "Tier", "gold", web]).await;
    assert_eq!(lines(url, &["tags.attached.ls", "-r", web]).await, ["prod", "weekly"]);

    run(&["tags.update", "-n", "bronze", "-d", "least", "silver"]).await;
    run(&["tags.category.update", "-d", "changed", "Tier"]).await;
    assert_eq!(lines(url, &["tags.ls", "-c", "Tier"]).await, ["bronze", "gold"]);
    let words = refusal(url, &["tags.category.create", "Tier"]).await;
    assert!(words.contains("400"), "{words}");
    run(&["tags.rm", "-c", "Tier", "bronze"]).await;
    run(&["tags.rm", "-f", "-c", "Tier", "gold"]).await;
    run(&["tags.category.rm", "Tier"]).await;
    assert_eq!(lines(url, &["tags.category.ls"]).await, ["Backup", "Compliance", "Environment"]);
    assert_eq!(lines(url, &["tags.attached.ls", "-r", app]).await, ["prod", "weekly"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the Automation SDK: cargo xtask peers"]
async fn peers_the_automation_sdk_manages_tags() {
    let lab = Lab::new(Model::demo().version("9.1.0.0")).await;
    let id = async |path: &str| lab.at(path).await.value;
    let vms = format!("{},{}", id("/fra1/vm/prod/web/web-01").await, id("/fra1/vm/prod/app/app-01").await);
    let host = id("/fra1/host/prod-cluster/esx-01.corp.example").await;
    let (address, environment) = (lab.sim.address().to_string(), [("VMS", vms.as_str()), ("ESX", host.as_str())]);
    let story = automation_sdk("tags.py", &address, Model::USER, Model::PASSWORD, &environment).await.unwrap();
    let expected: Value = json!({
        "wrong_password": ["Unauthenticated", "Authentication required."],
        "session": { "user": "VSPHERE.LOCAL\\Administrator", "times": true },
        "category": ["Tier", "How much it matters", "SINGLE", ["VirtualMachine"]],
        "ids": ["InventoryServiceCategory", "InventoryServiceTag"],
        "tag": ["silver", "less", true],
        "of_category": ["gold", "silver"],
        "all": [true, true],
        "attached": ["gold"],
        "objects": [["VirtualMachine", true]],
        "second": ["InvalidArgument", "Tagging cardinality violation"],
        "batch": [false, ["Tagging cardinality violation"]],
        "bulk": [[false, false, true], [true, true, false]],
        "reverse": [[false, 1], [true, 1]],
        "attachable": false,
        "no_host": ["InvalidArgument", "Tagging associability violation: Tier of HostSystem objects"],
        "gone": ["Unauthorized", "Unable to authorize user: System.Read is missing."],
        "unknown": ["NotFound", "The object urn:vmomi:InventoryServiceTag:0:GLOBAL was not found."],
        "twice": ["AlreadyExists", "A tag of the name gold exists."],
        "by_name": [[true, true]],
        "paged": true,
        "categories": true,
        "pairs": ["END_OF_DATA", true],
        "swap": [true, [["DETACH", "gold"], ["ATTACH", "silver"]]],
        "refused": [false, ["Tagging cardinality violation"]],
        "deleted": ["NotFound", true],
        "logged_out": "Unauthenticated",
    });
    for (key, expected) in expected.as_object().unwrap() {
        assert_eq!(&story[key], expected, "{key}");
    }
    assert_eq!(lab.sim.automation_sessions(), 0, "the script has logged out");
}
