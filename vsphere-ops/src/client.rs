//! The client of one vCenter or ESXi host.
//!
//! A [`Client`] is one session. It is cheap to clone and safe to use from many tasks: they share the session, and one of them
//! renews it for all when the server has lost it. Failures are handled as follows:
//!
//! - After a connection failure, and after HTTP 429, 502, 503 and 504, a request is repeated a few times, with growing random
//!   waits, or as the server's `Retry-After` says. A request that only reads is always repeated; any other only if it surely was
//!   not carried out.
//! - A lost session is renewed once, and the request is sent again. `NotAuthenticated` in the new session is reported: it can
//!   also mean that the user lacks a privilege.
//! - A refused login is reported with its cause, and not repeated for five minutes, since refused logins lock accounts.
//! - Dropping a future ends the waiting at any time. Views and collectors that the server has created for it are destroyed in
//!   the background.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use vsphere_model::managed::{PropertyCollector, SearchIndex, ServiceInstance, ViewManager};
use vsphere_model::types::{DateTime, ManagedObjectReference, ServiceContent};
use vsphere_soap::request::{Caller, ManagedObject};

use crate::capability::{self, Capabilities};
use crate::config::Config;
use crate::connection::{Connection, Line, Part, service_instance};
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::rest::Rest;
use crate::sight::{Guard, Guarded};
use crate::task::Scope;
use crate::vm::{VmCache, VmMirror};

/// A connection to one vCenter or ESXi host. Cheap to clone; clones share the session.
///
/// The session is kept alive while it is idle, and renewed when the server has lost it. It ends with
/// [`logout`](Self::logout), or in the background when the last clone is dropped; at the end of a program the runtime
/// may be gone before that is done, so call `logout` there.
///
/// ```no_run
/// # async fn run() -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::Datacenter;
/// use vsphere_ops::{Client, Config};
///
/// let client = Client::connect(Config::from_env()?).await?;
/// println!("{} speaks API {}", client.content().about.full_name, client.api_version());
/// let other = client.clone(); // the same session, for another task
/// tokio::spawn(async move { other.get::<Datacenter>("fra1").await });
/// client.logout().await?; // for all clones
/// assert!(client.is_logged_out());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) connection: Arc<Connection>,
    caller: Arc<dyn Caller>,
    limit: Option<Duration>,
    scope: Option<Scope>,
    cache: Option<Arc<dyn VmCache>>,
    /// What it may see and touch, where that is not all.
    guard: Option<Arc<Guard>>,
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// `auth` for a wrong user name or password, `connection` if the server can't be reached or its certificate is not
    /// trusted, `config` or `invalid_argument` for an invalid setting.
    pub async fn connect(config: Config) -> Result<Self> {
        Ok(Self::over(Connection::open(config).await?, None, None))
    }

    fn over(connection: Arc<Connection>, limit: Option<Duration>, guard: Option<Arc<Guard>>) -> Self {
        let line = Line { connection: Arc::clone(&connection), limit };
        let caller: Arc<dyn Caller> = match &guard {
            Some(guard) => Arc::new(Guarded { line, guard: Arc::clone(guard) }),
            None => Arc::new(line),
        };
        Self { connection, caller, limit, scope: None, cache: None, guard }
    }

    /// The same session, through this guard alone.
    pub(crate) fn with_guard(&self, guard: Option<Arc<Guard>>) -> Self {
        Self::over(Arc::clone(&self.connection), self.limit, guard)
    }

    /// What it may see and touch, where that is not all.
    pub(crate) fn guard(&self) -> Option<&Arc<Guard>> {
        self.guard.as_ref()
    }

    /// Increases whenever rules begin to permit or deny an object that was there before: a mirror or other cache of the inventory
    /// has to be rebuilt then. Always 0 for a client without rules.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// assert_eq!(client.sight_epoch().await?, 0);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The server does not tell what is where.
    pub async fn sight_epoch(&self) -> Result<u64> {
        match &self.guard {
            Some(guard) => guard.epoch().await,
            None => Ok(0),
        }
    }

    /// What a feature keeps of what this client sees: for all clients of the session that see the same.
    pub(crate) fn part<P: Part>(&self) -> Arc<P> {
        match &self.guard {
            Some(guard) => guard.part(),
            None => self.connection.part(),
        }
    }

    /// The same session, with a time limit for each request, including repetitions, the waits between them, and the renewal of a
    /// lost session.
    ///
    /// Waiting for a task or for changes keeps a request open for up to 30 s, so a shorter limit cuts it. To limit an
    /// operation of several requests, put `tokio::time::timeout` around it: dropping it is safe at any time.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use std::time::Duration;
    ///
    /// let time = client.with_deadline(Duration::from_secs(5)).server_time().await?;
    /// println!("{time}");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    #[must_use]
    pub fn with_deadline(&self, limit: Duration) -> Self {
        let (scope, cache) = (self.scope.clone(), self.cache.clone());
        Self { scope, cache, ..Self::over(Arc::clone(&self.connection), Some(limit), self.guard.clone()) }
    }

    /// Another client of the session.
    pub(crate) fn of(connection: Arc<Connection>) -> Self {
        Self::over(connection, None, None)
    }

    pub(crate) fn without_deadline(&self) -> Self {
        Self::over(Arc::clone(&self.connection), None, self.guard.clone())
    }

    /// The same session, whose tasks belong to this scope: see [`Scope`].
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::Scope;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let scope = Scope::new();
    /// client.in_scope(&scope).get::<VirtualMachine>("web-01").await?.power_off().await?.await
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    #[must_use]
    pub fn in_scope(&self, scope: &Scope) -> Self {
        Self { scope: Some(scope.clone()), ..self.clone() }
    }

    /// The same session, which looks VMs up in a cache while that is current, and not on the server.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use std::sync::Arc;
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::vm::VmMirror;
    ///
    /// let client = client.with_cache(Arc::new(VmMirror::start(&client).await?));
    /// let web = client.get::<VirtualMachine>("web-01").await?; // takes no request
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    #[must_use]
    pub fn with_cache(&self, cache: Arc<dyn VmCache>) -> Self {
        Self { cache: Some(cache), ..self.clone() }
    }

    /// The cache of objects of this type, where there is one that is current.
    pub(crate) async fn cache_of(&self, type_: &str) -> Option<VmMirror> {
        match &self.cache {
            Some(cache) if type_ == "VirtualMachine" => cache.current().await,
            _ => None,
        }
    }

    pub(crate) fn without_cache(&self) -> Self {
        Self { cache: None, ..self.clone() }
    }

    pub(crate) fn outside_scopes(&self) -> Self {
        Self { scope: None, ..self.clone() }
    }

    pub(crate) fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.limit
    }

    /// Logs out and ends the session, for all clones. Their later requests fail with the code `auth`, and do not log in
    /// again.
    ///
    /// # Errors
    /// Connection errors; the session is forgotten in any case.
    pub async fn logout(&self) -> Result<()> {
        Ok(self.connection.end().await?)
    }

    /// Whether [`logout`](Self::logout) was called on this client or a clone.
    pub fn is_logged_out(&self) -> bool {
        self.connection.check_logged_in("ask").is_err()
    }

    /// The server's description of itself: product, version, and its managers.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// assert_eq!(client.is_vcenter(), client.content().about.api_type == "VirtualCenter");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn content(&self) -> &ServiceContent {
        &self.connection.content
    }

    /// Whether the server is a vCenter; otherwise it is an ESXi host.
    pub fn is_vcenter(&self) -> bool {
        self.capabilities().vcenter
    }

    /// What the server can do, as far as it is known without a request.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// if client.capabilities().read_only {
    ///     println!("the licence of this host allows reading only");
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn capabilities(&self) -> Capabilities {
        capability::of(&self.connection)
    }

    /// Fails if the server is not a vCenter, before `operation`, a verb phrase such as `clone`, is tried.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// client.require_vcenter("clone")?; // `clone "esx-1:443": … is a single ESXi host, and this needs a vCenter; …`
    /// client.require_writable("clone")?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` if the server is an ESXi host.
    pub fn require_vcenter(&self, operation: &str) -> Result<()> {
        capability::require_vcenter(&self.connection, operation)
    }

    /// Fails if the licence of the server allows only reads, before `operation` is tried.
    ///
    /// # Errors
    /// `unsupported` if the server has refused a change in this session with `RestrictedVersion`.
    pub fn require_writable(&self, operation: &str) -> Result<()> {
        capability::require_writable(&self.connection, operation)
    }

    /// How many SOAP requests the session has sent, those of its watches included.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let before = client.requests_sent();
    /// client.server_time().await?;
    /// assert!(client.requests_sent() > before);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn requests_sent(&self) -> u64 {
        self.transport().posted()
    }

    /// The version of the API that client and server use.
    pub fn api_version(&self) -> &str {
        self.connection.session.version()
    }

    /// The server's clock.
    ///
    /// # Errors
    /// Connection errors.
    pub async fn server_time(&self) -> Result<DateTime> {
        Ok(self.raw::<ServiceInstance>(&service_instance()).current_time().await?)
    }

    /// This time before now, by the server's clock: ours may be another.
    pub(crate) async fn time_ago(&self, time: Duration, operation: &str) -> Result<DateTime> {
        Self::earlier(self.server_time().await?, time, operation)
    }

    /// This time before another.
    pub(crate) fn earlier(now: DateTime, time: Duration, operation: &str) -> Result<DateTime> {
        let then = TimeDelta::from_std(time).ok().and_then(|time| now.checked_sub_signed(time));
        then.ok_or_else(|| invalid(operation, format!("{time:?} ago is before all time")))
    }

    /// How far the server's clock is ahead of the local one; negative if it is behind. Add it to local times before you compare
    /// them with times of the server. Its precision is half a round trip.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let offset = client.clock_offset().await?;
    /// if offset.abs() > chrono::TimeDelta::minutes(1) {
    ///     println!("the server's clock is off by {} s", offset.num_seconds());
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Connection errors.
    pub async fn clock_offset(&self) -> Result<TimeDelta> {
        let before = Utc::now();
        let server = self.server_time().await?;
        let middle = before + (Utc::now() - before) / 2;
        Ok(server.to_utc() - middle)
    }

    /// The vSphere Automation API (REST) of a vCenter, with a session of its own that is opened at the first request.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let tags: Vec<String> = client.rest()?.get("/api/cis/tagging/tag").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `unsupported` if the server is an ESXi host, `permission` for a client that rules bind, which cannot be checked there.
    pub fn rest(&self) -> Result<Rest> {
        if self.guard.is_some() {
            let text = "the policy does not allow the Automation API".to_owned();
            return Err(
                vsphere_soap::Error::new("use the Automation API", vsphere_soap::ErrorKind::Denied(text)).into()
            );
        }
        self.rest_for_tags()
    }

    /// The same for tags, whose objects are checked there.
    pub(crate) fn rest_for_tags(&self) -> Result<Rest> {
        self.require_vcenter("use the Automation API")?;
        Ok(Rest::new(Arc::clone(&self.connection), self.limit))
    }

    /// A handle of the managed object with this reference, to call methods of the API.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::LicenseManager;
    ///
    /// if let Some(manager) = &client.content().license_manager {
    ///     let manager: LicenseManager = client.raw(manager);
    ///     manager.update_license("00000-00000-00000-00000-00000", &[]).await?; // each method of the API is there
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn raw<M: ManagedObject>(&self, reference: &ManagedObjectReference) -> M {
        M::new(&self.caller, reference.clone())
    }

    pub(crate) fn caller(&self) -> Arc<dyn Caller> {
        Arc::clone(&self.caller)
    }

    /// The way to the server, with the session.
    pub(crate) fn transport(&self) -> &vsphere_soap::http::Transport {
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

    pub(crate) fn manager<'a>(
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
        write!(f, "Client({})", self.connection.authority())
    }
}
