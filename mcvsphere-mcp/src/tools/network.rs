//! Networks.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use vsphere_ops::network;

use crate::{Server, Spec, Toolset, answer::Answer, arguments::Parameters, cx::Cx, error::Result};

#[tool_router(router = network_tools, vis = "pub(crate)")]
impl Server {
    /// Get everything about one network or port group: kind (standard, distributed, opaque), VLAN, switch, hosts and
    /// virtual machines.
    #[tool(
        meta = Spec::reads(Toolset::Network).meta(),
        annotations(title = "Get a network's details", read_only_hint = true)
    )]
    async fn get_network_info(&self, Parameters(args): Parameters<OneNetwork>, cx: Cx) -> Result<Answer> {
        Answer::object(&network::info(&cx.client().await?, &args.network).await?)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneNetwork {
    /// Network: name, path or id.
    #[serde(alias = "name", alias = "network_name")]
    network: String,
}
