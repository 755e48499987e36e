//! Going back to a snapshot.

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::VirtualMachinePowerState;
use vsphere_soap::object::format_date_time;

use super::{SnapshotInfo, Tree, size};
use crate::device::Contents;
use crate::error::Result;
use crate::mo::Mo;
use crate::task::BUSY;

const OPERATION: &str = "revert to a snapshot of";

/// A plan to take a VM back to a snapshot, with its present state as far as that matters to somebody who is about to give
/// it up. Snapshots themselves are not lost by it.
///
/// ```
/// use vsphere_ops::snapshot::Reversion;
/// use vsphere_ops::types::VirtualMachinePowerState::PoweredOn;
///
/// fn warning(plan: &Reversion) -> Option<String> {
///     let stops = plan.power_state == PoweredOn && plan.power_state_after != PoweredOn;
///     stops.then(|| format!("{} runs, and will be {}", plan.vm, plan.power_state_after))
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is reverted before it is carried out"]
pub struct Reversion {
    /// The VM's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// Its state: what runs is cut off.
    #[serde(serialize_with = "crate::words::state")]
    pub power_state: VirtualMachinePowerState,
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
    /// The VM's state afterwards.
    #[serde(serialize_with = "crate::words::state")]
    pub power_state_after: VirtualMachinePowerState,
    #[serde(skip)]
    target: SnapshotInfo,
    #[serde(skip)]
    machine: Mo<VirtualMachine>,
    #[serde(skip)]
    contents: Contents,
}

/// A VM that went back to a snapshot.
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
    /// The VM's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// Its state afterwards.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// Always true: what has happened since the snapshot is gone.
    pub changed: bool,
    /// The snapshot that its state comes from now.
    pub snapshot: SnapshotInfo,
}

impl Mo<VirtualMachine> {
    /// Plans to take the VM back to the snapshot of this name, path or id, or to its current one, and measures what would
    /// be lost by it.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let erp = client.get::<VirtualMachine>("erp-app-01").await?;
    /// let reversion = erp.reversion(Some("before hotfix 3")).await?;
    /// println!("{:?} bytes were written since {:?}", reversion.written_since_bytes, reversion.current_snapshot);
    /// println!("seen at {}", reversion.change_version());
    /// reversion.carry_out().await?;
    /// erp.reversion(None).await?.carry_out().await?; // to the current one: what was done since then is lost
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if there is no such snapshot, `ambiguous` if several have the name, and server errors.
    pub async fn reversion(&self, snapshot: Option<&str>) -> Result<Reversion> {
        let (config, info, layout, power_state, booted) =
            self.read((vm::CONFIG, vm::SNAPSHOT, vm::LAYOUT_EX, vm::POWER_STATE, vm::BOOT_TIME)).await?;
        let tree = Tree::new(info.as_ref());
        let target = tree.target(self, snapshot)?.clone();
        let booted = booted.filter(|_| power_state == VirtualMachinePowerState::PoweredOn);
        Ok(Reversion {
            vm: self.label().to_owned(),
            id: self.id().to_owned(),
            power_state,
            booted: booted.as_ref().map(format_date_time),
            current_snapshot: tree.current().map(|current| current.path.clone()),
            written_since_bytes: layout.as_ref().map(size::since),
            back_to: target.path.clone(),
            back_to_id: target.id.clone(),
            back_to_created: target.created.clone(),
            power_state_after: target.state_when_taken.clone(),
            target,
            machine: self.clone(),
            contents: Contents::of(config.as_ref(), info.as_ref()),
        })
    }
}

impl Reversion {
    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.contents.version()
    }

    /// Takes the VM back to the snapshot, by its id, and waits until it is there.
    ///
    /// The API takes no version for this, so the VM is looked at right before. What is changed in the VM between that look
    /// and the call is given up with its present state.
    ///
    /// # Errors
    /// `changed` if the VM is no longer as it was when this was planned, and server errors.
    pub async fn carry_out(self) -> Result<Reverted> {
        let Self { machine, contents, target, .. } = &self;
        let snapshot = &target.object(machine);
        let done = machine.client().retry_while_busy(BUSY, || async move {
            contents.must_be_so(machine, OPERATION).await?;
            snapshot.revert().await?.await
        });
        done.await?;
        let power_state = machine.read(vm::POWER_STATE).await?;
        Ok(Reverted {
            vm: machine.label().to_owned(),
            id: machine.id().to_owned(),
            power_state,
            changed: true,
            snapshot: Tree::measured(machine).await?.with_id(machine, snapshot.id())?,
        })
    }
}
