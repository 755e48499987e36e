//! The MCP conformance suite against the production server, which has the suite's tools besides its own.
//!
//! What is expected to fail is listed in `expected`, each with its reason; the suite fails on what is not listed, and on what
//! is listed and does not fail.

mod fixtures;

use std::path::Path;

use mcvsphere_mcp::{Server, SettingArgs, Settings, http::HttpServer};
use tokio::task::JoinSet;
use vsphere_sim::{Model, Sim};

/// The requirements of a revision, against the server before a simulated vCenter.
async fn conforms(revision: &str) {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let settings = Settings::new(&SettingArgs::default(), |name| (name == "MCP_PORT").then_some("0")).unwrap();
    let settings = settings.simulated(&sim);
    let server = Server::with_tools(&settings, [Server::tools(), fixtures::tools()].concat()).unwrap();
    let (url, _serving) = serve(server, &settings).await;
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

/// Serves over HTTP on a free loopback port for as long as the second value lives.
async fn serve(server: Server, settings: &Settings) -> (String, JoinSet<()>) {
    let server = HttpServer::bind(server, settings).await.unwrap();
    let url = server.url().to_owned();
    let mut serving = JoinSet::new();
    serving.spawn(server.serve(std::future::pending()));
    (url, serving)
}
