//! Distributed port groups.

use std::time::Duration;

use vsphere_model::types::{
    Any, ConcurrentAccess, DVPortSetting, DVPortgroupConfigInfo, DVPortgroupConfigSpec, DVPortgroupCreatedEvent,
    DVPortgroupPolicy, DVPortgroupReconfiguredEvent, NumericRange, Poly, Tag, VMwareDVSPortSetting,
    VMwareDVSPortgroupPolicy, VmwareDistributedVirtualSwitchTrunkVlanSpec, VmwareDistributedVirtualSwitchVlanIdSpec,
};

use super::{Dvs, over, ports};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::folder;
use crate::objects::network::{self, Network};
use crate::world::{Managed, Moref, World, escaped};

pub(crate) const METHODS: Methods = &[
    ("DistributedVirtualSwitch", "AddDVPortgroup_Task", Handler::Write(add_several)),
    ("DistributedVirtualSwitch", "CreateDVPortgroup_Task", Handler::Write(create)),
    ("DistributedVirtualPortgroup", "ReconfigureDVPortgroup_Task", Handler::Write(reconfigure)),
];

/// How many ports a new port group has.
const PORTS: i32 = 8;

/// Adds a port group for this VLAN (0 is none) to a switch. All hosts of the switch have it.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn add(world: &mut World, dvs: &Moref, name: &str, vlan: i32) -> Outcome<Moref> {
    let setting = VMwareDVSPortSetting {
        vlan: Some(Poly::new(VmwareDistributedVirtualSwitchVlanIdSpec { vlan_id: vlan, ..Default::default() })),
        ..Default::default()
    };
    let spec = DVPortgroupConfigSpec {
        name: Some(name.to_owned()),
        default_port_config: Some(Poly::new(setting)),
        ..Default::default()
    };
    add_to(world, dvs, &spec)
}

/// Adds the port group of the uplinks, which carry all VLANs.
pub(super) fn add_uplinks(world: &mut World, dvs: &Moref, name: &str) -> Outcome<Moref> {
    let all = NumericRange { start: 0, end: 4094 };
    let setting = VMwareDVSPortSetting {
        vlan: Some(Poly::new(VmwareDistributedVirtualSwitchTrunkVlanSpec { vlan_id: vec![all], ..Default::default() })),
        ..Default::default()
    };
    let spec = DVPortgroupConfigSpec {
        name: Some(name.to_owned()),
        num_ports: Some(0),
        default_port_config: Some(Poly::new(setting)),
        auto_expand: Some(false),
        ..Default::default()
    };
    let group = add_to(world, dvs, &spec)?;
    let network = world.edit::<Network>(&group)?;
    if let Some(config) = &mut network.portgroup {
        config.uplink = Some(true);
    }
    // By this clients tell it from the others.
    if let Some(entity) = Managed::entity_mut(network) {
        entity.tags.push(Tag { key: "SYSTEM/DVS.UPLINKPG".to_owned() });
    }
    Ok(group)
}

/// Keeps with a port group how many ports it has.
pub(super) fn set_count(world: &mut World, group: &Moref, count: i32) -> Outcome<()> {
    if let Some(config) = &mut world.edit::<Network>(group)?.portgroup {
        config.num_ports = count;
    }
    Ok(())
}

fn add_to(world: &mut World, dvs: &Moref, spec: &DVPortgroupConfigSpec) -> Outcome<Moref> {
    let switch: &Dvs = world.get(dvs)?;
    let setting = over(spec.default_port_config.as_ref(), &switch.config.default_port_config);
    let Some(folder) = switch.entity.parent.clone() else { return Err(Fault::not_found(dvs)) };
    let hosts: Vec<Moref> = switch.members.iter().map(|member| member.host.clone()).collect();
    let name = spec.name.clone().unwrap_or_default();
    let ports = spec.num_ports.unwrap_or(PORTS);
    let type_ = spec.type_.clone().unwrap_or_else(|| "earlyBinding".to_owned());
    let config = DVPortgroupConfigInfo {
        name: name.clone(),
        num_ports: ports,
        distributed_virtual_switch: Some(dvs.clone()),
        default_port_config: Some(setting),
        description: spec.description.clone(),
        auto_expand: spec.auto_expand.or(Some(type_ == "earlyBinding")),
        type_,
        backing_type: spec.backing_type.clone().or_else(|| Some("standard".to_owned())),
        policy: spec.policy.clone().unwrap_or_else(default_policy),
        port_name_format: spec.port_name_format.clone(),
        scope: spec.scope.clone(),
        config_version: Some("0".to_owned()),
        vm_vnic_network_resource_pool_key: Some("-1".to_owned()),
        uplink: Some(false),
        ..Default::default()
    };
    let group = network::put(world, "dvportgroup-", &name, &folder, Some(config), None)?;
    let switch = world.edit::<Dvs>(dvs)?;
    switch.portgroups.push(group.clone());
    switch.set_ports(&group, ports);
    for host in &hosts {
        world.connect_network(&group, host)?;
    }
    Ok(group)
}

fn default_policy() -> Poly<DVPortgroupPolicy> {
    Poly::new(VMwareDVSPortgroupPolicy {
        base: DVPortgroupPolicy {
            block_override_allowed: true,
            port_config_reset_at_disconnect: true,
            ..Default::default()
        },
        ..Default::default()
    })
}

/// Whether the numbers and names of a specification make sense.
fn check_spec(spec: &DVPortgroupConfigSpec) -> Outcome<()> {
    if spec.num_ports.is_some_and(|ports| !(0..=8192).contains(&ports)) {
        return Err(Fault::invalid_argument("spec.numPorts"));
    }
    let types = ["earlyBinding", "lateBinding", "ephemeral"];
    if spec.type_.as_ref().is_some_and(|type_| !types.contains(&type_.as_str())) {
        return Err(Fault::invalid_argument("spec.type"));
    }
    check_vlan(spec.default_port_config.as_ref())
}

/// Whether VLANs are in their range.
pub(super) fn check_vlan(setting: Option<&Poly<DVPortSetting>>) -> Outcome<()> {
    let vlan = setting.and_then(|setting| setting.downcast_ref::<VMwareDVSPortSetting>()?.vlan.as_ref());
    let Some(vlan) = vlan else { return Ok(()) };
    let valid = |id: i32| (0..=4094).contains(&id);
    let one = vlan.downcast_ref::<VmwareDistributedVirtualSwitchVlanIdSpec>().is_none_or(|vlan| valid(vlan.vlan_id));
    let trunk = vlan.downcast_ref::<VmwareDistributedVirtualSwitchTrunkVlanSpec>().is_none_or(|vlan| {
        vlan.vlan_id.iter().all(|range| valid(range.start) && valid(range.end) && range.start <= range.end)
    });
    if one && trunk { Ok(()) } else { Err(Fault::invalid_argument("spec.defaultPortConfig.vlan")) }
}

/// Whether a new port group of the switch may have this name.
fn check_name(world: &World, dvs: &Moref, name: &str) -> Outcome<()> {
    let folder = world.entity(dvs)?.parent.clone().ok_or_else(|| Fault::not_found(dvs))?;
    folder::check_name(name, Some(dvs))?;
    match world.child_named(&folder, name) {
        Some(object) => Err(folder::duplicate(name, &object)),
        None => Ok(()),
    }
}

fn make(world: &mut World, dvs: &Moref, spec: &DVPortgroupConfigSpec, user: &str) -> Outcome<Moref> {
    let name = spec.name.clone().unwrap_or_default();
    check_name(world, dvs, &name)?;
    let group = add_to(world, dvs, spec)?;
    tell_added(world, &group, user);
    Ok(group)
}

/// A port group has come to its switch.
pub(super) fn tell_added(world: &mut World, group: &Moref, user: &str) {
    let name = world.name_of(group);
    let switch = world.get::<Network>(group).ok().and_then(|group| group.portgroup.as_ref());
    let switch = switch.and_then(|config| config.distributed_virtual_switch.clone()).unwrap_or_default();
    let message = format!("dvPort group {name} was added to switch {}", world.name_of(&switch));
    world.post(group, user, DVPortgroupCreatedEvent::default(), message);
}

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: DVPortgroupConfigSpec = call.arg("spec")?;
    check_spec(&spec)?;
    check_name(world, &call.target, spec.name.as_deref().unwrap_or_default())?;
    let (dvs, user) = (call.target.clone(), call.user(world));
    call.task().takes(Duration::from_secs(1)).start(world, move |world| Ok(make(world, &dvs, &spec, &user)?.into()))
}

fn add_several(world: &mut World, call: &Call) -> Outcome<Reply> {
    let specs: Vec<DVPortgroupConfigSpec> = call.arg("spec")?;
    for spec in &specs {
        check_spec(spec)?;
        check_name(world, &call.target, spec.name.as_deref().unwrap_or_default())?;
    }
    let (dvs, user) = (call.target.clone(), call.user(world));
    call.task().takes(Duration::from_secs(1)).start(world, move |world| {
        for spec in &specs {
            make(world, &dvs, spec, &user)?;
        }
        Ok(Any::Unset)
    })
}

fn reconfigure(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: DVPortgroupConfigSpec = call.arg("spec")?;
    check_spec(&spec)?;
    let (group, user) = (call.target.clone(), call.user(world));
    call.task().alone_with(&group).takes(Duration::from_secs(1)).start(world, move |world| {
        apply(world, &group, &spec, &user)?;
        let message = format!("dvPort group {} was reconfigured", world.entity(&group)?.name);
        let event = DVPortgroupReconfiguredEvent { config_spec: spec, ..Default::default() };
        world.post(&group, &user, event, message);
        Ok(Any::Unset)
    })
}

fn apply(world: &mut World, group: &Moref, spec: &DVPortgroupConfigSpec, user: &str) -> Outcome<()> {
    let found = world.get::<Network>(group)?.portgroup.as_ref();
    let config = found.ok_or_else(|| Fault::not_found(group))?;
    let Some(dvs) = config.distributed_virtual_switch.clone() else { return Err(Fault::not_found(group)) };
    if let Some(version) = spec.config_version.as_ref().filter(|version| !version.is_empty())
        && config.config_version.as_ref() != Some(version)
    {
        let message = "The port group has been changed by someone else: read it again.";
        return Err(Fault::new(ConcurrentAccess::default(), message));
    }
    let ports = spec.num_ports.unwrap_or(config.num_ports);
    if usize::try_from(ports).unwrap_or_default() < ports::taken(world, group).len() {
        return Err(super::in_use("port group", &config.key));
    }
    let renamed = spec.name.clone().filter(|name| world.entity(group).is_ok_and(|entity| entity.name != escaped(name)));
    if let Some(name) = &renamed {
        check_name(world, &dvs, name)?;
    }
    let outer = config.default_port_config.clone().unwrap_or_default();
    let setting = over(spec.default_port_config.as_ref(), &outer);
    world.edit::<Dvs>(&dvs)?.set_ports(group, ports);
    if let Some(name) = renamed {
        world.rename(group, &name, user)?;
    }
    let Some(config) = &mut world.edit::<Network>(group)?.portgroup else { return Err(Fault::not_found(group)) };
    config.num_ports = ports;
    config.default_port_config = Some(setting);
    config.description = spec.description.clone().or(config.description.take());
    config.auto_expand = spec.auto_expand.or(config.auto_expand);
    if let Some(type_) = &spec.type_ {
        config.type_.clone_from(type_);
    }
    if let Some(policy) = &spec.policy {
        config.policy = policy.clone();
    }
    if spec.port_name_format.is_some() {
        config.port_name_format.clone_from(&spec.port_name_format);
    }
    let version: u32 = config.config_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default();
    config.config_version = Some((version + 1).to_string());
    Ok(())
}
