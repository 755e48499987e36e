//! Power states. Several VMs are done in parallel, with a report each.

use std::time::Duration;

use vsphere_ops::{
    power::{PowerChange, PowerOperation, Running},
    several,
    types::VirtualMachinePowerState::{self, PoweredOff, PoweredOn, Suspended},
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
        let preview = ending.preview(running, &vms)?.bind(ids)?;
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
    /// The state afterwards, where a VM that is in it already is let be.
    after: Option<After>,
    /// Whether the guest is asked, by VMware Tools.
    asks_guest: bool,
    /// What the guest could do in its place.
    gentler: Option<&'static str>,
    /// Whether what runs goes on later where it was: one VM is not asked about, since that is easily undone.
    resumable: bool,
}

/// The state that a VM is left in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Off,
    Suspended,
}

/// What becomes of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// What runs on it ends.
    Ends,
    /// It is so already.
    Already,
    /// The server refuses, and why.
    Fails(&'static str),
}

impl Ending {
    const POWER_OFF: Self = Self {
        after: Some(After::Off),
        gentler: Some("shut down cleanly"),
        ..Self::new("Power off", ", like pulling the plug?")
    };
    const RESET: Self = Self { gentler: Some("restart cleanly"), ..Self::new("Reset", ", like the button on a case?") };
    const SHUT_DOWN: Self =
        Self { after: Some(After::Off), asks_guest: true, ..Self::new("Shut down the guest OS of", "?") };
    const REBOOT: Self = Self { asks_guest: true, ..Self::new("Restart the guest OS of", "?") };
    const STANDBY: Self = Self {
        after: Some(After::Suspended),
        asks_guest: true,
        resumable: true,
        ..Self::new("Put the guest OS of", " to sleep?")
    };
    const SUSPEND: Self = Self {
        after: Some(After::Suspended),
        resumable: true,
        ..Self::new("Suspend", "? What runs there stops, and goes on where it was when resumed.")
    };

    const fn new(verb: &'static str, rest: &'static str) -> Self {
        Self { question: (verb, rest), after: None, asks_guest: false, gentler: None, resumable: false }
    }

    /// What becomes of a VM in this state, in which VMware Tools run or not.
    fn outlook(&self, state: &VirtualMachinePowerState, tools_run: bool) -> Outlook {
        match state {
            PoweredOff if self.after == Some(After::Off) => Outlook::Already,
            Suspended if self.after == Some(After::Suspended) => Outlook::Already,
            PoweredOn if self.asks_guest && !tools_run => Outlook::Fails("VMware Tools do not run in it"),
            PoweredOn => Outlook::Ends,
            Suspended if self.after == Some(After::Off) && !self.asks_guest => Outlook::Ends,
            Suspended => Outlook::Fails("it is suspended"),
            _ => Outlook::Fails("it is powered off"),
        }
    }

    /// What this would end, what is so already, and what will fail.
    fn preview(&self, mut running: Vec<Running>, vms: &several::Vms) -> Result<Preview> {
        let (mut already, mut failing) = (Vec::new(), Vec::new());
        for vm in vms.found() {
            let known = running.iter().find(|running| running.id == vm.id());
            let outlook = match known {
                Some(running) => self.outlook(&running.power_state, running.clean_shutdown),
                None => self.outlook(&PoweredOff, false),
            };
            match outlook {
                Outlook::Ends => {}
                Outlook::Already => already.push(quoted(vm.label())),
                Outlook::Fails(why) => failing.push(format!("{}: {why}", quoted(vm.label()))),
            }
        }
        failing.extend(vms.missing().map(|(what, error)| format!("{}: {error}", quoted(what))));
        running.retain(|vm| self.outlook(&vm.power_state, vm.clean_shutdown) == Outlook::Ends);
        let target = match running.as_slice() {
            [only] => quoted(&only.name),
            several => format!("{} virtual machines", several.len()),
        };
        let (verb, rest) = self.question;
        let mut preview = Preview::new(format!("{verb} {target}{rest}"));
        let clean = running.iter().filter(|vm| vm.clean_shutdown).count();
        if let Some(gentler) = self.gentler.filter(|_| clean > 0) {
            preview = preview.note(match running.len() {
                1 => format!("VMware Tools run in it: it could {gentler} instead."),
                _ => format!("VMware Tools run in {clean} of them, which could {gentler} instead."),
            });
        }
        if !already.is_empty() {
            preview = preview.note(format!("Already so: {}.", already.join(", ")));
        }
        if !failing.is_empty() {
            preview = preview.note(format!("Will fail: {}.", failing.join("; ")));
        }
        if self.resumable && running.len() < 2 {
            preview = preview.harmless();
        }
        running.iter().try_fold(preview, Preview::object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_a_vm_is_told_by_its_state_and_its_tools() {
        use Outlook::{Already, Ends, Fails};
        let (off, suspended) = (Fails("it is powered off"), Fails("it is suspended"));
        let no_tools = Fails("VMware Tools do not run in it");
        // On with Tools, on without, suspended, off.
        for (ending, expected) in [
            (Ending::POWER_OFF, [Ends, Ends, Ends, Already]),
            (Ending::RESET, [Ends, Ends, suspended, off]),
            (Ending::SHUT_DOWN, [Ends, no_tools, suspended, Already]),
            (Ending::REBOOT, [Ends, no_tools, suspended, off]),
            (Ending::STANDBY, [Ends, no_tools, Already, off]),
            (Ending::SUSPEND, [Ends, Ends, Already, off]),
        ] {
            let outlook = [(PoweredOn, true), (PoweredOn, false), (Suspended, false), (PoweredOff, false)]
                .map(|(state, tools)| ending.outlook(&state, tools));
            assert_eq!(outlook, expected, "{}", ending.question.0);
        }
    }
}
