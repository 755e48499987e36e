//! The snapshots of all VMs, on the simulated vCenter of the demo.

use serde_json::{Value, json};
use vsphere_sim::Model;

use crate::{
    connect,
    lab::Lab,
    monitoring::{bad, good},
};

/// VM and name of each snapshot of a page.
fn names(page: &Value) -> Value {
    page["items"].as_array().unwrap().iter().map(|item| json!([item["vm"], item["name"]])).collect()
}

#[tokio::test]
async fn the_snapshots_of_all_vms_are_listed_with_age_and_totals() {
    let lab = Lab::of(Model::demo()).await;
    let client = connect(lab.server(&[])).await;
    let page = good(&client, "list_snapshots", json!({})).await;
    assert_eq!(
        names(&page),
        json!([
            ["legacy-crm", "do not delete"],
            ["erp-app-01", "before 2026.2 upgrade"],
            ["erp-app-01", "before hotfix 3"],
            ["git-01", "before migration"],
            ["test-alice", "clean install"],
            ["test-alice", "with agent"],
        ])
    );
    let hotfix = &page["items"][2];
    assert_eq!((hotfix["age_days"].as_f64().unwrap().round(), &hotfix["depth"]), (61.0, &json!(2)), "{hotfix:#}");
    assert_eq!(hotfix["path"], "/before 2026.2 upgrade/before hotfix 3");
    assert_eq!(hotfix["description"]["untrusted"], "Change CHG-4802");
    assert_eq!((&hotfix["is_current"], &hotfix["state_when_taken"]), (&json!(true), &json!("powered_off")));
    assert!(hotfix["vm_id"].as_str().unwrap().starts_with("vm-") && hotfix.get("state").is_none(), "{hotfix:#}");
    let sum: i64 = page["items"].as_array().unwrap().iter().map(|item| item["size_bytes"].as_i64().unwrap()).sum();
    assert_eq!((&page["total"], &page["vms"], &page["page_bytes"]), (&json!(6), &json!(4), &json!(sum)));

    let old = good(&client, "list_snapshots", json!({ "older_than_days": 90, "limit": 1 })).await;
    assert_eq!(names(&old), json!([["legacy-crm", "do not delete"]]));
    assert_eq!((&old["total"], &old["vms"]), (&json!(2), &json!(2)));
    let next = json!({ "older_than_days": 90, "limit": 1, "cursor": old["next_cursor"] });
    assert_eq!(names(&good(&client, "list_snapshots", next).await), json!([["erp-app-01", "before 2026.2 upgrade"]]));
    let of_one = good(&client, "list_snapshots", json!({ "vm": "test-alice", "older_than_days": 10 })).await;
    assert_eq!(names(&of_one), json!([["test-alice", "clean install"]]));

    // Sizes are read where they are wanted.
    let few = good(&client, "list_snapshots", json!({ "fields": ["vm", "age_days"], "filter": "do not *" })).await;
    assert_eq!((few["items"][0].as_object().unwrap().len(), few.get("page_bytes")), (2, None), "{few:#}");
    let (code, message) = bad(&client, "list_snapshots", json!({ "older_than_days": 0 })).await;
    assert_eq!(code, "invalid_argument");
    assert!(message.contains("`older_than_days` is 0"), "{message}");
}
