//! The log on standard error, for which nothing ever waits.
//!
//! Whoever starts this program decides what becomes of its standard error: many MCP clients pipe it and never read it,
//! some close it, and a file system may be full. So lines go through a queue with a limit to a thread of its own. A line
//! that finds the queue full, or that cannot be written, is dropped and counted; the next line that is written is
//! preceded by one that says how many were dropped.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fs::File,
    io::{self, Write},
    panic::{self, PanicHookInfo},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

/// The most lines that wait to be written.
const MOST_LINES: usize = 1024;

/// The most bytes that wait to be written.
const MOST_BYTES: usize = 4 << 20;

/// So many bytes do not wait until the thread looks again.
const MANY_BYTES: usize = 64 << 10;

/// How long a writer that is not ready (a terminal without blocking) is left alone.
const PAUSE: Duration = Duration::from_millis(20);

/// The log of this process.
static LOG: OnceLock<Log> = OnceLock::new();

/// Starts the log of this process, to which panics go too from then on.
pub(crate) fn start() -> Log {
    let log = LOG.get_or_init(|| Log::to(stderr())).clone();
    panic::set_hook(Box::new(|info| {
        if let Some(log) = LOG.get() {
            log.line(format!("{}\n", panic_record(info)).into_bytes());
        }
    }));
    log
}

/// Writes words for the user of the command line to standard error, in order with the log.
pub(crate) fn say(words: &str) {
    if let Some(log) = LOG.get() {
        log.line(format!("{words}\n").into_bytes());
    }
}

/// Waits until what was logged is written, at most for this long. For the end of the process.
pub(crate) fn flush(limit: Duration) {
    if let Some(log) = LOG.get() {
        log.flush(limit);
    }
}

/// A log that writes in the background. Clones share the queue.
#[derive(Clone)]
pub(crate) struct Log {
    queue: SyncSender<Job>,
    shared: Arc<Shared>,
    writer: Option<Thread>,
}

#[derive(Default)]
struct Shared {
    /// The bytes in the queue.
    waiting: AtomicUsize,
    /// The lines that were dropped and not yet told of.
    dropped: AtomicU64,
}

enum Job {
    Line(Vec<u8>),
    /// Answers once what was queued before is written.
    Flush(SyncSender<()>),
}

impl Log {
    fn to(output: impl Write + Send + 'static) -> Self {
        let (queue, jobs) = mpsc::sync_channel(MOST_LINES);
        let shared = Arc::new(Shared::default());
        let writing = Arc::clone(&shared);
        // Without its thread the log is dropped line by line, and the program works on.
        let started = thread::Builder::new().name("log".to_owned()).spawn(move || write(&jobs, output, &writing));
        Self { queue, shared, writer: started.ok().map(|handle| handle.thread().clone()) }
    }

    /// Queues a line, or drops it.
    fn line(&self, line: Vec<u8>) {
        let bytes = line.len();
        let waiting = self.shared.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if waiting > MANY_BYTES {
            self.writer.iter().for_each(Thread::unpark);
        }
        if waiting > MOST_BYTES || self.queue.try_send(Job::Line(line)).is_err() {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self, limit: Duration) {
        let (done, written) = mpsc::sync_channel(1);
        match self.queue.try_send(Job::Flush(done)) {
            Ok(()) => {
                self.writer.iter().for_each(Thread::unpark);
                let _ = written.recv_timeout(limit);
            }
            // Nobody reads: a moment more or less does not help.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine { log: self, line: Vec::new() }
    }
}

/// One line on its way to the log.
pub(crate) struct LogLine<'a> {
    log: &'a Log,
    line: Vec<u8>,
}

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine<'_> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.log.line(std::mem::take(&mut self.line));
        }
    }
}

/// Writes what comes, until nobody can log any more.
fn write(jobs: &Receiver<Job>, output: impl Write, shared: &Shared) {
    let mut output = Lines::new(output);
    while let Some(job) = next(jobs) {
        match job {
            Job::Line(line) => {
                let dropped = shared.dropped.swap(0, Ordering::Relaxed);
                let told = dropped == 0 || output.write(format!("{}\n", dropped_record(dropped)).as_bytes()).is_ok();
                let lost = if told { 0 } else { dropped } + u64::from(output.write(&line).is_err());
                shared.dropped.fetch_add(lost, Ordering::Relaxed);
                shared.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Job::Flush(done) => drop(done.send(())),
        }
    }
}

/// How long the thread looks for more lines before it has itself woken for the next, and how often: to wake a thread costs a
/// call more than to write its answer does.
const LINGER: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

/// The next job; `None` when nobody can log any more.
fn next(jobs: &Receiver<Job>) -> Option<Job> {
    let began = Instant::now();
    loop {
        match jobs.try_recv() {
            Ok(job) => return Some(job),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) if began.elapsed() < LINGER => thread::park_timeout(LOOK),
            Err(TryRecvError::Empty) => return jobs.recv().ok(),
        }
    }
}

/// Whole lines to a writer that may fail in the middle of one.
pub(crate) struct Lines<W> {
    output: W,
    /// Whether the last line was cut.
    torn: bool,
}

impl<W: Write> Lines<W> {
    pub(crate) fn new(output: W) -> Self {
        Self { output, torn: false }
    }

    /// The writer below.
    pub(crate) fn output(&mut self) -> &mut W {
        &mut self.output
    }

    /// Writes a line that ends with its newline.
    ///
    /// # Errors
    /// Those of the writer; what was written of the line is then closed by a newline before the next.
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.write_all(b"\n").map_err(|(_, error)| error)?;
            self.torn = false;
        }
        self.write_all(line).map_err(|(written, error)| {
            self.torn = written > 0;
            error
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < bytes.len() {
            match self.output.write(&bytes[written..]) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }
}

/// Standard error without the lock of the standard library, which the thread would hold as long as nobody reads.
fn stderr() -> Box<dyn Write + Send> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        if let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() {
            return Box::new(File::from(stderr));
        }
    }
    #[cfg(windows)]
    {
        use std::os::windows::io::AsHandle;
        if let Ok(stderr) = io::stderr().as_handle().try_clone_to_owned() {
            return Box::new(File::from(stderr));
        }
    }
    Box::new(io::stderr())
}

fn dropped_record(dropped: u64) -> Value {
    let message = format!("{dropped} lines of the log were dropped: they could not be written to standard error");
    record("WARN", &message, &json!({ "dropped": dropped }))
}

fn panic_record(info: &PanicHookInfo<'_>) -> Value {
    let text = info.payload_as_str().unwrap_or("no message");
    let backtrace = Backtrace::capture();
    let trace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let fields = json!({
        "location": info.location().map(ToString::to_string),
        "thread": thread::current().name(),
        "backtrace": trace,
    });
    record("ERROR", &format!("panic: {text}"), &fields)
}

/// A line of the log as the subscriber writes it.
fn record(level: &str, message: &str, fields: &Value) -> Value {
    let mut line = json!({
        "timestamp": Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
        "level": level,
        "message": message,
    });
    if let (Some(line), Some(fields)) = (line.as_object_mut(), fields.as_object()) {
        line.extend(
            fields.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), value.clone())),
        );
        line.insert("target".to_owned(), Value::from(module_path!()));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc::Sender};

    use super::*;

    /// A writer that takes a byte per permit, or fails.
    struct Gate {
        open: Receiver<io::Result<()>>,
        written: Written,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.open.recv() {
                Ok(Ok(())) => {
                    self.written.lock().unwrap().extend_from_slice(bytes);
                    Ok(bytes.len())
                }
                Ok(Err(error)) => Err(error),
                Err(_) => Ok(bytes.len()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Written = Arc<Mutex<Vec<u8>>>;

    fn gated() -> (Log, Sender<io::Result<()>>, Written) {
        let (opener, open) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = Log::to(Gate { open, written: Arc::clone(&written) });
        (log, opener, written)
    }

    fn text(written: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn nobody_waits_for_a_log_that_is_stuck_and_what_was_dropped_is_told() {
        let (log, opener, written) = gated();
        let began = Instant::now();
        for number in 0..3 * MOST_LINES {
            log.line(format!("{number}\n").into_bytes());
        }
        log.flush(Duration::from_millis(10));
        assert!(began.elapsed() < Duration::from_secs(5));

        // Once it goes on, each line is there or is counted, however late the thread took the first of them.
        for _ in 0..4 * MOST_LINES {
            opener.send(Ok(())).unwrap();
        }
        while log.shared.waiting.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        log.line(b"last\n".to_vec());
        log.flush(Duration::from_secs(60));
        let text = text(&written);
        let told = |line: &str| serde_json::from_str::<Value>(line).ok()?["dropped"].as_u64();
        let dropped: u64 = text.lines().filter_map(told).sum();
        let kept = text.lines().filter(|line| told(line).is_none()).count() as u64;
        assert_eq!(kept + dropped, 3 * MOST_LINES as u64 + 1, "{dropped}");
        assert!(dropped >= 2 * MOST_LINES as u64 - 1, "{dropped}");
    }

    #[test]
    fn a_line_that_is_written_again_says_how_many_were_dropped() {
        let (log, opener, written) = gated();
        for failed in [true, true, false, false, false] {
            opener.send(if failed { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }).unwrap();
        }
        // The first fails. Before the second its loss is told of, which fails too; that line itself is written.
        for line in ["one\n", "two\n", "three\n"] {
            log.line(line.as_bytes().to_vec());
        }
        log.flush(Duration::from_secs(10));
        let text = text(&written);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[2]), ("two", "three"), "{text}");
        let told: Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!(told["dropped"], 1, "{text}");
    }

    #[test]
    fn the_queue_is_limited_by_bytes_too() {
        let (log, opener, written) = gated();
        for _ in 0..8 {
            log.line(vec![b'x'; MOST_BYTES / 4]);
        }
        // A line counts until it is written, however early the thread took it.
        for _ in 0..16 {
            opener.send(Ok(())).unwrap();
        }
        log.flush(Duration::from_secs(60));
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!(text.bytes().filter(|byte| *byte == b'x').count(), MOST_BYTES);
    }

    #[test]
    fn a_line_that_was_cut_does_not_spoil_the_next() {
        struct Full(Vec<u8>, usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let room = self.1.min(bytes.len());
                if room == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.1 -= room;
                self.0.extend_from_slice(&bytes[..room]);
                Ok(room)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut lines = Lines::new(Full(Vec::new(), 6));
        lines.write(b"one\n").unwrap();
        lines.write(b"two\n").unwrap_err();
        lines.write(b"three\n").unwrap_err();
        lines.output.1 = 100;
        lines.write(b"four\n").unwrap();
        assert_eq!(lines.output.0, b"one\ntw\nfour\n");
    }
}
