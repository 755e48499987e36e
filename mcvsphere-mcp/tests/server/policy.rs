//! The policy: for each of many rule sets, nothing of a VM that is denied is in any answer, and nothing is done to one.

mod acting;
mod model;
mod rules;

use std::path::PathBuf;

use mcvsphere_mcp::{Caller, Permission, Server};
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation},
    service::RunningService,
};
use serde_json::{Value, json};
use vsphere_sim::Model;

use crate::{lab::Lab, settings_with};
use model::{Rule, World};

type Client = RunningService<RoleClient, ClientConfig>;

/// Where VMs can be and run, which these rules allow.
const PLACES: [&str; 3] = ["/fra1/host/**", "/fra1/datastore/**", "/fra1/network/**"];

/// The demo world behind a server with this policy, and what it holds.
struct Site {
    lab: Lab,
    server: Server,
    world: World,
}

impl Site {
    async fn new(policy: &str) -> Self {
        let lab = Lab::of(Model::demo().pace(0.0)).await;
        let file = file(policy);
        let settings = [("MCP_CONFIRM", "never"), ("MCVSPHERE_CONFIG", file.to_str().unwrap())];
        let server = Server::new(&settings_with(&settings).simulated(&lab.sim)).unwrap();
        std::fs::remove_file(file).unwrap();
        let world = World::read(&lab.client).await;
        Self { lab, server, world }
    }

    /// A client of somebody in this group.
    async fn member(&self, group: &str) -> Client {
        let caller =
            Caller::remote("https://login.example", group).in_groups([group]).with_level(Permission::FullAdmin);
        self.client(caller).await
    }

    async fn client(&self, caller: Caller) -> Client {
        let (ours, theirs) = tokio::io::duplex(1 << 22);
        let server = self.server.clone();
        tokio::spawn(async move { server.serve(caller, theirs).await.unwrap().waiting().await });
        let info = ClientConfig::new(ClientCapabilities::default(), Implementation::new("test", "1"));
        info.serve(ours).await.unwrap()
    }
}

/// A file of settings of this test run.
fn file(text: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};

    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("policy-{}-{number}.yaml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

/// The policy of these rules.
fn policy(rules: &[Rule]) -> String {
    let mut text = "policy:\n".to_owned();
    for (number, rule) in rules.iter().enumerate() {
        let effect = if rule.allows { "allow" } else { "deny" };
        text += &format!("  rule-{number}:\n    effect: {effect}\n    groups: [{}]\n", rule.group);
        text += &format!("    objects: {}\n", json!(rule.objects));
    }
    text
}

/// What a tool answers: its content, or its error with `true`.
async fn call(client: &Client, tool: &str, arguments: Value) -> (Value, bool) {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
    let result = client.call_tool(request).await.unwrap();
    let failed = result.is_error == Some(true);
    // Pictures aside, the text is all that a model sees.
    let content = result.structured_content.clone().unwrap_or_else(|| json!(result.content));
    (content, failed)
}

async fn good(client: &Client, tool: &str, arguments: Value) -> Value {
    let (content, failed) = call(client, tool, arguments.clone()).await;
    assert!(!failed, "{tool} {arguments}: {content}");
    content
}

async fn refused(client: &Client, tool: &str, arguments: Value, code: &str) -> String {
    let (content, failed) = call(client, tool, arguments.clone()).await;
    assert!(failed, "{tool} {arguments}: {content}");
    assert_eq!(content["code"], code, "{tool} {arguments}: {content}");
    content["message"].as_str().unwrap().to_owned()
}
