//! The choke point: every call of every tool passes here, whoever makes it and over whatever transport.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::FutureExt;
use rmcp::{
    ErrorData, RoleServer,
    handler::server::tool::ToolCallContext,
    model::{CallToolRequestParams, CallToolResponse, CallToolResult, ErrorCode},
    service::RequestContext,
};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use vsphere_ops::Scope;

use crate::{
    Permission, Server, ToolError, audit,
    confirm::{self, Preview},
    cx::{Call, Cx},
    error::Result,
    progress::Reporter,
};

/// How long a call that is given up may take to end by itself, once its tasks were asked to stop.
const PATIENCE: Duration = Duration::from_secs(10);

impl Server {
    /// Resolves the name, runs the tool within its bounds, writes the audit line and shapes the answer.
    ///
    /// A name that no tool has is a protocol error, as MCP wants it; all else that goes wrong is a result which the model
    /// can read.
    pub(crate) async fn pass(
        &self,
        mut request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> std::result::Result<CallToolResponse, ErrorData> {
        let started = Instant::now();
        let caller = self.caller(&context);
        let mut record = audit::Record::new(&request, &context, &caller);
        let Some((name, facts)) = self.catalog().resolve(&request.name) else {
            record.finish("unknown_tool", started.elapsed());
            return Err(ErrorData::invalid_params(self.unknown_tool(&request.name), None));
        };
        record.permission = Some(facts.permission);
        request.name = name.to_owned().into();
        record.tool.clone_from(&request.name);

        let answer = match self.catalog().refusal(&request.name, facts, &caller) {
            Some(refusal) => Err(ToolError::new(refusal.code, refusal.message)),
            None => {
                let reporter = Reporter::new(&context);
                let told = reporter.clone();
                let call = Arc::new(Call {
                    tool: name.to_owned(),
                    caller,
                    plan: self.plan_of(&mut request),
                    arguments: request.arguments.clone().unwrap_or_default(),
                    answers: request.input_responses.clone(),
                    state: request.request_state.clone(),
                    scope: Scope::new().on_progress(move |step| told.step(step)),
                    reporter,
                    question: Mutex::default(),
                });
                let answer = self.run(request, context, &call, facts.destructive).await;
                if facts.permission != Permission::ReadOnly {
                    self.mirrors().machines().changed(self);
                }
                call.reporter.finish().await;
                match call.take_question() {
                    Some(question) => Ok(question.into_response()),
                    None => answer,
                }
            }
        };
        let response = answer.unwrap_or_else(|error| error.into_result().into());
        record.finish(outcome(&response), started.elapsed());
        Ok(response)
    }

    /// Takes the confirmation out of the arguments, of which the tool knows nothing.
    fn plan_of(&self, request: &mut CallToolRequestParams) -> Option<String> {
        if !self.asks_before(&request.name) {
            return None;
        }
        match request.arguments.as_mut()?.remove(confirm::ARGUMENT)? {
            Value::String(plan) => Some(plan),
            // No plan of ours, and void like one that is forged.
            other => Some(other.to_string()),
        }
    }

    /// Runs the tool until it is done, cancelled, or out of time. A panic ends this call, and only this call: without the
    /// guard the client would wait for an answer that never comes.
    async fn run(
        &self,
        request: CallToolRequestParams,
        mut context: RequestContext<RoleServer>,
        call: &Arc<Call>,
        destructive: bool,
    ) -> Result<CallToolResponse> {
        let name = call.tool.as_str();
        let cancelled = context.ct.clone();
        context.extensions.insert(Arc::clone(call));
        let work = async {
            if !destructive && self.asks_before(name) {
                let cx = Cx { server: self.clone(), call: Arc::clone(call), request: context.clone() };
                cx.confirm(|| async { plain_preview(call) }).await?;
            }
            let answer = self.catalog().router().call(ToolCallContext::new(self, request, context)).await;
            answer.map_err(|error| match error.code {
                ErrorCode::INVALID_PARAMS => ToolError::invalid_argument(format!("{name}: {}", error.message)),
                _ => ToolError::new("internal", error.message),
            })
        };
        let mut work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        let limit = self.call_timeout();
        tokio::select! {
            done = &mut work => done.unwrap_or_else(|panic| {
                tracing::error!(tool = %name, panic = panic_text(panic.as_ref()), "a tool panicked");
                Err(ToolError::new("internal", format!(
                    "{name} failed by a fault in mcvsphere; whether vSphere did something is unknown, so look first"
                )))
            }),
            () = cancelled.cancelled() => {
                let tasks = give_up(&call.scope, work).await;
                Err(ToolError::new("cancelled", format!("{name} was cancelled; {tasks}")))
            }
            () = sleep(limit) => {
                let tasks = give_up(&call.scope, work).await;
                Err(ToolError::new("deadline", format!(
                    "{name} took longer than {} s (MCP_CALL_TIMEOUT) and was given up; {tasks}", limit.as_secs()
                )))
            }
        }
    }

    fn unknown_tool(&self, name: &str) -> String {
        match self.catalog().nearest(name) {
            Some(near) => format!("unknown tool `{name}`, did you mean `{near}`?"),
            None => format!("unknown tool `{name}`"),
        }
    }
}

/// What is shown of a call that destroys nothing, where the settings want a question all the same.
fn plain_preview(call: &Call) -> Result<Preview> {
    Preview::new(format!("Run {}?", call.tool)).object(&call.arguments, ())
}

/// Asks vSphere to cancel the tasks of a call, and lets the call end by itself. Says what became of the tasks.
async fn give_up<T>(scope: &Scope, work: Pin<Box<impl Future<Output = T>>>) -> String {
    let Ok(tasks) = timeout(PATIENCE, scope.cancel()).await else {
        return "vSphere did not answer when it was asked to cancel, so look what goes on there".to_owned();
    };
    if tasks.is_empty() {
        return "no task of it runs in vSphere, but what it began before may be done, so look first".to_owned();
    }
    // It sees how its tasks end, and ends what else it holds.
    let ended = timeout(PATIENCE, work).await.is_ok();
    let tasks: Vec<String> = tasks
        .iter()
        .map(|task| match &task.asked {
            Ok(()) => format!("\"{}\" of {} ({}) was told to cancel", task.operation, task.target, task.task),
            Err(error) => format!("\"{}\" of {} ({}) goes on: {error}", task.operation, task.target, task.task),
        })
        .collect();
    let end = if ended { "all have ended" } else { "they had not all ended 10 s later" };
    format!("{}; {end}, so look what state it is in", tasks.join(", "))
}

/// What the audit says of an answer: `ok`, or the error's code.
fn outcome(response: &CallToolResponse) -> &str {
    match response {
        CallToolResponse::Complete(result) if result.is_error == Some(true) => {
            result.structured_content.as_ref().and_then(|content| content.get("code")?.as_str()).unwrap_or("error")
        }
        CallToolResponse::Complete(result) if is_preview(result) => "confirmation_required",
        CallToolResponse::Complete(_) => "ok",
        CallToolResponse::InputRequired(_) => "input_required",
        CallToolResponse::Task(_) => "task",
        _ => "other",
    }
}

/// Whether an answer is a question: nothing is done yet.
pub(crate) fn is_preview(result: &CallToolResult) -> bool {
    result.structured_content.as_ref().is_some_and(|content| content["confirmation_required"] == true)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
