//! Disks that grow.

use serde::Serialize;
use vsphere_model::types::{VirtualDisk, VirtualIDEController};

use super::{Disk, DiskChange, DiskInfo, capacity, checked_size, parents};
use crate::device::{self, Device, DeviceChange, Devices, label};
use crate::error::{Circumstance, Error, ErrorKind, Result, invalid};
use crate::units::Size;

const OPERATION: &str = "resize a disk of";

/// A plan to make a disk larger. It can't be made smaller again.
///
/// ```
/// use vsphere_ops::disk::Resizing;
///
/// fn question(resizing: &Resizing) -> String {
///     let disk = &resizing.info.disk;
///     format!("{}: {} bytes, {} then?", disk.label, disk.capacity_bytes, resizing.new_bytes)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is resized before it is carried out"]
pub struct Resizing {
    /// The disk as it is.
    #[serde(flatten)]
    pub info: DiskInfo,
    /// The capacity that it would have, in bytes.
    #[serde(skip)]
    pub new_bytes: i64,
    #[serde(skip)]
    change: DeviceChange,
}

impl Device<Disk> {
    /// Plans to make the disk this many bytes large, in whole MiB. One that has the size already is left alone.
    ///
    /// The guest sees a larger disk; its partitions and file systems are its own business.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let disk = client.get::<VirtualMachine>("web-01").await?.disk("Hard disk 1").await?;
    /// let resizing = disk.resizing(80 << 30).await?;
    /// println!("seen at {}", resizing.change_version());
    /// println!("{} bytes now", resizing.carry_out().await?.disk.capacity_bytes);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for a smaller size, or one that no disk has; `unsupported` if snapshots use the disk, where it
    /// is a linked clone's, or hangs on an IDE controller of a VM that runs, and server errors.
    pub async fn resizing(&self, bytes: i64) -> Result<Resizing> {
        let named = self.named(OPERATION);
        let wanted = checked_size(bytes).map_err(&named)?;
        let info = self.info().await.map_err(&named)?;
        let (device, disk) = self.found::<VirtualDisk>(OPERATION)?;
        let has = capacity(disk);
        if wanted < has {
            let text = format!(
                "{} has {}, and a disk can't shrink to {}",
                label(disk),
                Size::of_bytes(has),
                Size::of_bytes(wanted)
            );
            return Err(named(invalid(OPERATION, text)));
        }
        let mut changes = Vec::new();
        if wanted > has {
            may_grow(self.seen().devices(), disk, &info.snapshots).map_err(&named)?;
            let mut grown = device.clone();
            if let Some(grown) = grown.downcast_mut::<VirtualDisk>() {
                grown.capacity_in_kb = wanted / 1024;
                grown.capacity_in_bytes = Some(wanted);
            }
            changes.push(device::edit(grown));
        }
        Ok(Resizing { info, new_bytes: wanted, change: self.change(OPERATION, changes) })
    }
}

impl Resizing {
    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.change.seen.change_version()
    }

    /// Makes the disk larger, and waits until it is.
    ///
    /// # Errors
    /// `changed` if the VM's configuration is no longer the one that this was planned from, and the faults of the
    /// server, such as `NoDiskSpace`.
    pub async fn carry_out(self) -> Result<DiskChange> {
        let machine = self.change.seen.machine().clone();
        let was = self.info.disk;
        let done = self.change.carry_out().await?;
        let after = done.after.by_key(was.key).and_then(|device| device.downcast_ref());
        let previous_capacity = Some(was.capacity);
        let disk = after.map_or(was, |disk| Disk::of(done.after.list(), disk));
        Ok(DiskChange { previous_capacity, ..DiskChange::new(&machine, &done.after, done.changed, disk) })
    }
}

/// Whether a disk can grow as it is.
fn may_grow(devices: &Devices, disk: &VirtualDisk, snapshots: &[String]) -> Result<()> {
    let refused = |text: String| Error::new(OPERATION, ErrorKind::Unsupported(text));
    let name = label(disk);
    if !snapshots.is_empty() {
        let list = snapshots.join(", ");
        let error = refused(format!("a disk can't grow below snapshots, and {name} has {}: {list}", snapshots.len()));
        return Err(error.with_circumstance(Circumstance::DiskHasSnapshots));
    }
    if let Some(parent) = parents(disk).first() {
        return Err(refused(format!(
            "{name} is a linked clone's disk and as large as its origin {parent}; clone the VM in full, or add a disk"
        )));
    }
    let controller = disk.controller_key.and_then(|key| devices.by_key(key));
    if devices.is_running() && controller.is_some_and(|controller| controller.is::<VirtualIDEController>()) {
        return Err(refused(format!(
            "{name} is on an IDE controller and can't grow while the VM runs: power it off first"
        )));
    }
    Ok(())
}
