//! `cargo xtask peers`: the tests against programs that others wrote.
//!
//! They are ordinary tests whose names start with `peers_`, ignored by plain `cargo test`. This task installs what they
//! need into `.peers`, names it to them by environment variables, and runs them: those that need much or take long, named
//! `peers_slow_`, only with `--all`.

pub(crate) mod install;

use std::{path::PathBuf, process::Command};

use anyhow::ensure;

/// Arguments of `cargo xtask peers`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only install the peers and print where they are.
    #[arg(long)]
    install_only: bool,
    /// Also check the workflows of GitHub, install what is large, and run the tests that take long: those with `peers_slow_` in their names.
    #[arg(long)]
    all: bool,
    /// Run only the tests of this package.
    #[arg(long, short)]
    package: Option<String>,
    /// Run only the tests with this text in their names.
    filter: Option<String>,
}

/// Installs the peers, and runs the tests that are marked for them.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let root = crate::workspace("");
    let peers = install::all(&root, args.all)?;
    if args.install_only {
        for (name, path) in &peers {
            say(&format!("{name}={}", path.display()));
        }
        return Ok(());
    }
    if args.all {
        install::run(Command::new(install::actionlint(&root)?).current_dir(&root))?;
    }
    let mut cargo = crate::cargo();
    cargo.args(["test", "--no-fail-fast"]);
    match &args.package {
        Some(package) => cargo.args(["--package", package]),
        None => cargo.arg("--workspace"),
    };
    // Doctests are left out: `--ignored` would run the ones that are only meant to be read.
    cargo.args(["--lib", "--bins", "--tests", "--", "--ignored"]);
    cargo.arg(args.filter.as_deref().unwrap_or("peers_")).envs(peers);
    if !args.all {
        cargo.args(["--skip", "peers_slow_"]);
    }
    ensure!(cargo.status()?.success(), "a test against the peers failed");
    Ok(())
}

/// The vcsim that the environment names, or else the one below `.peers`, installed if need be.
pub(crate) fn vcsim() -> anyhow::Result<PathBuf> {
    match std::env::var_os("PEERS_VCSIM") {
        Some(path) => Ok(path.into()),
        None => install::vcsim(&crate::workspace("")),
    }
}

/// The Python of an environment with FastMCP below `.peers`, and the script of a server on it.
pub(crate) fn fastmcp() -> anyhow::Result<(PathBuf, PathBuf)> {
    install::fastmcp(&crate::workspace(""))
}

/// The program on govmomi that reads an inventory, built below `.peers`.
pub(crate) fn go_inventory() -> anyhow::Result<PathBuf> {
    install::go_inventory(&crate::workspace(""))
}

/// The folder with the scripts on pyVmomi, and the one below `.peers` with its modules.
pub(crate) fn pyvmomi() -> anyhow::Result<(PathBuf, PathBuf)> {
    install::pyvmomi(&crate::workspace(""))
}

#[expect(clippy::print_stdout, reason = "a task for people and scripts prints")]
fn say(line: &str) {
    println!("{line}");
}
