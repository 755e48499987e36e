//! What all connections share: the world, and the news of its changes.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use crate::model::Model;
use crate::trouble::Troubles;
use crate::world::World;

/// What all connections share.
pub(crate) struct Core {
    world: RwLock<World>,
    changes: watch::Sender<u64>,
    pub(crate) troubles: Troubles,
}

impl Core {
    /// A server with the inventory of this model.
    ///
    /// # Errors
    /// The inventory can't hold what the model asks for.
    pub(crate) fn new(model: &Model) -> io::Result<Arc<Self>> {
        let core = Arc::new_cyclic(|core| Self {
            world: RwLock::new(World::new(model.settings().clone(), core.clone())),
            changes: watch::channel(0).0,
            troubles: Troubles::default(),
        });
        core.troubles.set(model.first_trouble().clone());
        model.build(&mut core.write())?;
        Ok(core)
    }

    /// The world, to look at.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, World> {
        // A handler that panicked has left its object half changed at worst; the others go on.
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world, to change it. Whoever waits for changes is told when the guard goes.
    pub(crate) fn write(&self) -> WorldGuard<'_> {
        let world = self.world.write().unwrap_or_else(PoisonError::into_inner);
        WorldGuard { before: world.version(), world, changes: &self.changes }
    }

    /// News of changes: the world's version.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Core")
    }
}

/// The world while it is changed.
pub(crate) struct WorldGuard<'a> {
    world: RwLockWriteGuard<'a, World>,
    before: u64,
    changes: &'a watch::Sender<u64>,
}

impl Deref for WorldGuard<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for WorldGuard<'_> {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Drop for WorldGuard<'_> {
    fn drop(&mut self) {
        self.world.review_alarms();
        let now = self.world.version();
        if now != self.before {
            self.changes.send_replace(now);
        }
    }
}
