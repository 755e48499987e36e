//! The transport: posts envelopes and gets files, with every limit kept.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use tokio::time::timeout_at;

use super::answer::{Promise, looks_like_envelope};
use super::coding::ACCEPTED;
use super::endpoint::Endpoint;
use super::failure;
use super::options::TransportOptions;
use super::reply::{Ends, Reply, Task};
use super::session::{SessionCookie, SessionSlot, SetSession};
use super::tls::{self, Policy};
use super::trust::{Thumbprint, Trust};
use crate::error::{Error, ErrorKind, Result};
use crate::secrets::Secrets;

/// The way to one server: a pool of connections and the session cookie. Clones are cheap and share both.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

struct Inner {
    client: reqwest::Client,
    endpoint: Endpoint,
    options: TransportOptions,
    session: SessionSlot,
    /// Where connections lead, for error messages.
    peer: failure::Peer,
    /// What no error may show, beside the session.
    secrets: RwLock<Secrets>,
    /// How many envelopes were posted.
    posted: AtomicU64,
}

/// What a request has to do with the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookies {
    /// It is sent with the session, and its answer may renew it.
    Session,
    /// Its answer opens the session.
    OpenSession,
    /// It has a leave of its own and nothing to do with the session.
    None,
}

/// One SOAP request.
#[derive(Clone)]
#[non_exhaustive]
pub struct Call<'a> {
    /// What is being done, for errors and logs: a short verb phrase such as `power on`.
    pub operation: &'a str,
    /// The object that it is done to, as the user knows it.
    pub target: Option<&'a str>,
    /// The value of the `SOAPAction` header, such as `urn:vim25/8.0.3.0`: it chooses the version of the API.
    pub action: &'a str,
    /// The envelope.
    pub body: Bytes,
    /// How long the call may take in all; the transport's request timeout if none is given.
    pub deadline: Option<Duration>,
    /// Whether the cookie of the answer is the session from now on, whatever else arrived meanwhile: a login.
    pub opens_session: bool,
    /// What is secret in the body: no error shows it, even if the answer quotes it.
    pub secrets: Secrets,
}

/// An answer that holds what was asked for: of a SOAP request, an envelope with a result or a fault.
#[derive(Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The HTTP status: 200, or 500 where the envelope holds a fault.
    pub status: u16,
    /// The content type, if the server said it.
    pub content_type: Option<String>,
    /// The `Cache-Control` header, if the server sent it.
    pub cache_control: Option<String>,
    /// The whole body.
    pub body: Bytes,
}

impl Transport {
    /// A transport to `endpoint`; connects with the first request.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the CA file, the proxy or the user agent can't be used, and when a certificate
    /// is to be checked of a plain http server.
    pub fn new(endpoint: Endpoint, options: TransportOptions) -> Result<Self> {
        options.check(&endpoint)?;
        let policy = Policy::of(&options.trust)?;
        Self::with_policy(endpoint, options, policy)
    }

    fn with_policy(endpoint: Endpoint, options: TransportOptions, policy: Policy) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(policy)?)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // Whose certificate was trusted, for those who have another computer fetch a file there.
            .tls_info(true)
            .connect_timeout(options.connect_timeout)
            // Shorter than the servers' own, so that a request seldom meets a connection that is just being closed.
            .pool_idle_timeout(Duration::from_secs(50));
        let mut secrets = Secrets::new();
        let mut peer = failure::Peer { name: endpoint.authority(), proxied: false };
        if let Some(proxy) = options.proxies.for_server(&endpoint)? {
            builder = builder.proxy(proxy.set_up(&options.trust)?);
            peer.name.push_str(&format!(" through the proxy {proxy}"));
            peer.proxied = true;
            proxy.password().into_iter().for_each(|password| secrets.add(password));
        }
        if let Some(reach) = &options.reach {
            reach.check(endpoint.host())?;
            builder = builder.dns_resolver(Arc::new(reach.clone()));
        }
        let user_agent = HeaderValue::from_str(&options.user_agent)
            .map_err(|_| config("the user agent has a character that a header can't have"))?;
        let client = builder
            .user_agent(user_agent)
            .build()
            .map_err(|cause| config(format!("the HTTP client cannot be set up: {}", failure::root_cause(&cause))))?;
        let session = SessionSlot::default();
        let secrets = RwLock::new(secrets);
        Ok(Self {
            inner: Arc::new(Inner { client, endpoint, options, session, peer, secrets, posted: AtomicU64::new(0) }),
        })
    }

    /// The server.
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    /// The options that it was made with.
    pub fn options(&self) -> &TransportOptions {
        &self.inner.options
    }

    /// The session's cookie, once the server gave one.
    pub fn session_cookie(&self) -> Option<SessionCookie> {
        self.inner.session.get()
    }

    /// Goes on with a session that was opened elsewhere.
    pub fn set_session_cookie(&self, cookie: SessionCookie) {
        self.inner.session.put(Some(cookie));
    }

    /// Forgets the session; the server keeps it until it is logged out or idle for too long.
    pub fn clear_session_cookie(&self) {
        self.inner.session.put(None);
    }

    /// Remembers a secret that is sent to the server, such as a password: it is struck out of all that an error quotes
    /// of an answer.
    pub fn keep_secret(&self, secret: &str) {
        self.inner.secrets.write().unwrap_or_else(PoisonError::into_inner).add(secret);
    }

    /// Forgets a secret that was kept and is no longer sent.
    pub fn forget_secret(&self, secret: &str) {
        self.inner.secrets.write().unwrap_or_else(PoisonError::into_inner).forget(secret);
    }

    /// What no error may show: the secrets that were kept, and the session.
    pub fn secrets(&self) -> Secrets {
        let mut secrets = self.inner.secrets.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(cookie) = self.session_cookie() {
            secrets.add(cookie.as_str().trim_matches('"'));
        }
        secrets
    }

    /// How many envelopes were posted, answered or not.
    pub fn posted(&self) -> u64 {
        self.inner.posted.load(Ordering::Relaxed)
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.inner.client
    }

    /// Posts an envelope to `/sdk` and reads the envelope that answers it, a fault included.
    ///
    /// # Errors
    /// Every kind but [`Fault`](ErrorKind::Fault) and [`Decode`](ErrorKind::Decode), which are for those who read
    /// the envelope. A redirect is not followed: it is an [`Http`](ErrorKind::Http) error that says where it leads.
    pub async fn post(&self, call: Call<'_>) -> Result<Answer> {
        self.inner.posted.fetch_add(1, Ordering::Relaxed);
        let task = Task::new(self, call.operation, call.target).hiding(&call.secrets);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
        let action = HeaderValue::from_str(call.action)
            .map_err(|_| task.failed(ErrorKind::Config(format!("the SOAP action {:?} is not valid", call.action))))?;
        headers.insert(HeaderName::from_static("soapaction"), action);
        // Files are sent as they are: their length and ranges are those of the file.
        if self.options().compression {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
        }
        let request = self.inner.client.post(self.endpoint().sdk()).headers(headers).body(call.body);

        let options = self.options();
        let total = call.deadline.unwrap_or(options.request_timeout);
        task.logged(async {
            let cookies = if call.opens_session { Cookies::OpenSession } else { Cookies::Session };
            let mut reply = self.send(&task, request, total, cookies).await?;
            reply.asked_compressed = options.compression;
            match (reply.status(), Promise::of(reply.content_type().as_deref())) {
                (200 | 500, Promise::Xml) => reply.all(options.max_body).await.and_then(|body| reply.envelope(body)),
                (200 | 500, Promise::Nothing) => match reply.all(options.max_body).await {
                    Ok(body) if looks_like_envelope(&body) => reply.envelope(body),
                    Ok(body) => Err(reply.not_soap(&body)),
                    Err(error) => Err(error),
                },
                _ => {
                    let start = reply.start().await;
                    Err(reply.not_soap(&start))
                }
            }
        })
        .await
    }

    /// Gets a small file from the server, such as `/sdk/vimServiceVersions.xml`.
    ///
    /// # Errors
    /// As [`post`](Self::post); [`ErrorKind::Http`] for every status but 200 to 299. The content type is not checked.
    pub async fn get(&self, operation: &str, path: &str, accept: &str) -> Result<Answer> {
        self.get_up_to(operation, path, accept, self.options().max_body).await
    }

    /// As [`get`](Self::get), with a limit in bytes of its own.
    pub(super) async fn get_up_to(&self, operation: &str, path: &str, accept: &str, limit: u64) -> Result<Answer> {
        let task = Task::new(self, operation, None);
        let accept = HeaderValue::from_str(accept)
            .map_err(|_| task.failed(ErrorKind::Config(format!("the content type {accept:?} is not valid"))))?;
        let request = self.inner.client.get(self.endpoint().url(path)).header(ACCEPT, accept);
        task.logged(async {
            let mut reply = self.send(&task, request, self.options().request_timeout, Cookies::Session).await?;
            if (200..300).contains(&reply.status()) {
                let body = reply.all(limit).await?;
                return Ok(reply.answer(body));
            }
            let start = reply.start().await;
            Err(reply.http_error(&start))
        })
        .await
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send<'t>(
        &'t self,
        task: &'t Task<'t>,
        mut request: reqwest::RequestBuilder,
        total: Duration,
        cookies: Cookies,
    ) -> Result<Reply<'t>> {
        let inner = &*self.inner;
        let sent_with = if cookies == Cookies::None { None } else { inner.session.get() };
        if let Some(cookie) = &sent_with {
            let pair = format!("{}={}", SessionCookie::NAME, cookie.as_str());
            let mut value = HeaderValue::from_str(&pair)
                .map_err(|_| task.failed(ErrorKind::Config("the session cookie is not valid".into())))?;
            value.set_sensitive(true);
            request = request.header(COOKIE, value);
        }
        let ends = Ends::after(total);
        let response = match timeout_at(ends.at, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                return Err(task.failed(failure::before_answer(&error, &inner.peer, inner.options.connect_timeout)));
            }
            Err(_) => return Err(task.failed(ends.passed())),
        };
        let set_cookies = response.headers().get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        if cookies != Cookies::None
            && let Some(said) = SetSession::from_headers(set_cookies)
        {
            match said {
                SetSession::Keep(cookie) if cookies == Cookies::OpenSession => inner.session.put(Some(cookie)),
                said => inner.session.adopt(said, sent_with.as_ref()),
            }
        }
        Ok(Reply { response, task, endpoint: &inner.endpoint, options: &inner.options, ends, asked_compressed: false })
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("endpoint", &self.inner.endpoint)
            .field("options", &self.inner.options)
            .field("session", &self.session_cookie())
            .finish()
    }
}

impl<'a> Call<'a> {
    /// A request with no target and the transport's own deadline.
    pub fn new(operation: &'a str, action: &'a str, body: impl Into<Bytes>) -> Self {
        Self {
            operation,
            target: None,
            action,
            body: body.into(),
            deadline: None,
            opens_session: false,
            secrets: Secrets::new(),
        }
    }

    /// Names the object that the operation is meant for.
    #[must_use]
    pub fn target(mut self, target: &'a str) -> Self {
        self.target = Some(target);
        self
    }

    /// Limits how long the call may take in all.
    #[must_use]
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// Names what is secret in the body.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = secrets;
        self
    }

    /// Marks a login: the cookie of its answer is the session from now on.
    #[must_use]
    pub fn opens_session(mut self) -> Self {
        self.opens_session = true;
        self
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body of a login holds the password.
        f.debug_struct("Call")
            .field("operation", &self.operation)
            .field("target", &self.target)
            .field("action", &self.action)
            .field("bytes", &self.body.len())
            .field("deadline", &self.deadline)
            .field("opens_session", &self.opens_session)
            .finish()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A body may hold what is nobody else's business, such as a session's key.
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("bytes", &self.body.len())
            .finish()
    }
}

/// Asks a server for the thumbprint of its certificate, trusting none, and sends it nothing.
///
/// The thumbprint is SHA-256. It is what the network shows: before it is pinned, it must be compared with what the
/// server's own console says.
///
/// # Errors
/// Those of [`peer_certificate`].
pub async fn peer_thumbprint(endpoint: &Endpoint, options: &TransportOptions) -> Result<Thumbprint> {
    Ok(Thumbprint::sha256_of(&peer_certificate(endpoint, options).await?))
}

/// Asks a server for its certificate, in DER, trusting none, and sends it nothing.
///
/// # Errors
/// [`ErrorKind::Config`] for a plain http endpoint; [`Connect`](ErrorKind::Connect),
/// [`Timeout`](ErrorKind::Timeout) or [`Tls`](ErrorKind::Tls) when it does not get as far as a certificate.
pub async fn peer_certificate(endpoint: &Endpoint, options: &TransportOptions) -> Result<Vec<u8>> {
    let operation = "read the certificate";
    if !endpoint.is_https() {
        let message = format!("{endpoint} is plain http and has no certificate");
        return Err(Error::new(operation, ErrorKind::Config(message)));
    }
    let shown = Arc::new(Mutex::new(None));
    // No trust but the system's lets a proxy show a certificate of its own, which must not be taken for the server's.
    let options = options.clone().trust(Trust::Insecure);
    let transport = Transport::with_policy(endpoint.clone(), options, Policy::Show(Arc::clone(&shown)))?;
    let answer = transport.get(operation, "/", "*/*").await;
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (shown, answer) {
        (Some(certificate), _) => Ok(certificate),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(Error::new(operation, ErrorKind::Config(format!("{endpoint} presented no certificate")))),
    }
}

fn config(message: impl Into<String>) -> Error {
    Error::new("connect", ErrorKind::Config(message.into()))
}
