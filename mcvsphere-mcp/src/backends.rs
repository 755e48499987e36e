//! The way to vSphere, kept for each login: a session there, the inventory in memory, and the defaults.
//!
//! Tools reach it through their [`Cx`](crate::cx::Cx) alone. All callers whom the service account serves share its session
//! and what is known of the inventory: vSphere would show each of them the same, and two hundred sessions and copies would
//! cost two hundred times as much.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use tokio::{sync::OnceCell, time::timeout};
use vsphere_ops::{Client, Config};

use crate::{
    Defaults, Settings, ToolError,
    caller::Caller,
    error::Result,
    mirror::Mirrors,
};

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
}

impl Login {
    fn of(_caller: &Caller) -> Self {
        Self::Service
    }
}

/// All ways to vSphere, made when a caller first needs one.
pub(crate) struct Backends {
    config: Result<Config>,
    defaults: Defaults,
    made: Mutex<HashMap<(Login, Target), Arc<Backend>>>,
}

impl Backends {
    pub(crate) fn new(settings: &Settings) -> Self {
        let config = settings.vsphere().map_err(|error| ToolError::new("config", error.to_string()));
        Self { config, defaults: settings.defaults(), made: Mutex::default() }
    }

    /// The way to vSphere of this caller.
    pub(crate) fn of(&self, caller: &Caller) -> Arc<Backend> {
        let key = (Login::of(caller), Target::Settings);
        let mut made = self.made();
        let new = || Arc::new(Backend::new(self.config.clone(), self.defaults.clone()));
        Arc::clone(made.entry(key).or_insert_with(new))
    }

    /// How many requests were sent to vSphere.
    pub(crate) fn requests(&self) -> u64 {
        self.made().values().filter_map(|backend| backend.client.get()).map(Client::requests_sent).sum()
    }

    /// How long ago vSphere confirmed what the oldest cache of VMs holds; `None` where there is no cache.
    pub(crate) fn cache_age(&self) -> Option<Duration> {
        self.made().values().filter_map(|backend| backend.mirrors.machines().age()).max()
    }

    fn made(&self) -> MutexGuard<'_, HashMap<(Login, Target), Arc<Backend>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
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
    config: Result<Config>,
    client: OnceCell<Client>,
    mirrors: Mirrors,
    defaults: Defaults,
}

impl Backend {
    fn new(config: Result<Config>, defaults: Defaults) -> Self {
        Self { config, client: OnceCell::new(), mirrors: Mirrors::default(), defaults }
    }

    /// The connected client.
    ///
    /// # Errors
    /// A setting is missing, the server is not reached, or refuses the login.
    pub(crate) async fn client(&self) -> Result<&Client> {
        let connect = || async {
            let config = self.config.clone()?;
            Client::connect(config).await.map_err(ToolError::from)
        };
        self.client.get_or_try_init(connect).await
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
