//! A question that a VM asks: until somebody answers, it or one of its tasks stands still.

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::VirtualMachineQuestionInfo;

use crate::error::{Error, ErrorKind, Result, invalid};
use crate::mo::Mo;
use crate::untrusted::Untrusted;

const OPERATION: &str = "answer the question of";

/// A question that a VM waits with.
///
/// ```
/// use vsphere_ops::console::Question;
///
/// fn show(question: &Question) {
///     println!("{} asks: {}", question.vm, question.text);
///     for choice in &question.choices {
///         println!("{} {}{}", choice.key, choice.label, if choice.default { " (usual)" } else { "" });
///     }
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Question {
    /// The VM's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// The id of the question, which no other question has.
    pub question: String,
    /// What is asked. Names of files and of devices of the guest may be in it.
    pub text: Untrusted,
    /// The answers that there are.
    pub choices: Vec<Choice>,
    #[serde(skip)]
    machine: Mo<VirtualMachine>,
}

/// An answer that a question has.
///
/// ```
/// use vsphere_ops::console::Choice;
///
/// fn usual(choices: &[Choice]) -> Option<&str> {
///     choices.iter().find(|choice| choice.default).map(|choice| choice.label.as_str())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Choice {
    /// What the server calls it.
    pub key: String,
    /// What people call it.
    pub label: String,
    /// Whether it is the usual one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
}

/// A question that was answered.
///
/// ```
/// use vsphere_ops::console::Answered;
///
/// fn line(answered: &Answered) -> String {
///     format!("{} was told {:?}", answered.vm, answered.answer.label)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Answered {
    /// The VM's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// What was asked.
    pub text: Untrusted,
    /// What was answered.
    pub answer: Choice,
}

impl Mo<VirtualMachine> {
    /// The question that the VM waits with, if it has one.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// match web.question().await? {
    ///     Some(question) => println!("told {:?}", question.answer("Yes").await?.answer),
    ///     None => println!("{} asks nothing", web.label()),
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, such as a VM that is gone.
    pub async fn question(&self) -> Result<Option<Question>> {
        Ok(self.read(vm::QUESTION).await?.map(|question| Question::of(self, &question)))
    }
}

impl Question {
    fn of(machine: &Mo<VirtualMachine>, question: &VirtualMachineQuestionInfo) -> Self {
        let usual = question.choice.default_index.and_then(|index| usize::try_from(index).ok());
        let choices = question.choice.choice_info.iter().enumerate().map(|(at, choice)| Choice {
            key: choice.key.clone(),
            label: if choice.label.is_empty() { choice.summary.clone() } else { choice.label.clone() },
            default: usual == Some(at),
        });
        Self {
            vm: machine.label().to_owned(),
            id: machine.id().to_owned(),
            question: question.id.clone(),
            text: question.text.as_str().into(),
            choices: choices.collect(),
            machine: machine.clone(),
        }
    }

    /// Gives one of the answers, by its key or its label.
    ///
    /// # Errors
    /// `invalid_argument` with the answers that there are, `changed` if the VM no longer asks this, and server errors.
    pub async fn answer(self, answer: &str) -> Result<Answered> {
        let named = |error: Error| error.in_operation(OPERATION).on(self.vm.as_str());
        let wanted = answer.trim();
        let by_label = || self.choices.iter().find(|choice| choice.label.eq_ignore_ascii_case(wanted));
        let choice = self.choices.iter().find(|choice| choice.key == wanted).or_else(by_label);
        let choice = choice.ok_or_else(|| {
            let known: Vec<_> =
                self.choices.iter().map(|choice| format!("{} ({})", choice.label, choice.key)).collect();
            named(invalid(OPERATION, format!("{wanted:?} is none of the answers: {}", known.join(", "))))
        })?;
        let gone = || {
            let text = "it no longer asks this, so nothing was answered".to_owned();
            named(Error::new(OPERATION, ErrorKind::Changed(text)))
        };
        let now = self.machine.read(vm::QUESTION).await.map_err(named)?;
        if now.is_none_or(|now| now.id != self.question) {
            return Err(gone());
        }
        if let Err(error) = self.machine.answer_vm(&self.question, &choice.key).await {
            let error = Error::from(error);
            // Somebody else was faster, after it was looked at.
            return Err(if error.is_fault("InvalidArgument") { gone() } else { named(error) });
        }
        let answer = choice.clone();
        Ok(Answered { vm: self.vm, id: self.id, text: self.text, answer })
    }
}
