//! The tools that build and pack: from PyPI, npm and crates.io, below `.peers`.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

use super::{Platform, run_command, say};
use crate::peers::install;

/// Writes the list of crates into a binary, where `cargo audit bin` and scanners of images find it.
const CARGO_AUDITABLE: &str = "0.7.7";

/// Where the tools are.
pub(super) struct Tools {
    /// Zig, cargo-zigbuild, uv, wheel and certifi.
    python: PathBuf,
    auditable: PathBuf,
    /// The packer of MCP bundles.
    pub(super) mcpb: PathBuf,
}

impl Tools {
    /// Installs what is missing.
    ///
    /// # Errors
    /// Something cannot be installed.
    pub(super) fn install(root: &Path) -> anyhow::Result<Self> {
        let python = install::environment(root, "dist", "Zig, cargo-zigbuild, uv and wheel")?;
        let mcpb = install::from_npm(root, "mcpb", "the packer of MCP bundles")?;
        let auditable = root.join(".peers/cargo-auditable");
        let program = auditable.join("bin/cargo-auditable");
        let pinned = auditable.join(CARGO_AUDITABLE);
        if !program.exists() || !pinned.exists() {
            say("installing cargo-auditable");
            let mut cargo = crate::cargo();
            cargo.args(["install", "--quiet", "--locked", "cargo-auditable", "--version", CARGO_AUDITABLE, "--root"]);
            run_command(cargo.arg(&auditable).env_remove("CARGO_TARGET_DIR"))?;
            std::fs::write(pinned, "")?;
        }
        Ok(Self { python, auditable, mcpb: mcpb.join("node_modules/.bin/mcpb") })
    }

    /// A program of the environment of Python.
    pub(super) fn python(&self, name: &str) -> Command {
        Command::new(self.python.join("bin").join(name))
    }

    /// The authorities that Mozilla trusts, in PEM.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn authorities(&self) -> anyhow::Result<Vec<u8>> {
        let path = super::output(self.python("python").args(["-m", "certifi"]))?;
        std::fs::read(path.trim()).with_context(|| format!("{} cannot be read", path.trim()))
    }

    /// Cargo with what builds for another platform.
    ///
    /// # Errors
    /// The standard library of the platform is missing and cannot be installed.
    pub(super) fn cargo(&self, platform: &Platform) -> anyhow::Result<Command> {
        let installed = super::output(Command::new("rustup").args(["target", "list", "--installed"]))?;
        if !installed.lines().any(|target| target == platform.target) {
            say(&format!("installing the standard library for {}", platform.target));
            let added = Command::new("rustup").args(["target", "add", platform.target]).status()?;
            ensure!(added.success(), "rustup has no standard library for {}", platform.target);
        }
        let mut cargo = crate::cargo();
        cargo.env("PATH", self.path()?);
        Ok(cargo)
    }

    /// The search path with these tools first.
    fn path(&self) -> anyhow::Result<OsString> {
        let own = [self.python.join("bin"), self.auditable.join("bin")];
        let others = std::env::var_os("PATH").unwrap_or_default();
        Ok(std::env::join_paths(own.into_iter().chain(std::env::split_paths(&others)))?)
    }
}
