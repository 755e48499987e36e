//! What a guest is asked to do by VMware Tools. The server answers as soon as the guest has accepted.

use std::time::Duration;

use futures::TryStreamExt as _;
use tokio::time::timeout;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::VirtualMachinePowerState;
use vsphere_soap::request::Request;

use super::{PowerChange, PowerReport, changed};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::mo::Mo;
use crate::several;
use crate::task::BUSY;
use crate::vm::power_state_name;
use crate::watch::Change;

/// Asks the guests of machines, each given by name, path or id, to shut down, and waits until they are off, but no longer
/// than `limit`. One that is off already is left alone. One that is not off then is reported as `pending`: it may still
/// come, or wait for somebody at its console.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use std::time::Duration;
/// use vsphere_ops::power;
///
/// let names = ["web-01".to_owned(), "web-02".to_owned()];
/// let mut hanging = Vec::new();
/// for report in power::shutdown_guest(&client, &names, Duration::from_secs(120)).await {
///     if report.outcome?.pending {
///         hanging.push(report.vm);
///     }
/// }
/// power::off(&client, &hanging, &|_| ()).await;
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub async fn shutdown_guest(client: &Client, vms: &[String], limit: Duration) -> Vec<PowerReport> {
    let wanted = &VirtualMachinePowerState::PoweredOff;
    several::each(client, vms, |_, machine| async move {
        let asked = ask(&machine, "shut down the guest of", |vm| vm.shutdown_guest()).await;
        if !changed(asked, wanted)? {
            return Ok(PowerChange { power_state: power_state_name(wanted), changed: false, pending: false });
        }
        let state = state_within(&machine, wanted, limit).await?;
        Ok(PowerChange { power_state: power_state_name(&state), changed: true, pending: state != *wanted })
    })
    .await
}

/// Asks the guests of machines, each given by name, path or id, to restart. Returns when they have accepted.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// for report in vsphere_ops::power::reboot_guest(&client, &["web-01".to_owned()]).await {
///     println!("{}: {:?}", report.vm, report.outcome);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub async fn reboot_guest(client: &Client, vms: &[String]) -> Vec<PowerReport> {
    several::each(client, vms, |_, machine| async move {
        let asked = ask(&machine, "reboot the guest of", |vm| vm.reboot_guest()).await;
        asked?;
        let power_state = power_state_name(&VirtualMachinePowerState::PoweredOn);
        Ok(PowerChange { power_state, changed: true, pending: true })
    })
    .await
}

/// Asks the guests of machines, each given by name, path or id, to go to sleep. Returns when they have accepted; the
/// machine is then suspended, or stays on with a sleeping guest, as it is configured. One that is suspended already is
/// left alone.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// vsphere_ops::power::standby_guest(&client, &["web-03".to_owned()]).await;
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub async fn standby_guest(client: &Client, vms: &[String]) -> Vec<PowerReport> {
    let wanted = &VirtualMachinePowerState::Suspended;
    several::each(client, vms, |_, machine| async move {
        let asked = ask(&machine, "put to sleep the guest of", |vm| vm.standby_guest()).await;
        let changed = changed(asked, wanted)?;
        let state = machine.read(vm::POWER_STATE).await?;
        Ok(PowerChange { power_state: power_state_name(&state), changed, pending: state != *wanted })
    })
    .await
}

async fn ask(
    machine: &Mo<VirtualMachine>,
    operation: &str,
    request: impl Fn(&VirtualMachine) -> Request<()>,
) -> Result<()> {
    let asked = machine.client().retry_while_busy(BUSY, || async { request(machine).await.map_err(Error::from) });
    asked.await.map_err(|error| error.in_operation(operation).on(machine.label()))
}

/// The machine's state once it is the wanted one, or when the time is up.
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
