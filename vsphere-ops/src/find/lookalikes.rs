//! Names that look like something else: a machine called `vm-65` where another one has this id, or `prod/web`.
//!
//! Who looks for an object by its id must not be given another one, nor in silence the one of two that was found first. All
//! names are read for that, and those that look like something else are kept for a moment: looking up by id stays cheap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vsphere_model::types::ManagedObjectReference;
use vsphere_soap::request::ManagedObject;

use super::inventory::{self, type_of_id};
use super::one::is_uuid;
use super::{NAME, name_of, scan_at_once};
use crate::client::Client;
use crate::error::Result;
use crate::read::Pages;

/// How long what was read counts. What this client changes is read again in any case.
const KEPT_FOR: Duration = Duration::from_secs(10);

type Names = Arc<Vec<(ManagedObjectReference, String)>>;

/// The names that look like something else, by the type of the objects.
#[derive(Default)]
pub(crate) struct Lookalikes {
    kept: Mutex<HashMap<&'static str, Kept>>,
}

struct Kept {
    at: Instant,
    /// How many changes this client had sent.
    changes: u64,
    names: Names,
}

/// Whether what a user gives, or an object is called, can be an id, a UUID or a path.
///
/// A path that begins at the root is meant as one, and so is a reference with its type: they are the ways out where the
/// other forms have two meanings.
pub(super) fn is_one(what: &str) -> bool {
    (what.contains('/') && !what.starts_with('/')) || type_of_id(what).is_some() || is_uuid(what)
}

/// The objects of type `M` whose names look like something else.
pub(super) async fn read<M: ManagedObject>(
    client: &Client,
    container: Option<&ManagedObjectReference>,
) -> Result<Names> {
    if let Some(container) = container {
        let source = inventory::below(Some(container), M::NAME, vec![NAME.to_owned()])?;
        return Ok(Arc::new(alike(Pages::new(client, source, None).all().await?)));
    }
    let (kept, changes) = (&client.connection.lookalikes.kept, client.connection.changes());
    {
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.get(M::NAME)
            && kept.changes == changes
            && kept.at.elapsed() < KEPT_FOR
        {
            return Ok(Arc::clone(&kept.names));
        }
    }
    let at = Instant::now();
    let names = Arc::new(alike(scan_at_once(client, &[(M::NAME, &[NAME])]).await?));
    let read = Kept { at, changes, names: Arc::clone(&names) };
    kept.lock().unwrap_or_else(PoisonError::into_inner).insert(M::NAME, read);
    Ok(names)
}

fn alike(contents: Vec<vsphere_model::types::ObjectContent>) -> Vec<(ManagedObjectReference, String)> {
    let named = contents.into_iter().filter_map(|content| Some((content.obj.clone(), name_of(&content)?)));
    named.filter(|(_, name)| is_one(name)).collect()
}
