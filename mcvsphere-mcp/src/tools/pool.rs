//! Resource pools.

use vsphere_ops::pool::PoolInfo;

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![Tool::reads("get_resource_pool_info", Vcenter, "Get a resource pool's details", get_resource_pool_info).about(
        "Get a resource pool's CPU and memory: reservation, limit, shares and usage; and the pools and \
                 VMs in it.",
    )]
}

async fn get_resource_pool_info(args: OnePool, cx: Cx) -> Result<Object<PoolInfo>> {
    let client = cx.client().await?;
    let pool = match &args.pool {
        Some(pool) => client.get(pool).await?,
        None => client.root_pool().await?,
    };
    Ok(Object(pool.info().await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OnePool {
    pool: Option<PoolName>,
}
