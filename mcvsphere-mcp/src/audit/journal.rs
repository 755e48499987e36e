//! The file of audit lines. One thread writes it, so that a disk or a mount that hangs holds up those alone who must wait.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{self, Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, time::timeout};

use super::{AuditError, one_line};
use crate::log::Lines;

/// How long a change waits for its line.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most lines that wait to be written.
const MOST_LINES: usize = 4096;

/// The lines of this process that wait to be written.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Waits until all lines are written, at most for this long, and says whether they are. For the end of the process.
pub(crate) fn settle(limit: Duration) -> bool {
    let began = Instant::now();
    while WAITING.load(Ordering::Acquire) > 0 {
        if began.elapsed() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    true
}

/// A file that is appended to.
pub(super) struct Journal {
    path: PathBuf,
    queue: SyncSender<Job>,
}

struct Job {
    line: Vec<u8>,
    /// Who waits for the line. It is on the disk, not only with the system, when they are told.
    done: Option<oneshot::Sender<io::Result<()>>>,
}

impl Journal {
    /// Tries whether the file can be written, and writes it from then on.
    ///
    /// # Errors
    /// It cannot.
    pub(super) fn open(path: &Path) -> Result<Self, AuditError> {
        let cannot = |error: io::Error| {
            let why = format!("MCP_AUDIT_FILE cannot be written: {}: {error}", path.display());
            AuditError(one_line(&why))
        };
        let path = path::absolute(path).map_err(cannot)?;
        let (queue, jobs) = sync_channel(MOST_LINES);
        let (ready, opened) = sync_channel(1);
        let target = path.clone();
        let work = move || {
            let _ = ready.send(append_to(&target).map(drop));
            keep(&jobs, &target);
        };
        thread::Builder::new().name("audit".to_owned()).spawn(work).map_err(cannot)?;
        // A pipe that nobody reads cannot even be opened.
        opened.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(cannot)?;
        Ok(Self { path, queue })
    }

    /// Writes a line, and waits until it is on the disk.
    ///
    /// # Errors
    /// It is not, or not in time.
    pub(super) async fn write_and_wait(&self, line: Vec<u8>) -> Result<(), AuditError> {
        let (done, written) = oneshot::channel();
        self.queue(Job { line, done: Some(done) }).map_err(|error| self.refusal(&error))?;
        match timeout(PATIENCE, written).await {
            Ok(Ok(written)) => written.map_err(|error| self.refusal(&error)),
            Ok(Err(_)) => Err(self.refusal(&io::ErrorKind::BrokenPipe.into())),
            Err(_) => Err(self.refusal(&io::ErrorKind::TimedOut.into())),
        }
    }

    /// Writes a line some time. One that cannot be written is told of in the log.
    pub(super) fn write(&self, line: Vec<u8>) {
        if let Err(error) = self.queue(Job { line, done: None }) {
            tell(&self.path, &error);
        }
    }

    fn queue(&self, job: Job) -> io::Result<()> {
        WAITING.fetch_add(1, Ordering::AcqRel);
        self.queue.try_send(job).map_err(|_| {
            WAITING.fetch_sub(1, Ordering::AcqRel);
            io::Error::other("the lines before it are not written yet")
        })
    }

    fn refusal(&self, error: &io::Error) -> AuditError {
        let why = format!(
            "nothing was done, as the audit file {} (MCP_AUDIT_FILE) takes no line: {error}; changes are refused until \
             it does, and reading goes on",
            self.path.display()
        );
        AuditError(one_line(&why))
    }
}

/// Writes what comes, until the journal is dropped.
fn keep(jobs: &Receiver<Job>, path: &Path) {
    let mut lines = Lines::new(Appended(None));
    for Job { line, done } in jobs {
        let written = append(&mut lines, path, &line, done.is_some());
        match done {
            Some(done) => drop(done.send(written)),
            None => {
                if let Err(error) = written {
                    tell(path, &error);
                }
            }
        }
        WAITING.fetch_sub(1, Ordering::AcqRel);
    }
}

fn append(lines: &mut Lines<Appended>, path: &Path, line: &[u8], sync: bool) -> io::Result<()> {
    // Opened for each line: what moves the file away gets no more lines.
    lines.output().0 = Some(append_to(path)?);
    lines.write(line)?;
    match lines.output().0.take() {
        Some(file) if sync => match file.sync_data() {
            // A pipe or a device, which has no disk.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            synced => synced,
        },
        _ => Ok(()),
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn tell(path: &Path, error: &io::Error) {
    tracing::error!(path = %path.display(), %error, "an audit line was lost");
}

/// The file, where it is open.
struct Appended(Option<File>);

impl Write for Appended {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
