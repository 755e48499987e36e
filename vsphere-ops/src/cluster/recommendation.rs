//! What DRS recommends, and recommendations that are applied.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use futures::TryStreamExt as _;
use serde::Serialize;
use tokio::time::timeout;
use vsphere_model::managed::{
    ClusterComputeResource, VirtualMachine, cluster_compute_resource as cluster, virtual_machine as vm,
};
use vsphere_model::types::{
    ClusterConfigInfoEx, ClusterDrsFaults, ClusterDrsMigration, ClusterMigrationAction, ClusterRecommendation,
    ManagedObjectReference,
};
use vsphere_soap::object::format_date_time;

use super::Automation;
use crate::error::{Circumstance, Error, ErrorKind, Result};
use crate::find;
use crate::mo::Mo;
use crate::named::Named;
use crate::untrusted::Untrusted;
use crate::watch::Change;

const LIST: &str = "read the recommendations of DRS";
const APPLY: &str = "apply the recommendation of DRS";

/// How many moves of the past are told.
const PAST: usize = 10;

/// How long a move is waited for where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(300);

/// What DRS recommends for a cluster, and why it does not more.
///
/// ```
/// use vsphere_ops::cluster::Recommendations;
///
/// fn is_balanced(found: &Recommendations) -> bool {
///     found.drs && found.recommendations.is_empty() && found.faults.is_empty()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recommendations {
    /// The name of the cluster.
    pub cluster: String,
    /// Its managed object id.
    pub id: String,
    /// Whether DRS is on.
    pub drs: bool,
    /// What it does by itself; where that is all, it recommends little.
    pub automation: Option<Automation>,
    /// The current recommendations; the server replaces them every few minutes.
    pub recommendations: Vec<Recommendation>,
    /// What kept DRS from a move.
    pub faults: Vec<DrsFault>,
    /// The last moves, newest first, at most 10.
    pub last_moves: Vec<PastMove>,
}

/// Something that DRS recommends.
///
/// ```
/// use vsphere_ops::cluster::Recommendation;
///
/// fn line(one: &Recommendation) -> String {
///     let moves: Vec<String> =
///         one.moves.iter().map(|step| format!("{} to {}", step.vm.name, step.to.name)).collect();
///     format!("{} ({} of 5): {}", one.key, one.rating, moves.join(", "))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recommendation {
    /// The key by which it is applied. The server may reuse it when it replaces its recommendations.
    pub key: String,
    /// How much it helps: 1 for a little, 5 for what a rule demands.
    pub rating: i32,
    /// Why, as the API calls it.
    pub reason: String,
    /// Why, in words.
    pub reason_text: Untrusted,
    /// When it was made, RFC 3339.
    pub time: String,
    /// What the server warns of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<Untrusted>,
    /// The keys of those that must be applied before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prerequisites: Vec<String>,
    /// The VMs that it moves.
    pub moves: Vec<Migration>,
    /// What else it does, as the API calls it: it may power a host on or off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_actions: Vec<String>,
}

/// A move of a VM that DRS recommends.
///
/// ```
/// use vsphere_ops::cluster::Migration;
///
/// fn line(step: &Migration) -> String {
///     format!("{} from {} to {}", step.vm.name, step.from.name, step.to.name)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Migration {
    /// The VM.
    pub vm: Named,
    /// The host that it is on.
    pub from: Named,
    /// The host that it goes to.
    pub to: Named,
}

/// What kept DRS from a move.
///
/// ```
/// use vsphere_ops::cluster::DrsFault;
///
/// fn line(fault: &DrsFault) -> String {
///     format!("{:?}: {}", fault.vm.as_ref().map(|vm| &vm.name), fault.faults.join(", "))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DrsFault {
    /// What DRS wanted to do it for.
    pub reason: String,
    /// The VM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm: Option<Named>,
    /// What stood in the way, in words.
    pub faults: Vec<String>,
}

/// A move that DRS has made.
///
/// ```
/// use vsphere_ops::cluster::PastMove;
///
/// fn line(past: &PastMove) -> String {
///     format!("{} {} to {}", past.time, past.step.vm.name, past.step.to.name)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PastMove {
    /// When, RFC 3339.
    pub time: String,
    /// What was moved.
    #[serde(flatten)]
    pub step: Migration,
}

impl Mo<ClusterComputeResource> {
    /// Reads what DRS recommends. It is not asked to think again for that: `RefreshRecommendation` is a change.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::ClusterComputeResource;
    ///
    /// let lab = client.get::<ClusterComputeResource>("lab-cluster").await?;
    /// lab.refresh_recommendation().await?; // the method of the API
    /// for one in lab.recommendations().await?.recommendations {
    ///     println!("{}: {}", one.key, one.reason_text);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, such as a cluster that is gone.
    pub async fn recommendations(&self) -> Result<Recommendations> {
        let read = async {
            let (config, all, faults, mut past) = self
                .read((
                    cluster::CONFIGURATION_EX,
                    cluster::RECOMMENDATION,
                    cluster::DRS_FAULT,
                    cluster::MIGRATION_HISTORY,
                ))
                .await?;
            let drs = config.downcast_ref::<ClusterConfigInfoEx>().map(|config| &config.drs_config);
            let enabled = drs.is_some_and(|drs| drs.enabled == Some(true));
            past.sort_by_key(|step| Reverse(step.time));
            past.truncate(PAST);
            let of_faults = faults.iter().flat_map(|fault| &fault.faults_by_vm).filter_map(|fault| fault.vm.clone());
            let migrations = all.iter().flat_map(migrations).chain(&past);
            let named = of_faults.chain(migrations.flat_map(involved)).collect::<Vec<_>>();
            let names = find::names(self.client(), named).await?;
            let past_move = |past: &ClusterDrsMigration| PastMove {
                time: format_date_time(&past.time),
                step: Migration::of(past, &names),
            };
            Ok(Recommendations {
                cluster: self.label().to_owned(),
                id: self.id().to_owned(),
                drs: enabled,
                automation: drs.and_then(|drs| Automation::of(drs.default_vm_behavior.as_ref()?)).filter(|_| enabled),
                recommendations: all.iter().map(|one| Recommendation::of(one, &names)).collect(),
                faults: faults.iter().flat_map(|fault| told(fault, &names)).collect(),
                last_moves: past.iter().map(past_move).collect(),
            })
        };
        read.await.map_err(|error: Error| error.in_operation(LIST).on(self.label()))
    }

    /// Plans to apply the recommendation of this key.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::ClusterComputeResource;
    ///
    /// let lab = client.get::<ClusterComputeResource>("lab-cluster").await?;
    /// lab.refresh_recommendation().await?;
    /// if let Some(first) = lab.recommendations().await?.recommendations.first() {
    ///     let applied = lab.application(&first.key).await?.carry_out(None).await?;
    ///     println!("{} of {} VMs are there", applied.moved, applied.recommendation.moves.len());
    /// }
    /// assert!(lab.application("none").await.unwrap_err().is_not_found());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` where there is no such recommendation, or no longer; `invalid_state` where others must be applied first;
    /// and those of the server.
    pub async fn application(&self, key: &str) -> Result<Application> {
        let planned = async {
            let recommendations = self.recommendations().await?;
            let keys: Vec<&str> = recommendations.recommendations.iter().map(|one| one.key.as_str()).collect();
            let Some(found) = recommendations.recommendations.iter().find(|one| one.key == key) else {
                let there = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
                let text = format!("there is no recommendation {key:?}, or no longer; those of the cluster: {there}");
                let error = Error::new(APPLY, ErrorKind::NotFound(text));
                return Err(error.with_circumstance(Circumstance::NoSuchRecommendation));
            };
            let before: Vec<&str> =
                found.prerequisites.iter().map(String::as_str).filter(|other| keys.contains(other)).collect();
            if !before.is_empty() {
                let text = format!("others must be applied before it: {}", before.join(", "));
                return Err(Error::new(APPLY, ErrorKind::InvalidState(text)));
            }
            Ok(Application {
                cluster: self.label().to_owned(),
                id: self.id().to_owned(),
                recommendation: found.clone(),
                at: self.clone(),
            })
        };
        planned.await.map_err(|error: Error| error.in_operation(APPLY).on(self.label()))
    }
}

/// A plan to apply what DRS recommends.
///
/// ```
/// use vsphere_ops::cluster::Application;
///
/// fn vms(plan: &Application) -> Vec<&str> {
///     plan.recommendation.moves.iter().map(|step| step.vm.name.as_str()).collect()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is moved before it is carried out"]
pub struct Application {
    /// The name of the cluster.
    pub cluster: String,
    /// Its managed object id.
    pub id: String,
    /// What is applied.
    #[serde(flatten)]
    pub recommendation: Recommendation,
    #[serde(skip)]
    at: Mo<ClusterComputeResource>,
}

/// A recommendation that was applied.
///
/// ```
/// use vsphere_ops::cluster::Applied;
///
/// fn is_done(applied: &Applied) -> bool {
///     applied.moved == applied.recommendation.moves.len()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Applied {
    /// The name of the cluster.
    pub cluster: String,
    /// Its managed object id.
    pub id: String,
    /// What was applied.
    #[serde(flatten)]
    pub recommendation: Recommendation,
    /// How many of the VMs are on their new host. The server tells of no end: others may still move, or their move has failed.
    pub moved: usize,
    /// Always, since the server has begun with it.
    pub changed: bool,
}

impl Application {
    /// Applies the recommendation, and waits until its VMs are where they go, for at most so long.
    ///
    /// Needs `Resource.ApplyRecommendation`.
    ///
    /// # Errors
    /// `changed` where the key is now that of another recommendation or of none, and those of the server.
    pub async fn carry_out(self, patience: Option<Duration>) -> Result<Applied> {
        let named = |error: Error| error.in_operation(APPLY).on(self.at.label());
        let now = self.at.recommendations().await.map_err(named)?;
        let same = |one: &&Recommendation| {
            one.key == self.recommendation.key
                && one.moves == self.recommendation.moves
                && one.other_actions == self.recommendation.other_actions
        };
        if now.recommendations.iter().find(same).is_none() {
            let text = "DRS has other recommendations by now, so nothing was done";
            return Err(named(Error::new(APPLY, ErrorKind::Changed(text.to_owned()))));
        }
        self.at.apply_recommendation(&self.recommendation.key).await.map_err(|error| named(error.into()))?;
        let moved = self.arrived(patience.unwrap_or(PATIENCE)).await.map_err(named)?;
        let Self { cluster, id, recommendation, .. } = self;
        Ok(Applied { cluster, id, recommendation, moved, changed: true })
    }

    /// How many VMs are on their new host, once all are or the time is up. The server tells of each change: nothing is polled.
    async fn arrived(&self, patience: Duration) -> Result<usize> {
        let arrivals = self.recommendation.moves.iter().map(|step| timeout(patience, self.arrival(step)));
        let mut moved = 0;
        for arrived in futures::future::join_all(arrivals).await {
            moved += usize::from(arrived.unwrap_or(Ok(false))?);
        }
        Ok(moved)
    }

    /// Waits until a VM is on its new host; not so where it is gone.
    async fn arrival(&self, step: &Migration) -> Result<bool> {
        let reference = ManagedObjectReference::new("VirtualMachine", &step.vm.id);
        let machine: Mo<VirtualMachine> = Mo::new(self.at.client(), &reference, Some(step.vm.name.clone()));
        let mut changes = machine.watch(vm::HOST);
        while let Some(change) = changes.try_next().await? {
            if let Change::Entered { row: Some(host), .. } | Change::Changed { row: Some(host), .. } = change
                && host.value == step.to.id
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn migrations(of: &ClusterRecommendation) -> impl Iterator<Item = &ClusterDrsMigration> {
    let actions = of.action.iter().filter_map(|action| action.downcast_ref::<ClusterMigrationAction>());
    actions.filter_map(|action| action.drs_migration.as_deref())
}

fn involved(of: &ClusterDrsMigration) -> [ManagedObjectReference; 3] {
    [of.vm.clone(), of.source.clone(), of.destination.clone()]
}

fn named(of: &ManagedObjectReference, names: &HashMap<String, String>) -> Named {
    Named { name: names.get(&of.value).unwrap_or(&of.value).clone(), id: of.value.clone() }
}

impl Migration {
    fn of(migration: &ClusterDrsMigration, names: &HashMap<String, String>) -> Self {
        Self {
            vm: named(&migration.vm, names),
            from: named(&migration.source, names),
            to: named(&migration.destination, names),
        }
    }
}

impl Recommendation {
    fn of(one: &ClusterRecommendation, names: &HashMap<String, String>) -> Self {
        let others = one.action.iter().filter(|action| !action.is::<ClusterMigrationAction>());
        Self {
            key: one.key.clone(),
            rating: one.rating,
            reason: one.reason.clone(),
            reason_text: one.reason_text.as_str().into(),
            time: format_date_time(&one.time),
            warning: one.warning_text.as_deref().filter(|warning| !warning.is_empty()).map(Into::into),
            prerequisites: one.prerequisite.clone(),
            moves: migrations(one).map(|migration| Migration::of(migration, names)).collect(),
            other_actions: others.map(|action| action.type_.clone()).collect(),
        }
    }
}

fn told(faults: &ClusterDrsFaults, names: &HashMap<String, String>) -> Vec<DrsFault> {
    let of_vm = faults.faults_by_vm.iter().map(|by_vm| DrsFault {
        reason: faults.reason.clone(),
        vm: by_vm.vm.as_ref().map(|vm| named(vm, names)),
        faults: by_vm
            .fault
            .iter()
            .map(|fault| {
                let message = fault.localized_message.as_deref().unwrap_or_default();
                vsphere_soap::fault::in_words(message, fault.fault.as_object())
            })
            .collect(),
    });
    of_vm.collect()
}
