//! Datastores.

use vsphere_ops::{
    datastore::{self, DatastoreInfo, DatastoreItem, DatastoreQuery},
    managed::Datastore,
};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_datastores", Storage, "List datastores", list_datastores).about(
            "List datastores with type, capacity and free space. More `fields`: provisioned_percent, used_bytes, hosts, \
                 vm_count, maintenance_mode, ssd, folder, url, path, tags.",
        ),
        Tool::reads("get_datastore_info", Storage, "Get a datastore's details", get_datastore_info).about(
            "Get everything about one datastore: type, capacity, free, used and provisioned space, whether it \
                 is accessible or in maintenance mode, its hosts and VMs.",
        ),
    ]
}

async fn list_datastores(args: ListDatastores, cx: Cx) -> Result<Either<Listed<DatastoreItem>, Object<Groups>>> {
    let (page, fields) = args.paging.open(&cx)?;
    let Asked { find, conditions, order, columns, group_by } = args.asking.of(&fields)?;
    let query = DatastoreQuery { page, find, conditions, order, columns };
    let client = cx.client().await?;
    match group_by {
        Some(column) => Ok(Either::Other(Object(datastore::groups(&client, &query, column).await?))),
        None => Ok(Either::One(cx.page(datastore::list(&client, &query).await?, fields))),
    }
}

async fn get_datastore_info(args: OneDatastore, cx: Cx) -> Result<Object<DatastoreInfo>> {
    Ok(Object(cx.client().await?.get::<Datastore>(&args.datastore).await?.info().await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListDatastores {
    #[serde(flatten)]
    asking: Asking,
    #[serde(flatten)]
    paging: Paging<DatastoreItem>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneDatastore {
    datastore: DatastoreName,
}
