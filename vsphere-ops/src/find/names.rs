//! The names of all objects of a type: read in one answer, and once for all who look for one at the same time.
//!
//! Some names look like something else: a VM called `vm-65` where another one has this id, or `prod/web`. Who looks for an
//! object by its id must not be given another one, nor silently the one of two that was found first. All names are read for
//! that, and those that look like something else are kept for a moment: looking up by id stays cheap.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vsphere_model::types::ManagedObjectReference;

use super::inventory::{self, type_of_id};
use super::one::is_uuid;
use super::{NAME, name_of};
use crate::client::Client;
use crate::connection::Part;
use crate::error::Result;
use crate::read::at_once;

/// How long names that look like something else count. After a change of this client they are read again in any case.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Objects and their names.
pub(super) type Named = Vec<(ManagedObjectReference, String)>;

/// What was read of names, by the type of the objects.
#[derive(Default)]
pub(crate) struct Names {
    by_type: Mutex<HashMap<&'static str, Arc<Shared>>>,
}

/// The names of one type.
#[derive(Default)]
struct Shared {
    /// Held while they are read.
    reading: tokio::sync::Mutex<()>,
    /// How many wait for a read. All names are kept for them alone.
    waiting: AtomicUsize,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    /// When the read began, and how many changes this client had sent then.
    began: Instant,
    changes: u64,
    all: Option<Arc<Named>>,
    /// Those that look like something else.
    alike: Arc<Named>,
}

impl Part for Names {}

impl Names {
    fn of(&self, type_: &'static str) -> Arc<Shared> {
        let mut by_type = self.by_type.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(by_type.entry(type_).or_default())
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what a user gives, or an object is called, can be an id, a UUID or a path.
///
/// A path that begins at the root is meant as one, and so is a reference with its type: they are the ways out where the
/// other forms have two meanings.
pub(super) fn look_alike(what: &str) -> bool {
    (what.contains('/') && !what.starts_with('/')) || type_of_id(what).is_some() || is_uuid(what)
}

/// The objects of this type and their names as they are now: nothing that was read before this call.
pub(super) async fn all(
    of: &'static str,
    client: &Client,
    container: Option<&ManagedObjectReference>,
) -> Result<Arc<Named>> {
    if container.is_some() {
        return Ok(Arc::new(read(of, client, container).await?));
    }
    Ok(share(of, client, Instant::now()).await?.0)
}

/// The objects of this type whose names look like something else.
pub(super) async fn lookalikes(
    of: &'static str,
    client: &Client,
    container: Option<&ManagedObjectReference>,
) -> Result<Arc<Named>> {
    if container.is_some() {
        let mut named = read(of, client, container).await?;
        named.retain(|(_, name)| look_alike(name));
        return Ok(Arc::new(named));
    }
    let changes = client.connection.changes();
    if let Some(kept) = &*client.part::<Names>().of(of).kept()
        && kept.changes == changes
        && kept.began.elapsed() < KEPT_FOR
    {
        return Ok(Arc::clone(&kept.alike));
    }
    Ok(share(of, client, Instant::now()).await?.1)
}

/// All names and those that look like something else, by a read that began after `asked`. Those who ask while one runs share
/// the next.
async fn share(of: &'static str, client: &Client, asked: Instant) -> Result<(Arc<Named>, Arc<Named>)> {
    let shared = client.part::<Names>().of(of);
    let waits = Waits::begin(&shared);
    let _one_at_a_time = shared.reading.lock().await;
    if let Some(Kept { began, changes, all: Some(all), alike }) = &*shared.kept()
        && *began >= asked
        && *changes == client.connection.changes()
    {
        return Ok((Arc::clone(all), Arc::clone(alike)));
    }
    let (began, changes) = (Instant::now(), client.connection.changes());
    let all = Arc::new(read(of, client, None).await?);
    let alike = Arc::new(all.iter().filter(|(_, name)| look_alike(name)).cloned().collect::<Named>());
    *shared.kept() = Some(Kept { began, changes, all: Some(Arc::clone(&all)), alike: Arc::clone(&alike) });
    drop(waits);
    Ok((all, alike))
}

/// Somebody who waits for a read of names. The last one to go takes the names with it.
struct Waits<'a>(&'a Shared);

impl<'a> Waits<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.waiting.fetch_add(1, Ordering::AcqRel);
        Self(shared)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(kept) = &mut *self.0.kept()
        {
            kept.all = None;
        }
    }
}

async fn read(of: &'static str, client: &Client, container: Option<&ManagedObjectReference>) -> Result<Named> {
    let contents = at_once(client, inventory::below(container, of, vec![NAME.to_owned()])?).await?;
    let named = contents.into_iter().map(|content| {
        let name = name_of(&content).unwrap_or_default();
        (content.obj, name)
    });
    Ok(named.collect())
}
