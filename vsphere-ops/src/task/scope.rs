//! The tasks of one piece of work: reported on, and cancelled, together.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::join_all;
use vsphere_model::managed::Task as RawTask;
use vsphere_model::types::ManagedObjectReference;

use super::Progress;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};

/// What belongs together: all tasks that a client [in this scope](Client::in_scope) starts, by whatever operation.
///
/// The scope hears of their progress and can cancel them. After that the client starts no further ones. Cheap to clone;
/// clones are the same scope.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::Scope;
/// use vsphere_ops::managed::VirtualMachine;
///
/// let scope = Scope::new().on_progress(|step| println!("{}: {} %", step.target, step.progress.percent));
/// let client = client.in_scope(&scope);
/// let work = async { client.get::<VirtualMachine>("web-01").await?.power_on().await?.await };
/// tokio::select! {
///     ended = work => println!("{ended:?}"),
///     _ = tokio::signal::ctrl_c() => {
///         for task in scope.cancel().await {
///             println!("{} {:?}: {:?}", task.operation, task.target, task.asked);
///         }
///     }
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Clone, Default)]
pub struct Scope {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    running: Mutex<Vec<Running>>,
    listener: Option<Listener>,
}

type Listener = Box<dyn Fn(&Step) + Send + Sync>;

struct Running {
    client: Client,
    reference: ManagedObjectReference,
    operation: String,
    target: String,
    progress: Progress,
}

/// Progress of one of the tasks in a [`Scope`].
///
/// ```
/// use vsphere_ops::Step;
///
/// fn line(step: &Step) -> String {
///     format!("{} of {} ({}): {} %", step.operation, step.target, step.task, step.progress.percent)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The id of the task; empty where it has not begun.
    pub task: String,
    /// What it does.
    pub operation: String,
    /// The name of the object that it is about.
    pub target: String,
    /// How far it is.
    pub progress: Progress,
    /// What it waits for before it can begin, such as a task of somebody else that holds the object.
    pub waits_for: Option<String>,
}

/// A task that [`Scope::cancel`] asked the server to cancel.
///
/// ```
/// use vsphere_ops::CancelledTask;
///
/// fn line(task: &CancelledTask) -> String {
///     match &task.asked {
///         Ok(()) => format!("{} of {} is being cancelled", task.operation, task.target),
///         Err(error) => format!("{} of {} goes on: {error}", task.operation, task.target),
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct CancelledTask {
    /// The id of the task.
    pub task: String,
    /// What it does.
    pub operation: String,
    /// The name of the object that it is about.
    pub target: String,
    /// Whether the server took the request; how the task ends shows whether it granted it.
    pub asked: Result<()>,
}

impl Scope {
    /// A scope without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// A scope that calls `listener` whenever the server reports progress of one of its tasks.
    #[must_use]
    pub fn on_progress(self, listener: impl Fn(&Step) + Send + Sync + 'static) -> Self {
        Self { inner: Arc::new(Inner { listener: Some(Box::new(listener)), ..Inner::default() }) }
    }

    /// Asks the server to cancel all tasks that run, and lets the scope's clients start no more.
    pub async fn cancel(&self) -> Vec<CancelledTask> {
        self.inner.cancelled.store(true, Ordering::Release);
        let running = std::mem::take(&mut *self.running());
        let asked = running.into_iter().map(|task| async move {
            let raw: RawTask = task.client.raw(&task.reference);
            let asked = raw.cancel_task().await.map_err(Error::from);
            CancelledTask {
                task: task.reference.value,
                asked: asked.map_err(|error| error.in_operation("cancel the task").on(&task.target)),
                operation: task.operation,
                target: task.target,
            }
        });
        join_all(asked).await
    }

    /// The tasks that have begun and not ended, with how far they are.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::Scope;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let scope = Scope::new();
    /// let task = client.in_scope(&scope).get::<VirtualMachine>("web-04").await?.power_on().await?;
    /// assert_eq!(scope.tasks()[0].operation, "power on");
    /// task.await?;
    /// assert!(scope.tasks().is_empty());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn tasks(&self) -> Vec<Step> {
        let running = self.running();
        running
            .iter()
            .map(|task| Step {
                task: task.reference.value.clone(),
                operation: task.operation.clone(),
                target: task.target.clone(),
                progress: task.progress.clone(),
                waits_for: None,
            })
            .collect()
    }

    /// Whether [`cancel`](Self::cancel) was called on this scope or a clone.
    ///
    /// ```
    /// assert!(!vsphere_ops::Scope::new().is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Acquire)
    }

    /// The error of what would start a task after the scope was cancelled.
    pub(super) fn check(&self, operation: &str) -> Result<()> {
        if self.is_cancelled() {
            return Err(Error::new(operation, ErrorKind::Cancelled));
        }
        Ok(())
    }

    /// Takes a task in. One that was started while the scope was being cancelled is cancelled too, in the background.
    pub(super) fn begin(&self, client: &Client, reference: &ManagedObjectReference, operation: &str, target: &str) {
        self.running().push(Running {
            // Without the scope, which would hold itself.
            client: client.outside_scopes(),
            reference: reference.clone(),
            operation: operation.to_owned(),
            target: target.to_owned(),
            progress: Progress { percent: 0, queued: false },
        });
        if self.is_cancelled() {
            let scope = self.clone();
            tokio::spawn(async move { scope.cancel().await });
        }
    }

    /// Forgets a task that has ended.
    pub(super) fn end(&self, reference: &ManagedObjectReference) {
        self.running().retain(|task| task.reference != *reference);
    }

    pub(super) fn report(
        &self,
        reference: &ManagedObjectReference,
        operation: &str,
        target: &str,
        progress: &Progress,
    ) {
        if let Some(task) = self.running().iter_mut().find(|task| task.reference == *reference) {
            task.progress = progress.clone();
        }
        if let Some(listener) = &self.inner.listener {
            listener(&Step {
                task: reference.value.clone(),
                operation: operation.to_owned(),
                target: target.to_owned(),
                progress: progress.clone(),
                waits_for: None,
            });
        }
    }

    /// Says what an operation waits for before it can begin.
    pub(super) fn report_waiting(&self, operation: &str, target: &str, waits_for: String) {
        if let Some(listener) = &self.inner.listener {
            listener(&Step {
                task: String::new(),
                operation: operation.to_owned(),
                target: target.to_owned(),
                progress: Progress { percent: 0, queued: true },
                waits_for: Some(waits_for),
            });
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Vec<Running>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({} tasks, cancelled: {})", self.running().len(), self.is_cancelled())
    }
}
