//! Virtual machines.

mod chain;
pub(crate) mod console;
pub(crate) mod guest;
pub(crate) mod power;
pub(crate) mod question;
mod room;
pub(crate) mod snapshot;
mod stats;
pub(crate) mod tools;

use vsphere_model::managed;
use vsphere_model::types::{
    GuestInfo, ResourceConfigSpec, VirtualMachineConfigInfo, VirtualMachineRuntimeInfo, VirtualMachineSnapshotInfo,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

pub(crate) use guest::GuestPlan;
pub(crate) use power::Life;

use crate::world::{Entity, Look, Managed, Moref, Prop};

/// The managed object `VirtualMachine`.
pub(crate) struct Vm {
    pub(crate) entity: Entity,
    pub(crate) config: VirtualMachineConfigInfo,
    pub(crate) runtime: VirtualMachineRuntimeInfo,
    pub(crate) guest: GuestInfo,
    /// The resource pool; a template has none.
    pub(crate) pool: Option<Moref>,
    pub(crate) resource_config: ResourceConfigSpec,
    pub(crate) datastores: Vec<Moref>,
    pub(crate) networks: Vec<Moref>,
    pub(crate) snapshot: Option<VirtualMachineSnapshotInfo>,
    /// The system that is installed in it; none in one that a client has made.
    pub(crate) guest_plan: Option<Box<GuestPlan>>,
    pub(crate) life: Life,
}

impl Managed for Vm {
    fn info(&self) -> &'static ManagedInfo {
        managed::VirtualMachine::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "config" => Prop::kept(&self.config),
            "runtime" => Prop::kept(&self.runtime),
            "guest" => Prop::kept(&self.guest),
            "resourcePool" => Prop::kept_optional(&self.pool),
            "resourceConfig" => Prop::kept(&self.resource_config),
            "datastore" => Prop::list(&self.datastores),
            "network" => Prop::list(&self.networks),
            "snapshot" => Prop::kept_optional(&self.snapshot),
            "guestHeartbeatStatus" => Prop::made(self.heartbeat()),
            _ => self.entity.read(look, property),
        }
    }

    fn entity(&self) -> Option<&Entity> {
        Some(&self.entity)
    }

    fn entity_mut(&mut self) -> Option<&mut Entity> {
        Some(&mut self.entity)
    }
}
