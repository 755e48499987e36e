//! Sessions of users who log in to vCenter themselves (`VCENTER_LOGIN=user`).
//!
//! A session begins with a login on a page of this server, and with nothing else. It ends when it was idle for too long, when
//! the user ends it, when another needs its place, and with this process. Then its caches are gone, and the user logs in again:
//! no password was kept, and there is no other account to go on with.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{sleep, timeout};
use vsphere_ops::{Client, vcenter};
use zeroize::Zeroizing;

use super::{Account, Backend, Backends, Login, LoginMode, Target, Way};
use crate::{
    ToolError,
    caller::{Caller, Identity},
};

/// The most sessions of users at a time. vCenter allows some two thousand of all programs together.
pub(crate) const MOST_USERS: usize = 200;

/// How long a login at vCenter may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a user is not logged in.
#[derive(Debug)]
pub(crate) enum LoginError {
    /// User name or password is wrong.
    Refused,
    /// vCenter knows the user, who may see nothing there.
    NoRights,
    /// All places are taken by users whose calls go on.
    Full,
    /// Anything else. For the log.
    Failed(String),
}

/// The error for a caller who is not logged in. The link is added where the user can see it.
pub(super) fn login_required() -> ToolError {
    ToolError::new("login_required", "you are not logged in to vCenter, so nothing was done")
}

impl Backends {
    /// Whether each user logs in themselves.
    pub(crate) fn are_of_users(&self) -> bool {
        self.shared.mode == LoginMode::User
    }

    /// After how long without a call a session ends.
    pub(crate) fn idle_limit(&self) -> Duration {
        self.shared.idle
    }

    /// Has links made by this.
    pub(crate) fn make_links_by(&self, link: impl Fn(&Caller) -> Option<String> + Send + Sync + 'static) {
        // There is one server of logins.
        let _ = self.shared.link.set(Box::new(link));
    }

    /// A link by which this caller can log in, once.
    pub(crate) fn link_for(&self, caller: &Caller) -> Option<String> {
        self.shared.link.get().and_then(|link| link(caller))
    }

    /// The session of a user, where there is one that is not known to have ended.
    pub(super) fn of_user(&self, identity: &Identity) -> Option<Arc<Backend>> {
        let key = key(identity);
        let mut made = self.made();
        let backend = made.get(&key)?;
        if backend.client.get().is_none_or(Client::is_logged_out) {
            self.count(backend);
            made.remove(&key);
            return None;
        }
        backend.touch();
        Some(Arc::clone(backend))
    }

    /// The client of the session of a user.
    pub(super) fn session_of(&self, identity: &Identity) -> Option<Client> {
        self.of_user(identity).and_then(|backend| backend.client.get().cloned())
    }

    /// The name under which a caller is logged in at vCenter.
    pub(crate) fn user_of(&self, identity: &Identity) -> Option<String> {
        match &self.of_user(identity)?.account {
            Account::User(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// Logs a user in, replacing any session they have. Returns the name under which vCenter knows them.
    ///
    /// # Errors
    /// The user is not logged in, and a session that they have goes on.
    pub(crate) async fn log_in(
        &self,
        identity: &Identity,
        user: &str,
        mut password: Zeroizing<String>,
    ) -> Result<String, LoginError> {
        let failed = |error: &dyn std::fmt::Display| LoginError::Failed(error.to_string());
        let config = self.shared.config.clone().map_err(|error| failed(&error))?;
        if !self.has_room_for(identity) {
            return Err(LoginError::Full);
        }
        let config = config.user(user).password(std::mem::take(&mut *password)).log_in_once();
        let connected = timeout(PATIENCE, Client::connect(config)).await;
        let client = connected.map_err(|_| failed(&"it took too long"))?.map_err(|error| match error.code() {
            "auth" => LoginError::Refused,
            "permission" => LoginError::NoRights,
            _ => failed(&error),
        })?;
        let name = match vcenter::info(&client).await {
            Ok(info) => info.user.unwrap_or_else(|| user.to_owned()),
            Err(_) => user.to_owned(),
        };
        let backend = Backend { client: client.into(), ..self.new_backend(Account::User(name.clone())) };
        self.keep(identity, &Arc::new(backend)).await?;
        self.shared.logins.send_replace(());
        Ok(name)
    }

    /// Ends the session of a user. Whether there was one.
    pub(crate) async fn log_out(&self, identity: &Identity) -> bool {
        let ended = self.made().remove(&key(identity));
        if let Some(backend) = &ended {
            self.end(backend).await;
        }
        ended.is_some()
    }

    /// Waits until a user is logged in, for at most so long, and says whether that is so.
    pub(crate) async fn logged_in_within(&self, identity: &Identity, limit: Duration) -> bool {
        let mut logins = self.shared.logins.subscribe();
        let logged_in = async {
            while self.of_user(identity).is_none() {
                // The sender lives as long as this does.
                let _ = logins.changed().await;
            }
        };
        timeout(limit, logged_in).await.is_ok()
    }

    /// Keeps a session, where there is room. The session that it replaces is logged out.
    async fn keep(&self, identity: &Identity, backend: &Arc<Backend>) -> Result<(), LoginError> {
        let ended = {
            let mut made = self.made();
            let mut ended = Vec::from_iter(made.remove(&key(identity)));
            if made.len() >= self.shared.most {
                let free = made.iter().filter(|(_, other)| other.calls.load(Ordering::Acquire) == 0);
                let longest = free.max_by_key(|(_, other)| other.idle_for()).map(|(key, _)| key.clone());
                match longest.and_then(|key| made.remove(&key)) {
                    Some(other) => ended.push(other),
                    None => ended.push(Arc::clone(backend)),
                }
            }
            if made.len() < self.shared.most {
                made.insert(key(identity), Arc::clone(backend));
            }
            ended
        };
        let is_kept = !ended.iter().any(|other| Arc::ptr_eq(other, backend));
        for other in &ended {
            self.end(other).await;
        }
        if !is_kept {
            return Err(LoginError::Full);
        }
        self.end_when_idle(identity.clone(), backend);
        Ok(())
    }

    /// Logs out of a session that is no longer kept.
    async fn end(&self, backend: &Backend) {
        backend.close().await;
        self.count(backend);
    }

    /// Counts the requests of a session that is no longer kept.
    fn count(&self, backend: &Backend) {
        self.shared.requests_before.fetch_add(backend.requests(), Ordering::Relaxed);
    }

    /// Whether a login would find a place.
    fn has_room_for(&self, identity: &Identity) -> bool {
        let made = self.made();
        made.len() < self.shared.most
            || made.contains_key(&key(identity))
            || made.values().any(|other| other.calls.load(Ordering::Acquire) == 0)
    }

    /// Ends a session once it was idle for too long.
    fn end_when_idle(&self, identity: Identity, backend: &Arc<Backend>) {
        let (shared, backend) = (Arc::downgrade(&self.shared), Arc::downgrade(backend));
        let limit = self.shared.idle;
        tokio::spawn(async move {
            let mut next = limit;
            loop {
                sleep(next).await;
                let (Some(shared), Some(backend)) = (shared.upgrade(), backend.upgrade()) else { return };
                let backends = Self { shared };
                let ended = {
                    let mut made = backends.made();
                    let key = key(&identity);
                    if made.get(&key).is_none_or(|kept| !Arc::ptr_eq(kept, &backend)) {
                        return;
                    }
                    // Looked at under the lock, so that no call can begin meanwhile.
                    let idle = backend.idle_for();
                    next = limit.saturating_sub(idle).max(Duration::from_millis(10));
                    if idle >= limit { made.remove(&key) } else { None }
                };
                if let Some(ended) = ended {
                    tracing::info!("a session of a user with vCenter has ended, as it was idle");
                    return backends.end(&ended).await;
                }
            }
        });
    }
}

fn key(identity: &Identity) -> Way {
    (Login::User(identity.clone()), Target::Settings, None)
}
