//! Cleaning the schemas that schemars makes: what tells a model nothing costs tokens, and some of it makes clients refuse
//! all tools. `tests/schema-rules/README.md` has what they refuse, and where that is known from.

use std::collections::BTreeMap;

use rmcp::model::JsonObject;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The keyword by which the type of an argument says how the server has to treat it. Clients never see it.
pub(crate) const MARK: &str = "x-mcvsphere";

/// How the server has to treat an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It appears in no log, audit line, preview or error.
    Secret,
    /// Only its beginning is logged: it may hold what nobody meant to be logged, and much of it.
    Cut,
    /// JSON in a text, for which the value itself may be sent. It appears nowhere but as the tool itself shows it.
    Json,
    /// Free text: it is kept letter by letter, and an empty one means that the text is to go.
    Text,
}

/// The marks of a tool's arguments, by name.
pub(crate) type Marks = BTreeMap<String, Mark>;

/// Makes the schema of one type.
pub(crate) type Make = fn(&mut SchemaGenerator) -> Schema;

/// The schema of what is read into a type, which has to be an object.
pub(crate) fn of_input(make: Make) -> JsonObject {
    match whole(SchemaSettings::draft2020_12(), make) {
        Value::Object(mut schema) => {
            // What a type says of itself is no use to a model, which knows the tool.
            schema.remove("description");
            schema
        }
        _ => JsonObject::new(),
    }
}

/// The schema of what is written of a type, with all that it refers to in its place.
pub(crate) fn of_output<T: JsonSchema>() -> Value {
    whole(
        SchemaSettings::draft2020_12().for_serialize().with(|settings| settings.inline_subschemas = true),
        T::json_schema,
    )
}

/// The schema that is made with these settings, and the definitions that it refers to.
///
/// As `SchemaGenerator::into_root_schema_for`, which is compiled once more for each type. Written by serde, its keywords have the
/// order in which people read them.
fn whole(settings: SchemaSettings, make: Make) -> Value {
    let mut generator = settings.into_generator();
    let mut schema = make(&mut generator);
    let definitions = generator.take_definitions(true);
    if !definitions.is_empty() {
        schema.insert("$defs".to_owned(), definitions.into());
    }
    serde_json::to_value(schema).unwrap_or_default()
}

/// The input schema as clients see it, and the marks of the arguments.
pub(crate) fn for_clients(schema: &JsonObject) -> (JsonObject, Marks) {
    let mut input = cleaned(schema);
    // Both are there also where a tool takes no arguments: without `properties`, one API refuses the whole list.
    input.insert("type".to_owned(), "object".into());
    let properties = input.entry("properties").or_insert_with(|| Map::new().into());
    let mut marks = Marks::new();
    for (name, property) in properties.as_object_mut().into_iter().flatten() {
        if let Some(mark) = take_mark(property) {
            marks.insert(name.clone(), mark);
        }
        drop_repetition(name, property);
    }
    close_silently(&mut input);
    (input, marks)
}

/// Takes the description away where the name has all its words: what an argument of this name is the instructions say.
fn drop_repetition(name: &str, schema: &mut Value) {
    let Some(Value::Object(schema)) = Some(schema) else { return };
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let is_said = |word: &str| name.split('_').any(|part| part.eq_ignore_ascii_case(word));
    if !text.is_empty() && text.trim_end_matches('.').split_whitespace().all(is_said) {
        schema.remove("description");
    }
}

/// Takes the mark of an argument out of its schema: its own, or that of a part of it.
fn take_mark(schema: &mut Value) -> Option<Mark> {
    match schema {
        Value::Object(object) => {
            let own = match object.remove(MARK).as_ref().and_then(Value::as_str) {
                Some("secret") => Some(Mark::Secret),
                Some("cut") => Some(Mark::Cut),
                Some("text") => Some(Mark::Text),
                Some("json") => Some(Mark::Json),
                _ => None,
            };
            object.values_mut().fold(own, |mark, part| mark.or(take_mark(part)))
        }
        Value::Array(parts) => parts.iter_mut().fold(None, |mark, part| mark.or(take_mark(part))),
        _ => None,
    }
}

/// Adds an optional argument to an input schema, which is taken out of calls before the tool sees them: one of the tool's
/// own by that name would never reach it.
pub(crate) fn add(schema: &mut JsonObject, name: &str, kind: &str, meaning: Option<&str>) {
    let properties = schema.entry("properties").or_insert_with(|| Map::new().into());
    if let Some(properties) = properties.as_object_mut() {
        let mut argument = json!({ "type": kind });
        if let Some(meaning) = meaning {
            argument["description"] = meaning.into();
        }
        properties.insert(name.to_owned(), argument);
    }
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

fn cleaned(schema: &JsonObject) -> JsonObject {
    let mut root = schema.clone();
    let definitions = match root.remove("$defs") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    clean_object(&mut root, &definitions, 0);
    root
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
    // What is not said is not so.
    if object.get("default").is_some_and(|default| default == false) {
        object.remove("default");
    }
    // No count is negative, and an error says so where one is.
    if object.get("minimum").is_some_and(|least| least == 0) {
        object.remove("minimum");
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
            Value::Object(cleaned(&schema)),
            json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["title"],
                "properties": {
                    "limit": { "type": "integer", "description": "How many." },
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

    #[test]
    fn a_description_says_more_than_the_name() {
        let schema = json!({ "type": "object", "properties": {
            "vm": { "type": "string", "description": "VM." },
            "source_datastore": { "type": "string", "description": "Datastore." },
            "host": { "type": "string", "description": "The only one by default." },
        } });
        let (input, _) = for_clients(schema.as_object().unwrap());
        assert_eq!(input["properties"]["vm"], json!({ "type": "string" }));
        assert_eq!(input["properties"]["source_datastore"], json!({ "type": "string" }));
        assert_eq!(input["properties"]["host"]["description"], "The only one by default.");
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    #[test]
    fn a_tool_without_arguments_still_has_properties() {
        let schema = rmcp::handler::server::tool::schema_for_input::<Nothing>().unwrap();
        let (input, marks) = for_clients(&schema);
        assert_eq!(json!(input), json!({ "type": "object", "properties": {} }));
        assert!(marks.is_empty());
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
        let (input, _) = for_clients(schema.as_object().unwrap());
        assert_eq!(
            input["properties"],
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
