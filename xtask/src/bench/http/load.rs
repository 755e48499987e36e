//! What many users send at once: a process of its own, so that it can be kept on one core and its CPU can be told.
//!
//! Each user has a connection and a source address of their own, as users at many computers have. Paced calls are timed from the
//! moment when they are due, so that a server that stalls is seen to stall. What is done with each byte of an answer is left to
//! libraries that are fast without optimization too: on two cores the generator takes from the server what it uses itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use memchr::memmem;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::bench::say;

/// Arguments of the generator.
#[derive(clap::Args)]
pub(in crate::bench) struct Args {
    #[arg(long)]
    address: SocketAddr,
    /// A file with the requests of the users, whole as they are sent, with a NUL after each.
    #[arg(long)]
    requests: PathBuf,
    #[arg(long)]
    seconds: u64,
    /// Calls a second of all users together; as many as are answered without it.
    #[arg(long)]
    rate: Option<f64>,
    /// What a good answer has in it.
    #[arg(long)]
    good: String,
    /// A connection for each call, and one more try for a call that has failed.
    #[arg(long)]
    retry: bool,
}

/// What came of the calls.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Load {
    pub(super) calls: u64,
    /// Calls that had to be made a second time.
    pub(super) retried: u64,
    pub(super) failed: u64,
    /// The first failure.
    pub(super) why: Option<String>,
    pub(super) seconds: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) longest_ms: f64,
    /// Of one core.
    pub(super) cpu_percent: f64,
    pub(super) answer_bytes: u64,
}

/// Sends the load, and prints what came of it as JSON.
pub(in crate::bench) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let load = runtime.block_on(all(args))?;
    say(&serde_json::to_string(&load)?);
    Ok(())
}

async fn all(args: &Args) -> anyhow::Result<Load> {
    let requests = std::fs::read(&args.requests)?;
    let requests: Vec<Vec<u8>> =
        requests.split(|byte| *byte == 0).filter(|request| !request.is_empty()).map(<[u8]>::to_vec).collect();
    ensure!(!requests.is_empty(), "there are no requests");
    let users = requests.len();
    let local = tokio::task::LocalSet::new();
    let started = Instant::now();
    let ends = started + Duration::from_secs(args.seconds);
    let pace = args.rate.map(|rate| Duration::from_secs_f64(users as f64 / rate));
    let each = requests.into_iter().enumerate().map(|(number, request)| {
        let user = User { number, address: args.address, request, good: args.good.clone().into_bytes() };
        // They do not all begin at once.
        let first = started + pace.unwrap_or_default().mul_f64(number as f64 / users as f64);
        let retry = args.retry;
        local.spawn_local(async move { user.calls(first, pace, ends, retry).await })
    });
    let each: Vec<_> = each.collect();
    let done = local.run_until(async {
        let mut done = Vec::new();
        for user in each {
            done.push(user.await?);
        }
        anyhow::Ok(done)
    });
    let done = done.await?;
    let seconds = started.elapsed().as_secs_f64();
    let mut load = Load { seconds, ..Load::default() };
    let mut times = Vec::new();
    for user in done {
        load.calls += user.times.len() as u64;
        load.retried += user.retried;
        load.failed += user.failed;
        load.why = load.why.or(user.why);
        load.answer_bytes = load.answer_bytes.max(user.answer_bytes);
        times.extend(user.times);
    }
    times.sort_unstable();
    let at = |part: f64| {
        let last = times.len().saturating_sub(1);
        times.get((last as f64 * part) as usize).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    };
    (load.p50_ms, load.p99_ms, load.longest_ms) = (at(0.5), at(0.99), at(1.0));
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let cpu = (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6;
    load.cpu_percent = cpu * 100.0 / seconds;
    Ok(load)
}

struct User {
    number: usize,
    address: SocketAddr,
    request: Vec<u8>,
    good: Vec<u8>,
}

#[derive(Default)]
struct Calls {
    times: Vec<Duration>,
    retried: u64,
    failed: u64,
    why: Option<String>,
    answer_bytes: u64,
}

impl User {
    async fn calls(self, first: Instant, pace: Option<Duration>, ends: Instant, retry: bool) -> Calls {
        let mut calls = Calls::default();
        let mut connection = None;
        let mut due = first;
        loop {
            tokio::time::sleep_until(due.into()).await;
            let begun = if pace.is_some() { due } else { Instant::now() };
            if begun >= ends {
                return calls;
            }
            let mut answer = self.call(&mut connection).await;
            if answer.is_err() && retry {
                calls.retried += 1;
                connection = None;
                answer = self.call(&mut connection).await;
            }
            match answer {
                Ok(bytes) => {
                    calls.times.push(begun.elapsed());
                    calls.answer_bytes = calls.answer_bytes.max(bytes as u64);
                }
                Err(error) => {
                    calls.failed += 1;
                    calls.why.get_or_insert_with(|| format!("{error:#}"));
                    connection = None;
                }
            }
            if retry {
                connection = None;
            }
            due = pace.map_or_else(Instant::now, |pace| due + pace);
        }
    }

    /// One call; answers how long its answer is.
    async fn call(&self, kept: &mut Option<Connection>) -> anyhow::Result<usize> {
        let connection = match kept {
            Some(connection) => connection,
            None => kept.insert(Connection::open(self.number, self.address).await?),
        };
        let (status, body) = connection.ask(&self.request).await?;
        if status != 200 || memmem::find(body, &self.good).is_none() {
            let body: String = String::from_utf8_lossy(body).chars().take(300).collect();
            bail!("{status}: {body}");
        }
        Ok(body.len())
    }
}

/// A connection that is kept.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    body: Vec<u8>,
    head: String,
}

impl Connection {
    /// From one of 250 loopback addresses.
    pub(super) async fn open(user: usize, address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        let host = u8::try_from(user % 250 + 1)?;
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, host)), 0))?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 << 10), body: Vec::new(), head: String::new() })
    }

    /// A header of the last answer.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Sends a request, and reads the answer: its status and its body.
    pub(super) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        let status = self.head().await?;
        self.body.clear();
        let length = self.header("content-length").map(str::parse::<usize>).transpose()?;
        let is_chunked = self.header("transfer-encoding").is_some();
        match length {
            Some(length) => self.take(length).await?,
            None if is_chunked => self.chunks().await?,
            None => {}
        }
        Ok((status, &self.body))
    }

    /// Reads the head of an answer, and answers its status.
    pub(super) async fn send_for_head(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        self.head().await
    }

    async fn head(&mut self) -> anyhow::Result<u16> {
        let end = self.until(b"\r\n\r\n").await?;
        self.head = String::from_utf8(self.buffer.drain(..end).collect())?;
        let status = self.head.split(' ').nth(1).context("no status")?;
        Ok(status.parse()?)
    }

    async fn chunks(&mut self) -> anyhow::Result<()> {
        loop {
            let end = self.until(b"\r\n").await?;
            let line: Vec<u8> = self.buffer.drain(..end).collect();
            let size = usize::from_str_radix(std::str::from_utf8(&line)?.trim(), 16)?;
            if size == 0 {
                self.until(b"\r\n").await?;
                self.buffer.drain(..2);
                return Ok(());
            }
            self.take(size).await?;
            self.until(b"\r\n").await?;
            self.buffer.drain(..2);
        }
    }

    /// Moves so many bytes into the body.
    async fn take(&mut self, size: usize) -> anyhow::Result<()> {
        while self.buffer.len() < size {
            self.more().await?;
        }
        let (body, _) = self.buffer.split_at_checked(size).context("less than was read")?;
        self.body.extend_from_slice(body);
        self.buffer.drain(..size);
        Ok(())
    }

    /// Reads until this has come; answers where it ends.
    async fn until(&mut self, mark: &[u8]) -> anyhow::Result<usize> {
        loop {
            if let Some(at) = memmem::find(&self.buffer, mark) {
                return Ok(at + mark.len());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection ended");
        Ok(())
    }
}
