//! Rules of a cluster that are made and deleted, with the groups that they need.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use vsphere_model::managed::{
    ClusterComputeResource, HostSystem, ResourcePool, VirtualMachine, resource_pool as pool, virtual_machine as vm,
};
use vsphere_model::types::{
    ArrayUpdateOperation, ArrayUpdateSpec, ClusterAffinityRuleSpec, ClusterAntiAffinityRuleSpec, ClusterConfigSpecEx,
    ClusterGroupInfo, ClusterGroupSpec, ClusterHostGroup, ClusterRuleInfo, ClusterRuleSpec, ClusterVmGroup,
    ClusterVmHostRuleInfo, ManagedObjectReference, Poly,
};

use super::conflict::{self, Conflict, Why};
use super::rule::{Configured, DrsRule, RuleKind, Terms};
use crate::error::{Circumstance, Error, ErrorKind, Result, invalid};
use crate::find;
use crate::mo::Mo;
use crate::named::Named;
use crate::task::{self, BUSY};

const CREATE: &str = "create the rule";
const DELETE: &str = "delete the rule";

/// A rule that is to be made.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::cluster::{NewRule, RuleKind};
/// use vsphere_ops::managed::{HostSystem, VirtualMachine};
///
/// let vms = vec![client.get::<VirtualMachine>("pg-01").await?];
/// let hosts = vec![client.get::<HostSystem>("esx-01.corp.example").await?];
/// let rule = NewRule { name: "pg-01 stays".into(), kind: RuleKind::ShouldRunOn, vms, hosts };
/// # let _ = rule;
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
pub struct NewRule {
    /// The name, unique in the cluster.
    pub name: String,
    /// What it demands.
    pub kind: RuleKind,
    /// The VMs, two at least where they are to be together or apart.
    pub vms: Vec<Mo<VirtualMachine>>,
    /// The hosts, where it is about hosts.
    pub hosts: Vec<Mo<HostSystem>>,
}

/// A rule that was asked for.
///
/// ```
/// use vsphere_ops::cluster::MadeRule;
///
/// fn line(made: &MadeRule) -> String {
///     let counts = if made.drs { "" } else { ", but DRS is off" };
///     format!("{} has the key {}{counts}", made.rule.name, made.rule.key)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MadeRule {
    /// The name of the cluster.
    pub cluster: String,
    /// The rule.
    #[serde(flatten)]
    pub rule: DrsRule,
    /// The groups that were made for it.
    pub new_groups: Vec<String>,
    /// Whether DRS is on: without it nothing moves a VM to keep the rule.
    pub drs: bool,
    /// Whether it was made; not where just this rule was there.
    pub changed: bool,
}

/// A plan to delete a rule.
///
/// ```
/// use vsphere_ops::cluster::RuleDeletion;
///
/// fn groups(plan: &RuleDeletion) -> Vec<&str> {
///     plan.groups.iter().map(|group| group.name.as_str()).collect()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is deleted before it is carried out"]
pub struct RuleDeletion {
    /// The name of the cluster.
    pub cluster: String,
    /// The managed object id of the cluster.
    pub id: String,
    /// The rule.
    pub rule: DrsRule,
    /// The groups that no other rule uses, and that go with it.
    pub groups: Vec<RuleGroup>,
    #[serde(skip)]
    at: Mo<ClusterComputeResource>,
}

/// A group of VMs or hosts that a rule uses.
///
/// ```
/// use vsphere_ops::cluster::RuleGroup;
///
/// fn line(group: &RuleGroup) -> String {
///     format!("{}: {} members", group.name, group.members.len())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RuleGroup {
    /// The name.
    pub name: String,
    /// The VMs or hosts in it.
    pub members: Vec<Named>,
}

/// A rule that was deleted.
///
/// ```
/// use vsphere_ops::cluster::DeletedRule;
///
/// fn line(deleted: &DeletedRule) -> String {
///     format!("{} is gone with the groups {}", deleted.rule, deleted.groups.join(", "))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeletedRule {
    /// The name of the cluster.
    pub cluster: String,
    /// The name that the rule had.
    pub rule: String,
    /// The key that it had.
    pub key: i32,
    /// The groups that went with it.
    pub groups: Vec<String>,
    /// Always, since it was there before.
    pub changed: bool,
}

impl Mo<ClusterComputeResource> {
    /// Makes a rule, with the groups of VMs and of hosts that one about hosts needs. Where just this rule is there, nothing
    /// is done.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::cluster::{NewRule, RuleKind};
    /// use vsphere_ops::managed::{ClusterComputeResource, VirtualMachine};
    ///
    /// let prod = client.get::<ClusterComputeResource>("prod-cluster").await?;
    /// let mut vms = Vec::new();
    /// for name in ["dc-01", "dc-02"] {
    ///     vms.push(client.get::<VirtualMachine>(name).await?);
    /// }
    /// let rule = NewRule { name: "dc apart".into(), kind: RuleKind::AntiAffinity, vms, hosts: vec![] };
    /// let made = prod.make_rule(&rule).await?;
    /// assert!(made.changed && made.new_groups.is_empty());
    /// let together = NewRule { name: "dc together".into(), kind: RuleKind::Affinity, ..rule };
    /// println!("{}", prod.make_rule(&together).await.unwrap_err()); // it contradicts the rule "dc apart" …
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// Needs `Host.Inventory.EditCluster`.
    ///
    /// # Errors
    /// `invalid_argument` for too few VMs, for hosts where there can be none, and for VMs and hosts of other clusters;
    /// `invalid_state` where another rule has the name, or the rule can't be kept beside others, which are named; and those
    /// of the server.
    pub async fn make_rule(&self, new: &NewRule) -> Result<MadeRule> {
        let made = async {
            check(new)?;
            let configured = Configured::read(self).await?;
            self.must_hold(&configured, new).await?;
            let drs = configured.config.drs_config.enabled == Some(true);
            let wanted = Terms {
                name: new.name.trim().to_owned(),
                kind: new.kind,
                enabled: true,
                vms: new.vms.iter().map(|vm| vm.id().to_owned()).collect(),
                hosts: new.hosts.iter().map(|host| host.id().to_owned()).collect(),
                groups: Vec::new(),
            };
            let terms: Vec<Terms> = configured.config.rule.iter().map(|rule| configured.terms(rule)).collect();
            let same_name = terms.iter().position(|rule| rule.name.eq_ignore_ascii_case(&wanted.name));
            let names = names_with(self, &configured, new).await?;
            if let Some(at) = same_name {
                return match (terms.get(at), configured.rules(&names).into_iter().nth(at)) {
                    (Some(there), Some(rule)) if is_same(there, &wanted) => {
                        let cluster = self.label().to_owned();
                        Ok(MadeRule { cluster, rule, new_groups: Vec::new(), drs, changed: false })
                    }
                    _ => {
                        let text = "there is another rule of this name, about other objects or switched off".to_owned();
                        Err(Error::new(CREATE, ErrorKind::InvalidState(text)))
                    }
                };
            }
            let hosts: BTreeSet<String> = configured.hosts.iter().map(|host| host.value.clone()).collect();
            if let Some(conflict) = conflict::with(&wanted, &terms, &hosts) {
                return Err(Error::new(CREATE, ErrorKind::InvalidState(told(&conflict, &names))));
            }
            let (spec, new_groups) = spec(&configured, &wanted.name, new);
            self.reconfigure(CREATE, &wanted.name, spec).await?;
            let now = Configured::read(self).await?;
            let rule = now.rules(&names).into_iter().find(|rule| rule.name == wanted.name).ok_or_else(|| {
                let text = "the server has made the rule, but does not show it".to_owned();
                Error::new(CREATE, ErrorKind::Protocol(text))
            })?;
            Ok(MadeRule { cluster: self.label().to_owned(), rule, new_groups, drs, changed: true })
        };
        made.await.map_err(|error: Error| error.in_operation(CREATE).on(&new.name))
    }

    /// Plans to delete the rule with this name or key.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::cluster::{NewRule, RuleKind};
    /// use vsphere_ops::managed::{ClusterComputeResource, HostSystem, VirtualMachine};
    ///
    /// let prod = client.get::<ClusterComputeResource>("prod-cluster").await?;
    /// let vms = vec![client.get::<VirtualMachine>("pg-01").await?];
    /// let hosts = vec![client.get::<HostSystem>("esx-01.corp.example").await?];
    /// prod.make_rule(&NewRule { name: "pg".into(), kind: RuleKind::MustRunOn, vms, hosts }).await?;
    /// let deletion = prod.rule_deletion("pg").await?;
    /// assert_eq!(deletion.groups.len(), 2);
    /// println!("{:?}", deletion.carry_out().await?.groups);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if the cluster has no such rule, with the names of its rules; and server errors.
    pub async fn rule_deletion(&self, rule: &str) -> Result<RuleDeletion> {
        let planned = async {
            let configured = Configured::read(self).await?;
            let names = configured.names(self).await?;
            let rules = configured.rules(&names);
            let what = rule.trim();
            let by_name = rules.iter().position(|rule| rule.name == what);
            let at = by_name.or_else(|| rules.iter().position(|rule| rule.key.to_string() == what));
            let found = at.and_then(|at| Some((rules.get(at)?.clone(), configured.config.rule.get(at)?)));
            let Some((found, its)) = found else {
                let there: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
                let there = if there.is_empty() { "the cluster has none".to_owned() } else { there.join(", ") };
                let text = format!("there is no such rule; those of the cluster: {there}");
                let error = Error::new(DELETE, ErrorKind::NotFound(text));
                return Err(error.with_circumstance(Circumstance::NoSuchRule));
            };
            Ok(RuleDeletion {
                cluster: self.label().to_owned(),
                id: self.id().to_owned(),
                groups: own_groups(&configured, its, &names),
                rule: found,
                at: self.clone(),
            })
        };
        planned.await.map_err(|error: Error| error.in_operation(DELETE).on(rule))
    }

    async fn reconfigure(&self, operation: &'static str, rule: &str, spec: ClusterConfigSpecEx) -> Result<()> {
        let (client, spec) = (self.client(), Poly::new(spec));
        let done = client.retry_while_busy(BUSY, || async {
            let request = self.reconfigure_compute_resource_task(&spec, true);
            task::start_for::<()>(client, operation, rule, request).await?.await
        });
        done.await
    }

    /// Whether the VMs and hosts of the rule are those of the cluster.
    async fn must_hold(&self, configured: &Configured, new: &NewRule) -> Result<()> {
        let elsewhere = |what: &str| invalid(CREATE, format!("{what:?} is not of the cluster {:?}", self.label()));
        if let Some(host) = new.hosts.iter().find(|host| !configured.hosts.contains(host.reference())) {
            return Err(elsewhere(host.label()));
        }
        for machine in &new.vms {
            let (host, pool) = machine.read((vm::HOST, vm::RESOURCE_POOL)).await?;
            let owner = match pool {
                Some(pool) => Some(Mo::<ResourcePool>::new(self.client(), &pool, None).read(pool::OWNER).await?),
                None => None,
            };
            let on_host = host.is_some_and(|host| configured.hosts.contains(&host));
            if !on_host && owner.as_ref() != Some(self.reference()) {
                return Err(elsewhere(machine.label()));
            }
        }
        Ok(())
    }
}

impl RuleDeletion {
    /// Deletes the rule, by its key, and the groups.
    ///
    /// Needs `Host.Inventory.EditCluster`.
    ///
    /// # Errors
    /// `changed` where the rule or who uses its groups is not as it was when this was planned, and those of the server.
    pub async fn carry_out(self) -> Result<DeletedRule> {
        let named = |error: Error| error.in_operation(DELETE).on(self.rule.name.as_str());
        let configured = Configured::read(&self.at).await.map_err(named)?;
        let names = configured.names(&self.at).await.map_err(named)?;
        let is_it = |rule: &&Poly<ClusterRuleInfo>| rule.key == Some(self.rule.key);
        let groups = configured.config.rule.iter().find(is_it).map(|rule| own_groups(&configured, rule, &names));
        let compliance = |rule: DrsRule| DrsRule { in_compliance: None, ..rule };
        let rules = configured.rules(&names).into_iter().map(compliance);
        let mut same = rules.filter(|rule| *rule == compliance(self.rule.clone()));
        if same.next().is_none() || groups.as_ref() != Some(&self.groups) {
            let text = "the rule or its groups have changed since this was planned, so nothing was done";
            return Err(named(Error::new(DELETE, ErrorKind::Changed(text.to_owned()))));
        }
        let removal = |key: vsphere_model::types::Any| ArrayUpdateSpec {
            operation: ArrayUpdateOperation::Remove,
            remove_key: Some(key),
        };
        let spec = ClusterConfigSpecEx {
            rules_spec: vec![ClusterRuleSpec { base: removal(self.rule.key.into()), info: None }],
            group_spec: self
                .groups
                .iter()
                .map(|group| ClusterGroupSpec { base: removal(group.name.clone().into()), info: None })
                .collect(),
            ..Default::default()
        };
        self.at.reconfigure(DELETE, &self.rule.name, spec).await.map_err(named)?;
        Ok(DeletedRule {
            cluster: self.cluster,
            rule: self.rule.name,
            key: self.rule.key,
            groups: self.groups.into_iter().map(|group| group.name).collect(),
            changed: true,
        })
    }
}

/// Whether the rule says enough, and not too much.
fn check(new: &NewRule) -> Result<()> {
    let wrong = |text: &str| Err(invalid(CREATE, text));
    let distinct = |ids: Vec<&str>| ids.len() == ids.iter().collect::<BTreeSet<_>>().len();
    match new.kind {
        _ if new.name.trim().is_empty() => wrong("the name is empty"),
        RuleKind::Dependency | RuleKind::Other => wrong("rules of this kind can't be made here"),
        kind if kind.is_about_hosts() && new.hosts.is_empty() => wrong("a rule of this kind needs at least one host"),
        kind if kind.is_about_hosts() && new.vms.is_empty() => wrong("a rule needs at least one VM"),
        kind if !kind.is_about_hosts() && !new.hosts.is_empty() => wrong("a rule of this kind takes no hosts"),
        kind if !kind.is_about_hosts() && new.vms.len() < 2 => wrong("a rule of this kind needs at least two VMs"),
        _ if !distinct(new.vms.iter().map(|vm| vm.id()).collect()) => wrong("a VM is named twice"),
        _ if !distinct(new.hosts.iter().map(|host| host.id()).collect()) => wrong("a host is named twice"),
        _ => Ok(()),
    }
}

/// Whether a rule demands just what is wanted.
fn is_same(there: &Terms, wanted: &Terms) -> bool {
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    there.enabled
        && there.kind == wanted.kind
        && set(&there.vms) == set(&wanted.vms)
        && set(&there.hosts) == set(&wanted.hosts)
}

/// The names of all that the rules are about, and the new one.
async fn names_with(
    of: &Mo<ClusterComputeResource>,
    configured: &Configured,
    new: &NewRule,
) -> Result<HashMap<String, String>> {
    let mut names = configured.names(of).await?;
    let vms = new.vms.iter().map(|vm| vm.reference().clone());
    let hosts = new.hosts.iter().map(|host| host.reference().clone());
    names.extend(find::names(of.client(), vms.chain(hosts).collect::<Vec<ManagedObjectReference>>()).await?);
    Ok(names)
}

/// A contradiction, in words.
fn told(conflict: &Conflict, names: &HashMap<String, String>) -> String {
    let quoted = |texts: Vec<&String>| texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ");
    let vms = quoted(conflict.vms.iter().map(|id| names.get(id).unwrap_or(id)).collect());
    let why = match conflict.why {
        Why::Apart => format!("{vms} would have to be on one host and on different ones"),
        Why::NoHost => format!("no host of the cluster would be left for {vms}"),
        Why::TooFewHosts { hosts } => {
            format!("each of {vms} would need a host of its own, and only {hosts} could be used")
        }
    };
    match conflict.rules.as_slice() {
        [] => format!("it can't be kept: {why}"),
        [rule] => format!("it contradicts the rule {rule:?}: {why}"),
        rules => format!("it contradicts the rules {}: {why}", quoted(rules.iter().collect())),
    }
}

/// The change that makes the rule, and the names of the groups that are made with it.
fn spec(configured: &Configured, name: &str, new: &NewRule) -> (ClusterConfigSpecEx, Vec<String>) {
    let adding = || ArrayUpdateSpec { operation: ArrayUpdateOperation::Add, remove_key: None };
    let base = ClusterRuleInfo {
        name: Some(name.to_owned()),
        enabled: Some(true),
        user_created: Some(true),
        ..Default::default()
    };
    let vms: Vec<ManagedObjectReference> = new.vms.iter().map(|vm| vm.reference().clone()).collect();
    let mut group_spec = Vec::new();
    let mut groups = Vec::new();
    let rule: Poly<ClusterRuleInfo> = match new.kind {
        RuleKind::Affinity => Poly::new(ClusterAffinityRuleSpec { base, vm: vms }),
        RuleKind::AntiAffinity => Poly::new(ClusterAntiAffinityRuleSpec { base, vm: vms }),
        kind => {
            let of_vms = free(configured, &format!("{name} VMs"));
            let of_hosts = free(configured, &format!("{name} hosts"));
            let named = |name: &str| ClusterGroupInfo { name: name.to_owned(), ..Default::default() };
            let host = new.hosts.iter().map(|host| host.reference().clone()).collect();
            let members: [Poly<ClusterGroupInfo>; 2] = [
                Poly::new(ClusterVmGroup { base: named(&of_vms), vm: vms }),
                Poly::new(ClusterHostGroup { base: named(&of_hosts), host }),
            ];
            group_spec.extend(members.map(|group| ClusterGroupSpec { base: adding(), info: Some(group) }));
            groups.extend([of_vms.clone(), of_hosts.clone()]);
            let affine = matches!(kind, RuleKind::MustRunOn | RuleKind::ShouldRunOn);
            let must = matches!(kind, RuleKind::MustRunOn | RuleKind::MustNotRunOn);
            Poly::new(ClusterVmHostRuleInfo {
                base: ClusterRuleInfo { mandatory: Some(must), ..base },
                vm_group_name: Some(of_vms),
                affine_host_group_name: Some(of_hosts.clone()).filter(|_| affine),
                anti_affine_host_group_name: Some(of_hosts).filter(|_| !affine),
            })
        }
    };
    let rules_spec = vec![ClusterRuleSpec { base: adding(), info: Some(rule) }];
    (ClusterConfigSpecEx { rules_spec, group_spec, ..Default::default() }, groups)
}

/// A name that no group has.
fn free(configured: &Configured, wanted: &str) -> String {
    let taken = |name: &String| configured.config.group.iter().any(|group| group.name.eq_ignore_ascii_case(name));
    let numbered = (2..1_000).map(|number| format!("{wanted} {number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(|name| !taken(name)).unwrap_or_else(|| wanted.to_owned())
}

/// The groups of a rule that no other one uses, and that a user made.
fn own_groups(
    configured: &Configured,
    rule: &Poly<ClusterRuleInfo>,
    names: &HashMap<String, String>,
) -> Vec<RuleGroup> {
    let others = configured.config.rule.iter().filter(|other| other.key != rule.key);
    let used: BTreeSet<String> = others.flat_map(|other| configured.terms(other).groups).collect();
    let own = configured.terms(rule).groups.into_iter().filter(|group| !used.contains(group));
    let made = own.filter(|group| {
        let found = configured.config.group.iter().find(|found| found.name == *group);
        found.is_some_and(|found| found.user_created != Some(false))
    });
    made.map(|name| {
        let members = configured.vms_of(&name).iter().chain(configured.hosts_of(&name));
        let ids: Vec<String> = members.map(|member| member.value.clone()).collect();
        RuleGroup { members: super::rule::named(&ids, names), name }
    })
    .collect()
}
