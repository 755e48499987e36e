//! What could be tidied, and what that would give back.

mod drives;
mod off;
mod usage;

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use vsphere_model::managed::{Datastore, EnvironmentBrowser};
use vsphere_model::types::{
    DateTime, ManagedByInfo, ManagedObjectReference, VirtualMachineConfigOptionDescriptor, VirtualMachineFileLayoutEx,
    VirtualMachinePowerState, VirtualMachineQuickStats, VirtualMachineSnapshotInfo,
};

use self::off::{OfLate, Off};
use self::usage::Suspect;
use super::seen::{Seen, Unseen, World};
use super::{Subject, limits, vms};
use crate::client::Client;
use crate::error::Result;
use crate::files::FileQuery;
use crate::find;
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::page::ListQuery;
use crate::read::Values;
use crate::untrusted::version;

const VM: &[&str] = &[
    "runtime.powerState",
    "runtime.host",
    "runtime.consolidationNeeded",
    "snapshot",
    "config.template",
    "config.version",
    "config.createDate",
    "config.managedBy",
    "guest.toolsVersionStatus2",
    "guest.toolsVersion",
    "network",
    "summary.storage.committed",
    "summary.quickStats",
    "summary.runtime.maxCpuUsage",
    "summary.config.numCpu",
    "summary.config.memorySizeMB",
];

/// How many questions are asked at a time: clusters which hardware they support, and VMs since when they are off.
const AT_ONCE: usize = 8;

/// The file of a datastore that no VM uses and that takes this much to tell.
const MOST_FILES: usize = 1000;

/// What could be tidied, by what there is to do.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::diagnosis::Hygiene;
///
/// let hygiene: Hygiene = client.hygiene(false).await?;
/// for chore in &hygiene.chores {
///     println!("{:?}: {} objects, {:?} bytes", chore.kind, chore.items.len(), chore.bytes);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hygiene {
    /// What there is to do, only kinds of which there is something.
    pub chores: Vec<Chore>,
    /// What was not looked at, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// Objects of which the same is to be done.
///
/// ```
/// use vsphere_ops::diagnosis::Chore;
///
/// fn gigabytes(chore: &Chore) -> Option<i64> {
///     chore.bytes.map(|bytes| bytes >> 30)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Chore {
    /// What is to be done.
    pub kind: ChoreKind,
    /// What that gives back on datastores, in bytes, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// The objects, those that give back most first.
    pub items: Vec<Untidy>,
}

/// What is to be done.
///
/// ```
/// use vsphere_ops::diagnosis::ChoreKind;
///
/// assert_eq!(serde_json::to_value(ChoreKind::OldSnapshots).unwrap(), "old_snapshots");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChoreKind {
    /// Snapshots that are older than they should get ([`limits::SNAPSHOT_AGE`]). The sizes are those of all snapshots of the VM.
    OldSnapshots,
    /// Delta files that belong to no snapshot.
    Consolidation,
    /// VMs that are off, and were neither switched off nor made within [`limits::OFF`].
    PoweredOff,
    /// Disk files that no VM uses.
    OrphanedFiles,
    /// Running VMs without VMware Tools.
    ToolsMissing,
    /// Running VMs with VMware Tools that should be updated.
    ToolsOld,
    /// VMs whose hardware is far older than the newest that their cluster supports ([`limits::HARDWARE_BEHIND`]).
    HardwareOld,
    /// Running VMs that are in no network.
    NoNetwork,
    /// VMs that used hardly any CPU when they were looked at ([`limits::IDLE_PERCENT`]), nor in any half hour of the last week
    /// ([`limits::IDLE_PEAK_PERCENT`]).
    Idle,
    /// VMs that in a week never used much of their CPUs or of their memory ([`limits::OVERSIZED_PERCENT`]).
    Oversized,
    /// VMs with an ISO image in a CD drive, which keeps them from moving to hosts that do not see its datastore.
    IsoLeft,
}

/// An object that could be tidied.
///
/// ```
/// use vsphere_ops::diagnosis::Untidy;
///
/// fn line(item: &Untidy) -> String {
///     format!("{}: {:?} {:?}", item.object.name, item.detail, item.bytes)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Untidy {
    /// The VM, or the datastore of a file.
    pub object: Subject,
    /// What tidying it gives back on datastores, in bytes, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// The evidence.
    #[serde(flatten)]
    pub detail: Detail,
}

/// The evidence that an object could be tidied.
///
/// ```
/// use vsphere_ops::diagnosis::Detail;
///
/// let detail = Detail { days: Some(97), count: Some(2), ..Detail::default() };
/// assert_eq!(serde_json::to_value(&detail).unwrap(), serde_json::json!({ "days": 97, "count": 2 }));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Detail {
    /// The age of the oldest snapshot or of the file in whole days; of a VM that is off, for how many days, at least where it is
    /// not known since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<i64>,
    /// Since when a VM is off by the server's clock, RFC 3339, where there still is an event of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How many old snapshots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// The version of VMware Tools or of the hardware (`vmx-19`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The newest hardware that the cluster supports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// The path of the file, or of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What the VM used of its CPUs, in MHz: `summary.quickStats.overallCpuUsage`, the mean of the last 20 seconds, seen once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_used_mhz: Option<i64>,
    /// What it could use at most, in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_limit_mhz: Option<i64>,
    /// Its virtual CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<i32>,
    /// Its memory in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<i64>,
    /// The most that it used of its CPUs in a half hour of the last week, in per cent: `cpu.usage.average`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::units::two_digits_if_known")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub cpu_peak_percent: Option<f64>,
    /// The most of its memory that it touched in a half hour of the last week, in per cent: `mem.usage.average`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::units::two_digits_if_known")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub memory_peak_percent: Option<f64>,
}

/// What was found so far.
#[derive(Default)]
struct Found(BTreeMap<ChoreKind, Vec<Untidy>>);

impl Found {
    fn add(&mut self, kind: ChoreKind, object: &Subject, bytes: Option<i64>, detail: Detail) {
        self.0.entry(kind).or_default().push(Untidy { object: object.clone(), bytes, detail });
    }

    fn chores(self) -> Vec<Chore> {
        let chore = |(kind, mut items): (ChoreKind, Vec<Untidy>)| {
            items.sort_by(|one, other| (other.bytes, &one.object).cmp(&(one.bytes, &other.object)));
            let known: Vec<i64> = items.iter().filter_map(|item| item.bytes).collect();
            Chore { kind, bytes: (!known.is_empty()).then(|| known.iter().sum()), items }
        };
        self.0.into_iter().map(chore).collect()
    }
}

impl Client {
    /// What could be tidied in the whole inventory, and what that would give back: old snapshots, disks to consolidate, VMs that
    /// are off for long, VMware Tools that are missing or old, old hardware, VMs without a network, VMs that are idle or larger than
    /// they need to be, ISO images in CD drives. With `orphaned_files` all accessible datastores are searched for disks that no VM
    /// uses, which takes minutes.
    ///
    /// Templates are left out, as are VMs that an extension manages.
    ///
    /// # Errors
    /// Server errors of the read of the inventory. What else fails is in the gaps of the report.
    pub async fn hygiene(&self, orphaned_files: bool) -> Result<Hygiene> {
        let now = self.server_time().await?;
        let types: [(&str, &[&str]); 4] = [
            ("VirtualMachine", VM),
            ("HostSystem", &["parent"]),
            ("ComputeResource", &["environmentBrowser"]),
            ("Datastore", &["summary.accessible"]),
        ];
        let (mut gaps, mut unseen, mut found) = (Gaps::default(), Unseen::default(), Found::default());
        let (world, of_late) = futures::join!(World::read(self, &types, &mut gaps), OfLate::read(self, now));
        let mut world = world.map_err(|error| error.in_operation("look for what can be tidied"))?;
        let newest = self.newest_hardware(&mut world, &mut gaps).await;
        let mut old_snapshots: HashMap<ManagedObjectReference, (Subject, Detail)> = HashMap::new();
        let (mut vms, mut off, mut suspects) = (HashMap::new(), Vec::new(), Vec::new());
        for mut vm in world.take("VirtualMachine") {
            let managed = vm.take::<ManagedByInfo>("config.managedBy").is_some_and(|by| !by.extension_key.is_empty());
            if managed || vm.take("config.template") == Some(true) {
                continue;
            }
            let power: Option<VirtualMachinePowerState> = vm.take("runtime.powerState");
            look(&mut vm, &newest, &mut found, &mut unseen);
            if let Some(detail) = old(&mut vm, now) {
                old_snapshots.insert(vm.reference.clone(), (vm.subject.clone(), detail));
            }
            match power {
                Some(VirtualMachinePowerState::PoweredOn) => suspects.extend(running(&mut vm, &mut found)),
                Some(VirtualMachinePowerState::PoweredOff) => off.extend(is_off(&mut vm, now)),
                _ => {}
            }
            vms.insert(vm.reference, vm.subject);
        }
        self.sizes(old_snapshots, &mut found, &mut gaps).await;
        match of_late {
            Ok(of_late) => off::add(self, off, &of_late, now, &mut found, &mut gaps).await,
            Err(error) => off::unknown(&mut gaps, error),
        }
        usage::add(self, suspects, now, &mut found, &mut gaps).await;
        drives::add(self, &vms, &mut found, &mut gaps).await;
        if orphaned_files {
            self.orphans(world.take("Datastore"), &mut found, &mut gaps).await;
        }
        unseen.tell(&mut gaps);
        Ok(Hygiene { chores: found.chores(), gaps })
    }

    /// The number of the newest hardware version that VMs can get, by the id of each host. A request for each cluster.
    async fn newest_hardware(&self, world: &mut World, gaps: &mut Gaps) -> HashMap<String, u32> {
        let computes = world.take("ComputeResource").into_iter().chain(world.take("ClusterComputeResource"));
        let asked = computes.filter_map(|mut compute| {
            let browser: ManagedObjectReference = compute.take("environmentBrowser")?;
            let client = self.clone();
            Some(async move {
                let browser: EnvironmentBrowser = client.raw(&browser);
                (compute.reference.value, compute.subject.name, browser.query_config_option_descriptor().await)
            })
        });
        let mut newest = HashMap::new();
        let mut answers = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        while let Some((id, name, answer)) = answers.next().await {
            match answer {
                Ok(descriptors) => {
                    let numbers =
                        descriptors.iter().filter(|one| one.upgrade_supported != Some(false)).filter_map(number);
                    newest.extend(numbers.max().map(|number| (id, number)));
                }
                Err(error) => gaps.lacks(&format!("the hardware versions of {name}"), error.to_string()),
            }
        }
        let of_host = |mut host: Seen| {
            let parent: ManagedObjectReference = host.take("parent")?;
            Some((host.reference.value, *newest.get(&parent.value)?))
        };
        world.take("HostSystem").into_iter().filter_map(of_host).collect()
    }

    /// Adds old snapshots with their sizes.
    async fn sizes(
        &self,
        mut vms: HashMap<ManagedObjectReference, (Subject, Detail)>,
        found: &mut Found,
        gaps: &mut Gaps,
    ) {
        let references: Vec<ManagedObjectReference> = vms.keys().cloned().collect();
        for some in references.chunks(vms::PORTION) {
            let contents = find::details(self, some.iter().cloned(), &["layoutEx"]).await;
            let contents = gaps.part("the sizes of snapshots", contents);
            gaps.append(Gaps::of(&contents));
            for content in contents {
                let Some((subject, detail)) = vms.remove(&content.obj) else { continue };
                let mut values = Values::new(content.prop_set, content.missing_set);
                let layout = values.take::<Option<VirtualMachineFileLayoutEx>>("layoutEx").ok().flatten();
                found.add(ChoreKind::OldSnapshots, &subject, layout.as_ref().map(vms::snapshot_bytes), detail);
            }
        }
        // Those whose sizes the server did not tell.
        for (subject, detail) in vms.into_values() {
            found.add(ChoreKind::OldSnapshots, &subject, None, detail);
        }
    }

    async fn orphans(&self, datastores: Vec<Seen>, found: &mut Found, gaps: &mut Gaps) {
        for mut datastore in datastores {
            if datastore.take("summary.accessible") != Some(true) {
                gaps.lacks(&format!("files of {}", datastore.subject.name), "the datastore is not accessible");
                continue;
            }
            let mo: Mo<Datastore> = Mo::new(self, &datastore.reference, Some(datastore.subject.name.clone()));
            let mut query = FileQuery::below("");
            query.page = ListQuery { filter: Some("*.vmdk".to_owned()), ..ListQuery::first(MOST_FILES) };
            match mo.list_orphans(&query).await {
                Ok(page) => {
                    if page.total > page.returned {
                        let why = format!("only {MOST_FILES} of {} are told", page.total);
                        gaps.lacks(&format!("files of {}", datastore.subject.name), why);
                    }
                    gaps.append(page.gaps);
                    for file in page.items {
                        let detail = Detail {
                            days: file.age_seconds.map(|seconds| seconds / (24 * 3600)),
                            path: Some(file.path),
                            ..Detail::default()
                        };
                        found.add(ChoreKind::OrphanedFiles, &datastore.subject, file.size_bytes, detail);
                    }
                }
                Err(error) => gaps.lacks(&format!("files of {}", datastore.subject.name), error.to_string()),
            }
        }
    }
}

/// `vmx-19`, as a number.
fn number(descriptor: &VirtualMachineConfigOptionDescriptor) -> Option<u32> {
    hardware(&descriptor.key)
}

fn hardware(version: &str) -> Option<u32> {
    version.strip_prefix("vmx-")?.parse().ok()
}

/// What could be tidied of a VM whether it runs or not, but for its snapshots.
fn look(vm: &mut Seen, newest: &HashMap<String, u32>, found: &mut Found, unseen: &mut Unseen) {
    let subject = vm.subject.clone();
    if vm.take("runtime.consolidationNeeded") == Some(true) {
        found.add(ChoreKind::Consolidation, &subject, None, Detail::default());
    }
    let host: Option<ManagedObjectReference> = vm.take("runtime.host");
    let config: Option<String> = vm.take("config.version");
    let newest = host.and_then(|host| newest.get(&host.value));
    match (config.as_deref().and_then(hardware), newest) {
        (Some(has), Some(newest)) if has + limits::HARDWARE_BEHIND <= *newest => {
            let detail = Detail { version: config, newest: Some(format!("vmx-{newest}")), ..Detail::default() };
            found.add(ChoreKind::HardwareOld, &subject, None, detail);
        }
        (None, _) if !vm.is_refused("config.version") => {
            unseen.note("hardware versions of VMs", "the server does not tell them");
        }
        _ => {}
    }
}

/// A VM that is off, where it was not made of late.
fn is_off(vm: &mut Seen, now: DateTime) -> Option<Off> {
    let made_of_late = vm.take::<DateTime>("config.createDate").is_some_and(|made| now - made < limits::OFF);
    let bytes = vm.take("summary.storage.committed");
    (!made_of_late).then(|| Off { reference: vm.reference.clone(), subject: vm.subject.clone(), bytes })
}

/// What could be tidied of a VM that runs. Answers one whose history is worth a look.
fn running(vm: &mut Seen, found: &mut Found) -> Option<Suspect> {
    let subject = vm.subject.clone();
    let tools: Option<String> = vm.take("guest.toolsVersionStatus2");
    match tools.as_deref() {
        Some("guestToolsNotInstalled") => found.add(ChoreKind::ToolsMissing, &subject, None, Detail::default()),
        Some("guestToolsNeedUpgrade" | "guestToolsSupportedOld" | "guestToolsTooOld" | "guestToolsBlacklisted") => {
            let detail = Detail { version: vm_version(vm), ..Detail::default() };
            found.add(ChoreKind::ToolsOld, &subject, None, detail);
        }
        _ => {}
    }
    if !vm.is_refused("network") && vm.take::<Vec<ManagedObjectReference>>("network").is_none_or(|of| of.is_empty()) {
        found.add(ChoreKind::NoNetwork, &subject, None, Detail::default());
    }
    let limit = vm.take::<i32>("summary.runtime.maxCpuUsage").map(i64::from).filter(|limit| *limit > 0);
    let stats: Option<VirtualMachineQuickStats> = vm.take("summary.quickStats");
    let used = stats.as_ref().and_then(|stats| stats.overall_cpu_usage).map(i64::from);
    // What one that has just started does says nothing.
    let uptime = stats.and_then(|stats| stats.uptime_seconds).map(i64::from);
    if uptime.is_none_or(|uptime| uptime < limits::IDLE_UPTIME.num_seconds()) {
        return None;
    }
    let idle = used.zip(limit).filter(|(used, limit)| used * 100 < limit * limits::IDLE_PERCENT);
    let idle =
        idle.map(|(used, limit)| Detail { cpu_used_mhz: Some(used), cpu_limit_mhz: Some(limit), ..Detail::default() });
    let cpus = vm.take::<i32>("summary.config.numCpu").unwrap_or(0);
    let memory_mb = vm.take::<i32>("summary.config.memorySizeMB").map_or(0, i64::from);
    let suspect = Suspect { reference: vm.reference.clone(), subject, cpus, memory_mb, idle };
    suspect.is_worth_a_look().then_some(suspect)
}

fn vm_version(vm: &mut Seen) -> Option<String> {
    vm.take::<String>("guest.toolsVersion").and_then(version)
}

/// The snapshots of a VM that are old.
fn old(vm: &mut Seen, now: DateTime) -> Option<Detail> {
    let info: VirtualMachineSnapshotInfo = vm.take("snapshot")?;
    let (count, oldest) = vms::old_snapshots(&info.root_snapshot_list, now)?;
    Some(Detail { days: Some((now - oldest.create_time).num_days()), count: Some(count), ..Detail::default() })
}
