//! The one error of this crate: which operation failed, on what, why, and whether the server may have acted.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::cause::{self, Cause};
use crate::fault::SoapFault;
use crate::http::Thumbprint;
use crate::request::Effect;
use crate::session::NoSession;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation.
///
/// Its text is one clause, `operation "target": cause`, which includes the message of the system: there is no
/// [`source`](std::error::Error::source) that would repeat it. Neither text nor `Debug` holds passwords,
/// cookies or request bodies. For programs there is [`cause`](Self::cause).
///
/// ```
/// use vsphere_soap::{Error, ErrorKind, Sent};
///
/// let error = Error::new("power on", ErrorKind::Config("the port is missing".into())).on("/DC0/vm/web-1");
/// assert_eq!(error.to_string(), r#"power on "/DC0/vm/web-1": the port is missing"#);
/// assert_eq!(error.sent(), Sent::No);
/// ```
pub struct Error {
    // Boxed, so that a `Result` costs its callers one word.
    inner: Box<Inner>,
}

struct Inner {
    operation: Cow<'static, str>,
    target: Option<String>,
    kind: ErrorKind,
    sent: Sent,
    /// That of the method of the API that failed, where it is one.
    effect: Option<Effect>,
}

/// Whether the server may have carried out the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Certainly not carried out: it never left, or the server turned it away unread. Safe to send again.
    No,
    /// Unknown: it left, and no answer came. Only reads and idempotent requests are safe to send again.
    Maybe,
    /// The server took the request and answered it, if only with a fault.
    Yes,
}

/// Why an operation failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server answered with a SOAP fault. Not retryable as such: it depends on the fault.
    Fault(Box<SoapFault>),
    /// There is no session to send the request with. Retryable where opening one is.
    NoSession(NoSession),
    /// The server, or a proxy before it, answered with an HTTP status that is not SOAP.
    /// Retryable for 429, 502, 503 and 504.
    Http {
        /// The HTTP status.
        status: u16,
        /// The start of what it said, on one line and without markup; may be empty.
        snippet: String,
        /// How long the server asks to wait before the next try.
        retry_after: Option<Duration>,
    },
    /// The answer is not SOAP: empty, a login page, another content type. Not retryable.
    NotSoap {
        /// The host that was asked.
        host: String,
        /// The content type of the answer, if it had one.
        content_type: Option<String>,
        /// The start of the answer, on one line and without markup; empty for an empty answer.
        snippet: String,
    },
    /// The answer is not what the API describes. Not retryable.
    Decode {
        /// What is wrong with it.
        message: Cow<'static, str>,
        /// Where in the answer, in bytes from its start.
        offset: u64,
    },
    /// The answer is larger than allowed. Not retryable.
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// No connection: the name does not resolve, the port is closed, the host is away. Retryable.
    Connect {
        /// The server's `host:port`, and the proxy on the way to it.
        to: String,
        /// Whether the way leads through a proxy: what is behind it the client does not see.
        proxied: bool,
        /// What the system says.
        source: io::Error,
    },
    /// The TLS handshake failed, mostly because the certificate is not trusted. Not retryable.
    Tls(TlsFailure),
    /// A time limit was reached. Retryable.
    Timeout {
        /// The limit that was reached.
        after: Duration,
        /// What was waited for.
        waiting_for: WaitingFor,
    },
    /// The connection was cut before the answer was complete. Retryable.
    Interrupted {
        /// How much of the answer's body had arrived, in bytes.
        received: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The server answered with a page for people in place of a file. Not retryable.
    NotAFile {
        /// The start of the page, on one line and without markup.
        snippet: String,
    },
    /// What was to be sent could not be read. Not retryable.
    Source(io::Error),
    /// A setting is wrong; the text names it. Not retryable.
    Config(String),
    /// The caller's own rules do not allow it, so that nothing was sent; the text says what. Not retryable.
    Denied(String),
}

/// What a [`ErrorKind::Timeout`] was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitingFor {
    /// The connection, TLS handshake included.
    Connection,
    /// The complete answer: the deadline of the call.
    Answer,
    /// The next piece of an answer that had begun.
    NextBytes,
    /// The server to take the next piece of what is sent.
    Taken,
}

/// A failed TLS handshake.
#[derive(Debug)]
pub struct TlsFailure {
    pub(crate) to: String,
    pub(crate) cause: Cow<'static, str>,
    pub(crate) reason: Cause,
    pub(crate) presented: Option<Thumbprint>,
    pub(crate) source: Option<io::Error>,
}

impl Error {
    /// An error of `operation`, a short verb phrase such as `power on`.
    pub fn new(operation: impl Into<Cow<'static, str>>, kind: ErrorKind) -> Self {
        let sent = kind.usual_sent();
        let inner = Inner { operation: operation.into(), target: None, kind, sent, effect: None };
        Self { inner: Box::new(inner) }
    }

    /// Names the object that the operation was meant for, as the user knows it.
    #[must_use]
    pub fn on(mut self, target: impl Into<String>) -> Self {
        self.inner.target = Some(target.into());
        self
    }

    /// Replaces the operation by the one that the user asked for.
    #[must_use]
    pub fn in_operation(mut self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.inner.operation = operation.into();
        self
    }

    /// Says better than the kind whether the request may have been carried out.
    #[must_use]
    pub fn with_sent(mut self, sent: Sent) -> Self {
        self.inner.sent = sent;
        self
    }

    /// Says what the method that failed does to the server.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.inner.effect = Some(effect);
        self
    }

    /// The operation that failed.
    pub fn operation(&self) -> &str {
        &self.inner.operation
    }

    /// The object that the operation was meant for.
    pub fn target(&self) -> Option<&str> {
        self.inner.target.as_deref()
    }

    /// Why it failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.inner.kind
    }

    /// Why it failed, by value.
    pub fn into_kind(self) -> ErrorKind {
        self.inner.kind
    }

    /// The cause, as far as a user can act on it; `None` for faults and for errors of the client itself.
    pub fn cause(&self) -> Option<Cause> {
        self.kind().cause()
    }

    /// Whether the server may have carried out the request.
    pub fn sent(&self) -> Sent {
        self.inner.sent
    }

    /// What the method of the API that failed does to the server; `None` where it was no method.
    pub fn effect(&self) -> Option<Effect> {
        self.inner.effect
    }

    /// Whether the same request may succeed if it is sent again a little later.
    ///
    /// True of [`Connect`](ErrorKind::Connect), [`Timeout`](ErrorKind::Timeout),
    /// [`Interrupted`](ErrorKind::Interrupted), and [`Http`](ErrorKind::Http) with 429, 502, 503 or 504.
    /// Whether it is *safe* to send it again is another question: see [`sent`](Self::sent).
    pub fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::Connect { .. } | ErrorKind::Timeout { .. } | ErrorKind::Interrupted { .. } => true,
            ErrorKind::Http { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            ErrorKind::NoSession(NoSession::Renewal(cause)) => cause.is_retryable(),
            _ => false,
        }
    }

    /// Whether a time limit was reached.
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind(), ErrorKind::Timeout { .. })
    }

    /// The HTTP status, where it is the cause.
    pub fn status(&self) -> Option<u16> {
        match self.kind() {
            ErrorKind::Http { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long the server asks to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.kind() {
            ErrorKind::Http { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The fault that the server answered with.
    pub fn fault(&self) -> Option<&SoapFault> {
        match self.kind() {
            ErrorKind::Fault(fault) => Some(fault),
            ErrorKind::NoSession(why) => why.fault(),
            _ => None,
        }
    }

    /// The thumbprint of the certificate that was refused, where one was presented.
    pub fn presented_thumbprint(&self) -> Option<&Thumbprint> {
        match self.kind() {
            ErrorKind::Tls(failure) => failure.presented(),
            _ => None,
        }
    }
}

impl ErrorKind {
    /// What the kind alone says of whether the request was carried out.
    fn usual_sent(&self) -> Sent {
        match self {
            Self::Config(_) | Self::Denied(_) | Self::Connect { .. } | Self::Tls(_) => Sent::No,
            Self::Timeout { waiting_for: WaitingFor::Connection, .. } => Sent::No,
            Self::Timeout { .. } | Self::Interrupted { .. } | Self::NotSoap { .. } | Self::Source(_) => Sent::Maybe,
            Self::Fault(_) | Self::Decode { .. } | Self::TooLarge { .. } | Self::NotAFile { .. } => Sent::Yes,
            // Redirects, refusals and "too many" are told before the request is looked at.
            Self::Http { status: 300..=499 | 503, .. } => Sent::No,
            Self::Http { .. } => Sent::Maybe,
            // What the server refuses for want of a session it does not carry out.
            Self::NoSession(_) => Sent::No,
        }
    }
}

impl TlsFailure {
    /// The SHA-256 thumbprint of the certificate that the server presented, if it got so far.
    ///
    /// Pin it only when it is known by another way that it is the right one.
    pub fn presented(&self) -> Option<&Thumbprint> {
        self.presented.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { operation, target, kind, .. } = &*self.inner;
        match target {
            Some(target) => write!(f, "{operation} {target:?}: {kind}"),
            None => write!(f, "{operation}: {kind}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { operation, target, kind, sent, .. } = &*self.inner;
        f.debug_struct("Error")
            .field("operation", operation)
            .field("target", target)
            .field("kind", kind)
            .field("sent", sent)
            .finish()
    }
}

/// The text of an error is whole: it has no source.
impl std::error::Error for Error {}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::NoSession(why) => why.fmt(f),
            Self::Http { status, snippet, retry_after } => {
                write!(f, "the server answered HTTP {status}")?;
                if let Some(reason) = reason_phrase(*status) {
                    write!(f, " {reason}")?;
                }
                if !snippet.is_empty() {
                    write!(f, ": {snippet:?}")?;
                }
                match retry_after {
                    Some(wait) => write!(f, " (try again in {} s)", wait.as_secs()),
                    None => Ok(()),
                }
            }
            Self::NotSoap { host, content_type, snippet } => {
                match (snippet.is_empty(), content_type) {
                    (true, _) => f.write_str("the answer is empty, not SOAP")?,
                    (false, Some(kind)) => write!(f, "the answer is {kind:?}, not SOAP: {snippet:?}")?,
                    (false, None) => write!(f, "the answer is not SOAP: {snippet:?}")?,
                }
                write!(f, "; is {host} a vCenter or ESXi?")
            }
            Self::Decode { message, offset } => {
                write!(f, "{message} (byte {offset} of the answer)")
            }
            Self::TooLarge { limit } => {
                match limit >> 20 {
                    0 => write!(f, "the answer is larger than the limit of {limit} bytes")?,
                    megabytes => write!(f, "the answer is larger than the limit of {megabytes} MiB")?,
                }
                f.write_str(": ask for fewer objects or properties at once, or raise the limit")
            }
            Self::Connect { to, source, .. } => write!(f, "cannot connect to {to}: {}", cause::in_words(source)),
            Self::Tls(failure) => failure.fmt(f),
            Self::Timeout { after, waiting_for } => match waiting_for {
                WaitingFor::Connection => write!(f, "no connection within {after:?}"),
                WaitingFor::Answer => write!(f, "no complete answer within {after:?}"),
                WaitingFor::NextBytes => write!(f, "the answer stalled for {after:?}"),
                WaitingFor::Taken => write!(f, "the server took nothing for {after:?}"),
            },
            Self::Interrupted { received: 0, source } => {
                write!(f, "the connection was cut before the answer: {}", cause::in_words(source))
            }
            Self::Interrupted { received, source } => {
                write!(f, "the connection was cut after {received} bytes of the answer: {}", cause::in_words(source))
            }
            Self::NotAFile { snippet } => write!(f, "the server answered with a page, not with a file: {snippet:?}"),
            Self::Source(source) => write!(f, "what is to be sent cannot be read: {source}"),
            Self::Config(message) | Self::Denied(message) => f.write_str(message),
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, cause, presented, source, .. } = self;
        match presented {
            Some(thumbprint) => write!(
                f,
                "the certificate of {to} is not trusted: {cause}; if it is the right one, pin its SHA-256 thumbprint {thumbprint}"
            ),
            None => match source {
                Some(source) => write!(f, "no TLS with {to}: {cause} ({source})"),
                None => write!(f, "no TLS with {to}: {cause}"),
            },
        }
    }
}

/// The usual words for the statuses that vSphere and the proxies before it answer.
fn reason_phrase(status: u16) -> Option<&'static str> {
    Some(match status {
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn http(status: u16) -> Error {
        Error::new("list VMs", ErrorKind::Http { status, snippet: String::new(), retry_after: None })
    }

    #[test]
    fn text_is_one_clause_with_all_causes_once() {
        let source = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = Error::new("login", ErrorKind::Connect { to: "vc:443".into(), proxied: false, source });
        let expected = "login: cannot connect to vc:443: the connection was refused: nothing listens on that port";
        assert_eq!(error.to_string(), expected);
        assert!(error.source().is_none());

        let fault =
            SoapFault { code: "ServerFaultCode".into(), reason: "the VM is already powered on".into(), detail: None };
        let error = Error::new("call", ErrorKind::Fault(Box::new(fault))).in_operation("power on").on("/DC0/vm/web-1");
        assert_eq!(error.to_string(), r#"power on "/DC0/vm/web-1": the VM is already powered on"#);
        assert!(error.source().is_none());
    }

    #[test]
    fn a_target_cannot_break_the_line() {
        let error = Error::new("x", ErrorKind::Config("y".into())).on("a\nb\"c");
        assert_eq!(error.to_string(), r#"x "a\nb\"c": y"#);
    }

    #[test]
    fn status_decides_retry_and_sent() {
        for (status, retryable, sent) in [
            (301, false, Sent::No),
            (403, false, Sent::No),
            (404, false, Sent::No),
            (429, true, Sent::No),
            (500, false, Sent::Maybe),
            (502, true, Sent::Maybe),
            (503, true, Sent::No),
            (504, true, Sent::Maybe),
        ] {
            assert_eq!((http(status).is_retryable(), http(status).sent()), (retryable, sent), "{status}");
            assert_eq!(http(status).status(), Some(status));
        }
    }

    #[test]
    fn time_limits_say_what_was_waited_for() {
        let timeout =
            |waiting_for| Error::new("read", ErrorKind::Timeout { after: Duration::from_millis(1500), waiting_for });
        let connection = timeout(WaitingFor::Connection);
        assert_eq!(connection.to_string(), "read: no connection within 1.5s");
        assert_eq!(connection.sent(), Sent::No);
        assert!(connection.is_timeout() && connection.is_retryable());
        assert_eq!(timeout(WaitingFor::Answer).sent(), Sent::Maybe);
        assert_eq!(timeout(WaitingFor::NextBytes).to_string(), "read: the answer stalled for 1.5s");
    }
}
