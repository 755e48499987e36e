//! Snapshots of VMs.

use std::time::Duration;

use vsphere_ops::{
    snapshot::{
        self, Deleted, Doomed, NewSnapshot, Reversion, Reverted, SnapshotChange, SnapshotDeletion, SnapshotQuery,
        SnapshotRenaming, SnapshotTotals, VmSnapshot,
    },
    types::VirtualMachinePowerState::{PoweredOn, Suspended},
};

use super::prelude::*;

/// The most days that snapshots may be asked to be older than: a century.
const MOST_DAYS: u64 = 36_500;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_snapshots", Snapshots, "List snapshots", list_snapshots)
            .about(
            "List the snapshots of all VMs or of one, oldest first, with path in the tree, time, age, size and the VM's \
             power state when taken.",
        ),
        Tool::adds("create_snapshot", Snapshots, PowerOps, "Take snapshots", create_snapshot)
            .about("Take a snapshot of one or several VMs, in parallel.")
            .long()
            .needs(&["VirtualMachine.State.CreateSnapshot"]),
        Tool::changes("revert_to_snapshot", Snapshots, PowerOps, "Revert to a snapshot", revert_to_snapshot)
            .about(
                "Revert a VM to a snapshot; its current state is lost. It runs afterwards only if the snapshot \
                 includes memory.",
            )
            .long()
            .needs(&["VirtualMachine.State.RevertToSnapshot"])
            .asks(),
        Tool::changes(
            "revert_to_current_snapshot",
            Snapshots,
            PowerOps,
            "Revert to the current snapshot",
            revert_to_current_snapshot,
        )
        .about("Take a VM back to its current snapshot; what happened since is lost.")
        .long()
        .needs(&["VirtualMachine.State.RevertToSnapshot"])
        .asks(),
        Tool::changes("delete_snapshot", Snapshots, PowerOps, "Delete a snapshot", delete_snapshot)
            .about("Delete a snapshot. The VM keeps its state; merging its disks can take long.")
            .long()
            .needs(&["VirtualMachine.State.RemoveSnapshot"])
            .idempotent()
            .asks(),
        Tool::changes("delete_all_snapshots", Snapshots, PowerOps, "Delete all snapshots", delete_all_snapshots)
            .about("Delete all snapshots of a VM, which keeps its state.")
            .long()
            .needs(&["VirtualMachine.State.RemoveSnapshot"])
            .idempotent()
            .asks(),
        Tool::changes("rename_snapshot", Snapshots, PowerOps, "Rename a snapshot", rename_snapshot)
            .about("Change a snapshot's name or description.")
            .needs(&["VirtualMachine.State.RenameSnapshot"])
            .idempotent()
            .asks(),
    ]
}

async fn list_snapshots(args: ListSnapshots, cx: Cx) -> Result<Summed<VmSnapshot, SnapshotTotals>> {
    let (page, fields) = args.paging.open(&cx)?;
    let days = args.older_than_days.map(|days| in_range("older_than_days", Some(days), 1, MOST_DAYS)).transpose()?;
    let query = SnapshotQuery {
        page,
        vm: args.vm.map(Into::into),
        older_than: days.map(|days| Duration::from_secs(days * 24 * 3600)),
        // They are read only where somebody wants them.
        sizes: fields.as_ref().is_none_or(|fields| fields.iter().any(|field| field == "size_bytes")),
    };
    let list = snapshot::list(&cx.client().await?, &query).await?;
    Ok(Summed(cx.page(list.page, fields), list.totals))
}

async fn create_snapshot(args: CreateSnapshot, cx: Cx) -> Result<Batch<SnapshotChange>> {
    let mut new = NewSnapshot::new(args.snapshot_name);
    if let Some(description) = args.description {
        new = new.description(description);
    }
    if args.memory.unwrap_or(true) {
        new = new.with_memory();
    }
    if args.quiesce.unwrap_or(false) {
        new = new.quiesced();
    }
    let vms = cx.agreed_vms("Take a snapshot of", &args.vms.names()?).await?;
    cx.expect_tasks(vms.len());
    let new = &new;
    Ok(Batch(vms.each(|vm| async move { vm.take_snapshot(new).await }).await))
}

async fn revert_to_snapshot(args: OneSnapshot, cx: Cx) -> Result<Object<Reverted>> {
    let reversion =
        cx.agreed(|| async { revert_preview(args.vm.find(&cx).await?.reversion(Some(&args.snapshot)).await?) });
    Ok(Object(reversion.await?.carry_out().await?))
}

async fn revert_to_current_snapshot(args: OneVm, cx: Cx) -> Result<Object<Reverted>> {
    let reversion = cx.agreed(|| async { revert_preview(args.vm.find(&cx).await?.reversion(None).await?) });
    Ok(Object(reversion.await?.carry_out().await?))
}

async fn delete_snapshot(args: DeleteSnapshot, cx: Cx) -> Result<Object<Deleted>> {
    let doomed = match args.remove_children {
        Some(true) => Doomed::WithChildren(&args.snapshot),
        _ => Doomed::One(&args.snapshot),
    };
    let deletion = cx.agreed(|| async { delete_preview(args.vm.find(&cx).await?.snapshot_deletion(doomed).await?) });
    Ok(Object(deletion.await?.carry_out().await?))
}

async fn delete_all_snapshots(args: OneVm, cx: Cx) -> Result<Object<Deleted>> {
    let deletion =
        cx.agreed(|| async { delete_preview(args.vm.find(&cx).await?.snapshot_deletion(Doomed::All).await?) });
    Ok(Object(deletion.await?.carry_out().await?))
}

async fn rename_snapshot(args: RenameSnapshot, cx: Cx) -> Result<Object<SnapshotChange>> {
    let (name, description) = (args.new_name.as_deref(), args.new_description.as_deref());
    let renaming = cx.agreed(|| async {
        let vm = args.vm.find(&cx).await?;
        rename_preview(&vm, vm.snapshot_renaming(&args.snapshot, name, description).await?)
    });
    Ok(Object(renaming.await?.carry_out().await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListSnapshots {
    /// All by default.
    vm: Option<VmName>,
    /// Only older ones.
    older_than_days: Option<u64>,
    #[serde(flatten)]
    paging: Paging<VmSnapshot>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CreateSnapshot {
    #[serde(flatten)]
    vms: Vms,
    /// Its name.
    snapshot_name: String,
    /// What it is for.
    description: Option<Text>,
    /// Include memory, to resume after a revert; default true.
    memory: Option<bool>,
    /// Quiesce by VMware Tools; default false.
    quiesce: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneSnapshot {
    vm: VmName,
    snapshot: SnapshotName,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DeleteSnapshot {
    vm: VmName,
    snapshot: SnapshotName,
    /// Also those below it; default false.
    remove_children: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RenameSnapshot {
    vm: VmName,
    snapshot: SnapshotName,
    /// New name.
    new_name: Option<String>,
    /// New description.
    new_description: Option<Text>,
}

/// What going back would lose: the present state.
fn revert_preview(plan: Reversion) -> Result<(Reversion, Preview)> {
    let (vm, back_to) = (quoted(&plan.vm), quoted(&plan.back_to));
    let question = format!("Take {vm} back to the snapshot {back_to} of {}?", plan.back_to_created);
    let mut preview = Preview::new(question).note("Its present state is lost. Its snapshots stay.");
    preview = match (plan.power_state == PoweredOn, plan.power_state_after == PoweredOn) {
        (true, true) => preview.note("What runs on it is cut off, and goes on from the snapshot's memory."),
        (true, false) => {
            let after = if plan.power_state_after == Suspended { "suspended" } else { "powered_off" };
            preview.note(format!("It runs now, and will be {after} afterwards."))
        }
        (false, true) => preview.note("It will run afterwards, from the snapshot's memory."),
        (false, false) => preview,
    };
    let preview = preview.object(&plan)?.bind(plan.change_version())?;
    Ok((plan, preview))
}

/// What deleting would lose: the snapshots.
fn delete_preview(plan: SnapshotDeletion) -> Result<(SnapshotDeletion, Preview)> {
    let vm = quoted(&plan.vm);
    let question = match plan.snapshots.as_slice() {
        [only] => format!("Delete the snapshot {} of {vm}?", quoted(&only.path)),
        several => format!("Delete {} snapshots of {vm}?", several.len()),
    };
    let preview = Preview::new(question).note("The VM stays as it is, but can't go back to them any more.");
    let preview = plan.snapshots.iter().try_fold(preview, Preview::object)?.bind(plan.change_version())?;
    Ok((plan, preview))
}

/// What another name and description replace. A description that is lost is asked about.
fn rename_preview(vm: &Mo<VirtualMachine>, plan: SnapshotRenaming) -> Result<(SnapshotRenaming, Preview)> {
    let before = &plan.snapshot;
    let to = plan.name.as_ref().map_or_else(String::new, |name| format!(" to {}", quoted(name)));
    let question = format!("Rename the snapshot {} of {}{to}?", quoted(&before.path), quoted(vm.label()));
    let loses = |new: &String| !before.description.is_empty() && before.description != new.as_str();
    let preview = Preview::new(question).object(before)?;
    let preview = match plan.description.as_ref().is_some_and(loses) {
        true => preview.note("Its description, as it is shown here, is lost."),
        false => preview.harmless(),
    };
    Ok((plan, preview))
}
