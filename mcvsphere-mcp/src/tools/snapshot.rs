//! Snapshots of VMs.

use vsphere_ops::{
    Mo,
    managed::VirtualMachine,
    snapshot::{self, Deleted, Doomed, NewSnapshot, Reverted, SnapshotChange, SnapshotInfo, SnapshotQuery},
};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_snapshots", Snapshots, "List snapshots", list_snapshots)
            .about("List a VM's snapshots, oldest first, with path in the tree, time, state and size."),
        Tool::adds("create_snapshot", Snapshots, PowerOps, "Take snapshots", create_snapshot)
            .about("Take a snapshot of one or several VMs, in parallel.")
            .needs(&["VirtualMachine.State.CreateSnapshot"]),
        Tool::changes("revert_to_snapshot", Snapshots, PowerOps, "Revert to a snapshot", revert_to_snapshot)
            .about(
                "Revert a VM to a snapshot; its current state is lost. It runs afterwards only if the snapshot \
                 includes memory.",
            )
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
        .needs(&["VirtualMachine.State.RevertToSnapshot"])
        .asks(),
        Tool::changes("delete_snapshot", Snapshots, PowerOps, "Delete a snapshot", delete_snapshot)
            .about("Delete a snapshot. The VM keeps its state; merging its disks can take long.")
            .needs(&["VirtualMachine.State.RemoveSnapshot"])
            .idempotent()
            .asks(),
        Tool::changes("delete_all_snapshots", Snapshots, PowerOps, "Delete all snapshots", delete_all_snapshots)
            .about("Delete all snapshots of a VM, which keeps its state.")
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

async fn list_snapshots(args: ListSnapshots, cx: Cx) -> Result<Listed<SnapshotInfo>> {
    let wanted = args.paging.open(&cx)?;
    let query = SnapshotQuery { filter: wanted.filter, limit: wanted.limit, cursor: wanted.cursor };
    let machine = args.vm.find(&cx).await?;
    Ok(cx.page(snapshot::list(&machine, &query).await?, wanted.fields))
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
    let vms = args.vms.names()?;
    let client = cx.client().await?;
    cx.confirm_change(&client, "Take a snapshot of", &vms).await?;
    cx.expect_tasks(vms.len());
    Ok(Batch(snapshot::create(&client, &vms, &new).await))
}

async fn revert_to_snapshot(args: OneSnapshot, cx: Cx) -> Result<Object<Reverted>> {
    let machine = args.vm.find(&cx).await?;
    cx.confirm(|| revert_preview(&machine, Some(&args.snapshot))).await?;
    Ok(Object(snapshot::revert(&machine, Some(&args.snapshot)).await?))
}

async fn revert_to_current_snapshot(args: OneVm, cx: Cx) -> Result<Object<Reverted>> {
    let machine = args.vm.find(&cx).await?;
    cx.confirm(|| revert_preview(&machine, None)).await?;
    Ok(Object(snapshot::revert(&machine, None).await?))
}

async fn delete_snapshot(args: DeleteSnapshot, cx: Cx) -> Result<Object<Deleted>> {
    let machine = args.vm.find(&cx).await?;
    let doomed = match args.remove_children {
        Some(true) => Doomed::WithChildren(&args.snapshot),
        _ => Doomed::One(&args.snapshot),
    };
    cx.confirm(|| delete_preview(&machine, doomed)).await?;
    Ok(Object(snapshot::delete(&machine, doomed).await?))
}

async fn delete_all_snapshots(args: OneVm, cx: Cx) -> Result<Object<Deleted>> {
    let machine = args.vm.find(&cx).await?;
    cx.confirm(|| delete_preview(&machine, Doomed::All)).await?;
    Ok(Object(snapshot::delete(&machine, Doomed::All).await?))
}

async fn rename_snapshot(args: RenameSnapshot, cx: Cx) -> Result<Object<SnapshotChange>> {
    let machine = args.vm.find(&cx).await?;
    let (name, description) = (args.new_name.as_deref(), args.new_description.as_deref());
    cx.confirm(|| rename_preview(&machine, &args.snapshot, name, description)).await?;
    Ok(Object(snapshot::rename(&machine, &args.snapshot, name, description).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListSnapshots {
    vm: VmName,
    #[serde(flatten)]
    paging: Paging<SnapshotInfo>,
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
async fn revert_preview(machine: &Mo<VirtualMachine>, snapshot: Option<&str>) -> Result<Preview> {
    let present = snapshot::lost_by_revert(machine, snapshot).await?;
    let (vm, back_to) = (quoted(&present.vm), quoted(&present.back_to));
    let question = format!("Take {vm} back to the snapshot {back_to} of {}?", present.back_to_created);
    let mut preview = Preview::new(question).note("Its present state is lost. Its snapshots stay.");
    preview = match (present.power_state, present.power_state_after) {
        ("powered_on", "powered_on") => {
            preview.note("What runs on it is cut off, and goes on from the snapshot's memory.")
        }
        ("powered_on", after) => preview.note(format!("It runs now, and will be {after} afterwards.")),
        (_, "powered_on") => preview.note("It will run afterwards, from the snapshot's memory."),
        _ => preview,
    };
    preview.object(&present)?.bind(version(machine.client(), machine.id()).await?)
}

/// What deleting would lose: the snapshots.
async fn delete_preview(machine: &Mo<VirtualMachine>, doomed: Doomed<'_>) -> Result<Preview> {
    let going = snapshot::lost_by_delete(machine, doomed).await?;
    let question = match going.as_slice() {
        [only] => format!("Delete the snapshot {} of {}?", quoted(&only.path), quoted(machine.label())),
        several => format!("Delete {} snapshots of {}?", several.len(), quoted(machine.label())),
    };
    let preview = Preview::new(question).note("The machine stays as it is, but can't go back to them any more.");
    let preview = going.iter().try_fold(preview, Preview::object)?;
    preview.bind(version(machine.client(), machine.id()).await?)
}

/// What another name and description replace. A description that is lost is asked about.
async fn rename_preview(
    machine: &Mo<VirtualMachine>,
    snapshot: &str,
    name: Option<&str>,
    description: Option<&str>,
) -> Result<Preview> {
    let found = snapshot::lost_by_delete(machine, Doomed::One(snapshot)).await?;
    let [before] = found.as_slice() else {
        return Ok(Preview::new("There is nothing to rename."));
    };
    let to = name.map_or_else(String::new, |name| format!(" to {}", quoted(name)));
    let question = format!("Rename the snapshot {} of {}{to}?", quoted(&before.path), quoted(machine.label()));
    let loses = description.is_some_and(|new| !before.description.is_empty() && before.description != new);
    let preview = Preview::new(question).object(before)?;
    Ok(match loses {
        true => preview.note("Its description, as it is shown here, is lost."),
        false => preview.harmless(),
    })
}
