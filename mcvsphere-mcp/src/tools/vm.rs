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
            "List VMs with power state, CPUs, memory, guest OS, host and IP address, and with `fields` much else of \
                 many at once. It also finds, filters, sorts, counts and sums them; get_vm_info has the details of one.",
        ),
        Tool::reads("get_vm_info", Vm, "Get a VM's details", get_vm_info).about(
            "Get everything about one VM: hardware, guest, disks, network adapters, CD drives, datastores, host, pool, \
                 reservations and limits, UUIDs, annotation, VMware Tools, number of snapshots, pending question, who \
                 manages it, and inventory path. What is unset or usual is absent.",
        ),
    ]
}

async fn list_vms(args: ListVms, cx: Cx) -> Result<Either<Listed<VmSummary>, Object<Groups>>> {
    let (page, fields) = args.paging.open(&cx)?;
    let Asked { find, conditions, order, columns, group_by } = args.asking.of(&fields)?;
    let query = VmQuery {
        page,
        power_state: args.power_state.map(Into::into),
        folder: args.folder,
        host: args.host,
        cluster: args.cluster,
        tag: args.tag.map(Into::into),
        find,
        conditions,
        order,
        columns,
    };
    match group_by {
        Some(column) => Ok(Either::Other(Object(cx.group_machines(&query, column).await?))),
        None => Ok(Either::One(cx.page(cx.list_machines(&query).await?, fields))),
    }
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
    asking: Asking,
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
