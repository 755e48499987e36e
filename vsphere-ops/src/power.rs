//! Power states of virtual machines.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::power;
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! // One machine, by the API's own rules: it is an error where it runs already.
//! client.get::<VirtualMachine>("web-04").await?.power_on().await?.await?;
//!
//! // Several, to a state: a machine that is in it already is a success, a busy one is waited for.
//! let names = ["web-01".to_owned(), "/fra1/vm/prod/db/pg-01".to_owned()];
//! for report in power::off(&client, &names, &|progress| println!("{}: {} %", progress.vm, progress.percent)).await {
//!     println!("{} {:?}", report.vm, report.outcome);
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! Powering off is like pulling the plug; what the guest has not written is lost. [`shutdown_guest`] asks the guest.

mod guest;
mod running;

use serde::Serialize;
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{InvalidPowerState, VirtualMachinePowerState};

use crate::client::Client;
use crate::error::Result;
use crate::mo::Mo;
use crate::several::{self, Report};
use crate::task::{self, BUSY, Task};
use crate::vm::power_state_name;

pub use guest::{reboot_guest, shutdown_guest, standby_guest};
pub(crate) use running::tools_run;
pub use running::{Running, running};

impl Mo<VirtualMachine> {
    /// Powers the machine on, or resumes it where it is suspended.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-04").await?;
    /// vm.power_on().await?.on_progress(|progress| println!("{} %", progress.percent)).await?;
    /// vm.power_off().await?.await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
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

    /// Suspends the machine: its memory goes to a file, from which [`power_on`](Self::power_on) resumes it.
    ///
    /// # Errors
    /// The fault `InvalidPowerState` where it does not run, and those of the server.
    pub async fn suspend(&self) -> Result<Task<()>> {
        task::start(self, "suspend", self.suspend_vm_task()).await
    }

    /// Resets the machine at once, like the button on a case.
    ///
    /// # Errors
    /// The fault `InvalidPowerState` where it does not run, and those of the server.
    pub async fn reset(&self) -> Result<Task<()>> {
        task::start(self, "reset", self.reset_vm_task()).await
    }
}

/// How far the power operation of one of several machines is.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::power::{self, Progress};
///
/// let show = |Progress { vm, percent }: Progress| println!("{vm}: {percent} %");
/// power::on(&client, &["web-01".to_owned()], &show).await;
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The machine, as the caller named it.
    pub vm: String,
    /// Per cent of the work that is done.
    pub percent: u8,
}

/// What a power operation did to a machine.
///
/// ```
/// use vsphere_ops::power::PowerChange;
///
/// fn line(change: &PowerChange) -> String {
///     match (change.changed, change.pending) {
///         (true, false) => format!("{} now", change.power_state),
///         (true, true) => format!("the guest is at it; {} for now", change.power_state),
///         (false, _) => format!("{} already", change.power_state),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PowerChange {
    /// `powered_on`, `powered_off` or `suspended`, after the operation.
    pub power_state: &'static str,
    /// Whether the operation changed something; it did not where the machine was in that state already.
    pub changed: bool,
    /// Whether the guest has accepted to do it, and was not seen to have done it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
}

/// How a power operation ended for one machine.
///
/// ```
/// use vsphere_ops::power::PowerReport;
///
/// fn line(report: &PowerReport) -> String {
///     match &report.outcome {
///         Ok(change) => format!("{} is {}", report.vm, change.power_state),
///         Err(error) => format!("{}: {error}", report.vm),
///     }
/// }
/// ```
pub type PowerReport = Report<PowerChange>;

/// What hears of progress.
type Listener<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Powers machines on, each given by name, path or id, and waits until they run. One that runs already is left alone.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let names: Vec<String> = ["web-01", "web-02", "vm-64"].map(String::from).into();
/// let reports = vsphere_ops::power::on(&client, &names, &|_| ()).await;
/// let failed = reports.iter().filter(|report| report.outcome.is_err()).count();
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub async fn on(client: &Client, vms: &[String], progress: &(dyn Fn(Progress) + Send + Sync)) -> Vec<PowerReport> {
    change(client, vms, Operation::On, progress).await
}

/// Powers machines off, each given by name, path or id, and waits until they are. One that is off already is left alone.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let reports = vsphere_ops::power::off(&client, &["web-01".to_owned()], &|_| ()).await;
/// assert!(reports.iter().all(|report| report.outcome.is_ok()));
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub async fn off(client: &Client, vms: &[String], progress: &(dyn Fn(Progress) + Send + Sync)) -> Vec<PowerReport> {
    change(client, vms, Operation::Off, progress).await
}

/// Suspends machines, each given by name, path or id, and waits until they are. One that is suspended already is left
/// alone; one that is off is an error.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let names = ["web-01".to_owned(), "web-02".to_owned()];
/// vsphere_ops::power::suspend(&client, &names, &|_| ()).await;
/// vsphere_ops::power::on(&client, &names, &|_| ()).await; // they go on where they were
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub async fn suspend(client: &Client, vms: &[String], progress: &(dyn Fn(Progress) + Send + Sync)) -> Vec<PowerReport> {
    change(client, vms, Operation::Suspend, progress).await
}

/// Resets machines that run, each given by name, path or id. The guest is not asked.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let reports = vsphere_ops::power::reset(&client, &["web-03".to_owned()], &|_| ()).await;
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub async fn reset(client: &Client, vms: &[String], progress: &(dyn Fn(Progress) + Send + Sync)) -> Vec<PowerReport> {
    change(client, vms, Operation::Reset, progress).await
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    On,
    Off,
    Suspend,
    Reset,
}

impl Operation {
    async fn start(self, machine: &Mo<VirtualMachine>) -> Result<Task<()>> {
        match self {
            Self::On => machine.power_on().await,
            Self::Off => machine.power_off().await,
            Self::Suspend => machine.suspend().await,
            Self::Reset => machine.reset().await,
        }
    }

    /// The state after it.
    fn state(self) -> VirtualMachinePowerState {
        match self {
            Self::On | Self::Reset => VirtualMachinePowerState::PoweredOn,
            Self::Off => VirtualMachinePowerState::PoweredOff,
            Self::Suspend => VirtualMachinePowerState::Suspended,
        }
    }
}

async fn change(client: &Client, vms: &[String], operation: Operation, progress: Listener<'_>) -> Vec<PowerReport> {
    several::each(client, vms, |what, machine| async move {
        let told = |at: task::Progress| progress(Progress { vm: what.to_owned(), percent: at.percent });
        let told = &told;
        let done =
            machine.client().retry_while_busy(BUSY, || async { operation.start(&machine).await?.watch(told).await });
        let state = operation.state();
        Ok(PowerChange { power_state: power_state_name(&state), changed: changed(done.await, &state)?, pending: false })
    })
    .await
}

/// Whether an operation that leads to this state changed anything.
pub(crate) fn changed(ended: Result<()>, wanted: &VirtualMachinePowerState) -> Result<bool> {
    match ended {
        Ok(()) => Ok(true),
        // Asking first would race with others: the refusal says that it is so already, or that it can't be.
        Err(error) if error.fault::<InvalidPowerState>().is_some_and(|fault| fault.existing_state == *wanted) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
