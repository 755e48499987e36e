//! What is known of the watched objects, and the queues of those who watch them. Nothing here talks to the server.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use vsphere_model::types::{
    Any, DynamicProperty, ManagedObjectReference, MissingProperty, ObjectUpdate, ObjectUpdateKind, PropertyChange,
    PropertyChangeOp, UpdateSet,
};

use crate::error::Error;
use crate::read::Values;

/// How many changes may wait for a consumer beyond one per object. One that lags further is told the whole state again.
const BACKLOG: usize = 4096;

/// How long the server may be silent before what is known is no longer taken as current. Where nothing happens it says so
/// every ten seconds.
const SILENCE: Duration = Duration::from_secs(15);

/// The objects of one subject and their consumers.
pub(crate) struct Feed {
    state: Mutex<State>,
    /// Told when the last consumer has left.
    pub(super) deserted: Notify,
    /// Told when somebody wants the server to be asked at once.
    pub(super) asked: Notify,
}

impl Feed {
    pub(super) fn new(paths: Vec<&'static str>, keeping: Keeping) -> Self {
        Self { state: Mutex::new(State::new(paths, keeping, BACKLOG)), deserted: Notify::new(), asked: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a feed keeps the values that it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// It does, for consumers to come and for those that lag.
    Values,
    /// It does not: there is one consumer, who keeps what is made of them, and is told of changes only. Where that one lags, all is
    /// read again.
    Nothing,
}

/// A watched object with the values of all watched properties; of those that have changed, where the feed keeps none.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) object: ManagedObjectReference,
    /// In the order of the subject's paths.
    values: Vec<Any>,
    missing: Vec<MissingProperty>,
}

impl Held {
    /// The values, for a row to be taken out of.
    pub(super) fn into_values(self, paths: &[&'static str]) -> Values {
        let set = paths.iter().zip(self.values).filter(|(_, value)| *value != Any::Unset);
        let set = set.map(|(path, val)| DynamicProperty { name: (*path).to_owned(), val });
        Values::new(set.collect(), self.missing)
    }

    /// The text of a property.
    pub(super) fn text(&self, paths: &[&'static str], path: &str) -> Option<&str> {
        let index = paths.iter().position(|own| *own == path)?;
        self.values.get(index)?.as_str()
    }
}

/// A change before it becomes a typed row.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    Entered(Arc<Held>),
    Changed(Arc<Held>, Vec<&'static str>),
    Left(ManagedObjectReference),
    Resync,
    Live,
    /// All that the server knew when this question was asked is told.
    Looked(u64),
    Failed(Error),
}

impl Raw {
    /// The object that it tells of.
    pub(super) fn object(&self) -> Option<&ManagedObjectReference> {
        match self {
            Self::Entered(held) | Self::Changed(held, _) => Some(&held.object),
            Self::Left(object) => Some(object),
            Self::Resync | Self::Live | Self::Looked(_) | Self::Failed(_) => None,
        }
    }

    /// The id and the name of the object that it tells of; no name where it is gone, or the user may not read it.
    pub(super) fn named(&self, paths: &[&'static str]) -> Option<(String, Option<String>)> {
        let name = match self {
            Self::Entered(held) | Self::Changed(held, _) => held.text(paths, "name").map(crate::name::decode),
            _ => None,
        };
        Some((self.object()?.value.clone(), name))
    }
}

/// What is known, and who wants to know.
pub(super) struct State {
    paths: Vec<&'static str>,
    keeping: Keeping,
    /// The objects that were told, with their values where these are kept.
    objects: HashMap<ManagedObjectReference, Option<Arc<Held>>>,
    /// Whether all objects are known: the first answer may come in pieces.
    complete: bool,
    /// Whether the last request was answered.
    reached: bool,
    /// When the server last said that this is all.
    confirmed: Option<Instant>,
    /// The last question of somebody who wants the server to be asked at once, and the last that was answered.
    asked: u64,
    looked: u64,
    failed: bool,
    /// More waited for the consumer than may, and can't be told again: all is to be read again.
    behind: bool,
    consumers: HashMap<u64, Queue>,
    next_consumer: u64,
    backlog: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Raw>,
    /// What waited was too much and was thrown away.
    lagged: bool,
    waker: Option<Waker>,
}

impl State {
    fn new(paths: Vec<&'static str>, keeping: Keeping, backlog: usize) -> Self {
        Self {
            paths,
            keeping,
            objects: HashMap::new(),
            complete: false,
            reached: false,
            confirmed: None,
            asked: 0,
            looked: 0,
            failed: false,
            behind: false,
            consumers: HashMap::new(),
            next_consumer: 0,
            backlog,
        }
    }

    /// A new consumer, who is told the state as it is first.
    pub(super) fn join(&mut self) -> u64 {
        let id = self.next_consumer;
        self.next_consumer += 1;
        let queue = Queue { waiting: self.whole(), ..Default::default() };
        self.consumers.insert(id, queue);
        id
    }

    /// A consumer leaves. Whether that was the last one.
    pub(super) fn leave(&mut self, id: u64) -> bool {
        self.consumers.remove(&id);
        self.consumers.is_empty()
    }

    /// The next change for a consumer; `None` after a failure was told.
    pub(super) fn poll(&mut self, id: u64, context: &mut Context<'_>) -> Poll<Option<Raw>> {
        match self.take(id) {
            Some(raw) => Poll::Ready(Some(raw)),
            None if self.failed => Poll::Ready(None),
            None => {
                if let Some(queue) = self.consumers.get_mut(&id) {
                    queue.waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// The next change for a consumer, where one waits.
    pub(super) fn take(&mut self, id: u64) -> Option<Raw> {
        let lagged = self.consumers.get(&id)?.lagged;
        let whole = if lagged { self.whole() } else { VecDeque::new() };
        let queue = self.consumers.get_mut(&id)?;
        if lagged {
            queue.lagged = false;
            queue.waiting = whole;
            return Some(Raw::Resync);
        }
        queue.waiting.pop_front()
    }

    /// The state as a newcomer is told it.
    fn whole(&self) -> VecDeque<Raw> {
        let mut whole: VecDeque<Raw> =
            self.objects.values().flatten().map(|held| Raw::Entered(Arc::clone(held))).collect();
        whole.extend(self.complete.then_some(Raw::Live));
        // Whoever waits for an answer that was thrown away with the rest finds it here.
        whole.extend((self.looked > 0).then_some(Raw::Looked(self.looked)));
        whole
    }

    /// Somebody wants the server to be asked at once. The number of that question.
    pub(super) fn ask(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// The last question.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// Whether a question is not answered.
    pub(super) fn is_asked(&self) -> bool {
        self.asked > self.looked
    }

    /// A request that was sent after this question has told all that there was to tell.
    pub(super) fn looked(&mut self, question: u64) {
        if question > self.looked {
            self.looked = question;
            self.tell(Raw::Looked(question));
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether changes are told as they happen.
    pub(super) fn is_live(&self) -> bool {
        self.complete && self.reached && !self.failed && self.age().is_some_and(|age| age < SILENCE)
    }

    /// How long ago the server last said that this is all.
    pub(super) fn age(&self) -> Option<Duration> {
        self.confirmed.map(|confirmed| confirmed.elapsed())
    }

    /// The objects of which this answer does not say all: changes inside of a watched property, above it, or of an
    /// object that is not known. They are to be read again.
    pub(super) fn unclear(&self, update: &UpdateSet) -> Vec<ManagedObjectReference> {
        let objects = update.filter_set.iter().flat_map(|filter| &filter.object_set);
        let unclear = objects.filter(|object| match object.kind {
            ObjectUpdateKind::Leave => false,
            ObjectUpdateKind::Modify if !self.objects.contains_key(&object.obj) => true,
            _ => object.change_set.iter().any(|change| {
                !self.paths.contains(&change.name.as_str())
                    && self.paths.iter().any(|path| inside(&change.name, path) || inside(path, &change.name))
            }),
        });
        unclear.map(|object| object.obj.clone()).collect()
    }

    /// Takes in an object of an answer that is still being read, unless there is more to it than its values.
    pub(super) fn apply_early(&mut self, update: &mut ObjectUpdate) {
        let is_whole = update.kind == ObjectUpdateKind::Enter
            && update.change_set.iter().all(|change| self.paths.contains(&change.name.as_str()));
        if is_whole {
            self.apply_object(std::mem::take(update));
        }
    }

    /// Takes in an answer of the server; `None` says that nothing has changed.
    pub(super) fn apply(&mut self, update: Option<UpdateSet>) {
        let update = update.unwrap_or_default();
        for filter in update.filter_set {
            for object in filter.object_set {
                self.apply_object(object);
            }
        }
        self.reached = true;
        if update.truncated != Some(true) {
            self.confirmed = Some(Instant::now());
            if !self.complete {
                self.complete = true;
                self.tell(Raw::Live);
            }
        }
    }

    fn apply_object(&mut self, update: ObjectUpdate) {
        if update.kind == ObjectUpdateKind::Leave {
            if self.objects.remove(&update.obj).is_some() {
                self.tell(Raw::Left(update.obj));
            }
            return;
        }
        let known = self.objects.get(&update.obj);
        let is_new = known.is_none();
        let (mut values, mut missing) = match known {
            Some(Some(held)) => (held.values.clone(), held.missing.clone()),
            Some(None) | None => (vec![Any::Unset; self.paths.len()], Vec::new()),
        };
        let mut changed = Vec::new();
        for change in update.change_set {
            let Some(index) = self.paths.iter().position(|path| *path == change.name) else { continue };
            values[index] = value_after(change);
            changed.push(self.paths[index]);
            missing.retain(|gone| gone.path != self.paths[index]);
        }
        for gone in update.missing_set {
            let Some(path) = self.paths.iter().find(|path| **path == gone.path) else { continue };
            missing.retain(|known| known.path != gone.path);
            missing.push(gone);
            changed.push(*path);
        }
        let held = Arc::new(Held { object: update.obj.clone(), values, missing });
        self.objects.insert(update.obj, (self.keeping == Keeping::Values).then(|| Arc::clone(&held)));
        match (is_new, changed.is_empty()) {
            (true, _) => self.tell(Raw::Entered(held)),
            (false, false) => self.tell(Raw::Changed(held, changed)),
            (false, true) => {}
        }
    }

    /// The last request was not answered, and will be sent again.
    pub(super) fn unreached(&mut self) {
        self.reached = false;
    }

    /// Whether all is to be read again because the consumer has lagged too far.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// What is known is void: it is read again.
    pub(super) fn void(&mut self) {
        self.behind = false;
        if self.complete || !self.objects.is_empty() {
            self.tell(Raw::Resync);
        }
        self.objects.clear();
        self.complete = false;
        self.reached = false;
    }

    /// There is no going on.
    pub(super) fn fail(&mut self, error: Error) {
        self.tell(Raw::Failed(error));
        self.failed = true;
        self.reached = false;
    }

    fn tell(&mut self, raw: Raw) {
        let most = self.backlog + self.objects.len();
        let last_word = matches!(raw, Raw::Failed(_));
        for queue in self.consumers.values_mut() {
            if queue.waiting.len() >= most && !last_word {
                queue.waiting.clear();
                match self.keeping {
                    Keeping::Values => queue.lagged = true,
                    Keeping::Nothing => self.behind = true,
                }
            }
            // One that lags is told the whole state when it comes back, or when it was read again.
            if !(queue.lagged || self.behind) || last_word {
                queue.lagged = false;
                queue.waiting.push_back(raw.clone());
            }
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
        }
    }
}

/// The value of a property after a change of the whole property.
fn value_after(change: PropertyChange) -> Any {
    match change.op {
        PropertyChangeOp::Remove | PropertyChangeOp::IndirectRemove => Any::Unset,
        _ => change.val.unwrap_or_default(),
    }
}

/// Whether a path leads into the property `outer`: `config.hardware.device[2000].backing` into `config.hardware`.
fn inside(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use vsphere_model::types::PropertyFilterUpdate;

    use super::*;

    const PATHS: [&str; 2] = ["name", "runtime.powerState"];

    fn vm(id: u32) -> ManagedObjectReference {
        ManagedObjectReference::new("VirtualMachine", format!("vm-{id}"))
    }

    fn object(kind: ObjectUpdateKind, id: u32, changes: &[(&str, PropertyChangeOp, &str)]) -> ObjectUpdate {
        let change = |(name, op, val): &(&str, PropertyChangeOp, &str)| PropertyChange {
            name: (*name).to_owned(),
            op: op.clone(),
            val: (!val.is_empty()).then(|| Any::from(*val)),
        };
        ObjectUpdate { kind, obj: vm(id), change_set: changes.iter().map(change).collect(), missing_set: Vec::new() }
    }

    fn update(truncated: bool, object_set: Vec<ObjectUpdate>) -> UpdateSet {
        let filter = PropertyFilterUpdate { object_set, ..Default::default() };
        UpdateSet { version: "1".into(), filter_set: vec![filter], truncated: Some(truncated) }
    }

    fn entered(id: u32, name: &str) -> ObjectUpdate {
        object(ObjectUpdateKind::Enter, id, &[("name", PropertyChangeOp::Assign, name)])
    }

    /// All that waits for a consumer, as short words.
    fn told(state: &mut State, id: u64) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(raw) = state.take(id) {
            told.push(match raw {
                Raw::Entered(held) => format!("+{} {}", held.object.value, name(&held)),
                Raw::Changed(held, paths) => format!("~{} {} {paths:?}", held.object.value, name(&held)),
                Raw::Left(object) => format!("-{}", object.value),
                Raw::Resync => "resync".to_owned(),
                Raw::Live => "live".to_owned(),
                Raw::Looked(question) => format!("looked {question}"),
                Raw::Failed(error) => error.to_string(),
            });
        }
        told
    }

    fn name(held: &Held) -> String {
        held.text(&PATHS, "name").unwrap_or("?").to_owned()
    }

    #[test]
    fn the_state_is_complete_only_after_the_last_piece() {
        let mut state = State::new(PATHS.to_vec(), Keeping::Values, 10);
        let consumer = state.join();
        state.apply(Some(update(true, vec![entered(1, "a")])));
        assert_eq!(told(&mut state, consumer), ["+vm-1 a"]);
        assert!(!state.is_live());
        state.apply(Some(update(false, vec![entered(2, "b")])));
        assert_eq!(told(&mut state, consumer), ["+vm-2 b", "live"]);
        assert!(state.is_live() && state.age().is_some());
    }

    #[test]
    fn what_a_silent_server_told_is_not_live() {
        let mut state = State::new(PATHS.to_vec(), Keeping::Values, 10);
        state.apply(Some(update(false, vec![entered(1, "a")])));
        assert!(state.is_live());
        state.confirmed = Instant::now().checked_sub(SILENCE);
        assert!(!state.is_live() && state.age() >= Some(SILENCE));
        // A sign of life, though nothing has changed.
        state.apply(None);
        assert!(state.is_live());
    }

    #[test]
    fn changes_keep_what_did_not_change() {
        use PropertyChangeOp::{Add, Assign, IndirectRemove, Remove};
        let mut state = State::new(PATHS.to_vec(), Keeping::Values, 10);
        let consumer = state.join();
        state.apply(Some(update(false, vec![entered(1, "a")])));
        for (op, value) in [(Assign, "on"), (Add, "off"), (Remove, ""), (IndirectRemove, "")] {
            let change = object(ObjectUpdateKind::Modify, 1, &[("runtime.powerState", op, value)]);
            state.apply(Some(update(false, vec![change])));
            let held = state.objects[&vm(1)].as_ref().unwrap();
            assert_eq!(held.text(&PATHS, "runtime.powerState"), (!value.is_empty()).then_some(value));
        }
        let change = r#"~vm-1 a ["runtime.powerState"]"#;
        assert_eq!(told(&mut state, consumer), ["+vm-1 a", "live", change, change, change, change]);
    }

    #[test]
    fn an_object_leaves_once() {
        let mut state = State::new(PATHS.to_vec(), Keeping::Values, 10);
        state.apply(Some(update(false, vec![entered(1, "a")])));
        let consumer = state.join();
        let gone = || object(ObjectUpdateKind::Leave, 1, &[]);
        state.apply(Some(update(false, vec![gone(), gone()])));
        assert_eq!(told(&mut state, consumer), ["+vm-1 a", "live", "-vm-1"]);
    }

    #[test]
    fn changes_beside_the_path_are_unclear() {
        let mut state = State::new(PATHS.to_vec(), Keeping::Values, 10);
        state.apply(Some(update(false, vec![entered(1, "a")])));
        let unclear = |kind, id, path| {
            let change = object(kind, id, &[(path, PropertyChangeOp::Assign, "x")]);
            !state.unclear(&update(false, vec![change])).is_empty()
        };
        assert!(!unclear(ObjectUpdateKind::Modify, 1, "name"));
        assert!(!unclear(ObjectUpdateKind::Modify, 1, "runtimeInfo"));
        assert!(unclear(ObjectUpdateKind::Modify, 1, "runtime"));
        assert!(unclear(ObjectUpdateKind::Modify, 1, "name[0].text"));
        assert!(unclear(ObjectUpdateKind::Modify, 2, "name"));
        assert!(!unclear(ObjectUpdateKind::Leave, 2, "runtime"));
    }

    #[test]
    fn who_lags_is_told_the_state_anew() {
        let mut state = State::new(PATHS.to_vec(), Keeping::Values, 3);
        let (slow, quick) = (state.join(), state.join());
        state.apply(Some(update(false, vec![entered(1, "a")])));
        assert_eq!(told(&mut state, quick).len(), 2);
        for turn in 0..20 {
            let name = format!("a{turn}");
            let change = object(ObjectUpdateKind::Modify, 1, &[("name", PropertyChangeOp::Assign, &name)]);
            state.apply(Some(update(false, vec![change])));
            assert_eq!(told(&mut state, quick), [format!(r#"~vm-1 a{turn} ["name"]"#)]);
            assert!(state.consumers[&slow].waiting.len() <= 4);
        }
        assert_eq!(told(&mut state, slow), ["resync", "+vm-1 a19", "live"]);
    }

    #[test]
    fn what_is_not_kept_is_told_once_and_changes_alone() {
        let mut state = State::new(PATHS.to_vec(), Keeping::Nothing, 10);
        let consumer = state.join();
        state.apply(Some(update(false, vec![entered(1, "a")])));
        let change = object(ObjectUpdateKind::Modify, 1, &[("runtime.powerState", PropertyChangeOp::Assign, "on")]);
        state.apply(Some(update(false, vec![change])));
        assert_eq!(told(&mut state, consumer), ["+vm-1 a", "live", r#"~vm-1 ? ["runtime.powerState"]"#]);
        assert!(state.objects[&vm(1)].is_none());
        state.apply(Some(update(false, vec![object(ObjectUpdateKind::Leave, 1, &[])])));
        assert_eq!(told(&mut state, consumer), ["-vm-1"]);
    }

    #[test]
    fn who_lags_behind_what_is_not_kept_has_all_read_again() {
        let mut state = State::new(PATHS.to_vec(), Keeping::Nothing, 3);
        let consumer = state.join();
        state.apply(Some(update(false, vec![entered(1, "a")])));
        let change = |name| object(ObjectUpdateKind::Modify, 1, &[("name", PropertyChangeOp::Assign, name)]);
        state.apply(Some(update(false, vec![change("b"), change("c")])));
        assert!(!state.is_behind());
        state.apply(Some(update(false, vec![change("d"), change("e")])));
        assert!(state.is_behind());
        assert!(told(&mut state, consumer).is_empty(), "a part of it would be wrong");
        state.void();
        assert!(!state.is_behind() && !state.is_live());
        state.apply(Some(update(false, vec![entered(1, "e")])));
        assert_eq!(told(&mut state, consumer), ["resync", "+vm-1 e", "live"]);
    }

    #[test]
    fn a_question_is_answered_once_and_after_what_it_told() {
        let mut state = State::new(PATHS.to_vec(), Keeping::Values, 3);
        let (quick, slow) = (state.join(), state.join());
        let question = state.ask();
        assert!(state.is_asked());
        state.apply(Some(update(false, vec![entered(1, "a")])));
        state.looked(question);
        state.looked(question);
        assert!(!state.is_asked());
        assert_eq!(told(&mut state, quick), ["+vm-1 a", "live", "looked 1"]);
        for turn in 0..20 {
            let name = format!("a{turn}");
            let change = object(ObjectUpdateKind::Modify, 1, &[("name", PropertyChangeOp::Assign, &name)]);
            state.apply(Some(update(false, vec![change])));
        }
        assert_eq!(told(&mut state, slow), ["resync", "+vm-1 a19", "live", "looked 1"]);
    }

    #[test]
    fn what_is_void_comes_anew() {
        let mut state = State::new(PATHS.to_vec(), Keeping::Values, 10);
        let consumer = state.join();
        state.void();
        state.apply(Some(update(false, vec![entered(1, "a")])));
        state.void();
        assert!(!state.is_live());
        state.apply(Some(update(false, vec![entered(1, "b")])));
        assert_eq!(told(&mut state, consumer), ["+vm-1 a", "live", "resync", "+vm-1 b", "live"]);
    }
}
