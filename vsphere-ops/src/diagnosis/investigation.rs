//! What ails one object: what it lacks, who takes it, and what changed before that began.

mod measures;
mod neighbours;
mod vms;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::TimeDelta;
use serde::Serialize;
use vsphere_model::managed::{ClusterComputeResource, Datastore, HostSystem, ManagedEntity, VirtualMachine};
use vsphere_model::types::{DatastoreHostMount, DatastoreSummary, DateTime, ManagedObjectReference};
use vsphere_soap::object::{ManagedType as _, format_date_time};
use vsphere_soap::request::ManagedObject;

use super::attention::alarm;
use super::hosts::{self, Host};
use super::seen::{Seen, Unseen};
use super::story::{Deed, Story};
use super::{Finding, Problem, Severity, Subject, datastores, limits};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::events::Recursion;
use crate::find::{self, inventory::kind_of};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::performance::Interval;
use measures::{Judgement, Measure, Measured, OF_HOST, OF_VM};
use neighbours::Scarce;
use vms::Machine;

pub use measures::Reading;
pub use neighbours::Neighbour;

/// How many lines the timeline has, and how many changes may be causes.
const TIMELINE: usize = 20;
const CAUSES: usize = 5;

/// How many values of an hour there are, and of a quarter of one.
const HOUR: u16 = 180;
const QUARTER: u16 = 45;

/// Up to how many hosts a day is looked at, and not only a part of the last hour.
const HOSTS_BY_DAY: usize = 8;

/// How many VMs are measured.
const MOST_VMS: usize = 100;

/// How many hosts are looked at for who reads and writes on a datastore, and of how many of these the VMs are.
const MOST_HOSTS: usize = 100;
const BUSIEST_HOSTS: usize = 2;

/// How many objects of one kind of contention are told apart.
const WORST: usize = 3;

/// What an object lacks.
///
/// ```
/// use vsphere_ops::diagnosis::Contention;
///
/// assert_eq!(serde_json::to_value(Contention::CpuReady).unwrap(), "cpu_ready");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Contention {
    /// The CPUs of a VM wait for CPUs of the host.
    CpuReady,
    /// The CPUs of a VM wait for each other: it has more than the host can run at once.
    CpuCostop,
    /// A limit holds a VM's CPUs back.
    CpuLimit,
    /// A VM or a host uses all its CPU.
    CpuFull,
    /// Memory is read back from a VM's swap file: the VM waits for it.
    SwappingIn,
    /// The balloon in a VM's guest takes memory from it, for the host or because of a limit.
    Ballooning,
    /// A VM or a host uses all its memory.
    MemoryFull,
    /// Storage answers late.
    StorageLatency,
    /// Packets are dropped.
    PacketsDropped,
}

/// What was found about an object.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::diagnosis::Investigation;
/// use vsphere_ops::managed::VirtualMachine;
///
/// let found: Investigation = client.get::<VirtualMachine>("web-01").await?.investigate().await?;
/// for change in &found.changes_before {
///     println!("{} {:?} {}", change.time, change.user, change.what);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Investigation {
    /// What was looked at.
    pub object: Subject,
    /// When by the server's clock, RFC 3339.
    pub time: String,
    /// What is wrong with it, with what it runs on and with what it is stored on, the worst first.
    pub findings: Vec<Finding>,
    /// What was changed within two hours before contention began, the last first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes_before: Vec<Deed>,
    /// The tasks and events of it and all below it within a day, newest first; of a VM that is not well those of its host too.
    pub timeline: Vec<Deed>,
    /// How many older ones are not shown.
    pub older: usize,
    /// What was not looked at, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

impl<M: ManagedObject> Mo<M> {
    /// Looks for what ails a VM, a host, a datastore or a cluster: what it lacks of CPU, memory, storage and network by the
    /// counters of the last hour and day, which VMs take it, what is wrong with the objects that it depends on, its alarms,
    /// and as one timeline its tasks and events, with those before it began.
    ///
    /// Some forty requests are sent, of whatever size the object is; of a host with more than a hundred running VMs, and of a cluster, the busiest hundred
    /// are measured. What was not looked at is in the gaps.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::diagnosis::Problem;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let found = client.get::<VirtualMachine>("web-01").await?.investigate().await?;
    /// for finding in &found.findings {
    ///     if let Problem::Contention { of, measured, neighbours, .. } = &finding.problem {
    ///         println!("{of:?}: {} {} since {:?}", measured.average, measured.unit, finding.since);
    ///         println!("because of {neighbours:?}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for other objects, `not_found` where it is gone, and server errors of the first read. What else
    /// fails is in the gaps.
    pub async fn investigate(&self) -> Result<Investigation> {
        let failed = |error: Error| error.in_operation("look for what ails").on(self.label());
        let (client, object) = (self.client(), self.reference());
        let now = client.server_time().await.map_err(failed)?;
        let mut scene =
            Scene { client, now, findings: Vec::new(), gaps: Gaps::default(), unseen: Unseen::default(), host: None };
        let subject = match object.type_.as_str() {
            VirtualMachine::NAME => scene.of_vm(object).await,
            HostSystem::NAME => scene.of_host(object).await,
            Datastore::NAME => scene.of_datastore(object).await,
            ClusterComputeResource::NAME => scene.of_cluster(object).await,
            other => {
                let text =
                    format!("a {} can't be investigated: give a VM, a host, a datastore or a cluster", kind_of(other));
                Err(invalid("look for what ails", text))
            }
        };
        let subject = subject.map_err(failed)?;
        let entity: Mo<ManagedEntity> = Mo::new(client, object, Some(subject.name.clone()));
        let begin = now - TimeDelta::days(1);
        let Scene { mut findings, mut gaps, unseen, host, .. } = scene;
        // Where nothing is wrong, nothing of the host has hit it.
        let host = host.filter(|_| !findings.is_empty()).map(|host| Mo::<HostSystem>::new(client, &host, None));
        let of_host = async {
            match &host {
                // What became of its VMs is told with each of them.
                Some(host) => host.story(begin, Recursion::Self_).await,
                None => Ok(Story::default()),
            }
        };
        let (alarms, story, of_host) =
            futures::join!(entity.known_alarms(), entity.story(begin, Recursion::All), of_host);
        let (alarms, of_alarms) = gaps.part("triggered alarms", alarms);
        findings.extend(alarms.iter().filter_map(alarm));
        let mut story = gaps.part("tasks and events", story);
        let of_host = gaps.part("tasks and events of its host", of_host);
        story.add(of_host.deeds);
        gaps.append(of_host.gaps);
        let Story { deeds, gaps: of_story, .. } = story;
        unseen.tell(&mut gaps);
        gaps.append(of_alarms);
        gaps.append(of_story);
        findings.sort_by(Finding::order);
        let changes_before = causes(&findings, &deeds);
        let older = deeds.len().saturating_sub(TIMELINE);
        let timeline = deeds.into_iter().take(TIMELINE).collect();
        Ok(Investigation {
            object: subject,
            time: format_date_time(&now),
            findings,
            changes_before,
            timeline,
            older,
            gaps,
        })
    }
}

/// The changes that came shortly before contention that goes on.
fn causes(findings: &[Finding], deeds: &[Deed]) -> Vec<Deed> {
    let began = findings.iter().filter(|finding| finding.severity < Severity::Notice).filter_map(|finding| {
        let has_begun = matches!(&finding.problem, Problem::Contention { measured, .. } if !measured.or_earlier);
        finding.since.as_deref().filter(|_| has_begun).and_then(|since| DateTime::parse_from_rfc3339(since).ok())
    });
    let Some(began) = began.min() else { return Vec::new() };
    // The first five minutes beyond a limit may have begun within it.
    let is_before = |deed: &&Deed| {
        deed.is_change() && deed.at() <= began + TimeDelta::minutes(5) && deed.at() >= began - limits::CAUSE
    };
    deeds.iter().filter(is_before).take(CAUSES).cloned().collect()
}

/// What is looked at, and what was found so far.
struct Scene<'a> {
    client: &'a Client,
    now: DateTime,
    findings: Vec<Finding>,
    gaps: Gaps,
    unseen: Unseen,
    /// The host that a VM is on, whose own events may have hit it.
    host: Option<ManagedObjectReference>,
}

/// A host with what depends on it.
struct SeenHost {
    host: Host,
    vms: Vec<ManagedObjectReference>,
    datastores: Vec<ManagedObjectReference>,
}

/// A datastore with its volume, as counters call it.
struct SeenStore {
    subject: Subject,
    volume: String,
    hosts: Vec<ManagedObjectReference>,
}

impl Scene<'_> {
    async fn of_vm(&mut self, object: &ManagedObjectReference) -> Result<Subject> {
        let content = find::details(self.client, [object.clone()], &vms::paths(true)).await?.pop();
        let content = content
            .ok_or_else(|| Error::new("read", ErrorKind::NotFound(find::no_longer(&object.type_, &object.value))))?;
        self.gaps.append(Gaps::of(std::slice::from_ref(&content)));
        let vm = Machine::new(Seen::new(content));
        self.host = vm.host().cloned();
        let hosts = self.see_hosts(vm.host().into_iter().cloned()).await;
        let stores = self.see_stores(vm.datastores.iter().cloned(), &hosts).await;
        let lost: HashSet<String> = hosts
            .iter()
            .filter(|seen| !seen.host.is_connected())
            .map(|seen| seen.host.reference.value.clone())
            .collect();
        self.findings.extend(vm.findings(self.now, &lost, self.client, &mut self.gaps).await);
        // Of its host what may be a cause.
        for seen in &hosts {
            let causes = seen.host.findings(1).into_iter().filter(|finding| {
                matches!(
                    finding.problem,
                    Problem::HostUnreachable { .. }
                        | Problem::Quarantine { .. }
                        | Problem::Hardware { .. }
                        | Problem::Uplinks { .. }
                )
            });
            self.findings.extend(causes);
        }
        let mut found = self.measure_vms(std::slice::from_ref(&vm), &stores, true).await;
        let of_its_stores: HashSet<&str> = stores.iter().map(|store| store.volume.as_str()).collect();
        let of_hosts = self.measure_hosts(&hosts, &stores, Some(&of_its_stores)).await;
        found.extend(of_hosts);
        self.add_neighbours(&mut found, &hosts, &stores).await;
        self.findings.extend(found);
        Ok(vm.subject().clone())
    }

    async fn of_host(&mut self, object: &ManagedObjectReference) -> Result<Subject> {
        let hosts = self.see_hosts([object.clone()]).await;
        let subject = hosts
            .first()
            .map(|seen| seen.host.subject.clone())
            .ok_or_else(|| Error::new("read", ErrorKind::NotFound(find::no_longer(&object.type_, &object.value))))?;
        self.all_of(&hosts).await;
        Ok(subject)
    }

    async fn of_cluster(&mut self, object: &ManagedObjectReference) -> Result<Subject> {
        let content = find::details(self.client, [object.clone()], &["name", "host"]).await?.pop();
        let content = content
            .ok_or_else(|| Error::new("read", ErrorKind::NotFound(find::no_longer(&object.type_, &object.value))))?;
        self.gaps.append(Gaps::of(std::slice::from_ref(&content)));
        let mut seen = Seen::new(content);
        let hosts: Vec<ManagedObjectReference> = seen.take("host").unwrap_or_default();
        let hosts = self.see_hosts(hosts).await;
        self.all_of(&hosts).await;
        Ok(seen.subject)
    }

    async fn of_datastore(&mut self, object: &ManagedObjectReference) -> Result<Subject> {
        let content = find::details(self.client, [object.clone()], &["name", "host"]).await?.pop();
        let content = content
            .ok_or_else(|| Error::new("read", ErrorKind::NotFound(find::no_longer(&object.type_, &object.value))))?;
        let mut seen = Seen::new(content);
        let mounts: Vec<DatastoreHostMount> = seen.take("host").unwrap_or_default();
        let hosts = self.see_hosts(mounts.into_iter().map(|mount| mount.key)).await;
        let stores = self.see_stores([object.clone()], &hosts).await;
        let volumes: HashSet<&str> = stores.iter().map(|store| store.volume.as_str()).collect();
        let mut found = self.measure_hosts(&hosts, &stores, Some(&volumes)).await;
        found.retain(|finding| finding.object.id == object.value);
        self.add_neighbours(&mut found, &hosts, &stores).await;
        self.findings.extend(found);
        Ok(seen.subject)
    }

    /// Everything about these hosts, their datastores and the busiest of their VMs.
    async fn all_of(&mut self, hosts: &[SeenHost]) {
        let vms = self.see_vms(hosts.iter().flat_map(|seen| seen.vms.iter().cloned())).await;
        for seen in hosts {
            let running = vms.iter().filter(|vm| vm.vm.runs && vm.host() == Some(&seen.host.reference)).count();
            self.findings.extend(seen.host.findings(running));
        }
        let stores = self.see_stores(hosts.iter().flat_map(|seen| seen.datastores.iter().cloned()), hosts).await;
        let mut found = self.measure_hosts(hosts, &stores, None).await;
        let is_host = |finding: &&Finding| finding.object.kind == HostSystem::NAME;
        let short: HashSet<String> = found.iter().filter(is_host).map(|finding| finding.object.id.clone()).collect();
        // The VMs of a host that is short come first.
        let is_on_short = |vm: &Machine| vm.host().is_some_and(|host| short.contains(&host.value));
        let (first, rest): (Vec<Machine>, Vec<Machine>) = vms.into_iter().partition(is_on_short);
        let busiest = self.busiest(first.into_iter().chain(rest));
        let of_vms = self.measure_vms(&busiest, &stores, false).await;
        found.extend(worst(of_vms));
        self.add_neighbours(&mut found, hosts, &stores).await;
        self.findings.extend(found);
    }

    /// Reads what measuring takes of these VMs, the busiest first.
    async fn see_vms(&mut self, vms: impl IntoIterator<Item = ManagedObjectReference>) -> Vec<Machine> {
        let contents = find::details(self.client, vms, &vms::paths(false)).await;
        let contents = self.gaps.part("VMs", contents);
        self.gaps.append(Gaps::of(&contents));
        let mut machines: Vec<Machine> = contents.into_iter().map(|content| Machine::new(Seen::new(content))).collect();
        machines
            .sort_by(|one, other| other.usage_mhz.cmp(&one.usage_mhz).then_with(|| one.subject().cmp(other.subject())));
        machines
    }

    /// The first of these VMs that run, as many as are measured.
    fn busiest(&mut self, vms: impl IntoIterator<Item = Machine>) -> Vec<Machine> {
        let mut running: Vec<Machine> = vms.into_iter().filter(|vm| vm.vm.runs).collect();
        if running.len() > MOST_VMS {
            let what = format!("the counters of {} VMs", running.len() - MOST_VMS);
            self.gaps.lacks(&what, format!("only the {MOST_VMS} busiest are measured"));
            running.truncate(MOST_VMS);
        }
        running
    }

    /// Looks at these hosts, and inside of those that vCenter reaches.
    async fn see_hosts(&mut self, hosts: impl IntoIterator<Item = ManagedObjectReference>) -> Vec<SeenHost> {
        let paths: Vec<&str> = ["name", "vm", "datastore"].into_iter().chain(hosts::PATHS.iter().copied()).collect();
        let contents = find::details(self.client, hosts, &paths).await;
        let contents = self.gaps.part("hosts", contents);
        self.gaps.append(Gaps::of(&contents));
        let (mut found, mut rest) = (Vec::new(), Vec::new());
        for content in contents {
            let mut seen = Seen::new(content);
            rest.push((seen.take("vm").unwrap_or_default(), seen.take("datastore").unwrap_or_default()));
            found.push(Host::new(seen));
        }
        let mut gaps = Gaps::default();
        hosts::look_inside(self.client, &mut found, &mut self.unseen, &mut gaps).await;
        let paths = hosts::storage(self.client, &found, &mut gaps).await;
        self.gaps.append(gaps);
        self.findings.extend(paths);
        let seen = found.into_iter().zip(rest).map(|(host, (vms, datastores))| SeenHost { host, vms, datastores });
        seen.collect()
    }

    /// Looks at these datastores.
    async fn see_stores(
        &mut self,
        stores: impl IntoIterator<Item = ManagedObjectReference>,
        hosts: &[SeenHost],
    ) -> Vec<SeenStore> {
        let connected: HashSet<String> = hosts
            .iter()
            .filter(|seen| seen.host.is_connected())
            .map(|seen| seen.host.reference.value.clone())
            .collect();
        let paths: Vec<&str> = std::iter::once("name").chain(datastores::PATHS.iter().copied()).collect();
        let contents = find::details(self.client, stores, &paths).await;
        let contents = self.gaps.part("datastores", contents);
        self.gaps.append(Gaps::of(&contents));
        let mut found = Vec::new();
        for content in contents {
            let value = |name: &str| content.prop_set.iter().find(|property| property.name == name);
            let summary = value("summary").and_then(|summary| summary.val.clone().take::<DatastoreSummary>().ok());
            let mounts = value("host").and_then(|mounts| mounts.val.clone().take::<Vec<DatastoreHostMount>>().ok());
            let url = summary.map(|summary| summary.url).unwrap_or_default();
            let volume = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
            let mut seen = Seen::new(content);
            let hosts = mounts.unwrap_or_default().into_iter().map(|mount| mount.key).collect();
            found.push(SeenStore { subject: seen.subject.clone(), volume, hosts });
            self.findings.extend(datastores::findings(&mut seen, &connected, &mut self.unseen));
        }
        found
    }

    /// Judges the counters of these VMs: of the one that is looked at those of an hour and a day, of many those of a quarter of
    /// an hour.
    async fn measure_vms(&mut self, vms: &[Machine], stores: &[SeenStore], at_length: bool) -> Vec<Finding> {
        for vm in vms.iter().filter(|vm| !vm.vm.runs) {
            self.gaps.lacks(
                &format!("the counters of {}", vm.subject().name),
                "nothing is measured of a VM that does not run",
            );
        }
        let running: Vec<ManagedObjectReference> =
            vms.iter().filter(|vm| vm.vm.runs).map(|vm| vm.vm.reference.clone()).collect();
        if running.is_empty() {
            return Vec::new();
        }
        let (hour, day) = self.measured(&running, OF_VM, if at_length { HOUR } else { QUARTER }, at_length).await;
        let (mut found, mut unmeasured) = (Vec::new(), Unmeasured::default());
        for vm in vms.iter().filter(|vm| vm.vm.runs) {
            for measure in OF_VM {
                let is_there =
                    if measure.parts { vm.has_disks() } else { vm.has_nics || !measure.counter.starts_with("net.") };
                let (object, expected) = (&vm.vm.reference, at_length && is_there);
                // With a limit, ready time holds what the limit causes, unless that is known.
                let knows_limit = vm.cpu_limit().is_none() || day.has(measures::LIMITED, object);
                let day = (measure.of != Contention::CpuReady || knows_limit).then_some(&day);
                unmeasured.note(
                    measure,
                    object,
                    &hour,
                    day,
                    if at_length { expected } else { !measure.parts && is_known(measure) },
                );
                for (part, judged) in judgements(measure, object, &hour, day, vm.cpus) {
                    let disk = vm.disk(&part).filter(|_| measure.parts);
                    let store = disk.and_then(|(_, at)| {
                        stores.iter().find(|store| Some(&store.subject.id) == at.map(|at| &at.value))
                    });
                    let place = Place {
                        part: disk.map(|(label, _)| label.to_owned()).or(Some(part).filter(|part| !part.is_empty())),
                        datastore: store.map(|store| store.subject.name.clone()),
                    };
                    found.push(finding(measure.of, vm.subject(), judged, place));
                }
            }
        }
        unmeasured.tell("VMs", at_length, &mut self.gaps);
        once(found)
    }

    /// Judges the counters of these hosts, of storage those of `only` these volumes.
    async fn measure_hosts(
        &mut self,
        hosts: &[SeenHost],
        stores: &[SeenStore],
        only: Option<&HashSet<&str>>,
    ) -> Vec<Finding> {
        let connected: Vec<&SeenHost> = hosts.iter().filter(|seen| seen.host.is_connected()).collect();
        let references: Vec<ManagedObjectReference> =
            connected.iter().map(|seen| seen.host.reference.clone()).collect();
        if references.is_empty() {
            return Vec::new();
        }
        let by_day = references.len() <= HOSTS_BY_DAY;
        if !by_day {
            self.gaps.lacks(
                "the last day of the counters of hosts",
                format!("it is looked at for {HOSTS_BY_DAY} hosts at most"),
            );
        }
        let (hour, day) = self.measured(&references, OF_HOST, if by_day { HOUR } else { QUARTER }, by_day).await;
        let (mut found, mut unmeasured) = (Vec::new(), Unmeasured::default());
        for seen in connected {
            for measure in OF_HOST {
                let object = &seen.host.reference;
                unmeasured.note(measure, object, &hour, Some(&day), !measure.parts || !seen.datastores.is_empty());
                for (part, judged) in judgements(measure, object, &hour, Some(&day), 1) {
                    if measure.parts && only.is_some_and(|only| !only.contains(part.as_str())) {
                        continue;
                    }
                    let store = stores.iter().find(|store| measure.parts && store.volume == part);
                    let place = Place {
                        // That a datastore answers late is told of it, with the host that waits.
                        part: match store {
                            Some(_) => Some(seen.host.subject.name.clone()),
                            None => Some(part).filter(|part| !part.is_empty()),
                        },
                        datastore: None,
                    };
                    let subject = store.map_or(&seen.host.subject, |store| &store.subject);
                    found.push(finding(measure.of, subject, judged, place));
                }
            }
        }
        unmeasured.tell("hosts", by_day, &mut self.gaps);
        once(found)
    }

    /// The counters of the last hour, and of the day where that is wanted.
    async fn measured(
        &mut self,
        objects: &[ManagedObjectReference],
        measures: &[Measure],
        samples: u16,
        by_day: bool,
    ) -> (Measured, Measured) {
        let hour = Measured::read(self.client, objects, measures, Interval::REALTIME, samples, self.now);
        let day = async {
            match by_day {
                true => Measured::read(self.client, objects, measures, Interval::FIVE_MINUTES, 0, self.now).await,
                false => Ok(Measured::default()),
            }
        };
        let (hour, day) = futures::join!(hour, day);
        (self.gaps.part("the counters of the last hour", hour), self.gaps.part("the counters of the last day", day))
    }

    /// Adds to the first finding of each kind who takes what is scarce there.
    async fn add_neighbours(&mut self, found: &mut [Finding], hosts: &[SeenHost], stores: &[SeenStore]) {
        let host_of = |object: &Subject| {
            hosts.iter().find(|seen| seen.host.subject == *object || seen.vms.iter().any(|vm| vm.value == object.id))
        };
        let is_short =
            |finding: &Finding| finding.object.kind == HostSystem::NAME && of(finding) == Some(Contention::MemoryFull);
        let has_memory = !found.iter().any(is_short);
        let limited: HashSet<String> = self
            .findings
            .iter()
            .filter(|finding| limits_memory(finding))
            .map(|finding| finding.object.id.clone())
            .collect();
        let mut told: HashSet<(Scarce, String)> = HashSet::new();
        for finding in found {
            let Problem::Contention { of, datastore, neighbours, .. } = &mut finding.problem else { continue };
            let is_host = finding.object.kind == HostSystem::NAME;
            let scarce = match of {
                Contention::CpuReady | Contention::CpuCostop => Scarce::Cpu,
                Contention::CpuFull if is_host => Scarce::Cpu,
                // On a host that has enough it is the VM's own limit, and no neighbour.
                Contention::SwappingIn | Contention::Ballooning
                    if has_memory && limited.contains(&finding.object.id) =>
                {
                    continue;
                }
                Contention::SwappingIn | Contention::Ballooning => Scarce::Memory,
                Contention::MemoryFull if is_host => Scarce::Memory,
                Contention::StorageLatency => {
                    let name = datastore.as_ref().unwrap_or(&finding.object.name);
                    let Some(store) = stores.iter().find(|store| store.subject.name == *name) else { continue };
                    Scarce::Storage(store.volume.clone())
                }
                _ => continue,
            };
            let near: Vec<ManagedObjectReference> = match &scarce {
                Scarce::Storage(volume) => {
                    if !told.insert((scarce.clone(), String::new())) {
                        continue;
                    }
                    self.busiest_hosts(volume, stores).await
                }
                _ => {
                    let Some(host) = host_of(&finding.object) else { continue };
                    if !told.insert((scarce.clone(), host.host.reference.value.clone())) {
                        continue;
                    }
                    vec![host.host.reference.clone()]
                }
            };
            *neighbours = self.neighbours(&near, &scarce).await;
        }
    }

    /// The hosts that send most requests to a volume.
    async fn busiest_hosts(&mut self, volume: &str, stores: &[SeenStore]) -> Vec<ManagedObjectReference> {
        let Some(store) = stores.iter().find(|store| store.volume == volume) else { return Vec::new() };
        let (asked, rest) = store.hosts.split_at(store.hosts.len().min(MOST_HOSTS));
        if !rest.is_empty() {
            let what = format!("who reads and writes on {} from {} hosts", store.subject.name, rest.len());
            self.gaps.lacks(&what, format!("{MOST_HOSTS} hosts are looked at"));
        }
        let scarce = Scarce::Storage(volume.to_owned());
        let usage = neighbours::usage(self.client, asked, &scarce).await;
        let usage = self.gaps.part(&format!("which hosts use {}", store.subject.name), usage);
        usage.into_iter().take(BUSIEST_HOSTS).map(|(host, _)| host).collect()
    }

    /// Who takes most of what is scarce on these hosts.
    async fn neighbours(&mut self, hosts: &[ManagedObjectReference], scarce: &Scarce) -> Vec<Neighbour> {
        let contents = find::details(self.client, hosts.iter().cloned(), &["vm"]).await;
        let contents = self.gaps.part("the VMs of a host", contents);
        let vms: Vec<ManagedObjectReference> = contents
            .into_iter()
            .flat_map(|content| Seen::new(content).take::<Vec<_>>("vm").unwrap_or_default())
            .collect();
        let vms = self.see_vms(vms).await;
        let vms = self.busiest(vms);
        let names: HashMap<String, String> =
            vms.iter().map(|vm| (vm.vm.reference.value.clone(), vm.subject().name.clone())).collect();
        let references: Vec<ManagedObjectReference> = vms.iter().map(|vm| vm.vm.reference.clone()).collect();
        let usage = neighbours::usage(self.client, &references, scarce).await;
        neighbours::most(self.gaps.part("what neighbours take", usage), &names, scarce)
    }
}

/// Where on an object it is.
struct Place {
    part: Option<String>,
    datastore: Option<String>,
}

fn finding(of: Contention, subject: &Subject, judged: Judgement, place: Place) -> Finding {
    let Judgement { severity, reading, since } = judged;
    let Place { part, datastore } = place;
    let problem = Problem::Contention { of, measured: reading, part, datastore, neighbours: Vec::new(), others: 0 };
    Finding { since: Some(format_date_time(&since)), ..Finding::new(severity, subject.clone(), problem) }
}

/// What a measure comes to, for each part of an object.
fn judgements(
    measure: &Measure,
    object: &ManagedObjectReference,
    hour: &Measured,
    day: Option<&Measured>,
    cpus: i32,
) -> Vec<(String, Judgement)> {
    let hour = hour.values(measure, object, cpus);
    let day = day.map(|day| day.values(measure, object, cpus)).unwrap_or_default();
    let parts: BTreeSet<&String> = hour.keys().chain(day.keys()).collect();
    let values = |of: &measures::Parts, part: &String| of.get(part).cloned().unwrap_or_default();
    let judged = parts
        .into_iter()
        .filter_map(|part| Some((part.clone(), measure.judge(&values(&day, part), &values(&hour, part))?)));
    judged.collect()
}

/// Of each object and each kind of contention the worst finding, with the number of parts that have the same.
fn once(found: Vec<Finding>) -> Vec<Finding> {
    let mut kept: Vec<Finding> = Vec::new();
    let mut parts: HashSet<(Subject, Option<Contention>, Option<String>)> = HashSet::new();
    for finding in ranked(found) {
        // A part may be slow to read and to write.
        if !parts.insert((finding.object.clone(), of(&finding), part(&finding).cloned())) {
            continue;
        }
        let same = kept.iter_mut().find(|known| known.object == finding.object && of(known) == of(&finding));
        match same.map(|known| &mut known.problem) {
            Some(Problem::Contention { others, .. }) => *others += 1,
            _ => kept.push(finding),
        }
    }
    kept
}

/// Of each kind of contention the worst objects, with the number of others that have the same.
fn worst(found: Vec<Finding>) -> Vec<Finding> {
    let mut kept: Vec<Finding> = Vec::new();
    for finding in ranked(found) {
        let count = kept.iter().filter(|known| of(known) == of(&finding)).count();
        if count < WORST {
            kept.push(finding);
            continue;
        }
        let first = kept.iter_mut().find(|known| of(known) == of(&finding));
        if let Some(Problem::Contention { others, .. }) = first.map(|first| &mut first.problem) {
            *others += 1;
        }
    }
    kept
}

/// The worst first.
fn ranked(mut found: Vec<Finding>) -> Vec<Finding> {
    let average = |finding: &Finding| match &finding.problem {
        Problem::Contention { measured, .. } => measured.average / measured.limit,
        _ => 0.0,
    };
    found.sort_by(|one, other| one.severity.cmp(&other.severity).then_with(|| average(other).total_cmp(&average(one))));
    found
}

fn of(finding: &Finding) -> Option<Contention> {
    match &finding.problem {
        Problem::Contention { of, .. } => Some(*of),
        _ => None,
    }
}

fn part(finding: &Finding) -> Option<&String> {
    match &finding.problem {
        Problem::Contention { part, .. } => part.as_ref(),
        _ => None,
    }
}

/// Whether it tells of a limit on memory.
fn limits_memory(finding: &Finding) -> bool {
    matches!(finding.problem, Problem::Restricted { memory_limit_mb: Some(_), .. })
}

/// Whether each VM that runs has it.
fn is_known(measure: &Measure) -> bool {
    !measure.counter.starts_with("net.")
}

/// What the server gives no values of.
#[derive(Default)]
struct Unmeasured {
    hour: BTreeMap<&'static str, usize>,
    day: BTreeSet<&'static str>,
}

impl Unmeasured {
    fn note(
        &mut self,
        measure: &Measure,
        object: &ManagedObjectReference,
        hour: &Measured,
        day: Option<&Measured>,
        expected: bool,
    ) {
        if !expected {
            return;
        }
        if hour.lacks(measure.counter, object) {
            *self.hour.entry(measure.counter).or_default() += 1;
        }
        if day.is_none_or(|day| day.lacks(measure.counter, object)) {
            self.day.insert(measure.counter);
        }
    }

    fn tell(self, kind: &str, by_day: bool, gaps: &mut Gaps) {
        let mut by_count: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for (counter, count) in self.hour {
            by_count.entry(count).or_default().push(counter);
        }
        for (count, counters) in by_count {
            let what = format!("{} of {kind} ({count})", counters.join(", "));
            gaps.lacks(&what, "the server gives no values of the last hour");
        }
        if by_day && !self.day.is_empty() {
            let counters: Vec<&str> = self.day.into_iter().collect();
            let what = format!("the last day of {} of {kind}", counters.join(", "));
            gaps.lacks(&what, "the server keeps no history of them: that depends on its statistics level");
        }
    }
}
