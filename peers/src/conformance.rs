//! The MCP conformance suite.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::{free_port, node, program, run_within};

/// How long the whole suite may take: some of its scenarios wait for what must not come.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs what a revision of MCP, such as `2026-07-28`, requires of a server, over HTTP. The results go into the folder
/// `results`, which must be empty.
///
/// `expected` is a YAML file of the checks that are expected to fail. One that does not fail is an error too.
///
/// # Errors
/// When the suite cannot be started or takes more than five minutes, and when its results are not the expected ones; all
/// checks that failed are in the error.
pub async fn conformance(url: &str, revision: &str, expected: &Path, results: &Path) -> anyhow::Result<()> {
    let suite = program("PEERS_MCP_CLIENT")?.join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let mut command = Command::new(program("PEERS_NODE")?);
    command.arg(suite).args(["server", "--url", url, "--requirements", revision]);
    command.arg("--expected-failures").arg(expected).arg("--output-dir").arg(results);
    match run_within(PATIENCE, command).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let failures = failures(results)?.join("\n");
            Err(error.context(format!("MCP conformance suite, {revision}: what failed:\n{failures}")))
        }
    }
}

/// Runs what the suite requires of an authorization server, which logs this user in. The results go into the folder `results`,
/// which must be empty. Answers how many checks were made.
///
/// # Errors
/// As [`conformance`], and when a check was left out.
pub async fn conformance_of_logins(issuer: &str, resource: &str, user: &str, results: &Path) -> anyhow::Result<usize> {
    let mut command = node("authorization.mjs")?;
    command.args([issuer, resource, user, &free_port()?.to_string()]).arg(results);
    let ran = run_within(PATIENCE, command).await;
    let unhappy = checks(results, |status| status != "SUCCESS")?.join("\n");
    ran.with_context(|| format!("MCP conformance suite, authorization: what failed:\n{unhappy}"))?;
    ensure!(unhappy.is_empty(), "MCP conformance suite, authorization: what did not succeed:\n{unhappy}");
    Ok(checks(results, |_| true)?.len())
}

/// Each check that failed, as `scenario:check why`.
fn failures(results: &Path) -> anyhow::Result<Vec<String>> {
    checks(results, |status| status == "FAILURE")
}

/// Each check with such a status, likewise.
fn checks(results: &Path, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for scenario in fs::read_dir(results).context("the suite left no results")? {
        let scenario = scenario?.path();
        let checks: Value = serde_json::from_slice(&fs::read(scenario.join("checks.json"))?)?;
        let name = scenario.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let all = checks.as_array().into_iter().flatten();
        let these = all.filter(|check| check["status"].as_str().is_some_and(&wanted));
        found.extend(these.map(|check| format!("{name}:{} {}", check["id"], check["errorMessage"])));
    }
    found.sort();
    Ok(found)
}
