//! `cargo xtask bench`: one measurement a subcommand, printed as `name: value` lines beside its bar.

mod build;
mod decode;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Decode the configuration of thousands of machines; compare with the tokenizer alone.
    Decode(decode::Args),
    /// CPU seconds and peak memory of compiling vsphere-model alone, cold, for debug and release.
    Build,
    /// Compile vsphere-model once and print what it took: the part of `build` that needs a process of its own.
    #[command(hide = true)]
    BuildOnce {
        #[arg(long)]
        release: bool,
    },
}

/// Runs the measurement that is asked for.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    match args.what {
        What::Decode(args) => decode::run(&args),
        What::Build => build::run(),
        What::BuildOnce { release } => build::once(release),
    }
}

#[expect(clippy::print_stdout, reason = "a task for people and scripts prints")]
fn say(line: &str) {
    println!("{line}");
}
