//! How many requests it takes to find, list and mirror machines, however many there are.

#![allow(clippy::unwrap_used, reason = "a panic is how a test and its helpers fail")]

use std::sync::Arc;

use futures::future::try_join_all;
use vsphere_ops::managed::{HostSystem, VirtualMachine};
use vsphere_ops::vm::{self, VmMirror, VmQuery};
use vsphere_ops::{Client, Config, ListQuery, Mo};
use vsphere_sim::{Model, Sim, Size};

/// More machines than an answer with pages holds.
const VMS: usize = 230;

struct Lab {
    sim: Sim,
    client: Client,
}

impl Lab {
    async fn new() -> Self {
        let sim = Sim::start(Model::sized(Size { vms: VMS, hosts: 4, ..Size::default() })).await.unwrap();
        let thumbprint = sim.thumbprint().unwrap().to_string();
        let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD).thumbprint(&thumbprint);
        let client = Client::connect(config).await.unwrap();
        Self { sim, client }
    }

    /// All requests of reads, views and watches so far.
    fn requests(&self) -> u64 {
        let methods = [
            "CreateContainerView",
            "CreatePropertyCollector",
            "CreateFilter",
            "CheckForUpdates",
            "RetrieveProperties",
            "RetrievePropertiesEx",
            "ContinueRetrievePropertiesEx",
            "FindByUuid",
            "FindAllByUuid",
            "FindByInventoryPath",
        ];
        methods.iter().map(|method| self.sim.calls(method)).sum()
    }

    async fn mirrored(&self) -> (VmMirror, Client) {
        let mirror = VmMirror::start(&self.client).await.unwrap();
        let client = self.client.with_cache(Arc::new(mirror.clone()));
        (mirror, client)
    }

    async fn vm(&self, what: &str) -> Mo<VirtualMachine> {
        self.client.get(what).await.unwrap()
    }
}

fn query(limit: usize) -> VmQuery {
    VmQuery { page: ListQuery::first(limit), ..VmQuery::default() }
}

#[tokio::test]
async fn a_page_takes_the_names_of_all_and_the_details_of_its_own() {
    let lab = Lab::new().await;
    let before = lab.requests();
    let page = vm::list(&lab.client, &query(50)).await.unwrap();
    assert_eq!((page.returned, page.total), (50, VMS));
    assert!(page.items.iter().all(|vm| vm.host.as_deref().is_some_and(|host| host.contains("_H"))), "{page:?}");
    assert_eq!(lab.requests() - before, 3, "the view, the names, the details");
    let next = VmQuery { page: ListQuery { cursor: page.next_cursor, ..ListQuery::first(1000) }, ..VmQuery::default() };
    assert_eq!(vm::list(&lab.client, &next).await.unwrap().returned, VMS - 50);
    assert_eq!(lab.requests() - before, 5);
}

#[tokio::test]
async fn a_mirror_of_all_machines_and_hosts_is_loaded_in_three_requests() {
    let lab = Lab::new().await;
    vm::list(&lab.client, &query(1)).await.unwrap();
    let before = lab.requests();
    let mirror = VmMirror::start(&lab.client).await.unwrap();
    assert_eq!(lab.requests() - before, 3, "the collector, its filter, all objects");
    let all = mirror.all();
    assert_eq!(all.len(), VMS);
    assert!(all.iter().all(|vm| vm.summary.host.as_deref().is_some_and(|host| host.contains("_H"))));
    // It goes on from there.
    lab.vm("DC0_C0_VM7").await.rename_task("renamed").await.unwrap();
    mirror.refresh().await.unwrap();
    assert!(mirror.names().iter().any(|(name, _)| name == "renamed"));
    assert_eq!(mirror.names().len(), VMS);
}

#[tokio::test]
async fn those_who_look_for_names_at_the_same_time_share_the_reads() {
    let lab = Lab::new().await;
    lab.vm("DC0_C0_VM0").await;
    let before = lab.requests();
    let names: Vec<String> = (0..40).map(|number| format!("DC0_C0_VM{number}")).collect();
    let found = try_join_all(names.iter().map(|name| lab.client.get::<VirtualMachine>(name))).await.unwrap();
    assert!(found.iter().zip(&names).all(|(vm, name)| vm.label() == name));
    assert!(lab.requests() - before <= 3, "{} requests", lab.requests() - before);
}

#[tokio::test]
async fn a_current_mirror_finds_machines_by_name_id_and_uuid_without_a_request() {
    let lab = Lab::new().await;
    let info = lab.client.get::<VirtualMachine>("DC0_C0_VM33").await.unwrap().info().await.unwrap();
    let (_mirror, client) = lab.mirrored().await;
    let before = lab.requests();
    let reference = format!("VirtualMachine:{}", info.id);
    let (uuid, instance) = (info.uuid.unwrap(), info.instance_uuid.unwrap().to_uppercase());
    for what in ["DC0_C0_VM33", " DC0_C0_VM33 ", "dc0_c0_vm33", &info.id, &reference, &uuid, &instance] {
        assert_eq!(client.get::<VirtualMachine>(what).await.unwrap().id(), info.id, "{what}");
    }
    assert_eq!(lab.requests(), before);
    // Other objects are not in it.
    client.get::<HostSystem>("DC0_C0_H1").await.unwrap();
    assert!(lab.requests() > before);
}

#[tokio::test]
async fn a_name_that_is_the_id_of_another_machine_is_ambiguous_in_the_mirror_too() {
    let lab = Lab::new().await;
    let (first, second) = (lab.vm("DC0_C0_VM1").await, lab.vm("DC0_C0_VM2").await);
    second.rename_task(first.id()).await.unwrap();
    let (mirror, client) = lab.mirrored().await;
    for client in [&lab.client, &client] {
        let error = client.get::<VirtualMachine>(first.id()).await.unwrap_err();
        assert_eq!((error.code(), error.candidates().len()), ("ambiguous", 2), "{error}");
        let by_reference = client.get::<VirtualMachine>(&first.reference().to_string()).await.unwrap();
        assert_eq!(by_reference.id(), first.id());
    }
    assert!(mirror.catch_up(std::time::Duration::from_secs(5)).await);
}

#[tokio::test]
async fn what_a_client_has_changed_is_found_at_once_by_its_mirror() {
    let lab = Lab::new().await;
    let (_mirror, client) = lab.mirrored().await;
    for turn in 0..20 {
        let (old, new) = (format!("turn-{turn}"), format!("turn-{}", turn + 1));
        let old = if turn == 0 { "DC0_C0_VM3".to_owned() } else { old };
        let machine = client.get::<VirtualMachine>(&old).await.unwrap();
        let task = machine.rename_task(&new).await.unwrap();
        vsphere_ops::Task::<()>::new(&client, task, "rename", &old).await.unwrap();
        assert_eq!(client.get::<VirtualMachine>(&new).await.unwrap().id(), machine.id());
        assert!(client.get::<VirtualMachine>(&old).await.unwrap_err().is_not_found(), "{old}");
    }
}

#[tokio::test]
async fn all_about_a_machine_takes_two_requests_once_it_is_found() {
    let lab = Lab::new().await;
    let before = lab.requests();
    let cold = lab.client.get::<VirtualMachine>("DC0_C0_VM33").await.unwrap().info().await.unwrap();
    assert_eq!(lab.requests() - before, 4, "the view, the names, the machine, what is around it");
    let (_mirror, client) = lab.mirrored().await;
    let before = lab.requests();
    let warm = client.get::<VirtualMachine>("DC0_C0_VM33").await.unwrap().info().await.unwrap();
    assert_eq!(lab.requests() - before, 2);
    assert_eq!((warm.path, warm.host, warm.datastores), (cold.path, cold.host, cold.datastores));
}

#[tokio::test]
async fn pages_of_a_mirror_are_in_order_whatever_is_renamed_meanwhile() {
    let lab = Lab::new().await;
    let (mirror, _client) = lab.mirrored().await;
    for number in 0..10 {
        lab.vm(&format!("DC0_C0_VM{number}")).await.rename_task(&format!("{}-moved", 9 - number)).await.unwrap();
    }
    mirror.refresh().await.unwrap();
    let theirs = vm::list(&lab.client, &query(1000)).await.unwrap();
    let ours = mirror.list(&query(1000)).await.unwrap().unwrap();
    let names = |page: vsphere_ops::Page<vm::VmSummary>| page.map(|vm| (vm.name, vm.id)).items;
    assert_eq!(names(ours), names(theirs));
    // A cursor of one is good for the other.
    let first = vm::list(&lab.client, &query(100)).await.unwrap();
    let rest = VmQuery {
        page: ListQuery { cursor: first.next_cursor.clone(), ..ListQuery::first(1000) },
        ..VmQuery::default()
    };
    assert_eq!(names(mirror.list(&rest).await.unwrap().unwrap()), names(vm::list(&lab.client, &rest).await.unwrap()));
}
