//! Maintenance mode: no VM runs on the host, and none comes.
//!
//! The server itself moves no VM. DRS moves those that run where it is fully automated; without it the task of the server
//! waits until somebody has moved or powered off the last one. So a plan says before which ones nothing moves, and why.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use vsphere_model::managed::{HostSystem, host_system as host};
use vsphere_model::types::{HostMaintenanceSpec, VirtualMachinePowerState, VsanHostDecommissionMode};

use super::down::listed;
use super::named;
use super::obstacle::{Drs, Machine, Obstacle, Surroundings};
use crate::error::{Circumstance, Error, ErrorKind, Result, invalid};
use crate::mo::Mo;
use crate::named::Named;
use crate::task::{self, BUSY, Task};

const ENTER: &str = "enter maintenance mode of";
const EXIT: &str = "exit maintenance mode of";

/// How long the server's task may go on after its own time is up before it is cancelled, and after that is waited for.
const GRACE: Duration = Duration::from_secs(15);

/// How long a host is told again to exit that has just been started, and in between.
const COMING_UP: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(5);

/// How a host is to enter maintenance mode.
///
/// ```
/// use vsphere_ops::host::{Maintenance, VsanMode};
///
/// let maintenance = Maintenance::default().vsan(VsanMode::EvacuateAllData).evacuate_powered_off(false);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Maintenance {
    evacuate_powered_off: Option<bool>,
    vsan: Option<VsanMode>,
}

impl Maintenance {
    /// Whether VMs that do not run leave the host too, which only DRS can bring about. By default they do where DRS is on.
    #[must_use]
    pub fn evacuate_powered_off(self, evacuate: bool) -> Self {
        Self { evacuate_powered_off: Some(evacuate), ..self }
    }

    /// What happens to the host's part of a vSAN datastore; `EnsureAccessibility` by the server's default.
    #[must_use]
    pub fn vsan(self, mode: VsanMode) -> Self {
        Self { vsan: Some(mode), ..self }
    }
}

/// What happens to a host's part of a vSAN datastore.
///
/// ```
/// use vsphere_ops::host::VsanMode;
///
/// assert_eq!(VsanMode::EnsureAccessibility.to_string(), "ensureObjectAccessibility");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum VsanMode {
    /// As much is moved as keeps all objects accessible.
    #[serde(alias = "ensureObjectAccessibility")]
    EnsureAccessibility,
    /// All of it is moved.
    #[serde(alias = "evacuateAllData")]
    EvacuateAllData,
    /// Nothing is moved: objects may be inaccessible until the host is back.
    #[serde(alias = "noAction")]
    NoAction,
}

/// As the API calls it.
impl fmt::Display for VsanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EnsureAccessibility => "ensureObjectAccessibility",
            Self::EvacuateAllData => "evacuateAllData",
            Self::NoAction => "noAction",
        })
    }
}

/// A VM that keeps a host from entering maintenance mode until somebody moves it or powers it off.
///
/// ```
/// use vsphere_ops::host::Blocker;
///
/// fn line(vm: &Blocker) -> String {
///     let why: Vec<String> = vm.obstacles.iter().map(ToString::to_string).collect();
///     format!("{}: {}", vm.vm, why.join(", "))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Blocker {
    /// Its name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// Its state.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// What keeps it there.
    pub obstacles: Vec<Obstacle>,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why: Vec<String> = self.obstacles.iter().map(ToString::to_string).collect();
        write!(f, "{} ({})", self.vm, why.join("; "))
    }
}

/// A plan to put a host into maintenance mode, with what would have to leave it.
///
/// ```
/// use vsphere_ops::host::MaintenancePlan;
///
/// fn ends_by_itself(plan: &MaintenancePlan) -> bool {
///     plan.blockers.is_empty()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing happens before it is carried out"]
pub struct MaintenancePlan {
    /// The host's name.
    pub host: String,
    /// Its managed object id.
    pub id: String,
    /// Whether it is in maintenance mode already, so that there is nothing to do.
    pub maintenance_mode: bool,
    /// The name of its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// How far DRS moves its VMs.
    pub drs: Drs,
    /// Whether VMs that do not run have to leave too.
    pub evacuate_powered_off: bool,
    /// What happens to its part of a vSAN datastore, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vsan_mode: Option<VsanMode>,
    /// The VMs that DRS moves to other hosts.
    pub moved_by_drs: Vec<Named>,
    /// The VMs that nothing moves: the host waits for each.
    pub blockers: Vec<Blocker>,
    /// How many VMs stay on it without running.
    pub staying: usize,
    #[serde(skip)]
    target: Mo<HostSystem>,
}

/// What a change of maintenance mode has led to.
///
/// ```
/// use vsphere_ops::host::MaintenanceChange;
///
/// fn line(change: &MaintenanceChange) -> String {
///     let state = if change.maintenance_mode { "in" } else { "out of" };
///     format!("{} is {state} maintenance mode{}", change.host, if change.changed { " now" } else { " already" })
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MaintenanceChange {
    /// The host's name.
    pub host: String,
    /// Its managed object id.
    pub id: String,
    /// Whether it is in maintenance mode.
    pub maintenance_mode: bool,
    /// Whether anything had to be changed.
    pub changed: bool,
    /// The VMs that have left it meanwhile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Named>,
    /// How many VMs are still registered on it, none of which runs.
    pub vms: usize,
}

impl Mo<HostSystem> {
    /// Plans to put the host into maintenance mode, and says which VMs leave it by themselves and which do not.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use std::time::Duration;
    /// use vsphere_ops::host::Maintenance;
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
    /// let plan = host.maintenance(&Maintenance::default()).await?;
    /// println!("DRS moves {} VMs", plan.moved_by_drs.len());
    /// for vm in &plan.blockers {
    ///     println!("in the way: {vm}");
    /// }
    /// assert!(plan.carry_out(Duration::from_secs(600)).await?.maintenance_mode);
    /// assert!(host.exit_maintenance(Duration::from_secs(600)).await?.changed);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` where VMs that do not run are to leave and there is no DRS to move them, and server errors.
    pub async fn maintenance(&self, how: &Maintenance) -> Result<MaintenancePlan> {
        let around = Surroundings::of(self).await.map_err(named(self, ENTER))?;
        if how.evacuate_powered_off == Some(true) && around.drs == Drs::Off {
            let text = "only DRS moves VMs that do not run, and it is off here: move them by hand, or leave them there";
            return Err(invalid(ENTER, text).on(self.label()));
        }
        let evacuate = how.evacuate_powered_off.unwrap_or(around.drs != Drs::Off);
        let Leaving { moved_by_drs, blockers, staying } = Leaving::of(&around, evacuate);
        Ok(MaintenancePlan {
            host: self.label().to_owned(),
            id: self.id().to_owned(),
            maintenance_mode: around.maintenance,
            cluster: around.cluster,
            drs: around.drs,
            evacuate_powered_off: evacuate,
            vsan_mode: how.vsan,
            moved_by_drs,
            blockers,
            staying,
            target: self.clone(),
        })
    }

    /// Ends the maintenance mode of the host. One that has just been started may not be ready for it, and is told again for a
    /// minute. Takes the privilege `Host.Config.Maintenance`.
    ///
    /// # Errors
    /// The fault `Timedout` when the time is up, and server errors.
    pub async fn exit_maintenance(&self, timeout: Duration) -> Result<MaintenanceChange> {
        let begin = Instant::now();
        let mut told = false;
        loop {
            let (maintenance, vms) =
                self.read((host::IN_MAINTENANCE_MODE, host::VM)).await.map_err(named(self, EXIT))?;
            if !maintenance {
                return Ok(change(self, false, told, vms.len()));
            }
            told = true;
            let task: Result<Task<()>> =
                task::start(self, EXIT, self.exit_maintenance_mode_task(seconds(timeout))).await;
            let ended = match task {
                Ok(task) => task.with_deadline(timeout.saturating_add(GRACE)).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => return Ok(change(self, false, true, vms.len())),
                Err(error) if error.is_fault("InvalidState") && begin.elapsed() < COMING_UP.min(timeout) => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A timeout as the API takes it, which takes nought for no end.
fn seconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX).max(1)
}

fn change(target: &Mo<HostSystem>, maintenance_mode: bool, changed: bool, vms: usize) -> MaintenanceChange {
    let (host, id) = (target.label().to_owned(), target.id().to_owned());
    MaintenanceChange { host, id, maintenance_mode, changed, left: Vec::new(), vms }
}

/// What becomes of the VMs of a host that enters maintenance mode.
struct Leaving {
    moved_by_drs: Vec<Named>,
    blockers: Vec<Blocker>,
    staying: usize,
}

impl Leaving {
    fn of(around: &Surroundings, evacuate: bool) -> Self {
        let (mut moved_by_drs, mut blockers, mut staying) = (Vec::new(), Vec::new(), 0);
        for vm in around.machines.iter().filter(|vm| !vm.agent) {
            if !must_leave(vm, evacuate) {
                staying += 1;
                continue;
            }
            let obstacles = around.obstacles(vm);
            if obstacles.is_empty() {
                moved_by_drs.push(Named { name: vm.name.clone(), id: vm.id.clone() });
            } else {
                let (id, power_state) = (vm.id.clone(), vm.power_state.clone());
                blockers.push(Blocker { vm: vm.name.clone(), id, power_state, obstacles });
            }
        }
        moved_by_drs.sort();
        blockers.sort_by(|one: &Blocker, other| (&one.vm, &one.id).cmp(&(&other.vm, &other.id)));
        Self { moved_by_drs, blockers, staying }
    }
}

/// Whether the host waits for the VM to leave.
fn must_leave(vm: &Machine, evacuate: bool) -> bool {
    vm.runs() || (evacuate && !vm.template)
}

impl MaintenancePlan {
    /// Puts the host into maintenance mode, and waits no longer than `timeout`. Takes the privilege `Host.Config.Maintenance`.
    ///
    /// DRS moves what it can, and the host waits for the others: somebody may move them or power them off meanwhile. When
    /// the time is up, the host goes on as before, and the error names the VMs that were in the way.
    ///
    /// # Errors
    /// `changed` if more is in the way than when this was planned; `timeout` with
    /// [`Circumstance::KeptFromMaintenance`]; and server errors.
    pub async fn carry_out(self, timeout: Duration) -> Result<MaintenanceChange> {
        let failed = named(&self.target, ENTER);
        let before = Surroundings::of(&self.target).await.map_err(&failed)?;
        if before.maintenance {
            return Ok(change(&self.target, true, false, before.machines.len()));
        }
        self.must_hold(&before)?;
        let ended = self.enter(timeout).await;
        match ended {
            Ok(()) => {}
            Err(error) if error.is_fault("Timedout") || is_late(&error) => return Err(self.late(timeout).await),
            Err(error) => return Err(error),
        }
        let vms = self.target.read(host::VM).await.map_err(&failed)?;
        let still: HashSet<&str> = vms.iter().map(|vm| vm.value.as_str()).collect();
        let gone = before.machines.into_iter().filter(|vm| !still.contains(vm.id.as_str()));
        let mut left: Vec<Named> = gone.map(|vm| Named { name: vm.name, id: vm.id }).collect();
        left.sort();
        Ok(MaintenanceChange { left, ..change(&self.target, true, true, vms.len()) })
    }

    /// Looks whether no more is in the way than when this was planned.
    fn must_hold(&self, now: &Surroundings) -> Result<()> {
        let known: HashSet<&str> = self.blockers.iter().map(|vm| vm.id.as_str()).collect();
        let more = Leaving::of(now, self.evacuate_powered_off).blockers;
        let more: Vec<&str> =
            more.iter().filter(|vm| !known.contains(vm.id.as_str())).map(|vm| vm.vm.as_str()).collect();
        if more.is_empty() {
            return Ok(());
        }
        let text = format!("{} cannot leave it since this was planned, so nothing was done", listed(&more));
        Err(Error::new(ENTER, ErrorKind::Changed(text)).on(self.target.label()))
    }

    /// Runs the server's task, also after one that holds the host.
    async fn enter(&self, timeout: Duration) -> Result<()> {
        let begin = Instant::now();
        let left = || timeout.saturating_sub(begin.elapsed());
        self.target.client().retry_while_busy(BUSY.min(timeout), || self.enter_within(left())).await
    }

    /// Runs the server's task once. One that does not end with its own time is cancelled.
    async fn enter_within(&self, timeout: Duration) -> Result<()> {
        let spec = self.vsan_mode.map(|mode| HostMaintenanceSpec {
            vsan_mode: Some(Box::new(VsanHostDecommissionMode { object_action: mode.to_string() })),
            ..Default::default()
        });
        // An ESXi host and older servers take it for false where it is left out.
        let evacuate = Some(true).filter(|_| self.evacuate_powered_off);
        let target = &self.target;
        let request = target.enter_maintenance_mode_task(seconds(timeout), evacuate, spec.as_ref());
        let task: Task<()> = task::start(target, ENTER, request).await?;
        let reference = task.reference().clone();
        match task.with_deadline(timeout.saturating_add(GRACE)).await {
            Err(error) if is_late(&error) => {
                let task: Task<()> = Task::new(target.client(), reference, ENTER, target.label());
                // Whether it is cancelled shows in how it ends.
                let _ = task.cancel().await;
                match task.with_deadline(GRACE).await {
                    Err(ended) if ended.is_fault("RequestCanceled") => Err(error),
                    ended => ended,
                }
            }
            ended => ended,
        }
    }

    /// The error when the time is up: what was in the way, as it is now.
    async fn late(&self, timeout: Duration) -> Error {
        let time = timeout.as_secs();
        let around = match Surroundings::of(&self.target).await {
            Ok(around) => around,
            Err(error) => {
                let text = format!("not within {time} s; what was in the way can't be read: {error}");
                return Error::new(ENTER, ErrorKind::TimedOut(text)).on(self.target.label());
            }
        };
        let Leaving { mut blockers, moved_by_drs, .. } = Leaving::of(&around, self.evacuate_powered_off);
        let state = |id: &str| around.machines.iter().find(|vm| vm.id == id).map(|vm| vm.power_state.clone());
        blockers.extend(moved_by_drs.into_iter().map(|vm| Blocker {
            power_state: state(&vm.id).unwrap_or_default(),
            vm: vm.name,
            id: vm.id,
            obstacles: vec![Obstacle::NotMovedInTime],
        }));
        let each: Vec<String> = blockers.iter().map(ToString::to_string).collect();
        let each: Vec<&str> = each.iter().map(String::as_str).collect();
        let text = match each.as_slice() {
            [] => format!("not within {time} s, though no VM is in the way now; vSAN may be moving data"),
            each => format!("not within {time} s, and it goes on as before; in the way: {}", listed(each)),
        };
        let error = Error::new(ENTER, ErrorKind::TimedOut(text)).on(self.target.label());
        error.with_circumstance(Circumstance::KeptFromMaintenance(blockers))
    }
}

/// Whether our own time was up.
fn is_late(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unfinished { cause: None, .. })
}
