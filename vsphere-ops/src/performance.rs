//! Performance: counters by name, and their values as series of numbers with units.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let vm = client.get::<VirtualMachine>("web-01").await?;
//! let report = client.performance().query(["cpu.ready.summation"]).entity(vm.reference()).samples(15).await?;
//! for series in &report.series {
//!     println!("{} {:?} {}", series.counter.name, series.latest(), series.counter.unit);
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! A counter is named `group.name.rollup`; [`Counters`] has those of the server, and what [`Performance::available`] lists
//! is measured for an object. A query is cut into pieces that the server takes, and a piece that it refuses is halved.
//!
//! - Numbers of counters differ between servers, and their labels between languages: names are built from neither.
//! - [`Interval::REALTIME`] is kept by hosts, for hosts and VMs, and for an hour. Datastores and clusters have history
//!   only, and history only has counters up to the level that the server is set to.
//! - Percent come from the server as hundredths and are given as percent; where it has no value (-1), there is `None`.
//! - `cpu.ready.summation` is in milliseconds of an interval: 20,000 ms in real time are 100 % of one CPU.

mod query;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use vsphere_model::managed::{PerformanceManager, performance_manager};
use vsphere_model::types::{ManagedObjectReference, PerfCounterInfo, PerfMetricId};

pub use query::{PerfQuery, Report, Series};
pub use table::{Column, Table};

use crate::client::Client;
use crate::connection::Part;
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;

impl Client {
    /// The performance counters and their values.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::HostSystem;
    /// use vsphere_ops::performance::Interval;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
    /// let report = client
    ///     .performance()
    ///     .query(["cpu.usage.average", "mem.usage.average"])
    ///     .entity(host.reference())
    ///     .interval(Interval::REALTIME)
    ///     .samples(15)
    ///     .await?;
    /// println!("{}", report.table());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn performance(&self) -> Performance {
        Performance { client: self.clone() }
    }
}

/// The performance counters and their values.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::HostSystem;
/// use vsphere_ops::performance::Interval;
///
/// let performance = client.performance();
/// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
/// for metric in performance.available(host.reference(), Interval::REALTIME).await? {
///     println!("{} {:?} in {}", metric.counter.name, metric.instance, metric.counter.unit);
/// }
/// println!("history is kept at {:?}", performance.intervals().await?);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
pub struct Performance {
    client: Client,
}

impl Performance {
    /// All counters of the server. They are read once a session.
    ///
    /// # Errors
    /// Server errors.
    pub async fn counters(&self) -> Result<Arc<Counters>> {
        let session = self.client.connection.generation();
        let cache = self.client.connection.part::<CounterCache>();
        if let Some(counters) = cache.get(session) {
            return Ok(counters);
        }
        let manager: Mo<PerformanceManager> = Mo::new(&self.client, &self.manager()?, None);
        let infos = manager.read(performance_manager::PERF_COUNTER).await?;
        let counters = Arc::new(Counters::new(infos));
        cache.put(session, &counters);
        Ok(counters)
    }

    /// What can be asked of an object: counters and their instances, such as a network card; the instance "" is the
    /// whole object. Counters that the server does not describe are left out.
    ///
    /// # Errors
    /// Server errors.
    pub async fn available(&self, entity: &ManagedObjectReference, interval: Interval) -> Result<Vec<Metric>> {
        let counters = self.counters().await?;
        let manager: PerformanceManager = self.client.raw(&self.manager()?);
        let ids = manager.query_available_perf_metric(entity, None, None, Some(interval.seconds())).await?;
        let metric = |id: PerfMetricId| Some(Metric { counter: counters.by_id(id.counter_id)?, instance: id.instance });
        Ok(ids.into_iter().filter_map(metric).collect())
    }

    /// The intervals at which the server keeps history, in seconds, where it does.
    ///
    /// # Errors
    /// Server errors.
    pub async fn intervals(&self) -> Result<Vec<Interval>> {
        let manager: Mo<PerformanceManager> = Mo::new(&self.client, &self.manager()?, None);
        let intervals = manager.read(performance_manager::HISTORICAL_INTERVAL).await?;
        Ok(intervals.into_iter().filter(|kept| kept.enabled).map(|kept| Interval(kept.sampling_period)).collect())
    }

    /// Values of these counters (`cpu.ready.summation`).
    pub fn query<T: Into<String>>(&self, counters: impl IntoIterator<Item = T>) -> PerfQuery {
        PerfQuery::new(&self.client, counters.into_iter().map(Into::into).collect())
    }

    fn manager(&self) -> Result<ManagedObjectReference> {
        let manager = self.client.content().perf_manager.as_ref();
        self.client.manager("performance counters", manager).cloned()
    }
}

/// How far apart the values of a series are.
///
/// ```
/// use vsphere_ops::performance::Interval;
///
/// assert_eq!(Interval::REALTIME.seconds(), 20);
/// assert_eq!(Interval::of_seconds(300), Interval::FIVE_MINUTES);
/// assert!(Interval::HALF_HOUR < Interval::TWO_HOURS && Interval::TWO_HOURS < Interval::DAY);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Interval(i32);

impl Interval {
    /// 20 seconds, kept for an hour by the hosts. Clusters, datacenters and datastores have none.
    pub const REALTIME: Self = Self(20);
    /// 5 minutes, kept for a day by vCenter.
    pub const FIVE_MINUTES: Self = Self(300);
    /// 30 minutes, kept for a week by vCenter.
    pub const HALF_HOUR: Self = Self(1800);
    /// 2 hours, kept for a month by vCenter.
    pub const TWO_HOURS: Self = Self(7200);
    /// A day, kept for a year by vCenter.
    pub const DAY: Self = Self(86_400);

    /// Another interval, in seconds: the server's administrator can change them.
    pub const fn of_seconds(seconds: i32) -> Self {
        Self(seconds)
    }

    /// In seconds.
    pub const fn seconds(self) -> i32 {
        self.0
    }
}

/// A counter: what is measured, and in which unit.
///
/// ```
/// use vsphere_ops::performance::Counter;
///
/// let usage = Counter {
///     id: 2,
///     name: "cpu.usage.average".into(),
///     unit: "percent".into(),
///     rollup: "average".into(),
///     kind: "rate".into(),
///     level: Some(1),
/// };
/// assert_eq!(usage.scale(1234), Some(12.34));
/// assert_eq!(usage.scale(-1), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counter {
    /// The server's number for it. It differs between servers.
    pub id: i32,
    /// `group.name.rollup`, such as `cpu.ready.summation`.
    pub name: String,
    /// The unit: `percent`, `megaHertz`, `kiloBytes`, `millisecond`, `number`…
    pub unit: String,
    /// How values become one: `average`, `summation`, `latest`, `minimum`, `maximum`, `none`.
    pub rollup: String,
    /// `absolute`, `delta` or `rate`.
    pub kind: String,
    /// From which level of statistics on vCenter keeps its history.
    pub level: Option<i32>,
}

impl Counter {
    /// A value as it is to be read: the server counts percent in hundredths, and -1 says that there is no value.
    pub fn scale(&self, raw: i64) -> Option<f64> {
        #[allow(clippy::cast_precision_loss, reason = "no counter comes near 2^53")]
        let value = raw as f64;
        match (raw, self.unit.as_str()) {
            (i64::MIN..0, _) if self.kind != "delta" => None,
            (-1, _) => None,
            (_, "percent") => Some(value / 100.0),
            _ => Some(value),
        }
    }
}

impl From<PerfCounterInfo> for Counter {
    fn from(info: PerfCounterInfo) -> Self {
        // Keys, and never labels: those are in the language of the session.
        Self {
            id: info.key,
            name: format!("{}.{}.{}", info.group_info.key, info.name_info.key, info.rollup_type),
            unit: info.unit_info.key.clone(),
            rollup: info.rollup_type.to_string(),
            kind: info.stats_type.to_string(),
            level: info.level,
        }
    }
}

/// A counter of an object or of a part of it.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::HostSystem;
/// use vsphere_ops::performance::{Interval, Metric};
///
/// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
/// let all = client.performance().available(host.reference(), Interval::REALTIME).await?;
/// let is_nic = |metric: &&Metric| metric.counter.name == "net.usage.average" && !metric.instance.is_empty();
/// let nics: Vec<&str> = all.iter().filter(is_nic).map(|metric| metric.instance.as_str()).collect();
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
pub struct Metric {
    /// The counter.
    pub counter: Arc<Counter>,
    /// The part (`vmnic0`, `0`), "" for the whole object.
    pub instance: String,
}

/// All counters of a server.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let counters = client.performance().counters().await?;
/// let ready = counters.by_name("cpu.ready.summation")?;
/// assert_eq!(counters.by_id(ready.id).as_ref(), Some(&ready));
/// let of_disks = counters.iter().filter(|counter| counter.name.starts_with("disk.")).count();
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Default)]
pub struct Counters {
    by_name: HashMap<String, Arc<Counter>>,
    by_id: HashMap<i32, Arc<Counter>>,
}

impl Counters {
    fn new(infos: Vec<PerfCounterInfo>) -> Self {
        let mut counters = Self::default();
        for info in infos {
            let counter = Arc::new(Counter::from(info));
            counters.by_name.insert(counter.name.clone(), Arc::clone(&counter));
            counters.by_id.insert(counter.id, counter);
        }
        counters
    }

    /// The counter with this name (`cpu.ready.summation`).
    ///
    /// # Errors
    /// `not_found`, with the counters of the same group whose names come near.
    pub fn by_name(&self, name: &str) -> Result<Arc<Counter>> {
        self.by_name.get(name).cloned().ok_or_else(|| {
            let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
            let mut near: Vec<&str> =
                self.by_name.keys().map(String::as_str).filter(|own| own.contains(stem)).collect();
            near.sort_unstable();
            near.truncate(5);
            let hint = if near.is_empty() { String::new() } else { format!("; there are {}", near.join(", ")) };
            Error::new("find the counter", ErrorKind::NotFound(format!("the server has no such counter{hint}")))
                .on(name)
        })
    }

    /// The counter with this number.
    pub fn by_id(&self, id: i32) -> Option<Arc<Counter>> {
        self.by_id.get(&id).cloned()
    }

    /// All counters.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Counter>> {
        self.by_id.values()
    }
}

/// The counters of the current session.
#[derive(Default)]
struct CounterCache {
    kept: Mutex<Option<(u64, Arc<Counters>)>>,
}

impl CounterCache {
    fn get(&self, session: u64) -> Option<Arc<Counters>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(own, _)| *own == session).map(|(_, counters)| Arc::clone(counters))
    }

    fn put(&self, session: u64, counters: &Arc<Counters>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((session, Arc::clone(counters)));
    }
}

impl Part for CounterCache {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use vsphere_model::types::{ElementDescription, PerfStatsType, PerfSummaryType, Poly};

    use super::*;

    fn info(id: i32, name: &str, unit: &str) -> PerfCounterInfo {
        let element = |key: &str| {
            let mut element = ElementDescription { key: key.to_owned(), ..Default::default() };
            element.label = "Auslastung".to_owned();
            Poly::new(element)
        };
        PerfCounterInfo {
            key: id,
            group_info: element("cpu"),
            name_info: element(name),
            unit_info: element(unit),
            rollup_type: PerfSummaryType::Average,
            stats_type: PerfStatsType::Rate,
            ..Default::default()
        }
    }

    #[test]
    fn pitfall_33_counters_are_named_by_keys_and_not_by_labels() {
        let counters = Counters::new(vec![info(2, "usage", "percent"), info(6, "usagemhz", "megaHertz")]);
        assert_eq!(counters.by_name("cpu.usage.average").unwrap().id, 2);
        assert_eq!(counters.by_id(6).unwrap().name, "cpu.usagemhz.average");
        let error = counters.by_name("cpu.usage.maximum").unwrap_err();
        assert!(error.is_not_found());
        assert!(error.to_string().contains("cpu.usage.average, cpu.usagemhz.average"), "{error}");
    }

    #[test]
    fn percent_is_scaled_and_no_value_is_none() {
        let percent = Counter::from(info(2, "usage", "percent"));
        assert_eq!((percent.scale(1234), percent.scale(-1)), (Some(12.34), None));
        assert_eq!(Counter::from(info(6, "usagemhz", "megaHertz")).scale(1234), Some(1234.0));
    }
}
