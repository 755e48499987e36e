//! Disks that grow.

use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{VirtualDisk, VirtualIDEController};

use super::{Disk, DiskChange, bytes_of, capacity, layout, parents, snapshots};
use crate::client::Client;
use crate::device::{self, Devices, label};
use crate::error::{Circumstance, Error, ErrorKind, Result, invalid};
use crate::units::gib;

const OPERATION: &str = "resize a disk of";

/// Makes a disk this many GiB large, and waits until it is. One that has the size already is left alone.
///
/// The guest sees a larger disk; its partitions and file systems are its own business.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let change = vsphere_ops::disk::resize(&client, "web-01", "Hard disk 1", 80.0).await?;
/// println!("{:?} GiB before, {} now", change.previous_capacity_gb, change.disk.capacity_gb);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` or `ambiguous` where it is not exactly one machine and disk; `invalid_argument` for a smaller size;
/// `unsupported` where snapshots use the disk, where it is a linked clone's, or hangs on an IDE controller of a machine
/// that runs; and the faults of the server, such as `NoDiskSpace`.
pub async fn resize(client: &Client, vm: &str, disk: &str, new_size_gb: f64) -> Result<DiskChange> {
    let machine = client.get::<VirtualMachine>(vm).await?;
    let named = |error: Error| error.in_operation(OPERATION).on(machine.label());
    let wanted = bytes_of(new_size_gb).map_err(named)?;
    let layout = layout(&machine).await.map_err(named)?;
    let done = device::reconfigure(&machine, OPERATION, |devices| {
        let (device, found) = devices.choose::<VirtualDisk>("disk", disk)?;
        let has = capacity(found);
        if wanted == has {
            return Ok(Vec::new());
        }
        if wanted < has {
            let text = format!(
                "{} has {} GiB, and a disk can't shrink to {new_size_gb}; add a smaller disk instead",
                label(found),
                gib(has)
            );
            return Err(invalid(OPERATION, text));
        }
        let using = snapshots::that_use(devices, &layout, found);
        may_grow(devices, found, &using)?;
        let mut grown = device.clone();
        if let Some(grown) = grown.downcast_mut::<VirtualDisk>() {
            grown.capacity_in_kb = wanted / 1024;
            grown.capacity_in_bytes = Some(wanted);
        }
        Ok(vec![device::edit(grown)])
    })
    .await?;
    let (_, before) = done.before.choose::<VirtualDisk>("disk", disk).map_err(named)?;
    let after = done.after.by_key(before.key).and_then(|device| device.downcast_ref()).unwrap_or(before);
    let report = Disk::of(done.after.list(), after);
    let previous_capacity_gb = Some(gib(capacity(before)));
    Ok(DiskChange { previous_capacity_gb, ..DiskChange::new(&machine, &done.after, done.changed, report) })
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
            "{name} is a linked clone's disk and as large as its origin {parent}; clone the machine in full, or add a disk"
        )));
    }
    let controller = disk.controller_key.and_then(|key| devices.by_key(key));
    if devices.is_running() && controller.is_some_and(|controller| controller.is::<VirtualIDEController>()) {
        return Err(refused(format!(
            "{name} is on an IDE controller and can't grow while the machine runs: power it off first"
        )));
    }
    Ok(())
}
