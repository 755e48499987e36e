//! Datastore clusters, which the API calls storage pods: folders for datastores alone.

use vsphere_model::types::{PodStorageDrsEntry, StoragePodSummary};

use super::{Datastore, storage_resource_manager};
use crate::objects::folder::Folder;
use crate::world::{Look, Managed as _, Prop};

/// A property that a datastore cluster has beside those of folders.
pub(crate) fn read<'a>(pod: &Folder, look: &Look<'a>, property: &str) -> Prop<'a> {
    let world = look.world;
    match property {
        "summary" => {
            let stores: Vec<&Datastore> = pod.children.iter().filter_map(|store| world.get(store).ok()).collect();
            Prop::made(StoragePodSummary {
                name: pod.entity().map(|entity| entity.name.clone()).unwrap_or_default(),
                capacity: stores.iter().map(|store| store.capacity).sum(),
                free_space: stores.iter().map(|store| store.free()).sum(),
            })
        }
        "podStorageDrsEntry" => {
            let storage_drs_config = storage_resource_manager::config(world, look.me);
            Prop::made(PodStorageDrsEntry { storage_drs_config, ..Default::default() })
        }
        _ => Prop::UNSET,
    }
}
