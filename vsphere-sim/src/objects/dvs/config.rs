//! How distributed switches are made, changed and removed.

use std::time::Duration;

use vsphere_model::types::{
    Any, ConcurrentAccess, DVSConfigSpec, DVSCreateSpec, DVSNameArrayUplinkPortPolicy,
    DistributedVirtualSwitchHostMemberConfigSpec, DistributedVirtualSwitchHostMemberPnicBacking, DvsCreatedEvent,
    DvsDestroyedEvent, DvsHostJoinedEvent, DvsHostLeftEvent, DvsReconfiguredEvent, EntityEventArgument,
    FolderEventArgument, HostEventArgument, Poly, VMwareDVSConfigSpec,
};

use super::portgroup::{self, check_vlan};
use super::{Dvs, add, add_host, check_nics, in_use, manager, over, ports, remove_member};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::folder;
use crate::objects::host::Host;
use crate::objects::network;
use crate::world::{Moref, World, escaped};

pub(crate) const METHODS: Methods = &[
    ("Folder", "CreateDVS_Task", Handler::Write(create)),
    ("DistributedVirtualSwitch", "ReconfigureDvs_Task", Handler::Write(reconfigure)),
    ("DistributedVirtualSwitch", "EnableNetworkResourceManagement", Handler::Write(enable_resource_management)),
    ("DistributedVirtualSwitch", "Destroy_Task", Handler::Write(destroy)),
];

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: DVSCreateSpec = call.arg("spec")?;
    let name = spec.config_spec.name.clone().unwrap_or_default();
    let wanted = spec.product_info.as_ref().and_then(|product| product.version.clone());
    world.check_new_child(&call.target, &name, "DistributedVirtualSwitch")?;
    manager::product(world, wanted.as_deref())?;
    let (folder, user) = (call.target.clone(), call.user(world));
    call.task().takes(Duration::from_secs(2)).start(world, move |world| {
        world.check_new_child(&folder, &name, "DistributedVirtualSwitch")?;
        let product = manager::product(world, wanted.as_deref())?;
        let dvs = add(world, &name, &folder)?;
        world.edit::<Dvs>(&dvs)?.config.product_info = product;
        if let Err(fault) = apply(world, &dvs, &spec.config_spec, &user) {
            forget(world, &dvs, &user)?;
            return Err(fault);
        }
        let mut parent = FolderEventArgument { folder: folder.clone(), ..Default::default() };
        parent.name.clone_from(&world.entity(&folder)?.name);
        let event = DvsCreatedEvent { parent, ..Default::default() };
        world.post(&dvs, &user, event, format!("A vSphere Distributed Switch {name} was created"));
        for uplinks in world.get::<Dvs>(&dvs)?.config.uplink_portgroup.clone() {
            portgroup::tell_added(world, &uplinks, &user);
        }
        Ok(dvs.into())
    })
}

fn reconfigure(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: Poly<DVSConfigSpec> = call.arg("spec")?;
    let (dvs, user) = (call.target.clone(), call.user(world));
    call.task().alone_with(&dvs).takes(Duration::from_secs(2)).start(world, move |world| {
        let switch: &Dvs = world.get(&dvs)?;
        if let Some(version) = spec.config_version.as_ref().filter(|version| !version.is_empty())
            && *version != switch.version.to_string()
        {
            let message = "The switch has been changed by someone else: read it again.";
            return Err(Fault::new(ConcurrentAccess::default(), message));
        }
        if let Some(name) = spec.name.as_ref().filter(|name| escaped(name) != switch.entity.name) {
            let folder = switch.entity.parent.clone().unwrap_or_default();
            if let Some(object) = world.child_named(&folder, name) {
                return Err(folder::duplicate(name, &object));
            }
        }
        apply(world, &dvs, &spec, &user)?;
        let message = format!("The vSphere Distributed Switch {} was reconfigured", world.entity(&dvs)?.name);
        let event = DvsReconfiguredEvent { config_spec: spec, ..Default::default() };
        world.post(&dvs, &user, event, message);
        Ok(Any::Unset)
    })
}

fn apply(world: &mut World, dvs: &Moref, spec: &Poly<DVSConfigSpec>, user: &str) -> Outcome<()> {
    check_vlan(spec.default_port_config.as_ref())?;
    let vmware = spec.downcast_ref::<VMwareDVSConfigSpec>();
    if vmware.and_then(|spec| spec.max_mtu).is_some_and(|mtu| !(1280..=9000).contains(&mtu)) {
        return Err(Fault::invalid_argument("spec.maxMtu"));
    }
    let uplinks = spec.uplink_port_policy.as_ref();
    let names = uplinks.and_then(|policy| policy.downcast_ref::<DVSNameArrayUplinkPortPolicy>());
    if names.is_some_and(|names| names.uplink_port_name.is_empty() || names.uplink_port_name.len() > 32) {
        return Err(Fault::invalid_argument("spec.uplinkPortPolicy"));
    }
    check_hosts(world, dvs, &spec.host)?;
    if let Some(name) = &spec.name {
        world.rename(dvs, name, user)?;
    }
    let switch = world.edit::<Dvs>(dvs)?;
    switch.version += 1;
    let config = &mut switch.config;
    if let Some(setting) = &spec.default_port_config {
        config.default_port_config = over(Some(setting), &config.default_port_config);
    }
    if let Some(uplinks) = uplinks {
        config.uplink_port_policy = uplinks.clone();
    }
    config.description = spec.description.clone().or(config.description.take());
    config.num_standalone_ports = spec.num_standalone_ports.unwrap_or(config.num_standalone_ports);
    config.max_ports = spec.max_ports.unwrap_or(config.max_ports);
    config.extension_key = spec.extension_key.clone().or(config.extension_key.take());
    config.policy = spec.policy.clone().or(config.policy.take());
    config.switch_ip_address = spec.switch_ip_address.clone().or(config.switch_ip_address.take());
    if let Some(contact) = &spec.contact {
        config.contact = (**contact).clone();
    }
    if let Some(version) = &spec.network_resource_control_version {
        config.network_resource_control_version = Some(version.clone());
    }
    if let Some(vmware) = vmware {
        config.max_mtu = vmware.max_mtu.unwrap_or(config.max_mtu);
        macro_rules! take {
            ($($field:ident),+) => { $(if vmware.$field.is_some() { config.$field = vmware.$field.clone(); })+ };
        }
        take!(link_discovery_protocol_config, ipfix_config, lacp_api_version, multicast_filtering_mode);
    }
    for change in &spec.host {
        change_host(world, dvs, change, user)?;
    }
    Ok(())
}

/// The NICs that a member brings.
fn nics(change: &DistributedVirtualSwitchHostMemberConfigSpec) -> Option<Vec<String>> {
    let backing = change.backing.as_ref()?.downcast_ref::<DistributedVirtualSwitchHostMemberPnicBacking>()?;
    Some(backing.pnic_spec.iter().map(|spec| spec.pnic_device.clone()).collect())
}

/// Whether all changes of members can be made, before the first one is.
fn check_hosts(world: &World, dvs: &Moref, changes: &[DistributedVirtualSwitchHostMemberConfigSpec]) -> Outcome<()> {
    let switch: &Dvs = world.get(dvs)?;
    for change in changes {
        let found: &Host = world.get(&change.host)?;
        let is_member = switch.has(&change.host);
        match change.operation.as_str() {
            "add" if !is_member => check_nics(world, dvs, &change.host, &nics(change).unwrap_or_default())?,
            "edit" if is_member => check_nics(world, dvs, &change.host, &nics(change).unwrap_or_default())?,
            "remove" if is_member => {
                if ports::uses(world, switch, Some(&change.host)) {
                    return Err(in_use("HostSystem", &found.address()));
                }
            }
            _ => return Err(Fault::invalid_argument("spec.host.operation")),
        }
    }
    Ok(())
}

fn change_host(
    world: &mut World,
    dvs: &Moref,
    change: &DistributedVirtualSwitchHostMemberConfigSpec,
    user: &str,
) -> Outcome<()> {
    let name = world.entity(&change.host)?.name.clone();
    let switch_name = world.entity(dvs)?.name.clone();
    let argument = HostEventArgument {
        base: EntityEventArgument { name: name.clone(), ..Default::default() },
        host: change.host.clone(),
    };
    match change.operation.as_str() {
        "add" => {
            add_host(world, dvs, &change.host, &nics(change).unwrap_or_default())?;
            let event = DvsHostJoinedEvent { host_joined: argument, ..Default::default() };
            world.post(
                dvs,
                user,
                event,
                format!("The host {name} joined the vSphere Distributed Switch {switch_name}"),
            );
        }
        "remove" => {
            remove_member(world, dvs, &change.host)?;
            let event = DvsHostLeftEvent { host_left: argument, ..Default::default() };
            world.post(dvs, user, event, format!("The host {name} left the vSphere Distributed Switch {switch_name}"));
        }
        _ => {
            let members = &mut world.edit::<Dvs>(dvs)?.members;
            if let (Some(nics), Some(member)) =
                (nics(change), members.iter_mut().find(|member| member.host == change.host))
            {
                member.nics = nics;
            }
        }
    }
    // Its own switches show in the host's network.
    world.touch_host_network(&change.host);
    Ok(())
}

fn enable_resource_management(world: &mut World, call: &Call) -> Outcome<Reply> {
    let enable: bool = call.arg("enable")?;
    world.edit::<Dvs>(&call.target)?.config.network_resource_management_enabled = Some(enable);
    Ok(Reply::NONE)
}

fn check_unused(world: &World, dvs: &Moref) -> Outcome<()> {
    let switch: &Dvs = world.get(dvs)?;
    if ports::uses(world, switch, None) {
        return Err(in_use("VmwareDistributedVirtualSwitch", &switch.entity.name));
    }
    Ok(())
}

fn destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (dvs, user) = (call.target.clone(), call.user(world));
    check_unused(world, &dvs)?;
    call.task().alone_with(&dvs).takes(Duration::from_secs(1)).start(world, move |world| {
        check_unused(world, &dvs)?;
        let name = world.entity(&dvs)?.name.clone();
        world.post(
            &dvs,
            &user,
            DvsDestroyedEvent::default(),
            format!("The vSphere Distributed Switch {name} was deleted"),
        );
        forget(world, &dvs, &user)?;
        Ok(Any::Unset)
    })
}

/// Takes a switch out of the inventory, with its port groups.
fn forget(world: &mut World, dvs: &Moref, user: &str) -> Outcome<()> {
    for group in world.get::<Dvs>(dvs)?.portgroups.clone() {
        super::portgroup_leaves(world, &group, user)?;
        network::forget(world, &group)?;
    }
    let hosts: Vec<Moref> = world.get::<Dvs>(dvs)?.members.iter().map(|member| member.host.clone()).collect();
    world.unhang(dvs)?;
    world.remove(dvs);
    for host in hosts {
        world.touch_host_network(&host);
    }
    Ok(())
}
