//! Datastores as wholes: what they tell, their names, maintenance, end.

use crate::support::Lab;
use vsphere_model::managed::{
    Datacenter, Datastore, FileManager, Folder, StoragePod, datacenter, datastore, storage_pod,
};
use vsphere_model::types::{ManagedObjectReference, VmfsDatastoreInfo};
use vsphere_sim::{Model, Size};

async fn lab() -> (Lab, Datastore) {
    let lab = Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await;
    let store = lab.object(&lab.at("/DC0/datastore/DC0_DS0").await);
    (lab, store)
}

#[tokio::test]
async fn a_datastore_tells_what_it_is_and_who_sees_it() {
    let (lab, store) = lab().await;
    let summary = lab.get(&store, datastore::SUMMARY).await;
    assert_eq!((summary.name.as_str(), summary.type_.as_str()), ("DC0_DS0", "VMFS"));
    assert_eq!((summary.capacity, summary.free_space, summary.uncommitted), (64 << 40, 64 << 40, Some(0)));
    assert!(summary.accessible && summary.multiple_host_access == Some(true));
    let info = lab.get(&store, datastore::INFO).await;
    assert_eq!((&info.url, info.free_space), (&summary.url, summary.free_space));
    let vmfs = info.downcast_ref::<VmfsDatastoreInfo>().unwrap().vmfs.clone().unwrap();
    assert_eq!((vmfs.name.as_str(), vmfs.major_version, vmfs.extent.len()), ("DC0_DS0", 6, 1));
    assert!(summary.url.contains(&vmfs.uuid));
    let mounts = lab.get(&store, datastore::HOST).await;
    assert_eq!(mounts.len(), 3);
    assert_eq!(format!("ds://{}/", mounts[0].mount_info.path.as_ref().unwrap()), summary.url);
    assert!(lab.get(&store, datastore::CAPABILITY).await.directory_hierarchy_supported);
    assert_eq!(lab.get(&store, datastore::IORM_CONFIGURATION).await.unwrap().congestion_threshold, 30);
    store.refresh_datastore().await.unwrap();
    store.refresh_datastore_storage_info().await.unwrap();
}

#[tokio::test]
async fn a_new_name_is_the_name_of_its_paths() {
    let (lab, store) = lab().await;
    let files: FileManager = lab.object(lab.content.file_manager.as_ref().unwrap());
    let dc = lab.at("/DC0").await;
    files.make_directory("[DC0_DS0] iso", Some(&dc), None).await.unwrap();
    let error = store.rename_datastore("DC0_DS1").await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("DuplicateName")), "{error}");
    store.rename_datastore("fast/1").await.unwrap();
    assert_eq!(lab.get(&store, datastore::NAME).await, "fast%2f1");
    assert_eq!(lab.get(&store, datastore::SUMMARY).await.name, "fast%2f1");
    files.make_directory("[fast%2f1] iso/linux", Some(&dc), None).await.unwrap();
    let error = files.make_directory("[DC0_DS0] other", Some(&dc), None).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidDatastore")), "{error}");
}

#[tokio::test]
async fn a_datastore_goes_into_maintenance_and_back() {
    let (lab, store) = lab().await;
    let entered = store.datastore_enter_maintenance_mode().await.unwrap();
    assert!(entered.task.is_some());
    let mode = || async { lab.get(&store, datastore::SUMMARY).await.maintenance_mode.unwrap() };
    assert_eq!(mode().await, "inMaintenance");
    let error = store.datastore_enter_maintenance_mode().await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidState")), "{error}");
    lab.run(store.datastore_exit_maintenance_mode_task()).await;
    assert_eq!(mode().await, "normal");
}

#[tokio::test]
async fn a_datastore_that_is_destroyed_is_gone_everywhere() {
    let (lab, store) = lab().await;
    let other = lab.at("/DC0/datastore/DC0_DS1").await;
    store.destroy_datastore().await.unwrap();
    let dc: Datacenter = lab.object(&lab.at("/DC0").await);
    assert_eq!(lab.get(&dc, datacenter::DATASTORE).await, std::slice::from_ref(&other));
    for path in ["/DC0/host/DC0_C0", "/DC0/host/DC0_C0/DC0_C0_H0"] {
        let seen: Vec<ManagedObjectReference> =
            lab.read(&lab.at(path).await, "datastore").await.unwrap().take().unwrap();
        assert_eq!(seen, std::slice::from_ref(&other), "{path}");
    }
    let children: Vec<ManagedObjectReference> =
        lab.read(&lab.at("/DC0/datastore").await, "childEntity").await.unwrap().take().unwrap();
    assert_eq!(children, [other]);
    let error = store.refresh_datastore().await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("ManagedObjectNotFound")), "{error}");
}

#[tokio::test]
async fn datastores_are_brought_together_in_a_cluster() {
    let (lab, store) = lab().await;
    let folder: Folder = lab.object(&lab.at("/DC0/datastore").await);
    let made = folder.create_storage_pod("fast").await.unwrap();
    assert_eq!(made.type_, "StoragePod");
    let error = folder.create_storage_pod("DC0_DS0").await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("DuplicateName")), "{error}");
    let pod: StoragePod = lab.object(&made);
    let other = lab.at("/DC0/vm").await;
    let error = pod.move_into_folder_task(&[other]).await.unwrap_err();
    assert!(error.fault().is_some(), "{error}");
    let member = lab.at("/DC0/datastore/DC0_DS0").await;
    lab.run(pod.move_into_folder_task(std::slice::from_ref(&member))).await;
    let summary = lab.get(&pod, storage_pod::SUMMARY).await.unwrap();
    assert_eq!((summary.name.as_str(), summary.capacity), ("fast", 64 << 40));
    assert!(!lab.get(&pod, storage_pod::POD_STORAGE_DRS_ENTRY).await.unwrap().storage_drs_config.pod_config.enabled);
    assert_eq!(lab.at("/DC0/datastore/fast/DC0_DS0").await, member);
    // It is in its datacenter as before.
    let files: FileManager = lab.object(lab.content.file_manager.as_ref().unwrap());
    files.make_directory("[DC0_DS0] a", Some(&lab.at("/DC0").await), None).await.unwrap();
    store.destroy_datastore().await.unwrap();
    lab.run(pod.destroy_task()).await;
}
