//! Power states. Several machines are done in parallel, with a report each.

use rmcp::{RoleServer, service::RequestContext, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use vsphere_ops::power::{self, Progress};

use crate::{
    Permission, Server, ToolError, Toolset, answer::Answer, arguments::Parameters, error::Result, progress::Reporter,
    tool_meta,
};

#[tool_router(router = power_tools, vis = "pub(crate)")]
impl Server {
    /// Power on one or several virtual machines, or resume suspended ones, and wait until vSphere has done it. The guest OS
    /// needs longer to be up.
    #[tool(
        meta = tool_meta(Toolset::Power, Permission::PowerOps, &["power_on"]),
        annotations(title = "Power on virtual machines", destructive_hint = false, idempotent_hint = true)
    )]
    async fn power_on_vm(
        &self,
        Parameters(args): Parameters<VmTargets>,
        context: RequestContext<RoleServer>,
    ) -> Result<Answer> {
        let vms = args.vms()?;
        let reporter = Reporter::new(&context, vms.len());
        let reports = power::on(self.vsphere().client().await?, &vms, &told(&reporter)).await;
        reporter.finish().await;
        Answer::reports(&reports)
    }

    /// Power off one or several virtual machines at once, like pulling the plug, and wait until vSphere has done it. The
    /// guest OS does not shut down cleanly: unsaved data is lost.
    #[tool(
        meta = tool_meta(Toolset::Power, Permission::PowerOps, &["power_off"]),
        annotations(title = "Power off virtual machines", destructive_hint = true, idempotent_hint = true)
    )]
    async fn power_off_vm(
        &self,
        Parameters(args): Parameters<VmTargets>,
        context: RequestContext<RoleServer>,
    ) -> Result<Answer> {
        let vms = args.vms()?;
        let reporter = Reporter::new(&context, vms.len());
        let reports = power::off(self.vsphere().client().await?, &vms, &told(&reporter)).await;
        reporter.finish().await;
        Answer::reports(&reports)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VmTargets {
    /// One virtual machine: name, inventory path (/DC0/vm/prod/web-1) or id (vm-42).
    #[serde(alias = "name", alias = "vm_name")]
    vm: Option<String>,
    /// Several at once, each by name, path or id.
    #[serde(alias = "names", alias = "vm_names")]
    vms: Option<Vec<String>>,
}

impl VmTargets {
    fn vms(self) -> Result<Vec<String>> {
        let mut vms = self.vms.unwrap_or_default();
        vms.extend(self.vm);
        if vms.is_empty() {
            return Err(ToolError::invalid_argument("`vm` or `vms` is needed: which machines?"));
        }
        Ok(vms)
    }
}

/// What the operation tells of each machine, passed on to the client.
fn told(reporter: &Reporter) -> impl Fn(Progress) + Send + Sync {
    |progress| reporter.report(&progress.vm, f64::from(progress.percent))
}
