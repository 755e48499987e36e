//! The command line of govmomi's vcsim, for what starts that program: the same options, the same announcement, a server that is
//! as easy.

use std::{
    ffi::OsString,
    fmt::Write as _,
    io::{self, Read as _},
    net::{SocketAddr, ToSocketAddrs as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{sync::oneshot, task::spawn_blocking};
use vsphere_sim::{Logins, Model, Role, Rules, Sim, Trouble, Vcsim};

/// The arguments of this process. Where the program is named vcsim, they are those of vcsim.
pub(crate) fn command_line(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let is_vcsim = arguments.first().and_then(|program| Path::new(program).file_stem()).is_some_and(|it| it == "vcsim");
    if is_vcsim {
        arguments.splice(..1, ["mcvsphere", "sim", "--as-vcsim"].map(OsString::from));
    }
    arguments
}

/// What a command line of vcsim asks for.
#[derive(Debug, PartialEq)]
struct Options {
    size: Vcsim,
    listen: String,
    tls: bool,
    /// Empty where any name and password will do.
    user: String,
    password: String,
    /// Where the address goes; to standard output for `-`.
    announce: String,
    /// Whether a byte on standard input, or its end, ends the program.
    stdin_exit: bool,
    api_version: String,
    /// Milliseconds that each answer takes longer.
    delay: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size: Vcsim::default(),
            listen: "127.0.0.1:8989".to_owned(),
            tls: true,
            user: String::new(),
            password: String::new(),
            announce: "-".to_owned(),
            stdin_exit: false,
            api_version: String::new(),
            delay: 0,
        }
    }
}

/// Where the value of an option goes.
enum Place {
    Count(fn(&mut Options) -> &mut usize),
    Switch(fn(&mut Options) -> &mut bool),
    Text(fn(&mut Options) -> &mut String),
}

use Place::{Count, Switch, Text};

/// The options: the name, the place, and what `-help` says of them.
const OPTIONS: &[(&str, Place, &str)] = &[
    ("E", Text(|it| &mut it.announce), "write the address to this file or FIFO; - is standard output"),
    ("api-version", Text(|it| &mut it.api_version), "the version of the API"),
    ("app", Count(|it| &mut it.size.apps), "vApps in each cluster"),
    ("autostart", Switch(|it| &mut it.size.autostart), "let the VMs run"),
    ("cluster", Count(|it| &mut it.size.clusters), "clusters in each datacenter"),
    ("dc", Count(|it| &mut it.size.datacenters), "datacenters"),
    ("delay", Count(|it| &mut it.delay), "milliseconds that each answer takes longer"),
    ("ds", Count(|it| &mut it.size.datastores), "datastores in each datacenter"),
    ("esx", Switch(|it| &mut it.size.esx), "simulate a lone ESXi host"),
    ("folder", Count(|it| &mut it.size.folders), "datacenters that are in folders"),
    ("host", Count(|it| &mut it.size.hosts), "hosts in each cluster"),
    ("l", Text(|it| &mut it.listen), "where to listen"),
    ("nsx", Count(|it| &mut it.size.opaque_networks), "opaque networks in each datacenter"),
    ("password", Text(|it| &mut it.password), "the password of -username, or a file that holds it"),
    ("pg", Count(|it| &mut it.size.port_groups), "distributed port groups in each datacenter"),
    ("pg-nsx", Count(|it| &mut it.size.nsx_port_groups), "the same with NSX behind them"),
    ("pod", Count(|it| &mut it.size.pods), "datastore clusters in each datacenter"),
    ("pool", Count(|it| &mut it.size.pools), "resource pools in each cluster"),
    ("standalone-host", Count(|it| &mut it.size.standalone_hosts), "hosts in each datacenter that are in no cluster"),
    ("stdinexit", Switch(|it| &mut it.stdin_exit), "end with standard input, or at its first byte"),
    ("tls", Switch(|it| &mut it.tls), "speak HTTPS"),
    ("username", Text(|it| &mut it.user), "who may log in, or a file that holds the name; without it anyone may"),
    ("vm", Count(|it| &mut it.size.vms), "VMs in each host, cluster, pool and vApp"),
];

/// Options of vcsim that mean nothing here: what they ask for is not offered.
const NOT_OFFERED: [&str; 8] =
    ["delay-jitter", "load", "method-delay", "tlscert", "tlskey", "trace", "trace-file", "tunnel"];

/// What a command line comes to.
#[derive(Debug, PartialEq)]
enum Wish {
    Serve(Box<Options>),
    Help,
    Version,
    /// A new UUID.
    Uuid,
}

/// Reads a command line as vcsim reads one: an option begins with one dash or two, its value follows after a space or an equals
/// sign, and a switch takes a value only after the latter.
fn parse(words: &[String]) -> anyhow::Result<Wish> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let option = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|option| !option.is_empty());
        let Some(option) = option else {
            return match word.as_str() {
                "--" => Ok(Wish::Serve(Box::new(options))),
                "version" => Ok(Wish::Version),
                "uuidgen" => Ok(Wish::Uuid),
                _ => bail!("{word:?} is not an option of vcsim: `vcsim -help` lists them"),
            };
        };
        let (name, given) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        if matches!(name, "h" | "help") {
            return Ok(Wish::Help);
        }
        let Some((_, place, _)) = OPTIONS.iter().find(|(known, ..)| *known == name) else {
            match NOT_OFFERED.contains(&name) {
                true => bail!("vcsim's option -{name} is not offered by this simulator"),
                false => bail!("vcsim has no option -{name}: `vcsim -help` lists them"),
            }
        };
        let mut value =
            || given.or_else(|| words.next().map(String::as_str)).with_context(|| format!("-{name} needs a value"));
        match place {
            Count(place) => {
                let value = value()?;
                *place(&mut options) = value.parse().map_err(|_| anyhow!("-{name} takes a number, not {value:?}"))?;
            }
            Text(place) => value()?.clone_into(place(&mut options)),
            Switch(place) => {
                *place(&mut options) = match given.unwrap_or("true") {
                    "1" | "t" | "T" | "true" | "True" | "TRUE" => true,
                    "0" | "f" | "F" | "false" | "False" | "FALSE" => false,
                    other => bail!("-{name} is true or false, not {other:?}"),
                };
            }
        }
    }
    Ok(Wish::Serve(Box::new(options)))
}

/// Runs a simulator as vcsim would.
pub(super) async fn run(words: &[String], say: impl Fn(&str) -> io::Result<()>) -> anyhow::Result<ExitCode> {
    let options = match parse(words)? {
        Wish::Serve(options) => *options,
        Wish::Help => {
            say(help().trim_end())?;
            return Ok(ExitCode::SUCCESS);
        }
        Wish::Version => {
            say(&format!("mcvsphere {}, compatible with vcsim", env!("CARGO_PKG_VERSION")))?;
            return Ok(ExitCode::SUCCESS);
        }
        Wish::Uuid => {
            say(&uuid())?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let (user, password) = (secret(&options.user)?, secret(&options.password)?);
    let model = options.model(&user, &password);
    let address = options.address()?;
    let listen = if options.tls { Sim::listen(model, address).await } else { Sim::listen_plain(model, address).await };
    let sim = listen.with_context(|| format!("can't listen on {address}: choose another with -l"))?;
    let line = announcement(&sim, &user, &password);
    match options.announce.as_str() {
        "-" => say(&line)?,
        file => announce(PathBuf::from(file), line).await?,
    }
    if options.stdin_exit {
        say("Press any key to exit")?;
        key().await;
        return Ok(ExitCode::SUCCESS);
    }
    stopped().await?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until somebody ends the program: that is no failure.
#[cfg(unix)]
async fn stopped() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn stopped() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let bits = fastrand::u128(..) & !(0xf000 << 64) & !(0xc000 << 48) | 0x4000 << 64 | 0x8000 << 48;
    let hex = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
    parts.join("-")
}

impl Options {
    fn model(&self, user: &str, password: &str) -> Model {
        let mut rules = Rules::LENIENT;
        let mut model = Model::vcsim(self.size.clone());
        if !user.is_empty() {
            rules.logins = Logins::Known;
            model = model.user(user, password, Role::Administrator);
        }
        if !self.api_version.is_empty() {
            model = model.version(&self.api_version);
        }
        let delay = u64::try_from(self.delay).unwrap_or(u64::MAX);
        model.rules(rules).trouble(Trouble::none().latency(Duration::from_millis(delay)))
    }

    /// Where to listen; everywhere where no host is named.
    fn address(&self) -> anyhow::Result<SocketAddr> {
        let listen = if self.listen.starts_with(':') { format!("0.0.0.0{}", self.listen) } else { self.listen.clone() };
        let mut found = listen.to_socket_addrs().with_context(|| format!("-l {} is no address", self.listen))?;
        found.next().with_context(|| format!("-l {} is no address of this computer", self.listen))
    }
}

/// The text itself, or what is in the file that it names.
fn secret(text: &str) -> anyhow::Result<String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    match std::fs::read_to_string(text) {
        Ok(content) => Ok(content.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(error).with_context(|| format!("{text} can't be read"))
        }
        Err(_) => Ok(text.to_owned()),
    }
}

/// How to reach the server, as a line that a shell can take.
fn announcement(sim: &Sim, user: &str, password: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let login =
        if user.is_empty() { "user:pass".to_owned() } else { format!("{}:{}", encoded(user), encoded(password)) };
    let url = sim.url().replacen("://", &format!("://{login}@"), 1);
    format!("export GOVC_URL={url} GOVC_SIM_PID={}", std::process::id())
}

/// Writes the line to a file that is there. A FIFO takes it when somebody reads.
async fn announce(file: PathBuf, line: String) -> anyhow::Result<()> {
    let shown = file.display().to_string();
    let write = move || {
        let mut file = std::fs::OpenOptions::new().write(true).open(file)?;
        io::Write::write_all(&mut file, format!("{line}\n").as_bytes())
    };
    let written = spawn_blocking(write).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    written.with_context(|| format!("-E {shown} can't be written"))
}

/// Waits for a byte on standard input, or for its end.
async fn key() {
    let (send, receive) = oneshot::channel();
    // No task of the runtime: nothing could end it.
    std::thread::spawn(move || {
        let _ = io::stdin().lock().read(&mut [0]);
        let _ = send.send(());
    });
    let _ = receive.await;
}

fn help() -> String {
    let mut text = "The options of vcsim that this simulator has:\n".to_owned();
    for (name, place, about) in OPTIONS {
        let value = match place {
            Count(_) => " N",
            Text(_) => " TEXT",
            Switch(_) => "",
        };
        let _ = writeln!(text, "  {:<20} {about}", format!("-{name}{value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> anyhow::Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&words)? {
            Wish::Serve(options) => Ok(*options),
            other => bail!("{other:?}"),
        }
    }

    #[test]
    fn options_are_read_as_vcsim_reads_them() {
        assert_eq!(options("").unwrap(), Options::default());
        let size = Vcsim { datacenters: 2, vms: 0, autostart: false, pods: 1, ..Vcsim::default() };
        let read =
            options("-dc 2 --vm=0 -autostart=false -pod 1 -tls=false -l :0 -username u -password=p -E f").unwrap();
        let wanted = Options {
            size,
            tls: false,
            listen: ":0".into(),
            user: "u".into(),
            password: "p".into(),
            announce: "f".into(),
            ..Options::default()
        };
        assert_eq!(read, wanted);
        assert!(options("-esx -stdinexit -vm 1").is_ok_and(|it| it.size.esx && it.stdin_exit && it.size.vms == 1));
        assert_eq!(
            options(":0").unwrap_err().to_string(),
            "\":0\" is not an option of vcsim: `vcsim -help` lists them"
        );
        for (line, words) in [
            ("-vm many", "-vm takes a number, not \"many\""),
            ("-vm", "-vm needs a value"),
            ("-tls=maybe", "-tls is true or false, not \"maybe\""),
            ("-load dir", "vcsim's option -load is not offered by this simulator"),
            ("-cats 3", "vcsim has no option -cats: `vcsim -help` lists them"),
        ] {
            assert_eq!(options(line).unwrap_err().to_string(), words, "{line}");
        }
        assert_eq!(parse(&["-h".to_owned()]).unwrap(), Wish::Help);
        assert_eq!(parse(&["version".to_owned()]).unwrap(), Wish::Version);
        assert_eq!(parse(&["uuidgen".to_owned()]).unwrap(), Wish::Uuid);
    }

    #[test]
    fn a_uuid_is_one_of_version_4() {
        let parts: Vec<usize> = uuid().split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(uuid().get(14..15), Some("4"));
        assert_ne!(uuid(), uuid());
    }

    #[test]
    fn a_program_named_vcsim_has_its_command_line() {
        let line = |words: &[&str]| command_line(words.iter().map(OsString::from));
        assert_eq!(line(&["/usr/bin/vcsim", "-vm", "1"]), ["mcvsphere", "sim", "--as-vcsim", "-vm", "1"]);
        assert_eq!(line(&["/usr/bin/mcvsphere", "sim"]), ["/usr/bin/mcvsphere", "sim"]);
        assert!(line(&[]).is_empty());
    }

    #[test]
    fn an_address_without_a_host_is_everywhere() {
        let address = |listen: &str| Options { listen: listen.into(), ..Options::default() }.address();
        assert_eq!(address(":8989").unwrap(), SocketAddr::from(([0, 0, 0, 0], 8989)));
        assert_eq!(address("127.0.0.1:0").unwrap(), SocketAddr::from(([127, 0, 0, 1], 0)));
        assert!(address("nonsense").is_err());
    }
}
