//! Which counters tell of contention, and what their values say.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::Serialize;
use vsphere_model::types::{DateTime, ManagedObjectReference};
use vsphere_soap::object::format_date_time;

use super::super::{Severity, limits};
use super::Contention;
use crate::client::Client;
use crate::error::Result;
use crate::performance::{Interval, Series};

/// How many real-time values make five minutes, and how many of them are needed to judge.
const FIVE_MINUTES: usize = 15;
const ENOUGH: usize = 8;

/// How many packets of five minutes some of which are lost say something.
const PACKETS: f64 = 100.0;

/// A measurement over time, and the limit that it is beyond. Its values are means of five minutes.
///
/// ```
/// use vsphere_ops::diagnosis::Reading;
///
/// fn line(reading: &Reading) -> String {
///     format!("{} {} on the average, {} at {}", reading.average, reading.unit, reading.peak, reading.peak_time)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reading {
    /// The counter (`cpu.ready.summation`).
    pub counter: &'static str,
    /// What the values are in (`% of each vCPU's time`).
    pub unit: &'static str,
    /// The limit.
    pub limit: f64,
    /// The mean while it was beyond the limit.
    #[serde(serialize_with = "crate::units::two_digits")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub average: f64,
    /// The largest value.
    #[serde(serialize_with = "crate::units::two_digits")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub peak: f64,
    /// When the five minutes of that ended by the server's clock, RFC 3339.
    pub peak_time: String,
    /// Whether it was so already when the values begin that were looked at: it began then or earlier.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub or_earlier: bool,
    /// When it ended; unset where it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// How a counter's value becomes the figure that is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Same,
    /// From KB.
    Mb,
    /// From milliseconds of all CPUs to per cent of the time of each.
    PerCpu,
    /// The same, without what another counter tells: of all waiting that which a limit causes.
    PerCpuWithout(&'static str),
    /// As per cent of all: of what the other counter counts, and of these.
    LostOf(&'static str),
}

/// A counter that tells of contention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    pub(super) of: Contention,
    pub(super) counter: &'static str,
    /// Whether each part is judged, such as a disk, and not the whole.
    pub(super) parts: bool,
    unit: &'static str,
    scale: Scale,
    warning: f64,
    critical: f64,
}

const NEVER: f64 = f64::INFINITY;
const OF_CPU: &str = "% of each vCPU's time";
const OF_PACKETS: &str = "% of packets";

const fn measure(
    of: Contention,
    counter: &'static str,
    parts: bool,
    (unit, scale): (&'static str, Scale),
    (warning, critical): (f64, f64),
) -> Measure {
    Measure { of, counter, parts, unit, scale, warning, critical }
}

const LATENCY: (f64, f64) = (limits::LATENCY_WARNING, limits::LATENCY_CRITICAL);
const READY: (f64, f64) = (limits::CPU_READY_WARNING, limits::CPU_READY_CRITICAL);

/// What VMs and hosts have in common.
const CPU_FULL: Measure =
    measure(Contention::CpuFull, "cpu.usage.average", false, ("%", Scale::Same), (limits::CPU_USAGE, NEVER));
const MEMORY_FULL: Measure =
    measure(Contention::MemoryFull, "mem.usage.average", false, ("%", Scale::Same), (limits::MEMORY_USAGE, NEVER));
const BALLOONING: Measure =
    measure(Contention::Ballooning, "mem.vmmemctl.average", false, ("MB", Scale::Mb), (limits::BALLOON_MB, NEVER));
const SWAPPING_IN: Measure =
    measure(Contention::SwappingIn, "mem.swapinRate.average", false, ("KB/s", Scale::Same), (limits::SWAP_IN, NEVER));
const DROPPED_IN: Measure = measure(
    Contention::PacketsDropped,
    "net.droppedRx.summation",
    false,
    (OF_PACKETS, Scale::LostOf("net.packetsRx.summation")),
    (limits::DROPPED, NEVER),
);
const DROPPED_OUT: Measure = measure(
    Contention::PacketsDropped,
    "net.droppedTx.summation",
    false,
    (OF_PACKETS, Scale::LostOf("net.packetsTx.summation")),
    (limits::DROPPED, NEVER),
);

/// What holds a VM back.
pub(super) const OF_VM: &[Measure] = &[
    measure(Contention::CpuReady, "cpu.ready.summation", false, (OF_CPU, Scale::PerCpuWithout(LIMITED)), READY),
    measure(Contention::CpuCostop, "cpu.costop.summation", false, (OF_CPU, Scale::PerCpu), (limits::CPU_COSTOP, NEVER)),
    measure(Contention::CpuLimit, LIMITED, false, (OF_CPU, Scale::PerCpu), (limits::CPU_LIMITED, NEVER)),
    CPU_FULL,
    MEMORY_FULL,
    BALLOONING,
    SWAPPING_IN,
    measure(Contention::StorageLatency, "virtualDisk.totalReadLatency.average", true, ("ms", Scale::Same), LATENCY),
    measure(Contention::StorageLatency, "virtualDisk.totalWriteLatency.average", true, ("ms", Scale::Same), LATENCY),
    DROPPED_IN,
    DROPPED_OUT,
];

/// What a limit holds back.
pub(super) const LIMITED: &str = "cpu.maxlimited.summation";

/// What a host has too little of.
pub(super) const OF_HOST: &[Measure] = &[
    CPU_FULL,
    MEMORY_FULL,
    BALLOONING,
    SWAPPING_IN,
    measure(Contention::StorageLatency, READ_LATENCY, true, ("ms", Scale::Same), LATENCY),
    measure(Contention::StorageLatency, WRITE_LATENCY, true, ("ms", Scale::Same), LATENCY),
    DROPPED_IN,
    DROPPED_OUT,
];

const READ_LATENCY: &str = "datastore.totalReadLatency.average";
const WRITE_LATENCY: &str = "datastore.totalWriteLatency.average";

impl Measure {
    /// The counters that it takes.
    fn counters(&self) -> impl Iterator<Item = &'static str> {
        let other = match self.scale {
            Scale::PerCpuWithout(other) | Scale::LostOf(other) => Some(other),
            _ => None,
        };
        std::iter::once(self.counter).chain(other)
    }
}

/// The series of some objects over an interval.
#[derive(Default)]
pub(super) struct Measured {
    series: Vec<Series>,
    /// Whether the server was asked, and answered.
    is_known: bool,
}

impl Measured {
    /// Reads what these measures take, of all objects of one type at once: the wholes in one query, the parts in another.
    pub(super) async fn read(
        client: &Client,
        objects: &[ManagedObjectReference],
        measures: &[Measure],
        interval: Interval,
        samples: u16,
        now: DateTime,
    ) -> Result<Self> {
        let performance = client.performance();
        let known = performance.counters().await?;
        let mut series = Vec::new();
        for (parts, instance) in [(false, ""), (true, "*")] {
            let of_these = measures.iter().filter(|measure| measure.parts == parts);
            let mut names: Vec<&str> = of_these.flat_map(Measure::counters).collect();
            names.sort_unstable();
            names.dedup();
            names.retain(|name| known.by_name(name).is_ok());
            if names.is_empty() || objects.is_empty() {
                continue;
            }
            let query = performance.query(names).entities(objects).instance(instance).interval(interval);
            let report = match interval {
                Interval::REALTIME => query.samples(samples).of_vms_or_hosts().await?,
                _ => query.between(now - TimeDelta::days(1), now).await?,
            };
            series.extend(report.series);
        }
        Ok(Self { series, is_known: true })
    }

    /// The means of five minutes of what a measure tells of an object, by part, oldest first.
    pub(super) fn values(&self, measure: &Measure, object: &ManagedObjectReference, cpus: i32) -> Parts {
        let own = self.series.iter().filter(|series| series.entity == *object);
        let own = || own.clone().filter(|series| measure.parts != series.instance.is_empty());
        let other = |name: &str, like: &Series| {
            own().find(|series| series.counter.name == name && series.instance == like.instance)
        };
        let mut parts = Parts::new();
        for series in own().filter(|series| series.counter.name == measure.counter) {
            let interval = interval_of(series);
            let values: Vec<(DateTime, f64)> = match measure.scale {
                Scale::Same => plain(series).collect(),
                Scale::Mb => plain(series).map(|(time, value)| (time, value / 1024.0)).collect(),
                Scale::PerCpu => plain(series).map(|(time, value)| (time, per_cpu(value, interval, cpus))).collect(),
                Scale::PerCpuWithout(name) => {
                    let without: BTreeMap<DateTime, f64> =
                        other(name, series).map(|it| plain(it).collect()).unwrap_or_default();
                    let left = |(time, value): (DateTime, f64)| {
                        (time, per_cpu(value - without.get(&time).copied().unwrap_or(0.0), interval, cpus))
                    };
                    plain(series).map(left).collect()
                }
                Scale::LostOf(name) => match other(name, series) {
                    Some(all) => lost(series, all),
                    None => continue,
                },
            };
            let values = if interval < limits::SUSTAINED && interval.num_seconds() < 300 {
                five_minutes(&values)
            } else {
                values
            };
            if !values.is_empty() {
                parts.insert(series.instance.clone(), values);
            }
        }
        parts
    }

    /// Whether the server has answered without any value of a counter of this object.
    pub(super) fn lacks(&self, counter: &str, object: &ManagedObjectReference) -> bool {
        self.is_known && !self.has(counter, object)
    }

    /// Whether it has values of a counter of this object.
    pub(super) fn has(&self, counter: &str, object: &ManagedObjectReference) -> bool {
        let is_it = |series: &&Series| series.entity == *object && series.counter.name == counter;
        self.series.iter().filter(is_it).any(|series| plain(series).next().is_some())
    }
}

/// Values by part, the whole being "".
pub(super) type Parts = BTreeMap<String, Vec<(DateTime, f64)>>;

/// What a measure comes to.
#[derive(Debug, Clone)]
pub(super) struct Judgement {
    pub(super) severity: Severity,
    pub(super) reading: Reading,
    pub(super) since: DateTime,
}

impl Measure {
    /// What the values of a day and of the hour after it say: the last time that they stayed beyond the limit.
    pub(super) fn judge(&self, day: &[(DateTime, f64)], hour: &[(DateTime, f64)]) -> Option<Judgement> {
        const SPAN: TimeDelta = TimeDelta::minutes(5);
        let begin = hour.first().map(|(end, _)| *end - SPAN);
        let before = day.iter().filter(|(end, _)| begin.is_none_or(|begin| *end <= begin));
        let all: Vec<(DateTime, f64)> = before.chain(hour).copied().collect();
        let mut runs: Vec<&[(DateTime, f64)]> = Vec::new();
        // Between the newest value of the history and the hour there may be some minutes that neither has.
        let goes_on = |one: &(DateTime, f64), next: &(DateTime, f64)| {
            (one.1 >= self.warning) == (next.1 >= self.warning) && next.0 - one.0 <= SPAN * 3
        };
        runs.extend(all.chunk_by(goes_on));
        let is_beyond = |run: &&&[(DateTime, f64)]| {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { return false };
            first.1 >= self.warning && last.0 - first.0 + SPAN >= limits::SUSTAINED
        };
        let run = runs.iter().rfind(is_beyond)?;
        let (first, last) = (run.first()?, run.last()?);
        let peak = run.iter().max_by(|one, other| one.1.total_cmp(&other.1))?;
        #[allow(clippy::cast_precision_loss, reason = "a day has 288 values")]
        let average = run.iter().map(|(_, value)| value).sum::<f64>() / run.len() as f64;
        let newest = all.last()?.0;
        let goes_on = newest - last.0 <= SPAN;
        let severity = match goes_on {
            // What is over is to be known.
            false => Severity::Notice,
            true if average >= self.critical => Severity::Critical,
            true => Severity::Warning,
        };
        let reading = Reading {
            counter: self.counter,
            unit: self.unit,
            limit: self.warning,
            average,
            peak: peak.1,
            peak_time: format_date_time(&peak.0),
            or_earlier: all.first() == Some(first),
            until: (!goes_on).then(|| format_date_time(&last.0)),
        };
        Some(Judgement { severity, reading, since: first.0 - SPAN })
    }
}

fn plain(series: &Series) -> impl Iterator<Item = (DateTime, f64)> {
    series.values().filter_map(|(time, value)| Some((time, value?)))
}

/// How far apart the values of a series are.
fn interval_of(series: &Series) -> TimeDelta {
    let mut times = series.times.windows(2).filter_map(|pair| match pair {
        [one, next] => Some(*next - *one),
        _ => None,
    });
    times.next().filter(|time| time.num_seconds() > 0).unwrap_or(TimeDelta::seconds(20))
}

/// Milliseconds of all CPUs in per cent of the time of each.
fn per_cpu(milliseconds: f64, interval: TimeDelta, cpus: i32) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "an interval is a day at most")]
    let interval = interval.num_milliseconds() as f64;
    milliseconds.max(0.0) * 100.0 / interval / f64::from(cpus.max(1))
}

/// The per cent of packets that got lost, where there are enough to say so.
fn lost(dropped: &Series, taken: &Series) -> Vec<(DateTime, f64)> {
    let taken: BTreeMap<DateTime, f64> = plain(taken).collect();
    let share = |(time, dropped): (DateTime, f64)| {
        let all = taken.get(&time)? + dropped;
        Some((time, if all >= PACKETS { dropped * 100.0 / all } else { 0.0 }))
    };
    plain(dropped).filter_map(share).collect()
}

/// The means of five minutes each, counted back from the newest value.
fn five_minutes(values: &[(DateTime, f64)]) -> Vec<(DateTime, f64)> {
    let mean = |values: &[(DateTime, f64)]| {
        let (end, _) = values.last().filter(|_| values.len() >= ENOUGH)?;
        #[allow(clippy::cast_precision_loss, reason = "there are 15")]
        let mean = values.iter().map(|(_, value)| value).sum::<f64>() / values.len() as f64;
        Some((*end, mean))
    };
    let mut means: Vec<(DateTime, f64)> = values.rchunks(FIVE_MINUTES).filter_map(mean).collect();
    means.reverse();
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime {
        DateTime::default() + TimeDelta::minutes(minute)
    }

    fn ready() -> &'static Measure {
        &OF_VM[0]
    }

    #[test]
    fn contention_has_to_last_and_its_last_time_is_told() {
        let judged = |day: &[(DateTime, f64)], hour: &[(DateTime, f64)]| ready().judge(day, hour);
        // Five minutes are a peak, ten are not; the limit itself is beyond.
        assert!(judged(&[], &[(at(5), 4.9), (at(10), 30.0), (at(15), 4.9)]).is_none());
        let now = judged(&[(at(-10), 1.0), (at(0), 5.0)], &[(at(5), 5.0), (at(10), 9.0)]).expect("ten minutes");
        assert_eq!((now.severity, now.since, now.reading.until), (Severity::Warning, at(-5), None));
        assert_eq!((now.reading.average, now.reading.peak), (19.0 / 3.0, 9.0));
        let critical = judged(&[], &[(at(5), 8.0), (at(10), 12.0)]).expect("beyond");
        assert_eq!(critical.severity, Severity::Critical, "ten on the average");
        // What is over is a notice, and has an end.
        let over = judged(&[(at(-60), 50.0), (at(-55), 50.0)], &[(at(5), 1.0), (at(10), 1.0)]).expect("it was");
        assert_eq!((over.severity, over.since), (Severity::Notice, at(-65)));
        assert_eq!(over.reading.until, Some(format_date_time(&at(-55))));
        // Half an hour that nobody has measured is not filled up.
        assert!(judged(&[(at(-25), 50.0)], &[(at(10), 50.0)]).is_none());
    }

    #[test]
    fn five_minutes_are_counted_from_the_newest_value() {
        let values: Vec<(DateTime, f64)> =
            (0_i32..37).map(|index| (at(0) + TimeDelta::seconds(20) * index, f64::from(index))).collect();
        // Of 37 values seven are too few: 7 to 21 and 22 to 36 are left, whose means are their middles.
        let means: Vec<f64> = five_minutes(&values).into_iter().map(|(_, mean)| mean).collect();
        assert_eq!(means, [14.0, 29.0]);
    }

    #[test]
    fn milliseconds_become_per_cent_of_each_cpu() {
        // 2,000 ms of two CPUs in 20 s, and as many in each 20 s of five minutes.
        assert_eq!(per_cpu(2000.0, TimeDelta::seconds(20), 2), 5.0);
        assert_eq!(per_cpu(30_000.0, TimeDelta::seconds(300), 2), 5.0);
    }
}
