//! What the measurements against vcsim share: the server, and the examples that speak to it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

/// Builds an example for release; answers where it is.
pub(super) fn example(name: &str) -> anyhow::Result<PathBuf> {
    program("examples", name)
}

/// Builds a program of a package for release; answers where it is.
pub(super) fn program(package: &str, name: &str) -> anyhow::Result<PathBuf> {
    let mut cargo = crate::cargo();
    cargo.args(["build", "--release", "--package", package, "--bin", name]);
    ensure!(cargo.status()?.success(), "{name} does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::workspace("target"), PathBuf::from);
    Ok(target.join("release").join(name))
}

/// A vcsim over TLS; it ends with this value.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
}

impl Server {
    /// Keeps its datastores below `folder`; `model` says what is in its inventory.
    pub(super) fn start(folder: &Path, model: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(crate::peers::vcsim()?)
            .args(["-l", "127.0.0.1:0", "-stdinexit"])
            .args(model)
            .env("TMPDIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start vcsim")?;
        let output = child.stdout.take().context("vcsim has no output")?;
        let mut server = Self { child, address: String::new() };
        let mut lines = BufReader::new(output).lines();
        for line in lines.by_ref() {
            let line = line?;
            if let Some(authority) = line.split_once("GOVC_URL=").and_then(|(_, url)| url.split(['@', '/']).nth(3)) {
                server.address = authority.to_owned();
                // It goes on talking, and would die of a pipe that nobody reads.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(server);
            }
        }
        anyhow::bail!("vcsim ended without saying where it listens")
    }

    /// How the programs that are measured are told of it.
    pub(super) fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("VCENTER_HOST", &self.address),
            ("VCENTER_USER", "user"),
            ("VCENTER_PASSWORD", "pass"),
            ("VCENTER_INSECURE", "true"),
        ]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
