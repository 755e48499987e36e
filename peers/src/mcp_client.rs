//! The official MCP clients, driven by the scripts in `peers/mcp-client` and `peers/mcp-client-py`.

use std::{path::Path, time::Duration};

use anyhow::Context;
use serde_json::Value;
use tokio::process::Command;

use crate::{node, program, python, run, run_within};

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

    /// A setting of the server, or of the script that drives the client.
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
        let mut command = self.script("client")?;
        command.arg(server).arg(steps.to_string());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let stdout = run(command).await.context("official MCP client")?;
        serde_json::from_slice(&stdout).context("official MCP client: not JSON")
    }

    /// Logs a user in at a server that listens at this URL, with the id of a client where it need not register. Answers what the
    /// user may do there, or how the login was refused: `login.mjs` says in which form.
    ///
    /// # Errors
    /// When the client or its browser fails; their words are in the error.
    pub async fn log_in(&self, url: &str, user: &str, client: Option<&str>) -> anyhow::Result<Value> {
        let mut command = self.script("login")?;
        command.args([url, user]).args(client);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let stdout = run(command).await.context("login with the official MCP client")?;
        serde_json::from_slice(&stdout).context("login with the official MCP client: not JSON")
    }

    /// One of the scripts that there are in both languages.
    fn script(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = match self.language {
            Language::JavaScript => node(&format!("{name}.mjs"))?,
            Language::Python => python("PEERS_MCP_CLIENT_PY", &format!("{name}.py"))?,
        };
        command.arg(match self.lifecycle {
            Lifecycle::Older => "older",
            Lifecycle::Stateless => "2026-07-28",
        });
        Ok(command)
    }
}

/// Looks at the pages of a login at a server with this URL, in Chromium, and pictures them in a folder where one is given. Answers
/// what was looked at.
///
/// # Errors
/// A page is not as it must be: `pages.mjs` says how.
pub async fn look_at_logins(base: &str, pictures: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let mut command = node("pages.mjs")?;
    command.arg(base).args(pictures).env("PEERS_CHROMIUM", program("PEERS_CHROMIUM")?);
    let stdout = run_within(Duration::from_secs(300), command).await.context("pages of logins in Chromium")?;
    serde_json::from_slice(&stdout).context("pages of logins in Chromium: not JSON")
}
