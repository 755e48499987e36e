//! A vSphere task's percentage becomes MCP progress.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use rmcp::{
    Peer, RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::RequestContext,
    task_manager::TaskContext,
};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot, watch,
};
use vsphere_ops::{Progress, Step, Untrusted, transfer::TransferProgress};

use crate::{render::marked, text::one_line};

/// Reports the progress of a call, where the client has asked for it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reporter {
    reports: Option<UnboundedSender<Report>>,
    /// What the call has become, where it has.
    task: Arc<OnceLock<TaskContext>>,
    latest: watch::Sender<Latest>,
}

/// What was reported last.
#[derive(Debug, Clone, Default)]
pub(crate) enum Latest {
    #[default]
    Nothing,
    Step(Step),
    /// What was just written, as it is.
    Output(&'static str, String),
    Bytes(String),
}

impl Latest {
    /// How far the call is. Names and what a guest writes stand in it as they are.
    pub(crate) fn told(&self) -> Option<Untrusted> {
        let told = match self {
            Self::Nothing => return None,
            Self::Step(Step { operation, target, progress, waits_for: None, .. }) => {
                format!("{operation} {target}: {} %", progress.percent)
            }
            Self::Step(Step { operation, target, waits_for: Some(other), .. }) => {
                format!("{operation} {target}: waits for {other}")
            }
            Self::Output(stream, text) => format!("{stream}: {text}"),
            Self::Bytes(text) => text.clone(),
        };
        Some(told.into())
    }
}

enum Report {
    /// So many tasks are to be waited for.
    Expect(usize),
    Task(Step),
    /// Something of which nobody knows how much of the whole it is.
    Text(String),
    /// Nothing follows; say when all is sent.
    End(oneshot::Sender<()>),
}

impl Reporter {
    /// A reporter for the call of this request.
    pub(crate) fn new(context: &RequestContext<RoleServer>) -> Self {
        let reports = context.meta.get_progress_token().map(|token| {
            // Unbounded, because who reports must not wait; a task reports a hundred steps at most.
            let (reports, received) = unbounded_channel();
            tokio::spawn(send(context.peer.clone(), token, received));
            reports
        });
        Self { reports, task: Arc::default(), latest: watch::Sender::default() }
    }

    /// Says how many tasks the call will wait for, each of which counts alike.
    pub(crate) fn expect(&self, tasks: usize) {
        self.tell(Report::Expect(tasks));
    }

    /// Notes how far a task is.
    pub(crate) fn step(&self, step: &Step) {
        self.latest.send_replace(Latest::Step(step.clone()));
        if let Some(task) = self.task.get() {
            task.set_status_message(message(step));
        } else if self.reports.is_some() {
            self.tell(Report::Task(step.clone()));
        }
    }

    /// Notes how far the transfer of files is.
    pub(crate) fn bytes(&self, operation: &str, target: &str, sent: &TransferProgress) {
        let Some(percent) = sent.percent() else {
            let text = format!("{operation} {}: {} MB", one_line(target), sent.bytes / 1_000_000);
            self.latest.send_replace(Latest::Bytes(text.clone()));
            self.text(text);
            return;
        };
        self.step(&Step {
            task: operation.to_owned(),
            operation: operation.to_owned(),
            target: target.to_owned(),
            progress: Progress { percent, queued: false },
            waits_for: None,
        });
    }

    /// Notes what a command has written, which progress marks as what a guest says.
    pub(crate) fn output(&self, stream: &'static str, text: &str) {
        self.latest.send_replace(Latest::Output(stream, text.to_owned()));
        self.text(format!("{stream}: {}", marked(text)));
    }

    /// Notes what another call has noted.
    pub(crate) fn relay(&self, latest: &Latest) {
        match latest {
            Latest::Nothing => {}
            Latest::Step(step) => self.step(step),
            Latest::Output(stream, text) => self.output(stream, text),
            Latest::Bytes(text) => self.text(text.clone()),
        }
    }

    /// Tells something of which nobody knows how much of the whole it is.
    fn text(&self, text: String) {
        match self.task.get() {
            Some(task) => task.set_status_message(text),
            None => self.tell(Report::Text(text)),
        }
    }

    /// What was reported last, and what follows.
    pub(crate) fn latest(&self) -> watch::Receiver<Latest> {
        self.latest.subscribe()
    }

    /// Whether the client sees the progress of this call.
    pub(crate) fn is_heard(&self) -> bool {
        self.reports.is_some()
    }

    /// Reports from now on in the status of the task that the call has become.
    pub(crate) fn tell_task(&self, task: TaskContext) {
        // A call becomes a task once.
        let _ = self.task.set(task);
    }

    /// Waits until the last report is sent: progress that arrives after the answer confuses clients.
    pub(crate) async fn finish(&self) {
        let (ended, has_ended) = oneshot::channel();
        self.tell(Report::End(ended));
        // It is dropped where nobody listens.
        let _ = has_ended.await;
    }

    fn tell(&self, report: Report) {
        if let Some(reports) = &self.reports {
            // The other side is gone only when the client is.
            let _ = reports.send(report);
        }
    }
}

async fn send(peer: Peer<RoleServer>, token: ProgressToken, mut received: UnboundedReceiver<Report>) {
    let mut overall = Overall::default();
    while let Some(report) = received.recv().await {
        let step = match report {
            Report::Expect(tasks) => {
                overall.expected = tasks;
                continue;
            }
            Report::Task(step) => step,
            Report::Text(text) => {
                let step = ProgressNotificationParam::new(token.clone(), overall.nudge()).with_message(text);
                if peer.notify_progress(step).await.is_err() {
                    return;
                }
                continue;
            }
            Report::End(ended) => {
                let _ = ended.send(());
                return;
            }
        };
        let Some(progress) = overall.advance(&step) else { continue };
        let step =
            ProgressNotificationParam::new(token.clone(), progress).with_total(100.0).with_message(message(&step));
        if peer.notify_progress(step).await.is_err() {
            return;
        }
    }
}

/// How far a task is, for people.
fn message(step: &Step) -> String {
    match &step.waits_for {
        Some(other) => format!("{} {}: waits for {}", step.operation, one_line(&step.target), one_line(other)),
        None => format!("{} {}: {} %", step.operation, one_line(&step.target), step.progress.percent),
    }
}

/// How far a call of several tasks is.
#[derive(Default)]
struct Overall {
    expected: usize,
    percents: BTreeMap<String, f64>,
    sent: Option<f64>,
}

impl Overall {
    /// What is no further than before as far as anybody knows is told all the same: MCP wants each report above the last.
    fn nudge(&mut self) -> f64 {
        let progress = self.sent.map_or(0.0, |sent| sent + 0.001);
        self.sent = Some(progress);
        progress
    }

    /// Takes in a task's progress. Answers that of the call where it is above what was told before, as MCP wants it.
    fn advance(&mut self, step: &Step) -> Option<f64> {
        if step.waits_for.is_some() {
            return Some(self.nudge());
        }
        self.percents.insert(step.task.clone(), f64::from(step.progress.percent));
        let tasks = self.percents.len().max(self.expected);
        let progress = self.percents.values().sum::<f64>() / tasks as f64;
        if self.sent.is_some_and(|sent| progress <= sent) {
            return None;
        }
        self.sent = Some(progress);
        Some(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_line_of_progress() {
        let step = Step {
            task: "task-1".to_owned(),
            operation: "power off".to_owned(),
            target: "a\nDone.\u{202e}".to_owned(),
            progress: Progress { percent: 5, queued: false },
            waits_for: None,
        };
        assert_eq!(message(&step), "power off a\\nDone.\\u{202e}: 5 %");
    }

    #[test]
    fn progress_only_grows_and_counts_what_is_still_to_come() {
        let step = |task: &str, percent| Step {
            task: task.to_owned(),
            operation: "power off".to_owned(),
            target: "a".to_owned(),
            progress: Progress { percent, queued: false },
            waits_for: None,
        };
        let mut overall = Overall { expected: 2, ..Overall::default() };
        assert_eq!(overall.advance(&step("task-1", 0)), Some(0.0));
        assert_eq!(overall.advance(&step("task-1", 100)), Some(50.0));
        assert_eq!(overall.advance(&step("task-2", 0)), None);
        assert_eq!(overall.advance(&step("task-2", 50)), Some(75.0));
        // A task that was not expected does not turn it back.
        assert_eq!(overall.advance(&step("task-3", 0)), None);
        assert_eq!(overall.advance(&step("task-3", 100)), Some(250.0 / 3.0));
    }
}
