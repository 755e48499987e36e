//! A VM as it was seen at one moment. What is planned from that view is carried out only while the VM is still so.

use std::fmt;
use std::sync::Arc;

use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{
    Poly, VirtualDevice, VirtualDeviceConfigSpec, VirtualDeviceFileBackingInfo, VirtualDisk, VirtualMachineConfigInfo,
    VirtualMachineConfigSpec, VirtualMachineSnapshotInfo, VirtualMachineSnapshotTree,
};

use super::{Devices, Reconfigured};
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::task::{self, BUSY, Task};

/// A VM and its devices as they were read. A clone is the same view.
#[derive(Clone)]
pub(crate) struct Seen {
    machine: Mo<VirtualMachine>,
    devices: Arc<Devices>,
}

impl Seen {
    /// Reads the VM.
    ///
    /// # Errors
    /// The errors of [`Devices::read`].
    pub(crate) async fn now(machine: &Mo<VirtualMachine>) -> Result<Self> {
        Ok(Self::new(machine, Devices::read(machine).await?))
    }

    pub(crate) fn new(machine: &Mo<VirtualMachine>, devices: Devices) -> Self {
        Self { machine: machine.clone(), devices: Arc::new(devices) }
    }

    pub(crate) fn machine(&self) -> &Mo<VirtualMachine> {
        &self.machine
    }

    pub(crate) fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The version of the configuration that was seen; empty where the server has none.
    pub(crate) fn change_version(&self) -> &str {
        &self.devices.config.change_version
    }

    /// Changes the configuration by one task, unless it has changed since it was seen. The server decides that by the
    /// change version. A VM that is busy is waited for, and the same specification is sent again with the same version.
    ///
    /// # Errors
    /// `changed` if the VM is no longer as it was seen, and the faults of the server with what helps against them.
    pub(crate) async fn reconfigure(&self, operation: &str, spec: VirtualMachineConfigSpec) -> Result<()> {
        let change_version = Some(self.change_version()).filter(|version| !version.is_empty()).map(str::to_owned);
        let spec = &VirtualMachineConfigSpec { change_version, ..spec };
        let done = self.machine.client().retry_while_busy(BUSY, || async move {
            if spec.change_version.is_none() {
                self.must_be_so(operation).await?;
            }
            match self.send(operation, spec).await {
                // Other changes may have been in the way, of which none was of the configuration.
                Err(error) if error.is_fault("ConcurrentAccess") => {
                    self.must_be_so(operation).await?;
                    Err(error)
                }
                ended => ended,
            }
        });
        done.await.map_err(|error| self.named(operation, error))
    }

    async fn send(&self, operation: &str, spec: &VirtualMachineConfigSpec) -> Result<()> {
        let task: Task<()> = task::start(&self.machine, operation, self.machine.reconfig_vm_task(spec)).await?;
        task.await
    }

    /// The error as that of an operation on this VM.
    pub(crate) fn named(&self, operation: &str, error: Error) -> Error {
        error.in_operation(operation).on(self.machine.label())
    }

    /// Looks whether the VM is still as it was seen.
    ///
    /// # Errors
    /// The errors of [`Contents::must_be_so`].
    pub(crate) async fn must_be_so(&self, operation: &str) -> Result<()> {
        let Devices { config, snapshot, .. } = &*self.devices;
        Contents::of(Some(config), snapshot.as_ref()).must_be_so(&self.machine, operation).await
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at version {:?}", self.machine, self.change_version())
    }
}

/// What tells one state of a VM from another: the version of its configuration, its devices by key and type, each disk by
/// what is behind it, and its snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    version: String,
    held: Vec<(i32, String, Option<String>)>,
    snapshots: Vec<String>,
}

impl Contents {
    /// Those of a VM whose configuration and snapshots were read, as far as they can be.
    pub(crate) fn of(config: Option<&VirtualMachineConfigInfo>, snapshot: Option<&VirtualMachineSnapshotInfo>) -> Self {
        let devices = config.map(|config| config.hardware.device.as_slice()).unwrap_or_default();
        let held = |device: &Poly<VirtualDevice>| {
            let disk = device.downcast_ref::<VirtualDisk>();
            (device.key, device.type_name().to_owned(), disk.and_then(behind))
        };
        let mut held: Vec<_> = devices.iter().map(held).collect();
        held.sort();
        let mut snapshots = Vec::new();
        gather(snapshot.map(|info| info.root_snapshot_list.as_slice()).unwrap_or_default(), &mut snapshots);
        Self { version: config.map(|config| config.change_version.clone()).unwrap_or_default(), held, snapshots }
    }

    /// The version of the configuration; empty where it is not known.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Looks whether the VM is still so. An operation that takes no version is preceded by this: what changes between the
    /// answer and the operation, the API gives no means to refuse.
    ///
    /// # Errors
    /// `changed` if it is not, and server errors.
    pub(crate) async fn must_be_so(&self, machine: &Mo<VirtualMachine>, operation: &str) -> Result<()> {
        match *self == Self::now(machine).await? {
            true => Ok(()),
            false => Err(changed(operation).on(machine.label())),
        }
    }

    /// Whether the VM holds the same, of whatever version: the server may write another one with the power state.
    pub(crate) async fn is_held(&self, machine: &Mo<VirtualMachine>) -> Result<bool> {
        let now = Self::now(machine).await?;
        Ok(now.held == self.held && now.snapshots == self.snapshots)
    }

    async fn now(machine: &Mo<VirtualMachine>) -> Result<Self> {
        let (config, snapshot) = machine.read((vm::CONFIG, vm::SNAPSHOT)).await?;
        Ok(Self::of(config.as_ref(), snapshot.as_ref()))
    }
}

/// What is behind a disk: its UUID, or the file of one that has none.
fn behind(disk: &VirtualDisk) -> Option<String> {
    let file = || Some(disk.backing.as_ref()?.downcast_ref::<VirtualDeviceFileBackingInfo>()?.file_name.clone());
    crate::disk::uuid(disk).or_else(file)
}

fn gather(trees: &[VirtualMachineSnapshotTree], into: &mut Vec<String>) {
    for tree in trees {
        into.push(tree.snapshot.value.clone());
        gather(&tree.child_snapshot_list, into);
    }
}

/// The error of a plan that does not hold any longer.
fn changed(operation: &str) -> Error {
    let text = "the VM has changed since this was planned, so nothing was done";
    Error::new(operation, ErrorKind::Changed(text.to_owned()))
}

/// A change of devices, planned from a view of their VM.
#[derive(Debug, Clone)]
pub(crate) struct DeviceChange {
    pub(crate) seen: Seen,
    pub(crate) operation: &'static str,
    /// Empty where everything is as wanted.
    pub(crate) changes: Vec<VirtualDeviceConfigSpec>,
}

impl DeviceChange {
    /// Makes the change by one task, and reads the VM again. Where everything is as wanted, nothing is sent.
    ///
    /// # Errors
    /// The errors of [`Seen::reconfigure`].
    pub(crate) async fn carry_out(self) -> Result<Reconfigured> {
        let Self { seen, operation, changes } = self;
        let before = seen.devices().clone();
        if changes.is_empty() {
            return Ok(Reconfigured { after: before.clone(), before, changed: false });
        }
        let device_change = changes.into_iter().map(Poly::new).collect();
        seen.reconfigure(operation, VirtualMachineConfigSpec { device_change, ..Default::default() }).await?;
        let after = Devices::read(seen.machine()).await.map_err(|error| seen.named(operation, error))?;
        Ok(Reconfigured { before, after, changed: true })
    }
}
