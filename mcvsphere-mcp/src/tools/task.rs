//! Tasks of vSphere, and calls that were handed over.

use std::{sync::Arc, time::Duration};

use rmcp::model::{CallToolResponse, CallToolResult};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};
use vsphere_ops::{
    Untrusted,
    events::Recursion,
    managed::ManagedEntity,
    task::{CancelOutcome, RecentTasks, TaskReport},
    types::TaskInfoState,
};

use super::prelude::*;
use crate::jobs::{Job, NoJob};

/// How long a task is waited for when nothing is said, and at most, in seconds.
const USUAL_WAIT: u64 = 50;
const LONGEST_WAIT: u64 = 3600;

/// The most hours that tasks are looked for in: a year.
const MOST_HOURS: u64 = 24 * 366;

/// How long a job that is told to stop is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_recent_tasks", Tasks, "List recent tasks", list_recent_tasks)
            .about("List vSphere tasks of all users, newest first.")
            .formerly(&["get_recent_tasks"]),
        Tool::reads("wait_task", Tasks, "Wait for a task", wait_task).about(
            "Wait for the end of a task or job of any session. Returns its result, or `pending` and the percentage.",
        ),
        Tool::changes("cancel_task", Tasks, PowerOps, "Cancel a task", cancel_task)
            .about("Cancel a task or job. What it did so far may stay.")
            .needs(&["Global.CancelTask"])
            .idempotent()
            .asks(),
    ]
}

async fn list_recent_tasks(args: ListTasks, cx: Cx) -> Result<Object<RecentTasks>> {
    let count = in_range("max_count", args.max_count, 20, 1000)?;
    let client = cx.client().await?;
    let mut tasks = client.tasks();
    if let Some(hours) = args.hours_back {
        tasks = tasks.last(Duration::from_secs(in_range("hours_back", Some(hours), hours, MOST_HOURS)? * 3600));
    }
    if let Some(entity) = &args.entity {
        tasks = tasks.entity(client.get::<ManagedEntity>(entity).await?.reference(), Recursion::All);
    }
    if let Some(state) = args.state {
        tasks = tasks.states([state.into()]);
    }
    if let Some(user) = args.user {
        tasks = tasks.users([user]);
    }
    Ok(Object(tasks.report(count).await?))
}

async fn wait_task(args: WaitTask, cx: Cx) -> Result<Object<Waited>> {
    let patience = Duration::from_secs(in_range("timeout_seconds", args.timeout_seconds, USUAL_WAIT, LONGEST_WAIT)?);
    cx.may_take(patience);
    Ok(Object(match cx.job(&args.task)? {
        Some(job) => wait_for_job(&job, patience, &cx).await,
        None => {
            let told = cx.steps_of(&args.task);
            Waited::from(cx.client().await?.wait_for_task(&args.task, patience, told).await?)
        }
    }))
}

async fn wait_for_job(job: &Job, patience: Duration, cx: &Cx) -> Waited {
    let until = Instant::now() + patience;
    let mut latest = job.latest();
    loop {
        cx.tell(&latest.borrow_and_update());
        tokio::select! {
            answer = job.outcome() => return Waited::by(job, Some(answer)),
            () = sleep_until(until) => return Waited::by(job, None),
            // The job has the sender.
            _ = latest.changed() => {}
        }
    }
}

async fn cancel_task(args: OneTask, cx: Cx) -> Result<Object<Cancelled>> {
    let Some(job) = cx.job(&args.task)? else { return cancel_in_vsphere(&args.task, &cx).await };
    let question = format!("Cancel {} ({})?", job.tool, job.id);
    cx.agreed(async || {
        let preview = Preview::new(&question).note("What it did so far may stay");
        let preview = preview.object(json!({ "task": job.id, "tool": job.tool, "called_with": job.arguments }))?;
        // What has ended is not lost by this.
        Ok(((), if job.has_ended() { preview.harmless() } else { preview }))
    })
    .await?;
    if job.has_ended() {
        return Ok(Object(Cancelled::of(CancelOutcome::HadEnded, false, Waited::by(&job, Some(job.outcome().await)))));
    }
    job.cancel();
    let waited = Waited::by(&job, timeout(PATIENCE, job.outcome()).await.ok());
    let outcome = match waited.state {
        JobState::Running => CancelOutcome::Ending,
        JobState::Cancelled => CancelOutcome::Cancelled,
        JobState::Success | JobState::Error => CancelOutcome::HadEnded,
    };
    Ok(Object(Cancelled::of(outcome, outcome != CancelOutcome::HadEnded, waited)))
}

async fn cancel_in_vsphere(task: &str, cx: &Cx) -> Result<Object<Cancelled>> {
    let client = cx.client().await?;
    let plan = cx
        .agreed(async || {
            let plan = client.task_cancellation(task).await?;
            cx.check_may_cancel(&plan.task)?;
            let about = plan.task.entity.as_deref().map(|entity| format!(" of {}", quoted(entity)));
            let question = format!("Cancel {}{}?", plan.task.operation, about.unwrap_or_default());
            let shown = json!({
                "task": plan.task.id, "operation": plan.task.operation, "entity": plan.task.entity,
                "user": plan.task.user, "queued": plan.task.queued,
            });
            let preview = Preview::new(question).note("What it did so far may stay").object(shown)?;
            // What has ended is not lost by this.
            Ok((plan.clone(), if plan.task.has_ended() { preview.harmless() } else { preview }))
        })
        .await?;
    let done = plan.carry_out().await?;
    Ok(Object(Cancelled::of(done.outcome, done.changed, done.task.into())))
}

/// The tool that starts such a task, by the server's key for it: who may call that tool may cancel the task.
const STARTED_BY: &[(&str, &str)] = &[
    ("VirtualMachine.powerOn", "power_on_vm"),
    ("Datacenter.ExecuteVmPowerOnLRO", "power_on_vm"),
    ("Datacenter.powerOn", "power_on_vm"),
    ("VirtualMachine.powerOff", "power_off_vm"),
    ("VirtualMachine.reset", "reset_vm"),
    ("VirtualMachine.suspend", "suspend_vm"),
    ("VirtualMachine.createSnapshot", "create_snapshot"),
    ("VirtualMachine.removeAllSnapshots", "delete_all_snapshots"),
    ("VirtualMachine.revertToCurrentSnapshot", "revert_to_current_snapshot"),
    ("VirtualMachineSnapshot.", "delete_snapshot"),
    ("vm.Snapshot.", "delete_snapshot"),
    ("VirtualMachine.createScreenshot", "vm_screenshot"),
    ("VirtualMachine.", "clone_vm"),
    ("Folder.createVm", "create_vm"),
    ("Folder.", "delete_folder"),
    ("ResourcePool.ImportVAppLRO", "deploy_ovf"),
    ("VirtualDiskManager.", "copy_datastore_file"),
    ("FileManager.", "copy_datastore_file"),
    ("HostDatastoreBrowser.", "browse_datastore"),
    ("ComputeResource.reconfigureEx", "create_drs_rule"),
    ("ClusterComputeResource.reconfigureEx", "create_drs_rule"),
    ("HostSystem.enterMaintenanceMode", "enter_maintenance_mode"),
    ("HostSystem.exitMaintenanceMode", "exit_maintenance_mode"),
    ("HostSystem.reboot", "reboot_host"),
    ("HostSystem.shutdown", "shutdown_host"),
];

impl Cx {
    /// The job of this id; `None` where it is the id of a task of vSphere.
    fn job(&self, id: &str) -> Result<Option<Arc<Job>>> {
        match self.server.jobs().get(id, self.call.visit.caller.identity()) {
            Ok(job) => Ok(Some(job)),
            Err(NoJob::NotOne) => Ok(None),
            Err(NoJob::Lost) => Err(ToolError::new(
                "lost",
                format!(
                    "{} is not known here: mcvsphere was started again since, it ended more than an hour ago, or it is one of \
                     another process, where several serve. Look at the object itself for what became of it",
                    quoted(id)
                ),
            )),
        }
    }

    /// Whether the caller may cancel a task: one of their own, or one that they could have started.
    fn check_may_cancel(&self, task: &TaskReport) -> Result<()> {
        let caller = &self.call.visit.caller;
        if self.server.jobs().has_started(&task.id, caller.identity()) {
            return Ok(());
        }
        let level = level_of(&task.operation, |tool| Some(self.server.catalog().get(tool)?.tool.spec.permission));
        match caller.refusal(&format!("cancelling {}", task.operation), level) {
            None => Ok(()),
            Some(message) => Err(ToolError::new("permission", message)),
        }
    }
}

/// The level that cancelling a task takes; the highest where it is not known what starts it.
fn level_of(operation: &str, of: impl Fn(&str) -> Option<crate::Permission>) -> crate::Permission {
    let starter = STARTED_BY.iter().find(|(key, _)| match key.strip_suffix('.') {
        Some(_) => operation.starts_with(key),
        None => operation == *key,
    });
    starter.and_then(|(_, tool)| of(tool)).unwrap_or(FullAdmin)
}

/// How far a task or a job is.
#[derive(Debug, Serialize, JsonSchema)]
struct Waited {
    /// Its id.
    task: String,
    /// Whether it goes on.
    pending: bool,
    state: JobState,
    /// Percentage of the work that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
    /// How far a job is.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Untrusted>,
    /// The tool of a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'static str>,
    /// What the tool answers, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    /// The task of vSphere.
    #[serde(skip_serializing_if = "Option::is_none")]
    vsphere: Option<TaskReport>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum JobState {
    Running,
    Success,
    Error,
    Cancelled,
}

/// What became of a task that was to be cancelled.
#[derive(Debug, Serialize, JsonSchema)]
struct Cancelled {
    /// `cancelled`, `had_ended`, or `ending` where it has not ended yet.
    outcome: CancelOutcome,
    changed: bool,
    #[serde(flatten)]
    now: Waited,
}

impl Cancelled {
    fn of(outcome: CancelOutcome, changed: bool, now: Waited) -> Self {
        Self { outcome, changed, now }
    }
}

impl Waited {
    fn by(job: &Job, answer: Option<CallToolResponse>) -> Self {
        let result = answer.map(|answer| match answer {
            CallToolResponse::Complete(result) => result,
            // The user was asked before the job began.
            _ => ToolError::new("internal", "the job asked its user after it had begun").into_result(),
        });
        let latest = job.latest();
        Self {
            task: job.id.clone(),
            pending: result.is_none(),
            state: result.as_ref().map_or(JobState::Running, state_of),
            percent: None,
            progress: latest.borrow().told().filter(|_| result.is_none()),
            tool: Some(job.tool),
            answer: result.and_then(|result| result.structured_content),
            vsphere: None,
        }
    }
}

fn state_of(result: &CallToolResult) -> JobState {
    match result.is_error {
        Some(true) if result.structured_content.as_ref().is_some_and(|content| content["code"] == "cancelled") => {
            JobState::Cancelled
        }
        Some(true) => JobState::Error,
        _ => JobState::Success,
    }
}

impl From<TaskReport> for Waited {
    fn from(task: TaskReport) -> Self {
        let was_cancelled = task.error.as_ref().is_some_and(|error| error.fault == "RequestCanceled");
        let state = match task.state {
            TaskInfoState::Success => JobState::Success,
            TaskInfoState::Error if was_cancelled => JobState::Cancelled,
            TaskInfoState::Error => JobState::Error,
            _ => JobState::Running,
        };
        Self {
            task: task.id.clone(),
            pending: !task.has_ended(),
            state,
            percent: task.percent,
            progress: None,
            tool: None,
            answer: None,
            vsphere: Some(task),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListTasks {
    /// 20 by default.
    max_count: Option<usize>,
    /// Object.
    entity: Option<String>,
    state: Option<State>,
    /// DOMAIN\\name
    user: Option<String>,
    /// Only of so many last hours.
    hours_back: Option<u64>,
}

/// Its state.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Queued,
    Running,
    Success,
    Error,
}

impl From<State> for TaskInfoState {
    fn from(state: State) -> Self {
        match state {
            State::Queued => Self::Queued,
            State::Running => Self::Running,
            State::Success => Self::Success,
            State::Error => Self::Error,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneTask {
    /// task-… or job-…
    task: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct WaitTask {
    /// task-… or job-…
    task: String,
    /// 50 by default.
    timeout_seconds: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelling_takes_the_level_of_what_starts_the_task() {
        let all = crate::tools::all();
        let level = |operation: &str| {
            level_of(operation, |tool| Some(all.iter().find(|known| known.name == tool)?.spec.permission))
        };
        for (_, tool) in STARTED_BY {
            assert!(all.iter().any(|known| known.name == *tool), "{tool}");
        }
        assert_eq!(level("VirtualMachine.powerOn"), PowerOps);
        assert_eq!(level("VirtualMachine.clone"), VmLifecycle);
        assert_eq!(level("HostSystem.enterMaintenanceMode"), HostAdmin);
        assert_eq!(level("com.example.unknown"), FullAdmin);
    }
}
