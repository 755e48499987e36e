//! A scripted vCenter for tests: it keeps sessions, views and collectors as a real one does, notes each request, and
//! fails where a test says so.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use vsphere_ops::{Client, Config};

/// What the server does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// What it does without a script.
    Usual,
    /// The content of the answer's element.
    Result(String),
    /// A fault of the API.
    Fault(&'static str),
    /// Some other HTTP answer, with one header more.
    Http(u16, Option<(&'static str, &'static str)>, String),
    /// A document of this content type with some HTTP status. `{request}` in it stands for the request's body.
    Page(u16, &'static str, String),
    /// Ends all sessions, and closes the connection without an answer.
    Die,
    /// The usual answer, cut after this many bytes of its body.
    Cut(usize),
    /// The usual answer, a byte at a time.
    Drip(Duration),
    /// An answer after a while.
    Late(Duration, Box<Answer>),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The SOAP operation (`Login`), or method and path (`GET /api/x`).
    pub(crate) name: String,
    /// The session that it was sent with.
    pub(crate) session: Option<String>,
    /// The body.
    pub(crate) body: String,
}

/// The server. It listens on a loopback port until it is dropped.
pub(crate) struct Vcenter {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    tls: Mutex<Option<TlsAcceptor>>,
}

/// What the server knows.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) log: Vec<Request>,
    pub(crate) sessions: BTreeSet<String>,
    pub(crate) rest_sessions: BTreeSet<String>,
    pub(crate) views: BTreeSet<String>,
    pub(crate) collectors: BTreeSet<String>,
    pub(crate) password: String,
    /// `VirtualCenter` or `HostAgent`.
    pub(crate) api_type: String,
    scripts: HashMap<String, VecDeque<Answer>>,
    always: HashMap<String, Answer>,
    next: u32,
}

impl Vcenter {
    /// Starts one over plain HTTP.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts one over TLS, and gives the SHA-256 thumbprint of its certificate.
    pub(crate) async fn start_tls() -> (Self, String) {
        let (acceptor, thumbprint) = certificate();
        (Self::start_with(Some(acceptor)).await, thumbprint)
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let shared = Arc::new(Shared::default());
        *shared.tls.lock().unwrap() = tls;
        {
            let mut state = shared.state.lock().unwrap();
            state.password = "secret".into();
            state.api_type = "VirtualCenter".into();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self { address, shared, accepting: Mutex::new(Some(accepting)) }
    }

    /// Cuts all connections and forgets all sessions; nothing listens any more.
    pub(crate) fn stop(&self) {
        if let Some(accepting) = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            accepting.abort();
        }
        self.state().restart();
    }

    /// Listens again.
    pub(crate) async fn resume(&self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let accepting = tokio::spawn(accept(listener, Arc::clone(&self.shared))).abort_handle();
        *self.accepting.lock().unwrap() = Some(accepting);
    }

    /// Presents another certificate from now on.
    pub(crate) fn change_certificate(&self) {
        *self.shared.tls.lock().unwrap() = Some(certificate().0);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings of a client for it.
    pub(crate) fn config(&self) -> Config {
        let scheme = if self.shared.tls.lock().unwrap().is_some() { "https" } else { "http" };
        Config::new(format!("{scheme}://{}", self.address)).user("reader").password("secret")
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.config()).await.unwrap()
    }

    /// Answers the next requests of this name so, one after the other.
    pub(crate) fn script(&self, name: &str, answers: impl IntoIterator<Item = Answer>) {
        self.state().scripts.entry(name.to_owned()).or_default().extend(answers);
    }

    /// Answers every request of this name so from now on.
    pub(crate) fn always(&self, name: &str, answer: Answer) {
        self.state().always.insert(name.to_owned(), answer);
    }

    /// How many requests of this name came.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.state().count(name)
    }

    /// The last request of this name.
    pub(crate) fn last(&self, name: &str) -> Request {
        self.state().log.iter().rev().find(|request| request.name == name).cloned().unwrap()
    }

    /// Waits until the server's state is so.
    pub(crate) async fn until(&self, what: &str, so: impl Fn(&State) -> bool) {
        for _ in 0..500 {
            if so(&self.state()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not come to this: {what}");
    }
}

impl Drop for Vcenter {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    /// What a restart leaves: nothing that belongs to a session.
    pub(crate) fn restart(&mut self) {
        self.sessions.clear();
        self.rest_sessions.clear();
        self.views.clear();
        self.collectors.clear();
    }

    /// How many requests of this name came.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.log.iter().filter(|request| request.name == name).count()
    }

    fn id(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{kind}-{}", self.next)
    }

    fn scripted(&mut self, name: &str) -> Answer {
        let next = self.scripts.get_mut(name).and_then(VecDeque::pop_front);
        next.or_else(|| self.always.get(name).cloned()).unwrap_or(Answer::Usual)
    }

    /// The answer of a vCenter in good health: status, headers and body.
    fn usual(&mut self, request: &Request) -> Reply {
        if let Some((verb, path)) = request.name.split_once(' ') {
            return self.rest(verb, path, request);
        }
        let open = matches!(request.name.as_str(), "RetrieveServiceContent" | "Login");
        if !open && !request.session.as_ref().is_some_and(|session| self.sessions.contains(session)) {
            return fault("NotAuthenticated");
        }
        let target = text(&request.body, "_this").to_owned();
        let content = match request.name.as_str() {
            "RetrieveServiceContent" => service_content(&self.api_type),
            "Login" => {
                if text(&request.body, "password") != self.password {
                    return fault("InvalidLogin");
                }
                let session = self.id("session");
                self.sessions.insert(session.clone());
                let mut reply = result("Login", "<returnval><key>k</key></returnval>");
                reply.headers.push(("Set-Cookie".into(), format!("vmware_soap_session=\"{session}\"; Path=/")));
                return reply;
            }
            "Logout" => {
                self.sessions.remove(&request.session.clone().unwrap());
                String::new()
            }
            "CurrentTime" => "<returnval>2026-03-01T12:00:00Z</returnval>".into(),
            "CreateContainerView" => {
                let id = self.id("view");
                self.views.insert(id.clone());
                format!("<returnval type=\"ContainerView\">{id}</returnval>")
            }
            "DestroyView" => {
                self.views.remove(&target);
                String::new()
            }
            "CreatePropertyCollector" => {
                let id = self.id("collector");
                self.collectors.insert(id.clone());
                format!("<returnval type=\"PropertyCollector\">{id}</returnval>")
            }
            "DestroyPropertyCollector" => {
                self.collectors.remove(&target);
                String::new()
            }
            "CreateFilter" | "WaitForUpdatesEx" if !self.collectors.contains(&target) => {
                return fault("ManagedObjectNotFound");
            }
            "CreateFilter" => "<returnval type=\"PropertyFilter\">filter-1</returnval>".into(),
            "WaitForUpdatesEx" => task_update("success", 100),
            "RetrievePropertiesEx" if request.body.contains("currentSession") => {
                "<returnval><objects><obj type=\"SessionManager\">SessionManager</obj><propSet><name>currentSession\
                 </name><val xsi:type=\"UserSession\"><key>k</key><userName>reader</userName></val></propSet>\
                 </objects></returnval>"
                    .into()
            }
            "RetrievePropertiesEx" => vms(&["web-1", "web-2"], None),
            "PowerOnVM_Task" => "<returnval type=\"Task\">task-1</returnval>".into(),
            _ => String::new(),
        };
        result(&request.name, &content)
    }

    fn rest(&mut self, verb: &str, path: &str, request: &Request) -> Reply {
        let json = |status, body: &str| Reply::new(status, "application/json", body);
        let known = request.session.as_ref().is_some_and(|session| self.rest_sessions.contains(session));
        match (verb, path) {
            ("POST", "/api/session" | "/rest/com/vmware/cis/session") => {
                let session = self.id("rest");
                self.rest_sessions.insert(session.clone());
                match path {
                    "/api/session" => json(201, &format!("{session:?}")),
                    _ => json(200, &format!("{{\"value\":{session:?}}}")),
                }
            }
            (_, "/sdk/vimServiceVersions.xml") => Reply::new(404, "text/html", "none"),
            _ if !known => json(401, "{\"error_type\":\"UNAUTHENTICATED\",\"messages\":[]}"),
            ("DELETE", "/api/session" | "/rest/com/vmware/cis/session") => {
                self.rest_sessions.remove(request.session.as_deref().unwrap_or_default());
                Reply::new(204, "application/json", "")
            }
            ("GET", "/api/cis/tagging/category") => json(200, "[\"c-1\"]"),
            _ => json(404, "{\"error_type\":\"NOT_FOUND\",\"messages\":[{\"default_message\":\"No such thing.\"}]}"),
        }
    }
}

/// The content of an answer to WaitForUpdatesEx for one task.
pub(crate) fn task_update(state: &str, progress: u8) -> String {
    let change = |name: &str, kind: &str, value: &str| {
        format!("<changeSet><name>info.{name}</name><op>assign</op><val xsi:type=\"{kind}\">{value}</val></changeSet>")
    };
    format!(
        "<returnval><version>1</version><filterSet><filter type=\"PropertyFilter\">filter-1</filter><objectSet>\
         <kind>modify</kind><obj type=\"Task\">task-1</obj>{}{}</objectSet></filterSet></returnval>",
        change("state", "TaskInfoState", state),
        change("progress", "xsd:int", &progress.to_string()),
    )
}

/// The content of an answer to RetrievePropertiesEx: virtual machines with these names.
pub(crate) fn vms(names: &[&str], token: Option<&str>) -> String {
    let token = token.map(|token| format!("<token>{token}</token>")).unwrap_or_default();
    let objects: String = names
        .iter()
        .map(|name| {
            format!(
                "<objects><obj type=\"VirtualMachine\">vm-{name}</obj><propSet><name>name</name>\
                 <val xsi:type=\"xsd:string\">{name}</val></propSet></objects>"
            )
        })
        .collect();
    format!("<returnval>{token}{objects}</returnval>")
}

fn service_content(api_type: &str) -> String {
    let manager = |field: &str, kind: &str| format!("<{field} type=\"{kind}\">{kind}</{field}>");
    format!(
        "<returnval>{}{}{}<about><name>x</name><fullName>VMware x 8.0.3</fullName><apiType>{api_type}</apiType>\
         <apiVersion>8.0.3.0</apiVersion></about>{}{}</returnval>",
        "<rootFolder type=\"Folder\">group-d1</rootFolder>",
        manager("propertyCollector", "PropertyCollector"),
        manager("viewManager", "ViewManager"),
        manager("sessionManager", "SessionManager"),
        manager("searchIndex", "SearchIndex"),
    )
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    fn new(status: u16, content_type: &str, body: &str) -> Self {
        Self { status, headers: vec![("Content-Type".into(), content_type.into())], body: body.into() }
    }
}

pub(crate) fn envelope(content: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\
         <soapenv:Body>{content}</soapenv:Body></soapenv:Envelope>"
    )
}

fn result(operation: &str, content: &str) -> Reply {
    let body = envelope(&format!("<{operation}Response xmlns=\"urn:vim25\">{content}</{operation}Response>"));
    Reply::new(200, "text/xml; charset=utf-8", &body)
}

fn fault(name: &str) -> Reply {
    let body = envelope(&format!(
        "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>refused</faultstring><detail>\
         <{name}Fault xmlns=\"urn:vim25\" xsi:type=\"{name}\"/></detail></soapenv:Fault>"
    ));
    Reply::new(500, "text/xml; charset=utf-8", &body)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let (shared, tls) = (Arc::clone(&shared), shared.tls.lock().unwrap().clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, shared).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, shared).await,
                    Err(_) => None,
                },
            }
        });
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let request = read_request(&mut stream, &mut bytes).await?;
        let mut answer = {
            let mut state = shared.state.lock().unwrap();
            state.log.push(request.clone());
            state.scripted(&request.name)
        };
        while let Answer::Late(wait, then) = answer {
            tokio::time::sleep(wait).await;
            answer = *then;
        }
        let reply = match &answer {
            Answer::Result(content) => result(&request.name, content),
            Answer::Fault(name) => fault(name),
            Answer::Http(status, header, body) => {
                let mut reply = Reply::new(*status, "text/plain", body);
                reply.headers.extend(header.map(|(name, value)| (name.into(), value.into())));
                reply
            }
            Answer::Page(status, content_type, body) => {
                Reply::new(*status, content_type, &body.replace("{request}", &request.body))
            }
            Answer::Die => {
                shared.state.lock().unwrap().restart();
                return None;
            }
            _ => shared.state.lock().unwrap().usual(&request),
        };
        let mut head = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await.ok()?;
        match answer {
            Answer::Cut(length) => {
                stream.write_all(&reply.body.as_bytes()[..length]).await.ok()?;
                stream.shutdown().await.ok()?;
                return None;
            }
            Answer::Drip(wait) => {
                for byte in reply.body.bytes() {
                    stream.write_all(&[byte]).await.ok()?;
                    stream.flush().await.ok()?;
                    tokio::time::sleep(wait).await;
                }
            }
            _ => stream.write_all(reply.body.as_bytes()).await.ok()?,
        }
        stream.flush().await.ok()?;
    }
}

/// Reads one request; nothing when the client has closed the connection.
async fn read_request(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Option<Request> {
    let (head, length) = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            bytes.drain(..end + 4);
            let length = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            break (head, length);
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    };
    while bytes.len() < length {
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&bytes[..length]).into_owned();
    bytes.drain(..length);
    let mut words = head.split(' ');
    let (verb, path) = (words.next()?, words.next()?);
    let operation = body.split_once("<soapenv:Body><").and_then(|(_, rest)| rest.split([' ', '>']).next());
    let cookie =
        header(&head, "cookie").and_then(|cookie| Some(cookie.split_once('=')?.1.trim_matches('"').to_owned()));
    Some(Request {
        name: operation.map_or_else(|| format!("{verb} {path}"), str::to_owned),
        session: cookie.or_else(|| header(&head, "vmware-api-session-id").map(str::to_owned)),
        body,
    })
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The text of the first element with this name.
fn text<'b>(body: &'b str, element: &str) -> &'b str {
    let start = body.split_once(&format!("<{element}")).and_then(|(_, rest)| rest.split_once('>'));
    start.and_then(|(_, rest)| rest.split('<').next()).unwrap_or_default()
}

fn certificate() -> (TlsAcceptor, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let der = CertificateDer::from(cert.der().to_vec());
    let thumbprint = vsphere_soap::http::Thumbprint::sha256_of(&der).to_string();
    let provider = Arc::new(ring::default_provider());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), thumbprint)
}
