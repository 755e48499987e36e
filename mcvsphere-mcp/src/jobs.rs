//! Calls that have been handed over: their client got an answer before they were done, and they go on without its request.
//!
//! Clients cut calls, most at 60 s. A call of a tool that may take long is therefore answered `pending` when its caller does
//! not want to wait (`wait`), or when it has taken long and the client sees no progress of it. From then on neither the end of
//! the request nor the limit of a call stops it; `cancel_task` does. It belongs to its caller, in whatever session.
//!
//! Calls that become MCP tasks are kept elsewhere: see [`tasks`](crate::tasks).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use vsphere_ops::{Scope, Step};

use crate::{
    answer::fit,
    caller::Identity,
    cx::Call,
    progress::{Latest, Reporter},
    render,
    tasks::Work,
};

/// The argument by which a caller does not wait.
pub(crate) const ARGUMENT: &str = "wait";

/// How long a call whose caller does not want to wait may take before it is handed over: short ones are answered whole.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How long the answer of a job is kept.
const KEPT: Duration = Duration::from_secs(3600);

/// How many jobs are kept whose end nobody has asked for.
const MOST_KEPT: usize = 1000;

/// How long the end of the server waits for work that it stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// The jobs of this process.
pub(crate) struct Jobs {
    /// Which process an id is of, so that one of an earlier process is told from one that never was.
    process: String,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    last: u64,
    jobs: BTreeMap<u64, Arc<Job>>,
}

/// A call that was handed over.
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) tool: &'static str,
    /// What the call was given, without secrets.
    pub(crate) arguments: Value,
    owner: Identity,
    scope: Scope,
    reporter: Reporter,
    answer: watch::Receiver<Option<CallToolResponse>>,
    ended: Mutex<Option<Instant>>,
    stop: watch::Sender<bool>,
}

/// Why there is no job of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoJob {
    /// It is not one of this process, or was forgotten since: nobody here knows what became of it.
    Lost,
    /// It is no id of a job.
    NotOne,
}

impl Jobs {
    /// No jobs yet.
    pub(crate) fn new() -> Self {
        Self { process: format!("{:08x}", fastrand::u32(..)), kept: Mutex::default() }
    }

    /// Takes over a call, which goes on by itself, and answers in its place.
    pub(crate) async fn take_over(
        &self,
        call: &Call,
        arguments: Value,
        work: Work<impl FnOnce() + Send + 'static>,
    ) -> CallToolResponse {
        // What was reported so far has to reach the client before the answer does, and nothing after it.
        call.reporter.finish().await;
        call.limit.send_replace(None);
        let (ended, answer) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let job = {
            let mut kept = self.kept();
            kept.forget();
            kept.last += 1;
            let number = kept.last;
            let job = Arc::new(Job {
                id: format!("job-{}-{number}", self.process),
                tool: call.tool,
                arguments,
                owner: call.visit.caller.identity().clone(),
                scope: call.scope.clone(),
                reporter: call.reporter.clone(),
                answer,
                ended: Mutex::default(),
                stop,
            });
            kept.jobs.insert(number, Arc::clone(&job));
            job
        };
        tokio::spawn(go_on(Arc::clone(&job), ended, stopped, work));
        pending(&job)
    }

    /// The job of this id, which is this caller's.
    ///
    /// # Errors
    /// The id is not of a job, or the job is forgotten or belongs to another caller.
    pub(crate) fn get(&self, id: &str, caller: &Identity) -> Result<Arc<Job>, NoJob> {
        let (process, number) = id.strip_prefix("job-").and_then(|rest| rest.split_once('-')).ok_or(NoJob::NotOne)?;
        let number: u64 = number.parse().map_err(|_| NoJob::NotOne)?;
        let mut kept = self.kept();
        kept.forget();
        let job = kept.jobs.get(&number).filter(|job| process == self.process && job.is_of(caller));
        job.cloned().ok_or(NoJob::Lost)
    }

    /// Whether a task of vSphere is one that a job of this caller waits for.
    pub(crate) fn has_started(&self, task: &str, caller: &Identity) -> bool {
        let kept = self.kept();
        kept.jobs.values().any(|job| job.is_of(caller) && job.tasks().iter().any(|step| step.task == task))
    }

    /// Ends with the server. Tasks of vSphere go on there; work of this process is stopped, so that it cleans up.
    pub(crate) async fn end(&self) {
        let jobs: Vec<Arc<Job>> = self.kept().jobs.values().cloned().collect();
        let own = jobs.iter().filter(|job| !job.has_ended() && job.tasks().is_empty());
        let ends = own.map(|job| async {
            job.cancel();
            let _ = timeout(PATIENCE, job.outcome()).await;
        });
        futures::future::join_all(ends).await;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Forgets answers that are old, and the oldest where there are too many.
    fn forget(&mut self) {
        self.jobs.retain(|_, job| job.ended().is_none_or(|ended| ended.elapsed() < KEPT));
        while self.jobs.len() >= MOST_KEPT
            && let Some(oldest) = self.jobs.iter().find(|(_, job)| job.has_ended()).map(|(number, _)| *number)
        {
            self.jobs.remove(&oldest);
        }
    }
}

impl Job {
    fn is_of(&self, caller: &Identity) -> bool {
        self.owner == *caller
    }

    fn ended(&self) -> Option<Instant> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its answer is there.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended().is_some()
    }

    /// The tasks of vSphere that it waits for.
    pub(crate) fn tasks(&self) -> Vec<Step> {
        self.scope.tasks()
    }

    /// How far it is.
    pub(crate) fn latest(&self) -> watch::Receiver<Latest> {
        self.reporter.latest()
    }

    /// Its answer, once it has ended.
    pub(crate) async fn outcome(&self) -> CallToolResponse {
        let mut answer = self.answer.clone();
        let ended = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        // The work cannot end without an answer, but for the end of the process.
        ended.unwrap_or_else(|| {
            crate::ToolError::new("internal", "the work ended without an answer").into_result().into()
        })
    }

    /// Asks it to stop, as a call that is cancelled.
    pub(crate) fn cancel(&self) {
        self.stop.send_replace(true);
    }
}

/// Waits until a call is due to be handed over: soon where its caller does not want to wait, else after `patience`.
pub(crate) async fn due(call: &Call, patience: Duration) {
    call.cleared().await;
    sleep(if call.waits { patience } else { AT_ONCE }).await;
}

async fn go_on(
    job: Arc<Job>,
    ended: watch::Sender<Option<CallToolResponse>>,
    stopped: watch::Receiver<bool>,
    work: Work<impl FnOnce()>,
) {
    let Work { mut answer, stop } = work;
    let answer = tokio::select! {
        answer = &mut answer => answer,
        () = is_told(stopped) => {
            stop();
            answer.await
        }
    };
    *job.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    ended.send_replace(Some(answer));
}

/// Waits until somebody says so.
async fn is_told(mut stopped: watch::Receiver<bool>) {
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        std::future::pending().await
    }
}

/// What a call answers that goes on.
fn pending(job: &Job) -> CallToolResponse {
    let tasks: Vec<Value> = job
        .tasks()
        .iter()
        .map(|step| {
            json!({
                "task": step.task, "operation": step.operation, "target": step.target,
                "percent": step.progress.percent,
            })
        })
        .collect();
    let text = format!(
        "{} has begun and goes on. Call wait_task with task {} for its answer, or cancel_task to stop it.",
        job.tool, job.id
    );
    let mut data = json!({ "pending": true, "job": job.id, "note": text });
    if !tasks.is_empty() {
        data["tasks"] = tasks.into();
    }
    let data = fit(data);
    let mut result = CallToolResult::success(vec![ContentBlock::text(render::compact(&data))]);
    result.structured_content = Some(data);
    result.into()
}
