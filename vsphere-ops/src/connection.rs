//! What the clones of a client share: the session, and who opens, renews, keeps and ends it.

mod parts;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use vsphere_model::managed::{PropertyCollector, ServiceInstance, session_manager};
use vsphere_model::types::{
    Any, ManagedObjectReference, ObjectSpec, PropertyFilterSpec, PropertySpec, RetrieveOptions, ServiceContent,
};
use vsphere_soap::error::WaitingFor;
use vsphere_soap::fault::SoapFault;
use vsphere_soap::http::Transport;
use vsphere_soap::request::{Caller, Items, ManagedObject as _, Operation};
use vsphere_soap::session::{NoSession, Session};
use vsphere_soap::{Error, ErrorKind, Result, Sent};

use crate::config::{Config, Credentials};
use crate::end::Entry;
use crate::rest::RestSession;
use crate::retry::Retry;

pub(crate) use parts::{Part, Parts};

/// How long a refused login is not tried again. Directories lock accounts after a few refusals within minutes.
const REFUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// How long a method that a new session did not help is not worth another one.
const DENIED_FOR: Duration = Duration::from_secs(10 * 60);

/// How long a method that the server refuses in sessions that it has just opened is not worth another session.
pub(crate) const NOT_TAKEN_FOR: Duration = Duration::from_secs(10);

/// How long the server may take to say whether a session lives.
pub(crate) const PROBE: Duration = Duration::from_secs(20);

/// What the clones of a client share.
pub(crate) struct Connection {
    pub(crate) session: Session,
    pub(crate) content: ServiceContent,
    pub(crate) config: Config,
    /// Held while somebody opens a session, so that many that find it lost open one.
    renewals: Mutex<Renewals>,
    /// How often the session was opened. Who sees a lost session compares, and does not renew what is already renewed.
    generation: AtomicU64,
    /// The last session in which the server has answered a request.
    proven: AtomicU64,
    logged_out: AtomicBool,
    /// Whether the session has ended by itself, and is not renewed.
    lost: AtomicBool,
    /// Whether the server has said that its licence forbids changes.
    restricted: AtomicBool,
    last_used: RwLock<Instant>,
    keeper: RwLock<Option<AbortHandle>>,
    runtime: Handle,
    entry: Entry,
    parts: Parts,
    changes: AtomicU64,
    pub(crate) rest: RestSession,
}

/// What is remembered of sessions that were opened, or not.
#[derive(Default)]
struct Renewals {
    failed: Option<(Instant, Arc<Error>)>,
    /// Methods that were refused as not authenticated in a new session, and when.
    denied: HashMap<&'static str, Instant>,
    /// Methods that were refused as not authenticated in a new session whose reads were refused, too.
    not_taken: HashMap<&'static str, NotTaken>,
}

struct NotTaken {
    at: Instant,
    generation: u64,
}

impl Renewals {
    /// Whether another session would not help a method: the server did not take the last one, a moment ago, for this
    /// method or, where `proven` says that it took it for none, for any.
    fn would_not_help(&self, method: &str, seen: u64, proven: bool) -> bool {
        let lately = |refusal: &&NotTaken| refusal.at.elapsed() < NOT_TAKEN_FOR;
        self.not_taken.get(method).filter(lately).is_some()
            || (!proven && self.not_taken.values().filter(lately).any(|refusal| refusal.generation == seen))
    }
}

impl Connection {
    /// Reaches the server and logs in.
    pub(crate) async fn open(mut config: Config) -> crate::error::Result<Arc<Self>> {
        config.check()?;
        let credentials = config.credentials_for_login();
        let transport = Transport::new(config.endpoint()?, config.transport_options()?)?;
        let (session, content) = greet(&config, transport).await?;
        let connection = Arc::new(Self {
            session,
            content,
            config,
            renewals: Mutex::default(),
            generation: AtomicU64::new(0),
            proven: AtomicU64::new(0),
            logged_out: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            restricted: AtomicBool::new(false),
            last_used: RwLock::new(Instant::now()),
            keeper: RwLock::new(None),
            runtime: Handle::current(),
            entry: Entry::new(),
            parts: Parts::default(),
            changes: AtomicU64::new(0),
            rest: RestSession::default(),
        });
        if !connection.entry.enter(&connection) {
            connection.logged_out.store(true, Ordering::Release);
        }
        let opened = Arc::clone(&connection);
        // To its end, whatever becomes of the caller: a session that was opened for nobody is ended by the drop, or by
        // a logout that waits for the lock.
        finish(async move {
            let _nobody_renews = opened.renewals.lock().await;
            opened.check_logged_in("connect")?;
            let done = opened.log_in(&credentials).await;
            if opened.config.logs_in_once() {
                if done.is_ok() {
                    opened.rest.open_once(&opened, &credentials).await;
                }
                opened.session.transport().forget_secret(&credentials.password);
            }
            done
        })
        .await?;
        connection.keep_alive();
        Ok(connection)
    }

    /// How often the session was opened: what belongs to an older one is gone on the server.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A number that grows with each change of the inventory by this client: when it is sent, when it is answered, and when its
    /// task has ended. What was read at one number is as new as this client's own changes while the number stays.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// What a feature keeps for this connection.
    pub(crate) fn part<P: Part>(&self) -> Arc<P> {
        self.parts.get()
    }

    /// This client has changed something, or may have.
    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// The server's `host:port`.
    pub(crate) fn authority(&self) -> String {
        self.session.transport().endpoint().authority()
    }

    /// Whether the server has said that its licence forbids changes.
    pub(crate) fn is_restricted(&self) -> bool {
        self.restricted.load(Ordering::Relaxed)
    }

    /// The error of everything after a logout.
    pub(crate) fn check_logged_in(&self, operation: &str) -> Result<()> {
        if self.logged_out.load(Ordering::Acquire) {
            let lost = self.lost.load(Ordering::Acquire);
            let why = if lost { NoSession::NotKept } else { NoSession::LoggedOut };
            return Err(Error::new(operation.to_owned(), ErrorKind::NoSession(why)));
        }
        Ok(())
    }

    /// Ends the session and what is watched in it.
    pub(crate) async fn end(&self) -> Result<()> {
        let done = self.log_out().await;
        if let Err(error) = self.check_logged_in("watch") {
            let error = error.into();
            self.parts.end(&error);
        }
        done
    }

    /// Ends the session, for all clones, permanently.
    async fn log_out(&self) -> Result<()> {
        // Whoever renews the session right now finishes first, so that no session is left over.
        let _nobody_renews = self.renewals.lock().await;
        if self.logged_out.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.stop_keeper();
        let (soap, rest) = tokio::join!(self.end_soap(), self.rest.end(self.session.transport()));
        soap.and(rest)
    }

    async fn end_soap(&self) -> Result<()> {
        self.end_living().await.map(drop)
    }

    /// Ends the session on the server. Whether it still lived.
    async fn end_living(&self) -> Result<bool> {
        let Some(manager) = &self.content.session_manager else { return Ok(false) };
        if self.session.transport().session_cookie().is_none() {
            return Ok(false);
        }
        match self.session.logout(manager).await {
            Err(error) if is_lost_session(&error) => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// Opens a session.
    async fn log_in(&self, Credentials { user, password }: &Credentials) -> Result<()> {
        let Some(manager) = &self.content.session_manager else { return Ok(()) };
        let transport = self.session.transport();
        let mut locale = self.config.login_locale();
        let mut retry = Retry::new(self.config.most_attempts(), None);
        loop {
            transport.clear_session_cookie();
            let error = match self.session.login(manager, user, password, locale).await {
                Ok(()) => break,
                Err(error) => error,
            };
            // A server that lacks the language still has its own, and no text of it is ever compared.
            if locale.is_some() && error.fault().is_some_and(|fault| fault.is_named("InvalidLocale")) {
                tracing::debug!(locale, "the server does not know the locale");
                locale = None;
                continue;
            }
            if let Some(pause) = retry.pause(&error, false) {
                tracing::debug!(%error, ?pause, "logging in again");
                tokio::time::sleep(pause).await;
                continue;
            }
            // The head of an answer whose rest was lost may have opened a session that nobody would end.
            if error.sent() != Sent::No && error.fault().is_none() {
                drop(self.session.logout(manager).await);
            }
            return Err(error);
        }
        self.touch();
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Opens a new session after the server refused `operation` for want of one, unless somebody has done so since
    /// `seen`.
    async fn renew(self: &Arc<Self>, seen: u64, operation: &Operation, refusal: Error) -> Result<()> {
        let connection = Arc::clone(self);
        let (method, target) = (operation.method.name, operation.target.to_string());
        let asked = Instant::now();
        let renewed = finish(async move { connection.renew_alone(seen, asked, method, refusal).await }).await;
        renewed.map_err(|error| error.in_operation(method).on(target))
    }

    async fn renew_alone(&self, seen: u64, asked: Instant, method: &'static str, refusal: Error) -> Result<()> {
        let mut renewals = self.renewals.lock().await;
        self.check_logged_in(method)?;
        if self.generation() != seen {
            return Ok(());
        }
        if let Some((at, cause)) = &renewals.failed
            && (*at >= asked || (is_refusal(cause) && at.elapsed() < REFUSED_FOR))
        {
            return Err(unopened(cause));
        }
        if renewals.would_not_help(method, seen, self.proven.load(Ordering::Acquire) == seen) {
            return Err(refused(method, NoSession::LostAgain, refusal));
        }
        let asked = self.is_alive().await;
        if self.config.logs_in_once() {
            return Err(match asked {
                Ok(true) => refused(method, NoSession::NotAllowed, refusal),
                Ok(false) => self.give_up(method).await,
                Err(error) => error,
            });
        }
        let lives = matches!(asked, Ok(true));
        if lives && renewals.denied.get(method).is_some_and(|at| at.elapsed() < DENIED_FOR) {
            return Err(refused(method, NoSession::NotAllowed, refusal));
        }
        // The old one is ended whatever the server said of it, as nobody else would. Servers were seen whose session was
        // good for reads and for nothing else, and those that refuse reads say of a living session that there is none.
        drop(self.end_soap().await);
        tracing::info!(server = %self.authority(), lives, "the session was lost, logging in again");
        match self.log_in(self.config.credentials()).await {
            Ok(()) => {
                renewals.failed = None;
                Ok(())
            }
            Err(error) => {
                let cause = Arc::new(error);
                renewals.failed = Some((Instant::now(), Arc::clone(&cause)));
                Err(unopened(&cause))
            }
        }
    }

    /// Ends for good what cannot be renewed. The error of the method that has found it lost.
    async fn give_up(&self, method: &'static str) -> Error {
        tracing::info!(server = %self.authority(), "the session has ended, and its password was not kept");
        self.lost.store(true, Ordering::Release);
        self.logged_out.store(true, Ordering::Release);
        self.stop_keeper();
        drop(tokio::join!(self.end_soap(), self.rest.end(self.session.transport())));
        Error::new(method, ErrorKind::NoSession(NoSession::NotKept))
    }

    /// The error of a method that was refused as not authenticated in the session of `generation`, which was opened for
    /// it.
    async fn refused_again(&self, method: &'static str, generation: u64, refusal: Error) -> Error {
        let mut renewals = self.renewals.lock().await;
        if self.generation() != generation || renewals.would_not_help(method, generation, true) {
            return refused(method, NoSession::LostAgain, refusal);
        }
        if matches!(self.is_alive().await, Ok(true)) {
            renewals.denied.insert(method, Instant::now());
            return refused(method, NoSession::NotAllowed, refusal);
        }
        // What could be ended was no lost session, but one that the server does not take.
        if matches!(self.end_living().await, Ok(true)) {
            renewals.not_taken.insert(method, NotTaken { at: Instant::now(), generation });
        }
        refused(method, NoSession::LostAgain, refusal)
    }

    /// Sends an operation, again where that is safe.
    async fn send(&self, operation: &Operation, ends: Option<Instant>, items: Option<Items<'_>>) -> Result<Any> {
        let mut retry = Retry::new(self.config.most_attempts(), ends);
        loop {
            let generation = self.generation();
            let limit = self.config.request_limit();
            let limit = ends.map_or(limit, |ends| limit.min(ends.saturating_duration_since(Instant::now())));
            self.touch();
            let error = match self.session.call_within(operation, limit, items).await {
                Ok(answer) => {
                    self.touch();
                    self.proven.fetch_max(generation, Ordering::AcqRel);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if error.fault().is_some_and(|fault| fault.is_named("RestrictedVersion")) {
                self.restricted.store(true, Ordering::Relaxed);
            }
            let Some(pause) = retry.pause(&error, operation.method.effect.is_repeatable()) else { return Err(error) };
            tracing::debug!(operation = operation.method.name, %error, ?pause, "sending again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks the server whether the session lives.
    async fn is_alive(&self) -> Result<bool> {
        let Some(manager) = &self.content.session_manager else { return Ok(true) };
        let spec = PropertyFilterSpec {
            prop_set: vec![PropertySpec {
                type_: manager.type_.clone(),
                path_set: vec![session_manager::CURRENT_SESSION.path().to_owned()],
                ..Default::default()
            }],
            object_set: vec![ObjectSpec { obj: manager.clone(), ..Default::default() }],
            ..Default::default()
        };
        let caller: Arc<dyn Caller> = Arc::new(Within { session: self.session.clone(), limit: PROBE });
        let collector = PropertyCollector::new(&caller, self.content.property_collector.clone());
        match collector.retrieve_properties_ex(&[spec], &RetrieveOptions::default()).await {
            Ok(answer) => {
                let mut values = answer.into_iter().flat_map(|page| page.objects).flat_map(|object| object.prop_set);
                Ok(values.any(|property| !matches!(property.val, Any::Unset)))
            }
            Err(error) if error.fault().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn touch(&self) {
        *self.last_used.write().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last_used(&self) -> Instant {
        *self.last_used.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the server something whenever the session has been idle for the configured time.
    ///
    /// It does not log in: a lost session is renewed when somebody needs it.
    fn keep_alive(self: &Arc<Self>) {
        let period = self.config.keepalive_period();
        let weak: Weak<Self> = Arc::downgrade(self);
        // Never, where that is asked for, or beyond what the clock can hold.
        let Some(mut next) = self.last_used().checked_add(period).filter(|_| !period.is_zero()) else { return };
        let keeper = tokio::spawn(async move {
            loop {
                tokio::time::sleep_until(next).await;
                let Some(connection) = weak.upgrade() else { return };
                // Otherwise it is opened anew when it is needed.
                if connection.config.logs_in_once() {
                    connection.rest.keep_alive(connection.session.transport()).await;
                }
                let used = connection.last_used();
                if used + period > Instant::now() {
                    next = used + period;
                    continue;
                }
                match connection.is_alive().await {
                    Ok(lives) => tracing::debug!(server = %connection.authority(), lives, "kept the session alive"),
                    Err(error) => tracing::debug!(%error, "the session could not be kept alive"),
                }
                next = Instant::now() + period;
            }
        });
        *self.keeper.write().unwrap_or_else(PoisonError::into_inner) = Some(keeper.abort_handle());
    }

    fn stop_keeper(&self) {
        if let Some(keeper) = self.keeper.write().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.authority())
    }
}

/// A session that nobody ended is ended in the background, where the runtime still runs.
impl Drop for Connection {
    fn drop(&mut self) {
        self.stop_keeper();
        if *self.logged_out.get_mut() {
            return;
        }
        let (session, manager) = (self.session.clone(), self.content.session_manager.clone());
        let rest = std::mem::take(&mut self.rest);
        let entry = std::mem::take(&mut self.entry);
        self.runtime.spawn(async move {
            let _until_it_has_ended = entry;
            if let Err(error) = rest.end(session.transport()).await {
                tracing::debug!(%error, "the REST session was left to end by itself");
            }
            if let Some(manager) = manager
                && let Err(error) = session.logout(&manager).await
            {
                tracing::debug!(%error, "the session was left to end by itself");
            }
        });
    }
}

/// A connection as its user calls it: with a limit on the time of each call.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) connection: Arc<Connection>,
    pub(crate) limit: Option<Duration>,
}

#[async_trait]
impl Caller for Line {
    async fn call(&self, operation: &Operation) -> Result<Any> {
        self.answer(operation, None).await
    }

    async fn call_with(&self, operation: &Operation, items: Items<'_>) -> Result<Any> {
        self.answer(operation, Some(items)).await
    }
}

impl Line {
    async fn answer(&self, operation: &Operation, items: Option<Items<'_>>) -> Result<Any> {
        let connection = &self.connection;
        connection.check_logged_in(operation.method.name)?;
        // Also where nobody waits for the answer any more.
        let _change = may_change(operation).then(|| Change::begin(connection));
        // A limit beyond what the clock can hold is none.
        let ends = self.limit.and_then(|limit| Instant::now().checked_add(limit));
        let seen = connection.generation();
        let refusal = match connection.send(operation, ends, items).await {
            Err(error) if is_lost_session(&error) => error,
            answer => return answer,
        };
        // The server did not carry it out, whatever it is: sending it again is safe, once.
        within(ends, self.limit, operation, connection.renew(seen, operation, refusal)).await?;
        let renewed = connection.generation();
        match connection.send(operation, ends, items).await {
            Err(refusal) if is_lost_session(&refusal) => {
                let (connection, method) = (Arc::clone(connection), operation.method.name);
                let refused = finish(async move { Ok(connection.refused_again(method, renewed, refusal).await) });
                Err(refused.await.unwrap_or_else(|error| error).on(operation.target.to_string()))
            }
            answer => answer,
        }
    }
}

/// Whether a request may change the inventory. What belongs to the session alone is none of it.
fn may_change(operation: &Operation) -> bool {
    const OF_THE_SESSION: [&str; 8] = [
        "PropertyCollector",
        "PropertyFilter",
        "ContainerView",
        "ListView",
        "ViewManager",
        "SessionManager",
        "EventHistoryCollector",
        "TaskHistoryCollector",
    ];
    !operation.method.effect.is_repeatable() && !OF_THE_SESSION.contains(&operation.target.type_.as_str())
}

/// A change on its way: it is noted when it begins and when it has ended.
struct Change<'a>(&'a Connection);

impl<'a> Change<'a> {
    fn begin(connection: &'a Connection) -> Self {
        connection.note_change();
        Self(connection)
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.note_change();
    }
}

/// A session that is asked with a time limit.
#[derive(Debug)]
struct Within {
    session: Session,
    limit: Duration,
}

#[async_trait]
impl Caller for Within {
    async fn call(&self, operation: &Operation) -> Result<Any> {
        self.session.call_within(operation, self.limit, None).await
    }
}

/// Agrees on the API version and reads what the server says of itself, again where the server is not ready.
async fn greet(config: &Config, transport: Transport) -> Result<(Session, ServiceContent)> {
    let mut retry = Retry::new(config.most_attempts(), None);
    let server = transport.endpoint().authority();
    loop {
        let greeted = async {
            let session = Session::open(transport.clone(), vsphere_model::registry(), vsphere_model::VERSIONS).await?;
            let anonymous: Arc<dyn Caller> = Arc::new(session.clone());
            let content = ServiceInstance::new(&anonymous, service_instance()).retrieve_service_content().await?;
            Ok((session, content))
        };
        let error: Error = match greeted.await {
            Ok(greeted) => return Ok(greeted),
            Err(error) => error,
        };
        let Some(pause) = retry.pause(&error, true) else { return Err(error.in_operation("connect").on(server)) };
        tracing::debug!(%error, ?pause, "connecting again");
        tokio::time::sleep(pause).await;
    }
}

/// Reaches the server without a login.
pub(crate) async fn reach(config: &Config) -> crate::error::Result<()> {
    config.check()?;
    let transport = Transport::new(config.endpoint()?, config.transport_options()?)?;
    greet(config, transport).await?;
    Ok(())
}

pub(crate) fn service_instance() -> ManagedObjectReference {
    ManagedObjectReference::new("ServiceInstance", "ServiceInstance")
}

/// Runs to its end, even when the caller is gone.
pub(crate) async fn finish<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work.boxed()).await.unwrap_or_else(|_| {
        let source = io::Error::other("the runtime has ended");
        Err(Error::new("log in", ErrorKind::Interrupted { received: 0, source }))
    })
}

/// Waits for a new session no longer than the call may take.
async fn within(
    ends: Option<Instant>,
    limit: Option<Duration>,
    operation: &Operation,
    renewal: impl Future<Output = Result<()>>,
) -> Result<()> {
    let Some(ends) = ends else { return renewal.await };
    timeout_at(ends, renewal).await.unwrap_or_else(|_| {
        let kind = ErrorKind::Timeout { after: limit.unwrap_or_default(), waiting_for: WaitingFor::Answer };
        // It was refused for want of a session, and not sent again.
        Err(Error::new(operation.method.name, kind).on(operation.target.to_string()).with_sent(Sent::No))
    })
}

pub(crate) fn is_lost_session(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Fault(fault) if fault.is_named("NotAuthenticated"))
}

/// Whether the server refuses this user, so that asking again soon does harm. `NotAuthenticated` extends
/// `NoPermission`; servers that start answer a login so.
fn is_refusal(error: &Error) -> bool {
    error.fault().is_some_and(|fault| fault.is_named("InvalidLogin") || fault.is_named("NoPermission"))
}

fn unopened(cause: &Arc<Error>) -> Error {
    Error::new("log in", ErrorKind::NoSession(NoSession::Renewal(Arc::clone(cause))))
}

fn refused(method: &'static str, how: impl FnOnce(Box<SoapFault>) -> NoSession, refusal: Error) -> Error {
    match refusal.into_kind() {
        ErrorKind::Fault(fault) => Error::new(method, ErrorKind::NoSession(how(fault))),
        kind => Error::new(method, kind),
    }
}
