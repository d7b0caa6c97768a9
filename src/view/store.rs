//! The view's storage: rows in memory, in layers, over what the last checkpoint wrote.
//!
//! - A *layer* ([`layer`]) has the sorted rows of some writes, and never changes. Each batch of the fold is one; layers
//!   of about one size are merged.
//! - The *base* ([`base`]) is one keyspace of the engine. A *checkpoint* merges the layers and writes them to it in one
//!   step, in the order of the positions that they apply. A kill loses what was folded since, which is in the log.
//! - A *state* ([`state`]) is a base and the layers over it. Readers keep one, and hold no lock.
//!
//! A view that keeps nothing has no base: no checkpoint is due, and all layers stay in memory.

mod base;
mod batch;
#[cfg(test)]
mod kills;
mod layer;
mod readers;
mod rows;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use fjall::{Slice, Snapshot};

use super::keys::{self, Table};
use super::order::Order;
use super::{Error, Options};
use crate::log::Position;
use base::Base;
pub(super) use batch::Batch;
use layer::Layer;
pub(super) use readers::Held;
use readers::Readers;
pub(super) use rows::{Entry, Rows};
pub(super) use state::State;

/// The format that this code reads and writes. A view of another one is rebuilt.
const FORMAT: u64 = 9;

/// Upper bound of the disk space that the engine's merges take temporarily.
const MERGED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The age of the oldest write that makes a checkpoint due.
const CHECKPOINT_AGE: Duration = Duration::from_secs(10);
/// How exactly that is measured.
const AGE_STEP: Duration = Duration::from_secs(1);
/// How many checkpoints' worth of layers may be in memory, including those that only readers still hold. Beyond it the
/// fold waits.
const CHECKPOINTS_IN_MEMORY: usize = 3;
/// How many checkpoints may wait to be merged by the engine. Beyond it the fold waits.
const RUNS_MAX: usize = 24;
/// How often the fold checks whether it may go on.
const WAIT: Duration = Duration::from_millis(50);
/// Most entries of a page. So few in tests that most paged work has several pages.
pub(super) const PAGE_ENTRIES: usize = if cfg!(test) { 4 } else { 1_024 };

/// What to write under a key; `None` removes it.
pub(crate) type Write = (Table, Slice, Option<Slice>);

/// The view's rows.
pub(crate) struct Store {
    /// None: nothing is kept.
    base: Option<Arc<Base>>,
    options: Options,
    /// The state that readers get.
    state: ArcSwap<State>,
    layers: Mutex<Layers>,
    /// A checkpoint is due, or has ended.
    changed: Condvar,
    /// Held by the thread that makes a checkpoint.
    checkpointing: Mutex<()>,
    /// Bytes of all layers that are still held.
    in_memory: Arc<AtomicUsize>,
    /// Held by the thread that writes.
    writing: Mutex<()>,
    readers: Mutex<Readers>,
}

/// The layers since the last checkpoint, the newest first.
#[derive(Debug, Default)]
struct Layers {
    live: Vec<Arc<Layer>>,
    /// Those that a checkpoint is writing.
    sealed: Vec<Arc<Layer>>,
    /// Bytes of those that are not sealed.
    bytes: usize,
    epoch: Epoch,
    /// Why writes fail from now on.
    failure: Option<String>,
}

/// How many checkpoints there were since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch {
    /// Begun: a later write is in a later one.
    pub(super) begun: u64,
    /// Ended: what they wrote is in the base.
    pub(super) ended: u64,
}

impl Store {
    /// Opens the view, or makes an empty one if there is none or it is not whole.
    pub(super) fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        if let Some(store) = Self::open_whole(dir, options)? {
            return Ok(store);
        }
        remove(dir)?;
        let store = Self::of(Some(Base::open(dir, options)?), options);
        let format = number(FORMAT).into();
        store.write_all([(Table::Meta, keys::FORMAT.into(), Some(format))])?;
        store.checkpoint()?;
        Ok(store)
    }

    /// Opens the store in `dir`, if there is one, whatever its format.
    pub(super) fn open_existing(dir: &Path) -> Result<Option<Self>, Error> {
        if !base::exists(dir) {
            return Ok(None);
        }
        if let Some(damage) = base::damage(dir)? {
            return Err(Error::Store(damage));
        }
        let options = Options::default();
        Ok(Some(Self::of(Some(Base::open(dir, &options)?), &options)))
    }

    /// Whether it has this code's format.
    pub(super) fn has_this_format(&self) -> Result<bool, Error> {
        Ok(self.number(keys::FORMAT)? == Some(FORMAT))
    }

    /// The view in `dir`, unless it has to be replaced.
    fn open_whole(dir: &Path, options: &Options) -> Result<Option<Self>, Error> {
        if !dir.try_exists().map_err(Error::store)? {
            return Ok(None);
        }
        if let Some(damage) = base::damage(dir)? {
            tracing::warn!(damage, "rebuilding the view");
            return Ok(None);
        }
        let base = match Base::open(dir, options) {
            Ok(base) => base,
            Err(error) if matches!(error, fjall::Error::Locked) => return Err(error.into()),
            // The log has everything that is lost with a view.
            Err(error) => {
                tracing::warn!(%error, "the view cannot be opened; rebuilding it");
                return Ok(None);
            }
        };
        let store = Self::of(Some(base), options);
        match store.number(keys::FORMAT) {
            Ok(Some(FORMAT)) => Ok(Some(store)),
            Ok(format) => {
                tracing::info!(format, "the view has another format; rebuilding it");
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(%error, "the view cannot be read; rebuilding it");
                Ok(None)
            }
        }
    }

    /// An empty view that is in memory only.
    pub(super) fn in_memory(options: &Options) -> Self {
        Self::of(None, options)
    }

    fn of(base: Option<Base>, options: &Options) -> Self {
        let base = base.map(Arc::new);
        let at = |base: &Arc<Base>| (base.clone(), Arc::new(base.snapshot()));
        let state = State {
            base: base.as_ref().map(at),
            layers: Vec::new(),
        };
        Self {
            base,
            options: options.clone(),
            state: ArcSwap::from_pointee(state),
            layers: Mutex::default(),
            changed: Condvar::new(),
            checkpointing: Mutex::new(()),
            in_memory: Arc::default(),
            writing: Mutex::new(()),
            readers: Mutex::default(),
        }
    }

    /// What the fold may remember, in bytes.
    pub(super) fn known_bytes(&self) -> usize {
        self.options.known_bytes
    }

    /// Sets the state that readers get from now on.
    fn publish(&self, layers: &Layers, base: Option<(Arc<Base>, Arc<Snapshot>)>) {
        let of_all = layers.live.iter().chain(&layers.sealed);
        self.state.store(Arc::new(State {
            base,
            layers: of_all.cloned().collect(),
        }));
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, Error> {
        self.state.load().get(table, key)
    }

    /// As [`Self::get`], for a key that was not written since the last checkpoint.
    pub(super) fn get_of_base(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, Error> {
        self.state.load().get_of_base(table, key)
    }

    /// The last entry of a customer.
    pub(super) fn last(&self, table: Table, customer: u64) -> Result<Option<Entry>, Error> {
        let behind = keys::customer(customer.saturating_add(1));
        let range = (
            Bound::Included(keys::customer(customer)),
            Bound::Excluded(behind),
        );
        let mut rows = self.state.load().range(table, &range, Order::Descending);
        rows.next().transpose()
    }

    /// All entries whose key begins with `prefix`.
    pub(super) fn scan(&self, table: Table, prefix: &[u8]) -> Rows {
        self.state.load().scan(table, prefix)
    }

    /// Some of the entries whose key begins with `prefix`, from behind the key `after` on.
    pub(crate) fn page(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> Result<Vec<Entry>, Error> {
        let from = match after {
            Some(after) => Bound::Excluded(after.to_vec()),
            None => Bound::Included(prefix.to_vec()),
        };
        let range = (from, Bound::Unbounded);
        let rows = self.state.load().range(table, &range, Order::Ascending);
        let is_in = |row: &Result<Entry, Error>| {
            row.as_ref()
                .map_or(true, |(key, _)| key.starts_with(prefix))
        };
        rows.take_while(is_in).take(PAGE_ENTRIES).collect()
    }

    /// Publishes what a batch has written, and empties it. Gives the checkpoints up to then: a later one will contain
    /// it.
    pub(super) fn write(&self, batch: &mut Batch) -> Result<Epoch, Error> {
        let layer = batch.take(&self.in_memory)?;
        let mut layers = self.layers();
        if let Some(failure) = &layers.failure {
            return Err(Error::stopped(failure.as_str().into()));
        }
        if let Some(layer) = layer {
            let is_first = layers.live.is_empty();
            layers.bytes += layer.charge();
            layer::push(&mut layers.live, layer);
            let base = self.state.load().base.clone();
            self.publish(&layers, base);
            if is_first || layers.bytes >= self.options.checkpoint_bytes {
                self.changed.notify_all();
            }
        }
        Ok(layers.epoch)
    }

    /// As [`Self::write`], of some writes.
    pub(crate) fn write_all(&self, writes: impl IntoIterator<Item = Write>) -> Result<(), Error> {
        let mut batch = Batch::default();
        for (table, key, value) in writes {
            batch.put(table, &key, value.as_deref());
        }
        self.write(&mut batch).map(drop)
    }

    /// Writes everything that was published to the base. Blocks on the disk.
    ///
    /// # Errors
    /// [`Error::Store`]: nothing has changed; it may be tried again.
    pub(crate) fn checkpoint(&self) -> Result<(), Error> {
        let Some(base) = &self.base else {
            return Ok(());
        };
        let _one = lock(&self.checkpointing);
        let sealed = {
            let mut layers = self.layers();
            let live = std::mem::take(&mut layers.live);
            layers.sealed.splice(..0, live);
            layers.bytes = 0;
            if layers.sealed.is_empty() {
                return Ok(());
            }
            layers.epoch.begun += 1;
            layers.sealed.clone()
        };
        base.ingest(&Layer::merged(&sealed))?;
        drop(sealed);
        let mut layers = self.layers();
        layers.sealed.clear();
        layers.epoch.ended = layers.epoch.begun;
        self.publish(&layers, Some((base.clone(), Arc::new(base.snapshot()))));
        self.changed.notify_all();
        drop(layers);
        if let Err(error) = base.remove_merged() {
            tracing::warn!(%error, "what was merged stays on the disk for now");
        }
        Ok(())
    }

    /// Waits until a checkpoint is due, or `is_over`; says which.
    pub(super) fn wait_until_due(&self, is_over: impl Fn() -> bool) -> bool {
        let mut layers = self.layers();
        let mut age = Duration::ZERO;
        while !is_over() {
            if layers.live.is_empty() || self.base.is_none() {
                age = Duration::ZERO;
                let waited = self.changed.wait(layers);
                layers = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if layers.bytes >= self.options.checkpoint_bytes || age >= CHECKPOINT_AGE {
                return true;
            }
            let waited = self.changed.wait_timeout(layers, AGE_STEP);
            let waited = waited.unwrap_or_else(PoisonError::into_inner);
            layers = waited.0;
            if waited.1.timed_out() {
                age += AGE_STEP;
            }
        }
        false
    }

    /// Waits while more is in memory than allowed, or more is to be merged, unless `is_over`.
    pub(super) fn wait_for_checkpoints(&self, is_over: impl Fn() -> bool) {
        let Some(base) = &self.base else {
            return;
        };
        let most = CHECKPOINTS_IN_MEMORY.saturating_mul(self.options.checkpoint_bytes);
        let is_behind = || self.in_memory.load(Ordering::Relaxed) > most || base.runs() >= RUNS_MAX;
        let mut layers = self.layers();
        while is_behind() && layers.failure.is_none() && !is_over() {
            // Readers drop layers without a notification.
            let waited = self.changed.wait_timeout(layers, WAIT);
            layers = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Makes all later writes fail.
    pub(super) fn fail(&self, reason: &str) {
        self.layers().failure.get_or_insert(reason.to_owned());
        self.changed.notify_all();
    }

    /// Wakes the waiting threads, so that they check whether they are to end.
    pub(super) fn wake(&self) {
        let _layers = self.layers();
        self.changed.notify_all();
    }

    /// The disk space that it takes, in bytes. A purge temporarily takes as much again.
    pub(crate) fn disk_space(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.disk_space())
    }

    /// The bytes that will soon be written: what is in memory, and temporarily what the engine merges.
    pub(super) fn room_to_fold(&self) -> u64 {
        let layers = self.in_memory.load(Ordering::Relaxed) as u64;
        let merged = self.disk_space().min(MERGED_BYTES_MAX);
        layers.saturating_add(merged)
    }

    /// Keeps others from writing until it is dropped: the rows that a write is decided on must not change meanwhile.
    pub(crate) fn write_lock(&self) -> MutexGuard<'_, ()> {
        lock(&self.writing)
    }

    /// The position up to which the log is applied, except for projects in lanes.
    pub(super) fn front(&self) -> Result<Position, Error> {
        let applied = self.number(keys::APPLIED)?;
        Ok(Position::from_number(applied.unwrap_or_default()))
    }

    /// By token: the positions of the projects in lanes.
    pub(super) fn lanes(&self) -> Result<BTreeMap<String, Position>, Error> {
        let lanes = self.scan(Table::Lanes, &[]).map(|row| {
            let (key, value) = row?;
            let token = String::from_utf8(key.to_vec());
            let token = token.map_err(|_| Error::Damaged("a key of lanes"))?;
            Ok((token, Position::from_number(keys::read_number(&value)?)))
        });
        lanes.collect()
    }

    /// The position up to which the log is applied for every project.
    pub(crate) fn applied(&self) -> Result<Position, Error> {
        // A lane that ends in between has reached the front.
        let lanes = self.lanes()?;
        let front = self.front()?;
        Ok(lanes.into_values().fold(front, Position::min))
    }

    fn number(&self, key: &[u8]) -> Result<Option<u64>, Error> {
        let Some(value) = self.get(Table::Meta, key)? else {
            return Ok(None);
        };
        let bytes = (*value).try_into();
        let bytes = bytes.map_err(|_| Error::Damaged("a number of meta"))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    fn layers(&self) -> MutexGuard<'_, Layers> {
        lock(&self.layers)
    }
}

/// Removes the view in `dir`.
pub(super) fn remove(dir: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Store(error.to_string()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A number in the encoding of `meta`.
pub(super) fn number(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is consistent between statements, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
