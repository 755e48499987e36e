//! Tasks that wait until the world is as they need it.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::task::{Task, Work};
use super::{Moref, World};

/// How long a waiting task sleeps at most between two looks.
const LOOK: Duration = Duration::from_millis(100);

impl World {
    /// Ends a task that was started without an end (see [`TaskPlan::hold`]) when the world is ready, when the task is
    /// cancelled, or after this time. `progress` says how far the world is, in percent; at 100 it is ready. `work` must
    /// check for itself which it was.
    ///
    /// [`TaskPlan::hold`]: super::TaskPlan::hold
    pub(crate) fn finish_when(
        &mut self,
        task: &Moref,
        limit: Option<Duration>,
        progress: impl Fn(&World) -> i32 + Send + 'static,
        work: Work,
    ) {
        self.finish_when_boxed(task, limit, Box::new(progress), work);
    }

    /// As [`World::finish_when`], compiled once for all that is waited for.
    fn finish_when_boxed(
        &mut self,
        task: &Moref,
        limit: Option<Duration>,
        progress: Box<dyn Fn(&World) -> i32 + Send>,
        work: Work,
    ) {
        if progress(self) >= 100 {
            self.finish(task, work);
            return;
        }
        let (core, reference) = (self.core.clone(), task.clone());
        tokio::spawn(async move {
            let deadline = limit.map(|limit| Instant::now() + limit);
            loop {
                let Some(core) = core.upgrade() else { return };
                {
                    let mut world = core.write();
                    let now = progress(&world);
                    let Ok(task) = world.quietly_edit::<Task>(&reference) else { return };
                    let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
                    if now >= 100 || late || task.info.cancelled {
                        world.finish(&reference, work);
                        return;
                    }
                    if task.info.progress != Some(now) {
                        task.info.progress = Some(now);
                        world.touch(&reference);
                    }
                }
                let mut changes = core.changes();
                // The world lives as long as its server does, not as long as this task.
                drop(core);
                let _ = timeout(LOOK, changes.changed()).await;
            }
        });
    }
}
