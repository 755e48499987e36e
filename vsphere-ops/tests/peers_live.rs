//! Watches, the mirror, events, alarms and performance against vcsim, with govc as the one who changes things.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::fmt::Debug;
use std::future::Future;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, TryStreamExt};
use peers::{CountingProxy, Vcsim};
use tokio::time::timeout;
use vsphere_ops::events::name_of;
use vsphere_ops::managed::{EventManager, HostSystem, VirtualMachine, host_system, virtual_machine as vm};
use vsphere_ops::performance::Interval;
use vsphere_ops::types::{EventEx, ManagedObjectReference, Poly, VirtualMachinePowerState};
use vsphere_ops::{Change, Client, Config, Inventory, Result};

/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(url: &str) -> Client {
    Client::connect(Config::new(url).user("user").password("pass")).await.unwrap()
}

/// Lets govc change something. Its changing verbs print no JSON.
async fn govc(vcsim: &Vcsim, args: &[&str]) {
    let output = tokio::process::Command::new(std::env::var_os("PEERS_GOVC").unwrap())
        .args(args)
        .env("GOVC_URL", vcsim.govc_url())
        .env("GOVC_INSECURE", "1")
        .env("GOVC_PERSIST_SESSION", "false")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output).await.unwrap().unwrap();
    assert!(output.status.success(), "govc {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The first change that fits.
async fn until<T: Debug>(changes: &mut (impl Stream<Item = Result<T>> + Unpin), fits: impl Fn(&T) -> bool) -> T {
    let search = async {
        loop {
            let change = changes.try_next().await.unwrap().unwrap();
            if fits(&change) {
                return change;
            }
        }
    };
    timeout(PATIENCE, search).await.unwrap()
}

/// Waits until something is so.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

/// How often two requests were sent.
fn counts(proxy: &CountingProxy, one: &str, other: &str) -> (usize, usize) {
    let requests = proxy.requests();
    let count = |name: &str| requests.iter().filter(|request| *request == name).count();
    (count(one), count(other))
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_a_watch_sees_what_govc_does_within_a_second() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let client = connect(&vcsim.url()).await;
    let mut changes = client.watch::<VirtualMachine>().select((vm::NAME, vm::POWER_STATE));
    let mut names = Vec::new();
    loop {
        match in_time(changes.try_next()).await.unwrap().unwrap() {
            Change::Entered { row: (name, power), .. } => {
                assert_eq!(power, VirtualMachinePowerState::PoweredOn);
                names.push(name);
            }
            Change::Live => break,
            other => panic!("{other:?}"),
        }
    }
    names.sort();
    assert_eq!(names, ["DC0_C0_RP0_VM0", "DC0_C0_RP0_VM1", "DC0_H0_VM0", "DC0_H0_VM1"]);
    assert!(changes.is_live() && changes.age().unwrap() < Duration::from_secs(60));

    govc(&vcsim, &["vm.power", "-off", "DC0_H0_VM0"]).await;
    let done = Instant::now();
    let change = until(&mut changes, |change| matches!(change, Change::Changed { .. })).await;
    assert!(done.elapsed() < Duration::from_secs(1), "{:?}", done.elapsed());
    let Change::Changed { object, row, paths } = change else { panic!("{change:?}") };
    assert_eq!(object.label(), "DC0_H0_VM0");
    assert_eq!(
        (row.0.as_str(), row.1, paths),
        ("DC0_H0_VM0", VirtualMachinePowerState::PoweredOff, vec![vm::POWER_STATE.path()])
    );

    govc(&vcsim, &["vm.create", "-on=false", "-host", "DC0_H0", "-net", "DC0_DVPG0", "newcomer"]).await;
    let change = until(&mut changes, |change| matches!(change, Change::Entered { .. })).await;
    let Change::Entered { object, row } = change else { panic!("{change:?}") };
    assert_eq!((row.0.as_str(), row.1), ("newcomer", VirtualMachinePowerState::PoweredOff));
    govc(&vcsim, &["vm.destroy", "newcomer"]).await;
    let change = until(&mut changes, |change| matches!(change, Change::Left { .. })).await;
    let Change::Left { object: gone } = change else { panic!("{change:?}") };
    assert_eq!(gone.id(), object.id());
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_a_watch_of_one_object_ends_with_it() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let client = connect(&vcsim.url()).await;
    let machine = client.get::<VirtualMachine>("DC0_H0_VM0").await.unwrap();
    let mut changes = machine.watch(vm::POWER_STATE);
    until(&mut changes, |change| matches!(change, Change::Live)).await;
    govc(&vcsim, &["vm.destroy", "DC0_H0_VM0"]).await;
    until(&mut changes, |change| matches!(change, Change::Left { .. })).await;
    assert!(in_time(changes.next()).await.is_none());
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_07_all_of_many_objects_are_told() {
    // vcsim, as vCenter, tells of 100 objects at once.
    let vcsim = Vcsim::start(&["-vm", "150"]).await.unwrap();
    let client = connect(&vcsim.url()).await;
    let mut checker = client.watch::<VirtualMachine>().select(vm::POWER_STATE).checker();
    let changes = in_time(checker.check()).await.unwrap();
    assert_eq!(changes.iter().filter(|change| matches!(change, Change::Entered { .. })).count(), 300);
    assert!(matches!(changes.last(), Some(Change::Live)));
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_08_a_check_does_not_wait() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let client = connect(&vcsim.url()).await;
    let mut checker = client.watch::<VirtualMachine>().select(vm::POWER_STATE).checker();
    assert_eq!(in_time(checker.check()).await.unwrap().len(), 5);
    let started = Instant::now();
    assert!(checker.check().await.unwrap().is_empty());
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    govc(&vcsim, &["vm.power", "-off", "DC0_H0_VM1"]).await;
    let changes = checker.check().await.unwrap();
    assert!(matches!(&changes[..], [Change::Changed { row: VirtualMachinePowerState::PoweredOff, .. }]), "{changes:?}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_03_watches_share_a_collector_and_leave_nothing_behind() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
    let client = connect(&proxy.url()).await;
    let mut watches: Vec<_> =
        (0..20).map(|_| client.watch::<VirtualMachine>().select((vm::NAME, vm::POWER_STATE))).collect();
    for watch in &mut watches {
        until(watch, |change| matches!(change, Change::Live)).await;
    }
    let collectors = || counts(&proxy, "CreatePropertyCollector", "DestroyPropertyCollector");
    let views = || counts(&proxy, "CreateContainerView", "DestroyView");
    assert_eq!((collectors(), views()), ((1, 0), (1, 0)));

    // The others go on when one leaves.
    watches.truncate(2);
    govc(&vcsim, &["vm.power", "-off", "DC0_H0_VM0"]).await;
    for watch in &mut watches {
        until(watch, |change| matches!(change, Change::Changed { .. })).await;
    }
    drop(watches);
    // The view of all machines is the session's, for whatever reads them next, and ends with it.
    eventually("the collector is destroyed", async || (collectors(), views()) == ((1, 1), (1, 0))).await;

    // Dropped before it was told anything.
    let mut early = client.watch::<VirtualMachine>().select(vm::POWER_STATE);
    assert!(futures::poll!(early.next()).is_pending());
    drop(early);
    let mut events = client.events().follow();
    until(&mut events, |_| true).await;
    drop(events);
    client.events().latest(3).await.unwrap();
    eventually("all is destroyed", async || {
        let events = counts(&proxy, "CreateCollectorForEvents", "DestroyCollector");
        let (made, destroyed) = collectors();
        made == destroyed && views() == (1, 0) && events == (2, 2)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_01_watches_and_events_outlive_their_session() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
    let client = connect(&proxy.url()).await;
    let mut changes = client.watch::<VirtualMachine>().select((vm::NAME, vm::POWER_STATE));
    until(&mut changes, |change| matches!(change, Change::Live)).await;
    let mut events = client.events().types(["VmPoweredOffEvent"]).follow();
    assert!(futures::poll!(events.next()).is_pending());

    let sessions = peers::govc(&vcsim.govc_url(), &["session.ls"]).await.unwrap();
    let ours = |session: &&serde_json::Value| session["userAgent"].as_str().unwrap().starts_with("vsphere-ops/");
    let session = sessions["sessionList"].as_array().unwrap().iter().find(ours).unwrap()["key"].as_str().unwrap();
    govc(&vcsim, &["session.rm", session]).await;
    // What was asked before the session went is still answered; the next request finds it gone.
    govc(&vcsim, &["vm.power", "-off", "DC0_H0_VM0"]).await;
    until(&mut changes, |change| matches!(change, Change::Resync)).await;
    let change = until(&mut changes, |change| matches!(change, Change::Live | Change::Changed { .. })).await;
    assert!(matches!(change, Change::Live), "{change:?}");
    govc(&vcsim, &["vm.power", "-off", "DC0_H0_VM1"]).await;
    until(&mut changes, |change| matches!(change, Change::Changed { row, .. } if row.0 == "DC0_H0_VM1")).await;
    for machine in ["DC0_H0_VM0", "DC0_H0_VM1"] {
        let event = in_time(events.try_next()).await.unwrap().unwrap();
        assert_eq!(event.vm.as_ref().unwrap().name, machine);
    }
    let told = "all find the session lost, one logs in, and the lost session is ended in case it is not gone";
    assert_eq!(counts(&proxy, "Login", "Logout"), (2, 1), "{told}");
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_a_watch_outlives_a_restart_of_the_server() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let address = vcsim.address().to_string();
    let client = connect(&vcsim.url()).await;
    let mut changes = client.watch::<VirtualMachine>().select(vm::NAME);
    until(&mut changes, |change| matches!(change, Change::Live)).await;
    let mut events = client.events().types(["DatacenterCreatedEvent", "UserLoginSessionEvent"]).follow();
    until(&mut events, |event| name_of(event) == "UserLoginSessionEvent").await;
    drop(vcsim);
    eventually("the server is down", async || tokio::net::TcpStream::connect(&address).await.is_err()).await;
    // A server without machines takes its place.
    let _vcsim = Vcsim::start(&["-l", &address, "-vm", "0"]).await.unwrap();
    until(&mut changes, |change| matches!(change, Change::Resync)).await;
    let change = until(&mut changes, |_| true).await;
    assert!(matches!(change, Change::Live), "{change:?}");
    until(&mut events, |event| name_of(event) == "DatacenterCreatedEvent").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_200_readers_and_20_watchers_leave_nothing_behind() {
    const LASTS: Duration = Duration::from_secs(8);
    let vcsim = Vcsim::start(&["-vm", "25"]).await.unwrap();
    let proxy = CountingProxy::start(vcsim.address()).await.unwrap();
    let client = connect(&proxy.url()).await;
    // The view that all listings share is made here, and kept for the session.
    client.all::<VirtualMachine>().select(vm::NAME).await.unwrap();
    let mut work = tokio::task::JoinSet::new();
    for reader in 0..200 {
        let client = client.clone();
        work.spawn(async move {
            let started = Instant::now();
            let mut reads = 0;
            while started.elapsed() < LASTS {
                let rows = client.find::<VirtualMachine>("*").select((vm::NAME, vm::POWER_STATE)).await.unwrap();
                assert_eq!(rows.len(), 50);
                tokio::time::sleep(Duration::from_millis(500 + reader)).await;
                reads += 1;
            }
            reads
        });
    }
    for watcher in 0..20 {
        let client = client.clone();
        work.spawn(async move {
            let started = Instant::now();
            let mut rounds = 0;
            while started.elapsed() < LASTS {
                // Half of them watch the same, and half something of their own that comes and goes.
                let mut changes = match watcher % 2 {
                    0 => client.watch::<VirtualMachine>().select(vm::POWER_STATE),
                    _ => client.get::<VirtualMachine>("DC0_H0_VM0").await.unwrap().watch(vm::POWER_STATE),
                };
                until(&mut changes, |change| matches!(change, Change::Live)).await;
                tokio::time::sleep(Duration::from_millis(200 + watcher)).await;
                rounds += 1;
            }
            rounds
        });
    }
    let rounds: Vec<u64> = timeout(Duration::from_secs(60), work.join_all()).await.unwrap();
    assert!(rounds.iter().all(|rounds| *rounds > 0));
    eventually("what was made is destroyed", async || {
        let (collectors, destroyed) = counts(&proxy, "CreatePropertyCollector", "DestroyPropertyCollector");
        let (views, views_destroyed) = counts(&proxy, "CreateContainerView", "DestroyView");
        collectors > 1 && collectors == destroyed && views == views_destroyed + 1
    })
    .await;
    assert_eq!(counts(&proxy, "Login", "Logout"), (1, 0));
    drop(client);
    eventually("the session is ended", async || counts(&proxy, "Login", "Logout") == (1, 1)).await;
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_the_mirror_follows_the_server() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let client = connect(&vcsim.url()).await;
    let mut vms = in_time(Inventory::start(client.watch::<VirtualMachine>().select(vm::POWER_STATE))).await.unwrap();
    let before = vms.snapshot();
    assert_eq!((before.len(), vms.is_live()), (4, true));
    let id = vms.by_name("DC0_H0_VM0")[0].object.id().to_owned();
    govc(&vcsim, &["vm.power", "-off", "DC0_H0_VM0"]).await;
    in_time(vms.changed()).await.unwrap();
    eventually("the power state", async || vms.get(&id).unwrap().row == VirtualMachinePowerState::PoweredOff).await;
    assert_eq!(before[&id].row, VirtualMachinePowerState::PoweredOn, "a snapshot stays as it is");
    govc(&vcsim, &["object.rename", "/DC0/vm/DC0_H0_VM0", "renamed"]).await;
    eventually("the name", async || vms.by_name("renamed").len() == 1 && vms.by_name("DC0_H0_VM0").is_empty()).await;
    govc(&vcsim, &["vm.destroy", "renamed"]).await;
    eventually("the end", async || vms.get(&id).is_none() && vms.snapshot().len() == 3).await;
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_events_are_read_forwards_backwards_and_as_they_happen() {
    let vcsim = Vcsim::start(&["-vm", "20"]).await.unwrap();
    let client = connect(&vcsim.url()).await;
    // More than a page of each: 40 machines tell of several things each while they are made.
    let forwards: Vec<_> = client.events().page_size(25).oldest_first().try_collect().await.unwrap();
    let keys: Vec<i32> = forwards.iter().map(|event| event.key).collect();
    assert!(keys.len() > 100 && keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    let backwards: Vec<_> = client.events().page_size(25).newest_first().try_collect().await.unwrap();
    let mut reversed: Vec<i32> = backwards.iter().map(|event| event.key).collect();
    reversed.reverse();
    assert_eq!(reversed, keys);

    let machine = client.get::<VirtualMachine>("DC0_H0_VM0").await.unwrap();
    let mut events = machine.events().last(Duration::ZERO).follow();
    let power_off = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        govc(&vcsim, &["vm.power", "-off", "DC0_H0_VM1"]).await;
        govc(&vcsim, &["vm.power", "-off", "DC0_H0_VM0"]).await;
    };
    let (event, ()) = tokio::join!(until(&mut events, |event| name_of(event) == "VmPoweredOffEvent"), power_off);
    assert_eq!(event.vm.as_ref().unwrap().vm, *machine.reference(), "only this machine's");

    let latest = machine.events().types(["VmPoweredOffEvent"]).latest(5).await.unwrap();
    assert_eq!(latest.iter().map(|event| event.key).collect::<Vec<_>>(), [event.key]);
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_pitfall_30_following_loses_and_repeats_nothing() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let client = connect(&vcsim.url()).await;
    let manager: EventManager = client.raw(client.content().event_manager.as_ref().unwrap());
    let root = client.content().root_folder.clone();
    let mut events = client.events().types(["test.tick"]).follow();
    let post = async {
        for tick in 0..120 {
            let event = EventEx {
                event_type_id: "test.tick".into(),
                message: Some(tick.to_string()),
                object_type: Some(root.type_.clone()),
                object_id: Some(root.value.clone()),
                ..Default::default()
            };
            manager.post_event(&Poly::new(event), None).await.unwrap();
        }
    };
    let read = async {
        let mut ticks = Vec::new();
        while ticks.len() < 120 {
            let event = events.try_next().await.unwrap().unwrap();
            ticks.push(event.downcast_ref::<EventEx>().unwrap().message.clone().unwrap());
        }
        ticks
    };
    let (ticks, ()) = in_time(async { tokio::join!(read, post) }).await;
    assert_eq!(ticks, (0..120).map(|tick| tick.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_triggered_alarms_have_names() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let client = connect(&vcsim.url()).await;
    assert!(client.triggered_alarms().await.unwrap().is_empty());
    let machine = client.get::<VirtualMachine>("DC0_H0_VM0").await.unwrap();
    let manager: EventManager = client.raw(client.content().event_manager.as_ref().unwrap());
    let event = EventEx {
        event_type_id: "vcsim.vm.fatal".into(),
        object_type: Some(machine.reference().type_.clone()),
        object_id: Some(machine.id().to_owned()),
        ..Default::default()
    };
    manager.post_event(&Poly::new(event), None).await.unwrap();
    for alarms in [client.triggered_alarms().await.unwrap(), machine.triggered_alarms().await.unwrap()] {
        assert_eq!(alarms.len(), 1);
        let alarm = &alarms[0];
        assert_eq!((&*alarm.alarm, &*alarm.entity, &*alarm.status), ("vcsim VM Alarm", "DC0_H0_VM0", "red"));
        assert!(!alarm.acknowledged && alarm.entity_id == machine.id());
    }
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_counters_of_hosts_become_a_table() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let client = connect(&vcsim.url()).await;
    let performance = client.performance();
    let hosts = client.all::<HostSystem>().select(host_system::NAME).await.unwrap();
    let hosts: Vec<ManagedObjectReference> = hosts.iter().map(|(host, _)| host.reference().clone()).collect();
    let available = performance.available(&hosts[0], Interval::REALTIME).await.unwrap();
    assert!(available.iter().any(|metric| metric.counter.name == "cpu.usage.average"));

    let query = performance.query(["cpu.usage.average", "mem.usage.average"]).entities(&hosts).samples(6);
    let report = query.await.unwrap();
    assert!(report.series.iter().all(|series| series.raw.len() == 6), "{report:?}");
    let table = report.table();
    assert_eq!(table.columns.len(), 2 * hosts.len());
    assert_eq!((table.columns[0].entity.as_str(), table.columns[0].unit.as_str()), (&*hosts[0].value, "percent"));
    // vcsim takes the time anew for each host, and so each has times of its own.
    assert_eq!(table.rows.iter().flatten().flatten().count(), 6 * table.columns.len());

    let history = performance
        .query(["cpu.usage.average"])
        .entity(&hosts[0])
        .interval(Interval::FIVE_MINUTES)
        .last(Duration::from_secs(3600))
        .await
        .unwrap();
    assert_eq!(history.table().times.len(), 13);

    let root = client.content().root_folder.clone();
    let error = performance.query(["cpu.usage.average"]).entity(&root).await.unwrap_err();
    assert_eq!(error.code(), "unsupported", "{error}");
    let error = performance.query(["cpu.usage.averge"]).entity(&hosts[0]).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("cpu.usage.average"), "{error}");
}
