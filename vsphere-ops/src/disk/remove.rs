//! Disks that are taken out, with or without their files.

use serde::Serialize;
use vsphere_model::types::{
    VirtualDeviceConfigSpec, VirtualDeviceConfigSpecFileOperation, VirtualDisk, VirtualIDEController,
    VirtualMachinePowerState,
};

use super::{Disk, DiskChange, layout, snapshots, used_bytes, uuid};
use crate::device::{self, Device, DeviceChange, Devices, label};
use crate::error::{Circumstance, Error, ErrorKind, Result};

const OPERATION: &str = "remove a disk of";

/// What becomes of the file of a disk that is taken out.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::disk::Files;
/// use vsphere_ops::managed::VirtualMachine;
///
/// let disk = client.get::<VirtualMachine>("pg-01").await?.disk("Hard disk 2").await?;
/// disk.removal(Files::Deleted).await?.carry_out().await?;
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// It stays in its datastore, and can be attached again.
    Kept,
    /// It is deleted with all data on it.
    Deleted,
}

/// A plan to take a disk out of its VM, with what would be lost by it.
///
/// ```
/// use vsphere_ops::disk::Removal;
///
/// fn warning(removal: &Removal) -> String {
///     format!("{} of {} ({}), {:?} bytes written", removal.disk.label, removal.vm, removal.power_state, removal.used_bytes)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is removed before it is carried out"]
pub struct Removal {
    /// The VM's name.
    pub vm: String,
    /// The VM's id.
    pub id: String,
    /// The VM's state: a guest that runs may be using the disk.
    #[serde(serialize_with = "crate::words::state")]
    pub power_state: VirtualMachinePowerState,
    /// The disk.
    #[serde(flatten)]
    pub disk: Disk,
    /// The UUID of what is behind it, which another disk of the same label and file does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// What its files take in the datastore, in bytes.
    pub used_bytes: Option<i64>,
    /// Whether its file would be deleted.
    pub file_deleted: bool,
    #[serde(skip)]
    change: DeviceChange,
}

impl Device<Disk> {
    /// Plans to take the disk out of its VM, also while that runs, and measures what would be lost.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::disk::Files;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let disk = client.get::<VirtualMachine>("pg-01").await?.disk("Hard disk 2").await?;
    /// let removal = disk.removal(Files::Kept).await?;
    /// println!("{:?} bytes written, seen at {}", removal.used_bytes, removal.change_version());
    /// let change = removal.carry_out().await?;
    /// println!("its data is still in {:?}", change.disk.file);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` if snapshots use the disk, or where it hangs on an IDE controller of a VM that runs; and those of
    /// the server.
    pub async fn removal(&self, files: Files) -> Result<Removal> {
        let named = self.named(OPERATION);
        let devices = self.seen().devices();
        let layout = layout(self.vm()).await.map_err(&named)?;
        let (device, disk) = self.found::<VirtualDisk>(OPERATION)?;
        check(devices, disk, &snapshots::that_use(devices, &layout, disk)).map_err(&named)?;
        let file_operation = (files == Files::Deleted).then_some(VirtualDeviceConfigSpecFileOperation::Destroy);
        let change = VirtualDeviceConfigSpec { file_operation, ..device::remove(device.clone()) };
        Ok(Removal {
            vm: self.vm().label().to_owned(),
            id: self.vm().id().to_owned(),
            power_state: devices.power_state.clone(),
            disk: (**self).clone(),
            uuid: uuid(disk),
            used_bytes: used_bytes(&layout, disk.key),
            file_deleted: files == Files::Deleted,
            change: self.change(OPERATION, vec![change]),
        })
    }
}

impl Removal {
    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.change.seen.change_version()
    }

    /// Takes the disk out, and waits until it is out.
    ///
    /// # Errors
    /// `changed` if the VM's configuration is no longer the one that this was planned from, and the faults of the
    /// server.
    pub async fn carry_out(self) -> Result<DiskChange> {
        let machine = self.change.seen.machine().clone();
        let done = self.change.carry_out().await?;
        let file_deleted = Some(self.file_deleted);
        Ok(DiskChange { file_deleted, ..DiskChange::new(&machine, &done.after, done.changed, self.disk) })
    }
}

/// Whether a disk can be taken out as things are.
fn check(devices: &Devices, disk: &VirtualDisk, snapshots: &[String]) -> Result<()> {
    let refused = |text: String| Err(Error::new(OPERATION, ErrorKind::Unsupported(text)));
    let name = label(disk);
    if !snapshots.is_empty() {
        let list = snapshots.join(", ");
        let text = format!("{name} is used by {} snapshots: {list}", snapshots.len());
        let error = Error::new(OPERATION, ErrorKind::Unsupported(text));
        return Err(error.with_circumstance(Circumstance::DiskHasSnapshots));
    }
    let controller = disk.controller_key.and_then(|key| devices.by_key(key));
    if devices.is_running() && controller.is_some_and(|controller| controller.is::<VirtualIDEController>()) {
        return refused(format!(
            "{name} is on an IDE controller and can't be removed while the VM runs: power it off first"
        ));
    }
    Ok(())
}
