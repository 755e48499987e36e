//! Tags, by the Automation API of a vCenter.

use serde::Serialize;
use vsphere_ops::{
    several::Report,
    tags::{InTheWay, Tag, TagChange, TagQuery},
};

use super::prelude::*;

/// What tags take that VMs get and lose.
const ATTACH: &[&str] = &["InventoryService.Tagging.AttachTag", "InventoryService.Tagging.ObjectAttachable"];

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_tags", Vcenter, "List tags", list_tags).about("List tags with their category."),
        Tool::reads("get_vm_tags", Vcenter, "Get VMs' tags", get_vm_tags).about("Get the tags of VMs."),
        Tool::changes("apply_tag_to_vm", Vcenter, VmLifecycle, "Apply a tag", apply_tag_to_vm)
            .about("Give VMs a tag.")
            .needs(ATTACH)
            .idempotent(),
        Tool::changes("remove_tag_from_vm", Vcenter, VmLifecycle, "Remove a tag", remove_tag_from_vm)
            .about("Take a tag off VMs.")
            .needs(ATTACH)
            .idempotent(),
    ]
}

async fn list_tags(args: ListTags, cx: Cx) -> Result<Listed<Tag>> {
    let (page, fields) = args.paging.open(&cx)?;
    let query = TagQuery { page, category: args.category };
    Ok(cx.page(cx.client().await?.tags().await?.list(&query).await?, fields))
}

async fn get_vm_tags(args: Vms, cx: Cx) -> Result<Batch<VmTags>> {
    let (names, client) = (args.names()?, cx.client().await?);
    let tags = client.tags().await?;
    let reports = tags.of_vms(&client.vms(&names).await).await?;
    let shown = |tags: Vec<Tag>| VmTags { tags: tags.iter().map(Tag::to_string).collect() };
    let reports = reports.into_iter().map(|Report { vm, id, outcome }| Report { vm, id, outcome: outcome.map(shown) });
    Ok(Batch(reports.collect()))
}

async fn apply_tag_to_vm(args: ApplyTag, cx: Cx) -> Result<Batch<TagChange>> {
    let names = args.vms.names()?;
    let tags = cx.client().await?.tags().await?;
    let tag = tags.find(&args.tag).await?;
    let vms = cx.agreed_vms(&format!("Apply the tag {} to", quoted(&tag.to_string())), &names).await?;
    let in_the_way = if args.replace.unwrap_or(false) { InTheWay::Replaced } else { InTheWay::Kept };
    Ok(Batch(tags.apply(&tag, &vms, in_the_way).await?))
}

async fn remove_tag_from_vm(args: RemoveTag, cx: Cx) -> Result<Batch<TagChange>> {
    let names = args.vms.names()?;
    let tags = cx.client().await?.tags().await?;
    let tag = tags.find(&args.tag).await?;
    let vms = cx.agreed_vms(&format!("Remove the tag {} from", quoted(&tag.to_string())), &names).await?;
    Ok(Batch(tags.remove(&tag, &vms).await?))
}

/// The tags of a VM.
#[derive(Debug, Serialize, JsonSchema)]
struct VmTags {
    /// Each as category:tag.
    tags: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListTags {
    /// Only of this category.
    category: Option<String>,
    #[serde(flatten)]
    paging: Paging<Tag>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ApplyTag {
    #[serde(flatten)]
    vms: Vms,
    tag: TagName,
    /// Take away another tag of a category that allows one.
    replace: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RemoveTag {
    #[serde(flatten)]
    vms: Vms,
    tag: TagName,
}
