//! The official MCP clients, driven by `peers/mcp-client/client.mjs`.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;
use tokio::process::Command;

use crate::{program, run};

/// Which of the two lifecycles of MCP the client speaks; each has an official client of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// `initialize` and a session: up to revision 2025-11-25.
    Older,
    /// Stateless, with `server/discover`: revision 2026-07-28.
    Stateless,
}

/// An official MCP client that runs a server over stdio.
#[derive(Debug, Clone)]
pub struct McpClient {
    lifecycle: Lifecycle,
    environment: Vec<(String, String)>,
}

impl McpClient {
    /// A client of this lifecycle.
    pub fn new(lifecycle: Lifecycle) -> Self {
        Self { lifecycle, environment: Vec::new() }
    }

    /// A setting of the server.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server, makes the calls (an array of `{name, arguments}`) one after the other, and ends it. Answers
    /// `{protocol, server, instructions, tools, results, progress}`.
    ///
    /// # Errors
    /// When the client or the server fails, or a call answers a protocol error; the client's words are in the error.
    pub async fn run(&self, server: &Path, calls: &Value) -> anyhow::Result<Value> {
        let script = program("PEERS_MCP_CLIENT")?.join("client.mjs");
        let lifecycle = match self.lifecycle {
            Lifecycle::Older => "older",
            Lifecycle::Stateless => "2026-07-28",
        };
        let mut command = Command::new(program("PEERS_NODE")?);
        command.arg(script).arg(lifecycle).arg(server).arg(calls.to_string());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let stdout = run(command).await.context("official MCP client")?;
        serde_json::from_slice(&stdout).context("official MCP client: not JSON")
    }
}
