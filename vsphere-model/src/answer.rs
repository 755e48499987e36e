//! Reading recorded answers.

pub use vsphere_soap::envelope::Answer;

use vsphere_soap::codec::DecodeError;

/// Reads a SOAP answer of any operation: its result or its fault.
///
/// # Errors
/// The document is not SOAP or not well-formed, or a text in it is not a value of its type.
pub fn read_answer(document: &[u8]) -> Result<Answer, DecodeError> {
    vsphere_soap::envelope::read_answer(document, crate::registry(), None)
}
