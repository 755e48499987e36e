//! The virtual disks of a VM.
//!
//! ```
//! use vsphere_ops::disk::{Files, NewDisk};
//! use vsphere_ops::managed::VirtualMachine;
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let web = client.get::<VirtualMachine>("web-01").await?;
//! let added = web.add_disk(&NewDisk::of_bytes(40 << 30)).await?.disk;
//! let disk = web.disk(&added.label).await?;
//! disk.resizing(60 << 30).await?.carry_out().await?;
//!
//! // Each plan holds for the disk as it was seen: after a change, get it again.
//! let removal = web.disk(&added.label).await?.removal(Files::Deleted).await?;
//! println!("{:?} with {:?} bytes written would be lost", removal.disk.file, removal.used_bytes);
//! removal.carry_out().await?;
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! A disk is named by its label (`Hard disk 2`), in whatever case, or by its key. Each operation takes one task and waits
//! for it; a VM that is busy is waited for. What is planned is carried out on the very disk that was seen, or refused as
//! `changed`.

mod add;
mod relocate;
mod remove;
mod resize;
mod snapshots;

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{
    Poly, VirtualController, VirtualDevice, VirtualDeviceFileBackingInfo, VirtualDisk, VirtualDiskFlatVer2BackingInfo,
    VirtualDiskRawDiskMappingVer1BackingInfo, VirtualDiskSeSparseBackingInfo, VirtualDiskSparseVer2BackingInfo,
    VirtualMachineFileLayoutEx, VirtualMachinePowerState,
};

pub use add::{DiskMode, NewDisk};
pub use relocate::Relocation;
pub use remove::{Files, Removal};
pub use resize::Resizing;

use crate::datastore_path::DatastorePath;
use crate::device::{Device, Devices, Seen, label};
use crate::error::{Error, Result, invalid};
use crate::mo::Mo;
use crate::page::{ListQuery, Page, Window};
use crate::units::Size;

/// The largest disk that there may be, in bytes.
const LARGEST: i64 = 62 << 40;

/// A virtual disk.
///
/// ```
/// use vsphere_ops::disk::Disk;
///
/// fn line(disk: &Disk) -> String {
///     format!("{} ({}): {} in {:?}", disk.label, disk.key, disk.capacity, disk.file)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Disk {
    /// The label (`Hard disk 1`).
    pub label: String,
    /// The device key.
    pub key: i32,
    /// The capacity, shown in GiB.
    #[serde(rename = "capacity_gb")]
    pub capacity: Size,
    /// The capacity in bytes.
    pub capacity_bytes: i64,
    /// Whether its space is allocated on demand, where the server says.
    pub thin: Option<bool>,
    /// `persistent`, `independent_persistent`, `independent_nonpersistent` or one of the API's older modes.
    pub mode: Option<String>,
    /// The file, as a datastore path.
    pub file: Option<String>,
    /// The name of the datastore that has the file.
    pub datastore: Option<String>,
    /// The label of the controller that it is plugged into.
    pub controller: Option<String>,
    /// Its unit on the controller's bus.
    pub unit: Option<i32>,
}

impl Disk {
    /// The report of a device among these.
    pub(crate) fn of(all: &[Poly<VirtualDevice>], disk: &VirtualDisk) -> Self {
        let capacity_bytes = capacity(disk);
        let file = file_of(disk).map(|file| file.file_name.clone());
        let controller = all.iter().find(|device| Some(device.key) == disk.controller_key);
        Self {
            label: label(disk),
            key: disk.key,
            capacity: Size::of_bytes(capacity_bytes),
            capacity_bytes,
            thin: flat(disk).and_then(|flat| flat.thin_provisioned),
            mode: mode(disk).map(str::to_owned),
            datastore: file.as_deref().and_then(datastore_in),
            file,
            controller: controller.map(|controller| label(controller)),
            unit: disk.unit_number,
        }
    }
}

/// All about one virtual disk.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// # use vsphere_ops::managed::VirtualMachine;
/// let info = client.get::<VirtualMachine>("web-01").await?.disk("Hard disk 1").await?.info().await?;
/// println!("{} of {:?} bytes, {} snapshots", info.disk.label, info.used_bytes, info.snapshots.len());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DiskInfo {
    /// The VM's name.
    pub vm: String,
    /// The VM's id.
    pub id: String,
    /// The VM's state: `powered_on`, `powered_off` or `suspended`.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// What a list shows of it.
    #[serde(flatten)]
    pub disk: Disk,
    /// The API's type of the controller (`ParaVirtualSCSIController`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller_type: Option<String>,
    /// The number of the controller's bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<i32>,
    /// The API's type of what is behind it (`VirtualDiskFlatVer2BackingInfo`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backing: Option<String>,
    /// What the files of its chain take in the datastore, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<i64>,
    /// The disk's own UUID, which the guest may see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Whether VMs may write to it at a time: `sharingNone` or `sharingMultiWriter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharing: Option<String>,
    /// The files that it keeps the differences to, nearest first: those of snapshots, or of a linked clone's origin.
    pub parents: Vec<String>,
    /// The names of the snapshots that use it.
    pub snapshots: Vec<String>,
}

/// What a change of a disk has led to.
///
/// ```
/// use vsphere_ops::disk::DiskChange;
///
/// fn line(change: &DiskChange) -> String {
///     match change.changed {
///         true => format!("{} of {} has {} now", change.disk.label, change.vm, change.disk.capacity),
///         false => "it was so already".to_owned(),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DiskChange {
    /// The VM's name.
    pub vm: String,
    /// The VM's id.
    pub id: String,
    /// The VM's state: `powered_on`, `powered_off` or `suspended`.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// Whether anything had to be changed.
    pub changed: bool,
    /// The disk after the change; one that was removed, as it was.
    pub disk: Disk,
    /// The capacity before, shown in GiB.
    #[serde(rename = "previous_capacity_gb", skip_serializing_if = "Option::is_none")]
    pub previous_capacity: Option<Size>,
    /// The datastore before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_datastore: Option<String>,
    /// The label of a controller that was added for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_controller: Option<String>,
    /// Whether the file of a removed disk was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_deleted: Option<bool>,
}

impl DiskChange {
    fn new(machine: &Mo<VirtualMachine>, devices: &Devices, changed: bool, disk: Disk) -> Self {
        Self {
            vm: machine.label().to_owned(),
            id: machine.id().to_owned(),
            power_state: devices.power_state.clone(),
            changed,
            disk,
            previous_capacity: None,
            previous_datastore: None,
            new_controller: None,
            file_deleted: None,
        }
    }
}

impl Mo<VirtualMachine> {
    /// Lists the disks of the VM in the order of their keys, which is that of their places.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// for disk in web.list_disks(&Default::default()).await?.items {
    ///     println!("{}: {} on {:?}", disk.label, disk.capacity, disk.datastore);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `permission` if the configuration can't be read, and server errors.
    pub async fn list_disks(&self, query: &ListQuery) -> Result<Page<Disk>> {
        let devices = Devices::read(self).await?;
        let glob = query.glob();
        let disks = devices.of().map(|(_, disk)| Disk::of(devices.list(), disk));
        let fitting = disks.filter(|disk| glob.as_ref().is_none_or(|glob| glob.fits(&disk.label)));
        Ok(Window::of(fitting, |disk| disk.key, query)?.into())
    }

    /// The disk of the VM with this label or key.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let disk = client.get::<VirtualMachine>("web-01").await?.disk("Hard disk 1").await?;
    /// println!("{:?} has {} bytes", disk.file, disk.capacity_bytes);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` with the labels and keys that there are, `ambiguous`, and the errors of [`list_disks`](Self::list_disks).
    pub async fn disk(&self, what: &str) -> Result<Device<Disk>> {
        let named = |error: Error| error.in_operation("find the disk of").on(self.label());
        let seen = Seen::now(self).await?;
        let (_, disk) = seen.devices().choose::<VirtualDisk>("disk", what).map_err(named)?;
        let (key, facts) = (disk.key, Disk::of(seen.devices().list(), disk));
        Ok(Device::new(&seen, key, facts))
    }
}

impl Device<Disk> {
    /// Reads all about the disk.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let info = client.get::<VirtualMachine>("web-01").await?.disk("2000").await?.info().await?;
    /// println!("{:?} on {:?}", info.disk.file, info.controller_type);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors.
    pub async fn info(&self) -> Result<DiskInfo> {
        let (machine, devices) = (self.vm(), self.seen().devices());
        let layout = layout(machine).await?;
        let (_, disk) = self.found::<VirtualDisk>("find the disk of")?;
        let controller = disk.controller_key.and_then(|key| devices.by_key(key));
        let bus = controller.and_then(|controller| controller.downcast_ref::<VirtualController>());
        Ok(DiskInfo {
            vm: machine.label().to_owned(),
            id: machine.id().to_owned(),
            power_state: devices.power_state.clone(),
            disk: (**self).clone(),
            controller_type: controller.map(|controller| controller.type_name().to_owned()),
            bus: bus.map(|it| it.bus_number),
            backing: disk.backing.as_ref().map(|backing| backing.type_name().to_owned()),
            used_bytes: used_bytes(&layout, disk.key),
            uuid: uuid(disk),
            sharing: flat(disk).and_then(|flat| flat.sharing.clone()),
            parents: parents(disk),
            snapshots: snapshots::that_use(devices, &layout, disk),
        })
    }
}

/// The VM's files.
async fn layout(machine: &Mo<VirtualMachine>) -> Result<VirtualMachineFileLayoutEx> {
    Ok(machine.read(vm::LAYOUT_EX).await?.unwrap_or_default())
}

/// What the files of a disk's chain take, in bytes.
fn used_bytes(layout: &VirtualMachineFileLayoutEx, key: i32) -> Option<i64> {
    let disk = layout.disk.iter().find(|disk| disk.key == key)?;
    let keys: Vec<i32> = disk.chain.iter().flat_map(|unit| unit.file_key.iter().copied()).collect();
    Some(layout.file.iter().filter(|file| keys.contains(&file.key)).map(|file| file.size).sum())
}

/// The files that a disk keeps the differences to, nearest first.
fn parents(disk: &VirtualDisk) -> Vec<String> {
    let first = flat(disk).and_then(|flat| flat.parent.as_deref());
    std::iter::successors(first, |flat| flat.parent.as_deref()).map(|flat| flat.file_name.clone()).collect()
}

/// The capacity of a disk in bytes.
pub(crate) fn capacity(disk: &VirtualDisk) -> i64 {
    disk.capacity_in_bytes.unwrap_or(disk.capacity_in_kb.saturating_mul(1024))
}

/// The UUID of what is behind a disk, where that is a file of its own.
pub(crate) fn uuid(disk: &VirtualDisk) -> Option<String> {
    flat(disk)?.uuid.clone()
}

/// The backing that is an ordinary file, of a disk that has one.
pub(crate) fn flat(disk: &VirtualDisk) -> Option<&VirtualDiskFlatVer2BackingInfo> {
    disk.backing.as_ref()?.downcast_ref()
}

fn file_of(disk: &VirtualDisk) -> Option<&VirtualDeviceFileBackingInfo> {
    disk.backing.as_ref()?.downcast_ref()
}

/// The mode, which each kind of backing has for itself.
fn mode(disk: &VirtualDisk) -> Option<&str> {
    let backing = disk.backing.as_ref()?;
    let flat = backing.downcast_ref::<VirtualDiskFlatVer2BackingInfo>().map(|it| it.disk_mode.as_str());
    let se_sparse = || backing.downcast_ref::<VirtualDiskSeSparseBackingInfo>().map(|it| it.disk_mode.as_str());
    let sparse = || backing.downcast_ref::<VirtualDiskSparseVer2BackingInfo>().map(|it| it.disk_mode.as_str());
    let raw = || backing.downcast_ref::<VirtualDiskRawDiskMappingVer1BackingInfo>()?.disk_mode.as_deref();
    flat.or_else(se_sparse).or_else(sparse).or_else(raw)
}

/// The name of the datastore in the path of a file.
fn datastore_in(file: &str) -> Option<String> {
    let path: DatastorePath = file.parse().ok()?;
    Some(crate::name::decode(path.datastore()))
}

/// A size that a disk can have: whole MiB.
fn checked_size(bytes: i64) -> Result<i64> {
    if (1..=LARGEST).contains(&bytes) && bytes % (1 << 20) == 0 {
        return Ok(bytes);
    }
    Err(invalid("size", format!("{bytes} bytes is no size of a disk: it has whole MiB, from 1 to {}", LARGEST >> 20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_mebibytes() {
        for size in [1 << 20, 1 << 29, LARGEST] {
            assert_eq!(checked_size(size).unwrap(), size);
        }
        for wrong in [0, -1, i64::MIN, i64::MAX, LARGEST + (1 << 20), (1 << 20) + 1] {
            assert_eq!(checked_size(wrong).unwrap_err().code(), "invalid_argument", "{wrong}");
        }
    }

    #[test]
    fn the_datastore_of_a_file_is_in_its_path() {
        assert_eq!(datastore_in("[nvme 1] web/web.vmdk").as_deref(), Some("nvme 1"));
        assert_eq!(datastore_in("[a%2fb] web.vmdk").as_deref(), Some("a/b"));
        assert_eq!(datastore_in(""), None);
    }
}
