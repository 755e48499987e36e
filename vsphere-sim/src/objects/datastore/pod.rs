//! Datastore clusters, which the API calls storage pods: folders for datastores alone.

use vsphere_model::types::{PodStorageDrsEntry, StorageDrsPodConfigInfo, StoragePodSummary};

use super::Datastore;
use crate::objects::folder::Folder;
use crate::world::{Managed as _, Prop, World};

/// A property that a datastore cluster has beside those of folders.
pub(crate) fn read<'a>(pod: &Folder, world: &World, property: &str) -> Prop<'a> {
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
            let mut entry = PodStorageDrsEntry::default();
            // As a new cluster is: storage DRS is off.
            entry.storage_drs_config.pod_config = StorageDrsPodConfigInfo {
                enabled: false,
                io_load_balance_enabled: false,
                default_vm_behavior: "manual".to_owned(),
                load_balance_interval: Some(480),
                default_intra_vm_affinity: Some(true),
                ..Default::default()
            };
            Prop::made(entry)
        }
        _ => Prop::UNSET,
    }
}
