//! The methods of resource pools.

use std::time::Duration;

use vsphere_model::types::{
    Any, ConcurrentAccess, IntOption, InvalidRequest, InvalidType, ResourceAllocationInfo, ResourceAllocationOption,
    ResourceConfigOption, ResourceConfigSpec, ResourcePoolCreatedEvent, ResourcePoolDestroyedEvent, ResourcePoolEvent,
    ResourcePoolEventArgument, ResourcePoolMovedEvent, ResourcePoolReconfiguredEvent, SharesLevel, SharesOption,
    VirtualMachinePowerState,
};

use super::{ResourcePool, add_child, check, merge, touch_tree, usage};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::folder;
use crate::objects::vm::{self, Vm};
use crate::world::{Moref, World, escaped};

pub(crate) const METHODS: Methods = &[
    ("ResourcePool", "CreateResourcePool", Handler::Write(create)),
    ("ResourcePool", "UpdateConfig", Handler::Write(update)),
    ("ResourcePool", "UpdateChildResourceConfiguration", Handler::Write(update_children)),
    ("ResourcePool", "MoveIntoResourcePool", Handler::Write(move_into)),
    ("ResourcePool", "DestroyChildren", Handler::Write(destroy_children)),
    ("ResourcePool", "Destroy_Task", Handler::Write(destroy)),
    ("VirtualApp", "Destroy_Task", Handler::Write(destroy_app)),
    ("ResourcePool", "RefreshRuntime", Handler::Write(refresh)),
    ("ResourcePool", "QueryResourceConfigOption", Handler::Read(options)),
];

fn argument(world: &World, pool: &Moref) -> ResourcePoolEventArgument {
    let mut argument = ResourcePoolEventArgument { resource_pool: pool.clone(), ..Default::default() };
    argument.name = world.entity(pool).map(|entity| entity.name.clone()).unwrap_or_default();
    argument
}

/// Whether a pool may have a child pool of this name.
fn check_name(world: &World, parent: &Moref, name: &str) -> Outcome<()> {
    folder::check_name(name, Some(parent))?;
    let kept = escaped(name);
    let siblings = &world.get::<ResourcePool>(parent)?.pools;
    let same = siblings.iter().find(|pool| world.entity(pool).is_ok_and(|entity| entity.name == kept));
    match same {
        Some(object) => Err(folder::duplicate(name, object)),
        None => Ok(()),
    }
}

/// Whether all is said that a new pool needs, of which the API has no defaults.
///
/// # Errors
/// `InvalidArgument` for the first thing that lacks.
fn check_complete(spec: &ResourceConfigSpec) -> Outcome<()> {
    for (allocation, name) in [(&spec.cpu_allocation, "cpuAllocation"), (&spec.memory_allocation, "memoryAllocation")] {
        let lacking = [
            ("reservation", allocation.reservation.is_none()),
            ("expandableReservation", allocation.expandable_reservation.is_none()),
            ("limit", allocation.limit.is_none()),
            ("shares", allocation.shares.is_none()),
        ];
        if let Some((field, _)) = lacking.iter().find(|(_, lacks)| *lacks) {
            return Err(Fault::invalid_argument(&format!("spec.{name}.{field}")));
        }
    }
    Ok(())
}

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (name, spec): (String, ResourceConfigSpec) = (call.arg("name")?, call.arg("spec")?);
    check_name(world, &call.target, &name)?;
    check_complete(&spec)?;
    let pool = add_child(world, &name, &call.target, &spec)?;
    let mut event = ResourcePoolCreatedEvent { parent: argument(world, &call.target), ..Default::default() };
    event.resource_pool = argument(world, &pool);
    let user = call.user(world);
    world.post(&pool, &user, event, format!("Created resource pool {name}"));
    Ok(Reply::of(pool))
}

/// Changes the configuration of a pool, after a look at whether what it stands in has what it wants.
fn configure(world: &mut World, pool: &Moref, spec: &ResourceConfigSpec) -> Outcome<()> {
    check(spec)?;
    let found: &ResourcePool = world.get(pool)?;
    if let Some(version) = &spec.change_version
        && found.config.change_version.as_ref().is_some_and(|kept| kept != version)
    {
        let message = "The resource pool has been changed by someone else: read it again.";
        return Err(Fault::new(ConcurrentAccess::default(), message));
    }
    if found.is_root() {
        return Err(Fault::invalid_argument("config"));
    }
    let mut config = found.config.clone();
    let before = (config.cpu_allocation.reservation.unwrap_or(0), config.memory_allocation.reservation.unwrap_or(0));
    merge(&mut config, spec);
    check(&config)?;
    let parent = found.entity.parent.as_ref().map(|parent| world.get::<ResourcePool>(parent)).transpose()?;
    if let Some(parent) = parent {
        let cpu = config.cpu_allocation.reservation.unwrap_or(0) - before.0;
        let memory = config.memory_allocation.reservation.unwrap_or(0) - before.1;
        usage::check_more(world, parent, cpu, memory)?;
    }
    config.last_modified = Some(world.now());
    config.change_version = Some(world.version().to_string());
    world.edit::<ResourcePool>(pool)?.config = config;
    touch_tree(world, pool);
    Ok(())
}

fn update(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: Option<String> = call.opt("name")?;
    let config: Option<ResourceConfigSpec> = call.opt("config")?;
    let pool = &call.target;
    let found: &ResourcePool = world.get(pool)?;
    let renamed = name.filter(|name| escaped(name) != found.entity.name);
    if let Some(name) = &renamed {
        if found.is_root() {
            return Err(Fault::invalid_argument("name"));
        }
        if let Some(parent) = found.entity.parent.clone() {
            check_name(world, &parent, name)?;
        }
    }
    if let Some(config) = &config {
        configure(world, pool, config)?;
    }
    if let Some(name) = renamed {
        world.edit_entity(pool)?.name = escaped(&name);
    }
    let base = ResourcePoolEvent { resource_pool: argument(world, pool), ..Default::default() };
    let event = ResourcePoolReconfiguredEvent { base, ..Default::default() };
    let message = format!("Updated configuration for {}", event.resource_pool.name);
    let user = call.user(world);
    world.post(pool, &user, event, message);
    Ok(Reply::NONE)
}

/// Several children at once: pools, and machines too.
fn update_children(world: &mut World, call: &Call) -> Outcome<Reply> {
    let specs: Vec<ResourceConfigSpec> = call.arg("spec")?;
    let children = {
        let pool: &ResourcePool = world.get(&call.target)?;
        (pool.pools.clone(), pool.vms.clone())
    };
    for spec in &specs {
        let Some(entity) = &spec.entity else { return Err(Fault::invalid_argument("spec.entity")) };
        if !children.0.contains(entity) && !children.1.contains(entity) {
            return Err(Fault::invalid_argument("spec.entity"));
        }
        check(spec)?;
    }
    for spec in specs {
        let Some(entity) = spec.entity.clone() else { continue };
        if children.0.contains(&entity) {
            configure(world, &entity, &spec)?;
        } else {
            merge(&mut world.edit::<Vm>(&entity)?.resource_config, &spec);
        }
    }
    touch_tree(world, &call.target);
    Ok(Reply::NONE)
}

fn move_into(world: &mut World, call: &Call) -> Outcome<Reply> {
    let list: Vec<Moref> = call.arg("list")?;
    let target = &call.target;
    let owner = world.get::<ResourcePool>(target)?.owner.clone();
    let above = world.ancestors(target);
    for one in &list {
        let privilege = if world.get::<Vm>(one).is_ok() { "Resource.AssignVMToPool" } else { "Resource.MovePool" };
        if !world.may(target, call.session.as_deref(), privilege) {
            return Err(Fault::no_permission(target, privilege));
        }
        if let Ok(pool) = world.get::<ResourcePool>(one) {
            if pool.owner != owner || pool.is_root() || above.contains(one) {
                return Err(Fault::invalid_argument("list"));
            }
            let name = pool.entity.name.clone();
            if pool.entity.parent.as_ref() != Some(target) {
                check_name(world, target, &name)?;
            }
        } else {
            let pool = world.get::<Vm>(one)?.pool.clone();
            let of = pool.and_then(|pool| world.get::<ResourcePool>(&pool).ok()).map(|pool| pool.owner.clone());
            if of != Some(owner.clone()) {
                return Err(Fault::invalid_argument("list"));
            }
        }
    }
    for one in &list {
        check_room(world, one, target)?;
    }
    let user = call.user(world);
    for one in &list {
        put(world, one, target, &user)?;
    }
    Ok(Reply::NONE)
}

/// Whether the pool has what a pool or a running machine that comes into it has reserved. One that is expandable takes it from
/// where it came from: both are below the same root.
///
/// # Errors
/// Those of [`usage::check_more`].
fn check_room(world: &World, one: &Moref, target: &Moref) -> Outcome<()> {
    let (config, from) = match world.get::<ResourcePool>(one) {
        Ok(pool) => (&pool.config, pool.entity.parent.clone()),
        Err(_) => {
            let vm = world.get::<Vm>(one)?;
            if vm.runtime.power_state != VirtualMachinePowerState::PoweredOn {
                return Ok(());
            }
            (&vm.resource_config, vm.pool.clone())
        }
    };
    if from.is_some_and(|from| world.ancestors(&from).contains(target)) {
        return Ok(());
    }
    let pool = world.get::<ResourcePool>(target)?;
    let more = |wanted: &ResourceAllocationInfo, of: &ResourceAllocationInfo| match of.expandable_reservation {
        Some(true) => 0,
        _ => wanted.reservation.unwrap_or(0),
    };
    let cpu = more(&config.cpu_allocation, &pool.config.cpu_allocation);
    let memory = more(&config.memory_allocation, &pool.config.memory_allocation);
    usage::check_more(world, pool, cpu, memory)
}

/// Puts a pool or a machine into another pool of the same compute resource.
fn put(world: &mut World, one: &Moref, target: &Moref, user: &str) -> Outcome<()> {
    if world.get::<Vm>(one).is_ok() {
        if let Some(old) = world.edit::<Vm>(one)?.pool.replace(target.clone()) {
            world.edit::<ResourcePool>(&old)?.vms.retain(|other| other != one);
            touch_tree(world, &old);
        }
        world.edit::<ResourcePool>(target)?.vms.push(one.clone());
    } else {
        let Some(old) = world.entity(one)?.parent.clone() else { return Ok(()) };
        let mut event = ResourcePoolMovedEvent {
            old_parent: argument(world, &old),
            new_parent: argument(world, target),
            ..Default::default()
        };
        event.resource_pool = argument(world, one);
        let message = format!(
            "Moved resource pool {} from {} to {}",
            event.resource_pool.name, event.old_parent.name, event.new_parent.name
        );
        world.edit::<ResourcePool>(&old)?.pools.retain(|other| other != one);
        world.edit::<ResourcePool>(target)?.pools.push(one.clone());
        world.edit_entity(one)?.parent = Some(target.clone());
        touch_tree(world, &old);
        world.post(one, user, event, message);
    }
    touch_tree(world, target);
    Ok(())
}

/// Removes a pool; its machines move up, and its pools go the same way.
fn dissolve(world: &mut World, pool: &Moref, user: &str) -> Outcome<()> {
    let found: &ResourcePool = world.get(pool)?;
    let Some(parent) = found.entity.parent.clone() else { return Ok(()) };
    let (vms, pools) = (found.vms.clone(), found.pools.clone());
    for vm in vms {
        put(world, &vm, &parent, user)?;
    }
    for child in pools {
        // Where the parent has a pool of this name already, the one that moves up gets another one.
        let name = world.entity(&child)?.name.clone();
        let free = (1..).map(|number| format!("{name} ({number})"));
        let free = std::iter::once(name.clone()).chain(free).find(|name| check_name(world, &parent, name).is_ok());
        world.edit_entity(&child)?.name = free.unwrap_or(name);
        put(world, &child, &parent, user)?;
    }
    let base = ResourcePoolEvent { resource_pool: argument(world, pool), ..Default::default() };
    let event = ResourcePoolDestroyedEvent { base };
    let message = format!("Removed resource pool {}", event.resource_pool.name);
    world.post(pool, user, event, message);
    world.edit::<ResourcePool>(&parent)?.pools.retain(|other| other != pool);
    world.remove(pool);
    touch_tree(world, &parent);
    Ok(())
}

/// All pools below are removed, with those below them; the machines of all come here.
fn destroy_children(world: &mut World, call: &Call) -> Outcome<Reply> {
    let user = call.user(world);
    while let Some(child) = world.get::<ResourcePool>(&call.target)?.pools.first().cloned() {
        dissolve(world, &child, &user)?;
    }
    Ok(Reply::NONE)
}

fn destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    if world.get::<ResourcePool>(&call.target)?.is_root() {
        let argument = Some("ResourcePool".to_owned());
        let fault = InvalidType { base: InvalidRequest::default(), argument };
        return Err(Fault::new(fault, "The root resource pool can't be destroyed."));
    }
    let (pool, user) = (call.target.clone(), call.user(world));
    call.task().alone_with(&pool).takes(Duration::from_millis(500)).start(world, move |world| {
        dissolve(world, &pool, &user)?;
        Ok(Any::Unset)
    })
}

/// A vApp goes with its machines, for which all of them must be off.
fn destroy_app(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (app, user) = (call.target.clone(), call.user(world));
    check_machines(world, &app)?;
    call.task().alone_with(&app).takes(Duration::from_millis(500)).start(world, move |world| {
        check_machines(world, &app)?;
        destroy_machines(world, &app, &user)?;
        dissolve(world, &app, &user)?;
        Ok(Any::Unset)
    })
}

fn check_machines(world: &World, pool: &Moref) -> Outcome<()> {
    let found: &ResourcePool = world.get(pool)?;
    found.vms.iter().try_for_each(|vm| vm::check_removal(world, vm))?;
    found.pools.iter().try_for_each(|below| check_machines(world, below))
}

fn destroy_machines(world: &mut World, pool: &Moref, user: &str) -> Outcome<()> {
    let found: &ResourcePool = world.get(pool)?;
    let (vms, pools) = (found.vms.clone(), found.pools.clone());
    vms.iter().try_for_each(|vm| vm::destroy(world, vm, user))?;
    for below in pools {
        destroy_machines(world, &below, user)?;
        dissolve(world, &below, user)?;
    }
    Ok(())
}

fn refresh(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.edit::<ResourcePool>(&call.target)?;
    Ok(Reply::NONE)
}

fn options(world: &World, call: &Call) -> Outcome<Reply> {
    world.get::<ResourcePool>(&call.target)?;
    let option = |default_value| ResourceAllocationOption {
        shares_option: SharesOption {
            shares_option: IntOption { min: 0, max: 1_000_000, default_value, ..Default::default() },
            default_level: SharesLevel::Normal,
        },
    };
    Ok(Reply::of(ResourceConfigOption {
        cpu_allocation_option: option(4000),
        memory_allocation_option: option(163_840),
    }))
}
