//! The end of a virtual machine: with its files, or only in the inventory.

use std::time::Duration;

use vsphere_model::types::{Any, VirtualMachinePowerState, VmRemovedEvent};

use super::files::Place;
use super::snapshot::{self, Snapshot};
use super::{Vm, chain, power};
use crate::call::{Call, Reply};
use crate::fault::Outcome;
use crate::objects::datastore::Datastore;
use crate::objects::host::Host;
use crate::objects::network::Network;
use crate::objects::resource_pool::ResourcePool;
use crate::world::{Moref, World};

pub(super) fn destroy_task(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let user = call.user(world);
    check_removal(world, &vm)?;
    call.task().alone_with(&vm).takes(Duration::from_secs(1)).start(world, move |world| {
        check_removal(world, &vm)?;
        destroy(world, &vm, &user)?;
        Ok(Any::Unset)
    })
}

pub(super) fn unregister_now(world: &mut World, call: &Call) -> Outcome<Reply> {
    check_removal(world, &call.target)?;
    power::must_be_idle(world, &call.target)?;
    let user = call.user(world);
    unregister(world, &call.target, &user)?;
    Ok(Reply::NONE)
}

/// Whether the machine can go.
///
/// # Errors
/// `InvalidPowerState` where it runs.
pub(crate) fn check_removal(world: &World, vm: &Moref) -> Outcome<()> {
    use VirtualMachinePowerState::{PoweredOff, Suspended};
    world.get::<Vm>(vm)?.must_be(&[PoweredOff, Suspended], Some(PoweredOff))
}

/// Removes a machine with its files.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn destroy(world: &mut World, vm: &Moref, user: &str) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    let snapshots = machine.snapshots();
    let configs = snapshots.iter().filter_map(|snapshot| Some(&world.get::<Snapshot>(snapshot).ok()?.config));
    let disks = chain::all_files(std::iter::once(&machine.config).chain(configs));
    let tops: Vec<String> =
        chain::disks(&machine.config).filter_map(|disk| chain::files(disk).into_iter().next()).collect();
    let vmx = world.vmx_of(vm).ok();
    let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let home = vmx.as_ref().and_then(|vmx| folder(&world.place_text(vmx)));
    // What a linked clone stands on in another machine's folder is that machine's.
    let own = disks.iter().filter(|path| {
        tops.contains(path) || folder(path) == home || tops.iter().any(|top| folder(top) == folder(path))
    });
    let disks: Vec<Place> = own.filter_map(|path| world.place_among(&machine.datastores, path).ok()).collect();
    let others = machine.plain_files(world);
    tell(world, vm, user);
    leave(world, vm)?;
    for place in &disks {
        // Somebody may have deleted it behind the machine's back.
        let _ = world.datastore_of(place)?.remove_disk(&place.path);
    }
    for place in &others {
        let _ = world.datastore_of(place)?.remove_tree(&place.path);
    }
    for place in vmx.iter().chain(&disks) {
        // What others have put there stays.
        let datastore = world.datastore_of(place)?;
        if !place.folder().is_empty() && datastore.files().children(place.folder()).next().is_none() {
            let _ = datastore.remove_tree(place.folder());
        }
    }
    Ok(())
}

/// Takes a machine out of the inventory. Its files stay, and it can be registered again.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn unregister(world: &mut World, vm: &Moref, user: &str) -> Outcome<()> {
    if let Ok(vmx) = world.vmx_of(vm) {
        let config = world.get::<Vm>(vm)?.config.clone();
        world.shelf.insert(vmx, Box::new(config));
    }
    tell(world, vm, user);
    leave(world, vm)
}

fn tell(world: &mut World, vm: &Moref, user: &str) {
    let message =
        format!("Removed {} on {} from the inventory", world.name_of(vm), super::reconfigure::host_name(world, vm));
    world.post(vm, user, VmRemovedEvent::default(), message);
}

/// Removes a machine from everything that knows it, and from the world.
fn leave(world: &mut World, vm: &Moref) -> Outcome<()> {
    let machine = world.get::<Vm>(vm)?;
    let (host, pool) = (machine.runtime.host.clone(), machine.pool.clone());
    let (datastores, networks) = (machine.datastores.clone(), machine.networks.clone());
    if let Some(host) = host.and_then(|host| world.edit::<Host>(&host).ok()) {
        host.vms.retain(|other| other != vm);
    }
    if let Some(pool) = pool.and_then(|pool| world.edit::<ResourcePool>(&pool).ok()) {
        pool.vms.retain(|other| other != vm);
    }
    for datastore in datastores {
        if let Ok(datastore) = world.edit::<Datastore>(&datastore) {
            datastore.vms.retain(|other| other != vm);
        }
    }
    for network in networks {
        if let Ok(network) = world.edit::<Network>(&network) {
            network.vms.retain(|other| other != vm);
        }
    }
    snapshot::forget(world, vm);
    world.remove(&super::environment::browser_of(vm));
    world.unhang(vm)?;
    world.remove(vm);
    Ok(())
}
