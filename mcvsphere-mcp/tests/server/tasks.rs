//! Long calls as MCP tasks, in both lifecycles.

use std::time::Duration;

use mcvsphere_mcp::{Content, Cx, Permission, Server, Tool, ToolError, Toolset};
use rmcp::{
    ClientHandler, ErrorData, RoleClient, ServiceError,
    model::{
        CallToolRequestParams, CallToolResponse, CancelTaskParams, ClientCapabilities, ClientConfig, DetailedTask,
        ElicitRequestParams, ElicitResult, ElicitationAction, ErrorCode, GetTaskParams, Implementation, JsonObject,
        TaskPayload, TaskStatus, UpdateTaskParams,
    },
    service::{RequestContext, RunningService},
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};
use vsphere_sim::{Model, Size};

use crate::{
    confirm::{older, stateless},
    lab::{Lab, is_on},
    settings,
};

/// A client that has tasks, and whose user agrees to everything.
#[derive(Clone)]
struct Patient;

impl ClientHandler for Patient {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().enable_tasks().build();
        ClientConfig::new(capabilities, Implementation::new("test", "1"))
    }

    async fn create_elicitation(
        &self,
        _request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "confirm": true })))
    }
}

/// A vCenter whose tasks take seconds.
async fn slow() -> Lab {
    Lab::of(Model::sized(Size { vms: 0, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 }).pace(3.0)).await
}

async fn connected<H: ClientHandler>(lifecycle: &str, server: Server, handler: H) -> RunningService<RoleClient, H> {
    match lifecycle {
        "older" => older(server, handler).await,
        _ => stateless(server, handler).await,
    }
}

fn call(tool: &'static str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone())
}

/// The id of the task that a call has become.
fn task_of(response: CallToolResponse) -> String {
    let CallToolResponse::Task(created) = response else { panic!("a task, not {response:?}") };
    assert_eq!(created.task.status, TaskStatus::Working);
    assert!(created.task.ttl_ms.is_some() && created.task.poll_interval_ms.is_some());
    created.task.task_id
}

/// Asks for a task until it has ended. Answers it, and all that its status said on the way.
async fn until_ended<H: ClientHandler>(
    client: &RunningService<RoleClient, H>,
    task: &str,
) -> (DetailedTask, Vec<String>) {
    let mut said = Vec::new();
    let ended = async {
        loop {
            let now = client.peer().get_task(GetTaskParams::new(task)).await.unwrap().task;
            said.extend(now.task.status_message.clone());
            if now.status().is_terminal() {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let task = timeout(Duration::from_secs(30), ended).await.unwrap();
    (task, said)
}

#[tokio::test]
async fn a_long_call_becomes_a_task_with_progress_and_result() {
    let lab = slow().await;
    for lifecycle in ["older", "stateless"] {
        let machine = lab.machine(lifecycle).await;
        let client = connected(lifecycle, lab.server(&[]), Patient).await;
        // What is done at once is answered at once.
        let quick = client.call_tool_once(call("get_vm_info", json!({ "vm": lifecycle }))).await.unwrap();
        assert!(matches!(quick, CallToolResponse::Complete(_)), "{lifecycle}: {quick:?}");

        let task = task_of(client.call_tool_once(call("power_on_vm", json!({ "vm": lifecycle }))).await.unwrap());
        assert!(!is_on(&machine).await, "{lifecycle}");
        let (ended, said) = until_ended(&client, &task).await;
        let TaskPayload::Completed { result } = ended.payload else { panic!("{lifecycle}: {ended:?}") };
        assert_eq!(result["structuredContent"]["results"][0]["changed"], true, "{lifecycle}: {result:?}");
        assert!(said.iter().any(|text| text.starts_with(&format!("power on {lifecycle}: "))), "{lifecycle}: {said:?}");
        assert!(is_on(&machine).await, "{lifecycle}");
    }
}

#[tokio::test]
async fn the_user_is_asked_before_a_call_becomes_a_task() {
    let lab = slow().await;
    for lifecycle in ["older", "stateless"] {
        let machine = lab.running(lifecycle).await;
        let client = connected(lifecycle, lab.server(&[]), Patient).await;
        let mut request = call("power_off_vm", json!({ "vm": lifecycle }));
        let mut response = client.call_tool_once(request.clone()).await.unwrap();
        if let CallToolResponse::InputRequired(asked) = &response {
            let yes = ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "confirm": true }));
            request.input_responses = Some([("confirm".to_owned(), json!(yes))].into());
            request.request_state.clone_from(&asked.request_state);
            response = client.call_tool_once(request).await.unwrap();
        }
        let (ended, _) = until_ended(&client, &task_of(response)).await;
        assert_eq!(ended.status(), TaskStatus::Completed, "{lifecycle}: {ended:?}");
        assert!(!is_on(&machine).await, "{lifecycle}");
    }
}

#[tokio::test]
async fn a_client_without_tasks_waits() {
    let lab = slow().await;
    for lifecycle in ["older", "stateless"] {
        lab.machine(lifecycle).await;
        let client = connected(lifecycle, lab.server(&[]), ()).await;
        let done = client.call_tool(call("power_on_vm", json!({ "vm": lifecycle }))).await.unwrap();
        assert_eq!(done.structured_content.unwrap()["results"][0]["changed"], true, "{lifecycle}");
        // And may not ask for tasks.
        let error = client.peer().get_task(GetTaskParams::new("1")).await.unwrap_err();
        let ServiceError::McpError(error) = error else { panic!("{error:?}") };
        assert_eq!(error.code, ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY, "{lifecycle}");
    }
}

/// A tool that never ends, and the signal that it was dropped.
fn endless() -> (Vec<Tool>, oneshot::Receiver<()>) {
    let (alive, stopped) = oneshot::channel::<()>();
    let alive = std::sync::Mutex::new(Some(alive));
    let run = move |_: JsonObject, _: Cx| {
        let alive = alive.lock().unwrap().take();
        async move {
            let _alive = alive;
            std::future::pending::<Result<Content, ToolError>>().await
        }
    };
    let tool = Tool::adds("endless", Toolset::Vm, Permission::VmLifecycle, "Endless", run);
    (vec![tool.about("Never ends.").needs(&["VirtualMachine.Config.Settings"])], stopped)
}

#[tokio::test]
async fn a_cancelled_task_stops_its_tool_and_says_what_is_left() {
    for lifecycle in ["older", "stateless"] {
        let (tools, stopped) = endless();
        let client = connected(lifecycle, Server::with_tools(&settings(), tools).unwrap(), Patient).await;
        let task = task_of(client.call_tool_once(call("endless", json!({}))).await.unwrap());
        client.peer().cancel_task(CancelTaskParams::new(&*task)).await.unwrap();
        let (ended, said) = until_ended(&client, &task).await;
        assert_eq!(ended.status(), TaskStatus::Cancelled, "{lifecycle}: {ended:?}");
        assert!(said.last().unwrap().contains("endless was cancelled"), "{lifecycle}: {said:?}");
        assert!(timeout(Duration::from_secs(10), stopped).await.unwrap().is_err(), "{lifecycle}: dropped, not sent");
        // Once more does no harm.
        client.peer().cancel_task(CancelTaskParams::new(&*task)).await.unwrap();
    }
}

#[tokio::test]
async fn a_task_that_there_is_not_is_an_error() {
    let (tools, _stopped) = endless();
    let client = older(Server::with_tools(&settings(), tools).unwrap(), Patient).await;
    let peer = client.peer();
    for error in [
        peer.get_task(GetTaskParams::new("1")).await.unwrap_err(),
        peer.cancel_task(CancelTaskParams::new("1")).await.unwrap_err(),
        peer.update_task(UpdateTaskParams::new("1", Default::default())).await.unwrap_err(),
    ] {
        let ServiceError::McpError(error) = error else { panic!("{error:?}") };
        assert_eq!(error.code, ErrorCode::INVALID_PARAMS, "{error:?}");
    }
}
