//! The vCenter Server itself.

use vsphere_ops::vcenter::{self, VcenterInfo};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![Tool::reads("get_vcenter_info", Vcenter, "Get vCenter information", get_vcenter_info).about(
        "Get what this server is connected to: product, version, build, API type and version, the user \
             logged in and the server's time. Use it first to learn whether it is a vCenter Server or a \
             single ESXi host.",
    )]
}

async fn get_vcenter_info(_: NoArguments, cx: Cx) -> Result<Object<VcenterInfo>> {
    Ok(Object(vcenter::info(&cx.client().await?).await?))
}
