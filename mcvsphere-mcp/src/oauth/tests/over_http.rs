//! Logins where they are used: through the HTTP transport, with everything that stands before it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::*;
use crate::{
    Server, SettingArgs, Settings,
    http::{HttpServer, Remote},
};

async fn world(more: &[(&str, &str)]) -> World {
    let mut world = World::new(|_| {}).await;
    serve(&mut world, more).await;
    world
}

/// Starts the server of this world, in place of one that runs.
async fn serve(world: &mut World, more: &[(&str, &str)]) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    world.now.store(now, Ordering::Relaxed);
    let issuer = world.idp.issuer.clone();
    let set = [
        ("MCP_TRANSPORT", "streamable-http"),
        ("MCP_PORT", "0"),
        ("OAUTH_ENABLED", "true"),
        ("OAUTH_ISSUER_URL", issuer.as_str()),
        ("OAUTH_CLIENT_ID", Idp::CLIENT),
        ("OAUTH_CLIENT_SECRET", Idp::SECRET),
        ("OAUTH_BASE_URL", BASE),
    ];
    let set = [&set[..], more].concat();
    let value = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let settings = Settings::new(&SettingArgs::default(), value).unwrap();
    let server = HttpServer::bind(Server::new(&settings).unwrap(), &settings).await.unwrap();
    world.whole = Some(server.router());
}

pub(super) async fn call(world: &World, path: &str, bearer: Option<&str>, method: &str, params: Value) -> Answer {
    call_with(world, path, bearer, method, params, json!({})).await
}

/// The call of a client that can do this.
pub(super) async fn call_with(
    world: &World,
    path: &str,
    bearer: Option<&str>,
    method: &str,
    mut params: Value,
    can: Value,
) -> Answer {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": can,
    });
    let mut request =
        Request::post(path).header(header::CONTENT_TYPE, "application/json").header(header::HOST, "mcp.example");
    request = request.header(header::ACCEPT, "application/json, text/event-stream");
    request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
    if let Some(name) = params["name"].as_str().or_else(|| params["uri"].as_str()) {
        request = request.header("mcp-name", name);
    }
    if let Some(bearer) = bearer {
        request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
    }
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    world.send(request.body(message.to_string().into()).unwrap()).await
}

#[tokio::test]
async fn a_user_who_has_logged_in_sees_and_calls_what_their_group_allows() {
    let world = world(&[]).await;
    let answer = call(&world, "/mcp", None, "tools/list", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
    let challenge = answer.header(header::WWW_AUTHENTICATE);
    assert!(
        challenge.contains(&format!("resource_metadata=\"{BASE}/.well-known/oauth-protected-resource/mcp\"")),
        "{challenge}"
    );
    let client = Client::register(&world, Client::REDIRECT).await;
    let tokens = client.log_in(&world).await;
    let bearer = tokens["access_token"].as_str().unwrap();

    let list = call(&world, "/mcp", Some(bearer), "tools/list", json!({})).await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.text);
    assert!(list.text.contains("\"power_on_vm\"") && !list.text.contains("\"delete_vm\""), "{}", list.text);
    let params = json!({ "name": "delete_vm", "arguments": { "vm": "web-1" } });
    let refused = call(&world, "/mcp", Some(bearer), "tools/call", params).await;
    assert!(
        refused.text.contains("vm_lifecycle") && refused.text.contains("the group vsphere-operators"),
        "{}",
        refused.text
    );

    // An expired or foreign token is a 401, by which the client refreshes or logs in again; and its place is the header alone.
    for (path, bearer) in [("/mcp", Some("mcv_access_AAAA")), (format!("/mcp?access_token={bearer}").as_str(), None)] {
        let answer = call(&world, path, bearer, "tools/list", json!({})).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let refresh = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(call(&world, "/mcp", Some(refresh), "tools/list", json!({})).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(client.refresh(&world, refresh).await.status, StatusCode::OK);
}

/// Threat 21: whatever the groups are, what is listed is what the highest level among them covers.
#[tokio::test]
async fn threat_21_what_is_listed_follows_from_the_highest_group() {
    let world = world(&[]).await;
    let client = Client::register(&world, Client::REDIRECT).await;
    // One tool of each level, the lowest first.
    let tools = ["list_vms", "power_on_vm", "create_vm", "reboot_host", "run_command_in_guest"];
    let groups =
        ["vsphere-viewers", "vsphere-operators", "vsphere-admins", "vsphere-host-admins", "vsphere-super-admins"];
    for (highest, group) in groups.iter().enumerate() {
        world.idp.set().groups = json!({ "groups": [group, "vsphere-readers", "unknown"] });
        let tokens = client.log_in(&world).await;
        let list = call(&world, "/mcp", tokens["access_token"].as_str(), "tools/list", json!({})).await;
        for (level, tool) in tools.iter().enumerate() {
            assert_eq!(list.text.contains(&format!("\"name\":\"{tool}\"")), level <= highest, "{group} {tool}");
        }
    }
}

#[tokio::test]
async fn threat_17_no_header_changes_an_address_and_a_foreign_host_gets_none() {
    let world = world(&[]).await;
    let get = |host: &str| {
        let request = Request::get("/.well-known/oauth-authorization-server").header(header::HOST, host);
        request
            .header("x-forwarded-host", "evil.example")
            .header("x-forwarded-proto", "http")
            .body(Body::empty())
            .unwrap()
    };
    assert_eq!(world.send(get("mcp.example")).await.json()["token_endpoint"], format!("{BASE}/token"));
    assert_eq!(world.send(get("evil.example")).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn threat_18_a_flood_of_one_address_is_refused_and_others_are_served() {
    let world = world(&[]).await;
    let ask = |path: &str, address: &str| {
        let mut request = Request::post(path).body(Body::from("{}")).unwrap();
        request.extensions_mut().insert(Remote { address: address.parse().unwrap() });
        world.send(request)
    };
    let mut refused = 0;
    for number in 0..300 {
        let path = ["/register", "/token", "/revoke"][number % 3];
        refused += usize::from(ask(path, "192.0.2.1").await.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused > 0);
    assert_eq!(ask("/register", "192.0.2.2").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn threat_7_who_has_no_level_reads_completes_follows_and_lists_nothing() {
    let mut world = world(&[]).await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let tokens = client.log_in(&world).await;
    let bearer = tokens["access_token"].as_str().unwrap();
    let list = call(&world, "/mcp", Some(bearer), "tools/list", json!({})).await;
    assert!(list.text.contains("\"power_on_vm\""), "{}", list.text);
    // The token counts, and the group gives nothing any more.
    serve(&mut world, &[("OAUTH_GROUP_MAP", "others=full_admin")]).await;
    for (method, field) in [
        ("tools/list", "tools"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
        ("prompts/list", "prompts"),
    ] {
        let answer = call(&world, "/mcp", Some(bearer), method, json!({})).await.message();
        assert_eq!(answer["result"][field], json!([]), "{method}: {answer}");
    }
    let argument = json!({ "name": "vm", "value": "" });
    for (method, params) in [
        ("tools/call", json!({ "name": "list_vms", "arguments": {} })),
        ("resources/read", json!({ "uri": "esxi://vms" })),
        ("resources/read", json!({ "uri": "datastore://nvme" })),
        ("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": ["esxi://vms"] } })),
        ("prompts/get", json!({ "name": "health-check" })),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/prompt", "name": "health-check" }, "argument": argument }),
        ),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/resource", "uri": "datastore://{datastore}" }, "argument": argument }),
        ),
    ] {
        let answer = call(&world, "/mcp", Some(bearer), method, params).await;
        let message = answer.message();
        let refused = !message["error"].is_null() || message["result"]["isError"] == true;
        // vSphere, which is not set up here, is not even looked for.
        assert!(refused && !answer.text.contains("VCENTER_HOST"), "{method}: {} {}", answer.status, answer.text);
    }
}
