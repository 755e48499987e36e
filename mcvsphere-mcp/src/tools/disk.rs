//! Virtual disks and CD drives.

use vsphere_ops::{
    DatastorePath,
    disk::{Disk, DiskChange, DiskInfo, DiskMode, Files, NewDisk},
    media::{DriveChange, DrivePlan},
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
            .long()
            .needs(&["VirtualMachine.Config.DiskExtend", "Datastore.AllocateSpace"])
            .formerly(&["extend_disk"])
            .asks(),
        Tool::changes("move_vm_disk", Disks, VmLifecycle, "Move a disk", move_vm_disk)
            .about("Move a disk, with its snapshots, to another datastore, also while the VM runs.")
            .long()
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
    let (query, fields) = args.paging.open(&cx)?;
    Ok(cx.page(args.vm.find(&cx).await?.list_disks(&query).await?, fields))
}

async fn get_disk_info(args: OneDisk, cx: Cx) -> Result<Object<DiskInfo>> {
    Ok(Object(args.vm.find(&cx).await?.disk(&args.disk).await?.info().await?))
}

async fn add_disk(args: AddDisk, cx: Cx) -> Result<Object<DiskChange>> {
    let mut new = NewDisk::of_bytes(bytes(args.size_gb)?).mode(args.mode.unwrap_or_default());
    if !args.thin.unwrap_or(true) {
        new = new.thick();
    }
    if let Some(controller) = args.controller {
        new = new.controller(controller);
    }
    let vm = cx.agreed_change("Add a disk to", &args.vm).await?;
    if let Some(datastore) = &args.datastore {
        new = new.on(&vm.datastore(datastore).await?);
    }
    Ok(Object(vm.add_disk(&new).await?))
}

async fn remove_disk(args: RemoveDisk, cx: Cx) -> Result<Object<DiskChange>> {
    let files = if args.delete_file.unwrap_or(false) { Files::Deleted } else { Files::Kept };
    let removal = cx.agreed(|| async {
        let removal = args.vm.find(&cx).await?.disk(&args.disk).await?.removal(files).await?;
        let fate = if removal.file_deleted { "DELETE its file with all data" } else { "keep its file" };
        let question = format!("Remove {} from {} and {fate}?", quoted(&removal.disk.label), quoted(&removal.vm));
        let preview = Preview::new(question).object(&removal)?.bind(removal.change_version())?;
        Ok((removal, preview))
    });
    Ok(Object(removal.await?.carry_out().await?))
}

async fn resize_disk(args: ResizeDisk, cx: Cx) -> Result<Object<DiskChange>> {
    let size = bytes(args.new_size_gb)?;
    let resizing = cx.agreed(|| async {
        let resizing = args.vm.find(&cx).await?.disk(&args.disk).await?.resizing(size).await?;
        let (found, size) = (&resizing.info, args.new_size_gb);
        let (label, vm) = (quoted(&found.disk.label), quoted(&found.vm));
        let question = format!("Grow {label} of {vm} from {} to {size} GiB?", found.disk.capacity);
        let preview = Preview::new(question).note("A disk cannot be made smaller again.");
        let preview = preview.object(&resizing)?.bind(resizing.change_version())?;
        Ok((resizing, preview))
    });
    Ok(Object(resizing.await?.carry_out().await?))
}

async fn move_vm_disk(args: MoveDisk, cx: Cx) -> Result<Object<DiskChange>> {
    let relocation = cx.agreed(|| async {
        let vm = args.vm.find(&cx).await?;
        let to = vm.datastore(&args.target_datastore).await?;
        let relocation = vm.disk(&args.disk).await?.relocation(&to).await?;
        let (label, vm) = (quoted(&relocation.disk.label), quoted(&relocation.vm));
        let question = format!("Move {label} of {vm} to {}?", quoted(&relocation.target_datastore));
        let preview = match relocation.moves {
            true => Preview::new(question).object(&relocation)?.bind(relocation.change_version())?,
            false => Preview::new(question),
        };
        Ok((relocation, preview))
    });
    Ok(Object(relocation.await?.carry_out().await?))
}

async fn attach_iso(args: AttachIso, cx: Cx) -> Result<Object<DriveChange>> {
    let iso = iso_path(&args.iso_path, args.datastore.as_deref().or(cx.defaults().datastore.as_deref()))?;
    // The search for the image, and the change.
    cx.expect_tasks(2);
    let insertion = cx.agreed(|| async {
        let vm = args.vm.find(&cx).await?;
        let plan = vm.iso_insertion(&iso, args.drive.as_deref()).await?;
        shown(&cx, "Put an ISO image into the CD drive of", &vm, plan).await
    });
    Ok(Object(insertion.await?.carry_out().await?))
}

async fn detach_iso(args: DetachIso, cx: Cx) -> Result<Object<DriveChange>> {
    let ejection = cx.agreed(|| async {
        let vm = args.vm.find(&cx).await?;
        let plan = vm.iso_ejection(args.drive.as_deref()).await?;
        shown(&cx, "Take the ISO image out of the CD drive of", &vm, plan).await
    });
    Ok(Object(ejection.await?.carry_out().await?))
}

/// What a change of a CD drive is shown as, where the settings want a question before each change.
async fn shown(cx: &Cx, change: &str, vm: &Mo<VirtualMachine>, plan: DrivePlan) -> Result<(DrivePlan, Preview)> {
    let preview = cx.change_of(change, [vm]).await?.bind((&plan, plan.change_version()))?.harmless();
    Ok((plan, preview))
}

/// A size that a user gives in GiB, in bytes: whole MiB, as disks have them.
fn bytes(gib: f64) -> Result<i64> {
    #[allow(clippy::cast_possible_truncation, reason = "a float beyond the range becomes its end, which is refused")]
    let bytes = ((gib * 1024.0).round() as i64).saturating_mul(1 << 20);
    match gib.is_finite() && (1..=LARGEST).contains(&bytes) {
        true => Ok(bytes),
        false => {
            let text = format!("{gib} GiB is no size of a disk: give 0.001 to {}", LARGEST >> 30);
            Err(ToolError::invalid_argument(text))
        }
    }
}

/// The largest disk that there may be, in bytes.
const LARGEST: i64 = 62 << 40;

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
    /// Target datastore.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_mebibytes() {
        assert_eq!(bytes(1.0), Ok(1 << 30));
        assert_eq!(bytes(0.5), Ok(1 << 29));
        assert_eq!(bytes(63488.0), Ok(LARGEST));
        assert_eq!(bytes(10.1).unwrap() % (1 << 20), 0);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 63488.5, 1e300, 0.0001] {
            let error = bytes(wrong).unwrap_err().to_string();
            assert!(error.contains("is no size of a disk") && error.ends_with("(invalid_argument)"), "{error}");
        }
    }
}
