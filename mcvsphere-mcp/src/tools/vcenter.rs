//! The vCenter Server itself.

use rmcp::{tool, tool_router};
use vsphere_ops::vcenter;

use crate::{
    Permission, Server, Toolset,
    answer::Answer,
    arguments::{NoArguments, Parameters},
    error::Result,
    tool_meta,
};

#[tool_router(router = vcenter_tools, vis = "pub(crate)")]
impl Server {
    /// Get what this server is connected to: product, version, build, API type and version, the user logged in and the
    /// server's time. Use it first to learn whether it is a vCenter Server or a single ESXi host.
    #[tool(
        meta = tool_meta(Toolset::Vcenter, Permission::ReadOnly, &[]),
        annotations(title = "Get vCenter information", read_only_hint = true)
    )]
    async fn get_vcenter_info(&self, Parameters(_): Parameters<NoArguments>) -> Result<Answer> {
        Answer::object(&vcenter::info(self.vsphere().client().await?).await?)
    }
}
