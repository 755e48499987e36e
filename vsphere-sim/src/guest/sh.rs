//! The shell of Linux: runs what [`syntax`](super::syntax) reads.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::commands;
use super::files::{Errno, Kind};
use super::process::{Context, Gone, Job, Sink};
use super::syntax::{AndOr, Body, Command, How, Part, Pipeline, Redirection, Script, Word, parse};

/// How a command has ended.
pub(super) enum Flow {
    Code(i32),
    /// `exit`: the shell ends.
    Exit(i32),
}

pub(super) type Running<'a> = Pin<Box<dyn Future<Output = Result<Flow, Gone>> + Send + 'a>>;

/// Runs a script to its end: its exit code.
pub(super) async fn run(job: &Job, mut context: Context, script: &str) -> i32 {
    match source(job, &mut context, script).await {
        Ok(Flow::Code(code) | Flow::Exit(code)) => code,
        Err(Gone) => 137,
    }
}

/// Reads and runs a script. An `exit` in it ends it, and nothing beyond.
pub(super) async fn source(job: &Job, context: &mut Context, script: &str) -> Result<Flow, Gone> {
    match parse(script) {
        Ok(script) => {
            let flow = list(job, context, &script).await?;
            Ok(Flow::Code(code(&flow)))
        }
        Err(problem) => {
            say(job, context, &format!("sh: 1: {problem}\n"))?;
            Ok(Flow::Code(2))
        }
    }
}

fn code(flow: &Flow) -> i32 {
    match flow {
        Flow::Code(code) | Flow::Exit(code) => *code,
    }
}

/// Writes to the errors.
pub(super) fn say(job: &Job, context: &Context, text: &str) -> Result<(), Gone> {
    context.errors.write(job, text.as_bytes()).map(drop)
}

fn list<'a>(job: &'a Job, context: &'a mut Context, script: &'a Script) -> Running<'a> {
    Box::pin(async move {
        let mut last = 0;
        for AndOr { first, rest } in script {
            let mut flow = pipeline(job, context, first).await?;
            for (and, next) in rest {
                let Flow::Code(code) = flow else { break };
                if (code == 0) == *and {
                    flow = pipeline(job, context, next).await?;
                }
            }
            last = code(&flow);
            context.last = last;
            if let Flow::Exit(_) = flow {
                return Ok(flow);
            }
        }
        Ok(Flow::Code(last))
    })
}

/// Runs the commands of a pipe one after the other, each with the output of the one before.
async fn pipeline(job: &Job, context: &mut Context, Pipeline { negated, commands }: &Pipeline) -> Result<Flow, Gone> {
    let flow = match commands.as_slice() {
        [only] => command(job, context, only).await?,
        [first @ .., last] => {
            let mut inner = context.clone();
            for one in first {
                inner.output = Sink::buffer();
                let mut stage = inner.clone();
                command(job, &mut stage, one).await?;
                inner.input = Arc::new(inner.output.taken());
            }
            inner.output = context.output.clone();
            Flow::Code(code(&command(job, &mut inner, last).await?))
        }
        [] => Flow::Code(0),
    };
    Ok(match flow {
        Flow::Code(code) if *negated => Flow::Code(i32::from(code == 0)),
        flow => flow,
    })
}

async fn command(job: &Job, context: &mut Context, command: &Command) -> Result<Flow, Gone> {
    let (output, errors, input) = (context.output.clone(), context.errors.clone(), Arc::clone(&context.input));
    let opened = redirect(job, context, &command.redirections).await?;
    let flow = match (opened, &command.body) {
        (Err(problem), _) => {
            say(job, context, &format!("sh: 1: {problem}\n"))?;
            Flow::Code(2)
        }
        (Ok(()), Body::Group(script)) => list(job, context, script).await?,
        (Ok(()), Body::Subshell(script)) => {
            let mut inner = context.clone();
            Flow::Code(code(&list(job, &mut inner, script).await?))
        }
        (Ok(()), Body::Simple { assignments, words }) => {
            let mut given = Vec::new();
            for (name, value) in assignments {
                given.push((name.clone(), expand(job, context, value).await?.join(" ")));
            }
            let mut arguments = Vec::new();
            for word in words {
                arguments.extend(expand(job, context, word).await?);
            }
            // `exec` with redirections alone changes those of the shell.
            if arguments.first().is_some_and(|word| word == "exec") {
                arguments.remove(0);
                if arguments.is_empty() {
                    return Ok(Flow::Code(0));
                }
                return Ok(Flow::Exit(code(&commands::run(job, context, arguments).await?)));
            }
            if arguments.is_empty() {
                context.environment.extend(given);
                Flow::Code(0)
            } else if given.is_empty() {
                commands::run(job, context, arguments).await?
            } else {
                let mut inner = context.clone();
                inner.environment.extend(given);
                commands::run(job, &mut inner, arguments).await?
            }
        }
    };
    (context.output, context.errors, context.input) = (output, errors, input);
    Ok(flow)
}

/// Opens what is redirected; what the shell says where that fails.
async fn redirect(job: &Job, context: &mut Context, redirections: &[Redirection]) -> Result<Result<(), String>, Gone> {
    for Redirection { descriptor, how } in redirections {
        let (word, append) = match how {
            How::As(other) => {
                let sink = if *other == 2 { context.errors.clone() } else { context.output.clone() };
                if *descriptor == 2 {
                    context.errors = sink
                } else {
                    context.output = sink
                }
                continue;
            }
            How::Read(word) => {
                let path = expand(job, context, word).await?.concat();
                match read(job, context, &path)? {
                    Ok(bytes) => context.input = Arc::new(bytes),
                    Err(error) => return Ok(Err(format!("cannot open {path}: {}", error.text(false)))),
                }
                continue;
            }
            How::Write(word) => (word, false),
            How::Append(word) => (word, true),
        };
        let path = expand(job, context, word).await?.concat();
        let sink = match path == "/dev/null" {
            true => Ok(Sink::Nowhere),
            false => job.with(|system, now| {
                let key = system.files.key(&path, &context.directory).ok_or(Errno::Missing)?;
                let content = system.files.open(&path, &key, &job.user, append, now)?;
                Ok(Sink::File(content, key))
            })?,
        };
        match sink {
            Ok(sink) if *descriptor == 2 => context.errors = sink,
            Ok(sink) => context.output = sink,
            Err(error) => return Ok(Err(format!("cannot create {path}: {}", Errno::text(error, false)))),
        }
    }
    Ok(Ok(()))
}

/// The content of a file, as a program reads it.
pub(super) fn read(job: &Job, context: &Context, path: &str) -> Result<Result<Vec<u8>, Errno>, Gone> {
    if path == "/dev/null" {
        return Ok(Ok(Vec::new()));
    }
    job.with(|system, _| {
        let key = system.files.key(path, &context.directory).ok_or(Errno::Missing)?;
        system.files.read(&key, &job.user)
    })
}

/// The words that a word stands for.
fn expand<'a>(
    job: &'a Job,
    context: &'a Context,
    word: &'a Word,
) -> Pin<Box<dyn Future<Output = Result<Vec<String>, Gone>> + Send + 'a>> {
    Box::pin(async move {
        let mut words: Vec<String> = Vec::new();
        let mut current: Option<String> = None;
        let mut pattern = false;
        for part in word {
            let (text, quoted) = match part {
                Part::Text { text, quoted } => {
                    pattern |= !quoted && text.contains(['*', '?']);
                    let home = context.environment.get("HOME").cloned().unwrap_or_default();
                    match text.strip_prefix('~') {
                        Some(rest) if !quoted && current.is_none() && (rest.is_empty() || rest.starts_with('/')) => {
                            (format!("{home}{rest}"), true)
                        }
                        _ => (text.clone(), true),
                    }
                }
                Part::Variable { name, quoted } => (variable(job, context, name)?, *quoted),
                Part::Output { script, quoted } => {
                    let mut inner = context.clone();
                    inner.output = Sink::buffer();
                    list(job, &mut inner, script).await?;
                    let text = String::from_utf8_lossy(&inner.output.taken()).trim_end_matches('\n').to_owned();
                    (text, *quoted)
                }
            };
            if quoted {
                current.get_or_insert_default().push_str(&text);
                continue;
            }
            let mut pieces = text.split_whitespace();
            if let Some(first) = pieces.next() {
                current.get_or_insert_default().push_str(first);
            }
            for piece in pieces {
                words.extend(current.take());
                current = Some(piece.to_owned());
            }
        }
        words.extend(current);
        if pattern && let [word] = words.as_slice() {
            let found = matching(job, context, word)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(words)
    })
}

fn variable(job: &Job, context: &Context, name: &str) -> Result<String, Gone> {
    Ok(match name {
        "?" => context.last.to_string(),
        "$" => job.pid().to_string(),
        "0" => "sh".to_owned(),
        "#" => "0".to_owned(),
        "PWD" => context.directory.clone(),
        name => context.environment.get(name).cloned().unwrap_or_default(),
    })
}

/// The paths that a pattern fits, whose last part alone has signs.
fn matching(job: &Job, context: &Context, pattern: &str) -> Result<Vec<String>, Gone> {
    let (directory, last) = pattern.rsplit_once('/').map_or(("", pattern), |(directory, last)| (directory, last));
    let from = if pattern.starts_with('/') && directory.is_empty() { "/" } else { directory };
    job.with(|system, _| {
        let key =
            if from.is_empty() { Some(context.directory.clone()) } else { system.files.key(from, &context.directory) };
        let Some(Ok(key)) = key.map(|key| system.files.resolve(&key, true)) else { return Vec::new() };
        let children = system.files.children(&key).into_iter();
        let fitting = children.filter(|(_, node)| {
            (last.starts_with('.') || !node.name.starts_with('.')) && fits(last.as_bytes(), node.name.as_bytes())
        });
        fitting
            .map(|(_, node)| match from {
                "" => node.name.clone(),
                "/" => format!("/{}", node.name),
                from => format!("{from}/{}", node.name),
            })
            .collect()
    })
}

/// Whether a name fits a pattern with `*` and `?`.
pub(super) fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut star) = (0, None);
    let mut position = 0;
    while position < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(sign) if *sign == b'?' || Some(sign) == name.get(position) => {
                at += 1;
                position += 1;
            }
            _ => match star {
                Some((back, from)) => {
                    star = Some((back, from + 1));
                    at = back + 1;
                    position = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|sign| *sign == b'*')
}

/// Whether a path leads to a program that the user may run; as what it is known.
pub(super) fn program(job: &Job, context: &Context, path: &str) -> Result<Result<(), Errno>, Gone> {
    job.with(|system, _| {
        let key = system.files.key(path, &context.directory).ok_or(Errno::Missing)?;
        let (_, node) = system.files.get(&key, true)?;
        match node.kind {
            Kind::File(_) if node.mode & 0o111 != 0 => Ok(()),
            _ => Err(Errno::Denied),
        }
    })
}
