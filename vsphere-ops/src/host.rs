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

mod down;
mod hardware;
mod info;
mod maintenance;
mod networking;
mod ntp;
mod obstacle;
mod service;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use vsphere_model::managed::{ComputeResource, HostSystem, VirtualMachine, host_system as host};
use vsphere_model::types::{
    HostListSummaryQuickStats, HostSystemConnectionState, ManagedObjectReference, ObjectContent,
};

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
use crate::error::{Error, Result};
use crate::find::{self, label};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::page::{ByName, ListQuery, Page, Window};
use crate::read::Values;
use crate::vm::optional;

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
    fn fits(self, values: &mut Values) -> bool {
        let connection = match self {
            Self::Connected => HostSystemConnectionState::Connected,
            Self::Disconnected => HostSystemConnectionState::Disconnected,
            Self::NotResponding => HostSystemConnectionState::NotResponding,
            Self::Maintenance => return optional(values, host::IN_MAINTENANCE_MODE.path()).unwrap_or(false),
        };
        optional(values, host::CONNECTION_STATE.path()) == Some(connection)
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
}

const SHOWN: [&str; 7] = [
    "name",
    host::CONNECTION_STATE.path(),
    host::IN_MAINTENANCE_MODE.path(),
    host::PARENT.path(),
    host::SUMMARY_PRODUCT.path(),
    host::SUMMARY_HARDWARE.path(),
    host::QUICK_STATS.path(),
];

/// Lists hosts, sorted by name.
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
    let container = match &query.cluster {
        Some(cluster) => Some(client.get::<ComputeResource>(cluster).await?.reference().clone()),
        None => None,
    };
    let glob = query.page.glob();
    let paths = ["name", host::CONNECTION_STATE.path(), host::IN_MAINTENANCE_MODE.path()];
    let objects = find::scan(client, container.as_ref(), &[("HostSystem", &paths)]).await?;
    let fitting = objects.into_iter().filter_map(|content| {
        let key = ByName::of(&content);
        let mut values = Values::new(content.prop_set, content.missing_set);
        let fits = glob.as_ref().is_none_or(|glob| glob.fits(&key.name))
            && query.state.is_none_or(|state| state.fits(&mut values));
        fits.then_some(key)
    });
    let window = Window::of(fitting, ByName::clone, &query.page)?;
    let references = window.items.iter().map(|key| ManagedObjectReference::new("HostSystem", &key.id));
    // A host says how many VMs it has only by naming them all.
    let known = client.cache_of::<VirtualMachine>().await.map(|cache| cache.by_host());
    let paths: Vec<&'static str> =
        SHOWN.into_iter().chain((query.count_vms && known.is_none()).then_some(host::VM.path())).collect();
    let details = find::details(client, references, &paths).await?;
    let gaps = Gaps::of(&details);
    let clusters = find::names(client, details.iter().filter_map(parent_of)).await?;
    let items = find::in_order(&window.items, details).map(|content| {
        let counted = known.as_ref().map(|known| known.get(&content.obj.value).copied().unwrap_or(0));
        let mut summary = summary(content, &clusters);
        summary.vms = counted.filter(|_| query.count_vms).or(summary.vms);
        summary
    });
    let items = items.collect();
    Ok(Page { gaps, ..window.page(items) })
}

/// Makes an error one of this operation on the host.
fn named(host: &Mo<HostSystem>, operation: &str) -> impl Fn(Error) -> Error {
    let (host, operation) = (host.label().to_owned(), operation.to_owned());
    move |error| error.in_operation(operation.clone()).on(host.clone())
}

fn parent_of(content: &ObjectContent) -> Option<ManagedObjectReference> {
    let property = content.prop_set.iter().find(|property| property.name == host::PARENT.path())?;
    property.val.clone().take().ok()
}

fn summary(content: ObjectContent, clusters: &HashMap<String, String>) -> HostSummary {
    let name = label(&content);
    let cluster = parent_of(&content).and_then(|parent| clusters.get(&parent.value).cloned());
    let id = content.obj.value;
    let mut values = Values::new(content.prop_set, content.missing_set);
    let product: Option<vsphere_model::types::AboutInfo> = optional(&mut values, host::SUMMARY_PRODUCT.path());
    let hardware: Option<vsphere_model::types::HostHardwareSummary> =
        optional(&mut values, host::SUMMARY_HARDWARE.path());
    let stats: HostListSummaryQuickStats = optional(&mut values, host::QUICK_STATS.path()).unwrap_or_default();
    let vms: Option<Vec<ManagedObjectReference>> = optional(&mut values, host::VM.path());
    HostSummary {
        name,
        id,
        connection_state: optional(&mut values, host::CONNECTION_STATE.path()).unwrap_or_default(),
        maintenance_mode: optional(&mut values, host::IN_MAINTENANCE_MODE.path()).unwrap_or(false),
        cluster,
        version: product.map(|product| product.full_name),
        model: hardware.as_ref().map(|hardware| format!("{} {}", hardware.vendor, hardware.model)),
        cpu_cores: hardware.as_ref().map(|hardware| hardware.num_cpu_cores),
        cpu_mhz: hardware.as_ref().map(|hardware| hardware.cpu_mhz),
        cpu_usage_mhz: stats.overall_cpu_usage,
        memory_mb: hardware.as_ref().map(|hardware| hardware.memory_size / (1 << 20)),
        memory_usage_mb: stats.overall_memory_usage,
        vms: vms.map(|vms| vms.len()),
    }
}
