//! HTTP: one request, one answer, and what went wrong between them.
//!
//! [`Transport`] posts SOAP envelopes to one [`Endpoint`], keeps the session cookie, bounds time and memory, and
//! turns whatever is no SOAP answer into an [`Error`](crate::Error) that says what it is. It neither retries nor
//! logs in: it says by [`Sent`](crate::Sent) what a caller needs to know for that. Files go beside SOAP as streams:
//! [`Transport::download`] and [`Transport::upload`].
//!
//! ```no_run
//! use vsphere_soap::http::{Call, Endpoint, Transport, TransportOptions, Trust};
//!
//! # async fn run(envelope: String) -> vsphere_soap::Result<()> {
//! let vcenter: Endpoint = "vc.example.com".parse()?;
//! let options = TransportOptions::new().trust(Trust::CaFile("vmca.pem".into()));
//! let transport = Transport::new(vcenter, options)?;
//! let answer = transport.post(Call::new("read the service content", "urn:vim25/8.0.3.0", envelope)).await?;
//! println!("{} bytes", answer.body.len());
//! # Ok(())
//! # }
//! ```

mod answer;
mod coding;
mod download;
mod endpoint;
mod exchange;
mod failure;
mod file;
mod options;
mod proxy;
mod public;
mod reach;
mod reply;
mod session;
mod tls;
mod transport;
mod trust;
mod upload;
mod versions;

pub use download::Download;
pub use endpoint::Endpoint;
pub use exchange::{Exchange, Verb};
pub use file::{FileCall, FileLocation, SendMethod};
pub use options::TransportOptions;
pub use proxy::{Proxies, Proxy};
pub use public::is_public;
pub use session::SessionCookie;
pub use transport::{Answer, Call, Transport, peer_certificate, peer_thumbprint};
pub use trust::{Thumbprint, Trust};
pub use versions::{ServiceVersions, negotiate};
