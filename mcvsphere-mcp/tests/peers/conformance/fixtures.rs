//! The tools that the conformance suite calls: it says what each must do, and they pass through the choke point like all.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use mcvsphere_mcp::{Cx, Permission, Tool, ToolError, Toolset};
use rmcp::model::{
    CallToolResponse, CallToolResult, ElicitRequestParams, InputRequiredResult, JsonObject, ProgressNotificationParam,
    ResultType,
};
use serde_json::{Value, json};
use tokio::time::sleep;

type Result<T> = std::result::Result<T, ToolError>;

/// A call of one of these tools.
struct Context {
    arguments: JsonObject,
    cx: Cx,
}

/// Each with its arguments and their types.
const FIXTURES: [(&str, &[(&str, &str)]); 25] = [
    ("test_simple_text", &[]),
    ("test_image_content", &[]),
    ("test_audio_content", &[]),
    ("test_embedded_resource", &[]),
    ("test_multiple_content_types", &[]),
    ("test_error_handling", &[]),
    ("test_tool_with_progress", &[]),
    ("test_logging_tool", &[]),
    ("test_elicitation", &[("message", "string")]),
    ("test_elicitation_sep1034_defaults", &[]),
    ("test_elicitation_sep1330_enums", &[]),
    ("test_streaming_elicitation", &[]),
    ("test_input_required_result_elicitation", &[]),
    ("test_input_required_result_sampling", &[]),
    ("test_input_required_result_list_roots", &[]),
    ("test_input_required_result_request_state", &[]),
    ("test_input_required_result_tampered_state", &[]),
    ("test_input_required_result_multiple_inputs", &[]),
    ("test_input_required_result_multi_round", &[]),
    ("test_input_required_result_capabilities", &[]),
    ("greet", &[("name", "string")]),
    ("slow_compute", &[("seconds", "number"), ("label", "string")]),
    ("failing_job", &[]),
    ("protocol_error_job", &[]),
    ("test_tool_with_task", &[]),
];

/// All of them.
pub(crate) fn tools() -> Vec<Tool> {
    let tool = |(name, arguments): (&'static str, &[(&str, &str)])| {
        let properties: JsonObject =
            arguments.iter().map(|(name, kind)| ((*name).to_owned(), json!({ "type": kind }))).collect();
        let schema = json!({ "type": "object", "properties": properties });
        let run = move |arguments: JsonObject, cx: Cx| call(name, Context { arguments, cx });
        Tool::adds(name, Toolset::Vm, Permission::PowerOps, name, run)
            .about("Of the conformance suite.")
            .takes(schema.as_object().unwrap().clone())
            .needs(&["VirtualMachine.Interact.PowerOn"])
            .idempotent()
    };
    FIXTURES.into_iter().map(tool).collect()
}

async fn call(name: &'static str, context: Context) -> Result<CallToolResponse> {
    match name {
        "test_tool_with_progress" => with_progress(&context).await,
        "test_elicitation" => {
            let field = json!({ "type": "string", "description": "The user's own" });
            let fields = json!({ "username": field, "email": field });
            elicit(&context, text_of(&context, "message"), fields, &["username", "email"]).await
        }
        "test_elicitation_sep1034_defaults" => elicit(&context, "Who is it?", defaults(), &[]).await,
        "test_elicitation_sep1330_enums" => elicit(&context, "Which one?", choices(), &[]).await,
        "greet" => answer(text(&format!("Hello, {}!", text_of(&context, "name")))),
        "slow_compute" => {
            let seconds = context.arguments.get("seconds").and_then(Value::as_f64);
            // A call becomes a task after a second.
            sleep(Duration::from_secs_f64(seconds.map_or(0.0, |seconds| seconds + 0.5))).await;
            answer(text("computed"))
        }
        "failing_job" => {
            sleep(Duration::from_secs(2)).await;
            answer(json!({ "content": [block("It went wrong")], "isError": true }))
        }
        "protocol_error_job" => {
            sleep(Duration::from_secs(2)).await;
            Err(ToolError::new("internal", "It went wrong"))
        }
        "test_tool_with_task" => {
            let response = by_input(&context, name)?;
            if matches!(response, CallToolResponse::Complete(_)) {
                sleep(Duration::from_secs(3)).await;
            }
            Ok(response)
        }
        name if name.starts_with("test_input_required") || name == "test_streaming_elicitation" => {
            by_input(&context, name)
        }
        _ => answer(content(name)),
    }
}

/// The answers that are always the same.
fn content(name: &str) -> Value {
    let image = json!({ "type": "image", "data": BASE64_STANDARD.encode(pixel()), "mimeType": "image/png" });
    let resource = |uri: &str, kind: &str, text: &str| json!({ "type": "resource", "resource": { "uri": uri, "mimeType": kind, "text": text } });
    let blocks = match name {
        "test_simple_text" => json!([block("This is a simple text response for testing.")]),
        "test_image_content" => json!([image]),
        "test_audio_content" => {
            json!([{ "type": "audio", "data": BASE64_STANDARD.encode(silence()), "mimeType": "audio/wav" }])
        }
        "test_embedded_resource" => {
            json!([resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")])
        }
        "test_multiple_content_types" => json!([
            block("Multiple content types test:"),
            image,
            resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
        ]),
        "test_error_handling" => {
            let said = block("This tool intentionally returns an error for testing");
            return json!({ "content": [said], "isError": true });
        }
        "test_logging_tool" => json!([block("nothing to log")]),
        other => panic!("{other} is no fixture"),
    };
    json!({ "content": blocks })
}

/// The tools that ask by an `InputRequiredResult`: what they ask, and what they keep in the state.
fn by_input(context: &Context, name: &str) -> Result<CallToolResponse> {
    let name_question = || question("What is your name?", "name", "string");
    let greeting = || sampling("Generate a greeting", 50);
    let roots = || json!({ "method": "roots/list", "params": {} });
    let (requests, state) = match (name, context.cx.state()) {
        ("test_input_required_result_sampling", _) => {
            (json!({ "capital_question": sampling("What is the capital of France?", 100) }), None)
        }
        ("test_input_required_result_list_roots", _) => (json!({ "client_roots": roots() }), None),
        ("test_input_required_result_request_state" | "test_input_required_result_tampered_state", _) => {
            (json!({ "confirm": question("Please confirm", "ok", "boolean") }), Some("sealed"))
        }
        ("test_input_required_result_multiple_inputs", _) => {
            let all = json!({ "user_name": name_question(), "greeting": greeting(), "client_roots": roots() });
            (all, Some("sealed"))
        }
        ("test_input_required_result_multi_round", None) => {
            (json!({ "step1": question("Step 1: What is your name?", "name", "string") }), Some("round 1"))
        }
        ("test_input_required_result_multi_round", Some(_)) => {
            (json!({ "step2": question("Step 2: What is your favorite color?", "color", "string") }), Some("round 2"))
        }
        ("test_input_required_result_capabilities", _) => {
            let can = context.cx.request().client_capabilities().unwrap_or_default();
            let name = can.elicitation.map(|_| ("user_name".to_owned(), name_question()));
            let greeting = can.sampling.map(|_| ("greeting".to_owned(), greeting()));
            (Value::Object(name.into_iter().chain(greeting).collect()), None)
        }
        _ => (json!({ "user_name": name_question() }), None),
    };
    // As with this server's own questions, an answer to what was not asked so does not count: it is asked again.
    let genuine = context.cx.state().is_none_or(|it| ["sealed", "round 1", "round 2"].contains(&it));
    let answers = context.cx.answers().cloned().filter(|_| genuine).unwrap_or_default();
    if requests.as_object().unwrap().keys().all(|name| answers.get(name).is_some_and(Value::is_object)) {
        return answer(text(&format!("state-ok: {}", json!(answers))));
    }
    let result = json!({ "resultType": "input_required", "inputRequests": requests, "requestState": state });
    Ok(serde_json::from_value::<InputRequiredResult>(result).unwrap().into())
}

fn question(message: &str, field: &str, kind: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { field: { "type": kind } }, "required": [field] });
    json!({ "method": "elicitation/create", "params": { "message": message, "requestedSchema": schema } })
}

fn sampling(text: &str, most_tokens: u32) -> Value {
    let message = json!({ "role": "user", "content": block(text) });
    json!({ "method": "sampling/createMessage", "params": { "messages": [message], "maxTokens": most_tokens } })
}

/// Asks a client of the older lifecycle, and says what it answered.
async fn elicit(context: &Context, message: &str, fields: Value, required: &[&str]) -> Result<CallToolResponse> {
    let schema = json!({ "type": "object", "properties": fields, "required": required });
    let request: ElicitRequestParams =
        serde_json::from_value(json!({ "mode": "form", "message": message, "requestedSchema": schema })).unwrap();
    let answered = context.cx.request().peer.create_elicitation(request).await;
    let said = answered.map_err(|error| ToolError::new("internal", error.to_string()))?;
    answer(text(&format!("User response: {}", json!(said))))
}

fn defaults() -> Value {
    json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
        "verified": { "type": "boolean", "default": true },
    })
}

fn choices() -> Value {
    let titled = |values: [(&str, &str); 3]| values.map(|(value, title)| json!({ "const": value, "title": title }));
    let options = ["option1", "option2", "option3"];
    json!({
        "untitledSingle": { "type": "string", "enum": options },
        "titledSingle": {
            "type": "string",
            "oneOf": titled([("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option")]),
        },
        "legacyEnum": {
            "type": "string", "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": options } },
        "titledMulti": {
            "type": "array",
            "items": {
                "anyOf": titled([("value1", "First Choice"), ("value2", "Second Choice"), ("value3", "Third Choice")]),
            },
        },
    })
}

async fn with_progress(context: &Context) -> Result<CallToolResponse> {
    let token = context.cx.request().meta.get_progress_token();
    for step in [0.0, 50.0, 100.0] {
        if let Some(token) = &token {
            let step = ProgressNotificationParam::new(token.clone(), step).with_total(100.0);
            context.cx.request().peer.notify_progress(step).await.unwrap();
        }
        sleep(Duration::from_millis(50)).await;
    }
    answer(text("done"))
}

fn answer(result: Value) -> Result<CallToolResponse> {
    let mut result: CallToolResult = serde_json::from_value(result).unwrap();
    result.result_type = Some(ResultType::COMPLETE);
    Ok(result.into())
}

fn text(text: &str) -> Value {
    json!({ "content": [block(text)] })
}

fn block(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn text_of<'a>(context: &'a Context, argument: &str) -> &'a str {
    context.arguments.get(argument).and_then(Value::as_str).unwrap_or_default()
}

/// A PNG file of a single grey pixel: signature, header, data, end, each part with its length and checksum.
fn pixel() -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(b"\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55");
    file.extend(b"\0\0\0\x0aIDAT\x78\xda\x63\x68\0\0\0\x82\0\x81\xda\x45\x08\x3b");
    file.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
    file
}

/// A WAV file without a sample: mono, 8 bits, 8 kHz.
fn silence() -> Vec<u8> {
    let mut file = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    file.extend(b"\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\0\0\0");
    file
}
