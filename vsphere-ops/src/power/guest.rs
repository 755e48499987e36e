//! What a guest is asked to do by VMware Tools. The server answers as soon as the guest has accepted.

use std::time::Duration;

use futures::TryStreamExt as _;
use tokio::time::timeout;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::VirtualMachinePowerState;
use vsphere_soap::request::Request;

use super::{PowerChange, changed};
use crate::error::{Error, Result};
use crate::mo::Mo;
use crate::task::BUSY;
use crate::watch::Change;

impl Mo<VirtualMachine> {
    /// Asks the guest to shut down, and waits until the VM is off, but no longer than `limit`. One that is off already is
    /// left alone. One that is not off then is reported as `pending`: it may still come, or wait for somebody at its
    /// console.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use std::time::Duration;
    /// use vsphere_ops::power::PowerOperation;
    ///
    /// let vms = client.vms(&["web-01".to_owned(), "web-02".to_owned()]).await;
    /// let reports = vms.each(|vm| async move {
    ///     let done = vm.shut_down_guest(Duration::from_secs(120)).await?;
    ///     match done.pending {
    ///         true => vm.power(PowerOperation::Off).await, // it hangs
    ///         false => Ok(done),
    ///     }
    /// });
    /// assert!(reports.await.iter().all(|report| report.outcome.is_ok()));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The fault `ToolsUnavailable` if VMware Tools do not run in the guest, and server errors.
    pub async fn shut_down_guest(&self, limit: Duration) -> Result<PowerChange> {
        let wanted = VirtualMachinePowerState::PoweredOff;
        let asked = ask(self, "shut down the guest of", |vm| vm.shutdown_guest()).await;
        if !changed(asked, &wanted)? {
            return Ok(PowerChange { power_state: wanted, changed: false, pending: false });
        }
        let power_state = state_within(self, &wanted, limit).await?;
        let pending = power_state != wanted;
        Ok(PowerChange { power_state, changed: true, pending })
    }

    /// Asks the guest to restart. Returns when it has accepted.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// assert!(client.get::<VirtualMachine>("web-01").await?.restart_guest().await?.pending);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`shut_down_guest`](Self::shut_down_guest), and the fault `InvalidPowerState` if it does not run.
    pub async fn restart_guest(&self) -> Result<PowerChange> {
        ask(self, "reboot the guest of", |vm| vm.reboot_guest()).await?;
        Ok(PowerChange { power_state: VirtualMachinePowerState::PoweredOn, changed: true, pending: true })
    }

    /// Asks the guest to go to sleep. Returns when it has accepted; the VM is then suspended, or stays on with a sleeping
    /// guest, as it is configured. One that is suspended already is left alone.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// client.get::<VirtualMachine>("web-03").await?.put_guest_to_sleep().await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`restart_guest`](Self::restart_guest).
    pub async fn put_guest_to_sleep(&self) -> Result<PowerChange> {
        let wanted = VirtualMachinePowerState::Suspended;
        let asked = ask(self, "put to sleep the guest of", |vm| vm.standby_guest()).await;
        let changed = changed(asked, &wanted)?;
        let power_state = self.read(vm::POWER_STATE).await?;
        let pending = power_state != wanted;
        Ok(PowerChange { power_state, changed, pending })
    }
}

async fn ask(
    machine: &Mo<VirtualMachine>,
    operation: &str,
    request: impl Fn(&VirtualMachine) -> Request<()>,
) -> Result<()> {
    let asked = machine.client().retry_while_busy(BUSY, || async { request(machine).await.map_err(Error::from) });
    asked.await.map_err(|error| error.in_operation(operation).on(machine.label()))
}

/// The VM's state once it is the wanted one, or when the time is up.
async fn state_within(
    machine: &Mo<VirtualMachine>,
    wanted: &VirtualMachinePowerState,
    limit: Duration,
) -> Result<VirtualMachinePowerState> {
    let mut changes = machine.watch(vm::POWER_STATE);
    let reached = async {
        while let Some(change) = changes.try_next().await? {
            if let Change::Entered { row, .. } | Change::Changed { row, .. } = change
                && row == *wanted
            {
                break;
            }
        }
        Ok::<_, Error>(())
    };
    if let Ok(reached) = timeout(limit, reached).await {
        reached.map_err(|error| error.in_operation("wait for").on(machine.label()))?;
    }
    machine.read(vm::POWER_STATE).await
}
