//! Output schemas: only where they are asked for, and true of what the tools answer.

use mcvsphere_mcp::Server;
use rmcp::model::{CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation};
use serde_json::{Value, json};

use crate::{connect, connect_as, lab::Lab, settings_with};

#[tokio::test]
async fn schemas_are_told_where_a_setting_wants_them() {
    let without = connect(Server::new(&settings_with(&[])).unwrap()).await;
    let with = connect(Server::new(&settings_with(&[("MCP_OUTPUT_SCHEMAS", "true")])).unwrap()).await;
    let without = without.list_all_tools().await.unwrap();
    let mut with = with.list_all_tools().await.unwrap();
    assert!(without.iter().all(|tool| tool.output_schema.is_none()));
    let untold: Vec<String> =
        with.iter().filter(|tool| tool.output_schema.is_none()).map(|tool| tool.name.to_string()).collect();
    assert_eq!(untold, ["vm_screenshot"], "a picture has no schema, and data has one");
    with.iter_mut().for_each(|tool| tool.output_schema = None);
    assert_eq!(with, without, "and nothing else is different");
}

/// The answer that a client with this name gets, with what it says and whether it is structured.
async fn seen_by(client: &str, settings: &[(&str, &str)]) -> (String, bool) {
    let lab = Lab::new().await;
    lab.machine("web-1").await;
    let info = ClientConfig::new(ClientCapabilities::default(), Implementation::new(client.to_owned(), "1"));
    let client = connect_as(lab.server(settings), info).await;
    let answer = client.call_tool(CallToolRequestParams::new("list_vms")).await.unwrap();
    let text = answer.content.iter().filter_map(|block| block.as_text()).map(|block| block.text.as_str()).collect();
    (text, answer.structured_content.is_some())
}

#[tokio::test]
async fn a_client_whose_model_reads_all_of_an_answer_gets_it_once() {
    let (text, is_structured) = seen_by("a program", &[]).await;
    assert!(is_structured && text.contains("web-1"), "{text}");
    let (same, is_structured) = seen_by("claude-code", &[]).await;
    assert!(!is_structured && same.lines().next() == text.lines().next(), "{same}");
    assert!(same.contains("web-1") && same.contains("total: 1"), "{same}");
    // A setting has the last word, but for what a schema is published for.
    assert!(seen_by("claude-code", &[("MCP_STRUCTURED_CONTENT", "always")]).await.1);
    assert!(!seen_by("a program", &[("MCP_STRUCTURED_CONTENT", "never")]).await.1);
    assert!(seen_by("claude-code", &[("MCP_OUTPUT_SCHEMAS", "true")]).await.1);
}

#[tokio::test]
async fn answers_are_as_their_schemas_say() {
    // A client that can't ask gets a question in the place of a report, unless nobody wants to be asked.
    answers_fit("ask").await;
    answers_fit("never").await;
}

async fn answers_fit(confirm: &str) {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    lab.machine("web-2").await;
    let client = connect(lab.server(&[("MCP_OUTPUT_SCHEMAS", "true"), ("MCP_CONFIRM", confirm)])).await;
    let tools = client.list_all_tools().await.unwrap();
    let call = async |tool: &str, arguments: Value| -> CallToolResult {
        let arguments = arguments.as_object().unwrap().clone();
        client.call_tool(CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments)).await.unwrap()
    };
    for (tool, arguments) in [
        ("list_vms", json!({})),
        ("list_vms", json!({ "limit": 1, "fields": ["name", "ip"] })),
        ("get_vm_info", json!({ "vm": "web-1" })),
        ("get_vm_info", json!({ "vm": "web-2" })),
        ("list_hosts", json!({})),
        ("get_vcenter_info", json!({})),
        ("power_on_vm", json!({ "vm": "web-1" })),
        ("power_on_vm", json!({ "vms": ["web-1", "web-9"] })),
        ("create_snapshot", json!({ "vms": ["web-1", "web-2", "web-9"], "snapshot_name": "a", "description": "why" })),
        ("create_snapshot", json!({ "vm": "web-1", "snapshot_name": "b" })),
        ("list_snapshots", json!({ "vm": "web-1" })),
        ("list_snapshots", json!({ "vm": "web-1", "fields": ["name", "description", "size_bytes"] })),
        ("rename_snapshot", json!({ "vm": "web-1", "snapshot": "a", "new_name": "A" })),
        ("revert_to_snapshot", json!({ "vm": "web-1", "snapshot": "A" })),
        ("delete_all_snapshots", json!({ "vm": "web-1" })),
        ("get_vm_stats", json!({ "vm": "web-1" })),
        ("get_host_stats", json!({ "host": "DC0_C0_H0" })),
        ("get_vm_tools_status", json!({ "vm": "web-1" })),
        ("wait_for_vm_tools", json!({ "vm": "web-1" })),
        ("get_alarms", json!({})),
        ("get_recent_events", json!({})),
        ("get_datastore_info", json!({ "datastore": "DC0_DS0" })),
        ("get_network_info", json!({ "network": "VM Network" })),
        ("get_resource_pool_info", json!({})),
        ("create_vm", json!({ "name": "db-1", "network": "VM Network" })),
        ("clone_vm", json!({ "template": "db-1", "new_name": "db-2" })),
        ("rename_vm", json!({ "vm": "db-2", "new_name": "db-3" })),
        ("reconfigure_vm", json!({ "vm": "db-1", "cpu": 4, "annotation": "why" })),
        ("add_disk", json!({ "vm": "db-1", "size_gb": 1 })),
        ("resize_disk", json!({ "vm": "db-1", "disk": "Hard disk 2", "new_size_gb": 2 })),
        ("list_disks", json!({ "vm": "db-1" })),
        ("get_disk_info", json!({ "vm": "db-1", "disk": "Hard disk 1" })),
        ("remove_disk", json!({ "vm": "db-1", "disk": "Hard disk 2" })),
        ("add_nic", json!({ "vm": "db-1", "network": "VM Network" })),
        ("list_nics", json!({ "vm": "db-1" })),
        ("list_nics", json!({ "vm": "db-1", "fields": ["label", "type", "problem"] })),
        ("get_nic_info", json!({ "vm": "db-1", "nic": "Network adapter 1" })),
        ("connect_nic", json!({ "vm": "db-1", "nic": "Network adapter 1", "connected": false })),
        ("setup_serial_port", json!({ "vm": "db-1" })),
        ("get_serial_port", json!({ "vm": "db-1" })),
        ("remove_serial_port", json!({ "vm": "db-1" })),
        ("convert_to_template", json!({ "vm": "db-1" })),
        ("list_templates", json!({})),
        ("delete_vm", json!({ "vm": "db-1" })),
        ("power_off_vm", json!({ "vm": "web-1" })),
        ("power_off_vm", json!({ "vm": "web-2" })),
    ] {
        let answer = call(tool, arguments.clone()).await.structured_content.unwrap();
        let schema = tools.iter().find(|it| it.name == tool).unwrap().output_schema.clone().unwrap();
        let schema = Value::Object(schema.as_ref().clone());
        if let Err(why) = fits(&answer, &schema) {
            panic!("{tool} {arguments}: {why}\n{answer:#}\n{schema:#}");
        }
        assert!(fits(&json!({ "failed": "no" }), &schema).is_err(), "{tool}: its schema takes anything");
        assert!(fits(&json!([]), &schema).is_err(), "{tool}: its schema takes anything");
    }
}

/// What of JSON Schema the schemas use. Beyond it, a field that no schema names is a fault: it was forgotten.
fn fits(value: &Value, schema: &Value) -> Result<(), String> {
    if let Some(choices) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array) {
        let faults: Vec<String> = choices.iter().filter_map(|choice| fits(value, choice).err()).collect();
        return if faults.len() < choices.len() { Ok(()) } else { Err(faults.join("; ")) };
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return Err(format!("{value} is not {}", schema["const"]));
    }
    let type_of = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |name: &Value| name == type_of || (name == "number" && type_of == "integer");
    match schema.get("type") {
        Some(Value::Array(names)) if names.iter().any(is) => {}
        Some(name @ Value::String(_)) if is(name) => {}
        None => {}
        Some(other) => return Err(format!("{value} is no {other}")),
    }
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value.get(name).is_none() {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        match schema.get("properties").and_then(|properties| properties.get(name)) {
            Some(schema) => fits(value, schema).map_err(|why| format!("{name}: {why}"))?,
            None if schema["properties"].get("plan_token").is_some() => {}
            None => return Err(format!("{name} is not in the schema")),
        }
    }
    match schema.get("items") {
        Some(schema) => value.as_array().into_iter().flatten().try_for_each(|item| fits(item, schema)),
        None => Ok(()),
    }
}
