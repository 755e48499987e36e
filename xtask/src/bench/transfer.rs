//! What it costs to move a file to a datastore and back, beside curl in the same run.
//!
//! The server is vcsim over TLS, a process of its own that treats both alike. Ours are the examples that a user would
//! start from, so that connecting, the checksum and the progress are in their time. Each transfer runs below a process
//! of its own, whose children's time and memory are that transfer's alone.

use std::fs::File;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use super::say;
use super::server::{Server, example};
use crate::scratch::Scratch;

const DATASTORE: &str = "LocalDS_0";
const PATH: &str = "bench.bin";
pub(super) const LEAST_RATIO: u32 = 70;
pub(super) const MOST_PEAK_MB: u64 = 64;

/// Arguments of `cargo xtask bench transfer`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The size of the file, in MB.
    #[arg(long, default_value_t = 2000)]
    size_mb: u64,
    /// How often each transfer runs; the fastest counts.
    #[arg(long, default_value_t = 3)]
    runs: u32,
}

/// Measures both ways.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let programs = [("upload", example("datastore_upload")?), ("download", example("datastore_download")?)];
    let scratch = Scratch::new()?;
    let server = Server::start(scratch.path(), &[])?;
    let (source, back) = (scratch.path().join("source"), scratch.path().join("back"));
    // What is in it does not matter to anybody on the way: nothing is compressed.
    File::create(&source)?.set_len(args.size_mb * 1_000_000)?;

    let url = format!("https://{}/folder/{PATH}?dcPath=DC0&dsName={DATASTORE}", server.address);
    for (way, program) in programs {
        let file = if way == "upload" { &source } else { &back };
        let mut curl = Command::new("curl");
        curl.args(["-sSkf", "-u", "user:pass", if way == "upload" { "-T" } else { "-o" }]).arg(file).arg(&url);
        let mut ours = Command::new(program);
        ours.args([DATASTORE, PATH]).arg(file);
        let (mut best_curl, mut best_ours) = (Measured::worst(), Measured::worst());
        let mut peak_mb = 0;
        for _ in 0..args.runs.max(1) {
            best_curl = best_curl.faster(measure(&curl, &server.environment())?);
            let measured = measure(&ours, &server.environment())?;
            peak_mb = peak_mb.max(measured.peak_mb);
            best_ours = best_ours.faster(measured);
            if way == "download" {
                ensure!(back.metadata()?.len() == source.metadata()?.len(), "the file came back with another length");
            }
        }
        let rate = |measured: &Measured| args.size_mb as f64 / measured.seconds;
        say(&format!("{way}_curl_mb_per_s: {:.0} (CPU {:.1} s)", rate(&best_curl), best_curl.cpu_seconds));
        say(&format!("{way}_ours_mb_per_s: {:.0} (CPU {:.1} s)", rate(&best_ours), best_ours.cpu_seconds));
        let ratio = rate(&best_ours) * 100.0 / rate(&best_curl);
        say(&format!("{way}_ratio_percent: {ratio:.0} (bar: at least {LEAST_RATIO})"));
        say(&format!("{way}_peak_mb: {peak_mb} (bar: less than {MOST_PEAK_MB})"));
    }
    Ok(())
}

/// Runs a command and prints `SECONDS CPU-SECONDS PEAK-MB`, and the last word that it says, for [`measure`] alone.
pub(super) fn once(command: &[String]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("run what?")?;
    let start = Instant::now();
    let output = Command::new(program).args(arguments).output()?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(output.status.success(), "{program} failed: {}", String::from_utf8_lossy(&output.stderr));
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = (usage.user_time() + usage.system_time()).num_milliseconds() as f64 / 1000.0;
    // Linux counts the maximum in kilobytes.
    let said = String::from_utf8_lossy(&output.stdout);
    let said = said.split_whitespace().last().unwrap_or_default();
    say(&format!("{seconds:.3} {cpu:.2} {} {said}", usage.max_rss() / 1024));
    Ok(())
}

pub(super) struct Measured {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) peak_mb: u64,
    /// The last word that the command said.
    pub(super) said: String,
}

impl Measured {
    pub(super) fn worst() -> Self {
        Self { seconds: f64::INFINITY, cpu_seconds: 0.0, peak_mb: 0, said: String::new() }
    }

    pub(super) fn faster(self, other: Self) -> Self {
        if other.seconds < self.seconds { other } else { self }
    }
}

/// Runs a command below a process of its own, with these variables.
pub(super) fn measure(command: &Command, environment: &[(&str, &str)]) -> anyhow::Result<Measured> {
    let mut child = Command::new(std::env::current_exe()?);
    child.args(["bench", "transfer-once", "--"]).arg(command.get_program()).args(command.get_args());
    child.envs(environment.iter().copied());
    let output = child.output()?;
    let answer = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut words = answer.split_whitespace();
    let mut word = || words.next().with_context(|| format!("no measurement in {answer:?}"));
    let (seconds, cpu_seconds, peak_mb) = (word()?.parse()?, word()?.parse()?, word()?.parse()?);
    Ok(Measured { seconds, cpu_seconds, peak_mb, said: word().unwrap_or_default().to_owned() })
}
