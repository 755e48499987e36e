//! Tags by the Automation API, by both generations of REST.

use serde_json::{Value, json};
use vsphere_sim::{Cardinality, Model, Role, Sim, Size, Trouble};
use vsphere_soap::http::{Endpoint, Exchange, Transport, TransportOptions, Trust, Verb};

/// A client of the Automation API.
struct Api {
    sim: Sim,
    transport: Transport,
    session: String,
}

const SESSION: &str = "vmware-api-session-id";
const MACHINE: &str = "/DC0/vm/DC0_C0_VM0";
const HOST: &str = "/DC0/host/DC0_C0/DC0_C0_H0";

/// `administrator@vsphere.local:VMware1!` and `viewer@vsphere.local:secret` in base64.
const ADMINISTRATOR: &str = "Basic YWRtaW5pc3RyYXRvckB2c3BoZXJlLmxvY2FsOlZNd2FyZTEh";
const VIEWER: &str = "Basic dmlld2VyQHZzcGhlcmUubG9jYWw6c2VjcmV0";

fn model() -> Model {
    Model::sized(Size { vms: 3, hosts: 1, ..Size::default() })
        .category("Tier", Cardinality::Single, &["VirtualMachine"])
        .tag("Tier", "gold", &[MACHINE])
        .tag("Tier", "silver", &[])
        .category("Owner", Cardinality::Multiple, &[])
        .tag("Owner", "web", &[MACHINE, HOST])
        .tag("Owner", "db", &[MACHINE])
}

impl Api {
    async fn new(model: Model, path: &str) -> Self {
        let sim = Sim::start(model).await.unwrap();
        let endpoint: Endpoint = sim.url().parse().unwrap();
        let trust = Trust::Thumbprint(sim.thumbprint().unwrap());
        let transport = Transport::new(endpoint, TransportOptions::new().trust(trust)).unwrap();
        let mut api = Self { sim, transport, session: String::new() };
        api.session = api.log_in(path, ADMINISTRATOR).await.1;
        api
    }

    async fn log_in(&self, path: &str, basic: &str) -> (u16, String) {
        let exchange = Exchange::new("log in", Verb::Post, path).secret("authorization", basic);
        let answer = self.transport.exchange(exchange).await.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let key = body["value"].as_str().or(body.as_str()).unwrap_or_default().to_owned();
        (answer.status, key)
    }

    /// The status and the body of an answer.
    async fn ask(&self, verb: Verb, path: &str, body: Value) -> (u16, Value) {
        let mut exchange = Exchange::new("ask", verb, path).secret(SESSION, &self.session);
        if !body.is_null() {
            exchange = exchange.json(body.to_string());
        }
        match self.transport.exchange(exchange).await {
            Ok(answer) => (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default()),
            Err(error) => (error.status().unwrap(), Value::Null),
        }
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Verb::Get, path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The id of the tag of this name.
    async fn tag(&self, name: &str) -> String {
        for id in self.get("/api/cis/tagging/tag").await.as_array().unwrap() {
            let tag = self.get(&format!("/api/cis/tagging/tag/{}", id.as_str().unwrap())).await;
            if tag["name"] == name {
                return id.as_str().unwrap().to_owned();
            }
        }
        panic!("there is no tag {name}")
    }

    /// The machine that has all tags of the model.
    async fn machine(&self) -> Value {
        let path = format!("/api/cis/tagging/tag-association/{}?action=list-attached-objects", self.tag("gold").await);
        let (status, objects) = self.ask(Verb::Post, &path, Value::Null).await;
        assert_eq!((status, objects.as_array().map(Vec::len)), (200, Some(1)), "{objects}");
        objects[0].clone()
    }
}

#[tokio::test]
async fn a_session_is_asked_about_and_ended_by_both_doors() {
    let api = Api::new(model(), "/api/session").await;
    let (status, older) = api.log_in("/rest/com/vmware/cis/session", ADMINISTRATOR).await;
    assert_eq!((status, api.log_in("/api/session", "Basic bm86bm8=").await.0), (200, 401));
    assert_eq!(api.sim.automation_sessions(), 2);
    // Each door knows the sessions of the other.
    let api = Api { session: older, ..api };
    let told = api.get("/api/session").await;
    assert_eq!(told["user"], "VSPHERE.LOCAL\\Administrator");
    assert!(told["created_time"].as_str().unwrap() <= told["last_accessed_time"].as_str().unwrap());
    let (status, told) = api.ask(Verb::Post, "/rest/com/vmware/cis/session?~action=get", Value::Null).await;
    assert_eq!((status, told["value"]["user"].as_str()), (200, Some("VSPHERE.LOCAL\\Administrator")));
    assert_eq!(api.sim.automation_sessions(), 2, "to ask opens none");
    assert_eq!(api.ask(Verb::Delete, "/api/session", Value::Null).await.0, 204);
    let (status, error) = api.ask(Verb::Post, "/rest/com/vmware/cis/session?~action=get", Value::Null).await;
    assert_eq!(status, 401);
    assert_eq!(error["type"], "com.vmware.vapi.std.errors.unauthenticated");
    assert_eq!(api.ask(Verb::Get, "/api/cis/tagging/tag", Value::Null).await.1["error_type"], "UNAUTHENTICATED");
}

#[tokio::test]
async fn sessions_have_a_limit() {
    let api = Api::new(model().max_sessions(2), "/api/session").await;
    assert_eq!(api.log_in("/api/session", ADMINISTRATOR).await.0, 201);
    let exchange = Exchange::new("log in", Verb::Post, "/api/session").secret("authorization", ADMINISTRATOR);
    let refused = api.transport.exchange(exchange).await;
    let status = refused.map_or_else(|error| error.status().unwrap(), |answer| answer.status);
    assert_eq!(status, 503);
}

#[tokio::test]
async fn categories_and_tags_come_and_go_by_both_doors() {
    let api = Api::new(model(), "/api/session").await;
    let spec = json!({ "name": "Site", "description": "", "cardinality": "MULTIPLE", "associable_types": [] });
    let (status, id) = api.ask(Verb::Post, "/api/cis/tagging/category", spec.clone()).await;
    assert_eq!(status, 201);
    let id = id.as_str().unwrap();
    let again = json!({ "create_spec": spec });
    let (status, error) = api.ask(Verb::Post, "/rest/com/vmware/cis/tagging/category", again).await;
    assert_eq!((status, error["type"].as_str()), (400, Some("com.vmware.vapi.std.errors.already_exists")));
    let spec = json!({ "create_spec": { "name": "fra", "description": "", "category_id": id } });
    let (status, tag) = api.ask(Verb::Post, "/rest/com/vmware/cis/tagging/tag", spec).await;
    assert_eq!(status, 200);
    let path = format!("/rest/com/vmware/cis/tagging/tag/id:{}", tag["value"].as_str().unwrap());
    assert_eq!(api.get(&path).await["value"]["name"], "fra");
    let spec = json!({ "update_spec": { "description": "Frankfurt" } });
    assert_eq!(api.ask(Verb::Patch, &path, spec).await, (200, Value::Null));
    assert_eq!(api.get(&path).await["value"]["description"], "Frankfurt");
    // With the category in the place of the tag, as older clients have it.
    let list = format!("/rest/com/vmware/cis/tagging/tag/id:{id}?~action=list-tags-for-category");
    assert_eq!(api.ask(Verb::Post, &list, json!({ "category_id": id })).await.1["value"], json!([tag["value"]]));
    let category = format!("/api/cis/tagging/category/{id}");
    let wider = json!({ "associable_types": ["VirtualMachine"] });
    assert_eq!(api.ask(Verb::Patch, &category, wider).await.0, 400, "from all types to one");
    assert_eq!(api.ask(Verb::Patch, &category, json!({ "cardinality": "SINGLE" })).await.0, 400);
    assert_eq!(api.ask(Verb::Delete, &category, Value::Null).await, (204, Value::Null));
    assert_eq!(api.ask(Verb::Get, &path, Value::Null).await.0, 404, "the tags go with their category");
    let without_types = json!({ "name": "x", "description": "", "cardinality": "SINGLE" });
    assert_eq!(api.ask(Verb::Post, "/api/cis/tagging/category", without_types).await.0, 400);
}

#[tokio::test]
async fn cardinality_and_types_hold_for_one_and_for_many() {
    let api = Api::new(model(), "/api/session").await;
    let (silver, web, machine) = (api.tag("silver").await, api.tag("web").await, api.machine().await);
    let one = |tag: &str, action: &str| format!("/api/cis/tagging/tag-association/{tag}?action={action}");
    let (status, error) = api.ask(Verb::Post, &one(&silver, "attach"), json!({ "object_id": machine })).await;
    assert_eq!((status, error["error_type"].as_str()), (400, Some("INVALID_ARGUMENT")));
    assert_eq!(error["messages"][0]["default_message"], "Tagging cardinality violation");
    let (status, objects) = api.ask(Verb::Post, &one(&web, "list-attached-objects"), Value::Null).await;
    let host = objects.as_array().unwrap().iter().find(|object| object["type"] == "HostSystem").unwrap();
    assert_eq!(status, 200);
    assert_eq!(api.ask(Verb::Post, &one(&silver, "attach"), json!({ "object_id": host })).await.0, 400);
    // Many at once are answered with success in HTTP, whatever becomes of them.
    let body = json!({ "object_ids": [machine, host] });
    let (status, batch) = api.ask(Verb::Post, &one(&silver, "attach-tag-to-multiple-objects"), body).await;
    assert_eq!((status, &batch["success"]), (200, &json!(false)));
    assert_eq!(batch["error_messages"].as_array().map(Vec::len), Some(2));
    // What is so already is no error.
    for action in ["attach", "attach", "detach", "detach"] {
        assert_eq!(api.ask(Verb::Post, &one(&web, action), json!({ "object_id": machine })).await.0, 204);
    }
    let gone = json!({ "type": "VirtualMachine", "id": "vm-0" });
    assert_eq!(api.ask(Verb::Post, &one(&web, "attach"), json!({ "object_id": gone })).await.0, 403);
    assert_eq!(api.ask(Verb::Post, &one("urn:none", "attach"), json!({ "object_id": machine })).await.0, 404);
}

#[tokio::test]
async fn a_viewer_reads_tags_and_attaches_none() {
    let api = Api::new(model().user("viewer@vsphere.local", "secret", Role::ReadOnly), "/api/session").await;
    let (web, machine) = (api.tag("web").await, api.machine().await);
    let session = api.log_in("/api/session", VIEWER).await.1;
    let api = Api { session, ..api };
    let read = "/api/cis/tagging/tag-association?action=list-attached-tags";
    assert_eq!(api.ask(Verb::Post, read, json!({ "object_id": machine })).await.1.as_array().map(Vec::len), Some(3));
    let attach = format!("/api/cis/tagging/tag-association/{web}?action=attach");
    let (status, error) = api.ask(Verb::Post, &attach, json!({ "object_id": machine })).await;
    assert_eq!((status, error["error_type"].as_str()), (403, Some("UNAUTHORIZED")));
}

#[tokio::test]
async fn many_tags_at_a_time_come_with_newer_versions() {
    let newest = Api::new(model().version("9.1.0.0"), "/api/session").await;
    let page = newest.get("/api/vcenter/tagging/tags?page_size=3").await;
    let marker = page["marker"].as_str().unwrap();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(3));
    let rest = newest.get(&format!("/api/vcenter/tagging/tags?page_size=3&marker={marker}")).await;
    assert_eq!((rest["items"].as_array().map(Vec::len), &rest["marker"]), (Some(1), &Value::Null));
    let both = format!("/api/vcenter/tagging/tags?names=db&marker={marker}");
    assert_eq!(newest.ask(Verb::Get, &both, Value::Null).await.0, 400);
    assert_eq!(newest.ask(Verb::Get, "/api/vcenter/tagging/tags?marker=old", Value::Null).await.0, 404);
    let named = newest.get("/api/vcenter/tagging/tags?names=db").await;
    assert_eq!(named["items"][0]["info"]["name"], "db");
    assert_eq!(newest.get("/api/vcenter/tagging/categories").await["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(newest.get("/api/vcenter/tagging/associations").await["associations"].as_array().map(Vec::len), Some(4));

    // All or nothing.
    let (machine, gold, silver) = (newest.machine().await, newest.tag("gold").await, newest.tag("silver").await);
    let change = |operation: &str, tag: &str| json!({ "operation": operation, "tag_id": tag });
    let spec = json!({ "object": machine, "tag_spec_list": [change("DETACH", &gold), change("ATTACH", "urn:none")] });
    let (status, refused) = newest.ask(Verb::Patch, "/api/vcenter/tagging/associations", spec).await;
    assert_eq!((status, &refused["success"]), (200, &json!(false)));
    assert_eq!(newest.machine().await, machine, "gold is still there");
    let spec = json!({ "object": machine, "tag_spec_list": [change("DETACH", &gold), change("ATTACH", &silver)] });
    let (_, done) = newest.ask(Verb::Patch, "/api/vcenter/tagging/associations", spec).await;
    assert_eq!((&done["success"], done["results"].as_array().map(Vec::len)), (&json!(true), Some(2)));

    let older = Api::new(model().version("8.0.3.0"), "/api/session").await;
    assert_eq!(older.ask(Verb::Get, "/api/vcenter/tagging/tags", Value::Null).await.0, 404);
    assert_eq!(older.get("/api/vcenter/tagging/associations").await["status"], "END_OF_DATA");
    let oldest = Api::new(model().version("6.7.3"), "/rest/com/vmware/cis/session").await;
    assert_eq!(oldest.log_in("/api/session", ADMINISTRATOR).await.0, 404);
    assert_eq!(oldest.get("/rest/com/vmware/cis/tagging/tag").await["value"].as_array().map(Vec::len), Some(4));
    assert_eq!(oldest.ask(Verb::Get, "/api/cis/tagging/tag", Value::Null).await.0, 404);
}

#[tokio::test]
async fn an_error_that_was_asked_for_comes_as_often() {
    let api = Api::new(model(), "/api/session").await;
    api.sim.trouble(Trouble::none().fail("com.vmware.cis.tagging.tag.list", "NOT_FOUND", 1));
    assert_eq!(api.ask(Verb::Get, "/api/cis/tagging/tag", Value::Null).await.0, 404);
    assert_eq!(api.ask(Verb::Get, "/api/cis/tagging/tag", Value::Null).await.0, 200);
    assert_eq!(api.sim.calls("com.vmware.cis.tagging.tag.list"), 2);
}

#[tokio::test]
async fn a_host_has_no_tags() {
    let api = Api::new(Model::esxi(), "/api/session").await;
    assert_eq!(api.log_in("/api/session", ADMINISTRATOR).await.0, 400);
    assert_eq!(api.log_in("/rest/com/vmware/cis/session", ADMINISTRATOR).await.0, 400);
}

#[tokio::test]
async fn the_appliance_tells_who_may_come_in_and_when_it_goes_down() {
    let api = Api::new(model(), "/api/session").await;
    for way in ["consolecli", "dcui", "ssh"] {
        let path = format!("/api/appliance/access/{way}");
        for enabled in [true, false] {
            assert_eq!(api.ask(Verb::Put, &path, json!({ "enabled": enabled })).await, (204, Value::Null));
            assert_eq!(api.get(&path).await, json!(enabled));
        }
        assert_eq!(api.ask(Verb::Put, &path, json!({})).await.0, 400);
    }
    let shell = "/api/appliance/access/shell";
    assert_eq!(api.ask(Verb::Put, shell, json!({ "enabled": true, "timeout": 60 })).await.0, 204);
    assert_eq!(api.get(shell).await, json!({ "enabled": true, "timeout": 60 }));
    let plan = "/api/appliance/shutdown?action=reboot";
    assert_eq!(api.ask(Verb::Post, plan, json!({ "delay": 5 })).await.0, 400, "without a reason");
    assert_eq!(api.ask(Verb::Post, plan, json!({ "delay": 5, "reason": "patches" })).await.0, 204);
    let told = api.get("/api/appliance/shutdown").await;
    assert_eq!((&told["action"], &told["reason"]), (&json!("reboot"), &json!("patches")));
    assert!(told["shutdown_time"].is_string());
    assert_eq!(api.ask(Verb::Post, "/api/appliance/shutdown?action=cancel", Value::Null).await.0, 204);
    assert_eq!(api.get("/api/appliance/shutdown").await["action"], "");
}
