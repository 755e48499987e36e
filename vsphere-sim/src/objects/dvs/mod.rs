//! Distributed switches: one switch for several hosts.

pub(super) mod config;
pub(super) mod manager;
pub(crate) mod portgroup;
pub(super) mod ports;
mod setting;

use vsphere_model::managed;
use vsphere_model::types::{
    DVSCapability, DVSConfigInfo, DVSFeatureCapability, DVSNameArrayUplinkPortPolicy, DVSPolicy, DVSRuntimeInfo,
    DVSSummary, DistributedVirtualSwitchHostMember, DistributedVirtualSwitchHostMemberConfigInfo,
    DistributedVirtualSwitchHostMemberPnicBacking, DistributedVirtualSwitchHostMemberPnicSpec,
    DistributedVirtualSwitchProductSpec, HostMemberRuntimeInfo, HostProxySwitch, HostProxySwitchSpec, KeyValue,
    LinkDiscoveryProtocolConfig, Poly, ResourceInUse, VMwareDVSConfigInfo, VMwareDVSFeatureCapability,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::host::Host;
use super::network::Network;
use crate::fault::{Fault, Outcome};
use crate::world::{Entity, Look, Managed, Moref, Prop, World, uuid};
use setting::{default_setting, over};

pub(super) use manager::numbers;
pub(super) use ports::{free_ports, grow, has_vnics, port_keys};

/// The managed object `VmwareDistributedVirtualSwitch`.
pub(crate) struct Dvs {
    entity: Entity,
    /// What its configuration says, apart from the hosts and what is counted.
    config: VMwareDVSConfigInfo,
    members: Vec<Member>,
    pub(crate) portgroups: Vec<Moref>,
    /// Which keys of ports belong to which port group: the first, and how many.
    ranges: Vec<(Moref, i32, i32)>,
    /// The next key that a port gets.
    next_port: i32,
    version: u32,
}

/// A host of the switch, with the NICs that it brings.
#[derive(Debug, Clone)]
struct Member {
    host: Moref,
    nics: Vec<String>,
}

impl Dvs {
    pub(crate) fn uuid(&self) -> &str {
        &self.config.uuid
    }
}

impl Managed for Dvs {
    fn info(&self) -> &'static ManagedInfo {
        managed::VmwareDistributedVirtualSwitch::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "uuid" => Prop::kept(&self.config.uuid),
            "config" => Prop::made(self.shown_config(look.world)),
            "summary" => Prop::made(self.summary(look.world)),
            "capability" => Prop::made(capability()),
            "portgroup" => Prop::list(&self.portgroups),
            "runtime" => Prop::made(self.runtime()),
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

impl Dvs {
    fn uplink_names(&self) -> Vec<String> {
        let policy = self.config.uplink_port_policy.downcast_ref::<DVSNameArrayUplinkPortPolicy>();
        policy.map(|policy| policy.uplink_port_name.clone()).unwrap_or_default()
    }

    fn shown_config(&self, world: &World) -> VMwareDVSConfigInfo {
        let mut config = self.config.clone();
        config.name.clone_from(&self.entity.name);
        config.config_version = self.version.to_string();
        config.num_ports = self.num_ports();
        config.host = self.members.iter().map(|member| self.describe_member(world, member)).collect();
        config
    }

    fn num_ports(&self) -> i32 {
        self.ranges.iter().map(|(_, _, count)| count).sum()
    }

    fn describe_member(&self, world: &World, member: &Member) -> DistributedVirtualSwitchHostMember {
        let up = world.get::<Host>(&member.host).is_ok_and(Host::is_up);
        DistributedVirtualSwitchHostMember {
            config: DistributedVirtualSwitchHostMemberConfigInfo {
                host: Some(member.host.clone()),
                max_proxy_switch_ports: 2048,
                backing: Poly::new(self.backing(member)),
                ..Default::default()
            },
            product_info: Some(Box::new(self.config.product_info.clone())),
            uplink_port_key: self.uplink_keys(member),
            status: if up { "up" } else { "disconnected" }.to_owned(),
            ..Default::default()
        }
    }

    fn backing(&self, member: &Member) -> DistributedVirtualSwitchHostMemberPnicBacking {
        let keys = self.uplink_keys(member);
        let spec = |(nic, key): (&String, String)| DistributedVirtualSwitchHostMemberPnicSpec {
            pnic_device: nic.clone(),
            uplink_port_key: Some(key),
            uplink_portgroup_key: self.config.uplink_portgroup.first().map(|group| group.value.clone()),
            ..Default::default()
        };
        DistributedVirtualSwitchHostMemberPnicBacking {
            pnic_spec: member.nics.iter().zip(keys).map(spec).collect(),
            ..Default::default()
        }
    }

    /// The keys of the ports that its uplinks have on a host.
    fn uplink_keys(&self, member: &Member) -> Vec<String> {
        let uplinks = self.uplink_names().len();
        let Some(position) = self.members.iter().position(|other| other.host == member.host) else { return Vec::new() };
        let Some(group) = self.config.uplink_portgroup.first() else { return Vec::new() };
        self.keys_of(group).skip(position * uplinks).take(uplinks).map(|key| key.to_string()).collect()
    }

    /// The keys of the ports of a port group.
    fn keys_of<'a>(&'a self, group: &'a Moref) -> impl Iterator<Item = i32> + 'a {
        let ranges = self.ranges.iter().filter(move |(of, ..)| of == group);
        ranges.flat_map(|&(_, first, count)| first..first + count)
    }

    /// Gives a port group so many ports: more than it has, or fewer.
    fn set_ports(&mut self, group: &Moref, wanted: i32) {
        let has: i32 = self.ranges.iter().filter(|(of, ..)| of == group).map(|(_, _, count)| count).sum();
        if wanted > has {
            self.ranges.push((group.clone(), self.next_port, wanted - has));
            self.next_port += wanted - has;
        }
        let mut excess = has - wanted;
        for range in self.ranges.iter_mut().rev().filter(|(of, ..)| of == group) {
            let less = excess.clamp(0, range.2);
            range.2 -= less;
            excess -= less;
        }
        self.ranges.retain(|(_, _, count)| *count > 0);
    }

    fn summary(&self, world: &World) -> DVSSummary {
        let hosts: Vec<Moref> = self.members.iter().map(|member| member.host.clone()).collect();
        let groups = self.portgroups.iter().filter_map(|group| world.get::<Network>(group).ok());
        let mut vms: Vec<Moref> = groups.flat_map(|group| group.vms.iter().cloned()).collect();
        vms.sort();
        vms.dedup();
        let name = |group: &Moref| world.entity(group).map(|entity| entity.name.clone()).unwrap_or_default();
        DVSSummary {
            name: self.entity.name.clone(),
            uuid: self.config.uuid.clone(),
            num_ports: self.num_ports(),
            product_info: Some(Box::new(self.config.product_info.clone())),
            host_member: hosts.clone(),
            vm: vms,
            num_hosts: i32::try_from(hosts.len()).ok(),
            host: hosts,
            portgroup_name: self.portgroups.iter().map(name).collect(),
            description: self.config.description.clone(),
            contact: Some(Box::new(self.config.contact.clone())),
        }
    }

    fn runtime(&self) -> DVSRuntimeInfo {
        let of = |member: &Member| HostMemberRuntimeInfo {
            host: member.host.clone(),
            status: Some("up".to_owned()),
            ..Default::default()
        };
        DVSRuntimeInfo { host_member_runtime: self.members.iter().map(of).collect(), ..Default::default() }
    }
}

/// Adds a distributed switch with its uplink port group to a folder for networks.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn add(world: &mut World, name: &str, folder: &Moref) -> Outcome<Moref> {
    let id = world.new_id("dvs-");
    let itself = Moref::new("VmwareDistributedVirtualSwitch", &id);
    let bits = fastrand::u128(..);
    let mut base = DVSConfigInfo {
        uuid: switch_uuid(&uuid(bits)),
        name: name.to_owned(),
        max_ports: i32::MAX,
        uplink_port_policy: Poly::new(DVSNameArrayUplinkPortPolicy {
            uplink_port_name: (1..=4).map(|number| format!("Uplink {number}")).collect(),
            ..Default::default()
        }),
        product_info: manager::product(world, None).unwrap_or_default(),
        policy: Some(Box::new(DVSPolicy {
            auto_pre_install_allowed: Some(false),
            auto_upgrade_allowed: Some(false),
            partial_upgrade_allowed: Some(false),
        })),
        create_time: world.now(),
        network_resource_management_enabled: Some(true),
        default_proxy_switch_max_num_ports: Some(2048),
        network_resource_control_version: Some("version3".to_owned()),
        ..Default::default()
    };
    base.default_port_config = Poly::new(default_setting());
    let config = VMwareDVSConfigInfo {
        base,
        max_mtu: 1500,
        link_discovery_protocol_config: Some(Box::new(LinkDiscoveryProtocolConfig {
            protocol: "cdp".to_owned(),
            operation: "listen".to_owned(),
        })),
        lacp_api_version: Some("multipleLag".to_owned()),
        multicast_filtering_mode: Some("snooping".to_owned()),
        ..Default::default()
    };
    let dvs = Dvs {
        entity: Entity::new(name, Some(folder)),
        config,
        members: Vec::new(),
        portgroups: Vec::new(),
        ranges: Vec::new(),
        next_port: 0,
        version: 1,
    };
    world.add_as(&id, dvs);
    world.hang(&itself, folder)?;
    let number = id.trim_start_matches("dvs-");
    let uplinks = portgroup::add_uplinks(world, &itself, &format!("{name}-DVUplinks-{number}"))?;
    world.edit::<Dvs>(&itself)?.config.uplink_portgroup.push(uplinks);
    Ok(itself)
}

/// A switch's UUID has the form of a MAC address, twice as long twice: pairs with spaces, a dash in the middle.
fn switch_uuid(uuid: &str) -> String {
    let digits: Vec<char> = uuid.chars().filter(|digit| *digit != '-').collect();
    let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
    let (first, second) = pairs.split_at(pairs.len() / 2);
    format!("{}-{}", first.join(" "), second.join(" "))
}

/// Lets a host be a member, with these of its NICs as uplinks.
///
/// # Errors
/// `ManagedObjectNotFound`; `ResourceInUse` and `InvalidArgument` for NICs that the host can't give.
pub(crate) fn add_host(world: &mut World, dvs: &Moref, host: &Moref, nics: &[String]) -> Outcome<()> {
    check_nics(world, dvs, host, nics)?;
    let switch = world.edit::<Dvs>(dvs)?;
    switch.members.push(Member { host: host.clone(), nics: nics.to_vec() });
    switch.version += 1;
    let uplinks = i32::try_from(switch.uplink_names().len() * switch.members.len()).unwrap_or(i32::MAX);
    if let Some(group) = switch.config.uplink_portgroup.first().cloned() {
        switch.set_ports(&group, uplinks);
        portgroup::set_count(world, &group, uplinks)?;
    }
    for group in world.get::<Dvs>(dvs)?.portgroups.clone() {
        world.connect_network(&group, host)?;
    }
    Ok(())
}

/// Whether a host can give these NICs to the switch.
fn check_nics(world: &World, dvs: &Moref, host: &Moref, nics: &[String]) -> Outcome<()> {
    let switch: &Dvs = world.get(dvs)?;
    let found: &Host = world.get(host)?;
    let known = found.nic_names();
    let elsewhere = |nic: &String| {
        let other = |(reference, other): &(&Moref, &Dvs)| {
            *reference != dvs && other.members.iter().any(|member| member.host == *host && member.nics.contains(nic))
        };
        found.net.uses_nic(nic) || world.all::<Dvs>().iter().any(other)
    };
    for nic in nics {
        if !known.contains(nic) {
            return Err(Fault::invalid_argument("spec.host.backing.pnicSpec"));
        }
        if elsewhere(nic) {
            return Err(in_use("physical NIC", nic));
        }
    }
    if nics.len() > switch.uplink_names().len() {
        return Err(Fault::invalid_argument("spec.host.backing.pnicSpec"));
    }
    Ok(())
}

fn in_use(kind: &str, name: &str) -> Fault {
    let fault = ResourceInUse { type_: Some(kind.to_owned()), name: Some(name.to_owned()), ..Default::default() };
    Fault::new(fault, format!("The resource '{name}' is in use."))
}

/// A host that leaves the inventory leaves its switches.
pub(super) fn forget_host(world: &mut World, host: &Moref) -> Outcome<()> {
    let switches: Vec<Moref> = world
        .all::<Dvs>()
        .into_iter()
        .filter(|(_, dvs)| dvs.has(host))
        .map(|(reference, _)| reference.clone())
        .collect();
    for switch in switches {
        remove_member(world, &switch, host)?;
    }
    Ok(())
}

fn remove_member(world: &mut World, dvs: &Moref, host: &Moref) -> Outcome<()> {
    let switch = world.edit::<Dvs>(dvs)?;
    switch.members.retain(|member| member.host != *host);
    switch.version += 1;
    for group in switch.portgroups.clone() {
        world.disconnect_network(&group, host)?;
    }
    Ok(())
}

impl Dvs {
    fn has(&self, host: &Moref) -> bool {
        self.members.iter().any(|member| member.host == *host)
    }
}

/// Whether the host is a member of the switch.
pub(super) fn has_member(world: &World, dvs: &Moref, host: &Moref) -> bool {
    world.get::<Dvs>(dvs).is_ok_and(|dvs| dvs.has(host))
}

/// The switch with this UUID.
pub(super) fn by_uuid(world: &World, uuid: &str) -> Option<Moref> {
    world.all::<Dvs>().into_iter().find(|(_, dvs)| dvs.config.uuid == uuid).map(|(reference, _)| reference.clone())
}

/// The switches that a host is a member of.
fn of_host<'w>(world: &'w World, host: &Host) -> Vec<(&'w Dvs, &'w Member)> {
    // A host without a distributed port group is in no switch: this spares the search for most.
    if !host.networks.iter().any(|network| network.type_ == "DistributedVirtualPortgroup") {
        return Vec::new();
    }
    let member = |dvs: &'w Dvs| {
        let same = |member: &&Member| world.get::<Host>(&member.host).is_ok_and(|other| other.number == host.number);
        dvs.members.iter().find(same).map(|member| (dvs, member))
    };
    world.all::<Dvs>().into_iter().filter_map(|(_, dvs)| member(dvs)).collect()
}

/// The NICs of a host that distributed switches have.
pub(super) fn uplinks(world: &World, host: &Host) -> Vec<String> {
    of_host(world, host).into_iter().flat_map(|(_, member)| member.nics.iter().cloned()).collect()
}

/// The parts of distributed switches that are on a host.
pub(super) fn proxy_switches(world: &World, host: &Host) -> Vec<HostProxySwitch> {
    let proxy = |(dvs, member): (&Dvs, &Member)| {
        let names = dvs.uplink_names();
        let keys = dvs.uplink_keys(member);
        HostProxySwitch {
            dvs_uuid: dvs.config.uuid.clone(),
            dvs_name: dvs.entity.name.clone(),
            key: format!("key-vim.host.HostProxySwitch-{}", dvs.config.uuid),
            num_ports: 5632,
            config_num_ports: Some(2048),
            num_ports_available: 5600,
            uplink_port: keys.into_iter().zip(names).map(|(key, value)| KeyValue { key, value }).collect(),
            mtu: Some(dvs.config.max_mtu),
            pnic: member.nics.iter().map(|nic| format!("key-vim.host.PhysicalNic-{nic}")).collect(),
            spec: HostProxySwitchSpec { backing: Some(Poly::new(dvs.backing(member))) },
            network_reservation_supported: Some(true),
            ..Default::default()
        }
    };
    of_host(world, host).into_iter().map(proxy).collect()
}

/// Whether the network is the uplink port group of a switch.
pub(super) fn is_uplink(network: &Network) -> bool {
    network.portgroup.as_ref().is_some_and(|portgroup| portgroup.uplink == Some(true))
}

/// A port group that is removed leaves its switch.
pub(super) fn portgroup_leaves(world: &mut World, network: &Moref, user: &str) -> Outcome<()> {
    let dvs =
        world.get::<Network>(network)?.portgroup.as_ref().and_then(|group| group.distributed_virtual_switch.clone());
    let Some(dvs) = dvs else { return Ok(()) };
    let name = world.entity(network)?.name.clone();
    let event = vsphere_model::types::DVPortgroupDestroyedEvent::default();
    world.post(network, user, event, format!("dvPort group {name} was deleted"));
    let switch = world.edit::<Dvs>(&dvs)?;
    switch.portgroups.retain(|other| other != network);
    switch.ranges.retain(|(of, ..)| of != network);
    Ok(())
}

fn capability() -> DVSCapability {
    let policies =
        ["loadbalance_ip", "loadbalance_srcmac", "loadbalance_srcid", "failover_explicit", "loadbalance_loadbased"];
    DVSCapability {
        dvs_operation_supported: Some(true),
        dv_port_group_operation_supported: Some(true),
        dv_port_operation_supported: Some(true),
        compatible_host_component_product_info: manager::compatible_hosts(),
        features_supported: Some(Poly::new(VMwareDVSFeatureCapability {
            base: DVSFeatureCapability {
                network_resource_management_supported: true,
                vm_direct_path_gen2_supported: Some(true),
                nic_teaming_policy: policies.map(str::to_owned).to_vec(),
                network_filter_supported: Some(true),
                mac_learning_supported: Some(true),
                ..Default::default()
            },
            vspan_supported: Some(true),
            lldp_supported: Some(true),
            ipfix_supported: Some(true),
            multicast_snooping_supported: Some(true),
            ..Default::default()
        })),
    }
}

/// What a product is called.
fn product_of(version: &str) -> DistributedVirtualSwitchProductSpec {
    DistributedVirtualSwitchProductSpec {
        name: Some("DVS".to_owned()),
        vendor: Some("VMware, Inc.".to_owned()),
        version: Some(version.to_owned()),
        forwarding_class: Some("etherswitch".to_owned()),
        ..Default::default()
    }
}
