//! The sessions of the Automation API. They live apart from those of the SOAP API, and all its doors share them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::SecondsFormat;
use serde_json::{Value, json};
use vsphere_model::types::DateTime;

use super::{Caller, Failure, Kind, Outcome};
use crate::session::new_key;
use crate::world::World;

/// A session.
pub(crate) struct ApiSession {
    principal: String,
    created: DateTime,
    /// Milliseconds of Unix time of the last call. Atomic, because reads are calls too.
    last_active: AtomicI64,
}

impl ApiSession {
    /// Whether it has not been used for longer than this.
    pub(crate) fn is_idle(&self, now: DateTime, limit: Duration) -> bool {
        let idle = now.timestamp_millis() - self.last_active.load(Ordering::Relaxed);
        u128::try_from(idle).unwrap_or_default() > limit.as_millis()
    }
}

/// Opens a session; its key.
///
/// # Errors
/// Name or password is wrong, or there are too many sessions.
pub(crate) fn create(world: &mut World, user: &str, password: &str) -> Outcome<String> {
    let principal = world.settings.principal(user, password).ok_or_else(Failure::unauthenticated)?;
    let now = world.now();
    let most = world.settings.max_sessions;
    world.end_idle_sessions();
    let sessions = world.sessions.api_mut();
    if sessions.values().filter(|session| session.principal == principal).count() >= most {
        let id = "com.vmware.vapi.endpoint.failedToLoginMaxUserSessionCountReached";
        let message = format!("User session count is limited to {most}. Existing session count is {most}.");
        return Err(Failure::new(Kind::ServiceUnavailable, id, message));
    }
    let key = new_key().replace('-', "");
    let last_active = AtomicI64::new(now.timestamp_millis());
    sessions.insert(key.clone(), ApiSession { principal, created: now, last_active });
    Ok(key)
}

/// Who calls in this session.
///
/// # Errors
/// There is none of this key, or it was idle for too long.
pub(crate) fn caller(world: &World, key: Option<&str>) -> Outcome<Caller> {
    let session = key.and_then(|key| world.sessions.api().get(key)).ok_or_else(Failure::unauthenticated)?;
    let now = world.now();
    if session.is_idle(now, world.settings.idle_limit) {
        return Err(Failure::unauthenticated());
    }
    session.last_active.store(now.timestamp_millis(), Ordering::Relaxed);
    Ok(Caller { principal: session.principal.clone() })
}

/// What is known of a session.
///
/// # Errors
/// As [`caller`].
pub(crate) fn info(world: &World, key: Option<&str>) -> Outcome<Value> {
    let caller = caller(world, key)?;
    let session = key.and_then(|key| world.sessions.api().get(key)).ok_or_else(Failure::unauthenticated)?;
    let time = |at: DateTime| at.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true);
    let last = chrono::DateTime::from_timestamp_millis(session.last_active.load(Ordering::Relaxed));
    let last = last.map_or(session.created, |at| at.fixed_offset());
    Ok(json!({
        "user": caller.principal,
        "created_time": time(session.created),
        "last_accessed_time": time(last),
    }))
}

/// Ends a session.
///
/// # Errors
/// There is none of this key.
pub(crate) fn delete(world: &mut World, key: Option<&str>) -> Outcome<()> {
    let ended = key.and_then(|key| world.sessions.api_mut().remove(key));
    ended.map(drop).ok_or_else(Failure::unauthenticated)
}
