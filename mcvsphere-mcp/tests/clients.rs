//! What clients are told of this server in `clients/`, README and docs: the right program, version and tools.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::{collections::BTreeSet, fs, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(path: &str) -> Value {
    serde_json::from_str(&file(path)).unwrap()
}

/// How clients start the server.
fn start() -> Value {
    json!({ "command": "mcvsphere", "args": ["stdio"] })
}

#[test]
fn plugins_have_the_version_of_the_server_and_start_it() {
    let claude = read("clients/claude-code/.claude-plugin/plugin.json");
    let gemini = read("clients/gemini/gemini-extension.json");
    for plugin in [&claude, &gemini] {
        assert_eq!((&plugin["name"], &plugin["version"]), (&json!("vsphere"), &json!(env!("CARGO_PKG_VERSION"))));
    }
    for servers in [&read("clients/claude-code/.mcp.json"), &gemini] {
        assert_eq!(servers["mcpServers"], json!({ "vsphere": start() }));
    }
    let listed = &read(".claude-plugin/marketplace.json")["plugins"][0];
    let place = listed["source"].as_str().unwrap().trim_start_matches("./");
    assert_eq!(read(&format!("{place}/.claude-plugin/plugin.json")), claude);
    assert_eq!((&listed["name"], &listed["description"]), (&claude["name"], &claude["description"]));
}

#[test]
fn what_the_skill_names_is_there() {
    let snapshots = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")).unwrap();
    let mut tools = BTreeSet::new();
    let mut arguments = BTreeSet::new();
    for entry in snapshots {
        let path = entry.unwrap().path();
        let tool: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        tools.insert(tool["name"].as_str().unwrap().to_owned());
        let properties = tool["inputSchema"]["properties"].as_object();
        arguments.extend(properties.into_iter().flatten().map(|(name, _)| name.clone()));
    }
    for path in ["clients/claude-code/skills/vsphere/SKILL.md", "clients/gemini/GEMINI.md"] {
        let text = file(path);
        let words: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        assert!(words.len() > 5, "{path}");
        for word in words.into_iter().filter(|word| !matches!(*word, "⟦" | "⟧" | "vsphere")) {
            assert!(tools.contains(word) || arguments.contains(word), "{path} names {word}");
        }
    }
}

#[test]
fn the_links_for_clients_start_the_server() {
    for page in ["README.md", "docs/install.md"] {
        assert!(file(page).contains(concat!("dist/mcvsphere-", env!("CARGO_PKG_VERSION"), "-x86_64")), "{page}");
    }
    let page = file("docs/clients.md");
    let config = |site: &str| {
        let link = page.split(['(', ')']).find(|part| part.starts_with(site)).unwrap();
        let (_, config) = link.split_once("name=vsphere&config=").unwrap();
        percent_encoding::percent_decode_str(config).decode_utf8().unwrap().into_owned()
    };
    let code = config("https://insiders.vscode.dev/redirect/mcp/install?");
    let cursor = BASE64_STANDARD.decode(config("https://cursor.com/en/install-mcp?")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&code).unwrap(), start());
    assert_eq!(serde_json::from_slice::<Value>(&cursor).unwrap(), start());
}
