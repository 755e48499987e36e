//! Sessions: who is logged in, since when, and what each holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use vsphere_model::types::{DateTime, UserSession};

use crate::call::Peer;
use crate::collector::SessionCollectors;
use crate::core::Core;
use crate::rights::Scope;
use crate::vapi::session::ApiSession;
use crate::world::{World, uuid};

/// The sessions of the server.
#[derive(Default)]
pub(crate) struct Sessions {
    by_key: HashMap<String, Session>,
    /// Those of the Automation API, by their keys.
    api: HashMap<String, ApiSession>,
    /// Tickets to open one more session, each with its user.
    tickets: Vec<(String, String)>,
}

/// How many tickets may be out.
const TICKETS: usize = 100;

/// A session.
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) full_name: String,
    pub(crate) peer: Peer,
    pub(crate) locale: String,
    pub(crate) login_time: DateTime,
    /// Seconds of Unix time of the last call. Atomic, because reads are calls too.
    last_active: AtomicI64,
    calls: AtomicI64,
    /// How many requests of it are being answered that take their time: a session that waits for an answer is not idle.
    waiting: AtomicU32,
    /// What its user may do where.
    pub(crate) scope: Scope,
    /// Its property collectors, with their filters and what they have told.
    pub(crate) collectors: SessionCollectors,
}

impl Session {
    fn new(user: &str, full_name: &str, peer: &Peer, locale: &str, now: DateTime) -> Self {
        Self {
            scope: Scope::default(),
            user: user.to_owned(),
            full_name: full_name.to_owned(),
            peer: peer.clone(),
            locale: locale.to_owned(),
            login_time: now,
            last_active: AtomicI64::new(now.timestamp()),
            calls: AtomicI64::new(1),
            waiting: AtomicU32::new(0),
            collectors: SessionCollectors::default(),
        }
    }

    /// The session as clients see it.
    pub(crate) fn describe(&self, key: &str) -> UserSession {
        let last_active = chrono::DateTime::from_timestamp(self.last_active.load(Ordering::Relaxed), 0);
        UserSession {
            key: key.to_owned(),
            user_name: self.user.clone(),
            full_name: self.full_name.clone(),
            login_time: self.login_time,
            last_active_time: last_active.map_or(self.login_time, |time| time.fixed_offset()),
            locale: self.locale.clone(),
            message_locale: self.locale.clone(),
            extension_session: Some(false),
            ip_address: Some(self.peer.address.clone()),
            user_agent: Some(self.peer.user_agent.clone()),
            call_count: Some(self.calls.load(Ordering::Relaxed)),
        }
    }

    /// Whether it has not been used for longer than this.
    pub(crate) fn is_idle(&self, now: DateTime, limit: Duration) -> bool {
        let seconds = now.timestamp() - self.last_active.load(Ordering::Relaxed);
        self.waiting.load(Ordering::Relaxed) == 0 && u64::try_from(seconds).unwrap_or_default() > limit.as_secs()
    }

    pub(crate) fn used(&self, now: DateTime) {
        self.last_active.store(now.timestamp(), Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// A request of a session that takes its time. The session is not idle until this is dropped.
pub(crate) struct Pending {
    core: Arc<Core>,
    session: String,
}

impl Pending {
    pub(crate) fn of(core: &Arc<Core>, session: &str) -> Self {
        if let Some(found) = core.read().sessions.get(session) {
            found.waiting.fetch_add(1, Ordering::Relaxed);
        }
        Self { core: Arc::clone(core), session: session.to_owned() }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let world = self.core.read();
        if let Some(found) = world.sessions.get(&self.session) {
            found.waiting.fetch_sub(1, Ordering::Relaxed);
            found.last_active.store(world.now().timestamp(), Ordering::Relaxed);
        }
    }
}

impl World {
    /// Opens a session for a user; `None` where the server has as many as it can.
    pub(crate) fn open_session(&mut self, user: &str, peer: &Peer, locale: &str) -> Option<UserSession> {
        if self.sessions.by_key.len() >= self.settings.max_sessions {
            self.end_idle_sessions();
        }
        if self.sessions.by_key.len() >= self.settings.max_sessions {
            return None;
        }
        let key = new_key();
        let full_name = user.rsplit('\\').next().unwrap_or(user);
        let mut session = Session::new(user, full_name, peer, locale, self.now());
        session.scope = self.scope_of(user);
        let described = session.describe(&key);
        self.sessions.by_key.insert(key, session);
        Some(described)
    }

    /// Whether there are sessions that have been idle for too long, of either API.
    pub(crate) fn has_idle_sessions(&self) -> bool {
        let (now, limit) = (self.now(), self.settings.idle_limit);
        let Sessions { by_key, api, .. } = &self.sessions;
        by_key.values().any(|session| session.is_idle(now, limit)) || api.values().any(|own| own.is_idle(now, limit))
    }

    /// Ends them.
    pub(crate) fn end_idle_sessions(&mut self) {
        let (now, limit) = (self.now(), self.settings.idle_limit);
        let idle = self.sessions.by_key.iter().filter(|(_, session)| session.is_idle(now, limit));
        for key in idle.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.end_session(&key);
        }
        self.sessions.api.retain(|_, session| !session.is_idle(now, limit));
    }

    /// Ends a session, with all that it keeps on the server.
    pub(crate) fn end_session(&mut self, key: &str) {
        if self.sessions.by_key.remove(key).is_some() {
            crate::objects::lease::session_ended(self, key);
            self.remove_owned_by(key);
            // Who waits in this session finds it gone.
            self.announce();
        }
    }
}

/// A key as vCenter gives it: a UUID.
pub(crate) fn new_key() -> String {
    uuid(fastrand::u128(..))
}

impl Sessions {
    pub(crate) fn get(&self, key: &str) -> Option<&Session> {
        self.by_key.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Session> {
        self.by_key.get_mut(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Session)> {
        self.by_key.iter().map(|(key, session)| (&**key, session))
    }

    /// The sessions of the Automation API.
    pub(crate) fn api(&self) -> &HashMap<String, ApiSession> {
        &self.api
    }

    /// The same, to open and to end them.
    pub(crate) fn api_mut(&mut self) -> &mut HashMap<String, ApiSession> {
        &mut self.api
    }

    /// Gives each session what its user may do now.
    pub(crate) fn set_scopes(&mut self, by_user: &HashMap<String, Scope>) {
        for session in self.by_key.values_mut() {
            session.scope = by_user.get(&session.user).cloned().unwrap_or_default();
        }
    }

    /// A ticket with which a session for this user can be opened, once.
    pub(crate) fn new_ticket(&mut self, user: &str) -> String {
        let ticket = format!("cst-VCT-{}", new_key());
        // The oldest go when nobody comes for them.
        if self.tickets.len() >= TICKETS {
            self.tickets.remove(0);
        }
        self.tickets.push((ticket.clone(), user.to_owned()));
        ticket
    }

    /// The user that a ticket is for. It is used up.
    pub(crate) fn take_ticket(&mut self, ticket: &str) -> Option<String> {
        let position = self.tickets.iter().position(|(known, _)| known == ticket)?;
        Some(self.tickets.remove(position).1)
    }

    /// The user of a session; empty without one.
    pub(crate) fn user_name(&self, key: Option<&str>) -> String {
        key.and_then(|key| self.get(key)).map(|session| session.user.clone()).unwrap_or_default()
    }
}
