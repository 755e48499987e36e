//! `cargo xtask codegen`: WSDL → intermediate form → Rust, formatted, under `vsphere-model/src/generated/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::scratch::Scratch;
use crate::tree::{self, Tree};
use crate::{emit, read_api, workspace};

/// Options of `codegen`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when the generated files are not what the WSDL gives.
    #[arg(long)]
    check: bool,
    /// The directory of the WSDL, such as a vCenter's own; the workspace's wsdl/ when not given.
    #[arg(long, value_name = "DIR")]
    wsdl: Option<PathBuf>,
    /// Where the files go; vsphere-model/src/generated/ when not given.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Generates or checks.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let api = read_api(args.wsdl.as_deref())?;
    for cost in &api.costs {
        eprintln!("note: {cost}");
    }
    let files = format(&emit::emit(&api)?)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| workspace("vsphere-model/src/generated"));
    if args.check {
        let difference = tree::compare(&out, &files, is_rust)?;
        if !difference.is_empty() {
            bail!(
                "{} is not up to date:\n{difference}mend it with `cargo xtask codegen`",
                out.display()
            );
        }
        println!("{}: {} files are up to date", out.display(), files.len());
    } else {
        let difference = tree::write(&out, &files, is_rust)?;
        println!(
            "{}: {} files, {} written, {} removed",
            out.display(),
            files.len(),
            difference.stale.len(),
            difference.extra.len()
        );
    }
    Ok(())
}

/// All Rust files below the output are generated; anything else there is none of ours.
fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Formats the files in one run of rustfmt.
fn format(files: &Tree) -> anyhow::Result<Tree> {
    if files.is_empty() {
        return Ok(Tree::new());
    }
    let scratch = Scratch::new()?;
    tree::write(scratch.path(), files, |_| false)?;
    let mut rustfmt = Command::new("rustfmt");
    rustfmt
        .args(["--edition", "2024", "--quiet"])
        .current_dir(scratch.path());
    rustfmt.args(files.keys().filter(|path| is_rust(path)));
    let status = rustfmt.status().context("cannot run rustfmt")?;
    if !status.success() {
        bail!("rustfmt refuses the generated files ({status})");
    }
    tree::read(scratch.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back_formatted() {
        let files = Tree::from([
            ("a/mod.rs".into(), "mod b;".to_owned()),
            ("a/b.rs".into(), "fn  b( ){ }".to_owned()),
        ]);
        let formatted = format(&files).unwrap();
        assert_eq!(formatted[Path::new("a/b.rs")], "fn b() {}\n");
        assert!(format(&Tree::from([("bad.rs".into(), "fn (".to_owned())])).is_err());
    }
}
