//! Which addresses a transport may connect to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::cause::OutOfReach;
use crate::error::{Error, ErrorKind, Result};

/// The addresses that may be connected to. It resolves names, since only then is an address known that does not change before
/// the connection.
#[derive(Clone)]
pub(super) struct Reach {
    allowed: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

impl Reach {
    pub(super) fn new(allowed: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self { allowed: Arc::new(allowed) }
    }

    /// Checks a server that is given by its address, which nothing resolves.
    pub(super) fn check(&self, host: &str) -> Result<()> {
        match host.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) if !(self.allowed)(address) => {
                Err(Error::new("connect", ErrorKind::Config(format!("the address {address} must not be connected to"))))
            }
            _ => Ok(()),
        }
    }

    async fn resolve(self, name: String) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
        let (allowed, refused): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| (self.allowed)(it.ip()));
        match refused.first() {
            Some(refused) if allowed.is_empty() => Err(io::Error::other(OutOfReach { name, address: refused.ip() })),
            _ => Ok(allowed),
        }
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let resolving = self.clone().resolve(name.as_str().to_owned());
        Box::pin(async move { Ok(Box::new(resolving.await?.into_iter()) as Addrs) })
    }
}
