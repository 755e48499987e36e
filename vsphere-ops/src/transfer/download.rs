//! Files that are fetched: as a stream, into a file, or to any writer.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::beside::Beside;
use super::checksum::{Algorithm, Check, Checksum, Hasher, local};
use super::lease::{EndsLease, LeaseShare};
use super::meter::{Listener, Meter, TransferProgress, Transferred};
use super::route::{Place, Source, Way};
use crate::error::{Error, ErrorKind, Result};

const OPERATION: &str = "download";

/// A file that is to be fetched. Nothing is sent before one of [`stream`](Self::stream), [`to_file`](Self::to_file) and
/// [`to_writer`](Self::to_writer) is awaited.
///
/// Memory does not grow with the file. Several transfers may run at once.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::Datastore;
/// use vsphere_ops::transfer::Algorithm;
///
/// let store = client.get::<Datastore>("nvme-01").await?;
/// let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".parse()?;
/// store.download("iso/debian.iso").expect(expected).to_file("debian.iso").await?;
/// store.download("ova/disk.vmdk").algorithm(Algorithm::Sha1).to_file("disk.vmdk").await?;
///
/// let mut log = Vec::new(); // any writer
/// store.download("web-01/vmware.log").without_checksum().to_writer(&mut log).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a download starts when it is told where to go"]
pub struct Download {
    place: Place,
    part: Option<(u64, u64)>,
    check: Check,
    listener: Option<Listener>,
    lease: Option<LeaseShare>,
}

impl Download {
    pub(super) fn new(place: Place, lease: Option<LeaseShare>) -> Self {
        Self { place, part: None, check: Check::default(), listener: None, lease }
    }

    /// Calls `listener` with the progress, ten times a second at most, and at the end.
    pub fn on_progress(mut self, listener: impl Fn(TransferProgress) + Send + Sync + 'static) -> Self {
        self.listener = Some(Listener::new(listener));
        self
    }

    /// Computes the checksum in this way; SHA-256 by default.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.check = Check::by(algorithm);
        self
    }

    /// Computes no checksum.
    pub fn without_checksum(mut self) -> Self {
        self.check = Check::NONE;
        self
    }

    /// Compares the checksum with the one that the file must have.
    pub fn expect(mut self, checksum: Checksum) -> Self {
        self.check = Check::against(checksum);
        self
    }

    /// Fetches only so many bytes, from this one on; fewer where the file ends before. The checksum is that of the part.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::Datastore;
    ///
    /// let store = client.get::<Datastore>("nvme-01").await?;
    /// let mut head = Vec::new();
    /// store.download("ova/web.ova").part(0, 512).to_writer(&mut head).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn part(mut self, from: u64, length: u64) -> Self {
        self.part = Some((from, length));
        self
    }

    /// Fetches the file as a stream of its pieces.
    ///
    /// # Errors
    /// `not_found` if there is no such file, and server errors.
    pub async fn stream(self) -> Result<FileStream> {
        let check = self.check;
        self.open(check).await
    }

    /// Fetches the file into the local file `path`, which replaces what was there when all has come, and not before.
    ///
    /// # Errors
    /// As [`stream`](Self::stream); `file` if the local file can't be written, `corrupt` if the checksum is not
    /// the expected one.
    pub async fn to_file(self, path: impl AsRef<Path>) -> Result<Transferred> {
        let (check, label) = (self.check, self.place.label());
        // The checksum is computed where the file is written, beside the work of the connection.
        let mut stream = self.open(Check::NONE).await?;
        let partial = Partial::new(path.as_ref());
        let (pieces, received) = mpsc::channel(QUEUE);
        let writer = tokio::task::spawn_blocking(move || partial.write(received, check.hasher()));
        let ended = pass_on(&mut stream, pieces).await;
        let written = writer.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        ended?;
        match written {
            Ok(checksum) => Ok(stream.meter.end(checksum)),
            Err(error) => {
                stream.guard.fail().await;
                Err(Error::new(OPERATION, local(error)).on(label))
            }
        }
    }

    /// Fetches the file and writes it to `writer`.
    ///
    /// # Errors
    /// As [`to_file`](Self::to_file).
    pub async fn to_writer(self, writer: &mut (impl AsyncWrite + Unpin)) -> Result<Transferred> {
        let label = self.place.label();
        let mut stream = self.stream().await?;
        let failed = |error: io::Error| Error::new(OPERATION, ErrorKind::File(error)).on(label.as_str());
        while let Some(piece) = stream.next().await {
            writer.write_all(&piece?).await.map_err(failed)?;
        }
        writer.flush().await.map_err(failed)?;
        Ok(stream.meter.end(stream.checksum))
    }

    /// The file as a host can fetch it by itself; `None` where it can't, or should not. `certificate` is that of the server
    /// that has the file.
    ///
    /// # Errors
    /// Server errors.
    pub(crate) async fn source(&self, certificate: Option<&Arc<[u8]>>) -> Result<Option<Source>> {
        self.place.source(certificate).await
    }

    async fn open(self, check: Check) -> Result<FileStream> {
        let Self { place, part, listener, lease, .. } = self;
        let label = place.label();
        let mut guard = EndsLease::new(lease);
        let opened = async {
            let route = place.route(Way::Down).await?;
            let opened = route.transport.download(route.call(OPERATION, &label).part(part)).await;
            opened.map_err(|error| place.explain(error))
        };
        let inner = match opened.await {
            Ok(inner) => inner,
            Err(error) => {
                guard.fail().await;
                return Err(error.in_operation(OPERATION).on(label));
            }
        };
        let meter = Meter::start(listener, inner.length());
        Ok(FileStream { inner, meter, sum: Some(Beside::new(check.hasher())), checksum: None, label, guard })
    }
}

/// A file as it arrives. The stream ends after the last byte, or with the one error that ended it.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use futures::TryStreamExt;
/// use vsphere_ops::managed::Datastore;
///
/// let store = client.get::<Datastore>("iso-library").await?;
/// let mut file = store.download("tools/memtest86plus-7.20.iso").stream().await?;
/// println!("{:?} bytes will come", file.length());
/// while let Some(piece) = file.try_next().await? {
///     println!("{} more", piece.len());
/// }
/// println!("SHA-256 {:?}", file.checksum()); // known now that all has come
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub struct FileStream {
    inner: vsphere_soap::http::Download,
    meter: Meter,
    /// Until the end.
    sum: Option<Beside>,
    checksum: Option<Checksum>,
    label: String,
    guard: EndsLease,
}

impl FileStream {
    /// How many bytes the file has, where the server says it.
    pub fn length(&self) -> Option<u64> {
        self.inner.length()
    }

    /// How many bytes have come.
    pub(crate) fn received(&self) -> u64 {
        self.inner.received()
    }

    /// How many bytes the whole file has, where only a part of it was asked for and the server says it.
    pub(crate) fn whole_length(&self) -> Option<u64> {
        self.inner.whole_length()
    }

    /// The certificate of the server, in DER; none over plain http.
    pub(crate) fn certificate(&self) -> Option<&Arc<[u8]>> {
        self.inner.certificate()
    }

    /// The checksum of the file, once the stream has ended.
    pub fn checksum(&self) -> Option<&Checksum> {
        self.checksum.as_ref()
    }
}

impl Stream for FileStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(sum) = &mut this.sum else { return Poll::Ready(None) };
        let error = match ready!(sum.poll_room(cx)) {
            Err(error) => Error::new(OPERATION, ErrorKind::File(error)).on(this.label.as_str()),
            Ok(()) => match ready!(Pin::new(&mut this.inner).poll_next(cx)) {
                Some(Ok(piece)) => {
                    this.meter.add(piece.len());
                    this.guard.add(piece.len());
                    sum.add(&piece);
                    return Poll::Ready(Some(Ok(piece)));
                }
                Some(Err(error)) => Error::from(error),
                None => match ready!(sum.poll_finish(cx)) {
                    Ok(checksum) => {
                        this.sum = None;
                        this.meter.tell();
                        this.checksum = checksum;
                        this.guard.done();
                        return Poll::Ready(None);
                    }
                    Err(mismatch) => Error::new(OPERATION, local(mismatch)).on(this.label.as_str()),
                },
            },
        };
        this.sum = None;
        this.guard.fail_in_background();
        Poll::Ready(Some(Err(error)))
    }
}

impl fmt::Debug for FileStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// How many batches wait for the disk at most, and how many bytes make one: together a few megabytes.
const QUEUE: usize = 4;
const BATCH: usize = 512 << 10;

enum ToDisk {
    Pieces(Vec<Bytes>),
    /// All has come. A queue that ends without it is a transfer that failed or was given up.
    End,
}

/// Hands the pieces of a file to the thread that writes it. A writer that has ended is no error here: it says why.
async fn pass_on(stream: &mut FileStream, to: mpsc::Sender<ToDisk>) -> Result<()> {
    let (mut batch, mut size) = (Vec::new(), 0);
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        size += piece.len();
        batch.push(piece);
        if size >= BATCH {
            size = 0;
            if to.send(ToDisk::Pieces(std::mem::take(&mut batch))).await.is_err() {
                return Ok(());
            }
        }
    }
    if to.send(ToDisk::Pieces(batch)).await.is_ok() {
        let _ended = to.send(ToDisk::End).await;
    }
    Ok(())
}

/// A local file that gets its name when it is complete; until then, and if it never is, nothing of that name changes.
struct Partial {
    path: PathBuf,
    partial: PathBuf,
}

impl Partial {
    fn new(path: &Path) -> Self {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:08x}.part", fastrand::u32(..)));
        Self { path: path.to_owned(), partial: path.with_file_name(name) }
    }

    fn write(self, mut pieces: mpsc::Receiver<ToDisk>, mut hasher: Hasher) -> io::Result<Option<Checksum>> {
        let mut file = File::create_new(&self.partial)?;
        loop {
            match pieces.blocking_recv() {
                Some(ToDisk::Pieces(batch)) => {
                    for piece in &batch {
                        file.write_all(piece)?;
                        hasher.update(piece);
                    }
                }
                Some(ToDisk::End) => break,
                None => return Err(io::Error::from(io::ErrorKind::Interrupted)),
            }
        }
        let checksum = hasher.finish().map_err(io::Error::other)?;
        drop(file);
        std::fs::rename(&self.partial, &self.path)?;
        Ok(checksum)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is none.
        if let Err(error) = std::fs::remove_file(&self.partial)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.partial.display(), %error, "a part of a file was left behind");
        }
    }
}
