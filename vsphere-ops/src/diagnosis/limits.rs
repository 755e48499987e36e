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

/// How long a VM runs before it can be idle. This is a choice of this library.
///
/// ```
/// use vsphere_ops::diagnosis::limits::IDLE_UPTIME;
///
/// assert_eq!(IDLE_UPTIME.num_days(), 7);
/// ```
pub const IDLE_UPTIME: TimeDelta = TimeDelta::days(7);

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
