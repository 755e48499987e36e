//! What happens to a call whose caller has to log in to vCenter first (`VCENTER_LOGIN=user`): the user is shown a one-time link,
//! by the client where it can, else by the model.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rmcp::{
    RoleServer,
    model::{
        CallToolResponse, ElicitRequest, ElicitRequestParams, ElicitationAction, InputRequest, InputRequiredResult,
    },
    service::{ElicitationMode, RequestContext},
};

use crate::{
    Caller, Server, ToolError,
    cx::Call,
    error::{Result, advice},
};

/// The code of the error of a call that has done nothing, as its caller is not logged in.
const REQUIRED: &str = "login_required";

/// The name under which a client answers that its user was shown the link.
const QUESTION: &str = "vcenter_login";

/// How long a user may take to log in after being shown the link.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

const MESSAGE: &str = "Log in to vCenter, so that this is done with your own permissions";

impl Server {
    /// Runs the tool, once more where its caller has logged in on the way.
    pub(crate) async fn run_logged_in(
        &self,
        context: RequestContext<RoleServer>,
        call: &Arc<Call>,
    ) -> Result<CallToolResponse> {
        let run = |context| advice::for_call(self, call, self.run(context, call));
        let caller = &call.visit.caller;
        let error = match run(context.clone()).await {
            Err(error) if self.lacks_login(caller, &error) => error,
            done => return done,
        };
        // The session has ended in the course of the call: what was done before is done.
        if error.code() != REQUIRED {
            return Err(self.with_login_link(caller, error));
        }
        let was_shown = call.answers.as_ref().is_some_and(|answers| answers.contains_key(QUESTION));
        let Some(url) = self.backends().link_for(caller) else { return Err(self.with_login_link(caller, error)) };
        if call.visit.stateless && !was_shown && offers_links(&context) {
            return Ok(call.show(url));
        }
        let is_waited_for = if call.visit.stateless { was_shown } else { show(&context, url).await? };
        let cancelled = context.ct.clone();
        let logged_in = async { is_waited_for && self.backends().logged_in_within(caller.identity(), PATIENCE).await };
        let logged_in = tokio::select! {
            logged_in = logged_in => logged_in,
            () = cancelled.cancelled() => return Err(ToolError::new("cancelled", "cancelled; nothing was done")),
        };
        match logged_in {
            true => run(context).await,
            false => Err(self.with_login_link(caller, error)),
        }
    }

    /// The error of something else than a call, with the link where its caller has to log in.
    pub(crate) fn with_login(&self, caller: &Caller, error: ToolError) -> ToolError {
        match self.lacks_login(caller, &error) {
            true => self.with_login_link(caller, error),
            false => error,
        }
    }

    fn lacks_login(&self, caller: &Caller, error: &ToolError) -> bool {
        let is_out = || self.backends().user_of(caller.identity()).is_none();
        error.code() == REQUIRED || (error.code() == "auth" && self.backends().are_of_users() && is_out())
    }

    fn with_login_link(&self, caller: &Caller, error: ToolError) -> ToolError {
        match self.backends().link_for(caller) {
            Some(url) => error
                .and(
                    "; show the user the link `login_url`, which works once and within 10 minutes, for them alone, and call again \
                     once they say that they have logged in there",
                )
                .with_login_url(url),
            None => error.and(
                "; VCENTER_LOGIN=user is for users who log in to this server at the provider of identities, which this caller has not",
            ),
        }
    }
}

impl Call {
    /// Has the client show the link and call again.
    fn show(&self, url: String) -> CallToolResponse {
        let request = InputRequest::Elicitation(ElicitRequest::new(question(url)));
        InputRequiredResult::new(Some(BTreeMap::from([(QUESTION.to_owned(), request)])), None).into()
    }
}

fn question(url: String) -> ElicitRequestParams {
    let elicitation_id = format!("{:016x}", fastrand::u64(..));
    ElicitRequestParams::UrlElicitationParams { meta: None, message: MESSAGE.to_owned(), url, elicitation_id }
}

/// Whether a client of the stateless lifecycle shows links.
fn offers_links(context: &RequestContext<RoleServer>) -> bool {
    context.client_capabilities().and_then(|can| can.elicitation).is_some_and(|can| can.url.is_some())
}

/// Has a client of the older lifecycle show the link. Whether its user goes there.
async fn show(context: &RequestContext<RoleServer>, url: String) -> Result<bool> {
    if !context.peer.supported_elicitation_modes().contains(&ElicitationMode::Url) {
        return Ok(false);
    }
    let shown = context.peer.create_elicitation_with_timeout(question(url), Some(PATIENCE)).await;
    match shown.map(|answer| answer.action) {
        Ok(ElicitationAction::Accept) => Ok(true),
        Ok(_) => {
            let text = "the user did not want to log in to vCenter: nothing was done. Do not call again unless they ask for it";
            Err(ToolError::new("declined", text))
        }
        // The model may show it all the same.
        Err(error) => {
            tracing::debug!(%error, "the client does not show a link");
            Ok(false)
        }
    }
}
