//! What needs somebody now, over the whole inventory.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use vsphere_model::managed::{Folder, LicenseManager, license_manager};
use vsphere_model::types::{
    Any, DateTime, KeyAnyValue, LicenseManagerLicenseInfo, ManagedObjectReference, TaskInfoState,
};

use super::hosts::{self, Host};
use super::seen::{Unseen, World};
use super::vms::{self, Vm};
use super::{Finding, Problem, Severity, Subject, datastores, ends_soon, limits, whole_days};
use crate::alarms::TriggeredAlarm;
use crate::client::Client;
use crate::error::Result;
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::task::TaskReport;
use crate::untrusted::Untrusted;

/// How many failed tasks are looked at.
const TASKS: usize = 500;

/// The licence of a server that was given none.
const EVALUATION: &str = "eval";

/// What needs somebody now.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::diagnosis::Attention;
///
/// let now: Attention = client.attention().await?;
/// assert_eq!(now.critical + now.warnings + now.notices, now.findings.len());
/// for part in &now.gaps.missing {
///     println!("not looked at: {} ({})", part.what, part.why);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attention {
    /// How many findings are critical.
    pub critical: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// How many are notices.
    pub notices: usize,
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
    /// What was not looked at, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

impl Client {
    /// What needs somebody now, over the whole inventory, the worst first: triggered alarms, datastores that are full or
    /// inaccessible, hosts that are lost, degraded or in maintenance with VMs on them, uplinks and storage paths that are
    /// down, certificates and licences that expire, VMs that are lost, wait with a question or need consolidation, old and
    /// large snapshots, and the tasks that have failed within a day.
    ///
    /// The number of requests does not depend on the size of the inventory, but for the pages of a server that gives no
    /// more than a hundred objects at a time.
    ///
    /// # Errors
    /// Server errors of the read of the inventory. What else fails is in the gaps of the report.
    pub async fn attention(&self) -> Result<Attention> {
        let now = self.server_time().await?;
        let mut gaps = Gaps::default();
        let root: Mo<Folder> = Mo::new(self, &self.content().root_folder, None);
        let types = [("VirtualMachine", vms::PATHS), ("HostSystem", hosts::PATHS), ("Datastore", datastores::PATHS)];
        let mut own = Gaps::default();
        let (world, alarms, licences, tasks) = futures::join!(
            World::read(self, &types, &mut own),
            root.known_alarms(),
            licences(self),
            self.tasks().states([TaskInfoState::Error]).since(now - limits::TASKS).report(TASKS),
        );
        let mut world = world.map_err(|error| error.in_operation("look for what needs attention"))?;
        let mut unseen = Unseen::default();
        let vms: Vec<Vm> = world.take("VirtualMachine").into_iter().map(Vm::new).collect();
        let mut hosts: Vec<Host> = world.take("HostSystem").into_iter().map(Host::new).collect();
        hosts::look_inside(self, &mut hosts, &mut unseen, &mut gaps).await;
        let mut running: HashMap<&str, usize> = HashMap::new();
        for host in vms.iter().filter(|vm| vm.runs).filter_map(|vm| vm.host.as_ref()) {
            *running.entry(host.value.as_str()).or_default() += 1;
        }
        let (connected, lost): (Vec<&Host>, Vec<&Host>) = hosts.iter().partition(|host| host.is_connected());
        let ids = |hosts: Vec<&Host>| hosts.into_iter().map(|host| host.reference.value.clone()).collect();
        let (connected, lost): (HashSet<String>, HashSet<String>) = (ids(connected), ids(lost));

        let mut findings = Vec::new();
        for datastore in &mut world.take("Datastore") {
            findings.extend(datastores::findings(datastore, &connected, &mut unseen));
        }
        for host in &hosts {
            findings.extend(host.findings(running.get(host.reference.value.as_str()).copied().unwrap_or(0)));
        }
        for vm in &vms {
            findings.extend(vm.findings(now, &lost));
        }
        let (mut of_paths, mut of_certificates, mut of_snapshots) = (Gaps::default(), Gaps::default(), Gaps::default());
        let (paths, certificates, snapshots) = futures::join!(
            hosts::storage(self, &hosts, &mut of_paths),
            hosts::certificates(self, &hosts, now, &mut of_certificates),
            vms::large_snapshots(self, &vms, &mut of_snapshots),
        );
        findings.extend(paths.into_iter().chain(certificates).chain(snapshots));
        let (alarms, of_alarms) = gaps.part("triggered alarms", alarms);
        findings.extend(alarms.iter().filter_map(alarm));
        findings.extend(expiring(self, gaps.part("licences", licences), now, &mut gaps));
        match tasks {
            Ok(tasks) => {
                if tasks.truncated {
                    gaps.lacks("older failed tasks", format!("only the newest {TASKS} are looked at"));
                }
                gaps.append(tasks.gaps);
                findings.extend(failures(tasks.items));
            }
            Err(error) => gaps.lacks("failed tasks", error.to_string()),
        }
        for more in [own, of_alarms, of_paths, of_certificates, of_snapshots] {
            gaps.append(more);
        }
        unseen.tell(&mut gaps);
        findings.sort_by(Finding::order);
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        Ok(Attention {
            critical: count(Severity::Critical),
            warnings: count(Severity::Warning),
            notices: count(Severity::Notice),
            findings,
            gaps,
        })
    }
}

/// An alarm that is red or yellow. One that somebody has acknowledged is known of.
pub(super) fn alarm(alarm: &TriggeredAlarm) -> Option<Finding> {
    let severity = match (alarm.status.as_str(), alarm.acknowledged) {
        ("red" | "yellow", true) => Severity::Notice,
        ("red", false) => Severity::Critical,
        ("yellow", false) => Severity::Warning,
        _ => return None,
    };
    let object = Subject { name: alarm.entity.clone(), id: alarm.entity_id.clone(), kind: alarm.entity_type.clone() };
    let problem = Problem::Alarm {
        alarm: alarm.alarm.clone(),
        alarm_id: alarm.alarm_id.clone(),
        status: alarm.status.clone(),
        acknowledged: alarm.acknowledged,
        acknowledged_by: alarm.acknowledged_by.clone(),
    };
    Some(Finding { since: Some(alarm.time.clone()), ..Finding::new(severity, object, problem) })
}

/// What the server says of its licences.
#[derive(Default)]
struct Licences {
    manager: Option<ManagedObjectReference>,
    edition: String,
    evaluation: Vec<KeyAnyValue>,
    all: Vec<LicenseManagerLicenseInfo>,
    gaps: Gaps,
}

async fn licences(client: &Client) -> Result<Licences> {
    let Some(manager) = &client.content().license_manager else { return Ok(Licences::default()) };
    let mo: Mo<LicenseManager> = Mo::new(client, manager, None);
    let ((edition, evaluation, all), gaps) = mo
        .read_known((
            license_manager::LICENSED_EDITION.optional(),
            license_manager::EVALUATION,
            license_manager::LICENSES.optional(),
        ))
        .await?;
    Ok(Licences {
        manager: Some(manager.clone()),
        edition: edition.unwrap_or_default(),
        evaluation: evaluation.map(|info| info.properties).unwrap_or_default(),
        all: all.unwrap_or_default(),
        gaps,
    })
}

/// The licences in use that end soon. A server that has one keeps the evaluation in its list, unused and long ended.
fn expiring(client: &Client, licences: Licences, now: DateTime, gaps: &mut Gaps) -> Vec<Finding> {
    let Licences { manager, edition, evaluation, all, gaps: own } = licences;
    gaps.append(own);
    let Some(manager) = manager else {
        gaps.lacks("licences", "this server does not tell of them");
        return Vec::new();
    };
    let object = Subject { name: client.content().about.name.clone(), id: manager.value, kind: manager.type_ };
    let in_use = |licence: &&LicenseManagerLicenseInfo| licence.used.is_none_or(|used| used > 0);
    let evaluated = |licence: &LicenseManagerLicenseInfo| licence.edition_key == EVALUATION;
    let mut ends: Vec<(String, i64)> = all
        .iter()
        .filter(in_use)
        .filter(|licence| !evaluated(licence))
        .filter_map(|licence| Some((licence.name.clone(), days_left(&licence.properties, now)?)))
        .collect();
    // Where the server itself or a host has no licence, what counts is the evaluation.
    if edition == EVALUATION
        || all.iter().any(|licence| evaluated(licence) && licence.used.is_some_and(|used| used > 0))
    {
        let name = all.iter().find(|licence| evaluated(licence)).map_or("Evaluation", |licence| licence.name.as_str());
        match days_left(&evaluation, now) {
            Some(days) => ends.push((name.to_owned(), days)),
            None => gaps.lacks("the end of the evaluation", "the server does not tell it"),
        }
    }
    let finding = |(licence, days_left): (String, i64)| {
        let severity = ends_soon(days_left, limits::LICENCE_CRITICAL_DAYS, limits::LICENCE_WARNING_DAYS)?;
        Some(Finding::new(severity, object.clone(), Problem::Licence { licence, days_left }))
    };
    ends.into_iter().filter_map(finding).collect()
}

/// How long a licence with these properties counts; one without an end has none of them.
fn days_left(properties: &[KeyAnyValue], now: DateTime) -> Option<i64> {
    let value = |key: &str| properties.iter().find(|property| property.key == key).map(|property| &property.value);
    if let Some(Any::DateTime(end)) = value("expirationDate") {
        return Some(whole_days(*end - now));
    }
    let number = |value: &Any| match value {
        Any::Long(hours) => Some(*hours),
        Any::Int(hours) => Some(i64::from(*hours)),
        _ => None,
    };
    let hours = value("expirationHours").and_then(number)?;
    // An evaluation that has ended has none left, and no negative ones.
    Some(if hours <= 0 { -1 } else { hours.div_euclid(24) })
}

/// Failed tasks, those that failed in the same way together. What a user has cancelled has not failed.
fn failures(tasks: Vec<TaskReport>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut known: HashMap<(String, Option<String>, String), usize> = HashMap::new();
    for task in tasks {
        let Some(error) = task.error.filter(|error| !task.cancelled && error.fault != "RequestCanceled") else {
            continue;
        };
        let key = (task.operation.clone(), task.entity_id.clone(), error.fault.clone());
        if let Some(finding) = known.get(&key).and_then(|at| found.get_mut(*at)) {
            if let Problem::TaskFailed { times, .. } = &mut finding.problem {
                *times += 1;
            }
            // The newest came first.
            finding.since = task.completed.or(Some(task.queued));
            continue;
        }
        known.insert(key, found.len());
        let id = task.entity_id.unwrap_or_default();
        let object = Subject {
            name: task.entity.unwrap_or_else(|| id.clone()),
            kind: crate::find::inventory::type_of_id(&id).unwrap_or("ManagedEntity").to_owned(),
            id,
        };
        let problem = Problem::TaskFailed {
            operation: task.operation,
            fault: error.fault,
            message: Untrusted::from(error.message.as_str()),
            user: task.user,
            times: 1,
        };
        let since = task.completed.or(Some(task.queued));
        found.push(Finding { since, ..Finding::new(Severity::Warning, object, problem) });
    }
    found
}
