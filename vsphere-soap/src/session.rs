//! A session with one server: the negotiated API version, login and logout, and operations carried over HTTP.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::codec::Notes;
use crate::envelope::{self, Answer, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::fault::SoapFault;
use crate::http::{Call, Transport};
use crate::object::{Any, FieldInfo, ManagedObjectReference, Registry, Type, Value};
use crate::operation_id::OperationId;
use crate::request::{Caller, Effect, Items, Method, Operation};
use crate::secrets::Secrets;

/// The version that servers of every age accept from a client that could not negotiate.
const FALLBACK_VERSION: &str = "6.5";

static LOGIN: Method = Method {
    name: "Login",
    owner: "SessionManager",
    params: &[
        FieldInfo::req("userName", Type::String),
        FieldInfo::req("password", Type::String).secret(),
        FieldInfo::opt("locale", Type::String),
    ],
    result: Some(FieldInfo::req("returnval", Type::Any)),
    privilege: None,
    effect: Effect::Session,
};

static LOGOUT: Method = Method {
    name: "Logout",
    owner: "SessionManager",
    params: &[],
    result: None,
    privilege: None,
    effect: Effect::Session,
};

/// A session with one server. Cheap to clone; clones share the session.
///
/// It sends operations as they are. Renewing a lost session and repeating a request are left to its caller, which knows the
/// credentials and which requests are safe to repeat.
#[derive(Debug, Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    transport: Transport,
    registry: &'static Registry,
    action: String,
}

impl Session {
    /// Reaches the server and agrees on the API version: the newest of `known` that the server speaks.
    ///
    /// # Errors
    /// Connection errors; see [`Transport::service_versions`].
    pub async fn open(transport: Transport, registry: &'static Registry, known: &[&str]) -> Result<Self> {
        let version = transport.negotiate_version(known, FALLBACK_VERSION).await?;
        let action = format!("urn:vim25/{version}");
        Ok(Self { inner: Arc::new(Inner { transport, registry, action }) })
    }

    /// The API version that was agreed on.
    pub fn version(&self) -> &str {
        self.inner.action.rsplit('/').next().unwrap_or_default()
    }

    /// The HTTP layer below.
    pub fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// Logs in at the server's session manager. The server's messages are in the language of `locale` (`en_US`), or in
    /// its own where none is given.
    ///
    /// # Errors
    /// The fault `InvalidLogin` for a wrong user name or password, `InvalidLocale` for a locale that the server does
    /// not know, and connection errors.
    pub async fn login(
        &self,
        manager: &ManagedObjectReference,
        user: &str,
        password: &str,
        locale: Option<&str>,
    ) -> Result<()> {
        let locale = locale.map_or(Value::Unset, Value::String);
        let values = [Value::String(user), Value::String(password), locale];
        let Written { document, secrets } = envelope::write_request(&LOGIN, manager, &values)
            .map_err(|bad| Error::new("log in", ErrorKind::Config(bad.to_string())))?;
        // Also later answers may quote it.
        self.inner.transport.keep_secret(password);
        let operation = Operation { method: &LOGIN, target: manager.clone(), document, secrets };
        let answer = self.send(&operation, Some(user), true, None, None).await;
        let answer = answer.map_err(|error| error.in_operation("log in"))?;
        let missing = match has_key(&answer) {
            true if self.inner.transport.session_cookie().is_some() => return Ok(()),
            true => "the answer to the login sets no session cookie",
            false => "the answer to the login holds no session",
        };
        Err(Error::new("log in", ErrorKind::Decode { message: missing.into(), offset: 0 }).on(user))
    }

    /// Logs out, and forgets the session. Without a session, nothing is sent.
    ///
    /// # Errors
    /// Connection errors; the session is forgotten in any case.
    pub async fn logout(&self, manager: &ManagedObjectReference) -> Result<()> {
        if self.inner.transport.session_cookie().is_none() {
            return Ok(());
        }
        let Written { document, secrets } = envelope::write_request(&LOGOUT, manager, &[])
            .map_err(|bad| Error::new("log out", ErrorKind::Config(bad.to_string())))?;
        let operation = Operation { method: &LOGOUT, target: manager.clone(), document, secrets };
        let done = self.send(&operation, None, false, Some(Duration::from_secs(10)), None).await;
        self.inner.transport.clear_session_cookie();
        done.map(drop).map_err(|error| error.in_operation("log out"))
    }

    /// Sends an operation with a deadline of its own; `items` is shown the items of the lists in its answer.
    ///
    /// # Errors
    /// As [`Caller::call_with`].
    pub async fn call_within(
        &self,
        operation: &Operation,
        deadline: Duration,
        items: Option<Items<'_>>,
    ) -> Result<Any> {
        self.send(operation, None, false, Some(deadline), items).await
    }

    async fn send(
        &self,
        operation: &Operation,
        target: Option<&str>,
        opens_session: bool,
        deadline: Option<Duration>,
        items: Option<Items<'_>>,
    ) -> Result<Any> {
        let name = operation.method.name;
        let reference = operation.target.to_string();
        let target = target.unwrap_or(&reference);
        let mut secrets = operation.secrets.clone();
        secrets.add_all(&self.inner.transport.secrets());
        let document = match OperationId::current() {
            Some(id) => envelope::with_operation_id(&operation.document, &id),
            None => operation.document.clone(),
        };
        let mut call = Call::new(name, &self.inner.action, document);
        call = call.target(target).secrets(secrets.clone());
        if opens_session {
            call = call.opens_session();
        }
        if let Some(deadline) = deadline {
            call = call.deadline(deadline);
        }
        let effect = operation.method.effect;
        let answer = self.inner.transport.post(call).await.map_err(|error| error.with_effect(effect))?;
        let fail = |kind| Error::new(name, kind).on(target).with_effect(effect);
        // The cookie of the answer, too.
        secrets.add_all(&self.inner.transport.secrets());
        let (registry, method) = (self.inner.registry, operation.method);
        let read = envelope::read_leniently(&answer.body, registry, method, || secrets.clone(), items);
        match read {
            Ok((answer, notes)) => {
                log_notes(name, &notes, &secrets);
                match answer {
                    Answer::Result { value, .. } => Ok(value),
                    Answer::Fault(fault) => Err(fail(ErrorKind::Fault(Box::new(fault)))),
                }
            }
            Err(error) => {
                let (message, offset) = error.into_parts();
                Err(fail(ErrorKind::Decode { message: message.into(), offset }))
            }
        }
    }
}

/// Logs what was passed over in an answer.
fn log_notes(operation: &str, notes: &Notes, secrets: &Secrets) {
    for note in &notes.first {
        let object = note.object.as_deref();
        let text = note.text.as_deref().map(|text| secrets.strike_cut(text));
        let (path, expected) = (&*note.path, note.expected);
        tracing::warn!(
            operation,
            object,
            path,
            expected,
            text = text.as_deref(),
            "a value of the answer cannot be read"
        );
    }
    if notes.more > 0 {
        tracing::warn!(operation, more = notes.more, "more values of the answer cannot be read");
    }
}

/// Whether the answer to a login is a session: a `UserSession`, which has a key.
fn has_key(answer: &Any) -> bool {
    match answer {
        Any::Object(session) => session
            .data()
            .info()
            .index_of("key")
            .is_some_and(|index| matches!(session.data().get(index), Value::String(key) if !key.is_empty())),
        Any::Unknown(session) => session.children.iter().any(|field| field.name == "key" && !field.text.is_empty()),
        _ => false,
    }
}

#[async_trait]
impl Caller for Session {
    async fn call(&self, operation: &Operation) -> Result<Any> {
        self.send(operation, None, false, None, None).await
    }

    async fn call_with(&self, operation: &Operation, items: Items<'_>) -> Result<Any> {
        self.send(operation, None, false, None, Some(items)).await
    }
}

/// Why there is no session to send a request with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum NoSession {
    /// The client was logged out.
    LoggedOut,
    /// The session has ended, and the password of its login was not kept.
    NotKept,
    /// The session was lost, and no new one could be opened.
    Renewal(Arc<Error>),
    /// The server refuses the request with this fault, `NotAuthenticated`, in a session that it has just opened.
    NotAllowed(Box<SoapFault>),
    /// The server answers with this fault, `NotAuthenticated`, in the session that it has just opened, and does not say
    /// that the session lives.
    LostAgain(Box<SoapFault>),
}

impl NoSession {
    /// The fault that the server answered with, where that is the cause.
    pub fn fault(&self) -> Option<&SoapFault> {
        match self {
            Self::LoggedOut | Self::NotKept => None,
            Self::Renewal(cause) => cause.fault(),
            Self::NotAllowed(fault) | Self::LostAgain(fault) => Some(fault),
        }
    }
}

impl fmt::Display for NoSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoggedOut => f.write_str("the client was logged out; connect anew"),
            Self::NotKept => f.write_str("the session has ended, and its password was not kept; log in anew"),
            Self::Renewal(cause) => write!(f, "the session was lost, and logging in again failed: {}", cause.kind()),
            Self::NotAllowed(fault) => {
                write!(f, "{fault}, though the session lives: the user may lack the right to do this")
            }
            Self::LostAgain(fault) => {
                write!(f, "{fault}: the session was lost, and the server does not take the new one either")
            }
        }
    }
}
