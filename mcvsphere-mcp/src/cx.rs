//! What a tool's body is given besides its arguments: the call that it serves, and what belongs to that call alone.

use std::sync::Arc;

use rmcp::{
    ErrorData, RoleServer,
    handler::server::{common::FromContextPart, tool::ToolCallContext},
    model::{InputResponses, JsonObject},
    service::RequestContext,
};
use vsphere_ops::{Client, Scope};

use crate::{Server, caller::Caller, error::Result, progress::Reporter};

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
}

impl Cx {
    /// The connection to vSphere.
    ///
    /// # Errors
    /// A setting is missing, the server is not reached, or refuses the login.
    pub(crate) async fn client(&self) -> Result<Client> {
        Ok(self.server.vsphere().client().await?.in_scope(&self.call.scope))
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
