//! The MCP server before a large inventory: lists, lookups by name and the cache.
//!
//! vSphere is the simulated vCenter as a process of its own, with and without a delay before each answer. Requests and bytes are
//! counted by a proxy, in sessions of their own; times are taken without it. Where another build of the program is given, both
//! are measured in turn on the same simulator.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use peers::CountingProxy;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::mcp::{ADMINISTRATOR, Session, best_and_median};
use super::say;
use super::server::program;
use super::sim::Server;

/// Arguments of `cargo xtask bench scale`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many virtual machines the inventories have.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,50000")]
    vms: Vec<u32>,
    /// Milliseconds that each answer of the simulated vCenter takes longer.
    #[arg(long, value_delimiter = ',', default_value = "0,10")]
    latency: Vec<u32>,
    /// How often what takes time is measured.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How many calls are in flight at a time.
    #[arg(long, default_value_t = 50)]
    in_flight: usize,
    /// Measure this program in place of the one that is built for release. Its simulator serves both.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Measure this build of the program in turn with it.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
}

/// How long the cache may take to be loaded.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long calls are begun while many are in flight.
const FLIGHT: Duration = Duration::from_secs(3);

/// Measures the server, and another build of it beside.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let new = match &args.program {
        Some(path) => path.clone(),
        None => program("mcvsphere-mcp", "mcvsphere")?,
    };
    let runtime = Runtime::new()?;
    for (vms, latency) in args.vms.iter().flat_map(|vms| args.latency.iter().map(move |latency| (*vms, *latency))) {
        let mut command = Command::new(&new);
        command.args([
            "sim",
            "--plain",
            "--listen",
            "127.0.0.1:0",
            "--pace",
            "0",
            "--hosts",
            "64",
            "--datastores",
            "8",
        ]);
        command.args(["--vms", &vms.to_string(), "--latency", &latency.to_string()]);
        let sim = Server::start(command, "VCENTER_HOST=")?;
        let mut measured = Vec::new();
        for (name, program) in [("base", args.against.as_ref()), ("new", Some(&new))] {
            measured.extend(program.map(|program| (name, program, Measured::default())));
        }
        for _ in 0..args.runs.max(1) {
            for (_, program, measured) in &mut measured {
                measured.time(&Bench { program, sim: &sim, vms, args })?;
            }
        }
        for (name, program, mut measured) in measured {
            measured.count(&Bench { program, sim: &sim, vms, args }, &runtime)?;
            measured.report(&format!("{vms}_vms_{latency}_ms_{name}"));
        }
    }
    Ok(())
}

/// What is measured.
struct Bench<'a> {
    program: &'a Path,
    sim: &'a Server,
    vms: u32,
    args: &'a Args,
}

impl Bench<'_> {
    /// A session that is logged in to vSphere and has asked nothing else.
    fn session(&self, url: &str) -> anyhow::Result<Session> {
        let mut session = Session::open(self.program, url, ADMINISTRATOR)?;
        session.call("get_vcenter_info", &json!({}))?;
        Ok(session)
    }

    fn direct(&self) -> anyhow::Result<Session> {
        self.session(&format!("http://{}/sdk", self.sim.address))
    }

    /// One of the machines.
    fn name(&self, number: usize) -> String {
        format!("DC0_C0_VM{}", number * 7919 % self.vms as usize)
    }
}

/// What came out.
#[derive(Default)]
struct Measured {
    cold_page: Vec<Duration>,
    second_page: Vec<Duration>,
    warm_page: Vec<Duration>,
    /// What an earlier build may not know.
    found: Vec<Duration>,
    ordered: Vec<Duration>,
    grouped: Vec<Duration>,
    /// How much memory the cache takes for each VM, in KB.
    kb_a_vm: Vec<f64>,
    cold_info: Vec<Duration>,
    warm_info: Vec<Duration>,
    calls_a_second: Vec<f64>,
    memory_mb: Vec<u64>,
    peak_mb: Vec<u64>,
    cold_page_requests: usize,
    cold_page_mb: f64,
    load_requests: usize,
    load_mb: f64,
    cold_info_requests: usize,
    warm_info_requests: usize,
}

impl Measured {
    fn time(&mut self, bench: &Bench<'_>) -> anyhow::Result<()> {
        let mut session = bench.direct()?;
        self.cold_info.push(session.timed("get_vm_info", &json!({ "vm": bench.name(1) }))?.0);
        drop(session);

        let mut session = bench.direct()?;
        let (took, page, _) = session.timed("list_vms", &json!({}))?;
        ensure!(page["total"] == bench.vms, "there are {} machines, not {}", page["total"], bench.vms);
        self.cold_page.push(took);
        self.second_page.push(session.timed("list_vms", &json!({}))?.0);
        let without = memory_kb(&session, "VmRSS:")?;
        warm_up(&mut session)?;
        let cache = memory_kb(&session, "VmRSS:")?.saturating_sub(without);
        self.kb_a_vm.push(f64::from(u32::try_from(cache)?) / f64::from(bench.vms));
        for number in 0..5 {
            self.warm_page.push(session.timed("list_vms", &json!({}))?.0);
            self.warm_info.push(session.timed("get_vm_info", &json!({ "vm": bench.name(number) }))?.0);
            for (times, question) in [
                (&mut self.found, json!({ "find": bench.name(number) })),
                (&mut self.ordered, json!({ "sort": "-memory_mb" })),
                (&mut self.grouped, json!({ "group_by": "host" })),
            ] {
                times.extend(session.timed("list_vms", &question).map(|(took, ..)| took).ok());
            }
        }
        self.fly(bench, &mut session)
    }

    /// Keeps so many calls by name in flight for a while.
    fn fly(&mut self, bench: &Bench<'_>, session: &mut Session) -> anyhow::Result<()> {
        let started = Instant::now();
        let (mut begun, mut ended, mut flying) = (0, 0, HashSet::new());
        while begun == 0 || !flying.is_empty() {
            while flying.len() < bench.args.in_flight && (begun < bench.args.in_flight || started.elapsed() < FLIGHT) {
                let call = json!({ "name": "get_vm_info", "arguments": { "vm": bench.name(begun) } });
                flying.insert(session.begin("tools/call", &call)?);
                begun += 1;
            }
            let answer = session.ended()?;
            ensure!(answer["result"]["isError"] != true && answer["error"].is_null(), "{answer:#}");
            flying.remove(&answer["id"].as_u64().context("an answer without its id")?);
            ended += 1;
        }
        self.calls_a_second.push(f64::from(ended) / started.elapsed().as_secs_f64());
        self.memory_mb.push(memory_kb(session, "VmRSS:")? / 1024);
        self.peak_mb.push(memory_kb(session, "VmHWM:")? / 1024);
        Ok(())
    }

    fn count(&mut self, bench: &Bench<'_>, runtime: &Runtime) -> anyhow::Result<()> {
        let proxy = runtime.block_on(CountingProxy::start(bench.sim.address.parse()?))?;
        let mut session = bench.session(&proxy.url())?;
        let before = proxy.requests().len();
        session.call("get_vm_info", &json!({ "vm": bench.name(1) }))?;
        self.cold_info_requests = proxy.requests().len() - before;
        drop(session);

        let mut session = bench.session(&proxy.url())?;
        let (before, bytes) = (proxy.requests().len(), proxy.bytes());
        session.call("list_vms", &json!({}))?;
        // The cache begins to load when the page is read: what came before the last read was the page's.
        let asked = proxy.requests().split_off(before);
        let page = asked.iter().rposition(|request| is_read(request)).map_or(0, |last| last + 1);
        (self.cold_page_requests, self.cold_page_mb) = (page, megabytes(proxy.bytes() - bytes));
        let bytes = proxy.bytes();
        warm_up(&mut session)?;
        let load = proxy.requests().split_off(before + page);
        // Of each collector one question is open, which waits for what changes.
        let open = load.iter().filter(|request| *request == "CreatePropertyCollector").count();
        let of_the_load = |request: &&String| !is_read(request);
        self.load_requests = load.iter().filter(of_the_load).count().saturating_sub(open);
        self.load_mb = megabytes(proxy.bytes() - bytes);
        let before = proxy.requests().len();
        session.call("get_vm_info", &json!({ "vm": bench.name(2) }))?;
        self.warm_info_requests = proxy.requests().len() - before;
        Ok(())
    }

    fn report(&mut self, name: &str) {
        let line = |what: &str, value: String| say(&format!("{name}_{what}: {value}"));
        line("cold_page_ms", best_and_median(&mut self.cold_page));
        line("cold_page_requests", format!("{} (bar: at most 4)", self.cold_page_requests));
        line("cold_page_mb", format!("{:.2} (bar: at most 2 at 10,000)", self.cold_page_mb));
        line(
            "second_page_ms",
            format!("{} (bar: no slower than the cold page)", best_and_median(&mut self.second_page)),
        );
        line("cache_load_requests", format!("{} (bar: at most 3)", self.load_requests));
        line("cache_load_mb", format!("{:.2}, reads of pages meanwhile included", self.load_mb));
        line("warm_page_ms", format!("{} (bar: 2 at 10,000)", best_and_median(&mut self.warm_page)));
        for (what, times) in
            [("find", &mut self.found), ("sort", &mut self.ordered), ("group_by_host", &mut self.grouped)]
        {
            if !times.is_empty() {
                line(&format!("{what}_ms"), format!("{} (bar: 5 at 10,000)", best_and_median(times)));
            }
        }
        let least = self.kb_a_vm.iter().copied().fold(f64::NAN, f64::min);
        line("cache_kb_a_vm", format!("{least:.1} (bar: less than 4)"));
        line("info_by_name_cold_ms", best_and_median(&mut self.cold_info));
        line("info_by_name_cold_requests", format!("{} (bar: at most 4)", self.cold_info_requests));
        line("info_by_name_warm_ms", best_and_median(&mut self.warm_info));
        line("info_by_name_warm_requests", format!("{} (bar: at most 2)", self.warm_info_requests));
        let best = self.calls_a_second.iter().copied().fold(f64::NAN, f64::max);
        line("info_by_name_in_flight_calls_a_second", format!("{best:.1} (bar: 30 times the base at 10,000)"));
        let most = |of: &[u64]| of.iter().max().copied().unwrap_or_default();
        let (memory, peak) = (most(&self.memory_mb), most(&self.peak_mb));
        line("memory_mb", format!("{memory}, at its peak {peak} (bar: less than 80 at 10,000)"));
    }
}

/// How much memory a program has, in KB, by a line of what Linux says of it.
fn memory_kb(session: &Session, name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", session.child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    Ok(line.context("Linux does not say how much memory the program has")?.trim().parse()?)
}

/// Lists until the answer comes from memory.
fn warm_up(session: &mut Session) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let page = session.call("list_vms", &json!({ "limit": 1 }))?;
        if page["live"] == Value::Bool(true) {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "the cache does not become warm");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn is_read(request: &str) -> bool {
    ["RetrieveProperties", "RetrievePropertiesEx", "ContinueRetrievePropertiesEx"].contains(&request)
}

#[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
