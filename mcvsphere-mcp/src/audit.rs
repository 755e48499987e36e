//! One line a call: who called what with which arguments, what came of it, how long it took.

use std::{borrow::Cow, time::Duration};

use rmcp::{RoleServer, model::CallToolRequestParams, service::RequestContext};
use serde_json::Value;

use crate::{Permission, caller::Caller};

/// The target of audit lines, which a log level does not silence.
pub(crate) const TARGET: &str = "audit";

/// What is known of a call before it runs.
pub(crate) struct Record {
    pub(crate) tool: Cow<'static, str>,
    pub(crate) permission: Option<Permission>,
    who: String,
    arguments: String,
    client: Option<String>,
    trace_id: String,
}

impl Record {
    pub(crate) fn new(request: &CallToolRequestParams, context: &RequestContext<RoleServer>, caller: &Caller) -> Self {
        let arguments = request.arguments.clone().unwrap_or_default();
        let client = context.client_info();
        Self {
            tool: request.name.clone(),
            permission: None,
            who: caller.name().to_owned(),
            arguments: redacted(Value::Object(arguments)).to_string(),
            client: client.map(|it| format!("{}/{}", it.name, it.version)),
            trace_id: context.meta.get_traceparent().and_then(trace_id).unwrap_or_else(new_trace_id),
        }
    }

    /// Writes the line.
    pub(crate) fn finish(self, outcome: &str, duration: Duration) {
        tracing::info!(
            target: TARGET,
            who = self.who,
            tool = %self.tool,
            permission = self.permission.map(Permission::name),
            arguments = self.arguments,
            client = self.client,
            trace_id = self.trace_id,
            outcome,
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "call"
        );
    }
}

/// The trace id in a W3C `traceparent`: version, trace id, parent id and flags, in hexadecimal.
fn trace_id(traceparent: &str) -> Option<String> {
    let id = traceparent.split('-').nth(1)?;
    let valid = id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()) && id.chars().any(|c| c != '0');
    valid.then(|| id.to_lowercase())
}

/// A trace id for a call whose client gave none.
fn new_trace_id() -> String {
    format!("{:032x}", fastrand::u128(1..))
}

/// What may hold a secret by its name, or much data, is not written.
fn redacted(value: Value) -> Value {
    match value {
        Value::Object(object) => object
            .into_iter()
            .map(|(key, value)| {
                let value = if is_secret(&key) { Value::from("***") } else { redacted(value) };
                (key, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        Value::String(text) if text.chars().count() > LONGEST => {
            let start: String = text.chars().take(LONGEST).collect();
            Value::from(format!("{start}… ({} bytes)", text.len()))
        }
        other => other,
    }
}

/// The most characters of one argument in an audit line.
const LONGEST: usize = 200;

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["password", "passwd", "secret", "token", "credential", "private_key", "environment", "content"]
        .iter()
        .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{new_trace_id, redacted, trace_id};

    #[test]
    fn the_trace_id_is_the_clients_or_new() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(given).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for wrong in ["", "00-short-x-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            assert_eq!(trace_id(wrong), None, "{wrong}");
        }
        let (one, other) = (new_trace_id(), new_trace_id());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }

    #[test]
    fn secrets_are_not_written() {
        let arguments = json!({
            "vm": "web-1", "password": "x", "nested": [{ "apiToken": 1 }], "long": "a".repeat(201)
        });
        let line = redacted(arguments);
        assert_eq!(line["vm"], "web-1");
        assert_eq!(line["password"], "***");
        assert_eq!(line["nested"][0]["apiToken"], "***");
        assert!(line["long"].as_str().unwrap().ends_with("… (201 bytes)"));
    }
}
