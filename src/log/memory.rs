//! A store in memory that fails on demand: for tests, and for nothing else, since it keeps nothing.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::store::Rewrites;
use super::{Error, Position, Store, StoreError};

/// Keeps records as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Bytes>,
    commits: usize,
    failure: Option<StoreError>,
    planned: Option<Planned>,
    /// What the planned failure has kept, until a restart finds it.
    kept: Vec<Bytes>,
    stalled: bool,
    is_purge_pending: bool,
    /// Whether a commit hangs.
    hangs: bool,
    /// The records behind it are lost.
    lost_behind: Option<Position>,
    /// Why nothing may be written any more.
    trouble: Option<String>,
    purging: Purging,
    is_closed: bool,
}

/// How far a purge has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Purging {
    #[default]
    AtOnce,
    /// It will last until the store is closed.
    Long,
    /// It lasts.
    Begun,
}

/// A failure to come.
#[derive(Debug)]
struct Planned {
    /// How many commits reach the disk before.
    after: usize,
    keeps: bool,
}

impl MemoryStore {
    /// What every commit from now on fails with; `None` heals it.
    pub fn fail(&self, failure: Option<StoreError>) {
        self.lock().failure = failure;
    }

    /// Lets `after` more commits reach the disk and fails the next one, that one alone. Whether it `keeps` its records
    /// shows only after [`MemoryStore::restart`].
    pub fn fail_once(&self, after: usize, keeps: bool) {
        self.lock().planned = Some(Planned { after, keeps });
    }

    /// Makes commits hang, or lets them go on.
    pub fn stall(&self, stalled: bool) {
        self.lock().stalled = stalled;
        self.changed.notify_all();
    }

    /// Blocks until a commit hangs.
    pub fn wait_for_hanging(&self) {
        let mut state = self.lock();
        while !state.hangs {
            state = self.wait(state);
        }
    }

    /// Loses the records behind a position, silently.
    pub fn lose_behind(&self, position: Position) {
        self.lock().lost_behind = Some(position);
    }

    /// Reports from now on that nothing may be written any more.
    pub fn trouble_with(&self, why: &str) {
        self.lock().trouble = Some(why.to_owned());
    }

    /// Makes the next purge last until the store is closed.
    pub fn purge_slowly(&self) {
        self.lock().purging = Purging::Long;
    }

    /// Blocks until a long purge has begun.
    pub fn wait_for_purge(&self) {
        let mut state = self.lock();
        while state.purging != Purging::Begun {
            state = self.wait(state);
        }
    }

    /// Whether the writer has closed it.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// What a restart finds: all that the disk has kept.
    pub fn restart(&self) {
        let mut state = self.lock();
        let kept = std::mem::take(&mut state.kept);
        state.records.extend(kept);
        state.planned = None;
    }

    /// How many commits succeeded.
    pub fn commits(&self) -> usize {
        self.lock().commits
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let woken = self.changed.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn commit(&self, first: Position, records: &[Bytes]) -> Result<(), StoreError> {
        let mut state = self.lock();
        while state.stalled {
            state.hangs = true;
            self.changed.notify_all();
            state = self.wait(state);
        }
        state.hangs = false;
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        if first != Position::START.plus(state.records.len() + 1) {
            return Err(StoreError::Failed(format!(
                "position {} is out of order",
                first.get()
            )));
        }
        match state.planned.take() {
            Some(Planned { after: 0, keeps }) => {
                if keeps {
                    state.kept = records.to_vec();
                }
                return Err(StoreError::Failed("it was planned".to_owned()));
            }
            Some(Planned { after, keeps }) => {
                let after = after - 1;
                state.planned = Some(Planned { after, keeps });
            }
            None => {}
        }
        state.records.extend_from_slice(records);
        state.commits += 1;
        Ok(())
    }

    fn last(&self) -> Position {
        Position::START.plus(self.lock().records.len())
    }

    fn read(&self, position: Position) -> Result<Bytes, Error> {
        let index = position.get().checked_sub(1).map(usize::try_from);
        let state = self.lock();
        let record = index
            .and_then(Result::ok)
            .and_then(|i| state.records.get(i));
        record.cloned().ok_or_else(|| Error::Damaged {
            position,
            why: "the record is missing".to_owned(),
        })
    }

    fn read_after(&self, after: Position, limit: usize) -> Result<Vec<(Position, Bytes)>, Error> {
        let skip = usize::try_from(after.get()).unwrap_or(usize::MAX);
        let state = self.lock();
        let lost = state.lost_behind.map_or(usize::MAX, |position| {
            usize::try_from(position.get()).unwrap_or(usize::MAX)
        });
        let there = state.records.iter().enumerate().take(lost);
        let behind = there.skip(skip).take(limit);
        Ok(behind
            .map(|(index, record)| (Position::START.plus(index + 1), record.clone()))
            .collect())
    }

    fn rewrite(&self, rewrites: &mut Rewrites<'_>) -> Result<(), Error> {
        let rewrites: Vec<_> = rewrites.collect::<Result<_, _>>()?;
        let mut state = self.lock();
        for (position, record) in rewrites {
            let index = position.get().checked_sub(1).map(usize::try_from);
            let index = index.and_then(Result::ok);
            if let Some(place) = index.and_then(|index| state.records.get_mut(index)) {
                *place = record;
                state.is_purge_pending = true;
            }
        }
        Ok(())
    }

    fn is_purge_pending(&self) -> Result<bool, Error> {
        Ok(self.lock().is_purge_pending)
    }

    fn purge(&self, _room: u64) -> Result<(), Error> {
        let mut state = self.lock();
        if state.purging == Purging::Long {
            state.purging = Purging::Begun;
            self.changed.notify_all();
            while !state.is_closed {
                state = self.wait(state);
            }
        }
        Ok(())
    }

    fn end_purge(&self) -> Result<(), Error> {
        self.lock().is_purge_pending = false;
        Ok(())
    }

    fn has_space(&self) -> bool {
        self.lock().failure != Some(StoreError::Full)
    }

    fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }
}
