//! What a tool says of itself besides its schema: the permission that a caller needs, its toolset, its older names.

use std::fmt;

use rmcp::model::MetaObject;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The level that a caller needs for a tool; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Looks, and changes nothing.
    ReadOnly,
    /// Changes the power state of virtual machines, and their snapshots.
    PowerOps,
    /// Creates, changes and deletes virtual machines and what belongs to them.
    VmLifecycle,
    /// Changes hosts.
    HostAdmin,
    /// Everything, the inside of guests and the services of hosts included.
    FullAdmin,
}

impl Permission {
    /// All levels, the lowest first.
    pub const ALL: [Self; 5] = [Self::ReadOnly, Self::PowerOps, Self::VmLifecycle, Self::HostAdmin, Self::FullAdmin];

    /// Its name on the wire and in the audit.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::PowerOps => "power_ops",
            Self::VmLifecycle => "vm_lifecycle",
            Self::HostAdmin => "host_admin",
            Self::FullAdmin => "full_admin",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The family of a tool, by which a user chooses what is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Toolset {
    /// Virtual machines: look, create, clone, change, delete.
    Vm,
    /// Power states.
    Power,
    /// Snapshots.
    Snapshots,
    /// What runs inside of guests, by VMware Tools.
    Guest,
    /// Screens, measurements, the state of VMware Tools, alarms and events.
    Monitoring,
    /// Serial ports.
    Serial,
    /// Virtual disks and CD drives.
    Disks,
    /// Virtual network adapters.
    Nics,
    /// Files in datastores.
    Files,
    /// OVF and OVA packages.
    Ovf,
    /// Hosts, their services and their maintenance.
    Hosts,
    /// Datastores.
    Storage,
    /// Networks.
    Network,
    /// The vCenter Server itself, its folders, clusters and resource pools, and moves between these.
    Vcenter,
    /// Tags.
    Tags,
    /// Tasks of the server.
    Tasks,
}

impl Toolset {
    /// All families.
    pub const ALL: [Self; 16] = [
        Self::Vm,
        Self::Power,
        Self::Snapshots,
        Self::Guest,
        Self::Monitoring,
        Self::Serial,
        Self::Disks,
        Self::Nics,
        Self::Files,
        Self::Ovf,
        Self::Hosts,
        Self::Storage,
        Self::Network,
        Self::Vcenter,
        Self::Tags,
        Self::Tasks,
    ];

    /// Its name on the wire and in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Power => "power",
            Self::Snapshots => "snapshots",
            Self::Guest => "guest",
            Self::Monitoring => "monitoring",
            Self::Serial => "serial",
            Self::Disks => "disks",
            Self::Nics => "nics",
            Self::Files => "files",
            Self::Ovf => "ovf",
            Self::Hosts => "hosts",
            Self::Storage => "storage",
            Self::Network => "network",
            Self::Vcenter => "vcenter",
            Self::Tags => "tags",
            Self::Tasks => "tasks",
        }
    }
}

impl fmt::Display for Toolset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A tool's facts, as they stand in its `meta`. What clients have no use for is taken out before they see it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Facts {
    #[serde(rename = "mcvsphere/permission")]
    pub(crate) permission: Permission,
    #[serde(rename = "mcvsphere/toolset")]
    pub(crate) toolset: Toolset,
    #[serde(rename = "mcvsphere/aliases")]
    pub(crate) aliases: Vec<String>,
    /// The privileges of vSphere that the user who is logged in needs for it.
    #[serde(rename = "mcvsphere/privileges", default = "only_to_look")]
    pub(crate) privileges: Vec<String>,
    /// Whether it asks before it acts.
    #[serde(skip)]
    pub(crate) destructive: bool,
}

impl Facts {
    /// Whether it says that it needs no more than to look.
    pub(crate) fn only_looks(&self) -> bool {
        self.privileges.iter().all(|privilege| LOOKING.contains(&privilege.as_str()))
    }
}

/// The privileges that change nothing.
const LOOKING: [&str; 3] = ["System.Anonymous", "System.View", "System.Read"];

/// The keys of facts that no client needs to see.
pub(crate) const HIDDEN: [&str; 2] = ["mcvsphere/aliases", "mcvsphere/privileges"];

/// What a tool needs that says nothing of it: to read properties.
fn only_to_look() -> Vec<String> {
    vec!["System.Read".to_owned()]
}

/// The `meta` of a `#[tool]`: its family, the permission that it needs, and its older names, which calls may still use.
/// A tool that changes something says besides with [`needs`] what that takes in vSphere.
pub fn tool_meta(toolset: Toolset, permission: Permission, aliases: &[&str]) -> MetaObject {
    let mut meta = MetaObject::new();
    meta.insert("mcvsphere/permission".to_owned(), json!(permission.name()));
    meta.insert("mcvsphere/toolset".to_owned(), json!(toolset));
    meta.insert("mcvsphere/aliases".to_owned(), json!(aliases));
    meta
}

/// The `meta` with the privileges of vSphere (`VirtualMachine.Interact.PowerOn`) that the tool needs besides reading
/// properties. `mcvsphere doctor` says which of them the user has not.
pub fn needs(mut meta: MetaObject, privileges: &[&str]) -> MetaObject {
    let all: Vec<String> = only_to_look().into_iter().chain(privileges.iter().map(|id| (*id).to_owned())).collect();
    meta.insert("mcvsphere/privileges".to_owned(), json!(all));
    meta
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        for permission in Permission::ALL {
            assert_eq!(json!(permission), permission.name());
        }
        for toolset in Toolset::ALL {
            assert_eq!(json!(toolset), toolset.name());
        }
        assert!(Permission::ALL.is_sorted());
    }
}
