//! What a user is shown before something is lost: measured, complete, and one question whatever names say.

use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock};
use serde::Serialize;
use serde_json::{Value, json};

use super::{ARGUMENT, PATIENCE, Void};
use crate::{
    ToolError,
    answer::visible,
    error::Result,
    render,
    text::{one_line, quoted},
};

/// The most objects that are shown with all that is known of them; of the others the names are.
const MOST_SHOWN: usize = 20;

/// What changes by itself from one look to the next, and therefore voids no answer.
const VOLATILE: [&str; 6] =
    ["uptime_seconds", "storage_used_bytes", "used_bytes", "size_bytes", "free_bytes", "guest_heartbeat"];

/// What a call would do and lose, measured just now.
///
/// Everything that is shown is bound: when any of it changes before the call is made, the user's answer is void.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Preview {
    question: String,
    notes: Vec<String>,
    objects: Vec<Value>,
    /// What is bound without being shown.
    bound: Vec<Value>,
    harmless: bool,
}

impl Preview {
    /// A preview under this question, such as `Delete 2 virtual machines with their disks?`. Names in it are to be
    /// [`quoted`](crate::text::quoted); whatever they hold, the question stays on one line.
    pub(crate) fn new(question: impl AsRef<str>) -> Self {
        Self {
            question: one_line(question.as_ref()),
            notes: Vec::new(),
            objects: Vec::new(),
            bound: Vec::new(),
            harmless: false,
        }
    }

    /// Adds an object that would be changed or lost.
    pub(crate) fn object(mut self, shown: impl Serialize) -> Result<Self> {
        self.objects.push(value(shown)?);
        Ok(self)
    }

    /// Adds what is not worth showing and yet voids the answer when it changes.
    pub(crate) fn bind(mut self, state: impl Serialize) -> Result<Self> {
        self.bound.push(value(state)?);
        Ok(self)
    }

    /// Adds something that the user should know, such as a gentler way.
    pub(crate) fn note(mut self, note: impl AsRef<str>) -> Self {
        self.notes.push(one_line(note.as_ref()));
        self
    }

    /// Says that nothing is lost, so that the user is asked only where the settings want a question before each change.
    pub(crate) fn harmless(self) -> Self {
        Self { harmless: true, ..self }
    }

    /// Several previews, each of one object with its name, under one question.
    pub(crate) fn join(question: impl AsRef<str>, parts: impl IntoIterator<Item = (String, Self)>) -> Self {
        let mut joined = Self::new(question).harmless();
        for (name, part) in parts {
            joined.notes.extend(part.notes.into_iter().map(|note| format!("{}: {note}", quoted(&name))));
            joined.objects.extend(part.objects);
            joined.bound.extend(part.bound);
            joined.harmless &= part.harmless;
        }
        joined
    }

    /// Whether there is something to ask, where `always` says that the settings want a question before each change.
    pub(super) fn asks(&self, always: bool) -> bool {
        !self.objects.is_empty() && (always || !self.harmless)
    }

    /// How many objects are shown, where something is lost with them.
    pub(super) fn losses(&self) -> Option<usize> {
        (!self.harmless).then_some(self.objects.len())
    }

    /// All that has to be as it was when the user answered.
    pub(super) fn state(&self) -> Value {
        let objects: Vec<Value> = self.objects.iter().cloned().map(lasting).collect();
        json!([self.question, self.notes, objects, self.bound])
    }

    /// The question as text for people.
    pub(super) fn text(&self) -> String {
        let mut text = self.question.clone();
        for note in &self.notes {
            text.push('\n');
            text.push_str(note);
        }
        text.push_str("\n\n");
        let shown: Value = self.objects.iter().take(MOST_SHOWN).cloned().collect();
        text.push_str(&render::table(&shown));
        let others = self.others();
        if !others.is_empty() {
            text.push_str(&format!("\nand {} more: {}", others.len(), others.join(", ")));
        }
        text
    }

    /// The question, after the reason why the answer before does not count.
    pub(super) fn text_after(&self, void: Option<Void>) -> String {
        match void {
            Some(void) => format!("{void}\n\n{}", self.text()),
            None => self.text(),
        }
    }

    /// The names of the objects that are not shown in full.
    fn others(&self) -> Vec<String> {
        self.objects.iter().skip(MOST_SHOWN).map(name_of).collect()
    }

    /// The answer of a call whose client can't ask the user: the preview, and the token by which the call is confirmed.
    pub(super) fn into_plan(self, token: &str, void: Option<Void>) -> CallToolResponse {
        let how = format!(
            "NOT DONE YET. Show this to the user; if they agree, call again with the same arguments and \"{ARGUMENT}\": \
             \"{token}\". It is good once, for {} minutes, and void when what is shown changes.",
            PATIENCE.as_secs() / 60
        );
        let text = self.text_after(void);
        let mut result = CallToolResult::success(vec![ContentBlock::text(format!("{text}\n\n{how}"))]);
        let others = self.others();
        let shown = visible(self.objects.iter().take(MOST_SHOWN).cloned().collect());
        result.structured_content = Some(json!({
            "confirmation_required": true,
            "question": self.question,
            "notes": self.notes,
            "objects": shown,
            "others": others,
            "total": self.objects.len(),
            "void": void.map(|void| json!({ "code": void.code(), "message": void.to_string() })),
            "plan_token": token,
            "expires_in_seconds": PATIENCE.as_secs(),
        }));
        result.into()
    }
}

fn value(shown: impl Serialize) -> Result<Value> {
    serde_json::to_value(shown).map_err(|error| ToolError::new("internal", error.to_string()))
}

/// What an object is called, with its id where it has one.
fn name_of(object: &Value) -> String {
    let text = |keys: &[&str]| keys.iter().find_map(|key| object[key].as_str()).map(one_line);
    match (text(&["name", "vm", "label", "path"]), text(&["id"])) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => one_line(&object.to_string()),
    }
}

/// An object without what changes by itself.
fn lasting(object: Value) -> Value {
    match object {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(key, _)| !VOLATILE.contains(&key.as_str()));
            kept.map(|(key, value)| (key, lasting(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(lasting).collect(),
        other => other,
    }
}

/// A plan's preview as text for people, without the token.
pub(crate) fn preview_text(plan: &Value) -> String {
    let mut plan = plan.clone();
    if let Some(plan) = plan.as_object_mut() {
        let shown = ["question", "notes", "objects", "others", "total"];
        plan.retain(|key, value| shown.contains(&key.as_str()) && value.as_array().is_none_or(|all| !all.is_empty()));
    }
    render::table(&plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(count: usize) -> Preview {
        let new = Preview::new(format!("Delete {count}?"));
        (0..count).fold(new, |preview, number| {
            preview.object(json!({ "name": format!("vm-{number}"), "id": format!("id-{number}") })).unwrap()
        })
    }

    #[test]
    fn every_object_is_shown_or_named() {
        let text = many(33).text();
        for number in 0..33 {
            assert!(text.contains(&format!("vm-{number}")), "{number}: {text}");
        }
        assert!(text.contains("and 13 more: vm-20 (id-20), vm-21 (id-21)"), "{text}");
        assert!(!many(20).text().contains("more"));
    }

    #[test]
    fn all_that_is_shown_is_bound_but_for_what_changes_by_itself() {
        let state = |note: &str, uptime: i32, hidden: i32| {
            let shown =
                json!({ "name": "a", "note": note, "uptime_seconds": uptime, "disks": [{ "used_bytes": uptime }] });
            Preview::new("Delete a?").object(shown).unwrap().bind(hidden).unwrap().state()
        };
        assert_eq!(state("old", 1, 7), state("old", 2, 7));
        assert_ne!(state("old", 1, 7), state("DO NOT DELETE", 1, 7));
        assert_ne!(state("old", 1, 7), state("old", 1, 8));
        let noted = Preview::new("Delete a?").note("It runs.");
        assert_ne!(noted.state(), Preview::new("Delete a?").state());
        assert_ne!(Preview::new("Delete b?").state(), Preview::new("Delete a?").state());
    }

    #[test]
    fn what_loses_nothing_is_asked_only_where_all_is() {
        let harmless = many(1).harmless();
        assert!(!harmless.asks(false) && harmless.asks(true));
        assert!(many(1).asks(false));
        assert!(!many(0).asks(true));
    }
}
