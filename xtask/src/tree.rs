//! A generated tree of files: written where it differs, or compared with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Files by their path below a directory.
pub(crate) type Tree = BTreeMap<PathBuf, String>;

/// Where a directory differs from the tree that it should hold.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Difference {
    /// Files that are missing or hold something else.
    pub(crate) stale: BTreeSet<PathBuf>,
    /// Files that should not be there.
    pub(crate) extra: BTreeSet<PathBuf>,
}

impl Difference {
    pub(crate) fn is_empty(&self) -> bool {
        self.stale.is_empty() && self.extra.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stale = self.stale.iter().map(|path| ("stale", path));
        let extra = self.extra.iter().map(|path| ("not generated", path));
        stale.chain(extra).try_for_each(|(what, path)| writeln!(f, "  {what}: {}", path.display()))
    }
}

/// Compares a directory with a tree; a file that the tree does not hold counts where `is_ours` says so
/// of its full path.
pub(crate) fn compare(dir: &Path, tree: &Tree, is_ours: fn(&Path) -> bool) -> anyhow::Result<Difference> {
    let mut difference = Difference::default();
    for (path, text) in tree {
        if path.is_absolute() || path.components().any(|part| part.as_os_str() == "..") {
            bail!("a generated file would leave its directory: {}", path.display());
        }
        // What cannot be read as text differs from every text.
        if std::fs::read_to_string(dir.join(path)).ok().as_ref() != Some(text) {
            difference.stale.insert(path.clone());
        }
    }
    if dir.is_dir() {
        let present = files_below(dir)?;
        difference.extra =
            present.into_iter().filter(|path| !tree.contains_key(path) && is_ours(&dir.join(path))).collect();
    }
    Ok(difference)
}

/// Brings a directory to a tree: writes what is stale, removes what is extra, leaves the rest untouched.
pub(crate) fn write(dir: &Path, tree: &Tree, is_ours: fn(&Path) -> bool) -> anyhow::Result<Difference> {
    let difference = compare(dir, tree, is_ours)?;
    for path in &difference.stale {
        let text = tree.get(path).map_or("", String::as_str);
        let path = dir.join(path);
        let parent = path.parent().unwrap_or(dir);
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    for path in &difference.extra {
        let path = dir.join(path);
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(difference)
}

/// Reads all files below a directory.
pub(crate) fn read(dir: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree::new();
    for path in files_below(dir)? {
        let full = dir.join(&path);
        let text = std::fs::read_to_string(&full).with_context(|| format!("cannot read {}", full.display()))?;
        tree.insert(path, text);
    }
    Ok(tree)
}

fn files_below(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let full = dir.join(&below);
        for entry in std::fs::read_dir(&full).with_context(|| format!("cannot list {}", full.display()))? {
            let entry = entry.with_context(|| format!("cannot list {}", full.display()))?;
            let path = below.join(entry.file_name());
            if entry.file_type().with_context(|| format!("cannot look at {}", path.display()))?.is_dir() {
                open.push(path);
            } else {
                files.push(path);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_directory_is_brought_to_its_tree() {
        let scratch = Scratch::new().unwrap();
        let dir = scratch.path().join("generated");
        std::fs::create_dir_all(dir.join("old")).unwrap();
        std::fs::write(dir.join("old/gone.rs"), "x").unwrap();
        std::fs::write(dir.join("README"), "by hand").unwrap();
        let tree = Tree::from([("mod.rs".into(), "a".to_owned()), ("types/vm.rs".into(), "b".to_owned())]);
        let ours = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");

        let difference = compare(&dir, &tree, ours).unwrap();
        assert_eq!(difference.to_string(), "  stale: mod.rs\n  stale: types/vm.rs\n  not generated: old/gone.rs\n");
        assert_eq!(write(&dir, &tree, ours).unwrap(), difference);
        assert!(write(&dir, &tree, ours).unwrap().is_empty());
        let mut there: Vec<PathBuf> = read(&dir).unwrap().into_keys().collect();
        there.sort();
        assert_eq!(there, ["README", "mod.rs", "types/vm.rs"].map(PathBuf::from));
    }

    #[test]
    fn a_tree_stays_in_its_directory() {
        let scratch = Scratch::new().unwrap();
        let tree = Tree::from([("../escape.rs".into(), String::new())]);
        assert!(write(scratch.path(), &tree, |_| true).is_err());
    }
}
