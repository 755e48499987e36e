//! What it costs to read five properties of all virtual machines, beside govmomi and pyVmomi in the same run.
//!
//! Each is a small program, written as the library's own examples are, that connects over TLS, reads, and leaves; they
//! run in turn, and must agree on the number of machines and a checksum of the values. Each runs below a process of its
//! own, whose children's time and memory are that program's alone.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use super::say;
use super::server::{Server, example};
use crate::peers;
use crate::scratch::Scratch;

/// Arguments of `cargo xtask bench inventory`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many virtual machines vcsim has; 5000 take it minutes to make.
    #[arg(long, default_value_t = 5000)]
    vms: u32,
    /// How often each program runs.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// Measures the three programs.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let ours = Command::new(example("vm_totals")?);
    let govmomi = Command::new(peers::go_inventory()?);
    let (scripts, modules) = peers::pyvmomi()?;
    let mut pyvmomi = Command::new("python3");
    pyvmomi.arg(scripts.join("inventory.py")).env("PYTHONPATH", modules);
    let mut programs = [("ours", ours), ("govmomi", govmomi), ("pyvmomi", pyvmomi)].map(|(name, command)| Program {
        name,
        command,
        runs: Vec::new(),
    });

    let scratch = Scratch::new()?;
    let start = Instant::now();
    let vms = args.vms.to_string();
    let server = Server::start(scratch.path(), &["-cluster", "1", "-standalone-host", "0", "-vm", &vms])?;
    say(&format!("vms: {vms}"));
    say(&format!("server_start_s: {:.0}", start.elapsed().as_secs_f64()));

    let mut agreed = None;
    for _ in 0..args.runs.max(1) {
        for program in &mut programs {
            let measured = measure(&program.command, &server)?;
            let read = agreed.get_or_insert_with(|| measured.read.clone());
            ensure!(measured.read == *read, "{} read {}, not {read}", program.name, measured.read);
            program.runs.push(measured);
        }
    }
    let read = agreed.unwrap_or_default();
    ensure!(read.split(' ').next() == Some(vms.as_str()), "the programs read another number of machines: {read}");
    say(&format!("read: {read} (machines, and the checksum that all three agree on)"));
    report(&programs);
    Ok(())
}

fn report(programs: &[Program; 3]) {
    for (title, figure) in FIGURES {
        let [ours, others @ ..] = programs.each_ref().map(|program| {
            let (best, median) = program.best_and_median(figure);
            say(&format!("{}_{title}: {best:.1} best, {median:.1} median", program.name));
            (program.name, best, median)
        });
        for (name, best, median) in others {
            let bar = match (title, name) {
                ("wall_ms", "govmomi") => " (bar: at most 100)",
                ("wall_ms", _) => "",
                _ => " (bar: less than 100)",
            };
            let percent = |ours: f64, other: f64| ours * 100.0 / other;
            say(&format!(
                "{title}_percent_of_{name}: {:.0} best, {:.0} median{bar}",
                percent(ours.1, best),
                percent(ours.2, median)
            ));
        }
    }
}

/// Runs a command and prints `WALL-MS USER-MS PEAK-KB` and the first line of what it says, for [`measure`] alone.
pub(super) fn once(command: &[String]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("run what?")?;
    let start = Instant::now();
    let output = Command::new(program).args(arguments).output()?;
    let wall = start.elapsed().as_secs_f64() * 1000.0;
    ensure!(output.status.success(), "{program} failed: {}", String::from_utf8_lossy(&output.stderr));
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let user = usage.user_time().num_microseconds() as f64 / 1000.0;
    let said = String::from_utf8_lossy(&output.stdout);
    // Linux counts the maximum in kilobytes.
    say(&format!("{wall:.1} {user:.1} {} {}", usage.max_rss(), said.lines().next().unwrap_or_default()));
    Ok(())
}

type Figure = fn(&Measured) -> f64;

const FIGURES: [(&str, Figure); 3] = [
    ("wall_ms", |measured| measured.wall_ms),
    ("user_cpu_ms", |measured| measured.user_ms),
    ("peak_mb", |measured| measured.peak_kb / 1024.0),
];

struct Program {
    name: &'static str,
    command: Command,
    runs: Vec<Measured>,
}

impl Program {
    fn best_and_median(&self, figure: Figure) -> (f64, f64) {
        let mut values: Vec<f64> = self.runs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        (at(0), at(values.len() / 2))
    }
}

struct Measured {
    wall_ms: f64,
    user_ms: f64,
    peak_kb: f64,
    /// What the program says of what it read.
    read: String,
}

fn measure(command: &Command, server: &Server) -> anyhow::Result<Measured> {
    let mut child = Command::new(std::env::current_exe()?);
    child.args(["bench", "inventory-once", "--"]).arg(command.get_program()).args(command.get_args());
    child.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).envs(server.environment());
    let output = child.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer = String::from_utf8_lossy(&output.stdout);
    let mut words = answer.trim_end().splitn(4, ' ');
    let mut word = || words.next().with_context(|| format!("no measurement in {answer:?}"));
    Ok(Measured {
        wall_ms: word()?.parse()?,
        user_ms: word()?.parse()?,
        peak_kb: word()?.parse()?,
        read: word()?.to_owned(),
    })
}
