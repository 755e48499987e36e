//! Disks that go to another datastore.

use serde::Serialize;
use vsphere_model::managed::{Datastore, VirtualMachine, datastore as ds};
use vsphere_model::types::{
    VirtualDisk, VirtualMachinePowerState, VirtualMachineRelocateSpec, VirtualMachineRelocateSpecDiskLocator,
};

use super::{Disk, DiskChange, file_of, layout, used_bytes, uuid};
use crate::device::{Device, Devices, Seen};
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::mounted;
use crate::task::{self, BUSY, Task};

const OPERATION: &str = "move a disk of";

/// A plan to move a disk.
///
/// ```
/// use vsphere_ops::disk::Relocation;
///
/// fn fits(relocation: &Relocation) -> bool {
///     relocation.free_bytes >= relocation.used_bytes
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is moved before it is carried out"]
pub struct Relocation {
    /// The VM's name.
    pub vm: String,
    /// The VM's id.
    pub id: String,
    /// The VM's state: a disk of one that runs is moved too, and more slowly.
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
    /// The datastore that it goes to.
    pub target_datastore: String,
    /// What is free there, in bytes.
    pub free_bytes: Option<i64>,
    /// Whether it has to move at all.
    #[serde(skip)]
    pub moves: bool,
    #[serde(skip)]
    target: Mo<Datastore>,
    #[serde(skip)]
    seen: Seen,
}

impl Mo<VirtualMachine> {
    /// The datastore with this name, path or id that the VM's host has mounted: the only ones that its disks can be in, and
    /// among them names are unique.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let nvme = client.get::<VirtualMachine>("pg-01").await?.datastore("nvme-02").await?;
    /// println!("{nvme}");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` with the existing ones, `unsupported` if it is not accessible, and server errors.
    pub async fn datastore(&self, what: &str) -> Result<Mo<Datastore>> {
        let found =
            mounted::find(self, what).await.map_err(|error| error.in_operation("find a datastore of").on(self.label()));
        Ok(found?.datastore)
    }
}

impl Device<Disk> {
    /// Plans to move the disk, with all that snapshots keep of it, to another datastore. One that is there already is left
    /// alone. The VM may run meanwhile.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let pg = client.get::<VirtualMachine>("pg-01").await?;
    /// let nvme = pg.datastore("nvme-02").await?;
    /// let relocation = pg.disk("Hard disk 2").await?.relocation(&nvme).await?;
    /// println!("{:?} bytes to {}, seen at {}", relocation.used_bytes, relocation.target_datastore, relocation.change_version());
    /// let change = relocation.carry_out().await?;
    /// println!("{:?} to {:?}", change.previous_datastore, change.disk.datastore);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` if the server is no vCenter, and server errors.
    pub async fn relocation(&self, datastore: &Mo<Datastore>) -> Result<Relocation> {
        self.vm().client().require_vcenter(OPERATION)?;
        let named = self.named(OPERATION);
        let free_bytes = datastore.read(ds::FREE_SPACE).await.map_err(&named)?;
        let layout = layout(self.vm()).await.map_err(&named)?;
        let (_, disk) = self.found::<VirtualDisk>(OPERATION)?;
        Ok(Relocation {
            vm: self.vm().label().to_owned(),
            id: self.vm().id().to_owned(),
            power_state: self.power_state().clone(),
            disk: (**self).clone(),
            uuid: uuid(disk),
            used_bytes: used_bytes(&layout, disk.key),
            target_datastore: datastore.label().to_owned(),
            free_bytes: Some(free_bytes),
            moves: !is_there(disk, datastore),
            target: datastore.clone(),
            seen: self.seen().clone(),
        })
    }
}

impl Relocation {
    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.seen.change_version()
    }

    /// Moves the disk, and waits until it is there.
    ///
    /// `RelocateVM_Task` takes no change version, and names the disk by its key. So the VM is looked at right before it is
    /// called. Where the disk is replaced between that look and the call, the other one moves; what moved is compared
    /// afterwards, and such a move is an error. Nothing is lost by it.
    ///
    /// # Errors
    /// `changed` if the VM is no longer as it was when this was planned, and the faults of the server, such as
    /// `NoDiskSpace`.
    pub async fn carry_out(self) -> Result<DiskChange> {
        let (seen, machine) = (&self.seen, self.seen.machine());
        let named = |error: Error| seen.named(OPERATION, error);
        if !self.moves {
            return Ok(self.change(seen.devices(), false, self.disk.clone()));
        }
        let locator = VirtualMachineRelocateSpecDiskLocator {
            disk_id: self.disk.key,
            datastore: self.target.reference().clone(),
            ..Default::default()
        };
        // What has no locator stays where it is.
        let spec = &VirtualMachineRelocateSpec { disk: vec![locator], ..Default::default() };
        let moved = machine.client().retry_while_busy(BUSY, || async move {
            seen.must_be_so(OPERATION).await?;
            let task: Task<()> = task::start(machine, OPERATION, machine.relocate_vm_task(spec, None)).await?;
            task.await
        });
        moved.await.map_err(named)?;
        let after = Devices::read(machine).await.map_err(named)?;
        let now = after.by_key(self.disk.key).and_then(|device| device.downcast_ref::<VirtualDisk>());
        if now.is_none_or(|now| uuid(now) != self.uuid) {
            let text = format!("{} was replaced just before, and what has its key now was moved", self.disk.label);
            return Err(named(Error::new(OPERATION, ErrorKind::Changed(text))));
        }
        // Not every server does what a locator says.
        let Some(disk) = now.filter(|disk| is_there(disk, &self.target)) else {
            let file = now.and_then(file_of).map(|file| file.file_name.as_str()).unwrap_or_default();
            let text = format!("the server says that it is done, but {} is in {file:?} now", self.disk.label);
            return Err(named(Error::new(OPERATION, ErrorKind::Unsupported(text))));
        };
        Ok(self.change(&after, true, Disk::of(after.list(), disk)))
    }

    fn change(&self, devices: &Devices, changed: bool, disk: Disk) -> DiskChange {
        let previous_datastore = self.disk.datastore.clone();
        DiskChange { previous_datastore, ..DiskChange::new(self.seen.machine(), devices, changed, disk) }
    }
}

fn is_there(disk: &VirtualDisk, target: &Mo<Datastore>) -> bool {
    file_of(disk).and_then(|file| file.datastore.as_ref()) == Some(target.reference())
}
