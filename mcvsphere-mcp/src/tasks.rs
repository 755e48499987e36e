//! Long calls as MCP tasks, for clients that have the extension `io.modelcontextprotocol/tasks`.
//!
//! Such a client may be answered with a task instead of a result, and then asks how far it is. A call becomes a task when it
//! takes long; a short one is answered as always. It has passed the gate by then, and goes on there: permission,
//! deadline and audit line are those of any call, and the user was asked before. Up to then the call is cancelled with its
//! request, from then on by `tasks/cancel`.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use rmcp::{
    ErrorData, RoleServer,
    model::{CallToolResponse, CallToolResult, CreateTaskResult, GetTaskResult},
    service::RequestContext,
    task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions},
};
use tokio::time::sleep;

use crate::{caller::Owner, cx::Call};

/// How long a call may take before it becomes a task: most power operations are done by then.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the result of a task is kept for its client.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// How often a client is to ask.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The calls that have become tasks.
pub(crate) struct Tasks {
    manager: TaskManager,
    /// Whose each task is: an id alone lets nobody see another caller's.
    owners: Mutex<HashMap<String, Owner>>,
}

/// A call on its way: its answer, and what ends it early.
pub(crate) struct Work<Stop> {
    pub(crate) answer: BoxFuture<'static, CallToolResponse>,
    pub(crate) stop: Stop,
}

impl Tasks {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { manager: TaskManager::new(), owners: Mutex::default() }
    }

    /// Takes over a call that takes long, which goes on as a task.
    pub(crate) async fn take_over(&self, call: &Call, work: Work<impl FnOnce() + Send + 'static>) -> CallToolResponse {
        // What was reported so far has to reach the client before the answer does, and nothing after it.
        call.reporter.finish().await;
        let mut task = None;
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut options = TaskOptions::new().with_poll_interval_ms(milliseconds(POLL_INTERVAL));
        if let Some(limit) = *call.limit.borrow() {
            options = options.with_ttl_ms(milliseconds(limit.saturating_add(KEPT)));
        }
        let created = self.manager.spawn(options, |context| {
            task = Some(context.clone());
            Box::pin(go_on(context, work))
        });
        if let Some(task) = task {
            call.reporter.tell_task(task);
        }
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.retain(|task, _| self.manager.get_task(task).is_ok());
        owners.insert(created.task_id.clone(), call.visit.owner());
        CreateTaskResult::new(created).into()
    }

    /// How far a task is, with its result once it is done.
    ///
    /// # Errors
    /// This caller has no such task.
    pub(crate) fn get(&self, task: &str, owner: &Owner) -> Result<GetTaskResult, ErrorData> {
        self.check(task, owner)?;
        self.manager.get_task(task).map(GetTaskResult::new)
    }

    /// Takes the answers to a task's questions, of which there are none: the user is asked before a call becomes a task.
    ///
    /// # Errors
    /// This caller has no such task.
    pub(crate) fn update(&self, task: &str, owner: &Owner) -> Result<(), ErrorData> {
        self.check(task, owner)?;
        self.manager.update_task(task, [])
    }

    /// Cancels a task, as a call is cancelled.
    ///
    /// # Errors
    /// This caller has no such task.
    pub(crate) fn cancel(&self, task: &str, owner: &Owner) -> Result<(), ErrorData> {
        self.check(task, owner)?;
        self.manager.cancel_task(task)
    }

    fn check(&self, task: &str, owner: &Owner) -> Result<(), ErrorData> {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        match owners.get(task) {
            Some(whose) if whose == owner => Ok(()),
            _ => Err(ErrorData::invalid_params(
                format!(
                    "there is no task {task} here: it may have ended more than {} minutes ago, or be one of another process, where \
                     several serve",
                    KEPT.as_secs() / 60
                ),
                None,
            )),
        }
    }
}

/// Whether this client takes a task for an answer.
pub(crate) fn has_tasks(context: &RequestContext<RoleServer>) -> bool {
    context.client_capabilities().is_some_and(|can| can.supports_tasks())
}

/// Waits until a call has taken long, since the user was asked where he has to be.
pub(crate) async fn takes_long(call: &Call) {
    call.cleared().await;
    sleep(PATIENCE).await;
}

async fn go_on(context: TaskContext, work: Work<impl FnOnce()>) -> Result<CallToolResult, TaskExit> {
    let Work { mut answer, stop } = work;
    let answer = tokio::select! {
        answer = &mut answer => answer,
        () = context.cancelled() => {
            stop();
            answer.await
        }
    };
    let CallToolResponse::Complete(result) = answer else {
        return Err(ErrorData::internal_error("a call asked its user after it had become a task", None).into());
    };
    if let Some(content) = result.structured_content.as_ref().filter(|content| content["code"] == "cancelled") {
        // A cancelled task has no result, so what became of its vSphere tasks is told here.
        context.set_status_message(content["message"].as_str().unwrap_or_default());
        return Err(TaskExit::Cancelled);
    }
    Ok(result)
}
