//! Packages for npm: a launcher, and one package with the program for each platform, of which npm installs the right one.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::{Binary, NAME, Release, SUMMARY, output};
use crate::scratch::Scratch;

/// Finds the program of this platform and becomes it, as far as Node.js can.
const LAUNCHER: &str = include_str!("launcher.js");

/// Writes all packages.
///
/// # Errors
/// A file cannot be written, or npm fails.
pub(super) fn write(release: &Release) -> anyhow::Result<()> {
    let mut parts = serde_json::Map::new();
    for binary in &release.binaries {
        let name = name(binary);
        let (system, processor) = binary.platform.node;
        let mut manifest = manifest(release, &name);
        manifest["os"] = json!([system]);
        manifest["cpu"] = json!([processor]);
        manifest["files"] = json!(["bin"]);
        pack(release, &manifest, &format!("The program of {NAME} for {system} on {processor}.\n"), |folder| {
            binary.put_into(&folder.join("bin"))
        })?;
        parts.insert(name, Value::from(release.version.as_str()));
    }
    let mut manifest = manifest(release, NAME);
    manifest["bin"] = json!({ NAME: "launcher.js" });
    manifest["files"] = json!(["launcher.js"]);
    manifest["engines"] = json!({ "node": ">=18" });
    manifest["optionalDependencies"] = Value::Object(parts);
    if let Some(owner) = release.owner() {
        manifest["mcpName"] = json!(owner.server());
    }
    pack(release, &manifest, &fs::read_to_string(release.root.join("README.md"))?, |folder| {
        fs::write(folder.join("launcher.js"), LAUNCHER)?;
        Ok(())
    })
}

/// The package with the program of a platform.
fn name(binary: &Binary) -> String {
    let (system, processor) = binary.platform.node;
    format!("{NAME}-{system}-{processor}")
}

fn manifest(release: &Release, name: &str) -> Value {
    let mut manifest = json!({
        "name": name,
        "version": release.version,
        "description": SUMMARY,
        "license": "MIT",
        "keywords": ["vmware", "vsphere", "mcp"],
    });
    if let Some(url) = &release.repository {
        manifest["repository"] = json!({ "type": "git", "url": format!("git+{url}.git") });
    }
    manifest
}

fn pack(
    release: &Release,
    manifest: &Value,
    readme: &str,
    fill: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let folder = Scratch::new()?;
    fs::write(folder.path().join("package.json"), format!("{manifest:#}\n"))?;
    fs::write(folder.path().join("README.md"), readme)?;
    fs::copy(release.root.join("LICENSE"), folder.path().join("LICENSE"))?;
    fill(folder.path())?;
    let npm = crate::peers::install::need("npm", "npm", "npm")?;
    let mut command = Command::new(npm);
    command.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]).arg(&release.dist);
    output(command.current_dir(folder.path())).map(drop)
}
