//! News: `CheckForUpdates`, and the two that wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use vsphere_model::types::{InvalidCollectorVersion, RequestCanceled, WaitOptions};
use vsphere_soap::codec::Encoder;
use vsphere_soap::object::{FieldInfo, Item as _, Type, Value};

use super::collectors;
use super::filter::{Filter, Told, Update};
use crate::call::{Call, Reply, Waiting};
use crate::fault::{Fault, Outcome};
use crate::world::{Moref, World};

/// The state of a property collector.
#[derive(Default)]
pub(crate) struct Collector {
    filters: Vec<Moref>,
    version: u64,
    /// The last answer and the version that it was an answer to: a client whose connection broke asks again.
    last: Option<(String, String)>,
    /// What did not fit into the last answer.
    rest: VecDeque<(Moref, Update)>,
    /// Counts the calls of `CancelWaitForUpdates`.
    cancelled: u64,
}

impl Collector {
    pub(super) fn filters(&self) -> &[Moref] {
        &self.filters
    }

    pub(super) fn add(&mut self, filter: Moref) {
        self.filters.push(filter);
    }

    pub(super) fn remove(&mut self, filter: &Moref) {
        self.filters.retain(|own| own != filter);
        self.rest.retain(|(of, _)| of != filter);
    }
}

/// What a client waits for.
struct Question {
    version: String,
    /// How many objects an answer may have.
    limit: usize,
}

/// What the filters of a collector tell somebody who knows nothing yet. It is found out while others may read, since it takes
/// long in a large inventory.
#[derive(Default)]
struct Prepared(Vec<(Moref, Vec<Update>, Told)>);

impl Prepared {
    fn of(call: &Call, question: &Question) -> Outcome<Self> {
        if !question.version.is_empty() {
            return Ok(Self::default());
        }
        let (world, session) = (call.core.read(), call.session()?);
        let own = world.sessions.get(session).and_then(|own| own.collectors.by_id.get(&call.target.value));
        let filters = own.map(Collector::filters).unwrap_or_default();
        let prepare = |reference: &Moref| {
            let mut told = Told::default();
            let updates = world.get::<Filter>(reference)?.updates(&world, session, &mut told);
            Ok((reference.clone(), updates, told))
        };
        filters.iter().map(prepare).collect::<Outcome<_>>().map(Self)
    }
}

pub(super) fn check(call: Arc<Call>) -> Waiting {
    Box::pin(async move {
        let question = Question { version: call.opt("version")?.unwrap_or_default(), limit: usize::MAX };
        let prepared = Prepared::of(&call, &question)?;
        Ok(answer(&mut call.core.write(), &call, &question, prepared)?.map_or(Reply::NONE, Reply::Xml))
    })
}

pub(super) fn wait(call: Arc<Call>) -> Waiting {
    Box::pin(async move {
        let version = call.opt("version")?.unwrap_or_default();
        wait_for(&call, Question { version, limit: usize::MAX }, None).await
    })
}

pub(super) fn wait_ex(call: Arc<Call>) -> Waiting {
    Box::pin(async move {
        let version = call.opt("version")?.unwrap_or_default();
        let options: WaitOptions = call.opt("options")?.unwrap_or_default();
        let positive = |value: Option<i32>, name: &str, least: i32| match value {
            None => Ok(None),
            Some(value) if value >= least => Ok(u32::try_from(value).ok()),
            Some(_) => Err(Fault::invalid_argument(name)),
        };
        let seconds = positive(options.max_wait_seconds, "options.maxWaitSeconds", 0)?;
        let objects = positive(options.max_object_updates, "options.maxObjectUpdates", 1)?;
        let page = call.core.read().settings.page;
        let limit = objects.and_then(|limit| usize::try_from(limit).ok()).map_or(page, |limit| limit.min(page));
        wait_for(&call, Question { version, limit }, seconds.map(|s| Duration::from_secs(s.into()))).await
    })
}

/// Answers as soon as there is something to tell; nothing when the time is over.
async fn wait_for(call: &Call, question: Question, time: Option<Duration>) -> Outcome<Reply> {
    // Without a limit of the client's, the server ends the wait: it must not outlive the session.
    let deadline = Instant::now() + time.unwrap_or(Duration::from_secs(30 * 60));
    let mut changes = call.core.changes();
    let mut cancelled = None;
    let mut prepared = Prepared::of(call, &question)?;
    loop {
        changes.mark_unchanged();
        {
            let mut world = call.core.write();
            if let Some(update) = answer(&mut world, call, &question, std::mem::take(&mut prepared))? {
                return Ok(Reply::Xml(update));
            }
            let now = collectors(&mut world, call)?.get(&call.target.value).cancelled;
            if *cancelled.get_or_insert(now) != now {
                return Err(Fault::new(RequestCanceled::default(), "The wait was canceled."));
            }
        }
        match timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            // The server is going, or the time is over: there is no news.
            Ok(Err(_)) | Err(_) => return Ok(Reply::NONE),
        }
    }
}

pub(super) fn cancel(world: &mut World, call: &Call) -> Outcome<Reply> {
    collectors(world, call)?.get(&call.target.value).cancelled += 1;
    world.announce();
    Ok(Reply::NONE)
}

/// The update set that answers the question, if there is news.
fn answer(world: &mut World, call: &Call, question: &Question, prepared: Prepared) -> Outcome<Option<Encoder>> {
    let session = call.session()?.to_owned();
    let mut collector = std::mem::take(collectors(world, call)?.get(&call.target.value));
    let outcome = collector.answer(world, &session, question, prepared);
    *collectors(world, call)?.get(&call.target.value) = collector;
    outcome
}

impl Collector {
    fn answer(
        &mut self,
        world: &mut World,
        session: &str,
        question: &Question,
        prepared: Prepared,
    ) -> Outcome<Option<Encoder>> {
        if let Some((asked, last)) = &self.last
            && *asked == question.version
            && !asked.is_empty()
        {
            let mut again = Encoder::new();
            again.raw(last);
            return Ok(Some(again));
        }
        if question.version.is_empty() {
            self.rest.clear();
            for filter in &self.filters {
                world.quietly_edit::<Filter>(filter)?.told = Told::default();
            }
            // What has changed since it was prepared is told next.
            for (filter, updates, told) in prepared.0.into_iter().filter(|(filter, ..)| self.filters.contains(filter)) {
                world.quietly_edit::<Filter>(&filter)?.told = told;
                self.rest.extend(updates.into_iter().map(|update| (filter.clone(), update)));
            }
        } else if question.version != self.version.to_string() {
            let message = format!("The version '{}' is not one that this collector gave.", question.version);
            return Err(Fault::new(InvalidCollectorVersion::default(), message));
        }
        self.look(world, session)?;
        if self.rest.is_empty() {
            return Ok(None);
        }
        let news: Vec<_> = self.rest.drain(..question.limit.min(self.rest.len())).collect();
        self.version += 1;
        let answer = self.write(news);
        self.last = Some((question.version.clone(), answer.since(0).to_owned()));
        Ok(Some(answer))
    }

    /// Asks the filters for news, once the old ones are told.
    fn look(&mut self, world: &mut World, session: &str) -> Outcome<()> {
        if !self.rest.is_empty() {
            return Ok(());
        }
        for reference in &self.filters {
            // Taken out of the world while the filter looks at it.
            let mut told = std::mem::take(&mut world.quietly_edit::<Filter>(reference)?.told);
            let updates = world.get::<Filter>(reference)?.updates(world, session, &mut told);
            world.quietly_edit::<Filter>(reference)?.told = told;
            self.rest.extend(updates.into_iter().map(|update| (reference.clone(), update)));
        }
        Ok(())
    }

    fn write(&self, news: Vec<(Moref, Update)>) -> Encoder {
        let mut out = Encoder::new();
        out.raw("<returnval>");
        out.field(&VERSION, Value::String(&self.version.to_string()));
        let mut open: Option<Moref> = None;
        // In an update of a filter, what is missing stands behind what is there.
        let mut missing = Encoder::new();
        let close = |out: &mut Encoder, missing: &mut Encoder| {
            out.append(std::mem::take(missing));
            out.raw("</filterSet>");
        };
        for (filter, update) in news {
            if open.as_ref() != Some(&filter) {
                if open.is_some() {
                    close(&mut out, &mut missing);
                }
                out.raw("<filterSet>");
                out.field(&FILTER, filter.value());
                open = Some(filter);
            }
            if update.is_missing { missing.append(update.xml) } else { out.append(update.xml) }
        }
        if open.is_some() {
            close(&mut out, &mut missing);
        }
        out.field(&TRUNCATED, Value::Boolean(!self.rest.is_empty()));
        out.raw("</returnval>");
        out
    }
}

const VERSION: FieldInfo = FieldInfo::req("version", Type::String);
const FILTER: FieldInfo = FieldInfo::req("filter", Type::Ref);
const TRUNCATED: FieldInfo = FieldInfo::opt("truncated", Type::Boolean);
