//! The way to vSphere, kept for each login: a session there, the inventory in memory, and the defaults.
//!
//! Tools reach it through their [`Cx`](crate::cx::Cx) alone. All callers whom the service account serves share its session
//! and what is known of the inventory: vSphere would show each of them the same, and two hundred sessions and copies would
//! cost two hundred times as much. Where users log in to vCenter themselves (`users`), nothing is shared.

mod users;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::{
    sync::{OnceCell, watch},
    time::timeout,
};
use vsphere_ops::{Client, Config};

use crate::{
    Defaults, Settings, ToolError,
    caller::{Caller, Identity},
    error::Result,
    mirror::Mirrors,
};
pub(crate) use users::{LoginError, MOST_USERS};

/// How long the end of a session may take when the server ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which vCenter Server or host is meant. There is one: that of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// That of `VCENTER_HOST`.
    Settings,
}

/// As whom a caller is logged in to vSphere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Login {
    /// As the account of the settings.
    Service,
    /// As the account with which this caller has logged in.
    User(Identity),
}

/// As whom callers are logged in to vSphere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginMode {
    /// All as the account of the settings.
    Service,
    /// Each as themselves.
    User,
}

/// Makes the one-time link by which a caller logs in to vCenter.
type Link = Box<dyn Fn(&Caller) -> Option<String> + Send + Sync>;

/// All ways to vSphere, made when a caller first needs one. A clone is cheap and is the same.
#[derive(Clone)]
pub(crate) struct Backends {
    shared: Arc<Shared>,
}

struct Shared {
    mode: LoginMode,
    /// With the account of the settings, or with none where users log in themselves.
    config: Result<Config>,
    defaults: Defaults,
    made: Mutex<HashMap<(Login, Target), Arc<Backend>>>,
    /// After how long without a call a user's session ends.
    idle: Duration,
    /// The most sessions of users.
    most: usize,
    link: OnceLock<Link>,
    /// Tells of each login.
    logins: watch::Sender<()>,
    /// How many requests were sent in sessions of users that have ended.
    requests_before: AtomicU64,
}

impl Backends {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self::with(settings, MOST_USERS)
    }

    /// With at most so many sessions of users.
    pub(crate) fn with(settings: &Settings, most: usize) -> Self {
        let config = settings.vsphere().map_err(|error| ToolError::new("config", error.to_string()));
        let shared = Shared {
            mode: settings.login(),
            config,
            defaults: settings.defaults(),
            made: Mutex::default(),
            idle: settings.login_idle(),
            most,
            link: OnceLock::new(),
            logins: watch::Sender::default(),
            requests_before: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The way to vSphere of this caller. Nobody is ever given that of another login.
    pub(crate) fn of(&self, caller: &Caller) -> Arc<Backend> {
        let shared = &self.shared;
        if shared.mode == LoginMode::User {
            return self.of_user(caller.identity()).unwrap_or_else(|| {
                let account = Account::Missing(self.clone(), caller.identity().clone());
                let backend = Backend::new(account, shared.defaults.clone());
                // It is for one call.
                backend.mirrors.machines().keep_cold();
                Arc::new(backend)
            });
        }
        let key = (Login::Service, Target::Settings);
        let new = || Arc::new(Backend::new(Account::Service(Box::new(shared.config.clone())), shared.defaults.clone()));
        Arc::clone(self.made().entry(key).or_insert_with(new))
    }

    /// How many requests were sent to vSphere.
    pub(crate) fn requests(&self) -> u64 {
        let living: u64 = self.made().values().map(|backend| backend.requests()).sum();
        living + self.shared.requests_before.load(Ordering::Relaxed)
    }

    /// How long ago vSphere confirmed what the oldest cache of VMs holds; `None` where there is no cache.
    pub(crate) fn cache_age(&self) -> Option<Duration> {
        self.made().values().filter_map(|backend| backend.mirrors.machines().age()).max()
    }

    fn made(&self) -> MutexGuard<'_, HashMap<(Login, Target), Arc<Backend>>> {
        self.shared.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all sessions with vSphere.
    pub(crate) async fn close(&self) {
        let made = std::mem::take(&mut *self.made());
        join_all(made.values().map(|backend| backend.close())).await;
    }
}

/// A login's way to one vCenter Server or host.
///
/// It connects at the first use, so that the server starts at once and its tools can be listed without a vCenter Server. A
/// failed try is not remembered: the next call tries again.
pub(crate) struct Backend {
    account: Account,
    client: OnceCell<Client>,
    mirrors: Mirrors,
    defaults: Defaults,
    /// How many calls go on with it, and when one ended last.
    calls: AtomicUsize,
    last_used: Mutex<Instant>,
}

/// As whom a backend is logged in.
enum Account {
    /// As the account of the settings.
    Service(Box<Result<Config>>),
    /// As a user, under this name at vCenter.
    User(String),
    /// As nobody: this user has not logged in yet, or no longer is. It is never kept.
    Missing(Backends, Identity),
}

/// A call that goes on with a backend.
pub(crate) struct InUse(Arc<Backend>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.touch();
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Backend {
    fn new(account: Account, defaults: Defaults) -> Self {
        Self {
            account,
            client: OnceCell::new(),
            mirrors: Mirrors::default(),
            defaults,
            calls: AtomicUsize::new(0),
            last_used: Mutex::new(Instant::now()),
        }
    }

    /// The connected client.
    ///
    /// # Errors
    /// A setting is missing, the server is not reached, or refuses the login; and `login_required` where the user has to log in.
    pub(crate) async fn client(&self) -> Result<&Client> {
        let connect = || async {
            match &self.account {
                Account::Service(config) => Client::connect((**config).clone()?).await.map_err(ToolError::from),
                Account::User(_) => Err(users::login_required()),
                Account::Missing(backends, identity) => backends.session_of(identity).ok_or_else(users::login_required),
            }
        };
        self.client.get_or_try_init(connect).await
    }

    /// # Errors
    /// The user has to log in.
    pub(crate) fn check_login(&self) -> Result<()> {
        match &self.account {
            Account::Missing(..) => Err(users::login_required()),
            _ => Ok(()),
        }
    }

    /// What tells this vCenter Server or host from others: its `instanceUuid`, where it has one.
    ///
    /// # Errors
    /// Those of [`Backend::client`].
    pub(crate) async fn server_id(&self) -> Result<String> {
        let about = &self.client().await?.content().about;
        Ok(about.instance_uuid.clone().unwrap_or_else(|| about.full_name.clone()))
    }

    /// The inventory in memory.
    pub(crate) fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// The objects that tools use where a call names none.
    pub(crate) fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    fn requests(&self) -> u64 {
        self.client.get().map_or(0, Client::requests_sent)
    }

    /// Notes that a call goes on, until what this answers is dropped.
    pub(crate) fn in_use(self: &Arc<Self>) -> InUse {
        self.calls.fetch_add(1, Ordering::AcqRel);
        self.touch();
        InUse(Arc::clone(self))
    }

    fn touch(&self) {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// For how long no call has gone on.
    fn idle_for(&self) -> Duration {
        match self.calls.load(Ordering::Acquire) {
            0 => self.last_used.lock().unwrap_or_else(PoisonError::into_inner).elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// Logs out, where there is a session.
    async fn close(&self) {
        let Some(client) = self.client.get() else {
            return;
        };
        match timeout(PATIENCE, client.logout()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "logout failed"),
            Err(_) => tracing::warn!("logout took too long"),
        }
    }
}
