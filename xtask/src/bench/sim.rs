//! What the simulated vCenter costs: its start, its memory, and its answers beside vcsim's in the same run.
//!
//! Both servers are processes of their own and speak plain HTTP on a loopback port. The same request goes to both by
//! curl, which keeps nothing: the full `config` of all virtual machines in one answer.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};

use super::say;
use super::server::program;
use crate::peers;
use crate::scratch::Scratch;

/// Arguments of `cargo xtask bench sim`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many virtual machines both servers have; 5000 take vcsim minutes to make.
    #[arg(long, default_value_t = 5_000)]
    vms: u32,
    /// How many virtual machines the simulator alone is started with then.
    #[arg(long, default_value_t = 50_000)]
    many: u32,
    /// How often the question is asked; the fastest answer counts.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Leave vcsim out: the start and the memory of the simulator alone.
    #[arg(long)]
    alone: bool,
}

/// Measures the simulator, and vcsim beside it.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mcvsphere = program("mcvsphere-mcp", "mcvsphere")?;
    let scratch = Scratch::new()?;

    let ours = Server::start(simulator(&mcvsphere, args.vms), "VCENTER_HOST=")?;
    ours.report(&format!("sim_{}", args.vms), "2 s", "400 MB")?;
    let (user, password) = ("administrator@vsphere.local", "VMware1!");
    let our_answer = Client::login(&ours.address, user, password, scratch.path())?.best_of(args.runs)?;
    our_answer.report("sim");
    drop(ours);

    let many = Server::start(simulator(&mcvsphere, args.many), "VCENTER_HOST=")?;
    many.report(&format!("sim_{}", args.many), "20 s", "3072 MB")?;
    drop(many);

    if !args.alone {
        let mut vcsim = Command::new(peers::vcsim()?);
        vcsim.args(["-l", "127.0.0.1:0", "-tls=false", "-stdinexit", "-cluster", "1", "-standalone-host", "0"]);
        vcsim.args(["-vm", &args.vms.to_string()]).env("TMPDIR", scratch.path());
        let theirs = Server::start(vcsim, "GOVC_URL=")?;
        theirs.report(&format!("vcsim_{}", args.vms), "-", "-")?;
        let their_answer = Client::login(&theirs.address, "user", "pass", scratch.path())?.best_of(args.runs)?;
        their_answer.report("vcsim");
        let percent = our_answer.seconds * 100.0 / their_answer.seconds;
        say(&format!("config_percent_of_vcsims_time: {percent:.0} (bar: less than 100)"));
    }
    Ok(())
}

fn simulator(program: &Path, vms: u32) -> Command {
    let mut command = Command::new(program);
    // One page for all, as vcsim answers.
    command.args(["sim", "--plain", "--listen", "127.0.0.1:0", "--pace", "0", "--page", "1000000"]);
    command.args(["--vms", &vms.to_string(), "--hosts", "64", "--datastores", "8"]);
    command
}

/// A server that says where it listens.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
    start_seconds: f64,
}

impl Server {
    /// Starts it and waits for the line with its address, which stands after `mark`.
    pub(super) fn start(mut command: Command, mark: &str) -> anyhow::Result<Self> {
        let start = Instant::now();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start the server")?;
        let output = child.stdout.take().context("the server has no output")?;
        let mut server = Self { child, address: String::new(), start_seconds: 0.0 };
        let mut lines = BufReader::new(output).lines();
        for line in lines.by_ref() {
            let line = line?;
            let Some((_, url)) = line.split_once(mark) else { continue };
            let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', ' ']).next()).unwrap_or_default();
            let address = authority.rsplit('@').next().unwrap_or(authority);
            address.clone_into(&mut server.address);
            server.start_seconds = start.elapsed().as_secs_f64();
            // It goes on talking, and would die of a pipe that nobody reads.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(server);
        }
        anyhow::bail!("the server ended without saying where it listens")
    }

    fn report(&self, name: &str, start_bar: &str, memory_bar: &str) -> anyhow::Result<()> {
        say(&format!("{name}_start_s: {:.2} (bar: less than {start_bar})", self.start_seconds));
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let peak: u64 = peak.context("Linux does not say how much memory the server has")?.trim().parse()?;
        say(&format!("{name}_peak_mb: {} (bar: less than {memory_bar})", peak / 1024));
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session, kept by curl.
struct Client {
    url: String,
    cookies: String,
    collector: String,
    view: String,
}

struct Answer {
    seconds: f64,
    bytes: u64,
    machines: usize,
}

impl Answer {
    fn report(&self, name: &str) {
        let (ms, mb) = (self.seconds * 1000.0, self.bytes as f64 / 1e6);
        say(&format!("{name}_config_ms: {ms:.0} ({mb:.1} MB, {} machines)", self.machines));
    }
}

impl Client {
    fn login(address: &str, user: &str, password: &str, scratch: &Path) -> anyhow::Result<Self> {
        let cookies = scratch.join(format!("cookies-{}", address.replace(':', "-")));
        let mut client = Self {
            url: format!("http://{address}/sdk"),
            cookies: cookies.display().to_string(),
            collector: String::new(),
            view: String::new(),
        };
        let content = client.post(
            "<RetrieveServiceContent xmlns=\"urn:vim25\"><_this type=\"ServiceInstance\">ServiceInstance</_this>\
             </RetrieveServiceContent>",
        )?;
        let named = |name: &str| -> anyhow::Result<String> {
            let after = content.split_once(&format!("<{name} ")).and_then(|(_, rest)| rest.split_once('>'));
            let id = after.and_then(|(_, rest)| rest.split_once('<')).map(|(id, _)| id.to_owned());
            id.with_context(|| format!("the server names no {name}"))
        };
        client.collector = named("propertyCollector")?;
        client.post(&format!(
            "<Login xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this>\
             <userName>{user}</userName><password>{password}</password></Login>"
        ))?;
        let view = client.post(&format!(
            "<CreateContainerView xmlns=\"urn:vim25\"><_this type=\"ViewManager\">ViewManager</_this><container \
             type=\"Folder\">{}</container><type>VirtualMachine</type><recursive>true</recursive></CreateContainerView>",
            named("rootFolder")?
        ))?;
        let id = view.split_once("<returnval").and_then(|(_, rest)| rest.split_once('>'));
        client.view = id.and_then(|(_, rest)| rest.split_once('<')).context("the server made no view")?.0.to_owned();
        Ok(client)
    }

    fn best_of(&self, runs: u32) -> anyhow::Result<Answer> {
        let mut best: Option<Answer> = None;
        for _ in 0..runs.max(1) {
            let answer = self.configs()?;
            if best.as_ref().is_none_or(|best| answer.seconds < best.seconds) {
                best = Some(answer);
            }
        }
        best.context("nothing was measured")
    }

    /// Asks for the configuration of all virtual machines.
    fn configs(&self) -> anyhow::Result<Answer> {
        let body = format!(
            "<RetrievePropertiesEx xmlns=\"urn:vim25\"><_this type=\"PropertyCollector\">{}</_this><specSet><propSet>\
             <type>VirtualMachine</type><pathSet>config</pathSet></propSet><objectSet><obj type=\"ContainerView\">{}</obj>\
             <skip>true</skip><selectSet xsi:type=\"TraversalSpec\"><type>ContainerView</type><path>view</path></selectSet>\
             </objectSet></specSet><options/></RetrievePropertiesEx>",
            self.collector, self.view
        );
        let start = Instant::now();
        let answer = self.post(&body)?;
        Ok(Answer {
            seconds: start.elapsed().as_secs_f64(),
            bytes: answer.len() as u64,
            machines: answer.matches("<obj ").count(),
        })
    }

    fn post(&self, body: &str) -> anyhow::Result<String> {
        let document = format!(
            "<?xml version=\"1.0\"?><e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><e:Body>{body}</e:Body></e:Envelope>"
        );
        let output = Command::new("curl")
            .args(["-sSf", "-b", &self.cookies, "-c", &self.cookies, "-H", "SOAPAction: urn:vim25/8.0.3.0"])
            .args(["-H", "Content-Type: text/xml", "--data-binary", &document, &self.url])
            .output()
            .context("run curl")?;
        ensure!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}
