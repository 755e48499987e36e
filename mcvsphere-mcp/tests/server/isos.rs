//! The tools for ISO images: what they do is read from the machine's drives.

use serde_json::{Value, json};
use vsphere_ops::{
    Mo, Task,
    managed::{Datastore, VirtualMachine, virtual_machine as vm},
    types::{
        Any, OptionValue, Poly, VirtualCdrom, VirtualCdromIsoBackingInfo, VirtualController, VirtualDevice,
        VirtualMachineConfigSpec,
    },
};

use crate::{
    disks::{call, devices, lab, mcp, refused},
    lab::Lab,
};

/// Puts an image into a folder of a datastore.
pub(crate) async fn image(lab: &Lab, datastore: &str, path: &str) {
    let store: Mo<Datastore> = lab.client.get(datastore).await.unwrap();
    let folder = path.rsplit_once('/').unwrap().0;
    let manager = lab.client.content().file_manager.clone().unwrap();
    let manager: vsphere_ops::managed::FileManager = lab.client.raw(&manager);
    let datacenter = lab.client.datacenter("DC0").await.unwrap();
    let folder = format!("[{datastore}] {folder}");
    // It may be there from the image before.
    let _ = manager.make_directory(&folder, Some(datacenter.reference()), Some(true)).await;
    store.upload(path).from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).await.unwrap();
}

async fn drives(machine: &Mo<VirtualMachine>) -> Vec<VirtualCdrom> {
    devices(machine).await.iter().filter_map(|device| device.downcast_ref().cloned()).collect()
}

/// The image that is in a drive, whether it is connected, and whether it will be at power-on.
fn state(drive: &VirtualCdrom) -> (Option<String>, bool, bool) {
    let iso = drive.backing.as_ref().and_then(|backing| backing.downcast_ref::<VirtualCdromIsoBackingInfo>());
    let plug = drive.connectable.as_ref().unwrap();
    (iso.map(|iso| iso.file_name.clone()), plug.connected, plug.start_connected)
}

async fn controller(machine: &Mo<VirtualMachine>, drive: &VirtualCdrom) -> String {
    let devices = devices(machine).await;
    let controller = devices.iter().find(|device| Some(device.key) == drive.controller_key).unwrap();
    controller.type_name().to_owned()
}

#[tokio::test]
async fn an_image_goes_into_a_new_drive_and_out_again() {
    let lab = lab().await;
    image(&lab, "DC0_DS1", "iso/debian.iso").await;
    for (name, runs, kind) in [("off-1", false, "VirtualIDEController"), ("on-1", true, "VirtualAHCIController")] {
        let machine = if runs { lab.running(name).await } else { lab.machine(name).await };
        let client = mcp(&lab).await;
        let full = Some("[DC0_DS1] iso/debian.iso".to_owned());
        let attach = json!({ "vm": name, "iso_path": "[DC0_DS1] iso/debian.iso" });
        let done = call(&client, "attach_iso", attach.clone()).await.unwrap();
        assert_eq!((&done["changed"], &done["drive_added"]), (&json!(true), &json!(true)), "{name}: {done:#}");
        assert_eq!((&done["iso"], &done["connected"]), (&json!(full), &json!(runs)), "{name}");
        assert_eq!((&done["vm"], &done["id"]), (&json!(name), &json!(machine.id())));
        let drive = drives(&machine).await.remove(0);
        assert_eq!(state(&drive), (full.clone(), runs, true), "{name}");
        assert_eq!(controller(&machine, &drive).await, kind, "{name}");
        assert_eq!(done["key"], json!(drive.key));

        let again = call(&client, "attach_iso", attach).await.unwrap();
        assert_eq!((&again["changed"], &again["iso"]), (&json!(false), &json!(full)), "{name}");
        assert_eq!(drives(&machine).await.len(), 1);

        let out = call(&client, "detach_iso", json!({ "vm": name })).await.unwrap();
        assert_eq!((&out["changed"], &out["previous_iso"]), (&json!(true), &json!(full)), "{name}: {out:#}");
        assert!(out["iso"].is_null() && out["lock_overridden"].is_null(), "{out:#}");
        assert_eq!(state(&drives(&machine).await[0]), (None, false, false), "{name}");
        let empty = call(&client, "detach_iso", json!({ "vm": name })).await.unwrap();
        assert_eq!(empty["changed"], false, "{name}: {empty:#}");
        // The drive that is there is used again.
        let attach = json!({ "vm": name, "iso_path": "iso/debian.iso", "datastore": "DC0_DS1" });
        call(&client, "attach_iso", attach).await.unwrap();
        assert_eq!(drives(&machine).await.len(), 1);
        assert_eq!(state(&drives(&machine).await[0]), (full, runs, true), "{name}");
    }
}

#[tokio::test]
async fn the_datastore_of_a_path_is_in_it_or_beside_it_or_in_the_settings() {
    let lab = lab().await;
    image(&lab, "DC0_DS1", "iso/a.iso").await;
    image(&lab, "DC0_DS2", "iso/a.iso").await;
    let machine = lab.machine("web-1").await;
    let set = [("MCP_CONFIRM", "never"), ("VCENTER_DATASTORE", "DC0_DS2")];
    let client = crate::confirm::older(lab.server(&set), ()).await;
    for (arguments, datastore) in [
        (json!({ "vm": "web-1", "iso_path": "iso/a.iso" }), "DC0_DS2"),
        (json!({ "vm": "web-1", "iso_path": "/iso/a.iso", "datastore": "DC0_DS1" }), "DC0_DS1"),
        (json!({ "vm": "web-1", "iso_path": "[DC0_DS2] iso/a.iso", "datastore": "DC0_DS1" }), "DC0_DS2"),
    ] {
        let done = call(&client, "attach_iso", arguments).await.unwrap();
        assert_eq!(done["changed"], true, "{done:#}");
        assert_eq!(state(&drives(&machine).await[0]).0, Some(format!("[{datastore}] iso/a.iso")));
    }
    let client = mcp(&lab).await;
    let (code, text) = refused(&client, "attach_iso", json!({ "vm": "web-1", "iso_path": "iso/a.iso" })).await;
    assert!(code == "invalid_argument" && text.contains("[datastore] folder/file.iso"), "{text}");
}

#[tokio::test]
async fn an_image_that_is_not_there_is_refused_with_those_that_are() {
    let lab = lab().await;
    image(&lab, "DC0_DS1", "iso/debian.iso").await;
    image(&lab, "DC0_DS1", "iso/ubuntu.iso").await;
    let machine = lab.machine("web-1").await;
    let client = mcp(&lab).await;
    for (path, says) in [
        ("[DC0_DS1] iso/arch.iso", "there is no arch.iso in [DC0_DS1] iso; there are debian.iso, ubuntu.iso"),
        ("[DC0_DS1] iso/Debian.iso", "there is no Debian.iso"),
        ("[DC0_DS1] isos/debian.iso", "there is no folder [DC0_DS1] isos"),
        ("[DC0_DS9] iso/debian.iso", "DC0_DS0, DC0_DS1, DC0_DS2"),
        ("[DC0_DS1]", "is no file"),
    ] {
        let (code, text) = refused(&client, "attach_iso", json!({ "vm": "web-1", "iso_path": path })).await;
        assert_eq!(code, "not_found", "{path}: {text}");
        assert!(text.contains(says) && text.starts_with("attach an ISO image to \"web-1\""), "{path}: {text}");
    }
    let outside = json!({ "vm": "web-1", "iso_path": "[DC0_DS1] ../iso/debian.iso" });
    assert_eq!(refused(&client, "attach_iso", outside).await.0, "invalid_argument");
    assert!(drives(&machine).await.is_empty());
}

#[tokio::test]
async fn several_drives_are_filled_before_an_image_is_replaced() {
    let lab = lab().await;
    for name in ["a", "b", "c"] {
        image(&lab, "DC0_DS0", &format!("iso/{name}.iso")).await;
    }
    let machine = lab.machine("web-1").await;
    let client = mcp(&lab).await;
    let attach = async |name: &str, drive: Option<&str>| {
        let mut arguments = json!({ "vm": "web-1", "iso_path": format!("[DC0_DS0] iso/{name}.iso") });
        if let Some(drive) = drive {
            arguments["drive"] = drive.into();
        }
        call(&client, "attach_iso", arguments).await
    };
    attach("a", None).await.unwrap();
    // The only drive's image is replaced.
    let replaced = attach("b", None).await.unwrap();
    assert_eq!(replaced["previous_iso"], "[DC0_DS0] iso/a.iso");
    second_drive(&lab, &machine).await;
    let beside = attach("a", None).await.unwrap();
    assert_eq!(beside["drive"], "CD/DVD drive 2");
    // Both are full now: nothing is guessed.
    for tool in ["attach_iso", "detach_iso"] {
        let mut arguments = json!({ "vm": "web-1" });
        if tool == "attach_iso" {
            arguments["iso_path"] = "[DC0_DS0] iso/c.iso".into();
        }
        let error = call(&client, tool, arguments).await.unwrap_err();
        assert_eq!(error["code"], "ambiguous", "{tool}: {error:#}");
        assert_eq!(error["candidates"][1]["path"], "CD/DVD drive 2", "{error:#}");
    }
    assert_eq!(attach("c", Some("cd/dvd drive 1")).await.unwrap()["previous_iso"], "[DC0_DS0] iso/b.iso");
    // A drive that has the image already is known again.
    assert_eq!(attach("a", None).await.unwrap()["changed"], false);
    call(&client, "detach_iso", json!({ "vm": "web-1", "drive": "CD/DVD drive 1" })).await.unwrap();
    let states: Vec<_> = drives(&machine).await.iter().map(|drive| state(drive).0).collect();
    assert_eq!(states, [None, Some("[DC0_DS0] iso/a.iso".to_owned())]);
    let error = call(&client, "detach_iso", json!({ "vm": "web-1", "drive": "9" })).await.unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("\"CD/DVD drive 1\" (key 3000)"), "{error:#}");
}

/// Adds an empty drive on the machine's first IDE controller.
async fn second_drive(lab: &Lab, machine: &Mo<VirtualMachine>) {
    use vsphere_ops::types::{VirtualDeviceConfigSpec, VirtualDeviceConfigSpecOperation};
    let mut drive = VirtualCdrom::default();
    drive.key = -1;
    drive.controller_key = Some(200);
    let device: Poly<VirtualDevice> = Poly::new(drive);
    let operation = Some(VirtualDeviceConfigSpecOperation::Add);
    let add = Poly::new(VirtualDeviceConfigSpec { operation, device, ..Default::default() });
    reconfigure(lab, machine, VirtualMachineConfigSpec { device_change: vec![add], ..Default::default() }).await;
}

async fn reconfigure(lab: &Lab, machine: &Mo<VirtualMachine>, spec: VirtualMachineConfigSpec) {
    let task = machine.reconfig_vm_task(&spec).await.unwrap();
    Task::<()>::new(&lab.client, task, "reconfigure", machine.label()).await.unwrap();
}

/// The guest locks the door while it has the image mounted; the task that takes it out waits for an answer.
#[tokio::test]
async fn a_door_that_the_guest_has_locked_is_opened() {
    let lab = lab().await;
    image(&lab, "DC0_DS0", "iso/a.iso").await;
    image(&lab, "DC0_DS0", "iso/b.iso").await;
    let machine = lab.running("web-1").await;
    let client = mcp(&lab).await;
    call(&client, "attach_iso", json!({ "vm": "web-1", "iso_path": "[DC0_DS0] iso/a.iso" })).await.unwrap();
    let locked = OptionValue { key: "guestinfo.sim.cdrom.locked".into(), value: Some(Any::from("TRUE".to_owned())) };
    let spec = VirtualMachineConfigSpec { extra_config: vec![Poly::new(locked)], ..Default::default() };
    reconfigure(&lab, &machine, spec).await;
    let other = json!({ "vm": "web-1", "iso_path": "[DC0_DS0] iso/b.iso" });
    let done = call(&client, "attach_iso", other).await.unwrap();
    assert_eq!((&done["changed"], &done["lock_overridden"]), (&json!(true), &json!(true)), "{done:#}");
    let out = call(&client, "detach_iso", json!({ "vm": "web-1" })).await.unwrap();
    assert_eq!((&out["changed"], &out["lock_overridden"]), (&json!(true), &json!(true)), "{out:#}");
    assert_eq!(state(&drives(&machine).await[0]), (None, false, false));
    assert!(machine.read(vm::QUESTION).await.unwrap().is_none());
}

#[tokio::test]
async fn a_machine_that_runs_gets_its_drive_on_sata() {
    let lab = lab().await;
    image(&lab, "DC0_DS0", "iso/a.iso").await;
    let machine = lab.machine("web-1").await;
    let client = mcp(&lab).await;
    call(&client, "add_disk", json!({ "vm": "web-1", "size_gb": 1, "controller": "sata" })).await.unwrap();
    machine.power_on().await.unwrap().await.unwrap();
    let iso: Value = json!({ "vm": "web-1", "iso_path": "[DC0_DS0] iso/a.iso" });
    assert_eq!(call(&client, "attach_iso", iso).await.unwrap()["connected"], true);
    let drive = drives(&machine).await.remove(0);
    assert_eq!((controller(&machine, &drive).await, drive.unit_number), ("VirtualAHCIController".to_owned(), Some(1)));
    // No second controller came.
    let all = devices(&machine).await;
    let buses = all.iter().filter(|device| device.type_name() == "VirtualAHCIController");
    assert_eq!(buses.filter(|device| device.is::<VirtualController>()).count(), 1);
}
