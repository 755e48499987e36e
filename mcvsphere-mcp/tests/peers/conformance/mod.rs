//! The MCP conformance suite against the production server, which has the suite's tools besides its own.
//!
//! What is expected to fail is listed in `expected`, each with its reason; the suite fails on what is not listed, and on what
//! is listed and does not fail.

mod fixtures;

use std::path::Path;

use mcvsphere_mcp::{Caller, Permission, Server, SettingArgs, Settings};
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService, streamable_http_server::session::local::LocalSessionManager,
};
use tokio::{net::TcpListener, task::JoinSet};
use vsphere_sim::{Model, Sim};

/// The requirements of a revision, against the server before a simulated vCenter.
async fn conforms(revision: &str) {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let settings = Settings::new(&SettingArgs::default(), |_| None::<String>).unwrap().simulated(&sim);
    let server = Server::with_tools(&settings, [Server::tools(), fixtures::tools()].concat()).unwrap();
    let (url, _serving) = serve(server).await;
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/peers/conformance/{revision}.yaml"));
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{revision}"));
    if results.exists() {
        std::fs::remove_dir_all(&results).unwrap();
    }
    peers::conformance(&url, revision, &expected, &results).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the MCP conformance suite: cargo xtask peers"]
async fn peers_conformance_to_2026_07_28() {
    conforms("2026-07-28").await;
}

#[tokio::test]
#[ignore = "needs the MCP conformance suite: cargo xtask peers"]
async fn peers_conformance_to_2025_11_25() {
    conforms("2025-11-25").await;
}

/// Serves on a free loopback port for as long as the second value lives.
async fn serve(server: Server) -> (String, JoinSet<()>) {
    let mut origins = StreamableHttpServerConfig::default();
    origins.allowed_origins = vec!["http://localhost:*".to_owned(), "http://127.0.0.1:*".to_owned()];
    let service =
        StreamableHttpService::new(move || Ok(server.session()), LocalSessionManager::default().into(), origins);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            let answer = hyper::service::service_fn(move |mut request: hyper::Request<_>| {
                // The suite has no identity, which in a server for several users the layer before this one would find.
                let caller = Caller::remote("http://localhost", "suite").with_level(Permission::FullAdmin);
                request.extensions_mut().insert(caller);
                let service = service.clone();
                async move { Ok::<_, std::convert::Infallible>(service.handle(request).await) }
            });
            let stream = hyper_util::rt::TokioIo::new(stream);
            connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, answer));
        }
    });
    (url, serving)
}
