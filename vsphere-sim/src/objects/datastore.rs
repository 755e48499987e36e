//! Datastores, and the browsers that look into them.

use vsphere_model::managed;
use vsphere_model::types::{DatastoreHostMount, DatastoreSummary, HostMountInfo};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::compute::Compute;
use super::datacenter::Datacenter;
use super::host::Host;
use crate::call::Methods;
use crate::fault::Outcome;
use crate::world::{Entity, Look, Managed, Moref, Prop, World, uuid};

pub(crate) const METHODS: Methods = &[];

/// The managed object `Datastore`.
pub(crate) struct Datastore {
    entity: Entity,
    pub(crate) kind: String,
    /// In bytes.
    pub(crate) capacity: i64,
    /// In bytes.
    pub(crate) free: i64,
    pub(crate) url: String,
    pub(crate) mounts: Vec<DatastoreHostMount>,
    pub(crate) vms: Vec<Moref>,
    browser: Moref,
}

impl Managed for Datastore {
    fn info(&self) -> &'static ManagedInfo {
        managed::Datastore::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "summary" => Prop::made(self.summary(look.me)),
            "host" => Prop::list(&self.mounts),
            "vm" => Prop::list(&self.vms),
            "browser" => Prop::kept(&self.browser),
            _ => self.entity.read(look, property),
        }
    }

    fn entity(&self) -> Option<&Entity> {
        Some(&self.entity)
    }

    fn entity_mut(&mut self) -> Option<&mut Entity> {
        Some(&mut self.entity)
    }
}

impl Datastore {
    /// A host sees it from now on.
    pub(crate) fn mount(&mut self, host: &Moref) {
        let mount_info = HostMountInfo {
            path: Some(self.url.trim_start_matches("ds://").trim_end_matches('/').to_owned()),
            access_mode: "readWrite".to_owned(),
            mounted: Some(true),
            accessible: Some(true),
            ..Default::default()
        };
        self.mounts.push(DatastoreHostMount { key: host.clone(), mount_info });
    }

    fn summary(&self, me: &Moref) -> DatastoreSummary {
        DatastoreSummary {
            datastore: Some(me.clone()),
            name: self.entity.name.clone(),
            url: self.url.clone(),
            capacity: self.capacity,
            free_space: self.free,
            accessible: true,
            multiple_host_access: Some(self.mounts.len() > 1),
            type_: self.kind.clone(),
            maintenance_mode: Some("normal".to_owned()),
            ..Default::default()
        }
    }
}

/// The managed object `HostDatastoreBrowser`.
pub(crate) struct Browser {
    /// The datastore, the host or the machine whose datastores it looks into.
    pub(crate) of: Moref,
}

impl Managed for Browser {
    fn info(&self) -> &'static ManagedInfo {
        managed::HostDatastoreBrowser::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "datastore" => match look.world.find(&self.of) {
                Some(of) if of.info().is_named("Datastore") => Prop::made_list(vec![self.of.clone()]),
                Some(of) => of.read(&Look { me: &self.of, ..*look }, "datastore"),
                None => Prop::UNSET,
            },
            _ => Prop::UNSET,
        }
    }

    fn belongs_to(&self) -> Option<&Moref> {
        Some(&self.of)
    }
}

/// Adds the browser of a datastore, a host or a machine.
pub(crate) fn add_browser(world: &mut World, of: &Moref) -> Moref {
    world.add_as(&format!("datastoreBrowser-{}", of.value), Browser { of: of.clone() })
}

/// Adds a datastore of so many bytes, which the hosts of these compute resources see.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn add(
    world: &mut World,
    name: &str,
    kind: &str,
    capacity: i64,
    datacenter: &Moref,
    computes: &[Moref],
) -> Outcome<Moref> {
    let id = world.new_id("datastore-");
    let browser = add_browser(world, &Moref::new("Datastore", &id));
    let folder = world.get::<Datacenter>(datacenter)?.datastore_folder.clone();
    let datastore = Datastore {
        entity: Entity::new(name, Some(&folder)),
        kind: kind.to_owned(),
        capacity,
        free: capacity,
        url: format!("ds:///vmfs/volumes/{}/", uuid(fastrand::u128(..))),
        mounts: Vec::new(),
        vms: Vec::new(),
        browser,
    };
    let datastore = world.add_as(&id, datastore);
    world.hang(&datastore, &folder)?;
    world.edit::<Datacenter>(datacenter)?.datastores.push(datastore.clone());
    for compute in computes {
        let compute = world.edit::<Compute>(compute)?;
        compute.datastores.push(datastore.clone());
        for host in compute.hosts.clone() {
            world.edit::<Host>(&host)?.datastores.push(datastore.clone());
            world.edit::<Datastore>(&datastore)?.mount(&host);
        }
    }
    Ok(datastore)
}
