//! Snapshots of machines: the tree, the disks' files, the way back.

use crate::support::Lab;
use crate::support::machine::{add, disk};
use vsphere_model::managed::{VirtualMachine, VirtualMachineSnapshot, virtual_machine as vm, virtual_machine_snapshot};
use vsphere_model::types::VirtualMachinePowerState::{PoweredOff, PoweredOn, Suspended};
use vsphere_model::types::{
    ApplicationQuiesceFault, ManagedObjectReference, MemorySnapshotOnIndependentDisk, MethodFault, NotFound, Poly,
    SnapshotDisabled, TooManySnapshotLevels, VirtualDisk, VirtualDiskFlatVer2BackingInfo, VirtualMachineConfigInfo,
    VirtualMachineConfigSpec, VirtualMachineSnapshotTree,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::request::{ManagedObject as _, Request};

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

async fn success(lab: &Lab, request: Request<ManagedObjectReference>) {
    assert_eq!(lab.task(request).await.unwrap().error, None);
}

async fn failure(lab: &Lab, request: Request<ManagedObjectReference>) -> Poly<MethodFault> {
    lab.task(request).await.unwrap().error.unwrap().fault
}

async fn snapshot(lab: &Lab, machine: &VirtualMachine, name: &str, memory: bool) -> VirtualMachineSnapshot {
    let task = lab.task(machine.create_snapshot_task(name, Some("why"), memory, false)).await.unwrap();
    assert_eq!(task.error, None);
    lab.object(&task.result.unwrap().take::<ManagedObjectReference>().unwrap())
}

/// The tree in one line, with `*` after the current snapshot: `a(b*,c)`.
async fn tree(lab: &Lab, machine: &VirtualMachine) -> String {
    fn line(trees: &[VirtualMachineSnapshotTree], current: Option<&ManagedObjectReference>) -> String {
        let node = |tree: &VirtualMachineSnapshotTree| {
            let mark = if current == Some(&tree.snapshot) { "*" } else { "" };
            let children = line(&tree.child_snapshot_list, current);
            let children = if children.is_empty() { children } else { format!("({children})") };
            format!("{}{mark}{children}", tree.name)
        };
        trees.iter().map(node).collect::<Vec<_>>().join(",")
    }
    let Some(info) = lab.get(machine, vm::SNAPSHOT).await else { return String::new() };
    line(&info.root_snapshot_list, info.current_snapshot.as_ref())
}

/// The files of the first disk without their folder, the one that is written to first.
fn chain(config: &VirtualMachineConfigInfo) -> Vec<String> {
    let disk = config.hardware.device.iter().find_map(|device| device.downcast_ref::<VirtualDisk>()).unwrap();
    let leaf: Option<&VirtualDiskFlatVer2BackingInfo> = disk.backing.as_ref().unwrap().downcast_ref();
    std::iter::successors(leaf, |layer| layer.parent.as_deref())
        .map(|layer| layer.file_name.rsplit_once('/').unwrap().1.to_owned())
        .collect()
}

async fn chain_of(lab: &Lab, machine: &VirtualMachine) -> Vec<String> {
    chain(&lab.get(machine, vm::CONFIG).await.unwrap())
}

#[tokio::test]
async fn snapshots_are_a_tree_with_ids_and_times() {
    let lab = lab().await;
    let machine = lab.machine("web", &[]).await;
    assert_eq!(tree(&lab, &machine).await, "");
    let a = snapshot(&lab, &machine, "a", true).await;
    snapshot(&lab, &machine, "b", true).await;
    success(&lab, a.revert_to_snapshot_task(None, None)).await;
    let c = snapshot(&lab, &machine, "c", true).await;
    assert_eq!(tree(&lab, &machine).await, "a(b,c*)");
    let info = lab.get(&machine, vm::SNAPSHOT).await.unwrap();
    let root = &info.root_snapshot_list[0];
    assert_eq!((root.id, root.description.as_str(), &root.state, root.quiesced), (Some(1), "why", &PoweredOff, false));
    assert_eq!(root.child_snapshot_list[1].id, Some(3));
    assert_eq!(info.current_snapshot.as_ref(), Some(c.handle().reference()));
    let children = lab.get(&a, virtual_machine_snapshot::CHILD_SNAPSHOT).await;
    let in_tree: Vec<_> = root.child_snapshot_list.iter().map(|child| child.snapshot.clone()).collect();
    assert_eq!(children, in_tree);
    assert_eq!(lab.get(&a, virtual_machine_snapshot::VM).await.as_ref(), Some(machine.handle().reference()));
    assert_eq!(lab.get(&machine, vm::ROOT_SNAPSHOT).await, [a.handle().reference().clone()]);

    a.rename_snapshot(Some("first"), None).await.unwrap();
    c.rename_snapshot(None, Some("third")).await.unwrap();
    // Two may have the same name.
    snapshot(&lab, &machine, "first", false).await;
    assert_eq!(tree(&lab, &machine).await, "first(b,c(first*))");
    let root = &lab.get(&machine, vm::SNAPSHOT).await.unwrap().root_snapshot_list[0];
    assert_eq!((root.description.as_str(), root.child_snapshot_list[1].description.as_str()), ("why", "third"));
    let error = a.rename_snapshot(Some(""), None).await.unwrap_err();
    assert!(error.fault().unwrap().is_named("InvalidName"), "{error}");
}

#[tokio::test]
async fn the_disks_grow_by_a_file_each_time_and_are_folded_when_a_snapshot_goes() {
    let lab = lab().await;
    let machine = lab.machine("web", &[]).await;
    assert_eq!(chain_of(&lab, &machine).await, ["web.vmdk"]);
    let a = snapshot(&lab, &machine, "a", false).await;
    let b = snapshot(&lab, &machine, "b", false).await;
    assert_eq!(chain_of(&lab, &machine).await, ["web-000002.vmdk", "web-000001.vmdk", "web.vmdk"]);
    let kept = lab.get(&b, virtual_machine_snapshot::CONFIG).await;
    assert_eq!(chain(&kept), ["web-000001.vmdk", "web.vmdk"]);
    // What is written to is a new file after a way back, and the one before is gone.
    success(&lab, machine.revert_to_current_snapshot_task(None, None)).await;
    assert_eq!(chain_of(&lab, &machine).await, ["web-000003.vmdk", "web-000001.vmdk", "web.vmdk"]);
    success(&lab, a.remove_snapshot_task(false, None)).await;
    assert_eq!(tree(&lab, &machine).await, "b*");
    assert_eq!(chain_of(&lab, &machine).await, ["web-000003.vmdk", "web.vmdk"]);
    assert_eq!(chain(&lab.get(&b, virtual_machine_snapshot::CONFIG).await), ["web.vmdk"]);
    let error = a.remove_snapshot_task(false, None).await.unwrap_err();
    assert!(error.fault().unwrap().is_named("ManagedObjectNotFound"), "{error}");
    success(&lab, b.remove_snapshot_task(false, None)).await;
    assert_eq!((tree(&lab, &machine).await, chain_of(&lab, &machine).await), (String::new(), vec!["web.vmdk".into()]));
}

#[tokio::test]
async fn a_removal_without_consolidation_leaves_it_to_be_done() {
    let lab = lab().await;
    let machine = lab.machine("web", &[]).await;
    let a = snapshot(&lab, &machine, "a", false).await;
    success(&lab, a.remove_snapshot_task(false, Some(false))).await;
    assert_eq!(chain_of(&lab, &machine).await, ["web-000001.vmdk", "web.vmdk"]);
    assert_eq!(lab.get(&machine, vm::RUNTIME).await.consolidation_needed, Some(true));
    success(&lab, machine.consolidate_vm_disks_task()).await;
    assert_eq!(chain_of(&lab, &machine).await, ["web.vmdk"]);
    assert_eq!(lab.get(&machine, vm::RUNTIME).await.consolidation_needed, Some(false));
}

#[tokio::test]
async fn children_go_with_a_snapshot_or_to_its_parent() {
    let lab = lab().await;
    let machine = lab.machine("web", &[]).await;
    let mut made = Vec::new();
    for name in ["a", "b", "c", "d"] {
        made.push(snapshot(&lab, &machine, name, false).await);
    }
    success(&lab, made[1].remove_snapshot_task(false, None)).await;
    assert_eq!(tree(&lab, &machine).await, "a(c(d*))");
    success(&lab, made[3].remove_snapshot_task(false, None)).await;
    assert_eq!(tree(&lab, &machine).await, "a(c*)");
    snapshot(&lab, &machine, "e", false).await;
    success(&lab, made[2].remove_snapshot_task(true, None)).await;
    assert_eq!(tree(&lab, &machine).await, "a*");
    snapshot(&lab, &machine, "f", false).await;
    success(&lab, machine.remove_all_snapshots_task(None, None)).await;
    assert_eq!((tree(&lab, &machine).await, chain_of(&lab, &machine).await), (String::new(), vec!["web.vmdk".into()]));
    success(&lab, machine.remove_all_snapshots_task(None, None)).await;
    let fault = failure(&lab, machine.revert_to_current_snapshot_task(None, None)).await;
    assert!(fault.is::<NotFound>());
}

#[tokio::test]
async fn the_way_back_leads_to_the_power_state_that_the_snapshot_kept() {
    let lab = lab().await;
    let machine = lab.machine_with_tools("web").await;
    success(&lab, machine.power_on_vm_task(None)).await;
    let with_memory = snapshot(&lab, &machine, "memory", true).await;
    let without = snapshot(&lab, &machine, "disks", false).await;
    let info = lab.get(&machine, vm::SNAPSHOT).await.unwrap();
    assert_eq!(info.root_snapshot_list[0].state, PoweredOn);
    assert_eq!(info.root_snapshot_list[0].child_snapshot_list[0].state, PoweredOff);
    let state = async || lab.get(&machine, vm::RUNTIME).await.power_state;

    success(&lab, without.revert_to_snapshot_task(None, None)).await;
    assert_eq!(state().await, PoweredOff);
    success(&lab, with_memory.revert_to_snapshot_task(None, None)).await;
    assert_eq!(state().await, PoweredOn);
    assert!(lab.get(&machine, vm::GUEST).await.unwrap().ip_address.is_some());
    success(&lab, with_memory.revert_to_snapshot_task(None, Some(true))).await;
    assert_eq!(state().await, PoweredOff);
    success(&lab, machine.power_on_vm_task(None)).await;
    success(&lab, machine.suspend_vm_task()).await;
    let asleep = snapshot(&lab, &machine, "asleep", true).await;
    success(&lab, machine.power_on_vm_task(None)).await;
    success(&lab, asleep.revert_to_snapshot_task(None, None)).await;
    assert_eq!(state().await, Suspended);
}

#[tokio::test]
async fn the_way_back_restores_the_hardware() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine_of(&site, "web", &[], |spec| spec.version = Some("vmx-15".to_owned())).await;
    let a = snapshot(&lab, &machine, "a", false).await;
    success(&lab, machine.upgrade_vm_task(Some("vmx-19"))).await;
    let uuid = lab.get(&machine, vm::CONFIG).await.unwrap().uuid;
    assert_eq!(lab.get(&a, virtual_machine_snapshot::CONFIG).await.version, "vmx-15");
    success(&lab, a.revert_to_snapshot_task(None, None)).await;
    let config = lab.get(&machine, vm::CONFIG).await.unwrap();
    assert_eq!((config.version.as_str(), config.uuid), ("vmx-15", uuid));
}

/// The names and sizes of all files of a machine, by its layout.
async fn files(lab: &Lab, machine: &VirtualMachine) -> Vec<(String, i64)> {
    let layout = lab.get(machine, vm::LAYOUT_EX).await.unwrap();
    let name = |path: &str| path.rsplit_once('/').unwrap().1.to_owned();
    let mut files: Vec<_> = layout.file.iter().map(|file| (name(&file.name), file.size)).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_snapshot_has_files_that_go_with_it() {
    let lab = lab().await;
    let machine = lab.machine("web", &[]).await;
    success(&lab, machine.power_on_vm_task(None)).await;
    let before = files(&lab, &machine).await;
    assert!(before.contains(&("web.vswp".to_owned(), 4 << 30)), "{before:?}");
    let a = snapshot(&lab, &machine, "a", true).await;
    let b = snapshot(&lab, &machine, "b", false).await;
    let layout = lab.get(&machine, vm::LAYOUT_EX).await.unwrap();
    let file = |key: i32| layout.file.iter().find(|file| file.key == key).unwrap();
    let of_a = &layout.snapshot[0];
    assert_eq!(&of_a.key, a.handle().reference());
    assert!(file(of_a.data_key).name.ends_with("/web-Snapshot1.vmsn"));
    let memory = file(of_a.memory_key.unwrap());
    assert_eq!((memory.type_.as_str(), memory.size), ("snapshotMemory", 4 << 30));
    assert_eq!(layout.snapshot[1].memory_key, Some(-1));
    // The second keeps the first child of the disk, the machine writes to the second one.
    let units = |disks: &[vsphere_model::types::VirtualMachineFileLayoutExDiskLayout]| {
        let last = disks[0].chain.last().unwrap();
        last.file_key.iter().map(|key| file(*key).name.rsplit_once('/').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(units(&of_a.disk), ["web.vmdk", "web-flat.vmdk"]);
    assert_eq!(units(&layout.snapshot[1].disk), ["web-000001.vmdk", "web-000001-sesparse.vmdk"]);
    assert_eq!(units(&layout.disk), ["web-000002.vmdk", "web-000002-sesparse.vmdk"]);

    success(&lab, b.remove_snapshot_task(false, None)).await;
    success(&lab, a.remove_snapshot_task(false, None)).await;
    let names = |files: &[(String, i64)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&files(&lab, &machine).await), names(&before));
    // A machine that sleeps has its memory in a file.
    success(&lab, machine.suspend_vm_task()).await;
    let asleep = files(&lab, &machine).await;
    assert!(asleep.contains(&("web.vmem".to_owned(), 4 << 30)), "{asleep:?}");
    assert!(!names(&asleep).contains(&"web.vswp".to_owned()));
    success(&lab, machine.power_off_vm_task()).await;
    let off = names(&files(&lab, &machine).await);
    assert!(!off.iter().any(|name| name.ends_with(".vmem") || name.ends_with(".vswp")), "{off:?}");
}

#[tokio::test]
async fn the_way_back_leaves_no_files_behind() {
    let lab = lab().await;
    let machine = lab.machine("web", &[]).await;
    snapshot(&lab, &machine, "a", false).await;
    let count = files(&lab, &machine).await.len();
    for _ in 0..3 {
        success(&lab, machine.revert_to_current_snapshot_task(None, None)).await;
    }
    assert_eq!(files(&lab, &machine).await.len(), count);
    // All that lies in the folder is the machine's.
    let site = lab.site().await;
    let used = lab.get(&site.datacenter, vsphere_model::managed::datacenter::DATASTORE).await;
    let held: vsphere_model::managed::Datastore = lab.object(&used[0]);
    let summary = lab.get(&held, vsphere_model::managed::datastore::SUMMARY).await;
    let sizes: i64 = files(&lab, &machine).await.iter().map(|(_, size)| size).sum();
    assert!(summary.capacity - summary.free_space <= sizes + (1 << 20), "{summary:?} {sizes}");
}

#[tokio::test]
async fn what_can_not_be_frozen_is_refused() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine("web", &[]).await;
    let take = |memory, quiesce| machine.create_snapshot_task("a", None, memory, quiesce);
    let error = machine.create_snapshot_task("", None, false, false).await.unwrap_err();
    assert!(error.fault().unwrap().is_named("InvalidName"), "{error}");
    // A machine that is off is quiet.
    success(&lab, take(false, true)).await;
    success(&lab, machine.power_on_vm_task(None)).await;
    assert!(failure(&lab, take(false, true)).await.is::<ApplicationQuiesceFault>());

    let independent = lab
        .machine_of(&site, "independent", &[], |spec| {
            for change in &mut spec.device_change {
                let disk = change.device.downcast_mut::<VirtualDisk>();
                let backing = disk.and_then(|disk| disk.backing.as_mut()).and_then(|backing| backing.downcast_mut());
                if let Some::<&mut VirtualDiskFlatVer2BackingInfo>(backing) = backing {
                    backing.disk_mode = "independent_persistent".to_owned();
                }
            }
        })
        .await;
    snapshot(&lab, &independent, "off", true).await;
    assert_eq!(chain_of(&lab, &independent).await, ["independent.vmdk"]);
    success(&lab, independent.power_on_vm_task(None)).await;
    let fault = failure(&lab, independent.create_snapshot_task("on", None, true, false)).await;
    assert!(fault.is::<MemorySnapshotOnIndependentDisk>());
    snapshot(&lab, &independent, "on", false).await;

    let never = lab.machine("never", &[("snapshot.maxSnapshots", "0")]).await;
    assert!(failure(&lab, never.create_snapshot_task("a", None, false, false)).await.is::<SnapshotDisabled>());
}

#[tokio::test]
async fn a_quiesced_snapshot_says_so() {
    let lab = lab().await;
    let machine = lab.machine_with_tools("web").await;
    success(&lab, machine.power_on_vm_task(None)).await;
    success(&lab, machine.create_snapshot_task("quiet", None, false, true)).await;
    assert!(lab.get(&machine, vm::SNAPSHOT).await.unwrap().root_snapshot_list[0].quiesced);
    success(&lab, machine.create_snapshot_ex_task("ex", None, false, Some(&Poly::default()))).await;
    let info = lab.get(&machine, vm::SNAPSHOT).await.unwrap();
    assert!(info.root_snapshot_list[0].child_snapshot_list[0].quiesced);
}

#[tokio::test]
async fn the_tree_has_at_most_32_levels() {
    let lab = lab().await;
    let machine = lab.machine("web", &[]).await;
    for level in 0..32 {
        snapshot(&lab, &machine, &format!("level {level}"), false).await;
    }
    let fault = failure(&lab, machine.create_snapshot_task("too deep", None, false, false)).await;
    assert!(fault.is::<TooManySnapshotLevels>());
    assert_eq!(chain_of(&lab, &machine).await.len(), 33);
    success(&lab, machine.remove_all_snapshots_task(None, None)).await;
    assert_eq!(chain_of(&lab, &machine).await, ["web.vmdk"]);
}

#[tokio::test]
async fn the_way_back_undoes_a_reconfiguration_and_not_a_rename() {
    let lab = lab().await;
    let machine = lab.machine("web", &[]).await;
    let a = snapshot(&lab, &machine, "a", false).await;
    let site = lab.site().await;
    let more = VirtualMachineConfigSpec {
        num_cpus: Some(4),
        device_change: vec![add(disk(&site.datastore, 1), true)],
        ..Default::default()
    };
    success(&lab, machine.reconfig_vm_task(&more)).await;
    success(&lab, machine.rename_task("web-2")).await;
    let hardware = async || {
        let config = lab.get(&machine, vm::CONFIG).await.unwrap();
        let disks = config.hardware.device.iter().filter(|device| device.is::<VirtualDisk>()).count();
        (config.hardware.num_cpu, disks, config.name)
    };
    assert_eq!(hardware().await, (4, 2, "web-2".to_owned()));
    success(&lab, a.revert_to_snapshot_task(None, None)).await;
    assert_eq!(hardware().await, (2, 1, "web-2".to_owned()));
    assert_eq!(lab.read(machine.handle().reference(), "name").await.unwrap().as_str(), Some("web-2"));
}

#[tokio::test]
async fn a_removed_machine_takes_its_snapshots_along() {
    let lab = lab().await;
    let machine = lab.machine("web", &[]).await;
    let a = snapshot(&lab, &machine, "a", false).await;
    success(&lab, machine.destroy_task()).await;
    let error = lab.read(a.handle().reference(), "config").await.unwrap_err();
    assert!(error.fault().unwrap().is_named("ManagedObjectNotFound"), "{error}");
    let site = lab.site().await;
    let stores = lab.get(&site.datacenter, vsphere_model::managed::datacenter::DATASTORE).await;
    let store: vsphere_model::managed::Datastore = lab.object(&stores[0]);
    let summary = lab.get(&store, vsphere_model::managed::datastore::SUMMARY).await;
    assert_eq!(summary.free_space, summary.capacity);
}

#[tokio::test]
async fn snapshots_are_recorded_as_tasks() {
    let lab = lab().await;
    let machine = lab.machine("web", &[]).await;
    let before = lab.events(&machine).await.len();
    let a = snapshot(&lab, &machine, "a", false).await;
    success(&lab, a.revert_to_snapshot_task(None, None)).await;
    success(&lab, a.remove_snapshot_task(false, None)).await;
    assert_eq!(lab.events(&machine).await[before..], ["TaskEvent", "TaskEvent", "TaskEvent"]);
}
