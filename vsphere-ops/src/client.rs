//! The connection to one vCenter or ESXi host: one session, kept alive, renewed once when it is lost.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;
use vsphere_model::managed::{PropertyCollector, SearchIndex, ServiceInstance, ViewManager};
use vsphere_model::types::{Any, ManagedObjectReference, ServiceContent};
use vsphere_soap::http::Transport;
use vsphere_soap::request::{Caller, ManagedObject, Operation};
use vsphere_soap::session::Session;
use vsphere_soap::{ErrorKind as WireKind, Sent};

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::FileServers;
use crate::view::Views;

/// How often a request is sent at most, where sending it again is safe.
const ATTEMPTS: u32 = 3;

/// The wait before the first repetition; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait that a server's `Retry-After` is followed for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A connection to one vCenter or ESXi host. Cheap to clone; clones share the session.
///
/// The session is kept alive while it is idle, and renewed once when the server has lost it. It ends with
/// [`logout`](Self::logout), or in the background when the last clone is dropped.
#[derive(Clone)]
pub struct Client {
    pub(crate) connection: Arc<Connection>,
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// `auth` for a wrong user name or password, `connection` when the server is not reached or its certificate is not
    /// trusted, `config` or `invalid_argument` for a setting that makes no sense.
    pub async fn connect(config: Config) -> Result<Self> {
        let transport = Transport::new(config.endpoint()?, config.transport_options()?)?;
        let session = Session::open(transport, vsphere_model::registry(), vsphere_model::VERSIONS).await?;
        let anonymous: Arc<dyn Caller> = Arc::new(session.clone());
        let root = ManagedObjectReference::new("ServiceInstance", "ServiceInstance");
        let content = ServiceInstance::new(&anonymous, root)
            .retrieve_service_content()
            .await
            .map_err(|error| error.in_operation("connect").on(session.transport().endpoint().authority()))?;
        let connection = Arc::new(Connection {
            session,
            content,
            config,
            renewals: Mutex::new(()),
            generation: AtomicU64::new(0),
            views: Views::default(),
            file_servers: FileServers::default(),
        });
        connection.log_in().await?;
        keep_alive(&connection);
        Ok(Self { connection })
    }

    /// Logs out and ends the session, for all clones.
    ///
    /// # Errors
    /// Those of the connection; the session is forgotten all the same.
    pub async fn logout(&self) -> Result<()> {
        match &self.connection.content.session_manager {
            Some(manager) => Ok(self.connection.session.logout(manager).await?),
            None => Ok(()),
        }
    }

    /// What the server says of itself: product, version, and the managers that it has.
    pub fn content(&self) -> &ServiceContent {
        &self.connection.content
    }

    /// Whether the server is a vCenter; else it is an ESXi host.
    pub fn is_vcenter(&self) -> bool {
        self.connection.content.about.api_type == "VirtualCenter"
    }

    /// The version of the API that is spoken with the server.
    pub fn api_version(&self) -> &str {
        self.connection.session.version()
    }

    /// A handle of the managed object with this reference, to call the API's own methods on.
    pub fn raw<M: ManagedObject>(&self, reference: &ManagedObjectReference) -> M {
        M::new(&self.caller(), reference.clone())
    }

    pub(crate) fn caller(&self) -> Arc<dyn Caller> {
        Arc::clone(&self.connection) as Arc<dyn Caller>
    }

    /// The way to the server, with the session.
    pub(crate) fn transport(&self) -> &Transport {
        self.connection.session.transport()
    }

    /// The session's property collector.
    pub(crate) fn collector(&self) -> PropertyCollector {
        self.raw(&self.connection.content.property_collector)
    }

    pub(crate) fn view_manager(&self) -> Result<ViewManager> {
        Ok(self.raw(self.manager("views", self.content().view_manager.as_ref())?))
    }

    pub(crate) fn search_index(&self) -> Result<SearchIndex> {
        Ok(self.raw(self.manager("a search index", self.content().search_index.as_ref())?))
    }

    fn manager<'a>(
        &self,
        what: &str,
        manager: Option<&'a ManagedObjectReference>,
    ) -> Result<&'a ManagedObjectReference> {
        manager.ok_or_else(|| {
            let text = format!("{} does not offer {what}", self.content().about.full_name);
            Error::new("connect", ErrorKind::Unsupported(text))
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.connection.session.transport().endpoint().authority())
    }
}

/// What the clones of a client share.
pub(crate) struct Connection {
    session: Session,
    content: ServiceContent,
    config: Config,
    /// Held while somebody logs in, so that many that find the session lost log in once.
    renewals: Mutex<()>,
    /// How often the session was opened. Who sees a lost session compares, and does not renew what is already renewed.
    generation: AtomicU64,
    pub(crate) views: Views,
    pub(crate) file_servers: FileServers,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.session.transport().endpoint().authority())
    }
}

impl Connection {
    /// How often the session was opened: what belongs to an older one is gone on the server.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    async fn log_in(&self) -> vsphere_soap::Result<()> {
        let (user, password) = self.config.credentials();
        if let Some(manager) = &self.content.session_manager {
            self.session.login(manager, user, password).await?;
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Opens a new session, unless another task has done so since `seen`.
    async fn renew(&self, seen: u64) -> vsphere_soap::Result<()> {
        let _one_at_a_time = self.renewals.lock().await;
        if self.generation() != seen {
            return Ok(());
        }
        tracing::info!(server = %self.session.transport().endpoint().authority(), "the session was lost, logging in again");
        self.session.transport().clear_session_cookie();
        self.log_in().await
    }

    /// Sends an operation, again where that is safe.
    async fn attempt(&self, operation: &Operation) -> vsphere_soap::Result<Any> {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let error = match self.session.call(operation).await {
                Ok(any) => return Ok(any),
                Err(error) => error,
            };
            let safe = error.sent() == Sent::No || (error.sent() == Sent::Maybe && is_read(operation.method.name));
            if attempt >= ATTEMPTS || !safe || !error.is_retryable() || error.is_timeout() {
                return Err(error);
            }
            // Spread over half the time, so that many clients of a server that comes back do not come at once.
            let pause = error.retry_after().unwrap_or_else(|| wait.mul_f64(0.75 + fastrand::f64() / 2.0));
            if pause > LONGEST_WAIT {
                return Err(error);
            }
            tracing::debug!(operation = operation.method.name, %error, ?pause, "sending again");
            tokio::time::sleep(pause).await;
            wait *= 2;
        }
        unreachable!("the loop has no end")
    }
}

#[async_trait]
impl Caller for Connection {
    async fn call(&self, operation: &Operation) -> vsphere_soap::Result<Any> {
        let seen = self.generation();
        match self.attempt(operation).await {
            // The server did not carry it out, whatever it is: sending it again is safe. A second refusal means that
            // this user may not do it, and is reported.
            Err(error) if is_lost_session(&error) => {
                self.renew(seen).await?;
                self.attempt(operation).await
            }
            answer => answer,
        }
    }
}

/// A session that nobody ended is ended in the background.
impl Drop for Connection {
    fn drop(&mut self) {
        let (Some(manager), Ok(runtime)) =
            (self.content.session_manager.clone(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let session = self.session.clone();
        runtime.spawn(async move {
            if let Err(error) = session.logout(&manager).await {
                tracing::debug!(%error, "the session was left to end by itself");
            }
        });
    }
}

fn is_lost_session(error: &vsphere_soap::Error) -> bool {
    matches!(error.kind(), WireKind::Fault(fault) if fault.is_named("NotAuthenticated"))
}

/// Whether a method only looks, so that carrying it out twice does no harm. `Continue…` takes a page away: not that.
fn is_read(method: &str) -> bool {
    const VERBS: [&str; 9] =
        ["Retrieve", "Query", "Find", "Fetch", "CheckForUpdates", "WaitForUpdates", "CurrentTime", "Get", "List"];
    !method.ends_with("_Task") && VERBS.iter().any(|verb| method.starts_with(verb))
}

/// Asks the server for the time now and then, for as long as a client exists.
fn keep_alive(connection: &Arc<Connection>) {
    let period = connection.config.keepalive_period();
    let weak: Weak<Connection> = Arc::downgrade(connection);
    tokio::spawn(async move {
        let mut next = Instant::now() + period;
        loop {
            tokio::time::sleep_until(next).await;
            next = Instant::now() + period;
            let Some(connection) = weak.upgrade() else { return };
            if connection.session.transport().session_cookie().is_none() {
                continue;
            }
            let caller: Arc<dyn Caller> = connection;
            let root = ManagedObjectReference::new("ServiceInstance", "ServiceInstance");
            if let Err(error) = ServiceInstance::new(&caller, root).current_time().await {
                tracing::debug!(%error, "the session could not be kept alive");
            }
        }
    });
}
