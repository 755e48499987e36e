//! What it costs to compile vsphere-model.
//!
//! The operating system counts the time and memory of children as one sum and one maximum for the whole life of a
//! process. So each measured build runs below a process of its own, which has no other children.

use std::process::Command;

use anyhow::{Context, ensure};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};

use super::say;

/// A profile and its bars.
struct Bars {
    profile: &'static str,
    cpu_seconds: f64,
    peak_mb: Option<u64>,
}

const BARS: [Bars; 2] = [
    Bars { profile: "debug", cpu_seconds: 30.0, peak_mb: Some(2048) },
    Bars { profile: "release", cpu_seconds: 70.0, peak_mb: None },
];

/// Measures both profiles.
pub(super) fn run() -> anyhow::Result<()> {
    for bars in BARS {
        let release = bars.profile == "release";
        let measured = measure(release)?;
        say(&format!("{}_cpu_seconds: {:.1} (bar: at most {})", bars.profile, measured.cpu_seconds, bars.cpu_seconds));
        let bar = bars.peak_mb.map_or(String::new(), |mb| format!(" (bar: at most {mb})"));
        say(&format!("{}_peak_mb: {}{bar}", bars.profile, measured.peak_mb));
    }
    Ok(())
}

/// Compiles vsphere-model and prints `CPU-SECONDS PEAK-MB CRATES`, for [`measure`] alone.
pub(super) fn once(release: bool) -> anyhow::Result<()> {
    let output = cargo("build", "vsphere-model", release).output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "vsphere-model does not build:\n{log}");
    let crates = log.lines().filter(|line| line.trim_start().starts_with("Compiling ")).count();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time() + usage.system_time();
    // Linux counts the maximum in kilobytes.
    let peak_mb = usage.max_rss() / 1024;
    say(&format!("{} {peak_mb} {crates}", cpu.num_milliseconds() as f64 / 1000.0));
    Ok(())
}

struct Measured {
    cpu_seconds: f64,
    peak_mb: u64,
}

fn measure(release: bool) -> anyhow::Result<Measured> {
    let status = cargo("build", "vsphere-soap", release).status()?;
    ensure!(status.success(), "the dependencies of vsphere-model do not build");
    // Twice at most: should vsphere-model have dependencies that vsphere-soap lacks, the first try builds them.
    for _ in 0..2 {
        let status = cargo("clean", "vsphere-model", release).status()?;
        ensure!(status.success(), "cargo clean failed");
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["bench", "build-once"]).args(release.then_some("--release"));
        let output = child.output()?;
        let answer = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut words = answer.split_whitespace();
        let mut word = || words.next().with_context(|| format!("no measurement in {answer:?}"));
        let measured = Measured { cpu_seconds: word()?.parse()?, peak_mb: word()?.parse()? };
        if word()? == "1" {
            return Ok(measured);
        }
    }
    anyhow::bail!("more than vsphere-model alone was compiled")
}

/// A cargo call on one package, in a target folder that nothing else uses: other builds would make it warm.
fn cargo(verb: &str, package: &str, release: bool) -> Command {
    let mut command = crate::cargo();
    command.args([verb, "--package", package]);
    command.args(release.then_some("--release"));
    // What is measured is a dependency in another's workspace: not compiled incrementally, by cargo's own dev profile.
    command.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "full");
    command.arg("--target-dir").arg(crate::workspace("target/bench-build"));
    command
}
