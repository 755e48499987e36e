//! Stock govc and pyVmomi at the console and the files of simulated machines.

use std::path::PathBuf;

use peers::{govc_run, govc_text};
use serde_json::json;
use vsphere_sim::{Model, Sim};

use crate::support::Lab;

/// A local file that goes away with the test.
struct Picture(PathBuf);

impl Picture {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("vsphere-sim-{name}-{}.png", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap()
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_sees_the_screen_and_types() {
    let lab = Lab::new(Model::demo()).await;
    let url = &lab.govc_url();
    let (before, after) = (Picture::new("before"), Picture::new("after"));
    govc_run(url, &["vm.console", "-capture", before.path(), "web-01"]).await.unwrap();
    assert!(before.content().starts_with(b"\x89PNG\r\n\x1a\n"));
    govc_run(url, &["vm.keystrokes", "-vm", "web-01", "-s", "root"]).await.unwrap();
    govc_run(url, &["vm.keystrokes", "-vm", "web-01", "-c", "KEY_ENTER"]).await.unwrap();
    govc_run(url, &["vm.console", "-capture", after.path(), "web-01"]).await.unwrap();
    assert!(after.content().starts_with(b"\x89PNG\r\n\x1a\n") && after.content() != before.content());
    // It is off.
    let off = Picture::new("off");
    govc_run(url, &["vm.console", "-capture", off.path(), "web-04"]).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_answers_a_question() {
    let lab = Lab::new(Model::demo()).await;
    let url = &lab.govc_url();
    lab.sim.ask("web-01", "The disk is full.", &[("0", "Retry"), ("1", "Cancel")]).unwrap();
    let words = govc_text(url, &["vm.question", "-vm", "web-01"]).await.unwrap();
    assert!(words.contains("The disk is full.") && words.contains("1) Cancel"), "{words}");
    govc_run(url, &["vm.question", "-vm", "web-01", "-answer", "1"]).await.unwrap();
    assert_eq!(lab.sim.calls("AnswerVM"), 1);
    let words = govc_text(url, &["vm.question", "-vm", "web-01"]).await.unwrap();
    assert!(!words.contains("The disk is full."), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pyVmomi: cargo xtask peers"]
async fn peers_pyvmomi_moves_files_and_takes_a_screenshot() {
    let sim = Sim::start(Model::demo().pace(0.05)).await.unwrap();
    let address = sim.address().to_string();
    let story = peers::pyvmomi("files_and_screen.py", &address, Model::USER, Model::PASSWORD).await.unwrap();
    assert_eq!(
        story,
        json!({
            "browse": { "folders": ["linux", "tools", "windows"], "images": 5, "newest": true },
            "upload": { "status": 201, "size": 100_000, "same": true },
            "folders": { "again": "vim.fault.FileAlreadyExists", "moved": ["b.bin"], "left": [] },
            "screen": { "png": true, "width": 360, "height": 200 },
            "file": { "png": true, "left": 0 },
            "keys": 3,
        })
    );
    assert_eq!(sim.sessions(), 0, "the script has logged out");
}
