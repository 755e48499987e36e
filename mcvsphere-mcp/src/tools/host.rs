//! Hosts.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vsphere_ops::host::{self, HostQuery};

use crate::{
    Server, Spec, Toolset,
    answer::Answer,
    arguments::{Parameters, page_size},
    cx::Cx,
    error::Result,
};

#[tool_router(router = host_tools, vis = "pub(crate)")]
impl Server {
    /// List the ESXi hosts with their state, cluster, version and hardware. Use it to find a host, or to see which are
    /// disconnected or in maintenance mode.
    #[tool(
        meta = Spec::reads(Toolset::Hosts).meta(),
        annotations(title = "List hosts", read_only_hint = true)
    )]
    async fn list_hosts(&self, Parameters(args): Parameters<ListHosts>, cx: Cx) -> Result<Answer> {
        let query = HostQuery {
            filter: args.filter,
            cluster: args.cluster,
            state: args.state.map(|state| state.name().to_owned()),
            limit: page_size(args.limit)?,
            cursor: cx.cursor(args.cursor)?,
        };
        let page = host::list(&cx.client().await?, &query).await?;
        cx.page(&page, args.fields)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListHosts {
    /// Only hosts of this cluster: name, path or id.
    #[serde(alias = "cluster_name")]
    cluster: Option<String>,
    /// Only hosts in this state.
    state: Option<HostState>,
    /// Glob on the name: esx-*.
    filter: Option<String>,
    /// Only these fields of each host, such as name and id; all without it.
    #[schemars(with = "Option<Vec<String>>")]
    fields: Option<Vec<HostField>>,
    /// Hosts in one answer, 50 without it.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// The next_cursor of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum HostState {
    Connected,
    Disconnected,
    NotResponding,
    Maintenance,
}

impl HostState {
    fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::NotResponding => "not_responding",
            Self::Maintenance => "maintenance",
        }
    }
}

/// What is told of each host. The schema does not list it, which would cost more than an error now and then.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HostField {
    Name,
    Id,
    ConnectionState,
    MaintenanceMode,
    Cluster,
    Version,
    Model,
    CpuCores,
    CpuMhz,
    CpuUsageMhz,
    MemoryMb,
    MemoryUsageMb,
    Vms,
}
