//! The tools for virtual disks: what they do is read from the machine.

use rmcp::{RoleClient, model::CallToolRequestParams, service::RunningService};
use serde_json::{Value, json};
use vsphere_ops::{
    Mo, Task,
    managed::{Datastore, Folder, HostDatastoreBrowser, VirtualMachine, datastore, virtual_machine as vm},
    types::{
        Poly, VirtualDevice, VirtualDisk, VirtualDiskFlatVer2BackingInfo, VirtualMachineCloneSpec,
        VirtualMachineRelocateSpec,
    },
};
use vsphere_sim::{Model, Size};

use crate::{confirm::older, lab::Lab};

/// Two hosts and three datastores, which both hosts have.
pub(crate) async fn lab() -> Lab {
    Lab::of(Model::sized(Size { vms: 0, hosts: 2, datacenters: 1, clusters: 1, datastores: 3 })).await
}

pub(crate) type Mcp = RunningService<RoleClient, ()>;

/// A client whose user agrees to everything.
pub(crate) async fn mcp(lab: &Lab) -> Mcp {
    older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await
}

pub(crate) async fn call(client: &Mcp, tool: &'static str, arguments: Value) -> Result<Value, Value> {
    let request = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
    let result = client.call_tool(request).await.unwrap();
    let content = result.structured_content.unwrap();
    if result.is_error == Some(true) { Err(content) } else { Ok(content) }
}

/// The error's code and text.
pub(crate) async fn refused(client: &Mcp, tool: &'static str, arguments: Value) -> (String, String) {
    let error = call(client, tool, arguments).await.unwrap_err();
    (error["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
}

pub(crate) async fn devices(machine: &Mo<VirtualMachine>) -> Vec<Poly<VirtualDevice>> {
    machine.read(vm::DEVICES).await.unwrap()
}

/// The disks that vSphere itself has, in the order of their keys.
async fn disks(machine: &Mo<VirtualMachine>) -> Vec<VirtualDisk> {
    let devices = devices(machine).await;
    let mut disks: Vec<VirtualDisk> = devices.iter().filter_map(|device| device.downcast_ref().cloned()).collect();
    disks.sort_by_key(|disk: &VirtualDisk| disk.key);
    disks
}

fn flat(disk: &VirtualDisk) -> VirtualDiskFlatVer2BackingInfo {
    disk.backing.clone().unwrap().downcast().unwrap()
}

/// The type and the bus of the controller that a disk is plugged into.
async fn controller(machine: &Mo<VirtualMachine>, disk: &VirtualDisk) -> (String, i32) {
    let devices = devices(machine).await;
    let controller = devices.iter().find(|device| Some(device.key) == disk.controller_key).unwrap();
    let bus = controller.downcast_ref::<vsphere_ops::types::VirtualController>().unwrap().bus_number;
    (controller.type_name().to_owned(), bus)
}

#[tokio::test]
async fn disks_are_added_where_there_is_room_and_listed() {
    let lab = lab().await;
    let machine = lab.machine("web-1").await;
    let client = mcp(&lab).await;
    assert_eq!(call(&client, "list_disks", json!({ "vm": "web-1" })).await.unwrap()["total"], 0);

    // There is no controller for disks yet.
    let first = call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 16 })).await.unwrap();
    assert_eq!((&first["vm"], &first["id"]), (&json!("web-1"), &json!(machine.id())));
    assert_eq!((&first["changed"], &first["power_state"]), (&json!(true), &json!("powered_off")));
    assert_eq!(first["new_controller"], "SCSI controller 0");
    let second = call(
        &client,
        "add_disk",
        json!({ "vm_name": "web-1", "size_gb": 0.5, "thin": false, "datastore": "DC0_DS2",
            "mode": "independent_persistent" }),
    )
    .await
    .unwrap();
    assert!(second["new_controller"].is_null(), "{second:#}");

    let real = disks(&machine).await;
    assert_eq!(real.len(), 2);
    assert_eq!(real.iter().map(|disk| disk.capacity_in_bytes.unwrap()).collect::<Vec<_>>(), [16 << 30, 1 << 29]);
    assert_eq!(controller(&machine, &real[0]).await, ("ParaVirtualSCSIController".to_owned(), 0));
    assert_eq!((real[1].controller_key, real[1].unit_number), (real[0].controller_key, Some(1)));
    let (one, two) = (flat(&real[0]), flat(&real[1]));
    assert_eq!((one.thin_provisioned, two.thin_provisioned), (Some(true), Some(false)));
    assert_eq!((one.disk_mode.as_str(), two.disk_mode.as_str()), ("persistent", "independent_persistent"));
    assert!(one.file_name.starts_with("[DC0_DS0] web-1/") && two.file_name.starts_with("[DC0_DS2] web-1/"));

    let page = call(&client, "list_disks", json!({ "vm": machine.id() })).await.unwrap();
    assert_eq!((&page["returned"], &page["truncated"]), (&json!(2), &json!(false)));
    let listed = &page["items"][1];
    assert_eq!(listed, &second["disk"]);
    for (field, value) in [
        ("label", json!("Hard disk 2")),
        ("key", json!(real[1].key)),
        ("capacity_gb", json!(0.5)),
        ("capacity_bytes", json!(1 << 29)),
        ("thin", json!(false)),
        ("mode", json!("independent_persistent")),
        ("file", json!(two.file_name)),
        ("datastore", json!("DC0_DS2")),
        ("controller", json!("SCSI controller 0")),
        ("unit", json!(1)),
    ] {
        assert_eq!(listed[field], value, "{field}");
    }
    let some = json!({ "vm": "web-1", "filter": "*2", "fields": ["label"] });
    assert_eq!(call(&client, "list_disks", some).await.unwrap()["items"], json!([{ "label": "Hard disk 2" }]));
    let page = call(&client, "list_disks", json!({ "vm": "web-1", "limit": 1 })).await.unwrap();
    let rest = json!({ "vm": "web-1", "limit": 1, "cursor": page["next_cursor"] });
    let rest = call(&client, "list_disks", rest).await.unwrap();
    assert_eq!((&page["items"][0]["key"], &rest["items"][0]["key"]), (&json!(real[0].key), &json!(real[1].key)));
    assert_eq!(rest["truncated"], false);
}

#[tokio::test]
async fn a_disk_goes_to_the_controller_that_is_asked_for() {
    let lab = lab().await;
    let machine = lab.machine("web-1").await;
    let client = mcp(&lab).await;
    for (asked, type_) in [
        ("nvme", "VirtualNVMEController"),
        ("sata", "VirtualAHCIController"),
        ("IDE", "VirtualIDEController"),
        ("lsilogic-sas", "VirtualLsiLogicSASController"),
        ("NVME controller 0", "VirtualNVMEController"),
        ("1000", "VirtualLsiLogicSASController"),
        ("scsi", "VirtualLsiLogicSASController"),
    ] {
        let added = json!({ "vm": "web-1", "size_gb": 1, "controller": asked });
        let added = call(&client, "add_disk", added).await.unwrap();
        let key = added["disk"]["key"].as_i64().unwrap();
        let disk = disks(&machine).await.into_iter().find(|disk| i64::from(disk.key) == key).unwrap();
        assert_eq!(controller(&machine, &disk).await, (type_.to_owned(), 0), "{asked}");
    }
    let wrong = async |asked: &str| {
        refused(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 1, "controller": asked })).await
    };
    // A controller that takes no disks is no candidate.
    let (code, text) = wrong("PCI controller 0").await;
    assert_eq!(code, "not_found");
    assert!(text.contains("\"SCSI controller 0\" (key 1000)") && !text.contains("key 100)"), "{text}");
    machine.power_on().await.unwrap().await.unwrap();
    let (code, text) = wrong("ide").await;
    assert!(code == "unsupported" && text.contains("IDE controller while the VM runs"), "{text}");
    assert_eq!(disks(&machine).await.len(), 7);
    call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 1 })).await.unwrap();
    assert_eq!(disks(&machine).await.len(), 8);
}

#[tokio::test]
async fn a_full_bus_leaves_out_the_controllers_own_unit_and_leads_to_a_new_controller() {
    let lab = lab().await;
    let machine = lab.machine("web-1").await;
    let client = mcp(&lab).await;
    call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 1, "controller": "lsilogic" })).await.unwrap();
    for _ in 1..15 {
        call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 1 })).await.unwrap();
    }
    let units: Vec<i32> = disks(&machine).await.iter().filter_map(|disk| disk.unit_number).collect();
    assert_eq!(units, [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15]);
    let one_more = json!({ "vm": "web-1", "size_gb": 1, "controller": "SCSI controller 0" });
    let (code, text) = refused(&client, "add_disk", one_more).await;
    assert!(code == "unsupported" && text.contains("SCSI controller 0 is full"), "{text}");
    let sixteenth = call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 1 })).await.unwrap();
    assert_eq!(sixteenth["new_controller"], "SCSI controller 1");
    let last = disks(&machine).await.pop().unwrap();
    assert_eq!(controller(&machine, &last).await, ("ParaVirtualSCSIController".to_owned(), 1));
}

#[tokio::test]
async fn what_is_no_disk_is_refused_in_words_that_help() {
    let lab = lab().await;
    let machine = lab.machine("web-1").await;
    let client = mcp(&lab).await;
    for size in [json!(0), json!(-5), json!(70_000)] {
        let (code, text) = refused(&client, "add_disk", json!({ "vm": "web-1", "size_gb": size })).await;
        assert!(code == "invalid_argument" && text.contains("no size of a disk"), "{text}");
    }
    let (code, text) = refused(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 1, "mode": "append" })).await;
    assert!(code == "invalid_argument" && text.contains("independent_nonpersistent"), "{text}");
    let nowhere = json!({ "vm": "web-1", "size_gb": 1, "datastore": "nvme" });
    let (code, text) = refused(&client, "add_disk", nowhere).await;
    assert_eq!(code, "not_found");
    assert!(text.contains("\"nvme\"") && text.contains("DC0_DS0, DC0_DS1, DC0_DS2"), "{text}");
    assert!(disks(&machine).await.is_empty());

    // Two that take most of a datastore each.
    let most = json!({ "vm": "web-1", "size_gb": most_of(&lab, "DC0_DS0").await, "thin": false });
    call(&client, "add_disk", most.clone()).await.unwrap();
    let (code, text) = refused(&client, "add_disk", most).await;
    assert_eq!(code, "fault");
    assert!(text.contains("NoDiskSpace") && text.contains("get_datastore_info"), "{text}");
    assert!(text.starts_with("add a disk to \"web-1\""), "{text}");
    assert_eq!(disks(&machine).await.len(), 1);

    for tool in ["get_disk_info", "remove_disk"] {
        let (code, text) = refused(&client, tool, json!({ "vm": "web-1", "disk": "1" })).await;
        assert_eq!(code, "not_found", "{tool}");
        assert!(text.contains("\"Hard disk 1\" (key 2000)"), "{text}");
    }
    assert_eq!(refused(&client, "get_disk_info", json!({ "vm": "db-1", "disk": "2000" })).await.0, "not_found");
}

#[tokio::test]
async fn the_details_of_a_disk_name_the_snapshots_that_use_it() {
    let lab = lab().await;
    let machine = lab.machine("web-1").await;
    let client = mcp(&lab).await;
    call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 2, "controller": "nvme" })).await.unwrap();
    let independent = json!({ "vm": "web-1", "size_gb": 3, "mode": "independent_persistent" });
    call(&client, "add_disk", independent).await.unwrap();
    snapshot(&lab, &machine, "before/after").await;
    let info = call(&client, "get_disk_info", json!({ "vm": "web-1", "disk": "hard disk 1" })).await.unwrap();
    assert_eq!((&info["id"], &info["vm"]), (&json!(machine.id()), &json!("web-1")));
    assert_eq!((&info["controller_type"], &info["bus"]), (&json!("VirtualNVMEController"), &json!(0)));
    assert_eq!(info["snapshots"], json!(["before/after"]));
    let real = disks(&machine).await.into_iter().find(|disk| disk.capacity_in_bytes == Some(2 << 30)).unwrap();
    let flat = flat(&real);
    assert_eq!(info["file"], json!(flat.file_name));
    assert_eq!(info["parents"], json!([flat.parent.as_ref().unwrap().file_name]));
    assert_eq!(info["uuid"], json!(flat.uuid));
    assert!(info["used_bytes"].as_i64().is_some(), "{info:#}");
    let other = call(&client, "get_disk_info", json!({ "vm": "web-1", "disk": "Hard disk 2" })).await.unwrap();
    assert_eq!((&other["snapshots"], &other["parents"]), (&json!([]), &json!([])));
}

/// Two thirds of what is free in a datastore, in GiB.
async fn most_of(lab: &Lab, datastore: &str) -> i64 {
    let store: Mo<Datastore> = lab.client.get(datastore).await.unwrap();
    (store.read(datastore::FREE_SPACE).await.unwrap() >> 30) * 2 / 3
}

async fn snapshot(lab: &Lab, machine: &Mo<VirtualMachine>, name: &str) {
    let task = machine.create_snapshot_task(name, None, false, false).await.unwrap();
    Task::<vsphere_ops::types::Any>::new(&lab.client, task, "snapshot", name).await.unwrap();
}

#[tokio::test]
async fn a_disk_is_removed_after_a_preview_and_its_file_stays_unless_told() {
    let lab = lab().await;
    let machine = lab.running("web-1").await;
    let client = older(lab.server(&[]), ()).await;
    for _ in 0..2 {
        call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 4 })).await.unwrap();
    }
    let files: Vec<String> = disks(&machine).await.iter().map(|disk| flat(disk).file_name.clone()).collect();

    let keep = json!({ "vm": "web-1", "disk": "Hard disk 2" });
    let plan = call(&client, "remove_disk", keep.clone()).await.unwrap();
    assert_eq!(plan["confirmation_required"], true, "{plan:#}");
    let shown = &plan["objects"][0];
    assert_eq!((&shown["file"], &shown["datastore"]), (&json!(files[1]), &json!("DC0_DS0")));
    assert_eq!((&shown["capacity_gb"], &shown["power_state"]), (&json!(4.0), &json!("powered_on")));
    assert_eq!(shown["file_deleted"], false);
    assert!(plan["question"].as_str().unwrap().contains("keep its file"), "{plan:#}");
    assert_eq!(disks(&machine).await.len(), 2);
    // The plan is good for this disk and this fate alone.
    let mut other = json!({ "vm": "web-1", "disk": "Hard disk 2", "delete_file": true });
    other["confirm"] = plan["plan_token"].clone();
    let other = call(&client, "remove_disk", other).await.unwrap();
    assert!(other["confirmation_required"] == true && other["question"].as_str().unwrap().contains("DELETE"));
    let mut confirmed = keep.clone();
    confirmed["confirm"] = plan["plan_token"].clone();
    let done = call(&client, "remove_disk", confirmed).await.unwrap();
    assert_eq!((&done["changed"], &done["file_deleted"]), (&json!(true), &json!(false)));
    assert_eq!(disks(&machine).await.len(), 1);
    assert!(is_there(&lab, &files[1]).await);

    let client = mcp(&lab).await;
    call(&client, "remove_disk", json!({ "vm": "web-1", "disk": "2000", "delete_file": true })).await.unwrap();
    assert!(disks(&machine).await.is_empty());
    assert!(!is_there(&lab, &files[0]).await);
    let (code, text) = refused(&client, "remove_disk", json!({ "vm": "web-1", "disk": "2000" })).await;
    assert!(code == "not_found" && text.contains("the VM has no disk"), "{text}");
}

/// Whether a file is in its datastore.
pub(crate) async fn is_there(lab: &Lab, file: &str) -> bool {
    let path: vsphere_ops::DatastorePath = file.parse().unwrap();
    let name = path.file_name().unwrap().to_owned();
    let store: Mo<Datastore> = lab.client.get(path.datastore()).await.unwrap();
    let browser: HostDatastoreBrowser = lab.client.raw(&store.read(datastore::BROWSER).await.unwrap());
    let folder = path.parent().unwrap().to_string();
    let task = browser.search_datastore_task(&folder, None).await.unwrap();
    let task = Task::<vsphere_ops::types::HostDatastoreBrowserSearchResults>::new(&lab.client, task, "search", &folder);
    task.await.unwrap().file.iter().any(|file| file.path == name)
}

#[tokio::test]
async fn what_a_snapshot_uses_is_neither_removed_nor_resized() {
    let lab = lab().await;
    let machine = lab.machine("web-1").await;
    let client = mcp(&lab).await;
    call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 1 })).await.unwrap();
    snapshot(&lab, &machine, "first").await;
    call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 1 })).await.unwrap();
    for delete in [false, true] {
        let remove = json!({ "vm": "web-1", "disk": "Hard disk 1", "delete_file": delete });
        let (code, text) = refused(&client, "remove_disk", remove).await;
        assert_eq!(code, "unsupported");
        assert!(text.contains("1 snapshots: first") && text.contains("delete_all_snapshots"), "{text}");
    }
    let grow = json!({ "vm": "web-1", "disk": "Hard disk 1", "new_size_gb": 2 });
    let (code, text) = refused(&client, "resize_disk", grow.clone()).await;
    assert_eq!(code, "unsupported");
    assert!(text.contains("below snapshots") && text.contains("delete_all_snapshots"), "{text}");
    assert_eq!(disks(&machine).await.len(), 2);
    // A disk that came after the snapshot is none of its business.
    call(&client, "remove_disk", json!({ "vm": "web-1", "disk": "Hard disk 2" })).await.unwrap();
    assert_eq!(disks(&machine).await.len(), 1);
    let task = machine.remove_all_snapshots_task(None, None).await.unwrap();
    Task::<()>::new(&lab.client, task, "delete", "snapshots").await.unwrap();
    call(&client, "resize_disk", grow).await.unwrap();
    assert_eq!(disks(&machine).await[0].capacity_in_bytes, Some(2 << 30));
}

#[tokio::test]
async fn a_disk_grows_and_never_shrinks() {
    let lab = lab().await;
    let machine = lab.running("web-1").await;
    let client = mcp(&lab).await;
    call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 10 })).await.unwrap();
    let resize = async |size: Value| {
        call(&client, "resize_disk", json!({ "vm": "web-1", "disk": "Hard disk 1", "new_size_gb": size })).await
    };
    let grown = resize(json!(12.5)).await.unwrap();
    assert_eq!((&grown["changed"], &grown["previous_capacity_gb"]), (&json!(true), &json!(10.0)));
    assert_eq!(grown["disk"]["capacity_gb"], 12.5);
    assert_eq!(disks(&machine).await[0].capacity_in_bytes, Some(25 << 29));
    let same = resize(json!(12.5)).await.unwrap();
    assert_eq!(same["changed"], false);
    let error = resize(json!(12)).await.unwrap_err();
    assert_eq!(error["code"], "invalid_argument");
    assert!(error["message"].as_str().unwrap().contains("Hard disk 1 has 12.5 GiB, and a disk can't shrink to 12"));
    assert_eq!(disks(&machine).await[0].capacity_in_bytes, Some(25 << 29));
    // By its older name.
    call(&client, "extend_disk", json!({ "vm": "web-1", "disk": "2000", "new_size_gb": 20 })).await.unwrap();
    assert_eq!(disks(&machine).await[0].capacity_in_bytes, Some(20 << 30));
}

#[tokio::test]
async fn a_disk_moves_to_another_datastore_with_its_snapshots() {
    let lab = lab().await;
    let machine = lab.running("web-1").await;
    let client = older(lab.server(&[]), ()).await;
    for _ in 0..2 {
        call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 4 })).await.unwrap();
    }
    snapshot(&lab, &machine, "first").await;
    let before = disks(&machine).await;
    let mut there = json!({ "vm": "web-1", "disk": "Hard disk 2", "target_datastore": "DC0_DS1" });
    let plan = call(&client, "move_vm_disk", there.clone()).await.unwrap();
    assert_eq!(plan["confirmation_required"], true, "{plan:#}");
    let shown = &plan["objects"][0];
    assert_eq!((&shown["datastore"], &shown["target_datastore"]), (&json!("DC0_DS0"), &json!("DC0_DS1")));
    assert!(shown["free_bytes"].as_i64().unwrap() > 0 && shown["power_state"] == "powered_on", "{shown:#}");
    there["confirm"] = plan["plan_token"].clone();
    let moved = call(&client, "move_vm_disk", there.clone()).await.unwrap();
    assert_eq!((&moved["changed"], &moved["previous_datastore"]), (&json!(true), &json!("DC0_DS0")));
    assert_eq!(moved["disk"]["datastore"], "DC0_DS1");
    let after = disks(&machine).await;
    assert_eq!(flat(&after[0]), flat(&before[0]));
    let flat = flat(&after[1]);
    assert!(flat.file_name.starts_with("[DC0_DS1] web-1/"), "{}", flat.file_name);
    assert!(flat.parent.as_ref().unwrap().file_name.starts_with("[DC0_DS1] "), "{flat:?}");
    assert!(is_there(&lab, &flat.file_name).await);
    // Nothing is asked where nothing moves.
    there.as_object_mut().unwrap().remove("confirm");
    let again = call(&client, "move_vm_disk", there).await.unwrap();
    assert_eq!(again["changed"], false, "{again:#}");
}

#[tokio::test]
async fn a_disk_that_cannot_move_stays() {
    let lab = lab().await;
    let machine = lab.machine("web-1").await;
    let client = mcp(&lab).await;
    // Two that fill most of a datastore each: only one fits.
    let size = most_of(&lab, "DC0_DS1").await;
    for datastore in ["DC0_DS0", "DC0_DS1"] {
        let add = json!({ "vm": "web-1", "size_gb": size, "thin": false, "datastore": datastore });
        call(&client, "add_disk", add).await.unwrap();
    }
    let before = disks(&machine).await;
    let to = async |datastore: &str| {
        refused(&client, "move_vm_disk", json!({ "vm": "web-1", "disk": "2000", "target_datastore": datastore })).await
    };
    let (code, text) = to("DC0_DS1").await;
    assert_eq!(code, "fault");
    assert!(text.starts_with("move a disk of \"web-1\"") && text.contains("NoDiskSpace"), "{text}");
    assert!(text.contains("choose another datastore"), "{text}");
    let (code, text) = to("DC0_DS9").await;
    assert!(code == "not_found" && text.contains("DC0_DS0, DC0_DS1, DC0_DS2"), "{text}");
    assert_eq!(flat(&disks(&machine).await[0]), flat(&before[0]));
}

#[tokio::test]
async fn a_linked_clones_disk_is_as_large_as_its_origin() {
    let lab = lab().await;
    let machine = lab.machine("web-1").await;
    let client = mcp(&lab).await;
    call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 1 })).await.unwrap();
    snapshot(&lab, &machine, "origin").await;
    let location = VirtualMachineRelocateSpec {
        disk_move_type: Some("createNewChildDiskBacking".to_owned()),
        ..Default::default()
    };
    let snapshot = machine.read(vm::SNAPSHOT).await.unwrap().unwrap().current_snapshot;
    let spec = VirtualMachineCloneSpec { location, snapshot, ..Default::default() };
    let folder: Mo<Folder> = lab.client.get("/DC0/vm").await.unwrap();
    let task = machine.clone_vm_task(folder.reference(), "web-2", &spec).await.unwrap();
    let clone: Mo<VirtualMachine> = Task::new(&lab.client, task, "clone", "web-1").await.unwrap();
    let grow = json!({ "vm": "web-2", "disk": "Hard disk 1", "new_size_gb": 2 });
    let (code, text) = refused(&client, "resize_disk", grow).await;
    assert_eq!(code, "unsupported");
    assert!(text.contains("linked clone") && text.contains("[DC0_DS0] web-1/"), "{text}");
    assert_eq!(disks(&clone).await[0].capacity_in_bytes, Some(1 << 30));
}

/// A plan with a stale `changeVersion` is refused by the server; the tool plans anew for what is there.
#[tokio::test]
async fn pitfall_28_disks_added_at_once_by_several_clients_do_not_collide() {
    let lab = lab().await;
    let machine = lab.machine("web-1").await;
    let (one, two) = (mcp(&lab).await, mcp(&lab).await);
    let add = json!({ "vm": "web-1", "size_gb": 1 });
    let add = async |client: &Mcp| call(client, "add_disk", add.clone()).await.unwrap()["disk"]["key"].clone();
    let (a, b, c, d) = tokio::join!(add(&one), add(&two), add(&one), add(&two));
    let mut keys: Vec<i64> = [a, b, c, d].iter().map(|key| key.as_i64().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, [2000, 2001, 2002, 2003]);
    assert_eq!(disks(&machine).await.len(), 4);
}
