//! The vCenter Server itself, and its clusters.

use vsphere_ops::{
    cluster::{self, ClusterSummary},
    vcenter::{self, VcenterInfo},
};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("get_vcenter_info", Vcenter, "Get vCenter information", get_vcenter_info).about(
            "Get what this server is connected to: product, version, build, API type and version, the user \
             logged in and the server's time. Use it first to learn whether it is a vCenter Server or a \
             single ESXi host.",
        ),
        Tool::reads("list_clusters", Vcenter, "List clusters", list_clusters)
            .about("List clusters with status, hosts, CPU and memory, and whether DRS and HA are on."),
    ]
}

async fn get_vcenter_info(_: NoArguments, cx: Cx) -> Result<Object<VcenterInfo>> {
    Ok(Object(vcenter::info(&cx.client().await?).await?))
}

async fn list_clusters(args: Paging<ClusterSummary>, cx: Cx) -> Result<Listed<ClusterSummary>> {
    let (query, fields) = args.open(&cx)?;
    let page = cluster::list(&cx.client().await?, &query).await?;
    Ok(cx.page(page, fields))
}
