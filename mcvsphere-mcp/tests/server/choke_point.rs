//! What is true of every call.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use mcvsphere_mcp::{Effect, Permission, Server, Spec, Toolset};
use rmcp::{
    ServiceError,
    handler::server::{
        router::tool::ToolRoute,
        tool::{ToolCallContext, ToolRouter},
    },
    model::{CallToolRequestParams, CallToolResult, MetaObject, ProtocolVersion, Tool, ToolAnnotations},
    service::{ClientLifecycleMode, ClientServiceExt},
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{connect, settings, settings_with};

async fn call(server: Server, tool: &str, arguments: Value) -> Result<CallToolResult, ServiceError> {
    let client = connect(server).await;
    let arguments = arguments.as_object().unwrap().clone();
    client.call_tool(CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments)).await
}

/// The code and the message of a call that must fail.
async fn failure(server: Server, tool: &str, arguments: Value) -> (String, String) {
    let result = call(server, tool, arguments).await.unwrap();
    assert_eq!(result.is_error, Some(true), "{result:?}");
    let content = result.structured_content.unwrap();
    let text = |key: &str| content[key].as_str().unwrap().to_owned();
    (text("code"), text("message"))
}

fn server() -> Server {
    Server::new(&settings()).unwrap()
}

#[tokio::test]
async fn a_wrong_argument_is_an_error_that_names_the_right_one() {
    let (code, message) = failure(server(), "list_vms", json!({ "powerstate": "on" })).await;
    assert_eq!(code, "invalid_argument");
    assert!(message.contains("did you mean `power_state`?"), "{message}");

    let (code, message) = failure(server(), "list_vms", json!({ "power_state": "hot" })).await;
    assert_eq!(code, "invalid_argument");
    assert!(message.contains("`power_state`: unknown variant `hot`"), "{message}");

    let (_, message) = failure(server(), "get_vcenter_info", json!({ "x": 1 })).await;
    assert!(message.contains("unknown argument `x`"), "{message}");

    let (_, message) = failure(server(), "get_vm_info", json!({})).await;
    assert!(message.contains("`vm` is missing"), "{message}");

    let (_, message) = failure(server(), "power_on_vm", json!({})).await;
    assert!(message.contains("`vm` or `vms`"), "{message}");
}

#[tokio::test]
async fn an_unknown_tool_is_a_protocol_error_that_names_the_nearest() {
    let error = call(server(), "list_vm", json!({})).await.unwrap_err();
    assert!(error.to_string().contains("did you mean `list_vms`?"), "{error}");
}

#[tokio::test]
async fn older_names_of_tools_and_arguments_are_taken() {
    // Both reach vSphere, which is not there: neither the tool nor the argument was refused.
    let (code, _) = failure(server(), "power_on", json!({ "vm_name": "a" })).await;
    assert_eq!(code, "connection");
    let (code, _) = failure(server(), "get_vm_info", json!({ "name": "a" })).await;
    assert_eq!(code, "connection");
}

/// The names in `tools/list` with these settings.
async fn offered(environment: &[(&str, &str)]) -> Vec<String> {
    let client = connect(Server::new(&settings_with(environment)).unwrap()).await;
    client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect()
}

#[tokio::test]
async fn the_settings_choose_which_tools_are_offered() {
    let power = offered(&[("MCP_TOOLSETS", "power")]).await;
    let all =
        ["power_off_vm", "power_on_vm", "reboot_guest", "reset_vm", "shutdown_guest", "standby_guest", "suspend_vm"];
    assert_eq!(power, all);
    assert_eq!(offered(&[("MCP_TOOLSETS", "power"), ("MCP_EXCLUDE_TOOLS", "power_off")]).await, all[1..]);
    assert_eq!(offered(&[("MCP_TOOLS", "list_hosts, power_on")]).await, ["list_hosts", "power_on_vm"]);
    assert_eq!(offered(&[("MCP_TOOLS", "list_hosts,power_on_vm"), ("MCP_READ_ONLY", "true")]).await, ["list_hosts"]);
    assert!(offered(&[("MCP_TOOLSETS", "power"), ("MCP_READ_ONLY", "1")]).await.is_empty());
    let looking = offered(&[("MCP_PERMISSION", "read_only")]).await;
    assert!(looking.contains(&"list_vms".to_owned()) && !looking.contains(&"power_on_vm".to_owned()), "{looking:?}");
}

#[tokio::test]
async fn a_tool_that_is_not_offered_is_not_called() {
    for (name, value, code) in [
        ("MCP_READ_ONLY", "true", "not_offered"),
        ("MCP_TOOLSETS", "vm", "not_offered"),
        ("MCP_EXCLUDE_TOOLS", "power_on_vm", "not_offered"),
        ("MCP_PERMISSION", "read_only", "permission"),
    ] {
        let server = Server::new(&settings_with(&[(name, value)])).unwrap();
        // Also not by its older name. With a vCenter, the setting for one would be asked for next.
        let (got, message) = failure(server, "power_on", json!({ "vm": "a" })).await;
        assert_eq!(got, code, "{message}");
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn a_setting_that_names_an_unknown_tool_is_refused_at_start() {
    for name in ["MCP_TOOLS", "MCP_EXCLUDE_TOOLS"] {
        let error = Server::new(&settings_with(&[(name, "power_of_vm")])).err().unwrap().to_string();
        assert_eq!(error, format!("{name} names the unknown tool `power_of_vm`, did you mean `power_off_vm`?"));
    }
}

#[tokio::test]
async fn a_missing_setting_is_named_by_the_call_that_needs_it() {
    let server = Server::new(&settings_with(&[])).unwrap();
    let (code, message) = failure(server, "get_vcenter_info", json!({})).await;
    assert_eq!(code, "config");
    assert!(message.starts_with("VCENTER_HOST is not set"), "{message}");
}

#[tokio::test]
async fn a_panic_is_answered_and_the_server_goes_on() {
    let tools = router(sample(Some(meta()), Some(hints())), |_| Box::pin(async { panic!("a fault of ours") }));
    let client = connect(Server::with_tools(&settings(), tools).unwrap()).await;
    for _ in 0..2 {
        let result = client.call_tool(CallToolRequestParams::new("sample")).await.unwrap();
        assert_eq!(result.is_error, Some(true));
        assert_eq!(result.structured_content.unwrap()["code"], "internal");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_given_up() {
    let tools = router(sample(Some(meta()), Some(hints())), |_| Box::pin(std::future::pending()));
    let settings = settings_with(&[("MCP_CALL_TIMEOUT", "30")]);
    let server = Server::with_tools(&settings, tools).unwrap();
    let (code, message) = failure(server, "sample", json!({})).await;
    assert_eq!(code, "deadline");
    assert!(message.contains("30 s"), "{message}");
}

#[tokio::test]
async fn a_cancelled_call_stops_its_tool() {
    let (started, has_started) = oneshot::channel();
    let (alive, stopped) = oneshot::channel::<()>();
    let signals = Mutex::new(Some((started, alive)));
    let tools = router(sample(Some(meta()), Some(hints())), move |_| {
        let (started, alive) = signals.lock().unwrap().take().unwrap();
        started.send(()).unwrap();
        Box::pin(async move {
            let _alive = alive;
            std::future::pending().await
        })
    });
    let client = connect(Server::with_tools(&settings(), tools).unwrap()).await;
    // A client that drops its call sends `notifications/cancelled`.
    tokio::select! {
        _ = client.call_tool(CallToolRequestParams::new("sample")) => panic!("it never ends"),
        begun = has_started => begun.unwrap(),
    }
    let stopped = tokio::time::timeout(Duration::from_secs(10), stopped).await;
    assert!(stopped.unwrap().is_err(), "dropped, not sent");
}

#[tokio::test]
async fn both_lifecycles_are_served() {
    let older = connect(server()).await;
    let info = older.peer_info().unwrap();
    assert!(info.instructions.as_ref().unwrap().contains("next_cursor"));

    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move { server().serve_local(theirs).await.unwrap().waiting().await });
    let versions = vec![ProtocolVersion::V_2026_07_28];
    let lifecycle = ClientLifecycleMode::Discover { preferred_versions: versions };
    let stateless = ().serve_with_lifecycle(ours, lifecycle).await.unwrap();
    let listed = stateless.list_tools(None).await.unwrap();
    assert_eq!(listed.tools, older.list_tools(None).await.unwrap().tools);
    let meta = listed.meta.unwrap();
    assert_eq!(meta["io.modelcontextprotocol/serverInfo"]["name"], "mcvsphere");
}

#[test]
fn a_tool_without_its_facts_is_refused_at_start() {
    let with_hints = |hints: ToolAnnotations| Some(hints);
    for (tool, problem) in [
        (sample(None, Some(hints())), "no permission"),
        (sample(Some(MetaObject::new()), Some(hints())), "no permission"),
        (sample(Some(meta()), None), "no annotations"),
        (sample(Some(spec(&[]).meta()), Some(hints())), "which privileges"),
        (sample(Some(spec(&["System.View"]).meta()), Some(hints())), "which privileges"),
        (sample(Some(meta()), with_hints(ToolAnnotations::new())), "no title"),
        (sample(Some(meta()), with_hints(ToolAnnotations::with_title("Sample"))), "say whether it is destructive"),
        (sample(Some(Spec::reads(Toolset::Vm).meta()), with_hints(hints())), "readOnlyHint does not say so"),
        (
            sample(Some(meta()), with_hints(ToolAnnotations::with_title("Sample").read_only(true))),
            "its readOnlyHint says that it does not",
        ),
        (sample(Some(Spec::reads(Toolset::Vm).asks().meta()), with_hints(hints())), "there is nothing to ask"),
        // The effect counts, and not the level.
        (
            sample(
                Some(Spec::new(Toolset::Files, Permission::ReadOnly, Effect::LocalFile, CHANGE).meta()),
                with_hints(ToolAnnotations::with_title("Sample").read_only(true)),
            ),
            "its readOnlyHint says that it does not",
        ),
        (sample(Some(spec(CHANGE).formerly(&["sample"]).meta()), with_hints(hints())), "name of another tool"),
    ] {
        let tools = router(tool, |_| Box::pin(std::future::pending()));
        let error = Server::with_tools(&settings(), tools).err().unwrap().to_string();
        assert!(error.starts_with("tool `sample`: ") && error.contains(problem), "{error}");
    }
}

const CHANGE: &[&str] = &["VirtualMachine.Config.Settings"];

fn meta() -> MetaObject {
    spec(CHANGE).meta()
}

fn spec(privileges: &[&str]) -> Spec {
    Spec::changes(Toolset::Vm, Permission::VmLifecycle, privileges)
}

fn hints() -> ToolAnnotations {
    ToolAnnotations::with_title("Sample").destructive(true).idempotent(false)
}

fn sample(meta: Option<MetaObject>, annotations: Option<ToolAnnotations>) -> Tool {
    let mut tool = Tool::new("sample", "Fails.", Arc::default());
    tool.meta = meta;
    tool.annotations = annotations;
    tool
}

fn router(
    tool: Tool,
    body: impl for<'a> Fn(
        ToolCallContext<'a, Server>,
    ) -> BoxFuture<'a, Result<rmcp::model::CallToolResponse, rmcp::ErrorData>>
    + Send
    + Sync
    + 'static,
) -> ToolRouter<Server> {
    ToolRouter::new().with_route(ToolRoute::new_dyn(tool, body))
}
