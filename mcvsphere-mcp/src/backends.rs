//! The way to vSphere, kept for each login: a session there, the inventory in memory, and the defaults.
//!
//! Tools reach it through their [`Cx`](crate::cx::Cx) alone. All callers whom the service account serves share its session
//! and what is known of the inventory: vSphere would show each of them the same, and two hundred sessions and copies would
//! cost two hundred times as much. Callers under a policy share with those for whom the same rules count: a client that sees
//! nothing else, and an inventory of its own. Where users log in to vCenter themselves (`users`), nothing is shared.

mod users;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::{
    sync::{Mutex as AsyncMutex, OnceCell, watch},
    time::timeout,
};
use vsphere_ops::{
    Client, Config,
    sight::{Rules, Tree},
};

use crate::{
    Defaults, Settings, ToolError,
    caller::{Caller, Identity},
    error::Result,
    mirror::{Kind, Mirrors},
    policy::{Policy, Scope},
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
    policy: Arc<Policy>,
    made: Mutex<HashMap<Way, Arc<Backend>>>,
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

/// As whom, to where, and by which rules on objects, where some count.
type Way = (Login, Target, Option<Scope>);

impl Backends {
    pub(crate) fn new(settings: &Settings, policy: &Arc<Policy>) -> Self {
        Self::with(settings, policy, MOST_USERS)
    }

    /// With at most so many sessions of users.
    pub(crate) fn with(settings: &Settings, policy: &Arc<Policy>, most: usize) -> Self {
        let config = settings.vsphere().map_err(|error| ToolError::new("config", error.to_string()));
        let shared = Shared {
            mode: settings.login(),
            config,
            defaults: settings.defaults(),
            policy: Arc::clone(policy),
            made: Mutex::default(),
            idle: settings.login_idle(),
            most,
            link: OnceLock::new(),
            logins: watch::Sender::default(),
            requests_before: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The way to vSphere of this caller for this tool. Nobody is ever given that of another login, or of other rules.
    pub(crate) fn of(&self, caller: &Caller, tool: &str) -> Arc<Backend> {
        let shared = &self.shared;
        if shared.mode == LoginMode::User {
            return self.of_user(caller.identity()).unwrap_or_else(|| {
                let backend = self.new_backend(Account::Missing(self.clone(), caller.identity().clone()));
                // It is for one call.
                backend.mirrors().machines().keep_cold();
                Arc::new(backend)
            });
        }
        let base = self.unbound();
        let Some(scope) = shared.policy.scope(tool, caller) else { return base };
        let way = (Login::Service, Target::Settings, Some(scope.clone()));
        let new = || {
            let rules = shared.policy.rules_of(&scope);
            let bound = Some(Bound { base, rules, now: AsyncMutex::default() });
            Arc::new(Backend { bound, ..self.new_backend(self.service()) })
        };
        Arc::clone(self.made().entry(way).or_insert_with(new))
    }

    /// The way to vSphere of the settings' account, which no policy bounds: for what looks at this server itself.
    pub(crate) fn unbound(&self) -> Arc<Backend> {
        let new = || Arc::new(self.new_backend(self.service()));
        Arc::clone(self.made().entry((Login::Service, Target::Settings, None)).or_insert_with(new))
    }

    fn service(&self) -> Account {
        Account::Service(Box::new(self.shared.config.clone()))
    }

    fn new_backend(&self, account: Account) -> Backend {
        Backend {
            account,
            client: OnceCell::new(),
            mirrors: RwLock::default(),
            defaults: self.shared.defaults.clone(),
            policy: Arc::clone(&self.shared.policy),
            tree: AsyncMutex::default(),
            bound: None,
            calls: AtomicUsize::new(0),
            last_used: Mutex::new(Instant::now()),
        }
    }

    /// How many requests were sent to vSphere.
    pub(crate) fn requests(&self) -> u64 {
        let living: u64 = self.made().values().map(|backend| backend.requests()).sum();
        living + self.shared.requests_before.load(Ordering::Relaxed)
    }

    /// How long ago vSphere confirmed what the oldest cache of VMs holds; `None` where there is no cache.
    pub(crate) fn cache_age(&self) -> Option<Duration> {
        self.made().values().filter_map(|backend| backend.mirrors().machines().age()).max()
    }

    fn made(&self) -> MutexGuard<'_, HashMap<Way, Arc<Backend>>> {
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
    mirrors: RwLock<Arc<Mirrors>>,
    defaults: Defaults,
    policy: Arc<Policy>,
    /// What rules are checked against, where some are.
    tree: AsyncMutex<Option<Tree>>,
    bound: Option<Bound>,
    /// How many calls go on with it, and when one ended last.
    calls: AtomicUsize,
    last_used: Mutex<Instant>,
}

/// By what a backend is bounded.
struct Bound {
    /// The backend that sees all.
    base: Arc<Backend>,
    rules: Rules,
    now: AsyncMutex<Option<Seen>>,
}

/// What is seen at present.
struct Seen {
    tree: Tree,
    client: Client,
    /// What was kept of the inventory is void when this grows.
    epoch: u64,
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
    /// The connected client.
    ///
    /// # Errors
    /// A setting is missing, the server is not reached, or refuses the login; and `login_required` where the user has to log in.
    pub(crate) async fn client(&self) -> Result<Client> {
        let Some(bound) = &self.bound else {
            let connect = || async {
                match &self.account {
                    Account::Service(config) => Client::connect((**config).clone()?).await.map_err(ToolError::from),
                    Account::User(_) => Err(users::login_required()),
                    Account::Missing(backends, identity) => {
                        backends.session_of(identity).ok_or_else(users::login_required)
                    }
                }
            };
            return self.client.get_or_try_init(connect).await.cloned();
        };
        let mut now = bound.now.lock().await;
        if let Some(seen) = &*now
            && seen.tree.failure().is_none()
            && seen.client.sight_epoch().await? == seen.epoch
        {
            return Ok(seen.client.clone());
        }
        let tree = Box::pin(bound.base.tree()).await?;
        let client = tree.guarded(bound.rules.clone());
        let epoch = client.sight_epoch().await?;
        // What was seen before may be seen no longer.
        *self.mirrors.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        *now = Some(Seen { tree, client: client.clone(), epoch });
        Ok(client)
    }

    /// What is in what on the server, by which rules are checked. All names in rules are looked up when it is first read.
    ///
    /// # Errors
    /// Those of [`Backend::client`].
    pub(crate) async fn tree(&self) -> Result<Tree> {
        let mut kept = self.tree.lock().await;
        if let Some(tree) = kept.as_ref().filter(|tree| tree.failure().is_none()) {
            return Ok(tree.clone());
        }
        let client = Box::pin(self.client()).await?;
        let tree = match &*kept {
            // What names have meant they mean still.
            Some(before) => before.again(&client).await?,
            None => Tree::start(&client).await?,
        };
        tree.pin(self.policy.objects());
        for rule in self.policy.rules() {
            for pattern in rule.objects.iter().filter(|pattern| tree.count(pattern) == 0) {
                tracing::warn!(rule = %rule.name, %pattern, "a rule of the policy names nothing in the inventory");
            }
        }
        *kept = Some(tree.clone());
        Ok(tree)
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
        let client = self.client().await?;
        let about = &client.content().about;
        Ok(about.instance_uuid.clone().unwrap_or_else(|| about.full_name.clone()))
    }

    /// The inventory in memory.
    pub(crate) fn mirrors(&self) -> Arc<Mirrors> {
        Arc::clone(&self.mirrors.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The inventory in memory, where rules count as they are now.
    ///
    /// # Errors
    /// Those of [`Backend::client`].
    pub(crate) async fn current_mirrors(&self) -> Result<Arc<Mirrors>> {
        if self.bound.is_some() {
            self.client().await?;
        }
        Ok(self.mirrors())
    }

    /// The names of the objects of a kind, and which of them are templates.
    ///
    /// # Errors
    /// Those of [`Mirrors::names`].
    pub(crate) async fn names(&self, kind: Kind) -> Result<Vec<(String, bool)>> {
        self.current_mirrors().await?.names(self, kind).await
    }

    /// Calls `changed` after each change of this kind of objects.
    ///
    /// # Errors
    /// Those of [`Mirrors::follow`].
    pub(crate) async fn follow<F>(&self, kind: Kind, changed: impl Fn() -> F + Send) -> Result<()>
    where
        F: Future<Output = bool> + Send,
    {
        self.current_mirrors().await?.follow(self, kind, changed).await
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
