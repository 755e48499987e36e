//! `cargo xtask bench`: one measurement a subcommand, printed as `name: value` lines beside its bar.

mod build;
mod decode;
mod http;
mod inventory;
mod lease;
mod mcp;
mod scale;
mod server;
mod sim;
mod transfer;

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
    /// The MCP server over HTTP: calls a second and their times beside FastMCP, idle sessions, and the restart of a replica.
    Http(http::Args),
    /// Send the calls of many users and print what came of them: the part of `http` that needs a process of its own.
    #[command(hide = true)]
    HttpLoad(http::LoadArgs),
    /// Time, CPU and peak memory of reading five properties of all virtual machines, beside govmomi and pyVmomi.
    Inventory(inventory::Args),
    /// Run a command and print what it took: the part of `inventory` that needs a process of its own.
    #[command(hide = true)]
    InventoryOnce {
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Rate and peak memory of sending a large disk through a lease and back, beside curl.
    Lease(lease::Args),
    /// Start of the MCP server, its list of machines cold and warm, and a snapshot of many machines at once.
    Mcp(mcp::Args),
    /// The MCP server before a large inventory: lists, lookups by name and the cache, in requests, bytes and time, beside another
    /// build of it.
    Scale(scale::Args),
    /// Start and memory of the simulated vCenter, and its answers beside those of vcsim.
    Sim(sim::Args),
    /// Rate and peak memory of moving a large file to a datastore and back, beside curl.
    Transfer(transfer::Args),
    /// Run a command and print what it took and said: the part of `transfer` and `lease` that needs a process of its own.
    #[command(hide = true)]
    TransferOnce {
        #[arg(last = true)]
        command: Vec<String>,
    },
}

/// Runs the measurement that is asked for.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    match args.what {
        What::Decode(args) => decode::run(&args),
        What::Build => build::run(),
        What::BuildOnce { release } => build::once(release),
        What::Http(args) => http::run(&args),
        What::HttpLoad(args) => http::generate(&args),
        What::Inventory(args) => inventory::run(&args),
        What::InventoryOnce { command } => inventory::once(&command),
        What::Lease(args) => lease::run(&args),
        What::Mcp(args) => mcp::run(&args),
        What::Scale(args) => scale::run(&args),
        What::Sim(args) => sim::run(&args),
        What::Transfer(args) => transfer::run(&args),
        What::TransferOnce { command } => transfer::once(&command),
    }
}

#[expect(clippy::print_stdout, reason = "a task for people and scripts prints")]
fn say(line: &str) {
    println!("{line}");
}
