//! How the server ends.

use std::time::Duration;

use serde_json::json;
use tokio::{net::TcpStream, time::timeout};
use vsphere_sim::Trouble;

use super::{Site, TOKENS, call, file};
use crate::lab::Lab;

/// How long a busy machine may take for what is not measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a call runs.
async fn await_a_call(site: &Site) {
    loop {
        let metrics = site.ask("mcv_read_only").path("/metrics").send("GET", "").await;
        if metrics.body.contains("mcvsphere_calls_running 1\n") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_call_that_runs_is_answered_before_the_end() {
    for stateless in [false, true] {
        let lab = Lab::new().await;
        lab.machine("web-1").await;
        let mut site = Site::new(&lab, &[("MCP_STOP_TIMEOUT", "60")]).await;
        let client = site.client("mcv_full_admin", stateless).await;
        lab.sim.trouble(Trouble::none().latency(Duration::from_millis(300)));
        let listing = tokio::spawn(async move { client.call_tool(call("list_vms", json!({}))).await });
        await_a_call(&site).await;
        site.tell_to_stop();
        let answer = listing.await.unwrap().unwrap();
        assert_eq!(answer.structured_content.unwrap()["items"][0]["name"], "web-1");
        let address = site.address;
        timeout(PATIENCE, site.ended()).await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
        assert_eq!(lab.sim.sessions(), 1, "that of the lab");
    }
}

#[tokio::test]
async fn a_call_that_runs_for_too_long_is_given_up() {
    let lab = Lab::new().await;
    let mut site = Site::new(&lab, &[("MCP_STOP_TIMEOUT", "1")]).await;
    let client = site.client("mcv_full_admin", true).await;
    lab.sim.trouble(Trouble::none().latency(Duration::from_secs(600)));
    let listing = tokio::spawn(async move { client.call_tool(call("list_vms", json!({}))).await });
    await_a_call(&site).await;
    site.tell_to_stop();
    timeout(PATIENCE, site.ended()).await.unwrap();
    listing.abort();
}

#[tokio::test]
async fn streams_without_an_end_do_not_hold_up_the_end() {
    let lab = Lab::new().await;
    let mut site = Site::new(&lab, &[]).await;
    let id = site.session("mcv_full_admin").await;
    let stream = site.ask("mcv_full_admin").header("mcp-session-id", &id).header("accept", "text/event-stream");
    let stream = tokio::spawn(stream.send("GET", ""));
    let metrics = site.ask("mcv_full_admin").path("/metrics").send("GET", "").await;
    assert!(metrics.body.contains("mcvsphere_sessions 1\n"), "{}", metrics.body);
    site.tell_to_stop();
    timeout(PATIENCE, site.ended()).await.unwrap();
    let _ = timeout(PATIENCE, stream).await.unwrap();
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let lab = Lab::new().await;
    let tokens = file("tokens-of-streams.yaml", TOKENS);
    let site = Site::open(&lab, &[("MCVSPHERE_CONFIG", tokens.to_str().unwrap())]).await;
    let id = site.session("mcv_john").await;
    let stream = site.ask("mcv_john").header("mcp-session-id", &id).header("accept", "text/event-stream");
    let stream = tokio::spawn(stream.send("GET", ""));
    let others = site.session("mcv_full_admin").await;
    let other = site.ask("mcv_full_admin").header("mcp-session-id", &others).header("accept", "text/event-stream");
    let other = tokio::spawn(other.send("GET", ""));
    let without: String =
        TOKENS.lines().filter(|line| !line.contains("john")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&tokens, without).unwrap();
    let reply = timeout(PATIENCE, stream).await.unwrap().unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(site.ask("mcv_john").json(&super::wire::initialize()).await.status, 401);
    assert!(!other.is_finished());
    assert_eq!(site.ask("mcv_full_admin").json(&super::wire::initialize()).await.status, 200);
    other.abort();
}
