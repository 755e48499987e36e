//! Who may call a tool, what it does, whether it asks first.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// Any method of the API of vSphere, by its name. It is offered only where it is named.
    Api,
}

impl Toolset {
    /// All families.
    pub const ALL: [Self; 17] = [
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
        Self::Api,
    ];

    /// Whether it is offered only where it is named: what it offers is no family of vSphere, and others are safer.
    pub(crate) fn is_extra(self) -> bool {
        self == Self::Api
    }

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
            Self::Api => "api",
        }
    }
}

impl fmt::Display for Toolset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a call of a tool does, whoever may call it. The level says who may; the effect decides what `--read-only` leaves
/// out, what the hints of MCP say, and what the cache has to read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Looks, and changes nothing anywhere.
    Reads,
    /// Changes something in vSphere.
    Vsphere,
    /// Changes something inside a guest, which vSphere does not see.
    Guest,
    /// Writes a file on this machine.
    LocalFile,
}

/// What the server needs to know of a tool before it runs a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    /// The level that a caller needs.
    pub(crate) permission: Permission,
    pub(crate) toolset: Toolset,
    pub(crate) effect: Effect,
    /// Whether it asks the user before it acts, unless a call would lose nothing.
    pub(crate) asks: bool,
    /// Whether it may take longer than clients wait, so that a call may be handed over.
    pub(crate) is_long: bool,
    /// Whether the level and the effect of a call depend on its arguments: then the level is the least, and the effect the most.
    pub(crate) by_call: bool,
    /// Older names, by which calls are still accepted.
    pub(crate) aliases: Vec<&'static str>,
    /// The privileges of vSphere that the user who is logged in needs for it.
    pub(crate) privileges: Vec<&'static str>,
}

impl Spec {
    pub(crate) fn new(toolset: Toolset, permission: Permission, effect: Effect) -> Self {
        Self {
            permission,
            toolset,
            effect,
            asks: false,
            is_long: false,
            by_call: false,
            aliases: Vec::new(),
            privileges: vec![LOOKING[0]],
        }
    }

    /// Whether it names no privilege beyond looking.
    pub(crate) fn only_looks(&self) -> bool {
        self.privileges.iter().all(|privilege| LOOKING.contains(privilege))
    }
}

/// The privileges that change nothing; the first is the one that every tool needs.
const LOOKING: [&str; 3] = ["System.Read", "System.View", "System.Anonymous"];

#[cfg(test)]
mod tests {
    use serde_json::json;

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
