//! What clients send: kept on disk, so that a large file takes no memory, and gone with the simulator.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::checksum::Algorithm;

/// The folder for what clients send. It is made when the first file comes.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    folder: Mutex<Option<Arc<Folder>>>,
}

/// A folder that is removed when nobody has it any more.
#[derive(Debug)]
struct Folder(PathBuf);

/// A file that a client sent. It does not change any more once it is in a datastore: copies share it.
#[derive(Debug)]
pub(crate) struct Upload {
    path: PathBuf,
    /// Its checksums, once somebody has asked for them.
    sha1: OnceLock<String>,
    sha256: OnceLock<String>,
    /// Kept until the last file in it is gone.
    _folder: Arc<Folder>,
}

impl Uploads {
    /// A new empty file.
    ///
    /// # Errors
    /// The folder or the file can't be made.
    pub(crate) fn create(&self) -> io::Result<(Upload, fs::File)> {
        let folder = {
            let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
            match &*folder {
                Some(made) => Arc::clone(made),
                None => Arc::clone(folder.insert(Arc::new(Folder::new()?))),
            }
        };
        let path = folder.0.join(format!("{:032x}", fastrand::u128(..)));
        let file = fs::File::create_new(&path)?;
        Ok((Upload { path, sha1: OnceLock::new(), sha256: OnceLock::new(), _folder: folder }, file))
    }
}

impl Upload {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its first bytes.
    ///
    /// # Errors
    /// The file can't be read.
    pub(crate) fn head(&self) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        fs::File::open(&self.path)?.take(HEAD as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    /// Its checksum. The file is read for it, once.
    ///
    /// # Errors
    /// The file can't be read.
    pub(crate) fn checksum(&self, algorithm: Algorithm) -> io::Result<String> {
        let known = match algorithm {
            Algorithm::Sha1 => &self.sha1,
            Algorithm::Sha256 => &self.sha256,
        };
        if let Some(known) = known.get() {
            return Ok(known.clone());
        }
        let found = algorithm.of(fs::File::open(&self.path)?)?;
        Ok(known.get_or_init(|| found).clone())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "an uploaded file stays behind");
        }
    }
}

impl Folder {
    fn new() -> io::Result<Self> {
        let name = format!("vsphere-sim-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "the folder of uploaded files stays behind");
        }
    }
}

/// How many of the first bytes tell what a file is.
const HEAD: usize = 4096;

/// How many bytes are written at once. A connection gives small pieces, and waking the writer for each costs more than
/// writing it.
const BATCH: usize = 256 << 10;

/// A file that comes piece by piece, and is written beside the work of the connection.
#[derive(Debug)]
pub(crate) struct Arrival {
    batches: mpsc::Sender<Vec<Bytes>>,
    writer: JoinHandle<io::Result<()>>,
    batch: Vec<Bytes>,
    waiting: usize,
    size: u64,
    head: Vec<u8>,
}

impl Arrival {
    pub(crate) fn new(mut file: fs::File) -> Self {
        let (batches, mut received) = mpsc::channel::<Vec<Bytes>>(4);
        let writer = tokio::task::spawn_blocking(move || {
            while let Some(batch) = received.blocking_recv() {
                batch.iter().try_for_each(|bytes| file.write_all(bytes))?;
            }
            file.flush()
        });
        Self { batches, writer, batch: Vec::new(), waiting: 0, size: 0, head: Vec::new() }
    }

    /// How many bytes have come.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Takes a piece; `false` where the writer has ended, which says at the end why.
    pub(crate) async fn add(&mut self, bytes: Bytes) -> bool {
        self.size += bytes.len() as u64;
        self.head.extend(bytes.iter().take(HEAD.saturating_sub(self.head.len())));
        self.waiting += bytes.len();
        self.batch.push(bytes);
        if self.waiting < BATCH {
            return true;
        }
        self.waiting = 0;
        self.batches.send(std::mem::take(&mut self.batch)).await.is_ok()
    }

    /// The length of the file and its first bytes, once all is written.
    ///
    /// # Errors
    /// The file can't be written.
    pub(crate) async fn end(self) -> io::Result<(u64, Vec<u8>)> {
        // A writer that has ended says why below.
        let _ended = self.batches.send(self.batch).await;
        drop(self.batches);
        self.writer.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))?;
        Ok((self.size, self.head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_with_the_last_file() {
        let uploads = Uploads::default();
        let (first, _) = uploads.create().unwrap();
        let (second, _) = uploads.create().unwrap();
        let folder = first.path().parent().unwrap().to_owned();
        assert_eq!(second.path().parent(), Some(&*folder));
        let gone = first.path().to_owned();
        drop(first);
        assert!(!gone.exists() && second.path().exists());
        drop(uploads);
        assert!(second.path().exists());
        drop(second);
        assert!(!folder.exists());
    }
}
