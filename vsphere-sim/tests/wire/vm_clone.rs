//! Clones, templates, and machines that move.

use crate::support::Lab;
use crate::support::machine::Site;
use vsphere_model::managed::{ClusterComputeResource, VirtualMachine, datacenter, virtual_machine as vm};
use vsphere_model::types::{
    ClusterConfigSpecEx, ClusterDrsConfigInfo, DuplicateName, InvalidArgument, ManagedObjectReference, Poly,
    VirtualDisk, VirtualDiskFlatVer2BackingInfo, VirtualEthernetCard, VirtualMachineCloneSpec,
    VirtualMachineConfigSpec, VirtualMachineMovePriority, VirtualMachinePowerState, VirtualMachineRelocateSpec,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::request::ManagedObject as _;

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

async fn clone(
    lab: &Lab,
    site: &Site,
    machine: &VirtualMachine,
    name: &str,
    spec: &VirtualMachineCloneSpec,
) -> VirtualMachine {
    let task = lab.done(machine.clone_vm_task(site.folder.handle().reference(), name, spec)).await;
    lab.object(&task.result.unwrap().take::<ManagedObjectReference>().unwrap())
}

async fn backing(lab: &Lab, machine: &VirtualMachine) -> VirtualDiskFlatVer2BackingInfo {
    let devices = lab.get(machine, vm::CONFIG).await.unwrap().hardware.device;
    let disk = devices.iter().find_map(|device| device.downcast_ref::<VirtualDisk>()).unwrap();
    disk.backing.as_ref().unwrap().downcast_ref::<VirtualDiskFlatVer2BackingInfo>().unwrap().clone()
}

async fn address(lab: &Lab, machine: &VirtualMachine) -> String {
    let devices = lab.get(machine, vm::CONFIG).await.unwrap().hardware.device;
    devices.iter().find_map(|device| device.downcast_ref::<VirtualEthernetCard>()?.mac_address.clone()).unwrap()
}

#[tokio::test]
async fn a_clone_has_disks_addresses_and_ids_of_its_own() {
    let lab = lab().await;
    let site = lab.site().await;
    let source = lab.machine("golden", &[("a", "1")]).await;
    let overrides =
        VirtualMachineConfigSpec { num_cpus: Some(8), annotation: Some("made".to_owned()), ..Default::default() };
    let spec = VirtualMachineCloneSpec { power_on: true, config: Some(Box::new(overrides)), ..Default::default() };
    let copy = clone(&lab, &site, &source, "web-1", &spec).await;
    let (was, is) = (lab.get(&source, vm::CONFIG).await.unwrap(), lab.get(&copy, vm::CONFIG).await.unwrap());
    assert_ne!(was.uuid, is.uuid);
    assert_ne!(was.instance_uuid, is.instance_uuid);
    assert_eq!((is.hardware.num_cpu, is.annotation.as_deref()), (8, Some("made")));
    assert!(is.extra_config.iter().any(|option| option.key == "a"));
    assert_eq!(lab.get(&copy, vm::RUNTIME).await.power_state, VirtualMachinePowerState::PoweredOn);
    assert_ne!(address(&lab, &source).await, address(&lab, &copy).await);
    let disk = backing(&lab, &copy).await;
    assert!(disk.file_name.ends_with("] web-1/web-1.vmdk"), "{}", disk.file_name);
    assert_eq!(disk.parent, None);
    let again = source.clone_vm_task(site.folder.handle().reference(), "web-1", &VirtualMachineCloneSpec::default());
    assert!(lab.refused(again).await.is::<DuplicateName>());
}

#[tokio::test]
async fn a_linked_clone_stands_on_the_disk_of_the_snapshot() {
    let lab = lab().await;
    let site = lab.site().await;
    let source = lab.machine("golden", &[]).await;
    let task = lab.done(source.create_snapshot_task("base", None, false, false)).await;
    let mut spec =
        VirtualMachineCloneSpec { snapshot: Some(task.result.unwrap().take().unwrap()), ..Default::default() };
    spec.location.disk_move_type = Some("createNewChildDiskBacking".to_owned());
    let copy = clone(&lab, &site, &source, "web-1", &spec).await;
    let disk = backing(&lab, &copy).await;
    let base = disk.parent.as_ref().unwrap();
    assert!(disk.file_name.ends_with("] web-1/web-1.vmdk") && base.file_name.ends_with("] golden/golden.vmdk"));
    // It is destroyed alone: what it stands on is another's.
    lab.done(copy.destroy_task()).await;
    lab.done(source.power_on_vm_task(None)).await;
    let layout = lab.get(&source, vm::LAYOUT_EX).await.unwrap();
    assert!(layout.file.iter().all(|file| file.accessible == Some(true)), "{layout:?}");
    spec.location.disk_move_type = Some("sideways".to_owned());
    let fault = lab.refused(source.clone_vm_task(site.folder.handle().reference(), "web-2", &spec)).await;
    assert!(fault.is::<InvalidArgument>());
}

#[tokio::test]
async fn pitfall_14_a_clone_of_a_template_needs_a_pool() {
    let lab = lab().await;
    let site = lab.site().await;
    let template = lab.machine("golden", &[]).await;
    template.mark_as_template().await.unwrap();
    let config = lab.get(&template, vm::CONFIG).await.unwrap();
    assert!(config.template && config.files.vm_path_name.unwrap().ends_with(".vmtx"));
    assert_eq!(lab.get(&template, vm::RESOURCE_POOL).await, None);
    let mut spec = VirtualMachineCloneSpec::default();
    let fault = lab.refused(template.clone_vm_task(site.folder.handle().reference(), "web-1", &spec)).await;
    let fault = fault.downcast_ref::<InvalidArgument>().unwrap();
    assert_eq!(fault.invalid_property.as_deref(), Some("spec.location.pool"));
    spec.location.pool = Some(site.pool.clone());
    let copy = clone(&lab, &site, &template, "web-1", &spec).await;
    assert!(!lab.get(&copy, vm::CONFIG).await.unwrap().template);
    template.mark_as_virtual_machine(&site.pool, None).await.unwrap();
    lab.done(template.power_on_vm_task(None)).await;
}

#[tokio::test]
async fn where_nothing_chooses_a_host_one_is_found_for_a_machine_that_is_off() {
    let lab = Lab::new(Model::sized(Size { vms: 2, hosts: 4, clusters: 2, ..Size::default() })).await;
    let other: ClusterComputeResource = lab.object(&lab.at("/DC0/host/DC0_C1").await);
    let drs = ClusterDrsConfigInfo { enabled: Some(false), ..Default::default() };
    let spec = ClusterConfigSpecEx { drs_config: Some(Box::new(drs)), ..Default::default() };
    lab.done(other.reconfigure_compute_resource_task(&Poly::new(spec), true)).await;
    let machine: VirtualMachine = lab.object(&lab.at("/DC0/vm/DC0_C0_VM0").await);
    if lab.get(&machine, vm::RUNTIME).await.power_state == VirtualMachinePowerState::PoweredOff {
        lab.done(machine.power_on_vm_task(None)).await;
    }
    let there =
        VirtualMachineRelocateSpec { pool: Some(lab.at("/DC0/host/DC0_C1/Resources").await), ..Default::default() };
    let fault = lab.refused(machine.relocate_vm_task(&there, None)).await;
    let invalid: &InvalidArgument = fault.downcast_ref().unwrap();
    assert_eq!(invalid.invalid_property.as_deref(), Some("spec.pool"));
    lab.done(machine.power_off_vm_task()).await;
    lab.done(machine.relocate_vm_task(&there, None)).await;
    let host = lab.get(&machine, vm::RUNTIME).await.host.unwrap();
    let name: String = lab.read(&host, "name").await.unwrap().take().unwrap();
    assert!(name.starts_with("DC0_C1_"), "{name}");
}

#[tokio::test]
async fn a_machine_moves_with_its_files_and_its_snapshots() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine("web-1", &[]).await;
    lab.done(machine.create_snapshot_task("base", None, false, false)).await;
    lab.done(machine.power_on_vm_task(None)).await;
    let stores = lab.get(&site.datacenter, datacenter::DATASTORE).await;
    let spec = VirtualMachineRelocateSpec { datastore: Some(stores[1].clone()), ..Default::default() };
    lab.done(machine.relocate_vm_task(&spec, None)).await;
    assert_eq!(lab.get(&machine, vm::DATASTORE).await, [stores[1].clone()]);
    let layout = lab.get(&machine, vm::LAYOUT_EX).await.unwrap();
    let name: String = lab.read(&stores[1], "name").await.unwrap().take().unwrap();
    for file in &layout.file {
        assert!(file.name.starts_with(&format!("[{name}] web-1/")) && file.accessible == Some(true), "{file:?}");
    }
    assert_eq!(layout.disk[0].chain.len(), 2);
    let old: Vec<ManagedObjectReference> = lab.read(&stores[0], "vm").await.unwrap().take().unwrap();
    assert_eq!(old, []);
    // The snapshot is good still.
    lab.done(machine.revert_to_current_snapshot_task(None, Some(true))).await;
    lab.done(machine.remove_all_snapshots_task(None, None)).await;
    lab.done(machine.destroy_task()).await;
}

#[tokio::test]
async fn a_running_machine_goes_to_another_host() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    lab.done(machine.power_on_vm_task(None)).await;
    let site = lab.site().await;
    let hosts = lab.get(&site.cluster, vsphere_model::managed::cluster_compute_resource::HOST).await;
    let from = lab.get(&machine, vm::RUNTIME).await.host.unwrap();
    let to = hosts.iter().find(|host| **host != from).unwrap();
    lab.done(machine.migrate_vm_task(None, Some(to), &VirtualMachineMovePriority::DefaultPriority, None)).await;
    let runtime = lab.get(&machine, vm::RUNTIME).await;
    assert_eq!((runtime.host.as_ref(), &runtime.power_state), (Some(to), &VirtualMachinePowerState::PoweredOn));
    let left: Vec<ManagedObjectReference> = lab.read(&from, "vm").await.unwrap().take().unwrap();
    assert_eq!(left, []);
    let state = Some(&VirtualMachinePowerState::PoweredOff);
    let back = machine.migrate_vm_task(None, Some(&from), &VirtualMachineMovePriority::DefaultPriority, state);
    assert_eq!(lab.refused(back).await.type_name(), "InvalidPowerState");
}
