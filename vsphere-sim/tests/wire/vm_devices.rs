//! The devices of virtual machines: keys, places, files, addresses, and what is refused.

use crate::support::Lab;
use crate::support::machine::add;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{
    InvalidController, InvalidDeviceOperation, InvalidDeviceSpec, InvalidPowerState, MissingController, Poly,
    TooManyDevices, VirtualCdrom, VirtualCdromIsoBackingInfo, VirtualDevice, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecFileOperation, VirtualDeviceConfigSpecOperation, VirtualDeviceFileBackingInfo,
    VirtualDeviceURIBackingInfo, VirtualDisk, VirtualDiskFlatVer2BackingInfo, VirtualE1000e, VirtualEthernetCard,
    VirtualEthernetCardNetworkBackingInfo, VirtualLsiLogicController, VirtualMachineConfigSpec, VirtualNVMEController,
    VirtualSerialPort, VirtualSerialPortURIBackingInfo,
};
use vsphere_sim::{Model, Size};

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

type Change = Poly<VirtualDeviceConfigSpec>;

fn spec(changes: Vec<Change>) -> VirtualMachineConfigSpec {
    VirtualMachineConfigSpec { device_change: changes, ..Default::default() }
}

fn disk(controller: Option<i32>, unit: Option<i32>) -> VirtualDisk {
    let mut backing = VirtualDiskFlatVer2BackingInfo { thin_provisioned: Some(true), ..Default::default() };
    backing.disk_mode = "persistent".to_owned();
    let mut disk = VirtualDisk { capacity_in_kb: 1 << 20, ..Default::default() };
    disk.key = -9;
    disk.controller_key = controller;
    disk.unit_number = unit;
    disk.backing = Some(Poly::new(backing));
    disk
}

fn change(operation: VirtualDeviceConfigSpecOperation, device: Poly<VirtualDevice>) -> Change {
    Poly::new(VirtualDeviceConfigSpec { operation: Some(operation), device, ..Default::default() })
}

async fn devices(lab: &Lab, machine: &VirtualMachine) -> Vec<Poly<VirtualDevice>> {
    lab.get(machine, vm::CONFIG).await.unwrap().hardware.device
}

async fn device(lab: &Lab, machine: &VirtualMachine, label: &str) -> Poly<VirtualDevice> {
    let is_it = |device: &Poly<VirtualDevice>| device.device_info.as_ref().is_some_and(|info| info.label == label);
    devices(lab, machine).await.into_iter().find(is_it).unwrap_or_else(|| panic!("there is no {label}"))
}

use VirtualDeviceConfigSpecOperation::{Edit, Remove};

#[tokio::test]
async fn the_server_gives_keys_units_and_labels() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    let mut scsi = VirtualLsiLogicController::default();
    scsi.key = -5;
    scsi.bus_number = -1;
    let mut nvme = VirtualNVMEController::default();
    nvme.key = -6;
    let changes = vec![
        add(scsi, false),
        add(disk(Some(-5), None), true),
        add(nvme, false),
        add(disk(Some(-6), Some(3)), true),
        add(disk(Some(1000), None), true),
    ];
    lab.done(machine.reconfig_vm_task(&spec(changes))).await;
    let place = async |label: &str| {
        let device = device(&lab, &machine, label).await;
        (device.key, device.controller_key, device.unit_number)
    };
    assert_eq!(place("SCSI controller 0").await, (1000, Some(100), Some(3)));
    assert_eq!(place("SCSI controller 1").await, (1001, Some(100), Some(4)));
    assert_eq!(place("NVME controller 0").await, (31000, Some(100), Some(30)));
    assert_eq!(place("Hard disk 1").await, (2000, Some(1000), Some(0)));
    assert_eq!(place("Hard disk 2").await, (2016, Some(1001), Some(0)));
    assert_eq!(place("Hard disk 3").await, (32003, Some(31000), Some(3)));
    assert_eq!(place("Hard disk 4").await, (2001, Some(1000), Some(1)));
    assert_eq!(place("Network adapter 1").await, (4000, Some(100), Some(7)));
    assert_eq!(place("CD/DVD drive 1").await, (3000, Some(200), Some(0)));
    let disk = device(&lab, &machine, "Hard disk 4").await;
    assert_eq!(disk.device_info.as_ref().unwrap().summary, "1,048,576 KB");
    let flat = disk.backing.clone().unwrap().downcast::<VirtualDiskFlatVer2BackingInfo>().unwrap();
    assert!(flat.file_name.ends_with("web-1/web-1_3.vmdk"), "{}", flat.file_name);
}

#[tokio::test]
async fn a_place_that_is_not_there_is_refused_with_the_number_of_the_change() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    for (unit, why) in [(0, "taken"), (7, "the controller's own"), (99, "beyond the bus")] {
        let changes = vec![add(disk(Some(1000), None), true), add(disk(Some(1000), Some(unit)), true)];
        let fault = lab.refused(machine.reconfig_vm_task(&spec(changes))).await;
        let fault = fault.downcast_ref::<InvalidDeviceSpec>().unwrap_or_else(|| panic!("{why}: {fault:?}"));
        assert_eq!(fault.device_index, 1, "{why}");
    }
    let refused = async |change: Change| lab.refused(machine.reconfig_vm_task(&spec(vec![change]))).await;
    let fault = refused(add(disk(Some(1234), None), true)).await;
    assert_eq!(fault.downcast_ref::<InvalidController>().map(|fault| fault.controller_key), Some(1234));
    assert!(refused(add(disk(None, None), true)).await.is::<MissingController>());
    let mut unknown = VirtualCdrom::default();
    unknown.key = 3333;
    assert!(refused(change(Edit, Poly::new(unknown.clone()))).await.is::<InvalidDeviceSpec>());
    assert!(refused(change(Remove, Poly::new(unknown))).await.is::<InvalidDeviceSpec>());
    // Nothing of all that was done.
    assert!(devices(&lab, &machine).await.iter().filter(|device| device.is::<VirtualDisk>()).count() == 1);
}

#[tokio::test]
async fn a_bus_takes_so_many_devices_and_no_more() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    let mut scsi = VirtualLsiLogicController::default();
    scsi.key = -5;
    scsi.bus_number = 1;
    let mut changes = vec![add(scsi, false)];
    changes.extend((0..15).map(|_| add(disk(Some(-5), None), true)));
    lab.done(machine.reconfig_vm_task(&spec(changes))).await;
    let units: Vec<i32> = devices(&lab, &machine)
        .await
        .iter()
        .filter(|device| device.controller_key == Some(1001))
        .filter_map(|device| device.unit_number)
        .collect();
    assert_eq!(units, [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15]);
    let fault = lab.refused(machine.reconfig_vm_task(&spec(vec![add(disk(Some(1001), None), true)]))).await;
    assert!(fault.is::<TooManyDevices>());
}

#[tokio::test]
async fn a_disk_grows_and_never_shrinks() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    let resize = async |kilobytes: i64| {
        let mut device = device(&lab, &machine, "Hard disk 1").await;
        device.downcast_mut::<VirtualDisk>().unwrap().capacity_in_kb = kilobytes;
        machine.reconfig_vm_task(&spec(vec![change(Edit, device)]))
    };
    lab.done(resize(20 << 20).await).await;
    let disk = device(&lab, &machine, "Hard disk 1").await;
    assert_eq!(disk.downcast_ref::<VirtualDisk>().unwrap().capacity_in_bytes, Some(20 << 30));
    assert!(lab.refused(resize(10 << 20).await).await.is::<InvalidDeviceOperation>());
    lab.done(machine.create_snapshot_task("s", None, false, false)).await;
    assert!(lab.refused(resize(30 << 20).await).await.is::<InvalidDeviceOperation>());
}

#[tokio::test]
async fn a_disk_leaves_its_file_unless_it_is_destroyed() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    lab.done(machine.reconfig_vm_task(&spec(vec![add(disk(Some(1000), None), true)]))).await;
    let second = device(&lab, &machine, "Hard disk 2").await;
    lab.done(machine.reconfig_vm_task(&spec(vec![change(Remove, second.clone())]))).await;
    // The file is there still, and can be attached again as it is.
    let mut again = disk(Some(1000), None);
    again.backing.clone_from(&second.backing);
    again.capacity_in_kb = 0;
    lab.done(machine.reconfig_vm_task(&spec(vec![add(again.clone(), false)]))).await;
    let second = device(&lab, &machine, "Hard disk 2").await;
    assert_eq!(second.downcast_ref::<VirtualDisk>().unwrap().capacity_in_kb, 1 << 20);
    assert_eq!(
        lab.refused(machine.reconfig_vm_task(&spec(vec![add(again.clone(), true)]))).await.type_name(),
        "FileAlreadyExists"
    );
    let mut destroy = change(Remove, second);
    destroy.file_operation = Some(VirtualDeviceConfigSpecFileOperation::Destroy);
    lab.done(machine.reconfig_vm_task(&spec(vec![destroy]))).await;
    assert_eq!(lab.refused(machine.reconfig_vm_task(&spec(vec![add(again, false)]))).await.type_name(), "FileNotFound");
    let controller = device(&lab, &machine, "SCSI controller 0").await;
    let fault = lab.refused(machine.reconfig_vm_task(&spec(vec![change(Remove, controller.clone())]))).await;
    assert!(fault.is::<InvalidDeviceSpec>());
    let disk = device(&lab, &machine, "Hard disk 1").await;
    lab.done(machine.reconfig_vm_task(&spec(vec![change(Remove, controller), change(Remove, disk)]))).await;
    let fault =
        lab.refused(machine.reconfig_vm_task(&spec(vec![change(Remove, device(&lab, &machine, "Keyboard ").await)])));
    assert!(fault.await.is::<InvalidDeviceOperation>());
}

#[tokio::test]
async fn a_running_machine_takes_disks_and_adapters_but_nothing_on_ide() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine("web-1", &[]).await;
    lab.done(machine.power_on_vm_task(None)).await;
    let card = card(&site.network, None);
    let changes = vec![add(disk(Some(1000), None), true), add(card, false)];
    lab.done(machine.reconfig_vm_task(&spec(changes))).await;
    let card = device(&lab, &machine, "Network adapter 2").await;
    assert!(card.connectable.as_ref().unwrap().connected);
    let refused = async |change: Change| lab.refused(machine.reconfig_vm_task(&spec(vec![change]))).await;
    assert!(refused(add(disk(Some(201), None), true)).await.is::<InvalidPowerState>());
    assert!(refused(add(serial("server", "telnet://:2001"), false)).await.is::<InvalidPowerState>());
    lab.done(machine.reconfig_vm_task(&spec(vec![change(Remove, card)]))).await;
}

fn card(network: &vsphere_soap::object::ManagedObjectReference, address: Option<&str>) -> VirtualE1000e {
    let backing = VirtualEthernetCardNetworkBackingInfo { network: Some(network.clone()), ..Default::default() };
    let mut card = VirtualE1000e::default();
    card.backing = Some(Poly::new(backing));
    card.mac_address = address.map(str::to_owned);
    card.address_type = address.map(|_| "manual".to_owned());
    card
}

fn serial(direction: &str, uri: &str) -> VirtualSerialPort {
    let base = VirtualDeviceURIBackingInfo {
        service_uri: uri.to_owned(),
        direction: direction.to_owned(),
        ..Default::default()
    };
    let mut port = VirtualSerialPort { yield_on_poll: true, ..Default::default() };
    port.backing = Some(Poly::new(VirtualSerialPortURIBackingInfo { base }));
    port
}

#[tokio::test]
async fn addresses_are_assigned_or_chosen_and_checked() {
    let lab = lab().await;
    let site = lab.site().await;
    let (one, two) = (lab.machine("one", &[]).await, lab.machine("two", &[]).await);
    let address = async |machine: &VirtualMachine, label: &str| {
        let device = device(&lab, machine, label).await;
        let card = device.downcast_ref::<VirtualEthernetCard>().unwrap();
        (card.address_type.clone().unwrap(), card.mac_address.clone().unwrap())
    };
    let (kind, first) = address(&one, "Network adapter 1").await;
    assert!(kind == "assigned" && first.starts_with("00:50:56:8"), "{kind} {first}");
    assert_ne!(address(&two, "Network adapter 1").await.1, first);
    for wrong in ["00:50:56", "01:50:56:00:00:01", "00:50:56:00:00:zz", "00:50:56:00:00:01:02", ""] {
        let fault = lab.refused(one.reconfig_vm_task(&spec(vec![add(card(&site.network, Some(wrong)), false)]))).await;
        assert!(fault.is::<InvalidDeviceSpec>(), "{wrong}");
    }
    let own = add(card(&site.network, Some("00-50-56-00-00-0A")), false);
    lab.done(one.reconfig_vm_task(&spec(vec![own]))).await;
    let expected = ("manual".to_owned(), "00:50:56:00:00:0a".to_owned());
    assert_eq!(address(&one, "Network adapter 2").await, expected);
    // A change of the network alone leaves the address.
    let mut device = device(&lab, &one, "Network adapter 2").await;
    device.connectable.as_mut().unwrap().start_connected = false;
    lab.done(one.reconfig_vm_task(&spec(vec![change(Edit, device)]))).await;
    assert_eq!(address(&one, "Network adapter 2").await, expected);
}

#[tokio::test]
async fn a_serial_port_has_a_uri_and_a_direction() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    lab.done(machine.reconfig_vm_task(&spec(vec![add(serial("server", "telnet://:2001"), false)]))).await;
    let port = device(&lab, &machine, "Serial port 1").await;
    assert_eq!((port.key, port.controller_key), (9000, Some(400)));
    assert_eq!(port.device_info.as_ref().unwrap().summary, "Remote telnet://:2001");
    for port in [serial("sideways", "telnet://:2002"), serial("client", "")] {
        let fault = lab.refused(machine.reconfig_vm_task(&spec(vec![add(port, false)]))).await;
        assert!(fault.is::<InvalidDeviceSpec>());
    }
}

#[tokio::test]
async fn of_a_serial_port_in_use_only_the_line_is_cut() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    lab.done(machine.reconfig_vm_task(&spec(vec![add(serial("server", "telnet://:2001"), false)]))).await;
    lab.done(machine.power_on_vm_task(None)).await;
    let port = device(&lab, &machine, "Serial port 1").await;
    assert!(port.connectable.as_ref().unwrap().connected);
    let mut other = port.clone();
    other.backing.clone_from(&serial("server", "telnet://:2002").backing);
    for refused in [change(Edit, other), change(Remove, port.clone()), add(serial("server", "telnet://:2003"), false)] {
        let fault = lab.refused(machine.reconfig_vm_task(&spec(vec![refused]))).await;
        assert!(fault.is::<InvalidPowerState>(), "{fault:?}");
    }
    let mut cut = port;
    cut.connectable.as_mut().unwrap().connected = false;
    lab.done(machine.reconfig_vm_task(&spec(vec![change(Edit, cut)]))).await;
    let port = device(&lab, &machine, "Serial port 1").await;
    let link = port.connectable.as_ref().unwrap();
    assert_eq!((link.connected, link.start_connected), (false, true));
    assert_eq!(port.device_info.as_ref().unwrap().summary, "Remote telnet://:2001");
}

#[tokio::test]
async fn a_guest_that_has_locked_its_drive_is_not_robbed_of_the_image_unasked() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[("guestinfo.sim.cdrom.locked", "TRUE")]).await;
    // Any file that is there will do.
    let image = lab.get(&machine, vm::CONFIG).await.unwrap().files.vm_path_name.unwrap();
    let drive = async |file: Option<String>| {
        let mut drive = device(&lab, &machine, "CD/DVD drive 1").await;
        if let Some(file_name) = file {
            let base = VirtualDeviceFileBackingInfo { file_name, ..Default::default() };
            drive.backing = Some(Poly::new(VirtualCdromIsoBackingInfo { base }));
        }
        drive
    };
    let plugged = async || device(&lab, &machine, "CD/DVD drive 1").await.connectable.clone().unwrap().connected;
    // While the machine is off, no guest holds anything.
    let mut full = drive(Some(image)).await;
    full.connectable.as_mut().unwrap().start_connected = true;
    lab.done(machine.reconfig_vm_task(&spec(vec![change(Edit, full)]))).await;
    lab.done(machine.power_on_vm_task(None)).await;
    assert!(plugged().await);
    // Nor where the image stays.
    lab.done(machine.reconfig_vm_task(&spec(vec![change(Edit, drive(None).await)]))).await;

    for (answer, stays) in [("1", true), ("0", false)] {
        let mut empty = drive(None).await;
        empty.connectable.as_mut().unwrap().connected = false;
        let task = machine.reconfig_vm_task(&spec(vec![change(Edit, empty)])).await.unwrap();
        let question = lab.get(&machine, vm::RUNTIME).await.question.unwrap();
        assert_eq!(question.message[0].id, "msg.cdromdisconnect.locked");
        let labels: Vec<&str> = question.choice.choice_info.iter().map(|choice| choice.label.as_str()).collect();
        assert_eq!(labels, ["Yes", "No"]);
        assert!(plugged().await);
        machine.answer_vm(&question.id, answer).await.unwrap();
        let info: vsphere_model::types::TaskInfo = lab.read(&task, "info").await.unwrap().take().unwrap();
        let fault = info.error.map(|error| error.fault.type_name().to_owned());
        assert_eq!(fault, stays.then(|| "GenericVmConfigFault".to_owned()), "{answer}");
        assert_eq!(plugged().await, stays, "{answer}");
        assert!(lab.get(&machine, vm::RUNTIME).await.question.is_none());
    }
}
