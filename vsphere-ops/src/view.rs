//! Container views: the server's own list of all objects of a type below a container.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use vsphere_model::managed::{ContainerView, View};
use vsphere_model::types::ManagedObjectReference;
use vsphere_soap::request::ManagedObject as _;

use crate::client::Client;
use crate::connection::Part;
use crate::error::Result;
use crate::guard;

/// The views of the whole inventory, one per set of types. They are kept for the session, which saves two requests a
/// listing, and end with it; their number is bounded by the types that a program lists.
#[derive(Debug, Default)]
pub(crate) struct Views {
    kept: Mutex<HashMap<Vec<&'static str>, Kept>>,
    /// Held while a view that will be kept is made, so that many who need it make one.
    making: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Clone)]
struct Kept {
    /// The session that it belongs to.
    generation: u64,
    reference: ManagedObjectReference,
}

impl Part for Views {}

impl Views {
    /// A view that is kept in the session as it is and holds all objects of these types, and maybe of others.
    fn of(&self, types: &[&'static str], generation: u64) -> Option<ManagedObjectReference> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let exact = kept.get(types).filter(|kept| kept.generation == generation);
        let wider = || {
            let holds = |of: &[&'static str]| types.iter().all(|name| of.contains(name));
            kept.iter().find(|(of, kept)| kept.generation == generation && holds(of)).map(|(_, kept)| kept)
        };
        exact.or_else(wider).map(|kept| kept.reference.clone())
    }
}

impl Views {
    /// Forgets this view, which the server no longer has. Whether it was kept.
    pub(crate) fn forget(&self, view: &ManagedObjectReference) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.len();
        kept.retain(|_, kept| kept.reference != *view);
        kept.len() < before
    }
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
        if container.is_none()
            && let Some(reference) = client.connection.part::<Views>().of(types, client.connection.generation())
        {
            return Ok(Self { client: client.clone(), reference, kept: true });
        }
        // To its end, even when the caller is gone: the server makes the view all the same.
        let (container, types) = (container.cloned(), types.to_vec());
        guard::made(client, |client| async move {
            match container {
                Some(container) => Self::create(&client, &container, &types).await,
                None => Self::keep(&client, types).await,
            }
        })
        .await
    }

    async fn create(client: &Client, root: &ManagedObjectReference, types: &[&'static str]) -> Result<Self> {
        let names: Vec<String> = types.iter().map(|name| (*name).to_owned()).collect();
        let reference = client.view_manager()?.create_container_view(root, &names, true).await?;
        Ok(Self { client: client.clone(), reference, kept: false })
    }

    async fn keep(client: &Client, types: Vec<&'static str>) -> Result<Self> {
        let connection = &client.connection;
        let views = connection.part::<Views>();
        let _one_at_a_time = views.making.lock().await;
        let generation = connection.generation();
        if let Some(reference) = views.of(&types, generation) {
            return Ok(Self { client: client.clone(), reference, kept: true });
        }
        let mut view = Self::create(client, &client.content().root_folder, &types).await?;
        // Of a view that was made while the session was renewed nobody knows which session has it: it is used once.
        if connection.generation() == generation {
            view.kept = true;
            let kept = Kept { generation, reference: view.reference.clone() };
            views.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(types, kept);
        }
        Ok(view)
    }

    pub(crate) fn reference(&self) -> &ManagedObjectReference {
        &self.reference
    }

    /// Forgets this view, which the server no longer has; one that was kept in its place meanwhile stays.
    pub(crate) fn forget(&self) {
        self.client.connection.part::<Views>().forget(&self.reference);
    }
}

impl Drop for ViewGuard {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let (client, reference) = (self.client.clone(), self.reference.clone());
        guard::clean_up(async move {
            let view = ContainerView::new(&client.caller(), reference);
            let view: &View = &view;
            if let Err(error) = view.destroy_view().await {
                tracing::debug!(%error, "a view was left to end with the session");
            }
        });
    }
}
