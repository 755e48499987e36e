//! What a user of the MCP server waits for: its start, the list of machines, a snapshot of many machines at once.
//!
//! The program is started as a client starts it, and spoken to over its pipes. vSphere is a process of its own: the
//! simulated vCenter with a delay before each answer, as over a network, and vcsim. A proxy between the two counts requests.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use peers::CountingProxy;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::say;
use super::server::program;
use super::sim::Server;
use crate::scratch::Scratch;

/// Arguments of `cargo xtask bench mcp`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many virtual machines the servers have.
    #[arg(long, default_value_t = 1000)]
    vms: u32,
    /// Milliseconds that each answer of the simulated vCenter takes longer.
    #[arg(long, default_value_t = 5)]
    latency: u32,
    /// How many machines get a snapshot.
    #[arg(long, default_value_t = 12)]
    machines: usize,
    /// How often what is short is measured.
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// Leave vcsim out.
    #[arg(long)]
    alone: bool,
    /// Measure this program in place of the one that is built for release.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Measure this program in turn with the other, such as that of the commit before, and say the ratios.
    #[arg(long)]
    against: Option<PathBuf>,
}

pub(super) const ADMINISTRATOR: [&str; 2] = ["administrator@vsphere.local", "VMware1!"];

/// A program that is measured, and the prefix of what is said of it.
struct Program {
    prefix: &'static str,
    path: PathBuf,
}

/// Measures the server.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mcvsphere = match &args.program {
        Some(path) => path.clone(),
        None => program("mcvsphere-mcp", "mcvsphere")?,
    };
    let mut command = Command::new(&mcvsphere);
    let mut programs = vec![Program { prefix: "", path: mcvsphere }];
    programs.extend(args.against.iter().map(|path| Program { prefix: "base_", path: path.clone() }));
    start(&programs, args.runs)?;

    let runtime = Runtime::new()?;
    command.args(["sim", "--plain", "--listen", "127.0.0.1:0", "--hosts", "16", "--datastores", "4", "--pace", "1"]);
    command.args(["--vms", &args.vms.to_string(), "--latency", &args.latency.to_string()]);
    let sim = Server::start(command, "VCENTER_HOST=")?;
    lists(&programs, &runtime, &sim, ADMINISTRATOR, "sim", args)?;
    snapshots(&programs, &sim, args)?;
    drop(sim);

    if !args.alone {
        let scratch = Scratch::new()?;
        let mut command = Command::new(crate::peers::vcsim()?);
        command.args(["-l", "127.0.0.1:0", "-tls=false", "-stdinexit", "-cluster", "1", "-standalone-host", "0"]);
        command.args(["-vm", &args.vms.to_string()]).env("TMPDIR", scratch.path());
        let vcsim = Server::start(command, "GOVC_URL=")?;
        lists(&programs, &runtime, &vcsim, ["user", "pass"], "vcsim", args)?;
    }
    Ok(())
}

/// Takes times of each program in turn, so that a machine that slows down slows down for both, and says them.
fn in_turn<P>(
    programs: &mut [(&Program, P)],
    name: &str,
    bar: &str,
    runs: usize,
    mut measure: impl FnMut(&mut P) -> anyhow::Result<Duration>,
) -> anyhow::Result<()> {
    let mut times = vec![Vec::new(); programs.len()];
    for _ in 0..runs.max(1) {
        for ((_, with), times) in programs.iter_mut().zip(&mut times) {
            times.push(measure(with)?);
        }
    }
    for ((program, _), times) in programs.iter().zip(&mut times) {
        say(&format!("{}{name}: {} ({bar})", program.prefix, best_and_median(times)));
    }
    if let [new, base] = times.as_slice() {
        let ratio = |at: usize| new[at].as_secs_f64() / base[at].as_secs_f64();
        say(&format!("{name}_ratio: {:.2} best, {:.2} median (bar: at most 1.05)", ratio(0), ratio(new.len() / 2)));
    }
    Ok(())
}

/// From the start of the process to its first answer, in both lifecycles. It connects to no vCenter before it is asked to.
fn start(programs: &[Program], runs: usize) -> anyhow::Result<()> {
    let about = json!({ "name": "bench", "version": "1" });
    let discover = json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": about,
        "io.modelcontextprotocol/clientCapabilities": {},
    } });
    let mut each: Vec<_> = programs.iter().map(|program| (program, &program.path)).collect();
    for (method, params) in [("initialize", introduction()), ("server/discover", discover)] {
        let name = format!("start_until_{}_ms", method.rsplit('/').next().unwrap_or(method));
        in_turn(&mut each, &name, "bar: less than 50", runs, |path| {
            let started = Instant::now();
            let mut session = Session::spawn(path, "vcenter.invalid", ["user", "pass"])?;
            session.ask(method, &params)?;
            Ok(started.elapsed())
        })?;
    }
    Ok(())
}

/// The list of machines: the first page of a session, then from memory.
fn lists(
    programs: &[Program],
    runtime: &Runtime,
    server: &Server,
    credentials: [&str; 2],
    name: &str,
    args: &Args,
) -> anyhow::Result<()> {
    // A proxy reads all that it passes on, and would be in the time.
    let direct = format!("http://{}/sdk", server.address);
    let mut each: Vec<_> = programs.iter().map(|program| (program, &program.path)).collect();
    let runs = args.runs.min(5);
    in_turn(&mut each, &format!("{name}_list_vms_cold_ms"), "bar: less than 100", runs, |path| {
        let mut session = Session::open(path, &direct, credentials)?;
        // The session with vSphere is there before the list: it is the list that is measured.
        session.call("get_vcenter_info", &json!({}))?;
        Ok(session.timed("list_vms", &json!({}))?.0)
    })?;

    let mut warm = Vec::new();
    for program in programs {
        let proxy = runtime.block_on(CountingProxy::start(server.address.parse()?))?;
        let mut session = Session::open(&program.path, &proxy.url(), credentials)?;
        session.call("get_vcenter_info", &json!({}))?;
        let before = proxy.requests().len();
        let (_, page, bytes) = session.timed("list_vms", &json!({}))?;
        ensure!(page["total"] == args.vms, "{name} has {} machines", page["total"]);
        // The mirror begins when the list is read, so that what came before the last read was the list's.
        let requests = proxy.requests().split_off(before);
        let requests = requests.iter().rposition(|request| is_read(request)).map_or(0, |last| last + 1);
        let prefix = program.prefix;
        say(&format!("{prefix}{name}_list_vms_cold_requests: {requests} (bar: at most 4)"));
        say(&format!("{prefix}{name}_list_vms_answer_bytes: {bytes} (50 of {} machines)", args.vms));
        warm_up(&mut session, &proxy)?;
        warm.push((program, (session, proxy)));
    }
    // Nothing else is asked in the background by now, and each request counts.
    let before: Vec<usize> = warm.iter().map(|(_, (_, proxy))| proxy.requests().len()).collect();
    in_turn(&mut warm, &format!("{name}_list_vms_warm_ms"), "bar: less than 5", args.runs, |(session, _)| {
        Ok(session.timed("list_vms", &json!({}))?.0)
    })?;
    for ((program, (_, proxy)), before) in warm.iter().zip(before) {
        let requests = proxy.requests().len() - before;
        let prefix = program.prefix;
        say(&format!("{prefix}{name}_list_vms_warm_requests: {requests} for {} pages (bar: 0)", args.runs.max(1)));
    }
    Ok(())
}

fn is_read(request: &str) -> bool {
    request.contains("RetrieveProperties")
}

/// Asks for small pages until one costs no read.
fn warm_up(session: &mut Session, proxy: &CountingProxy) -> anyhow::Result<()> {
    let reads = |requests: Vec<String>| {
        requests.iter().filter(|request| is_read(request) || *request == "CreateContainerView").count()
    };
    let started = Instant::now();
    loop {
        let before = reads(proxy.requests());
        session.call("list_vms", &json!({ "limit": 1 }))?;
        if reads(proxy.requests()) == before {
            return Ok(());
        }
        ensure!(started.elapsed() < Duration::from_secs(60), "the mirror does not become warm");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A snapshot of many machines in one call, and of as many others in a call each.
fn snapshots(programs: &[Program], server: &Server, args: &Args) -> anyhow::Result<()> {
    let direct = format!("http://{}/sdk", server.address);
    let mut each = Vec::new();
    for program in programs {
        each.push((program, Session::open(&program.path, &direct, ADMINISTRATOR)?));
    }
    let Some((_, session)) = each.first_mut() else { return Ok(()) };
    let page = session.call("list_vms", &json!({ "limit": args.machines * 2, "fields": ["id"] }))?;
    let ids: Vec<&Value> = page["items"].as_array().into_iter().flatten().map(|item| &item["id"]).collect();
    let (together, one_by_one) = ids.split_at_checked(args.machines).context("there are too few machines")?;
    let arguments = |vms: &[&Value]| json!({ "vms": vms, "snapshot_name": "bench", "memory": false });
    let started = Instant::now();
    for vm in one_by_one {
        session.call("create_snapshot", &arguments(std::slice::from_ref(vm)))?;
    }
    say(&format!("snapshots_of_{}_one_by_one_s: {:.2}", args.machines, started.elapsed().as_secs_f64()));
    let name = format!("snapshots_of_{}_at_once_ms", args.machines);
    in_turn(&mut each, &name, "bar: less than one by one", args.runs.min(5), |session| {
        let (took, report, _) = session.timed("create_snapshot", &arguments(together))?;
        ensure!(report["failed"] == 0, "{report:#}");
        Ok(took)
    })
}

fn introduction() -> Value {
    json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "bench", "version": "1" },
    })
}

/// `3.1 best, 3.4 median`, in milliseconds.
pub(super) fn best_and_median(times: &mut [Duration]) -> String {
    times.sort();
    let ms = |at: usize| times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0);
    format!("{:.1} best, {:.1} median", ms(0), ms(times.len() / 2))
}

/// The program at the other end of two pipes; it ends with this value.
pub(super) struct Session {
    pub(super) child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    asked: u64,
}

impl Session {
    fn spawn(mcvsphere: &Path, host: &str, [user, password]: [&str; 2]) -> anyhow::Result<Self> {
        let mut child = Command::new(mcvsphere)
            .env_clear()
            .envs([("VCENTER_HOST", host), ("VCENTER_USER", user), ("VCENTER_PASSWORD", password)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start mcvsphere")?;
        let input = child.stdin.take().context("it has no input")?;
        let output = BufReader::new(child.stdout.take().context("it has no output")?).lines();
        Ok(Self { child, input, output, asked: 0 })
    }

    pub(super) fn open(mcvsphere: &Path, host: &str, credentials: [&str; 2]) -> anyhow::Result<Self> {
        let mut session = Self::spawn(mcvsphere, host, credentials)?;
        session.ask("initialize", &introduction())?;
        session.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        Ok(session)
    }

    fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        writeln!(self.input, "{message}")?;
        Ok(self.input.flush()?)
    }

    fn ask(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let id = self.begin(method, params)?;
        for line in self.output.by_ref() {
            let mut message: Value = serde_json::from_str(&line?)?;
            if message["id"] == id {
                ensure!(message["error"].is_null(), "{method}: {}", message["error"]);
                return Ok(message["result"].take());
            }
        }
        bail!("mcvsphere ended before it answered {method}")
    }

    /// Sends a request; answers its id.
    pub(super) fn begin(&mut self, method: &str, params: &Value) -> anyhow::Result<u64> {
        self.asked += 1;
        self.send(&json!({ "jsonrpc": "2.0", "id": self.asked, "method": method, "params": params }))?;
        Ok(self.asked)
    }

    /// Waits for the answer of any request that was begun.
    pub(super) fn ended(&mut self) -> anyhow::Result<Value> {
        for line in self.output.by_ref() {
            let message: Value = serde_json::from_str(&line?)?;
            if message.get("id").is_some() && message.get("method").is_none() {
                return Ok(message);
            }
        }
        bail!("mcvsphere ended before it answered")
    }

    /// The data of a tool's answer.
    pub(super) fn call(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<Value> {
        Ok(self.timed(tool, arguments)?.1)
    }

    /// How long a tool took, its data, and how many bytes its answer has.
    pub(super) fn timed(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<(Duration, Value, usize)> {
        let started = Instant::now();
        let mut result = self.ask("tools/call", &json!({ "name": tool, "arguments": arguments }))?;
        let took = started.elapsed();
        ensure!(result["isError"] != true, "{tool}: {result:#}");
        let bytes = result.to_string().len();
        Ok((took, result["structuredContent"].take(), bytes))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
