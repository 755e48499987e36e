//! What a tool says of itself besides its schema: the permission that a caller needs, its toolset, its older names.

use rmcp::model::MetaObject;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The level that a caller needs for a tool.
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
    /// Its name on the wire and in the audit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::PowerOps => "power_ops",
            Self::VmLifecycle => "vm_lifecycle",
            Self::HostAdmin => "host_admin",
            Self::FullAdmin => "full_admin",
        }
    }
}

/// The family of a tool, by which a user chooses what is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Toolset {
    /// Virtual machines.
    Vm,
    /// Power states.
    Power,
    /// Hosts.
    Host,
    /// The vCenter Server itself and its inventory.
    Vcenter,
}

/// A tool's facts, as they stand in its `meta`. The older names are taken out before a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Facts {
    #[serde(rename = "mcvsphere/permission")]
    pub(crate) permission: Permission,
    #[serde(rename = "mcvsphere/toolset")]
    pub(crate) toolset: Toolset,
    #[serde(rename = "mcvsphere/aliases")]
    pub(crate) aliases: Vec<String>,
}

/// The key of the older names, which no client needs to see.
pub(crate) const ALIASES: &str = "mcvsphere/aliases";

/// The `meta` of a `#[tool]`: its family, the permission that it needs, and its older names, which calls may still use.
pub fn tool_meta(toolset: Toolset, permission: Permission, aliases: &[&str]) -> MetaObject {
    let mut meta = MetaObject::new();
    meta.insert("mcvsphere/permission".to_owned(), json!(permission.name()));
    meta.insert("mcvsphere/toolset".to_owned(), json!(toolset));
    meta.insert(ALIASES.to_owned(), json!(aliases));
    meta
}
