//! Keeps the feeds of a client: each subject is watched once, for as long as somebody listens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use vsphere_model::types::{
    ManagedObjectReference, ObjectSpec, ObjectUpdate, ObjectUpdateKind, PropertyChange, PropertyChangeOp,
    PropertyFilterSpec, PropertyFilterUpdate, UpdateSet,
};
use vsphere_soap::ErrorKind as WireKind;
use vsphere_soap::session::NoSession;

use super::collector::{Collector, Subject};
use super::feed::{Feed, Raw};
use crate::client::Client;
use crate::connection::Part;
use crate::error::{Category, Error, ErrorKind, Result};
use crate::read;

/// The wait before a server that is away is asked again; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long the server holds an answer back when nothing changes, in seconds. A server that is well says something as
/// often, so that one that is silent for longer is in trouble.
const HOLD: i32 = 10;

/// How long after a wait was to be cut short it is to be so again.
const CANCEL_AGAIN: Duration = Duration::from_millis(100);

/// A collector that lives as long has worked: the next one that is lost is made again at once.
const LASTING: Duration = Duration::from_secs(60);

/// What a client watches, by subject.
#[derive(Default)]
struct Feeds {
    feeds: Mutex<HashMap<Subject, Arc<Feed>>>,
}

impl Feeds {
    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, Arc<Feed>>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part for Feeds {
    /// Ends all watches with this error: what they wait for would be answered late, and never again.
    fn ended(&self, error: &Error) {
        for (_, feed) in self.lock().drain() {
            feed.lock().fail(error.clone());
            feed.deserted.notify_one();
        }
    }
}

/// A place among the consumers of a feed. The last one to be dropped ends the feed.
pub(super) struct Subscription {
    client: Client,
    subject: Subject,
    feed: Arc<Feed>,
    consumer: u64,
}

impl Subscription {
    /// Joins the feed of the subject, and starts it where there is none.
    pub(super) fn join(client: &Client, subject: &Subject) -> Result<Self> {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Err(Error::new("watch", ErrorKind::Unsupported("a watch runs in a tokio runtime only".into())));
        };
        let kept = client.part::<Feeds>();
        let mut feeds = kept.lock();
        let feed = feeds.entry(subject.clone()).or_insert_with(|| {
            let feed = Arc::new(Feed::new(subject.paths.clone(), subject.keeping()));
            runtime.spawn(run(client.clone(), subject.clone(), Arc::clone(&feed)));
            feed
        });
        let feed = Arc::clone(feed);
        let consumer = feed.lock().join();
        Ok(Self { client: client.clone(), subject: subject.clone(), feed, consumer })
    }

    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Raw>> {
        self.feed.lock().poll(self.consumer, context)
    }

    pub(super) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // The registry stays locked meanwhile: nobody joins a feed that is being given up.
        let kept = self.client.part::<Feeds>();
        let mut feeds = kept.lock();
        if self.feed.lock().leave(self.consumer) {
            self.feed.deserted.notify_one();
            forget(&mut feeds, &self.subject, &self.feed);
        }
    }
}

fn forget(feeds: &mut HashMap<Subject, Arc<Feed>>, subject: &Subject, feed: &Arc<Feed>) {
    if feeds.get(subject).is_some_and(|current| Arc::ptr_eq(current, feed)) {
        feeds.remove(subject);
    }
}

/// Keeps a feed until nobody listens any more, or it fails.
async fn run(client: Client, subject: Subject, feed: Arc<Feed>) {
    let error = tokio::select! {
        () = feed.deserted.notified() => return,
        error = follow(&client, &subject, &feed) => error,
    };
    let kept = client.part::<Feeds>();
    let mut feeds = kept.lock();
    forget(&mut feeds, &subject, &feed);
    feed.lock().fail(error.in_operation(format!("watch {}", subject.type_)));
}

/// Keeps a feed until it fails.
async fn follow(client: &Client, subject: &Subject, feed: &Feed) -> Error {
    let mut pause = Pause::default();
    let mut rebuilds = Pause::default();
    let mut hold = HOLD;
    let mut ever_heard = false;
    loop {
        let mut collector = match Collector::open(client, subject).await {
            Ok(collector) => collector,
            Err(error) if ever_heard && is_away(&error) => {
                pause.rest(&error).await;
                continue;
            }
            Err(error) => return error,
        };
        let mut heard = false;
        let opened = Instant::now();
        let lost = loop {
            if let Some(pause) = collector.pause() {
                rest_unless_asked(feed, pause).await;
            }
            let (question, look_once) = {
                let state = feed.lock();
                (state.asked(), collector.truncated || !state.is_complete() || state.is_asked())
            };
            let received = if look_once {
                receive(client, subject, feed, &mut collector, 0).await
            } else {
                wait(client, subject, feed, &mut collector, hold).await
            };
            match received {
                Ok(()) => {
                    if !collector.truncated {
                        feed.lock().looked(question);
                    }
                    (heard, ever_heard) = (true, true);
                    pause = Pause::default();
                    if feed.lock().is_behind() {
                        let text = "more has changed than was taken in time, and all is read again";
                        break Error::new("watch", ErrorKind::Protocol(text.into()));
                    }
                }
                Err(error) => match verdict(&error) {
                    Verdict::Wait => {
                        // A time limit that is shorter than the hold is the client's own setting: keep within it.
                        if error.category() == Category::Timeout {
                            hold = (hold / 2).max(1);
                        }
                        feed.lock().unreached();
                        if !ever_heard {
                            return error;
                        }
                        pause.rest(&error).await;
                    }
                    Verdict::Again => {}
                    // What never worked would not work the second time.
                    Verdict::Rebuild if heard || collector.is_orphaned() => {
                        tracing::info!(%error, "the property collector is gone, making another");
                        break error;
                    }
                    Verdict::Rebuild | Verdict::Fail => return error,
                },
            }
        };
        collector.forget_view();
        feed.lock().void();
        if opened.elapsed() > LASTING {
            rebuilds = Pause::default();
        } else if !collector.is_orphaned() {
            rebuilds.rest(&lost).await;
        }
    }
}

/// Waits before the server is asked again, unless somebody wants it to be asked at once.
async fn rest_unless_asked(feed: &Feed, pause: Duration) {
    let ends = Instant::now() + pause;
    while !feed.lock().is_asked() {
        tokio::select! {
            () = tokio::time::sleep_until(ends) => return,
            () = feed.asked.notified() => {}
        }
    }
}

/// Waits for changes and takes them in. Whoever wants the server to be asked at once ends the wait.
async fn wait(client: &Client, subject: &Subject, feed: &Feed, collector: &mut Collector, hold: i32) -> Result<()> {
    let waits = collector.waits();
    let waiting = receive(client, subject, feed, collector, hold);
    tokio::pin!(waiting);
    loop {
        tokio::select! {
            received = &mut waiting => return received,
            () = feed.asked.notified() => {}
        }
        // The word may be an old one, whose question was answered before this wait began.
        if feed.lock().is_asked() {
            break;
        }
    }
    // The wait ends with the fault `RequestCanceled`, or with what the server was about to tell. One that has not reached the
    // server is not ended by what has overtaken it, so that this is said again.
    let cancel = async {
        loop {
            if let Err(error) = waits.cancel_wait_for_updates().await {
                tracing::debug!(%error, "a wait for updates was not cut short");
            }
            tokio::time::sleep(CANCEL_AGAIN).await;
        }
    };
    tokio::select! {
        received = &mut waiting => received,
        () = cancel => Ok(()),
    }
}

/// Asks for changes and takes them in.
pub(super) async fn receive(
    client: &Client,
    subject: &Subject,
    feed: &Feed,
    collector: &mut Collector,
    hold: i32,
) -> Result<()> {
    let mut update = collector.next(hold, |update| feed.lock().apply_early(update)).await?;
    if let Some(update) = &mut update {
        let unclear = feed.lock().unclear(update);
        if !unclear.is_empty() {
            let object_set = read_again(client, subject, unclear).await?;
            update.filter_set.push(PropertyFilterUpdate { object_set, ..Default::default() });
        }
        note_missing_objects(update);
    }
    feed.lock().apply(update);
    Ok(())
}

/// What an error means for a watch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server is not reached: ask again later, with the same version; nothing is lost by that.
    Wait,
    /// The wait was interrupted: ask again.
    Again,
    /// The collector is gone or out of step.
    Rebuild,
    /// There is no going on.
    Fail,
}

pub(super) fn verdict(error: &Error) -> Verdict {
    let wire = match error.kind() {
        ErrorKind::Api(wire) => wire,
        ErrorKind::Session(_) => return Verdict::Wait,
        _ => return Verdict::Fail,
    };
    if wire.is_retryable() {
        return Verdict::Wait;
    }
    match wire.kind() {
        WireKind::Fault(fault) if fault.is_named("RequestCanceled") => Verdict::Again,
        // A fresh session did not help either; another one may, later.
        WireKind::NoSession(NoSession::LostAgain(_)) => Verdict::Wait,
        WireKind::Fault(fault) if fault.is_named("NoPermission") || fault.is_named("InvalidLogin") => Verdict::Fail,
        WireKind::Fault(_) => Verdict::Rebuild,
        // A proxy answers in place of a server that starts.
        WireKind::Http { .. } | WireKind::NotSoap { .. } => Verdict::Wait,
        _ => Verdict::Fail,
    }
}

/// Whether the server is away, so that waiting may help.
pub(crate) fn is_away(error: &Error) -> bool {
    verdict(error) == Verdict::Wait
}

/// The waits before a server that is away is asked again.
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pause {
    /// The pause after so many failures in a row.
    pub(crate) fn after(failures: u32) -> Self {
        Self(FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_PAUSE))
    }

    pub(crate) async fn rest(&mut self, error: &Error) {
        tracing::debug!(%error, pause = ?self.0, "waiting for the server");
        // Spread, so that many watches of a server that comes back do not come at once.
        tokio::time::sleep(self.0.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// Reads all watched properties of objects, as an update.
async fn read_again(
    client: &Client,
    subject: &Subject,
    objects: Vec<ManagedObjectReference>,
) -> Result<Vec<ObjectUpdate>> {
    let spec = PropertyFilterSpec {
        prop_set: subject.properties(),
        object_set: objects.into_iter().map(|obj| ObjectSpec { obj, ..Default::default() }).collect(),
        report_missing_objects_in_results: Some(true),
    };
    let mut updates = Vec::new();
    for content in read::retrieve(client, spec).await? {
        // A property that is not in the answer has no value now, so that all of them are assigned.
        let mut set = content.prop_set;
        let changes = subject.paths.iter().map(|path| PropertyChange {
            name: (*path).to_owned(),
            op: PropertyChangeOp::Assign,
            val: set.iter_mut().find(|own| own.name == *path).map(|own| std::mem::take(&mut own.val)),
        });
        updates.push(ObjectUpdate {
            kind: ObjectUpdateKind::Enter,
            obj: content.obj,
            change_set: changes.collect(),
            missing_set: content.missing_set,
        });
    }
    Ok(updates)
}

/// An object that could not be collected at all: gone, or out of the user's sight.
fn note_missing_objects(update: &mut UpdateSet) {
    for filter in &mut update.filter_set {
        for missing in std::mem::take(&mut filter.missing_set) {
            tracing::debug!(object = %missing.obj, fault = missing.fault.fault.type_name(), "not watched");
            let kind = ObjectUpdateKind::Leave;
            filter.object_set.push(ObjectUpdate { kind, obj: missing.obj, ..Default::default() });
        }
    }
}
