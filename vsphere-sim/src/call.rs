//! A call of a method: what the client asked, and how it is answered.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use vsphere_model::types::UserSession;
use vsphere_soap::codec::Encoder;
use vsphere_soap::object::{Any, FromAny};
use vsphere_soap::request::Method;

use crate::core::Core;
use crate::fault::{Fault, Outcome};
use crate::world::{Moref, TaskPlan, World};

/// A call of a method.
pub(crate) struct Call {
    pub(crate) core: Arc<Core>,
    /// The key of the caller's session.
    pub(crate) session: Option<String>,
    /// The caller's address and program.
    pub(crate) peer: Peer,
    pub(crate) method: &'static Method,
    /// The object that it is called on.
    pub(crate) target: Moref,
    pub(crate) arguments: Vec<Any>,
}

/// Who calls, as the transport tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub(crate) address: String,
    pub(crate) user_agent: String,
    /// The name and port that the client reached the server by.
    pub(crate) host: String,
    /// Over TLS.
    pub(crate) secure: bool,
}

impl Call {
    /// A required argument.
    ///
    /// # Errors
    /// `InvalidArgument` where it is missing or of another type.
    pub(crate) fn arg<T: FromAny>(&self, name: &str) -> Outcome<T> {
        self.any(name).take().map_err(|_| Fault::invalid_argument(name))
    }

    /// An argument that may be left out.
    ///
    /// # Errors
    /// `InvalidArgument` where it is of another type.
    pub(crate) fn opt<T: FromAny>(&self, name: &str) -> Outcome<Option<T>> {
        self.arg(name)
    }

    fn any(&self, name: &str) -> Any {
        let position = self.method.params.iter().position(|param| param.name == name);
        position.and_then(|position| self.arguments.get(position)).cloned().unwrap_or_default()
    }

    /// The key of the session.
    ///
    /// # Errors
    /// `NotAuthenticated`.
    pub(crate) fn session(&self) -> Outcome<&str> {
        self.session.as_deref().ok_or_else(|| Fault::not_authenticated(&self.target, "System.View"))
    }

    /// The name of the caller's user.
    pub(crate) fn user(&self, world: &World) -> String {
        world.sessions.user_name(self.session.as_deref())
    }

    /// A task of this call.
    pub(crate) fn task(&self) -> TaskPlan<'_> {
        TaskPlan::new(self)
    }
}

/// An answer.
pub(crate) enum Reply {
    /// The value of `returnval`; nothing for methods without a result.
    Value(Any),
    /// The session of a login, whose key becomes the cookie.
    Session(UserSession),
    /// No SOAP at all, but HTTP's 503: so a server that is full answers.
    Unavailable(&'static str),
    /// The elements `returnval` as they are: for answers that are too big to be copied first.
    Xml(Encoder),
}

impl Reply {
    /// No result.
    pub(crate) const NONE: Self = Self::Value(Any::Unset);

    pub(crate) fn of(value: impl Into<Any>) -> Self {
        Self::Value(value.into())
    }

    pub(crate) fn list<T: Into<Any>>(values: Vec<T>) -> Self {
        let items = values.into_iter().map(Into::into).collect();
        // The name of the items is in the method's declaration.
        Self::Value(Any::Array(vsphere_soap::object::Array { item: String::new(), items }))
    }
}

/// What carries out a method.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// Looks at the world, beside others that do.
    Read(fn(&World, &Call) -> Outcome<Reply>),
    /// Changes the world.
    Write(fn(&mut World, &Call) -> Outcome<Reply>),
    /// Waits for something.
    Wait(fn(Arc<Call>) -> Waiting),
}

/// An answer that takes its time.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Outcome<Reply>> + Send>>;

/// The methods that a kind of managed object has: its type or one that it extends, the method, who carries it out.
pub(crate) type Methods = &'static [(&'static str, &'static str, Handler)];
