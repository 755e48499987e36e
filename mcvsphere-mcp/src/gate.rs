//! The gate: every call of every tool passes here, whoever makes it and over whatever transport, and so does what the other
//! methods of MCP look at.

use std::{
    any::Any,
    mem,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use rmcp::{
    ErrorData, RoleServer,
    model::{CallToolRequestParams, CallToolResponse, CallToolResult, JsonObject},
    service::RequestContext,
};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use vsphere_ops::Scope;

use crate::{
    Effect, Server, ToolError, audit,
    caller::Visit,
    confirm::{self, Recalled, Replay},
    cx::{Call, Cx},
    error::Result,
    jobs,
    progress::Reporter,
    tasks::{self, Work},
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
        visit: &Visit,
        mut request: CallToolRequestParams,
        mut context: RequestContext<RoleServer>,
    ) -> std::result::Result<CallToolResponse, ErrorData> {
        let started = Instant::now();
        let _running = self.metrics().begin();
        let caller = &visit.caller;
        let given = request.arguments.take().unwrap_or_default();
        let Some(entry) = self.catalog().resolve(&request.name) else {
            let record = audit::Record::new(request.name.clone(), audit::shown(&given, None), &context, caller);
            record.kept_in(self.audit()).finish("unknown_tool", started.elapsed());
            return Err(ErrorData::invalid_params(self.unknown_tool(&request.name), None));
        };
        let (name, spec) = (entry.tool.name, &entry.tool.spec);
        let mut record =
            audit::Record::new(name, audit::shown(&given, Some(entry)), &context, caller).kept_in(self.audit());
        record.permission = Some(spec.permission);
        if let Some(refusal) = self.catalog().refusal(name, spec, caller) {
            return Ok(refused(record, ToolError::new(refusal.code, refusal.message), started));
        }
        let (plan, given) = self.plan_of(name, spec.effect, given);
        let mut arguments = match entry.meant(given) {
            Ok(arguments) => arguments,
            Err(error) => return Ok(refused(record, error.in_tool(name), started)),
        };
        let judged = entry.tool.judged(&arguments);
        if let Some(judged) = &judged {
            record.permission = Some(judged.permission);
            if let Some(refusal) = self.catalog().refusal(name, judged, caller) {
                return Ok(refused(record, ToolError::new(refusal.code, refusal.message), started));
            }
        }
        let spec = judged.as_ref().unwrap_or(spec);
        // By the schema it is a truth.
        let no_wait = spec.is_long && arguments.remove(jobs::ARGUMENT) == Some(Value::Bool(false));
        if spec.effect != Effect::Reads
            && let Err(error) = record.begin().await
        {
            return Ok(refused(record, ToolError::new("audit", error.to_string()), started));
        }

        let reporter = Reporter::new(&context);
        let told = reporter.clone();
        let backend = self.backends().of(caller, name);
        let call = Arc::new(Call {
            tool: name,
            visit: visit.clone(),
            in_use: backend.in_use(),
            backend,
            plan,
            arguments,
            answers: request.input_responses,
            state: request.request_state,
            scope: Scope::new().on_progress(move |step| told.step(step)),
            reporter,
            instead: Mutex::default(),
            claimed: Mutex::default(),
            clear: watch::Sender::new(spec.effect == Effect::Reads || !self.asks_before(name)),
            waits: !no_wait,
            limit: watch::Sender::new(Some(self.call_timeout())),
        });
        let has_tasks = tasks::has_tasks(&context) && !no_wait;
        // A client that sees how far a call is waits for it.
        let hands_over = spec.is_long && (no_wait || !(has_tasks || call.reporter.is_heard()));
        // The call has a token of its own: as a task it outlives the request.
        let given_up = mem::take(&mut context.ct);
        let stop = context.ct.clone();
        let (server, effect) = (self.clone(), spec.effect);
        let operation_id = record.operation_id();
        let mut answer: BoxFuture<'static, CallToolResponse> = Box::pin(operation_id.scope({
            let call = Arc::clone(&call);
            async move {
                let response = server.carry_out(context, &call, effect).await;
                record.finish(outcome(&response), started.elapsed());
                response
            }
        }));
        tokio::select! {
            response = &mut answer => Ok(response),
            () = given_up.cancelled() => {
                stop.cancel();
                Ok(answer.await)
            }
            () = tasks::takes_long(&call), if has_tasks => {
                Ok(self.tasks().take_over(&call, Work { answer, stop: move || stop.cancel() }).await)
            }
            () = jobs::due(&call, self.pending_after()), if hands_over => {
                Ok(self.jobs().take_over(&call, audit::shown(&call.arguments, Some(entry)), Work { answer, stop: move || stop.cancel() }).await)
            }
        }
    }

    /// Runs the tool, and shapes what it answers or asks. A call whose token has done its work already, because its answer was
    /// lost on the way, gets that answer and does nothing.
    async fn carry_out(
        &self,
        context: RequestContext<RoleServer>,
        call: &Arc<Call>,
        effect: Effect,
    ) -> CallToolResponse {
        let response = match self.tokens().recall(call).await {
            Recalled::Here(before) => self.replay(before, &context).await,
            Recalled::Elsewhere => confirm::used_elsewhere().into_result().into(),
            Recalled::Nothing => {
                let answer = self.run_logged_in(context, call).await;
                if effect == Effect::Vsphere {
                    call.backend.mirrors().machines().changed();
                }
                match call.take_instead() {
                    Some(response) => response,
                    None => answer.unwrap_or_else(|error| error.into_result().into()),
                }
            }
        };
        call.reporter.finish().await;
        call.end_claim(&response);
        response
    }

    /// Waits for the outcome of the call that has used the token of this one.
    async fn replay(&self, before: Replay, context: &RequestContext<RoleServer>) -> CallToolResponse {
        let cancelled = context.ct.clone();
        tokio::select! {
            outcome = before.outcome() => outcome,
            () = cancelled.cancelled() => {
                ToolError::new("cancelled", "cancelled; the call before with this token goes on").into_result().into()
            }
            () = sleep(self.call_timeout()) => {
                let text = "the call before with this token has not ended, and goes on";
                ToolError::new("deadline", text).into_result().into()
            }
        }
    }

    /// The confirmation, of which the tool knows nothing, and the other arguments. A client may send one with any change; it
    /// counts only if the user is asked before this tool acts.
    fn plan_of(&self, tool: &str, effect: Effect, mut given: JsonObject) -> (Option<String>, JsonObject) {
        let plan = if effect == Effect::Reads { None } else { given.remove(confirm::ARGUMENT) };
        let plan = plan.filter(|_| self.asks_before(tool)).map(|plan| match plan {
            Value::String(plan) => plan,
            // No plan of ours, and void like one that is forged.
            other => other.to_string(),
        });
        (plan, given)
    }

    /// Runs the tool until it is done, cancelled, or out of time. A panic ends this call, and only this call: without the
    /// guard the client would wait for an answer that never comes.
    pub(crate) async fn run(&self, context: RequestContext<RoleServer>, call: &Arc<Call>) -> Result<CallToolResponse> {
        let name = call.tool;
        let cancelled = context.ct.clone();
        let cx = Cx { server: self.clone(), call: Arc::clone(call), request: context };
        let work = async {
            let entry = self.catalog().get(name).ok_or_else(|| ToolError::new("internal", "it is gone"))?;
            entry.tool.run(call.arguments.clone(), cx).await
        };
        let mut work = Box::pin(AssertUnwindSafe(work).catch_unwind());
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
            limit = out_of_time(call) => {
                let tasks = give_up(&call.scope, work).await;
                Err(ToolError::new("deadline", format!(
                    "{name} took longer than {} s (MCP_CALL_TIMEOUT) and was given up; {tasks}", limit.as_secs()
                )))
            }
        }
    }

    /// Whether the tool of this name is offered to who makes this visit.
    pub(crate) fn may_call(&self, tool: &str, visit: &Visit) -> bool {
        self.catalog().may_call(tool, &visit.caller)
    }

    /// Runs what another method than `tools/call` looks at, within the bounds of a call.
    pub(crate) async fn guarded<T>(
        &self,
        method: &'static str,
        work: impl Future<Output = std::result::Result<T, ErrorData>>,
    ) -> std::result::Result<T, ErrorData> {
        let limit = self.call_timeout();
        let work = AssertUnwindSafe(work).catch_unwind();
        match timeout(limit, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => {
                tracing::error!(method, panic = panic_text(panic.as_ref()), "a method panicked");
                Err(ErrorData::internal_error(format!("{method} failed by a fault in mcvsphere"), None))
            }
            Err(_) => {
                let message = format!("{method} took longer than {} s (MCP_CALL_TIMEOUT)", limit.as_secs());
                Err(ErrorData::internal_error(message, Some(json!({ "code": "deadline" }))))
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

/// Waits until the time of a call is over, which may become longer meanwhile. Answers how long it was.
async fn out_of_time(call: &Call) -> Duration {
    let begun = Instant::now();
    let mut limits = call.limit.subscribe();
    loop {
        let limit = *limits.borrow_and_update();
        let over = async {
            match limit {
                Some(limit) => sleep(limit.saturating_sub(begun.elapsed())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => return limit.unwrap_or_default(),
            // The call has the sender.
            _ = limits.changed() => {}
        }
    }
}

/// The answer to a call that does not run, which is in the audit all the same.
fn refused(record: audit::Record, error: ToolError, started: Instant) -> CallToolResponse {
    let response = error.into_result().into();
    record.finish(outcome(&response), started.elapsed());
    response
}

/// Asks vSphere to cancel the tasks of a call, and lets the call end by itself. Says what became of the tasks.
async fn give_up<T, P>(
    scope: &Scope,
    work: Pin<Box<impl Future<Output = std::result::Result<Result<T>, P>>>>,
) -> String {
    let Ok(tasks) = timeout(PATIENCE, scope.cancel()).await else {
        return "vSphere did not answer when it was asked to cancel, so look what goes on there".to_owned();
    };
    if tasks.is_empty() {
        return "no task of it runs in vSphere, but what it began before may be done, so look first".to_owned();
    }
    // It sees how its tasks end, and ends what else it holds.
    let ended = timeout(PATIENCE, work).await;
    let ids: Vec<&str> = tasks.iter().map(|task| task.task.as_str()).collect();
    let end = match ended {
        Ok(Ok(Ok(_))) => "it was done all the same before it could be cancelled".to_owned(),
        Ok(_) => "all have ended, so look what state it is in".to_owned(),
        Err(_) => format!(
            "it still ran 10 s later: do not start it again, and look what state it is in once {} has ended",
            ids.join(", ")
        ),
    };
    let tasks: Vec<String> = tasks
        .iter()
        .map(|task| match &task.asked {
            Ok(()) => format!("\"{}\" of {} ({}) was told to cancel", task.operation, task.target, task.task),
            // A task says itself whether it can be cancelled; one that is nearly done can't.
            Err(error) if error.is_fault("NotSupported") => format!(
                "\"{}\" of {} ({}) goes on, since vSphere can't cancel it at this point",
                task.operation, task.target, task.task
            ),
            Err(error) => format!("\"{}\" of {} ({}) goes on: {error}", task.operation, task.target, task.task),
        })
        .collect();
    format!("{}; {end}", tasks.join(", "))
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
