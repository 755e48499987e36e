//! Waiting for changes with a property collector of your own, which others' waits can't disturb.

use std::time::Duration;

use tokio::time::Instant;
use vsphere_model::managed::PropertyCollector;
use vsphere_model::types::{PropertyFilterSpec, UpdateSet, WaitOptions};

use crate::client::Client;
use crate::error::{Error, Result};
use crate::guard;

/// How long the server holds an answer back when nothing changes, in seconds. Well under the time-outs of proxies.
pub(crate) const HOLD: i32 = 30;

/// The pause after an answer that came at once and told of nothing; doubled for each further one, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A server that holds an answer back waits longer than this for something to tell.
const AT_ONCE: Duration = Duration::from_millis(500);

/// How fast a server is asked again that answers at once and tells of nothing, as some do under load and proxies do in
/// their place.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Answers of nothing in a row that came at once.
    idle: u32,
}

impl Pace {
    /// Takes note of an answer that took so long, and that the server had leave to hold back.
    pub(crate) fn note(&mut self, took: Duration, told: bool) {
        self.idle = if told || took >= AT_ONCE { 0 } else { self.idle.saturating_add(1) };
    }

    /// How long to wait before the next question.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let doubled = self.idle.checked_sub(1)?.min(8);
        Some(FIRST_PAUSE.saturating_mul(1 << doubled).min(LONGEST_PAUSE))
    }
}

/// Whether an answer tells of something: one that does not get on to another version is none.
pub(crate) fn tells(update: Option<&UpdateSet>, version: &str) -> bool {
    update.is_some_and(|update| update.version != version && !update.filter_set.is_empty())
}

/// A property collector that is destroyed on the server with this value, also where making it was given up.
pub(crate) struct Waiter {
    collector: Option<PropertyCollector>,
    version: String,
    pace: Pace,
}

impl Waiter {
    pub(crate) async fn open(client: &Client) -> Result<Self> {
        let waits = client.clone();
        guard::made(client, |maker| async move {
            let reference = maker.collector().create_property_collector().await?;
            Ok(Self { collector: Some(waits.raw(&reference)), version: String::new(), pace: Pace::default() })
        })
        .await
    }

    /// Adds what is waited for.
    pub(crate) async fn watch(&self, spec: &PropertyFilterSpec) -> Result<()> {
        if let Some(collector) = &self.collector {
            // The filter ends with its collector.
            collector.create_filter(spec, true).await.map_err(Error::from)?;
        }
        Ok(())
    }

    /// The next changes; `None` where there were none for a while. The first answer has the state as it is, so that
    /// what has happened already is seen.
    pub(crate) async fn next(&mut self) -> Result<Option<UpdateSet>> {
        let Some(collector) = &self.collector else { return Ok(None) };
        if let Some(pause) = self.pace.pause() {
            tokio::time::sleep(pause).await;
        }
        let options = WaitOptions { max_wait_seconds: Some(HOLD), ..Default::default() };
        let asked = Instant::now();
        let update = collector.wait_for_updates_ex(Some(&self.version), Some(&options)).await?;
        self.pace.note(asked.elapsed(), tells(update.as_ref(), &self.version));
        if let Some(update) = &update {
            self.version.clone_from(&update.version);
        }
        Ok(update)
    }

    pub(crate) async fn close(mut self) {
        if let Some(collector) = self.collector.take() {
            guard::cleaned_up(destroy(collector)).await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(collector) = self.collector.take() {
            guard::clean_up(destroy(collector));
        }
    }
}

async fn destroy(collector: PropertyCollector) {
    if let Err(error) = collector.destroy_property_collector().await {
        tracing::debug!(%error, "a property collector was left to end with the session");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_nothing_that_come_at_once_are_asked_for_ever_more_slowly() {
        let mut pace = Pace::default();
        assert_eq!(pace.pause(), None);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            pace.note(Duration::ZERO, false);
            pauses.extend(pace.pause());
        }
        assert!(pauses.is_sorted() && pauses[0] == FIRST_PAUSE && pauses[9] == LONGEST_PAUSE, "{pauses:?}");
        pace.note(Duration::ZERO, true);
        assert_eq!(pace.pause(), None, "something was told");
        pace.note(Duration::ZERO, false);
        pace.note(Duration::from_secs(10), false);
        assert_eq!(pace.pause(), None, "the server held its answer back");
    }
}
