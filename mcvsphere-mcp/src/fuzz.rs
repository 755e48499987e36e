//! What strangers can send over HTTP, as the fuzz targets call it with any bytes.
//!
//! `{client}`, `{request}`, `{state}` and `{browser}` in what is sent become what this server has sealed for a client and a browser, which
//! no fuzzer can guess.

use std::sync::LazyLock;

use axum::{
    Router,
    body::{Body, to_bytes},
};
use http::{HeaderMap, Request, StatusCode, header};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::{Builder, Runtime};

use crate::{Server, SettingArgs, Settings, http::HttpServer, oauth::fuzz as oauth};
pub use oauth::{bearer, client};

const BASE: &str = "https://mcp.example";
pub(crate) const REDIRECT: &str = "https://app.example/callback";

/// A server with the login proxy, and a login that was begun there.
struct World {
    runtime: Runtime,
    router: Router,
    /// What stands for what.
    names: [(&'static str, String); 4],
}

static WORLD: LazyLock<World> = LazyLock::new(|| World::new().unwrap_or_else(|problem| panic!("{problem}")));

/// Sends a request: a line with its method and target, lines with headers, an empty line, and the body. Nothing panics; nobody
/// gets in; answers go to the client's own address alone; pages hold no markup of others.
pub fn request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let world = &*WORLD;
    let text = world.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let (method, target) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
    // The server would look for the metadata of such a client, and its name up.
    if target.contains("client_id=https") {
        return;
    }
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let Ok(request) = request.body(Body::from(body.to_owned())) else { return };
    let path = request.uri().path().to_owned();
    let (status, headers, answer) = world.send(request);
    assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{text}\n{status} {answer}");
    if let Some(location) = headers.get(header::LOCATION) {
        assert!(location.as_bytes().starts_with(format!("{REDIRECT}?").as_bytes()), "{text}\n{location:?}");
    }
    let is_closed = matches!(path.as_str(), "/mcp" | "/mcp/" | "/token" | "/metrics");
    let is_preflight = status == StatusCode::NO_CONTENT || method == "OPTIONS";
    assert!(!(is_closed && status.is_success() && !is_preflight), "{text}\n{status} {answer}");
    let lower = answer.to_ascii_lowercase();
    let is_page = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    assert!(!is_page || !["<script", "<img", "<iframe", "<svg"].iter().any(|tag| lower.contains(tag)), "{answer}");
}

impl World {
    fn new() -> Result<Self, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| said(&error))?;
        let settings = Settings::new(&SettingArgs::default(), |name| {
            Some(match name {
                "MCP_TRANSPORT" => "streamable-http",
                "MCP_PORT" => "0",
                "OAUTH_ENABLED" => "true",
                // Nothing listens there.
                "OAUTH_ISSUER_URL" => "http://127.0.0.1:9",
                "OAUTH_BASE_URL" => BASE,
                "OAUTH_CLIENT_ID" => "mcvsphere",
                "OAUTH_CLIENT_SECRET" => oauth::SECRET,
                _ => return None,
            })
        });
        let settings = settings.map_err(|error| said(&error))?;
        let server = Server::new(&settings).map_err(|error| said(&error))?;
        let bound = runtime.block_on(HttpServer::bind(server, &settings)).map_err(|error| said(&error))?;
        let mut world = Self { runtime, router: bound.router(), names: Default::default() };
        world.names = world.begun().ok_or("no login was begun")?;
        Ok(world)
    }

    /// Registers a client and begins a login.
    fn begun(&self) -> Option<[(&'static str, String); 4]> {
        let metadata = serde_json::json!({ "redirect_uris": [REDIRECT] }).to_string();
        let register = Request::post("/register").header(header::HOST, "mcp.example").body(metadata.into()).ok()?;
        let (_, _, answer) = self.send(register);
        let answer: serde_json::Value = serde_json::from_str(&answer).ok()?;
        let client = answer.get("client_id")?.as_str()?.to_owned();
        let query = format!(
            "/authorize?response_type=code&client_id={client}&redirect_uri={REDIRECT}&code_challenge={}&code_challenge_method=S256",
            "c".repeat(43)
        );
        let authorize = Request::get(query).header(header::HOST, "mcp.example").body(Body::empty()).ok()?;
        let (_, headers, page) = self.send(authorize);
        let (_, after) = page.split_once("name=\"request\" value=\"")?;
        let (request, _) = after.split_once('"')?;
        let cookie = headers.get(header::SET_COOKIE)?.to_str().ok()?;
        let (browser, _) = cookie.split_once(';')?;
        let state = oauth::state_of(BASE, request)?;
        Some([
            ("{client}", client),
            ("{request}", request.to_owned()),
            ("{state}", state),
            ("{browser}", browser.to_owned()),
        ])
    }

    fn send(&self, mut request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let host = http::HeaderValue::from_static("mcp.example");
        request.headers_mut().entry(header::HOST).or_insert(host);
        self.runtime.block_on(async {
            let Ok(response) = TowerToHyperService::new(self.router.clone()).call(request).await;
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
            (parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned())
        })
    }
}
