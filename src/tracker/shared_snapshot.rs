//! The snapshot that the steps of an export share, for a limited time.
//!
//! What was erased stays on the disk as long as a snapshot sees it, and the engine keeps all that was overwritten
//! since. So a snapshot is released after a time, whether or not the export is being read, and the next step takes a
//! new one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::view::View;
use crate::view::read::Snapshot;

/// A snapshot of the view that is kept for a limited time. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct SharedSnapshot(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    view: View,
    age_max: Duration,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    snapshot: Option<Snapshot>,
    letting_go: Option<JoinHandle<()>>,
}

impl SharedSnapshot {
    /// The snapshot of the first step, kept for `age_max`.
    pub(super) fn new(view: View, age_max: Duration) -> Self {
        Self(Arc::new(Shared {
            view,
            age_max,
            held: Mutex::default(),
        }))
    }

    /// The snapshot while it is young enough, otherwise a new one, which is kept as long again. The caller may hold it
    /// for one step only. Blocks on the disk.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut held = self.0.held();
        if let Some(snapshot) = &held.snapshot {
            return snapshot.clone();
        }
        let snapshot = self.0.view.lasting_snapshot();
        held.snapshot = Some(snapshot.clone());
        let (age_max, shared) = (self.0.age_max, Arc::downgrade(&self.0));
        held.letting_go = Some(tokio::spawn(async move {
            tokio::time::sleep(age_max).await;
            if let Some(shared) = shared.upgrade() {
                shared.held().snapshot.take();
            }
        }));
        snapshot
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        // It is consistent between statements, so a panic elsewhere does not spoil it.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(task) = self.held().letting_go.take() {
            task.abort();
        }
    }
}
