//! `cargo xtask`: generate, check, measure.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks by printing")]

mod bench;
mod book;
mod codegen;
mod companions;
mod derive;
mod dist;
mod docs;
mod effects;
mod emit;
mod ir;
mod peers;
mod pitfalls;
mod scratch;
mod stats;
mod tree;
mod wsdl;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use clap::{Parser, Subcommand};

/// The tasks of this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure what a bar asks for and print it as `name: value` lines.
    Bench(bench::Args),
    /// Derive the WSDL and its companions from the metadata of the pinned pyVmomi.
    Wsdl(derive::Args),
    /// Generate the bindings of vsphere-model from a WSDL.
    Codegen(codegen::Args),
    /// Check that each public item of vsphere-ops is shown in a doctest or an example, and that each row of
    /// `docs/pitfalls.md` has its tests.
    Docs {
        /// Write the list of tests in `docs/pitfalls.md`.
        #[arg(long)]
        write: bool,
    },
    /// Check the pages and links of the documentation, and make a book of it.
    Book(book::Args),
    /// Build what is shipped, pack it for all who install it into `dist/`, and check it there.
    Dist(dist::Args),
    /// Run the tests that need real servers and clients, installing these into `.peers` first.
    Peers(peers::Args),
    /// Count what a WSDL describes.
    Stats(stats::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Bench(args) => bench::run(args),
        Task::Book(args) => book::run(&args),
        Task::Dist(args) => dist::run(args),
        Task::Docs { write } => pitfalls::run(write).and_then(|()| docs::run()),
        Task::Peers(args) => peers::run(args),
        Task::Wsdl(args) => derive::run(&args),
        Task::Codegen(args) => codegen::run(&args),
        Task::Stats(args) => stats::run(&args),
    }
}

/// A path of the workspace.
fn workspace(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.unwrap_or(Path::new(".")).join(path)
}

/// The cargo that runs this task, for another run in the workspace.
///
/// `cargo run` tells a program about its package by variables that build scripts ask for too. Were they to reach the inner
/// run, every crate with such a script, and all above it, would be compiled again.
fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace(""));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Reads the WSDL in a directory, with its own companions or else the workspace's.
fn read_api(wsdl: Option<&Path>) -> anyhow::Result<ir::Api> {
    let own = workspace("wsdl");
    let dir = wsdl.unwrap_or(&own);
    let companions = if companions::are_in(dir) { dir } else { &own };
    let mut api = wsdl::read(dir, Some(companions))?;
    effects::lay_over(&mut api, &own.join("effects.json"))?;
    Ok(api)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
