//! The wire of the vSphere SOAP API: XML codec, object protocol, faults and HTTP session.

pub mod error;
pub mod fault;
pub mod http;

pub use error::{Error, ErrorKind, Result, Sent};
