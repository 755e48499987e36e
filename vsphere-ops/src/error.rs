//! The error of all operations: what was being done, to what, and why it failed.

mod category;
mod circumstance;

use std::fmt;
use std::sync::Arc;

use vsphere_model::types::{LocalizedMethodFault, ManagedObjectReference};
use vsphere_soap::fault::{self, Fact, SoapFault};
use vsphere_soap::object::{DataType, Object};
use vsphere_soap::request::Effect;
use vsphere_soap::session::NoSession;
use vsphere_soap::{Cause, ErrorKind as WireKind, Sent};

use crate::rest::RestFault;

pub use category::Category;
pub use circumstance::Circumstance;

/// A result whose error is [`Error`].
///
/// ```
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::{Client, Result};
///
/// async fn restart(client: &Client, name: &str) -> Result<()> {
///     let vm = client.get::<VirtualMachine>(name).await?;
///     vm.power_off().await?.await?;
///     vm.power_on().await?.await
/// }
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation. Its text is one clause, `operation "target": cause`.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::types::InvalidPowerState;
///
/// let vm = client.get::<VirtualMachine>("web-01").await?;
/// let Err(error) = vm.power_on().await else { return Ok(()) };
/// println!("{error}"); // power on "web-01": …
/// println!("could not {} {:?} ({})", error.operation(), error.target(), error.code());
/// if let Some(fault) = error.fault::<InvalidPowerState>() {
///     println!("it is {} already", fault.existing_state);
/// } else if error.is_busy() || error.is_retryable() {
///     println!("a little later, perhaps; sent: {:?}", error.sent());
/// } else if error.is_fault("VmConfigFault") {
///     println!("its configuration does not fit, by whichever of the faults that extend this one");
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Clone)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Clone)]
struct Inner {
    operation: String,
    target: Option<String>,
    /// Shared, so that one failure can be told to all whom it concerns.
    kind: Arc<ErrorKind>,
    /// Whether it was a change that the server may have carried out, though its answer is missing.
    uncertain: bool,
    circumstance: Option<Circumstance>,
}

/// Why an operation failed.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::ErrorKind;
/// use vsphere_ops::managed::VirtualMachine;
///
/// let vm = client.get::<VirtualMachine>("web-01").await?;
/// let ended = vm.power_off().await?.with_deadline(std::time::Duration::from_secs(5)).await;
/// match ended.as_ref().map_err(|error| error.kind()) {
///     Ok(()) => println!("off"),
///     Err(ErrorKind::Unfinished { task, .. }) => println!("{} goes on", task.value),
///     Err(ErrorKind::Task(fault)) => println!("failed with {}", fault.fault.type_name()),
///     Err(other) => println!("{other}"),
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The connection or the server: a fault, a time limit, an answer that is not SOAP.
    Api(vsphere_soap::Error),
    /// The Automation API (REST) answered with an error.
    Rest(RestFault),
    /// A task ended with this fault.
    Task(LocalizedMethodFault),
    /// A task was not waited for to its end, and goes on: its time was up, or the waiting failed.
    Unfinished {
        /// The task, to look after it later.
        task: ManagedObjectReference,
        /// Why the waiting failed; `None` where its time was up.
        cause: Option<Box<Error>>,
    },
    /// The server lost the session again and again, so that nothing it answered counts; the text says when.
    Session(String),
    /// The server's answers contradict the API or have no end; the text says how.
    Protocol(String),
    /// No object fits.
    NotFound(String),
    /// Several objects fit.
    Ambiguous(Vec<Candidate>),
    /// An argument or a setting makes no sense; the text names it.
    InvalidArgument(String),
    /// The server can't do this; the text says why.
    Unsupported(String),
    /// The object is in a state in which this can't be done; the text names it.
    InvalidState(String),
    /// The object is no longer as it was when this was planned, so that nothing was done; the text says more.
    Changed(String),
    /// What was waited for did not come in time; the text says what was seen instead.
    TimedOut(String),
    /// The server refused the credentials a moment ago, and was not asked again; the text says what it said.
    Refused(String),
    /// The user may not read what the operation needs; the text names it.
    Unreadable(String),
    /// A local file, or another source or sink of the user's, failed.
    File(std::io::Error),
    /// A file is not the one that was expected; the text says by what.
    Corrupt(String),
    /// The work was cancelled before this was begun: see [`Scope`](crate::Scope).
    Cancelled,
}

/// An object that fits a name.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
///
/// if let Err(error) = client.get::<VirtualMachine>("web-01").await {
///     for candidate in error.candidates() {
///         println!("did you mean {}? it is {}", candidate.path, candidate.id);
///     }
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Candidate {
    /// Its inventory path.
    pub path: String,
    /// Its managed object id.
    pub id: String,
}

impl Error {
    /// An error of `operation`, a short verb phrase such as `power on`.
    ///
    /// ```
    /// use vsphere_ops::{Error, ErrorKind};
    ///
    /// let error = Error::new("check", ErrorKind::NotFound("no such ticket".into())).on("INC-1");
    /// let error = error.in_operation("restart");
    /// assert_eq!(error.to_string(), "restart \"INC-1\": no such ticket");
    /// assert!(error.is_not_found() && error.circumstance().is_none());
    /// ```
    pub fn new(operation: impl Into<String>, kind: ErrorKind) -> Self {
        Self {
            inner: Box::new(Inner {
                operation: operation.into(),
                target: None,
                kind: Arc::new(kind),
                uncertain: false,
                circumstance: None,
            }),
        }
    }

    /// Adds what a program should know of the failure beside its kind.
    pub(crate) fn with_circumstance(mut self, circumstance: Circumstance) -> Self {
        self.inner.circumstance = Some(circumstance);
        self
    }

    /// Names the object that the operation was meant for, as the user knows it.
    #[must_use]
    pub fn on(mut self, target: impl Into<String>) -> Self {
        self.inner.target = Some(target.into());
        self
    }

    /// Replaces the operation by the one that the user asked for.
    #[must_use]
    pub fn in_operation(mut self, operation: impl Into<String>) -> Self {
        self.inner.operation = operation.into();
        self
    }

    /// Says whether the request was for a change, so that the text tells when it may have been carried out.
    pub(crate) fn of_a_change(mut self, change: bool) -> Self {
        self.inner.uncertain = match self.kind() {
            ErrorKind::Api(error) => change && error.sent() != Sent::No && has_no_answer(error.kind()),
            _ => false,
        };
        self
    }

    /// The operation that failed.
    pub fn operation(&self) -> &str {
        &self.inner.operation
    }

    /// The object that the operation was meant for.
    pub fn target(&self) -> Option<&str> {
        self.inner.target.as_deref()
    }

    /// Why it failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.inner.kind
    }

    /// The kind of failure, as coarse as a caller decides by it.
    ///
    /// ```
    /// use vsphere_ops::{Category, Error, ErrorKind};
    ///
    /// let error = Error::new("check", ErrorKind::Cancelled);
    /// assert_eq!((error.category(), error.code()), (Category::Cancelled, "cancelled"));
    /// ```
    pub fn category(&self) -> Category {
        if let Some(trouble) = self.guest_trouble()
            && !matches!(self.kind(), ErrorKind::Unfinished { .. })
        {
            return trouble.category();
        }
        match self.kind() {
            ErrorKind::NotFound(_) => Category::NotFound,
            ErrorKind::Ambiguous(_) => Category::Ambiguous,
            ErrorKind::InvalidArgument(_) => Category::InvalidArgument,
            ErrorKind::Unsupported(_) => Category::Unsupported,
            ErrorKind::InvalidState(_) => Category::InvalidState,
            ErrorKind::Changed(_) => Category::Changed,
            ErrorKind::TimedOut(_) => Category::Timeout,
            ErrorKind::Unreadable(_) => Category::Permission,
            ErrorKind::Rest(fault) => fault.category(),
            ErrorKind::Refused(_) => Category::Auth,
            ErrorKind::File(_) => Category::File,
            ErrorKind::Corrupt(_) => Category::Corrupt,
            ErrorKind::Cancelled => Category::Cancelled,
            ErrorKind::Session(_) => Category::Session,
            ErrorKind::Protocol(_) => Category::Protocol,
            ErrorKind::Unfinished { cause, .. } => {
                match cause.as_ref().map_or(Category::Timeout, |cause| cause.category()) {
                    // What was not found is what it was watched with: the task goes on.
                    Category::NotFound => Category::Session,
                    category => category,
                }
            }
            ErrorKind::Task(_) | ErrorKind::Api(_) if self.is_refused() => Category::Permission,
            ErrorKind::Task(_) if self.is_fault("RequestCanceled") => Category::Cancelled,
            ErrorKind::Task(_) | ErrorKind::Api(_) if self.is_fault("RestrictedVersion") => Category::Unsupported,
            ErrorKind::Task(_) => Category::Fault,
            ErrorKind::Api(error) => match error.kind() {
                WireKind::NoSession(NoSession::Renewal(cause))
                    if cause.fault().is_none() && cause.status() != Some(401) && is_protocol(cause.kind()) =>
                {
                    Category::Protocol
                }
                WireKind::NoSession(NoSession::Renewal(cause))
                    if cause.fault().is_none() && cause.status() != Some(401) =>
                {
                    Category::Connection
                }
                WireKind::NoSession(NoSession::NotAllowed(_)) => Category::Permission,
                WireKind::NoSession(NoSession::LostAgain(_)) => Category::Session,
                WireKind::NoSession(_) => Category::Auth,
                WireKind::Fault(fault) if fault.is_named("InvalidLogin") => Category::Auth,
                WireKind::Fault(fault) if fault.is_named("NotAuthenticated") => Category::Session,
                WireKind::Fault(fault) if fault.is_named("ManagedObjectNotFound") => Category::NotFound,
                WireKind::Fault(_) => Category::Fault,
                WireKind::Timeout { .. } => Category::Timeout,
                WireKind::Config(_) => Category::Config,
                WireKind::Denied(_) => Category::Permission,
                WireKind::Source(_) => Category::File,
                kind if is_protocol(kind) => Category::Protocol,
                _ => Category::Connection,
            },
        }
    }

    /// The word for the [category](Self::category), for programs: `not_found`.
    pub fn code(&self) -> &'static str {
        self.category().as_str()
    }

    /// The objects that fit, where several do.
    pub fn candidates(&self) -> &[Candidate] {
        match self.kind() {
            ErrorKind::Ambiguous(candidates) => candidates,
            _ => &[],
        }
    }

    /// Whether there is no such object, or no longer.
    pub fn is_not_found(&self) -> bool {
        self.category() == Category::NotFound
    }

    /// Whether the same operation may succeed a little later. Whether it is safe to repeat is another question: see
    /// [`sent`](Self::sent).
    pub fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::Api(error) if error.is_retryable() => true,
            _ => self.is_busy(),
        }
    }

    /// Whether another task holds the object, or has just changed it. See [`Client::retry_while_busy`](crate::Client::retry_while_busy).
    pub fn is_busy(&self) -> bool {
        self.is_fault("TaskInProgress") || self.is_fault("ConcurrentAccess")
    }

    /// Whether the server refused it for want of a right. `NotAuthenticated` extends `NoPermission`, and says that there
    /// is no session.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_fault("NoPermission") && !self.is_fault("NotAuthenticated")
    }

    /// What a program should know of the failure beside its kind, where there is such a fact.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::Circumstance;
    /// use vsphere_ops::vm::{self, NewClone, Start};
    ///
    /// let new = NewClone { name: "web-05".into(), start: Start::On, ..NewClone::of("tpl-ubuntu-24.04") };
    /// if let Err(error) = vm::clone(&client, &new).await {
    ///     match error.circumstance() {
    ///         Some(Circumstance::Created(vm)) => println!("{} exists, but did not power on: {error}", vm.value),
    ///         _ => println!("{error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn circumstance(&self) -> Option<&Circumstance> {
        self.inner.circumstance.as_ref()
    }

    /// Whether the server may have carried out the request that failed.
    ///
    /// ```
    /// use vsphere_ops::{Error, ErrorKind, Sent};
    ///
    /// let error = Error::new("clone", ErrorKind::InvalidArgument("the name is empty".into()));
    /// assert_eq!(error.sent(), Sent::No); // nothing has happened: correct it and try again
    /// ```
    pub fn sent(&self) -> Sent {
        match self.kind() {
            ErrorKind::Api(error) => error.sent(),
            ErrorKind::Task(_) | ErrorKind::Rest(_) | ErrorKind::Unfinished { .. } => Sent::Yes,
            _ => Sent::No,
        }
    }

    /// What a failure on the way to the server and back comes down to, for whoever is to mend it.
    ///
    /// ```
    /// # async fn run() {
    /// use vsphere_ops::{Cause, Client, Config};
    ///
    /// let Err(error) = Client::connect(Config::new("vcenter.example")).await else { return };
    /// match error.cause() {
    ///     Some(Cause::UnknownHost) => println!("is the name right?"),
    ///     Some(Cause::Untrusted | Cause::OtherPin) => println!("whose certificate is that?"),
    ///     _ => println!("{error}"),
    /// }
    /// # }
    /// ```
    pub fn cause(&self) -> Option<Cause> {
        match self.kind() {
            ErrorKind::Api(error) => error.cause(),
            ErrorKind::Unfinished { cause: Some(cause), .. } => cause.cause(),
            _ => None,
        }
    }

    /// The wire name of the API's fault, where that is the cause: `NoPermission`.
    ///
    /// ```
    /// fn is_busy(error: &vsphere_ops::Error) -> bool {
    ///     matches!(error.fault_name(), Some("TaskInProgress" | "ConcurrentAccess"))
    /// }
    /// ```
    pub fn fault_name(&self) -> Option<&str> {
        self.fault_object().map(Object::type_name)
    }

    /// What the API's fault tells beside its message, such as the privilege that is missing, and on which object.
    ///
    /// ```
    /// fn missing_privilege(error: &vsphere_ops::Error) -> Option<String> {
    ///     let facts = error.fault_facts();
    ///     facts.iter().find(|fact| fact.field == "privilegeId").map(|fact| fact.value.clone())
    /// }
    /// ```
    pub fn fault_facts(&self) -> Vec<Fact> {
        self.fault_object().map(fault::facts).unwrap_or_default()
    }

    fn fault_object(&self) -> Option<&Object> {
        match self.kind() {
            ErrorKind::Api(error) => error.fault().and_then(|fault| fault.detail.as_ref()),
            ErrorKind::Task(fault) => Some(fault.fault.as_object()),
            ErrorKind::Unfinished { cause: Some(cause), .. } => cause.fault_object(),
            _ => None,
        }
    }

    /// The API's fault, as a `T`, where that is the cause.
    pub fn fault<T: DataType>(&self) -> Option<&T> {
        match self.kind() {
            ErrorKind::Api(error) => error.fault().and_then(SoapFault::downcast_ref),
            ErrorKind::Task(fault) => fault.fault.downcast_ref(),
            _ => None,
        }
    }

    /// Whether the API's fault with this wire name, or one that extends it, is the cause.
    pub fn is_fault(&self, name: &str) -> bool {
        match self.kind() {
            ErrorKind::Api(error) => error.fault().is_some_and(|fault| fault.is_named(name)),
            ErrorKind::Task(fault) => {
                let object = fault.fault.as_object();
                object.type_name() == name || object.data().info().lineage().any(|info| info.name() == name)
            }
            _ => false,
        }
    }
}

impl From<vsphere_soap::Error> for Error {
    fn from(error: vsphere_soap::Error) -> Self {
        let (operation, target) = (error.operation().to_owned(), error.target().map(str::to_owned));
        let changes = error.effect() == Some(Effect::Changes);
        let inner =
            Inner { operation, target, kind: Arc::new(ErrorKind::Api(error)), uncertain: false, circumstance: None };
        Self { inner: Box::new(inner) }.of_a_change(changes)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target() {
            Some(target) => write!(f, "{} {target:?}: {}", self.operation(), self.kind())?,
            None => write!(f, "{}: {}", self.operation(), self.kind())?,
        }
        if self.inner.uncertain {
            f.write_str("; the request may have been carried out")?;
        }
        match self.circumstance().and_then(Circumstance::told) {
            Some(told) => write!(f, "; {told}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(error) => error.kind().fmt(f),
            Self::Rest(fault) => fault.fmt(f),
            Self::Task(fault) => {
                let message = fault.localized_message.as_deref().unwrap_or_default();
                f.write_str(&fault::in_words(message, fault.fault.as_object()))
            }
            Self::Unfinished { task, cause: None } => {
                write!(f, "{} goes on, its time to be waited for is up", task.value)
            }
            Self::Unfinished { task, cause: Some(cause) } => {
                write!(f, "{} goes on, but could not be waited for: {}", task.value, cause.kind())
            }
            Self::Session(text)
            | Self::Protocol(text)
            | Self::NotFound(text)
            | Self::InvalidArgument(text)
            | Self::Unsupported(text)
            | Self::InvalidState(text)
            | Self::Changed(text)
            | Self::TimedOut(text)
            | Self::Unreadable(text) => f.write_str(text),
            Self::Refused(text) => write!(f, "the credentials were refused a moment ago, and not tried again: {text}"),
            Self::File(cause) => write!(f, "the local file or stream failed: {cause}"),
            Self::Corrupt(text) => f.write_str(text),
            Self::Cancelled => f.write_str("not begun, because the work was cancelled"),
            Self::Ambiguous(candidates) => {
                write!(f, "{} objects fit: ", candidates.len())?;
                for (index, candidate) in candidates.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{} ({})", candidate.path, candidate.id)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { operation, target, kind, .. } = &*self.inner;
        f.debug_struct("Error").field("operation", operation).field("target", target).field("kind", kind).finish()
    }
}

/// The text of an error says all that is known, down to what the system says: it has no source.
impl std::error::Error for Error {}

/// Whether an answer came that is not what the API describes.
fn is_protocol(kind: &WireKind) -> bool {
    matches!(kind, WireKind::Decode { .. } | WireKind::NotSoap { .. } | WireKind::NotAFile { .. })
}

/// Whether the server may have done what was asked without our knowing how it went.
fn has_no_answer(kind: &WireKind) -> bool {
    !matches!(kind, WireKind::Fault(_) | WireKind::NoSession(_) | WireKind::Config(_) | WireKind::Denied(_))
}

/// An error from what a caller gave.
pub(crate) fn invalid(operation: &str, text: impl Into<String>) -> Error {
    Error::new(operation, ErrorKind::InvalidArgument(text.into()))
}
