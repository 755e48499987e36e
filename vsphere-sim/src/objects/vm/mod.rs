//! Virtual machines: what one is, and what the server says of it.
//!
//! | file | has |
//! |---|---|
//! | `create` | the making of a machine, and where it is placed |
//! | `hardware/` | its devices: kinds, keys, places, changes |
//! | `reconfigure`, `clone`, `relocate`, `register`, `template`, `destroy` | what is done with a machine |
//! | `checker`, `compatibility`, `obstacles` | what stands in the way of a migration, or of a machine on a host |
//! | `customize` | what is to be different in its guest |
//! | `config`, `draft` | its configuration, and how a specification changes it |
//! | `environment` | what it can be given where it is |
//! | `files` | where its files are |
//! | `properties`, `stats` | what is computed when somebody looks |
//! | `power`, `room`, `question` | its power, the host that it runs on, what it asks before |
//! | `guest`, `tools`, `console` | what runs in it, and what can be done from outside |
//! | `screen`, `keys` | what is seen on its screen, and typed |
//! | `snapshot`, `chain` | its snapshots, and the disk files that they freeze |

pub(crate) mod application;
mod chain;
pub(crate) mod checker;
mod clone;
pub(crate) mod compatibility;
mod config;
pub(crate) mod console;
mod create;
mod customize;
mod destroy;
mod draft;
pub(crate) mod environment;
mod files;
pub(crate) mod guest;
mod guest_os;
pub(crate) mod hardware;
mod keys;
mod obstacles;
pub(crate) mod power;
mod properties;
pub(crate) mod question;
mod reconfigure;
mod register;
mod relocate;
mod room;
pub(crate) mod screen;
pub(crate) mod snapshot;
mod stats;
pub(crate) mod template;
pub(crate) mod tools;

use vsphere_model::managed;
use vsphere_model::types::{
    CustomizationSpec, GuestInfo, ResourceConfigSpec, VirtualMachineConfigInfo, VirtualMachineRuntimeInfo,
    VirtualMachineSnapshotInfo,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

pub(crate) use create::{Placement, create};
pub(crate) use destroy::{check_removal, destroy, unregister};
pub(crate) use files::{Place, datastore_renamed};
pub(crate) use guest::GuestPlan;
pub(crate) use obstacles::missing_features;
pub(crate) use power::Life;
pub(crate) use room::elsewhere;
pub(crate) use stats::{Spell, Strain};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::Outcome;
use crate::guest::System;
use crate::world::{Entity, Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("Folder", "CreateVM_Task", Handler::Write(create::create_task)),
    ("Folder", "RegisterVM_Task", Handler::Write(register::task)),
    ("VirtualMachine", "ReconfigVM_Task", Handler::Write(reconfigure::task)),
    ("VirtualMachine", "CloneVM_Task", Handler::Write(clone::task)),
    ("VirtualMachine", "CustomizeVM_Task", Handler::Write(customize::task)),
    ("VirtualMachine", "RelocateVM_Task", Handler::Write(relocate::relocate_task)),
    ("VirtualMachine", "MigrateVM_Task", Handler::Write(relocate::migrate_task)),
    ("VirtualMachine", "MarkAsTemplate", Handler::Write(template::mark_as_template)),
    ("VirtualMachine", "MarkAsVirtualMachine", Handler::Write(template::mark_as_machine)),
    ("VirtualMachine", "UnregisterVM", Handler::Write(destroy::unregister_now)),
    ("VirtualMachine", "Destroy_Task", Handler::Write(destroy::destroy_task)),
    ("VirtualMachine", "RefreshStorageInfo", Handler::Write(refresh_storage)),
];

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
    /// What is in that system, once somebody has looked.
    pub(crate) guest_system: Option<Box<System>>,
    /// What the guest is to change about itself at its next start.
    pub(crate) customization: Option<Box<CustomizationSpec>>,
    pub(crate) life: Life,
    pub(crate) strain: Strain,
}

/// The figures are computed when somebody looks, and current always.
fn refresh_storage(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.touch(&call.target);
    Ok(Reply::NONE)
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
            "summary" => Prop::made(self.summary(look, |_| true)),
            "storage" => Prop::made(self.storage(look.world)),
            "layout" => Prop::made(self.layout(look.world)),
            "layoutEx" => Prop::made(self.layout_ex(look.world)),
            "capability" => Prop::made(properties::capability()),
            "environmentBrowser" => Prop::made(environment::browser_of(look.me)),
            "guestHeartbeatStatus" => Prop::made(self.heartbeat()),
            _ => self.entity.read(look, property),
        }
    }

    fn read_for<'a>(&'a self, look: &Look<'a>, property: &str, path: &str) -> Prop<'a> {
        match property {
            "summary" => Prop::made(self.summary(look, |part| path.split('.').next() == Some(part))),
            _ => self.read(look, property),
        }
    }

    fn entity(&self) -> Option<&Entity> {
        Some(&self.entity)
    }

    fn entity_mut(&mut self) -> Option<&mut Entity> {
        Some(&mut self.entity)
    }
}
