//! A fault that the server answered.

use std::fmt;

/// A SOAP fault: the server understood the request and refused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoapFault {
    /// The fault code, such as `ServerFaultCode`.
    pub code: String,
    /// What the server says happened, in its own words.
    pub reason: String,
}

impl fmt::Display for SoapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
