//! Watching tasks: one property collector and one filter for any number of them.

use std::collections::HashMap;

use vsphere_model::types::{
    Any, LocalizedMethodFault, ManagedObjectNotFound, ManagedObjectReference, ObjectSpec, ObjectUpdate,
    ObjectUpdateKind, PropertyFilterSpec, TaskInfoState,
};

use super::Progress;
use crate::client::Client;
use crate::error::{Category, Error, ErrorKind, Result};
use crate::read::property_spec;
use crate::waiter::Waiter;
use crate::watch::{Pause, is_away};

/// How often in a row a collector that was lost, or could not be made, is made again before that is reported.
const REOPENED: u32 = 3;

/// How a task ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Success(Any),
    Failed(LocalizedMethodFault),
    /// The server forgot it before its end was seen.
    Gone,
}

/// Tasks under watch.
pub(super) struct Watch {
    client: Client,
    tasks: Vec<ManagedObjectReference>,
    states: Vec<State>,
    waiter: Waiter,
    lost: u32,
}

impl Watch {
    pub(super) async fn open(client: &Client, tasks: Vec<ManagedObjectReference>) -> Result<Self> {
        let mut states: Vec<State> = tasks.iter().map(|_| State::default()).collect();
        let mut lost = 0;
        let waiter = open(client, &tasks, &mut states, &mut lost).await?;
        Ok(Self { client: client.clone(), tasks, states, waiter, lost: 0 })
    }

    /// Waits for news, and tells which tasks they are of. The first ones are the states as they are, so that a task that
    /// is done already is seen.
    pub(super) async fn next(&mut self) -> Result<Vec<usize>> {
        // Found gone when the filter was made: no update will tell.
        let gone: Vec<usize> = self.unreported().collect();
        if !gone.is_empty() {
            return Ok(gone);
        }
        let update = match self.waiter.next().await {
            Ok(update) => update,
            // The collector ended with its session or with the connection, the tasks did not.
            Err(error) => {
                again(error, &mut self.lost).await?;
                self.waiter = open(&self.client, &self.tasks, &mut self.states, &mut self.lost).await?;
                return Ok(Vec::new());
            }
        };
        self.lost = 0;
        let Some(update) = update else { return Ok(Vec::new()) };
        let mut by_id: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, task) in self.tasks.iter().enumerate() {
            by_id.entry(&task.value).or_default().push(index);
        }
        let mut changed = Vec::new();
        for filter in update.filter_set {
            let missing = filter.missing_set.into_iter().map(|missing| ObjectUpdate {
                kind: ObjectUpdateKind::Leave,
                obj: missing.obj,
                ..Default::default()
            });
            for object in filter.object_set.into_iter().chain(missing) {
                for index in by_id.get(object.obj.value.as_str()).into_iter().flatten() {
                    if let Some(state) = self.states.get_mut(*index) {
                        state.apply(&object);
                        if !changed.contains(index) {
                            changed.push(*index);
                        }
                    }
                }
            }
        }
        Ok(changed)
    }

    pub(super) fn progress(&self, index: usize) -> Option<Progress> {
        self.states.get(index)?.progress()
    }

    /// How a task ended, once.
    pub(super) fn take_outcome(&mut self, index: usize) -> Option<Outcome> {
        self.states.get_mut(index)?.take_outcome()
    }

    pub(super) async fn close(self) {
        self.waiter.close().await;
    }

    fn unreported(&self) -> impl Iterator<Item = usize> {
        self.states.iter().enumerate().filter(|(_, state)| state.gone && !state.told).map(|(index, _)| index)
    }
}

/// What is known of a task.
#[derive(Debug, Default)]
struct State {
    state: Option<TaskInfoState>,
    percent: Option<i32>,
    error: Option<LocalizedMethodFault>,
    result: Any,
    gone: bool,
    /// Whether its outcome was taken.
    told: bool,
}

impl State {
    fn apply(&mut self, update: &ObjectUpdate) {
        if matches!(update.kind, ObjectUpdateKind::Leave) {
            self.gone = true;
        }
        for change in &update.change_set {
            let value = change.val.clone().unwrap_or_default();
            match change.name.as_str() {
                "info.state" => self.state = value.take().ok(),
                "info.progress" => self.percent = value.take().ok(),
                "info.error" => self.error = value.take().ok(),
                "info.result" => self.result = value,
                _ => {}
            }
        }
    }

    fn progress(&self) -> Option<Progress> {
        let percent = match self.state.as_ref()? {
            TaskInfoState::Success => 100,
            _ => self.percent.unwrap_or(0).clamp(0, 100),
        };
        let queued = matches!(self.state, Some(TaskInfoState::Queued));
        Some(Progress { percent: u8::try_from(percent).unwrap_or(100), queued })
    }

    fn take_outcome(&mut self) -> Option<Outcome> {
        if self.told {
            return None;
        }
        // `cancelled` alone is not an end: only these two states are.
        let outcome = match self.state {
            Some(TaskInfoState::Success) => Outcome::Success(std::mem::take(&mut self.result)),
            Some(TaskInfoState::Error) => Outcome::Failed(self.error.take().unwrap_or_default()),
            _ if self.gone => Outcome::Gone,
            _ => return None,
        };
        self.told = true;
        Some(outcome)
    }
}

/// Opens a filter on the tasks that have not ended, again where the connection or the collector was lost meanwhile.
async fn open(
    client: &Client,
    tasks: &[ManagedObjectReference],
    states: &mut [State],
    lost: &mut u32,
) -> Result<Waiter> {
    loop {
        match open_once(client, tasks, states).await {
            Ok(waiter) => return Ok(waiter),
            Err(error) => again(error, lost).await?,
        }
    }
}

/// Waits before a watch that was lost is opened again. What it was made of ends with the session, so nothing is done
/// twice.
///
/// # Errors
/// Another watch would not help, or was opened too often.
async fn again(error: Error, lost: &mut u32) -> Result<()> {
    // A time limit that cuts the wait is the client's own setting.
    let away = is_away(&error) && error.category() != Category::Timeout;
    if !error.is_not_found() && !away {
        return Err(error);
    }
    if *lost >= REOPENED {
        let text = format!("the server lost what the task is watched with {} times: {}", *lost + 1, error.kind());
        return Err(if away { error } else { Error::new("wait", ErrorKind::Session(text)) });
    }
    *lost += 1;
    if away {
        Pause::after(*lost).rest(&error).await;
    }
    Ok(())
}

/// Opens the filter; tasks that the server does not know are marked as gone.
async fn open_once(client: &Client, tasks: &[ManagedObjectReference], states: &mut [State]) -> Result<Waiter> {
    let waiter = Waiter::open(client).await?;
    loop {
        let mut object_set: Vec<ObjectSpec> = Vec::new();
        for (task, state) in tasks.iter().zip(&*states) {
            if !state.gone && !state.told && !object_set.iter().any(|object| object.obj == *task) {
                object_set.push(ObjectSpec { obj: task.clone(), ..Default::default() });
            }
        }
        if object_set.is_empty() {
            return Ok(waiter);
        }
        let spec = PropertyFilterSpec {
            prop_set: vec![property_spec("Task", ["info.state", "info.progress", "info.error", "info.result"])],
            object_set,
            report_missing_objects_in_results: Some(true),
        };
        let Err(error) = waiter.watch(&spec).await else { return Ok(waiter) };
        let unknown = error.fault::<ManagedObjectNotFound>().map(|fault| fault.obj.value.clone());
        let mut found = false;
        for (task, state) in tasks.iter().zip(&mut *states) {
            if unknown.as_ref() == Some(&task.value) && !state.gone {
                state.gone = true;
                found = true;
            }
        }
        if !found {
            return Err(error);
        }
    }
}
