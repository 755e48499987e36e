//! VMs that go elsewhere: to another host, cluster or datacenter (vMotion), to another datastore (storage vMotion), or both.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::migration::Destination;
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let web = client.get::<VirtualMachine>("web-01").await?;
//! let migration = web.migration(&Destination { datastore: Some("nvme-02".into()), ..Default::default() }).await?;
//! for finding in &migration.findings {
//!     println!("{}: {}", finding.message, finding.explanation); // what stands in the way, before anything moves
//! }
//! if migration.possible {
//!     println!("on {:?} now", migration.carry_out().await?.to.host);
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! A VM keeps what it has as far as it can. It leaves its cluster only where host, pool or cluster say so; its files only where
//! the new place does not see their datastore, or another one is asked for; its networks only where the new place lacks them.
//! Files that have to move go to the default datastore if that is seen there, else to the one with most free space that every
//! host there sees. A network that is missing is replaced by the one of the same name there, if there is exactly one.
//!
//! A plan is checked by the server's provisioning checker when it is made. It takes the privileges `Resource.ColdMigrate`
//! (`Resource.HotMigrate` for one that runs), `Resource.AssignVMToPool` for another pool, `Datastore.AllocateSpace` for other
//! datastores and `Network.Assign` for other networks.

mod finding;
mod plan;

use std::ops::Deref;

use serde::Serialize;
use vsphere_model::managed::{
    ComputeResource, HostSystem, VirtualMachine, VirtualMachineProvisioningChecker, host_system, virtual_machine as vm,
};
use vsphere_model::types::{
    CheckResult, ManagedObjectReference, VirtualDisk, VirtualMachineMovePriority, VirtualMachinePowerState,
    VirtualMachineRelocateSpec,
};

pub(crate) use finding::explained;
pub use finding::{Finding, Obstacle, Severity};

use crate::device::{Devices, Seen};
use crate::error::{Circumstance, Error, ErrorKind, Result};
use crate::find::{self, Ancestry};
use crate::mo::Mo;
use crate::placement::{Choice, Defaults};
use crate::task::{self, BUSY, Task};
use crate::vm::Provisioning;
use plan::Route;
pub(crate) use plan::backing;

const OPERATION: &str = "migrate";

/// Where a VM is to go, as far as anything is said of it; objects by name, inventory path or id.
///
/// ```
/// use vsphere_ops::migration::Destination;
/// use vsphere_ops::vm::Provisioning;
///
/// let there = Destination {
///     host: Some("esx-05.corp.example".into()),
///     datastore: Some("lab-ssd".into()),
///     networks: vec![("prod-web".into(), "lab".into())],
///     ..Default::default()
/// };
/// let eager = Destination { provisioning: Some(Provisioning::Eager), ..there };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destination {
    /// The host.
    pub host: Option<String>,
    /// The resource pool.
    pub pool: Option<String>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The datastore for all its files, or a datastore cluster, of which the member with most free space is taken.
    pub datastore: Option<String>,
    /// The datastores of single disks, by the label or key of the disk.
    pub disks: Vec<(String, String)>,
    /// The folder.
    pub folder: Option<String>,
    /// New networks: each by the name or id of the one before, or the label of the adapter, and the new one.
    pub networks: Vec<(String, String)>,
    /// How the space of its disks is taken there; as before by default.
    pub provisioning: Option<Provisioning>,
    /// Which migrations the server puts first.
    pub priority: Priority,
    /// What to use by default for what has to move.
    pub defaults: Defaults,
}

/// Which migrations the server puts first.
///
/// ```
/// use vsphere_ops::migration::Priority;
///
/// assert_eq!(Priority::default(), Priority::Normal);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// As the server has it by default.
    #[default]
    Normal,
    /// After others.
    Low,
    /// Before others.
    High,
}

impl Priority {
    fn of_api(self) -> Option<VirtualMachineMovePriority> {
        match self {
            Self::Normal => None,
            Self::Low => Some(VirtualMachineMovePriority::LowPriority),
            Self::High => Some(VirtualMachineMovePriority::HighPriority),
        }
    }
}

/// What is planned for a VM, or was done with it.
///
/// ```
/// use vsphere_ops::migration::MigrationReport;
///
/// fn line(report: &MigrationReport) -> String {
///     match (report.changed, report.possible) {
///         (true, _) => format!("{} went from {:?} to {:?}", report.vm, report.from.host, report.to.host),
///         (false, true) => format!("{} can go", report.vm),
///         (false, false) => format!("{} can't go: {} findings", report.vm, report.findings.len()),
///     }
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MigrationReport {
    /// The VM's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// Its state.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// Whether it was moved.
    pub changed: bool,
    /// Whether there is anything to move: not where it is there already.
    pub moves: bool,
    /// Whether nothing is known that stands in the way.
    pub possible: bool,
    /// Whether the server's checker was asked. It checks no templates.
    pub checked: bool,
    /// Where it was before.
    pub from: Whereabouts,
    /// Where it goes, or has gone.
    pub to: Whereabouts,
    /// The files that move.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileMove>,
    /// The adapters that get another network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<NicMove>,
    /// What was taken for what was not asked for, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub placement: Vec<Choice>,
    /// What the checker found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// Where a VM is, or goes, in names.
///
/// ```
/// use vsphere_ops::migration::Whereabouts;
///
/// fn stays_in_cluster(from: &Whereabouts, to: &Whereabouts) -> bool {
///     (&from.datacenter, &from.cluster) == (&to.datacenter, &to.cluster)
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Whereabouts {
    /// The datacenter.
    pub datacenter: Option<String>,
    /// The cluster, or the host outside of clusters.
    pub cluster: Option<String>,
    /// The host; none where vSphere chooses it.
    pub host: Option<String>,
    /// The resource pool; a template is in none.
    pub pool: Option<String>,
    /// The path of the folder.
    pub folder: Option<String>,
}

/// A file that moves, or gets another format.
///
/// ```
/// use vsphere_ops::migration::FileMove;
///
/// fn line(file: &FileMove) -> String {
///     format!("{}: {:?} to {}", file.label, file.from, file.to)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileMove {
    /// The label of the disk; `configuration` for all that is no disk.
    pub label: String,
    /// The datastore before.
    pub from: Option<String>,
    /// The datastore then.
    pub to: String,
    /// How the space is taken then, where that changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning: Option<Provisioning>,
}

/// An adapter that gets another network.
///
/// ```
/// use vsphere_ops::migration::NicMove;
///
/// fn line(nic: &NicMove) -> String {
///     format!("{}: {:?} to {}", nic.label, nic.from, nic.to)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NicMove {
    /// The label of the adapter.
    pub label: String,
    /// The network before.
    pub from: Option<String>,
    /// The network then.
    pub to: String,
}

/// A migration that is planned and checked. It derefs to its report.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::migration::{Destination, Migration};
///
/// let there = Destination { host: Some("esx-02.corp.example".into()), ..Default::default() };
/// let migration: Migration = client.get::<VirtualMachine>("web-01").await?.migration(&there).await?;
/// println!("seen at {}, possible: {}", migration.change_version(), migration.possible);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing moves before it is carried out"]
pub struct Migration {
    #[serde(flatten)]
    report: MigrationReport,
    #[serde(skip)]
    spec: VirtualMachineRelocateSpec,
    #[serde(skip)]
    priority: Priority,
    #[serde(skip)]
    seen: Seen,
}

impl Deref for Migration {
    type Target = MigrationReport;

    fn deref(&self) -> &MigrationReport {
        &self.report
    }
}

impl Mo<VirtualMachine> {
    /// Plans to move the VM, and has the server check it. Nothing moves.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::migration::Destination;
    ///
    /// let pg = client.get::<VirtualMachine>("pg-01").await?;
    /// // To another cluster: its files go along, since that one does not see their datastore.
    /// let there = Destination { cluster: Some("lab-cluster".into()), ..Default::default() };
    /// let migration = pg.migration(&there).await?;
    /// assert!(!migration.possible && !migration.findings.is_empty(), "the lab has older processors, and pg-01 runs");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` if the server is no vCenter; `not_found` or `ambiguous` if an object is not exactly one, or a host has to
    /// be named since nobody chooses one; `invalid_argument` for what does not fit together; and server errors.
    pub async fn migration(&self, to: &Destination) -> Result<Migration> {
        let named = |error: Error| match error.target() {
            Some(_) => error,
            None => error.in_operation(OPERATION).on(self.label()),
        };
        self.client().require_vcenter(OPERATION)?;
        let seen = Seen::now(self).await.map_err(named)?;
        let route = Route::find(self, &seen, to).await.map_err(named)?;
        let from = whereabouts(self).await.map_err(named)?;
        let moves = route.moves();
        let Route { spec, to: towards, files, nics, placement, .. } = route;
        let mut report = MigrationReport {
            vm: self.label().to_owned(),
            id: self.id().to_owned(),
            power_state: seen.devices().power_state.clone(),
            changed: false,
            moves,
            possible: true,
            checked: false,
            to: if moves { towards.over(&from) } else { from.clone() },
            from,
            files,
            nics,
            placement,
            findings: Vec::new(),
        };
        if moves && !seen.devices().config.template {
            report = self.checked(report, &spec).await.map_err(named)?;
        }
        Ok(Migration { report, spec, priority: to.priority, seen })
    }

    /// Has the server check it, where it can.
    async fn checked(&self, mut report: MigrationReport, spec: &VirtualMachineRelocateSpec) -> Result<MigrationReport> {
        let client = self.client();
        let Some(checker) = &client.content().vm_provisioning_checker else { return Ok(report) };
        let checker: VirtualMachineProvisioningChecker = client.raw(checker);
        let task: Task<Vec<CheckResult>> =
            task::start(self, "check the migration of", checker.check_relocate_task(self.reference(), spec, &[]))
                .await?;
        let results = task.await?;
        let hosts = results.iter().filter_map(|result| result.host.clone());
        let names = find::names(client, hosts).await?;
        report.findings = finding::findings(&results, |host| names.get(&host.value).cloned());
        report.possible = report.findings.iter().all(|finding| finding.severity == Severity::Warning);
        report.checked = true;
        Ok(report)
    }
}

impl Migration {
    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.seen.change_version()
    }

    /// The report alone.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// # use vsphere_ops::migration::Destination;
    /// let there = Destination { datastore: Some("nvme-02".into()), ..Default::default() };
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// let report = web.migration(&there).await?.into_report(); // nothing moves
    /// assert!(report.possible && !report.changed);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn into_report(self) -> MigrationReport {
        self.report
    }

    /// Moves the VM, and waits until it is there. A VM that is there already stays; one that is busy is waited for.
    ///
    /// `RelocateVM_Task` takes no change version, so the VM is looked at right before.
    ///
    /// # Errors
    /// `invalid_state` with the [obstacles](Circumstance::Obstructed) where the check has found any; `changed` if the VM is no
    /// longer as it was when this was planned; the faults of the server; `unsupported` where the server says that it is
    /// done, and the VM is not there.
    pub async fn carry_out(self) -> Result<MigrationReport> {
        let Self { mut report, spec, priority, seen } = self;
        let machine = seen.machine().clone();
        if !report.moves {
            return Ok(report);
        }
        let named = |error: Error| error.in_operation(OPERATION).on(machine.label());
        if !report.possible {
            return Err(named(obstructed(&report.findings)));
        }
        let priority = priority.of_api();
        let moved = machine.client().retry_while_busy(BUSY, || async {
            seen.must_be_so(OPERATION).await?;
            let request = machine.relocate_vm_task(&spec, priority.as_ref());
            let task: Task<()> = task::start(&machine, OPERATION, request).await?;
            task.await
        });
        moved.await.map_err(|error| named(explain(error)))?;
        report.changed = true;
        report.to = whereabouts(&machine).await.map_err(named)?;
        let after = Devices::read(&machine).await.map_err(named)?;
        report.power_state = after.power_state.clone();
        match left_behind(&machine, &spec, &after).await.map_err(named)? {
            None => Ok(report),
            Some(text) => Err(named(Error::new(OPERATION, ErrorKind::Unsupported(text)))),
        }
    }
}

/// The error of a migration that the check has found obstacles to.
fn obstructed(findings: &[Finding]) -> Error {
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let mut said: Vec<String> = Vec::new();
    for finding in &errors {
        let message = finding.message.trim_end_matches('.');
        let text = match &finding.host {
            Some(host) => format!("{message} ({host})"),
            None => message.to_owned(),
        };
        if !said.contains(&text) {
            said.push(text);
        }
    }
    let text = format!("nothing was moved, since the check has found: {}", said.join("; "));
    let findings = errors.into_iter().cloned().collect();
    Error::new(OPERATION, ErrorKind::InvalidState(text)).with_circumstance(Circumstance::Obstructed(findings))
}

/// The error with what its fault means for a migration.
fn explain(error: Error) -> Error {
    let ErrorKind::Task(fault) = error.kind() else { return error };
    let finding = Finding::of(fault, Severity::Error, None);
    if finding.about == Obstacle::Other || error.circumstance().is_some() {
        return error;
    }
    error.with_circumstance(Circumstance::Obstructed(vec![finding]))
}

/// Where the VM is now.
async fn whereabouts(machine: &Mo<VirtualMachine>) -> Result<Whereabouts> {
    let client = machine.client();
    let (host, pool, folder) = machine.read((vm::HOST, vm::RESOURCE_POOL, vm::PARENT)).await?;
    let compute = match &host {
        Some(host) => Mo::<HostSystem>::new(client, host, None).read(host_system::PARENT).await?,
        None => None,
    };
    Whereabouts::of(machine, host, compute, pool, folder).await
}

impl Whereabouts {
    /// What these objects are called.
    async fn of(
        machine: &Mo<VirtualMachine>,
        host: Option<ManagedObjectReference>,
        compute: Option<ManagedObjectReference>,
        pool: Option<ManagedObjectReference>,
        folder: Option<ManagedObjectReference>,
    ) -> Result<Self> {
        let parts: Vec<ManagedObjectReference> =
            [&host, &compute, &pool, &folder].into_iter().flatten().cloned().collect();
        let around = Ancestry::read(machine.client(), &parts).await?;
        let name = |part: &Option<ManagedObjectReference>| Some(around.name(part.as_ref()?)?.to_owned());
        let above = compute.as_ref().or(folder.as_ref()).and_then(|part| around.ancestors(part)).unwrap_or_default();
        let datacenter = above.into_iter().find(|ancestor| ancestor.reference.type_ == "Datacenter");
        Ok(Self {
            datacenter: datacenter.map(|datacenter| datacenter.name),
            cluster: name(&compute),
            host: name(&host),
            pool: name(&pool),
            folder: folder.as_ref().and_then(|folder| around.path(folder)),
        })
    }

    /// The same, with what is there already where nothing else is said.
    fn over(self, from: &Self) -> Self {
        let leaves = self.cluster.is_some() && self.cluster != from.cluster;
        let own = |part: Option<String>, from: &Option<String>, leaves: bool| {
            if leaves { part } else { part.or_else(|| from.clone()) }
        };
        Self {
            datacenter: own(self.datacenter, &from.datacenter, false),
            host: own(self.host, &from.host, leaves),
            pool: own(self.pool, &from.pool, leaves),
            folder: own(self.folder, &from.folder, false),
            cluster: own(self.cluster, &from.cluster, false),
        }
    }
}

/// What the server has not done though it says that it is done: not every server does what a locator says.
async fn left_behind(
    machine: &Mo<VirtualMachine>,
    spec: &VirtualMachineRelocateSpec,
    after: &Devices,
) -> Result<Option<String>> {
    let (host, datastores) = machine.read((vm::HOST, vm::DATASTORE)).await?;
    let says = "the server says that it is done, but";
    if spec.host.is_some() && spec.host != host {
        let at = host.map_or_else(|| "no host".to_owned(), |host| host.value);
        return Ok(Some(format!("{says} the VM is on {at}")));
    }
    if spec.datastore.as_ref().is_some_and(|home| !datastores.contains(home)) {
        return Ok(Some(format!("{says} the VM has no files in the new datastore")));
    }
    for locator in &spec.disk {
        let disk = after.by_key(locator.disk_id).and_then(|device| device.downcast_ref::<VirtualDisk>());
        let Some(disk) = disk else { continue };
        if plan::datastore_of(disk) != Some(&locator.datastore) {
            return Ok(Some(format!("{says} {} is elsewhere", crate::device::label(disk))));
        }
        let wanted = locator.disk_backing_info.as_ref().and_then(|backing| backing.downcast_ref());
        if let (Some(wanted), Some(is)) = (wanted.map(plan::format_of), plan::format(disk))
            && wanted != is
        {
            let text = format!(
                "{says} {} is {} still: a disk that stays in its datastore may keep its format",
                crate::device::label(disk),
                plan::word(is)
            );
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// The compute resource that a host is in.
async fn compute_of(host: &Mo<HostSystem>) -> Result<Option<Mo<ComputeResource>>> {
    match host.read(host_system::PARENT).await? {
        Some(compute) => crate::placement::named(host.client(), &compute).await.map(Some),
        None => Ok(None),
    }
}
