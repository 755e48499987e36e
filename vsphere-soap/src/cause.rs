//! The cause of a failed connection or request, as far as a user can act on it.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::IpAddr;

use crate::error::{ErrorKind, WaitingFor};
use crate::session::NoSession;

/// The cause of a failure on the way to the server and back, where it is known.
///
/// Faults of the API are not among these: see [`SoapFault`](crate::fault::SoapFault).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No name server knows the name of the host.
    UnknownHost,
    /// No name server answers.
    NameServer,
    /// The host refuses the connection: nothing listens on the port.
    Refused,
    /// There is no route to the host.
    Unreachable,
    /// This machine does not allow the connection.
    NotPermitted,
    /// The host does not answer: no connection within the time limit.
    NoAnswer,
    /// The proxy on the way to the server can't be reached, or refuses.
    Proxy,
    /// The certificate is signed by itself or by an unknown CA.
    Untrusted,
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is valid for other names only.
    OtherName,
    /// The certificate is not the pinned one.
    OtherPin,
    /// The two sides have no version of TLS, or no cipher, in common.
    OldTls,
    /// The port does not speak TLS.
    NotTls,
    /// The TLS handshake failed for another reason.
    Handshake,
    /// The server did not answer in time, or stalled.
    Slow,
    /// The connection was cut.
    Cut,
    /// The server, or something that it depends on, is temporarily unavailable: HTTP 429, 502, 503 and 504.
    Unavailable,
    /// The server redirects the client.
    Redirected,
    /// Something in front of the API refuses the request: HTTP 401 and 403.
    Forbidden,
    /// There is nothing at the address: HTTP 404, 405 and 410.
    NoSuchPage,
    /// Another HTTP error.
    Failed,
    /// The answer is not SOAP: an empty one, a login page, or not even HTTP.
    NotVsphere,
    /// The answer is SOAP or JSON, but broken, or that of another operation.
    Garbled,
    /// The answer is larger than allowed.
    TooLarge,
}

impl ErrorKind {
    /// What it comes down to.
    pub fn cause(&self) -> Option<Cause> {
        Some(match self {
            Self::Connect { proxied, source, .. } => match of_connection(source) {
                Some(_) if *proxied => Cause::Proxy,
                cause => return cause,
            },
            Self::Tls(failure) => failure.reason,
            Self::Timeout { waiting_for: WaitingFor::Connection, .. } => Cause::NoAnswer,
            Self::Timeout { .. } => Cause::Slow,
            Self::Interrupted { .. } => Cause::Cut,
            Self::Http { status, .. } => match status {
                300..=399 => Cause::Redirected,
                401 | 403 => Cause::Forbidden,
                404 | 405 | 410 => Cause::NoSuchPage,
                407 => Cause::Proxy,
                429 | 502..=504 => Cause::Unavailable,
                _ => Cause::Failed,
            },
            Self::NotSoap { .. } => Cause::NotVsphere,
            Self::Decode { .. } => Cause::Garbled,
            Self::TooLarge { .. } => Cause::TooLarge,
            Self::NoSession(NoSession::Renewal(cause)) => return cause.kind().cause(),
            Self::NoSession(_)
            | Self::Fault(_)
            | Self::NotAFile { .. }
            | Self::Source(_)
            | Self::Config(_)
            | Self::Denied(_) => {
                return None;
            }
        })
    }
}

fn of_connection(source: &io::Error) -> Option<Cause> {
    if let Some(failure) = source.get_ref().and_then(|inner| inner.downcast_ref::<Unresolved>()) {
        return Some(if failure.is_silence() { Cause::NameServer } else { Cause::UnknownHost });
    }
    if source.get_ref().is_some_and(|inner| inner.is::<OutOfReach>()) {
        return Some(Cause::NotPermitted);
    }
    if source.get_ref().is_some_and(|inner| inner.is::<ProxyRefused>()) {
        return Some(Cause::Proxy);
    }
    Some(match source.kind() {
        io::ErrorKind::ConnectionRefused => Cause::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            Cause::Unreachable
        }
        io::ErrorKind::PermissionDenied => Cause::NotPermitted,
        io::ErrorKind::TimedOut => Cause::NoAnswer,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Cause::Cut,
        _ => return None,
    })
}

/// What the system says of a failed connection, for somebody who is no expert in networks.
pub(crate) fn in_words(source: &io::Error) -> Cow<'static, str> {
    match source.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused: nothing listens on that port".into(),
        io::ErrorKind::HostUnreachable => "there is no route to the host".into(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => "the network is unreachable".into(),
        io::ErrorKind::PermissionDenied => "this machine does not allow the connection".into(),
        io::ErrorKind::TimedOut => "the host did not answer".into(),
        io::ErrorKind::ConnectionReset => "the other side reset the connection".into(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            "the other side closed the connection".into()
        }
        _ => {
            let text = source.to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned().into()
        }
    }
}

/// The name of a host was not resolved.
#[derive(Debug)]
pub(crate) struct Unresolved(String);

impl Unresolved {
    /// From what the system says.
    pub(crate) fn new(text: &str) -> Self {
        // What the standard library puts before it says no more.
        Self(text.trim_start_matches("failed to lookup address information: ").to_owned())
    }

    /// Whether nobody answered, as against an answer that there is no such name. (The system's text is all there is.)
    fn is_silence(&self) -> bool {
        self.0.contains("Temporary failure")
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_silence() {
            true => write!(f, "the name of the host was not resolved, as no name server answers ({})", self.0),
            false => write!(f, "the name of the host is not known ({})", self.0),
        }
    }
}

impl std::error::Error for Unresolved {}

/// A name resolved only to addresses that must not be connected to.
#[derive(Debug, Clone)]
pub(crate) struct OutOfReach {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
}

impl fmt::Display for OutOfReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is at {}, which must not be connected to", self.name, self.address)
    }
}

impl std::error::Error for OutOfReach {}

/// The proxy did not open the way to the server.
#[derive(Debug)]
pub(crate) struct ProxyRefused {
    pub(crate) wants_login: bool,
}

impl fmt::Display for ProxyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.wants_login {
            true => "the proxy wants a user name and password",
            false => "the proxy did not open the way to the server",
        })
    }
}

impl std::error::Error for ProxyRefused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_told_apart() {
        let dns = |text: &str| io::Error::other(Unresolved::new(text));
        let unknown = dns("failed to lookup address information: Name or service not known");
        assert_eq!(unknown.to_string(), "the name of the host is not known (Name or service not known)");
        let other = io::Error::from_raw_os_error(24);
        assert_eq!(in_words(&other), "Too many open files");
        for (source, cause) in [
            (unknown, Some(Cause::UnknownHost)),
            (dns("Temporary failure in name resolution"), Some(Cause::NameServer)),
            (io::Error::other(ProxyRefused { wants_login: true }), Some(Cause::Proxy)),
            (io::ErrorKind::ConnectionRefused.into(), Some(Cause::Refused)),
            (io::ErrorKind::HostUnreachable.into(), Some(Cause::Unreachable)),
            (io::ErrorKind::NetworkUnreachable.into(), Some(Cause::Unreachable)),
            (io::ErrorKind::PermissionDenied.into(), Some(Cause::NotPermitted)),
            (io::ErrorKind::TimedOut.into(), Some(Cause::NoAnswer)),
            (io::ErrorKind::ConnectionReset.into(), Some(Cause::Cut)),
            (io::ErrorKind::UnexpectedEof.into(), Some(Cause::Cut)),
            (other, None),
        ] {
            assert_eq!(ErrorKind::Connect { to: "vc:443".into(), proxied: false, source }.cause(), cause);
        }
        let source = io::ErrorKind::ConnectionRefused.into();
        let proxied = ErrorKind::Connect { to: "vc:443".into(), proxied: true, source };
        assert_eq!(proxied.cause(), Some(Cause::Proxy));
    }
}
