//! Each example, run as a process against the simulated vCenter.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use vsphere_ops::{Client, Config, managed::VirtualMachine};
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
async fn migrate() {
    let sim = lab().await;
    let host = "esx-05.corp.example";
    // Its processor has features that the lab's lack.
    let text = run(&sim, env!("CARGO_BIN_EXE_migrate"), &["web-01", "--host", host]).await;
    has(&text, &["Error: ", "cpuid.amx_tile", "EVC", "possible: false"]);
    let text = run(&sim, env!("CARGO_BIN_EXE_migrate"), &["web-04", "--host", host, "--check"]).await;
    has(&text, &["Hard disk 1 goes from nvme-02 to ", "possible: true"]);
    assert_eq!(sim.calls("RelocateVM_Task"), 0);
    let there = ["web-04", "--host", host, "--datastore", "lab-ssd"];
    has(&run(&sim, env!("CARGO_BIN_EXE_migrate"), &there).await, &["to lab-ssd", "it is on esx-05.corp.example now"]);
    has(&run(&sim, env!("CARGO_BIN_EXE_migrate"), &there).await, &["it is there already"]);
}

#[tokio::test]
async fn inventory() {
    has(&run(&lab().await, env!("CARGO_BIN_EXE_inventory"), &["/fra1/vm/prod/**"]).await, &["pg-01", "web-01"]);
}

#[tokio::test]
async fn guest_run() {
    let sim = lab().await;
    let run = |line: &str| {
        let mut command = command(&sim, env!("CARGO_BIN_EXE_guest_run"), &["web-01", line]);
        command.env("GUEST_USER", Model::LINUX_USER).env("GUEST_PASSWORD", Model::GUEST_PASSWORD);
        async move { timeout(PATIENCE, command.output()).await.unwrap().unwrap() }
    };
    let output = run("hostname; echo bad >&2; exit 3").await;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "web-01.corp.example\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "bad\n");
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

#[tokio::test]
async fn a_package_is_exported_and_deployed() {
    let sim = lab().await;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("ovf-{}", std::process::id()));
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let text = run(&sim, env!("CARGO_BIN_EXE_ovf_export"), &["web-04", &path("")]).await;
    has(&text, &["web-04.ovf, web-04.mf", "web-04-disk-1.vmdk", "web-04-nvram-1.nvram"]);
    let place = ["prod-web", "/fra1/host/prod-cluster/Resources"];
    let deploy = [&path("web-04.ovf"), "web-05b", place[0], place[1]];
    let text = run(&sim, env!("CARGO_BIN_EXE_ovf_deploy"), &deploy).await;
    has(&text, &["web-05b", "bytes in"]);
    has(&run(&sim, env!("CARGO_BIN_EXE_list_vms"), &["web-05b"]).await, &["poweredOff"]);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A descriptor with one disk, whose content is in `big.vmdk`.
fn big_descriptor(bytes: u64) -> String {
    include_str!("../src/one_disk.ovf").replace("{file}", "big.vmdk").replace("{bytes}", &bytes.to_string())
}

/// Writes a disk for streaming by its first bytes, and for the rest what can't be packed.
fn big_disk(path: &std::path::Path, bytes: u64) {
    use std::io::Write as _;
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut head = vec![0; 512];
    head[..9].copy_from_slice(b"KDMV\x03\0\0\0\x01");
    (head[10], head[14], head[77]) = (3, 32, 1);
    file.write_all(&head).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..(bytes - 512) / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes()).unwrap();
    }
    file.into_inner().unwrap().flush().unwrap();
}

/// Runs an example to its end; the most memory that it had at a time, in KiB.
async fn peak(sim: &Sim, program: &str, args: &[&str]) -> u64 {
    let mut child = command(sim, program, args).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id().unwrap());
    let mut most = 0;
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{program}: {ended}");
            return most;
        }
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        most = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(most).max(most);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs 2 GB of disk: cargo xtask peers"]
async fn peers_a_large_disk_goes_up_and_comes_back_in_little_memory() {
    const BYTES: u64 = 512 << 20;
    let sim = Sim::start(Model::sized(vsphere_sim::Size { vms: 0, ..vsphere_sim::Size::default() })).await.unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("big-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("back")).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("big.ovf"), big_descriptor(BYTES)).unwrap();
    big_disk(&folder.join("big.vmdk"), BYTES);
    let up = peak(&sim, env!("CARGO_BIN_EXE_ovf_deploy"), &[&path("big.ovf"), "big"]).await;
    let down = peak(&sim, env!("CARGO_BIN_EXE_ovf_export"), &["big", &path("back")]).await;
    println!("{} MiB up, {} MiB down", up / 1024, down / 1024);
    assert!((1..64 << 10).contains(&up) && (1..64 << 10).contains(&down), "{up} KiB up, {down} KiB down");
    let sum = |name: &str| {
        let output = std::process::Command::new("sha256sum").arg(folder.join(name)).output().unwrap();
        String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
    };
    let (sent, back) = (sum("big.vmdk"), sum("back/big-disk-1.vmdk"));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(sent.len() == 64 && sent == back, "{sent} {back}");
}

#[tokio::test]
async fn tags() {
    let sim = lab().await;
    let program = env!("CARGO_BIN_EXE_tags");
    let text = run(&sim, program, &[]).await;
    has(&text, &["Compliance:pci-dss\tpg-01 pg-02\n", "Backup:none\t\n"]);
    has(
        &run(&sim, program, &["Compliance:pci-dss", "web-01", "pg-01"]).await,
        &["web-01\ttagged", "pg-01\thas it already"],
    );
    let refused = command(&sim, program, &["Environment:test", "web-01"]).output().await.unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && words.contains("it has Environment:prod"), "{words}");
    assert_eq!(sim.automation_sessions(), 0);
}

#[tokio::test]
async fn a_disk_goes_through_a_lease_and_back_without_a_file() {
    let sim = lab().await;
    let program = env!("CARGO_BIN_EXE_lease_stream");
    let place = ["up", "stream-1", "/fra1/host/prod-cluster/Resources", "nvme-01"];
    let sent = run(&sim, program, &[&place[..], &["3", "7"]].concat()).await;
    assert_eq!(run(&sim, program, &["down", "stream-1"]).await, sent);
    let made = std::process::Command::new(program).args(["make", "3", "7"]).output().unwrap();
    assert_eq!((made.stdout.len(), &made.stdout[..4]), (3_000_000, &b"KDMV"[..]));
    assert!(sent.trim().len() == 64, "{sent}");
}

#[tokio::test]
async fn datastore_browse() {
    let sim = lab().await;
    let program = env!("CARGO_BIN_EXE_datastore_browse");
    has(&run(&sim, program, &["nvme-01", "web-01"]).await, &["[nvme-01] web-01/web-01.vmx", "Disk"]);
    let orphans = run(&sim, program, &["iso-library", "--orphaned"]).await;
    assert_eq!(orphans.lines().count(), 5, "{orphans}");
}

#[tokio::test]
async fn screenshot() {
    let sim = lab().await;
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("screen-{}.png", std::process::id()));
    let text = run(&sim, env!("CARGO_BIN_EXE_screenshot"), &["web-01", file.to_str().unwrap(), "root"]).await;
    has(&text, &["web-01: 720 x 400 pixels"]);
    assert!(std::fs::read(&file).unwrap().starts_with(b"\x89PNG"));
    std::fs::remove_file(&file).unwrap();
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

#[tokio::test]
async fn tasks() {
    let sim = Sim::start(Model::demo().pace(0.1)).await.unwrap();
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
    let vm = client.get::<VirtualMachine>("web-04").await.unwrap();
    let started = vm.clone_to("copy").start().await.unwrap();
    let (id, program) = (started.reference().value.as_str(), env!("CARGO_BIN_EXE_tasks"));
    has(&run(&sim, program, &["wait", id]).await, &["VirtualMachine.clone is success"]);
    has(&run(&sim, program, &[]).await, &[id, "VirtualMachine.clone web-04"]);
    has(&run(&sim, program, &["cancel", id]).await, &["VirtualMachine.clone: HadEnded"]);
}

#[tokio::test]
async fn maintenance() {
    let (sim, program) = (lab().await, env!("CARGO_BIN_EXE_maintenance"));
    let host = "esx-01.corp.example";
    has(&run(&sim, program, &["enter", host, "60"]).await, &["DRS Moves", "is in maintenance mode"]);
    has(&run(&sim, program, &["exit", host]).await, &["takes VMs again"]);
    // The lab's DRS only recommends.
    let text = run(&sim, program, &["enter", "esx-05.corp.example", "1"]).await;
    has(&text, &["in the way: ", "DRS only recommends its move", "still in the way"]);
}
