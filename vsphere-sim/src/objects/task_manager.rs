//! The task manager: what was done of late, the history of it, and tasks that clients report themselves.

use vsphere_model::managed;
use vsphere_model::types::{
    Any, InvalidState, LocalizableMessage, LocalizedMethodFault, Poly, TaskDescription, TaskFilterSpec,
    TaskFilterSpecRecursionOption, TaskFilterSpecTimeOption, TaskInfo, TaskInfoState, TaskReasonUser,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::world::{Look, Managed, Moref, Prop, Task, World};

pub(crate) const METHODS: Methods = &[
    ("TaskManager", "CreateCollectorForTasks", Handler::Write(create_collector)),
    ("TaskManager", "CreateTask", Handler::Write(create_task)),
    ("TaskHistoryCollector", "ReadNextTasks", Handler::Write(read_next)),
    ("TaskHistoryCollector", "ReadPreviousTasks", Handler::Write(read_previous)),
    ("TaskHistoryCollector", "SetCollectorPageSize", Handler::Write(set_page_size)),
    ("TaskHistoryCollector", "RewindCollector", Handler::Write(to_oldest)),
    ("TaskHistoryCollector", "ResetCollector", Handler::Write(to_latest_page)),
    ("TaskHistoryCollector", "DestroyCollector", Handler::Write(destroy)),
    ("Task", "CancelTask", Handler::Write(cancel)),
    ("Task", "UpdateProgress", Handler::Write(update_progress)),
    ("Task", "SetTaskState", Handler::Write(set_state)),
    ("Task", "SetTaskDescription", Handler::Write(set_description)),
];

/// The managed object `TaskManager`.
struct TaskManager;

impl Managed for TaskManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::TaskManager::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "recentTask" => Prop::made_list(look.world.recent_tasks()),
            "maxCollector" => Prop::made(32_i32),
            "description" => Prop::made(TaskDescription::default()),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    world.content.task_manager = Some(world.add_as("TaskManager", TaskManager));
}

/// The managed object `TaskHistoryCollector`: a walk through the tasks that a filter takes.
struct TaskHistory {
    filter: TaskFilterSpec,
    page: usize,
    /// The number of the task that was passed last: the next ones are newer, the previous ones are this and older.
    position: u64,
}

/// The size of the latest page, where the client does not set it.
const PAGE: usize = 10;

impl Managed for TaskHistory {
    fn info(&self) -> &'static ManagedInfo {
        managed::TaskHistoryCollector::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "filter" => Prop::kept(&self.filter),
            "latestPage" => {
                let tasks = self.tasks(look.world, look.session);
                Prop::made_list(tasks.into_iter().rev().take(self.page).map(|(_, info)| info.clone()).collect())
            }
            _ => Prop::UNSET,
        }
    }
}

impl TaskHistory {
    /// The tasks that the filter takes and the session may see, with their numbers, oldest first.
    fn tasks<'w>(&self, world: &'w World, session: Option<&str>) -> Vec<(u64, &'w TaskInfo)> {
        let all = world.tasks();
        let seen = all.filter(|(_, task)| {
            let entity = task.info.entity.as_ref();
            entity.is_none_or(|entity| world.find(entity).is_none() || world.may_view(entity, session))
        });
        let taken = seen.filter(|(_, task)| takes(&self.filter, world, &task.info));
        taken.map(|(reference, task)| (number(reference), &task.info)).collect()
    }
}

/// The number in the id of a task.
fn number(task: &Moref) -> u64 {
    task.value.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Whether a filter takes a task.
fn takes(filter: &TaskFilterSpec, world: &World, info: &TaskInfo) -> bool {
    let by_entity = filter.entity.as_ref().is_none_or(|by| {
        let Some(entity) = &info.entity else { return false };
        let is_it = *entity == by.entity;
        let above = || world.ancestors(entity).into_iter().skip(1).any(|at| at == by.entity);
        match by.recursion {
            TaskFilterSpecRecursionOption::Self_ => is_it,
            TaskFilterSpecRecursionOption::Children => above(),
            _ => is_it || above(),
        }
    });
    let by_time = filter.time.as_ref().is_none_or(|by| {
        let time = match by.time_type {
            TaskFilterSpecTimeOption::QueuedTime => Some(info.queue_time),
            TaskFilterSpecTimeOption::StartedTime => info.start_time,
            _ => info.complete_time,
        };
        let after = |time| by.begin_time.is_none_or(|begin| begin <= time);
        let before = |time| by.end_time.is_none_or(|end| time <= end);
        time.is_some_and(|time| after(time) && before(time))
    });
    let user = info.reason.downcast_ref::<TaskReasonUser>().map(|reason| reason.user_name.as_str());
    let by_user = filter.user_name.as_ref().is_none_or(|by| match user {
        Some(user) => by.user_list.is_empty() || by.user_list.iter().any(|name| name.eq_ignore_ascii_case(user)),
        None => by.system_user,
    });
    let one_of =
        |list: &[String], value: Option<&String>| list.is_empty() || value.is_some_and(|value| list.contains(value));
    by_entity
        && by_time
        && by_user
        && (filter.state.is_empty() || filter.state.contains(&info.state))
        && (filter.event_chain_id.is_empty() || filter.event_chain_id.contains(&info.event_chain_id))
        && one_of(&filter.activation_id, info.activation_id.as_ref())
        && one_of(&filter.tag, info.change_tag.as_ref())
        && one_of(&filter.parent_task_key, info.parent_task_key.as_ref())
        && one_of(&filter.root_task_key, info.root_task_key.as_ref())
        // No task of the simulator comes from an alarm or a schedule.
        && filter.alarm.is_none()
        && filter.scheduled_task.is_none()
}

fn create_collector(world: &mut World, call: &Call) -> Outcome<Reply> {
    if world.settings.kind == ServerKind::Esxi {
        return Err(Fault::not_supported("the history of tasks on a host"));
    }
    let filter: TaskFilterSpec = call.arg("filter")?;
    if let Some(by) = &filter.entity {
        world.entity(&by.entity)?;
    }
    let session = call.session()?.to_owned();
    let id = format!("session[{session}]{}", world.new_id("task-collector-"));
    Ok(Reply::of(world.add_for_session(&session, &id, TaskHistory { filter, page: PAGE, position: 0 })))
}

/// How many tasks a call asks for.
fn count(call: &Call) -> Outcome<usize> {
    let count: i32 = call.arg("maxCount")?;
    usize::try_from(count).ok().filter(|count| (1..=1000).contains(count)).ok_or_else(|| {
        // As the server limits a page.
        Fault::invalid_argument("maxCount")
    })
}

fn read_next(world: &mut World, call: &Call) -> Outcome<Reply> {
    let count = count(call)?;
    let history = world.get::<TaskHistory>(&call.target)?;
    let tasks = history.tasks(world, call.session.as_deref()).into_iter();
    let page: Vec<_> = tasks.filter(|(number, _)| *number > history.position).take(count).collect();
    let position = page.last().map(|(number, _)| *number);
    answer(world, call, position, page.into_iter().map(|(_, info)| info.clone()).collect())
}

fn read_previous(world: &mut World, call: &Call) -> Outcome<Reply> {
    let count = count(call)?;
    let history = world.get::<TaskHistory>(&call.target)?;
    let tasks = history.tasks(world, call.session.as_deref()).into_iter().rev();
    let page: Vec<_> = tasks.filter(|(number, _)| *number <= history.position).take(count).collect();
    let position = page.last().map(|(number, _)| number.saturating_sub(1));
    answer(world, call, position, page.into_iter().map(|(_, info)| info.clone()).collect())
}

/// Goes to a position and answers what was passed.
fn answer(world: &mut World, call: &Call, position: Option<u64>, page: Vec<TaskInfo>) -> Outcome<Reply> {
    if let Some(position) = position {
        world.quietly_edit::<TaskHistory>(&call.target)?.position = position;
    }
    Ok(Reply::list(page))
}

fn set_page_size(world: &mut World, call: &Call) -> Outcome<Reply> {
    let page = count(call)?;
    world.edit::<TaskHistory>(&call.target)?.page = page;
    Ok(Reply::NONE)
}

/// To before the latest page, from where a client reads back.
fn to_latest_page(world: &mut World, call: &Call) -> Outcome<Reply> {
    let history = world.get::<TaskHistory>(&call.target)?;
    let tasks = history.tasks(world, call.session.as_deref());
    let oldest = tasks.get(tasks.len().saturating_sub(history.page));
    let position = oldest.map_or(0, |(number, _)| number.saturating_sub(1));
    world.quietly_edit::<TaskHistory>(&call.target)?.position = position;
    Ok(Reply::NONE)
}

/// To before the oldest task, where a collector begins, and from where a client reads forward.
fn to_oldest(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.quietly_edit::<TaskHistory>(&call.target)?.position = 0;
    Ok(Reply::NONE)
}

fn destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.get::<TaskHistory>(&call.target)?;
    world.remove(&call.target);
    Ok(Reply::NONE)
}

fn create_task(world: &mut World, call: &Call) -> Outcome<Reply> {
    let entity: Moref = call.arg("obj")?;
    let kind: String = call.arg("taskTypeId")?;
    let initiated_by: Option<String> = call.opt("initiatedBy")?;
    let name = world.entity(&entity)?.name.clone();
    if kind.trim().is_empty() {
        return Err(Fault::invalid_argument("taskTypeId"));
    }
    let user = initiated_by.unwrap_or_else(|| call.user(world));
    let info = TaskInfo {
        description_id: kind,
        entity: Some(entity),
        entity_name: Some(name),
        state: TaskInfoState::Queued,
        cancelable: call.arg("cancelable")?,
        reason: Poly::new(TaskReasonUser { user_name: user, ..Default::default() }),
        parent_task_key: call.opt("parentTaskKey")?,
        activation_id: call.opt("activationId")?,
        ..Default::default()
    };
    let task = world.add_task(info, true);
    Ok(Reply::of(world.get::<Task>(&task)?.info.clone()))
}

/// A task that goes on.
fn unfinished<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut Task> {
    let task = world.edit::<Task>(&call.target)?;
    match task.info.state {
        TaskInfoState::Queued | TaskInfoState::Running => Ok(task),
        _ => Err(invalid_state()),
    }
}

fn invalid_state() -> Fault {
    Fault::new(InvalidState::default(), "The operation is not allowed in the current state.")
}

fn cancel(world: &mut World, call: &Call) -> Outcome<Reply> {
    let task = unfinished(world, call)?;
    if !task.info.cancelable {
        return Err(Fault::not_supported("canceling this task"));
    }
    task.cancel();
    Ok(Reply::NONE)
}

/// A task that the client runs, and not the server.
fn reported<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut Task> {
    let task = unfinished(world, call)?;
    if task.reported { Ok(task) } else { Err(Fault::not_supported("changing a task that the server runs")) }
}

fn update_progress(world: &mut World, call: &Call) -> Outcome<Reply> {
    let percent: i32 = call.arg("percentDone")?;
    let task = reported(world, call)?;
    if !(0..=100).contains(&percent) {
        return Err(Fault::invalid_argument("percentDone"));
    }
    if task.info.state != TaskInfoState::Running {
        return Err(invalid_state());
    }
    task.info.progress = Some(percent);
    Ok(Reply::NONE)
}

fn set_state(world: &mut World, call: &Call) -> Outcome<Reply> {
    let state: TaskInfoState = call.arg("state")?;
    let result: Any = call.opt("result")?.unwrap_or_default();
    let error: Option<LocalizedMethodFault> = call.opt("fault")?;
    let now = world.now();
    let info = &mut reported(world, call)?.info;
    match state {
        TaskInfoState::Running => info.start_time = Some(now),
        TaskInfoState::Success => {
            info.result = Some(result).filter(|result| *result != Any::Unset);
            info.complete_time = Some(now);
            info.progress = None;
        }
        TaskInfoState::Error => {
            info.error = error.map(Box::new);
            info.complete_time = Some(now);
        }
        _ => return Err(invalid_state()),
    }
    info.state = state;
    Ok(Reply::NONE)
}

fn set_description(world: &mut World, call: &Call) -> Outcome<Reply> {
    let description: LocalizableMessage = call.arg("description")?;
    reported(world, call)?.info.description = Some(Box::new(description));
    Ok(Reply::NONE)
}
