//! `cargo xtask bench`: what is measured, each as `name: value` lines.

mod decode;

use clap::Subcommand;

/// The measurements.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Decode the configuration of thousands of machines; compare with the tokenizer alone.
    Decode(decode::Args),
}

/// Runs a measurement.
pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Decode(args) => decode::run(args),
    }
}
