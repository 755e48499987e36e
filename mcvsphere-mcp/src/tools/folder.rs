//! Folders of the inventory.

use vsphere_ops::folder::{self, DeletedFolder, FolderDeletion, FolderSummary, MadeFolder, MovedVm, VmsBelow};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_folders", Vcenter, "List folders", list_folders)
            .about("List folders of VMs, hosts, datastores and networks by path, with how much is in each."),
        Tool::adds("create_folder", Vcenter, VmLifecycle, "Create a folder", create_folder)
            .about("Create a folder by path, or by name and parent.")
            .needs(&["Folder.Create"]),
        Tool::changes("delete_folder", Vcenter, VmLifecycle, "Delete a folder", delete_folder)
            .about(
                "Delete a folder and those in it. vms=destroy DELETES all VMs below with their disks, unregister keeps \
                 their files.",
            )
            .long()
            .needs(&["Folder.Delete", "VirtualMachine.Inventory.Delete", "VirtualMachine.Inventory.Unregister"])
            .asks(),
        Tool::adds("move_vm_to_folder", Vcenter, VmLifecycle, "Move a virtual machine to a folder", move_vm_to_folder)
            .about("Move a VM or template to a folder of its datacenter; its permissions may change by that.")
            .needs(&["VirtualMachine.Inventory.Move"])
            .idempotent(),
    ]
}

async fn list_folders(args: Paging<FolderSummary>, cx: Cx) -> Result<Listed<FolderSummary>> {
    let (query, fields) = args.open(&cx)?;
    let page = folder::list(&cx.client().await?, &query).await?;
    Ok(cx.page(page, fields))
}

async fn create_folder(args: CreateFolder, cx: Cx) -> Result<Object<MadeFolder>> {
    let client = cx.client().await?;
    let agree = async |shown: &str| {
        let question = format!("Create the folder {}?", quoted(shown));
        cx.agreed(async || Ok(((), Preview::new(&question).object(cx.arguments_shown())?.harmless()))).await
    };
    match (&args.path, &args.name, &args.parent) {
        (Some(path), None, None) => {
            agree(path).await?;
            Ok(Object(client.make_folder(path).await?))
        }
        (None, Some(name), parent) => {
            agree(name).await?;
            let parent = folder::find(&client, parent.as_deref().unwrap_or("vm")).await?;
            Ok(Object(parent.make_folder(name).await?))
        }
        _ => Err(ToolError::invalid_argument(
            "give either `path`, or `name` and, where it is not the VM folder, `parent`",
        )),
    }
}

async fn delete_folder(args: DeleteFolder, cx: Cx) -> Result<Object<DeletedFolder>> {
    let client = cx.client().await?;
    let deletion = cx.agreed(|| async {
        let deletion = folder::find(&client, &args.folder).await?.deletion(args.vms.unwrap_or_default()).await?;
        let preview = deletion_preview(&deletion)?;
        Ok((deletion, preview))
    });
    let deletion = deletion.await?;
    cx.expect_tasks(deletion.vms.len() + 1);
    Ok(Object(deletion.carry_out().await?))
}

async fn move_vm_to_folder(args: MoveToFolder, cx: Cx) -> Result<Object<MovedVm>> {
    let client = cx.client().await?;
    let (vm, folder) = cx
        .agreed(|| async {
            let (vm, folder) = (args.vm.find(&cx).await?, folder::find(&client, &args.folder).await?);
            let preview = cx.change_of("Move to another folder:", [&vm]).await?.bind(folder.id())?.harmless();
            Ok(((vm, folder), preview))
        })
        .await?;
    Ok(Object(vm.move_to_folder(&folder).await?))
}

/// What would be lost with a folder: each VM is an object of its own, so that all of them are named.
fn deletion_preview(deletion: &FolderDeletion) -> Result<Preview> {
    let (path, vms) = (quoted(&deletion.path), deletion.vms.len());
    let question = match deletion.vms_are {
        VmsBelow::Destroyed if vms > 0 => {
            format!("Delete the folder {path} and DELETE its {vms} VMs with all their disks?")
        }
        VmsBelow::Unregistered if vms > 0 => format!("Delete the folder {path} and unregister its {vms} VMs?"),
        _ => format!("Delete the folder {path}?"),
    };
    let mut preview = Preview::new(question);
    if vms > 0 {
        let disks: usize = deletion.vms.iter().map(|vm| vm.disks.len()).sum();
        preview = preview.note(match deletion.vms_are {
            VmsBelow::Unregistered => {
                format!("The files of their {disks} disks stay, and each VM can be registered again.")
            }
            _ => format!("{disks} disks are lost with all data on them. vms=unregister would keep them."),
        });
    }
    let clones = deletion.vms.iter().flat_map(|vm| &vm.linked_clones).map(|name| quoted(name)).collect::<Vec<_>>();
    if !clones.is_empty() {
        preview =
            preview.note(format!("Linked clones elsewhere stand on these disks and may break: {}.", clones.join(", ")));
    }
    for part in &deletion.gaps.missing {
        preview = preview.note(format!("Not known: {} ({}).", part.what, one_line(&part.why)));
    }
    let mut folder = serde_json::json!(deletion);
    folder["vms"] = vms.into();
    preview = preview.object(folder)?;
    for vm in &deletion.vms {
        preview = preview.object(vm)?.bind(vm.change_version())?;
    }
    Ok(preview)
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CreateFolder {
    /// vm/prod/web or /DC/vm/prod: missing ones above are created too.
    path: Option<String>,
    /// In place of path.
    name: Option<String>,
    /// By default the VM folder.
    parent: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DeleteFolder {
    folder: FolderName,
    /// refuse by default.
    vms: Option<VmsBelow>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct MoveToFolder {
    vm: VmName,
    folder: FolderName,
}
