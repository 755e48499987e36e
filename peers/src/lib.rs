//! Real servers and clients for the tests that `cargo xtask peers` runs.
//!
//! Such a test has a name that starts with `peers_` and the attribute
//! `#[ignore = "needs vcsim: cargo xtask peers"]`, so that plain `cargo test` needs Rust alone. The programs are named
//! by the environment variables that `cargo xtask peers` sets. Whatever a test starts here ends with it.

mod conformance;
mod identity;
mod mcp_client;
mod proxy;
mod suites;
mod vcsim;

pub use conformance::{conformance, conformance_of_logins};
pub use identity::IdentityProvider;
pub use mcp_client::{Language, Lifecycle, McpClient, look_at_logins};
pub use proxy::CountingProxy;
pub use suites::{ansible, in_folder, monitoring, playbooks, rbvmomi};
pub use vcsim::Vcsim;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::{process::Command, time::timeout};

/// How long a peer may take for one answer before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `govc` against a server's SDK URL and returns its JSON answer.
///
/// # Errors
/// When govc cannot be started, takes more than a minute, fails (its words are in the error) or answers no JSON.
pub async fn govc(url: &str, args: &[&str]) -> anyhow::Result<Value> {
    let stdout = govc_output(url, args, &["-json"]).await?;
    serde_json::from_slice(&stdout).with_context(|| format!("govc {}: not JSON", args.join(" ")))
}

/// Runs `govc` for its effect alone: verbs such as `folder.create` have nothing to say in JSON.
///
/// # Errors
/// When govc cannot be started, takes more than a minute or fails; its words are in the error.
pub async fn govc_run(url: &str, args: &[&str]) -> anyhow::Result<()> {
    govc_output(url, args, &[]).await.map(drop)
}

/// Runs `govc` and returns what it prints for people.
///
/// # Errors
/// As [`govc_run`], and when it is no text.
pub async fn govc_text(url: &str, args: &[&str]) -> anyhow::Result<String> {
    Ok(String::from_utf8(govc_output(url, args, &[]).await?)?)
}

async fn govc_output(url: &str, args: &[&str], flags: &[&str]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new(program("PEERS_GOVC")?);
    // A flag counts only between the verb and what it is about.
    let (verb, rest) = args.split_first().context("govc what?")?;
    command.arg(verb).args(flags).args(rest);
    command.env("GOVC_URL", url).env("GOVC_INSECURE", "1");
    // A session kept on disk would outlive the server that gave it.
    command.env("GOVC_PERSIST_SESSION", "false");
    run(command).await.with_context(|| format!("govc {}", args.join(" ")))
}

/// Runs a script of `peers/pyvmomi` against a server (`127.0.0.1:8989`) over TLS and returns its JSON answer.
///
/// # Errors
/// When the script cannot be started, takes more than a minute, fails (its words are in the error) or answers no JSON.
pub async fn pyvmomi(script: &str, address: &str, user: &str, password: &str) -> anyhow::Result<Value> {
    pyvmomi_with(script, address, user, password, &[]).await
}

/// The same, with these variables in the script's environment.
///
/// # Errors
/// As [`pyvmomi`].
pub async fn pyvmomi_with(
    script: &str,
    address: &str,
    user: &str,
    password: &str,
    environment: &[(&str, &str)],
) -> anyhow::Result<Value> {
    python_answer("PEERS_PYVMOMI", script, address, user, password, environment).await
}

/// Runs a script of `peers/automation-sdk`, on the vSphere Automation SDK for Python, likewise.
///
/// # Errors
/// As [`pyvmomi`].
pub async fn automation_sdk(
    script: &str,
    address: &str,
    user: &str,
    password: &str,
    environment: &[(&str, &str)],
) -> anyhow::Result<Value> {
    python_answer("PEERS_AUTOMATION_SDK", script, address, user, password, environment).await
}

/// The JSON answer of a script that is told a server by its environment.
async fn python_answer(
    folder: &str,
    script: &str,
    address: &str,
    user: &str,
    password: &str,
    environment: &[(&str, &str)],
) -> anyhow::Result<Value> {
    let mut command = python(folder, script)?;
    command.envs(environment.iter().copied());
    told(&mut command, address, user, password);
    json_answer(command, PATIENCE, script).await
}

/// The JSON that a program says, which may take so long.
async fn json_answer(command: Command, patience: Duration, script: &str) -> anyhow::Result<Value> {
    let stdout = run_within(patience, command).await.context(script.to_owned())?;
    serde_json::from_slice(&stdout).with_context(|| format!("{script}: not JSON"))
}

/// Tells a program of a server by its environment.
fn told(command: &mut Command, address: &str, user: &str, password: &str) {
    command.env("VCENTER_HOST", address).env("VCENTER_USER", user).env("VCENTER_PASSWORD", password);
    command.env("VCENTER_INSECURE", "true");
}

/// Runs the program that an environment variable of `cargo xtask peers` names, and returns what it says.
///
/// # Errors
/// When it cannot be started, takes more than a minute or fails; its words are in the error.
pub async fn tool(variable: &str, args: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(program(variable)?);
    command.args(args);
    let stdout = run(command).await.with_context(|| format!("{variable} {}", args.join(" ")))?;
    Ok(String::from_utf8(stdout)?)
}

/// Checks the manifests of Kubernetes in a folder: `check.py` says how, and what the answer is.
///
/// # Errors
/// When one is wrong; what is wrong is in the error.
pub async fn manifests(folder: &Path) -> anyhow::Result<Value> {
    let mut command = python("PEERS_MANIFESTS", "check.py")?;
    command.arg(folder);
    let stdout = run(command).await.context("manifests of Kubernetes")?;
    serde_json::from_slice(&stdout).context("manifests of Kubernetes: not JSON")
}

/// A port of this computer that nothing listens at.
///
/// # Errors
/// There is none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A script of `peers/mcp-client`.
fn node(script: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(program("PEERS_NODE")?);
    command.arg(program("PEERS_MCP_CLIENT")?.join(script));
    Ok(command)
}

/// A Python script in the folder that an environment variable names; the one with `_MODULES` names what it imports.
fn python(folder: &str, script: &str) -> anyhow::Result<Command> {
    let mut command = Command::new("python3");
    command.arg(program(folder)?.join(script)).env("PYTHONPATH", program(&format!("{folder}_MODULES"))?);
    Ok(command)
}

/// The program that an environment variable of `cargo xtask peers` names.
fn program(variable: &str) -> anyhow::Result<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set: run this test with `cargo xtask peers`"))
}

/// Runs a program to its end and returns what it printed.
async fn run(command: Command) -> anyhow::Result<Vec<u8>> {
    run_within(PATIENCE, command).await
}

/// Runs a program that may take longer.
async fn run_within(patience: Duration, mut command: Command) -> anyhow::Result<Vec<u8>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let ended = timeout(patience, command.output()).await;
    let output = ended.with_context(|| format!("no end within {} s", patience.as_secs()))??;
    ensure!(
        output.status.success(),
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
