//! Datastores: how full they are, and who uses them.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! use vsphere_ops::managed::Datastore;
//!
//! let nvme = client.get::<Datastore>("nvme-01").await?.info().await?;
//! println!("{:?} of {:?} free, {} VMs", nvme.free, nvme.capacity, nvme.vm_count);
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! Files in datastores are named by a [`DatastorePath`](crate::DatastorePath) and moved by [`transfer`](crate::transfer).

mod list;

use serde::Serialize;
use vsphere_model::managed::{Datastore, datastore};
use vsphere_model::types::DatastoreSummaryMaintenanceModeState::{self as MaintenanceMode, Normal};
use vsphere_model::types::{DatastoreHostMount, ManagedObjectReference};

use crate::client::Client;
use crate::error::Result;
use crate::find;
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::named::{NAMED, Named};
use crate::units::{Size, percent};

pub use list::{DatastoreColumn, DatastoreItem, DatastoreQuery, groups, list};

/// All about one datastore.
///
/// ```
/// use vsphere_ops::datastore::DatastoreInfo;
///
/// fn is_overcommitted(datastore: &DatastoreInfo) -> bool {
///     datastore.provisioned > datastore.capacity
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DatastoreInfo {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// The type of the file system: `VMFS`, `NFS`, `NFS41`, `vsan`, `VVOL`…
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether any host can reach it. Sizes are known of such a datastore alone.
    pub accessible: bool,
    /// How far it is with maintenance.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub maintenance_mode: MaintenanceMode,
    /// The size in GiB.
    #[serde(rename = "capacity_gb", skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Size>,
    /// What is free of it, in GiB.
    #[serde(rename = "free_gb", skip_serializing_if = "Option::is_none")]
    pub free: Option<Size>,
    /// What is in use, in GiB.
    #[serde(rename = "used_gb", skip_serializing_if = "Option::is_none")]
    pub used: Option<Size>,
    /// How much of the size is free, in per cent.
    #[serde(serialize_with = "crate::units::two_digits_if_known", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub free_percent: Option<f64>,
    /// What thin disks and swap files may still grow by, in GiB, where the server says.
    #[serde(rename = "uncommitted_gb", skip_serializing_if = "Option::is_none")]
    pub uncommitted: Option<Size>,
    /// What would be in use when all had grown, in GiB.
    #[serde(rename = "provisioned_gb", skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<Size>,
    /// Where it is found, whatever its name.
    pub url: String,
    /// How many hosts mount it.
    pub host_count: usize,
    /// These hosts, at most 50.
    pub hosts: Vec<Mount>,
    /// How many VMs have files in it.
    pub vm_count: usize,
    /// These VMs and templates, at most 50.
    pub vms: Vec<Named>,
    /// What is not known of it, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// How a host mounts a datastore.
///
/// ```
/// use vsphere_ops::datastore::Mount;
///
/// fn is_in_trouble(mount: &Mount) -> bool {
///     mount.accessible == Some(false) || mount.access_mode == "readOnly"
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mount {
    /// The host's name.
    pub name: String,
    /// Its managed object id.
    pub id: String,
    /// `readWrite` or `readOnly`.
    pub access_mode: String,
    /// Whether the host can reach it, where the server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accessible: Option<bool>,
    /// Why the host can not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inaccessible_reason: Option<String>,
}

impl Mo<Datastore> {
    /// Reads all about the datastore.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::Datastore;
    ///
    /// let datastore = client.get::<Datastore>("/fra1/datastore/nvme-01").await?.info().await?;
    /// println!("{} is a {} on {} hosts", datastore.name, datastore.type_, datastore.host_count);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, such as a datastore that is gone.
    pub async fn info(&self) -> Result<DatastoreInfo> {
        let client = self.client();
        let ((summary, mounts, vms), mut gaps) =
            self.read_known((datastore::SUMMARY, datastore::HOST, datastore::VM)).await?;
        let path = gaps.part("the inventory path", self.path().await);
        let host_count = mounts.len();
        let hosts = gaps.part("its hosts", hosts(client, mounts).await);
        let named = gaps.part("the VMs in it", Named::some(client, &vms).await);
        // Of what no host reaches the server tells the last sizes, or none.
        let known = summary.accessible;
        let used = summary.capacity - summary.free_space;
        let size = |bytes: i64| known.then(|| Size::of_bytes(bytes));
        #[allow(clippy::cast_precision_loss, reason = "a share in per cent is shown with two digits")]
        let share = percent(summary.free_space as f64, summary.capacity as f64);
        Ok(DatastoreInfo {
            name: crate::name::decode(&summary.name),
            id: self.id().to_owned(),
            path,
            type_: summary.type_,
            accessible: summary.accessible,
            maintenance_mode: summary.maintenance_mode.as_deref().map_or(Normal, MaintenanceMode::from),
            capacity: size(summary.capacity),
            free: size(summary.free_space),
            used: size(used),
            free_percent: share.filter(|_| known),
            uncommitted: summary.uncommitted.and_then(size),
            provisioned: summary.uncommitted.and_then(|uncommitted| size(used + uncommitted)),
            url: summary.url,
            host_count,
            hosts,
            vm_count: vms.len(),
            vms: named,
            gaps,
        })
    }
}

async fn hosts(client: &Client, mounts: Vec<DatastoreHostMount>) -> Result<Vec<Mount>> {
    let mounts: Vec<DatastoreHostMount> = mounts.into_iter().take(NAMED).collect();
    let references: Vec<ManagedObjectReference> = mounts.iter().map(|mount| mount.key.clone()).collect();
    let mut names = find::names(client, references).await?;
    let mount = |DatastoreHostMount { key, mount_info }: DatastoreHostMount| Mount {
        name: names.remove(&key.value).unwrap_or_else(|| key.value.clone()),
        id: key.value,
        access_mode: mount_info.access_mode,
        accessible: mount_info.accessible,
        inaccessible_reason: mount_info.inaccessible_reason,
    };
    let mut hosts: Vec<Mount> = mounts.into_iter().map(mount).collect();
    hosts.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(hosts)
}
