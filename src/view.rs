//! Floor 1: what is read: a fold of the log, applied in order by one thread.
//!
//! The view is a function of the log alone. Every batch of writes carries the position up to which it has
//! applied the log, so a restart goes on from there, and dropping the whole view only costs the time to fold
//! the log again. It need not sync; it does so to spread what is written, and as it is closed.
//!
//! - [`identity`] decides which customer a record is about, by the rules of linking and merging
//! - [`apply`] turns one record into writes
//! - `erase` and `expire` take out of the log, and of the view, what has to leave
//! - [`read`] answers questions, each from one snapshot, and ends once nobody waits (`cancel`); `timeline` puts events in
//!   their order, `trace` finds where a record has come to lie, `export` walks over a project's customers
//! - [`keys`] is how all that lies in the keyspaces

mod anonymous;
mod apply;
mod cache;
mod cancel;
mod erase;
mod error;
mod expire;
mod export;
mod follow;
mod hash;
pub mod identity;
pub mod keys;
mod latest;
mod named;
mod nice;
mod overlay;
pub mod read;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod timeline;
mod trace;
pub mod verify;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::log::{Log, Position};
pub use apply::Counts;
pub use cancel::{Cancel, Waiting};
pub use erase::Asked;
pub use error::Error;
pub use export::Place;
use follow::Follower;
pub use follow::Progress;
pub use named::Named;
pub use read::{Events, Order, StoredEvent};
use store::Store;
pub use timeline::{EventPlace, ROWS_MAX};

/// A handle to the view.
#[derive(Clone, Debug)]
pub struct View {
    log: Log,
    store: Arc<Store>,
    follower: Arc<Follower>,
}

impl View {
    /// Opens the view in `dir` and starts to follow the log. A view of another format is dropped and folded
    /// anew.
    ///
    /// # Errors
    /// [`Error::Ahead`]: the log has lost what the view has seen. [`Error::Store`].
    pub fn start(dir: &Path, log: Log, runtime: Handle) -> Result<Self, Error> {
        let store = Arc::new(Store::open(dir)?);
        let (applied, last) = (store.applied()?, log.last());
        if applied > last {
            return Err(Error::Ahead { applied, last });
        }
        let follower = Follower::start(store.clone(), log.clone(), applied, runtime)?;
        Ok(Self {
            log,
            store,
            follower,
        })
    }

    /// Removes the view in `dir`, which nobody may have open.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn remove(dir: &Path) -> Result<(), Error> {
        store::remove(dir)
    }

    /// How far the view is.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.follower.progress()
    }

    /// What came of the records applied since the start.
    pub fn counts(&self) -> Counts {
        self.follower.counts()
    }

    /// Waits until everything up to `position` can be read.
    ///
    /// # Errors
    /// [`Error::Behind`] when that takes longer than `timeout`, [`Error::Stopped`].
    pub async fn caught_up(&self, position: Position, timeout: Duration) -> Result<(), Error> {
        let mut progress = self.progress();
        let is_over = |at: &Progress| at.applied >= position || at.failure.is_some();
        let mut over = progress.borrow().clone();
        // Most reads need not wait, and then need no timer.
        if !is_over(&over) {
            self.follower.want(position);
            over = match tokio::time::timeout(timeout, progress.wait_for(is_over)).await {
                Ok(Ok(at)) => at.clone(),
                Ok(Err(_)) => return Err(Error::Stopped("it was closed".into())),
                Err(_) => return Err(Error::Behind(timeout)),
            };
        }
        match over.failure {
            Some(reason) if over.applied < position => Err(Error::stopped(reason)),
            Some(_) | None => Ok(()),
        }
    }

    /// A consistent state to read from. Reading may block on the disk.
    pub fn snapshot(&self) -> read::Snapshot {
        read::Snapshot::new(self.log.clone(), self.store.clone())
    }

    /// Stops following the log and waits for the thread to end. May block on the disk.
    pub fn close(&self) {
        self.follower.close();
        // What the engine still has in memory would be lost with the process, if somebody else has the store as well then.
        if let Err(error) = self.store.sync() {
            tracing::warn!(%error, "the end of the view is not kept; it will be folded again");
        }
    }
}
