//! What it costs to send a large disk through a lease and to read it back, beside curl in the same run.
//!
//! The server is the simulated vCenter over TLS, a process of its own. curl sends the same bytes to a datastore and reads
//! them from there, and computes no checksum; ours computes SHA-256 both ways, and what comes back must be what was sent.
//! The disk is made on the way from a seed, and thrown away where it arrives, so that only the server keeps it, once.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;

use super::say;
use super::server::{example, program};
use super::sim::Server;
use super::transfer::{LEAST_RATIO, MOST_PEAK_MB, Measured, measure};
use crate::scratch::Scratch;

const SEED: &str = "20";
const POOL: &str = "/DC0/host/DC0_C0/Resources";
const DATASTORE: &str = "DC0_DS0";
const USER: &str = "administrator@vsphere.local";
const PASSWORD: &str = "VMware1!";

/// Arguments of `cargo xtask bench lease`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The size of the disk, in MB: as much space is taken for temporary files.
    #[arg(long, default_value_t = 4000)]
    size_mb: u64,
    /// How often each transfer runs; the fastest counts.
    #[arg(long, default_value_t = 1)]
    runs: u32,
}

/// Measures both ways.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let stream = example("lease_stream")?;
    let mcvsphere = program("mcvsphere-mcp", "mcvsphere")?;
    let mut best: [Measured; 4] = std::array::from_fn(|_| Measured::worst());
    let mut peaks = [0, 0];
    for _ in 0..args.runs.max(1) {
        let [curl_up, up, curl_down, down] = once(&mcvsphere, &stream, args.size_mb)?;
        ensure!(up.said.len() == 64 && up.said == down.said, "{} was sent, and {} came back", up.said, down.said);
        say(&format!("sha256_both_ways: {}", down.said));
        peaks = [peaks[0].max(up.peak_mb), peaks[1].max(down.peak_mb)];
        let mut measured = [curl_up, up, curl_down, down].into_iter();
        best = best.map(|best| best.faster(measured.next().unwrap_or_else(Measured::worst)));
    }
    let [curl_up, up, curl_down, down] = &best;
    for (way, curl, ours, peak) in [("up", curl_up, up, peaks[0]), ("down", curl_down, down, peaks[1])] {
        let rate = |measured: &Measured| args.size_mb as f64 / measured.seconds;
        say(&format!("{way}_curl_mb_per_s: {:.0} (CPU {:.1} s)", rate(curl), curl.cpu_seconds));
        say(&format!("{way}_ours_mb_per_s: {:.0} (CPU {:.1} s)", rate(ours), ours.cpu_seconds));
        say(&format!("{way}_ratio_percent: {:.0} (bar: at least {LEAST_RATIO})", rate(ours) * 100.0 / rate(curl)));
        say(&format!("{way}_peak_mb: {peak} (bar: less than {MOST_PEAK_MB})"));
    }
    Ok(())
}

/// curl up, ours up, curl down, ours down, before a server of their own. Of the two disks there is one at a time.
fn once(mcvsphere: &Path, stream: &Path, size_mb: u64) -> anyhow::Result<[Measured; 4]> {
    let scratch = Scratch::new()?;
    let mut simulator = Command::new(mcvsphere);
    simulator
        .args(["sim", "--listen", "127.0.0.1:0", "--pace", "0", "--vms", "0", "--hosts", "2"])
        .env("TMPDIR", scratch.path());
    let server = Server::start(simulator, "VCENTER_HOST=")?;
    let environment = [
        ("VCENTER_HOST", server.address.as_str()),
        ("VCENTER_USER", USER),
        ("VCENTER_PASSWORD", PASSWORD),
        ("VCENTER_INSECURE", "true"),
    ];
    let measured = |command: &mut Command| measure(command, &environment);
    let size = size_mb.to_string();
    let url = format!("https://{}/folder/bench/disk.vmdk?dcPath=DC0&dsName={DATASTORE}", server.address);
    let curl = format!("curl -sSkf -u {USER}:{PASSWORD} '{url}'");
    let make = format!("'{}' make {size} {SEED}", stream.display());
    let length = size_mb * 1_000_000;
    let piped = format!("{make} | {curl} -T - -H 'Content-Length: {length}'");
    let shell = |text: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", text]);
        shell
    };
    let curl_up = measured(&mut shell(&piped))?;
    let curl_down = measured(&mut shell(&format!("{curl} -o /dev/null")))?;
    ensure!(shell(&format!("{curl} -X DELETE")).status()?.success(), "curl does not remove what it sent");
    let up = measured(Command::new(stream).args(["up", "bench", POOL, DATASTORE, &size, SEED]))?;
    let down = measured(Command::new(stream).args(["down", "bench"]))?;
    Ok([curl_up, up, curl_down, down])
}
