//! A host that is restarted or shut down.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vsphere_model::managed::{HostSystem, host_system as host, virtual_machine as vm};
use vsphere_model::types::{
    HostCapability, HostSystemConnectionState, HostSystemPowerState, ManagedObjectReference, VirtualMachinePowerState,
};
use vsphere_soap::Sent;

use super::named;
use crate::error::{Category, Circumstance, Error, ErrorKind, Result};
use crate::find::{self, label};
use crate::mo::Mo;
use crate::named::Named;
use crate::read::Values;
use crate::task::{self, Task};
use crate::vm::optional;

/// How long the task is waited for, which ends when the host begins to go down.
const PATIENCE: Duration = Duration::from_secs(300);

/// How a host goes down.
///
/// ```
/// use vsphere_ops::host::Down;
///
/// assert_eq!(serde_json::to_string(&Down::Shutdown).unwrap(), r#""shutdown""#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Down {
    /// It starts again by itself.
    Reboot,
    /// It stays off until somebody switches it on, which vCenter can't.
    Shutdown,
}

impl Down {
    fn operation(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::Shutdown => "shut down",
        }
    }
}

/// A plan to restart or shut down a host, with the VMs that would be hit.
///
/// ```
/// use vsphere_ops::host::GoingDown;
///
/// fn is_harmless(plan: &GoingDown) -> bool {
///     plan.maintenance_mode && plan.running_vms.is_empty()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing happens before it is carried out"]
pub struct GoingDown {
    /// The host's name.
    pub host: String,
    /// Its managed object id.
    pub id: String,
    /// What happens to it.
    pub action: Down,
    /// Whether it is in maintenance mode.
    pub maintenance_mode: bool,
    /// Whether it goes down all the same where it is not.
    pub force: bool,
    /// The VMs that run on it, and would be stopped as by a power failure.
    pub running_vms: Vec<Named>,
    /// Whether it is off already, so that there is nothing to do.
    pub is_off: bool,
    #[serde(skip)]
    target: Mo<HostSystem>,
}

/// A host that goes down.
///
/// ```
/// use vsphere_ops::host::WentDown;
///
/// fn line(host: &WentDown) -> String {
///     format!("{} is {} now", host.host, vsphere_ops::word(&host.connection_state))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WentDown {
    /// The host's name.
    pub host: String,
    /// Its managed object id.
    pub id: String,
    /// What happens to it.
    pub action: Down,
    /// Whether anything had to be done.
    pub changed: bool,
    /// Whether the host has said that it goes down. Where it has not, the connection ended after it was told to.
    pub confirmed: bool,
    /// Whether vCenter reached it right after that: soon it does not.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub connection_state: HostSystemConnectionState,
    /// The VMs that ran on it.
    pub stopped_vms: Vec<Named>,
}

/// A host before it goes down.
struct State {
    maintenance: bool,
    power: HostSystemPowerState,
    capability: Option<HostCapability>,
    running: Vec<Named>,
}

impl State {
    async fn of(target: &Mo<HostSystem>, operation: &str) -> Result<Self> {
        let (maintenance, power, capability, vms) = target
            .read((host::IN_MAINTENANCE_MODE, host::POWER_STATE, host::CAPABILITY, host::VM))
            .await
            .map_err(named(target, operation))?;
        Ok(Self { maintenance, power, capability, running: running(target, &vms, operation).await? })
    }
}

/// Those of these VMs that run, by name.
async fn running(target: &Mo<HostSystem>, vms: &[ManagedObjectReference], operation: &str) -> Result<Vec<Named>> {
    const STATE: &str = vm::POWER_STATE.path();
    let contents = find::details(target.client(), vms.iter().cloned(), &["name", STATE]).await;
    let running = contents.map_err(named(target, operation))?.into_iter().filter_map(|content| {
        let found = Named { name: label(&content), id: content.obj.value };
        let mut values = Values::new(content.prop_set, content.missing_set);
        // One whose state may not be read may run.
        let off = optional::<VirtualMachinePowerState>(&mut values, STATE)
            .is_some_and(|state| state != VirtualMachinePowerState::PoweredOn);
        (!off).then_some(found)
    });
    let mut running: Vec<Named> = running.collect();
    running.sort();
    Ok(running)
}

impl Mo<HostSystem> {
    /// Plans to restart or shut down the host, and names the VMs that run on it. Without `force` it has to be in maintenance
    /// mode, so that none does.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::host::Down;
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
    /// assert_eq!(host.going_down(Down::Reboot, false).await.unwrap_err().code(), "invalid_state");
    /// let plan = host.going_down(Down::Reboot, true).await?;
    /// println!("{} VMs would be stopped as by a power failure", plan.running_vms.len());
    /// assert!(plan.carry_out().await?.changed);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_state` where it is not in maintenance mode and not forced, with the VMs that run; `unsupported` where the
    /// hardware can't; and server errors.
    pub async fn going_down(&self, action: Down, force: bool) -> Result<GoingDown> {
        let operation = action.operation();
        let State { maintenance, power, capability, running } = State::of(self, operation).await?;
        let is_off = action == Down::Shutdown && power == HostSystemPowerState::PoweredOff;
        let able = capability.is_none_or(|can| match action {
            Down::Reboot => can.reboot_supported,
            Down::Shutdown => can.shutdown_supported,
        });
        let failed = |kind| Err(Error::new(operation, kind).on(self.label()));
        if !able {
            return failed(ErrorKind::Unsupported("the host says that it can't be told to".to_owned()));
        }
        if !maintenance && !force && !is_off {
            let names: Vec<&str> = running.iter().map(|vm| vm.name.as_str()).collect();
            let text = match names.as_slice() {
                [] => "it is not in maintenance mode; no VM runs on it now, but one may start".to_owned(),
                names => format!("it is not in maintenance mode, and {} run on it", listed(names)),
            };
            let error = Error::new(operation, ErrorKind::InvalidState(text)).on(self.label());
            return Err(error.with_circumstance(Circumstance::NotInMaintenanceMode));
        }
        Ok(GoingDown {
            host: self.label().to_owned(),
            id: self.id().to_owned(),
            action,
            maintenance_mode: maintenance,
            force,
            running_vms: running,
            is_off,
            target: self.clone(),
        })
    }
}

impl GoingDown {
    /// Tells the host to go down. Takes the privilege `Host.Config.Maintenance`.
    ///
    /// The task says little: it ends when the host begins to go down, and where this host is the server itself, the
    /// connection just ends. A connection that ends after the request has gone out is therefore no failure.
    ///
    /// # Errors
    /// `changed` if the host has left maintenance mode or another VM runs on it since this was planned, and server errors.
    pub async fn carry_out(self) -> Result<WentDown> {
        let operation = self.action.operation();
        if self.is_off {
            return Ok(self.went_down(false, true, HostSystemConnectionState::NotResponding, Vec::new()));
        }
        let now = State::of(&self.target, operation).await?;
        let shown: HashSet<&str> = self.running_vms.iter().map(|vm| vm.id.as_str()).collect();
        let others = now.running.iter().filter(|vm| !shown.contains(vm.id.as_str())).count();
        if others > 0 || (self.maintenance_mode && !now.maintenance) {
            let text =
                "it has left maintenance mode, or other VMs run on it since this was planned, so nothing was done";
            return Err(Error::new(operation, ErrorKind::Changed(text.to_owned())).on(self.target.label()));
        }
        let request = match self.action {
            Down::Reboot => self.target.reboot_host_task(self.force),
            Down::Shutdown => self.target.shutdown_host_task(self.force),
        };
        let ended = match task::start(&self.target, operation, request).await {
            Ok(task) => {
                let task: Task<()> = task;
                task.with_deadline(PATIENCE).await
            }
            Err(error) => Err(error),
        };
        let confirmed = match ended {
            Ok(()) => true,
            Err(error) if is_silence(&error, !self.target.client().capabilities().vcenter) => false,
            Err(error) => return Err(error),
        };
        let state = match confirmed {
            true => self.target.read(host::CONNECTION_STATE).await.unwrap_or_default(),
            false => HostSystemConnectionState::default(),
        };
        Ok(self.went_down(true, confirmed, state, now.running))
    }

    fn went_down(
        self,
        changed: bool,
        confirmed: bool,
        connection_state: HostSystemConnectionState,
        stopped_vms: Vec<Named>,
    ) -> WentDown {
        let Self { host, id, action, .. } = self;
        WentDown { host, id, action, changed, confirmed, connection_state, stopped_vms }
    }
}

/// Whether the server fell silent after it was told, as one does that goes down: while it was waited for, or, where the host
/// is the server itself, before it answered.
fn is_silence(error: &Error, is_server: bool) -> bool {
    let silent = matches!(error.category(), Category::Connection | Category::Timeout | Category::Session);
    silent && (error.sent() == Sent::Yes || (is_server && error.sent() == Sent::Maybe))
}

/// Names in a row, the first of many.
pub(super) fn listed(names: &[&str]) -> String {
    const MOST: usize = 10;
    match names.get(..MOST) {
        Some(first) if names.len() > MOST => format!("{} and {} more", first.join(", "), names.len() - MOST),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use vsphere_soap::{Error as WireError, ErrorKind as WireKind};

    use super::*;

    fn cut(sent: Sent) -> Error {
        let source = io::Error::from(io::ErrorKind::ConnectionReset);
        WireError::new("RebootHost_Task", WireKind::Interrupted { received: 0, source }).with_sent(sent).into()
    }

    #[test]
    fn a_server_that_falls_silent_after_it_was_told_goes_down() {
        let task = ManagedObjectReference::new("Task", "haTask-1");
        let waiting = Error::new("reboot", ErrorKind::Unfinished { task, cause: Some(Box::new(cut(Sent::Maybe))) });
        assert!(is_silence(&waiting, false) && is_silence(&waiting, true));
        // A vCenter that breaks off may not have told the host.
        assert!(is_silence(&cut(Sent::Maybe), true) && !is_silence(&cut(Sent::Maybe), false));
        assert!(!is_silence(&cut(Sent::No), true));
        assert!(!is_silence(&Error::new("reboot", ErrorKind::InvalidState("no".to_owned())), true));
    }

    #[test]
    fn the_first_of_many_names_are_listed() {
        let names: Vec<String> = (0..12).map(|number| format!("vm-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(listed(&names[..2]), "vm-0, vm-1");
        assert!(listed(&names).ends_with("vm-9 and 2 more"), "{}", listed(&names));
    }
}
