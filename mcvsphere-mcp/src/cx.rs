//! What a tool's body is given besides its arguments: the call that it serves, and what belongs to that call alone.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::{
    ErrorData, RoleServer,
    handler::server::{common::FromContextPart, tool::ToolCallContext},
    model::{InputResponses, JsonObject},
    service::RequestContext,
};
use tokio::sync::watch;
use vsphere_ops::{Client, Scope};

use crate::{Defaults, Server, ToolError, caller::Caller, confirm::Question, error::Result, progress::Reporter};

/// The context of a call: how a tool reaches vSphere, asks the user, and tells how far it is.
///
/// The tasks that its client starts are reported on as progress and cancelled with the call, without a word in the tool.
pub(crate) struct Cx {
    pub(crate) server: Server,
    pub(crate) call: Arc<Call>,
    pub(crate) request: RequestContext<RoleServer>,
}

/// A call on its way through the choke point.
pub(crate) struct Call {
    /// The tool's present name.
    pub(crate) tool: String,
    pub(crate) caller: Caller,
    /// The arguments without the confirmation.
    pub(crate) arguments: JsonObject,
    /// The plan that the caller wants carried out, as he was given it.
    pub(crate) plan: Option<String>,
    /// What the client answered to the questions of the round before, and the state that it was given with them.
    pub(crate) answers: Option<InputResponses>,
    pub(crate) state: Option<String>,
    pub(crate) scope: Scope,
    pub(crate) reporter: Reporter,
    /// What the user has to be asked before the call can be made.
    pub(crate) question: Mutex<Option<Question>>,
    /// Whether the user has been asked, or need not be.
    pub(crate) clear: watch::Sender<bool>,
}

impl Call {
    /// Leaves a question, which goes out in the place of the tool's answer. The tool ends with the error.
    pub(crate) fn ask(&self, question: Question) -> ToolError {
        *self.question.lock().unwrap_or_else(PoisonError::into_inner) = Some(question);
        ToolError::new("confirmation_required", "the user has to be asked first")
    }

    /// Notes that nothing more has to be asked.
    pub(crate) fn clear(&self) {
        self.clear.send_replace(true);
    }

    /// Waits until nothing more has to be asked.
    pub(crate) async fn cleared(&self) {
        // The sender lives as long as this call does.
        let _ = self.clear.subscribe().wait_for(|clear| *clear).await;
    }

    /// The question that the tool has left.
    pub(crate) fn take_question(&self) -> Option<Question> {
        self.question.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Cx {
    /// The connection to vSphere.
    ///
    /// # Errors
    /// A setting is missing, the server is not reached, or refuses the login.
    pub(crate) async fn client(&self) -> Result<Client> {
        Ok(self.server.vsphere().client().await?.in_scope(&self.call.scope))
    }

    /// The objects to use where the call names none.
    pub(crate) fn defaults(&self) -> &Defaults {
        self.server.defaults()
    }

    /// Says how many tasks this call will wait for, so that its progress does not reach its end with the first.
    pub(crate) fn expect_tasks(&self, tasks: usize) {
        self.call.reporter.expect(tasks);
    }
}

impl FromContextPart<ToolCallContext<'_, Server>> for Cx {
    fn from_context_part(context: &mut ToolCallContext<'_, Server>) -> std::result::Result<Self, ErrorData> {
        let request = context.request_context.clone();
        let call = request.extensions.get::<Arc<Call>>().cloned();
        let call = call.ok_or_else(|| ErrorData::internal_error("the call did not come by the choke point", None))?;
        Ok(Self { server: context.service.clone(), call, request })
    }
}
