//! The history of tasks: what was done, by whom, and how it ended.

use std::time::Duration;

use serde::Serialize;
use vsphere_model::managed::{Task as RawTask, TaskHistoryCollector, TaskManager, task, task_history_collector};
use vsphere_model::types::{
    DateTime, ManagedObjectReference, MethodFault, Poly, TaskFilterSpec, TaskFilterSpecByEntity, TaskFilterSpecByTime,
    TaskFilterSpecByUsername, TaskFilterSpecRecursionOption, TaskFilterSpecTimeOption, TaskInfo, TaskInfoState,
    TaskReasonAlarm, TaskReasonSchedule, TaskReasonUser,
};
use vsphere_soap::object::format_date_time;
use vsphere_soap::request::ManagedObject as _;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Recursion;
use crate::gaps::Gaps;
use crate::guard;
use crate::mo::Mo;
use crate::name;
use crate::untrusted::Untrusted;

/// The most tasks that a page has on a server.
const LARGEST_PAGE: usize = 1000;

/// How many of the newest tasks are looked through for one that the server has forgotten as an object.
const LOOKED_THROUGH: usize = LARGEST_PAGE;

/// A task on the server, started by any user.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::task::TaskReport;
///
/// for task in client.tasks().report(20).await?.items {
///     println!("{} {} of {:?}: {}", task.queued, task.operation, task.entity, task.state);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskReport {
    /// The id of the task.
    pub id: String,
    /// What it does, by the server's key (`VirtualMachine.powerOn`), whatever the language of the session.
    pub operation: String,
    /// The name of the object that it is about, as it was when the task began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The managed object id of that object, which may be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
    /// `queued`, `running`, `success` or `error`.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub state: TaskInfoState,
    /// Percentage of the work that is done, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// Who has started it; `None` where it was the server itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// When it was queued by the server's clock, RFC 3339.
    pub queued: String,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
    /// Whether the server can cancel it.
    pub cancelable: bool,
    /// Whether it was cancelled, or is being cancelled.
    pub cancelled: bool,
    /// How it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskFailure>,
    /// The managed object id of what it has made, if it has made one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// The fault that a task ended with.
///
/// ```
/// use vsphere_ops::task::TaskFailure;
///
/// fn line(failure: &TaskFailure) -> String {
///     format!("{}: {}", failure.fault, failure.message)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskFailure {
    /// The type of the fault (`NoDiskSpace`).
    pub fault: String,
    /// The server's text for people, which may quote names and notes.
    pub message: Untrusted,
}

/// The newest tasks of a query.
///
/// ```
/// use vsphere_ops::task::RecentTasks;
///
/// fn failed(tasks: &RecentTasks) -> usize {
///     tasks.items.iter().filter(|task| task.error.is_some()).count()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecentTasks {
    /// The tasks, newest first.
    pub items: Vec<TaskReport>,
    /// How many these are.
    pub returned: usize,
    /// How many there are in all; not known where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// Whether there are older ones that fit the query.
    pub truncated: bool,
    /// What is not known.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// Which tasks to read.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use std::time::Duration;
/// use vsphere_ops::types::TaskInfoState;
///
/// let day = Duration::from_secs(24 * 3600);
/// let failed = client.tasks().states([TaskInfoState::Error]).last(day).report(50).await?;
/// println!("{} tasks have failed today", failed.returned);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
#[must_use = "tasks are read by `report`"]
pub struct TaskQuery {
    client: Client,
    filter: TaskFilterSpec,
    last: Option<Duration>,
}

impl Client {
    /// The history of tasks of the whole inventory, those of other clients included.
    pub fn tasks(&self) -> TaskQuery {
        TaskQuery { client: self.clone(), filter: TaskFilterSpec::default(), last: None }
    }

    /// The task with this id (`task-42`), of whatever session.
    ///
    /// The server forgets a task about ten minutes after its end. Its history knows it longer, and is looked through then.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let started = client.get::<VirtualMachine>("web-04").await?.power_on().await?;
    /// let task = client.task_report(&started.reference().value).await?;
    /// println!("{} is {}", task.operation, task.state);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if the server knows no such task, and server errors.
    pub async fn task_report(&self, id: &str) -> Result<TaskReport> {
        let failed = |error: Error| error.in_operation("read the task").on(id);
        let task: Mo<RawTask> = Mo::new(self, &ManagedObjectReference::new("Task", id), None);
        match task.read(task::INFO).await {
            Ok(info) => Ok(TaskReport::from(&info)),
            Err(error) if error.is_not_found() => {
                let known = self.tasks().newest(LOOKED_THROUGH).await.map_err(failed)?;
                known.iter().find(|info| info.task.value == id).map(TaskReport::from).ok_or_else(|| {
                    let text = "the server knows no such task: it forgets tasks some time after their end";
                    failed(Error::new("read", ErrorKind::NotFound(text.to_owned())))
                })
            }
            Err(error) => Err(failed(error)),
        }
    }
}

impl TaskQuery {
    /// Only tasks of this object.
    pub fn entity(mut self, entity: &ManagedObjectReference, recursion: Recursion) -> Self {
        let recursion = match recursion {
            Recursion::Self_ => TaskFilterSpecRecursionOption::Self_,
            Recursion::Children => TaskFilterSpecRecursionOption::Children,
            Recursion::All => TaskFilterSpecRecursionOption::All,
        };
        self.filter.entity = Some(Box::new(TaskFilterSpecByEntity { entity: entity.clone(), recursion }));
        self
    }

    /// Only tasks in these states.
    pub fn states(mut self, states: impl IntoIterator<Item = TaskInfoState>) -> Self {
        self.filter.state = states.into_iter().collect();
        self
    }

    /// Only tasks that these users have started, by their names as the server writes them (`VSPHERE.LOCAL\Administrator`).
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let theirs = client.tasks().users(["VSPHERE.LOCAL\\Administrator"]).report(20).await?;
    /// println!("{} tasks", theirs.returned);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn users<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        let user_list = names.into_iter().map(Into::into).collect();
        self.filter.user_name = Some(Box::new(TaskFilterSpecByUsername { system_user: false, user_list }));
        self
    }

    /// Only tasks that were queued within this time before now, by the server's clock.
    pub fn last(mut self, time: Duration) -> Self {
        self.last = Some(time);
        self
    }

    /// Only tasks that were queued at this time of the server's clock or later.
    pub(crate) fn since(mut self, begin: DateTime) -> Self {
        self.filter.time = Some(Box::new(queued_since(begin)));
        self
    }

    /// The newest `count` tasks, newest first, and whether there are more.
    ///
    /// An ESXi host keeps no history: of it these are the tasks that run, or ended within the last minutes.
    ///
    /// # Errors
    /// Server errors.
    pub async fn report(self, count: usize) -> Result<RecentTasks> {
        let failed = |error: Error| error.in_operation("read tasks");
        let mut gaps = Gaps::default();
        // One more than is shown tells whether there are more.
        let wanted = count.saturating_add(1);
        let mut tasks = match self.clone().newest(wanted).await {
            Err(error) if error.is_fault("NotSupported") => {
                gaps.lacks("older tasks", "this server keeps no history of tasks");
                self.recent().await.map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
        let truncated = tasks.len() > count;
        tasks.truncate(count);
        let items: Vec<TaskReport> = tasks.iter().map(TaskReport::from).collect();
        let total = (!truncated && gaps.is_empty()).then_some(items.len());
        Ok(RecentTasks { returned: items.len(), total, truncated, items, gaps })
    }

    /// The newest `count` tasks, newest first; of a server that keeps no history, those that it remembers.
    pub(crate) async fn infos(self, count: usize) -> Result<Vec<TaskInfo>> {
        let failed = |error: Error| error.in_operation("read tasks");
        match self.clone().newest(count).await {
            Err(error) if error.is_fault("NotSupported") => self.recent().await.map_err(failed),
            other => other.map_err(failed),
        }
    }

    /// The newest tasks of the history, newest first.
    async fn newest(mut self, count: usize) -> Result<Vec<TaskInfo>> {
        self.set_start().await?;
        let page = count.clamp(1, LARGEST_PAGE);
        let collector = Collector::open(&self, page).await?;
        let mut tasks = collector.latest_page().await?;
        // What a page lacks to what is wanted lies before it. Tasks that begin meanwhile come twice, and never get lost.
        while tasks.len() < count {
            let before = tasks.len();
            let size = i32::try_from(page).unwrap_or(i32::MAX);
            for task in collector.raw.read_previous_tasks(size).await? {
                if !tasks.iter().any(|known| known.key == task.key) {
                    tasks.push(task);
                }
            }
            if tasks.len() == before {
                break;
            }
        }
        newest_first(&mut tasks);
        tasks.truncate(count);
        Ok(tasks)
    }

    /// Those of the server's recent tasks that the filter takes, newest first.
    async fn recent(mut self) -> Result<Vec<TaskInfo>> {
        self.set_start().await?;
        let mut tasks = self.client.recent_tasks().await?;
        let filter = self.filter;
        tasks.retain(|task| {
            let since = filter.time.as_ref().and_then(|time| time.begin_time);
            let of = |by: &TaskFilterSpecByEntity| task.entity.as_ref() == Some(&by.entity);
            let by = |by: &TaskFilterSpecByUsername| user(task).is_some_and(|user| by.user_list.contains(&user));
            since.is_none_or(|since| task.queue_time >= since)
                && (filter.state.is_empty() || filter.state.contains(&task.state))
                && filter.entity.as_deref().is_none_or(of)
                && filter.user_name.as_deref().is_none_or(by)
        });
        newest_first(&mut tasks);
        Ok(tasks)
    }

    /// Finds the beginning, where that depends on the server's time.
    async fn set_start(&mut self) -> Result<()> {
        let Some(last) = self.last.take() else { return Ok(()) };
        let begin = self.client.time_ago(last, "read tasks").await?;
        self.filter.time = Some(Box::new(queued_since(begin)));
        Ok(())
    }
}

fn queued_since(begin: DateTime) -> TaskFilterSpecByTime {
    TaskFilterSpecByTime { time_type: TaskFilterSpecTimeOption::QueuedTime, begin_time: Some(begin), end_time: None }
}

/// A page is in no particular order.
fn newest_first(tasks: &mut [TaskInfo]) {
    tasks.sort_by(|one, other| other.queue_time.cmp(&one.queue_time).then_with(|| number(other).cmp(&number(one))));
}

/// The number in the id of a task, which grows.
fn number(task: &TaskInfo) -> Option<u64> {
    task.task.value.rsplit('-').next()?.parse().ok()
}

/// Who has started a task.
fn user(task: &TaskInfo) -> Option<String> {
    task.reason.downcast_ref::<TaskReasonUser>().map(|reason| reason.user_name.clone())
}

/// A collector on the server. Dropped, it is destroyed there in the background.
struct Collector {
    client: Client,
    raw: TaskHistoryCollector,
}

impl Collector {
    async fn open(query: &TaskQuery, page: usize) -> Result<Self> {
        let (client, filter) = (query.client.clone(), query.filter.clone());
        guard::made(&query.client, |maker| async move {
            let manager: TaskManager = maker.raw(maker.manager("tasks", maker.content().task_manager.as_ref())?);
            let reference = manager.create_collector_for_tasks(&filter).await?;
            let made = Self { raw: client.raw(&reference), client };
            made.raw.set_collector_page_size(i32::try_from(page).unwrap_or(i32::MAX)).await?;
            Ok(made)
        })
        .await
    }

    /// The newest tasks; what is read backwards from here on are those before them.
    async fn latest_page(&self) -> Result<Vec<TaskInfo>> {
        let collector: Mo<TaskHistoryCollector> = Mo::new(&self.client, self.raw.handle().reference(), None);
        let page = collector.read(task_history_collector::LATEST_PAGE).await?;
        self.raw.reset_collector().await?;
        Ok(page)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let raw = self.raw.clone();
        guard::clean_up(async move {
            if let Err(error) = raw.destroy_collector().await {
                tracing::debug!(%error, "a task collector was left to end with the session");
            }
        });
    }
}

impl From<&TaskInfo> for TaskReport {
    fn from(task: &TaskInfo) -> Self {
        let runs = matches!(task.state, TaskInfoState::Running);
        let percent = task.progress.filter(|_| runs).map(|percent| u8::try_from(percent.clamp(0, 100)).unwrap_or(100));
        let made = task.result.clone().and_then(|result| result.take::<ManagedObjectReference>().ok());
        let user = user(task).or_else(|| {
            let scheduled = task.reason.downcast_ref::<TaskReasonSchedule>().map(|by| by.name.clone());
            scheduled.or_else(|| task.reason.downcast_ref::<TaskReasonAlarm>().map(|by| by.alarm_name.clone()))
        });
        Self {
            id: task.task.value.clone(),
            operation: task.description_id.clone(),
            entity: task.entity_name.as_deref().map(name::decode),
            entity_id: task.entity.as_ref().map(|entity| entity.value.clone()),
            state: task.state.clone(),
            percent,
            user: user.filter(|user| !user.is_empty()),
            queued: format_date_time(&task.queue_time),
            started: task.start_time.as_ref().map(format_date_time),
            completed: task.complete_time.as_ref().map(format_date_time),
            cancelable: task.cancelable,
            cancelled: task.cancelled,
            error: task.error.as_ref().map(|error| TaskFailure::of(&error.fault, error.localized_message.as_deref())),
            result: made.map(|made| made.value.clone()),
        }
    }
}

impl TaskFailure {
    fn of(fault: &Poly<MethodFault>, message: Option<&str>) -> Self {
        Self { fault: fault.type_name().to_owned(), message: message.unwrap_or_default().into() }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use vsphere_model::types::{DateTime, TaskReasonSystem};

    use super::*;

    fn task(number: u64, queued: i64) -> TaskInfo {
        TaskInfo {
            task: ManagedObjectReference::new("Task", format!("task-{number}")),
            queue_time: DateTime::default() + TimeDelta::seconds(queued),
            ..Default::default()
        }
    }

    #[test]
    fn the_newest_come_first_whatever_the_order_of_the_page() {
        let mut tasks = vec![task(9, 1), task(11, 2), task(10, 2), task(8, 3)];
        newest_first(&mut tasks);
        let order: Vec<&str> = tasks.iter().map(|task| task.task.value.as_str()).collect();
        assert_eq!(order, ["task-8", "task-11", "task-10", "task-9"]);
    }

    #[test]
    fn a_report_says_who_has_started_it() {
        let by = |reason| TaskReport::from(&TaskInfo { reason, ..Default::default() }).user;
        let user = TaskReasonUser { user_name: "jane".to_owned(), ..Default::default() };
        assert_eq!(by(Poly::new(user)).as_deref(), Some("jane"));
        let schedule = TaskReasonSchedule { name: "nightly".to_owned(), ..Default::default() };
        assert_eq!(by(Poly::new(schedule)).as_deref(), Some("nightly"));
        assert_eq!(by(Poly::new(TaskReasonSystem::default())), None);
    }

    #[test]
    fn only_a_task_that_runs_has_a_percentage() {
        let of = |state| TaskReport::from(&TaskInfo { state, progress: Some(40), ..Default::default() }).percent;
        assert_eq!((of(TaskInfoState::Running), of(TaskInfoState::Error)), (Some(40), None));
    }
}
