//! Objects that are busy: two operations on one object at a time are refused by the server.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use vsphere_model::types::{Any, ManagedObjectReference, TaskInProgress};

use super::{Progress, Task};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::find;
use crate::name;
use crate::vm::optional;

/// How long the operations of this crate wait for an object that is busy.
pub(crate) const BUSY: Duration = Duration::from_secs(120);

/// The pause before the first repetition; doubled for each further one, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Ten years: the clock can hold no limit whatever.
const LONGEST_LIMIT: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Client {
    /// Carries out an operation on an object that others may be busy with: again and again for at most `limit`, while
    /// the server refuses it with `TaskInProgress` or `ConcurrentAccess`. Where it names the task that is in the way,
    /// that is waited for.
    ///
    /// After `ConcurrentAccess` on a reconfiguration, the operation should read the object's `changeVersion` again: what
    /// it wants to change may have been changed by others.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use vsphere_ops::managed::VirtualMachine;
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # let vm = client.get::<VirtualMachine>("web-01").await?;
    /// client.retry_while_busy(Duration::from_secs(60), || async { vm.power_off().await?.await }).await
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The last one of the operation.
    pub async fn retry_while_busy<T, F>(&self, limit: Duration, mut operation: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let deadline = Instant::now() + limit.min(LONGEST_LIMIT);
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match operation().await {
                Err(error) if error.is_busy() => error,
                ended => return ended,
            };
            let other = error.fault::<TaskInProgress>().map(|busy| busy.task.clone());
            match other.filter(|task| !task.value.is_empty()) {
                Some(other) => {
                    let name = described(self, &other).await;
                    self.tell_waiting(&error, name.clone());
                    let left = deadline.saturating_duration_since(Instant::now());
                    // Its progress is not that of the operation which waits for it.
                    let other: Task<Any> =
                        Task::of_others(&self.outside_scopes(), other, "wait", error.target().unwrap_or_default());
                    let waits = |progress: Progress| {
                        self.tell_waiting(&error, format!("{name}, {} %", progress.percent));
                    };
                    if let Err(error) = other.with_deadline(left).watch(&waits).await {
                        // How it ends is the business of whoever started it.
                        tracing::debug!(%error, "the task that was in the way");
                    }
                }
                None => self.tell_waiting(&error, "another change of the same object".to_owned()),
            }
            // Spread, so that several that wait for one object do not come at once.
            let next = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
            if Instant::now() + next >= deadline {
                return Err(error);
            }
            tokio::time::sleep(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Says by the scope what the operation that was refused waits for.
    fn tell_waiting(&self, refused: &Error, waits_for: String) {
        if let Some(scope) = self.scope() {
            scope.report_waiting(refused.operation(), refused.target().unwrap_or_default(), waits_for);
        }
    }
}

/// What a task does, to what, and its id.
async fn described(client: &Client, task: &ManagedObjectReference) -> String {
    let id = &task.value;
    let mut values = match find::detail(client, task, &["info.descriptionId", "info.entityName"]).await {
        Ok(values) => values,
        Err(error) => {
            tracing::debug!(%error, "the task that is in the way is known by its id alone");
            return id.clone();
        }
    };
    let does: Option<String> = optional(&mut values, "info.descriptionId");
    let object: Option<String> = optional(&mut values, "info.entityName");
    match (does.filter(|does| !does.is_empty()), object) {
        (Some(does), Some(object)) => format!("{does} of {} ({id})", name::decode(&object)),
        (Some(does), None) => format!("{does} ({id})"),
        (None, _) => id.clone(),
    }
}
