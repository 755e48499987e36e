//! Virtual disks as files, and first class disks.

use crate::support::Lab;
use vsphere_model::managed::{
    Datastore, FileManager, VcenterVStorageObjectManager, VirtualDiskManager, datastore, host_datastore_browser,
};
use vsphere_model::types::{
    BaseConfigInfoDiskFileBackingInfo, FileBackedVirtualDiskSpec, FileQueryFlags, HostDatastoreBrowserSearchResults,
    HostDatastoreBrowserSearchSpec, ManagedObjectReference, Poly, VStorageObject, VirtualDiskSpec, VslmCloneSpec,
    VslmCreateSpec, VslmCreateSpecBackingSpec, VslmCreateSpecDiskFileBackingSpec, VslmMigrateSpec,
};
use vsphere_sim::{Model, Size};

struct Disks {
    lab: Lab,
    dc: ManagedObjectReference,
    disks: VirtualDiskManager,
    store: Datastore,
}

impl Disks {
    async fn new() -> Self {
        let lab = Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await;
        let dc = lab.at("/DC0").await;
        let disks = lab.object(lab.content.virtual_disk_manager.as_ref().unwrap());
        let store = lab.object(&lab.at("/DC0/datastore/DC0_DS0").await);
        Self { lab, dc, disks, store }
    }

    async fn create(&self, path: &str, kb: i64, kind: &str) {
        let made = self.lab.run(self.disks.create_virtual_disk_task(path, Some(&self.dc), &spec(kb, kind))).await;
        assert_eq!(made.as_str(), Some(path));
    }

    /// The bytes that the datastore has less, and those that it may come to have less.
    async fn space(&self) -> (i64, i64) {
        let summary = self.lab.get(&self.store, datastore::SUMMARY).await;
        (summary.capacity - summary.free_space, summary.uncommitted.unwrap())
    }

    /// Names and sizes.
    async fn files(&self, pattern: &str) -> Vec<(String, i64)> {
        let browser = self.lab.get(&self.store, datastore::BROWSER).await;
        let browser: vsphere_model::managed::HostDatastoreBrowser = self.lab.object(&browser);
        assert_eq!(self.lab.get(&browser, host_datastore_browser::DATASTORE).await.len(), 1);
        let spec = HostDatastoreBrowserSearchSpec {
            match_pattern: vec![pattern.to_owned()],
            details: Some(Box::new(FileQueryFlags { file_size: true, ..Default::default() })),
            ..Default::default()
        };
        let found = self.lab.run(browser.search_datastore_task("[DC0_DS0]", Some(&spec))).await;
        let found: HostDatastoreBrowserSearchResults = found.take().unwrap();
        found.file.iter().map(|file| (file.path.clone(), file.file_size.unwrap())).collect()
    }
}

fn spec(kb: i64, kind: &str) -> Poly<VirtualDiskSpec> {
    let mut spec = FileBackedVirtualDiskSpec { capacity_kb: kb, ..Default::default() };
    spec.disk_type = kind.to_owned();
    spec.adapter_type = "busLogic".to_owned();
    Poly::new(spec)
}

const MB: i64 = 1 << 20;

#[tokio::test]
async fn a_disk_takes_space_as_its_format_says() {
    let lab = Disks::new().await;
    lab.create("[DC0_DS0] thin.vmdk", 8 << 10, "thin").await;
    lab.create("[DC0_DS0] thick.vmdk", 4 << 10, "preallocated").await;
    assert_eq!(lab.space().await, (4 * MB, 8 * MB));
    let task = |name: &'static str| lab.disks.inflate_virtual_disk_task(name, Some(&lab.dc));
    lab.lab.run(task("[DC0_DS0] thin.vmdk")).await;
    assert_eq!(lab.space().await, (12 * MB, 0));
    lab.lab.task_fault(task("[DC0_DS0] thin.vmdk"), "InvalidDiskFormat").await;
    lab.lab.task_fault(task("[DC0_DS0] none.vmdk"), "FileNotFound").await;
    lab.lab.run(lab.disks.eager_zero_virtual_disk_task("[DC0_DS0] thick.vmdk", Some(&lab.dc))).await;
    let extend = |kb| lab.disks.extend_virtual_disk_task("[DC0_DS0] thick.vmdk", Some(&lab.dc), kb, None);
    lab.lab.run(extend(6 << 10)).await;
    assert_eq!(lab.space().await, (14 * MB, 0));
    lab.lab.task_fault(extend(5 << 10), "InvalidArgument").await;
    lab.lab.run(lab.disks.delete_virtual_disk_task("[DC0_DS0] thick.vmdk", Some(&lab.dc))).await;
    // The extent is gone with the descriptor.
    assert_eq!(lab.files("thick*").await, []);
    assert_eq!(lab.space().await, (8 * MB, 0));
}

#[tokio::test]
async fn a_disk_is_copied_as_it_is_and_moved_whole() {
    let lab = Disks::new().await;
    lab.create("[DC0_DS0] a.vmdk", 8 << 10, "thin").await;
    let uuid = |name: &'static str| lab.disks.query_virtual_disk_uuid(name, Some(&lab.dc));
    let first = uuid("[DC0_DS0] a.vmdk").await.unwrap();
    let copy = |to: &'static str, kind: Option<&str>, force| {
        let kind = kind.map(|kind| spec(0, kind));
        lab.disks.copy_virtual_disk_task("[DC0_DS0] a.vmdk", Some(&lab.dc), to, None, kind.as_ref(), Some(force))
    };
    let error = copy("[DC0_DS0] b.vmdk", Some("eagerZeroedThick"), false).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("NotImplemented")), "{error}");
    lab.lab.run(copy("[DC0_DS0] b.vmdk", None, false)).await;
    lab.lab.run(copy("[DC0_DS0] a.vmdk", None, false)).await;
    assert_eq!(lab.files("b.vmdk").await, [("b.vmdk".to_owned(), 0)]);
    assert_ne!(uuid("[DC0_DS0] b.vmdk").await.unwrap(), first);
    lab.lab.task_fault(copy("[DC0_DS0] b.vmdk", None, false), "FileAlreadyExists").await;
    lab.lab.run(copy("[DC0_DS0] b.vmdk", None, true)).await;
    assert_eq!(lab.files("b.vmdk").await, [("b.vmdk".to_owned(), 0)]);
    assert_eq!(lab.space().await, (0, 16 * MB));
    let moved = |from: &'static str, to: &'static str| {
        lab.disks.move_virtual_disk_task(from, Some(&lab.dc), to, None, None, &[])
    };
    lab.lab.task_fault(moved("[DC0_DS0] a.vmdk", "[DC0_DS0] b.vmdk"), "FileAlreadyExists").await;
    lab.lab.run(moved("[DC0_DS0] a.vmdk", "[DC0_DS0] a.vmdk")).await;
    assert_eq!(lab.files("*").await.len(), 2);
    lab.lab.run(moved("[DC0_DS0] a.vmdk", "[DC0_DS1] c.vmdk")).await;
    assert_eq!(lab.files("a*").await, []);
    assert_eq!(uuid("[DC0_DS1] c.vmdk").await.unwrap(), first);
}

#[tokio::test]
async fn a_host_copies_a_disk_into_another_format() {
    let lab = Lab::new(Model::esxi()).await;
    let disks: VirtualDiskManager = lab.object(lab.content.virtual_disk_manager.as_ref().unwrap());
    let store: Datastore = lab.object(&lab.all_of("Datastore").await[0]);
    let name = lab.get(&store, datastore::NAME).await;
    let [from, to] = ["a.vmdk", "b.vmdk"].map(|file| format!("[{name}] {file}"));
    lab.run(disks.create_virtual_disk_task(&from, None, &spec(8 << 10, "thin"))).await;
    let before = lab.get(&store, datastore::SUMMARY).await.free_space;
    let thick = spec(0, "eagerZeroedThick");
    lab.run(disks.copy_virtual_disk_task(&from, None, &to, None, Some(&thick), None)).await;
    assert_eq!(before - lab.get(&store, datastore::SUMMARY).await.free_space, 8 * MB);
}

#[tokio::test]
async fn a_disk_has_an_identity_and_a_geometry() {
    let lab = Disks::new().await;
    let name = "[DC0_DS0] a.vmdk";
    lab.create(name, 20 << 20, "thin").await;
    let uuid = "60 00 c2 92 5b d2 75 56-4f 0f 2a 4b 16 0c 07 a5";
    lab.disks.set_virtual_disk_uuid(name, Some(&lab.dc), uuid).await.unwrap();
    assert_eq!(lab.disks.query_virtual_disk_uuid(name, Some(&lab.dc)).await.unwrap(), uuid);
    let error = lab.disks.set_virtual_disk_uuid(name, Some(&lab.dc), "none").await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidArgument")), "{error}");
    let geometry = lab.disks.query_virtual_disk_geometry(name, Some(&lab.dc)).await.unwrap();
    assert_eq!((geometry.cylinder, geometry.head, geometry.sector), (2610, 255, 63));
    assert_eq!(lab.disks.query_virtual_disk_fragmentation(name, Some(&lab.dc)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_disk_that_cannot_be_is_not_made() {
    let lab = Disks::new().await;
    let create =
        |path: &'static str, kb, kind| lab.disks.create_virtual_disk_task(path, Some(&lab.dc), &spec(kb, kind));
    for (kb, kind) in [(0, "thin"), (-1, "thin"), (i64::MAX, "thin"), (1 << 40, "thin"), (1024, "rubber")] {
        let error = create("[DC0_DS0] a.vmdk", kb, kind).await.unwrap_err();
        assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidArgument")), "{kb} {kind}: {error}");
    }
    lab.lab.task_fault(create("[DC0_DS0] no/a.vmdk", 1024, "thin"), "FileNotFound").await;
    lab.create("[DC0_DS0] a.vmdk", 1024, "thin").await;
    lab.lab.task_fault(create("[DC0_DS0] a.vmdk", 1024, "thin"), "FileAlreadyExists").await;
}

#[tokio::test]
async fn what_a_running_machine_has_open_stays() {
    let lab = Lab::new(Model::sized(Size::default())).await;
    let vm: vsphere_model::managed::VirtualMachine = lab.machine("web-1", &[]).await;
    let layout: String = lab.read(vm_reference(&vm), "config.files.vmPathName").await.unwrap().take().unwrap();
    let folder = layout.rsplit_once('/').unwrap().0.to_owned();
    let dc = lab.at("/DC0").await;
    let files: FileManager = lab.object(lab.content.file_manager.as_ref().unwrap());
    let disks: VirtualDiskManager = lab.object(lab.content.virtual_disk_manager.as_ref().unwrap());
    lab.run(vm.power_on_vm_task(None)).await;
    let disk = format!("{folder}/web-1.vmdk");
    lab.task_fault(disks.delete_virtual_disk_task(&disk, Some(&dc)), "FileLocked").await;
    lab.task_fault(disks.extend_virtual_disk_task(&disk, Some(&dc), 1 << 30, None), "FileLocked").await;
    lab.task_fault(files.delete_datastore_file_task(&format!("{folder}/web-1-flat.vmdk"), Some(&dc)), "FileLocked")
        .await;
    lab.task_fault(files.delete_datastore_file_task(&folder, Some(&dc)), "CannotDeleteFile").await;
    lab.run(vm.power_off_vm_task()).await;
    lab.run(disks.extend_virtual_disk_task(&disk, Some(&dc), 1 << 30, None)).await;
    lab.run(files.delete_datastore_file_task(&folder, Some(&dc))).await;
}

fn vm_reference(vm: &vsphere_model::managed::VirtualMachine) -> &ManagedObjectReference {
    use vsphere_soap::request::ManagedObject as _;
    vm.handle().reference()
}

#[tokio::test]
async fn first_class_disks_live_in_datastores_under_names_of_their_own() {
    let lab = Disks::new().await;
    let manager: VcenterVStorageObjectManager =
        lab.lab.object(lab.lab.content.v_storage_object_manager.as_ref().unwrap());
    let store = lab.lab.at("/DC0/datastore/DC0_DS0").await;
    let backing = |store: &ManagedObjectReference| {
        let base = VslmCreateSpecBackingSpec { datastore: store.clone(), ..Default::default() };
        Poly::new(VslmCreateSpecDiskFileBackingSpec { base, provisioning_type: Some("thin".to_owned()) })
    };
    let spec = VslmCreateSpec {
        name: "data".to_owned(),
        capacity_in_mb: 64,
        backing_spec: backing(&store),
        ..Default::default()
    };
    let made: VStorageObject = lab.lab.run(manager.create_disk_task(&spec)).await.take().unwrap();
    let id = made.config.id.clone();
    assert_eq!((made.config.name.as_str(), made.config.capacity_in_mb), ("data", 64));
    let file = made.config.backing.downcast_ref::<BaseConfigInfoDiskFileBackingInfo>().unwrap();
    assert!(file.file_path.starts_with("[DC0_DS0] fcd/") && file.provisioning_type == "thin", "{}", file.file_path);
    assert_eq!(lab.space().await, (0, 64 * MB));
    lab.lab.run(manager.extend_disk_task(&id, &store, 128)).await;
    lab.lab.run(manager.inflate_disk_task(&id, &store)).await;
    manager.rename_v_storage_object(&id, &store, "data-2").await.unwrap();
    let now = manager.retrieve_v_storage_object(&id, &store, &[]).await.unwrap();
    assert_eq!((now.config.name.as_str(), now.config.capacity_in_mb), ("data-2", 128));
    assert_eq!(lab.space().await, (128 * MB, 0));
    let base = VslmMigrateSpec { backing_spec: backing(&store), ..Default::default() };
    let clone = VslmCloneSpec { base, name: "clone".to_owned(), ..Default::default() };
    lab.lab.run(manager.clone_v_storage_object_task(&id, &store, &clone)).await;
    assert_eq!(manager.list_v_storage_object(&store).await.unwrap().len(), 2);
    lab.lab.run(manager.delete_v_storage_object_task(&id, &store)).await;
    let error = manager.retrieve_v_storage_object(&id, &store, &[]).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("NotFound")), "{error}");
    // A disk whose file goes another way is listed until the inventory is put in order.
    let files: FileManager = lab.lab.object(lab.lab.content.file_manager.as_ref().unwrap());
    lab.lab.run(files.delete_datastore_file_task("[DC0_DS0] fcd", Some(&lab.dc))).await;
    assert_eq!(manager.list_v_storage_object(&store).await.unwrap().len(), 1);
    lab.lab.run(manager.reconcile_datastore_inventory_task(&store, None)).await;
    assert_eq!(manager.list_v_storage_object(&store).await.unwrap().len(), 0);
    // A disk that is there becomes one by its URL.
    lab.create("[DC0_DS0] old.vmdk", 1 << 10, "thin").await;
    let url = "https://vcenter/folder/old.vmdk?dcPath=DC0&dsName=DC0_DS0";
    let known = manager.register_disk(url, Some("old"), None).await.unwrap();
    assert_eq!((known.config.name.as_str(), known.config.capacity_in_mb), ("old", 1));
    let error = manager.register_disk(url, None, None).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("AlreadyExists")), "{error}");
}
