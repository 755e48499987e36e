//! Finding and reading on vcsim, compared with what govc finds there.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::collections::BTreeSet;
use std::time::Duration;

use futures::TryStreamExt;
use peers::{CountingProxy, Vcsim, govc, govc_run};
use serde_json::Value;
use vsphere_ops::columns::{Cell, Column as _};
use vsphere_ops::managed::{
    ClusterComputeResource, Datastore, HostSystem, ManagedEntity, Network, ResourcePool, VirtualMachine,
    virtual_machine as vm,
};
use vsphere_ops::vm::{VmColumn, VmMirror, VmQuery, VmSummary, list};
use vsphere_ops::{Client, Config, ListQuery, Mo, Page, Task, TaskEvent, wait_all};
use vsphere_soap::request::ManagedObject;

/// Where and how govc creates a machine.
const PLACE: [&str; 8] =
    ["-dc=DC0", "-pool", "/DC0/host/DC0_C0/Resources", "-ds", "LocalDS_0", "-net", "VM Network", "-on=false"];

async fn connect(url: &str) -> Client {
    Client::connect(Config::new(url).user("user").password("pass")).await.unwrap()
}

async fn connected(flags: &[&str]) -> (Vcsim, Client) {
    let vcsim = Vcsim::start(flags).await.unwrap();
    let client = connect(&vcsim.url()).await;
    (vcsim, client)
}

/// The paths that `govc find` gives, without the root.
async fn govc_find(vcsim: &Vcsim, args: &[&str]) -> BTreeSet<String> {
    let found = govc(&vcsim.govc_url(), &[&["find"], args].concat()).await.unwrap();
    let paths = found.as_array().into_iter().flatten().map(|path| path.as_str().unwrap().to_owned());
    paths.filter(|path| path != "/").collect()
}

/// The paths that `govc ls` gives.
async fn govc_ls(vcsim: &Vcsim, pattern: &str) -> BTreeSet<String> {
    let found = govc(&vcsim.govc_url(), &["ls", pattern]).await.unwrap();
    let elements = found["elements"].as_array().into_iter().flatten();
    elements.map(|element| element["Path"].as_str().unwrap().to_owned()).collect()
}

/// The paths of the objects of a type that fit a pattern.
async fn find<M: ManagedObject>(client: &Client, pattern: &str) -> BTreeSet<String> {
    paths(client, &client.find::<M>(pattern).select(()).await.unwrap().into_vec()).await
}

async fn paths<M: ManagedObject>(client: &Client, found: &[(Mo<M>, ())]) -> BTreeSet<String> {
    let references: Vec<_> = found.iter().map(|(object, ())| object.reference().clone()).collect();
    let paths: BTreeSet<String> = client.paths(&references).await.unwrap().into_iter().collect();
    assert_eq!(paths.len(), references.len(), "each has a path of its own");
    paths
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_paths_of_all_entities_are_those_of_govc() {
    let (vcsim, client) = connected(&["-dc", "2", "-folder", "1", "-app", "1", "-pod", "1", "-pg", "2"]).await;
    let expected = govc_find(&vcsim, &["/"]).await;
    assert!(expected.len() > 40, "{expected:?}");
    assert_eq!(find::<ManagedEntity>(&client, "/**").await, expected);
    assert_eq!(find::<VirtualMachine>(&client, "**").await, govc_find(&vcsim, &["/", "-type", "m"]).await);
    assert_eq!(find::<HostSystem>(&client, "/**").await, govc_find(&vcsim, &["/", "-type", "h"]).await);
    assert_eq!(find::<Datastore>(&client, "/**").await, govc_find(&vcsim, &["/", "-type", "s"]).await);
    assert_eq!(find::<ResourcePool>(&client, "/**").await, {
        let mut pools = govc_find(&vcsim, &["/", "-type", "p"]).await;
        pools.extend(govc_find(&vcsim, &["/", "-type", "a"]).await);
        pools
    });
    client.logout().await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_globs_find_what_those_of_govc_find() {
    let (vcsim, client) = connected(&["-dc", "2", "-vm", "12"]).await;
    for pattern in ["/DC0/vm/*", "/*/vm/*_VM1", "/DC?/vm/DC0_H0_VM?", "/DC1/vm/DC1_[CH]0*", "/DC0/vm/DC0_H0_VM3"] {
        let expected = govc_ls(&vcsim, pattern).await;
        assert!(!expected.is_empty(), "{pattern}");
        assert_eq!(find::<VirtualMachine>(&client, pattern).await, expected, "{pattern}");
    }
    for name in ["DC0_*_VM1*", "*_VM11", "DC1_H0_VM?"] {
        let expected = govc_find(&vcsim, &["/", "-type", "m", "-name", name]).await;
        assert!(!expected.is_empty(), "{name}");
        assert_eq!(find::<VirtualMachine>(&client, name).await, expected, "{name}");
        assert_eq!(find::<VirtualMachine>(&client, &format!("/**/{name}")).await, expected, "{name}");
    }
    // Relative to any datacenter, and to one.
    assert_eq!(find::<VirtualMachine>(&client, "vm/*_H0_VM1").await.len(), 2);
    let dc = client.datacenter("DC1").await.unwrap();
    for pattern in ["vm/*_VM1", "*_VM1", "./*_VM1", "**/*_VM1"] {
        let found = dc.find::<VirtualMachine>(pattern).select(()).await.unwrap();
        assert_eq!(paths(&client, &found).await, govc_ls(&vcsim, "/DC1/vm/*_VM1").await, "{pattern}");
    }
    assert_eq!(dc.get::<VirtualMachine>("vm/DC1_H0_VM1").await.unwrap().label(), "DC1_H0_VM1");
    assert!(dc.get::<VirtualMachine>("DC0_H0_VM1").await.unwrap_err().is_not_found());
    client.logout().await.unwrap();
}

/// The name of the object of a kind with this id, as govc has it.
async fn govc_name(vcsim: &Vcsim, reference: &Value) -> String {
    let id = format!("{}:{}", reference["type"].as_str().unwrap(), reference["value"].as_str().unwrap());
    let collected = govc(&vcsim.govc_url(), &["object.collect", &id, "name"]).await.unwrap();
    collected[0]["val"]["_value"].as_str().or(collected[0]["val"].as_str()).unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_columns_of_lists_are_what_govc_says() {
    let (vcsim, client) = connected(&["-folder", "1", "-pg", "1"]).await;
    govc_run(&vcsim.govc_url(), &["snapshot.create", "-vm", "DC0_C0_RP0_VM0", "before"]).await.unwrap();
    let columns = VmColumn::ALL.iter().copied().filter(|column| *column != VmColumn::Tags).collect();
    let query = VmQuery { columns, page: ListQuery::first(1000), ..Default::default() };
    let page = list(&client, &query).await.unwrap();
    assert!(page.items.len() >= 4);
    let mut in_clusters = 0;
    for vm in &page.items {
        let known = govc(&vcsim.govc_url(), &["vm.info", "-json", &vm.name]).await.unwrap();
        let known = &known["virtualMachines"][0];
        let text = |column| match vm.columns.get(column).unwrap() {
            Cell::Text(text) => Some(text.clone()),
            Cell::Nothing => None,
            other => panic!("{column:?}: {other:?}"),
        };
        let found = govc_find(&vcsim, &["/", "-type", "m", "-name", &vm.name]).await;
        assert_eq!(Some(found), text(VmColumn::Path).map(|path| [path].into()), "{}", vm.name);
        assert_eq!(text(VmColumn::Uuid).as_deref(), known["config"]["uuid"].as_str());
        assert_eq!(text(VmColumn::InstanceUuid).as_deref(), known["config"]["instanceUuid"].as_str());
        assert_eq!(text(VmColumn::ResourcePool), Some(govc_name(&vcsim, &known["resourcePool"]).await));
        for (column, property) in [(VmColumn::Networks, "network"), (VmColumn::Datastores, "datastore")] {
            let mut names = Vec::new();
            for reference in known[property].as_array().unwrap() {
                names.push(govc_name(&vcsim, reference).await);
            }
            names.sort();
            assert_eq!(*vm.columns.get(column).unwrap(), Cell::Texts(names), "{} {column:?}", vm.name);
        }
        let snapshots = known["snapshot"]["rootSnapshotList"].as_array().map_or(0, Vec::len);
        assert_eq!(*vm.columns.get(VmColumn::Snapshots).unwrap(), Cell::Number(snapshots as i64));
        let used = known["summary"]["storage"]["committed"].as_i64().unwrap();
        assert_eq!(*vm.columns.get(VmColumn::UsedBytes).unwrap(), Cell::Number(used));
        // A host alone is in no cluster.
        let is_in_one = vm.name.contains("_C0_");
        assert_eq!(text(VmColumn::Cluster).is_some(), is_in_one, "{}", vm.name);
        in_clusters += usize::from(is_in_one);
    }
    assert!(in_clusters > 0 && in_clusters < page.items.len());
    let mirror = VmMirror::start(&client).await.unwrap();
    let held = query.columns.iter().copied().filter(|column| *column != VmColumn::CustomAttributes).collect();
    let query = VmQuery { columns: held, ..query };
    let of = |page: &Page<VmSummary>| page.items.iter().map(|vm| format!("{vm:?}")).collect::<Vec<_>>();
    assert_eq!(of(&mirror.list(&query).await.unwrap().unwrap()), of(&list(&client, &query).await.unwrap()));
    client.logout().await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_few_requests_find_an_object() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
    let client = connect(&proxy.url()).await;
    let mut before = 0;
    let mut requests = || {
        let all = proxy.requests_after_login();
        let new = all[before..].to_vec();
        before = all.len();
        new
    };
    let path = "/DC0/vm/DC0_H0_VM0";
    let machine = client.get::<VirtualMachine>(path).await.unwrap();
    assert_eq!(requests(), ["FindByInventoryPath"]);
    // Whether another machine is named like the id is read once, and kept for a while.
    let id = machine.id();
    assert_eq!(client.get::<VirtualMachine>(id).await.unwrap().label(), "DC0_H0_VM0");
    assert_eq!(requests(), ["RetrievePropertiesEx", "CreateContainerView", "RetrieveProperties"]);
    for what in [id, &machine.reference().to_string()] {
        assert_eq!(client.get::<VirtualMachine>(what).await.unwrap().label(), "DC0_H0_VM0");
        assert_eq!(requests(), ["RetrievePropertiesEx"], "{what}");
    }
    for what in ["DC0_H0_VM0", "DC0_H0_VM1", "dc0_h0_vm0"] {
        drop(client.get::<VirtualMachine>(what).await.unwrap());
        assert_eq!(requests(), ["RetrieveProperties"], "{what}");
    }
    assert_eq!(machine.path().await.unwrap(), path);
    assert_eq!(requests(), ["RetrievePropertiesEx"]);
    drop(client.find::<VirtualMachine>("/DC0/vm/*").select(vm::NAME).await.unwrap());
    assert_eq!(requests(), ["FindByInventoryPath", "RetrievePropertiesEx"]);
    drop(client.find::<VirtualMachine>("/*/vm/**").select(vm::NAME).await.unwrap());
    assert_eq!(requests(), ["RetrievePropertiesEx"]);
    let (instance, bios) = machine
        .read((
            vm::CONFIG.nested::<String>("config.instanceUuid").unwrap(),
            vm::CONFIG.nested::<String>("config.uuid").unwrap(),
        ))
        .await
        .unwrap();
    requests();
    assert_eq!(client.get::<VirtualMachine>(&instance.unwrap()).await.unwrap().id(), machine.id());
    assert_eq!(requests(), ["FindByUuid", "RetrievePropertiesEx"]);
    assert_eq!(client.get::<VirtualMachine>(&bios.unwrap()).await.unwrap().id(), machine.id());
    // vcsim has no FindAllByUuid: one request more than on a server.
    assert_eq!(requests(), ["FindByUuid", "FindAllByUuid", "FindByUuid", "RetrievePropertiesEx"]);
    client.logout().await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_12_a_slash_in_a_name_is_escaped_in_its_path() {
    let (vcsim, client) = connected(&[]).await;
    govc_run(&vcsim.govc_url(), &[&["vm.create"], &PLACE[..], &["a/b 50%"]].concat()).await.unwrap();
    let path = govc_find(&vcsim, &["/", "-type", "m", "-name", "a*"]).await.pop_first().unwrap();
    assert!(path.contains("%2f"), "{path}");
    for what in ["/DC0/vm/a%2fb 50%25", "/DC0/vm/a%2fb 50%", "a%2fb 50%25"] {
        let machine = client.get::<VirtualMachine>(what).await.unwrap();
        assert_eq!(machine.label(), "a/b 50%", "{what}");
        assert_eq!(machine.path().await.unwrap(), path, "{what}");
    }
    assert_eq!(find::<VirtualMachine>(&client, "/DC0/vm/a%2f*").await, BTreeSet::from([path]));
    client.logout().await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_13_a_name_of_several_machines_lists_them() {
    let (vcsim, client) = connected(&[]).await;
    let url = vcsim.govc_url();
    for (folder, name) in [("/DC0/vm/one", "twin"), ("/DC0/vm/two", "other")] {
        govc_run(&url, &["folder.create", folder]).await.unwrap();
        govc_run(&url, &[&["vm.create"], &PLACE[..], &["-folder", folder, name]].concat()).await.unwrap();
    }
    // Two of one name would share a directory on the datastore.
    govc_run(&url, &["object.rename", "/DC0/vm/two/other", "twin"]).await.unwrap();
    let error = client.get::<VirtualMachine>("twin").await.unwrap_err();
    let candidates: Vec<&str> = error.candidates().iter().map(|candidate| candidate.path.as_str()).collect();
    assert_eq!(candidates, ["/DC0/vm/one/twin", "/DC0/vm/two/twin"]);
    for candidate in error.candidates() {
        let by_id = client.get::<VirtualMachine>(&candidate.id).await.unwrap();
        assert_eq!(by_id.path().await.unwrap(), candidate.path);
        assert_eq!(client.get::<VirtualMachine>(&candidate.path).await.unwrap().id(), by_id.id());
    }
    // Below one folder, and by a path from the datacenter, it is the only one.
    let dc = client.datacenter("DC0").await.unwrap();
    let one = dc.get::<VirtualMachine>("one/twin").await.unwrap();
    let folder = client.get::<vsphere_ops::managed::Folder>("/DC0/vm/one").await.unwrap();
    assert_eq!(folder.get::<VirtualMachine>("twin").await.unwrap().id(), one.id());
    assert_eq!(folder.all::<VirtualMachine>().select(()).await.unwrap().len(), 1);

    // The id of a machine that is deleted.
    let id = one.reference().to_string();
    govc_run(&url, &["vm.destroy", "/DC0/vm/one/twin"]).await.unwrap();
    let error = client.get::<VirtualMachine>(&id).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().ends_with("or no longer"), "{error}");
    for gone in [one.path().await.unwrap_err(), one.read(vm::NAME).await.unwrap_err()] {
        assert!(gone.is_not_found() && gone.to_string().ends_with("or no longer"), "{gone}");
    }
    client.logout().await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_a_thousand_machines_come_in_pages_of_100() {
    let vcsim = Vcsim::start(&["-vm", "500"]).await.unwrap();
    let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
    let client = connect(&proxy.url()).await;
    let mut pages = client.all::<VirtualMachine>().select((vm::NAME, vm::POWER_STATE)).stream(100);
    let mut names = BTreeSet::new();
    let mut sizes = Vec::new();
    while let Some(page) = pages.try_next().await.unwrap() {
        sizes.push(page.len());
        names.extend(page.into_iter().map(|(_, (name, _))| name));
    }
    assert_eq!((sizes, names.len()), (vec![100; 10], 1000));
    let mut expected = vec!["CreateContainerView", "RetrievePropertiesEx"];
    expected.resize(2 + 9, "ContinueRetrievePropertiesEx");
    assert_eq!(proxy.requests_after_login(), expected);

    // A machine that is deleted between two pages does not end the read, and the others come once.
    let mut pages = client.find::<VirtualMachine>("/DC0/vm/*").select(vm::NAME).stream(100);
    let first = pages.try_next().await.unwrap().unwrap();
    let first: BTreeSet<String> = first.into_iter().map(|(_, name)| name).collect();
    let gone = names.iter().find(|name| !first.contains(*name)).unwrap();
    govc_run(&vcsim.govc_url(), &["vm.destroy", &format!("/DC0/vm/{gone}")]).await.unwrap();
    let mut rest = BTreeSet::new();
    while let Some(page) = pages.try_next().await.unwrap() {
        rest.extend(page.into_iter().map(|(_, name)| name));
    }
    assert!(rest.is_disjoint(&first));
    // vcsim has the pages ready when the first is asked for, a server makes them as they are.
    assert!((999..=1000).contains(&(first.len() + rest.len())), "{}", rest.len());
    client.logout().await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_containers_hold_what_govc_says() {
    let (vcsim, client) = connected(&["-ds", "2"]).await;
    let cluster = client.get::<ClusterComputeResource>("DC0_C0").await.unwrap();
    let host = client.get::<HostSystem>("DC0_H0").await.unwrap();
    let machines = |found: Vec<(Mo<VirtualMachine>, ())>| found.len();
    assert_eq!(machines(cluster.all().select(()).await.unwrap().into_vec()), 2);
    assert_eq!(machines(host.all().select(()).await.unwrap().into_vec()), 2);
    let pool = client.get::<ResourcePool>("/DC0/host/DC0_C0/Resources").await.unwrap();
    assert_eq!(machines(pool.all().select(()).await.unwrap().into_vec()), 2);
    let stores = host.all::<Datastore>().select(()).await.unwrap().into_vec();
    assert_eq!(paths(&client, &stores).await, govc_find(&vcsim, &["/", "-type", "s"]).await);
    let machines = stores[0].0.all::<VirtualMachine>().select(()).await.unwrap().len()
        + stores[1].0.all::<VirtualMachine>().select(()).await.unwrap().len();
    assert_eq!(machines, 4);
    assert!(!cluster.all::<Network>().select(()).await.unwrap().is_empty());
    let dc = client.datacenter("DC0").await.unwrap();
    assert_eq!(dc.all::<Datastore>().select(()).await.unwrap().len(), 2);
    assert_eq!(dc.all::<HostSystem>().select(()).await.unwrap().len(), 4);
    let error = pool.all::<Datastore>().select(()).await.unwrap_err();
    assert_eq!(error.code(), "invalid_argument");
    let ancestors: Vec<String> = client
        .get::<HostSystem>("DC0_C0_H0")
        .await
        .unwrap()
        .ancestors()
        .await
        .unwrap()
        .into_iter()
        .map(|a| a.name)
        .collect();
    assert_eq!(ancestors, ["DC0", "host", "DC0_C0"]);
    client.logout().await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_many_tasks_are_waited_for_at_once() {
    let vcsim = Vcsim::start(&["-vm", "10", "-method-delay", "PowerOffVM_Task:200"]).await.unwrap();
    let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
    let client = connect(&proxy.url()).await;
    let mut tasks: Vec<Task<()>> = Vec::new();
    for (machine, ()) in client.find::<VirtualMachine>("DC0_H0_*").select(()).await.unwrap() {
        tasks.push(machine.power_off().await.unwrap());
    }
    assert_eq!(tasks.len(), 10);
    for ended in wait_all(tasks).await {
        ended.unwrap();
    }
    let requests = proxy.requests_after_login();
    let count = |operation: &str| requests.iter().filter(|request| *request == operation).count();
    assert_eq!((count("CreatePropertyCollector"), count("CreateFilter"), count("DestroyPropertyCollector")), (1, 1, 1));

    let machine = client.get::<VirtualMachine>("DC0_H0_VM0").await.unwrap();
    let events: Vec<TaskEvent<()>> = machine.power_on().await.unwrap().events().try_collect().await.unwrap();
    assert!(matches!(events.last(), Some(TaskEvent::Done(()))));
    let info = govc(&vcsim.govc_url(), &["vm.info", "DC0_H0_VM0"]).await.unwrap();
    assert_eq!(info["virtualMachines"][0]["runtime"]["powerState"], Value::from("poweredOn"));
    // Done long before it is waited for.
    let task = machine.power_off().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    task.with_deadline(Duration::from_secs(10)).await.unwrap();
    let recent = client.recent_tasks().await.unwrap();
    assert!(
        recent.iter().any(|info| info.entity.as_ref().is_some_and(|entity| entity == machine.reference())),
        "{recent:?}"
    );
    client.logout().await.unwrap();
}
