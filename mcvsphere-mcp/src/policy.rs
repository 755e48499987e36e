//! Who may use which tools on which objects: the rules of `policy` in the settings file.
//!
//! The rules on tools are kept here, those on objects by a client of vSphere that sees and touches nothing else
//! ([`vsphere_ops::sight`]). Deny wins. A caller named by a rule that allows may do
//! only what such rules allow; a caller named by no rule is under no policy.

use std::collections::BTreeSet;

use vsphere_ops::{
    name::Glob,
    sight::{ObjectPattern, Rules},
};

use crate::{Effect, SettingsError, Toolset, arguments::nearest, caller::Caller, permission::Spec};

/// The rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy(Vec<Rule>);

/// A rule of the settings file.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) allows: bool,
    /// Whom it names: groups, `token:NAME`, `local`; everybody if empty.
    pub(crate) groups: Vec<String>,
    /// Globs on the names of tools; all if empty.
    pub(crate) tools: Vec<String>,
    /// Globs on inventory paths; everything if empty.
    pub(crate) objects: Vec<ObjectPattern>,
}

/// Which rules on objects count for a caller and a tool, by their places: callers with the same ones see the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// `None` where nothing has to be allowed.
    allow: Option<Vec<usize>>,
    deny: Vec<usize>,
}

impl Rule {
    /// Whether it names a caller.
    fn is_of(&self, caller: &Caller) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|group| caller.is_in(group))
    }

    /// Whether it names a tool.
    pub(crate) fn is_about(&self, tool: &str) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|glob| Glob::new(glob).fits(tool))
    }
}

impl Policy {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// All patterns on objects.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &ObjectPattern> {
        self.0.iter().flat_map(|rule| &rule.objects)
    }

    /// All groups that rules name.
    pub(crate) fn groups(&self) -> BTreeSet<String> {
        self.0.iter().flat_map(|rule| &rule.groups).cloned().collect()
    }

    /// Makes sure that each rule speaks of tools that exist.
    ///
    /// # Errors
    /// [`SettingsError`] with the nearest right name.
    pub(crate) fn check_tools(&self, tools: &[&str]) -> Result<(), SettingsError> {
        for rule in &self.0 {
            for glob in &rule.tools {
                let fits = Glob::new(glob);
                if !tools.iter().any(|tool| fits.fits(tool)) {
                    let near = nearest(glob, tools.iter().copied());
                    let near = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
                    return Err(SettingsError::of_policy(&rule.name, format!("names no tool with `{glob}`{near}")));
                }
            }
        }
        Ok(())
    }

    fn of<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = (usize, &'a Rule)> {
        self.0.iter().enumerate().filter(|(_, rule)| rule.is_of(caller))
    }

    /// Whether a rule names the caller.
    pub(crate) fn binds(&self, caller: &Caller) -> bool {
        self.of(caller).next().is_some()
    }

    /// Why a caller may not use a tool on anything, or `None` where they may on something.
    pub(crate) fn refusal(&self, tool: &str, spec: &Spec, caller: &Caller) -> Option<String> {
        if !self.binds(caller) {
            return None;
        }
        if spec.toolset == Toolset::Api || (spec.toolset == Toolset::Guest && spec.effect != Effect::Reads) {
            return Some(format!("{tool} is not for callers under a policy, since nothing bounds what it does"));
        }
        self.refusal_of(tool, caller)
    }

    /// The same by the rules alone.
    pub(crate) fn refusal_of(&self, tool: &str, caller: &Caller) -> Option<String> {
        let counts = |rule: &Rule| rule.is_about(tool);
        if let Some((_, rule)) =
            self.of(caller).find(|(_, rule)| !rule.allows && rule.objects.is_empty() && counts(rule))
        {
            return Some(format!("the policy does not allow {tool} (the rule `{}`)", rule.name));
        }
        let mut allowing = self.of(caller).filter(|(_, rule)| rule.allows).peekable();
        if allowing.peek().is_some() && !allowing.any(|(_, rule)| counts(rule)) {
            return Some(format!("the policy does not allow {tool}: no rule names it"));
        }
        None
    }

    /// The rules on objects that count for a caller and a tool; `None` where they may use it on everything.
    pub(crate) fn scope(&self, tool: &str, caller: &Caller) -> Option<Scope> {
        let mut scope = Scope { allow: None, deny: Vec::new() };
        let mut everything = false;
        for (place, rule) in self.of(caller) {
            let counts = rule.is_about(tool);
            match rule.allows {
                true => {
                    let allow = scope.allow.get_or_insert_default();
                    everything |= counts && rule.objects.is_empty();
                    allow.extend(counts.then_some(place));
                }
                false => scope.deny.extend(counts.then_some(place)),
            }
        }
        if everything {
            scope.allow = None;
        }
        Some(scope).filter(|scope| scope.allow.is_some() || !scope.deny.is_empty())
    }

    /// The rules of a scope, as a client of vSphere keeps them.
    pub(crate) fn rules_of(&self, scope: &Scope) -> Rules {
        let objects = |places: &[usize]| {
            let rules = places.iter().filter_map(|place| self.0.get(*place));
            rules.flat_map(|rule| rule.objects.clone()).collect::<Vec<_>>()
        };
        let mut rules = Rules::new().deny(objects(&scope.deny));
        // A rule without objects denies everything.
        if scope.deny.iter().any(|place| self.0.get(*place).is_none_or(|rule| rule.objects.is_empty())) {
            return rules.allow([]);
        }
        if let Some(allow) = &scope.allow {
            rules = rules.allow(objects(allow));
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Permission;

    fn rule(name: &str, allows: bool, groups: &[&str], tools: &[&str], objects: &[&str]) -> Rule {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let objects = objects.iter().map(|text| ObjectPattern::parse(text).unwrap()).collect();
        Rule { name: name.to_owned(), allows, groups: owned(groups), tools: owned(tools), objects }
    }

    fn member(group: &str) -> Caller {
        Caller::remote("https://a", "1").in_groups([group]).with_level(Permission::FullAdmin)
    }

    #[test]
    fn deny_wins_and_an_allow_closes_all_else() {
        let policy = Policy::new(vec![
            rule("reads", true, &["web"], &["list_*", "get_*"], &["/fra1/**"]),
            rule("power", true, &["web"], &["power_*"], &["/fra1/vm/web/**"]),
            rule("never", false, &[], &["delete_*"], &[]),
            rule("secret", false, &["web", "db"], &[], &["/fra1/vm/secret/**"]),
        ]);
        let (web, db, other) = (member("web"), member("db"), member("other"));
        for (tool, caller, allowed) in [
            ("list_vms", &web, true),
            ("power_on_vm", &web, true),
            ("create_vm", &web, false),
            ("delete_vm", &web, false),
            ("delete_vm", &db, false),
            ("create_vm", &db, true),
            ("delete_vm", &other, false),
            ("create_vm", &other, true),
        ] {
            assert_eq!(policy.refusal_of(tool, caller).is_none(), allowed, "{tool} {caller}");
        }
        let scope = |tool: &str, caller: &Caller| policy.scope(tool, caller);
        assert_eq!(scope("list_vms", &web), Some(Scope { allow: Some(vec![0]), deny: vec![3] }));
        assert_eq!(scope("power_on_vm", &web), Some(Scope { allow: Some(vec![1]), deny: vec![3] }));
        assert_eq!(scope("create_vm", &db), Some(Scope { allow: None, deny: vec![3] }));
        assert_eq!(scope("create_vm", &other), None);
        // What no rule allows is closed also where nobody has asked before.
        assert_eq!(scope("create_vm", &web), Some(Scope { allow: Some(vec![]), deny: vec![3] }));
    }

    #[test]
    fn callers_are_named_by_group_token_and_place() {
        let token = Caller::remote(crate::http::tokens::ISSUER, "ci");
        let local = Caller::local(Permission::FullAdmin);
        assert!(token.is_in("token:ci") && !token.is_in("ci") && !token.is_in("local"));
        assert!(local.is_in("local") && !local.is_in("token:local"));
        // A group of a provider is no token, and nobody but the local user is local.
        assert!(!member("token:ci").is_in("token:ci") && !member("local").is_in("local"));
    }

    #[test]
    fn a_rule_about_no_tool_is_refused_with_the_nearest() {
        let policy = Policy::new(vec![rule("a", true, &[], &["list_vm"], &[])]);
        let error = policy.check_tools(&["list_vms", "get_vm_info"]).unwrap_err().to_string();
        assert!(error.contains("did you mean `list_vms`"), "{error}");
    }
}
