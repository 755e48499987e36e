//! The official MCP clients, driven by `peers/mcp-client/client.mjs` and `peers/mcp-client-py/client.py`.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;
use tokio::process::Command;

use crate::{program, python, run};

/// Which of the two lifecycles of MCP the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// `initialize` and a session: up to revision 2025-11-25.
    Older,
    /// Stateless, with `server/discover`: revision 2026-07-28.
    Stateless,
}

/// What the client is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// JavaScript: each lifecycle has an official client of its own.
    JavaScript,
    /// Python: the official client speaks both.
    Python,
}

/// An official MCP client that runs a server over stdio.
#[derive(Debug, Clone)]
pub struct McpClient {
    language: Language,
    lifecycle: Lifecycle,
    environment: Vec<(String, String)>,
}

impl McpClient {
    /// A client of this lifecycle, in JavaScript.
    pub fn new(lifecycle: Lifecycle) -> Self {
        Self { language: Language::JavaScript, lifecycle, environment: Vec::new() }
    }

    /// Takes the client in another language.
    #[must_use]
    pub fn written_in(mut self, language: Language) -> Self {
        self.language = language;
        self
    }

    /// A setting of the server.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Does the steps with a server that listens at this URL, with this bearer token. The answer is that of [`McpClient::run`].
    ///
    /// # Errors
    /// As [`McpClient::run`].
    pub async fn run_at(&self, url: &str, token: &str, steps: &Value) -> anyhow::Result<Value> {
        self.clone().setting("PEERS_TOKEN", token).run(Path::new(url), steps).await
    }

    /// Starts the server, does the steps (an array; `client.mjs` says of what) one after the other, and ends it. Answers
    /// `{protocol, server, instructions, tools, results, progress, questions}`, with a result a step.
    ///
    /// # Errors
    /// When the client or the server fails, or a call answers a protocol error; the client's words are in the error.
    pub async fn run(&self, server: &Path, steps: &Value) -> anyhow::Result<Value> {
        let mut command = match self.language {
            Language::JavaScript => {
                let mut command = Command::new(program("PEERS_NODE")?);
                command.arg(program("PEERS_MCP_CLIENT")?.join("client.mjs"));
                command
            }
            Language::Python => python("PEERS_MCP_CLIENT_PY", "client.py")?,
        };
        let lifecycle = match self.lifecycle {
            Lifecycle::Older => "older",
            Lifecycle::Stateless => "2026-07-28",
        };
        command.arg(lifecycle).arg(server).arg(steps.to_string());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let stdout = run(command).await.context("official MCP client")?;
        serde_json::from_slice(&stdout).context("official MCP client: not JSON")
    }
}

/// Starts a provider of identities and `server`, and logs these users in with an official client: each a name with the groups that it
/// is in. In the mode `proxy` they log in through the server, in `direct` at the provider. Answers for each user the tools that
/// they see, or how the login was refused.
///
/// # Errors
/// When the provider, the server or the client fails; their words are in the error.
pub async fn logins(mode: &str, server: &Path, users: &Value) -> anyhow::Result<Value> {
    let mut command = Command::new(program("PEERS_NODE")?);
    command.arg(program("PEERS_MCP_CLIENT")?.join("login.mjs"));
    command.arg(mode).arg(server).arg(users.to_string());
    let stdout = run(command).await.context("logins")?;
    serde_json::from_slice(&stdout).context("logins: not JSON")
}
