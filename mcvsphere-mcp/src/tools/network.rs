//! Networks.

use vsphere_ops::{managed, network::NetworkInfo};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![Tool::reads("get_network_info", Network, "Get a network's details", get_network_info).about(
        "Get everything about one network or port group: kind (standard, distributed, opaque), VLAN, \
                 switch, hosts and VMs.",
    )]
}

async fn get_network_info(args: OneNetwork, cx: Cx) -> Result<Object<NetworkInfo>> {
    Ok(Object(cx.client().await?.get::<managed::Network>(&args.network).await?.info().await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneNetwork {
    network: NetName,
}
