//! What a VM is guaranteed, may use at most, and gets when not all get what they want.

use serde::Serialize;
use vsphere_model::types::{ResourceAllocationInfo, SharesLevel, VirtualMachineConfigInfo};

/// What a VM is given of CPU and memory. What is usual is absent: no reservation, no limit, and the shares of `normal`.
///
/// ```
/// use vsphere_ops::vm::VmResources;
///
/// fn is_held_back(resources: &VmResources) -> bool {
///     resources.cpu_limit_mhz.is_some() || resources.memory_limit_mb.is_some()
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmResources {
    /// CPU that is guaranteed to it, in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_reservation_mhz: Option<i64>,
    /// The most CPU that it may use, in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_limit_mhz: Option<i64>,
    /// Its shares of CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<i32>,
    /// `low`, `high` or `custom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares_level: Option<String>,
    /// Memory that is guaranteed to it, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation_mb: Option<i64>,
    /// The most memory of the host that it may use, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_mb: Option<i64>,
    /// Its shares of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_shares: Option<i32>,
    /// `low`, `high` or `custom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_shares_level: Option<String>,
    /// Whether all its memory is reserved, however much it is given.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub memory_reservation_locked: bool,
}

impl VmResources {
    pub(super) fn of(config: &VirtualMachineConfigInfo) -> Self {
        let (cpu, memory) = (config.cpu_allocation.as_deref(), config.memory_allocation.as_deref());
        let (cpu_shares, cpu_shares_level) = shares(cpu).unzip();
        let (memory_shares, memory_shares_level) = shares(memory).unzip();
        Self {
            cpu_reservation_mhz: reservation(cpu),
            cpu_limit_mhz: limit(cpu),
            cpu_shares,
            cpu_shares_level,
            memory_reservation_mb: reservation(memory),
            memory_limit_mb: limit(memory),
            memory_shares,
            memory_shares_level,
            memory_reservation_locked: config.memory_reservation_locked_to_max.unwrap_or(false),
        }
    }
}

fn reservation(given: Option<&ResourceAllocationInfo>) -> Option<i64> {
    given?.reservation.filter(|reservation| *reservation > 0)
}

/// The limit; -1 stands for none.
fn limit(given: Option<&ResourceAllocationInfo>) -> Option<i64> {
    given?.limit.filter(|limit| *limit >= 0)
}

/// The shares, where they are not the usual ones.
fn shares(given: Option<&ResourceAllocationInfo>) -> Option<(i32, String)> {
    let shares = given?.shares.as_deref()?;
    let is_usual = shares.level == SharesLevel::Normal || shares.level.as_str().is_empty();
    (!is_usual).then(|| (shares.shares, shares.level.as_str().to_owned()))
}
