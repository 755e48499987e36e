//! A simulated vCenter for any vSphere client.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use vsphere_sim::{Model, Sim};
//!
//! let sim = Sim::start(Model::empty()).await?;
//! assert!(sim.url().starts_with("https://127.0.0.1:"));
//! # Ok(())
//! # }
//! ```

mod call;
mod collector;
mod core;
mod fault;
mod methods;
mod model;
mod objects;
mod rights;
mod server;
mod session;
mod view;
mod world;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use vsphere_soap::http::Thumbprint;

pub use model::{Model, Role};

use crate::core::Core;
use crate::server::{Identity, Server};

/// A simulated server. It listens until it is dropped.
#[derive(Debug)]
pub struct Sim {
    server: Server,
    certificate: Option<Certificate>,
}

#[derive(Debug)]
struct Certificate {
    pem: String,
    thumbprint: Thumbprint,
}

impl Sim {
    /// Starts a server on a free loopback port, over HTTPS.
    ///
    /// # Errors
    /// The port or the certificate can't be had.
    pub async fn start(model: Model) -> io::Result<Self> {
        Self::listen(model, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts a server on this address, over HTTPS.
    ///
    /// # Errors
    /// The address or the certificate can't be had.
    pub async fn listen(model: Model, address: SocketAddr) -> io::Result<Self> {
        let identity = Identity::new(address.ip())?;
        let certificate =
            Certificate { pem: identity.pem().to_owned(), thumbprint: Thumbprint::sha256_of(identity.certificate()) };
        let core = Core::new(&model, model.settings().clone());
        let server = Server::start(core, address, Some(&identity)).await?;
        Ok(Self { server, certificate: Some(certificate) })
    }

    /// Starts a server on a free loopback port, over plain HTTP, as a proxy in front of a server needs it.
    ///
    /// # Errors
    /// The port can't be had.
    pub async fn start_plain(model: Model) -> io::Result<Self> {
        let core = Core::new(&model, model.settings().clone());
        let server = Server::start(core, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None).await?;
        Ok(Self { server, certificate: None })
    }

    /// The URL of the SOAP API: `https://127.0.0.1:PORT/sdk`.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/sdk", self.server.address())
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The SHA-256 thumbprint of the server's certificate; none over plain HTTP.
    pub fn thumbprint(&self) -> Option<Thumbprint> {
        self.certificate.as_ref().map(|certificate| certificate.thumbprint)
    }

    /// The server's certificate in PEM; none over plain HTTP.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_ref().map(|certificate| certificate.pem.as_str())
    }
}
