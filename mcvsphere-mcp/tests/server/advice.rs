//! What a model is told to do about an error, and by whom.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    confirm::older,
    lab::Lab,
    power::{bad, call},
};

fn message(error: &Value) -> &str {
    error["message"].as_str().unwrap()
}

#[tokio::test]
async fn an_error_names_only_tools_that_the_caller_may_call() {
    let lab = Lab::new().await;
    lab.machine("web-1").await;
    lab.machine("web-2").await;
    let client = older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await;
    let error = bad(&client, "reboot_guest", json!({ "vm": "web-1" })).await;
    assert!(message(&error).ends_with("; power_on_vm starts it"), "{error}");
    let error = call(&client, "reboot_guest", json!({ "vms": ["web-1", "web-2"] })).await.structured_content.unwrap();
    let errors = error["results"].as_array().unwrap().iter().map(|result| &result["error"]);
    assert!(errors.clone().all(|error| message(error).ends_with("; power_on_vm starts it")), "{error}");

    let without = [("MCP_CONFIRM", "never"), ("MCP_EXCLUDE_TOOLS", "power_on_vm")];
    let client = older(lab.server(&without), ()).await;
    let error = bad(&client, "reboot_guest", json!({ "vm": "web-1" })).await;
    assert!(message(&error).contains("InvalidPowerState") && !message(&error).contains("power_on_vm"), "{error}");
}

#[test]
fn no_text_of_the_library_names_a_tool() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools: BTreeSet<String> = fs::read_dir(here.join("tests/snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(tools.contains("power_on_vm"), "the snapshots name the tools");
    let mut files = vec![here.join("../vsphere-ops/src")];
    let (mut texts, mut found) = (0, Vec::new());
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        for text in literals(&fs::read_to_string(&path).unwrap()) {
            texts += 1;
            let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            found.extend(words.filter(|word| tools.contains(*word)).map(|word| format!("{}: {word}", path.display())));
        }
    }
    assert!(texts > 1000, "{texts}");
    assert!(found.is_empty(), "{found:#?}");
}

/// The string literals of a source file, outside of comments.
fn literals(source: &str) -> Vec<String> {
    let (mut literals, mut rest) = (Vec::new(), source);
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (mark, after) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = match mark {
            b'/' if after.starts_with('/') => after.split_once('\n').map_or("", |(_, next)| next),
            b'\'' if after.starts_with("\"'") => &after[2..],
            b'"' => {
                let mut escaped = false;
                let end = after.find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                let end = end.unwrap_or(after.len());
                literals.push(after[..end].to_owned());
                after.get(end + 1..).unwrap_or_default()
            }
            _ => after,
        };
    }
    literals
}

#[test]
fn literals_are_told_from_comments_and_characters() {
    let source = "let a = \"x \\\" y\"; // \"no\"\nlet b = '\"'; let c = a / b; let d = \"z\";";
    assert_eq!(literals(source), ["x \\\" y", "z"]);
}
