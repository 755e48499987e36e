//! The official MCP clients over HTTP, with a bearer token.

use mcvsphere_mcp::{Server, SettingArgs, Settings, http::HttpServer};
use peers::{Language, Lifecycle, McpClient};
use serde_json::json;
use vsphere_sim::{Model, Sim};

use super::good;

const TOKEN: &str = "mcv_power_ops";

#[tokio::test]
#[ignore = "needs the official MCP clients: cargo xtask peers"]
async fn peers_over_http_with_a_token_in_both_lifecycles_and_languages() {
    let sim = Sim::start(Model::demo().pace(0.05)).await.unwrap();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers-http.yaml");
    let entry = "tokens: {ci: {level: power_ops, expires: never, \
                 sha256: 4981b3627de5bea3f23ede9859a46be99225f02dc059a35ec830433c74444ef6}}";
    std::fs::write(&file, entry).unwrap();
    let settings = Settings::new(&SettingArgs::default(), |name| match name {
        "MCVSPHERE_CONFIG" => Some(file.to_str().unwrap()),
        "MCP_PORT" => Some("0"),
        "MCP_CONFIRM" => Some("never"),
        _ => None,
    });
    let settings = settings.unwrap().simulated(&sim);
    let server = HttpServer::bind(Server::new(&settings).unwrap(), &settings).await.unwrap();
    let url = server.url().to_owned();
    let serving = tokio::spawn(server.serve(std::future::pending()));
    let steps = json!([
        { "name": "list_vms", "arguments": { "limit": 1 } },
        { "name": "suspend_vm", "arguments": { "vm": "web-01" } },
        { "name": "power_on_vm", "arguments": { "vm": "web-01" } },
        { "read": "esxi://hosts" },
        { "name": "delete_vm", "arguments": { "vm": "web-01" } },
    ]);
    for language in [Language::JavaScript, Language::Python] {
        for (lifecycle, protocol) in [(Lifecycle::Older, "2025-11-25"), (Lifecycle::Stateless, "2026-07-28")] {
            let client = McpClient::new(lifecycle).written_in(language);
            let report = client.run_at(&url, TOKEN, &steps).await.unwrap();
            assert_eq!(report["protocol"], protocol, "{language:?}");
            let tools = report["tools"].as_array().unwrap();
            assert!(tools.iter().any(|tool| tool["name"] == "suspend_vm"));
            assert!(!tools.iter().any(|tool| tool["name"] == "delete_vm"), "the token may not call it");
            let results = report["results"].as_array().unwrap();
            assert_eq!(good(&results[0])["returned"], 1);
            for change in &results[1..3] {
                assert_eq!(good(change)["results"][0]["changed"], true, "{change:#}");
            }
            assert!(results[3]["contents"][0]["text"].is_string());
            assert_eq!(results[4]["structuredContent"]["code"], "permission");
            let refused = client.run_at(&url, "mcv_wrong", &json!([])).await;
            assert!(refused.is_err(), "{language:?} {lifecycle:?}");
        }
    }
    serving.abort();
}
