//! Virtual machines.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vsphere_ops::vm::{self, VmQuery};

use crate::{
    Server, Spec, Toolset,
    answer::Answer,
    arguments::{Parameters, page_size},
    cx::Cx,
    error::Result,
    tools::targets::OneVm,
};

#[tool_router(router = vm_tools, vis = "pub(crate)")]
impl Server {
    /// List virtual machines with power state, CPUs, memory, guest OS, host and IP address. Use it to find a machine, or to
    /// see many at once; get_vm_info has the details of one.
    #[tool(
        meta = Spec::reads(Toolset::Vm).meta(),
        annotations(title = "List virtual machines", read_only_hint = true)
    )]
    async fn list_vms(&self, Parameters(args): Parameters<ListVms>, cx: Cx) -> Result<Answer> {
        let query = VmQuery {
            filter: args.filter,
            power_state: args.power_state.map(|state| state.name().to_owned()),
            folder: args.folder,
            host: args.host,
            cluster: args.cluster,
            limit: page_size(args.limit)?,
            cursor: cx.cursor(args.cursor)?,
        };
        cx.page(&cx.list_machines(&query).await?, args.fields)
    }

    /// Get everything about one virtual machine: hardware, guest, disks, network adapters, datastores, host, UUIDs,
    /// annotation, VMware Tools, number of snapshots and inventory path.
    #[tool(
        meta = Spec::reads(Toolset::Vm).meta(),
        annotations(title = "Get a virtual machine's details", read_only_hint = true)
    )]
    async fn get_vm_info(&self, Parameters(args): Parameters<OneVm>, cx: Cx) -> Result<Answer> {
        Answer::object(&vm::info(&cx.client().await?, &args.vm).await?)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListVms {
    /// Only machines in this state.
    power_state: Option<PowerState>,
    /// Only in this folder and below.
    #[serde(alias = "folder_name")]
    folder: Option<String>,
    /// Only on this host.
    #[serde(alias = "host_name")]
    host: Option<String>,
    /// Only of this cluster.
    #[serde(alias = "cluster_name")]
    cluster: Option<String>,
    /// Glob on the name: web-*.
    filter: Option<String>,
    /// Only these fields of each machine.
    fields: Option<Vec<VmField>>,
    /// Machines in one answer; 50 by default.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// The next_cursor of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PowerState {
    #[serde(alias = "poweredOn", alias = "on")]
    PoweredOn,
    #[serde(alias = "poweredOff", alias = "off")]
    PoweredOff,
    Suspended,
}

impl PowerState {
    fn name(self) -> &'static str {
        match self {
            Self::PoweredOn => "powered_on",
            Self::PoweredOff => "powered_off",
            Self::Suspended => "suspended",
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum VmField {
    Name,
    Id,
    PowerState,
    Cpu,
    MemoryMb,
    GuestOs,
    Host,
    Ip,
}
