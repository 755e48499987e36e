//! ESXi hosts: lists and facts, services, time servers, maintenance mode, restart and shutdown.
//!
//! ```
//! use vsphere_ops::host::{self, HostQuery};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let query = HostQuery { cluster: Some("prod-cluster".into()), count_vms: true, ..Default::default() };
//! for host in host::list(&client, &query).await?.items {
//!     println!("{} {} ({:?} machines)", host.name, host.connection_state, host.vms);
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! These are the reports that a person or a tool asks for, with plain fields. To read other properties, or into a type of
//! one's own, use [`Client::find`] with [`select`](crate::Query::select).

mod column;
mod down;
mod hardware;
mod info;
mod maintenance;
mod networking;
mod ntp;
mod obstacle;
mod service;

use serde::{Deserialize, Serialize};
use vsphere_model::managed::{ComputeResource, HostSystem, host_system};
use vsphere_model::types::{HostSystemConnectionState, ManagedObjectReference};

pub use column::HostColumn;
pub use down::{Down, GoingDown, WentDown};
pub use hardware::{GraphicsDevice, HostHardware, PciDevice, StorageAdapter, StorageAdapterKind};
pub use info::HostInfo;
pub(crate) use info::{NIC_MANAGER, management_address};
pub use maintenance::{Blocker, Maintenance, MaintenanceChange, MaintenancePlan, VsanMode};
pub use networking::{
    DistributedSwitch, HostNetworking, Ipv6Address, PhysicalAdapter, PortGroup, StandardSwitch, VmkernelAdapter,
};
pub use ntp::{NewNtp, NtpChange, NtpConfig, NtpPlan};
pub use obstacle::{Drs, Obstacle};
pub use service::{Service, ServiceChange, ServiceInfo, ServicePolicy};

use crate::client::Client;
use crate::columns::{self, Also, Asked, Cells, Column as _, Condition, Groups, Listed as _, Object, Order};
use crate::error::{Error, Result};
use crate::mo::Mo;
use crate::page::{ListQuery, Page};

/// Which hosts to list.
///
/// ```
/// use vsphere_ops::ListQuery;
/// use vsphere_ops::host::HostQuery;
///
/// let query = HostQuery { page: ListQuery::first(20).matching("esx-0?.*"), ..Default::default() };
/// ```
#[derive(Debug, Clone, Default)]
pub struct HostQuery {
    /// The page that is wanted, and a glob on the name.
    pub page: ListQuery,
    /// Only those of this cluster: name, path or id.
    pub cluster: Option<String>,
    /// Only those in this state.
    pub state: Option<HostState>,
    /// Only those with this text in their name, model, serial number or CPU model. Case does not matter.
    pub find: Option<String>,
    /// Only those for which all of these hold.
    pub conditions: Vec<Condition<HostColumn>>,
    /// The order, in place of that by name.
    pub order: Option<Order<HostColumn>>,
    /// What is shown besides.
    pub columns: Vec<HostColumn>,
    /// Whether the VMs of each host are counted. From a [cache](Client::with_cache) that costs nothing; the server has to
    /// name them all.
    pub count_vms: bool,
}

/// A state that hosts are looked for in.
///
/// ```
/// use vsphere_ops::host::{HostQuery, HostState};
///
/// let query = HostQuery { state: Some(HostState::Maintenance), ..Default::default() };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// vCenter reaches it.
    Connected,
    /// Somebody has disconnected it from vCenter.
    Disconnected,
    /// vCenter does not reach it.
    NotResponding,
    /// It is in maintenance mode, whether vCenter reaches it or not.
    Maintenance,
}

impl HostState {
    fn fits(self, host: &Object) -> bool {
        let connection = match self {
            Self::Connected => HostSystemConnectionState::Connected,
            Self::Disconnected => HostSystemConnectionState::Disconnected,
            Self::NotResponding => HostSystemConnectionState::NotResponding,
            Self::Maintenance => return host.get(host_system::IN_MAINTENANCE_MODE.path()).unwrap_or(false),
        };
        host.get(host_system::CONNECTION_STATE.path()) == Some(connection)
    }
}

/// A host in a list.
///
/// ```
/// use vsphere_ops::host::HostSummary;
///
/// fn memory_left_mb(host: &HostSummary) -> Option<i64> {
///     Some(host.memory_mb? - i64::from(host.memory_usage_mb?))
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostSummary {
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
    /// The name of its cluster, or of itself where it is in none.
    pub cluster: Option<String>,
    /// The product and its version.
    pub version: Option<String>,
    /// Vendor and model.
    pub model: Option<String>,
    /// CPU cores.
    pub cpu_cores: Option<i16>,
    /// CPU speed of a core in MHz.
    pub cpu_mhz: Option<i32>,
    /// CPU in use in MHz.
    pub cpu_usage_mhz: Option<i32>,
    /// Memory in MiB.
    pub memory_mb: Option<i64>,
    /// Memory in use in MiB.
    pub memory_usage_mb: Option<i32>,
    /// How many VMs, templates included, are registered on it; not where that was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vms: Option<usize>,
    /// What was asked for besides.
    #[serde(flatten)]
    pub columns: Cells<HostColumn>,
}

/// Lists hosts, sorted by name unless another order is asked for.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::host::{self, HostQuery, HostState};
///
/// let query = HostQuery { state: Some(HostState::Disconnected), ..Default::default() };
/// let page = host::list(&client, &query).await?;
/// println!("{} of {} disconnected hosts", page.returned, page.total);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` or `ambiguous` if the cluster is not exactly one, and server errors.
pub async fn list(client: &Client, query: &HostQuery) -> Result<Page<HostSummary>> {
    let container = query.container(client).await?;
    // A host says how many VMs it has only by naming them all.
    let known = client.cache_of("VirtualMachine").await.map(|cache| cache.by_host());
    let counts = query.count_vms && known.is_none();
    let is_read = |column: &HostColumn| counts || *column != HostColumn::Vms;
    let shown: Vec<HostColumn> = HostColumn::SHOWN.iter().copied().filter(is_read).collect();
    let asked = query.asked();
    let fits = |host: &Object| query.state.is_none_or(|state| state.fits(host));
    let found = columns::list(client, container.as_ref(), &asked, &Also { paths: &STATE, fits: &fits }, &shown).await?;
    let items = found.objects.iter().map(|host| {
        let cell = |column: HostColumn| column.cell(host, &found.others);
        let number = |column| cell(column).as_number();
        let counted = known.as_ref().map(|known| known.get(&host.reference.value).copied().unwrap_or(0));
        HostSummary {
            name: host.name.clone(),
            id: host.reference.value.clone(),
            connection_state: host.get(host_system::CONNECTION_STATE.path()).unwrap_or_default(),
            maintenance_mode: cell(HostColumn::MaintenanceMode).as_flag().unwrap_or(false),
            cluster: cell(HostColumn::Cluster).into_text(),
            version: cell(HostColumn::Version).into_text(),
            model: cell(HostColumn::Model).into_text(),
            cpu_cores: narrow(number(HostColumn::CpuCores)),
            cpu_mhz: narrow(number(HostColumn::CpuMhz)),
            cpu_usage_mhz: narrow(number(HostColumn::CpuUsageMhz)),
            memory_mb: number(HostColumn::MemoryMb),
            memory_usage_mb: narrow(number(HostColumn::MemoryUsageMb)),
            vms: counted.filter(|_| query.count_vms).or_else(|| narrow(number(HostColumn::Vms))),
            columns: asked.cells(cell),
        }
    });
    let items = items.collect();
    Ok(Page { gaps: found.gaps, ..found.window.page(items) })
}

/// How many hosts have which value in a column, with the sums of their CPUs and memory. The page of the query does not matter, nor do
/// its order and columns.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::host::{HostColumn, HostQuery, groups};
///
/// for group in groups(&client, &HostQuery::default(), HostColumn::Build).await?.groups {
///     println!("{:?}: {} hosts with {:?} cores", group.value, group.count, group.sums.get("cpu_cores"));
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// As [`list`].
pub async fn groups(client: &Client, query: &HostQuery, column: HostColumn) -> Result<Groups> {
    let container = query.container(client).await?;
    let fits = |host: &Object| query.state.is_none_or(|state| state.fits(host));
    let also = Also { paths: &STATE, fits: &fits };
    columns::groups(client, container.as_ref(), &query.asked(), &also, column).await
}

/// What tells the state of a host.
const STATE: [&str; 2] = [host_system::CONNECTION_STATE.path(), host_system::IN_MAINTENANCE_MODE.path()];

impl HostQuery {
    /// The cluster whose hosts are wanted; `None` for all.
    async fn container(&self, client: &Client) -> Result<Option<ManagedObjectReference>> {
        match &self.cluster {
            Some(cluster) => Ok(Some(client.get::<ComputeResource>(cluster).await?.reference().clone())),
            None => Ok(None),
        }
    }

    fn asked(&self) -> Asked<'_, HostColumn> {
        Asked::new(&self.page, self.find.as_deref(), &self.conditions, self.order, &self.columns)
    }
}

/// A number of the type that it came from.
fn narrow<N: TryFrom<i64>>(number: Option<i64>) -> Option<N> {
    number.and_then(|number| number.try_into().ok())
}

/// Makes an error one of this operation on the host.
fn named(host: &Mo<HostSystem>, operation: &str) -> impl Fn(Error) -> Error {
    let (host, operation) = (host.label().to_owned(), operation.to_owned());
    move |error| error.in_operation(operation.clone()).on(host.clone())
}
