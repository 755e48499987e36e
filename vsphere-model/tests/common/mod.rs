//! What the codec's tests share: values in an envelope, read and written.
#![allow(dead_code, reason = "each test program uses a part of it")]

use vsphere_model::types::Any;
use vsphere_model::{Answer, read_answer};
use vsphere_soap::codec::{DecodeError, EncodeError, Encoder};
use vsphere_soap::object::FromAny;

/// The content of a body in an envelope that binds the usual prefixes.
pub(crate) fn envelope(body: &str) -> String {
    format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\
         <soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
}

/// Reads `<returnval …>…</returnval>` as the result of an operation that the model does not know, so that its type is
/// what its `xsi:type` says.
pub(crate) fn try_read(returnval: &str) -> Result<Any, DecodeError> {
    let document = envelope(&format!("<SomeResponse xmlns=\"urn:vim25\">{returnval}</SomeResponse>"));
    match read_answer(document.as_bytes())? {
        Answer::Result { value, .. } => Ok(value),
        Answer::Fault(fault) => panic!("a fault: {fault}"),
    }
}

/// The same, as a `T`.
pub(crate) fn read<T: FromAny>(returnval: &str) -> T {
    try_read(returnval).unwrap().take().unwrap()
}

/// The content of a `T`, which is named by its wire name.
pub(crate) fn read_data<T: FromAny>(name: &str, content: &str) -> T {
    read(&format!("<returnval xsi:type=\"{name}\">{content}</returnval>"))
}

/// Writes a value as `<returnval xsi:type="…">`.
pub(crate) fn try_write(any: &Any) -> Result<String, EncodeError> {
    let mut encoder = Encoder::new();
    encoder.any("returnval", any);
    encoder.finish()
}

/// The same, where the value can be written.
pub(crate) fn write(any: &Any) -> String {
    try_write(any).unwrap()
}
