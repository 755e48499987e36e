//! The privileges of the user who is logged in.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let needed = ["VirtualMachine.Interact.PowerOn", "VirtualMachine.State.CreateSnapshot"];
//! for missing in client.missing_privileges(&needed).await? {
//!     println!("not allowed everywhere: {missing}");
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```

use std::collections::HashSet;

use vsphere_model::managed::{AuthorizationManager, SessionManager, authorization_manager, session_manager};

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;

impl Client {
    /// Those of these privileges (`VirtualMachine.Interact.PowerOn`) that the user lacks on the root folder. The user may still
    /// have them on objects below it. Privileges that this server does not know are not reported.
    ///
    /// # Errors
    /// `unsupported` if the server has no such privileges, like ESXi, and server errors.
    pub async fn missing_privileges(&self, privileges: &[&str]) -> Result<Vec<String>> {
        self.missing(privileges).await.map_err(|error| error.in_operation("read the user's rights"))
    }

    async fn missing(&self, privileges: &[&str]) -> Result<Vec<String>> {
        let content = self.content();
        let manager = self.manager("rights", content.authorization_manager.as_ref())?;
        let manager: Mo<AuthorizationManager> = Mo::new(self, manager, None);
        let sessions = self.manager("sessions", content.session_manager.as_ref())?;
        let sessions: Mo<SessionManager> = Mo::new(self, sessions, None);
        let (known, session) = futures::try_join!(
            manager.read(authorization_manager::PRIVILEGE_LIST),
            sessions.read(session_manager::CURRENT_SESSION)
        )?;
        let known: HashSet<String> = known.into_iter().map(|privilege| privilege.priv_id).collect();
        let asked: Vec<String> =
            privileges.iter().filter(|id| known.contains(**id)).map(|id| (*id).to_owned()).collect();
        let session = session.ok_or_else(|| {
            Error::new("read", ErrorKind::Unreadable("the server does not say which session this is".to_owned()))
        })?;
        if asked.is_empty() {
            return Ok(asked);
        }
        let root = [content.root_folder.clone()];
        let answers = manager.has_privilege_on_entities(&root, &session.key, &asked).await?;
        let granted: HashSet<&str> = answers
            .iter()
            .flat_map(|answer| &answer.priv_availability)
            .filter(|privilege| privilege.is_granted)
            .map(|privilege| privilege.priv_id.as_str())
            .collect();
        Ok(asked.iter().filter(|id| !granted.contains(id.as_str())).cloned().collect())
    }
}
