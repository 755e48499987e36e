//! What is made different in a clone: how its disks are stored, and who its guest is.

use serde_json::json;
use vsphere_ops::{
    ListQuery, Mo,
    managed::{VirtualMachine, virtual_machine as vm},
};
use vsphere_sim::{Model, Size};

use crate::{
    lab::Lab,
    monitoring::bad,
    power::{assistant, good},
};

async fn shop() -> Lab {
    Lab::of(Model::sized(Size { vms: 1, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 })).await
}

#[tokio::test]
async fn a_clone_stores_its_disks_as_it_is_told() {
    let lab = shop().await;
    let client = assistant(&lab).await;
    let is_thin = async |name: &str| {
        let machine: Mo<VirtualMachine> = lab.client.get(name).await.unwrap();
        machine.list_disks(&ListQuery::default()).await.unwrap().items[0].thin.unwrap()
    };
    let before = is_thin("DC0_C0_VM0").await;
    for (disks, thin) in [("same", before), ("thin", true), ("thick", false)] {
        let name = format!("{disks}-clone");
        good(&client, "clone_vm", json!({ "template": "DC0_C0_VM0", "new_name": name, "disks": disks })).await;
        assert_eq!(is_thin(&name).await, thin, "{name}");
    }
    let linked = json!({ "template": "DC0_C0_VM0", "new_name": "linked", "linked": true, "disks": "thin" });
    good(&client, "create_snapshot", json!({ "vm": "DC0_C0_VM0", "snapshot_name": "base", "memory": false })).await;
    let (code, message) = bad(&client, "clone_vm", linked).await;
    assert_eq!(code, "invalid_argument");
    assert!(message.contains("stand on those of its source"), "{message}");
}

#[tokio::test]
async fn a_clone_gets_the_name_and_the_address_that_it_is_told() {
    let lab = shop().await;
    let client = assistant(&lab).await;
    let who = json!({ "template": "DC0_C0_VM0", "new_name": "web-05", "hostname": "www.corp.example", "ip": "10.1.20.31/24",
        "gateway": "10.1.20.1", "dns": ["10.1.0.53"], "power_on": true });
    good(&client, "clone_vm", who).await;
    let web: Mo<VirtualMachine> = lab.client.get("web-05").await.unwrap();
    assert_eq!(web.read(vm::GUEST_HOST_NAME).await.unwrap().as_deref(), Some("www"));
    for (arguments, says) in [
        (json!({ "ip": "10.1.20.31" }), "with a prefix"),
        (json!({ "ip": "10.1.20.31/24", "gateway": "10.2.0.1" }), "not in the network"),
        (json!({ "hostname": "web_05" }), "no host name"),
        (json!({ "ip": "10.1.20.31/24", "customization": "linux" }), "give it or these"),
        (json!({ "ip": "10.1.20.31/24", "count": 2 }), "those of one VM"),
    ] {
        let mut all = json!({ "template": "DC0_C0_VM0", "new_name": "web-06" });
        all.as_object_mut().unwrap().extend(arguments.as_object().unwrap().clone());
        let (code, message) = bad(&client, "clone_vm", all).await;
        assert_eq!(code, "invalid_argument", "{message}");
        assert!(message.contains(says), "{message}");
    }
}
