//! Plans: what was measured is carried out on the very object that was seen, or refused as `changed`.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::time::Duration;

use vsphere_ops::disk::{Files, NewDisk};
use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::nic::NewNic;
use vsphere_ops::power::PowerOperation;
use vsphere_ops::serial::{NewSerialPort, Protocol};
use vsphere_ops::snapshot::{Doomed, NewSnapshot};
use vsphere_ops::types::VirtualMachinePowerState::{PoweredOff, PoweredOn};
use vsphere_ops::vm::Changes;
use vsphere_ops::{Client, Config, Error, Mo};
use vsphere_sim::{Model, Sim, Trouble};

async fn demo() -> (Sim, Client) {
    of(Model::demo()).await
}

async fn of(model: Model) -> (Sim, Client) {
    let sim = Sim::start(model).await.unwrap();
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
    (sim, client)
}

/// A VM that is off and has a second disk, an adapter more, a serial port and no snapshot.
async fn spare(client: &Client) -> Mo<VirtualMachine> {
    let spare: Mo<VirtualMachine> = client.get("web-04").await.unwrap();
    assert_eq!(spare.read(vm::POWER_STATE).await.unwrap(), PoweredOff);
    spare.add_disk(&NewDisk::of_bytes(1 << 30)).await.unwrap();
    let network = spare.network("prod-web").await.unwrap();
    spare.add_nic(&NewNic::of(&network)).await.unwrap();
    spare.serial_setup(None, &NewSerialPort::server(Protocol::Telnet)).await.unwrap().carry_out().await.unwrap();
    spare
}

/// Changes something that no plan is about.
async fn annotate(vm: &Mo<VirtualMachine>, note: &str) {
    let changes = Changes { annotation: Some(note.to_owned()), ..Default::default() };
    assert!(vm.reconfiguration(&changes).await.unwrap().carry_out().await.unwrap().changed);
}

fn is_changed(error: &Error) -> bool {
    assert_eq!(error.target(), Some("web-04"), "{error}");
    error.code() == "changed" && error.to_string().contains("so nothing was done")
}

#[tokio::test]
async fn a_disk_plan_is_refused_by_the_change_version_after_any_change_of_the_vm() {
    let (sim, client) = demo().await;
    let vm = spare(&client).await;
    let disks = vm.list_disks(&Default::default()).await.unwrap().items;
    let disk = vm.disk(&disks.last().unwrap().label).await.unwrap();
    let removal = disk.removal(Files::Deleted).await.unwrap();
    let resizing = disk.resizing(2 << 30).await.unwrap();
    assert_eq!(removal.change_version(), disk.change_version());
    annotate(&vm, "one").await;
    let before = sim.calls("ReconfigVM_Task");
    assert!(is_changed(&removal.carry_out().await.unwrap_err()));
    assert!(is_changed(&resizing.carry_out().await.unwrap_err()));
    // The server was asked once for each, and had the version to refuse it by.
    assert_eq!(sim.calls("ReconfigVM_Task"), before + 2);
    assert_eq!(vm.list_disks(&Default::default()).await.unwrap().items, disks);

    let removed = vm.disk(&disk.label).await.unwrap().removal(Files::Kept).await.unwrap().carry_out().await.unwrap();
    assert_eq!((removed.changed, removed.file_deleted), (true, Some(false)));
    assert_eq!(vm.list_disks(&Default::default()).await.unwrap().total, disks.len() - 1);
}

#[tokio::test]
async fn a_disk_in_the_place_of_another_is_not_the_one_that_was_seen() {
    let (_sim, client) = demo().await;
    let vm = spare(&client).await;
    let disk = vm.disk("Hard disk 2").await.unwrap();
    let nvme = vm.datastore("nvme-01").await.unwrap();
    let (removal, relocation) = (disk.removal(Files::Deleted).await.unwrap(), disk.relocation(&nvme).await.unwrap());
    disk.removal(Files::Kept).await.unwrap().carry_out().await.unwrap();
    vm.add_disk(&NewDisk::of_bytes(1 << 30)).await.unwrap();
    let other = vm.disk("Hard disk 2").await.unwrap();
    assert_eq!((other.key(), &other.label), (disk.key(), &disk.label));
    assert!(is_changed(&removal.carry_out().await.unwrap_err()));
    assert!(is_changed(&relocation.carry_out().await.unwrap_err()));
    assert_eq!(vm.disk("Hard disk 2").await.unwrap().file, other.file);
}

#[tokio::test]
async fn an_adapter_plan_is_refused_by_the_change_version_after_any_change_of_the_vm() {
    let (_sim, client) = demo().await;
    let vm = spare(&client).await;
    let nics = vm.list_nics(&Default::default()).await.unwrap().items;
    let nic = vm.nic(&nics[0].label).await.unwrap();
    let network = vm.network("prod-db").await.unwrap();
    let plans = [nic.removal(), nic.disconnection(), nic.plugging(&network).await.unwrap()];
    let mac = nic.mac_change("00:50:56:01:02:03".parse().unwrap()).await.unwrap();
    annotate(&vm, "one").await;
    for plan in plans {
        assert!(is_changed(&plan.carry_out().await.unwrap_err()));
    }
    assert!(is_changed(&mac.carry_out().await.unwrap_err()));
    assert_eq!(vm.list_nics(&Default::default()).await.unwrap().items, nics);
}

#[tokio::test]
async fn a_serial_port_plan_is_refused_by_the_change_version_after_any_change_of_the_vm() {
    let (_sim, client) = demo().await;
    let vm = spare(&client).await;
    let new = NewSerialPort { port: Some(2999), ..NewSerialPort::server(Protocol::Tcp) };
    let plans = [
        vm.serial_setup(None, &new).await.unwrap(),
        vm.serial_removal(None).await.unwrap(),
        vm.serial_disconnection(None).await.unwrap(),
    ];
    let ports = vm.serial_ports().await.unwrap().serial_ports;
    annotate(&vm, "one").await;
    for plan in plans {
        assert!(is_changed(&plan.carry_out().await.unwrap_err()));
    }
    assert_eq!(vm.serial_ports().await.unwrap().serial_ports, ports);
}

#[tokio::test]
async fn a_snapshot_plan_is_refused_when_the_vm_has_changed_and_before_the_server_is_asked() {
    let (sim, client) = demo().await;
    let vm = spare(&client).await;
    vm.take_snapshot(&NewSnapshot::new("base")).await.unwrap();
    vm.take_snapshot(&NewSnapshot::new("late")).await.unwrap();
    let plan = async |doomed| vm.snapshot_deletion(doomed).await.unwrap();
    let deletions =
        [plan(Doomed::One("base")).await, plan(Doomed::WithChildren("base")).await, plan(Doomed::All).await];
    let reversions = [vm.reversion(Some("base")).await.unwrap(), vm.reversion(None).await.unwrap()];
    vm.take_snapshot(&NewSnapshot::new("later")).await.unwrap();
    for plan in deletions {
        assert!(is_changed(&plan.carry_out().await.unwrap_err()));
    }
    for plan in reversions {
        assert!(is_changed(&plan.carry_out().await.unwrap_err()));
    }
    for method in ["RemoveSnapshot_Task", "RemoveAllSnapshots_Task", "RevertToSnapshot_Task"] {
        assert_eq!(sim.calls(method), 0, "{method}");
    }
    assert_eq!(vm.list_snapshots(&Default::default()).await.unwrap().total, 3);
    let deletion = plan(Doomed::WithChildren("base")).await;
    let names: Vec<&str> = deletion.snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect();
    assert_eq!(names, ["base", "late", "later"]);
    assert_eq!(deletion.carry_out().await.unwrap().remaining, 0);
}

#[tokio::test]
async fn a_snapshot_is_known_by_its_id_whatever_it_is_called_now() {
    let (_sim, client) = demo().await;
    let vm = spare(&client).await;
    let (a, b) = (
        vm.take_snapshot(&NewSnapshot::new("a")).await.unwrap().snapshot,
        vm.take_snapshot(&NewSnapshot::new("b")).await.unwrap().snapshot,
    );
    let renaming = vm.snapshot_renaming("b", Some("release"), None).await.unwrap();
    for (id, name) in [(&a.id, "b"), (&b.id, "a")] {
        vm.snapshot_renaming(id, Some(name), None).await.unwrap().carry_out().await.unwrap();
    }
    let renamed = renaming.carry_out().await.unwrap().snapshot;
    assert_eq!((renamed.id, renamed.name.as_str()), (b.id, "release"));
}

#[tokio::test]
async fn a_deletion_is_refused_when_the_vm_has_changed_and_before_the_server_is_asked() {
    let (sim, client) = demo().await;
    let vm = spare(&client).await;
    let plan = async || vm.deletion().await.unwrap();
    let deletion = plan().await;
    annotate(&vm, "DO NOT DELETE").await;
    assert!(is_changed(&deletion.carry_out().await.unwrap_err()));
    let deletion = plan().await;
    vm.take_snapshot(&NewSnapshot::new("late")).await.unwrap();
    assert!(is_changed(&deletion.carry_out().await.unwrap_err()));
    let deletion = plan().await;
    assert_eq!((deletion.snapshots.len(), &deletion.power_state), (1, &PoweredOff));
    vm.power(PowerOperation::On).await.unwrap();
    let error = deletion.carry_out().await.unwrap_err();
    assert!(error.is_fault("InvalidPowerState"), "{error}");
    assert_eq!(vm.read(vm::POWER_STATE).await.unwrap(), PoweredOn);

    let deleted = plan().await.carry_out().await.unwrap();
    assert!(deleted.powered_off && deleted.path.ends_with("/web-04"), "{deleted:?}");
    assert!(client.get::<VirtualMachine>("web-04").await.unwrap_err().is_not_found());
    assert!(sim.calls("Destroy_Task") >= 1);
}

/// The plan's own version is sent again, and the label is not looked up again.
#[tokio::test]
async fn a_busy_vm_is_tried_again_with_the_version_that_was_seen() {
    let (sim, client) = demo().await;
    let vm = spare(&client).await;
    let removal = vm.nic("Network adapter 2").await.unwrap().removal();
    sim.trouble(Trouble::none().fail("ReconfigVM_Task", "TaskInProgress", 2));
    let reads = sim.calls("RetrievePropertiesEx");
    assert!(removal.carry_out().await.unwrap().changed);
    assert!(sim.calls("ReconfigVM_Task") >= 3);
    // Nothing but the end is read: what the VM is like now.
    assert!(sim.calls("RetrievePropertiesEx") - reads <= 2, "{}", sim.calls("RetrievePropertiesEx") - reads);
}

/// Of another client's change that was refused with `ConcurrentAccess` for the same reason nothing is known: the VM is
/// looked at, and tried again as long as it is as it was seen.
#[tokio::test]
async fn concurrent_access_to_a_vm_that_has_not_changed_is_tried_again() {
    let (sim, client) = demo().await;
    let vm = spare(&client).await;
    let removal = vm.nic("Network adapter 2").await.unwrap().removal();
    sim.trouble(Trouble::none().fail("ReconfigVM_Task", "ConcurrentAccess", 1));
    assert!(removal.carry_out().await.unwrap().changed);

    let resizing = vm.disk("Hard disk 2").await.unwrap().resizing(2 << 30).await.unwrap();
    annotate(&vm, "one").await;
    sim.trouble(Trouble::none().fail("ReconfigVM_Task", "ConcurrentAccess", 1));
    assert!(is_changed(&resizing.carry_out().await.unwrap_err()));
}

#[tokio::test]
async fn several_vms_are_found_once_and_those_that_are_not_found_have_their_report() {
    let (_sim, client) = demo().await;
    let web: Mo<VirtualMachine> = client.get("web-01").await.unwrap();
    let names = ["web-01".to_owned(), "nobody".to_owned(), web.id().to_owned(), "web-02".to_owned()];
    let vms = client.vms(&names).await;
    assert_eq!((vms.len(), vms.found().count()), (3, 2));
    let running: Vec<String> = vms.running().await.unwrap().into_iter().map(|vm| vm.name).collect();
    assert_eq!(running, ["web-01", "web-02"]);
    // They change their names meanwhile, and are the same VMs.
    web.rename_to("web-tmp").await.unwrap();
    client.get::<VirtualMachine>("web-03").await.unwrap().rename_to("web-01").await.unwrap();
    let reports = vms.each(|vm| async move { vm.power(PowerOperation::Off).await }).await;
    let outcomes: Vec<_> = reports.iter().map(|report| (report.vm.as_str(), report.outcome.is_ok())).collect();
    assert_eq!(outcomes, [("web-01", true), ("nobody", false), ("web-02", true)]);
    assert!(reports[1].outcome.as_ref().unwrap_err().is_not_found() && reports[1].id.is_none());
    assert_eq!(web.read(vm::POWER_STATE).await.unwrap(), PoweredOff);
    let other: Mo<VirtualMachine> = client.get("web-01").await.unwrap();
    assert_eq!(other.read(vm::POWER_STATE).await.unwrap(), PoweredOn);
}

#[tokio::test]
async fn sizes_are_checked_before_the_server_is_asked() {
    let (_sim, client) = demo().await;
    let vm = spare(&client).await;
    let disk = vm.disk("Hard disk 2").await.unwrap();
    for wrong in [0, -1, (1 << 30) + 1, 63 << 40] {
        assert_eq!(disk.resizing(wrong).await.unwrap_err().code(), "invalid_argument", "{wrong}");
        assert_eq!(vm.add_disk(&NewDisk::of_bytes(wrong)).await.unwrap_err().code(), "invalid_argument", "{wrong}");
    }
    let error = disk.resizing(1 << 29).await.unwrap_err();
    assert!(error.to_string().contains("can't shrink"), "{error}");
    let same = disk.resizing(1 << 30).await.unwrap().carry_out().await.unwrap();
    assert!(!same.changed);
}

#[tokio::test]
async fn a_guest_that_does_not_go_down_is_pending() {
    let (_sim, client) = of(Model::demo().pace(1.0)).await;
    let web: Mo<VirtualMachine> = client.get("web-01").await.unwrap();
    let asked = web.shut_down_guest(Duration::ZERO).await.unwrap();
    assert_eq!((asked.power_state, asked.changed, asked.pending), (PoweredOn, true, true));
}
