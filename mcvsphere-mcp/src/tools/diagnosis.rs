//! What is wrong in the inventory, and with which tool to go on.

use chrono::{TimeDelta, Utc};
use serde::Serialize;
use vsphere_ops::{
    Gaps, MissingPart, Untrusted,
    diagnosis::{
        Attention, Capacity, Chore, ChoreKind, Contention, Deed, Finding, Hygiene, Investigation, Problem, Story,
        Subject, Workload,
    },
    managed::{ClusterComputeResource, ManagedEntity},
    moment,
};

use super::prelude::*;
use crate::audit::{About, report::since};

/// How many findings are shown when nothing is said, and at most.
const USUAL: usize = 25;
const MOST: usize = 500;

/// How many lines of a timeline are shown when nothing is said, and at most.
const USUAL_LINES: usize = 10;
const MOST_LINES: usize = 20;

/// How many deeds are told when nothing is said, and at most; and since when.
const USUAL_DEEDS: usize = 20;
const MOST_DEEDS: usize = 1000;
const USUAL_TIME: TimeDelta = TimeDelta::days(1);

/// What tells of the calls to this server, and what they are called where they are missing.
const RECORD: &str = "mcvsphere";
const CALLS: &str = "calls to this server";

/// The most characters of a call's arguments.
const LONGEST: usize = 200;

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
        Tool::reads("investigate", Monitoring, "Investigate an object", investigate).about(
            "Find what ails a VM, host, datastore or cluster: what it lacks of CPU, memory, storage and network by the counters \
                 of the last hour and day, the VMs that take it, limits, snapshots, Tools, alarms, what was changed before \
                 it began, and its timeline. Each finding names a tool to go on with.",
        ),
        Tool::reads("who_changed", Monitoring, "Get who changed an object", who_changed).about(
            "Tell who did what to an object and all below it, newest first: tasks and events with old and new values, and \
                 the calls to this server that name it.",
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
    let findings = findings.into_iter().map(|finding| Row { tool: next(&finding, &cx), finding }).collect();
    Ok(Object(AttentionReport { critical, warnings, notices, findings, not_shown, gaps }))
}

async fn investigate(args: Investigate, cx: Cx) -> Result<Object<InvestigationReport>> {
    let limit = in_range("limit", args.limit, USUAL, MOST)?;
    let lines = in_range("timeline", args.timeline, USUAL_LINES, MOST_LINES)?;
    let object = cx.client().await?.get::<ManagedEntity>(&args.object).await?;
    let Investigation { object, time, mut findings, changes_before, mut timeline, mut older, gaps } =
        object.investigate().await?;
    let not_shown = findings.len().saturating_sub(limit);
    findings.truncate(limit);
    older += timeline.len().saturating_sub(lines);
    timeline.truncate(lines);
    let findings = findings.into_iter().map(|finding| Row { tool: next(&finding, &cx), finding }).collect();
    let timeline_tool = if older > 0 { offered("list_recent_events", &cx) } else { None };
    Ok(Object(InvestigationReport {
        object,
        time,
        findings,
        not_shown,
        changes_before,
        timeline,
        older,
        timeline_tool,
        gaps,
    }))
}

async fn who_changed(args: WhoChanged, cx: Cx) -> Result<Object<Story>> {
    let count = in_range("count", args.count, USUAL_DEEDS, MOST_DEEDS)?;
    let client = cx.client().await?;
    let object = client.get::<ManagedEntity>(&args.object).await?;
    // The clock of the server, and that of this computer.
    let offset = client.clock_offset().await?;
    let ours = match &args.since {
        Some(text) => since(text.trim())
            .map_err(|what| ToolError::invalid_argument(format!("`since` is {}, but {what}", quoted(text))))?,
        None => Utc::now() - USUAL_TIME,
    };
    // A date and a time are the server's; what is past is so by either clock.
    let theirs =
        if args.since.as_deref().is_some_and(|text| moment(text.trim()).is_some()) { ours } else { ours + offset };
    let mut story = object.who_changed(theirs.fixed_offset(), MOST_DEEDS).await?;
    let caller = &cx.call.visit.caller;
    // What others did through this server is not for callers whom a policy bounds.
    let only = cx.server.catalog().binds(caller).then(|| caller.identity().clone());
    let names = vec![object.label().to_owned(), object.id().to_owned()];
    let is_bound = only.is_some();
    let (calls, gap) = cx.server.audit().calls(About { names, since: theirs - offset, only }).await;
    story.add(calls.into_iter().map(|call| {
        let mut deed = Deed::of_record(RECORD, (call.time + offset).fixed_offset(), &call.tool);
        deed.user = Some(call.who);
        deed.outcome = call.outcome;
        deed.message = Some(Untrusted::from(call.arguments).cut(LONGEST));
        deed
    }));
    story.cut(count);
    let of_others = is_bound.then(|| "a policy bounds what you see: others' calls are left out".to_owned());
    let missing = |why: String| MissingPart { what: CALLS.to_owned(), why };
    story.gaps.missing.extend(of_others.into_iter().chain(gap).map(missing));
    Ok(Object(story))
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
            ChoreKind::Oversized => "reconfigure_vm",
            ChoreKind::IsoLeft => "detach_iso",
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
fn next(finding: &Finding, cx: &Cx) -> Option<&'static str> {
    let is_host = finding.object.kind == "HostSystem";
    let tool = match &finding.problem {
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
        Problem::Contention { of, .. } => match of {
            Contention::CpuReady | Contention::SwappingIn | Contention::Ballooning => "migrate_vm",
            Contention::CpuLimit => "get_vm_info",
            Contention::CpuCostop => "reconfigure_vm",
            Contention::CpuFull | Contention::MemoryFull if is_host => "migrate_vm",
            Contention::CpuFull | Contention::MemoryFull => "reconfigure_vm",
            Contention::StorageLatency => "storage_vmotion",
            Contention::PacketsDropped if is_host => "get_host_networking",
            Contention::PacketsDropped => "get_vm_stats",
            _ => return None,
        },
        Problem::Restricted { .. } => "get_vm_info",
        Problem::ToolsNotRunning { .. } => "get_vm_tools_status",
        _ => return None,
    };
    offered(tool, cx)
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Investigate {
    /// VM, host, datastore or cluster.
    object: String,
    /// Findings to show; 25 by default.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// Lines of the timeline; 10 by default.
    #[schemars(range(min = 1, max = 20))]
    timeline: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct WhoChanged {
    /// Any object.
    object: String,
    /// Time, date, or 24h, 7d; 24h by default.
    since: Option<String>,
    /// 20 by default.
    #[schemars(range(min = 1, max = 1000))]
    count: Option<usize>,
}

/// What ails an object.
#[derive(Debug, Serialize, JsonSchema)]
struct InvestigationReport {
    /// What was looked at.
    object: Subject,
    /// When by the server's clock.
    time: String,
    /// The findings, the worst first.
    findings: Vec<Row>,
    /// How many more there are.
    not_shown: usize,
    /// What was changed within two hours before contention began, the last first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes_before: Vec<Deed>,
    /// Tasks and events of the last day, newest first.
    timeline: Vec<Deed>,
    /// How many older ones are not shown.
    older: usize,
    /// The tool that lists them.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline_tool: Option<&'static str>,
    /// What was not looked at, and why.
    #[serde(flatten)]
    gaps: Gaps,
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
