//! Files that are sent: from a local file or from any stream.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::{self, Fuse};
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use vsphere_soap::ErrorKind as WireKind;

use super::beside::Beside;
use super::checksum::{Algorithm, Check, Checksum, Hasher, local};
use super::lease::{EndsLease, LeaseShare};
use super::meter::{Listener, Meter, TransferProgress, Transferred};
use super::route::{Place, Way};
use super::vmdk;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{DatastoreFile, has_changed};

const OPERATION: &str = "upload";

/// A file that is to be sent. Nothing is sent before [`from_file`](Self::from_file) or
/// [`from_stream`](Self::from_stream) is awaited.
///
/// Memory does not grow with the file. Several transfers may run at once.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::Datastore;
/// use vsphere_ops::transfer::Algorithm;
///
/// let store = client.get::<Datastore>("nvme-01").await?;
/// store.upload("ova/disk.vmdk").algorithm(Algorithm::Sha1).from_file("disk.vmdk").await?;
///
/// let pieces = futures::stream::iter([Ok(bytes::Bytes::from_static(b"disk.enableUUID = TRUE"))]);
/// store.upload("web-01/extra.cfg").without_checksum().from_stream(pieces, 22).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "an upload starts when it is told where from"]
pub struct Upload {
    place: Place,
    check: Check,
    listener: Option<Listener>,
    lease: Option<LeaseShare>,
    /// What may be overwritten, where that was said.
    seen: Option<Option<DatastoreFile>>,
}

impl Upload {
    pub(super) fn new(place: Place, lease: Option<LeaseShare>) -> Self {
        Self { place, check: Check::default(), listener: None, lease, seen: None }
    }

    /// Calls `listener` with the progress, ten times a second at most, and at the end.
    pub fn on_progress(mut self, listener: impl Fn(TransferProgress) + Send + Sync + 'static) -> Self {
        self.listener = Some(Listener::new(listener));
        self
    }

    /// Sends the file only if there is still this at its path in the datastore, which
    /// [`overwritten_by_upload`](crate::Mo::overwritten_by_upload) has told, or still nothing. Files have no ids, and the server
    /// takes no version: the path is looked at right before the file is sent.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::Datastore;
    ///
    /// let store = client.get::<Datastore>("iso-library").await?;
    /// let seen = store.overwritten_by_upload("tools/notes.txt").await?;
    /// let upload = store.upload("tools/notes.txt").in_place_of(seen.as_ref());
    /// let pieces = futures::stream::iter([Ok(bytes::Bytes::from("reboot on Sunday"))]);
    /// upload.from_stream(pieces, 16).await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn in_place_of(mut self, seen: Option<&DatastoreFile>) -> Self {
        self.seen = Some(seen.cloned());
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

    /// Compares the checksum with the one that the file must have. Where it differs, the server does not get the last
    /// piece, and no complete file.
    pub fn expect(mut self, checksum: Checksum) -> Self {
        self.check = Check::against(checksum);
        self
    }

    /// Sends a local file.
    ///
    /// # Errors
    /// `file` if the local file can't be read, `corrupt` if its checksum is not the expected one,
    /// `invalid_argument` if a lease can't take it, `changed` if something else is to be overwritten by now, and server
    /// errors.
    pub async fn from_file(self, path: impl AsRef<Path>) -> Result<Transferred> {
        let path = path.as_ref().to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        });
        let opened = opened.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let (file, length) = match opened {
            Ok(opened) => opened,
            Err(error) => return Err(self.fail(ErrorKind::File(error)).await),
        };
        let hasher = self.check.hasher();
        let checksum = Arc::default();
        let pieces = from_disk(file, hasher, Arc::clone(&checksum));
        self.send(pieces, Some(length), checksum).await
    }

    /// Sends what a stream gives. Say the `length` if it is known: few servers take a file without.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file); `file` as well where the stream fails or is not as long as said.
    pub async fn from_stream<S>(self, pieces: S, length: impl Into<Option<u64>>) -> Result<Transferred>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let checksum = Arc::default();
        let sum = Some(Beside::new(self.check.hasher()));
        let pieces = Hashed { pieces: pieces.boxed().fuse(), sum, checksum: Arc::clone(&checksum) };
        self.send(pieces, length.into(), checksum).await
    }

    async fn fail(self, kind: ErrorKind) -> Error {
        EndsLease::new(self.lease).fail().await;
        Error::new(OPERATION, kind).on(self.place.label())
    }

    async fn send<S>(self, pieces: S, length: Option<u64>, checksum: Found) -> Result<Transferred>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
    {
        let Self { place, listener, lease, seen, .. } = self;
        let label = place.label();
        let mut guard = EndsLease::new(lease.clone());
        let meter = Arc::new(Mutex::new(Meter::start(listener, length)));
        let counted = Arc::clone(&meter);
        let sent = async {
            let pieces = if place.is_lease_disk() { checked(pieces).await? } else { pieces.boxed() };
            let pieces = pieces.inspect(move |piece| {
                if let Ok(piece) = piece {
                    counted.lock().unwrap_or_else(PoisonError::into_inner).add(piece.len());
                    if let Some(lease) = &lease {
                        lease.add(piece.len());
                    }
                }
            });
            if let Some(seen) = seen
                && !place.still_has(seen.as_ref()).await?
            {
                return Err(has_changed());
            }
            // After the look, which goes by the datastore's id: the URL has its name.
            let route = place.route(Way::Up).await?;
            let call = route.call(OPERATION, &label);
            route.transport.upload(call, pieces, length).await.map_err(|error| source_or_server(error, &place))
        };
        if let Err(error) = sent.await {
            guard.fail().await;
            return Err(error.in_operation(OPERATION).on(label));
        }
        guard.done();
        let meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.tell();
        let checksum = *checksum.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(meter.end(checksum))
    }
}

/// Where the checksum is left when a file has gone by.
type Found = Arc<Mutex<Option<Checksum>>>;

fn source_or_server(error: vsphere_soap::Error, place: &Place) -> Error {
    match error.kind() {
        WireKind::Source(_) => match error.into_kind() {
            WireKind::Source(source) => Error::new(OPERATION, local(source)),
            other => vsphere_soap::Error::new(OPERATION, other).into(),
        },
        _ => place.explain(error),
    }
}

/// Reads the start of a disk, and goes on only where a lease takes its kind.
async fn checked<S>(mut pieces: S) -> Result<Pieces>
where
    S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
{
    let failed = |error: io::Error| Error::new(OPERATION, local(error));
    let mut seen = VecDeque::new();
    let mut head = Vec::new();
    while head.len() < vmdk::HEAD
        && let Some(piece) = pieces.next().await
    {
        let piece = piece.map_err(failed)?;
        head.extend_from_slice(&piece[..piece.len().min(vmdk::HEAD)]);
        seen.push_back(Ok(piece));
    }
    vmdk::check(&head).map_err(|unfit| failed(io::Error::other(unfit)))?;
    Ok(stream::iter(seen).chain(pieces).boxed())
}

/// The pieces of a file.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// A stream whose checksum is computed as it goes by, and is wrong at its end or is left.
struct Hashed {
    pieces: Fuse<Pieces>,
    /// Until the end.
    sum: Option<Beside>,
    checksum: Found,
}

impl Stream for Hashed {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(sum) = &mut this.sum else { return Poll::Ready(None) };
        if let Err(error) = ready!(sum.poll_room(cx)) {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(this.pieces.poll_next_unpin(cx)) {
            Some(Ok(piece)) => {
                sum.add(&piece);
                Poll::Ready(Some(Ok(piece)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                let summed_up = ready!(sum.poll_finish(cx));
                this.sum = None;
                Poll::Ready(match summed_up {
                    Ok(checksum) => {
                        *this.checksum.lock().unwrap_or_else(PoisonError::into_inner) = checksum;
                        None
                    }
                    Err(error) => Some(Err(error)),
                })
            }
        }
    }
}

fn finish(hasher: Hasher, found: &Mutex<Option<Checksum>>) -> io::Result<()> {
    let checksum = hasher.finish().map_err(io::Error::other)?;
    *found.lock().unwrap_or_else(PoisonError::into_inner) = checksum;
    Ok(())
}

/// How many blocks are read ahead at most, and how large one is.
const QUEUE: usize = 4;
const BLOCK: usize = 256 << 10;

/// The blocks of a file, read and hashed beside the work of the connection.
fn from_disk(file: File, mut hasher: Hasher, checksum: Found) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin {
    let (blocks, received) = mpsc::channel(QUEUE);
    // The thread ends when it has read all, or when nobody waits for the next block any more.
    tokio::task::spawn_blocking(move || {
        loop {
            let mut block = Vec::with_capacity(BLOCK);
            let read = match (&file).take(BLOCK as u64).read_to_end(&mut block) {
                Ok(0) => break,
                read => read,
            };
            hasher.update(&block);
            let failed = read.is_err();
            if blocks.blocking_send(read.map(|_| Bytes::from(block))).is_err() || failed {
                return;
            }
        }
        if let Err(mismatch) = finish(hasher, &checksum) {
            // Nobody waits where the transfer was given up.
            let _given_up = blocks.blocking_send(Err(mismatch));
        }
    });
    stream::poll_fn({
        let mut received = received;
        move |cx| received.poll_recv(cx)
    })
}
