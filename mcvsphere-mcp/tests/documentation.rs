//! What the documentation tells a user to type: commands that the program takes.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// README and the pages of `docs/`.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let paths = pages.chain([root.join("README.md")]);
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The lines of shell in a page, each with those that continue it.
fn shell(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fence = None;
    for line in text.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(language) if fence.is_none() => fence = Some(language.trim().to_owned()),
            Some(_) => fence = None,
            None if matches!(fence.as_deref(), Some("sh" | "console")) => lines.push(line),
            None => {}
        }
    }
    let joined = lines.join("\n").replace("\\\n", " ");
    joined.lines().map(|line| line.trim().trim_start_matches("$ ").to_owned()).collect()
}

/// The words of a command, up to what the shell does with its output.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ') => words.push(String::new()),
            (None, '#') if words.last().is_some_and(String::is_empty) => break,
            (None, '|' | '>' | ';' | '&') => break,
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

#[test]
fn commands_are_what_the_program_takes() {
    let mut tried = 0;
    for (page, text) in pages() {
        for line in shell(&text) {
            let words = words(&line);
            let Some((program, arguments)) = words.split_first() else {
                continue;
            };
            if program != "mcvsphere" {
                continue;
            }
            // It is read up to the question for help, and does nothing.
            let mut command = Command::new(env!("CARGO_BIN_EXE_mcvsphere"));
            let ended = command.args(arguments).arg("--help").env_clear().stdin(Stdio::null()).output().unwrap();
            let told = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.success(), "{}: {line}\n{told}", page.display());
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn settings_are_those_of_the_program() {
    let ended = Command::new(env!("CARGO_BIN_EXE_mcvsphere")).arg("--help").env_clear().output().unwrap();
    let help = String::from_utf8(ended.stdout).unwrap();
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let known: Vec<&str> = help.split(|c| !is_name(c)).collect();
    let mut seen = 0;
    for (page, text) in pages() {
        for name in text.split(|c: char| !is_name(c) && !c.is_ascii_lowercase()) {
            let is_setting = ["MCP_", "VCENTER_", "OAUTH_", "MCVSPHERE_"].iter().any(|start| name.starts_with(start));
            if is_setting && name.chars().all(is_name) && !name.ends_with('_') {
                assert!(known.contains(&name), "{} names {name}", page.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn a_line_of_shell_is_read_as_a_shell_reads_it() {
    let text =
        "a\n```sh\nmcvsphere x 'a b' \\\n  --c=\"d\" # why\n```\n```json\nmcvsphere\n```\n```console\n$ y | z\n```\n";
    let lines = shell(text);
    assert_eq!(lines.len(), 2);
    assert_eq!(words(&lines[0]), ["mcvsphere", "x", "a b", "--c=d"]);
    assert_eq!(words(&lines[1]), ["y"]);
}
