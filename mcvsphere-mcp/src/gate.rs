//! The choke point: every call of every tool passes here, whoever makes it and over whatever transport.

use std::{any::Any, panic::AssertUnwindSafe, time::Instant};

use futures::FutureExt;
use rmcp::{
    ErrorData, RoleServer,
    handler::server::tool::ToolCallContext,
    model::{CallToolRequestParams, CallToolResponse, ErrorCode},
    service::RequestContext,
};

use crate::{Server, ToolError, audit, error::Result};

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
            None => self.run(request, context).await,
        };
        let response = answer.unwrap_or_else(|error| error.into_result().into());
        record.finish(outcome(&response), started.elapsed());
        Ok(response)
    }

    /// Runs the tool until it is done, cancelled, or out of time. A panic ends this call, and only this call: without the
    /// guard the client would wait for an answer that never comes.
    async fn run(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse> {
        let name = request.name.clone();
        let cancelled = context.ct.clone();
        let call = ToolCallContext::new(self, request, context);
        let work = AssertUnwindSafe(self.catalog().router().call(call)).catch_unwind();
        let limit = self.call_timeout();
        tokio::select! {
            done = work => match done {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) if error.code == ErrorCode::INVALID_PARAMS => {
                    Err(ToolError::invalid_argument(format!("{name}: {}", error.message)))
                }
                Ok(Err(error)) => Err(ToolError::new("internal", error.message)),
                Err(panic) => {
                    tracing::error!(tool = %name, panic = panic_text(panic.as_ref()), "a tool panicked");
                    Err(ToolError::new("internal", format!(
                        "{name} failed by a fault in mcvsphere; whether vSphere did something is unknown, so look first"
                    )))
                }
            },
            () = cancelled.cancelled() => Err(ToolError::new("cancelled", format!("{name} was cancelled"))),
            () = tokio::time::sleep(limit) => Err(ToolError::new("deadline", format!(
                "{name} took longer than {} s (MCP_CALL_TIMEOUT) and was given up; what it began may still go on in \
                 vSphere, so look before calling again", limit.as_secs()
            ))),
        }
    }

    fn unknown_tool(&self, name: &str) -> String {
        match self.catalog().nearest(name) {
            Some(near) => format!("unknown tool `{name}`, did you mean `{near}`?"),
            None => format!("unknown tool `{name}`"),
        }
    }
}

/// What the audit says of an answer: `ok`, or the error's code.
fn outcome(response: &CallToolResponse) -> &str {
    match response {
        CallToolResponse::Complete(result) if result.is_error == Some(true) => {
            result.structured_content.as_ref().and_then(|content| content.get("code")?.as_str()).unwrap_or("error")
        }
        CallToolResponse::Complete(_) => "ok",
        CallToolResponse::InputRequired(_) => "input_required",
        CallToolResponse::Task(_) => "task",
        _ => "other",
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
