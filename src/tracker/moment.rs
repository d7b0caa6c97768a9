//! The snapshot that the steps of an export share, for a while.
//!
//! What was erased stays on the disk as long as a snapshot sees it, and the engine keeps all that was written over
//! since. So a snapshot is let go after a time, whether or not somebody takes what the export tells, and the next step
//! goes on with one of then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::view::View;
use crate::view::read::Snapshot;

/// A moment of the view that is kept for a while.
#[derive(Debug)]
pub(super) struct Moment {
    view: View,
    age_max: Duration,
    held: Held,
    letting_go: Option<JoinHandle<()>>,
}

type Held = Arc<Mutex<Option<Snapshot>>>;

impl Moment {
    /// Now, and for `age_max`.
    pub(super) fn new(view: View, age_max: Duration) -> Self {
        let mut moment = Self {
            view,
            age_max,
            held: Held::default(),
            letting_go: None,
        };
        drop(moment.snapshot());
        moment
    }

    /// The moment as long as it lasts, or else the present one, which lasts as long again. To be kept for a step alone.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        let mut held = lock(&self.held);
        if let Some(snapshot) = &*held {
            return snapshot.clone();
        }
        let snapshot = self.view.snapshot();
        *held = Some(snapshot.clone());
        let (age_max, of_timer) = (self.age_max, self.held.clone());
        self.letting_go = Some(tokio::spawn(async move {
            tokio::time::sleep(age_max).await;
            lock(&of_timer).take();
        }));
        snapshot
    }
}

fn lock(held: &Held) -> MutexGuard<'_, Option<Snapshot>> {
    // It is one value, which a panic cannot leave half.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Moment {
    fn drop(&mut self) {
        if let Some(task) = &self.letting_go {
            task.abort();
        }
    }
}
