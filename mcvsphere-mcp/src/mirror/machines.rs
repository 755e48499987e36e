//! The virtual machines in memory: lists and lookups by name take them from there once they are, else from the server.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use vsphere_ops::{
    Client, Page,
    columns::Groups,
    vm::{self, VmCache, VmColumn, VmMirror, VmQuery, VmSummary},
};

use super::Slot;
use crate::{backends::Backend, error::Result};

/// The mirror of the virtual machines.
#[derive(Default)]
pub(crate) struct Machines {
    mirror: Slot<VmMirror>,
    kept_cold: AtomicBool,
    /// How many lookups found no mirror.
    missed: AtomicU32,
    /// How many lists are read from the server now.
    reading: AtomicU32,
    /// Whether the mirror is about to be started by a list or a lookup.
    warming: AtomicBool,
    /// When a start in the background failed last.
    failed: Mutex<Option<Instant>>,
}

/// How long a call waits for the mirror to see what this server changed, before the server is asked instead.
const CATCH_UP: Duration = Duration::from_millis(500);

/// So many lookups by name make the mirror worth its start. One of them alone is better off with the names.
const WORTH_A_MIRROR: u32 = 2;

/// The pause between a list and loading the mirror, and the longest time that further lists can postpone the load. Without
/// it, a list that follows at once would compete with the load for the server.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long a server that was silent is waited for before the list is what the mirror knew last.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a mirror that could not be started is not tried again by lists, which get on without it.
const COOL_DOWN: Duration = Duration::from_secs(60);

impl Backend {
    /// A page of the list of virtual machines. It never waits for the mirror to become warm, but starts it.
    ///
    /// Where the server does not answer, the page is what the mirror knew last, and says so.
    ///
    /// # Errors
    /// Those of [`vm::list`] and of the connection.
    pub(crate) async fn list_machines(self: &Arc<Self>, query: &VmQuery) -> Result<Page<VmSummary>> {
        self.ask_machines(query).await
    }

    /// The virtual machines in groups by a column, likewise.
    ///
    /// # Errors
    /// Those of [`vm::groups`] and of the connection.
    pub(crate) async fn group_machines(self: &Arc<Self>, query: &VmQuery, column: VmColumn) -> Result<Groups> {
        self.ask_machines(&Grouped(query, column)).await
    }

    /// Asks the mirror where it is current and holds what is asked for, else the server.
    async fn ask_machines<Q: Question>(self: &Arc<Self>, question: &Q) -> Result<Q::Answer> {
        let mirrors = self.current_mirrors().await?;
        let machines = mirrors.machines();
        if let Some(current) = machines.current().await
            && let Some(answer) = question.ask_mirror(&current).await?
        {
            return Ok(answer);
        }
        let client = self.client().await?;
        let Some(stale) = machines.mirror.running().filter(|mirror| !mirror.is_current()) else {
            let answer = machines.read(question.ask_server(&client)).await?;
            machines.warm_up(self);
            return Ok(answer);
        };
        match question.ask_server(&client.with_deadline(PATIENCE)).await {
            Err(error) if matches!(error.code(), "timeout" | "connection" | "session") => {
                tracing::debug!(%error, "virtual machines are listed from memory");
                question.ask_mirror(&stale).await?.ok_or_else(|| error.into())
            }
            answer => Ok(answer?),
        }
    }
}

/// A question about all virtual machines.
#[async_trait]
trait Question: Sync {
    type Answer: Send;

    /// The answer from memory; `None` where that does not hold what is asked for.
    async fn ask_mirror(&self, mirror: &VmMirror) -> vsphere_ops::Result<Option<Self::Answer>>;

    async fn ask_server(&self, client: &Client) -> vsphere_ops::Result<Self::Answer>;
}

#[async_trait]
impl Question for VmQuery {
    type Answer = Page<VmSummary>;

    async fn ask_mirror(&self, mirror: &VmMirror) -> vsphere_ops::Result<Option<Page<VmSummary>>> {
        mirror.list(self).await
    }

    async fn ask_server(&self, client: &Client) -> vsphere_ops::Result<Page<VmSummary>> {
        vm::list(client, self).await
    }
}

/// Those of a query, in groups by a column.
struct Grouped<'q>(&'q VmQuery, VmColumn);

#[async_trait]
impl Question for Grouped<'_> {
    type Answer = Groups;

    async fn ask_mirror(&self, mirror: &VmMirror) -> vsphere_ops::Result<Option<Groups>> {
        mirror.groups(self.0, self.1).await
    }

    async fn ask_server(&self, client: &Client) -> vsphere_ops::Result<Groups> {
        vm::groups(client, self.0, self.1).await
    }
}

/// The mirror of a backend as the cache of its clients.
pub(crate) struct Cached(pub(crate) Arc<Backend>);

#[async_trait]
impl VmCache for Cached {
    async fn current(&self) -> Option<VmMirror> {
        let mirrors = self.0.current_mirrors().await.ok()?;
        let machines = mirrors.machines();
        let current = machines.current().await;
        if current.is_none() && machines.missed.fetch_add(1, Ordering::Relaxed) + 1 >= WORTH_A_MIRROR {
            machines.warm_up(&self.0);
        }
        current
    }
}

impl Machines {
    /// The mirror, started where it does not run.
    pub(super) async fn started(&self, backend: &Backend) -> Result<VmMirror> {
        let start = async { Ok(VmMirror::start(&backend.client().await?).await?) };
        let mirror = self.mirror.get_or(start).await?;
        // What was changed while it was loaded may be missing.
        mirror.catch_up(CATCH_UP).await;
        Ok(mirror)
    }

    /// How long ago the server confirmed what the mirror holds, where one runs.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.mirror.running()?.age()
    }

    /// Has no mirror started by lists and lookups.
    pub(crate) fn keep_cold(&self) {
        self.kept_cold.store(true, Ordering::Relaxed);
    }

    /// A call of this server has changed something, or has tried to: the mirror is to show it soon. Until it does, lists and
    /// lookups wait for it or ask the server.
    pub(crate) fn changed(&self) {
        if let Some(mirror) = self.mirror.running() {
            tokio::spawn(async move { mirror.catch_up(CATCH_UP).await });
        }
    }

    /// The mirror, if it follows the server and has seen what this server changed.
    async fn current(&self) -> Option<VmMirror> {
        let mirror = self.mirror.running()?;
        mirror.catch_up(CATCH_UP).await.then_some(mirror)
    }

    /// Reads a list from the server, which puts the start of the mirror off.
    async fn read<T>(&self, list: impl Future<Output = T>) -> T {
        /// Counts down also where the call is given up.
        struct Reading<'a>(&'a AtomicU32);

        impl Drop for Reading<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }

        self.reading.fetch_add(1, Ordering::Relaxed);
        let _reading = Reading(&self.reading);
        list.await
    }

    /// Waits until no list is read.
    async fn pause(&self) {
        let started = Instant::now();
        loop {
            tokio::time::sleep(PAUSE).await;
            if self.reading.load(Ordering::Relaxed) == 0 || started.elapsed() > LONGEST_PAUSE {
                return;
            }
        }
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
        if self.warming.swap(true, Ordering::Relaxed) {
            return;
        }
        let backend = Arc::clone(backend);
        tokio::spawn(async move {
            let mirrors = backend.mirrors();
            let machines = mirrors.machines();
            machines.pause().await;
            if let Err(error) = machines.started(&backend).await {
                tracing::debug!(?error, "virtual machines are listed without a mirror");
                *machines.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            machines.warming.store(false, Ordering::Relaxed);
        });
    }
}
