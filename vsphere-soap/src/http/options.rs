//! How a server is talked to: limits, trust, proxy.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::proxy::Proxies;
use super::reach::Reach;
use super::trust::Trust;
use crate::error::{Error, ErrorKind, Result};

/// How a server is talked to; the defaults suit a vCenter in the same company.
#[derive(Clone)]
pub struct TransportOptions {
    pub(super) trust: Trust,
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) read_timeout: Duration,
    pub(super) max_body: u64,
    pub(super) compression: bool,
    pub(super) user_agent: String,
    pub(super) proxies: Proxies,
    pub(super) reach: Option<Reach>,
}

impl TransportOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            trust: Trust::System,
            connect_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(5 * 60),
            read_timeout: Duration::from_secs(60),
            max_body: 256 << 20,
            compression: true,
            user_agent: concat!("vsphere-soap/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxies: Proxies::default(),
            reach: None,
        }
    }

    /// Which certificates are trusted; those that the system trusts by default.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// How long a connection may take, TLS handshake included; 30 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long a call may take from its start to the last byte of its answer, unless it has a deadline of its own;
    /// 5 minutes by default.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// How long an answer that has begun may stall; 60 s by default.
    ///
    /// It does not count while the answer has not begun, as a server may take its time for that.
    #[must_use]
    pub fn read_timeout(mut self, limit: Duration) -> Self {
        self.read_timeout = limit;
        self
    }

    /// How many bytes an answer may have, unpacked where it is compressed; 256 MiB by default. It is counted as it arrives
    /// and no more is held.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// Whether the server may compress its answers by gzip; true by default. Answers with many objects become some twenty
    /// times smaller, which takes time on both sides. Files are never compressed.
    #[must_use]
    pub fn compression(mut self, allowed: bool) -> Self {
        self.compression = allowed;
        self
    }

    /// What the program calls itself to the server, as its session list shows it.
    #[must_use]
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// The http(s) proxy to go through to every server; none by default, whatever the environment says.
    #[must_use]
    pub fn proxy(self, url: impl Into<String>) -> Self {
        self.proxies(Proxies::all(url))
    }

    /// The proxies to go through.
    #[must_use]
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Connects only to addresses for which `allowed` is true: those that a name resolves to are looked at when they are
    /// connected to, so that no answer of a name server leads elsewhere. Every address by default.
    ///
    /// Through a proxy it is the proxy that resolves names; then only a server that is given by its address is looked at.
    #[must_use]
    pub fn reach(mut self, allowed: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        self.reach = Some(Reach::new(allowed));
        self
    }

    /// Checks whether a server can be talked to in this way, as far as that can be said before a connection.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when a certificate is to be checked where there is none, and when the proxy that leads to the
    /// server cannot be used.
    pub fn check(&self, server: &Endpoint) -> Result<()> {
        let checked = match &self.trust {
            Trust::Thumbprint(_) => "a pinned certificate",
            Trust::CaFile(_) | Trust::CaPem(_) => "a certificate authority",
            Trust::System | Trust::Insecure => {
                return self.proxies.for_server(server).map(drop);
            }
        };
        if !server.is_https() {
            let message = format!(
                "{server} is plain http, which has no certificate, so that {checked} cannot be checked and the password would \
                 be sent in clear: use https://"
            );
            return Err(Error::new("connect", ErrorKind::Config(message)));
        }
        self.proxies.for_server(server).map(drop)
    }
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TransportOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportOptions")
            .field("trust", &self.trust)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("max_body", &self.max_body)
            .field("compression", &self.compression)
            .field("user_agent", &self.user_agent)
            .field("proxies", &self.proxies)
            .field("reach", &self.reach.is_some())
            .finish()
    }
}
