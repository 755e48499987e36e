//! Hosts.

use vsphere_ops::host::{self, HostQuery, HostSummary};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![Tool::reads("list_hosts", Hosts, "List hosts", list_hosts).about(
        "List the ESXi hosts with their state, cluster, version and hardware. Use it to find a host, or \
                 to see which are disconnected or in maintenance mode.",
    )]
}

async fn list_hosts(args: ListHosts, cx: Cx) -> Result<Listed<HostSummary>> {
    let wanted = args.paging.open(&cx)?;
    let query = HostQuery {
        filter: wanted.filter,
        cluster: args.cluster,
        state: args.state.map(|state| state.name().to_owned()),
        count_vms: wanted.fields.as_ref().is_none_or(|fields| fields.iter().any(|field| field == "vms")),
        limit: wanted.limit,
        cursor: wanted.cursor,
    };
    let page = host::list(&cx.client().await?, &query).await?;
    Ok(cx.page(page, wanted.fields))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListHosts {
    /// Only hosts of this cluster: name, path or id.
    cluster: Option<String>,
    /// Only hosts in this state.
    state: Option<HostState>,
    #[serde(flatten)]
    paging: Paging<HostSummary>,
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
