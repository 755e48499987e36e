//! The making, the change and the end of virtual machines, and where they stand in the inventory.

use crate::support::Lab;
use vsphere_model::managed::{
    Datastore, Folder, VirtualMachine, datastore, folder, resource_pool, virtual_machine as vm,
};
use vsphere_model::types::{
    Any, ConcurrentAccess, CpuHotPlugNotSupported, DuplicateName, InvalidArgument, InvalidName, InvalidPowerState,
    InvalidVmConfig, MemoryHotPlugNotSupported, NoDiskSpace, OptionValue, Poly, ResourceInUse, VirtualDisk,
    VirtualMachineCloneSpec, VirtualMachineConfigSpec,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::object::ManagedObjectReference;
use vsphere_soap::request::ManagedObject as _;

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

fn reference(machine: &VirtualMachine) -> ManagedObjectReference {
    machine.handle().reference().clone()
}

#[tokio::test]
async fn a_machine_is_known_to_all_that_it_stands_in() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine("web-1", &[]).await;
    let itself = reference(&machine);
    let config = lab.get(&machine, vm::CONFIG).await.unwrap();
    assert_eq!((config.name.as_str(), config.hardware.num_cpu, config.hardware.memory_mb), ("web-1", 2, 4096));
    assert_eq!(config.guest_full_name, "Ubuntu Linux (64-bit)");
    assert_eq!(config.files.vm_path_name.as_deref(), Some(format!("[{}] web-1/web-1.vmx", site.datastore).as_str()));
    assert_eq!(lab.get(&machine, vm::PARENT).await.as_ref(), Some(site.folder.handle().reference()));
    let pool: vsphere_model::managed::ResourcePool = lab.object(&site.pool);
    assert!(lab.get(&pool, resource_pool::VM).await.contains(&itself));
    assert!(lab.get(&site.folder, folder::CHILD_ENTITY).await.contains(&itself));
    assert_eq!(lab.get(&machine, vm::NETWORK).await, std::slice::from_ref(&site.network));
    let host = lab.get(&machine, vm::RUNTIME).await.host.unwrap();
    for (object, property) in [(&host, "vm"), (&site.network, "vm"), (&lab.get(&machine, vm::DATASTORE).await[0], "vm")]
    {
        let vms: Vec<ManagedObjectReference> = lab.read(object, property).await.unwrap().take().unwrap();
        assert!(vms.contains(&itself), "{object}");
    }
    let layout = lab.get(&machine, vm::LAYOUT_EX).await.unwrap();
    let kinds: Vec<&str> = layout.file.iter().map(|file| file.type_.as_str()).collect();
    for kind in ["config", "nvram", "snapshotList", "diskDescriptor", "diskExtent"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert_eq!(layout.disk[0].chain[0].file_key.len(), 2);
    let storage = lab.get(&machine, vm::STORAGE).await.unwrap();
    assert_eq!(storage.per_datastore_usage.len(), 1);
    assert_eq!(storage.per_datastore_usage[0].uncommitted >> 30, 16);
}

#[tokio::test]
async fn what_is_wrong_with_a_new_machine_is_said() {
    let lab = lab().await;
    let site = lab.site().await;
    lab.machine("web-1", &[]).await;
    let create = |spec: VirtualMachineConfigSpec| site.folder.create_vm_task(&spec, &site.pool, None);
    let named = |name: &str| VirtualMachineConfigSpec { name: Some(name.to_owned()), ..Default::default() };
    assert!(lab.refused(create(named("web-1"))).await.is::<DuplicateName>());
    assert!(lab.refused(create(named(""))).await.is::<InvalidName>());
    let fault = lab.refused(create(named("web-2"))).await;
    let fault = fault.downcast_ref::<InvalidVmConfig>().unwrap();
    assert_eq!(fault.property.as_deref(), Some("configSpec.files.vmPathName"));
    let mut spec = named("web-3");
    spec.files.get_or_insert_default().vm_path_name = Some(format!("[{}]", site.datastore));
    spec.guest_id = Some("amigaGuest".to_owned());
    let fault = lab.refused(create(spec)).await;
    let fault = fault.downcast_ref::<InvalidArgument>().unwrap();
    assert_eq!(fault.invalid_property.as_deref(), Some("configSpec.guestId"));
}

#[tokio::test]
async fn pitfall_12_a_name_may_have_a_slash() {
    let lab = lab().await;
    let machine = lab.machine("a/b", &[]).await;
    assert_eq!(lab.get(&machine, vm::NAME).await, "a%2fb");
    let path = lab.get(&machine, vm::CONFIG).await.unwrap().files.vm_path_name.unwrap();
    assert!(path.ends_with("] a%2fb/a%2fb.vmx"), "{path}");
}

#[tokio::test]
async fn a_full_datastore_takes_no_machine_and_keeps_nothing_of_it() {
    let lab = lab().await;
    let site = lab.site().await;
    let store: Datastore =
        lab.object(&lab.get(&site.datacenter, vsphere_model::managed::datacenter::DATASTORE).await[0]);
    let thick = |spec: &mut VirtualMachineConfigSpec| {
        for change in &mut spec.device_change {
            if let Some(disk) = change.device.downcast_mut::<VirtualDisk>() {
                disk.capacity_in_kb = 40 << 30;
                let backing = disk.backing.as_mut().unwrap();
                let flat = backing.downcast_mut::<vsphere_model::types::VirtualDiskFlatVer2BackingInfo>().unwrap();
                flat.thin_provisioned = Some(false);
            }
        }
    };
    lab.machine_of(&site, "big-1", &[], thick).await;
    let free = lab.get(&store, datastore::SUMMARY).await.free_space;
    assert!(free < 25 << 40, "{free}");
    let mut spec = VirtualMachineConfigSpec { name: Some("big-2".to_owned()), ..Default::default() };
    spec.files.get_or_insert_default().vm_path_name = Some(format!("[{}]", site.datastore));
    spec.device_change = crate::support::machine::hardware(&site);
    thick(&mut spec);
    let free = lab.get(&store, datastore::SUMMARY).await.free_space;
    assert!(lab.refused(site.folder.create_vm_task(&spec, &site.pool, None)).await.is::<NoDiskSpace>());
    assert_eq!(lab.get(&store, datastore::SUMMARY).await.free_space, free);
    // The folder is gone too: the same name is free again.
    lab.machine("big-2", &[]).await;
}

#[tokio::test]
async fn pitfall_28_a_change_of_a_stale_configuration_is_refused() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    let seen = lab.get(&machine, vm::CONFIG).await.unwrap().change_version;
    let spec = VirtualMachineConfigSpec {
        change_version: Some(seen),
        annotation: Some("first".to_owned()),
        ..Default::default()
    };
    lab.done(machine.reconfig_vm_task(&spec)).await;
    assert!(lab.refused(machine.reconfig_vm_task(&spec)).await.is::<ConcurrentAccess>());
}

#[tokio::test]
async fn options_are_merged_and_an_empty_value_takes_one_out() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[("a", "1"), ("b", "2")]).await;
    let option = |key: &str, value: &str| {
        Poly::new(OptionValue { key: key.to_owned(), value: Some(Any::from(value.to_owned())) })
    };
    let spec = VirtualMachineConfigSpec { extra_config: vec![option("a", ""), option("c", "3")], ..Default::default() };
    lab.done(machine.reconfig_vm_task(&spec)).await;
    let options = lab.get(&machine, vm::CONFIG).await.unwrap().extra_config;
    let value = |key: &str| options.iter().find(|option| option.key == key).and_then(|option| option.value.clone());
    assert_eq!(value("a"), None);
    assert_eq!(value("b"), Some(Any::from("2".to_owned())));
    assert_eq!(value("c"), Some(Any::from("3".to_owned())));
}

#[tokio::test]
async fn a_running_machine_grows_only_where_it_may() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    lab.done(machine.power_on_vm_task(None)).await;
    let cpus = VirtualMachineConfigSpec { num_cpus: Some(4), ..Default::default() };
    let memory = VirtualMachineConfigSpec { memory_mb: Some(8192), ..Default::default() };
    let flags = VirtualMachineConfigSpec {
        cpu_hot_add_enabled: Some(true),
        memory_hot_add_enabled: Some(true),
        ..Default::default()
    };
    assert!(lab.refused(machine.reconfig_vm_task(&cpus)).await.is::<CpuHotPlugNotSupported>());
    assert!(lab.refused(machine.reconfig_vm_task(&memory)).await.is::<MemoryHotPlugNotSupported>());
    assert!(lab.refused(machine.reconfig_vm_task(&flags)).await.is::<InvalidPowerState>());
    lab.done(machine.power_off_vm_task()).await;
    lab.done(machine.reconfig_vm_task(&flags)).await;
    lab.done(machine.power_on_vm_task(None)).await;
    lab.done(machine.reconfig_vm_task(&cpus)).await;
    lab.done(machine.reconfig_vm_task(&memory)).await;
    let hardware = lab.get(&machine, vm::CONFIG).await.unwrap().hardware;
    assert_eq!((hardware.num_cpu, hardware.memory_mb), (4, 8192));
    let less = VirtualMachineConfigSpec { memory_mb: Some(4096), ..Default::default() };
    assert!(lab.refused(machine.reconfig_vm_task(&less)).await.is::<MemoryHotPlugNotSupported>());
}

#[tokio::test]
async fn a_name_is_taken_once_in_a_folder_and_is_free_when_it_is_given_up() {
    let lab = lab().await;
    let site = lab.site().await;
    let (one, two) = (lab.machine("one", &[]).await, lab.machine("two", &[]).await);
    assert!(lab.refused(two.rename_task("one")).await.is::<DuplicateName>());
    lab.done(one.rename_task("uno")).await;
    lab.done(two.rename_task("one")).await;
    assert_eq!(lab.get(&two, vm::CONFIG).await.unwrap().name, "one");
    let below: Folder = lab.object(&site.folder.create_folder("below").await.unwrap());
    lab.done(below.move_into_folder_task(&[reference(&two)])).await;
    assert_eq!(lab.get(&below, folder::CHILD_ENTITY).await, [reference(&two)]);
    lab.machine("one", &[]).await;
    // A folder can't be moved below itself, and a machine is no child of a folder of hosts.
    let fault = lab.refused(below.move_into_folder_task(&[below.handle().reference().clone()])).await;
    assert_eq!(fault.type_name(), "InvalidFolder");
    let hosts: Folder = lab.object(&lab.get(&site.datacenter, vsphere_model::managed::datacenter::HOST_FOLDER).await);
    let fault = lab.refused(hosts.move_into_folder_task(&[reference(&one)])).await;
    assert_eq!(fault.type_name(), "NotSupported");
    lab.done(below.destroy_task()).await;
    assert!(lab.read(&reference(&two), "name").await.is_err());
    assert!(lab.refused(site.datacenter.destroy_task()).await.is::<ResourceInUse>());
}

#[tokio::test]
async fn a_machine_that_left_the_inventory_comes_back_as_it_was() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine("web-1", &[("a", "1")]).await;
    let before = lab.get(&machine, vm::CONFIG).await.unwrap();
    let path = before.files.vm_path_name.clone().unwrap();
    lab.done(machine.power_on_vm_task(None)).await;
    let error = machine.unregister_vm().await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidPowerState")), "{error}");
    lab.done(machine.power_off_vm_task()).await;
    machine.unregister_vm().await.unwrap();
    assert!(lab.read(&reference(&machine), "name").await.is_err());
    let task = lab.done(site.folder.register_vm_task(&path, None, false, Some(&site.pool), None)).await;
    let machine: VirtualMachine = lab.object(&task.result.unwrap().take::<ManagedObjectReference>().unwrap());
    let after = lab.get(&machine, vm::CONFIG).await.unwrap();
    assert_eq!((after.uuid, after.hardware.device.len()), (before.uuid, before.hardware.device.len()));
    let again = site.folder.register_vm_task(&path, Some("other"), false, Some(&site.pool), None);
    assert_eq!(lab.refused(again).await.type_name(), "AlreadyExists");
    let missing = site.folder.register_vm_task(&path.replace("web-1", "web-2"), None, false, Some(&site.pool), None);
    assert_eq!(lab.refused(missing).await.type_name(), "FileNotFound");
}

#[tokio::test]
async fn a_machine_goes_with_its_files() {
    let lab = lab().await;
    let site = lab.site().await;
    let store: Datastore =
        lab.object(&lab.get(&site.datacenter, vsphere_model::managed::datacenter::DATASTORE).await[0]);
    let before = lab.get(&store, datastore::SUMMARY).await;
    let machine = lab.machine("web-1", &[]).await;
    assert_ne!(lab.get(&store, datastore::SUMMARY).await.free_space, before.free_space);
    lab.done(machine.create_snapshot_task("s", None, false, false)).await;
    lab.done(machine.power_on_vm_task(None)).await;
    assert!(lab.refused(machine.destroy_task()).await.is::<InvalidPowerState>());
    lab.done(machine.power_off_vm_task()).await;
    lab.done(machine.destroy_task()).await;
    let after = lab.get(&store, datastore::SUMMARY).await;
    assert_eq!((after.free_space, after.uncommitted), (before.free_space, before.uncommitted));
    assert_eq!(lab.get(&store, datastore::VM).await, []);
}

#[tokio::test]
async fn a_machine_says_where_its_datastores_are_and_has_what_every_real_one_has() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    let store = lab.get(&machine, vm::DATASTORE).await[0].clone();
    let url: String = lab.read(&store, "summary.url").await.unwrap().take().unwrap();
    let mounted = url.strip_prefix("ds://").unwrap().trim_end_matches('/');
    let urls = async || {
        let pairs = lab.get(&machine, vm::CONFIG).await.unwrap().datastore_url;
        pairs.into_iter().map(|pair| (pair.name, pair.url)).collect::<Vec<_>>()
    };
    let name: String = lab.read(&store, "name").await.unwrap().take().unwrap();
    assert_eq!(urls().await, [(name, mounted.to_owned())]);
    lab.run(lab.object::<Datastore>(&store).rename_task("fast")).await;
    assert_eq!(urls().await, [("fast".to_owned(), mounted.to_owned())]);
    let (folder, spec) = (lab.site().await.folder, VirtualMachineCloneSpec::default());
    let copy = lab.run(machine.clone_vm_task(folder.handle().reference(), "web-2", &spec)).await.take().unwrap();
    let location = async |machine: &ManagedObjectReference| -> String {
        lab.read(machine, "config.locationId").await.unwrap().take().unwrap()
    };
    let (own, other) = (location(&reference(&machine)).await, location(&copy).await);
    assert!(own.starts_with("564d") && own.len() == 36 && own != other, "{own} {other}");
    for path in [
        "config.scheduledHardwareUpgradeInfo.upgradePolicy",
        "config.guestIntegrityInfo.enabled",
        "config.tools.lastInstallInfo.counter",
        "runtime.snapshotInBackground",
        "summary.quickStats.ftLatencyStatus",
    ] {
        assert_ne!(lab.read(&copy, path).await.unwrap(), Any::Unset, "{path}");
    }
}
