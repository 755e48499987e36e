//! The programs of Linux, each as much of it as is asked for most.

use std::time::Duration;

use super::System;
use super::file_commands::files;
use super::files::{Errno, last_part};
use super::process::{Context, DEEPEST, Gone, Job};
use super::sh::{Flow, program, read, say, source};

/// The programs that there are, below `/usr/bin` or `/usr/sbin`.
pub(super) const PROGRAMS: &[&str] = &[
    "bash",
    "cat",
    "chmod",
    "cp",
    "date",
    "df",
    "env",
    "free",
    "grep",
    "head",
    "hostname",
    "id",
    "ip",
    "journalctl",
    "kill",
    "ls",
    "mkdir",
    "mv",
    "printenv",
    "printf",
    "ps",
    "rm",
    "seq",
    "sh",
    "sleep",
    "sort",
    "stat",
    "systemctl",
    "tail",
    "test",
    "touch",
    "tr",
    "true",
    "false",
    "uname",
    "uniq",
    "uptime",
    "wc",
    "which",
    "whoami",
    "yes",
    "echo",
    "pwd",
];

/// What the shell does itself.
const BUILT_IN: &[&str] = &[
    ":", "cd", "echo", "exit", "export", "false", "kill", "printf", "pwd", "set", "test", "[", "true", "unset",
    "umask", "ulimit",
];

/// Runs a command: its name and its arguments.
pub(super) fn run<'a>(job: &'a Job, context: &'a mut Context, words: Vec<String>) -> super::sh::Running<'a> {
    Box::pin(async move {
        let Some((given, rest)) = words.split_first() else { return Ok(Flow::Code(0)) };
        let name = last_part(given);
        if given.contains('/') {
            let why = match program(job, context, given)? {
                Ok(()) => None,
                Err(Errno::Denied) => Some((126, "Permission denied")),
                Err(_) => Some((127, "not found")),
            };
            if let Some((code, why)) = why {
                say(job, context, &format!("sh: 1: {given}: {why}\n"))?;
                return Ok(Flow::Code(code));
            }
        } else if !PROGRAMS.contains(&name) && !BUILT_IN.contains(&name) {
            say(job, context, &format!("sh: 1: {given}: not found\n"))?;
            return Ok(Flow::Code(127));
        }
        let arguments: Vec<&str> = rest.iter().map(String::as_str).collect();
        match name {
            "sh" | "bash" => return shell(job, context, &arguments).await,
            "env" if rest.iter().any(|word| !word.contains('=')) => {
                let given = rest.iter().take_while(|word| word.contains('='));
                let mut inner = context.clone();
                inner.environment.extend(given.filter_map(|pair| pair.split_once('=')).map(owned));
                let rest = rest.iter().skip_while(|word| word.contains('=')).cloned().collect();
                return run(job, &mut inner, rest).await;
            }
            "exit" => {
                let code = arguments.first().map_or(Some(context.last), |code| code.parse().ok());
                return Ok(Flow::Exit(code.unwrap_or(2) & 0xff));
            }
            "sleep" => {
                let seconds = arguments.first().and_then(|text| text.trim_end_matches('s').parse::<f64>().ok());
                let Some(time) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else {
                    say(job, context, "sleep: invalid time interval\n")?;
                    return Ok(Flow::Code(1));
                };
                job.sleep(time).await?;
                return Ok(Flow::Code(0));
            }
            _ => {}
        }
        let known = given.contains('/') && !PROGRAMS.contains(&name) && !BUILT_IN.contains(&name);
        if known {
            // A script that somebody has written.
            return shell(job, context, &[given]).await;
        }
        let output = plain(job, context, name, &arguments)?;
        let mut code = output.code;
        if !output.errors.is_empty() {
            say(job, context, &output.errors)?;
        }
        // Output in pieces, so that what is gone is noticed before a full disk.
        if let Err(error) = context.output.write(job, &output.text)? {
            say(job, context, &format!("{name}: write error: {}\n", error.text(false)))?;
            code = 1;
        }
        Ok(Flow::Code(code))
    })
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// `sh -c script`, `sh file`, or a script on the input.
async fn shell(job: &Job, context: &mut Context, arguments: &[&str]) -> Result<Flow, Gone> {
    let mut inner = context.clone();
    inner.depth += 1;
    if inner.depth > DEEPEST {
        say(job, context, "sh: 0: Cannot fork\n")?;
        return Ok(Flow::Code(2));
    }
    let script = match arguments {
        ["-c" | "-lc" | "-ec", script, ..] => (*script).to_owned(),
        [file, ..] => match read(job, context, file)? {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                say(job, context, &format!("sh: 0: cannot open {file}: {}\n", error.text(false)))?;
                return Ok(Flow::Code(127));
            }
        },
        [] => String::from_utf8_lossy(&std::mem::take(&mut inner.input)).into_owned(),
    };
    source(job, &mut inner, &script).await
}

/// What a program writes, and how it ends.
#[derive(Default)]
pub(super) struct Output {
    pub(super) text: Vec<u8>,
    pub(super) errors: String,
    pub(super) code: i32,
}

impl Output {
    pub(super) fn of(text: impl Into<Vec<u8>>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(super) fn code(code: i32) -> Self {
        Self { code, ..Self::default() }
    }

    pub(super) fn failed(code: i32, errors: String) -> Self {
        Self { text: Vec::new(), errors, code }
    }

    pub(super) fn fail(&mut self, name: &str, what: &str, error: Errno) {
        self.errors.push_str(&format!("{name}: {what}: {}\n", error.text(false)));
        self.code = if name == "ls" || name == "grep" { 2 } else { 1 };
    }
}

/// Runs a program that does not wait.
fn plain(job: &Job, context: &mut Context, name: &str, arguments: &[&str]) -> Result<Output, Gone> {
    let flags: String =
        arguments.iter().filter(|word| word.len() > 1 && word.starts_with('-')).map(|word| &word[1..]).collect();
    let named: Vec<&str> = arguments.iter().copied().filter(|word| *word == "-" || !word.starts_with('-')).collect();
    Ok(match name {
        "true" | ":" | "set" | "umask" | "ulimit" => Output::code(0),
        "false" => Output::code(1),
        "echo" => echo(arguments),
        "printf" => Output::of(printf(arguments)),
        "pwd" => Output::of(format!("{}\n", context.directory)),
        "whoami" => Output::of(format!("{}\n", job.user.name)),
        "id" => {
            let user = &job.user;
            match flags.as_str() {
                "u" => Output::of(format!("{}\n", user.id)),
                "un" => Output::of(format!("{}\n", user.name)),
                _ => Output::of(format!("uid={0}({1}) gid={0}({1}) groups={0}({1})\n", user.id, user.name)),
            }
        }
        "cd" => {
            let to = named
                .first()
                .map_or_else(|| context.environment.get("HOME").cloned().unwrap_or_default(), |to| (*to).to_owned());
            let found = job.with(|system, _| {
                let key = system.files.key(&to, &context.directory).ok_or(Errno::Missing)?;
                let (key, node) = system.files.get(&key, true)?;
                if node.is_directory() { Ok(key) } else { Err(Errno::NotADirectory) }
            })?;
            match found {
                Ok(key) => {
                    context.directory = key;
                    Output::code(0)
                }
                Err(_) => Output::failed(2, format!("sh: 1: cd: can't cd to {to}\n")),
            }
        }
        "export" => {
            context.environment.extend(named.iter().filter_map(|pair| pair.split_once('=')).map(owned));
            Output::code(0)
        }
        "unset" => {
            named.iter().for_each(|name| drop(context.environment.remove(*name)));
            Output::code(0)
        }
        "env" | "printenv" => match named.first() {
            Some(name) if name.contains('=') => Output::of(environment(context)),
            Some(name) => match context.environment.get(*name) {
                Some(value) => Output::of(format!("{value}\n")),
                None => Output::code(1),
            },
            None => Output::of(environment(context)),
        },
        "cat" => each(job, context, "cat", &named, |text, bytes| text.extend_from_slice(bytes))?,
        "wc" => wc(&flags, &gathered(job, context, "wc", &named)?),
        "head" | "tail" => ends(job, context, name, arguments)?,
        "sort" | "uniq" | "tr" => {
            let (bytes, output) = gathered(job, context, name, if name == "tr" { &[] } else { &named })?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let mut lines: Vec<&str> = text.lines().collect();
            match name {
                "sort" if flags.contains('n') => lines.sort_by_key(|line| line.trim().parse::<i64>().unwrap_or(0)),
                "sort" => lines.sort_unstable(),
                _ => {}
            }
            if flags.contains('r') {
                lines.reverse();
            }
            if name == "uniq" || flags.contains('u') {
                lines.dedup();
            }
            Output {
                text: lines.iter().flat_map(|line| [line.as_bytes(), b"\n"]).flatten().copied().collect(),
                ..output
            }
        }
        "grep" => grep(job, context, &flags, &named)?,
        "seq" => {
            let numbers: Vec<i64> = named.iter().filter_map(|word| word.parse().ok()).collect();
            let (first, last) = match numbers[..] {
                [last] => (1, last),
                [first, last] => (first, last),
                _ => return Ok(Output::failed(1, "seq: missing operand\n".to_owned())),
            };
            let mut text = Vec::new();
            for number in first..=last.min(first.saturating_add(10_000_000)) {
                text.extend_from_slice(format!("{number}\n").as_bytes());
            }
            Output::of(text)
        }
        "yes" => {
            let line = format!("{}\n", named.first().unwrap_or(&"y"));
            Output::of(line.repeat((1 << 20) / line.len().max(1)))
        }
        "test" | "[" => test(job, context, arguments)?,
        "which" => {
            let found = named.iter().filter(|name| PROGRAMS.contains(name)).map(|name| format!("/usr/bin/{name}\n"));
            let text: String = found.collect();
            let code = i32::from(text.is_empty());
            Output { code, ..Output::of(text) }
        }
        "ls" | "stat" | "mkdir" | "rm" | "touch" | "mv" | "cp" | "chmod" => files(job, context, name, &flags, &named)?,
        _ => facts(job, name, &flags, &named)?,
    })
}

fn echo(arguments: &[&str]) -> Output {
    match arguments.split_first() {
        Some((&"-n", rest)) => Output::of(rest.join(" ")),
        Some((&"-e", rest)) => Output::of([unescaped(&rest.join(" ")), b"\n".to_vec()].concat()),
        _ => Output::of(format!("{}\n", arguments.join(" "))),
    }
}

/// `%s` and `%d` stand for the arguments, one after the other.
fn printf(arguments: &[&str]) -> Vec<u8> {
    let Some((format, rest)) = arguments.split_first() else { return Vec::new() };
    let mut rest = rest.iter();
    let mut text = String::new();
    loop {
        let before = rest.len();
        let mut pieces = format.split('%');
        text.push_str(pieces.next().unwrap_or_default());
        while let Some(piece) = pieces.next() {
            match piece.chars().next() {
                Some('s' | 'd' | 'b') => {
                    text.push_str(rest.next().unwrap_or(&""));
                    text.push_str(piece.get(1..).unwrap_or_default());
                }
                None => {
                    text.push('%');
                    text.push_str(pieces.next().unwrap_or_default());
                }
                Some(_) => text.push_str(piece),
            }
        }
        if rest.len() == 0 || rest.len() == before {
            return unescaped(&text);
        }
    }
}

/// `\n`, `\t`, `\\`, octal `\377` and hexadecimal `\xff`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let digits = |from: &[u8], base: u32, most: usize| {
            let count = from.iter().take(most).take_while(|c| char::from(**c).is_digit(base)).count();
            let number = std::str::from_utf8(from.get(..count)?).ok()?;
            Some((u8::from_str_radix(number, base).ok()?, count))
        };
        match rest.first() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'r') => bytes.push(b'\r'),
            Some(b'\\') => bytes.push(b'\\'),
            Some(b'x') => {
                if let Some((byte, count)) = digits(rest.get(1..).unwrap_or_default(), 16, 2) {
                    bytes.push(byte);
                    rest = rest.get(count..).unwrap_or_default();
                }
            }
            Some(b'0'..=b'7') => {
                if let Some((byte, count)) = digits(rest, 8, 3) {
                    bytes.push(byte);
                    rest = rest.get(count - 1..).unwrap_or_default();
                }
            }
            _ => {
                bytes.push(b'\\');
                continue;
            }
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    bytes
}

fn environment(context: &Context) -> String {
    context.environment.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// What files hold, or the input where none are named.
fn each(
    job: &Job,
    context: &Context,
    name: &str,
    named: &[&str],
    mut take: impl FnMut(&mut Vec<u8>, &[u8]),
) -> Result<Output, Gone> {
    let mut output = Output::default();
    if named.is_empty() {
        take(&mut output.text, &context.input);
    }
    for file in named {
        match *file {
            "-" => take(&mut output.text, &context.input),
            file => match read(job, context, file)? {
                Ok(bytes) => take(&mut output.text, &bytes),
                Err(error) => output.fail(name, file, error),
            },
        }
    }
    Ok(output)
}

fn gathered(job: &Job, context: &Context, name: &str, named: &[&str]) -> Result<(Vec<u8>, Output), Gone> {
    let mut output = each(job, context, name, named, |text, bytes| text.extend_from_slice(bytes))?;
    Ok((std::mem::take(&mut output.text), output))
}

fn wc(flags: &str, (bytes, output): &(Vec<u8>, Output)) -> Output {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let words = String::from_utf8_lossy(bytes).split_whitespace().count();
    let text = match flags {
        "l" => format!("{lines}\n"),
        "w" => format!("{words}\n"),
        "c" | "m" => format!("{}\n", bytes.len()),
        _ => format!("{lines:>7} {words:>7} {:>7}\n", bytes.len()),
    };
    Output { text: text.into_bytes(), errors: output.errors.clone(), code: output.code }
}

/// `head` and `tail`: so many lines, or bytes.
fn ends(job: &Job, context: &Context, name: &str, arguments: &[&str]) -> Result<Output, Gone> {
    let (mut count, mut bytes, mut named) = (10_usize, false, Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix('-') {
            Some(flag) if flag.starts_with(['n', 'c']) => {
                bytes = flag.starts_with('c');
                let number = if flag.len() > 1 { &flag[1..] } else { words.next().unwrap_or(&"") };
                count = number.parse().unwrap_or(0);
            }
            Some(number) if number.parse::<usize>().is_ok() => count = number.parse().unwrap_or(0),
            _ => named.push(*word),
        }
    }
    // What has no end is made as long as it is wanted.
    if let ([device @ ("/dev/zero" | "/dev/urandom")], true) = (named.as_slice(), bytes) {
        let count = count.min(80 << 20);
        let mut made = vec![0; count];
        if *device == "/dev/urandom" {
            fastrand::fill(&mut made);
        }
        return Ok(Output::of(made));
    }
    let (all, output) = gathered(job, context, name, &named)?;
    let head = name == "head";
    let text = match (bytes, head) {
        (true, true) => all.get(..count.min(all.len())),
        (true, false) => all.get(all.len().saturating_sub(count)..),
        (false, _) => {
            let mut starts: Vec<usize> = vec![0];
            starts.extend(all.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1));
            if starts.last() == Some(&all.len()) {
                starts.pop();
            }
            match head {
                true => all.get(..starts.get(count).copied().unwrap_or(all.len())),
                false => all.get(starts.get(starts.len().saturating_sub(count)).copied().unwrap_or(all.len())..),
            }
        }
    };
    Ok(Output { text: text.unwrap_or_default().to_vec(), ..output })
}

fn grep(job: &Job, context: &Context, flags: &str, named: &[&str]) -> Result<Output, Gone> {
    let Some((pattern, files)) = named.split_first() else {
        return Ok(Output::failed(2, "Usage: grep [OPTION]... PATTERNS [FILE]...\n".to_owned()));
    };
    let (bytes, output) = gathered(job, context, "grep", files)?;
    let fold = |text: &str| if flags.contains('i') { text.to_lowercase() } else { text.to_owned() };
    let (start, end) = (pattern.starts_with('^'), pattern.ends_with('$'));
    let plain = fold(pattern.trim_start_matches('^').trim_end_matches('$'));
    let fits = |line: &str| {
        let line = fold(line);
        let found = match (start, end) {
            (true, true) => line == plain,
            (true, false) => line.starts_with(&plain),
            (false, true) => line.ends_with(&plain),
            (false, false) => line.contains(&plain),
        };
        found != flags.contains('v')
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| fits(line)).collect();
    let code = if output.code != 0 { output.code } else { i32::from(lines.is_empty()) };
    let text = match () {
        () if flags.contains('q') => String::new(),
        () if flags.contains('c') => format!("{}\n", lines.len()),
        () => lines.iter().map(|line| format!("{line}\n")).collect(),
    };
    Ok(Output { text: text.into_bytes(), errors: output.errors, code })
}

fn test(job: &Job, context: &Context, arguments: &[&str]) -> Result<Output, Gone> {
    let arguments = arguments.strip_suffix(&["]"]).unwrap_or(arguments);
    let (not, arguments) = match arguments.split_first() {
        Some((&"!", rest)) => (true, rest),
        _ => (false, arguments),
    };
    let kind = |path: &str| {
        job.with(|system, _| {
            let key = system.files.key(path, &context.directory)?;
            system.files.get(&key, true).ok().map(|(_, node)| (node.is_directory(), node.size()))
        })
    };
    let holds = match arguments {
        ["-e", path] => kind(path)?.is_some(),
        ["-f", path] => kind(path)?.is_some_and(|(directory, _)| !directory),
        ["-d", path] => kind(path)?.is_some_and(|(directory, _)| directory),
        ["-s", path] => kind(path)?.is_some_and(|(_, size)| size > 0),
        ["-z", text] => text.is_empty(),
        ["-n", text] | [text] => !text.is_empty(),
        [a, "=" | "==", b] => a == b,
        [a, "!=", b] => a != b,
        [a, "-eq", b] => a.parse::<i64>().ok() == b.parse().ok(),
        [a, "-gt", b] => a.parse::<i64>().ok() > b.parse().ok(),
        [a, "-lt", b] => a.parse::<i64>().ok() < b.parse().ok(),
        _ => false,
    };
    Ok(Output::code(i32::from(holds == not)))
}

/// Programs that tell of the system.
fn facts(job: &Job, name: &str, flags: &str, named: &[&str]) -> Result<Output, Gone> {
    job.with(|system, now| {
        let facts = &system.facts;
        let up = facts.booted.map_or(0, |booted| (now - booted).num_seconds().max(0));
        match name {
            "uname" => Output::of(match flags.contains('a') {
                true => format!("Linux {} 6.8.0-45-generic #45-Ubuntu SMP x86_64 GNU/Linux\n", facts.host_name),
                false if flags.contains('r') => "6.8.0-45-generic\n".to_owned(),
                false if flags.contains('m') => "x86_64\n".to_owned(),
                false if flags.contains('n') => format!("{}\n", facts.host_name),
                false => "Linux\n".to_owned(),
            }),
            "hostname" if flags.contains('I') => Output::of(format!("{} \n", facts.address.as_deref().unwrap_or(""))),
            "hostname" => Output::of(format!("{}\n", facts.host_name)),
            "date" => Output::of(format!("{}\n", now.format("%a %b %e %H:%M:%S UTC %Y"))),
            "uptime" => {
                let (days, hours, minutes) = (up / 86_400, up / 3600 % 24, up / 60 % 60);
                let load = "load average: 0.08, 0.05, 0.01";
                Output::of(format!(" {} up {days} days, {hours:>2}:{minutes:02},  1 user,  {load}\n", now.format("%H:%M:%S")))
            }
            "free" => {
                let total = facts.memory_mb.saturating_mul(1024);
                let used = total / 3;
                Output::of(format!(
                    "               total        used        free\nMem:    {total:>12}{used:>12}{:>12}\nSwap:   {:>12}{:>12}{:>12}\n",
                    total - used, 0, 0, 0
                ))
            }
            "df" => {
                let mut text = "Filesystem     1K-blocks      Used Available Use% Mounted on\n".to_owned();
                for mount in &system.files.mounts {
                    let (size, used) = (mount.capacity / 1024, system.files.used(mount) / 1024);
                    let percent = used * 100 / size.max(1);
                    text.push_str(&format!(
                        "{:<14} {size:>9} {used:>9} {:>9} {percent:>3}% {}\n",
                        mount.device, size.saturating_sub(used), mount.at
                    ));
                }
                Output::of(text)
            }
            "ip" => {
                let address = facts.address.as_deref().unwrap_or("0.0.0.0");
                let mac = facts.mac.as_deref().unwrap_or("00:00:00:00:00:00");
                Output::of(format!(
                    "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 state UNKNOWN\n    inet 127.0.0.1/8 scope host lo\n\
                     2: ens192: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP\n    link/ether {mac}\n    \
                     inet {address}/16 scope global ens192\n"
                ))
            }
            "ps" => {
                let running = system.processes.iter().filter(|process| process.ended.is_none());
                let line = |process: &super::Process| {
                    format!("{:<12} {:>7} {}\n", process.owner, process.pid, process.command)
                };
                Output::of(format!("USER             PID COMMAND\n{}", running.map(line).collect::<String>()))
            }
            "kill" => {
                let pids: Vec<i64> = named.iter().filter_map(|word| word.parse().ok()).collect();
                let before = system.processes.len();
                system.processes.retain(|process| !pids.contains(&process.pid) || process.by_tools);
                Output::code(i32::from(before == system.processes.len()))
            }
            "systemctl" => systemctl(system, named),
            "journalctl" => Output::of(format!("-- No entries for {} --\n", facts.host_name)),
            other => Output::failed(127, format!("sh: 1: {other}: not found\n")),
        }
    })
}

fn systemctl(system: &System, named: &[&str]) -> Output {
    let (verb, unit) = match named {
        [] => ("list-units", None),
        [verb, rest @ ..] => (*verb, rest.first().map(|unit| unit.trim_end_matches(".service"))),
    };
    let of =
        |unit: &str| system.processes.iter().find(|process| process.ended.is_none() && process.name.contains(unit));
    match (verb, unit) {
        ("status", Some(unit)) => match of(unit) {
            Some(process) => Output::of(format!(
                "● {unit}.service - {unit}\n     Loaded: loaded (/usr/lib/systemd/system/{unit}.service; enabled)\n     Active: \
                 active (running) since {}\n   Main PID: {} ({})\n",
                process.started.format("%a %Y-%m-%d %H:%M:%S UTC"),
                process.pid,
                process.name
            )),
            None => Output::failed(4, format!("Unit {unit}.service could not be found.\n")),
        },
        ("is-active", Some(unit)) => {
            let active = of(unit).is_some();
            let text = if active { "active\n" } else { "inactive\n" };
            Output { code: if active { 0 } else { 3 }, ..Output::of(text) }
        }
        ("status" | "list-units", _) => {
            let running = system.processes.iter().filter(|process| process.ended.is_none() && !process.by_tools);
            Output::of(
                running.map(|process| format!("{}.service loaded active running\n", process.name)).collect::<String>(),
            )
        }
        (_, Some(unit)) if of(unit).is_some() => Output::code(0),
        (_, unit) => {
            let unit = unit.unwrap_or_default();
            Output::failed(5, format!("Failed to {verb} {unit}.service: Unit {unit}.service not found.\n"))
        }
    }
}
