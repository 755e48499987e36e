//! What a line says: a message for rmcp, or the JSON-RPC error that is its answer.

use rmcp::model::{
    CallToolRequestParams, CancelTaskParams, ClientJsonRpcMessage, ClientRequest, CompleteRequestParams, ErrorCode,
    ErrorData, GetPromptRequestParams, GetTaskParams, InitializeRequestParams, JsonRpcMessage, PaginatedRequestParams,
    ReadResourceRequestParams, SubscribeRequestParams, UnsubscribeRequestParams, UpdateTaskParams,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::lines::LONGEST;

/// What came of a line.
pub(super) enum Read {
    Message(Box<ClientJsonRpcMessage>),
    /// Errors to answer with, a line each.
    Refusal(Vec<Vec<u8>>),
    /// Nothing is to be done: the line is empty, or what is never answered.
    Nothing,
}

/// Reads a line without its newline.
pub(super) fn read(line: &[u8]) -> Read {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii();
    if line.is_empty() {
        return Read::Nothing;
    }
    match serde_json::from_slice(line) {
        Ok(Value::Object(message)) => object(message),
        Ok(Value::Array(batch)) => refuse_batch(&batch),
        Ok(_) => refuse(None, ErrorData::invalid_request("a message must be a JSON object", None)),
        Err(error) => unreadable(line, &error),
    }
}

/// The answer to a line that was too long to be held, of which these are the beginning and the end.
pub(super) fn too_long(head: &[u8], tail: &[u8]) -> Read {
    let id = id_at_start(head).or_else(|| id_at_end(tail)).filter(is_id);
    let why = format!("a message may have at most {} MiB", LONGEST >> 20);
    refuse(id.as_ref(), ErrorData::invalid_request(why, None))
}

/// A line with an error as the answer to the request with this id.
pub(super) fn refusal(id: Option<&Value>, error: &ErrorData) -> Vec<u8> {
    let mut answer = Map::new();
    answer.insert("jsonrpc".to_owned(), Value::from("2.0"));
    // Left out where it is not known, as MCP wants it.
    if let Some(id) = id {
        answer.insert("id".to_owned(), id.clone());
    }
    answer.insert("error".to_owned(), json!(error));
    format!("{}\n", Value::Object(answer)).into_bytes()
}

fn refuse(id: Option<&Value>, error: ErrorData) -> Read {
    Read::Refusal(vec![refusal(id, &error)])
}

/// Whether MCP lets a request have this id.
fn is_id(id: &Value) -> bool {
    id.is_string() || serde_json::from_value::<rmcp::model::RequestId>(id.clone()).is_ok()
}

/// The methods that this server knows; rmcp takes one with wrong parameters for a method that nobody knows.
const METHODS: [&str; 19] = [
    "ping",
    "initialize",
    "server/discover",
    "completion/complete",
    "logging/setLevel",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    "tools/call",
    "tools/list",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "tasks/result",
];

fn object(mut message: Map<String, Value>) -> Read {
    let answers = message.contains_key("result") || message.contains_key("error");
    let id = message.get("id").cloned();
    let id = id.as_ref();
    let invalid = |why: &'static str| refuse(id, ErrorData::invalid_request(why, None));
    let method = match message.get("method") {
        Some(Value::String(method)) => method.clone(),
        None if answers => return answer(message),
        None => return invalid("the message has no method"),
        Some(_) => return invalid("method must be a string"),
    };
    if id.is_none() {
        return notification(message, &method);
    }
    if !id.is_some_and(is_id) {
        return invalid("id must be a string or an integer");
    }
    if answers {
        return invalid("a message with a method has neither result nor error");
    }
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return invalid("jsonrpc must be \"2.0\"");
    }
    let wrong = |why: String| refuse(id, ErrorData::invalid_params(why, None));
    if message.get("params").is_some_and(Value::is_null) {
        message.remove("params");
    }
    match message.get_mut("params") {
        None => {}
        Some(Value::Object(params)) if method == "tools/call" => {
            if let Err(why) = settle_arguments(params) {
                return wrong(why);
            }
        }
        Some(Value::Object(_)) => {}
        Some(_) => return wrong(format!("{method}: params must be an object")),
    }
    let params = message.get("params").cloned();
    match serde_json::from_value(Value::Object(message)) {
        Ok(JsonRpcMessage::Request(request))
            if matches!(request.request, ClientRequest::CustomRequest(_)) && METHODS.contains(&method.as_str()) =>
        {
            wrong(format!("{method}: {}", what_is_wrong(&method, params)))
        }
        Ok(message) => Read::Message(Box::new(message)),
        Err(_) => wrong(format!("{method}: {}", what_is_wrong(&method, params))),
    }
}

/// Takes arguments that are JSON in a string for what they mean.
fn settle_arguments(params: &mut Map<String, Value>) -> Result<(), String> {
    let Some(arguments) = params.get_mut("arguments") else { return Ok(()) };
    let read = match arguments {
        Value::Object(_) | Value::Null => return Ok(()),
        Value::String(text) if text.trim().is_empty() => Some(Value::Object(Map::new())),
        Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_object),
        _ => None,
    };
    *arguments = read.ok_or("tools/call: arguments must be an object, such as {\"vm\": \"web-1\"}")?;
    Ok(())
}

/// Why the parameters do not fit the method.
fn what_is_wrong(method: &str, params: Option<Value>) -> String {
    fn check<T: DeserializeOwned>(params: Value) -> Option<String> {
        serde_json::from_value::<T>(params).err().map(|error| error.to_string())
    }
    let Some(params) = params else { return "params are missing".to_owned() };
    let check = match method {
        "initialize" => check::<InitializeRequestParams>,
        "completion/complete" => check::<CompleteRequestParams>,
        "prompts/get" => check::<GetPromptRequestParams>,
        "resources/read" => check::<ReadResourceRequestParams>,
        "resources/subscribe" => check::<SubscribeRequestParams>,
        "resources/unsubscribe" => check::<UnsubscribeRequestParams>,
        "tools/call" => check::<CallToolRequestParams>,
        "tasks/get" => check::<GetTaskParams>,
        "tasks/update" => check::<UpdateTaskParams>,
        "tasks/cancel" => check::<CancelTaskParams>,
        _ => check::<PaginatedRequestParams>,
    };
    check(params).unwrap_or_else(|| "the params are not as MCP has them".to_owned())
}

/// What has no id is never answered, whatever is wrong with it.
fn notification(message: Map<String, Value>, method: &str) -> Read {
    match serde_json::from_value(Value::Object(message)) {
        Ok(message) => Read::Message(Box::new(message)),
        Err(error) => {
            tracing::debug!(method, %error, "a notification that is not valid");
            Read::Nothing
        }
    }
}

/// The client's answer to a request of this server; an answer is never answered.
fn answer(message: Map<String, Value>) -> Read {
    match serde_json::from_value(Value::Object(message)) {
        Ok(message) => Read::Message(Box::new(message)),
        Err(error) => {
            tracing::debug!(%error, "an answer that is not valid");
            Read::Nothing
        }
    }
}

/// MCP has no batches since 2025-06-18. Each request in one is refused by its id, so that nobody waits for it.
fn refuse_batch(batch: &[Value]) -> Read {
    let error = ErrorData::invalid_request("batches are not supported: send each message on a line of its own", None);
    let requests = batch.iter().filter(|message| message.get("method").is_some());
    let ids: Vec<&Value> = requests.filter_map(|request| request.get("id")).collect();
    match ids.as_slice() {
        [] => refuse(None, error),
        ids => Read::Refusal(ids.iter().map(|id| refusal(Some(id), &error)).collect()),
    }
}

/// A line that is not JSON, or not to our parser: half of a surrogate pair, and bytes that are no UTF-8, stand for no
/// text. What it was meant to say is used to find the id alone, so that nothing is done with other text than was sent.
fn unreadable(line: &[u8], error: &serde_json::Error) -> Read {
    let meant: Option<Value> = serde_json::from_str(&mended(&String::from_utf8_lossy(line))).ok();
    let id = meant.as_ref().and_then(|meant| meant.get("id")).cloned();
    if id.is_none() && meant.as_ref().is_some_and(|meant| meant.get("method").is_some()) {
        return Read::Nothing;
    }
    let why = match meant {
        Some(_) => {
            "the line holds half of a surrogate pair, or bytes that are not UTF-8: send text that is Unicode".to_owned()
        }
        None => format!("the line is not valid JSON: {error}"),
    };
    refuse(id.as_ref(), ErrorData::new(ErrorCode::PARSE_ERROR, why, None))
}

/// The same JSON with a replacement character for each escape of half a surrogate pair.
fn mended(json: &str) -> String {
    const REPLACEMENT: &str = "\\ufffd";
    let unit = |at: &str| at.strip_prefix("\\u").and_then(|hex| u16::from_str_radix(hex.get(..4)?, 16).ok());
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match unit(rest) {
            Some(0xD800..=0xDBFF) if matches!(unit(&rest[6..]), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                mended.push_str(REPLACEMENT);
                rest = &rest[6..];
                continue;
            }
            // The backslash and what it escapes.
            _ => rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at),
        };
        mended.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    mended + rest
}

/// The id of a message that begins like this, where nothing but single values stands before it.
fn id_at_start(head: &[u8]) -> Option<Value> {
    let mut rest = head.trim_ascii_start().strip_prefix(b"{")?;
    loop {
        let (key, after) = scalar(rest)?;
        let (value, after) = scalar(after.trim_ascii_start().strip_prefix(b":")?)?;
        if key == "id" {
            return Some(value);
        }
        rest = after.trim_ascii_start().strip_prefix(b",")?;
    }
}

/// The id of a message that ends like this, where the id is its last member.
fn id_at_end(tail: &[u8]) -> Option<Value> {
    const KEY: &[u8] = b"\"id\"";
    let at = tail.windows(KEY.len()).rposition(|window| window == KEY)?;
    let (value, after) = scalar(tail[at + KEY.len()..].trim_ascii_start().strip_prefix(b":")?)?;
    // One brace: two would close an object within the message.
    (after.trim_ascii() == b"}").then_some(value)
}

/// A number, string or word at the beginning of this text, and what follows.
fn scalar(text: &[u8]) -> Option<(Value, &[u8])> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter();
    let value: Value = values.next()?.ok()?;
    let rest = &text[values.byte_offset()..];
    (!value.is_object() && !value.is_array()).then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The errors that a line is answered with.
    fn errors(line: impl AsRef<[u8]>) -> Vec<Value> {
        match read(line.as_ref()) {
            Read::Refusal(lines) => lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect(),
            Read::Message(message) => panic!("passed on: {message:?}"),
            Read::Nothing => Vec::new(),
        }
    }

    fn message(line: impl AsRef<[u8]>) -> ClientJsonRpcMessage {
        match read(line.as_ref()) {
            Read::Message(message) => *message,
            Read::Refusal(lines) => panic!("refused: {}", String::from_utf8_lossy(&lines.concat())),
            Read::Nothing => panic!("ignored"),
        }
    }

    #[test]
    fn what_is_wrong_with_a_message_is_answered_with_its_id_and_code() {
        for (line, code, id, why) in [
            ("hello", -32700, None, "not valid JSON"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping""#, -32700, None, "not valid JSON"),
            ("5", -32600, None, "must be a JSON object"),
            ("null", -32600, None, "must be a JSON object"),
            ("[]", -32600, None, "batches are not supported"),
            ("{}", -32600, None, "has no method"),
            (r#"{"id":1}"#, -32600, Some(json!(1)), "has no method"),
            (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600, Some(json!(1)), "method must be a string"),
            (r#"{"id":1,"method":"ping"}"#, -32600, Some(json!(1)), "jsonrpc must be"),
            (r#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#, -32600, Some(json!("a")), "jsonrpc must be"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, Some(json!(null)), "id must be"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600, Some(json!(1.5)), "id must be"),
            (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, -32600, Some(json!(true)), "id must be"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, -32600, Some(json!(1)), "neither result"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, -32602, Some(json!(1)), "params must be"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, -32602, Some(json!(1)), "params are missing"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}"#, -32602, Some(json!(1)), "missing"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#, -32602, Some(json!(1)), "`name`"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}"#, -32602, Some(json!(1)), "string"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#,
                -32602,
                Some(json!(1)),
                "protocolVersion",
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{}}"#, -32602, Some(json!(1)), "`uri`"),
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"\ud800"}}"#,
                -32700,
                Some(json!(7)),
                "surrogate",
            ),
        ] {
            let errors = errors(line);
            assert_eq!(errors.len(), 1, "{line}");
            assert_eq!(errors[0]["jsonrpc"], "2.0");
            assert_eq!(errors[0]["error"]["code"], code, "{line}: {}", errors[0]);
            assert_eq!(errors[0].get("id"), id.as_ref(), "{line}");
            assert!(errors[0]["error"]["message"].as_str().unwrap().contains(why), "{line}: {}", errors[0]);
        }
        let bytes =
            errors(b"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"tools/call\",\"params\":{\"name\":\"\xff\"}}");
        assert_eq!((&bytes[0]["id"], &bytes[0]["error"]["code"]), (&json!("x"), &json!(-32700)));
    }

    #[test]
    fn each_request_of_a_batch_is_refused_by_its_id() {
        let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"},
                        {"jsonrpc":"2.0","id":"b","method":"ping"}]"#;
        let ids: Vec<Value> = errors(batch.replace('\n', "")).iter().map(|error| error["id"].clone()).collect();
        assert_eq!(ids, [json!(1), json!("b")]);
    }

    #[test]
    fn arguments_in_a_string_are_taken_as_meant_where_they_are_an_object() {
        let call = |arguments: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"list_vms","arguments":{arguments}}}}}"#
            )
        };
        for (arguments, meant) in [
            (r#"{"limit":5}"#, Some(json!({ "limit": 5 }))),
            (r#""{\"limit\":5}""#, Some(json!({ "limit": 5 }))),
            (r#""""#, Some(json!({}))),
            ("null", None),
        ] {
            let JsonRpcMessage::Request(request) = message(call(arguments)) else { panic!("no request") };
            let ClientRequest::CallToolRequest(call) = request.request else { panic!("no call: {arguments}") };
            assert_eq!(call.params.arguments.map(Value::Object), meant, "{arguments}");
        }
        for arguments in [r#""limit=5""#, "[]", "5", r#""[5]""#] {
            let errors = errors(call(arguments));
            assert_eq!(errors[0]["error"]["code"], -32602, "{arguments}");
            assert!(errors[0]["error"]["message"].as_str().unwrap().contains("must be an object"), "{arguments}");
        }
    }

    #[test]
    fn marks_spaces_and_line_ends_of_other_systems_do_no_harm() {
        for line in [
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
            " {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} \r",
        ] {
            assert!(matches!(message(line), JsonRpcMessage::Request(_)), "{line:?}");
        }
        for line in ["", "\r", "  \t", "\u{feff}"] {
            assert!(matches!(read(line.as_bytes()), Read::Nothing), "{line:?}");
        }
        let JsonRpcMessage::Request(request) = message(r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#) else {
            panic!()
        };
        assert_eq!(json!(request.id), json!(1));
    }

    #[test]
    fn notifications_and_answers_are_never_answered() {
        for line in [
            r#"{"method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":5}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"a":"\ud800"}}"#,
            r#"{"jsonrpc":"2.0","id":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","error":5}"#,
        ] {
            assert_eq!(errors_or_nothing(line), Vec::<Value>::new(), "{line}");
        }
    }

    fn errors_or_nothing(line: &str) -> Vec<Value> {
        match read(line.as_bytes()) {
            Read::Message(_) | Read::Nothing => Vec::new(),
            Read::Refusal(_) => errors(line),
        }
    }

    #[test]
    fn a_surrogate_pair_is_text_and_its_half_is_not() {
        assert_eq!(mended(r#""\ud83d\ude00""#), r#""\ud83d\ude00""#);
        assert_eq!(mended(r#""\ud83d \ude00 \\ud800 \""#), r#""\ufffd \ufffd \\ud800 \""#);
        for cut in ["\\", "\\u", "\\ud8", "\\ud800", "\\ud800\\", "\\ud800\\u", "\\ué", "é\\é"] {
            let _ = mended(cut);
        }
    }

    #[test]
    fn the_id_of_a_message_that_is_too_long_is_found_where_it_is_certain() {
        let id = |head: &str, tail: &str| match too_long(head.as_bytes(), tail.as_bytes()) {
            Read::Refusal(lines) => serde_json::from_slice::<Value>(&lines[0]).unwrap().get("id").cloned(),
            _ => None,
        };
        let start = r#"{"jsonrpc":"2.0", "id": 5, "method":"tools/call","params":{"a":"xxx"#;
        assert_eq!(id(start, "xxx\"}}"), Some(json!(5)));
        let start = r#"{"method":"tools/call","params":{"id":1,"a":"xxx"#;
        assert_eq!(id(start, r#"xxx"}},"jsonrpc":"2.0","id":"seven"}"#), Some(json!("seven")));
        assert_eq!(id(start, r#"xxx","id":5}}"#), None);
        assert_eq!(id("xxx", "xxx"), None);
    }
}
