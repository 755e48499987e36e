//! VMs.

use vsphere_ops::{
    columns::{Column as _, Condition, Groups},
    types::VirtualMachinePowerState,
    vm::{VmColumn, VmInfo, VmQuery, VmSummary},
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
    let query = VmQuery {
        page,
        power_state: args.power_state.map(Into::into),
        folder: args.folder,
        host: args.host,
        cluster: args.cluster,
        tag: args.tag.map(Into::into),
        find: args.find,
        conditions: parsed(args.conditions)?,
        order: args.sort.map(|sort| sort.parse()).transpose()?,
        // They are read only where somebody wants them.
        columns: fields.iter().flatten().filter_map(|field| VmColumn::named(field).ok()).collect(),
    };
    match args.group_by {
        Some(column) => Ok(Either::Other(Object(cx.group_machines(&query, VmColumn::named(&column)?).await?))),
        None => Ok(Either::One(cx.page(cx.list_machines(&query).await?, fields))),
    }
}

fn parsed(conditions: Option<Vec<String>>) -> Result<Vec<Condition<VmColumn>>> {
    let conditions = conditions.into_iter().flatten().map(|text| text.parse());
    Ok(conditions.collect::<vsphere_ops::Result<_>>()?)
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
    /// Text in name, IP, MAC, host name, UUID or annotation.
    find: Option<String>,
    /// Conditions on fields, all of which hold: cpu>=8, guest_os=*windows*, annotation= (none), used_bytes>1TB,
    /// oldest_snapshot_days>3.
    #[serde(rename = "where")]
    conditions: Option<Vec<String>>,
    /// A field; - before it for the largest first.
    sort: Option<String>,
    /// Count and sum by a field instead: cluster, host, folder, guest_os, tags…
    group_by: Option<String>,
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
