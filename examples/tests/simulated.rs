//! Each example, run as a process against the simulated vCenter.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use vsphere_sim::{Model, Sim};

/// How long an example may take.
const PATIENCE: Duration = Duration::from_secs(60);

async fn lab() -> Sim {
    Sim::start(Model::demo()).await.unwrap()
}

fn command(sim: &Sim, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env("VCENTER_HOST", sim.address().to_string());
    command.env("VCENTER_USER", Model::USER).env("VCENTER_PASSWORD", Model::PASSWORD);
    command.env("VCENTER_THUMBPRINT", sim.thumbprint().unwrap().to_string());
    command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// What an example prints.
async fn run(sim: &Sim, program: &str, args: &[&str]) -> String {
    let output = timeout(PATIENCE, command(sim, program, args).output()).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{program}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn has(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted:?} is not in:\n{text}");
    }
}

#[tokio::test]
async fn list_vms() {
    let text = run(&lab().await, env!("CARGO_BIN_EXE_list_vms"), &["web-*"]).await;
    has(&text, &["web-01", "web-04", "poweredOn", "poweredOff"]);
    assert!(!text.contains("app-01"));
}

#[tokio::test]
async fn power_on() {
    let sim = lab().await;
    run(&sim, env!("CARGO_BIN_EXE_power_on"), &["web-04", "test-bob"]).await;
    assert_eq!(sim.calls("PowerOnVM_Task"), 2);
    has(&run(&sim, env!("CARGO_BIN_EXE_list_vms"), &["web-04"]).await, &["poweredOn"]);
}

#[tokio::test]
async fn inventory() {
    has(&run(&lab().await, env!("CARGO_BIN_EXE_inventory"), &["/fra1/vm/prod/**"]).await, &["pg-01", "web-01"]);
}

#[tokio::test]
async fn vm_totals() {
    assert!(run(&lab().await, env!("CARGO_BIN_EXE_vm_totals"), &[]).await.starts_with("43 "));
}

#[tokio::test]
async fn files_go_up_and_come_back() {
    let sim = lab().await;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (there, back) = (folder.join("there"), folder.join("back"));
    std::fs::write(&there, vec![7; 3_000_000]).unwrap();
    let upload = ["iso-library", "tools/seven.bin", there.to_str().unwrap()];
    run(&sim, env!("CARGO_BIN_EXE_datastore_upload"), &upload).await;
    let download = ["iso-library", "tools/seven.bin", back.to_str().unwrap()];
    run(&sim, env!("CARGO_BIN_EXE_datastore_download"), &download).await;
    assert!(std::fs::read(&there).unwrap() == std::fs::read(&back).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Starts an example that goes on until it is ended, and waits for a line of it with this text.
async fn first_line_with(sim: &Sim, program: &str, args: &[&str], wanted: &str) -> String {
    let mut child = command(sim, program, args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(wanted) {
                return line;
            }
        }
        panic!("{program} ended without {wanted:?}")
    };
    timeout(PATIENCE, found).await.unwrap()
}

#[tokio::test]
async fn watch() {
    first_line_with(&lab().await, env!("CARGO_BIN_EXE_watch"), &[], "web-01").await;
}

#[tokio::test]
async fn events() {
    first_line_with(&lab().await, env!("CARGO_BIN_EXE_events"), &[], "lab-ssd").await;
}

#[tokio::test]
async fn performance() {
    let text = run(&lab().await, env!("CARGO_BIN_EXE_performance"), &["cpu.usage.average"]).await;
    has(&text, &["cpu.usage.average", "esx-01.corp.example"]);
}

#[tokio::test]
async fn task_progress() {
    let sim = Sim::start(Model::demo().pace(0.1)).await.unwrap();
    let text = run(&sim, env!("CARGO_BIN_EXE_task_progress"), &["web-0*"]).await;
    has(&text, &["%"]);
}
