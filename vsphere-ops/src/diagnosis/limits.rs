//! From when on something is a finding, and who says so.
//!
//! ```
//! use vsphere_ops::diagnosis::limits;
//!
//! assert_eq!(limits::SNAPSHOT_AGE.as_secs(), 72 * 3600);
//! ```

use std::time::Duration;

use chrono::TimeDelta;

/// The percentage of free space below which a datastore is a warning: it is red in vCenter's default alarm "Datastore usage on
/// disk" (yellow above 75 % used, red above 85 %).
///
/// ```
/// use vsphere_ops::diagnosis::limits::DATASTORE_FREE_WARNING;
///
/// let is_warned = |free: i64, capacity: i64| free * 100 < capacity * DATASTORE_FREE_WARNING;
/// ```
pub const DATASTORE_FREE_WARNING: i64 = 15;

/// The percentage of free space below which a datastore is critical. This is a choice of this library, and no vendor's:
/// a third of the room that the red alarm leaves.
///
/// ```
/// use vsphere_ops::diagnosis::limits::DATASTORE_FREE_CRITICAL;
///
/// let is_full = |free: i64, capacity: i64| free * 100 < capacity * DATASTORE_FREE_CRITICAL;
/// ```
pub const DATASTORE_FREE_CRITICAL: i64 = 5;

/// The age from which on a snapshot is a finding: VMware KB 1025279 (Broadcom 318825), "Do not use a single snapshot for more
/// than 72 hours".
///
/// ```
/// use vsphere_ops::diagnosis::limits::SNAPSHOT_AGE;
///
/// assert_eq!(SNAPSHOT_AGE.as_secs(), 72 * 3600);
/// ```
pub const SNAPSHOT_AGE: Duration = Duration::from_secs(72 * 3600);

/// The part of its disk's capacity that delta files may take, as a divisor. A delta file can grow to the size of its disk
/// (VMware KB 1015180); half of that is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::SNAPSHOT_SHARE;
///
/// let is_large = |delta: i64, capacity: i64| delta > capacity / SNAPSHOT_SHARE;
/// ```
pub const SNAPSHOT_SHARE: i64 = 2;

/// The days before its end from which on a host's certificate is a warning: "Expiration imminent", two months or less
/// (vSphere Security, "View Certificate Details for ESXi Hosts").
///
/// ```
/// use vsphere_ops::diagnosis::limits::CERTIFICATE_WARNING_DAYS;
///
/// let is_warned = |days_left: i64| days_left < CERTIFICATE_WARNING_DAYS;
/// ```
pub const CERTIFICATE_WARNING_DAYS: i64 = 60;

/// The days before its end from which on a host's certificate is critical: a month, which vSphere 6.0 called imminent.
///
/// ```
/// use vsphere_ops::diagnosis::limits::CERTIFICATE_CRITICAL_DAYS;
///
/// let is_critical = |days_left: i64| days_left < CERTIFICATE_CRITICAL_DAYS;
/// ```
pub const CERTIFICATE_CRITICAL_DAYS: i64 = 30;

/// The days before its end from which on a licence is a warning. This is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::LICENCE_WARNING_DAYS;
///
/// let is_warned = |days_left: i64| days_left < LICENCE_WARNING_DAYS;
/// ```
pub const LICENCE_WARNING_DAYS: i64 = 30;

/// The days before its end from which on a licence is critical: hosts whose licence has ended disconnect from vCenter. The
/// number is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::LICENCE_CRITICAL_DAYS;
///
/// let is_critical = |days_left: i64| days_left < LICENCE_CRITICAL_DAYS;
/// ```
pub const LICENCE_CRITICAL_DAYS: i64 = 7;

/// How far back failed tasks are looked for. This is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::TASKS;
///
/// assert_eq!(TASKS.as_secs(), 24 * 3600);
/// ```
pub const TASKS: Duration = Duration::from_secs(24 * 3600);

/// How many virtual CPUs may run for each core. From one to three is no problem, from three to five may begin to slow VMs down
/// ("Best Practices for Oversubscription of CPU, Memory and Storage in vSphere Virtual Environments", Dell and VMware); four
/// is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::VCPUS_PER_CORE;
///
/// let vcpus_that_may_run = |cores: i64| cores * VCPUS_PER_CORE;
/// ```
pub const VCPUS_PER_CORE: i64 = 4;

/// The MHz that admission control of HA counts for a VM without a reservation: the default of `das.vmcpuminmhz` (vSphere
/// Availability).
///
/// ```
/// use vsphere_ops::diagnosis::limits::HA_VM_MHZ;
///
/// let reserved = |reservation: Option<i64>| reservation.unwrap_or(HA_VM_MHZ);
/// ```
pub const HA_VM_MHZ: i64 = 32;

/// How long a VM is off before it could be tidied: as long as a vCenter keeps events by default (30 days), so that a power-off is
/// known where there was one.
///
/// ```
/// use vsphere_ops::diagnosis::limits::OFF;
///
/// assert_eq!(OFF.num_days(), 30);
/// ```
pub const OFF: TimeDelta = TimeDelta::days(30);

/// The percentage of its CPUs below which a VM is idle. This is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::IDLE_PERCENT;
///
/// let is_idle = |used_mhz: i64, limit_mhz: i64| used_mhz * 100 < limit_mhz * IDLE_PERCENT;
/// ```
pub const IDLE_PERCENT: i64 = 1;

/// The percentage of its CPUs that a VM never reached in a half hour of a week, where it is idle. This is a choice of this
/// library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::{IDLE_PEAK_PERCENT, OVERSIZED_PERCENT};
///
/// assert!(IDLE_PEAK_PERCENT < OVERSIZED_PERCENT);
/// ```
pub const IDLE_PEAK_PERCENT: f64 = 5.0;

/// How long a VM runs before it can be idle or oversized. This is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::IDLE_UPTIME;
///
/// assert_eq!(IDLE_UPTIME.num_days(), 7);
/// ```
pub const IDLE_UPTIME: TimeDelta = TimeDelta::days(7);

/// The percentage of its CPUs or of its memory that a VM never reached in a half hour of a week, where it is oversized. This is a
/// choice of this library: with half of what it has, it would still not have reached 40.
///
/// ```
/// use vsphere_ops::diagnosis::limits::OVERSIZED_PERCENT;
///
/// let is_low = |peak_percent: f64| peak_percent < OVERSIZED_PERCENT;
/// ```
pub const OVERSIZED_PERCENT: f64 = 20.0;

/// From how many virtual CPUs on a VM may be oversized. This is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::OVERSIZED_CPUS;
///
/// let has_some_to_give = |cpus: i32| cpus >= OVERSIZED_CPUS;
/// ```
pub const OVERSIZED_CPUS: i32 = 4;

/// From how many MiB of memory on a VM may be oversized. This is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::OVERSIZED_MEMORY_MB;
///
/// let has_some_to_give = |memory_mb: i64| memory_mb >= OVERSIZED_MEMORY_MB;
/// ```
pub const OVERSIZED_MEMORY_MB: i64 = 8192;

/// How many versions behind the newest of its cluster a VM's hardware is old. A release of ESXi brings about three (7.0 had
/// 17 to 19, 8.0 has 20 and 21); this many is a choice of this library, as VMware KB 1010675 wants an upgrade only where a
/// feature asks for it.
///
/// ```
/// use vsphere_ops::diagnosis::limits::HARDWARE_BEHIND;
///
/// let is_old = |version: u32, newest: u32| version + HARDWARE_BEHIND <= newest;
/// ```
pub const HARDWARE_BEHIND: u32 = 4;

/// How long contention lasts before it is a finding. The limits below are for means of five minutes, the unit of vCenter's
/// history, so that a peak of a few seconds does not count; twice that is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::SUSTAINED;
///
/// assert_eq!(SUSTAINED.num_minutes(), 10);
/// ```
pub const SUSTAINED: TimeDelta = TimeDelta::minutes(10);

/// The percentage of the time of each virtual CPU that it waits for a CPU of the host (`cpu.ready.summation`, by VMware KB
/// 2002181) from which on it is a warning. This is a choice of this library: half of what is critical.
///
/// ```
/// use vsphere_ops::diagnosis::limits::CPU_READY_WARNING;
///
/// let is_warned = |ready_ms: f64, interval_ms: f64, vcpus: f64| ready_ms * 100.0 / interval_ms / vcpus >= CPU_READY_WARNING;
/// assert!(is_warned(2000.0, 20_000.0, 2.0));
/// ```
pub const CPU_READY_WARNING: f64 = 5.0;

/// The same from which on it is critical: `%RDY` of 10 for each virtual CPU in the esxtop thresholds of D. Epping
/// (yellow-bricks.com/esxtop), after VMware KB 1017926.
///
/// ```
/// use vsphere_ops::diagnosis::limits::{CPU_READY_CRITICAL, CPU_READY_WARNING};
///
/// assert_eq!(CPU_READY_CRITICAL, 2.0 * CPU_READY_WARNING);
/// ```
pub const CPU_READY_CRITICAL: f64 = 10.0;

/// The percentage of the time of each virtual CPU that it waits for the other CPUs of its VM (`cpu.costop.summation`): `%CSTP` of
/// 3 in the esxtop thresholds.
///
/// ```
/// use vsphere_ops::diagnosis::limits::CPU_COSTOP;
///
/// let has_too_many_vcpus = |costop_percent: f64| costop_percent >= CPU_COSTOP;
/// ```
pub const CPU_COSTOP: f64 = 3.0;

/// The percentage of the time of each virtual CPU that a limit holds it back (`cpu.maxlimited.summation`). The esxtop thresholds
/// have `%MLMTD` above 0; 1, so that rounding alone does not count, is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::CPU_LIMITED;
///
/// let is_held_back = |limited_percent: f64| limited_percent >= CPU_LIMITED;
/// ```
pub const CPU_LIMITED: f64 = 1.0;

/// The CPU usage of a host or a VM in per cent from which on it is full: both are red in vCenter's default alarms "Host CPU
/// usage" and "Virtual machine CPU usage".
///
/// ```
/// use vsphere_ops::diagnosis::limits::CPU_USAGE;
///
/// let is_full = |usage_percent: f64| usage_percent >= CPU_USAGE;
/// ```
pub const CPU_USAGE: f64 = 90.0;

/// The memory usage of a host or a VM in per cent from which on it is full: red in vCenter's default alarms "Host memory usage"
/// and "Virtual machine memory usage".
///
/// ```
/// use vsphere_ops::diagnosis::limits::MEMORY_USAGE;
///
/// let is_full = |usage_percent: f64| usage_percent >= MEMORY_USAGE;
/// ```
pub const MEMORY_USAGE: f64 = 95.0;

/// The MB in balloons (`mem.vmmemctl.average`) from which on they are a finding: `MCTLSZ` of 1 in the esxtop thresholds.
///
/// ```
/// use vsphere_ops::diagnosis::limits::BALLOON_MB;
///
/// let has_to_give = |balloon_kb: f64| balloon_kb / 1024.0 >= BALLOON_MB;
/// ```
pub const BALLOON_MB: f64 = 1.0;

/// The KB a second that are read back from swap files (`mem.swapinRate.average`) from which on they are a finding: `SWR/s` of 1 in
/// the esxtop thresholds.
///
/// ```
/// use vsphere_ops::diagnosis::limits::SWAP_IN;
///
/// let waits_for_memory = |kb_per_second: f64| kb_per_second >= SWAP_IN;
/// ```
pub const SWAP_IN: f64 = 1.0;

/// The milliseconds that a request to storage takes from which on it is a warning: "20 ms or more" of VMware KB 1008205.
///
/// ```
/// use vsphere_ops::diagnosis::limits::LATENCY_WARNING;
///
/// let is_slow = |milliseconds: f64| milliseconds >= LATENCY_WARNING;
/// ```
pub const LATENCY_WARNING: f64 = 20.0;

/// The same from which on it is critical. This is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::LATENCY_CRITICAL;
///
/// let is_very_slow = |milliseconds: f64| milliseconds >= LATENCY_CRITICAL;
/// ```
pub const LATENCY_CRITICAL: f64 = 50.0;

/// The percentage of packets that are dropped from which on they are a finding: `%DRPRX` and `%DRPTX` of 1 in the esxtop
/// thresholds.
///
/// ```
/// use vsphere_ops::diagnosis::limits::DROPPED;
///
/// let loses_packets = |dropped: f64, packets: f64| dropped * 100.0 / packets >= DROPPED;
/// ```
pub const DROPPED: f64 = 1.0;

/// How far before contention began a change may have been its cause. This is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::CAUSE;
///
/// assert_eq!(CAUSE.num_hours(), 2);
/// ```
pub const CAUSE: TimeDelta = TimeDelta::hours(2);
