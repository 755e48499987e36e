//! `cargo xtask wsdl`: runs `wsdl/derive.py` on the metadata of the pinned pyVmomi.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::scratch::Scratch;
use crate::{tree, workspace};

/// Options of `wsdl`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when wsdl/ is not what the metadata gives.
    #[arg(long)]
    check: bool,
    /// An older version of the API, such as 7.0.2.0; the newest when not given.
    #[arg(long, value_name = "VERSION", requires = "out")]
    version: Option<String>,
    /// Where the files go; the workspace's wsdl/ when not given.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Derives or checks.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let derived = scratch.path().join("derived");
    derive(&metadata(scratch.path())?, args.version.as_deref(), &derived)?;
    let files = tree::read(&derived)?;
    let out = args.out.clone().unwrap_or_else(|| workspace("wsdl"));
    // What else is in wsdl/ is written by hand.
    let by_hand = |_: &Path| false;
    if args.check {
        let difference = tree::compare(&out, &files, by_hand)?;
        if !difference.is_empty() {
            bail!("{} is not up to date:\n{difference}mend it with `cargo xtask wsdl`", out.display());
        }
        println!("{}: {} files are up to date", out.display(), files.len());
    } else {
        let difference = tree::write(&out, &files, by_hand)?;
        println!("{}: {} files, {} written", out.display(), files.len(), difference.stale.len());
    }
    Ok(())
}

/// Fetches the wheel with pip and unpacks it; the directory that holds the metadata.
fn metadata(scratch: &Path) -> anyhow::Result<PathBuf> {
    let wheels = scratch.join("wheels");
    let mut pip = python();
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary", ":all:", "--require-hashes", "--dest"]).arg(&wheels);
    run_to_end(pip.arg("--requirement").arg(workspace("wsdl/requirements.txt")))?;
    let wheel = only_file(&wheels)?;
    let unpacked = scratch.join("unpacked");
    run_to_end(python().args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked))?;
    Ok(unpacked.join("pyVmomi"))
}

fn derive(metadata: &Path, version: Option<&str>, out: &Path) -> anyhow::Result<()> {
    let mut script = python();
    script.arg(workspace("wsdl/derive.py")).arg("--pyvmomi").arg(metadata).arg("--out").arg(out);
    if let Some(version) = version {
        script.args(["--version", version]);
    }
    run_to_end(&mut script)
}

fn python() -> Command {
    Command::new("python3")
}

fn run_to_end(command: &mut Command) -> anyhow::Result<()> {
    let name = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// The one file in a directory.
fn only_file(dir: &Path) -> anyhow::Result<PathBuf> {
    let mut entries = std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let entry = entries.next().with_context(|| format!("pip left nothing in {}", dir.display()))??;
    Ok(entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An older version as its server would serve it: the WSDL alone, with nothing beside it.
    #[test]
    #[ignore = "needs pip: cargo xtask peers"]
    fn peers_the_wsdl_of_an_older_version_is_read_without_companions() {
        let scratch = Scratch::new().unwrap();
        let old = scratch.path().join("old");
        derive(&metadata(scratch.path()).unwrap(), Some("7.0.2.0"), &old).unwrap();
        for companion in ["managed-objects.json", "data-annotations.json", "versions.json"] {
            std::fs::remove_file(old.join(companion)).unwrap();
        }
        // Nothing beside it at all: every operation is loose, and that is said.
        let bare = crate::wsdl::read(&old, None).unwrap();
        assert_eq!(bare.version.as_deref(), Some("7.0.2.0"));
        assert!(bare.managed.is_empty() && bare.loose.len() > 600 && !bare.costs.is_empty());
        assert!(crate::emit::emit(&bare).unwrap().contains_key(Path::new("managed/loose.rs")));
        // The workspace's companions laid over it: the operations find their objects again.
        let api = crate::read_api(Some(&old)).unwrap();
        assert!(api.loose.is_empty(), "{:?}", api.loose.first());
        let methods: usize = api.managed.iter().map(|object| object.methods.len()).sum();
        assert_eq!((methods, api.types.len()), (bare.loose.len(), bare.types.len()));
        let machine = api.managed.iter().find(|object| object.name == "VirtualMachine").unwrap();
        assert!(machine.properties.iter().any(|property| property.name == "runtime"));
    }
}
