//! Compute resources: what hosts bring together. A cluster, or the one that a lone host stands in.

pub(super) mod config;
pub(crate) mod drs;
pub(super) mod hosts;
pub(super) mod placement;
mod summary;

use vsphere_model::managed;
use vsphere_model::types::{ClusterConfigInfoEx, ClusterRecommendation, ComputeResourceConfigInfo, DrsBehavior, Poly};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::resource_pool;
use super::vm::environment;
use crate::fault::Outcome;
use crate::world::{Entity, Look, Managed, Moref, Prop, World};

/// The managed objects `ComputeResource` and `ClusterComputeResource`.
pub(crate) struct Compute {
    entity: Entity,
    /// What makes it a cluster; a lone host's has none.
    pub(crate) cluster: Option<ClusterConfigInfoEx>,
    pub(crate) pool: Moref,
    pub(crate) hosts: Vec<Moref>,
    pub(crate) datastores: Vec<Moref>,
    pub(crate) networks: Vec<Moref>,
    /// Where swap files are: `vmDirectory` or `hostLocal`. A cluster has it in its configuration.
    pub(crate) swap_placement: String,
    /// What DRS would have moved.
    pub(crate) recommendations: Vec<ClusterRecommendation>,
    /// How many machines were moved since the cluster was made.
    pub(crate) migrations: i32,
    /// The last key given to a rule.
    last_rule: i32,
}

impl Managed for Compute {
    fn info(&self) -> &'static ManagedInfo {
        if self.cluster.is_some() { managed::ClusterComputeResource::INFO } else { managed::ComputeResource::INFO }
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match (property, &self.cluster) {
            ("resourcePool", _) => Prop::kept(&self.pool),
            ("host", _) => Prop::list(&self.hosts),
            ("datastore", _) => Prop::list(&self.datastores),
            ("network", _) => Prop::list(&self.networks),
            ("environmentBrowser", _) => Prop::made(environment::browser_of(look.me)),
            ("summary", None) => Prop::made(self.summary(look.world)),
            ("summary" | "summaryEx", Some(_)) => Prop::made(self.cluster_summary(look.world)),
            ("configurationEx", Some(configuration)) => Prop::kept(configuration),
            ("configurationEx", None) => Prop::made(Poly::new(ComputeResourceConfigInfo {
                vm_swap_placement: self.swap_placement.clone(),
                ..Default::default()
            })),
            ("configuration", Some(configuration)) => Prop::made(config::short(configuration)),
            ("recommendation", Some(_)) => Prop::list(&self.recommendations),
            ("drsRecommendation", Some(_)) => Prop::made_list(drs::in_short(&self.recommendations)),
            ("lifecycleManaged" | "configManagerEnabled", _) => Prop::made(false),
            _ => self.entity.read(look, property),
        }
    }

    fn entity(&self) -> Option<&Entity> {
        Some(&self.entity)
    }

    fn entity_mut(&mut self) -> Option<&mut Entity> {
        Some(&mut self.entity)
    }

    fn children(&self) -> Vec<Moref> {
        self.hosts.iter().chain([&self.pool]).cloned().collect()
    }
}

impl Compute {
    /// Whether HA restarts machines of hosts that fail.
    pub(crate) fn has_ha(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.das_config.enabled == Some(true))
    }

    /// What DRS does by itself, where it is on.
    pub(crate) fn drs(&self) -> Option<DrsBehavior> {
        let drs = &self.cluster.as_ref()?.drs_config;
        (drs.enabled == Some(true)).then(|| drs.default_vm_behavior.clone().unwrap_or(DrsBehavior::FullyAutomated))
    }
}

/// Adds a compute resource with its root resource pool to a folder; a cluster where a configuration is given.
///
/// # Errors
/// `ManagedObjectNotFound` for the folder.
pub(crate) fn add(
    world: &mut World,
    name: &str,
    folder: &Moref,
    cluster: Option<ClusterConfigInfoEx>,
) -> Outcome<Moref> {
    let (kind, type_) =
        if cluster.is_some() { ("domain-c", "ClusterComputeResource") } else { ("domain-s", "ComputeResource") };
    let id = world.new_id(kind);
    let itself = Moref::new(type_, &id);
    let pool = resource_pool::add(world, "Resources", &itself, &itself);
    let compute = Compute {
        entity: Entity::new(name, Some(folder)),
        cluster: cluster.map(config::with_defaults),
        pool,
        hosts: Vec::new(),
        datastores: Vec::new(),
        networks: Vec::new(),
        swap_placement: "vmDirectory".to_owned(),
        recommendations: Vec::new(),
        migrations: 0,
        last_rule: 0,
    };
    world.add_as(&id, compute);
    environment::add(world, &itself);
    world.hang(&itself, folder)?;
    Ok(itself)
}
