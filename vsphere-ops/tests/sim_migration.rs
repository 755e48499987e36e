//! Migrations: planned, checked, explained and carried out.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use vsphere_ops::managed::{
    ClusterComputeResource, Folder, HostSystem, StoragePod, VirtualMachine, host_system, virtual_machine as vm,
};
use vsphere_ops::migration::{Destination, Obstacle, Severity};
use vsphere_ops::placement::{Defaults, Part, Reason};
use vsphere_ops::types::{
    ClusterConfigSpecEx, ClusterDrsConfigInfo, HostSystemConnectionState, Poly, VirtualDisk,
    VirtualDiskFlatVer2BackingInfo,
};
use vsphere_ops::vm::{Changes, Provisioning};
use vsphere_ops::{Circumstance, Client, Config, Mo, Task};
use vsphere_sim::{Model, Role, Sim, Size};

async fn of(model: Model) -> (Sim, Client) {
    let sim = Sim::start(model).await.unwrap();
    let client = client(&sim, Model::USER, Model::PASSWORD).await;
    (sim, client)
}

async fn client(sim: &Sim, user: &str, password: &str) -> Client {
    let config = Config::new(sim.url()).user(user).password(password);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

/// Two datacenters with a cluster of two hosts each.
async fn two_datacenters() -> (Sim, Client) {
    of(Model::sized(Size { datacenters: 2, clusters: 1, hosts: 4, datastores: 2, vms: 2 })).await
}

fn host(name: &str) -> Destination {
    Destination { host: Some(name.to_owned()), ..Default::default() }
}

fn datastore(name: &str) -> Destination {
    Destination { datastore: Some(name.to_owned()), ..Default::default() }
}

async fn machine(client: &Client, name: &str) -> Mo<VirtualMachine> {
    client.get(name).await.unwrap()
}

async fn disk(vm: &Mo<VirtualMachine>) -> VirtualDiskFlatVer2BackingInfo {
    let devices = vm.read(vm::DEVICES).await.unwrap();
    let disk: &VirtualDisk = devices.iter().find_map(|device| device.downcast_ref()).unwrap();
    disk.backing.as_ref().unwrap().downcast_ref::<VirtualDiskFlatVer2BackingInfo>().unwrap().clone()
}

/// A host of the VM's cluster that it is not on.
async fn other_host(vm: &Mo<VirtualMachine>) -> String {
    let own = vm.read(vm::HOST).await.unwrap().unwrap();
    let hosts = vm.client().all::<HostSystem>().select(host_system::NAME).await.unwrap();
    let prefix = hosts.iter().find(|(host, _)| *host.reference() == own).unwrap().1[..3].to_owned();
    hosts.into_iter().find(|(host, name)| *host.reference() != own && name.starts_with(&prefix)).unwrap().1
}

#[tokio::test]
async fn a_running_vm_goes_to_another_host_and_stays_where_it_is_already() {
    let (sim, client) = two_datacenters().await;
    let web = machine(&client, "DC0_C0_VM0").await;
    let there = other_host(&web).await;
    let migration = web.migration(&host(&there)).await.unwrap();
    assert!(migration.moves && migration.possible && migration.checked && migration.findings.is_empty());
    assert_eq!((migration.to.host.as_deref(), &migration.to.pool), (Some(there.as_str()), &migration.from.pool));
    assert!(migration.files.is_empty() && migration.nics.is_empty() && migration.placement.is_empty());
    assert_eq!(sim.calls("RelocateVM_Task"), 0);
    let report = migration.carry_out().await.unwrap();
    assert!(report.changed);
    assert_eq!(report.to.host.as_deref(), Some(there.as_str()));
    assert_ne!(report.from.host, report.to.host);

    let again = web.migration(&host(&there)).await.unwrap();
    assert!(!again.moves && again.from == again.to);
    assert!(!again.carry_out().await.unwrap().changed);
    assert_eq!((sim.calls("RelocateVM_Task"), sim.calls("CheckRelocate_Task")), (1, 1));
}

#[tokio::test]
async fn an_incompatible_host_is_found_out_before_anything_moves() {
    let (sim, client) = of(Model::demo()).await;
    let web = machine(&client, "web-01").await;
    let migration = web.migration(&host("esx-05.corp.example")).await.unwrap();
    assert!(migration.moves && !migration.possible);
    let finding = &migration.findings[0];
    assert_eq!((finding.severity, finding.about), (Severity::Error, Obstacle::Cpu));
    assert_eq!(finding.host.as_deref(), Some("esx-05.corp.example"));
    assert!(finding.message.contains("cpuid.amx_tile") && finding.explanation.contains("EVC"), "{finding:?}");
    let error = migration.carry_out().await.unwrap_err();
    assert_eq!((error.code(), error.operation(), error.target()), ("invalid_state", "migrate", Some("web-01")));
    let Some(Circumstance::Obstructed(findings)) = error.circumstance() else { panic!("{error}") };
    assert_eq!(findings.len(), 1);
    let text = error.to_string();
    assert!(
        text.contains("nothing was moved") && text.contains("esx-05.corp.example") && text.contains("EVC"),
        "{text}"
    );
    assert_eq!(sim.calls("RelocateVM_Task"), 0);

    // Off, it goes, and its files go along to what the other cluster sees.
    let spare = machine(&client, "web-04").await;
    let migration = spare.migration(&host("esx-05.corp.example")).await.unwrap();
    assert!(migration.possible, "{:?}", migration.findings);
    let taken: Vec<_> = migration.placement.iter().map(|choice| (choice.what, choice.why)).collect();
    assert_eq!(taken, [(Part::Pool, Reason::FollowsFromAsked), (Part::Datastore, Reason::MostSpace)]);
    assert_eq!(migration.files.len(), 2, "{:?}", migration.files);
    let report = migration.carry_out().await.unwrap();
    assert_eq!(report.to.cluster.as_deref(), Some("lab-cluster"));
    assert_eq!(report.to.host.as_deref(), Some("esx-05.corp.example"));
    assert_eq!(report.from.folder, report.to.folder);
    let file = disk(&spare).await.file_name.clone();
    assert!(file.starts_with(&format!("[{}] ", report.files[0].to)), "{file}");
}

#[tokio::test]
async fn a_host_that_takes_no_vms_says_which_way() {
    let (sim, client) = two_datacenters().await;
    let web = machine(&client, "DC0_C0_VM0").await;
    let there = other_host(&web).await;
    let raw = client.get::<HostSystem>(&there).await.unwrap();
    let task = raw.enter_maintenance_mode_task(0, None, None).await.unwrap();
    Task::<()>::new(&client, task, "enter", "host").await.unwrap();
    let about = async || web.migration(&host(&there)).await.unwrap().findings[0].about;
    assert_eq!(about().await, Obstacle::HostState);
    let task = raw.exit_maintenance_mode_task(0).await.unwrap();
    Task::<()>::new(&client, task, "exit", "host").await.unwrap();
    sim.fail_host(&there).unwrap();
    assert_ne!(raw.read(host_system::CONNECTION_STATE).await.unwrap(), HostSystemConnectionState::Connected);
    assert_eq!(about().await, Obstacle::HostUnreachable);
}

#[tokio::test]
async fn files_go_to_another_datastore_in_another_format() {
    let (_sim, client) = two_datacenters().await;
    let web = machine(&client, "DC0_C0_VM0").await;
    let there = Destination { provisioning: Some(Provisioning::Eager), ..datastore("DC0_DS1") };
    let before = disk(&web).await;
    assert!(before.file_name.starts_with("[DC0_DS0] "));
    let migration = web.migration(&there).await.unwrap();
    let labels: Vec<&str> = migration.files.iter().map(|file| file.label.as_str()).collect();
    assert_eq!(labels, ["configuration", "Hard disk 1"]);
    assert_eq!(migration.files[1].provisioning, Some(Provisioning::Eager));
    let report = migration.carry_out().await.unwrap();
    assert!(report.changed && report.from == report.to, "only its files have moved");
    let after = disk(&web).await;
    assert!(after.file_name.starts_with("[DC0_DS1] "), "{}", after.file_name);
    assert_eq!((after.thin_provisioned, after.eagerly_scrub), (Some(false), Some(true)));
    // There in that format already.
    assert!(!web.migration(&there).await.unwrap().moves);
    // One disk alone.
    let one = Destination { disks: vec![("Hard disk 1".into(), "DC0_DS0".into())], ..Default::default() };
    web.migration(&one).await.unwrap().carry_out().await.unwrap();
    assert!(disk(&web).await.file_name.starts_with("[DC0_DS0] "));
    let home = web.read(vm::VM_PATH_NAME).await.unwrap();
    assert!(home.starts_with("[DC0_DS1] "), "{home}");
    // The rest comes after, and the disk that is there is left alone.
    let rest = web.migration(&datastore("DC0_DS0")).await.unwrap();
    assert_eq!(rest.files.len(), 1);
    rest.carry_out().await.unwrap();
    assert_eq!(web.read(vm::DATASTORE).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_datastore_without_room_is_told_before() {
    let (sim, client) = two_datacenters().await;
    let web = machine(&client, "DC0_C0_VM0").await;
    sim.fill_datastore("DC0_DS1", 1 << 20).unwrap();
    let migration = web.migration(&datastore("DC0_DS1")).await.unwrap();
    assert_eq!(migration.findings[0].about, Obstacle::Space, "{:?}", migration.findings);
    assert!(migration.carry_out().await.unwrap_err().to_string().contains("free"));
}

#[tokio::test]
async fn a_datastore_cluster_stands_for_its_best_member() {
    let (sim, client) = of(Model::sized(Size { datacenters: 1, clusters: 1, hosts: 2, datastores: 3, vms: 1 })).await;
    let folder: Mo<Folder> = client.get("/DC0/datastore").await.unwrap();
    let pod = folder.create_storage_pod("fast").await.unwrap();
    let mut members = Vec::new();
    for name in ["DC0_DS1", "DC0_DS2"] {
        members.push(client.get::<vsphere_ops::managed::Datastore>(name).await.unwrap().reference().clone());
    }
    let pod: StoragePod = client.raw(&pod);
    let as_folder: Folder = client.raw(vsphere_soap::request::ManagedObject::handle(&pod).reference());
    let task = as_folder.move_into_folder_task(&members).await.unwrap();
    Task::<()>::new(&client, task, "move", "datastores").await.unwrap();
    sim.fill_datastore("DC0_DS1", 1 << 30).unwrap();
    let web = machine(&client, "DC0_C0_VM0").await;
    let migration = web.migration(&datastore("fast")).await.unwrap();
    assert_eq!(migration.placement[0].name, "DC0_DS2");
    assert_eq!(migration.placement[0].why, Reason::MemberOfCluster);
    migration.carry_out().await.unwrap();
    assert!(disk(&web).await.file_name.starts_with("[DC0_DS2] "));
}

#[tokio::test]
async fn to_another_datacenter_files_folder_and_networks_are_chosen_and_told() {
    let (_sim, client) = two_datacenters().await;
    let web = machine(&client, "DC0_C0_VM0").await;
    let defaults = Defaults { datastore: Some("DC1_DS1".into()), ..Default::default() };
    let there = Destination { cluster: Some("DC1_C0".into()), defaults, ..Default::default() };
    let migration = web.migration(&there).await.unwrap();
    assert!(migration.possible, "{:?}", migration.findings);
    let why = |part: Part| migration.placement.iter().find(|choice| choice.what == part).map(|choice| choice.why);
    assert_eq!(why(Part::Datastore), Some(Reason::Setting));
    assert_eq!(why(Part::Folder), Some(Reason::Usual));
    assert_eq!(why(Part::Network), Some(Reason::SameName));
    assert_eq!(migration.to.host, None, "DRS chooses it");
    let report = migration.carry_out().await.unwrap();
    assert_eq!((report.to.datacenter.as_deref(), report.to.folder.as_deref()), (Some("DC1"), Some("/DC1/vm")));
    assert!(report.to.host.unwrap().starts_with("DC1_C0_"));
    assert_eq!(web.path().await.unwrap(), "/DC1/vm/DC0_C0_VM0");

    // Back, and the network is named.
    let back = |networks: &[(&str, &str)]| Destination {
        cluster: Some("DC0_C0".into()),
        networks: networks.iter().map(|(before, after)| ((*before).into(), (*after).into())).collect(),
        ..Default::default()
    };
    let error = web.migration(&back(&[("prod", "VM Network")])).await.unwrap_err();
    assert_eq!(error.code(), "invalid_argument");
    assert!(error.to_string().contains("VM Network (Network adapter 1)"), "{error}");
    let error = web.migration(&back(&[("VM Network", "prod")])).await.unwrap_err();
    assert_eq!(error.code(), "not_found", "{error}");
    let migration = web.migration(&back(&[("Network adapter 1", "VM Network")])).await.unwrap();
    assert_eq!((migration.nics.len(), migration.nics[0].to.as_str()), (1, "VM Network"));
    migration.carry_out().await.unwrap();
    assert!(web.path().await.unwrap().starts_with("/DC0/"));
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    let (_sim, client) = two_datacenters().await;
    let web = machine(&client, "DC0_C0_VM0").await;
    for (there, code) in [
        (Destination { cluster: Some("DC0_C0".into()), ..host("DC1_C0_H0") }, "invalid_argument"),
        (Destination { pool: Some("/DC0/host/DC0_C0/Resources".into()), ..host("DC1_C0_H0") }, "invalid_argument"),
        (Destination { folder: Some("/DC0/vm".into()), ..host("DC1_C0_H0") }, "invalid_argument"),
        (Destination { folder: Some("/DC0/host".into()), ..Default::default() }, "invalid_argument"),
        (datastore("DC1_DS0"), "not_found"),
        (host("nope"), "not_found"),
        (Destination { disks: vec![("Hard disk 9".into(), "DC0_DS1".into())], ..Default::default() }, "not_found"),
    ] {
        let error = web.migration(&there).await.unwrap_err();
        assert_eq!(error.code(), code, "{there:?}: {error}");
    }
}

#[tokio::test]
async fn without_drs_a_running_vm_needs_a_host() {
    let (_sim, client) = two_datacenters().await;
    let cluster: Mo<ClusterComputeResource> = client.get("DC1_C0").await.unwrap();
    let drs_config = ClusterDrsConfigInfo { enabled: Some(false), ..Default::default() };
    let spec = Poly::new(ClusterConfigSpecEx { drs_config: Some(Box::new(drs_config)), ..Default::default() });
    let task = cluster.reconfigure_compute_resource_task(&spec, true).await.unwrap();
    Task::<()>::new(&client, task, "reconfigure", "DC1_C0").await.unwrap();
    let web = machine(&client, "DC0_C0_VM0").await;
    let there = Destination { cluster: Some("DC1_C0".into()), ..Default::default() };
    let error = web.migration(&there).await.unwrap_err();
    assert_eq!((error.code(), error.candidates().len()), ("ambiguous", 2), "{error}");
    web.power_off().await.unwrap().await.unwrap();
    web.migration(&there).await.unwrap().carry_out().await.unwrap();
}

#[tokio::test]
async fn a_plan_does_not_outlive_a_change_of_the_vm() {
    let (sim, client) = two_datacenters().await;
    let web = machine(&client, "DC0_C0_VM0").await;
    let migration = web.migration(&datastore("DC0_DS1")).await.unwrap();
    let note = Changes { annotation: Some("changed".into()), ..Default::default() };
    web.reconfiguration(&note).await.unwrap().carry_out().await.unwrap();
    assert_eq!(migration.carry_out().await.unwrap_err().code(), "changed");
    assert_eq!(sim.calls("RelocateVM_Task"), 0);
}

#[tokio::test]
async fn a_user_without_the_right_is_told_which() {
    let model = Model::sized(Size { datacenters: 1, clusters: 1, hosts: 2, datastores: 2, vms: 1 });
    let (sim, _) = of(model.user("reader@vsphere.local", "secret", Role::ReadOnly)).await;
    let reader = client(&sim, "reader@vsphere.local", "secret").await;
    let web = machine(&reader, "DC0_C0_VM0").await;
    // The check takes no more than reading.
    let migration = web.migration(&host(&other_host(&web).await)).await.unwrap();
    assert!(migration.checked && migration.possible);
    let error = migration.carry_out().await.unwrap_err();
    assert_eq!(error.code(), "permission");
    assert!(error.to_string().contains("Resource.ColdMigrate"), "{error}");
}
