//! Programs of others that watch and manage a vCenter.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::{process::Command, time::timeout};

use crate::{json_answer, program, python, run_within, told};

/// How long a program may take that has much to do.
const LONG: Duration = Duration::from_secs(600);

/// Runs a script of `peers/monitoring` against a server (`127.0.0.1:8989`) over TLS and returns its JSON answer.
///
/// # Errors
/// When the script cannot be started, takes more than ten minutes, fails (its words are in the error) or answers no JSON.
pub async fn monitoring(script: &str, address: &str, user: &str, password: &str) -> anyhow::Result<Value> {
    let mut command = python("PEERS_MONITORING", script)?;
    told(&mut command, address, user, password);
    json_answer(command, LONG, script).await
}

/// Runs a script of `peers/rbvmomi` likewise, with these variables in its environment.
///
/// # Errors
/// As [`monitoring`].
pub async fn rbvmomi(
    script: &str,
    address: &str,
    user: &str,
    password: &str,
    environment: &[(&str, &str)],
) -> anyhow::Result<Value> {
    let mut command = Command::new("ruby");
    command.arg(program("PEERS_RBVMOMI")?.join(script)).envs(environment.iter().copied());
    told(&mut command, address, user, password);
    json_answer(command, LONG, script).await
}

/// Runs a playbook of Ansible with these variables and this environment. The answer is what each task came to: its name, and
/// `ok`, `changed` or `skipping`.
///
/// # Errors
/// When Ansible cannot be started or takes more than ten minutes, or when a task fails: its words are in the error.
pub async fn ansible(
    playbook: &Path,
    variables: &[(&str, &str)],
    environment: &[(&str, &str)],
) -> anyhow::Result<Vec<(String, String)>> {
    let mut command = Command::new(program("PEERS_ANSIBLE")?);
    command.arg(playbook).args(variables.iter().flat_map(|(name, value)| ["-e".to_owned(), format!("{name}={value}")]));
    command.envs(environment.iter().copied());
    command.env("ANSIBLE_NOCOLOR", "1").env("ANSIBLE_LOCALHOST_WARNING", "false");
    command.env("ANSIBLE_DEPRECATION_WARNINGS", "false").env("PYTHONWARNINGS", "ignore");
    // These would count for more than what the modules are told of certificates.
    command.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = timeout(LONG, command.output()).await.context("Ansible does not end")??;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(outcomes(&said))
}

/// The folder with the playbooks.
///
/// # Errors
/// When this runs without `cargo xtask peers`.
pub fn playbooks() -> anyhow::Result<std::path::PathBuf> {
    program("PEERS_PLAYBOOKS")
}

/// Runs a program that writes no JSON, such as a suite of tests, in a folder; what it says.
///
/// # Errors
/// When it cannot be started, takes more than ten minutes or fails; its words are in the error.
pub async fn in_folder(folder: &Path, line: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<String> {
    let (name, args) = line.split_first().context("run what?")?;
    let mut command = Command::new(name);
    command.args(args).current_dir(folder).envs(environment.iter().copied());
    let stdout = run_within(LONG, command).await.with_context(|| line.join(" "))?;
    Ok(String::from_utf8(stdout)?)
}

fn outcomes(said: &str) -> Vec<(String, String)> {
    let mut task = None;
    let mut found = Vec::new();
    for line in said.lines() {
        if let Some(named) = line.strip_prefix("TASK [") {
            task = named.split(']').next().map(str::to_owned);
        } else if let Some((outcome, _)) = line.split_once(": [localhost]")
            && let Some(task) = task.take()
        {
            found.push((task, outcome.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::outcomes;

    #[test]
    fn each_task_has_its_outcome() {
        let said = "PLAY [x] ***\n\nTASK [A VM] ***\nchanged: [localhost]\n\nTASK [Again] ***\nok: [localhost] => {}\n";
        let told = outcomes(said);
        assert_eq!(told, [("A VM".to_owned(), "changed".to_owned()), ("Again".to_owned(), "ok".to_owned())]);
    }
}
