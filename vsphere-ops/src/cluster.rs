//! Clusters: what they are, their rules, and what DRS recommends for them.
//!
//! ```
//! use vsphere_ops::{ListQuery, cluster};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! for cluster in cluster::list(&client, &ListQuery::default()).await?.items {
//!     println!("{}: {} of {} hosts usable, DRS {:?}", cluster.name, cluster.usable_hosts, cluster.hosts, cluster.drs);
//! }
//! let prod = client.get::<vsphere_ops::managed::ClusterComputeResource>("prod-cluster").await?;
//! println!("{:?}", prod.info().await?.ha);
//! println!("{} rules", prod.rules(&ListQuery::default()).await?.total);
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```

mod conflict;
mod info;
mod recommendation;
mod rule;
mod rule_change;

use serde::{Serialize, Serializer};
use vsphere_model::managed::cluster_compute_resource as cluster;
use vsphere_model::types::{
    ClusterComputeResourceSummary, ClusterConfigInfoEx, ComputeResourceConfigInfo, ComputeResourceSummary,
    ManagedEntityStatus, ManagedObjectReference, ObjectContent, Poly,
};

use crate::client::Client;
use crate::error::Result;
use crate::find::{self, label};
use crate::gaps::Gaps;
use crate::page::{ByName, ListQuery, Page, Window};
use crate::read::Values;
use crate::vm::optional;

pub(crate) use info::ha;
pub use info::{
    Admission, AdmissionPolicy, Automation, ClusterCpu, ClusterDrs, ClusterHa, ClusterHost, ClusterInfo, ClusterMemory,
};
pub use recommendation::{Application, Applied, DrsFault, Migration, PastMove, Recommendation, Recommendations};
pub use rule::{DrsRule, RuleKind};
pub use rule_change::{DeletedRule, MadeRule, NewRule, RuleDeletion, RuleGroup};

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
}

/// Writes how well something is, as the API calls it.
pub(crate) fn word<S: Serializer>(status: &ManagedEntityStatus, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(status.as_str())
}

const SHOWN: [&str; 3] = ["name", cluster::SUMMARY.path(), cluster::CONFIGURATION_EX.path()];

/// Lists clusters, sorted by name. A host that is in no cluster is not among them.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::{ListQuery, cluster};
///
/// let page = cluster::list(&client, &ListQuery { limit: 20, ..Default::default() }).await?;
/// println!("{} of {} clusters", page.returned, page.total);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `invalid_argument` for a cursor that no list gave, and those of the server.
pub async fn list(client: &Client, query: &ListQuery) -> Result<Page<ClusterSummary>> {
    let glob = query.glob();
    let objects = find::scan(client, None, &[("ClusterComputeResource", &["name"])]).await?;
    let keys = objects.iter().map(ByName::of).filter(|key| glob.as_ref().is_none_or(|glob| glob.fits(&key.name)));
    let window = Window::of(keys, ByName::clone, query)?;
    let references = window.items.iter().map(|key| ManagedObjectReference::new("ClusterComputeResource", &key.id));
    let details = find::details(client, references, &SHOWN).await?;
    let gaps = Gaps::of(&details);
    let items = find::in_order(&window.items, details).map(summary).collect();
    Ok(Page { gaps, ..window.page(items) })
}

fn summary(content: ObjectContent) -> ClusterSummary {
    let name = label(&content);
    let id = content.obj.value;
    let mut values = Values::new(content.prop_set, content.missing_set);
    let known: Poly<ComputeResourceSummary> = optional(&mut values, cluster::SUMMARY.path()).unwrap_or_default();
    let config: Option<Poly<ComputeResourceConfigInfo>> = optional(&mut values, cluster::CONFIGURATION_EX.path());
    let config = config.as_ref().and_then(|config| config.downcast_ref::<ClusterConfigInfoEx>());
    // A server may leave out what is off.
    let ha = config.map(|config| config.das_config.enabled.unwrap_or(false));
    let own = known.downcast_ref::<ClusterComputeResourceSummary>();
    ClusterSummary {
        name,
        id,
        status: known.overall_status.clone(),
        hosts: known.num_hosts,
        usable_hosts: known.num_effective_hosts,
        cpu_cores: known.num_cpu_cores,
        cpu_mhz: known.total_cpu,
        memory_bytes: known.total_memory,
        drs: config.map(|config| config.drs_config.enabled.unwrap_or(false)),
        ha,
        failover_hosts: own.filter(|_| ha == Some(true)).map(|own| own.current_failover_level),
    }
}
