//! What each tool does, beside who may call it: the table in `docs/effects.md`, which says why, and what the tools themselves
//! say.

use std::{collections::BTreeMap, path::Path};

use mcvsphere_mcp::Server;

use crate::{connect, settings_with};

#[tokio::test]
async fn the_table_of_effects_is_what_the_tools_say() {
    let client = connect(Server::new(&settings_with(&[("MCP_TOOLSETS", "all,api")])).unwrap()).await;
    let said: BTreeMap<String, [String; 4]> = client
        .list_all_tools()
        .await
        .unwrap()
        .into_iter()
        .map(|tool| {
            let meta = tool.meta.unwrap();
            let fact = |name: &str| meta[format!("mcvsphere/{name}").as_str()].clone();
            let hints = tool.annotations.unwrap();
            let hint = match (hints.read_only_hint, hints.destructive_hint) {
                (Some(true), _) => "read-only",
                (_, Some(true)) => "destructive",
                _ => "additive",
            };
            let asks = if fact("asks") == true { "yes" } else { "no" };
            let text = |name: &str| fact(name).as_str().unwrap().to_owned();
            (tool.name.into_owned(), [text("permission"), text("effect"), hint.to_owned(), asks.to_owned()])
        })
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/effects.md");
    let table = std::fs::read_to_string(path).unwrap();
    let mut written = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [tools, level, effect, hint, asks, why] = cells.as_slice() else { panic!("six cells: {row}") };
        assert!(!why.is_empty(), "{row}");
        for tool in tools.split(',') {
            let facts = [level, effect, hint, asks].map(|cell| (*cell).to_owned());
            let before = written.insert(tool.trim().trim_matches('`').to_owned(), facts);
            assert!(before.is_none(), "{tool} stands twice");
        }
    }
    assert_eq!(written, said);
}
