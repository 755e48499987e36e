//! Taking a tool's arguments apart, with errors that name the argument.

pub(crate) mod asking;
pub(crate) mod kinds;
pub(crate) mod meant;
mod older;
pub(crate) mod paging;

use std::fmt::Display;

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{ToolError, error::Result};

/// The arguments of a tool that takes none.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct NoArguments {}

/// The default of an argument that is a number.
pub(crate) fn number<const N: i32, T: From<i32>>() -> T {
    N.into()
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

/// The arguments of a tool as its own type, with errors that name the argument.
///
/// # Errors
/// `invalid_argument` where one is missing, or is not of its type.
pub(crate) fn read<A: DeserializeOwned>(arguments: JsonObject) -> Result<A> {
    serde_path_to_error::deserialize(Value::Object(arguments))
        .map_err(|error| ToolError::invalid_argument(explain(&error.path().to_string(), &error.inner().to_string())))
}

/// Turns serde's words into ones for a caller.
fn explain(path: &str, error: &str) -> String {
    if let Some(name) = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return format!("the argument `{name}` is missing");
    }
    if path == "." { error.to_owned() } else { format!("`{path}`: {error}") }
}

/// What is said of an argument that a tool does not have.
pub(crate) fn unknown(name: &str, known: &[String]) -> String {
    let takes = match known {
        [] => "it takes none".to_owned(),
        names => format!("it takes {}", names.join(", ")),
    };
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("unknown argument `{name}`, did you mean `{near}`? {takes}"),
        None => format!("unknown argument `{name}`: {takes}"),
    }
}

/// The name that someone who wrote `name` may have meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_argument() {
        let known = ["filter".to_owned(), "power_state".to_owned()];
        assert_eq!(
            unknown("pwr_state", &known),
            "unknown argument `pwr_state`, did you mean `power_state`? it takes filter, power_state"
        );
        assert_eq!(unknown("x", &[]), "unknown argument `x`: it takes none");
        assert_eq!(explain(".", "missing field `vm`"), "the argument `vm` is missing");
        assert_eq!(
            explain("limit", "invalid type: string \"a\", expected usize"),
            "`limit`: invalid type: string \"a\", expected usize"
        );
    }
}
