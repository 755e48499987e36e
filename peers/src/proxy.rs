//! A proxy that sees which requests a client sends.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    task::JoinSet,
};

/// A loopback proxy before a plain HTTP server that notes each request in order, and the references that the server
/// returns; it ends when this value is dropped.
#[derive(Debug)]
pub struct CountingProxy {
    address: SocketAddr,
    log: Log,
    _accepting: JoinSet<()>,
}

#[derive(Debug, Clone, Default)]
struct Log {
    requests: Arc<Mutex<Vec<String>>>,
    returned: Arc<Mutex<Vec<(String, String)>>>,
    bytes: Arc<AtomicU64>,
    planted: Arc<Mutex<Planted>>,
}

/// What happens before a request reaches the server.
#[derive(Default)]
struct Planted {
    /// How many requests pass before it, and what it is.
    next: Option<(usize, Change)>,
    before: Option<String>,
}

type Change = Pin<Box<dyn Future<Output = ()> + Send>>;

impl std::fmt::Debug for Planted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planted").field("before", &self.before).finish_non_exhaustive()
    }
}

impl Log {
    /// Notes a request. Answers with what has to happen before it is passed on.
    fn note(&self, request: String) -> Option<Change> {
        let mut planted = self.planted.lock().unwrap_or_else(PoisonError::into_inner);
        let due = match &mut planted.next {
            Some((0, _)) => planted.next.take().map(|(_, change)| change),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if due.is_some() {
            planted.before = Some(request.clone());
        }
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        due
    }
}

impl CountingProxy {
    /// Listens on a free loopback port and passes everything on to `server`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let log = Log::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, log.clone()));
        Ok(Self { address, log, _accepting: accepting })
    }

    /// The SDK URL for a client that is to be watched.
    pub fn url(&self) -> String {
        format!("http://{}/sdk", self.address)
    }

    /// All requests so far, in order: a SOAP operation's name (`Login`), else method and path (`GET /sdk/vimService`).
    pub fn requests(&self) -> Vec<String> {
        self.log.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The references, as type and id, that were the whole answer to a request, in order: what the server has made, such
    /// as `("ContainerView", "session[…]…")`, and tasks.
    pub fn returned(&self) -> Vec<(String, String)> {
        self.log.returned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many bytes the server has answered with, heads included.
    pub fn bytes(&self) -> u64 {
        self.log.bytes.load(Ordering::Relaxed)
    }

    /// Has `change` happen after `skip` more requests, before the next one reaches the server. It takes the place of one
    /// that was planted before and has not happened.
    pub fn plant(&self, skip: usize, change: impl Future<Output = ()> + Send + 'static) {
        let mut planted = self.log.planted.lock().unwrap_or_else(PoisonError::into_inner);
        *planted = Planted { next: Some((skip, Box::pin(change))), before: None };
    }

    /// The request before which the planted change has happened; `None` if it has not, and then it no longer will: a request
    /// of the background could be the one that it waits for.
    pub fn unplant(&self) -> Option<String> {
        let mut planted = self.log.planted.lock().unwrap_or_else(PoisonError::into_inner);
        planted.next = None;
        planted.before.take()
    }

    /// The requests after the last `Login`, without the `Logout` that ends the session.
    pub fn requests_after_login(&self) -> Vec<String> {
        let mut requests = self.requests();
        let start = requests.iter().rposition(|r| r == "Login").map_or(0, |login| login + 1);
        requests.drain(..start);
        requests.retain(|r| r != "Logout");
        requests
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, log: Log) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass_on(client, server, log.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Copies both ways. When the server closes, the client sees that; when the client does, the server's last answer is
/// still read, so that what it has made is noted.
async fn pass_on(client: TcpStream, server: SocketAddr, log: Log) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut answers = std::pin::pin!(watch_answers(from_server, to_client, log.clone()));
    tokio::select! {
        ended = &mut answers => ended,
        _ = watch_requests(from_client, to_server, log) => answers.await,
    }
}

async fn watch_requests(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, log: Log) -> io::Result<()> {
    let mut seen = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut chunk).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        seen.extend_from_slice(&chunk[..length]);
        // Noted before it is passed on: whoever has the answer finds the request in the log.
        while let Some((request, end)) = first_request(&seen) {
            if let Some(change) = log.note(request) {
                // The server has not seen the end of the request yet.
                change.await;
            }
            seen.drain(..end);
        }
        to.write_all(&chunk[..length]).await?;
    }
}

/// Answers are not cut apart: a returned reference is looked for in whatever comes.
async fn watch_answers(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, log: Log) -> io::Result<()> {
    let mut seen = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut chunk).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        seen.extend_from_slice(&chunk[..length]);
        log.bytes.fetch_add(length as u64, Ordering::Relaxed);
        let (found, end) = returned_references(&seen);
        log.returned.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        seen.drain(..end);
        // The client may be gone.
        to.write_all(&chunk[..length]).await.ok();
    }
}

/// The references in `<returnval type="…">…</returnval>`, and up to where no more can begin.
fn returned_references(bytes: &[u8]) -> (Vec<(String, String)>, usize) {
    /// Nothing longer is a reference.
    const LONGEST: usize = 512;
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = bytes[at..].windows(START.len()).position(|window| window == START).map(|by| at + by) {
        let Some(end) = bytes[start..].windows(END.len()).position(|window| window == END).map(|by| start + by) else {
            // It may go on in the next piece, where it is one.
            return (found, if bytes.len() - start > LONGEST { bytes.len() } else { start });
        };
        let text = String::from_utf8_lossy(&bytes[start + START.len()..end]);
        if let Some((type_, rest)) = text.split_once('"')
            && let Some((_, value)) = rest.split_once('>')
            && !value.contains('<')
        {
            found.push((type_.to_owned(), value.to_owned()));
        }
        at = end + END.len();
    }
    (found, bytes.len().saturating_sub(START.len()).max(at))
}

const START: &[u8] = b"<returnval type=\"";
const END: &[u8] = b"</returnval>";

/// The name of the first whole HTTP request and where it ends.
fn first_request(bytes: &[u8]) -> Option<(String, usize)> {
    let head_end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_end]);
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let end = if header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        // A SOAP envelope holds no line of a single zero, so the last chunk's mark is unambiguous here.
        head_end + bytes[head_end..].windows(5).position(|w| w == b"0\r\n\r\n")? + 5
    } else {
        head_end + header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0)
    };
    let body = String::from_utf8_lossy(bytes.get(head_end..end)?);
    let mut words = head.split(' ');
    let request_line = || Some(format!("{} {}", words.next()?, words.next()?));
    let name = operation(&body).map(str::to_owned).or_else(request_line)?;
    Some((name, end))
}

/// The first element in a SOAP body.
fn operation(envelope: &str) -> Option<&str> {
    let mut tags = envelope.split('<').skip(1).map(|tag| {
        let name = tag.split(['>', ' ', '/', '\n', '\r', '\t']).next().unwrap_or_default();
        name.rsplit(':').next().unwrap_or_default()
    });
    tags.find(|name| *name == "Body")?;
    tags.next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{first_request, returned_references};

    #[test]
    fn requests_are_cut_apart_and_named() {
        let body = r#"<s:Envelope xmlns:s="x"><s:Body><v:Login xmlns:v="urn:vim25"/></s:Body></s:Envelope>"#;
        let bytes = format!(
            "GET /sdk/vimServiceVersions.xml HTTP/1.1\r\nHost: x\r\n\r\n\
             POST /sdk HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}POST",
            body.len()
        );
        let (name, end) = first_request(bytes.as_bytes()).unwrap();
        assert_eq!(name, "GET /sdk/vimServiceVersions.xml");
        let rest = &bytes.as_bytes()[end..];
        let (name, end) = first_request(rest).unwrap();
        assert_eq!(name, "Login");
        assert_eq!(&rest[end..], b"POST");
    }

    #[test]
    fn half_a_request_is_none() {
        assert_eq!(first_request(b"POST /sdk HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc"), None);
        assert_eq!(first_request(b"POST /sdk HTTP/1.1\r\nContent-Le"), None);
    }

    #[test]
    fn a_chunked_body_is_read_to_its_end() {
        let bytes = b"POST /sdk HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
            19\r\n<e:Body><Logout></Logout>\r\n0\r\n\r\nGET";
        let (name, end) = first_request(bytes).unwrap();
        assert_eq!(name, "Logout");
        assert_eq!(&bytes[end..], b"GET");
    }

    #[test]
    fn returned_references_are_found_wherever_an_answer_is_cut() {
        let answer = "<Response><returnval type=\"ContainerView\">session[1]a</returnval></Response>\
                      <returnval><obj type=\"Task\">no</obj></returnval>\
                      <returnval type=\"Task\" xsi:type=\"ManagedObjectReference\">task-1</returnval>";
        let all = [("ContainerView", "session[1]a"), ("Task", "task-1")];
        for cut in 0..answer.len() {
            let (mut found, end) = returned_references(&answer.as_bytes()[..cut]);
            found.extend(returned_references(&answer.as_bytes()[end..]).0);
            let found: Vec<(&str, &str)> = found.iter().map(|(type_, id)| (&**type_, &**id)).collect();
            assert_eq!(found, all, "cut at {cut}");
        }
    }
}
