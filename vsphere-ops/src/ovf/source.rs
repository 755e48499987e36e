//! Where a package is, and how parts of its files are read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::mpsc;
use vsphere_model::managed::Datastore;

use super::OPEN;
use super::folder::{Directory, LocalFolder};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::transfer::{Download, Pieces, Source, WebHosts};

/// Where a package is: an OVF descriptor with its files beside it, or an OVA.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::Datastore;
/// use vsphere_ops::ovf::{Directory, OvfSource};
///
/// let local = OvfSource::file("appliances/web.ova");
/// let guarded = OvfSource::in_folder(std::sync::Arc::new(Directory::new("appliances")), "web.ova");
/// let store = client.get::<Datastore>("nvme-01").await?;
/// let uploaded = OvfSource::on_datastore(&store, "ova/web.ovf");
/// let hosts = "images.corp.example".parse()?; // the web servers that may be used
/// let elsewhere = OvfSource::on_web(&client, "https://images.corp.example/web.ova", &hosts)?;
/// # let _ = (local, guarded, uploaded, elsewhere);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Clone)]
pub struct OvfSource {
    place: Place,
    /// The file of the package that is named: the descriptor or the archive.
    name: String,
}

#[derive(Clone)]
enum Place {
    Local(Arc<dyn LocalFolder>),
    /// A folder of a datastore.
    Datastore(Mo<Datastore>, String),
    /// A URL up to its last slash, and its query.
    Web {
        client: Client,
        folder: String,
        query: String,
        hosts: WebHosts,
    },
}

impl OvfSource {
    /// A local file.
    pub fn file(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::in_folder(Arc::new(Directory::new(folder)), name)
    }

    /// A file of a local folder, which decides itself what may be read.
    pub fn in_folder(folder: Arc<dyn LocalFolder>, name: impl Into<String>) -> Self {
        Self { place: Place::Local(folder), name: name.into() }
    }

    /// A file of a datastore: `ova/web.ova`, or in full `[nvme-01] ova/web.ova`. It is read piece by piece.
    pub fn on_datastore(store: &Mo<Datastore>, path: impl Into<String>) -> Self {
        let path = path.into();
        // What is before the file's own name: folders, or the datastore alone.
        let at = match (path.rfind('/'), path.find("] ")) {
            (Some(slash), _) => slash + 1,
            (None, Some(bracket)) if path.starts_with('[') => bracket + 2,
            _ => 0,
        };
        let (folder, name) = path.split_at(at);
        let (folder, name) = (folder.to_owned(), name.to_owned());
        Self { place: Place::Datastore(store.clone(), folder), name }
    }

    /// A file on one of these web servers, which must give parts of files, as nearly all do.
    ///
    /// # Errors
    /// `invalid_argument` where the URL does not lead to one of them.
    pub fn on_web(client: &Client, url: &str, hosts: &WebHosts) -> Result<Self> {
        client.web_file(url, hosts)?;
        let (path, query) =
            url.split_once('?').map_or((url, String::new()), |(path, query)| (path, format!("?{query}")));
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let place = Place::Web { client: client.clone(), folder: format!("{folder}/"), query, hosts: hosts.clone() };
        Ok(Self { place, name: name.to_owned() })
    }

    /// The name of the descriptor or the archive.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that is named.
    pub(super) async fn open(&self) -> Result<Opened> {
        self.sibling(&self.name.clone()).await
    }

    /// A file beside the one that is named.
    pub(super) async fn sibling(&self, name: &str) -> Result<Opened> {
        match &self.place {
            Place::Local(folder) => {
                let (folder, of) = (Arc::clone(folder), name.to_owned());
                let opened = tokio::task::spawn_blocking(move || {
                    let file = folder.open(&of)?;
                    let metadata = file.metadata()?;
                    if !metadata.is_file() {
                        return Err(io::Error::other("it is no file"));
                    }
                    Ok((file, metadata.len()))
                });
                let opened = opened.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
                let (file, length) = opened.map_err(|error| missing(name, error))?;
                Ok(Opened {
                    content: Content::Local(Arc::new(Mutex::new(file))),
                    length,
                    name: name.to_owned(),
                    certificate: None,
                })
            }
            Place::Datastore(store, folder) => {
                Opened::remote(store.download(format!("{folder}{name}")).without_checksum(), name).await
            }
            Place::Web { client, folder, query, hosts } => {
                let file = client.web_file(&format!("{folder}{name}{query}"), hosts)?;
                Opened::remote(file.download().without_checksum(), name).await
            }
        }
    }
}

fn missing(name: &str, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound("there is no such file".into()),
        _ => ErrorKind::File(error),
    };
    Error::new(OPEN, kind).on(name)
}

impl fmt::Debug for OvfSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OvfSource({})", self.name)
    }
}

/// A file of a package that is there. Cheap to clone.
#[derive(Clone)]
pub(super) struct Opened {
    content: Content,
    pub(super) length: u64,
    pub(super) name: String,
    /// Of the server that has it.
    certificate: Option<Arc<[u8]>>,
}

#[derive(Clone)]
enum Content {
    Local(Arc<Mutex<File>>),
    Remote(Box<Download>),
}

/// How much is read at once.
const BLOCK: u64 = 256 << 10;

impl Opened {
    async fn remote(download: Download, name: &str) -> Result<Self> {
        // The answer to a question for one byte says how many there are.
        let head = download.clone().part(0, 1).stream().await.map_err(|error| error.in_operation(OPEN))?;
        let length = head.whole_length().ok_or_else(|| {
            let kind = ErrorKind::Unsupported("the server does not say how long the file is".into());
            Error::new(OPEN, kind).on(name)
        })?;
        let certificate = head.certificate().cloned();
        Ok(Self { content: Content::Remote(Box::new(download)), length, name: name.to_owned(), certificate })
    }

    /// Whether it is on another computer.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.content, Content::Remote(_))
    }

    /// The file as a host can fetch it by itself; `None` where it can't, or should not.
    ///
    /// # Errors
    /// Server errors.
    pub(super) async fn source(&self) -> Result<Option<Source>> {
        match &self.content {
            Content::Local(_) => Ok(None),
            Content::Remote(download) => download.source(self.certificate.as_ref()).await,
        }
    }

    /// A part of the file that fits into memory. It must be there.
    pub(super) async fn read(&self, from: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut pieces = self.stream(from, length);
        while let Some(piece) = pieces.try_next().await.map_err(|error| self.failed(error))? {
            bytes.extend_from_slice(&piece);
        }
        match bytes.len() as u64 == length {
            true => Ok(bytes),
            false => Err(Error::new(OPEN, ErrorKind::Corrupt("the file ends too early".into())).on(self.name.as_str())),
        }
    }

    pub(super) fn failed(&self, error: io::Error) -> Error {
        Error::new(OPEN, crate::transfer::local(error)).on(self.name.as_str())
    }

    /// A part of the file as a stream.
    pub(super) fn stream(&self, from: u64, length: u64) -> Pieces {
        if length == 0 {
            return stream::empty().boxed();
        }
        match &self.content {
            Content::Local(file) => local(Arc::clone(file), from, length).boxed(),
            Content::Remote(download) => {
                let download = (**download).clone().part(from, length);
                let opened = async move { download.stream().await.map_err(io::Error::other) };
                let pieces = stream::once(opened).map_ok(|pieces| pieces.map_err(io::Error::other)).try_flatten();
                pieces.boxed()
            }
        }
    }
}

/// The blocks of a part of a file, read beside the work of the connection. Readers of several parts take turns.
fn local(file: Arc<Mutex<File>>, from: u64, length: u64) -> impl futures::Stream<Item = io::Result<Bytes>> + Send {
    let (blocks, mut received) = mpsc::channel(2);
    // The thread ends when it has read all, or when nobody waits for the next block any more.
    tokio::task::spawn_blocking(move || {
        let (mut at, end) = (from, from.saturating_add(length));
        while at < end {
            let mut block = Vec::with_capacity(usize::try_from(BLOCK.min(end - at)).unwrap_or_default());
            let read = {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(at)).and_then(|_| (&*file).take(BLOCK.min(end - at)).read_to_end(&mut block))
            };
            let read = read.and_then(|read| match read {
                0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends too early")),
                read => Ok(read),
            });
            at = at.saturating_add(block.len() as u64);
            let failed = read.is_err();
            if blocks.blocking_send(read.map(|_| Bytes::from(block))).is_err() || failed {
                return;
            }
        }
    });
    stream::poll_fn(move |cx| received.poll_recv(cx))
}
