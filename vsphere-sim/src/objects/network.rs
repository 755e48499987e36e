//! Networks: those of standard switches, distributed port groups, and opaque ones.

use std::time::Duration;

use vsphere_model::managed;
use vsphere_model::types::{Any, DVPortgroupConfigInfo, NetworkSummary, OpaqueNetworkSummary, ResourceInUse};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::compute::Compute;
use super::datacenter::Datacenter;
use super::dvs;
use super::host::{self, Host};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Entity, Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("Network", "DestroyNetwork", Handler::Write(destroy_network)),
    ("Network", "Destroy_Task", Handler::Write(destroy)),
];

/// The managed objects `Network`, `DistributedVirtualPortgroup` and `OpaqueNetwork`.
pub(crate) struct Network {
    entity: Entity,
    /// What makes it a distributed port group.
    pub(crate) portgroup: Option<DVPortgroupConfigInfo>,
    /// What makes it opaque: the id and the type that another product gave it.
    pub(crate) opaque: Option<(String, String)>,
    pub(crate) hosts: Vec<Moref>,
    pub(crate) vms: Vec<Moref>,
}

impl Managed for Network {
    fn info(&self) -> &'static ManagedInfo {
        match (&self.portgroup, &self.opaque) {
            (Some(_), _) => managed::DistributedVirtualPortgroup::INFO,
            (None, Some(_)) => managed::OpaqueNetwork::INFO,
            (None, None) => managed::Network::INFO,
        }
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match (property, &self.portgroup, &self.opaque) {
            ("host", ..) => Prop::list(&self.hosts),
            ("vm", ..) => Prop::list(&self.vms),
            ("summary", _, Some((id, kind))) => Prop::made(OpaqueNetworkSummary {
                base: self.summary(look.me),
                opaque_network_id: id.clone(),
                opaque_network_type: kind.clone(),
            }),
            ("summary", ..) => Prop::made(self.summary(look.me)),
            ("key", Some(portgroup), _) => Prop::kept(&portgroup.key),
            ("config", Some(portgroup), _) => {
                Prop::made(DVPortgroupConfigInfo { name: self.entity.name.clone(), ..portgroup.clone() })
            }
            ("portKeys", Some(_), _) => Prop::made_list(dvs::port_keys(look.world, look.me)),
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

impl Network {
    /// Whether it is a network of standard switches.
    pub(crate) fn is_standard(&self) -> bool {
        self.portgroup.is_none() && self.opaque.is_none()
    }

    fn summary(&self, me: &Moref) -> NetworkSummary {
        NetworkSummary {
            network: Some(me.clone()),
            name: self.entity.name.clone(),
            accessible: !self.hosts.is_empty(),
            ip_pool_name: Some(String::new()),
            ..Default::default()
        }
    }
}

impl World {
    /// Lets a host have a network; one of standard switches becomes a port group of its first switch.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub(crate) fn connect_network(&mut self, network: &Moref, host: &Moref) -> Outcome<()> {
        let found = self.edit::<Network>(network)?;
        if !found.hosts.contains(host) {
            found.hosts.push(host.clone());
        }
        let port_group = found.is_standard().then(|| found.entity.name.clone());
        let found = self.edit::<Host>(host)?;
        if !found.networks.contains(network) {
            found.networks.push(network.clone());
        }
        if let Some(name) = port_group {
            found.net.ensure_port_group(&name);
        }
        if let Some((compute, _)) = self.nearest::<Compute>(host) {
            let networks = &mut self.edit::<Compute>(&compute)?.networks;
            if !networks.contains(network) {
                networks.push(network.clone());
            }
        }
        Ok(())
    }

    /// Takes a network away from a host. A network of standard switches goes with its last host, unless machines are
    /// still bound to it.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub(crate) fn disconnect_network(&mut self, network: &Moref, host: &Moref) -> Outcome<()> {
        self.edit::<Network>(network)?.hosts.retain(|other| other != host);
        self.edit::<Host>(host)?.networks.retain(|other| other != network);
        if let Some((compute, found)) = self.nearest::<Compute>(host) {
            let seen =
                found.hosts.iter().any(|host| self.get::<Host>(host).is_ok_and(|host| host.networks.contains(network)));
            if !seen {
                self.edit::<Compute>(&compute)?.networks.retain(|other| other != network);
            }
        }
        let left: &Network = self.get(network)?;
        if left.is_standard() && left.hosts.is_empty() && left.vms.is_empty() {
            forget(self, network)?;
        }
        Ok(())
    }
}

/// Adds a network of standard switches, which all hosts of these compute resources have.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn add(world: &mut World, name: &str, datacenter: &Moref, computes: &[Moref]) -> Outcome<Moref> {
    let folder = world.get::<Datacenter>(datacenter)?.network_folder.clone();
    let network = put(world, "network-", name, &folder, None, None)?;
    connect_all(world, &network, computes)?;
    Ok(network)
}

/// Adds an opaque network, as another product's switches offer it, which all hosts of these compute resources have.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn add_opaque(
    world: &mut World,
    name: &str,
    (id, kind): (&str, &str),
    datacenter: &Moref,
    computes: &[Moref],
) -> Outcome<Moref> {
    let folder = world.get::<Datacenter>(datacenter)?.network_folder.clone();
    let network = put(world, "network-o", name, &folder, None, Some((id.to_owned(), kind.to_owned())))?;
    connect_all(world, &network, computes)?;
    Ok(network)
}

fn connect_all(world: &mut World, network: &Moref, computes: &[Moref]) -> Outcome<()> {
    for compute in computes {
        let hosts = {
            let compute = world.edit::<Compute>(compute)?;
            // A cluster that has no host yet offers it to those that come.
            if !compute.networks.contains(network) {
                compute.networks.push(network.clone());
            }
            compute.hosts.clone()
        };
        for host in &hosts {
            world.connect_network(network, host)?;
        }
    }
    Ok(())
}

/// Adds a network of any kind to a folder.
pub(super) fn put(
    world: &mut World,
    kind: &str,
    name: &str,
    folder: &Moref,
    portgroup: Option<DVPortgroupConfigInfo>,
    opaque: Option<(String, String)>,
) -> Outcome<Moref> {
    let entity = Entity::new(name, Some(folder));
    let id = world.new_id(kind);
    let portgroup = portgroup.map(|portgroup| DVPortgroupConfigInfo { key: id.clone(), ..portgroup });
    let network = Network { entity, portgroup, opaque, hosts: Vec::new(), vms: Vec::new() };
    let network = world.add_as(&id, network);
    world.hang(&network, folder)?;
    if let Some((datacenter, _)) = world.nearest::<Datacenter>(folder) {
        world.edit::<Datacenter>(&datacenter)?.networks.push(network.clone());
    }
    Ok(network)
}

/// The network of standard switches of this name in the datacenter of the host.
fn named(world: &World, host: &Moref, name: &str) -> Outcome<Option<Moref>> {
    let datacenter = host::datacenter_of(world, host)?;
    let name = crate::world::escaped(name);
    let networks = &world.get::<Datacenter>(&datacenter)?.networks;
    let found = networks.iter().find(|network| {
        world.get::<Network>(network).is_ok_and(|found| found.is_standard() && found.entity.name == name)
    });
    Ok(found.cloned())
}

/// A host has a port group of this name now: it is the network of that name, which is made where there is none.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn join(world: &mut World, host: &Moref, name: &str) -> Outcome<()> {
    let network = match named(world, host, name)? {
        Some(network) => network,
        None => {
            let datacenter = host::datacenter_of(world, host)?;
            let folder = world.get::<Datacenter>(&datacenter)?.network_folder.clone();
            put(world, "network-", name, &folder, None, None)?
        }
    };
    world.connect_network(&network, host)
}

/// A host has no port group of this name any more.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(super) fn leave(world: &mut World, host: &Moref, name: &str) -> Outcome<()> {
    match named(world, host, name)? {
        Some(network) => world.disconnect_network(&network, host),
        None => Ok(()),
    }
}

/// Whether machines of the host use its port group of this name.
pub(super) fn has_vms_on(world: &World, host: &Moref, name: &str) -> bool {
    let Ok(Some(network)) = named(world, host, name) else { return false };
    let vms = world.get::<Network>(&network).map(|network| network.vms.as_slice()).unwrap_or_default();
    vms.iter().any(|vm| world.host_of(vm).as_ref() == Some(host))
}

/// Takes a network out of the inventory; who had it must be told by the caller.
pub(super) fn forget(world: &mut World, network: &Moref) -> Outcome<()> {
    for host in world.get::<Network>(network)?.hosts.clone() {
        world.edit::<Host>(&host)?.networks.retain(|other| other != network);
    }
    let holders: Vec<Moref> = world
        .all::<Compute>()
        .into_iter()
        .filter(|(_, compute)| compute.networks.contains(network))
        .map(|(compute, _)| compute.clone())
        .collect();
    for compute in holders {
        world.edit::<Compute>(&compute)?.networks.retain(|other| other != network);
    }
    if let Some((datacenter, _)) = world.nearest::<Datacenter>(network) {
        world.edit::<Datacenter>(&datacenter)?.networks.retain(|other| other != network);
    }
    world.unhang(network)?;
    world.remove(network);
    Ok(())
}

/// Whether a network may go: nobody uses it. One of standard switches must also have lost its port groups.
fn check_unused(world: &World, network: &Moref) -> Outcome<()> {
    let found: &Network = world.get(network)?;
    let used = !found.vms.is_empty() || (found.is_standard() && !found.hosts.is_empty());
    if used || dvs::is_uplink(found) || dvs::has_vnics(world, network) {
        let name = found.entity.name.clone();
        let fault =
            ResourceInUse { type_: Some(network.type_.clone()), name: Some(name.clone()), ..Default::default() };
        return Err(Fault::new(fault, format!("The resource '{name}' is in use.")));
    }
    Ok(())
}

fn destroy_network(world: &mut World, call: &Call) -> Outcome<Reply> {
    check_unused(world, &call.target)?;
    remove(world, &call.target, &call.user(world))?;
    Ok(Reply::NONE)
}

fn destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (network, user) = (call.target.clone(), call.user(world));
    check_unused(world, &network)?;
    call.task().alone_with(&network).takes(Duration::from_millis(500)).start(world, move |world| {
        check_unused(world, &network)?;
        remove(world, &network, &user)?;
        Ok(Any::Unset)
    })
}

fn remove(world: &mut World, network: &Moref, user: &str) -> Outcome<()> {
    dvs::portgroup_leaves(world, network, user)?;
    forget(world, network)
}
