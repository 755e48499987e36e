//! Snapshots are taken and renamed.

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, VirtualMachineSnapshot, virtual_machine as vm};
use vsphere_model::types::VirtualMachinePowerState;

use super::{SnapshotInfo, Tree};
use crate::error::{Circumstance, Error, ErrorKind, Result, invalid};
use crate::mo::Mo;
use crate::power::tools_run;
use crate::task::{self, BUSY, Task};

/// A snapshot that is to be taken: of the disks alone, unless more is asked for.
///
/// ```
/// use vsphere_ops::snapshot::NewSnapshot;
///
/// let quick = NewSnapshot::new("before the update");
/// let running = NewSnapshot::new("running").description("with all that is open").with_memory();
/// let backup = NewSnapshot::new("nightly").quiesced();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nothing is taken before `take_snapshot` is called with it"]
pub struct NewSnapshot {
    name: String,
    description: Option<String>,
    memory: bool,
    quiesce: bool,
}

impl NewSnapshot {
    /// A snapshot of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), description: None, memory: false, quiesce: false }
    }

    /// Says what it is for.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Keeps the memory of a VM that runs, so that it runs on from there when one goes back. It takes as much room
    /// as the VM has memory.
    pub fn with_memory(mut self) -> Self {
        self.memory = true;
        self
    }

    /// Has VMware Tools bring the file systems of a VM that runs to rest before.
    pub fn quiesced(mut self) -> Self {
        self.quiesce = true;
        self
    }
}

impl Mo<VirtualMachine> {
    /// Takes a snapshot.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::snapshot::NewSnapshot;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// let snapshot = web.create_snapshot(&NewSnapshot::new("before the update").quiesced()).await?.await?;
    /// // … and if the update has failed:
    /// snapshot.revert().await?.await?;
    /// snapshot.delete().await?.await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` if the guest can't be quiesced because VMware Tools do not run in it, which a server may pass over
    /// silently; and the server's faults, such as `SnapshotFault` and faults that extend it.
    pub async fn create_snapshot(&self, new: &NewSnapshot) -> Result<Task<Mo<VirtualMachineSnapshot>>> {
        const OPERATION: &str = "take a snapshot of";
        if new.name.trim().is_empty() {
            return Err(invalid(OPERATION, "the snapshot's name is empty").on(self.label()));
        }
        if new.quiesce {
            let (state, tools) = self.read((vm::POWER_STATE, vm::TOOLS_RUNNING_STATUS)).await?;
            if state == VirtualMachinePowerState::PoweredOn && !tools_run(tools.as_deref()) {
                let text = "VMware Tools do not run in its guest, which is why it can't be quiesced";
                let error = Error::new(OPERATION, ErrorKind::Unsupported(text.to_owned())).on(self.label());
                return Err(error.with_circumstance(Circumstance::ToolsNotRunning));
            }
        }
        let request = self.create_snapshot_task(&new.name, new.description.as_deref(), new.memory, new.quiesce);
        task::start(self, OPERATION, request).await
    }
}

impl Mo<VirtualMachineSnapshot> {
    /// Takes the VM back to this snapshot. What has changed since is lost, unless another snapshot keeps it. The
    /// VM runs afterwards where the snapshot holds memory, and is off otherwise.
    ///
    /// # Errors
    /// `not_found` if the snapshot no longer exists, and the server's faults.
    pub async fn revert(&self) -> Result<Task<()>> {
        task::start(self, "revert to", self.revert_to_snapshot_task(None, None)).await
    }

    /// Deletes this snapshot. The VM stays as it is; its child snapshots then depend on its parent.
    ///
    /// # Errors
    /// `not_found` if the snapshot no longer exists, and the server's faults.
    pub async fn delete(&self) -> Result<Task<()>> {
        task::start(self, "delete snapshot", self.remove_snapshot_task(false, Some(true))).await
    }

    /// Deletes this snapshot and its descendants. The VM stays as it is.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// let erp = client.get::<VirtualMachine>("erp-app-01").await?;
    /// erp.snapshot("/before 2026.2 upgrade").await?.delete_with_children().await?.await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if the snapshot no longer exists, and the server's faults.
    pub async fn delete_with_children(&self) -> Result<Task<()>> {
        task::start(self, "delete snapshots", self.remove_snapshot_task(true, Some(true))).await
    }
}

/// A snapshot as it is after a change.
///
/// ```
/// use vsphere_ops::snapshot::SnapshotChange;
///
/// fn line(change: &SnapshotChange) -> String {
///     format!("{} from {}", change.snapshot.path, change.snapshot.created)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SnapshotChange {
    /// Whether there was anything to change.
    pub changed: bool,
    /// The snapshot.
    pub snapshot: SnapshotInfo,
}

impl Mo<VirtualMachine> {
    /// Takes a snapshot of the VM, waits until it is taken, and measures it. A VM that is busy is waited for.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::snapshot::NewSnapshot;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// let taken = web.take_snapshot(&NewSnapshot::new("before the update")).await?;
    /// println!("{} is {}", taken.snapshot.path, taken.snapshot.id);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`create_snapshot`](Self::create_snapshot).
    pub async fn take_snapshot(&self, new: &NewSnapshot) -> Result<SnapshotChange> {
        let taken = self.client().retry_while_busy(BUSY, || async { self.create_snapshot(new).await?.await });
        let taken = taken.await?;
        let snapshot = Tree::measured(self).await?.with_id(self, taken.id())?;
        Ok(SnapshotChange { changed: true, snapshot })
    }

    /// Plans to give the snapshot of this name, path or id another name, another description, or both.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let erp = client.get::<VirtualMachine>("erp-app-01").await?;
    /// let renaming = erp.snapshot_renaming("snapshot-157", Some("release 12"), None).await?;
    /// println!("{} has the description {:?}", renaming.snapshot.path, renaming.snapshot.description);
    /// renaming.carry_out().await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` if neither is given, `not_found` if there is no such snapshot, `ambiguous` if several
    /// have the name, and server errors.
    pub async fn snapshot_renaming(
        &self,
        snapshot: &str,
        name: Option<&str>,
        description: Option<&str>,
    ) -> Result<SnapshotRenaming> {
        if name.is_none() && description.is_none() {
            let text = "neither a new name nor a new description is given";
            return Err(invalid(RENAME, text).on(format!("{snapshot} of {}", self.label())));
        }
        let snapshot = Tree::measured(self).await?.one(self, snapshot)?.clone();
        let (name, description) = (name.map(str::to_owned), description.map(str::to_owned));
        Ok(SnapshotRenaming { snapshot, name, description, machine: self.clone() })
    }
}

const RENAME: &str = "rename snapshot";

/// A plan to give a snapshot another name or description.
///
/// ```
/// use vsphere_ops::snapshot::SnapshotRenaming;
///
/// fn loses_its_description(renaming: &SnapshotRenaming) -> bool {
///     renaming.description.is_some() && !renaming.snapshot.description.is_empty()
/// }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is renamed before it is carried out"]
pub struct SnapshotRenaming {
    /// The snapshot as it is.
    pub snapshot: SnapshotInfo,
    /// The new name.
    pub name: Option<String>,
    /// The new description.
    pub description: Option<String>,
    machine: Mo<VirtualMachine>,
}

impl SnapshotRenaming {
    /// Renames the snapshot, which is known by its id whatever it is called now.
    ///
    /// # Errors
    /// `not_found` if it is gone, and server errors.
    pub async fn carry_out(self) -> Result<SnapshotChange> {
        let Self { snapshot: before, name, description, machine } = self;
        let (name, description) = (name.as_deref(), description.as_deref());
        let object = before.object(&machine);
        let changed = name.is_some_and(|name| name != before.name)
            || description.is_some_and(|description| *description != *before.description);
        if changed {
            let renamed = machine.client().retry_while_busy(BUSY, || async {
                let renamed = object.rename_snapshot(name, description).await;
                renamed.map_err(|error| Error::from(error).in_operation(RENAME).on(object.label()))
            });
            renamed.await?;
        }
        let snapshot = Tree::measured(&machine).await?.with_id(&machine, object.id())?;
        Ok(SnapshotChange { changed, snapshot })
    }
}
