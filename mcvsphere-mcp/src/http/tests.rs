//! Without the layer that says who calls, nothing answers.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use axum::body::{Body, to_bytes};
use http::{
    Request, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::*;
use crate::SettingArgs;

fn server() -> Server {
    Server::new(&Settings::new(&SettingArgs::default(), |_| None::<String>).unwrap()).unwrap()
}

async fn ask(router: &Router, headers: &[(&str, &str)], message: Value) -> (StatusCode, String) {
    let mut request = Request::post(PATH).header(HOST, "localhost").header(CONTENT_TYPE, "application/json");
    request = request.header(ACCEPT, "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(message.to_string())).unwrap();
    let answer = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
    let status = answer.status();
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn threat_6_with_the_identity_layer_removed_everything_is_refused() {
    let config = StreamableHttpServerConfig::default().disable_allowed_hosts();
    let router = endpoint(&server(), Arc::new(Sessions::default()), config);
    for (method, params) in [
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("tools/call", json!({ "name": "list_vms", "arguments": {} })),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({ "uri": "esxi://vms" })),
        ("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": ["esxi://vms"] } })),
        ("prompts/list", json!({})),
        ("prompts/get", json!({ "name": "health-check" })),
        ("tasks/get", json!({ "taskId": "1" })),
        ("tasks/cancel", json!({ "taskId": "1" })),
    ] {
        let mut params = params;
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } },
        });
        let name = ["name", "uri", "taskId"].iter().find_map(|key| params[*key].as_str()).map(str::to_owned);
        let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        headers.extend(name.as_deref().map(|name| ("mcp-name", name)));
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (_, body) = ask(&router, &headers, message).await;
        assert!(body.contains("\"unauthenticated\"") && !body.contains("\"result\""), "{method}: {body}");
    }
    let hello = json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
    });
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello });
    let (_, body) = ask(&router, &[], hello).await;
    assert!(body.contains("\"unauthenticated\"") && !body.contains("\"result\""), "{body}");
}
