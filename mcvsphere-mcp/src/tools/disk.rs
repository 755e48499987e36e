//! Virtual disks and CD drives.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vsphere_ops::{
    DatastorePath,
    disk::{self, DiskQuery, Files, NewDisk},
    media,
};

use crate::{
    Permission, Server, Spec, ToolError, Toolset,
    answer::Answer,
    arguments::{Parameters, page_size},
    confirm::Preview,
    cx::Cx,
    error::Result,
    text::quoted,
    tools::targets::version,
};

#[tool_router(router = disk_tools, vis = "pub(crate)")]
impl Server {
    /// List the virtual disks of a machine: size, file, datastore, controller.
    #[tool(
        meta = Spec::reads(Toolset::Disks).meta(),
        annotations(title = "List disks", read_only_hint = true)
    )]
    async fn list_disks(&self, Parameters(args): Parameters<ListDisks>, cx: Cx) -> Result<Answer> {
        let query = DiskQuery {
            vm: args.vm,
            filter: args.filter,
            limit: page_size(args.limit)?,
            cursor: cx.cursor(args.cursor)?,
        };
        let page = disk::list(&cx.client().await?, &query).await?;
        cx.page(&page, args.fields)
    }

    /// Get all about one virtual disk, with the space it uses and the snapshots that need it.
    #[tool(
        meta = Spec::reads(Toolset::Disks).meta(),
        annotations(title = "Get a disk's details", read_only_hint = true)
    )]
    async fn get_disk_info(&self, Parameters(args): Parameters<OneDisk>, cx: Cx) -> Result<Answer> {
        Answer::object(&disk::info(&cx.client().await?, &args.vm, &args.disk).await?)
    }

    /// Add an empty disk to a machine, which may run. Adds a controller where all are full.
    #[tool(
        meta = Spec::changes(Toolset::Disks, Permission::VmLifecycle, &[
            "VirtualMachine.Config.AddNewDisk",
            "VirtualMachine.Config.AddRemoveDevice",
            "Datastore.AllocateSpace",
        ])
        .meta(),
        annotations(title = "Add a disk", destructive_hint = false, idempotent_hint = false)
    )]
    async fn add_disk(&self, Parameters(args): Parameters<AddDisk>, cx: Cx) -> Result<Answer> {
        let mut new = NewDisk::gigabytes(args.size_gb).mode(args.mode.unwrap_or_default().into());
        if !args.thin.unwrap_or(true) {
            new = new.thick();
        }
        if let Some(datastore) = args.datastore {
            new = new.datastore(datastore);
        }
        if let Some(controller) = args.controller {
            new = new.controller(controller);
        }
        let client = cx.client().await?;
        cx.confirm_change(&client, "Add a disk to", &[&args.vm]).await?;
        Answer::object(&disk::add(&client, &args.vm, &new).await?)
    }

    /// Take a disk out of a machine. Its file stays unless delete_file is set.
    #[tool(
        meta = Spec::changes(Toolset::Disks, Permission::VmLifecycle, &[
            "VirtualMachine.Config.RemoveDisk",
        ])
        .asks()
        .meta(),
        annotations(title = "Remove a disk", destructive_hint = true, idempotent_hint = false)
    )]
    async fn remove_disk(&self, Parameters(args): Parameters<RemoveDisk>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        let files = if args.delete_file.unwrap_or(false) { Files::Deleted } else { Files::Kept };
        cx.confirm(|| async {
            let removal = disk::removal(&client, &args.vm, &args.disk, files).await?;
            let fate = if removal.file_deleted { "DELETE its file with all data" } else { "keep its file" };
            let question = format!("Remove {} from {} and {fate}?", quoted(&removal.disk.label), quoted(&removal.vm));
            Preview::new(question).object(&removal)?.bind(version(&client, &removal.id).await?)
        })
        .await?;
        Answer::object(&disk::remove(&client, &args.vm, &args.disk, files).await?)
    }

    /// Grow a disk; snapshots must be deleted first. The guest must extend its partitions itself.
    #[tool(
        meta = Spec::changes(Toolset::Disks, Permission::VmLifecycle, &[
            "VirtualMachine.Config.DiskExtend",
            "Datastore.AllocateSpace",
        ])
        .formerly(&["extend_disk"])
        .asks()
        .meta(),
        annotations(title = "Resize a disk", destructive_hint = false, idempotent_hint = false)
    )]
    async fn resize_disk(&self, Parameters(args): Parameters<ResizeDisk>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        cx.confirm(|| async {
            let found = disk::info(&client, &args.vm, &args.disk).await?;
            let (label, size) = (quoted(&found.disk.label), args.new_size_gb);
            let question =
                format!("Grow {label} of {} from {} to {size} GiB?", quoted(&found.vm), found.disk.capacity_gb);
            let preview = Preview::new(question).note("A disk cannot be made smaller again.");
            preview.object(&found)?.bind(version(&client, &found.id).await?)
        })
        .await?;
        Answer::object(&disk::resize(&client, &args.vm, &args.disk, args.new_size_gb).await?)
    }

    /// Move a disk, with its snapshots, to another datastore. The machine may run.
    #[tool(
        meta = Spec::changes(Toolset::Disks, Permission::VmLifecycle, &[
            "Resource.ColdMigrate",
            "Resource.HotMigrate",
            "Datastore.AllocateSpace",
        ])
        .asks()
        .meta(),
        annotations(title = "Move a disk", destructive_hint = true, idempotent_hint = false)
    )]
    async fn move_vm_disk(&self, Parameters(args): Parameters<MoveDisk>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        let (vm, disk, datastore) = (&args.vm, &args.disk, &args.target_datastore);
        cx.confirm(|| async {
            let relocation = disk::relocation(&client, vm, disk, datastore).await?;
            let it = &relocation.disk;
            let (label, vm, to) = (&it.label, &relocation.vm, &relocation.target_datastore);
            let question = format!("Move {} of {} to {}?", quoted(label), quoted(vm), quoted(to));
            if !relocation.moves {
                return Ok(Preview::new(question));
            }
            Preview::new(question).object(&relocation)?.bind(version(&client, &relocation.id).await?)
        })
        .await?;
        Answer::object(&disk::relocate(&client, vm, disk, datastore).await?)
    }

    /// Put an ISO image into a machine's CD drive; adds a drive where there is none.
    #[tool(
        meta = Spec::changes(Toolset::Disks, Permission::VmLifecycle, &[
            "VirtualMachine.Interact.SetCDMedia",
            "VirtualMachine.Interact.DeviceConnection",
            "VirtualMachine.Interact.AnswerQuestion",
            "VirtualMachine.Config.AddRemoveDevice",
            "VirtualMachine.Config.EditDevice",
            "Datastore.Browse",
        ])
        .meta(),
        annotations(title = "Attach an ISO image", destructive_hint = true, idempotent_hint = false)
    )]
    async fn attach_iso(&self, Parameters(args): Parameters<AttachIso>, cx: Cx) -> Result<Answer> {
        let iso = iso_path(&args.iso_path, args.datastore.as_deref().or(cx.defaults().datastore.as_deref()))?;
        let client = cx.client().await?;
        cx.confirm_change(&client, "Put an ISO image into the CD drive of", &[&args.vm]).await?;
        // The search for the image, and the change.
        cx.expect_tasks(2);
        Answer::object(&media::attach(&client, &args.vm, &iso, args.drive.as_deref()).await?)
    }

    /// Take the ISO image out of a machine's CD drive, also where the guest has locked it.
    #[tool(
        meta = Spec::changes(Toolset::Disks, Permission::VmLifecycle, &[
            "VirtualMachine.Interact.SetCDMedia",
            "VirtualMachine.Interact.DeviceConnection",
            "VirtualMachine.Interact.AnswerQuestion",
            "VirtualMachine.Config.EditDevice",
        ])
        .meta(),
        annotations(title = "Detach an ISO image", destructive_hint = true, idempotent_hint = true)
    )]
    async fn detach_iso(&self, Parameters(args): Parameters<DetachIso>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        cx.confirm_change(&client, "Take the ISO image out of the CD drive of", &[&args.vm]).await?;
        Answer::object(&media::detach(&client, &args.vm, args.drive.as_deref()).await?)
    }
}

/// The image's place: a path that names its datastore, or one below the given datastore.
fn iso_path(path: &str, datastore: Option<&str>) -> Result<DatastorePath> {
    if path.trim_start().starts_with('[') {
        return Ok(path.parse()?);
    }
    let datastore = datastore.ok_or_else(|| {
        let text = "`iso_path` names no datastore: write \"[datastore] folder/file.iso\", or give `datastore`";
        ToolError::invalid_argument(text)
    })?;
    Ok(DatastorePath::new(datastore, path)?)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListDisks {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Glob on the label.
    filter: Option<String>,
    /// Only these fields.
    #[schemars(with = "Option<Vec<String>>")]
    fields: Option<Vec<DiskField>>,
    /// Disks in one answer; 50 by default.
    limit: Option<usize>,
    /// The next_cursor of the page before.
    cursor: Option<String>,
}

/// What is told of each disk. The schema does not list it, which would cost more than an error now and then.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DiskField {
    Label,
    Key,
    CapacityGb,
    CapacityBytes,
    Thin,
    Mode,
    File,
    Datastore,
    Controller,
    Unit,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneDisk {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Label or key.
    #[serde(alias = "disk_label")]
    disk: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddDisk {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// GiB.
    size_gb: f64,
    /// Allocate on demand; true by default.
    #[serde(alias = "thin_provisioned")]
    thin: Option<bool>,
    /// Another datastore than the machine's.
    #[serde(alias = "datastore_name")]
    datastore: Option<String>,
    /// Independent: not part of snapshots.
    #[serde(alias = "disk_mode")]
    mode: Option<Mode>,
    /// Label, key, or pvscsi, nvme, sata, ide.
    controller: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Persistent,
    IndependentPersistent,
    IndependentNonpersistent,
}

impl From<Mode> for disk::DiskMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Persistent => Self::Persistent,
            Mode::IndependentPersistent => Self::IndependentPersistent,
            Mode::IndependentNonpersistent => Self::IndependentNonpersistent,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RemoveDisk {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Label or key.
    #[serde(alias = "disk_label")]
    disk: String,
    /// Delete the file too; false by default.
    #[serde(alias = "delete_files")]
    delete_file: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResizeDisk {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Label or key.
    #[serde(alias = "disk_label")]
    disk: String,
    /// GiB in all.
    #[serde(alias = "size_gb")]
    new_size_gb: f64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MoveDisk {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Label or key.
    #[serde(alias = "disk_label")]
    disk: String,
    /// Where to: name, path or id.
    #[serde(alias = "datastore", alias = "datastore_name")]
    target_datastore: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AttachIso {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// [datastore] folder/file.iso, or without [datastore].
    #[serde(alias = "iso")]
    iso_path: String,
    /// Datastore of a path without one.
    #[serde(alias = "datastore_name")]
    datastore: Option<String>,
    /// CD drive among several: label or key.
    drive: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DetachIso {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// CD drive among several: label or key.
    drive: Option<String>,
}
