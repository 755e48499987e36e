//! The event manager, and the event history collectors that sessions read the record with.

use std::collections::BTreeSet;

use vsphere_model::managed;
use vsphere_model::registry;
use vsphere_model::types::{AlarmEvent, Description, ExtendedEvent, GeneralEvent, ScheduledTaskEvent};
use vsphere_model::types::{
    DateTime, ElementDescription, Event, EventArgDesc, EventDescription, EventDescriptionEventDetail, EventEx,
    EventFilterSpec, EventFilterSpecRecursionOption, GeneralUserEvent, InvalidEvent, InvalidState, Poly,
};
use vsphere_soap::object::{DataType as _, ManagedInfo, ManagedType as _, Type, TypeInfo};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, Recorded, World};

pub(crate) const METHODS: Methods = &[
    ("EventManager", "QueryEvents", Handler::Read(query)),
    ("EventManager", "CreateCollectorForEvents", Handler::Write(create_collector)),
    ("EventManager", "PostEvent", Handler::Write(post)),
    ("EventManager", "LogUserEvent", Handler::Write(log)),
    ("EventManager", "RetrieveArgumentDescription", Handler::Read(arguments)),
    ("EventHistoryCollector", "ReadNextEvents", Handler::Write(read_next)),
    ("EventHistoryCollector", "ReadPreviousEvents", Handler::Write(read_previous)),
    ("EventHistoryCollector", "RewindCollector", Handler::Write(rewind)),
    ("EventHistoryCollector", "ResetCollector", Handler::Write(reset)),
    ("EventHistoryCollector", "SetCollectorPageSize", Handler::Write(set_page)),
    ("EventHistoryCollector", "DestroyCollector", Handler::Write(destroy)),
];

/// How many collectors a session may have, as vCenter has it.
const MAX_COLLECTORS: usize = 32;

/// How many events a page may have, and a query where the client does not say.
const MAX_PAGE: usize = 1000;

/// The managed object `EventManager`.
struct EventManager;

impl Managed for EventManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::EventManager::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "description" => Prop::made(description()),
            "latestEvent" => look.world.events.latest().map_or(Prop::UNSET, Prop::kept),
            "maxCollector" => Prop::made(i32::try_from(MAX_COLLECTORS).unwrap_or_default()),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    world.content.event_manager = Some(world.add_as("EventManager", EventManager));
}

/// The managed object `EventHistoryCollector`: a filter, and a place in what it lets through.
struct EventCollector {
    session: String,
    filter: EventFilterSpec,
    /// How many events the latest page has at most.
    page: usize,
    /// The key of the event that the next read begins with: reads go up from it, or down from the one before it.
    position: i32,
}

impl Managed for EventCollector {
    fn info(&self) -> &'static ManagedInfo {
        managed::EventHistoryCollector::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "filter" => Prop::kept(&self.filter),
            "latestPage" => {
                let newest = self.matching(look.world).rev().take(self.page);
                Prop::made_list(newest.map(|recorded| recorded.event.clone()).collect())
            }
            "initialized" => Prop::made(true),
            _ => Prop::UNSET,
        }
    }
}

impl EventCollector {
    fn matching<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Recorded> {
        matching(world, &self.filter, &self.session)
    }

    /// The key of the oldest event on the latest page.
    fn latest_page_begins(&self, world: &World) -> i32 {
        let oldest = self.matching(world).rev().take(self.page).last();
        oldest.map_or(world.events.last_key() + 1, |recorded| recorded.event.key)
    }
}

/// The events that a filter lets through, of those that the session's user may see, oldest first.
fn matching<'a>(
    world: &'a World,
    filter: &'a EventFilterSpec,
    session: &'a str,
) -> impl DoubleEndedIterator<Item = &'a Recorded> {
    world.events.kept.iter().filter(move |recorded| lets_through(filter, recorded) && seen(world, recorded, session))
}

/// Whether the user may see what the event is about. What is gone is judged by what it stood in, as far as that is there.
fn seen(world: &World, recorded: &Recorded, session: &str) -> bool {
    let root = &world.content.root_folder;
    let subject = Moref::new("", recorded.subject());
    let subject = if world.find(&subject).is_some() { &subject } else { root };
    world.may_view(subject, Some(session))
}

fn lets_through(filter: &EventFilterSpec, recorded: &Recorded) -> bool {
    let event = &recorded.event;
    // The cheap questions come first: a collector asks them of every event on record.
    let in_time = filter.time.as_ref().is_none_or(|time| {
        time.begin_time.is_none_or(|begin| event.created_time >= begin)
            && time.end_time.is_none_or(|end| event.created_time <= end)
    });
    in_time
        && filter.event_chain_id.is_none_or(|chain| event.chain_id == chain)
        && filter.entity.as_ref().is_none_or(|by| match by.recursion {
            EventFilterSpecRecursionOption::Self_ => recorded.is_about(&by.entity),
            EventFilterSpecRecursionOption::Children => recorded.is_about_child_of(&by.entity),
            _ => recorded.is_within(&by.entity),
        })
        && filter.user_name.as_ref().is_none_or(|by| {
            let named = by.user_list.is_empty() && !by.system_user
                || by.user_list.iter().any(|user| crate::model::same(user, &event.user_name));
            named || by.system_user && event.user_name.is_empty()
        })
        && filter
            .alarm
            .as_ref()
            .is_none_or(|alarm| event.downcast_ref::<AlarmEvent>().is_some_and(|event| event.alarm.alarm == *alarm))
        && filter.scheduled_task.as_ref().is_none_or(|task| {
            event.downcast_ref::<ScheduledTaskEvent>().is_some_and(|event| event.scheduled_task.scheduled_task == *task)
        })
        && (filter.tag.is_empty() || event.change_tag.as_ref().is_some_and(|tag| filter.tag.contains(tag)))
        && (filter.audit_id.is_empty() || event.audit_id.as_ref().is_some_and(|id| filter.audit_id.contains(id)))
        && (filter.category.is_empty() || filter.category.iter().any(|category| category == category_of(event)))
        && (filter.type_.is_empty() || filter.type_.iter().any(|kind| is_kind(event, kind)))
        && (filter.event_type_id.is_empty() || filter.event_type_id.iter().any(|kind| is_kind(event, kind)))
}

/// Whether the event is of this kind: by its type, by one that this extends, or by the id that extended events carry.
pub(super) fn is_kind(event: &Poly<Event>, kind: &str) -> bool {
    let name = kind.strip_prefix("vim.event.").unwrap_or(kind);
    let by_id = event.downcast_ref::<EventEx>().map(|event| &event.event_type_id);
    let by_id = by_id.or_else(|| event.downcast_ref::<ExtendedEvent>().map(|event| &event.event_type_id));
    by_id.is_some_and(|id| id == kind)
        || event.type_name() == name
        || event.as_object().data().info().lineage().any(|info| info.name() == name)
}

/// `info`, `warning`, `error` or `user`.
fn category_of(event: &Poly<Event>) -> &str {
    let severity = event.downcast_ref::<EventEx>().and_then(|event| event.severity.as_deref());
    severity.unwrap_or_else(|| category_of_type(event.as_object().data().info()))
}

fn category_of_type(info: &TypeInfo) -> &'static str {
    const ERRORS: &[&str] = &["Failed", "Error", "CannotAdd", "NoLicense", "NotEnough", "Unable", "Incompatible"];
    const WARNINGS: &[&str] =
        &["Warning", "Lost", "Disconnected", "Conflict", "Mismatch", "Duplicate", "Expired", "Bad"];
    let name = info.name();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    match () {
        () if info.lineage().any(|info| info.name() == GeneralUserEvent::INFO.name()) => "user",
        () if has(ERRORS) => "error",
        () if has(WARNINGS) => "warning",
        () => "info",
    }
}

/// All types of events, with what they are about.
fn description() -> EventDescription {
    let category = |key: &str, label: &str| {
        let base = Description { label: label.to_owned(), summary: label.to_owned() };
        Poly::new(ElementDescription { base, key: key.to_owned() })
    };
    let events = registry().types().iter().filter(|info| info.is_a(Event::INFO));
    EventDescription {
        category: vec![
            category("info", "Information"),
            category("warning", "Warning"),
            category("error", "Error"),
            category("user", "User"),
        ],
        event_info: events.map(|info| detail(info)).collect(),
        enumerated_types: Vec::new(),
    }
}

fn detail(info: &TypeInfo) -> EventDescriptionEventDetail {
    let words = words(info.name());
    EventDescriptionEventDetail {
        key: info.name().to_owned(),
        category: category_of_type(info).to_owned(),
        format_on_datacenter: words.clone(),
        format_on_compute_resource: words.clone(),
        format_on_host: words.clone(),
        format_on_vm: words.clone(),
        full_format: words.clone(),
        description: Some(words),
        long_description: None,
    }
}

/// `VmPoweredOnEvent` as people say it: `Vm powered on`.
fn words(type_name: &str) -> String {
    let mut out = String::new();
    for (index, letter) in type_name.trim_end_matches("Event").char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            out.push(' ');
        }
        out.push(if index > 0 { letter.to_ascii_lowercase() } else { letter });
    }
    out
}

fn query(world: &World, call: &Call) -> Outcome<Reply> {
    let filter: EventFilterSpec = call.arg("filter")?;
    let session = call.session()?;
    check(world, &filter, session)?;
    let most = match filter.max_count {
        None => MAX_PAGE,
        Some(count) => usize::try_from(count).map_err(|_| Fault::invalid_argument("filter.maxCount"))?,
    };
    // The newest, in the order in which they happened.
    let mut newest: Vec<Poly<Event>> =
        matching(world, &filter, session).rev().take(most).map(|recorded| told(recorded, &filter)).collect();
    newest.reverse();
    Ok(Reply::list(newest))
}

/// The event as the filter wants it.
fn told(recorded: &Recorded, filter: &EventFilterSpec) -> Poly<Event> {
    let mut event = recorded.event.clone();
    if filter.disable_full_message == Some(true) {
        event.full_formatted_message = None;
    }
    event
}

/// Whether the filter is about things that are there.
fn check(world: &World, filter: &EventFilterSpec, session: &str) -> Outcome<()> {
    if let Some(by) = &filter.entity {
        if !world.visible(&by.entity, Some(session)) {
            return Err(Fault::not_found(&by.entity));
        }
        if !world.may_view(&by.entity, Some(session)) {
            return Err(Fault::no_permission(&by.entity, "System.View"));
        }
    }
    let referred = filter.alarm.iter().chain(&filter.scheduled_task);
    match referred.into_iter().find(|object| world.find(object).is_none()) {
        Some(object) => Err(Fault::not_found(object)),
        None => Ok(()),
    }
}

fn create_collector(world: &mut World, call: &Call) -> Outcome<Reply> {
    let filter: EventFilterSpec = call.arg("filter")?;
    let session = call.session()?.to_owned();
    check(world, &filter, &session)?;
    let gone: Vec<bool> = world.events.collectors.iter().map(|collector| world.find(collector).is_none()).collect();
    let mut gone = gone.into_iter();
    world.events.collectors.retain(|_| !gone.next().unwrap_or_default());
    let own =
        |collector: &&Moref| world.get::<EventCollector>(collector).is_ok_and(|collector| collector.session == session);
    if world.events.collectors.iter().filter(own).count() >= MAX_COLLECTORS {
        let message = format!("The session has {MAX_COLLECTORS} event collectors, which is the most that it may have.");
        return Err(Fault::new(InvalidState::default(), message));
    }
    let id = format!("session[{session}]{}", world.new_id("event-collector-"));
    let collector = EventCollector { session: session.clone(), filter, page: 10, position: 0 };
    let collector = world.add_for_session(&session, &id, collector);
    world.events.collectors.push(collector.clone());
    Ok(Reply::of(collector))
}

/// The number of events that the client asks for.
fn count(call: &Call) -> Outcome<usize> {
    let count: i32 = call.arg("maxCount")?;
    let count = usize::try_from(count).ok().filter(|count| (1..=MAX_PAGE).contains(count));
    count.ok_or_else(|| Fault::invalid_argument("maxCount"))
}

fn read_next(world: &mut World, call: &Call) -> Outcome<Reply> {
    let count = count(call)?;
    let collector = world.get::<EventCollector>(&call.target)?;
    let from = collector.matching(world).filter(|recorded| recorded.event.key >= collector.position);
    let page: Vec<Poly<Event>> = from.take(count).map(|recorded| told(recorded, &collector.filter)).collect();
    if let Some(last) = page.last() {
        let position = last.key + 1;
        world.quietly_edit::<EventCollector>(&call.target)?.position = position;
    }
    Ok(Reply::list(page))
}

fn read_previous(world: &mut World, call: &Call) -> Outcome<Reply> {
    let count = count(call)?;
    let collector = world.get::<EventCollector>(&call.target)?;
    let before = collector.matching(world).rev().filter(|recorded| recorded.event.key < collector.position);
    let page: Vec<Poly<Event>> = before.take(count).map(|recorded| told(recorded, &collector.filter)).collect();
    if let Some(oldest) = page.last() {
        let position = oldest.key;
        world.quietly_edit::<EventCollector>(&call.target)?.position = position;
    }
    Ok(Reply::list(page))
}

fn rewind(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.quietly_edit::<EventCollector>(&call.target)?.position = 0;
    Ok(Reply::NONE)
}

/// To just before the latest page: what one reads backwards from there is what the page does not have.
fn reset(world: &mut World, call: &Call) -> Outcome<Reply> {
    let position = world.get::<EventCollector>(&call.target)?.latest_page_begins(world);
    world.quietly_edit::<EventCollector>(&call.target)?.position = position;
    Ok(Reply::NONE)
}

fn set_page(world: &mut World, call: &Call) -> Outcome<Reply> {
    let page = count(call)?;
    world.edit::<EventCollector>(&call.target)?.page = page;
    Ok(Reply::NONE)
}

fn destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.get::<EventCollector>(&call.target)?;
    world.remove(&call.target);
    world.events.collectors.retain(|collector| *collector != call.target);
    Ok(Reply::NONE)
}

fn post(world: &mut World, call: &Call) -> Outcome<Reply> {
    let mut event: Poly<Event> = call.arg("eventToPost")?;
    if event.type_name() == Event::INFO.name() {
        return Err(Fault::new(InvalidEvent::default(), "An event that is posted must have a type of its own."));
    }
    let about = subject(world, &event);
    let message = event.full_formatted_message.clone().or_else(|| {
        let extended = event.downcast_ref::<EventEx>();
        extended.and_then(|event| event.message.clone()).or_else(|| {
            event.downcast_ref::<GeneralEvent>().map(|event| event.message.clone()).filter(|text| !text.is_empty())
        })
    });
    let message = message.unwrap_or_else(|| words(event.type_name()));
    // The server's clock counts, whatever the client's says.
    event.created_time = DateTime::default();
    let user = Some(event.user_name.clone()).filter(|user| !user.is_empty()).unwrap_or_else(|| call.user(world));
    world.record(&about, &user, event, message);
    Ok(Reply::NONE)
}

/// The nearest thing that the event names, and that is there; the root folder without any.
fn subject(world: &World, event: &Poly<Event>) -> Moref {
    let extended = event.downcast_ref::<EventEx>();
    let object = extended.and_then(|event| event.object_id.as_deref().map(|id| Moref::new("", id)));
    let named = [
        object,
        event.vm.as_ref().map(|argument| argument.vm.clone()),
        event.host.as_ref().map(|argument| argument.host.clone()),
        event.ds.as_ref().map(|argument| argument.datastore.clone()),
        event.net.as_ref().map(|argument| argument.network.clone()),
        event.dvs.as_ref().map(|argument| argument.dvs.clone()),
        event.compute_resource.as_ref().map(|argument| argument.compute_resource.clone()),
        event.datacenter.as_ref().map(|argument| argument.datacenter.clone()),
    ];
    let there = named.into_iter().flatten().find_map(|object| world.reference(&object).cloned());
    there.unwrap_or_else(|| world.content.root_folder.clone())
}

fn log(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (entity, message): (Moref, String) = (call.arg("entity")?, call.arg("msg")?);
    world.demand(call, &entity, "Global.LogEvent")?;
    world.entity(&entity)?;
    let user = call.user(world);
    let base = GeneralEvent { message: message.clone(), ..Default::default() };
    let event = GeneralUserEvent { base, entity: Some(Box::new(world.argument(&entity))) };
    world.post(&entity, &user, event, format!("User logged event: {message}"));
    Ok(Reply::NONE)
}

/// The fields that a type of event adds to what all have.
fn arguments(_: &World, call: &Call) -> Outcome<Reply> {
    let id: String = call.arg("eventTypeId")?;
    let name = id.strip_prefix("vim.event.").unwrap_or(&id);
    let info = registry().data(name).filter(|info| info.is_a(Event::INFO));
    let info = info.ok_or_else(|| Fault::invalid_argument("eventTypeId"))?;
    let common: BTreeSet<&str> = Event::INFO.fields().iter().map(|field| field.name).collect();
    let own = info.fields().iter().filter(|field| !common.contains(field.name));
    let described = own.map(|field| EventArgDesc {
        name: field.name.to_owned(),
        type_: match field.ty {
            Type::Data(info) => info.name().to_owned(),
            other => other.name().to_owned(),
        },
        description: None,
    });
    Ok(Reply::list(described.collect()))
}
