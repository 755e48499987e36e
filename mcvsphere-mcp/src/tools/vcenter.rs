//! The vCenter Server itself.

use rmcp::{tool, tool_router};
use vsphere_ops::vcenter;

use crate::{
    Server, Spec, Toolset,
    answer::Answer,
    arguments::{NoArguments, Parameters},
    cx::Cx,
    error::Result,
};

#[tool_router(router = vcenter_tools, vis = "pub(crate)")]
impl Server {
    /// Get what this server is connected to: product, version, build, API type and version, the user logged in and the
    /// server's time. Use it first to learn whether it is a vCenter Server or a single ESXi host.
    #[tool(
        meta = Spec::reads(Toolset::Vcenter).meta(),
        annotations(title = "Get vCenter information", read_only_hint = true)
    )]
    async fn get_vcenter_info(&self, Parameters(_): Parameters<NoArguments>, cx: Cx) -> Result<Answer> {
        Answer::object(&vcenter::info(&cx.client().await?).await?)
    }
}
