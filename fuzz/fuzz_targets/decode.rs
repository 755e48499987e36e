//! Any bytes: reading them never panics, and a value that was read is read as the same after it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vsphere_model::types::{Any, Object};
use vsphere_model::{Answer, read_answer};
use vsphere_soap::codec::Encoder;

fuzz_target!(|document: &[u8]| {
    let value = match read_answer(document) {
        Ok(Answer::Result { value, .. }) => value,
        Ok(Answer::Fault(fault)) => fault.detail.map(Object::into).unwrap_or_default(),
        Err(error) => return drop(error.to_string()),
    };
    // What has characters that XML can't carry can't be written.
    let Some(written) = write(&value) else { return };
    let again = match read_answer(written.as_bytes()) {
        Ok(Answer::Result { value, .. }) => value,
        // An answer that repeats its value is written as an array around them, one level deeper.
        Err(error) if error.to_string().contains("nest more than") => return,
        other => panic!("{other:?}\n{written}"),
    };
    // NaN is not equal to itself.
    if !written.contains("NaN") {
        assert!(again == value, "{value:?}\n{written}\n{again:?}");
        assert!(value.clone() == value, "{value:?}");
    }
    assert_eq!(write(&again).as_deref(), Some(&*written));
});

/// The value as the result of an operation that the model does not know, so that its type is written beside it.
fn write(value: &Any) -> Option<String> {
    let mut encoder = Encoder::new();
    encoder.raw(
        "<Envelope xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><Body><AnyResponse>",
    );
    encoder.any("returnval", value);
    encoder.raw("</AnyResponse></Body></Envelope>");
    encoder.finish().ok()
}
