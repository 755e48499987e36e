//! Questions about many VMs, each answered by one call.

use serde_json::{Value, json};
use vsphere_sim::Model;

use crate::{
    disks::{call, mcp, refused},
    lab::Lab,
};

#[tokio::test]
async fn one_list_answers_what_would_take_a_call_for_each_vm() {
    let lab = Lab::of(Model::demo()).await;
    let client = mcp(&lab).await;
    let list = async |arguments: Value| call(&client, "list_vms", arguments).await.unwrap();

    // "Which snapshots have been forgotten?"
    let old = list(json!({ "where": ["oldest_snapshot_days>30"], "sort": "-oldest_snapshot_days",
        "fields": ["name", "oldest_snapshot_days", "snapshots", "cluster"] }))
    .await;
    assert_eq!(
        old["items"],
        json!([
            { "name": "legacy-crm", "oldest_snapshot_days": 412, "snapshots": 1, "cluster": "prod-cluster" },
            { "name": "erp-app-01", "oldest_snapshot_days": 97, "snapshots": 2, "cluster": "prod-cluster" },
            { "name": "git-01", "oldest_snapshot_days": 34, "snapshots": 1, "cluster": "prod-cluster" },
        ])
    );
    // "Whose address is this?"
    let found = list(json!({ "find": "10.0.0.15", "fields": ["name", "guest_host_name", "path"] })).await;
    let git = json!({ "name": "git-01", "guest_host_name": { "untrusted": "git-01.corp.example" }, "path": "/fra1/vm/infra/git-01" });
    assert_eq!(found["items"], json!([git]));
    // "How much does each cluster run?"
    let groups = list(json!({ "group_by": "cluster", "power_state": "powered_on" })).await;
    assert_eq!(groups["total"], 36);
    let [prod, lab] = groups["groups"].as_array().unwrap().as_slice() else { panic!("{groups:#}") };
    assert_eq!((&prod["value"], &prod["count"], &prod["cpu"]), (&json!("prod-cluster"), &json!(32), &json!(192)));
    assert_eq!((&lab["value"], &lab["count"], &lab["cpu"]), (&json!("lab-cluster"), &json!(4), &json!(22)));

    // The pages of an order hold each VM once.
    let mut arguments = json!({ "sort": "-provisioned_bytes", "limit": 9, "fields": ["name", "provisioned_bytes"] });
    let (mut seen, mut before) = (Vec::new(), i64::MAX);
    loop {
        let page = list(arguments.clone()).await;
        for item in page["items"].as_array().unwrap() {
            let bytes = item["provisioned_bytes"].as_i64().unwrap();
            assert!(bytes <= before);
            before = bytes;
            seen.push(item["name"].as_str().unwrap().to_owned());
        }
        match page.get("next_cursor") {
            Some(cursor) => arguments["cursor"] = cursor.clone(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 40);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 40);
}

#[tokio::test]
async fn wrong_conditions_orders_and_groups_say_what_would_be_right() {
    let lab = Lab::new().await;
    let client = mcp(&lab).await;
    for (arguments, why) in [
        (json!({ "where": ["ram>8"] }), "there is no column \"ram\": there are name, id"),
        (json!({ "where": ["cpu~8"] }), "no column \"cpu~8\""),
        (json!({ "where": ["cpu>eight"] }), "needs a whole number after >"),
        (json!({ "sort": "-size" }), "there is no column \"size\""),
        (json!({ "group_by": "size" }), "there is no column \"size\""),
    ] {
        let (code, text) = refused(&client, "list_vms", arguments.clone()).await;
        assert!(code == "invalid_argument" && text.contains(why), "{arguments}: {code} {text}");
    }
}

#[tokio::test]
async fn hosts_datastores_networks_and_clusters_are_asked_in_the_same_way() {
    let lab = Lab::of(Model::demo()).await;
    let client = mcp(&lab).await;
    let list = async |tool: &'static str, arguments: Value| call(&client, tool, arguments).await.unwrap();

    // "Which datastore runs full?"
    let full = list(
        "list_datastores",
        json!({ "where": ["free_percent<20"], "fields": ["name", "free_percent", "vm_count"] }),
    )
    .await;
    assert_eq!(full["items"], json!([{ "name": "lab-ssd", "free_percent": 12, "vm_count": 7 }]));
    // "Where is VLAN 120?"
    let vlan = list("list_networks", json!({ "where": ["vlan=120"], "fields": ["name", "switch", "kind"] })).await;
    assert_eq!(vlan["items"], json!([{ "name": "prod-db", "switch": ["dvs-fra1"], "kind": "distributed" }]));
    // "Are all hosts on the same build?"
    let builds = list("list_hosts", json!({ "group_by": "build" })).await;
    assert_eq!((&builds["total"], &builds["groups"][0]["count"]), (&json!(6), &json!(6)));
    assert_eq!(builds["groups"][0]["cpu_cores"], 4 * 64 + 2 * 56);
    let small = json!({ "find": "r650", "sort": "-name", "fields": ["name", "cpu_sockets", "vms"] });
    assert_eq!(
        list("list_hosts", small).await["items"],
        json!([
            { "name": "esx-06.corp.example", "cpu_sockets": 2, "vms": 3 },
            { "name": "esx-05.corp.example", "cpu_sockets": 2, "vms": 4 },
        ])
    );
    let manual = json!({ "where": ["drs_automation=manual"], "fields": ["name", "vms"] });
    assert_eq!(list("list_clusters", manual).await["items"], json!([{ "name": "lab-cluster", "vms": 7 }]));
    // Without any of that, the fields are few.
    let plain = list("list_networks", json!({ "limit": 1 })).await;
    let fields: Vec<&String> = plain["items"][0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["name", "id", "kind", "accessible", "vm_count", "host_count"]);

    for (tool, arguments, why) in [
        ("list_hosts", json!({ "where": ["ram>8"] }), "there is no column \"ram\": there are name, id"),
        ("list_datastores", json!({ "sort": "size" }), "there is no column \"size\""),
        ("list_networks", json!({ "fields": ["vlans"] }), "did you mean `vlan`?"),
        ("list_clusters", json!({ "group_by": "host" }), "there is no column \"host\""),
    ] {
        let (code, text) = refused(&client, tool, arguments.clone()).await;
        assert!(code == "invalid_argument" && text.contains(why), "{tool} {arguments}: {code} {text}");
    }
}
