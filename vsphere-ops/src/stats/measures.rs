//! Which counters are shown of VMs and hosts, and in which units.

use std::collections::BTreeMap;

use serde::Serialize;
use vsphere_model::types::{DateTime, ManagedObjectReference};
use vsphere_soap::object::format_date_time;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::performance::{Interval, Series};

/// How many values of each counter are looked at: five minutes of them.
const SAMPLES: u16 = 15;

/// What a host has measured in the last minutes.
///
/// ```
/// use vsphere_ops::stats::Realtime;
///
/// fn ready(realtime: &Realtime) -> Option<f64> {
///     realtime.counters.iter().find(|counter| counter.name == "cpu_ready_percent").map(|counter| counter.average)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Realtime {
    /// How far apart the values are, in seconds.
    pub interval_seconds: i32,
    /// How many values there are at most.
    pub samples: usize,
    /// When the newest was taken by the server's clock, RFC 3339.
    pub newest: String,
    /// What was measured.
    pub counters: Vec<Measured>,
}

/// The values of one counter.
///
/// ```
/// use vsphere_ops::stats::Measured;
///
/// fn is_steady(measured: &Measured) -> bool {
///     measured.peak < 2.0 * measured.average
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Measured {
    /// What is measured, with its unit (`cpu_ready_percent`).
    pub name: &'static str,
    /// The newest value.
    #[serde(serialize_with = "crate::units::two_digits")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub latest: f64,
    /// The mean of all values.
    #[serde(serialize_with = "crate::units::two_digits")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub average: f64,
    /// The largest value.
    #[serde(serialize_with = "crate::units::two_digits")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub peak: f64,
}

/// Whose counters.
pub(super) enum Basis {
    /// Those of a VM with so many CPUs.
    Vm {
        cpus: i32,
    },
    Host,
}

/// A figure, and how it comes from a counter.
struct Measure {
    name: &'static str,
    counter: &'static str,
    parts: Parts,
    unit: Unit,
}

/// Of what a counter is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    /// Of the object as a whole.
    Whole,
    /// Of each part, such as a disk: their sum.
    Sum,
    /// Of each part: the worst.
    Worst,
}

/// How a counter's value becomes a figure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Same,
    /// From KiB.
    Mib,
    /// From milliseconds of all CPUs in an interval to per cent of one CPU's time.
    ShareOfTime,
}

const fn measure(name: &'static str, counter: &'static str, parts: Parts, unit: Unit) -> Measure {
    Measure { name, counter, parts, unit }
}

const OF_VM: [Measure; 17] = [
    measure("cpu_usage_percent", "cpu.usage.average", Parts::Whole, Unit::Same),
    measure("cpu_ready_percent", "cpu.ready.summation", Parts::Whole, Unit::ShareOfTime),
    measure("cpu_ready_ms", "cpu.ready.summation", Parts::Whole, Unit::Same),
    measure("cpu_costop_ms", "cpu.costop.summation", Parts::Whole, Unit::Same),
    measure("memory_active_mb", "mem.active.average", Parts::Whole, Unit::Mib),
    measure("memory_consumed_mb", "mem.consumed.average", Parts::Whole, Unit::Mib),
    measure("memory_ballooned_mb", "mem.vmmemctl.average", Parts::Whole, Unit::Mib),
    measure("memory_swapped_mb", "mem.swapped.average", Parts::Whole, Unit::Mib),
    measure("memory_swap_in_kb_per_s", "mem.swapinRate.average", Parts::Whole, Unit::Same),
    measure("disk_latency_ms", "disk.maxTotalLatency.latest", Parts::Whole, Unit::Same),
    measure("disk_read_latency_ms", "virtualDisk.totalReadLatency.average", Parts::Worst, Unit::Same),
    measure("disk_write_latency_ms", "virtualDisk.totalWriteLatency.average", Parts::Worst, Unit::Same),
    measure("disk_read_kb_per_s", "virtualDisk.read.average", Parts::Sum, Unit::Same),
    measure("disk_write_kb_per_s", "virtualDisk.write.average", Parts::Sum, Unit::Same),
    measure("net_received_kb_per_s", "net.received.average", Parts::Whole, Unit::Same),
    measure("net_transmitted_kb_per_s", "net.transmitted.average", Parts::Whole, Unit::Same),
    measure("net_dropped_received", "net.droppedRx.summation", Parts::Whole, Unit::Same),
];

const OF_HOST: [Measure; 17] = [
    measure("cpu_usage_percent", "cpu.usage.average", Parts::Whole, Unit::Same),
    measure("cpu_ready_percent", "cpu.readiness.average", Parts::Whole, Unit::Same),
    measure("cpu_ready_ms", "cpu.ready.summation", Parts::Whole, Unit::Same),
    measure("memory_usage_percent", "mem.usage.average", Parts::Whole, Unit::Same),
    measure("memory_active_mb", "mem.active.average", Parts::Whole, Unit::Mib),
    measure("memory_consumed_mb", "mem.consumed.average", Parts::Whole, Unit::Mib),
    measure("memory_ballooned_mb", "mem.vmmemctl.average", Parts::Whole, Unit::Mib),
    measure("memory_swapped_mb", "mem.swapused.average", Parts::Whole, Unit::Mib),
    measure("memory_swap_in_kb_per_s", "mem.swapinRate.average", Parts::Whole, Unit::Same),
    measure("disk_latency_ms", "disk.maxTotalLatency.latest", Parts::Whole, Unit::Same),
    measure("datastore_read_latency_ms", "datastore.totalReadLatency.average", Parts::Worst, Unit::Same),
    measure("datastore_write_latency_ms", "datastore.totalWriteLatency.average", Parts::Worst, Unit::Same),
    measure("disk_read_kb_per_s", "disk.read.average", Parts::Whole, Unit::Same),
    measure("disk_write_kb_per_s", "disk.write.average", Parts::Whole, Unit::Same),
    measure("net_received_kb_per_s", "net.received.average", Parts::Whole, Unit::Same),
    measure("net_transmitted_kb_per_s", "net.transmitted.average", Parts::Whole, Unit::Same),
    measure("net_dropped_received", "net.droppedRx.summation", Parts::Whole, Unit::Same),
];

/// What [`of`] reads, where it can not.
pub(super) const COUNTERS: &str = "the real-time counters";

/// What was measured of an object; or why nothing was.
pub(super) async fn of(
    client: &Client,
    object: &ManagedObjectReference,
    basis: &Basis,
) -> Result<(Option<Realtime>, Option<String>)> {
    let measures = match basis {
        Basis::Vm { .. } => &OF_VM,
        Basis::Host => &OF_HOST,
    };
    let series = read(client, object, measures).await?;
    let counters: Vec<Measured> = measures.iter().filter_map(|measure| measure.of(&series, basis)).collect();
    let times = series.iter().map(|series| &series.times).max_by_key(|times| times.len());
    match times.and_then(|times| Some((times.len(), times.last()?))) {
        Some((samples, newest)) if !counters.is_empty() => {
            let interval_seconds = Interval::REALTIME.seconds();
            Ok((Some(Realtime { interval_seconds, samples, newest: format_date_time(newest), counters }), None))
        }
        _ => Ok((None, Some("nothing was measured yet: the first values come after 20 s".to_owned()))),
    }
}

/// The series of all counters that the server has.
async fn read(client: &Client, object: &ManagedObjectReference, measures: &[Measure]) -> Result<Vec<Series>> {
    let performance = client.performance();
    let known = performance.counters().await?;
    let mut series = Vec::new();
    for (whole, instance) in [(true, ""), (false, "*")] {
        let of_these = measures.iter().filter(|measure| (measure.parts == Parts::Whole) == whole);
        let mut names: Vec<&str> = of_these.map(|measure| measure.counter).collect();
        names.retain(|name| known.by_name(name).is_ok());
        names.dedup();
        if names.is_empty() {
            continue;
        }
        let report = performance.query(names).entity(object).instance(instance).samples(SAMPLES).await?;
        if !report.gone.is_empty() {
            let text = crate::find::no_longer(&object.type_, &object.value);
            return Err(Error::new("query performance", crate::error::ErrorKind::NotFound(text)));
        }
        series.extend(report.series);
    }
    Ok(series)
}

impl Measure {
    fn of(&self, series: &[Series], basis: &Basis) -> Option<Measured> {
        let own = series.iter().filter(|series| series.counter.name == self.counter);
        // Of a counter that is asked for in parts, the server may give the whole besides.
        let own = own.filter(|series| (self.parts == Parts::Whole) == series.instance.is_empty());
        let mut by_time: BTreeMap<DateTime, f64> = BTreeMap::new();
        for (time, value) in own.flat_map(Series::values) {
            let Some(value) = value else { continue };
            let so_far = by_time.entry(time).or_insert(0.0);
            *so_far = if self.parts == Parts::Sum { *so_far + value } else { so_far.max(value) };
        }
        let values: Vec<f64> = by_time.into_values().map(|value| self.unit.figure(value, basis)).collect();
        let latest = *values.last()?;
        #[allow(clippy::cast_precision_loss, reason = "there are few samples")]
        let average = values.iter().sum::<f64>() / values.len() as f64;
        let peak = values.iter().copied().fold(latest, f64::max);
        Some(Measured { name: self.name, latest, average, peak })
    }
}

impl Unit {
    fn figure(self, value: f64, basis: &Basis) -> f64 {
        let cpus = match basis {
            Basis::Vm { cpus } => f64::from((*cpus).max(1)),
            Basis::Host => 1.0,
        };
        match self {
            Self::Same => value,
            Self::Mib => value / 1024.0,
            Self::ShareOfTime => value / (f64::from(Interval::REALTIME.seconds()) * 10.0) / cpus,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use std::sync::Arc;

    use super::*;
    use crate::performance::Counter;

    fn series(counter: &str, unit: &str, instance: &str, raw: &[i64]) -> Series {
        let at = |second: usize| DateTime::parse_from_rfc3339(&format!("2026-01-01T00:00:{second:02}Z")).unwrap();
        Series {
            entity: ManagedObjectReference::new("VirtualMachine", "vm-1"),
            counter: Arc::new(Counter {
                id: 1,
                name: counter.to_owned(),
                unit: unit.to_owned(),
                rollup: "average".to_owned(),
                kind: "absolute".to_owned(),
                level: None,
            }),
            instance: instance.to_owned(),
            times: (0..raw.len()).map(|index| at(index * 20)).collect(),
            raw: raw.to_vec(),
        }
    }

    fn measured(name: &str, series: &[Series]) -> Option<Measured> {
        OF_VM.iter().find(|measure| measure.name == name).unwrap().of(series, &Basis::Vm { cpus: 2 })
    }

    #[test]
    fn ready_time_is_told_in_per_cent_of_each_cpus_time_and_in_milliseconds() {
        // 2,000 ms of two CPUs in 20 s: each has waited 5 % of the time.
        let ready = [series("cpu.ready.summation", "millisecond", "", &[4000, 1000, 2000])];
        let percent = measured("cpu_ready_percent", &ready).unwrap();
        assert_eq!((percent.latest, percent.average, percent.peak), (5.0, 35.0 / 6.0, 10.0));
        assert_eq!(measured("cpu_ready_ms", &ready).unwrap().latest, 2000.0);
    }

    #[test]
    fn parts_are_added_or_the_worst_is_told() {
        let of = |counter: &str| {
            [
                series(counter, "x", "scsi0:0", &[3, 9]),
                series(counter, "x", "scsi0:1", &[5, -1]),
                series(counter, "x", "", &[99, 99]),
            ]
        };
        let latency = measured("disk_read_latency_ms", &of("virtualDisk.totalReadLatency.average")).unwrap();
        assert_eq!((latency.latest, latency.peak), (9.0, 9.0));
        let rate = measured("disk_read_kb_per_s", &of("virtualDisk.read.average")).unwrap();
        assert_eq!((rate.latest, rate.average), (9.0, 8.5));
    }

    #[test]
    fn what_was_not_measured_is_left_out_and_zero_is_not() {
        let swapped = [series("mem.swapped.average", "kiloBytes", "", &[0, 0])];
        assert_eq!(measured("memory_swapped_mb", &swapped).unwrap().latest, 0.0);
        assert_eq!(measured("memory_active_mb", &swapped), None);
        let nothing = [series("mem.active.average", "kiloBytes", "", &[-1, -1])];
        assert_eq!(measured("memory_active_mb", &nothing), None);
    }
}
