//! Disks that go to another datastore.

use serde::Serialize;
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{VirtualDisk, VirtualMachineRelocateSpec, VirtualMachineRelocateSpecDiskLocator};

use super::{Disk, DiskChange, file_of, layout, used_bytes, uuid};
use crate::client::Client;
use crate::device::Devices;
use crate::error::{Error, ErrorKind, Result};
use crate::mounted::{self, Mounted};
use crate::task::{self, BUSY, Task};
use crate::vm::power_state_name;

const OPERATION: &str = "move a disk of";

/// What moving a disk would do.
///
/// ```
/// use vsphere_ops::disk::Relocation;
///
/// fn fits(relocation: &Relocation) -> bool {
///     relocation.free_bytes >= relocation.used_bytes
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Relocation {
    /// The machine's name.
    pub vm: String,
    /// The machine's id.
    pub id: String,
    /// The machine's state: a disk of one that runs is moved too, and more slowly.
    pub power_state: &'static str,
    /// The disk.
    #[serde(flatten)]
    pub disk: Disk,
    /// The UUID of what is behind it, which another disk of the same label and file does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// What its files take in the datastore, in bytes.
    pub used_bytes: Option<i64>,
    /// The datastore that it goes to.
    pub target_datastore: String,
    /// What is free there, in bytes.
    pub free_bytes: Option<i64>,
    /// Whether it has to move at all.
    #[serde(skip)]
    pub moves: bool,
}

/// Measures what [`relocate`] would move.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let relocation = vsphere_ops::disk::relocation(&client, "pg-01", "Hard disk 2", "nvme-02").await?;
/// println!("{:?} bytes to {}", relocation.used_bytes, relocation.target_datastore);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// Those of [`relocate`] that can be known before.
pub async fn relocation(client: &Client, vm: &str, disk: &str, datastore: &str) -> Result<Relocation> {
    client.require_vcenter(OPERATION)?;
    let machine = client.get::<VirtualMachine>(vm).await?;
    let named = |error: Error| error.in_operation(OPERATION).on(machine.label());
    let target = mounted::find(&machine, datastore).await.map_err(named)?;
    let devices = Devices::read(&machine).await.map_err(named)?;
    let (_, found) = devices.choose::<VirtualDisk>("disk", disk).map_err(named)?;
    let layout = layout(&machine).await.map_err(named)?;
    Ok(Relocation {
        vm: machine.label().to_owned(),
        id: machine.id().to_owned(),
        power_state: power_state_name(&devices.power_state),
        disk: Disk::of(devices.list(), found),
        uuid: uuid(found),
        used_bytes: used_bytes(&layout, found.key),
        target_datastore: target.datastore.label().to_owned(),
        free_bytes: target.free_bytes,
        moves: !is_there(found, &target),
    })
}

/// Moves a disk, with all that snapshots keep of it, to another datastore, and waits until it is there. One that is there
/// already is left alone. The machine may run meanwhile.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let change = vsphere_ops::disk::relocate(&client, "pg-01", "Hard disk 2", "nvme-02").await?;
/// println!("{:?} to {:?}", change.previous_datastore, change.disk.datastore);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `unsupported` where the server is no vCenter; `not_found` or `ambiguous` where it is not exactly one machine, disk and
/// datastore that the machine's host has; and the faults of the server, such as `NoDiskSpace`.
pub async fn relocate(client: &Client, vm: &str, disk: &str, datastore: &str) -> Result<DiskChange> {
    client.require_vcenter(OPERATION)?;
    let machine = client.get::<VirtualMachine>(vm).await?;
    let named = |error: Error| error.in_operation(OPERATION).on(machine.label());
    let target = mounted::find(&machine, datastore).await.map_err(named)?;
    let (machine, target) = (&machine, &target);
    let moved = client.retry_while_busy(BUSY, || async move {
        let before = Devices::read(machine).await?;
        let (_, found) = before.choose::<VirtualDisk>("disk", disk)?;
        let was = Disk::of(before.list(), found);
        if is_there(found, target) {
            return Ok((before, was, false));
        }
        let locator = VirtualMachineRelocateSpecDiskLocator {
            disk_id: found.key,
            datastore: target.datastore.reference().clone(),
            ..Default::default()
        };
        // What has no locator stays where it is.
        let spec = VirtualMachineRelocateSpec { disk: vec![locator], ..Default::default() };
        let task: Task<()> = task::start(machine, OPERATION, machine.relocate_vm_task(&spec, None)).await?;
        task.await?;
        Ok((before, was, true))
    });
    let (before, was, changed) = moved.await.map_err(named)?;
    let after = if changed { Devices::read(machine).await.map_err(named)? } else { before };
    let now = after.by_key(was.key).and_then(|device| device.downcast_ref::<VirtualDisk>());
    // Not every server does what a locator says.
    let Some(disk) = now.filter(|disk| is_there(disk, target)) else {
        let file = now.and_then(file_of).map(|file| file.file_name.as_str()).unwrap_or_default();
        let text = format!("the server says that it is done, but {} is in {file:?} now", was.label);
        return Err(named(Error::new(OPERATION, ErrorKind::Unsupported(text))));
    };
    let report = Disk::of(after.list(), disk);
    Ok(DiskChange { previous_datastore: was.datastore, ..DiskChange::new(machine, &after, changed, report) })
}

fn is_there(disk: &VirtualDisk, target: &Mounted) -> bool {
    file_of(disk).and_then(|file| file.datastore.as_ref()) == Some(target.datastore.reference())
}
