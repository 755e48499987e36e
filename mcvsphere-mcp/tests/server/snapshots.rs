//! What `tools/list` says of each tool is committed: a change of it is seen in review.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p mcvsphere-mcp --test server` writes the files anew.

use std::{collections::BTreeSet, fs, path::PathBuf};

use mcvsphere_mcp::Server;
use serde_json::{Value, json};

use crate::{connect, settings, settings_with};

/// The tools that are offered where nothing is said, and those of the API where they are named.
async fn tools() -> Vec<Value> {
    let client = connect(Server::new(&settings_with(&[("MCP_TOOLSETS", "all,api")])).unwrap()).await;
    let tools = client.list_all_tools().await.unwrap();
    tools.iter().map(|tool| json!(tool)).collect()
}

#[tokio::test]
async fn each_tool_is_as_committed() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots"));
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut expected = BTreeSet::new();
    for tool in tools().await {
        let file = format!("{}.json", tool["name"].as_str().unwrap());
        let now = serde_json::to_string_pretty(&tool).unwrap() + "\n";
        if update {
            fs::write(folder.join(&file), &now).unwrap();
        }
        let committed = fs::read_to_string(folder.join(&file)).unwrap_or_default();
        assert_eq!(committed, now, "{file} differs: UPDATE_SNAPSHOTS=1 writes it anew");
        expected.insert(file);
    }
    let committed: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(committed, expected, "a file for each tool, and no other");
}

#[tokio::test]
async fn names_and_hints_follow_the_conventions() {
    for tool in tools().await {
        let name = tool["name"].as_str().unwrap();
        assert!(name.len() <= 64 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        let hints = &tool["annotations"];
        assert_eq!(hints["openWorldHint"], false, "{name}");
        let looks_only = tool["_meta"]["mcvsphere/effect"] == "reads";
        assert_eq!(hints["readOnlyHint"], looks_only, "{name}");
        // Some tools that look show what is not for everyone, and one may do more than its level where a call needs more.
        let is_open = tool["_meta"]["mcvsphere/permission"] == "read_only";
        assert!(looks_only || !is_open || matches!(name, "call_api" | "export_inventory"), "{name}");
        if !looks_only {
            assert!(hints["destructiveHint"].is_boolean(), "{name}");
        }
        assert!(tool["_meta"]["mcvsphere/aliases"].is_null(), "{name}: older names are not listed");
    }
}

/// The arguments that the instructions describe for all tools, and those whose names say all.
const SHARED: [&str; 16] = [
    "cluster",
    "cursor",
    "datastore",
    "fields",
    "folder",
    "limit",
    "new_description",
    "new_name",
    "password",
    "pool",
    "source_datastore",
    "target_datastore",
    "template",
    "vm",
    "vms",
    "wait",
];

#[tokio::test]
async fn schemas_are_clean_and_describe_each_argument() {
    for tool in tools().await {
        let name = tool["name"].as_str().unwrap();
        let text = tool["inputSchema"].to_string();
        for noise in ["\"$schema\"", "\"$ref\"", "\"format\":\"", "\"title\"", "null"] {
            assert!(!text.contains(noise), "{name} has {noise}: {text}");
        }
        for (argument, schema) in tool["inputSchema"]["properties"].as_object().into_iter().flatten() {
            let is_described = schema["description"].is_string() || SHARED.contains(&argument.as_str());
            assert!(is_described, "{name}: {argument} has no description");
        }
    }
}

/// The tools and their arguments that users rely on, in one file: none goes, and none loses an argument, by accident.
#[tokio::test]
async fn every_tool_that_is_promised_is_there_with_its_arguments() {
    let promised = include_str!("../tools.txt");
    let tools = tools().await;
    let mut names = BTreeSet::new();
    for line in promised.lines() {
        let (name, arguments) = line.split_once(' ').unwrap_or((line, ""));
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("there is no {name}"));
        for argument in arguments.split_whitespace() {
            assert!(tool["inputSchema"]["properties"].get(argument).is_some(), "{name} takes no {argument}");
        }
        assert!(names.insert(name), "{name} stands twice");
    }
    assert_eq!(names.len(), tools.len(), "tools.txt lists each tool");
}

/// What a model pays before it says a word, in tokens of four bytes: the most that the first tools may cost, and each further one
/// on average. Clients show a model no `_meta`.
const MOST_TOKENS: usize = 8_800;
const FIRST_TOOLS: usize = 56;
const MOST_TOKENS_A_TOOL: usize = 150;

#[tokio::test]
async fn the_list_of_tools_is_cheap() {
    let client = connect(Server::new(&settings()).unwrap()).await;
    let tools = client.list_all_tools().await.unwrap();
    let mut tools: Vec<Value> = tools.iter().map(|tool| json!(tool)).collect();
    tools.iter_mut().filter_map(Value::as_object_mut).for_each(|tool| drop(tool.remove("_meta")));
    let tokens = json!(tools).to_string().len() / 4;
    let most = MOST_TOKENS + tools.len().saturating_sub(FIRST_TOOLS) * MOST_TOKENS_A_TOOL;
    assert!(tokens <= most, "{tokens} tokens for {} tools", tools.len());
}
