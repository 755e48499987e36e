//! Resource pools.

use vsphere_ops::pool::{self, PoolInfo};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![Tool::reads("get_resource_pool_info", Vcenter, "Get a resource pool's details", get_resource_pool_info).about(
        "Get a resource pool's CPU and memory: reservation, limit, shares and usage; and the pools and \
                 VMs in it.",
    )]
}

async fn get_resource_pool_info(args: OnePool, cx: Cx) -> Result<Object<PoolInfo>> {
    Ok(Object(pool::info(&cx.client().await?, args.pool.as_deref()).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OnePool {
    /// Pool: name, path or id; the only root pool by default.
    pool: Option<String>,
}
