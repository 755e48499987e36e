//! Snapshots are taken, gone back to, deleted, renamed.

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, VirtualMachineSnapshot, virtual_machine as vm};
use vsphere_model::types::VirtualMachinePowerState;

use super::{SnapshotInfo, Tree};
use crate::client::Client;
use crate::error::{Circumstance, Error, ErrorKind, Result, invalid};
use crate::mo::Mo;
use crate::power::tools_run;
use crate::several::{self, Report};
use crate::task::{self, BUSY, Task};
use crate::vm::power_state_name;

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
#[must_use = "nothing is taken before `create` is called with it"]
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

    /// Keeps the memory of a machine that runs, so that it runs on from there when one goes back. It takes as much room
    /// as the machine has memory.
    pub fn with_memory(mut self) -> Self {
        self.memory = true;
        self
    }

    /// Has VMware Tools bring the file systems of a machine that runs to rest before.
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
    /// // … and where the update has failed:
    /// snapshot.revert().await?.await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` where the guest can't be quiesced because VMware Tools do not run in it, which a server may pass over
    /// in silence; and the server's faults, such as `SnapshotFault` and those that extend it.
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
    /// Takes the machine back to this snapshot. What has changed since is lost, unless another snapshot keeps it. The
    /// machine runs afterwards where the snapshot holds memory, and is off otherwise.
    ///
    /// # Errors
    /// `not_found` where the snapshot is gone, and the server's faults.
    pub async fn revert(&self) -> Result<Task<()>> {
        task::start(self, "revert to", self.revert_to_snapshot_task(None, None)).await
    }

    /// Deletes this snapshot. The machine stays as it is; snapshots that stand upon this one then stand upon the one below.
    ///
    /// # Errors
    /// `not_found` where the snapshot is gone, and the server's faults.
    pub async fn delete(&self) -> Result<Task<()>> {
        task::start(self, "delete snapshot", self.remove_snapshot_task(false, Some(true))).await
    }

    /// Deletes this snapshot and all that stand upon it. The machine stays as it is.
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
    /// `not_found` where the snapshot is gone, and the server's faults.
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

/// Takes a snapshot of each of several machines, given by name, path or id, in parallel.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::snapshot::{self, NewSnapshot};
///
/// let names: Vec<String> = ["web-01", "web-02", "pg-01"].map(String::from).into();
/// for report in snapshot::create(&client, &names, &NewSnapshot::new("before the update")).await {
///     match report.outcome {
///         Ok(taken) => println!("{}: {}", report.vm, taken.snapshot.id),
///         Err(error) => println!("{error}"),
///     }
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub async fn create(client: &Client, vms: &[String], new: &NewSnapshot) -> Vec<Report<SnapshotChange>> {
    several::each(client, vms, |_, machine| async move {
        let taken = machine.client().retry_while_busy(BUSY, || async { machine.create_snapshot(new).await?.await });
        let taken = taken.await?;
        let snapshot = Tree::measured(&machine).await?.with_id(&machine, taken.id())?;
        Ok(SnapshotChange { changed: true, snapshot })
    })
    .await
}

/// A machine that went back to a snapshot.
///
/// ```
/// use vsphere_ops::snapshot::Reverted;
///
/// fn line(reverted: &Reverted) -> String {
///     format!("{} is as it was at {} and {}", reverted.vm, reverted.snapshot.created, reverted.power_state)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reverted {
    /// The machine's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// `powered_on`, `powered_off` or `suspended`, afterwards.
    pub power_state: &'static str,
    /// Always true: what has happened since the snapshot is gone.
    pub changed: bool,
    /// The snapshot that its state comes from now.
    pub snapshot: SnapshotInfo,
}

/// Takes a machine back to the snapshot of this name, path or id, or to its current one, and waits until it is there.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::snapshot;
///
/// let erp = client.get::<VirtualMachine>("erp-app-01").await?;
/// snapshot::revert(&erp, Some("before hotfix 3")).await?;
/// snapshot::revert(&erp, None).await?; // to the current one: what was done since then was in vain
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` where there is no such snapshot, `ambiguous` where several have the name, and those of the server.
pub async fn revert(machine: &Mo<VirtualMachine>, snapshot: Option<&str>) -> Result<Reverted> {
    let snapshot = Tree::read(machine).await?.target(machine, snapshot)?.object(machine);
    let done = machine.client().retry_while_busy(BUSY, || async { snapshot.revert().await?.await });
    done.await?;
    let state = machine.read(vm::POWER_STATE).await?;
    Ok(Reverted {
        vm: machine.label().to_owned(),
        id: machine.id().to_owned(),
        power_state: power_state_name(&state),
        changed: true,
        snapshot: Tree::measured(machine).await?.with_id(machine, snapshot.id())?,
    })
}

/// A machine some of whose snapshots were deleted.
///
/// ```
/// use vsphere_ops::snapshot::Deleted;
///
/// fn warning(deleted: &Deleted) -> Option<String> {
///     deleted.consolidation_needed.then(|| format!("the disks of {} want to be consolidated", deleted.vm))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deleted {
    /// The machine's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// Whether there was anything to delete.
    pub changed: bool,
    /// The paths of the snapshots that are gone.
    pub deleted: Vec<String>,
    /// How many it still has.
    pub remaining: usize,
    /// Whether the disks have files left that no snapshot needs: the server could not merge them, and they go on growing
    /// until the disks are consolidated.
    pub consolidation_needed: bool,
}

/// Which snapshots to delete.
///
/// ```
/// use vsphere_ops::snapshot::Doomed;
///
/// let doomed = [Doomed::One("before the update"), Doomed::WithChildren("/installed"), Doomed::All];
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doomed<'a> {
    /// The one of this name, path or id.
    One(&'a str),
    /// This one, and all that stand upon it.
    WithChildren(&'a str),
    /// All of the machine's.
    All,
}

/// Deletes snapshots of a machine, which itself stays as it is, and waits until its disks are merged. Where all are to go
/// and there are none, nothing is done.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::snapshot::{self, Doomed};
///
/// let erp = client.get::<VirtualMachine>("erp-app-01").await?;
/// let deleted = snapshot::delete(&erp, Doomed::One("before hotfix 3")).await?;
/// println!("{} are left", deleted.remaining);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` where there is no such snapshot, `ambiguous` where several have the name, and those of the server.
pub async fn delete(machine: &Mo<VirtualMachine>, doomed: Doomed<'_>) -> Result<Deleted> {
    let tree = Tree::read(machine).await?;
    let going = tree.doomed(machine, doomed)?;
    if let Some(first) = going.first() {
        let snapshot = first.object(machine);
        let done = machine.client().retry_while_busy(BUSY, || async {
            let task: Task<()> = match doomed {
                Doomed::One(_) => snapshot.delete().await?,
                Doomed::WithChildren(_) => snapshot.delete_with_children().await?,
                Doomed::All => {
                    let request = machine.remove_all_snapshots_task(Some(true), None);
                    task::start(machine, "delete all snapshots of", request).await?
                }
            };
            task.await
        });
        done.await?;
    }
    let (left, runtime) = machine.read((vm::SNAPSHOT, vm::RUNTIME)).await?;
    Ok(Deleted {
        vm: machine.label().to_owned(),
        id: machine.id().to_owned(),
        changed: !going.is_empty(),
        deleted: going.iter().map(|node| node.path.clone()).collect(),
        remaining: Tree::new(left.as_ref()).nodes.len(),
        consolidation_needed: runtime.consolidation_needed == Some(true),
    })
}

/// Gives the snapshot of this name, path or id another name, another description, or both.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::snapshot;
///
/// let erp = client.get::<VirtualMachine>("erp-app-01").await?;
/// snapshot::rename(&erp, "snapshot-157", Some("release 12"), None).await?;
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `invalid_argument` where neither is given, `not_found` where there is no such snapshot, `ambiguous` where several have
/// the name, and those of the server.
pub async fn rename(
    machine: &Mo<VirtualMachine>,
    snapshot: &str,
    name: Option<&str>,
    description: Option<&str>,
) -> Result<SnapshotChange> {
    const OPERATION: &str = "rename snapshot";
    if name.is_none() && description.is_none() {
        let text = "neither a new name nor a new description is given";
        return Err(invalid(OPERATION, text).on(format!("{snapshot} of {}", machine.label())));
    }
    let tree = Tree::read(machine).await?;
    let before = tree.one(machine, snapshot)?;
    let object = before.object(machine);
    let changed = name.is_some_and(|name| name != before.name)
        || description.is_some_and(|description| *description != *before.description);
    if changed {
        let renamed = machine.client().retry_while_busy(BUSY, || async {
            let renamed = object.rename_snapshot(name, description).await;
            renamed.map_err(|error| Error::from(error).in_operation(OPERATION).on(object.label()))
        });
        renamed.await?;
    }
    let snapshot = Tree::measured(machine).await?.with_id(machine, object.id())?;
    Ok(SnapshotChange { changed, snapshot })
}
