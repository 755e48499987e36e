//! VMs.

use vsphere_ops::{
    types::VirtualMachinePowerState,
    vm::{VmInfo, VmQuery, VmSummary},
};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_vms", Vm, "List VMs", list_vms).about(
            "List VMs with power state, CPUs, memory, guest OS, host and IP address. Use it to find a VM or to \
                 see many at once; get_vm_info has the details of one.",
        ),
        Tool::reads("get_vm_info", Vm, "Get a VM's details", get_vm_info).about(
            "Get everything about one VM: hardware, guest, disks, network adapters, datastores, \
                 host, UUIDs, annotation, VMware Tools, number of snapshots and inventory path.",
        ),
    ]
}

async fn list_vms(args: ListVms, cx: Cx) -> Result<Listed<VmSummary>> {
    let (page, fields) = args.paging.open(&cx)?;
    // They are read only where somebody wants them.
    let notes = fields.iter().flatten().any(|field| field == "annotation" || field == "custom_attributes");
    let query = VmQuery {
        page,
        notes,
        power_state: args.power_state.map(Into::into),
        folder: args.folder,
        host: args.host,
        cluster: args.cluster,
        tag: args.tag.map(Into::into),
    };
    Ok(cx.page(cx.list_machines(&query).await?, fields))
}

async fn get_vm_info(args: OneVm, cx: Cx) -> Result<Object<VmInfo>> {
    Ok(Object(args.vm.find(&cx).await?.info().await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListVms {
    /// Only VMs in this state.
    power_state: Option<PowerState>,
    /// Only in this folder and below.
    folder: Option<String>,
    /// Only on this host.
    host: Option<String>,
    /// Only of this cluster.
    cluster: Option<String>,
    tag: Option<TagName>,
    #[serde(flatten)]
    paging: Paging<VmSummary, true>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PowerState {
    PoweredOn,
    PoweredOff,
    Suspended,
}

impl From<PowerState> for VirtualMachinePowerState {
    fn from(state: PowerState) -> Self {
        match state {
            PowerState::PoweredOn => Self::PoweredOn,
            PowerState::PoweredOff => Self::PoweredOff,
            PowerState::Suspended => Self::Suspended,
        }
    }
}
