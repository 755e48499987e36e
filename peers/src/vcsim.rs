//! govmomi's simulated vCenter.

use std::{net::SocketAddr, process::Stdio};

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{PATIENCE, program};

/// A running vcsim on a free loopback port, over plain HTTP; it ends when this value is dropped.
#[derive(Debug)]
pub struct Vcsim {
    address: SocketAddr,
    // Besides the kill on drop, vcsim ends when its standard input does: it cannot outlive a test that is itself killed.
    _child: Child,
}

impl Vcsim {
    /// Starts vcsim with more flags, such as `["-vm", "500", "-method-delay", "PowerOffVM_Task:2000"]`.
    ///
    /// # Errors
    /// When vcsim cannot be started, ends at once or does not say where it listens within a minute.
    pub async fn start(flags: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(program("PEERS_VCSIM")?)
            .args(["-l", "127.0.0.1:0", "-tls=false", "-stdinexit"])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start vcsim")?;
        let mut lines = BufReader::new(child.stdout.take().context("vcsim has no output")?).lines();
        let announced = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = announced_address(&line) {
                    return Ok(address);
                }
            }
            anyhow::bail!("vcsim {} ended without saying where it listens", flags.join(" "))
        };
        let address = timeout(PATIENCE, announced).await.context("vcsim did not start within a minute")??;
        // It goes on talking, and would die of a pipe that nobody reads.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { address, _child: child })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The SDK URL without credentials, as a client's setting.
    pub fn url(&self) -> String {
        format!("http://{}/sdk", self.address)
    }

    /// The SDK URL with the user and password that vcsim takes, as govc wants it.
    pub fn govc_url(&self) -> String {
        format!("http://user:pass@{}/sdk", self.address)
    }
}

/// The address in `export GOVC_URL=http://user:pass@127.0.0.1:39107/sdk GOVC_SIM_PID=15040`.
fn announced_address(line: &str) -> Option<SocketAddr> {
    let (_, url) = line.split_once("GOVC_URL=")?;
    let (_, authority) = url.split_once('@')?;
    authority.split(['/', ' ']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::announced_address;

    #[test]
    fn the_announcement_gives_the_address() {
        let line = "export GOVC_URL=http://user:pass@127.0.0.1:39107/sdk GOVC_SIM_PID=15040";
        assert_eq!(announced_address(line), "127.0.0.1:39107".parse().ok());
        assert_eq!(announced_address("Press any key to exit"), None);
    }
}
