//! The provisioning checker: what would stand in the way of a migration, told before anything moves.

use std::time::Duration;

use vsphere_model::managed;
use vsphere_model::types::{Any, CheckResult, VirtualMachinePowerState, VirtualMachineRelocateSpec};
use vsphere_soap::object::{Array, ManagedInfo, ManagedType as _};

use super::Vm;
use super::draft::Draft;
use super::obstacles::{self, Obstacle};
use super::relocate::plan_moves;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::host::Host;
use crate::objects::resource_pool::ResourcePool;
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("VirtualMachineProvisioningChecker", "CheckRelocate_Task", Handler::Write(check_relocate)),
    ("VirtualMachineProvisioningChecker", "CheckMigrate_Task", Handler::Write(check_migrate)),
    ("VirtualMachineProvisioningChecker", "QueryVMotionCompatibilityEx_Task", Handler::Write(query_compatibility)),
];

/// How long a check takes.
const CHECK: Duration = Duration::from_millis(500);

/// The managed object `VirtualMachineProvisioningChecker`.
struct ProvisioningChecker;

impl Managed for ProvisioningChecker {
    fn info(&self) -> &'static ManagedInfo {
        managed::VirtualMachineProvisioningChecker::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

pub(crate) fn install(world: &mut World) {
    world.content.vm_provisioning_checker = Some(world.add_as("ProvChecker", ProvisioningChecker));
}

fn check_relocate(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, spec): (Moref, VirtualMachineRelocateSpec) = (call.arg("vm")?, call.arg("spec")?);
    let tests: Vec<String> = call.arg("testType")?;
    start(world, call, vec![(vm, spec)], tests)
}

fn check_migrate(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm: Moref = call.arg("vm")?;
    let (host, pool): (Option<Moref>, Option<Moref>) = (call.opt("host")?, call.opt("pool")?);
    if host.is_none() && pool.is_none() {
        return Err(Fault::invalid_argument("host"));
    }
    let state: Option<VirtualMachinePowerState> = call.opt("state")?;
    if let Some(state) = state {
        world.get::<Vm>(&vm)?.must_be(&[state], None)?;
    }
    let tests: Vec<String> = call.arg("testType")?;
    start(world, call, vec![(vm, VirtualMachineRelocateSpec { host, pool, ..Default::default() })], tests)
}

fn query_compatibility(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vms, hosts): (Vec<Moref>, Vec<Moref>) = (call.arg("vm")?, call.arg("host")?);
    let to = |host: &Moref| VirtualMachineRelocateSpec { host: Some(host.clone()), ..Default::default() };
    let pairs = vms.iter().flat_map(|vm| hosts.iter().map(|host| (vm.clone(), to(host)))).collect();
    start(world, call, pairs, vec![obstacles::HOST.to_owned(), obstacles::SOURCE.to_owned()])
}

/// Starts the task of a check, whose result is the findings: it succeeds also where they are bad.
fn start(
    world: &mut World,
    call: &Call,
    asked: Vec<(Moref, VirtualMachineRelocateSpec)>,
    tests: Vec<String>,
) -> Outcome<Reply> {
    for (vm, spec) in &asked {
        world.demand(call, vm, "System.View")?;
        if world.get::<Vm>(vm)?.config.template {
            return Err(Fault::not_supported("the check of a template"));
        }
        hosts_in_question(world, vm, spec)?;
    }
    let about = asked.first().map_or_else(|| call.target.clone(), |(vm, _)| vm.clone());
    call.task().about(&about).takes(CHECK).cancelable().start(world, move |world| {
        let mut items = Vec::new();
        for (vm, spec) in &asked {
            for host in hosts_in_question(world, vm, spec)? {
                items.push(Any::from(check(world, vm, spec, host, &tests)?));
            }
        }
        Ok(Any::Array(Array { item: "CheckResult".to_owned(), items }))
    })
}

/// The hosts that the machine could go to: the one that is named, or each of the pool's.
///
/// # Errors
/// `InvalidArgument` where pool and host are not of one compute resource, or a running machine leaves its own and nothing says
/// for which pool.
fn hosts_in_question(world: &World, vm: &Moref, spec: &VirtualMachineRelocateSpec) -> Outcome<Vec<Moref>> {
    let machine = world.get::<Vm>(vm)?;
    let current = machine.runtime.host.clone().unwrap_or_default();
    let owner = match &spec.pool {
        Some(pool) => Some(world.get::<ResourcePool>(pool)?.owner.clone()),
        None => world.entity(&current).ok().and_then(|host| host.parent.clone()),
    };
    if let Some(host) = &spec.host {
        world.get::<Host>(host)?;
        let fits = spec.pool.is_none() || world.entity(host)?.parent == owner;
        return if fits { Ok(vec![host.clone()]) } else { Err(Fault::invalid_argument("spec.host")) };
    }
    let hosts = match owner {
        Some(owner) => world.get::<Compute>(&owner)?.hosts.clone(),
        None => Vec::new(),
    };
    Ok(if hosts.contains(&current) { vec![current] } else { hosts })
}

fn check(
    world: &World,
    vm: &Moref,
    spec: &VirtualMachineRelocateSpec,
    host: Moref,
    tests: &[String],
) -> Outcome<CheckResult> {
    let machine = world.get::<Vm>(vm)?;
    let devices = obstacles::changed_devices(machine, spec);
    let mut found = obstacles::to_host(world, vm, &devices, spec, &host)?;
    let seen = !found.iter().any(|obstacle| obstacle.test == obstacles::DATASTORE || obstacle.test == obstacles::HOST);
    if seen {
        let mut draft = Draft::of(world, vm)?;
        draft.datastores.clone_from(&world.get::<Host>(&host)?.datastores);
        draft.host = host.clone();
        if let Err(fault) = plan_moves(world, vm, &draft, spec) {
            found.push(Obstacle { test: obstacles::DATASTORE, is_warning: false, fault });
        }
    }
    found.retain(|obstacle| tests.is_empty() || tests.iter().any(|test| test == obstacle.test));
    let (warnings, errors): (Vec<_>, Vec<_>) = found.into_iter().partition(|obstacle| obstacle.is_warning);
    let localized = |found: Vec<Obstacle>| found.iter().map(|obstacle| obstacle.fault.localized()).collect();
    Ok(CheckResult { vm: Some(vm.clone()), host: Some(host), warning: localized(warnings), error: localized(errors) })
}
