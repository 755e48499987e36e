//! The tools for disks and ISO images on vcsim, their effects seen by govc.

use peers::{Vcsim, govc, govc_run};
use serde_json::Value;

use crate::{call, command};

const VM: &str = "DC0_H0_VM0";

/// The machine's devices, as vcsim has them.
async fn devices(vcsim: &Vcsim) -> Vec<Value> {
    let info = govc(&vcsim.govc_url(), &["vm.info", VM]).await.unwrap();
    info["virtualMachines"][0]["config"]["hardware"]["device"].as_array().unwrap().clone()
}

async fn disks(vcsim: &Vcsim) -> Vec<Value> {
    devices(vcsim).await.into_iter().filter(|device| device["capacityInBytes"].is_number()).collect()
}

/// The drives that have an image in them.
async fn isos(vcsim: &Vcsim) -> Vec<Value> {
    let has_image = |device: &Value| device["backing"]["fileName"].as_str().is_some_and(|file| file.ends_with(".iso"));
    devices(vcsim).await.into_iter().filter(has_image).collect()
}

fn arguments(extra: &[&str]) -> Vec<String> {
    let vm = format!("vm={VM}");
    std::iter::once(vm.as_str()).chain(extra.iter().copied()).map(str::to_owned).collect()
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_disks_are_listed_added_grown_and_removed() {
    let vcsim = Vcsim::start(&["-ds", "2"]).await.unwrap();
    let url = vcsim.url();
    let before = disks(&vcsim).await;
    let page = call(&url, "list_disks", &arguments(&[])).await;
    let listed = page["items"].as_array().unwrap();
    assert_eq!(listed.len(), before.len(), "{page:#}");
    for (listed, real) in listed.iter().zip(&before) {
        assert_eq!(listed["key"], real["key"]);
        assert_eq!(listed["label"], real["deviceInfo"]["label"]);
        assert_eq!(listed["file"], real["backing"]["fileName"]);
        assert_eq!(listed["capacity_bytes"], real["capacityInBytes"]);
    }

    let added = call(&url, "add_disk", &arguments(&["size_gb=2", "mode=independent_persistent"])).await;
    assert_eq!(added["changed"], true, "{added:#}");
    let label = format!("disk={}", added["disk"]["label"].as_str().unwrap());
    let ours = async || {
        let all = disks(&vcsim).await;
        all.into_iter().find(|disk| disk["key"] == added["disk"]["key"])
    };
    let real = ours().await.unwrap();
    assert_eq!(real["capacityInBytes"], 2_i64 << 30, "{real:#}");
    assert_eq!(real["backing"]["diskMode"], "independent_persistent", "{real:#}");
    assert_eq!(real["backing"]["thinProvisioned"], true, "{real:#}");
    let info = call(&url, "get_disk_info", &arguments(&[&label])).await;
    assert_eq!((&info["file"], &info["uuid"]), (&real["backing"]["fileName"], &real["backing"]["uuid"]));

    let grown = call(&url, "resize_disk", &arguments(&[&label, "new_size_gb=3"])).await;
    assert_eq!((&grown["changed"], &grown["previous_capacity_gb"]), (&Value::from(true), &Value::from(2.0)));
    assert_eq!(ours().await.unwrap()["capacityInBytes"], 3_i64 << 30);
    let smaller = command(&url, "resize_disk", &arguments(&[&label, "new_size_gb=1"])).await;
    assert_eq!(smaller.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&smaller.stdout).unwrap();
    assert_eq!(error["code"], "invalid_argument", "{error:#}");

    let removed = call(&url, "remove_disk", &arguments(&[&label, "delete_file=true"])).await;
    assert_eq!(removed["file_deleted"], true, "{removed:#}");
    assert!(ours().await.is_none());
    assert_eq!(disks(&vcsim).await.len(), before.len());
}

/// vcsim pays no heed to the locators of disks, and says that it has moved them all the same: the tool looks.
#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_a_disk_is_made_in_another_datastore_and_a_move_is_believed_when_it_is_seen() {
    let vcsim = Vcsim::start(&["-ds", "2"]).await.unwrap();
    let url = vcsim.url();
    let added = call(&url, "add_disk", &arguments(&["size_gb=1", "datastore=LocalDS_1"])).await;
    let all = disks(&vcsim).await;
    let ours = all.iter().find(|disk| disk["key"] == added["disk"]["key"]).unwrap();
    assert!(ours["backing"]["fileName"].as_str().unwrap().starts_with("[LocalDS_1] "), "{ours:#}");
    let label = format!("disk={}", added["disk"]["label"].as_str().unwrap());
    let there = call(&url, "move_vm_disk", &arguments(&[&label, "target_datastore=LocalDS_1"])).await;
    assert_eq!(there["changed"], false, "{there:#}");
    let moved = command(&url, "move_vm_disk", &arguments(&[&label, "target_datastore=LocalDS_0"])).await;
    let error: Value = serde_json::from_slice(&moved.stdout).unwrap();
    assert_eq!(error["code"], "unsupported", "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("[LocalDS_1]"), "{error:#}");
    assert_eq!(disks(&vcsim).await, all);
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_an_image_goes_into_a_drive_and_out_again() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let url = vcsim.url();
    let govc_url = vcsim.govc_url();
    govc_run(&govc_url, &["datastore.mkdir", "-ds", "LocalDS_0", "iso"]).await.unwrap();
    let local = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    govc_run(&govc_url, &["datastore.upload", "-ds", "LocalDS_0", local, "iso/debian.iso"]).await.unwrap();
    let attach = arguments(&["iso_path=[LocalDS_0] iso/debian.iso"]);
    let done = call(&url, "attach_iso", &attach).await;
    assert_eq!(done["changed"], true, "{done:#}");
    let real = isos(&vcsim).await;
    assert_eq!(real.len(), 1, "{real:#?}");
    assert_eq!(real[0]["backing"]["fileName"], "[LocalDS_0] iso/debian.iso");
    assert_eq!((&real[0]["connectable"]["connected"], &real[0]["key"]), (&Value::from(true), &done["key"]));
    assert_eq!(call(&url, "attach_iso", &attach).await["changed"], false);

    let missing = command(&url, "attach_iso", &arguments(&["iso_path=[LocalDS_0] iso/arch.iso"])).await;
    let error: Value = serde_json::from_slice(&missing.stdout).unwrap();
    assert_eq!(error["code"], "not_found", "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("there are debian.iso"), "{error:#}");

    let out = call(&url, "detach_iso", &arguments(&[])).await;
    assert_eq!(out["previous_iso"], "[LocalDS_0] iso/debian.iso", "{out:#}");
    assert!(isos(&vcsim).await.is_empty());
    assert_eq!(call(&url, "detach_iso", &arguments(&[])).await["changed"], false);
}
