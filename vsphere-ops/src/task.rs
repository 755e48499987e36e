//! Tasks: started, watched, and waited for without polling.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

use vsphere_model::managed::{PropertyCollector, Task as RawTask};
use vsphere_model::types::{
    Any, LocalizedMethodFault, ManagedObjectReference, ObjectSpec, PropertyFilterSpec, PropertySpec, TaskInfoState,
    UpdateSet, WaitOptions,
};
use vsphere_soap::object::FromAny;
use vsphere_soap::request::ManagedObject;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::guard;

/// How long the server holds an answer back when nothing changes, in seconds. Well under the time-outs of proxies.
const HOLD: i32 = 30;

/// A task on the server that yields a `T`. Awaited, it waits for the end of the task.
///
/// Dropping it, or the future, stops the waiting and not the task; [`cancel`](Self::cancel) stops the task.
#[must_use = "a task goes on by itself, but only awaiting it tells how it ends"]
pub struct Task<T> {
    client: Client,
    reference: ManagedObjectReference,
    operation: String,
    target: String,
    listener: Option<Listener>,
    result: PhantomData<fn() -> T>,
}

type Listener = Box<dyn Fn(Progress) + Send + Sync>;

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Per cent of the work that is done.
    pub percent: u8,
    /// Whether the task waits for its turn.
    pub queued: bool,
}

impl<T> Task<T> {
    /// The task that an API method has started on `target`.
    pub fn new(
        client: &Client,
        reference: ManagedObjectReference,
        operation: impl Into<String>,
        target: impl Into<String>,
    ) -> Self {
        Self {
            client: client.clone(),
            reference,
            operation: operation.into(),
            target: target.into(),
            listener: None,
            result: PhantomData,
        }
    }

    /// The reference (moref) of the task.
    pub fn reference(&self) -> &ManagedObjectReference {
        &self.reference
    }

    /// Calls `listener` whenever the server reports progress.
    pub fn on_progress(mut self, listener: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Asks the server to cancel the task. Whether it does shows in how the task ends.
    ///
    /// # Errors
    /// A fault where the task can't be cancelled, and those of the connection.
    pub async fn cancel(&self) -> Result<()> {
        let task: RawTask = self.client.raw(&self.reference);
        task.cancel_task().await.map_err(|error| Error::from(error).in_operation("cancel the task").on(&self.target))
    }

    /// Waits for the end of the task, and calls `listener` whenever the server reports progress.
    ///
    /// # Errors
    /// The fault that the task ended with, and those of the connection.
    pub async fn watch(self, listener: &(dyn Fn(Progress) + Send + Sync)) -> Result<T>
    where
        T: FromAny,
    {
        let result = self.wait(listener).await?;
        result.take().map_err(|mismatch| {
            let text = format!("the task succeeded, but its result is not what the API says: {mismatch}");
            Error::new(self.operation.clone(), ErrorKind::Unsupported(text)).on(self.target.clone())
        })
    }

    async fn wait(&self, listener: &(dyn Fn(Progress) + Send + Sync)) -> Result<Any> {
        let failed = |error: Error| error.in_operation(&self.operation).on(&self.target);
        let mut waiter = Waiter::open(&self.client, &self.reference).await.map_err(failed)?;
        let mut state = State::default();
        loop {
            let update = match waiter.next().await {
                Ok(update) => update,
                // The session was renewed: the collector ended with the old one, the task did not.
                Err(error) if error.is_not_found() => {
                    waiter = Waiter::open(&self.client, &self.reference).await.map_err(failed)?;
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            state.apply(update);
            if let Some(progress) = state.progress() {
                listener(progress);
            }
            // `cancelled` alone is not an end: only these two states are.
            match state.state {
                Some(TaskInfoState::Success) => break,
                Some(TaskInfoState::Error) => {
                    let fault = state.error.take().unwrap_or_default();
                    waiter.close().await;
                    return Err(failed(Error::new("wait", ErrorKind::Task(fault))));
                }
                _ => {}
            }
        }
        waiter.close().await;
        Ok(state.result)
    }
}

impl<T: FromAny + 'static> IntoFuture for Task<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            match self.listener.take() {
                Some(listener) => self.watch(&*listener).await,
                None => self.watch(&|_| ()).await,
            }
        })
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({} of {:?}, {})", self.operation, self.target, self.reference.value)
    }
}

/// What is known of a task.
#[derive(Default)]
struct State {
    state: Option<TaskInfoState>,
    percent: Option<i32>,
    error: Option<LocalizedMethodFault>,
    result: Any,
}

impl State {
    fn apply(&mut self, update: UpdateSet) {
        let objects = update.filter_set.into_iter().flat_map(|filter| filter.object_set);
        for change in objects.flat_map(|object| object.change_set) {
            let value = change.val.unwrap_or_default();
            match change.name.as_str() {
                "info.state" => self.state = value.take().ok(),
                "info.progress" => self.percent = value.take().ok(),
                "info.error" => self.error = value.take().ok(),
                "info.result" => self.result = value,
                _ => {}
            }
        }
    }

    fn progress(&self) -> Option<Progress> {
        let percent = match self.state {
            Some(TaskInfoState::Success) => 100,
            _ => self.percent.unwrap_or(0).clamp(0, 100),
        };
        let queued = matches!(self.state, Some(TaskInfoState::Queued));
        self.state.as_ref()?;
        Some(Progress { percent: u8::try_from(percent).unwrap_or(100), queued })
    }
}

/// A property collector of its own with a filter on one task. Others' waits can't disturb it.
struct Waiter {
    collector: Option<PropertyCollector>,
    version: String,
}

impl Waiter {
    async fn open(client: &Client, task: &ManagedObjectReference) -> Result<Self> {
        let waits = client.clone();
        // It is destroyed whatever happens, even when nobody waits for it any more.
        let waiter = guard::made(client, |maker| async move {
            let reference = maker.collector().create_property_collector().await?;
            Ok(Self { collector: Some(waits.raw(&reference)), version: String::new() })
        })
        .await?;
        let Some(collector) = &waiter.collector else { return Ok(waiter) };
        let paths = ["info.state", "info.progress", "info.error", "info.result"];
        let spec = PropertyFilterSpec {
            prop_set: vec![PropertySpec {
                type_: "Task".into(),
                path_set: paths.iter().map(|path| (*path).to_owned()).collect(),
                ..Default::default()
            }],
            object_set: vec![ObjectSpec { obj: task.clone(), ..Default::default() }],
            ..Default::default()
        };
        collector.create_filter(&spec, true).await?;
        Ok(waiter)
    }

    /// The next changes. The first answer has the state as it is, so that a task that is done already is seen.
    async fn next(&mut self) -> Result<UpdateSet> {
        let Some(collector) = &self.collector else { return Ok(UpdateSet::default()) };
        let options = WaitOptions { max_wait_seconds: Some(HOLD), ..Default::default() };
        loop {
            if let Some(update) = collector.wait_for_updates_ex(Some(&self.version), Some(&options)).await? {
                self.version.clone_from(&update.version);
                return Ok(update);
            }
        }
    }

    async fn close(mut self) {
        if let Some(collector) = self.collector.take() {
            destroy(collector).await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let (Some(collector), Ok(runtime)) = (self.collector.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(destroy(collector));
        }
    }
}

async fn destroy(collector: PropertyCollector) {
    if let Err(error) = collector.destroy_property_collector().await {
        tracing::debug!(%error, "a property collector was left to end with the session");
    }
}

/// Starts an API method that returns a task, for an operation of this crate.
pub(crate) async fn start<T, M: ManagedObject>(
    object: &crate::mo::Mo<M>,
    operation: &str,
    request: vsphere_soap::request::Request<ManagedObjectReference>,
) -> Result<Task<T>> {
    let reference = request.await.map_err(|error| Error::from(error).in_operation(operation).on(object.label()))?;
    Ok(Task::new(object.client(), reference, operation, object.label()))
}
