//! `cargo xtask dist`: what is shipped. One binary per platform is built once, and packed for all who install it.

mod archive;
mod binary;
mod bundle;
mod check;
mod crates;
mod graph;
mod image;
mod npm;
mod papers;
mod platform;
mod registry;
mod tools;
mod wheel;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use ring::digest::{SHA256, digest};

use crate::peers::install::run as run_command;
use platform::Platform;
use registry::Owner;
use tools::Tools;

/// What the program is called, in every registry.
const NAME: &str = "mcvsphere";

/// What it is, in one line.
const SUMMARY: &str = "An MCP server that gives AI assistants full control of VMware vSphere";

/// The package that it is built of.
const PACKAGE: &str = "mcvsphere-mcp";

/// Arguments of `cargo xtask dist`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build for this target alone, such as x86_64-unknown-linux-musl
    #[arg(long, value_name = "TRIPLE")]
    target: Vec<String>,
    /// Pack the binaries that were built before
    #[arg(long)]
    no_build: bool,
    /// Only say how large the binaries are that were built before
    #[arg(long)]
    sizes: bool,
    /// Only install what dist/ has for this computer in empty places, and use it there
    #[arg(long)]
    check: bool,
    /// Only pack the crates for crates.io, and check what was packed
    #[arg(long)]
    crates: bool,
    /// With --crates: also build each crate from its package
    #[arg(long, requires = "crates")]
    verify: bool,
}

/// A release of one version for some platforms.
struct Release {
    root: PathBuf,
    /// Where all goes.
    dist: PathBuf,
    version: String,
    /// Where its sources are, once Cargo.toml says so. What names it to a registry follows from that.
    repository: Option<String>,
    /// The time of the last commit, which is the time of all files.
    epoch: u64,
    binaries: Vec<Binary>,
}

/// The program for a platform.
struct Binary {
    platform: &'static Platform,
    path: PathBuf,
}

impl Binary {
    /// Puts the program into a folder, which is made where it is not there.
    fn put_into(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        let program = folder.join(NAME);
        fs::copy(&self.path, &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}

impl Release {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let root = crate::workspace("");
        let graph::Package { version, repository, target } = graph::package(PACKAGE)?;
        let binary = |platform: &'static Platform| {
            let path = target.join(platform.target).join("dist").join(NAME);
            Binary { platform, path }
        };
        Ok(Self {
            dist: root.join("dist"),
            epoch: last_commit(&root)?,
            binaries: platform::chosen(&args.target)?.into_iter().map(binary).collect(),
            version,
            repository,
            root,
        })
    }

    /// The program that runs on this computer.
    fn native(&self) -> anyhow::Result<&Binary> {
        let found = self.binaries.iter().find(|binary| binary.platform.runs_here());
        found.context("none of the targets runs on this computer")
    }

    /// Whose the sources are, once that is settled.
    fn owner(&self) -> Option<Owner> {
        Owner::of(self.repository.as_deref()?)
    }

    /// The MCP bundle of a platform.
    fn bundle(&self, binary: &Binary) -> PathBuf {
        let (system, processor) = binary.platform.node;
        self.file(NAME, &format!("{system}-{processor}"), ".mcpb")
    }

    /// A file of the release, whose name says the version and the platform.
    fn file(&self, name: &str, platform: &str, ending: &str) -> PathBuf {
        self.dist.join(format!("{name}-{}-{platform}{ending}", self.version))
    }
}

/// Builds, packs and measures, or checks what was packed.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    if args.crates {
        return crates::run(args.verify);
    }
    let release = Release::new(&args)?;
    if args.sizes {
        return binary::sizes(&release);
    }
    if args.check {
        return check::run(&release);
    }
    let tools = Tools::install(&release.root)?;
    if !args.no_build {
        for binary in &release.binaries {
            binary::build(&release, &tools, binary)?;
        }
    }
    binary::sizes(&release)?;
    empty(&release.dist)?;
    let papers = papers::write(&release, &tools)?;
    for binary in &release.binaries {
        archive::write(&release, binary, &papers)?;
        wheel::write(&release, &tools, binary)?;
    }
    npm::write(&release)?;
    image::write(&release, &tools, &papers)?;
    bundle::write(&release, &tools)?;
    registry::write(&release)?;
    sums(&release.dist)
}

/// The time of the last commit, in seconds since 1970, or that of `SOURCE_DATE_EPOCH`.
fn last_commit(root: &Path) -> anyhow::Result<u64> {
    let told = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(told) => told,
        Err(_) => output(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root))?,
    };
    told.trim().parse().with_context(|| format!("{told:?} is no time"))
}

/// Removes the folder with all that is in it, and creates it empty.
fn empty(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} cannot be emptied", folder.display()))?;
    }
    fs::create_dir_all(folder)?;
    Ok(())
}

/// Writes `SHA256SUMS`, as `sha256sum --check` reads it.
fn sums(dist: &Path) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(dist)? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().context("a file has no name")?.to_string_lossy().into_owned();
            lines.push((sha256(&fs::read(&path)?), name));
        }
    }
    lines.sort_by(|a, b| a.1.cmp(&b.1));
    for (_, name) in &lines {
        say(&format!("{:>11}  dist/{name}", fs::metadata(dist.join(name))?.len()));
    }
    let text: String = lines.iter().map(|(sum, name)| format!("{sum}  {name}\n")).collect();
    fs::write(dist.join("SHA256SUMS"), text)?;
    Ok(())
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a command and answers what it prints.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{error}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn say(line: &str) {
    println!("{line}");
}
