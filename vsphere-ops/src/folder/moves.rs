//! A VM that is moved into another folder.

use serde::Serialize;
use vsphere_model::managed::{Folder, VirtualMachine, folder};
use vsphere_model::types::ManagedObjectReference;

use super::FolderKind;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::find::Ancestry;
use crate::mo::Mo;
use crate::task::{self, BUSY};

const OPERATION: &str = "move to the folder";

/// A VM that was moved.
///
/// ```
/// use vsphere_ops::folder::MovedVm;
///
/// fn line(vm: &MovedVm) -> String {
///     format!("{} was {}", vm.path, vm.from)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MovedVm {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// The path that it had before.
    pub from: String,
    /// Whether that is another one.
    pub changed: bool,
}

impl Mo<VirtualMachine> {
    /// Moves the VM or template into a folder of the same datacenter, unless it is there. Neither its files nor where it runs
    /// changes by that, but permissions that come with the folder do.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::folder;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let lab = folder::find(&client, "/fra1/vm/lab").await?;
    /// let moved = client.get::<VirtualMachine>("web-04").await?.move_to_folder(&lab).await?;
    /// assert_eq!((moved.path.as_str(), moved.from.as_str()), ("/fra1/vm/lab/web-04", "/fra1/vm/prod/web/web-04"));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// Needs `VirtualMachine.Inventory.Move` on the VM and the folder.
    ///
    /// # Errors
    /// `invalid_argument` for a folder of another kind or datacenter, `invalid_state` for a VM in a vApp, the fault
    /// `DuplicateName` where the folder has something of its name, and others of the server.
    pub async fn move_to_folder(&self, folder: &Mo<Folder>) -> Result<MovedVm> {
        let moved = async {
            let client = self.client();
            let own = [self.reference().clone(), folder.reference().clone()];
            let before = Ancestry::read(client, &own).await?;
            let [above, beyond] = own.each_ref().map(|object| before.ancestors(object).unwrap_or_default());
            let holder = above.last().map(|holder| holder.reference.clone());
            let is_there = holder.as_ref() == Some(folder.reference());
            if let Some(vapp) = above.last().filter(|holder| holder.reference.type_ == "VirtualApp") {
                let text = format!("it is in the vApp {:?}, and in no folder", vapp.name);
                return Err(Error::new(OPERATION, ErrorKind::InvalidState(text)));
            }
            if FolderKind::of(&folder.read(folder::CHILD_TYPE).await?) != FolderKind::Vm {
                return Err(invalid(OPERATION, format!("{:?} is not a folder for VMs", folder.label())));
            }
            let datacenter = |chain: &[crate::find::Ancestor]| -> Option<ManagedObjectReference> {
                chain.iter().map(|one| &one.reference).find(|one| one.type_ == "Datacenter").cloned()
            };
            if let (Some(here), Some(there)) = (datacenter(&above), datacenter(&beyond))
                && here != there
            {
                let text =
                    format!("{:?} is in another datacenter, to which the VM would have to be migrated", folder.label());
                return Err(invalid(OPERATION, text));
            }
            if !is_there {
                let list = [self.reference().clone()];
                let done = client.retry_while_busy(BUSY, || async {
                    task::start::<(), _>(self, OPERATION, folder.move_into_folder_task(&list)).await?.await
                });
                done.await?;
            }
            Ok(MovedVm {
                name: self.label().to_owned(),
                id: self.id().to_owned(),
                path: self.path().await?,
                from: before.path(self.reference()).unwrap_or_default(),
                changed: !is_there,
            })
        };
        moved.await.map_err(|error: Error| error.in_operation(OPERATION).on(self.label()))
    }
}
