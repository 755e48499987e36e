//! Work that nobody waits for: what a guest does by itself some seconds after it was told to.

use std::time::Duration;

use tokio::time::sleep;

use super::World;

impl World {
    /// Does this work some time from now, without a task. The model's pace stretches or shrinks the time; at pace 0 it is
    /// done before this returns. The work finds the world as it is then, and must check whether it is still meant.
    pub(crate) fn later(&mut self, after: Duration, work: impl FnOnce(&mut World) + Send + 'static) {
        let after = self.paced(after);
        if after.is_zero() {
            work(self);
            return;
        }
        self.spawn_later(after, Box::new(work));
    }

    fn spawn_later(&self, after: Duration, work: Box<dyn FnOnce(&mut World) + Send>) {
        let core = self.core.clone();
        tokio::spawn(async move {
            sleep(after).await;
            if let Some(core) = core.upgrade() {
                work(&mut core.write());
            }
        });
    }

    /// How long something takes here that takes this long on a real server.
    pub(super) fn paced(&self, time: Duration) -> Duration {
        time.mul_f64(self.settings.pace.max(0.0))
    }
}
