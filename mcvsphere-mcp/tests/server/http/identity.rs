//! Who is let in, with which level, and whose a session is.

use std::{collections::BTreeSet, time::Duration};

use mcvsphere_mcp::Permission;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Ask, LEVELS, Site, call, file, wire};
use crate::{lab::Lab, settings_with};

#[tokio::test]
async fn threat_6_without_a_token_nothing_answers() {
    let lab = Lab::new().await;
    let site = Site::new(&lab, &[]).await;
    for method in ["POST", "GET", "DELETE", "PUT"] {
        let reply = Ask::to(site.address).send(method, "").await;
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")), "{method}");
    }
    let initialize = wire::initialize();
    let with = |value: &str| {
        let ask = Ask::to(site.address).header("authorization", value);
        let message = initialize.clone();
        async move { ask.json(&message).await }
    };
    for none in ["", "Basic bWN2X2Z1bGxfYWRtaW4=", "Bearer", "Bearer ", "mcv_full_admin", "Token mcv_full_admin"] {
        let reply = with(none).await;
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")), "{none:?}");
    }
    for wrong in ["Bearer mcv_full_admi", "Bearer mcv_full_admin2", "Bearer mcv_full_admin mcv_full_admin", "Bearer x"]
    {
        let reply = with(wrong).await;
        let challenge = reply.header("www-authenticate").unwrap();
        assert_eq!(reply.status, 401, "{wrong}");
        assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
        assert_eq!(reply.json()["error"], "invalid_token");
        assert!(!format!("{reply:?}").contains("mcv_full"), "{reply:?}");
    }
    let expired = with("Bearer mcv_expired").await;
    assert_eq!(expired.status, 401);
    assert!(expired.header("www-authenticate").unwrap().contains("expired at 2020-01-01"), "{expired:?}");
    let twice = site.ask("mcv_full_admin").bearer("mcv_full_admin").json(&initialize).await;
    assert_eq!((twice.status, twice.json()["error"].clone()), (400, json!("invalid_request")));
    for right in ["Bearer mcv_full_admin", "bearer mcv_full_admin", "BEARER  mcv_full_admin "] {
        assert_eq!(with(right).await.status, 200, "{right}");
    }
}

#[tokio::test]
async fn a_refused_request_leaves_its_connection_to_the_next_one() {
    let lab = Lab::new().await;
    let site = Site::new(&lab, &[]).await;
    let mut connection = TcpStream::connect(site.address).await.unwrap();
    let body = wire::initialize().to_string();
    let head = |bearer: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n\
             content-length: {}\r\n{bearer}\r\n",
            site.address,
            body.len()
        )
    };
    // As official clients do: the first request learns what token is wanted, and its body comes in a packet of its own.
    for (bearer, status) in
        [("", "401"), ("authorization: Bearer wrong\r\n", "401"), ("authorization: Bearer mcv_full_admin\r\n", "200")]
    {
        connection.write_all(head(bearer).as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        connection.write_all(body.as_bytes()).await.unwrap();
        let mut answer = vec![0; 64 << 10];
        let read = connection.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{bearer:?}: {answer:?}");
    }
}

#[tokio::test]
async fn threat_4_a_token_in_the_query_or_the_form_never_counts_and_is_not_written() {
    let lab = Lab::new().await;
    let audit = file("threat-4.jsonl", "");
    let site = Site::new(&lab, &[("MCP_AUDIT_FILE", audit.to_str().unwrap())]).await;
    for path in ["/mcp?access_token=mcv_full_admin", "/mcp?token=mcv_full_admin", "/mcp/?bearer=mcv_full_admin"] {
        let reply = Ask::to(site.address).path(path).json(&wire::initialize()).await;
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")), "{path}");
    }
    let form = Ask::to(site.address).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(form.send("POST", "access_token=mcv_full_admin").await.status, 401);
    let cookie = Ask::to(site.address).header("cookie", "access_token=mcv_full_admin");
    assert_eq!(cookie.json(&wire::initialize()).await.status, 401);
    // One that is let in by its header is not written either, wherever else it stands.
    let both = site.ask("mcv_full_admin").path("/mcp?access_token=mcv_full_admin");
    assert_eq!(both.stateless("tools/call", json!({ "name": "list_vms", "arguments": {} })).await.status, 200);
    let good = Ask::to(site.address).bearer("mcv_john");
    good.stateless("tools/call", json!({ "name": "list_vms", "arguments": {} })).await;
    let lines = loop {
        let lines = std::fs::read_to_string(&audit).unwrap();
        if lines.contains("\"who\":\"john\"") {
            break lines;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(lines.contains("\"issuer\":\"mcvsphere:tokens\""), "{lines}");
    assert!(!lines.contains("mcv_"), "{lines}");
}

#[tokio::test]
async fn threat_5_a_session_lets_in_who_began_it_alone() {
    let lab = Lab::new().await;
    let site = Site::new(&lab, &[]).await;
    let hers = site.session("mcv_full_admin").await;
    let list = wire::request("tools/list", json!({}));
    let ask = |token, id: &str| site.ask(token).header("mcp-session-id", id);
    let stranger = |id: &str| ask("mcv_john", id);
    let unknown = "00000000-0000-4000-8000-000000000000";
    let (foreign, never) = (stranger(&hers).json(&list).await, stranger(unknown).json(&list).await);
    assert_eq!((foreign.status, &foreign.body), (404, &never.body), "{foreign:?}");
    assert_eq!(never.status, 404);
    let streams = |ask: Ask<'static>| ask.header("accept", "text/event-stream");
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(streams(stranger(&hers)).send("GET", "").await.status, 404);
    assert_eq!(stranger(&hers).send("DELETE", "").await.status, 404);
    assert_eq!(stranger(&hers).json(&initialized).await.status, 404);
    // Nor beside a session of their own.
    let his = site.session("mcv_john").await;
    let both = stranger(&his).header("mcp-session-id", &hers);
    assert_eq!(both.json(&list).await.status, 404);
    // Hers goes on as if nothing had been, until she ends it.
    let own = ask("mcv_full_admin", &hers).json(&list).await;
    assert_eq!(own.status, 200);
    assert!(own.message()["result"]["tools"].as_array().unwrap().len() > 100);
    let ended = ask("mcv_full_admin", &hers).send("DELETE", "").await;
    assert!((200..300).contains(&ended.status), "{ended:?}");
    assert_eq!(ask("mcv_full_admin", &hers).json(&list).await.status, 404);
    assert_eq!(ask("mcv_john", &his).json(&list).await.status, 200);
}

#[tokio::test]
async fn each_level_lists_exactly_what_it_can_call_and_a_refusal_says_what_sets_the_level() {
    let lab = Lab::new().await;
    let site = Site::new(&lab, &[]).await;
    let all = site.client("mcv_full_admin", false).await.list_all_tools().await.unwrap();
    for (token, level) in LEVELS.into_iter().zip(Permission::ALL) {
        let client = site.client(&format!("mcv_{token}"), true).await;
        let listed: BTreeSet<String> =
            client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect();
        for tool in &all {
            let needed = tool.meta.as_ref().unwrap()["mcvsphere/permission"].as_str().unwrap();
            let may = Permission::ALL.iter().any(|other| other.name() == needed && *other <= level);
            assert_eq!(listed.contains(&*tool.name), may, "{level} and {}", tool.name);
            let answer = client.call_tool(call(&tool.name, json!({ "no_such_argument": 1 }))).await.unwrap();
            let answer = answer.structured_content.unwrap();
            assert_eq!(
                answer["code"],
                if may { "invalid_argument" } else { "permission" },
                "{level} and {}",
                tool.name
            );
            if !may {
                let message = answer["message"].as_str().unwrap();
                let why = format!("{token} has {token} (its entry `{token}` of `tokens` in the settings file)");
                assert!(message.contains(&why), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn no_token_may_more_than_the_setting_says() {
    let lab = Lab::new().await;
    let site = Site::new(&lab, &[("MCP_PERMISSION", "power_ops")]).await;
    let client = site.client("mcv_full_admin", true).await;
    let refused = client.call_tool(call("delete_vm", json!({ "vm": "x" }))).await.unwrap();
    let message = refused.structured_content.unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("full_admin has power_ops (MCP_PERMISSION)"), "{message}");
}

#[test]
fn an_entry_that_is_wrong_is_named() {
    for (text, wrong) in [
        ("tokens: {ci: {level: read_only, sha256: hunter2, expires: never}}", "64 hex digits"),
        ("tokens: {ci: {level: read_only}, ci: {level: read_only}}", "`tokens.ci` is set twice"),
        ("tokens: {ci: {level: king}}", "has the entry `ci`, which has a `level`"),
    ] {
        let path = file("wrong.yaml", text);
        let error = std::panic::catch_unwind(|| settings_with(&[("MCVSPHERE_CONFIG", path.to_str().unwrap())]));
        let error = error.err().unwrap();
        let error = error.downcast_ref::<String>().unwrap();
        assert!(error.contains(wrong) && !error.contains("hunter2"), "{error}");
    }
}
