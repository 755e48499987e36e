//! What a host gives to its machines, where they ask for more than it has or than their limits leave them.
//!
//! - CPU time is dealt out by what each machine asks for and by its shares; what it does not get its CPUs wait for (ready). The
//!   CPUs of a machine that has several also wait for each other (co-stop).
//! - Memory that a host is short of it takes back from all machines alike: by the balloon where VMware Tools run, up to 65 % of a
//!   machine's memory, as `Mem.CtlMaxPercent` has it, and by its swap file beyond that. A machine waits for what it touches
//!   of the latter.

use vsphere_model::types::{DateTime, ResourceAllocationInfo};

use super::Host;
use crate::objects::datastore::Datastore;
use crate::objects::vm::{Spell, Vm};
use crate::world::{Moref, World};

/// The share of its memory from which on a host takes some back.
const SHORT: f64 = 0.98;

/// The share of a machine's memory that its balloon takes at most.
const BALLOON: f64 = 0.65;

/// Of the time that several CPUs of a machine wait, the part in which they wait for each other.
const WAIT_FOR_EACH_OTHER: f64 = 0.4;

/// Seconds within which a guest touches all that it uses.
const ROUND: f64 = 60.0;

/// How many requests a second the storage of a datastore carries out.
const IOPS: f64 = 10_000.0;

/// What a request waits at twice as many, in milliseconds.
const QUEUE: f64 = 20.0;

/// What a machine, or all machines of a host, get and lack.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Supply {
    /// In MHz.
    pub(crate) wanted_cpu: f64,
    pub(crate) cpu: f64,
    /// CPUs that wait on the average: for their turn, of these because of a limit, and for each other.
    pub(crate) ready: f64,
    pub(crate) limited: f64,
    pub(crate) costop: f64,
    /// In MB.
    pub(crate) active: f64,
    pub(crate) consumed: f64,
    pub(crate) ballooned: f64,
    pub(crate) swapped: f64,
    /// In KB a second.
    pub(crate) swap_in: f64,
    pub(crate) swap_out: f64,
    /// The part of the time in which it waits for memory.
    pub(crate) memory_wait: f64,
    /// The part of the packets for it that gets lost. Of all machines of a host it is none: its own NICs take theirs in.
    pub(crate) dropped: f64,
}

impl Supply {
    /// Both together. Of the waits for memory it is the longer one.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            wanted_cpu: self.wanted_cpu + other.wanted_cpu,
            cpu: self.cpu + other.cpu,
            ready: self.ready + other.ready,
            limited: self.limited + other.limited,
            costop: self.costop + other.costop,
            active: self.active + other.active,
            consumed: self.consumed + other.consumed,
            ballooned: self.ballooned + other.ballooned,
            swapped: self.swapped + other.swapped,
            swap_in: self.swap_in + other.swap_in,
            swap_out: self.swap_out + other.swap_out,
            memory_wait: self.memory_wait.max(other.memory_wait),
            dropped: 0.0,
        }
    }
}

/// What a machine asks for, and what its settings say of that.
struct Demand {
    cpus: f64,
    /// Of each of its CPUs, in MHz.
    mhz: f64,
    cpu: f64,
    cpu_limit: f64,
    /// What its shares make of it beside a machine with the usual ones.
    weight: f64,
    /// In MB.
    memory: f64,
    active: f64,
    consumed: f64,
    memory_limit: f64,
    reserved: f64,
    has_balloon: bool,
    dropped: f64,
}

impl Demand {
    fn of(vm: &Vm, mhz: i32, time: DateTime) -> Self {
        let load = vm.load(time);
        let (cpus, memory) = (f64::from(vm.config.hardware.num_cpu), f64::from(vm.config.hardware.memory_mb));
        let (of_cpu, of_memory) = (vm.config.cpu_allocation.as_deref(), vm.config.memory_allocation.as_deref());
        let shares = of_cpu.and_then(|of_cpu| of_cpu.shares.as_ref()).map_or(0, |shares| shares.shares);
        let mhz = f64::from(mhz);
        Self {
            cpus,
            mhz,
            cpu: load.cpu * cpus * mhz,
            cpu_limit: limit(of_cpu),
            weight: if shares > 0 { f64::from(shares) / (1000.0 * cpus.max(1.0)) } else { 1.0 },
            memory,
            active: load.active_memory * memory,
            consumed: load.consumed_memory * memory,
            memory_limit: limit(of_memory),
            reserved: of_memory.and_then(|of_memory| of_memory.reservation).map_or(0.0, precise),
            dropped: Spell::at(&vm.strain.dropped, time).unwrap_or(0.0),
            has_balloon: vm.guest.tools_running_status.as_deref() == Some("guestToolsRunning"),
        }
    }

    /// What it would take of a host that has enough.
    fn within_limit(&self) -> f64 {
        self.cpu.min(self.cpu_limit)
    }

    /// What it has with so much CPU and so much less memory than its limit leaves it.
    fn supplied(&self, cpu: f64, taken: f64) -> Supply {
        let waits = |lacking: f64| if self.mhz > 0.0 { lacking.max(0.0) / self.mhz } else { 0.0 };
        let limited = waits(self.cpu - self.within_limit());
        let ready = waits(self.cpu - cpu);
        let costop =
            if self.cpus > 1.0 { (ready - limited) * WAIT_FOR_EACH_OTHER * (1.0 - 1.0 / self.cpus) } else { 0.0 };
        let reclaimed = (self.consumed - self.consumed.min(self.memory_limit) + taken).min(self.consumed);
        let ballooned = if self.has_balloon { reclaimed.min(BALLOON * self.memory) } else { 0.0 };
        let swapped = reclaimed - ballooned;
        let consumed = self.consumed - reclaimed;
        // What the balloon has taken the guest does without; what was swapped it touches and waits for.
        let missed = (self.active - consumed).clamp(0.0, swapped);
        Supply {
            wanted_cpu: self.cpu,
            cpu,
            ready,
            limited,
            costop,
            active: self.active,
            consumed,
            ballooned,
            swapped,
            swap_in: missed * 1024.0 / ROUND,
            swap_out: missed * 1024.0 / ROUND,
            dropped: self.dropped,
            memory_wait: if self.active > 0.0 { 0.5 * missed / self.active } else { 0.0 },
        }
    }
}

/// What a machine gets at this time, if it ran then as it does now.
pub(crate) fn of_vm(world: &World, vm: &Vm, me: &Moref, time: DateTime) -> Supply {
    let host = vm.runtime.host.as_ref().and_then(|host| world.get::<Host>(host).ok());
    let Some(host) = host else { return Supply::default() };
    if world.is_strained {
        let found = of_host(world, host, time).into_iter().find(|(other, _)| other == me);
        return found.map(|(_, supply)| supply).unwrap_or_default();
    }
    let demand = Demand::of(vm, host.hardware.cpu_mhz, time);
    demand.supplied(demand.within_limit(), 0.0)
}

/// What each machine of a host gets at this time.
pub(crate) fn of_host(world: &World, host: &Host, time: DateTime) -> Vec<(Moref, Supply)> {
    let own = host.own_load();
    let demands: Vec<(&Moref, Demand)> = host
        .vms
        .iter()
        .filter_map(|vm| Some((vm, Demand::of(world.get::<Vm>(vm).ok()?, host.hardware.cpu_mhz, time))))
        .collect();
    let grants =
        dealt_out(demands.iter().map(|(_, demand)| demand), precise(i64::from(host.cpu_mhz_total()) - own.cpu));
    let room = SHORT * precise((host.hardware.memory_size >> 20) - own.host_memory);
    let held = |demand: &Demand| demand.consumed.min(demand.memory_limit);
    let free = |demand: &Demand| (held(demand) - demand.reserved).max(0.0);
    // A host that is short tells its machines so; one that is not has nothing to deal out.
    let lacking = (demands.iter().map(|(_, demand)| held(demand)).sum::<f64>() - room).max(0.0);
    let all = demands.iter().map(|(_, demand)| free(demand)).sum::<f64>().max(1.0);
    let supply = |((vm, demand), cpu): (&(&Moref, Demand), f64)| {
        ((*vm).clone(), demand.supplied(cpu, lacking * free(demand) / all))
    };
    demands.iter().zip(grants).map(supply).collect()
}

/// What each of these gets of so many MHz: all that they ask for where there is enough, and else in proportion to what they ask
/// for and to their shares.
fn dealt_out<'a>(demands: impl Iterator<Item = &'a Demand>, capacity: f64) -> Vec<f64> {
    let asked: Vec<(f64, f64)> = demands.map(|demand| (demand.within_limit(), demand.weight)).collect();
    let mut grants: Vec<Option<f64>> = vec![None; asked.len()];
    loop {
        let open = || asked.iter().zip(&grants).filter(|(_, grant)| grant.is_none());
        let left = capacity - grants.iter().flatten().sum::<f64>();
        let sum: f64 = open().map(|((wanted, weight), _)| wanted * weight).sum();
        let part = if sum > 0.0 { left.max(0.0) / sum } else { 0.0 };
        // Those whose part is more than they want leave the rest to the others.
        let mut has_more = false;
        for ((wanted, weight), grant) in asked.iter().zip(&mut grants) {
            if grant.is_none() && (weight * part >= 1.0 || *wanted <= 0.0) {
                *grant = Some(*wanted);
                has_more = true;
            }
        }
        if !has_more {
            let rest = |((wanted, weight), grant): (&(f64, f64), Option<f64>)| grant.unwrap_or(wanted * weight * part);
            return asked.iter().zip(grants).map(rest).collect();
        }
    }
}

/// What an allocation leaves at most; all of it where nothing is set.
fn limit(allocation: Option<&ResourceAllocationInfo>) -> f64 {
    allocation.and_then(|allocation| allocation.limit).filter(|limit| *limit >= 0).map_or(f64::INFINITY, precise)
}

/// How many requests a second machines send to a datastore at this time beyond the usual.
pub(crate) fn iops(world: &World, datastore: &Datastore, at: &Moref, time: DateTime) -> f64 {
    if !world.is_strained {
        return 0.0;
    }
    let vms = datastore.vms.iter().filter_map(|vm| world.get::<Vm>(vm).ok());
    vms.map(|vm| vm_iops(vm, at, time)).sum()
}

/// How many a machine sends to this datastore: its first disk is in its first datastore.
pub(crate) fn vm_iops(vm: &Vm, datastore: &Moref, time: DateTime) -> f64 {
    let is_there = vm.datastores.first() == Some(datastore) && vm.runtime.power_state.as_str() == "poweredOn";
    Spell::at(&vm.strain.iops, time).filter(|_| is_there).unwrap_or(0.0)
}

/// By how many milliseconds a datastore answers later than usual at this time.
pub(crate) fn delay(world: &World, datastore: &Datastore, at: &Moref, time: DateTime) -> f64 {
    let queued = (iops(world, datastore, at, time) / IOPS - 1.0).max(0.0) * QUEUE;
    Spell::at(&datastore.slow, time).unwrap_or(0.0) + queued
}

/// Figures of machines fit a float without loss.
#[allow(clippy::cast_precision_loss, reason = "no host has 2^53 MB or MHz")]
fn precise(figure: i64) -> f64 {
    figure as f64
}
