//! Events: the history of what has happened, and what happens.
//!
//! ```
//! use futures::TryStreamExt;
//! use vsphere_ops::events::name_of;
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let datacenter = client.datacenter("fra1").await?;
//! let mut history = datacenter.events().categories(["warning", "error"]).newest_first();
//! while let Some(event) = history.try_next().await? {
//!     println!("{} {}", event.created_time, name_of(&event));
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! An [`EventQuery`] says which events, and one of its streams in which order: [`newest_first`](EventQuery::newest_first)
//! and [`oldest_first`](EventQuery::oldest_first) end with what there is, [`follow`](EventQuery::follow) goes on with what
//! happens and survives lost sessions without losing or repeating an event.
//!
//! - Times are the server's: use [`last`](EventQuery::last), or add [`clock_offset`](crate::Client::clock_offset).
//! - Messages are text for people: match on [`name_of`] and never on words.
//! - Many newer events share one type, `EventEx`, and differ by their id: [`name_of`] and [`EventQuery::types`] know both.
//! - Events are read through a collector on the server, of which a session may have few. It is destroyed when the stream
//!   ends or is dropped, so do not keep streams that nobody reads.

mod changes;
mod kinds;
mod report;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use vsphere_model::managed::{EventHistoryCollector, EventManager, event_history_collector};
use vsphere_model::types::{
    DateTime, Event, EventEx, EventFilterSpec, EventFilterSpecByEntity, EventFilterSpecByTime,
    EventFilterSpecByUsername, EventFilterSpecRecursionOption, ExtendedEvent, ManagedObjectReference, Poly,
};
use vsphere_soap::object::Property;
use vsphere_soap::request::ManagedObject;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::guard;
use crate::mo::Mo;
use crate::watch::{Change, Pause, Watch, is_away};

pub(crate) use changes::shown;
pub use changes::{ChangeKind, ConfigChange, changes_of};
pub use kinds::types_named;
pub(crate) use report::is_routine;
pub use report::{EventReport, RecentEvents};

/// The fewest and the most events of a page. Servers take no more, and lose events that come at once with fewer.
const SMALLEST_PAGE: usize = 25;
const LARGEST_PAGE: usize = 1000;

impl Client {
    /// Events of the whole inventory.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use std::time::Duration;
    /// use futures::TryStreamExt;
    /// use vsphere_ops::events::name_of;
    ///
    /// for event in client.events().types(["VmPoweredOffEvent"]).latest(20).await? {
    ///     println!("{} {}", event.created_time, event.full_formatted_message.as_deref().unwrap_or_default());
    /// }
    /// let mut events = client.events().last(Duration::from_secs(3600)).follow(); // the last hour, then what happens
    /// while let Some(event) = events.try_next().await? {
    ///     println!("{} {}", event.key, name_of(&event));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self) -> EventQuery {
        EventQuery {
            client: self.clone(),
            filter: EventFilterSpec::default(),
            last: None,
            text: None,
            without_logins: false,
            page_size: 200,
            grows: false,
        }
    }
}

impl<M: ManagedObject> Mo<M> {
    /// Events of this inventory object and all below it.
    pub fn events(&self) -> EventQuery {
        self.client().events().entity(self.reference(), Recursion::All)
    }
}

/// The name of what has happened: the id of an extended event (`esx.problem.net.connectivity.lost`), else the type
/// (`VmPoweredOnEvent`), also of one that the model does not know.
///
/// ```
/// use vsphere_ops::events::name_of;
/// use vsphere_ops::types::{EventEx, Poly, VmPoweredOnEvent};
///
/// assert_eq!(name_of(&Poly::new(VmPoweredOnEvent::default())), "VmPoweredOnEvent");
/// let extended = EventEx { event_type_id: "esx.problem.net.connectivity.lost".into(), ..Default::default() };
/// assert_eq!(name_of(&Poly::new(extended)), "esx.problem.net.connectivity.lost");
/// ```
pub fn name_of(event: &Poly<Event>) -> &str {
    if let Some(extended) = event.downcast_ref::<EventEx>() {
        return &extended.event_type_id;
    }
    match event.downcast_ref::<ExtendedEvent>() {
        Some(extended) => &extended.event_type_id,
        None => event.type_name(),
    }
}

/// Whose events.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::events::Recursion;
/// use vsphere_ops::managed::HostSystem;
///
/// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
/// let own = client.events().entity(host.reference(), Recursion::Self_).latest(10).await?; // none of its machines
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recursion {
    /// The object's own.
    Self_,
    /// Those of the objects right below it.
    Children,
    /// Its own and those of all objects below it.
    All,
}

/// Which events to read.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use futures::TryStreamExt;
///
/// let now = client.server_time().await?;
/// let logins = client
///     .events()
///     .types(["UserLoginSessionEvent", "UserLogoutSessionEvent"])
///     .users(["VSPHERE.LOCAL\\Administrator"])
///     .since(now - chrono::TimeDelta::days(7))
///     .until(now)
///     .page_size(500);
/// let mut logins = logins.oldest_first();
/// while let Some(event) = logins.try_next().await? {
///     println!("{} {}", event.created_time, event.user_name);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
#[must_use = "events are read when one of its streams is polled"]
pub struct EventQuery {
    client: Client,
    filter: EventFilterSpec,
    last: Option<Duration>,
    /// What messages have to contain, in lower case.
    text: Option<String>,
    /// Whether routine logins and logouts are left out.
    without_logins: bool,
    page_size: usize,
    /// Whether each page is twice as large as the one before, as far as pages go.
    grows: bool,
}

impl EventQuery {
    /// Only events of this object.
    pub fn entity(mut self, entity: &ManagedObjectReference, recursion: Recursion) -> Self {
        let recursion = match recursion {
            Recursion::Self_ => EventFilterSpecRecursionOption::Self_,
            Recursion::Children => EventFilterSpecRecursionOption::Children,
            Recursion::All => EventFilterSpecRecursionOption::All,
        };
        self.filter.entity = Some(Box::new(EventFilterSpecByEntity { entity: entity.clone(), recursion }));
        self
    }

    /// Only events of these types (`VmPoweredOnEvent`), or with these ids of extended events (`vim.event.…`, `esx.…`).
    /// A server may compare them letter by letter: [`types_named`] has a type with those that extend it, by what people write.
    pub fn types<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.filter.event_type_id = names.into_iter().map(Into::into).collect();
        self
    }

    /// Only events of these categories: `info`, `warning`, `error`, `user`.
    pub fn categories<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.filter.category = names.into_iter().map(Into::into).collect();
        self
    }

    /// Only events that these users caused.
    pub fn users<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        let user_list = names.into_iter().map(Into::into).collect();
        self.filter.user_name = Some(Box::new(EventFilterSpecByUsername { system_user: false, user_list }));
        self
    }

    /// Only events at or after this time, by the server's clock.
    pub fn since(mut self, time: DateTime) -> Self {
        self.last = None;
        self.time().begin_time = Some(time);
        self
    }

    /// Only events at or before this time, by the server's clock.
    pub fn until(mut self, time: DateTime) -> Self {
        self.time().end_time = Some(time);
        self
    }

    /// Only events of this time before now, by the server's clock. With zero, [`follow`](Self::follow) tells only what
    /// happens from now on.
    pub fn last(mut self, time: Duration) -> Self {
        self.last = Some(time);
        self
    }

    /// In a [report](Self::report), only events whose message contains this text, whatever the case of its letters. Servers
    /// have no such filter: the newest events are read and looked through.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let found = client.events().containing("power").report(20).await?;
    /// println!("{} events speak of power", found.returned);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn containing(mut self, text: &str) -> Self {
        self.text = Some(text.to_lowercase());
        self
    }

    /// In a [report](Self::report), without the logins and logouts that succeed, of which there may be more than of all
    /// else. A query of [types](Self::types) has those that it names. Servers have no such filter: events are read until
    /// there are enough others.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let done = client.events().without_logins().report(20).await?;
    /// println!("{} events, and {} logins", done.returned, done.logins_left_out);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn without_logins(mut self) -> Self {
        self.without_logins = true;
        self
    }

    /// How many events to ask for at once: 25 to 1000, and 200 by default.
    pub fn page_size(mut self, events: usize) -> Self {
        self.page_size = page_for(events);
        self
    }

    fn time(&mut self) -> &mut EventFilterSpecByTime {
        self.filter.time.get_or_insert_default()
    }

    /// The newest `count` events, newest first.
    ///
    /// # Errors
    /// Server errors.
    pub async fn latest(self, count: usize) -> Result<Vec<Poly<Event>>> {
        self.page_size(count).newest_first().take(count).try_collect().await
    }

    /// All events that there are now, oldest first.
    pub fn oldest_first(self) -> EventStream {
        Reader::new(self, Order::OldestFirst).stream()
    }

    /// All events that there are now, newest first.
    pub fn newest_first(self) -> EventStream {
        Reader::new(self, Order::NewestFirst).stream()
    }

    /// All events that there are now, oldest first, and then those that happen, each once. The stream survives
    /// reconnects, and ends only with an error.
    pub fn follow(self) -> EventStream {
        Reader::new(self, Order::Follow).stream()
    }
}

/// The size of the pages that suits somebody who wants so many events.
fn page_for(events: usize) -> usize {
    events.clamp(SMALLEST_PAGE, LARGEST_PAGE)
}

/// Events, one after the other.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use futures::{StreamExt, TryStreamExt};
/// use vsphere_ops::events::EventStream;
///
/// let stream: EventStream = client.events().newest_first();
/// let hundred: Vec<_> = stream.take(100).try_collect().await?; // what is not read is not fetched
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub type EventStream = BoxStream<'static, Result<Poly<Event>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    OldestFirst,
    NewestFirst,
    Follow,
}

type PageWatch = Watch<EventHistoryCollector, Property<EventHistoryCollector, Vec<Poly<Event>>>>;

/// How often in a row the reading goes on with a new collector though no event has come meanwhile.
const RESUMED: u32 = 3;

/// How many pages in a row may hold nothing new: after a new start, the events of one moment come again.
const MOST_BARREN: u32 = 100;

fn lost_too_often(error: &Error) -> Error {
    let text = format!("the server lost the collector of the events {} times: {}", RESUMED + 1, error.kind());
    Error::new("read events", ErrorKind::Session(text))
}

/// Reads events page after page.
struct Reader {
    query: EventQuery,
    order: Order,
    collector: Option<Collector>,
    /// Whether the collector has answered. One that never did is not made a second time.
    works: bool,
    ever_worked: bool,
    /// How often in a row it was made again, and how many pages in a row held nothing new.
    resumed: u32,
    barren: u32,
    pause: Pause,
    /// Tells of new events, once the history is read.
    news: Option<PageWatch>,
    borders: Borders,
    waiting: VecDeque<Poly<Event>>,
    last_time: Option<DateTime>,
}

impl Reader {
    fn new(query: EventQuery, order: Order) -> Self {
        Self {
            query,
            order,
            collector: None,
            works: false,
            ever_worked: false,
            resumed: 0,
            barren: 0,
            pause: Pause::default(),
            news: None,
            borders: Borders::default(),
            waiting: VecDeque::new(),
            last_time: None,
        }
    }

    fn stream(self) -> EventStream {
        stream::try_unfold(self, |mut reader| async move {
            let event = reader.next().await.map_err(|error| error.in_operation("read events"))?;
            Ok(event.map(|event| (event, reader)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Poly<Event>>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.last_time = Some(event.created_time);
                self.resumed = 0;
                return Ok(Some(event));
            }
            let read = match self.news.take() {
                Some(news) => self.wait(news).await,
                None => self.read().await,
            };
            match read {
                Ok(true) => {}
                Ok(false) if self.order != Order::Follow => return Ok(None),
                Ok(false) => {
                    if let Some(collector) = &self.collector {
                        let collector: Mo<EventHistoryCollector> =
                            Mo::new(&collector.client, collector.raw.handle().reference(), None);
                        self.news = Some(collector.watch(event_history_collector::LATEST_PAGE));
                    }
                }
                // The collector ended with its session, or took a page along that never arrived. What is read already
                // is left out by its key.
                Err(error) if self.may_resume() && (error.is_not_found() || error.is_retryable()) => {
                    if self.resumed >= RESUMED && self.order != Order::Follow {
                        return Err(if error.is_not_found() { lost_too_often(&error) } else { error });
                    }
                    tracing::debug!(%error, "reading events again from where they were");
                    if self.resumed >= RESUMED {
                        self.pause.rest(&error).await;
                    }
                    self.resumed += 1;
                    self.resume();
                }
                // Who follows has time.
                Err(error) if self.order == Order::Follow && self.ever_worked && is_away(&error) => {
                    self.resume();
                    self.pause.rest(&error).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a page. Whether there was one.
    async fn read(&mut self) -> Result<bool> {
        let first = self.collector.is_none();
        if first {
            self.set_start().await?;
        }
        let page_size = i32::try_from(self.query.page_size).unwrap_or(i32::MAX);
        let collector = match &mut self.collector {
            Some(collector) => collector,
            none => none.insert(Collector::open(&self.query, self.order).await?),
        };
        let page = match self.order {
            Order::NewestFirst if first => collector.latest_page().await?,
            Order::NewestFirst => collector.raw.read_previous_events(page_size).await?,
            Order::OldestFirst | Order::Follow => collector.raw.read_next_events(page_size).await?,
        };
        if self.query.grows {
            self.query.page_size = page_for(self.query.page_size * 2);
        }
        (self.works, self.ever_worked) = (true, true);
        self.pause = Pause::default();
        let (more, before) = (!page.is_empty(), self.waiting.len());
        self.take(page);
        self.barren = if more && self.waiting.len() == before { self.barren + 1 } else { 0 };
        if self.barren > MOST_BARREN {
            let text = format!("the last {} pages of events held nothing new", self.barren);
            return Err(Error::new("read events", ErrorKind::Protocol(text)));
        }
        Ok(more)
    }

    /// Waits until there is something to read. The newest events come along; they count where the reading does not
    /// reach them.
    async fn wait(&mut self, mut news: PageWatch) -> Result<bool> {
        let latest = loop {
            match news.next().await.transpose()? {
                Some(Change::Entered { row, .. } | Change::Changed { row, .. }) => break row,
                Some(Change::Left { .. }) | None => {
                    self.resume();
                    return Ok(true);
                }
                Some(_) => {}
            }
        };
        while self.read().await? {}
        self.take(latest);
        self.news = Some(news);
        Ok(true)
    }

    fn take(&mut self, mut page: Vec<Poly<Event>>) {
        page.sort_by_key(|event| event.key);
        if self.order == Order::NewestFirst {
            page.reverse();
        }
        page.retain(|event| self.borders.is_new(event.key, event.created_time, self.order));
        self.waiting.extend(page);
    }

    /// Whether a new collector may do better: this one has worked, or its session is over.
    fn may_resume(&self) -> bool {
        self.works || self.collector.as_ref().is_some_and(Collector::is_orphaned)
    }

    /// Goes on with a new collector from the last event that was told.
    fn resume(&mut self) {
        self.collector = None;
        self.news = None;
        self.works = false;
        if let Some(last) = self.last_time {
            match self.order {
                Order::NewestFirst => self.query.time().end_time = Some(last),
                Order::OldestFirst | Order::Follow => self.query.time().begin_time = Some(last),
            }
        }
    }

    /// Finds the beginning, where that depends on the server's time.
    async fn set_start(&mut self) -> Result<()> {
        let Some(last) = self.query.last.take() else { return Ok(()) };
        let begin = self.query.client.time_ago(last, "read events").await?;
        self.query.time().begin_time = Some(begin);
        Ok(())
    }
}

/// The events that were told last: pages overlap when events come between two requests. They are told apart by time too,
/// since a server that was set up again counts from the beginning.
#[derive(Default)]
struct Borders {
    told: HashSet<(i32, DateTime)>,
    order: VecDeque<(i32, DateTime)>,
    newest: Option<i32>,
}

impl Borders {
    /// Whether an event was not told yet, and is not beyond what was there when the reading began.
    fn is_new(&mut self, key: i32, time: DateTime, order: Order) -> bool {
        let newest = *self.newest.get_or_insert(key);
        if (order == Order::NewestFirst && key > newest) || !self.told.insert((key, time)) {
            return false;
        }
        self.order.push_back((key, time));
        if self.order.len() > 4 * LARGEST_PAGE
            && let Some(oldest) = self.order.pop_front()
        {
            self.told.remove(&oldest);
        }
        true
    }
}

/// A collector on the server. Dropped, it is destroyed there in the background.
struct Collector {
    client: Client,
    raw: EventHistoryCollector,
    /// The session that it was made in.
    session: u64,
}

impl Collector {
    async fn open(query: &EventQuery, order: Order) -> Result<Self> {
        let (client, filter) = (query.client.clone(), query.filter.clone());
        // Whoever follows is sent this page with every event, and reads the rest itself.
        let page = if order == Order::Follow { SMALLEST_PAGE } else { query.page_size };
        guard::made(&query.client, |maker| async move {
            let session = maker.connection.generation();
            let manager: EventManager = maker.raw(maker.manager("events", maker.content().event_manager.as_ref())?);
            let reference = manager.create_collector_for_events(&filter).await?;
            let made = Self { raw: client.raw(&reference), client, session };
            made.raw.set_collector_page_size(i32::try_from(page).unwrap_or(i32::MAX)).await?;
            Ok(made)
        })
        .await
    }

    fn is_orphaned(&self) -> bool {
        self.session != self.client.connection.generation()
    }

    /// The newest events; what is read backwards from here on are those before them. Events that come between the two
    /// requests push some out of the page, which are then read twice, and never left out.
    async fn latest_page(&self) -> Result<Vec<Poly<Event>>> {
        let collector: Mo<EventHistoryCollector> = Mo::new(&self.client, self.raw.handle().reference(), None);
        let page = collector.read(event_history_collector::LATEST_PAGE).await?;
        self.raw.reset_collector().await?;
        Ok(page)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if self.is_orphaned() {
            return;
        }
        let raw = self.raw.clone();
        guard::clean_up(async move {
            if let Err(error) = raw.destroy_collector().await {
                tracing::debug!(%error, "an event collector was left to end with the session");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_pages_tell_each_event_once() {
        let mut borders = Borders::default();
        let mut told = |order, keys: &[i32]| -> Vec<i32> {
            keys.iter().copied().filter(|key| borders.is_new(*key, DateTime::default(), order)).collect()
        };
        assert_eq!(told(Order::NewestFirst, &[9, 8, 7]), [9, 8, 7]);
        // 10 came after the first page was read, and pushed 7 into the second.
        assert_eq!(told(Order::NewestFirst, &[10, 7, 6, 5]), [6, 5]);
        assert_eq!(told(Order::NewestFirst, &[5, 4]), [4]);
    }

    #[test]
    fn pitfall_30_pages_are_neither_too_small_nor_too_large() {
        for (asked, page) in [(1, 25), (25, 25), (300, 300), (5000, 1000)] {
            assert_eq!(page_for(asked), page);
        }
    }

    #[test]
    fn extended_events_are_named_by_their_id() {
        let extended = EventEx { event_type_id: "esx.problem.net".into(), ..Default::default() };
        assert_eq!(name_of(&Poly::new(extended)), "esx.problem.net");
        let plain = vsphere_model::types::VmPoweredOnEvent::default();
        assert_eq!(name_of(&Poly::new(plain)), "VmPoweredOnEvent");
    }
}
