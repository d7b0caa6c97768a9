//! Copies records into another store while the source may be written to.

use bytes::Bytes;

use super::record::Record;
use super::{Error, Position, Store, StoreError};

/// How many records are read at once.
const READ_RECORDS_MAX: usize = 64;
/// Most records in one commit.
const COMMIT_RECORDS_MAX: usize = 4_096;
/// Most bytes in one commit, unless a single record is larger.
const COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where records are read from, as by [`Store::read_after`].
pub type Source<'a> = dyn Fn(Position, usize) -> Result<Vec<(Position, Bytes)>, Error> + 'a;

/// How much was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// The records.
    pub records: u64,
    /// Their size, as they were appended.
    pub bytes: u64,
    /// The last one.
    pub last: Position,
}

/// Why a copy is not whole.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CopyError {
    /// A record cannot be read, or is damaged.
    #[error("{0}")]
    Source(Error),
    /// The copy cannot be written.
    #[error("{0:?}")]
    Target(StoreError),
    /// It was asked to stop.
    #[error("stopped")]
    Stopped,
}

/// Copies the records up to `end` into an empty store, in constant memory. Each of them is checked, so that damage is
/// not handed on unseen. `is_stopped` is asked again and again. May block on both disks. No records of the source may
/// be rewritten meanwhile, see [`Log::pin`](super::Log::pin).
///
/// # Errors
/// [`CopyError`]; what was copied so far is in the store.
pub fn copy(
    source: &Source<'_>,
    end: Position,
    to: &dyn Store,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Copied, CopyError> {
    let mut copied = Copied::default();
    let mut batch = Batch::default();
    while copied.last < end {
        if is_stopped() {
            return Err(CopyError::Stopped);
        }
        for (position, record) in read(source, copied.last, end)? {
            Record::decode(position, record.clone()).map_err(CopyError::Source)?;
            copied.records += 1;
            copied.bytes += record.len() as u64;
            copied.last = position;
            if !batch.has_room(&record) {
                batch.commit(to)?;
            }
            batch.add(position, record);
        }
    }
    batch.commit(to)?;
    Ok(copied)
}

/// The next records, none of them behind `end`.
fn read(
    source: &Source<'_>,
    after: Position,
    end: Position,
) -> Result<Vec<(Position, Bytes)>, CopyError> {
    let left = usize::try_from(end.get().saturating_sub(after.get()));
    let limit = left.map_or(READ_RECORDS_MAX, |left| left.min(READ_RECORDS_MAX));
    let records = source(after, limit).map_err(CopyError::Source)?;
    if records.is_empty() {
        return Err(CopyError::Source(Error::Damaged {
            position: after.plus(1),
            why: "the record is missing".to_owned(),
        }));
    }
    Ok(records)
}

/// The next commit.
#[derive(Default)]
struct Batch {
    first: Position,
    records: Vec<Bytes>,
    bytes: usize,
}

impl Batch {
    fn has_room(&self, record: &Bytes) -> bool {
        self.records.len() < COMMIT_RECORDS_MAX && self.bytes + record.len() <= COMMIT_BYTES_MAX
    }

    fn add(&mut self, position: Position, record: Bytes) {
        if self.records.is_empty() {
            self.first = position;
        }
        self.bytes += record.len();
        self.records.push(record);
    }

    fn commit(&mut self, to: &dyn Store) -> Result<(), CopyError> {
        if !self.records.is_empty() {
            to.commit(self.first, &self.records)
                .map_err(CopyError::Target)?;
            self.records.clear();
            self.bytes = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
