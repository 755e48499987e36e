//! Resources: always as vSphere is now, and told of when somebody else changes it.

use std::time::Duration;

use rmcp::{
    ClientHandler, RoleClient,
    model::{
        ReadResourceRequestParams, ReadResourceResult, ResourceContents, ResourceUpdatedNotificationParam,
        ServerNotification, SubscribeRequestParams, SubscriptionFilter, UnsubscribeRequestParams,
    },
    service::NotificationContext,
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::timeout,
};

use vsphere_sim::{Model, Size};

use crate::{
    confirm::{older, stateless},
    connect,
    lab::Lab,
};

const SECOND: Duration = Duration::from_secs(1);

fn document(result: &ReadResourceResult) -> Value {
    let ResourceContents::TextResourceContents { text, .. } = &result.contents[0] else { panic!("text") };
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn each_resource_is_read_and_follows_changes() {
    let lab = Lab::new().await;
    let machine = lab.machine("web-1").await;
    let client = connect(lab.server(&[])).await;
    let read = async |uri: &str| document(&client.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap());
    let listed = client.list_all_resources().await.unwrap();
    assert_eq!(listed.len(), 6);
    for resource in listed {
        let all = read(&resource.uri).await;
        assert_eq!(all["live"], true, "{all}");
        assert!(all["total"].as_u64().unwrap() > 0, "{}: {all}", resource.uri);
        assert!(all["items"][0]["name"].is_string(), "{all}");
    }
    assert_eq!(read("esxi://vms").await["items"][0]["power_state"], "powered_off");
    machine.power_on().await.unwrap().await.unwrap();
    let followed = async {
        while read("esxi://vms").await["items"][0]["power_state"] != "powered_on" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SECOND, followed).await.unwrap();
    let host = read("esxi://vms").await["items"][0]["host"].as_str().unwrap().to_owned();
    assert!(host.starts_with("DC0_C0_H"), "a name, not an id: {host}");

    let datastore = read("datastore://DC0_DS0").await;
    assert!(datastore["datastore"]["free_gb"].as_f64().unwrap() > 0.0, "{datastore}");
    let error = client.read_resource(ReadResourceRequestParams::new("datastore://none")).await.unwrap_err();
    assert!(error.to_string().contains("esxi://datastores"), "{error}");
    assert!(client.read_resource(ReadResourceRequestParams::new("esxi://cats")).await.is_err());
}

#[tokio::test]
async fn a_resource_with_many_objects_comes_in_parts_that_follow_each_other() {
    let lab = Lab::of(Model::sized(Size { vms: 450, ..Size::default() })).await;
    let client = connect(lab.server(&[])).await;
    let read = async |uri: &str| client.read_resource(ReadResourceRequestParams::new(uri)).await;
    let (mut uri, mut names, mut parts) = ("esxi://vms".to_owned(), Vec::new(), 0);
    loop {
        let result = read(&uri).await.unwrap();
        let ResourceContents::TextResourceContents { text, .. } = &result.contents[0] else { panic!("text") };
        assert!(text.len() < 64 << 10, "{} bytes", text.len());
        let part = document(&result);
        assert_eq!((&part["total"], &part["live"]), (&json!(450), &json!(true)));
        names.extend(part["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        parts += 1;
        match part["next"].as_str() {
            Some(next) => uri = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((parts, names.len()), (3, 450));
    assert!(names.is_sorted());
    let error = read("esxi://vms?after=nowhere").await.unwrap_err();
    assert!(error.to_string().contains("begin with esxi://vms"), "{error}");
}

/// A client that passes on of which resources it is told.
struct Listener(UnboundedSender<String>);

impl ClientHandler for Listener {
    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.0.send(params.uri).unwrap();
    }
}

#[tokio::test]
#[expect(deprecated, reason = "the older lifecycle is served too")]
async fn a_subscriber_of_the_older_lifecycle_is_told_within_a_second() {
    let lab = Lab::new().await;
    let machine = lab.machine("web-1").await;
    let (told, mut hears) = unbounded_channel();
    let client = older(lab.server(&[]), Listener(told)).await;
    client.read_resource(ReadResourceRequestParams::new("esxi://vms")).await.unwrap();
    client.subscribe(SubscribeRequestParams::new("esxi://vms")).await.unwrap();
    assert!(client.subscribe(SubscribeRequestParams::new("esxi://cats")).await.is_err());
    machine.power_on().await.unwrap().await.unwrap();
    assert_eq!(timeout(SECOND, hears.recv()).await.unwrap().as_deref(), Some("esxi://vms"));

    client.unsubscribe(UnsubscribeRequestParams::new("esxi://vms")).await.unwrap();
    while timeout(Duration::from_millis(300), hears.recv()).await.is_ok() {}
    machine.power_off().await.unwrap().await.unwrap();
    assert!(timeout(SECOND, hears.recv()).await.is_err(), "nobody subscribes any more");
}

#[tokio::test]
async fn a_listener_of_the_stateless_lifecycle_is_told_within_a_second() {
    let lab = Lab::new().await;
    let machine = lab.machine("web-1").await;
    let client = stateless(lab.server(&[]), ()).await;
    client.read_resource(ReadResourceRequestParams::new("esxi://vms")).await.unwrap();
    let mut filter = SubscriptionFilter::new();
    filter.resource_subscriptions = Some(vec!["esxi://vms".to_owned(), "esxi://cats".to_owned()]);
    let mut subscription = client.listen(filter).await.unwrap();
    machine.power_on().await.unwrap().await.unwrap();
    let told = timeout(SECOND, subscription.next()).await.unwrap().unwrap().unwrap();
    let ServerNotification::ResourceUpdatedNotification(told) = told else { panic!("{told:?}") };
    assert_eq!(told.params.uri, "esxi://vms");
}

#[tokio::test]
async fn names_of_objects_are_completed() {
    let lab = Lab::new().await;
    let client = connect(lab.server(&[])).await;
    let found = client.complete_resource_simple("datastore://{datastore}", "datastore", "ds").await.unwrap();
    assert_eq!(json!(found), json!(["DC0_DS0"]));
    let none = client.complete_resource_simple("datastore://{datastore}", "datastore", "nvme").await.unwrap();
    assert!(none.is_empty());
    // The arguments of prompts by their names; a machine is not a template.
    lab.machine("web-1").await;
    let prompt = async |argument: &str| client.complete_prompt_simple("snapshot-before-change", argument, "we").await;
    assert_eq!(json!(prompt("vm").await.unwrap()), json!(["web-1"]));
    assert!(prompt("template").await.unwrap().is_empty());
    assert_eq!(client.list_all_prompts().await.unwrap().len(), 3);
}
