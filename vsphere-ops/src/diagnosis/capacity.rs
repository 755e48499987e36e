//! What a cluster has room for, and by which rule.

use std::collections::HashMap;

use serde::Serialize;
use vsphere_model::managed::{
    ClusterComputeResource, ResourcePool, cluster_compute_resource as cluster, resource_pool,
};
use vsphere_model::types::{
    ClusterComputeResourceSummary, ClusterConfigInfoEx, DatastoreSummary, HostHardwareSummary,
    HostListSummaryQuickStats, HostSystemConnectionState, HostSystemPowerState, ManagedObjectReference,
    ResourcePoolRuntimeInfo, VirtualMachinePowerState,
};

use super::limits;
use super::seen::Seen;
use crate::cluster::{Admission, AdmissionPolicy, ClusterHost, ha};
use crate::error::{Result, invalid};
use crate::find;
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::read::{self, Source};

const HOST: &[&str] = &[
    "name",
    "runtime.connectionState",
    "runtime.powerState",
    "runtime.inMaintenanceMode",
    "summary.hardware",
    "summary.quickStats",
    "datastore",
];

const VM: &[&str] =
    &["name", "runtime.powerState", "config.template", "config.hardware.numCPU", "config.hardware.memoryMB"];

/// VMs that are to find room, each of this size.
///
/// ```
/// use vsphere_ops::diagnosis::Workload;
///
/// let ten = Workload { vms: 10, cpus: 4, memory_bytes: 16 << 30 };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Workload {
    /// How many.
    pub vms: i64,
    /// Virtual CPUs of each.
    pub cpus: i64,
    /// Memory of each, in bytes.
    pub memory_bytes: i64,
}

/// What a cluster has, what of it is taken, and what it has room for.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::diagnosis::{Capacity, Workload};
/// use vsphere_ops::managed::ClusterComputeResource;
///
/// let prod = client.get::<ClusterComputeResource>("prod-cluster").await?;
/// let ten = Workload { vms: 10, cpus: 4, memory_bytes: 16 << 30 };
/// let capacity: Capacity = prod.capacity(Some(ten), Some(1)).await?;
/// for rule in &capacity.rules {
///     println!("{:?}: {} of {} taken, room for {:?} more", rule.rule, rule.taken, rule.limit, rule.more_vms);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Capacity {
    /// The cluster's name.
    pub name: String,
    /// Its managed object id.
    pub id: String,
    /// All its hosts.
    pub hosts: usize,
    /// Those that are connected, on, and out of maintenance mode.
    pub usable_hosts: usize,
    /// How many of these are taken to fail: the largest ones.
    pub host_failures: usize,
    /// The CPUs of the usable hosts.
    pub cpu: CpuCapacity,
    /// The memory of the usable hosts.
    pub memory: MemoryCapacity,
    /// What admission control of HA keeps free; unset where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
    /// What that comes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_free: Option<KeptFree>,
    /// What the VMs were asked to find room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// Whether they have room by every rule that could be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fits: Option<bool>,
    /// The rules, the one that leaves least room first.
    pub rules: Vec<Room>,
    /// The accessible datastores that all usable hosts share, the one with most free space first.
    pub shared_datastores: Vec<SharedDatastore>,
    /// What could not be read, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// CPUs of usable hosts, and what of them is taken.
///
/// ```
/// use vsphere_ops::diagnosis::CpuCapacity;
///
/// fn cpus_per_core(cpu: &CpuCapacity) -> f64 {
///     cpu.running_vcpus as f64 / cpu.cores as f64
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CpuCapacity {
    /// Cores.
    pub cores: i64,
    /// All cores together, in MHz.
    pub total_mhz: i64,
    /// What is used now, in MHz.
    pub used_mhz: i64,
    /// What VMs and pools have reserved, in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_mhz: Option<i64>,
    /// Virtual CPUs of VMs that are powered on.
    pub running_vcpus: i64,
    /// Virtual CPUs of all VMs, templates apart.
    pub configured_vcpus: i64,
}

/// Memory of usable hosts, and what of it is taken.
///
/// ```
/// use vsphere_ops::diagnosis::MemoryCapacity;
///
/// fn is_overcommitted(memory: &MemoryCapacity) -> bool {
///     memory.running_bytes > memory.total_bytes
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemoryCapacity {
    /// All of it, in bytes.
    pub total_bytes: i64,
    /// What the hosts use now, in bytes.
    pub used_bytes: i64,
    /// What VMs and pools have reserved, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_bytes: Option<i64>,
    /// Memory of VMs that are powered on, as it is configured, in bytes.
    pub running_bytes: i64,
    /// The same of all VMs, templates apart.
    pub configured_bytes: i64,
}

/// What HA keeps free for the VMs of hosts that fail.
///
/// ```
/// use vsphere_ops::diagnosis::KeptFree;
///
/// fn line(kept: &KeptFree) -> String {
///     format!("{} MHz and {} bytes", kept.cpu_mhz, kept.memory_bytes)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeptFree {
    /// CPU in MHz.
    pub cpu_mhz: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
}

/// A datastore that all usable hosts of a cluster have.
///
/// ```
/// use vsphere_ops::diagnosis::SharedDatastore;
///
/// fn has_room(datastore: &SharedDatastore, bytes: i64) -> bool {
///     datastore.free_bytes > bytes
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SharedDatastore {
    /// Its name.
    pub name: String,
    /// Its managed object id.
    pub id: String,
    /// What is free, in bytes.
    pub free_bytes: i64,
    /// What there is, in bytes.
    pub capacity_bytes: i64,
}

/// By which rule there is room.
///
/// ```
/// use vsphere_ops::diagnosis::RoomRule;
///
/// assert_eq!(serde_json::to_value(RoomRule::MemoryConfigured).unwrap(), "memory_configured");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RoomRule {
    /// All memory that running VMs are configured with is there, in bytes, so that none is swapped or ballooned.
    MemoryConfigured,
    /// No more virtual CPUs run than four for each core ([`limits::VCPUS_PER_CORE`]).
    VcpusPerCore,
    /// What is used of the CPUs now is there, in MHz. It says nothing of VMs that come.
    CpuUsed,
    /// Reservations of CPU have room beside what HA keeps free, in MHz. A VM without one counts as 32 MHz
    /// ([`limits::HA_VM_MHZ`]).
    CpuReserved,
    /// Reservations of memory have room beside what HA keeps free, in bytes. A VM without one counts as its overhead, which only the
    /// server knows.
    MemoryReserved,
    /// The largest host that is left can run one such VM: threads of its CPUs.
    LargestHostCpu,
    /// The same for its memory, in bytes.
    LargestHostMemory,
}

/// What room a rule leaves.
///
/// ```
/// use vsphere_ops::diagnosis::Room;
///
/// fn left(room: &Room) -> i64 {
///     room.limit - room.taken
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Room {
    /// The rule.
    pub rule: RoomRule,
    /// What may be taken after the hosts have failed.
    pub limit: i64,
    /// What is taken.
    pub taken: i64,
    /// For how many VMs of the workload there is room; unset where the rule does not depend on them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_vms: Option<i64>,
    /// Whether it holds, with the workload where there is one.
    pub fits: bool,
}

impl Room {
    /// A rule of which each VM of the workload takes so much.
    fn new(rule: RoomRule, limit: i64, taken: i64, each: Option<(i64, i64)>) -> Self {
        let left = limit.saturating_sub(taken);
        match each {
            Some((vms, each)) => {
                let more = left.max(0).checked_div(each.max(0)).unwrap_or(if left >= 0 { i64::MAX } else { 0 });
                let more_vms = if left < 0 { 0 } else { more };
                Self { rule, limit, taken, more_vms: Some(more_vms), fits: left >= 0 && more_vms >= vms }
            }
            None => Self { rule, limit, taken, more_vms: None, fits: left >= 0 },
        }
    }
}

/// What counts of a usable host.
struct Host {
    mhz: i64,
    cores: i64,
    threads: i64,
    memory: i64,
    used_mhz: i64,
    used_bytes: i64,
    datastores: Vec<ManagedObjectReference>,
}

impl Mo<ClusterComputeResource> {
    /// What the cluster has, what of it is taken, and what it has room for once its largest hosts have failed: as many as are
    /// given, else as HA is to survive.
    ///
    /// # Errors
    /// `invalid` for a workload without VMs, CPUs or memory, and server errors, such as a cluster that is gone. What can be left
    /// out is in the gaps.
    pub async fn capacity(&self, workload: Option<Workload>, host_failures: Option<usize>) -> Result<Capacity> {
        let operation = "reckon the capacity";
        if workload.is_some_and(|work| work.vms < 1 || work.cpus < 1 || work.memory_bytes < 1) {
            let text = "a workload has at least one VM with a CPU and memory";
            return Err(invalid(operation, text).on(self.label()));
        }
        let client = self.client();
        let ((summary, config, hosts, pool), mut gaps) = self
            .read_known((cluster::SUMMARY, cluster::CONFIGURATION_EX, cluster::HOST, cluster::RESOURCE_POOL))
            .await?;
        let container = Some(self.reference().clone());
        let paths = VM.iter().map(|path| (*path).to_owned()).collect();
        let view = Source::View { container, types: vec![("VirtualMachine", paths)] };
        let (hosts, vms, reserved) =
            futures::join!(find::details(client, hosts, HOST), read::at_once(client, view), async {
                let pool: Mo<ResourcePool> = Mo::new(client, pool.as_ref()?, None);
                Some(pool.read(resource_pool::RUNTIME).await)
            },);
        let (hosts, vms) = (hosts?, vms?);
        gaps.append(Gaps::of(&hosts));
        gaps.append(Gaps::of(&vms));
        let reserved: Option<ResourcePoolRuntimeInfo> = match reserved {
            Some(Ok(runtime)) => Some(runtime),
            Some(Err(error)) => {
                gaps.lacks("what is reserved", error.to_string());
                None
            }
            None => {
                gaps.lacks("what is reserved", "the server does not tell the cluster's own resource pool");
                None
            }
        };

        let mut named = Vec::new();
        let mut usable: HashMap<String, Host> = HashMap::new();
        for content in hosts {
            let mut seen = Seen::new(content);
            let (about, host) = look(&mut seen, &mut gaps);
            named.push(about);
            if let Some(host) = host {
                usable.insert(seen.reference.value.clone(), host);
            }
        }
        let (mut cpu, mut memory) = taken(vms.into_iter().map(Seen::new), &mut gaps);
        let sum = |of: fn(&Host) -> i64| usable.values().map(of).sum::<i64>();
        (cpu.cores, cpu.total_mhz, cpu.used_mhz) =
            (sum(|host| host.cores), sum(|host| host.mhz), sum(|host| host.used_mhz));
        (memory.total_bytes, memory.used_bytes) = (sum(|host| host.memory), sum(|host| host.used_bytes));
        cpu.reserved_mhz = reserved.as_ref().map(|runtime| runtime.cpu.reservation_used);
        memory.reserved_bytes = reserved.as_ref().map(|runtime| runtime.memory.reservation_used);

        let config = config.downcast_ref::<ClusterConfigInfoEx>();
        let own = summary.downcast_ref::<ClusterComputeResourceSummary>();
        let admission = ha(config, own, &named).admission;
        let host_failures = host_failures.unwrap_or_else(|| {
            let hosts = admission.as_ref().and_then(|admission| admission.failover_hosts);
            hosts.and_then(|hosts| usize::try_from(hosts).ok()).unwrap_or(0)
        });
        let kept_free = admission.as_ref().and_then(|admission| kept_free(admission, &usable, &cpu, &memory));
        if admission.is_some() && kept_free.is_none() {
            gaps.lacks("what HA keeps free", "the policy does not say, or is not known");
        }
        let mut rules = rules(&usable, host_failures, workload, &cpu, &memory, kept_free.as_ref());
        rules.sort_by_key(|room| (room.more_vms.unwrap_or(if room.fits { i64::MAX } else { -1 }), room.rule));
        let shared_datastores = self.shared(&usable, &mut gaps).await;
        Ok(Capacity {
            name: self.label().to_owned(),
            id: self.id().to_owned(),
            hosts: named.len(),
            usable_hosts: usable.len(),
            host_failures,
            cpu,
            memory,
            admission,
            kept_free,
            workload,
            fits: workload.map(|_| rules.iter().all(|room| room.fits)),
            rules,
            shared_datastores,
            gaps,
        })
    }

    /// The accessible datastores that all usable hosts have.
    async fn shared(&self, usable: &HashMap<String, Host>, gaps: &mut Gaps) -> Vec<SharedDatastore> {
        let Some(first) = usable.values().next() else { return Vec::new() };
        let by_all = |datastore: &&ManagedObjectReference| {
            usable.values().all(|host| host.datastores.iter().any(|other| other.value == datastore.value))
        };
        let shared: Vec<ManagedObjectReference> = first.datastores.iter().filter(by_all).cloned().collect();
        let contents = find::details(self.client(), shared, &["name", "summary"]).await;
        let contents = gaps.part("shared datastores", contents);
        gaps.append(Gaps::of(&contents));
        let row = |content| {
            let mut seen = Seen::new(content);
            let summary: DatastoreSummary = seen.take("summary")?;
            summary.accessible.then_some(SharedDatastore {
                name: seen.subject.name,
                id: seen.subject.id,
                free_bytes: summary.free_space,
                capacity_bytes: summary.capacity,
            })
        };
        let mut shared: Vec<SharedDatastore> = contents.into_iter().filter_map(row).collect();
        shared.sort_by(|one, other| (-one.free_bytes, &one.name).cmp(&(-other.free_bytes, &other.name)));
        shared
    }
}

/// A host as reports name it, and what counts of it where VMs can run on it.
fn look(seen: &mut Seen, gaps: &mut Gaps) -> (ClusterHost, Option<Host>) {
    let state: Option<HostSystemConnectionState> = seen.take("runtime.connectionState");
    let on = seen.take::<HostSystemPowerState>("runtime.powerState") == Some(HostSystemPowerState::PoweredOn);
    let maintenance_mode = seen.take("runtime.inMaintenanceMode").unwrap_or(false);
    let is_usable = on && !maintenance_mode && state == Some(HostSystemConnectionState::Connected);
    let about = ClusterHost {
        name: seen.subject.name.clone(),
        id: seen.subject.id.clone(),
        connection_state: state.unwrap_or_default(),
        maintenance_mode,
    };
    if !is_usable {
        return (about, None);
    }
    let Some(hardware) = seen.take::<HostHardwareSummary>("summary.hardware") else {
        gaps.lacks(
            &format!("the hardware of {}", about.name),
            "the server does not tell it, and it counts for nothing",
        );
        return (about, None);
    };
    let stats: HostListSummaryQuickStats = seen.take("summary.quickStats").unwrap_or_default();
    let cores = i64::from(hardware.num_cpu_cores);
    let host = Host {
        mhz: cores * i64::from(hardware.cpu_mhz),
        cores,
        threads: i64::from(hardware.num_cpu_threads),
        memory: hardware.memory_size,
        used_mhz: stats.overall_cpu_usage.unwrap_or(0).into(),
        used_bytes: i64::from(stats.overall_memory_usage.unwrap_or(0)) << 20,
        datastores: seen.take("datastore").unwrap_or_default(),
    };
    (about, Some(host))
}

/// What VMs take as they are configured.
fn taken(vms: impl Iterator<Item = Seen>, gaps: &mut Gaps) -> (CpuCapacity, MemoryCapacity) {
    let (mut cpu, mut memory) = (CpuCapacity::default(), MemoryCapacity::default());
    let mut unknown = 0;
    for mut vm in vms {
        let cpus: Option<i32> = vm.take("config.hardware.numCPU");
        let megabytes: Option<i32> = vm.take("config.hardware.memoryMB");
        if vm.take("config.template") == Some(true) {
            continue;
        }
        let (Some(cpus), Some(megabytes)) = (cpus, megabytes) else {
            unknown += usize::from(!vm.is_refused("config.hardware.numCPU"));
            continue;
        };
        let (cpus, bytes) = (i64::from(cpus), i64::from(megabytes) << 20);
        cpu.configured_vcpus += cpus;
        memory.configured_bytes += bytes;
        if vm.take::<VirtualMachinePowerState>("runtime.powerState") == Some(VirtualMachinePowerState::PoweredOn) {
            cpu.running_vcpus += cpus;
            memory.running_bytes += bytes;
        }
    }
    if unknown > 0 {
        gaps.lacks(
            &format!("the sizes of VMs ({unknown})"),
            "the server does not tell them, and they count for nothing",
        );
    }
    (cpu, memory)
}

/// What of the hosts a policy keeps free.
fn kept_free(
    admission: &Admission,
    usable: &HashMap<String, Host>,
    cpu: &CpuCapacity,
    memory: &MemoryCapacity,
) -> Option<KeptFree> {
    match admission.policy {
        AdmissionPolicy::Percentage => Some(KeptFree {
            cpu_mhz: cpu.total_mhz * i64::from(admission.cpu_percent?) / 100,
            memory_bytes: percent(memory.total_bytes, admission.memory_percent?),
        }),
        AdmissionPolicy::Slots => {
            let hosts = usize::try_from(admission.failover_hosts?).ok()?;
            Some(KeptFree {
                cpu_mhz: largest(usable, hosts, |host| host.mhz),
                memory_bytes: largest(usable, hosts, |host| host.memory),
            })
        }
        AdmissionPolicy::DedicatedHosts => {
            let standby = || admission.standby_hosts.iter().filter_map(|host| usable.get(&host.id));
            Some(KeptFree {
                cpu_mhz: standby().map(|host| host.mhz).sum(),
                memory_bytes: standby().map(|host| host.memory).sum(),
            })
        }
        AdmissionPolicy::Other => None,
    }
}

fn percent(of: i64, percent: i32) -> i64 {
    i64::try_from(i128::from(of) * i128::from(percent) / 100).unwrap_or(of)
}

/// What the hosts that have most of it have together.
fn largest(usable: &HashMap<String, Host>, hosts: usize, of: fn(&Host) -> i64) -> i64 {
    let mut sizes: Vec<i64> = usable.values().map(of).collect();
    sizes.sort_unstable_by(|one, other| other.cmp(one));
    sizes.iter().take(hosts).sum()
}

/// The rules, after the largest hosts have failed.
fn rules(
    usable: &HashMap<String, Host>,
    failures: usize,
    workload: Option<Workload>,
    cpu: &CpuCapacity,
    memory: &MemoryCapacity,
    kept: Option<&KeptFree>,
) -> Vec<Room> {
    let left = |total: i64, of: fn(&Host) -> i64| total - largest(usable, failures, of);
    // The largest that is left is the one after those that failed.
    let next = |of: fn(&Host) -> i64| largest(usable, failures + 1, of) - largest(usable, failures, of);
    let each = |of: fn(&Workload) -> i64| workload.as_ref().map(|work| (work.vms, of(work)));
    let (mhz, bytes) = (left(cpu.total_mhz, |host| host.mhz), left(memory.total_bytes, |host| host.memory));
    let cores = left(cpu.cores, |host| host.cores);
    let mut rules = vec![
        Room::new(RoomRule::MemoryConfigured, bytes, memory.running_bytes, each(|work| work.memory_bytes)),
        Room::new(RoomRule::VcpusPerCore, cores * limits::VCPUS_PER_CORE, cpu.running_vcpus, each(|work| work.cpus)),
        Room::new(RoomRule::CpuUsed, mhz, cpu.used_mhz, None),
    ];
    // Hosts that have failed already are what the room was kept for.
    let kept_mhz = kept.map_or(0, |kept| kept.cpu_mhz).max(cpu.total_mhz - mhz);
    let kept_bytes = kept.map_or(0, |kept| kept.memory_bytes).max(memory.total_bytes - bytes);
    if let Some(reserved) = cpu.reserved_mhz {
        let limit = cpu.total_mhz - kept_mhz;
        rules.push(Room::new(RoomRule::CpuReserved, limit, reserved, each(|_| limits::HA_VM_MHZ)));
    }
    if let Some(reserved) = memory.reserved_bytes {
        rules.push(Room::new(RoomRule::MemoryReserved, memory.total_bytes - kept_bytes, reserved, None));
    }
    if let Some(work) = workload {
        let one = |rule, limit, size| Room { rule, limit, taken: size, more_vms: None, fits: size <= limit };
        rules.push(one(RoomRule::LargestHostCpu, next(|host| host.threads), work.cpus));
        rules.push(one(RoomRule::LargestHostMemory, next(|host| host.memory), work.memory_bytes));
    }
    rules
}
