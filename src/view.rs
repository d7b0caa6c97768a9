//! Floor 1: what reads see: a fold of the log, applied in order by one thread.
//!
//! The view is a function of the log alone. What is folded is in memory first, and is written to the disk in
//! checkpoints, each in one step with the position up to which it applies the log. A restart goes on from there.
//! Dropping the whole view costs only the time to fold the log again.
//!
//! - [`identity`] decides which customer a record is about, by the rules of linking and merging
//! - [`apply`] turns one record into writes, with what it remembers of IDs (`ids`), customers (`summaries`) and
//!   properties (`updates`)
//! - `store` keeps them: layers in memory over a base on the disk, which a `checkpoint` brings up to date
//! - [`read`] answers queries, each from one snapshot, and ends once no caller waits (`cancel`); `timeline` puts events
//!   in their order, `attribution` finds where a record's event is, `export` walks over a project's customers
//! - [`keys`] and [`values`] define what is in the tables

mod anonymous;
mod apply;
mod attribution;
mod backpressure;
mod cache;
mod cancel;
mod checkpoint;
mod digest;
mod error;
mod events;
mod export;
mod hash;
pub mod identity;
mod ids;
pub mod keys;
mod named;
mod nice;
mod order;
mod overlay;
mod progress;
mod projector;
pub mod read;
mod slots;
mod store;
mod summaries;
#[cfg(test)]
pub(crate) mod tests;
mod timeline;
mod updates;
pub mod values;
pub mod verify;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::log::{Log, Position};
use apply::Apply;
pub use apply::{Counts, Remarks};
pub use backpressure::Backpressure;
pub use cancel::{Cancel, Waiting};
use checkpoint::Checkpoints;
pub use error::Error;
pub use export::Place;
pub use named::Named;
pub use order::{EventPlace, Order};
pub use progress::{Progress, ProjectProgress};
use projector::Projector;
pub use read::{Events, StoredEvent};
pub(crate) use store::{Store, Write};
pub use timeline::ROWS_MAX;

/// What the view's engine may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// Table files that stay open. Default 900.
    pub open_files_max: usize,
    /// Cache for reading, in bytes. Default 128 MiB.
    pub cache_bytes: u64,
    /// The fold's memory of the store, in bytes: half for IDs, a quarter each for customers and properties. Default 256
    /// MiB.
    pub known_bytes: usize,
    /// Bytes that are folded before they are written to the disk. Up to three times as many may be in memory. Default
    /// 64 MiB.
    pub checkpoint_bytes: usize,
    /// Records of a project that may wait to be folded before the answers to its writes wait too. Default 250,000.
    pub lag_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            open_files_max: 900,
            cache_bytes: 128 << 20,
            // So few in tests that most are forgotten, and many checkpoints are made.
            known_bytes: if cfg!(test) { 512 } else { 256 << 20 },
            checkpoint_bytes: if cfg!(test) { 4 << 10 } else { 64 << 20 },
            lag_max: 250_000,
        }
    }
}

/// Opens the store in `dir`; makes an empty one if the rows that the fold begins with are damaged.
fn open(dir: &Path, options: &Options) -> Result<Store, Error> {
    let store = Store::open(dir, options)?;
    let Err(error) = Apply::new(&store).map(drop) else {
        return Ok(store);
    };
    tracing::warn!(%error, "the view cannot be read; rebuilding it");
    drop(store);
    store::remove(dir)?;
    Store::open(dir, options)
}

/// A handle to the view.
#[derive(Clone, Debug)]
pub struct View {
    log: Log,
    store: Arc<Store>,
    projector: Arc<Projector>,
    checkpoints: Arc<Checkpoints>,
    backpressure: Backpressure,
}

impl View {
    /// Opens the view in `dir` and starts to follow the log. A view of another format is dropped and
    /// rebuilt.
    ///
    /// # Errors
    /// [`Error::Ahead`]: the log has lost what the view has seen. [`Error::Store`].
    pub fn start(dir: &Path, log: Log, runtime: Handle) -> Result<Self, Error> {
        Self::start_with(dir, log, runtime, &Options::default())
    }

    /// As [`View::start`], with these limits of the engine.
    ///
    /// # Errors
    /// Those of [`View::start`].
    pub fn start_with(
        dir: &Path,
        log: Log,
        runtime: Handle,
        options: &Options,
    ) -> Result<Self, Error> {
        Self::follow(open(dir, options)?, log, runtime, options)
    }

    /// As [`View::start_with`], in memory alone: nothing of it is kept.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn in_memory(log: Log, runtime: Handle, options: &Options) -> Result<Self, Error> {
        Self::follow(Store::in_memory(options), log, runtime, options)
    }

    fn follow(store: Store, log: Log, runtime: Handle, options: &Options) -> Result<Self, Error> {
        let store = Arc::new(store);
        let (applied, last) = (store.front()?, log.last());
        if applied > last {
            return Err(Error::Ahead { applied, last });
        }
        let checkpoints = Checkpoints::start(store.clone(), log.clone())?;
        let projector = Projector::start(store.clone(), log.clone(), runtime)?;
        let backpressure = Backpressure::new(projector.progress(), options.lag_max);
        Ok(Self {
            log,
            store,
            projector,
            checkpoints,
            backpressure,
        })
    }

    /// Removes the view in `dir`, which must not be open.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn remove(dir: &Path) -> Result<(), Error> {
        store::remove(dir)
    }

    /// How far the view is.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.projector.progress()
    }

    /// How far the view is with a project's records.
    pub fn project(&self, token: &str) -> Arc<ProjectProgress> {
        self.projector.projects.get(token)
    }

    /// The projects requested since the start, by token.
    pub fn projects(&self) -> Vec<(String, Arc<ProjectProgress>)> {
        self.projector.projects.all()
    }

    /// The wait before the answers to writes.
    pub fn backpressure(&self) -> Backpressure {
        self.backpressure.clone()
    }

    /// The age of the oldest acknowledged record that cannot be read yet, for the project that lags least. `now`: as in
    /// [`ProjectProgress::lag`].
    pub fn least_lag(&self, now: Duration) -> Duration {
        let projects = self.projects();
        let lags = projects.iter().map(|(_, project)| project.lag(now));
        lags.min().unwrap_or_default()
    }

    /// The counts of the records applied since the start.
    pub fn counts(&self) -> Counts {
        self.projector.counts()
    }

    /// By token: what was remarkable about the records applied since the start.
    pub fn remarks(&self) -> BTreeMap<String, Remarks> {
        self.projector.remarks()
    }

    /// Waits until everything up to `position` can be read.
    ///
    /// # Errors
    /// [`Error::Behind`] when that takes longer than `timeout`, [`Error::Stopped`].
    pub async fn caught_up(&self, position: Position, timeout: Duration) -> Result<(), Error> {
        let is_there = |at: &Progress| at.applied >= position;
        self.reaches(position, timeout, is_there).await
    }

    /// Waits until all of the project that is durable by now can be read.
    ///
    /// # Errors
    /// [`Error::Behind`] when that takes longer than `timeout`, [`Error::Stopped`].
    pub async fn shows(&self, project: &ProjectProgress, timeout: Duration) -> Result<(), Error> {
        let position = project.expected().min(self.log.last());
        let is_there = |_: &Progress| project.applied() >= position;
        self.reaches(position, timeout, is_there).await
    }

    async fn reaches(
        &self,
        position: Position,
        timeout: Duration,
        is_there: impl Fn(&Progress) -> bool,
    ) -> Result<(), Error> {
        let mut progress = self.progress();
        let is_over = |at: &Progress| is_there(at) || at.failure.is_some();
        let mut over = progress.borrow().clone();
        // Most reads need not wait, and then need no timer.
        if !is_over(&over) {
            self.projector.want(position);
            over = match tokio::time::timeout(timeout, progress.wait_for(is_over)).await {
                Ok(Ok(at)) => at.clone(),
                Ok(Err(_)) => return Err(Error::Stopped("it was closed".into())),
                Err(_) => return Err(Error::Behind(timeout)),
            };
        }
        match over.failure {
            Some(reason) if !is_there(&over) => Err(Error::stopped(reason)),
            Some(_) | None => Ok(()),
        }
    }

    /// A consistent state to read from. Reading may block on the disk.
    pub fn snapshot(&self) -> read::Snapshot {
        read::Snapshot::new(self.log.clone(), self.store.snapshot())
    }

    /// As [`Self::snapshot`], for readers that may keep it for long. Blocks on the disk.
    pub fn lasting_snapshot(&self) -> read::Snapshot {
        read::Snapshot::new(self.log.clone(), self.store.lasting_snapshot())
    }

    /// Its tables.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The log that it follows.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Keeps the view from applying anything until the guard is dropped.
    #[cfg(test)]
    pub(crate) fn pause(&self) -> std::sync::MutexGuard<'_, ()> {
        self.store.write_lock()
    }

    /// Ends as a kill would: what was folded since the last checkpoint is lost.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        self.projector.close();
        self.checkpoints.close();
    }

    /// Stops following the log and waits for the thread to end. May block on the disk.
    pub fn close(&self) {
        self.projector.close();
        self.checkpoints.close();
        if let Err(error) = self.store.checkpoint() {
            tracing::warn!(%error, "the end of the view is not kept; it will be folded again");
        }
    }
}
