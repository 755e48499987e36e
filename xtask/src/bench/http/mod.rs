//! The MCP server over HTTP under load, beside a server on FastMCP; idle sessions; and the restart of one of two replicas.
//!
//! vSphere, the server and the generator of the load are processes of their own; the generator is kept on the last core. Users
//! come from many loopback addresses, each with a token of their own.

mod load;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::mcp::ADMINISTRATOR;
use super::server::program;
use super::{say, sim};
use crate::scratch::Scratch;
pub(super) use load::Args as LoadArgs;
use load::{Connection, Load};

/// Arguments of `cargo xtask bench http`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many virtual machines the simulated vCenter has.
    #[arg(long, default_value_t = 1000)]
    vms: u32,
    /// How many users call.
    #[arg(long, default_value_t = 200)]
    users: usize,
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many sessions are idle.
    #[arg(long, default_value_t = 1000)]
    sessions: usize,
    /// Calls a second while a replica is restarted.
    #[arg(long, default_value_t = 200.0)]
    restart_rate: f64,
    /// Measure this alone.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Measure this program in place of the one that is built for release.
    #[arg(long)]
    program: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Load,
    Sessions,
    Restart,
}

/// The revision of MCP whose requests each stand for themselves.
const STATELESS: &str = "2026-07-28";

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends the load, for the generator's own process.
pub(super) fn generate(args: &LoadArgs) -> anyhow::Result<()> {
    load::run(args)
}

/// Measures the server.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mcvsphere = match &args.program {
        Some(path) => path.clone(),
        None => program("mcvsphere-mcp", "mcvsphere")?,
    };
    let mut command = Command::new(&mcvsphere);
    command.args(["sim", "--plain", "--listen", "127.0.0.1:0", "--hosts", "16", "--datastores", "4", "--pace", "0"]);
    command.args(["--vms", &args.vms.to_string()]);
    let vcenter = sim::Server::start(command, "VCENTER_HOST=")?;
    let scratch = Scratch::new()?;
    let users = Users::new(args.users, scratch.path())?;
    let site = Site { mcvsphere: &mcvsphere, vcenter: &vcenter.address, users: &users, scratch: scratch.path() };
    let runtime = Runtime::new()?;
    let wanted = |part| args.only.is_none_or(|only| only == part);
    if wanted(Part::Load) {
        loads(&site, args)?;
    }
    if wanted(Part::Sessions) {
        runtime.block_on(sessions(&site, args))?;
    }
    if wanted(Part::Restart) {
        restart(&site, args, &runtime)?;
    }
    Ok(())
}

/// The users and their tokens.
struct Users {
    tokens: Vec<String>,
    /// The settings file with their entries.
    settings: PathBuf,
}

impl Users {
    fn new(count: usize, folder: &Path) -> anyhow::Result<Self> {
        let mut text = "tokens:\n".to_owned();
        let mut tokens = Vec::new();
        for number in 0..count {
            // A token that anybody can guess is good enough for a server that lives for a minute.
            let token = format!("mcv_bench_{number}");
            let sha256 = sha256(&token)?;
            writeln!(text, "  user-{number}: {{level: read_only, sha256: {sha256}, expires: never}}")?;
            tokens.push(token);
        }
        let settings = folder.join("mcvsphere.yaml");
        std::fs::write(&settings, text)?;
        Ok(Self { tokens, settings })
    }
}

fn sha256(text: &str) -> anyhow::Result<String> {
    use std::io::Write as _;
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("sha256sum has no input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stdout)?;
    Ok(said.split(' ').next().context("sha256sum says nothing")?.to_owned())
}

/// How servers are started.
struct Site<'a> {
    mcvsphere: &'a Path,
    vcenter: &'a str,
    users: &'a Users,
    scratch: &'a Path,
}

impl Site<'_> {
    /// Starts a server at this port, with these settings besides.
    fn start(&self, port: u16, settings: &[(&str, &str)]) -> anyhow::Result<Process> {
        let [user, password] = ADMINISTRATOR;
        let mut command = Command::new(self.mcvsphere);
        command
            .env_clear()
            .env("MCVSPHERE_CONFIG", &self.users.settings)
            .envs([("VCENTER_HOST", format!("http://{}/sdk", self.vcenter).as_str())])
            .envs([("VCENTER_USER", user), ("VCENTER_PASSWORD", password), ("LOG_LEVEL", "error")])
            .envs([("MCP_TRANSPORT", "streamable-http"), ("MCP_PORT", &port.to_string())])
            .envs(settings.iter().copied())
            // Its audit, a line for each call.
            .stderr(std::fs::File::create(self.scratch.join(format!("{port}.log")))?);
        Process::start(command, port)
    }

    /// A file with a call of `list_vms` for each user.
    fn calls(&self, address: SocketAddr) -> anyhow::Result<PathBuf> {
        let path = self.scratch.join("calls");
        let call = stateless("tools/call", json!({ "name": "list_vms", "arguments": {} }));
        let headers = [("Mcp-Method", "tools/call"), ("Mcp-Name", "list_vms"), ("MCP-Protocol-Version", STATELESS)];
        let requests = self.users.tokens.iter().map(|token| post(address, Some(token), &headers, &call));
        std::fs::write(&path, requests.collect::<Vec<_>>().join("\0"))?;
        Ok(path)
    }
}

fn stateless(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

fn post(address: SocketAddr, token: Option<&str>, headers: &[(&str, &str)], message: &Value) -> String {
    let body = message.to_string();
    let mut text = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: application/json, \
         text/event-stream\r\nContent-Length: {}\r\n",
        body.len()
    );
    let token = token.map(|token| format!("Bearer {token}"));
    let token = token.as_deref().map(|token| ("Authorization", token));
    for (name, value) in headers.iter().copied().chain(token) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n" + &body
}

/// A server; it ends with this value.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts a server, and waits until it listens at this port.
    fn start(mut command: Command, port: u16) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("start a server")?;
        let mut process = Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        let started = Instant::now();
        while std::net::TcpStream::connect(process.address).is_err() {
            ensure!(process.child.try_wait()?.is_none(), "a server ended at once");
            ensure!(started.elapsed() < PATIENCE, "a server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    /// Seconds of CPU so far.
    fn cpu(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| -> anyhow::Result<f64> { Ok(fields.get(at).context("no CPU time")?.parse()?) };
        // Linux has counted a hundred a second for decades.
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }

    /// A line of the process's status in MB, such as `VmHWM`.
    fn memory(&self, line: &str) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let value =
            status.lines().find_map(|text| text.strip_prefix(line)?.trim_start_matches(':').trim().strip_suffix(" kB"));
        let kilobytes: f64 = value.context("Linux does not say how much memory it has")?.trim().parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Asks it to end, and waits until it has.
    fn end(mut self) -> anyhow::Result<()> {
        ensure!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?.success(), "kill");
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The generator, on the last core.
fn generator(
    address: SocketAddr,
    requests: &Path,
    seconds: u64,
    rate: Option<f64>,
    good: &str,
) -> anyhow::Result<Command> {
    let last = std::thread::available_parallelism()?.get() - 1;
    let mut command = Command::new("taskset");
    command.args(["-c", &last.to_string()]).arg(std::env::current_exe()?).args(["bench", "http-load"]);
    command.args(["--address", &address.to_string(), "--seconds", &seconds.to_string(), "--good", good]);
    command.arg("--requests").arg(requests);
    if let Some(rate) = rate {
        command.args(["--rate", &rate.to_string()]);
    }
    Ok(command)
}

fn loaded(command: &mut Command) -> anyhow::Result<Load> {
    let output = command.stderr(Stdio::inherit()).output().context("run the generator by taskset (util-linux)")?;
    ensure!(output.status.success(), "the generator failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What a server does under load.
struct Rate {
    per_second: f64,
    peak_mb: f64,
}

/// The most that a server answers, and how fast it answers half of that.
fn measure(name: &str, process: &Process, requests: &Path, good: &str, args: &Args) -> anyhow::Result<Rate> {
    let run = |what: &str, rate: Option<f64>| -> anyhow::Result<f64> {
        let before = process.cpu()?;
        let load = loaded(&mut generator(process.address, requests, args.seconds, rate, good)?)?;
        let per_second = load.calls as f64 / load.seconds;
        let cpu = (process.cpu()? - before) * 100.0 / load.seconds;
        say(&format!("{name}_{what}_calls_per_s: {per_second:.0} ({} bytes an answer)", load.answer_bytes));
        say(&format!(
            "{name}_{what}_ms: {:.1} p50, {:.1} p99, {:.1} longest",
            load.p50_ms, load.p99_ms, load.longest_ms
        ));
        say(&format!("{name}_{what}_cpu_percent: {cpu:.0} server, {:.0} generator (100 is a core)", load.cpu_percent));
        say(&format!("{name}_{what}_failed: {} of {} (bar: 0)", load.failed, load.calls + load.failed));
        if let Some(why) = load.why {
            say(&format!("{name}_{what}_failure: {why}"));
        }
        Ok(per_second)
    };
    let per_second = run("saturated", None)?;
    run("half", Some(per_second / 2.0))?;
    let peak_mb = process.memory("VmHWM")?;
    say(&format!("{name}_memory_mb: {:.1} now, {peak_mb:.1} peak", process.memory("VmRSS")?));
    Ok(Rate { per_second, peak_mb })
}

/// The load on mcvsphere, and on FastMCP.
fn loads(site: &Site<'_>, args: &Args) -> anyhow::Result<()> {
    let ours = {
        let process = site.start(free_port()?, &[])?;
        let requests = site.calls(process.address)?;
        say(&format!("http_idle_memory_mb: {:.1}", process.memory("VmRSS")?));
        // The cache is read once; from then on the list is answered from memory.
        loaded(&mut generator(process.address, &requests, 3, Some(50.0), GOOD_LIST)?)?;
        measure("http", &process, &requests, GOOD_LIST, args)?
    };
    let (python, script) = crate::peers::fastmcp()?;
    let port = free_port()?;
    let mut command = Command::new(python);
    command.arg(script).arg(port.to_string());
    let process = Process::start(command, port)?;
    let path = site.scratch.join("pings");
    let ping =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "ping", "arguments": {} } });
    let ping = post(process.address, None, &[("MCP-Protocol-Version", "2025-06-18")], &ping);
    std::fs::write(&path, vec![ping; args.users].join("\0"))?;
    let theirs = measure("fastmcp", &process, &path, "pong", args)?;
    say(&format!("http_rate_to_fastmcp: {:.1} times (bar: at least 10)", ours.per_second / theirs.per_second));
    say(&format!("http_memory_to_fastmcp: {:.2} (bar: at most 0.1)", ours.peak_mb / theirs.peak_mb));
    Ok(())
}

/// What an answer of `list_vms` has in it.
const GOOD_LIST: &str = "\"next_cursor\":";

/// What sessions of the older lifecycle cost that do nothing, without and with a connection on which they listen.
async fn sessions(site: &Site<'_>, args: &Args) -> anyhow::Result<()> {
    let process = site.start(free_port()?, &[])?;
    let before = process.memory("VmRSS")?;
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "bench", "version": "1" },
    } });
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let mut begun = Vec::new();
    for number in 0..args.sessions {
        let user = number % site.users.tokens.len();
        let token = site.users.tokens.get(user).context("there are no users")?;
        let mut connection = Connection::open(user, process.address).await?;
        let (status, _) = connection.ask(post(process.address, Some(token), &[], &initialize).as_bytes()).await?;
        ensure!(status == 200, "initialize: {status}");
        let id = connection.header("mcp-session-id").context("there is no session")?.to_owned();
        let headers = [("Mcp-Session-Id", id.as_str()), ("MCP-Protocol-Version", "2025-11-25")];
        let (status, _) = connection.ask(post(process.address, Some(token), &headers, &ready).as_bytes()).await?;
        ensure!(status == 202, "initialized: {status}");
        // The connection ends: a client that does nothing has none for long, but for a stream.
        begun.push((user, token, id));
    }
    let idle = process.memory("VmRSS")?;
    say(&format!(
        "http_idle_{}_sessions_memory_mb: {idle:.1}, {:.1} KB each (bar: less than 100)",
        args.sessions,
        (idle - before) * 1024.0 / args.sessions as f64
    ));
    let mut streams = Vec::new();
    for (user, token, id) in &begun {
        let get = format!(
            "GET /mcp HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}\r\nMcp-Session-Id: \
             {id}\r\nMCP-Protocol-Version: 2025-11-25\r\n\r\n",
            process.address
        );
        let mut connection = Connection::open(*user, process.address).await?;
        let status = connection.send_for_head(get.as_bytes()).await?;
        ensure!(status == 200, "stream: {status}");
        streams.push(connection);
    }
    let memory = process.memory("VmRSS")?;
    say(&format!("http_idle_{}_sessions_with_streams_memory_mb: {memory:.1} (bar: less than 100)", streams.len()));
    Ok(())
}

/// The restart of one of two replicas while calls go on, whose clients try once more.
fn restart(site: &Site<'_>, args: &Args, runtime: &Runtime) -> anyhow::Result<()> {
    let claims = site.scratch.join("claims");
    std::fs::create_dir(&claims)?;
    let claims = claims.to_str().context("the folder has no name in UTF-8")?;
    let shared = [("MCP_SIGNING_KEY", "the key of both of these replicas"), ("MCP_CLAIMS", claims)];
    let ports = [free_port()?, free_port()?];
    let [one, _other] = [site.start(ports[0], &shared)?, site.start(ports[1], &shared)?];
    let balancer = runtime.block_on(Balancer::start(ports))?;
    let requests = site.calls(balancer.address)?;
    let mut command = generator(balancer.address, &requests, 20, Some(args.restart_rate), GOOD_LIST)?;
    let command = command.arg("--retry").stdout(Stdio::piped());
    let generator = command.spawn().context("run the generator by taskset (util-linux)")?;
    std::thread::sleep(Duration::from_secs(7));
    let stopped = Instant::now();
    one.end()?;
    let ended = stopped.elapsed();
    std::thread::sleep(Duration::from_secs(2));
    let _one = site.start(ports[0], &shared)?;
    let down = stopped.elapsed();
    let output = generator.wait_with_output()?;
    let load: Load = serde_json::from_slice(&output.stdout)?;
    let [first, second] = [0, 1].map(|at| balancer.led[at].load(Ordering::Relaxed));
    say(&format!("restart_calls: {} ({first} and {second} connections)", load.calls));
    say(&format!("restart_end_ms: {:.0}, down for {:.1} s", ended.as_secs_f64() * 1000.0, down.as_secs_f64()));
    say(&format!("restart_retried: {}", load.retried));
    say(&format!("restart_ms: {:.1} p50, {:.1} p99, {:.1} longest", load.p50_ms, load.p99_ms, load.longest_ms));
    say(&format!("restart_failed: {} (bar: 0)", load.failed));
    if let Some(why) = load.why {
        say(&format!("restart_failure: {why}"));
    }
    Ok(())
}

/// A proxy that leads each connection to the next server, or to the other one where it is not there.
struct Balancer {
    address: SocketAddr,
    led: Arc<[AtomicUsize; 2]>,
}

impl Balancer {
    async fn start(ports: [u16; 2]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let led = Arc::new([const { AtomicUsize::new(0) }; 2]);
        let counted = Arc::clone(&led);
        tokio::spawn(async move {
            for at in (0..2).cycle() {
                let Ok((mut client, _)) = listener.accept().await else { return };
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    for at in [at, 1 - at] {
                        let Ok(mut server) = TcpStream::connect(("127.0.0.1", ports[at])).await else { continue };
                        counted[at].fetch_add(1, Ordering::Relaxed);
                        // Either end may go first, which the client notices.
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        return;
                    }
                });
            }
        });
        Ok(Self { address, led })
    }
}
