//! Whether each public item of vsphere-ops is shown in use: by a doctest, or by an example.
//!
//! The sources are read as text. That is enough, because the lint `unreachable_pub` keeps `pub` for what is public, and
//! rustfmt gives each item and each block a line of its own. A module, a type, a trait, a macro and a free function
//! need a doctest on their own page; on a type's page stand those of its methods, too. A method or an associated
//! constant has to be used in a doctest of its file or in an example. Fields and variants are not counted.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::bail;

use crate::tree::{self, Tree};

/// Checks vsphere-ops against its doctests and the programs of `examples/`.
pub(crate) fn run() -> anyhow::Result<()> {
    let sources = rust_files(&crate::workspace("vsphere-ops/src"))?;
    let examples: Vec<String> = rust_files(&crate::workspace("examples/src/bin"))?.into_values().collect();
    let items: Vec<Item> = sources.iter().flat_map(|(path, text)| items(&path.display().to_string(), text)).collect();
    let unshown = unshown(&items, &examples.join("\n"));
    if !unshown.is_empty() {
        let lines: String = unshown.iter().map(|item| format!("\n  {item}")).collect();
        bail!("of {} public items of vsphere-ops, {} are in no doctest or example:{lines}", items.len(), unshown.len());
    }
    Ok(())
}

pub(crate) fn rust_files(dir: &Path) -> anyhow::Result<Tree> {
    let mut files = tree::read(dir)?;
    files.retain(|path, _| path.extension().is_some_and(|extension| extension == "rs"));
    Ok(files)
}

/// A public item, and the code of its doctests.
#[derive(Debug, Clone, PartialEq)]
struct Item {
    file: String,
    /// Numbered from 1; 0 is the file itself, as a module.
    line: usize,
    name: String,
    kind: Kind,
    doctest: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// A module, named by its path (`task/watch`): as its own file has it, or as public as another file declares it.
    Module { public: bool },
    /// A type, a trait, a macro or a free function.
    Free,
    /// A method or a constant of this type or trait.
    Of(String),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        match &self.kind {
            Kind::Module { .. } => f.write_str("the page of the module"),
            Kind::Free => f.write_str(&self.name),
            Kind::Of(owner) => write!(f, "{owner}::{}", self.name),
        }
    }
}

/// The items that nothing shows in use.
fn unshown<'a>(items: &'a [Item], examples: &str) -> Vec<&'a Item> {
    let public_modules: BTreeSet<&str> =
        items.iter().filter(|item| item.kind == Kind::Module { public: true }).map(|item| item.name.as_str()).collect();
    let is_shown = |item: &Item| match &item.kind {
        Kind::Module { public: true } => true,
        Kind::Module { public: false } => {
            let is_public = item.name.is_empty() || public_modules.contains(item.name.as_str());
            !is_public || !item.doctest.is_empty()
        }
        Kind::Free => {
            let own = Kind::Of(item.name.clone());
            let mut methods = items.iter().filter(|other| other.file == item.file && other.kind == own);
            !item.doctest.is_empty() || methods.any(|method| !method.doctest.is_empty())
        }
        Kind::Of(_) => {
            let mut near = items.iter().filter(|other| other.file == item.file);
            near.any(|other| uses(&other.doctest, &item.name)) || uses(examples, &item.name)
        }
    };
    items.iter().filter(|item| !is_shown(item)).collect()
}

/// Whether code calls, names or implements a method or constant.
fn uses(code: &str, name: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(name).any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default();
        [".", "::", "fn "].iter().any(|lead| before.ends_with(lead))
            && ends(code.get(at + name.len()..).unwrap_or_default())
    })
}

/// The public items of a file, the module that it is among them.
fn items(file: &str, text: &str) -> Vec<Item> {
    let module = match file.trim_end_matches(".rs").trim_end_matches("/mod") {
        "lib" => "",
        path => path,
    };
    let item =
        |line, name: &str, kind, doctest| Item { file: file.to_owned(), line, name: name.to_owned(), kind, doctest };
    let page: String =
        text.lines().map_while(|line| line.strip_prefix("//!")).map(|line| format!("{line}\n")).collect();
    let mut found = vec![item(0, module, Kind::Module { public: false }, doctests(&page))];
    let mut docs = String::new();
    let mut exported = false;
    let mut block = Block::None;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        let trimmed = line.trim_start();
        if let Some(doc) = trimmed.strip_prefix("///") {
            docs.push_str(doc);
            docs.push('\n');
            continue;
        }
        if trimmed.starts_with("#[") {
            exported |= trimmed == "#[macro_export]";
            continue;
        }
        let doctest = doctests(&std::mem::take(&mut docs));
        let is_macro = std::mem::take(&mut exported);
        match (line.len() - trimmed.len(), &block) {
            (0, _) => {
                if let Some(name) = trimmed.strip_prefix("macro_rules! ").filter(|_| is_macro) {
                    found.push(item(number, word(name), Kind::Free, doctest));
                } else if let Some(("mod", name)) = public(trimmed) {
                    let path = format!("{module}/{name}");
                    found.push(item(number, path.trim_start_matches('/'), Kind::Module { public: true }, doctest));
                } else if let Some((_, name)) = public(trimmed) {
                    found.push(item(number, name, Kind::Free, doctest));
                }
                block = block.after(trimmed);
            }
            (4, Block::Impl(owner)) => {
                if let Some((_, name)) = public(trimmed) {
                    found.push(item(number, name, Kind::Of(owner.clone()), doctest));
                }
            }
            (4, Block::Trait(owner)) => {
                if let Some((_, name)) = declared(trimmed).filter(|(keyword, _)| *keyword == "fn") {
                    found.push(item(number, name, Kind::Of(owner.clone()), doctest));
                }
            }
            _ => {}
        }
    }
    found
}

/// What the lines are in, by its first line.
#[derive(Debug)]
enum Block {
    None,
    Impl(String),
    Trait(String),
}

impl Block {
    /// The block after a line that is not indented.
    fn after(self, line: &str) -> Self {
        if let Some(("trait", name)) = public(line) {
            return Self::Trait(name.to_owned());
        }
        match line.strip_prefix("impl") {
            Some(header) => {
                // The methods of another's trait are shown on that trait's page.
                let header = after_generics(header).trim_start();
                if header.contains(" for ") { Self::None } else { Self::Impl(word(header).to_owned()) }
            }
            None if line.starts_with('}') => Self::None,
            // `where`, an opening brace, the rest of a header.
            None => self,
        }
    }
}

/// What follows `<…>` at the front.
fn after_generics(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            // The arrow of a function type closes nothing.
            '>' if !text[..at].ends_with('-') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text[at..].trim_start_matches('>');
        }
    }
    text
}

/// Keyword and name of a public item.
fn public(line: &str) -> Option<(&str, &str)> {
    declared(line.strip_prefix("pub ")?)
}

/// Keyword and name of an item.
fn declared(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(' ');
    let mut keyword = words.next()?;
    let mut name = words.next()?;
    while matches!(name, "fn" | "unsafe" | "async") {
        (keyword, name) = (name, words.next()?);
    }
    let is_item = matches!(keyword, "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "mod");
    is_item.then(|| (keyword, word(name)))
}

/// The identifier at the front.
fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// The code of the doctests in documentation: of each block that rustdoc compiles.
fn doctests(docs: &str) -> String {
    let mut code = String::new();
    let mut compiled = None;
    for line in docs.lines() {
        match (line.trim().strip_prefix("```"), compiled) {
            (Some(_), Some(_)) => compiled = None,
            (Some(language), None) => compiled = Some(matches!(language, "" | "no_run" | "should_panic" | "rust")),
            (None, Some(true)) => {
                code.push_str(line);
                code.push('\n');
            }
            (None, _) => {}
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"//! A page.
//!
//! ```
//! thing.used();
//! ```

pub mod below;

/// Shown by its method.
pub struct Thing<T> {
    pub field: T,
}

impl<T: Fn() -> u8> Thing<T>
where
    T: Clone,
{
    /// ```no_run
    /// Thing::new();
    /// ```
    pub const fn new() -> Self {
    }

    pub async fn used(&self) {}

    pub fn unused(&self) {}

    pub(crate) fn own(&self) {}
}

impl<T> Clone for Thing<T> {
    fn clone(&self) -> Self {}
}

/// ```text
/// no code
/// ```
#[must_use]
pub fn free() {}

/// Of others.
pub trait Role {
    fn implemented(&self);
}

#[cfg(test)]
pub fn in_tests() {}
"#;

    fn names(items: &[&Item]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_not_shown_is_found() {
        let found = items("shelf.rs", FILE);
        assert_eq!(
            names(&unshown(&found, "x.unused_too()")),
            ["shelf.rs:26: Thing::unused", "shelf.rs:39: free", "shelf.rs:42: Role", "shelf.rs:43: Role::implemented"]
        );
        let names = names(&unshown(&found, "impl Role for X { fn implemented(&self) {} } x.unused()"));
        assert_eq!(names, ["shelf.rs:39: free", "shelf.rs:42: Role"]);
    }

    #[test]
    fn the_page_of_a_public_module_needs_a_doctest() {
        let mut found = items("shelf.rs", FILE);
        found.extend(items("shelf/below.rs", "//! Only words.\n"));
        found.extend(items("other/below.rs", "//! Only words.\n"));
        found.extend(items("lib.rs", "//! Only words.\npub mod shelf;\n"));
        let pages: Vec<_> = unshown(&found, "").into_iter().filter(|item| item.line == 0).collect();
        assert_eq!(names(&pages), ["shelf/below.rs:0: the page of the module", "lib.rs:0: the page of the module"]);
    }
}
