//! What is true of every call.

use std::{sync::Mutex, time::Duration};

use mcvsphere_mcp::{Content, Cut, Cx, Effect, Object, Permission, Secret, Server, Tool, ToolError, Toolset};
use rmcp::{
    ServiceError,
    model::{CallToolRequestParams, CallToolResult, ContentBlock, JsonObject, ProtocolVersion},
    service::{ClientLifecycleMode, ClientServiceExt},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
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
    let tool = sample(|| async { panic!("a fault of ours") });
    let client = connect(Server::with_tools(&settings(), vec![tool]).unwrap()).await;
    for _ in 0..2 {
        let result = client.call_tool(CallToolRequestParams::new("sample")).await.unwrap();
        assert_eq!(result.is_error, Some(true));
        assert_eq!(result.structured_content.unwrap()["code"], "internal");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_given_up() {
    let settings = settings_with(&[("MCP_CALL_TIMEOUT", "30")]);
    let server = Server::with_tools(&settings, vec![sample(std::future::pending)]).unwrap();
    let (code, message) = failure(server, "sample", json!({})).await;
    assert_eq!(code, "deadline");
    assert!(message.contains("30 s"), "{message}");
}

#[tokio::test]
async fn a_cancelled_call_stops_its_tool() {
    let (started, has_started) = oneshot::channel();
    let (alive, stopped) = oneshot::channel::<()>();
    let signals = Mutex::new(Some((started, alive)));
    let tool = sample(move || {
        let (started, alive) = signals.lock().unwrap().take().unwrap();
        started.send(()).unwrap();
        async move {
            let _alive = alive;
            std::future::pending().await
        }
    });
    let client = connect(Server::with_tools(&settings(), vec![tool]).unwrap()).await;
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
    let adds = || Tool::adds("sample", Toolset::Vm, Permission::VmLifecycle, "Sample", nothing);
    let reads = || Tool::reads("sample", Toolset::Vm, "Sample", nothing).about("Fails.");
    for (tools, problem) in [
        (vec![adds().needs(CHANGE)], "no description"),
        (vec![adds().about("Fails.")], "which privileges"),
        (vec![adds().about("Fails.").needs(&["System.View"])], "which privileges"),
        // The effect counts, and not how the tool began.
        (vec![reads().effect(Effect::LocalFile)], "which privileges"),
        (vec![reads().asks()], "there is nothing to ask"),
        (vec![reads().idempotent()], "neither destructive nor idempotent"),
        (vec![reads().formerly(&["sample"])], "name of another tool"),
        (vec![reads(), reads()], "two tools of this name"),
    ] {
        let error = Server::with_tools(&settings(), tools).err().unwrap().to_string();
        assert!(error.starts_with("tool `sample`: ") && error.contains(problem), "{error}");
    }
}

#[tokio::test]
async fn an_answer_may_be_an_image_or_several_blocks() {
    let show = |_: JsonObject, _: Cx| async {
        Ok(Content(vec![ContentBlock::image("aGk=", "image/png"), ContentBlock::text("the screen")]))
    };
    let tool = Tool::reads("show", Toolset::Vm, "Show", show).about("Shows.");
    let settings = settings_with(&[("MCP_OUTPUT_SCHEMAS", "true")]);
    let client = connect(Server::with_tools(&settings, vec![tool]).unwrap()).await;
    assert_eq!(client.list_all_tools().await.unwrap()[0].output_schema, None);
    let result = client.call_tool(CallToolRequestParams::new("show")).await.unwrap();
    assert_eq!((result.is_error, result.structured_content), (Some(false), None));
    let blocks = json!(result.content);
    assert_eq!((&blocks[0]["type"], &blocks[0]["mimeType"]), (&json!("image"), &json!("image/png")));
    assert_eq!(blocks[1]["text"], "the screen");
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Login {
    /// Who.
    user: String,
    /// In clear.
    password: Secret,
    /// What to run.
    command: Option<Cut>,
}

#[derive(Serialize, JsonSchema)]
struct LoggedIn {
    user: String,
    password_bytes: usize,
    command: Option<String>,
    debug: String,
}

async fn log_in(args: Login, _: Cx) -> Result<Object<LoggedIn>, ToolError> {
    let debug = format!("{args:?}");
    let password_bytes = args.password.expose().len();
    Ok(Object(LoggedIn { user: args.user, password_bytes, command: args.command.map(|it| it.0), debug }))
}

#[tokio::test]
async fn a_secret_argument_is_given_to_the_tool_and_shown_nowhere() {
    let audit = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("secret-arguments.jsonl");
    let _ = std::fs::remove_file(&audit);
    let tool = Tool::reads("log_in", Toolset::Vm, "Log in", log_in).about("Logs in.");
    let settings = settings_with(&[("MCP_AUDIT_FILE", audit.to_str().unwrap())]);
    let client = connect(Server::with_tools(&settings, vec![tool]).unwrap()).await;
    let listed = json!(client.list_all_tools().await.unwrap()[0]);
    assert_eq!(
        listed["inputSchema"]["properties"],
        json!({
            "user": { "type": "string", "description": "Who." },
            "password": { "type": "string", "description": "In clear." },
            "command": { "type": "string", "description": "What to run." },
        })
    );
    let call = async |arguments: Value| {
        let arguments = arguments.as_object().unwrap().clone();
        client.call_tool(CallToolRequestParams::new("log_in").with_arguments(arguments)).await.unwrap()
    };
    let command = "mysql --password=hunter2 --execute 'select 1'";
    let done = call(json!({ "user": "ann", "password": "hunter2", "command": command })).await;
    let said = done.structured_content.unwrap();
    assert_eq!((&said["password_bytes"], &said["command"]), (&json!(7), &json!(command)));
    assert!(!said["debug"].as_str().unwrap().contains("Secret") && said["debug"].as_str().unwrap().contains("***"));
    // Neither what is wrong about a secret nor a misspelt name shows it.
    for wrong in
        [json!({ "user": "ann", "password": { "is": "hunter2" } }), json!({ "user": "ann", "pasword": "hunter2" })]
    {
        let refused = call(wrong).await;
        assert_eq!(refused.is_error, Some(true));
        assert!(!json!(refused.content).to_string().contains("hunter2"), "{refused:?}");
    }
    drop(client);
    let written = until_written(&audit, 3).await;
    assert!(!written.contains("hunter2"), "{written}");
    assert!(written.contains("mysql --pass") && written.contains("bytes"), "{written}");
}

/// The audit file, once it has so many lines.
async fn until_written(path: &std::path::Path, lines: usize) -> String {
    for _ in 0..200 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= lines {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} has fewer than {lines} lines", path.display());
}

const CHANGE: &[&str] = &["VirtualMachine.Config.Settings"];

async fn nothing(_: JsonObject, _: Cx) -> Result<Content, ToolError> {
    Ok(Content(Vec::new()))
}

/// A tool that changes something, which does this.
fn sample<F>(body: impl Fn() -> F + Send + Sync + 'static) -> Tool
where
    F: Future<Output = Content> + Send + 'static,
{
    let run = move |_: JsonObject, _: Cx| {
        let work = body();
        async move { Ok(work.await) }
    };
    Tool::changes("sample", Toolset::Vm, Permission::VmLifecycle, "Sample", run).about("Fails.").needs(CHANGE)
}
