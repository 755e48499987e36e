//! HTTP: where a server is and which certificate it may show.

mod endpoint;
mod trust;

pub use endpoint::Endpoint;
pub use trust::{Thumbprint, Trust};
