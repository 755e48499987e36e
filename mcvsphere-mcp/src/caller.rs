//! Who makes a request, and in which session.
//!
//! A caller has no default: the transport makes it and puts it into the extensions of each request, and a request without
//! one is refused. What belongs to somebody is kept under their [`Identity`], which no two people share, and never under
//! the name that is shown.

use std::{fmt, sync::Arc};

use rmcp::{
    ErrorData, RoleServer,
    model::{ClientJsonRpcMessage, GetExtensions, JsonRpcMessage, ProtocolVersion},
    service::{RequestContext, RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use serde::Serialize;
use serde_json::json;

use crate::{Permission, http::tokens::ISSUER};

/// The person or program that makes a request.
///
/// ```
/// use mcvsphere_mcp::{Caller, Permission};
///
/// let operator = Caller::remote("https://login.example", "248289761001")
///     .named("jane")
///     .in_groups(["vsphere-operators"])
///     .with_level(Permission::PowerOps);
/// assert_eq!(operator.level(), Some(Permission::PowerOps));
/// // A caller without a level may call nothing.
/// assert_eq!(Caller::remote("https://login.example", "1").level(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    identity: Identity,
    name: String,
    groups: Vec<String>,
    level: Option<Permission>,
    /// What sets the level, for those who find it too low.
    level_by: Option<Arc<str>>,
}

/// What tells one caller from all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Identity {
    /// The user who started this process.
    Local,
    /// Whom an issuer knows by a subject: the pair is unique, each part alone is not.
    Remote { issuer: Arc<str>, subject: Arc<str> },
}

impl Caller {
    /// The user who started this process, with at most this level.
    pub fn local(level: Permission) -> Self {
        let name = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
        Self {
            identity: Identity::Local,
            name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| "local".to_owned()),
            groups: Vec::new(),
            level: Some(level),
            level_by: Some("MCP_PERMISSION".into()),
        }
    }

    /// A caller whom this issuer knows by this subject. Without a level they may call nothing.
    pub fn remote(issuer: impl Into<Arc<str>>, subject: impl Into<Arc<str>>) -> Self {
        let (issuer, subject) = (issuer.into(), subject.into());
        let name = subject.to_string();
        Self { identity: Identity::Remote { issuer, subject }, name, groups: Vec::new(), level: None, level_by: None }
    }

    /// The caller with the name that logs and errors show. It identifies nobody.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The caller as a member of these groups.
    #[must_use]
    pub fn in_groups(self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { groups: groups.into_iter().map(Into::into).collect(), ..self }
    }

    /// The caller with this level.
    #[must_use]
    pub fn with_level(self, level: Permission) -> Self {
        Self { level: Some(level), ..self }
    }

    /// The caller, whose level this sets: a setting, an entry, a group. A refusal says so.
    #[must_use]
    pub fn with_level_by(self, level: Permission, by: impl Into<Arc<str>>) -> Self {
        Self { level: Some(level), level_by: Some(by.into()), ..self }
    }

    /// The caller with at most this level, which `MCP_PERMISSION` sets.
    #[must_use]
    pub(crate) fn at_most(self, most: Permission) -> Self {
        match self.level {
            Some(level) if level > most => self.with_level_by(most, "MCP_PERMISSION"),
            _ => self,
        }
    }

    /// The name that logs and errors show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The groups that the issuer names.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Whether the caller is whom a rule of the policy names: a member of a group, a token by `token:NAME`, or by `local` who
    /// started this process. No group of a provider passes for one of the last two.
    pub(crate) fn is_in(&self, who: &str) -> bool {
        match (&self.identity, who.strip_prefix("token:")) {
            (Identity::Remote { issuer, subject }, Some(token)) => **issuer == *ISSUER && **subject == *token,
            (Identity::Local, Some(_)) => false,
            (identity, None) if who == "local" => *identity == Identity::Local,
            (_, None) => self.groups.iter().any(|group| group == who),
        }
    }

    /// The highest level that the caller has.
    pub fn level(&self) -> Option<Permission> {
        self.level
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Why the caller may not do something that needs this level, or `None` where they may.
    pub(crate) fn refusal(&self, what: &str, needed: Permission) -> Option<String> {
        if self.level >= Some(needed) {
            return None;
        }
        let name = &self.name;
        let by = self.level_by.as_ref().map(|by| format!(" ({by})")).unwrap_or_default();
        Some(match self.level {
            Some(level) => format!("{what} needs the permission level {needed}, and {name} has {level}{by}"),
            None => format!("{what} needs the permission level {needed}, and {name} has none"),
        })
    }
}

/// Whose a task, a confirmation token, a subscription or a cursor is: a caller in a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Owner {
    pub(crate) identity: Identity,
    pub(crate) session: SessionKey,
}

/// Where the requests of one client belong together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SessionKey {
    /// A session that began with `initialize`.
    Session(u64),
    /// A client whose requests each stand for themselves, by the name and version that it gives.
    Stateless(String),
}

/// A request that has passed the gate: who made it, and in which session.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) caller: Caller,
    pub(crate) session: SessionKey,
    /// Whether the client speaks the revision in which each result stands for itself.
    pub(crate) stateless: bool,
}

impl Visit {
    /// The visit that this request, which came in the session `session`, is.
    ///
    /// # Errors
    /// The request carries no caller.
    pub(crate) fn of(context: &RequestContext<RoleServer>, session: u64) -> Result<Self, ErrorData> {
        let carried = context.extensions.get::<Caller>().or_else(|| {
            let parts = context.extensions.get::<http::request::Parts>()?;
            parts.extensions.get::<Caller>()
        });
        let caller = carried.cloned().ok_or_else(|| {
            let message = "this request carries no identity, so nothing was done: the transport has to say who calls";
            ErrorData::invalid_request(message, Some(json!({ "code": "unauthenticated" })))
        })?;
        let stateless = context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28);
        let session = match context.client_info() {
            Some(client) if stateless => SessionKey::Stateless(format!("{}/{}", client.name, client.version)),
            _ if stateless => SessionKey::Stateless(String::new()),
            _ => SessionKey::Session(session),
        };
        Ok(Self { caller, session, stateless })
    }

    /// Under what is kept what belongs to this caller in this session.
    pub(crate) fn owner(&self) -> Owner {
        Owner { identity: self.caller.identity.clone(), session: self.session.clone() }
    }
}

/// A transport all of whose requests one caller makes, such as the standard input of a process.
pub(crate) struct Identified<T> {
    pub(crate) transport: T,
    pub(crate) caller: Caller,
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Identified<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.transport.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let mut message: ClientJsonRpcMessage = self.transport.receive().await?;
        if let JsonRpcMessage::Request(request) = &mut message {
            request.request.extensions_mut().insert(self.caller.clone());
        }
        Some(message)
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.transport.close().await
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_identifies_nobody() {
        let caller = |issuer: &str| Caller::remote(issuer, "1").named("jane");
        assert_eq!(caller("https://a").name(), caller("https://b").name());
        assert_ne!(caller("https://a").identity(), caller("https://b").identity());
        assert_ne!(caller("https://a").identity(), Caller::local(Permission::ReadOnly).named("jane").identity());
    }

    #[test]
    fn a_refusal_names_both_levels() {
        let jane = Caller::remote("https://a", "1").named("jane");
        assert_eq!(
            jane.refusal("list_vms", Permission::ReadOnly).as_deref(),
            Some("list_vms needs the permission level read_only, and jane has none")
        );
        let jane = jane.with_level(Permission::PowerOps);
        assert_eq!(jane.refusal("power_on_vm", Permission::PowerOps), None);
        assert_eq!(jane.refusal("list_vms", Permission::ReadOnly), None);
        assert_eq!(
            jane.refusal("create_vm", Permission::VmLifecycle).as_deref(),
            Some("create_vm needs the permission level vm_lifecycle, and jane has power_ops")
        );
        let local = Caller::local(Permission::ReadOnly).named("me");
        assert!(local.refusal("power_on_vm", Permission::PowerOps).unwrap().ends_with("(MCP_PERMISSION)"));
        let token = Caller::remote("a", "ci").with_level_by(Permission::HostAdmin, "the entry `ci` of `tokens`");
        let refusal = token.clone().refusal("restart_service", Permission::FullAdmin).unwrap();
        assert!(refusal.ends_with("ci has host_admin (the entry `ci` of `tokens`)"), "{refusal}");
        let capped = token.at_most(Permission::ReadOnly).refusal("power_on_vm", Permission::PowerOps).unwrap();
        assert!(capped.ends_with("ci has read_only (MCP_PERMISSION)"), "{capped}");
    }
}
