//! The client against vcsim: its REST session, its clock, and what many readers and waiters leave behind.
//!
//! The soak lasts `SOAK_SECONDS`, 10 without it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]
#![allow(clippy::print_stdout, reason = "the soak says what it has counted")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use peers::{CountingProxy, Vcsim, govc};
use tokio::task::JoinSet;
use tokio::time::sleep;
use vsphere_ops::managed::{Folder, PropertyCollector, VirtualMachine, virtual_machine as vm};
use vsphere_ops::types::{ManagedObjectReference, ObjectSpec, PropertyFilterSpec, PropertySpec, RetrieveOptions};
use vsphere_ops::{Client, Clients, Config};

fn config(url: &str) -> Config {
    Config::new(url).user("user").password("pass")
}

/// How many sessions the server has; govc's own, which asks, is one of them.
async fn sessions(vcsim: &Vcsim) -> usize {
    govc(&vcsim.govc_url(), &["session.ls"]).await.unwrap()["sessionList"].as_array().unwrap().len()
}

async fn one_session_is_left(vcsim: &Vcsim) {
    for _ in 0..100 {
        if sessions(vcsim).await == 1 {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sessions(vcsim).await, 1, "only the one that asks");
}

/// Memory that this process holds, in KiB.
#[cfg(target_os = "linux")]
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(not(target_os = "linux"))]
fn memory() -> u64 {
    0
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_03_sessions_end_with_the_logout_and_with_the_last_clone() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let client = Client::connect(config(&vcsim.url())).await.unwrap();
    assert_eq!(sessions(&vcsim).await, 2);
    client.logout().await.unwrap();
    assert_eq!(sessions(&vcsim).await, 1);
    drop(Client::connect(config(&vcsim.url())).await.unwrap());
    one_session_is_left(&vcsim).await;
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_01_a_session_that_the_server_ended_is_renewed_once() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
    let client = Client::connect(config(&proxy.url())).await.unwrap();
    let list = govc(&vcsim.govc_url(), &["session.ls"]).await.unwrap();
    for session in list["sessionList"].as_array().unwrap() {
        if session["userAgent"].as_str().unwrap_or_default().starts_with("vsphere-ops") {
            peers::govc_run(&vcsim.govc_url(), &["session.rm", session["key"].as_str().unwrap()]).await.unwrap();
        }
    }
    for _ in 0..3 {
        assert!(!client.all::<VirtualMachine>().select(vm::NAME).await.unwrap().is_empty());
    }
    let logins = proxy.requests().iter().filter(|request| *request == "Login").count();
    assert_eq!(logins, 2);
    client.logout().await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_04_categories_by_rest() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    peers::govc_run(&vcsim.govc_url(), &["tags.category.create", "site"]).await.unwrap();
    let client = Client::connect(config(&vcsim.url())).await.unwrap();
    let rest = client.rest().unwrap();
    // vcsim has the older paths alone, the session's included.
    let ids: Vec<String> = rest.get("/rest/com/vmware/cis/tagging/category").await.unwrap();
    assert_eq!(ids.len(), 1);
    let missing = rest.get::<()>("/rest/com/vmware/cis/tagging/category/id:nothing").await.unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
    client.logout().await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_34_the_clock_is_this_machines() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let client = Client::connect(config(&vcsim.url())).await.unwrap();
    assert!(client.clock_offset().await.unwrap().abs() < chrono::TimeDelta::seconds(5));
    client.logout().await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_25_an_esxi_host_is_told_apart() {
    let (host, vcenter) = (Vcsim::start(&["-esx"]).await.unwrap(), Vcsim::start(&[]).await.unwrap());
    let clients = Clients::new([("host", config(&host.url())), ("vcenter", config(&vcenter.url()))]).unwrap();
    assert!(clients.get("vcenter").await.unwrap().require_vcenter("clone").is_ok());
    assert_eq!(clients.get("host").await.unwrap().require_vcenter("clone").unwrap_err().code(), "unsupported");
    clients.logout().await;
}

/// How many of the views, collectors and filters that the server has made are there still, by type.
///
/// vcsim lists them nowhere (`viewList` stays empty, and a session's collectors are in no property), and they are seen
/// in their own session alone. So the server is asked in this session, in one request, for all that it has ever returned
/// a reference of: it answers with those that exist.
async fn left_over(client: &Client, proxy: &CountingProxy) -> BTreeMap<String, usize> {
    const MADE: [&str; 3] = ["ContainerView", "PropertyCollector", "PropertyFilter"];
    let made = proxy.returned().into_iter().filter(|(type_, _)| MADE.contains(&type_.as_str()));
    let object_set: Vec<ObjectSpec> = made
        .map(|(type_, id)| ObjectSpec { obj: ManagedObjectReference::new(type_, id), ..Default::default() })
        .collect();
    let mut left = BTreeMap::new();
    if !object_set.is_empty() {
        let spec = PropertyFilterSpec {
            prop_set: MADE.map(|type_| PropertySpec { type_: type_.to_owned(), ..Default::default() }).into(),
            object_set,
            report_missing_objects_in_results: Some(true),
        };
        let collector: PropertyCollector = client.raw(&client.content().property_collector);
        let answer = collector.retrieve_properties_ex(&[spec], &RetrieveOptions::default()).await.unwrap();
        for content in answer.map(|answer| answer.objects).unwrap_or_default() {
            *left.entry(content.obj.type_).or_default() += 1;
        }
    }
    left
}

/// What the readers, waiters and watchers of the soak count together.
#[derive(Default)]
struct Soak {
    over: AtomicBool,
    reads: AtomicUsize,
    tasks: AtomicUsize,
    changes: AtomicUsize,
}

/// What is left on the server is counted there, before and after: sessions by `govc session.ls`, views, collectors and
/// filters by [`left_over`]. The requests that the proxy has seen show that none of these was missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_soak_readers_waiters_and_watchers_leave_nothing_behind() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10).min(60);
    let vcsim = Vcsim::start(&["-vm", "20"]).await.unwrap();
    let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
    let client = Client::connect(config(&proxy.url())).await.unwrap();
    // The view that listings share is made with the first of them, and kept for the session.
    let machines = client.all::<VirtualMachine>().select(vm::NAME).await.unwrap();
    let before = (sessions(&vcsim).await, left_over(&client, &proxy).await);
    assert_eq!(before, (2, BTreeMap::from([("ContainerView".to_owned(), 1)])), "this session and govc's, and the view");
    let soak = Arc::new(Soak::default());
    let mut work = JoinSet::new();
    for reader in 0..200 {
        work.spawn(read(client.clone(), Arc::clone(&soak), reader));
    }
    for (machine, _) in machines.into_iter().take(20) {
        work.spawn(wait(machine, Arc::clone(&soak)));
    }
    for _ in 0..20 {
        work.spawn(watch(client.clone(), Arc::clone(&soak)));
    }
    let time = Duration::from_secs(seconds);
    sleep(time / 2).await;
    let (warm, halfway) = (memory(), soak.reads.load(Ordering::Relaxed));
    // The count sees what is in use now.
    let amid = left_over(&client, &proxy).await;
    assert!(amid["PropertyCollector"] > 0 && amid["PropertyFilter"] > 0, "{amid:?}");
    sleep(time / 2).await;
    soak.over.store(true, Ordering::Relaxed);
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
    let (reads, tasks) = (soak.reads.load(Ordering::Relaxed), soak.tasks.load(Ordering::Relaxed));
    assert!(reads > 200 && reads > halfway && tasks > 0, "{reads} reads, {tasks} tasks");
    assert!(soak.changes.load(Ordering::Relaxed) > 20, "the watchers saw the machines go off and on");
    assert!(memory() < warm + 32 * 1024, "{warm} KiB halfway, {} KiB at the end", memory());

    let requests = || proxy.requests();
    let count = |name: &str| requests().iter().filter(|request| *request == name).count();
    assert_eq!(count("Login"), 1);
    // What was given up last is destroyed in the background.
    let mut after = (sessions(&vcsim).await, left_over(&client, &proxy).await);
    for _ in 0..100 {
        if after == before {
            break;
        }
        sleep(Duration::from_millis(50)).await;
        after = (sessions(&vcsim).await, left_over(&client, &proxy).await);
    }
    assert_eq!(after, before);
    let returned = proxy.returned();
    let made = |type_: &str| returned.iter().filter(|(returned, _)| returned == type_).count();
    for (type_, maker) in [("ContainerView", "CreateContainerView"), ("PropertyCollector", "CreatePropertyCollector")] {
        assert!(
            made(type_) > 1 && made(type_) == count(maker),
            "{} of {} {type_} are known",
            made(type_),
            count(maker)
        );
    }
    // One is refused where its collector was given up meanwhile, and is destroyed already.
    assert!(made("PropertyFilter") > 1 && made("PropertyFilter") <= count("CreateFilter"));
    for type_ in ["ContainerView", "PropertyCollector", "PropertyFilter"] {
        println!("{type_}: {} made, {} left", made(type_), after.1.get(type_).unwrap_or(&0));
    }
    println!("{reads} reads, {tasks} tasks, {warm} KiB halfway, {} KiB at the end", memory());
    client.logout().await.unwrap();
    one_session_is_left(&vcsim).await;
}

async fn read(client: Client, soak: Arc<Soak>, reader: usize) {
    while !soak.over.load(Ordering::Relaxed) {
        if reader.is_multiple_of(10) {
            // A view of its own, and now and then one that is given up.
            let folder = client.get::<Folder>("/DC0/vm").await.unwrap();
            let list = folder.all::<VirtualMachine>().select(vm::NAME);
            drop(tokio::time::timeout(Duration::from_millis(20 + reader as u64), list).await);
        } else {
            let rows = client.all::<VirtualMachine>().select((vm::NAME, vm::POWER_STATE)).await.unwrap();
            assert!(rows.len() >= 20);
        }
        soak.reads.fetch_add(1, Ordering::Relaxed);
    }
}

async fn wait(machine: vsphere_ops::Mo<VirtualMachine>, soak: Arc<Soak>) {
    while !soak.over.load(Ordering::Relaxed) {
        machine.power_off().await.unwrap().await.unwrap();
        // One whose waiting is given up.
        drop(tokio::time::timeout(Duration::from_millis(5), machine.power_on().await.unwrap()).await);
        while machine.power_on().await.unwrap().await.is_ok() {}
        soak.tasks.fetch_add(1, Ordering::Relaxed);
    }
}

async fn watch(client: Client, soak: Arc<Soak>) {
    let mut changes = client.watch::<VirtualMachine>().select(vm::POWER_STATE);
    while !soak.over.load(Ordering::Relaxed) {
        if let Ok(Some(change)) = tokio::time::timeout(Duration::from_millis(100), changes.next()).await {
            change.unwrap();
            soak.changes.fetch_add(1, Ordering::Relaxed);
        }
    }
}
