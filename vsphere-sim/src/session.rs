//! Sessions: who is logged in, since when, and what each holds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use vsphere_model::types::{DateTime, UserSession};

use crate::call::Peer;
use crate::collector::SessionCollectors;
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

    /// Seconds since the last call.
    pub(crate) fn idle_seconds(&self, now: DateTime) -> i64 {
        now.timestamp() - self.last_active.load(Ordering::Relaxed)
    }

    pub(crate) fn used(&self, now: DateTime) {
        self.last_active.store(now.timestamp(), Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

impl World {
    /// Opens a session for a user; `None` where the server has as many as it can.
    pub(crate) fn open_session(&mut self, user: &str, peer: &Peer, locale: &str) -> Option<UserSession> {
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
