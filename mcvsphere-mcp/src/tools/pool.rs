//! Resource pools.

use vsphere_ops::{
    managed::ResourcePool,
    pool::{
        self, Allocation, DeletedPool, Level, Limit, MadePool, MovedVm, NewPool, PoolDeletion, PoolInfo, PoolSummary,
        ShareOf,
    },
};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_resource_pools", Vcenter, "List resource pools", list_resource_pools)
            .about("List resource pools and vApps by path, with reservation, limit and usage."),
        Tool::reads("get_resource_pool_info", Vcenter, "Get a resource pool's details", get_resource_pool_info).about(
            "Get a resource pool's CPU and memory: reservation, limit, shares and usage; and the pools and \
                 VMs in it.",
        ),
        Tool::adds("create_resource_pool", Vcenter, VmLifecycle, "Create a resource pool", create_resource_pool)
            .about("Create a resource pool. By default it reserves nothing and has no limit.")
            .needs(&["Resource.CreatePool"]),
        Tool::changes("delete_resource_pool", Vcenter, VmLifecycle, "Delete a resource pool", delete_resource_pool)
            .about("Delete a resource pool. The VMs and pools in it move to its parent.")
            .needs(&["Resource.DeletePool", "Resource.AssignVMToPool"])
            .asks(),
        Tool::adds(
            "move_vm_to_resource_pool",
            Vcenter,
            VmLifecycle,
            "Move a virtual machine to a resource pool",
            move_vm_to_resource_pool,
        )
        .about("Move a VM to another resource pool of its cluster, also while it runs.")
        .needs(&["Resource.AssignVMToPool"])
        .idempotent(),
    ]
}

async fn list_resource_pools(args: Paging<PoolSummary>, cx: Cx) -> Result<Listed<PoolSummary>> {
    let (query, fields) = args.open(&cx)?;
    let page = pool::list(&cx.client().await?, &query).await?;
    Ok(cx.page(page, fields))
}

async fn get_resource_pool_info(args: OnePool, cx: Cx) -> Result<Object<PoolInfo>> {
    Ok(Object(pool_or_root(&cx, args.pool.as_ref()).await?.info().await?))
}

async fn create_resource_pool(args: CreatePool, cx: Cx) -> Result<Object<MadePool>> {
    let new = NewPool {
        name: args.name,
        cpu: allocation(args.cpu_reservation_mhz, args.cpu_limit_mhz, args.cpu_expandable, args.cpu_shares.as_deref())?,
        memory: allocation(
            args.memory_reservation_mb,
            args.memory_limit_mb,
            args.memory_expandable,
            args.memory_shares.as_deref(),
        )?,
    };
    let question = format!("Create the resource pool {}?", quoted(&new.name));
    let parent = cx
        .agreed(|| async {
            let parent = pool_or_root(&cx, args.parent.as_ref()).await?;
            let preview = Preview::new(&question).object(cx.arguments_shown())?.bind(parent.id())?.harmless();
            Ok((parent, preview))
        })
        .await?;
    Ok(Object(parent.make_pool(&new).await?))
}

async fn delete_resource_pool(args: DeletePool, cx: Cx) -> Result<Object<DeletedPool>> {
    let client = cx.client().await?;
    let deletion = cx.agreed(|| async {
        let deletion = client.get::<ResourcePool>(&args.pool).await?.deletion().await?;
        let preview = deletion_preview(&deletion)?;
        Ok((deletion, preview))
    });
    Ok(Object(deletion.await?.carry_out().await?))
}

async fn move_vm_to_resource_pool(args: MoveToPool, cx: Cx) -> Result<Object<MovedVm>> {
    let client = cx.client().await?;
    let (vm, pool) = cx
        .agreed(|| async {
            let (vm, pool) = (args.vm.find(&cx).await?, client.get::<ResourcePool>(&args.pool).await?);
            let preview = cx.change_of("Move to another resource pool:", [&vm]).await?.bind(pool.id())?.harmless();
            Ok(((vm, pool), preview))
        })
        .await?;
    Ok(Object(vm.move_to_pool(&pool).await?))
}

async fn pool_or_root(cx: &Cx, pool: Option<&PoolName>) -> Result<Mo<ResourcePool>> {
    let client = cx.client().await?;
    Ok(match pool {
        Some(pool) => client.get(pool).await?,
        None => client.root_pool().await?,
    })
}

fn allocation(
    reservation: Option<i64>,
    limit: Option<i64>,
    expandable: Option<bool>,
    shares: Option<&str>,
) -> Result<Allocation> {
    Ok(Allocation {
        reservation: reservation.unwrap_or(0),
        limit: Limit::from(limit),
        expandable: expandable.unwrap_or(true),
        shares: shares.map(str::parse).transpose()?.unwrap_or(ShareOf::Level(Level::Normal)),
    })
}

/// What moves up with the end of a pool: each VM is an object of its own, so that all of them are named.
fn deletion_preview(deletion: &PoolDeletion) -> Result<Preview> {
    let (path, parent) = (quoted(&deletion.path), quoted(&deletion.parent.name));
    let (vms, pools) = (deletion.vms.len(), deletion.pools.len());
    let preview = Preview::new(format!("Delete the resource pool {path}?"))
        .note(format!("Its {vms} VMs and {pools} pools move to {parent}, and lose what it guaranteed them."));
    let mut pool = serde_json::json!(deletion);
    pool["vms"] = vms.into();
    deletion.vms.iter().try_fold(preview.object(pool)?, |preview, vm| preview.object(vm))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OnePool {
    pool: Option<PoolName>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CreatePool {
    /// Unique in its parent.
    name: String,
    parent: Option<PoolName>,
    /// low, normal, high or a number.
    cpu_shares: Option<String>,
    /// Guaranteed.
    cpu_reservation_mhz: Option<i64>,
    /// At most.
    cpu_limit_mhz: Option<i64>,
    /// May reserve from its parent; true by default.
    cpu_expandable: Option<bool>,
    /// As cpu_shares.
    memory_shares: Option<String>,
    /// Guaranteed.
    memory_reservation_mb: Option<i64>,
    /// At most.
    memory_limit_mb: Option<i64>,
    /// As cpu_expandable.
    memory_expandable: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DeletePool {
    pool: ThisPool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct MoveToPool {
    vm: VmName,
    pool: ThisPool,
}
