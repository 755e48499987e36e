//! Files that are written as they come: each by itself, or one after the other into an OVA.
//!
//! An OVA has the descriptor and the manifest at its front, and these are known at the end. So room is left for them, and
//! filled when all else is written. No time and no user is written: the same files make the same archive.

use std::fs::File;
use std::io::{self, IoSlice, Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tar::Header;
use tokio::task::JoinHandle;

const BLOCK: u64 = 512;

/// How many bytes are written at once.
const BATCH: usize = 512 << 10;

/// A local file that is written piece by piece, beside the work of the connection.
pub(super) struct Writer {
    file: Arc<Mutex<File>>,
    at: u64,
    batch: Vec<Bytes>,
    waiting: usize,
    /// What is being written while the connection brings more.
    busy: Option<JoinHandle<io::Result<()>>>,
}

impl Writer {
    pub(super) fn new(file: File) -> Self {
        Self { file: Arc::new(Mutex::new(file)), at: 0, batch: Vec::new(), waiting: 0, busy: None }
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// The file can't be written.
    pub(super) async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        self.waiting += piece.len();
        self.batch.push(piece);
        if self.waiting >= BATCH { self.hand_over().await } else { Ok(()) }
    }

    /// Writes all that was added.
    ///
    /// # Errors
    /// The file can't be written.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.hand_over().await?;
        self.rest().await
    }

    /// Begins to write what was added, once the batch before it is written.
    async fn hand_over(&mut self) -> io::Result<()> {
        self.rest().await?;
        let (batch, at) = (std::mem::take(&mut self.batch), self.at);
        self.at += std::mem::take(&mut self.waiting) as u64;
        self.begin(at, batch);
        Ok(())
    }

    async fn write_at(&mut self, at: u64, pieces: Vec<Bytes>) -> io::Result<()> {
        self.rest().await?;
        self.begin(at, pieces);
        self.rest().await
    }

    fn begin(&mut self, at: u64, pieces: Vec<Bytes>) {
        let file = Arc::clone(&self.file);
        self.busy = Some(tokio::task::spawn_blocking(move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(at))?;
            write_all(&mut file, &pieces)
        }));
    }

    async fn rest(&mut self) -> io::Result<()> {
        let Some(busy) = &mut self.busy else { return Ok(()) };
        let written = busy.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        self.busy = None;
        written
    }
}

/// Writes pieces in a row, as many of them at once as the system takes.
fn write_all(file: &mut File, pieces: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = &mut slices[..];
    // Those that are empty go first.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// An archive that is written, with room at its front.
pub(super) struct Ova {
    writer: Writer,
    /// Names and sizes of the room at the front.
    descriptor: (String, u64),
    manifest: (String, u64),
    /// Where the head of the present member is.
    head: u64,
}

impl Ova {
    /// An archive with room for a descriptor and a manifest of so many bytes at most.
    pub(super) fn new(file: File, descriptor: (String, u64), manifest: (String, u64)) -> Self {
        let mut writer = Writer::new(file);
        writer.at = room(descriptor.1) + room(manifest.1);
        Self { head: writer.at, writer, descriptor, manifest }
    }

    /// Begins a member, whose size is known at its end.
    ///
    /// # Errors
    /// The file can't be written.
    pub(super) async fn begin(&mut self) -> io::Result<()> {
        self.writer.flush().await?;
        self.head = self.writer.at;
        self.writer.at += BLOCK;
        Ok(())
    }

    /// # Errors
    /// The file can't be written.
    pub(super) async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        self.writer.write(piece).await
    }

    /// Ends the member.
    ///
    /// # Errors
    /// The file can't be written.
    pub(super) async fn end(&mut self, name: &str) -> io::Result<()> {
        self.writer.flush().await?;
        let size = self.writer.at - self.head - BLOCK;
        self.writer.write(padding(size)).await?;
        self.writer.flush().await?;
        self.writer.write_at(self.head, vec![head(name, size)?]).await
    }

    /// Fills the room at the front, and ends the archive. The descriptor is XML, and may be followed by white space.
    ///
    /// # Errors
    /// The file can't be written, or the descriptor is longer than its room.
    pub(super) async fn finish(mut self, descriptor: &str, manifest: &str) -> io::Result<()> {
        let mut front = Vec::new();
        for ((name, size), text) in [(&self.descriptor, descriptor), (&self.manifest, manifest)] {
            if text.len() as u64 != *size {
                return Err(io::Error::other(format!("{name} has {} bytes in place of {size}", text.len())));
            }
            front.extend(member(name, text)?);
        }
        self.writer.write_at(0, front).await?;
        self.writer.write(end()).await?;
        self.writer.flush().await
    }
}

/// How much a member of so many bytes takes, head included.
fn room(size: u64) -> u64 {
    BLOCK + size.next_multiple_of(BLOCK)
}

/// A whole member.
pub(super) fn member(name: &str, text: &str) -> io::Result<[Bytes; 3]> {
    let size = text.len() as u64;
    Ok([head(name, size)?, Bytes::copy_from_slice(text.as_bytes()), padding(size)])
}

/// What an archive ends with.
pub(super) fn end() -> Bytes {
    Bytes::from_static(&[0; 2 * BLOCK as usize])
}

pub(super) fn padding(size: u64) -> Bytes {
    static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
    let length = usize::try_from(size.next_multiple_of(BLOCK) - size).unwrap_or_default();
    Bytes::from_static(ZEROS.get(..length).unwrap_or_default())
}

pub(super) fn head(name: &str, size: u64) -> io::Result<Bytes> {
    let mut header = Header::new_gnu();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(Bytes::copy_from_slice(header.as_bytes()))
}
