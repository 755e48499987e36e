//! What is wrong in the inventory, and with which tool to go on.

use serde::Serialize;
use vsphere_ops::{
    Gaps,
    diagnosis::{Attention, Capacity, Chore, ChoreKind, Finding, Hygiene, Problem, Workload},
    managed::ClusterComputeResource,
};

use super::prelude::*;

/// How many findings are shown when nothing is said, and at most.
const USUAL: usize = 25;
const MOST: usize = 500;

/// How many objects of a chore are shown when nothing is said.
const USUAL_ITEMS: usize = 10;

/// More than the largest VM has, and than a cluster has VMs.
const MOST_VMS: i64 = 100_000;
const MOST_CPUS: i64 = 1024;
const MOST_GIB: f64 = 65_536.0;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("get_attention", Monitoring, "Get what needs attention", get_attention).about(
            "Find what needs somebody now in the whole inventory, worst first: failing hosts, full datastores, alarms, old \
                 snapshots, failed tasks and more. Each finding names a tool to go on with.",
        ),
        Tool::reads("get_hygiene", Monitoring, "Get what could be tidied", get_hygiene).long().about(
            "Find what could be tidied in the whole inventory, by kind, with the bytes that it gives back. orphaned_files \
                 takes minutes.",
        ),
        Tool::reads("get_cluster_capacity", Monitoring, "Get a cluster's capacity", get_cluster_capacity).about(
            "Get what a cluster has, uses, reserves and keeps free for HA, and whether VMs of a size fit, by each rule, once \
                 hosts have failed.",
        ),
    ]
}

async fn get_attention(args: GetAttention, cx: Cx) -> Result<Object<AttentionReport>> {
    let limit = in_range("limit", args.limit, USUAL, MOST)?;
    let Attention { critical, warnings, notices, mut findings, gaps } = cx.client().await?.attention().await?;
    let not_shown = findings.len().saturating_sub(limit);
    findings.truncate(limit);
    let findings = findings.into_iter().map(|finding| Row { tool: next(&finding.problem, &cx), finding }).collect();
    Ok(Object(AttentionReport { critical, warnings, notices, findings, not_shown, gaps }))
}

async fn get_hygiene(args: GetHygiene, cx: Cx) -> Result<Object<HygieneReport>> {
    let limit = in_range("limit", args.limit, USUAL_ITEMS, MOST)?;
    let orphans = args.orphaned_files.unwrap_or(false);
    let Hygiene { chores, gaps } = cx.client().await?.hygiene(orphans).await?;
    let wanted = |chore: &Chore| args.kind.is_none_or(|kind| kind == chore.kind);
    let row = |mut chore: Chore| {
        let objects = chore.items.len();
        chore.items.truncate(limit);
        ChoreRow { objects, not_shown: objects - chore.items.len(), tool: tidies(chore.kind, &cx), chore }
    };
    Ok(Object(HygieneReport { chores: chores.into_iter().filter(wanted).map(row).collect(), gaps }))
}

/// The tool that tidies, where this caller may call it.
fn tidies(kind: ChoreKind, cx: &Cx) -> Option<&'static str> {
    offered(
        match kind {
            ChoreKind::OldSnapshots => "delete_snapshot",
            ChoreKind::PoweredOff => "delete_vm",
            ChoreKind::OrphanedFiles => "delete_datastore_file",
            ChoreKind::ToolsMissing | ChoreKind::ToolsOld => "get_vm_tools_status",
            ChoreKind::NoNetwork => "add_nic",
            ChoreKind::Idle => "get_vm_stats",
            ChoreKind::Consolidation | ChoreKind::HardwareOld => return None,
        },
        cx,
    )
}

fn offered(tool: &'static str, cx: &Cx) -> Option<&'static str> {
    cx.server.may_call(tool, &cx.call.visit).then_some(tool)
}

async fn get_cluster_capacity(args: GetCapacity, cx: Cx) -> Result<Object<Capacity>> {
    let workload = match (args.vms, args.cpu, args.memory_gb) {
        (None, None, None) => None,
        (vms, cpus @ Some(_), Some(memory_gb)) => Some(Workload {
            vms: in_range("vms", vms, 1, MOST_VMS)?,
            cpus: in_range("cpu", cpus, 1, MOST_CPUS)?,
            memory_bytes: bytes(memory_gb)?,
        }),
        _ => {
            let text = "`cpu` and `memory_gb` of each VM are needed to say how many fit";
            return Err(ToolError::invalid_argument(text));
        }
    };
    let cluster = cx.client().await?.get::<ClusterComputeResource>(&args.cluster).await?;
    Ok(Object(cluster.capacity(workload, args.host_failures).await?))
}

fn bytes(gib: f64) -> Result<i64> {
    match gib.is_finite() && gib > 0.0 && gib <= MOST_GIB {
        #[allow(clippy::cast_possible_truncation, reason = "it is in the range")]
        true => Ok(((gib * 1024.0).ceil() as i64) << 20),
        false => {
            Err(ToolError::invalid_argument(format!("`memory_gb` is {gib}, but must be above 0, {MOST_GIB} at most")))
        }
    }
}

/// The tool that mends such a problem, or tells more of it, where this caller may call it.
fn next(problem: &Problem, cx: &Cx) -> Option<&'static str> {
    let tool = match problem {
        Problem::HostUnreachable { .. } => "get_host_info",
        Problem::DatastoreInaccessible { .. } => "get_datastore_info",
        Problem::DatastoreFull { .. } => "browse_datastore",
        Problem::StoragePaths { .. } | Problem::Hardware { .. } => "get_host_hardware",
        Problem::Uplinks { .. } => "get_host_networking",
        Problem::VmUnavailable { .. } => "get_vm_info",
        Problem::Question { .. } => "answer_vm_question",
        Problem::Alarm { .. } => "list_recent_events",
        Problem::Maintenance { .. } => "exit_maintenance_mode",
        Problem::Quarantine { .. } => "enter_maintenance_mode",
        Problem::Clock { service_running: false, .. } => "start_service",
        Problem::Clock { .. } => "configure_ntp",
        Problem::SnapshotLarge { .. } | Problem::SnapshotOld { .. } => "delete_snapshot",
        Problem::TaskFailed { .. } => "list_recent_tasks",
        Problem::DatastoreOvercommitted { .. } => "storage_vmotion",
        _ => return None,
    };
    offered(tool, cx)
}

#[derive(Debug, Deserialize, JsonSchema)]
struct GetHygiene {
    /// Only this.
    kind: Option<ChoreKind>,
    /// Objects of each kind; 10 by default.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// Also disk files that no VM uses.
    orphaned_files: Option<bool>,
}

/// What could be tidied.
#[derive(Debug, Serialize, JsonSchema)]
struct HygieneReport {
    /// By what there is to do.
    chores: Vec<ChoreRow>,
    /// What was not looked at, and why.
    #[serde(flatten)]
    gaps: Gaps,
}

/// Objects of which the same is to be done.
#[derive(Debug, Serialize, JsonSchema)]
struct ChoreRow {
    /// How many there are.
    objects: usize,
    /// How many of them are not shown.
    not_shown: usize,
    /// The tool to go on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'static str>,
    #[serde(flatten)]
    chore: Chore,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct GetAttention {
    /// Findings to show; 25 by default.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct GetCapacity {
    cluster: ClusterName,
    /// How many are to fit; 1 by default.
    vms: Option<i64>,
    /// vCPUs of each.
    cpu: Option<i64>,
    /// Of each.
    memory_gb: Option<f64>,
    /// Hosts that fail; by default as HA is set up.
    host_failures: Option<usize>,
}

/// What needs somebody now.
#[derive(Debug, Serialize, JsonSchema)]
struct AttentionReport {
    /// How many findings are critical.
    critical: usize,
    /// How many are warnings.
    warnings: usize,
    /// How many are notices.
    notices: usize,
    /// The findings, the worst first.
    findings: Vec<Row>,
    /// How many more there are.
    not_shown: usize,
    /// What was not looked at, and why.
    #[serde(flatten)]
    gaps: Gaps,
}

/// A finding.
#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    #[serde(flatten)]
    finding: Finding,
    /// The tool to go on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'static str>,
}
