//! Clusters: what they are, their rules, and what DRS recommends for them.
//!
//! ```
//! use vsphere_ops::ListQuery;
//! use vsphere_ops::cluster::{self, ClusterQuery};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! for cluster in cluster::list(&client, &ClusterQuery::default()).await?.items {
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
mod list;
mod recommendation;
mod rule;
mod rule_change;

use serde::Serializer;
use vsphere_model::types::ManagedEntityStatus;

pub(crate) use info::ha;
pub use info::{
    Admission, AdmissionPolicy, Automation, ClusterCpu, ClusterDrs, ClusterHa, ClusterHost, ClusterInfo, ClusterMemory,
};
pub use list::{ClusterColumn, ClusterQuery, ClusterSummary, groups, list};
pub use recommendation::{Application, Applied, DrsFault, Migration, PastMove, Recommendation, Recommendations};
pub use rule::{DrsRule, RuleKind};
pub use rule_change::{DeletedRule, MadeRule, NewRule, RuleDeletion, RuleGroup};

/// Writes how well something is, as the API calls it.
pub(crate) fn word<S: Serializer>(status: &ManagedEntityStatus, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(status.as_str())
}
