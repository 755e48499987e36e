//! The table of tools in docs/tools.md is what the server offers.
//!
//! `UPDATE_README=1 cargo test -p mcvsphere-mcp --test server readme` writes it anew.

use std::{fmt::Write, fs, path::PathBuf};

use mcvsphere_mcp::{Permission, Server, Toolset};
use rmcp::model::Tool;

use crate::{connect, settings_with};

/// The table stands between these lines.
const START: &str = "<!-- The tools: UPDATE_README=1 cargo test -p mcvsphere-mcp --test server readme -->\n";
const END: &str = "<!-- The end of the tools -->\n";

#[tokio::test]
async fn the_table_of_tools_is_what_the_server_offers() {
    let client = connect(Server::new(&settings_with(&[("MCP_TOOLSETS", "all,api")])).unwrap()).await;
    let table = table(&client.list_all_tools().await.unwrap());
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tools.md"));
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(START).unwrap();
    let (committed, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(&path, format!("{before}{START}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(committed == table, "the table of docs/tools.md is old: UPDATE_README=1 writes this anew\n{table}");
}

fn table(tools: &[Tool]) -> String {
    let mut table = "\n| toolset | tool | what it does | permission | hints |\n|---|---|---|---|---|\n".to_owned();
    let mut written = 0;
    for toolset in Toolset::ALL {
        let mut family: Vec<_> = tools.iter().filter(|tool| fact(tool, "toolset") == toolset.name()).collect();
        // Those who look come before those who change.
        let level =
            |tool: &Tool| Permission::ALL.map(Permission::name).iter().position(|it| *it == fact(tool, "permission"));
        family.sort_by_key(|tool| (level(tool), tool.name.clone()));
        for (at, tool) in family.iter().enumerate() {
            let toolset = if at == 0 { format!("`{toolset}`") } else { String::new() };
            let (does, permission, hints) = (first_sentence(tool), fact(tool, "permission"), hints(tool));
            writeln!(table, "| {toolset} | `{}` | {does} | `{permission}` | {hints} |", tool.name).unwrap();
            written += 1;
        }
    }
    assert_eq!(written, tools.len(), "each tool belongs to one toolset");
    table + "\n"
}

fn fact<'a>(tool: &'a Tool, name: &str) -> &'a str {
    tool.meta.as_ref().unwrap()[format!("mcvsphere/{name}").as_str()].as_str().unwrap()
}

/// What it does; when to use it stands in the sentences after.
fn first_sentence(tool: &Tool) -> String {
    let text = tool.description.as_deref().unwrap();
    let sentence = text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.');
    sentence.replace('|', "\\|")
}

fn hints(tool: &Tool) -> String {
    let hints = tool.annotations.as_ref().unwrap();
    let mut words = Vec::new();
    if hints.read_only_hint == Some(true) {
        words.push("reads");
    }
    if hints.destructive_hint == Some(true) {
        words.push("changes what is there");
    }
    if tool.meta.as_ref().unwrap()["mcvsphere/asks"] == true {
        words.push("asks first");
    }
    if hints.idempotent_hint == Some(true) {
        words.push("may be repeated");
    }
    words.join("; ")
}

#[test]
fn a_sentence_ends_at_its_point() {
    let tool = |text: &str| Tool::new("t", text.to_owned(), std::sync::Arc::default());
    assert_eq!(first_sentence(&tool("Get v. 1|2. Use it.")), "Get v");
    assert_eq!(first_sentence(&tool("Get a|b.")), "Get a\\|b");
}
