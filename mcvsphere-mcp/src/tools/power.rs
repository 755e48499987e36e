//! Power states. Several VMs are done in parallel, with a report each.

use std::time::Duration;

use vsphere_ops::{
    power::{PowerChange, PowerOperation, Running},
    several,
    types::VirtualMachinePowerState::PoweredOn,
};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::adds("power_on_vm", Power, PowerOps, "Power on VMs", power_on_vm)
            .about(
                "Power on one or several VMs, or resume suspended ones, and wait until vSphere is done. The guest \
                 OS needs longer to boot.",
            )
            .needs(&["VirtualMachine.Interact.PowerOn"])
            .formerly(&["power_on"])
            .idempotent(),
        Tool::changes("power_off_vm", Power, PowerOps, "Power off VMs", power_off_vm)
            .about(
                "Power off one or several VMs at once, like pulling the plug, and wait until vSphere is done. The \
                 guest OS does not shut down cleanly: unsaved data is lost.",
            )
            .needs(&["VirtualMachine.Interact.PowerOff"])
            .formerly(&["power_off"])
            .idempotent()
            .asks(),
        Tool::changes("shutdown_guest", Power, PowerOps, "Shut down guest OSes", shutdown_guest)
            .about(
                "Shut down guest OSes cleanly by VMware Tools and wait until they are off; those that take longer \
                 are `pending`.",
            )
            .long()
            .needs(&["VirtualMachine.Interact.PowerOff"])
            .idempotent()
            .asks(),
        Tool::changes("reboot_guest", Power, PowerOps, "Reboot guest OSes", reboot_guest)
            .about(
                "Restart guest OSes cleanly by VMware Tools. Returns once they accept; wait_for_vm_tools waits \
                 until they are up.",
            )
            .needs(&["VirtualMachine.Interact.Reset"])
            .asks(),
        Tool::changes("standby_guest", Power, PowerOps, "Put guest OSes to sleep", standby_guest)
            .about("Put guest OSes to sleep by VMware Tools. Returns once they accept.")
            .needs(&["VirtualMachine.Interact.Suspend"])
            .idempotent()
            .asks(),
        Tool::changes("suspend_vm", Power, PowerOps, "Suspend VMs", suspend_vm)
            .about("Suspend VMs; power_on_vm resumes them.")
            .long()
            .needs(&["VirtualMachine.Interact.Suspend"])
            .idempotent()
            .asks(),
        Tool::changes("reset_vm", Power, PowerOps, "Reset VMs", reset_vm)
            .about(
                "Reset VMs at once, losing unsaved data. Prefer reboot_guest unless the guest OS \
                 hangs.",
            )
            .needs(&["VirtualMachine.Interact.Reset"])
            .asks(),
    ]
}

async fn power_on_vm(args: Vms, cx: Cx) -> Result<Batch<PowerChange>> {
    let vms = cx.agreed_vms("Power on", &args.names()?).await?;
    power(&cx, &vms, PowerOperation::On).await
}

async fn power_off_vm(args: Vms, cx: Cx) -> Result<Batch<PowerChange>> {
    let vms = agreed(&cx, &args.names()?, &Ending::POWER_OFF).await?;
    power(&cx, &vms, PowerOperation::Off).await
}

async fn shutdown_guest(args: ShutdownGuest, cx: Cx) -> Result<Batch<PowerChange>> {
    let limit = args.timeout()?;
    cx.may_take(limit);
    let vms = agreed(&cx, &args.vms.names()?, &Ending::SHUT_DOWN).await?;
    Ok(Batch(vms.each(|vm| async move { vm.shut_down_guest(limit).await }).await))
}

async fn reboot_guest(args: Vms, cx: Cx) -> Result<Batch<PowerChange>> {
    let vms = agreed(&cx, &args.names()?, &Ending::REBOOT).await?;
    Ok(Batch(vms.each(|vm| async move { vm.restart_guest().await }).await))
}

async fn standby_guest(args: Vms, cx: Cx) -> Result<Batch<PowerChange>> {
    let vms = agreed(&cx, &args.names()?, &Ending::STANDBY).await?;
    Ok(Batch(vms.each(|vm| async move { vm.put_guest_to_sleep().await }).await))
}

async fn suspend_vm(args: Vms, cx: Cx) -> Result<Batch<PowerChange>> {
    let vms = agreed(&cx, &args.names()?, &Ending::SUSPEND).await?;
    power(&cx, &vms, PowerOperation::Suspend).await
}

async fn reset_vm(args: Vms, cx: Cx) -> Result<Batch<PowerChange>> {
    let vms = agreed(&cx, &args.names()?, &Ending::RESET).await?;
    power(&cx, &vms, PowerOperation::Reset).await
}

async fn power(cx: &Cx, vms: &several::Vms, operation: PowerOperation) -> Result<Batch<PowerChange>> {
    cx.expect_tasks(vms.len());
    Ok(Batch(vms.each(|vm| async move { vm.power(operation).await }).await))
}

/// The VMs on which this ends something, once the user has agreed: the very ones that they were shown.
async fn agreed(cx: &Cx, names: &[String], ending: &Ending) -> Result<several::Vms> {
    let client = cx.client().await?;
    cx.agreed(|| async {
        let vms = client.vms(names).await;
        cx.at_most(vms.len())?;
        let running = if cx.asks() { vms.running().await? } else { Vec::new() };
        let ids: Vec<&str> = vms.found().map(|vm| vm.id()).collect();
        let preview = preview(running, ending)?.bind(ids)?;
        Ok((vms, preview))
    })
    .await
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ShutdownGuest {
    #[serde(flatten)]
    vms: Vms,
    /// Longest wait; 120 by default.
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

/// How what runs on VMs ends.
struct Ending {
    /// The question, up to the VMs and after them.
    question: (&'static str, &'static str),
    /// Whether it would end what runs on this VM; else the operation itself says why not.
    ends: fn(&Running) -> bool,
    /// What the guest could do in its place.
    gentler: Option<&'static str>,
    /// Whether what runs goes on later where it was: one VM is not asked about, since that is easily undone.
    resumable: bool,
}

impl Ending {
    const POWER_OFF: Self =
        Self { gentler: Some("shut down cleanly"), ..Self::new(("Power off", ", like pulling the plug?"), |_| true) };
    const RESET: Self = Self {
        gentler: Some("restart cleanly"),
        ..Self::new(("Reset", ", like the button on a case?"), |vm| vm.power_state == PoweredOn)
    };
    const SHUT_DOWN: Self = Self::new(("Shut down the guest OS of", "?"), |vm| vm.clean_shutdown);
    const REBOOT: Self = Self::new(("Restart the guest OS of", "?"), |vm| vm.clean_shutdown);
    const STANDBY: Self =
        Self { resumable: true, ..Self::new(("Put the guest OS of", " to sleep?"), |vm| vm.clean_shutdown) };
    const SUSPEND: Self = Self {
        resumable: true,
        ..Self::new(("Suspend", "? What runs there stops, and goes on where it was when resumed."), |vm| {
            vm.power_state == PoweredOn
        })
    };

    const fn new(question: (&'static str, &'static str), ends: fn(&Running) -> bool) -> Self {
        Self { question, ends, gentler: None, resumable: false }
    }
}

/// What this would end: the VMs that run.
fn preview(mut running: Vec<Running>, ending: &Ending) -> Result<Preview> {
    running.retain(ending.ends);
    let target = match running.as_slice() {
        [only] => quoted(&only.name),
        several => format!("{} virtual machines", several.len()),
    };
    let (verb, rest) = ending.question;
    let mut preview = Preview::new(format!("{verb} {target}{rest}"));
    let clean = running.iter().filter(|vm| vm.clean_shutdown).count();
    if let Some(gentler) = ending.gentler.filter(|_| clean > 0) {
        preview = preview.note(match running.len() {
            1 => format!("VMware Tools run in it: it could {gentler} instead."),
            _ => format!("VMware Tools run in {clean} of them, which could {gentler} instead."),
        });
    }
    if ending.resumable && running.len() < 2 {
        preview = preview.harmless();
    }
    running.iter().try_fold(preview, Preview::object)
}
