//! Disks that are taken out, with or without their files.

use serde::Serialize;
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{
    VirtualDeviceConfigSpec, VirtualDeviceConfigSpecFileOperation, VirtualDisk, VirtualIDEController,
};

use super::{Disk, DiskChange, layout, snapshots, used_bytes, uuid};
use crate::client::Client;
use crate::device::{self, label};
use crate::error::{Circumstance, Error, ErrorKind, Result};
use crate::vm::power_state_name;

const OPERATION: &str = "remove a disk of";

/// What becomes of the file of a disk that is taken out.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::disk::{self, Files};
///
/// disk::remove(&client, "pg-01", "Hard disk 2", Files::Deleted).await?;
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

/// What taking a disk out would take from its machine.
///
/// ```
/// use vsphere_ops::disk::Removal;
///
/// fn warning(removal: &Removal) -> String {
///     format!("{} of {} ({}), {:?} bytes written", removal.disk.label, removal.vm, removal.power_state, removal.used_bytes)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Removal {
    /// The machine's name.
    pub vm: String,
    /// The machine's id.
    pub id: String,
    /// The machine's state: a guest that runs may be using the disk.
    pub power_state: &'static str,
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
}

/// Measures what [`remove`] would take away.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::disk::{Files, removal};
///
/// println!("{:?}", removal(&client, "pg-01", "Hard disk 2", Files::Deleted).await?.disk.file);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// Those of [`remove`] that can be known before.
pub async fn removal(client: &Client, vm: &str, disk: &str, files: Files) -> Result<Removal> {
    let machine = client.get::<VirtualMachine>(vm).await?;
    let named = |error: Error| error.in_operation(OPERATION).on(machine.label());
    let devices = device::Devices::read(&machine).await.map_err(named)?;
    let layout = layout(&machine).await.map_err(named)?;
    let (_, disk) = devices.choose::<VirtualDisk>("disk", disk).map_err(named)?;
    check(&devices, disk, &snapshots::that_use(&devices, &layout, disk)).map_err(named)?;
    Ok(Removal {
        vm: machine.label().to_owned(),
        id: machine.id().to_owned(),
        power_state: power_state_name(&devices.power_state),
        disk: Disk::of(devices.list(), disk),
        uuid: uuid(disk),
        used_bytes: used_bytes(&layout, disk.key),
        file_deleted: files == Files::Deleted,
    })
}

/// Takes a disk out of a machine, also of one that runs, and waits until it is out.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::disk::{Files, remove};
///
/// let change = remove(&client, "pg-01", "Hard disk 2", Files::Kept).await?;
/// println!("its data is still in {:?}", change.disk.file);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` or `ambiguous` where it is not exactly one machine and disk; `unsupported` where snapshots use the disk,
/// or where it hangs on an IDE controller of a machine that runs; and the faults of the server.
pub async fn remove(client: &Client, vm: &str, disk: &str, files: Files) -> Result<DiskChange> {
    let machine = client.get::<VirtualMachine>(vm).await?;
    let named = |error: Error| error.in_operation(OPERATION).on(machine.label());
    let layout = layout(&machine).await.map_err(named)?;
    let done = device::reconfigure(&machine, OPERATION, |devices| {
        let (device, found) = devices.choose::<VirtualDisk>("disk", disk)?;
        check(devices, found, &snapshots::that_use(devices, &layout, found))?;
        let file_operation = (files == Files::Deleted).then_some(VirtualDeviceConfigSpecFileOperation::Destroy);
        Ok(vec![VirtualDeviceConfigSpec { file_operation, ..device::remove(device.clone()) }])
    })
    .await?;
    let (_, before) = done.before.choose::<VirtualDisk>("disk", disk).map_err(named)?;
    let report = Disk::of(done.before.list(), before);
    let file_deleted = Some(files == Files::Deleted);
    Ok(DiskChange { file_deleted, ..DiskChange::new(&machine, &done.after, done.changed, report) })
}

/// Whether a disk can be taken out as things are.
fn check(devices: &device::Devices, disk: &VirtualDisk, snapshots: &[String]) -> Result<()> {
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
            "{name} is on an IDE controller and can't be removed while the machine runs: power it off first"
        ));
    }
    Ok(())
}
