//! The log of the emulator: in memory, for as long as the process lives.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::log::{Error, Position, Rewrites, Store, StoreError};

/// Most bytes of records. Beyond it, writes are refused as by a full disk.
pub(super) const BYTES_MAX: usize = 256 << 20;
/// What a record takes beside its bytes.
const RECORD_BYTES: usize = size_of::<Bytes>();

/// Keeps records until the process ends.
#[derive(Debug)]
pub(super) struct Memory {
    records: Mutex<Records>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Records {
    all: Vec<Bytes>,
    bytes: usize,
}

impl Memory {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            records: Mutex::default(),
            bytes_max,
        }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        // A commit is whole or was not begun.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a record is; none before the first one.
fn index(position: Position) -> Option<usize> {
    usize::try_from(position.get().checked_sub(1)?).ok()
}

impl Store for Memory {
    fn commit(&self, first: Position, records: &[Bytes]) -> Result<(), StoreError> {
        let mut kept = self.records();
        if index(first) != Some(kept.all.len()) {
            let why = format!("position {} is out of order", first.get());
            return Err(StoreError::Failed(why));
        }
        let bytes: usize = records
            .iter()
            .map(|record| record.len() + RECORD_BYTES)
            .sum();
        if kept.bytes + bytes > self.bytes_max {
            return Err(StoreError::Full);
        }
        kept.bytes += bytes;
        kept.all.extend_from_slice(records);
        Ok(())
    }

    fn last(&self) -> Position {
        Position::START.plus(self.records().all.len())
    }

    fn read(&self, position: Position) -> Result<Bytes, Error> {
        let kept = self.records();
        let record = index(position).and_then(|index| kept.all.get(index));
        record.cloned().ok_or_else(|| Error::missing(position))
    }

    fn read_after(&self, after: Position, limit: usize) -> Result<Vec<(Position, Bytes)>, Error> {
        let skip = usize::try_from(after.get()).unwrap_or(usize::MAX);
        let kept = self.records();
        let behind = kept.all.iter().enumerate().skip(skip).take(limit);
        Ok(behind
            .map(|(index, record)| (Position::START.plus(index + 1), record.clone()))
            .collect())
    }

    fn rewrite(&self, rewrites: &mut Rewrites<'_>) -> Result<(), Error> {
        let rewrites: Vec<_> = rewrites.collect::<Result<_, _>>()?;
        let mut kept = self.records();
        for (position, record) in rewrites {
            let place = index(position).and_then(|index| kept.all.get_mut(index));
            if let Some(place) = place {
                *place = record;
            }
        }
        Ok(())
    }

    fn is_purge_pending(&self) -> Result<bool, Error> {
        Ok(false)
    }

    fn purge(&self, _room: u64) -> Result<(), Error> {
        Ok(())
    }

    fn end_purge(&self) -> Result<(), Error> {
        Ok(())
    }

    fn has_space(&self) -> bool {
        self.records().bytes < self.bytes_max
    }

    fn close(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_kept_up_to_so_many_bytes_and_no_further() {
        let record = Bytes::from(vec![7; 100]);
        let room = 2 * (100 + RECORD_BYTES);
        let store = Memory::new(room);
        let first = Position::from_number(1);
        let two = [record.clone(), record.clone()];
        assert_eq!(
            store.commit(first.plus(1), &two),
            Err(StoreError::Failed("position 2 is out of order".to_owned()))
        );
        assert_eq!(store.commit(first, &two), Ok(()));
        assert!(!store.has_space());
        assert_eq!(
            store.commit(first.plus(2), std::slice::from_ref(&record)),
            Err(StoreError::Full)
        );
        assert_eq!(store.last(), Position::from_number(2));
        let behind = store.read_after(first, 10).unwrap();
        assert_eq!(behind, [(first.plus(1), record)]);
        assert!(store.read(first.plus(2)).is_err());
    }
}
