//! Asking before something is destroyed.
//!
//! A tool measures what will be lost and asks by [`Cx::confirm`]. How the question reaches the user depends on the client:
//!
//! | the client | the question is |
//! |---|---|
//! | speaks 2026-07-28 and can elicit | an `InputRequiredResult`; its state is sealed, and the call is made again with the answer |
//! | is older and can elicit | an elicitation; the call waits for the answer |
//! | can do neither | a result with the preview and a plan token, with which the model calls again once the user agrees |
//!
//! State and token are sealed over who asks, the tool, its arguments, and what was shown: when the object has changed,
//! they are void and the question is asked anew.

use std::{collections::BTreeMap, time::Duration};

use ring::{
    digest::{SHA256, digest},
    rand,
};
use rmcp::model::{
    BooleanSchema, CallToolResponse, CallToolResult, ContentBlock, ElicitRequest, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationSchema, InputRequest, InputRequiredResult, ProtocolVersion, RequestStateCodec,
    RequestStateError, SealOptions,
};
use rmcp::service::{ElicitationMode, ServiceError};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ToolError, answer::fit, cx::Cx, error::Result, render};

/// The argument by which a plan is carried out.
pub(crate) const ARGUMENT: &str = "confirm";

/// What this argument is, for a model.
pub(crate) const ARGUMENT_MEANING: &str = "The plan_token of this tool's preview, once the user has agreed to it.";

/// How long an answer may take, and a plan is good.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// How often in a row a user is asked anew because something has changed while he thought.
const ROUNDS: usize = 3;

/// The most objects that are shown in full.
const MOST_SHOWN: usize = 20;

/// The name of the one question, and of its one field.
const QUESTION: &str = "confirm";

/// When is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Before each change, also those that destroy nothing.
    Always,
    /// Before what destroys.
    #[default]
    Ask,
    /// Never.
    Never,
}

/// What a call would destroy, measured just now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Preview {
    question: String,
    notes: Vec<String>,
    objects: Vec<Value>,
    /// What voids the user's answer when it changes.
    bound: Vec<Value>,
}

impl Preview {
    /// A preview under this question, such as `Delete 2 virtual machines with their disks?`.
    pub(crate) fn new(question: impl Into<String>) -> Self {
        Self { question: question.into(), notes: Vec::new(), objects: Vec::new(), bound: Vec::new() }
    }

    /// Adds an object: what is shown of it, and the part of its state that must still be the same when it is done. What
    /// changes by itself, such as a time that passes, is shown but not bound.
    pub(crate) fn object(mut self, shown: &impl Serialize, bound: impl Serialize) -> Result<Self> {
        let value =
            |value: serde_json::Result<Value>| value.map_err(|error| ToolError::new("internal", error.to_string()));
        self.objects.push(value(serde_json::to_value(shown))?);
        self.bound.push(value(serde_json::to_value(bound))?);
        Ok(self)
    }

    /// Adds something that the user should know, such as a gentler way.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Whether nothing would be lost.
    fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The question as text for people.
    fn text(&self) -> String {
        let mut text = self.question.clone();
        for note in &self.notes {
            text.push('\n');
            text.push_str(note);
        }
        text.push_str("\n\n");
        let shown: Value = self.objects.iter().take(MOST_SHOWN).cloned().collect();
        text.push_str(&render::table(&shown));
        if let Some(more) = self.objects.len().checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
            text.push_str(&format!("\n… and {more} more"));
        }
        text
    }
}

/// What goes out in the place of an answer, because the user has to be asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    preview: Preview,
    token: String,
    /// Why the answer before does not count.
    void: Option<&'static str>,
    way: Way,
}

/// How a question goes out with the answer of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Way {
    /// As one that the client puts to the user.
    Question,
    /// As a plan that the model tells the user of.
    Plan,
}

impl Question {
    /// The answer of the call.
    pub(crate) fn into_response(self) -> CallToolResponse {
        let text = match self.void {
            Some(why) => format!("{why}\n\n{}", self.preview.text()),
            None => self.preview.text(),
        };
        if self.way == Way::Question {
            return match elicitation(text) {
                Ok(params) => {
                    let request = InputRequest::Elicitation(ElicitRequest::new(params));
                    let requests = BTreeMap::from([(QUESTION.to_owned(), request)]);
                    InputRequiredResult::new(Some(requests), Some(self.token)).into()
                }
                Err(error) => error.into_result().into(),
            };
        }
        let how = format!(
            "NOT DONE YET. Show this to the user; if he agrees, call again with the same arguments and \"{ARGUMENT}\": \
             \"{}\". It is good for {} minutes, and void when what is shown changes.",
            self.token,
            PATIENCE.as_secs() / 60
        );
        let mut result = CallToolResult::success(vec![ContentBlock::text(format!("{text}\n\n{how}"))]);
        let shown: Vec<&Value> = self.preview.objects.iter().take(MOST_SHOWN).collect();
        result.structured_content = Some(fit(json!({
            "confirmation_required": true,
            "question": self.preview.question,
            "notes": self.preview.notes,
            "objects": shown,
            "total": self.preview.objects.len(),
            "void": self.void,
            "plan_token": self.token,
            "expires_in_seconds": PATIENCE.as_secs(),
        })));
        result.into()
    }
}

/// A plan's preview as text for people, without the token.
pub(crate) fn preview_text(plan: &Value) -> String {
    let mut plan = plan.clone();
    if let Some(plan) = plan.as_object_mut() {
        plan.retain(|key, _| matches!(key.as_str(), "question" | "notes" | "objects" | "total"));
    }
    render::table(&plan)
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

/// Seals and opens the states of questions.
pub(crate) struct Seal(RequestStateCodec);

/// There is no good randomness.
#[derive(Debug)]
pub(crate) struct NoRandomness;

impl Seal {
    /// A seal that only this process knows.
    pub(crate) fn new() -> std::result::Result<Self, NoRandomness> {
        let key: rand::Random<[u8; 32]> = rand::generate(&rand::SystemRandom::new()).map_err(|_| NoRandomness)?;
        RequestStateCodec::try_new(key.expose().to_vec()).map(Self).map_err(|_| NoRandomness)
    }

    fn close(&self, context: &[u8]) -> String {
        self.0.seal_with(&[], &SealOptions::new().associated_data(context).ttl(PATIENCE))
    }

    /// Why a sealed state does not fit, or `Ok` where it does.
    fn check(&self, sealed: &str, context: &[u8]) -> std::result::Result<(), &'static str> {
        match self.0.open_with(sealed, context) {
            Ok(_) => Ok(()),
            Err(RequestStateError::Expired) => Err("The answer came too late, so it is asked again."),
            Err(_) => Err(CHANGED),
        }
    }
}

const CHANGED: &str =
    "What was agreed to is not what is there now, or not what is asked for now, so it is asked again.";

impl Cx {
    /// Asks whether to go on, unless the settings or an empty preview make that needless.
    ///
    /// `measure` looks at what will be lost. It is called again after a user has thought about it: what he agreed to must
    /// still be what is there.
    ///
    /// # Errors
    /// Each ends the call: `declined`, or the question itself where it has to go out as the call's answer.
    pub(crate) async fn confirm<F>(&self, measure: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<Preview>>,
    {
        self.ask(measure).await?;
        self.call.clear();
        Ok(())
    }

    async fn ask<F>(&self, measure: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<Preview>>,
    {
        if !self.server.asks_before(&self.call.tool) {
            return Ok(());
        }
        let preview = measure().await?;
        if preview.is_empty() {
            return Ok(());
        }
        let seal = self.server.seal();
        let mut void = None;
        if let Some(plan) = &self.call.plan {
            match seal.check(plan, &self.context_of(&preview, Way::Plan)) {
                Ok(()) => return Ok(()),
                Err(why) => void = Some(why),
            }
        }
        if let (Some(state), Some(answer)) = (&self.call.state, self.answer()?) {
            // Whoever said no need not be asked whether he wants something else.
            agreed(answer)?;
            match seal.check(state, &self.context_of(&preview, Way::Question)) {
                Ok(()) => return Ok(()),
                Err(why) => void = Some(why),
            }
        }
        let way = match (self.can_elicit(), self.is_stateless()) {
            (true, false) => return self.elicit(preview, measure).await,
            (true, true) => Way::Question,
            (false, _) => Way::Plan,
        };
        let token = seal.close(&self.context_of(&preview, way));
        Err(self.call.ask(Question { preview, token, void, way }))
    }

    /// Asks a client of the older lifecycle, and waits.
    async fn elicit<F>(&self, mut preview: Preview, measure: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<Preview>>,
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
            let now = measure().await?;
            if now.question == preview.question && now.bound == preview.bound {
                return Ok(());
            }
            text = format!("{CHANGED}\n\n{}", now.text());
            preview = now;
        }
        Err(ToolError::new("conflict", "it changed again and again while the user was asked; nothing was done"))
    }

    /// What the client answered to the question of the round before.
    fn answer(&self) -> Result<Option<ElicitResult>> {
        let answer = self.call.answers.as_ref().and_then(|answers| answers.get(QUESTION));
        let answer = answer.map(|answer| serde_json::from_value(answer.clone())).transpose();
        answer.map_err(|error| ToolError::invalid_argument(format!("the answer to the question is none: {error}")))
    }

    /// What a sealed state is bound to.
    fn context_of(&self, preview: &Preview, way: Way) -> Vec<u8> {
        let call = &self.call;
        let arguments = sorted(&Value::Object(call.arguments.clone()));
        let all = json!([way, call.caller.name, call.tool, arguments, preview.question, preview.bound]);
        digest(&SHA256, all.to_string().as_bytes()).as_ref().to_vec()
    }

    fn is_stateless(&self) -> bool {
        self.request.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
    }

    fn can_elicit(&self) -> bool {
        if self.is_stateless() {
            let elicits = self.request.client_capabilities().and_then(|can| can.elicitation);
            return elicits.is_some_and(|it| it.form.is_some() || it.url.is_none());
        }
        self.request.peer.supported_elicitation_modes().contains(&ElicitationMode::Form)
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
    fn a_seal_holds_for_its_context_alone() {
        let seal = Seal::new().unwrap();
        let sealed = seal.close(b"one");
        assert_eq!(seal.check(&sealed, b"one"), Ok(()));
        assert_eq!(seal.check(&sealed, b"two"), Err(CHANGED));
        assert_eq!(seal.check("rs1.forged", b"one"), Err(CHANGED));
        assert_eq!(Seal::new().unwrap().check(&sealed, b"one"), Err(CHANGED));
    }

    #[test]
    fn the_order_of_arguments_does_not_matter() {
        let (one, other) = (json!({ "a": 1, "b": { "c": [2], "d": 3 } }), json!({ "b": { "d": 3, "c": [2] }, "a": 1 }));
        assert_eq!(sorted(&one).to_string(), sorted(&other).to_string());
        assert_ne!(sorted(&one), sorted(&json!({ "a": 1 })));
    }

    #[test]
    fn many_objects_are_counted_not_shown() {
        let mut preview = Preview::new("Delete 23?");
        for number in 0..23 {
            preview = preview.object(&json!({ "name": format!("vm-{number}") }), number).unwrap();
        }
        let text = preview.text();
        assert!(text.contains("vm-19") && !text.contains("vm-20") && text.ends_with("… and 3 more"), "{text}");
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
