use std::fmt::Debug;

use bytes::Bytes;

use super::{Error, Position, SetAside};

/// What to put in the place of records that are there.
pub type Rewrites<'a> = dyn Iterator<Item = Result<(Position, Bytes), Error>> + 'a;

/// Keeps records in order. One writer commits; any thread reads.
pub trait Store: Debug + Send + Sync {
    /// Keeps records, the first at `first`, which follows the last one; returns once they would survive a power
    /// cut. All of them are kept or none.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing was written, a later commit may succeed.
    /// [`StoreError::Failed`]: unknown whether they were written; no later commit may be tried.
    fn commit(&self, first: Position, records: &[Bytes]) -> Result<(), StoreError>;

    /// The position of the last record, [`Position::START`] without any.
    fn last(&self) -> Position;

    /// One record.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not there, [`Error::Read`].
    fn read(&self, position: Position) -> Result<Bytes, Error>;

    /// Up to `limit` records behind `after`, in order, without a gap.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Read`].
    fn read_after(&self, after: Position, limit: usize) -> Result<Vec<(Position, Bytes)>, Error>;

    /// Puts other records in the place of old ones: all of them or none, whatever happens meanwhile. Returns once that
    /// would survive a power cut. The old records may stay on the disk until [`Store::purge`].
    ///
    /// # Errors
    /// What `rewrites` gives: nothing has changed. [`Error::Rewrite`]: unknown whether it has.
    fn rewrite(&self, rewrites: &mut Rewrites<'_>) -> Result<(), Error>;

    /// Whether something that was rewritten may still be on the disk.
    ///
    /// # Errors
    /// [`Error::Rewrite`].
    fn is_purge_pending(&self) -> Result<bool, Error>;

    /// Removes from the disk what was rewritten. May take as long as copying everything, and needs space for the copy;
    /// `room`: at least so many bytes, which the caller will need.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Rewrite`].
    fn purge(&self, room: u64) -> Result<(), Error>;

    /// Notes that nothing of what was rewritten is stored anywhere any more.
    ///
    /// # Errors
    /// [`Error::Rewrite`].
    fn end_purge(&self) -> Result<(), Error>;

    /// Whether a store that was full could commit again.
    fn has_space(&self) -> bool;

    /// Whether the fold may write so many bytes beside the store. From now on, so many are reserved from commits.
    fn has_room_to_fold(&self, _bytes: u64) -> bool {
        true
    }

    /// Reserves so many bytes of the disk for the caller.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Read`].
    fn set_aside(&self, _bytes: u64) -> Result<SetAside, Error> {
        Ok(SetAside::default())
    }

    /// Why nothing may be written any more, although nothing has failed: a file that locks other processes out is gone.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Writes down what a start should find. Called when the writer ends.
    fn close(&self);
}

/// Why a commit did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// There is no space left.
    Full,
    /// Anything else.
    Failed(String),
}
