//! The crates for crates.io: packed as `cargo publish` packs them, in their order.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, bail, ensure};
use flate2::read::GzDecoder;
use tar::Archive;

use super::{graph, run_command, say};

/// Those that are published, each after those that it needs.
const CRATES: [&str; 5] = ["vsphere-soap", "vsphere-model", "vsphere-ops", "vsphere-sim", "mcvsphere-mcp"];

/// The largest package in bytes that crates.io takes.
const LARGEST: u64 = 10 << 20;

/// Packs the crates, builds what was packed where that is wanted, and checks each.
///
/// # Errors
/// A crate cannot be packed, or crates.io would not take it.
pub(super) fn run(verify: bool) -> anyhow::Result<()> {
    let mut cargo = crate::cargo();
    cargo.args(["package", "--locked", "--allow-dirty"]);
    for name in CRATES {
        cargo.args(["--package", name]);
    }
    if !verify {
        cargo.arg("--no-verify");
    }
    run_command(&mut cargo)?;
    for name in CRATES {
        let package = graph::package(name)?;
        let path = package.target.join("package").join(format!("{name}-{}.crate", package.version));
        let bytes = fs::metadata(&path).with_context(|| format!("{} is not there", path.display()))?.len();
        ensure!(bytes <= LARGEST, "{name} has {bytes} bytes, and crates.io takes {LARGEST}");
        let files = files(&path, &format!("{name}-{}/", package.version))?;
        for needed in ["Cargo.toml", "Cargo.lock", "LICENSE", "README.md"] {
            ensure!(files.contains(needed), "the package of {name} has no {needed}");
        }
        let manifest = fs::read_to_string(crate::workspace(name).join("Cargo.toml"))?;
        for key in ["description", "license.workspace", "documentation", "readme", "keywords", "categories"] {
            let is_key = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
            ensure!(manifest.lines().any(is_key), "{name}/Cargo.toml says no {key}");
        }
        say(&format!("{name}_crate_bytes: {bytes} (at most {LARGEST}), {} files", files.len()));
    }
    Ok(())
}

/// The names of the files of a package.
fn files(path: &std::path::Path, folder: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut archive = Archive::new(GzDecoder::new(fs::File::open(path)?));
    let mut names = BTreeSet::new();
    for entry in archive.entries()? {
        let name = entry?.path()?.to_string_lossy().into_owned();
        match name.strip_prefix(folder) {
            Some(name) => names.insert(name.to_owned()),
            None => bail!("{name} is not in {folder}"),
        };
    }
    Ok(names)
}
