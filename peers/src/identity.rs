//! Providers of identities that others wrote, with users whose groups a test gives.

use std::{fmt, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::{free_port, program, python, run};

/// How long a provider may take to start: one runs on Java.
const PATIENCE: Duration = Duration::from_secs(600);

/// The most bytes that are kept of what a provider says.
const LONGEST: usize = 64 << 10;

/// A provider of identities (OIDC) on a free loopback port; it ends when this value is dropped.
pub struct IdentityProvider {
    issuer: String,
    secret: &'static str,
    scopes: &'static str,
    said: Arc<Mutex<Vec<u8>>>,
    // It is told to end by the end of its standard input: it cannot outlive a test that is itself killed.
    child: Child,
}

impl fmt::Debug for IdentityProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityProvider").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl IdentityProvider {
    /// The client that every provider knows as the server.
    pub const CLIENT: &str = "mcvsphere";

    /// A secret with characters that are encoded where it is sent.
    const SECRET: &str = "a client secret of the peers: 100 % long enough & +";
    /// One for providers that do not decode it, which the specification asks of them.
    const PLAIN_SECRET: &str = "a-client-secret-of-the-peers~long_enough.";

    /// Starts oidc-provider, which is written in JavaScript. `base` is the URL of the server that users log in at, and `users` an
    /// object with the groups of each. The clients `direct` and `opaque` may get tokens for the server from the provider
    /// itself, which alone can read those of the latter.
    ///
    /// # Errors
    /// It cannot be started, or does not answer; its words are in the error.
    pub async fn oidc_provider(base: &str, users: &Value) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = ended_with_its_input(&program("PEERS_NODE")?.display().to_string());
        command.arg(program("PEERS_MCP_CLIENT")?.join("provider.mjs"));
        command.arg(port.to_string()).arg(base).arg(users.to_string());
        Self::start(command, format!("http://127.0.0.1:{port}"), Self::SECRET, "openid profile email").await
    }

    /// Starts canaille, which is written in Python, likewise. It has no client `direct`.
    ///
    /// # Errors
    /// As [`Self::oidc_provider`].
    pub async fn canaille(base: &str, users: &Value) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = ended_with_its_input("python3");
        let script = python("PEERS_CANAILLE", "serve.py")?;
        command.args(script.as_std().get_args()).arg(port.to_string()).arg(base).arg(users.to_string());
        command.envs(script.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::start(command, format!("http://127.0.0.1:{port}"), Self::PLAIN_SECRET, "openid profile email groups")
            .await
    }

    /// Starts Keycloak, which is written in Java, for servers at these URLs, likewise.
    ///
    /// # Errors
    /// As [`Self::oidc_provider`].
    pub async fn keycloak(bases: &[&str], users: &Value) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = ended_with_its_input(&program("PEERS_KEYCLOAK")?.display().to_string());
        command.args(["start", "--optimized", "--cache=local", "--http-enabled=true", "--hostname-strict=false"]);
        command.args(["--http-host=127.0.0.1", &format!("--http-port={port}")]);
        command.env("KC_BOOTSTRAP_ADMIN_USERNAME", "admin").env("KC_BOOTSTRAP_ADMIN_PASSWORD", Self::SECRET);
        let url = format!("http://127.0.0.1:{port}");
        let master = format!("{url}/realms/master");
        let mut provider = Self::start(command, master, Self::SECRET, "openid profile email").await?;
        provider.administer(&["make", &json!(bases).to_string(), &users.to_string()]).await?;
        provider.issuer = format!("{url}/realms/peers");
        Ok(provider)
    }

    /// Has `keycloak.mjs` do something in Keycloak.
    async fn administer(&self, what: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new("sh");
        command.args(["-c", &self.administration(what)?]);
        command.env("PEERS_SECRET", self.secret);
        run(command).await.map(drop).context("administer Keycloak")
    }

    /// The command for a shell that does so; it needs PEERS_SECRET.
    ///
    /// # Errors
    /// Keycloak is not installed.
    pub fn administration(&self, what: &[&str]) -> anyhow::Result<String> {
        let (url, _) = self.issuer.split_once("/realms/").context("it is no Keycloak")?;
        let script = program("PEERS_MCP_CLIENT")?.join("keycloak.mjs");
        let (node, script) = (program("PEERS_NODE")?.display().to_string(), script.display().to_string());
        let words = [node.as_str(), &script, url].into_iter().chain(what.iter().copied());
        Ok(words.map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "))
    }

    async fn start(
        mut command: Command,
        issuer: String,
        secret: &'static str,
        scopes: &'static str,
    ) -> anyhow::Result<Self> {
        command.env("PEERS_SECRET", secret);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("start a provider of identities")?;
        let mut stdout = child.stdout.take().context("the provider has no output")?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let words = Arc::clone(&said);
        tokio::spawn(async move {
            let mut some = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut some).await {
                let mut words = words.lock().await;
                words.extend_from_slice(&some[..read]);
                let surplus = words.len().saturating_sub(LONGEST);
                words.drain(..surplus);
            }
        });
        let mut provider = Self { issuer, secret, scopes, said, child };
        provider.until_it_answers().await?;
        Ok(provider)
    }

    /// Where its metadata is, as the server has to be told.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The secret of [`Self::CLIENT`].
    pub fn secret(&self) -> &'static str {
        self.secret
    }

    /// The scopes by which it tells the groups of a user.
    pub fn scopes(&self) -> &'static str {
        self.scopes
    }

    /// The last of what it has written.
    pub async fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().await).into_owned()
    }

    async fn until_it_answers(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        let path = "/.well-known/openid-configuration";
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                bail!("the provider of identities has ended ({status}): {}", self.said().await);
            }
            if status_of(&format!("{}{path}", self.issuer)).await.is_ok_and(|status| status == "200") {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("the provider of identities does not answer: {}", self.said().await)
    }
}

/// A program that is told to end when its standard input does. What it says comes out as one.
fn ended_with_its_input(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#""$@" 2>&1 </dev/null & read -r _; kill $!"#, "sh", program]);
    command
}

/// The status of an answer to GET.
async fn status_of(url: &str) -> anyhow::Result<String> {
    let rest = url.strip_prefix("http://").context("no plain HTTP")?;
    let (authority, path) = rest.split_once('/').context("no path")?;
    let mut stream = TcpStream::connect(authority).await?;
    let request = format!("GET /{path} HTTP/1.0\r\nHost: {authority}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_whitespace().nth(1).unwrap_or_default().to_owned())
}
