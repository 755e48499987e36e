//! VMs that are idle, or larger than what runs in them, by the history of a week.

use std::collections::HashMap;

use vsphere_model::types::{DateTime, ManagedObjectReference};

use super::super::{Subject, limits};
use super::{ChoreKind, Detail, Found};
use crate::client::Client;
use crate::error::Result;
use crate::gaps::Gaps;
use crate::performance::{Interval, Report};

const CPU: &str = "cpu.usage.average";
const MEMORY: &str = "mem.usage.average";
const WHAT: &str = "idle and oversized VMs";

/// How many VMs are looked at, those that seem idle first, then the largest: vCenter answers for 32 of them at a time.
const MOST_MEASURED: usize = 1000;

/// How many of the 336 half hours of a week have to be known.
const ENOUGH: usize = 168;

/// A VM that has run for a week, and has CPUs or memory to give back or seems idle.
pub(super) struct Suspect {
    pub(super) reference: ManagedObjectReference,
    pub(super) subject: Subject,
    pub(super) cpus: i32,
    pub(super) memory_mb: i64,
    /// What it used when it was looked at, where that was hardly anything.
    pub(super) idle: Option<Detail>,
}

impl Suspect {
    /// Whether its history is worth a look.
    pub(super) fn is_worth_a_look(&self) -> bool {
        self.idle.is_some() || has_cpus(self.cpus) || has_memory(self.memory_mb)
    }
}

fn has_cpus(cpus: i32) -> bool {
    cpus >= limits::OVERSIZED_CPUS
}

fn has_memory(memory_mb: i64) -> bool {
    memory_mb >= limits::OVERSIZED_MEMORY_MB
}

/// Adds those of these VMs that never used much of what they have.
pub(super) async fn add(client: &Client, mut vms: Vec<Suspect>, now: DateTime, found: &mut Found, gaps: &mut Gaps) {
    if vms.is_empty() {
        return;
    }
    if !client.is_vcenter() {
        return gaps.lacks(WHAT, "a host alone keeps no history of a week");
    }
    let place = |vm: &Suspect| (vm.idle.is_none(), -vm.cpus, -vm.memory_mb);
    vms.sort_by(|one, other| (place(one), &one.subject).cmp(&(place(other), &other.subject)));
    if vms.len() > MOST_MEASURED {
        gaps.lacks(WHAT, format!("only {MOST_MEASURED} of {} were looked at, the largest", vms.len()));
        vms.truncate(MOST_MEASURED);
    }
    let peaks = match peaks(client, &vms, now).await {
        Ok(peaks) => peaks,
        Err(error) => return gaps.lacks(WHAT, error.to_string()),
    };
    let mut unknown = 0;
    for vm in vms {
        let Peaks { cpu, memory } = peaks.get(&vm.reference.value).copied().unwrap_or_default();
        unknown += usize::from(cpu.is_none() && memory.is_none());
        if let Some(detail) = vm.idle
            && cpu.is_some_and(|peak| peak < limits::IDLE_PEAK_PERCENT)
        {
            found.add(ChoreKind::Idle, &vm.subject, None, Detail { cpu_peak_percent: cpu, ..detail });
            continue;
        }
        let is_low = |peak: Option<f64>| peak.is_some_and(|peak| peak < limits::OVERSIZED_PERCENT);
        if (has_cpus(vm.cpus) && is_low(cpu)) || (has_memory(vm.memory_mb) && is_low(memory)) {
            let detail = Detail {
                cpus: Some(vm.cpus),
                memory_mb: Some(vm.memory_mb),
                cpu_peak_percent: cpu,
                memory_peak_percent: memory,
                ..Detail::default()
            };
            found.add(ChoreKind::Oversized, &vm.subject, None, detail);
        }
    }
    if unknown > 0 {
        gaps.lacks(&format!("{WHAT} ({unknown})"), "vCenter has less than half a week of their counters");
    }
}

/// The largest half hour of the last week, in per cent; `None` where too few are known.
#[derive(Clone, Copy, Default)]
struct Peaks {
    cpu: Option<f64>,
    memory: Option<f64>,
}

/// The peaks of these VMs, by id.
async fn peaks(client: &Client, vms: &[Suspect], now: DateTime) -> Result<HashMap<String, Peaks>> {
    let entities = vms.iter().map(|vm| &vm.reference);
    let query = client.performance().query([CPU, MEMORY]).entities(entities).interval(Interval::HALF_HOUR);
    let Report { series, .. } = query.between(now - limits::IDLE_UPTIME, now).await?;
    let mut peaks: HashMap<String, Peaks> = HashMap::new();
    for series in series {
        let values: Vec<f64> = series.values().filter_map(|(_, value)| value).collect();
        let peak = values.iter().copied().max_by(f64::total_cmp).filter(|_| values.len() >= ENOUGH);
        let own = peaks.entry(series.entity.value).or_default();
        *(if series.counter.name == CPU { &mut own.cpu } else { &mut own.memory }) = peak;
    }
    Ok(peaks)
}
