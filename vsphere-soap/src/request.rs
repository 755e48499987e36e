//! Requests: a method, the object it is called on, and its arguments; nothing is sent before it is awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::codec::EncodeError;
use crate::envelope::{self, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::object::{Any, DataObject, FieldInfo, FromAny, ManagedObjectReference, ManagedType, Value};
use crate::secrets::Secrets;

/// The static description of a method of the API.
#[derive(Debug)]
pub struct Method {
    /// The operation's name on the wire (`PowerOnVM_Task`).
    pub name: &'static str,
    /// The managed object type that has the method; empty where it is not known.
    pub owner: &'static str,
    /// The parameters after `_this`.
    pub params: &'static [FieldInfo],
    /// The result, where there is one.
    pub result: Option<FieldInfo>,
    /// The privilege that a caller needs on the object.
    pub privilege: Option<&'static str>,
    /// What carrying it out does to the server.
    pub effect: Effect,
}

/// What carrying out a method does to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing, however often it is carried out.
    Reads,
    /// It makes something that ends with the session and is visible to it alone, such as a view.
    Session,
    /// It changes something, or takes something away.
    Changes,
}

impl Effect {
    /// Whether carrying it out twice does no harm.
    pub fn is_repeatable(self) -> bool {
        self != Self::Changes
    }
}

impl Method {
    /// Whether the method starts a task and returns a reference to it.
    pub fn is_task(&self) -> bool {
        self.name.ends_with("_Task")
    }
}

/// A request that is ready to be sent.
pub struct Operation {
    /// The method.
    pub method: &'static Method,
    /// The object that it is called on.
    pub target: ManagedObjectReference,
    /// The SOAP document.
    pub document: String,
    /// The values of its secret fields.
    pub secrets: Secrets,
}

/// The document may hold secrets: it is not shown.
impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation({} on {}, {} bytes)", self.method.name, self.target, self.document.len())
    }
}

/// Something that can carry out operations: a session, or a client that manages one.
#[async_trait]
pub trait Caller: fmt::Debug + Send + Sync {
    /// Sends the operation and reads its answer.
    ///
    /// # Errors
    /// Connection errors, server errors, and errors of reading the answer.
    async fn call(&self, operation: &Operation) -> Result<Any>;

    /// As [`call`](Self::call), but shows each item of the lists in the answer to `items` as soon as it is read. One that changes
    /// answers shows none, as it is by default: what is taken there has gone past it.
    ///
    /// # Errors
    /// Those of [`call`](Self::call). Items of an answer that ends in an error, or that was asked for again, have been shown.
    async fn call_with(&self, operation: &Operation, items: Items<'_>) -> Result<Any> {
        let _ = items;
        self.call(operation).await
    }
}

/// Is shown the items of an answer, and may take out what they hold: a long answer need not be in memory as a whole then.
pub type Items<'a> = &'a (dyn Fn(&mut dyn DataObject) + Send + Sync);

/// A managed object that methods can be called on: its reference, and the caller that carries them out.
#[derive(Clone)]
pub struct Handle {
    caller: Arc<dyn Caller>,
    reference: ManagedObjectReference,
}

impl Handle {
    /// A handle of the object with this reference.
    pub fn new(caller: Arc<dyn Caller>, reference: ManagedObjectReference) -> Self {
        Self { caller, reference }
    }

    /// The reference (moref) of the object.
    pub fn reference(&self) -> &ManagedObjectReference {
        &self.reference
    }

    /// The caller that carries out its methods.
    pub fn caller(&self) -> &Arc<dyn Caller> {
        &self.caller
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reference.fmt(f)
    }
}

/// A managed object type that handles can be made of.
pub trait ManagedObject: ManagedType + Clone + fmt::Debug + Send + Sync + 'static {
    /// The object with this handle.
    fn from_handle(handle: Handle) -> Self;

    /// Its handle.
    fn handle(&self) -> &Handle;

    /// The object with this reference.
    fn new(caller: &Arc<dyn Caller>, reference: ManagedObjectReference) -> Self {
        Self::from_handle(Handle::new(Arc::clone(caller), reference))
    }
}

/// A call of a method that answers with a `T`. It is sent when it is awaited.
#[must_use = "a request is sent when it is awaited"]
pub struct Request<T> {
    caller: Arc<dyn Caller>,
    method: &'static Method,
    target: ManagedObjectReference,
    written: Result<Written, EncodeError>,
    answer: PhantomData<fn() -> T>,
}

impl<T> Request<T> {
    /// A call of `method` on the object of `handle`, with a value per parameter.
    pub fn new(handle: &Handle, method: &'static Method, values: &[Value<'_>]) -> Self {
        Self {
            caller: Arc::clone(&handle.caller),
            method,
            target: handle.reference.clone(),
            written: envelope::write_request(method, &handle.reference, values),
            answer: PhantomData,
        }
    }

    /// The method.
    pub fn method(&self) -> &'static Method {
        self.method
    }

    /// The SOAP document that will be sent. It may hold secrets.
    ///
    /// # Errors
    /// A text has a character that XML can't carry.
    pub fn document(&self) -> Result<&str, EncodeError> {
        self.written.as_ref().map(|written| written.document.as_str()).map_err(Clone::clone)
    }
}

impl<T: FromAny + 'static> Request<T> {
    /// Sends it, and shows each item of the lists in the answer to `items` as soon as it is read. The answer has what was not
    /// taken.
    ///
    /// # Errors
    /// As awaiting it. Items that were shown before an error are of an answer that can't be read to its end.
    pub async fn with_items(self, items: Items<'_>) -> Result<T> {
        self.send(Some(items)).await
    }

    async fn send(self, items: Option<Items<'_>>) -> Result<T> {
        let Self { caller, method, target, written, .. } = self;
        let fail = |kind| Error::new(method.name, kind).on(target.to_string()).with_effect(method.effect);
        let Written { document, secrets } = written.map_err(|bad| fail(ErrorKind::Config(bad.to_string())))?;
        let operation = Operation { method, target: target.clone(), document, secrets };
        let any = match items {
            Some(items) => caller.call_with(&operation, items).await?,
            None => caller.call(&operation).await?,
        };
        any.take().map_err(|mismatch| {
            let message = format!("the answer of {}: {mismatch}", method.name);
            let message = operation.secrets.strike(&message).into_owned();
            fail(ErrorKind::Decode { message: message.into(), offset: 0 })
        })
    }
}

impl<T> fmt::Debug for Request<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} on {})", self.method.name, self.target)
    }
}

impl<T: FromAny + 'static> IntoFuture for Request<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send(None))
    }
}
