//! A client that rules bind: what it sees, and what it may do.

#![allow(clippy::unwrap_used, reason = "a panic is how a test and its helpers fail")]

use vsphere_ops::files::FileQuery;
use vsphere_ops::managed::{
    ClusterComputeResource, Datacenter, Datastore, Folder, HostSystem, ManagedEntity, Network, ResourcePool,
    Task as RawTask, VirtualMachine, cluster_compute_resource as cluster, datastore as ds, host_system as host,
    managed_entity as entity, network, virtual_machine as vm,
};
use vsphere_ops::sight::{ObjectPattern, Rules, Tree};
use vsphere_ops::types::ManagedObjectReference;
use vsphere_ops::{Client, Config, Error, ListQuery, Mo, Task};
use vsphere_sim::{Model, Sim};

struct Lab {
    sim: Sim,
    client: Client,
    tree: Tree,
}

const PLACES: [&str; 3] = ["/fra1/host/**", "/fra1/datastore/**", "/fra1/network/**"];

fn patterns(texts: &[&str]) -> Vec<ObjectPattern> {
    texts.iter().map(|text| ObjectPattern::parse(text).unwrap()).collect()
}

impl Lab {
    async fn demo() -> Self {
        let sim = Sim::start(Model::demo().pace(0.0)).await.unwrap();
        let thumbprint = sim.thumbprint().unwrap().to_string();
        let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD).thumbprint(&thumbprint);
        let client = Client::connect(config).await.unwrap();
        let tree = Tree::start(&client).await.unwrap();
        Self { sim, client, tree }
    }

    /// A client for these VMs, and for all places.
    fn allowed(&self, vms: &[&str]) -> Client {
        self.tree.guarded(Rules::new().allow(patterns(vms)).allow(patterns(&PLACES)))
    }

    fn without(&self, objects: &[&str]) -> Client {
        self.tree.guarded(Rules::new().deny(patterns(objects)))
    }

    async fn vm(&self, name: &str) -> Mo<VirtualMachine> {
        self.client.get(name).await.unwrap()
    }
}

async fn names(client: &Client) -> Vec<String> {
    let rows = client.all::<VirtualMachine>().select(vm::NAME).await.unwrap();
    let mut names: Vec<String> = rows.into_vec().into_iter().map(|(_, name)| name).collect();
    names.sort();
    names
}

fn text_of(error: &Error, what: &str) -> String {
    error.to_string().replace(what, "X")
}

#[tokio::test]
async fn what_is_denied_is_not_there() {
    let lab = Lab::demo().await;
    let web = lab.allowed(&["/fra1/vm/prod/web/**"]);
    assert_eq!(names(&web).await, ["lb-01", "lb-02", "web-01", "web-02", "web-03", "web-04"]);
    let hidden = lab.vm("pg-01").await;
    let uuid = hidden.info().await.unwrap().uuid.unwrap();
    for what in ["pg-01", hidden.id(), "/fra1/vm/prod/db/pg-01", &format!("VirtualMachine:{}", hidden.id()), &uuid] {
        let error = web.get::<VirtualMachine>(what).await.unwrap_err();
        assert_eq!(error.code(), "not_found", "{what}: {error}");
    }
    // As if it did not exist.
    let (there, not_there) = ("pg-01", "pg-99");
    let (denied, none) =
        (web.get::<VirtualMachine>(there).await.unwrap_err(), web.get::<VirtualMachine>(not_there).await.unwrap_err());
    assert_eq!(text_of(&denied, there), text_of(&none, not_there));
    let (denied, none) = (
        web.get::<VirtualMachine>(hidden.id()).await.unwrap_err(),
        web.get::<VirtualMachine>("vm-99999").await.unwrap_err(),
    );
    assert_eq!(text_of(&denied, hidden.id()), text_of(&none, "vm-99999"));
    // The way to what is permitted can be walked, and no other.
    assert!(web.get::<VirtualMachine>("/fra1/vm/prod/web/web-01").await.is_ok());
    assert!(web.get::<Folder>("/fra1/vm/prod").await.is_ok());
    assert!(web.get::<Folder>("/fra1/vm/infra").await.is_err());
    assert_eq!(web.get::<VirtualMachine>("web-01").await.unwrap().path().await.unwrap(), "/fra1/vm/prod/web/web-01");
    // Rules without an allow leave all else.
    let rest = lab.without(&["/fra1/vm/prod/**"]);
    let seen = names(&rest).await;
    assert!(seen.contains(&"dc-01".to_owned()) && !seen.iter().any(|name| name.starts_with("web-")), "{seen:?}");
}

#[tokio::test]
async fn places_list_only_what_is_permitted() {
    let lab = Lab::demo().await;
    let web = lab.allowed(&["/fra1/vm/prod/web/**"]);
    let permitted: Vec<String> =
        web.all::<VirtualMachine>().select(()).await.unwrap().iter().map(|(vm, ())| vm.id().to_owned()).collect();
    let known = |vms: &[ManagedObjectReference]| vms.iter().all(|vm| permitted.contains(&vm.value));
    for (object, vms) in web.all::<HostSystem>().select(host::VM).await.unwrap().into_vec() {
        assert!(known(&vms), "{object}");
    }
    for (object, vms) in web.all::<Datastore>().select(ds::VM).await.unwrap().into_vec() {
        assert!(known(&vms), "{object}");
    }
    for (object, vms) in web.all::<Network>().select(network::VM).await.unwrap().into_vec() {
        assert!(known(&vms), "{object}");
    }
    let summaries = web.all::<ClusterComputeResource>().select(cluster::SUMMARY).await.unwrap();
    assert!(!format!("{summaries:?}").contains("total_vm_count: 3"), "{summaries:?}");
    let all = web.all::<ManagedEntity>().select(entity::NAME).await.unwrap();
    let shown = |type_: &str, name: &str| all.iter().any(|(o, n)| o.reference().type_ == type_ && n == name);
    assert!(!shown("VirtualMachine", "pg-01") && !shown("Folder", "infra") && shown("Folder", "prod"), "{all:?}");
}

#[tokio::test]
async fn tasks_and_snapshots_of_what_is_denied_are_hidden() {
    let lab = Lab::demo().await;
    let web = lab.allowed(&["/fra1/vm/prod/web/**"]);
    let hidden = lab.vm("pg-01").await;
    let task = hidden.create_snapshot_task("before", None, false, false).await.unwrap();
    let snapshot: ManagedObjectReference = Task::new(&lab.client, task.clone(), "take", "pg-01").await.unwrap();
    let report = web.task_report(&task.value).await.unwrap_err();
    assert_eq!(report.code(), "not_found", "{report}");
    assert!(lab.client.task_report(&task.value).await.is_ok());
    assert!(web.raw::<RawTask>(&task).cancel_task().await.is_err());
    let handle: vsphere_ops::managed::VirtualMachineSnapshot = web.raw(&snapshot);
    let error: Error = handle.remove_snapshot_task(false, None).await.unwrap_err().into();
    assert_eq!(error.code(), "not_found", "{error}");
    for info in web.tasks().report(1000).await.unwrap().items {
        assert_ne!(info.entity.as_deref(), Some("pg-01"));
    }
    let events = format!("{:?}", web.events().last(std::time::Duration::from_secs(3600)).latest(1000).await.unwrap());
    assert!(!events.contains("pg-01"), "{events}");
}

#[tokio::test]
async fn acts_need_what_they_touch() {
    let lab = Lab::demo().await;
    let web = lab.allowed(&["/fra1/vm/prod/web/**"]);
    // On what is permitted all is as always.
    let one = web.get::<VirtualMachine>("web-01").await.unwrap();
    one.power_off().await.unwrap().await.unwrap();
    one.power_on().await.unwrap().await.unwrap();
    // On what is not, nothing leaves the client.
    let hidden = lab.vm("pg-01").await;
    let before = lab.sim.calls("PowerOffVM_Task");
    let error: Error = web.raw::<VirtualMachine>(hidden.reference()).power_off_vm_task().await.unwrap_err().into();
    assert_eq!(error.code(), "not_found", "{error}");
    // Whatever type it is said to be.
    let disguised = ManagedObjectReference::new("Task", hidden.id());
    assert!(web.raw::<VirtualMachine>(&disguised).power_off_vm_task().await.is_err());
    assert_eq!(lab.sim.calls("PowerOffVM_Task"), before);
    // A host with VMs of others.
    let esx = web.all::<HostSystem>().select(()).await.unwrap().into_vec().remove(0).0;
    let error: Error = esx.enter_maintenance_mode_task(60, None, None).await.unwrap_err().into();
    assert_eq!(error.code(), "permission", "{error}");
    assert!(error.to_string().contains("VMs that the policy does not allow"), "{error}");
    assert_eq!(lab.sim.calls("EnterMaintenanceMode_Task"), 0);
    // A name and a folder outside.
    let infra = lab.client.get::<Folder>("/fra1/vm/infra").await.unwrap();
    let error: Error = web
        .raw::<Folder>(infra.reference())
        .move_into_folder_task(&[one.reference().clone()])
        .await
        .unwrap_err()
        .into();
    assert_eq!(error.code(), "not_found", "{error}");
    let stars = lab.allowed(&["/fra1/vm/prod/web", "/fra1/vm/prod/web/web-*"]);
    let two = stars.get::<VirtualMachine>("web-02").await.unwrap();
    let error: Error = two.rename_task("lb-09").await.unwrap_err().into();
    assert_eq!(error.code(), "permission", "{error}");
    assert!(stars.get::<VirtualMachine>("lb-01").await.is_err());
    Task::<()>::new(&stars, two.rename_task("web-09").await.unwrap(), "rename", "web-02").await.unwrap();
    // The whole server.
    let manager = web.content().license_manager.clone().unwrap();
    let manager: vsphere_ops::managed::LicenseManager = web.raw(&manager);
    assert!(manager.update_license("00000-00000-00000-00000-00000", &[]).await.is_err());
    assert_eq!(web.rest().unwrap_err().code(), "permission");
}

#[tokio::test]
async fn rights_go_by_ids() {
    let lab = Lab::demo().await;
    let web = lab.allowed(&["/fra1/vm/prod/web/**"]);
    let others = lab.without(&["/fra1/vm/prod/web/**"]);
    assert_eq!(names(&web).await.len(), 6);
    assert!(!names(&others).await.contains(&"web-01".to_owned()));
    let epoch = web.sight_epoch().await.unwrap();
    let rename = async |from: &str, to: &str| {
        let folder = lab.client.get::<Folder>(from).await.unwrap();
        let task = folder.rename_task(to).await.unwrap();
        Task::<()>::new(&lab.client, task, "rename", from).await.unwrap();
    };
    rename("/fra1/vm/prod/web", "shop").await;
    rename("/fra1/vm/prod/db", "web").await;
    assert_eq!(names(&web).await, ["lb-01", "lb-02", "web-01", "web-02", "web-03", "web-04"]);
    assert_eq!(web.sight_epoch().await.unwrap(), epoch);
    let seen = names(&others).await;
    // What was denied stays so, and so is what has its name now.
    assert!(!seen.contains(&"web-01".to_owned()) && !seen.contains(&"pg-01".to_owned()), "{seen:?}");
    // What is moved gets the rights of where it is.
    let one = lab.vm("web-01").await;
    let infra = lab.client.get::<Folder>("/fra1/vm/infra").await.unwrap();
    let task = infra.move_into_folder_task(&[one.reference().clone()]).await.unwrap();
    Task::<()>::new(&lab.client, task, "move", "web-01").await.unwrap();
    assert!(!names(&web).await.contains(&"web-01".to_owned()));
    assert!(names(&others).await.contains(&"web-01".to_owned()));
    assert!(web.sight_epoch().await.unwrap() > epoch);
}

#[tokio::test]
async fn files_are_those_of_their_vms() {
    let lab = Lab::demo().await;
    let web = lab.allowed(&["/fra1/vm/prod/web/**"]);
    let store = web.get::<Datastore>("nvme-01").await.unwrap();
    let query = FileQuery { page: ListQuery::first(1000), ..FileQuery::of("") };
    let listed = format!("{:?}", store.list_files(&query).await.unwrap().items);
    assert!(listed.contains("web-01") && !listed.contains("pg-01"), "{listed}");
    let manager: vsphere_ops::managed::FileManager = web.raw(&web.content().file_manager.clone().unwrap());
    let datacenter = lab.client.get::<Datacenter>("fra1").await.unwrap();
    for path in ["[nvme-01] pg-01/pg-01.vmdk", "[nvme-01] pg-01", "[nvme-01]", "[NVME-01] PG-01/x", "[none] a"] {
        let error: Error =
            manager.delete_datastore_file_task(path, Some(datacenter.reference())).await.unwrap_err().into();
        assert_eq!(error.code(), "permission", "{path}: {error}");
    }
    assert_eq!(lab.sim.calls("DeleteDatastoreFile_Task"), 0);
}

#[tokio::test]
async fn tags_are_those_of_what_is_permitted() {
    let lab = Lab::demo().await;
    let web = lab.allowed(&["/fra1/vm/prod/web/**"]);
    let tags = web.tags().await.unwrap();
    let prod = tags.find("Environment:prod").await.unwrap();
    let with = tags.vms_with(&prod).await.unwrap();
    let own: Vec<String> =
        web.all::<VirtualMachine>().select(()).await.unwrap().iter().map(|(vm, ())| vm.id().to_owned()).collect();
    assert!(!with.is_empty() && with.iter().all(|id| own.contains(id)), "{with:?}");
    assert!(lab.client.tags().await.unwrap().vms_with(&prod).await.unwrap().len() > with.len());
}

#[tokio::test]
async fn what_is_watched_is_what_is_permitted() {
    use vsphere_ops::vm::VmMirror;

    let lab = Lab::demo().await;
    let all = VmMirror::start(&lab.client).await.unwrap();
    let web = lab.allowed(&["/fra1/vm/prod/web/**"]);
    let mirror = VmMirror::start(&web).await.unwrap();
    assert_eq!(mirror.all().len(), 6);
    assert!(all.all().len() > 30);
    let pools = web.all::<ResourcePool>().select(()).await.unwrap();
    assert!(!pools.is_empty());
}
