//! The crates that a binary is made of, as cargo knows them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
};

use anyhow::{Context, ensure};
use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
    resolve: Option<Resolve>,
    target_directory: PathBuf,
}

/// A crate.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Crate {
    id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: Option<String>,
    pub(super) authors: Vec<String>,
    pub(super) description: Option<String>,
    pub(super) repository: Option<String>,
    /// None for those of this workspace.
    pub(super) source: Option<String>,
    pub(super) manifest_path: PathBuf,
    /// The ids of those that it is linked with.
    #[serde(skip)]
    pub(super) needs: BTreeSet<String>,
    /// The SHA-256 of its package.
    #[serde(skip)]
    pub(super) checksum: Option<String>,
}

impl Crate {
    /// Its name in a list of all ecosystems.
    pub(super) fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// A package of this workspace.
pub(super) struct Package {
    pub(super) version: String,
    pub(super) repository: Option<String>,
    /// Where cargo builds.
    pub(super) target: PathBuf,
}

/// A package of this workspace.
///
/// # Errors
/// There is no such package.
pub(super) fn package(name: &str) -> anyhow::Result<Package> {
    let metadata = metadata(&["--no-deps"])?;
    let found = metadata.packages.into_iter().find(|it| it.name == name);
    let Crate { version, repository, .. } = found.with_context(|| format!("there is no package {name}"))?;
    Ok(Package { version, repository, target: metadata.target_directory })
}

/// The crates that are linked into a package on a target, with the package itself as the first; the others by name.
///
/// # Errors
/// Cargo does not know.
pub(super) fn crates(package: &str, target: &str) -> anyhow::Result<Vec<Crate>> {
    let metadata = metadata(&["--filter-platform", target])?;
    let nodes = metadata.resolve.context("cargo resolved nothing")?.nodes;
    let linked: HashMap<&str, BTreeSet<String>> =
        nodes.iter().map(|node| (node.id.as_str(), linked_with(node))).collect();
    let mut packages: BTreeMap<String, Crate> = metadata.packages.into_iter().map(|it| (it.id.clone(), it)).collect();
    let root = packages.values().find(|it| it.name == package && it.source.is_none());
    let root = root.with_context(|| format!("there is no package {package}"))?.id.clone();
    let (mut found, mut open, mut seen) = (Vec::new(), vec![root.clone()], BTreeSet::from([root.clone()]));
    let checksums = checksums()?;
    while let Some(id) = open.pop() {
        let needs = linked.get(id.as_str()).cloned().unwrap_or_default();
        open.extend(needs.iter().filter(|&id| seen.insert(id.clone())).cloned());
        let mut it = packages.remove(&id).with_context(|| format!("cargo does not describe {id}"))?;
        it.needs = needs;
        it.checksum = checksums.get(&(it.name.clone(), it.version.clone())).cloned();
        found.push(it);
    }
    found.sort_by_key(|it| (it.id != root, it.name.clone(), it.version.clone()));
    let purls: HashMap<String, String> = found.iter().map(|it| (it.id.clone(), it.purl())).collect();
    for it in &mut found {
        it.needs = it.needs.iter().filter_map(|id| purls.get(id).cloned()).collect();
    }
    Ok(found)
}

fn linked_with(node: &Node) -> BTreeSet<String> {
    let linked = node.deps.iter().filter(|it| it.dep_kinds.iter().any(|kind| kind.kind.is_none()));
    linked.map(|it| it.pkg.clone()).collect()
}

fn metadata(args: &[&str]) -> anyhow::Result<Metadata> {
    let mut cargo = crate::cargo();
    let output = cargo.args(["metadata", "--format-version", "1", "--locked"]).args(args).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The checksums in `Cargo.lock`, by name and version.
fn checksums() -> anyhow::Result<HashMap<(String, String), String>> {
    let lock = std::fs::read_to_string(crate::workspace("Cargo.lock"))?;
    let value = |entry: &str, key: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_prefix('='));
        line.map(|text| text.trim().trim_matches('"').to_owned())
    };
    let entry = |entry: &str| Some(((value(entry, "name")?, value(entry, "version")?), value(entry, "checksum")?));
    Ok(lock.split("[[package]]").filter_map(entry).collect())
}
