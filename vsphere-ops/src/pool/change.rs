//! Resource pools that are made and deleted, and VMs that are moved into them.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::Serialize;
use vsphere_model::managed::{ResourcePool, VirtualMachine, resource_pool as pool, virtual_machine as vm};
use vsphere_model::types::{
    ManagedObjectReference, ResourceAllocationInfo, ResourceConfigSpec, SharesInfo, SharesLevel,
};

use super::{Limit, Shares};
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::find::{self, label};
use crate::mo::Mo;
use crate::named::Named;
use crate::task::{self, BUSY};
use crate::vm::checked_name;

const CREATE: &str = "create the resource pool";
const DELETE: &str = "delete the resource pool";
const MOVE: &str = "move to the resource pool";

/// The most shares that there may be.
const MOST_SHARES: i32 = 4_000_000;

/// A resource pool that is to be made: nothing guaranteed, no limit and normal shares, where nothing else is said.
///
/// ```
/// use vsphere_ops::pool::{Allocation, Level, Limit, NewPool, ShareOf};
///
/// let mut pool = NewPool::named("web");
/// pool.cpu = Allocation { reservation: 2_000, shares: ShareOf::Level(Level::High), ..Allocation::default() };
/// pool.memory.limit = Limit::At(65_536);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPool {
    /// The name, unique in the pool that it is made in.
    pub name: String,
    /// Its part of the CPUs, in MHz.
    pub cpu: Allocation,
    /// Its part of the memory, in MiB.
    pub memory: Allocation,
}

impl NewPool {
    /// A pool of this name.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), cpu: Allocation::default(), memory: Allocation::default() }
    }
}

/// What a resource pool is given of one resource.
///
/// ```
/// use vsphere_ops::pool::{Allocation, Limit};
///
/// let usual = Allocation::default();
/// assert_eq!((usual.reservation, usual.limit, usual.expandable), (0, Limit::Unlimited, true));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// What is guaranteed to it.
    pub reservation: i64,
    /// The most that it may use.
    pub limit: Limit,
    /// Whether it may take more from its parent when VMs in it reserve more.
    pub expandable: bool,
    /// Its shares, which count when not all get what they want.
    pub shares: ShareOf,
}

impl Default for Allocation {
    fn default() -> Self {
        Self { reservation: 0, limit: Limit::Unlimited, expandable: true, shares: ShareOf::Level(Level::Normal) }
    }
}

/// A level of shares.
///
/// ```
/// use vsphere_ops::pool::{Allocation, Level, ShareOf};
///
/// let modest = Allocation { shares: ShareOf::Level(Level::Low), ..Allocation::default() };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Half of normal.
    Low,
    /// What others have.
    Normal,
    /// Twice normal.
    High,
}

/// Shares that a pool is to have.
///
/// ```
/// use vsphere_ops::pool::{Level, ShareOf};
///
/// assert_eq!("low".parse::<ShareOf>().unwrap(), ShareOf::Level(Level::Low));
/// assert_eq!("6000".parse::<ShareOf>().unwrap(), ShareOf::Number(6000));
/// assert_eq!("some".parse::<ShareOf>().unwrap_err().code(), "invalid_argument");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareOf {
    /// Those of a level.
    Level(Level),
    /// So many.
    Number(i32),
}

impl FromStr for ShareOf {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "low" => Ok(Self::Level(Level::Low)),
            "normal" => Ok(Self::Level(Level::Normal)),
            "high" => Ok(Self::Level(Level::High)),
            number => number
                .parse()
                .map(Self::Number)
                .map_err(|_| invalid(CREATE, format!("shares are low, normal, high or a number, and not {text:?}"))),
        }
    }
}

impl Allocation {
    /// As the server wants it, with each field. `resource` is what errors call it.
    fn spec(&self, resource: &str) -> Result<ResourceAllocationInfo> {
        let wrong = |text: String| Err(invalid(CREATE, format!("{resource}: {text}")));
        let limit = match self.limit {
            Limit::Unlimited => -1,
            Limit::At(limit) => limit,
        };
        if self.reservation < 0 {
            return wrong(format!("the reservation is {}, but can't be less than 0", self.reservation));
        }
        if self.limit != Limit::Unlimited && limit < self.reservation {
            return wrong(format!("the limit of {limit} is less than the reservation of {}", self.reservation));
        }
        let (level, shares) = match self.shares {
            ShareOf::Level(Level::Low) => (SharesLevel::Low, 0),
            ShareOf::Level(Level::Normal) => (SharesLevel::Normal, 0),
            ShareOf::Level(Level::High) => (SharesLevel::High, 0),
            ShareOf::Number(shares) if (0..=MOST_SHARES).contains(&shares) => (SharesLevel::Custom, shares),
            ShareOf::Number(shares) => return wrong(format!("{shares} shares, but 0 to {MOST_SHARES} are possible")),
        };
        Ok(ResourceAllocationInfo {
            reservation: Some(self.reservation),
            expandable_reservation: Some(self.expandable),
            limit: Some(limit),
            shares: Some(Box::new(SharesInfo { shares, level })),
            ..Default::default()
        })
    }
}

/// A resource pool that was made.
///
/// ```
/// use vsphere_ops::pool::MadePool;
///
/// fn line(pool: &MadePool) -> String {
///     format!("{} ({}) in {}", pool.name, pool.id, pool.parent.name)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MadePool {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// The pool that it is in.
    pub parent: Named,
    /// CPU that is guaranteed to it in MHz.
    pub cpu_reservation_mhz: i64,
    /// The most CPU that it may use in MHz.
    pub cpu_limit_mhz: Limit,
    /// Its shares of CPU.
    pub cpu_shares: Shares,
    /// Memory that is guaranteed to it in MiB.
    pub memory_reservation_mb: i64,
    /// The most memory that it may use in MiB.
    pub memory_limit_mb: Limit,
    /// Its shares of memory.
    pub memory_shares: Shares,
    /// Always, since it is new.
    pub changed: bool,
}

impl Mo<ResourcePool> {
    /// Makes a resource pool in this one.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::ResourcePool;
    /// use vsphere_ops::pool::NewPool;
    ///
    /// let root = client.get::<ResourcePool>("/fra1/host/lab-cluster/Resources").await?;
    /// let mut tests = NewPool::named("tests");
    /// tests.cpu.reservation = 1_000;
    /// let made = root.make_pool(&tests).await?;
    /// assert_eq!((made.path.as_str(), made.cpu_shares.shares), ("/fra1/host/lab-cluster/Resources/tests", 4000));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// Needs `Resource.CreatePool`.
    ///
    /// # Errors
    /// `invalid_argument` for a name or an amount that can't be, the fault `DuplicateName`, one that extends
    /// `InsufficientResourcesFault` where this pool has less left than is to be reserved, and others of the server.
    pub async fn make_pool(&self, new: &NewPool) -> Result<MadePool> {
        let made = async {
            let spec = ResourceConfigSpec {
                cpu_allocation: new.cpu.spec("CPU")?,
                memory_allocation: new.memory.spec("memory")?,
                ..Default::default()
            };
            let name = checked_name(CREATE, &new.name)?;
            let reference = self.create_resource_pool(&name, &spec).await?;
            let made: Mo<ResourcePool> = Mo::new(self.client(), &reference, Some(crate::name::decode(&name)));
            let config = made.read(pool::CONFIG).await?;
            let (cpu, memory) = (&config.cpu_allocation, &config.memory_allocation);
            let mut names = find::names(self.client(), [self.reference().clone()]).await?;
            Ok(MadePool {
                name: made.label().to_owned(),
                id: reference.value.clone(),
                path: made.path().await?,
                parent: Named {
                    name: names.remove(self.id()).unwrap_or_else(|| self.label().to_owned()),
                    id: self.id().to_owned(),
                },
                cpu_reservation_mhz: cpu.reservation.unwrap_or(0),
                cpu_limit_mhz: Limit::from(cpu.limit),
                cpu_shares: Shares::of(cpu.shares.as_deref()),
                memory_reservation_mb: memory.reservation.unwrap_or(0),
                memory_limit_mb: Limit::from(memory.limit),
                memory_shares: Shares::of(memory.shares.as_deref()),
                changed: true,
            })
        };
        made.await.map_err(|error: Error| error.in_operation(CREATE).on(&new.name))
    }
}

/// A plan to delete a resource pool, and what moves up by that.
///
/// ```
/// use vsphere_ops::pool::PoolDeletion;
///
/// fn line(pool: &PoolDeletion) -> String {
///     format!("{} VMs and {} pools would move to {}", pool.vms.len(), pool.pools.len(), pool.parent.name)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is deleted before it is carried out"]
pub struct PoolDeletion {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// The pool that it is in, to which all that is in it moves.
    pub parent: Named,
    /// CPU in MHz that is no longer guaranteed.
    pub cpu_reservation_mhz: i64,
    /// The limit of CPU in MHz that no longer holds.
    pub cpu_limit_mhz: Limit,
    /// Memory in MiB that is no longer guaranteed.
    pub memory_reservation_mb: i64,
    /// The limit of memory in MiB that no longer holds.
    pub memory_limit_mb: Limit,
    /// The VMs that move to the parent.
    pub vms: Vec<Named>,
    /// The pools and vApps that move to the parent, with all that is in them.
    pub pools: Vec<Named>,
    #[serde(skip)]
    seen: Seen,
}

/// What a deletion was planned from.
#[derive(Debug, Clone)]
struct Seen {
    pool: Mo<ResourcePool>,
    parent: Option<ManagedObjectReference>,
    config: ResourceConfigSpec,
    held: BTreeSet<String>,
}

/// A resource pool that was deleted.
///
/// ```
/// use vsphere_ops::pool::DeletedPool;
///
/// fn line(pool: &DeletedPool) -> String {
///     format!("{} is gone, its {} VMs are in {}", pool.path, pool.vms.len(), pool.parent.name)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeletedPool {
    /// The name that it had.
    pub name: String,
    /// The managed object id that it had.
    pub id: String,
    /// The inventory path that it had.
    pub path: String,
    /// The pool that all in it has moved to.
    pub parent: Named,
    /// The VMs that have moved.
    pub vms: Vec<Named>,
    /// The pools and vApps that have moved.
    pub pools: Vec<Named>,
    /// Always, since it was there before.
    pub changed: bool,
}

impl Seen {
    async fn now(pool: &Mo<ResourcePool>) -> Result<(Self, Vec<ManagedObjectReference>, Vec<ManagedObjectReference>)> {
        let (parent, mut config, pools, vms) =
            pool.read((pool::PARENT, pool::CONFIG, pool::RESOURCE_POOL, pool::VM)).await?;
        // When it was changed does not matter, only to what.
        (config.last_modified, config.change_version) = (None, None);
        let held = pools.iter().chain(&vms).map(|one| one.value.clone()).collect();
        Ok((Self { pool: pool.clone(), parent, config, held }, pools, vms))
    }

    fn is_as(&self, other: &Self) -> bool {
        self.parent == other.parent && self.config == other.config && self.held == other.held
    }
}

impl Mo<ResourcePool> {
    /// Plans to delete the resource pool. The VMs and pools in it go on in the pool that it is in.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{ResourcePool, VirtualMachine};
    /// use vsphere_ops::pool::NewPool;
    ///
    /// let root = client.get::<ResourcePool>("/fra1/host/lab-cluster/Resources").await?;
    /// root.make_pool(&NewPool::named("tests")).await?;
    /// let tests = client.get::<ResourcePool>("tests").await?;
    /// assert!(client.get::<VirtualMachine>("test-bob").await?.move_to_pool(&tests).await?.changed);
    /// let deletion = tests.deletion().await?;
    /// assert_eq!(deletion.vms[0].name, "test-bob");
    /// println!("{:?}", deletion.carry_out().await?.vms);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` for the root pool of a cluster or host, and for a vApp, whose VMs would be deleted with it; and those of
    /// the server.
    pub async fn deletion(&self) -> Result<PoolDeletion> {
        let planned = async {
            let client = self.client();
            let refused = |text: &str| Error::new(DELETE, ErrorKind::Unsupported(text.to_owned()));
            let (seen, pools, vms) = Seen::now(self).await?;
            let is_pool = |one: &&ManagedObjectReference| one.type_ == "ResourcePool" || one.type_ == "VirtualApp";
            let Some(parent) = seen.parent.as_ref().filter(is_pool) else {
                return Err(refused("it is the root pool of its cluster or host, which stays as long as that does"));
            };
            if self.reference().type_ == "VirtualApp" {
                return Err(refused("it is a vApp: its VMs would be deleted with it, and not move"));
            }
            let all = pools.iter().chain(&vms).chain([parent]).cloned();
            let contents = find::details(client, all, &["name"]).await?;
            let named = |of: &[ManagedObjectReference]| {
                let mut named: Vec<Named> = contents
                    .iter()
                    .filter(|content| of.contains(&content.obj))
                    .map(|content| Named { name: label(content), id: content.obj.value.clone() })
                    .collect();
                named.sort();
                named
            };
            let only = Named { name: parent.value.clone(), id: parent.value.clone() };
            Ok(PoolDeletion {
                name: self.label().to_owned(),
                id: self.id().to_owned(),
                path: self.path().await?,
                parent: named(std::slice::from_ref(parent)).pop().unwrap_or(only),
                cpu_reservation_mhz: seen.config.cpu_allocation.reservation.unwrap_or(0),
                cpu_limit_mhz: Limit::from(seen.config.cpu_allocation.limit),
                memory_reservation_mb: seen.config.memory_allocation.reservation.unwrap_or(0),
                memory_limit_mb: Limit::from(seen.config.memory_allocation.limit),
                vms: named(&vms),
                pools: named(&pools),
                seen,
            })
        };
        planned.await.map_err(|error: Error| error.in_operation(DELETE).on(self.label()))
    }
}

impl PoolDeletion {
    /// Deletes the pool, by its id. It is looked at right before: what comes into it after that moves up, too.
    ///
    /// Needs `Resource.DeletePool`, and `Resource.AssignVMToPool` on the parent.
    ///
    /// # Errors
    /// `changed` if the pool has other settings, or others are in it than when this was planned; and those of the server.
    pub async fn carry_out(self) -> Result<DeletedPool> {
        let pool = &self.seen.pool;
        let done = pool.client().retry_while_busy(BUSY, || async {
            if !self.seen.is_as(&Seen::now(pool).await?.0) {
                let text = "the resource pool has changed since this was planned, so nothing was done";
                return Err(Error::new(DELETE, ErrorKind::Changed(text.to_owned())));
            }
            task::start::<(), _>(pool, DELETE, pool.destroy_task()).await?.await
        });
        done.await.map_err(|error: Error| error.in_operation(DELETE).on(self.name.as_str()))?;
        let Self { name, id, path, parent, vms, pools, .. } = self;
        Ok(DeletedPool { name, id, path, parent, vms, pools, changed: true })
    }
}

/// A VM that was moved to a resource pool.
///
/// ```
/// use vsphere_ops::pool::MovedVm;
///
/// fn line(vm: &MovedVm) -> String {
///     format!("{} is in {}", vm.name, vm.pool.name)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MovedVm {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The pool that it is in now.
    pub pool: Named,
    /// The pool that it was in before.
    pub from: Named,
    /// Whether that is another one.
    pub changed: bool,
}

impl Mo<VirtualMachine> {
    /// Moves the VM to a resource pool of the same cluster or host, unless it is in it. It goes on running.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{ResourcePool, VirtualMachine};
    ///
    /// let root = client.get::<ResourcePool>("/fra1/host/prod-cluster/Resources").await?;
    /// let moved = client.get::<VirtualMachine>("web-01").await?.move_to_pool(&root).await?;
    /// assert!(!moved.changed, "it is there already");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// Needs `Resource.AssignVMToPool` on the pool.
    ///
    /// # Errors
    /// `invalid_state` for a template, which is in no pool; `invalid_argument` for a pool of another cluster or host; one that
    /// extends `InsufficientResourcesFault` where the pool has less left than the running VM reserves; and others of the
    /// server.
    pub async fn move_to_pool(&self, to: &Mo<ResourcePool>) -> Result<MovedVm> {
        let moved = async {
            let client = self.client();
            let from = self.read(vm::RESOURCE_POOL).await?;
            let Some(from) = from else {
                return Err(Error::new(
                    MOVE,
                    ErrorKind::InvalidState("it is a template, which is in no pool".to_owned()),
                ));
            };
            let changed = from != *to.reference();
            if changed {
                let here: Mo<ResourcePool> = Mo::new(client, &from, None);
                let (own, other) = (here.read(pool::OWNER).await?, to.read(pool::OWNER).await?);
                if own != other {
                    let mut names = find::names(client, [own.clone(), other.clone()]).await?;
                    let mut name = |of: ManagedObjectReference| names.remove(&of.value).unwrap_or(of.value);
                    let (own, other) = (name(own), name(other));
                    let text = format!(
                        "{:?} is a pool of {other:?}, and the VM is on {own:?}: it would have to be migrated",
                        to.label()
                    );
                    return Err(invalid(MOVE, text));
                }
                let list = [self.reference().clone()];
                let done = client
                    .retry_while_busy(BUSY, || async { to.move_into_resource_pool(&list).await.map_err(Error::from) });
                done.await?;
            }
            let names = find::names(client, [from.clone(), to.reference().clone()]).await?;
            let named = |of: &ManagedObjectReference| Named {
                name: names.get(&of.value).cloned().unwrap_or_else(|| of.value.clone()),
                id: of.value.clone(),
            };
            let (pool, from) = (named(to.reference()), named(&from));
            Ok(MovedVm { name: self.label().to_owned(), id: self.id().to_owned(), pool, from, changed })
        };
        moved.await.map_err(|error: Error| error.in_operation(MOVE).on(self.label()))
    }
}
