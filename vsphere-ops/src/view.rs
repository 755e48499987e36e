//! Container views: the server's own list of all objects of a type below a container.

use std::collections::HashMap;
use std::sync::Mutex;

use vsphere_model::managed::{ContainerView, View};
use vsphere_model::types::ManagedObjectReference;
use vsphere_soap::request::ManagedObject as _;

use crate::client::Client;
use crate::error::Result;

/// The views of the whole inventory, one per set of types. They are kept for the session, which saves two requests a
/// listing, and end with it; their number is bounded by the types that a program lists.
#[derive(Debug, Default)]
pub(crate) struct Views {
    kept: Mutex<HashMap<Vec<&'static str>, (u64, ManagedObjectReference)>>,
}

/// A view in use. One of a part of the inventory is destroyed on the server when it is no longer used.
pub(crate) struct ViewGuard {
    client: Client,
    reference: ManagedObjectReference,
    kept: bool,
}

impl ViewGuard {
    /// A view of all objects of these types below `container`, or in the whole inventory.
    pub(crate) async fn open(
        client: &Client,
        container: Option<&ManagedObjectReference>,
        types: &[&'static str],
    ) -> Result<Self> {
        let connection = &client.connection;
        let generation = connection.generation();
        if container.is_none() {
            let kept = connection.views.kept.lock().ok().and_then(|kept| kept.get(types).cloned());
            if let Some((born, reference)) = kept
                && born == generation
            {
                return Ok(Self { client: client.clone(), reference, kept: true });
            }
        }
        let root = container.unwrap_or(&client.content().root_folder);
        let names: Vec<String> = types.iter().map(|name| (*name).to_owned()).collect();
        let reference = client.view_manager()?.create_container_view(root, &names, true).await?;
        if container.is_none()
            && let Ok(mut kept) = connection.views.kept.lock()
        {
            kept.insert(types.to_vec(), (generation, reference.clone()));
        }
        Ok(Self { client: client.clone(), reference, kept: container.is_none() })
    }

    pub(crate) fn reference(&self) -> &ManagedObjectReference {
        &self.reference
    }

    /// Forgets a view that the server no longer has.
    pub(crate) fn forget(&self, types: &[&'static str]) {
        if let Ok(mut kept) = self.client.connection.views.kept.lock() {
            kept.remove(types);
        }
    }
}

impl Drop for ViewGuard {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let (client, reference) = (self.client.clone(), self.reference.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let view = ContainerView::new(&client.caller(), reference);
                let view: &View = &view;
                if let Err(error) = view.destroy_view().await {
                    tracing::debug!(%error, "a view was left to end with the session");
                }
            });
        }
    }
}
