//! Watches: the changes of objects as a stream, delivered by long polls.
//!
//! ```
//! use futures::TryStreamExt;
//! use vsphere_ops::Change;
//! use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let web = client.get::<VirtualMachine>("web-01").await?;
//! let mut changes = web.watch(vm::GUEST_IP_ADDRESS);
//! while let Some(change) = changes.try_next().await? {
//!     if let Change::Entered { row: Some(address), .. } | Change::Changed { row: Some(address), .. } = change {
//!         println!("{address}");
//!         break;
//!     }
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! A watch first reports all objects in their present state ([`Change::Entered`]), then [`Change::Live`], and then each
//! change. All watches of the same properties of the same objects share one property collector with one filter on the server,
//! which is destroyed when the last of them is dropped.
//!
//! What the connection suffers is mended: requests are sent again, a lost session is renewed, and where the server has
//! forgotten what it had told, everything is read again after a [`Change::Resync`]. A consumer that lags far behind gets
//! the same in place of an ever longer queue.
//!
//! - Nothing is sent before the stream is polled. To ask for changes from time to time, use a [`Checker`]; to keep all objects
//!   in memory, an [`Inventory`](crate::Inventory).
//! - Watch few and small properties: `summary` and `guest` change all the time.
//! - What happens between two looks of the server is one change: a watch tells states, [`events`](crate::events) history.

mod collector;
mod driver;
mod feed;

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use vsphere_model::types::ManagedObjectReference;
use vsphere_soap::request::ManagedObject;

pub(crate) use driver::{Pause, is_away};

use crate::client::Client;
use crate::error::Result;
use crate::mo::Mo;
use crate::name;
use crate::read::{Missing, Select, Values};
use collector::{Collector, Objects, Subject};
use driver::{Subscription, Verdict};
use feed::{Feed, Held, Raw};

impl Client {
    /// Watches all objects of type `M` in the inventory, including future ones.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use futures::TryStreamExt;
    /// use vsphere_ops::Change;
    /// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
    ///
    /// let mut changes = client.watch::<VirtualMachine>().select((vm::NAME, vm::POWER_STATE));
    /// while let Some(change) = changes.try_next().await? {
    ///     match change {
    ///         Change::Entered { object, row: (name, power) } => println!("{object} {name}: {power}"),
    ///         Change::Changed { row: (name, power), .. } => println!("{name} is {power} now"),
    ///         Change::Left { object } => println!("{object} is gone"),
    ///         Change::Live => println!("that was all; now to what changes"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch<M: ManagedObject>(&self) -> WatchQuery<M> {
        WatchQuery { client: self.clone(), container: self.content().root_folder.clone(), object: PhantomData }
    }
}

impl<M: ManagedObject> Mo<M> {
    /// Watches properties of this object. The stream ends when the object is gone.
    pub fn watch<S: Select<M>>(&self, select: S) -> Watch<M, S> {
        Watch::new(self.client(), Objects::One(self.reference().clone()), select)
    }

    /// Watches all objects of type `N` below this one, including future ones.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
    ///
    /// let dc = client.datacenter("fra1").await?;
    /// let changes = dc.watch_all::<VirtualMachine>().select(vm::POWER_STATE);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn watch_all<N: ManagedObject>(&self) -> WatchQuery<N> {
        WatchQuery { client: self.client().clone(), container: self.reference().clone(), object: PhantomData }
    }
}

/// A watch of objects of type `M`.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::{HostSystem, host_system};
/// use vsphere_ops::watch::WatchQuery;
///
/// let hosts: WatchQuery<HostSystem> = client.watch();
/// let states = hosts.select((host_system::CONNECTION_STATE, host_system::IN_MAINTENANCE_MODE));
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is watched before its selection is polled"]
pub struct WatchQuery<M> {
    client: Client,
    container: ManagedObjectReference,
    object: PhantomData<fn() -> M>,
}

impl<M: ManagedObject> WatchQuery<M> {
    /// Selects the properties to watch. Only these, and the name, leave the server.
    pub fn select<S: Select<M>>(self, select: S) -> Watch<M, S> {
        Watch::new(&self.client, Objects::Below(self.container), select)
    }
}

/// A change of a watched object.
///
/// ```
/// use std::collections::HashMap;
/// use vsphere_ops::Change;
/// use vsphere_ops::managed::VirtualMachine;
///
/// /// Keeps the names of machines by their ids. An `Inventory` does this, and more.
/// fn keep(names: &mut HashMap<String, String>, change: Change<VirtualMachine, String>) {
///     match change {
///         Change::Entered { object, row } | Change::Changed { object, row, .. } => {
///             names.insert(object.id().to_owned(), row);
///         }
///         Change::Left { object } | Change::Unreadable { object, .. } => {
///             names.remove(object.id());
///         }
///         Change::Resync => names.clear(),
///         _ => {}
///     }
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change<M: ManagedObject, R> {
    /// An object exists: at the start, or because it was created, moved here, or became readable.
    Entered {
        /// The object.
        object: Mo<M>,
        /// Its properties.
        row: R,
    },
    /// Properties of an object have changed.
    Changed {
        /// The object.
        object: Mo<M>,
        /// All its watched properties, those that did not change included.
        row: R,
        /// The paths of those that did; the name may be among them where it was not asked for.
        paths: Vec<&'static str>,
    },
    /// An object was deleted, moved away, or became unreadable.
    Left {
        /// The object.
        object: Mo<M>,
    },
    /// An object exists, but a required property has no value or can't be read by this user.
    Unreadable {
        /// The object.
        object: Mo<M>,
        /// The property, and why.
        missing: Missing,
    },
    /// All that was told is void, because the server or this consumer lost the thread. Each object that is there enters
    /// anew, and [`Live`](Self::Live) says when that was all; who kept others may drop them then.
    Resync,
    /// All existing objects were reported. Everything that follows is a change.
    Live,
}

/// The changes of what is watched, as a stream. Nothing is sent before it is polled.
///
/// It ends after a permanent error, such as a missing privilege, and when the only object that it watches was deleted.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use futures::StreamExt;
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
///
/// let mut changes = client.watch::<VirtualMachine>().select(vm::NAME);
/// while let Some(change) = changes.next().await {
///     println!("{:?}, live: {}, as of {:?} ago", change?, changes.is_live(), changes.age());
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a stream does nothing before it is polled"]
pub struct Watch<M, S> {
    client: Client,
    subject: Subject,
    rows: Rows<M, S>,
    subscription: Option<Subscription>,
    ended: bool,
}

impl<M, S> Watch<M, S>
where
    M: ManagedObject,
    S: Select<M>,
{
    fn new(client: &Client, objects: Objects, select: S) -> Self {
        let mut paths = Vec::new();
        select.paths(&mut paths);
        // Views hold inventory objects, which all have a name. Single objects may be of any type.
        if matches!(objects, Objects::Below(_)) {
            paths.push(NAME);
        }
        paths.sort_unstable();
        paths.dedup();
        let rows = Rows { select, hidden: HashSet::new(), object: PhantomData };
        let subject = Subject { objects, type_: M::NAME, paths, beside: None, only: None };
        Self { client: client.clone(), subject, rows, subscription: None, ended: false }
    }

    /// Looks when it is asked to, in place of a stream that waits.
    pub fn checker(self) -> Checker<M, S> {
        let feed = Feed::new(self.subject.paths.clone(), self.subject.keeping());
        let consumer = feed.lock().join();
        let Self { client, subject, rows, .. } = self;
        Checker { client, subject, rows, feed, consumer, collector: None }
    }

    /// Has the names of all objects of another type told, too: [`Told::Beside`].
    pub(crate) fn beside(mut self, type_: &'static str) -> Self {
        self.subject.beside = Some(type_);
        self
    }

    /// Is told of changes as [`Told::Patch`], and alone: nothing but what its consumer makes of the values is kept.
    pub(crate) fn in_patches(mut self) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        self.subject.only = Some(NEXT.fetch_add(1, Ordering::Relaxed));
        self
    }

    /// Whether changes are told as they happen. They are not while the first objects come in, and while the server is not
    /// reached or has said nothing for 15 s.
    pub fn is_live(&self) -> bool {
        self.subscription.as_ref().is_some_and(|subscription| subscription.feed().lock().is_live())
    }

    /// How long ago the server last said that there is nothing more to tell; `None` before it did. Where nothing happens
    /// it says so every ten seconds.
    pub fn age(&self) -> Option<Duration> {
        self.subscription.as_ref()?.feed().lock().age()
    }

    /// The feed, for who wants to know how fresh it is without polling.
    pub(crate) fn freshness(&mut self) -> Result<Freshness> {
        let subscription = match &mut self.subscription {
            Some(subscription) => subscription,
            none => none.insert(Subscription::join(&self.client, &self.subject)?),
        };
        Ok(Freshness(Arc::clone(subscription.feed())))
    }
}

/// What a watch tells those in this crate who ask.
pub(crate) enum Told<M: ManagedObject, R> {
    Change(Result<Change<M, R>>),
    /// What has changed of an object, in place of the whole row.
    Patch(Patch),
    /// The name of an object of the other type, by its id; none where it is gone.
    Beside(String, Option<String>),
    /// All that the server knew when this question was asked is told.
    Looked(u64),
}

/// What has changed of an object.
pub(crate) struct Patch {
    /// Its id.
    pub(crate) id: String,
    /// Its name, where that has changed.
    pub(crate) name: Option<String>,
    /// The properties.
    pub(crate) paths: Vec<&'static str>,
    /// The values that they have now; none where they are not set any more.
    pub(crate) values: Values,
}

impl<M, S> Watch<M, S>
where
    M: ManagedObject,
    S: Select<M> + Unpin,
{
    /// As the stream, but with the answers to questions.
    pub(crate) fn poll_told(&mut self, context: &mut Context<'_>) -> Poll<Option<Told<M, S::Row>>> {
        let this = self;
        while !this.ended {
            let subscription = match &mut this.subscription {
                Some(subscription) => subscription,
                none => match Subscription::join(&this.client, &this.subject) {
                    Ok(joined) => none.insert(joined),
                    Err(error) => {
                        this.ended = true;
                        return Poll::Ready(Some(Told::Change(Err(error))));
                    }
                },
            };
            match ready!(subscription.poll(context)) {
                None => this.ended = true,
                Some(Raw::Looked(question)) => return Poll::Ready(Some(Told::Looked(question))),
                Some(raw) if raw.object().is_some_and(|object| this.subject.beside == Some(object.type_.as_str())) => {
                    if let Some((id, name)) = raw.named(&this.subject.paths) {
                        return Poll::Ready(Some(Told::Beside(id, name)));
                    }
                }
                Some(Raw::Changed(held, paths)) if this.subject.only.is_some() => {
                    let name = held.text(&this.subject.paths, NAME).map(name::decode);
                    let id = held.object.value.clone();
                    let values = Arc::unwrap_or_clone(held).into_values(&this.subject.paths);
                    return Poll::Ready(Some(Told::Patch(Patch { id, name, paths, values })));
                }
                Some(raw) => {
                    this.ended = matches!(raw, Raw::Failed(_))
                        || (matches!(raw, Raw::Left(_)) && matches!(this.subject.objects, Objects::One(_)));
                    if let Some(change) = this.rows.change(&this.client, &this.subject.paths, raw) {
                        return Poll::Ready(Some(Told::Change(change)));
                    }
                }
            }
        }
        // The server need not hold what nobody will ask for.
        this.subscription = None;
        Poll::Ready(None)
    }
}

impl<M, S> Stream for Watch<M, S>
where
    M: ManagedObject,
    S: Select<M> + Unpin,
{
    type Item = Result<Change<M, S::Row>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match ready!(this.poll_told(context)) {
                Some(Told::Change(change)) => return Poll::Ready(Some(change)),
                Some(Told::Looked(_) | Told::Beside(..) | Told::Patch(_)) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<M, S> fmt::Debug for Watch<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({} {:?})", self.subject.type_, self.subject.paths)
    }
}

/// How fresh a feed is.
#[derive(Clone)]
pub(crate) struct Freshness(Arc<Feed>);

impl Freshness {
    pub(crate) fn is_live(&self) -> bool {
        self.0.lock().is_live()
    }

    pub(crate) fn age(&self) -> Option<Duration> {
        self.0.lock().age()
    }

    /// Has the server asked at once. The number of the question.
    pub(crate) fn ask(&self) -> u64 {
        let question = self.0.lock().ask();
        self.0.asked.notify_one();
        question
    }
}

/// Looks for changes when it is asked to. It has a property collector of its own, which is destroyed when it is dropped.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
///
/// let mut checker = client.watch::<VirtualMachine>().select(vm::POWER_STATE).checker();
/// println!("{} machines", checker.check().await?.len());
/// tokio::time::sleep(std::time::Duration::from_secs(60)).await;
/// println!("{} changes in the last minute", checker.check().await?.len());
/// # Ok(())
/// # }
/// ```
pub struct Checker<M, S> {
    client: Client,
    subject: Subject,
    rows: Rows<M, S>,
    feed: Feed,
    consumer: u64,
    collector: Option<Collector>,
}

impl<M, S> Checker<M, S>
where
    M: ManagedObject,
    S: Select<M>,
{
    /// All changes since the last call, without waiting for any; the first call gives all objects as they are.
    ///
    /// # Errors
    /// Those of the server and the connection. The next call goes on where this one failed.
    pub async fn check(&mut self) -> Result<Vec<Change<M, S::Row>>> {
        let mut remade = 0;
        loop {
            let collector = match &mut self.collector {
                Some(collector) => collector,
                none => none.insert(Collector::open(&self.client, &self.subject).await?),
            };
            match driver::receive(&self.client, &self.subject, &self.feed, collector, 0).await {
                Ok(()) if collector.truncated => {}
                Ok(()) => break,
                // Only a collector that has worked, or whose session is over, is made anew.
                Err(error)
                    if driver::verdict(&error) == Verdict::Rebuild
                        && remade < REMADE
                        && (collector.is_orphaned() || self.feed.lock().is_complete()) =>
                {
                    collector.forget_view();
                    self.collector = None;
                    self.feed.lock().void();
                    remade += 1;
                }
                Err(error) => return Err(error.in_operation(format!("watch {}", self.subject.type_))),
            }
        }
        let mut changes = Vec::new();
        while let Some(raw) = {
            let mut state = self.feed.lock();
            state.take(self.consumer)
        } {
            changes.extend(self.rows.change(&self.client, &self.subject.paths, raw).transpose()?);
        }
        Ok(changes)
    }
}

impl<M, S> fmt::Debug for Checker<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checker({} {:?})", self.subject.type_, self.subject.paths)
    }
}

/// How often one look makes the collector again that the server has lost.
const REMADE: u32 = 3;

const NAME: &str = "name";

/// Makes typed rows of what a feed tells.
struct Rows<M, S> {
    select: S,
    /// Objects that could not be told as rows: their first readable row is an entry.
    hidden: HashSet<ManagedObjectReference>,
    object: PhantomData<fn() -> M>,
}

impl<M, S> Rows<M, S>
where
    M: ManagedObject,
    S: Select<M>,
{
    fn change(
        &mut self,
        client: &Client,
        subject_paths: &[&'static str],
        raw: Raw,
    ) -> Option<Result<Change<M, S::Row>>> {
        let mut row = |held: Arc<Held>| {
            let object = Mo::<M>::new(client, &held.object, held.text(subject_paths, NAME).map(name::decode));
            let row = self.select.row(&mut Arc::unwrap_or_clone(held).into_values(subject_paths));
            if row.is_err() {
                self.hidden.insert(object.reference().clone());
            }
            (object, row)
        };
        Some(Ok(match raw {
            Raw::Entered(held) => match row(held) {
                (object, Ok(row)) => Change::Entered { object, row },
                (object, Err(missing)) => Change::Unreadable { object, missing },
            },
            Raw::Changed(held, paths) => match row(held) {
                (object, Ok(row)) if self.hidden.remove(object.reference()) => Change::Entered { object, row },
                (object, Ok(row)) => Change::Changed { object, row, paths },
                (object, Err(missing)) => Change::Unreadable { object, missing },
            },
            Raw::Left(reference) => {
                self.hidden.remove(&reference);
                Change::Left { object: Mo::new(client, &reference, None) }
            }
            Raw::Resync => {
                self.hidden.clear();
                Change::Resync
            }
            Raw::Live => Change::Live,
            Raw::Looked(_) => return None,
            Raw::Failed(error) => return Some(Err(error)),
        }))
    }
}
