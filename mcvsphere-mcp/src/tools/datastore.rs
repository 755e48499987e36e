//! Datastores.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use vsphere_ops::datastore;

use crate::{Server, Spec, Toolset, answer::Answer, arguments::Parameters, cx::Cx, error::Result};

#[tool_router(router = datastore_tools, vis = "pub(crate)")]
impl Server {
    /// Get everything about one datastore: type, capacity, free, used and provisioned space, whether it is accessible or
    /// in maintenance mode, its hosts and virtual machines.
    #[tool(
        meta = Spec::reads(Toolset::Storage).meta(),
        annotations(title = "Get a datastore's details", read_only_hint = true)
    )]
    async fn get_datastore_info(&self, Parameters(args): Parameters<OneDatastore>, cx: Cx) -> Result<Answer> {
        Answer::object(&datastore::info(&cx.client().await?, &args.datastore).await?)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneDatastore {
    /// Datastore: name, path or id.
    #[serde(alias = "name", alias = "datastore_name")]
    datastore: String,
}
