//! Asking before something is lost.
//!
//! A tool plans what a call would do, measures what it would lose, and asks by [`Cx::agreed`], which hands out the plan
//! that the user agreed to. How the question reaches the user depends on the client:
//!
//! | the client | the question is |
//! |---|---|
//! | speaks 2026-07-28 and can elicit | an `InputRequiredResult`; its state is a token, and the call is made again with the answer |
//! | is older and can elicit | an elicitation; the call waits for the answer |
//! | can do neither | a result with the preview and a token, with which the model calls again once the user agrees |
//!
//! A token is good once, for the caller, the session, the tool, the arguments and the vCenter that it was given for, and
//! only while all that was shown is still so: else it is void, and the question is asked again with the reason.

mod claims;
mod preview;
mod token;

use std::{collections::BTreeMap, time::Duration};

use rmcp::model::{
    BooleanSchema, CallToolResponse, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction,
    ElicitationSchema, InputRequest, InputRequiredResult,
};
use rmcp::service::{ElicitationMode, ServiceError};
use serde_json::{Value, json};

use crate::{
    ToolError,
    cx::{Call, Cx},
    error::Result,
};
pub(crate) use claims::Claims;
pub(crate) use preview::{Preview, preview_text};
use token::{Claim, Terms};
pub(crate) use token::{Claimed, NoRandomness, Recalled, Replay, Tokens, Void};

/// The argument by which a plan is carried out.
pub(crate) const ARGUMENT: &str = "confirm";

/// What this argument is, for a model.
pub(crate) const ARGUMENT_MEANING: &str = "plan_token, once the user agreed.";

/// How long an answer may take, and a token is good.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// How often in a row a user is asked again because something has changed while they thought.
const ROUNDS: usize = 3;

/// The name of the one question, and of its one field.
const QUESTION: &str = "confirm";

/// When the user is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Before each change, also those that lose nothing.
    Always,
    /// Before something is lost.
    #[default]
    Ask,
    /// Never.
    Never,
}

/// The most objects that one call may destroy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MostObjects(pub(crate) usize);

impl Default for MostObjects {
    fn default() -> Self {
        Self(20)
    }
}

/// How a question reaches the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The client puts it to the user while the call waits.
    Elicitation,
    /// The client puts it to the user and calls again with the answer.
    InputRequired,
    /// The model tells the user of it and calls again with the token.
    Plan,
}

/// The form of the question: one box to tick, which is empty at first.
fn elicitation(message: String) -> Result<ElicitRequestParams> {
    let agree = |schema: BooleanSchema| schema.title("Yes, do it").with_default(false);
    let requested_schema = ElicitationSchema::builder()
        .required_bool_with(QUESTION, agree)
        .build()
        .map_err(|error| ToolError::new("internal", error))?;
    Ok(ElicitRequestParams::FormElicitationParams { meta: None, message, requested_schema })
}

/// The answer of a call whose client puts the question to the user: it calls again with this token and the answer.
fn input_required(preview: &Preview, token: String, void: Option<Void>) -> CallToolResponse {
    match elicitation(preview.text_after(void)) {
        Ok(params) => {
            let request = InputRequest::Elicitation(ElicitRequest::new(params));
            let requests = BTreeMap::from([(QUESTION.to_owned(), request)]);
            InputRequiredResult::new(Some(requests), Some(token)).into()
        }
        Err(error) => error.into_result().into(),
    }
}

impl Call {
    /// The token that this call brings: the confirmation in its arguments, or the state of a question that is answered.
    fn token(&self) -> Option<&str> {
        self.plan.as_deref().or_else(|| self.state.as_deref().filter(|_| self.answers.is_some()))
    }
}

impl Cx {
    /// Whether the user may have to be asked before this call.
    pub(crate) fn asks(&self) -> bool {
        self.server.asks_before(self.call.tool)
    }

    /// Refuses to destroy more objects at once than the settings allow.
    ///
    /// # Errors
    /// `invalid_argument`, with how many there are.
    pub(crate) fn at_most(&self, number: usize) -> Result<()> {
        let (MostObjects(most), tool) = (self.server.catalog().max_objects(), self.call.tool);
        if number <= most {
            return Ok(());
        }
        Err(ToolError::invalid_argument(format!(
            "this call would change or lose {number} objects, and {most} are the most at once (MCP_MAX_OBJECTS): nothing was done. \
             Call {tool} for fewer at a time, each with the user's agreement"
        )))
    }

    /// The plan that the user agreed to, or that needs no agreement: the very one to carry out.
    ///
    /// `measure` makes a plan and what is shown of it. It is called again after a user has thought about it, and the plan of
    /// that time is handed out where it is shown just as the one that they agreed to. A plan refers to objects by their
    /// ids, so that nothing is looked up by its name after this.
    ///
    /// # Errors
    /// Each ends the call: `declined`, or the question itself where it has to go out as the call's answer.
    pub(crate) async fn agreed<P, F>(&self, measure: impl Fn() -> F) -> Result<P>
    where
        F: Future<Output = Result<(P, Preview)>>,
    {
        let plan = self.ask(measure).await?;
        self.call.clear();
        Ok(plan)
    }

    async fn ask<P, F>(&self, measure: impl Fn() -> F) -> Result<P>
    where
        F: Future<Output = Result<(P, Preview)>>,
    {
        let always = self.server.catalog().confirm_mode() == Mode::Always;
        let (plan, preview) = measure().await?;
        if let Some(number) = preview.losses() {
            self.at_most(number)?;
        }
        if !self.asks() || !preview.asks(always) {
            return Ok(plan);
        }
        // A user who said no need not be asked whether they want something else.
        if self.call.plan.is_none()
            && let Some(answer) = self.answer()?
        {
            agreed(answer)?;
        }
        let owner = self.call.visit.owner();
        let server = self.call.backend.server_id().await?;
        let terms = Terms { owner: &owner, tool: self.call.tool, arguments: &self.call.arguments, server: &server };
        let state = preview.state();
        let mut void = None;
        if let Some(token) = self.call.token() {
            match self.server.tokens().claim(token, terms, &state).await {
                Claim::Granted(claimed) => {
                    self.call.claim(claimed);
                    return Ok(plan);
                }
                Claim::Replay(before) => return Err(self.call.answer_instead(before.outcome().await)),
                Claim::Void(why) => void = Some(why),
                Claim::Elsewhere => return Err(used_elsewhere()),
                Claim::Unrecorded(error) => {
                    tracing::error!(%error, "a claim can't be recorded (MCP_CLAIMS)");
                    let text = "the claim of this confirmation token can't be recorded (MCP_CLAIMS), so that another process could \
                                use the token too: nothing was done. Try again later with the same token";
                    return Err(ToolError::new("connection", text));
                }
                Claim::Full => {
                    let text =
                        "too many changes were confirmed within 15 minutes, so none more is made: try again later";
                    return Err(ToolError::new("conflict", text));
                }
            }
        }
        let way = self.way();
        if way == Way::Elicitation {
            return self.elicit(preview, measure).await;
        }
        let token = self.server.tokens().issue(terms, &state)?;
        Err(self.call.answer_instead(match way {
            Way::InputRequired => input_required(&preview, token, void),
            Way::Plan | Way::Elicitation => preview.into_plan(&token, void),
        }))
    }

    /// Asks a client of the older lifecycle, and waits.
    async fn elicit<P, F>(&self, mut preview: Preview, measure: impl Fn() -> F) -> Result<P>
    where
        F: Future<Output = Result<(P, Preview)>>,
    {
        let mut text = preview.text();
        for _ in 0..ROUNDS {
            let asked = self.request.peer.create_elicitation_with_timeout(elicitation(text)?, Some(PATIENCE)).await;
            let answer = asked.map_err(|error| match error {
                ServiceError::Timeout { .. } => declined("the user did not answer"),
                other => ToolError::new(
                    "connection",
                    format!("the client could not ask the user: {other}; nothing was done"),
                ),
            })?;
            agreed(answer)?;
            let (plan, now) = measure().await?;
            if now.state() == preview.state() {
                return Ok(plan);
            }
            text = now.text_after(Some(Void::Changed));
            preview = now;
        }
        Err(ToolError::new("conflict", "it changed again and again while the user was asked; nothing was done"))
    }

    /// What the client answered to the question of the round before.
    fn answer(&self) -> Result<Option<ElicitResult>> {
        let answer = self.call.answers.as_ref().and_then(|answers| answers.get(QUESTION));
        let answer = answer.map(|answer| serde_json::from_value(answer.clone())).transpose();
        answer
            .map_err(|error| ToolError::invalid_argument(format!("the answer to the question can't be read: {error}")))
    }

    fn way(&self) -> Way {
        if self.call.visit.stateless {
            let elicits = self.request.client_capabilities().and_then(|can| can.elicitation);
            return match elicits {
                Some(it) if it.form.is_some() || it.url.is_none() => Way::InputRequired,
                _ => Way::Plan,
            };
        }
        match self.request.peer.supported_elicitation_modes().contains(&ElicitationMode::Form) {
            true => Way::Elicitation,
            false => Way::Plan,
        }
    }
}

fn agreed(answer: ElicitResult) -> Result<()> {
    let ticked = || answer.content.as_ref().is_some_and(|content| content[QUESTION] == true);
    match answer.action {
        ElicitationAction::Accept if ticked() => Ok(()),
        ElicitationAction::Cancel => Err(declined("the user closed the question")),
        _ => Err(declined("the user said no")),
    }
}

fn declined(why: &str) -> ToolError {
    ToolError::new("declined", format!("{why}: nothing was done. Do not call again unless the user asks for it"))
}

/// The answer to a call whose token was used in another process: it alone knows the outcome.
pub(crate) fn used_elsewhere() -> ToolError {
    let text = "this confirmation token has been used already, in another process of this server, which alone knows the outcome: \
                look at the present state first, and only if it is not done call again without the token";
    ToolError::new("conflict", text)
}

/// The same value whatever the order of its keys.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let object: BTreeMap<&String, Value> = object.iter().map(|(key, value)| (key, sorted(value))).collect();
            json!(object)
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_arguments_does_not_matter() {
        let (one, other) = (json!({ "a": 1, "b": { "c": [2], "d": 3 } }), json!({ "b": { "d": 3, "c": [2] }, "a": 1 }));
        assert_eq!(sorted(&one).to_string(), sorted(&other).to_string());
        assert_ne!(sorted(&one), sorted(&json!({ "a": 1 })));
    }

    #[test]
    fn only_a_ticked_box_is_a_yes() {
        let accept = |content| ElicitResult::new(ElicitationAction::Accept).with_content(content);
        assert_eq!(agreed(accept(json!({ "confirm": true }))), Ok(()));
        for answer in [
            accept(json!({ "confirm": false })),
            accept(json!({})),
            ElicitResult::new(ElicitationAction::Accept),
            ElicitResult::new(ElicitationAction::Decline),
            ElicitResult::new(ElicitationAction::Cancel),
        ] {
            assert!(agreed(answer).is_err());
        }
    }
}
