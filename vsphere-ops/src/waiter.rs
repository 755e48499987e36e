//! Waiting for changes with a property collector of one's own, which others' waits can't disturb.

use vsphere_model::managed::PropertyCollector;
use vsphere_model::types::{PropertyFilterSpec, UpdateSet, WaitOptions};

use crate::client::Client;
use crate::error::{Error, Result};
use crate::guard;

/// How long the server holds an answer back when nothing changes, in seconds. Well under the time-outs of proxies.
pub(crate) const HOLD: i32 = 30;

/// A property collector that is destroyed on the server with this value, also where making it was given up.
pub(crate) struct Waiter {
    collector: Option<PropertyCollector>,
    version: String,
}

impl Waiter {
    pub(crate) async fn open(client: &Client) -> Result<Self> {
        let waits = client.clone();
        guard::made(client, |maker| async move {
            let reference = maker.collector().create_property_collector().await?;
            Ok(Self { collector: Some(waits.raw(&reference)), version: String::new() })
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
        let options = WaitOptions { max_wait_seconds: Some(HOLD), ..Default::default() };
        let update = collector.wait_for_updates_ex(Some(&self.version), Some(&options)).await?;
        if let Some(update) = &update {
            self.version.clone_from(&update.version);
        }
        Ok(update)
    }

    pub(crate) async fn close(mut self) {
        if let Some(collector) = self.collector.take() {
            destroy(collector).await;
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
