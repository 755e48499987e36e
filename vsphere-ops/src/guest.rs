//! Inside the guest of a VM, through VMware Tools: programs, processes, files.
//!
//! A [`Guest`] knows its VM and the credentials of a user of the guest. The credentials go to the guest with each request: a
//! hostile guest can read them.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! use vsphere_ops::guest::Credentials;
//! use vsphere_ops::managed::VirtualMachine;
//!
//! let vm = client.get::<VirtualMachine>("web-01").await?;
//! let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
//! let ran = guest.shell("uname -a && df -h").output().await?;
//! println!("exit code {:?}: {}", ran.exit_code, ran.stdout.text());
//! guest.write("/etc/motd", "welcome").send().await?;
//! assert_eq!(&*guest.read("/etc/motd", 1 << 20).await?.bytes, b"welcome");
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! A command goes to the guest's own shell byte for byte, and its output comes back through files that are deleted whatever
//! happens. Files are transferred by URLs of the host that runs the VM, which this program must reach.

mod content;
mod file;
mod manager;
mod process;
mod quote;
mod run;
mod temporary;
mod trouble;

use std::fmt;
use std::time::Duration;

use futures::TryStreamExt as _;
use tokio::time::{sleep, timeout};
use vsphere_model::managed::{
    GuestAuthManager, GuestFileManager, GuestProcessManager, VirtualMachine, virtual_machine as vm,
};
use vsphere_model::types::{
    GuestAuthentication, GuestInfo, NamePasswordAuthentication, Poly, VirtualMachineGuestOsFamily,
    VirtualMachinePowerState,
};
use vsphere_soap::object::{FromAny, Property};
use vsphere_soap::request::Request;

pub use content::{Content, Write, Written};
pub use file::{DeletedGuestFile, FileKind, GuestFile, MadeDirectory};
pub use process::GuestProcess;
pub use run::{Chunk, End, Output, Ran, Run, Stream};
pub use trouble::GuestTrouble;

use crate::error::{Circumstance, Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::task::BUSY;
use crate::watch::Change;

/// The user of a guest who does what is asked for. The password is shown nowhere.
///
/// ```
/// let login = vsphere_ops::guest::Credentials::new("root", "secret");
/// assert_eq!(format!("{login:?}"), "Credentials(\"root\")");
/// ```
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// A user of the guest and their password; on Windows, the user may have a domain: `CORP\ann`.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?})", self.user)
    }
}

/// Which kind of system runs in a guest: it decides about shells, quotes and paths.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::guest::{Credentials, Family};
/// use vsphere_ops::managed::VirtualMachine;
///
/// let vm = client.get::<VirtualMachine>("web-01").await?;
/// let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
/// assert_eq!(guest.family(), Family::Posix);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// Linux and its like, with `/bin/sh`.
    Posix,
    /// Windows, with `cmd.exe`.
    Windows,
}

/// The guest of a VM, entered as one of its users. Cheap to clone.
///
/// ```
/// use vsphere_ops::guest::Guest;
///
/// async fn kernel(guest: &Guest) -> vsphere_ops::Result<String> {
///     Ok(guest.program("/usr/bin/uname", ["-r"]).output().await?.stdout.text().trim().to_owned())
/// }
/// ```
#[derive(Clone)]
pub struct Guest {
    vm: Mo<VirtualMachine>,
    auth: Poly<GuestAuthentication>,
    family: Family,
    login: GuestAuthManager,
    files: GuestFileManager,
    processes: GuestProcessManager,
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guest({})", self.vm)
    }
}

const ENTER: &str = "enter the guest of";

impl Mo<VirtualMachine> {
    /// The guest of the VM, for a user of it. Nothing is sent to the guest yet: [`Guest::check`] logs in.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::guest::Credentials;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// vm.guest(&Credentials::new("root", "Guest1!")).await?.check().await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_state` where the VM does not run or its VMware Tools do not answer, `unsupported` where the server has no
    /// guest operations.
    pub async fn guest(&self, credentials: &Credentials) -> Result<Guest> {
        let named = |error: Error| error.in_operation(ENTER).on(self.label());
        let (power, info, id) = self.read((vm::POWER_STATE, vm::GUEST, GUEST_ID)).await.map_err(named)?;
        let info = info.unwrap_or_default();
        check_ready(&power, info.guest_operations_ready).map_err(named)?;
        let managers = manager::managers(self.client()).await.map_err(named)?;
        let login = NamePasswordAuthentication {
            username: credentials.user.clone(),
            password: credentials.password.clone(),
            ..Default::default()
        };
        Ok(Guest {
            vm: self.clone(),
            auth: Poly::new(login),
            family: family(&info, id.as_deref().unwrap_or_default()),
            login: self.client().raw(&managers.login),
            files: self.client().raw(&managers.files),
            processes: self.client().raw(&managers.processes),
        })
    }

    /// The same, once the guest takes operations: it is waited for, but no longer than `limit`.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use std::time::Duration;
    /// use vsphere_ops::guest::Credentials;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// let login = Credentials::new("root", "Guest1!");
    /// let guest = vm.wait_for_guest(&login, Duration::from_secs(120)).await?;
    /// println!("{:?} of {} is ready", guest, guest.vm().label());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`guest`](Self::guest), when the time is up.
    pub async fn wait_for_guest(&self, credentials: &Credentials, limit: Duration) -> Result<Guest> {
        let mut changes = self.watch((vm::POWER_STATE, READY));
        let ready = async {
            while let Some(change) = changes.try_next().await? {
                if let Change::Entered { row: (power, ready), .. } | Change::Changed { row: (power, ready), .. } =
                    change
                    && (ready == Some(true) || power != VirtualMachinePowerState::PoweredOn)
                {
                    break;
                }
            }
            Ok::<_, Error>(())
        };
        if let Ok(ready) = timeout(limit, ready).await {
            ready.map_err(|error| error.in_operation(ENTER).on(self.label()))?;
        }
        self.guest(credentials).await
    }
}

const READY: Property<VirtualMachine, Option<bool>> = Property::new("guest.guestOperationsReady");
const GUEST_ID: Property<VirtualMachine, Option<String>> = Property::new("config.guestId");

/// Whether Tools run is not the question: they may not take operations yet.
fn check_ready(power: &VirtualMachinePowerState, ready: Option<bool>) -> Result<()> {
    let failed = |text: String, trouble| {
        let error = Error::new(ENTER, ErrorKind::InvalidState(text));
        Err(error.with_circumstance(Circumstance::Guest(trouble)))
    };
    if *power != VirtualMachinePowerState::PoweredOn {
        let state = crate::words::word(power);
        return failed(format!("it is {state}, so that no guest runs in it"), GuestTrouble::NotRunning);
    }
    if ready == Some(false) {
        let text = "VMware Tools take no operations: they do not run, or the guest is still starting";
        return failed(text.to_owned(), GuestTrouble::NotReady);
    }
    Ok(())
}

/// A Windows that is newer than the host may be of no family that the host knows; its Tools still are those of Windows.
fn family(info: &GuestInfo, guest_id: &str) -> Family {
    let family = info.guest_family.as_deref().unwrap_or_default();
    let windows = VirtualMachineGuestOsFamily::WindowsGuest;
    let unknown = family.is_empty() || family == VirtualMachineGuestOsFamily::OtherGuestFamily.as_str();
    let by_tools = info.tools_install_type.as_deref() == Some("guestToolsTypeMSI");
    let by_id = guest_id.starts_with("win") && family.is_empty();
    if family == windows.as_str() || unknown && by_tools || by_id { Family::Windows } else { Family::Posix }
}

/// How often a request is repeated that the guest was not ready for, although it says that it is, and the pause before.
const UNREADY: (u32, Duration) = (5, Duration::from_secs(1));

impl Guest {
    /// The VM.
    pub fn vm(&self) -> &Mo<VirtualMachine> {
        &self.vm
    }

    /// Which kind of system it is.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Logs in, and does nothing else.
    ///
    /// # Errors
    /// `auth` where the guest refuses user or password, `invalid_state` where it is not ready.
    pub async fn check(&self) -> Result<()> {
        self.ask("log in to the guest of", || self.login.validate_credentials_in_guest(self.vm.reference(), &self.auth))
            .await
    }

    /// Sends a request, again where the VM is busy or the Tools do not listen for a moment.
    async fn ask<T: FromAny + 'static>(&self, operation: &str, request: impl Fn() -> Request<T>) -> Result<T> {
        let client = self.vm.client();
        let mut left = UNREADY.0;
        loop {
            let asked = client.retry_while_busy(BUSY, || async { request().await.map_err(Error::from) }).await;
            let error = match asked {
                Ok(answer) => return Ok(answer),
                Err(error) => self.explained(error, operation),
            };
            let unready = error.guest_trouble() == Some(GuestTrouble::NotReady);
            // A guest that says itself that it is not ready is not asked again.
            if !unready || left == 0 || self.vm.read(READY).await.ok().flatten() != Some(true) {
                return Err(error);
            }
            left -= 1;
            sleep(UNREADY.1).await;
        }
    }

    /// The error, with the VM and with what the fault means.
    fn explained(&self, error: Error, operation: &str) -> Error {
        let error = error.in_operation(operation).on(self.vm.label());
        match GuestTrouble::of(&error) {
            Some(trouble) => error.with_circumstance(Circumstance::Guest(trouble)),
            None => error,
        }
    }

    /// An error that is known without asking.
    fn refused(&self, operation: &str, kind: ErrorKind) -> Error {
        Error::new(operation, kind).on(self.vm.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_of_a_guest() {
        let info = |family: &str, tools: &str| GuestInfo {
            guest_family: Some(family.to_owned()).filter(|family| !family.is_empty()),
            tools_install_type: Some(tools.to_owned()),
            ..Default::default()
        };
        assert_eq!(family(&info("windowsGuest", ""), ""), Family::Windows);
        assert_eq!(family(&info("linuxGuest", "guestToolsTypeOpenVMTools"), ""), Family::Posix);
        assert_eq!(family(&info("otherGuestFamily", "guestToolsTypeMSI"), "windows12_64Guest"), Family::Windows);
        assert_eq!(family(&info("otherGuestFamily", "guestToolsTypeOpenVMTools"), "freebsd14_64Guest"), Family::Posix);
        assert_eq!(family(&info("", ""), "windows9_64Guest"), Family::Windows);
    }
}
