//! The command processor of Windows: its quotes, its variables, and the programs that are asked for most.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::cmd_syntax::{Node, Redirection, Step, To, parse};
use super::files::{Errno, last_part};
use super::process::{Context, DEEPEST, Gone, Job, Sink};

/// The programs that there are, below `C:\Windows\System32`.
pub(super) const PROGRAMS: &[&str] = &[
    "cmd",
    "find",
    "findstr",
    "hostname",
    "ipconfig",
    "notepad",
    "ping",
    "powershell",
    "systeminfo",
    "tasklist",
    "timeout",
    "where",
    "whoami",
];

/// Runs a command line as `CreateProcess` does: its exit code.
pub(super) async fn start(job: &Job, mut context: Context, line: &str) -> i32 {
    let (program, rest) = first_word(line);
    let shell = Shell { delayed: false, batch: false };
    let ended = match stem(&program).as_str() {
        "cmd" => shell.cmd(job, &mut context, rest).await,
        _ => shell.program(job, &mut context, &program, rest).await,
    };
    match ended {
        Ok(Flow::Code(code) | Flow::Exit(code)) => code,
        Err(Gone) => 137,
    }
}

enum Flow {
    Code(i32),
    Exit(i32),
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Flow, Gone>> + Send + 'a>>;

/// How a line is read.
#[derive(Clone, Copy)]
struct Shell {
    /// `!NAME!` is replaced when a command runs.
    delayed: bool,
    /// It is a line of a file: a variable that is missing is empty, and `%%` is a sign.
    batch: bool,
}

impl Shell {
    /// `cmd.exe` with these arguments.
    fn cmd<'a>(mut self, job: &'a Job, context: &'a mut Context, arguments: &'a str) -> Running<'a> {
        Box::pin(async move {
            let mut rest = arguments.trim_start();
            let mut strip = false;
            self.batch = false;
            self.delayed = false;
            loop {
                let lower = rest.get(..2).unwrap_or_default().to_lowercase();
                match lower.as_str() {
                    "/c" | "/k" => {
                        rest = rest.get(2..).unwrap_or_default().trim_start();
                        break;
                    }
                    "/s" => strip = true,
                    "/v" => self.delayed = !rest.get(2..6).is_some_and(|word| word.eq_ignore_ascii_case(":off")),
                    lower if lower.starts_with('/') => {}
                    _ => return Ok(Flow::Code(0)),
                }
                rest = rest.split_once(' ').map_or("", |(_, rest)| rest).trim_start();
            }
            let plain =
                !strip && rest.matches('"').count() == 2 && !rest.contains(['&', '<', '>', '(', ')', '@', '^', '|']);
            if !plain && let Some(inner) = rest.strip_prefix('"') {
                let line = match inner.rfind('"') {
                    Some(last) => format!("{}{}", &inner[..last], &inner[last + 1..]),
                    None => inner.to_owned(),
                };
                return self.line(job, context, &line).await;
            }
            self.line(job, context, rest).await
        })
    }

    async fn line(self, job: &Job, context: &mut Context, line: &str) -> Result<Flow, Gone> {
        if context.depth >= DEEPEST {
            return fail(job, context, Errno::InUse);
        }
        context.depth += 1;
        let flow = self.line_within(job, context, line).await;
        context.depth -= 1;
        flow
    }

    async fn line_within(self, job: &Job, context: &mut Context, line: &str) -> Result<Flow, Gone> {
        let line = expanded(line, '%', self.batch, context);
        match parse(&line) {
            Ok(steps) => {
                let code = match self.steps(job, context, &steps).await? {
                    Flow::Code(code) | Flow::Exit(code) => code,
                };
                Ok(Flow::Code(code))
            }
            Err(problem) => {
                context.errors.write(job, problem.as_bytes())?.ok();
                Ok(Flow::Code(255))
            }
        }
    }

    fn steps<'a>(self, job: &'a Job, context: &'a mut Context, steps: &'a [Step]) -> Running<'a> {
        Box::pin(async move {
            let mut last = 0;
            for Step { after, pipe } in steps {
                if after.is_some_and(|success| success != (last == 0)) {
                    continue;
                }
                let output = context.output.clone();
                let input = Arc::clone(&context.input);
                for (at, node) in pipe.iter().enumerate() {
                    let is_last = at + 1 == pipe.len();
                    context.output = if is_last { output.clone() } else { Sink::buffer() };
                    let flow = self.node(job, context, node).await?;
                    if !is_last {
                        context.input = Arc::new(context.output.taken());
                    }
                    last = match flow {
                        Flow::Code(code) => code,
                        Flow::Exit(code) if pipe.len() == 1 => return Ok(Flow::Exit(code)),
                        Flow::Exit(code) => code,
                    };
                }
                (context.output, context.input) = (output, input);
                context.last = last;
            }
            Ok(Flow::Code(last))
        })
    }

    async fn node(self, job: &Job, context: &mut Context, node: &Node) -> Result<Flow, Gone> {
        let before = (context.output.clone(), context.errors.clone(), Arc::clone(&context.input));
        let (Node::Simple { redirections, .. } | Node::Group { redirections, .. }) = node;
        let opened = self.redirect(job, context, redirections)?;
        let flow = match (opened, node) {
            (Err(error), _) => {
                context.errors.write(job, format!("{}\r\n", error.text(true)).as_bytes())?.ok();
                Flow::Code(1)
            }
            (Ok(()), Node::Group { lines, .. }) => self.steps(job, context, lines).await?,
            (Ok(()), Node::Simple { text, .. }) => {
                let text = if self.delayed { expanded(text, '!', true, context) } else { text.clone() };
                self.command(job, context, text.trim_start_matches([' ', '\t', '@'])).await?
            }
        };
        (context.output, context.errors, context.input) = before;
        Ok(flow)
    }

    fn redirect(self, job: &Job, context: &mut Context, all: &[Redirection]) -> Result<Result<(), Errno>, Gone> {
        for Redirection { descriptor, to } in all {
            let meant = |path: &str| if self.delayed { expanded(path, '!', true, context) } else { path.to_owned() };
            let sink = match to {
                To::As(2) => context.errors.clone(),
                To::As(_) => context.output.clone(),
                To::Input(path) => {
                    let path = meant(path);
                    if path.eq_ignore_ascii_case("nul") {
                        context.input = Arc::default();
                        continue;
                    }
                    match read(job, context, &path)? {
                        Ok(bytes) => context.input = Arc::new(bytes),
                        Err(error) => return Ok(Err(error)),
                    }
                    continue;
                }
                To::File { path, append } => {
                    let path = meant(path);
                    let open = || {
                        job.with(|system, now| {
                            let key = system.files.key(&path, &context.directory).ok_or(Errno::Invalid)?;
                            let content = system.files.open(&path, &key, &job.user, *append, now)?;
                            Ok(Sink::File(content, key))
                        })
                    };
                    let opened = if path.eq_ignore_ascii_case("nul") { Ok(Sink::Nowhere) } else { open()? };
                    match opened {
                        Ok(sink) => sink,
                        Err(error) => return Ok(Err(error)),
                    }
                }
            };
            match descriptor {
                2 => context.errors = sink,
                _ => context.output = sink,
            }
        }
        Ok(Ok(()))
    }

    fn command<'a>(self, job: &'a Job, context: &'a mut Context, text: &'a str) -> Running<'a> {
        Box::pin(async move {
            let (name, rest) = first_word(text);
            // `echo.` and `echo(` write the rest, too.
            let letters = name.len().min(4);
            if name.get(..letters).is_some_and(|word| word.eq_ignore_ascii_case("echo")) && !name.contains('\\') {
                let rest = text.get(4..).unwrap_or_default();
                let rest = rest.strip_prefix([' ', '.', '(', ':', ',']).unwrap_or(rest);
                if self.batch && rest.trim().eq_ignore_ascii_case("off") {
                    return Ok(Flow::Code(0));
                }
                let text = if rest.trim().is_empty() && !text.contains('.') { "ECHO is on." } else { rest };
                return write(job, context, &oem(&format!("{text}\r\n")));
            }
            match stem(&name).as_str() {
                "cmd" => self.cmd(job, context, rest).await,
                "exit" => {
                    let code = rest.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or(context.last);
                    Ok(Flow::Exit(code))
                }
                "rem" => Ok(Flow::Code(0)),
                "set" => match rest.trim().trim_matches('"').split_once('=') {
                    Some((name, value)) => {
                        context.environment.retain(|other, _| !other.eq_ignore_ascii_case(name));
                        context.environment.insert(name.to_owned(), value.to_owned());
                        Ok(Flow::Code(0))
                    }
                    None => {
                        let all = context.environment.iter().map(|(name, value)| format!("{name}={value}\r\n"));
                        write(job, context, &oem(&all.collect::<String>()))
                    }
                },
                _ => self.program(job, context, &name, rest).await,
            }
        })
    }

    /// A program, or a file of commands.
    fn program<'a>(self, job: &'a Job, context: &'a mut Context, name: &'a str, rest: &'a str) -> Running<'a> {
        Box::pin(async move {
            let lower = name.to_lowercase();
            if lower.ends_with(".cmd") || lower.ends_with(".bat") {
                let Ok(bytes) = read(job, context, name)? else { return unknown(job, context, name) };
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if context.depth >= DEEPEST {
                    return fail(job, context, Errno::InUse);
                }
                let shell = Self { batch: true, ..self };
                let mut context = Context { depth: context.depth + 1, ..context.clone() };
                let context = &mut context;
                for line in text.lines().map(|line| line.trim_start_matches([' ', '@'])) {
                    if line.trim().is_empty() {
                        continue;
                    }
                    let parsed = parse(&expanded(line, '%', true, context));
                    let Ok(steps) = parsed else {
                        context.errors.write(job, b"The syntax of the command is incorrect.\r\n")?.ok();
                        return Ok(Flow::Code(255));
                    };
                    if let Flow::Exit(code) = shell.steps(job, context, &steps).await? {
                        return Ok(Flow::Code(code));
                    }
                }
                return Ok(Flow::Code(context.last));
            }
            let words = words(rest);
            let seconds = |text: Option<&String>| text.and_then(|text| text.parse::<u64>().ok());
            match stem(name).as_str() {
                "notepad" => loop {
                    job.sleep(Duration::from_secs(3600)).await?;
                },
                "timeout" => {
                    let number = seconds(words.iter().find(|word| word.parse::<u64>().is_ok()));
                    job.sleep(Duration::from_secs(number.unwrap_or(0))).await?;
                    Ok(Flow::Code(0))
                }
                "ping" => {
                    // The usual way to wait: one echo a second.
                    let count = words.iter().position(|word| word.eq_ignore_ascii_case("-n"));
                    let count = count.and_then(|at| seconds(words.get(at + 1))).unwrap_or(4);
                    job.sleep(Duration::from_secs(count.saturating_sub(1))).await?;
                    write(job, context, format!("Packets: Sent = {count}, Received = {count}\r\n").as_bytes())
                }
                known => {
                    let known = known.to_owned();
                    plain(job, context, &known, name, &words)
                }
            }
        })
    }
}

fn write(job: &Job, context: &Context, bytes: &[u8]) -> Result<Flow, Gone> {
    match context.output.write(job, bytes)? {
        Ok(()) => Ok(Flow::Code(0)),
        Err(error) => fail(job, context, error),
    }
}

fn fail(job: &Job, context: &Context, error: Errno) -> Result<Flow, Gone> {
    context.errors.write(job, format!("{}\r\n", error.text(true)).as_bytes())?.ok();
    Ok(Flow::Code(1))
}

fn unknown(job: &Job, context: &Context, name: &str) -> Result<Flow, Gone> {
    let text = format!(
        "'{name}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"
    );
    context.errors.write(job, text.as_bytes())?.ok();
    Ok(Flow::Code(9009))
}

fn read(job: &Job, context: &Context, path: &str) -> Result<Result<Vec<u8>, Errno>, Gone> {
    job.with(|system, _| {
        let key = system.files.key(path, &context.directory).ok_or(Errno::Invalid)?;
        system.files.read(&key, &job.user)
    })
}

/// Programs and commands that do not wait.
fn plain(job: &Job, context: &mut Context, known: &str, name: &str, words: &[String]) -> Result<Flow, Gone> {
    let named: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with('/')).collect();
    let text = match known {
        "dir" => {
            let path = named.first().copied().unwrap_or(".");
            let listed = job.with(|system, _| {
                let key = system.files.key(path, &context.directory).ok_or(Errno::Invalid)?;
                let (key, node) = system.files.get(&key, true)?;
                system.files.may_list(&key, &job.user)?;
                let nodes = if node.is_directory() { system.files.children(&key) } else { vec![(key.as_str(), node)] };
                let bare = words.iter().any(|word| word.eq_ignore_ascii_case("/b"));
                let line = |node: &super::files::Node| match (bare, node.is_directory()) {
                    (true, _) => format!("{}\r\n", node.name),
                    (false, true) => format!("{}    <DIR>          {}\r\n", node.modified.format("%m/%d/%Y  %H:%M"), node.name),
                    (false, false) => {
                        format!("{} {:>17} {}\r\n", node.modified.format("%m/%d/%Y  %H:%M"), node.size(), node.name)
                    }
                };
                let lines: String = nodes.iter().map(|(_, node)| line(node)).collect();
                let head = if bare { String::new() } else { format!(" Directory of {}\r\n\r\n", system.files.shown(&key)) };
                Ok(format!("{head}{lines}"))
            })?;
            match listed {
                Ok(text) => text,
                Err(Errno::Missing) => {
                    context.errors.write(job, b"File Not Found\r\n")?.ok();
                    return Ok(Flow::Code(1));
                }
                Err(error) => return fail(job, context, error),
            }
        }
        "type" => {
            for path in named {
                match read(job, context, path)? {
                    Ok(bytes) => {
                        write(job, context, &bytes)?;
                    }
                    Err(error) => return fail(job, context, error),
                }
            }
            return Ok(Flow::Code(0));
        }
        "cd" | "chdir" => {
            let Some(to) = named.first() else {
                let shown = job.with(|system, _| system.files.shown(&context.directory))?;
                return write(job, context, format!("{shown}\r\n").as_bytes());
            };
            let found = job.with(|system, _| {
                let key = system.files.key(to, &context.directory).ok_or(Errno::Invalid)?;
                let (key, node) = system.files.get(&key, true)?;
                if node.is_directory() { Ok(key) } else { Err(Errno::NotADirectory) }
            })?;
            match found {
                Ok(key) => context.directory = key,
                Err(error) => return fail(job, context, error),
            }
            return Ok(Flow::Code(0));
        }
        "mkdir" | "md" | "del" | "erase" | "rmdir" | "rd" => {
            for path in named {
                let done = job.with(|system, now| {
                    let key = system.files.key(path, &context.directory).ok_or(Errno::Invalid)?;
                    match known {
                        "mkdir" | "md" => system.files.make_directory(&system.files.shown(&key), true, &job.user, now),
                        known => {
                            let recursive = words.iter().any(|word| word.eq_ignore_ascii_case("/s"));
                            let is_directory = system.files.get(&key, false)?.1.is_directory();
                            match known.starts_with('r') == is_directory {
                                true => system.files.remove(&key, recursive, &job.user),
                                false => Err(Errno::NotADirectory),
                            }
                        }
                    }
                })?;
                if let Err(error) = done {
                    return fail(job, context, error);
                }
            }
            return Ok(Flow::Code(0));
        }
        "find" | "findstr" => {
            let fold = words.iter().any(|word| word.eq_ignore_ascii_case("/i"));
            let plain = |text: &str| if fold { text.to_lowercase() } else { text.to_owned() };
            let pattern = plain(named.first().copied().unwrap_or_default());
            let bytes = match named.get(1) {
                Some(path) => match read(job, context, path)? {
                    Ok(bytes) => bytes,
                    Err(error) => return fail(job, context, error),
                },
                None => context.input.to_vec(),
            };
            let text = String::from_utf8_lossy(&bytes);
            let lines: String = text.lines().filter(|line| plain(line).contains(&pattern)).map(|line| format!("{line}\r\n")).collect();
            if lines.is_empty() {
                return Ok(Flow::Code(1));
            }
            lines
        }
        "ver" => "\r\nMicrosoft Windows [Version 10.0.20348.2700]\r\n".to_owned(),
        "hostname" => job.with(|system, _| format!("{}\r\n", system.facts.host_name.to_uppercase()))?,
        "whoami" => job.with(|system, _| format!("{}\\{}\r\n", system.facts.host_name, job.user.name).to_lowercase())?,
        "ipconfig" => job.with(|system, _| {
            let address = system.facts.address.as_deref().unwrap_or("0.0.0.0");
            format!(
                "\r\nWindows IP Configuration\r\n\r\n\r\nEthernet adapter Ethernet0:\r\n\r\n   IPv4 Address. . . . . . . . . . . : \
                 {address}\r\n   Subnet Mask . . . . . . . . . . . : 255.255.0.0\r\n"
            )
        })?,
        "systeminfo" => job.with(|system, _| {
            let facts = &system.facts;
            format!("\r\nHost Name:  {}\r\nOS Name:    {}\r\n", facts.host_name.to_uppercase(), facts.os)
        })?,
        "tasklist" => job.with(|system, _| {
            let running = system.processes.iter().filter(|process| process.ended.is_none());
            running.map(|process| format!("{:<25} {:>8}\r\n", process.name, process.pid)).collect::<String>()
        })?,
        "powershell" => {
            context.errors.write(job, b"The simulated PowerShell runs nothing.\r\n")?.ok();
            return Ok(Flow::Code(1));
        }
        _ => return unknown(job, context, name),
    };
    write(job, context, &oem(&text))
}

/// The text with its variables replaced; a missing one is empty in a file of commands, and stands as it is elsewhere.
fn expanded(text: &str, sign: char, empty: bool, context: &Context) -> String {
    let mut pieces = text.split(sign);
    let mut expanded = pieces.next().unwrap_or_default().to_owned();
    let mut rest: Vec<&str> = pieces.rev().collect();
    while let Some(name) = rest.pop() {
        let Some(after) = rest.pop() else {
            if !(empty && sign == '!') {
                expanded.push(sign);
            }
            expanded.push_str(name);
            break;
        };
        let value = context.environment.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        match value {
            Some((_, value)) => {
                expanded.push_str(value);
                expanded.push_str(after);
            }
            None if name.is_empty() && empty => {
                expanded.push(sign);
                expanded.push_str(after);
            }
            None if empty => expanded.push_str(after),
            None => {
                // The second sign may begin the name of another variable.
                expanded.push(sign);
                expanded.push_str(name);
                rest.push(after);
            }
        }
    }
    expanded
}

/// The first word, without its quotes, and what follows it.
fn first_word(line: &str) -> (String, &str) {
    let line = line.trim_start();
    if let Some(inner) = line.strip_prefix('"')
        && let Some((word, rest)) = inner.split_once('"')
    {
        return (word.to_owned(), rest);
    }
    let end = line.find([' ', '\t']).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    (word.to_owned(), rest)
}

/// The words of arguments, without their quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The name of a program without its directory and its ending.
fn stem(path: &str) -> String {
    let name = last_part(path).to_lowercase();
    name.strip_suffix(".exe").map_or(name.clone(), str::to_owned)
}

/// Text in the code page of the console (850), as far as a West European needs it.
fn oem(text: &str) -> Vec<u8> {
    let byte = |c: char| match c {
        c if c.is_ascii() => u8::try_from(c).unwrap_or(b'?'),
        'ü' => 0x81,
        'é' => 0x82,
        'ä' => 0x84,
        'Ä' => 0x8e,
        'ö' => 0x94,
        'Ö' => 0x99,
        'Ü' => 0x9a,
        'ß' => 0xe1,
        _ => b'?',
    };
    text.chars().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn context(pairs: &[(&str, &str)]) -> Context {
        let environment: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (output, errors) = (Sink::Nowhere, Sink::Nowhere);
        Context { environment, directory: "c:".to_owned(), input: Arc::default(), output, errors, last: 0, depth: 0 }
    }

    #[test]
    fn variables_are_replaced_as_the_place_has_it() {
        let context = context(&[("Path", "C:\\x"), ("L", "a & \"b\" | %c%")]);
        assert_eq!(expanded("100% of %path% and %none%", '%', false, &context), "100% of C:\\x and %none%");
        assert_eq!(expanded("%%i %none%.", '%', true, &context), "%i .");
        assert_eq!(expanded("cmd /c \"!L!\"", '!', true, &context), "cmd /c \"a & \"b\" | %c%\"");
    }
}
