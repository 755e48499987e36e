//! The life of virtual machines: made, changed, turned into templates and back, deleted.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use vsphere_ops::{
    Client, Untrusted,
    placement::Placement,
    vm::{self, Changes, CloneKind, Firmware, NewClone, NewVm, Provisioning, Start, TemplateQuery},
};

use crate::{
    Permission, Server, Spec, Toolset,
    answer::Answer,
    arguments::{Parameters, page_size},
    confirm::Preview,
    cx::Cx,
    error::Result,
    text::{one_line, quoted},
    tools::targets::{OneVm, version},
};

#[tool_router(router = lifecycle_tools, vis = "pub(crate)")]
impl Server {
    /// Create a virtual machine with one disk (pvscsi) and one network adapter (vmxnet3), without an operating system. It is
    /// off then.
    #[tool(
        meta = Spec::changes(Toolset::Vm, Permission::VmLifecycle, &[
            "VirtualMachine.Inventory.Create",
            "VirtualMachine.Config.AddNewDisk",
            "Datastore.AllocateSpace",
            "Network.Assign",
            "Resource.AssignVMToPool",
        ])
        .meta(),
        annotations(title = "Create a virtual machine", destructive_hint = false, idempotent_hint = false)
    )]
    async fn create_vm(&self, Parameters(args): Parameters<CreateVm>, cx: Cx) -> Result<Answer> {
        let new = NewVm {
            name: args.name,
            cpu: args.cpu,
            memory_mb: args.memory_mb,
            disk_gb: args.disk_gb,
            provisioning: if args.thin { Provisioning::Thin } else { Provisioning::Thick },
            guest_id: args.guest_id,
            firmware: args.firmware.map(Into::into),
            network: args.network,
            placement: Placement {
                folder: args.folder,
                pool: args.pool,
                host: args.host,
                datastore: args.datastore,
                defaults: cx.defaults().clone(),
            },
        };
        let client = cx.client().await?;
        cx.confirm(|| async { new_preview(&cx, format!("Create the virtual machine {}?", quoted(&new.name))) }).await?;
        Answer::object(&vm::create(&client, &new).await?)
    }

    /// Clone a virtual machine or a template. A linked clone is made in seconds, and needs the source's snapshot for good.
    #[tool(
        meta = Spec::changes(Toolset::Vm, Permission::VmLifecycle, &[
            "VirtualMachine.Provisioning.Clone",
            "VirtualMachine.Provisioning.DeployTemplate",
            "VirtualMachine.Provisioning.Customize",
            "VirtualMachine.Provisioning.ReadCustSpecs",
            "VirtualMachine.Inventory.CreateFromExisting",
            "VirtualMachine.Config.AddNewDisk",
            "Datastore.AllocateSpace",
            "Network.Assign",
            "Resource.AssignVMToPool",
            "VirtualMachine.Interact.PowerOn",
        ])
        .meta(),
        annotations(title = "Clone a virtual machine", destructive_hint = false, idempotent_hint = false)
    )]
    async fn clone_vm(&self, Parameters(args): Parameters<CloneVm>, cx: Cx) -> Result<Answer> {
        let new = NewClone {
            source: args.template,
            name: args.new_name,
            kind: if args.linked { CloneKind::Linked } else { CloneKind::Full },
            snapshot: args.snapshot,
            customization: args.customization,
            start: start(args.power_on),
            placement: Placement {
                folder: args.folder,
                pool: args.pool,
                host: args.host,
                datastore: args.datastore,
                defaults: cx.defaults().clone(),
            },
        };
        let client = cx.client().await?;
        cx.confirm_change(&client, "Make a clone of", &[&new.source]).await?;
        Answer::object(&vm::clone(&client, &new).await?)
    }

    /// Make a virtual machine from a template: clone_vm with less to say.
    #[tool(
        meta = Spec::changes(Toolset::Vm, Permission::VmLifecycle, &[
            "VirtualMachine.Provisioning.DeployTemplate",
            "VirtualMachine.Inventory.CreateFromExisting",
            "VirtualMachine.Config.AddNewDisk",
            "Datastore.AllocateSpace",
            "Network.Assign",
            "Resource.AssignVMToPool",
            "VirtualMachine.Interact.PowerOn",
        ])
        .meta(),
        annotations(title = "Deploy from a template", destructive_hint = false, idempotent_hint = false)
    )]
    async fn deploy_from_template(&self, Parameters(args): Parameters<Deploy>, cx: Cx) -> Result<Answer> {
        let placement =
            Placement { datastore: args.datastore, defaults: cx.defaults().clone(), ..Placement::default() };
        let new =
            NewClone { name: args.new_name, start: start(args.power_on), placement, ..NewClone::of(&args.template) };
        let client = cx.client().await?;
        cx.confirm_change(&client, "Make a virtual machine from the template", &[&new.source]).await?;
        Answer::object(&vm::deploy(&client, &new).await?)
    }

    /// Delete a virtual machine or template with its files and snapshots. One that runs is powered off first.
    #[tool(
        meta = Spec::changes(Toolset::Vm, Permission::VmLifecycle, &[
            "VirtualMachine.Inventory.Delete",
            "VirtualMachine.Interact.PowerOff",
        ])
        .asks()
        .meta(),
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
        meta = Spec::changes(Toolset::Vm, Permission::VmLifecycle, &[
            "VirtualMachine.Config.CPUCount",
            "VirtualMachine.Config.Memory",
            "VirtualMachine.Config.Annotation",
            "VirtualMachine.Config.Settings",
        ])
        .asks()
        .meta(),
        annotations(title = "Reconfigure a virtual machine", destructive_hint = true, idempotent_hint = true)
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
        let client = cx.client().await?;
        cx.confirm(|| reconfigure_preview(&cx, &client, &args.vm, &changes)).await?;
        Answer::object(&vm::reconfigure(&client, &args.vm, &changes).await?)
    }

    /// Rename a virtual machine or template. Its files keep their names.
    #[tool(
        meta = Spec::changes(Toolset::Vm, Permission::VmLifecycle, &["VirtualMachine.Config.Rename"]).meta(),
        annotations(title = "Rename a virtual machine", destructive_hint = true, idempotent_hint = true)
    )]
    async fn rename_vm(&self, Parameters(args): Parameters<RenameVm>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        cx.confirm_change(&client, "Rename", &[&args.vm]).await?;
        Answer::object(&vm::rename(&client, &args.vm, &args.new_name).await?)
    }

    /// Turn a virtual machine that is off into a template. It leaves its resource pool and can't run until it is converted back.
    #[tool(
        meta = Spec::changes(Toolset::Vm, Permission::VmLifecycle, &[
            "VirtualMachine.Provisioning.MarkAsTemplate",
        ])
        .asks()
        .meta(),
        annotations(title = "Convert to a template", destructive_hint = true, idempotent_hint = true)
    )]
    async fn convert_to_template(&self, Parameters(args): Parameters<OneVm>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        cx.confirm(|| conversion_preview(&client, &args.vm)).await?;
        Answer::object(&vm::to_template(&client, &args.vm).await?)
    }

    /// Turn a template back into a virtual machine, which can be powered on.
    #[tool(
        meta = Spec::changes(Toolset::Vm, Permission::VmLifecycle, &[
            "VirtualMachine.Provisioning.MarkAsVM",
            "Resource.AssignVMToPool",
        ])
        .asks()
        .meta(),
        annotations(title = "Convert to a virtual machine", destructive_hint = true, idempotent_hint = true)
    )]
    async fn convert_to_vm(&self, Parameters(args): Parameters<ConvertToVm>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        cx.confirm(|| to_machine_preview(&client, &args.template)).await?;
        let defaults = cx.defaults().clone();
        let placement = Placement { pool: args.pool, host: args.host, defaults, ..Placement::default() };
        Answer::object(&vm::to_machine(&client, &args.template, &placement).await?)
    }

    /// List templates.
    #[tool(
        meta = Spec::reads(Toolset::Vm).meta(),
        annotations(title = "List templates", read_only_hint = true)
    )]
    async fn list_templates(&self, Parameters(args): Parameters<ListTemplates>, cx: Cx) -> Result<Answer> {
        let query =
            TemplateQuery { filter: args.filter, limit: page_size(args.limit)?, cursor: cx.cursor(args.cursor)? };
        cx.page(&vm::templates(&cx.client().await?, &query).await?, args.fields)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateVm {
    /// Unique in its folder.
    #[serde(alias = "vm", alias = "vm_name")]
    name: String,
    /// Virtual CPUs.
    #[serde(default = "two", alias = "num_cpus")]
    cpu: i32,
    /// Memory in MiB.
    #[serde(default = "four_gb")]
    memory_mb: i64,
    /// Size of the disk.
    #[serde(default = "twenty")]
    disk_gb: i64,
    /// By default the one with most free space.
    #[serde(alias = "datastore_name")]
    datastore: Option<String>,
    /// Network or distributed port group.
    #[serde(alias = "network_name")]
    network: Option<String>,
    /// Guest OS, such as ubuntu64Guest.
    #[serde(default = "any_guest")]
    guest_id: String,
    /// By default the datacenter's own.
    #[serde(alias = "folder_name")]
    folder: Option<String>,
    /// Resource pool.
    #[serde(alias = "pool_name")]
    pool: Option<String>,
    /// By default vSphere chooses.
    #[serde(alias = "host_name")]
    host: Option<String>,
    /// By default what suits guest_id.
    firmware: Option<FirmwareName>,
    /// Take disk space as it is written.
    #[serde(default = "yes")]
    thin: bool,
}

fn two() -> i32 {
    2
}

fn four_gb() -> i64 {
    4096
}

fn twenty() -> i64 {
    20
}

fn any_guest() -> String {
    "otherGuest64".to_owned()
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum FirmwareName {
    Bios,
    Efi,
}

impl From<FirmwareName> for Firmware {
    fn from(name: FirmwareName) -> Self {
        match name {
            FirmwareName::Bios => Self::Bios,
            FirmwareName::Efi => Self::Efi,
        }
    }
}

fn start(power_on: bool) -> Start {
    if power_on { Start::On } else { Start::Off }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CloneVm {
    /// Template or virtual machine: name, path or id.
    #[serde(alias = "template_name", alias = "vm", alias = "vm_name", alias = "name")]
    template: String,
    /// Unique in its folder.
    #[serde(alias = "new_vm_name")]
    new_name: String,
    /// Power it on then.
    #[serde(default)]
    power_on: bool,
    /// By default the one with most free space.
    #[serde(alias = "datastore_name")]
    datastore: Option<String>,
    /// By default the datacenter's own.
    #[serde(alias = "folder_name")]
    folder: Option<String>,
    /// By default the source's resource pool.
    #[serde(alias = "pool_name")]
    pool: Option<String>,
    /// By default vSphere chooses.
    #[serde(alias = "host_name")]
    host: Option<String>,
    /// Disks hold only what differs from the snapshot.
    #[serde(default)]
    linked: bool,
    /// Name, path or id; for linked the current one.
    snapshot: Option<String>,
    /// Customization specification kept by vCenter.
    customization: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Deploy {
    /// Template: name, path or id.
    #[serde(alias = "template_name", alias = "name")]
    template: String,
    /// Unique in its folder.
    #[serde(alias = "new_vm_name", alias = "vm_name")]
    new_name: String,
    /// By default the one with most free space.
    #[serde(alias = "datastore_name")]
    datastore: Option<String>,
    /// Power it on then.
    #[serde(default)]
    power_on: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConvertToVm {
    /// Template: name, path or id.
    #[serde(alias = "template_name", alias = "name", alias = "vm", alias = "vm_name")]
    template: String,
    /// By default that of its host or cluster.
    #[serde(alias = "pool_name", alias = "resource_pool")]
    pool: Option<String>,
    /// By default vSphere chooses.
    #[serde(alias = "host_name")]
    host: Option<String>,
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
    #[schemars(with = "Option<Vec<String>>")]
    fields: Option<Vec<TemplateField>>,
    /// Templates in one answer; 50 by default.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// The next_cursor of the page before.
    cursor: Option<String>,
}

/// What is told of each template. The schema does not list it, which would cost more than an error now and then.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TemplateField {
    Name,
    Id,
    Path,
    Cpu,
    MemoryMb,
    GuestOs,
    Host,
}

/// What deleting this machine would lose.
async fn deletion_preview(client: &Client, what: &str) -> Result<Preview> {
    let lost = vm::deletion(client, what).await?;
    let kind = if lost.template { "template" } else { "virtual machine" };
    let mut preview = Preview::new(format!("Delete the {kind} {} with all its files?", quoted(&lost.path)));
    if lost.power_state == "powered_on" {
        preview = preview.note("It runs, and will be powered off like pulling the plug.");
    }
    if !lost.linked_clones.is_empty() {
        let clones: Vec<String> = lost.linked_clones.iter().map(|name| quoted(name)).collect();
        let clones = clones.join(", ");
        preview = preview.note(format!("Linked clones stand on its disks and may break: {clones}."));
    }
    for part in &lost.gaps.missing {
        preview = preview.note(format!("Not known: {} ({}).", part.what, one_line(&part.why)));
    }
    preview.object(&lost)?.bind(version(client, &lost.id).await?)
}

/// What making it a template would end: nothing where it is one already, or where it can't be made one.
async fn conversion_preview(client: &Client, what: &str) -> Result<Preview> {
    let it = vm::info(client, what).await?;
    let preview = Preview::new(format!("Convert the virtual machine {} into a template?", quoted(&it.path)))
        .note("It leaves its resource pool, and can't be powered on until it is a virtual machine again.");
    if it.template || it.power_state != "powered_off" {
        return Ok(preview);
    }
    let shown = json!({ "name": it.name, "id": it.id, "power_state": it.power_state, "host": it.host });
    preview.object(&shown)?.bind(version(client, &it.id).await?)
}

/// What making it a machine would end: nothing where it is one already.
async fn to_machine_preview(client: &Client, what: &str) -> Result<Preview> {
    let it = vm::info(client, what).await?;
    let preview = Preview::new(format!("Convert the template {} into a virtual machine?", quoted(&it.path)))
        .note("Nothing can be deployed from it until it is a template again, and changes in it are there to stay.");
    if !it.template {
        return Ok(preview);
    }
    preview.object(json!({ "name": it.name, "id": it.id, "host": it.host }))?.bind(version(client, &it.id).await?)
}

/// What is made where nothing was, so that nothing is lost.
fn new_preview(cx: &Cx, question: String) -> Result<Preview> {
    Ok(Preview::new(question).object(&cx.call.arguments)?.harmless())
}

/// What a reconfiguration replaces. A note that is lost is asked about.
async fn reconfigure_preview(cx: &Cx, client: &Client, what: &str, changes: &Changes) -> Result<Preview> {
    let preview = cx.change_of(client, "Reconfigure", &[what]).await?.bind(version(client, what).await?)?;
    let note = match &changes.annotation {
        Some(_) => vm::info(client, what).await?.annotation.map(Untrusted::into_string).unwrap_or_default(),
        None => String::new(),
    };
    Ok(match &changes.annotation {
        Some(new) if !note.is_empty() && *new != note => preview.note("Its annotation, as it is shown here, is lost."),
        _ => preview.harmless(),
    })
}
