//! Who calls, and what he may do.

use rmcp::{RoleServer, service::RequestContext};

use crate::Permission;

/// The one who makes a call. A transport that knows its callers puts this into the extensions of each request; on
/// standard input there is one caller, who has started the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// His name in the audit.
    pub(crate) name: String,
    /// The highest level that he has.
    pub(crate) permission: Permission,
}

impl Caller {
    /// The user who has started this process.
    pub(crate) fn local(permission: Permission) -> Self {
        let name = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
        Self { name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| "local".to_owned()), permission }
    }

    /// The caller of this request, or else the local user.
    pub(crate) fn of(context: &RequestContext<RoleServer>, local: &Self) -> Self {
        context.extensions.get::<Self>().unwrap_or(local).clone()
    }

    /// Why he may not use a tool that needs this level, or `None` where he may.
    pub(crate) fn refusal(&self, tool: &str, needed: Permission) -> Option<String> {
        (self.permission < needed).then(|| {
            format!(
                "{tool} needs the permission level {needed}, and {} has {} (MCP_PERMISSION)",
                self.name, self.permission
            )
        })
    }
}
