//! How busy machines are, and so their hosts and pools. It moves slowly, and the same question within twenty seconds has
//! the same answer: so often a real vCenter renews its quick statistics.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use vsphere_model::types::VirtualMachinePowerState;

use crate::objects::vm::Vm;
use crate::world::{Moref, World};

/// Seconds between two renewals.
const INTERVAL: i64 = 20;

/// Seconds in which the load of a machine goes up and down once.
const SWING: i64 = 3600;

/// What a machine, a host or a pool uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// In MHz.
    pub(crate) cpu: i64,
    /// What is touched by the guest, in MB.
    pub(crate) active_memory: i64,
    /// What the host gives, in MB.
    pub(crate) host_memory: i64,
}

impl Load {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            active_memory: self.active_memory + other.active_memory,
            host_memory: self.host_memory + other.host_memory,
        }
    }
}

/// The load of these machines together, of which those that are off have none.
pub(crate) fn of_all<'a>(world: &World, vms: impl IntoIterator<Item = &'a Moref>) -> Load {
    vms.into_iter().map(|vm| of(world, vm)).fold(Load::default(), Load::and)
}

/// The load of a machine. One that is off has none.
pub(crate) fn of(world: &World, reference: &Moref) -> Load {
    let Ok(vm) = world.get::<Vm>(reference) else { return Load::default() };
    if vm.runtime.power_state != VirtualMachinePowerState::PoweredOn {
        return Load::default();
    }
    let mhz = vm.runtime.host.as_ref().and_then(|host| world.get::<super::Host>(host).ok());
    let mhz = i64::from(mhz.map_or(2000, |host| host.hardware.cpu_mhz));
    let cpus = i64::from(vm.config.hardware.num_cpu.max(1));
    let memory = i64::from(vm.config.hardware.memory_mb);
    let seed = seed(reference);
    let slot = world.now().timestamp() / INTERVAL;
    // Per mille: most machines idle, some work hard, and each in its own rhythm.
    let base = 20 + i64::try_from(seed % 230).unwrap_or_default();
    let phase = i64::try_from(seed >> 8 & 0xfff).unwrap_or_default();
    let around = wave((slot * INTERVAL + phase) % SWING);
    let cpu_share = (base + base * around / 2500).max(5);
    let memory_share = 80 + i64::try_from(seed >> 20 & 0xff).unwrap_or_default() + around / 40;
    Load {
        cpu: cpus * mhz * cpu_share / 1000,
        active_memory: memory * memory_share / 1000,
        // What a guest has once touched stays with it.
        host_memory: memory * (600 + i64::try_from(seed >> 30 & 0xff).unwrap_or_default()) / 1000,
    }
}

/// From -1000 to 1000 and back within the swing.
fn wave(second: i64) -> i64 {
    let half = SWING / 2;
    let up = if second < half { second } else { SWING - second };
    up * 2000 / half - 1000
}

fn seed(reference: &Moref) -> u64 {
    let mut hasher = DefaultHasher::new();
    reference.value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_goes_up_and_down_without_a_jump() {
        assert_eq!((wave(0), wave(SWING / 2), wave(SWING)), (-1000, 1000, -1000));
        let steps = (0..SWING - INTERVAL).step_by(INTERVAL as usize);
        assert!(steps.map(|at| (wave(at + INTERVAL) - wave(at)).abs()).max() <= Some(25));
    }
}
