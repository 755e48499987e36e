//! Resource pools.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use vsphere_ops::pool;

use crate::{Server, Spec, Toolset, answer::Answer, arguments::Parameters, cx::Cx, error::Result};

#[tool_router(router = pool_tools, vis = "pub(crate)")]
impl Server {
    /// Get a resource pool's CPU and memory: reservation, limit, shares and usage; and the pools and virtual machines in it.
    #[tool(
        meta = Spec::reads(Toolset::Vcenter).meta(),
        annotations(title = "Get a resource pool's details", read_only_hint = true)
    )]
    async fn get_resource_pool_info(&self, Parameters(args): Parameters<OnePool>, cx: Cx) -> Result<Answer> {
        Answer::object(&pool::info(&cx.client().await?, args.pool.as_deref()).await?)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OnePool {
    /// Pool: name, path or id; the only root pool by default.
    #[serde(alias = "name", alias = "pool_name", alias = "resource_pool")]
    pool: Option<String>,
}
