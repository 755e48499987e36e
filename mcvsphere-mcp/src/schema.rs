//! Cleaning the schemas that schemars makes: what tells a model nothing costs tokens, and some of it makes clients refuse
//! all tools. `tests/schema-rules/README.md` has what they refuse, and where that is known from.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool};
use serde_json::{Map, Value, json};

/// Cleans the tool's description and schemas.
pub(crate) fn clean(tool: &mut Tool) {
    tool.description = tool.description.take().map(|text| unwrapped(&text).into());
    let mut input = Arc::unwrap_or_clone(cleaned(&tool.input_schema));
    // Both are there also where a tool takes no arguments: without `properties`, one API refuses the whole list.
    input.insert("type".to_owned(), "object".into());
    input.entry("properties").or_insert_with(|| Map::new().into());
    close_silently(&mut input);
    tool.input_schema = Arc::new(input);
    tool.output_schema = tool.output_schema.as_ref().map(cleaned);
}

/// Adds an optional argument to a tool, which is taken out of its calls before the tool sees them.
///
/// # Errors
/// The tool has an argument of that name.
pub(crate) fn add_text(tool: &mut Tool, name: &str, meaning: &str) -> Result<(), String> {
    let schema = Arc::make_mut(&mut tool.input_schema);
    let properties = schema.entry("properties").or_insert_with(|| Map::new().into());
    let Some(properties) = properties.as_object_mut().filter(|properties| !properties.contains_key(name)) else {
        return Err(format!("its argument `{name}` is the choke point's own"));
    };
    properties.insert(name.to_owned(), json!({ "type": "string", "description": meaning }));
    Ok(())
}

/// Takes `additionalProperties` away at every depth. One API does not know the word and refuses the whole list; that an
/// unknown argument is an error is the server's to enforce, and it does.
fn close_silently(schema: &mut JsonObject) {
    schema.remove("additionalProperties");
    for (key, value) in schema.iter_mut() {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                properties.values_mut().filter_map(Value::as_object_mut).for_each(close_silently);
            }
            ("items", Value::Object(items)) => close_silently(items),
            _ => {}
        }
    }
}

fn cleaned(schema: &Arc<JsonObject>) -> Arc<JsonObject> {
    let mut root = schema.as_ref().clone();
    let definitions = match root.remove("$defs") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    clean_object(&mut root, &definitions, 0);
    Arc::new(root)
}

/// A text without the line breaks that only fit it into the source; paragraphs stay. The Rust that an example shows is
/// nothing for a model.
fn unwrapped(text: &str) -> String {
    let text = text.split("```").next().unwrap_or_default();
    let paragraphs = text.trim().split("\n\n");
    paragraphs.map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n")
}

/// References deeper than this are a cycle; none of our arguments has one.
const DEEPEST: usize = 16;

fn clean_object(object: &mut JsonObject, definitions: &JsonObject, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    inline_reference(object, definitions);
    drop_null(object);
    // After the null is gone, what is left may be a reference.
    inline_reference(object, definitions);
    // A list of documented constants reads better as one enum, which is also what clients show as a choice.
    join_constants(object);
    for noise in ["$schema", "title", "format"] {
        object.remove(noise);
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::String(description)) = object.get_mut("description") {
        *description = unwrapped(description);
    }
    for (key, value) in object.iter_mut() {
        match (key.as_str(), value) {
            // The keys in here are names, not keywords: an argument may well be called `title`.
            ("properties", Value::Object(properties)) => {
                for property in properties.values_mut().filter_map(Value::as_object_mut) {
                    clean_object(property, definitions, depth + 1);
                }
            }
            ("items" | "additionalProperties", Value::Object(schema)) => {
                clean_object(schema, definitions, depth + 1);
            }
            ("anyOf" | "oneOf" | "allOf", Value::Array(schemas)) => {
                for schema in schemas.iter_mut().filter_map(Value::as_object_mut) {
                    clean_object(schema, definitions, depth + 1);
                }
            }
            _ => {}
        }
    }
}

/// Puts a definition where it is used; its own description yields to the one at that place.
fn inline_reference(object: &mut JsonObject, definitions: &JsonObject) {
    let Some(Value::String(reference)) = object.get("$ref") else {
        return;
    };
    let name = reference.trim_start_matches("#/$defs/");
    let Some(Value::Object(definition)) = definitions.get(name) else {
        return;
    };
    let definition = definition.clone();
    object.remove("$ref");
    for (key, value) in definition {
        object.entry(key).or_insert(value);
    }
}

/// An optional argument is one that is not required; that it may also be null helps nobody.
fn drop_null(object: &mut JsonObject) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
}

fn join_constants(object: &mut JsonObject) {
    let Some(Value::Array(choices)) = object.get("oneOf") else {
        return;
    };
    let constants: Option<Vec<Value>> = choices.iter().map(|choice| choice.get("const").cloned()).collect();
    if let Some(constants) = constants {
        object.remove("oneOf");
        object.insert("type".to_owned(), Value::from("string"));
        object.insert("enum".to_owned(), Value::Array(constants));
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema matters")]
    #[serde(deny_unknown_fields)]
    struct Sample {
        /// How
        /// many.
        #[serde(default)]
        limit: Option<u32>,
        /// An argument with the name of a keyword.
        title: String,
        /// Which state.
        state: Option<State>,
        /// Which fields.
        fields: Option<Vec<State>>,
    }

    /// A type's own words.
    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum State {
        /// Is on.
        On,
        /// Is off.
        Off,
    }

    #[test]
    fn noise_is_gone_and_meaning_stays() {
        let schema = rmcp::handler::server::tool::schema_for_input::<Sample>().unwrap();
        assert_eq!(
            Value::Object(cleaned(&schema).as_ref().clone()),
            json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["title"],
                "properties": {
                    "limit": { "type": "integer", "minimum": 0, "description": "How many." },
                    "title": {
                        "type": "string",
                        "description": "An argument with the name of a keyword."
                    },
                    "state": {
                        "type": "string", "enum": ["on", "off"], "description": "Which state."
                    },
                    "fields": {
                        "type": "array",
                        "items": {
                            "type": "string", "enum": ["on", "off"],
                            "description": "A type's own words."
                        },
                        "description": "Which fields."
                    },
                }
            })
        );
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    #[test]
    fn a_tool_without_arguments_still_has_properties() {
        let schema = rmcp::handler::server::tool::schema_for_input::<Nothing>().unwrap();
        let mut tool = Tool::new("sample", "Fails.", schema);
        clean(&mut tool);
        assert_eq!(json!(tool.input_schema), json!({ "type": "object", "properties": {} }));
    }

    #[test]
    fn no_depth_of_an_input_says_additional_properties() {
        let schema = json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "additionalProperties": { "type": "string" },
                "list": { "type": "array", "items": { "type": "object", "additionalProperties": { "type": "string" } } },
            }
        });
        let mut tool = Tool::new("sample", "Fails.", Arc::new(schema.as_object().unwrap().clone()));
        clean(&mut tool);
        assert_eq!(
            json!(tool.input_schema["properties"]),
            json!({
                "additionalProperties": { "type": "string" },
                "list": { "type": "array", "items": { "type": "object" } },
            })
        );
    }

    #[test]
    fn a_description_is_its_words_alone() {
        assert_eq!(unwrapped("How\nit is.\n\nMore.\n\n```\nlet a = 1;\n```\n"), "How it is.\n\nMore.");
    }
}
