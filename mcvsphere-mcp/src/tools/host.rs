//! Hosts: what they are, maintenance mode, restart and shutdown.

use std::time::Duration;

use serde::Serialize;
use vsphere_ops::host::{
    self, Down, GoingDown, HostHardware, HostInfo, HostNetworking, HostQuery, HostState, HostSummary, Maintenance,
    MaintenanceChange, MaintenancePlan, VsanMode, WentDown,
};

use super::prelude::*;

/// How long a change of maintenance mode may take when nothing is said, and at most, in seconds.
const USUAL_TIME: u64 = 3600;
const LONGEST_TIME: u64 = 86_400;

const MAINTENANCE: &[&str] = &["Host.Config.Maintenance"];

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_hosts", Hosts, "List hosts", list_hosts).about(
            "List the ESXi hosts with their state, cluster, version and hardware. Use it to find a host, or \
                 to see which are disconnected or in maintenance mode. More `fields`: build, cpu_model, cpu_sockets, \
                 cpu_usage_percent, memory_usage_percent, boot_time, ntp_servers, evc, path, tags.",
        ),
        Tool::reads("get_host_info", Hosts, "Get a host's details", get_host_info)
            .about("Get a host's state, version, cluster, VM counts, datastores, addresses and pending reboot."),
        Tool::reads("get_host_hardware", Hosts, "Get a host's hardware", get_host_hardware)
            .about("Get a host's model, serial number, CPU, memory, adapters, PCI devices."),
        Tool::reads("get_host_networking", Hosts, "Get a host's networking", get_host_networking)
            .about("Get a host's switches, port groups, vmkernel adapters, DNS, NICs and their links."),
        Tool::changes("enter_maintenance_mode", Hosts, HostAdmin, "Enter maintenance mode", enter_maintenance_mode)
            .about("Put a host into maintenance mode. DRS alone moves running VMs.")
            .needs(MAINTENANCE)
            .asks()
            .idempotent()
            .long(),
        Tool::adds("exit_maintenance_mode", Hosts, HostAdmin, "Exit maintenance mode", exit_maintenance_mode)
            .about("End a host's maintenance mode.")
            .needs(MAINTENANCE)
            .idempotent()
            .long(),
        Tool::changes("reboot_host", Hosts, HostAdmin, "Restart a host", reboot_host)
            .about("Restart a host in maintenance mode.")
            .needs(MAINTENANCE)
            .asks(),
        Tool::changes("shutdown_host", Hosts, HostAdmin, "Shut down a host", shutdown_host)
            .about("Shut down a host in maintenance mode; vCenter can't switch it on.")
            .needs(MAINTENANCE)
            .asks(),
    ]
}

async fn list_hosts(args: ListHosts, cx: Cx) -> Result<Either<Listed<HostSummary>, Object<Groups>>> {
    let (page, fields) = args.paging.open(&cx)?;
    let count_vms = fields.as_ref().is_none_or(|fields| fields.iter().any(|field| field == "vms"));
    let Asked { find, conditions, order, columns, group_by } = args.asking.of(&fields)?;
    let (cluster, state) = (args.cluster, args.state);
    let query = HostQuery { page, cluster, state, find, conditions, order, columns, count_vms };
    let client = cx.client().await?;
    match group_by {
        Some(column) => Ok(Either::Other(Object(host::groups(&client, &query, column).await?))),
        None => Ok(Either::One(cx.page(host::list(&client, &query).await?, fields))),
    }
}

async fn get_host_info(args: OneHost, cx: Cx) -> Result<Object<HostInfo>> {
    Ok(Object(args.find(&cx).await?.info().await?))
}

async fn get_host_hardware(args: OneHost, cx: Cx) -> Result<Object<HostHardware>> {
    Ok(Object(args.find(&cx).await?.hardware().await?))
}

async fn get_host_networking(args: OneHost, cx: Cx) -> Result<Object<HostNetworking>> {
    Ok(Object(args.find(&cx).await?.networking().await?))
}

async fn enter_maintenance_mode(args: EnterMaintenance, cx: Cx) -> Result<Object<Entered>> {
    let seconds = in_range("timeout_seconds", args.timeout_seconds, USUAL_TIME, LONGEST_TIME)?;
    cx.may_take(Duration::from_secs(seconds));
    let mut how = Maintenance::default();
    if let Some(evacuate) = args.evacuate_powered_off {
        how = how.evacuate_powered_off(evacuate);
    }
    if let Some(mode) = args.vsan_mode {
        how = how.vsan(mode);
    }
    let plan = cx.agreed(|| async {
        let plan = args.host.find(&cx).await?.maintenance(&how).await?;
        let preview = shown_maintenance(&plan, seconds)?;
        Ok((plan, preview))
    });
    let change = plan.await?.carry_out(Duration::from_secs(seconds)).await?;
    // An older name of the argument promised to move all VMs.
    Ok(Object(Entered { change, note: args.evacuate_powered_off.map(|_| MOVED_BY_DRS) }))
}

const MOVED_BY_DRS: &str = "running VMs are moved by DRS alone; evacuate_powered_off is about those that are off";

fn shown_maintenance(plan: &MaintenancePlan, seconds: u64) -> Result<Preview> {
    let preview = Preview::new(format!("Put {} into maintenance mode?", quoted(&plan.host)));
    if plan.maintenance_mode {
        return Ok(preview);
    }
    let mut preview = preview.object(plan)?;
    if plan.blockers.is_empty() && plan.moved_by_drs.is_empty() && plan.vsan_mode.is_none() {
        preview = preview.harmless();
    }
    if !plan.moved_by_drs.is_empty() {
        preview = preview.note(format!("DRS moves {} VMs to other hosts.", plan.moved_by_drs.len()));
    }
    for vm in &plan.blockers {
        preview = preview.note(format!("Nothing moves {vm}."));
    }
    if !plan.blockers.is_empty() {
        let text = format!(
            "The host waits for these VMs for {seconds} s, and then goes on as before: move or power off each of them."
        );
        preview = preview.note(text);
    }
    if plan.vsan_mode == Some(VsanMode::NoAction) {
        preview = preview.note("Objects of vSAN may be inaccessible until the host is back.");
    }
    Ok(preview)
}

async fn exit_maintenance_mode(args: ExitMaintenance, cx: Cx) -> Result<Object<MaintenanceChange>> {
    let seconds = in_range("timeout_seconds", args.timeout_seconds, USUAL_TIME, LONGEST_TIME)?;
    cx.may_take(Duration::from_secs(seconds));
    let host = cx.agreed(|| async {
        let host = args.host.find(&cx).await?;
        let question = format!("End the maintenance mode of {}?", quoted(host.label()));
        let preview = Preview::new(question).object(Shown { name: host.label(), id: host.id() })?.harmless();
        Ok((host, preview))
    });
    Ok(Object(host.await?.exit_maintenance(Duration::from_secs(seconds)).await?))
}

async fn reboot_host(args: GoDown, cx: Cx) -> Result<Object<WentDown>> {
    go_down(Down::Reboot, args, cx).await
}

async fn shutdown_host(args: GoDown, cx: Cx) -> Result<Object<WentDown>> {
    go_down(Down::Shutdown, args, cx).await
}

async fn go_down(action: Down, args: GoDown, cx: Cx) -> Result<Object<WentDown>> {
    let plan = cx.agreed(|| async {
        let plan = args.host.find(&cx).await?.going_down(action, args.force.unwrap_or(false)).await?;
        let preview = shown_down(&plan)?;
        Ok((plan, preview))
    });
    Ok(Object(plan.await?.carry_out().await?))
}

fn shown_down(plan: &GoingDown) -> Result<Preview> {
    let (host, vms) = (quoted(&plan.host), plan.running_vms.len());
    let does = match plan.action {
        Down::Reboot => "Restart",
        Down::Shutdown => "SHUT DOWN",
    };
    let hit = if vms > 0 { format!(" and END {vms} running VMs as a power failure does") } else { String::new() };
    let preview = Preview::new(format!("{does} {host}{hit}?"));
    if plan.is_off {
        return Ok(preview);
    }
    let preview = preview.object(plan)?;
    Ok(match plan.action {
        Down::Reboot => preview.note("It is away for some minutes."),
        Down::Shutdown => preview.note("It stays off until somebody switches it on at the machine or its controller."),
    })
}

/// A host in maintenance mode.
#[derive(Debug, Serialize, JsonSchema)]
struct Entered {
    #[serde(flatten)]
    change: MaintenanceChange,
    /// What an argument does not do.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// What a change of a host that loses nothing is shown as.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    id: &'a str,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListHosts {
    /// Only hosts of this cluster.
    cluster: Option<String>,
    /// Only hosts in this state.
    state: Option<HostState>,
    #[serde(flatten)]
    asking: Asking,
    #[serde(flatten)]
    paging: Paging<HostSummary>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct EnterMaintenance {
    #[serde(flatten)]
    host: OneHost,
    /// VMs that are off leave too; true with DRS.
    evacuate_powered_off: Option<bool>,
    /// 3600 by default.
    #[schemars(range(min = 1, max = 86_400))]
    timeout_seconds: Option<u64>,
    /// For the host's vSAN data.
    vsan_mode: Option<VsanMode>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ExitMaintenance {
    #[serde(flatten)]
    host: OneHost,
    /// 3600 by default.
    #[schemars(range(min = 1, max = 86_400))]
    timeout_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct GoDown {
    #[serde(flatten)]
    host: OneHost,
    /// Also outside maintenance mode; ends running VMs.
    force: Option<bool>,
}
