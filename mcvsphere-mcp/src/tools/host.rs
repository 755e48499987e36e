//! Hosts.

use vsphere_ops::host::{self, HostQuery, HostState, HostSummary};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![Tool::reads("list_hosts", Hosts, "List hosts", list_hosts).about(
        "List the ESXi hosts with their state, cluster, version and hardware. Use it to find a host, or \
                 to see which are disconnected or in maintenance mode.",
    )]
}

async fn list_hosts(args: ListHosts, cx: Cx) -> Result<Listed<HostSummary>> {
    let (page, fields) = args.paging.open(&cx)?;
    let query = HostQuery {
        page,
        cluster: args.cluster,
        state: args.state,
        count_vms: fields.as_ref().is_none_or(|fields| fields.iter().any(|field| field == "vms")),
    };
    let page = host::list(&cx.client().await?, &query).await?;
    Ok(cx.page(page, fields))
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
