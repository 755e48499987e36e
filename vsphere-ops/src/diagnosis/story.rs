//! Who did what to an object: tasks and events as one story.

use std::cmp::Reverse;
use std::collections::HashMap;

use futures::{StreamExt as _, TryStreamExt as _, future};
use serde::Serialize;
use vsphere_model::types::{DateTime, Event, Poly, TaskInfo};
use vsphere_soap::object::format_date_time;
use vsphere_soap::request::ManagedObject;

use crate::error::Result;
use crate::events::{ConfigChange, EventReport, Recursion, is_routine, shown};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::task::TaskReport;
use crate::untrusted::Untrusted;

/// How many events, and how many tasks, are looked at.
const MOST: usize = 1000;

/// What tells that a task begins, which the task itself tells.
const BEGINS: &str = "TaskEvent";

/// Events that count as changes even without a user or a list of what changed.
const CHANGES: [&str; 8] = [
    "DrsVmMigratedEvent",
    "DrsVmPoweredOnEvent",
    "VmMigratedEvent",
    "VmPoweredOffEvent",
    "VmPoweredOnEvent",
    "VmRelocatedEvent",
    "VmResettingEvent",
    "VmRestartedOnAlternateHostEvent",
];

/// What happened to an object and all below it.
///
/// ```
/// use vsphere_ops::diagnosis::Story;
///
/// fn last(story: &Story) -> Option<&str> {
///     story.deeds.first().and_then(|deed| deed.user.as_deref())
/// }
/// ```
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Story {
    /// What happened, newest first.
    pub deeds: Vec<Deed>,
    /// How many older ones are left out.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub left_out: usize,
    /// What is not known.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// Something that happened: a task with what it did, or an event.
///
/// ```
/// use vsphere_ops::diagnosis::Deed;
///
/// fn line(deed: &Deed) -> String {
///     format!("{} {} {}", deed.time, deed.user.as_deref().unwrap_or("the server"), deed.what)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deed {
    /// When by the server's clock, RFC 3339: of a task, when it was asked for.
    pub time: String,
    /// Who did it. What the server does by itself has nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The task's operation (`VirtualMachine.reconfigure`), or the event's type.
    pub what: String,
    /// The name of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Its managed object id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
    /// The state of a task that has not ended well (`running`), or its fault (`NoDiskSpace`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The text for people of its event, where no changes tell more; of what another record tells, what that says of it. Not to
    /// be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Untrusted>,
    /// What was changed, with old and new values, shown as one text. People write some of it: not to be trusted.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "shown")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Untrusted>"))]
    pub changes: Vec<ConfigChange>,
    /// The record that tells it, where that is not the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    #[serde(skip)]
    at: DateTime,
    #[serde(skip)]
    is_change: bool,
}

impl<M: ManagedObject> Mo<M> {
    /// Who did what to this object and all below it since this time of the server's clock, newest first: tasks, each with
    /// the events that came of it and the old and new values in them, and the changes that no task made.
    ///
    /// The newest come first because what somebody asks about has just begun. A task stands where it was asked for: what came of
    /// it is later.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let since = client.server_time().await? - chrono::TimeDelta::days(1);
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// for deed in web.who_changed(since, 20).await?.deeds {
    ///     println!("{} {:?} {} {:?}", deed.time, deed.user, deed.what, deed.changes);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, where neither tasks nor events can be read. Where one can't, that is in the gaps.
    pub async fn who_changed(&self, since: DateTime, count: usize) -> Result<Story> {
        let mut story =
            self.story(since, Recursion::All).await.map_err(|error| error.in_operation("read who changed what"))?;
        story.deeds.retain(|deed| deed.is_change);
        story.cut(count);
        Ok(story)
    }

    /// All that happened since this time, newest first, but for routine logins.
    pub(super) async fn story(&self, since: DateTime, recursion: Recursion) -> Result<Story> {
        let events = self.client().events().entity(self.reference(), recursion).since(since).page_size(MOST);
        let newest = events.newest_first().try_filter(|event| future::ready(!is_routine(event))).take(MOST);
        let (events, tasks) = futures::join!(
            newest.try_collect::<Vec<Poly<Event>>>(),
            self.client().tasks().entity(self.reference(), recursion).since(since).infos(MOST),
        );
        let mut gaps = Gaps::default();
        let (events, tasks) = match (events, tasks) {
            (Err(error), Err(_)) => return Err(error),
            (events, tasks) => (gaps.part("events", events), gaps.part("tasks", tasks)),
        };
        for (what, count) in [("older events", events.len()), ("older tasks", tasks.len())] {
            if count >= MOST {
                gaps.lacks(what, format!("only the newest {MOST} are looked at"));
            }
        }
        Ok(Story { deeds: told(&tasks, &events), left_out: 0, gaps })
    }
}

/// Each task with its events, and the other events, newest first.
fn told(tasks: &[TaskInfo], events: &[Poly<Event>]) -> Vec<Deed> {
    let mut deeds: Vec<Deed> = tasks.iter().map(Deed::of_task).collect();
    // A task and what comes of it are in one chain.
    let by_chain: HashMap<i32, usize> = tasks
        .iter()
        .enumerate()
        .map(|(index, task)| (task.event_chain_id, index))
        .filter(|(chain, _)| *chain > 0)
        .collect();
    for event in events.iter().rev() {
        let of_task = by_chain.get(&event.chain_id).and_then(|index| deeds.get_mut(*index));
        match of_task {
            Some(deed) => deed.add(event),
            None => deeds.push(Deed::of_event(event)),
        }
    }
    deeds.sort_by_key(|deed| Reverse(deed.at));
    deeds
}

impl Story {
    /// Adds what other records tell, such as a log of one's own, so that all stands in one order.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::diagnosis::Deed;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let now = client.server_time().await?;
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// let mut story = web.who_changed(now - chrono::TimeDelta::days(1), 1000).await?;
    /// let mut patched = Deed::of_record("patches", now, "patched");
    /// patched.user = Some("jane".into());
    /// story.add([patched]);
    /// story.cut(20);
    /// assert_eq!(story.deeds[0].what, "patched", "the newest is the first");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn add(&mut self, deeds: impl IntoIterator<Item = Deed>) {
        self.deeds.extend(deeds);
        self.deeds.sort_by_key(|deed| Reverse(deed.at));
    }

    /// Leaves the newest `count`.
    pub fn cut(&mut self, count: usize) {
        self.left_out += self.deeds.len().saturating_sub(count);
        self.deeds.truncate(count);
    }
}

impl Deed {
    /// What another record tells of this time of the server's clock.
    pub fn of_record(record: &str, time: DateTime, what: &str) -> Self {
        Self {
            time: format_date_time(&time),
            user: None,
            what: what.to_owned(),
            entity: None,
            entity_id: None,
            outcome: None,
            message: None,
            changes: Vec::new(),
            record: Some(record.to_owned()),
            at: time,
            is_change: true,
        }
    }

    fn of_task(task: &TaskInfo) -> Self {
        let report = TaskReport::from(task);
        let failed = report.error.as_ref().map(|error| error.fault.clone());
        let unfinished = || Some(report.state.to_string()).filter(|state| state != "success");
        Self {
            outcome: failed.or_else(unfinished),
            message: report.error.map(|error| error.message).filter(|message| !message.is_empty()),
            // A search changes nothing.
            is_change: !report.operation.starts_with("HostDatastoreBrowser."),
            time: report.queued,
            user: report.user,
            what: report.operation,
            entity: report.entity,
            entity_id: report.entity_id,
            changes: Vec::new(),
            record: None,
            at: task.queue_time,
        }
    }

    fn of_event(event: &Poly<Event>) -> Self {
        let EventReport { time, type_, entity, entity_id, user, message, changes, .. } = EventReport::from(event);
        let is_change = user.is_some() || !changes.is_empty() || CHANGES.contains(&type_.as_str());
        let message = Some(message).filter(|message| changes.is_empty() && !message.is_empty());
        Self {
            time,
            user,
            what: type_,
            entity,
            entity_id,
            outcome: None,
            message,
            changes,
            record: None,
            at: event.created_time,
            is_change,
        }
    }

    /// Adds an event that came of the task.
    fn add(&mut self, event: &Poly<Event>) {
        let Self { user, message, changes, what, .. } = Self::of_event(event);
        if what == BEGINS {
            return;
        }
        self.user = self.user.take().or(user);
        self.changes.extend(changes);
        // Old and new values say more than the sentence about them; of several sentences, the last tells how it ended.
        if self.outcome.is_none() {
            self.message = message.or(self.message.take());
        }
        if !self.changes.is_empty() {
            self.message = None;
        }
    }

    /// When it happened.
    pub(super) fn at(&self) -> DateTime {
        self.at
    }

    /// Whether it changed something, and did not only tell of it.
    pub(super) fn is_change(&self) -> bool {
        self.is_change
    }
}
