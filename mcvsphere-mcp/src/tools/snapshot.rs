//! Snapshots of virtual machines.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vsphere_ops::{
    Mo,
    managed::VirtualMachine,
    snapshot::{self, Doomed, NewSnapshot, SnapshotQuery},
};

use crate::{
    Permission, Server, Spec, Toolset,
    answer::Answer,
    arguments::{Parameters, page_size},
    confirm::Preview,
    cx::Cx,
    error::Result,
    text::quoted,
    tools::targets::{OneVm, VmTargets, version},
};

#[tool_router(router = snapshot_tools, vis = "pub(crate)")]
impl Server {
    /// List a virtual machine's snapshots, oldest first, with path in the tree, time, state and size.
    #[tool(
        meta = Spec::reads(Toolset::Snapshots).meta(),
        annotations(title = "List snapshots", read_only_hint = true)
    )]
    async fn list_snapshots(&self, Parameters(args): Parameters<ListSnapshots>, cx: Cx) -> Result<Answer> {
        let query =
            SnapshotQuery { filter: args.filter, limit: page_size(args.limit)?, cursor: cx.cursor(args.cursor)? };
        let machine = cx.client().await?.get::<VirtualMachine>(&args.vm).await?;
        cx.page(&snapshot::list(&machine, &query).await?, args.fields)
    }

    /// Take a snapshot of one or several virtual machines, in parallel.
    #[tool(
        meta = Spec::changes(Toolset::Snapshots, Permission::PowerOps, &["VirtualMachine.State.CreateSnapshot"]).meta(),
        annotations(title = "Take snapshots", destructive_hint = false, idempotent_hint = false)
    )]
    async fn create_snapshot(&self, Parameters(args): Parameters<CreateSnapshot>, cx: Cx) -> Result<Answer> {
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
        let vms = VmTargets { vm: args.vm, vms: args.vms }.vms()?;
        let client = cx.client().await?;
        cx.confirm_change(&client, "Take a snapshot of", &vms).await?;
        cx.expect_tasks(vms.len());
        Answer::reports(&snapshot::create(&client, &vms, &new).await)
    }

    /// Take a virtual machine back to a snapshot; its present state is lost. It then runs only if the snapshot holds memory.
    #[tool(
        meta = Spec::changes(Toolset::Snapshots, Permission::PowerOps, &[
            "VirtualMachine.State.RevertToSnapshot",
        ])
        .asks()
        .meta(),
        annotations(title = "Revert to a snapshot", destructive_hint = true, idempotent_hint = false)
    )]
    async fn revert_to_snapshot(&self, Parameters(args): Parameters<OneSnapshot>, cx: Cx) -> Result<Answer> {
        let machine = cx.client().await?.get::<VirtualMachine>(&args.vm).await?;
        cx.confirm(|| revert_preview(&machine, Some(&args.snapshot))).await?;
        Answer::object(&snapshot::revert(&machine, Some(&args.snapshot)).await?)
    }

    /// Take a virtual machine back to its current snapshot; what happened since is lost.
    #[tool(
        meta = Spec::changes(Toolset::Snapshots, Permission::PowerOps, &[
            "VirtualMachine.State.RevertToSnapshot",
        ])
        .asks()
        .meta(),
        annotations(title = "Revert to the current snapshot", destructive_hint = true, idempotent_hint = false)
    )]
    async fn revert_to_current_snapshot(&self, Parameters(args): Parameters<OneVm>, cx: Cx) -> Result<Answer> {
        let machine = cx.client().await?.get::<VirtualMachine>(&args.vm).await?;
        cx.confirm(|| revert_preview(&machine, None)).await?;
        Answer::object(&snapshot::revert(&machine, None).await?)
    }

    /// Delete a snapshot. The machine stays as it is; merging its disks can take long.
    #[tool(
        meta = Spec::changes(Toolset::Snapshots, Permission::PowerOps, &[
            "VirtualMachine.State.RemoveSnapshot",
        ])
        .asks()
        .meta(),
        annotations(title = "Delete a snapshot", destructive_hint = true, idempotent_hint = true)
    )]
    async fn delete_snapshot(&self, Parameters(args): Parameters<DeleteSnapshot>, cx: Cx) -> Result<Answer> {
        let machine = cx.client().await?.get::<VirtualMachine>(&args.vm).await?;
        let doomed = match args.remove_children {
            Some(true) => Doomed::WithChildren(&args.snapshot),
            _ => Doomed::One(&args.snapshot),
        };
        cx.confirm(|| delete_preview(&machine, doomed)).await?;
        Answer::object(&snapshot::delete(&machine, doomed).await?)
    }

    /// Delete all snapshots of a virtual machine, which stays as it is.
    #[tool(
        meta = Spec::changes(Toolset::Snapshots, Permission::PowerOps, &[
            "VirtualMachine.State.RemoveSnapshot",
        ])
        .asks()
        .meta(),
        annotations(title = "Delete all snapshots", destructive_hint = true, idempotent_hint = true)
    )]
    async fn delete_all_snapshots(&self, Parameters(args): Parameters<OneVm>, cx: Cx) -> Result<Answer> {
        let machine = cx.client().await?.get::<VirtualMachine>(&args.vm).await?;
        cx.confirm(|| delete_preview(&machine, Doomed::All)).await?;
        Answer::object(&snapshot::delete(&machine, Doomed::All).await?)
    }

    /// Change a snapshot's name or description.
    #[tool(
        meta = Spec::changes(Toolset::Snapshots, Permission::PowerOps, &["VirtualMachine.State.RenameSnapshot"]).asks().meta(),
        annotations(title = "Rename a snapshot", destructive_hint = true, idempotent_hint = true)
    )]
    async fn rename_snapshot(&self, Parameters(args): Parameters<RenameSnapshot>, cx: Cx) -> Result<Answer> {
        let machine = cx.client().await?.get::<VirtualMachine>(&args.vm).await?;
        let (name, description) = (args.new_name.as_deref(), args.new_description.as_deref());
        cx.confirm(|| rename_preview(&machine, &args.snapshot, name, description)).await?;
        Answer::object(&snapshot::rename(&machine, &args.snapshot, name, description).await?)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListSnapshots {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Glob on the name: before-*.
    filter: Option<String>,
    /// Only these fields of each snapshot.
    #[schemars(with = "Option<Vec<String>>")]
    fields: Option<Vec<SnapshotField>>,
    /// Snapshots in one answer; 50 by default.
    limit: Option<usize>,
    /// The next_cursor of the page before.
    cursor: Option<String>,
}

/// What is told of each snapshot. The schema does not list it, which would cost more than an error now and then.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SnapshotField {
    Name,
    Path,
    Id,
    Description,
    Created,
    State,
    Quiesced,
    IsCurrent,
    SizeBytes,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateSnapshot {
    /// One virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: Option<String>,
    /// Several at once.
    #[serde(alias = "names", alias = "vm_names")]
    vms: Option<Vec<String>>,
    /// Its name.
    snapshot_name: String,
    /// What it is for.
    description: Option<String>,
    /// Keep memory, to run on when reverted; default true.
    memory: Option<bool>,
    /// Quiesce by VMware Tools; default false.
    quiesce: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneSnapshot {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Snapshot: name, path (/base/patched) or id.
    #[serde(alias = "snapshot_name")]
    snapshot: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteSnapshot {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Snapshot: name, path (/base/patched) or id.
    #[serde(alias = "snapshot_name")]
    snapshot: String,
    /// Also those below it; default false.
    remove_children: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RenameSnapshot {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Snapshot: name, path (/base/patched) or id.
    #[serde(alias = "snapshot_name")]
    snapshot: String,
    /// New name.
    new_name: Option<String>,
    /// New description.
    new_description: Option<String>,
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
