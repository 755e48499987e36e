//! The snapshots of a whole inventory with the simulated vCenter.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::time::Duration;

use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::snapshot::{self, NewSnapshot, SnapshotList, SnapshotQuery};
use vsphere_ops::types::VirtualMachinePowerState;
use vsphere_ops::{Client, Config, ListQuery, Mo};
use vsphere_sim::{Model, Sim, Size};

async fn of(model: Model) -> (Sim, Client) {
    let sim = Sim::start(model).await.unwrap();
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
    (sim, client)
}

/// VM and name of each snapshot on a page.
fn names(list: &SnapshotList) -> Vec<(&str, &str)> {
    list.page.items.iter().map(|listed| (&*listed.vm, &*listed.snapshot.name)).collect()
}

fn days(days: u64) -> Option<Duration> {
    Some(Duration::from_secs(days * 24 * 3600))
}

#[tokio::test]
async fn all_snapshots_are_listed_oldest_first_with_age_depth_and_size() {
    let (_sim, client) = of(Model::demo()).await;
    let list = snapshot::list(&client, &SnapshotQuery { sizes: true, ..Default::default() }).await.unwrap();
    let rows: Vec<_> = list
        .page
        .items
        .iter()
        .map(|listed| {
            let age = listed.age_days.round();
            (&*listed.vm, &*listed.snapshot.name, age, listed.depth, listed.snapshot.is_current)
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("legacy-crm", "do not delete", 412.0, 1, true),
            ("erp-app-01", "before 2026.2 upgrade", 97.0, 1, false),
            ("erp-app-01", "before hotfix 3", 61.0, 2, true),
            ("git-01", "before migration", 34.0, 1, true),
            ("test-alice", "clean install", 12.0, 1, false),
            ("test-alice", "with agent", 8.0, 2, true),
        ]
    );
    assert_eq!((list.page.total, list.totals.vms, list.page.gaps.is_empty()), (6, 4, true));
    // Each is what the list of its own VM says.
    for listed in &list.page.items {
        let machine = client.get::<VirtualMachine>(&listed.vm_id).await.unwrap();
        assert_eq!(machine.read(vm::NAME).await.unwrap(), listed.vm);
        let own = machine.list_snapshots(&ListQuery::default()).await.unwrap().items;
        assert!(own.contains(&listed.snapshot), "{listed:?}");
    }
    let sum: i64 = list.page.items.iter().map(|listed| listed.snapshot.size_bytes.unwrap()).sum();
    assert_eq!(list.totals.page_bytes, Some(sum));
    assert!(sum > 0);
}

#[tokio::test]
async fn snapshots_are_chosen_by_age_name_and_vm_and_come_in_pages() {
    let (_sim, client) = of(Model::demo()).await;
    let old = SnapshotQuery { older_than: days(60), ..Default::default() };
    let list = snapshot::list(&client, &old).await.unwrap();
    let expected =
        [("legacy-crm", "do not delete"), ("erp-app-01", "before 2026.2 upgrade"), ("erp-app-01", "before hotfix 3")];
    assert_eq!(names(&list), expected);
    assert_eq!((list.page.total, list.totals.vms, list.totals.page_bytes), (3, 2, None));
    assert!(list.page.items.iter().all(|listed| listed.snapshot.size_bytes.is_none()));

    let first = SnapshotQuery { page: ListQuery::first(2), sizes: true, ..old.clone() };
    let first = snapshot::list(&client, &first).await.unwrap();
    assert_eq!((names(&first), first.page.total, first.page.truncated), (expected[..2].to_vec(), 3, true));
    let page = ListQuery { cursor: first.page.next_cursor.clone(), ..ListQuery::first(2) };
    let second = snapshot::list(&client, &SnapshotQuery { page, ..old }).await.unwrap();
    assert_eq!((names(&second), second.page.truncated), (expected[2..].to_vec(), false));

    let page = ListQuery::default().matching("BEFORE *");
    let named = snapshot::list(&client, &SnapshotQuery { page, ..Default::default() }).await.unwrap();
    assert_eq!((named.page.total, named.totals.vms), (3, 2));

    let of_one = SnapshotQuery { vm: Some("test-alice".into()), older_than: days(10), ..Default::default() };
    assert_eq!(names(&snapshot::list(&client, &of_one).await.unwrap()), [("test-alice", "clean install")]);
    let none = SnapshotQuery { older_than: days(1000), sizes: true, ..Default::default() };
    let none = snapshot::list(&client, &none).await.unwrap();
    assert_eq!((none.page.total, none.totals.vms, none.totals.page_bytes), (0, 0, Some(0)));

    for (query, code) in [
        (SnapshotQuery { vm: Some("nobody".into()), ..Default::default() }, "not_found"),
        (SnapshotQuery { older_than: Some(Duration::MAX), ..Default::default() }, "invalid_argument"),
        (
            SnapshotQuery { page: ListQuery { cursor: Some("x".into()), ..ListQuery::first(1) }, ..Default::default() },
            "invalid_argument",
        ),
    ] {
        assert_eq!(snapshot::list(&client, &query).await.unwrap_err().code(), code, "{query:?}");
    }
}

#[tokio::test]
async fn templates_are_among_the_vms_and_long_descriptions_are_cut() {
    let (_sim, client) = of(Model::demo()).await;
    let golden: Mo<VirtualMachine> = client.get("test-bob").await.unwrap();
    golden.take_snapshot(&NewSnapshot::new("golden").description("é".repeat(300))).await.unwrap();
    golden.mark_as_template().await.unwrap();
    let list = snapshot::list(&client, &SnapshotQuery::default()).await.unwrap();
    let newest = list.page.items.last().unwrap();
    assert_eq!((&*newest.vm, &*newest.snapshot.name, list.totals.vms), ("test-bob", "golden", 5));
    assert!(newest.age_days < 0.1 && newest.snapshot.state_when_taken == VirtualMachinePowerState::PoweredOff);
    assert_eq!(newest.snapshot.description.as_str(), format!("{}…", "é".repeat(200)));
    // Of one VM it is told in full.
    let own = SnapshotQuery { vm: Some("test-bob".into()), ..Default::default() };
    let own = snapshot::list(&client, &own).await.unwrap();
    assert_eq!(own.page.items[0].snapshot.description.as_str(), "é".repeat(300));
}

#[tokio::test]
async fn the_requests_do_not_grow_with_the_vms() {
    let (sim, client) = of(Model::sized(Size { vms: 230, hosts: 4, ..Size::default() })).await;
    let all = client.all::<VirtualMachine>().select(()).await.unwrap();
    for (machine, ()) in all.iter().take(3) {
        machine.take_snapshot(&NewSnapshot::new("before")).await.unwrap();
    }
    let query = SnapshotQuery::default();
    assert_eq!(snapshot::list(&client, &query).await.unwrap().page.total, 3);
    for (sizes, requests) in [(false, 2), (true, 3)] {
        let before = client.requests_sent();
        let list = snapshot::list(&client, &SnapshotQuery { sizes, ..query.clone() }).await.unwrap();
        assert_eq!((list.page.total, client.requests_sent() - before), (3, requests));
    }
    assert_eq!(sim.calls("CreateContainerView"), 1);
}
