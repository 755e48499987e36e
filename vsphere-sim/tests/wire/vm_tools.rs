//! Tools, guest facts, hardware versions, consoles and questions of machines.

use crate::support::Lab;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::VirtualMachinePowerState::{PoweredOff, PoweredOn};
use vsphere_model::types::{
    AlreadyUpgraded, GenericVmConfigFault, InvalidPowerState, ManagedEntityStatus, NotSupported, ToolsUnavailable,
    UsbScanCodeSpec, UsbScanCodeSpecKeyEvent, VirtualCdrom, VirtualCdromIsoBackingInfo, VirtualDisk,
    VirtualEthernetCard, VirtualMachineCloneSpec, VirtualMachineToolsStatus,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::request::ManagedObject as _;

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

#[tokio::test]
async fn a_guest_tells_its_facts_while_it_runs() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[("guestinfo.sim.hostname", "web-1.example.org")]).await;
    let other = lab.machine_with_tools("web-2").await;
    for machine in [&machine, &other] {
        lab.task(machine.power_on_vm_task(None)).await.unwrap();
    }
    let guest = lab.get(&machine, vm::GUEST).await.unwrap();
    assert_eq!(guest.tools_status, Some(VirtualMachineToolsStatus::ToolsOk));
    assert_eq!(guest.tools_version_status2.as_deref(), Some("guestToolsCurrent"));
    assert_eq!(guest.tools_running_status.as_deref(), Some("guestToolsRunning"));
    assert_eq!(guest.host_name.as_deref(), Some("web-1.example.org"));
    assert_eq!((guest.guest_family.as_deref(), guest.guest_state.as_str()), (Some("linuxGuest"), "running"));
    assert_eq!((guest.guest_id.as_deref(), guest.guest_operations_ready), (Some("ubuntu64Guest"), Some(true)));
    assert_eq!(lab.get(&machine, vm::GUEST_HEARTBEAT_STATUS).await, ManagedEntityStatus::Green);
    let devices = lab.get(&machine, vm::CONFIG).await.unwrap().hardware.device;
    let card = devices.iter().find_map(|device| device.downcast_ref::<VirtualEthernetCard>()).unwrap();
    let disk = devices.iter().find_map(|device| device.downcast_ref::<VirtualDisk>()).unwrap();
    let nic = &guest.net[0];
    assert_eq!((nic.device_config_id, &nic.mac_address), (card.key, &card.mac_address));
    assert_eq!((nic.network.as_deref(), nic.connected), (Some("VM Network"), true));
    assert_eq!(guest.ip_address.as_ref(), nic.ip_address.first());
    let configured = &nic.ip_config.as_ref().unwrap().ip_address;
    assert_eq!(
        configured.iter().map(|address| &address.ip_address).collect::<Vec<_>>(),
        nic.ip_address.iter().collect::<Vec<_>>()
    );
    assert!(nic.ip_address[1].starts_with("fe80::"));
    assert_eq!(guest.ip_stack[0].dns_config.as_ref().unwrap().domain_name, "example.org");
    assert_eq!(guest.disk[0].mappings[0].key, disk.key);
    assert!(guest.disk[0].free_space < guest.disk[0].capacity);
    let address = guest.ip_address;
    assert_ne!(lab.get(&other, vm::GUEST).await.unwrap().ip_address, address);

    lab.task(machine.power_off_vm_task()).await.unwrap();
    let guest = lab.get(&machine, vm::GUEST).await.unwrap();
    assert_eq!((&guest.ip_address, guest.net.len(), guest.guest_state.as_str()), (&None, 0, "notRunning"));
    assert_eq!(guest.tools_status, Some(VirtualMachineToolsStatus::ToolsNotRunning));
    assert_eq!(lab.get(&machine, vm::GUEST_HEARTBEAT_STATUS).await, ManagedEntityStatus::Gray);
    // A guest comes back with the address that it had.
    lab.task(machine.power_on_vm_task(None)).await.unwrap();
    assert_eq!(lab.get(&machine, vm::GUEST).await.unwrap().ip_address, address);
}

#[tokio::test]
async fn a_machine_without_a_system_has_no_tools() {
    let lab = lab().await;
    let machine = lab.machine("blank", &[]).await;
    lab.task(machine.power_on_vm_task(None)).await.unwrap();
    let guest = lab.get(&machine, vm::GUEST).await.unwrap();
    assert_eq!(guest.tools_status, Some(VirtualMachineToolsStatus::ToolsNotInstalled));
    assert_eq!((guest.host_name, guest.ip_address), (None, None));
    let task = lab.task(machine.upgrade_tools_task(None)).await.unwrap();
    assert!(task.error.unwrap().fault.is::<ToolsUnavailable>());
}

#[tokio::test]
async fn old_tools_are_upgraded_and_those_of_a_distribution_are_not() {
    let lab = lab().await;
    let machine = lab.machine("old", &[("guestinfo.sim.hostname", "old"), ("guestinfo.sim.tools", "old")]).await;
    lab.task(machine.power_on_vm_task(None)).await.unwrap();
    let before = lab.get(&machine, vm::GUEST).await.unwrap();
    assert_eq!(before.tools_status, Some(VirtualMachineToolsStatus::ToolsOld));
    assert_eq!(before.tools_version_status.as_deref(), Some("guestToolsNeedUpgrade"));
    assert_eq!(lab.task(machine.upgrade_tools_task(None)).await.unwrap().error, None);
    let after = lab.get(&machine, vm::GUEST).await.unwrap();
    assert_eq!(after.tools_status, Some(VirtualMachineToolsStatus::ToolsOk));
    assert_ne!(after.tools_version, before.tools_version);
    let config = lab.get(&machine, vm::CONFIG).await.unwrap().tools.unwrap();
    assert_eq!(config.tools_version.map(|version| version.to_string()), after.tools_version);

    let open = lab.machine("open", &[("guestinfo.sim.hostname", "open"), ("guestinfo.sim.tools", "open")]).await;
    lab.task(open.power_on_vm_task(None)).await.unwrap();
    let guest = lab.get(&open, vm::GUEST).await.unwrap();
    assert_eq!(guest.tools_version_status2.as_deref(), Some("guestToolsUnmanaged"));
    let task = lab.task(open.upgrade_tools_task(None)).await.unwrap();
    assert!(task.error.unwrap().fault.is::<NotSupported>());
}

#[tokio::test]
async fn the_tools_installer_is_put_in_the_drive_and_taken_out() {
    let lab = lab().await;
    let machine = lab.machine_with_tools("web-1").await;
    let error = machine.mount_tools_installer().await.unwrap_err();
    assert!(error.fault().unwrap().is_named("InvalidPowerState"), "{error}");
    lab.task(machine.power_on_vm_task(None)).await.unwrap();
    machine.mount_tools_installer().await.unwrap();
    assert!(lab.get(&machine, vm::RUNTIME).await.tools_installer_mounted);
    let inserted = async || {
        let devices = lab.get(&machine, vm::CONFIG).await.unwrap().hardware.device;
        let drive = devices.iter().find_map(|device| device.downcast_ref::<VirtualCdrom>()).unwrap();
        let backing = drive.backing.as_ref().unwrap();
        backing.downcast_ref::<VirtualCdromIsoBackingInfo>().map(|image| image.file_name.clone())
    };
    assert!(inserted().await.unwrap().ends_with("linux.iso"));
    machine.unmount_tools_installer().await.unwrap();
    assert!(!lab.get(&machine, vm::RUNTIME).await.tools_installer_mounted);
    assert_eq!(inserted().await, None);
}

#[tokio::test]
async fn the_virtual_hardware_is_upgraded_once_and_while_the_machine_is_off() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine_of(&site, "web-1", &[], |spec| spec.version = Some("vmx-15".to_owned())).await;
    assert_eq!(lab.task(machine.upgrade_vm_task(Some("vmx-19"))).await.unwrap().error, None);
    assert_eq!(lab.get(&machine, vm::CONFIG).await.unwrap().version, "vmx-19");
    let task = lab.task(machine.upgrade_vm_task(Some("vmx-17"))).await.unwrap();
    assert!(task.error.unwrap().fault.is::<AlreadyUpgraded>());
    lab.task(machine.power_on_vm_task(None)).await.unwrap();
    let task = lab.task(machine.upgrade_vm_task(None)).await.unwrap();
    assert!(task.error.unwrap().fault.is::<InvalidPowerState>());
    lab.task(machine.power_off_vm_task()).await.unwrap();
    assert_eq!(lab.task(machine.upgrade_vm_task(None)).await.unwrap().error, None);
    assert_eq!(lab.get(&machine, vm::CONFIG).await.unwrap().version, "vmx-22");
    let error = machine.upgrade_vm_task(Some("vmx-99")).await.unwrap_err();
    assert!(error.fault().unwrap().is_named("NotSupported"), "{error}");
}

#[tokio::test]
async fn a_running_machine_gives_tickets_and_takes_keys() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    let error = machine.acquire_ticket("webmks").await.unwrap_err();
    assert!(error.fault().unwrap().is_named("InvalidPowerState"), "{error}");
    lab.task(machine.power_on_vm_task(None)).await.unwrap();
    let ticket = machine.acquire_ticket("webmks").await.unwrap();
    let host = ticket.host.unwrap();
    assert_eq!(ticket.url, Some(format!("wss://{host}:443/ticket/{}", ticket.ticket)));
    assert!(ticket.cfg_file.starts_with("/vmfs/volumes/") && ticket.cfg_file.ends_with("/web-1/web-1.vmx"));
    let mks = machine.acquire_mks_ticket().await.unwrap();
    assert_eq!((mks.host, mks.port), (Some(host), Some(902)));
    assert_ne!(mks.ticket, ticket.ticket);
    let error = machine.acquire_ticket("cinema").await.unwrap_err();
    assert!(error.fault().unwrap().is_named("InvalidArgument"), "{error}");
    let key = UsbScanCodeSpecKeyEvent { usb_hid_code: 1_376_263, ..Default::default() };
    let keys = UsbScanCodeSpec { key_events: vec![key.clone(), key] };
    assert_eq!(machine.put_usb_scan_codes(&keys).await.unwrap(), 2);
    machine.send_nmi().await.unwrap();
}

#[tokio::test]
async fn a_machine_whose_files_have_moved_asks_before_it_starts() {
    let lab = lab().await;
    let moved = [("uuid.location", "56 4d 00 00 00 00 00 00-00 00 00 00 00 00 00 00")];
    let machine = lab.machine("web-1", &moved).await;
    let uuid = lab.get(&machine, vm::CONFIG).await.unwrap().uuid;
    let task = machine.power_on_vm_task(None).await.unwrap();
    let runtime = lab.get(&machine, vm::RUNTIME).await;
    assert_eq!(runtime.power_state, PoweredOff);
    let question = runtime.question.unwrap();
    let labels: Vec<&str> = question.choice.choice_info.iter().map(|choice| choice.label.as_str()).collect();
    assert_eq!(labels, ["Cancel", "I Moved It", "I Copied It"]);
    let error = machine.answer_vm("1", "1").await.unwrap_err();
    assert!(error.fault().unwrap().is_named("InvalidArgument"), "{error}");
    assert!(machine.answer_vm(&question.id, "7").await.unwrap_err().fault().unwrap().is_named("InvalidArgument"));
    // Cancelled: the task fails, and the question comes again.
    machine.answer_vm(&question.id, "0").await.unwrap();
    let info: vsphere_model::types::TaskInfo = lab.read(&task, "info").await.unwrap().take().unwrap();
    assert!(info.error.unwrap().fault.is::<GenericVmConfigFault>());
    let task = machine.power_on_vm_task(None).await.unwrap();
    let question = lab.get(&machine, vm::RUNTIME).await.question.unwrap();
    machine.answer_vm(&question.id, "2").await.unwrap();
    let info: vsphere_model::types::TaskInfo = lab.read(&task, "info").await.unwrap().take().unwrap();
    assert_eq!(info.error, None);
    let runtime = lab.get(&machine, vm::RUNTIME).await;
    assert_eq!((runtime.power_state, runtime.question), (PoweredOn, None));
    assert_ne!(lab.get(&machine, vm::CONFIG).await.unwrap().uuid, uuid);
    // It knows its place now.
    lab.task(machine.power_off_vm_task()).await.unwrap();
    assert_eq!(lab.task(machine.power_on_vm_task(None)).await.unwrap().error, None);
}

#[tokio::test]
async fn a_clone_has_the_system_of_its_source_under_another_name_and_address() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine_with_tools("web-1").await;
    lab.task(machine.power_on_vm_task(None)).await.unwrap();
    let spec = VirtualMachineCloneSpec { power_on: true, ..Default::default() };
    let task = lab.task(machine.clone_vm_task(site.folder.handle().reference(), "web-2", &spec)).await.unwrap();
    let clone: VirtualMachine = lab.object(&task.result.unwrap().take().unwrap());
    let (guest, source) = (lab.get(&clone, vm::GUEST).await.unwrap(), lab.get(&machine, vm::GUEST).await.unwrap());
    assert_eq!(guest.tools_status, Some(VirtualMachineToolsStatus::ToolsOk));
    assert_ne!((&guest.host_name, &guest.ip_address), (&source.host_name, &source.ip_address));
    assert!(guest.ip_address.is_some());
}
