//! Datacenters, with the four folders that each has.

use vsphere_model::managed;
use vsphere_model::types::{Any, DatacenterConfigInfo};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::folder::{self, Folder};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::world::{Entity, Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[("Datacenter", "Destroy_Task", Handler::Write(destroy))];

/// The managed object `Datacenter`.
pub(crate) struct Datacenter {
    entity: Entity,
    pub(crate) vm_folder: Moref,
    pub(crate) host_folder: Moref,
    pub(crate) datastore_folder: Moref,
    pub(crate) network_folder: Moref,
    pub(crate) datastores: Vec<Moref>,
    pub(crate) networks: Vec<Moref>,
    configuration: DatacenterConfigInfo,
}

impl Managed for Datacenter {
    fn info(&self) -> &'static ManagedInfo {
        managed::Datacenter::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "vmFolder" => Prop::kept(&self.vm_folder),
            "hostFolder" => Prop::kept(&self.host_folder),
            "datastoreFolder" => Prop::kept(&self.datastore_folder),
            "networkFolder" => Prop::kept(&self.network_folder),
            "datastore" => Prop::list(&self.datastores),
            "network" => Prop::list(&self.networks),
            "configuration" => Prop::kept(&self.configuration),
            _ => self.entity.read(look, property),
        }
    }

    fn entity(&self) -> Option<&Entity> {
        Some(&self.entity)
    }

    fn entity_mut(&mut self) -> Option<&mut Entity> {
        Some(&mut self.entity)
    }

    fn children(&self) -> Vec<Moref> {
        [&self.vm_folder, &self.host_folder, &self.datastore_folder, &self.network_folder].map(Moref::clone).to_vec()
    }
}

/// Adds a datacenter to a folder.
///
/// # Errors
/// `ManagedObjectNotFound` for the folder.
pub(crate) fn add(world: &mut World, name: &str, parent: &Moref) -> Outcome<Moref> {
    let id = world.new_id("datacenter-");
    let itself = Moref::new("Datacenter", &id);
    let mut folder = |name, kind, types: &[&str]| folder::add(world, name, &itself, kind, types);
    let datacenter = Datacenter {
        entity: Entity::new(name, Some(parent)),
        vm_folder: folder("vm", 'v', &["Folder", "VirtualMachine", "VirtualApp"]),
        host_folder: folder("host", 'h', &["Folder", "ComputeResource", "ClusterComputeResource"]),
        datastore_folder: folder("datastore", 's', &["Folder", "Datastore", "StoragePod"]),
        network_folder: folder(
            "network",
            'n',
            &["Folder", "Network", "DistributedVirtualSwitch", "DistributedVirtualPortgroup"],
        ),
        datastores: Vec::new(),
        networks: Vec::new(),
        configuration: DatacenterConfigInfo::default(),
    };
    let itself = world.add_as(&id, datacenter);
    world.hang(&itself, parent)?;
    Ok(itself)
}

/// An empty datacenter goes with its four folders.
fn destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    let datacenter = call.target.clone();
    if world.settings.kind == ServerKind::Esxi {
        return Err(Fault::not_supported("removal of the datacenter of a host"));
    }
    check_empty(world, &datacenter)?;
    call.task().alone_with(&datacenter).start(world, move |world| {
        check_empty(world, &datacenter)?;
        for folder in world.get::<Datacenter>(&datacenter)?.children() {
            world.remove(&folder);
        }
        world.unhang(&datacenter)?;
        world.remove(&datacenter);
        Ok(Any::Unset)
    })
}

fn check_empty(world: &World, datacenter: &Moref) -> Outcome<()> {
    for folder in world.get::<Datacenter>(datacenter)?.children() {
        if !world.get::<Folder>(&folder)?.children.is_empty() {
            return Err(folder::in_use(world, datacenter));
        }
    }
    Ok(())
}
