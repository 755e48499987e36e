//! What is wrong in an inventory, ranked, with the evidence for it; and what a cluster has room for.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let attention = client.attention().await?;
//! println!("{} critical, {} warnings", attention.critical, attention.warnings);
//! for finding in attention.findings.iter().take(10) {
//!     println!("{:?} {}: {:?}", finding.severity, finding.object.name, finding.problem);
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! All objects are read together, so that ten thousand VMs take as many requests as ten. A healthy inventory has no finding.
//! What could not be read is in the [`Gaps`](crate::Gaps) of a report: nothing is called healthy that was not looked at. Each
//! threshold is a constant of [`limits`] that names its source.

mod attention;
mod capacity;
mod datastores;
mod hosts;
mod hygiene;
mod investigation;
pub mod limits;
mod seen;
mod story;
mod vms;

use std::cmp::Ordering;

use chrono::TimeDelta;
use serde::Serialize;
use vsphere_model::types::{HostSystemConnectionState, ManagedObjectReference, VirtualMachineConnectionState};

use crate::untrusted::Untrusted;

pub use attention::Attention;
pub use capacity::{Capacity, CpuCapacity, KeptFree, MemoryCapacity, Room, RoomRule, SharedDatastore, Workload};
pub use hygiene::{Chore, ChoreKind, Detail, Hygiene, Untidy};
pub use investigation::{Contention, Investigation, Neighbour, Reading};
pub use story::{Deed, Story};

/// How much a finding matters.
///
/// ```
/// use vsphere_ops::diagnosis::Severity;
///
/// assert!(Severity::Critical < Severity::Notice, "the worst comes first");
/// assert_eq!(serde_json::to_value(Severity::Critical).unwrap(), "critical");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something fails, or is about to.
    Critical,
    /// Something is to be mended before more goes wrong.
    Warning,
    /// Something to know of.
    Notice,
}

/// The object that a finding is about.
///
/// ```
/// use vsphere_ops::diagnosis::Subject;
///
/// fn is_host(subject: &Subject) -> bool {
///     subject.kind == "HostSystem"
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subject {
    /// Its name; its id where the user may not read the name.
    pub name: String,
    /// Its managed object id.
    pub id: String,
    /// Its managed object type (`HostSystem`).
    #[serde(rename = "type")]
    pub kind: String,
}

impl Subject {
    pub(crate) fn new(reference: &ManagedObjectReference, name: Option<String>) -> Self {
        let name = name.unwrap_or_else(|| reference.value.clone());
        Self { name, id: reference.value.clone(), kind: reference.type_.clone() }
    }
}

/// Something that is wrong with an object.
///
/// ```
/// use vsphere_ops::diagnosis::{Finding, Severity};
///
/// fn needs_somebody_now(findings: &[Finding]) -> bool {
///     findings.iter().any(|finding| finding.severity == Severity::Critical)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about.
    pub object: Subject,
    /// What is wrong, with the evidence.
    #[serde(flatten)]
    pub problem: Problem,
    /// Since when by the server's clock, RFC 3339, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

impl Finding {
    pub(crate) fn new(severity: Severity, object: Subject, problem: Problem) -> Self {
        Self { severity, object, problem, since: None }
    }

    /// The order of reports: the worst first, then what hits most.
    fn order(&self, other: &Self) -> Ordering {
        let key = |finding: &Self| (finding.severity, finding.problem.rank());
        key(self)
            .cmp(&key(other))
            .then_with(|| self.object.cmp(&other.object))
            .then_with(|| self.since.cmp(&other.since))
    }
}

/// What is wrong, with the evidence.
///
/// ```
/// use vsphere_ops::diagnosis::Problem;
///
/// fn free_share(problem: &Problem) -> Option<f64> {
///     match problem {
///         Problem::DatastoreFull { free_bytes, capacity_bytes } => Some(*free_bytes as f64 / *capacity_bytes as f64),
///         _ => None,
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "problem", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Problem {
    /// vCenter does not reach a host.
    HostUnreachable {
        /// `disconnected` (by a user) or `not_responding`.
        #[serde(serialize_with = "crate::words::state")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        state: HostSystemConnectionState,
        /// The VMs that were powered on there, as far as vCenter knows.
        running_vms: usize,
    },
    /// Hosts can't access a datastore.
    DatastoreInaccessible {
        /// How many connected hosts can't.
        hosts_without: usize,
        /// How many connected hosts have it mounted.
        hosts: usize,
    },
    /// A datastore is full, or nearly so.
    DatastoreFull {
        /// What is free, in bytes.
        free_bytes: i64,
        /// What there is, in bytes.
        capacity_bytes: i64,
    },
    /// Paths from a host to its storage are dead.
    StoragePaths {
        /// How many paths are dead.
        dead: usize,
        /// How many paths there are.
        paths: usize,
        /// The adapters of the dead paths (`vmhba1`).
        adapters: Vec<String>,
        /// Devices whose last path is dead, where the server told of the paths by device.
        #[serde(skip_serializing_if = "Option::is_none")]
        devices_lost: Option<usize>,
        /// Devices that have one living path left.
        #[serde(skip_serializing_if = "Option::is_none")]
        devices_without_redundancy: Option<usize>,
    },
    /// An object lacks something, or its load is at an end of what it has.
    Contention {
        /// What.
        of: Contention,
        /// The evidence.
        measured: Reading,
        /// The part that is worst: a disk, or of a datastore the host that waits for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        part: Option<String>,
        /// The name of the datastore that a disk is on.
        #[serde(skip_serializing_if = "Option::is_none")]
        datastore: Option<String>,
        /// The VMs that take most of it there, with the VM itself where it is one of them.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        neighbours: Vec<Neighbour>,
        /// How many more parts or objects have the same.
        #[serde(skip_serializing_if = "is_zero")]
        others: usize,
    },
    /// Settings keep a VM from what it is made for.
    Restricted {
        /// The limit on its CPUs.
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu_limit_mhz: Option<i64>,
        /// The limit on its memory, which is below what it is configured with.
        #[serde(skip_serializing_if = "Option::is_none")]
        memory_limit_mb: Option<i64>,
        /// `low`, where its shares of CPU are.
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu_shares: Option<&'static str>,
        /// `low`, where its shares of memory are.
        #[serde(skip_serializing_if = "Option::is_none")]
        memory_shares: Option<&'static str>,
    },
    /// VMware Tools do not run in a VM that does: its host can take memory back by the swap file alone, and does not see its guest.
    ToolsNotRunning {
        /// What the server says (`guestToolsNotRunning`).
        state: String,
    },
    /// Network adapters that a switch of a host uses have no link.
    Uplinks {
        /// The name of the switch.
        switch: String,
        /// Adapters without a link.
        down: Vec<String>,
        /// Adapters with one.
        up: Vec<String>,
    },
    /// Sensors of a host report trouble with its hardware.
    Hardware {
        /// The worst sensors, no more than ten.
        sensors: Vec<Sensor>,
        /// How many sensors report trouble.
        count: usize,
    },
    /// The server has lost a VM, its files or its host.
    VmUnavailable {
        /// `disconnected`, `orphaned`, `inaccessible` or `invalid`.
        #[serde(serialize_with = "crate::words::state")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        state: VirtualMachineConnectionState,
    },
    /// A VM stands still until somebody answers its question.
    Question {
        /// What it asks.
        text: Untrusted,
    },
    /// An alarm is triggered.
    Alarm {
        /// The name of the alarm.
        alarm: String,
        /// Its managed object id.
        alarm_id: String,
        /// `red` or `yellow`.
        status: String,
        /// Whether somebody has acknowledged it.
        acknowledged: bool,
        /// Who acknowledged it.
        #[serde(skip_serializing_if = "Option::is_none")]
        acknowledged_by: Option<String>,
    },
    /// VMs run on a host that is in maintenance mode, or enters it.
    Maintenance {
        /// How many.
        running_vms: usize,
    },
    /// VMs run on a host that is quarantined, because a health provider found it degraded.
    Quarantine {
        /// How many.
        running_vms: usize,
    },
    /// A host's certificate expires, or has.
    Certificate {
        /// When, RFC 3339.
        expires: String,
        /// In how many whole days; negative where it has expired.
        days_left: i64,
    },
    /// A licence in use expires, or has.
    Licence {
        /// The name of the licence.
        licence: String,
        /// In how many whole days; negative where it has expired.
        days_left: i64,
    },
    /// A host has time servers, and does not follow them.
    Clock {
        /// The time servers.
        servers: Vec<String>,
        /// Whether the service that asks them runs.
        service_running: bool,
        /// Whether the host says that its clock is synchronized; hosts before 7.0.3 do not say.
        #[serde(skip_serializing_if = "Option::is_none")]
        synchronized: Option<bool>,
    },
    /// Disks of a VM have delta files that belong to no snapshot.
    Consolidation,
    /// Delta files of snapshots take much of what their disk may take.
    SnapshotLarge {
        /// The device key of the disk that is worst.
        disk_key: i32,
        /// What its delta files take, in bytes.
        delta_bytes: i64,
        /// Its capacity, in bytes.
        capacity_bytes: i64,
    },
    /// A VM has snapshots that are older than they should get.
    SnapshotOld {
        /// How many such snapshots it has.
        snapshots: usize,
        /// The name of the oldest.
        oldest: Untrusted,
        /// The age of the oldest in whole days.
        days: i64,
    },
    /// Tasks have failed.
    TaskFailed {
        /// What they did (`VirtualMachine.powerOn`).
        operation: String,
        /// The fault of the last one (`NoDiskSpace`).
        fault: String,
        /// The server's text about it.
        message: Untrusted,
        /// Who had started the last one, where it was not the server itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// How often the same has failed.
        times: usize,
    },
    /// Thin disks may grow to more than a datastore has.
    DatastoreOvercommitted {
        /// What there is, in bytes.
        capacity_bytes: i64,
        /// What the VMs may take, in bytes.
        provisioned_bytes: i64,
    },
}

impl Problem {
    /// Where it stands among those of the same severity: what hits most VMs first.
    fn rank(&self) -> u8 {
        match self {
            Self::HostUnreachable { .. } => 0,
            Self::DatastoreInaccessible { .. } => 1,
            Self::DatastoreFull { .. } => 2,
            Self::StoragePaths { .. } => 3,
            Self::Uplinks { .. } => 4,
            Self::Hardware { .. } => 5,
            Self::VmUnavailable { .. } => 6,
            Self::Question { .. } => 7,
            // One after the other, from here on.
            Self::Contention { of, .. } => 8 + *of as u8,
            Self::Alarm { .. } => 30,
            Self::Maintenance { .. } => 31,
            Self::Quarantine { .. } => 32,
            Self::Certificate { .. } => 33,
            Self::Licence { .. } => 34,
            Self::Clock { .. } => 35,
            Self::Consolidation => 36,
            Self::SnapshotLarge { .. } => 37,
            Self::SnapshotOld { .. } => 38,
            Self::TaskFailed { .. } => 39,
            Self::DatastoreOvercommitted { .. } => 40,
            Self::Restricted { .. } => 41,
            Self::ToolsNotRunning { .. } => 42,
        }
    }
}

/// A sensor of a host that reports trouble.
///
/// ```
/// use vsphere_ops::diagnosis::Sensor;
///
/// fn line(sensor: &Sensor) -> String {
///     format!("{} is {}", sensor.name, sensor.status)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sensor {
    /// `red` or `yellow`.
    pub status: String,
    /// What the hardware calls it.
    pub name: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Days that are full; what ended less than a day ago has -1 left.
fn whole_days(time: TimeDelta) -> i64 {
    time.num_milliseconds().div_euclid(24 * 3600 * 1000)
}

/// How much it matters that something ends in so many days.
fn ends_soon(days_left: i64, critical: i64, warning: i64) -> Option<Severity> {
    if days_left < critical {
        return Some(Severity::Critical);
    }
    (days_left < warning).then_some(Severity::Warning)
}
