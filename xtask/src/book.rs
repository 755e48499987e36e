//! `cargo xtask book`: whether the documentation holds together, and the book that is made of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::peers::install::run as run_command;

/// What makes the book, as crates.io names it.
const MDBOOK: &str = "0.5.4";

/// Arguments of `cargo xtask book`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also make the book in `target/book`, and install mdBook into `.peers` first
    #[arg(long)]
    build: bool,
}

/// Checks that each page is in the table of contents and that each link leads somewhere, and makes the book.
///
/// # Errors
/// A page or a link is wrong, or the book cannot be made.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = crate::workspace("");
    let mut problems = contents(&root)?;
    let mut pages = Pages::default();
    let mut links = 0;
    for page in pages_of(&root)? {
        for target in links_in(&fs::read_to_string(root.join(&page))?) {
            links += 1;
            if let Some(problem) = pages.problem(&root, &page, &target) {
                problems.push(format!("{}: {problem}", page.display()));
            }
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!("{links} links lead somewhere");
    if args.build { build(&root) } else { Ok(()) }
}

/// The pages with links: those of the book, and those beside it.
fn pages_of(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "clients", "examples", "fuzz", "wsdl"] {
        for entry in fs::read_dir(root.join(folder))? {
            let name = entry?.file_name();
            if Path::new(&name).extension().is_some_and(|ending| ending == "md") {
                pages.push(Path::new(folder).join(name));
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// What is wrong with the table of contents.
fn contents(root: &Path) -> anyhow::Result<Vec<String>> {
    let listed = links_in(&fs::read_to_string(root.join("docs/SUMMARY.md")).context("docs/SUMMARY.md")?);
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for page in &listed {
        if !seen.insert(page.as_str()) {
            problems.push(format!("docs/SUMMARY.md lists {page} twice"));
        }
    }
    for page in pages_of(root)? {
        let name = page.strip_prefix("docs").ok().and_then(Path::to_str).unwrap_or("SUMMARY.md");
        if name != "SUMMARY.md" && !seen.contains(name) {
            problems.push(format!("docs/SUMMARY.md does not list {name}"));
        }
    }
    Ok(problems)
}

/// The headings of pages, as they were read.
#[derive(Default)]
struct Pages(BTreeMap<PathBuf, BTreeSet<String>>);

impl Pages {
    /// Why a link leads nowhere.
    fn problem(&mut self, root: &Path, page: &Path, target: &str) -> Option<String> {
        if ["https://", "http://", "mailto:"].iter().any(|start| target.starts_with(start)) {
            return None;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = match path {
            "" => page.to_owned(),
            path => plain(&page.parent().unwrap_or(Path::new("")).join(path)),
        };
        if !root.join(&file).exists() {
            return Some(format!("{target} is not there"));
        }
        if anchor.is_empty() || file.extension().is_none_or(|ending| ending != "md") {
            return None;
        }
        let headings = match self.0.get(&file) {
            Some(headings) => headings,
            None => {
                let text = fs::read_to_string(root.join(&file)).unwrap_or_default();
                self.0.entry(file).or_insert(headings_in(&text))
            }
        };
        (!headings.contains(anchor)).then(|| format!("{target} names no heading"))
    }
}

/// A path without the steps that lead back.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for step in path.components() {
        match step {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The lines of a text that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// Where the links of a text lead.
fn links_in(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        // What stands between grave accents is code.
        let line: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let ends = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        links.extend(ends.map(|link| link.split(' ').next().unwrap_or_default().to_owned()));
    }
    links
}

/// The headings of a text, as links name them.
fn headings_in(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Makes the book.
fn build(root: &Path) -> anyhow::Result<()> {
    let folder = root.join(".peers/mdbook");
    let (program, pinned) = (folder.join("bin/mdbook"), folder.join(MDBOOK));
    if !program.exists() || !pinned.exists() {
        println!("installing mdBook {MDBOOK}");
        let mut cargo = crate::cargo();
        cargo.args([
            "install",
            "--quiet",
            "--locked",
            "mdbook",
            "--version",
            MDBOOK,
            "--no-default-features",
            "--root",
        ]);
        run_command(cargo.arg(&folder).env_remove("CARGO_TARGET_DIR"))?;
        fs::write(pinned, "")?;
    }
    run_command(Command::new(program).arg("build").arg(root.join("docs")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        let text = "[a](b.md) and `[c](d.md)` [e](f.md#g) ![h](i.png)\n```sh\n[j](k.md)\n```\n[l](m.md \"title\")\n";
        assert_eq!(links_in(text), ["b.md", "f.md#g", "i.png", "m.md"]);
    }

    #[test]
    fn headings_are_named_as_links_name_them() {
        let headings = headings_in("# What is `MCP_X`, and why?\n```\n# no\n```\n## Two\n");
        assert_eq!(headings.into_iter().collect::<Vec<_>>(), ["two", "what-is-mcp_x-and-why"]);
        assert_eq!(plain(Path::new("docs/../clients/./a.md")), Path::new("clients/a.md"));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let root = crate::workspace("");
        let problem = |target: &str| Pages::default().problem(&root, Path::new("docs/SUMMARY.md"), target);
        assert_eq!(problem("oauth.md#troubleshooting"), None);
        assert_eq!(problem("../LICENSE"), None);
        assert_eq!(problem("https://example.com/#x"), None);
        assert!(problem("oauth.md#nothing").unwrap().contains("no heading"));
        assert!(problem("nothing.md").unwrap().contains("not there"));
    }
}
