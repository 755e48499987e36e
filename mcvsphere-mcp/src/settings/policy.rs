//! The entries of `policy`:
//!
//! ```yaml
//! policy:
//!   prod-operators:
//!     effect: allow                                # or deny
//!     groups: [vsphere-prod, "token:ci"]           # local: who started the process; left out: everybody
//!     tools: ["list_*", "get_*", "power_*"]        # left out: all
//!     objects: ["/fra1/vm/prod/**", "/fra1/host/**"] # left out: everything
//! ```

use std::collections::BTreeMap;

use vsphere_ops::sight::ObjectPattern;

use super::{POLICY, SettingsError, file::Entry};
use crate::{
    arguments::nearest,
    policy::{Policy, Rule},
};

const FIELDS: [&str; 4] = ["effect", "groups", "tools", "objects"];

/// Checks the entries.
///
/// # Errors
/// An entry lacks its effect, has a field that is not known, or an object that is no inventory path.
pub(super) fn read(entries: &BTreeMap<String, Entry>) -> Result<Policy, SettingsError> {
    let rules = entries
        .iter()
        .map(|(name, entry)| rule(name, entry).map_err(|problem| SettingsError::of_policy(name, problem)));
    Ok(Policy::new(rules.collect::<Result<_, _>>()?))
}

fn rule(name: &str, entry: &Entry) -> Result<Rule, String> {
    if let Some(other) = entry.keys().find(|field| !FIELDS.contains(&field.as_str())) {
        let near = nearest(other, FIELDS).map(|near| format!(", did you mean `{near}`?"));
        let near = near.unwrap_or_else(|| format!(": there are {}", FIELDS.join(", ")));
        return Err(format!("has the unknown field `{other}`{near}"));
    }
    let allows = match entry.get("effect").map(Vec::as_slice) {
        Some([effect]) if effect == "allow" => true,
        Some([effect]) if effect == "deny" => false,
        Some(_) => return Err("has an `effect` that is neither allow nor deny".to_owned()),
        None => return Err("lacks `effect`: allow or deny".to_owned()),
    };
    // An empty list would mean everybody or everything, which hardly anybody means by it.
    let list = |field: &str| match entry.get(field) {
        None => Ok(Vec::new()),
        Some(items) if items.is_empty() || items.iter().any(|item| item.trim().is_empty()) => {
            Err(format!("has nothing in `{field}`: leave it out where all are meant"))
        }
        Some(items) => Ok(items.iter().map(|item| item.trim().to_owned()).collect::<Vec<_>>()),
    };
    let objects = list("objects")?.iter().map(|text| ObjectPattern::parse(text)).collect::<Result<_, _>>();
    let objects = objects.map_err(|bad| format!("has an object that cannot be: {bad}"))?;
    Ok(Rule { name: name.to_owned(), allows, groups: list("groups")?, tools: list("tools")?, objects })
}

impl SettingsError {
    /// A problem of a rule.
    pub(crate) fn of_policy(rule: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(POLICY, format!("has the rule `{rule}`, which {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(fields: &[(&str, &[&str])]) -> Result<Rule, String> {
        let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        rule("web", &fields.iter().map(|(field, items)| ((*field).to_owned(), owned(items))).collect())
    }

    #[test]
    fn a_rule_has_an_effect_and_what_it_is_about() {
        let full = read_one(&[
            ("effect", &["allow"]),
            ("groups", &["vsphere-web"]),
            ("tools", &["list_*"]),
            ("objects", &["/fra1/vm/web/**"]),
        ])
        .unwrap();
        assert!(full.allows && full.groups == ["vsphere-web"] && full.tools == ["list_*"]);
        assert_eq!(full.objects[0].to_string(), "/fra1/vm/web/**");
        let deny = read_one(&[("effect", &["deny"])]).unwrap();
        assert!(!deny.allows && deny.groups.is_empty() && deny.tools.is_empty() && deny.objects.is_empty());
        for (fields, part) in [
            (&[("groups", &["a"][..])][..], "lacks `effect`"),
            (&[("effect", &["permit"])], "neither allow nor deny"),
            (&[("effect", &["allow"]), ("object", &["/a"])], "did you mean `objects`?"),
            (&[("effect", &["allow"]), ("objects", &["fra1/vm"])], "/fra1/vm"),
            (&[("effect", &["allow"]), ("groups", &[])], "leave it out"),
            (&[("effect", &["deny"]), ("tools", &[""])], "leave it out"),
        ] {
            let problem = read_one(fields).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
