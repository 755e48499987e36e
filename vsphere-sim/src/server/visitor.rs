//! Who asks at a path that takes the session of the SOAP API, or a name and a password.

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;

use super::{rest, soap};
use crate::call::Peer;
use crate::core::Core;

/// A user who is logged in.
pub(super) struct Visitor<'a> {
    core: &'a Core,
    /// The key of the session.
    pub(super) session: String,
    /// The session was opened for this request alone.
    passing: bool,
}

/// Why a request has no user.
pub(super) enum Unknown {
    /// Nobody is logged in.
    Unauthenticated,
    /// There are too many sessions.
    Full,
}

impl<'a> Visitor<'a> {
    /// By the cookie of a session, or by name and password.
    pub(super) fn find(core: &'a Core, request: &Request<Incoming>, peer: &Peer) -> Result<Self, Unknown> {
        if let Some(session) = soap::session_of(request).filter(|key| soap::is_alive(core, key)) {
            let world = core.read();
            if let Some(found) = world.sessions.get(&session) {
                found.used(world.now());
            }
            drop(world);
            return Ok(Self::of(core, session));
        }
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (name, password) = header.and_then(rest::basic).ok_or(Unknown::Unauthenticated)?;
        let mut world = core.write();
        let user = world.settings.principal(&name, &password);
        let opened = world.open_session(&user.ok_or(Unknown::Unauthenticated)?, peer, "en");
        let session = opened.ok_or(Unknown::Full)?;
        Ok(Self { core, session: session.key, passing: true })
    }

    /// The user of a session that is known by other means.
    pub(super) fn of(core: &'a Core, session: String) -> Self {
        Self { core, session, passing: false }
    }
}

impl Drop for Visitor<'_> {
    fn drop(&mut self) {
        if self.passing {
            self.core.write().end_session(&self.session);
        }
    }
}
