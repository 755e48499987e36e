//! The methods of `HostNetworkSystem`.

use vsphere_model::types::{
    AlreadyExists, HostDnsConfig, HostIpRouteConfig, HostPortGroupSpec, HostVirtualNicSpec,
    HostVirtualSwitchBondBridge, HostVirtualSwitchSimpleBridge, HostVirtualSwitchSpec, NotFound, PhysicalNicCdpInfo,
    PhysicalNicHintInfo, PhysicalNicIpHint, Poly, ResourceInUse,
};

use super::{PortGroup, Switch, Vnic, mac};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::dvs;
use crate::objects::host::{Host, part};
use crate::objects::network;
use crate::world::{Moref, World};

pub(crate) const METHODS: Methods = &[
    ("HostNetworkSystem", "AddVirtualSwitch", Handler::Write(add_switch)),
    ("HostNetworkSystem", "RemoveVirtualSwitch", Handler::Write(remove_switch)),
    ("HostNetworkSystem", "UpdateVirtualSwitch", Handler::Write(update_switch)),
    ("HostNetworkSystem", "AddPortGroup", Handler::Write(add_port_group)),
    ("HostNetworkSystem", "RemovePortGroup", Handler::Write(remove_port_group)),
    ("HostNetworkSystem", "UpdatePortGroup", Handler::Write(update_port_group)),
    ("HostNetworkSystem", "AddVirtualNic", Handler::Write(add_vnic)),
    ("HostNetworkSystem", "RemoveVirtualNic", Handler::Write(remove_vnic)),
    ("HostNetworkSystem", "UpdateVirtualNic", Handler::Write(update_vnic)),
    ("HostNetworkSystem", "UpdateDnsConfig", Handler::Write(update_dns)),
    ("HostNetworkSystem", "UpdateIpRouteConfig", Handler::Write(update_route)),
    ("HostNetworkSystem", "QueryNetworkHint", Handler::Read(hints)),
    ("HostNetworkSystem", "RefreshNetworkSystem", Handler::Read(refresh)),
];

fn not_found(kind: &str, name: &str) -> Fault {
    Fault::new(NotFound::default(), format!("The host has no {kind} '{name}'."))
}

fn already_exists(kind: &str, name: &str) -> Fault {
    let fault = AlreadyExists { name: Some(name.to_owned()), ..Default::default() };
    Fault::new(fault, format!("The host has a {kind} '{name}' already."))
}

fn in_use(kind: &str, name: &str) -> Fault {
    let fault = ResourceInUse { type_: Some(kind.to_owned()), name: Some(name.to_owned()), ..Default::default() };
    Fault::new(fault, format!("The {kind} '{name}' is in use."))
}

/// The host of the call, to change its network; its network managers count as changed.
fn edit<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut Host> {
    let host = part::host_of(world, call)?;
    part::touch_network(world, &host);
    world.edit(&host)
}

fn switch_at(host: &Host, name: &str) -> Outcome<usize> {
    host.net.switches.iter().position(|one| one.name == name).ok_or_else(|| not_found("virtual switch", name))
}

fn group_at(host: &Host, name: &str) -> Outcome<usize> {
    host.net.port_groups.iter().position(|one| one.name == name).ok_or_else(|| not_found("port group", name))
}

fn vnic_at(host: &Host, device: &str) -> Outcome<usize> {
    host.net.vnics.iter().position(|one| one.device == device).ok_or_else(|| not_found("virtual adapter", device))
}

/// The NICs that a specification gives to the switch of this name.
fn bridge(world: &World, host: &Host, switch: &str, spec: &HostVirtualSwitchSpec) -> Outcome<Vec<String>> {
    let Some(bridge) = &spec.bridge else { return Ok(Vec::new()) };
    let bond = bridge.downcast_ref::<HostVirtualSwitchBondBridge>().map(|bond| bond.nic_device.clone());
    let simple = bridge.downcast_ref::<HostVirtualSwitchSimpleBridge>().map(|one| vec![one.nic_device.clone()]);
    let nics = bond.or(simple).ok_or_else(|| Fault::invalid_argument("spec.bridge"))?;
    let known = host.nic_names();
    let taken = dvs::uplinks(world, host);
    for nic in &nics {
        if !known.contains(nic) {
            return Err(not_found("physical NIC", nic));
        }
        let elsewhere = host.net.switches.iter().any(|other| other.name != switch && other.nics.contains(nic));
        if elsewhere || taken.contains(nic) {
            return Err(in_use("physical NIC", nic));
        }
    }
    Ok(nics)
}

fn check_mtu(mtu: Option<i32>) -> Outcome<i32> {
    Some(mtu.unwrap_or(1500))
        .filter(|mtu| (1280..=9000).contains(mtu))
        .ok_or_else(|| Fault::invalid_argument("spec.mtu"))
}

fn add_switch(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("vswitchName")?;
    let spec: HostVirtualSwitchSpec = call.opt("spec")?.unwrap_or_default();
    if name.is_empty() || name.len() > 32 {
        return Err(Fault::invalid_argument("vswitchName"));
    }
    let host = part::host(world, call)?;
    if switch_at(host, &name).is_ok() {
        return Err(already_exists("virtual switch", &name));
    }
    let nics = bridge(world, host, &name, &spec)?;
    let mtu = check_mtu(spec.mtu)?;
    edit(world, call)?.net.switches.push(Switch { name, mtu, nics, policy: spec.policy });
    Ok(Reply::NONE)
}

fn update_switch(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("vswitchName")?;
    let spec: HostVirtualSwitchSpec = call.arg("spec")?;
    let host = part::host(world, call)?;
    let at = switch_at(host, &name)?;
    let nics = bridge(world, host, &name, &spec)?;
    let mtu = check_mtu(spec.mtu)?;
    let switch = &mut edit(world, call)?.net.switches[at];
    switch.nics = nics;
    switch.mtu = mtu;
    if spec.policy.is_some() {
        switch.policy = spec.policy;
    }
    Ok(Reply::NONE)
}

fn remove_switch(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("vswitchName")?;
    let me = part::host_of(world, call)?;
    let host = world.get::<Host>(&me)?;
    let at = switch_at(host, &name)?;
    let groups = host.net.port_groups.iter().filter(|group| group.switch == name);
    let groups: Vec<String> = groups.map(|group| group.name.clone()).collect();
    for group in &groups {
        if host.net.is_for_host(group) || network::has_vms_on(world, &me, group) {
            return Err(in_use("virtual switch", &name));
        }
    }
    let net = &mut edit(world, call)?.net;
    net.switches.remove(at);
    net.port_groups.retain(|group| group.switch != name);
    for group in groups {
        network::leave(world, &me, &group)?;
    }
    Ok(Reply::NONE)
}

fn check_group(spec: &HostPortGroupSpec) -> Outcome<()> {
    if spec.name.is_empty() || spec.name.chars().count() > 80 {
        return Err(Fault::invalid_argument("portgrp.name"));
    }
    if !(0..=4095).contains(&spec.vlan_id) {
        return Err(Fault::invalid_argument("portgrp.vlanId"));
    }
    Ok(())
}

fn group_of(spec: HostPortGroupSpec) -> PortGroup {
    let policy = Some(spec.policy).filter(|policy| *policy != Default::default()).map(Box::new);
    PortGroup { name: spec.name, switch: spec.vswitch_name, vlan: spec.vlan_id, policy }
}

fn add_port_group(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: HostPortGroupSpec = call.arg("portgrp")?;
    check_group(&spec)?;
    let me = part::host_of(world, call)?;
    let host = world.get::<Host>(&me)?;
    switch_at(host, &spec.vswitch_name)?;
    if group_at(host, &spec.name).is_ok() {
        return Err(already_exists("port group", &spec.name));
    }
    let name = spec.name.clone();
    edit(world, call)?.net.port_groups.push(group_of(spec));
    network::join(world, &me, &name)?;
    Ok(Reply::NONE)
}

fn update_port_group(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("pgName")?;
    let spec: HostPortGroupSpec = call.arg("portgrp")?;
    check_group(&spec)?;
    let me = part::host_of(world, call)?;
    let host = world.get::<Host>(&me)?;
    let at = group_at(host, &name)?;
    switch_at(host, &spec.vswitch_name)?;
    let renamed = spec.name != name;
    if renamed && group_at(host, &spec.name).is_ok() {
        return Err(already_exists("port group", &spec.name));
    }
    if renamed && network::has_vms_on(world, &me, &name) {
        return Err(in_use("port group", &name));
    }
    let group = group_of(spec);
    let new_name = group.name.clone();
    let net = &mut edit(world, call)?.net;
    net.port_groups[at] = group;
    if renamed {
        for vnic in net.vnics.iter_mut().filter(|vnic| vnic.spec.portgroup.as_deref() == Some(&name)) {
            vnic.spec.portgroup = Some(new_name.clone());
        }
        network::leave(world, &me, &name)?;
        network::join(world, &me, &new_name)?;
    }
    Ok(Reply::NONE)
}

fn remove_port_group(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("pgName")?;
    let me = part::host_of(world, call)?;
    let host = world.get::<Host>(&me)?;
    let at = group_at(host, &name)?;
    if host.net.is_for_host(&name) || network::has_vms_on(world, &me, &name) {
        return Err(in_use("port group", &name));
    }
    edit(world, call)?.net.port_groups.remove(at);
    network::leave(world, &me, &name)?;
    Ok(Reply::NONE)
}

/// Whether the adapter's port group, or its distributed switch, is one that the host has.
fn check_vnic(world: &World, me: &Moref, host: &Host, spec: &HostVirtualNicSpec) -> Outcome<()> {
    match (&spec.portgroup, &spec.distributed_virtual_port) {
        (Some(group), None) => group_at(host, group).map(|_| ()),
        (None, Some(port)) => {
            let member =
                dvs::by_uuid(world, &port.switch_uuid).is_some_and(|switch| dvs::has_member(world, &switch, me));
            if member { Ok(()) } else { Err(not_found("distributed switch", &port.switch_uuid)) }
        }
        _ => Err(Fault::invalid_argument("nic.portgroup")),
    }
}

fn add_vnic(world: &mut World, call: &Call) -> Outcome<Reply> {
    let group: String = call.arg("portgroup")?;
    let mut spec: HostVirtualNicSpec = call.arg("nic")?;
    if !group.is_empty() {
        spec.portgroup = Some(group);
    }
    let me = part::host_of(world, call)?;
    let host = world.get::<Host>(&me)?;
    check_vnic(world, &me, host, &spec)?;
    let taken = |index: &u64| host.net.vnics.iter().any(|vnic| vnic.device == format!("vmk{index}"));
    let index = (0..).find(|index| !taken(index)).unwrap_or_default();
    let device = format!("vmk{index}");
    spec.mac.get_or_insert_with(|| mac("00:50:56", host.number, index));
    spec.mtu.get_or_insert(1500);
    spec.net_stack_instance_key.get_or_insert_with(|| "defaultTcpipStack".to_owned());
    spec.tso_enabled.get_or_insert(true);
    edit(world, call)?.net.vnics.push(Vnic { device: device.clone(), spec, types: Vec::new() });
    Ok(Reply::of(device))
}

fn update_vnic(world: &mut World, call: &Call) -> Outcome<Reply> {
    let device: String = call.arg("device")?;
    let spec: HostVirtualNicSpec = call.arg("nic")?;
    let me = part::host_of(world, call)?;
    let host = world.get::<Host>(&me)?;
    let at = vnic_at(host, &device)?;
    let moves = spec.portgroup.is_some() || spec.distributed_virtual_port.is_some();
    if moves {
        check_vnic(world, &me, host, &spec)?;
    }
    let kept = &mut edit(world, call)?.net.vnics[at].spec;
    if moves {
        kept.portgroup = spec.portgroup;
        kept.distributed_virtual_port = spec.distributed_virtual_port;
    }
    if let Some(ip) = spec.ip {
        kept.ip = Some(ip);
    }
    kept.mac = spec.mac.or(kept.mac.take());
    kept.mtu = spec.mtu.or(kept.mtu);
    kept.tso_enabled = spec.tso_enabled.or(kept.tso_enabled);
    kept.ip_route_spec = spec.ip_route_spec.or(kept.ip_route_spec.take());
    Ok(Reply::NONE)
}

fn remove_vnic(world: &mut World, call: &Call) -> Outcome<Reply> {
    let device: String = call.arg("device")?;
    let host = part::host(world, call)?;
    let at = vnic_at(host, &device)?;
    // Without it vCenter would lose the host.
    if device == "vmk0" {
        return Err(in_use("virtual adapter", &device));
    }
    edit(world, call)?.net.vnics.remove(at);
    Ok(Reply::NONE)
}

fn update_dns(world: &mut World, call: &Call) -> Outcome<Reply> {
    let config: Poly<HostDnsConfig> = call.arg("config")?;
    if config.host_name.is_empty() {
        return Err(Fault::invalid_argument("config.hostName"));
    }
    edit(world, call)?.net.dns = config;
    Ok(Reply::NONE)
}

fn update_route(world: &mut World, call: &Call) -> Outcome<Reply> {
    let config: Poly<HostIpRouteConfig> = call.arg("config")?;
    edit(world, call)?.net.route = config;
    Ok(Reply::NONE)
}

/// What the physical switches say about themselves.
fn hints(world: &World, call: &Call) -> Outcome<Reply> {
    let asked: Vec<String> = call.arg("device")?;
    let host = part::host(world, call)?;
    let nics = host.nic_names();
    if let Some(unknown) = asked.iter().find(|device| !nics.contains(device)) {
        return Err(not_found("physical NIC", unknown));
    }
    let of = |(index, device): (usize, String)| {
        let mut ip = PhysicalNicIpHint { ip_subnet: "10.20.0.1-10.20.255.254".to_owned(), ..Default::default() };
        ip.vlan_id = Some(0);
        PhysicalNicHintInfo {
            subnet: vec![ip],
            connected_switch_port: Some(Box::new(PhysicalNicCdpInfo {
                dev_id: Some(format!("tor-{}(FDO2633A0{}Z)", index % 2 + 1, index % 2)),
                address: Some(format!("10.20.0.{}", 250 + index % 2)),
                port_id: Some(format!("Ethernet1/{}", host.number % 48 + 1)),
                hardware_platform: Some("N9K-C93180YC-FX3".to_owned()),
                software_version: Some("Cisco Nexus Operating System (NX-OS) Software".to_owned()),
                vlan: Some(1),
                full_duplex: Some(true),
                mtu: Some(9216),
                system_name: Some(format!("tor-{}", index % 2 + 1)),
                ..Default::default()
            })),
            device,
            ..Default::default()
        }
    };
    let chosen = nics.into_iter().enumerate().filter(|(_, nic)| asked.is_empty() || asked.contains(nic));
    Ok(Reply::list(chosen.map(of).collect()))
}

fn refresh(world: &World, call: &Call) -> Outcome<Reply> {
    part::host_of(world, call)?;
    Ok(Reply::NONE)
}
