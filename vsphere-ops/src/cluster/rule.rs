//! The rules of a cluster about which VMs run together, and on which hosts.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use vsphere_model::managed::{ClusterComputeResource, cluster_compute_resource as cluster};
use vsphere_model::types::{
    ClusterAffinityRuleSpec, ClusterAntiAffinityRuleSpec, ClusterConfigInfoEx, ClusterDependencyRuleInfo,
    ClusterHostGroup, ClusterRuleInfo, ClusterVmGroup, ClusterVmHostRuleInfo, ManagedObjectReference, Poly,
};

use crate::error::{Error, ErrorKind, Result};
use crate::find;
use crate::mo::Mo;
use crate::named::Named;
use crate::page::{ByName, ListQuery, Page, Window};

/// What a rule demands.
///
/// ```
/// use vsphere_ops::cluster::RuleKind;
///
/// assert_eq!(serde_json::from_str::<RuleKind>(r#""anti_affinity""#).unwrap(), RuleKind::AntiAffinity);
/// assert!(RuleKind::MustRunOn.is_about_hosts() && !RuleKind::Affinity.is_about_hosts());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// The VMs run on one host.
    Affinity,
    /// Each of the VMs runs on another host.
    AntiAffinity,
    /// The VMs run on these hosts alone, even where HA could restart them elsewhere.
    MustRunOn,
    /// The VMs run on these hosts where that is possible.
    ShouldRunOn,
    /// The VMs never run on these hosts.
    MustNotRunOn,
    /// The VMs run on other hosts where that is possible.
    ShouldNotRunOn,
    /// HA starts the VMs after others.
    #[serde(skip_deserializing)]
    Dependency,
    /// Something that this crate does not know.
    #[serde(skip_deserializing)]
    Other,
}

impl RuleKind {
    /// Whether such a rule names hosts.
    pub fn is_about_hosts(self) -> bool {
        matches!(self, Self::MustRunOn | Self::ShouldRunOn | Self::MustNotRunOn | Self::ShouldNotRunOn)
    }
}

/// A rule of a cluster.
///
/// ```
/// use vsphere_ops::cluster::DrsRule;
///
/// fn is_broken(rule: &DrsRule) -> bool {
///     rule.enabled && rule.in_compliance == Some(false)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DrsRule {
    /// The name.
    pub name: String,
    /// The key, which stays the same for as long as the rule is there.
    pub key: i32,
    /// What it demands.
    pub kind: RuleKind,
    /// Whether it counts.
    pub enabled: bool,
    /// Whether it is kept now, where the server says.
    pub in_compliance: Option<bool>,
    /// The VMs that it is about.
    pub vms: Vec<Named>,
    /// The hosts that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Named>,
    /// The group of the VMs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_group: Option<String>,
    /// The group of the hosts, or of the VMs that are to be started first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_group: Option<String>,
    /// Whether a user made it, and not vSphere itself.
    pub user_created: bool,
}

/// A cluster's configuration, as rules are read from it.
pub(super) struct Configured {
    pub(super) config: ClusterConfigInfoEx,
    pub(super) hosts: Vec<ManagedObjectReference>,
}

impl Configured {
    pub(super) async fn read(of: &Mo<ClusterComputeResource>) -> Result<Self> {
        let (config, hosts) = of.read((cluster::CONFIGURATION_EX, cluster::HOST)).await?;
        let config = config.downcast::<ClusterConfigInfoEx>().map_err(|_| {
            Error::new("read", ErrorKind::Unsupported("the server tells of no rules of this cluster".to_owned()))
        })?;
        Ok(Self { config, hosts })
    }

    /// The VMs of a group.
    pub(super) fn vms_of(&self, group: &str) -> &[ManagedObjectReference] {
        let found = self.config.group.iter().find(|found| found.name == group);
        found.and_then(|found| found.downcast_ref::<ClusterVmGroup>()).map_or(&[], |found| &found.vm)
    }

    /// The hosts of a group.
    pub(super) fn hosts_of(&self, group: &str) -> &[ManagedObjectReference] {
        let found = self.config.group.iter().find(|found| found.name == group);
        found.and_then(|found| found.downcast_ref::<ClusterHostGroup>()).map_or(&[], |found| &found.host)
    }

    /// What a rule says.
    pub(super) fn terms(&self, rule: &Poly<ClusterRuleInfo>) -> Terms {
        let (mut vms, mut hosts, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        let kind = if let Some(rule) = rule.downcast_ref::<ClusterAffinityRuleSpec>() {
            vms.clone_from(&rule.vm);
            RuleKind::Affinity
        } else if let Some(rule) = rule.downcast_ref::<ClusterAntiAffinityRuleSpec>() {
            vms.clone_from(&rule.vm);
            RuleKind::AntiAffinity
        } else if let Some(bound) = rule.downcast_ref::<ClusterVmHostRuleInfo>() {
            let must = rule.mandatory == Some(true);
            groups.extend(bound.vm_group_name.clone());
            vms.extend_from_slice(bound.vm_group_name.as_deref().map_or(&[], |group| self.vms_of(group)));
            let (affine, group) = match (&bound.affine_host_group_name, &bound.anti_affine_host_group_name) {
                (Some(group), _) => (true, Some(group)),
                (None, group) => (false, group.as_ref()),
            };
            groups.extend(group.cloned());
            hosts.extend_from_slice(group.map_or(&[], |group| self.hosts_of(group)));
            match (affine, must) {
                (true, true) => RuleKind::MustRunOn,
                (true, false) => RuleKind::ShouldRunOn,
                (false, true) => RuleKind::MustNotRunOn,
                (false, false) => RuleKind::ShouldNotRunOn,
            }
        } else if let Some(order) = rule.downcast_ref::<ClusterDependencyRuleInfo>() {
            groups.extend([order.vm_group.clone(), order.depends_on_vm_group.clone()]);
            vms.extend_from_slice(self.vms_of(&order.vm_group));
            RuleKind::Dependency
        } else {
            RuleKind::Other
        };
        Terms {
            name: rule.name.clone().unwrap_or_default(),
            kind,
            enabled: rule.enabled == Some(true),
            vms: ids(vms),
            hosts: ids(hosts),
            groups,
        }
    }

    /// The rules as they are shown.
    pub(super) fn rules(&self, names: &HashMap<String, String>) -> Vec<DrsRule> {
        let shown = |rule: &Poly<ClusterRuleInfo>| {
            let Terms { name, kind, enabled, vms, hosts, groups } = self.terms(rule);
            let mut groups = groups.into_iter();
            DrsRule {
                name,
                key: rule.key.unwrap_or_default(),
                kind,
                enabled,
                in_compliance: rule.in_compliance,
                vms: named(&vms, names),
                hosts: named(&hosts, names),
                vm_group: groups.next(),
                other_group: groups.next(),
                user_created: rule.user_created != Some(false),
            }
        };
        self.config.rule.iter().map(shown).collect()
    }

    /// The names of all that rules are about.
    pub(super) async fn names(&self, of: &Mo<ClusterComputeResource>) -> Result<HashMap<String, String>> {
        let rules = self.config.rule.iter().map(|rule| self.terms(rule));
        let all = rules.flat_map(|terms| {
            let vms = terms.vms.into_iter().map(|id| ManagedObjectReference::new("VirtualMachine", &id));
            vms.chain(terms.hosts.into_iter().map(|id| ManagedObjectReference::new("HostSystem", &id)))
                .collect::<Vec<_>>()
        });
        find::names(of.client(), all.collect::<Vec<_>>()).await
    }
}

/// What a rule says, by ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) name: String,
    pub(super) kind: RuleKind,
    pub(super) enabled: bool,
    pub(super) vms: Vec<String>,
    pub(super) hosts: Vec<String>,
    /// The names of the groups that it refers to.
    pub(super) groups: Vec<String>,
}

fn ids(references: Vec<ManagedObjectReference>) -> Vec<String> {
    references.into_iter().map(|reference| reference.value).collect()
}

pub(super) fn named(ids: &[String], names: &HashMap<String, String>) -> Vec<Named> {
    let mut named: Vec<Named> =
        ids.iter().map(|id| Named { name: names.get(id).unwrap_or(id).clone(), id: id.clone() }).collect();
    named.sort();
    named
}

impl Mo<ClusterComputeResource> {
    /// The rules of the cluster, sorted by name.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::ListQuery;
    /// use vsphere_ops::managed::ClusterComputeResource;
    ///
    /// let prod = client.get::<ClusterComputeResource>("prod-cluster").await?;
    /// for rule in prod.rules(&ListQuery::default()).await?.items {
    ///     println!("{} ({:?}): {:?} {:?}", rule.name, rule.kind, rule.vms, rule.hosts);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that no list gave, and those of the server.
    pub async fn rules(&self, query: &ListQuery) -> Result<Page<DrsRule>> {
        let configured = Configured::read(self).await?;
        let names = configured.names(self).await?;
        let glob = query.glob();
        let rules = configured.rules(&names).into_iter();
        let fitting = rules.filter(|rule| glob.as_ref().is_none_or(|glob| glob.fits(&rule.name)));
        let key = |rule: &DrsRule| ByName { name: rule.name.clone(), id: rule.key.to_string() };
        Ok(Window::of(fitting, key, query)?.into())
    }
}
