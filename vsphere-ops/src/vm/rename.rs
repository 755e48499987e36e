//! Another name for a machine.

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};

use super::names::checked_name;
use crate::client::Client;
use crate::error::Result;
use crate::mo::Mo;
use crate::name;
use crate::task::{self, BUSY, Task};

const OPERATION: &str = "rename";

impl Mo<VirtualMachine> {
    /// Gives the machine another name. Its files keep the old one until it is moved to another datastore.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// client.get::<VirtualMachine>("web-01").await?.rename("web/blue").await?.await
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for a name that is empty or longer than 80 characters; the fault `DuplicateName`, at the latest
    /// from the task, where another object of the folder has it.
    pub async fn rename(&self, new_name: &str) -> Result<Task<()>> {
        let new_name = checked_name(OPERATION, new_name)?;
        task::start(self, OPERATION, self.rename_task(&new_name)).await
    }
}

/// A machine that was given a name.
///
/// ```
/// use vsphere_ops::vm::Renamed;
///
/// fn line(vm: &Renamed) -> String {
///     format!("{} was {}", vm.path, vm.old_name)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Renamed {
    /// The name that it has now.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// The name that it had before.
    pub old_name: String,
    /// Whether that is another name.
    pub changed: bool,
}

/// Gives the machine with this name, path or id another name, unless it has it already.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let renamed = vsphere_ops::vm::rename(&client, "vm-65", "web-blue").await?;
/// println!("{} was {}", renamed.name, renamed.old_name);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// Those of [`Mo::rename`], and `not_found` or `ambiguous` where it is not exactly one machine.
pub async fn rename(client: &Client, what: &str, new_name: &str) -> Result<Renamed> {
    let machine = client.get::<VirtualMachine>(what).await?;
    let old_name = name::decode(&machine.read(vm::NAME).await?);
    let wanted = name::decode(&checked_name(OPERATION, new_name)?);
    let changed = wanted != old_name;
    if changed {
        let done = client.retry_while_busy(BUSY, || async { machine.rename(new_name).await?.await });
        done.await.map_err(|error| error.on(&old_name))?;
    }
    let path = machine.path().await?;
    Ok(Renamed { name: wanted, id: machine.id().to_owned(), path, old_name, changed })
}
