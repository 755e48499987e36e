//! Virtual machines.

use vsphere_model::managed;
use vsphere_model::types::{
    GuestInfo, ManagedEntityStatus, ResourceConfigSpec, VirtualMachineConfigInfo, VirtualMachineRuntimeInfo,
    VirtualMachineSnapshotInfo,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::call::Methods;
use crate::world::{Entity, Look, Managed, Moref, Prop};

pub(crate) const METHODS: Methods = &[];

/// The managed object `VirtualMachine`.
pub(crate) struct Vm {
    entity: Entity,
    pub(crate) config: VirtualMachineConfigInfo,
    pub(crate) runtime: VirtualMachineRuntimeInfo,
    pub(crate) guest: GuestInfo,
    /// The resource pool; a template has none.
    pub(crate) pool: Option<Moref>,
    pub(crate) resource_config: ResourceConfigSpec,
    pub(crate) datastores: Vec<Moref>,
    pub(crate) networks: Vec<Moref>,
    pub(crate) snapshot: Option<VirtualMachineSnapshotInfo>,
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
            "guestHeartbeatStatus" => Prop::made(ManagedEntityStatus::Gray),
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
