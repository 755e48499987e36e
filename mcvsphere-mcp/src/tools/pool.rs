//! Resource pools.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use vsphere_ops::pool;

use crate::{Permission, Server, Toolset, answer::Answer, arguments::Parameters, error::Result, tool_meta};

#[tool_router(router = pool_tools, vis = "pub(crate)")]
impl Server {
    /// Get a resource pool's CPU and memory: reservation, limit, shares and usage; and the pools and virtual machines in it.
    #[tool(
        meta = tool_meta(Toolset::Vcenter, Permission::ReadOnly, &[]),
        annotations(title = "Get a resource pool's details", read_only_hint = true)
    )]
    async fn get_resource_pool_info(&self, Parameters(args): Parameters<OnePool>) -> Result<Answer> {
        Answer::object(&pool::info(self.vsphere().client().await?, args.pool.as_deref()).await?)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OnePool {
    /// Pool: name, path or id; the only root pool by default.
    #[serde(alias = "name", alias = "pool_name", alias = "resource_pool")]
    pool: Option<String>,
}
