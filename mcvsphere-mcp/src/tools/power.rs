//! Power states. Several machines are done in parallel, with a report each.

use rmcp::{tool, tool_router};
use serde_json::json;
use vsphere_ops::{Client, power};

use crate::{
    Permission, Server, Toolset, answer::Answer, arguments::Parameters, confirm::Preview, cx::Cx, error::Result, needs,
    tool_meta, tools::targets::VmTargets,
};

#[tool_router(router = power_tools, vis = "pub(crate)")]
impl Server {
    /// Power on one or several virtual machines, or resume suspended ones, and wait until vSphere has done it. The guest OS
    /// needs longer to be up.
    #[tool(
        meta = needs(
            tool_meta(Toolset::Power, Permission::PowerOps, &["power_on"]),
            &["VirtualMachine.Interact.PowerOn"]
        ),
        annotations(title = "Power on virtual machines", destructive_hint = false, idempotent_hint = true)
    )]
    async fn power_on_vm(&self, Parameters(args): Parameters<VmTargets>, cx: Cx) -> Result<Answer> {
        let vms = args.vms()?;
        cx.expect_tasks(vms.len());
        Answer::reports(&power::on(&cx.client().await?, &vms, &|_| ()).await)
    }

    /// Power off one or several virtual machines at once, like pulling the plug, and wait until vSphere has done it. The
    /// guest OS does not shut down cleanly: unsaved data is lost.
    #[tool(
        meta = needs(
            tool_meta(Toolset::Power, Permission::PowerOps, &["power_off"]),
            &["VirtualMachine.Interact.PowerOff"]
        ),
        annotations(title = "Power off virtual machines", destructive_hint = true, idempotent_hint = true)
    )]
    async fn power_off_vm(&self, Parameters(args): Parameters<VmTargets>, cx: Cx) -> Result<Answer> {
        let vms = args.vms()?;
        let client = cx.client().await?;
        cx.confirm(|| power_off_preview(&client, &vms)).await?;
        cx.expect_tasks(vms.len());
        Answer::reports(&power::off(&client, &vms, &|_| ()).await)
    }
}

/// What powering these machines off would end: those of them that run.
async fn power_off_preview(client: &Client, vms: &[String]) -> Result<Preview> {
    let running = power::running(client, vms).await?;
    let question = match running.as_slice() {
        [only] => format!("Power off {}, like pulling the plug?", only.name),
        several => format!("Power off {} virtual machines, like pulling the plug?", several.len()),
    };
    let mut preview = Preview::new(question);
    match running.iter().filter(|vm| vm.clean_shutdown).count() {
        0 => {}
        1 if running.len() == 1 => {
            preview = preview.note("VMware Tools run in it: it could shut down cleanly instead.")
        }
        some => {
            let note = format!("VMware Tools run in {some} of them, which could shut down cleanly instead.");
            preview = preview.note(note);
        }
    }
    running.iter().try_fold(preview, |preview, vm| preview.object(vm, json!([vm.id, vm.power_state, vm.booted])))
}
