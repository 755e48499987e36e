//! The VMs that take most of what is scarce.

use std::collections::HashMap;

use serde::Serialize;
use vsphere_model::types::ManagedObjectReference;

use crate::client::Client;
use crate::error::Result;
use crate::performance::Series;

/// How many are told.
const MOST: usize = 3;

/// How many values of the last hour are looked at: a quarter of an hour.
const SAMPLES: u16 = 45;

/// A VM that takes of what is scarce.
///
/// ```
/// use vsphere_ops::diagnosis::Neighbour;
///
/// fn takes_most(neighbour: &Neighbour) -> bool {
///     neighbour.share_percent > 50.0
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Neighbour {
    /// The VM's name.
    pub name: String,
    /// Its managed object id.
    pub id: String,
    /// What it takes, the mean of the last quarter of an hour.
    #[serde(serialize_with = "crate::units::two_digits")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub takes: f64,
    /// In what: `MHz`, `MB`, `requests/s`.
    pub unit: &'static str,
    /// Of what all VMs there take.
    #[serde(serialize_with = "crate::units::two_digits")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub share_percent: f64,
}

/// What is scarce.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Scarce {
    Cpu,
    Memory,
    /// The storage of this volume.
    Storage(String),
}

impl Scarce {
    fn counters(&self) -> &'static [&'static str] {
        match self {
            Self::Cpu => &["cpu.usagemhz.average"],
            Self::Memory => &["mem.consumed.average"],
            Self::Storage(_) => REQUESTS,
        }
    }

    fn unit(&self) -> &'static str {
        match self {
            Self::Cpu => "MHz",
            Self::Memory => "MB",
            Self::Storage(_) => "requests/s",
        }
    }
}

const REQUESTS: &[&str] = &["datastore.numberReadAveraged.average", "datastore.numberWriteAveraged.average"];

/// What each of these objects, which are of one type, takes of it, the largest first.
pub(super) async fn usage(
    client: &Client,
    objects: &[ManagedObjectReference],
    scarce: &Scarce,
) -> Result<Vec<(ManagedObjectReference, f64)>> {
    let performance = client.performance();
    let known = performance.counters().await?;
    let counters: Vec<&str> =
        scarce.counters().iter().copied().filter(|counter| known.by_name(counter).is_ok()).collect();
    if objects.is_empty() || counters.is_empty() {
        return Ok(Vec::new());
    }
    let instance = if matches!(scarce, Scarce::Storage(_)) { "*" } else { "" };
    let report =
        performance.query(counters).entities(objects).instance(instance).samples(SAMPLES).of_vms_or_hosts().await?;
    let mut sums: HashMap<ManagedObjectReference, f64> = HashMap::new();
    for series in &report.series {
        let is_it = match scarce {
            Scarce::Storage(volume) => series.instance == *volume,
            _ => series.instance.is_empty(),
        };
        if let Some(mean) = mean(series).filter(|_| is_it) {
            *sums.entry(series.entity.clone()).or_default() += mean;
        }
    }
    let scale = if *scarce == Scarce::Memory { 1024.0 } else { 1.0 };
    let mut usage: Vec<(ManagedObjectReference, f64)> =
        sums.into_iter().map(|(object, sum)| (object, sum / scale)).collect();
    usage.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    Ok(usage)
}

/// Those who take most.
pub(super) fn most(
    usage: Vec<(ManagedObjectReference, f64)>,
    names: &HashMap<String, String>,
    scarce: &Scarce,
) -> Vec<Neighbour> {
    let all: f64 = usage.iter().map(|(_, takes)| takes).sum();
    let neighbour = |(vm, takes): (ManagedObjectReference, f64)| Neighbour {
        name: names.get(&vm.value).cloned().unwrap_or_else(|| vm.value.clone()),
        id: vm.value,
        takes,
        unit: scarce.unit(),
        share_percent: if all > 0.0 { takes * 100.0 / all } else { 0.0 },
    };
    usage.into_iter().filter(|(_, takes)| *takes > 0.0).take(MOST).map(neighbour).collect()
}

fn mean(series: &Series) -> Option<f64> {
    let (sum, count) = series
        .values()
        .filter_map(|(_, value)| value)
        .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}
