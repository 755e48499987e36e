//! The sessions of the older lifecycle. Each belongs to the identity that began it: an id lets nobody else in.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::Stream;
use http::{HeaderMap, request::Parts};
use rmcp::{
    model::{ClientJsonRpcMessage, GetExtensions, JsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_server::session::{
        ServerSseMessage, SessionId, SessionManager,
        local::{LocalSessionManager, LocalSessionManagerError},
    },
};

use crate::{Caller, caller::Identity};

/// The header that names a session.
const HEADER: &str = "mcp-session-id";

/// How long a session may be idle. A client that has lost its connection comes back within this time, and one that is
/// gone says nothing.
const IDLE: Duration = Duration::from_secs(4 * 60 * 60);

/// The most sessions of one identity; the one that was not used for longest ends before another begins.
const MOST_OF_ONE: usize = 64;

/// The most sessions of all.
const MOST: usize = 2048;

/// The sessions of this process.
pub(crate) struct Sessions {
    local: LocalSessionManager,
    known: Mutex<HashMap<SessionId, Known>>,
}

struct Known {
    whose: Identity,
    used: Instant,
}

impl Default for Sessions {
    fn default() -> Self {
        let mut local = LocalSessionManager::default();
        local.session_config.keep_alive = Some(IDLE);
        Self { local, known: Mutex::default() }
    }
}

impl Sessions {
    /// Whether a request of this identity may go on in the session that it names, if it names one. One that is not known is
    /// refused further on.
    pub(super) fn admits(&self, headers: &HeaderMap, identity: &Identity) -> bool {
        let mut known = self.known();
        headers.get_all(HEADER).iter().filter_map(|id| id.to_str().ok()).all(|id| match known.get_mut(id) {
            Some(session) => {
                let admits = session.whose == *identity;
                if admits {
                    session.used = Instant::now();
                }
                admits
            }
            None => true,
        })
    }

    /// Notes whose a session is, and names those that have to make room for it.
    fn begin(&self, id: &SessionId, whose: Identity) -> Vec<SessionId> {
        let mut known = self.known();
        let mut ends = Vec::new();
        for (most, of_one) in [(MOST_OF_ONE, true), (MOST, false)] {
            let all = || known.iter().filter(|(_, session)| !of_one || session.whose == whose);
            if all().count() >= most
                && let Some(oldest) = all().min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone())
            {
                known.remove(&oldest);
                ends.push(oldest);
            }
        }
        known.insert(id.clone(), Known { whose, used: Instant::now() });
        ends
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SessionId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who sent a message.
fn sender(message: &ClientJsonRpcMessage) -> Option<Identity> {
    let JsonRpcMessage::Request(request) = message else {
        return None;
    };
    let parts = request.request.extensions().get::<Parts>()?;
    Some(parts.extensions.get::<Caller>()?.identity().clone())
}

impl SessionManager for Sessions {
    type Error = LocalSessionManagerError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        self.local.create_session().await
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        // Before the client learns the id. Without a sender the gate refuses the session.
        if let Some(whose) = sender(&message) {
            for old in self.begin(id, whose) {
                self.local.close_session(&old).await?;
            }
        }
        self.local.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        self.local.has_session(id).await
    }

    /// rmcp calls it at each end of a session, whatever ends it.
    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        self.known().remove(id);
        self.local.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.local.create_stream(id, message).await
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        self.local.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.local.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.local.resume(id, last_event_id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_admits_its_own_identity_and_makes_room_for_the_next() {
        let sessions = Sessions::default();
        let identity = |name: &str| Caller::remote("a", name).identity().clone();
        let headers = |id: &str| HeaderMap::from_iter([(HEADER.parse().unwrap(), id.parse().unwrap())]);
        assert!(sessions.begin(&"0".into(), identity("jane")).is_empty());
        assert!(sessions.admits(&headers("0"), &identity("jane")));
        assert!(!sessions.admits(&headers("0"), &identity("john")));
        assert!(sessions.admits(&headers("unknown"), &identity("john")));
        for number in 1..MOST_OF_ONE {
            assert!(sessions.begin(&number.to_string().into(), identity("jane")).is_empty());
        }
        assert!(sessions.admits(&headers("0"), &identity("jane")), "used last");
        assert_eq!(sessions.begin(&"next".into(), identity("jane")), [SessionId::from("1")]);
        assert!(sessions.begin(&"other".into(), identity("john")).is_empty());
        assert_eq!(sessions.known().len(), MOST_OF_ONE + 1);
    }
}
