//! Stock govc against the simulated server: machines made, changed, cloned, moved and removed, and their devices.

use crate::support::Lab;
use peers::{govc, govc_run};
use serde_json::Value;
use vsphere_sim::{Model, Size};

const POOL: &str = "/DC0/host/DC0_C0/Resources";
const STORE: &str = "-ds=DC0_DS0";

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

/// What `vm.info` says of a machine.
async fn info(url: &str, name: &str) -> Value {
    let answer = govc(url, &["vm.info", name]).await.unwrap();
    answer["virtualMachines"][0].clone()
}

/// What `device.info` says of a machine's devices.
async fn device(url: &str, vm: &str, name: &str) -> Value {
    let answer = govc(url, &["device.info", "-vm", vm, name]).await.unwrap();
    answer["devices"][0].clone()
}

async fn refusal(url: &str, args: &[&str]) -> String {
    format!("{:#}", govc_run(url, args).await.unwrap_err())
}

/// A machine with a disk and a card, powered off.
async fn create(url: &str, name: &str) {
    let args =
        ["vm.create", "-on=false", STORE, "-pool", POOL, "-net=VM Network", "-disk=10GB", "-c=2", "-m=2048", name];
    govc_run(url, &args).await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_makes_changes_and_removes_machines() {
    let lab = lab().await;
    let url = &lab.govc_url();
    let run = async |args: &[&str]| govc_run(url, args).await.unwrap();
    create(url, "one").await;
    let one = info(url, "one").await;
    assert_eq!(one["config"]["hardware"]["numCPU"], 2);
    assert_eq!(one["runtime"]["powerState"], "poweredOff");
    let disk = device(url, "one", "disk-1000-0").await;
    assert_eq!(disk["backing"]["fileName"], "[DC0_DS0] one/one.vmdk");
    assert_eq!(disk["capacityInKB"], 10 << 20);
    let flags =
        ["-disk.controller=pvscsi", "-net.adapter=vmxnet3", "-firmware=efi", "-version=vmx-19", "-g=ubuntu64Guest"];
    let start = ["vm.create", STORE, "-pool", POOL, "-net=VM Network", "-disk=1GB"];
    run(&[&start, &flags[..], &["two"]].concat()).await;
    let two = info(url, "two").await;
    assert_eq!(two["config"]["firmware"], "efi");
    assert_eq!(two["runtime"]["powerState"], "poweredOn");
    assert_eq!(device(url, "two", "ethernet-0").await["type"], "VirtualVmxnet3");
    let words = refusal(url, &[&start, &["one"][..]].concat()).await;
    assert!(words.contains("already exists"), "{words}");

    run(&["vm.change", "-vm=one", "-c=4", "-m=4096", "-annotation=hello", "-e=a=b", "-name=uno"]).await;
    let uno = info(url, "uno").await;
    assert_eq!(uno["config"]["hardware"]["memoryMB"], 4096);
    assert_eq!(uno["config"]["annotation"], "hello");
    run(&["vm.change", "-vm=uno", "-name=one"]).await;

    run(&["vm.migrate", "-host=DC0_C0_H1", "two"]).await;
    run(&["vm.migrate", STORE.replace("DS0", "DS1").as_str(), "two"]).await;
    assert_eq!(info(url, "two").await["config"]["files"]["vmPathName"], "[DC0_DS1] two/two.vmx");

    run(&["vm.markastemplate", "one"]).await;
    assert_eq!(info(url, "one").await["config"]["template"], true);
    run(&["vm.markasvm", "-pool", POOL, "one"]).await;
    run(&["vm.unregister", "one"]).await;
    run(&["vm.register", STORE, "-pool", POOL, "one/one.vmx"]).await;
    assert_eq!(device(url, "one", "disk-1000-0").await["capacityInKB"], 10 << 20);
    run(&["folder.create", "/DC0/vm/f1"]).await;
    run(&["object.mv", "/DC0/vm/one", "/DC0/vm/f1"]).await;
    run(&["object.rename", "/DC0/vm/f1", "f2"]).await;
    run(&["vm.destroy", "two"]).await;
    run(&["object.destroy", "/DC0/vm/f2"]).await;
    assert_eq!(govc(url, &["ls", "/DC0/vm"]).await.unwrap()["elements"].as_array().map_or(0, Vec::len), 0);
    let options = govc(url, &["vm.option.info", "-cluster=DC0_C0", "ubuntu64Guest"]).await.unwrap();
    assert!(options.to_string().contains("Ubuntu Linux (64-bit)"), "{options}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_clones_in_full_linked_and_from_templates() {
    let lab = lab().await;
    let url = &lab.govc_url();
    let run = async |args: &[&str]| govc_run(url, args).await.unwrap();
    create(url, "golden").await;
    let clone = ["vm.clone", STORE, "-pool", POOL];
    run(&[&clone[..], &["-on=false", "-vm=golden", "full"]].concat()).await;
    assert_eq!(device(url, "full", "disk-1000-0").await["backing"]["parent"], Value::Null);
    run(&["snapshot.create", "-vm=golden", "base"]).await;
    run(&[&clone[..], &["-on=false", "-vm=golden", "-link", "-snapshot=base", "linked"]].concat()).await;
    let parent = &device(url, "linked", "disk-1000-0").await["backing"]["parent"];
    assert_eq!(parent["fileName"], "[DC0_DS0] golden/golden.vmdk");
    run(&[&clone[..], &["-vm=golden", "-template", "t"]].concat()).await;
    run(&[&clone[..], &["-vm=t", "-c=4", "deployed"]].concat()).await;
    let deployed = info(url, "deployed").await;
    assert_eq!(deployed["config"]["hardware"]["numCPU"], 4);
    assert_eq!(deployed["runtime"]["powerState"], "poweredOn");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_plugs_devices_in_and_out() {
    let lab = lab().await;
    let url = &lab.govc_url();
    let run = async |args: &[&str]| govc_run(url, args).await.unwrap();
    create(url, "one").await;
    run(&["device.scsi.add", "-vm=one", "-type=pvscsi"]).await;
    run(&["device.cdrom.add", "-vm=one"]).await;
    run(&["datastore.upload", STORE, "Cargo.toml", "a.iso"]).await;
    run(&["device.cdrom.insert", STORE, "-vm=one", "a.iso"]).await;
    assert_eq!(device(url, "one", "cdrom-3000").await["backing"]["fileName"], "[DC0_DS0] a.iso");
    run(&["device.cdrom.eject", "-vm=one"]).await;
    run(&["device.serial.add", "-vm=one"]).await;
    run(&["device.serial.connect", "-vm=one", "telnet://:33233"]).await;
    assert_eq!(device(url, "one", "serialport-9000").await["backing"]["serviceURI"], "telnet://:33233");
    run(&["device.serial.disconnect", "-vm=one"]).await;
    run(&["device.floppy.add", "-vm=one"]).await;
    run(&["device.floppy.insert", STORE, "-vm=one", "a.iso"]).await;
    run(&["device.floppy.eject", "-vm=one"]).await;
    run(&["device.usb.add", "-vm=one"]).await;
    run(&["device.usb.add", "-vm=one", "-type=xhci"]).await;
    run(&["device.boot", "-vm=one", "-order=disk,ethernet,cdrom,floppy", "-delay=1000"]).await;
    run(&["device.remove", "-vm=one", "serialport-9000"]).await;

    run(&["vm.disk.create", STORE, "-vm=one", "-name=one/second", "-size=5G"]).await;
    let third = ["-name=one/third", "-size=5G", "-controller=pvscsi-1001", "-thick", "-eager"];
    run(&[&["vm.disk.create", STORE, "-vm=one"], &third[..]].concat()).await;
    assert_eq!(device(url, "one", "disk-1001-0").await["backing"]["eagerlyScrub"], true);
    run(&["vm.disk.change", "-vm=one", "-disk.label=Hard disk 1", "-size=20G"]).await;
    assert_eq!(device(url, "one", "disk-1000-0").await["capacityInKB"], 20 << 20);
    let words = refusal(url, &["vm.disk.change", "-vm=one", "-disk.label=Hard disk 1", "-size=2G"]).await;
    assert!(words.contains("Invalid operation for device '0'"), "{words}");
    run(&["device.remove", "-vm=one", "-keep", "disk-1001-0"]).await;
    run(&["vm.disk.attach", STORE, "-vm=one", "-link=true", "-disk=one/third.vmdk"]).await;
    let words = refusal(url, &["device.remove", "-vm=one", "lsilogic-1000"]).await;
    assert!(words.contains("Invalid configuration for device '0'"), "{words}");
    run(&["device.remove", "-vm=one", "pvscsi-1001"]).await;

    run(&["vm.network.add", "-vm=one", "-net=VM Network", "-net.adapter=vmxnet3"]).await;
    run(&["vm.network.change", "-vm=one", "-net=VM Network", "-net.address=00:50:56:11:22:33", "ethernet-1"]).await;
    assert_eq!(device(url, "one", "ethernet-1").await["macAddress"], "00:50:56:11:22:33");
    run(&["vm.power", "-on", "one"]).await;
    run(&["device.disconnect", "-vm=one", "ethernet-1"]).await;
    assert_eq!(device(url, "one", "ethernet-1").await["connectable"]["connected"], false);
    run(&["device.connect", "-vm=one", "ethernet-1"]).await;
    assert_eq!(device(url, "one", "ethernet-1").await["connectable"]["connected"], true);
    let words = refusal(url, &["device.floppy.add", "-vm=one"]).await;
    assert!(words.contains("current state (Powered on)"), "{words}");
}
