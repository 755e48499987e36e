//! `/folder`: the files of datastores over HTTP, `/folder/web-1/web-1.vmx?dcPath=DC0&dsName=nvme`.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, LAST_MODIFIED, RANGE,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode;
use tokio::sync::mpsc;
use vsphere_soap::codec::is_writable;

use super::visitor::{Unknown, Visitor};
use super::{Body, listing, soap, text};
use crate::call::Peer;
use crate::core::Core;
use crate::objects::datacenter::Datacenter;
use crate::objects::datastore::Datastore;
use crate::objects::datastore::disk::Disk;
use crate::objects::datastore::files::{File, Sent};
use crate::objects::datastore::path;
use crate::objects::datastore::source::Source;
use crate::objects::datastore::upload::{Arrival, Upload};
use crate::objects::session_manager::{self, Use};
use crate::world::{Moref, World};

/// The cookie that carries a ticket for one file.
const TICKET_COOKIE: &str = "vmware_cgi_ticket";

/// An answer, or why there is none.
type Answer = Result<Response<Body>, Refusal>;

/// Why a request is not carried out.
struct Refusal {
    status: StatusCode,
    why: String,
    /// What the answer tells beside.
    header: Option<(HeaderName, String)>,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), header: None }
    }

    fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    fn answer(self) -> Response<Body> {
        let mut answer = text(self.status, "text/plain", format!("{}\n", self.why));
        if let Some((name, value)) = self.header {
            set(&mut answer, name, &value);
        }
        answer
    }
}

pub(super) async fn answer(core: Arc<Core>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
    carry_out(core, request, &peer).await.unwrap_or_else(Refusal::answer)
}

/// The path below the datastore, and the datastore's name, that a URL asks for.
pub(crate) fn asked(url: &hyper::Uri) -> Option<(String, String)> {
    Asked::of(url).and_then(|asked| Some((asked.path, asked.datastore?)))
}

/// The datastore and the path in it that a URL names.
pub(crate) fn locate(world: &World, url: &hyper::Uri) -> Option<(Moref, String)> {
    let asked = Asked::of(url)?;
    let (_, datastore) = asked.place(world).ok()?;
    Some((datastore, asked.path))
}

pub(super) async fn drain(body: &mut Incoming) {
    let mut passed = 0;
    while let Some(Ok(frame)) = body.frame().await {
        passed += frame.data_ref().map_or(0, Bytes::len);
        if passed > PATIENCE {
            break;
        }
    }
}

/// What a request is about, by its path and its query.
struct Asked {
    datacenter: Option<String>,
    datastore: Option<String>,
    /// Below the datastore.
    path: String,
}

/// How much of a file is read that is refused, in bytes: a client that still sends does not see the answer.
const PATIENCE: usize = 1 << 30;

async fn carry_out(core: Arc<Core>, request: Request<Incoming>, peer: &Peer) -> Answer {
    let method = request.method().clone();
    let asked = Asked::read(&request).ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "The path is malformed."))?;
    let caller = find(&core, &request, peer, &asked)?;
    match method {
        Method::GET | Method::HEAD => read(&core, &request, &caller, &asked),
        Method::PUT => {
            let mut body = request.into_body();
            let answer = write(&core, &mut body, &caller, &asked).await;
            if answer.is_err() {
                drain(&mut body).await;
            }
            answer
        }
        Method::DELETE => delete(&core, &caller, &asked),
        _ => {
            let why = "Files are read, written and deleted here.";
            Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, why).with(ALLOW, "GET, HEAD, PUT, DELETE"))
        }
    }
}

impl Asked {
    fn read(request: &Request<Incoming>) -> Option<Self> {
        Self::of(request.uri())
    }

    fn of(url: &hyper::Uri) -> Option<Self> {
        let below = url.path().strip_prefix("/folder")?;
        let mut asked = Self { datacenter: None, datastore: None, path: path::clean(&decode(below, false)?)? };
        for pair in url.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "dcPath" => asked.datacenter = Some(decode(value, true)?),
                "dsName" => asked.datastore = Some(decode(value, true)?),
                _ => {}
            }
        }
        Some(asked)
    }

    /// The datacenter and the datastore that are named. A host serves its datastores without a datacenter, too.
    fn place(&self, world: &World) -> Result<(Moref, Moref), Refusal> {
        let missing =
            |what: &str, name: &str| Refusal::new(StatusCode::NOT_FOUND, format!("There is no {what} '{name}'."));
        let name = self.datastore.as_deref().unwrap_or_default();
        let found = match self.datacenter.as_deref() {
            Some(path) if path != HOST_DATACENTER || datacenter(world, path).is_some() => {
                let datacenter = datacenter(world, path).ok_or_else(|| missing("datacenter", path))?;
                world.datastore_named(&datacenter, name).ok().map(|datastore| (datacenter, datastore))
            }
            _ => {
                let all = world.all::<Datacenter>().into_iter().map(|(reference, _)| reference.clone());
                let on = |datacenter: Moref| Some((datacenter.clone(), world.datastore_named(&datacenter, name).ok()?));
                all.into_iter().find_map(on)
            }
        };
        found.ok_or_else(|| missing("datastore", name))
    }
}

/// The path of the one datacenter that a host knows.
const HOST_DATACENTER: &str = "ha-datacenter";

/// The datacenter with this inventory path.
fn datacenter(world: &World, path: &str) -> Option<Moref> {
    let mut steps = path.split('/').filter(|step| !step.is_empty());
    let found = steps.try_fold(world.content.root_folder.clone(), |folder, step| world.child_named(&folder, step))?;
    world.get::<Datacenter>(&found).is_ok().then_some(found)
}

/// By a ticket for the file, by the cookie of a session, or by name and password.
fn find<'a>(core: &'a Core, request: &Request<Incoming>, peer: &Peer, asked: &Asked) -> Result<Visitor<'a>, Refusal> {
    if let Some(id) = soap::cookie(request, TICKET_COOKIE) {
        let name = asked.datastore.as_deref().unwrap_or_default();
        let used = Use { method: request.method(), path: &asked.path, datastore: name };
        let session = session_manager::redeem(&mut core.write(), &id, &used);
        return session.map(|session| Visitor::of(core, session)).ok_or_else(unauthenticated);
    }
    Visitor::find(core, request, peer).map_err(|unknown| match unknown {
        Unknown::Unauthenticated => unauthenticated(),
        Unknown::Full => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "The maximum number of sessions has been exceeded.")
        }
    })
}

fn check(visitor: &Visitor<'_>, world: &World, datastore: &Moref, privilege: &str) -> Result<(), Refusal> {
    if world.may(datastore, Some(&visitor.session), privilege) {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::FORBIDDEN, format!("It takes the privilege {privilege} on the datastore.")))
}

fn unauthenticated() -> Refusal {
    let realm = "Basic realm=\"VMware HTTP server\"";
    Refusal::new(StatusCode::UNAUTHORIZED, "Log in first.").with(WWW_AUTHENTICATE, realm)
}

fn read(core: &Core, request: &Request<Incoming>, caller: &Visitor<'_>, asked: &Asked) -> Answer {
    let world = core.read();
    if asked.datastore.is_none() {
        let page = match asked.datacenter.as_deref() {
            None if asked.path.is_empty() => Some(listing::datacenters(&world, &caller.session)),
            Some(path) if asked.path.is_empty() => {
                datacenter(&world, path).map(|found| listing::datastores(&world, &found, path, &caller.session))
            }
            _ => None,
        };
        let page =
            page.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "The datacenter or the datastore is missing."))?;
        return Ok(text(StatusCode::OK, "text/html; charset=utf-8", page));
    }
    let (datacenter, datastore) = asked.place(&world)?;
    check(caller, &world, &datastore, "Datastore.Browse")?;
    let found =
        world.get::<Datastore>(&datastore).map_err(|fault| Refusal::new(StatusCode::NOT_FOUND, fault.message()))?;
    if found.files().is_folder(&asked.path) {
        let within = asked.datacenter.clone().unwrap_or_else(|| listing::path_of(&world, &datacenter));
        let page = listing::folder(found, &asked.path, &within, asked.datastore.as_deref().unwrap_or_default());
        return Ok(text(StatusCode::OK, "text/html; charset=utf-8", page));
    }
    let source = Source::open(&world, &datastore, &asked.path);
    let (Some(source), Some(file)) = (source, found.find(&asked.path)) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("There is no file {}.", found.path(&asked.path))));
    };
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let length = source.length();
    let (status, range) = match header(RANGE).and_then(|range| parse_range(range, length)) {
        None => (StatusCode::OK, (0, length)),
        Some(Some(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(None) => {
            let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "The file is shorter.");
            return Err(refusal.with(CONTENT_RANGE, format!("bytes */{length}")));
        }
    };
    let (from, until) = range;
    let mut answer = text(status, "application/octet-stream", Bytes::new());
    if request.method() != Method::HEAD {
        *answer.body_mut() = body(source, from, until - from);
    }
    set(&mut answer, CONTENT_LENGTH, &(until - from).to_string());
    set(&mut answer, ACCEPT_RANGES, "bytes");
    set(&mut answer, LAST_MODIFIED, &file.modification().to_utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut answer, CONTENT_RANGE, &format!("bytes {from}-{}/{length}", until.saturating_sub(1)));
    }
    if asked.path.ends_with(".vmx") {
        set(&mut answer, CONTENT_TYPE, "text/plain; charset=utf-8");
    }
    Ok(answer)
}

pub(super) fn set(answer: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// The bytes that one range asks for, from and until. `Some(None)` where the file has none of them; `None` where the
/// header is not understood, so that it does not count.
fn parse_range(header: &str, length: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = header.strip_prefix("bytes=")?.trim().split_once('-')?;
    let range = match (first.trim(), last.trim()) {
        ("", last) => (length.saturating_sub(last.parse().ok()?), length),
        (first, "") => (first.parse().ok()?, length),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?.min(length)),
    };
    Some(Some(range).filter(|(from, until)| from < until))
}

/// The size of a piece that is read or written at once, in bytes.
const PIECE: usize = 256 << 10;

/// A part of a file, piece by piece.
fn body(source: Source, from: u64, length: u64) -> Body {
    static ZEROS: [u8; PIECE] = [0; PIECE];
    let piece = |left: u64| usize::try_from(left).unwrap_or(PIECE).min(PIECE);
    match source {
        Source::Text(text) => {
            let start = usize::try_from(from).unwrap_or(usize::MAX).min(text.len());
            let end = usize::try_from(from + length).unwrap_or(usize::MAX).min(text.len());
            http_body_util::Full::new(text.slice(start..end)).map_err(|never| match never {}).boxed()
        }
        Source::Zeros(_) => {
            let pieces = stream::unfold(length, move |left| async move {
                let bytes = Bytes::from_static(ZEROS.get(..piece(left)).filter(|bytes| !bytes.is_empty())?);
                let rest = left - u64::try_from(bytes.len()).unwrap_or(left);
                Some((Ok(Frame::data(bytes)), rest))
            });
            StreamBody::new(pieces).boxed()
        }
        Source::Sent(upload, _) => {
            let (send, mut receive) = mpsc::channel(4);
            tokio::task::spawn_blocking(move || {
                let read = || -> io::Result<()> {
                    let mut file = std::fs::File::open(upload.path())?;
                    file.seek(SeekFrom::Start(from))?;
                    let mut left = length;
                    while left > 0 {
                        let mut bytes = BytesMut::zeroed(piece(left));
                        file.read_exact(&mut bytes)?;
                        left -= u64::try_from(bytes.len()).unwrap_or(left);
                        if send.blocking_send(Ok(Frame::data(bytes.freeze()))).is_err() {
                            // The reader is gone.
                            break;
                        }
                    }
                    Ok(())
                };
                if let Err(error) = read() {
                    let _ = send.blocking_send(Err(error));
                }
            });
            StreamBody::new(stream::poll_fn(move |cx| receive.poll_recv(cx))).boxed()
        }
    }
}

async fn write(core: &Core, body: &mut Incoming, caller: &Visitor<'_>, asked: &Asked) -> Answer {
    let (datastore, free, uploads) = {
        let world = core.read();
        let (_, datastore) = asked.place(&world)?;
        check(caller, &world, &datastore, "Datastore.FileManagement")?;
        let found =
            world.get::<Datastore>(&datastore).map_err(|fault| Refusal::new(StatusCode::NOT_FOUND, fault.message()))?;
        check_place(&world, &datastore, found, &asked.path)?;
        let replaced = found.find(&asked.path).map_or(0, |file| file.used);
        (datastore.clone(), found.free() + replaced, Arc::clone(&world.uploads))
    };
    let free = u64::try_from(free).unwrap_or_default();
    let full = || Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "The datastore has not enough free space.");
    if body.size_hint().lower() > free {
        return Err(full());
    }
    let failed =
        |error: io::Error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("The file is not kept: {error}."));
    let (upload, file) = uploads.create().map_err(failed)?;
    let (size, head) = match receive(body, file, free).await {
        Ok(received) => received,
        Err(Broken::TooLong) => return Err(full()),
        Err(Broken::Disk(error)) => return Err(failed(error)),
        Err(Broken::Connection(error)) => return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("{error}."))),
    };
    put(core, &datastore, &asked.path, upload, size, &head)
}

/// Whether a file may be written at this path.
fn check_place(world: &World, reference: &Moref, datastore: &Datastore, file: &str) -> Result<(), Refusal> {
    let (folder, _) = path::split(file);
    let shown = datastore.path(file);
    if file.is_empty() || datastore.files().is_folder(file) {
        return Err(Refusal::new(StatusCode::CONFLICT, format!("{shown} is a folder.")));
    }
    // Folders that are missing are made, but for one at the top of an object store.
    if let Err(fault) = datastore.check_top(file) {
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, fault.message()));
    }
    let file_among = |folder: &str| datastore.find(folder).is_some_and(|found| !found.is_folder());
    if file_among(folder) || folder.match_indices('/').any(|(at, _)| folder.get(..at).is_some_and(file_among)) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("There is no folder {}.", datastore.path(folder))));
    }
    if world.open_files(reference).iter().any(|open| open == file) {
        return Err(Refusal::new(StatusCode::CONFLICT, format!("{shown} is in use.")));
    }
    Ok(())
}

fn put(core: &Core, datastore: &Moref, file_path: &str, upload: Upload, size: u64, head: &[u8]) -> Answer {
    let mut world = core.write();
    let disk = if file_path.ends_with(".vmdk") { Disk::read(head) } else { None };
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let file = File::sent(size, Sent { upload: Arc::new(upload), disk });
    let Ok(found) = world.edit::<Datastore>(datastore) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "The datastore is gone."));
    };
    let status = if found.find(file_path).is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let (folder, _) = path::split(file_path);
    if !found.files().is_folder(folder) {
        let made = found.make_folder(folder, true);
        made.map_err(|fault| Refusal::new(StatusCode::CONFLICT, fault.message()))?;
    }
    // What was there to check is checked: the rest came while the file was on its way.
    found.put_file(file_path, file).map_err(|fault| {
        let full = fault.is::<vsphere_model::types::NoDiskSpace>();
        Refusal::new(if full { StatusCode::INSUFFICIENT_STORAGE } else { StatusCode::CONFLICT }, fault.message())
    })?;
    Ok(text(status, "text/plain", ""))
}

/// Why an upload came to no end.
pub(super) enum Broken {
    TooLong,
    Disk(io::Error),
    Connection(hyper::Error),
}

/// Writes a body to a file, piece by piece; its length and its first bytes.
pub(super) async fn receive(body: &mut Incoming, file: std::fs::File, limit: u64) -> Result<(u64, Vec<u8>), Broken> {
    let mut arrival = Arrival::new(file);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(Broken::Connection)?.into_data() else { continue };
        if arrival.size() + bytes.len() as u64 > limit {
            return Err(Broken::TooLong);
        }
        if !arrival.add(bytes).await {
            break;
        }
    }
    arrival.end().await.map_err(Broken::Disk)
}

fn delete(core: &Core, caller: &Visitor<'_>, asked: &Asked) -> Answer {
    let mut world = core.write();
    let (_, datastore) = asked.place(&world)?;
    check(caller, &world, &datastore, "Datastore.FileManagement")?;
    let open = world.open_files(&datastore);
    let below = format!("{}/", asked.path);
    if asked.path.is_empty() || open.iter().any(|open| *open == asked.path || open.starts_with(&below)) {
        return Err(Refusal::new(StatusCode::CONFLICT, "The file or the folder is in use."));
    }
    let removed = world.edit::<Datastore>(&datastore).and_then(|found| found.remove_tree(&asked.path));
    removed.map_err(|fault| Refusal::new(StatusCode::NOT_FOUND, fault.message()))?;
    Ok(text(StatusCode::NO_CONTENT, "text/plain", ""))
}

/// A text without its percent codes; in a query, a plus sign is a space. `None` where a code is broken, it is no text, or no
/// answer could carry it.
fn decode(text: &str, query: bool) -> Option<String> {
    let is_hex = |rest: &str| rest.as_bytes().get(..2).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(is_hex) {
        return None;
    }
    let spaced = if query { text.replace('+', " ") } else { text.to_owned() };
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8().ok()?;
    decoded.chars().all(is_writable).then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (header, range) in [
            ("bytes=0-9", Some(Some((0, 10)))),
            ("bytes=90-", Some(Some((90, 100)))),
            ("bytes=-10", Some(Some((90, 100)))),
            ("bytes=-1000", Some(Some((0, 100)))),
            ("bytes=50-1000", Some(Some((50, 100)))),
            ("bytes=100-", Some(None)),
            ("bytes=9-3", Some(None)),
            ("bytes=0-1,5-6", None),
            ("lines=1-2", None),
            ("bytes=0-18446744073709551615", None),
        ] {
            assert_eq!(parse_range(header, 100), range, "{header}");
        }
    }

    #[test]
    fn percent_codes_are_read_once() {
        assert_eq!(decode("a%252fb+c", true).as_deref(), Some("a%2fb c"));
        assert_eq!(decode("a+b%20c", false).as_deref(), Some("a+b c"));
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decode(broken, false), None, "{broken}");
        }
    }
}
