//! Programs in a guest: started, watched, and their output fetched.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use tokio::time::{Instant, sleep_until};
use vsphere_model::types::{GuestProgramSpec, Poly};

use super::temporary::Temporary;
use super::{Family, Guest, GuestProcess, GuestTrouble, quote};
use crate::error::{ErrorKind, Result};
use crate::guard;
use crate::untrusted::Untrusted;

const RUN: &str = "run a command in the guest of";

/// How long a command is watched where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(300);

/// The longest time that a clock can hold is not needed: a year.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// How much is kept of each of the two outputs where nothing else is said, in bytes.
const KEPT: usize = 1 << 20;

/// VMware Tools look once a second at the programs that they have started. To ask them more often gets them into trouble.
const FIRST_LOOKS: (u32, Duration) = (10, Duration::from_secs(1));
const LATER_LOOKS: Duration = Duration::from_secs(2);

/// A request goes to VMware Tools through a channel of 64 KiB: what may be longer goes into a file first.
const CHANNEL: usize = 60_000;

/// The longest line that `cmd.exe` takes has 8,191 letters.
const WINDOWS_LINE: usize = 8_000;

/// A command that is to be run in a guest. Nothing is sent before [`output`](Self::output) or [`start`](Self::start) is
/// awaited.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use std::time::Duration;
/// use vsphere_ops::guest::{Credentials, End};
/// use vsphere_ops::managed::VirtualMachine;
///
/// let vm = client.get::<VirtualMachine>("web-01").await?;
/// let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
/// let ran = guest
///     .shell("echo $GREETING; ls /missing; exit 3")
///     .in_directory("/tmp")
///     .env("GREETING", "hello")
///     .timeout(Duration::from_secs(60))
///     .output_limit(64 << 10)
///     .on_output(|chunk| println!("{:?}: {} bytes", chunk.stream, chunk.bytes.len()))
///     .output()
///     .await?;
/// assert_eq!((ran.end, ran.exit_code), (End::Exited, Some(3)));
/// assert_eq!((ran.stdout.text(), ran.stderr.is_empty()), ("hello\n".into(), false));
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Clone)]
#[must_use = "a command runs when its output is awaited"]
pub struct Run {
    guest: Guest,
    command: Command,
    directory: Option<String>,
    environment: Vec<(String, String)>,
    patience: Duration,
    kept: usize,
    listener: Option<Listener>,
}

#[derive(Clone)]
enum Command {
    Line(String),
    Program { path: String, arguments: Vec<String> },
}

type Listener = Arc<dyn Fn(Chunk) + Send + Sync>;

/// Output of a command that runs, as it comes.
///
/// ```
/// use vsphere_ops::guest::{Chunk, Stream};
///
/// fn show(chunk: Chunk) {
///     let mark = if chunk.stream == Stream::Stderr { "! " } else { "" };
///     print!("{mark}{}", String::from_utf8_lossy(&chunk.bytes));
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Where it was written to.
    pub stream: Stream,
    /// What was written.
    pub bytes: Bytes,
}

/// One of the two outputs of a program.
///
/// ```
/// use vsphere_ops::guest::Stream;
///
/// fn mark(stream: Stream) -> &'static str {
///     if stream == Stream::Stderr { "!" } else { "" }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Its results.
    Stdout,
    /// Its complaints.
    Stderr,
}

/// How the watch of a command ended.
///
/// ```
/// use vsphere_ops::guest::End;
///
/// fn runs_on(end: End) -> bool {
///     end == End::TimedOut
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum End {
    /// The program has ended.
    Exited,
    /// The time was up, and the program runs on.
    TimedOut,
    /// It has ended, but VMware Tools do not know how any more: the guest was restarted, or they were.
    Forgotten,
}

/// A command that was run.
///
/// ```
/// use vsphere_ops::guest::{End, Ran};
///
/// fn line(ran: &Ran) -> String {
///     let cut = if ran.stdout.is_cut() { ", cut" } else { "" };
///     match ran.end {
///         End::Exited => format!("exit code {:?}{cut}", ran.exit_code),
///         _ => format!("process {} goes on, or its end is not known", ran.pid),
///     }
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ran {
    /// Its process in the guest.
    pub pid: i64,
    /// How it ended.
    pub end: End,
    /// Its exit code, where it has ended and that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What it wrote.
    pub stdout: Output,
    /// What it complained about.
    pub stderr: Output,
    /// When it was started, by the clock of the guest, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Files with its output that could not be deleted in the guest, since the program has them open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<Untrusted>,
}

/// What a command wrote to one of its outputs, as far as it is kept.
///
/// ```
/// use vsphere_ops::guest::Output;
///
/// fn first_line(output: &Output) -> String {
///     output.text().lines().next().unwrap_or_default().to_owned()
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The beginning of it.
    pub bytes: Vec<u8>,
    /// How much there is in all, in bytes.
    pub size: u64,
}

impl Output {
    /// It as text. What is no UTF-8, such as the console's code page on Windows, is replaced by `�`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Whether there is more than was kept.
    pub fn is_cut(&self) -> bool {
        self.size > self.bytes.len() as u64
    }

    /// Whether it is text, but for a letter that was cut in two.
    fn is_text(&self) -> bool {
        match std::str::from_utf8(&self.bytes) {
            Ok(_) => true,
            Err(error) => self.is_cut() && error.error_len().is_none(),
        }
    }
}

/// As untrusted text; what is no text also as base64, and what was cut with its size.
impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Output", 4)?;
        let text = self.text();
        // Half of a character at the end is left out.
        let text = if self.is_text() { text.trim_end_matches('\u{fffd}') } else { &text };
        object.serialize_field("text", &Untrusted::from(text))?;
        object.serialize_field("size_bytes", &self.size)?;
        match self.is_text() {
            true => object.skip_field("base64")?,
            false => object.serialize_field("base64", &STANDARD.encode(&self.bytes))?,
        }
        match self.is_cut() {
            true => object.serialize_field("note", &format!("only the first {} bytes are shown", self.bytes.len()))?,
            false => object.skip_field("note")?,
        }
        object.end()
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Output {
    fn schema_name() -> Cow<'static, str> {
        "Output".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "properties": {
                "text": generator.subschema_for::<Untrusted>(),
                "size_bytes": { "type": "integer", "minimum": 0 },
                "base64": { "type": "string" },
                "note": { "type": "string" },
            },
            "required": ["text", "size_bytes"],
        })
    }
}

impl Guest {
    /// A line for the guest's shell: `/bin/sh`, or `cmd.exe` on Windows. It gets there letter by letter.
    pub fn shell(&self, line: impl Into<String>) -> Run {
        self.run(Command::Line(line.into()))
    }

    /// A program with its arguments, none of which any shell interprets.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::guest::Credentials;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
    /// let ran = guest.program("/bin/echo", ["$HOME", "it's; a `test`"]).output().await?;
    /// assert_eq!(ran.stdout.text(), "$HOME it's; a `test`\n");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn program(&self, path: impl Into<String>, arguments: impl IntoIterator<Item = impl Into<String>>) -> Run {
        let arguments = arguments.into_iter().map(Into::into).collect();
        self.run(Command::Program { path: path.into(), arguments })
    }

    fn run(&self, command: Command) -> Run {
        Run {
            guest: self.clone(),
            command,
            directory: None,
            environment: Vec::new(),
            patience: PATIENCE,
            kept: KEPT,
            listener: None,
        }
    }
}

impl Run {
    /// Where it runs; in the user's home by default.
    pub fn in_directory(mut self, path: impl Into<String>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Adds a variable to the environment that the guest gives to its user's programs.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// How long it is watched; five minutes by default. It runs on after that.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.patience = time.min(LONGEST);
        self
    }

    /// How much is kept of each of its two outputs, in bytes; one MiB by default.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.kept = bytes;
        self
    }

    /// Calls `listener` with the output as it comes: every few seconds, as far as it is kept.
    pub fn on_output(mut self, listener: impl Fn(Chunk) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Starts it, and does not wait for its end: its process in the guest. Its output is lost. On Windows, a command of
    /// several lines leaves the file in which it was sent in the user's temporary directory.
    ///
    /// # Errors
    /// The errors of [`output`](Self::output).
    pub async fn start(self) -> Result<i64> {
        let guest = self.guest.clone();
        let started = guard::made(guest.vm.client(), |_| async move { self.launch(false).await }).await;
        let mut started = started.map_err(|error| guest.explained(error, RUN))?;
        // It is not ended with this, and what it needs to run stays.
        started.temporary.files.clear();
        Ok(started.temporary.pid.take().unwrap_or_default())
    }

    /// Runs it, waits for its end, and fetches what it wrote. A program that ends with an error is no error here.
    ///
    /// Where this is dropped before its end, the program is ended, and nothing of it is left in the guest.
    ///
    /// # Errors
    /// `auth` where the guest refuses user or password, `not_found` where there is no such program, `permission` where the user
    /// may not run it, `invalid_argument` for what no shell can be given, `invalid_state` where the guest is not ready, and
    /// `connection` where the host of the VM can't be reached to fetch the output.
    pub async fn output(self) -> Result<Ran> {
        let ends = Instant::now() + self.patience;
        let guest = self.guest.clone();
        let (listener, kept) = (self.listener.clone(), self.kept);
        // To its end, also where this is given up: else nobody would know what was started.
        let started = guard::made(guest.vm.client(), |_| async move { self.launch(true).await }).await;
        let mut started = started.map_err(|error| guest.explained(error, RUN))?;
        let pid = started.temporary.pid.unwrap_or_default();
        let mut tails = Tails::new(&guest, listener, kept, &started);
        let watched = async {
            let (end, process) = watch(&guest, pid, ends, &mut tails).await?;
            let stdout = fetch(&guest, &started.out, kept, end).await?;
            let stderr = fetch(&guest, &started.err, kept, end).await?;
            Ok((end, process, stdout, stderr))
        };
        let (end, process, stdout, stderr) = match watched.await {
            Ok(watched) => watched,
            Err(error) => {
                started.temporary.give_up().await;
                return Err(error);
            }
        };
        tails.end([&stdout, &stderr]);
        if end == End::TimedOut {
            // It runs on: this is no longer its end.
            started.temporary.pid = None;
        }
        let left_behind = started.temporary.clean().await;
        Ok(Ran {
            pid,
            end,
            exit_code: process.as_ref().and_then(|process| process.exit_code),
            stdout,
            stderr,
            started: process.as_ref().map(|process| process.started.clone()),
            ended: process.and_then(|process| process.ended),
            left_behind: left_behind.into_iter().map(Untrusted::from).collect(),
        })
    }

    /// Makes the files that it needs, and starts it.
    async fn launch(self, captured: bool) -> Result<Started> {
        let mut temporary = Temporary::new(&self.guest);
        match self.start_with(&mut temporary, captured).await {
            Ok((out, err)) => Ok(Started { temporary, out, err }),
            Err(error) => {
                temporary.give_up().await;
                Err(error)
            }
        }
    }

    /// The same: the paths of its outputs.
    async fn start_with(self, temporary: &mut Temporary, captured: bool) -> Result<(String, String)> {
        let guest = self.guest.clone();
        let line = self.line()?;
        let variables = self.environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
        // A message of SOAP has no room for control characters.
        let control = line.chars().any(|c| c.is_control() && !"\t\n\r".contains(c));
        let long = line.len() + variables > CHANNEL;
        let (out, err) = match captured {
            true => (temporary.file("").await?, temporary.file("").await?),
            false => (String::new(), String::new()),
        };
        let mut environment = self.merged_environment().await?;
        let (program_path, arguments) = match guest.family {
            Family::Posix => {
                let what = match control || long {
                    true => {
                        let script = temporary.file(".sh").await?;
                        guest.write_bytes(&script, Bytes::from(posix_script(&line, captured))).await?;
                        quote::posix(&script)
                    }
                    false => format!("-c {}", quote::posix(&line)),
                };
                let arguments = match captured {
                    true => format!("{what} >{} 2>{} </dev/null", quote::posix(&out), quote::posix(&err)),
                    false => format!("{what} >/dev/null 2>&1 </dev/null"),
                };
                ("/bin/sh".to_owned(), arguments)
            }
            Family::Windows => {
                let several = line.contains(['\n', '\r']);
                let line = match control || several || line.len() > WINDOWS_LINE {
                    true => {
                        let script = temporary.file(".cmd").await?;
                        let lines = line.lines().map(|line| format!("{line}\r\n")).collect::<String>();
                        guest.write_bytes(&script, Bytes::from(format!("@echo off\r\n{lines}"))).await?;
                        format!("\"{script}\"")
                    }
                    false => line,
                };
                let shell = environment.get_ignoring_case("ComSpec");
                let shell = shell.unwrap_or_else(|| "C:\\Windows\\System32\\cmd.exe".to_owned());
                environment.set(quote::LINE, &line, guest.family);
                environment.set(quote::OUT, if captured { &out } else { "nul" }, guest.family);
                environment.set(quote::ERR, if captured { &err } else { "nul" }, guest.family);
                (shell, quote::WINDOWS_ARGUMENTS.to_owned())
            }
        };
        let spec = GuestProgramSpec {
            program_path,
            arguments,
            working_directory: self.directory,
            env_variables: environment.0.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        };
        let spec = Poly::new(spec);
        let pid =
            guest.ask(RUN, || guest.processes.start_program_in_guest(guest.vm.reference(), &guest.auth, &spec)).await?;
        temporary.pid = Some(pid);
        Ok((out, err))
    }

    /// The line for the guest's shell.
    fn line(&self) -> Result<String> {
        let refused = |text: &str| Err(self.guest.refused(RUN, ErrorKind::InvalidArgument(text.to_owned())));
        let texts: Vec<&str> = match &self.command {
            Command::Line(line) => vec![line],
            Command::Program { path, arguments } => {
                std::iter::once(path).chain(arguments).map(String::as_str).collect()
            }
        };
        let texts = texts.into_iter().chain(self.environment.iter().flat_map(|(name, value)| [name.as_str(), value]));
        let texts: Vec<&str> = texts.chain(self.directory.as_deref()).collect();
        if texts.iter().any(|text| text.contains('\0')) {
            return refused("a zero byte is in it, which no command line can have");
        }
        if self.environment.iter().any(|(name, _)| name.is_empty() || name.contains('=')) {
            return refused("the name of a variable is empty or has an equals sign");
        }
        match &self.command {
            Command::Line(line) if line.trim().is_empty() => refused("the command is empty"),
            Command::Line(line) => Ok(line.clone()),
            Command::Program { path, .. } if path.is_empty() => refused("the program has no name"),
            Command::Program { path, arguments } => match self.guest.family {
                Family::Posix => Ok(quote::posix_line(path, arguments)),
                Family::Windows if arguments.iter().any(|argument| argument.contains(['\n', '\r'])) => {
                    refused("an argument has a line break, which cmd.exe can't pass on")
                }
                Family::Windows if path.contains('"') => refused("the name of a program on Windows has no quotes"),
                Family::Windows => Ok(quote::windows_line(path, arguments)),
            },
        }
    }

    /// The environment to start it with; empty where that of the guest is left as it is. A given one replaces that of the
    /// guest, so that it is read first.
    async fn merged_environment(&self) -> Result<Environment> {
        let guest = &self.guest;
        let mut environment = Environment::default();
        if self.environment.is_empty() && guest.family == Family::Posix {
            return Ok(environment);
        }
        let own = guest.ask("read the environment in the guest of", || {
            guest.processes.read_environment_variable_in_guest(guest.vm.reference(), &guest.auth, &[])
        });
        // A name may begin with an equals sign on Windows, where such ones are the working directories of drives.
        for (name, value) in
            own.await?.iter().filter_map(|pair| pair.split_once('=')).filter(|(name, _)| !name.is_empty())
        {
            environment.set(name, value, guest.family);
        }
        for (name, value) in &self.environment {
            environment.set(name, value, guest.family);
        }
        Ok(environment)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A command may hold what is not meant for logs.
        f.debug_struct("Run").field("guest", &self.guest).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Environment(BTreeMap<String, String>);

impl Environment {
    fn set(&mut self, name: &str, value: &str, family: Family) {
        if family == Family::Windows {
            self.0.retain(|other, _| !other.eq_ignore_ascii_case(name));
        }
        self.0.insert(name.to_owned(), value.to_owned());
    }

    fn get_ignoring_case(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }
}

/// A command that was started.
struct Started {
    temporary: Temporary,
    out: String,
    err: String,
}

/// Watches a process until it has ended or the time is up.
async fn watch(guest: &Guest, pid: i64, ends: Instant, tails: &mut Tails) -> Result<(End, Option<GuestProcess>)> {
    let mut looks = 0;
    loop {
        let (many, pause) = FIRST_LOOKS;
        let pause = if looks < many { pause } else { LATER_LOOKS };
        looks += 1;
        sleep_until((Instant::now() + pause).min(ends)).await;
        match guest.process(pid).await {
            Ok(Some(process)) if process.ended.is_some() => return Ok((End::Exited, Some(process))),
            Ok(Some(process)) if Instant::now() >= ends => return Ok((End::TimedOut, Some(process))),
            Ok(Some(_)) => tails.follow().await,
            Ok(None) => return Ok((End::Forgotten, None)),
            // A guest that restarts is ready again in a while, and has forgotten the program.
            Err(error) if error.guest_trouble() == Some(GuestTrouble::NotReady) && Instant::now() < ends => {}
            Err(error) => return Err(error),
        }
    }
}

/// What a command wrote. A guest that was restarted may have lost it.
async fn fetch(guest: &Guest, path: &str, kept: usize, end: End) -> Result<Output> {
    match guest.fetch_output(path, kept).await {
        Err(error) if end == End::Forgotten && error.guest_trouble() == Some(GuestTrouble::Missing) => {
            Ok(Output::default())
        }
        fetched => fetched,
    }
}

/// The outputs of a command, told while they grow.
struct Tails {
    guest: Guest,
    listener: Option<Listener>,
    kept: usize,
    tails: [Tail; 2],
}

struct Tail {
    stream: Stream,
    path: String,
    /// How much was told.
    told: usize,
}

impl Tails {
    fn new(guest: &Guest, listener: Option<Listener>, kept: usize, started: &Started) -> Self {
        let tail = |stream, path: &str| Tail { stream, path: path.to_owned(), told: 0 };
        let tails = [tail(Stream::Stdout, &started.out), tail(Stream::Stderr, &started.err)];
        Self { guest: guest.clone(), listener, kept, tails }
    }

    async fn follow(&mut self) {
        let Some(listener) = &self.listener else { return };
        for tail in self.tails.iter_mut().filter(|tail| tail.told < self.kept) {
            match self.guest.fetch_output(&tail.path, self.kept).await {
                Ok(output) => tail.tell(&output.bytes, listener),
                // It is fetched again at the end, where a failure counts.
                Err(error) => tracing::debug!(%error, "the output of a command could not be followed"),
            }
        }
    }

    fn end(&mut self, outputs: [&Output; 2]) {
        let Some(listener) = &self.listener else { return };
        for (tail, output) in self.tails.iter_mut().zip(outputs) {
            tail.tell(&output.bytes, listener);
        }
    }
}

impl Tail {
    fn tell(&mut self, all: &[u8], listener: &Listener) {
        if let Some(more) = all.get(self.told..).filter(|more| !more.is_empty()) {
            listener(Chunk { stream: self.stream, bytes: Bytes::copy_from_slice(more) });
            self.told = all.len();
        }
    }
}

/// The file in which a line goes to a shell of Posix. Where nobody waits for its end, it deletes itself.
fn posix_script(line: &str, captured: bool) -> String {
    let head = if captured { "" } else { "rm -f -- \"$0\"\n" };
    format!("{head}{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the real shell of this computer, as VMware Tools run a program. A shell reads a long script piece by piece: what it
    /// has not read yet when the file is gone must still come.
    #[cfg(unix)]
    #[test]
    fn a_script_that_nobody_waits_for_deletes_itself_and_runs_to_its_end() {
        let folder = std::env::temp_dir().join(format!("it's a \"$folder\"-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&folder).unwrap();
        let (script, out) = (folder.join("-a b.sh"), folder.join("out"));
        let filler = "A=0123456789 # filler\n".repeat(2 * CHANNEL / 20);
        let line = format!(
            "cd /\n[ -e \"$0\" ] && echo there >\"$1\" || printf begun >\"$1\"\n{filler}printf ' ended' >>\"$1\""
        );
        assert!(line.len() > CHANNEL);
        for (captured, there) in [(false, false), (true, true)] {
            std::fs::write(&script, posix_script(&line, captured)).unwrap();
            let (script, out) = (script.to_str().unwrap(), out.to_str().unwrap());
            let by_tools =
                format!("\"/bin/sh\" {} {} >/dev/null 2>&1 </dev/null", quote::posix(script), quote::posix(out));
            let ran = std::process::Command::new("/bin/sh").arg("-c").arg(&by_tools).status().unwrap();
            assert!(ran.success());
            assert_eq!(std::path::Path::new(script).exists(), there);
            let begun = if there { "there\n" } else { "begun" };
            assert_eq!(std::fs::read_to_string(out).unwrap(), format!("{begun} ended"));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn output_is_text_or_base64_and_says_what_was_cut() {
        let json = |bytes: &[u8], size| serde_json::to_value(Output { bytes: bytes.to_vec(), size }).unwrap();
        assert_eq!(json(b"ok\n", 3), serde_json::json!({ "text": { "untrusted": "ok\n" }, "size_bytes": 3 }));
        let latin = json(b"gr\xfcn", 4);
        assert_eq!((&latin["text"]["untrusted"], &latin["base64"]), (&"gr\u{fffd}n".into(), &"Z3L8bg==".into()));
        // A letter that was cut in two makes no binary file of a text.
        let cut = json("aü".as_bytes().get(..2).unwrap(), 9);
        assert_eq!((&cut["text"]["untrusted"], cut.get("base64")), (&"a".into(), None));
        assert_eq!(cut["note"], "only the first 2 bytes are shown");
    }
}
