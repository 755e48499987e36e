//! A small server for the tests: what it answers is theirs, what it was asked is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use vsphere_ops::{Client, Config};

/// A request that has come, whole or as far as it got.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Whether all of the body came that was announced.
    pub(crate) complete: bool,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What a request is answered with.
pub(crate) enum Answer {
    /// A status and a body.
    Body(u16, &'static str, Vec<u8>),
    /// These bytes, and then the end of the connection.
    Raw(Vec<u8>),
    /// These bytes, and then nothing more.
    Stall(Vec<u8>),
}

pub(crate) fn file(bytes: &[u8]) -> Answer {
    Answer::Body(200, "application/octet-stream", bytes.to_vec())
}

type Handler = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// A server on loopback.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: String,
    /// SHA-1, as vCenter knows its hosts.
    pub(crate) thumbprint: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) async fn plain(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(answer)).await
    }

    /// A server with a certificate of its own, as a host has.
    pub(crate) async fn tls(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["esx.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let thumbprint = vsphere_soap::http::Thumbprint::sha1_of(certificate.der()).to_string();
        let server = Self::start(Some(TlsAcceptor::from(Arc::new(config))), Arc::new(answer)).await;
        Self { thumbprint, ..server }
    }

    async fn start(tls: Option<TlsAcceptor>, answer: Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = format!("{scheme}://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<Request>>>::default();
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, answer, log) = (tls.clone(), Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &answer, &log).await;
                            }
                        }
                        None => serve(stream, &answer, &log).await,
                    }
                });
            }
        });
        Self { address, thumbprint: String::new(), seen }
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// The SOAP operations so far, each with its body.
    pub(crate) fn operations(&self) -> Vec<(String, String)> {
        let posts = self.requests().into_iter().filter(|request| request.path == "/sdk");
        posts.map(|request| (operation(&request.text()), request.text())).collect()
    }

    /// How often a SOAP operation was asked for.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.operations().iter().filter(|(operation, _)| operation == name).count()
    }

    /// Waits until a SOAP operation was asked for: something in the background does it.
    pub(crate) async fn wait_for(&self, name: &str) {
        for _ in 0..500 {
            if self.count(name) > 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("no {name} came: {:?}", self.operations().into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
}

/// One request a connection.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &Handler, log: &Mutex<Vec<Request>>) {
    let Some(request) = read(&mut stream).await else { return };
    log.lock().unwrap().push(request.clone());
    if !request.complete {
        return;
    }
    let (bytes, stall) = match answer(&request) {
        Answer::Body(status, kind, body) => {
            let head = format!(
                "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{}\r\n",
                body.len(),
                if request.text().contains("<Login ") { "Set-Cookie: vmware_soap_session=5a1b\r\n" } else { "" }
            );
            ([head.into_bytes(), body].concat(), false)
        }
        Answer::Raw(bytes) => (bytes, false),
        Answer::Stall(bytes) => (bytes, true),
    };
    let _ = stream.write_all(&bytes).await;
    let _ = stream.flush().await;
    if stall {
        // Until the other side has had enough.
        let _ = stream.read(&mut [0; 1]).await;
    }
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(head_end);
    while body.len() < length {
        if stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
            break;
        }
    }
    let complete = body.len() >= length;
    Some(Request { method, path, headers, body, complete })
}

/// The first element in a SOAP body.
pub(crate) fn operation(envelope: &str) -> String {
    let body = envelope.split_once("Body>").map_or("", |(_, body)| body);
    let name = body.trim_start().trim_start_matches('<').split([' ', '>', '/']).next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default().to_owned()
}

/// An envelope with the result of an operation.
pub(crate) fn soap(operation: &str, result: &str) -> Answer {
    let text = format!(
        r#"<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><{operation}Response xmlns="urn:vim25">{result}</{operation}Response></soapenv:Body></soapenv:Envelope>"#
    );
    Answer::Body(200, "text/xml", text.into_bytes())
}

/// One object with properties, as `RetrievePropertiesEx` and updates give it.
pub(crate) fn object(kind: &str, id: &str, properties: &[(&str, &str)]) -> String {
    let set: String =
        properties.iter().map(|(name, value)| format!("<propSet><name>{name}</name>{value}</propSet>")).collect();
    format!(r#"<objects><obj type="{kind}">{id}</obj>{set}</objects>"#)
}

pub(crate) fn text(value: &str) -> String {
    format!(r#"<val xsi:type="xsd:string">{value}</val>"#)
}

pub(crate) fn reference(kind: &str, id: &str) -> String {
    format!(r#"<val type="{kind}" xsi:type="ManagedObjectReference">{id}</val>"#)
}

/// What a vCenter answers where a test does not care; `None` for what is no SOAP.
pub(crate) fn vcenter(request: &Request) -> Option<Answer> {
    if request.path != "/sdk" {
        return (request.path.ends_with("vimServiceVersions.xml")).then(|| Answer::Body(404, "text/plain", Vec::new()));
    }
    let body = request.text();
    let name = operation(&body);
    Some(match name.as_str() {
        "RetrieveServiceContent" => soap(
            &name,
            r#"<returnval><rootFolder type="Folder">group-d1</rootFolder><propertyCollector type="PropertyCollector">propertyCollector</propertyCollector><about><name>VMware vCenter Server</name><fullName>VMware vCenter Server 8.0.3</fullName><vendor>VMware, Inc.</vendor><version>8.0.3</version><build>1</build><osType>linux-x64</osType><productLineId>vpx</productLineId><apiType>VirtualCenter</apiType><apiVersion>8.0.3.0</apiVersion></about><sessionManager type="SessionManager">SessionManager</sessionManager><searchIndex type="SearchIndex">SearchIndex</searchIndex></returnval>"#,
        ),
        "Login" => soap(&name, "<returnval><key>k</key></returnval>"),
        "FindByInventoryPath" => {
            let found = match () {
                () if body.contains("/datastore/") => r#"type="Datastore">datastore-1"#,
                () if body.contains("/host/") => r#"type="HostSystem">host-1"#,
                () => r#"type="VirtualMachine">vm-1"#,
            };
            soap(&name, &format!("<returnval {found}</returnval>"))
        }
        "RetrievePropertiesEx" => {
            let objects = [
                object(
                    "Datastore",
                    "datastore-1",
                    &[("name", &text("ds 1")), ("parent", &reference("Folder", "group-s1"))],
                ),
                object(
                    "Folder",
                    "group-s1",
                    &[("name", &text("datastore")), ("parent", &reference("Datacenter", "dc-1"))],
                ),
                object("Datacenter", "dc-1", &[("name", &text("DC0")), ("parent", &reference("Folder", "group-d2"))]),
                object("Folder", "group-d2", &[("name", &text("Lab")), ("parent", &reference("Folder", "group-d1"))]),
                object("Folder", "group-d1", &[("name", &text("Datacenters"))]),
            ];
            soap(&name, &format!("<returnval>{}</returnval>", objects.concat()))
        }
        "CreatePropertyCollector" => soap(&name, r#"<returnval type="PropertyCollector">pc-1</returnval>"#),
        "CreateFilter" => soap(&name, r#"<returnval type="PropertyFilter">f-1</returnval>"#),
        _ => soap(&name, ""),
    })
}

pub(crate) async fn connect(server: &Server) -> Client {
    Client::connect(Config::new(&server.address).user("u").password("p")).await.unwrap()
}
