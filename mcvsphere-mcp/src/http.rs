//! MCP over streamable HTTP, for many users at once, in both lifecycles.
//!
//! A request passes in turn: its connection, which bounds what a client may hold (`connection`); the guard, which refuses
//! foreign hosts and foreign web pages (`guard`); the authentication, which puts the [`Caller`] into the request
//! (`authenticate`); and rmcp, which finds its session (`sessions`). From there it goes through the same gate as over any
//! other transport. Where the authentication is missing the gate refuses everything.

pub(crate) mod authenticate;
mod connection;
mod guard;
mod limits;
mod probes;
mod remote;
mod sessions;
#[cfg(test)]
mod tests;
mod tls;
pub(crate) mod tokens;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::{net::TcpListener, sync::watch};

pub(crate) use remote::Remote;

use crate::{
    Caller, Server, Settings,
    catalog::StartError,
    log,
    oauth::{OAuth, Vcenter},
    settings::{Consent, name},
};
use authenticate::{Authenticator, Door};
use connection::{Connections, Listener};
use guard::Guard;
use limits::Limits;
use probes::Probes;
use remote::Proxies;
use sessions::Sessions;
use tls::Tls;
use tokens::{Token, Tokens};

/// The path of the endpoint.
pub(crate) const PATH: &str = "/mcp";

/// How long the last answers may take to be sent once all calls have ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// An MCP server that listens for HTTP.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use mcvsphere_mcp::{Server, SettingArgs, Settings, http::HttpServer};
///
/// let settings = Settings::new(&SettingArgs::default(), |name| std::env::var_os(name))?;
/// let server = HttpServer::bind(Server::new(&settings)?, &settings).await?;
/// println!("{}", server.url());
/// let stop = async { drop(tokio::signal::ctrl_c().await) };
/// server.serve(stop).await;
/// # Ok(())
/// # }
/// ```
pub struct HttpServer {
    server: Server,
    listener: Listener,
    router: Router,
    address: SocketAddr,
    url: String,
    /// Ends all sessions and streams.
    end_streams: Box<dyn Fn() + Send + Sync>,
    proxies: Arc<Proxies>,
    stop_timeout: Duration,
}

impl HttpServer {
    /// Listens at the address of the settings; requests wait until [`HttpServer::serve`].
    ///
    /// # Errors
    /// [`StartError`] when the address cannot be listened at, when everyone who reaches it would be served and the settings do not
    /// say so, and when the certificate cannot be used.
    pub async fn bind(server: Server, settings: &Settings) -> Result<Self, StartError> {
        let authenticators = authenticators(&server, settings)?;
        check_exposure(settings, authenticators.is_empty())?;
        let asked = SocketAddr::new(settings.listen_address(), settings.port());
        let listening = async {
            let listener = TcpListener::bind(asked).await?;
            let address = listener.local_addr()?;
            std::io::Result::Ok((listener, address))
        };
        let (listener, address) = listening.await.map_err(|error| {
            let (host, port) = (name::MCP_HOST, name::MCP_PORT);
            StartError::Listen(format!("{asked} cannot be listened at ({host}, {port}): {error}"))
        })?;
        let tls = match (settings.tls_cert(), settings.tls_key()) {
            (Some(certificate), Some(key)) => Some(Tls::open(certificate, key).map_err(|error| {
                StartError::Listen(format!("{}, {}: {error}", name::MCP_TLS_CERT, name::MCP_TLS_KEY))
            })?),
            _ => None,
        };
        let listener = Listener { socket: listener, tls };
        let url = url(settings, address);
        let sessions = Arc::new(Sessions::default());
        // An answer without progress before it needs no stream.
        let config = StreamableHttpServerConfig::default().disable_allowed_hosts().with_json_response(true);
        let streams = config.cancellation_token.clone();
        let guard = Arc::new(Guard::new(settings, address));
        let proxies = Arc::new(Proxies::new(settings.trusted_proxies().cloned().unwrap_or_default()));
        let door = Arc::new(Door {
            anyone: authenticators.is_empty().then(|| anyone(&server, address.ip())),
            routes: authenticators.iter().filter_map(|authenticator| authenticator.routes()).collect(),
            authenticators,
            most: settings.permission(),
            sessions: Arc::clone(&sessions),
            limits: Limits::default(),
            server: server.clone(),
        });
        let probes = Arc::new(Probes::new(settings));
        let router = router(endpoint(&server, sessions, config), guard, door, probes);
        let end_streams = Box::new(move || streams.cancel());
        let stop_timeout = settings.stop_timeout();
        Ok(Self { server, listener, router, address, url, end_streams, proxies, stop_timeout })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that is served, without the connections.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// The URL of the endpoint, as clients have to be told.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Serves until `stop` is done. Then no new request is taken, and calls that run may go on for as long as
    /// `MCP_STOP_TIMEOUT` says; after that the sessions end.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { server, listener, router, end_streams, proxies, stop_timeout, .. } = self;
        let (stopping, told) = watch::channel(false);
        let mut connections = Connections::new(router, proxies, told);
        tokio::select! {
            () = connections.accept(&listener) => {}
            () = stop => {}
        }
        drop(listener);
        stopping.send_replace(true);
        if !server.idle_within(stop_timeout).await {
            tracing::warn!("calls still run, and are given up (MCP_STOP_TIMEOUT)");
        }
        // The answers of these calls go out before streams without an end are cut.
        connections.end_within(LAST_WORDS).await;
        end_streams();
        connections.end_within(LAST_WORDS).await;
        server.close().await;
    }
}

/// Who decides whose a token is. Each is asked in turn; the last says how to get a token.
fn authenticators(server: &Server, settings: &Settings) -> Result<Vec<Arc<dyn Authenticator>>, StartError> {
    let mut all: Vec<Arc<dyn Authenticator>> = Vec::new();
    if !settings.bearer_tokens().is_empty() {
        all.push(Arc::new(Tokens::new(settings.bearer_tokens().to_vec(), settings.config())));
    }
    settings.check_user_login()?;
    let oauth = settings.oauth()?;
    if all.is_empty() && oauth.is_none() && settings.make_token() && settings.allow_unauthenticated().is_none() {
        all.push(Arc::new(made_token(settings)?));
    }
    if let Some(oauth) = oauth {
        let of_users = server.backends().are_of_users();
        let vcenter =
            of_users.then(|| Vcenter::new(server.backends().clone(), settings.host().unwrap_or("vCenter Server")));
        let oauth = OAuth::new(&oauth, server.audit().clone(), vcenter);
        all.push(Arc::new(oauth.map_err(|error| StartError::Listen(error.to_string()))?));
    }
    Ok(all)
}

/// A token that counts for as long as this process lives. It is printed here, and nowhere again.
fn made_token(settings: &Settings) -> Result<Tokens, StartError> {
    let problem = |problem| StartError::Listen(format!("{} makes no token: {problem}", name::MCP_MAKE_TOKEN));
    let token = tokens::new_token().map_err(problem)?;
    log::say(&format!(
        "mcvsphere: neither tokens nor OAUTH_ENABLED are set, so this token was made ({}). It is not shown again, and counts until the server ends:\n\n\
         {token}\n\n\
         In Claude Code: claude mcp add --transport http vsphere {} --header \"Authorization: Bearer {token}\"",
        name::MCP_MAKE_TOKEN,
        likely_url(settings).replace("://0.0.0.0:", "://localhost:").replace("://[::]:", "://localhost:"),
    ));
    Ok(Tokens::new(vec![Token::made_at_start(&token)], None))
}

/// Everyone must not be served by accident.
fn check_exposure(settings: &Settings, unauthenticated: bool) -> Result<(), StartError> {
    let address = settings.listen_address();
    if !unauthenticated || address.is_loopback() || settings.allow_unauthenticated().is_some() {
        return Ok(());
    }
    Err(StartError::Listen(format!(
        "{} is {address}, where other computers reach this server, and there is no authentication: add `tokens` to the \
         settings file (`mcvsphere token new NAME --level LEVEL` writes an entry), or set OAUTH_ENABLED, or listen at 127.0.0.1, or set {}={}",
        name::MCP_HOST,
        name::MCP_ALLOW_UNAUTHENTICATED,
        Consent::WORDS,
    )))
}

/// The caller of all requests of a server without authentication.
fn anyone(server: &Server, address: IpAddr) -> Caller {
    match server.local().level() {
        Some(level) if !address.is_loopback() => {
            Caller::remote("mcvsphere:unauthenticated", "anyone").with_level_by(level, name::MCP_PERMISSION)
        }
        _ => server.local().clone(),
    }
}

/// The endpoint of MCP alone, by which no request has a caller.
fn endpoint(server: &Server, sessions: Arc<Sessions>, config: StreamableHttpServerConfig) -> Router {
    let server = server.clone();
    let service = StreamableHttpService::new(move || Ok(server.session()), sessions, config);
    let with_slash = format!("{PATH}/");
    Router::new().route_service(PATH, service.clone()).route_service(&with_slash, service)
}

/// All that is served.
fn router(endpoint: Router, guard: Arc<Guard>, door: Arc<Door>, probes: Arc<Probes>) -> Router {
    let login = door.routes.clone().into_iter().fold(Router::new(), Router::merge);
    let login = login.layer(from_fn_with_state(Arc::clone(&door), limits::bound_logins));
    let behind = endpoint
        .route("/metrics", get(probes::measured).with_state(door.server.clone()))
        .layer(from_fn_with_state(Arc::clone(&door), authenticate::authenticate))
        .layer(guard.cors())
        .layer(from_fn_with_state(Arc::clone(&guard), guard::check_origin));
    // What asks whether the server lives knows it by an address.
    let probes =
        Router::new().route("/healthz", get(probes::health)).route("/readyz", get(probes::ready).with_state(probes));
    Router::new()
        .merge(behind)
        .merge(login)
        .layer(from_fn_with_state(guard, guard::check_host))
        .layer(from_fn_with_state(door, limits::bound))
        .merge(probes)
        .layer(from_fn(guard::safe_headers))
}

/// The URL that clients of these settings use, before anything listens.
pub(crate) fn likely_url(settings: &Settings) -> String {
    url(settings, SocketAddr::new(settings.listen_address(), settings.port()))
}

/// The URL of the endpoint at this address.
fn url(settings: &Settings, address: SocketAddr) -> String {
    let scheme = if settings.tls_cert().is_some() { "https" } else { "http" };
    match settings.known_as() {
        Some(url) => format!("{url}{PATH}"),
        None => format!("{scheme}://{address}{PATH}"),
    }
}
