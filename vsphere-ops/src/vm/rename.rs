//! Another name for a VM.

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};

use super::names::checked_name;
use crate::error::Result;
use crate::mo::Mo;
use crate::name;
use crate::task::{self, BUSY, Task};

const OPERATION: &str = "rename";

impl Mo<VirtualMachine> {
    /// Gives the VM another name. Its files keep the old one until it is moved to another datastore.
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

/// A VM that was given a name.
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

impl Mo<VirtualMachine> {
    /// Gives the VM another name, unless it has it already, and waits until it has. A VM that is busy is waited for.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let renamed = client.get::<VirtualMachine>("vm-65").await?.rename_to("web-blue").await?;
    /// println!("{} was {}", renamed.name, renamed.old_name);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`rename`](Self::rename).
    pub async fn rename_to(&self, new_name: &str) -> Result<Renamed> {
        let old_name = name::decode(&self.read(vm::NAME).await?);
        let wanted = name::decode(&checked_name(OPERATION, new_name)?);
        let changed = wanted != old_name;
        if changed {
            let done = self.client().retry_while_busy(BUSY, || async { self.rename(new_name).await?.await });
            done.await.map_err(|error| error.on(&old_name))?;
        }
        let path = self.path().await?;
        Ok(Renamed { name: wanted, id: self.id().to_owned(), path, old_name, changed })
    }
}
