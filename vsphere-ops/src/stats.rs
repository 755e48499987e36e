//! What a VM or a host uses right now: its quick statistics, and what was measured in the last minutes.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! use vsphere_ops::managed::VirtualMachine;
//!
//! let web = client.get::<VirtualMachine>("web-01").await?.stats().await?;
//! println!("{:?} MHz", web.cpu_usage_mhz);
//! for measured in web.realtime.iter().flat_map(|realtime| &realtime.counters) {
//!     println!("{} {} (at most {})", measured.name, measured.latest, measured.peak);
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! Quick statistics are what the server shows in its lists, and are some seconds old. What is measured comes every 20
//! seconds from the host. A counter that the server does not have, or has no value of, is left out: zero is a value.
//! For other counters, or for history, use [`performance`](crate::performance).

mod measures;

use serde::Serialize;
use vsphere_model::managed::{HostSystem, VirtualMachine, host_system as host, virtual_machine as vm};
use vsphere_model::types::{HostSystemConnectionState, VirtualMachinePowerState};

pub use measures::{Measured, Realtime};

use crate::error::Result;
use crate::find;
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::units::percent;
use crate::words::word;
use measures::Basis;

/// What a VM uses.
///
/// ```
/// use vsphere_ops::stats::VmStats;
///
/// fn is_short_of_memory(vm: &VmStats) -> bool {
///     vm.memory_ballooned_mb.unwrap_or(0) + vm.memory_swapped_mb.unwrap_or(0) > 0
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmStats {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The state.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// The name of its host.
    pub host: Option<String>,
    /// Virtual CPUs.
    pub cpu: Option<i32>,
    /// Configured memory in MiB.
    pub memory_mb: Option<i32>,
    /// Seconds since it was powered on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<i32>,
    /// CPU in use in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_usage_mhz: Option<i32>,
    /// CPU that it would use if nothing held it back, in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_demand_mhz: Option<i32>,
    /// Memory that the guest touches, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_active_mb: Option<i32>,
    /// Memory of the host that it takes, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_consumed_mb: Option<i32>,
    /// Memory that the balloon holds, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_ballooned_mb: Option<i32>,
    /// Memory that the host has swapped out, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swapped_mb: Option<i32>,
    /// The heartbeat of VMware Tools: `green`, `yellow`, `red`, or `gray` without Tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_heartbeat: Option<String>,
    /// What the host has measured in the last five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime: Option<Realtime>,
    /// Why there is nothing to measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What is not known of it, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// What a host uses.
///
/// ```
/// use vsphere_ops::stats::HostStats;
///
/// fn is_full(host: &HostStats) -> bool {
///     host.memory_usage_percent.is_some_and(|used| used > 90.0)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostStats {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// Whether vCenter reaches it.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub connection_state: HostSystemConnectionState,
    /// Whether it is in maintenance mode.
    pub maintenance_mode: bool,
    /// CPU cores.
    pub cpu_cores: Option<i16>,
    /// What all cores have together, in MHz.
    pub cpu_total_mhz: Option<i32>,
    /// Memory in MiB.
    pub memory_mb: Option<i64>,
    /// How many VMs are registered on it.
    pub vms: usize,
    /// Seconds since it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<i32>,
    /// CPU in use in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_usage_mhz: Option<i32>,
    /// The share of its CPUs that is in use.
    #[serde(serialize_with = "crate::units::two_digits_if_known", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub cpu_usage_percent: Option<f64>,
    /// Memory in use in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_usage_mb: Option<i32>,
    /// The share of its memory that is in use.
    #[serde(serialize_with = "crate::units::two_digits_if_known", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub memory_usage_percent: Option<f64>,
    /// What it has measured in the last five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime: Option<Realtime>,
    /// Why there is nothing to measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What is not known of it, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

impl Mo<VirtualMachine> {
    /// Reads what the VM uses. Of one that does not run there is little to say, and a note says so.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?.stats().await?;
    /// println!("up for {:?} s on {:?}; {}", web.uptime_seconds, web.host, web.note.unwrap_or_default());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, such as a VM that is gone.
    pub async fn stats(&self) -> Result<VmStats> {
        let client = self.client();
        let ((power_state, on_host, cpu, memory_mb, quick), mut gaps) =
            self.read_known((vm::POWER_STATE, vm::HOST, vm::NUM_CPU, vm::MEMORY_SIZE_MB, vm::QUICK_STATS)).await?;
        let runs = power_state == VirtualMachinePowerState::PoweredOn;
        let (realtime, note) = if runs {
            let basis = Basis::Vm { cpus: cpu.unwrap_or(1) };
            gaps.part(measures::COUNTERS, measures::of(client, self.reference(), &basis).await)
        } else {
            let state = word(&power_state);
            (None, Some(format!("it is {state}: nothing is measured of a VM that does not run")))
        };
        let host = match &on_host {
            Some(host) => {
                let mut names = gaps.part("the name of its host", find::names(client, [host.clone()]).await);
                Some(names.remove(&host.value).unwrap_or_else(|| host.value.clone()))
            }
            None => None,
        };
        // A VM that is off has zeros, which are no measurements.
        let quick = Some(quick).filter(|_| runs).unwrap_or_default();
        Ok(VmStats {
            name: self.label().to_owned(),
            id: self.id().to_owned(),
            power_state,
            host,
            cpu,
            memory_mb,
            uptime_seconds: quick.uptime_seconds,
            cpu_usage_mhz: quick.overall_cpu_usage,
            cpu_demand_mhz: quick.overall_cpu_demand,
            memory_active_mb: quick.guest_memory_usage,
            memory_consumed_mb: quick.host_memory_usage,
            memory_ballooned_mb: quick.ballooned_memory,
            memory_swapped_mb: quick.swapped_memory,
            guest_heartbeat: runs.then(|| quick.guest_heartbeat_status.as_str().to_owned()),
            realtime,
            note,
            gaps,
        })
    }
}

impl Mo<HostSystem> {
    /// Reads what the host uses.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?.stats().await?;
    /// println!("{:?} % of its CPUs, {:?} % of its memory", host.cpu_usage_percent, host.memory_usage_percent);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, such as a host that is gone.
    pub async fn stats(&self) -> Result<HostStats> {
        let ((connection_state, maintenance_mode, hardware, quick, vms), mut gaps) = self
            .read_known((
                host::CONNECTION_STATE,
                host::IN_MAINTENANCE_MODE,
                host::SUMMARY_HARDWARE,
                host::QUICK_STATS,
                host::VM,
            ))
            .await?;
        let connected = connection_state == HostSystemConnectionState::Connected;
        let (realtime, note) = if connected {
            gaps.part(measures::COUNTERS, measures::of(self.client(), self.reference(), &Basis::Host).await)
        } else {
            (None, Some(format!("it is {}: what it uses is not known", word(&connection_state))))
        };
        let quick = Some(quick).filter(|_| connected).unwrap_or_default();
        let cpu_total_mhz = hardware.as_ref().map(|hardware| i32::from(hardware.num_cpu_cores) * hardware.cpu_mhz);
        let memory_mb = hardware.as_ref().map(|hardware| hardware.memory_size >> 20);
        let cpu_usage_percent = |used: i32| percent(f64::from(used), f64::from(cpu_total_mhz?));
        #[allow(clippy::cast_precision_loss, reason = "a share in per cent is shown with two digits")]
        let memory_usage_percent = |used: i32| percent(f64::from(used), memory_mb? as f64);
        Ok(HostStats {
            name: self.label().to_owned(),
            id: self.id().to_owned(),
            connection_state,
            maintenance_mode,
            cpu_cores: hardware.as_ref().map(|hardware| hardware.num_cpu_cores),
            cpu_total_mhz,
            memory_mb,
            vms: vms.len(),
            uptime_seconds: quick.uptime,
            cpu_usage_mhz: quick.overall_cpu_usage,
            cpu_usage_percent: quick.overall_cpu_usage.and_then(cpu_usage_percent),
            memory_usage_mb: quick.overall_memory_usage,
            memory_usage_percent: quick.overall_memory_usage.and_then(memory_usage_percent),
            realtime,
            note,
            gaps,
        })
    }
}
