//! All tools, checked once at start: what they are called, what they need, what clients see of them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use rmcp::model::JsonObject;

use crate::{
    Permission, SettingsError, Tool, ToolError, Toolset,
    arguments::{meant, nearest},
    audit::AuditError,
    caller::Caller,
    confirm,
    error::Result,
    jobs,
    offer::Offer,
    output,
    permission::Spec,
    policy::Policy,
    schema::{self, Mark, Marks},
};

/// The tools of a server.
pub(crate) struct Catalog {
    tools: BTreeMap<&'static str, Entry>,
    /// From an older name to the tool's name.
    aliases: BTreeMap<&'static str, &'static str>,
    offer: Offer,
    policy: Arc<Policy>,
}

/// A tool, with what clients see of it.
pub(crate) struct Entry {
    pub(crate) tool: Tool,
    /// Whether the user is asked before it acts.
    asks: bool,
    /// Whether clients see what it answers.
    with_output: bool,
    schemas: OnceLock<(rmcp::model::Tool, Marks)>,
}

impl Entry {
    pub(crate) fn new(tool: Tool, asks: bool, with_output: bool) -> Self {
        Self { tool, asks, with_output, schemas: OnceLock::new() }
    }

    /// What clients see of it, and what its schema says to us alone.
    fn schemas(&self) -> &(rmcp::model::Tool, Marks) {
        self.schemas.get_or_init(|| {
            let (mut attr, marks) = self.tool.for_clients();
            if self.with_output {
                attr.output_schema = self
                    .tool
                    .output()
                    .and_then(|answer| output::schema(answer, self.asks, self.tool.spec.is_long))
                    .map(Arc::new);
            }
            let mut add = |name, kind, meaning| {
                schema::add(Arc::make_mut(&mut attr.input_schema), name, kind, meaning);
            };
            if self.tool.spec.is_long {
                // What it is the instructions say.
                add(jobs::ARGUMENT, "boolean", None);
            }
            if self.asks {
                add(confirm::ARGUMENT, "string", Some(confirm::ARGUMENT_MEANING));
            }
            (attr, marks)
        })
    }

    /// The tool as clients see it.
    pub(crate) fn for_clients(&self) -> &rmcp::model::Tool {
        &self.schemas().0
    }

    /// The arguments as the tool's schema wants them.
    ///
    /// # Errors
    /// `invalid_argument`, with what to send instead.
    pub(crate) fn meant(&self, given: JsonObject) -> Result<JsonObject> {
        let (attr, marks) = self.schemas();
        meant::arguments(self.tool.name, given, &attr.input_schema, marks).map_err(ToolError::invalid_argument)
    }

    /// How an argument is to be treated, by its present or an older name; `None` where the tool takes none of this name.
    pub(crate) fn mark(&self, argument: &str) -> Option<Option<Mark>> {
        let (attr, marks) = self.schemas();
        let properties = attr.input_schema.get("properties")?.as_object()?;
        let name = meant::present_name(self.tool.name, argument, properties)?;
        Some(marks.get(name).copied())
    }
}

impl Catalog {
    /// Checks the tools.
    ///
    /// # Errors
    /// [`CatalogError`] when a tool has no description or, where it changes something, names no privileges of vSphere, when its
    /// facts contradict each other, or when two tools have a name in common: such a server must not start. [`SettingsError`]
    /// when a setting names a tool that does not exist.
    pub(crate) fn new(all: Vec<Tool>, offer: Offer, output_schemas: bool) -> std::result::Result<Self, StartError> {
        let mut tools = BTreeMap::new();
        let mut aliases = BTreeMap::new();
        for tool in all {
            let name = tool.name;
            let problem = |text: String| CatalogError { tool: name.to_owned(), problem: text };
            if let Some(text) = tool.problem() {
                return Err(problem(text.to_owned()).into());
            }
            // By the settings' own names, which may be older ones: a tool that they allow by such a name still takes a token.
            let asks = offer.asks_before(name, &tool.spec);
            for alias in &tool.spec.aliases {
                if let Some(other) = aliases.insert(*alias, name) {
                    return Err(problem(format!("its older name `{alias}` is also that of `{other}`")).into());
                }
            }
            if tools.insert(name, Entry::new(tool, asks, output_schemas)).is_some() {
                return Err(problem("there are two tools of this name".to_owned()).into());
            }
        }
        if let Some((alias, tool)) = aliases.iter().find(|(alias, _)| tools.contains_key(*alias)) {
            let problem = format!("its older name `{alias}` is the name of another tool");
            return Err(CatalogError { tool: (*tool).to_owned(), problem }.into());
        }
        let mut catalog = Self { tools, aliases, offer: Offer::default(), policy: Arc::default() };
        catalog.offer = offer.resolved(|name| Some(catalog.resolve(name)?.tool.name), |name| catalog.nearest(name))?;
        Ok(catalog)
    }

    /// Whether the policy bounds what this caller may do.
    pub(crate) fn binds(&self, caller: &Caller) -> bool {
        self.policy.binds(caller)
    }

    /// The same tools under a policy.
    ///
    /// # Errors
    /// A rule names no tool.
    pub(crate) fn under(self, policy: &Arc<Policy>) -> std::result::Result<Self, SettingsError> {
        policy.check_tools(&self.tools.keys().copied().collect::<Vec<_>>())?;
        Ok(Self { policy: Arc::clone(policy), ..self })
    }

    /// The tool of a present or an older name.
    pub(crate) fn resolve(&self, name: &str) -> Option<&Entry> {
        self.tools.get(self.aliases.get(name).copied().unwrap_or(name))
    }

    /// The present name that someone who wrote `name` may have meant.
    pub(crate) fn nearest(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.tools.keys().copied())
    }

    /// Why this caller may not use a tool, or `None` where they may.
    pub(crate) fn refusal(&self, tool: &str, spec: &Spec, caller: &Caller) -> Option<Refusal> {
        let not_offered = self.offer.refusal(tool, spec).map(|message| Refusal { code: "not_offered", message });
        not_offered.or_else(|| {
            let message = caller.refusal(tool, spec.permission).or_else(|| self.policy.refusal(tool, spec, caller))?;
            Some(Refusal { code: "permission", message })
        })
    }

    /// Whether this caller may use the tool of this name.
    pub(crate) fn may_call(&self, tool: &str, caller: &Caller) -> bool {
        self.spec(tool).is_some_and(|spec| self.refusal(tool, spec, caller).is_none())
    }

    /// Why this caller may not look at what the tools of a family are about, which one of them shows as well, or `None`
    /// where they may.
    pub(crate) fn refusal_to_look(&self, what: &str, toolset: Toolset, tool: &str, caller: &Caller) -> Option<Refusal> {
        if !self.offer.has(toolset, |tool| Some(self.spec(tool)?.toolset)) {
            let message = format!("{what} belongs to the toolset {toolset}, which this server does not offer");
            return Some(Refusal { code: "not_offered", message });
        }
        let refusal = caller.refusal(what, Permission::ReadOnly);
        let message = refusal.or_else(|| self.policy.refusal_of(tool, caller))?;
        Some(Refusal { code: "permission", message })
    }

    /// The tools that this caller may use, as clients see them, sorted by name.
    pub(crate) fn tools(&self, caller: &Caller) -> Vec<rmcp::model::Tool> {
        let usable = self.tools.values().filter(|entry| self.may_call(entry.tool.name, caller));
        usable.map(|entry| entry.for_clients().clone()).collect()
    }

    /// Which privileges of vSphere the tools that are offered need, by toolset, each with the tools that need it.
    pub(crate) fn needs(&self) -> BTreeMap<Toolset, BTreeMap<&str, Vec<&str>>> {
        let mut needs: BTreeMap<Toolset, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
        let all = self.tools.iter().map(|(name, entry)| (*name, &entry.tool.spec));
        for (tool, spec) in all.filter(|(tool, spec)| self.offer.refusal(tool, spec).is_none()) {
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

    /// The names of all tools.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.tools.keys().copied()
    }

    /// Whether the user is asked before this tool acts.
    pub(crate) fn asks_before(&self, tool: &str) -> bool {
        self.spec(tool).is_some_and(|spec| self.offer.asks_before(tool, spec))
    }

    /// The most objects that one call may destroy.
    pub(crate) fn max_objects(&self) -> confirm::MostObjects {
        self.offer.max_objects
    }

    /// When the user is asked.
    pub(crate) fn confirm_mode(&self) -> confirm::Mode {
        self.offer.confirm
    }

    /// Whether only tools that change nothing are offered.
    pub(crate) fn is_read_only(&self) -> bool {
        self.offer.read_only
    }

    /// The tool of this present name.
    pub(crate) fn get(&self, tool: &str) -> Option<&Entry> {
        self.tools.get(tool)
    }

    fn spec(&self, tool: &str) -> Option<&Spec> {
        Some(&self.get(tool)?.tool.spec)
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
    /// The server cannot or must not listen where it was told to, for this reason.
    Listen(String),
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
            Self::Audit(why) | Self::Listen(why) => f.write_str(why),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vsphere_ops::{Client, Config};
    use vsphere_sim::{Model, Role, Sim, Size};

    use super::*;

    #[test]
    fn no_tool_takes_an_argument_of_the_gate() {
        for tool in crate::tools::all() {
            let (seen, _) = tool.for_clients();
            for argument in [confirm::ARGUMENT, jobs::ARGUMENT] {
                assert!(seen.input_schema["properties"].get(argument).is_none(), "{}", seen.name);
            }
        }
    }

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
