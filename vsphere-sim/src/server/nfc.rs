//! `/nfc/TICKET/disk-0.vmdk`: the files of a lease over HTTP. The ticket in the path is all that it takes.

use std::io::{self, Read as _};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::mpsc;
use vsphere_model::types::{HttpNfcLeaseState, InvalidState, ManagedObjectNotFound};

use super::folder::{Broken, drain, receive, set};
use super::{Body, text};
use crate::core::Core;
use crate::objects::datastore::Datastore;
use crate::objects::datastore::files::Content;
use crate::objects::datastore::source::Source;
use crate::objects::datastore::stream;
use crate::objects::lease::{Lease, Part, Passed, arrived, note};
use crate::world::{Moref, World};

/// The size of a piece that is read at once, in bytes.
const PIECE: usize = 256 << 10;

/// Why a request is not carried out.
type Refusal = (StatusCode, String);

fn refusal(status: StatusCode, why: impl Into<String>) -> Refusal {
    (status, why.into())
}

pub(super) async fn answer(core: Arc<Core>, request: Request<Incoming>) -> Response<Body> {
    let answer = carry_out(&core, request).await;
    answer.unwrap_or_else(|(status, why)| text(status, "text/plain", format!("{why}\n")))
}

async fn carry_out(core: &Arc<Core>, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let method = request.method().clone();
    let found = {
        let world = core.read();
        file(&world, request.uri().path())
    };
    let mut body = request.into_body();
    // What a ticket that is not good any more is for, nobody knows.
    let Some(asked) = found else {
        drain(&mut body).await;
        return Err(refusal(StatusCode::NOT_FOUND, "There is nothing at this path."));
    };
    match method {
        Method::GET | Method::HEAD => fetch(core, asked, method == Method::HEAD),
        Method::POST | Method::PUT => {
            let answer = match (asked.part.is_disk, method == Method::POST) {
                (true, true) | (false, false) => send(core, &asked, &mut body).await,
                (true, false) => Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "A disk is sent by POST.")),
                (false, true) => Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "What is no disk is sent by PUT.")),
            };
            if answer.is_err() {
                drain(&mut body).await;
            }
            answer
        }
        _ => Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "Files are sent and fetched here.")),
    }
}

/// A file of a lease that is asked for.
struct Asked {
    lease: Moref,
    part: Part,
    imports: bool,
}

fn file(world: &World, path: &str) -> Option<Asked> {
    let rest = path.strip_prefix("/nfc/").or_else(|| path.strip_prefix("/ha-nfc/"))?;
    let (ticket, name) = rest.split_once('/')?;
    let reference = world.leases.get(ticket)?;
    let lease = world.get::<Lease>(reference).ok()?;
    if lease.state != HttpNfcLeaseState::Ready {
        return None;
    }
    let file = lease.files.iter().find(|file| file.part.name == name)?;
    Some(Asked { lease: reference.clone(), part: file.part.clone(), imports: lease.imports })
}

async fn send(core: &Arc<Core>, asked: &Asked, body: &mut Incoming) -> Result<Response<Body>, Refusal> {
    if !asked.imports {
        return Err(refusal(StatusCode::FORBIDDEN, "The lease is for an export."));
    }
    let place = asked.part.place.clone();
    let gone = || refusal(StatusCode::NOT_FOUND, "The lease has ended.");
    let failed = |why: String| refusal(StatusCode::INTERNAL_SERVER_ERROR, why);
    let (free, uploads) = {
        let world = core.read();
        let datastore = world.get::<Datastore>(&place.datastore).map_err(|_| gone())?;
        (u64::try_from(datastore.free()).unwrap_or_default(), Arc::clone(&world.uploads))
    };
    let (upload, file) = uploads.create().map_err(|error| failed(format!("The file is not kept: {error}.")))?;
    let (size, head) = match receive(body, file, free).await {
        Ok(received) => received,
        Err(Broken::TooLong) => return Err(failed("There is not enough space on the file system.".to_owned())),
        Err(Broken::Disk(error)) => return Err(failed(format!("The file is not kept: {error}."))),
        Err(Broken::Connection(error)) => return Err(refusal(StatusCode::BAD_REQUEST, format!("{error}."))),
    };
    let kept = arrived(&mut core.write(), &asked.lease, &asked.part, upload, size, &head);
    match kept {
        // It may have ended while the file was on its way.
        Err(fault) if fault.is::<InvalidState>() || fault.is::<ManagedObjectNotFound>() => return Err(gone()),
        kept => kept.map_err(|fault| failed(fault.message().to_owned()))?,
    }
    Ok(text(StatusCode::CREATED, "text/plain", ""))
}

fn fetch(core: &Arc<Core>, asked: Asked, head: bool) -> Result<Response<Body>, Refusal> {
    if asked.imports {
        return Err(refusal(StatusCode::FORBIDDEN, "The lease is for an import."));
    }
    let source = source(&core.read(), &asked.part);
    let source = source.ok_or_else(|| refusal(StatusCode::NOT_FOUND, "There is no such file, or no longer."))?;
    let mut answer = text(StatusCode::OK, "application/x-vnd.vmware-streamVmdk", Bytes::new());
    if !asked.part.is_disk {
        // How long a disk gets is known when it has been compressed.
        set(&mut answer, CONTENT_LENGTH, &source.length().to_string());
    }
    if !head {
        *answer.body_mut() = stream_of(Arc::clone(core), asked, source);
    }
    Ok(answer)
}

/// What a part of a machine has: what was sent once, or an empty disk of its size.
fn source(world: &World, part: &Part) -> Option<Source> {
    if !part.is_disk {
        return Source::open(world, &part.place.datastore, &part.place.path);
    }
    let datastore = world.get::<Datastore>(&part.place.datastore).ok()?;
    let file = datastore.find(&part.place.path)?;
    let sent = match &file.content {
        Content::Disk(disk) => disk.sent.as_ref().map(|sent| Arc::clone(&sent.0)),
        Content::Sent(sent) => Some(Arc::clone(&sent.upload)),
        Content::Folder | Content::Made => None,
    };
    match sent {
        Some(upload) => {
            let length = std::fs::metadata(upload.path()).ok()?.len();
            Some(Source::Sent(upload, length))
        }
        None => Some(Source::Text(stream::empty(part.capacity).into())),
    }
}

/// The pieces of a file, and a note once all have gone.
fn stream_of(core: Arc<Core>, asked: Asked, source: Source) -> Body {
    let (send, mut receive) = mpsc::channel::<io::Result<Frame<Bytes>>>(4);
    tokio::task::spawn_blocking(move || {
        let mut gone = 0_u64;
        let mut read = || -> io::Result<()> {
            let mut reader = source.reader()?;
            loop {
                let mut bytes = Vec::with_capacity(PIECE);
                let read = reader.by_ref().take(PIECE as u64).read_to_end(&mut bytes)?;
                if read == 0 {
                    return Ok(());
                }
                gone += bytes.len() as u64;
                let sent = send.blocking_send(Ok(Frame::data(bytes.into())));
                sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            }
        };
        match read() {
            // Before the end of the stream: a client may ask for the manifest right after it.
            Ok(()) => {
                let passed = Passed { size: i64::try_from(gone).unwrap_or(i64::MAX), content: source };
                note(&mut core.write(), &asked.lease, &asked.part, passed);
            }
            // Nobody takes it where the reader is gone.
            Err(error) => drop(send.blocking_send(Err(error))),
        }
    });
    StreamBody::new(futures::stream::poll_fn(move |cx| receive.poll_recv(cx))).boxed()
}
