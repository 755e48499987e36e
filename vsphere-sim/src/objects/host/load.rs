//! How busy hosts and pools are, by their machines. The same question within twenty seconds has the same answer: so
//! often a real vCenter renews its quick statistics.

use vsphere_model::types::DateTime;

use super::supply::{self, Supply};
use crate::objects::vm::Vm;
use crate::world::{Moref, World};

/// Seconds between two renewals.
const INTERVAL: i64 = 20;

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
pub(crate) fn of(world: &World, vm: &Moref) -> Load {
    let now = world.now();
    at(world, vm, now - chrono::Duration::seconds(now.timestamp().rem_euclid(INTERVAL)))
}

/// The load of a machine at this time, if it ran then as it does now.
pub(crate) fn at(world: &World, vm: &Moref, time: DateTime) -> Load {
    let Ok(found) = world.get::<Vm>(vm) else { return Load::default() };
    Load::from(supply::of_vm(world, found, vm, time))
}

impl From<Supply> for Load {
    fn from(supply: Supply) -> Self {
        Self { cpu: whole(supply.cpu), active_memory: whole(supply.active), host_memory: whole(supply.consumed) }
    }
}

/// The nearest whole number.
fn whole(figure: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "saturates, and no host has so much")]
    let whole = figure.round() as i64;
    whole
}
