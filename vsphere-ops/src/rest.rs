//! The vSphere Automation API (REST), with a session of its own.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use vsphere_soap::http::{Answer, Exchange, Transport, Verb};
use vsphere_soap::session::NoSession;
use vsphere_soap::{Error as WireError, ErrorKind as WireKind};
use zeroize::Zeroizing;

use crate::capability;
use crate::config::Credentials;
use crate::connection::{Connection, NOT_TAKEN_FOR, PROBE, finish};
use crate::error::{Category, Error, ErrorKind, Result};
use crate::retry::Retry;
use crate::tags;

/// Where sessions are opened and closed, the newer one first.
const SESSIONS: [&str; 2] = ["/api/session", "/rest/com/vmware/cis/session"];

/// The header that carries the session.
const SESSION_ID: &str = "vmware-api-session-id";

/// How long the end of a session may take.
const END: Duration = Duration::from_secs(10);

/// How long the session of a client that keeps no password may take to be opened.
const OPEN_ONCE: Duration = Duration::from_secs(30);

/// How long refused credentials are not tried again, since directories lock accounts.
const REFUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// The vSphere Automation API of a vCenter. Its session is opened at the first request, renewed when the server has lost it, and
/// ended together with the session of the client.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let categories: Vec<String> = client.rest()?.get("/api/cis/tagging/category").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Rest {
    connection: Arc<Connection>,
    limit: Option<Duration>,
}

/// An error that the Automation API answered with.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::ErrorKind;
///
/// if let Err(error) = client.rest()?.get::<serde_json::Value>("/api/cis/tagging/tag/urn:none").await
///     && let ErrorKind::Rest(fault) = error.kind()
/// {
///     println!("{} {}: {}", fault.status, fault.name, fault.message); // 404 NOT_FOUND: …
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestFault {
    /// The HTTP status.
    pub status: u16,
    /// The kind of error (`NOT_FOUND`), or empty. Older servers name it `com.vmware.vapi.std.errors.not_found`, which is the
    /// same here.
    pub name: String,
    /// The message of the server, in its language; may be empty.
    pub message: String,
}

impl Rest {
    pub(crate) fn new(connection: Arc<Connection>, limit: Option<Duration>) -> Self {
        Self { connection, limit }
    }

    /// Reads the resource at a path (`/api/…`, or `/rest/…` on servers before 7.0).
    ///
    /// # Errors
    /// `not_found`, `permission`, `auth` and `invalid_argument` as the server says, and connection errors.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Verb::Get, path, None).await
    }

    /// Posts a body. The request is repeated only if it surely was not carried out.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let rest = client.rest()?;
    /// let category = serde_json::json!({
    ///     "name": "stage", "description": "", "cardinality": "SINGLE", "associable_types": ["VirtualMachine"],
    /// });
    /// let id: String = rest.post("/api/cis/tagging/category", &category).await?;
    /// let path = format!("/api/cis/tagging/category/{id}");
    /// let () = rest.patch(&path, &serde_json::json!({ "description": "from dev to prod" })).await?;
    /// rest.delete(&path).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &(impl Serialize + ?Sized)) -> Result<T> {
        self.send(Verb::Post, path, Some(json(path, body)?)).await
    }

    /// Replaces the resource at a path.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let ssh = serde_json::json!({ "enabled": true });
    /// let () = client.rest()?.put("/api/appliance/access/ssh", &ssh).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &(impl Serialize + ?Sized)) -> Result<T> {
        self.send(Verb::Put, path, Some(json(path, body)?)).await
    }

    /// Changes parts of the resource at a path.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &(impl Serialize + ?Sized)) -> Result<T> {
        self.send(Verb::Patch, path, Some(json(path, body)?)).await
    }

    /// Deletes the resource at a path.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.send(Verb::Delete, path, None).await
    }

    async fn send<T: DeserializeOwned>(&self, verb: Verb, path: &str, body: Option<Vec<u8>>) -> Result<T> {
        let operation = verb_phrase(verb);
        let ends = self.ends();
        let session = self.session(operation, ends).await?;
        let _changes = (verb != Verb::Get).then(|| Noted { connection: &self.connection, path });
        let mut answer = self.attempt(verb, path, body.as_deref(), &session, ends).await?;
        // The server turned it away unread, so that it is safe to send again, once.
        if answer.status == 401 && !self.connection.rest.would_not_help(path, &session) {
            let session = self.renew(Some(session), ends).await?;
            answer = self.attempt(verb, path, body.as_deref(), &session, ends).await?;
            if answer.status == 401 {
                self.connection.rest.not_taken(path);
            }
        }
        if !(200..300).contains(&answer.status) {
            let fault = RestFault::read(answer.status, &answer.body);
            return Err(Error::new(operation, ErrorKind::Rest(fault)).on(path));
        }
        read(path, &answer.body).map_err(|error| {
            let message = format!("the answer is not what was expected: {error}");
            let message = self.connection.session.transport().secrets().strike(&message).into_owned().into();
            WireError::new(operation, WireKind::Decode { message, offset: 0 }).on(path).into()
        })
    }

    fn ends(&self) -> Option<Instant> {
        self.limit.and_then(|limit| Instant::now().checked_add(limit))
    }

    /// The session, opened where there is none.
    async fn session(&self, operation: &str, ends: Option<Instant>) -> Result<Arc<Open>> {
        self.connection.check_logged_in(operation)?;
        match self.connection.rest.current() {
            Some(session) => Ok(session),
            None => self.renew(None, ends).await,
        }
    }

    /// Whether the server has the paths from before 7.0 U2 alone.
    pub(crate) async fn is_older(&self) -> Result<bool> {
        Ok(self.session(LOG_IN, self.ends()).await?.path != SESSIONS[0])
    }

    async fn attempt(
        &self,
        verb: Verb,
        path: &str,
        body: Option<&[u8]>,
        session: &Open,
        ends: Option<Instant>,
    ) -> Result<Answer> {
        let mut retry = Retry::new(self.connection.config.most_attempts(), ends);
        loop {
            let mut exchange = Exchange::new(verb_phrase(verb), verb, path).secret(SESSION_ID, &session.id).traced();
            if let Some(body) = body {
                exchange = exchange.json(body.to_vec());
            }
            if let Some(ends) = ends {
                exchange = exchange.deadline(ends.saturating_duration_since(Instant::now()));
            }
            let error = match self.connection.session.transport().exchange(exchange).await {
                Ok(answer) => {
                    session.worked.fetch_or(answer.status != 401, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let Some(pause) = retry.pause(&error, verb == Verb::Get) else {
                return Err(Error::from(error).of_a_change(verb != Verb::Get));
            };
            tracing::debug!(path, %error, ?pause, "sending again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens a session in the place of `seen`, unless another task has done so. It is opened to its end, whatever
    /// becomes of the caller, so that none is left over.
    async fn renew(&self, seen: Option<Arc<Open>>, ends: Option<Instant>) -> Result<Arc<Open>> {
        let connection = Arc::clone(&self.connection);
        let renewal = finish(async move { connection.rest.renew(&connection, seen.as_ref()).await });
        let Some(ends) = ends else { return Ok(renewal.await?) };
        match tokio::time::timeout_at(ends, renewal).await {
            Ok(renewed) => Ok(renewed?),
            Err(_) => {
                let (after, waiting_for) = (self.limit.unwrap_or_default(), vsphere_soap::error::WaitingFor::Answer);
                let error = WireError::new("log in to the Automation API", WireKind::Timeout { after, waiting_for });
                Err(error.with_sent(vsphere_soap::Sent::No).into())
            }
        }
    }
}

/// Tells what this client remembers of the server that a request may have changed it, however the request ends.
struct Noted<'a> {
    connection: &'a Connection,
    path: &'a str,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        tags::note_request(self.connection, self.path);
    }
}

/// The REST session of a connection, where there is one.
#[derive(Default)]
pub(crate) struct RestSession {
    open: RwLock<Option<Arc<Open>>>,
    /// Held while somebody opens one; with when and how the last attempt failed.
    renewals: Mutex<Option<(Instant, Arc<WireError>)>>,
    /// What was refused last in a session that was opened for it, and when.
    not_taken: RwLock<Option<(String, Instant)>>,
}

/// A session that is open.
struct Open {
    id: String,
    /// Where it was opened.
    path: &'static str,
    /// Whether the server has taken it for something.
    worked: AtomicBool,
}

impl RestSession {
    /// Whether another session would not help: the server did not take the last one, a moment ago, for this path or for
    /// any.
    fn would_not_help(&self, path: &str, session: &Open) -> bool {
        let not_taken = self.not_taken.read().unwrap_or_else(PoisonError::into_inner);
        not_taken.as_ref().is_some_and(|(refused, at)| {
            at.elapsed() < NOT_TAKEN_FOR && (refused == path || !session.worked.load(Ordering::Relaxed))
        })
    }

    fn not_taken(&self, path: &str) {
        *self.not_taken.write().unwrap_or_else(PoisonError::into_inner) = Some((path.to_owned(), Instant::now()));
    }

    fn current(&self) -> Option<Arc<Open>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn renew(&self, connection: &Connection, seen: Option<&Arc<Open>>) -> vsphere_soap::Result<Arc<Open>> {
        let mut failed = self.renewals.lock().await;
        connection.check_logged_in(LOG_IN)?;
        if let Some(open) = self.current()
            && seen.is_none_or(|seen| !Arc::ptr_eq(seen, &open))
        {
            return Ok(open);
        }
        let unopened =
            |cause: &Arc<WireError>| WireError::new(LOG_IN, WireKind::NoSession(NoSession::Renewal(Arc::clone(cause))));
        if let Some((at, cause)) = &*failed
            && cause.status() == Some(401)
            && at.elapsed() < REFUSED_FOR
        {
            return Err(unopened(cause));
        }
        if connection.config.logs_in_once() {
            return self.kept(connection, failed.as_ref().map(|(_, cause)| unopened(cause))).await;
        }
        // A session that lives, though it was refused, would be left over.
        let refused = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(refused) = refused {
            drop(end(connection.session.transport(), &refused).await);
        }
        match log_in(connection, connection.config.credentials()).await {
            Ok(open) => {
                let open = Arc::new(open);
                *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&open));
                *failed = None;
                Ok(open)
            }
            Err(error) => {
                let cause = Arc::new(error);
                *failed = Some((Instant::now(), Arc::clone(&cause)));
                Err(unopened(&cause))
            }
        }
    }

    /// Opens the session of a client that keeps no password. Where that fails, later requests say why.
    pub(crate) async fn open_once(&self, connection: &Connection, credentials: &Credentials) {
        if !capability::of(connection).vcenter {
            return;
        }
        let mut failed = self.renewals.lock().await;
        let opened = tokio::time::timeout(OPEN_ONCE, log_in(connection, credentials)).await.unwrap_or_else(|_| {
            let waiting_for = vsphere_soap::error::WaitingFor::Answer;
            Err(WireError::new(LOG_IN, WireKind::Timeout { after: OPEN_ONCE, waiting_for }))
        });
        match opened {
            Ok(open) => *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(open)),
            Err(error) => {
                tracing::warn!(%error, "there is no session of the Automation API");
                *failed = Some((Instant::now(), Arc::new(error)));
            }
        }
    }

    /// The session of a client that keeps no password, where the server says that it lives; else why there is none.
    async fn kept(&self, connection: &Connection, unopened: Option<WireError>) -> vsphere_soap::Result<Arc<Open>> {
        let lost = || unopened.unwrap_or_else(|| WireError::new(LOG_IN, WireKind::NoSession(NoSession::NotKept)));
        let Some(open) = self.current() else { return Err(lost()) };
        match probe(connection.session.transport(), &open).await {
            Ok(answer) if answer.status == 401 => {
                *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
                Err(lost())
            }
            Ok(_) => Ok(open),
            Err(error) => Err(error),
        }
    }

    /// Asks the server something in the session, so that it does not end for being idle.
    pub(crate) async fn keep_alive(&self, transport: &Transport) {
        if let Some(open) = self.current()
            && let Err(error) = probe(transport, &open).await
        {
            tracing::debug!(%error, "the session of the Automation API could not be kept alive");
        }
    }

    /// Ends the session, where there is one.
    pub(crate) async fn end(&self, transport: &Transport) -> vsphere_soap::Result<()> {
        // Whoever opens one right now finishes first.
        let _nobody_renews = self.renewals.lock().await;
        let Some(open) = self.open.write().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        end(transport, &open).await
    }
}

/// Ends a session. A refusal means that it had ended already.
async fn end(transport: &Transport, open: &Open) -> vsphere_soap::Result<()> {
    let exchange = Exchange::new("log out of the Automation API", Verb::Delete, open.path);
    transport.exchange(exchange.secret(SESSION_ID, &open.id).deadline(END)).await.map(drop)
}

/// Asks whose a session is.
async fn probe(transport: &Transport, open: &Open) -> vsphere_soap::Result<Answer> {
    let (verb, path) = match open.path == SESSIONS[0] {
        true => (Verb::Get, open.path.to_owned()),
        false => (Verb::Post, format!("{}?~action=get", open.path)),
    };
    let exchange = Exchange::new("look at the session of the Automation API", verb, &path);
    transport.exchange(exchange.secret(SESSION_ID, &open.id).deadline(PROBE)).await
}

const LOG_IN: &str = "log in to the Automation API";

async fn log_in(connection: &Connection, Credentials { user, password }: &Credentials) -> vsphere_soap::Result<Open> {
    let pair = Zeroizing::new(format!("{user}:{}", &**password));
    let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
    let transport = connection.session.transport();
    let mut retry = Retry::new(connection.config.most_attempts(), None);
    let mut paths = SESSIONS.into_iter().peekable();
    while let Some(path) = paths.peek().copied() {
        let exchange = Exchange::new(LOG_IN, Verb::Post, path).secret("authorization", &basic);
        let error = match transport.exchange(exchange).await {
            Ok(answer) if (200..300).contains(&answer.status) => return session_id(path, &answer),
            Ok(answer) => {
                let snippet = RestFault::read(answer.status, &answer.body).to_string();
                WireError::new(LOG_IN, WireKind::Http { status: answer.status, snippet, retry_after: None }).on(path)
            }
            Err(error) => error,
        };
        // Servers before 7.0 U2 have only the older one.
        if matches!(error.status(), Some(404 | 405)) && path == SESSIONS[0] {
            paths.next();
            continue;
        }
        let Some(pause) = retry.pause(&error, false) else { return Err(error) };
        tokio::time::sleep(pause).await;
    }
    Err(WireError::new(LOG_IN, WireKind::Config("the server has no Automation API".into())))
}

/// The session's id: a JSON string, in an object's `value` on older servers.
fn session_id(path: &'static str, answer: &Answer) -> vsphere_soap::Result<Open> {
    match read::<String>(path, &answer.body) {
        Ok(id) => Ok(Open { id, path, worked: AtomicBool::new(false) }),
        Err(_) => {
            let message = "the answer to the login holds no session".into();
            Err(WireError::new(LOG_IN, WireKind::Decode { message, offset: 0 }).on(path))
        }
    }
}

/// Reads a body of JSON; below `/rest/` it is wrapped in an object's `value`. No body is `null`.
fn read<T: DeserializeOwned>(path: &str, body: &[u8]) -> serde_json::Result<T> {
    if body.trim_ascii().is_empty() {
        return serde_json::from_value(Value::Null);
    }
    if path.starts_with("/rest/") {
        let mut whole: Value = serde_json::from_slice(body)?;
        return serde_json::from_value(whole.get_mut("value").map(Value::take).unwrap_or_default());
    }
    serde_json::from_slice(body)
}

fn json(path: &str, body: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|error| {
        Error::new("write JSON", ErrorKind::InvalidArgument(format!("the body can't be written: {error}"))).on(path)
    })
}

fn verb_phrase(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::Post => "post to",
        Verb::Put => "put",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
    }
}

impl RestFault {
    /// Reads the JSON of an error, in the newer form (`error_type`, `messages`) or the older one (`type`, `value`).
    fn read(status: u16, body: &[u8]) -> Self {
        let whole: Value = serde_json::from_slice(body).unwrap_or_default();
        let inner = whole.get("value").unwrap_or(&whole);
        let name = ["error_type", "type"].iter().find_map(|key| whole.get(key)?.as_str()).unwrap_or_default();
        let messages = inner["messages"].as_array().into_iter().flatten();
        let lines = messages.filter_map(|message| message["default_message"].as_str()).flat_map(str::lines);
        let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
        let name = name.strip_prefix("com.vmware.vapi.std.errors.").map_or_else(|| name.to_owned(), str::to_uppercase);
        Self { status, name, message: lines.join(" ") }
    }

    pub(crate) fn category(&self) -> Category {
        // A status of 400 says little: most errors of the API have it.
        match self.name.as_str() {
            "NOT_FOUND" => return Category::NotFound,
            "UNAUTHORIZED" => return Category::Permission,
            "UNAUTHENTICATED" => return Category::Auth,
            "UNSUPPORTED" | "OPERATION_NOT_FOUND" => return Category::Unsupported,
            "ALREADY_EXISTS"
            | "ALREADY_IN_DESIRED_STATE"
            | "NOT_ALLOWED_IN_CURRENT_STATE"
            | "RESOURCE_BUSY"
            | "RESOURCE_IN_USE" => return Category::InvalidState,
            "SERVICE_UNAVAILABLE" | "UNABLE_TO_ALLOCATE_RESOURCE" | "RESOURCE_INACCESSIBLE" => return Category::Fault,
            "TIMED_OUT" => return Category::Timeout,
            _ => {}
        }
        match self.status {
            400 => Category::InvalidArgument,
            401 => Category::Auth,
            403 => Category::Permission,
            404 => Category::NotFound,
            _ => Category::Fault,
        }
    }
}

impl fmt::Display for RestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.trim().trim_end_matches('.');
        match (message, self.name.as_str()) {
            ("", "") => write!(f, "the server answered HTTP {}", self.status),
            ("", name) => write!(f, "the server answered {name} (HTTP {})", self.status),
            (message, "") => write!(f, "{message} (HTTP {})", self.status),
            (message, name) => write!(f, "{message} ({name}, HTTP {})", self.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_both_generations() {
        let newer = br#"{"error_type":"NOT_FOUND","messages":[{"default_message":"No such tag.","id":"x"}]}"#;
        let fault = RestFault::read(404, newer);
        assert_eq!(fault.to_string(), "No such tag (NOT_FOUND, HTTP 404)");
        assert_eq!(fault.category(), Category::NotFound);
        let older = br#"{"type":"com.vmware.vapi.std.errors.unauthenticated","value":{"messages":[]}}"#;
        let fault = RestFault::read(401, older);
        assert_eq!(fault.to_string(), "the server answered UNAUTHENTICATED (HTTP 401)");
        let exists = br#"{"error_type":"ALREADY_EXISTS","messages":[]}"#;
        assert_eq!(RestFault::read(400, exists).category(), Category::InvalidState);
        assert_eq!(RestFault::read(500, b"<html>").to_string(), "the server answered HTTP 500");
    }

    #[test]
    fn bodies_of_both_generations() {
        assert_eq!(read::<Vec<String>>("/api/x", br#"["a"]"#).unwrap(), ["a"]);
        assert_eq!(read::<Vec<String>>("/rest/x", br#"{"value":["a"]}"#).unwrap(), ["a"]);
        read::<()>("/api/x", b"").unwrap();
        assert!(read::<String>("/rest/x", br#"{"other":1}"#).is_err());
    }
}
