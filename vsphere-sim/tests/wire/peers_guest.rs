//! Stock govc and pyVmomi in the guests of the simulated server.

use std::path::Path;

use peers::{govc, govc_run, govc_text};
use serde_json::json;
use vsphere_sim::{Model, Sim};

fn url(sim: &Sim) -> String {
    let user = Model::USER.replace('@', "%40");
    sim.url().replace("://", &format!("://{user}:{}@", Model::PASSWORD.replace('!', "%21")))
}

/// A folder that goes away with the test.
struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs govc: cargo xtask peers"]
async fn peers_guest_govc_runs_programs_and_moves_files() {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let url = &url(&sim);
    let login = format!("{}:{}", Model::LINUX_USER, Model::GUEST_PASSWORD);
    let vm = ["-vm", "web-01", "-l", &login];
    let text = async |verb: &str, rest: &[&str]| govc_text(url, &[&[verb], &vm[..], rest].concat()).await;
    let run = async |verb: &str, rest: &[&str]| govc_run(url, &[&[verb], &vm[..], rest].concat()).await;

    assert_eq!(text("guest.run", &["hostname"]).await.unwrap(), "web-01.corp.example\n");
    assert_eq!(text("guest.run", &["-e", "A=it is", "echo", "$A"]).await.unwrap(), "it is\n");
    let failed = format!("{:#}", run("guest.run", &["exit", "3"]).await.unwrap_err());
    assert!(failed.contains('3'), "{failed}");

    let pid = text("guest.start", &["/bin/sleep", "600"]).await.unwrap();
    let pid = pid.trim();
    assert!(text("guest.ps", &["-p", pid]).await.unwrap().contains("sleep"));
    assert!(text("guest.ps", &["-e"]).await.unwrap().contains("nginx"));
    run("guest.kill", &["-p", pid]).await.unwrap();
    let ended = govc(url, &[&["guest.ps"], &vm[..], &["-p", pid, "-X"]].concat()).await.unwrap();
    assert_eq!(ended["processInfo"][0]["exitCode"], 137, "{ended}");

    let made = text("guest.mktemp", &["-t", "gov"]).await.unwrap();
    let made = made.trim();
    assert!(made.starts_with("/tmp/gov"), "{made}");
    run("guest.rm", &[made]).await.unwrap();
    run("guest.mkdir", &["-p", "/srv/gov/deep"]).await.unwrap();
    // It sends an empty file, which servers do not take either.
    let empty = format!("{:#}", run("guest.touch", &["/srv/gov/touched"]).await.unwrap_err());
    assert!(empty.contains("500"), "{empty}");
    assert!(text("guest.ls", &["/srv/gov"]).await.unwrap().contains("deep"));

    let scratch = Scratch(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("govc-guest-{}", std::process::id())));
    std::fs::create_dir_all(&scratch.0).unwrap();
    let (there, back) = (scratch.0.join("there"), scratch.0.join("back"));
    let content: Vec<u8> = (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(&there, &content).unwrap();
    run("guest.upload", &["-perm", "0600", there.to_str().unwrap(), "/srv/gov/file"]).await.unwrap();
    run("guest.download", &["/srv/gov/file", back.to_str().unwrap()]).await.unwrap();
    assert!(std::fs::read(&back).unwrap() == content);
    let again = format!("{:#}", run("guest.upload", &[there.to_str().unwrap(), "/srv/gov/file"]).await.unwrap_err());
    assert!(again.contains("exists"), "{again}");
    run("guest.touch", &["/srv/gov/file"]).await.unwrap();
    run("guest.chmod", &["0644", "/srv/gov/file"]).await.unwrap();
    run("guest.mv", &["/srv/gov/file", "/srv/gov/moved"]).await.unwrap();
    run("guest.rmdir", &["-r", "/srv/gov"]).await.unwrap();
    assert!(text("guest.getenv", &["HOME"]).await.unwrap().contains("HOME=/root"));

    let refused = govc_run(url, &["guest.ls", "-vm", "web-01", "-l", "root:wrong", "/"]).await.unwrap_err();
    assert!(format!("{refused:#}").contains("Failed to authenticate"), "{refused:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs govc: cargo xtask peers"]
async fn peers_guest_govc_runs_programs_of_windows() {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let url = &url(&sim);
    let login = format!("{}:{}", Model::WINDOWS_USER, Model::GUEST_PASSWORD);
    let ran = govc_text(url, &["guest.run", "-vm", "dc-01", "-l", &login, "hostname"]).await.unwrap();
    assert_eq!(ran.trim(), "DC-01.CORP.EXAMPLE");
    let listed = govc_text(url, &["guest.ls", "-vm", "dc-01", "-l", &login, "C:\\Users"]).await.unwrap();
    assert!(listed.contains("Administrator"), "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pyVmomi: cargo xtask peers"]
async fn peers_guest_pyvmomi_does_what_its_samples_do() {
    let sim = Sim::start(Model::demo().pace(0.05)).await.unwrap();
    let login = [("GUEST_USER", Model::LINUX_USER), ("GUEST_PASSWORD", Model::GUEST_PASSWORD)];
    let address = sim.address().to_string();
    let told = peers::pyvmomi_with("guest.py", &address, Model::USER, Model::PASSWORD, &login).await.unwrap();
    assert_eq!(
        told,
        json!({
            "tools": "toolsOk",
            "exit_code": 4,
            "upload": 200,
            "download": "by pyVmomi\n",
            "attributes": ["vim.vm.guest.FileManager.PosixFileAttributes", 0o640, 11],
            "output": "web-01.corp.example\n",
            "listing": [[".", "directory"], ["..", "directory"], ["py.txt", "file"]],
            "environment": ["HOME=/root"],
            "running": true,
            "faults": ["vim.fault.InvalidGuestLogin", "vim.fault.FileNotFound", "vim.fault.FileAlreadyExists", "vim.fault.GuestProcessNotFound"],
        })
    );
    assert_eq!(sim.sessions(), 0, "the script has logged out");
}
