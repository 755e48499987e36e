//! The platforms, and what each registry calls them.

use anyhow::{Context, ensure};

/// A platform that binaries are built for.
#[derive(Debug)]
pub(super) struct Platform {
    /// As Rust calls it.
    pub(super) target: &'static str,
    /// As wheels call it, in the order in which their packer writes it. A static program is for every C library.
    pub(super) wheel: &'static str,
    /// As Node.js calls its system and its processor.
    pub(super) node: (&'static str, &'static str),
    /// As images call its processor.
    pub(super) image: &'static str,
    /// As Rust calls its processor in `std::env::consts`.
    processor: &'static str,
}

/// All that are shipped.
const ALL: [Platform; 2] = [
    Platform {
        target: "x86_64-unknown-linux-musl",
        wheel: "manylinux2014_x86_64.manylinux_2_17_x86_64.musllinux_1_1_x86_64",
        node: ("linux", "x64"),
        image: "amd64",
        processor: "x86_64",
    },
    Platform {
        target: "aarch64-unknown-linux-musl",
        wheel: "manylinux2014_aarch64.manylinux_2_17_aarch64.musllinux_1_1_aarch64",
        node: ("linux", "arm64"),
        image: "arm64",
        processor: "aarch64",
    },
];

impl Platform {
    /// Whether its programs run on this computer.
    pub(super) fn runs_here(&self) -> bool {
        std::env::consts::OS == self.node.0 && std::env::consts::ARCH == self.processor
    }
}

/// The platforms with these targets; all where none is named.
///
/// # Errors
/// One is not known.
pub(super) fn chosen(targets: &[String]) -> anyhow::Result<Vec<&'static Platform>> {
    if targets.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let known: Vec<&str> = ALL.iter().map(|platform| platform.target).collect();
    ensure!(targets.iter().all(|target| known.contains(&target.as_str())), "the targets are {}", known.join(", "));
    let found = |target: &String| ALL.iter().find(|platform| platform.target == target);
    targets.iter().map(|target| found(target).with_context(|| format!("{target} is not known"))).collect()
}
