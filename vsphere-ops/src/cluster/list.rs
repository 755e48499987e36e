//! Lists of clusters.

use serde::Serialize;
use vsphere_model::managed::cluster_compute_resource as cluster;
use vsphere_model::types::{
    ClusterComputeResourceSummary, ClusterConfigInfoEx, ComputeResourceConfigInfo, ComputeResourceSummary,
    CustomFieldValue, ManagedEntityStatus, Poly,
};

use super::word;
use crate::client::Client;
use crate::columns::{
    self, Also, Asked, Beside, Cell, Cells, Column as _, Condition, Groups, Listed, Object, Order, Others, columns,
};
use crate::error::Result;
use crate::page::{ListQuery, Page};

const SUMMARY: &str = cluster::SUMMARY.path();
const CONFIGURATION: &str = cluster::CONFIGURATION_EX.path();
const PARENT: &str = "parent";
const DATASTORES: &str = "datastore";
const NETWORKS: &str = "network";
const CUSTOM_VALUES: &str = "customValue";

columns! {
    /// A column of a list of clusters.
    ///
    /// ```
    /// use vsphere_ops::cluster::ClusterColumn;
    /// use vsphere_ops::columns::Column;
    ///
    /// assert_eq!(ClusterColumn::named("evc")?, ClusterColumn::Evc);
    /// # Ok::<(), vsphere_ops::Error>(())
    /// ```
    ClusterColumn {
        /// The name.
        Name = "name", Text, ["name"], Itself;
        /// The managed object id.
        Id = "id", Text, [], Itself;
        /// The worst state of what is in it: `green`, `yellow`, `red` or `gray`.
        Status = "status", Text, [SUMMARY], Itself;
        /// How many hosts it has.
        Hosts = "hosts", Number, [SUMMARY], Itself;
        /// Those that are connected and not in maintenance mode.
        UsableHosts = "usable_hosts", Number, [SUMMARY], Itself;
        /// CPU cores of all hosts.
        CpuCores = "cpu_cores", Number, [SUMMARY], Itself;
        /// CPU of all hosts in MHz.
        CpuMhz = "cpu_mhz", Number, [SUMMARY], Itself;
        /// Memory of all hosts in bytes.
        MemoryBytes = "memory_bytes", Bytes, [SUMMARY], Itself;
        /// Whether DRS is on.
        Drs = "drs", Flag, [CONFIGURATION], Itself;
        /// Whether vSphere HA is on.
        Ha = "ha", Flag, [CONFIGURATION], Itself;
        /// How many hosts may fail while HA can still restart all VMs.
        FailoverHosts = "failover_hosts", Number, [SUMMARY, CONFIGURATION], Itself;
        /// The inventory path.
        Path = "path", Text, [PARENT], Above;
        /// CPU threads of all hosts.
        CpuThreads = "cpu_threads", Number, [SUMMARY], Itself;
        /// CPU of the usable hosts in MHz.
        UsableCpuMhz = "usable_cpu_mhz", Number, [SUMMARY], Itself;
        /// Memory of the usable hosts in MiB.
        UsableMemoryMb = "usable_memory_mb", Number, [SUMMARY], Itself;
        /// What VMs want of the CPU, in MHz.
        CpuDemandMhz = "cpu_demand_mhz", Number, [SUMMARY], Itself;
        /// What VMs want of the memory, in MiB.
        MemoryDemandMb = "memory_demand_mb", Number, [SUMMARY], Itself;
        /// VMs and templates.
        Vms = "vms", Number, [SUMMARY], Itself;
        /// How many of them are off.
        PoweredOffVms = "powered_off_vms", Number, [SUMMARY], Itself;
        /// How DRS acts: `manual`, `partiallyAutomated`, `fullyAutomated`.
        DrsAutomation = "drs_automation", Text, [CONFIGURATION], Itself;
        /// How well DRS finds its VMs placed, in per cent.
        DrsScore = "drs_score", Number, [SUMMARY], Itself;
        /// Whether HA keeps room for VMs of hosts that fail.
        AdmissionControl = "admission_control", Flag, [CONFIGURATION], Itself;
        /// The key of the EVC mode.
        Evc = "evc", Text, [SUMMARY], Itself;
        /// Whether its hosts share their disks by vSAN.
        Vsan = "vsan", Flag, [CONFIGURATION], Itself;
        /// The datastores of its hosts.
        Datastores = "datastores", Texts, [DATASTORES], Names;
        /// The networks of its hosts.
        Networks = "networks", Texts, [NETWORKS], Names;
        /// The values of its custom attributes.
        CustomAttributes = "custom_attributes", Texts, [CUSTOM_VALUES], Attributes;
        /// Its tags, as `category:tag`.
        Tags = "tags", Texts, [], Tags;
    }
    shown [Name, Id, Status, Hosts, UsableHosts, CpuCores, CpuMhz, MemoryBytes, Drs, Ha, FailoverHosts]
    searched [Name]
    summed [Hosts, CpuCores, MemoryBytes]
    untrusted [CustomAttributes]
}

impl Listed for ClusterColumn {
    const TYPES: &'static [&'static str] = &["ClusterComputeResource"];

    fn paths(self) -> &'static [&'static str] {
        self.paths()
    }

    fn beside(self) -> Beside {
        self.beside()
    }

    fn cell(self, object: &Object, others: &Others) -> Cell {
        let summary = || object.get::<Poly<ComputeResourceSummary>>(SUMMARY);
        let own = || summary()?.downcast_ref::<ClusterComputeResourceSummary>().cloned();
        let usage = || own()?.usage_summary;
        let config = || {
            let config = object.get::<Poly<ComputeResourceConfigInfo>>(CONFIGURATION)?;
            config.downcast_ref::<ClusterConfigInfoEx>().cloned()
        };
        // A server may leave out what is off.
        let drs = || config().map(|config| config.drs_config.enabled.unwrap_or(false));
        let ha = || config().map(|config| config.das_config.enabled.unwrap_or(false));
        let labels = |path: &str| {
            let all = object.references(path);
            others.labels(all.iter().map(|reference| reference.value.as_str()))
        };
        match self {
            Self::Name => Cell::Text(object.name.clone()),
            Self::Id => Cell::Text(object.reference.value.clone()),
            Self::Status => Cell::text(summary().map(|it| it.overall_status.to_string())),
            Self::Hosts => Cell::number(summary().map(|it| it.num_hosts)),
            Self::UsableHosts => Cell::number(summary().map(|it| it.num_effective_hosts)),
            Self::CpuCores => Cell::number(summary().map(|it| it.num_cpu_cores)),
            Self::CpuMhz => Cell::number(summary().map(|it| it.total_cpu)),
            Self::MemoryBytes => Cell::number(summary().map(|it| it.total_memory)),
            Self::Drs => Cell::flag(drs()),
            Self::Ha => Cell::flag(ha()),
            Self::FailoverHosts => {
                Cell::number(own().filter(|_| ha() == Some(true)).map(|own| own.current_failover_level))
            }
            Self::Path => others.path_in(object.reference(PARENT).as_deref(), &object.name),
            Self::CpuThreads => Cell::number(summary().map(|it| it.num_cpu_threads)),
            Self::UsableCpuMhz => Cell::number(summary().map(|it| it.effective_cpu)),
            Self::UsableMemoryMb => Cell::number(summary().map(|it| it.effective_memory)),
            Self::CpuDemandMhz => Cell::number(usage().map(|usage| usage.cpu_demand_mhz)),
            Self::MemoryDemandMb => Cell::number(usage().map(|usage| usage.mem_demand_mb)),
            Self::Vms => Cell::number(usage().map(|usage| usage.total_vm_count)),
            Self::PoweredOffVms => Cell::number(usage().map(|usage| usage.powered_off_vm_count)),
            Self::DrsAutomation => {
                let on = config().filter(|_| drs() == Some(true));
                Cell::text(on.and_then(|config| config.drs_config.default_vm_behavior).map(|it| it.to_string()))
            }
            Self::DrsScore => Cell::number(own().and_then(|own| own.drs_score)),
            Self::AdmissionControl => {
                let on = config().filter(|_| ha() == Some(true));
                Cell::flag(on.map(|config| config.das_config.admission_control_enabled.unwrap_or(false)))
            }
            Self::Evc => Cell::text(own().and_then(|own| own.current_evc_mode_key)),
            Self::Vsan => {
                let vsan =
                    config().map(|config| config.vsan_config_info.and_then(|vsan| vsan.enabled).unwrap_or(false));
                Cell::flag(vsan)
            }
            Self::Datastores => labels(DATASTORES),
            Self::Networks => labels(NETWORKS),
            Self::CustomAttributes => {
                others.attributes(&object.get::<Vec<Poly<CustomFieldValue>>>(CUSTOM_VALUES).unwrap_or_default())
            }
            Self::Tags => others.tags(&object.reference.value),
        }
    }
}

/// Which clusters to list, and what of them.
///
/// ```
/// use vsphere_ops::cluster::{ClusterColumn, ClusterQuery};
///
/// let query = ClusterQuery {
///     conditions: vec!["ha=false".parse()?],
///     columns: vec![ClusterColumn::Evc, ClusterColumn::Vms],
///     ..Default::default()
/// };
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ClusterQuery {
    /// The page that is wanted, and a glob on the name.
    pub page: ListQuery,
    /// Only those with this text in their name. Case does not matter.
    pub find: Option<String>,
    /// Only those for which all of these hold.
    pub conditions: Vec<Condition<ClusterColumn>>,
    /// The order, in place of that by name.
    pub order: Option<Order<ClusterColumn>>,
    /// What is shown besides.
    pub columns: Vec<ClusterColumn>,
}

impl ClusterQuery {
    fn asked(&self) -> Asked<'_, ClusterColumn> {
        Asked::new(&self.page, self.find.as_deref(), &self.conditions, self.order, &self.columns)
    }
}

/// A cluster in a list.
///
/// ```
/// use vsphere_ops::cluster::ClusterSummary;
///
/// fn survives_a_host(cluster: &ClusterSummary) -> bool {
///     cluster.ha == Some(true) && cluster.failover_hosts.is_some_and(|hosts| hosts > 0)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterSummary {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The worst state of what is in it: `green`, `yellow`, `red` or `gray` (unknown).
    #[serde(serialize_with = "word")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub status: ManagedEntityStatus,
    /// Its hosts.
    pub hosts: i32,
    /// Those that are connected and not in maintenance mode.
    pub usable_hosts: i32,
    /// CPU cores of all hosts.
    pub cpu_cores: i16,
    /// CPU of all hosts in MHz.
    pub cpu_mhz: i32,
    /// Memory of all hosts in bytes.
    pub memory_bytes: i64,
    /// Whether DRS is on.
    pub drs: Option<bool>,
    /// Whether vSphere HA is on.
    pub ha: Option<bool>,
    /// How many hosts may fail while HA can still restart all VMs. Unset without HA.
    pub failover_hosts: Option<i32>,
    /// What was asked for besides.
    #[serde(flatten)]
    pub columns: Cells<ClusterColumn>,
}

/// Lists clusters, sorted by name unless another order is asked for. A host that is in no cluster is not among them.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::ListQuery;
/// use vsphere_ops::cluster::{self, ClusterQuery};
///
/// let page = cluster::list(&client, &ClusterQuery { page: ListQuery::first(20), ..Default::default() }).await?;
/// println!("{} of {} clusters", page.returned, page.total);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `invalid_argument` for a cursor that no list gave, and those of the server.
pub async fn list(client: &Client, query: &ClusterQuery) -> Result<Page<ClusterSummary>> {
    let asked = query.asked();
    let found = columns::list(client, None, &asked, &Also::ALL, ClusterColumn::SHOWN).await?;
    let items = found.objects.iter().map(|object| {
        let known: Poly<ComputeResourceSummary> = object.get(SUMMARY).unwrap_or_default();
        let cell = |column: ClusterColumn| column.cell(object, &found.others);
        ClusterSummary {
            name: object.name.clone(),
            id: object.reference.value.clone(),
            status: known.overall_status.clone(),
            hosts: known.num_hosts,
            usable_hosts: known.num_effective_hosts,
            cpu_cores: known.num_cpu_cores,
            cpu_mhz: known.total_cpu,
            memory_bytes: known.total_memory,
            drs: cell(ClusterColumn::Drs).as_flag(),
            ha: cell(ClusterColumn::Ha).as_flag(),
            failover_hosts: cell(ClusterColumn::FailoverHosts).as_number().and_then(|hosts| hosts.try_into().ok()),
            columns: asked.cells(cell),
        }
    });
    let items = items.collect();
    Ok(Page { gaps: found.gaps, ..found.window.page(items) })
}

/// How many clusters have which value in a column, with the sums of their hosts, cores and memory. The page of the query does not matter,
/// nor do its order and columns.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::cluster::{ClusterColumn, groups};
///
/// for group in groups(&client, &Default::default(), ClusterColumn::Drs).await?.groups {
///     println!("DRS {:?}: {} clusters with {:?} hosts", group.value, group.count, group.sums.get("hosts"));
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// As [`list`].
pub async fn groups(client: &Client, query: &ClusterQuery, column: ClusterColumn) -> Result<Groups> {
    columns::groups(client, None, &query.asked(), &Also::ALL, column).await
}
