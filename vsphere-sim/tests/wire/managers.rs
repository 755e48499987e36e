//! The managers that clients rarely ask: licences, extensions, logs, schedules, customization specifications.

use crate::support::{Lab, fault};
use chrono::Duration;
use vsphere_model::managed::{
    CustomizationSpecManager, DiagnosticManager, ExtensionManager, IpPoolManager, LicenseAssignmentManager,
    LicenseManager, ScheduledTask, ScheduledTaskManager, ServiceInstance, customization_spec_manager,
    extension_manager, license_manager, scheduled_task_manager,
};
use vsphere_model::types::{
    Any, CustomizationSpecInfo, CustomizationSpecItem, DailyTaskScheduler, DateTime, Description, Extension, KeyValue,
    ManagedObjectReference, MethodAction, OnceTaskScheduler, Poly, ScheduledTaskInfo, ScheduledTaskSpec,
    ServiceContent, TaskScheduler,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::object::{DataObject as _, DataType as _, Value};

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 1, ..Size::default() })).await
}

#[tokio::test]
async fn licences_are_added_assigned_and_removed() {
    const KEY: &str = "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE";
    let lab = lab().await;
    let licenses: LicenseManager = lab.object(lab.content.license_manager.as_ref().unwrap());
    let assignments: LicenseAssignmentManager =
        lab.object(&lab.get(&licenses, license_manager::LICENSE_ASSIGNMENT_MANAGER).await.unwrap());
    let all = lab.get(&licenses, license_manager::LICENSES).await;
    assert_eq!((all.len(), all[0].edition_key.as_str()), (1, "eval"));
    assert_eq!(fault(licenses.add_license("AAAAA-BBBBB", &[])).await, "InvalidArgument");
    assert_eq!(fault(licenses.remove_license(KEY)).await, "InvalidArgument");
    let label = KeyValue { key: "team".to_owned(), value: "web".to_owned() };
    let added = licenses.add_license(KEY, &[label]).await.unwrap();
    assert_eq!((added.used, added.labels.len()), (Some(0), 1));
    let [host] = lab.some(["HostSystem"]).await;
    assignments.update_assigned_license(&host.value, KEY, None).await.unwrap();
    let assigned = assignments.query_assigned_licenses(Some(&host.value)).await.unwrap();
    assert_eq!(assigned[0].assigned_license.license_key, KEY);
    let used = lab.get(&licenses, license_manager::LICENSES).await[1].used;
    assert_eq!(used, Some(2), "a host takes a unit for each of its packages");
    assert_eq!(fault(licenses.remove_license(KEY)).await, "InvalidState");
    assert_eq!(fault(assignments.update_assigned_license("host-0", KEY, None)).await, "LicenseEntityNotFound");
    assignments.remove_assigned_license(&host.value).await.unwrap();
    licenses.remove_license(KEY).await.unwrap();
    assert!(assignments.query_assigned_licenses(None).await.unwrap().len() > 3, "the server and its hosts");
}

#[tokio::test]
async fn an_extension_is_registered_once() {
    let lab = lab().await;
    let extensions: ExtensionManager = lab.object(lab.content.extension_manager.as_ref().unwrap());
    let before = lab.get(&extensions, extension_manager::EXTENSION_LIST).await.len();
    let mut extension = Extension {
        key: "com.example.backup".to_owned(),
        version: "1.0".to_owned(),
        description: Poly::new(Description { label: "Backup".to_owned(), summary: "Backup".to_owned() }),
        ..Default::default()
    };
    assert!(extensions.find_extension(&extension.key).await.unwrap().is_none());
    extensions.register_extension(&extension).await.unwrap();
    assert_eq!(fault(extensions.register_extension(&extension)).await, "InvalidArgument");
    extension.version = "1.1".to_owned();
    extensions.update_extension(&extension).await.unwrap();
    assert_eq!(extensions.find_extension(&extension.key).await.unwrap().unwrap().version, "1.1");
    extensions.unregister_extension(&extension.key).await.unwrap();
    assert_eq!(fault(extensions.unregister_extension(&extension.key)).await, "NotFound");
    assert_eq!(fault(extensions.update_extension(&extension)).await, "NotFound");
    assert_eq!(lab.get(&extensions, extension_manager::EXTENSION_LIST).await.len(), before);
}

#[tokio::test]
async fn logs_tell_what_happened() {
    let lab = lab().await;
    let logs: DiagnosticManager = lab.object(lab.content.diagnostic_manager.as_ref().unwrap());
    assert_eq!(logs.query_descriptions(None).await.unwrap()[0].key, "vpxd:vpxd.log");
    let page = logs.browse_diagnostic_log(None, "vpxd:vpxd.log", None, None).await.unwrap();
    assert!(page.line_text.iter().any(|line| line.contains("logged in as")), "{:?}", page.line_text);
    assert_eq!(page.line_end, i32::try_from(page.line_text.len()).unwrap());
    let last = logs.browse_diagnostic_log(None, "vpxd:vpxd.log", Some(page.line_end), Some(5)).await.unwrap();
    assert_eq!(last.line_text.len(), 1);
    let beyond = logs.browse_diagnostic_log(None, "vpxd:vpxd.log", Some(i32::MAX), None).await.unwrap();
    assert_eq!((beyond.line_end, beyond.line_text.len()), (page.line_end, 0));
    let [host] = lab.some(["HostSystem"]).await;
    assert_eq!(logs.query_descriptions(Some(&host)).await.unwrap().len(), 3);
    assert_eq!(fault(logs.browse_diagnostic_log(Some(&host), "vpxd:vpxd.log", None, None)).await, "InvalidArgument");
}

#[tokio::test]
async fn a_scheduled_task_knows_when_it_comes() {
    let lab = lab().await;
    let tasks: ScheduledTaskManager = lab.object(lab.content.scheduled_task_manager.as_ref().unwrap());
    let [vm] = lab.some(["VirtualMachine"]).await;
    let instance = ManagedObjectReference::new("ServiceInstance", "ServiceInstance");
    let now: DateTime = lab.read(&instance, "serverClock").await.unwrap().take().unwrap();
    let spec = |name: &str, scheduler: Poly<TaskScheduler>| ScheduledTaskSpec {
        name: name.to_owned(),
        enabled: true,
        scheduler,
        action: Poly::new(MethodAction { name: "PowerOffVM_Task".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let mut daily = DailyTaskScheduler { hour: 3, ..Default::default() };
    daily.minute = 30;
    let reference = tasks.create_scheduled_task(&vm, &Poly::new(spec("nightly", Poly::new(daily)))).await.unwrap();
    let info = async || -> ScheduledTaskInfo { lab.read(&reference, "info").await.unwrap().take().unwrap() };
    let next = info().await.next_run_time.unwrap();
    assert!(next > now && next - now <= Duration::days(1));
    assert_eq!(next.format("%H:%M:%S").to_string(), "03:30:00");
    assert_eq!(tasks.retrieve_entity_scheduled_task(Some(&vm)).await.unwrap(), std::slice::from_ref(&reference));
    assert_eq!(lab.get(&tasks, scheduled_task_manager::SCHEDULED_TASK).await, std::slice::from_ref(&reference));

    let task: ScheduledTask = lab.object(&reference);
    let once = OnceTaskScheduler { run_at: Some(now - Duration::hours(1)), ..Default::default() };
    task.reconfigure_scheduled_task(&Poly::new(spec("over", Poly::new(once)))).await.unwrap();
    assert_eq!((info().await.name.as_str(), info().await.next_run_time), ("over", None));
    task.run_scheduled_task().await.unwrap();
    assert!(info().await.prev_run_time.is_some());
    let same = tasks.create_scheduled_task(&vm, &Poly::new(spec("over", Poly::new(DailyTaskScheduler::default()))));
    assert_eq!(fault(same).await, "DuplicateName");
    let never = tasks.create_scheduled_task(&vm, &Poly::new(spec("never", Poly::default())));
    assert_eq!(fault(never).await, "InvalidArgument");
    task.remove_scheduled_task().await.unwrap();
    assert!(lab.get(&tasks, scheduled_task_manager::SCHEDULED_TASK).await.is_empty());
}

#[tokio::test]
async fn customization_specifications_are_kept_under_names() {
    let lab = lab().await;
    let specs: CustomizationSpecManager = lab.object(lab.content.customization_spec_manager.as_ref().unwrap());
    let info = CustomizationSpecInfo { name: "linux".to_owned(), type_: "Linux".to_owned(), ..Default::default() };
    let item = CustomizationSpecItem { info, ..Default::default() };
    specs.create_customization_spec(&item).await.unwrap();
    assert_eq!(fault(specs.create_customization_spec(&item)).await, "AlreadyExists");
    assert!(specs.does_customization_spec_exist("linux").await.unwrap());
    let read = specs.get_customization_spec("linux").await.unwrap();
    specs.overwrite_customization_spec(&read).await.unwrap();
    assert_eq!(fault(specs.overwrite_customization_spec(&read)).await, "ConcurrentAccess");
    specs.duplicate_customization_spec("linux", "debian").await.unwrap();
    specs.rename_customization_spec("linux", "rocky").await.unwrap();
    assert_eq!(fault(specs.rename_customization_spec("debian", "rocky")).await, "AlreadyExists");
    let names: Vec<String> =
        lab.get(&specs, customization_spec_manager::INFO).await.into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["debian", "rocky"]);
    specs.delete_customization_spec("rocky").await.unwrap();
    assert_eq!(fault(specs.get_customization_spec("rocky")).await, "NotFound");
}

#[tokio::test]
async fn a_host_in_order_takes_machines() {
    let lab = lab().await;
    let instance: ServiceInstance = lab.object(&ManagedObjectReference::new("ServiceInstance", "ServiceInstance"));
    let [vm, host] = lab.some(["VirtualMachine", "HostSystem"]).await;
    let vms = [vm.clone()];
    assert!(instance.validate_migration(&vms, None, &[], None, Some(&host)).await.unwrap().is_empty());
    let good = instance.query_v_motion_compatibility(&vm, std::slice::from_ref(&host), &[]).await.unwrap();
    assert_eq!(good[0].compatibility, ["cpu", "software"]);
    assert!(instance.retrieve_product_components().await.unwrap().is_empty());
}

#[tokio::test]
async fn every_manager_of_a_vcenter_is_there_and_says_what_it_can_not_do() {
    let lab = lab().await;
    // Of hosts alone, or of versions that are long gone.
    let absent = ["accountManager", "virtualizationManager"];
    for (index, field) in ServiceContent::INFO.fields().iter().enumerate() {
        let is_unset = matches!(lab.content.get(index), Value::Unset);
        assert_eq!(is_unset, absent.contains(&field.name), "{}", field.name);
    }
    let pools: IpPoolManager = lab.object(lab.content.ip_pool_manager.as_ref().unwrap());
    let [datacenter] = lab.some(["Datacenter"]).await;
    let error = pools.query_ip_pools(&datacenter).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("NotSupported")), "{error}");
    assert!(error.to_string().contains("QueryIpPools of IpPoolManager"), "{error}");
    let crypto = lab.content.crypto_manager.as_ref().unwrap();
    assert_eq!(lab.read(crypto, "enabled").await.unwrap(), Any::Boolean(true));

    let old = Lab::new(Model::empty().version("6.5.0.0")).await;
    assert!(old.content.crypto_manager.is_some() && old.content.tenant_manager.is_none());
}
