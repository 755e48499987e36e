//! Resource pools: what they are given, and what they use.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! use vsphere_ops::managed::ResourcePool;
//!
//! let pool = client.get::<ResourcePool>("/fra1/host/prod-cluster/Resources").await?.info().await?;
//! println!("{} MHz of {:?} in use", pool.cpu.usage_mhz, pool.cpu.limit_mhz);
//! let root = client.get::<ResourcePool>(&pool.id).await?;
//! let web = root.make_pool(&vsphere_ops::pool::NewPool::named("web")).await?;
//! println!("{} is new", web.path);
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```

mod change;
mod list;

use serde::{Serialize, Serializer};
use vsphere_model::managed::{ResourcePool, resource_pool as pool};
use vsphere_model::types::{ResourceAllocationInfo, ResourcePoolResourceUsage, SharesInfo};

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::find;
use crate::mo::Mo;
use crate::named::Named;

pub use change::{Allocation, DeletedPool, Level, MadePool, MovedVm, NewPool, PoolDeletion, ShareOf};
pub use list::{PoolSummary, list};

/// All about one resource pool.
///
/// ```
/// use vsphere_ops::pool::PoolInfo;
///
/// fn line(pool: &PoolInfo) -> String {
///     format!("{}: {} of {} MB in use", pool.path, pool.memory.usage_mb, pool.memory.max_usage_mb)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolInfo {
    /// The name; the root pool of each cluster and host is called `Resources`.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// The name of the cluster or host whose resources it divides.
    pub cluster: Option<String>,
    /// Whether it is the root pool, which has all of these resources.
    pub root: bool,
    /// The pool that it is in; not of the root pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Named>,
    /// `green`, `yellow`, `red` or `gray`: red says that more is reserved below it than it has.
    pub status: String,
    /// Its share of the CPUs.
    pub cpu: PoolCpu,
    /// Its share of the memory.
    pub memory: PoolMemory,
    /// The pools and vApps right below it.
    pub pools: Vec<Named>,
    /// How many VMs are right in it.
    pub vm_count: usize,
    /// These VMs, at most 50.
    pub vms: Vec<Named>,
}

/// What a pool is given of CPUs, and uses. All in MHz.
///
/// ```
/// use vsphere_ops::pool::PoolCpu;
///
/// fn is_full(cpu: &PoolCpu) -> bool {
///     cpu.unreserved_mhz == 0
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolCpu {
    /// What is guaranteed to it.
    pub reservation_mhz: i64,
    /// Whether it may take more from its parent when VMs in it reserve more.
    pub expandable: bool,
    /// The most that it may use.
    pub limit_mhz: Limit,
    /// Its shares, which count when not all get what they want.
    #[serde(flatten)]
    pub shares: Shares,
    /// What it uses.
    pub usage_mhz: i64,
    /// The most that it could use now.
    pub max_usage_mhz: i64,
    /// What is reserved in it.
    pub reserved_mhz: i64,
    /// What VMs can still reserve in it.
    pub unreserved_mhz: i64,
}

/// What a pool is given of memory, and uses. All in MiB.
///
/// ```
/// use vsphere_ops::pool::{Limit, PoolMemory};
///
/// fn is_limited(memory: &PoolMemory) -> bool {
///     memory.limit_mb != Limit::Unlimited
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolMemory {
    /// What is guaranteed to it.
    pub reservation_mb: i64,
    /// Whether it may take more from its parent when VMs in it reserve more.
    pub expandable: bool,
    /// The most that it may use.
    pub limit_mb: Limit,
    /// Its shares, which count when not all get what they want.
    #[serde(flatten)]
    pub shares: Shares,
    /// What it uses.
    pub usage_mb: i64,
    /// The most that it could use now.
    pub max_usage_mb: i64,
    /// What is reserved in it.
    pub reserved_mb: i64,
    /// What VMs can still reserve in it.
    pub unreserved_mb: i64,
    /// What the guests touch, where the server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_mb: Option<i64>,
    /// What balloons hold, where the server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ballooned_mb: Option<i64>,
    /// What is swapped out, where the server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swapped_mb: Option<i64>,
}

/// The most that may be used.
///
/// ```
/// use vsphere_ops::pool::Limit;
///
/// assert_eq!(serde_json::to_string(&Limit::At(4000)).unwrap(), "4000");
/// assert_eq!(serde_json::to_string(&Limit::Unlimited).unwrap(), "\"unlimited\"");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So much.
    At(i64),
    /// All that there is.
    Unlimited,
}

impl From<Option<i64>> for Limit {
    fn from(limit: Option<i64>) -> Self {
        limit.filter(|limit| *limit >= 0).map_or(Self::Unlimited, Self::At)
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::At(limit) => serializer.serialize_i64(*limit),
            Self::Unlimited => serializer.serialize_str("unlimited"),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Limit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [{ "type": "integer" }, { "const": "unlimited" }] })
    }
}

/// Shares: how what is scarce is divided among siblings.
///
/// ```
/// use vsphere_ops::pool::Shares;
///
/// let shares = Shares { shares: 4000, shares_level: "normal".into() };
/// assert_eq!(serde_json::to_string(&shares).unwrap(), r#"{"shares":4000,"shares_level":"normal"}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shares {
    /// How many.
    pub shares: i32,
    /// `low`, `normal`, `high` or `custom`.
    pub shares_level: String,
}

impl Shares {
    fn of(info: Option<&SharesInfo>) -> Self {
        let info = info.cloned().unwrap_or_default();
        Self { shares: info.shares, shares_level: info.level.as_str().to_owned() }
    }
}

impl Mo<ResourcePool> {
    /// Reads all about the resource pool.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::ResourcePool;
    ///
    /// let all = client.get::<ResourcePool>("/fra1/host/lab-cluster/Resources").await?.info().await?;
    /// println!("{:?} has {} pools", all.cluster, all.pools.len());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, such as a pool that is gone.
    pub async fn info(&self) -> Result<PoolInfo> {
        let client = self.client();
        let (config, runtime, summary, owner, parent, pools, vms) = self
            .read((
                pool::CONFIG,
                pool::RUNTIME,
                pool::SUMMARY,
                pool::OWNER,
                pool::PARENT,
                pool::RESOURCE_POOL,
                pool::VM,
            ))
            .await?;
        let quick = summary.quick_stats.clone().map(|quick| *quick).unwrap_or_default();
        let of_cpu = Parts::of(&config.cpu_allocation, &runtime.cpu);
        let of_memory = Parts::of(&config.memory_allocation, &runtime.memory);
        // Memory is given in MiB, but its use told in bytes.
        let mib = |bytes: i64| bytes >> 20;
        let root = parent.as_ref() == Some(&owner);
        let above = parent.filter(|_| !root);
        let mut names = find::names(client, [owner.clone()].into_iter().chain(above.clone())).await?;
        Ok(PoolInfo {
            name: self.label().to_owned(),
            id: self.id().to_owned(),
            path: self.path().await?,
            cluster: names.remove(&owner.value),
            root,
            parent: above.map(|parent| Named {
                name: names.remove(&parent.value).unwrap_or_else(|| parent.value.clone()),
                id: parent.value,
            }),
            status: runtime.overall_status.as_str().to_owned(),
            cpu: PoolCpu {
                reservation_mhz: of_cpu.reservation,
                expandable: of_cpu.expandable,
                limit_mhz: of_cpu.limit,
                shares: of_cpu.shares,
                usage_mhz: of_cpu.usage.overall_usage,
                max_usage_mhz: of_cpu.usage.max_usage,
                reserved_mhz: of_cpu.usage.reservation_used,
                unreserved_mhz: of_cpu.usage.unreserved_for_vm,
            },
            memory: PoolMemory {
                reservation_mb: of_memory.reservation,
                expandable: of_memory.expandable,
                limit_mb: of_memory.limit,
                shares: of_memory.shares,
                usage_mb: mib(of_memory.usage.overall_usage),
                max_usage_mb: mib(of_memory.usage.max_usage),
                reserved_mb: mib(of_memory.usage.reservation_used),
                unreserved_mb: mib(of_memory.usage.unreserved_for_vm),
                active_mb: quick.guest_memory_usage,
                ballooned_mb: quick.ballooned_memory,
                swapped_mb: quick.swapped_memory,
            },
            pools: Named::some(client, &pools).await?,
            vm_count: vms.len(),
            vms: Named::some(client, &vms).await?,
        })
    }
}

/// What is the same for CPUs and memory.
struct Parts<'a> {
    reservation: i64,
    expandable: bool,
    limit: Limit,
    shares: Shares,
    usage: &'a ResourcePoolResourceUsage,
}

impl<'a> Parts<'a> {
    fn of(allocation: &ResourceAllocationInfo, usage: &'a ResourcePoolResourceUsage) -> Self {
        Self {
            reservation: allocation.reservation.unwrap_or(0),
            expandable: allocation.expandable_reservation.unwrap_or(false),
            limit: Limit::from(allocation.limit),
            shares: Shares::of(allocation.shares.as_deref()),
            usage,
        }
    }
}

impl Client {
    /// The root pool, where there is one cluster or host.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # let err = client.root_pool().await.unwrap_err(); assert_eq!(err.code(), "ambiguous"); return Ok(());
    /// let root = client.root_pool().await?;
    /// println!("{} MHz are reserved", root.info().await?.cpu.reserved_mhz);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `ambiguous` if there are several, `not_found` if there is none, and server errors.
    pub async fn root_pool(&self) -> Result<Mo<ResourcePool>> {
        const OPERATION: &str = "find root resource pool";
        let all = self.all::<ResourcePool>().select((pool::NAME, pool::PARENT)).await?;
        let is_root = |(found, (_, parent)): (Mo<ResourcePool>, (String, Option<_>))| {
            let parent: vsphere_model::types::ManagedObjectReference = parent?;
            (parent.type_ != "ResourcePool" && parent.type_ != "VirtualApp").then_some(found)
        };
        let mut roots: Vec<Mo<ResourcePool>> = all.into_iter().filter_map(is_root).collect();
        match (roots.pop(), roots.as_slice()) {
            (Some(only), []) => Ok(only),
            (Some(last), _) => {
                roots.push(last);
                let references: Vec<_> = roots.iter().map(|root| root.reference().clone()).collect();
                Err(find::ambiguous(self, &references).await?.in_operation(OPERATION))
            }
            (None, _) => {
                let text = "there is no cluster and no host, or none that this user may see";
                Err(Error::new(OPERATION, ErrorKind::NotFound(text.to_owned())))
            }
        }
    }
}
