//! Tasks of others: waited for, and cancelled.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vsphere_model::managed::Task as RawTask;
use vsphere_model::types::{Any, ManagedObjectReference, NotSupported, TaskInfoState};

use super::{Progress, Task, TaskReport};
use crate::client::Client;
use crate::error::{Circumstance, Error, ErrorKind, Result};

/// How long a task that was told to cancel is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A task that is to be cancelled, as it is now.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
///
/// let task = client.get::<VirtualMachine>("web-04").await?.power_on().await?;
/// let plan = client.task_cancellation(&task.reference().value).await?;
/// println!("{} of {:?} would be cancelled", plan.task.operation, plan.task.entity);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is cancelled before `carry_out`"]
pub struct TaskCancellation {
    #[serde(skip)]
    client: Client,
    /// The task.
    pub task: TaskReport,
}

/// What became of a task that was to be cancelled.
///
/// ```
/// use vsphere_ops::task::{CancelOutcome, CancelledByRequest};
///
/// fn is_over(cancelled: &CancelledByRequest) -> bool {
///     cancelled.outcome != CancelOutcome::Ending
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CancelledByRequest {
    /// What became of it.
    pub outcome: CancelOutcome,
    /// Whether this call has ended it.
    pub changed: bool,
    /// The task as it is now.
    pub task: TaskReport,
}

/// How a request to cancel a task ended.
///
/// ```
/// use vsphere_ops::task::CancelOutcome;
///
/// assert_eq!(serde_json::to_string(&CancelOutcome::HadEnded)?, "\"had_ended\"");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CancelOutcome {
    /// It was cancelled.
    Cancelled,
    /// It had ended before, or came to its own end in spite of the request.
    HadEnded,
    /// The server took the request, and the task has not ended yet.
    Ending,
}

impl Client {
    /// Waits until the task with this id has ended, at most for `patience`. Any user may have started it. The report says whether
    /// it has; a task that failed is no error of this call.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use std::time::Duration;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let started = client.get::<VirtualMachine>("web-04").await?.power_on().await?;
    /// // In another program, which knows the id alone:
    /// let id = &started.reference().value;
    /// let task = client.wait_for_task(id, Duration::from_secs(50), |progress| println!("{} %", progress.percent)).await?;
    /// println!("{}", task.state);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if the server knows no such task, and connection errors.
    pub async fn wait_for_task(
        &self,
        id: &str,
        patience: Duration,
        on_progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<TaskReport> {
        let before = self.task_report(id).await?;
        if before.has_ended() {
            return Ok(before);
        }
        let reference = ManagedObjectReference::new("Task", id);
        let target = before.entity.clone().unwrap_or_else(|| id.to_owned());
        let task: Task<Any> = Task::of_others(self, reference, before.operation, target);
        match task.with_deadline(patience).on_progress(on_progress).await {
            // Success and failure alike: the report says which.
            Ok(_) => {}
            Err(error) => match error.kind() {
                ErrorKind::Task(_) | ErrorKind::NotFound(_) | ErrorKind::Unfinished { cause: None, .. } => {}
                _ => return Err(error),
            },
        }
        self.task_report(id).await
    }

    /// Plans to cancel the task with this id, started by any user.
    ///
    /// # Errors
    /// `not_found` if the server knows no such task, and server errors.
    pub async fn task_cancellation(&self, id: &str) -> Result<TaskCancellation> {
        Ok(TaskCancellation { client: self.clone(), task: self.task_report(id).await? })
    }
}

impl TaskCancellation {
    /// Asks the server to cancel the task, and waits a few seconds for its end. Privilege:
    /// `Global.CancelTask`.
    ///
    /// # Errors
    /// [`Circumstance::NotCancelable`] if the server can't cancel this task, and server errors.
    pub async fn carry_out(&self) -> Result<CancelledByRequest> {
        let id = &self.task.id;
        let failed = |error: Error| error.in_operation("cancel the task").on(id.clone());
        if self.task.has_ended() {
            return Ok(CancelledByRequest::of(self.task.clone(), false));
        }
        let raw: RawTask = self.client.raw(&ManagedObjectReference::new("Task", id));
        let asked = raw.cancel_task().await.map_err(|error| failed(error.into()));
        match asked {
            Ok(()) => {
                let task = self.client.wait_for_task(id, PATIENCE, |_| ()).await.map_err(failed)?;
                Ok(CancelledByRequest::of(task, true))
            }
            // It came to its end meanwhile.
            Err(error) if error.is_fault("InvalidState") || error.is_not_found() => {
                let task = self.client.task_report(id).await.map_err(failed)?;
                Ok(CancelledByRequest::of(task, false))
            }
            Err(error) if error.fault::<NotSupported>().is_some() => {
                Err(error.with_circumstance(Circumstance::NotCancelable))
            }
            Err(error) => Err(error),
        }
    }
}

impl TaskReport {
    /// Whether the task has ended, well or not.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let running = client.tasks().report(100).await?.items.into_iter().filter(|task| !task.has_ended());
    /// println!("{} tasks go on", running.count());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn has_ended(&self) -> bool {
        matches!(self.state, TaskInfoState::Success | TaskInfoState::Error)
    }
}

impl CancelledByRequest {
    fn of(task: TaskReport, asked: bool) -> Self {
        let was_cancelled = task.error.as_ref().is_some_and(|error| error.fault == "RequestCanceled");
        let outcome = match task.has_ended() {
            true if was_cancelled => CancelOutcome::Cancelled,
            true => CancelOutcome::HadEnded,
            false => CancelOutcome::Ending,
        };
        Self { outcome, changed: asked && outcome != CancelOutcome::HadEnded, task }
    }
}
