//! What models send in the place of what a schema asks for.

use std::collections::BTreeSet;

use mcvsphere_mcp::Server;
use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, Tool},
    service::RunningService,
};
use serde_json::{Map, Value, json};

use crate::{connect, lab::Lab, settings_with};

type Client = RunningService<RoleClient, ()>;

/// A client of a server that asks no questions and knows no vCenter: a call whose arguments are taken fails with `config`.
async fn client() -> Client {
    connect(Server::new(&settings_with(&[("MCP_CONFIRM", "never")])).unwrap()).await
}

/// The code and the message of a call that fails.
async fn failure(client: &Client, tool: &str, arguments: &Map<String, Value>) -> (String, String) {
    let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.clone());
    let content = client.call_tool(request).await.unwrap().structured_content.unwrap();
    let text = |key: &str| content[key].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"))
}

fn properties(tool: &Tool) -> &Map<String, Value> {
    tool.input_schema["properties"].as_object().unwrap()
}

fn required(tool: &Tool) -> Vec<&str> {
    let names = tool.input_schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The least that a tool can be called with.
fn least(tool: &Tool) -> Map<String, Value> {
    let mut names = required(tool);
    // Some take several only, or mean something else by it.
    if ["vm", "vms"].iter().all(|name| properties(tool).contains_key(*name)) {
        names.push("vm");
    }
    let value = |name: &str| match properties(tool)[name]["type"].as_str().unwrap() {
        "integer" | "number" => json!(1),
        "boolean" => json!(true),
        "array" => json!(["a"]),
        _ => properties(tool)[name].pointer("/enum/0").cloned().unwrap_or_else(|| json!("00:50:56:00:00:01")),
    };
    names.into_iter().map(|name| (name.to_owned(), value(name))).collect()
}

fn with(arguments: &Map<String, Value>, name: &str, value: Value) -> Map<String, Value> {
    let mut arguments = arguments.clone();
    arguments.insert(name.to_owned(), value);
    arguments
}

#[tokio::test]
async fn no_tool_takes_an_argument_that_it_does_not_know() {
    let client = client().await;
    for tool in client.list_all_tools().await.unwrap() {
        let arguments = with(&least(&tool), "no_such_argument", json!("a"));
        let (code, message) = failure(&client, &tool.name, &arguments).await;
        assert_eq!(code, "invalid_argument", "{}: {message}", tool.name);
        assert!(message.contains("unknown argument `no_such_argument`"), "{}: {message}", tool.name);
    }
}

#[tokio::test]
async fn an_empty_value_of_any_tool_is_as_if_not_given() {
    let client = client().await;
    for tool in client.list_all_tools().await.unwrap() {
        let least = least(&tool);
        let plain = failure(&client, &tool.name, &least).await;
        for (name, schema) in properties(&tool) {
            let is_free = ["annotation", "description", "new_description", "value"].contains(&name.as_str());
            for nothing in [json!(null), json!(""), json!([])] {
                let given = with(&least, name, nothing.clone());
                let answer = failure(&client, &tool.name, &given).await;
                let what = format!("{} {name}={nothing}: {answer:?}", tool.name);
                if required(&tool).contains(&name.as_str()) && !(is_free && nothing == "") {
                    assert_eq!(answer.0, "invalid_argument", "{what}");
                    assert!(answer.1.contains(&format!("`{name}` is empty")), "{what}");
                } else if name == "vm" && properties(&tool).contains_key("vms") {
                    assert!(answer.1.contains("`vm` or `vms`"), "{what}");
                } else if !(is_free && nothing == "") {
                    assert_eq!(answer, plain, "{what}");
                }
            }
            // Where an empty text is a value, the argument is one of those that are kept as they are.
            let says = schema["description"].as_str().unwrap_or_default().to_lowercase();
            let is_about_text =
                ["empty", "note", "description", "what it is for"].iter().any(|word| says.contains(word));
            assert!(!is_about_text || is_free, "{} {name}: {says}", tool.name);
        }
    }
}

#[tokio::test]
async fn numbers_truths_and_lists_of_any_tool_are_taken_in_the_forms_that_models_send() {
    let client = client().await;
    let mut seen = BTreeSet::new();
    for tool in client.list_all_tools().await.unwrap() {
        let least = least(&tool);
        for (name, schema) in properties(&tool) {
            let kind = schema["type"].as_str().unwrap();
            seen.insert(kind.to_owned());
            let forms = match kind {
                "integer" | "number" => vec![(json!(5), json!("5")), (json!(5), json!(5.0)), (json!(5), json!("5.0"))],
                "boolean" => vec![(json!(true), json!("true")), (json!(false), json!("False"))],
                "array" => vec![(json!(["name"]), json!("name")), (json!(["name"]), json!("[\"name\"]"))],
                _ => vec![(json!("on"), json!(["on"]))],
            };
            for (right, sent) in forms {
                let right = failure(&client, &tool.name, &with(&least, name, right)).await;
                let sent_answer = failure(&client, &tool.name, &with(&least, name, sent.clone())).await;
                assert_eq!(sent_answer, right, "{} {name}={sent}", tool.name);
            }
            let wrong = failure(&client, &tool.name, &with(&least, name, json!({ "a": "b" }))).await;
            assert_eq!(wrong.0, "invalid_argument", "{} {name}", tool.name);
            assert!(wrong.1.contains(&format!("`{name}` must be ")), "{} {name}: {}", tool.name, wrong.1);
        }
    }
    assert!(seen.len() >= 4, "{seen:?}");
}

#[tokio::test]
async fn what_is_taken_reaches_vsphere() {
    let lab = Lab::new().await;
    for name in ["web-1", "web-2", "web-3"] {
        lab.machine(name).await;
    }
    let client = connect(lab.server(&[("MCP_CONFIRM", "never")])).await;
    let call = async |tool: &str, arguments: Value| {
        let arguments = arguments.as_object().unwrap().clone();
        let result =
            client.call_tool(CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments)).await.unwrap();
        assert_eq!(result.is_error, Some(false), "{result:?}");
        result.structured_content.unwrap()
    };
    let page =
        call("list_vms", json!({ "limit": "2", "filter": "", "host": null, "fields": "name", "power_state": [] }))
            .await;
    assert_eq!(page["items"], json!([{ "name": "web-1" }, { "name": "web-2" }]));
    call("reconfigure_vm", json!({ "vm_name": "web-1", "annotation": "why", "memory_mb": "2048" })).await;
    let kept =
        call("reconfigure_vm", json!({ "vm": ["web-1"], "cpu_hot_add": "", "memory_mb": 2048.0, "annotation": null }))
            .await;
    assert!(!kept.to_string().contains("why"), "{kept}");
    let gone = call("reconfigure_vm", json!({ "vm": "web-1", "annotation": "" })).await;
    assert!(gone.to_string().contains("why"), "{gone}");

    let on = call("power_on_vm", json!({ "vm": "", "vms": "[\"web-1\", \"web-2\"]" })).await;
    assert_eq!(on["results"].as_array().unwrap().len(), 2);
    let on = call("power_on", json!({ "name": "web-3" })).await;
    assert_eq!(on["results"][0]["vm"], "web-3");

    call("create_snapshot", json!({ "vm": "web-1", "snapshot_name": "a", "description": "why", "memory": "false" }))
        .await;
    call("rename_snapshot", json!({ "vm": "web-1", "snapshot": "a", "new_description": "" })).await;
    let snapshots = call("list_snapshots", json!({ "vm": "web-1" })).await;
    assert!(!snapshots.to_string().contains("why"), "{snapshots}");
}

/// What the tools of mcvsphere 0.2.3 took: tool, argument.
fn older_arguments() -> impl Iterator<Item = (&'static str, &'static str)> {
    let tools = include_str!("../older-names/0.2.3.txt").lines().filter(|line| !line.starts_with('#'));
    let tools = tools.filter_map(|line| line.split_once(' '));
    tools.flat_map(|(tool, arguments)| arguments.split(' ').map(move |argument| (tool, argument)))
}

/// Arguments of 0.2.3 that have no meaning now.
const GONE: [(&str, &str); 5] = [
    ("export_vm_ovf", "datastore"),
    ("list_ovf_networks", "datastore"),
    ("wait_for_vm_tools", "poll_interval"),
    ("download_from_datastore", "max_memory_mb"),
    ("upload_to_datastore", "chunk_size"),
];

#[tokio::test]
async fn what_the_tools_of_0_2_3_took_is_taken_in_the_same_forms_as_the_present_names() {
    let client = client().await;
    let tools = client.list_all_tools().await.unwrap();
    let mut older_names = 0;
    for (older_tool, older) in older_arguments() {
        let name = match older_tool {
            "power_on" | "power_off" => format!("{older_tool}_vm"),
            "extend_disk" => "resize_disk".to_owned(),
            "export_vm_ovf" => "export_ovf".to_owned(),
            other => other.to_owned(),
        };
        let Some(tool) = tools.iter().find(|it| it.name == name) else { continue };
        let sent = async |arguments: Map<String, Value>| failure(&client, older_tool, &arguments).await;
        let (_, refused) = sent(with(&least(tool), older, json!("a"))).await;
        if !refused.contains("is given twice") {
            let is_unknown = refused.contains("unknown argument");
            assert_eq!(is_unknown, GONE.contains(&(older_tool, older)), "{older_tool}: {older}: {refused}");
            continue;
        }
        older_names += 1;
        let argument = refused.split('`').nth(1).unwrap().to_owned();
        let mut rest = least(tool);
        rest.remove(&argument);
        for value in [json!(""), json!("a"), json!(["a"]), json!("5"), json!({ "a": "b" })] {
            let present = sent(with(&rest, &argument, value.clone())).await;
            let answer = sent(with(&rest, older, value.clone())).await;
            assert_eq!(answer, present, "{older_tool}: {older}={value} for {argument}");
        }
    }
    assert!(older_names > 50, "{older_names}");
}
