//! All tools, checked once at start: what they are called, what they need, what clients see of them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use rmcp::{handler::server::tool::ToolRouter, model::Tool};

use crate::{
    Permission, Server,
    arguments::nearest,
    permission::{ALIASES, Facts},
    schema,
};

/// The tools of a server.
pub(crate) struct Catalog {
    router: ToolRouter<Server>,
    facts: HashMap<String, Facts>,
    /// From an older name to the tool's name.
    aliases: BTreeMap<String, String>,
}

impl Catalog {
    /// Checks and tidies the tools.
    ///
    /// # Errors
    /// [`CatalogError`] when a tool lacks a permission, a toolset or annotations, when these contradict each other, or
    /// when two tools have a name in common: such a server must not start.
    pub(crate) fn new(mut router: ToolRouter<Server>) -> Result<Self, CatalogError> {
        let mut facts = HashMap::new();
        let mut aliases = BTreeMap::new();
        for route in router.map.values_mut() {
            let tool = &mut route.attr;
            let name = tool.name.to_string();
            let problem = |text: String| CatalogError { tool: name.clone(), problem: text };
            let its = facts_of(tool).map_err(problem)?;
            settle_annotations(tool, its.permission).map_err(problem)?;
            if tool.description.as_ref().is_none_or(|text| text.trim().is_empty()) {
                return Err(problem("it has no description".to_owned()));
            }
            schema::clean(tool);
            for alias in &its.aliases {
                if let Some(other) = aliases.insert(alias.clone(), name.clone()) {
                    return Err(problem(format!("its older name `{alias}` is also that of `{other}`")));
                }
            }
            facts.insert(name, its);
        }
        if let Some((alias, tool)) = aliases.iter().find(|(alias, _)| facts.contains_key(*alias)) {
            let problem = format!("its older name `{alias}` is the name of another tool");
            return Err(CatalogError { tool: tool.clone(), problem });
        }
        Ok(Self { router, facts, aliases })
    }

    /// The tool's present name and its facts, for a present or an older name.
    pub(crate) fn resolve(&self, name: &str) -> Option<(&str, &Facts)> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        self.facts.get_key_value(name).map(|(name, facts)| (name.as_str(), facts))
    }

    /// The present name that someone who wrote `name` may have meant.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.facts.keys())
    }

    /// The tools as clients see them, sorted by name.
    pub(crate) fn tools(&self) -> Vec<Tool> {
        self.router.list_all()
    }

    /// One tool as clients see it.
    pub(crate) fn tool(&self, name: &str) -> Option<&Tool> {
        self.router.get(name)
    }

    /// What runs the calls.
    pub(crate) fn router(&self) -> &ToolRouter<Server> {
        &self.router
    }
}

/// Why a server with these tools must not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogError {
    tool: String,
    problem: String,
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tool `{}`: {}", self.tool, self.problem)
    }
}

impl std::error::Error for CatalogError {}

/// Reads the facts out of the tool's meta, and takes out of it what is not for clients.
fn facts_of(tool: &mut Tool) -> Result<Facts, String> {
    let missing = || "it has no permission and toolset: give it `meta = tool_meta(…)`".to_owned();
    let meta = tool.meta.as_mut().ok_or_else(missing)?;
    let value = serde_json::Value::Object((**meta).clone());
    let facts = serde_json::from_value(value).map_err(|error| format!("{}: {error}", missing()))?;
    meta.remove(ALIASES);
    Ok(facts)
}

/// Holds the hints against the permission and fills in those whose default in MCP is wrong here.
fn settle_annotations(tool: &mut Tool, permission: Permission) -> Result<(), String> {
    let hints = tool.annotations.as_mut().ok_or("it has no annotations")?;
    if hints.title.is_none() {
        return Err("its annotations have no title".to_owned());
    }
    let read_only = hints.read_only_hint.unwrap_or(false);
    if permission == Permission::ReadOnly && !read_only {
        return Err("its permission is read_only, but not its readOnlyHint".to_owned());
    }
    if read_only {
        if hints.destructive_hint.is_some() || hints.idempotent_hint.is_some() {
            return Err("a read-only tool is neither destructive nor idempotent".to_owned());
        }
    } else if hints.destructive_hint.is_none() || hints.idempotent_hint.is_none() {
        // MCP takes a tool without the hint as destructive: whoever adds a tool has to decide.
        return Err("it changes something: say whether it is destructive and idempotent".to_owned());
    }
    hints.read_only_hint = Some(read_only);
    // One vSphere is a closed world; MCP takes a tool without this hint as reaching an open one.
    hints.open_world_hint = Some(false);
    Ok(())
}
