//! A simulated vCenter for any vSphere client: for trying, for the tests of a program that uses vSphere, for demonstrations.
//!
//! To test a program of your own, start one in the test and give its address to the program:
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::{Client, Config};
//! use vsphere_sim::{Model, Sim};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sim = Sim::start(Model::demo()).await?;
//! let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
//! let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await?;
//!
//! client.get::<VirtualMachine>("web-01").await?.power_off().await?.await?;
//!
//! assert_eq!(sim.calls("PowerOffVM_Task"), 1);
//! # client.logout().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each simulator is a world of its own, listens on a free loopback port, and ends when it is dropped, so that tests can run
//! side by side. Tasks are done at once unless the model has a [pace](Model::pace).
//!
//! - [`Model`] says what there is: [`Model::demo`] is a shop with two clusters and some forty VMs, [`Model::sized`] has
//!   as much as you want, [`Model::esxi`] is a lone host, [`Model::vcsim`] is what govmomi's vcsim has, [`Model::empty`] is for
//!   those who make everything themselves. Users with fewer rights, older versions and tighter limits are settings of it.
//! - [`Rules`] say what the server insists on. As it is, it insists on what real servers do.
//! - [`Trouble`] is what goes wrong between server and client: latency, faults of chosen methods, lost connections and
//!   sessions, a server that is busy. [`Sim::end_sessions`] is a restart of the server.
//! - [`Incident`] is what goes wrong in the inventory: a host that fails, a datastore that fills up, an old snapshot. Tasks
//!   are as slow as [`Model::pace`] says.
//! - [`coverage`] lists which methods are simulated. The others answer the fault `NotSupported` with their name.
//!
//! Other programs reach it as they reach a vCenter: govc, pyVmomi and others are used to test it. `mcvsphere sim` runs it
//! alone.

mod call;
mod collector;
mod core;
mod coverage;
mod fault;
mod guest;
mod incident;
mod methods;
mod model;
mod objects;
mod rights;
mod rules;
mod server;
mod session;
mod trouble;
mod vapi;
mod view;
mod world;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use vsphere_soap::http::Thumbprint;

pub use coverage::{Coverage, coverage, properties_set};
pub use incident::Incident;
pub use model::{Cardinality, Model, Role, Size, Vcsim};
pub use rules::{Changes, Guests, Logins, Maintenance, NewHosts, Placement, Rules};
pub use trouble::Trouble;

use crate::core::Core;
use crate::server::{Identity, Server};

/// A simulated server. It listens until it is dropped.
#[derive(Debug)]
pub struct Sim {
    core: Arc<Core>,
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
    /// The port or the certificate can't be had, or the model asks for what its inventory can't hold.
    pub async fn start(model: Model) -> io::Result<Self> {
        Self::listen(model, loopback()).await
    }

    /// Starts a server on this address, over HTTPS.
    ///
    /// # Errors
    /// The address or the certificate can't be had, or the model asks for what its inventory can't hold.
    pub async fn listen(model: Model, address: SocketAddr) -> io::Result<Self> {
        let identity = Identity::new(address.ip())?;
        Self::serve(model, address, Some(&identity)).await
    }

    /// Starts a server on this address, over plain HTTP: behind a proxy that sees what is sent, or that has the TLS.
    ///
    /// # Errors
    /// The address can't be had, or the model asks for what its inventory can't hold.
    pub async fn listen_plain(model: Model, address: SocketAddr) -> io::Result<Self> {
        Self::serve(model, address, None).await
    }

    async fn serve(model: Model, address: SocketAddr, identity: Option<&Identity>) -> io::Result<Self> {
        let certificate = identity.map(|identity| Certificate {
            pem: identity.pem().to_owned(),
            thumbprint: Thumbprint::sha256_of(identity.certificate()),
        });
        let core = Core::new(&model)?;
        core.write().thumbprint = certificate.as_ref().map(|certificate| certificate.thumbprint.to_string());
        let server = Server::start(Arc::clone(&core), address, identity).await?;
        Ok(Self { core, server, certificate })
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

    /// Makes this trouble from now on, and no other.
    pub fn trouble(&self, trouble: Trouble) {
        self.core.troubles.set(trouble);
    }

    /// How often a method (`RetrievePropertiesEx`), or an operation of the Automation API
    /// (`com.vmware.cis.tagging.tag.get`), was called since the start, by all clients.
    pub fn calls(&self, method: &str) -> u64 {
        self.core.troubles.calls(method)
    }

    /// Ends all sessions, those of the Automation API too, as a restart of the server does. Clients are told
    /// `NotAuthenticated` at their next call.
    pub fn end_sessions(&self) {
        let mut world = self.core.write();
        let keys: Vec<String> = world.sessions.iter().map(|(key, _)| key.to_owned()).collect();
        keys.iter().for_each(|key| world.end_session(key));
        world.sessions.api_mut().clear();
    }

    /// How many sessions there are, without those of the Automation API.
    pub fn sessions(&self) -> usize {
        self.core.read().sessions.iter().count()
    }

    /// How many sessions of the Automation API there are.
    pub fn automation_sessions(&self) -> usize {
        self.core.read().sessions.api().len()
    }
}

/// A free port of the loopback interface.
fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
