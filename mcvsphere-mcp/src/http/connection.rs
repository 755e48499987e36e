//! Connections: how many there are, how long each may take to say what it wants, how they end.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::IpAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{remote::Proxies, tls::Tls};

/// The most connections; those after them wait.
const MOST: usize = 2048;

/// The most connections of one address that is no proxy; those after them are closed.
const MOST_OF_ONE: usize = 256;

/// How long the head of a request may take, and so how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(30);

/// The most bytes of the head of a request.
const LARGEST_HEAD: usize = 32 << 10;

/// How long nothing is accepted when the system gives no more connections.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where connections come from.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    /// The certificate, where it is this server that encrypts.
    pub(super) tls: Option<Tls>,
}

/// The connections that are open.
pub(super) struct Connections {
    router: Router,
    proxies: Arc<Proxies>,
    stopping: watch::Receiver<bool>,
    open: JoinSet<()>,
    places: Arc<Semaphore>,
    of_each: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// What a connection takes up, given back when it ends.
struct Place {
    address: IpAddr,
    of_each: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of_each = self.of_each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = of_each.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                of_each.remove(&self.address);
            }
        }
    }
}

impl Connections {
    /// None yet. Each ends after its last answer once `stopping` holds true.
    pub(super) fn new(router: Router, proxies: Arc<Proxies>, stopping: watch::Receiver<bool>) -> Self {
        Self {
            router,
            proxies,
            stopping,
            open: JoinSet::new(),
            places: Arc::new(Semaphore::new(MOST)),
            of_each: Arc::default(),
        }
    }

    /// Accepts connections, without an end.
    pub(super) async fn accept(&mut self, listener: &Listener) {
        loop {
            while self.open.try_join_next().is_some() {}
            let Ok(permit) = Arc::clone(&self.places).acquire_owned().await else {
                return;
            };
            match listener.socket.accept().await {
                Ok((stream, peer)) => self.begin(stream, listener.tls.as_ref().map(Tls::acceptor), peer.ip(), permit),
                Err(error) if is_of_one(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, tls: Option<TlsAcceptor>, peer: IpAddr, permit: OwnedSemaphorePermit) {
        let address = peer.to_canonical();
        {
            let mut of_each = self.of_each.lock().unwrap_or_else(PoisonError::into_inner);
            let count = of_each.entry(address).or_default();
            if *count >= MOST_OF_ONE && !self.proxies.are(address) {
                return;
            }
            *count += 1;
        }
        let place = Place { address, of_each: Arc::clone(&self.of_each), _permit: permit };
        // Answers are written whole, and each part of a stream has to go out at once.
        let _ = stream.set_nodelay(true);
        let app = Answerer {
            router: TowerToHyperService::new(self.router.clone()),
            proxies: Arc::clone(&self.proxies),
            peer,
        };
        let stopping = self.stopping.clone();
        self.open.spawn(async move {
            let _place = place;
            match tls {
                None => serve(stream, app, stopping).await,
                Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, app, stopping).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a client does not agree on TLS"),
                    Err(_) => tracing::debug!("a client takes too long to agree on TLS"),
                },
            }
        });
    }

    /// Waits until all have ended, for at most so long.
    pub(super) async fn end_within(&mut self, limit: Duration) {
        let _ = timeout(limit, async { while self.open.join_next().await.is_some() {} }).await;
    }
}

/// What went wrong with one connection, which says nothing of the next.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves a connection until its client or this server ends it.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, app: Answerer, mut stopping: watch::Receiver<bool>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), app);
    let mut connection = pin!(connection);
    let done = tokio::select! {
        done = connection.as_mut() => done,
        () = is_told(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Waits until it is time to stop, or nobody can say so any more.
async fn is_told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Answers the requests of one connection, each with where it comes from.
struct Answerer {
    router: TowerToHyperService<Router>,
    proxies: Arc<Proxies>,
    peer: IpAddr,
}

impl Service<hyper::Request<Incoming>> for Answerer {
    type Response = Response;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as Service<hyper::Request<Incoming>>>::Future;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        let remote = self.proxies.remote(self.peer, request.headers());
        request.extensions_mut().insert(remote);
        self.router.call(request)
    }
}
