//! Virtual disks and CD drives.

use vsphere_ops::{
    DatastorePath,
    disk::{self, Disk, DiskChange, DiskInfo, DiskMode, DiskQuery, Files, NewDisk},
    media::{self, DriveChange},
};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_disks", Disks, "List disks", list_disks)
            .about("List the virtual disks of a VM: size, file, datastore, controller."),
        Tool::reads("get_disk_info", Disks, "Get a disk's details", get_disk_info)
            .about("Get the details of one virtual disk, with the space it uses and the snapshots that need it."),
        Tool::adds("add_disk", Disks, VmLifecycle, "Add a disk", add_disk)
            .about("Add an empty disk to a VM, also while it runs. Adds a controller if all are full.")
            .needs(&[
                "VirtualMachine.Config.AddNewDisk",
                "VirtualMachine.Config.AddRemoveDevice",
                "Datastore.AllocateSpace",
            ]),
        Tool::changes("remove_disk", Disks, VmLifecycle, "Remove a disk", remove_disk)
            .about("Remove a disk from a VM. Its file stays unless delete_file is set.")
            .needs(&["VirtualMachine.Config.RemoveDisk"])
            .asks(),
        Tool::adds("resize_disk", Disks, VmLifecycle, "Resize a disk", resize_disk)
            .about("Grow a disk; snapshots must be deleted first. The guest must extend its partitions itself.")
            .needs(&["VirtualMachine.Config.DiskExtend", "Datastore.AllocateSpace"])
            .formerly(&["extend_disk"])
            .asks(),
        Tool::changes("move_vm_disk", Disks, VmLifecycle, "Move a disk", move_vm_disk)
            .about("Move a disk, with its snapshots, to another datastore, also while the VM runs.")
            .needs(&["Resource.ColdMigrate", "Resource.HotMigrate", "Datastore.AllocateSpace"])
            .asks(),
        Tool::changes("attach_iso", Disks, VmLifecycle, "Attach an ISO image", attach_iso)
            .about("Attach an ISO image to a VM's CD drive; adds a drive if there is none.")
            .needs(&[
                "VirtualMachine.Interact.SetCDMedia",
                "VirtualMachine.Interact.DeviceConnection",
                "VirtualMachine.Interact.AnswerQuestion",
                "VirtualMachine.Config.AddRemoveDevice",
                "VirtualMachine.Config.EditDevice",
                "Datastore.Browse",
            ]),
        Tool::changes("detach_iso", Disks, VmLifecycle, "Detach an ISO image", detach_iso)
            .about("Detach the ISO image from a VM's CD drive, even if the guest has locked it.")
            .needs(&[
                "VirtualMachine.Interact.SetCDMedia",
                "VirtualMachine.Interact.DeviceConnection",
                "VirtualMachine.Interact.AnswerQuestion",
                "VirtualMachine.Config.EditDevice",
            ])
            .idempotent(),
    ]
}

async fn list_disks(args: ListDisks, cx: Cx) -> Result<Listed<Disk>> {
    let wanted = args.paging.open(&cx)?;
    let query = DiskQuery { vm: args.vm.into(), filter: wanted.filter, limit: wanted.limit, cursor: wanted.cursor };
    let page = disk::list(&cx.client().await?, &query).await?;
    Ok(cx.page(page, wanted.fields))
}

async fn get_disk_info(args: OneDisk, cx: Cx) -> Result<Object<DiskInfo>> {
    Ok(Object(disk::info(&cx.client().await?, &args.vm, &args.disk).await?))
}

async fn add_disk(args: AddDisk, cx: Cx) -> Result<Object<DiskChange>> {
    let mut new = NewDisk::gigabytes(args.size_gb).mode(args.mode.unwrap_or_default());
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
    Ok(Object(disk::add(&client, &args.vm, &new).await?))
}

async fn remove_disk(args: RemoveDisk, cx: Cx) -> Result<Object<DiskChange>> {
    let client = cx.client().await?;
    let files = if args.delete_file.unwrap_or(false) { Files::Deleted } else { Files::Kept };
    cx.confirm(|| async {
        let removal = disk::removal(&client, &args.vm, &args.disk, files).await?;
        let fate = if removal.file_deleted { "DELETE its file with all data" } else { "keep its file" };
        let question = format!("Remove {} from {} and {fate}?", quoted(&removal.disk.label), quoted(&removal.vm));
        Preview::new(question).object(&removal)?.bind(version(&client, &removal.id).await?)
    })
    .await?;
    Ok(Object(disk::remove(&client, &args.vm, &args.disk, files).await?))
}

async fn resize_disk(args: ResizeDisk, cx: Cx) -> Result<Object<DiskChange>> {
    let client = cx.client().await?;
    cx.confirm(|| async {
        let found = disk::info(&client, &args.vm, &args.disk).await?;
        let (label, size) = (quoted(&found.disk.label), args.new_size_gb);
        let question = format!("Grow {label} of {} from {} to {size} GiB?", quoted(&found.vm), found.disk.capacity_gb);
        let preview = Preview::new(question).note("A disk cannot be made smaller again.");
        preview.object(&found)?.bind(version(&client, &found.id).await?)
    })
    .await?;
    Ok(Object(disk::resize(&client, &args.vm, &args.disk, args.new_size_gb).await?))
}

async fn move_vm_disk(args: MoveDisk, cx: Cx) -> Result<Object<DiskChange>> {
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
    Ok(Object(disk::relocate(&client, vm, disk, datastore).await?))
}

async fn attach_iso(args: AttachIso, cx: Cx) -> Result<Object<DriveChange>> {
    let iso = iso_path(&args.iso_path, args.datastore.as_deref().or(cx.defaults().datastore.as_deref()))?;
    let client = cx.client().await?;
    cx.confirm_change(&client, "Put an ISO image into the CD drive of", &[&args.vm]).await?;
    // The search for the image, and the change.
    cx.expect_tasks(2);
    Ok(Object(media::attach(&client, &args.vm, &iso, args.drive.as_deref()).await?))
}

async fn detach_iso(args: DetachIso, cx: Cx) -> Result<Object<DriveChange>> {
    let client = cx.client().await?;
    cx.confirm_change(&client, "Take the ISO image out of the CD drive of", &[&args.vm]).await?;
    Ok(Object(media::detach(&client, &args.vm, args.drive.as_deref()).await?))
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
struct ListDisks {
    vm: VmName,
    #[serde(flatten)]
    paging: Paging<Disk>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneDisk {
    vm: VmName,
    disk: DiskName,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AddDisk {
    vm: VmName,
    /// Size in GiB.
    size_gb: f64,
    /// Allocate on demand; true by default.
    thin: Option<bool>,
    /// Another datastore than the VM's.
    datastore: Option<String>,
    /// Independent: not part of snapshots.
    mode: Option<DiskMode>,
    /// Label, key, or pvscsi, nvme, sata, ide.
    controller: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RemoveDisk {
    vm: VmName,
    disk: DiskName,
    /// Delete the file too; false by default.
    delete_file: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ResizeDisk {
    vm: VmName,
    disk: DiskName,
    /// New size in GiB.
    new_size_gb: f64,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct MoveDisk {
    vm: VmName,
    disk: DiskName,
    /// Target datastore: name, path or id.
    target_datastore: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AttachIso {
    vm: VmName,
    /// [datastore] folder/file.iso; [datastore] may be left out.
    iso_path: String,
    /// Datastore of a path that names none.
    datastore: Option<String>,
    /// CD drive among several: label or key.
    drive: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DetachIso {
    vm: VmName,
    /// CD drive among several: label or key.
    drive: Option<String>,
}
