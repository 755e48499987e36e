//! The speed and the memory of typed decoding.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};

/// What to decode.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A recorded SOAP answer to decode, in place of the made one.
    #[arg(long)]
    input: Option<PathBuf>,
    /// How many machines the made answer holds.
    #[arg(long, default_value_t = 5_000)]
    vms: usize,
    /// How often each side runs.
    #[arg(long, default_value_t = 15)]
    runs: usize,
}

/// Builds and runs the model's benchmarks. They are its own, optimised by cargo's bench profile: this program neither
/// is optimised nor may depend on the model, because it generates it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut bench = crate::cargo();
    bench.args([
        "bench",
        "--quiet",
        "--package",
        "vsphere-model",
        "--bench",
        "decode",
        "--bench",
        "decode_memory",
        "--",
    ]);
    bench.arg("--vms").arg(args.vms.to_string()).arg("--runs").arg(args.runs.to_string());
    if let Some(input) = &args.input {
        // The benchmarks run in the folder of their package.
        let input = input.canonicalize().with_context(|| input.display().to_string())?;
        bench.arg("--input").arg(input);
    }
    let status = bench.current_dir(crate::workspace("")).status().context("cargo bench")?;
    ensure!(status.success(), "the benchmark failed");
    Ok(())
}
