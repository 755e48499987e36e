//! The list of virtual machines: from memory once that is warm, else from the server.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};
use vsphere_ops::{
    Page,
    vm::{self, VmMirror, VmQuery, VmSummary},
};

use super::Slot;
use crate::{backends::Backend, error::Result};

/// The mirror of the virtual machines, and how far it has followed what this server changed itself.
pub(crate) struct Machines {
    mirror: Slot<VmMirror>,
    /// How many calls of this server have changed something, and how many of them the mirror surely has seen.
    changes: AtomicU64,
    seen: watch::Sender<u64>,
    kept_cold: AtomicBool,
    /// When a start in the background failed last.
    failed: Mutex<Option<Instant>>,
}

/// How long a list waits for the mirror to see what this server changed, before the server is asked instead.
const CATCH_UP: Duration = Duration::from_millis(500);

/// How long a server that was silent is waited for before the list is what the mirror knew last.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a mirror that could not be started is not tried again by lists, which get on without it.
const COOL_DOWN: Duration = Duration::from_secs(60);

impl Default for Machines {
    fn default() -> Self {
        Self {
            mirror: Slot::default(),
            changes: AtomicU64::new(0),
            seen: watch::Sender::new(0),
            kept_cold: AtomicBool::new(false),
            failed: Mutex::default(),
        }
    }
}

impl Backend {
    /// A page of the list of virtual machines. It never waits for the mirror to become warm, but starts it.
    ///
    /// Where the server does not answer, the page is what the mirror knew last, and says so.
    ///
    /// # Errors
    /// Those of [`vm::list`] and of the connection.
    pub(crate) async fn list_machines(self: &Arc<Self>, query: &VmQuery) -> Result<Page<VmSummary>> {
        let machines = self.mirrors().machines();
        if let Some(mirror) = machines.current().await
            && let Some(page) = mirror.list(query)?
        {
            return Ok(page);
        }
        let client = self.client().await?;
        let Some(stale) = machines.mirror.running().filter(|mirror| !mirror.is_current()) else {
            let page = vm::list(client, query).await?;
            machines.warm_up(self);
            return Ok(page);
        };
        match vm::list(&client.with_deadline(PATIENCE), query).await {
            Err(error) if matches!(error.code(), "timeout" | "connection" | "session") => {
                tracing::debug!(%error, "virtual machines are listed from memory");
                stale.list(query)?.ok_or_else(|| error.into())
            }
            page => Ok(page?),
        }
    }
}

impl Machines {
    /// The mirror, started where it does not run.
    pub(super) async fn started(&self, backend: &Backend) -> Result<VmMirror> {
        let before = self.changes.load(Ordering::SeqCst);
        let start = async {
            let mirror = VmMirror::start(backend.client().await?).await?;
            self.note_seen(before);
            Ok(mirror)
        };
        let mirror = self.mirror.get_or(start).await?;
        // Who changed something meanwhile found no mirror to refresh.
        self.catch_up(&mirror).await;
        Ok(mirror)
    }

    /// Has no mirror started by lists.
    pub(crate) fn keep_cold(&self) {
        self.kept_cold.store(true, Ordering::Relaxed);
    }

    /// A call of this server has changed something, or has tried to: lists from now on show it.
    pub(crate) fn changed(&self, backend: &Arc<Backend>) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        if let Some(mirror) = self.mirror.running() {
            let backend = Arc::clone(backend);
            tokio::spawn(async move { backend.mirrors().machines().catch_up(&mirror).await });
        }
    }

    /// The mirror, if it follows the server and has seen what this server changed.
    async fn current(&self) -> Option<VmMirror> {
        let mirror = self.mirror.running().filter(VmMirror::is_current)?;
        let changes = self.changes.load(Ordering::SeqCst);
        let mut seen = self.seen.subscribe();
        timeout(CATCH_UP, seen.wait_for(|seen| *seen >= changes)).await.ok()?.ok()?;
        Some(mirror)
    }

    async fn catch_up(&self, mirror: &VmMirror) {
        let changes = self.changes.load(Ordering::SeqCst);
        if *self.seen.borrow() >= changes {
            return;
        }
        match mirror.refresh().await {
            Ok(()) => self.note_seen(changes),
            Err(error) => tracing::debug!(%error, "the mirror of virtual machines has ended"),
        }
    }

    fn note_seen(&self, changes: u64) {
        self.seen.send_if_modified(|seen| {
            let later = *seen < changes;
            *seen = changes.max(*seen);
            later
        });
    }

    /// Starts the mirror in the background.
    fn warm_up(&self, backend: &Arc<Backend>) {
        let cooling = || {
            let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.is_some_and(|failed| failed.elapsed() < COOL_DOWN)
        };
        if self.kept_cold.load(Ordering::Relaxed) || self.mirror.running().is_some() || cooling() {
            return;
        }
        if self.mirror.is_starting() {
            return;
        }
        let backend = Arc::clone(backend);
        tokio::spawn(async move {
            let machines = backend.mirrors().machines();
            if let Err(error) = machines.started(&backend).await {
                tracing::debug!(?error, "virtual machines are listed without a mirror");
                *machines.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
        });
    }
}
