//! What is refused before anybody asks who calls.

use serde_json::{Value, json};

use super::{Ask, Site, wire};
use crate::lab::Lab;

#[tokio::test]
async fn threat_17_a_foreign_host_or_page_is_refused() {
    let lab = Lab::new().await;
    let site = Site::new(
        &lab,
        &[
            ("MCP_PUBLIC_URL", "https://MCP.example.com/"),
            ("MCP_ALLOWED_HOSTS", "other.example:81"),
            ("MCP_ALLOWED_ORIGINS", "https://inspector.example"),
        ],
    )
    .await;
    assert_eq!(site.url, "https://mcp.example.com/mcp");
    let port = site.address.port();
    let list = |ask: Ask<'static>| async move { ask.stateless("tools/list", json!({})).await };
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        (format!("LOCALHOST:{port}"), 200),
        ("mcp.example.com".to_owned(), 200),
        ("MCP.example.com".to_owned(), 200),
        ("other.example:81".to_owned(), 200),
        ("other.example".to_owned(), 403),
        ("evil.example".to_owned(), 403),
        ("127.0.0.1.evil.example".to_owned(), 403),
        ("mcp.example.com.evil.example".to_owned(), 403),
        ("a@mcp.example.com".to_owned(), 400),
        (String::new(), 400),
    ] {
        let reply = list(site.ask("mcv_full_admin").host(&host)).await;
        assert_eq!(reply.status, status, "{host:?}: {reply:?}");
        // Also for what would have no identity.
        let reply = list(Ask::to(site.address).host(&host)).await;
        assert_eq!(reply.status, if status == 200 { 401 } else { status }, "{host:?}");
    }
    for (origin, status) in [
        (format!("http://localhost:{port}"), 200),
        ("http://127.0.0.1:6274".to_owned(), 200),
        ("http://[::1]:1".to_owned(), 200),
        ("https://mcp.example.com".to_owned(), 200),
        ("https://inspector.example".to_owned(), 200),
        ("https://inspector.example:443".to_owned(), 200),
        ("http://inspector.example".to_owned(), 403),
        ("https://inspector.example:444".to_owned(), 403),
        ("https://evil.example".to_owned(), 403),
        ("http://localhost.evil.example".to_owned(), 403),
        ("null".to_owned(), 403),
        ("file://localhost".to_owned(), 403),
        ("mcp.example.com".to_owned(), 403),
    ] {
        let reply = list(site.ask("mcv_full_admin").header("origin", &origin)).await;
        assert_eq!(reply.status, status, "{origin:?}: {reply:?}");
        let allowed = (status == 200).then_some(origin.as_str());
        assert_eq!(reply.header("access-control-allow-origin"), allowed, "{origin}");
    }
    // What a proxy says of the host builds nothing.
    let forwarded = list(Ask::to(site.address).header("x-forwarded-host", "evil.example")).await;
    assert!(!format!("{forwarded:?}").contains("evil"), "{forwarded:?}");
    let twice = site.ask("mcv_full_admin").header("host", "localhost");
    assert_eq!(list(twice).await.status, 400);
    let whole = site.ask("mcv_full_admin").path("http://evil.example/mcp");
    assert_eq!(list(whole).await.status, 403);
}

#[tokio::test]
async fn a_page_that_may_call_is_told_so_before_it_has_a_token() {
    let lab = Lab::new().await;
    let site = Site::new(&lab, &[]).await;
    let ask = || {
        let ask = Ask::to(site.address).header("access-control-request-method", "POST");
        ask.header("access-control-request-headers", "authorization,content-type,mcp-protocol-version,mcp-param-vm")
    };
    let reply = ask().header("origin", "http://localhost:6274").send("OPTIONS", "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("access-control-allow-origin"), Some("http://localhost:6274"));
    let headers = reply.header("access-control-allow-headers").unwrap();
    assert!(headers.contains("authorization") && headers.contains("mcp-param-vm"), "{headers}");
    for method in ["GET", "POST", "DELETE"] {
        assert!(reply.header("access-control-allow-methods").unwrap().contains(method));
    }
    let foreign = ask().header("origin", "https://evil.example").send("OPTIONS", "").await;
    assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (403, None));
    // The page reads why it was refused.
    let refused = Ask::to(site.address).header("origin", "http://localhost:6274").json(&wire::initialize()).await;
    assert_eq!(refused.status, 401);
    let exposed = refused.header("access-control-expose-headers").unwrap().to_lowercase();
    assert!(exposed.contains("www-authenticate") && exposed.contains("mcp-session-id"), "{exposed}");
}

#[tokio::test]
async fn threat_18_what_is_too_large_or_too_much_is_refused_and_good_users_are_served() {
    let lab = Lab::new().await;
    let site = Site::new(&lab, &[]).await;
    let good = || async {
        let reply = site.ask("mcv_read_only").stateless("tools/list", json!({})).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    };
    let large = json!({ "text": "x".repeat(5 << 20) });
    let reply = site.ask("mcv_read_only").stateless("tools/list", large.clone()).await;
    assert_eq!(reply.status, 413, "{}", reply.body);
    // Without an identity nothing is read.
    assert_eq!(Ask::to(site.address).stateless("tools/list", large).await.status, 401);
    let reply = site.ask(&"x".repeat(64 << 10)).stateless("tools/list", json!({})).await;
    assert_eq!(reply.status, 431, "{}", reply.body);
    let mut many = site.ask("mcv_read_only");
    for _ in 0..150 {
        many = many.header("x-more", "1");
    }
    assert_eq!(many.stateless("tools/list", json!({})).await.status, 431);
    good().await;
    let mut statuses = Vec::new();
    for number in 0..30 {
        let reply = site.ask(&format!("mcv_guess{number}")).stateless("tools/list", json!({})).await;
        if reply.status == 429 {
            assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
        }
        statuses.push(reply.status);
    }
    assert_eq!((statuses[0], statuses[29]), (401, 429), "{statuses:?}");
    good().await;
}

#[tokio::test]
async fn other_methods_and_bodies_are_refused_as_http_has_it() {
    let lab = Lab::new().await;
    let site = Site::new(&lab, &[]).await;
    let ask = || site.ask("mcv_full_admin");
    for (method, status) in [("PUT", 405), ("PATCH", 405), ("HEAD", 405), ("GET", 406), ("DELETE", 400)] {
        assert_eq!(ask().send(method, "").await.status, status, "{method}");
    }
    // A session is of the older lifecycle alone.
    let stateless = ask().header("mcp-protocol-version", "2026-07-28").header("accept", "text/event-stream");
    assert_eq!(stateless.send("GET", "").await.status, 405);
    let both = "application/json, text/event-stream";
    let text = ask().header("accept", both).header("content-type", "text/plain").send("POST", "{}").await;
    assert_eq!(text.status, 415);
    let alone = ask().header("accept", "application/json").header("content-type", "application/json");
    assert_eq!(alone.send("POST", "{}").await.status, 406);
    for body in ["{", "[]", "null", "{\"jsonrpc\":\"2.0\"}"] {
        let reply = ask().header("accept", both).header("content-type", "application/json").send("POST", body).await;
        assert!((400..500).contains(&reply.status), "{body}: {reply:?}");
    }
    // Headers that contradict the body.
    let contradicts = ask().header("mcp-method", "tools/call").header("mcp-protocol-version", "2026-07-28");
    let mut list = wire::request("tools/list", json!({}));
    list["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let reply = contradicts.json(&list).await;
    assert_eq!((reply.status, reply.json()["error"]["code"].clone()), (400, Value::from(-32020)), "{reply:?}");
    assert_eq!(ask().path("/nothing").send("GET", "").await.status, 404);
    let stream = ask().json(&wire::initialize()).await;
    assert_eq!(stream.header("x-accel-buffering"), Some("no"));
}
