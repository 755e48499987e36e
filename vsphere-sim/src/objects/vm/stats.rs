//! What a machine uses now: figures that vary slowly, each machine in its own way.

use std::f64::consts::TAU;

use vsphere_model::types::{DateTime, ManagedEntityStatus, VirtualMachinePowerState, VirtualMachineQuickStats};

use super::Vm;
use crate::objects::host::{Host, supply};
use crate::world::{Moref, World};

/// What a machine uses at a time, each as a share of what it has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    pub(crate) cpu: f64,
    /// What the guest has touched lately.
    pub(crate) active_memory: f64,
    /// What the host has given to it.
    pub(crate) consumed_memory: f64,
}

/// Something that goes on from a time on until the next one, with a measure of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spell {
    pub(crate) from: DateTime,
    pub(crate) value: f64,
}

impl Spell {
    /// The measure of that which goes on at this time; none before the first.
    pub(crate) fn at(spells: &[Self], time: DateTime) -> Option<f64> {
        let begun = spells.iter().filter(|spell| spell.from <= time);
        begun.max_by_key(|spell| spell.from).map(|spell| spell.value)
    }
}

/// What the programs in the guest ask for, in place of the usual course.
#[derive(Debug, Clone, Default)]
pub(crate) struct Strain {
    /// The share of its CPUs.
    pub(crate) cpu: Vec<Spell>,
    /// The share of its memory that is touched.
    pub(crate) memory: Vec<Spell>,
    /// Requests a second to its first disk.
    pub(crate) iops: Vec<Spell>,
    /// The share of the packets for it that it does not take in time.
    pub(crate) dropped: Vec<Spell>,
}

impl Vm {
    /// What the machine asks for at this time, and gets where its host has enough. The same time gives the same figures, so that series can be made afterwards.
    pub(crate) fn load(&self, at: DateTime) -> Load {
        if self.runtime.power_state != VirtualMachinePowerState::PoweredOn {
            return Load { cpu: 0.0, active_memory: 0.0, consumed_memory: 0.0 };
        }
        let seconds = at.timestamp();
        // A day's course, an hour's and a short one, each with a phase of its own.
        let wave = |period: i64, salt: u64| {
            let phase = share(spread(self, salt));
            let at = precise(seconds.rem_euclid(period)) / precise(period);
            ((at + phase) * TAU).sin()
        };
        let base = 0.04 + 0.3 * share(spread(self, 1)).powi(2);
        let cpu = base * (1.0 + 0.4 * wave(86_400, 2) + 0.3 * wave(3600, 3) + 0.2 * wave(420, 4));
        let memory = 0.1 + 0.4 * share(spread(self, 5));
        let active = memory * (1.0 + 0.25 * wave(14_400, 6) + 0.1 * wave(900, 7));
        let consumed = (memory + 0.35 + 0.05 * wave(21_600, 8)).min(1.0);
        let cpu = Spell::at(&self.strain.cpu, at).unwrap_or(cpu.clamp(0.005, 0.98));
        let active_memory = Spell::at(&self.strain.memory, at).unwrap_or(active.clamp(0.02, 1.0));
        // A host gives what a guest touches, and does not take it back by itself.
        Load { cpu, active_memory, consumed_memory: consumed.max(active_memory) }
    }

    /// What the summary shows of it.
    pub(crate) fn quick_stats(&self, world: &World, me: &Moref) -> VirtualMachineQuickStats {
        let mut stats = VirtualMachineQuickStats { guest_heartbeat_status: self.heartbeat(), ..Default::default() };
        let now = world.now();
        let got = supply::of_vm(world, self, me, now);
        let host = self.runtime.host.as_ref().and_then(|host| world.get::<Host>(host).ok());
        let cpus = f64::from(self.config.hardware.num_cpu);
        let mhz = cpus * f64::from(host.map_or(0, |host| host.hardware.cpu_mhz));
        let memory = f64::from(self.config.hardware.memory_mb);
        let uptime = self.runtime.boot_time.map_or(0, |boot| (now - boot).num_seconds());
        let is_on = self.runtime.power_state == VirtualMachinePowerState::PoweredOn;
        let overhead = if is_on { 40.0 + memory * 0.008 } else { 0.0 };
        stats.overall_cpu_usage = Some(whole(got.cpu));
        stats.overall_cpu_demand = Some(whole(got.wanted_cpu * 1.05));
        stats.overall_cpu_readiness = Some(whole(got.ready / cpus.max(1.0) * 100.0));
        stats.guest_memory_usage = Some(whole(got.active));
        stats.active_memory = stats.guest_memory_usage;
        stats.host_memory_usage = Some(whole(got.consumed + overhead));
        stats.granted_memory = Some(whole(got.consumed + got.ballooned));
        stats.private_memory = Some(whole(got.consumed));
        stats.shared_memory = Some(0);
        stats.swapped_memory = Some(whole(got.swapped));
        stats.ballooned_memory = Some(whole(got.ballooned));
        stats.compressed_memory = Some(0);
        stats.ssd_swapped_memory = Some(0);
        stats.consumed_overhead_memory = Some(whole(overhead));
        stats.distributed_cpu_entitlement = stats.overall_cpu_demand;
        stats.distributed_memory_entitlement = stats.host_memory_usage;
        stats.static_cpu_entitlement = Some(if is_on { whole(mhz) } else { 0 });
        stats.static_memory_entitlement = Some(if is_on { whole(memory + overhead) } else { 0 });
        stats.uptime_seconds = Some(if is_on { i32::try_from(uptime).unwrap_or(i32::MAX).max(0) } else { 0 });
        stats.ft_log_bandwidth = Some(-1);
        stats.ft_secondary_latency = Some(-1);
        stats.ft_latency_status = Some(ManagedEntityStatus::Gray);
        stats
    }
}

/// A number that belongs to this machine and this purpose, the same each time.
pub(super) fn spread(machine: &Vm, salt: u64) -> u64 {
    // FNV-1a: the standard library's hashes may change with its version, and a machine's course must not.
    let text = machine.config.instance_uuid.as_deref().unwrap_or(&machine.config.uuid);
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    salt.to_le_bytes().into_iter().chain(text.bytes()).fold(0xcbf2_9ce4_8422_2325, step)
}

/// The number as a share between 0 and 1.
fn share(number: u64) -> f64 {
    // The upper 16 bits of an FNV hash are well mixed.
    let [.., high, low] = [number >> 56, (number >> 48) & 0xff].map(|byte| u8::try_from(byte).unwrap_or_default());
    f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX)
}

/// Seconds of a day fit a float without loss.
fn precise(seconds: i64) -> f64 {
    i32::try_from(seconds).map_or(0.0, f64::from)
}

/// The nearest whole number.
fn whole(figure: f64) -> i32 {
    // A float that is too big becomes the biggest integer, and these are small anyway.
    #[allow(clippy::cast_possible_truncation, reason = "saturates, which is what a figure too big to show should do")]
    let whole = figure.round() as i32;
    whole
}
