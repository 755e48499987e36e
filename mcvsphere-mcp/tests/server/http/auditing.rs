//! What is written of who did what: here, and in the logs of vSphere.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use mcvsphere_mcp::{Server, http::HttpServer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};
use vsphere_sim::{Model, Sim};

use super::{Ask, TOKENS, file};
use crate::settings_with;

/// Passes on what is sent to this address, and keeps it.
async fn listen_in(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let hears = Arc::clone(&hears);
            tokio::spawn(async move {
                let server = TcpStream::connect(to).await.unwrap();
                let ((mut from, mut back), (mut answers, mut on)) = (client.into_split(), server.into_split());
                tokio::spawn(async move { copy(&mut answers, &mut back).await });
                let mut bytes = [0; 8192];
                while let Ok(count @ 1..) = from.read(&mut bytes).await {
                    hears.lock().unwrap().extend_from_slice(&bytes[..count]);
                    on.write_all(&bytes[..count]).await.unwrap();
                }
            });
        }
    });
    (address, heard)
}

/// The line of the audit that fits, once it is written.
async fn line(file: &std::path::Path, fits: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..2000 {
        let text = std::fs::read_to_string(file).unwrap();
        let found = text.lines().filter_map(|line| serde_json::from_str(line).ok()).find(|line| fits(line));
        if let Some(line) = found {
            return line;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no such line in {}", file.display());
}

#[tokio::test]
async fn vsphere_and_the_audit_are_told_who_calls_by_one_id() {
    let sim = Sim::listen_plain(Model::demo(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, heard) = listen_in(sim.address()).await;
    let host = format!("http://{address}");
    let (audit, tokens) = (file("operation.jsonl", ""), file("operation.yaml", TOKENS));
    let settings = settings_with(&[
        ("VCENTER_HOST", &host),
        ("VCENTER_USER", Model::USER),
        ("VCENTER_PASSWORD", Model::PASSWORD),
        ("MCP_PORT", "0"),
        ("MCP_AUDIT", audit.to_str().unwrap()),
        ("MCVSPHERE_CONFIG", tokens.to_str().unwrap()),
        ("MCP_TRUSTED_PROXIES", "127.0.0.0/8"),
    ]);
    let server = HttpServer::bind(Server::new(&settings).unwrap(), &settings).await.unwrap();
    let site = server.address();
    let serving = tokio::spawn(server.serve(std::future::pending()));
    let call = json!({ "name": "list_vms", "arguments": {} });
    let ask = Ask::to(site).bearer("mcv_john").header("x-forwarded-for", "203.0.113.5, 198.51.100.7");
    let reply = ask.stateless("tools/call", call).await;
    assert!(reply.message()["result"]["structuredContent"]["items"][0]["name"].is_string(), "{reply:?}");
    let written = line(&audit, |line| line["tool"] == "list_vms").await;
    assert_eq!((&written["who"], &written["level"]), (&json!("john"), &json!("full_admin")));
    assert_eq!((&written["remote"], &written["groups"]), (&json!("198.51.100.7"), &json!([])));
    let id = written["operation_id"].as_str().unwrap();
    let trace = written["trace_id"].as_str().unwrap();
    assert_eq!(id, format!("mcv-{}-john", &trace[..8]));
    let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    let header = format!("<soapenv:Header><operationID>{id}</operationID></soapenv:Header><soapenv:Body><Retrieve");
    assert!(heard.contains(&header), "{header} was not sent");

    assert_eq!(Ask::to(site).bearer("mcv_guess").stateless("tools/list", json!({})).await.status, 401);
    let refused = line(&audit, |line| line["event"] == "bearer_refused").await;
    assert_eq!((&refused["reason"], &refused["remote"]), (&json!("the token is not known"), &json!("127.0.0.1")));
    assert!(!refused.to_string().contains("guess"));
    serving.abort();
}
