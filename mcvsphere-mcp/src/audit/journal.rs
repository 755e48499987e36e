//! The file of audit lines, or the log of the system. One thread writes it, so that a disk or a mount that hangs holds up those alone who must wait.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{self, Path, PathBuf},
    process,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, time::timeout};

use super::{AuditError, Place, Target, one_line};
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

/// How many files that became too large are kept.
pub(super) const KEPT: usize = 5;

/// Where the log of the system listens.
const SYSLOG: &str = "/dev/log";

/// Lines that are kept.
pub(super) struct Journal {
    target: Target,
    queue: SyncSender<Job>,
}

struct Job {
    line: Vec<u8>,
    /// Who waits for the line. It is on the disk, not only with the system, when they are told.
    done: Option<oneshot::Sender<io::Result<()>>>,
}

impl Journal {
    /// Tries whether the place can be written, and writes it from then on.
    ///
    /// # Errors
    /// It cannot.
    pub(super) fn open(mut target: Target) -> Result<Self, AuditError> {
        let output: Box<dyn Output> = match &mut target.place {
            Place::File { path, most } => {
                *path = path::absolute(&*path).map_err(|error| cannot(target.setting, &path.display(), &error))?;
                Box::new(Appended { lines: Lines::new(Opened(None)), path: path.clone(), most: *most })
            }
            Place::Syslog => Box::new(Syslog { path: SYSLOG.into() }),
        };
        Self::start(target, output)
    }

    /// The log of a system that listens elsewhere.
    #[cfg(all(test, unix))]
    pub(super) fn open_syslog_at(path: PathBuf) -> Result<Self, AuditError> {
        Self::start(Target { place: Place::Syslog, setting: "MCP_AUDIT" }, Box::new(Syslog { path }))
    }

    fn start(target: Target, mut output: Box<dyn Output>) -> Result<Self, AuditError> {
        let cannot = |error: io::Error| cannot(target.setting, &target.place, &error);
        let (queue, jobs) = sync_channel(MOST_LINES);
        let (ready, opened) = sync_channel(1);
        let name = target.place.to_string();
        let work = move || {
            let _ = ready.send(output.check());
            keep(&jobs, output.as_mut(), &name);
        };
        thread::Builder::new().name("audit".to_owned()).spawn(work).map_err(cannot)?;
        // A pipe that nobody reads cannot even be opened.
        opened.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(cannot)?;
        Ok(Self { target, queue })
    }

    /// The files that lines are read from, the newest first; none where they go elsewhere.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match &self.target.place {
            Place::File { path, .. } => (0..=KEPT).map(|number| numbered(path, number)).collect(),
            Place::Syslog => Vec::new(),
        }
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
            tell(&self.target.place.to_string(), &error);
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
            "nothing was done, as the audit at {} ({}) takes no line: {error}; changes are refused until it does, and \
             reading goes on",
            self.target.place, self.target.setting
        );
        AuditError(one_line(&why))
    }
}

fn cannot(setting: &str, place: &dyn fmt::Display, error: &io::Error) -> AuditError {
    AuditError(one_line(&format!("{setting} cannot be written: {place}: {error}")))
}

/// Writes what comes, until the journal is dropped.
fn keep(jobs: &Receiver<Job>, output: &mut dyn Output, name: &str) {
    for Job { line, done } in jobs {
        let written = output.write(&line, done.is_some());
        match done {
            Some(done) => drop(done.send(written)),
            None => {
                if let Err(error) = written {
                    tell(name, &error);
                }
            }
        }
        WAITING.fetch_sub(1, Ordering::AcqRel);
    }
}

fn tell(place: &str, error: &io::Error) {
    tracing::error!(place, %error, "an audit line was lost");
}

/// What takes lines.
trait Output: Send {
    /// Whether it would take one.
    fn check(&mut self) -> io::Result<()>;

    /// Writes a line; where it must not be lost, to the disk.
    fn write(&mut self, line: &[u8], sync: bool) -> io::Result<()>;
}

/// A file that is appended to.
struct Appended {
    lines: Lines<Opened>,
    path: PathBuf,
    most: Option<u64>,
}

impl Output for Appended {
    fn check(&mut self) -> io::Result<()> {
        append_to(&self.path).map(drop)
    }

    fn write(&mut self, line: &[u8], sync: bool) -> io::Result<()> {
        // Opened for each line: what moves the file away gets no more lines.
        let mut file = append_to(&self.path)?;
        let length = line.len() as u64;
        if let Some(most) = self.most
            && let Ok(metadata) = file.metadata()
            && metadata.is_file()
            && metadata.len() > 0
            && metadata.len() + length > most
        {
            make_room(&self.path)?;
            file = append_to(&self.path)?;
        }
        self.lines.output().0 = Some(file);
        self.lines.write(line)?;
        match self.lines.output().0.take() {
            Some(file) if sync => match file.sync_data() {
                // A pipe or a device, which has no disk.
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                    Ok(())
                }
                synced => synced,
            },
            _ => Ok(()),
        }
    }
}

/// Gives the file the number 1, and each that has one the next. The last goes.
fn make_room(path: &Path) -> io::Result<()> {
    for number in (0..KEPT).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if number > 0 && error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
    }
    Ok(())
}

/// The file with this number; without one it is that which lines are written to.
fn numbered(path: &Path, number: usize) -> PathBuf {
    match number {
        0 => path.to_owned(),
        _ => {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The file, where it is open.
struct Opened(Option<File>);

impl Write for Opened {
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

/// The log of the system, which listens at a socket.
struct Syslog {
    path: PathBuf,
}

impl Syslog {
    #[cfg(unix)]
    fn send(&self, message: &[u8]) -> io::Result<()> {
        let socket = std::os::unix::net::UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        // Connected for each line: the log daemon may have restarted.
        socket.connect(&self.path)?;
        socket.send(message).map(drop)
    }

    #[cfg(not(unix))]
    fn send(&self, _message: &[u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("{} is of Unix alone", self.path.display())))
    }
}

impl Output for Syslog {
    fn check(&mut self) -> io::Result<()> {
        self.send(&message("the audit begins"))
    }

    fn write(&mut self, line: &[u8], _sync: bool) -> io::Result<()> {
        self.send(&message(String::from_utf8_lossy(line).trim_end()))
    }
}

/// A message as the local log takes it: of the facility `authpriv` (10), for information (6).
fn message(text: &str) -> Vec<u8> {
    format!("<86>mcvsphere[{}]: {text}", process::id()).into_bytes()
}
