//! Whether a new rule can be kept beside the ones that there are.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{RuleKind, Terms};

/// A contradiction between a rule and others, or the hosts that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    /// The names of the other rules.
    pub(super) rules: Vec<String>,
    /// The VMs that can't be placed, by id.
    pub(super) vms: Vec<String>,
    pub(super) why: Why,
}

/// What can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The VMs would have to be on one host and on several.
    Apart,
    /// No host is left for the VMs.
    NoHost,
    /// There are fewer hosts than VMs that each want one.
    TooFewHosts { hosts: usize },
}

/// Looks for a contradiction that the new rule is a part of. Rules that don't count are no part of it; wishes count like
/// demands, since a rule that can never be kept helps nobody.
pub(super) fn with(new: &Terms, others: &[Terms], hosts: &BTreeSet<String>) -> Option<Conflict> {
    let enabled = others.iter().filter(|rule| rule.enabled);
    let rules: Vec<&Terms> = enabled.chain([new]).collect();
    let together = Together::of(&rules);
    apart(new, &rules, &together)
        .or_else(|| no_host(new, &rules, &together, hosts))
        .or_else(|| crowded(new, &rules, &together, hosts))
}

/// VMs that affinity puts on one host, directly or by others.
struct Together {
    /// For each VM the one that stands for all of its host.
    of: BTreeMap<String, String>,
}

impl Together {
    fn of(rules: &[&Terms]) -> Self {
        let mut together = Self { of: BTreeMap::new() };
        for rule in rules.iter().filter(|rule| rule.kind == RuleKind::Affinity) {
            let Some(first) = rule.vms.first() else { continue };
            for vm in &rule.vms {
                let (one, other) = (together.head(first).to_owned(), together.head(vm).to_owned());
                let moved: Vec<String> =
                    together.of.iter().filter(|(_, head)| **head == other).map(|(vm, _)| vm.clone()).collect();
                for vm in moved.into_iter().chain([other]) {
                    together.of.insert(vm, one.clone());
                }
            }
        }
        together
    }

    fn head<'a>(&'a self, vm: &'a str) -> &'a str {
        self.of.get(vm).map_or(vm, String::as_str)
    }

    /// The rules that put VMs onto the host of this one.
    fn reasons<'a>(&'a self, rules: &'a [&Terms], head: &'a str) -> impl Iterator<Item = &'a Terms> {
        let affinity = rules.iter().copied().filter(|rule| rule.kind == RuleKind::Affinity);
        affinity.filter(move |rule| rule.vms.iter().any(|vm| self.head(vm) == head))
    }
}

/// The conflict of these rules, where the new one is among them.
fn conflict<'a>(
    new: &Terms,
    involved: impl IntoIterator<Item = &'a Terms>,
    vms: &[&str],
    why: Why,
) -> Option<Conflict> {
    let involved: Vec<&Terms> = involved.into_iter().collect();
    let names: BTreeSet<String> =
        involved.iter().filter(|rule| !std::ptr::eq(**rule, new)).map(|rule| rule.name.clone()).collect();
    involved.iter().any(|rule| std::ptr::eq(*rule, new)).then(|| Conflict {
        rules: names.into_iter().collect(),
        vms: vms.iter().map(|vm| (*vm).to_owned()).collect(),
        why,
    })
}

fn apart(new: &Terms, rules: &[&Terms], together: &Together) -> Option<Conflict> {
    let anti = rules.iter().copied().filter(|rule| rule.kind == RuleKind::AntiAffinity);
    anti.flat_map(|rule| pairs(&rule.vms).map(move |pair| (rule, pair))).find_map(|(rule, (one, other))| {
        let head = together.head(one);
        if head != together.head(other) {
            return None;
        }
        conflict(new, together.reasons(rules, head).chain([rule]), &[one, other], Why::Apart)
    })
}

fn pairs(vms: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let others = |at: usize| vms.iter().skip(at + 1);
    vms.iter().enumerate().flat_map(move |(at, one)| others(at).map(move |other| (one.as_str(), other.as_str())))
}

/// The hosts that rules leave for the VMs of one host, and those rules.
fn left<'a>(
    head: &str,
    rules: &[&'a Terms],
    together: &Together,
    hosts: &BTreeSet<String>,
) -> (BTreeSet<String>, Vec<&'a Terms>) {
    let about = |rule: &&&Terms| rule.kind.is_about_hosts() && rule.vms.iter().any(|vm| together.head(vm) == head);
    let bound: Vec<&Terms> = rules.iter().filter(about).copied().collect();
    let mut left = hosts.clone();
    for rule in &bound {
        let named: BTreeSet<&String> = rule.hosts.iter().collect();
        let wanted = matches!(rule.kind, RuleKind::MustRunOn | RuleKind::ShouldRunOn);
        left.retain(|host| named.contains(host) == wanted);
    }
    (left, bound)
}

fn no_host(new: &Terms, rules: &[&Terms], together: &Together, hosts: &BTreeSet<String>) -> Option<Conflict> {
    let heads: BTreeSet<&str> = new.vms.iter().map(|vm| together.head(vm)).collect();
    heads.into_iter().find_map(|head| {
        let (left, bound) = left(head, rules, together, hosts);
        if !left.is_empty() || bound.is_empty() {
            return None;
        }
        let vms: BTreeSet<&str> = bound
            .iter()
            .flat_map(|rule| rule.vms.iter().map(String::as_str))
            .filter(|vm| together.head(vm) == head)
            .collect();
        let vms: Vec<&str> = vms.into_iter().collect();
        conflict(new, together.reasons(rules, head).chain(bound), &vms, Why::NoHost)
    })
}

fn crowded(new: &Terms, rules: &[&Terms], together: &Together, hosts: &BTreeSet<String>) -> Option<Conflict> {
    let anti = rules.iter().copied().filter(|rule| rule.kind == RuleKind::AntiAffinity);
    anti.into_iter().find_map(|rule| {
        let (mut room, mut involved) = (BTreeSet::new(), vec![rule]);
        for vm in &rule.vms {
            let (left, bound) = left(together.head(vm), rules, together, hosts);
            room.extend(left);
            involved.extend(bound);
        }
        let vms: Vec<&str> = rule.vms.iter().map(String::as_str).collect();
        let why = Why::TooFewHosts { hosts: room.len() };
        (room.len() < rule.vms.len()).then(|| conflict(new, involved, &vms, why)).flatten()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    fn rule(name: &str, kind: RuleKind, vms: &[&str], hosts: &[&str]) -> Terms {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Terms { name: name.to_owned(), kind, enabled: true, vms: ids(vms), hosts: ids(hosts), groups: Vec::new() }
    }

    fn check(new: &Terms, others: &[Terms]) -> Option<(Vec<String>, Vec<String>, Why)> {
        let hosts = ["h1", "h2", "h3"].map(str::to_owned).into();
        with(new, others, &hosts).map(|found| (found.rules, found.vms, found.why))
    }

    fn strings(of: &[&str]) -> Vec<String> {
        of.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn vms_can_not_be_together_and_apart_also_not_by_others() {
        use RuleKind::{Affinity, AntiAffinity};
        let others = [rule("ab", Affinity, &["a", "b"], &[]), rule("bc", Affinity, &["b", "c"], &[])];
        let found = check(&rule("new", AntiAffinity, &["a", "c"], &[]), &others).unwrap();
        assert_eq!(found, (strings(&["ab", "bc"]), strings(&["a", "c"]), Why::Apart));
        assert_eq!(check(&rule("new", AntiAffinity, &["a", "d"], &[]), &others), None);
        // The other way round, and not where the other one does not count.
        let mut apart = rule("apart", AntiAffinity, &["a", "c"], &[]);
        let both = [others[0].clone(), apart.clone()];
        assert_eq!(check(&others[1], &both).unwrap().0, ["ab", "apart"]);
        apart.enabled = false;
        assert_eq!(check(&others[1], &[others[0].clone(), apart]), None);
    }

    #[test]
    fn some_host_must_be_left() {
        use RuleKind::{Affinity, MustNotRunOn, MustRunOn, ShouldRunOn};
        let on_first = rule("first", MustRunOn, &["a"], &["h1"]);
        let found =
            check(&rule("new", MustRunOn, &["a", "b"], &["h2", "h3"]), std::slice::from_ref(&on_first)).unwrap();
        assert_eq!(found, (strings(&["first"]), strings(&["a"]), Why::NoHost));
        assert!(check(&rule("new", MustNotRunOn, &["a"], &["h1"]), std::slice::from_ref(&on_first)).is_some());
        assert_eq!(check(&rule("new", MustNotRunOn, &["a"], &["h2"]), std::slice::from_ref(&on_first)), None);
        assert_eq!(check(&rule("new", ShouldRunOn, &["b"], &["h2"]), std::slice::from_ref(&on_first)), None);
        // By affinity, one VM's host is the other one's.
        let with_b = [on_first, rule("b", MustRunOn, &["b"], &["h2"])];
        assert_eq!(check(&rule("new", Affinity, &["a", "b"], &[]), &with_b).unwrap().0, ["b", "first"]);
        // A rule that bars all hosts contradicts no other one.
        assert_eq!(check(&rule("new", MustNotRunOn, &["a"], &["h1", "h2", "h3"]), &[]).unwrap().0, [""; 0]);
    }

    #[test]
    fn each_of_several_needs_a_host() {
        use RuleKind::{AntiAffinity, MustRunOn};
        let found = check(&rule("new", AntiAffinity, &["a", "b", "c", "d"], &[]), &[]).unwrap();
        assert_eq!((found.0, found.2), (Vec::new(), Why::TooFewHosts { hosts: 3 }));
        let apart = rule("apart", AntiAffinity, &["a", "b"], &[]);
        let found = check(&rule("new", MustRunOn, &["a", "b"], &["h1"]), std::slice::from_ref(&apart)).unwrap();
        assert_eq!((found.0, found.2), (strings(&["apart"]), Why::TooFewHosts { hosts: 1 }));
        assert_eq!(check(&rule("new", MustRunOn, &["a", "b"], &["h1", "h2"]), std::slice::from_ref(&apart)), None);
        // What was wrong before is not the new rule's fault.
        let crowd = rule("crowd", AntiAffinity, &["a", "b", "c", "d"], &[]);
        assert_eq!(check(&rule("new", MustRunOn, &["x"], &["h1"]), &[crowd]), None);
    }
}
