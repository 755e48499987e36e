//! The alarm manager: makes alarms, and says what they say.

use std::collections::{HashMap, HashSet};

use vsphere_model::managed;
use vsphere_model::registry;
use vsphere_model::types::{
    AlarmAcknowledgedEvent, AlarmClearedEvent, AlarmCreatedEvent, AlarmDescription, AlarmExpression, AlarmFilterSpec,
    AlarmInfo, AlarmReconfiguredEvent, AlarmRemovedEvent, AlarmSpec, AlarmState, AndAlarmExpression, Description,
    DuplicateName, ElementDescription, EventAlarmExpression, InvalidName, MetricAlarmExpression, OrAlarmExpression,
    Poly, StateAlarmExpression, TypeDescription,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::alarm::Alarm;
use super::default_alarms;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, Status, World};

pub(crate) const METHODS: Methods = &[
    ("AlarmManager", "CreateAlarm", Handler::Write(create)),
    ("AlarmManager", "GetAlarm", Handler::Read(get)),
    ("AlarmManager", "GetAlarmState", Handler::Read(state)),
    ("AlarmManager", "AreAlarmActionsEnabled", Handler::Read(are_actions_enabled)),
    ("AlarmManager", "EnableAlarmActions", Handler::Write(enable_actions)),
    ("AlarmManager", "AcknowledgeAlarm", Handler::Write(acknowledge)),
    ("AlarmManager", "ClearTriggeredAlarms", Handler::Write(clear)),
    ("AlarmManager", "DisableAlarm", Handler::Write(disable)),
    ("AlarmManager", "EnableAlarm", Handler::Write(enable)),
    ("Alarm", "ReconfigureAlarm", Handler::Write(reconfigure)),
    ("Alarm", "RemoveAlarm", Handler::Write(remove)),
];

/// The managed object `AlarmManager`.
struct AlarmManager;

impl Managed for AlarmManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::AlarmManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "defaultExpression" => {
                let all = default_alarms::all().into_iter().take(2).map(|spec| spec.expression);
                Prop::made_list(all.collect())
            }
            "description" => Prop::made(description()),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    world.content.alarm_manager = Some(world.add_as("AlarmManager", AlarmManager));
    let root = world.content.root_folder.clone();
    for spec in default_alarms::all() {
        add(world, &root, spec, "");
    }
    world.alarms_changed();
}

fn add(world: &mut World, entity: &Moref, spec: AlarmSpec, user: &str) -> Moref {
    let id = world.new_id("alarm-");
    let info = AlarmInfo {
        base: spec,
        key: id.clone(),
        alarm: Moref::new("Alarm", &id),
        entity: entity.clone(),
        last_modified_time: world.now(),
        last_modified_user: user.to_owned(),
        creation_event_id: 0,
    };
    let alarm = world.add_as(&id, Alarm { info, off: HashSet::new(), cleared: HashMap::new() });
    world.alarms.all.push(alarm.clone());
    alarm
}

fn description() -> AlarmDescription {
    let text = |label: &str| Description { label: label.to_owned(), summary: label.to_owned() };
    let elements = |pairs: &[(&str, &str)]| {
        let element = |(key, label): &(&str, &str)| ElementDescription { base: text(label), key: (*key).to_owned() };
        pairs.iter().map(|pair| Poly::new(element(pair))).collect()
    };
    let types = |pairs: &[(&str, &str)]| {
        let element = |(key, label): &(&str, &str)| TypeDescription { base: text(label), key: (*key).to_owned() };
        pairs.iter().map(|pair| Poly::new(element(pair))).collect()
    };
    AlarmDescription {
        expr: types(&[
            ("StateAlarmExpression", "State alarm"),
            ("MetricAlarmExpression", "Metric alarm"),
            ("EventAlarmExpression", "Event alarm"),
        ]),
        state_operator: elements(&[("isEqual", "Is equal to"), ("isUnequal", "Not equal to")]),
        metric_operator: elements(&[("isAbove", "Is above"), ("isBelow", "Is below")]),
        host_system_connection_state: elements(&[
            ("connected", "Connected"),
            ("disconnected", "Disconnected"),
            ("notResponding", "Not responding"),
        ]),
        virtual_machine_power_state: elements(&[
            ("poweredOn", "Powered on"),
            ("poweredOff", "Powered off"),
            ("suspended", "Suspended"),
        ]),
        datastore_connection_state: elements(&[("true", "Connected"), ("false", "Disconnected")]),
        host_system_power_state: elements(&[
            ("poweredOn", "Powered on"),
            ("poweredOff", "Powered off"),
            ("standBy", "Standby"),
            ("unknown", "Unknown"),
        ]),
        virtual_machine_guest_heartbeat_status: elements(&STATES),
        entity_status: elements(&STATES),
        action: types(&[
            ("SendEmailAction", "Send email"),
            ("SendSNMPAction", "Send SNMP trap"),
            ("RunScriptAction", "Run script"),
            ("MethodAction", "Method action"),
        ]),
    }
}

const STATES: [(&str, &str); 4] = [("green", "Green"), ("yellow", "Yellow"), ("red", "Red"), ("gray", "Gray")];

/// Whether an alarm may be as the specification says.
fn check(world: &World, itself: Option<&Moref>, spec: &AlarmSpec) -> Outcome<()> {
    if spec.name.trim().is_empty() || spec.name.len() > 80 {
        let detail = InvalidName { name: spec.name.clone(), ..Default::default() };
        return Err(Fault::new(detail, format!("The name '{}' is invalid.", spec.name)));
    }
    let named = |at: &&Moref| world.get::<Alarm>(at).is_ok_and(|alarm| alarm.info.name == spec.name);
    if let Some(other) = world.alarms.all.iter().filter(|at| Some(*at) != itself).find(named) {
        let detail = DuplicateName { name: spec.name.clone(), object: other.clone(), ..Default::default() };
        return Err(Fault::new(detail, format!("The name '{}' already exists.", spec.name)));
    }
    if can_be_judged(&spec.expression) { Ok(()) } else { Err(Fault::invalid_argument("spec.expression")) }
}

/// Whether the expression says something, about a type that there is.
fn can_be_judged(expression: &Poly<AlarmExpression>) -> bool {
    let known = |type_: &str| registry().managed(type_).is_some();
    if let Some(or) = expression.downcast_ref::<OrAlarmExpression>() {
        return !or.expression.is_empty() && or.expression.iter().all(can_be_judged);
    }
    if let Some(and) = expression.downcast_ref::<AndAlarmExpression>() {
        return !and.expression.is_empty() && and.expression.iter().all(can_be_judged);
    }
    if let Some(state) = expression.downcast_ref::<StateAlarmExpression>() {
        return known(&state.type_) && !state.state_path.is_empty();
    }
    if let Some(metric) = expression.downcast_ref::<MetricAlarmExpression>() {
        return known(&metric.type_);
    }
    expression.downcast_ref::<EventAlarmExpression>().is_some_and(|event| {
        (!event.event_type.is_empty() || event.event_type_id.is_some())
            && event.object_type.as_deref().is_none_or(known)
    })
}

/// The specification of the call. Clients that read an alarm, change it and send it back send more than that.
fn given(call: &Call) -> Outcome<AlarmSpec> {
    Ok((*call.arg::<Poly<AlarmSpec>>("spec")?).clone())
}

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let entity: Moref = call.arg("entity")?;
    let spec = given(call)?;
    world.demand(call, &entity, "Alarm.Create")?;
    world.entity(&entity)?;
    check(world, None, &spec)?;
    let (name, user) = (spec.name.clone(), call.user(world));
    let alarm = add(world, &entity, spec, &user);
    let event = AlarmCreatedEvent { base: world.alarm_event(&alarm), entity: world.argument(&entity) };
    let message = format!("Created alarm '{name}' on {}", event.entity.name);
    world.post(&entity, &user, event, message);
    let key = world.events.last_key();
    world.edit::<Alarm>(&alarm)?.info.creation_event_id = key;
    world.alarms_changed();
    Ok(Reply::of(alarm))
}

fn reconfigure(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec = given(call)?;
    check(world, Some(&call.target), &spec)?;
    let (user, now) = (call.user(world), world.now());
    let info = &mut world.edit::<Alarm>(&call.target)?.info;
    let entity = info.entity.clone();
    // The system name stays with the server's own alarms, whatever they are called.
    let system_name = info.base.system_name.take().or(spec.system_name.clone());
    info.base = AlarmSpec { system_name, ..spec };
    info.last_modified_time = now;
    info.last_modified_user.clone_from(&user);
    forget(world, &call.target);
    let base = world.alarm_event(&call.target);
    let event = AlarmReconfiguredEvent { base, entity: world.argument(&entity), ..Default::default() };
    let message = format!("Reconfigured alarm '{}' on {}", event.alarm.name, event.entity.name);
    world.post(&entity, &user, event, message);
    world.alarms_changed();
    Ok(Reply::NONE)
}

fn remove(world: &mut World, call: &Call) -> Outcome<Reply> {
    let entity = world.get::<Alarm>(&call.target)?.info.entity.clone();
    let user = call.user(world);
    forget(world, &call.target);
    let event = AlarmRemovedEvent { base: world.alarm_event(&call.target), entity: world.argument(&entity) };
    let message = format!("Alarm '{}' on {} was removed", event.alarm.name, event.entity.name);
    world.post(&entity, &user, event, message);
    world.alarms.all.retain(|alarm| *alarm != call.target);
    world.remove(&call.target);
    world.alarms_changed();
    Ok(Reply::NONE)
}

/// Ends what an alarm says of all entities.
fn forget(world: &mut World, alarm: &Moref) {
    let root = world.content.root_folder.clone();
    for state in world.triggered_alarms(&root).into_iter().filter(|state| state.alarm == *alarm) {
        world.set_alarm(alarm, &state.entity, Status::Green);
    }
}

fn get(world: &World, call: &Call) -> Outcome<Reply> {
    let entity: Option<Moref> = call.opt("entity")?;
    if let Some(entity) = &entity {
        world.demand(call, entity, "System.View")?;
    }
    let wanted = |at: &&Moref| {
        world.get::<Alarm>(at).is_ok_and(|alarm| match &entity {
            Some(entity) => alarm.info.entity == *entity,
            None => world.may_view(at, call.session.as_deref()),
        })
    };
    Ok(Reply::list(world.alarms.all.iter().filter(wanted).cloned().collect()))
}

fn state(world: &World, call: &Call) -> Outcome<Reply> {
    let entity: Moref = call.arg("entity")?;
    world.demand(call, &entity, "System.View")?;
    world.entity(&entity)?;
    Ok(Reply::list(world.declared_alarms(&entity)))
}

fn are_actions_enabled(world: &World, call: &Call) -> Outcome<Reply> {
    let entity: Moref = call.arg("entity")?;
    world.demand(call, &entity, "System.Read")?;
    Ok(Reply::of(!world.entity(&entity)?.alarms_silent))
}

fn enable_actions(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (entity, enabled): (Moref, bool) = (call.arg("entity")?, call.arg("enabled")?);
    world.demand(call, &entity, "Alarm.DisableActions")?;
    world.edit_entity(&entity)?.alarms_silent = !enabled;
    Ok(Reply::NONE)
}

/// The alarm and the entity of the call.
fn asked(world: &World, call: &Call, privilege: &str) -> Outcome<(Moref, Moref)> {
    let (alarm, entity): (Moref, Moref) = (call.arg("alarm")?, call.arg("entity")?);
    world.demand(call, &entity, privilege)?;
    world.get::<Alarm>(&alarm)?;
    world.entity(&entity)?;
    Ok((alarm, entity))
}

fn acknowledge(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (alarm, entity) = asked(world, call, "Alarm.Acknowledge")?;
    let (user, now) = (call.user(world), world.now());
    let states = &mut world.edit_entity(&entity)?.triggered_alarms;
    let state = states.iter_mut().find(|state| state.alarm == alarm);
    let state = state.ok_or_else(|| Fault::invalid_argument("alarm"))?;
    state.acknowledged = Some(true);
    state.acknowledged_by_user = Some(user.clone());
    state.acknowledged_time = Some(now);
    world.touch_above(&entity);
    let event = AlarmAcknowledgedEvent {
        base: world.alarm_event(&alarm),
        source: world.argument(&entity),
        entity: world.argument(&entity),
    };
    let message = format!("Acknowledged alarm '{}' on {}", event.alarm.name, event.entity.name);
    world.post(&entity, &user, event, message);
    Ok(Reply::NONE)
}

fn clear(world: &mut World, call: &Call) -> Outcome<Reply> {
    let filter: AlarmFilterSpec = call.arg("filter")?;
    let (root, user) = (world.content.root_folder.clone(), call.user(world));
    for state in world.triggered_alarms(&root) {
        if !world.get::<Alarm>(&state.alarm).is_ok_and(|alarm| is_meant(&filter, &state, alarm)) {
            continue;
        }
        let event = AlarmClearedEvent {
            base: world.alarm_event(&state.alarm),
            source: world.argument(&state.entity),
            entity: world.argument(&state.entity),
            from: Status::from(&state.overall_status).name().to_owned(),
        };
        let message = format!("Manually cleared alarm '{}' on {}", event.alarm.name, event.entity.name);
        world.post(&state.entity, &user, event, message);
        let status = Status::from(&state.overall_status);
        world.edit::<Alarm>(&state.alarm)?.cleared.insert(state.entity.value.clone(), status);
        world.set_alarm(&state.alarm, &state.entity, Status::Green);
    }
    Ok(Reply::NONE)
}

/// Whether the filter means this triggered alarm.
fn is_meant(filter: &AlarmFilterSpec, state: &AlarmState, alarm: &Alarm) -> bool {
    let of_type = match filter.type_entity.as_deref() {
        Some("entityTypeHost") => state.entity.type_ == "HostSystem",
        Some("entityTypeVm") => state.entity.type_ == "VirtualMachine",
        _ => true,
    };
    let by_event = has_event(&alarm.info.expression);
    let of_trigger = match filter.type_trigger.as_deref() {
        Some("triggerTypeEvent") => by_event,
        Some("triggerTypeMetric") => !by_event,
        _ => true,
    };
    of_type && of_trigger && (filter.status.is_empty() || filter.status.contains(&state.overall_status))
}

fn has_event(expression: &Poly<AlarmExpression>) -> bool {
    expression.is::<EventAlarmExpression>()
        || expression.downcast_ref::<OrAlarmExpression>().is_some_and(|or| or.expression.iter().any(has_event))
        || expression.downcast_ref::<AndAlarmExpression>().is_some_and(|and| and.expression.iter().any(has_event))
}

fn disable(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (alarm, entity) = asked(world, call, "Alarm.ToggleEnableOnEntity")?;
    world.edit::<Alarm>(&alarm)?.off.insert(entity.value.clone());
    world.set_alarm(&alarm, &entity, Status::Green);
    world.touch(&entity);
    Ok(Reply::NONE)
}

fn enable(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (alarm, entity) = asked(world, call, "Alarm.ToggleEnableOnEntity")?;
    world.edit::<Alarm>(&alarm)?.off.remove(&entity.value);
    world.touch(&entity);
    Ok(Reply::NONE)
}
