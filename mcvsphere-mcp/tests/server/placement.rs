//! Where VMs go that are made, and why.

use serde_json::{Value, json};
use vsphere_ops::{
    Mo,
    managed::{Datastore, Folder, HostDatastoreSystem, HostSystem, host_system},
};
use vsphere_sim::{Model, Size};

use crate::{
    confirm::older,
    disks::{call, mcp},
    lab::Lab,
};

/// What was taken for a part of the place, and why.
fn taken(answer: &Value, what: &str) -> (String, String) {
    let all = answer["placement"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
    let choice = all.iter().find(|choice| choice["what"] == what).unwrap_or_else(|| panic!("{answer:#}"));
    let text = |key: &str| choice[key].as_str().unwrap().to_owned();
    (text("name"), text("why"))
}

fn pair(name: &str, why: &str) -> (String, String) {
    (name.to_owned(), why.to_owned())
}

async fn lab() -> Lab {
    Lab::of(Model::sized(Size { vms: 1, hosts: 4, datacenters: 1, clusters: 2, datastores: 3 })).await
}

#[tokio::test]
async fn what_is_made_says_where_it_went_and_why() {
    let lab = lab().await;
    lab.sim.fill_datastore("DC0_DS0", 1 << 40).unwrap();
    let client = mcp(&lab).await;
    let made = call(&client, "create_vm", json!({ "name": "a", "host": "DC0_C1_H0" })).await.unwrap();
    assert_eq!(taken(&made, "folder"), pair("vm", "usual"));
    assert_eq!(taken(&made, "pool"), pair("Resources", "follows_from_asked"));
    assert_eq!(taken(&made, "host"), pair("DC0_C1_H0", "asked"));
    assert_eq!(taken(&made, "network"), pair("VM Network", "only_one"));
    let (name, why) = taken(&made, "datastore");
    assert!(name != "DC0_DS0" && why == "most_space", "{made:#}");

    let settings = [("VCENTER_CLUSTER", "DC0_C1"), ("VCENTER_DATASTORE", "DC0_DS0"), ("MCP_CONFIRM", "never")];
    let set = older(lab.server(&settings), ()).await;
    let made = call(&set, "create_vm", json!({ "name": "b" })).await.unwrap();
    assert_eq!(taken(&made, "pool"), pair("Resources", "setting"));
    assert_eq!(taken(&made, "datastore"), pair("DC0_DS0", "setting"));
    let made = call(&set, "create_vm", json!({ "name": "c", "datastore": "DC0_DS2" })).await.unwrap();
    assert_eq!(taken(&made, "datastore"), pair("DC0_DS2", "asked"));
}

#[tokio::test]
async fn a_copy_goes_where_its_source_is_if_that_fits() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    let vms = lab.client.get::<Folder>("/DC0/vm").await.unwrap();
    vms.create_folder("prod").await.unwrap();
    let source = json!({ "name": "source", "host": "DC0_C0_H0", "folder": "prod", "datastore": "DC0_DS1" });
    call(&client, "create_vm", source).await.unwrap();
    let clone = json!({ "template": "source", "new_name": "copy-1" });
    let made = call(&client, "clone_vm", clone).await.unwrap();
    assert_eq!(made["path"], "/DC0/vm/prod/copy-1", "{made:#}");
    assert_eq!(taken(&made, "folder"), pair("prod", "same_as_source"));
    assert_eq!(taken(&made, "pool"), pair("Resources", "same_as_source"));
    assert_eq!(taken(&made, "datastore"), pair("DC0_DS1", "same_as_source"));

    // No room there for what the source takes.
    let fat = json!({ "name": "fat", "host": "DC0_C0_H0", "datastore": "DC0_DS1", "disk_gb": 100, "thin": false });
    call(&client, "create_vm", fat).await.unwrap();
    lab.sim.fill_datastore("DC0_DS1", 50 << 30).unwrap();
    let made = call(&client, "clone_vm", json!({ "template": "fat", "new_name": "copy-2" })).await.unwrap();
    assert_eq!(taken(&made, "datastore").1, "most_space", "{made:#}");
    // The settings come before the source.
    let settings = [("VCENTER_CLUSTER", "DC0_C1"), ("VCENTER_DATASTORE", "DC0_DS2"), ("MCP_CONFIRM", "never")];
    let set = older(lab.server(&settings), ()).await;
    let made = call(&set, "clone_vm", json!({ "template": "source", "new_name": "copy-3" })).await.unwrap();
    assert_eq!(taken(&made, "pool"), pair("Resources", "setting"));
    assert_eq!(taken(&made, "datastore"), pair("DC0_DS2", "setting"));
    assert!(made["host"].as_str().unwrap().starts_with("DC0_C1_"), "{made:#}");
    // But a linked clone stays beside the disks that it stands on.
    let snapshot = json!({ "vm": "copy-1", "snapshot_name": "base", "memory": false });
    call(&client, "create_snapshot", snapshot).await.unwrap();
    let linked = json!({ "template": "copy-1", "new_name": "copy-4", "linked": true });
    let made = call(&set, "clone_vm", linked).await.unwrap();
    assert_eq!(taken(&made, "datastore"), pair("DC0_DS1", "same_as_source"));
}

#[tokio::test]
async fn a_datastore_that_only_some_hosts_see_is_chosen_for_none() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    // The largest one is mounted on one host of the cluster alone.
    lab.sim.add_datastore("DC0", "nfs", "NFS", 1 << 50).unwrap();
    lab.sim.fill_datastore("DC0_DS0", 1 << 40).unwrap();
    lab.sim.fill_datastore("DC0_DS2", 1 << 40).unwrap();
    let host: Mo<HostSystem> = lab.client.get("DC0_C0_H1").await.unwrap();
    let system = host.read(host_system::CONFIG_MANAGER).await.unwrap().datastore_system.unwrap();
    let system: HostDatastoreSystem = lab.client.raw(&system);
    let largest: Mo<Datastore> = lab.client.get("nfs").await.unwrap();
    system.remove_datastore(largest.reference()).await.unwrap();
    let pool = "/DC0/host/DC0_C0/Resources";
    let made = call(&client, "create_vm", json!({ "name": "a", "pool": pool })).await.unwrap();
    assert_eq!(taken(&made, "datastore"), pair("DC0_DS1", "most_space"));
    // On a host that sees it, it is the best.
    let made = call(&client, "create_vm", json!({ "name": "b", "host": "DC0_C0_H0" })).await.unwrap();
    assert_eq!(taken(&made, "datastore"), pair("nfs", "most_space"));
}

#[tokio::test]
async fn a_datastore_cluster_may_be_named_for_all_that_is_made() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    let folder: Mo<Folder> = lab.client.get("/DC0/datastore").await.unwrap();
    let pod = folder.create_storage_pod("fast").await.unwrap();
    let mut members = Vec::new();
    for name in ["DC0_DS1", "DC0_DS2"] {
        members.push(lab.client.get::<Datastore>(name).await.unwrap().reference().clone());
    }
    let task = lab.client.raw::<Folder>(&pod).move_into_folder_task(&members).await.unwrap();
    vsphere_ops::Task::<()>::new(&lab.client, task, "move", "datastores").await.unwrap();
    lab.sim.fill_datastore("DC0_DS1", 1 << 30).unwrap();
    let new = json!({ "name": "a", "host": "DC0_C0_H0", "datastore": "fast" });
    let made = call(&client, "create_vm", new).await.unwrap();
    assert_eq!(taken(&made, "datastore"), pair("DC0_DS2", "member_of_cluster"));
    let clone = json!({ "template": "a", "new_name": "b", "datastore": "fast" });
    let made = call(&client, "clone_vm", clone).await.unwrap();
    assert_eq!(taken(&made, "datastore"), pair("DC0_DS2", "member_of_cluster"));
    let moved = json!({ "vm": "b", "target_datastore": "fast" });
    assert_eq!(call(&client, "storage_vmotion", moved).await.unwrap()["changed"], false);
}
