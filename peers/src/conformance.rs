//! The MCP conformance suite.

use std::{fs, path::Path, time::Duration};

use anyhow::Context;
use serde_json::Value;
use tokio::process::Command;

use crate::{program, run_within};

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

/// Each check that failed, as `scenario:check why`.
fn failures(results: &Path) -> anyhow::Result<Vec<String>> {
    let mut failures = Vec::new();
    for scenario in fs::read_dir(results).context("the suite left no results")? {
        let scenario = scenario?.path();
        let checks: Value = serde_json::from_slice(&fs::read(scenario.join("checks.json"))?)?;
        let name = scenario.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let failed = checks.as_array().into_iter().flatten().filter(|check| check["status"] == "FAILURE");
        failures.extend(failed.map(|check| format!("{name}:{} {}", check["id"], check["errorMessage"])));
    }
    failures.sort();
    Ok(failures)
}
