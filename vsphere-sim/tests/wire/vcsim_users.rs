//! What users of vcsim ask for beside the inventory: customizations, datastore clusters, checks, disks of their own.

use crate::support::machine::disk;
use crate::support::{Lab, fault};
use vsphere_model::managed::{
    CustomizationSpecManager, Folder, StorageResourceManager, VcenterVStorageObjectManager, VirtualMachine,
    VirtualMachineCompatibilityChecker, virtual_machine as vm,
};
use vsphere_model::types::{
    CheckResult, CustomizationFixedIp, CustomizationFixedName, CustomizationLinuxPrep, CustomizationSpec, ID,
    ManagedObjectReference, OptionValue, Poly, StorageDrsConfigSpec, StorageDrsPodConfigSpec,
    StorageDrsPodSelectionSpec, StoragePlacementAction, StoragePlacementSpec, VStorageObject, VirtualController,
    VirtualDevice, VirtualDeviceConfigSpec, VirtualDeviceConfigSpecFileOperation, VirtualDeviceConfigSpecOperation,
    VirtualIDEController, VirtualMachineConfigSpec, VirtualMachineFileInfo, VslmCreateSpec, VslmCreateSpecBackingSpec,
    VslmCreateSpecDiskFileBackingSpec,
};
use vsphere_sim::{Cardinality, Model, Rules, Vcsim};

async fn lab(size: Vcsim) -> Lab {
    Lab::new(Model::vcsim(size).pace(0.0)).await
}

#[tokio::test]
async fn a_customization_takes_effect_at_the_next_start() {
    let lab = lab(Vcsim { autostart: false, ..Vcsim::default() }).await;
    let manager: CustomizationSpecManager = lab.object(lab.content.customization_spec_manager.as_ref().unwrap());
    assert!(manager.does_customization_spec_exist("vcsim-linux-static").await.unwrap());
    let mut spec = manager.get_customization_spec("vcsim-linux-static").await.unwrap().spec;
    let ip = CustomizationFixedIp { ip_address: "10.0.0.42".to_owned(), ..Default::default() };
    spec.nic_setting_map[0].adapter.ip = Poly::new(ip);
    let machine: VirtualMachine = lab.object(&lab.at("/DC0/vm/DC0_H0_VM0").await);
    // A system with Tools, which carry it out.
    let system = OptionValue { key: "guestinfo.sim.hostname".to_owned(), value: Some("old".to_owned().into()) };
    let system = VirtualMachineConfigSpec { extra_config: vec![Poly::new(system)], ..Default::default() };
    lab.run(machine.reconfig_vm_task(&system)).await;
    lab.run(machine.customize_vm_task(&spec)).await;
    lab.task_fault_or_refusal(&machine, &spec, "CustomizationPending").await;
    lab.run(machine.power_on_vm_task(None)).await;
    let guest = lab.get(&machine, vm::GUEST).await.unwrap();
    assert_eq!((guest.ip_address.as_deref(), guest.host_name.as_deref()), (Some("10.0.0.42"), Some("vcsim-1")));
    let events = lab.events(&machine).await;
    assert!(events.iter().any(|name| name == "CustomizationSucceeded"), "{events:?}");
    lab.task_fault_or_refusal(&machine, &spec, "InvalidPowerState").await;
    // Names are told in three ways; two adapters' settings do not fit one adapter.
    lab.run(machine.power_off_vm_task()).await;
    let name = CustomizationFixedName { name: "web".to_owned(), ..Default::default() };
    spec.identity = Poly::new(CustomizationLinuxPrep { host_name: Poly::new(name), ..Default::default() });
    spec.nic_setting_map.push(spec.nic_setting_map[0].clone());
    lab.task_fault_or_refusal(&machine, &spec, "NicSettingMismatch").await;
    spec.nic_setting_map.clear();
    lab.run(machine.customize_vm_task(&spec)).await;
    lab.run(machine.power_on_vm_task(None)).await;
    let guest = lab.get(&machine, vm::GUEST).await.unwrap();
    assert_eq!(guest.host_name.as_deref(), Some("web"));
}

impl Lab {
    async fn task_fault_or_refusal(&self, machine: &VirtualMachine, spec: &CustomizationSpec, wanted: &str) {
        assert_eq!(self.refused(machine.customize_vm_task(spec)).await.type_name(), wanted);
    }
}

#[tokio::test]
async fn a_datastore_cluster_is_configured_and_asked_for_its_best_datastore() {
    let lab = lab(Vcsim { pods: 1, datastores: 2, ..Vcsim::default() }).await;
    let manager: StorageResourceManager = lab.object(lab.content.storage_resource_manager.as_ref().unwrap());
    let pod = lab.at("/DC0/datastore/DC0_POD0").await;
    let change = StorageDrsPodConfigSpec {
        enabled: Some(true),
        default_vm_behavior: Some("automated".to_owned()),
        ..Default::default()
    };
    let spec = StorageDrsConfigSpec { pod_config_spec: Some(Box::new(change)), ..Default::default() };
    lab.run(manager.configure_storage_drs_for_pod_task(&pod, &spec, true)).await;
    let config = "podStorageDrsEntry.storageDrsConfig.podConfig";
    let enabled: bool = lab.read(&pod, &format!("{config}.enabled")).await.unwrap().take().unwrap();
    assert!(enabled);
    let behavior = lab.read(&pod, &format!("{config}.defaultVmBehavior")).await.unwrap();
    assert_eq!(behavior.as_str(), Some("automated"));
    let wrong = StorageDrsPodConfigSpec { default_vm_behavior: Some("never".to_owned()), ..Default::default() };
    let wrong = StorageDrsConfigSpec { pod_config_spec: Some(Box::new(wrong)), ..Default::default() };
    assert_eq!(fault(manager.configure_storage_drs_for_pod_task(&pod, &wrong, true)).await, "InvalidArgument");

    // A disk of 16 GB: as long as nothing is in the cluster there is nothing to recommend.
    let new = Poly::new(VirtualDeviceConfigSpec {
        operation: Some(VirtualDeviceConfigSpecOperation::Add),
        file_operation: Some(VirtualDeviceConfigSpecFileOperation::Create),
        device: Poly::new(disk("", 0)),
        ..Default::default()
    });
    let config = VirtualMachineConfigSpec { device_change: vec![new], ..Default::default() };
    let mut wanted = StoragePlacementSpec {
        type_: "create".to_owned(),
        config_spec: Some(Box::new(config)),
        pod_selection_spec: StorageDrsPodSelectionSpec { storage_pod: Some(pod.clone()), ..Default::default() },
        ..Default::default()
    };
    assert_eq!(fault(manager.recommend_datastores(&wanted)).await, "InvalidArgument", "no pool");
    wanted.resource_pool = Some(lab.at("/DC0/host/DC0_C0/Resources").await);
    assert!(manager.recommend_datastores(&wanted).await.unwrap().recommendations.is_empty());
    let second = lab.at("/DC0/datastore/LocalDS_1").await;
    let folder: Folder = lab.object(&pod);
    lab.run(folder.move_into_folder_task(&[lab.at("/DC0/datastore/LocalDS_0").await, second.clone()])).await;
    let found = manager.recommend_datastores(&wanted).await.unwrap().recommendations;
    assert_eq!(found.len(), 2);
    let action = found[0].action[0].downcast_ref::<StoragePlacementAction>().unwrap();
    assert_eq!(action.destination, second, "nothing is on it, while the VMs are on the other");
    assert_eq!((found[0].key.as_str(), &found[0].target), ("1", &Some(pod)));
}

#[tokio::test]
async fn hosts_are_checked_for_what_there_could_be() {
    let lab = lab(Vcsim { clusters: 2, ..Vcsim::default() }).await;
    let checker: VirtualMachineCompatibilityChecker =
        lab.object(lab.content.vm_compatibility_checker.as_ref().unwrap());
    let (machine, host) = (lab.at("/DC0/vm/DC0_C0_RP0_VM0").await, lab.at("/DC0/host/DC0_C0/DC0_C0_H1").await);
    let (own, other) = (lab.at("/DC0/host/DC0_C0/Resources").await, lab.at("/DC0/host/DC0_C1/Resources").await);
    let spec = VirtualMachineConfigSpec {
        num_cpus: Some(1000),
        memory_mb: Some(2),
        guest_id: Some("amigaGuest".to_owned()),
        ..Default::default()
    };
    let found = lab.run(checker.check_vm_config_task(&spec, Some(&machine), Some(&host), Some(&own), &[])).await;
    let found: Vec<CheckResult> = found.take().unwrap();
    let names: Vec<&str> = found[0].warning.iter().map(|fault| fault.fault.type_name()).collect();
    assert_eq!(names, ["MemorySizeNotSupported", "NotEnoughCpus", "UnsupportedGuest"]);
    assert_eq!((found.len(), &found[0].host), (1, &Some(host.clone())));
    lab.task_fault(checker.check_vm_config_task(&spec, None, Some(&host), Some(&other), &[]), "InvalidArgument").await;
    lab.task_fault(checker.check_vm_config_task(&spec, None, None, None, &[]), "InvalidArgument").await;
    let found = lab.run(checker.check_compatibility_task(&machine, None, Some(&other), &[])).await;
    let found: Vec<CheckResult> = found.take().unwrap();
    assert_eq!(found.len(), 3, "each host of the other cluster");
}

#[tokio::test]
async fn a_disk_of_its_own_has_snapshots_and_tags() {
    let model = Model::vcsim(Vcsim::default()).pace(0.0).category("region", Cardinality::Single, &[]);
    let lab = Lab::new(model.tag("region", "west", &[])).await;
    let disks: VcenterVStorageObjectManager = lab.object(lab.content.v_storage_object_manager.as_ref().unwrap());
    let store = lab.at("/DC0/datastore/LocalDS_0").await;
    let base = VslmCreateSpecBackingSpec { datastore: store.clone(), ..Default::default() };
    let backing = VslmCreateSpecDiskFileBackingSpec { base, provisioning_type: Some("thin".to_owned()) };
    let spec = VslmCreateSpec {
        name: "data".to_owned(),
        capacity_in_mb: 10,
        backing_spec: Poly::new(backing),
        ..Default::default()
    };
    let made: VStorageObject = lab.run(disks.create_disk_task(&spec)).await.take().unwrap();
    let id = made.config.id.clone();
    let snapshot: ID =
        lab.run(disks.v_storage_object_create_snapshot_task(&id, &store, "before")).await.take().unwrap();
    let all = disks.retrieve_snapshot_info(&id, &store).await.unwrap().snapshots;
    assert_eq!((all.len(), all[0].description.as_str(), all[0].id.as_deref()), (1, "before", Some(&snapshot)));
    lab.run(disks.delete_snapshot_task(&id, &store, &snapshot)).await;
    lab.task_fault(disks.delete_snapshot_task(&id, &store, &snapshot), "NotFound").await;

    assert!(disks.list_v_storage_objects_attached_to_tag("region", "west").await.unwrap().is_empty());
    disks.attach_tag_to_v_storage_object(&id, "region", "west").await.unwrap();
    assert_eq!(
        disks.list_v_storage_objects_attached_to_tag("region", "west").await.unwrap(),
        std::slice::from_ref(&id)
    );
    let tags = disks.list_tags_attached_to_v_storage_object(&id).await.unwrap();
    assert_eq!((tags[0].parent_category_name.as_str(), tags[0].tag_name.as_str()), ("region", "west"));
    assert_eq!(fault(disks.detach_tag_from_v_storage_object(&id, "region", "east")).await, "NotFound");
    disks.detach_tag_from_v_storage_object(&id, "region", "west").await.unwrap();
    assert!(disks.list_tags_attached_to_v_storage_object(&id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_new_machine_takes_the_ide_controller_that_it_is_told_of() {
    let lab = lab(Vcsim::default()).await;
    let controller = VirtualController { base: VirtualDevice { key: -1, ..Default::default() }, ..Default::default() };
    let change = Poly::new(VirtualDeviceConfigSpec {
        operation: Some(VirtualDeviceConfigSpecOperation::Add),
        device: Poly::new(VirtualIDEController { base: controller }),
        ..Default::default()
    });
    let spec = VirtualMachineConfigSpec {
        name: Some("ide".to_owned()),
        files: Some(Box::new(VirtualMachineFileInfo {
            vm_path_name: Some("[LocalDS_0]".to_owned()),
            ..Default::default()
        })),
        device_change: vec![change.clone()],
        ..Default::default()
    };
    let folder: Folder = lab.object(&lab.at("/DC0/vm").await);
    let pool = lab.at("/DC0/host/DC0_H0/Resources").await;
    let made: ManagedObjectReference = lab.run(folder.create_vm_task(&spec, &pool, None)).await.take().unwrap();
    let machine: VirtualMachine = lab.object(&made);
    let devices = lab.get(&machine, vm::CONFIG).await.unwrap().hardware.device;
    assert_eq!(devices.iter().filter(|device| device.is::<VirtualIDEController>()).count(), 2);
    assert_eq!(lab.events(&machine).await, ["VmBeingCreatedEvent", "VmCreatedEvent"]);
    let more = VirtualMachineConfigSpec { device_change: vec![change], ..Default::default() };
    lab.task_fault(machine.reconfig_vm_task(&more), "TooManyDevices").await;
}

#[tokio::test]
async fn of_a_template_only_name_and_notes_change() {
    let lab = lab(Vcsim { autostart: false, ..Vcsim::default() }).await;
    let machine: VirtualMachine = lab.object(&lab.at("/DC0/vm/DC0_H0_VM0").await);
    machine.mark_as_template().await.unwrap();
    let option = OptionValue { key: "a".to_owned(), value: Some("1".to_owned().into()) };
    let more = VirtualMachineConfigSpec { extra_config: vec![Poly::new(option)], ..Default::default() };
    assert_eq!(fault(machine.reconfig_vm_task(&more)).await, "NotSupported");
    let notes = VirtualMachineConfigSpec { annotation: Some("gold".to_owned()), ..Default::default() };
    lab.run(machine.reconfig_vm_task(&notes)).await;
    assert_eq!(lab.get(&machine, vm::CONFIG).await.unwrap().annotation.as_deref(), Some("gold"));
}

#[tokio::test]
async fn lenient_rules_change_a_machine_that_runs() {
    for (rules, wanted) in [(Rules::REAL, Some("CpuHotPlugNotSupported")), (Rules::LENIENT, None)] {
        let lab = Lab::new(Model::vcsim(Vcsim::default()).pace(0.0).rules(rules)).await;
        let machine: VirtualMachine = lab.object(&lab.at("/DC0/vm/DC0_H0_VM0").await);
        let more = VirtualMachineConfigSpec { num_cpus: Some(2), ..Default::default() };
        let task = lab.task(machine.reconfig_vm_task(&more)).await.unwrap();
        let refused = task.error.as_ref().map(|error| error.fault.type_name().to_owned());
        assert_eq!(refused.as_deref(), wanted);
        assert_eq!(task.description_id, "VirtualMachine.reconfigure");
    }
}
