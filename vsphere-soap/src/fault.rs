//! SOAP faults, with the typed fault of the API inside.

use std::fmt;

use crate::object::{DataType, Object};

/// A fault that the server answered with.
#[derive(Debug, Clone, PartialEq)]
pub struct SoapFault {
    /// The SOAP fault code (`ServerFaultCode`).
    pub code: String,
    /// The server's message. It is in the session's locale: for people, never to be compared.
    pub reason: String,
    /// The fault of the API, where the server gave one: a `MethodFault` or a type that extends it.
    pub detail: Option<Object>,
}

impl SoapFault {
    /// The fault as a `T`, where it is one or extends it.
    pub fn downcast_ref<T: DataType>(&self) -> Option<&T> {
        self.detail.as_ref()?.downcast_ref()
    }

    /// Whether the fault is of the type with this wire name (`NotAuthenticated`), or extends it.
    pub fn is_named(&self, name: &str) -> bool {
        self.detail.as_ref().is_some_and(|detail| {
            detail.type_name() == name || detail.data().info().lineage().any(|info| info.name() == name)
        })
    }

    /// The wire name of the fault's type, where the server gave one.
    pub fn name(&self) -> Option<&str> {
        self.detail.as_ref().map(Object::type_name)
    }
}

impl fmt::Display for SoapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason.trim().trim_end_matches('.');
        match (self.name(), reason) {
            (Some(name), "") => f.write_str(name),
            (Some(name), reason) => write!(f, "{reason} ({name})"),
            (None, "") => write!(f, "the server answered with the fault {} and no reason", self.code),
            (None, reason) => f.write_str(reason),
        }
    }
}
