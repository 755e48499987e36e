//! The life of virtual machines: made, changed, turned into templates and back, deleted.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use vsphere_ops::{
    Client,
    vm::{self, Changes, TemplateQuery},
};

use crate::{
    Permission, Server, Toolset,
    answer::Answer,
    arguments::{Parameters, page_size},
    confirm::Preview,
    cx::Cx,
    error::Result,
    tool_meta,
    tools::targets::OneVm,
};

#[tool_router(router = lifecycle_tools, vis = "pub(crate)")]
impl Server {
    /// Delete a virtual machine or template with its files and snapshots. One that runs is powered off first.
    #[tool(
        meta = tool_meta(Toolset::Vm, Permission::VmLifecycle, &[]),
        annotations(title = "Delete a virtual machine", destructive_hint = true, idempotent_hint = true)
    )]
    async fn delete_vm(&self, Parameters(args): Parameters<OneVm>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        cx.confirm(|| deletion_preview(&client, &args.vm)).await?;
        Answer::object(&vm::delete(&client, &args.vm).await?)
    }

    /// Change CPUs, memory, note or hot-add of a virtual machine, and tell each value before and after. While it runs, CPUs
    /// and memory can only grow, and only with hot-add on.
    #[tool(
        meta = tool_meta(Toolset::Vm, Permission::VmLifecycle, &[]),
        annotations(title = "Reconfigure a virtual machine", destructive_hint = false, idempotent_hint = true)
    )]
    async fn reconfigure_vm(&self, Parameters(args): Parameters<ReconfigureVm>, cx: Cx) -> Result<Answer> {
        let changes = Changes {
            cpu: args.cpu,
            cores_per_socket: args.cores_per_socket,
            memory_mb: args.memory_mb,
            annotation: args.annotation,
            cpu_hot_add: args.cpu_hot_add,
            memory_hot_add: args.memory_hot_add,
        };
        Answer::object(&vm::reconfigure(&cx.client().await?, &args.vm, &changes).await?)
    }

    /// Rename a virtual machine or template. Its files keep their names.
    #[tool(
        meta = tool_meta(Toolset::Vm, Permission::VmLifecycle, &[]),
        annotations(title = "Rename a virtual machine", destructive_hint = false, idempotent_hint = true)
    )]
    async fn rename_vm(&self, Parameters(args): Parameters<RenameVm>, cx: Cx) -> Result<Answer> {
        Answer::object(&vm::rename(&cx.client().await?, &args.vm, &args.new_name).await?)
    }

    /// Turn a virtual machine that is off into a template. It leaves its resource pool and can't run until it is converted back.
    #[tool(
        meta = tool_meta(Toolset::Vm, Permission::VmLifecycle, &[]),
        annotations(title = "Convert to a template", destructive_hint = true, idempotent_hint = true)
    )]
    async fn convert_to_template(&self, Parameters(args): Parameters<OneVm>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        cx.confirm(|| conversion_preview(&client, &args.vm)).await?;
        Answer::object(&vm::to_template(&client, &args.vm).await?)
    }

    /// List templates.
    #[tool(
        meta = tool_meta(Toolset::Vm, Permission::ReadOnly, &[]),
        annotations(title = "List templates", read_only_hint = true)
    )]
    async fn list_templates(&self, Parameters(args): Parameters<ListTemplates>, cx: Cx) -> Result<Answer> {
        let query = TemplateQuery { filter: args.filter, limit: page_size(args.limit)?, cursor: args.cursor };
        Answer::list(&vm::templates(&cx.client().await?, &query).await?, args.fields)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReconfigureVm {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Virtual CPUs.
    #[serde(alias = "num_cpus")]
    cpu: Option<i32>,
    /// Must divide cpu.
    cores_per_socket: Option<i32>,
    /// Memory in MiB, a multiple of 4.
    memory_mb: Option<i64>,
    /// The note; empty takes it away.
    annotation: Option<String>,
    /// Whether CPUs can be added while it runs.
    cpu_hot_add: Option<bool>,
    /// Whether memory can be added while it runs.
    memory_hot_add: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RenameVm {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// The new name, unique in its folder.
    new_name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListTemplates {
    /// Glob on the name: ubuntu-*.
    filter: Option<String>,
    /// Only these fields of each.
    fields: Option<Vec<String>>,
    /// Templates in one answer; 50 by default.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// The next_cursor of the page before.
    cursor: Option<String>,
}

/// What deleting this machine would lose.
async fn deletion_preview(client: &Client, what: &str) -> Result<Preview> {
    let lost = vm::deletion(client, what).await?;
    let kind = if lost.template { "template" } else { "virtual machine" };
    let mut preview = Preview::new(format!("Delete the {kind} {} with all its files?", lost.path));
    if lost.power_state == "powered_on" {
        preview = preview.note("It runs, and will be powered off like pulling the plug.");
    }
    if !lost.linked_clones.is_empty() {
        let clones = lost.linked_clones.join(", ");
        preview = preview.note(format!("Linked clones stand on its disks and may break: {clones}."));
    }
    let files: Vec<_> = lost.disks.iter().map(|disk| (&disk.file, disk.capacity_gb)).collect();
    let bound =
        json!([lost.id, lost.template, lost.power_state, lost.booted, files, lost.snapshots, lost.linked_clones]);
    preview.object(&lost, bound)
}

/// What making it a template would end: nothing where it is one already, or where it can't be made one.
async fn conversion_preview(client: &Client, what: &str) -> Result<Preview> {
    let it = vm::info(client, what).await?;
    let preview = Preview::new(format!("Convert the virtual machine {} into a template?", it.path))
        .note("It leaves its resource pool, and can't be powered on until convert_to_vm.");
    if it.template || it.power_state != "powered_off" {
        return Ok(preview);
    }
    let shown = json!({ "name": it.name, "id": it.id, "power_state": it.power_state, "host": it.host });
    preview.object(&shown, json!([it.id, it.power_state]))
}
