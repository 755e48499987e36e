//! Who may do what, by each method of MCP: without an identity, with each level, and for two callers of the same name.

#![allow(deprecated, reason = "clients of the older lifecycle subscribe by what is deprecated now")]

use std::collections::BTreeSet;

use mcvsphere_mcp::{Caller, Permission, Server};
use rmcp::{
    RoleClient, ServiceError, ServiceExt,
    model::{
        ArgumentInfo, CallToolRequestParams, CancelTaskParams, CancelTaskRequest, ClientCapabilities, ClientConfig,
        ClientRequest, CompleteRequestParams, CustomRequest, ErrorData, GetPromptRequestParams, GetTaskParams,
        GetTaskRequest, Implementation, JsonRpcMessage, ProtocolVersion, ReadResourceRequestParams, Reference,
        ServerJsonRpcMessage, SubscribeRequestParams, SubscriptionFilter, UnsubscribeRequestParams,
    },
    service::{ClientLifecycleMode, ClientServiceExt, RunningService},
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex, split};
use vsphere_sim::{Model, Size};

use crate::lab::{Lab, is_on};

/// What a client asks with that has tasks and can't ask its user.
fn client_info() -> ClientConfig {
    let capabilities = ClientCapabilities::builder().enable_tasks().build();
    ClientConfig::new(capabilities, Implementation::new("test", "1"))
}

/// A client in its own session of this server.
async fn client_of(server: &Server, caller: &Caller, stateless: bool) -> RunningService<RoleClient, ClientConfig> {
    let (ours, theirs) = duplex(1 << 20);
    let (server, caller) = (server.clone(), caller.clone());
    tokio::spawn(async move { server.serve(caller, theirs).await.unwrap().waiting().await });
    match stateless {
        false => client_info().serve(ours).await.unwrap(),
        true => {
            let lifecycle = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
            client_info().serve_with_lifecycle(ours, lifecycle).await.unwrap()
        }
    }
}

fn jane(issuer: &str) -> Caller {
    Caller::remote(issuer, "1").named("jane")
}

fn code(error: &ServiceError) -> String {
    match error {
        ServiceError::McpError(ErrorData { data: Some(data), .. }) => data["code"].as_str().unwrap_or("").to_owned(),
        other => other.to_string(),
    }
}

/// A connection on which JSON-RPC is written by hand.
pub(crate) struct Wire {
    lines: tokio::io::Lines<BufReader<tokio::io::ReadHalf<DuplexStream>>>,
    to: tokio::io::WriteHalf<DuplexStream>,
}

impl Wire {
    pub(crate) fn new(stream: DuplexStream) -> Self {
        let (from, to) = split(stream);
        Self { lines: BufReader::new(from).lines(), to }
    }

    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        let line = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string() + "\n";
        self.to.write_all(line.as_bytes()).await.unwrap();
        loop {
            let line = self.lines.next_line().await.unwrap().unwrap();
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == 1 {
                return message;
            }
        }
    }
}

/// Every method that reads or does something, with parameters that are right.
fn methods() -> Vec<(&'static str, Value)> {
    vec![
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("tools/call", json!({ "name": "list_vms", "arguments": {} })),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({ "uri": "esxi://vms" })),
        ("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": ["esxi://vms"] } })),
        ("prompts/list", json!({})),
        ("prompts/get", json!({ "name": "health-check" })),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/prompt", "name": "health-check" }, "argument": { "name": "cluster", "value": "" } }),
        ),
        ("tasks/get", json!({ "taskId": "1" })),
        ("tasks/update", json!({ "taskId": "1", "inputResponses": {} })),
        ("tasks/cancel", json!({ "taskId": "1" })),
        ("mcvsphere/unknown", json!({})),
    ]
}

/// The `_meta` that each request of the stateless lifecycle carries.
fn with_meta(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } },
    });
    params
}

#[tokio::test]
async fn without_an_identity_no_method_answers() {
    let lab = Lab::new().await;
    for (method, params) in methods() {
        // Served as a transport would that forgets to say who calls.
        let (ours, theirs) = duplex(1 << 20);
        let session = lab.server(&[]).session();
        tokio::spawn(async move {
            if let Ok(service) = session.serve(theirs).await {
                drop(service.waiting().await);
            }
        });
        let answer = Wire::new(ours).ask(method, with_meta(params)).await;
        assert!(answer.get("result").is_none(), "{method}: {answer}");
        assert_eq!(answer["error"]["data"]["code"], "unauthenticated", "{method}: {answer}");
    }
    for method in ["initialize", "ping"] {
        let (ours, theirs) = duplex(1 << 20);
        let session = lab.server(&[]).session();
        tokio::spawn(async move {
            if let Ok(service) = session.serve(theirs).await {
                drop(service.waiting().await);
            }
        });
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
        });
        let answer = Wire::new(ours).ask(method, if method == "ping" { json!({}) } else { hello }).await;
        // rmcp itself answers a ping before the session has begun, which tells nothing and does nothing.
        let refused = answer["error"]["data"]["code"] == "unauthenticated";
        assert!(refused || (method == "ping" && answer["result"] == json!({})), "{method}: {answer}");
    }
}

#[tokio::test]
async fn each_level_lists_exactly_what_it_can_call_and_is_refused_the_rest() {
    let lab = Lab::new().await;
    let server = lab.server(&[]);
    let local = client_of(&server, &Caller::local(Permission::FullAdmin), false).await;
    let all = local.list_all_tools().await.unwrap();
    let levels = Permission::ALL.map(Some);
    for level in levels.into_iter().chain([None]) {
        let caller = level.map_or(jane("https://a"), |level| jane("https://a").with_level(level));
        for stateless in [false, true] {
            let client = client_of(&server, &caller, stateless).await;
            let listed: BTreeSet<String> =
                client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect();
            for tool in &all {
                let needed = tool.meta.as_ref().unwrap()["mcvsphere/permission"].as_str().unwrap().to_owned();
                let may = level
                    .is_some_and(|level| Permission::ALL.iter().any(|other| other.name() == needed && *other <= level));
                assert_eq!(listed.contains(&*tool.name), may, "{level:?} and {}", tool.name);
                // An argument that no tool has: it gets as far as the arguments, or is refused before.
                let request = CallToolRequestParams::new(tool.name.clone())
                    .with_arguments(json!({ "no_such_argument": 1 }).as_object().unwrap().clone());
                let result = client.call_tool(request).await.unwrap();
                let wanted = if may { "invalid_argument" } else { "permission" };
                let code = result.structured_content.unwrap()["code"].clone();
                assert_eq!(code, wanted, "{level:?} and {}", tool.name);
            }

            let may = level.is_some();
            let resources = client.list_all_resources().await.unwrap();
            assert_eq!(resources.len(), if may { 6 } else { 0 }, "{level:?}");
            assert_eq!(client.list_all_resource_templates().await.unwrap().len(), usize::from(may), "{level:?}");
            let read = client.read_resource(ReadResourceRequestParams::new("esxi://vms")).await;
            assert_eq!(read.is_ok(), may, "{level:?}");
            if let Err(error) = read {
                assert_eq!(code(&error), "permission");
            }
            if !stateless {
                let subscribed = client.subscribe(SubscribeRequestParams::new("esxi://vms")).await;
                assert_eq!(subscribed.is_ok(), may, "{level:?}");
                client.unsubscribe(UnsubscribeRequestParams::new("esxi://vms")).await.unwrap();
            }

            let prompts: BTreeSet<String> =
                client.list_all_prompts().await.unwrap().into_iter().map(|prompt| prompt.name).collect();
            for (name, arguments, needed) in [
                ("health-check", json!({}), Permission::ReadOnly),
                ("snapshot-before-change", json!({ "vm": "a", "change": "b" }), Permission::PowerOps),
                ("deploy-from-template", json!({ "template": "a", "new_name": "b" }), Permission::VmLifecycle),
            ] {
                let may = level >= Some(needed);
                assert_eq!(prompts.contains(name), may, "{level:?} and {name}");
                let request = GetPromptRequestParams::new(name).with_arguments(arguments.as_object().unwrap().clone());
                assert_eq!(client.get_prompt(request).await.is_ok(), may, "{level:?} and {name}");
                let argument = ArgumentInfo::new("datastore", "DC0");
                let completed =
                    client.complete(CompleteRequestParams::new(Reference::for_prompt(name), argument)).await;
                assert_eq!(completed.is_ok(), may, "{level:?} and {name}");
            }
            let argument = ArgumentInfo::new("datastore", "DC0");
            let of_resource = CompleteRequestParams::new(Reference::for_resource("datastore://{datastore}"), argument);
            assert_eq!(client.complete(of_resource).await.is_ok(), may, "{level:?}");
        }
    }
}

#[tokio::test]
async fn what_the_settings_do_not_offer_is_not_there_by_any_method() {
    let lab = Lab::new().await;
    let server = lab.server(&[("MCP_TOOLSETS", "power")]);
    let client = client_of(&server, &Caller::local(Permission::FullAdmin), false).await;
    assert!(client.list_all_resources().await.unwrap().is_empty());
    let read = client.read_resource(ReadResourceRequestParams::new("esxi://vms")).await.unwrap_err();
    assert_eq!(code(&read), "not_offered");
    assert!(client.subscribe(SubscribeRequestParams::new("esxi://hosts")).await.is_err());
    // Each needs a tool that is not offered.
    assert!(client.list_all_prompts().await.unwrap().is_empty());
    let prompt = client.get_prompt(GetPromptRequestParams::new("health-check")).await.unwrap_err();
    assert_eq!(code(&prompt), "not_offered");
    // A tool of a family that is offered by name brings the family's resource.
    let one = lab.server(&[("MCP_TOOLS", "list_vms")]);
    let client = client_of(&one, &Caller::local(Permission::FullAdmin), false).await;
    let uris: Vec<String> =
        client.list_all_resources().await.unwrap().into_iter().map(|resource| resource.uri.clone()).collect();
    assert_eq!(uris, ["esxi://vms"]);
}

#[tokio::test]
async fn two_callers_of_one_name_share_nothing() {
    let lab =
        Lab::of(Model::sized(Size { vms: 60, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 }).pace(3.0)).await;
    let machine = lab.running("web-1").await;
    let server = lab.server(&[]);
    let callers = ["https://a", "https://b"].map(|issuer| jane(issuer).with_level(Permission::FullAdmin));
    let [one, other] = &callers;
    for stateless in [false, true] {
        let (hers, theirs) = (client_of(&server, one, stateless).await, client_of(&server, other, stateless).await);
        let call = |tool: &'static str, arguments: Value| {
            CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone())
        };
        // A confirmation token.
        let plan = hers.call_tool(call("power_off_vm", json!({ "vm": "web-1" }))).await.unwrap();
        let token = plan.structured_content.unwrap()["plan_token"].clone();
        let stolen = theirs.call_tool(call("power_off_vm", json!({ "vm": "web-1", "confirm": token }))).await.unwrap();
        assert_eq!(stolen.structured_content.unwrap()["void"]["code"], "foreign");
        assert!(is_on(&machine).await);
        // A cursor.
        let page = hers.call_tool(call("list_vms", json!({ "limit": 2 }))).await.unwrap();
        let cursor = page.structured_content.unwrap()["next_cursor"].clone();
        let next = json!({ "limit": 2, "cursor": cursor });
        let stolen = theirs.call_tool(call("list_vms", next.clone())).await.unwrap();
        assert_eq!(stolen.structured_content.unwrap()["code"], "invalid_argument");
        assert_ne!(hers.call_tool(call("list_vms", next)).await.unwrap().is_error, Some(true));
    }
    // A task.
    let (hers, theirs) = (client_of(&server, one, true).await, client_of(&server, other, true).await);
    let request = CallToolRequestParams::new("create_snapshot")
        .with_arguments(json!({ "vm": "web-1", "snapshot_name": "s" }).as_object().unwrap().clone());
    let rmcp::model::CallToolResponse::Task(task) = hers.call_tool_once(request).await.unwrap() else {
        panic!("a call that takes long becomes a task");
    };
    let id = task.task.task_id;
    let get = |id: &str| ClientRequest::GetTaskRequest(GetTaskRequest::new(GetTaskParams::new(id)));
    let cancel = |id: &str| ClientRequest::CancelTaskRequest(CancelTaskRequest::new(CancelTaskParams::new(id)));
    assert!(theirs.send_request(get(&id)).await.is_err());
    assert!(theirs.send_request(cancel(&id)).await.is_err());
    assert!(hers.send_request(get(&id)).await.is_ok());
    // But the session of the service account, besides that of the test itself.
    let sessions = lab.sim.sessions();
    assert_eq!(sessions, 2);
}

#[tokio::test]
async fn a_session_is_gone_on_with_by_nobody_else() {
    let lab = Lab::new().await;
    let server = lab.server(&[]);
    let (ours, theirs) = duplex(1 << 20);
    // A transport that finds another caller in each request.
    let callers = [jane("https://a"), jane("https://a"), jane("https://b")];
    let changing = Changing { inner: theirs_transport(theirs), callers: callers.to_vec() };
    let session = server.session();
    tokio::spawn(async move { session.serve(changing).await.unwrap().waiting().await });
    let client = client_info().serve(ours).await.unwrap();
    assert!(client.list_tools(None).await.is_ok());
    let error = client.list_tools(None).await.unwrap_err();
    assert_eq!(code(&error), "permission");
    let custom = ClientRequest::CustomRequest(CustomRequest::new("mcvsphere/unknown", None));
    assert!(client.send_request(custom).await.is_err());
}

type Pipe = rmcp::transport::async_rw::AsyncRwTransport<
    rmcp::RoleServer,
    tokio::io::ReadHalf<DuplexStream>,
    tokio::io::WriteHalf<DuplexStream>,
>;

fn theirs_transport(stream: DuplexStream) -> Pipe {
    let (from, to) = split(stream);
    Pipe::new(from, to)
}

struct Changing {
    inner: Pipe,
    callers: Vec<Caller>,
}

impl rmcp::transport::Transport<rmcp::RoleServer> for Changing {
    type Error = std::io::Error;

    fn send(&mut self, item: ServerJsonRpcMessage) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<rmcp::model::ClientJsonRpcMessage> {
        let mut message = self.inner.receive().await?;
        if let JsonRpcMessage::Request(request) = &mut message {
            use rmcp::model::GetExtensions;
            let caller = if self.callers.len() > 1 { self.callers.remove(0) } else { self.callers[0].clone() };
            request.request.extensions_mut().insert(caller);
        }
        Some(message)
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

/// What is told to the clients of one server as their resources change.
#[derive(Clone, Default)]
struct Ears(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl rmcp::ClientHandler for Ears {
    async fn on_resource_updated(
        &self,
        params: rmcp::model::ResourceUpdatedNotificationParam,
        _context: rmcp::service::NotificationContext<RoleClient>,
    ) {
        self.0.lock().unwrap().push(params.uri);
    }
}

impl Ears {
    async fn heard(&self, something: bool) -> bool {
        for _ in 0..if something { 100 } else { 10 } {
            if !self.0.lock().unwrap().is_empty() {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        false
    }
}

#[tokio::test]
async fn two_sessions_do_not_touch_each_others_subscriptions() {
    let lab = Lab::new().await;
    let server = lab.server(&[]);
    // Also of one and the same caller.
    let caller = Caller::local(Permission::FullAdmin);
    let connect = async |ears: &Ears| {
        let (ours, theirs) = duplex(1 << 20);
        let (server, caller) = (server.clone(), caller.clone());
        tokio::spawn(async move { server.serve(caller, theirs).await.unwrap().waiting().await });
        ears.clone().serve(ours).await.unwrap()
    };
    let (one, other) = (Ears::default(), Ears::default());
    let (first, second) = (connect(&one).await, connect(&other).await);
    for client in [&first, &second] {
        client.subscribe(SubscribeRequestParams::new("esxi://vms")).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    first.unsubscribe(UnsubscribeRequestParams::new("esxi://vms")).await.unwrap();
    lab.machine("web-1").await;
    assert!(other.heard(true).await, "the other's subscription goes on");
    assert!(!one.heard(false).await);
    // A session that ends takes its own with it, and no other's.
    other.0.lock().unwrap().clear();
    drop(first.cancel().await);
    lab.machine("web-2").await;
    assert!(other.heard(true).await);
}

#[tokio::test]
async fn a_listener_without_the_level_hears_nothing() {
    let lab = Lab::new().await;
    let server = lab.server(&[]);
    let (ours, theirs) = duplex(1 << 20);
    tokio::spawn(async move { server.serve(jane("https://a"), theirs).await.unwrap().waiting().await });
    let mut filter = SubscriptionFilter::new();
    filter.resource_subscriptions = Some(vec!["esxi://vms".to_owned()]);
    let answer = Wire::new(ours).ask("subscriptions/listen", with_meta(json!({ "notifications": filter }))).await;
    assert_eq!(answer["error"]["data"]["code"], "permission", "{answer}");
}

#[tokio::test]
async fn what_other_methods_look_at_and_do_is_audited_too() {
    let lab = Lab::new().await;
    let file = std::env::temp_dir().join(format!("mcvsphere-audit-{}.jsonl", std::process::id()));
    let server = lab.server(&[("MCP_AUDIT_FILE", file.to_str().unwrap())]);
    let client = client_of(&server, &jane("https://a").with_level(Permission::ReadOnly), true).await;
    client.read_resource(ReadResourceRequestParams::new("esxi://vms")).await.unwrap();
    client.read_resource(ReadResourceRequestParams::new("esxi://nothing")).await.unwrap_err();
    client.get_prompt(GetPromptRequestParams::new("deploy-from-template")).await.unwrap_err();
    let cancel = ClientRequest::CancelTaskRequest(CancelTaskRequest::new(CancelTaskParams::new("7")));
    client.send_request(cancel).await.unwrap_err();
    let mut lines = Vec::new();
    for _ in 0..100 {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
        if lines.len() == 5 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    std::fs::remove_file(&file).unwrap();
    let told: Vec<String> = lines
        .iter()
        .map(|line| {
            assert_eq!((&line["who"], &line["issuer"]), (&json!("jane"), &json!("https://a")), "{line:#}");
            let outcome = line["outcome"].as_str().unwrap_or("begins");
            format!("{} {} {outcome}", line["tool"].as_str().unwrap(), line["arguments"])
        })
        .collect();
    assert_eq!(
        told,
        [
            r#"resources/read {"uri":"esxi://vms"} ok"#,
            r#"resources/read {"uri":"esxi://nothing"} error"#,
            r#"prompts/get {"name":"deploy-from-template"} not_offered"#,
            r#"tasks/cancel {"task":"7"} begins"#,
            r#"tasks/cancel {"task":"7"} error"#,
        ]
    );
    assert_eq!(lines[3]["call"], lines[4]["call"]);
}
