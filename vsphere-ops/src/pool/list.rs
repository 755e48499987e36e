//! Lists of resource pools.

use std::collections::HashMap;

use serde::Serialize;
use vsphere_model::managed::resource_pool as pool;
use vsphere_model::types::{ManagedObjectReference, ResourceConfigSpec, ResourcePoolRuntimeInfo};

use super::Limit;
use crate::client::Client;
use crate::error::Result;
use crate::find::{self, Ancestry, label};
use crate::gaps::Gaps;
use crate::page::{ByName, ListQuery, Page, Window};
use crate::read::Values;
use crate::vm::optional;

/// A resource pool in a list.
///
/// ```
/// use vsphere_ops::pool::{Limit, PoolSummary};
///
/// fn is_capped(pool: &PoolSummary) -> bool {
///     pool.cpu_limit_mhz != Limit::Unlimited || pool.memory_limit_mb != Limit::Unlimited
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolSummary {
    /// The name; the root pool of each cluster and host is called `Resources`.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// The name of the cluster or host whose resources it divides.
    pub cluster: Option<String>,
    /// Whether it is the root pool of its cluster or host.
    pub root: bool,
    /// Whether it is a vApp, which holds its VMs as a folder does.
    pub vapp: bool,
    /// How many VMs are right in it.
    pub vms: usize,
    /// How many pools and vApps are right in it.
    pub pools: usize,
    /// CPU that is guaranteed to it in MHz.
    pub cpu_reservation_mhz: i64,
    /// The most CPU that it may use in MHz.
    pub cpu_limit_mhz: Limit,
    /// CPU that it uses in MHz.
    pub cpu_usage_mhz: i64,
    /// Memory that is guaranteed to it in MiB.
    pub memory_reservation_mb: i64,
    /// The most memory that it may use in MiB.
    pub memory_limit_mb: Limit,
    /// Memory that it uses in MiB.
    pub memory_usage_mb: i64,
}

/// A pool before its details are read.
struct Found {
    reference: ManagedObjectReference,
    name: String,
    path: String,
    cluster: Option<String>,
    root: bool,
}

/// Lists resource pools and vApps, sorted by path.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::{ListQuery, pool};
///
/// for pool in pool::list(&client, &ListQuery::default()).await?.items {
///     println!("{}: {} VMs", pool.path, pool.vms);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `invalid_argument` for a cursor that no list gave, and those of the server.
pub async fn list(client: &Client, query: &ListQuery) -> Result<Page<PoolSummary>> {
    const ABOVE: [&str; 2] = ["name", "parent"];
    let types: [(&str, &[&str]); 4] = [
        ("ResourcePool", &["name", "parent", "owner"]),
        ("ComputeResource", &ABOVE),
        ("Folder", &ABOVE),
        ("Datacenter", &ABOVE),
    ];
    let objects = find::scan(client, None, &types).await?;
    let ancestry = Ancestry::of(client, &objects);
    let glob = query.glob();
    let is_pool = |type_: &str| type_ == "ResourcePool" || type_ == "VirtualApp";
    let pools = objects.into_iter().filter(|content| is_pool(&content.obj.type_)).filter_map(|content| {
        let (reference, name) = (content.obj.clone(), label(&content));
        let mut values = Values::new(content.prop_set, content.missing_set);
        let parent: Option<ManagedObjectReference> = optional(&mut values, pool::PARENT.path());
        let owner: Option<ManagedObjectReference> = optional(&mut values, pool::OWNER.path());
        let fits = glob.as_ref().is_none_or(|glob| glob.fits(&name));
        fits.then(|| Found {
            path: ancestry.path(&reference).unwrap_or_else(|| name.clone()),
            cluster: owner.as_ref().and_then(|owner| ancestry.name(owner)).map(str::to_owned),
            root: parent.is_some() && parent == owner,
            reference,
            name,
        })
    });
    let by_path = |found: &Found| ByName { name: found.path.clone(), id: found.reference.value.clone() };
    let window = Window::of(pools, by_path, query)?;
    let shown = window.items.iter().map(|found| found.reference.clone());
    let paths = [pool::CONFIG.path(), pool::RUNTIME.path(), pool::RESOURCE_POOL.path(), pool::VM.path()];
    let details = find::details(client, shown, &paths).await?;
    let gaps = Gaps::of(&details);
    let mut known: HashMap<String, Values> = HashMap::new();
    for content in details {
        known.insert(content.obj.value, Values::new(content.prop_set, content.missing_set));
    }
    let page = Page::from(window).map(|found| summary(known.remove(&found.reference.value).unwrap_or_default(), found));
    Ok(Page { gaps, ..page })
}

fn summary(mut values: Values, found: Found) -> PoolSummary {
    let config: ResourceConfigSpec = optional(&mut values, pool::CONFIG.path()).unwrap_or_default();
    let runtime: ResourcePoolRuntimeInfo = optional(&mut values, pool::RUNTIME.path()).unwrap_or_default();
    let count = |objects: Option<Vec<ManagedObjectReference>>| objects.map_or(0, |objects| objects.len());
    let Found { reference, name, path, cluster, root } = found;
    PoolSummary {
        name,
        vapp: reference.type_ == "VirtualApp",
        id: reference.value,
        path,
        cluster,
        root,
        vms: count(optional(&mut values, pool::VM.path())),
        pools: count(optional(&mut values, pool::RESOURCE_POOL.path())),
        cpu_reservation_mhz: config.cpu_allocation.reservation.unwrap_or(0),
        cpu_limit_mhz: Limit::from(config.cpu_allocation.limit),
        cpu_usage_mhz: runtime.cpu.overall_usage,
        memory_reservation_mb: config.memory_allocation.reservation.unwrap_or(0),
        memory_limit_mb: Limit::from(config.memory_allocation.limit),
        // Memory is given in MiB, but its use told in bytes.
        memory_usage_mb: runtime.memory.overall_usage >> 20,
    }
}
