//! Who may do what: the roles that permissions give on an object, and on what it stands in.

use crate::world::{Moref, World};

impl World {
    /// Whether the session's user has the privilege on the object.
    pub(crate) fn may(&self, _object: &Moref, session: Option<&str>, _privilege: &str) -> bool {
        session.is_some_and(|key| self.sessions.get(key).is_some())
    }

    /// Whether the session's user sees that the object is there.
    pub(crate) fn may_view(&self, object: &Moref, session: Option<&str>) -> bool {
        self.may(object, session, "System.View")
    }

    /// Whether the session's user may read the object's properties.
    pub(crate) fn may_read(&self, object: &Moref, session: Option<&str>) -> bool {
        self.may(object, session, "System.Read")
    }
}
