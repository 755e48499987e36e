//! Tasks: work that takes its time, reports progress, can be cancelled, and has what it changes to itself.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::Notify;
use tokio::time::timeout;
use vsphere_model::managed;
use vsphere_model::types::{
    Any, LocalizedMethodFault, Poly, RequestCanceled, TaskInProgress, TaskInfo, TaskInfoState, TaskReasonUser,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::{Look, Managed, Moref, Prop, World};
use crate::call::{Call, Reply};
use crate::fault::{Fault, Outcome};

/// How many finished tasks the server remembers.
const HISTORY: usize = 1000;

/// How many of an entity's last tasks are shown as recent.
const RECENT: usize = 10;

/// How long a finished task of the server is shown as recent, and how many of these.
const RECENTLY: TimeDelta = TimeDelta::minutes(10);
const MOST_RECENT: usize = 200;

/// How many steps of progress a task reports.
const STEPS: u8 = 10;

/// The managed object `Task`.
pub(crate) struct Task {
    pub(crate) info: TaskInfo,
    /// A client runs it and says how far it is.
    pub(crate) reported: bool,
    /// Wakes its work when it is cancelled.
    cancelled: Arc<Notify>,
}

impl Task {
    /// Lets it end as soon as it can.
    pub(crate) fn cancel(&mut self) {
        self.info.cancelled = true;
        self.cancelled.notify_one();
    }
}

impl Managed for Task {
    fn info(&self) -> &'static ManagedInfo {
        managed::Task::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "info" => Prop::kept(&self.info),
            _ => Prop::UNSET,
        }
    }

    fn belongs_to(&self) -> Option<&Moref> {
        self.info.entity.as_ref()
    }
}

/// What a task does when its time has come.
pub(crate) type Work = Box<dyn FnOnce(&mut World) -> Outcome<Any> + Send>;

/// A task before it starts.
pub(crate) struct TaskPlan<'a> {
    call: &'a Call,
    entity: Moref,
    locked: Vec<Moref>,
    takes: Duration,
    cancelable: bool,
}

impl<'a> TaskPlan<'a> {
    /// A task of this call, about the object that it was called on.
    pub(crate) fn new(call: &'a Call) -> Self {
        Self { call, entity: call.target.clone(), locked: Vec::new(), takes: Duration::ZERO, cancelable: false }
    }

    /// It is about this entity instead.
    pub(crate) fn about(mut self, entity: &Moref) -> Self {
        self.entity = entity.clone();
        self
    }

    /// While it runs, no other task may have this object: they end in `TaskInProgress`.
    pub(crate) fn alone_with(mut self, object: &Moref) -> Self {
        self.locked.push(object.clone());
        self
    }

    /// How long it takes on a real server; the model's pace stretches or shrinks it.
    pub(crate) fn takes(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }

    /// It may be cancelled while it runs.
    pub(crate) fn cancelable(mut self) -> Self {
        self.cancelable = true;
        self
    }

    /// Starts it. `work` runs at its end, and finds the world as it is then: it must check again what may have changed.
    ///
    /// # Errors
    /// `TaskInProgress` where another task has one of the objects.
    pub(crate) fn start(
        self,
        world: &mut World,
        work: impl FnOnce(&mut World) -> Outcome<Any> + Send + 'static,
    ) -> Outcome<Reply> {
        self.start_boxed(world, Box::new(work))
    }

    /// As [`TaskPlan::start`], compiled once for all kinds of work.
    fn start_boxed(self, world: &mut World, work: Work) -> Outcome<Reply> {
        let takes = world.paced(self.takes);
        let task = self.hold(world)?;
        let core = world.core.clone();
        if takes.is_zero() {
            world.finish(&task, work);
        } else {
            let reference = task.clone();
            let cancelled = Arc::clone(&world.get::<Task>(&task)?.cancelled);
            tokio::spawn(async move {
                for step in 1..=STEPS {
                    let _ = timeout(takes / u32::from(STEPS), cancelled.notified()).await;
                    let Some(core) = core.upgrade() else { return };
                    let mut world = core.write();
                    let Ok(task) = world.edit::<Task>(&reference) else { return };
                    if step == STEPS || task.info.cancelled {
                        world.finish(&reference, work);
                        return;
                    }
                    task.info.progress = Some(i32::from(step) * 100 / i32::from(STEPS));
                }
            });
        }
        Ok(Reply::of(task))
    }

    /// Starts it without an end: it runs until [`World::finish`] is called with its work.
    ///
    /// # Errors
    /// As [`TaskPlan::start`].
    pub(crate) fn hold(self, world: &mut World) -> Outcome<Moref> {
        for object in &self.locked {
            if let Some(task) = world.busy_with(object) {
                let message = format!("Another task is already in progress: {}.", task.value);
                return Err(Fault::new(TaskInProgress { task, ..Default::default() }, message));
            }
        }
        let task = self.register(world);
        world.busy.extend(self.locked.iter().map(|object| (object.value.clone(), task.clone())));
        Ok(task)
    }

    fn register(&self, world: &mut World) -> Moref {
        let now = world.now();
        let user = self.call.user(world);
        let info = TaskInfo {
            name: Some(self.call.method.name.to_owned()),
            description_id: description_id(self.call),
            entity_name: world.entity(&self.entity).ok().map(|entity| entity.name.clone()),
            entity: Some(self.entity.clone()),
            locked: self.locked.clone(),
            state: TaskInfoState::Running,
            cancelable: self.cancelable,
            progress: Some(0),
            reason: Poly::new(TaskReasonUser { user_name: user, ..Default::default() }),
            start_time: Some(now),
            ..Default::default()
        };
        world.add_task(info, false)
    }
}

impl World {
    /// Adds a task, which gets its key and the time. A `reported` one is run by a client.
    pub(crate) fn add_task(&mut self, mut info: TaskInfo, reported: bool) -> Moref {
        let id = self.new_id("task-");
        info.task = Moref::new("Task", &id);
        info.key.clone_from(&id);
        info.queue_time = self.now();
        info.event_chain_id = self.events.new_chain();
        let entity = info.entity.clone();
        let task = self.add_as(&id, Task { info, reported, cancelled: Arc::default() });
        self.tasks.push_back(task.clone());
        if let Some(entity) = entity.and_then(|entity| self.edit_entity(&entity).ok()) {
            entity.recent_tasks.push(task.clone());
            let excess = entity.recent_tasks.len().saturating_sub(RECENT);
            entity.recent_tasks.drain(..excess);
        }
        self.forget_old_tasks();
        if let Some(manager) = self.content.task_manager.clone() {
            self.touch(&manager);
        }
        task
    }

    /// The task that has this object to itself.
    pub(crate) fn busy_with(&self, object: &Moref) -> Option<Moref> {
        self.busy.get(&object.value).cloned()
    }

    /// From now on a task that runs has this object to itself, too.
    pub(crate) fn keep_busy(&mut self, task: &Moref, object: &Moref) {
        if let Ok(found) = self.edit::<Task>(task)
            && !found.info.locked.contains(object)
        {
            found.info.locked.push(object.clone());
            self.busy.insert(object.value.clone(), task.clone());
        }
    }

    /// Does the work of a task and records how it ended.
    pub(crate) fn finish(&mut self, reference: &Moref, work: Work) {
        let Ok(task) = self.get::<Task>(reference) else { return };
        let chain = task.info.event_chain_id;
        for object in task.info.locked.clone() {
            self.busy.remove(&object.value);
        }
        let cancelled = self.get::<Task>(reference).is_ok_and(|task| task.info.cancelled);
        let outcome = if cancelled {
            Err(Fault::new(RequestCanceled::default(), "The task was canceled by a user."))
        } else {
            self.events.begin_chain(Some(chain));
            let outcome = work(self);
            self.events.begin_chain(None);
            outcome
        };
        let now = self.now();
        let Ok(task) = self.edit::<Task>(reference) else { return };
        let info = &mut task.info;
        info.complete_time = Some(now);
        match outcome {
            Ok(result) => {
                info.state = TaskInfoState::Success;
                info.progress = None;
                info.result = Some(result).filter(|result| *result != Any::Unset);
            }
            Err(fault) => {
                let error: LocalizedMethodFault = fault.localized();
                info.state = TaskInfoState::Error;
                info.error = Some(Box::new(error));
            }
        }
        if let Some(entity) = info.entity.clone()
            && self.entity(&entity).is_ok()
        {
            self.touch(&entity);
        }
    }

    /// The tasks of the server that wait, run, or ended of late, oldest first.
    pub(crate) fn recent_tasks(&self) -> Vec<Moref> {
        let since = self.now() - RECENTLY;
        let mut finished = 0;
        let newest_first = self.tasks.iter().rev().filter(|task| {
            let ended = self.get::<Task>(task).ok().and_then(|task| task.info.complete_time);
            finished += usize::from(ended.is_some());
            ended.is_none_or(|ended| ended >= since && finished <= MOST_RECENT)
        });
        let mut recent: Vec<Moref> = newest_first.cloned().collect();
        recent.reverse();
        recent
    }

    /// All tasks that are remembered, oldest first.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = (&Moref, &Task)> {
        self.tasks.iter().filter_map(|reference| Some((reference, self.get::<Task>(reference).ok()?)))
    }

    fn forget_old_tasks(&mut self) {
        // One that still runs is not forgotten, and holds up those behind it for a while.
        while self.tasks.len() > HISTORY
            && let Some(oldest) = self.tasks.front().cloned()
            && self.get::<Task>(&oldest).is_ok_and(|task| task.info.complete_time.is_some())
        {
            self.tasks.pop_front();
            self.remove(&oldest);
        }
    }
}

/// The key of the description (`VirtualMachine.powerOn`), as clients show it: the owner and the method as the API's own
/// model names it.
fn description_id(call: &Call) -> String {
    let name = call.method.name.trim_end_matches("_Task");
    let short = match (call.method.owner, name) {
        ("VirtualMachine", "ReconfigVM") => "reconfigure".to_owned(),
        ("VirtualMachine", _) => name.strip_suffix("VM").unwrap_or(name).to_owned(),
        _ => name.replace("VM", "Vm"),
    };
    let (first, rest) = short.split_at_checked(1).unwrap_or_default();
    format!("{}.{}{rest}", call.method.owner, first.to_ascii_lowercase())
}
