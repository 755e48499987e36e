//! All about one cluster.

use serde::Serialize;
use vsphere_model::managed::{ClusterComputeResource, cluster_compute_resource as cluster, host_system as host};
use vsphere_model::types::{
    ClusterComputeResourceSummary, ClusterConfigInfoEx, ClusterDasAdmissionControlInfo, ClusterDasConfigInfo,
    ClusterFailoverHostAdmissionControlPolicy, ClusterFailoverLevelAdmissionControlInfo,
    ClusterFailoverLevelAdmissionControlPolicy, ClusterFailoverResourcesAdmissionControlInfo,
    ClusterFailoverResourcesAdmissionControlPolicy, DrsBehavior, HostSystemConnectionState, ManagedEntityStatus,
    ManagedObjectReference, Poly,
};

use super::word;
use crate::client::Client;
use crate::error::Result;
use crate::find::{self, label};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::named::Named;
use crate::read::Values;
use crate::vm::optional;

/// All about one cluster.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::cluster::{Automation, ClusterInfo};
/// use vsphere_ops::managed::ClusterComputeResource;
///
/// let lab: ClusterInfo = client.get::<ClusterComputeResource>("lab-cluster").await?.info().await?;
/// assert_eq!((lab.hosts.len(), lab.drs.automation), (2, Some(Automation::Manual)));
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterInfo {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// The worst state of what is in it: `green`, `yellow`, `red` or `gray` (unknown).
    #[serde(serialize_with = "word")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub status: ManagedEntityStatus,
    /// Its hosts, by name.
    pub hosts: Vec<ClusterHost>,
    /// How many of them are connected and not in maintenance mode.
    pub usable_hosts: i32,
    /// Its CPUs.
    pub cpu: ClusterCpu,
    /// Its memory.
    pub memory: ClusterMemory,
    /// VMs and templates, where the server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vms: Option<i32>,
    /// How many of them are powered off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub powered_off_vms: Option<i32>,
    /// What balances the load.
    pub drs: ClusterDrs,
    /// What restarts the VMs of hosts that fail.
    pub ha: ClusterHa,
    /// The key of the EVC mode, by which hosts of different CPUs look the same to VMs; unset where EVC is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evc: Option<String>,
    /// Whether its hosts share their disks by vSAN.
    pub vsan: bool,
    /// How many datastores its hosts have.
    pub datastores: usize,
    /// How many networks its hosts have.
    pub networks: usize,
    /// What could not be read, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// A host of a cluster.
///
/// ```
/// use vsphere_ops::cluster::ClusterHost;
/// use vsphere_ops::types::HostSystemConnectionState::Connected;
///
/// fn takes_vms(host: &ClusterHost) -> bool {
///     host.connection_state == Connected && !host.maintenance_mode
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterHost {
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
}

/// The CPUs of a cluster.
///
/// ```
/// use vsphere_ops::cluster::ClusterCpu;
///
/// fn free_mhz(cpu: &ClusterCpu) -> Option<i32> {
///     Some(cpu.usable_mhz - cpu.demand_mhz?)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterCpu {
    /// Cores of all hosts.
    pub cores: i16,
    /// Threads of all hosts.
    pub threads: i16,
    /// All of it in MHz.
    pub total_mhz: i32,
    /// That of the usable hosts in MHz.
    pub usable_mhz: i32,
    /// What VMs want in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demand_mhz: Option<i32>,
    /// What is reserved for VMs that run, in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_mhz: Option<i32>,
}

/// The memory of a cluster.
///
/// ```
/// use vsphere_ops::cluster::ClusterMemory;
///
/// fn free_mb(memory: &ClusterMemory) -> Option<i64> {
///     Some(memory.usable_mb - i64::from(memory.demand_mb?))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterMemory {
    /// All of it in bytes.
    pub total_bytes: i64,
    /// That of the usable hosts in MiB.
    pub usable_mb: i64,
    /// What VMs want in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demand_mb: Option<i32>,
    /// What is reserved for VMs that run, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_mb: Option<i32>,
}

/// What DRS does by itself.
///
/// ```
/// use vsphere_ops::cluster::Automation;
///
/// assert_eq!(serde_json::to_string(&Automation::Partial).unwrap(), r#""partially_automated""#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Automation {
    /// It recommends where VMs start and move, and does neither.
    #[serde(rename = "manual")]
    Manual,
    /// It chooses where VMs start, and recommends moves.
    #[serde(rename = "partially_automated")]
    Partial,
    /// It chooses where VMs start, and moves them.
    #[serde(rename = "fully_automated")]
    Full,
}

impl Automation {
    pub(super) fn of(behavior: &DrsBehavior) -> Option<Self> {
        match behavior {
            DrsBehavior::Manual => Some(Self::Manual),
            DrsBehavior::PartiallyAutomated => Some(Self::Partial),
            DrsBehavior::FullyAutomated => Some(Self::Full),
            _ => None,
        }
    }
}

/// The DRS of a cluster.
///
/// ```
/// use vsphere_ops::cluster::{Automation, ClusterDrs};
///
/// fn moves_vms(drs: &ClusterDrs) -> bool {
///     drs.enabled && drs.automation == Some(Automation::Full)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterDrs {
    /// Whether it is on.
    pub enabled: bool,
    /// What it does by itself, unless a VM has its own setting.
    pub automation: Option<Automation>,
    /// How eagerly it moves VMs: from 1, only to keep rules, to 5, for slight gains.
    pub level: Option<i32>,
    /// How well the VMs get what they want, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<i32>,
    /// How many VMs have their own setting.
    pub overrides: usize,
    /// How many rules there are.
    pub rules: usize,
    /// How many moves it recommends at present.
    pub recommendations: usize,
}

/// The HA of a cluster.
///
/// ```
/// use vsphere_ops::cluster::ClusterHa;
///
/// fn survives_a_host(ha: &ClusterHa) -> bool {
///     ha.enabled && ha.admission.iter().any(|admission| admission.failover_hosts_now.is_some_and(|hosts| hosts > 0))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterHa {
    /// Whether it is on.
    pub enabled: bool,
    /// Whether it restarts VMs of hosts that fail; off for example while the network is worked on.
    pub host_monitoring: bool,
    /// What it does about guests that fail: `disabled`, `vm` or `vm_and_applications`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_monitoring: Option<String>,
    /// Which VMs it restarts first, unless a VM has its own setting: `lowest` to `highest`, or `disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_priority: Option<String>,
    /// What becomes of the VMs of a host that is cut off: `none`, `power_off` or `shutdown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation_response: Option<String>,
    /// What is kept free for the VMs of hosts that fail. Unset where VMs are started whether that is left or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
}

/// What admission control of HA keeps free.
///
/// ```
/// use vsphere_ops::cluster::{Admission, AdmissionPolicy};
///
/// fn is_by_slots(admission: &Admission) -> bool {
///     admission.policy == AdmissionPolicy::Slots
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Admission {
    /// How it is reckoned.
    pub policy: AdmissionPolicy,
    /// How many hosts may fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover_hosts: Option<i32>,
    /// How many hosts may fail now, as the server reckons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover_hosts_now: Option<i32>,
    /// Percentage of CPU that is kept free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<i32>,
    /// Percentage of CPU that is free now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent_now: Option<i32>,
    /// Percentage of memory that is kept free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<i32>,
    /// Percentage of memory that is free now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_percent_now: Option<i32>,
    /// Hosts that stand by for it, and run nothing else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub standby_hosts: Vec<Named>,
}

/// How admission control of HA reckons.
///
/// ```
/// use vsphere_ops::cluster::AdmissionPolicy;
///
/// assert_eq!(serde_json::to_string(&AdmissionPolicy::DedicatedHosts).unwrap(), r#""dedicated_hosts""#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AdmissionPolicy {
    /// By slots, each as large as the largest VM needs.
    Slots,
    /// By a percentage of all resources.
    Percentage,
    /// By hosts that stand by.
    DedicatedHosts,
    /// In a way that this crate does not know.
    Other,
}

impl Mo<ClusterComputeResource> {
    /// Reads all about the cluster.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::ClusterComputeResource;
    ///
    /// let prod = client.get::<ClusterComputeResource>("prod-cluster").await?.info().await?;
    /// println!("{} of {} hosts usable, admission {:?}", prod.usable_hosts, prod.hosts.len(), prod.ha.admission);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, such as a cluster that is gone.
    pub async fn info(&self) -> Result<ClusterInfo> {
        let client = self.client();
        let ((summary, config, hosts, datastores, networks, recommended), gaps) = self
            .read_known((
                cluster::SUMMARY,
                cluster::CONFIGURATION_EX,
                cluster::HOST,
                cluster::DATASTORE,
                cluster::NETWORK,
                cluster::RECOMMENDATION,
            ))
            .await?;
        let own = summary.downcast_ref::<ClusterComputeResourceSummary>();
        let config = config.downcast_ref::<ClusterConfigInfoEx>();
        let usage = own.and_then(|own| own.usage_summary.as_deref());
        let hosts = hosts_of(client, hosts).await?;
        Ok(ClusterInfo {
            name: self.label().to_owned(),
            id: self.id().to_owned(),
            path: self.path().await?,
            status: summary.overall_status.clone(),
            usable_hosts: summary.num_effective_hosts,
            cpu: ClusterCpu {
                cores: summary.num_cpu_cores,
                threads: summary.num_cpu_threads,
                total_mhz: summary.total_cpu,
                usable_mhz: summary.effective_cpu,
                demand_mhz: usage.map(|usage| usage.cpu_demand_mhz),
                reserved_mhz: usage.map(|usage| usage.cpu_reservation_mhz),
            },
            memory: ClusterMemory {
                total_bytes: summary.total_memory,
                usable_mb: summary.effective_memory,
                demand_mb: usage.map(|usage| usage.mem_demand_mb),
                reserved_mb: usage.map(|usage| usage.mem_reservation_mb),
            },
            vms: usage.map(|usage| usage.total_vm_count),
            powered_off_vms: usage.map(|usage| usage.powered_off_vm_count),
            drs: drs(config, own, recommended.len()),
            ha: ha(config, own, &hosts),
            evc: own.and_then(|own| own.current_evc_mode_key.clone()).filter(|key| !key.is_empty()),
            vsan: config.and_then(|config| config.vsan_config_info.as_ref()?.enabled).unwrap_or(false),
            datastores: datastores.len(),
            networks: networks.len(),
            hosts,
            gaps,
        })
    }
}

async fn hosts_of(client: &Client, hosts: Vec<ManagedObjectReference>) -> Result<Vec<ClusterHost>> {
    let shown = ["name", host::CONNECTION_STATE.path(), host::IN_MAINTENANCE_MODE.path()];
    let contents = find::details(client, hosts, &shown).await?;
    let mut hosts: Vec<ClusterHost> = contents
        .into_iter()
        .map(|content| {
            let (name, id) = (label(&content), content.obj.value.clone());
            let mut values = Values::new(content.prop_set, content.missing_set);
            ClusterHost {
                name,
                id,
                connection_state: optional(&mut values, host::CONNECTION_STATE.path()).unwrap_or_default(),
                maintenance_mode: optional(&mut values, host::IN_MAINTENANCE_MODE.path()).unwrap_or(false),
            }
        })
        .collect();
    hosts.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(hosts)
}

fn drs(
    config: Option<&ClusterConfigInfoEx>,
    own: Option<&ClusterComputeResourceSummary>,
    recommendations: usize,
) -> ClusterDrs {
    let drs = config.map(|config| &config.drs_config);
    // A server may leave out what is off.
    let enabled = drs.is_some_and(|drs| drs.enabled == Some(true));
    ClusterDrs {
        enabled,
        automation: drs.and_then(|drs| Automation::of(drs.default_vm_behavior.as_ref()?)).filter(|_| enabled),
        // The API counts from the most eager.
        level: drs.and_then(|drs| drs.vmotion_rate).filter(|_| enabled).map(|rate| 6 - rate),
        score: own.and_then(|own| own.drs_score).filter(|_| enabled),
        overrides: config.map_or(0, |config| config.drs_vm_config.len()),
        rules: config.map_or(0, |config| config.rule.len()),
        recommendations,
    }
}

pub(crate) fn ha(
    config: Option<&ClusterConfigInfoEx>,
    own: Option<&ClusterComputeResourceSummary>,
    hosts: &[ClusterHost],
) -> ClusterHa {
    let das = config.map(|config| &config.das_config);
    let enabled = das.is_some_and(|das| das.enabled == Some(true));
    let vms = das.filter(|_| enabled).and_then(|das| das.default_vm_settings.as_deref());
    let monitoring = |text: &str| match text {
        "vmMonitoringOnly" => "vm".to_owned(),
        "vmAndAppMonitoring" => "vm_and_applications".to_owned(),
        _ => "disabled".to_owned(),
    };
    let in_words = |text: &String| crate::words::word(text);
    ClusterHa {
        enabled,
        host_monitoring: enabled && das.is_some_and(|das| das.host_monitoring.as_deref() != Some("disabled")),
        vm_monitoring: das.filter(|_| enabled).and_then(|das| das.vm_monitoring.as_deref()).map(monitoring),
        restart_priority: vms.and_then(|vms| vms.restart_priority.as_ref()).map(in_words),
        isolation_response: vms.and_then(|vms| vms.isolation_response.as_ref()).map(in_words),
        admission: das
            .filter(|das| enabled && das.admission_control_enabled != Some(false))
            .map(|das| admission(das, own, hosts)),
    }
}

fn admission(
    das: &ClusterDasConfigInfo,
    own: Option<&ClusterComputeResourceSummary>,
    hosts: &[ClusterHost],
) -> Admission {
    let policy = das.admission_control_policy.as_ref();
    let now = own.and_then(|own| own.admission_control_info.as_ref());
    let by_level = now.and_then(|now: &Poly<ClusterDasAdmissionControlInfo>| {
        Some(now.downcast_ref::<ClusterFailoverLevelAdmissionControlInfo>()?.current_failover_level)
    });
    let mut admission = Admission {
        policy: AdmissionPolicy::Other,
        failover_hosts: das.failover_level,
        failover_hosts_now: by_level.or_else(|| own.map(|own| own.current_failover_level)),
        cpu_percent: None,
        cpu_percent_now: None,
        memory_percent: None,
        memory_percent_now: None,
        standby_hosts: Vec::new(),
    };
    let Some(policy) = policy else { return admission };
    if let Some(slots) = policy.downcast_ref::<ClusterFailoverLevelAdmissionControlPolicy>() {
        admission.policy = AdmissionPolicy::Slots;
        admission.failover_hosts = Some(slots.failover_level);
    } else if let Some(part) = policy.downcast_ref::<ClusterFailoverResourcesAdmissionControlPolicy>() {
        let now = now.and_then(|now| now.downcast_ref::<ClusterFailoverResourcesAdmissionControlInfo>());
        admission.policy = AdmissionPolicy::Percentage;
        admission.failover_hosts = part.failover_level;
        admission.cpu_percent = Some(part.cpu_failover_resources_percent);
        admission.memory_percent = Some(part.memory_failover_resources_percent);
        admission.cpu_percent_now = now.map(|now| now.current_cpu_failover_resources_percent);
        admission.memory_percent_now = now.map(|now| now.current_memory_failover_resources_percent);
    } else if let Some(dedicated) = policy.downcast_ref::<ClusterFailoverHostAdmissionControlPolicy>() {
        admission.policy = AdmissionPolicy::DedicatedHosts;
        admission.failover_hosts = dedicated.failover_level;
        let named = |reference: &ManagedObjectReference| {
            let host = hosts.iter().find(|host| host.id == reference.value);
            let name = host.map_or_else(|| reference.value.clone(), |host| host.name.clone());
            Named { name, id: reference.value.clone() }
        };
        admission.standby_hosts = dedicated.failover_hosts.iter().map(named).collect();
    }
    admission
}
