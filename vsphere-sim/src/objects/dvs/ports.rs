//! The ports of distributed switches, and who is connected to each.

use std::collections::{HashMap, HashSet};

use vsphere_model::types::{
    DVPortConfigInfo, DVPortState, DVPortStatus, DistributedVirtualPort, DistributedVirtualSwitchPortConnectee,
    DistributedVirtualSwitchPortConnection, DistributedVirtualSwitchPortCriteria, NotFound, VirtualEthernetCard,
    VirtualEthernetCardDistributedVirtualPortBackingInfo,
};

use super::Dvs;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::host::Host;
use crate::objects::network::Network;
use crate::objects::vm::Vm;
use crate::world::{Managed as _, Moref, World};

pub(crate) const METHODS: Methods = &[
    ("DistributedVirtualSwitch", "FetchDVPorts", Handler::Read(fetch)),
    ("DistributedVirtualSwitch", "FetchDVPortKeys", Handler::Read(fetch_keys)),
    ("DistributedVirtualSwitch", "RefreshDVPortState", Handler::Write(refresh)),
    ("DistributedVirtualSwitch", "LookupDvPortGroup", Handler::Read(lookup)),
];

/// Who is connected to a port: the machine, the host or the NIC of a host.
pub(super) struct Connectee {
    entity: Moref,
    nic: String,
    kind: &'static str,
    host: Option<Moref>,
    mac: Option<String>,
    /// Whether traffic flows: the adapter of a machine that is off has its port, and no link.
    active: bool,
}

/// Who is connected to the ports of a port group, by the keys of the ports. A connection that names no port has the
/// first one that is free.
pub(super) fn taken(world: &World, group: &Moref) -> HashMap<i32, Connectee> {
    let Ok(found) = world.get::<Network>(group) else { return HashMap::new() };
    let switch = found.portgroup.as_ref().and_then(|config| config.distributed_virtual_switch.as_ref());
    let Some(switch) = switch.and_then(|switch| world.get::<Dvs>(switch).ok()) else { return HashMap::new() };
    let mut wanted: Vec<(Option<i32>, Connectee)> = Vec::new();
    let here = |port: &DistributedVirtualSwitchPortConnection| port.portgroup_key.as_deref() == Some(&group.value);
    let key = |port: &DistributedVirtualSwitchPortConnection| port.port_key.as_ref().and_then(|key| key.parse().ok());
    for reference in &found.vms {
        let Ok(vm) = world.get::<Vm>(reference) else { continue };
        for card in vm.config.hardware.device.iter().filter_map(|one| one.downcast_ref::<VirtualEthernetCard>()) {
            let backing = card.backing.as_ref();
            let backing = backing
                .and_then(|one| one.downcast_ref::<VirtualEthernetCardDistributedVirtualPortBackingInfo>())
                .filter(|one| here(&one.port));
            if let Some(backing) = backing {
                let connectee = Connectee {
                    entity: reference.clone(),
                    nic: card.key.to_string(),
                    kind: "vmVnic",
                    host: vm.runtime.host.clone(),
                    mac: card.mac_address.clone(),
                    active: vm.is_on() && card.connectable.as_ref().is_none_or(|state| state.connected),
                };
                wanted.push((key(&backing.port), connectee));
            }
        }
    }
    for host in &found.hosts {
        let Ok(host_found) = world.get::<Host>(host) else { continue };
        for (device, port, mac) in host_found.net.distributed_vnics().filter(|(_, port, _)| here(port)) {
            let connectee = Connectee {
                entity: host.clone(),
                nic: device.to_owned(),
                kind: "hostVmkVnic",
                host: Some(host.clone()),
                mac: mac.map(str::to_owned),
                active: true,
            };
            wanted.push((key(port), connectee));
        }
    }
    if super::is_uplink(found) {
        for member in &switch.members {
            for (nic, key) in member.nics.iter().zip(switch.uplink_keys(member)) {
                let connectee = Connectee {
                    entity: member.host.clone(),
                    nic: nic.clone(),
                    kind: "pnic",
                    host: Some(member.host.clone()),
                    mac: None,
                    active: true,
                };
                wanted.push((key.parse().ok(), connectee));
            }
        }
    }
    let mut taken = HashMap::new();
    let keys: HashSet<i32> = switch.keys_of(group).collect();
    let (named, free): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|(key, _)| key.is_some_and(|key| keys.contains(&key)));
    taken.extend(named.into_iter().filter_map(|(key, connectee)| Some((key?, connectee))));
    let mut keys = switch.keys_of(group);
    for (_, connectee) in free {
        if let Some(key) = keys.find(|key| !taken.contains_key(key)) {
            taken.insert(key, connectee);
        }
    }
    taken
}

/// How many ports a port group gets at a time when it has no free one.
const MORE: i32 = 8;

/// Gives a port group more ports, if it may have more.
///
/// # Errors
/// `ManagedObjectNotFound`, and `ResourceInUse` where its number of ports is fixed.
pub(in crate::objects) fn grow(world: &mut World, group: &Moref) -> Outcome<()> {
    let found: &Network = world.get(group)?;
    let config = found.portgroup.as_ref().ok_or_else(|| Fault::not_found(group))?;
    let switch = config.distributed_virtual_switch.clone().ok_or_else(|| Fault::not_found(group))?;
    // Ports that are not bound early are made when they are needed.
    if config.auto_expand != Some(true) && config.type_ == "earlyBinding" {
        return Err(super::in_use("port group", found.entity().map_or("", |entity| &entity.name)));
    }
    let ports = config.num_ports + MORE;
    world.edit::<Dvs>(&switch)?.set_ports(group, ports);
    super::portgroup::set_count(world, group, ports)
}

/// The keys of the ports of a port group.
pub(in crate::objects) fn port_keys(world: &World, group: &Moref) -> Vec<String> {
    let config = world.get::<Network>(group).ok().and_then(|group| group.portgroup.as_ref());
    let switch = config.and_then(|config| config.distributed_virtual_switch.as_ref());
    let switch = switch.and_then(|switch| world.get::<Dvs>(switch).ok());
    switch.map(|switch| switch.keys_of(group).map(|key| key.to_string()).collect()).unwrap_or_default()
}

/// The keys of the ports of a port group that nothing is connected to.
pub(in crate::objects) fn free_ports(world: &World, group: &Moref) -> Vec<String> {
    let taken = taken(world, group);
    let is_free = |key: &String| key.parse().is_ok_and(|key: i32| !taken.contains_key(&key));
    port_keys(world, group).into_iter().filter(is_free).collect()
}

/// Whether hosts have adapters of their own in the port group.
pub(in crate::objects) fn has_vnics(world: &World, group: &Moref) -> bool {
    taken(world, group).values().any(|connectee| connectee.kind == "hostVmkVnic")
}

/// Whether a host, or a machine on it, is connected to the switch.
pub(super) fn uses(world: &World, dvs: &Dvs, host: Option<&Moref>) -> bool {
    let here = |connectee: &Connectee| {
        connectee.kind != "pnic" && host.is_none_or(|host| connectee.host.as_ref() == Some(host))
    };
    dvs.portgroups.iter().any(|group| taken(world, group).values().any(here))
}

fn describe(
    world: &World,
    dvs: &Dvs,
    group: &Moref,
    key: i32,
    connectee: Option<&Connectee>,
) -> DistributedVirtualPort {
    let found = world.get::<Network>(group).ok();
    let config = found.and_then(|group| group.portgroup.as_ref());
    let uplinks = dvs.uplink_names();
    let uplink = config.is_some_and(|config| config.uplink == Some(true)).then(|| {
        let position = dvs.keys_of(group).position(|other| other == key).unwrap_or_default();
        uplinks.get(position % uplinks.len().max(1)).cloned().unwrap_or_default()
    });
    DistributedVirtualPort {
        key: key.to_string(),
        config: DVPortConfigInfo {
            name: Some(uplink.unwrap_or_default()),
            setting: config.and_then(|config| config.default_port_config.clone()),
            config_version: "0".to_owned(),
            ..Default::default()
        },
        dvs_uuid: dvs.config.uuid.clone(),
        portgroup_key: Some(group.value.clone()),
        proxy_host: connectee.and_then(|connectee| connectee.host.clone()),
        connectee: connectee.map(|connectee| {
            Box::new(DistributedVirtualSwitchPortConnectee {
                connected_entity: Some(connectee.entity.clone()),
                nic_key: Some(connectee.nic.clone()),
                type_: Some(connectee.kind.to_owned()),
                address_hint: None,
            })
        }),
        state: connectee.map(|connectee| {
            Box::new(DVPortState {
                runtime_info: Some(Box::new(DVPortStatus {
                    link_up: connectee.active,
                    mtu: Some(dvs.config.max_mtu),
                    mac_address: connectee.mac.clone(),
                    ..Default::default()
                })),
                ..Default::default()
            })
        }),
        last_status_change: dvs.config.create_time,
        ..Default::default()
    }
}

/// The ports that the criteria of the call choose.
fn chosen(world: &World, call: &Call) -> Outcome<Vec<DistributedVirtualPort>> {
    let criteria: DistributedVirtualSwitchPortCriteria = call.opt("criteria")?.unwrap_or_default();
    let dvs: &Dvs = world.get(&call.target)?;
    let mut ports = Vec::new();
    for group in &dvs.portgroups {
        let listed = criteria.portgroup_key.is_empty() || criteria.portgroup_key.contains(&group.value);
        let in_group = listed == criteria.inside.unwrap_or(true) || criteria.portgroup_key.is_empty();
        let uplink = world.get::<Network>(group).is_ok_and(super::is_uplink);
        if !in_group || criteria.uplink_port.is_some_and(|wanted| wanted != uplink) {
            continue;
        }
        let taken = taken(world, group);
        for key in dvs.keys_of(group) {
            let connectee = taken.get(&key);
            let host = connectee.and_then(|connectee| connectee.host.as_ref());
            let fits = criteria.connected.is_none_or(|wanted| wanted == connectee.is_some())
                && criteria.active.is_none_or(|wanted| wanted == connectee.is_some_and(|connectee| connectee.active))
                && (criteria.port_key.is_empty() || criteria.port_key.contains(&key.to_string()))
                && (criteria.host.is_empty() || host.is_some_and(|host| criteria.host.contains(host)));
            if fits {
                ports.push(describe(world, dvs, group, key, connectee));
            }
        }
    }
    Ok(ports)
}

fn fetch(world: &World, call: &Call) -> Outcome<Reply> {
    chosen(world, call).map(Reply::list)
}

fn fetch_keys(world: &World, call: &Call) -> Outcome<Reply> {
    Ok(Reply::list(chosen(world, call)?.into_iter().map(|port| port.key).collect()))
}

fn refresh(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.edit::<Dvs>(&call.target)?;
    Ok(Reply::NONE)
}

fn lookup(world: &World, call: &Call) -> Outcome<Reply> {
    let key: String = call.arg("portgroupKey")?;
    let group = world.get::<Dvs>(&call.target)?.portgroups.iter().find(|group| group.value == key);
    group
        .cloned()
        .map(Reply::of)
        .ok_or_else(|| Fault::new(NotFound::default(), format!("The switch has no port group '{key}'.")))
}
