//! Networks.

use vsphere_ops::{
    managed,
    network::{self, NetworkInfo, NetworkItem, NetworkQuery},
};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_networks", Network, "List networks", list_networks).about(
            "List networks and port groups with kind and how many VMs and hosts they have. More `fields`: vlan, switch, hosts, \
                 vms, uplink, path, tags.",
        ),
        Tool::reads("get_network_info", Network, "Get a network's details", get_network_info).about(
            "Get everything about one network or port group: kind (standard, distributed, opaque), VLAN, \
                 switch, hosts and VMs.",
        ),
    ]
}

async fn list_networks(args: ListNetworks, cx: Cx) -> Result<Either<Listed<NetworkItem>, Object<Groups>>> {
    let (page, fields) = args.paging.open(&cx)?;
    let Asked { find, conditions, order, columns, group_by } = args.asking.of(&fields)?;
    let query = NetworkQuery { page, find, conditions, order, columns };
    let client = cx.client().await?;
    match group_by {
        Some(column) => Ok(Either::Other(Object(network::groups(&client, &query, column).await?))),
        None => Ok(Either::One(cx.page(network::list(&client, &query).await?, fields))),
    }
}

async fn get_network_info(args: OneNetwork, cx: Cx) -> Result<Object<NetworkInfo>> {
    Ok(Object(cx.client().await?.get::<managed::Network>(&args.network).await?.info().await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListNetworks {
    #[serde(flatten)]
    asking: Asking,
    #[serde(flatten)]
    paging: Paging<NetworkItem>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneNetwork {
    network: NetName,
}
