//! The end of a program: every session that this process has opened is ended, whoever holds its client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures::future::join_all;
use tokio::sync::Notify;

use crate::connection::Connection;

/// Ends the sessions of all clients in this process, and waits for logins that are on their way and for the logouts of
/// clients that were dropped. From then on every client is logged out, and no new one can be connected.
///
/// It is meant for the end of a program, where a signal may come while a client connects or while nobody can tell who
/// holds one. It takes as long as the servers need to answer, so put a time limit around it.
///
/// ```no_run
/// # async fn run() {
/// use std::time::Duration;
///
/// let _ = tokio::time::timeout(Duration::from_secs(2), vsphere_ops::end_all_sessions()).await;
/// # }
/// ```
pub async fn end_all_sessions() {
    let open: Vec<(u64, Arc<Connection>)> = {
        let mut sessions = sessions();
        sessions.over = true;
        sessions.open.iter().filter_map(|(id, connection)| Some((*id, connection.upgrade()?))).collect()
    };
    join_all(open.into_iter().map(async |(id, connection)| {
        if let Err(error) = connection.end().await {
            tracing::warn!(%error, "the session could not be ended");
        }
        remove(id);
    }))
    .await;
    loop {
        let changed = CHANGED.notified();
        if sessions().open.is_empty() {
            return;
        }
        changed.await;
    }
}

/// The place of a connection among those of the process, until its session has ended.
#[derive(Debug, Default)]
pub(crate) struct Entry(Option<u64>);

impl Entry {
    pub(crate) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(Some(LAST.fetch_add(1, Ordering::Relaxed)))
    }

    /// Enters the connection. Whether it may open a session: not once all were ended.
    pub(crate) fn enter(&self, connection: &Arc<Connection>) -> bool {
        let mut sessions = sessions();
        if let Some(id) = self.0
            && !sessions.over
        {
            sessions.open.push((id, Arc::downgrade(connection)));
        }
        !sessions.over
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            remove(id);
        }
    }
}

/// The connections whose sessions have not ended.
struct Sessions {
    over: bool,
    open: Vec<(u64, Weak<Connection>)>,
}

static SESSIONS: Mutex<Sessions> = Mutex::new(Sessions { over: false, open: Vec::new() });

static CHANGED: Notify = Notify::const_new();

fn sessions() -> MutexGuard<'static, Sessions> {
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove(id: u64) {
    sessions().open.retain(|(other, _)| *other != id);
    CHANGED.notify_waiters();
}
