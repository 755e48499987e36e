//! The shape of a successful answer.
//!
//! A program reads the structured content; a person, and the model of a client that passes on text alone, reads the text.
//! The text holds the same data, but as rows or as lines instead of JSON a second time: of a page of virtual machines
//! that is about half as long.

mod bound;

use rmcp::{
    ErrorData,
    handler::server::tool::IntoCallToolResult,
    model::{CallToolResponse, CallToolResult, ContentBlock},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use vsphere_ops::several::Report;

use crate::{ToolError, error::Result, render};

/// What a tool answers.
#[derive(Debug)]
pub(crate) struct Answer {
    data: Value,
    failed: bool,
}

impl Answer {
    /// One object.
    pub(crate) fn object(report: &impl Serialize) -> Result<Self> {
        Ok(Self { data: to_value(report)?, failed: false })
    }

    /// A page of a list, of whose items only some fields are wanted. Which ones there are is said by the argument's type, an
    /// enumeration: a field that no row happens to have is known all the same.
    pub(crate) fn list(page: &impl Serialize, fields: Option<Vec<impl Serialize>>) -> Result<Self> {
        let mut data = to_value(page)?;
        if let (Some(fields), Some(items)) = (fields, data.get_mut("items").and_then(Value::as_array_mut)) {
            let fields: Vec<Value> = fields.iter().map(to_value).collect::<Result<_>>()?;
            for item in items.iter_mut().filter_map(Value::as_object_mut) {
                *item = chosen(item, &fields);
            }
        }
        Ok(Self { data, failed: false })
    }

    /// The page with the cursor of the next one as `seal` makes it.
    pub(crate) fn with_next_cursor(mut self, seal: impl Fn(String) -> String) -> Self {
        if let Some(Value::String(cursor)) = self.data.get_mut("next_cursor") {
            *cursor = seal(std::mem::take(cursor));
        }
        self
    }

    /// A report for each object of a change, which has an `error` where that object's change failed. The call has failed
    /// when all have; when there is one object, its error is the call's.
    pub(crate) fn reports<T: Serialize>(reports: &[Report<T>]) -> Result<Self> {
        if let [Report { outcome: Err(error), .. }] = reports {
            return Err(error.clone().into());
        }
        let results = reports.iter().map(|report| {
            let mut result = to_value(report)?;
            if let Err(error) = &report.outcome {
                result["error"] = ToolError::from(error.clone()).as_report();
            }
            Ok(result)
        });
        let results: Vec<Value> = results.collect::<Result<_>>()?;
        let failures = reports.iter().filter(|report| report.outcome.is_err()).count();
        let failed = failures > 0 && failures == reports.len();
        Ok(Self { data: json!({ "results": results, "failed": failures }), failed })
    }
}

/// Data as it goes out: each character of its texts visible, and no longer than a model can take in. Where something is left
/// out, `cut` says what, and how to ask for less.
pub(crate) fn fit(mut data: Value) -> Value {
    bound::visible(&mut data);
    bound::bound(&mut data);
    data
}

/// Data that goes out whole, with each character of its texts visible.
pub(crate) fn visible(mut data: Value) -> Value {
    bound::visible(&mut data);
    data
}

/// The key of the note that says what of an answer was left out.
pub(crate) use bound::NOTE as CUT;

fn to_value(report: impl Serialize) -> Result<Value> {
    serde_json::to_value(report).map_err(|error| ToolError::new("internal", error.to_string()))
}

/// The chosen fields of an item, in the order in which they were asked for.
fn chosen(item: &Map<String, Value>, fields: &[Value]) -> Map<String, Value> {
    let names = fields.iter().filter_map(Value::as_str);
    names.map(|name| (name.to_owned(), item.get(name).cloned().unwrap_or_default())).collect()
}

impl IntoCallToolResult for Answer {
    fn into_call_tool_result(self) -> std::result::Result<CallToolResponse, ErrorData> {
        let data = fit(self.data);
        let mut result = CallToolResult::success(vec![ContentBlock::text(render::compact(&data))]);
        result.is_error = Some(self.failed);
        result.structured_content = Some(data);
        Ok(result.into())
    }
}

#[cfg(test)]
mod tests {
    use vsphere_ops::{Error, ErrorKind};

    use super::*;

    #[test]
    fn only_the_chosen_fields_stay() {
        let page = json!({ "items": [{ "name": "a", "id": "vm-1" }], "total": 1 });
        // No row has an address.
        let answer = Answer::list(&page, Some(vec!["id", "ip"])).unwrap();
        assert_eq!(answer.data, json!({ "items": [{ "id": "vm-1", "ip": null }], "total": 1 }));
    }

    #[test]
    fn the_error_of_one_object_is_the_calls() {
        let failed = || {
            let error = Error::new("power on", ErrorKind::NotFound("no such VM".to_owned())).on("a");
            Report { vm: "a".to_owned(), id: None, outcome: Err(error) }
        };
        let good = Report { vm: "b".to_owned(), id: None, outcome: Ok(json!({ "changed": true })) };
        let message = "power on \"a\": no such VM; the list tools show what there is";
        assert_eq!(Answer::reports::<Value>(&[failed()]).unwrap_err(), ToolError::new("not_found", message));
        let some = Answer::reports(&[failed(), good]).unwrap();
        assert_eq!((some.failed, &some.data["failed"]), (false, &json!(1)));
        assert_eq!(some.data["results"][0]["error"], json!({ "code": "not_found", "message": message }));
        assert!(Answer::reports::<Value>(&[failed(), failed()]).unwrap().failed);
    }
}
