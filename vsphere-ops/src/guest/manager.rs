//! The managers of guest operations: their ids differ from product to product, and are read once for a connection.

use tokio::sync::OnceCell;
use vsphere_model::managed::{GuestOperationsManager, guest_operations_manager as manager};
use vsphere_model::types::ManagedObjectReference;

use crate::client::Client;
use crate::connection::Part;
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;

/// The managers of guest operations.
#[derive(Debug, Clone)]
pub(super) struct Managers {
    pub(super) login: ManagedObjectReference,
    pub(super) files: ManagedObjectReference,
    pub(super) processes: ManagedObjectReference,
}

#[derive(Debug, Default)]
struct Known(OnceCell<Managers>);

impl Part for Known {}

pub(super) async fn managers(client: &Client) -> Result<Managers> {
    let known = client.connection.part::<Known>();
    known.0.get_or_try_init(|| read(client)).await.cloned()
}

async fn read(client: &Client) -> Result<Managers> {
    let reference = client.manager("guest operations", client.content().guest_operations_manager.as_ref())?;
    let manager: Mo<GuestOperationsManager> = Mo::new(client, reference, None);
    let (login, files, processes) =
        manager.read((manager::AUTH_MANAGER, manager::FILE_MANAGER, manager::PROCESS_MANAGER)).await?;
    let missing = || Error::new("connect", ErrorKind::Unsupported("the server does not offer guest operations".into()));
    Ok(Managers {
        login: login.ok_or_else(missing)?,
        files: files.ok_or_else(missing)?,
        processes: processes.ok_or_else(missing)?,
    })
}
