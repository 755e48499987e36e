//! Reports of events with the simulated vCenter: what was changed, and what is routine.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use vsphere_ops::disk::NewDisk;
use vsphere_ops::events::{ChangeKind, ConfigChange, changes_of};
use vsphere_ops::managed::{EventManager, VirtualMachine};
use vsphere_ops::types::{Event, Poly, UserLoginSessionEvent, UserLogoutSessionEvent};
use vsphere_ops::vm::Changes;
use vsphere_ops::{Client, Config, Mo};
use vsphere_sim::{Model, Sim};

async fn demo() -> (Sim, Client) {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let client = Client::connect(config(&sim, Model::PASSWORD)).await.unwrap();
    (sim, client)
}

fn config(sim: &Sim, password: &str) -> Config {
    let config = Config::new(sim.url()).user(Model::USER).password(password);
    config.thumbprint(&sim.thumbprint().unwrap().to_string())
}

/// As many logins and logouts as a monitoring program leaves behind.
async fn come_and_go(client: &Client, times: usize) {
    let manager: EventManager = client.raw(client.content().event_manager.as_ref().unwrap());
    for _ in 0..times {
        let both: [Poly<Event>; 2] =
            [Poly::new(UserLoginSessionEvent::default()), Poly::new(UserLogoutSessionEvent::default())];
        for event in both {
            manager.post_event(&event, None).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_reconfiguration_tells_old_and_new_values() {
    let (_sim, client) = demo().await;
    let vm: Mo<VirtualMachine> = client.get("web-04").await.unwrap();
    let changes = Changes { cpu: Some(3), annotation: Some("a; b -> \"c\"".into()), ..Default::default() };
    vm.reconfiguration(&changes).await.unwrap().carry_out().await.unwrap();
    vm.add_disk(&NewDisk::of_bytes(1 << 30)).await.unwrap();

    let events = vm.events().types(["VmReconfiguredEvent"]).latest(2).await.unwrap();
    let modified = |property: &str, from: &str, to: &str| ConfigChange {
        kind: ChangeKind::Modified,
        property: property.into(),
        from: Some(from.into()),
        to: Some(to.into()),
    };
    assert_eq!(
        changes_of(&events[1]),
        [
            modified("config.hardware.numCPU", "4", "3"),
            modified("config.annotation", "Spare for sales days", "a; b -> \\\"c\\\""),
        ]
    );
    let added = &changes_of(&events[0])[0];
    assert_eq!(added.kind, ChangeKind::Added);
    assert!(added.property.starts_with("config.hardware.device("), "{added}");
    assert!(added.to_string().contains(" added: Hard disk "), "{added}");

    let report = vm.events().types(["VmReconfiguredEvent"]).report(2).await.unwrap();
    let shown = serde_json::to_value(&report.items[1]).unwrap();
    assert_eq!(
        shown["changes"]["untrusted"], "hardware.numCPU: 4 -> 3; annotation: Spare for sales days -> a; b -> \\\"c\\\"",
        "{shown:#}"
    );
    // What the lines below repeat is left out.
    let message = shown["message"]["untrusted"].as_str().unwrap();
    assert!(message.starts_with("Reconfigured web-04 on ") && !message.contains("numCPU"), "{message}");
    let other = client.events().types(["UserLoginSessionEvent"]).report(1).await.unwrap();
    assert_eq!(serde_json::to_value(&other.items[0]).unwrap().get("changes"), None);
}

#[tokio::test]
async fn routine_logins_are_left_out_and_the_count_is_kept() {
    let (sim, client) = demo().await;
    let vm: Mo<VirtualMachine> = client.get("web-04").await.unwrap();
    for _ in 0..3 {
        vm.power_on().await.unwrap().await.unwrap();
        vm.power_off().await.unwrap().await.unwrap();
    }
    assert!(Client::connect(config(&sim, "wrong")).await.is_err());
    come_and_go(&client, 60).await;

    let newest = client.events().report(5).await.unwrap();
    assert!(newest.items.iter().all(|event| event.type_.contains("Session")), "{:?}", newest.items);
    assert_eq!(newest.logins_left_out, 0);

    let done = client.events().without_logins().report(5).await.unwrap();
    assert_eq!((done.returned, done.truncated, done.gaps.is_empty()), (5, true, true));
    assert_eq!(done.logins_left_out, 120);
    // A login that failed is no routine.
    assert_eq!(done.items[0].type_, "BadUsernameSessionEvent");
    assert_eq!(done.items[1].entity.as_deref(), Some("web-04"));
    assert!(done.items.windows(2).all(|pair| pair[0].key > pair[1].key), "{:?}", done.items);
    assert!(serde_json::to_value(&newest).unwrap().get("logins_left_out").is_none());

    // Who names them gets them.
    let logins = client.events().types(["UserLogoutSessionEvent"]).without_logins().report(100).await.unwrap();
    assert_eq!((logins.returned, logins.logins_left_out), (60, 0));
    let text = client.events().without_logins().containing("WEB-04").report(2).await.unwrap();
    assert!(text.returned == 2 && text.items.iter().all(|event| event.message.contains("web-04")));
}
