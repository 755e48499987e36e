//! Queries of values, cut into pieces that the server takes.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use vsphere_model::managed::{OptionManager, PerformanceManager, ServiceInstance};
use vsphere_model::types::{
    DateTime, ManagedObjectReference, PerfEntityMetric, PerfEntityMetricBase, PerfMetricId, PerfMetricIntSeries,
    PerfQuerySpec, Poly,
};
use vsphere_soap::ErrorKind as WireKind;

use super::{Counter, Counters, Interval, Table};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::find::inventory::kind_of;

/// How many metrics vCenter takes in a query where nobody has changed it.
const USUAL_LIMIT: usize = 64;

/// How many metrics are asked for at once where the server sets no limit, so that no answer grows without bounds.
const OWN_LIMIT: usize = 256;

/// A query of counters' values. Awaited, it gives a [`Report`].
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
/// use vsphere_ops::performance::Interval;
///
/// let now = client.server_time().await?;
/// let vms = client.find::<VirtualMachine>("web-*").select(vm::NAME).await?;
/// let report = client
///     .performance()
///     .query(["net.usage.average"])
///     .entities(vms.iter().map(|(vm, _)| vm.reference()))
///     .instance("*") // each network adapter
///     .interval(Interval::FIVE_MINUTES)
///     .between(now - chrono::TimeDelta::hours(6), now) // or .last(…), or .samples(…)
///     .await?;
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a query is sent when it is awaited"]
pub struct PerfQuery {
    client: Client,
    counters: Vec<String>,
    entities: Vec<ManagedObjectReference>,
    instance: String,
    interval: Interval,
    period: Period,
    samples: Option<i32>,
    /// Whether it is known that the objects have real-time values.
    is_checked: bool,
}

#[derive(Debug, Clone)]
enum Period {
    All,
    Last(Duration),
    Between(DateTime, DateTime),
}

impl PerfQuery {
    pub(super) fn new(client: &Client, counters: Vec<String>) -> Self {
        Self {
            client: client.clone(),
            counters,
            entities: Vec::new(),
            instance: String::new(),
            interval: Interval::REALTIME,
            period: Period::All,
            samples: None,
            is_checked: false,
        }
    }

    /// Values of this object.
    pub fn entity(mut self, entity: &ManagedObjectReference) -> Self {
        self.entities.push(entity.clone());
        self
    }

    /// Values of these objects.
    pub fn entities<'a>(mut self, entities: impl IntoIterator<Item = &'a ManagedObjectReference>) -> Self {
        self.entities.extend(entities.into_iter().cloned());
        self
    }

    /// Values of a part of the objects (`vmnic0`), or of all parts (`*`); of the objects as a whole by default.
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = instance.into();
        self
    }

    /// How far apart the values are; [`Interval::REALTIME`] by default.
    pub fn interval(mut self, interval: Interval) -> Self {
        self.interval = interval;
        self
    }

    /// Values of this time before now, by the server's clock.
    pub fn last(mut self, time: Duration) -> Self {
        self.period = Period::Last(time);
        self
    }

    /// Values of this period, by the server's clock.
    pub fn between(mut self, begin: DateTime, end: DateTime) -> Self {
        self.period = Period::Between(begin, end);
        self
    }

    /// The newest so many values of each series.
    pub fn samples(mut self, samples: u16) -> Self {
        self.samples = Some(samples.into());
        self
    }

    /// Asks without a look at whether such objects have real-time values: VMs and hosts do.
    pub(crate) fn of_vms_or_hosts(mut self) -> Self {
        self.is_checked = true;
        self
    }

    async fn run(self) -> Result<Report> {
        let manager = self.client.manager("performance counters", self.client.content().perf_manager.as_ref())?;
        let manager: PerformanceManager = self.client.raw(manager);
        let counters = self.client.performance().counters().await?;
        let wanted: Vec<Arc<Counter>> =
            self.counters.iter().map(|name| counters.by_name(name)).collect::<Result<_>>()?;
        if self.entities.is_empty() || wanted.is_empty() {
            return Err(invalid("query performance", "give at least one object and one counter"));
        }
        if self.interval == Interval::REALTIME && !self.is_checked {
            self.check_realtime(&manager).await?;
        }
        let (start_time, end_time) = self.period().await?;
        let limit = self.limit().await?;
        let mut pieces: Vec<Vec<Metric>> = metrics(&self.entities, &wanted).chunks(limit).map(<[_]>::to_vec).collect();
        pieces.reverse();
        let mut report = Report::default();
        while let Some(piece) = pieces.pop() {
            let specs = self.specs(&piece, start_time, end_time);
            match manager.query_perf(&specs).await.map_err(Error::from) {
                Ok(answers) => report.add(answers, &counters, self.samples),
                // The limits that are set for vCenter are not all that there are; and one object may be gone. Half of
                // it is asked for, until what is refused is alone.
                Err(error) if piece.len() > 1 && is_for_smaller(&error) => {
                    let (first, second) = piece.split_at(piece.len() / 2);
                    pieces.push(second.to_vec());
                    pieces.push(first.to_vec());
                }
                Err(error) if error.is_not_found() => {
                    report.gone.extend(piece.into_iter().map(|(entity, _)| entity));
                }
                Err(error) => return Err(error),
            }
        }
        report.gone.dedup();
        Ok(report)
    }

    /// Says that a type of object has no real-time values before the server answers with an empty series.
    async fn check_realtime(&self, manager: &PerformanceManager) -> Result<()> {
        let mut checked: Vec<&str> = Vec::new();
        for entity in &self.entities {
            if checked.contains(&entity.type_.as_str()) {
                continue;
            }
            match manager.query_perf_provider_summary(entity).await.map_err(Error::from) {
                Ok(provider) if !provider.current_supported => {
                    let text = format!(
                        "a {} has no real-time values: give another interval, such as 5 minutes",
                        kind_of(&entity.type_)
                    );
                    return Err(Error::new("query performance", ErrorKind::Unsupported(text)).on(entity.to_string()));
                }
                Ok(_) => checked.push(&entity.type_),
                // This one is gone: the next of its type tells.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn period(&self) -> Result<(Option<DateTime>, Option<DateTime>)> {
        Ok(match &self.period {
            Period::All => (None, None),
            Period::Between(begin, end) => (Some(*begin), Some(*end)),
            Period::Last(time) => {
                let root = ManagedObjectReference::new("ServiceInstance", "ServiceInstance");
                let now = self.client.raw::<ServiceInstance>(&root).current_time().await?;
                let begin = TimeDelta::from_std(*time).ok().and_then(|time| now.checked_sub_signed(time));
                let text = || format!("{time:?} ago is before all time");
                (Some(begin.ok_or_else(|| invalid("query performance", text()))?), Some(now))
            }
        })
    }

    /// How many metrics may be asked for at once. vCenter limits those of its history.
    async fn limit(&self) -> Result<usize> {
        if self.interval == Interval::REALTIME || !self.client.is_vcenter() {
            return Ok(OWN_LIMIT);
        }
        let Some(setting) = &self.client.content().setting else { return Ok(USUAL_LIMIT) };
        let options: OptionManager = self.client.raw(setting);
        match options.query_options(Some("config.vpxd.stats.maxQueryMetrics")).await.map_err(Error::from) {
            Ok(values) => {
                let value = values.first().and_then(|option| option.value.as_ref());
                let value = value.and_then(|value| match value.as_str() {
                    Some(text) => text.trim().parse().ok(),
                    None => value.as_i64(),
                });
                Ok(limit_of(value))
            }
            // It is not set, or not for this user to see.
            Err(error) if error.sent() == vsphere_soap::Sent::Yes => Ok(USUAL_LIMIT),
            Err(error) => Err(error),
        }
    }

    /// One specification per object.
    fn specs(&self, piece: &[Metric], start_time: Option<DateTime>, end_time: Option<DateTime>) -> Vec<PerfQuerySpec> {
        let mut specs: Vec<PerfQuerySpec> = Vec::new();
        for (entity, counter) in piece {
            let metric = PerfMetricId { counter_id: *counter, instance: self.instance.clone() };
            match specs.last_mut() {
                Some(spec) if spec.entity == *entity => spec.metric_id.push(metric),
                _ => specs.push(PerfQuerySpec {
                    entity: entity.clone(),
                    start_time,
                    end_time,
                    max_sample: self.samples,
                    metric_id: vec![metric],
                    interval_id: Some(self.interval.seconds()),
                    format: Some("normal".into()),
                }),
            }
        }
        specs
    }
}

impl IntoFuture for PerfQuery {
    type Output = Result<Report>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.run().await.map_err(|error| error.in_operation("query performance")) })
    }
}

/// A counter of an object.
type Metric = (ManagedObjectReference, i32);

fn metrics(entities: &[ManagedObjectReference], counters: &[Arc<Counter>]) -> Vec<Metric> {
    let of = |entity: &ManagedObjectReference| {
        counters.iter().map(|counter| (entity.clone(), counter.id)).collect::<Vec<_>>()
    };
    entities.iter().flat_map(of).collect()
}

/// The limit that a setting means: -1 and 0 are none.
fn limit_of(setting: Option<i64>) -> usize {
    match setting {
        None => USUAL_LIMIT,
        Some(..=0) => OWN_LIMIT,
        Some(limit) => usize::try_from(limit).unwrap_or(OWN_LIMIT).min(OWN_LIMIT),
    }
}

/// Whether a smaller query may be answered.
fn is_for_smaller(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Api(wire) => match wire.kind() {
            WireKind::Fault(fault) => !fault.is_named("NoPermission") && !fault.is_named("InvalidLogin"),
            WireKind::TooLarge { .. } | WireKind::Timeout { .. } => true,
            _ => false,
        },
        _ => false,
    }
}

/// The answer to a query: a series per object, counter and instance.
///
/// ```
/// use vsphere_ops::performance::Report;
///
/// fn show(report: &Report) {
///     println!("{}", report.table());
///     println!("{} series; {} objects are gone", report.series.len(), report.gone.len());
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The series.
    pub series: Vec<Series>,
    /// Objects that are gone.
    pub gone: Vec<ManagedObjectReference>,
}

/// The values of one counter of one object, or of a part of it.
///
/// ```
/// use vsphere_ops::performance::Series;
///
/// fn peak(series: &Series) -> Option<f64> {
///     series.values().filter_map(|(_, value)| value).max_by(f64::total_cmp)
/// }
/// fn is_idle(series: &Series) -> bool {
///     series.latest().is_some_and(|value| value < 1.0)
/// }
/// ```
#[derive(Clone)]
pub struct Series {
    /// The object.
    pub entity: ManagedObjectReference,
    /// The counter, with its unit.
    pub counter: Arc<Counter>,
    /// The part of the object, "" for the whole of it.
    pub instance: String,
    /// When the values were taken, by the server's clock, oldest first.
    pub times: Arc<[DateTime]>,
    /// The values as the server counts them; see [`Counter::scale`].
    pub raw: Vec<i64>,
}

impl Series {
    /// The values with their times, in the counter's unit; `None` where the server has none.
    pub fn values(&self) -> impl Iterator<Item = (DateTime, Option<f64>)> + '_ {
        self.times.iter().zip(&self.raw).map(|(time, raw)| (*time, self.counter.scale(*raw)))
    }

    /// The newest value.
    pub fn latest(&self) -> Option<f64> {
        self.values().filter_map(|(time, value)| Some((time, value?))).max_by_key(|(time, _)| *time).map(|(_, v)| v)
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entity, counter, instance, raw, .. } = self;
        write!(f, "Series({} of {entity}/{instance}, {} values)", counter.name, raw.len())
    }
}

impl Report {
    /// The series as one table: a row per time, a column per series.
    pub fn table(&self) -> Table {
        Table::new(&self.series)
    }

    fn add(&mut self, answers: Vec<Poly<PerfEntityMetricBase>>, counters: &Counters, samples: Option<i32>) {
        for answer in answers {
            let Some(answer) = answer.downcast_ref::<PerfEntityMetric>() else { continue };
            let mut taken: Vec<(DateTime, usize)> =
                answer.sample_info.iter().enumerate().map(|(index, sample)| (sample.timestamp, index)).collect();
            taken.sort_unstable();
            // Of history the server gives all, however few were asked for.
            let most = samples.and_then(|samples| usize::try_from(samples).ok()).unwrap_or(usize::MAX);
            taken.drain(..taken.len().saturating_sub(most));
            let times: Arc<[DateTime]> = taken.iter().map(|(time, _)| *time).collect();
            for series in &answer.value {
                let Some(values) = series.downcast_ref::<PerfMetricIntSeries>() else { continue };
                let Some(counter) = counters.by_id(series.id.counter_id) else { continue };
                self.series.push(Series {
                    entity: answer.entity.clone(),
                    counter,
                    instance: series.id.instance.clone(),
                    times: Arc::clone(&times),
                    // A series that is too short lacks values, which -1 says.
                    raw: taken.iter().map(|(_, index)| values.value.get(*index).copied().unwrap_or(-1)).collect(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use vsphere_model::types::{PerfCounterInfo, PerfSampleInfo};

    use super::*;

    #[test]
    fn the_newest_values_are_kept_in_order() {
        let counters = Counters::new(vec![PerfCounterInfo { key: 2, ..Default::default() }]);
        let at = |second| DateTime::parse_from_rfc3339(&format!("2026-01-01T00:00:{second}Z")).unwrap();
        let mut values = PerfMetricIntSeries { value: vec![40, 20], ..Default::default() };
        values.id.counter_id = 2;
        let sample = |second| PerfSampleInfo { timestamp: at(second), interval: 20 };
        let answer = PerfEntityMetric {
            sample_info: vec![sample("40"), sample("20"), sample("59")],
            value: vec![Poly::new(values)],
            ..Default::default()
        };
        let mut report = Report::default();
        report.add(vec![Poly::new(answer)], &counters, Some(2));
        let series = &report.series[0];
        assert_eq!((&*series.times, &*series.raw), (&[at("40"), at("59")][..], &[40, -1][..]));
        assert_eq!(series.latest(), Some(40.0));
    }

    #[test]
    fn a_limit_of_nothing_or_less_is_none() {
        assert_eq!([None, Some(-1), Some(0), Some(10), Some(9999)].map(limit_of), [64, 256, 256, 10, 256]);
    }
}
