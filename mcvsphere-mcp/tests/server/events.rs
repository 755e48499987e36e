//! The filters of events, what they say of changes, and the logins that they leave out.

use serde_json::{Value, json};
use vsphere_ops::{
    managed::EventManager,
    types::{Poly, UserLoginSessionEvent},
};

use crate::{
    confirm::older,
    lab::Lab,
    power::{bad, good},
};

/// The types of the events of an answer, newest first.
fn types(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn events_are_filtered_by_type_user_time_and_entity() {
    let lab = Lab::new().await;
    let web = lab.running("web-1").await;
    web.power_off().await.unwrap().await.unwrap();
    lab.running("db-1").await;
    let client = older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await;
    let list = async |arguments: Value| good(&client, "list_recent_events", arguments).await;

    let powered = list(json!({ "event_types": ["vmPoweredOn", "VmPoweredOffEvent"], "entity": "web-1" })).await;
    // DRS has chosen the host, which makes it a kind of the type that is asked for.
    assert_eq!(types(&powered), ["VmPoweredOffEvent", "DrsVmPoweredOnEvent"]);
    assert_eq!(powered["total"], 2);
    let user = powered["items"][0]["user"].as_str().unwrap();
    assert_eq!(list(json!({ "event_types": ["VmPoweredOn"], "user": user })).await["returned"], 2);
    assert_eq!(list(json!({ "event_types": ["VmPoweredOn"], "user": "CORP\\nobody" })).await["returned"], 0);
    assert_eq!(list(json!({ "text": "powered on", "entity": "db-1" })).await["returned"], 1);

    let time = powered["items"][0]["time"].as_str().unwrap();
    let until = list(json!({ "event_types": ["VmPoweredOn"], "until": time })).await;
    assert_eq!((&until["returned"], &until["items"][0]["entity"]), (&json!(1), &json!("web-1")));
    let since = list(json!({ "event_types": ["VmPoweredOn"], "since": time })).await;
    assert_eq!((&since["returned"], &since["items"][0]["entity"]), (&json!(1), &json!("db-1")));
    assert_eq!(list(json!({ "since": "2001-01-01", "until": "2001-01-02" })).await["returned"], 0);

    for (arguments, said) in [
        (json!({ "event_types": ["PoweredOn"] }), "VmPoweredOnEvent"),
        (json!({ "since": "yesterday" }), "`since` is \"yesterday\""),
        (json!({ "since": "2026-01-02", "until": "2026-01-01" }), "`since` is after `until`"),
        (json!({ "since": "2026-01-02", "hours_back": 3 }), "`since` and `hours_back` exclude each other"),
    ] {
        let error = bad(&client, "list_recent_events", arguments).await;
        assert_eq!(error["code"], "invalid_argument");
        assert!(error["message"].as_str().unwrap().contains(said), "{error:#}");
    }
}

#[tokio::test]
async fn a_reconfiguration_shows_what_was_changed_in_one_text() {
    let lab = Lab::new().await;
    lab.machine("web-1").await;
    let client = older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await;
    good(&client, "reconfigure_vm", json!({ "vm": "web-1", "memory_mb": 2048, "cpu": 2 })).await;
    let events = good(&client, "list_recent_events", json!({ "event_types": ["VmReconfigured"] })).await;
    let event = &events["items"][0];
    assert_eq!(event["changes"]["untrusted"], "hardware.numCPU: 1 -> 2; hardware.memoryMB: 1024 -> 2048", "{event:#}");
    assert!(!event["message"]["untrusted"].as_str().unwrap().contains("memoryMB"), "{event:#}");
}

#[tokio::test]
async fn logins_are_left_out_until_they_are_asked_for() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    let client = older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await;
    let manager: EventManager = lab.client.raw(lab.client.content().event_manager.as_ref().unwrap());
    for _ in 0..70 {
        manager.post_event(&Poly::new(UserLoginSessionEvent::default()), None).await.unwrap();
    }
    for tool in ["list_recent_events", "get_recent_events"] {
        let usual = good(&client, tool, json!({ "max_count": 3 })).await;
        assert_eq!(types(&usual), ["DrsVmPoweredOnEvent", "VmStartingEvent", "VmCreatedEvent"], "{usual:#}");
        // Those that were posted, and the logins of the server itself where they are as new.
        assert!(usual["logins_left_out"].as_u64().unwrap() >= 70, "{usual:#}");
        assert_eq!(usual["returned"], 3);
    }
    let all = good(&client, "list_recent_events", json!({ "max_count": 3, "include_logins": true })).await;
    assert_eq!((types(&all), all.get("logins_left_out")), (vec!["UserLoginSessionEvent"; 3], None));
}
