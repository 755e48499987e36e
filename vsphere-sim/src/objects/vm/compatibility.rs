//! The compatibility checker: whether hosts can run a machine, or one that there could be.

use std::time::Duration;

use vsphere_model::managed;
use vsphere_model::types::{
    Any, CheckResult, InvalidVmConfig, LocalizedMethodFault, MemorySizeNotSupported, NotEnoughCpus, UnsupportedGuest,
    VirtualMachineConfigSpec, VirtualMachineRelocateSpec,
};
use vsphere_soap::object::{Array, ManagedInfo, ManagedType as _};

use super::obstacles::{self, Obstacle};
use super::{Vm, guest_os, room};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::host::{Host, most_memory};
use crate::objects::resource_pool::ResourcePool;
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("VirtualMachineCompatibilityChecker", "CheckCompatibility_Task", Handler::Write(check_compatibility)),
    ("VirtualMachineCompatibilityChecker", "CheckVmConfig_Task", Handler::Write(check_config)),
    ("VirtualMachineCompatibilityChecker", "CheckPowerOn_Task", Handler::Write(check_power_on)),
];

/// How long a check takes.
const CHECK: Duration = Duration::from_millis(300);

/// The least memory of a machine in MB.
const LEAST_MEMORY: i32 = 4;

/// The managed object `VirtualMachineCompatibilityChecker`.
struct CompatibilityChecker;

impl Managed for CompatibilityChecker {
    fn info(&self) -> &'static ManagedInfo {
        managed::VirtualMachineCompatibilityChecker::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

pub(crate) fn install(world: &mut World) {
    world.content.vm_compatibility_checker = Some(world.add_as("CompatChecker", CompatibilityChecker));
}

fn check_config(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (spec, vm): (VirtualMachineConfigSpec, Option<Moref>) = (call.arg("spec")?, call.opt("vm")?);
    start(world, call, vm, move |world, _, host| of_config(world, &spec, host))
}

fn check_compatibility(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm: Moref = call.arg("vm")?;
    start(world, call, Some(vm), |world, vm, host| {
        let Some(vm) = vm else { return Ok(Vec::new()) };
        let devices = world.get::<Vm>(vm)?.config.hardware.device.clone();
        obstacles::to_host(world, vm, &devices, &VirtualMachineRelocateSpec::default(), host)
    })
}

fn check_power_on(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm: Moref = call.arg("vm")?;
    start(world, call, Some(vm), |world, vm, host| {
        let refused = vm.and_then(|vm| room::choose(world, vm, Some(host)).err());
        Ok(refused.map(|fault| Obstacle { test: obstacles::HOST, is_warning: false, fault }).into_iter().collect())
    })
}

/// Starts the task of a check, whose result is the findings for each host: it succeeds also where they are bad.
fn start(
    world: &mut World,
    call: &Call,
    vm: Option<Moref>,
    find: impl Fn(&World, Option<&Moref>, &Moref) -> Outcome<Vec<Obstacle>> + Send + 'static,
) -> Outcome<Reply> {
    let (host, pool): (Option<Moref>, Option<Moref>) = (call.opt("host")?, call.opt("pool")?);
    let tests: Vec<String> = call.arg("testType")?;
    for object in vm.iter().chain(&host).chain(&pool) {
        world.demand(call, object, "System.View")?;
    }
    if let Some(vm) = &vm
        && world.get::<Vm>(vm)?.config.template
    {
        return Err(Fault::not_supported("the check of a template"));
    }
    let about = vm.clone().unwrap_or_else(|| call.target.clone());
    call.task().about(&about).takes(CHECK).cancelable().start(world, move |world| {
        let mut items = Vec::new();
        for host in hosts(world, vm.as_ref(), host.as_ref(), pool.as_ref())? {
            let mut found = find(world, vm.as_ref(), &host)?;
            found.retain(|obstacle| tests.is_empty() || tests.iter().any(|test| test == obstacle.test));
            let (warning, error): (Vec<_>, Vec<_>) = found.into_iter().partition(|obstacle| obstacle.is_warning);
            let localized = |found: Vec<Obstacle>| -> Vec<LocalizedMethodFault> {
                found.iter().map(|obstacle| obstacle.fault.localized()).collect()
            };
            let result =
                CheckResult { vm: vm.clone(), host: Some(host), warning: localized(warning), error: localized(error) };
            items.push(Any::from(result));
        }
        Ok(Any::Array(Array { item: "CheckResult".to_owned(), items }))
    })
}

/// The hosts in question: the one that is named, else the machine's own, else those of the pool.
///
/// # Errors
/// `InvalidArgument` where nothing is named, or the host is not of the pool's compute resource.
fn hosts(world: &World, vm: Option<&Moref>, host: Option<&Moref>, pool: Option<&Moref>) -> Outcome<Vec<Moref>> {
    let machine = vm.map(|vm| world.get::<Vm>(vm)).transpose()?;
    let of_pool = match pool {
        Some(pool) => Some(world.get::<Compute>(&world.get::<ResourcePool>(pool)?.owner)?.hosts.clone()),
        None => None,
    };
    let named = match (host, machine) {
        (Some(host), _) => {
            world.get::<Host>(host)?;
            Some(host.clone())
        }
        (None, Some(machine)) => machine.runtime.host.clone(),
        (None, None) => None,
    };
    match (named, of_pool) {
        (Some(named), Some(all)) if !all.contains(&named) => {
            if host.is_some() {
                return Err(Fault::invalid_argument("spec.pool"));
            }
            Ok(all)
        }
        (Some(named), _) => Ok(vec![named]),
        (None, Some(all)) => Ok(all),
        (None, None) => Err(Fault::invalid_argument("vm")),
    }
}

/// What a host lacks for a machine of this specification.
fn of_config(world: &World, spec: &VirtualMachineConfigSpec, host: &Moref) -> Outcome<Vec<Obstacle>> {
    let mut found = Vec::new();
    let mut warn = |fault| found.push(Obstacle { test: obstacles::HOST, is_warning: true, fault });
    let hardware = &world.get::<Host>(host)?.hardware;
    let most = most_memory();
    if let Some(memory) = spec.memory_mb.and_then(|memory| i32::try_from(memory).ok())
        && !(LEAST_MEMORY..=most).contains(&memory)
    {
        let message =
            format!("The vm requires {memory} MB of memory, outside the range of {LEAST_MEMORY} to {most} MB.");
        let fault = MemorySizeNotSupported {
            memory_size_mb: memory,
            min_memory_size_mb: LEAST_MEMORY,
            max_memory_size_mb: most,
            ..Default::default()
        };
        warn(Fault::new(fault, message));
    }
    let threads = i32::from(hardware.num_cpu_threads);
    if let Some(cpus) = spec.num_cpus.filter(|cpus| *cpus > threads) {
        let message = format!("The vm requires {cpus} CPUs, the host has {threads}.");
        warn(Fault::new(NotEnoughCpus { num_cpu_dest: threads, num_cpu_vm: cpus, ..Default::default() }, message));
    }
    if let Some(guest) = spec.guest_id.as_deref().filter(|guest| !guest.is_empty() && !guest_os::is_known(guest)) {
        let fault = UnsupportedGuest {
            unsupported_guest_os: guest.to_owned(),
            base: InvalidVmConfig { property: Some("configSpec.guestId".to_owned()), ..Default::default() },
        };
        warn(Fault::new(fault, format!("The guest operating system '{guest}' is not supported.")));
    }
    Ok(found)
}
