//! A vSphere task's percentage becomes MCP progress.

use std::collections::BTreeMap;

use rmcp::{
    Peer, RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::RequestContext,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

/// Reports the progress of a call on one or several objects, where the client has asked for it.
pub(crate) struct Reporter {
    reports: Option<UnboundedSender<(String, f64)>>,
    sending: Option<JoinHandle<()>>,
}

impl Reporter {
    /// A reporter for a call on so many objects, each of which counts alike.
    pub(crate) fn new(context: &RequestContext<RoleServer>, objects: usize) -> Self {
        let Some(token) = context.meta.get_progress_token() else {
            return Self { reports: None, sending: None };
        };
        // Unbounded, because the sender must not wait; a task reports a hundred steps at most.
        let (reports, received) = unbounded_channel();
        let sending = tokio::spawn(send(context.peer.clone(), token, received, objects));
        Self { reports: Some(reports), sending: Some(sending) }
    }

    /// Notes that the work on an object has come so far, in percent.
    pub(crate) fn report(&self, object: &str, percent: f64) {
        if let Some(reports) = &self.reports {
            // The other side is gone only when the client is.
            let _ = reports.send((object.to_owned(), percent));
        }
    }

    /// Waits until the last report is sent: progress that arrives after the answer confuses clients.
    pub(crate) async fn finish(mut self) {
        self.reports = None;
        if let Some(sending) = self.sending.take() {
            let _ = sending.await;
        }
    }
}

async fn send(
    peer: Peer<RoleServer>,
    token: ProgressToken,
    mut received: UnboundedReceiver<(String, f64)>,
    objects: usize,
) {
    let mut percents = BTreeMap::new();
    let mut sent = -1.0;
    while let Some((object, percent)) = received.recv().await {
        let message = format!("{object}: {percent:.0}%");
        percents.insert(object, percent.clamp(0.0, 100.0));
        let progress = percents.values().sum::<f64>() / objects.max(1) as f64;
        // MCP wants each value to be above the one before.
        if progress <= sent {
            continue;
        }
        sent = progress;
        let step = ProgressNotificationParam::new(token.clone(), progress).with_total(100.0).with_message(message);
        if peer.notify_progress(step).await.is_err() {
            return;
        }
    }
}
