//! XML of the vSphere API, read into and written from data objects.
//!
//! Reading is tolerant, because servers are older and newer than the model: elements come in any order, unknown ones are
//! skipped, an unknown `xsi:type` falls back to the declared base and keeps the rest as [`Element`]s, unknown
//! enumeration values stay text. A client reads [leniently](Decoder::lenient) on top: a leaf whose text is not of its type is
//! left unset, with a [`Note`]. Reading is also bounded: depth has a limit, entities are not expanded, document type
//! declarations are refused.

mod cursor;
mod decode;
mod encode;
mod note;
mod tokens;

pub use cursor::{DecodeError, Tag};
pub use decode::Decoder;
pub use encode::{EncodeError, Encoder, is_writable};
pub use note::{Note, Notes};

/// The namespace of `xsi:type`.
pub const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// How deep elements may nest. The deepest real values are chains of delta disks (255 at most) and trees of snapshots.
pub const MAX_DEPTH: usize = 512;

#[cfg(doc)]
use crate::object::Element;
