//! The client against vcsim: its REST session, its clock, and what many readers and waiters leave behind.
//!
//! The soak lasts `SOAK_SECONDS`, 10 without it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use peers::{CountingProxy, Vcsim, govc};
use tokio::task::JoinSet;
use tokio::time::sleep;
use vsphere_ops::managed::{Folder, VirtualMachine, virtual_machine as vm};
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

/// What the readers, waiters and watchers of the soak count together.
#[derive(Default)]
struct Soak {
    over: AtomicBool,
    reads: AtomicUsize,
    tasks: AtomicUsize,
    changes: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_soak_readers_waiters_and_watchers_leave_nothing_behind() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10).min(60);
    let vcsim = Vcsim::start(&["-vm", "20"]).await.unwrap();
    let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
    let client = Client::connect(config(&proxy.url())).await.unwrap();
    let before = sessions(&vcsim).await;
    let soak = Arc::new(Soak::default());
    let mut work = JoinSet::new();
    for reader in 0..200 {
        work.spawn(read(client.clone(), Arc::clone(&soak), reader));
    }
    let machines = client.all::<VirtualMachine>().select(vm::NAME).await.unwrap();
    for (machine, _) in machines.into_iter().take(20) {
        work.spawn(wait(machine, Arc::clone(&soak)));
    }
    for _ in 0..20 {
        work.spawn(watch(client.clone(), Arc::clone(&soak)));
    }
    let time = Duration::from_secs(seconds);
    sleep(time / 2).await;
    let (warm, halfway) = (memory(), soak.reads.load(Ordering::Relaxed));
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
    assert_eq!(sessions(&vcsim).await, before);
    for _ in 0..100 {
        // All but the one that is kept for the session; filters go with their collectors.
        if count("CreateContainerView") == count("DestroyView") + 1
            && count("CreatePropertyCollector") == count("DestroyPropertyCollector")
        {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(count("CreateContainerView"), count("DestroyView") + 1);
    assert_eq!(count("CreatePropertyCollector"), count("DestroyPropertyCollector"));
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
