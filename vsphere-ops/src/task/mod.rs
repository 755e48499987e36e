//! Tasks: started, watched, and waited for without polling.
//!
//! ```
//! use std::time::Duration;
//! use futures::TryStreamExt;
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::{TaskEvent, wait_all};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let vm = client.get::<VirtualMachine>("web-04").await?;
//! vm.power_on().await?.await?;                                              // wait for its end
//! vm.power_off().await?.with_deadline(Duration::from_secs(60)).await?;       // but no longer than this
//!
//! let mut events = vm.power_on().await?.events();                            // progress as a stream
//! while let Some(event) = events.try_next().await? {
//!     if let TaskEvent::Progress(progress) = event {
//!         println!("{} %", progress.percent);
//!     }
//! }
//!
//! let mut tasks = Vec::new();
//! for (vm, ()) in client.find::<VirtualMachine>("web-*").select(()).await? {
//!     tasks.push(vm.power_off().await?);
//! }
//! for ended in wait_all(tasks).await {                                       // many, with one filter
//!     ended?;
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```

mod busy;
mod control;
mod history;
mod scope;
mod watch;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, Stream};
use tokio::time::Instant;
use vsphere_model::managed::Task as RawTask;
use vsphere_model::types::{
    Any, ManagedObjectReference, ObjectSpec, Poly, PropertyFilterSpec, TaskInfo, TraversalSpec,
};
use vsphere_soap::object::{FromAny, Mismatch};
use vsphere_soap::request::{ManagedObject, Request};

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::read::{self, property_spec};
pub(crate) use busy::BUSY;
pub use control::{CancelOutcome, CancelledByRequest, TaskCancellation};
pub use history::{RecentTasks, TaskFailure, TaskQuery, TaskReport};
pub use scope::{CancelledTask, Scope, Step};
use watch::{Outcome, Watch};

/// A task on the server that yields a `T`. Awaited, it waits for the end of the task.
///
/// Dropping it, or the future, stops the waiting and not the task; [`cancel`](Self::cancel) stops the task.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use std::time::Duration;
/// use vsphere_ops::Task;
/// use vsphere_ops::managed::VirtualMachine;
///
/// let vm = client.get::<VirtualMachine>("web-01").await?;
/// let task: Task<()> = vm.power_off().await?;
/// println!("{} has begun", task.reference());
/// task.with_deadline(Duration::from_secs(60)).on_progress(|progress| println!("{} %", progress.percent)).await?;
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[must_use = "a task goes on by itself, but only awaiting it tells how it ends"]
pub struct Task<T> {
    client: Client,
    reference: ManagedObjectReference,
    operation: String,
    target: String,
    listener: Option<Listener>,
    deadline: Option<Duration>,
    result: PhantomData<fn() -> T>,
}

type Listener = Box<dyn Fn(Progress) + Send + Sync>;

/// The progress of a task.
///
/// ```
/// use vsphere_ops::Progress;
///
/// fn show(progress: Progress) {
///     match progress.queued {
///         true => println!("waits for its turn"),
///         false => println!("{} %", progress.percent),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Percentage of the work that is done.
    pub percent: u8,
    /// Whether the task is queued.
    pub queued: bool,
}

/// An event of a task that is watched.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use futures::TryStreamExt;
/// use vsphere_ops::TaskEvent;
/// use vsphere_ops::managed::VirtualMachine;
///
/// let mut events = client.get::<VirtualMachine>("web-04").await?.power_on().await?.events();
/// while let Some(event) = events.try_next().await? {
///     match event {
///         TaskEvent::Progress(progress) => println!("{} %", progress.percent),
///         TaskEvent::Done(()) => println!("it runs"),
///     }
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug)]
pub enum TaskEvent<T> {
    /// It made progress.
    Progress(Progress),
    /// It has succeeded. Nothing follows.
    Done(T),
}

/// What a task can yield: any value of the API, or a managed object by its reference.
///
/// ```
/// use vsphere_ops::{Client, TaskResult};
/// use vsphere_ops::types::{Any, ManagedObjectReference};
/// use vsphere_soap::object::Mismatch;
///
/// /// The id of what a task has made.
/// struct Made(String);
///
/// impl TaskResult for Made {
///     fn from_result(_: &Client, result: Any) -> Result<Self, Mismatch> {
///         let reference: ManagedObjectReference = result.take()?;
///         Ok(Self(reference.value))
///     }
/// }
/// ```
pub trait TaskResult: Sized + Send {
    /// Takes the result of a task.
    ///
    /// # Errors
    /// The value is of another type.
    fn from_result(client: &Client, result: Any) -> Result<Self, Mismatch>;
}

impl<T: FromAny + Send> TaskResult for T {
    fn from_result(_: &Client, result: Any) -> Result<Self, Mismatch> {
        result.take()
    }
}

impl<M: ManagedObject> TaskResult for Mo<M> {
    fn from_result(client: &Client, result: Any) -> Result<Self, Mismatch> {
        let reference: ManagedObjectReference = result.take()?;
        Ok(Self::new(client, &reference, None))
    }
}

impl<T> Task<T> {
    /// The task that an API method has started on `target`.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::{Mo, Task};
    ///
    /// // Any method of the API that starts a task.
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// let reference = vm.create_snapshot_task("before the update", None, false, true).await?;
    /// let task: Task<Mo<vsphere_ops::managed::VirtualMachineSnapshot>> =
    ///     Task::new(&client, reference, "take a snapshot of", vm.label());
    /// println!("{}", task.await?.id());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn new(
        client: &Client,
        reference: ManagedObjectReference,
        operation: impl Into<String>,
        target: impl Into<String>,
    ) -> Self {
        let task = Self::of_others(client, reference, operation, target);
        if let Some(scope) = client.scope() {
            scope.begin(client, &task.reference, &task.operation, &task.target);
        }
        task
    }

    /// A task that somebody else has started: it belongs to no scope of ours.
    fn of_others(
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
            deadline: None,
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

    /// Waits no longer than this, from when it is awaited. The task itself goes on after that: the error names it.
    pub fn with_deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// Asks the server to cancel the task. Whether it was cancelled shows in its outcome.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let task = client.get::<VirtualMachine>("web-04").await?.power_on().await?;
    /// task.cancel().await?;  // a request, which the server need not grant
    /// match task.await {
    ///     Ok(()) => println!("it was done before"),
    ///     Err(error) if error.is_fault("RequestCanceled") => println!("cancelled"),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A fault if the task can't be cancelled, and connection errors.
    pub async fn cancel(&self) -> Result<()> {
        let task: RawTask = self.client.raw(&self.reference);
        task.cancel_task().await.map_err(|error| Error::from(error).in_operation("cancel the task").on(&self.target))
    }

    /// Tells the scope how far the task is.
    fn report(&self, progress: &Progress) {
        if let Some(scope) = self.client.scope() {
            scope.report(&self.reference, &self.operation, &self.target, progress);
        }
    }

    fn failed(&self, kind: ErrorKind) -> Error {
        Error::new(self.operation.clone(), kind).on(self.target.clone())
    }

    /// The error where the waiting ends before the task does.
    fn unfinished(&self, cause: Option<Error>) -> Error {
        self.failed(ErrorKind::Unfinished { task: self.reference.clone(), cause: cause.map(Box::new) })
    }
}

impl<T: TaskResult> Task<T> {
    /// Waits for the end of the task, and calls `listener` whenever the server reports progress.
    ///
    /// # Errors
    /// The fault that the task ended with; [`ErrorKind::Unfinished`] if its end is not known.
    pub async fn watch(mut self, listener: &(dyn Fn(Progress) + Send + Sync)) -> Result<T> {
        self.listener = None;
        let ended = wait_for(std::slice::from_ref(&self), &|_, progress| listener(progress)).await.pop();
        ended.unwrap_or_else(|| Err(self.unfinished(None)))
    }

    /// Progress and result as a stream. An error ends it: the fault that the task ended with, or
    /// [`ErrorKind::Unfinished`] where its end is not known.
    pub fn events(self) -> Pin<Box<dyn Stream<Item = Result<TaskEvent<T>>> + Send>>
    where
        T: 'static,
    {
        let deadline = self.deadline.and_then(|limit| Instant::now().checked_add(limit));
        Box::pin(stream::try_unfold(Some((self, None::<Watch>)), move |state| async move {
            let Some((task, watch)) = state else { return Ok(None) };
            let failed = |error| task.unfinished(Some(error));
            let mut watch = match watch {
                Some(watch) => watch,
                None => Watch::open(&task.client, vec![task.reference.clone()]).await.map_err(failed)?,
            };
            let next = async {
                loop {
                    if !watch.next().await?.is_empty() {
                        return Ok(());
                    }
                }
            };
            match at_most(deadline, next).await {
                Some(changed) => changed.map_err(failed)?,
                None => return Err(task.unfinished(None)),
            }
            if let Some(outcome) = watch.take_outcome(0) {
                watch.close().await;
                let done = task.ended(outcome)?;
                return Ok(Some((TaskEvent::Done(done), None)));
            }
            let progress = watch.progress(0).unwrap_or(Progress { percent: 0, queued: true });
            task.report(&progress);
            Ok(Some((TaskEvent::Progress(progress), Some((task, Some(watch))))))
        }))
    }

    fn ended(&self, outcome: Outcome) -> Result<T> {
        self.client.connection.note_change();
        if let Some(scope) = self.client.scope() {
            scope.end(&self.reference);
        }
        match outcome {
            Outcome::Success(result) => T::from_result(&self.client, result).map_err(|mismatch| {
                let text = format!("the task succeeded, but its result is not what the API says: {mismatch}");
                self.failed(ErrorKind::Unsupported(text))
            }),
            Outcome::Failed(fault) => Err(self.failed(ErrorKind::Task(fault))),
            Outcome::Gone => {
                let text = format!("the server no longer knows how {} ended", self.reference.value);
                Err(self.failed(ErrorKind::NotFound(text)))
            }
        }
    }
}

impl<T: TaskResult + 'static> IntoFuture for Task<T> {
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

/// Waits for many tasks with one property collector and one filter, and returns the outcome of each, in order.
///
/// Listeners and deadlines of the tasks count. An outcome that is not known is [`ErrorKind::Unfinished`].
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::wait_all;
///
/// let mut tasks = Vec::new();
/// for (vm, ()) in client.find::<VirtualMachine>("web-*").select(()).await? {
///     tasks.push(vm.power_off().await?);
/// }
/// let failed = wait_all(tasks).await.into_iter().filter_map(Result::err);
/// failed.for_each(|error| println!("{error}")); // the error names its VM
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub async fn wait_all<T: TaskResult>(tasks: impl IntoIterator<Item = Task<T>>) -> Vec<Result<T>> {
    let tasks: Vec<Task<T>> = tasks.into_iter().collect();
    let listener = |index: usize, progress: Progress| {
        if let Some(listener) = tasks.get(index).and_then(|task| task.listener.as_ref()) {
            listener(progress);
        }
    };
    // Tasks of several servers have a collector for each.
    let mut servers: Vec<Vec<usize>> = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        let same = |other: &&mut Vec<usize>| {
            let other = other.first().and_then(|index| tasks.get(*index));
            other.is_some_and(|other| Arc::ptr_eq(&other.client.connection, &task.client.connection))
        };
        match servers.iter_mut().find(same) {
            Some(server) => server.push(index),
            None => servers.push(vec![index]),
        }
    }
    let listener = &listener;
    let waits = servers.iter().map(|indices| {
        let tasks: Vec<&Task<T>> = indices.iter().filter_map(|index| tasks.get(*index)).collect();
        async move {
            let told = |at: usize, progress: Progress| {
                if let Some(index) = indices.get(at) {
                    listener(*index, progress);
                }
            };
            wait_for(&tasks, &told).await
        }
    });
    let mut ended: Vec<(usize, Result<T>)> =
        servers.iter().flatten().copied().zip(join_all(waits).await.into_iter().flatten()).collect();
    ended.sort_by_key(|(index, _)| *index);
    ended.into_iter().map(|(_, ended)| ended).collect()
}

/// Waits for tasks of one server.
async fn wait_for<T: TaskResult, K: std::borrow::Borrow<Task<T>>>(
    tasks: &[K],
    listener: &(dyn Fn(usize, Progress) + Sync),
) -> Vec<Result<T>> {
    let Some(first) = tasks.first() else { return Vec::new() };
    let begin = Instant::now();
    let mut ended: Vec<Option<Result<T>>> = tasks.iter().map(|_| None).collect();
    let references = tasks.iter().map(|task| task.borrow().reference.clone()).collect();
    let mut watch = None;
    let mut cause = None;
    while ended.iter().any(Option::is_none) {
        let left = tasks.iter().zip(&ended).filter(|(_, ended)| ended.is_none());
        let next_deadline = left.filter_map(|(task, _)| task.borrow().deadline).min().map(|limit| begin + limit);
        let step = async {
            let watch = match &mut watch {
                Some(watch) => watch,
                none => none.insert(Watch::open(&first.borrow().client, Vec::clone(&references)).await?),
            };
            watch.next().await
        };
        match at_most(next_deadline, step).await {
            Some(Ok(changed)) => {
                let Some(watch) = &mut watch else { continue };
                for index in changed {
                    if let Some(progress) = watch.progress(index) {
                        if let Some(task) = tasks.get(index) {
                            task.borrow().report(&progress);
                        }
                        listener(index, progress);
                    }
                    if let (Some(outcome), Some(task), Some(ended)) =
                        (watch.take_outcome(index), tasks.get(index), ended.get_mut(index))
                    {
                        *ended = Some(task.borrow().ended(outcome));
                    }
                }
            }
            Some(Err(error)) => {
                cause = Some(error);
                break;
            }
            None => {
                for (task, ended) in tasks.iter().zip(&mut ended) {
                    let task = task.borrow();
                    if ended.is_none() && task.deadline.is_some_and(|limit| begin + limit <= Instant::now()) {
                        *ended = Some(Err(task.unfinished(None)));
                    }
                }
            }
        }
    }
    if let Some(watch) = watch {
        watch.close().await;
    }
    let text = cause.as_ref().map(ToString::to_string).unwrap_or_default();
    let finished = tasks.iter().zip(ended).map(|(task, ended)| {
        ended.unwrap_or_else(|| {
            // One failed request is the cause for all that were waited for: the first gets it, the others its words.
            let cause = cause.take().unwrap_or_else(|| Error::new("wait", ErrorKind::Unsupported(text.clone())));
            Err(task.borrow().unfinished(Some(cause)))
        })
    });
    finished.collect()
}

/// The value of a future, unless the deadline comes first.
async fn at_most<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

impl Client {
    /// The recent tasks of the server, including those of other clients, in one request.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// for info in client.recent_tasks().await? {
    ///     println!("{} {} of {:?}", info.state, info.description_id, info.entity_name);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors.
    pub async fn recent_tasks(&self) -> Result<Vec<TaskInfo>> {
        let manager = self.content().task_manager.clone().ok_or_else(|| {
            Error::new("list recent tasks", ErrorKind::Unsupported("the server has no task manager".to_owned()))
        })?;
        let traversal = TraversalSpec { type_: "TaskManager".into(), path: "recentTask".into(), ..Default::default() };
        let spec = PropertyFilterSpec {
            prop_set: vec![property_spec("Task", ["info"])],
            object_set: vec![ObjectSpec { obj: manager, skip: Some(true), select_set: vec![Poly::new(traversal)] }],
            report_missing_objects_in_results: Some(true),
        };
        let contents = read::retrieve(self, spec).await.map_err(|error| error.in_operation("list recent tasks"))?;
        Ok(contents
            .into_iter()
            .flat_map(|content| content.prop_set)
            .filter_map(|property| property.val.take().ok())
            .collect())
    }
}

/// Starts an API method that returns a task, for an operation of this crate.
pub(crate) async fn start<T, M: ManagedObject>(
    object: &Mo<M>,
    operation: &str,
    request: Request<ManagedObjectReference>,
) -> Result<Task<T>> {
    start_for(object.client(), operation, object.label(), request).await
}

/// The same for what is meant, where that is not the object of the method, such as a VM that is to be made.
pub(crate) async fn start_for<T>(
    client: &Client,
    operation: &str,
    target: &str,
    request: Request<ManagedObjectReference>,
) -> Result<Task<T>> {
    if let Some(scope) = client.scope() {
        scope.check(operation).map_err(|error| error.on(target))?;
    }
    let reference = request.await.map_err(|error| Error::from(error).in_operation(operation).on(target))?;
    Ok(Task::new(client, reference, operation, target))
}
