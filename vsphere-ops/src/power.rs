//! Power states of virtual machines.
//!
//! ```no_run
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::power;
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! // One machine, by the API's own rules: it is an error where it runs already.
//! client.get::<VirtualMachine>("web-1").await?.power_on().await?.await?;
//!
//! // Several, to a state: a machine that is in it already is a success, a busy one is waited for.
//! let names = ["web-1".to_owned(), "/DC0/vm/prod/db-1".to_owned()];
//! for report in power::off(&client, &names, &|progress| println!("{}: {} %", progress.vm, progress.percent)).await {
//!     println!("{} {:?}", report.vm, report.error.map(|error| error.message));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Powering off is like pulling the plug; what the guest has not written is lost.

mod running;

use std::time::Duration;

use futures::future::join_all;
use serde::Serialize;
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{InvalidPowerState, VirtualMachinePowerState};

use crate::client::Client;
use crate::error::{Candidate, Error, Result};
use crate::mo::Mo;
use crate::task::{self, Task};
use crate::vm::power_state_name;

pub use running::{Running, running};

/// How long a machine that is busy with another task is waited for.
const BUSY: Duration = Duration::from_secs(120);

impl Mo<VirtualMachine> {
    /// Powers the machine on, or resumes it where it is suspended.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-1").await?;
    /// vm.power_on().await?.on_progress(|progress| println!("{} %", progress.percent)).await?;
    /// vm.power_off().await?.await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The fault `InvalidPowerState` where it runs already, and those of the server.
    pub async fn power_on(&self) -> Result<Task<()>> {
        task::start(self, "power on", self.power_on_vm_task(None)).await
    }

    /// Powers the machine off at once, like pulling the plug.
    ///
    /// # Errors
    /// The fault `InvalidPowerState` where it is off already, and those of the server.
    pub async fn power_off(&self) -> Result<Task<()>> {
        task::start(self, "power off", self.power_off_vm_task()).await
    }
}

/// How far the power operation of one of several machines is.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::power::{self, Progress};
///
/// let show = |Progress { vm, percent }: Progress| println!("{vm}: {percent} %");
/// power::on(&client, &["web-1".to_owned()], &show).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The machine, as the caller named it.
    pub vm: String,
    /// Per cent of the work that is done.
    pub percent: u8,
}

/// How a power operation ended for one machine.
///
/// ```
/// use vsphere_ops::power::PowerReport;
///
/// fn line(report: &PowerReport) -> String {
///     match (&report.error, report.changed) {
///         (Some(error), _) => format!("{}: {}", report.vm, error.message),
///         (None, true) => format!("{} is {} now", report.vm, report.power_state.unwrap_or("changed")),
///         (None, false) => format!("{} was so already", report.vm),
///     }
/// }
/// ```
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PowerReport {
    /// The machine's name, or what the caller named where it was not found.
    pub vm: String,
    /// Its managed object id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `powered_on`, `powered_off` or `suspended`, after the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_state: Option<&'static str>,
    /// Whether the operation changed it; it did not where the machine was in that state already.
    pub changed: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// Why an operation on one of several objects failed.
///
/// ```
/// use vsphere_ops::power::Failure;
/// use vsphere_ops::{Error, ErrorKind};
///
/// let failure = Failure::from(Error::new("power on", ErrorKind::NotFound("there is none".into())).on("web"));
/// assert_eq!(failure.code, "not_found");
/// assert_eq!(failure.message, "power on \"web\": there is none");
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failure {
    /// The kind of failure as one word: see [`Error::code`].
    pub code: &'static str,
    /// What failed and why.
    pub message: String,
    /// The objects that fit, where several do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { code: error.code(), message: error.to_string(), candidates: error.candidates().to_vec() }
    }
}

/// Powers machines on, each given by name, path or id, and waits until they run. One that runs already is left alone.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let names: Vec<String> = ["web-1", "web-2", "vm-42"].map(String::from).into();
/// let reports = vsphere_ops::power::on(&client, &names, &|_| ()).await;
/// let failed = reports.iter().filter(|report| report.error.is_some()).count();
/// # Ok(())
/// # }
/// ```
pub async fn on(client: &Client, vms: &[String], progress: &(dyn Fn(Progress) + Send + Sync)) -> Vec<PowerReport> {
    change(client, vms, &VirtualMachinePowerState::PoweredOn, progress).await
}

/// Powers machines off, each given by name, path or id, and waits until they are. One that is off already is left alone.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let reports = vsphere_ops::power::off(&client, &["web-1".to_owned()], &|_| ()).await;
/// assert!(reports.iter().all(|report| report.error.is_none()));
/// # Ok(())
/// # }
/// ```
pub async fn off(client: &Client, vms: &[String], progress: &(dyn Fn(Progress) + Send + Sync)) -> Vec<PowerReport> {
    change(client, vms, &VirtualMachinePowerState::PoweredOff, progress).await
}

async fn change(
    client: &Client,
    vms: &[String],
    wanted: &VirtualMachinePowerState,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Vec<PowerReport> {
    let whats: Vec<&str> = vms.iter().map(String::as_str).collect();
    let machines = match client.get_many::<VirtualMachine>(&whats).await {
        Ok(machines) => machines,
        Err(error) => {
            let failure = Failure::from(error);
            return vms.iter().map(|what| PowerReport::not_found(what, failure.clone())).collect();
        }
    };
    let reports = vms.iter().zip(machines).map(|(what, machine)| async move {
        let machine = match machine {
            Ok(machine) => machine,
            Err(error) => return PowerReport::not_found(what, error.into()),
        };
        let (power_state, changed, error) = match reach(&machine, what, wanted, progress).await {
            Ok(changed) => (Some(power_state_name(wanted)), changed, None),
            Err(error) => (None, false, Some(error.into())),
        };
        PowerReport { vm: machine.label().to_owned(), id: Some(machine.id().to_owned()), power_state, changed, error }
    });
    join_all(reports).await
}

impl PowerReport {
    fn not_found(what: &str, error: Failure) -> Self {
        Self { vm: what.to_owned(), id: None, power_state: None, changed: false, error: Some(error) }
    }
}

/// Brings a machine into a power state; says whether that changed anything.
async fn reach(
    machine: &Mo<VirtualMachine>,
    what: &str,
    wanted: &VirtualMachinePowerState,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<bool> {
    let told = |at: task::Progress| progress(Progress { vm: what.to_owned(), percent: at.percent });
    let told = &told;
    let ended = machine.client().retry_while_busy(BUSY, || async move {
        match wanted {
            VirtualMachinePowerState::PoweredOn => machine.power_on().await?.watch(told).await,
            _ => machine.power_off().await?.watch(told).await,
        }
    });
    match ended.await {
        Ok(()) => Ok(true),
        // Asking first would race with others: the refusal says that it is so already, or that it can't be.
        Err(error) if error.fault::<InvalidPowerState>().is_some_and(|fault| fault.existing_state == *wanted) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
