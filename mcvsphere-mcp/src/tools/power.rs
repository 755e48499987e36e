//! Power states. Several machines are done in parallel, with a report each.

use std::time::Duration;

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use vsphere_ops::{
    Client,
    power::{self, Running},
};

use crate::{
    Permission, Server, Spec, ToolError, Toolset, answer::Answer, arguments::Parameters, confirm::Preview, cx::Cx,
    error::Result, text::quoted, tools::targets::VmTargets,
};

#[tool_router(router = power_tools, vis = "pub(crate)")]
impl Server {
    /// Power on one or several virtual machines, or resume suspended ones, and wait until vSphere has done it. The guest OS
    /// needs longer to be up.
    #[tool(
        meta = Spec::changes(Toolset::Power, Permission::PowerOps, &[
            "VirtualMachine.Interact.PowerOn",
        ])
        .formerly(&["power_on"])
        .meta(),
        annotations(title = "Power on virtual machines", destructive_hint = false, idempotent_hint = true)
    )]
    async fn power_on_vm(&self, Parameters(args): Parameters<VmTargets>, cx: Cx) -> Result<Answer> {
        let vms = args.vms()?;
        let client = cx.client().await?;
        cx.confirm_change(&client, "Power on", &vms).await?;
        cx.expect_tasks(vms.len());
        Answer::reports(&power::on(&client, &vms, &|_| ()).await)
    }

    /// Power off one or several virtual machines at once, like pulling the plug, and wait until vSphere has done it. The
    /// guest OS does not shut down cleanly: unsaved data is lost.
    #[tool(
        meta = Spec::changes(Toolset::Power, Permission::PowerOps, &[
            "VirtualMachine.Interact.PowerOff",
        ])
        .formerly(&["power_off"])
        .asks()
        .meta(),
        annotations(title = "Power off virtual machines", destructive_hint = true, idempotent_hint = true)
    )]
    async fn power_off_vm(&self, Parameters(args): Parameters<VmTargets>, cx: Cx) -> Result<Answer> {
        let vms = args.vms()?;
        let client = cx.client().await?;
        cx.confirm(|| preview(&client, &vms, Ending::PowerOff)).await?;
        cx.expect_tasks(vms.len());
        Answer::reports(&power::off(&client, &vms, &|_| ()).await)
    }

    /// Shut down guest OSes cleanly by VMware Tools and wait until they are off; those that take longer are `pending`.
    #[tool(
        meta = Spec::changes(Toolset::Power, Permission::PowerOps, &["VirtualMachine.Interact.PowerOff"]).asks().meta(),
        annotations(title = "Shut down guest OSes", destructive_hint = true, idempotent_hint = true)
    )]
    async fn shutdown_guest(&self, Parameters(args): Parameters<ShutdownGuest>, cx: Cx) -> Result<Answer> {
        let limit = args.timeout()?;
        let vms = VmTargets { vm: args.vm, vms: args.vms }.vms()?;
        let client = cx.client().await?;
        cx.confirm(|| preview(&client, &vms, Ending::ShutDown)).await?;
        Answer::reports(&power::shutdown_guest(&client, &vms, limit).await)
    }

    /// Restart guest OSes cleanly by VMware Tools. Returns once they accept; wait_for_vm_tools tells when they are up.
    #[tool(
        meta = Spec::changes(Toolset::Power, Permission::PowerOps, &["VirtualMachine.Interact.Reset"]).asks().meta(),
        annotations(title = "Reboot guest OSes", destructive_hint = true, idempotent_hint = false)
    )]
    async fn reboot_guest(&self, Parameters(args): Parameters<VmTargets>, cx: Cx) -> Result<Answer> {
        let vms = args.vms()?;
        let client = cx.client().await?;
        cx.confirm(|| preview(&client, &vms, Ending::Reboot)).await?;
        Answer::reports(&power::reboot_guest(&client, &vms).await)
    }

    /// Put guest OSes to sleep by VMware Tools. Returns once they accept.
    #[tool(
        meta = Spec::changes(Toolset::Power, Permission::PowerOps, &["VirtualMachine.Interact.Suspend"]).asks().meta(),
        annotations(title = "Put guest OSes to sleep", destructive_hint = true, idempotent_hint = true)
    )]
    async fn standby_guest(&self, Parameters(args): Parameters<VmTargets>, cx: Cx) -> Result<Answer> {
        let vms = args.vms()?;
        let client = cx.client().await?;
        cx.confirm(|| preview(&client, &vms, Ending::Standby)).await?;
        Answer::reports(&power::standby_guest(&client, &vms).await)
    }

    /// Suspend virtual machines; power_on_vm resumes them where they were.
    #[tool(
        meta = Spec::changes(Toolset::Power, Permission::PowerOps, &["VirtualMachine.Interact.Suspend"]).asks().meta(),
        annotations(title = "Suspend virtual machines", destructive_hint = true, idempotent_hint = true)
    )]
    async fn suspend_vm(&self, Parameters(args): Parameters<VmTargets>, cx: Cx) -> Result<Answer> {
        let vms = args.vms()?;
        let client = cx.client().await?;
        cx.confirm(|| preview(&client, &vms, Ending::Suspend)).await?;
        cx.expect_tasks(vms.len());
        Answer::reports(&power::suspend(&client, &vms, &|_| ()).await)
    }

    /// Reset virtual machines at once, losing unsaved data. Prefer reboot_guest unless the guest OS hangs.
    #[tool(
        meta = Spec::changes(Toolset::Power, Permission::PowerOps, &["VirtualMachine.Interact.Reset"]).asks().meta(),
        annotations(title = "Reset virtual machines", destructive_hint = true, idempotent_hint = false)
    )]
    async fn reset_vm(&self, Parameters(args): Parameters<VmTargets>, cx: Cx) -> Result<Answer> {
        let vms = args.vms()?;
        let client = cx.client().await?;
        cx.confirm(|| preview(&client, &vms, Ending::Reset)).await?;
        cx.expect_tasks(vms.len());
        Answer::reports(&power::reset(&client, &vms, &|_| ()).await)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShutdownGuest {
    /// One virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: Option<String>,
    /// Several at once.
    #[serde(alias = "names", alias = "vm_names")]
    vms: Option<Vec<String>>,
    /// Longest wait, 120 by default.
    timeout_seconds: Option<u64>,
}

impl ShutdownGuest {
    fn timeout(&self) -> Result<Duration> {
        match self.timeout_seconds.unwrap_or(120) {
            seconds @ 0..=3600 => Ok(Duration::from_secs(seconds)),
            more => {
                let text = format!("`timeout_seconds` is {more}, but must be from 0 to 3600");
                Err(ToolError::invalid_argument(text))
            }
        }
    }
}

/// How what runs on a machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    PowerOff,
    Reset,
    ShutDown,
    Reboot,
    Standby,
    Suspend,
}

impl Ending {
    /// Whether it would end what runs on this machine; else the operation itself says why not.
    fn ends(self, vm: &Running) -> bool {
        match self {
            Self::PowerOff => true,
            Self::Reset | Self::Suspend => vm.power_state == "powered_on",
            Self::ShutDown | Self::Reboot | Self::Standby => vm.clean_shutdown,
        }
    }

    fn question(self, target: &str) -> String {
        match self {
            Self::PowerOff => format!("Power off {target}, like pulling the plug?"),
            Self::Reset => format!("Reset {target}, like the button on a case?"),
            Self::ShutDown => format!("Shut down the guest OS of {target}?"),
            Self::Reboot => format!("Restart the guest OS of {target}?"),
            Self::Standby => format!("Put the guest OS of {target} to sleep?"),
            Self::Suspend => format!("Suspend {target}? What runs there stops, and goes on where it was when resumed."),
        }
    }

    /// Whether what runs goes on later where it was: one machine is not asked about, since that is easily undone.
    fn can_be_resumed(self) -> bool {
        matches!(self, Self::Standby | Self::Suspend)
    }

    /// What the guest could do in its place.
    fn gentler(self) -> Option<&'static str> {
        match self {
            Self::PowerOff => Some("shut down cleanly"),
            Self::Reset => Some("restart cleanly"),
            Self::ShutDown | Self::Reboot | Self::Standby | Self::Suspend => None,
        }
    }
}

/// What this would end: the machines that run.
async fn preview(client: &Client, vms: &[String], ending: Ending) -> Result<Preview> {
    let mut running = power::running(client, vms).await?;
    running.retain(|vm| ending.ends(vm));
    let mut preview = Preview::new(match running.as_slice() {
        [only] => ending.question(&quoted(&only.name)),
        several => ending.question(&format!("{} virtual machines", several.len())),
    });
    let clean = running.iter().filter(|vm| vm.clean_shutdown).count();
    if let Some(gentler) = ending.gentler().filter(|_| clean > 0) {
        preview = preview.note(match running.len() {
            1 => format!("VMware Tools run in it: it could {gentler} instead."),
            _ => format!("VMware Tools run in {clean} of them, which could {gentler} instead."),
        });
    }
    if ending.can_be_resumed() && running.len() < 2 {
        preview = preview.harmless();
    }
    running.iter().try_fold(preview, Preview::object)
}
