//! Objects that are busy: two operations on one object at a time are refused by the server.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use vsphere_model::types::{Any, TaskInProgress};

use super::Task;
use crate::client::Client;
use crate::error::Result;

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
    /// After `ConcurrentAccess` on a reconfiguration, the operation should read the object's `changeVersion` anew: what
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
            if let Some(other) = other.filter(|task| !task.value.is_empty()) {
                let left = deadline.saturating_duration_since(Instant::now());
                let other: Task<Any> = Task::of_others(self, other, "wait", error.target().unwrap_or_default());
                if let Err(error) = other.with_deadline(left).await {
                    // How it ends is the business of whoever started it.
                    tracing::debug!(%error, "the task that was in the way");
                }
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
}
