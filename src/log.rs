//! Floor 1: the one ordered log of accepted commands. It is the truth; everything that is read is a fold of it.
//!
//! The rest of the program sees four things: [`Log::append`], [`Log::read_after`], [`Log::watch`] for followers,
//! and [`Log::state`]. An append returns when its records would survive a power cut. Behind that seam a
//! [`Store`] keeps the records: [`disk`] embeds one, [`memory`] serves tests and fails on demand.
//!
//! - One writer commits what is queued as one batch with one sync, and wakes all waiting callers: group commit without
//!   a timer. Appends that arrive during a commit wait for it and share the next one.
//! - The first commit that fails latches the log: later appends fail at once, reads go on. A full disk is not
//!   such a failure; appends are refused until space is freed.
//! - A full queue refuses at once. No wait is unbounded.

pub mod copy;
pub mod disk;
mod error;
pub mod memory;
mod pb;
mod receipts;
pub mod record;
mod store;
mod tail_cache;
#[cfg(test)]
mod tests;
pub mod verify;
mod writer;

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::model::panics::Panics;
pub use disk::SetAside;
pub(crate) use disk::is_full;
pub use error::Error;
pub use receipts::{CLOCK_SET_MIN, Receipts, Start};
use record::Record;
pub use store::{Rewrites, Store, StoreError};
pub use tail_cache::Written;
use writer::Writer;

/// A place in the log. Later records have greater positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Before the first record.
    pub const START: Self = Self(0);

    /// The position as a number that keeps its order.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The position of a number from [`Position::get`].
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The position `count` records further on.
    #[must_use]
    pub fn plus(self, count: usize) -> Self {
        Self(self.0.saturating_add(count as u64))
    }
}

/// The log's limits.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most records that wait for the writer; beyond it appends are refused, unless nothing waits. Default 65,536.
    pub queue_records_max: usize,
    /// Most bytes that wait for the writer; beyond it appends are refused, unless nothing waits. Default 64 MiB.
    pub queue_bytes_max: usize,
    /// Longest that an append waits for the disk. Default 10 s.
    pub append_timeout: Duration,
    /// The counter of the process's panics. Default: one of its own.
    pub panics: Panics,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_records_max: 65_536,
            queue_bytes_max: 64 * 1024 * 1024,
            append_timeout: Duration::from_secs(10),
            panics: Panics::default(),
        }
    }
}

/// How the log is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes appends.
    Ready,
    /// A commit has not returned for this long.
    Stalled(Duration),
    /// The disk is full; it takes appends again once there is space.
    Full,
    /// A commit failed for this reason; only a restart helps.
    Failed(Arc<str>),
    /// A record read differs from what was written; the others can be read.
    Damaged(Position),
}

/// A handle to the log.
#[derive(Clone, Debug)]
pub struct Log {
    store: Arc<dyn Store>,
    writer: Arc<Writer>,
    append_timeout: Duration,
    panics: Panics,
    /// Where the first damage was found.
    damage: Arc<OnceLock<Position>>,
    /// Held exclusively by a thread that rewrites records.
    pins: Arc<RwLock<()>>,
}

impl Log {
    /// Starts the writer of a store.
    ///
    /// # Errors
    /// [`Error::Open`]: the writer's thread cannot be started.
    pub fn start(
        store: Arc<dyn Store>,
        options: &Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let append_timeout = options.append_timeout;
        let writer = Writer::start(store.clone(), options, clock)?;
        Ok(Self {
            store,
            writer,
            append_timeout,
            panics: options.panics.clone(),
            damage: Arc::default(),
            pins: Arc::default(),
        })
    }

    /// Appends encoded records, in their order and without others between them. Gives their positions once they would
    /// survive a power cut. All of them are kept or none. They come after those of every call that returned before,
    /// whichever future is awaited first.
    ///
    /// # Errors
    /// [`Error::Overloaded`], [`Error::Full`], [`Error::Closed`]: nothing was written.
    /// [`Error::Failed`], [`Error::Stalled`]: unknown whether they were written; sending the same again is safe.
    pub fn append(
        &self,
        records: Vec<Bytes>,
    ) -> impl Future<Output = Result<RangeInclusive<Position>, Error>> + Send + use<> {
        let records = records.into_iter().map(|record| (record, None));
        self.append_prepared(records.collect()).1
    }

    /// As [`Self::append`], with what the caller already knows of the records. Also gives a position that the last of
    /// them will not pass, unless nothing was queued.
    pub fn append_prepared(
        &self,
        records: Vec<Written>,
    ) -> (
        Option<Position>,
        impl Future<Output = Result<RangeInclusive<Position>, Error>> + Send + use<>,
    ) {
        let count = records.len();
        let (bound, queued) = match self.writer.enqueue(records) {
            Ok((bound, queued)) => (Some(bound), Ok(queued)),
            Err(error) => (None, Err(error)),
        };
        let append_timeout = self.append_timeout;
        let appended = async move {
            let committed = tokio::time::timeout(append_timeout, queued?).await;
            let first = committed
                .map_err(|_| Error::Stalled(append_timeout))?
                .map_err(|_| Error::Panicked)??;
            Ok(first..=first.plus(count.saturating_sub(1)))
        };
        (bound, appended)
    }

    /// The position of the last record that would survive a power cut.
    pub fn last(&self) -> Position {
        *self.writer.durable().borrow()
    }

    /// Reports each new last position.
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.writer.durable()
    }

    /// Reads up to `limit` records behind `after`, in order. May block on the disk.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Read`].
    pub fn read_after(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, Bytes)>, Error> {
        if let Some(records) = self.writer.recent().read_after(after, limit) {
            return Ok(records);
        }
        // The store has a commit before it is announced, and before it is added to the recent ones. A reader that saw
        // it by then could have it rewritten before the original is added.
        let reported = self.last().get().saturating_sub(after.get());
        let reported = usize::try_from(reported).unwrap_or(usize::MAX);
        let limit = limit.min(reported);
        let records = self.noted(self.store.read_after(after, limit))?;
        if records.is_empty() && limit > 0 {
            // A follower of the log would ask for the same again and again.
            return self.noted(Err(Error::missing(after.plus(1))));
        }
        Ok(records)
    }

    /// As [`Self::read_after`], with what their writers knew of the records, given once, to the first caller that asks
    /// soon.
    ///
    /// # Errors
    /// Those of [`Self::read_after`].
    pub fn take_after(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, Written)>, Error> {
        if let Some(records) = self.writer.recent().take_after(after, limit) {
            return Ok(records);
        }
        let records = self.read_after(after, limit)?;
        let records = records.into_iter();
        Ok(records
            .map(|(position, bytes)| (position, (bytes, None)))
            .collect())
    }

    /// Reads one record. May block on the disk.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not there, [`Error::Read`].
    pub fn read(&self, position: Position) -> Result<Bytes, Error> {
        self.noted(self.store.read(position))
    }

    /// Reads the record of the bytes at a position.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn decode(&self, position: Position, bytes: Bytes) -> Result<Record, Error> {
        self.noted(Record::decode(position, bytes))
    }

    /// Remembers where damage was found: the log is no longer whole, and [`Self::state`] says so.
    fn noted<T>(&self, read: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Damaged { position, .. }) = &read {
            self.damage.get_or_init(|| *position);
        }
        read
    }

    /// The counter of the process's panics.
    pub fn panics(&self) -> &Panics {
        &self.panics
    }

    /// Puts other records in the place of old ones: all of them or none. Blocks on the disk.
    ///
    /// # Errors
    /// What `rewrites` gives, [`Error::Full`]: nothing has changed. [`Error::Rewrite`]: unknown whether it has.
    pub fn rewrite(
        &self,
        rewrites: impl IntoIterator<Item = Result<(Position, Bytes), Error>>,
    ) -> Result<(), Error> {
        self.rewrite_lock().rewrite(rewrites)
    }

    /// Waits until no caller pins the records, and keeps others from pinning them until it is dropped. A caller that
    /// must hold another lock while rewriting takes this one first: it may wait for a backup.
    pub fn rewrite_lock(&self) -> RewriteLock<'_> {
        RewriteLock {
            log: self,
            _still: self.pins.write().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Keeps all records as they are until it is dropped; appends go on. A reader that needs all records as of one
    /// moment holds it.
    pub fn pin(&self) -> RwLockReadGuard<'_, ()> {
        // It guards nothing that a panic could spoil.
        self.pins.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something that was rewritten may still be on the disk.
    ///
    /// # Errors
    /// [`Error::Rewrite`].
    pub fn is_purge_pending(&self) -> Result<bool, Error> {
        self.store.is_purge_pending()
    }

    /// Removes from the disk what was rewritten. Blocks as long as copying the whole log takes, and needs space for the
    /// copy; `room`: at least so many bytes, which the caller will need.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Rewrite`].
    pub fn purge(&self, room: u64) -> Result<(), Error> {
        self.store.purge(room)
    }

    /// Notes that nothing of what was rewritten is stored anywhere any more.
    ///
    /// # Errors
    /// [`Error::Rewrite`].
    pub fn end_purge(&self) -> Result<(), Error> {
        self.store.end_purge()
    }

    /// Whether the fold may write so many bytes beside the log. From now on, so many are reserved from appends.
    pub fn has_room_to_fold(&self, bytes: u64) -> bool {
        self.store.has_room_to_fold(bytes)
    }

    /// Reserves so many bytes of the disk for the caller.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Read`].
    pub fn set_aside(&self, bytes: u64) -> Result<SetAside, Error> {
        self.store.set_aside(bytes)
    }

    /// How the log is doing.
    pub fn state(&self) -> State {
        match (self.writer.state(), self.damage.get()) {
            (State::Ready, Some(position)) => State::Damaged(*position),
            (state, _) => state,
        }
    }

    /// Refuses further appends, commits what is queued, and waits for the writer to end. May block on the disk.
    pub fn close(&self) {
        self.writer.close();
    }
}

/// The right to rewrite records.
#[derive(Debug)]
pub struct RewriteLock<'a> {
    log: &'a Log,
    /// It guards nothing that a panic could spoil.
    _still: RwLockWriteGuard<'a, ()>,
}

impl RewriteLock<'_> {
    /// As [`Log::rewrite`].
    ///
    /// # Errors
    /// Those of [`Log::rewrite`].
    pub fn rewrite(
        &self,
        rewrites: impl IntoIterator<Item = Result<(Position, Bytes), Error>>,
    ) -> Result<(), Error> {
        self.log.writer.recent().clear();
        self.log.store.rewrite(&mut rewrites.into_iter())
    }
}

#[cfg(test)]
impl Log {
    /// The same log, whose appends time out at once.
    pub(crate) fn impatient(&self) -> Self {
        Self {
            append_timeout: Duration::ZERO,
            ..self.clone()
        }
    }

    /// Whether nothing waits for the disk, and all that it has is announced.
    pub(crate) fn is_idle(&self) -> bool {
        self.writer.queued_records() == 0 && self.store.last() == self.last()
    }
}
