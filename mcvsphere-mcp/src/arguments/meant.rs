//! Arguments as they were meant: what a model sends is held against the tool's schema before serde sees it.
//!
//! Models fill optional arguments with `""`, `[]` or `null`, write numbers as text, one name where a list is wanted, and a list
//! as JSON in a text. Where only one thing can be meant it is taken; else the error says what to send.

use serde_json::{Map, Value};

use super::{older, unknown};
use crate::{
    schema::{Mark, Marks},
    text,
};

/// The arguments of a tool by their present names, each of the type that the tool's schema wants.
///
/// # Errors
/// What to send instead, in one clause that names the argument.
pub(crate) fn arguments(
    tool: &str,
    given: Map<String, Value>,
    schema: &Map<String, Value>,
    marks: &Marks,
) -> Result<Map<String, Value>, String> {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let required = schema.get("required").and_then(Value::as_array);
    let mut arguments = Map::new();
    for (key, value) in given {
        let Some((name, property)) =
            present_name(tool, &key, properties).and_then(|name| Some((name, properties.get(name)?)))
        else {
            let known: Vec<String> = properties.keys().cloned().collect();
            return Err(unknown(&key, &known));
        };
        let value = if name == key { value } else { older::present_value(&key, value) };
        let value = match (marks.get(name), &value) {
            (Some(Mark::Text | Mark::Json), Value::String(_)) => Some(value),
            (Some(Mark::Json), Value::Object(_) | Value::Array(_)) => Some(Value::from(value.to_string())),
            (mark, _) => {
                let several = format!("{name}s");
                value_of(value, property).map_err(|wanted| match wanted {
                    // What is wrong about it may be most of the secret.
                    _ if matches!(mark, Some(Mark::Secret | Mark::Json)) => {
                        let list = property.get("type").and_then(Value::as_str) == Some("array");
                        format!("`{name}` must be {}", if list { "a list of texts" } else { "a text" })
                    }
                    Wanted::One if properties.contains_key(&several) => {
                        format!("`{name}` takes one text; several go into `{several}`")
                    }
                    wanted => format!("`{name}` {wanted}"),
                })?
            }
        };
        let Some(value) = value else {
            if required.is_some_and(|required| required.iter().any(|it| it == name)) {
                let meaning = property.get("description").and_then(Value::as_str).unwrap_or_default();
                return Err(format!("the argument `{name}` is empty, but needed. {meaning}").trim_end().to_owned());
            }
            continue;
        };
        if arguments.get(name).is_some_and(|other| *other != value) {
            return Err(format!("`{name}` is given twice, with two values: `{key}` is another name of it"));
        }
        arguments.insert(name.to_owned(), value);
    }
    Ok(arguments)
}

/// The present name of an argument that is given by this or an older name; `None` where the tool takes none of this name.
pub(crate) fn present_name<'a>(tool: &str, given: &'a str, properties: &Map<String, Value>) -> Option<&'a str> {
    match properties.contains_key(given) {
        true => Some(given),
        false => older::present_name(tool, given, properties),
    }
}

/// What an argument takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// One text, where a list of several came.
    One,
    /// What it takes, with an example.
    Form(String),
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One => f.write_str("takes one text, not a list of several"),
            Self::Form(form) => f.write_str(form),
        }
    }
}

/// A value of the type that the schema wants, or `None` for one that means "not given".
///
/// # Errors
/// What the argument takes.
pub(crate) fn value_of(value: Value, schema: &Value) -> Result<Option<Value>, Wanted> {
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let is_nothing = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || (kind != "string" && text.trim() == "null"),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    if is_nothing {
        return Ok(None);
    }
    match kind {
        "string" => one_text(value, schema).map(Some),
        "integer" => whole_number(&value, schema).map(Some),
        "number" => number(&value).map(Some),
        "boolean" => truth(&value).map(Some),
        "array" => list(value, schema),
        "object" => object(value).map(Some),
        _ => Ok(Some(value)),
    }
}

fn one_text(value: Value, schema: &Value) -> Result<Value, Wanted> {
    match value {
        Value::String(text) => Ok(text_of(&text, schema)),
        Value::Number(number) if !number.is_f64() => Ok(Value::from(number.to_string())),
        Value::Array(mut items) => match items.pop() {
            Some(only @ (Value::String(_) | Value::Number(_))) if items.is_empty() => one_text(only, schema),
            _ => Err(Wanted::One),
        },
        other => Err(wanted("a text, such as \"web-1\"", &other)),
    }
}

/// A text with what was escaped when it was shown, and one of a choice in the spelling of the choice: vSphere itself writes
/// `poweredOn`.
fn text_of(text: &str, schema: &Value) -> Value {
    let text = text::unescaped(text);
    let plain = |text: &str| {
        text.chars().filter(|c| c.is_alphanumeric() || *c == '+').flat_map(char::to_lowercase).collect::<String>()
    };
    let choices = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let chosen = choices.clone().find(|choice| **choice == *text).or_else(|| {
        let mut alike = choices.filter(|choice| plain(choice) == plain(&text));
        alike.next().filter(|_| alike.next().is_none())
    });
    Value::from(chosen.unwrap_or(&text))
}

fn whole_number(value: &Value, schema: &Value) -> Result<Value, Wanted> {
    let example = schema.get("default").or_else(|| schema.get("minimum")).and_then(Value::as_i64).unwrap_or(10).max(1);
    let refused = || wanted(&format!("a whole number, such as {example}"), value);
    let number = match value {
        Value::String(text) => serde_json::from_str(text.trim()).map_err(|_| refused())?,
        other => other.clone(),
    };
    match &number {
        Value::Number(it) if it.is_i64() || it.is_u64() => Ok(number),
        Value::Number(it) => {
            // Up to here a float counts in ones.
            const MOST: f64 = 9_007_199_254_740_992.0;
            let whole = it.as_f64().filter(|it| it.fract() == 0.0 && it.abs() <= MOST);
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
            whole.map(|it| Value::from(it as i64)).ok_or_else(refused)
        }
        _ => Err(refused()),
    }
}

fn number(value: &Value) -> Result<Value, Wanted> {
    let read = match value {
        Value::String(text) => serde_json::from_str(text.trim()).unwrap_or_default(),
        other => other.clone(),
    };
    if read.is_number() { Ok(read) } else { Err(wanted("a number, such as 1.5", value)) }
}

fn truth(value: &Value) -> Result<Value, Wanted> {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
        other => Err(wanted("true or false", other)),
    }
}

fn list(value: Value, schema: &Value) -> Result<Option<Value>, Wanted> {
    let no_schema = Value::Null;
    let each = schema.get("items").unwrap_or(&no_schema);
    let items = match value {
        Value::Array(items) => items,
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Array(items)) => items,
            // No comma is part of a choice, but one may be part of a name.
            _ if each.get("enum").is_some() => text.split(',').map(|item| Value::from(item.trim())).collect(),
            _ => vec![Value::String(text)],
        },
        Value::Object(_) => return Err(wanted("a list, such as [\"web-1\", \"web-2\"]", &value)),
        one => vec![one],
    };
    let mut meant = Vec::with_capacity(items.len());
    for item in items {
        match value_of(item, each) {
            Ok(Some(item)) => meant.push(item),
            Ok(None) => return Err(Wanted::Form("has an empty item: leave it out".to_owned())),
            Err(wanted) => return Err(Wanted::Form(format!("has an item that {wanted}"))),
        }
    }
    Ok(if meant.is_empty() { None } else { Some(Value::Array(meant)) })
}

fn object(value: Value) -> Result<Value, Wanted> {
    let read = match &value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    if read.is_object() { Ok(read) } else { Err(wanted("an object, such as {\"key\": \"value\"}", &value)) }
}

/// The longest part of a wrong value that an error quotes.
const MOST_QUOTED: usize = 60;

fn wanted(form: &str, value: &Value) -> Wanted {
    let mut shown = text::one_line(&value.to_string());
    if let Some((end, _)) = shown.char_indices().nth(MOST_QUOTED) {
        shown.truncate(end);
        shown.push('…');
    }
    Wanted::Form(format!("must be {form}, not {shown}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "vm": { "type": "string", "description": "Virtual machine: name, path or id." },
                "vms": { "type": "array", "items": { "type": "string" } },
                "state": { "type": "string", "enum": ["powered_on", "powered_off"] },
                "fields": { "type": "array", "items": { "type": "string", "enum": ["name", "guest_os"] } },
                "limit": { "type": "integer", "minimum": 1 },
                "ratio": { "type": "number" },
                "thin": { "type": "boolean" },
                "annotation": { "type": "string" },
                "count": { "type": "integer", "minimum": 1 },
                "password": { "type": "string" },
            },
            "required": ["vm"],
        })
    }

    fn meant(given: Value) -> Result<Value, String> {
        let Value::Object(given) = given else { panic!("{given}") };
        let marks = Marks::from([("annotation".to_owned(), Mark::Text), ("password".to_owned(), Mark::Secret)]);
        arguments("sample", given, schema().as_object().unwrap(), &marks).map(Value::Object)
    }

    #[test]
    fn what_can_mean_one_thing_is_taken() {
        for (given, taken) in [
            (json!({ "limit": "5" }), json!({ "limit": 5 })),
            (json!({ "limit": " 5 " }), json!({ "limit": 5 })),
            (json!({ "limit": 5.0 }), json!({ "limit": 5 })),
            (json!({ "limit": "5.0" }), json!({ "limit": 5 })),
            (json!({ "ratio": "0.5" }), json!({ "ratio": 0.5 })),
            (json!({ "ratio": 2 }), json!({ "ratio": 2 })),
            (json!({ "thin": "True" }), json!({ "thin": true })),
            (json!({ "thin": "false" }), json!({ "thin": false })),
            (json!({ "vms": "web-1" }), json!({ "vms": ["web-1"] })),
            (json!({ "vms": "a, b" }), json!({ "vms": ["a, b"] })),
            (json!({ "vms": "[\"a\", \"b\"]" }), json!({ "vms": ["a", "b"] })),
            (json!({ "vms": ["a", 7] }), json!({ "vms": ["a", "7"] })),
            (json!({ "fields": "name, guest_os" }), json!({ "fields": ["name", "guest_os"] })),
            (json!({ "fields": "guestOs" }), json!({ "fields": ["guest_os"] })),
            (json!({ "vm": ["web-1"] }), json!({ "vm": "web-1" })),
            (json!({ "vm": 2000 }), json!({ "vm": "2000" })),
            (json!({ "vm": "a\\u{202e}b" }), json!({ "vm": "a\u{202e}b" })),
            (json!({ "state": "poweredOn" }), json!({ "state": "powered_on" })),
            (json!({ "state": "hot" }), json!({ "state": "hot" })),
        ] {
            assert_eq!(meant(given.clone()), Ok(taken), "{given}");
        }
    }

    #[test]
    fn what_is_empty_is_not_given() {
        for nothing in [json!(null), json!(""), json!([])] {
            for argument in ["vms", "state", "fields", "limit", "ratio", "thin", "max_count"] {
                assert_eq!(meant(json!({ argument: nothing })), Ok(json!({})), "{argument}: {nothing}");
            }
            let error = meant(json!({ "vm_name": nothing })).unwrap_err();
            assert_eq!(error, "the argument `vm` is empty, but needed. Virtual machine: name, path or id.");
        }
        assert_eq!(meant(json!({ "limit": "null", "vms": "[]" })), Ok(json!({})));
    }

    #[test]
    fn an_empty_free_text_is_a_value() {
        assert_eq!(meant(json!({ "annotation": "" })), Ok(json!({ "annotation": "" })));
        assert_eq!(meant(json!({ "annotation": "a\\u{202e}" })), Ok(json!({ "annotation": "a\\u{202e}" })));
        assert_eq!(meant(json!({ "annotation": null })), Ok(json!({})));
    }

    #[test]
    fn older_names_stand_for_the_present_ones() {
        let older = json!({ "name": "a", "max_count": "5" });
        assert_eq!(meant(older), Ok(json!({ "vm": "a", "count": 5 })));
        assert_eq!(meant(json!({ "vm": "a", "vm_name": "a" })), Ok(json!({ "vm": "a" })));
        assert_eq!(
            meant(json!({ "vm": "a", "vm_name": "" })).unwrap_err(),
            "the argument `vm` is empty, but needed. Virtual machine: name, path or id."
        );
        let error = meant(json!({ "vm": "a", "vm_name": "b" })).unwrap_err();
        assert_eq!(error, "`vm` is given twice, with two values: `vm_name` is another name of it");
    }

    #[test]
    fn an_unknown_argument_is_refused_whatever_its_value() {
        for (argument, near) in [("other", None), ("limits", Some("limit")), ("vm_names", None)] {
            let error = meant(json!({ argument: "" })).unwrap_err();
            assert!(error.starts_with(&format!("unknown argument `{argument}`")), "{error}");
            assert!(near.is_none_or(|near| error.contains(&format!("did you mean `{near}`?"))), "{error}");
        }
    }

    #[test]
    fn an_error_quotes_no_secret() {
        let error = meant(json!({ "password": ["hunter2", "hunter3"] })).unwrap_err();
        assert_eq!(error, "`password` must be a text");
    }

    #[test]
    fn an_error_says_what_to_send() {
        for (given, error) in [
            (json!({ "limit": "ten" }), "`limit` must be a whole number, such as 1, not \"ten\""),
            (json!({ "limit": 2.5 }), "`limit` must be a whole number, such as 1, not 2.5"),
            (json!({ "limit": 1e300 }), "`limit` must be a whole number, such as 1, not 1e+300"),
            (json!({ "max_count": [5] }), "`count` must be a whole number, such as 1, not [5]"),
            (json!({ "ratio": "half" }), "`ratio` must be a number, such as 1.5, not \"half\""),
            (json!({ "thin": "maybe" }), "`thin` must be true or false, not \"maybe\""),
            (json!({ "vm": ["a", "b"] }), "`vm` takes one text; several go into `vms`"),
            (json!({ "state": ["a", "b"] }), "`state` takes one text, not a list of several"),
            (json!({ "vm": { "name": "a" } }), "`vm` must be a text, such as \"web-1\", not {\"name\":\"a\"}"),
            (json!({ "vms": { "a": 1 } }), "`vms` must be a list, such as [\"web-1\", \"web-2\"], not {\"a\":1}"),
            (json!({ "vms": ["a", ""] }), "`vms` has an empty item: leave it out"),
            (json!({ "vms": ["a", true] }), "`vms` has an item that must be a text, such as \"web-1\", not true"),
        ] {
            assert_eq!(meant(given.clone()).unwrap_err(), error, "{given}");
        }
        let long = meant(json!({ "limit": "\u{202e}".repeat(1000) })).unwrap_err();
        assert!(long.chars().count() < 150 && !long.contains('\u{202e}'), "{long}");
    }
}
