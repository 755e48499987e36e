//! How hosts move into a cluster.

use std::time::Duration;

use vsphere_model::types::{Any, ClusterHostGroup, InvalidState};

use super::{Compute, config};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::folder;
use crate::objects::host::{self, Host};
use crate::objects::resource_pool::{self, ResourcePool};
use crate::objects::vm::Vm;
use crate::world::{Moref, World};

pub(crate) const METHODS: Methods = &[
    ("ClusterComputeResource", "MoveInto_Task", Handler::Write(move_several)),
    ("ClusterComputeResource", "MoveHostInto_Task", Handler::Write(move_one)),
];

/// Whether the host may come into the cluster.
fn check(world: &World, host: &Moref, cluster: &Moref) -> Outcome<()> {
    let Some((from, compute)) = world.nearest::<Compute>(host) else { return Err(Fault::not_found(host)) };
    let found: &Host = world.get(host)?;
    if from == *cluster {
        return Err(folder::duplicate(&world.entity(host)?.name, host));
    }
    // From one cluster to another one only without machines; a host of its own may bring them.
    if compute.cluster.is_some() && !found.runtime.in_maintenance_mode {
        let message = "The operation is not allowed in the current state: enter maintenance mode first.";
        return Err(Fault::new(InvalidState::default(), message));
    }
    let same_datacenter =
        world.ancestors(cluster).iter().any(|one| one.type_ == "Datacenter" && world.ancestors(host).contains(one));
    if !same_datacenter {
        return Err(Fault::invalid_argument("host"));
    }
    Ok(())
}

fn move_several(world: &mut World, call: &Call) -> Outcome<Reply> {
    let hosts: Vec<Moref> = call.arg("host")?;
    move_into(world, call, hosts, None)
}

fn move_one(world: &mut World, call: &Call) -> Outcome<Reply> {
    let pool: Option<Moref> = call.opt("resourcePool")?;
    if let Some(pool) = &pool
        && world.get::<ResourcePool>(pool)?.owner != call.target
    {
        return Err(Fault::invalid_argument("resourcePool"));
    }
    move_into(world, call, vec![call.arg("host")?], pool)
}

fn move_into(world: &mut World, call: &Call, hosts: Vec<Moref>, pool: Option<Moref>) -> Outcome<Reply> {
    let cluster = call.target.clone();
    for host in &hosts {
        check(world, host, &cluster)?;
    }
    let plan = hosts.iter().fold(call.task(), |plan, host| plan.alone_with(host));
    plan.takes(Duration::from_secs(5)).start(world, move |world| {
        for host in &hosts {
            check(world, host, &cluster)?;
            let pool = match &pool {
                Some(pool) => pool.clone(),
                None => world.get::<Compute>(&cluster)?.pool.clone(),
            };
            bring(world, host, &cluster, &pool)?;
        }
        Ok(Any::Unset)
    })
}

/// Moves a host, its machines into the pool, and leaves no empty shell behind.
fn bring(world: &mut World, host: &Moref, cluster: &Moref, pool: &Moref) -> Outcome<()> {
    let Some((from, _)) = world.nearest::<Compute>(host) else { return Err(Fault::not_found(host)) };
    for vm in world.get::<Host>(host)?.vms.clone() {
        let old = world.edit::<Vm>(&vm)?.pool.replace(pool.clone());
        if let Some(old) = old {
            world.edit::<ResourcePool>(&old)?.vms.retain(|other| *other != vm);
        }
        world.edit::<ResourcePool>(pool)?.vms.push(vm);
    }
    host::connection::transfer(world, host, cluster)?;
    leave_groups(world, &from, host)?;
    let compute: &Compute = world.get(&from)?;
    if compute.cluster.is_none() && compute.hosts.is_empty() {
        config::forget(world, &from)?;
    }
    resource_pool::touch_tree(world, pool);
    Ok(())
}

/// A host that has left is in no group of the cluster any more.
pub(in crate::objects) fn leave_groups(world: &mut World, compute: &Moref, host: &Moref) -> Outcome<()> {
    let Some(config) = &mut world.edit::<Compute>(compute)?.cluster else { return Ok(()) };
    for group in config.group.iter_mut().filter_map(|group| group.downcast_mut::<ClusterHostGroup>()) {
        group.host.retain(|other| other != host);
    }
    config.dpm_host_config.retain(|other| other.key != *host);
    Ok(())
}
