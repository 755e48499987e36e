//! Which level a member of these groups has. A group that is not in the map gives nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::Permission;

/// The claims of a token, or of the answer about a user.
pub(super) type Claims = Map<String, Value>;

/// Where groups are found, and what they give.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    /// The name of a claim, or a JSON pointer to a value within one.
    pub(crate) claim: String,
    pub(crate) levels: BTreeMap<String, Permission>,
    /// A user must be in one of these, where there are any.
    pub(crate) required: BTreeSet<String>,
    /// Of these rules of the policy speak.
    pub(crate) policy: BTreeSet<String>,
}

/// What is said of a user's groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// They are in these.
    In(Vec<String>),
    /// They are in too many to be listed.
    TooMany,
    /// Nothing is said.
    Nothing,
}

impl Said {
    /// The groups that are known.
    pub(super) fn groups(&self) -> &[String] {
        match self {
            Self::In(groups) => groups,
            Self::TooMany | Self::Nothing => &[],
        }
    }
}

/// The names of groups and what they give where no map is set.
pub(crate) const DEFAULT: [(&str, Permission); 6] = [
    ("vsphere-super-admins", Permission::FullAdmin),
    ("vsphere-host-admins", Permission::HostAdmin),
    ("vsphere-admins", Permission::VmLifecycle),
    ("vsphere-operators", Permission::PowerOps),
    ("vsphere-readers", Permission::ReadOnly),
    ("vsphere-viewers", Permission::ReadOnly),
];

/// The most groups of one user that are looked at.
const MOST: usize = 2000;

impl Default for Groups {
    fn default() -> Self {
        let levels = DEFAULT.into_iter().map(|(name, level)| (name.to_owned(), level)).collect();
        Self { claim: "groups".to_owned(), levels, required: BTreeSet::new(), policy: BTreeSet::new() }
    }
}

impl Groups {
    /// What these claims say.
    pub(super) fn said(&self, claims: &Claims) -> Said {
        let value = match self.claim.strip_prefix('/') {
            Some(rest) => {
                let (first, more) = rest.split_once('/').map_or((rest, None), |(first, more)| (first, Some(more)));
                let top = claims.get(&first.replace("~1", "/").replace("~0", "~"));
                match more {
                    Some(more) => top.and_then(|top| top.pointer(&format!("/{more}"))),
                    None => top,
                }
            }
            None => claims.get(&self.claim),
        };
        let names: Vec<&str> = match value {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one],
            // Zitadel writes roles as the keys of an object.
            Some(Value::Object(object)) => object.keys().map(String::as_str).collect(),
            _ if self.is_overflow(claims) => return Said::TooMany,
            _ => return Said::Nothing,
        };
        match names.len() > MOST {
            true => Said::TooMany,
            false => Said::In(names.into_iter().map(top_level).map(str::to_owned).collect()),
        }
    }

    /// Entra ID names no group of a user who is in more than 200.
    fn is_overflow(&self, claims: &Claims) -> bool {
        let elsewhere = claims.get("_claim_names").and_then(|names| names.get(&self.claim)).is_some();
        let has = claims.get("hasgroups").is_some_and(|has| has == true || has == "true");
        elsewhere || (has && self.claim == "groups")
    }

    /// Those of the groups that matter here.
    pub(super) fn known<'g>(&self, groups: &'g [String]) -> Vec<&'g String> {
        let all = groups.iter();
        all.filter(|name| {
            self.levels.contains_key(*name) || self.required.contains(*name) || self.policy.contains(*name)
        })
        .collect()
    }

    /// The highest level that one of these groups gives, and the group.
    pub(super) fn level<'g>(&self, groups: &'g [String]) -> Option<(Permission, &'g str)> {
        if !self.required.is_empty() && !groups.iter().any(|name| self.required.contains(name)) {
            return None;
        }
        let levels = groups.iter().filter_map(|name| Some((*self.levels.get(name)?, name.as_str())));
        levels.max_by_key(|(level, _)| *level)
    }

    /// What a user without a level is told.
    pub(super) fn wanted(&self) -> String {
        let names: Vec<&str> = self.levels.keys().map(String::as_str).collect();
        let required: Vec<&str> = self.required.iter().map(String::as_str).collect();
        match required.is_empty() {
            true => format!("one of the groups {}", names.join(", ")),
            false => format!("one of the groups {}, and one of {}", required.join(", "), names.join(", ")),
        }
    }
}

/// Keycloak writes the path of a group: `/a` is the group `a`, and `/a/b` is not.
fn top_level(name: &str) -> &str {
    match name.strip_prefix('/') {
        Some(rest) if !rest.is_empty() && !rest.contains('/') => rest,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn level(groups: &Groups, claims: Value) -> Option<Permission> {
        match groups.said(claims.as_object().unwrap()) {
            Said::In(names) => groups.level(&names).map(|(level, _)| level),
            Said::TooMany | Said::Nothing => None,
        }
    }

    #[test]
    fn a_claim_is_an_array_a_text_or_the_keys_of_an_object() {
        let groups = Groups::default();
        assert_eq!(level(&groups, json!({ "groups": ["x", "vsphere-operators"] })), Some(Permission::PowerOps));
        assert_eq!(level(&groups, json!({ "groups": "vsphere-viewers" })), Some(Permission::ReadOnly));
        assert_eq!(level(&groups, json!({ "groups": { "vsphere-admins": {} } })), Some(Permission::VmLifecycle));
        assert_eq!(level(&groups, json!({ "groups": ["/vsphere-host-admins"] })), Some(Permission::HostAdmin));
        let more = json!({ "groups": ["vsphere-readers", "vsphere-super-admins", "vsphere-operators"] });
        assert_eq!(level(&groups, more), Some(Permission::FullAdmin));
    }

    #[test]
    fn whatever_is_not_exactly_a_group_of_the_map_gives_nothing() {
        let groups = Groups::default();
        for claims in [
            json!({}),
            json!({ "groups": [] }),
            json!({ "groups": null }),
            json!({ "groups": true }),
            json!({ "groups": [["vsphere-admins"], { "vsphere-admins": 1 }, 1] }),
            json!({ "groups": ["Vsphere-Admins", "vsphere-admins ", "vsphere-admin", "xvsphere-admins", ""] }),
            json!({ "groups": ["/x/vsphere-admins", "/vsphere-admins/x", "//vsphere-admins", "vsphere-admins/"] }),
            json!({ "groups": "vsphere-admins,vsphere-readers" }),
            json!({ "roles": ["vsphere-admins"] }),
        ] {
            assert_eq!(level(&groups, claims.clone()), None, "{claims}");
        }
    }

    #[test]
    fn a_claim_is_found_by_its_name_or_by_a_pointer() {
        let by = |claim: &str| Groups { claim: claim.to_owned(), ..Groups::default() };
        let url = "https://example.com/groups";
        assert_eq!(level(&by(url), json!({ url: ["vsphere-readers"] })), Some(Permission::ReadOnly));
        let nested = json!({ "realm_access": { "roles": ["vsphere-readers"] }, "a/b": ["vsphere-admins"] });
        assert_eq!(level(&by("/realm_access/roles"), nested.clone()), Some(Permission::ReadOnly));
        assert_eq!(level(&by("/a~1b"), nested.clone()), Some(Permission::VmLifecycle));
        assert_eq!(level(&by("/realm_access/none"), nested.clone()), None);
        assert_eq!(level(&by("realm_access.roles"), nested), None);
    }

    #[test]
    fn a_user_must_be_in_a_required_group_too() {
        let required = ["staff".to_owned()].into();
        let groups = Groups { required, ..Groups::default() };
        assert_eq!(level(&groups, json!({ "groups": ["vsphere-admins"] })), None);
        assert_eq!(level(&groups, json!({ "groups": ["staff"] })), None);
        assert_eq!(level(&groups, json!({ "groups": ["staff", "vsphere-admins"] })), Some(Permission::VmLifecycle));
    }

    #[test]
    fn groups_that_are_too_many_to_be_listed_are_no_groups() {
        let groups = Groups::default();
        let said = |claims: Value| groups.said(claims.as_object().unwrap());
        assert_eq!(said(json!({ "_claim_names": { "groups": "src1" } })), Said::TooMany);
        assert_eq!(said(json!({ "hasgroups": true })), Said::TooMany);
        let names: Vec<String> = (0..300).map(|number| format!("g{number}")).collect();
        assert_eq!(said(json!({ "groups": names })), Said::In(names.clone()));
        let names: Vec<String> = (0..=MOST).map(|number| format!("g{number}")).collect();
        assert_eq!(said(json!({ "groups": names })), Said::TooMany);
    }

    /// For every set of groups the level is the highest that one of them has in the map, whatever else is in the set.
    #[test]
    fn the_level_of_every_set_of_groups_is_the_highest_in_the_map() {
        let groups = Groups::default();
        let others = ["vsphere-admins2", "/a/vsphere-admins", "staff"];
        let names: Vec<&str> = DEFAULT.iter().map(|(name, _)| *name).chain(others).collect();
        for set in 0..1u32 << names.len() {
            let chosen: Vec<String> =
                (0..names.len()).filter(|at| set & 1 << at != 0).map(|at| names[at].to_owned()).collect();
            let highest =
                DEFAULT.iter().enumerate().filter(|(at, _)| set & 1 << at != 0).map(|(_, (_, level))| *level).max();
            assert_eq!(level(&groups, json!({ "groups": chosen })), highest, "{chosen:?}");
            assert_eq!(groups.level(&chosen).map(|(level, _)| level), highest);
        }
    }
}
