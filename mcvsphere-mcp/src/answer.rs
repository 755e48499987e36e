//! The shape of a successful answer: an object, a page of a list, a report for each object of a change, or content in MCP's
//! own terms. A tool's type of answer is its output schema too.
//!
//! A program reads the structured content; a person and a model read the text. Clients that would show their model both, or the
//! longer one alone, get the text alone ([`Structured`]).
//! The text holds the same data, but as rows or as lines instead of JSON a second time: of a page of virtual machines
//! that is about half as long.

mod bound;
mod structured;

use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use vsphere_ops::{Page, several::Report};

use crate::{ToolError, error::Result, output, render};

/// What a tool answers when it has not failed.
pub trait Answers: Send + 'static {
    /// The schema of its data; `None` where there is none.
    fn schema() -> Option<Value>;

    /// The answer as it goes out.
    ///
    /// # Errors
    /// The one failure of the call, where the answer is that.
    fn into_response(self) -> Result<CallToolResponse>;
}

/// One object.
#[derive(Debug)]
pub struct Object<T>(pub T);

/// A report for each object of a change.
///
/// The call has failed when all have; when there is one object, its error is the call's.
#[derive(Debug)]
pub struct Batch<T>(pub Vec<Report<T>>);

/// Content in MCP's own terms, such as an image, and no data.
#[derive(Debug)]
pub struct Content(pub Vec<ContentBlock>);

/// A page of a list, of whose items only some fields may be wanted.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    pub(crate) page: Page<T>,
    pub(crate) fields: Option<Vec<String>>,
}

/// One of two kinds of answers.
#[derive(Debug)]
pub(crate) enum Either<A, B> {
    /// The one.
    One(A),
    /// The other.
    Other(B),
}

impl<A: Answers, B: Answers> Answers for Either<A, B> {
    /// The fields of both, none of which is always there.
    fn schema() -> Option<Value> {
        let fields = |schema: Value| schema["properties"].as_object().cloned().unwrap_or_default();
        let mut properties = fields(A::schema()?);
        properties.extend(fields(B::schema()?));
        Some(json!({ "type": "object", "properties": properties }))
    }

    fn into_response(self) -> Result<CallToolResponse> {
        match self {
            Self::One(one) => one.into_response(),
            Self::Other(other) => other.into_response(),
        }
    }
}

/// A page of a list, and figures on all that it lists.
#[derive(Debug)]
pub(crate) struct Summed<T, S>(pub(crate) Listed<T>, pub(crate) S);

impl<T: Serialize + JsonSchema + Send + 'static> Answers for Object<T> {
    fn schema() -> Option<Value> {
        Some(output::object::<T>())
    }

    fn into_response(self) -> Result<CallToolResponse> {
        Ok(response(to_value(&self.0)?, false))
    }
}

impl<T: Serialize + JsonSchema + Send + 'static> Answers for Listed<T> {
    fn schema() -> Option<Value> {
        Some(output::list::<T>())
    }

    fn into_response(self) -> Result<CallToolResponse> {
        Ok(response(self.data()?, false))
    }
}

impl<T: Serialize> Listed<T> {
    /// The page, and of its items the fields that are wanted.
    fn data(&self) -> Result<Value> {
        let mut data = to_value(&self.page)?;
        if let (Some(fields), Some(items)) = (&self.fields, data.get_mut("items").and_then(Value::as_array_mut)) {
            for item in items.iter_mut().filter_map(Value::as_object_mut) {
                *item = chosen(item, fields);
            }
        }
        Ok(data)
    }
}

impl<T, S> Answers for Summed<T, S>
where
    T: Serialize + JsonSchema + Send + 'static,
    S: Serialize + JsonSchema + Send + 'static,
{
    fn schema() -> Option<Value> {
        let (mut list, mut sums) = (output::list::<T>(), output::object::<S>());
        if let (Some(list), Some(sums)) = (list["properties"].as_object_mut(), sums["properties"].as_object_mut()) {
            list.append(sums);
        }
        Some(list)
    }

    fn into_response(self) -> Result<CallToolResponse> {
        let (mut data, mut sums) = (self.0.data()?, to_value(&self.1)?);
        if let (Some(data), Some(sums)) = (data.as_object_mut(), sums.as_object_mut()) {
            data.append(sums);
        }
        Ok(response(data, false))
    }
}

impl<T: Serialize + JsonSchema + Send + 'static> Answers for Batch<T> {
    fn schema() -> Option<Value> {
        Some(output::reports::<T>())
    }

    fn into_response(self) -> Result<CallToolResponse> {
        let mut reports = self.0;
        if let [Report { outcome: Err(_), .. }] = reports.as_slice()
            && let Some(Report { outcome: Err(error), .. }) = reports.pop()
        {
            return Err(error.into());
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
        Ok(response(json!({ "results": results, "failed": failures }), failed))
    }
}

impl Answers for Content {
    fn schema() -> Option<Value> {
        None
    }

    fn into_response(self) -> Result<CallToolResponse> {
        Ok(CallToolResult::success(self.0).into())
    }
}

/// Whatever MCP allows.
impl Answers for CallToolResponse {
    fn schema() -> Option<Value> {
        None
    }

    fn into_response(self) -> Result<CallToolResponse> {
        Ok(self)
    }
}

/// The answer with this data, as text too.
fn response(data: Value, failed: bool) -> CallToolResponse {
    let data = fit(data);
    let mut result = CallToolResult::success(vec![ContentBlock::text(render::compact(&data))]);
    result.is_error = Some(failed);
    result.structured_content = Some(data);
    result.into()
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
pub(crate) use structured::Structured;

fn to_value(report: impl Serialize) -> Result<Value> {
    serde_json::to_value(report).map_err(|error| ToolError::new("internal", error.to_string()))
}

/// The chosen fields of an item, in the order in which they were asked for.
fn chosen(item: &Map<String, Value>, fields: &[String]) -> Map<String, Value> {
    fields.iter().map(|name| (name.clone(), item.get(name).cloned().unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use vsphere_ops::{Error, ErrorKind};

    use super::*;

    fn data(answer: impl Answers) -> (Value, bool) {
        match answer.into_response().unwrap() {
            CallToolResponse::Complete(result) => (result.structured_content.unwrap(), result.is_error == Some(true)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_chosen_fields_stay() {
        let item = json!({ "name": "a", "id": "vm-1" });
        // It has no address.
        let chosen = chosen(item.as_object().unwrap(), &["id".to_owned(), "ip".to_owned()]);
        assert_eq!(json!(chosen), json!({ "id": "vm-1", "ip": null }));
    }

    #[test]
    fn the_error_of_one_object_is_the_calls() {
        #[derive(Debug, Serialize, JsonSchema)]
        struct Done {
            changed: bool,
        }
        let failed = || {
            let error = Error::new("power on", ErrorKind::NotFound("no such VM".to_owned())).on("a");
            Report::<Done> { vm: "a".to_owned(), id: None, outcome: Err(error) }
        };
        let good = Report { vm: "b".to_owned(), id: None, outcome: Ok(Done { changed: true }) };
        let message = "power on \"a\": no such VM; the list tools show what there is";
        assert_eq!(Batch(vec![failed()]).into_response().unwrap_err(), ToolError::new("not_found", message));
        let (some, is_error) = data(Batch(vec![failed(), good]));
        assert_eq!((&some["failed"], is_error), (&json!(1), false));
        assert_eq!(some["results"][0]["error"], json!({ "code": "not_found", "message": message }));
        assert!(data(Batch(vec![failed(), failed()])).1);
    }
}
