//! Snapshots that are deleted.

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};

use super::{SnapshotInfo, Tree};
use crate::device::Contents;
use crate::error::Result;
use crate::mo::Mo;
use crate::task::{self, BUSY, Task};

const OPERATION: &str = "delete snapshots of";

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
    /// This one, and its descendants.
    WithChildren(&'a str),
    /// All of the VM's.
    All,
}

/// How much is deleted with the first of the snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    One,
    WithChildren,
    All,
}

/// A plan to delete snapshots of a VM, which itself stays as it is.
///
/// ```
/// use vsphere_ops::snapshot::SnapshotDeletion;
///
/// fn question(deletion: &SnapshotDeletion) -> String {
///     format!("Delete {} snapshots of {}?", deletion.snapshots.len(), deletion.vm)
/// }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is deleted before it is carried out"]
pub struct SnapshotDeletion {
    /// The VM's name.
    pub vm: String,
    /// The snapshots that would be lost, each before its children.
    pub snapshots: Vec<SnapshotInfo>,
    extent: Extent,
    machine: Mo<VirtualMachine>,
    contents: Contents,
}

/// A VM some of whose snapshots were deleted.
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
    /// The VM's name.
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

impl Mo<VirtualMachine> {
    /// Plans to delete snapshots of the VM, and measures them.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::snapshot::Doomed;
    ///
    /// let erp = client.get::<VirtualMachine>("erp-app-01").await?;
    /// let deletion = erp.snapshot_deletion(Doomed::One("before hotfix 3")).await?;
    /// for snapshot in &deletion.snapshots {
    ///     println!("{} of {} would go, seen at {}", snapshot.path, snapshot.created, deletion.change_version());
    /// }
    /// println!("{} are left", deletion.carry_out().await?.remaining);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if there is no such snapshot, `ambiguous` if several have the name, and server errors.
    pub async fn snapshot_deletion(&self, doomed: Doomed<'_>) -> Result<SnapshotDeletion> {
        let (config, info, layout) = self.read((vm::CONFIG, vm::SNAPSHOT, vm::LAYOUT_EX)).await?;
        let mut tree = Tree::new(info.as_ref());
        tree.measure(info.as_ref(), layout.as_ref());
        let extent = match doomed {
            Doomed::One(_) => Extent::One,
            Doomed::WithChildren(_) => Extent::WithChildren,
            Doomed::All => Extent::All,
        };
        Ok(SnapshotDeletion {
            vm: self.label().to_owned(),
            snapshots: tree.doomed(self, doomed)?.to_vec(),
            extent,
            machine: self.clone(),
            contents: Contents::of(config.as_ref(), info.as_ref()),
        })
    }
}

impl SnapshotDeletion {
    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.contents.version()
    }

    /// Deletes the snapshots, by their ids, and waits until the disks are merged. Where there are none, nothing is done.
    ///
    /// The API takes no version for this, so the VM is looked at right before. Where one snapshot is deleted, it is the one
    /// that was seen, whatever happens in between. Where those upon it or all are deleted, one that is taken between that
    /// look and the call goes with them.
    ///
    /// # Errors
    /// `changed` if the VM is no longer as it was when this was planned, and server errors.
    pub async fn carry_out(self) -> Result<Deleted> {
        let Self { vm, snapshots, extent, machine, contents } = &self;
        if let Some(first) = snapshots.first() {
            let snapshot = &first.object(machine);
            let done = machine.client().retry_while_busy(BUSY, || async move {
                contents.must_be_so(machine, OPERATION).await?;
                let task: Task<()> = match extent {
                    Extent::One => snapshot.delete().await?,
                    Extent::WithChildren => snapshot.delete_with_children().await?,
                    Extent::All => {
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
            vm: vm.clone(),
            id: machine.id().to_owned(),
            changed: !snapshots.is_empty(),
            deleted: snapshots.iter().map(|node| node.path.clone()).collect(),
            remaining: Tree::new(left.as_ref()).nodes.len(),
            consolidation_needed: runtime.consolidation_needed == Some(true),
        })
    }
}
