//! The performance manager: which measurements there are, and their values over time.

mod counters;
mod series;

use std::collections::HashSet;

use vsphere_model::managed;
use vsphere_model::types::{
    DateTime, Description, ElementDescription, PerfCompositeMetric, PerfCounterInfo, PerfEntityMetric,
    PerfEntityMetricBase, PerfEntityMetricCSV, PerfInterval, PerfMetricId, PerfMetricIntSeries, PerfMetricSeries,
    PerfMetricSeriesCSV, PerfProviderSummary, PerfQuerySpec, PerfSampleInfo, PerformanceDescription,
    PerformanceManagerCounterLevelMapping, Poly, RestrictedByAdministrator,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _, format_date_time};

pub(crate) use counters::counter_id;

use self::counters::{Counter, Kind};
use self::series::{Profile, Usage};
use super::host::Host;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("PerformanceManager", "QueryPerfProviderSummary", Handler::Read(provider)),
    ("PerformanceManager", "QueryAvailablePerfMetric", Handler::Read(available)),
    ("PerformanceManager", "QueryPerfCounter", Handler::Read(by_key)),
    ("PerformanceManager", "QueryPerfCounterByLevel", Handler::Read(by_level)),
    ("PerformanceManager", "QueryPerf", Handler::Read(query)),
    ("PerformanceManager", "QueryPerfComposite", Handler::Read(composite)),
    ("PerformanceManager", "UpdatePerfInterval", Handler::Write(update_interval)),
    ("PerformanceManager", "UpdateCounterLevelMapping", Handler::Write(update_levels)),
    ("PerformanceManager", "ResetCounterLevelMapping", Handler::Write(reset_levels)),
];

/// Seconds between two measurements of what runs.
const REAL_TIME: i32 = 20;

/// How many of them the server remembers: an hour.
const REAL_TIME_SAMPLES: i64 = 180;

/// How many series of history one query may ask for, as vCenter's `config.vpxd.stats.maxQueryMetrics` has it.
const MAX_QUERY_METRICS: usize = 64;

/// The managed object `PerformanceManager`.
struct PerformanceManager {
    intervals: Vec<PerfInterval>,
    /// Counters whose level somebody has changed.
    levels: Vec<PerformanceManagerCounterLevelMapping>,
}

impl Managed for PerformanceManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::PerformanceManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "perfCounter" => Prop::made_list(counters::all().iter().map(|counter| self.describe(counter)).collect()),
            "historicalInterval" => Prop::list(&self.intervals),
            "description" => Prop::made(description()),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    let interval = |key, sampling_period, name: &str, length| PerfInterval {
        key,
        sampling_period,
        name: name.to_owned(),
        length,
        level: Some(1),
        enabled: true,
    };
    let intervals = vec![
        interval(1, 300, "Past day", 86_400),
        interval(2, 1800, "Past week", 604_800),
        interval(3, 7200, "Past month", 2_592_000),
        interval(4, 86_400, "Past year", 31_536_000),
    ];
    let manager = PerformanceManager { intervals, levels: Vec::new() };
    world.content.perf_manager = Some(world.add_as("PerfMgr", manager));
}

impl PerformanceManager {
    fn describe(&self, counter: &Counter) -> PerfCounterInfo {
        let mut info = counter.describe();
        info.level = Some(self.level(counter));
        if let Some(changed) = self.changed(counter).and_then(|level| level.per_device_level) {
            info.per_device_level = Some(changed);
        }
        info
    }

    fn level(&self, counter: &Counter) -> i32 {
        self.changed(counter).and_then(|level| level.aggregate_level).unwrap_or_else(|| counter.level())
    }

    fn changed(&self, counter: &Counter) -> Option<&PerformanceManagerCounterLevelMapping> {
        self.levels.iter().find(|level| level.counter_id == counter.key)
    }

    /// The counters that are kept for an entity over intervals of this length, each with its instances.
    fn kept(&self, profile: &Profile, interval: i32) -> Vec<(&'static Counter, Vec<String>)> {
        let history = self.intervals.iter().find(|kept| kept.sampling_period == interval);
        let level = history.map_or(i32::MAX, |kept| if kept.enabled { kept.level.unwrap_or(1) } else { 0 });
        let of_kind = counters::all().iter().filter(|counter| counter.is_of(profile.kind));
        let kept = of_kind.filter(|counter| match history {
            Some(_) => self.level(counter) <= level,
            // Extremes and raw values are made when history is.
            None => counter.rollup.is_measured(),
        });
        let with_instances = kept.map(|counter| {
            let per_device = self.changed(counter).and_then(|level| level.per_device_level);
            let mut instances = profile.instances(counter.row.instances);
            // Where a counter has no whole, its instances are what there is to keep.
            if instances.iter().any(String::is_empty) && per_device.unwrap_or(counter.per_device_level()) > level {
                instances.retain(String::is_empty);
            }
            (counter, instances)
        });
        with_instances.filter(|(_, instances)| !instances.is_empty()).collect()
    }
}

fn manager<'w>(world: &'w World, call: &Call) -> Outcome<&'w PerformanceManager> {
    world.get(&call.target)
}

fn description() -> PerformanceDescription {
    let element = |(key, label): &(&str, &str)| {
        let base = Description { label: (*label).to_owned(), summary: (*label).to_owned() };
        Poly::new(ElementDescription { base, key: (*key).to_owned() })
    };
    let rollups = [
        ("average", "Average"),
        ("maximum", "Maximum"),
        ("minimum", "Minimum"),
        ("latest", "Latest"),
        ("summation", "Summation"),
        ("none", "None"),
    ];
    let stats = [("absolute", "Absolute"), ("delta", "Delta"), ("rate", "Rate")];
    PerformanceDescription {
        counter_type: rollups.iter().map(element).collect(),
        stats_type: stats.iter().map(element).collect(),
    }
}

/// The profile of an entity that the caller may read.
fn profile(world: &World, call: &Call, entity: &Moref, argument: &str) -> Outcome<Profile> {
    world.demand(call, entity, "System.Read")?;
    Profile::of(world, entity).ok_or_else(|| Fault::invalid_argument(argument))
}

/// Whether such an entity is measured now, and not only over time.
fn has_real_time(kind: Kind) -> bool {
    matches!(kind, Kind::Vm | Kind::Host)
}

fn provider(world: &World, call: &Call) -> Outcome<Reply> {
    let entity: Moref = call.arg("entity")?;
    let kind = profile(world, call, &entity, "entity")?.kind;
    let current = has_real_time(kind);
    Ok(Reply::of(PerfProviderSummary {
        entity,
        current_supported: current,
        summary_supported: true,
        refresh_rate: current.then_some(REAL_TIME),
    }))
}

fn available(world: &World, call: &Call) -> Outcome<Reply> {
    let entity: Moref = call.arg("entity")?;
    let interval: Option<i32> = call.opt("intervalId")?;
    let profile = profile(world, call, &entity, "entity")?;
    let manager = manager(world, call)?;
    let intervals: Vec<i32> = match interval {
        Some(interval) => vec![interval],
        None => manager.intervals.iter().map(|kept| kept.sampling_period).chain([REAL_TIME]).collect(),
    };
    let mut seen = HashSet::new();
    let mut metrics = Vec::new();
    for interval in intervals {
        let known = manager.intervals.iter().any(|kept| kept.sampling_period == interval);
        let now = interval == REAL_TIME && has_real_time(profile.kind) && profile.on;
        if !known && interval != REAL_TIME {
            return Err(Fault::invalid_argument("intervalId"));
        }
        if known || now {
            for (counter, instances) in manager.kept(&profile, interval) {
                let new = instances.into_iter().filter(|instance| seen.insert((counter.key, instance.clone())));
                metrics.extend(new.map(|instance| PerfMetricId { counter_id: counter.key, instance }));
            }
        }
    }
    Ok(Reply::list(metrics))
}

fn by_key(world: &World, call: &Call) -> Outcome<Reply> {
    let manager = manager(world, call)?;
    let counter = |key: i32| counters::by_key(key).ok_or_else(|| Fault::invalid_argument("counterId"));
    let keys: Vec<i32> = call.arg("counterId")?;
    let found = keys.into_iter().map(|key| Ok(manager.describe(counter(key)?)));
    Ok(Reply::list(found.collect::<Outcome<_>>()?))
}

fn by_level(world: &World, call: &Call) -> Outcome<Reply> {
    let level: i32 = call.arg("level")?;
    if !(1..=4).contains(&level) {
        return Err(Fault::invalid_argument("level"));
    }
    let manager = manager(world, call)?;
    let found = counters::all().iter().filter(|counter| manager.level(counter) <= level);
    Ok(Reply::list(found.map(|counter| manager.describe(counter)).collect()))
}

/// What a counter of an entity as a whole says of the last five minutes, where it runs.
pub(crate) fn lately(world: &World, entity: &Moref, counter_id: i32) -> Option<i32> {
    const INTERVAL: i64 = 300;
    let (counter, profile) = (counters::by_key(counter_id)?, Profile::of(world, entity)?);
    let end = world.now().timestamp();
    let usage = profile.usage(world, entity, end, INTERVAL);
    i32::try_from(profile.value(counter, "", end, INTERVAL, &usage)).ok().filter(|_| profile.on)
}

/// What a query asks for, checked.
struct Query {
    entity: Moref,
    profile: Profile,
    /// Seconds.
    interval: i32,
    /// The ends of the intervals, in seconds of Unix time.
    times: Vec<i64>,
    /// What the entity used in each of them.
    usages: Vec<Usage>,
    metrics: Vec<(&'static Counter, String)>,
    csv: bool,
}

impl Query {
    fn parse(world: &World, call: &Call, spec: PerfQuerySpec) -> Outcome<Self> {
        let manager = manager(world, call)?;
        let profile = profile(world, call, &spec.entity, "querySpec.entity")?;
        let real_time = has_real_time(profile.kind);
        let interval = spec.interval_id.unwrap_or(if real_time { REAL_TIME } else { 300 });
        let history = manager.intervals.iter().find(|kept| kept.sampling_period == interval);
        if history.is_none() && (interval != REAL_TIME || !real_time) {
            return Err(Fault::invalid_argument("querySpec.interval"));
        }
        let csv = match spec.format.as_deref() {
            None | Some("" | "normal") => false,
            Some("csv") => true,
            Some(_) => return Err(Fault::invalid_argument("querySpec.format")),
        };
        let metrics = metrics(manager, &profile, interval, &spec.metric_id)?;
        // What is off is not measured; what was measured before is history.
        let times = if history.is_none() && !profile.on {
            Vec::new()
        } else {
            let kept = history.map_or(REAL_TIME_SAMPLES, |kept| i64::from(kept.length / kept.sampling_period.max(1)));
            // The client's limit is for real time; history is limited by the times alone.
            let most = if history.is_none() { spec.max_sample } else { None };
            times(world.now().timestamp(), i64::from(interval), kept, spec.start_time, spec.end_time, most)?
        };
        let usage = |end: &i64| profile.usage(world, &spec.entity, *end, i64::from(interval));
        let usages = times.iter().map(usage).collect();
        Ok(Self { entity: spec.entity, profile, interval, times, usages, metrics, csv })
    }

    fn is_history(&self) -> bool {
        self.interval != REAL_TIME
    }

    fn answer(self) -> Poly<PerfEntityMetricBase> {
        let interval = i64::from(self.interval);
        let values = |counter: &Counter, instance: &str| -> Vec<i64> {
            let each = self.times.iter().zip(&self.usages);
            each.map(|(end, usage)| self.profile.value(counter, instance, *end, interval, usage)).collect()
        };
        let id = |counter: &Counter, instance: &str| PerfMetricSeries {
            id: PerfMetricId { counter_id: counter.key, instance: instance.to_owned() },
        };
        let base = PerfEntityMetricBase { entity: self.entity.clone() };
        let at = |end: &i64| chrono::DateTime::from_timestamp(*end, 0).unwrap_or_default().fixed_offset();
        if self.csv {
            let samples: Vec<String> =
                self.times.iter().map(|end| format!("{},{}", self.interval, format_date_time(&at(end)))).collect();
            let series = self.metrics.iter().map(|(counter, instance)| {
                let values: Vec<String> = values(counter, instance).iter().map(i64::to_string).collect();
                PerfMetricSeriesCSV { base: id(counter, instance), value: Some(values.join(",")) }
            });
            return Poly::new(PerfEntityMetricCSV {
                base,
                sample_info_csv: samples.join(","),
                value: series.collect(),
            });
        }
        let samples = self.times.iter().map(|end| PerfSampleInfo { timestamp: at(end), interval: self.interval });
        let series = self.metrics.iter().map(|(counter, instance)| {
            Poly::new(PerfMetricIntSeries { base: id(counter, instance), value: values(counter, instance) })
        });
        Poly::new(PerfEntityMetric { base, sample_info: samples.collect(), value: series.collect() })
    }
}

/// The series that a query means: `*` is every instance, and no metric at all is every one.
fn metrics(
    manager: &PerformanceManager,
    profile: &Profile,
    interval: i32,
    asked: &[PerfMetricId],
) -> Outcome<Vec<(&'static Counter, String)>> {
    let kept = manager.kept(profile, interval);
    if asked.is_empty() {
        let each = |(counter, instances): (_, Vec<String>)| instances.into_iter().map(move |one| (counter, one));
        return Ok(kept.into_iter().flat_map(each).collect());
    }
    let mut metrics = Vec::new();
    for id in asked {
        let unknown = || Fault::invalid_argument("querySpec.metricId.counterId");
        let counter = counters::by_key(id.counter_id).ok_or_else(unknown)?;
        let Some((_, instances)) = kept.iter().find(|(other, _)| other.key == counter.key) else { continue };
        let meant = instances.iter().filter(|instance| id.instance == "*" || **instance == id.instance);
        metrics.extend(meant.map(|instance| (counter, instance.clone())));
    }
    Ok(metrics)
}

/// The ends of the intervals after `start` up to `end`, oldest first, as far back as they are kept.
fn times(
    now: i64,
    interval: i64,
    kept: i64,
    start: Option<DateTime>,
    end: Option<DateTime>,
    most: Option<i32>,
) -> Outcome<Vec<i64>> {
    if let (Some(start), Some(end)) = (start, end)
        && start > end
    {
        return Err(Fault::invalid_argument("querySpec.startTime"));
    }
    let most = match most {
        None => i64::MAX,
        Some(most) if most > 0 => i64::from(most),
        Some(_) => return Err(Fault::invalid_argument("querySpec.maxSample")),
    };
    let last = end.map_or(now, |end| end.timestamp().min(now)).div_euclid(interval);
    let oldest = now.div_euclid(interval) - kept;
    let first = start.map_or(oldest, |start| start.timestamp().div_euclid(interval).max(oldest));
    let first = first.max(last.saturating_sub(most));
    Ok((first + 1..=last).map(|index| index * interval).collect())
}

fn query(world: &World, call: &Call) -> Outcome<Reply> {
    let specs: Vec<PerfQuerySpec> = call.arg("querySpec")?;
    let queries = specs.into_iter().map(|spec| Query::parse(world, call, spec)).collect::<Outcome<Vec<_>>>()?;
    check_size(&queries)?;
    // Who is off has no values of now, and no place in the answer.
    let measured = queries.into_iter().filter(|query| query.is_history() || query.profile.on);
    Ok(Reply::list(measured.map(Query::answer).collect()))
}

/// Whether the server takes so much at once.
fn check_size(queries: &[Query]) -> Outcome<()> {
    let history = queries.iter().filter(|query| query.is_history());
    if history.map(|query| query.metrics.len()).sum::<usize>() <= MAX_QUERY_METRICS {
        return Ok(());
    }
    let details = "vpxd.stats.maxQueryMetrics".to_owned();
    let message = format!("This operation is restricted by the administrator - '{details}'.");
    Err(Fault::new(RestrictedByAdministrator { details, ..Default::default() }, message))
}

fn composite(world: &World, call: &Call) -> Outcome<Reply> {
    let spec: PerfQuerySpec = call.arg("querySpec")?;
    let host = world.get::<Host>(&spec.entity).map_err(|_| Fault::invalid_argument("querySpec.entity"))?;
    let mut queries = vec![Query::parse(world, call, spec.clone())?];
    for vm in host.vms.iter().filter(|vm| world.may_view(vm, call.session.as_deref())) {
        queries.push(Query::parse(world, call, PerfQuerySpec { entity: vm.clone(), ..spec.clone() })?);
    }
    check_size(&queries)?;
    let mut parts = queries.into_iter().map(Query::answer);
    Ok(Reply::of(PerfCompositeMetric { entity: parts.next(), child_entity: parts.collect() }))
}

fn update_interval(world: &mut World, call: &Call) -> Outcome<Reply> {
    let given: PerfInterval = call.arg("interval")?;
    if given.level.is_some_and(|level| !(1..=4).contains(&level)) {
        return Err(Fault::invalid_argument("interval.level"));
    }
    let intervals = &mut world.edit::<PerformanceManager>(&call.target)?.intervals;
    let position = intervals.iter().position(|kept| kept.key == given.key);
    let position = position.ok_or_else(|| Fault::invalid_argument("interval.key"))?;
    let (before, after) = intervals.split_at_mut(position);
    let Some((kept, longer)) = after.split_first_mut() else { return Ok(Reply::NONE) };
    if kept.sampling_period != given.sampling_period || given.length < given.sampling_period {
        return Err(Fault::invalid_argument("interval"));
    }
    // A longer interval is made out of the shorter ones: it can't know more, and without them it is not there.
    let level = given.level.unwrap_or(1);
    let fits = before.iter().all(|shorter| shorter.level.unwrap_or(1) >= level && (shorter.enabled || !given.enabled))
        && longer.iter().all(|longer| longer.level.unwrap_or(1) <= level && (given.enabled || !longer.enabled));
    if !fits {
        return Err(Fault::invalid_argument("interval.level"));
    }
    *kept = given;
    Ok(Reply::NONE)
}

fn update_levels(world: &mut World, call: &Call) -> Outcome<Reply> {
    let given: Vec<PerformanceManagerCounterLevelMapping> = call.arg("counterLevelMap")?;
    for level in &given {
        let good = |level: Option<i32>| level.is_none_or(|level| (1..=4).contains(&level));
        if counters::by_key(level.counter_id).is_none() || !good(level.aggregate_level) || !good(level.per_device_level)
        {
            return Err(Fault::invalid_argument("counterLevelMap"));
        }
    }
    let levels = &mut world.edit::<PerformanceManager>(&call.target)?.levels;
    for level in given {
        match levels.iter_mut().find(|known| known.counter_id == level.counter_id) {
            Some(known) => {
                known.aggregate_level = level.aggregate_level.or(known.aggregate_level);
                known.per_device_level = level.per_device_level.or(known.per_device_level);
            }
            None => levels.push(level),
        }
    }
    Ok(Reply::NONE)
}

fn reset_levels(world: &mut World, call: &Call) -> Outcome<Reply> {
    let keys: Vec<i32> = call.arg("counters")?;
    world.edit::<PerformanceManager>(&call.target)?.levels.retain(|level| !keys.contains(&level.counter_id));
    Ok(Reply::NONE)
}
