//! Scheduled tasks: methods that the server is to call when their time comes. The simulator keeps them and knows their
//! times; it calls none.

use chrono::{Datelike as _, Duration, Timelike as _};
use vsphere_model::managed;
use vsphere_model::types::{
    DailyTaskScheduler, DateTime, Description, DuplicateName, ElementDescription, EntityEventArgument,
    HourlyTaskScheduler, InvalidName, MonthlyByDayTaskScheduler, OnceTaskScheduler, Poly, ScheduledTaskCompletedEvent,
    ScheduledTaskCreatedEvent, ScheduledTaskDescription, ScheduledTaskEvent, ScheduledTaskEventArgument,
    ScheduledTaskInfo, ScheduledTaskReconfiguredEvent, ScheduledTaskRemovedEvent, ScheduledTaskSpec,
    ScheduledTaskStartedEvent, TaskInfoState, TaskScheduler, WeeklyTaskScheduler,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("ScheduledTaskManager", "CreateScheduledTask", Handler::Write(create)),
    ("ScheduledTaskManager", "CreateObjectScheduledTask", Handler::Write(create_for_object)),
    ("ScheduledTaskManager", "RetrieveEntityScheduledTask", Handler::Read(of_entity)),
    ("ScheduledTaskManager", "RetrieveObjectScheduledTask", Handler::Read(of_object)),
    ("ScheduledTask", "ReconfigureScheduledTask", Handler::Write(reconfigure)),
    ("ScheduledTask", "RemoveScheduledTask", Handler::Write(remove)),
    ("ScheduledTask", "RunScheduledTask", Handler::Write(run)),
];

/// The managed object `ScheduledTaskManager`.
struct ScheduledTaskManager;

impl Managed for ScheduledTaskManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::ScheduledTaskManager::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "scheduledTask" => {
                let all = look.world.all::<ScheduledTask>().into_iter().map(|(reference, _)| reference.clone());
                Prop::made_list(all.filter(|task| look.world.may_view(task, look.session)).collect())
            }
            "description" => Prop::made(description()),
            _ => Prop::UNSET,
        }
    }
}

/// The managed object `ScheduledTask`.
struct ScheduledTask {
    info: ScheduledTaskInfo,
}

impl Managed for ScheduledTask {
    fn info(&self) -> &'static ManagedInfo {
        managed::ScheduledTask::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "info" => Prop::kept(&self.info),
            _ => Prop::UNSET,
        }
    }

    fn belongs_to(&self) -> Option<&Moref> {
        Some(&self.info.entity)
    }
}

pub(super) fn install(world: &mut World) {
    world.content.scheduled_task_manager = Some(world.add_as("ScheduledTaskManager", ScheduledTaskManager));
}

fn description() -> ScheduledTaskDescription {
    let element = |(key, label): &(&str, &str)| {
        let base = Description { label: (*label).to_owned(), summary: (*label).to_owned() };
        Poly::new(ElementDescription { base, key: (*key).to_owned() })
    };
    let elements = |pairs: &[(&str, &str)]| pairs.iter().map(element).collect();
    ScheduledTaskDescription {
        state: elements(&[("queued", "Queued"), ("running", "Running"), ("success", "Success"), ("error", "Error")]),
        day_of_week: elements(&[
            ("sunday", "Sunday"),
            ("monday", "Monday"),
            ("tuesday", "Tuesday"),
            ("wednesday", "Wednesday"),
            ("thursday", "Thursday"),
            ("friday", "Friday"),
            ("saturday", "Saturday"),
        ]),
        week_of_month: elements(&[
            ("first", "First"),
            ("second", "Second"),
            ("third", "Third"),
            ("fourth", "Fourth"),
            ("last", "Last"),
        ]),
        ..Default::default()
    }
}

/// When a schedule comes next after `now`; `None` where it does not, or goes by what the simulator does not follow.
fn next_run(scheduler: &Poly<TaskScheduler>, now: DateTime) -> Option<DateTime> {
    let from = scheduler.active_time.map_or(now, |active| active.max(now));
    let next = if let Some(once) = scheduler.downcast_ref::<OnceTaskScheduler>() {
        once.run_at.filter(|at| *at > now)
    } else if let Some(monthly) = scheduler.downcast_ref::<MonthlyByDayTaskScheduler>() {
        by_day(monthly, from, |day| i64::from(day.day()) == i64::from(monthly.day))
    } else if let Some(weekly) = scheduler.downcast_ref::<WeeklyTaskScheduler>() {
        let days = [
            weekly.sunday,
            weekly.monday,
            weekly.tuesday,
            weekly.wednesday,
            weekly.thursday,
            weekly.friday,
            weekly.saturday,
        ];
        let wanted = |day: DateTime| usize::try_from(day.weekday().num_days_from_sunday()).ok();
        by_day(weekly, from, |day| wanted(day).and_then(|day| days.get(day)).is_some_and(|wanted| *wanted))
    } else if let Some(daily) = scheduler.downcast_ref::<DailyTaskScheduler>() {
        by_day(daily, from, |_| true)
    } else {
        let hourly = scheduler.downcast_ref::<HourlyTaskScheduler>()?;
        let minute = u32::try_from(hourly.minute).ok()?;
        let hours = (0..=24).map(|hour| from + Duration::hours(hour));
        hours.filter_map(|at| at.with_minute(minute)?.with_second(0)).find(|at| *at > from)
    };
    next.filter(|next| scheduler.expire_time.is_none_or(|end| *next < end))
}

/// The first of the days that are wanted, at the schedule's hour.
fn by_day(daily: &DailyTaskScheduler, from: DateTime, wanted: impl Fn(DateTime) -> bool) -> Option<DateTime> {
    let (hour, minute) = (u32::try_from(daily.hour).ok()?, u32::try_from(daily.minute).ok()?);
    let days = (0..=62).map(|day| from + Duration::days(day));
    let times = days.filter_map(|at| at.with_hour(hour)?.with_minute(minute)?.with_second(0));
    times.filter(|at| *at > from).find(|at| wanted(*at))
}

/// Whether a task may be as the specification says.
fn check(world: &World, itself: Option<&Moref>, spec: &ScheduledTaskSpec) -> Outcome<()> {
    if spec.name.trim().is_empty() || spec.name.len() > 80 {
        let detail = InvalidName { name: spec.name.clone(), ..Default::default() };
        return Err(Fault::new(detail, format!("The name '{}' is invalid.", spec.name)));
    }
    let all = world.all::<ScheduledTask>();
    let taken = all.iter().find(|(at, task)| Some(*at) != itself && task.info.name == spec.name);
    if let Some((other, _)) = taken {
        let detail = DuplicateName { name: spec.name.clone(), object: (*other).clone(), ..Default::default() };
        return Err(Fault::new(detail, format!("The name '{}' already exists.", spec.name)));
    }
    if spec.scheduler.type_name() == "TaskScheduler" {
        return Err(Fault::invalid_argument("spec.scheduler"));
    }
    if spec.action.type_name() == "Action" {
        return Err(Fault::invalid_argument("spec.action"));
    }
    Ok(())
}

/// The specification of the call. Clients that read a task, change it and send it back send more than that.
fn given(call: &Call) -> Outcome<ScheduledTaskSpec> {
    Ok((*call.arg::<Poly<ScheduledTaskSpec>>("spec")?).clone())
}

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let entity: Moref = call.arg("entity")?;
    world.entity(&entity)?;
    add(world, call, &entity)
}

fn create_for_object(world: &mut World, call: &Call) -> Outcome<Reply> {
    add(world, call, &call.arg::<Moref>("obj")?)
}

fn add(world: &mut World, call: &Call, entity: &Moref) -> Outcome<Reply> {
    let spec = given(call)?;
    world.demand(call, entity, "ScheduledTask.Create")?;
    check(world, None, &spec)?;
    let id = world.new_id("schedule-");
    let now = world.now();
    let info = ScheduledTaskInfo {
        next_run_time: next_run(&spec.scheduler, now).filter(|_| spec.enabled),
        base: spec,
        scheduled_task: Moref::new("ScheduledTask", &id),
        entity: entity.clone(),
        last_modified_time: now,
        last_modified_user: call.user(world),
        state: TaskInfoState::Queued,
        task_object: Some(entity.clone()),
        ..Default::default()
    };
    let task = world.add_as(&id, ScheduledTask { info });
    world.touch(&call.target);
    let base = about(world, &task)?;
    tell(world, call, &task, ScheduledTaskCreatedEvent { base }, "Created task")?;
    Ok(Reply::of(task))
}

/// What an event says of the scheduled task.
fn about(world: &World, task: &Moref) -> Outcome<ScheduledTaskEvent> {
    let info = &world.get::<ScheduledTask>(task)?.info;
    let base = EntityEventArgument { name: info.name.clone(), ..Default::default() };
    Ok(ScheduledTaskEvent {
        scheduled_task: ScheduledTaskEventArgument { base, scheduled_task: task.clone() },
        entity: world.argument(&info.entity),
        ..Default::default()
    })
}

fn tell<E: vsphere_soap::object::Extends<vsphere_model::types::Event>>(
    world: &mut World,
    call: &Call,
    task: &Moref,
    event: E,
    what: &str,
) -> Outcome<()> {
    let about = about(world, task)?;
    let (user, entity) = (call.user(world), about.entity.entity.clone());
    let message = format!("{what} {} on {}", about.scheduled_task.name, about.entity.name);
    world.post(&entity, &user, event, message);
    Ok(())
}

fn of_entity(world: &World, call: &Call) -> Outcome<Reply> {
    list(world, call, call.opt("entity")?)
}

fn of_object(world: &World, call: &Call) -> Outcome<Reply> {
    list(world, call, call.opt("obj")?)
}

fn list(world: &World, call: &Call, of: Option<Moref>) -> Outcome<Reply> {
    if let Some(of) = &of {
        world.demand(call, of, "System.View")?;
    }
    let all = world.all::<ScheduledTask>().into_iter();
    let wanted = all.filter(|(_, task)| of.as_ref().is_none_or(|of| task.info.entity == *of));
    let seen = wanted.filter(|(at, _)| world.may_view(at, call.session.as_deref()));
    Ok(Reply::list(seen.map(|(at, _)| at.clone()).collect()))
}

fn reconfigure(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec = given(call)?;
    check(world, Some(&call.target), &spec)?;
    let (now, user) = (world.now(), call.user(world));
    let info = &mut world.edit::<ScheduledTask>(&call.target)?.info;
    info.next_run_time = next_run(&spec.scheduler, now).filter(|_| spec.enabled);
    info.base = spec;
    info.last_modified_time = now;
    info.last_modified_user = user;
    let event = ScheduledTaskReconfiguredEvent { base: about(world, &call.target)?, ..Default::default() };
    tell(world, call, &call.target, event, "Reconfigured task")?;
    Ok(Reply::NONE)
}

fn remove(world: &mut World, call: &Call) -> Outcome<Reply> {
    let event = ScheduledTaskRemovedEvent { base: about(world, &call.target)? };
    tell(world, call, &call.target, event, "Removed task")?;
    world.remove(&call.target);
    if let Some(manager) = world.content.scheduled_task_manager.clone() {
        world.touch(&manager);
    }
    Ok(Reply::NONE)
}

/// Takes it that the task has run, and done nothing.
fn run(world: &mut World, call: &Call) -> Outcome<Reply> {
    let event = ScheduledTaskStartedEvent { base: about(world, &call.target)? };
    tell(world, call, &call.target, event, "Running task")?;
    let now = world.now();
    let info = &mut world.edit::<ScheduledTask>(&call.target)?.info;
    info.prev_run_time = Some(now);
    info.state = TaskInfoState::Success;
    let event = ScheduledTaskCompletedEvent { base: about(world, &call.target)? };
    tell(world, call, &call.target, event, "Task completed")?;
    Ok(Reply::NONE)
}
