//! What is wrong with VMs.

use std::collections::{BTreeMap, HashMap, HashSet};

use vsphere_model::types::{
    DateTime, ManagedObjectReference, Poly, VirtualDevice, VirtualDisk, VirtualMachineConnectionState,
    VirtualMachineFileLayoutEx, VirtualMachineFileLayoutExDiskLayout, VirtualMachinePowerState,
    VirtualMachineQuestionInfo, VirtualMachineSnapshotInfo, VirtualMachineSnapshotTree,
};
use vsphere_soap::object::format_date_time;

use super::seen::Seen;
use super::{Finding, Problem, Severity, Subject, limits};
use crate::client::Client;
use crate::find;
use crate::gaps::Gaps;
use crate::read::Values;

pub(super) const PATHS: &[&str] = &[
    "runtime.connectionState",
    "runtime.powerState",
    "runtime.host",
    "runtime.question",
    "runtime.consolidationNeeded",
    "snapshot",
];

/// The parts of a VM that are told at length, so that they are read only where it has snapshots.
const LAYOUT: &[&str] = &["layoutEx", "config.hardware.device"];

/// How many VMs are read at length at a time, so that no answer gets too large.
pub(super) const PORTION: usize = 500;

/// A VM as it was seen.
pub(super) struct Vm {
    pub(super) reference: ManagedObjectReference,
    pub(super) subject: Subject,
    state: Option<VirtualMachineConnectionState>,
    pub(super) runs: bool,
    pub(super) host: Option<ManagedObjectReference>,
    question: Option<VirtualMachineQuestionInfo>,
    consolidation: bool,
    snapshots: Vec<VirtualMachineSnapshotTree>,
}

impl Vm {
    pub(super) fn new(mut seen: Seen) -> Self {
        let snapshots = seen.take::<VirtualMachineSnapshotInfo>("snapshot").map(|info| info.root_snapshot_list);
        Self {
            state: seen.take("runtime.connectionState"),
            runs: seen.take::<VirtualMachinePowerState>("runtime.powerState")
                == Some(VirtualMachinePowerState::PoweredOn),
            host: seen.take("runtime.host"),
            question: seen.take("runtime.question"),
            consolidation: seen.take("runtime.consolidationNeeded").unwrap_or(false),
            snapshots: snapshots.unwrap_or_default(),
            subject: seen.subject,
            reference: seen.reference,
        }
    }

    pub(super) fn has_snapshots(&self) -> bool {
        !self.snapshots.is_empty()
    }

    /// What is wrong with it. `lost` are the ids of hosts that vCenter does not reach: that their VMs are disconnected is told
    /// with them.
    pub(super) fn findings(&self, now: DateTime, lost: &HashSet<String>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut add = |severity, problem| findings.push(Finding::new(severity, self.subject.clone(), problem));
        let with_host = self.host.as_ref().is_some_and(|host| lost.contains(&host.value));
        if let Some(state) = &self.state
            && *state != VirtualMachineConnectionState::Connected
            && !(with_host && *state == VirtualMachineConnectionState::Disconnected)
        {
            let severity = match state {
                VirtualMachineConnectionState::Inaccessible | VirtualMachineConnectionState::Invalid => {
                    Severity::Critical
                }
                _ => Severity::Warning,
            };
            add(severity, Problem::VmUnavailable { state: state.clone() });
        }
        if let Some(question) = &self.question {
            add(Severity::Critical, Problem::Question { text: question.text.as_str().into() });
        }
        if self.consolidation {
            add(Severity::Warning, Problem::Consolidation);
        }
        findings.extend(self.old_snapshots(now));
        findings
    }

    fn old_snapshots(&self, now: DateTime) -> Option<Finding> {
        let (snapshots, oldest) = old_snapshots(&self.snapshots, now)?;
        let problem = Problem::SnapshotOld {
            snapshots,
            oldest: crate::name::decode(&oldest.name).into(),
            days: (now - oldest.create_time).num_days(),
        };
        let since = Some(format_date_time(&oldest.create_time));
        Some(Finding { since, ..Finding::new(Severity::Warning, self.subject.clone(), problem) })
    }
}

/// How many of the snapshots are older than they should get, and the oldest.
pub(super) fn old_snapshots(
    trees: &[VirtualMachineSnapshotTree],
    now: DateTime,
) -> Option<(usize, &VirtualMachineSnapshotTree)> {
    let mut all = Vec::new();
    flatten(trees, &mut all);
    let limit = chrono::TimeDelta::from_std(limits::SNAPSHOT_AGE).ok()?;
    all.retain(|snapshot| now - snapshot.create_time > limit);
    let oldest = all.iter().min_by_key(|snapshot| snapshot.create_time).copied()?;
    Some((all.len(), oldest))
}

fn flatten<'a>(trees: &'a [VirtualMachineSnapshotTree], all: &mut Vec<&'a VirtualMachineSnapshotTree>) {
    for tree in trees {
        all.push(tree);
        flatten(&tree.child_snapshot_list, all);
    }
}

/// The VMs whose delta files take much of their disk, of those that have snapshots.
pub(super) async fn large_snapshots(client: &Client, vms: &[Vm], gaps: &mut Gaps) -> Vec<Finding> {
    let with_snapshots: HashMap<&str, &Vm> =
        vms.iter().filter(|vm| vm.has_snapshots()).map(|vm| (vm.reference.value.as_str(), vm)).collect();
    let references: Vec<ManagedObjectReference> = with_snapshots.values().map(|vm| vm.reference.clone()).collect();
    let mut unknown = 0;
    let mut findings = Vec::new();
    for some in references.chunks(PORTION) {
        let contents = gaps.part("the sizes of snapshots", find::details(client, some.iter().cloned(), LAYOUT).await);
        for content in contents {
            let refused = !content.missing_set.is_empty();
            content.missing_set.iter().for_each(|missing| {
                gaps.note(crate::read::Missing::refused(&missing.path, &missing.fault));
            });
            let Some(vm) = with_snapshots.get(content.obj.value.as_str()) else { continue };
            let mut values = Values::new(content.prop_set, content.missing_set);
            let layout = values.take::<Option<VirtualMachineFileLayoutEx>>("layoutEx").ok().flatten();
            let devices = values.take::<Option<Vec<Poly<VirtualDevice>>>>("config.hardware.device").ok().flatten();
            let (Some(layout), Some(devices)) = (layout, devices) else {
                unknown += usize::from(!refused);
                continue;
            };
            if let Some(problem) = largest(&layout, &devices) {
                findings.push(Finding::new(Severity::Warning, vm.subject.clone(), problem));
            }
        }
    }
    if unknown > 0 {
        gaps.lacks(&format!("the sizes of snapshots ({unknown})"), "the server does not tell the files of these VMs");
    }
    findings
}

/// The disk whose delta files take most of what it may take, where that is too much.
fn largest(layout: &VirtualMachineFileLayoutEx, devices: &[Poly<VirtualDevice>]) -> Option<Problem> {
    let sizes: HashMap<i32, i64> = layout.file.iter().map(|file| (file.key, file.size)).collect();
    // Of each disk the files of each state that the VM has or can go back to.
    let mut states: BTreeMap<i32, Vec<HashSet<i32>>> = BTreeMap::new();
    for disk in layout.disk.iter().chain(layout.snapshot.iter().flat_map(|snapshot| &snapshot.disk)) {
        states.entry(disk.key).or_default().push(files(disk));
    }
    let disks = devices.iter().filter_map(|device| device.downcast_ref::<VirtualDisk>()).filter_map(|disk| {
        let capacity = disk.capacity_in_bytes.unwrap_or_else(|| disk.capacity_in_kb.saturating_mul(1024));
        let states = states.get(&disk.key)?;
        // What all states share is the disk's own; the rest came with snapshots.
        let (first, others) = states.split_first()?;
        let own = others.iter().fold(first.clone(), |own, state| &own & state);
        let all: HashSet<i32> = states.iter().flatten().copied().collect();
        let delta = (&all - &own).iter().filter_map(|key| sizes.get(key)).sum::<i64>();
        (delta > capacity / limits::SNAPSHOT_SHARE).then_some((disk.key, delta, capacity))
    });
    let share = |(_, delta, capacity): &(i32, i64, i64)| i128::from(*delta) * 1000 / i128::from((*capacity).max(1));
    let (disk_key, delta_bytes, capacity_bytes) = disks.max_by_key(share)?;
    Some(Problem::SnapshotLarge { disk_key, delta_bytes, capacity_bytes })
}

/// What all snapshots of a VM take: their states, their memory, and the files of disks that not all states share.
pub(super) fn snapshot_bytes(layout: &VirtualMachineFileLayoutEx) -> i64 {
    let all_files =
        |disks: &[VirtualMachineFileLayoutExDiskLayout]| disks.iter().flat_map(files).collect::<HashSet<i32>>();
    let mut all = all_files(&layout.disk);
    let mut own = all.clone();
    for snapshot in &layout.snapshot {
        let state = all_files(&snapshot.disk);
        own = &own & &state;
        all.extend(state);
        all.insert(snapshot.data_key);
        all.extend(snapshot.memory_key);
    }
    layout.file.iter().filter(|file| all.contains(&file.key) && !own.contains(&file.key)).map(|file| file.size).sum()
}

fn files(disk: &VirtualMachineFileLayoutExDiskLayout) -> HashSet<i32> {
    disk.chain.iter().flat_map(|unit| unit.file_key.iter().copied()).collect()
}
