//! Datastores.

use vsphere_ops::{datastore::DatastoreInfo, managed::Datastore};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![Tool::reads("get_datastore_info", Storage, "Get a datastore's details", get_datastore_info).about(
        "Get everything about one datastore: type, capacity, free, used and provisioned space, whether it \
                 is accessible or in maintenance mode, its hosts and VMs.",
    )]
}

async fn get_datastore_info(args: OneDatastore, cx: Cx) -> Result<Object<DatastoreInfo>> {
    Ok(Object(cx.client().await?.get::<Datastore>(&args.datastore).await?.info().await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneDatastore {
    datastore: DatastoreName,
}
