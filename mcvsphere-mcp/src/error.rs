//! Why a call failed, in words for a model and in a form for a program.

use std::{borrow::Cow, fmt};

use rmcp::{
    ErrorData,
    handler::server::tool::IntoCallToolResult,
    model::{CallToolResponse, CallToolResult, ContentBlock},
};
use serde_json::{Map, Value, json};
use vsphere_ops::{Cause, ErrorKind};

use crate::{answer::fit, render, text::one_line};

/// What a tool returns. The name matters: rmcp's macro finds the output schema by it.
pub(crate) type Result<T> = std::result::Result<T, ToolError>;

/// A failed call: it reaches the client as a result with `isError`, so that the model reads it and can mend its call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolError {
    code: Cow<'static, str>,
    message: String,
    candidates: Box<Value>,
    /// What a fault of vSphere tells: `fault`, `details`, and of a missing right `privilege` and `object`.
    fault: Box<Map<String, Value>>,
}

impl ToolError {
    /// An error with a code of the list that `vsphere_ops::Error` draws from, or one of the front end's own:
    /// `unknown_tool`, `not_offered`, `permission`, `declined`, `conflict`, `cancelled`, `deadline`, `internal`.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), candidates: Box::default(), fault: Box::default() }
    }

    /// An argument that the tool cannot take.
    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new("invalid_argument", message)
    }

    /// The error with what to do next, where the operation alone does not know.
    pub(crate) fn with_step(mut self, step: Option<&str>) -> Self {
        if let Some(step) = step {
            self.message = format!("{}; {step}", self.message);
        }
        self
    }

    /// The error as the answer of the call, its message on one line whatever it quotes.
    pub(crate) fn into_result(mut self) -> CallToolResult {
        let mut structured = json!({ "code": self.code, "message": one_line(&self.message) });
        if !self.candidates.is_null() {
            structured["candidates"] = self.candidates.take();
        }
        if let Value::Object(structured) = &mut structured {
            structured.extend(*std::mem::take(&mut self.fault));
        }
        let structured = fit(structured);
        self.message = structured["message"].as_str().unwrap_or_default().to_owned();
        let mut text = self.to_string();
        for (key, fact) in structured.as_object().into_iter().flatten() {
            // What a fault tells is in the message.
            if !matches!(key.as_str(), "code" | "message" | "fault" | "privilege" | "object" | "details") {
                text.push_str(&format!("\n{}", render::compact(&json!({ key: fact }))));
            }
        }
        let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
        result.structured_content = Some(structured);
        result
    }
}

impl ToolError {
    /// The error of one object of several, read back from its report: `{code, message, candidates?}`.
    pub(crate) fn from_report(report: &Value) -> Self {
        let text = |key: &str| report.get(key).and_then(Value::as_str);
        let mut error = Self::new(
            text("code").unwrap_or("fault").to_owned(),
            text("message").map_or_else(|| report.to_string(), str::to_owned),
        );
        if let Some(candidates) = report.get("candidates") {
            *error.candidates = candidates.clone();
        }
        error
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl From<vsphere_ops::Error> for ToolError {
    fn from(error: vsphere_ops::Error) -> Self {
        let code = error.code();
        let message = match next_step(&error) {
            Some(step) => format!("{error}; {step}"),
            None => error.to_string(),
        };
        let candidates: Vec<Value> =
            error.candidates().iter().map(|candidate| json!({ "path": candidate.path, "id": candidate.id })).collect();
        let candidates = if candidates.is_empty() { Value::Null } else { Value::Array(candidates) };
        Self { code: code.into(), message, candidates: Box::new(candidates), fault: Box::new(fault(&error)) }
    }
}

/// What the fault tells, for a program.
fn fault(error: &vsphere_ops::Error) -> Map<String, Value> {
    let mut told = Map::new();
    let Some(name) = error.fault_name() else { return told };
    told.insert("fault".to_owned(), json!(name));
    let facts = error.fault_facts();
    let fact =
        |fields: &[&str]| facts.iter().find(|fact| fields.contains(&fact.field.as_str())).map(|fact| &fact.value);
    for (key, fields) in [
        ("privilege", ["privilegeId", "missingPrivileges.privilegeIds"]),
        ("object", ["object", "missingPrivileges.entity"]),
    ] {
        if let Some(value) = fact(&fields) {
            told.insert(key.to_owned(), json!(value));
        }
    }
    if !facts.is_empty() {
        let details: Map<String, Value> =
            facts.iter().map(|fact| (fact.field.clone(), json!(one_line(&fact.value)))).collect();
        told.insert("details".to_owned(), Value::Object(details));
    }
    told
}

/// What to do next, where the error alone does not tell it: by the cause, else by the code. No step is better than one
/// that does not fit.
fn next_step(error: &vsphere_ops::Error) -> Option<&'static str> {
    match (error.cause(), error.code()) {
        (Some(cause), _) => against(cause),
        (None, "not_found") => Some("the list tools show what there is"),
        (None, "ambiguous") => Some("call again with the path or the id of one candidate"),
        (None, "auth") if is_refused_login(error) => Some("check VCENTER_USER and VCENTER_PASSWORD"),
        _ => None,
    }
}

fn is_refused_login(error: &vsphere_ops::Error) -> bool {
    match error.kind() {
        ErrorKind::Refused(_) => true,
        ErrorKind::Rest(_) => false,
        _ => error.is_fault("InvalidLogin"),
    }
}

/// What helps against a cause.
pub(crate) fn against(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::UnknownHost => "check the host name in VCENTER_HOST",
        Cause::NameServer => "check the DNS and the network of this machine",
        Cause::Refused => "check the port in VCENTER_HOST, and that vCenter runs there",
        Cause::Unreachable => "check the address in VCENTER_HOST, and the route, VPN and firewall to it",
        Cause::NotPermitted => "check the firewall and the sandbox of this machine",
        Cause::NoAnswer => "check the address in VCENTER_HOST, and whether a firewall drops what is sent to it",
        Cause::Proxy => "check the proxy that HTTPS_PROXY or ALL_PROXY names, or leave the server out by NO_PROXY",
        Cause::Untrusted => {
            "compare the thumbprint with the one that the server's own console shows, then set VCENTER_THUMBPRINT to it, \
             or VCENTER_CA_FILE to the CA's certificate"
        }
        Cause::Expired => "renew the server's certificate, or set VCENTER_THUMBPRINT, to which dates do not matter",
        Cause::NotYetValid => "set the clock of this machine or of the server",
        Cause::OtherName => {
            "set VCENTER_HOST to a name that the certificate is made for, or set VCENTER_THUMBPRINT, to which names do \
             not matter"
        }
        Cause::OtherPin => {
            "if the server's certificate was replaced, set VCENTER_THUMBPRINT to the new one; otherwise another server \
             answers in its place"
        }
        Cause::OldTls => "TLS 1.2 or later must be on at the server",
        Cause::NotTls => "check the port in VCENTER_HOST: HTTPS is expected there",
        Cause::Slow => "try again later, or ask for less",
        Cause::Unavailable => "the server may be starting or overloaded: try again later",
        Cause::Redirected => "set VCENTER_HOST to the address of vCenter or ESXi itself",
        Cause::NoSuchPage | Cause::NotVsphere => {
            "check that VCENTER_HOST leads to a vCenter or ESXi itself, not to a proxy or a login page before it"
        }
        Cause::TooLarge => "the limit is VCENTER_MAX_ANSWER_MB",
        // What is wrong is not known well enough, or nothing helps from here.
        _ => return None,
    })
}

impl IntoCallToolResult for ToolError {
    fn into_call_tool_result(self) -> std::result::Result<CallToolResponse, ErrorData> {
        Ok(self.into_result().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_a_bound_and_hides_no_character() {
        let mut error = ToolError::new("ambiguous", format!("many are named {}", "x".repeat(300_000)));
        *error.candidates =
            (0..9000).map(|at| json!({ "path": format!("/DC0/vm/we\u{202e}b{at}"), "id": at })).collect();
        let result = error.into_result();
        let (text, structured) = (&result.content[0].as_text().unwrap().text, result.structured_content.unwrap());
        assert!(text.len() <= 100_000 && structured.to_string().len() <= 100_000, "{}", text.len());
        assert!(!text.contains('\u{202e}') && !structured.to_string().contains('\u{202e}'));
        assert!(
            text.contains("\ncut: only ") && text.contains(" of 9000 candidates are shown"),
            "{}",
            structured["cut"]
        );
    }

    #[test]
    fn an_error_says_code_message_and_candidates() {
        let mut error = ToolError::new("ambiguous", "two are named web");
        *error.candidates = json!([{ "path": "/DC0/vm/web", "id": "vm-1" }]);
        let result = error.into_result();
        assert_eq!(result.is_error, Some(true));
        let structured = result.structured_content.unwrap();
        assert_eq!(structured["code"], "ambiguous");
        assert_eq!(structured["candidates"][0]["id"], "vm-1");
        let text = &result.content[0].as_text().unwrap().text;
        assert!(text.starts_with("two are named web (ambiguous)"), "{text}");
        assert!(text.contains("\ncandidates:\n  path\tid\n  /DC0/vm/web\tvm-1"), "{text}");
    }
}
