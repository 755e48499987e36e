//! The processes of a guest.

use serde::Serialize;
use vsphere_model::types::GuestProcessInfo;
use vsphere_soap::object::format_date_time;

use super::{Guest, GuestTrouble};
use crate::error::Result;
use crate::page::{ListQuery, Page, Window};
use crate::untrusted::Untrusted;

/// A process of a guest, as VMware Tools tell of it.
///
/// ```
/// use vsphere_ops::guest::GuestProcess;
///
/// fn failed(processes: &[GuestProcess]) -> usize {
///     processes.iter().filter(|process| process.exit_code.is_some_and(|code| code != 0)).count()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GuestProcess {
    /// Its number in the guest.
    pub pid: i64,
    /// The name of its program.
    pub name: Untrusted,
    /// The user that it runs as.
    pub owner: Untrusted,
    /// Its command line.
    pub command: Untrusted,
    /// When it was started, RFC 3339.
    pub started: String,
    /// When it ended: VMware Tools remember for five minutes how the programs have ended that they have started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Its exit code, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

impl From<GuestProcessInfo> for GuestProcess {
    fn from(info: GuestProcessInfo) -> Self {
        // A zero is often left out, and says nothing while the process runs.
        let exit_code = info.end_time.is_some().then(|| info.exit_code.unwrap_or(0));
        Self {
            pid: info.pid,
            name: info.name.into(),
            owner: info.owner.into(),
            command: info.cmd_line.into(),
            started: format_date_time(&info.start_time),
            ended: info.end_time.as_ref().map(format_date_time),
            exit_code,
        }
    }
}

impl Guest {
    /// Lists the processes by their numbers; `filter` is a glob on the name of the program.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::guest::Credentials;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
    /// for process in guest.list_processes(&Default::default()).await?.items {
    ///     println!("{} {}", process.pid, process.name);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `auth`, `invalid_state` and `permission` as [`check`](Self::check) has them, and server errors.
    pub async fn list_processes(&self, query: &ListQuery) -> Result<Page<GuestProcess>> {
        let glob = query.glob();
        let all = self.process_infos(&[]).await?.into_iter().map(GuestProcess::from);
        let fitting = all.filter(|process| glob.as_ref().is_none_or(|glob| glob.fits(&process.name)));
        Ok(Window::of(fitting, |process| process.pid, query)?.into())
    }

    /// The process with this number: one that runs, or one whose end VMware Tools remember.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::guest::Credentials;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
    /// let pid = guest.program("/bin/sleep", ["600"]).start().await?;
    /// assert!(guest.process(pid).await?.is_some_and(|process| process.exit_code.is_none()));
    /// assert!(guest.terminate(pid).await?);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`list_processes`](Self::list_processes).
    pub async fn process(&self, pid: i64) -> Result<Option<GuestProcess>> {
        let found = self.process_infos(&[pid]).await?.into_iter().find(|process| process.pid == pid);
        Ok(found.map(GuestProcess::from))
    }

    /// Ends a process by force, and not those that it has started. Whether there was one.
    ///
    /// # Errors
    /// `permission` where the user may not, and the errors of [`list_processes`](Self::list_processes).
    pub async fn terminate(&self, pid: i64) -> Result<bool> {
        let asked = self.ask("end a process in the guest of", || {
            self.processes.terminate_process_in_guest(self.vm.reference(), &self.auth, pid)
        });
        match asked.await {
            Ok(()) => Ok(true),
            Err(error) if error.guest_trouble() == Some(GuestTrouble::NoProcess) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn process_infos(&self, pids: &[i64]) -> Result<Vec<GuestProcessInfo>> {
        self.ask("list the processes in the guest of", || {
            self.processes.list_processes_in_guest(self.vm.reference(), &self.auth, pids)
        })
        .await
    }
}
