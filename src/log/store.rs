use std::fmt::Debug;

use bytes::Bytes;

use super::{Error, Position};

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

    /// Whether a store that was full could commit again.
    fn has_space(&self) -> bool;

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
