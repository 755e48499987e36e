//! Datastores.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use vsphere_ops::datastore;

use crate::{Permission, Server, Toolset, answer::Answer, arguments::Parameters, error::Result, tool_meta};

#[tool_router(router = datastore_tools, vis = "pub(crate)")]
impl Server {
    /// Get everything about one datastore: type, capacity, free, used and provisioned space, whether it is accessible or
    /// in maintenance mode, its hosts and virtual machines.
    #[tool(
        meta = tool_meta(Toolset::Storage, Permission::ReadOnly, &[]),
        annotations(title = "Get a datastore's details", read_only_hint = true)
    )]
    async fn get_datastore_info(&self, Parameters(args): Parameters<OneDatastore>) -> Result<Answer> {
        Answer::object(&datastore::info(self.vsphere().client().await?, &args.datastore).await?)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneDatastore {
    /// Datastore: name, path or id.
    #[serde(alias = "name", alias = "datastore_name")]
    datastore: String,
}
