//! Taking a tool's arguments apart, with errors that name the argument.

pub(crate) mod meant;

use std::{borrow::Cow, fmt::Display};

use rmcp::{
    ErrorData,
    handler::server::{common::FromContextPart, tool::ToolCallContext},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Server, ToolError, error::Result};

/// The arguments of a tool, as rmcp's type of the same name, which the macro knows by that name. Its errors name the
/// argument and suggest the right one.
pub(crate) struct Parameters<T>(pub(crate) T);

/// The arguments of a tool that takes none: still checked, so that a wrong one is not dropped in silence.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoArguments {}

/// How many items a list tool returns when nothing is said.
pub(crate) const DEFAULT_LIMIT: usize = 50;

/// How many items a list tool returns at most: an answer has to fit into a model's head.
const LARGEST_LIMIT: usize = 1000;

/// The size of a page.
pub(crate) fn page_size(limit: Option<usize>) -> Result<usize> {
    in_range("limit", limit, DEFAULT_LIMIT, LARGEST_LIMIT)
}

/// A number from 1 to `most`, or `default` where none is given.
pub(crate) fn in_range<N>(argument: &str, given: Option<N>, default: N, most: N) -> Result<N>
where
    N: Copy + PartialOrd + Display + From<u8>,
{
    match given {
        None => Ok(default),
        Some(number) if (N::from(1)..=most).contains(&number) => Ok(number),
        Some(number) => {
            Err(ToolError::invalid_argument(format!("`{argument}` is {number}, but must be from 1 to {most}")))
        }
    }
}

impl<T: DeserializeOwned> FromContextPart<ToolCallContext<'_, Server>> for Parameters<T> {
    fn from_context_part(context: &mut ToolCallContext<'_, Server>) -> std::result::Result<Self, ErrorData> {
        // The choke point makes a result of it that the model can read.
        let refused = |message: String| ErrorData::invalid_params(message, None);
        let mut arguments = context.arguments.take().unwrap_or_default();
        if let Some(tool) = context.service.catalog().tool(&context.name) {
            arguments = meant::arguments::<T>(arguments, &tool.input_schema).map_err(refused)?;
        }
        serde_path_to_error::deserialize(Value::Object(arguments)).map(Self).map_err(|error| {
            let known = context.service.argument_names(&context.name);
            refused(explain(&error.path().to_string(), &error.inner().to_string(), &known))
        })
    }
}

/// Turns serde's words into ones for a caller.
fn explain(path: &str, error: &str, known: &[String]) -> String {
    if let Some(name) = error.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
        let takes = match known {
            [] => "it takes none".to_owned(),
            names => format!("it takes {}", names.join(", ")),
        };
        return match nearest(name, known) {
            Some(near) => format!("unknown argument `{name}`, did you mean `{near}`? {takes}"),
            None => format!("unknown argument `{name}`: {takes}"),
        };
    }
    if let Some(name) = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return format!("the argument `{name}` is missing");
    }
    if path == "." { error.to_owned() } else { format!("`{path}`: {error}") }
}

/// The name that someone who wrote `name` may have meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a String>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.as_str())
}

impl<T: JsonSchema> JsonSchema for Parameters<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_argument() {
        let known = ["filter".to_owned(), "power_state".to_owned()];
        assert_eq!(
            explain("pwr_state", "unknown field `pwr_state`, expected one of …", &known),
            "unknown argument `pwr_state`, did you mean `power_state`? it takes filter, power_state"
        );
        assert_eq!(explain("x", "unknown field `x`, there are no fields", &[]), "unknown argument `x`: it takes none");
        assert_eq!(explain(".", "missing field `vm`", &known), "the argument `vm` is missing");
        assert_eq!(
            explain("limit", "invalid type: string \"a\", expected usize", &known),
            "`limit`: invalid type: string \"a\", expected usize"
        );
    }

    #[test]
    fn a_page_has_bounds() {
        assert_eq!(page_size(None), Ok(50));
        assert_eq!(page_size(Some(1000)), Ok(1000));
        assert!(page_size(Some(0)).is_err());
        assert!(page_size(Some(1001)).is_err());
    }
}
