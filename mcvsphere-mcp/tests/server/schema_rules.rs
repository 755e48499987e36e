//! No client refuses a schema: the rules and their sources are in `tests/schema-rules/README.md`.

use mcvsphere_mcp::Server;
use rmcp::model::Tool;
use serde_json::{Value, json};

use crate::{connect, settings_with};

/// The keywords that the schema type of each API knows.
const KEYWORDS: [&str; 14] = [
    "type",
    "properties",
    "required",
    "items",
    "enum",
    "description",
    "default",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "pattern",
];

async fn tools(environment: &[(&str, &str)]) -> Vec<Tool> {
    let environment = [environment, &[("MCP_TOOLSETS", "all,api")]].concat();
    let client = connect(Server::new(&settings_with(&environment)).unwrap()).await;
    client.list_all_tools().await.unwrap()
}

#[tokio::test]
async fn no_client_refuses_the_schema_of_a_tool() {
    for confirm in ["ask", "always", "never"] {
        let tools = tools(&[("MCP_CONFIRM", confirm)]).await;
        // VS Code sends no more than 128 to a model. Those of `api` are for whom asks for them, who can leave out a toolset.
        let usual = tools.iter().filter(|tool| !tool.name.ends_with("_api")).count();
        assert!((50..=128).contains(&usual), "{usual}");
        let with_confirm = tools.iter().filter(|tool| tool.input_schema["properties"].get("confirm").is_some()).count();
        match confirm {
            "never" => assert_eq!(with_confirm, 0),
            "always" => assert!(with_confirm > 30, "{with_confirm}"),
            _ => assert!(with_confirm > 5, "{with_confirm}"),
        }
        let faults: Vec<String> = tools.iter().flat_map(faults).collect();
        assert!(faults.is_empty(), "MCP_CONFIRM={confirm}:\n{}", faults.join("\n"));
    }
}

#[tokio::test]
async fn no_client_refuses_an_output_schema() {
    for confirm in ["ask", "always", "never"] {
        for tool in tools(&[("MCP_CONFIRM", confirm), ("MCP_OUTPUT_SCHEMAS", "true")]).await {
            let Some(schema) = tool.output_schema else {
                assert_eq!(tool.name, "vm_screenshot", "a picture has no schema, and data has one");
                continue;
            };
            let schema = Value::Object(schema.as_ref().clone());
            assert_eq!(schema["type"], "object", "{}", tool.name);
            let mut faults = Vec::new();
            output_faults(&tool.name, &schema, &mut faults);
            assert!(faults.is_empty(), "{}", faults.join("\n"));
        }
    }
}

#[test]
fn the_rules_find_what_clients_have_refused() {
    let faulty = [
        json!({ "type": "object" }),
        json!({ "properties": {} }),
        json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        json!({ "type": "object", "properties": {}, "anyOf": [{ "required": [] }] }),
        json!({ "type": "object", "properties": {}, "required": ["a"] }),
        json!({ "type": "object", "properties": { "a b": { "type": "string" } } }),
    ];
    let faulty_arguments = [
        json!({ "type": ["string", "null"] }),
        json!({ "$ref": "#/$defs/A" }),
        json!({ "type": "array" }),
        json!({ "type": "array", "items": {} }),
        json!({ "type": "array", "items": [{ "type": "string" }] }),
        json!({ "type": "array", "items": { "type": "string" }, "prefixItems": [] }),
        json!({ "type": "integer", "enum": [1, 2] }),
        json!({ "type": "string", "enum": ["a", null] }),
        json!({ "type": "string", "enum": ["", "a"] }),
        json!({ "enum": ["a"] }),
        json!({ "type": "string", "format": "uri" }),
        json!({ "type": "integer", "format": "uint32" }),
        json!({ "type": "integer", "exclusiveMinimum": 0 }),
        json!({ "type": "string", "default": null }),
        json!({ "type": "string", "default": 5 }),
        json!({ "type": "object", "properties": {} }),
        json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }] }),
        json!({ "const": "a" }),
    ];
    let faulty_arguments =
        faulty_arguments.iter().map(|argument| json!({ "type": "object", "properties": { "a": argument } }));
    for schema in faulty.into_iter().chain(faulty_arguments) {
        let tool = Tool::new("sample", "Does.", std::sync::Arc::new(schema.as_object().unwrap().clone()));
        assert!(!faults(&tool).is_empty(), "{schema}");
    }
}

/// All that some client refuses of a tool.
fn faults(tool: &Tool) -> Vec<String> {
    let mut faults = Vec::new();
    let name = &*tool.name;
    if !is_name(name) || name.len() > 48 {
        faults.push(format!("{name}: its name"));
    }
    if tool.description.as_ref().is_none_or(|text| text.is_empty() || text.chars().count() > 1024) {
        faults.push(format!("{name}: its description"));
    }
    let schema = Value::Object(tool.input_schema.as_ref().clone());
    if schema["type"] != "object" || !schema["properties"].is_object() {
        faults.push(format!("{name}: no object with properties"));
    }
    input_faults(name, &schema, true, &mut faults);
    faults
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
}

fn input_faults(path: &str, schema: &Value, is_root: bool, faults: &mut Vec<String>) {
    let mut fault = |what: &str| faults.push(format!("{path}: {what} in {schema}"));
    let Some(object) = schema.as_object() else {
        return fault("no object");
    };
    for keyword in object.keys().filter(|keyword| !KEYWORDS.contains(&keyword.as_str())) {
        fault(&format!("the keyword {keyword}"));
    }
    let kind = schema["type"].as_str().unwrap_or_default();
    if !["object", "array", "string", "integer", "number", "boolean"].contains(&kind) {
        fault("not one type");
    }
    if let Some(values) = schema.get("enum") {
        let are_strings = values
            .as_array()
            .is_some_and(|values| values.iter().all(|it| it.as_str().is_some_and(|it| !it.is_empty())));
        if kind != "string" || !are_strings {
            fault("an enum that is not of strings");
        }
    }
    if let Some(default) = schema.get("default") {
        let fits = match kind {
            "string" => default.is_string(),
            "integer" => default.is_i64() || default.is_u64(),
            "number" => default.is_number(),
            "boolean" => default.is_boolean(),
            "array" => default.is_array(),
            _ => default.is_object(),
        };
        if !fits {
            fault("a default of another type");
        }
    }
    let properties = schema["properties"].as_object();
    if kind == "object" && !is_root && properties.is_none_or(serde_json::Map::is_empty) {
        fault("an object without properties");
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if properties.is_none_or(|properties| !properties.contains_key(name.as_str().unwrap_or_default())) {
            fault("a required argument that there is not");
        }
    }
    if kind == "array" && !schema["items"].is_object() {
        fault("an array without items");
    }
    if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
        input_faults(&format!("{path}[]"), items, false, faults);
    }
    for (name, property) in properties.into_iter().flatten() {
        if !is_name(name) {
            faults.push(format!("{path}.{name}: its name"));
        }
        input_faults(&format!("{path}.{name}"), property, false, faults);
    }
}

fn output_faults(path: &str, schema: &Value, faults: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            for refused in ["$ref", "$defs", "$schema", "prefixItems"] {
                if object.get(refused).is_some_and(|value| !value.get("type").is_some_and(Value::is_string)) {
                    faults.push(format!("{path}: {refused}"));
                }
            }
            let is_array =
                |kind: &Value| kind == "array" || kind.as_array().is_some_and(|it| it.contains(&json!("array")));
            if object.get("type").is_some_and(is_array) && !object.get("items").is_some_and(Value::is_object) {
                faults.push(format!("{path}: an array without items"));
            }
            for (name, value) in object {
                output_faults(&format!("{path}.{name}"), value, faults);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| output_faults(path, item, faults)),
        _ => {}
    }
}
