//! A tour: an MCP client starts this program as its server, with an embedded vCenter, and shows what goes over the wire.

use std::{
    io,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation, JsonObject},
    service::RunningService,
};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};
use vsphere_sim::Model;

/// How long the server may take to end when its client has gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the tour. `say` prints a line.
///
/// # Errors
/// The server can't be started, or a call fails.
pub(crate) async fn run(say: impl Fn(&str) -> io::Result<()>) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("the path of this program is not known")?;
    let mut server = Command::new(program)
        .args(["--sim", "--log-level", "error"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Its audit lines would stand between ours.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("the server can't be started")?;
    let pipes = server.stdout.take().zip(server.stdin.take()).context("the server has no pipes")?;
    let name = Implementation::new("mcvsphere-demo", env!("CARGO_PKG_VERSION"));
    let started = Instant::now();
    let client = ClientConfig::new(ClientCapabilities::default(), name).serve(pipes).await?;
    let tour = Tour { client, say };
    tour.introduce(started)?;
    tour.tools().await?;
    tour.call("get_vcenter_info", json!({})).await?;
    tour.call("list_hosts", json!({ "fields": ["name", "connection_state", "cpu_cores", "memory_mb"] })).await?;
    let machines = tour
        .call("list_vms", json!({ "limit": 5, "fields": ["name", "power_state", "cpu", "memory_mb", "host", "ip"] }))
        .await?;
    let on = machines["items"].as_array().and_then(|all| all.iter().find(|vm| vm["power_state"] == "powered_on"));
    if let Some(name) = on.and_then(|vm| vm["name"].as_str()) {
        tour.call("get_vm_info", json!({ "vm": name })).await?;
        tour.picture("vm_screenshot", json!({ "vm": name, "width": 360 })).await?;
        // This client can't ask a user: it is told what would be lost, and given a token to go on with.
        let plan = tour.call("power_off_vm", json!({ "vm": name })).await?;
        tour.call("power_off_vm", json!({ "vm": name, "confirm": plan["plan_token"] })).await?;
        tour.call("power_on_vm", json!({ "vm": name })).await?;
        tour.call("power_on_vm", json!({ "vm": name })).await?;
    }
    // So does this one, and shows what would be run where. The guest itself is not asked before.
    let mut command = json!({
        "vm": "web-01",
        "username": Model::LINUX_USER,
        "password": Model::GUEST_PASSWORD,
        "command": "uname -a && uptime && systemctl is-active nginx",
    });
    let plan = tour.call("run_command_in_guest", command.clone()).await?;
    command["confirm"] = plan["plan_token"].clone();
    tour.call("run_command_in_guest", command).await?;
    (tour.say)("That was a simulated vCenter. `mcvsphere setup` connects your own, and your assistant.")?;
    tour.client.cancel().await?;
    // It ends with its standard input, and is killed where it does not.
    let _ = timeout(PATIENCE, server.wait()).await;
    Ok(())
}

struct Tour<S> {
    client: RunningService<RoleClient, ClientConfig>,
    say: S,
}

impl<S: Fn(&str) -> io::Result<()>> Tour<S> {
    fn introduce(&self, started: Instant) -> anyhow::Result<()> {
        let peer = self.client.peer_info().context("the server did not introduce itself")?;
        let info = peer.server_info.as_ref().context("the server did not say who it is")?;
        let took = started.elapsed().as_millis();
        (self.say)(&format!(
            "> initialize\n{} {}, MCP {} ({took} ms)\n",
            info.name, info.version, peer.protocol_version
        ))?;
        Ok(())
    }

    async fn tools(&self) -> anyhow::Result<()> {
        let tools = self.client.list_all_tools().await?;
        let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
        (self.say)(&format!("> tools/list\n{} tools: {}\n", names.len(), names.join(", ")))?;
        Ok(())
    }

    /// Calls a tool that answers with a picture, and says how large that is: a terminal shows none.
    async fn picture(&self, tool: &str, arguments: Value) -> anyhow::Result<()> {
        let given: JsonObject = arguments.as_object().cloned().unwrap_or_default();
        let result = self.client.call_tool(CallToolRequestParams::new(tool.to_owned()).with_arguments(given)).await?;
        let texts = result.content.iter().filter_map(|block| block.as_text()).map(|block| block.text.as_str());
        let text = texts.collect::<Vec<_>>().join("\n");
        let images = result.content.iter().filter_map(|block| block.as_image());
        let images: Vec<_> =
            images.map(|image| format!("[{}, {} characters of base64]", image.mime_type, image.data.len())).collect();
        (self.say)(&format!("> tools/call {tool} {arguments}\n{}\n{text}\n", images.join("\n")))?;
        match result.is_error {
            Some(true) => Err(anyhow!("{tool} failed: {text}")),
            _ => Ok(()),
        }
    }

    /// Calls a tool, shows question and answer, and gives the answer's data.
    async fn call(&self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        let started = Instant::now();
        let given: JsonObject = arguments.as_object().cloned().unwrap_or_default();
        let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(given);
        let result = self.client.call_tool(request).await?;
        let took = started.elapsed().as_millis();
        let texts = result.content.iter().filter_map(|block| block.as_text());
        let text = texts.map(|block| block.text.as_str()).collect::<Vec<_>>().join("\n");
        (self.say)(&format!("> tools/call {tool} {arguments} ({took} ms)\n{text}\n"))?;
        if result.is_error == Some(true) {
            return Err(anyhow!("{tool} failed: {text}"));
        }
        Ok(result.structured_content.unwrap_or_default())
    }
}
