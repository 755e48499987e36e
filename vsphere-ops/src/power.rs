//! Power states of VMs.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::power::PowerOperation;
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! // By the API's own rules: it is an error where it runs already.
//! let web = client.get::<VirtualMachine>("web-04").await?;
//! web.power_on().await?.await?;
//!
//! // To a state: a VM that is in it already is a success, a busy one is waited for.
//! let done = web.power(PowerOperation::Off).await?;
//! assert!(done.changed);
//!
//! let vms = client.vms(&["web-01".to_owned(), "/fra1/vm/prod/db/pg-01".to_owned()]).await;
//! for report in vms.each(|vm| async move { vm.power(PowerOperation::Off).await }).await {
//!     println!("{} {:?}", report.vm, report.outcome);
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! Powering off is like pulling the plug; what the guest has not written is lost. [`Mo::shut_down_guest`] asks the guest.

mod guest;
mod running;

use serde::Serialize;
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{InvalidPowerState, VirtualMachinePowerState};

use crate::error::Result;
use crate::mo::Mo;
use crate::several::Report;
use crate::task::{self, BUSY, Task};

pub use running::Running;
pub(crate) use running::tools_run;

impl Mo<VirtualMachine> {
    /// Powers the VM on, or resumes it where it is suspended.
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
    /// The fault `InvalidPowerState` if it runs already, and server errors.
    pub async fn power_on(&self) -> Result<Task<()>> {
        task::start(self, "power on", self.power_on_vm_task(None)).await
    }

    /// Powers the VM off at once, like pulling the plug.
    ///
    /// # Errors
    /// The fault `InvalidPowerState` if it is off already, and server errors.
    pub async fn power_off(&self) -> Result<Task<()>> {
        task::start(self, "power off", self.power_off_vm_task()).await
    }

    /// Suspends the VM: its memory goes to a file, from which [`power_on`](Self::power_on) resumes it.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// vm.reset().await?.await?;
    /// vm.suspend().await?.await?;
    /// vm.power_on().await?.await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The fault `InvalidPowerState` if it does not run, and server errors.
    pub async fn suspend(&self) -> Result<Task<()>> {
        task::start(self, "suspend", self.suspend_vm_task()).await
    }

    /// Resets the VM at once, like the button on a case.
    ///
    /// # Errors
    /// The fault `InvalidPowerState` if it does not run, and server errors.
    pub async fn reset(&self) -> Result<Task<()>> {
        task::start(self, "reset", self.reset_vm_task()).await
    }
}

/// What a power operation did to a VM.
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
    /// The state after the operation.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// Whether the operation changed something; it did not where the VM was in that state already.
    pub changed: bool,
    /// Whether the guest has accepted to do it, and was not seen to have done it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
}

/// How a power operation ended for one VM.
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

/// What to do with the power of a VM.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::power::PowerOperation;
///
/// let web = client.get::<VirtualMachine>("web-01").await?;
/// web.power(PowerOperation::Suspend).await?;
/// web.power(PowerOperation::On).await?; // it goes on where it was
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerOperation {
    /// Power on, or resume.
    On,
    /// Power off, like pulling the plug.
    Off,
    /// Suspend. Of a VM that is off it is an error.
    Suspend,
    /// Reset, like the button on a case. Of a VM that does not run it is an error.
    Reset,
}

impl PowerOperation {
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

impl Mo<VirtualMachine> {
    /// Brings the VM to the state that an operation leads to, and waits until it is there. One that is in that state
    /// already is left alone, one that is busy is waited for.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::power::PowerOperation;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// assert!(web.power(PowerOperation::Off).await?.changed);
    /// assert!(!web.power(PowerOperation::Off).await?.changed);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The fault `InvalidPowerState` if the operation is not possible in the state that it has, and server errors.
    pub async fn power(&self, operation: PowerOperation) -> Result<PowerChange> {
        let done = self.client().retry_while_busy(BUSY, || async move { operation.start(self).await?.await });
        let power_state = operation.state();
        let changed = changed(done.await, &power_state)?;
        Ok(PowerChange { power_state, changed, pending: false })
    }
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
