//! Why a call failed, in words for a model and in a form for a program.

pub(crate) mod advice;

use std::{borrow::Cow, fmt};

use rmcp::{
    ErrorData,
    handler::server::tool::IntoCallToolResult,
    model::{CallToolResponse, CallToolResult, ContentBlock},
};
use serde_json::{Map, Value, json};
use vsphere_ops::Circumstance;

use crate::{answer::fit, render, text::one_line};

/// What a call returns.
pub(crate) type Result<T> = std::result::Result<T, ToolError>;

/// A failed call: it reaches the client as a result with `isError`, so that the model reads it and can mend its call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolError {
    code: Cow<'static, str>,
    message: String,
    candidates: Box<Value>,
    /// What a fault of vSphere tells: `fault`, `details`, and of a missing right `privilege` and `object`; the `blockers` of
    /// a host that could not enter maintenance mode; and the `login_url` for a caller who is not logged in.
    fault: Box<Map<String, Value>>,
}

impl ToolError {
    /// An error with a code of the list that `vsphere_ops::Error` draws from, or one of the front end's own:
    /// `unknown_tool`, `not_offered`, `permission`, `declined`, `conflict`, `cancelled`, `deadline`, `lost`, `login_required`,
    /// `internal`.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), candidates: Box::default(), fault: Box::default() }
    }

    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The error with the link by which its caller can log in.
    #[must_use]
    pub(crate) fn with_login_url(mut self, url: String) -> Self {
        self.fault.insert("login_url".to_owned(), json!(url));
        self
    }

    /// The error with more to say.
    #[must_use]
    pub(crate) fn and(mut self, text: &str) -> Self {
        self.message.push_str(text);
        self
    }

    /// An argument that the tool cannot take.
    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new("invalid_argument", message)
    }

    /// The error of a call that the tool cannot take as it is.
    pub(crate) fn in_tool(mut self, tool: &str) -> Self {
        self.message = format!("{tool}: {}", self.message);
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
            // What a fault tells, and what was in the way, is in the message.
            if !matches!(key.as_str(), "code" | "message" | "fault" | "privilege" | "object" | "details" | "blockers") {
                text.push_str(&format!("\n{}", render::compact(&json!({ key: fact }))));
            }
        }
        let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
        result.structured_content = Some(structured);
        result
    }
}

impl ToolError {
    /// The error in the report of one object of several.
    pub(crate) fn as_report(&self) -> Value {
        let mut report = json!({ "code": self.code, "message": self.message });
        if !self.candidates.is_null() {
            report["candidates"] = (*self.candidates).clone();
        }
        report
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl From<vsphere_ops::Error> for ToolError {
    fn from(error: vsphere_ops::Error) -> Self {
        let advice = advice::about(&error);
        // The server refuses what the model gave.
        let code = if advice.is_about_an_argument { "invalid_argument" } else { error.code() };
        let message = match advice.text {
            Some(advice) => format!("{error}; {advice}"),
            None => error.to_string(),
        };
        let candidates: Vec<Value> =
            error.candidates().iter().map(|candidate| json!({ "path": candidate.path, "id": candidate.id })).collect();
        let candidates = if candidates.is_empty() { Value::Null } else { Value::Array(candidates) };
        let mut told = fault(&error);
        if let Some(Circumstance::KeptFromMaintenance(blockers)) = error.circumstance() {
            told.insert("blockers".to_owned(), json!(blockers));
        }
        Self { code: code.into(), message, candidates: Box::new(candidates), fault: Box::new(told) }
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
