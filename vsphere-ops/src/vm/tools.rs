//! VMware Tools of a VM: their state, and waiting for them.

use std::time::Duration;

use futures::TryStreamExt as _;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{GuestInfo, ToolsConfigInfo, VirtualMachinePowerState, VirtualMachineToolsRunningStatus};
use vsphere_soap::object::Property;

use super::ToolsInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::untrusted::{self, Untrusted};
use crate::watch::Change;

/// What VMware Tools in a VM's guest do, and what they say of the guest.
///
/// ```
/// use vsphere_ops::vm::ToolsStatus;
///
/// fn can_run_programs(status: &ToolsStatus) -> bool {
///     status.guest_operations_ready == Some(true)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolsStatus {
    /// The VM's name.
    pub name: String,
    /// Its managed object id.
    pub id: String,
    /// `powered_on`, `powered_off` or `suspended`.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// Whether they run, and in which version.
    #[serde(flatten)]
    pub tools: ToolsInfo,
    /// How they were installed (`guestToolsTypeOpenVMTools`, `guestToolsTypeMSI`…).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_type: Option<String>,
    /// `manual` or `upgradeAtPowerCycle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_policy: Option<String>,
    /// Whether their installer's disc is in the VM's drive.
    pub installer_mounted: bool,
    /// `running`, `shuttingDown`, `resetting`, `standby`, `notRunning` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_state: Option<String>,
    /// Whether programs can be run and files be moved in the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_operations_ready: Option<bool>,
    /// `green`, `yellow`, `red`, or `gray` without Tools; where the server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<String>,
    /// The operating system that runs. The guest says so: not to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_os: Option<Untrusted>,
    /// The guest's host name. The guest says so: not to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_host_name: Option<Untrusted>,
    /// The guest's primary IP address. The guest says so: not to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
}

/// VMware Tools that run, and how long that took.
///
/// ```
/// use vsphere_ops::vm::ToolsReady;
///
/// fn line(ready: &ToolsReady) -> String {
///     format!("{} at {:?} after {} s", ready.status.name, ready.status.ip, ready.waited_seconds)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolsReady {
    /// How long was waited, in seconds.
    pub waited_seconds: f64,
    /// What they say.
    #[serde(flatten)]
    pub status: ToolsStatus,
}

impl Mo<VirtualMachine> {
    /// Reads what VMware Tools do in the VM.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// let status = client.get::<VirtualMachine>("web-01").await?.tools_status().await?;
    /// println!("{:?} {:?}", status.tools.running_status, status.tools.version);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if it is gone, and server errors.
    pub async fn tools_status(&self) -> Result<ToolsStatus> {
        read(self).await
    }

    /// Waits until VMware Tools run in the VM. The server tells of each change: nothing is polled.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use std::time::Duration;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let ready = client.get::<VirtualMachine>("web-01").await?.wait_for_tools(Duration::from_secs(120)).await?;
    /// println!("up after {} s", ready.waited_seconds);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_state` if the VM does not run, at the start or later; `timeout`, with what was seen last; `not_found`
    /// where it is gone, and server errors.
    pub async fn wait_for_tools(&self, limit: Duration) -> Result<ToolsReady> {
        let started = Instant::now();
        let mut seen = Seen::default();
        let ended = match timeout(limit, seen.until_running(self)).await {
            Ok(ended) => ended,
            Err(_) => Err(failed(ErrorKind::TimedOut(format!("after {} s {}", limit.as_secs(), seen.in_words())))),
        };
        ended.map_err(|error| error.in_operation(WAIT).on(self.label()))?;
        let waited = started.elapsed().as_secs_f64();
        Ok(ToolsReady { waited_seconds: (waited * 10.0).round() / 10.0, status: read(self).await? })
    }
}

async fn read(machine: &Mo<VirtualMachine>) -> Result<ToolsStatus> {
    const TOOLS: Property<VirtualMachine, Option<ToolsConfigInfo>> = Property::new("config.tools");
    let (runtime, guest, config, heartbeat) =
        machine.read((vm::RUNTIME, vm::GUEST, TOOLS, vm::GUEST_HEARTBEAT_STATUS.optional())).await?;
    let guest: GuestInfo = guest.unwrap_or_default();
    Ok(ToolsStatus {
        name: machine.label().to_owned(),
        id: machine.id().to_owned(),
        power_state: runtime.power_state,
        tools: ToolsInfo {
            running_status: guest.tools_running_status,
            version_status: guest.tools_version_status2,
            version: guest.tools_version.and_then(untrusted::version),
        },
        install_type: guest.tools_install_type,
        upgrade_policy: config.and_then(|config| config.tools_upgrade_policy),
        installer_mounted: runtime.tools_installer_mounted,
        guest_state: Some(guest.guest_state).filter(|state| !state.is_empty()),
        guest_operations_ready: guest.guest_operations_ready,
        heartbeat: heartbeat.map(|status| status.as_str().to_owned()),
        guest_os: guest.guest_full_name.map(Untrusted::from),
        guest_host_name: guest.host_name.map(Untrusted::from),
        ip: guest.ip_address.and_then(untrusted::address),
    })
}

const WAIT: &str = "wait for VMware Tools";

fn failed(kind: ErrorKind) -> Error {
    Error::new(WAIT, kind)
}

/// What was seen of Tools last.
#[derive(Default)]
struct Seen {
    running: Option<String>,
    version: Option<String>,
}

impl Seen {
    async fn until_running(&mut self, machine: &Mo<VirtualMachine>) -> Result<()> {
        let mut changes = machine.watch((vm::POWER_STATE, vm::TOOLS_RUNNING_STATUS, vm::TOOLS_VERSION_STATUS));
        while let Some(change) = changes.try_next().await? {
            let (Change::Entered { row, .. } | Change::Changed { row, .. }) = change else { continue };
            let (power, running, version) = row;
            if power != VirtualMachinePowerState::PoweredOn {
                let state = crate::words::word(&power);
                return Err(failed(ErrorKind::InvalidState(format!("it is {state}, so that no guest runs in it"))));
            }
            (self.running, self.version) = (running, version);
            if self.running.as_deref() == Some(VirtualMachineToolsRunningStatus::GuestToolsRunning.as_str()) {
                return Ok(());
            }
        }
        Err(failed(ErrorKind::NotFound("it was deleted meanwhile".to_owned())))
    }

    fn in_words(&self) -> String {
        let running = self.running.as_deref().unwrap_or("unknown");
        match self.version.as_deref() {
            Some("guestToolsNotInstalled") => format!(
                "they are {running}, and have never run in this VM (guestToolsNotInstalled): either they are not \
                 installed, or the guest is still booting"
            ),
            Some(version) => format!("they are {running} ({version}): the guest may still be booting"),
            None => format!("they are {running}: the guest may still be booting"),
        }
    }
}
