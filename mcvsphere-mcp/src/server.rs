//! The MCP server: what all its sessions share. What a session answers is in [`Session`], what is true of every request in
//! the gate, what a tool does in `tools`.

use std::{sync::Arc, time::Duration};

use rmcp::{
    RoleServer,
    service::{RunningService, ServerInitializeError, ServiceExt},
    transport::IntoTransport,
};
use tokio::time::timeout;
use vsphere_ops::transfer::WebHosts;

use crate::{
    Caller, Session, Settings, Tool,
    answer::Structured,
    audit::Audit,
    backends::Backends,
    caller::Identified,
    catalog::{Catalog, StartError},
    confirm::{Claims, Tokens},
    credentials::GuestCredentials,
    files::LocalFiles,
    jobs::Jobs,
    metrics::Metrics,
    session::Subscriptions,
    settings::{SettingsError, name},
    tasks::Tasks,
};

/// The server; a clone is cheap and is the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    catalog: Catalog,
    backends: Backends,
    local: Caller,
    tokens: Tokens,
    tasks: Tasks,
    jobs: Jobs,
    subscriptions: Subscriptions,
    call_timeout: Duration,
    pending_after: Duration,
    structured: Structured,
    files: Option<LocalFiles>,
    guests: GuestCredentials,
    web: WebHosts,
    audit: Audit,
    metrics: Arc<Metrics>,
}

impl Server {
    /// A server with all tools. It connects to vSphere at the first call that needs it.
    ///
    /// # Errors
    /// [`StartError`] when a tool is not fit to be offered, a setting names a tool that does not exist, the audit
    /// file cannot be written, or the directory of `MCP_FILES` cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, StartError> {
        Self::with_tools(settings, Self::tools())
    }

    /// All tools, for a server that has some besides.
    pub fn tools() -> Vec<Tool> {
        crate::tools::all()
    }

    /// A server with these tools, through the same gate.
    ///
    /// # Errors
    /// [`StartError`] when a tool is not fit to be offered, a setting names a tool that does not exist, the audit
    /// file cannot be written, or the directory of `MCP_FILES` cannot be read.
    pub fn with_tools(settings: &Settings, tools: Vec<Tool>) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::default());
        let policy = Arc::new(settings.policy().clone());
        let shared = Shared {
            catalog: Catalog::new(tools, settings.offer(), settings.output_schemas())?.under(&policy)?,
            backends: Backends::new(settings, &policy),
            local: Caller::local(settings.permission()),
            tokens: tokens(settings)?,
            tasks: Tasks::new(),
            jobs: Jobs::new(),
            subscriptions: Subscriptions::default(),
            call_timeout: settings.call_timeout(),
            pending_after: settings.pending_after(),
            // What a schema is published for has to be there.
            structured: if settings.output_schemas() { Structured::Always } else { settings.structured_content() },
            files: settings.local_files()?,
            guests: settings.guest_credentials().clone(),
            web: settings.urls().cloned().unwrap_or_default(),
            audit: Audit::new(settings.audit_target())?.counted_by(&metrics),
            metrics,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A session for one client, whose transport puts a [`Caller`] into the extensions of each request, or into those of
    /// its HTTP request. Requests without one are refused.
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    /// Serves one client, all of whose requests this caller makes.
    ///
    /// # Errors
    /// The client does not begin as MCP wants it.
    pub async fn serve<T, E, A>(
        &self,
        caller: Caller,
        transport: T,
    ) -> Result<RunningService<RoleServer, Session>, ServerInitializeError>
    where
        T: IntoTransport<RoleServer, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let identified = Identified { transport: transport.into_transport(), caller };
        // Boxed: what rmcp makes of it is large.
        Box::pin(self.session().serve(identified)).await
    }

    /// Serves one client of the user who started this process.
    ///
    /// # Errors
    /// The client does not begin as MCP wants it.
    pub async fn serve_local<T, E, A>(
        &self,
        transport: T,
    ) -> Result<RunningService<RoleServer, Session>, ServerInitializeError>
    where
        T: IntoTransport<RoleServer, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        self.serve(self.shared.local.clone(), transport).await
    }

    /// Ends all subscriptions, what runs in this process, and all sessions with vSphere.
    pub async fn close(&self) {
        self.shared.subscriptions.end_all();
        self.shared.jobs.end().await;
        self.shared.backends.close().await;
    }

    /// Waits until no call runs, for at most so long, and says whether that is so.
    pub(crate) async fn idle_within(&self, limit: Duration) -> bool {
        timeout(limit, self.shared.metrics.idle()).await.is_ok()
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The tools.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.shared.catalog
    }

    /// The ways to vSphere.
    pub(crate) fn backends(&self) -> &Backends {
        &self.shared.backends
    }

    /// The user who started this process.
    pub(crate) fn local(&self) -> &Caller {
        &self.shared.local
    }

    /// What clients of the older lifecycle have subscribed to.
    pub(crate) fn subscriptions(&self) -> &Subscriptions {
        &self.shared.subscriptions
    }

    /// Whether the user is asked before this tool acts.
    pub(crate) fn asks_before(&self, tool: &str) -> bool {
        self.catalog().asks_before(tool)
    }

    /// The confirmation tokens.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    /// The calls that have become tasks.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.shared.tasks
    }

    /// The calls that have been handed over.
    pub(crate) fn jobs(&self) -> &Jobs {
        &self.shared.jobs
    }

    /// The stored credentials of guests.
    pub(crate) fn guests(&self) -> &GuestCredentials {
        &self.shared.guests
    }

    /// The files of this computer that tools may touch.
    pub(crate) fn files(&self) -> Option<&LocalFiles> {
        self.shared.files.as_ref()
    }

    /// The web servers that tools may fetch files from.
    pub(crate) fn web(&self) -> &WebHosts {
        &self.shared.web
    }

    /// Where audit lines go.
    pub(crate) fn audit(&self) -> &Audit {
        &self.shared.audit
    }

    /// How long a client that sees no progress waits for a call before it is handed over.
    pub(crate) fn pending_after(&self) -> Duration {
        self.shared.pending_after
    }

    /// Whether a client that calls itself so gets structured content.
    pub(crate) fn is_structured_for(&self, client: Option<&str>) -> bool {
        self.shared.structured.is_for(client)
    }

    /// How long a call may take.
    pub(crate) fn call_timeout(&self) -> Duration {
        self.shared.call_timeout
    }
}

/// The confirmation tokens of these settings.
fn tokens(settings: &Settings) -> Result<Tokens, StartError> {
    let key = settings.shared_key()?;
    let claims = settings.claims_place()?.map(Claims::open).transpose();
    let claims = claims.map_err(|error| SettingsError::new(name::MCP_CLAIMS, format!("can't be used: {error}")))?;
    Ok(Tokens::new(key.as_ref(), claims)?)
}
