//! How hosts come into the inventory and go, and whether vCenter reaches them.

use std::time::Duration;

use vsphere_model::types::{
    AlreadyConnected, Any, ComputeResourceConfigSpec, HostAddedEvent, HostConnectSpec, HostConnectedEvent,
    HostDisconnectedEvent, HostNotConnected, HostNotReachable, HostRemovedEvent, HostSystemConnectionState,
    InvalidLogin, InvalidState, NoHost, Poly, SSLVerifyFault, VirtualMachineConnectionState,
};

use super::{Host, Profile, attach, certificate, part};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::{self, Compute};
use crate::objects::datacenter::Datacenter;
use crate::objects::datastore::Datastore;
use crate::objects::vm::{self, Vm};
use crate::objects::{dvs, network};
use crate::world::{Moref, World, escaped};

pub(crate) const METHODS: Methods = &[
    ("Folder", "AddStandaloneHost_Task", Handler::Write(add_standalone)),
    ("ClusterComputeResource", "AddHost_Task", Handler::Write(add_to_cluster)),
    ("HostSystem", "DisconnectHost_Task", Handler::Write(disconnect)),
    ("HostSystem", "ReconnectHost_Task", Handler::Write(reconnect)),
    ("HostSystem", "Destroy_Task", Handler::Write(destroy)),
];

/// Whether vCenter can ask the host something.
///
/// # Errors
/// `ManagedObjectNotFound`, `HostNotConnected` and `HostNotReachable`.
pub(crate) fn check_reachable(world: &World, host: &Moref) -> Outcome<()> {
    match world.get::<Host>(host)?.runtime.connection_state {
        HostSystemConnectionState::Connected => Ok(()),
        HostSystemConnectionState::Disconnected => {
            let message = "The host is not connected: reconnect it first.";
            Err(Fault::new(HostNotConnected::default(), message))
        }
        _ => Err(Fault::new(HostNotReachable::default(), "The host does not respond.")),
    }
}

fn invalid_state(message: &str) -> Fault {
    Fault::new(InvalidState::default(), message)
}

/// What must be right before a host is asked to come in.
fn check_spec(world: &World, spec: &HostConnectSpec) -> Outcome<String> {
    let name = spec.host_name.clone().unwrap_or_default();
    if name.is_empty() {
        let message = "A host has no name: give its DNS name or its address.";
        return Err(Fault::new(NoHost { name: spec.host_name.clone(), ..Default::default() }, message));
    }
    let verified = world.settings.rules.verifies_hosts();
    if verified && spec.user_name.as_deref().unwrap_or_default().is_empty() {
        let message = "Cannot complete login due to an incorrect user name or password.";
        return Err(Fault::new(InvalidLogin::default(), message));
    }
    // The hosts' certificates are of vCenter's own authority, so that none needs to be told. One that is told is compared.
    let actual = certificate::thumbprint(&name);
    if verified && spec.ssl_thumbprint.as_ref().is_some_and(|told| !told.is_empty() && *told != actual) {
        let fault = SSLVerifyFault { self_signed: false, thumbprint: Some(actual), ..Default::default() };
        return Err(Fault::new(fault, "The host's certificate has another thumbprint."));
    }
    let taken = world.all::<Host>().into_iter().any(|(_, host)| host.entity.name == escaped(&name));
    if taken {
        let message = format!("The host '{name}' is in the inventory already.");
        return Err(Fault::new(AlreadyConnected { name, ..Default::default() }, message));
    }
    Ok(name)
}

/// Brings a host in: with the network that each fresh host has for machines, and in the state that the caller wants.
fn bring_in(world: &mut World, name: &str, compute: &Moref, connected: bool, user: &str) -> Outcome<Moref> {
    let neighbour = world.get::<Compute>(compute)?.hosts.first().and_then(|host| world.get::<Host>(host).ok());
    let profile = Profile::for_new(name, neighbour.map(|host| &host.hardware));
    let host = super::add_with(world, name, compute, &profile)?;
    network::join(world, &host, "VM Network")?;
    world.post(&host, user, HostAddedEvent::default(), format!("Added host {name}"));
    if connected {
        world.post(&host, user, HostConnectedEvent::default(), format!("Connected to host {name}"));
    } else {
        world.edit::<Host>(&host)?.runtime.connection_state = HostSystemConnectionState::Disconnected;
    }
    Ok(host)
}

fn add_standalone(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: HostConnectSpec = call.arg("spec")?;
    let config: Option<Poly<ComputeResourceConfigSpec>> = call.opt("compResSpec")?;
    let connected: bool = call.arg("addConnected")?;
    world.check_new_child(&call.target, spec.host_name.as_deref().unwrap_or_default(), "ComputeResource")?;
    check_spec(world, &spec)?;
    let (folder, user) = (call.target.clone(), call.user(world));
    call.task().takes(Duration::from_secs(20)).start(world, move |world| {
        let name = check_spec(world, &spec)?;
        world.check_new_child(&folder, &name, "ComputeResource")?;
        let compute = compute::add(world, &name, &folder, None)?;
        if let Some(placement) = config.as_ref().and_then(|config| config.vm_swap_placement.as_ref()) {
            world.edit::<Compute>(&compute)?.swap_placement.clone_from(placement);
        }
        bring_in(world, &name, &compute, connected, &user)?;
        Ok(compute.into())
    })
}

fn add_to_cluster(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: HostConnectSpec = call.arg("spec")?;
    let connected: bool = call.arg("asConnected")?;
    check_spec(world, &spec)?;
    let (cluster, user) = (call.target.clone(), call.user(world));
    call.task().takes(Duration::from_secs(20)).start(world, move |world| {
        let name = check_spec(world, &spec)?;
        Ok(bring_in(world, &name, &cluster, connected, &user)?.into())
    })
}

/// Sets whether vCenter reaches the host, and with it its machines.
pub(super) fn set_connection(world: &mut World, host: &Moref, state: HostSystemConnectionState) -> Outcome<()> {
    let of_vms = match state {
        HostSystemConnectionState::Connected => VirtualMachineConnectionState::Connected,
        _ => VirtualMachineConnectionState::Disconnected,
    };
    let edited = world.edit::<Host>(host)?;
    edited.runtime.connection_state = state;
    for vm in edited.vms.clone() {
        world.edit::<Vm>(&vm)?.runtime.connection_state = of_vms.clone();
    }
    touch_compute(world, host);
    Ok(())
}

/// Marks the compute resource of a host as changed: its summary counts the hosts that work.
pub(super) fn touch_compute(world: &mut World, host: &Moref) {
    if let Some((compute, _)) = world.nearest::<Compute>(host) {
        world.touch(&compute);
    }
}

fn disconnect(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (host, user) = (call.target.clone(), call.user(world));
    call.task().alone_with(&host).takes(Duration::from_secs(2)).start(world, move |world| {
        if world.get::<Host>(&host)?.runtime.connection_state != HostSystemConnectionState::Connected {
            return Err(invalid_state("The host is not connected."));
        }
        set_connection(world, &host, HostSystemConnectionState::Disconnected)?;
        let message = format!("Disconnected from host {}", world.entity(&host)?.name);
        world.post(&host, &user, HostDisconnectedEvent::default(), message);
        Ok(Any::Unset)
    })
}

fn reconnect(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (host, user) = (call.target.clone(), call.user(world));
    call.task().alone_with(&host).takes(Duration::from_secs(5)).start(world, move |world| {
        let runtime = &world.get::<Host>(&host)?.runtime;
        if runtime.connection_state == HostSystemConnectionState::Connected {
            return Err(invalid_state("The host is connected already."));
        }
        if !super::power::is_on(runtime) {
            let message = "The host does not respond: it is not powered on.";
            return Err(Fault::new(HostNotReachable::default(), message));
        }
        set_connection(world, &host, HostSystemConnectionState::Connected)?;
        let message = format!("Established a connection to host {}", world.entity(&host)?.name);
        world.post(&host, &user, HostConnectedEvent::default(), message);
        Ok(Any::Unset)
    })
}

fn destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (host, user) = (call.target.clone(), call.user(world));
    let check = |world: &World, host: &Moref| {
        // A host of its own goes with the compute resource that it stands in.
        let lone = world.nearest::<Compute>(host).is_none_or(|(_, compute)| compute.cluster.is_none());
        let idle = world.get::<Host>(host)?;
        if lone {
            return Err(Fault::not_supported("Destroy_Task on a host of its own; destroy its compute resource"));
        }
        if idle.is_usable() {
            return Err(invalid_state("The host is in use: enter maintenance mode, or disconnect it first."));
        }
        Ok(())
    };
    check(world, &host)?;
    call.task().alone_with(&host).takes(Duration::from_secs(3)).start(world, move |world| {
        check(world, &host)?;
        remove(world, &host, &user)?;
        Ok(Any::Unset)
    })
}

/// Takes a host out of the inventory, with the machines that are registered on it.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn remove(world: &mut World, host: &Moref, user: &str) -> Outcome<()> {
    let message = format!("Removed host {}", world.entity(host)?.name);
    world.post(host, user, HostRemovedEvent::default(), message);
    for vm in world.get::<Host>(host)?.vms.clone() {
        vm::unregister(world, &vm, user)?;
    }
    dvs::forget_host(world, host)?;
    let (datastores, networks, number, browser) = {
        let host: &Host = world.get(host)?;
        (host.datastores.clone(), host.networks.clone(), host.number, host.browser.clone())
    };
    for datastore in &datastores {
        world.edit::<Datastore>(datastore)?.mounts.retain(|mount| mount.key != *host);
    }
    for network in &networks {
        world.disconnect_network(network, host)?;
    }
    detach(world, host)?;
    part::remove_all(world, number);
    world.remove(&browser);
    world.remove(host);
    Ok(())
}

/// Takes a host out of its compute resource, which lists no more what only this host saw.
pub(in crate::objects) fn detach(world: &mut World, host: &Moref) -> Outcome<()> {
    let Some((compute, _)) = world.nearest::<Compute>(host) else { return Ok(()) };
    world.edit::<Compute>(&compute)?.hosts.retain(|other| other != host);
    let hosts = world.get::<Compute>(&compute)?.hosts.clone();
    let hosts: Vec<&Host> = hosts.iter().filter_map(|host| world.get(host).ok()).collect();
    let seen = |list: fn(&Host) -> &Vec<Moref>, one: &Moref| hosts.iter().any(|host| list(host).contains(one));
    let compute_now: &Compute = world.get(&compute)?;
    let keep = |all: &[Moref], list| all.iter().filter(|one| seen(list, one)).cloned().collect::<Vec<_>>();
    let datastores = keep(&compute_now.datastores, |host| &host.datastores);
    let networks = keep(&compute_now.networks, |host| &host.networks);
    let edited = world.edit::<Compute>(&compute)?;
    // An empty cluster keeps what was given to it: its next host is to see the same.
    if !edited.hosts.is_empty() {
        edited.datastores = datastores;
        edited.networks = networks;
    }
    Ok(())
}

/// Moves a host to another compute resource.
pub(in crate::objects) fn transfer(world: &mut World, host: &Moref, compute: &Moref) -> Outcome<()> {
    detach(world, host)?;
    attach(world, host, compute)?;
    let (datastores, networks) = {
        let host: &Host = world.get(host)?;
        (host.datastores.clone(), host.networks.clone())
    };
    let compute = world.edit::<Compute>(compute)?;
    let add = |list: &mut Vec<Moref>, more: Vec<Moref>| {
        for one in more {
            if !list.contains(&one) {
                list.push(one);
            }
        }
    };
    add(&mut compute.datastores, datastores);
    add(&mut compute.networks, networks);
    Ok(())
}

/// The datacenter that a host is in.
pub(in crate::objects) fn datacenter_of(world: &World, host: &Moref) -> Outcome<Moref> {
    world.nearest::<Datacenter>(host).map(|(found, _)| found).ok_or_else(|| Fault::not_found(host))
}
