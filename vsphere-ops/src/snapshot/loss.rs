//! What would be lost by going back to a snapshot, or by deleting some.

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::VirtualMachinePowerState;
use vsphere_soap::object::format_date_time;

use super::{Doomed, SnapshotInfo, Tree, size};
use crate::error::Result;
use crate::mo::Mo;
use crate::vm::power_state_name;

/// The present state of a machine, as far as it matters to whoever is about to give it up for a snapshot. Snapshots
/// themselves are not lost by that.
///
/// ```
/// use vsphere_ops::snapshot::PresentState;
///
/// fn warning(present: &PresentState) -> Option<String> {
///     let stops = present.power_state == "powered_on" && present.power_state_after != "powered_on";
///     stops.then(|| format!("{} runs, and will be {}", present.vm, present.power_state_after))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PresentState {
    /// The machine's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// `powered_on`, `powered_off` or `suspended`: what runs is cut off.
    pub power_state: &'static str,
    /// When it was powered on, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booted: Option<String>,
    /// The snapshot that the present state comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_snapshot: Option<String>,
    /// What its disks have grown by since that snapshot, as the server last measured. It is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_since_bytes: Option<i64>,
    /// The path of the snapshot to go back to.
    pub back_to: String,
    /// The managed object id of that snapshot.
    pub back_to_id: String,
    /// When it was taken, RFC 3339.
    pub back_to_created: String,
    /// The machine's state afterwards.
    pub power_state_after: &'static str,
}

/// What a machine would lose by going back to the snapshot of this name, path or id, or to its current one, in one
/// request.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::snapshot;
///
/// let erp = client.get::<VirtualMachine>("erp-app-01").await?;
/// let present = snapshot::lost_by_revert(&erp, Some("before hotfix 3")).await?;
/// println!("{:?} bytes were written since {:?}", present.written_since_bytes, present.current_snapshot);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` where there is no such snapshot, `ambiguous` where several have the name, and those of the server.
pub async fn lost_by_revert(machine: &Mo<VirtualMachine>, snapshot: Option<&str>) -> Result<PresentState> {
    let (info, layout, state, booted) =
        machine.read((vm::SNAPSHOT, vm::LAYOUT_EX, vm::POWER_STATE, vm::BOOT_TIME)).await?;
    let tree = Tree::new(info.as_ref());
    let target = tree.target(machine, snapshot)?;
    Ok(PresentState {
        vm: machine.label().to_owned(),
        id: machine.id().to_owned(),
        power_state: power_state_name(&state),
        booted: booted.filter(|_| state == VirtualMachinePowerState::PoweredOn).as_ref().map(format_date_time),
        current_snapshot: tree.current().map(|current| current.path.clone()),
        written_since_bytes: layout.as_ref().map(size::since),
        back_to: target.path.clone(),
        back_to_id: target.id.clone(),
        back_to_created: target.created.clone(),
        power_state_after: target.state,
    })
}

/// The snapshots that would be deleted, each before its children, with their sizes, in one request.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::snapshot::{self, Doomed};
///
/// let erp = client.get::<VirtualMachine>("erp-app-01").await?;
/// for snapshot in snapshot::lost_by_delete(&erp, Doomed::WithChildren("/before 2026.2 upgrade")).await? {
///     println!("{} of {}", snapshot.path, snapshot.created);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` where there is no such snapshot, `ambiguous` where several have the name, and those of the server.
pub async fn lost_by_delete(machine: &Mo<VirtualMachine>, doomed: Doomed<'_>) -> Result<Vec<SnapshotInfo>> {
    Ok(Tree::measured(machine).await?.doomed(machine, doomed)?.to_vec())
}
