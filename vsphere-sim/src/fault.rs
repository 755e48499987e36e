//! Faults as the simulated server answers them.

use vsphere_model::types::{
    InvalidArgument, InvalidProperty, InvalidRequest, LocalizedMethodFault, ManagedObjectNotFound,
    ManagedObjectReference, MethodFault, NoPermission, NotAuthenticated, NotSupported, Object, Poly,
};
use vsphere_soap::fault::SoapFault;
use vsphere_soap::object::{DataType, Extends};

/// A typed fault with the message that people read.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    detail: Poly<MethodFault>,
    message: String,
}

/// What an operation ends in.
pub(crate) type Outcome<T> = Result<T, Fault>;

impl Fault {
    pub(crate) fn new<F: Extends<MethodFault>>(detail: F, message: impl Into<String>) -> Self {
        Self { detail: Poly::new(detail), message: message.into() }
    }

    /// A fault whose type is known only at run time.
    pub(crate) fn of(detail: Poly<MethodFault>, message: impl Into<String>) -> Self {
        Self { detail, message: message.into() }
    }

    /// The object was deleted, or has never been.
    pub(crate) fn not_found(object: &ManagedObjectReference) -> Self {
        let message = format!("The object '{object}' has already been deleted or has not been completely created.");
        Self::new(ManagedObjectNotFound { obj: object.clone(), ..Default::default() }, message)
    }

    /// An argument has a value that the operation can't take. `property` is the path that a client can show.
    pub(crate) fn invalid_argument(property: &str) -> Self {
        let message = format!("A specified parameter was not correct: {property}");
        Self::new(InvalidArgument { invalid_property: Some(property.to_owned()), ..Default::default() }, message)
    }

    /// An argument is a list that is longer than this.
    pub(crate) fn too_many(property: &str, count: usize, most: usize) -> Self {
        let detail = InvalidArgument { invalid_property: Some(property.to_owned()), ..Default::default() };
        Self::new(
            detail,
            format!("A specified parameter was not correct: {property} has {count} items, at most {most} are allowed"),
        )
    }

    pub(crate) fn invalid_property(name: &str) -> Self {
        Self::new(
            InvalidProperty { name: name.to_owned(), ..Default::default() },
            format!("The property '{name}' is not there."),
        )
    }

    /// The request is malformed.
    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(InvalidRequest::default(), message)
    }

    /// The method or the form of it is not simulated, or not offered by this kind of server.
    pub(crate) fn not_supported(what: &str) -> Self {
        Self::new(NotSupported::default(), format!("The operation is not supported: {what}."))
    }

    pub(crate) fn not_authenticated(object: &ManagedObjectReference, privilege: &str) -> Self {
        let mut detail = NotAuthenticated::default();
        detail.object = Some(object.clone());
        detail.privilege_id = Some(privilege.to_owned());
        Self::new(detail, "The session is not authenticated.")
    }

    pub(crate) fn no_permission(object: &ManagedObjectReference, privilege: &str) -> Self {
        let mut detail = NoPermission::default();
        detail.object = Some(object.clone());
        detail.privilege_id = Some(privilege.to_owned());
        Self::new(detail, "Permission to perform this operation was denied.")
    }

    /// As it stands in a task, an event or a missing set.
    pub(crate) fn localized(&self) -> LocalizedMethodFault {
        LocalizedMethodFault { fault: self.detail.clone(), localized_message: Some(self.message.clone()) }
    }

    /// Whether it is a `T`, or a fault that extends it.
    pub(crate) fn is<T: DataType>(&self) -> bool {
        self.detail.is::<T>()
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// As it stands in an answer.
    pub(crate) fn into_soap(self) -> SoapFault {
        let detail: Object = self.detail.into_object();
        SoapFault { code: "ServerFaultCode".to_owned(), reason: self.message, detail: Some(detail) }
    }
}
