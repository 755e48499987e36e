//! What a VM that runs would lose by being powered off.

use serde::Serialize;
use vsphere_model::managed::virtual_machine as vm;
use vsphere_model::types::{
    DateTime, VirtualMachinePowerState, VirtualMachineQuickStats, VirtualMachineToolsRunningStatus,
};
use vsphere_soap::object::format_date_time;

use crate::error::Result;
use crate::find::{self, label};
use crate::read::Values;
use crate::several::Vms;
use crate::untrusted::{self, Untrusted};
use crate::vm::optional;

/// A VM that is not off, as far as that matters to a user who is about to power it off.
///
/// ```
/// use vsphere_ops::power::Running;
///
/// fn warning(vm: &Running) -> Option<String> {
///     vm.clean_shutdown.then(|| format!("{} could shut down cleanly instead", vm.name))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// Its managed object id.
    pub id: String,
    /// Its state: on or suspended.
    #[serde(serialize_with = "crate::words::state")]
    pub power_state: VirtualMachinePowerState,
    /// Seconds since it was powered on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<i32>,
    /// When it was powered on, RFC 3339: another time is another run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booted: Option<String>,
    /// The guest operating system, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_os: Option<Untrusted>,
    /// The guest's name, as the guest says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_host_name: Option<Untrusted>,
    /// The guest's primary address, as the guest says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<Untrusted>,
    /// Whether VMware Tools run, so that the guest could be asked to shut down cleanly.
    pub clean_shutdown: bool,
}

const READ: [&str; 9] = [
    "name",
    vm::POWER_STATE.path(),
    vm::BOOT_TIME.path(),
    vm::QUICK_STATS.path(),
    vm::GUEST_FULL_NAME.path(),
    vm::GUEST_HOST_NAME.path(),
    vm::GUEST_IP_ADDRESS.path(),
    vm::TOOLS_RUNNING_STATUS.path(),
    vm::ANNOTATION.path(),
];

impl Vms {
    /// Those that are not off, by name, in one request.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// for vm in client.vms(&["web-01".to_owned()]).await.running().await? {
    ///     println!("{} runs since {:?}", vm.name, vm.booted);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors.
    pub async fn running(&self) -> Result<Vec<Running>> {
        let Some(first) = self.found().next() else { return Ok(Vec::new()) };
        let references = self.found().map(|vm| vm.reference().clone());
        let mut running = Vec::new();
        for content in find::details(first.client(), references, &READ).await? {
            let name = label(&content);
            let id = content.obj.value;
            let mut values = Values::new(content.prop_set, content.missing_set);
            let state: VirtualMachinePowerState = optional(&mut values, vm::POWER_STATE.path()).unwrap_or_default();
            if state == VirtualMachinePowerState::PoweredOff {
                continue;
            }
            let stats: Option<VirtualMachineQuickStats> = optional(&mut values, vm::QUICK_STATS.path());
            let tools: Option<String> = optional(&mut values, vm::TOOLS_RUNNING_STATUS.path());
            let booted: Option<DateTime> = optional(&mut values, vm::BOOT_TIME.path());
            let on = state == VirtualMachinePowerState::PoweredOn;
            running.push(Running {
                name,
                id,
                power_state: state,
                uptime_seconds: stats.and_then(|stats| stats.uptime_seconds).filter(|_| on),
                booted: booted.map(|time| format_date_time(&time)),
                guest_os: optional(&mut values, vm::GUEST_FULL_NAME.path()).map(String::into),
                guest_host_name: optional(&mut values, vm::GUEST_HOST_NAME.path()).map(String::into),
                ip: optional::<String>(&mut values, vm::GUEST_IP_ADDRESS.path()).and_then(untrusted::address),
                annotation: optional::<String>(&mut values, vm::ANNOTATION.path())
                    .filter(|note| !note.is_empty())
                    .map(Untrusted::from),
                clean_shutdown: on && tools_run(tools.as_deref()),
            });
        }
        running.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(running)
    }
}

/// Whether VMware Tools run, going by the property `guest.toolsRunningStatus`. While they execute scripts they listen, too.
pub(crate) fn tools_run(status: Option<&str>) -> bool {
    use VirtualMachineToolsRunningStatus::{GuestToolsExecutingScripts, GuestToolsRunning};
    [GuestToolsRunning, GuestToolsExecutingScripts].iter().any(|running| status == Some(running.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_execute_scripts_run() {
        for (status, run) in [
            (Some("guestToolsRunning"), true),
            (Some("guestToolsExecutingScripts"), true),
            (Some("guestToolsNotRunning"), false),
            (None, false),
        ] {
            assert_eq!(tools_run(status), run, "{status:?}");
        }
    }
}
