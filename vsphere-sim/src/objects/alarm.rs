//! Alarms: a condition on a kind of object, and where it holds now.

use std::collections::{BTreeSet, HashMap, HashSet};

use vsphere_model::managed;
use vsphere_model::types::{
    AlarmEvent, AlarmEventArgument, AlarmExpression, AlarmInfo, AlarmState, AlarmStatusChangedEvent,
    AndAlarmExpression, EntityEventArgument, Event, EventAlarmExpression, ManagedEntityStatus, MetricAlarmExpression,
    MetricAlarmOperator, OrAlarmExpression, Poly, StateAlarmExpression, StateAlarmOperator,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _, Value, path};

use super::{event_manager, performance};
use crate::world::{Look, Managed, Moref, Prop, Status, World};

/// The managed object `Alarm`.
pub(crate) struct Alarm {
    pub(crate) info: AlarmInfo,
    /// The ids of the entities on which it does not count.
    pub(crate) off: HashSet<String>,
    /// What somebody has cleared though the condition holds, by the id of the entity: it comes back when that changes.
    pub(crate) cleared: HashMap<String, Status>,
}

impl Managed for Alarm {
    fn info(&self) -> &'static ManagedInfo {
        managed::Alarm::INFO
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

impl Alarm {
    /// Whether it is about objects of this type.
    fn is_about(&self, type_: &str) -> bool {
        let mut types = Vec::new();
        types_of(&self.info.expression, &mut types);
        types.iter().any(|of| named(type_, of))
    }

    /// Whether it can be triggered by an object of this type, or by what stands below such an object.
    fn concerns(&self, type_: &str) -> bool {
        let below: &[&str] = match type_ {
            "Folder" | "Datacenter" => return true,
            "ComputeResource" | "ClusterComputeResource" => &["HostSystem", "VirtualMachine", "ResourcePool"],
            "HostSystem" | "ResourcePool" | "VirtualApp" => &["VirtualMachine"],
            "StoragePod" => &["Datastore"],
            _ => &[],
        };
        self.is_about(type_) || below.iter().any(|below| self.is_about(below))
    }
}

/// Whether objects of type `type_` are of type `of`.
fn named(type_: &str, of: &str) -> bool {
    vsphere_model::registry().managed(type_).is_some_and(|info| info.is_named(of))
}

/// The types of objects that an expression is about.
fn types_of<'e>(expression: &'e Poly<AlarmExpression>, found: &mut Vec<&'e str>) {
    if let Some(state) = expression.downcast_ref::<StateAlarmExpression>() {
        found.push(&state.type_);
    } else if let Some(metric) = expression.downcast_ref::<MetricAlarmExpression>() {
        found.push(&metric.type_);
    } else if let Some(event) = expression.downcast_ref::<EventAlarmExpression>() {
        found.push(event.object_type.as_deref().unwrap_or("ManagedEntity"));
    } else if let Some(or) = expression.downcast_ref::<OrAlarmExpression>() {
        or.expression.iter().for_each(|part| types_of(part, found));
    } else if let Some(and) = expression.downcast_ref::<AndAlarmExpression>() {
        and.expression.iter().for_each(|part| types_of(part, found));
    }
}

/// The alarms of the server, and what must be looked at again.
#[derive(Default)]
pub(crate) struct Alarms {
    pub(crate) all: Vec<Moref>,
    /// The entities on which an alarm is triggered.
    troubled: BTreeSet<Moref>,
    /// The entities that changed since their alarms were last looked at.
    changed: BTreeSet<Moref>,
    /// The types that an alarm reads the state of: only their changes count.
    read: HashSet<String>,
}

impl Alarms {
    /// Takes note that an entity is not what it was.
    pub(crate) fn note(&mut self, entity: &Moref) {
        if self.read.contains(&entity.type_) && !self.changed.contains(entity) {
            self.changed.insert(entity.clone());
        }
    }
}

impl World {
    /// Brings the list of what alarms read up to date, after a change of the alarms.
    pub(crate) fn alarms_changed(&mut self) {
        let mut read = HashSet::new();
        for alarm in self.alarms.all.iter().filter_map(|alarm| self.get::<Alarm>(alarm).ok()) {
            if reads_state(&alarm.info.expression) {
                let mut types = Vec::new();
                types_of(&alarm.info.expression, &mut types);
                read.extend(types.into_iter().map(str::to_owned));
            }
        }
        self.alarms.read = read;
        for entity in self.references().filter(|at| self.alarms.read.contains(&at.type_)).cloned().collect::<Vec<_>>() {
            self.alarms.note(&entity);
        }
    }

    /// Looks at the alarms of what has changed.
    pub(crate) fn review_alarms(&mut self) {
        for entity in std::mem::take(&mut self.alarms.changed) {
            self.review_alarms_of(&entity);
        }
        // What the alarms themselves have changed is no reason to look again.
        self.alarms.changed.clear();
    }

    /// Looks at the alarms of an entity.
    pub(crate) fn review_alarms_of(&mut self, entity: &Moref) {
        for alarm in self.alarms.all.clone() {
            if let Some((status, cleared)) = self.judged(&alarm, entity) {
                if !cleared {
                    self.set_alarm(&alarm, entity, status);
                }
                if let Ok(alarm) = self.quietly_edit::<Alarm>(&alarm)
                    && !cleared
                {
                    alarm.cleared.remove(&entity.value);
                }
            }
        }
    }

    /// What the alarm's condition comes to on the entity, where it reads its state, and whether somebody cleared just that.
    fn judged(&self, alarm: &Moref, entity: &Moref) -> Option<(Status, bool)> {
        let alarm = self.get::<Alarm>(alarm).ok()?;
        let counts = alarm.info.enabled && alarm.is_about(&entity.type_) && self.is_under(entity, &alarm.info.entity);
        if !counts || alarm.off.contains(&entity.value) {
            return None;
        }
        let status = judge(self, &alarm.info.expression, entity)?;
        Some((status, alarm.cleared.get(&entity.value) == Some(&status)))
    }

    /// The alarms that wait for such an event, with what it makes of them.
    pub(crate) fn alarms_by_event(&self, about: &Moref, event: &Poly<Event>) -> Vec<(Moref, Status)> {
        // What alarms tell of themselves would go round in circles.
        let Some(entity) = self.reference(about).filter(|_| !event.is::<AlarmEvent>()) else { return Vec::new() };
        let status = |reference: &Moref| {
            let alarm = self.get::<Alarm>(reference).ok()?;
            let counts = alarm.info.enabled && !alarm.off.contains(&entity.value);
            let status = if counts { status_by_event(&alarm.info.expression, entity, event)? } else { return None };
            self.is_under(entity, &alarm.info.entity).then(|| (reference.clone(), status))
        };
        self.alarms.all.iter().filter_map(status).collect()
    }

    /// Sets what an alarm says of an entity: the entity's health follows, and the record tells it.
    pub(crate) fn set_alarm(&mut self, alarm: &Moref, entity: &Moref, status: Status) {
        let Ok(kept) = self.entity(entity) else { return };
        let before = kept.triggered_alarms.iter().find(|state| state.alarm == *alarm);
        let from = before.map_or(Status::Green, |state| Status::from(&state.overall_status));
        if from == status {
            return;
        }
        let event = AlarmStatusChangedEvent {
            base: self.alarm_event(alarm),
            source: self.argument(entity),
            entity: self.argument(entity),
            from: from.name().to_owned(),
            to: status.name().to_owned(),
        };
        let (name, of) = (event.alarm.name.clone(), event.entity.name.clone());
        let message = format!("Alarm '{name}' on {of} changed from {} to {}", from.label(), status.label());
        self.post(entity, "", event, message);
        let (time, event_key) = (self.now(), self.events.last_key());
        let Ok(kept) = self.edit_entity(entity) else { return };
        kept.triggered_alarms.retain(|state| state.alarm != *alarm);
        if status != Status::Green {
            kept.triggered_alarms.push(AlarmState {
                key: format!("{}.{}", alarm.value, entity.value),
                entity: entity.clone(),
                alarm: alarm.clone(),
                overall_status: ManagedEntityStatus::from(status),
                time,
                acknowledged: Some(false),
                event_key: Some(event_key),
                ..Default::default()
            });
        }
        let worst = kept.triggered_alarms.iter().map(|state| Status::from(&state.overall_status)).max();
        kept.status = worst.unwrap_or_default();
        let troubled = !kept.triggered_alarms.is_empty();
        if troubled {
            self.alarms.troubled.insert(entity.clone());
        } else {
            self.alarms.troubled.remove(entity);
        }
        self.touch_above(entity);
    }

    /// Marks what shows the alarms of an entity beside its own.
    pub(crate) fn touch_above(&mut self, entity: &Moref) {
        for above in self.lines(entity) {
            self.touch(&above);
        }
    }

    /// What an event says of its alarm.
    pub(crate) fn alarm_event(&self, alarm: &Moref) -> AlarmEvent {
        let name = self.get::<Alarm>(alarm).map(|alarm| alarm.info.name.clone()).unwrap_or_default();
        let base = EntityEventArgument { name, ..Default::default() };
        AlarmEvent { alarm: AlarmEventArgument { base, alarm: alarm.clone() }, ..Default::default() }
    }

    /// The triggered alarms on an entity and on all below it.
    pub(crate) fn triggered_alarms(&self, entity: &Moref) -> Vec<AlarmState> {
        let own = |at: &Moref| self.entity(at).map(|kept| kept.triggered_alarms.clone()).unwrap_or_default();
        if matches!(entity.type_.as_str(), "VirtualMachine" | "Datastore" | "Network" | "DistributedVirtualPortgroup") {
            return own(entity);
        }
        self.alarms.troubled.iter().filter(|troubled| self.is_under(troubled, entity)).flat_map(own).collect()
    }

    /// The alarms that are defined on the entity or above it and that it can trigger, each with what it says of the entity.
    pub(crate) fn declared_alarms(&self, entity: &Moref) -> Vec<AlarmState> {
        let Ok(kept) = self.entity(entity) else { return Vec::new() };
        let around = self.lines(entity);
        let mut states = Vec::new();
        for reference in &self.alarms.all {
            let Ok(alarm) = self.get::<Alarm>(reference) else { continue };
            if !around.contains(&alarm.info.entity) || !alarm.concerns(&entity.type_) {
                continue;
            }
            let triggered = kept.triggered_alarms.iter().find(|state| state.alarm == *reference).cloned();
            let mut state = triggered.unwrap_or_else(|| AlarmState {
                key: format!("{}.{}", reference.value, entity.value),
                entity: entity.clone(),
                alarm: reference.clone(),
                overall_status: ManagedEntityStatus::Green,
                time: alarm.info.last_modified_time,
                acknowledged: Some(false),
                event_key: Some(0),
                ..Default::default()
            });
            state.disabled = Some(alarm.off.contains(&entity.value));
            states.push(state);
        }
        states
    }

    /// Whether the entity is `above`, or stands in it by folders, hosts or pools.
    fn is_under(&self, entity: &Moref, above: &Moref) -> bool {
        *above == self.content.root_folder || self.lines(entity).contains(above)
    }

    /// The entity and all that it stands in, by folders, hosts and pools.
    fn lines(&self, entity: &Moref) -> Vec<Moref> {
        let mut around = self.ancestors(entity);
        for other in self.host_of(entity).into_iter().chain(self.pool_of(entity)) {
            around.extend(self.ancestors(&other));
        }
        around.sort();
        around.dedup();
        around
    }
}

/// Whether the expression follows from the state of an object, and not from events and measurements.
fn reads_state(expression: &Poly<AlarmExpression>) -> bool {
    if let Some(or) = expression.downcast_ref::<OrAlarmExpression>() {
        return or.expression.iter().any(reads_state);
    }
    if let Some(and) = expression.downcast_ref::<AndAlarmExpression>() {
        return and.expression.iter().any(reads_state);
    }
    expression.is::<StateAlarmExpression>()
        || expression.downcast_ref::<MetricAlarmExpression>().is_some_and(|metric| metric.type_ == "Datastore")
}

/// What the expression comes to on the entity, as far as it reads its state.
fn judge(world: &World, expression: &Poly<AlarmExpression>, entity: &Moref) -> Option<Status> {
    if let Some(state) = expression.downcast_ref::<StateAlarmExpression>() {
        if !named(&entity.type_, &state.type_) {
            return None;
        }
        let now = text_at(world, entity, &state.state_path).unwrap_or_default();
        let equal = state.operator != StateAlarmOperator::IsUnequal;
        let holds = |wanted: &Option<String>| wanted.as_ref().is_some_and(|wanted| (*wanted == now) == equal);
        return Some(worst(holds(&state.yellow), holds(&state.red)));
    }
    if let Some(metric) = expression.downcast_ref::<MetricAlarmExpression>() {
        let used = match metric.type_.as_str() {
            "Datastore" => used_percent(world, entity)?,
            // The usual course of hosts and machines triggers nothing.
            type_ if world.is_strained && named(&entity.type_, type_) => {
                performance::lately(world, entity, metric.metric.counter_id)?
            }
            _ => return None,
        };
        let below = metric.operator == MetricAlarmOperator::IsBelow;
        let holds = |limit: Option<i32>| limit.is_some_and(|limit| if below { used < limit } else { used > limit });
        return Some(worst(holds(metric.yellow), holds(metric.red)));
    }
    if let Some(or) = expression.downcast_ref::<OrAlarmExpression>() {
        return or.expression.iter().filter_map(|part| judge(world, part, entity)).max();
    }
    let and = expression.downcast_ref::<AndAlarmExpression>()?;
    and.expression.iter().filter_map(|part| judge(world, part, entity)).min()
}

fn worst(yellow: bool, red: bool) -> Status {
    match (yellow, red) {
        (_, true) => Status::Red,
        (true, false) => Status::Yellow,
        (false, false) => Status::Green,
    }
}

/// What an event makes of the alarm, where the alarm waits for it.
fn status_by_event(expression: &Poly<AlarmExpression>, about: &Moref, event: &Poly<Event>) -> Option<Status> {
    if let Some(or) = expression.downcast_ref::<OrAlarmExpression>() {
        return or.expression.iter().find_map(|part| status_by_event(part, about, event));
    }
    let wanted = expression.downcast_ref::<EventAlarmExpression>()?;
    let fits = event_manager::is_kind(event, wanted.event_type_id.as_deref().unwrap_or(&wanted.event_type))
        && named(&about.type_, wanted.object_type.as_deref().unwrap_or("ManagedEntity"));
    // Without a status the alarm only tells, which leaves nothing behind.
    wanted.status.as_ref().filter(|_| fits).map(Status::from)
}

/// The value of a property path as text.
pub(crate) fn text_at(world: &World, entity: &Moref, path: &str) -> Option<String> {
    let found = world.find(entity)?;
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let property = found.read(&Look { world, me: entity, session: None }, first);
    let text = |value: Value<'_>| match value {
        Value::String(text) | Value::Enum(_, text) => Some(text.to_owned()),
        Value::Boolean(value) => Some(value.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Long(value) => Some(value.to_string()),
        _ => None,
    };
    let Some(rest) = rest else { return text(property.value()) };
    let data = match property.value() {
        Value::Data(data) => data,
        Value::Poly(object) => object.data(),
        _ => return None,
    };
    text(path::get_path(data, rest).ok()?)
}

/// How much of a datastore is used, in hundredths of a percent.
fn used_percent(world: &World, datastore: &Moref) -> Option<i32> {
    let number = |path| text_at(world, datastore, path)?.parse::<i64>().ok();
    let (capacity, free) = (number("summary.capacity")?, number("summary.freeSpace")?);
    let used = i128::from(capacity - free) * 10_000 / i128::from(capacity.max(1));
    i32::try_from(used).ok()
}
