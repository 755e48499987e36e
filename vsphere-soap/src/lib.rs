//! The wire of the vSphere SOAP API: XML codec, object protocol, faults and HTTP session.

mod cause;
pub mod codec;
pub mod envelope;
pub mod error;
pub mod fault;
pub mod http;
pub mod json;
pub mod object;
pub mod operation_id;
pub mod request;
pub mod secrets;
pub mod session;

pub use cause::Cause;
pub use error::{Error, ErrorKind, Result, Sent};
