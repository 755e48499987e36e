//! MCP over HTTP on a real socket: who is let in, whose a session is, what is refused, how it ends.

mod auditing;
mod ending;
mod guarding;
mod identity;
mod replicas;
mod wire;

use std::path::PathBuf;

use mcvsphere_mcp::http::HttpServer;
use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation, ProtocolVersion},
    service::{ClientLifecycleMode, ClientServiceExt, RunningService, ServiceExt},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{lab::Lab, settings_with};
use wire::{Ask, Reply};

/// The tokens of the tests, by their names, and the entries of the settings file that know them.
const LEVELS: [&str; 5] = ["read_only", "power_ops", "vm_lifecycle", "host_admin", "full_admin"];
const TOKENS: &str = "\
tokens:
  read_only: {level: read_only, sha256: 7812727158365431070715b9058635ac641ff041807d7453f694357775a0fb1a, expires: never}
  power_ops: {level: power_ops, sha256: 4981b3627de5bea3f23ede9859a46be99225f02dc059a35ec830433c74444ef6, expires: never}
  vm_lifecycle: {level: vm_lifecycle, sha256: 88ed1dd747a6d7a71eb1112444dafe924b3793cc2a279e0b06b9b51a68d8693c, expires: never}
  host_admin: {level: host_admin, sha256: debc4f521c6954c55a5155f64776cda11f0a5da66040d89cf2688770157fb8f7, expires: never}
  full_admin: {level: full_admin, sha256: 1fc47a290431885e9f4d10f60c69a773e7dad7ddc19e1fdb98d9c429772bef66, expires: 2999-01-01}
  john: {level: full_admin, sha256: 9a6fa6584e617c9393283d3d36aa3cd64d88f819ed924f5276c5c2948e9590b1, expires: never}
  expired: {level: full_admin, sha256: d7cb9a65b6bb897935ff08089e5300473b87581dd4cf79f2309827a88bd6300f, expires: 2020-01-01}
";

/// A file of this test run.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("http-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

/// A server that listens at a free port of this computer.
pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Site {
    /// With the tokens of these tests, before this vCenter.
    pub(crate) async fn new(lab: &Lab, environment: &[(&str, &str)]) -> Self {
        let tokens = file(&format!("tokens-{}.yaml", fastrand()), TOKENS);
        let tokens = [("MCVSPHERE_CONFIG", tokens.to_str().unwrap())];
        Self::open(lab, &[&tokens, environment].concat()).await
    }

    /// With these settings alone.
    pub(crate) async fn open(lab: &Lab, environment: &[(&str, &str)]) -> Self {
        let settings = settings_with(&[&[("MCP_PORT", "0")], environment].concat()).simulated(&lab.sim);
        let server = mcvsphere_mcp::Server::new(&settings).unwrap();
        let server = HttpServer::bind(server, &settings).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let (url, address) = (server.url().to_owned(), server.address());
        let serving = tokio::spawn(server.serve(async { drop(stopped.await) }));
        Self { url, address, stop: Some(stop), serving }
    }

    /// A client of rmcp with this token.
    pub(crate) async fn client(&self, token: &str, stateless: bool) -> RunningService<RoleClient, ClientConfig> {
        // The client's HTTP library wants one for all, though nothing is encrypted here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = StreamableHttpClientTransportConfig::with_uri(self.url.as_str()).auth_header(token);
        let transport = StreamableHttpClientTransport::from_config(config);
        let info = ClientConfig::new(ClientCapabilities::default(), Implementation::new("test", "1"));
        match stateless {
            false => info.serve(transport).await.unwrap(),
            true => {
                let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
                info.serve_with_lifecycle(transport, ClientLifecycleMode::Discover { preferred_versions })
                    .await
                    .unwrap()
            }
        }
    }

    /// A request to the endpoint, with this token.
    pub(crate) fn ask<'a>(&self, token: &'a str) -> Ask<'a> {
        Ask::to(self.address).bearer(token)
    }

    /// Begins a session of the older lifecycle, and answers its id.
    pub(crate) async fn session(&self, token: &str) -> String {
        let reply = self.ask(token).json(&wire::initialize()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let id = reply.header("mcp-session-id").unwrap().to_owned();
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(self.ask(token).header("mcp-session-id", &id).json(&ready).await.status, 202);
        id
    }

    pub(crate) fn tell_to_stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn ended(self) {
        self.serving.await.unwrap();
    }
}

fn fastrand() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

fn call(tool: &str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.as_object().unwrap().clone())
}

#[tokio::test]
async fn both_lifecycles_work_through_a_client() {
    let lab = Lab::new().await;
    lab.machine("web-1").await;
    let site = Site::new(&lab, &[]).await;
    for stateless in [false, true] {
        let client = site.client("mcv_full_admin", stateless).await;
        assert!(client.list_all_tools().await.unwrap().len() > 100);
        let page = client.call_tool(call("list_vms", json!({}))).await.unwrap();
        assert_eq!(page.structured_content.unwrap()["items"][0]["name"], "web-1");
        let on = client.call_tool(call("power_on_vm", json!({ "vm": "web-1" }))).await.unwrap();
        assert_ne!(on.is_error, Some(true), "{on:?}");
        client.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_without_tokens_serves_the_local_user_at_the_level_of_the_setting() {
    let lab = Lab::new().await;
    for transport in ["streamable-http", "http", "sse", "stdio"] {
        let site = Site::open(&lab, &[("MCP_TRANSPORT", transport), ("MCP_PERMISSION", "read_only")]).await;
        let client = site.client("whatever", true).await;
        let refused = client.call_tool(call("power_on_vm", json!({ "vm": "web-1" }))).await.unwrap();
        let refused = refused.structured_content.unwrap();
        assert_eq!(refused["code"], "permission");
        assert!(refused["message"].as_str().unwrap().contains("(MCP_PERMISSION)"), "{refused}");
    }
}

#[tokio::test]
async fn everyone_is_served_by_intention_alone() {
    let refused = |environment: &[(&str, &str)]| {
        let settings = settings_with(&[&[("MCP_PORT", "0"), ("MCP_HOST", "0.0.0.0")], environment].concat());
        async move {
            let server = mcvsphere_mcp::Server::new(&settings).unwrap();
            HttpServer::bind(server, &settings).await.err().map(|error| error.to_string())
        }
    };
    let error = refused(&[]).await.unwrap();
    for part in
        ["MCP_HOST", "`tokens`", "mcvsphere token new", "MCP_ALLOW_UNAUTHENTICATED=yes-anyone-may-control-vsphere"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(refused(&[("MCP_ALLOW_UNAUTHENTICATED", "yes-anyone-may-control-vsphere")]).await, None);
    let tokens = file("exposed.yaml", TOKENS);
    assert_eq!(refused(&[("MCVSPHERE_CONFIG", tokens.to_str().unwrap())]).await, None);
}

#[tokio::test]
async fn probes_and_metrics() {
    let lab = Lab::new().await;
    let site = Site::new(&lab, &[]).await;
    let get = |path: &'static str| Ask::to(site.address).path(path).send("GET", "");
    // A supervisor knows the server by an address of its own.
    assert_eq!(Ask::to(site.address).host("10.1.2.3:8000").path("/healthz").send("GET", "").await.status, 200);
    let ready = get("/readyz").await;
    assert_eq!((ready.status, ready.json()["ready"].clone()), (200, json!(true)));
    assert_eq!(get("/metrics").await.status, 401);
    let client = site.client("mcv_read_only", true).await;
    client.call_tool(call("list_vms", json!({}))).await.unwrap();
    let metrics: Reply = site.ask("mcv_read_only").path("/metrics").send("GET", "").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let line = "mcvsphere_calls_total{tool=\"list_vms\",outcome=\"ok\"} 1";
    assert!(metrics.body.contains(line), "{}", metrics.body);
    let sent = metrics.body.lines().find_map(|line| line.strip_prefix("mcvsphere_vsphere_requests_total "));
    assert!(sent.unwrap().parse::<u64>().unwrap() > 0);

    // Nothing listens there.
    let settings = settings_with(&[
        ("VCENTER_HOST", "http://127.0.0.1:1"),
        ("VCENTER_USER", "u"),
        ("VCENTER_PASSWORD", "p"),
        ("MCP_PORT", "0"),
    ]);
    let server = mcvsphere_mcp::Server::new(&settings).unwrap();
    let server = HttpServer::bind(server, &settings).await.unwrap();
    let address = server.address();
    let serving = tokio::spawn(server.serve(std::future::pending()));
    let ready = Ask::to(address).path("/readyz").send("GET", "").await;
    assert_eq!((ready.status, ready.json()["vsphere"].clone()), (503, json!("not reached")));
    serving.abort();
}
