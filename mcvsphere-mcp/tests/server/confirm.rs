//! Asking before something is destroyed, with each kind of client. The effect is read from the machine.

use std::sync::{Arc, Mutex};

use mcvsphere_mcp::Server;
use rmcp::{
    ClientHandler, ErrorData, RoleClient, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig, ElicitRequestParams,
        ElicitResult, ElicitationAction, Implementation, ProtocolVersion,
    },
    service::{ClientLifecycleMode, ClientServiceExt, RequestContext, RunningService},
};
use serde_json::{Value, json};
use vsphere_sim::{Model, Size};

use crate::lab::{Lab, is_on};

/// A user who gives these answers, the last one first, and remembers the questions.
#[derive(Clone, Default)]
struct User {
    answers: Arc<Mutex<Vec<ElicitResult>>>,
    questions: Arc<Mutex<Vec<String>>>,
}

impl User {
    fn who_says(answers: impl IntoIterator<Item = ElicitResult>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Self::default() }
    }

    fn questions(&self) -> Vec<String> {
        self.questions.lock().unwrap().clone()
    }
}

impl ClientHandler for User {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        ClientConfig::new(capabilities, Implementation::new("test", "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else { panic!("a form") };
        self.questions.lock().unwrap().push(message);
        Ok(self.answers.lock().unwrap().pop().unwrap())
    }
}

fn yes() -> ElicitResult {
    ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "confirm": true }))
}

fn no() -> ElicitResult {
    ElicitResult::new(ElicitationAction::Decline)
}

pub(crate) async fn older<H: ClientHandler>(server: Server, handler: H) -> RunningService<RoleClient, H> {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move { server.serve_local(theirs).await.unwrap().waiting().await });
    handler.serve(ours).await.unwrap()
}

pub(crate) async fn stateless<H: ClientHandler>(server: Server, handler: H) -> RunningService<RoleClient, H> {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move { server.serve_local(theirs).await.unwrap().waiting().await });
    let lifecycle = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    handler.serve_with_lifecycle(ours, lifecycle).await.unwrap()
}

fn off(arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new("power_off_vm").with_arguments(arguments.as_object().unwrap().clone())
}

fn content(result: &CallToolResult) -> &Value {
    result.structured_content.as_ref().unwrap()
}

#[tokio::test]
async fn a_user_is_shown_what_is_lost_and_decides_in_both_lifecycles() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    for lifecycle in ["older", "stateless"] {
        let user = User::who_says([yes(), no()]);
        let server = lab.server(&[]);
        let client = match lifecycle {
            "older" => older(server, user.clone()).await,
            _ => stateless(server, user.clone()).await,
        };
        let refused = client.call_tool(off(json!({ "vm": "web-1" }))).await.unwrap();
        assert_eq!(refused.is_error, Some(true), "{lifecycle}");
        assert_eq!(content(&refused)["code"], "declined", "{lifecycle}");
        assert!(is_on(&machine).await, "{lifecycle}");

        let done = client.call_tool(off(json!({ "vm": "web-1" }))).await.unwrap();
        assert_eq!(content(&done)["results"][0]["changed"], true, "{lifecycle}: {done:?}");
        assert!(!is_on(&machine).await, "{lifecycle}");

        // It is off: there is nothing to lose, and nothing to ask.
        let again = client.call_tool(off(json!({ "vm": "web-1" }))).await.unwrap();
        assert_eq!(content(&again)["results"][0]["changed"], false, "{lifecycle}");
        let questions = user.questions();
        assert_eq!(questions.len(), 2, "{lifecycle}");
        for said in ["Power off \"web-1\"", "powered_on", "booted", "could shut down cleanly", "Ubuntu"] {
            assert!(questions[0].contains(said), "{said}: {}", questions[0]);
        }
        machine.power_on().await.unwrap().await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_cannot_ask_gets_a_plan_to_call_again_with() {
    let lab = Lab::new().await;
    let (web, db) = (lab.running("web-1").await, lab.running("db-1").await);
    for lifecycle in ["older", "stateless"] {
        let server = lab.server(&[]);
        let client = match lifecycle {
            "older" => older(server, ()).await,
            _ => stateless(server, ()).await,
        };
        let plan = client.call_tool(off(json!({ "vms": ["web-1", "db-1"] }))).await.unwrap();
        assert_ne!(plan.is_error, Some(true));
        let shown = content(&plan);
        assert_eq!((&shown["confirmation_required"], &shown["total"]), (&json!(true), &json!(2)), "{shown:#}");
        assert_eq!(shown["objects"][0]["name"], "db-1");
        assert!(is_on(&web).await && is_on(&db).await);
        let token = shown["plan_token"].as_str().unwrap();
        let text = &plan.content[0].as_text().unwrap().text;
        assert!(text.contains(token) && text.contains("NOT DONE YET"), "{text}");

        // For other machines it is worth nothing.
        let other = client.call_tool(off(json!({ "vm": "web-1", "confirm": token }))).await.unwrap();
        assert_eq!(content(&other)["confirmation_required"], true, "{other:?}");
        assert!(is_on(&web).await);

        let done = client.call_tool(off(json!({ "vms": ["web-1", "db-1"], "confirm": token }))).await.unwrap();
        assert_eq!(content(&done)["failed"], 0, "{done:?}");
        assert!(!is_on(&web).await && !is_on(&db).await);

        // The token has done its work, and does it on no other run.
        web.power_on().await.unwrap().await.unwrap();
        db.power_on().await.unwrap().await.unwrap();
        let void = client.call_tool(off(json!({ "vms": ["web-1", "db-1"], "confirm": token }))).await.unwrap();
        assert_eq!(content(&void)["replayed"], true, "{void:?}");
        assert!(is_on(&web).await && is_on(&db).await);
    }
}

#[tokio::test]
async fn an_answer_to_an_older_state_of_things_is_void() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    let client = stateless(lab.server(&[]), User::default()).await;
    let CallToolResponse::InputRequired(asked) = client.call_tool_once(off(json!({ "vm": "web-1" }))).await.unwrap()
    else {
        panic!("a question");
    };
    machine.power_off().await.unwrap().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    machine.power_on().await.unwrap().await.unwrap();
    let mut answered = off(json!({ "vm": "web-1" }));
    answered.input_responses = Some([("confirm".to_owned(), json!(yes()))].into());
    answered.request_state = asked.request_state;
    let CallToolResponse::InputRequired(again) = client.call_tool_once(answered.clone()).await.unwrap() else {
        panic!("the question again");
    };
    assert!(is_on(&machine).await);
    answered.request_state = again.request_state;
    let CallToolResponse::Complete(done) = client.call_tool_once(answered).await.unwrap() else { panic!("done") };
    assert_eq!(content(&done)["results"][0]["changed"], true);
    assert!(!is_on(&machine).await);
}

#[tokio::test]
async fn the_settings_say_when_is_asked() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    let asks = async |environment: &[(&str, &str)], tool: &'static str| {
        let client = older(lab.server(environment), ()).await;
        let request =
            CallToolRequestParams::new(tool).with_arguments(json!({ "vm": "web-1" }).as_object().unwrap().clone());
        let result = client.call_tool(request).await.unwrap();
        assert_ne!(result.is_error, Some(true), "{result:?}");
        content(&result)["confirmation_required"] == true
    };
    assert!(asks(&[], "power_off_vm").await);
    assert!(!asks(&[], "power_on_vm").await);
    assert!(asks(&[("MCP_CONFIRM", "always")], "power_on_vm").await);
    assert!(asks(&[("MCP_CONFIRM", "always"), ("MCP_CONFIRM_ALLOW", "power_off")], "power_off_vm").await);
    assert!(is_on(&machine).await);
    assert!(!asks(&[("MCP_CONFIRM", "never")], "power_off_vm").await);
    assert!(!is_on(&machine).await);
    machine.power_on().await.unwrap().await.unwrap();
    // By its older name.
    assert!(!asks(&[("MCP_CONFIRM_ALLOW", "power_off")], "power_off_vm").await);
    assert!(!is_on(&machine).await);
}

/// The simulator's power on cannot be cancelled: that vSphere was asked to shows in what the answer says of it.
#[tokio::test]
async fn a_call_out_of_time_asks_vsphere_to_cancel_and_says_what_goes_on() {
    let lab =
        Lab::of(Model::sized(Size { vms: 0, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 }).pace(3.0)).await;
    lab.machine("web-1").await;
    let client = older(lab.server(&[("MCP_CALL_TIMEOUT", "1")]), ()).await;
    client.call_tool(CallToolRequestParams::new("get_vcenter_info")).await.unwrap();
    let arguments = json!({ "vm": "web-1" }).as_object().unwrap().clone();
    let result = client.call_tool(CallToolRequestParams::new("power_on_vm").with_arguments(arguments)).await.unwrap();
    let content = content(&result);
    assert_eq!(content["code"], "deadline", "{content:#}");
    let message = content["message"].as_str().unwrap();
    assert!(message.contains("\"power on\" of web-1 (task-") && message.contains("goes on"), "{message}");
}
