//! `cargo xtask dist --check`: what `dist/` has for this computer is installed in empty places, by the commands that README and the
//! registries name, and used there: the demo, the doctor, and calls of the official MCP client.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::{NAME, Release, output, say, tools::Tools};
use crate::{peers::install, scratch::Scratch};

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks everything.
///
/// # Errors
/// Something cannot be installed, or does not work as it does where it was built.
pub(super) fn run(release: &Release) -> anyhow::Result<()> {
    let checks = Checks {
        release,
        tools: Tools::install(&release.root)?,
        client: Client::install(&release.root)?,
        native: release.native()?.platform,
    };
    checks.sums()?;
    checks.archive()?;
    checks.wheel()?;
    checks.npm()?;
    checks.bundle()?;
    checks.image()
}

struct Checks<'a> {
    release: &'a Release,
    tools: Tools,
    client: Client,
    native: &'static super::Platform,
}

/// The official MCP client in JavaScript.
struct Client {
    node: PathBuf,
    script: PathBuf,
}

impl Client {
    fn install(root: &Path) -> anyhow::Result<Self> {
        let folder = install::mcp_client(root)?;
        Ok(Self { node: install::node(&folder)?, script: folder.join("client.mjs") })
    }

    /// Lists the VMs of the server that a command starts, or that listens at a URL, with a client of each lifecycle.
    fn list_vms(&self, server: &str, token: &str) -> anyhow::Result<()> {
        for lifecycle in ["older", "2026-07-28"] {
            let steps = json!([{ "name": "list_vms", "arguments": { "limit": 2 } }]).to_string();
            let mut client = Command::new(&self.node);
            client.arg(&self.script).args([lifecycle, server, &steps]).env("PEERS_TOKEN", token);
            let answer: Value = serde_json::from_str(&output(&mut client)?)?;
            let listed = &answer["results"][0]["structuredContent"]["returned"];
            ensure!(listed == 2, "the official client got {}", answer["results"]);
        }
        Ok(())
    }
}

/// An empty home, and a search path with the system's programs and Node.js.
struct Place {
    home: Scratch,
    /// Where npm and Node.js are.
    node: PathBuf,
}

impl Place {
    fn new() -> anyhow::Result<Self> {
        let npm = install::need("npm", "npm", "npm")?;
        let node = npm.parent().context("npm is in no folder")?.to_owned();
        Ok(Self { home: Scratch::new()?, node })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A program in this place, which inherits nothing else.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let node = self.node.to_string_lossy();
        let path = format!("{node}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env_clear().env("HOME", self.home.path()).env("PATH", path).current_dir(self.home.path());
        // How this computer reaches the registries.
        for (name, value) in std::env::vars_os() {
            let lower = name.to_string_lossy().to_lowercase();
            if lower.ends_with("_proxy") || lower.starts_with("npm_config_") || lower.starts_with("ssl_cert") {
                command.env(name, value);
            }
        }
        command
    }

    /// A file that runs a command with all arguments after those that it has.
    fn script(&self, command: &[&str]) -> anyhow::Result<PathBuf> {
        let quoted: Vec<String> = command.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        let path = self.path("serve.sh");
        fs::write(&path, format!("#!/bin/sh\nexec {} \"$@\"\n", quoted.join(" ")))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }
}

impl Checks<'_> {
    fn sums(&self) -> anyhow::Result<()> {
        output(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&self.release.dist))?;
        say("sums: ok");
        Ok(())
    }

    fn archive(&self) -> anyhow::Result<()> {
        let place = Place::new()?;
        let archive = self.release.file(NAME, self.native.target, ".tar.gz");
        output(place.command("tar").args(["xzf"]).arg(&archive).args(["--strip-components", "1"]))?;
        for file in ["completions/mcvsphere.bash", "man/man1/mcvsphere.1", "THIRD-PARTY-LICENSES.txt", "LICENSE"] {
            ensure!(place.path(file).exists(), "{} has no {file}", archive.display());
        }
        output(place.command("bash").args(["-n", "completions/mcvsphere.bash"]))?;
        self.works(&place, &place.path(NAME).to_string_lossy(), "archive")
    }

    fn wheel(&self) -> anyhow::Result<()> {
        let place = Place::new()?;
        let wheel = self.release.file(NAME, &format!("py3-none-{}", self.native.wheel), ".whl");
        let wheel = wheel.to_string_lossy();
        let uv = self.tools.python("uv").get_program().to_owned();
        let uvx = self.tools.python("uvx").get_program().to_owned();
        let python = self.tools.python("python").get_program().to_owned();
        let mut once = place.command(uvx);
        once.args(["--quiet", "--offline", "--python"]).arg(&python).args(["--from", &wheel, NAME, "--version"]);
        let shown = output(&mut once)?;
        ensure!(shown.trim() == format!("{NAME} {}", self.release.version), "uvx starts {shown}");
        let mut tool = place.command(uv);
        output(tool.args(["--quiet", "--offline", "tool", "install", "--python"]).arg(&python).arg(&*wheel))?;
        self.works(&place, &place.path(".local/bin/mcvsphere").to_string_lossy(), "wheel")
    }

    fn npm(&self) -> anyhow::Result<()> {
        let place = Place::new()?;
        let (system, processor) = self.native.node;
        let package = |name: &str| self.release.dist.join(format!("{name}-{}.tgz", self.release.version));
        let npm = install::need("npm", "npm", "npm")?;
        let mut install = place.command(npm);
        install.args(["install", "--global", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(place.home.path());
        output(install.arg(package(&format!("{NAME}-{system}-{processor}"))).arg(package(NAME)))?;
        self.works(&place, &place.path("bin/mcvsphere").to_string_lossy(), "npm")
    }

    fn bundle(&self) -> anyhow::Result<()> {
        let place = Place::new()?;
        let bundle = self.release.bundle(self.release.native()?);
        output(Command::new(&self.tools.mcpb).arg("unpack").arg(bundle).arg(place.home.path()))?;
        let manifest: Value = serde_json::from_slice(&fs::read(place.path("manifest.json"))?)?;
        let program = manifest["server"]["mcp_config"]["command"].as_str().context("the bundle has no command")?;
        let program = program.replace("${__dirname}", &place.home.path().to_string_lossy());
        self.works(&place, &program, "bundle")
    }

    /// Uses an installed program as a newcomer does.
    fn works(&self, place: &Place, program: &str, what: &str) -> anyhow::Result<()> {
        let demo = output(place.command(program).arg("demo"))?;
        ensure!(demo.contains("> tools/call power_off_vm"), "the demo says {demo}");
        output(place.command(program).args(["doctor", "--sim"]))?;
        let server = place.script(&[program, "--sim", "stdio"])?;
        self.client.list_vms(&server.to_string_lossy(), "")?;
        say(&format!("{what}: ok"));
        Ok(())
    }

    /// Runs the images as a container does, without one: nobody's rights, a root that cannot be written, no other file.
    fn image(&self) -> anyhow::Result<()> {
        let place = Place::new()?;
        let sim = self.container(&place, "vsphere-sim")?;
        let mcvsphere = self.container(&place, NAME)?;

        let port = free_port()?;
        let mut simulated = sim.command(&[("X", "")], &["--listen", &format!("127.0.0.1:{port}")]);
        let mut simulated = Running::start(simulated.stdout(Stdio::piped()))?;
        let announced = simulated.until("# A simulated vCenter")?;
        let exports = announced.lines().filter_map(|line| line.strip_prefix("export "));
        let words = exports.flat_map(str::split_whitespace).filter_map(|word| word.split_once('='));
        let vcenter: Vec<(&str, &str)> = words.map(|(name, value)| (name, value.trim_matches('\''))).collect();

        // The line for one user.
        let command = mcvsphere.words(&vcenter, &["stdio"]);
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        self.client.list_vms(&place.script(&words)?.to_string_lossy(), "")?;

        // The line for many.
        let port = free_port()?.to_string();
        let environment = [&vcenter[..], &[("MCP_PORT", port.as_str())]].concat();
        ensure!(
            !mcvsphere.command(&environment, &["health"]).output()?.status.success(),
            "health lives before the server"
        );
        let mut serving = Running::start(mcvsphere.command(&environment, &[]).stderr(Stdio::piped()))?;
        let said = serving.until("\"listening\"")?;
        let token = said.lines().find(|line| line.starts_with("mcv_")).context("the server prints no token")?;
        ensure!(said.contains(&format!("\"0.0.0.0:{port}\"")), "the server listens elsewhere: {said}");
        output(&mut mcvsphere.command(&environment, &["health"]))?;
        let refused = without_token(&port)?;
        ensure!(refused.starts_with("HTTP/1.1 401"), "a call without a token is answered with {refused}");
        self.client.list_vms(&format!("http://127.0.0.1:{port}/mcp"), token)?;
        say("images: ok");
        Ok(())
    }

    /// Unpacks an image by umoci, which says how to run it.
    fn container(&self, place: &Place, name: &str) -> anyhow::Result<Container> {
        let layout = place.path(&format!("{name}-layout"));
        fs::create_dir(&layout)?;
        let image = self.release.file(name, &format!("linux-{}", self.native.image), ".oci.tar");
        output(Command::new("tar").arg("xf").arg(image).arg("-C").arg(&layout))?;
        let umoci = install::need("umoci", "umoci", "umoci")?;
        let bundle = place.path(name);
        let tagged = format!("{}:{}", layout.display(), self.release.version);
        output(Command::new(umoci).args(["unpack", "--rootless", "--image", &tagged]).arg(&bundle))?;
        let runtime: Value = serde_json::from_slice(&fs::read(bundle.join("config.json"))?)?;
        let list = |name: &str| -> Vec<String> {
            let list = runtime["process"][name].as_array().into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let config = docker_settings(&layout)?;
        ensure!(config["User"] == "65532:65532", "{name} runs as {}", config["User"]);
        let entry: Vec<String> = serde_json::from_value(config["Entrypoint"].clone())?;
        let container = Container {
            bwrap: install::need("bwrap", "bubblewrap", "bubblewrap")?,
            root: bundle.join("rootfs"),
            entry,
            environment: list("env"),
        };
        ensure!(list("args").starts_with(&container.entry), "umoci would start {:?}", list("args"));
        Ok(container)
    }
}

/// What an image says of how to run it.
fn docker_settings(layout: &Path) -> anyhow::Result<Value> {
    let saved: Value = serde_json::from_slice(&fs::read(layout.join("manifest.json"))?)?;
    let config = saved[0]["Config"].as_str().context("manifest.json names no config")?;
    let config: Value = serde_json::from_slice(&fs::read(layout.join(config))?)?;
    Ok(config["config"].clone())
}

/// The root of an image.
struct Container {
    bwrap: PathBuf,
    root: PathBuf,
    entry: Vec<String>,
    environment: Vec<String>,
}

impl Container {
    /// The words that run the image with these variables and arguments.
    fn words(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Vec<String> {
        let (bwrap, root) = (self.bwrap.to_string_lossy(), self.root.to_string_lossy());
        let mut words: Vec<String> = [
            &*bwrap,
            "--unshare-all",
            "--share-net",
            "--die-with-parent",
            "--uid",
            "65532",
            "--gid",
            "65532",
            "--ro-bind",
            &*root,
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
            "--chdir",
            "/tmp",
            "--clearenv",
        ]
        .map(str::to_owned)
        .to_vec();
        let own = self.environment.iter().filter_map(|pair| pair.split_once('='));
        let all: BTreeMap<&str, &str> = own.chain(environment.iter().copied()).collect();
        words.extend(all.into_iter().flat_map(|(name, value)| ["--setenv", name, value]).map(str::to_owned));
        words.push("--".to_owned());
        words.extend(self.entry.iter().cloned());
        words.extend(arguments.iter().map(|it| (*it).to_owned()));
        words
    }

    fn command(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Command {
        let words = self.words(environment, arguments);
        let mut command = Command::new(&self.bwrap);
        command.args(words.iter().skip(1)).stdin(Stdio::null());
        command
    }
}

/// A server, which ends with this value.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<Box<dyn Read + Send>>>,
}

impl Running {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let output: Box<dyn Read + Send> = match (child.stdout.take(), child.stderr.take()) {
            (Some(output), _) => Box::new(output),
            (None, Some(errors)) => Box::new(errors),
            (None, None) => bail!("{command:?} is not heard"),
        };
        Ok(Self { child, lines: BufReader::new(output).lines() })
    }

    /// What it says up to a line with this text in it.
    fn until(&mut self, text: &str) -> anyhow::Result<String> {
        let (begun, mut said) = (Instant::now(), String::new());
        for line in self.lines.by_ref() {
            let line = line?;
            said.push_str(&line);
            said.push('\n');
            if line.contains(text) {
                return Ok(said);
            }
            ensure!(begun.elapsed() < PATIENCE, "{text} is not said in time, but {said}");
        }
        bail!("it ended, and has said {said}")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What the server answers to somebody without a token.
fn without_token(port: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    let request = "POST /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
                   accept: application/json, text/event-stream\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
