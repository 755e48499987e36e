//! The one connection to vSphere that all calls share.

use std::time::Duration;

use tokio::{sync::OnceCell, time::timeout};
use vsphere_ops::{Client, Config};

use crate::{Settings, ToolError, error::Result};

/// Connects at the first use, so that the server starts at once and its tools can be listed without a vCenter Server. A
/// failed try is not remembered: the next call tries again.
pub(crate) struct Vsphere {
    config: Result<Config>,
    client: OnceCell<Client>,
}

/// How long the end of the session may take when the server ends.
const PATIENCE: Duration = Duration::from_secs(5);

impl Vsphere {
    pub(crate) fn new(settings: &Settings) -> Self {
        let config = settings.vsphere().map_err(|error| ToolError::new("config", error.to_string()));
        Self { config, client: OnceCell::new() }
    }

    /// The connected client.
    pub(crate) async fn client(&self) -> Result<&Client> {
        let connect = || async {
            let config = self.config.clone()?;
            Client::connect(config).await.map_err(ToolError::from)
        };
        self.client.get_or_try_init(connect).await
    }

    /// Logs out, where there is a session.
    pub(crate) async fn close(&self) {
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
