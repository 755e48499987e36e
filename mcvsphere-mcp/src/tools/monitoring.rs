//! Measurements, the state of VMware Tools, alarms and events.

use std::time::Duration;

use chrono::TimeDelta;
use vsphere_ops::{
    alarms::{self, AlarmQuery, TriggeredAlarm},
    events::{self, EventQuery, RecentEvents, Recursion},
    managed::ManagedEntity,
    moment,
    stats::{HostStats, VmStats},
    types::DateTime,
    vm::{ToolsReady, ToolsStatus},
};

use super::prelude::*;

/// How long VMware Tools are waited for when nothing is said, and at most, in seconds.
const USUAL_WAIT: u64 = 120;
const LONGEST_WAIT: u64 = 3600;

/// The hours that events are looked for in when nothing is said, and at most: a year.
const USUAL_HOURS: u64 = 24;
const MOST_HOURS: u64 = 24 * 366;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("get_vm_stats", Monitoring, "Get a VM's statistics", get_vm_stats).about(
            "Get what a VM uses now: CPU and memory by quick stats, some seconds old, and in `realtime` the host's \
                 measurements of the last 5 minutes (CPU ready, ballooned and swapped memory, disk latency, network). \
                 What the server does not measure is left out.",
        ),
        Tool::reads("get_host_stats", Monitoring, "Get a host's statistics", get_host_stats).about(
            "Get what a host uses now: CPU and memory by quick stats, some seconds old, and in `realtime` its \
                 measurements of the last 5 minutes (CPU ready, ballooned and swapped memory, storage latency, network).",
        ),
        Tool::reads("wait_for_vm_tools", Monitoring, "Wait for VMware Tools", wait_for_vm_tools).long().about(
            "Wait until VMware Tools run in a VM, as after power_on_vm. Returns their version and, as the guest \
                 reports them, host name and IP address.",
        ),
        Tool::reads("get_vm_tools_status", Monitoring, "Get the state of VMware Tools", get_vm_tools_status).about(
            "Get the state of VMware Tools in a VM: running or not, version, how installed, whether guest \
                 operations work, and what they report of the guest.",
        ),
        Tool::reads("get_alarms", Monitoring, "Get triggered alarms", get_alarms).about(
            "List triggered alarms, worst and newest first, of the whole inventory or of one object and all \
                 below it, acknowledged ones included.",
        ),
        Tool::reads("get_recent_events", Monitoring, "Get recent events", get_recent_events).about(
            "List the newest events of the whole inventory, without routine logins. list_recent_events has the \
                 filters.",
        ),
        Tool::reads("list_recent_events", Monitoring, "List recent events", list_recent_events).about(
            "List events, newest first: what happened, when, to what, by whom, and what a reconfiguration \
                 changed. An entity's events include those of all below it.",
        ),
    ]
}

async fn get_vm_stats(args: OneVm, cx: Cx) -> Result<Object<VmStats>> {
    Ok(Object(args.vm.find(&cx).await?.stats().await?))
}

async fn get_host_stats(args: OneHost, cx: Cx) -> Result<Object<HostStats>> {
    Ok(Object(args.find(&cx).await?.stats().await?))
}

async fn wait_for_vm_tools(args: WaitForTools, cx: Cx) -> Result<Object<ToolsReady>> {
    let patience = Duration::from_secs(in_range("timeout", args.timeout, USUAL_WAIT, LONGEST_WAIT)?);
    cx.may_take(patience);
    Ok(Object(args.vm.find(&cx).await?.wait_for_tools(patience).await?))
}

async fn get_vm_tools_status(args: OneVm, cx: Cx) -> Result<Object<ToolsStatus>> {
    Ok(Object(args.vm.find(&cx).await?.tools_status().await?))
}

async fn get_alarms(args: GetAlarms, cx: Cx) -> Result<Listed<TriggeredAlarm>> {
    let (page, fields) = args.paging.open(&cx)?;
    let query = AlarmQuery { entity: args.entity, page };
    Ok(cx.page(alarms::list(&cx.client().await?, &query).await?, fields))
}

async fn get_recent_events(args: GetRecentEvents, cx: Cx) -> Result<Object<RecentEvents>> {
    let count = in_range("count", args.count, 50, 1000)?;
    let hours = in_range("hours", args.hours, USUAL_HOURS, MOST_HOURS)?;
    let events = cx.client().await?.events().last(Duration::from_secs(hours * 3600));
    Ok(Object(events.without_logins().report(count).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct WaitForTools {
    vm: VmName,
    /// Seconds; 120 by default.
    #[schemars(range(min = 1, max = 3600))]
    timeout: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct GetAlarms {
    /// Only of this object and below.
    entity: Option<String>,
    #[serde(flatten)]
    paging: Paging<TriggeredAlarm>,
}

async fn list_recent_events(args: ListRecentEvents, cx: Cx) -> Result<Object<RecentEvents>> {
    let count = in_range("max_count", args.max_count, 50, 1000)?;
    let span = args.span()?;
    let types = args.event_types.iter().flatten().map(|name| events::types_named(name));
    let types = types.collect::<vsphere_ops::Result<Vec<_>>>()?.concat();
    let client = cx.client().await?;
    let mut events = span.of(client.events());
    if let Some(entity) = &args.entity {
        events = events.entity(client.get::<ManagedEntity>(entity).await?.reference(), Recursion::All);
    }
    if !types.is_empty() {
        events = events.types(types);
    }
    if let Some(user) = args.user {
        events = events.users([user]);
    }
    if !args.include_logins.unwrap_or(false) {
        events = events.without_logins();
    }
    if let Some(text) = &args.text {
        events = events.containing(text);
    }
    Ok(Object(events.report(count).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListRecentEvents {
    /// 50 by default.
    max_count: Option<usize>,
    /// VmPoweredOn, esx.problem.…
    event_types: Option<Vec<String>>,
    /// 24 by default.
    hours_back: Option<u64>,
    /// Time or date.
    since: Option<String>,
    /// Time or date.
    until: Option<String>,
    /// Object.
    entity: Option<String>,
    /// DOMAIN\\name
    user: Option<String>,
    /// In the message.
    text: Option<String>,
    /// Routine logins and logouts too.
    include_logins: Option<bool>,
}

impl ListRecentEvents {
    /// When the events happened that are asked for.
    ///
    /// # Errors
    /// `invalid_argument` for what is no time, and for times that exclude each other.
    fn span(&self) -> Result<Span> {
        let hours = in_range("hours_back", self.hours_back, USUAL_HOURS, MOST_HOURS)?;
        let back = Duration::from_secs(hours * 3600);
        let until = self.until.as_deref().map(|until| time("until", until)).transpose()?;
        let since = self.since.as_deref().map(|since| time("since", since)).transpose()?;
        if since.is_some() && self.hours_back.is_some() {
            return Err(ToolError::invalid_argument("`since` and `hours_back` exclude each other: give one"));
        }
        let since = since.or_else(|| until?.checked_sub_signed(TimeDelta::from_std(back).ok()?));
        match (since, until) {
            (Some(since), Some(until)) if since > until => {
                Err(ToolError::invalid_argument("`since` is after `until`: exchange them"))
            }
            (Some(since), until) => Ok(Span::Between(since, until)),
            (None, _) => Ok(Span::Last(back)),
        }
    }
}

/// A time of the server's clock.
fn time(argument: &str, text: &str) -> Result<DateTime> {
    let is_none =
        || format!("`{argument}` is {}, but must be a time or a date: 2027-03-01T10:00:00Z, 2027-03-01", quoted(text));
    Ok(moment(text.trim()).ok_or_else(|| ToolError::invalid_argument(is_none()))?.fixed_offset())
}

/// When events happened.
enum Span {
    Last(Duration),
    Between(DateTime, Option<DateTime>),
}

impl Span {
    fn of(self, events: EventQuery) -> EventQuery {
        match self {
            Self::Last(time) => events.last(time),
            Self::Between(since, None) => events.since(since),
            Self::Between(since, Some(until)) => events.since(since).until(until),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct GetRecentEvents {
    /// How many; 50 by default.
    #[schemars(range(min = 1, max = 1000))]
    count: Option<usize>,
    /// How far back; 24 by default.
    #[schemars(range(min = 1, max = 8784))]
    hours: Option<u64>,
}
