//! `POST /api`: the Automation API as the SDKs for Python and Java call it, by JSON-RPC.
//!
//! Values have the names of their structures beside them: `{"STRUCTURE": {"com.vmware.cis.tagging.tag_model": {…}}}`. Every
//! answer has the HTTP status 200, errors too: clients look no further at any other.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::rest::{self, MAX_REQUEST};
use super::{Body, text};
use crate::core::Core;
use crate::model::ServerKind;
use crate::vapi::{self, Failure, Outcome, Shape, session};

pub(super) async fn answer(core: Arc<Core>, request: Request<Incoming>) -> Response<Body> {
    if core.read().settings.kind == ServerKind::Esxi {
        return rest::of_a_host();
    }
    let body = match Limited::new(request.into_body(), MAX_REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return text(StatusCode::BAD_REQUEST, "text/plain", format!("{error}\n")),
    };
    let call: Value = match serde_json::from_slice(&body) {
        Ok(call) => call,
        Err(error) => {
            let error = json!({ "code": -32700, "message": format!("Parse error: {error}") });
            return document(&json!({ "jsonrpc": "2.0", "id": null, "error": error }));
        }
    };
    let result = match invoke(&core, &call["params"]) {
        Ok(output) => json!({ "output": output }),
        Err(failure) => json!({ "error": error(&failure) }),
    };
    document(&json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }))
}

fn document(answer: &Value) -> Response<Body> {
    text(StatusCode::OK, "application/json", answer.to_string())
}

fn invoke(core: &Core, params: &Value) -> Outcome<Value> {
    let name = |key: &str| params[key].as_str().unwrap_or_default();
    let id = format!("{}.{}", name("serviceId"), name("operationId"));
    let security = &params["ctx"]["securityCtx"];
    let key = security["sessionId"].as_str();
    match id.as_str() {
        "com.vmware.cis.session.create" => {
            let given = |key: &str| security[key].as_str().unwrap_or_default();
            let key = rest::log_in(core, given("userName"), given("password"))?;
            return Ok(json!({ "SECRET": key }));
        }
        "com.vmware.cis.session.get" => {
            let info = session::info(&core.read(), key)?;
            return Ok(json!({ "STRUCTURE": { "com.vmware.cis.session.info": info } }));
        }
        "com.vmware.cis.session.delete" => return session::delete(&mut core.write(), key).map(|()| Value::Null),
        _ => {}
    }
    let caller = session::caller(&core.read(), key)?;
    let found = vapi::operations().find(|operation| operation.id == id && vapi::has(&core.read(), operation));
    let operation = found.ok_or_else(|| Failure::no_operation(&id))?;
    let output = rest::run(core, operation, &caller, &plain(&params["input"]))?;
    Ok(named(output, &operation.output))
}

/// A value without the names of structures.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => match fields.iter().next().map(|(key, inner)| (key.as_str(), inner)) {
            Some(("STRUCTURE", Value::Object(named))) => {
                let fields = named.values().next().and_then(Value::as_object);
                let fields = fields.into_iter().flatten().map(|(key, value)| (key.clone(), plain(value)));
                Value::Object(fields.collect())
            }
            Some(("OPTIONAL" | "SECRET", inner)) => plain(inner),
            _ => value.clone(),
        },
        value => value.clone(),
    }
}

/// A value with them.
fn named(value: Value, shape: &Shape) -> Value {
    match (shape, value) {
        (Shape::Plain, value) => value,
        (Shape::Optional(_), Value::Null) => json!({ "OPTIONAL": null }),
        (Shape::Optional(inner), value) => json!({ "OPTIONAL": named(value, inner) }),
        (Shape::List(inner), Value::Array(items)) => items.into_iter().map(|item| named(item, inner)).collect(),
        (Shape::Struct(name, shapes), Value::Object(mut fields)) => {
            for (field, shape) in *shapes {
                let value = fields.get_mut(*field).map(Value::take).unwrap_or_default();
                fields.insert((*field).to_owned(), named(value, shape));
            }
            json!({ "STRUCTURE": Map::from_iter([((*name).to_owned(), Value::Object(fields))]) })
        }
        (_, value) => value,
    }
}

fn error(failure: &Failure) -> Value {
    let message = json!({ "STRUCTURE": { "com.vmware.vapi.std.localizable_message": failure.as_message() } });
    let fields = json!({
        "messages": [message],
        "data": { "OPTIONAL": null },
        "error_type": { "OPTIONAL": failure.kind.name() },
    });
    json!({ "ERROR": Map::from_iter([(failure.kind.canonical(), fields)]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_structures_come_off_and_on() {
        let object =
            json!({ "STRUCTURE": { "com.vmware.vapi.std.dynamic_ID": { "type": "VirtualMachine", "id": "vm-1" } } });
        let input =
            json!({ "STRUCTURE": { "operation-input": { "object_ids": [object], "spec": { "OPTIONAL": null } } } });
        let bare = json!({ "object_ids": [{ "type": "VirtualMachine", "id": "vm-1" }], "spec": null });
        assert_eq!(plain(&input), bare);
        const OBJECT: Shape = Shape::Struct("com.vmware.vapi.std.dynamic_ID", &[]);
        const SHAPE: Shape = Shape::Struct(
            "operation-input",
            &[("object_ids", Shape::List(&OBJECT)), ("spec", Shape::Optional(&Shape::Plain))],
        );
        assert_eq!(named(bare, &SHAPE), input);
    }
}
