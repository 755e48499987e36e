//! Virtual machines: what one is, and what the server says of it.
//!
//! | file | has |
//! |---|---|
//! | `create` | the making of a machine, and where it is placed |
//! | `hardware/` | its devices: kinds, keys, places, changes |
//! | `config`, `draft` | its configuration, and how a specification changes it |
//! | `environment` | what it can be given where it is |
//! | `files` | where its files are |
//! | `properties` | what is computed when somebody looks |

mod config;
mod create;
mod draft;
pub(crate) mod environment;
mod files;
mod guest_os;
pub(crate) mod hardware;
mod properties;

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

pub(crate) use create::{Placement, create};
pub(crate) use guest::GuestPlan;
pub(crate) use power::Life;

use crate::call::{Handler, Methods};
use crate::world::{Entity, Look, Managed, Moref, Prop};

pub(crate) const METHODS: Methods = &[("Folder", "CreateVM_Task", Handler::Write(create::create_task))];

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
            "rootSnapshot" => Prop::made_list(self.root_snapshots()),
            "summary" => Prop::made(self.summary(look)),
            "storage" => Prop::made(self.storage(look.world)),
            "layout" => Prop::made(self.layout(look.world)),
            "layoutEx" => Prop::made(self.layout_ex(look.world)),
            "capability" => Prop::made(properties::capability()),
            "environmentBrowser" => Prop::made(Moref::new("EnvironmentBrowser", environment::id_of(look.me))),
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
