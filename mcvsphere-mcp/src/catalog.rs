//! All tools, checked once at start: what they are called, what they need, what clients see of them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use rmcp::{handler::server::tool::ToolRouter, model::Tool};

use crate::{
    Permission, Server, SettingsError, Toolset,
    arguments::nearest,
    audit::AuditError,
    caller::Caller,
    confirm,
    offer::Offer,
    output,
    permission::{Effect, HIDDEN, Spec},
    schema,
};

/// The tools of a server.
pub(crate) struct Catalog {
    router: ToolRouter<Server>,
    specs: HashMap<String, Spec>,
    /// From an older name to the tool's name.
    aliases: BTreeMap<String, String>,
    offer: Offer,
}

impl Catalog {
    /// Checks and tidies the tools.
    ///
    /// # Errors
    /// [`CatalogError`] when a tool lacks a permission, a toolset, annotations or, where it changes something, privileges
    /// of vSphere, when these contradict each other, or when two tools have a name in common: such a server must not start. [`SettingsError`] when a setting names a tool
    /// that there is not.
    pub(crate) fn new(mut router: ToolRouter<Server>, offer: Offer, output_schemas: bool) -> Result<Self, StartError> {
        let mut specs = HashMap::new();
        let mut aliases = BTreeMap::new();
        for route in router.map.values_mut() {
            let tool = &mut route.attr;
            let name = tool.name.to_string();
            let problem = |text: String| CatalogError { tool: name.clone(), problem: text };
            let its = spec_of(tool).map_err(problem)?;
            settle_annotations(tool, its.effect).map_err(problem)?;
            if tool.description.as_ref().is_none_or(|text| text.trim().is_empty()) {
                return Err(problem("it has no description".to_owned()).into());
            }
            schema::clean(tool);
            // With the settings' own names, which may be older ones: whoever allows a tool by such a name still may pass a plan.
            let asks = offer.asks_before(&name, &its);
            if output_schemas {
                tool.output_schema = output::schema(&name, asks).map(Arc::new);
            }
            if asks {
                schema::add_text(tool, confirm::ARGUMENT, confirm::ARGUMENT_MEANING).map_err(problem)?;
            }
            for alias in &its.aliases {
                if let Some(other) = aliases.insert(alias.clone(), name.clone()) {
                    return Err(problem(format!("its older name `{alias}` is also that of `{other}`")).into());
                }
            }
            specs.insert(name, its);
        }
        if let Some((alias, tool)) = aliases.iter().find(|(alias, _)| specs.contains_key(*alias)) {
            let problem = format!("its older name `{alias}` is the name of another tool");
            return Err(CatalogError { tool: tool.clone(), problem }.into());
        }
        let mut catalog = Self { router, specs, aliases, offer: Offer::default() };
        catalog.offer = offer.resolved(|name| Some(catalog.resolve(name)?.0), |name| catalog.nearest(name))?;
        Ok(catalog)
    }

    /// The tool's present name and what it says of itself, for a present or an older name.
    pub(crate) fn resolve(&self, name: &str) -> Option<(&str, &Spec)> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        self.specs.get_key_value(name).map(|(name, spec)| (name.as_str(), spec))
    }

    /// The present name that someone who wrote `name` may have meant.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.specs.keys())
    }

    /// Why this caller may not use a tool, or `None` where they may.
    pub(crate) fn refusal(&self, tool: &str, spec: &Spec, caller: &Caller) -> Option<Refusal> {
        let not_offered = self.offer.refusal(tool, spec).map(|message| Refusal { code: "not_offered", message });
        not_offered.or_else(|| {
            let message = caller.refusal(tool, spec.permission)?;
            Some(Refusal { code: "permission", message })
        })
    }

    /// Whether this caller may use the tool of this name.
    pub(crate) fn may_call(&self, tool: &str, caller: &Caller) -> bool {
        self.specs.get(tool).is_some_and(|spec| self.refusal(tool, spec, caller).is_none())
    }

    /// Why this caller may not look at what the tools of a family are about, or `None` where they may.
    pub(crate) fn refusal_to_look(&self, what: &str, toolset: Toolset, caller: &Caller) -> Option<Refusal> {
        if !self.offer.has(toolset, |tool| Some(self.specs.get(tool)?.toolset)) {
            let message = format!("{what} belongs to the toolset {toolset}, which this server does not offer");
            return Some(Refusal { code: "not_offered", message });
        }
        let message = caller.refusal(what, Permission::ReadOnly)?;
        Some(Refusal { code: "permission", message })
    }

    /// The tools that this caller may use, as clients see them, sorted by name.
    pub(crate) fn tools(&self, caller: &Caller) -> Vec<Tool> {
        self.router.list_all().into_iter().filter(|tool| self.may_call(&tool.name, caller)).collect()
    }

    /// Which privileges of vSphere the tools that are offered need, by toolset, each with the tools that need it.
    pub(crate) fn needs(&self) -> BTreeMap<Toolset, BTreeMap<&str, Vec<&str>>> {
        let mut needs: BTreeMap<Toolset, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
        let offered = self.specs.iter().filter(|(tool, spec)| self.offer.refusal(tool, spec).is_none());
        for (tool, spec) in offered {
            let of_toolset = needs.entry(spec.toolset).or_default();
            for privilege in &spec.privileges {
                of_toolset.entry(privilege).or_default().push(tool);
            }
        }
        for tools in needs.values_mut().flat_map(BTreeMap::values_mut) {
            tools.sort_unstable();
        }
        needs
    }

    /// Whether the user is asked before this tool acts.
    pub(crate) fn asks_before(&self, tool: &str) -> bool {
        self.specs.get(tool).is_some_and(|spec| self.offer.asks_before(tool, spec))
    }

    /// When the user is asked.
    pub(crate) fn confirm_mode(&self) -> confirm::Mode {
        self.offer.confirm
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

/// Why a caller may not use a tool.
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Why a server cannot start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// A tool is not fit to be offered.
    Catalog(CatalogError),
    /// A setting does not make sense.
    Settings(SettingsError),
    /// The system gives no random numbers, without which a confirmation could be forged.
    NoRandomness,
    /// The audit file cannot be written, for this reason.
    Audit(String),
}

impl From<CatalogError> for StartError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl From<SettingsError> for StartError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error)
    }
}

impl From<confirm::NoRandomness> for StartError {
    fn from(_: confirm::NoRandomness) -> Self {
        Self::NoRandomness
    }
}

impl From<AuditError> for StartError {
    fn from(error: AuditError) -> Self {
        Self::Audit(error.to_string())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(error) => error.fmt(f),
            Self::Settings(error) => error.fmt(f),
            Self::NoRandomness => f.write_str("the system gives no random numbers"),
            Self::Audit(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StartError {}

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

/// Reads what a tool says of itself out of its meta, and takes out of that what is not for clients.
fn spec_of(tool: &mut Tool) -> Result<Spec, String> {
    let missing = || "it has no permission and toolset: give it `meta = Spec::….meta()`".to_owned();
    let meta = tool.meta.as_mut().ok_or_else(missing)?;
    let value = serde_json::Value::Object((**meta).clone());
    let spec: Spec = serde_json::from_value(value).map_err(|error| format!("{}: {error}", missing()))?;
    HIDDEN.iter().for_each(|key| drop(meta.remove(*key)));
    if spec.effect != Effect::Reads && spec.only_looks() {
        return Err("it changes something: say which privileges of vSphere that takes".to_owned());
    }
    if spec.effect == Effect::Reads && spec.asks {
        return Err("it changes nothing, so there is nothing to ask".to_owned());
    }
    Ok(spec)
}

/// Holds the hints against the effect and fills in those whose default in MCP is wrong here.
fn settle_annotations(tool: &mut Tool, effect: Effect) -> Result<(), String> {
    let hints = tool.annotations.as_mut().ok_or("it has no annotations")?;
    if hints.title.is_none() {
        return Err("its annotations have no title".to_owned());
    }
    let read_only = hints.read_only_hint.unwrap_or(false);
    match (effect == Effect::Reads, read_only) {
        (true, false) => return Err("it changes nothing, but its readOnlyHint does not say so".to_owned()),
        (false, true) => return Err("it changes something, but its readOnlyHint says that it does not".to_owned()),
        _ => {}
    }
    if read_only {
        if hints.destructive_hint.is_some() || hints.idempotent_hint.is_some() {
            return Err("a read-only tool is neither destructive nor idempotent".to_owned());
        }
    } else if hints.destructive_hint.is_none() || hints.idempotent_hint.is_none() {
        // MCP takes a tool without the hint as destructive: a new tool has to decide.
        return Err("it changes something: say whether it is destructive and idempotent".to_owned());
    }
    hints.read_only_hint = Some(read_only);
    // One vSphere is a closed world; MCP takes a tool without this hint as reaching an open one.
    hints.open_world_hint = Some(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vsphere_ops::{Client, Config};
    use vsphere_sim::{Model, Role, Sim, Size};

    use super::*;

    /// A server takes a privilege that it does not know as one that nobody lacks, so that a misspelt one would go unnoticed.
    #[tokio::test]
    async fn vsphere_knows_every_privilege_that_is_named() {
        let catalog = Catalog::new(crate::tools::all(), Offer::default(), false).unwrap();
        let needs = catalog.needs();
        let ids = needs.values().flat_map(|privileges| privileges.keys().copied());
        let named: BTreeSet<&str> = ids.filter(|id| *id != "System.Read").collect();
        let model = Model::sized(Size { vms: 0, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 });
        let sim = Sim::start(model.user("reader", "secret", Role::ReadOnly)).await.unwrap();
        let thumbprint = sim.thumbprint().unwrap().to_string();
        let config = Config::new(sim.url()).user("reader").password("secret").thumbprint(&thumbprint);
        let client = Client::connect(config).await.unwrap();
        let missing = client.missing_privileges(&named.iter().copied().collect::<Vec<_>>()).await.unwrap();
        assert_eq!(missing.iter().map(String::as_str).collect::<BTreeSet<_>>(), named);
    }
}
