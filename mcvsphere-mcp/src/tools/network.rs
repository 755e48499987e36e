//! Networks.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use vsphere_ops::network;

use crate::{Permission, Server, Toolset, answer::Answer, arguments::Parameters, error::Result, tool_meta};

#[tool_router(router = network_tools, vis = "pub(crate)")]
impl Server {
    /// Get everything about one network or port group: kind (standard, distributed, opaque), VLAN, switch, hosts and
    /// virtual machines.
    #[tool(
        meta = tool_meta(Toolset::Network, Permission::ReadOnly, &[]),
        annotations(title = "Get a network's details", read_only_hint = true)
    )]
    async fn get_network_info(&self, Parameters(args): Parameters<OneNetwork>) -> Result<Answer> {
        Answer::object(&network::info(self.vsphere().client().await?, &args.network).await?)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneNetwork {
    /// Network: name, path or id.
    #[serde(alias = "name", alias = "network_name")]
    network: String,
}
