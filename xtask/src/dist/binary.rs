//! The binaries: built static, small, and with the list of the crates that are in them.

use std::fs;

use anyhow::{Context, ensure};

use super::{Binary, NAME, PACKAGE, Release, run_command, say, tools::Tools};

/// The size limit of a binary in bytes, with the simulator and all tools in it. A commit that raises it says why. The goal is
/// 25 MB.
const MOST_BYTES: u64 = 35_500_000;

/// Builds the binary for its platform.
///
/// # Errors
/// It does not build.
pub(super) fn build(release: &Release, tools: &Tools, binary: &Binary) -> anyhow::Result<()> {
    let mut cargo = tools.cargo(binary.platform)?;
    cargo.args(["auditable", "zigbuild", "--locked", "--profile", "dist", "--target", binary.platform.target]);
    cargo.args(["--package", PACKAGE, "--bin", NAME]);
    // What is built elsewhere, or by another user, is the same.
    let mut flags = vec![format!("--remap-path-prefix={}=/mcvsphere", release.root.display())];
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    if let Some(home) = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))) {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    run_command(&mut cargo)
}

/// Says how large the binaries are.
///
/// # Errors
/// One is larger than the budget.
pub(super) fn sizes(release: &Release) -> anyhow::Result<()> {
    for Binary { platform, path } in &release.binaries {
        let bytes = fs::metadata(path).with_context(|| format!("{} is not built", path.display()))?.len();
        say(&format!("{}_bytes: {bytes} (budget: at most {MOST_BYTES})", platform.target));
        ensure!(bytes <= MOST_BYTES, "the binary for {} is over its budget", platform.target);
    }
    Ok(())
}
