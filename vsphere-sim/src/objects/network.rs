//! Networks: those of standard switches, and distributed port groups.

use vsphere_model::managed;
use vsphere_model::types::{DVPortgroupConfigInfo, NetworkSummary};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::compute::Compute;
use super::datacenter::Datacenter;
use super::host::Host;
use crate::call::Methods;
use crate::fault::Outcome;
use crate::world::{Entity, Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[];

/// The managed objects `Network` and `DistributedVirtualPortgroup`.
pub(crate) struct Network {
    entity: Entity,
    /// What makes it a distributed port group.
    pub(crate) portgroup: Option<DVPortgroupConfigInfo>,
    pub(crate) hosts: Vec<Moref>,
    pub(crate) vms: Vec<Moref>,
}

impl Managed for Network {
    fn info(&self) -> &'static ManagedInfo {
        if self.portgroup.is_some() { managed::DistributedVirtualPortgroup::INFO } else { managed::Network::INFO }
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match (property, &self.portgroup) {
            ("host", _) => Prop::list(&self.hosts),
            ("vm", _) => Prop::list(&self.vms),
            ("summary", _) => Prop::made(NetworkSummary {
                network: Some(look.me.clone()),
                name: self.entity.name.clone(),
                accessible: true,
                ..Default::default()
            }),
            ("key", Some(portgroup)) => Prop::kept(&portgroup.key),
            ("config", Some(portgroup)) => Prop::kept(portgroup),
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

/// Adds a network of standard switches, which all hosts of these compute resources have.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn add(world: &mut World, name: &str, datacenter: &Moref, computes: &[Moref]) -> Outcome<Moref> {
    let folder = world.get::<Datacenter>(datacenter)?.network_folder.clone();
    let network =
        Network { entity: Entity::new(name, Some(&folder)), portgroup: None, hosts: Vec::new(), vms: Vec::new() };
    let network = world.add("network-", network);
    world.hang(&network, &folder)?;
    world.edit::<Datacenter>(datacenter)?.networks.push(network.clone());
    for compute in computes {
        let compute = world.edit::<Compute>(compute)?;
        compute.networks.push(network.clone());
        let hosts = compute.hosts.clone();
        for host in &hosts {
            world.edit::<Host>(host)?.networks.push(network.clone());
        }
        world.edit::<Network>(&network)?.hosts.extend(hosts);
    }
    Ok(network)
}
